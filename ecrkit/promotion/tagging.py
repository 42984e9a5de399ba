"""Giving an image a tag: by digest, byte for byte, never over another image unless asked, and looked at afterwards."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import Conflict, EcrkitError, Unavailable
from ecrkit.promotion.graph import Piece
from ecrkit.promotion.sources import Target

__all__ = ["TagLocks", "TagTaken", "Tagged"]

Tagging = Literal["set", "moved", "unchanged"]


class TagTaken(Conflict):
    """A tag names another image, and was left as it is: `found` is what it names, `wanted` what it was to name."""

    def __init__(self, message: str, *, repository: str, tag: str, wanted: str, found: str | None, code: str) -> None:
        super().__init__(message, operation="PutImage", code=code, resource=f"{repository}:{tag}")
        self.repository = repository
        self.tag = tag
        self.wanted = wanted
        self.found = found


@attrs.frozen(kw_only=True)
class Tagged(Record):
    """What became of a tag: it was set, moved from `former`, or named the image already."""

    repository: str
    tag: str
    digest: str
    outcome: Tagging
    former: str | None = None


class TagLocks:
    """One lock for each tag, so that two promotions of one process to the same tag come one after the other."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str], threading.Lock] = {}
        self._guard = threading.Lock()

    def of(self, place: str, tag: str) -> AbstractContextManager[object]:
        """Return the lock of a tag of a repository; `place` names the repository in its registry."""
        with self._guard:
            return self._locks.setdefault((place, tag), threading.Lock())


_TAKEN: Final = "ImageTagAlreadyExistsException"
Put = Callable[[str], None]


def set_tag(
    target: Target,
    repository: str,
    piece: Piece,
    tag: str,
    *,
    move: bool,
    former: str | None,
    put: Put,
) -> Tagged:
    """Set a tag and look at it afterwards. `put` puts the manifest under the tag it is given.

    ECR cannot compare and set: the tag is read right before and right after the change.
    """
    before = target.digest_of(repository, tag)
    if before == piece.digest:
        return Tagged(repository=repository, tag=tag, digest=piece.digest, outcome="unchanged", former=before)
    refuse_taken(target, repository, tag, wanted=piece.digest, found=before, move=move, former=former)
    try:
        put(tag)
    except Conflict as fault:
        if fault.code not in (_TAKEN, "ImageAlreadyExistsException"):
            raise
        found = target.digest_of(repository, tag)
        if found != piece.digest:
            raise taken(target, repository, tag, wanted=piece.digest, found=found, code=fault.code) from fault
        return Tagged(repository=repository, tag=tag, digest=piece.digest, outcome="unchanged", former=before)
    after = target.digest_of(repository, tag)
    if after != piece.digest:
        message = (
            f"{repository}:{tag} was set to {piece.digest}, and names {after or 'nothing'} now: somebody else moved it "
            "meanwhile"
        )
        raise TagTaken(message, repository=repository, tag=tag, wanted=piece.digest, found=after, code="MovedMeanwhile")
    outcome: Tagging = "set" if before is None else "moved"
    return Tagged(repository=repository, tag=tag, digest=piece.digest, outcome=outcome, former=before)


def refuse_taken(
    target: Target, repository: str, tag: str, *, wanted: str, found: str | None, move: bool, former: str | None
) -> None:
    """Refuse to move a tag that names another image, unless that was asked for and can be done.

    `former` is what it must name to be moved, when that was said.

    Raises:
        TagTaken: it must not or cannot be moved.
    """
    if found is None:
        if former is not None:
            message = f"{repository}:{tag} was to be moved from {former}, and there is no such tag now"
            raise TagTaken(message, repository=repository, tag=tag, wanted=wanted, found=None, code="TagGone")
        return
    if move and former in (None, found) and not target.repository(repository).tag_is_immutable(tag):
        return
    raise taken(target, repository, tag, wanted=wanted, found=found, code="TagTaken", former=former, move=move)


def taken(
    target: Target,
    repository: str,
    tag: str,
    *,
    wanted: str,
    found: str | None,
    code: str,
    former: str | None = None,
    move: bool = True,
) -> TagTaken:
    """Return the error for a tag that names another image; it says why it was not moved."""
    if move and former is not None and found != former:
        why = f"it was to be moved from {former} only"
    else:
        why = "move=True moves it" if not move else "read it again and decide"
        with contextlib.suppress(EcrkitError):  # it is only about the reason; that the tag is taken is known
            kept = target.repository(repository)
            if kept.tag_is_immutable(tag):
                why = f"the repository is {kept.tag_mutability}, so that this tag cannot move"
    message = f"{repository}:{tag} names {found or 'nothing'}, not {wanted}, and was left alone: {why}"
    return TagTaken(message, repository=repository, tag=tag, wanted=wanted, found=found, code=code)


def put_piece(target: Target, repository: str, piece: Piece, tag: str | None = None) -> None:
    """Put a manifest as it is; one that is there already is no error.

    Raises:
        Conflict: the tag is immutable and taken.
        Unavailable: ECR calls it by another digest.
    """
    try:
        put = target.put_image(repository, piece.text, tag=tag, media_type=piece.media_type, digest=piece.stated_digest)
    except Conflict as fault:
        if fault.code != "ImageAlreadyExistsException" or tag is not None:
            raise
        return
    if put.digest != piece.digest:
        raise Unavailable(
            f"ECR calls {repository}@{piece.digest} {put.digest}; the digest was not kept",
            operation="PutImage",
            code="DigestMismatch",
            resource=f"{repository}@{piece.digest}",
        )
