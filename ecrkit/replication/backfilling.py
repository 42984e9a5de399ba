"""Running backfills: start, wait, results, again for what failed; and a plan to copy where there are no backfills."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import Throttled, Unavailable, WaitExpired, WaitFailed
from ecrkit.ports import Clock, OnProgress
from ecrkit.records import Progress
from ecrkit.replication.backfill import Backfill, BackfillResult, BackfillWait, backfill_step
from ecrkit.replication.configuration import Destination
from ecrkit.replication.drift import DriftReport
from ecrkit.replication.repush import RepushPlan

__all__ = ["BackfillOutcome", "BackfillService", "BackfillSource"]


class BackfillSource(Protocol):
    """Starts and follows backfills (ECR API reference, StartReplicationBackfill)."""

    @property
    def has_backfills(self) -> bool:
        """Whether the installed botocore knows them."""
        ...

    def start_backfill(self, destination: Destination) -> Backfill:
        """Start one."""
        ...

    def stop_backfill(self, backfill_id: str) -> Backfill:
        """Stop one."""
        ...

    def backfills(self) -> Iterable[Backfill]:
        """Return those of the last 90 days."""
        ...

    def backfill(self, backfill_id: str) -> Backfill:
        """Return how far one is."""
        ...

    def backfill_results(self, backfill_id: str, *, status: str | None = None) -> Iterable[BackfillResult]:
        """Return the result of each image and tag."""
        ...


def _rounds(values: Iterable[Backfill]) -> tuple[Backfill, ...]:
    return tuple(values)


def _results(values: Iterable[BackfillResult]) -> tuple[BackfillResult, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class BackfillOutcome(Record):
    """What one or several rounds of a backfill came to: the last seen of each round, and what failed in the last."""

    rounds: tuple[Backfill, ...] = attrs.field(converter=_rounds)
    failures: tuple[BackfillResult, ...] = attrs.field(default=(), converter=_results)

    @property
    def last(self) -> Backfill:
        """The last round."""
        return self.rounds[-1]

    @property
    def ok(self) -> bool:
        """Whether the last round ended and brought everything."""
        return self.last.clean and not self.failures

    def explain(self) -> str:
        """Return the last round and each failure in words."""
        lines = [str(self.last)]
        lines += [f"- {r.repository}@{r.digest} {r.tag or ''}: {r.failure_code or 'failed'}" for r in self.failures]
        return "\n".join(lines)

    def require(self) -> BackfillOutcome:
        """Return the outcome when everything has arrived.

        Raises:
            WaitExpired: the last round had not ended in time.
            WaitFailed: it ended, and something failed.
        """
        if self.ok:
            return self
        if not self.last.ended:
            raise WaitExpired(self.explain(), last=self)
        raise WaitFailed(self.explain(), last=self)


@attrs.frozen
class BackfillService:
    """Backfills of one registry. Without the operations in the installed botocore, `copy_plan` says what to copy."""

    source: BackfillSource
    clock: Clock
    home: Destination
    resolve: Callable[[Destination | str], Destination]
    compare: Callable[[Destination], DriftReport]
    draw: Callable[[], float]

    @property
    def supported(self) -> bool:
        """Whether the installed botocore knows backfills; nothing is called."""
        return self.source.has_backfills

    def start(self, destination: Destination | str) -> Backfill:
        """Start to send what is older than the rules to one destination. Calls: one.

        Raises:
            Conflict: one to that Region is in progress.
            QuotaExceeded: ten are in progress.
            Rejected: it is no destination of the rules.
            NotSupportedByBotocore: the installed botocore has no backfills; see `copy_plan`.
        """
        return self.source.start_backfill(self.resolve(destination))

    def stop(self, backfill: Backfill | str) -> Backfill:
        """Stop a backfill; what has arrived stays. Calls: one.

        Raises:
            Conflict: it has ended, or is stopping.
            NotFound: there is none of that id.
        """
        return self.source.stop_backfill(_id(backfill))

    def list(self) -> tuple[Backfill, ...]:
        """Return the backfills that run or ended within 90 days. Calls: one for each 50."""
        return tuple(self.source.backfills())

    def wait(
        self, backfill: Backfill | str, *, timeout: float = 6 * 3600.0, on_progress: OnProgress | None = None
    ) -> BackfillOutcome:
        """Wait until a backfill has ended, and return what came of it; neither failure nor time-out is raised.

        Calls: one every 5 to 60 seconds, and one for each 1000 failures.

        Raises:
            NotFound: there is none of that id.
        """
        began = self.clock.monotonic()
        state = BackfillWait(
            started=began, deadline=began + timeout, last=backfill if isinstance(backfill, Backfill) else None
        )
        while True:
            try:
                seen: Backfill | None = self.source.backfill(_id(backfill))
            except (Throttled, Unavailable):
                if state.last is None and self.clock.monotonic() >= state.deadline:
                    raise
                seen = None
            taken = backfill_step(state, seen, self.clock.monotonic(), drawn=self.draw())
            state = taken.state
            if on_progress is not None and seen is not None:
                on_progress(Progress(done=seen.completed + seen.failed, total=seen.total, what=str(seen.destination)))
            if taken.action != "again":
                break
            self.clock.sleep(taken.sleep)
        last = state.last
        if last is None:
            raise WaitExpired(f"nothing could be read of the backfill {_id(backfill)} within {timeout:g} s")
        failures: Iterable[BackfillResult] = ()
        if last.ended and last.failed:
            failures = self.source.backfill_results(last.backfill_id, status="FAILED")
        return BackfillOutcome(rounds=[last], failures=failures)

    def run(
        self,
        destination: Destination | str,
        *,
        attempts: int = 2,
        timeout: float = 6 * 3600.0,
        on_progress: OnProgress | None = None,
    ) -> BackfillOutcome:
        """Start a backfill, wait for it, and start it again while something fails, `attempts` times in all.

        A new round goes over everything again: ECR has no way to repeat only what failed. `timeout` is for all rounds
        together. What still fails can be copied: `RepushPlan.from_results(outcome.failures, ...)`.

        Raises:
            Conflict: one to that Region is in progress.
            NotSupportedByBotocore: the installed botocore has no backfills; see `copy_plan`.
        """
        end = self.clock.monotonic() + timeout
        rounds: list[Backfill] = []
        while True:
            left = max(0.0, end - self.clock.monotonic())
            outcome = self.wait(self.start(destination), timeout=left, on_progress=on_progress)
            rounds.append(outcome.last)
            stopped = outcome.last.status == "STOPPED"
            late = self.clock.monotonic() >= end
            if outcome.ok or stopped or late or not outcome.last.ended or len(rounds) >= max(1, attempts):
                return attrs.evolve(outcome, rounds=rounds)

    def copy_plan(
        self, destination: Destination | str, *, failures: Iterable[BackfillResult] | None = None
    ) -> RepushPlan:
        """Return what to copy to a destination: what failed, or else all that it lacks now. Copies nothing.

        The plan is plain data that a copier runs, such as `promotion`. Calls: none with `failures`, else those of
        `drift`.
        """
        place = self.resolve(destination)
        if failures is not None:
            return RepushPlan.from_results(failures, source=self.home, destination=place)
        return RepushPlan.from_drift(self.compare(place))


def _id(backfill: Backfill | str) -> str:
    return backfill if isinstance(backfill, str) else backfill.backfill_id
