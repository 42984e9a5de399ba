"""A tag is given by digest, byte for byte, and never taken from another image unless asked."""

from __future__ import annotations

import json
import threading

import attrs
import pytest

from ecrkit import errors
from ecrkit.local.images import filler, image, index, layer, push
from ecrkit.promotion import TagTaken

V1 = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest."


def app(registry, tag, seed, repository="prod/app"):
    return push(image([filler(4096, seed=seed)]), registry.client, repository, tag)


class TestByteForByte:
    """PutImage gets the manifest exactly as BatchGetImage gave it by digest, so the digest stays (ECR user guide)."""

    @pytest.mark.parametrize("flavour", ["oci", "docker"])
    @pytest.mark.parametrize("whole", [True, False])
    def test_images_and_indexes_of_both_flavours(self, registry, flavour, whole):
        built = image([layer({"a": b"x"})], flavour=flavour)
        built = index([built], flavour=flavour) if whole else built
        digest = push(built, registry.client, "prod/app", "v1")
        done = registry.promotion.retag("prod/app:v1", "live")
        assert (done.outcome, done.digest, done.former) == ("set", digest, None)
        assert registry.gateway.digest_of("prod/app", "live") == digest
        assert registry.gateway.manifests("prod/app", [digest])[digest].text == built.manifest

    @pytest.mark.parametrize("kind", ["v1+json", "v1+prettyjws"])
    def test_schema_1(self, registry, kind):
        blob = next(iter(image([layer({"a": b"x"})]).blobs.items()))
        registry.engine.registry().put_blob("prod/app", blob[0], blob[1])
        document = {"schemaVersion": 1, "mediaType": DOCKER + kind, "fsLayers": [{"blobSum": blob[0]}], "history": []}
        if kind == "v1+prettyjws":
            document["signatures"] = [{"signature": "x"}]
        put = registry.gateway.put_image("prod/app", json.dumps(document, indent=3), tag="v1", media_type=DOCKER + kind)
        assert registry.promotion.retag("prod/app:v1", "live").digest == put.digest
        assert registry.gateway.digest_of("prod/app", "live") == put.digest

    def test_a_manifest_without_media_type_keeps_its_text(self, registry):
        """containers-roadmap#1873: without imageManifestMediaType such a manifest is refused."""
        built = image([layer({"a": b"x"})])
        for digest, data in built.blobs.items():
            registry.engine.registry().put_blob("prod/app", digest, data)
        document = json.loads(built.manifest)
        media_type = document.pop("mediaType")
        text = json.dumps(document, indent=1)
        put = registry.gateway.put_image("prod/app", text, tag="v1", media_type=media_type)
        assert registry.promotion.retag("prod/app:v1", "live").digest == put.digest

    def test_by_digest_whatever_its_tags_name(self, registry):
        old = app(registry, "v1", "old")
        app(registry, "v1", "new")
        assert registry.promotion.retag(f"prod/app@{old}", "rollback").digest == old


class TestNotOverwritten:
    """A tag that names another image is reported and left alone (aws-sdk#750, containers-roadmap#2380)."""

    def test_a_taken_tag_names_both(self, registry):
        first, second = app(registry, "live", "a"), app(registry, "v2", "b")
        with pytest.raises(TagTaken, match="move=True moves it") as refused:
            registry.promotion.retag("prod/app:v2", "live")
        assert (refused.value.found, refused.value.wanted) == (first, second)
        assert first in str(refused.value) and second in str(refused.value)
        assert isinstance(refused.value, errors.Conflict)
        assert registry.gateway.digest_of("prod/app", "live") == first

    def test_a_taken_tag_is_told_also_where_the_settings_may_not_be_read(self, registry):
        app(registry, "a", "a")
        app(registry, "live", "b")

        class Blind:
            def __getattr__(self, name):
                return getattr(registry.gateway, name)

            def repository(self, name):
                raise errors.Denied("no", operation="DescribeRepositories", code="AccessDeniedException")

        with pytest.raises(TagTaken, match="was left alone"):
            attrs.evolve(registry.promotion, own=Blind()).retag("prod/app:a", "live")

    def test_moved_when_asked(self, registry):
        first, second = app(registry, "live", "a"), app(registry, "v2", "b")
        done = registry.promotion.retag("prod/app:v2", "live", move=True)
        assert (done.outcome, done.former, done.digest) == ("moved", first, second)
        assert first in {i.digest for i in registry.images("prod/app")}

    def test_moved_from_the_named_image_only(self, registry):
        first, second = app(registry, "live", "a"), app(registry, "v2", "b")
        with pytest.raises(TagTaken, match="was to be moved from"):
            registry.promotion.retag("prod/app:v2", "live", move=True, former=second)
        assert registry.gateway.digest_of("prod/app", "live") == first
        assert registry.promotion.retag("prod/app:v2", "live", move=True, former=first).outcome == "moved"

    def test_a_tag_that_has_gone_is_not_moved(self, registry):
        app(registry, "v2", "b")
        with pytest.raises(TagTaken, match="no such tag now"):
            registry.promotion.retag("prod/app:v2", "live", move=True, former="sha256:" + "1" * 64)

    def test_twice_is_no_error_and_reads_no_manifest(self, registry):
        app(registry, "v1", "a")
        registry.promotion.retag("prod/app:v1", "live")
        before = len(registry.engine.calls)
        assert registry.promotion.retag("prod/app:v1", "live").outcome == "unchanged"
        assert [c.operation for c in registry.engine.calls[before:]] == ["DescribeImages"] * 2


class TestMutability:
    """MUTABLE, IMMUTABLE, and either with exclusion filters (ECR API reference, PutImageTagMutability)."""

    @pytest.mark.parametrize(
        ("mode", "filters", "moves"),
        [
            ("MUTABLE", (), True),
            ("IMMUTABLE", (), False),
            ("IMMUTABLE_WITH_EXCLUSION", ("li*",), True),
            ("IMMUTABLE_WITH_EXCLUSION", ("dev-*",), False),
            ("MUTABLE_WITH_EXCLUSION", ("li*",), False),
            ("MUTABLE_WITH_EXCLUSION", ("dev-*",), True),
        ],
    )
    def test_moving(self, registry, mode, filters, moves):
        first, second = app(registry, "live", "a"), app(registry, "v2", "b")
        registry.gateway.put_tag_mutability("prod/app", mode, exclusions=filters)
        assert registry.repository("prod/app").tag_is_immutable("live") is not moves
        if moves:
            assert registry.promotion.retag("prod/app:v2", "live", move=True).digest == second
            return
        with pytest.raises(TagTaken, match=f"the repository is {mode}"):
            registry.promotion.retag("prod/app:v2", "live", move=True)
        assert registry.gateway.digest_of("prod/app", "live") == first

    def test_a_new_tag_in_an_immutable_repository(self, registry):
        app(registry, "v1", "a")
        registry.gateway.put_tag_mutability("prod/app", "IMMUTABLE")
        assert registry.promotion.retag("prod/app:v1", "live").outcome == "set"
        assert registry.promotion.retag("prod/app:v1", "live").outcome == "unchanged"


class TestTwoAtOnce:
    """ECR has no compare and set: the tag is read right before and right after."""

    def test_two_threads_of_one_process(self, registry):
        digests = {app(registry, "a", "a"), app(registry, "b", "b")}
        results, gate = [], threading.Barrier(2)

        def promote(name):
            gate.wait(10)
            try:
                results.append(registry.promotion.retag(f"prod/app:{name}", "live"))
            except TagTaken as refused:
                results.append(refused)

        threads = [threading.Thread(target=promote, args=(name,)) for name in "ab"]
        [t.start() for t in threads]
        [t.join() for t in threads]
        refused = [r for r in results if isinstance(r, TagTaken)]
        done = [r for r in results if not isinstance(r, TagTaken)]
        assert len(refused) == len(done) == 1
        assert registry.gateway.digest_of("prod/app", "live") == done[0].digest == refused[0].found
        assert {done[0].digest, refused[0].wanted} == digests

    @pytest.mark.parametrize("mode", ["MUTABLE", "IMMUTABLE"])
    @pytest.mark.parametrize("rival", ["same", "other"])
    def test_another_process_right_before_the_change(self, registry, mode, rival):
        """Between the look and PutImage another promotion sets the tag."""
        mine, other = app(registry, "a", "a"), app(registry, "b", "b")
        registry.gateway.put_tag_mutability("prod/app", mode)
        repo = registry.engine.registry().repositories["prod/app"]
        wins = mine if rival == "same" else other

        def interfere(call):
            if call.operation == "PutImage":
                registry.engine.before_call.clear()
                repo.point("live", repo.images[wins])

        registry.engine.before_call.append(interfere)
        if rival == "same":
            assert registry.promotion.retag("prod/app:a", "live").digest == mine
        elif mode == "IMMUTABLE":
            with pytest.raises(TagTaken) as refused:
                registry.promotion.retag("prod/app:a", "live")
            assert refused.value.found == other
            assert registry.gateway.digest_of("prod/app", "live") == other
        else:
            assert registry.promotion.retag("prod/app:a", "live").digest == mine

    def test_overtaken_right_after(self, registry):
        app(registry, "a", "a")
        other = app(registry, "b", "b")
        repo = registry.engine.registry().repositories["prod/app"]
        puts = []

        def overtake(call):
            if call.operation == "PutImage":
                puts.append(call)
            elif puts:
                registry.engine.before_call.clear()
                repo.point("live", repo.images[other])

        registry.engine.before_call.append(overtake)
        with pytest.raises(TagTaken, match="somebody else moved it meanwhile") as refused:
            registry.promotion.retag("prod/app:a", "live")
        assert refused.value.found == other


class TestWhatIsMissing:
    def test_no_image(self, registry):
        with pytest.raises(errors.NotFound):
            registry.promotion.retag("prod/app:nope", "live")
        with pytest.raises(errors.NotFound):
            registry.promotion.retag("prod/app@sha256:" + "0" * 64, "live")

    def test_a_tag_that_no_reference_can_hold(self, registry):
        with pytest.raises(errors.InvalidReference):
            registry.promotion.retag("prod/app:v1", "a" * 129)
