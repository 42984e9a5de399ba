"""What an image of a repository is for, told from its manifest or, when that was not read, from the listing."""

from __future__ import annotations

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory, Platform
from tests.support.manifests import CONFIG, DOCKER, INDEX, OCI, blob, child, detail, image_document, index_document, raw

IMAGE = raw(image_document([blob("a", 5)]))
SIGNATURE = raw(image_document([blob("s", 5, "application/vnd.dev.cosign.simplesigning.v1+json")]))
PROOF = raw(image_document([blob("p", 5)], config=blob("c2", 4, CONFIG)))
MARKED = {"platform": {"os": "unknown", "architecture": "unknown"}}
WITH_PROOF = raw(index_document([child(IMAGE), {**child(PROOF), **MARKED}]))


def kind(listed: dict[str, object]) -> str:
    return Inventory.from_api([listed]).kind_of(str(listed["imageDigest"]))


class TestFromManifests:
    """The manifest decides; an index says which of its children are attestations (BuildKit, attestation storage)."""

    def test_each(self) -> None:
        every = [WITH_PROOF, IMAGE, PROOF, SIGNATURE]
        inventory = Inventory.from_api([detail(m) for m in every], manifests=every)
        assert [inventory.kind_of(m.digest) for m in every] == ["index", "image", "attestation", "signature"]

    def test_the_index_alone_tells_the_attestation(self) -> None:
        inventory = Inventory.from_api([detail(WITH_PROOF), detail(PROOF)], manifests=[WITH_PROOF])
        assert inventory.kind_of(PROOF.digest) == "attestation"

    def test_one_index_that_runs_it_makes_it_an_image(self) -> None:
        runs = raw(index_document([child(PROOF)]))
        every = [WITH_PROOF, runs, PROOF]
        inventory = Inventory.from_api([detail(m) for m in every], manifests=every)
        assert inventory.kind_of(PROOF.digest) == "image"

    def test_who_is_not_there(self) -> None:
        with pytest.raises(KeyError):
            Inventory.from_api([]).kind_of(IMAGE.digest)


class TestFromTheListing:
    """DescribeImages tells media types and the subject; cosign's older scheme is told by the tag (prowler#4507)."""

    @pytest.mark.parametrize(
        ("end", "expected"), [("sig", "signature"), ("att", "attestation"), ("sbom", "sbom"), ("other", "image")]
    )
    def test_cosign_tags(self, end: str, expected: str) -> None:
        tag = f"sha256-{'0' * 64}.{end}"
        assert kind(detail(IMAGE, imageTags=[tag], artifactMediaType=CONFIG)) == expected

    def test_an_image_with_a_tag_of_its_own_is_no_signature(self) -> None:
        tags = [f"sha256-{'0' * 64}.sig", "v1"]
        assert kind(detail(IMAGE, imageTags=tags, artifactMediaType=CONFIG)) == "image"
        assert kind(detail(IMAGE, imageTags=tags[::-1], artifactMediaType=CONFIG)) == "image"

    @pytest.mark.parametrize(
        ("media_type", "more", "expected"),
        [
            (INDEX, {}, "index"),
            (DOCKER, {}, "image"),
            (OCI, {}, "unknown"),
            (OCI, {"artifactMediaType": CONFIG}, "image"),
            (OCI, {"artifactMediaType": CONFIG, "subjectManifestDigest": IMAGE.digest}, "artifact"),
            (OCI, {"artifactMediaType": "application/vnd.cncf.helm.config.v1+json"}, "artifact"),
            (OCI, {"artifactMediaType": "application/spdx+json", "subjectManifestDigest": IMAGE.digest}, "sbom"),
            (OCI, {"artifactMediaType": "application/vnd.cncf.notary.signature"}, "signature"),
            (None, {}, "unknown"),
        ],
    )
    def test_media_types(self, media_type: str | None, more: dict[str, str], expected: str) -> None:
        assert kind({**detail(IMAGE, **more), "imageManifestMediaType": media_type}) == expected

    def test_an_untagged_image_beside_an_unread_index_is_unknown(self) -> None:
        plain = detail(PROOF, artifactMediaType=CONFIG)
        tagged = detail(IMAGE, artifactMediaType=CONFIG, imageTags=["v1"])
        inventory = Inventory.from_api([detail(WITH_PROOF), plain, tagged])
        assert inventory.kind_of(PROOF.digest) == "unknown"
        assert inventory.kind_of(IMAGE.digest) == "image"


class TestLookUp:
    def test_tags(self) -> None:
        inventory = Inventory.from_api([detail(IMAGE, imageTags=["v1", "latest"]), detail(PROOF)])
        assert {tag: image.digest for tag, image in inventory.tags.items()} == {
            "v1": IMAGE.digest,
            "latest": IMAGE.digest,
        }

    def test_subject_from_the_manifest(self) -> None:
        subject = {"mediaType": OCI, "digest": IMAGE.digest, "size": 5}
        bundle = raw(image_document([blob("b", 5)], subject=subject, artifactType="application/x"))
        inventory = Inventory.from_api([detail(IMAGE), detail(bundle)], manifests=[bundle])
        assert inventory.subject_of(bundle.digest) == IMAGE.digest
        assert inventory.subject_of(IMAGE.digest) is None
        assert inventory.subject_of(PROOF.digest) is None
        assert [i.digest for i in inventory.referrers_of(IMAGE.digest)] == [bundle.digest]

    def test_subject_from_the_listing(self) -> None:
        inventory = Inventory.from_api([detail(PROOF, subjectManifestDigest=IMAGE.digest)])
        assert inventory.subject_of(PROOF.digest) == IMAGE.digest


class TestPlatform:
    """Runtimes compare platforms after bringing them to one spelling (containerd, platforms)."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("linux/amd64", "linux/amd64"),
            ("Linux/x86_64", "linux/amd64"),
            ("linux/x86-64", "linux/amd64"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/aarch64", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/7", "linux/arm/v7"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/armhf", "linux/arm/v7"),
            ("linux/i386", "linux/386"),
            ("macos/arm64", "darwin/arm64"),
            ("linux/riscv64/rva20u64", "linux/riscv64/rva20u64"),
        ],
    )
    def test_one_spelling(self, text: str, expected: str) -> None:
        assert str(Platform.parse(text).normalized) == expected
        assert Platform.parse(text).normalized.normalized == Platform.parse(text).normalized

    def test_the_version_of_windows_stays(self) -> None:
        assert Platform(os="windows", architecture="amd64", os_version="10.0").normalized.os_version == "10.0"

    @pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "a/b/c/d", "linux//v7"])
    def test_other_forms_are_refused(self, text: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            Platform.parse(text)
        assert str(caught.value) == f"not a platform: platform: must be os/architecture[/variant], not {text!r}"
