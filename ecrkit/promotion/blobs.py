"""Moving one blob: read on where a download broke, hashed on the way, uploaded in parts, and taken up again."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import attrs

from ecrkit.errors import AwsCallFailed, Denied, NotFound, Unavailable
from ecrkit.ports import Clock
from ecrkit.promotion.sources import Source, Target

__all__ = ["BlobMove", "Mover", "part_size"]

MIB: Final = 1024 * 1024
LARGEST_PART: Final = 20 * MIB
"""The most bytes that UploadLayerPart takes (botocore's ECR model, LayerPartBlob)."""
MOST_PARTS: Final = 4200
"""The most parts of a layer (Amazon ECR service quotas)."""
_THERE: Final = ("AVAILABLE", "ARCHIVED")
_ARRIVED: Final = -1


def part_size(asked: int, size: int | None) -> int:
    """Return the bytes of a part: what ECR asks for, and more where the layer would have more than 4,200 parts.

    Example:
        >>> part_size(10 * MIB, 2000), part_size(10 * MIB, 52_000 * MIB) // MIB
        (10485760, 13)
    """
    if size is not None:
        needed = -(-size // MOST_PARTS)
        asked = asked if needed <= asked else -(-needed // MIB) * MIB
    return max(1, min(asked, LARGEST_PART))


@attrs.frozen(kw_only=True)
class BlobMove:
    """A blob to be moved: where from and where to. `key` names its upload in the notes of a copy."""

    digest: str
    size: int | None
    source: Source
    source_repository: str
    target: Target
    target_repository: str
    key: str


class Stopped(Exception):
    """Another blob of the same copy failed, so this one is given up."""


@attrs.frozen(kw_only=True)
class Mover:
    """Moves blobs. `advance` is told the bytes that arrived; `uploads` keeps what is needed to take one up again."""

    clock: Clock
    advance: Callable[[int], None]
    uploads: MutableMapping[str, str]
    stopped: threading.Event = attrs.field(factory=threading.Event)
    attempts: int = 5

    def move(self, move: BlobMove) -> int:
        """Copy the blob; return the bytes that were sent. One that arrived meanwhile by other ways is no error.

        A blob that is sent from its first byte is hashed on the way, and the upload is only completed when it hashes
        to its digest. For one that was taken up again ECR's own check at the end decides alone.

        Raises:
            NotFound: the source or the target has gone.
            Unavailable: the source failed too often in a row, or sent other bytes.
        """
        upload_id, size, position = self._begin(move)
        sent, whole = 0, position == 0
        if position:
            self.advance(position)
        found = hashlib.sha256()
        while True:
            ahead = _ahead if move.size is None or move.size - position > size else iter
            parts = ahead(_parts(self._chunks(move, position), size))
            moved_to: int | None = None
            try:
                for part in parts:
                    if self.stopped.is_set():
                        raise Stopped
                    if whole:
                        found.update(part)
                    held = self._upload(move, upload_id, part, position)
                    if held == _ARRIVED:
                        forget(self.uploads, move.key)
                        return sent
                    if held is None:  # the upload that was to be taken up is no more
                        upload_id, moved_to = self._start(move), 0
                        break
                    sent += len(part)
                    if held != position + len(part):
                        moved_to = held
                        break
                    position = held
                    self.advance(len(part))
                    self.uploads[move.key] = f"{upload_id} {size} {position}"
            finally:
                close = getattr(parts, "close", None)
                if close is not None:
                    close()
            if moved_to is None:
                break
            # ECR's bytes end elsewhere than was thought: go on there. What is before was not hashed here.
            if moved_to == position:
                raise _broken(move, "UploadStuck", "ECR does not take the part that it asks for")
            self.advance(moved_to - position)
            position, whole = moved_to, moved_to == 0
            found = hashlib.sha256()
        if whole and "sha256:" + found.hexdigest() != move.digest:
            forget(self.uploads, move.key)
            raise _broken(move, "DigestMismatch", f"the source sent bytes that hash to sha256:{found.hexdigest()}")
        self._complete(move, upload_id)
        return sent

    def _begin(self, move: BlobMove) -> tuple[str, int, int]:
        noted = self.uploads.get(move.key, "").split()
        if len(noted) == 3 and noted[1].isdigit() and noted[2].isdigit() and int(noted[1]) > 0:
            position = int(noted[2])
            if position > 0 and (move.size is None or position <= move.size):
                return noted[0], int(noted[1]), position
        begun = move.target.start_upload(move.target_repository)
        return begun.upload_id, part_size(begun.part_size, move.size), 0

    def _start(self, move: BlobMove) -> str:
        forget(self.uploads, move.key)
        return move.target.start_upload(move.target_repository).upload_id

    def _upload(self, move: BlobMove, upload_id: str, part: bytes, position: int) -> int | None:
        try:
            return move.target.upload_part(move.target_repository, upload_id, part, first=position)
        except AwsCallFailed as fault:
            if fault.code == "UploadNotFoundException" and self._there(move):
                return _ARRIVED  # another copy that shares these notes has ended the upload
            gone = fault.code in ("UploadNotFoundException", "InvalidLayerPartException")
            if gone and position and self.uploads.get(move.key, "").startswith(f"{upload_id} "):
                return None
            raise

    def _complete(self, move: BlobMove, upload_id: str) -> None:
        try:
            move.target.complete_upload(move.target_repository, upload_id, move.digest)
        except AwsCallFailed as fault:
            forget(self.uploads, move.key)
            # An upload whose completion was answered into the void is no more, but the layer is there.
            if not isinstance(fault, NotFound) or not self._there(move):
                raise
        forget(self.uploads, move.key)

    @staticmethod
    def _there(move: BlobMove) -> bool:
        state = move.target.layers(move.target_repository, [move.digest]).get(move.digest)
        return state is not None and state.availability in _THERE

    def _chunks(self, move: BlobMove, position: int) -> Generator[bytes]:
        """Yield the source's bytes from `position` on; a download that breaks goes on at its last byte."""
        failures = 0
        while move.size is None or position < move.size:
            try:
                for chunk in move.source.read_layer(move.source_repository, move.digest, start=position):
                    failures = 0 if chunk else failures
                    position += len(chunk)
                    if move.size is not None and position > move.size:
                        raise _broken(move, "TooLong", f"the source sends more than the {move.size} bytes stated")
                    yield chunk
                if move.size is None or position == move.size:
                    return
                raise _broken(move, "TooShort", f"the download ended after {position} of {move.size} bytes")
            except (Unavailable, Denied) as fault:
                # A presigned URL that expired on the way is Denied; the next attempt asks for a new one.
                failures += 1
                again = isinstance(fault, Unavailable) or (position > 0 and fault.operation == "download")
                if fault.code == "TooLong" or not again or failures >= self.attempts:
                    raise
                self.clock.sleep(min(8.0, 0.25 * 2**failures))


def forget(uploads: MutableMapping[str, str], key: str) -> None:
    """Take an upload out of the notes, when it is there still."""
    # Not `pop`, which a mapping may do in two steps: another copy with the same notes may come between them.
    with contextlib.suppress(KeyError):
        del uploads[key]


def _broken(move: BlobMove, code: str, said: str) -> Unavailable:
    about = f"{move.source_repository}@{move.digest}"
    return Unavailable(f"{about} was not copied: {said}", operation="copy", code=code, resource=about)


def _parts(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    held: list[bytes] = []
    length = 0
    for chunk in chunks:
        rest = memoryview(chunk)
        while length + len(rest) >= size:
            held.append(bytes(rest[: size - length]) if len(rest) > size - length else bytes(rest))
            rest = rest[size - length :]
            yield held[0] if len(held) == 1 else b"".join(held)
            held, length = [], 0
        if len(rest):
            held.append(chunk if len(rest) == len(chunk) else bytes(rest))
            length += len(rest)
    if held:
        yield b"".join(held)


def _ahead(parts: Iterator[bytes]) -> Generator[bytes]:
    """Yield the parts, the next one being read by another thread meanwhile. No more than two are held."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="ecrkit-read")
    try:
        coming = pool.submit(next, parts, None)
        while (part := coming.result()) is not None:
            coming = pool.submit(next, parts, None)
            yield part
            del part
    finally:
        pool.shutdown(wait=True)
        close = getattr(parts, "close", None)
        if close is not None:
            close()
