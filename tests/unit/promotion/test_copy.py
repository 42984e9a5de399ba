"""Copies: everything that belongs to an image, in order, resumed where it broke, never converted."""

from __future__ import annotations

import hashlib
import json

import attrs
import pytest

from ecrkit import errors
from ecrkit.errors import Unavailable
from ecrkit.local.images import artifact, filler, image, index, layer, push
from ecrkit.promotion import TagTaken, UploadFile, part_size
from ecrkit.records import Referrer
from tests.support.promotion import SOURCE, TARGET, holes, signed_index

MIB = 1024 * 1024
AWAY = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"


def operations(registry, since=0):
    return [call.operation for call in registry.engine.calls[since:]]


class TestPlan:
    """A plan shows the bytes before they move, and nothing is changed."""

    def test_bytes_of_what_the_target_lacks(self, registry):
        base, own = filler(8192, seed="base"), filler(4096, seed="own")
        push(image([base]), registry.client, TARGET, "base")
        built = image([base, own])
        push(built, registry.client, SOURCE, "v1")
        before = dict(registry.engine.registry().repositories[TARGET].images)
        plan = registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1")
        item = plan.items[0]
        moved = {blob.digest for blob in item.blobs}
        assert moved == set(built.blobs) - {base.digest}
        assert plan.bytes_to_move == sum(len(built.blobs[d]) for d in moved)
        assert "to move" in plan.explain() and "<table>" in plan._repr_html_()
        assert registry.engine.registry().repositories[TARGET].images == before
        result = registry.promotion.apply(plan).results[0]
        assert (result.bytes_moved, result.blobs_present) == (plan.bytes_to_move, 1)

    def test_a_blob_of_several_images_counts_once(self, registry):
        base = filler(8192, seed="base")
        for number in range(3):
            push(image([base, layer({"n": str(number)})]), registry.client, SOURCE, f"v{number}")
        pairs = [(f"{SOURCE}:v{n}", f"{TARGET}:v{n}") for n in range(3)]
        plan = registry.promotion.plan_many(pairs)
        assert plan.bytes_to_move < sum(item.bytes_to_move for item in plan.items) - 2 * 8000
        report = registry.promotion.apply(plan)
        assert report.bytes_moved >= plan.bytes_to_move and not report.failed
        assert operations(registry).count("CompleteLayerUpload") < 3 * 3 * 2

    @pytest.mark.parametrize("moved", ["source", "target"])
    def test_outdated(self, registry, moved):
        for tag, seed in (("v1", "a"), ("other", "b")):
            push(image([filler(4096, seed=seed)]), registry.client, SOURCE, tag)
        plan = registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1")
        repository = SOURCE if moved == "source" else TARGET
        push(image([filler(4096, seed="c")]), registry.client, repository, "v1")
        since = len(registry.engine.calls)
        with pytest.raises(errors.PlanOutdated) as outdated:
            registry.promotion.apply(plan)
        assert moved == "source" or TARGET in outdated.value.changes[0]
        assert not {"PutImage", "InitiateLayerUpload"} & set(operations(registry, since))

    def test_no_repository(self, registry):
        push(image([filler(4096)]), registry.client, SOURCE, "v1")
        plan = registry.promotion.plan(f"{SOURCE}:v1", "new/app:v1")
        assert "create_repository=True" in plan.obstacles[0]
        with pytest.raises(errors.PlanRefused):
            registry.promotion.apply(plan)
        assert registry.promotion.copy(f"{SOURCE}:v1", "new/app:v1", create_repository=True).ok

    def test_an_empty_layer_is_refused_before_anything_moves(self, registry):
        """UploadLayerPart takes no empty part, and CompleteLayerUpload no empty upload (EmptyUploadException)."""
        empty = "sha256:" + hashlib.sha256(b"").hexdigest()
        built = image([layer({"a": b"x"})])
        push(built, registry.client, SOURCE, "v0")
        registry.engine.registry().put_blob(SOURCE, empty, b"")
        document = json.loads(built.manifest)
        document["layers"].append({**document["layers"][0], "digest": empty, "size": 0})
        registry.gateway.put_image(SOURCE, json.dumps(document), tag="v1")
        plan = registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert "EmptyUploadException" in plan.obstacles[0]
        registry.engine.registry().put_blob(TARGET, empty, b"")
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").ok


class TestWhole:
    """Children before their index, referrers after their subject, the tag last (OCI distribution specification)."""

    def test_an_index_with_signatures_of_signatures(self, registry):
        digest = signed_index(registry)
        result = registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert (result.digest, result.manifests) == (digest, 5)
        assert holes(registry, TARGET, digest, referrers=2) == []
        puts = [
            c.params
            for c in registry.engine.calls
            if c.operation == "PutImage" and c.params["repositoryName"] == TARGET
        ]
        assert ["imageTag" in put for put in puts] == [False] * 5 + [True]

    def test_without_referrers(self, registry):
        digest = signed_index(registry)
        result = registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", referrers=False)
        assert result.manifests == 3
        assert holes(registry, TARGET, digest) == []
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").manifests == 2

    @pytest.mark.parametrize("attestations", ["oci", "legacy"])
    def test_attestations_and_nested_indexes(self, registry, attestations):
        """skopeo#1044: a copy of one platform changes the digest."""
        inner = index([image([filler(4096, seed="a")])], attestations=attestations)
        outer = index([inner, image([filler(4096, seed="b")], platform="linux/arm64")])
        digest = push(outer, registry.client, SOURCE, "v1")
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").digest == digest
        assert holes(registry, TARGET, digest) == []

    def test_an_artifact_with_the_empty_config(self, registry):
        digest = push(artifact(None, "application/vnd.example.chart", content=b"chart"), registry.client, SOURCE, "v1")
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").digest == digest

    def test_foreign_layers_stay_where_they_lie(self, registry):
        built = image([layer({"a": b"x"})])
        push(built, registry.client, SOURCE, "v0")
        document = json.loads(built.manifest)
        foreign = {
            "mediaType": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "size": 5,
            "digest": "sha256:" + "f" * 64, "urls": ["https://example.com/layer"],
        }  # fmt: skip
        document["layers"].insert(0, foreign)
        put = registry.gateway.put_image(SOURCE, json.dumps(document), tag="v1")
        result = registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert (result.digest, result.blobs_moved) == (put.digest, 2)

    def test_schema_1(self, registry):
        digest, data = next(iter(image([layer({"a": b"x"})]).blobs.items()))
        registry.engine.registry().put_blob(SOURCE, digest, data)
        media_type = "application/vnd.docker.distribution.manifest.v1+json"
        text = json.dumps({"schemaVersion": 1, "fsLayers": [{"blobSum": digest}], "history": []})
        put = registry.gateway.put_image(SOURCE, text, tag="v1", media_type=media_type)
        plan = registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert plan.bytes_to_move == len(data)
        assert registry.promotion.apply(plan).results[0].digest == put.digest

    def test_a_missing_child_is_no_copy(self, registry):
        built = index([image([filler(4096)])])
        push(built, registry.client, SOURCE, "v1")
        repo = registry.engine.registry().repositories[SOURCE]
        del repo.images[built.children[0].digest]
        with pytest.raises(errors.NotFound, match="all of its children or not at all"):
            registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1")

    def test_an_archived_referrer_is_noted(self, registry):
        built = image([filler(4096)])
        push(built, registry.client, SOURCE, "v1")
        signature = push(artifact(built, "application/vnd.example.signature", content=b"s"), registry.client, SOURCE)
        registry.gateway.update_storage_class(SOURCE, signature, "archive")
        plan = registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert signature in plan.items[0].notes[0] and "ARCHIVED" in plan.explain()

    def test_an_archived_image_in_the_target_is_put_again(self, registry):
        digest = push(image([filler(4096)]), registry.client, SOURCE, "v1")
        registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        registry.gateway.update_storage_class(TARGET, digest, "archive")
        result = registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert (result.status, result.bytes_moved) == ("copied", 0)
        assert registry.gateway.image(TARGET, digest).status == "ACTIVE"


class TestBetweenRegistries:
    def test_regions_and_accounts(self, registry):
        digest = signed_index(registry)
        for host in (AWAY, "210987654321.dkr.ecr.us-east-1.amazonaws.com"):
            result = registry.promotion.copy(f"{SOURCE}:v1", f"{host}/{SOURCE}:v1", create_repository=True)
            assert result.digest == digest
        there = registry.in_region("eu-west-1", account="123456789012")
        assert there.gateway.digest_of(SOURCE, "v1") == digest

    def test_what_nothing_reaches(self, registry):
        service = registry.promotion.with_registries(lambda account, region: None)
        with pytest.raises(errors.InvalidInput, match="nothing reaches"):
            service.plan(f"{SOURCE}:v1", f"{AWAY}/app:v1")

    def test_an_upstream_without_a_reader(self, registry):
        with pytest.raises(errors.InvalidInput, match="pass a reader"):
            registry.promotion.plan("docker.io/node:20", "node:20")

    def test_tags_and_digests_of_the_target(self, registry):
        digest = push(image([filler(4096)]), registry.client, SOURCE, "v1")
        assert registry.promotion.plan(f"{SOURCE}:v1", TARGET).items[0].tag == "v1"
        assert registry.promotion.plan(f"{SOURCE}@{digest}", TARGET).items[0].tag is None
        assert registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}@{digest}").items[0].tag is None
        with pytest.raises(errors.InvalidInput, match="the source is"):
            registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}@sha256:{'0' * 64}")

    def test_a_taken_tag_is_reported_before_bytes_move(self, registry):
        push(image([filler(4096, seed="a")]), registry.client, SOURCE, "v1")
        held = push(image([filler(4096, seed="b")]), registry.client, TARGET, "v1")
        since = len(registry.engine.calls)
        with pytest.raises(TagTaken) as refused:
            registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        assert refused.value.found == held
        assert "UploadLayerPart" not in operations(registry, since)
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", move=True).former == held


class TestMany:
    def test_one_fault_does_not_stop_the_others(self, registry):
        digests = [push(image([filler(4096, seed=str(n))]), registry.client, SOURCE, f"v{n}") for n in range(20)]
        push(image([filler(4096, seed="x")]), registry.client, TARGET, "v7")
        pairs = [(f"{SOURCE}:v{n}", f"{TARGET}:v{n}") for n in range(20)] + [(f"{SOURCE}:no", f"{TARGET}:no")]
        report = registry.promotion.copy_many(pairs)
        assert [r.target for r in report.failed] == [f"{TARGET}:v7", f"{TARGET}:no"]
        assert [r.digest for r in report.results if r.ok] == [d for n, d in enumerate(digests) if n != 7]
        with pytest.raises(TagTaken):
            report.require()
        assert "19 of 21 images there" in report.explain()

    def test_all_or_an_error(self, registry):
        push(image([filler(4096)]), registry.client, SOURCE, "v1")
        with pytest.raises(errors.NotFound):
            registry.promotion.copy_many(
                [(f"{SOURCE}:v1", f"{TARGET}:v1"), (f"{SOURCE}:no", f"{TARGET}:no")], keep_going=False
            )
        assert registry.gateway.digest_of(TARGET, "v1") is None


class TestParts:
    """Parts of 10 MiB, at most 4,200 of them and 20 MiB each (ECR service quotas; botocore's model)."""

    def test_sizes(self):
        assert part_size(10 * MIB, None) == part_size(10 * MIB, 42_000 * MIB) == 10 * MIB
        largest = part_size(10 * MIB, 52_000 * MIB)
        assert largest == 13 * MIB and -(-52_000 * MIB // largest) <= 4200
        assert part_size(100 * MIB, 5) == 20 * MIB

    @pytest.mark.usefixtures("small_parts")
    def test_consecutive_with_a_short_last_one(self, registry):
        push(image([filler(8192)]), registry.client, SOURCE, "v1")
        since = len(registry.engine.calls)
        registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        sent = [c.params for c in registry.engine.calls[since:] if c.operation == "UploadLayerPart"]
        ends = sorted((p["partFirstByte"], p["partLastByte"]) for p in sent)
        assert {(0, 2999), (3000, 5999), (6000, 8191)} <= set(ends)


@attrs.define
class Flaky:
    """A source whose downloads break after some bytes, some times."""

    gateway: object
    breaks: int
    after: int = 1000
    mistake: str = "broken"
    starts: list = attrs.field(factory=list)

    def __getattr__(self, name):
        return getattr(self.gateway, name)

    def read_layer(self, repository, digest, *, start=0):
        self.starts.append(start)
        data = b"".join(self.gateway.read_layer(repository, digest, start=start))
        if self.breaks == 0 or len(data) <= self.after:
            yield data
            return
        self.breaks -= 1
        if self.mistake == "short":
            yield data[: self.after]
        elif self.mistake == "long":
            yield data + b"more"
        elif self.mistake == "other":
            yield bytes(len(data))
        else:
            yield data[: self.after]
            kind = errors.Denied if self.mistake == "expired" else Unavailable
            raise kind("it broke", operation="download", code="x")


class TestBrokenDownloads:
    """A download goes on at its last byte, with a new URL (GetDownloadUrlForLayer gives one for an hour)."""

    @pytest.mark.parametrize("mistake", ["broken", "short", "expired"])
    def test_goes_on(self, registry, mistake):
        built = image([filler(8192)])
        digest = push(built, registry.client, SOURCE, "v1")
        source = Flaky(registry.gateway, 3, mistake=mistake)
        result = registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", reader=source)
        assert {1000, 2000, 3000} <= set(source.starts)
        assert result.bytes_moved == built.size and holes(registry, TARGET, digest) == []

    def test_gives_up_when_nothing_comes(self, registry):
        push(image([filler(8192)]), registry.client, SOURCE, "v1")
        source = Flaky(registry.gateway, 99, after=0)
        with pytest.raises(Unavailable):
            registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", reader=source)
        assert registry.gateway.digest_of(TARGET, "v1") is None

    @pytest.mark.parametrize(("mistake", "code"), [("long", "TooLong"), ("other", "DigestMismatch")])
    def test_other_bytes_never_arrive(self, registry, mistake, code):
        push(image([filler(8192)]), registry.client, SOURCE, "v1")
        with pytest.raises(Unavailable) as damaged:
            registry.promotion.copy(
                f"{SOURCE}:v1", f"{TARGET}:v1", reader=Flaky(registry.gateway, 1, after=4096, mistake=mistake)
            )
        assert damaged.value.code == code
        assert registry.gateway.digest_of(TARGET, "v1") is None

    def test_a_source_that_slips_in_another_manifest(self, registry):
        digest = push(image([filler(4096, seed="a")]), registry.client, SOURCE, "v1")
        other = push(image([filler(4096, seed="b")]), registry.client, SOURCE, "v2")

        class Liar(Flaky):
            def manifests(self, repository, digests):
                found = self.gateway.manifests(repository, [other])[other]
                return {d: attrs.evolve(found, digest=d) for d in digests}

        with pytest.raises(errors.InvalidManifest, match=digest):
            registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1", reader=Liar(registry.gateway, 0))

    def test_a_source_that_slips_in_a_referrer(self, registry):
        push(image([filler(4096, seed="a")]), registry.client, SOURCE, "v1")
        other = push(image([filler(4096, seed="b")]), registry.client, SOURCE, "v2")

        class Liar(Flaky):
            def referrers(self, repository, digest):
                return [Referrer(digest=other, media_type="application/vnd.oci.image.manifest.v1+json", size=1)]

        plan = registry.promotion.plan(f"{SOURCE}:v1", f"{TARGET}:v1", reader=Liar(registry.gateway, 0))
        assert other not in plan.items[0].missing
        assert any(other in note for note in plan.items[0].notes)


@pytest.mark.usefixtures("small_parts")
class TestTakenUpAgain:
    """InvalidLayerPartException names the last byte received: an upload goes on behind it (ECR API reference)."""

    @pytest.mark.parametrize("noted", [0, 3000, 6000])
    def test_in_the_middle_of_a_layer(self, registry, noted):
        """The note may be older than what ECR holds: the last part's answer was lost."""
        blob = filler(8192)
        built = image([blob])
        digest = push(built, registry.client, SOURCE, "v1")
        begun = registry.gateway.start_upload(TARGET)
        for first in (0, 3000):
            registry.gateway.upload_part(
                TARGET, begun.upload_id, built.blobs[blob.digest][first : first + 3000], first=first
            )
        uploads = {f"{TARGET}@{blob.digest}": f"{begun.upload_id} 3000 {noted}"} if noted else {}
        since = len(registry.engine.calls)
        result = registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", uploads=uploads)
        parts = [c.params for c in registry.engine.calls[since:] if c.operation == "UploadLayerPart"]
        resumed = [p["partFirstByte"] for p in parts if p["uploadId"] == begun.upload_id]
        assert resumed == {0: [], 3000: [3000, 6000], 6000: [6000]}[noted]
        assert result.ok and holes(registry, TARGET, digest) == [] and uploads == {}

    def test_an_upload_that_ecr_has_forgotten(self, registry):
        blob = filler(8192)
        digest = push(image([blob]), registry.client, SOURCE, "v1")
        uploads = {f"{TARGET}@{blob.digest}": "00000000-0000-4000-8000-000000000000 3000 6000"}
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", uploads=uploads).ok
        assert holes(registry, TARGET, digest) == [] and uploads == {}

    def test_a_note_of_other_bytes_is_caught_by_ecr(self, registry):
        blob = filler(8192)
        push(image([blob]), registry.client, SOURCE, "v1")
        begun = registry.gateway.start_upload(TARGET)
        registry.gateway.upload_part(TARGET, begun.upload_id, bytes(3000), first=0)
        uploads = {f"{TARGET}@{blob.digest}": f"{begun.upload_id} 3000 3000"}
        with pytest.raises(errors.Rejected, match="InvalidLayerException"):
            registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", uploads=uploads)
        assert uploads == {}
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", uploads=uploads).ok


@pytest.mark.usefixtures("small_parts")
class TestTwoWithTheSameNotes:
    """Two copies of one image at once, which share their notes: whichever ends an upload, both get the image."""

    @pytest.mark.parametrize("kind", ["file", "dict"])
    def test_another_copy_ends_the_upload(self, registry, tmp_path, kind):
        blob = filler(20_000)
        digest = push(image([blob]), registry.client, SOURCE, "v1")
        uploads = UploadFile(tmp_path / "uploads.json") if kind == "file" else {}

        @attrs.define
        class Overtaken(Flaky):
            def read_layer(self, repository, digest, *, start=0):
                data = b"".join(self.gateway.read_layer(repository, digest, start=start))
                yield data[:7000]
                if len(data) > 7000 and self.breaks:
                    self.breaks = 0
                    registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:other", uploads=uploads)
                yield data[7000:]

        result = registry.promotion.copy(
            f"{SOURCE}:v1", f"{TARGET}:v1", uploads=uploads, reader=Overtaken(registry.gateway, 1)
        )
        assert result.digest == digest == registry.gateway.digest_of(TARGET, "v1")
        assert holes(registry, TARGET, digest) == []
        assert not dict(uploads)

    def test_a_note_that_another_copy_took_out(self, registry):
        class Shared(dict):
            def pop(self, key, *default):
                """Do it in two steps, as `MutableMapping` does, with another copy between them."""
                value = self.get(key)
                if value is not None:
                    dict.pop(self, key)
                    del self[key]
                return value

        push(image([filler(20_000)]), registry.client, SOURCE, "v1")
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1", uploads=Shared()).ok


class TestRemovedMeanwhile:
    """Layers that no image uses may be removed, and a lifecycle policy runs when it wants to (ECR user guide)."""

    def test_layers_that_go_before_the_image_comes(self, registry):
        built = image([filler(8192)])
        digest = push(built, registry.client, SOURCE, "v1")

        def sweep(call):
            if call.operation == "PutImage":
                registry.engine.before_call.clear()
                registry.engine.registry().repositories[TARGET].blobs.clear()

        registry.engine.before_call.append(sweep)
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").ok
        assert holes(registry, TARGET, digest) == []

    def test_a_layer_that_somebody_else_pushes_meanwhile(self, registry):
        built = image([filler(8192)])
        push(built, registry.client, SOURCE, "v1")

        def push_too(call):
            if call.operation == "CompleteLayerUpload":
                registry.engine.before_call.clear()
                for digest, data in built.blobs.items():
                    registry.engine.registry().put_blob(TARGET, digest, data)

        registry.engine.before_call.append(push_too)
        assert registry.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").ok
