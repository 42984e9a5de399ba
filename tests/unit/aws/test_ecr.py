"""The gateway: what it asks, what it makes of the answers."""

from __future__ import annotations

import datetime as dt
import hashlib
import json

import attrs
import pytest

from ecrkit import errors, ports
from ecrkit.aws.ecr import ACCEPTED_MEDIA_TYPES, EcrGateway, plan_deletion
from ecrkit.records import Image, ImageFailure, ImageId, LifecyclePreview
from tests.unit.aws.conftest import client_error

PUSHED = 1767225600.0
INDEX = "application/vnd.oci.image.index.v1+json"


def sha(number):
    return f"sha256:{number:064x}"


def detail(number, **more):
    return {"imageDigest": sha(number), "imagePushedAt": PUSHED, "repositoryName": "app", **more}


@pytest.fixture
def gateway(scripted):
    def make(answer, *, registry_id=None, workers=1):
        found = answer if callable(answer) else lambda operation, _: answer[operation]
        caller, script = scripted(found)
        return EcrGateway(caller, registry_id=registry_id, workers=workers), script

    return make


class TestPorts:
    """The gateway is what the domains ask for."""

    def test_satisfies(self, gateway):
        made, _ = gateway({})
        sources: tuple[ports.RepositorySource, ports.ImageSource, ports.ManifestSource, ports.LifecyclePolicyStore] = (
            made,
            made,
            made,
            made,
        )
        assert len(sources) == 4
        assert repr(made) == "<EcrGateway to the caller's own registry, 1 workers>"


class TestArchivedImagesAreListed:
    """Without a filter DescribeImages and ListImages leave out archived images (ECR API reference)."""

    def test_images(self, gateway):
        made, script = gateway({"DescribeImages": {"imageDetails": [detail(1, imageStatus="ARCHIVED")]}})
        assert [image.status for image in made.images("app")] == ["ARCHIVED"]
        assert script.calls == [
            ("DescribeImages", {"repositoryName": "app", "maxResults": 1000, "filter": {"imageStatus": "ANY"}})
        ]

    def test_image_ids(self, gateway):
        answer = {"imageIds": [{"imageDigest": sha(1), "imageTag": "v1"}, {"imageDigest": sha(2)}, {"imageTag": "x"}]}
        made, script = gateway({"ListImages": answer})
        assert made.image_ids("app", tag_status="ANY").all() == (
            ImageId(digest=sha(1), tag="v1"),
            ImageId(digest=sha(2)),
        )
        assert script.calls[0][1]["filter"] == {"imageStatus": "ANY", "tagStatus": "ANY"}

    def test_an_old_model_is_refused_and_not_believed(self, gateway, monkeypatch):
        made, script = gateway({})
        monkeypatch.setattr("ecrkit.aws.drift.has_member", lambda *_: False)
        with pytest.raises(errors.NotSupportedByBotocore, match="imageStatus"):
            made.images("app")
        assert script.calls == []

    def test_a_bad_image_names_its_path(self, gateway):
        made, _ = gateway({"DescribeImages": {"imageDetails": [detail(1), {"imageDigest": "x"}]}})
        with pytest.raises(errors.InvalidInput) as caught:
            made.images("app").all()
        assert caught.value.problems[0].path == "$.imageDetails[1].imageDigest"


class TestAnotherAccountsRegistry:
    """The registry id goes with every call, and a call that cannot carry it is not made against one's own."""

    def test_sent(self, gateway):
        made, script = gateway({"DescribeImages": {}, "DescribeRepositories": {}}, registry_id="210987654321")
        made.images("app").all()
        made.repositories().all()
        assert {asked["registryId"] for _, asked in script.calls} == {"210987654321"}

    def test_not_sent_for_ones_own(self, gateway):
        made, script = gateway({"DescribeImages": {}})
        made.images("app").all()
        assert "registryId" not in script.calls[0][1]

    def test_refused(self, gateway):
        made, script = gateway({}, registry_id="210987654321")
        with pytest.raises(errors.InvalidInput, match="own registry only"):
            made.put_account_setting("BLOB_MOUNTING", "ENABLED")
        assert script.calls == []

    def test_an_arn_says_it_itself(self, gateway):
        made, script = gateway(
            {"ListTagsForResource": {"tags": [{"Key": "a", "Value": "b"}]}}, registry_id="210987654321"
        )
        assert made.tags_of("arn:x") == {"a": "b"}
        assert script.calls == [("ListTagsForResource", {"resourceArn": "arn:x"})]

    @pytest.mark.parametrize("wrong", ["", "123", "12345678901a", "1234567890123"])
    def test_twelve_digits(self, gateway, wrong):
        with pytest.raises(errors.InvalidInput, match="12 digits"):
            gateway({}, registry_id=wrong)


class TestCrawl:
    """Many repositories side by side; what cannot be read is never empty."""

    @staticmethod
    def answer(_, asked):
        if asked["repositoryName"] == "gone":
            return client_error("RepositoryNotFoundException")
        return {"imageDetails": [detail(1, repositoryName=asked["repositoryName"])]}

    @pytest.mark.parametrize("workers", [1, 4])
    def test_all(self, gateway, workers):
        made, _ = gateway(self.answer)
        seen = []
        names = [f"app{n}" for n in range(20)]
        crawl = list(made.images_of_many(names, workers=workers, ordered=True, on_progress=seen.append))
        assert [crawled.repository for crawled in crawl] == names
        assert all(crawled.images[0].repository == crawled.repository for crawled in crawl)
        assert [(p.done, p.total, p.what) for p in seen] == [(n, 20, "repositories") for n in range(1, 21)]

    def test_the_first_fault_ends_it(self, gateway):
        made, script = gateway(self.answer)
        with pytest.raises(errors.NotFound):
            list(made.images_of_many(["app", "gone", *[f"a{n}" for n in range(1000)]], workers=2))
        assert len(script.calls) < 50

    def test_keep_going(self, gateway):
        made, _ = gateway(self.answer)
        crawl = {c.repository: c for c in made.images_of_many(iter(["app", "gone", "web"]), workers=2, keep_going=True)}
        assert crawl["gone"].images is None
        assert "RepositoryNotFoundException" in crawl["gone"].fault
        assert len(crawl["app"].images) == len(crawl["web"].images) == 1


class TestManifests:
    """BatchGetImage takes 100 ids; what it fails on is recorded (ECR API reference, ImageFailure)."""

    @staticmethod
    def answer(_, asked):
        found = {"images": [], "failures": []}
        for image_id in asked["imageIds"]:
            digest = image_id["imageDigest"]
            if digest == sha(7):
                found["failures"].append(
                    {"imageId": image_id, "failureCode": "ImageNotFound", "failureReason": "not there"}
                )
            elif digest != sha(8):
                found["images"].append(
                    {"imageId": image_id, "imageManifest": f"text {digest}", "imageManifestMediaType": INDEX}
                )
        return found

    def test_batches(self, gateway):
        made, script = gateway(self.answer, workers=3)
        seen = []
        read = made.manifests("app", [sha(n) for n in [*range(250), 1, 2]], on_progress=seen.append)
        assert sorted(len(asked["imageIds"]) for _, asked in script.calls) == [50, 100, 100]
        assert all(asked["acceptedMediaTypes"] == list(ACCEPTED_MEDIA_TYPES) for _, asked in script.calls)
        assert len(ACCEPTED_MEDIA_TYPES) == 6
        assert len(read) == 248
        assert read[sha(1)].text == f"text {sha(1)}"
        assert read.failures == {
            sha(7): ImageFailure(digest=sha(7), code="ImageNotFound", reason="not there"),
            sha(8): ImageFailure(digest=sha(8), code="NotAnswered", reason="ECR answered nothing on it"),
        }
        assert sha(7) not in read
        assert repr(read) == "<Manifests: 248 read, 2 not>"
        assert seen[-1].total == 250

    def test_one_by_tag(self, gateway):
        made, script = gateway(
            {"BatchGetImage": {"images": [{"imageId": {"imageDigest": sha(1)}, "imageManifest": "{}"}]}}
        )
        assert made.manifest_of("app", "v1").digest == sha(1)
        assert made.manifest_of("app", sha(1)).digest == sha(1)
        assert [asked["imageIds"] for _, asked in script.calls] == [[{"imageTag": "v1"}], [{"imageDigest": sha(1)}]]

    def test_one_that_fails(self, gateway):
        failure = {"imageId": {"imageTag": "v1"}, "failureCode": "ImageNotFound"}
        made, _ = gateway({"BatchGetImage": {"failures": [failure]}})
        assert made.manifest_of("app", "v1") == ImageFailure(digest=None, tag="v1", code="ImageNotFound")
        made, _ = gateway({"BatchGetImage": {}})
        assert made.manifest_of("app", "v1").code == "NotAnswered"

    def test_referrers(self, gateway):
        raw = {"digest": sha(2), "mediaType": "m", "size": 3, "artifactType": "sig", "annotations": {"a": "b"}}
        made, script = gateway({"ListImageReferrers": {"referrers": [raw]}})
        (found,) = made.referrers("app", sha(1), artifact_types=["sig"])
        assert (found.digest, found.artifact_type, found.annotations, found.status) == (
            sha(2),
            "sig",
            {"a": "b"},
            "ACTIVE",
        )
        assert script.calls[0][1]["filter"] == {"artifactStatus": "ANY", "artifactTypes": ["sig"]}


class TestDeletionNeedsAPlan:
    """A plan re-checks what it rests on, and refuses when that moved."""

    def images(self, *details):
        return [Image.from_api(raw) for raw in details]

    def test_protected(self):
        images = self.images(detail(1, imageTags=["v1"]), detail(2))
        for name in ("v1", sha(2)):
            with pytest.raises(errors.PlanRefused) as caught:
                plan_deletion("app", images, protect=[name])
            assert len(caught.value.conflicts) == 1

    def test_another_repository(self):
        with pytest.raises(errors.InvalidInput, match="not to web"):
            plan_deletion("web", self.images(detail(1)))

    @pytest.mark.parametrize(
        ("now", "said"),
        [
            ([], "is gone"),
            ([detail(1, imageTags=["v1"])], "now carries v1"),
            ([detail(1, imageStatus="ARCHIVED")], "was ACTIVE and is ARCHIVED"),
            ([detail(1, lastRecordedPullTime=PUSHED + 1)], "was pulled at"),
        ],
    )
    def test_outdated(self, gateway, now, said):
        made, script = gateway({"DescribeImages": {"imageDetails": now}})
        with pytest.raises(errors.PlanOutdated, match=said) as caught:
            made.delete_images(plan_deletion("app", self.images(detail(1))))
        assert len(caught.value.changes) == 1
        assert script.operations == ["DescribeImages"]

    def test_indexes_first_and_in_hundreds(self, gateway):
        details = [detail(n) for n in range(149)] + [detail(500, imageManifestMediaType=INDEX)]

        def answer(operation, asked):
            if operation == "DescribeImages":
                return {"imageDetails": details}
            return {"imageIds": [{**i, "imageTag": "t"} for i in asked["imageIds"]] * 2}

        made, script = gateway(answer)
        seen = []
        report = made.delete_images(plan_deletion("app", self.images(*details)), on_progress=seen.append)
        batches = [asked["imageIds"] for operation, asked in script.calls if operation == "BatchDeleteImage"]
        assert [len(batch) for batch in batches] == [1, 100, 49]
        assert batches[0] == [{"imageDigest": sha(500)}]
        assert (len(report.deleted), report.failures) == (150, ())
        assert [p.done for p in seen] == [1, 101, 150]

    def test_a_nested_index_goes_in_a_second_round(self, gateway):
        details = [detail(1, imageManifestMediaType=INDEX), detail(2, imageManifestMediaType=INDEX)]
        there = {sha(1), sha(2)}

        def answer(operation, asked):
            if operation == "DescribeImages":
                return {"imageDetails": details}
            found = {"imageIds": [], "failures": []}
            held = sha(2) in there
            for image_id in asked["imageIds"]:
                if image_id["imageDigest"] == sha(1) and held:
                    found["failures"].append({"imageId": image_id, "failureCode": "ImageReferencedByManifestList"})
                else:
                    there.discard(image_id["imageDigest"])
                    found["imageIds"].append(image_id)
            return found

        made, _ = gateway(answer)
        report = made.delete_images(plan_deletion("app", self.images(*details)))
        assert (report.deleted, report.failures, there) == ((sha(2), sha(1)), (), set())

    def test_what_is_refused_or_unanswered_is_reported(self, gateway):
        details = [detail(1), detail(2)]
        failure = {"imageId": {"imageDigest": sha(1)}, "failureCode": "ImageReferencedByManifestList"}
        made, script = gateway(
            {"DescribeImages": {"imageDetails": details}, "BatchDeleteImage": {"failures": [failure]}}
        )
        report = made.delete_images(plan_deletion("app", self.images(*details)))
        assert report.deleted == ()
        assert {f.digest: f.code for f in report.failures} == {
            sha(1): "ImageReferencedByManifestList",
            sha(2): "NotAnswered",
        }
        assert script.operations.count("BatchDeleteImage") == 1, "no progress, so no second round"


class TestLifecycle:
    """The live policy and ECR's own preview."""

    def test_no_policy_is_none(self, gateway):
        made, _ = gateway(lambda *_: client_error("LifecyclePolicyNotFoundException"))
        assert made.lifecycle_policy("app") is None
        assert made.delete_lifecycle_policy("app") is None

    def test_no_repository_is_an_error(self, gateway):
        made, _ = gateway(lambda *_: client_error("RepositoryNotFoundException"))
        for call in (made.lifecycle_policy, made.delete_lifecycle_policy):
            with pytest.raises(errors.NotFound):
                call("app")

    def test_policy(self, gateway):
        made, _ = gateway({"GetLifecyclePolicy": {"lifecyclePolicyText": "{}", "lastEvaluatedAt": PUSHED}})
        found = made.lifecycle_policy("app")
        assert (found.text, found.last_evaluated_at) == ("{}", dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    def test_preview_of_the_live_policy_sends_no_text(self, gateway):
        made, script = gateway({"StartLifecyclePolicyPreview": {}})
        made.start_lifecycle_preview("app")
        made.start_lifecycle_preview("app", "{}")
        assert [asked.get("lifecyclePolicyText") for _, asked in script.calls] == [None, "{}"]

    def test_every_page(self, gateway):
        def result(number):
            return {
                "imageDigest": sha(number), "imageTags": ["v"], "imagePushedAt": PUSHED, "appliedRulePriority": 2,
                "action": {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}, "storageClass": "STANDARD",
            }  # fmt: skip

        first = {
            "status": "COMPLETE", "lifecyclePolicyText": "{}", "nextToken": "t", "previewResults": [result(1)],
            "summary": {
                "expiringImageTotalCount": 0,
                "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 2}],
            },
        }  # fmt: skip
        second = {"status": "COMPLETE", "previewResults": [result(2)]}
        made, script = gateway(lambda _, asked: second if asked.get("nextToken") else first)
        found = made.lifecycle_preview("app")
        assert [r.digest for r in found.results] == [sha(1), sha(2)]
        assert (found.status, found.policy_text, found.expiring_count, found.transitioning_count) == (
            "COMPLETE",
            "{}",
            0,
            2,
        )
        assert (found.results[0].target_storage_class, found.results[0].rule_priority) == ("ARCHIVE", 2)
        assert script.calls[0][1]["maxResults"] == 100

    def test_a_preview_that_is_not_ready_has_unknown_counts(self, gateway):
        made, _ = gateway({"GetLifecyclePolicyPreview": {"status": "IN_PROGRESS", "lifecyclePolicyText": "{}"}})
        assert made.lifecycle_preview("app") == LifecyclePreview(
            repository="app", status="IN_PROGRESS", policy_text="{}"
        )

    def test_a_preview_restarted_between_pages_is_not_complete(self, gateway):
        pages = {None: {"status": "COMPLETE", "nextToken": "t"}, "t": {"status": "IN_PROGRESS"}}
        made, _ = gateway(lambda _, asked: pages[asked.get("nextToken")])
        assert made.lifecycle_preview("app").status == "IN_PROGRESS"


class TestOnTheEmbeddedEcr:
    """The same gateway on a content-addressed registry."""

    @pytest.fixture
    def made(self, embedded):
        return EcrGateway(embedded.caller("ecr"), workers=4)

    def push(self, made, text="hello"):
        config, layer = b"{}", text.encode()
        digests = []
        for blob in (config, layer):
            digest = f"sha256:{hashlib.sha256(blob).hexdigest()}"
            made.upload_layer("app", [blob[:1], blob[1:]], digest=digest)
            digests.append(digest)
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digests[0], "size": 2},
                "layers": [
                    {
                        "mediaType": "application/vnd.oci.image.layer.v1.tar",
                        "digest": digests[1],
                        "size": len(layer),
                    }
                ],
            }
        )
        return made.put_image("app", manifest, tag="v1"), manifest, digests

    def test_push_read_archive_delete(self, made):
        created = made.create_repository("app", tag_mutability="MUTABLE", scan_on_push=True, tags={"team": "a"})
        assert created.scan_on_push
        assert made.tags_of(created.arn) == {"team": "a"}
        made.untag_resource(created.arn, ["team"])
        made.tag_resource(created.arn, {"team": "b"})
        assert made.tags_of(created.arn) == {"team": "b"}
        assert [r.name for r in made.repositories()] == ["app"]
        assert [r.name for r in made.repositories_named(["app", "app"])] == ["app"]

        put, manifest, digests = self.push(made)
        assert put == ImageId(digest=f"sha256:{hashlib.sha256(manifest.encode()).hexdigest()}", tag="v1")
        with pytest.raises(errors.Conflict):
            made.put_image("app", manifest, tag="v1")
        self_again, _, _ = self.push(made, "other")
        assert self_again.digest != put.digest
        assert made.manifests("app", [put.digest])[put.digest].text == manifest
        states = made.layers("app", [*digests, sha(1)])
        assert [states[d].availability for d in (*digests, sha(1))] == ["AVAILABLE", "AVAILABLE", "UNAVAILABLE"]
        assert made.layer_url("app", digests[1]).startswith("http")
        assert made.update_storage_class("app", put.digest, "archive") == "ARCHIVED"
        archived = {image.digest: image.status for image in made.images("app")}
        assert archived == {put.digest: "ARCHIVED", self_again.digest: "ACTIVE"}
        assert {i.digest for i in made.image_ids("app")} == set(archived)

        with pytest.raises(errors.Conflict):
            made.delete_empty_repository("app")
        plan = plan_deletion("app", made.images("app"))
        assert set(made.delete_images(plan).deleted) == set(archived)
        assert made.images("app").all() == ()
        with pytest.raises(errors.PlanOutdated):
            made.delete_images(plan)
        assert made.delete_empty_repository("app").name == "app"
        with pytest.raises(errors.NotFound, match="app"):
            made.repository("app")

    def test_settings(self, made):
        made.create_repository("app", mutability_exclusions=["latest*"], tag_mutability="IMMUTABLE_WITH_EXCLUSION")
        found = made.repository("app")
        assert (found.tag_mutability, found.mutability_exclusions) == ("IMMUTABLE_WITH_EXCLUSION", ("latest*",))
        made.put_tag_mutability("app", "MUTABLE")
        made.put_scan_on_push("app", enabled=True)
        changed = attrs.evolve(found, tag_mutability="MUTABLE", mutability_exclusions=(), scan_on_push=True)
        assert made.repository("app") == changed
        made.put_account_setting("BLOB_MOUNTING", "ENABLED")
        assert made.account_setting("BLOB_MOUNTING") == "ENABLED"

    def test_throttled_and_none_lost(self, made, engine):
        from ecrkit.local import throttle

        for number in range(30):
            made.create_repository(f"app{number}")
        engine.before_call.append(throttle(20, 5, clock=engine.clock))
        before = len(engine.calls)
        crawl = list(made.images_of_many([f"app{n}" for n in range(30)], workers=1))
        assert len(crawl) == 30
        assert len(engine.calls) - before <= 36

    def test_wrong_layer_bytes(self, made):
        made.create_repository("app")
        with pytest.raises(errors.Rejected):
            made.upload_layer("app", [b"x"], digest=sha(1))
