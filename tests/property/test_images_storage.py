"""Stored and freed bytes against a recount that does it the slow, obvious way: list every blob, throw away doubles."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.images import Inventory, freed_by, stored_bytes
from ecrkit.records import RawManifest
from tests.support.manifests import blob, child, detail, digest_of, image_document, index_document, raw

LAYER_SIZES = {name: 3 ** (n + 1) for n, name in enumerate("abcdefgh")}


@st.composite
def worlds(draw: st.DrawFn) -> list[RawManifest]:
    """A few images over few layers, so that they share, and indexes over them, some nested."""
    found: list[RawManifest] = []
    for number in range(draw(st.integers(0, 7))):
        layers = [blob(name, LAYER_SIZES[name]) for name in draw(st.lists(st.sampled_from("abcdefgh"), max_size=5))]
        config = draw(st.sampled_from([blob("shared config", 7), blob(f"config {number}", 11)]))
        found.append(raw(image_document(layers, config=config, annotations={"n": str(number)})))
    for number in range(draw(st.integers(0, 3))):
        inside = draw(st.lists(st.sampled_from(found), max_size=3)) if found else []
        found.append(raw(index_document([child(m) for m in inside], annotations={"n": str(number)})))
    return found


def blobs_of(manifest: RawManifest, world: dict[str, RawManifest], *, follow: bool) -> list[tuple[str, int]]:
    document = json.loads(manifest.text)
    if "manifests" in document:
        if not follow:
            return []
        return [b for c in document["manifests"] for b in blobs_of(world[c["digest"]], world, follow=True)]
    return [(d["digest"], d["size"]) for d in [document["config"], *document["layers"]]]


def true_size(manifest: RawManifest) -> int:
    return sum(size for _, size in blobs_of(manifest, {}, follow=False))


def inventory_of(world: list[RawManifest], read: set[str] | None = None) -> Inventory:
    details = [detail(m, size=true_size(m)) for m in world]
    return Inventory.from_api(details, manifests=[m for m in world if read is None or m.digest in read])


@settings(max_examples=200)
@given(world=worlds(), data=st.data())
def test_stored_bytes_equal_a_recount(world: list[RawManifest], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(world), unique_by=lambda m: m.digest)) if world else []
    by_digest = {m.digest: m for m in world}
    expected = {b for m in chosen for b in blobs_of(m, by_digest, follow=True)}
    assert stored_bytes(inventory_of(world), [m.digest for m in chosen]).exact == sum(size for _, size in expected)
    whole = {b for m in world for b in blobs_of(m, by_digest, follow=False)}
    assert stored_bytes(inventory_of(world)).exact == sum(size for _, size in whole)


@settings(max_examples=200)
@given(world=worlds(), data=st.data())
def test_freed_bytes_are_the_difference_of_two_recounts(world: list[RawManifest], data: st.DataObject) -> None:
    going = {m.digest for m in data.draw(st.lists(st.sampled_from(world)))} if world else set()
    inventory = inventory_of(world)
    staying = inventory_of([m for m in world if m.digest not in going])
    assert freed_by(inventory, going).exact == (stored_bytes(inventory).exact or 0) - (stored_bytes(staying).exact or 0)


@settings(max_examples=100)
@given(world=worlds(), data=st.data())
def test_freeing_is_monotone(world: list[RawManifest], data: st.DataObject) -> None:
    inventory = inventory_of(world)
    some = {m.digest for m in data.draw(st.lists(st.sampled_from(world)))} if world else set()
    more = some | ({m.digest for m in data.draw(st.lists(st.sampled_from(world)))} if world else set())
    assert (freed_by(inventory, some).exact or 0) <= (freed_by(inventory, more).exact or 0)


@settings(max_examples=200)
@given(world=worlds(), data=st.data())
def test_what_is_unread_makes_a_range_that_holds_the_truth(world: list[RawManifest], data: st.DataObject) -> None:
    read = {m.digest for m in data.draw(st.lists(st.sampled_from(world)))} if world else set()
    going = {m.digest for m in data.draw(st.lists(st.sampled_from(world)))} if world else set()
    full, partial = inventory_of(world), inventory_of(world, read)
    assert stored_bytes(full).exact in stored_bytes(partial)
    assert freed_by(full, going).exact in freed_by(partial, going)
    assert stored_bytes(full, going).exact in stored_bytes(partial, going)


def test_digests_of_the_helpers_are_stable() -> None:
    assert blob("a", 1)["digest"] == digest_of("a")
