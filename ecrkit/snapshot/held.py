"""One repository of a snapshot, wherever it lies: packed in memory, or in gzip members of a file."""

from __future__ import annotations

from typing import Final, Protocol

import attrs

from ecrkit.images.inventory import Inventory
from ecrkit.snapshot import files, lines
from ecrkit.snapshot.contents import RepositorySnapshot
from ecrkit.snapshot.files import OpenFile
from ecrkit.snapshot.lines import Head

__all__ = ["Held", "Packed", "Reading", "Stored", "head_of"]

_ALL: Final = 2**63


class Held(Protocol):
    """One repository of a snapshot, wherever it lies."""

    @property
    def head(self) -> Head:
        """What is known without reading images."""
        ...

    def entry(self) -> RepositorySnapshot:
        """Return the repository."""
        ...

    def packed(self) -> bytes:
        """Return its gzip member."""
        ...


@attrs.frozen
class Packed:
    """A repository as its gzip member in memory."""

    head: Head
    data: bytes
    source: str = "the snapshot"
    first: int = 1

    def entry(self) -> RepositorySnapshot:
        """Return the repository."""
        return files.unpack(self.data, self.head, self.source, self.first, _ALL)

    def packed(self) -> bytes:
        """Return its gzip member."""
        return self.data


@attrs.frozen(kw_only=True)
class Stored:
    """A repository in gzip members of a file, which begin with it; `own` when nothing else stands in them."""

    head: Head
    file: OpenFile
    offset: int
    length: int
    first: int
    count: int
    own: bool

    def entry(self) -> RepositorySnapshot:
        """Return the repository."""
        data = self.file.read(self.offset, self.length)
        return files.unpack(data, self.head, self.file.path, self.first, self.count)

    def packed(self) -> bytes:
        """Return its gzip member."""
        if not self.own:
            return files.pack(lines.repository_lines(self.entry()))
        return self.file.read(self.offset, self.length)


@attrs.frozen
class Reading:
    """Reads a repository's inventory when it is called, also in another process."""

    held: Held

    def __call__(self) -> Inventory:
        return self.held.entry().inventory


def head_of(entry: RepositorySnapshot) -> Head:
    """Return what is kept ready of a repository."""
    images, manifests = entry.kept
    return Head(
        repository=entry.repository,
        read_at=entry.read_at,
        tags=entry.tags if "tags" in entry.read else {},
        lifecycle_policy=entry.lifecycle_policy if "lifecycle_policy" in entry.read else None,
        repository_policy=entry.repository_policy if "repository_policy" in entry.read else None,
        read=entry.read,
        gaps=entry.gaps,
        unread=entry.unread,
        images=len(images),
        manifests=len(manifests),
    )
