"""How stored bytes grow: by repository and team, a week ahead and many, and which weeks jumped, by which images.

The forecast is a random walk with drift (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.2): growth
goes on at its mean rate, and the uncertainty of h weeks is that of the weekly changes times sqrt(h * (1 + h / n)). The
same method is run on the past, at every point with enough history before it, and the report says how it did.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, size, text_table
from ecrkit._internal.times import require_aware
from ecrkit.cost.growth import ImageGrowth, growth
from ecrkit.cost.sources import Source, read
from ecrkit.cost.storage import StorageReport, storage
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import Inventory
from ecrkit.metrics import MetricPoint

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Backtest", "CapacityForecast", "Jump", "StorageTrend", "TrendPoint", "trend"]

_WEEK: Final = dt.timedelta(days=7)
_LEAST: Final = 4
_NOTHING: Final = ByteRange.exactly(0)
_TOTAL: Final = ""
Measured = StorageReport | Mapping[str, Source] | Iterable[tuple[str, Source]]
"""What a point of time is told by: a report, or inventories by name, as a snapshot has them."""


@attrs.frozen(kw_only=True)
class TrendPoint(Record):
    """The stored bytes at one time. `name` is a repository, a team, or empty for the whole."""

    name: str
    at: dt.datetime
    bytes: ByteRange


@attrs.frozen(kw_only=True)
class Backtest(Record):
    """How the forecast did on the past: of `tested` forecasts the share in which the truth lay within the interval.

    `error` is the mean distance of the expected value from the truth, relative to the truth; None when nothing was
    tested, or the truth was nothing.
    """

    tested: int
    covered: float | None
    error: float | None
    level: float


@attrs.frozen(kw_only=True)
class CapacityForecast(Record):
    """The stored bytes at a time to come: expected, and between `low` and `high` with the probability `level`."""

    name: str
    at: dt.datetime
    low: int
    expected: int
    high: int
    level: float
    backtest: Backtest

    def explain(self) -> str:
        """Return the forecast in a sentence, with how the method did on the past."""
        tested = "not tested: too little history"
        if self.backtest.covered is not None:
            tested = f"on the past, {self.backtest.covered:.0%} of {self.backtest.tested} forecasts held the truth"
        return (
            f"{self.name or 'in all'} at {self.at.date().isoformat()}: {size(self.expected)},"
            f" {self.level:.0%} between {size(self.low)} and {size(self.high)}; {tested}"
        )


@attrs.frozen(kw_only=True)
class Jump(Record):
    """A week in which a repository grew by more than the threshold.

    `ratio` is the growth over what was there, None when there was nothing. `images` are those that brought the bytes,
    the most first, each layer charged to the image that was pushed first; empty when only reports were given.
    """

    repository: str
    start: dt.datetime
    end: dt.datetime
    before: int
    after: int
    ratio: float | None
    images: tuple[ImageGrowth, ...] = ()

    def explain(self) -> str:
        """Return the jump in a sentence."""
        share = "from nothing" if self.ratio is None else f"by {self.ratio:.0%}"
        causes = ", ".join(f"{image.name} {size(image.bytes)}" for image in self.images[:3])
        return (
            f"{self.repository or 'in all'} grew {share} to {size(self.after)} in the week to"
            f" {self.end.date().isoformat()}{': ' + causes if causes else ''}"
        )


@attrs.frozen(kw_only=True)
class StorageTrend(Record):
    """Stored bytes over time, of the whole, of repositories, and of teams.

    A repository that a report does not have stored nothing then. One that could not be read has no point at that time,
    and neither has its team nor the whole.
    """

    points: tuple[TrendPoint, ...] = attrs.field(repr=False)
    repositories: tuple[str, ...]
    teams: tuple[str, ...]
    _held: Mapping[dt.datetime, Mapping[str, Source]] = attrs.field(factory=dict, repr=False, eq=False, alias="held")

    def of(self, name: str = "") -> tuple[TrendPoint, ...]:
        """Return the points of a repository or team, or of the whole, oldest first."""
        return self._by_name.get(name, ())

    @cached_property
    def _by_name(self) -> Mapping[str, tuple[TrendPoint, ...]]:
        found: dict[str, list[TrendPoint]] = {}
        for point in self.points:
            found.setdefault(point.name, []).append(point)
        return {name: tuple(points) for name, points in found.items()}

    def growth_per_week(self, name: str = "") -> ByteRange:
        """Return how many bytes a week brought on average, from the first point to the last; negative when it shrank.

        Raises:
            InvalidInput: there are fewer than two points.
        """
        points = self.of(name)
        if len(points) < 2:
            raise InvalidInput.single("no growth", name or "points", "needs two points in time that could be read")
        first, last = points[0], points[-1]
        weeks = (last.at - first.at) / _WEEK
        low = None if first.bytes.high is None else math.floor((last.bytes.low - first.bytes.high) / weeks)
        high = None if last.bytes.high is None else math.ceil((last.bytes.high - first.bytes.low) / weeks)
        if low is None:
            raise InvalidInput.single("no growth", name or "points", "nothing bounds the bytes of the first point")
        exact = first.bytes.exact is not None and last.bytes.exact is not None
        if exact:
            low = high = round((last.bytes.low - first.bytes.low) / weeks)
        return ByteRange(low, high, tuple(dict.fromkeys((*first.bytes.reasons, *last.bytes.reasons))))

    def forecast(self, name: str = "", *, weeks: float = 12, level: float = 0.8) -> CapacityForecast:
        """Return the stored bytes so many weeks after the last point, with an interval and how the method did before.

        Where the points are ranges, the interval reaches from the lower end of the lower bounds to the upper end of the
        upper ones.

        Raises:
            InvalidInput: there are fewer than four points, nothing bounds one, or `weeks` or `level` is out of range.
        """
        points = self.of(name)
        problems: list[Problem] = []
        if len(points) < _LEAST:
            problems.append(Problem(name or "points", f"a forecast needs {_LEAST} points in time, not {len(points)}"))
        if any(point.bytes.high is None for point in points):
            problems.append(Problem(name or "points", "nothing bounds the bytes of some points: read the manifests"))
        if not 0 < level < 1:
            problems.append(Problem("level", "must be between 0 and 1"))
        if weeks <= 0:
            problems.append(Problem("weeks", "must be more than 0"))
        if problems:
            raise InvalidInput("no forecast", problems)
        times = [(point.at - points[0].at) / _WEEK for point in points]
        lows = [float(point.bytes.low) for point in points]
        highs = [float(point.bytes.high or 0) for point in points]
        bottom, top = _walk(times, lows, weeks, level), _walk(times, highs, weeks, level)
        return CapacityForecast(
            name=name,
            at=points[-1].at + dt.timedelta(weeks=weeks),
            low=max(0, math.floor(bottom[0])),
            expected=max(0, round((bottom[1] + top[1]) / 2)),
            high=max(0, math.ceil(top[2])),
            level=level,
            backtest=_backtest(times, highs, weeks, level),
        )

    def jumps(self, threshold: float = 0.2, *, images: int = 10) -> tuple[Jump, ...]:
        """Return the weeks in which a repository surely grew by more than the threshold, the most bytes first.

        A point is compared with the first one at least seven days later, that one with the next, and so on; the last
        one with the week that has begun, so that a jump is told before its week is over.

        Args:
            threshold: the share of what was there before.
            images: how many of the images that caused it are named, at most; the trend must have been made of
                inventories, not of reports.

        Raises:
            InvalidInput: the threshold is negative.
        """
        if threshold < 0:
            raise InvalidInput.single("no jumps", "threshold", "must not be negative")
        found: list[Jump] = []
        for name in self.repositories:
            for before, after in _weeks(self.of(name)):
                base = before.bytes.high
                if base is None:
                    continue  # what was there may have been as much
                grown = after.bytes.low - base
                if grown > threshold * base and grown > 0:
                    found.append(
                        Jump(
                            repository=name, start=before.at, end=after.at, before=base, after=after.bytes.low,
                            ratio=grown / base if base else None,
                            images=self._causes(name, before.at, after.at, images),
                        )
                    )  # fmt: skip
        return tuple(sorted(found, key=lambda j: (j.before - j.after, j.repository, j.end)))

    def _causes(self, name: str, start: dt.datetime, end: dt.datetime, count: int) -> tuple[ImageGrowth, ...]:
        before, after = (_inventory(self._held.get(at, {}).get(name)) for at in (start, end))
        return () if after is None else growth(before, after)[:count]

    def metric_points(self, *, namespace: str, at: dt.datetime | None = None) -> tuple[MetricPoint, ...]:
        """Return the newest bytes of the whole, of each team and repository as metric points.

        `StoredBytes` with the dimension `Team`, `RepositoryName`, or none. A range gives its lower end, and besides it
        `StoredBytesUnknown`, how many bytes more there may be, when anything bounds them.

        Args:
            namespace: of CloudWatch, such as `Registry/Storage`.
            at: the time of the points; by default that of the newest measurement of each, which CloudWatch takes while
                it is at most two weeks old.
        """
        newest = {point.name: point for point in self.points}
        found: list[MetricPoint] = []
        for name, point in newest.items():
            dimension = {} if name == _TOTAL else {"Team" if name in self.teams else "RepositoryName": name}
            values = {"StoredBytes": point.bytes.low}
            if point.bytes.exact is None and point.bytes.high is not None:
                values["StoredBytesUnknown"] = point.bytes.high - point.bytes.low
            found += [
                MetricPoint(
                    namespace=namespace, name=metric, value=value, at=at or point.at, unit="Bytes", dimensions=dimension
                )
                for metric, value in values.items()
            ]
        return tuple(found)

    # ---- for people and programs

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each point, as columns; `scope` is total, team or repository."""
        scope = {_TOTAL: "total", **dict.fromkeys(self.repositories, "repository"), **dict.fromkeys(self.teams, "team")}
        return {
            "scope": [scope[p.name] for p in self.points],
            "name": [p.name for p in self.points],
            "at": [p.at for p in self.points],
            "bytes_low": [p.bytes.low for p in self.points],
            "bytes_high": [p.bytes.high for p in self.points],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return a table for people: first, last, and growth of the whole, of teams and of repositories."""
        return text_table(_HEADER, self._rows(), right=frozenset({1, 2, 3}))

    def _rows(self) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        newest = max((point.at for point in self.points), default=None)
        for name in (_TOTAL, *self.teams, *self.repositories):
            points = self.of(name)
            if points:
                first, last, at = points[0].bytes, points[-1].bytes, points[-1].at
                enough = len(points) > 1 and first.high is not None
                rate = self.growth_per_week(name) if enough else None
                told = "" if rate is None else f"{size(rate.low)}" if rate.exact is not None else _span(rate)
                # An old number must not look like today's.
                since = "" if at == newest else f" on {at.date().isoformat()}, not known since"
                rows.append((name or "in all", first, f"{last}{since}", told))
        return rows

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        days = [point.at.date().isoformat() for point in self.of()]
        since = f" from {days[0]} to {days[-1]}" if days else ""
        return f"{len(self.repositories)} repositories, {len(days)} points in time{since}"


_HEADER: Final = ("what", "first", "last", "a week")


def _span(rate: ByteRange) -> str:
    return f"{size(rate.low)} or more" if rate.high is None else f"{size(rate.low)} to {size(rate.high)}"


def _inventory(source: Source) -> Inventory | None:
    return read(source)


def _weeks(points: Sequence[TrendPoint]) -> Iterable[tuple[TrendPoint, TrendPoint]]:
    """Yield the points that are compared: each week is looked at once, however often it was measured."""
    start = 0
    for at, after in enumerate(points[1:], 1):
        if after.at - points[start].at >= _WEEK or at == len(points) - 1:
            yield points[start], after
            start = at


def _walk(times: Sequence[float], values: Sequence[float], ahead: float, level: float) -> tuple[float, float, float]:
    """Return the lower end, the expected value and the upper end of a random walk with drift."""
    span = times[-1] - times[0]
    drift = (values[-1] - values[0]) / span
    changes = [(b - a, t - s) for (a, b), (s, t) in zip(pairwise(values), pairwise(times), strict=True)]
    freedom = len(changes) - 1
    # Points may lie unevenly: a change over two weeks has twice the variance of one.
    variance = sum((change - drift * gap) ** 2 / gap for change, gap in changes) / freedom
    spread = math.sqrt(variance * ahead * (1 + ahead / span)) * _student((1 + level) / 2, freedom)
    expected = values[-1] + drift * ahead
    return expected - spread, expected, expected + spread


def _student(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t: exactly for 1 and 2 degrees of freedom, else by Hill's expansion.

    Source: G. W. Hill, Algorithm 396, Communications of the ACM 13 (1970).
    """
    if freedom == 1:
        return math.tan(math.pi * (probability - 0.5))
    two = 2 * (1 - probability)
    if freedom == 2:
        return math.sqrt(2 / (two * (2 - two)) - 2)
    a = 1 / (freedom - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * math.sqrt(a * math.pi / 2) * freedom
    y = (d * two) ** (2 / freedom)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(two / 2)
        y = x**2
        if freedom < 5:
            c += 0.3 * (freedom - 4.5) * (x + 0.6)
        c += (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b
        y = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
        y = math.expm1(a * y**2)
    else:
        y = ((1 / (((freedom + 6) / (freedom * y) - 0.089 * d - 0.822) * (freedom + 2) * 3) + 0.5 / (freedom + 4)) * y
             - 1) * (freedom + 1) / (freedom + 2) + 1 / y  # fmt: skip
    return math.sqrt(freedom * y)


def _backtest(times: Sequence[float], values: Sequence[float], ahead: float, level: float) -> Backtest:
    """Return how the walk did from each point with enough before it, to the point nearest to as far ahead as asked."""
    hits = tested = 0
    errors: list[float] = []
    for origin in range(_LEAST - 1, len(times) - 1):
        later = range(origin + 1, len(times))
        target = min(later, key=lambda n, origin=origin: abs(times[n] - times[origin] - ahead))  # type: ignore[misc]
        low, expected, high = _walk(times[: origin + 1], values[: origin + 1], times[target] - times[origin], level)
        tested += 1
        hits += low <= values[target] <= high
        if values[target]:
            errors.append(abs(expected - values[target]) / values[target])
    return Backtest(
        tested=tested,
        covered=hits / tested if tested else None,
        error=sum(errors) / len(errors) if errors else None,
        level=level,
    )


def trend(
    series: Iterable[tuple[dt.datetime, Measured]],
    *,
    team: Callable[[str], str | None] | Mapping[str, str] | None = None,
) -> StorageTrend:
    """Return how stored bytes went, from what was measured at several times.

    Args:
        series: times with a `StorageReport`, or with the inventories by name: only those tell which images caused a
            jump. A snapshot's `taken_at` and `inventories()` are such a pair.
        team: the owner of a repository, as a mapping or a function; None when nobody owns it.

    Raises:
        InvalidInput: a time comes twice, or a team is called as a repository is.

    Example:
        >>> from ecrkit.cost.storage import RepositoryStorage
        >>> def report(count):
        ...     held = ByteRange.exactly(count)
        ...     rows = (RepositoryStorage(repository="app", bytes=held),)
        ...     return StorageReport(repositories=rows, bytes=held, apart=held)
        >>> start = dt.datetime(2026, 10, 1, tzinfo=dt.UTC)
        >>> found = trend((start + n * _WEEK, report(1000 + 100 * n)) for n in range(8))
        >>> found.growth_per_week().exact, found.forecast(weeks=4).expected
        (100, 2100)
    """
    owner = team.get if isinstance(team, Mapping) else team
    points: list[TrendPoint] = []
    held: dict[dt.datetime, Mapping[str, Source]] = {}
    reports: dict[dt.datetime, StorageReport] = {}
    for at, measured in series:
        when = require_aware(at, "at")
        if when in reports:
            raise InvalidInput.single("no trend", "series", f"{when.isoformat()} comes twice")
        if isinstance(measured, StorageReport):
            reports[when] = measured
        else:
            held[when] = dict(measured)
            reports[when] = storage(held[when], blob_mounting=False, taken_at=when)
    names = tuple(dict.fromkeys(r.repository for at in sorted(reports) for r in reports[at].repositories))
    owners = {name: (owner(name) if owner is not None else None) for name in names}
    teams = tuple(sorted({found for found in owners.values() if found is not None}))
    clash = sorted(set(teams) & set(names))
    if clash:
        raise InvalidInput.single(
            "no trend",
            "team",
            f"{clash[0]} is a repository's name too; call the team otherwise, such as 'team {clash[0]}'",
        )
    for at in sorted(reports):
        points += _points(at, reports[at], names, owners)
    return StorageTrend(points=tuple(points), repositories=names, teams=teams, held=held)


def _points(
    at: dt.datetime, report: StorageReport, names: tuple[str, ...], owners: Mapping[str, str | None]
) -> Iterable[TrendPoint]:
    sums: dict[str, ByteRange | None] = {}
    for name in names:
        row = report.get(name)
        count = _NOTHING if row is None else None if row.gap is not None else row.bytes
        if count is not None:
            yield TrendPoint(name=name, at=at, bytes=count)
        for group in (owners[name], _TOTAL):
            if group is not None:
                before = sums.get(group, _NOTHING)
                sums[group] = None if before is None or count is None else before + count
    for group, total in sums.items():
        if total is not None:
            yield TrendPoint(name=group, at=at, bytes=total)
