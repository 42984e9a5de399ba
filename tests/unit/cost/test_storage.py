"""Stored bytes of real images in the embedded ECR, against a recount that asks an ordinary boto3 client for everything."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor

import pytest

from ecrkit import Registry
from ecrkit.cost import attribute, by_prefix, by_tag, image_storage, storage, trend
from ecrkit.errors import InvalidInput
from ecrkit.images import ByteRange, freed_by, storage_split, stored_across
from ecrkit.local.images import artifact, filler, image, index
from tests.unit.cost.conftest import entry, inventory, made

BASE = filler(90_000, seed="base")


def app(seed: str, platform: str = "linux/amd64"):
    return image([BASE, filler(9_000 + len(seed), seed=f"{seed} {platform}")], platform=platform)


@pytest.fixture
def registry():
    """Shared bases, an index with attestations, a referrer, an orphan, an archived image, and a second repository."""
    with Registry.local() as opened:
        client = opened.client
        for name in ("pay/api", "pay/job", "empty"):
            opened.gateway.create_repository(name)
        multi = index([app("v1"), app("v1", "linux/arm64")], attestations="artifact")
        multi.push(client, "pay/api", "v1")
        app("old").push(client, "pay/api", "v0")
        artifact(multi, "application/spdx+json", content='{"spdx": 1}').push(client, "pay/api")
        cold = image([BASE, filler(20_000, seed="cold")])
        cold.push(client, "pay/api", "cold")
        app("job").push(client, "pay/job", "v1")
        app("v1").push(client, "pay/job", "v2")
        yield opened


def recount(registry: Registry, repository: str, *, status: str = "ANY") -> dict[str, int]:
    """Every blob that the repository's manifests name, by digest: nothing of ecrkit but the embedded ECR."""
    client, digests = registry.client, []
    for page in client.get_paginator("describe_images").paginate(
        repositoryName=repository, filter={"imageStatus": status}
    ):
        digests += [detail["imageDigest"] for detail in page["imageDetails"]]
    blobs: dict[str, int] = {}
    for digest in digests:
        (found,) = client.batch_get_image(repositoryName=repository, imageIds=[{"imageDigest": digest}])["images"]
        document = json.loads(found["imageManifest"])
        for blob in [document.get("config"), *document.get("layers", ())]:
            if blob is not None:
                blobs[blob["digest"]] = blob["size"]
    return blobs


class TestRecount:
    def test_to_the_byte(self, registry) -> None:
        held = {name: registry.inventory(name, manifests="all") for name in ("pay/api", "pay/job", "empty")}
        report = storage(held, per_image=True)
        counts = {name: recount(registry, name) for name in held}
        for name, blobs in counts.items():
            assert report[name].bytes.exact == sum(blobs.values())
        assert report.apart.exact == sum(sum(blobs.values()) for blobs in counts.values())
        union = {digest: size for blobs in counts.values() for digest, size in blobs.items()}
        assert (report.bytes.low, report.bytes.high) == (sum(union.values()), report.apart.exact)
        assert storage(held, blob_mounting=False).bytes.exact == report.apart.exact
        assert report.naive > report.apart.low
        for name, found in held.items():
            for row in image_storage(found, repository=name):
                going = {row.digest, *found.children_of(row.digest)}
                assert row.unique.exact == freed_by(found, going).exact
        kinds = sorted(row.kind for row in report.images if row.repository == "pay/api")
        assert kinds == ["attestation", "attestation", "image", "image", "image", "image", "index", "sbom"]
        (sbom,) = [row for row in report.images if row.kind == "sbom"]
        assert sbom.subject == held["pay/api"].tags["v1"].digest

    def test_archived_images_are_counted_and_told_apart(self, registry) -> None:
        before = registry.inventory("pay/api", manifests="all")
        blobs = recount(registry, "pay/api")
        digest = before.tags["cold"].digest
        registry.gateway.update_storage_class("pay/api", digest, "archive")
        listed = registry.inventory("pay/api", manifests="none")
        # Archived images cannot be read, so their manifests are kept from before.
        kept = list(registry.gateway.manifests("pay/api", [i.digest for i in before]).values())
        unread = listed.with_manifests(kept)
        assert unread[digest].storage_class == "archive"
        row = storage(unread)["pay/api"]
        assert row.bytes.exact is None
        assert sum(blobs.values()) in row.bytes
        known = type(unread)(unread.images, children=before.children, manifests=before.manifests, repository="pay/api")
        row = storage(known)["pay/api"]
        active = recount(registry, "pay/api", status="ACTIVE")
        assert row.bytes.exact == sum(blobs.values())
        assert row.archive.exact == sum(size for d, size in blobs.items() if d not in active)
        assert row.archived_images == 1
        assert (row.standard.exact or 0) + (row.archive.exact or 0) + (row.both.exact or 0) == row.bytes.exact
        assert row.both.exact is not None
        assert row.both.exact >= 90_000
        split = storage_split(known)
        assert (row.standard, row.archive, row.both) == (split.standard, split.archive, split.shared)


class TestSnapshot:
    def test_it_feeds_the_cost_functions(self, registry) -> None:
        taken = registry.snapshot()
        assert storage(taken.inventories()) == storage(dict(taken.inventories()))
        assert storage(taken.sources()) == storage(taken.inventories())
        assert storage(taken.inventories()).bytes == registry.cost.storage().bytes
        assert attribute(taken.inventories(), by_tag("Team", taken.tags)).unowned == ("pay/api", "pay/job")
        growth = trend([(taken.taken_at, taken.inventories())])
        assert growth.of("pay/api")[0].bytes == storage(taken.inventories())["pay/api"].bytes


class TestRules:
    def test_two_repositories_on_one_base(self) -> None:
        """A base of 100 and own layers of 10 in two repositories are 220 bytes, or 120 mounted (containers-roadmap#531)."""
        a, b = made("a", ("base", 100), ("a", 8), config=2), made("b", ("base", 100), ("b", 8), config=2)
        held = [inventory("r1", [a], [entry(a)]), inventory("r2", [b], [entry(b)])]
        report = storage(held)
        assert (report.bytes.low, report.bytes.high) == (120, 220)
        assert report.bytes == stored_across(held)
        assert any("mounted" in reason for reason in report.bytes.reasons)
        assert storage(held, blob_mounting=False).bytes == ByteRange.exactly(220)

    def test_two_images_of_the_same_layers_count_once(self) -> None:
        """aws-samples/amazon-ecr-cost-vulnerability-and-usage-reporting#21: a sum of sizes is no storage."""
        a, b = made("a", ("x", 10), ("y", 20)), made("b", ("x", 10), ("y", 20))
        report = storage(inventory("r", [a, b], [entry(a, imageSizeInBytes=40), entry(b, imageSizeInBytes=40)]))
        assert (report.bytes.exact, report.naive) == (50, 80)

    @pytest.mark.parametrize("sizes", [(10, 12), (12, 10)])
    def test_repositories_that_disagree_about_a_layer(self, sizes: tuple[int, int]) -> None:
        pair = [made("a", ("x", size)) for size in sizes]
        report = storage([inventory(f"r{n}", [m], [entry(m)]) for n, m in enumerate(pair)])
        assert (report.bytes.low, report.bytes.high) == (10 + 10, 20 + 22)

    def test_gaps_have_no_bound(self) -> None:
        a = made("a", ("x", 10))
        report = storage({"r1": inventory("r1", [a], [entry(a)]), "r2": None})
        assert (report.bytes.low, report.bytes.high) == (20, None)
        assert "r2 could not be read" in report.bytes.reasons
        assert report.gaps == {"r2": "could not be read"}

    def test_a_name_comes_once(self) -> None:
        one = inventory("r", [], [])
        with pytest.raises(InvalidInput, match="twice"):
            storage([one, one])

    def test_tables(self) -> None:
        a = made("a", ("x", 10))
        report = storage({"<r>": inventory("r", [a], [entry(a)])}, per_image=True)
        assert report.to_columns()["bytes_low"] == [20]
        assert report.image_columns()["unique_low"] == [20]
        assert len(report.to_pandas()) == 1
        assert "&lt;r&gt;" in report._repr_html_()
        assert json.loads(report.to_json())["repositories"][0]["bytes"]["low"] == 20
        assert "<r>" in report.explain()
        assert report.largest(1)[0].repository == "<r>"


def one_repository():
    """Read where the work is done."""
    a = made("a", ("x", 10))
    return inventory("made there", [a], [entry(a)])


class TestExecutors:
    def test_a_process_pool_gives_the_same(self) -> None:
        a, b = made("a", ("x", 10), ("a", 1)), made("b", ("x", 10), ("b", 2))
        many = {f"t{n % 7}/r{n}": inventory("", [a, b], [entry(a, "v1"), entry(b, "v2")]) for n in range(80)}
        many |= {"gone": None, "late": one_repository}
        with ProcessPoolExecutor(2) as pool:
            for more in ({}, {"per_image": True}, {"blob_mounting": False}):
                assert storage(many, executor=pool, **more) == storage(many, **more)
            for more in ({}, {"mounted": True}, {"shared_layers": "first_pusher", "mounted": True}):
                assert attribute(many, by_prefix(), executor=pool, **more) == attribute(many, by_prefix(), **more)
        assert storage(many)["late"].bytes.exact == 20


class TestAttribution:
    A, B = made("a", ("base", 101), ("a", 10)), made("b", ("base", 101), ("b", 20))

    def held(self):
        return inventory("mono", [self.A, self.B], [entry(self.A, "pay-1", pushed=5), entry(self.B, "web-1", pushed=9)])

    def by(self, _, found):
        return found.tags[0].split("-")[0]

    @pytest.mark.parametrize(
        ("rule", "pay", "web"), [("even", 20 + 51, 30 + 50), ("first_pusher", 20, 30 + 101), ("by_images", 71, 80)]
    )
    def test_shared_layers(self, rule: str, pay: int, web: int) -> None:
        found = attribute(self.held(), self.by, shared_layers=rule)
        assert (found["pay"].bytes.exact, found["web"].bytes.exact) == (pay, web)
        assert found.total.exact == 151

    def test_by_images_in_proportion(self) -> None:
        c = made("c", ("base", 101), ("c", 5))
        details = [entry(self.A, "pay-1"), entry(c, "pay-2"), entry(self.B, "web-1")]
        found = attribute(inventory("mono", [self.A, self.B, c], details), self.by, shared_layers="by_images")
        assert (found["pay"].bytes.exact, found["web"].bytes.exact) == (20 + 15 + 67, 30 + 34)

    def test_nobody_is_named(self) -> None:
        found = attribute({"a/b": self.held(), "scratch": self.held(), "x": None}, by_prefix())
        assert found.unowned == ("scratch",)
        assert found.gaps == ("x",)
        assert found[None].bytes.exact == 151
        assert found.total.high is None
        assert "scratch" in found.explain()
        with pytest.raises(KeyError):
            found["nobody"]

    def test_unread_images_are_in_their_owners_upper_bound(self) -> None:
        details = [entry(self.A, "pay-1"), entry(self.B, "web-1", imageSizeInBytes=131)]
        found = attribute(inventory("mono", [self.A], details), self.by)
        assert found["pay"].bytes.exact == 121
        assert (found["web"].bytes.low, found["web"].bytes.high) == (0, 131)

    def test_a_rule_that_is_none(self) -> None:
        with pytest.raises(InvalidInput, match="even, by_images, first_pusher"):
            attribute({}, by_prefix(), shared_layers="fair")
