"""What the last builds of a repository had in common: how far each could use layers that were there before."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit._internal.tables import size as for_people
from ecrkit.errors import InvalidInput
from ecrkit.images.config import ImageConfig, layer_origins
from ecrkit.images.inventory import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.images.runnable import Runnable, runnable_images
from ecrkit.records import Image

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BuildReuse", "CacheReuse", "cache_reuse", "last_builds"]


def last_builds(inventory: Inventory, count: int = 10) -> tuple[Image, ...]:
    """Return the newest images and indexes that somebody built, newest first.

    Left out are the children of indexes, attestations, signatures, SBOMs and other artifacts, which are pushed beside
    a build and are often the newest entries of a repository (prowler#4507). So is what may be one of them: an image of
    unknown kind (`Inventory.kind_of`), and an untagged one as long as the children of some index are not known.

    Raises:
        InvalidInput: `count` is less than 1.

    Example:
        >>> from ecrkit.images import Inventory
        >>> details = [{"imageDigest": "sha256:" + c * 64, "imagePushedAt": n, "imageTags": [f"v{n}"],
        ...             "imageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json"}
        ...            for n, c in enumerate("abc")]
        >>> [image.tags for image in last_builds(Inventory.from_api(details), 2)]
        [('v2',), ('v1',)]
    """
    if count < 1:
        raise InvalidInput.single("not a number of builds", "count", f"must be at least 1, not {count}")
    found: list[Image] = []
    for image in sorted(inventory.images, key=lambda i: (i.pushed_at, i.digest), reverse=True):
        kind = inventory.kind_of(image.digest)
        maybe_child = kind == "image" and not image.tags and inventory.opaque_indexes
        if kind in ("image", "index") and not maybe_child and not inventory.parents_of(image.digest):
            found.append(image)
            if len(found) == count:
                break
    return tuple(found)


@attrs.frozen(kw_only=True)
class BuildReuse(Record):
    """How far one build, on one platform, used layers of the build before it.

    Sizes are compressed bytes; a layer that stands twice counts once. `first_new` is the number of the lowest layer
    that was not there, and `instruction` the line that made it, if its config tells: everything above it was built
    anew as a rule. `first_new` is None when every layer was there. `unknown` says why there are no numbers.
    """

    digest: str
    platform: str | None = None
    tags: tuple[str, ...] = ()
    layers: int = 0
    reused_layers: int = 0
    size: int | None = None
    reused_size: int | None = None
    first_new: int | None = None
    instruction: str | None = None
    unknown: str | None = None


_HEADER: Final = ("build", "platform", "layers reused", "bytes reused", "first new layer")


@attrs.frozen(kw_only=True)
class CacheReuse(Record):
    """Cache reuse over the last builds, newest first, each compared with the build before it.

    `builds` has one entry for each build but the oldest, and each of its platforms. Ratios leave out what is not
    known; they are None when nothing is.
    """

    builds: tuple[BuildReuse, ...] = ()

    @property
    def layer_ratio(self) -> float | None:
        """The part of all layers that had been there, from 0 to 1."""
        known = [b for b in self.builds if b.unknown is None]
        total = sum(b.layers for b in known)
        return sum(b.reused_layers for b in known) / total if total else None

    @property
    def byte_ratio(self) -> float | None:
        """The part of all layer bytes that had been there, from 0 to 1."""
        known = [(b.reused_size, b.size) for b in self.builds if b.size is not None and b.reused_size is not None]
        total = sum(size for _, size in known)
        return sum(reused for reused, _ in known) / total if total else None

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each build and platform, as columns; the numbers of what is `unknown` are None."""
        numbers = ("layers", "reused_layers", "size", "reused_size", "first_new")
        names = ("digest", "tags", "platform", *numbers, "instruction", "unknown")
        return {
            name: [None if build.unknown and name in numbers else getattr(build, name) for build in self.builds]
            for name in names
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return the builds as a table for people."""
        return text_table(_HEADER, self._rows(), right=frozenset({2, 3}))

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        return [
            (
                ", ".join(b.tags) or b.digest[:19],
                b.platform or "unknown",
                b.unknown or f"{b.reused_layers} of {b.layers}",
                "?"
                if b.size is None or b.reused_size is None
                else f"{for_people(b.reused_size)} of {for_people(b.size)}",
                "" if b.first_new is None else f"{b.first_new}: {b.instruction or 'instruction unknown'}",
            )
            for b in self.builds
        ]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        layers = "unknown" if self.layer_ratio is None else f"{self.layer_ratio:.0%}"
        size = "unknown" if self.byte_ratio is None else f"{self.byte_ratio:.0%}"
        return f"layers reused: {layers}, bytes reused: {size}"


def cache_reuse(
    inventory: Inventory, count: int = 10, *, configs: Mapping[str, ImageConfig] | None = None
) -> CacheReuse:
    """Return how far each of the last `count` builds used layers of the build before it, platform by platform.

    A platform that the build before lacks counts as entirely new. What the manifests that were read cannot tell is
    `unknown` and in no ratio.

    Args:
        inventory: with manifests.
        count: how many builds to look at, at least 2.
        configs: configs by their own digest; they name the instruction of the first new layer.

    Raises:
        InvalidInput: `count` is less than 2.
    """
    if count < 2:
        raise InvalidInput.single("not a number of builds", "count", f"must be at least 2, not {count}")
    builds = last_builds(inventory, count)
    found: list[BuildReuse] = []
    for after, before in pairwise(builds):
        old, new = (_platforms(inventory, image, configs) for image in (before, after))
        if new is None:
            found.append(BuildReuse(digest=after.digest, tags=after.tags, unknown="its manifest was not read"))
            continue
        for image in new:
            told = None if image.platform is None else str(image.platform)
            entry = BuildReuse(digest=image.digest, platform=told, tags=after.tags)
            found.append(_reuse(entry, image, old, configs))
    return CacheReuse(builds=tuple(found))


def _platforms(
    inventory: Inventory, image: Image, configs: Mapping[str, ImageConfig] | None
) -> tuple[Runnable, ...] | None:
    manifest = inventory.manifests.get(image.digest)
    if manifest is None:
        return None
    return runnable_images(manifest, manifests=inventory.manifests, configs=configs)


def _reuse(
    entry: BuildReuse,
    image: Runnable,
    old: tuple[Runnable, ...] | None,
    configs: Mapping[str, ImageConfig] | None,
) -> BuildReuse:
    if image.manifest is None:
        return attrs.evolve(entry, unknown="its manifest was not read")
    if old is None:
        return attrs.evolve(entry, unknown="the manifest of the build before was not read")
    candidates = [o for o in old if o.platform == image.platform]
    if not candidates and any(None in (o.platform, image.platform) for o in old):
        candidates = list(old)
    if len(candidates) > 1:
        return attrs.evolve(entry, unknown="it is not known which platform it is for")
    if any(o.manifest is None for o in candidates):
        return attrs.evolve(entry, unknown="the manifest of the build before was not read")
    there = frozenset(d for o in candidates if o.manifest is not None for d in (x.digest for x in o.manifest.layers))
    return _counted(entry, image.manifest, there, configs)


def _counted(
    entry: BuildReuse, manifest: Manifest, there: frozenset[str], configs: Mapping[str, ImageConfig] | None
) -> BuildReuse:
    layers = {layer.digest: layer for layer in reversed(manifest.layers)}
    sized = manifest.tells_sizes
    first = next((n for n, layer in enumerate(manifest.layers) if layer.digest not in there), None)
    config = None if manifest.config is None else (configs or {}).get(manifest.config.digest)
    return attrs.evolve(
        entry,
        layers=len(layers),
        reused_layers=sum(digest in there for digest in layers),
        size=sum(layer.size or 0 for layer in layers.values()) if sized else None,
        reused_size=sum(layer.size or 0 for d, layer in layers.items() if d in there) if sized else None,
        first_new=first,
        instruction=None if first is None else layer_origins(manifest, config)[first].instruction,
    )
