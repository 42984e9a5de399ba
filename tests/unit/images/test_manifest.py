from __future__ import annotations

import base64
import json

import pytest

from ecrkit.errors import InvalidManifest
from ecrkit.images import Manifest
from ecrkit.images.manifest import EMPTY_CONFIG, MAX_MANIFEST_BYTES, parse_manifests
from tests.support.manifests import (
    CONFIG,
    DOCKER,
    INDEX,
    LAYER,
    OCI,
    blob,
    child,
    digest_of,
    image_document,
    index_document,
    raw,
)
from tests.support.samples import sample_texts

V1 = "application/vnd.docker.distribution.manifest.v1+json"
V1_SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"


def parse(document: object, **more: str) -> Manifest:
    return Manifest.parse(json.dumps(document), **more)


def problems(document: object, **more: str) -> dict[str, str]:
    with pytest.raises(InvalidManifest) as caught:
        parse(document, **more)
    return {p.path: p.message for p in caught.value.problems}


class TestDigest:
    """A manifest's digest is the SHA-256 of its exact text in UTF-8 (OCI distribution specification)."""

    def test_of_the_text_as_it_is(self) -> None:
        text = json.dumps(image_document([blob("a", 5)]), indent=3) + "\n"
        assert Manifest.parse(text).digest == digest_of(text)
        assert Manifest.parse(text.encode()).digest == digest_of(text)
        assert Manifest.parse(text).length == len(text)

    def test_another_digest_is_a_fault(self) -> None:
        found = problems(image_document([blob("a", 5)]), digest=digest_of("other"))
        assert list(found) == ["$"]
        assert digest_of("other") in found["$"]

    def test_of_a_signed_schema_1_manifest_is_that_of_its_payload(self) -> None:
        payload = json.dumps({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("l")}]})
        cut = len(payload) - 1
        protected = json.dumps({"formatLength": cut, "formatTail": base64.urlsafe_b64encode(b"}").decode().rstrip("=")})
        signature = {"protected": base64.urlsafe_b64encode(protected.encode()).decode().rstrip("=")}
        signed = payload[:cut] + ',"signatures":' + json.dumps([signature]) + "}"
        manifest = Manifest.parse(signed, digest=digest_of(payload))
        assert manifest.digest == digest_of(payload)
        assert manifest.media_type == V1_SIGNED
        assert manifest.kind == "image"

    @pytest.mark.parametrize("signatures", [[], [{}], [{"protected": "!"}], "x", [{"protected": "e30"}]])
    def test_of_an_unreadable_signature_is_that_of_the_whole(self, signatures: object) -> None:
        document = {"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("l")}], "signatures": signatures}
        assert parse(document).digest == digest_of(json.dumps(document))


class TestKinds:
    """The media types and annotations tell what a manifest is for."""

    @pytest.mark.parametrize("media_type", [OCI, DOCKER])
    def test_image(self, media_type: str) -> None:
        config = CONFIG if media_type == OCI else "application/vnd.docker.container.image.v1+json"
        manifest = parse({**image_document([blob("a", 5)], config=blob("c", 3, config)), "mediaType": media_type})
        assert (manifest.kind, manifest.is_index, manifest.children) == ("image", False, ())
        assert manifest.content_size == 8

    def test_an_unknown_layer_type_is_no_fault(self) -> None:
        manifest = parse(image_document([blob("a", 5, "application/vnd.example.layer")]))
        assert (manifest.kind, manifest.layers[0].compression) == ("image", "unknown")

    def test_index_and_its_children(self) -> None:
        one, two = raw(image_document([blob("a", 5)])), raw(image_document([blob("b", 5)]))
        manifest = parse(index_document([child(one), child(two, "linux/arm64"), child(one)]))
        assert manifest.kind == "index"
        assert manifest.children == (one.digest, two.digest)
        assert [str(d.platform) for d in manifest.platforms] == ["linux/amd64", "linux/arm64", "linux/amd64"]
        assert manifest.content_size is None
        assert manifest.blobs == ()

    def test_nested_index(self) -> None:
        inner = raw(index_document([child(raw(image_document([])))]))
        assert parse(index_document([{**child(inner), "platform": None}])).children == (inner.digest,)

    @pytest.mark.parametrize(
        "entry",
        [
            {"platform": {"os": "unknown", "architecture": "unknown"}},
            {"annotations": {"vnd.docker.reference.type": "attestation-manifest"}, "platform": None},
        ],
    )
    def test_buildx_attestation_child_is_no_platform(self, entry: dict[str, object]) -> None:
        image, attestation = raw(image_document([blob("a", 5)])), raw(image_document([blob("att", 9)]))
        manifest = parse(index_document([child(image), {**child(attestation), **entry}]))
        assert [d.digest for d in manifest.platforms] == [image.digest]
        assert manifest.children == (image.digest, attestation.digest)

    def test_what_a_node_can_run_is_no_attestation(self) -> None:
        # An image that carries the annotation must not slip past gates that leave attestations out.
        notes = {"vnd.docker.reference.type": "attestation-manifest"}
        entry = {**child(raw(image_document([blob("a", 5)]))), "annotations": notes}
        assert not parse(index_document([entry])).manifests[0].is_attestation

    @pytest.mark.parametrize("artifact_type", ["application/spdx+json", "application/vnd.cncf.notary.signature"])
    def test_an_image_is_one_whatever_it_claims(self, artifact_type: str) -> None:
        files, bill = blob("a", 5), blob("b", 5, "application/spdx+json")
        assert parse(image_document([files, bill], artifactType=artifact_type)).kind == "image"

    def test_attestation_names_its_sibling(self) -> None:
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest_of("x")}
        entry = {**child(raw(image_document([]))), "annotations": notes, "platform": None}
        found = parse(index_document([entry])).manifests[0]
        assert (found.is_attestation, found.attests) == (True, digest_of("x"))

    def test_attestation_manifest_in_both_layouts(self) -> None:
        layers = [blob("p", 5, "application/vnd.in-toto+json")]
        legacy = parse(image_document(layers))
        empty = {"mediaType": "application/vnd.oci.empty.v1+json", "digest": EMPTY_CONFIG, "size": 2}
        artifact = parse(
            image_document(
                layers,
                config=empty,
                artifactType="application/vnd.docker.attestation.manifest.v1+json",
                subject=blob("subject", 3, OCI),
            )
        )
        assert legacy.kind == artifact.kind == "attestation"
        assert artifact.subject is not None
        assert artifact.subject.digest == digest_of("subject")

    @pytest.mark.parametrize(
        ("artifact_type", "layer", "kind"),
        [
            ("application/vnd.dev.sigstore.bundle.v0.3+json", "application/x", "signature"),
            (None, "application/vnd.dev.cosign.simplesigning.v1+json", "signature"),
            ("application/vnd.cncf.notary.signature", "application/jose+json", "signature"),
            ("application/spdx+json", "application/x", "sbom"),
            (None, "application/vnd.cyclonedx+json", "sbom"),
            (None, "application/vnd.dsse.envelope.v1+json", "attestation"),
            ("application/vnd.docker.attestation.manifest.v1+json", "application/x", "attestation"),
            ("application/vnd.example.thing", "application/x", "artifact"),
        ],
    )
    def test_artifacts(self, artifact_type: str | None, layer: str, kind: str) -> None:
        more = {"artifactType": artifact_type} if artifact_type else {}
        assert parse(image_document([blob("a", 5, layer)], **more)).kind == kind

    @pytest.mark.parametrize(
        ("predicate", "kind"),
        [
            (None, "signature"),
            ("https://sigstore.dev/cosign/sign/v1", "signature"),
            ("https://slsa.dev/provenance/v1", "attestation"),
        ],
    )
    def test_a_bundle_holds_a_signature_or_an_attestation(self, predicate: str | None, kind: str) -> None:
        notes = {"annotations": {"dev.sigstore.bundle.predicateType": predicate}} if predicate else {}
        bundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
        assert parse(image_document([blob("a", 5, bundle)], artifactType=bundle, **notes)).kind == kind

    def test_layers_of_several_kinds_decide_nothing(self) -> None:
        layers = [blob("a", 5, "application/spdx+json"), blob("b", 5, "application/vnd.in-toto+json")]
        assert parse(image_document(layers)).kind == "image"
        assert parse(image_document(layers, artifactType="application/x")).kind == "artifact"

    def test_a_config_of_another_type_makes_an_artifact(self) -> None:
        config = blob("c", 3, "application/vnd.cncf.helm.config.v1+json")
        assert parse(image_document([blob("a", 5)], config=config)).kind == "artifact"

    @pytest.mark.parametrize(
        ("media_type", "compression", "elsewhere"),
        [
            (LAYER, "gzip", False),
            ("application/vnd.oci.image.layer.v1.tar+zstd", "zstd", False),
            ("application/vnd.oci.image.layer.v1.tar", "none", False),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip", False),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "gzip", True),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "gzip", True),
        ],
    )
    def test_layers(self, media_type: str, compression: str, elsewhere: bool) -> None:
        (layer,) = parse(image_document([blob("a", 5, media_type)])).layers
        assert (layer.compression, layer.stored_elsewhere, layer.is_estargz) == (compression, elsewhere, False)

    def test_estargz_and_urls(self) -> None:
        notes = {"containerd.io/snapshot/stargz/toc.digest": digest_of("toc")}
        lazy, far = parse(image_document([blob("a", 5, annotations=notes), blob("b", 5, urls=["http://x/y"])])).layers
        assert (lazy.is_estargz, far.stored_elsewhere) == (True, True)


class TestContentSize:
    """imageSizeInBytes is the config's size plus the sizes of all layers (ECR API reference, ImageDetail)."""

    def test_a_layer_listed_twice_counts_twice_there(self) -> None:
        manifest = parse(image_document([blob("a", 5), blob("a", 5)]))
        assert manifest.content_size == 20
        assert [d.size for d in manifest.blobs] == [10, 5]

    def test_schema_1_tells_no_size(self) -> None:
        manifest = parse(
            {"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("new")}, {"blobSum": digest_of("old")}]}
        )
        assert manifest.media_type == V1
        assert manifest.content_size is None
        assert [d.digest for d in manifest.layers] == [digest_of("old"), digest_of("new")]
        assert [d.size for d in manifest.layers] == [None, None]


class TestMediaType:
    """A manifest may leave mediaType out; the registry or the members then tell what it is (OCI image-spec)."""

    def test_from_the_registry(self) -> None:
        document = image_document([blob("a", 5)])
        del document["mediaType"]
        assert parse(document, media_type=DOCKER).media_type == DOCKER
        assert parse(document).media_type == OCI

    def test_from_the_members_of_an_index(self) -> None:
        assert parse({"schemaVersion": 2, "manifests": []}).media_type == INDEX

    def test_ambiguous_members_are_refused(self) -> None:
        # One reader would take it for an index, another for an image.
        assert "neither" in problems({"layers": [], "manifests": [], "config": {}})["$"]

    def test_contradiction_is_refused(self) -> None:
        assert "the registry says" in problems(image_document([]), media_type=INDEX)["$.mediaType"]

    def test_unknown_is_refused(self) -> None:
        assert "unknown media type" in problems({"mediaType": "application/x"})["$.mediaType"]
        assert problems({"mediaType": 5})["$.mediaType"] == "must be a string"


class TestFaults:
    """Everything that is wrong is said at once, each with its path."""

    def test_all_at_once(self) -> None:
        document = image_document(
            [
                {"mediaType": LAYER, "digest": "sha256:short", "size": 5},
                {"mediaType": 3, "digest": digest_of("x"), "size": -1},
                7,
            ],
            config={"mediaType": CONFIG, "digest": digest_of("c"), "size": True},
            subject=[],
            artifactType=5,
            annotations={"a": 1},
        )
        assert set(problems(document)) == {
            "$.config.size",
            "$.layers[0].digest",
            "$.layers[1].mediaType",
            "$.layers[1].size",
            "$.layers[2]",
            "$.subject",
            "$.artifactType",
            "$.annotations",
        }

    def test_missing_members(self) -> None:
        assert set(problems({"mediaType": OCI})) == {"$.config", "$.layers"}
        assert set(problems({"mediaType": INDEX})) == {"$.manifests"}
        assert set(problems({"mediaType": V1})) == {"$.fsLayers"}
        assert set(problems({"mediaType": V1, "fsLayers": [{}]})) == {"$.fsLayers[0].blobSum"}

    def test_platform_and_urls(self) -> None:
        entry = child(raw(image_document([])))
        document = index_document([{**entry, "platform": []}, {**entry, "platform": {"os": 5}}, {**entry, "urls": "x"}])
        assert set(problems(document)) == {
            "$.manifests[0].platform",
            "$.manifests[1].platform.os",
            "$.manifests[2].urls",
        }

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "null",
            "[]",
            "{",
            '{"a": NaN}',
            '{"mediaType": "x", "mediaType": "y"}',
            "[" * 100_000,
            b"\xff\xfe{}",
            "\ud800",
        ],
    )
    def test_no_manifest_at_all(self, text: str | bytes) -> None:
        with pytest.raises(InvalidManifest):
            Manifest.parse(text)

    def test_limits(self) -> None:
        with pytest.raises(InvalidManifest, match=str(MAX_MANIFEST_BYTES)):
            Manifest.parse(" " * (MAX_MANIFEST_BYTES + 1))
        assert "more than 10000" in problems(index_document([{}] * 10_001))["$.manifests"]

    def test_size_beyond_int64(self) -> None:
        assert "$.layers[0].size" in problems(image_document([blob("a", 2**63)]))
        assert parse(image_document([blob("a", 2**63 - 1)])).layers[0].size == 2**63 - 1


def test_one_faulty_manifest_does_not_hide_the_others() -> None:
    good, bad = raw(image_document([])), raw({"mediaType": "application/x"})
    parsed, faults = parse_manifests([(m.digest, m.text, m.media_type) for m in (good, bad)])
    assert (set(parsed), set(faults)) == ({good.digest}, {bad.digest})


@pytest.mark.parametrize(("name", "text"), sample_texts("operations", containing='"schemaVersion"'))
def test_published_manifests(name: str, text: str) -> None:
    document = json.loads(text)
    members = {"layers", "manifests", "fsLayers"} & set(document)
    quoted = document.get("images") or [document.get("image") or document.get("detail") or {}]
    if "..." in text:  # printed with shortened digests: a clear refusal, no guess
        with pytest.raises(InvalidManifest, match="64 hex digits"):
            Manifest.parse(text)
    elif members:
        manifest = Manifest.parse(text)
        if document["schemaVersion"] == 2:
            assert manifest.digest == digest_of(text)
            expected = [d["digest"] for d in document.get("layers", document.get("manifests"))]
            assert [d.digest for d in manifest.layers + manifest.manifests] == expected
    else:
        # An API answer that quotes a manifest: the quoted text has the quoted digest.
        for item in quoted:
            if "imageManifest" in item:
                assert Manifest.parse(item["imageManifest"], digest=item["imageId"]["imageDigest"]).kind == "image"


class TestWords:
    """What a fault says is part of the interface: it is what a person acts on."""

    def test_of_descriptors(self) -> None:
        entry = child(raw(image_document([])))
        document = image_document(
            [{**blob("a", 5), "mediaType": ""}, {**blob("a", 5), "size": "5"}, "x", None],
            config="x",  # type: ignore[arg-type]
            annotations=[],
        )
        assert problems(document) == {
            "$.config": "must be a descriptor object",
            "$.layers[0].mediaType": "must be a string of 1 to 512 characters",
            "$.layers[1].size": "must be a number of bytes, not '5'",
            "$.layers[2]": "must be a descriptor object",
            "$.layers[3]": "is missing",
            "$.annotations": "must be an object of strings",
        }
        platform = {"os": "linux", "architecture": 5, "variant": 5, "os.version": 5}
        assert problems(index_document([{**entry, "platform": platform}, {**entry, "platform": "x"}])) == {
            "$.manifests[0].platform.architecture": "must be a string of at most 4096 characters",
            "$.manifests[0].platform.variant": "must be a string of at most 4096 characters",
            "$.manifests[0].platform['os.version']": "must be a string of at most 4096 characters",
            "$.manifests[1].platform": "must be an object",
        }
        assert problems({"mediaType": V1, "fsLayers": {}}) == {"$.fsLayers": "must be a list"}
        assert set(problems({"mediaType": V1, "fsLayers": [[], {"blobSum": 5}]})) == {
            "$.fsLayers[0].blobSum",
            "$.fsLayers[1].blobSum",
        }

    def test_of_the_whole(self) -> None:
        with pytest.raises(InvalidManifest) as caught:
            Manifest.parse("[]")
        assert str(caught.value) == "invalid manifest: $: must be a JSON object, not list"
        with pytest.raises(InvalidManifest, match=r"^invalid manifest: \$: is not JSON: NaN is no JSON value$"):
            Manifest.parse('{"a": NaN}')
        with pytest.raises(InvalidManifest, match="a key stands twice"):
            Manifest.parse('{"a": 1, "a": 2}')


class TestEdges:
    def test_lengths_and_sizes(self) -> None:
        longest = "application/" + "x" * 500
        found = parse(image_document([blob("a", 0, longest), blob("b", 1, "x")])).layers
        assert [(d.size, len(d.media_type)) for d in found] == [(0, 512), (1, 1)]
        assert set(problems(image_document([blob("a", 5, longest + "x")]))) == {"$.layers[0].mediaType"}

    def test_a_whole_platform(self) -> None:
        entry = child(raw(image_document([])))
        platform = {"os": "windows", "architecture": "arm", "variant": "v7", "os.version": "10.0"}
        (found,) = parse(index_document([{**entry, "platform": platform, "artifactType": "application/x"}])).manifests
        assert found.platform is not None
        assert found.platform.to_dict() == {
            "os": "windows",
            "architecture": "arm",
            "variant": "v7",
            "os_version": "10.0",
        }
        assert found.artifact_type == "application/x"

    @pytest.mark.parametrize(
        ("platform", "text"),
        [({"os": "linux"}, "linux/unknown"), ({"architecture": "arm"}, "unknown/arm"), ({}, "None"), (None, "None")],
    )
    def test_half_a_platform(self, platform: dict[str, str] | None, text: str) -> None:
        (found,) = parse(index_document([{**child(raw(image_document([]))), "platform": platform}])).manifests
        assert (str(found.platform), found.is_attestation) == (text, False)

    def test_padding_of_any_length(self) -> None:
        for filler in range(4):
            payload = json.dumps({"schemaVersion": 1, "fsLayers": [], "pad": "x" * filler})
            tail = base64.urlsafe_b64encode(payload[-5:].encode()).decode().rstrip("=")
            header = json.dumps({"formatLength": len(payload) - 5, "formatTail": tail})
            protected = base64.urlsafe_b64encode(header.encode()).decode().rstrip("=")
            text = payload[:-5] + payload[-5:-1] + "," + json.dumps({"signatures": [{"protected": protected}]})[1:]
            assert parse_text(text).digest == digest_of(payload)

    def test_schema_1_layers_are_docker_layers(self) -> None:
        (layer,) = parse({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]}).layers
        assert layer.media_type == "application/vnd.docker.container.image.rootfs.diff+x-gtar"

    def test_faults_of_many(self) -> None:
        good = raw(image_document([]))
        parsed, faults = parse_manifests([(digest_of("other"), good.text, OCI), (good.digest, good.text, INDEX)])
        assert parsed == {}
        assert "asked for as" in str(faults[digest_of("other")])
        assert "the registry says" in str(faults[good.digest])


def parse_text(text: str) -> Manifest:
    return Manifest.parse(text)


class TestSharing:
    """Images share most of their layers; a million of them would not fit into memory otherwise."""

    def test_equal_layers_are_one_object(self) -> None:
        notes = {"a": "b"}
        every = [raw(image_document([blob("x", 5), blob("y", 5, annotations=notes)], n=n)) for n in range(2)]
        parsed, faults = parse_manifests((m.digest, m.text, None) for m in every)
        one, two = parsed.values()
        assert faults == {}
        assert one.layers[0] is two.layers[0]
        assert one.layers[1] == two.layers[1]
        assert one.layers[1].annotations == notes

    @pytest.mark.parametrize("size", [True, 1.0, "1", None, [1]])
    def test_what_only_looks_equal_is_refused(self, size: object) -> None:
        good, bad = raw(image_document([blob("x", 1)])), raw(image_document([{**blob("x", 1), "size": size}]))
        parsed, faults = parse_manifests((m.digest, m.text, None) for m in (good, bad))
        assert set(parsed) == {good.digest}
        assert [p.path for p in faults[bad.digest].problems] == ["$.layers[0].size"]

    @pytest.mark.parametrize(
        "entry", [{"mediaType": LAYER, "digest": [], "size": 1}, {"mediaType": {}, "digest": "x", "size": 1}]
    )
    def test_what_cannot_be_looked_up_is_refused(self, entry: dict[str, object]) -> None:
        bad = raw(image_document([entry]))
        assert set(parse_manifests([(bad.digest, bad.text, None)])[1]) == {bad.digest}


class TestBounds:
    def test_lengths(self) -> None:
        assert parse(image_document([], artifactType="x" * 4096)).artifact_type == "x" * 4096
        assert set(problems(image_document([], artifactType="x" * 4097))) == {"$.artifactType"}
        assert len(parse(image_document([blob("a", 1)] * 10_000)).layers) == 10_000
        assert problems(image_document([blob("a", 1)] * 10_001)) == {"$.layers": "has 10001 entries, more than 10000"}
        assert problems({"mediaType": OCI, "config": blob("c", 1), "layers": None}) == {"$.layers": "is missing"}
        assert problems({"mediaType": OCI, "config": blob("c", 1), "layers": {}}) == {"$.layers": "must be a list"}

    def test_words(self) -> None:
        good = image_document([])
        for document, more, words in (
            ({"mediaType": 5}, {}, "invalid manifest: $.mediaType: must be a string"),
            ({"mediaType": "x"}, {}, "invalid manifest: $.mediaType: unknown media type 'x'"),
            (good, {"media_type": INDEX}, f"invalid manifest: $.mediaType: says '{OCI}', the registry says '{INDEX}'"),
            ({}, {}, "invalid manifest: $: has no mediaType, and neither layers nor manifests alone tell what it is"),
            ({"fsLayers": []}, {}, "invalid manifest: $: has no mediaType, and neither"),
        ):
            with pytest.raises(InvalidManifest) as caught:
                parse(document, **more)
            assert str(caught.value).startswith(words)
        faulty = image_document([{**blob("a", 1), "urls": 5}])
        with pytest.raises(InvalidManifest) as caught:
            parse(faulty)
        name = digest_of(json.dumps(faulty))
        assert str(caught.value) == f"invalid manifest {name}: $.layers[0].urls: must be a list of strings"


def test_paths_inside_of_a_descriptor() -> None:
    faulty = {**blob("a", 1), "artifactType": 5, "annotations": [1], "digest": "sha1:x"}
    assert problems(image_document([faulty])) == {
        "$.layers[0].digest": "must be 'sha256:' and 64 hex digits, not 'sha1:x'",
        "$.layers[0].artifactType": "must be a string of at most 4096 characters",
        "$.layers[0].annotations": "must be an object of strings",
    }
    plain = raw(image_document([{"mediaType": LAYER, "digest": "sha1:x", "size": 1}]))
    _, faults = parse_manifests([(plain.digest, plain.text, None)])
    assert [p.path for p in faults[plain.digest].problems] == ["$.layers[0].digest"]
