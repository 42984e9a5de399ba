"""A layer goes up in parts, and an answer that got lost costs nothing."""

from __future__ import annotations

import hashlib

import pytest
from botocore.exceptions import ClientError

from ecrkit import errors
from ecrkit.aws.ecr import EcrGateway
from tests.unit.aws.conftest import client_error

DIGEST = f"sha256:{hashlib.sha256(b'abcdefg').hexdigest()}"


def refused_part(received):
    error = client_error("InvalidLayerPartException", "not consecutive", operation="UploadLayerPart")
    response = {**error.response, **({} if received is None else {"lastValidByteReceived": received})}
    return ClientError(response, "UploadLayerPart")


@pytest.fixture
def upload(scripted):
    def run(parts=(), complete=None, size=3):
        """Upload seven bytes; `parts` are the answers to the parts, in turn."""
        left = list(parts)

        def answer(operation, _):
            if operation == "InitiateLayerUpload":
                return {"uploadId": "u", "partSize": size}
            if operation == "UploadLayerPart":
                return left.pop(0) if left else {}
            return complete or {}

        caller, script = scripted(answer)
        EcrGateway(caller, workers=1).upload_layer("app", [b"ab", b"cdefg"], digest=DIGEST)
        return [asked for operation, asked in script.calls if operation == "UploadLayerPart"]

    return run


class TestParts:
    """UploadLayerPart takes consecutive parts of the size that InitiateLayerUpload names (ECR API reference)."""

    def test_consecutive(self, upload):
        sent = upload()
        assert [(p["partFirstByte"], p["partLastByte"], p["layerPartBlob"]) for p in sent] == [
            (0, 2, b"abc"),
            (3, 5, b"def"),
            (6, 6, b"g"),
        ]

    def test_a_layer_that_is_there_is_no_error(self, upload):
        upload(complete=client_error("LayerAlreadyExistsException", operation="CompleteLayerUpload"))

    def test_any_other_conflict_is(self, upload):
        with pytest.raises(errors.Conflict):
            upload(complete=client_error("ConflictException", operation="CompleteLayerUpload"))


class TestALostAnswer:
    """A part whose answer got lost is refused when it is sent again: InvalidLayerPartException tells the last byte."""

    def test_the_part_is_there(self, upload):
        lost = client_error("ServerException", status=500, operation="UploadLayerPart")
        assert len(upload(parts=[{}, lost, refused_part(5)])) == 4

    @pytest.mark.parametrize("received", [2, 6, None])
    def test_another_part_is(self, upload, received):
        with pytest.raises(errors.Rejected, match="InvalidLayerPartException"):
            upload(parts=[{}, refused_part(received)])
