from __future__ import annotations

import datetime as dt
import json

import pytest

from ecrkit.local import Limits, ServiceFault
from tests.support.lab import Lab, sha

MIB = 1024 * 1024


def upload(lab: Lab, *parts: bytes) -> str:
    upload_id = lab("InitiateLayerUpload", repositoryName="app")["uploadId"]
    at = 0
    for part in parts:
        answer = lab(
            "UploadLayerPart", repositoryName="app", uploadId=upload_id, partFirstByte=at,
            partLastByte=at + len(part) - 1, layerPartBlob=part,
        )  # fmt: skip
        at += len(part)
        assert answer["lastByteReceived"] == at - 1
    return upload_id


class TestUpload:
    """Parts are consecutive, at least 5 MiB but the last, and the digest is checked (UploadLayerPart, O32)."""

    def test_two_parts(self, lab: Lab):
        first, second = b"a" * 5 * MIB, b"b"
        upload_id = upload(lab, first, second)
        done = lab("CompleteLayerUpload", repositoryName="app", uploadId=upload_id, layerDigests=[sha(first + second)])
        assert done["layerDigest"] == sha(first + second)
        assert lab.registry.blob("app", done["layerDigest"]) == first + second
        again = lab.refused("CompleteLayerUpload", repositoryName="app", uploadId=upload_id, layerDigests=[sha(b"")])
        assert again.code == "UploadNotFoundException"

    def test_gap_names_the_resume_point(self, lab: Lab):
        upload_id = upload(lab, b"abc")
        ask = {"repositoryName": "app", "uploadId": upload_id, "layerPartBlob": b"x"}
        fault = lab.refused("UploadLayerPart", **ask, partFirstByte=5, partLastByte=5)
        assert fault.code == "InvalidLayerPartException" and fault.members["lastValidByteReceived"] == 2
        wrong = lab.refused("UploadLayerPart", **ask, partFirstByte=3, partLastByte=9)
        assert wrong.code == "InvalidLayerPartException"

    def test_part_over_twenty_mebibytes(self, lab: Lab):
        upload_id = upload(lab)
        fault = lab.refused(
            "UploadLayerPart", repositoryName="app", uploadId=upload_id, partFirstByte=0, partLastByte=20 * MIB,
            layerPartBlob=b"x" * (20 * MIB + 1),
        )  # fmt: skip
        assert "less than or equal to 20971520" in fault.message

    def test_small_part_that_is_not_the_last(self, lab: Lab):
        ask = {"repositoryName": "app", "uploadId": upload(lab, b"a", b"b"), "layerDigests": [sha(b"ab")]}
        assert lab.refused("CompleteLayerUpload", **ask).code == "LayerPartTooSmallException"

    def test_empty(self, lab: Lab):
        ask = {"repositoryName": "app", "uploadId": upload(lab), "layerDigests": [sha(b"")]}
        assert lab.refused("CompleteLayerUpload", **ask).code == "EmptyUploadException"

    def test_wrong_digest_keeps_the_upload(self, lab: Lab):
        ask = {"repositoryName": "app", "uploadId": upload(lab, b"a")}
        assert lab.refused("CompleteLayerUpload", **ask, layerDigests=[sha(b"b")]).code == "InvalidLayerException"
        assert lab("CompleteLayerUpload", **ask, layerDigests=[sha(b"a")])

    def test_layer_that_exists(self, lab: Lab):
        lab.blob(b"a")
        ask = {"repositoryName": "app", "uploadId": upload(lab, b"a"), "layerDigests": [sha(b"a")]}
        assert lab.refused("CompleteLayerUpload", **ask).code == "LayerAlreadyExistsException"

    def test_part_limit_and_foreign_upload(self, lab: Lab):
        lab.engine.limits = Limits(layer_parts=1)
        upload_id = upload(lab, b"a")
        ask = {"uploadId": upload_id, "partFirstByte": 1, "partLastByte": 1, "layerPartBlob": b"b"}
        assert lab.refused("UploadLayerPart", repositoryName="app", **ask).code == "LimitExceededException"
        lab("CreateRepository", repositoryName="other")
        assert lab.refused("UploadLayerPart", repositoryName="other", **ask).code == "UploadNotFoundException"


class TestAvailabilityAndDownload:
    """Layers that no image uses are inaccessible; a URL lives an hour (GetDownloadUrlForLayer)."""

    def test_availability(self, lab: Lab):
        lab.push("a")
        got = lab("BatchCheckLayerAvailability", repositoryName="app", layerDigests=[sha("base"), sha("no"), "x", ""])
        assert [(la["layerAvailability"], la.get("layerSize")) for la in got["layers"]] == [
            ("AVAILABLE", 4),
            ("UNAVAILABLE", None),
        ]
        assert got["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
        assert [f["failureCode"] for f in got["failures"]] == ["InvalidLayerDigest", "MissingLayerDigest"]

    def test_download(self, lab: Lab):
        lab.push("a")
        url = lab("GetDownloadUrlForLayer", repositoryName="app", layerDigest=sha("base"))["downloadUrl"]
        assert lab.engine.fetch(url) == b"base"
        with pytest.raises(ServiceFault, match="AccessDenied"):
            lab.engine.fetch(url[:-1] + ("0" if url[-1] != "0" else "1"))
        lab.engine.advance(dt.timedelta(hours=1))
        with pytest.raises(ServiceFault, match="expired"):
            lab.engine.fetch(url)

    def test_refusals(self, lab: Lab):
        lab.blob(b"loose")
        ask = "GetDownloadUrlForLayer"
        assert lab.refused(ask, repositoryName="app", layerDigest=sha("loose")).code == "LayerInaccessibleException"
        assert lab.refused(ask, repositoryName="app", layerDigest=sha("no")).code == "LayersNotFoundException"


class TestBlobsOfTheRegistryProtocol:
    """The methods that the registry facade stands on: uploads and mounts (ECR user guide, blob mounting)."""

    def test_upload_session(self, lab: Lab):
        upload_id = lab.registry.start_upload("app")
        assert lab.registry.append_upload("app", upload_id, b"ab") == 2
        assert lab.registry.upload_size("app", upload_id) == 2
        assert lab.registry.finish_upload("app", upload_id, sha(b"abc"), b"c") == sha(b"abc")
        with pytest.raises(ServiceFault, match="UploadNotFound"):
            lab.registry.cancel_upload("app", upload_id)

    def test_bytes_must_have_their_digest(self, lab: Lab):
        with pytest.raises(ServiceFault, match="InvalidLayer"):
            lab.registry.put_blob("app", sha("a"), b"b")

    def test_mount_needs_the_setting_and_equal_encryption(self, lab: Lab):
        digest = lab.blob(b"shared")["digest"]
        lab("CreateRepository", repositoryName="same")
        lab("CreateRepository", repositoryName="kms", encryptionConfiguration={"encryptionType": "KMS"})
        assert not lab.registry.mount_blob("same", digest, "app")
        lab("PutAccountSetting", name="BLOB_MOUNTING", value="ENABLED")
        assert lab.registry.mount_blob("same", digest, "app")
        assert lab.registry.blob("same", digest) == b"shared"
        assert not lab.registry.mount_blob("kms", digest, "app")
        assert not lab.registry.mount_blob("same", sha("no"), "app")
        assert not lab.registry.mount_blob("same", sha("no"), "nowhere")

    def test_repositories_do_not_share_blobs(self, lab: Lab):
        lab("CreateRepository", repositoryName="other")
        text = lab.manifest("a")
        assert lab.refused("PutImage", repositoryName="other", imageManifest=text).code == "LayersNotFoundException"
        assert json.loads(text)["layers"]
