"""Loading a saved snapshot: one walk through the file, which notes where each repository lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ecrkit.errors import InvalidInput
from ecrkit.snapshot import files
from ecrkit.snapshot.files import Begun, Body, Closing, Ended, Limits, Line, LineReader, OpenFile
from ecrkit.snapshot.held import Held, Packed, Stored
from ecrkit.snapshot.lines import Head, Header
from ecrkit.snapshot.snapshot import Snapshot

__all__ = ["load"]


def load(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Snapshot:
    """Return a saved snapshot. The file is walked once; repositories are read from it when they are asked for.

    It stays open, so that replacing or deleting it does no harm. A file that was unpacked, or packed again by another
    tool, is kept packed in memory instead. Structure, lengths and the end are checked now, the content of images when
    it is read; `read_repositories` checks everything.

    Raises:
        InvalidInput: the file is cut off, damaged or no snapshot; path, line and remedy are named.
        OSError: it cannot be opened.
    """
    snapshot, _, _ = read_file(Path(path), limits or Limits())
    if snapshot is None:
        raise InvalidInput.single("not a snapshot that can be read", str(path), "its end is missing")
    return snapshot


def read_file(
    path: Path, limits: Limits, *, open_end: bool = False
) -> tuple[Snapshot | None, list[Held], Header | None]:
    """Return the snapshot of a file, its repositories and its header; with an open end the snapshot may be None."""
    file = OpenFile(path)
    with path.open("rb") as source:
        reader = LineReader(source, path, limits)
        gathering = _Gathering(reader, file)
        for step in files.walk(reader, open_end=open_end):
            gathering.take(step)
        held = gathering.done()
    if gathering.closing is None or gathering.header is None:
        return None, held, gathering.header
    closing = gathering.closing
    found = Snapshot(
        gathering.header, held, settings=closing.settings, gaps=closing.gaps, finished_at=closing.finished_at
    )
    return found, held, gathering.header


class _Gathering:
    """Takes the steps of a file and keeps where each repository lies."""

    def __init__(self, reader: LineReader, file: OpenFile) -> None:
        self._reader, self._file = reader, file
        self._make: list[Callable[[], Held | None]] = []
        self._lines: list[bytes] | None = None
        self._begun: Begun | None = None
        self.header: Header | None = None
        self.closing: Closing | None = None

    def take(self, step: files.Step) -> None:
        """Take one step."""
        if isinstance(step, Header):
            self.header = step
        elif isinstance(step, Begun):
            self._begin(step)
        elif isinstance(step, Closing):
            self.closing = step
        elif isinstance(step, (Body, Ended)):
            assert self._begun is not None
            if self._lines is not None:
                self._lines.append(step.line.data)
            if isinstance(step, Ended):
                self._end(step, self._begun)

    def _begin(self, step: Begun) -> None:
        self._begun = step
        # Only what begins a member of its own can be read alone; whatever was packed again is kept in memory.
        self._lines = None if step.line.first and step.line.began > 0 else [step.line.data]

    def _end(self, step: Ended, begun: Begun) -> None:
        head, first = step.head, begun.line.number
        if self._lines is not None:
            data = files.pack(line + b"\n" for line in self._lines)
            held = Packed(head, data, str(self._file.path), first)
            self._make.append(lambda: held)
        else:
            self._make.append(lambda: self._stored(head, begun.line, step.line))
        self._lines = None

    def _stored(self, head: Head, first: Line, last: Line) -> Held | None:
        reader = self._reader
        if last.ended >= len(reader.spans):
            return None  # cut off within its last bytes
        begin, end = reader.spans[first.began][0], reader.spans[last.ended][1]
        count = last.number - first.number + 1
        return Stored(
            head=head,
            file=self._file,
            offset=begin,
            length=end - begin,
            first=first.number,
            count=count,
            own=count == sum(reader.counts[member] for member in range(first.began, last.ended + 1)),
        )

    def done(self) -> list[Held]:
        """Return the whole repositories."""
        return [held for make in self._make if (held := make()) is not None]
