from __future__ import annotations

import datetime as dt
import json

import pytest

from ecrkit.local import ImageDeleted, ImagePushed, Limits
from tests.support.lab import DOCKER, INDEX, OCI, Lab, sha
from tests.support.samples import sample_text


class TestDigestAndSize:
    """imageDigest is the SHA-256 of the exact text; size is config plus layers (BatchGetImage, ImageDetail)."""

    def test_digest_of_the_exact_text(self, lab: Lab):
        text = lab.manifest("a") + "\n"
        assert lab.put(text, "v1") == sha(text)
        assert lab.get({"imageTag": "v1"})["images"][0]["imageManifest"] == text

    def test_size_is_config_plus_layers(self, lab: Lab):
        digest = lab.push("a", layers=(b"12345", b"123"))
        assert lab.details()[digest]["imageSizeInBytes"] == len(b"config a") + 8

    def test_size_of_an_index_is_the_maximum_of_its_manifests(self, lab: Lab):
        a, b = lab.push("a", layers=(b"12345",)), lab.push("b", layers=(b"123456789",))
        index = lab.index([a, b], "multi")
        assert lab.details()[index]["imageSizeInBytes"] == len(b"config b") + 9

    def test_wrong_digest_argument(self, lab: Lab):
        fault = lab.refused(
            "PutImage", repositoryName="app", imageManifest=lab.manifest("a"), imageDigest="sha256:" + "0" * 64
        )
        assert fault.code == "ImageDigestDoesNotMatchException"
        assert lab.details() == {}

    def test_two_manifests_with_equal_layers_do_not_collide(self, lab: Lab):
        assert lab.push("a") != lab.push("a", annotations={"x": "y"})

    @pytest.mark.parametrize("name", ["ecr_batch_get_image.json", "ecr_put_image.json"])
    def test_payloads_of_aws(self, lab: Lab, name: str):
        answer = json.loads(sample_text("operations", name))
        image = (answer.get("images") or [answer.get("image")])[0]
        document = json.loads(image["imageManifest"])
        for blob in (document["config"], *document["layers"]):
            lab.registry.declare_blob("app", blob["digest"], blob["size"])
        digest = lab.put(image["imageManifest"])
        assert digest == image["imageId"]["imageDigest"]
        total = document["config"]["size"] + sum(layer["size"] for layer in document["layers"])
        assert lab.details()[digest]["imageSizeInBytes"] == total
        if name == "ecr_batch_get_image.json":
            assert total == 48318255


class TestPutImageRefusals:
    """PutImage checks contents, media types and limits (ECR API reference, PutImage)."""

    def put(self, lab: Lab, document: object, **more: str):
        text = document if isinstance(document, str) else json.dumps(document)
        return lab.refused("PutImage", repositoryName="app", imageManifest=text, **more)

    def test_missing_layers_are_named(self, lab: Lab):
        blob = {"mediaType": "x/y", "digest": sha("gone"), "size": 1}
        fault = self.put(lab, {"schemaVersion": 2, "mediaType": OCI, "config": blob, "layers": []})
        assert fault.code == "LayersNotFoundException" and sha("gone") in fault.message

    def test_missing_children_are_named(self, lab: Lab):
        fault = self.put(lab, {"schemaVersion": 2, "mediaType": INDEX, "manifests": [{"digest": sha("c"), "size": 1}]})
        assert fault.code == "ReferencedImagesNotFoundException" and sha("c") in fault.message

    def test_foreign_layers_need_no_bytes(self, lab: Lab):
        document = json.loads(lab.manifest("a"))
        document["layers"].append(
            {"mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "digest": sha("f"), "size": 7}
        )
        assert lab.put(json.dumps(document))

    @pytest.mark.parametrize(
        ("document", "said"),
        [
            ("{", "Invalid JSON syntax"),
            ("[]", "JSON object"),
            ("[" * 5000, "Invalid JSON syntax"),
            ({"schemaVersion": 2, "config": {}, "layers": []}, "imageManifestMediaType"),
            ({"mediaType": "text/plain"}, "unsupported manifest media type"),
            ({"mediaType": OCI, "config": {"digest": "x"}, "layers": []}, "config.digest"),
            ({"mediaType": OCI, "layers": []}, "config must be a descriptor"),
            ({"mediaType": INDEX}, "manifests must be a list"),
            ({"mediaType": OCI, "config": {"digest": sha("c"), "size": -1}, "layers": []}, "config.size"),
            ({"mediaType": OCI, "config": {"digest": sha("c"), "size": 1, "mediaType": "a/b;c"}, "layers": []}, "';'"),
        ],
    )
    def test_unfit_manifests(self, lab: Lab, document: object, said: str):
        fault = self.put(lab, document)
        assert fault.code == "InvalidParameterException" and said in fault.message

    def test_media_type_from_the_argument(self, lab: Lab):
        document = json.loads(lab.manifest("a"))
        del document["mediaType"]
        digest = lab.put(json.dumps(document), imageManifestMediaType=OCI)
        assert lab.details()[digest]["imageManifestMediaType"] == OCI

    def test_media_type_contradiction(self, lab: Lab):
        assert "must equal" in self.put(lab, lab.manifest("a"), imageManifestMediaType=DOCKER).message

    def test_four_mebibytes(self, lab: Lab):
        text = lab.manifest("a", annotations={"x": "é" * 2_097_100})
        assert len(text) > 4_194_304 or len(text.encode()) > 4_194_304
        assert self.put(lab, text).code == "InvalidParameterException"

    def test_limits(self, lab: Lab):
        lab.engine.limits = Limits(images_per_repository=1, tags_per_image=2)
        text = lab.manifest("a")
        lab.put(text, "a")
        lab.put(text, "b")
        assert self.put(lab, text, imageTag="c").code == "LimitExceededException"
        assert self.put(lab, lab.manifest("b")).code == "LimitExceededException"


class TestTags:
    """A moved tag leaves the old image untagged; pushing the same again is refused (PutImage, O30)."""

    def test_moved_tag_leaves_the_old_image_untagged(self, lab: Lab):
        old, new = lab.push("a", "latest"), lab.push("b", "latest")
        found = lab.details()
        assert "imageTags" not in found[old] and found[new]["imageTags"] == ["latest"]

    def test_a_new_tag_does_not_change_the_push_time(self, lab: Lab):
        text = lab.manifest("a")
        digest = lab.put(text, "v1")
        before = lab.details()[digest]["imagePushedAt"]
        lab.engine.advance(dt.timedelta(days=3))
        lab.put(text, "v2")
        assert lab.details()[digest]["imagePushedAt"] == before
        assert lab.details()[digest]["imageTags"] == ["v1", "v2"]

    @pytest.mark.parametrize("tag", ["v1", None])
    def test_same_again(self, lab: Lab, tag: str | None):
        text = lab.manifest("a")
        lab.put(text, tag)
        more = {"imageTag": tag} if tag else {}
        fault = lab.refused("PutImage", repositoryName="app", imageManifest=text, **more)
        assert fault.code == "ImageAlreadyExistsException"

    @pytest.mark.parametrize(
        ("mode", "filters", "tag", "moves"),
        [
            ("MUTABLE", None, "v1", True),
            ("IMMUTABLE", None, "v1", False),
            ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], "dev-7", True),
            ("IMMUTABLE_WITH_EXCLUSION", ["latest", "dev-*"], "my-dev-7", False),
            ("IMMUTABLE_WITH_EXCLUSION", ["v.1"], "vx1", False),
            ("IMMUTABLE_WITH_EXCLUSION", ["*-rc*"], "v1-rc", True),
            ("MUTABLE_WITH_EXCLUSION", ["v*"], "v1", False),
            ("MUTABLE_WITH_EXCLUSION", ["v*"], "latest", True),
        ],
    )
    def test_four_modes(self, lab: Lab, mode: str, filters: list[str] | None, tag: str, moves: bool):
        more = (
            {"imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": f} for f in filters]}
            if filters
            else {}
        )
        lab("PutImageTagMutability", repositoryName="app", imageTagMutability=mode, **more)
        old = lab.push("a", tag)
        if moves:
            assert lab.push("b", tag) != old
        else:
            fault = lab.refused("PutImage", repositoryName="app", imageManifest=lab.manifest("b"), imageTag=tag)
            assert fault.code == "ImageTagAlreadyExistsException"
            assert lab.details()[old]["imageTags"] == [tag]

    def test_a_new_tag_in_an_immutable_repository(self, lab: Lab):
        lab("PutImageTagMutability", repositoryName="app", imageTagMutability="IMMUTABLE")
        text = lab.manifest("a")
        assert lab.put(text, "v1") == lab.put(text, "v2")


class TestBatchGetImage:
    """Failures come beside the images with their codes; digest and tag must agree (ImageFailureCode)."""

    def test_failures(self, lab: Lab):
        a, b = lab.push("a", "a"), lab.push("b", "b")
        got = lab.get(
            {"imageTag": "no"},
            {"imageDigest": a, "imageTag": "b"},
            {"imageDigest": "x"},
            {},
            {"imageDigest": sha("no")},
            {"imageDigest": b, "imageTag": "b"},
        )
        assert [f["failureCode"] for f in got["failures"]] == [
            "ImageNotFound", "ImageTagDoesNotMatchDigest", "InvalidImageDigest", "MissingDigestAndTag", "ImageNotFound",
        ]  # fmt: skip
        assert [i["imageId"] for i in got["images"]] == [{"imageDigest": b, "imageTag": "b"}]

    def test_duplicates_answer_once(self, lab: Lab):
        a = lab.push("a", "a")
        assert len(lab.get({"imageTag": "a"}, {"imageTag": "a"}, {"imageDigest": a})["images"]) == 2

    def test_media_types_that_are_not_accepted(self, lab: Lab):
        a = lab.push("a", "a")
        assert lab.get({"imageTag": "a"}, acceptedMediaTypes=[OCI])["images"]
        failure = lab.get({"imageTag": "a"}, acceptedMediaTypes=[DOCKER])["failures"][0]
        assert failure["failureCode"] == "ImageNotFound" and "does not translate" in failure["failureReason"]
        by_digest = lab.get({"imageDigest": a}, acceptedMediaTypes=[DOCKER])["failures"][0]
        assert "translate" not in by_digest["failureReason"]

    def test_a_pull_is_recorded_once_a_day(self, lab: Lab):
        a = lab.push("a", "a")
        assert "lastRecordedPullTime" not in lab.details()[a]
        lab.get({"imageTag": "a"})
        first = lab.details()[a]["lastRecordedPullTime"]
        lab.engine.advance(dt.timedelta(hours=23))
        lab.get({"imageTag": "a"})
        assert lab.details()[a]["lastRecordedPullTime"] == first
        lab.engine.advance(dt.timedelta(hours=1))
        lab.get({"imageTag": "a"})
        assert lab.details()[a]["lastRecordedPullTime"] == first + dt.timedelta(days=1)

    def test_an_excluded_principal_leaves_no_pull_time(self, lab: Lab):
        a = lab.push("a", "a")
        lab.registry.pull_time_exclusions["arn:aws:iam::123456789012:role/scanner"] = None
        lab.engine.call(
            "BatchGetImage", {"repositoryName": "app", "imageIds": [{"imageTag": "a"}]},
            caller="arn:aws:iam::123456789012:role/scanner",
        )  # fmt: skip
        assert "lastRecordedPullTime" not in lab.details()[a]


class TestDescribeAndList:
    """Real pages and filters; ACTIVE images only unless asked (DescribeImages, ListImages, O12)."""

    def test_pages(self, lab: Lab):
        pushed = {lab.push(str(n), f"t{n}") for n in range(7)}
        seen: list[str] = []
        params: dict[str, object] = {"maxResults": 3}
        sizes = []
        while True:
            page = lab("DescribeImages", repositoryName="app", **params)
            sizes.append(len(page["imageDetails"]))
            seen += [d["imageDigest"] for d in page["imageDetails"]]
            if "nextToken" not in page:
                break
            params["nextToken"] = page["nextToken"]
        assert sizes == [3, 3, 1] and seen == sorted(pushed)

    def test_full_last_page_has_no_token(self, lab: Lab):
        for n in range(4):
            lab.push(str(n))
        page = lab("DescribeImages", repositoryName="app", maxResults=2)
        assert "nextToken" not in lab("DescribeImages", repositoryName="app", maxResults=2, nextToken=page["nextToken"])

    def test_a_deletion_between_pages_loses_nothing(self, lab: Lab):
        pushed = sorted(lab.push(str(n)) for n in range(5))
        page = lab("DescribeImages", repositoryName="app", maxResults=2)
        lab.delete({"imageDigest": pushed[1]})
        rest = lab("DescribeImages", repositoryName="app", nextToken=page["nextToken"])["imageDetails"]
        assert [d["imageDigest"] for d in rest] == pushed[2:]

    def test_default_page_is_a_hundred(self, lab: Lab):
        for n in range(101):
            lab.push(str(n))
        assert len(lab("DescribeImages", repositoryName="app")["imageDetails"]) == 100
        assert len(lab("ListImages", repositoryName="app")["imageIds"]) == 100
        assert len(lab("ListImages", repositoryName="app", maxResults=1000)["imageIds"]) == 101

    def test_list_images_pages_inside_one_image(self, lab: Lab):
        text = lab.manifest("a")
        for n in range(5):
            lab.put(text, f"t{n}")
        bare = lab.push("b")
        seen, params = [], {"maxResults": 2}
        while True:
            page = lab("ListImages", repositoryName="app", **params)
            seen += page["imageIds"]
            if "nextToken" not in page:
                break
            params["nextToken"] = page["nextToken"]
        assert sorted(i.get("imageTag", "") for i in seen) == ["", "t0", "t1", "t2", "t3", "t4"]
        assert {"imageDigest": bare} in seen

    def test_filters(self, lab: Lab):
        tagged, bare, cold = lab.push("a", "a"), lab.push("b"), lab.push("c", "c")
        lab(
            "UpdateImageStorageClass", repositoryName="app", imageId={"imageDigest": cold}, targetStorageClass="ARCHIVE"
        )
        assert set(lab.details()) == {tagged, bare}
        assert set(lab.details(filter={"tagStatus": "TAGGED"})) == {tagged}
        assert set(lab.details(filter={"tagStatus": "UNTAGGED"})) == {bare}
        assert set(lab.details(filter={"imageStatus": "ARCHIVED"})) == {cold}
        assert set(lab.details(filter={"imageStatus": "ANY"})) == {tagged, bare, cold}
        listed = lab("ListImages", repositoryName="app", filter={"imageStatus": "ANY", "tagStatus": "TAGGED"})
        assert {i["imageDigest"] for i in listed["imageIds"]} == {tagged, cold}

    def test_named_images(self, lab: Lab):
        a = lab.push("a", "a")
        assert list(lab.details(imageIds=[{"imageTag": "a"}, {"imageDigest": a}])) == [a]
        fault = lab.refused("DescribeImages", repositoryName="app", imageIds=[{"imageTag": "no"}])
        assert fault.code == "ImageNotFoundException" and "imageTag:'no'" in fault.message
        both = lab.refused("DescribeImages", repositoryName="app", imageIds=[{"imageTag": "a"}], maxResults=5)
        assert both.code == "InvalidParameterException"

    @pytest.mark.parametrize("token", ["rubbish", "é", "W10="])
    def test_foreign_token(self, lab: Lab, token: str):
        for operation in ("DescribeImages", "ListImages"):
            assert "Invalid next token" in lab.refused(operation, repositoryName="app", nextToken=token).message


class TestBatchDeleteImage:
    """A tag is removed, the last one takes the image; a digest takes all; indexes hold their children."""

    def test_tag_then_last_tag(self, lab: Lab):
        text = lab.manifest("a")
        digest = lab.put(text, "a")
        lab.put(text, "b")
        assert lab.delete({"imageTag": "a"}) == {"imageIds": [{"imageDigest": digest, "imageTag": "a"}], "failures": []}
        assert lab.details()[digest]["imageTags"] == ["b"]
        lab.delete({"imageTag": "b"})
        assert lab.details() == {}
        kinds = [e.image_remains for e in lab.engine.events if isinstance(e, ImageDeleted)]
        assert kinds == [True, False]

    def test_digest_takes_all_tags(self, lab: Lab):
        text = lab.manifest("a")
        digest = lab.put(text, "a")
        lab.put(text, "b")
        gone = lab.delete({"imageDigest": digest})["imageIds"]
        assert [i["imageTag"] for i in gone] == ["a", "b"]
        assert lab.get({"imageTag": "a"})["failures"][0]["failureCode"] == "ImageNotFound"

    def test_an_index_holds_its_children(self, lab: Lab):
        child = lab.push("a", "child")
        index = lab.index([child], "multi")
        failure = lab.delete({"imageDigest": child})["failures"][0]
        assert failure["failureCode"] == "ImageReferencedByManifestList" and index in failure["failureReason"]
        assert lab.delete({"imageTag": "child"})["failures"]
        assert lab.delete({"imageDigest": index}, {"imageDigest": child})["failures"] == []
        assert lab.details() == {}

    def test_an_archived_index_holds_them_too(self, lab: Lab):
        child = lab.push("a")
        index = lab.index([child])
        lab(
            "UpdateImageStorageClass",
            repositoryName="app",
            imageId={"imageDigest": index},
            targetStorageClass="ARCHIVE",
        )
        failures = lab.delete({"imageDigest": child})["failures"]
        assert [f["failureCode"] for f in failures] == ["ImageReferencedByManifestList"]

    def test_an_unused_layer_that_is_used_again_in_time_stays(self, lab: Lab):
        text = lab.manifest("a", layers=(b"only a",))
        lab.delete({"imageDigest": lab.put(text)})
        lab.engine.advance(dt.timedelta(hours=23))
        lab.put(text)
        lab.engine.advance(dt.timedelta(hours=24))
        assert lab.registry.blob("app", sha("only a")) == b"only a"

    def test_failures(self, lab: Lab):
        a = lab.push("a", "a")
        failures = lab.delete({"imageTag": "no"}, {"imageDigest": a, "imageTag": "no"}, {})["failures"]
        codes = [f["failureCode"] for f in failures]
        assert codes == ["ImageNotFound", "ImageTagDoesNotMatchDigest", "MissingDigestAndTag"]

    def test_a_hundred_ids(self, lab: Lab):
        ids = [{"imageTag": str(n)} for n in range(101)]
        assert (
            "less than or equal to 100" in lab.refused("BatchDeleteImage", repositoryName="app", imageIds=ids).message
        )

    def test_unused_layers_go_after_a_day_and_shared_ones_stay(self, lab: Lab):
        a, b = lab.push("a", layers=(b"base", b"only a")), lab.push("b")
        before = lab.registry.stored_bytes("app")
        lab.delete({"imageDigest": a})
        assert before - lab.registry.stored_bytes("app") == len(b"config a") + len(b"only a")
        lab.engine.advance(dt.timedelta(hours=24))
        lab("DescribeRepositories")
        assert lab.registry.blob("app", sha("only a")) is None
        assert lab.registry.blob("app", sha("base")) == b"base" and b in lab.details()


class TestArchive:
    """UpdateImageStorageClass: archive at once, restore within 20 minutes or by pushing again (L42 to L44)."""

    def move(self, lab: Lab, digest: str, to: str):
        params = {"repositoryName": "app", "imageId": {"imageDigest": digest}, "targetStorageClass": to}
        return lab("UpdateImageStorageClass", **params)["imageStatus"]

    def test_archive_and_restore(self, lab: Lab):
        a = lab.push("a", "a")
        assert self.move(lab, a, "ARCHIVE") == "ARCHIVED"
        assert lab.get({"imageTag": "a"})["failures"][0]["failureCode"] == "ImageInaccessible"
        layers = lab("BatchCheckLayerAvailability", repositoryName="app", layerDigests=[sha("base")])["layers"]
        assert layers[0]["layerAvailability"] == "ARCHIVED"
        lab.engine.advance(dt.timedelta(days=1))
        assert self.move(lab, a, "STANDARD") == "ACTIVATING"
        assert self.move(lab, a, "STANDARD") == "ACTIVATING"
        lab.engine.advance(dt.timedelta(minutes=19))
        assert lab.get({"imageTag": "a"})["images"] == []
        lab.engine.advance(dt.timedelta(minutes=1))
        detail = lab.details()[a]
        assert detail["imageStatus"] == "ACTIVE" and detail["lastActivatedAt"] == lab.engine.clock.now()
        assert detail["lastArchivedAt"] < detail["lastActivatedAt"]

    def test_pushing_again_restores_at_once(self, lab: Lab):
        text = lab.manifest("a")
        a = lab.put(text, "a")
        self.move(lab, a, "ARCHIVE")
        lab.put(text, "a")
        assert lab.details()[a]["imageStatus"] == "ACTIVE"

    def test_refusals(self, lab: Lab):
        child = lab.push("a")
        index = lab.index([child])
        wanted = {"repositoryName": "app", "imageId": {"imageDigest": child}}
        code = "ImageStorageClassUpdateNotSupportedException"
        assert lab.refused("UpdateImageStorageClass", **wanted, targetStorageClass="ARCHIVE").code == code
        assert lab.refused("UpdateImageStorageClass", **wanted, targetStorageClass="STANDARD").code == code
        self.move(lab, index, "ARCHIVE")
        assert self.move(lab, child, "ARCHIVE") == "ARCHIVED"
        assert lab.refused("UpdateImageStorageClass", **wanted, targetStorageClass="ARCHIVE").code == code
        missing = lab.refused(
            "UpdateImageStorageClass", repositoryName="app", imageId={"imageTag": "no"}, targetStorageClass="ARCHIVE"
        )
        assert missing.code == "ImageNotFoundException"


class TestReferrers:
    """ListImageReferrers, and referrers that follow their subject within 24 hours (L40, O36)."""

    def sign(self, lab: Lab, subject: str, n: int, kind: str = "application/x.sig") -> str:
        about = {"mediaType": OCI, "digest": subject, "size": 1}
        return lab.push(f"sig {n}", subject=about, artifactType=kind, annotations={"n": str(n)})

    def test_entries_pages_and_filter(self, lab: Lab):
        a = lab.push("a", "a")
        made = sorted(self.sign(lab, a, n) for n in range(22))
        sbom = self.sign(lab, a, 99, "application/x.sbom")
        ask = {"repositoryName": "app", "subjectId": {"imageDigest": a}}
        page = lab("ListImageReferrers", **ask)
        assert len(page["referrers"]) == 20
        rest = lab("ListImageReferrers", **ask, nextToken=page["nextToken"])
        assert len(rest["referrers"]) == 3 and "nextToken" not in rest
        only = lab("ListImageReferrers", **ask, filter={"artifactTypes": ["application/x.sbom"]})["referrers"]
        assert [r["digest"] for r in only] == [sbom] and only[0]["annotations"] == {"n": "99"}
        assert only[0]["size"] == len(lab.get({"imageDigest": sbom})["images"][0]["imageManifest"])
        assert lab.details(imageIds=[{"imageDigest": made[0]}])[made[0]]["subjectManifestDigest"] == a
        assert "less than or equal to 50" in lab.refused("ListImageReferrers", **ask, maxResults=51).message

    def test_status_filter(self, lab: Lab):
        a = lab.push("a", "a")
        sig = self.sign(lab, a, 1)
        lab("UpdateImageStorageClass", repositoryName="app", imageId={"imageDigest": sig}, targetStorageClass="ARCHIVE")
        ask = {"repositoryName": "app", "subjectId": {"imageDigest": a}}
        assert lab("ListImageReferrers", **ask)["referrers"] == []
        assert (
            lab("ListImageReferrers", **ask, filter={"artifactStatus": "ANY"})["referrers"][0]["artifactStatus"]
            == "ARCHIVED"
        )

    def test_they_follow_a_deleted_subject_level_by_level(self, lab: Lab):
        a = lab.push("a", "a")
        sig = self.sign(lab, a, 1)
        of_sig = self.sign(lab, sig, 2)
        lab.delete({"imageDigest": a})
        assert set(lab.details()) == {sig, of_sig}
        lab.engine.advance(dt.timedelta(days=1))
        assert lab.details() == {}
        assert {e.by for e in lab.engine.events if isinstance(e, ImageDeleted)} == {"api", "referrer-sweep"}

    def test_a_subject_pushed_again_keeps_them(self, lab: Lab):
        text = lab.manifest("a")
        a = lab.put(text, "a")
        sig = self.sign(lab, a, 1)
        lab.delete({"imageDigest": a})
        lab.put(text, "a")
        lab.engine.advance(dt.timedelta(days=1))
        assert set(lab.details()) == {a, sig}

    def test_they_follow_an_archived_subject(self, lab: Lab):
        a = lab.push("a", "a")
        sig = self.sign(lab, a, 1)
        lab("UpdateImageStorageClass", repositoryName="app", imageId={"imageDigest": a}, targetStorageClass="ARCHIVE")
        lab.engine.advance(dt.timedelta(days=1))
        assert lab.details(filter={"imageStatus": "ARCHIVED"}).keys() == {a, sig}

    def test_push_event_names_the_subject(self, lab: Lab):
        a = lab.push("a", "a")
        self.sign(lab, a, 1)
        pushed = [e for e in lab.engine.events if isinstance(e, ImagePushed)]
        assert [e.subject_digest for e in pushed] == [None, a]
