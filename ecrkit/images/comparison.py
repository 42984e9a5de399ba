"""What changed between two images, and what a node pulls to go from one to the other.

A node keeps the layers that it has, by digest, and pulls the others (OCI distribution specification, pulling blobs).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit._internal.tables import size as for_people
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.config import ImageConfig
from ecrkit.images.descriptor import Descriptor
from ecrkit.images.manifest import Manifest
from ecrkit.images.runnable import Runnable, runnable_images

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ImageDiff", "PlatformDiff", "diff"]

_NOT_READ: Final = "the manifest of {} was not read"
_NO_SIZES: Final = "a schema 1 manifest tells no layer sizes"


@attrs.frozen(kw_only=True)
class PlatformDiff(Record):
    """The difference for one platform. `before` and `after` are digests; None where there is no such image.

    `shared`, `added` and `removed` hold each layer once, lowest first. `kept_below` counts the layers that are the
    same from the lowest up to the first change: a build that changes a low layer makes all above it anew.
    `pull` is what a node that has `before` downloads for `after`: its config, unless it is the same, and the added
    layers, compressed. The manifests, a few KB, come on top; a snapshotter that pulls lazily (eStargz) may take less.
    It is None when there is no `after` to pull. `unknown` says which manifest was not read.
    """

    platform: str | None = None
    before: str | None = None
    after: str | None = None
    shared: tuple[Descriptor, ...] = ()
    added: tuple[Descriptor, ...] = ()
    removed: tuple[Descriptor, ...] = ()
    kept_below: int = 0
    pull: ByteRange | None = None
    order: tuple[str, ...] = attrs.field(default=(), repr=False)
    unknown: tuple[str, ...] = ()

    def apply(self, layers: Iterable[Descriptor]) -> tuple[Descriptor, ...]:
        """Return the layers of `after`, made of these of `before` and the added ones.

        Raises:
            InvalidInput: a manifest was not read, or the layers are not those of `before`.
        """
        if self.unknown:
            raise InvalidInput("the difference is not known", [Problem("layers", text) for text in self.unknown])
        have = {layer.digest: layer for layer in layers}
        expected = {layer.digest for layer in self.shared + self.removed}
        if have.keys() != expected:
            raise InvalidInput.single(
                "not the layers of the image before", "layers", f"expected {len(expected)} others"
            )
        have |= {layer.digest: layer for layer in self.added}
        return tuple(have[digest] for digest in self.order)


@attrs.frozen(kw_only=True)
class ImageDiff(Record):
    """The difference between two images or indexes, platform by platform."""

    before: str
    after: str
    platforms: tuple[PlatformDiff, ...] = ()

    def on(self, platform: str) -> PlatformDiff | None:
        """Return the part of one platform, such as `linux/arm64`, or None."""
        return next((part for part in self.platforms if part.platform == platform), None)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each platform, as columns; None is what is not known, or a pull of nothing."""
        rows = self.platforms
        columns: dict[str, list[Any]] = {
            "platform": [part.platform for part in rows],
            "before": [part.before for part in rows],
            "after": [part.after for part in rows],
        }
        for name in ("shared", "added", "removed"):
            layers = [None if part.unknown else getattr(part, name) for part in rows]
            columns[f"{name}_layers"] = [None if found is None else len(found) for found in layers]
            columns[f"{name}_bytes"] = [None if found is None else _whole(found) for found in layers]
        columns["pull_low"] = [None if part.pull is None else part.pull.low for part in rows]
        columns["pull_high"] = [None if part.pull is None else part.pull.high for part in rows]
        return columns

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return the difference as a table for people."""
        return text_table(_HEADER, self._rows(), right=frozenset({1, 2, 3, 4}))

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                part.platform or "platform unknown",
                "?" if part.unknown else str(len(part.shared)),
                "?" if part.unknown else f"{len(part.added)} ({_bytes(part.added)})",
                "?" if part.unknown else f"{len(part.removed)} ({_bytes(part.removed)})",
                "no such image" if part.pull is None else str(part.pull),
            )
            for part in self.platforms
        ]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        return f"{self.before[:19]} -> {self.after[:19]}"


_HEADER: Final = ("platform", "shared layers", "added", "removed", "a node pulls")


def _bytes(layers: Iterable[Descriptor]) -> str:
    return for_people(sum(layer.size or 0 for layer in layers))


def _whole(layers: Iterable[Descriptor]) -> int | None:
    sizes = [layer.size for layer in layers]
    return None if None in sizes else sum(size or 0 for size in sizes)


def _once(layers: Iterable[Descriptor]) -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for layer in layers:
        found.setdefault(layer.digest, layer)
    return found


def diff(
    before: Manifest,
    after: Manifest,
    *,
    manifests: Mapping[str, Manifest] | None = None,
    configs: Mapping[str, ImageConfig] | None = None,
) -> ImageDiff:
    """Return what changed from one image to another: layers shared, added and removed, and the bytes a node pulls.

    Images of the same platform are compared. A platform that `before` lacks pulls everything; one that `after` lacks
    has nothing to pull. An image whose platform nobody tells is compared with the only image of the other side.

    Args:
        before: the image or index that a node has.
        after: the one that it is to run.
        manifests: the children of indexes, by digest; a child that is not there makes a range.
        configs: configs by their own digest; they tell the platform of images that stand in no index.

    Example:
        >>> from ecrkit.images import Manifest
        >>> from ecrkit.local.images import filler, image
        >>> base = filler(40_000, seed="base")
        >>> one, two = (Manifest.parse(image([base, filler(5_000, seed=s)]).manifest) for s in "12")
        >>> part = diff(one, two).platforms[0]
        >>> len(part.shared), [layer.size for layer in part.added], part.pull.exact == 5_000 + two.config.size
        (1, [5000], True)
    """
    old = runnable_images(before, manifests=manifests, configs=configs)
    new = runnable_images(after, manifests=manifests, configs=configs)
    if len(old) == len(new) == 1 and None in (old[0].platform, new[0].platform):
        return ImageDiff(before=before.digest, after=after.digest, platforms=(_part(old[0], new[0]),))
    left = {_key(image): image for image in old}
    matched = {_key(image): left.pop(_key(image)) for image in new if _key(image) in left}
    nameless = tuple(image for image in left.values() if image.platform is None)
    parts: list[PlatformDiff] = []
    for image in new:
        had = matched.get(_key(image))
        # Whether a node has one of these in place of this image, nobody tells.
        maybe = () if had is not None else tuple(left.values()) if image.platform is None else nameless
        parts.append(_ambiguous(maybe, image) if maybe else _part(had, image))
    told = any(image.platform is None for image in new)
    parts += [_part(image, None) for image in left.values() if image.platform is not None and not told]
    return ImageDiff(before=before.digest, after=after.digest, platforms=tuple(parts))


def _key(image: Runnable) -> object:
    return image.digest if image.platform is None else image.platform


def _part(old: Runnable | None, new: Runnable | None) -> PlatformDiff:
    where = next((str(r.platform) for r in (new, old) if r is not None and r.platform is not None), None)
    had = None if old is None else old.manifest
    gets = None if new is None else new.manifest
    unread = tuple(_NOT_READ.format(r.digest) for r in (old, new) if r is not None and r.manifest is None)
    part = PlatformDiff(
        platform=where,
        before=None if old is None else old.digest,
        after=None if new is None else new.digest,
        pull=None if new is None else _pull(old, new),
        unknown=tuple(dict.fromkeys(unread)),
    )
    if unread:
        return part
    mine = _once(had.layers if had is not None else ())
    theirs = _once(gets.layers if gets is not None else ())
    low, high = (tuple(layer.digest for layer in m.layers) if m is not None else () for m in (had, gets))
    kept = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return attrs.evolve(
        part,
        shared=tuple(layer for digest, layer in theirs.items() if digest in mine),
        added=tuple(layer for digest, layer in theirs.items() if digest not in mine),
        removed=tuple(layer for digest, layer in mine.items() if digest not in theirs),
        kept_below=kept,
        order=high,
    )


def _ambiguous(maybe: tuple[Runnable, ...], new: Runnable) -> PlatformDiff:
    nameless = new if new.platform is None else next(image for image in maybe if image.platform is None)
    reason = f"the platform of {nameless.digest} is not known"
    most, least = _pull(None, new), [_pull(image, new) for image in maybe]
    return PlatformDiff(
        platform=None if new.platform is None else str(new.platform),
        after=new.digest,
        pull=ByteRange(min(pull.low for pull in least), most.high, (reason, *most.reasons)),
        unknown=(reason,),
    )


def _pull(old: Runnable | None, new: Runnable) -> ByteRange:
    if old is not None and old.digest == new.digest:
        return ByteRange.exactly(0)
    if new.manifest is None:
        return ByteRange(0, None, (_NOT_READ.format(new.digest),))
    whole = _sum(new.manifest.blobs)
    if old is None:
        return whole
    if old.manifest is None:
        return ByteRange(0, whole.high, (_NOT_READ.format(old.digest), *whole.reasons))
    have = frozenset(old.manifest.blob_digests)
    return _sum(blob for blob in new.manifest.blobs if blob.digest not in have)


def _sum(blobs: Iterable[Descriptor]) -> ByteRange:
    sizes = [blob.size for blob in blobs]
    low = sum(size for size in sizes if size is not None)
    return ByteRange(low, None, (_NO_SIZES,)) if None in sizes else ByteRange.exactly(low)
