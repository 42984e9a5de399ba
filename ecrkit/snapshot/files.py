"""Saved snapshots as files: gzip, one member for each repository, so that one can be read without the others.

Any gzip tool reads such a file as one stream, and a file that was unpacked or packed again is read as well. Nothing of
a file is believed: lines and the expansion of what is packed have limits, and every fault names path and line.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import os
import secrets
import threading
import weakref
import zlib
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import attrs

from ecrkit.errors import InvalidInput
from ecrkit.records import Image, RawManifest
from ecrkit.snapshot import lines
from ecrkit.snapshot.contents import Gap, RepositorySnapshot
from ecrkit.snapshot.lines import Head, Header

__all__ = ["Limits", "read_repositories"]

_CHUNK: Final = 256 * 1024
LEVEL: Final = 4  # a third faster than the default for about a tenth more bytes
_WHOLE: Final = "the file is damaged or was not written by ecrkit; take the snapshot again or restore the file"
_CUT: Final = (
    "the end is missing: the file was cut off, or it is the work file of a crawl that has not ended "
    "(give it as `resume` to go on)"
)
_Fault = (InvalidInput, ValueError, KeyError)


@attrs.frozen(kw_only=True)
class Limits:
    """How much a file may ask of the machine that reads it.

    `line` is the longest line in bytes; a manifest of 4 MiB fits. `expansion` is how many times larger than the file
    its content may be, beyond the first 64 MiB; real snapshots stay under 30.
    """

    line: int = 64 * 1024 * 1024
    expansion: int = 300


_FREE: Final = 64 * 1024 * 1024


@attrs.frozen
class Line:
    """One line, the gzip members in which it begins and ends, and whether it is the first of the former."""

    number: int
    data: bytes
    began: int
    ended: int
    first: bool


class LineReader:
    """The lines of a file, packed or plain, within limits.

    `spans` tells where each gzip member lies, `counts` how many lines begin in it.
    """

    def __init__(self, source: BinaryIO, path: object, limits: Limits) -> None:
        self._source, self._path, self._limits = source, path, limits
        self._taken = self._given = 0
        self.spans: list[tuple[int, int]] = []
        self.counts: Counter[int] = Counter()
        self.number = 0

    def refuse(self, fault: Exception | str, remedy: str = _WHOLE) -> InvalidInput:
        """Return the error for the line that was read last."""
        return lines.refused(self._path, self.number, ValueError(fault) if isinstance(fault, str) else fault, remedy)

    def __iter__(self) -> Iterator[Line]:
        parts: list[bytes] = []
        length = 0
        began, first = -1, False  # the member in which the current line began, and whether at its beginning
        last = -1
        for data, member in self._pieces():
            *whole, rest = data.split(b"\n")
            for piece in whole:
                if not parts:
                    began, first = member, member != last
                parts.append(piece)
                last = member
                self.number += 1
                self.counts[began] += 1
                yield Line(self.number, b"".join(parts), began, member, first)
                parts, length = [], 0
            if rest:
                if not parts:
                    began, first = member, member != last
                last = member
                parts.append(rest)
                length += len(rest)
                if length > self._limits.line:
                    self.number += 1
                    raise self.refuse(f"is longer than {self._limits.line} bytes")
        if parts:
            self.number += 1
            raise self.refuse("does not end", _CUT)

    def _pieces(self) -> Iterator[tuple[bytes, int]]:
        head = self._source.read(_CHUNK)
        if not head:
            return
        if not head.startswith(b"\x1f\x8b"):
            while head:
                yield head, 0
                head = self._source.read(_CHUNK)
            return
        member, begin = 0, 0
        unpacker = zlib.decompressobj(31)
        at = 0  # of what was handed to the unpacker
        data = head
        while True:
            try:
                out = unpacker.decompress(data, _CHUNK * 4)
            except zlib.error as fault:
                self.number += 1
                raise self.refuse(f"cannot be unpacked: {fault}") from None
            left = unpacker.unused_data if unpacker.eof else unpacker.unconsumed_tail
            at += len(data) - len(left)
            self._count(len(data) - len(left), len(out))
            if out:
                yield out, member
            data = left
            if unpacker.eof:
                self.spans.append((begin, at))
                member, begin = member + 1, at
                data = data or self._source.read(_CHUNK)
                if not data:
                    return
                unpacker = zlib.decompressobj(31)
            elif not data and len(out) < _CHUNK * 4:
                data = self._source.read(_CHUNK)
                if not data:
                    self.number += 1
                    raise self.refuse("cannot be unpacked to its end", _CUT)

    def _count(self, taken: int, given: int) -> None:
        self._taken += taken
        self._given += given
        if self._given > _FREE + self._limits.expansion * self._taken:
            self.number += 1
            raise self.refuse(f"unpacks to more than {self._limits.expansion} times what is stored")


@attrs.frozen
class Begun:
    """A repository's first line was read: its head, the line, and the lines that follow up to its end."""

    head: Head
    line: Line


@attrs.frozen
class Body:
    """A line of images or manifests, not yet parsed."""

    line: Line


@attrs.frozen
class Ended:
    """A repository's last line."""

    head: Head
    line: Line


@attrs.frozen(kw_only=True)
class Closing:
    """The last line of a file."""

    settings: Mapping[str, Any]
    gaps: tuple[Gap, ...]
    finished_at: dt.datetime


Step = Header | Begun | Body | Ended | Closing


def walk(reader: LineReader, *, open_end: bool = False) -> Generator[Step]:
    """Yield what the lines say, in order, with the bodies unparsed.

    With `open_end` a file that stops anywhere after its header is no fault; what was begun last is then not whole.

    Raises:
        InvalidInput: the lines are no snapshot; path, line and remedy are named.
    """
    source = iter(reader)
    begun: Head | None = None
    names: set[str] = set()
    closed = False
    try:
        try:
            first = next(source, None)
            if first is None:
                raise reader.refuse("the file is empty", _CUT)
            yield lines.read_header(lines.parse(first.data))
            for line in source:
                if closed:
                    raise reader.refuse("stands after the last line")
                start = line.data[:12]
                if begun is not None and start.startswith((b'{"images":', b'{"manifests"')):
                    yield Body(line)
                    continue
                raw = lines.parse(line.data)
                if begun is not None:
                    if "end" not in raw:
                        if not ("images" in raw or "manifests" in raw):
                            raise reader.refuse(f"stands within {begun.name}")
                        yield Body(line)
                        continue
                    head, begun = lines.read_end(raw, begun), None
                    yield Ended(head, line)
                elif "repository" in raw:
                    begun = lines.read_repository(raw)
                    if begun.name in names:
                        raise reader.refuse(f"{begun.name} stands in the file twice")
                    names.add(begun.name)
                    yield Begun(begun, line)
                elif "registry" in raw:
                    settings, gaps, finished, count = lines.read_registry(raw)
                    if count != len(names):
                        raise reader.refuse(f"counts {count} repositories, there are {len(names)}")
                    closed = True
                    yield Closing(settings=settings, gaps=gaps, finished_at=finished)
                else:
                    raise reader.refuse("is no line of a snapshot")
        except InvalidInput as fault:
            if fault.what.startswith("not a snapshot"):
                raise
            raise reader.refuse(fault) from None
        except (ValueError, KeyError) as fault:
            raise reader.refuse(fault) from None
    except InvalidInput:
        if not (open_end and reader.number > 1):
            raise
        return
    if not closed and not open_end:
        reader.number += 1
        raise reader.refuse("is missing", _CUT)


def parse_bodies(
    head: Head, bodies: Iterable[tuple[int, bytes]], path: object
) -> tuple[list[Image], list[RawManifest]]:
    """Return the images and manifests of body lines, given with their numbers."""
    images: list[Image] = []
    manifests: list[RawManifest] = []
    for number, data in bodies:
        try:
            raw = lines.parse(data)
            if "images" in raw:
                images.extend(lines.read_images(raw, head.repository))
            else:
                manifests.extend(lines.read_manifests(raw))
        except _Fault as fault:
            raise lines.refused(path, number, fault, _WHOLE) from None
    return images, manifests


def read_repositories(path: str | os.PathLike[str], *, limits: Limits | None = None) -> Iterator[RepositorySnapshot]:
    """Yield the repositories of a saved snapshot one at a time, in the order of the file.

    Only one is in memory, so a file of any size can be read. The file is checked as it is read: a fault far in it is
    raised after the repositories before it.

    Raises:
        InvalidInput: the file is cut off, damaged or no snapshot; path, line and remedy are named.

    Example:
        >>> import tempfile
        >>> from ecrkit import Registry
        >>> with Registry.local() as registry, tempfile.TemporaryDirectory() as folder:
        ...     made = registry.gateway.create_repository("team/app")
        ...     path = registry.snapshot().save(f"{folder}/registry.jsonl.gz")
        ...     [entry.name for entry in read_repositories(path)]
        ['team/app']
    """
    place = Path(path)
    with place.open("rb") as source:
        reader = LineReader(source, place, limits or Limits())
        bodies: list[tuple[int, bytes]] = []
        for step in walk(reader):
            if isinstance(step, Begun):
                bodies = []
            elif isinstance(step, Body):
                bodies.append((step.line.number, step.line.data))
            elif isinstance(step, Ended):
                yield _assembled(step.head, bodies, place, step.line.number)
                bodies = []


def _assembled(head: Head, bodies: Iterable[tuple[int, bytes]], path: object, number: int) -> RepositorySnapshot:
    images, manifests = parse_bodies(head, bodies, path)
    try:
        return lines.whole(head, images, manifests)
    except _Fault as fault:
        raise lines.refused(path, number, fault, _WHOLE) from None


# ---- packed repositories


def pack(repository: Iterable[bytes]) -> bytes:
    """Return the lines of one repository as a gzip member."""
    packer = zlib.compressobj(LEVEL, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(line) for line in repository), packer.flush()])


def unpack(data: bytes, head: Head, path: object, first: int, count: int) -> RepositorySnapshot:
    """Return the repository of the first `count` lines of what was checked before; `first` is their first number."""
    images: list[Image] = []
    manifests: list[RawManifest] = []
    reader = LineReader(io.BytesIO(data), path, Limits(expansion=1_000_000))
    last = first
    try:
        for line in reader:
            last = first + line.number - 1
            if line.number > count:
                break
            if line.data.startswith((b'{"images":', b'{"manifests"')):
                read = parse_bodies(head, [(last, line.data)], path)
                images += read[0]
                manifests += read[1]
        return lines.whole(head, images, manifests)
    except InvalidInput:
        raise
    except ValueError as fault:
        raise lines.refused(path, last, fault, "the file was changed after it was loaded; load it again") from None


class OpenFile:
    """A file that stays open for reading, so that what it held when loaded can be read whatever becomes of its name.

    Another process opens the name again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._close = weakref.finalize(self, os.close, self._descriptor)

    def read(self, offset: int, length: int) -> bytes:
        """Return bytes of the file; threads may read side by side."""
        with self._lock:
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            parts: list[bytes] = []
            while length > 0 and (part := os.read(self._descriptor, length)):
                parts.append(part)
                length -= len(part)
            return b"".join(parts)

    def __reduce__(self) -> tuple[type[OpenFile], tuple[Path]]:
        return OpenFile, (self.path,)


def replace(path: Path, write: Callable[[BinaryIO], None], *, durable: bool = True) -> None:
    """Write a file beside `path` and put it in its place at once; on a fault nothing is left and nothing replaced."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    try:
        with beside.open("xb") as target:
            write(target)
            if durable:
                target.flush()
                os.fsync(target.fileno())
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
