"""How long replication takes: from events, and from the push times of the same digest in two Regions.

ECR has no metric for it (containers-roadmap#1537), and gives no promise (containers-roadmap#1664). Events are
delivered by best effort, so a push without a replication event is unknown, not late.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.events import Event, ImageAction, ReplicationAction, dedupe, in_order
from ecrkit.records import Image
from ecrkit.replication.configuration import Destination, ReplicationConfiguration

__all__ = ["Lag", "LagReport", "lag_from_events", "lag_from_images"]


@attrs.frozen(kw_only=True)
class Lag(Record):
    """What replication to one destination took: `count` pairs of push and arrival, in seconds.

    `failed` replications, `unmatched` arrivals whose push was not seen, and pushes with `no_arrival` seen are counted
    apart and are in no figure.
    """

    destination: Destination
    count: int = 0
    shortest: float | None = None
    median: float | None = None
    p95: float | None = None
    longest: float | None = None
    failed: int = 0
    unmatched: int = 0
    no_arrival: int = 0


def _lags(values: Iterable[Lag]) -> tuple[Lag, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class LagReport(Record):
    """The lag to each destination."""

    source: Destination
    lags: tuple[Lag, ...] = attrs.field(default=(), converter=_lags)

    def to(self, destination: Destination) -> Lag:
        """Return the lag to a destination, without any figure when nothing was seen of it."""
        return next((lag for lag in self.lags if lag.destination == destination), Lag(destination=destination))

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (str(lag.destination), lag.count, *(_shown(v) for v in (lag.median, lag.p95, lag.longest)), lag.failed,
             lag.no_arrival)
            for lag in self.lags
        ]  # fmt: skip

    def to_table(self) -> str:
        """Return a table as text, in seconds."""
        return text_table(_HEADER, self._rows(), right=frozenset(range(1, 7)))

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=f"replication from {self.source}, seconds")


_HEADER = ("destination", "arrived", "median", "p95", "longest", "failed", "no arrival seen")


def _shown(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.0f}"


def _rank(ordered: list[float], share: float) -> float:
    # The nearest rank: a value that was measured, also of few.
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def _lag(place: Destination, seconds: Iterable[float], *, failed: int, unmatched: int, no_arrival: int) -> Lag:
    ordered = sorted(seconds)
    figures = (
        {}
        if not ordered
        else {
            "shortest": ordered[0],
            "median": _rank(ordered, 0.5),
            "p95": _rank(ordered, 0.95),
            "longest": ordered[-1],
        }
    )
    return Lag(
        destination=place, count=len(ordered), failed=failed, unmatched=unmatched, no_arrival=no_arrival, **figures
    )


def _pushed(event: ImageAction, source: Destination) -> bool:
    here = (event.region, event.account) == (source.region, source.account)
    return here and event.action == "PUSH" and event.succeeded


def lag_from_events(
    events: Iterable[Event], *, source: Destination, configuration: ReplicationConfiguration | None = None
) -> LagReport:
    """Return the lag of what was pushed in the source and arrived at its destinations, by digest and tag.

    Takes the events of every Region together, in any order, with duplicates. An arrival belongs to the last push of
    the same digest and tag before it. EventBridge tells whole seconds, so a lag of 0 is less than a second or two.
    With the `configuration`, pushes that no rule sends to a destination do not count as without arrival there, and a
    destination that nothing arrived at is listed all the same.

    Example:
        >>> home = Destination("us-east-1", "123456789012")
        >>> lag_from_events([], source=home).lags
        ()
    """
    pushes: dict[tuple[str, str, str | None], list[dt.datetime]] = {}
    arrivals: list[ReplicationAction] = []
    for event in in_order(dedupe(events)):
        if isinstance(event, ReplicationAction):
            if (event.source_region, event.source_account) == (source.region, source.account):
                arrivals.append(event)
        elif isinstance(event, ImageAction) and _pushed(event, source):
            pushes.setdefault((event.repository, event.digest, event.tag), []).append(event.at)
    seconds: dict[Destination, list[float]] = {}
    failed: dict[Destination, int] = {}
    unmatched: dict[Destination, int] = {}
    arrived: dict[Destination, set[tuple[tuple[str, str, str | None], dt.datetime]]] = {}
    for event in arrivals:
        place = Destination(event.region, event.account)
        seconds.setdefault(place, [])
        key = (event.repository, event.digest, event.tag)
        before = [at for at in pushes.get(key, ()) if at <= event.at]
        if before:
            arrived.setdefault(place, set()).add((key, before[-1]))
        if not event.succeeded:
            failed[place] = failed.get(place, 0) + 1
        elif before:
            seconds[place].append((event.at - before[-1]).total_seconds())
        else:
            unmatched[place] = unmatched.get(place, 0) + 1
    if configuration is not None:
        for place in configuration.destinations:
            seconds.setdefault(place, [])

    def expected(place: Destination) -> int:
        return sum(
            len(times)
            for (repository, _, _), times in pushes.items()
            if configuration is None or place in configuration.destinations_of(repository)
        )

    return LagReport(
        source=source,
        lags=[
            _lag(
                place,
                seconds[place],
                failed=failed.get(place, 0),
                unmatched=unmatched.get(place, 0),
                no_arrival=max(0, expected(place) - len(arrived.get(place, ()))),
            )
            for place in sorted(seconds)
        ],
    )


def lag_from_images(
    here: Mapping[str, Iterable[Image]],
    there: Mapping[Destination, Mapping[str, Iterable[Image]]],
    *,
    source: Destination,
) -> LagReport:
    """Return the lag as the difference of the push times of one digest in both Regions (containers-roadmap#1664).

    It is about the first push of each image only: a later tag does not renew the push time. An image that the
    destination had before the source, or that came by a backfill or a copy, is counted as `unmatched` or as long.
    """
    pushed = {(name, image.digest): image.pushed_at for name, images in here.items() for image in images}
    found: list[Lag] = []
    for place in sorted(there):
        seconds: list[float] = []
        unmatched = 0
        seen = 0
        for name, images in there[place].items():
            for image in images:
                at = pushed.get((name, image.digest))
                if at is None or image.pushed_at < at:
                    unmatched += 1
                    seen += at is not None
                else:
                    seen += 1
                    seconds.append((image.pushed_at - at).total_seconds())
        found.append(_lag(place, seconds, failed=0, unmatched=unmatched, no_arrival=len(pushed) - seen))
    return LagReport(source=source, lags=found)
