"""What waiting for an image came to: one result for each destination; partial success is a value."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.errors import WaitExpired, WaitFailed
from ecrkit.records import Progress
from ecrkit.replication.configuration import Destination
from ecrkit.replication.statuses import likely_cause
from ecrkit.replication.waiting import DestinationWait, Outcome

__all__ = ["DestinationResult", "ReplicationProgress", "ReplicationResult", "result_of"]


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class DestinationResult(Record):
    """How waiting for one destination ended, why, and what was missing.

    `likely_cause` is a guess where ECR says no more than a code, or nothing. `by_digest_alone` tells that the source's
    status took no part. `waited` is how long it took to see the end; `pushed_at` is the destination's own time of the
    image's arrival, and `lag` the time from the push in the source to it, for a freshly pushed image.
    """

    destination: Destination
    outcome: Outcome
    reason: str
    failure_code: str | None = None
    likely_cause: str | None = None
    missing: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    by_digest_alone: bool = False
    waited: dt.timedelta = dt.timedelta(0)
    pushed_at: dt.datetime | None = None
    lag: dt.timedelta | None = None
    questions: int = 0

    @property
    def ok(self) -> bool:
        """Whether everything is there."""
        return self.outcome == "replicated"

    @override
    def __str__(self) -> str:
        code = f" ({self.failure_code})" if self.failure_code else ""
        cause = f"; likely: {self.likely_cause}" if self.likely_cause else ""
        return f"{self.destination}: {self.outcome}{code}: {self.reason}{cause}"


def _results(values: Iterable[DestinationResult]) -> tuple[DestinationResult, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class ReplicationResult(Record):
    """What `wait` came to: the image that was meant, and a result for each destination.

    `note` says why there is nothing to wait for when `destinations` is empty.
    """

    repository: str
    digest: str
    tag: str | None = None
    destinations: tuple[DestinationResult, ...] = attrs.field(default=(), converter=_results)
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether the image is at every destination; without any destination nothing was shown, so False."""
        return bool(self.destinations) and all(d.ok for d in self.destinations)

    def by_outcome(self, outcome: Outcome) -> tuple[DestinationResult, ...]:
        """Return the destinations with that outcome."""
        return tuple(d for d in self.destinations if d.outcome == outcome)

    @property
    def replicated(self) -> tuple[Destination, ...]:
        """The destinations that have everything."""
        return tuple(d.destination for d in self.destinations if d.ok)

    def explain(self) -> str:
        """Return the whole result in words."""
        name = f"{self.repository}:{self.tag}" if self.tag else self.repository
        done = f"{len(self.replicated)} of {counted(len(self.destinations), 'destination')}"
        lines = [f"{name} ({self.digest}) is at {done}", *(f"- {result}" for result in self.destinations)]
        return "\n".join([*lines, *([f"- {self.note}"] if self.note else [])])

    def require(self) -> ReplicationResult:
        """Return the result when everything is everywhere.

        Raises:
            WaitFailed: a destination will not get it without somebody's help, or there is no destination.
            WaitExpired: only time was lacking.
        """
        if self.ok:
            return self
        if self.destinations and all(d.outcome in ("replicated", "timed_out") for d in self.destinations):
            raise WaitExpired(self.explain(), last=self)
        raise WaitFailed(self.explain(), last=self)

    def _rows(self) -> list[tuple[Any, ...]]:
        return [
            (
                str(d.destination),
                d.outcome + (f" ({d.failure_code})" if d.failure_code else ""),
                f"{d.waited.total_seconds():.0f} s",
                d.likely_cause or d.reason,
            )
            for d in self.destinations
        ]

    def to_table(self) -> str:
        """Return a table of the destinations as text."""
        return text_table(("destination", "outcome", "after", "why"), self._rows(), right=frozenset({2}))

    def _repr_html_(self) -> str:
        return html_table(("destination", "outcome", "after", "why"), self._rows(), caption=self.repository)


@attrs.frozen(kw_only=True)
class ReplicationProgress(Progress):
    """How many destinations are done, with the state of each as it is now."""

    states: tuple[DestinationWait, ...] = ()


_OTHER_CAUSES = {
    "tag_swallowed": "the repository there is immutable; make the tags of the source immutable too, or push a new tag",
    "denied": "the caller lacks ecr:DescribeImages on the destination's repository",
}


def result_of(state: DestinationWait, *, pushed_at: dt.datetime | None, home: Destination) -> DestinationResult:
    """Return the result of a state that is over."""
    outcome = state.outcome or "timed_out"
    cause = _OTHER_CAUSES.get(outcome)
    if outcome == "failed":
        cause = likely_cause(state.failure_code, other_account=state.destination.account != home.account)
    elif outcome == "not_covered":
        cause = (
            "add a rule; images pushed before it also need a backfill"
            if state.covered is False
            else "start a backfill, or push the image again under a new tag"
        )
    fresh = outcome == "replicated" and pushed_at is not None and state.pushed_at is not None
    lag = state.pushed_at - pushed_at if fresh and state.pushed_at is not None and pushed_at is not None else None
    return DestinationResult(
        destination=state.destination,
        outcome=outcome,
        reason=state.reason,
        failure_code=state.failure_code or None,
        likely_cause=cause,
        missing=() if outcome == "replicated" else state.missing,
        by_digest_alone=state.by_digest_alone,
        waited=dt.timedelta(seconds=(state.ended if state.ended is not None else state.started) - state.started),
        pushed_at=state.pushed_at,
        lag=lag if lag is not None and lag >= dt.timedelta(0) else None,
        questions=state.tries,
    )
