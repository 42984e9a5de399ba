"""The images behind a manifest that a node could run: one for an image, one for each platform of an index."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.images.config import ImageConfig
from ecrkit.images.descriptor import Platform
from ecrkit.images.manifest import Manifest

__all__ = ["Runnable", "runnable_images"]


@attrs.frozen(kw_only=True)
class Runnable(Record):
    """One image of one platform. `platform` is None when neither index nor config tells it.

    `manifest` is None when it was not read; then nothing is known of its layers.
    """

    digest: str
    platform: Platform | None = None
    manifest: Manifest | None = None


def runnable_images(
    manifest: Manifest,
    *,
    manifests: Mapping[str, Manifest] | None = None,
    configs: Mapping[str, ImageConfig] | None = None,
) -> tuple[Runnable, ...]:
    """Return what a node can choose from: the image itself, or one image for each platform of the index.

    Attestation children are left out. Of several entries for one platform the first one counts, as in container
    runtimes (OCI image-spec, image index). An index inside of an index is followed when its manifest is there.
    Platforms are in the spelling that runtimes compare (`arm64/v8` is `arm64`).

    Args:
        manifest: an image or an index.
        manifests: manifests by digest, where children are looked up; `Inventory.manifests` serves.
        configs: configs by their own digest; they tell the platform of an image that stands in no index.
    """
    known = manifests or {}
    found: dict[tuple[Platform | None, str | None], Runnable] = {}

    def add(digest: str, read: Manifest | None, platform: Platform | None) -> None:
        if platform is None and read is not None and read.config is not None:
            config = (configs or {}).get(read.config.digest)
            platform = None if config is None else config.platform
        platform = None if platform is None else platform.normalized
        # Entries without a platform are told apart by their digests.
        key = (platform, digest if platform is None else None)
        found.setdefault(key, Runnable(digest=digest, platform=platform, manifest=read))

    def walk(index: Manifest, above: frozenset[str]) -> None:
        for entry in index.platforms:
            read = known.get(entry.digest)
            if read is None or not read.is_index:
                add(entry.digest, read, entry.platform)
            elif read.digest not in above:
                walk(read, above | {read.digest})

    if manifest.is_index:
        walk(manifest, frozenset({manifest.digest}))
    else:
        add(manifest.digest, manifest, None)
    return tuple(found.values())
