"""Request bodies of the HTTP server: bounded, chunked or not, and never all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from email.message import Message
from io import BufferedIOBase
from tempfile import SpooledTemporaryFile
from typing import Final

__all__ = ["BadRequest", "Body", "Spool"]

_PIECE: Final = 256 * 1024
_AT_ONCE: Final = 32 * 1024 * 1024
_LINE: Final = 4096
_TRAILERS: Final = 100


class BadRequest(Exception):
    """A request that cannot be read; `status` is the HTTP status. The connection is useless afterwards."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Body:
    """The body of one request, read once and in pieces.

    Args:
        source: the connection, behind the header lines.
        headers: the request's headers.
        limit: the bytes that may come; more raise `BadRequest` 413.
    """

    def __init__(self, source: BufferedIOBase, headers: Message[str, str], limit: int) -> None:
        self._source = source
        self._limit = limit
        self.chunked = headers.get("Transfer-Encoding", "").strip().lower() == "chunked"
        length = headers.get("Content-Length")
        if not self.chunked and headers.get("Transfer-Encoding"):
            raise BadRequest(501, "the only transfer encoding is chunked")
        if self.chunked and length is not None:
            raise BadRequest(400, "a request has a length or is chunked, not both")
        if length is not None and not (length.isascii() and length.isdigit()):
            raise BadRequest(400, "Content-Length is no number of bytes")
        self.length = int(length) if length is not None else 0
        if self.length > limit:
            raise BadRequest(413, f"the request body has more than {limit} bytes")
        self.consumed = not self.chunked and self.length == 0

    def pieces(self) -> Iterator[bytes]:
        """Yield the bytes as they come.

        Raises:
            BadRequest: the body ends early, is malformed, or exceeds the limit.
        """
        if self.consumed:
            return
        if self.chunked:
            yield from self._chunks()
        else:
            yield from self._exactly(self.length)
        self.consumed = True

    def read(self) -> bytes:
        """Return the whole body."""
        if self.consumed or self.chunked or self.length > _AT_ONCE:
            return b"".join(self.pieces())
        # A layer part of many megabytes is read into its place, not piece by piece.
        found = self._source.read(self.length)
        if len(found) < self.length:
            raise BadRequest(400, f"the request body ended {self.length - len(found)} bytes early")
        self.consumed = True
        return found

    def _exactly(self, count: int) -> Iterator[bytes]:
        left = count
        while left:
            piece = self._source.read(min(left, _PIECE))
            if not piece:
                raise BadRequest(400, f"the request body ended {left} bytes early")
            left -= len(piece)
            yield piece

    def _line(self) -> bytes:
        line = self._source.readline(_LINE)
        if not line.endswith(b"\n"):
            raise BadRequest(400, "a chunk has no proper head")
        return line.strip()

    def _chunks(self) -> Iterator[bytes]:
        total = 0
        while True:
            head = self._line().partition(b";")[0].strip()
            if not head or len(head) > 16 or any(c not in b"0123456789abcdefABCDEF" for c in head):
                raise BadRequest(400, "a chunk has no proper size")
            size = int(head, 16)
            total += size
            if total > self._limit:
                raise BadRequest(413, f"the request body has more than {self._limit} bytes")
            if not size:
                break
            yield from self._exactly(size)
            if self._line():
                raise BadRequest(400, "a chunk is longer than it says")
        for _ in range(_TRAILERS):
            if not self._line():
                return
        raise BadRequest(400, "too many trailers")


class Spool:
    """Bytes of a layer upload: in memory while small, in a temporary file beyond 1 MiB."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(max_size=1024 * 1024)  # noqa: SIM115 it lives until close
        self.size = 0

    def append(self, piece: bytes) -> None:
        """Add bytes."""
        self._file.write(piece)
        self.size += len(piece)

    def read(self) -> bytes:
        """Return everything."""
        self._file.seek(0)
        return self._file.read()

    def close(self) -> None:
        """Give the memory or file back."""
        self._file.close()
