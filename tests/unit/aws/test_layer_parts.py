"""A part that goes past JSON arrives as if it had not, at both ends."""

from __future__ import annotations

import base64
import json

import pytest

from ecrkit import errors
from ecrkit._internal import base64_bytes
from ecrkit.aws.layer_parts import STAND_IN
from ecrkit.local import wire
from ecrkit.local.validation import service_model
from tests.support.promotion import TARGET, registry
from tests.support.tools import require_module

PART = bytes(range(256)) * 1024
UPLOAD = service_model().operation_model("UploadLayerPart")


@pytest.fixture(params=[True, False], ids=["pybase64", "binascii"])
def coder(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr(base64_bytes, "_fast", None)
    else:
        require_module("pybase64", package="pybase64")
        assert base64_bytes.accelerated()
    return request.param


@pytest.mark.usefixtures("coder")
class TestSent:
    """UploadLayerPart, layerPartBlob: base64 in JSON (ECR API reference)."""

    def test_the_body_is_what_botocore_makes(self):
        with registry() as made:
            bodies = []
            made.client.meta.events.register(
                "before-sign.ecr.UploadLayerPart", lambda request, **_: bodies.append(bytes(request.data))
            )
            upload = made.gateway.start_upload(TARGET).upload_id
            assert made.gateway.upload_part(TARGET, upload, PART, first=0) == len(PART)
            other = made.gateway.start_upload(TARGET).upload_id
            made.client.upload_layer_part(
                repositoryName=TARGET, uploadId=other, partFirstByte=0, partLastByte=len(PART) - 1, layerPartBlob=PART
            )
            assert bodies[0] == bodies[1].replace(other.encode(), upload.encode())
            assert made.engine.registry().uploads[upload].parts == [PART]

    @pytest.mark.parametrize("part", [b"x", STAND_IN, STAND_IN * 3000])
    def test_small_parts_and_the_stand_in_itself(self, part):
        with registry() as made:
            upload = made.gateway.start_upload(TARGET).upload_id
            assert made.gateway.upload_part(TARGET, upload, part, first=0) == len(part)
            assert made.engine.registry().uploads[upload].parts == [part]

    def test_where_ecr_goes_on(self):
        with registry() as made:
            upload = made.gateway.start_upload(TARGET).upload_id
            made.gateway.upload_part(TARGET, upload, PART, first=0)
            for first in (0, 7, len(PART) + 1):
                assert made.gateway.upload_part(TARGET, upload, PART, first=first) == len(PART)
            fresh = made.gateway.start_upload(TARGET).upload_id
            with pytest.raises(errors.Rejected, match="InvalidLayerPartException"):
                made.gateway.upload_part(TARGET, fresh, PART, first=5)


def body(**members):
    whole = {"repositoryName": "app", "layerPartBlob": base64.b64encode(PART).decode(), **members}
    return json.dumps(whole).encode()


@pytest.mark.usefixtures("coder")
class TestReceived:
    """Whatever is unusual about a request is read the long way, with the same outcome."""

    def test_taken_aside(self):
        assert wire._part_aside(UPLOAD, body())[0] == PART
        assert wire.decode_request(UPLOAD, body(uploadId="u")) == {
            "repositoryName": "app", "layerPartBlob": PART, "uploadId": "u",
        }  # fmt: skip

    @pytest.mark.parametrize(
        "sent",
        [
            body(uploadId='"layerPartBlob": "'),
            body()[:-1] + b', "layerPartBlob": ""}',
            body().replace(b"AQID", b"\\u0041QID", 1),
            b'{"x": ' + body() + b"}",
            b"[" + body() + b"]",
            body()[:-3],
            body() + b"}",
            body().replace(b"/", b"\\/"),
            body().replace(b"AQID", b"A!ID", 1),
        ],
        ids=["quoted", "twice", "escaped", "nested", "list", "cut", "more", "slashes", "no base64"],
    )
    def test_unusual(self, sent, monkeypatch):
        def outcome():
            try:
                return wire.decode_request(UPLOAD, sent)
            except wire.ServiceFault as fault:
                return fault.code

        fast = outcome()
        monkeypatch.setattr(wire, "_part_aside", lambda operation, text: (None, text))
        assert fast == outcome()
