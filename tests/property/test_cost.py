"""Costs against recounts that do it the slow, obvious way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.cost.attribution import SharedLayers, attribute
from ecrkit.cost.image_storage import image_storage
from ecrkit.cost.storage import storage
from ecrkit.images import Inventory, freed_by, stored_across, stored_bytes
from ecrkit.records import Image, RawManifest
from tests.property.test_images_storage import inventory_of, worlds


def descendants(inventory: Inventory, digest: str) -> set[str]:
    found: set[str] = {digest}
    for child in inventory.children_of(digest):
        if child in inventory:
            found |= descendants(inventory, child)
    return found


@settings(max_examples=150)
@given(world=worlds(), data=st.data())
def test_what_an_image_alone_holds_is_what_removing_it_frees(world: list[RawManifest], data: st.DataObject) -> None:
    read = (
        {m.digest for m in data.draw(st.lists(st.sampled_from(world)))} if world and data.draw(st.booleans()) else None
    )
    inventory = inventory_of(world, read)
    for row in image_storage(inventory):
        freed = freed_by(inventory, descendants(inventory, row.digest))
        assert (row.unique.low, row.unique.high) == (freed.low, freed.high)
        whole = stored_bytes(inventory, [row.digest])
        assert (row.bytes.low, row.bytes.high) == (whole.low, whole.high)
        if row.bytes.exact is not None and row.unique.exact is not None:
            assert row.unique.exact + (row.shared.exact or 0) == row.bytes.exact


@settings(max_examples=100)
@given(many=st.lists(worlds(), max_size=4), mounting=st.sampled_from([None, False, True]))
def test_a_report_says_what_the_parts_say(many: list[list[RawManifest]], mounting: bool | None) -> None:
    inventories = {f"r{n}": inventory_of(world) for n, world in enumerate(many)}
    report = storage(inventories, blob_mounting=mounting)
    across = stored_across(inventories.values(), blob_mounting=mounting)
    assert (report.bytes.low, report.bytes.high) == (across.low, across.high)
    assert report.apart.exact == sum(stored_bytes(i).exact or 0 for i in inventories.values())
    with ThreadPoolExecutor(2) as pool:
        assert storage(inventories, blob_mounting=mounting, executor=pool) == report


OWNERS: list[list[str | None]] = [["pay", "web", "ops", None], ["pay"], [None]]


@settings(max_examples=200)
@given(
    many=st.lists(worlds(), min_size=1, max_size=3),
    rule=st.sampled_from(["even", "by_images", "first_pusher"]),
    mounted=st.booleans(),
    seed=st.integers(0, 10**6),
    data=st.data(),
)
def test_the_parts_add_up_to_the_byte(
    many: list[list[RawManifest]], rule: SharedLayers, mounted: bool, seed: int, data: st.DataObject
) -> None:
    inventories = {}
    for n, world in enumerate(many):
        read = (
            {m.digest for m in data.draw(st.lists(st.sampled_from(world)))}
            if world and data.draw(st.booleans())
            else None
        )
        inventories[f"r{n}"] = inventory_of(world, read)

    owners = OWNERS[seed % len(OWNERS)]

    def by(repository: str, image: Image) -> str | None:
        return owners[(int(image.digest[7:17], 16) + seed) % len(owners)]

    found = attribute(inventories, by, shared_layers=rule, mounted=mounted)
    report = storage(inventories)
    expected = report.bytes.low if mounted else report.apart.low
    assert sum(s.bytes.low for s in found.shares) == found.total.low == expected
    if not mounted:
        assert sum(s.bytes.high or 0 for s in found.shares) == found.total.high == report.apart.high
    # Nobody pays less than what it alone holds, nor more than all that its images hold.
    for share in found.shares:
        mine = {
            name: {i.digest for i in inv.images if by(name, i) == share.owner and i.digest in inv.manifests}
            for name, inv in inventories.items()
        }
        held = sum(_blob_sum(inventories[n], digests) for n, digests in mine.items())
        assert share.bytes.low <= held
        if not mounted:
            others = {n: {i.digest for i in inv.images} - mine[n] for n, inv in inventories.items()}
            assert share.bytes.low >= report.apart.low - sum(_blob_sum(inventories[n], d) for n, d in others.items())


def _blob_sum(inventory: Inventory, digests: set[str]) -> int:
    """The slow way: every blob of the manifests that were read, once."""
    blobs = {b.digest: b.size or 0 for d in digests if d in inventory.manifests for b in inventory.manifests[d].blobs}
    return sum(blobs.values())
