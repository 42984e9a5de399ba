"""Stored bytes: what a set of images really occupies in a repository, and what removing some of them frees.

ECR stores a layer once within a repository, however many images use it, so the sum of `imageSizeInBytes` counts
shared layers many times; an index repeats the size of its largest manifest on top of its children. Here every blob
(config or layer) counts once, an index counts nothing of its own, and what is not known makes a range.
Source: ECR user guide, private repositories and blob mounting; ECR API reference, ImageDetail.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.blobs import UNSIZED, BlobTable
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.records import Image

__all__ = ["ByteRange", "StorageSplit", "freed_by", "naive_bytes", "storage_split", "stored_across", "stored_bytes"]

_UNREAD: Final = "a manifest was not read, so it is not known which layers it shares"
_STAYING_UNREAD: Final = "an image that stays has an unread manifest and may share the layers"


@attrs.frozen(kw_only=True)
class StorageSplit(Record):
    """A repository's stored bytes by the storage class of the images that use them.

    A blob that active and archived images share stands in `shared`: which class it is billed in is not documented.
    """

    standard: ByteRange
    archive: ByteRange
    shared: ByteRange


class _Held:
    """What some images hold: blobs by digest, images that could not be read, and images that tell no sizes."""

    def __init__(self, table: BlobTable) -> None:
        self._table = table
        self.digests: set[str] = set()
        self.unread: list[int | None] = []  # imageSizeInBytes of images whose layers are not known
        self._without_sizes: dict[str, tuple[Manifest, int | None]] = {}
        self._reasons: dict[str, None] = {}

    def take(self, manifest: Manifest, size: int | None) -> None:
        self.digests.update(manifest.blob_digests)
        if not manifest.tells_sizes:
            self._without_sizes[manifest.digest] = manifest, size

    def miss(self, size: int | None, reason: str) -> None:
        self.unread.append(size)
        self._reasons[reason] = None

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why some of the images could not be read."""
        return tuple(self._reasons)

    def unread_total(self) -> int | None:
        """Return the most bytes that the unread images hold, or None when nothing bounds them."""
        known = [size for size in self.unread if size is not None]
        return sum(known) if len(known) == len(self.unread) else None

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield every blob with the least bytes that it takes."""
        return self._table.least(self.digests)

    def total(self, digests: AbstractSet[str] | None = None) -> ByteRange:
        """Return the bytes of all blobs, or of those; what unread images hold comes on top of `high`."""
        chosen = self.digests if digests is None else digests
        low, high, reasons = self._table.total(chosen)
        bound, unsized = self._bound(chosen)
        beyond = self.unread_total()
        reasons = (*reasons, *((UNSIZED,) if unsized else ()), *self._reasons)
        return ByteRange(low, None if bound is None or beyond is None else high + bound + beyond, reasons)

    def _bound(self, digests: AbstractSet[str]) -> tuple[int | None, bool]:
        """Return the most bytes of the blobs whose size no manifest tells, and whether there are any."""
        unsized = self._table.unsized(digests) if self._without_sizes else frozenset()
        if not unsized:
            return 0, False
        sizes = [size for m, size in self._without_sizes.values() if not unsized.isdisjoint(m.blob_digests)]
        known = [size for size in sizes if size is not None]
        return (sum(known) if len(known) == len(sizes) else None), True


def _selected(inventory: Inventory, digests: Iterable[str] | None) -> Iterator[Image]:
    if digests is None:
        yield from inventory.images
        return
    wanted = dict.fromkeys(digests)
    missing = [d for d in wanted if d not in inventory]
    if missing:
        raise InvalidInput(
            "not images of this repository", [Problem("digests", f"{d} is not in the inventory") for d in missing[:20]]
        )
    for digest in wanted:
        yield inventory[digest]


def _collect(inventory: Inventory, images: Iterable[Image]) -> _Held:
    """Return what the images themselves hold; an index holds nothing."""
    held = _Held(inventory.blobs)
    manifest_of, add = inventory.manifests.get, held.digests.update
    schema1 = inventory.blobs.has_unsized
    for image in images:
        manifest = manifest_of(image.digest)
        if manifest is None:
            if not image.is_index:
                held.miss(image.size, _UNREAD)
        elif schema1:
            held.take(manifest, image.size)
        else:
            add(manifest.blob_digests)
    return held


def _whole(inventory: Inventory) -> ByteRange:
    """Return what all images hold: as a rule everything in the table of blobs, which needs no set of its own."""
    table = inventory.blobs
    if table.has_unsized or not all(map(inventory.__contains__, inventory.manifests)):
        return _collect(inventory, inventory.images).total()
    held = _Held(table)
    if len(inventory.manifests) < len(inventory.images):
        read = inventory.manifests
        for image in inventory.images:
            if image.digest not in read and not image.is_index:
                held.miss(image.size, _UNREAD)
    return held.total(table.digests)


def _collect_with_children(inventory: Inventory, images: Iterable[Image]) -> _Held:
    """Return what the images and the children of the indexes among them hold."""
    held = _Held(inventory.blobs)
    todo = list(images)
    seen = {image.digest for image in todo}
    while todo:
        image = todo.pop()
        manifest = inventory.manifests.get(image.digest)
        if not (manifest.is_index if manifest is not None else image.is_index):
            if manifest is None:
                held.miss(image.size, _UNREAD)
            else:
                held.take(manifest, image.size)
            continue
        if image.digest not in inventory.children:
            held.miss(None, "the children of an index are not known, because its manifest was not read")
            continue
        for child in inventory.children_of(image.digest):
            if child in seen:
                continue
            seen.add(child)
            found = inventory.get(child)
            read = inventory.manifests.get(child)
            if found is not None:
                todo.append(found)
            elif read is not None and not read.is_index:
                held.take(read, None)
            else:
                held.miss(None, "a child of an index is missing in the inventory")
    return held


def stored_bytes(inventory: Inventory, digests: Iterable[str] | None = None) -> ByteRange:
    """Return the bytes that the images occupy together, each config and layer counted once.

    With `digests`, of those images alone; an index stands for its children. Without, of the whole repository.
    An image whose manifest is not known adds nothing to `low` and its whole size to `high`. Manifests' own bytes are
    not counted, as ECR does not count them in `imageSizeInBytes`. Layers mounted from another repository
    (blob mounting) count here as well; how they are billed is not documented.

    Raises:
        InvalidInput: a digest is not in the inventory.

    Example:
        >>> from ecrkit.images import Inventory
        >>> details = [{"imageDigest": "sha256:" + "1" * 64, "imagePushedAt": 0, "imageSizeInBytes": 500}]
        >>> stored_bytes(Inventory.from_api(details)).to_dict()["high"]
        500
    """
    # The children of an index are images of the repository themselves: over the whole of it nothing needs following.
    if digests is None:
        return _whole(inventory)
    return _collect_with_children(inventory, _selected(inventory, digests)).total()


def naive_bytes(inventory: Inventory, digests: Iterable[str] | None = None) -> int:
    """Return the sum of `imageSizeInBytes`, which many scripts take for stored bytes.

    It counts shared layers once per image and an index on top of its children; shown beside the true number only.

    Raises:
        InvalidInput: a digest is not in the inventory.
    """
    return sum(image.size or 0 for image in _selected(inventory, digests))


def freed_by(inventory: Inventory, removed: Collection[str]) -> ByteRange:
    """Return the bytes that removing exactly these images frees.

    Layers that a remaining image of the repository still uses are not freed. Only the named images go: removing an
    index frees nothing unless its children are named too. An unread manifest among the removed widens the range
    upwards, one among the remaining downwards, since it may hold on to any layer.

    Raises:
        InvalidInput: a digest is not in the inventory.
    """
    going_digests = frozenset(removed)
    going = _collect(inventory, _selected(inventory, removed))
    staying = _collect(inventory, (i for i in inventory.images if i.digest not in going_digests))
    freed = going.total(going.digests - staying.digests)
    reasons = (*freed.reasons, *((_STAYING_UNREAD,) if staying.unread else ()))
    return ByteRange(_less(freed.low, staying), freed.high, reasons)


def _less(low: int, others: _Held) -> int:
    # What stays unread can hold at most its own size of what seems to go.
    most = others.unread_total()
    return 0 if most is None else max(0, low - most)


def storage_split(inventory: Inventory) -> StorageSplit:
    """Return the repository's stored bytes apart by storage class: used by active, by archived, or by both."""
    active, archived = (
        _collect(inventory, (i for i in inventory.images if i.storage_class == name))
        for name in ("standard", "archive")
    )

    def part(mine: _Held, others: _Held) -> ByteRange:
        found = mine.total(mine.digests - others.digests)
        reasons = dict.fromkeys((*found.reasons, *others.reasons))
        return ByteRange(_less(found.low, others), found.high, tuple(reasons))

    # An unread image may share with the other class, but no more than either of the two holds.
    both = active.digests & archived.digests
    return StorageSplit(
        standard=part(active, archived),
        archive=part(archived, active),
        shared=active.total(both) + ByteRange(0, archived.unread_total(), archived.reasons),
    )


def stored_across(inventories: Iterable[Inventory], *, blob_mounting: bool | None = None) -> ByteRange:
    """Return the bytes that several repositories of one registry store together.

    ECR stores a layer once within a repository, and once more in every other one, unless it was mounted there. It
    mounts while the registry setting BLOB_MOUNTING is on, for clients that ask, between repositories of the same
    encryption; switching it off keeps what was mounted. No field says which layers were, so the answer is a range:
    from each layer once in the registry to each once in every repository.

    Args:
        inventories: one for each repository, all of one account and Region.
        blob_mounting: False when the setting has never been on: nothing is shared between repositories then.

    Raises:
        InvalidInput: `inventories` names a repository twice.
    """
    held = list(inventories)
    names = [inventory.repository for inventory in held if inventory.repository]
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InvalidInput.single("not different repositories", "inventories", f"{twice[0]} is there twice")
    apart = ByteRange.exactly(0)
    for inventory in held:
        apart += stored_bytes(inventory)
    if blob_mounting is False:
        return apart
    least: dict[str, int] = {}
    for inventory in held:
        for digest, size in _collect(inventory, inventory.images).sizes():
            least[digest] = min(size, least.get(digest, size))
    low = sum(least.values())
    if low == apart.low:
        return apart
    return ByteRange(low, apart.high, (*apart.reasons, "layers may be mounted from another repository"))
