"""Copying images: what one is made of, what the target lacks of it, and the order in which that arrives.

Blobs go first, then manifests from the inside out, then what refers to them, and the tag last of all: whoever reads
the tag finds the whole image behind it (OCI distribution specification; ECR API reference, PutImage).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Final

import attrs

from ecrkit.errors import Conflict, EcrkitError, NotFound, PlanOutdated
from ecrkit.ports import Clock, FanOut, OnProgress
from ecrkit.promotion.blobs import BlobMove, Mover, Stopped, forget
from ecrkit.promotion.graph import Blob, Graph, Piece, read_graph
from ecrkit.promotion.plan import CopyItem, CopyResult, Status
from ecrkit.promotion.sources import Source, Target
from ecrkit.promotion.tagging import TagLocks, put_piece, refuse_taken, set_tag
from ecrkit.records import Progress, Repository

__all__ = ["BeforeTag", "Ends", "Means", "carry_out", "failed", "plan_item"]

_GROUP: Final = 16
"""Images whose blobs are moved together: enough to keep the workers busy, few enough that images arrive early."""
_THERE: Final = ("AVAILABLE", "ARCHIVED")
_EMPTY: Final = "a layer without bytes: ECR takes no empty upload (EmptyUploadException)"


@attrs.frozen(kw_only=True)
class Ends:
    """Both ends of one copy: who reads and who writes, and the repositories there.

    `source_tag` is the tag that the source was named by, when it was.
    """

    source: Source
    source_repository: str
    source_tag: str | None
    target: Target
    target_repository: str


def plan_item(
    ends: Ends,
    *,
    names: tuple[str, str, str],
    digest: str,
    tag: str | None,
    move: bool,
    create: bool,
    referrers: bool,
) -> CopyItem:
    """Return what copying one image would do. `names` are source, target and place in words."""
    graph = read_graph(ends.source, ends.source_repository, digest, referrers=referrers)
    repository, target = ends.target_repository, ends.target
    obstacles: list[str] = []
    notes = list(graph.notes)
    former: str | None = None
    there: set[str] = set()
    lacking: list[Blob] = []
    kept: Repository | None = None
    try:
        kept = target.repository(repository)
    except NotFound as fault:
        if fault.code != "RepositoryNotFoundException":
            raise
        if not create:
            obstacles.append(f"there is no repository {repository}; create_repository=True makes it")
    if kept is not None:
        former = None if tag is None else target.digest_of(repository, tag)
        if tag is not None and former not in (None, digest) and move and kept.tag_is_immutable(tag):
            obstacles.append(f"the tag {tag} names {former}, and the repository is {kept.tag_mutability}")
        found = target.images_found(repository, [piece.digest for piece in graph.pieces])
        there = {image for image, seen in found.items() if seen.status == "ACTIVE"}
    wanted = [piece for piece in graph.pieces if piece.digest not in there]
    blobs = _blobs_of(wanted)
    if kept is not None:
        lacking, odd = _lacking(target, repository, blobs)
        obstacles += odd
    else:
        lacking = blobs
    obstacles += [f"{blob.digest} is {_EMPTY}" for blob in lacking if blob.size == 0]
    return CopyItem(
        source=names[0],
        target=names[1],
        place=names[2],
        digest=digest,
        tag=tag,
        former=former,
        move=move,
        create_repository=kept is None and create,
        graph=graph,
        missing=[piece.digest for piece in wanted],
        blobs=lacking,
        obstacles=obstacles,
        notes=notes,
    )


def _blobs_of(pieces: Iterable[Piece]) -> list[Blob]:
    return list(Graph(root="", pieces=pieces).blobs)


def _lacking(target: Target, repository: str, blobs: list[Blob]) -> tuple[list[Blob], list[str]]:
    states = target.layers(repository, [blob.digest for blob in blobs]) if blobs else {}
    lacking: list[Blob] = []
    odd: list[str] = []
    for blob in blobs:
        state = states.get(blob.digest)
        availability = "NotAnswered" if state is None else state.availability
        if availability == "UNAVAILABLE":
            lacking.append(blob)
        elif availability not in _THERE:
            odd.append(f"ECR does not tell whether it has {blob.digest}: {availability}")
    return lacking, odd


BeforeTag = Callable[[CopyItem, Ends], None]


@attrs.frozen(kw_only=True)
class _Work:
    item: CopyItem
    ends: Ends
    blobs: tuple[BlobMove, ...]
    present: int


class _Meter:
    """Adds up bytes from all threads and tells one at a time."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._done, self._total, self._tell = 0, total, on_progress
        self._lock = threading.Lock()

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            if self._tell is not None:
                self._tell(Progress(done=self._done, total=max(self._total, self._done), what="bytes"))


@attrs.frozen(kw_only=True)
class Means:
    """By what copies are carried out.

    `before_tag` is called when an image is whole in the target and its tag is not yet set.
    """

    fan_out: FanOut
    clock: Clock
    locks: TagLocks
    uploads: MutableMapping[str, str]
    keep_going: bool = False
    before_tag: BeforeTag | None = None


def carry_out(
    pairs: Iterable[tuple[CopyItem, Ends]], means: Means, *, total: int, on_progress: OnProgress | None = None
) -> Iterator[CopyResult]:
    """Copy images and yield what became of each, in their order, a group of them at a time."""
    meter = _Meter(total, on_progress)
    group: list[tuple[CopyItem, Ends]] = []
    for pair in pairs:
        group.append(pair)
        if len(group) == _GROUP:
            yield from _carry_group(group, means, meter)
            group = []
    if group:
        yield from _carry_group(group, means, meter)


def _carry_group(group: list[tuple[CopyItem, Ends]], means: Means, meter: _Meter) -> Iterator[CopyResult]:
    keep_going = means.keep_going
    faults: dict[int, EcrkitError] = {}
    works: dict[int, _Work] = {}
    for number, (item, ends) in enumerate(group):
        try:
            works[number] = _recheck(item, ends, means.uploads)
        except EcrkitError as fault:
            if not keep_going:
                raise
            faults[number] = fault
    moves = {(move.key): move for work in works.values() for move in work.blobs}
    mover = Mover(clock=means.clock, advance=meter.advance, uploads=means.uploads)
    lost: dict[str, EcrkitError] = {}
    sent: dict[str, int] = {}

    def carry(move: BlobMove) -> int | EcrkitError:
        try:
            return mover.move(move)
        except Stopped:
            return 0
        except EcrkitError as fault:
            if not keep_going:
                mover.stopped.set()
            return fault
        except BaseException:
            mover.stopped.set()
            raise

    # The largest first: they take longest, and would else run alone at the end.
    queue = sorted(moves.values(), key=lambda move: -(move.size or 0))
    for move, answer in means.fan_out.each(carry, queue):
        if isinstance(answer, EcrkitError):
            lost[move.key] = answer
        else:
            sent[move.key] = answer
    if lost and not keep_going:
        raise next(iter(lost.values()))
    for number, work in works.items():
        broken = next((lost[move.key] for move in work.blobs if move.key in lost), None)
        if broken is not None:
            faults[number] = broken

    def put(number: int) -> CopyResult | EcrkitError:
        try:
            return _put_all(works[number], means, mover, sent)
        except EcrkitError as fault:
            return fault

    results: dict[int, CopyResult] = {}
    for number, answer_of in means.fan_out.each(put, [n for n in works if n not in faults]):
        if isinstance(answer_of, EcrkitError):
            faults[number] = answer_of
        else:
            results[number] = answer_of
    if faults and not keep_going:
        raise faults[min(faults)]
    for number, (item, _) in enumerate(group):
        yield results[number] if number in results else failed(item, faults[number])


def failed(item: CopyItem, fault: EcrkitError) -> CopyResult:
    """Return the result of an image that was not copied."""
    return CopyResult(
        source=item.source, target=item.target, digest=item.digest, tag=item.tag, status="failed",
        former=item.former, fault=str(fault), error=fault,
    )  # fmt: skip


def _recheck(item: CopyItem, ends: Ends, uploads: MutableMapping[str, str]) -> _Work:
    """Look whether the plan still holds; return the blobs that are lacking now."""
    changes: list[str] = []
    repository, target = ends.target_repository, ends.target
    if ends.source_tag is not None:
        now = ends.source.digest_of(ends.source_repository, ends.source_tag)
        if now != item.digest:
            changes.append(f"{item.source} names {now or 'nothing'} now, not {item.digest}")
    if item.create_repository:
        try:
            target.create_repository(repository)
        except Conflict as fault:
            if fault.code != "RepositoryAlreadyExistsException":
                raise
    if item.tag is not None:
        found = target.digest_of(repository, item.tag)
        if found not in (item.former, item.digest):
            changes.append(f"{item.target} names {found or 'nothing'} now, not {item.former or 'nothing'}")
        elif found != item.digest:
            refuse_taken(
                target, repository, item.tag, wanted=item.digest, found=found, move=item.move, former=item.former
            )
    if changes:
        raise PlanOutdated(f"the copy was not begun: {'; '.join(changes)}", changes=changes)
    wanted = [piece for piece in item.graph.pieces if piece.digest in item.missing]
    blobs = _blobs_of(wanted)
    lacking, _ = _lacking(target, repository, blobs) if item.blobs else ([], [])
    moves = tuple(_move(item, ends, blob) for blob in lacking)
    kept = {move.key for move in moves}
    for blob in item.graph.blobs:
        # An upload whose layer has arrived is over, whoever completed it.
        if (key := f"{item.place}@{blob.digest}") not in kept:
            forget(uploads, key)
    return _Work(item=item, ends=ends, blobs=moves, present=len(item.graph.blobs) - len(moves))


def _move(item: CopyItem, ends: Ends, blob: Blob) -> BlobMove:
    return BlobMove(
        digest=blob.digest,
        size=blob.size,
        source=ends.source,
        source_repository=ends.source_repository,
        target=ends.target,
        target_repository=ends.target_repository,
        key=f"{item.place}@{blob.digest}",
    )


def _put_all(work: _Work, means: Means, mover: Mover, sent: dict[str, int]) -> CopyResult:
    item, ends = work.item, work.ends
    pieces = {piece.digest: piece for piece in item.graph.pieces}
    root = pieces[item.digest]
    later = means.before_tag is not None or any(
        p.role == "referrer" and p.digest in item.missing for p in item.graph.pieces
    )
    # Without anything to come between them, the image and its tag go in one call.
    one_call = not item.tag_is_set and not later
    put = 0
    for piece in item.graph.pieces:
        if piece.digest not in item.missing:
            continue
        if piece is root and one_call:
            continue
        _put(work, piece, pieces, mover)
        put += 1
    if means.before_tag is not None:
        means.before_tag(item, ends)
    former = item.former
    if item.tag is not None:

        def with_tag(tag: str) -> None:
            _put(work, root, pieces, mover, tag)

        with means.locks.of(item.place, item.tag):
            # What the tag named when the plan was made is all that it may be moved from.
            tagged = set_tag(
                ends.target, ends.target_repository, root, item.tag,
                move=item.move and item.former not in (None, item.digest),
                former=item.former if item.former != item.digest else None,
                put=with_tag,
            )  # fmt: skip
        former = tagged.former if tagged.outcome == "moved" else None
        put += root.digest in item.missing and one_call
    moved = [sent[move.key] for move in work.blobs if move.key in sent]
    status: Status = "present" if item.nothing_to_do else "copied"
    return CopyResult(
        source=item.source, target=item.target, digest=item.digest, tag=item.tag, status=status, former=former,
        manifests=put, blobs_moved=len(moved), blobs_present=work.present, bytes_moved=sum(moved),
    )  # fmt: skip


def _put(work: _Work, piece: Piece, pieces: dict[str, Piece], mover: Mover, tag: str | None = None) -> None:
    target, repository = work.ends.target, work.ends.target_repository
    try:
        put_piece(target, repository, piece, tag)
        return
    except NotFound as fault:
        # ECR may remove layers that no image uses, and a lifecycle policy images, while a copy runs.
        if fault.code == "LayersNotFoundException":
            lacking, _ = _lacking(target, repository, list(piece.blobs))
            for blob in lacking:
                mover.move(_move(work.item, work.ends, blob))
        elif fault.code == "ReferencedImagesNotFoundException":
            for child in piece.children:
                _put(work, pieces[child], pieces, mover)
        else:
            raise
    put_piece(target, repository, piece, tag)
