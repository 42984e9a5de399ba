"""Stored bytes: what a set of images really occupies in a repository, and what removing some of them frees.

ECR stores a layer once within a repository, however many images use it, so the sum of `imageSizeInBytes` counts
shared layers many times; an index repeats the size of its largest manifest on top of its children. Here every blob
(config or layer) counts once, an index counts nothing of its own, and what is not known makes a range.
Source: ECR user guide, private repositories and blob mounting; ECR API reference, ImageDetail.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import size as for_people
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.inventory import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.records import Image

__all__ = ["ByteRange", "StorageSplit", "freed_by", "naive_bytes", "storage_split", "stored_bytes"]


@attrs.frozen
class ByteRange(Record):
    """A number of bytes that lies between `low` and `high`; `high` is None when nothing bounds it from above.

    `reasons` says why it is a range; an exact number has none.

    Example:
        >>> print(ByteRange(1024, 3072, ("one manifest was not read",)))
        1.0 KiB to 3.0 KiB
    """

    low: int
    high: int | None
    reasons: tuple[str, ...] = ()

    @classmethod
    def exactly(cls, count: int) -> ByteRange:
        """Return the range that holds one number."""
        return cls(count, count)

    @property
    def exact(self) -> int | None:
        """The number of bytes if it is known exactly, else None."""
        return self.low if self.low == self.high else None

    def __add__(self, other: ByteRange) -> ByteRange:
        high = None if self.high is None or other.high is None else self.high + other.high
        return ByteRange(self.low + other.low, high, tuple(dict.fromkeys(self.reasons + other.reasons)))

    def __contains__(self, count: object) -> bool:
        return isinstance(count, int) and self.low <= count and (self.high is None or count <= self.high)

    @override
    def __str__(self) -> str:
        if self.exact is not None:
            return for_people(self.low)
        if self.high is None:
            return f"at least {for_people(self.low)}"
        return f"{for_people(self.low)} to {for_people(self.high)}"


@attrs.frozen(kw_only=True)
class StorageSplit(Record):
    """A repository's stored bytes by the storage class of the images that use them.

    A blob that active and archived images share stands in `shared`: which class it is billed in is not documented.
    """

    standard: ByteRange
    archive: ByteRange
    shared: ByteRange


class _Blobs:
    """Blobs of many manifests, each digest once, and what could not be counted."""

    def __init__(self) -> None:
        self.low: dict[str, int] = {}
        self.high: dict[str, int] = {}  # only where it differs from `low`
        self.unknown: list[int | None] = []  # imageSizeInBytes of images whose layers are not known
        self.reasons: dict[str, None] = {}

    def take(self, manifest: Manifest) -> None:
        sizes = self.low
        if manifest.config is not None:
            self._one(manifest.config.digest, manifest.config.size or 0)
        for layer in manifest.layers:
            size = layer.size
            if size is None or layer.urls or ".foreign." in layer.media_type or ".nondist" in layer.media_type:
                self._elsewhere(layer.digest, size or 0)
            elif sizes.setdefault(layer.digest, size) != size:
                self._one(layer.digest, size)

    def _one(self, digest: str, size: int) -> None:
        known = self.low.setdefault(digest, size)
        if known != size:
            # Two manifests disagree about one blob; the registry does not say who is right.
            self.high[digest] = max(known, size, self.high.get(digest, 0))
            self.low[digest] = min(known, size)
            self.reasons["manifests disagree about the size of a layer"] = None

    def _elsewhere(self, digest: str, size: int) -> None:
        if digest not in self.low:
            self.low[digest] = 0
        self.high[digest] = max(size, self.high.get(digest, 0), self.low[digest])
        self.reasons["a foreign layer may or may not be stored in the registry"] = None

    def miss(self, size: int | None, reason: str) -> None:
        self.unknown.append(size)
        self.reasons[reason] = None

    def total(self, digests: Iterable[str] | None = None) -> tuple[int, int]:
        """Return the least and the most bytes of the known blobs."""
        if digests is None:
            low = sum(self.low.values())
            return low, low + sum(h - self.low[d] for d, h in self.high.items())
        low = high = 0
        for digest in digests:
            low += self.low[digest]
            high += self.high.get(digest, self.low[digest])
        return low, high

    def unknown_total(self) -> int | None:
        known = [size for size in self.unknown if size is not None]
        return sum(known) if len(known) == len(self.unknown) else None


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


def _collect(inventory: Inventory, images: Iterable[Image], *, with_children: bool) -> _Blobs:
    blobs = _Blobs()
    todo = list(images)
    seen = {image.digest for image in todo} if with_children else set()
    while todo:
        image = todo.pop()
        manifest = inventory.manifests.get(image.digest)
        is_index = manifest.is_index if manifest is not None else image.is_index
        if not is_index:
            if manifest is None:
                blobs.miss(image.size, "a manifest was not read, so it is not known which layers it shares")
            elif any(layer.size is None for layer in manifest.layers):
                blobs.miss(image.size, "a schema 1 manifest tells no layer sizes")
            else:
                blobs.take(manifest)
            continue
        if not with_children:
            continue
        if image.digest not in inventory.children:
            blobs.miss(None, "the children of an index are not known, because its manifest was not read")
            continue
        for child in inventory.children_of(image.digest):
            if child in seen:
                continue
            seen.add(child)
            found = inventory.get(child)
            if found is not None:
                todo.append(found)
            elif child in inventory.manifests and not inventory.manifests[child].is_index:
                blobs.take(inventory.manifests[child])
            else:
                blobs.miss(None, "a child of an index is missing in the inventory")
    return blobs


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
    blobs = _collect(inventory, _selected(inventory, digests), with_children=digests is not None)
    low, high = blobs.total()
    beyond = blobs.unknown_total()
    return ByteRange(low, None if beyond is None else high + beyond, tuple(blobs.reasons))


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
    going = _collect(inventory, _selected(inventory, removed), with_children=False)
    staying = _collect(inventory, (i for i in inventory.images if i.digest not in going_digests), with_children=False)
    low, high = going.total(d for d in going.low if d not in staying.low)
    held, beyond = staying.unknown_total(), going.unknown_total()
    # What stays unread can hold at most its own size of what seems to go.
    low = 0 if held is None else max(0, low - held)
    reasons = dict(going.reasons)
    if staying.unknown:
        reasons["an image that stays has an unread manifest and may share the layers"] = None
    return ByteRange(low, None if beyond is None else high + beyond, tuple(reasons))


def storage_split(inventory: Inventory) -> StorageSplit:
    """Return the repository's stored bytes apart by storage class: used by active, by archived, or by both."""
    active = _collect(inventory, (i for i in inventory.images if i.storage_class == "standard"), with_children=False)
    archived = _collect(inventory, (i for i in inventory.images if i.storage_class == "archive"), with_children=False)

    def part(blobs: _Blobs, digests: Iterable[str], others: _Blobs, *, unread: bool) -> ByteRange:
        low, high = blobs.total(digests)
        held = others.unknown_total() if unread else 0
        beyond = blobs.unknown_total() if unread else 0
        reasons = {**blobs.reasons, **(others.reasons if others.unknown else {})}
        return ByteRange(
            0 if held is None else max(0, low - held), None if beyond is None else high + beyond, tuple(reasons)
        )

    both = [d for d in active.low if d in archived.low]
    low, high = active.total(both)
    slack = [active.unknown_total(), archived.unknown_total()]
    unread = bool(active.unknown or archived.unknown)
    more = None if None in slack else sum(s for s in slack if s is not None)
    return StorageSplit(
        standard=part(active, (d for d in active.low if d not in archived.low), archived, unread=True),
        archive=part(archived, (d for d in archived.low if d not in active.low), active, unread=True),
        shared=ByteRange(
            low,
            (None if more is None else high + more) if unread else high,
            tuple({**active.reasons, **archived.reasons}) if unread or low != high else (),
        ),
    )
