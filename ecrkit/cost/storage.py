"""What repositories store: each layer once within a repository, by image and by storage class, with honest ranges.

Sources: ECR user guide, private repositories, archiving images and blob mounting; ECR API reference, ImageDetail.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from concurrent.futures import Executor
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, size, text_table
from ecrkit._internal.times import require_aware
from ecrkit.cost.image_storage import ImageStorage, image_storage
from ecrkit.cost.sources import Inventories, Source, each_chunk, read
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import StorageSplit, naive_bytes, storage_split, stored_bytes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RepositoryStorage", "StorageReport", "storage"]

_NOTHING: Final = ByteRange.exactly(0)
_UNBOUNDED: Final = ByteRange(0, None)
_MOUNTED: Final = "layers may be mounted from another repository"
_HEADER: Final = ("repository", "images", "stored", "standard", "archive", "in both", "sum of image sizes", "unread")


@attrs.frozen(kw_only=True)
class RepositoryStorage(Record):
    """What one repository stores.

    `bytes` counts each config and layer once. `standard` is what active images alone use, `archive` what archived ones
    alone do, `both` what both use: which class that is billed in is not documented. `naive` is the sum of
    `imageSizeInBytes`, for comparison. `unread` counts images whose layers are not known. `gap` says why the repository
    could not be read; then nothing bounds its bytes.
    """

    repository: str
    images: int = 0
    indexes: int = 0
    archived_images: int = 0
    unread: int = 0
    bytes: ByteRange = _NOTHING
    standard: ByteRange = _NOTHING
    archive: ByteRange = _NOTHING
    both: ByteRange = _NOTHING
    naive: int = 0
    gap: str | None = None


@attrs.frozen(kw_only=True)
class StorageReport(Record):
    """What several repositories of one registry store.

    `bytes` is a range when layers may be mounted across repositories: from each layer once in the registry to once in
    every repository that has it. `apart` counts the latter. `images` has an entry for each image when they were asked
    for. A repository that could not be read leaves the totals without an upper bound.
    """

    repositories: tuple[RepositoryStorage, ...]
    bytes: ByteRange
    apart: ByteRange
    images: tuple[ImageStorage, ...] = attrs.field(default=(), repr=False)
    taken_at: dt.datetime | None = None

    @cached_property
    def _by_name(self) -> dict[str, RepositoryStorage]:
        return {found.repository: found for found in self.repositories}

    def __getitem__(self, repository: str) -> RepositoryStorage:
        """Return what one repository stores; raise KeyError when the report does not have it."""
        return self._by_name[repository]

    def get(self, repository: str) -> RepositoryStorage | None:
        """Return what one repository stores, or None when the report does not have it."""
        return self._by_name.get(repository)

    def __contains__(self, repository: object) -> bool:
        return repository in self._by_name

    @property
    def split(self) -> StorageSplit:
        """The bytes by storage class, each repository by itself."""
        parts = [_NOTHING, _NOTHING, _NOTHING]
        for found in self.repositories:
            parts = [a + b for a, b in zip(parts, (found.standard, found.archive, found.both), strict=True)]
        return StorageSplit(standard=parts[0], archive=parts[1], shared=parts[2])

    @property
    def naive(self) -> int:
        """The sum of all `imageSizeInBytes`, which counts shared layers many times."""
        return sum(found.naive for found in self.repositories)

    @property
    def gaps(self) -> dict[str, str]:
        """The repositories that could not be read, and why."""
        return {found.repository: found.gap for found in self.repositories if found.gap is not None}

    def largest(self, count: int = 10) -> tuple[RepositoryStorage, ...]:
        """Return the repositories that store most, largest first."""
        ranked = sorted(self.repositories, key=lambda r: (-r.bytes.low, r.repository))
        return tuple(ranked[:count])

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each repository, as columns; `bytes_high` is None where nothing bounds it."""
        rows = self.repositories
        columns: dict[str, list[Any]] = {
            "repository": [r.repository for r in rows],
            "images": [r.images for r in rows],
            "indexes": [r.indexes for r in rows],
            "archived_images": [r.archived_images for r in rows],
            "unread": [r.unread for r in rows],
        }
        for name in ("bytes", "standard", "archive", "both"):
            columns[f"{name}_low"] = [getattr(r, name).low for r in rows]
            columns[f"{name}_high"] = [getattr(r, name).high for r in rows]
        return columns | {"naive": [r.naive for r in rows], "gap": [r.gap for r in rows]}

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def image_columns(self) -> dict[str, list[Any]]:
        """Return one row for each image, as columns; empty when the images were not asked for."""
        rows = self.images
        names = ("repository", "digest", "tags", "kind", "storage_class", "pushed_at", "size")
        columns: dict[str, list[Any]] = {name: [getattr(row, name) for row in rows] for name in names}
        for name in ("bytes", "unique", "shared"):
            columns[f"{name}_low"] = [getattr(row, name).low for row in rows]
            columns[f"{name}_high"] = [getattr(row, name).high for row in rows]
        return columns

    def explain(self) -> str:
        """Return a table for people, the largest repository first."""
        lines = [str(self), text_table(_HEADER, self._rows(), right=frozenset(range(1, len(_HEADER))))]
        lines += [f"{name}: {why}" for name, why in self.gaps.items()]
        return "\n".join(lines)

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (r.repository or "(no name)", r.images, r.bytes, r.standard, r.archive, r.both, size(r.naive), r.unread)
            for r in self.largest(len(self.repositories))
        ]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        return f"{counted(len(self.repositories), 'repository', 'repositories')}: {self.bytes} stored"


@attrs.frozen
class _Measured:
    row: RepositoryStorage
    images: tuple[ImageStorage, ...]
    blobs: dict[str, int] | None


def _row(name: str, inventory: Inventory) -> RepositoryStorage:
    archived = sum(image.storage_class == "archive" for image in inventory.images)
    whole = stored_bytes(inventory)
    none = ByteRange(0, 0, whole.reasons)
    # Telling the classes apart takes two more sets of digests; most repositories have one class.
    split = storage_split(inventory) if archived else StorageSplit(standard=whole, archive=none, shared=none)
    read_already = inventory.manifests
    return RepositoryStorage(
        repository=name,
        images=len(inventory.images),
        indexes=sum(image.is_index for image in inventory.images),
        archived_images=archived,
        unread=sum(not image.is_index and image.digest not in read_already for image in inventory.images),
        bytes=whole,
        standard=split.standard,
        archive=split.archive,
        both=split.shared,
        naive=naive_bytes(inventory),
    )


def _blobs(inventory: Inventory) -> dict[str, int]:
    held: set[str] = set()
    for digest, manifest in inventory.manifests.items():
        if digest in inventory:
            held.update(manifest.blob_digests)
    return dict(inventory.blobs.least(held))


def _measure(chunk: list[tuple[str, Source]], *, per_image: bool, across: bool) -> list[_Measured]:
    found: list[_Measured] = []
    for name, source in chunk:
        inventory = read(source)
        if inventory is None:
            row = RepositoryStorage(
                repository=name, bytes=_UNBOUNDED, standard=_UNBOUNDED, archive=_UNBOUNDED, both=_UNBOUNDED,
                gap="could not be read",
            )  # fmt: skip
            found.append(_Measured(row, (), None))
            continue
        images = image_storage(inventory, repository=name) if per_image else ()
        found.append(_Measured(_row(name, inventory), images, _blobs(inventory) if across else None))
    return found


def storage(
    inventories: Inventories,
    *,
    blob_mounting: bool | None = None,
    per_image: bool = False,
    taken_at: dt.datetime | None = None,
    executor: Executor | None = None,
) -> StorageReport:
    """Return what one repository, or many of one registry, store: in all, by repository, by storage class, by image.

    Read the inventories with all manifests (`registry.inventory(name, manifests="all")`): an image whose manifest is
    not known makes a range. Archived images count; their manifests cannot be read, so keep those from before.

    Args:
        inventories: an inventory, a mapping from names to inventories, pairs of both as a snapshot's `inventories()`
            yields them, or inventories that know their names. In place of an inventory there may be a function that
            returns it, called where the work is done, or None for a repository that could not be read.
        blob_mounting: False when the registry setting BLOB_MOUNTING has never been on: then nothing is shared between
            repositories, and the total is no range.
        per_image: also tell for each image what it alone holds; about half a KB of memory for each.
        taken_at: when the inventories were read, kept in the report.
        executor: where to work; the results are the same.

    Raises:
        InvalidInput: a repository comes twice.

    Example:
        >>> from ecrkit import Registry
        >>> from ecrkit.local.images import filler, image
        >>> registry = Registry.local()
        >>> made = registry.gateway.create_repository("team/app")
        >>> base = filler(80_000, seed="base")
        >>> for n in range(3):
        ...     pushed = image([base, filler(5_000, seed=f"{n}")]).push(registry.client, "team/app", f"v{n}")
        >>> report = storage(registry.inventory("team/app", manifests="all"))
        >>> report.bytes.exact < 100_000 < report.naive
        True
    """
    at = None if taken_at is None else require_aware(taken_at, "taken_at")
    across = blob_mounting is not False and not isinstance(inventories, Inventory)
    work = partial(_measure, per_image=per_image, across=across)
    rows: list[RepositoryStorage] = []
    images: list[ImageStorage] = []
    least: dict[str, int] = {}
    for found in each_chunk(work, inventories, executor):
        rows.append(found.row)
        images += found.images
        if found.blobs is not None:
            _merge(least, found.blobs)
    apart = _sum(rows)
    low = sum(least.values())
    mounted = across and low < apart.low
    return StorageReport(
        repositories=tuple(rows),
        bytes=ByteRange(low, apart.high, (*apart.reasons, _MOUNTED)) if mounted else apart,
        apart=apart,
        images=tuple(images),
        taken_at=at,
    )


def _merge(least: dict[str, int], blobs: dict[str, int]) -> None:
    if not least:
        least.update(blobs)
        return
    known = {digest: min(blobs[digest], least[digest]) for digest in least.keys() & blobs.keys()}
    least.update(blobs)
    least.update(known)


def _sum(rows: list[RepositoryStorage]) -> ByteRange:
    low = sum(row.bytes.low for row in rows)
    highs = [row.bytes.high for row in rows]
    known = [high for high in highs if high is not None]
    reasons = dict.fromkeys(reason for row in rows for reason in _reasons(row))
    return ByteRange(low, sum(known) if len(known) == len(highs) else None, tuple(reasons))


def _reasons(row: RepositoryStorage) -> Iterator[str]:
    yield from row.bytes.reasons
    if row.gap is not None:
        yield f"{row.repository} {row.gap}"
