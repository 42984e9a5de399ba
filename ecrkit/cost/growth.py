"""Which images brought the bytes that a repository has gained between two times."""

from __future__ import annotations

import datetime as dt

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.images.inventory import Inventory

__all__ = ["ImageGrowth", "growth"]


@attrs.frozen(kw_only=True)
class ImageGrowth(Record):
    """An image that is new, and the bytes that it brought. `bytes_known` is False when its manifest was not read.

    Then `bytes` is its whole size, the most that it can have brought.
    """

    digest: str
    tags: tuple[str, ...]
    pushed_at: dt.datetime
    bytes: int
    bytes_known: bool = True

    @property
    def name(self) -> str:
        """Its first tag, or the beginning of its digest."""
        return self.tags[0] if self.tags else self.digest[:19]


def growth(before: Inventory | None, after: Inventory) -> tuple[ImageGrowth, ...]:
    """Return the images that `after` has and `before` has not, with the bytes that each brought, the most first.

    A layer that several of them share is charged to the one pushed first. So the bytes of images with a manifest add up
    to exactly the layers that are new. Without `before` everything is new.

    Example:
        >>> from ecrkit.images import Inventory
        >>> growth(None, Inventory.from_api([{"imageDigest": "sha256:" + "a" * 64, "imagePushedAt": 0,
        ...                                   "imageSizeInBytes": 9}]))[0].bytes
        9
    """
    old: set[str] = set()
    if before is not None:
        for digest, held in before.manifests.items():
            if digest in before:
                old.update(held.blob_digests)
        # What was there and is still there brought nothing, also when only one of the two listings has its manifest.
        for image in before.images:
            known = after.manifests.get(image.digest)
            if known is not None:
                old.update(known.blob_digests)
    found: list[ImageGrowth] = []
    for image in sorted(after.images, key=lambda i: (i.pushed_at, i.digest)):
        if before is not None and image.digest in before:
            continue
        manifest = after.manifests.get(image.digest)
        if manifest is None:
            if not image.is_index:
                found.append(
                    ImageGrowth(
                        digest=image.digest, tags=image.tags, pushed_at=image.pushed_at, bytes=image.size or 0,
                        bytes_known=False,
                    )
                )  # fmt: skip
            continue
        new = [digest for digest in manifest.blob_digests if digest not in old]
        old.update(new)
        if not manifest.is_index:
            brought = sum(count for _, count in after.blobs.least(new))
            found.append(ImageGrowth(digest=image.digest, tags=image.tags, pushed_at=image.pushed_at, bytes=brought))
    return tuple(sorted(found, key=lambda g: (-g.bytes, g.pushed_at, g.digest)))
