from __future__ import annotations

import datetime as dt
import json

import botocore.exceptions
import pytest
from botocore.config import Config

from ecrkit.local import ServiceFault, client, throttle
from ecrkit.local.wire import answer
from tests.support.lab import OCI, Lab, sha
from tests.support.shapes import CheckedEngine

TARGET = "AmazonEC2ContainerRegistry_V20150921."


@pytest.fixture
def engine() -> CheckedEngine:
    return CheckedEngine()


class TestHook:
    """An ordinary boto3 client talks to the engine; its retries, paginators and exceptions stay botocore's."""

    def test_push_pull_and_typed_errors(self, engine: CheckedEngine):
        ecr = client(engine)
        ecr.create_repository(repositoryName="app")
        blob = b"{}"
        upload = ecr.initiate_layer_upload(repositoryName="app")["uploadId"]
        ecr.upload_layer_part(
            repositoryName="app", uploadId=upload, partFirstByte=0, partLastByte=1, layerPartBlob=blob
        )
        ecr.complete_layer_upload(repositoryName="app", uploadId=upload, layerDigests=[sha(blob)])
        reference = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": sha(blob), "size": 2}
        text = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": reference, "layers": [reference], "é": "ü"})
        put = ecr.put_image(repositoryName="app", imageManifest=text, imageTag="v1")
        assert put["image"]["imageId"]["imageDigest"] == sha(text)
        assert (
            ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "v1"}])["images"][0]["imageManifest"]
            == text
        )
        detail = ecr.describe_images(repositoryName="app")["imageDetails"][0]
        assert detail["imagePushedAt"] == engine.clock.now() and detail["imageSizeInBytes"] == 4
        with pytest.raises(ecr.exceptions.ImageAlreadyExistsException):
            ecr.put_image(repositoryName="app", imageManifest=text, imageTag="v1")
        with pytest.raises(ecr.exceptions.InvalidLayerPartException) as caught:
            upload = ecr.initiate_layer_upload(repositoryName="app")["uploadId"]
            ecr.upload_layer_part(
                repositoryName="app", uploadId=upload, partFirstByte=0, partLastByte=1, layerPartBlob=b"ab"
            )
            ecr.upload_layer_part(
                repositoryName="app", uploadId=upload, partFirstByte=9, partLastByte=9, layerPartBlob=b"c"
            )
        assert caught.value.response["lastValidByteReceived"] == 1

    def test_paginator(self, engine: CheckedEngine):
        ecr = client(engine)
        for n in range(12):
            ecr.create_repository(repositoryName=f"r{n:02}")
        pages = list(ecr.get_paginator("describe_repositories").paginate(PaginationConfig={"PageSize": 5}))
        assert [len(p["repositories"]) for p in pages] == [5, 5, 2]

    def test_waiter(self, engine: CheckedEngine, monkeypatch: pytest.MonkeyPatch):
        lab = Lab()
        ecr = client(lab.engine)
        text = json.dumps(
            {
                "rules": [
                    {
                        "rulePriority": 1,
                        "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
                        "action": {"type": "expire"},
                    }
                ]
            }
        )
        lab.push("a")
        lab.engine.advance(dt.timedelta(days=1))
        lab.push("b")
        monkeypatch.setattr("botocore.waiter.time.sleep", lambda s: lab.engine.advance(dt.timedelta(seconds=s)))
        ecr.start_lifecycle_policy_preview(repositoryName="app", lifecyclePolicyText=text)
        ecr.get_waiter("lifecycle_policy_preview_complete").wait(repositoryName="app")
        assert ecr.get_lifecycle_policy_preview(repositoryName="app")["summary"] == {"expiringImageTotalCount": 1}

    def test_retries_are_botocores_own(self, engine: CheckedEngine):
        ecr = client(engine, config=Config(retries={"mode": "standard", "total_max_attempts": 2}))
        engine.before_call.append(throttle(0.0001, 1))
        ecr.describe_repositories()
        with pytest.raises(botocore.exceptions.ClientError, match=r"ThrottlingException.*Rate exceeded"):
            ecr.describe_repositories()
        assert len(engine.calls) == 3

    def test_unsupported_is_final(self, engine: CheckedEngine):
        ecr = client(engine)
        missing = [r for r in __import__("ecrkit.local", fromlist=["x"]).operation_table() if r.state != "supported"]
        for row in missing:
            if row.operation == "GetSigningConfiguration":
                before = len(engine.calls)
                with pytest.raises(botocore.exceptions.ClientError, match="does not support GetSigningConfiguration"):
                    ecr.get_signing_configuration()
                assert len(engine.calls) == before + 1

    def test_only_this_client(self, engine: CheckedEngine):
        one, two = client(engine), client(CheckedEngine())
        one.create_repository(repositoryName="app")
        assert two.describe_repositories()["repositories"] == []

    def test_region_and_account(self, engine: CheckedEngine):
        ecr = client(engine, region="eu-west-1", account="210987654321")
        uri = ecr.create_repository(repositoryName="app")["repository"]["repositoryUri"]
        assert uri == "210987654321.dkr.ecr.eu-west-1.amazonaws.com/app"

    def test_no_profile_is_read(self, engine: CheckedEngine, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("AWS_PROFILE", "does-not-exist")
        assert client(engine).describe_repositories()["repositories"] == []
        with pytest.raises(ValueError, match="ecr, not s3"):
            client(engine, service="s3")


class TestWire:
    """AWS JSON 1.1: refusals are 400 with `__type`, never 5xx."""

    def ask(self, engine: CheckedEngine, operation: str, body: bytes) -> tuple[int, dict[str, object]]:
        got = answer(engine, TARGET + operation, body)
        return got.status, json.loads(got.body)

    def test_times_and_unknown_members(self, engine: CheckedEngine):
        status, body = self.ask(engine, "CreateRepository", b'{"repositoryName":"app","newMember":1}')
        assert status == 200 and body["repository"]["createdAt"] == 1767225600.0

    @pytest.mark.parametrize("body", [b"{", b"[]", b"\xff", b"[" * 100000])
    def test_rubbish(self, engine: CheckedEngine, body: bytes):
        status, answered = self.ask(engine, "DescribeRepositories", body)
        assert status == 400 and answered["__type"] == "SerializationException"

    def test_blob_that_is_no_base64(self, engine: CheckedEngine):
        status, answered = self.ask(engine, "UploadLayerPart", b'{"layerPartBlob":"*"}')
        assert (status, answered["__type"]) == (400, "SerializationException")

    @pytest.mark.parametrize("target", ["", "X.DescribeRepositories", TARGET + "Nope", "DescribeRepositories"])
    def test_unknown_operation(self, engine: CheckedEngine, target: str):
        got = answer(engine, target, b"{}")
        assert got.status == 400 and json.loads(got.body)["__type"] == "UnknownOperationException"

    def test_members_of_the_error(self, engine: CheckedEngine):
        def fail(_: object) -> None:
            raise ServiceFault("KmsException", "no key", members={"kmsError": "x"})

        engine.before_call.append(fail)
        _, body = self.ask(engine, "CreateRepository", b'{"repositoryName":"app"}')
        assert body == {"__type": "KmsException", "message": "no key", "kmsError": "x"}
