"""Waiting for one image at one destination, as a pure step: what was seen goes in, what to do next comes out.

Done means three things at once: the source says COMPLETE, the destination holds the image and every part of it, and
the tag, when one was asked for, names that image there. COMPLETE alone is not enough: an immutable tag at the
destination keeps its old image, and the new one arrives without the tag (ECR user guide, "Private image replication").
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Final, Literal

import attrs

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit.replication.configuration import Destination

__all__ = ["DestinationWait", "Outcome", "Part", "PartKind", "Seen", "SeenKind", "step"]

PartKind = Literal["image", "child", "referrer"]
"""What a part is: the image itself, a manifest of its index, or an artifact that refers to one of them."""

Outcome = Literal["replicated", "failed", "not_covered", "tag_swallowed", "denied", "timed_out"]
"""How waiting for a destination ended.

- `replicated`: everything that was asked for is there.
- `failed`: ECR says FAILED of the image or of a part, or the image has gone from the source.
- `not_covered`: no replication of it ever began: no rule is for it, or it was pushed before the rule.
- `tag_swallowed`: the image is there, and the tag, which is immutable there, names another one.
- `denied`: the destination may not be read.
- `timed_out`: none of these by the deadline; `missing` says what was not there yet.
"""

SeenKind = Literal["answer", "not-found", "throttled", "unavailable", "denied", "unsupported", "error"]
"""What a question came to: an answer, or the kind of refusal."""

_FIRST: Final = 2.0
_LONGEST: Final = 30.0
_LONGEST_FAULT: Final = 60.0
_SHARE: Final = 0.15


@attrs.frozen(kw_only=True)
class Part(Record):
    """One digest that the destination must hold."""

    digest: str
    kind: PartKind = "image"


@attrs.frozen(kw_only=True)
class Seen(Record):
    """What one question brought.

    To `status`, asked of the source: `status` and `failure_code`; status None means that the source names no
    replication to this destination. To `look`, asked of the destination: the digests `present` and pullable there, the
    digest that the tag names there (empty for none), whether that tag is immutable there, and a part that the source
    calls FAILED.
    """

    asked: Literal["status", "look"]
    kind: SeenKind = "answer"
    status: str | None = None
    failure_code: str | None = None
    present: frozenset[str] = frozenset()
    tag_digest: str | None = None
    tag_immutable: bool | None = None
    pushed_at: dt.datetime | None = None
    failed_part: str | None = None
    text: str = ""


def _parts(values: Iterable[Part]) -> tuple[Part, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class DestinationWait(Record):
    """The waiter's state for one destination: times in seconds of a clock that never goes backwards.

    `asks` and `due` say what to ask next and when; `outcome` says that it is over. `covered` tells whether a rule sends
    the repository there, None when nobody could read the rules. `patience` is how long an image that no status names
    is taken for one that has just been pushed.
    """

    destination: Destination
    parts: tuple[Part, ...] = attrs.field(converter=_parts)
    tag: str | None = None
    started: float = 0.0
    deadline: float = 0.0
    patience: float = 15.0
    covered: bool | None = None
    asks: Literal["status", "look", "nothing"] = "status"
    due: float = 0.0
    status: str | None = None
    unreadable: str = ""
    present: frozenset[str] = frozenset()
    tag_digest: str | None = None
    pushed_at: dt.datetime | None = None
    tries: int = 0
    faults: int = 0
    last_fault: str = ""
    outcome: Outcome | None = None
    reason: str = "nothing was asked yet"
    failure_code: str | None = None
    ended: float | None = None

    @property
    def digest(self) -> str:
        """The image's digest."""
        return self.parts[0].digest

    @property
    def missing(self) -> tuple[str, ...]:
        """What the destination is not known to have, in words; empty when everything is there."""
        found: list[str] = []
        if self.status not in ("COMPLETE", None) and not self.unreadable:
            found.append(f"the source says {self.status}")
        found += [f"{part.kind} {part.digest}" for part in self.parts if part.digest not in self.present]
        if self.tag is not None and self.tag_digest != self.digest:
            names = f"names {self.tag_digest}" if self.tag_digest else "is not there"
            found.append(f"tag {self.tag} ({names})")
        return tuple(found)

    @property
    def by_digest_alone(self) -> bool:
        """Whether nothing but the destination's contents speaks for it: the source's status said nothing."""
        return bool(self.unreadable) or self.status is None


def step(state: DestinationWait, seen: Seen, now: float, *, drawn: float = 0.5) -> DestinationWait:
    """Return the next state. Pure: every branch is a row of a table, and `drawn` (0 to 1) is the jitter.

    The source is asked until it says COMPLETE, then the destination until it holds everything. When the status cannot
    be read, the destination alone decides, and the result says so. A refusal to read the destination, a FAILED, and an
    immutable tag on another image are final. Throttles and outages are waited out. The pause is a seventh of the time
    waited so far, at least 2 and at most 30 seconds, so that a replication is noticed soon after it is done and few
    questions are asked. The first question answered after the deadline ends the wait, or asks for one last look.

    Example:
        >>> place = Destination("eu-west-1", "123456789012")
        >>> state = DestinationWait(destination=place, parts=[Part(digest="sha256:1")], deadline=60)
        >>> state = step(state, Seen(asked="status", status="COMPLETE"), 4)
        >>> state.asks, state.outcome
        ('look', None)
        >>> step(state, Seen(asked="look", present=frozenset({"sha256:1"})), 4).outcome
        'replicated'
    """
    if state.outcome is not None:
        return state
    state = attrs.evolve(state, tries=state.tries + 1)
    if seen.kind in ("throttled", "unavailable"):
        text = seen.text or seen.kind
        return _again(attrs.evolve(state, faults=state.faults + 1, last_fault=text), now, drawn, state.asks)
    state = attrs.evolve(state, faults=0, last_fault="")
    if seen.asked == "status":
        return _after_status(state, seen, now, drawn)
    return _after_look(state, seen, now, drawn)


def _after_status(state: DestinationWait, seen: Seen, now: float, drawn: float) -> DestinationWait:
    if seen.kind == "not-found":
        reason = f"the source does not hold the image any more: {seen.text}".rstrip(": ")
        return _end(state, "failed", reason, now, code="ImageNotFound")
    if seen.kind != "answer":
        return attrs.evolve(state, unreadable=seen.text or seen.kind, status=None, asks="look", due=now)
    state = attrs.evolve(state, status=seen.status)
    if seen.status == "FAILED":
        return _end(state, "failed", "ECR says that the replication failed", now, code=seen.failure_code or "")
    if seen.status in ("COMPLETE", None):
        # What no status names may be there all the same: pushed there by hand, or copied.
        return attrs.evolve(state, asks="look", due=now)
    return _again(state, now, drawn, "status")


def _after_look(state: DestinationWait, seen: Seen, now: float, drawn: float) -> DestinationWait:
    unnamed = state.status is None and not state.unreadable
    if seen.kind == "denied" and not (unnamed and state.covered is False):
        return _end(state, "denied", seen.text or "the destination may not be read", now)
    if seen.kind in ("error", "unsupported"):
        return _end(state, "failed", f"the destination cannot be asked: {seen.text}", now, code=seen.kind)
    if seen.kind == "answer":  # else the repository is not there yet
        state = attrs.evolve(
            state,
            present=seen.present,
            tag_digest=seen.tag_digest,
            pushed_at=seen.pushed_at or state.pushed_at,
        )
    if not any(part.digest not in state.present for part in state.parts) and state.tag in (None, _named(state)):
        return _end(state, "replicated", _evidence(state), now)
    if seen.failed_part is not None:
        reason = f"ECR says that the replication of {seen.failed_part} failed"
        return _end(state, "failed", reason, now, code=seen.failure_code or "")
    other = state.tag_digest not in (None, "", state.digest)
    if state.digest in state.present and state.tag is not None and seen.tag_immutable and other:
        held = f"{state.tag} is immutable there and names {state.tag_digest}"
        return _end(state, "tag_swallowed", f"the image has arrived without its tag: {held}", now)
    if unnamed:
        if state.covered is False:
            return _end(state, "not_covered", "no rule sends the repository there", now)
        if now - state.started >= state.patience:
            before = "it was pushed before the rule" + (", or there is none" if state.covered is None else "")
            return _end(state, "not_covered", f"no replication of it began: {before}", now)
        return _again(state, now, drawn, "status")
    return _again(state, now, drawn, "look")


def _named(state: DestinationWait) -> str | None:
    """Return the tag when it names the image at the destination."""
    return state.tag if state.tag_digest == state.digest else None


def _evidence(state: DestinationWait) -> str:
    tagged = "" if state.tag is None else f", and {state.tag} names the image"
    held = f"the destination holds {counted(len(state.parts), 'digest')}{tagged}"
    if state.unreadable:
        return f"{held}; by digest alone, since the status could not be read: {state.unreadable}"
    if state.status is None:
        return f"{held}; by digest alone, since the source names no replication of it"
    return f"the source says {state.status}; {held}"


def _end(
    state: DestinationWait, outcome: Outcome, reason: str, now: float, *, code: str | None = None
) -> DestinationWait:
    return attrs.evolve(state, outcome=outcome, reason=reason, failure_code=code, asks="nothing", due=now, ended=now)


def _again(
    state: DestinationWait, now: float, drawn: float, asks: Literal["status", "look", "nothing"]
) -> DestinationWait:
    if now >= state.deadline:
        last = f"; the last question failed: {state.last_fault}" if state.last_fault else ""
        return _end(state, "timed_out", f"not there in time: {'; '.join(state.missing)}{last}", now)
    pause = min(max(_FIRST, _SHARE * (now - state.started)), _LONGEST)
    if state.faults:
        pause = min(pause * 2.0 ** min(state.faults, 5), _LONGEST_FAULT)
    waiting = state.last_fault or "; ".join(state.missing)
    due = min(now + pause * (0.75 + drawn / 2), state.deadline)
    return attrs.evolve(state, asks=asks, due=due, reason=f"waiting: {waiting}")
