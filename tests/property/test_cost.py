"""Costs against recounts that do it the slow, obvious way."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.cost.image_storage import image_storage
from ecrkit.cost.storage import storage
from ecrkit.images import Inventory, freed_by, stored_across, stored_bytes
from ecrkit.records import RawManifest
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
    read = {m.digest for m in data.draw(st.lists(st.sampled_from(world)))} if world and data.draw(st.booleans()) else None
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
