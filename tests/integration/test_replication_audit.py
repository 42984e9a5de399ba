"""Audits over snapshots: what they tell, and what they must not take for granted."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit import Registry
from ecrkit.local import ServiceFault
from ecrkit.replication import Destination, audit, failover_audit
from tests.support.replication import AWAY, FAR, HOME, OWN, World, app, rule, two_platforms

THERE = Destination(AWAY, OWN)


@pytest.fixture
def world() -> World:
    made = World(rule(AWAY))
    made.push(two_platforms(), "multi")
    made.pass_time(60)
    made.engine.replication.fail("Odd", digest=app("lost").digest)
    made.push(app("lost"), "v1")
    made.pass_time(3600)
    return made


def snapshots(world: World, *patterns: str, there: tuple[str, ...] = ()):
    with Registry.local(world.engine, attempts=1) as registry:
        return registry.snapshot(*patterns), registry.in_region(AWAY).snapshot(*there)


class TestAudit:
    def test_gaps_lag_and_report(self, world):
        here, there = snapshots(world)
        report = audit(here, [there])
        found = report.to(THERE)
        assert [(d.kind, d.tag) for d in found.drifts] == [("missing", "v1")]
        assert (report.lag.to(THERE).count, report.lag.to(THERE).median) == (3, 30.0)
        assert not report.ok
        text = report.to_markdown()
        assert f"| {THERE} | 1 | 4 | 1 | 0 | 0 | 30 s |" in text
        assert "- missing: app:v1" in text
        assert "missing: app:v1" in report.explain()

    def test_a_destination_without_snapshot_is_not_fine(self, world):
        world.configure(rule(AWAY, FAR))
        here, there = snapshots(world)
        report = audit(here, [there])
        assert report.unread == (Destination(FAR, OWN),)
        assert not report.ok
        assert "not read" in report.to_markdown()
        nothing = audit(here, [])
        assert (nothing.drifts, nothing.ok) == ((), False)

    def test_a_snapshot_that_was_not_asked_for_a_repository_says_nothing_of_it(self, world):
        here, there = snapshots(world, there=("other/*",))
        assert [d.kind for d in audit(here, [there]).drifts[0].drifts] == ["unread"]
        here, there = snapshots(world, "other/*")
        assert audit(here, [there]).drifts[0].drifts == ()

    def test_a_repository_that_could_not_be_read_is_a_gap(self, world):
        def refuse(call):
            if call.operation == "DescribeImages" and call.region == AWAY:
                raise ServiceFault("AccessDeniedException", "no")

        world.engine.before_call.append(refuse)
        here, there = snapshots(world)
        assert [d.kind for d in audit(here, [there]).drifts[0].drifts] == ["unread"]

    def test_what_came_between_the_two_is_no_difference(self, world):
        with Registry.local(world.engine) as registry:
            here = registry.snapshot()
            world.push(app("later"), "later")
            world.pass_time(3600)
            there = registry.in_region(AWAY).snapshot()
            assert [d.kind for d in audit(here, [there]).drifts[0].drifts] == ["missing"]
            after = registry.snapshot()
            assert [(d.kind, d.tag) for d in audit(after, [there]).drifts[0].drifts] == [("missing", "v1")]

    def test_the_older_of_the_two_says_what_can_be_there(self, world):
        with Registry.local(world.engine) as registry:
            there = registry.in_region(AWAY).snapshot()
            world.push(app("later"), "later")
            world.pass_time(7200)
            report = audit(registry.snapshot(), [there])
        kinds = {d.tag: d.kind for d in report.drifts[0].drifts}
        assert kinds == {"v1": "missing", "later": "under_way"}

    def test_equal_regions_are_fine_and_an_unread_one_is_not(self):
        world = World(rule(AWAY))
        world.push(app())
        world.pass_time(60)
        here, there = snapshots(world)
        assert audit(here, [there]).ok
        world.configure(rule(AWAY, FAR))
        here, there = snapshots(world)
        assert not audit(here, [there]).ok

    def test_a_loaded_snapshot_does_as_well(self, world, tmp_path):
        from ecrkit.snapshot import load

        here, there = snapshots(world)
        here.save(tmp_path / "here")
        there.save(tmp_path / "there")
        report = audit(load(tmp_path / "here"), [load(tmp_path / "there")], grace=dt.timedelta(days=1))
        assert [d.kind for d in report.drifts[0].drifts] == ["under_way"]


class TestFailover:
    def test_of_snapshots(self, world):
        here, there = snapshots(world)
        host = f"{OWN}.dkr.ecr.{HOME}.amazonaws.com/app"
        found = failover_audit([f"{host}:multi", f"{host}:v1", f"{host}2:v1"], here, there)
        assert [e.state for e in found.entries] == ["ready", "missing", "unknown"]

    def test_what_the_failover_was_not_asked_for_is_unknown(self, world):
        here, there = snapshots(world, there=("other/*",))
        assert [e.state for e in failover_audit(["app:multi"], here, there).entries] == ["unknown"]
