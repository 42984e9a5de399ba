"""Backfills: images older than a replication rule, sent to one destination; waiting for one as a pure step.

Source: ECR API reference, StartReplicationBackfill and DescribeReplicationBackfillResults; ECR user guide,
"Replication backfill".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time
from ecrkit.replication.configuration import Destination

__all__ = ["Backfill", "BackfillResult", "BackfillStep", "BackfillWait", "backfill_step"]

_RUNNING: Final = ("PREPARING", "IN_PROGRESS", "STOPPING")
_ENDED: Final = ("COMPLETE", "FAILED", "STOPPED")


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _time(value: object) -> dt.datetime | None:
    return None if value is None else parse_time(value)


@attrs.frozen(kw_only=True)
class Backfill(Record):
    """One backfill and how far it is; each image and tag counts as one.

    `status` is PREPARING, IN_PROGRESS, STOPPING, COMPLETE, FAILED (at least half failed, of at least 100) or STOPPED,
    or a text of later models. COMPLETE does not mean that nothing failed: see `failed`.
    """

    backfill_id: str
    destination: Destination
    status: str
    started_at: dt.datetime | None = None
    ended_at: dt.datetime | None = None
    total: int | None = None
    completed: int = 0
    failed: int = 0
    failure_codes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    failure_code: str | None = None

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> Backfill:
        """Return the record of a backfill in any of the four answers."""
        progress: Mapping[str, Any] = raw.get("progress") or {}
        return cls(
            backfill_id=str(raw["replicationBackfillId"]),
            destination=Destination.from_api(raw.get("destination") or {}),
            status=str(raw.get("status") or ""),
            started_at=_time(raw.get("startedAt")),
            ended_at=_time(raw.get("endedAt")),
            total=progress.get("totalReplicationCount"),
            completed=int(progress.get("completedReplicationCount") or 0),
            failed=int(progress.get("failedReplicationCount") or 0),
            failure_codes=progress.get("failureCodes") or (),
            failure_code=raw.get("failureCode") or None,
        )

    @property
    def ended(self) -> bool:
        """Whether it has ended, well or badly."""
        return self.status in _ENDED

    @property
    def clean(self) -> bool:
        """Whether everything has arrived."""
        return self.status == "COMPLETE" and not self.failed

    @override
    def __str__(self) -> str:
        of = "" if self.total is None else f": {self.completed} of {self.total} arrived, {self.failed} failed"
        return f"backfill to {self.destination} is {self.status}{of}"


@attrs.frozen(kw_only=True)
class BackfillResult(Record):
    """What became of one image and tag: COMPLETE or FAILED. `parts` are the codes of an index's children."""

    repository: str
    digest: str
    status: str
    tag: str | None = None
    failure_code: str | None = None
    parts: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> BackfillResult:
        """Return the record of one `results` item."""
        identity: Mapping[str, Any] = raw.get("imageId") or {}
        return cls(
            repository=str(raw["repositoryName"]),
            digest=str(identity.get("imageDigest") or ""),
            tag=identity.get("imageTag"),
            status=str(raw.get("status") or ""),
            failure_code=raw.get("failureCode") or None,
            parts=raw.get("subImageFailureCodes") or (),
        )


@attrs.frozen(kw_only=True)
class BackfillWait(Record):
    """The waiter's state: times in seconds of a clock that never goes backwards. `faults` follow one another."""

    started: float
    deadline: float
    tries: int = 0
    faults: int = 0
    last: Backfill | None = None


@attrs.frozen(kw_only=True)
class BackfillStep(Record):
    """What the waiter does next: ask again after `sleep` seconds, or stop."""

    action: Literal["again", "ended", "expired"]
    state: BackfillWait
    sleep: float = 0.0


def backfill_step(state: BackfillWait, seen: Backfill | None, now: float, *, drawn: float = 0.5) -> BackfillStep:
    """Return the next step; `seen` None is a throttled or failed question, `drawn` a random number from 0 to 1.

    The pause grows with the time waited, from 5 to 60 seconds, since a backfill of a whole registry takes long. An
    unknown status is asked for again until the deadline.

    Example:
        >>> state = BackfillWait(started=0, deadline=100)
        >>> backfill_step(state, None, 100).action
        'expired'
    """
    if seen is None:
        following = attrs.evolve(state, tries=state.tries + 1, faults=state.faults + 1)
    else:
        following = attrs.evolve(state, tries=state.tries + 1, faults=0, last=seen)
        if seen.ended:
            return BackfillStep(action="ended", state=following)
    left = state.deadline - now
    if left <= 0:
        return BackfillStep(action="expired", state=following)
    pause = min(60.0, max(5.0, 0.15 * (now - state.started)) * 2.0 ** min(following.faults, 4))
    return BackfillStep(action="again", state=following, sleep=min(left, pause * (0.75 + drawn / 2)))
