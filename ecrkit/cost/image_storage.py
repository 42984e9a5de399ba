"""What each image of a repository holds, and how much of it no other image holds."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import ImageKind, Inventory
from ecrkit.images.storage import stored_bytes
from ecrkit.records import Image, StorageClass

__all__ = ["ImageStorage", "image_storage"]

_UNREAD: Final = "a manifest was not read, so it is not known which layers it shares"
_OTHER_UNREAD: Final = "another image has an unread manifest and may share the layers"
_UNSIZED: Final = "a schema 1 manifest tells no layer sizes"


@attrs.frozen(kw_only=True)
class ImageStorage(Record):
    """What one image holds: `bytes` in all, each blob once, of which `unique` in no other image and `shared` in others.

    An index stands for its children: its `bytes` are theirs, and `unique` is what removing it with them frees. The sum
    over all images counts shared layers many times, and children with their index. `size` is `imageSizeInBytes`.
    `subject` is the image that a referrer (signature, SBOM, attestation) refers to.
    """

    repository: str
    digest: str
    tags: tuple[str, ...]
    kind: ImageKind
    storage_class: StorageClass
    pushed_at: dt.datetime
    size: int | None
    bytes: ByteRange
    unique: ByteRange
    shared: ByteRange
    subject: str | None = None


class _Unread:
    """The images whose layers are not known, as a number and as bytes."""

    def __init__(self, sizes: Iterable[int | None] = ()) -> None:
        self.count = self.bytes = self.unbounded = 0
        for size in sizes:
            self.count += 1
            self.bytes += size or 0
            self.unbounded += size is None

    def without(self, other: _Unread) -> int | None:
        """Return the most bytes that those hold which are not among the others; None when nothing bounds it."""
        return None if self.unbounded > other.unbounded else self.bytes - other.bytes


def image_storage(inventory: Inventory, *, repository: str = "") -> tuple[ImageStorage, ...]:
    """Return for each image of a repository what it holds and what it alone holds, in the order of the inventory.

    `unique` equals what `images.freed_by` says of removing that image alone, of an index with all of its children; the
    whole takes one pass, not one for each image.

    Example:
        >>> from ecrkit.images import Inventory
        >>> from ecrkit.local.images import filler, image
        >>> from ecrkit.records import RawManifest
        >>> base = filler(80_000, seed="base")
        >>> built = [image([base, filler(n, seed="own")]) for n in (5_000, 6_000)]
        >>> inventory = Inventory.from_api(
        ...     [{"imageDigest": b.digest, "imagePushedAt": 0} for b in built],
        ...     manifests=[RawManifest(digest=b.digest, media_type=b.media_type, text=b.manifest) for b in built])
        >>> [found.shared.exact for found in image_storage(inventory)]
        [80000, 80000]
    """
    name = repository or inventory.repository
    table, read = inventory.blobs, inventory.manifests
    counts: Counter[str] = Counter()
    for digest, known in read.items():
        if digest in inventory:
            counts.update(known.blob_digests)
    unread = _Unread(i.size for i in inventory.images if i.digest not in read and not i.is_index)
    found: list[ImageStorage] = []
    for image in inventory.images:
        manifest = read.get(image.digest)
        members = _closure(inventory, image)
        missing = _Unread(m.size for m in members if m.digest not in read and not m.is_index)
        if manifest is not None and not manifest.is_index:
            own = manifest.blob_digests
            alone = {d for d in own if counts[d] == 1}
            held = set(own)
        else:
            inside: Counter[str] = Counter()
            for member in members:
                told = read.get(member.digest)
                if told is not None:
                    inside.update(told.blob_digests)
            held, alone = set(inside), {d for d, n in inside.items() if counts[d] == n}
        is_index = image.is_index or (manifest is not None and manifest.is_index)
        unsized = bool(table.has_unsized and table.unsized(held))
        low, high, reasons = table.total(held)
        if is_index or missing.count or unsized:
            whole = stored_bytes(inventory, [image.digest])
        else:
            whole = ByteRange(low, high, reasons)
        unique = _unique(inventory, alone, members, missing, unread)
        found.append(
            ImageStorage(
                repository=name,
                digest=image.digest,
                tags=image.tags,
                kind=inventory.kind_of(image.digest),
                storage_class=image.storage_class,
                pushed_at=image.pushed_at,
                size=image.size,
                bytes=whole,
                unique=unique,
                shared=_difference(whole, unique),
                subject=inventory.subject_of(image.digest),
            )
        )
    return tuple(found)


def _closure(inventory: Inventory, image: Image) -> tuple[Image, ...]:
    """Return the image, and for an index every child that the repository has, at any depth."""
    if not inventory.children_of(image.digest):
        return (image,)
    found = {image.digest: image}
    todo = [image.digest]
    while todo:
        for child in inventory.children_of(todo.pop()):
            held = inventory.get(child)
            if held is not None and child not in found:
                found[child] = held
                todo.append(child)
    return tuple(found.values())


def _unique(
    inventory: Inventory, alone: set[str], members: tuple[Image, ...], missing: _Unread, unread: _Unread
) -> ByteRange:
    table = inventory.blobs
    low, high, told = table.total(alone)
    reasons = list(told)
    bound: int | None = 0
    unsized = table.unsized(alone) if table.has_unsized else frozenset[str]()
    if unsized:
        sizes = [
            member.size
            for member in members
            if (m := inventory.manifests.get(member.digest)) is not None
            and not m.tells_sizes
            and not unsized.isdisjoint(m.blob_digests)
        ]
        bound = None if None in sizes else sum(size or 0 for size in sizes)
        reasons.append(_UNSIZED)
    if missing.count:
        reasons.append(_UNREAD)
    beyond = None if missing.unbounded else missing.bytes
    top = None if bound is None or beyond is None else high + bound + beyond
    if unread.count > missing.count:
        others = unread.without(missing)
        low = 0 if others is None else max(0, low - others)
        reasons.append(_OTHER_UNREAD)
    return ByteRange(low, top, tuple(dict.fromkeys(reasons)))


def _difference(whole: ByteRange, part: ByteRange) -> ByteRange:
    if part.exact is not None and whole.exact is not None:
        return ByteRange.exactly(whole.exact - part.exact)
    low = 0 if part.high is None else max(0, whole.low - part.high)
    reasons = tuple(dict.fromkeys((*whole.reasons, *part.reasons)))
    return ByteRange(low, None if whole.high is None else max(low, whole.high - part.low), reasons)
