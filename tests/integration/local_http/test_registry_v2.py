from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from tests.support.lab import INDEX, OCI, sha

APP = "/v2/team/app"


def blob(wire: Any, data: bytes, repository: str = "team/app") -> dict[str, Any]:
    done = wire("POST", f"/v2/{repository}/blobs/uploads/?digest={sha(data)}", data)
    assert done.status == 201, done
    return {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(data), "size": len(data)}


def manifest(wire: Any, seed: str = "a", **more: Any) -> str:
    config = blob(wire, f"config {seed}".encode())
    return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": [config], **more})


def push(wire: Any, reference: str, text: str, media: str = OCI) -> Any:
    return wire("PUT", f"{APP}/manifests/{reference}", text.encode(), Content_Type=media)


class TestAuthentication:
    """Basic authentication, user AWS, a password of GetAuthorizationToken (ECR user guide, registry authentication)."""

    def test_challenge(self, wire):
        wire.password = ""
        found = wire("GET", "/v2/")
        assert found.error == (401, "UNAUTHORIZED")
        assert found.headers["WWW-Authenticate"].startswith('Basic realm="http://127.0.0.1:')
        assert found.headers["Docker-Distribution-Api-Version"] == "registry/2.0"

    def test_ping(self, wire):
        assert wire("GET", "/v2/").status == 200
        assert wire("HEAD", "/v2/").status == 200

    @pytest.mark.parametrize(
        "header", ["Basic !!!", "Basic QVdT", "Bearer x", "Basic cm9vdDp4", "Basic QVdTOnVua25vd24="]
    )
    def test_wrong_credentials(self, wire, header: str):
        found = wire("GET", f"{APP}/tags/list", Authorization=header)
        assert found.error == (401, "UNAUTHORIZED") and "WWW-Authenticate" in found.headers

    def test_expired(self, wire, engine):
        engine.advance(dt.timedelta(hours=12))
        found = wire("GET", "/v2/")
        assert found.error == (403, "DENIED")
        assert found.document["errors"][0]["message"] == (
            "Your authorization token has expired. Reauthenticate and try again."
        )

    def test_a_token_serves_its_region_only(self, wire, engine):
        host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        assert wire("GET", "/v2/", Host=host).error == (403, "DENIED")
        wire.login("eu-west-1")
        engine.call("CreateRepository", {"repositoryName": "there"}, region="eu-west-1")
        assert wire("GET", "/v2/_catalog", Host=host).document == {"repositories": ["there"]}

    def test_refusals_of_the_engine_show(self, wire, engine):
        from ecrkit.local import ServiceFault

        def deny(call: Any) -> None:
            if call.operation == "BatchGetImage":
                raise ServiceFault("AccessDeniedException", "User: x is not authorized to perform: ecr:BatchGetImage")

        engine.before_call.append(deny)
        assert wire("GET", f"{APP}/manifests/v1").error == (403, "DENIED")


class TestUploads:
    """Blobs go up whole, in pieces, chunked, or by mounting (OCI distribution specification, push)."""

    def test_in_pieces(self, wire, engine):
        start = wire("POST", f"{APP}/blobs/uploads/")
        where = start.headers["Location"]
        assert (start.status, start.headers["Range"]) == (202, "0-0")
        first = wire("PATCH", where, b"hello ", Content_Range="0-5")
        assert (first.status, first.headers["Range"]) == (202, "0-5")
        gap = wire("PATCH", where, b"x", Content_Range="9-9")
        assert gap.error == (416, "BLOB_UPLOAD_INVALID") and gap.headers["Range"] == "0-5"
        chunked = wire("PATCH", where, iter([b"wor", b"ld"]))
        assert chunked.headers["Range"] == "0-10"
        assert wire("GET", where).headers["Range"] == "0-10"
        done = wire("PUT", f"{where}?digest={sha(b'hello world!')}", b"!")
        assert done.status == 201 and done.headers["Docker-Content-Digest"] == sha(b"hello world!")
        assert engine.registry().blob("team/app", sha(b"hello world!")) == b"hello world!"
        assert wire("PATCH", where, b"x").error == (404, "BLOB_UPLOAD_UNKNOWN")

    def test_larger_than_memory_spool(self, wire, engine):
        data = bytes(range(256)) * 12_000
        where = wire("POST", f"{APP}/blobs/uploads/").headers["Location"]
        wire("PATCH", where, iter([data[:1_000_000], data[1_000_000:]]))
        assert wire("PUT", f"{where}?digest={sha(data)}").status == 201
        assert engine.registry().blob("team/app", sha(data)) == data

    def test_a_wrong_digest_keeps_nothing(self, wire, engine):
        found = wire("POST", f"{APP}/blobs/uploads/?digest={sha(b'other')}", b"data")
        assert found.error == (400, "DIGEST_INVALID")
        assert engine.registry().uploads == {}
        assert wire("HEAD", f"{APP}/blobs/{sha(b'other')}").status == 404
        where = wire("POST", f"{APP}/blobs/uploads/").headers["Location"]
        assert wire("PUT", f"{where}?digest=md5:0", b"").error == (400, "DIGEST_INVALID")

    def test_cancel(self, wire):
        where = wire("POST", f"{APP}/blobs/uploads/").headers["Location"]
        assert wire("DELETE", where).status == 204
        assert wire("GET", where).error == (404, "BLOB_UPLOAD_UNKNOWN")

    def test_mounting_is_a_setting(self, wire, engine):
        engine.call("CreateRepository", {"repositoryName": "base"})
        blob(wire, b"shared", "base")
        asked = f"{APP}/blobs/uploads/?mount={sha(b'shared')}&from=base"
        assert wire("POST", asked).status == 202
        engine.call("PutAccountSetting", {"name": "BLOB_MOUNTING", "value": "ENABLED"})
        assert wire("POST", asked).status == 201
        assert wire("HEAD", f"{APP}/blobs/{sha(b'shared')}").headers["Content-Length"] == "6"
        assert wire("POST", f"{APP}/blobs/uploads/?mount={sha(b'none')}&from=base").status == 202

    def test_no_repository(self, wire):
        assert wire("POST", "/v2/none/blobs/uploads/").error == (404, "NAME_UNKNOWN")
        assert wire("POST", "/v2/UPPER/blobs/uploads/").error == (400, "NAME_INVALID")


class TestBlobs:
    """HEAD says the size, GET gives the bytes or a range of them; a layer without an image is inaccessible."""

    def test_ranges(self, wire):
        text = manifest(wire)
        push(wire, "v1", text)
        path = f"{APP}/blobs/{sha(b'config a')}"
        assert wire("HEAD", path).headers["Content-Length"] == "8"
        assert wire("GET", path).body == b"config a"
        assert wire("GET", path, Range="bytes=7-").body == b"a"
        assert wire("GET", path, Range="bytes=-3").body == b"g a"
        assert wire("GET", path, Range="bytes=2-99").headers["Content-Range"] == "bytes 2-7/8"
        assert wire("GET", path, Range="bytes=8-9").status == 416
        assert wire("GET", path, Range="lines=1-2").status == 200

    def test_unknown_and_unused(self, wire):
        assert wire("GET", f"{APP}/blobs/{sha(b'none')}").error == (404, "BLOB_UNKNOWN")
        blob(wire, b"unused")
        assert wire("GET", f"{APP}/blobs/{sha(b'unused')}").error == (404, "BLOB_UNKNOWN")
        assert wire("GET", f"{APP}/blobs/sha256:1").error == (400, "DIGEST_INVALID")
        assert wire("DELETE", f"{APP}/blobs/{sha(b'unused')}").error == (405, "UNSUPPORTED")


class TestManifests:
    """Manifests are kept as they came; tags obey the repository's mutability."""

    def test_round_trip(self, wire, engine):
        text = manifest(wire)
        put = push(wire, "v1", text)
        assert put.status == 201 and put.headers["Docker-Content-Digest"] == sha(text)
        for reference in ("v1", sha(text)):
            got = wire("GET", f"{APP}/manifests/{reference}")
            assert got.body == text.encode() and got.headers["Content-Type"] == OCI
            head = wire("HEAD", f"{APP}/manifests/{reference}")
            assert (head.status, head.body, head.headers["Content-Length"]) == (200, b"", str(len(text)))
        assert push(wire, "v1", text).status == 201  # again
        assert push(wire, sha(text), text).status == 201
        detail = engine.call("DescribeImages", {"repositoryName": "team/app"})["imageDetails"][0]
        assert detail["imageTags"] == ["v1"] and detail["imageSizeInBytes"] == 16

    def test_a_manifest_without_media_type(self, wire):
        document = json.loads(manifest(wire))
        del document["mediaType"]
        assert push(wire, "v1", json.dumps(document)).status == 201
        assert wire("HEAD", f"{APP}/manifests/v1").headers["Content-Type"] == OCI

    def test_immutable_tag(self, wire, engine):
        push(wire, "v1", manifest(wire, "a"))
        engine.call("PutImageTagMutability", {"repositoryName": "team/app", "imageTagMutability": "IMMUTABLE"})
        found = push(wire, "v1", manifest(wire, "b"))
        assert found.error == (400, "TAG_INVALID") and "immutable" in found.document["errors"][0]["message"]

    def test_refusals(self, wire):
        absent = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(b"none"), "size": 4}
        bad = json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": absent, "layers": []})
        assert push(wire, "v1", bad).error == (400, "MANIFEST_BLOB_UNKNOWN")
        assert push(wire, "v1", "no json").error == (400, "MANIFEST_INVALID")
        assert wire("PUT", f"{APP}/manifests/v1", b"\xff", Content_Type=OCI).error == (400, "MANIFEST_INVALID")
        assert push(wire, sha(b"other"), manifest(wire)).error == (400, "DIGEST_INVALID")
        assert wire("GET", f"{APP}/manifests/none").error == (404, "MANIFEST_UNKNOWN")
        assert wire("GET", "/v2/none/manifests/v1").error == (404, "NAME_UNKNOWN")
        assert wire("POST", f"{APP}/manifests/v1", b"").error == (405, "UNSUPPORTED")
        assert wire("GET", f"{APP}/nothing").error == (404, "UNSUPPORTED")

    def test_an_archived_image_cannot_be_pulled(self, wire, engine):
        text = manifest(wire)
        push(wire, "v1", text)
        engine.call(
            "UpdateImageStorageClass",
            {"repositoryName": "team/app", "imageId": {"imageTag": "v1"}, "targetStorageClass": "ARCHIVE"},
        )
        assert wire("GET", f"{APP}/manifests/v1").error == (404, "MANIFEST_UNKNOWN")
        assert wire("HEAD", f"{APP}/blobs/{sha(b'config a')}").status == 404

    def test_delete(self, wire, engine):
        text = manifest(wire)
        push(wire, "v1", text)
        push(wire, "v2", text)
        assert wire("DELETE", f"{APP}/manifests/v1").status == 202
        assert wire("HEAD", f"{APP}/manifests/v2").status == 200
        assert wire("DELETE", f"{APP}/manifests/{sha(text)}").status == 202
        assert wire("DELETE", f"{APP}/manifests/{sha(text)}").error == (404, "MANIFEST_UNKNOWN")

    def test_delete_of_a_held_child(self, wire):
        text = manifest(wire)
        push(wire, sha(text), text)
        child = {"mediaType": OCI, "digest": sha(text), "size": len(text)}
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [child]})
        assert push(wire, "multi", index, INDEX).status == 201
        assert wire("DELETE", f"{APP}/manifests/{sha(text)}").error == (403, "DENIED")


class TestLists:
    """Tags and repositories come sorted and in pages with a Link; referrers as an index (OCI distribution)."""

    def test_tags_in_pages(self, wire):
        text = manifest(wire)
        for tag in ("c", "a", "b"):
            push(wire, tag, text)
        assert wire("GET", f"{APP}/tags/list").document == {"name": "team/app", "tags": ["a", "b", "c"]}
        first = wire("GET", f"{APP}/tags/list?n=2")
        assert first.document["tags"] == ["a", "b"]
        link = first.headers["Link"]
        assert link == f'<{APP}/tags/list?n=2&last=b>; rel="next"'
        second = wire("GET", link[1 : link.index(">")])
        assert second.document["tags"] == ["c"] and second.headers["Link"] is None
        assert wire("GET", f"{APP}/tags/list?n=3").headers["Link"] is None
        assert wire("GET", f"{APP}/tags/list?n=0").document["tags"] == []
        assert wire("GET", f"{APP}/tags/list?n=x").error == (400, "PAGINATION_NUMBER_INVALID")
        assert wire("GET", "/v2/none/tags/list").error == (404, "NAME_UNKNOWN")

    def test_more_tags_than_a_page_of_the_api(self, wire, engine):
        text = manifest(wire)
        for number in range(1001):
            if number % 1000 == 0:
                text = manifest(wire, str(number))
            engine.call("PutImage", {"repositoryName": "team/app", "imageManifest": text, "imageTag": f"t{number:04}"})
        found = wire("GET", f"{APP}/tags/list")
        assert len(found.document["tags"]) == 1000 and "last=t0999" in found.headers["Link"]

    def test_referrers(self, wire):
        subject = manifest(wire)
        push(wire, "v1", subject)
        reference = {"mediaType": OCI, "digest": sha(subject), "size": len(subject)}
        sbom = manifest(wire, "s", subject=reference, artifactType="application/spdx+json", annotations={"k": "v"})
        assert push(wire, sha(sbom), sbom).headers["OCI-Subject"] == sha(subject)
        other = manifest(wire, "t", subject=reference, artifactType="application/other")
        push(wire, sha(other), other)
        every = wire("GET", f"{APP}/referrers/{sha(subject)}")
        assert every.headers["Content-Type"] == INDEX and len(every.document["manifests"]) == 2
        some = wire("GET", f"{APP}/referrers/{sha(subject)}?artifactType=application/spdx%2Bjson")
        assert some.headers["OCI-Filters-Applied"] == "artifactType"
        assert some.document["manifests"] == [
            {
                "digest": sha(sbom), "mediaType": OCI, "size": len(sbom), "artifactType": "application/spdx+json",
                "annotations": {"k": "v"},
            }
        ]  # fmt: skip
        assert wire("GET", f"{APP}/referrers/{sha(b'none')}").document["manifests"] == []
