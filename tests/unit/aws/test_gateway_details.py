"""Small promises of the gateway and its caller, each on scripted answers."""

from __future__ import annotations

import threading
import traceback

import pytest

from ecrkit import errors, ports
from ecrkit.aws.ecr import EcrGateway, layers
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.aws.workers import Workers
from ecrkit.records import ImageFailure
from tests.unit.aws.conftest import client_error

PATIENCE = 10.0


def sha(number):
    return f"sha256:{number:064x}"


class TestANamedImage:
    """Without a filter DescribeImages may leave out archived images (ECR API reference)."""

    def test_of_any_status(self, scripted):
        detail = {"imageDigest": sha(1), "imagePushedAt": 1.0, "imageStatus": "ARCHIVED"}
        caller, script = scripted(lambda *_: {"imageDetails": [detail]})
        gateway = EcrGateway(caller)
        assert gateway.image("app", "v1").status == gateway.image("app", sha(1)).status == "ARCHIVED"
        assert [asked for _, asked in script.calls] == [
            {"repositoryName": "app", "imageIds": [named], "filter": {"imageStatus": "ANY"}}
            for named in ({"imageTag": "v1"}, {"imageDigest": sha(1)})
        ]

    def test_an_empty_answer_is_no_image(self, scripted):
        caller, _ = scripted(lambda *_: {"imageDetails": []})
        with pytest.raises(errors.NotFound, match="app:v1") as caught:
            EcrGateway(caller).image("app", "v1")
        assert (caught.value.code, caught.value.resource) == ("ImageNotFoundException", "app:v1")
        assert EcrGateway(caller).digest_of("app", "v1") is None

    def test_an_old_model_is_refused(self, scripted, monkeypatch):
        caller, script = scripted(lambda *_: {})
        monkeypatch.setattr("ecrkit.aws.drift.has_member", lambda *_: False)
        with pytest.raises(errors.NotSupportedByBotocore):
            EcrGateway(caller).image("app", "v1")
        assert script.calls == []


class TestSideBySide:
    """Calls overlap, and what comes out keeps its order."""

    def test_repositories_are_read_at_the_same_time(self, scripted):
        both = threading.Barrier(2)

        def answer(*_):
            both.wait(PATIENCE)  # a single worker would never bring the second one
            return {"imageDetails": []}

        caller, _ = scripted(answer)
        crawl = list(EcrGateway(caller, workers=2).images_of_many(["a", "b"]))
        assert sorted(found.repository for found in crawl) == ["a", "b"]

    def test_manifests_come_in_the_order_asked(self, scripted):
        second = threading.Event()

        def answer(_, asked):
            if asked["imageIds"][0]["imageDigest"] == sha(0):
                assert second.wait(PATIENCE)
            else:
                second.set()
            return {"images": [{"imageId": asked["imageIds"][0], "imageManifest": "{}"}]}

        caller, _ = scripted(answer)
        asked = [sha(number) for number in range(101)]
        read = list(EcrGateway(caller, workers=2).each_manifest("app", [*asked, sha(5)]))
        assert [found.digest for found in read] == asked
        assert read[5] == ImageFailure(digest=sha(5), code="NotAnswered", reason="ECR answered nothing on it")

    def test_nothing_is_read_before_it_is_asked(self, scripted):
        caller, script = scripted(lambda *_: {})
        reading = EcrGateway(caller).each_manifest("app", [sha(1)])
        assert script.calls == []
        reading.close()
        assert script.calls == []


class TestPartsOfALayer:
    """One part of at most 20 MiB is in memory, whatever size ECR would take."""

    def test_a_larger_part_size_is_not_used(self, scripted, monkeypatch):
        monkeypatch.setattr(layers, "_PART", 4)
        caller, script = scripted(lambda *_: {"uploadId": "u", "partSize": 1 << 40})
        EcrGateway(caller).upload_layer("app", [b"abcdef"], digest=sha(1))
        sent = [asked["layerPartBlob"] for operation, asked in script.calls if operation == "UploadLayerPart"]
        assert sent == [b"abcd", b"ef"]


class TestTheCaller:
    """What a call shows and what it learns."""

    def test_a_refused_call_was_granted_by_the_throttle(self, scripted, clock):
        left = [client_error("RepositoryNotFoundException")] * 20 + [client_error("ThrottlingException")]
        caller, _ = scripted(lambda *_: left.pop(0) if left else {})
        for _ in range(20):
            with pytest.raises(errors.NotFound):
                caller.call("DescribeImages", {"repositoryName": "app"})
        caller.call("DescribeImages", {"repositoryName": "app"})
        assert clock.monotonic() < 0.5, "twenty answers at once are no rate of one a second"

    def test_a_traceback_shows_no_secret(self, scripted):
        told = "The Canonical String for this request should have been 'x-amz-security-token:FwoGSECRET'"
        caller, _ = scripted(lambda *_: client_error("InvalidSignatureException", told))
        with pytest.raises(errors.CredentialsMissing) as caught:
            caller.call("DescribeImages", {"repositoryName": "app"})
        shown = [str(error) for error in (caught.value, caught.value.__cause__)]
        assert not any("FwoG" in text for text in shown)
        assert "InvalidSignatureException" in "".join(traceback.format_exception(caught.value))


class TestRepositorySettings:
    """What is asked for is what is sent."""

    REPOSITORY = {
        "repositoryName": "app", "repositoryArn": "arn", "registryId": "1", "repositoryUri": "u", "createdAt": 1.0,
    }  # fmt: skip

    @pytest.mark.parametrize(
        ("options", "sent"),
        [
            ({}, None),
            ({"kms_key": "alias/k"}, {"encryptionType": "KMS", "kmsKey": "alias/k"}),
            ({"kms_key": "k", "encryption_type": "KMS_DSSE"}, {"encryptionType": "KMS_DSSE", "kmsKey": "k"}),
            ({"encryption_type": "AES256"}, {"encryptionType": "AES256"}),
        ],
    )
    def test_encryption(self, scripted, options, sent):
        caller, script = scripted(lambda *_: {"repository": self.REPOSITORY})
        EcrGateway(caller).create_repository("app", **options)
        assert script.calls[0][1].get("encryptionConfiguration") == sent

    def test_exclusions_replace_earlier_ones(self, scripted):
        caller, script = scripted(lambda *_: {})
        EcrGateway(caller).put_tag_mutability("app", "IMMUTABLE_WITH_EXCLUSION", exclusions=["latest*"])
        EcrGateway(caller).put_tag_mutability("app", "IMMUTABLE")
        assert [asked.get("imageTagMutabilityExclusionFilters") for _, asked in script.calls] == [
            [{"filterType": "WILDCARD", "filter": "latest*"}],
            None,
        ]


class TestTheSwitchOfTheParser:
    """The event that the fast parser uses is not documented, so it can be left alone."""

    @pytest.mark.parametrize("fast", [True, False])
    def test_switch(self, fast):
        client = AwsSession(offline_session("eu-west-1"), fast_parser=fast).client("ecr")
        parsed: dict[str, object] = {}
        client.meta.events.emit(
            "before-parse.ecr.ListImages",
            response_dict={"status_code": 200, "body": b'{"imageIds": []}'},
            customized_response_dict=parsed,
        )
        assert parsed == ({"imageIds": []} if fast else {})


class TestTheRegion:
    """A Region that is named wins over the session's."""

    def test_named(self):
        session = AwsSession(offline_session("eu-west-1"), region="eu-north-1")
        assert (session.region, session.client("ecr").meta.region_name) == ("eu-north-1", "eu-north-1")


class TestFanOut:
    """The same work for many items, several at a time (`ports.FanOut`)."""

    def test_at_the_same_time(self):
        both = threading.Barrier(2)
        fan_out: ports.FanOut = Workers(2)
        assert sorted(fan_out.each(lambda _: both.wait(PATIENCE) >= 0, ["a", "b"])) == [("a", True), ("b", True)]
