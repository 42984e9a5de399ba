"""Metric points hold only what CloudWatch takes, and batches are requests that it takes."""

from __future__ import annotations

import datetime as dt
import json
import math
from decimal import Decimal

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.metrics import LARGEST_REQUEST, MetricPoint, metric_batches

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def point(**changes):
    return MetricPoint(**({"namespace": "ecrkit", "name": "Stored", "value": 1, "at": NOW} | changes))


def refused(**changes):
    with pytest.raises(InvalidInput) as error:
        point(**changes)
    return [p.path for p in error.value.problems]


class TestLimitsOfAPoint:
    """MetricDatum and Dimension, CloudWatch API reference."""

    @pytest.mark.parametrize("namespace", ["", " ", "AWS/ECR", "AWS/", ":mine", "ä", "a*b", "n" * 256])
    def test_namespaces_that_cloudwatch_refuses(self, namespace):
        assert set(refused(namespace=namespace)) == {"namespace"}

    @pytest.mark.parametrize("namespace", ["ecrkit", "Team/ECR cost", "AWSome", "a.b-c_d/e#f:g", "n" * 255])
    def test_namespaces_that_it_takes(self, namespace):
        assert point(namespace=namespace).namespace == namespace

    @pytest.mark.parametrize("name", ["", "\t", "é", "n" * 256, "a\nb"])
    def test_names(self, name):
        assert set(refused(name=name)) == {"name"}
        assert set(refused(dimensions={name: "x"})) == {f"dimensions[{name!r:.60}].name"}

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 2.0**360 * 1.1, -(2.0**361), 10**400])
    def test_values_out_of_range(self, value):
        assert refused(value=value) == ["value"]

    @pytest.mark.parametrize("value", [2.0**360, -(2.0**360), 0, Decimal("1.5"), 1e-300])
    def test_values_in_range(self, value):
        assert point(value=value).value == float(value)

    def test_at_most_thirty_dimensions(self):
        assert len(point(dimensions={f"d{n}": "x" for n in range(30)}).dimensions) == 30
        assert refused(dimensions={f"d{n}": "x" for n in range(31)}) == ["dimensions"]

    def test_lengths_of_dimensions(self):
        assert point(dimensions={"n" * 255: "v" * 1024})
        assert refused(dimensions={"d": "v" * 1025}) == ["dimensions['d']"]
        assert refused(dimensions={"d": ""}) == ["dimensions['d']"]
        assert refused(dimensions={":d": "x"}) == ["dimensions[':d'].name"]

    def test_a_dimension_stands_once(self):
        assert refused(dimensions=[("a", "1"), ("a", "2")]) == ["dimensions"]

    def test_units_resolution_and_time(self):
        assert refused(unit="GiB") == ["unit"]
        assert refused(resolution=30) == ["resolution"]
        assert refused(at=NOW.replace(tzinfo=None)) == ["at"]

    def test_all_problems_are_told_at_once(self):
        assert refused(namespace="AWS/ECR", value=math.nan, unit="x") == ["namespace", "value", "unit"]

    def test_the_order_of_dimensions_makes_no_other_metric(self):
        one, other = point(dimensions={"b": "2", "a": "1"}), point(dimensions=[("a", "1"), ("b", "2")])
        assert one == other
        assert hash(one) == hash(other)
        assert one.metric == ("ecrkit", "Stored", (("a", "1"), ("b", "2")))
        assert json.loads(one.to_json())["dimensions"] == [["a", "1"], ["b", "2"]]


class TestBatches:
    """PutMetricData: 1000 metrics and 1 MB a request; times from two weeks back to two hours ahead."""

    def test_one_namespace_a_request_and_order_kept(self):
        points = [point(namespace=f"n{n % 2}", name=f"m{n}") for n in range(10)]
        found = list(metric_batches(points, now=NOW))
        assert [[p.name for p in batch] for batch in found] == [[f"m{n}" for n in range(k, 10, 2)] for k in (0, 1)]

    def test_a_thousand_points(self):
        assert [len(b) for b in metric_batches([point()] * 1001, now=NOW)] == [1000, 1]
        assert list(metric_batches([], now=NOW)) == []

    def test_a_megabyte(self):
        large = point(dimensions={f"d{n:02}" + "x" * 200: "%" * 1024 for n in range(30)})
        found = list(metric_batches([large] * 100, now=NOW))
        assert sum(map(len, found)) == 100
        # A percent sign is three bytes in the query protocol.
        assert max(len(b) for b in found) == LARGEST_REQUEST // (30 * (3 * 1024 + 203 + 120))

    @pytest.mark.parametrize(
        ("at", "taken"),
        [
            (NOW - dt.timedelta(days=14), True),
            (NOW - dt.timedelta(days=14, seconds=1), False),
            (NOW + dt.timedelta(hours=2), True),
            (NOW + dt.timedelta(hours=2, seconds=1), False),
        ],
    )
    def test_times(self, at, taken):
        points = [point(), point(at=at)]
        if taken:
            assert len(next(metric_batches(points, now=NOW))) == 2
        else:
            with pytest.raises(InvalidInput, match=r"points\[1\].at"):
                next(metric_batches(points, now=NOW))
