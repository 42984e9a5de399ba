from __future__ import annotations

import datetime as dt
import random

import pytest

from ecrkit.cost.growth import growth
from ecrkit.cost.storage import RepositoryStorage, StorageReport
from ecrkit.cost.trend import trend
from ecrkit.errors import InvalidInput
from ecrkit.images import ByteRange
from ecrkit.metrics import MetricPoint
from tests.unit.cost.conftest import NOW, entry, inventory, made

WEEK = dt.timedelta(days=7)
START = dt.datetime(2026, 1, 5, tzinfo=dt.UTC)


def report(**counts: int | ByteRange | None) -> StorageReport:
    rows = tuple(
        RepositoryStorage(repository=n, bytes=ByteRange(0, None), gap="denied") if c is None
        else RepositoryStorage(repository=n, bytes=c if isinstance(c, ByteRange) else ByteRange.exactly(c))
        for n, c in counts.items()
    )  # fmt: skip
    return StorageReport(repositories=rows, bytes=ByteRange.exactly(0), apart=ByteRange.exactly(0))


def weekly(*counts: int, step: dt.timedelta = WEEK):
    return trend((START + n * step, report(app=count)) for n, count in enumerate(counts))


class TestPoints:
    def test_repositories_teams_and_the_whole(self) -> None:
        found = trend([(START, report(a=1, b=2, c=4)), (START + WEEK, report(a=2, b=2))], team={"a": "pay", "b": "pay"})
        assert [p.bytes.exact for p in found.of()] == [7, 4]
        assert [p.bytes.exact for p in found.of("pay")] == [3, 4]
        assert [p.bytes.exact for p in found.of("c")] == [4, 0]
        assert found.growth_per_week("pay").exact == 1
        assert found.growth_per_week().exact == -3

    def test_what_could_not_be_read_is_no_point(self) -> None:
        found = trend([(START, report(a=1, b=2)), (START + WEEK, report(a=None, b=3))], team=lambda name: "t" + name)
        assert len(found.of("a")) == len(found.of()) == len(found.of("ta")) == 1
        assert len(found.of("b")) == len(found.of("tb")) == 2
        table = {line.split()[0]: line for line in found.explain().splitlines()}
        assert "1 B on 2026-01-05, not known since" in table["a"]
        assert "not known" not in table["b"]

    def test_order_does_not_matter_and_times_come_once(self) -> None:
        series = [(START + n * WEEK, report(app=n)) for n in range(4)]
        assert trend(reversed(series)) == trend(series)
        with pytest.raises(InvalidInput, match="comes twice"):
            trend([series[0], series[0]])
        with pytest.raises(InvalidInput, match="call the team otherwise"):
            trend(series, team={"app": "app"})

    def test_points_are_found_by_name_without_looking_at_all(self) -> None:
        looked = 0

        class Points(tuple):
            __slots__ = ()

            def __iter__(self):
                nonlocal looked
                looked += 1
                return super().__iter__()

        names = [f"r{n}" for n in range(50)]
        found = trend([(START + n * WEEK, report(**dict.fromkeys(names, n))) for n in range(4)])
        object.__setattr__(found, "points", Points(found.points))
        found.explain()
        found.jumps()
        assert looked == 2  # for the newest time, and once to sort by name

    def test_ranges_of_growth(self) -> None:
        found = trend([(START, report(a=ByteRange(10, 20))), (START + 2 * WEEK, report(a=ByteRange(30, 60)))])
        assert (found.growth_per_week("a").low, found.growth_per_week("a").high) == (5, 25)


class TestForecast:
    """A random walk with drift (Hyndman and Athanasopoulos, Forecasting: Principles and Practice, 5.2)."""

    def test_steady_growth_is_certain(self) -> None:
        found = weekly(*range(100, 1100, 100)).forecast(weeks=5)
        assert (found.low, found.expected, found.high) == (1500, 1500, 1500)
        assert found.backtest.covered == 1
        assert found.backtest.error == 0
        assert found.at == START + 14 * WEEK

    def test_uncertainty_grows_with_time_and_level(self) -> None:
        held = weekly(100, 190, 320, 390, 520, 590)
        near, far, sure = held.forecast(weeks=1), held.forecast(weeks=8), held.forecast(weeks=8, level=0.95)
        assert near.high - near.low < far.high - far.low < sure.high - sure.low
        assert far.low < far.expected < far.high

    def test_the_interval_by_hand(self) -> None:
        # Changes 10, 30, 20: drift 20, variance (100 + 100 + 0) / 2; one week ahead, n = 3; t of 90 % with 2 is 1.8856.
        found = weekly(1000, 1010, 1040, 1060).forecast(weeks=1, level=0.8)
        half = (100 * 1 * (1 + 1 / 3)) ** 0.5 * 1.88562
        assert found.expected == 1080
        assert (found.low, found.high) == (int(1080 - half), int(1080 + half) + 1)

    def test_intervals_hold_the_truth_as_often_as_they_say(self) -> None:
        rng, hits, tried = random.Random(7), 0, 0
        for _ in range(200):
            values = [10_000.0]
            for _ in range(24):
                values.append(values[-1] + rng.gauss(100, 80))
            found = weekly(*map(round, values[:21])).forecast(weeks=4, level=0.8)
            tried += 1
            hits += found.low <= values[24] <= found.high
        assert 0.76 <= hits / tried <= 0.86

    def test_the_backtest_says_what_history_did(self) -> None:
        smooth = weekly(*range(100, 2100, 100)).forecast(weeks=2).backtest
        assert smooth.tested == 16
        broken = weekly(*range(100, 1100, 100), *[5000] * 6).forecast(weeks=2).backtest
        assert broken.covered is not None
        assert broken.covered < 1
        assert weekly(1, 2, 3, 4).forecast().backtest.covered is None

    def test_too_little_or_unbounded_history_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="needs 4 points"):
            weekly(1, 2, 3).forecast()
        series = [(START + n * WEEK, report(a=ByteRange(1, None))) for n in range(5)]
        with pytest.raises(InvalidInput, match="nothing bounds"):
            trend(series).forecast("a")
        for wrong in ({"level": 1}, {"weeks": 0}):
            with pytest.raises(InvalidInput):
                weekly(1, 2, 3, 4).forecast(**wrong)

    def test_uneven_times(self) -> None:
        even = trend((START + n * WEEK, report(app=100 * n)) for n in (0, 1, 2, 4, 8)).forecast("app", weeks=2)
        assert (even.low, even.expected, even.high) == (1000, 1000, 1000)


class TestJumps:
    """Week-over-week growth over a threshold; Cost Explorer's anomaly monitors cannot say this."""

    def test_the_edge_is_no_jump(self) -> None:
        assert weekly(100, 120).jumps() == ()
        (hit,) = weekly(100, 121).jumps()
        assert (hit.before, hit.after, hit.ratio) == (100, 121, 0.21)
        assert weekly(100, 121).jumps(0.5) == ()

    def test_from_nothing(self) -> None:
        (hit,) = weekly(0, 5).jumps()
        assert hit.ratio is None
        assert "from nothing" in hit.explain()

    def test_daily_points_tell_a_jump_once(self) -> None:
        counts = [100] * 9 + [200] * 12
        found = weekly(*counts, step=dt.timedelta(days=1)).jumps()
        assert [(j.before, j.after) for j in found] == [(100, 200)]

    def test_ranges_jump_only_for_sure(self) -> None:
        series = [(START, report(a=ByteRange(100, 200))), (START + WEEK, report(a=ByteRange(150, 300)))]
        assert trend(series).jumps() == ()

    def test_what_nothing_bounded_may_have_been_as_much(self) -> None:
        series = [(START, report(a=ByteRange(100, None))), (START + WEEK, report(a=500))]
        assert trend(series).jumps() == ()

    def test_the_images_that_caused_it(self) -> None:
        base, big = ("base", 1000), ("model", 5000)
        a, b, c = made("a", base), made("b", base, big), made("c", base, big, ("own", 30))
        before = inventory("app", [a], [entry(a, "v1", pushed=20)])
        details = [entry(a, "v1", pushed=20), entry(b, "v2", pushed=3), entry(c, "v3", pushed=2)]
        after = inventory("app", [a, b, c], details)
        (hit,) = trend([(NOW - WEEK, {"app": before}), (NOW, {"app": after})]).jumps()
        assert [(i.name, i.bytes) for i in hit.images] == [("v2", 5010), ("v3", 40)]
        assert hit.after - hit.before == sum(i.bytes for i in hit.images)
        assert "v2" in hit.explain()
        (one,) = trend([(NOW - WEEK, {"app": before}), (NOW, {"app": after})]).jumps(images=1)
        assert len(one.images) == 1
        assert hit.repository == "app"

    def test_unread_manifests_are_told(self) -> None:
        a = made("a", ("base", 1000))
        (hit,) = growth(None, inventory("app", [], [entry(a, "v1", imageSizeInBytes=1010)]))
        assert (hit.bytes, hit.bytes_known) == (1010, False)


class TestMetrics:
    def test_the_newest_points(self) -> None:
        series = [(START, report(a=1, b=2)), (START + WEEK, report(a=3, b=ByteRange(4, 9)))]
        found = trend(series, team={"a": "pay", "b": "pay"}).metric_points(namespace="Registry/Storage")
        assert {(p.name, p.dimensions): p.value for p in found} == {
            ("StoredBytes", ()): 7, ("StoredBytesUnknown", ()): 5,
            ("StoredBytes", (("Team", "pay"),)): 7, ("StoredBytesUnknown", (("Team", "pay"),)): 5,
            ("StoredBytes", (("RepositoryName", "a"),)): 3,
            ("StoredBytes", (("RepositoryName", "b"),)): 4, ("StoredBytesUnknown", (("RepositoryName", "b"),)): 5,
        }  # fmt: skip
        assert all(isinstance(p, MetricPoint) and p.at == START + WEEK and p.unit == "Bytes" for p in found)


def test_tables() -> None:
    held = weekly(100, 200, 300)
    assert held.to_columns()["scope"] == ["repository", "total"] * 3
    assert len(held.to_pandas()) == 6
    assert "<table>" in held._repr_html_()
    assert "app" in held.explain()
