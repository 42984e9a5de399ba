"""The blobs that manifests name: how large each is, as far as manifests agree and tell it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Final, Self

from ecrkit.images.descriptor import Descriptor, may_lie_elsewhere
from ecrkit.images.manifest import Manifest

__all__ = ["BlobTable"]

DISAGREE: Final = "manifests disagree about the size of a layer"
ELSEWHERE: Final = "a foreign layer may or may not be stored in the registry"
UNSIZED: Final = "a schema 1 manifest tells no layer sizes"


class BlobTable:
    """The size in bytes of every config and layer that some manifests name.

    An inventory fills one while it reads manifests, so that questions about bytes need only sets of digests.
    A size that manifests disagree about, that belongs to a layer which may lie outside of the registry, or that no
    manifest tells, is kept apart; a manifest that stores the layer in the ordinary way settles the last two.
    """

    __slots__ = ("_elsewhere", "_larger", "_sizes", "_unsized")

    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}  # the least that each blob takes
        self._larger: dict[str, int] = {}  # the most, where manifests disagree
        self._elsewhere: dict[str, int] = {}  # blobs that are foreign wherever they are named; least is 0
        self._unsized: set[str] = set()  # blobs without a size anywhere; least is 0

    @classmethod
    def of(cls, manifests: Iterable[Manifest]) -> Self:
        """Return the table of these manifests."""
        table = cls()
        for manifest in manifests:
            table.add(manifest)
        return table

    def copy(self) -> BlobTable:
        """Return a table that can grow without changing this one."""
        other = BlobTable()
        other._sizes.update(self._sizes)
        other._larger.update(self._larger)
        other._elsewhere.update(self._elsewhere)
        other._unsized.update(self._unsized)
        return other

    def add(self, manifest: Manifest) -> None:
        """Take note of the config and the layers of a manifest."""
        first = self._sizes.setdefault
        if manifest.config is not None:
            self._add(manifest.config)
        for blob in manifest.layers:
            size = blob.size
            # The ordinary layer first: a million images bring twelve million of them.
            if size and not blob.urls and not may_lie_elsewhere(blob.media_type):
                if first(blob.digest, size) != size:
                    self._add(blob)
            else:
                self._add(blob)

    def _add(self, blob: Descriptor) -> None:
        digest, size = blob.digest, blob.size
        if size is None:
            if digest not in self._sizes:
                self._sizes[digest] = 0
                self._unsized.add(digest)
        elif digest not in self._sizes or digest in self._unsized:
            self._unsized.discard(digest)
            if blob.stored_elsewhere:
                self._sizes[digest] = 0
                self._elsewhere[digest] = size
            else:
                self._sizes[digest] = size
        elif digest in self._elsewhere:
            if blob.stored_elsewhere:
                self._elsewhere[digest] = max(size, self._elsewhere[digest])
            else:
                self._sizes[digest] = size
                self._widen(digest, self._elsewhere.pop(digest))
        else:
            self._widen(digest, size)

    def _widen(self, digest: str, size: int) -> None:
        known = self._sizes[digest]
        if known != size:
            # The registry does not say who is right.
            self._larger[digest] = max(known, size, self._larger.get(digest, 0))
            self._sizes[digest] = min(known, size)

    def total(self, digests: AbstractSet[str]) -> tuple[int, int, tuple[str, ...]]:
        """Return the least and the most bytes of these blobs, and why the two differ.

        All of them must stand in the table. Blobs without a size add nothing to either; `unsized` names them.
        """
        sizes = self._sizes
        # The sizes in their own order come from memory several times faster than in the order of a set.
        low = sum(sizes.values() if len(digests) == len(sizes) else map(sizes.__getitem__, digests))
        larger, elsewhere = self._larger.keys() & digests, self._elsewhere.keys() & digests
        high = low + sum(self.more(digests).values())
        return low, high, (*((DISAGREE,) if larger else ()), *((ELSEWHERE,) if elsewhere else ()))

    @property
    def digests(self) -> AbstractSet[str]:
        """Every blob of the table."""
        return self._sizes.keys()

    def more(self, digests: AbstractSet[str]) -> dict[str, int]:
        """Return how many bytes beyond the least some of these blobs may take; those of one known size are absent."""
        found = {d: self._larger[d] - self._sizes[d] for d in self._larger.keys() & digests}
        for digest in self._elsewhere.keys() & digests:
            found[digest] = found.get(digest, 0) + self._elsewhere[digest]
        return found

    def least(self, digests: Iterable[str]) -> Iterator[tuple[str, int]]:
        """Yield each of these blobs with the least bytes that it takes."""
        return ((digest, self._sizes[digest]) for digest in digests)

    @property
    def has_unsized(self) -> bool:
        """Whether there are blobs whose size no manifest tells."""
        return bool(self._unsized)

    def unsized(self, digests: AbstractSet[str]) -> frozenset[str]:
        """Return those of the blobs whose size no manifest tells."""
        return frozenset(self._unsized & digests)
