"""CloudWatch metric points as records: every limit of PutMetricData checked before anything is sent.

CloudWatch drops or refuses what breaks a limit, and an alarm on a metric that never arrives stays silent; so a point
that is made here can be sent.
Source: CloudWatch API reference, PutMetricData, MetricDatum and Dimension.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, get_args
from urllib.parse import quote_plus

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso
from ecrkit.errors import InvalidInput, Problem

__all__ = ["LARGEST_REQUEST", "METRICS_PER_REQUEST", "MetricPoint", "Unit", "metric_batches"]

Unit = Literal[
    "Bits", "Bits/Second", "Bytes", "Bytes/Second", "Count", "Count/Second", "Gigabits", "Gigabits/Second",
    "Gigabytes", "Gigabytes/Second", "Kilobits", "Kilobits/Second", "Kilobytes", "Kilobytes/Second", "Megabits",
    "Megabits/Second", "Megabytes", "Megabytes/Second", "Microseconds", "Milliseconds", "None", "Percent", "Seconds",
    "Terabits", "Terabits/Second", "Terabytes", "Terabytes/Second",
]  # fmt: skip
"""The units that CloudWatch knows (StandardUnit)."""

METRICS_PER_REQUEST: Final = 1000
"""How many metrics one PutMetricData request may hold."""
LARGEST_REQUEST: Final = 1_000_000
"""How many bytes one PutMetricData request may have; AWS says 1 MB, and the smaller reading of that is safe."""

_DIMENSIONS: Final = 30
_NAME: Final = 255
_VALUE: Final = 1024
_LARGEST: Final = 2.0**360
_BACK: Final = dt.timedelta(days=14)
_AHEAD: Final = dt.timedelta(hours=2)
_NAMESPACE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/#: ")
# What the query protocol writes around a point and around a dimension, at most. It is the longest of the three
# protocols that CloudWatch speaks, so a batch fits whichever one the installed botocore chooses.
_AROUND_POINT: Final = 320
_AROUND_DIMENSION: Final = 120
_AROUND_REQUEST: Final = 200


def _dimensions(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = value.items() if isinstance(value, Mapping) else value
    return tuple(sorted((str(name), str(text)) for name, text in pairs))


def _number(value: float | Decimal) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number too large for a float: refused below like any other that is too large
        return math.inf


@attrs.frozen(kw_only=True)
class MetricPoint(Record):
    """One value of one custom metric at one time.

    A metric is its namespace, its name and the whole set of its dimensions: an alarm or a dashboard must name the same
    set. `resolution` is 60 or 1 seconds; a metric of 1 second costs more to alarm on and is kept so for 3 hours.

    Args:
        namespace: up to 255 of letters, digits and `.-_/#: `; AWS keeps those that start with `AWS/` for itself.
        name: 1 to 255 printable ASCII characters.
        value: from -2**360 to 2**360; NaN and infinity are refused.
        at: aware time. CloudWatch takes it when it is at most two weeks old or two hours ahead: `metric_batches`
            checks that.
        unit: one of CloudWatch's own.
        dimensions: at most 30; a mapping, or pairs. Kept sorted by name.
        resolution: seconds, 60 or 1.

    Raises:
        InvalidInput: lists everything that CloudWatch would refuse.

    Example:
        >>> import datetime as dt
        >>> at = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
        >>> point = MetricPoint(namespace="ecrkit", name="StoredBytes", value=5, at=at, unit="Bytes",
        ...                     dimensions={"Team": "pay"})
        >>> point.dimensions
        (('Team', 'pay'),)
        >>> MetricPoint(namespace="AWS/ECR", name="StoredBytes", value=5, at=at)
        Traceback (most recent call last):
        ecrkit.errors.InvalidInput: no metric point: namespace: ...
    """

    namespace: str
    name: str
    value: float = attrs.field(converter=_number)
    at: dt.datetime
    unit: Unit = "None"
    dimensions: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_dimensions)
    resolution: Literal[1, 60] = 60

    def __attrs_post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InvalidInput("no metric point", problems)

    @property
    def metric(self) -> tuple[str, str, tuple[tuple[str, str], ...]]:
        """What tells this metric from others: namespace, name and dimensions."""
        return self.namespace, self.name, self.dimensions

    def to_datum(self) -> dict[str, Any]:
        """Return the point as an entry of `MetricData` in PutMetricData."""
        return {
            "MetricName": self.name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in self.dimensions],
            "Timestamp": self.at,
            "Value": self.value,
            "Unit": self.unit,
            "StorageResolution": self.resolution,
        }


def metric_batches(points: Iterable[MetricPoint], *, now: dt.datetime) -> Iterator[tuple[MetricPoint, ...]]:
    """Yield the points in batches, each of which is one PutMetricData request: one namespace, 1000 metrics, 1 MB.

    The order of the points within a namespace is kept. Times are checked for all points before the first batch, so
    that nothing is sent of a set of which a part would be refused.

    Raises:
        InvalidInput: when first asked for a batch: points that are older than two weeks or more than two hours ahead.

    Example:
        >>> import datetime as dt
        >>> at = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
        >>> points = [MetricPoint(namespace="ecrkit", name=f"M{n}", value=n, at=at) for n in range(2500)]
        >>> [len(batch) for batch in metric_batches(points, now=at)]
        [1000, 1000, 500]
    """
    by_namespace: dict[str, list[MetricPoint]] = {}
    problems: list[Problem] = []
    for n, point in enumerate(points):
        if not now - _BACK <= point.at <= now + _AHEAD:
            problems.append(
                Problem(
                    f"points[{n}].at",
                    f"{iso(point.at)} is not within two weeks before and two hours after {iso(now)}",
                )
            )
        by_namespace.setdefault(point.namespace, []).append(point)
    if problems:
        raise InvalidInput("CloudWatch would not take these points", problems)
    for found in by_namespace.values():
        yield from _filled(found)


def _filled(points: list[MetricPoint]) -> Iterator[tuple[MetricPoint, ...]]:
    batch: list[MetricPoint] = []
    bytes_used = _AROUND_REQUEST
    for point in points:
        needed = _most_bytes(point)
        if batch and (len(batch) == METRICS_PER_REQUEST or bytes_used + needed > LARGEST_REQUEST):
            yield tuple(batch)
            batch, bytes_used = [], _AROUND_REQUEST
        batch.append(point)
        bytes_used += needed
    if batch:
        yield tuple(batch)


def _most_bytes(point: MetricPoint) -> int:
    """Return the most bytes that a point takes in a request."""
    texts = sum(len(quote_plus(name)) + len(quote_plus(value)) + _AROUND_DIMENSION for name, value in point.dimensions)
    return _AROUND_POINT + len(quote_plus(point.name)) + texts


def _problems(point: MetricPoint) -> Iterator[Problem]:
    yield from _text_problems("namespace", point.namespace, _NAME)
    if not _NAMESPACE.issuperset(point.namespace):
        yield Problem("namespace", "may hold only letters, digits and the characters . - _ / # : and space")
    if point.namespace.startswith("AWS/"):
        yield Problem("namespace", "must not start with AWS/, which is kept for AWS services")
    if point.namespace.startswith(":"):
        yield Problem("namespace", "must not start with a colon")
    yield from _text_problems("name", point.name, _NAME)
    if not math.isfinite(point.value) or abs(point.value) > _LARGEST:
        yield Problem("value", f"must be a number from -2**360 to 2**360, not {point.value!r}")
    if point.at.utcoffset() is None:
        yield Problem("at", "has no time zone; pass an aware datetime, for example in UTC")
    if point.unit not in get_args(Unit):
        yield Problem("unit", f"must be one of {', '.join(get_args(Unit))}, not {point.unit!r:.60}")
    if point.resolution not in {1, 60}:
        yield Problem("resolution", f"must be 1 or 60 seconds, not {point.resolution!r:.60}")
    if len(point.dimensions) > _DIMENSIONS:
        yield Problem("dimensions", f"at most {_DIMENSIONS} are allowed, not {len(point.dimensions)}")
    names = [name for name, _ in point.dimensions]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Problem("dimensions", f"{name!r:.60} stands twice")
    for name, value in point.dimensions:
        where = f"dimensions[{name!r:.60}]"
        yield from _text_problems(f"{where}.name", name, _NAME)
        if name.startswith(":"):
            yield Problem(f"{where}.name", "must not start with a colon")
        yield from _text_problems(where, value, _VALUE)


def _text_problems(where: str, text: str, longest: int) -> Iterator[Problem]:
    if not 1 <= len(text) <= longest:
        yield Problem(where, f"must have 1 to {longest} characters, not {len(text)}")
    elif not text.strip():
        yield Problem(where, "must hold more than white space")
    if not (text.isascii() and (text.isprintable() or not text)):
        yield Problem(where, "may hold only printable ASCII characters")
