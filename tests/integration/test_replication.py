"""Waiting for images, backfills and failover checks through `Registry` on the embedded ECR, with faults injected."""

from __future__ import annotations

import datetime as dt
import json

import attrs
import pytest

from ecrkit import Registry
from ecrkit.errors import (
    Conflict,
    InvalidInput,
    NotFound,
    NotSupportedByBotocore,
    PlanRefused,
    Throttled,
    WaitExpired,
    WaitFailed,
)
from ecrkit.events import parse_event
from ecrkit.local import ImagePushed, ImageReplicated, ServiceFault, client
from ecrkit.local.images import artifact
from ecrkit.replication import Destination, ReplicationConfiguration, ReplicationRule, RepushPlan, lag_from_events
from tests.support.lab import INDEX
from tests.support.replication import AWAY, FAR, HOME, OTHER, OWN, World, app, rule, two_platforms

THERE, THERE_TOO, THEIRS = Destination(AWAY, OWN), Destination(FAR, OWN), Destination(AWAY, OTHER)


def opened(world: World, **more) -> Registry:
    return Registry.local(world.engine, attempts=1, **more)


def calls_of(world: World, operation: str) -> list:
    return [call for call in world.engine.calls if call.operation == operation]


def outcomes(result) -> dict[str, str]:
    return {str(d.destination): d.outcome for d in result.destinations}


def refuse(operation: str, code: str, *, region: str | None = None, times: int | None = None):
    left = [times]

    def hook(call):
        if call.operation != operation or region not in (None, call.region) or left[0] == 0:
            return
        if left[0] is not None:
            left[0] -= 1
        raise ServiceFault(code, "refused by the test")

    return hook


class Throttled6:
    """A gateway whose one method is throttled six times; the real one would pace itself in real time."""

    def __init__(self, gateway, method: str) -> None:
        self.gateway, self.method, self.left = gateway, method, 6

    def __getattr__(self, name):
        found = getattr(self.gateway, name)
        if name != self.method or self.left == 0:
            return found
        self.left -= 1
        raise_it = Throttled("Rate exceeded", operation=name, code="ThrottlingException")

        def throttled(*args, **more):
            raise raise_it

        return throttled


class TestWait:
    def test_every_destination_with_its_own_time(self):
        world = World(rule(AWAY, FAR))
        world.engine.replication.delay(dt.timedelta(minutes=10), region=FAR)
        digest = world.push(two_platforms())
        seen = []
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", on_progress=seen.append)
        assert result.ok
        assert result.require() is result
        assert (result.digest, result.tag) == (digest, "v1")
        near, far = result.destinations
        assert (near.lag, far.lag) == (dt.timedelta(seconds=30), dt.timedelta(minutes=10))
        assert dt.timedelta(seconds=30) <= near.waited <= dt.timedelta(seconds=38)
        assert dt.timedelta(minutes=10) <= far.waited <= dt.timedelta(minutes=10, seconds=40)
        assert [p.done for p in seen] == sorted(p.done for p in seen)
        assert (seen[-1].done, seen[-1].total) == (2, 2)
        assert {s.destination for s in seen[0].states} == {THERE, THERE_TOO}

    def test_one_question_of_the_source_serves_every_destination(self):
        regions = (AWAY, FAR, "eu-west-2", "eu-west-3", "sa-east-1")
        world = World(rule(*regions))
        world.push(app())
        with opened(world) as registry:
            assert registry.replication.wait("app:v1").ok
        looks = [call for call in calls_of(world, "DescribeImages") if call.region != HOME]
        assert sorted(call.region for call in looks) == sorted(regions)
        assert len(calls_of(world, "DescribeImageReplicationStatus")) < 20

    def test_an_old_image_under_the_tag_is_not_taken_for_the_new_one(self):
        """The loop over describe-images by tag passes here."""
        world = World(rule(AWAY))
        world.push(app("old"))
        world.pass_time(60)
        digest = world.push(app("new"))
        with opened(world) as registry:
            result = registry.replication.wait("app:v1")
        assert result.ok
        assert world.tags(AWAY)[digest] == ["v1"]

    def test_a_tag_swallowed_by_immutability(self):
        world = World(rule(AWAY))
        world.create("app", AWAY, imageTagMutability="IMMUTABLE")
        app("old").push(client(world.engine, region=AWAY), "app", "v1")
        world.push(app("new"))
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", timeout=3600)
            by_digest = registry.replication.wait(f"app@{app('new').digest}")
        found = result.destinations[0]
        assert (found.outcome, found.missing) == ("tag_swallowed", (f"tag v1 (names {app('old').digest})",))
        assert found.waited < dt.timedelta(minutes=1)
        assert (found.lag, found.pushed_at is not None) == (None, True)
        assert by_digest.ok
        with pytest.raises(WaitFailed, match="immutable"):
            result.require()

    def test_what_was_there_before_the_source_had_it_has_no_lag(self):
        world = World(rule(AWAY))
        world.create("app", AWAY)
        app().push(client(world.engine, region=AWAY), "app", "v1")
        world.pass_time(60)
        world.push(app())
        with opened(world) as registry:
            found = registry.replication.wait("app:v1").destinations[0]
        assert (found.outcome, found.lag) == ("replicated", None)

    def test_settings_that_may_not_be_read_leave_the_tag_open(self):
        world = World(rule(AWAY))
        world.create("app", AWAY, imageTagMutability="IMMUTABLE")
        app("old").push(client(world.engine, region=AWAY), "app", "v1")
        world.push(app("new"))
        world.engine.before_call.append(refuse("DescribeRepositories", "AccessDeniedException", region=AWAY))
        with opened(world) as registry:
            found = registry.replication.wait("app:v1", timeout=120).destinations[0]
        assert (found.outcome, found.missing) == ("timed_out", (f"tag v1 (names {app('old').digest})",))

    def test_partial_success_is_a_value(self):
        world = World(rule(AWAY, FAR), rule(AWAY, account=OTHER))
        world.engine.replication.fail("KmsError", region=FAR)
        world.push(app())
        with opened(world) as registry:
            result = registry.replication.wait("app:v1")
        assert outcomes(result) == {str(THERE): "replicated", str(THERE_TOO): "failed", str(THEIRS): "failed"}
        assert result.replicated == (THERE,)
        codes = {d.failure_code: d.likely_cause for d in result.by_outcome("failed")}
        assert "key" in codes["KmsError"]
        assert "registry policy" in codes["AccessDenied"]
        assert "KmsError" in result.explain()
        assert "failed (KmsError)" in result.to_table()

    def test_pushed_before_the_rule_ends_at_once(self):
        world = World()
        world.push(app())
        world.configure(rule(AWAY))
        world.pass_time(86400)
        began = world.engine.clock.now()
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", timeout=3600)
        assert outcomes(result) == {str(THERE): "not_covered"}
        assert "backfill" in result.destinations[0].likely_cause
        assert world.engine.clock.now() - began < dt.timedelta(seconds=25)

    def test_no_rule_for_a_named_destination_ends_without_waiting(self):
        world = World(rule(AWAY, filters=("prod/",)))
        world.push(app())
        began = world.engine.clock.now()
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", [AWAY])
            nothing = registry.replication.wait("app:v1")
        assert outcomes(result) == {str(THERE): "not_covered"}
        assert world.engine.clock.now() == began
        assert (nothing.destinations, nothing.ok) == ((), False)
        assert "no rule" in nothing.explain()
        with pytest.raises(WaitFailed):
            nothing.require()

    def test_time_out_names_what_is_missing(self):
        world = World(rule(AWAY))
        world.engine.replication.delay(None)
        world.push(app())
        began = world.engine.clock.now()
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", timeout=600)
        found = result.destinations[0]
        assert found.outcome == "timed_out"
        assert found.missing[0] == "the source says IN_PROGRESS"
        assert world.engine.clock.now() - began == dt.timedelta(seconds=600)
        with pytest.raises(WaitExpired):
            result.require()

    def test_a_child_that_comes_late_is_waited_for(self):
        world = World(rule(AWAY))
        built = two_platforms()
        late = built.children[0].digest
        world.engine.replication.delay(dt.timedelta(minutes=5), digest=late)
        world.push(built)
        with opened(world) as registry:
            result = registry.replication.wait("app:v1")
        assert result.ok
        assert result.destinations[0].waited >= dt.timedelta(minutes=5)

    def test_a_child_that_fails_is_named(self):
        world = World(rule(AWAY))
        built = two_platforms()
        child = built.children[0].digest
        world.engine.replication.fail("LayerBroken", digest=child)
        world.push(built)
        with opened(world) as registry:
            found = registry.replication.wait("app:v1").destinations[0]
        assert (found.outcome, found.failure_code) == ("failed", "LayerBroken")
        assert child in found.reason
        assert found.missing == (f"child {child}",)

    def test_referrers_when_asked_for(self):
        world = World(rule(AWAY))
        built = app()
        world.push(built)
        sbom = artifact(built, "application/vnd.example.sbom")
        world.push(sbom, None)
        signature = artifact(sbom, "application/vnd.example.signature")
        world.push(signature, None)
        world.engine.replication.delay(dt.timedelta(minutes=5), digest=signature.digest)
        world.push(built, "v2")
        world.engine.replication.clear()
        fresh = artifact(built, "application/vnd.example.vex")
        world.engine.replication.delay(dt.timedelta(minutes=5), digest=fresh.digest)
        world.push(fresh, None)
        with opened(world) as registry:
            assert registry.replication.wait("app:v2").destinations[0].waited < dt.timedelta(minutes=1)
            result = registry.replication.wait("app:v2", referrers=True)
        assert result.ok
        assert set(world.tags(AWAY)) == set(world.tags(HOME))

    def test_what_refers_to_a_referrer(self):
        world = World(rule(AWAY))
        built = app()
        world.push(built)
        sbom = artifact(built, "application/vnd.example.sbom")
        world.push(sbom, None)
        signature = artifact(sbom, "application/vnd.example.signature")
        world.engine.replication.delay(dt.timedelta(minutes=5), digest=signature.digest)
        world.push(signature, None)
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", referrers=True)
        assert result.ok
        assert result.destinations[0].waited >= dt.timedelta(minutes=5)

    def test_children_of_an_index_in_an_index(self):
        world = World(rule(AWAY))
        inner = two_platforms()
        late = inner.children[1].digest
        world.engine.replication.delay(dt.timedelta(minutes=5), digest=late)
        world.push(inner, None)
        text = json.dumps({
            "schemaVersion": 2, "mediaType": INDEX,
            "manifests": [{"mediaType": INDEX, "digest": inner.digest, "size": len(inner.manifest)}],
        })  # fmt: skip
        world("PutImage", repositoryName="app", imageManifest=text, imageTag="outer")
        with opened(world) as registry:
            result = registry.replication.wait("app:outer")
        assert result.ok
        assert result.destinations[0].waited >= dt.timedelta(minutes=5)

    def test_an_archived_copy_is_not_there(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        world.pass_time(60)
        asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}, "targetStorageClass": "ARCHIVE"}
        world("UpdateImageStorageClass", AWAY, **asked)
        with opened(world) as registry:
            found = registry.replication.wait("app:v1", timeout=60).destinations[0]
        assert (found.outcome, found.missing) == ("timed_out", (f"image {digest}",))

    def test_patience_ends_with_the_time(self):
        world = World()
        world.push(app())
        world.configure(rule(AWAY))
        with opened(world) as registry:
            assert outcomes(registry.replication.wait("app:v1", timeout=4)) == {str(THERE): "not_covered"}

    @pytest.mark.parametrize("operation", ["DescribeImageReplicationStatus", "DescribeRegistry"])
    @pytest.mark.parametrize("code", ["AccessDeniedException", "UnsupportedOperationException"])
    def test_without_status_or_rules_by_digest_alone(self, operation, code):
        world = World(rule(AWAY))
        world.push(app())
        world.engine.before_call.append(refuse(operation, code))
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", [AWAY])
        found = result.destinations[0]
        assert found.ok
        assert found.by_digest_alone == (operation == "DescribeImageReplicationStatus")
        assert ("by digest alone" in found.reason) == found.by_digest_alone

    def test_denied_at_the_destination_does_not_hang(self):
        world = World(rule(AWAY, FAR))
        world.engine.before_call.append(refuse("DescribeImages", "AccessDeniedException", region=AWAY))
        world.push(app())
        with opened(world) as registry:
            result = registry.replication.wait("app:v1", timeout=3600)
        assert outcomes(result) == {str(THERE): "denied", str(THERE_TOO): "replicated"}
        assert "ecr:DescribeImages" in result.destinations[0].likely_cause
        assert result.destinations[0].waited < dt.timedelta(minutes=1)

    def test_throttles_and_outages_are_waited_out(self):
        world = World(rule(AWAY))
        world.push(app())
        world.engine.before_call.append(refuse("DescribeImages", "ServerException", region=AWAY, times=3))
        with opened(world) as registry:
            flaky = Throttled6(registry.gateway, "replication_statuses")
            service = attrs.evolve(registry.replication, source=flaky)
            result = service.wait("app:v1", [AWAY])
        assert result.ok
        assert flaky.left == 0

    def test_another_account_by_other_means(self):
        world = World(rule(AWAY, account=OTHER))
        world.allow(AWAY)
        world.push(app())
        with opened(world) as registry, Registry.local(world.engine, account=OTHER, region=AWAY) as theirs:
            service = registry.replication.with_registries(
                lambda account, region: theirs.in_region(region).gateway if account == OTHER else None
            )
            assert outcomes(service.wait("app:v1")) == {str(THEIRS): "replicated"}
            assert outcomes(service.wait("app:v1", [AWAY])) == {str(THERE): "not_covered"}

    def test_nobody_reads_the_destination(self):
        world = World(rule(AWAY))
        world.push(app())
        with opened(world) as registry:
            blind = registry.replication.with_registries(lambda account, region: None)
            found = blind.wait("app:v1").destinations[0]
        assert found.outcome == "denied"
        assert "nobody gave" in found.reason

    def test_a_reference_with_its_host(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        host = f"{OWN}.dkr.ecr.{{}}.amazonaws.com/app"
        with opened(world) as registry:
            assert registry.replication.wait(f"{host.format(HOME)}:v1@{digest}").ok
            with pytest.raises(InvalidInput, match="this is the registry"):
                registry.replication.wait(f"{host.format(AWAY)}:v1")

    def test_what_is_wrong_is_raised(self):
        world = World(rule(AWAY))
        with opened(world) as registry:
            with pytest.raises(NotFound):
                registry.replication.wait("app:v1")
            with pytest.raises(InvalidInput, match="timeout"):
                registry.replication.wait("app:v1", timeout=-1)
            world.push(app())
            with pytest.raises(InvalidInput):
                registry.replication.wait("app:v1", ["nowhere"])
            with pytest.raises(InvalidInput, match="empty"):
                registry.replication.wait("app:v1", [])
            assert registry.replication.wait("app:v1", AWAY).ok

    def test_no_time_at_all_is_one_round(self):
        world = World(rule(AWAY))
        world.push(app())
        with opened(world) as registry:
            assert outcomes(registry.replication.wait("app:v1", timeout=0)) == {str(THERE): "timed_out"}
            world.pass_time(30)
            assert registry.replication.wait("app:v1", timeout=0).ok


class TestConfiguration:
    def test_plan_apply_and_read_back(self):
        world = World()
        world.create("prod/app")
        wanted = ReplicationConfiguration.to(AWAY, account=OWN, prefixes=["prod/"])
        with opened(world) as registry:
            plan = registry.replication.plan(wanted)
            assert plan.added == (("prod/app", THERE),)
            assert registry.replication.apply(plan)
            assert registry.replication.configuration() == wanted
            assert registry.replication.apply(registry.replication.plan(wanted)) is False
            with registry.in_region(AWAY) as other, pytest.raises(PlanRefused):
                other.replication.apply(plan)

    def test_deletions_survive_the_round_trip(self):
        world = World(rule(AWAY, deletes=True))
        with opened(world) as registry:
            now = registry.replication.configuration()
            more = ReplicationRule(destinations=[THERE_TOO])
            plan = registry.replication.plan(attrs.evolve(now, rules=[*now.rules, more]))
            assert plan.deleting == ()
            assert registry.replication.apply(plan)
        assert world("DescribeRegistry")["replicationConfiguration"]["rules"][0]["deleteReplication"] == {
            "enabled": True
        }

    def test_coverage_reads_the_destinations(self):
        world = World(rule(AWAY), rule(AWAY, account=OTHER, filters=("app",)))
        world.create("app", AWAY, imageTagMutability="IMMUTABLE")
        world.create("new")
        world("PutReplicationConfiguration", AWAY, replicationConfiguration={"rules": [rule(FAR)]})
        world("CreateRepositoryCreationTemplate", AWAY, prefix="ROOT", appliedFor=["REPLICATION"])
        with opened(world) as registry:
            found = registry.replication.coverage()
        by_code = {f.code: str(f.destination) for f in found.findings}
        assert by_code == {
            "swallows-tags": str(THERE), "settings-differ": str(THERE), "no-chain": str(THERE),
            "no-permission": str(THEIRS), "default-settings": str(THEIRS),
        }  # fmt: skip
        assert found.routes["new"] == (THERE,)

    def test_both_sides_of_a_pair_through_access(self):
        world = World(rule(AWAY, account=OTHER, filters=("app",)))
        with opened(world) as registry, Registry.local(world.engine, account=OTHER, region=AWAY) as theirs:
            (pair,) = registry.replication.pairs()
            assert (pair.destination, pair.prefixes) == (THEIRS, ("app",))
            assert (
                pair.destination_registry["Statement"][0]["Resource"] == f"arn:aws:ecr:{AWAY}:{OTHER}:repository/app*"
            )
            place = ReplicationRule(destinations=[THEIRS])
            wider = ReplicationConfiguration(rules=[*registry.replication.configuration().rules, place])
            assert registry.replication.pairs(wider)[0].prefixes == ()
            actions = {a for s in pair.source_identity["Statement"] for a in _listed(s["Action"])}
            assert {"ecr:PutReplicationConfiguration", "ecr:DescribeImageReplicationStatus"} <= actions
            theirs.access.apply(theirs.access.plan_registry(pair.destination_registry))
            assert registry.replication.coverage().about("no-permission") == ()
            world.push(app())
            assert registry.replication.wait("app:v1").ok


def _listed(value) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


class TestBackfill:
    def test_start_wait_results_and_again(self):
        world = World()
        for number in range(3):
            world.push(app(str(number)), f"v{number}")
        world.configure(rule(AWAY))
        world.engine.replication.fail("KmsError", digest=app("1").digest, times=1)
        told = []
        with opened(world) as registry:
            outcome = registry.replication.backfills.run(AWAY, on_progress=told.append)
            assert registry.replication.wait("app:v1").ok
            listed = registry.replication.backfills.list()
        assert outcome.ok
        assert outcome.require() is outcome
        assert [r.failed for r in outcome.rounds] == [1, 0]
        assert (told[-1].done, told[-1].total) == (3, 3)
        assert [b.status for b in listed] == ["COMPLETE", "COMPLETE"]
        assert world.tags(AWAY) == world.tags(HOME)

    def test_what_fails_for_good_becomes_a_plan_to_copy(self):
        world = World()
        world.push(app())
        world.configure(rule(AWAY))
        world.engine.replication.fail("KmsError")
        with opened(world) as registry:
            backfills = registry.replication.backfills
            outcome = backfills.run(AWAY, attempts=2)
            plan = backfills.copy_plan(AWAY, failures=outcome.failures)
        assert len(outcome.rounds) == 2
        assert [f.failure_code for f in outcome.failures] == ["KmsError"]
        assert [(i.digest, i.tags) for i in plan.items] == [(app().digest, ("v1",))]
        with pytest.raises(WaitFailed, match="KmsError"):
            outcome.require()

    def test_time_out_and_stop(self):
        world = World()
        world.push(app())
        world.configure(rule(AWAY))
        with opened(world) as registry:
            backfills = registry.replication.backfills
            started = backfills.start(AWAY)
            with pytest.raises(Conflict):
                backfills.start(AWAY)
            outcome = backfills.wait(started, timeout=10)
            assert not outcome.last.ended
            with pytest.raises(WaitExpired):
                outcome.require()
            assert backfills.stop(started).status == "STOPPED"
            assert backfills.wait(started).last.status == "STOPPED"

    def test_one_that_somebody_stops_is_not_begun_again(self):
        world = World()
        for number in range(3):
            world.push(app(str(number)), f"v{number}")
        world.configure(rule(AWAY))
        world.engine.replication.fail("KmsError")
        with opened(world) as registry:
            backfills = registry.replication.backfills

            def stop(progress):
                if progress.total == 3 and progress.done == 0 and backfills.list()[0].status == "IN_PROGRESS":
                    backfills.stop(backfills.list()[0])

            outcome = backfills.run(AWAY, attempts=3, on_progress=stop)
        assert [r.status for r in outcome.rounds] == ["STOPPED"]
        assert not outcome.ok

    def test_one_that_fails_as_a_whole_has_ended(self):
        world = World()
        for number in range(101):
            world.push(app(), f"v{number}")
        world.configure(rule(AWAY))
        world.engine.replication.fail("KmsError")
        with opened(world) as registry:
            backfills = registry.replication.backfills
            outcome = backfills.wait(backfills.start(AWAY))
        assert (outcome.last.status, outcome.last.ended, len(outcome.failures)) == ("FAILED", True, 100)
        assert world.engine.clock.now() - outcome.last.started_at < dt.timedelta(minutes=10)

    def test_throttles_are_waited_out(self):
        world = World()
        world.push(app())
        world.configure(rule(AWAY))
        with opened(world) as registry:
            flaky = Throttled6(registry.gateway, "backfill")
            assert attrs.evolve(registry.replication, source=flaky).backfills.run(AWAY).ok
        assert flaky.left == 0

    def test_without_the_operation_a_plan_says_what_to_copy(self, monkeypatch):
        world = World()
        world.push(two_platforms(), "multi")
        world.configure(rule(AWAY))
        world.pass_time(3600)
        with opened(world) as registry:
            model = registry.client.meta.service_model
            names = [name for name in model.operation_names if "Backfill" not in name]
            monkeypatch.setitem(model.__dict__, "operation_names", names)
            backfills = registry.replication.backfills
            assert not backfills.supported
            with pytest.raises(NotSupportedByBotocore):
                backfills.start(AWAY)
            plan = backfills.copy_plan(AWAY)
        assert len(plan.items) == 3
        assert [i.tags for i in plan.items if i.digest == two_platforms().digest] == [("multi",)]
        assert isinstance(plan, RepushPlan)


class TestAudit:
    def test_drift_of_two_regions(self):
        world = World(rule(AWAY))
        world.push(app("1"), "v1")
        world.pass_time(60)
        world.engine.replication.fail("Odd")
        world.push(app("2"), "v2")
        world.pass_time(3600)
        with opened(world) as registry:
            found = registry.replication.drift(AWAY)
            assert [(d.kind, d.tag) for d in found.drifts] == [("missing", "v2")]
            assert registry.replication.drift(AWAY, ["app"]).drifts == found.drifts

    def test_lag_from_what_the_registry_sent(self):
        world = World(rule(AWAY, FAR))
        world.engine.replication.delay(dt.timedelta(seconds=90), region=FAR)
        for number in range(4):
            world.push(app(str(number)), f"v{number}")
            world.pass_time(7)
        world.pass_time(200)
        sent = [
            parse_event(e.to_eventbridge()) for e in world.engine.events if isinstance(e, ImagePushed | ImageReplicated)
        ]
        found = lag_from_events(sent, source=Destination(HOME, OWN))
        assert (found.to(THERE).count, found.to(THERE).median) == (4, 30.0)
        assert (found.to(THERE_TOO).p95, found.to(THERE_TOO).no_arrival) == (90.0, 0)

    def test_failover_check_asks_both_regions(self):
        world = World(rule(AWAY))
        built = two_platforms()
        world.push(built, "multi")
        world.push(app("1"), "v1")
        world.pass_time(60)
        world.engine.replication.fail("Odd")
        world.push(app("2"), "v1")
        world.pass_time(60)
        host = f"{OWN}.dkr.ecr.{HOME}.amazonaws.com/app"
        references = [
            f"{host}:multi",
            f"{host}:multi@{app('1').digest}",
            f"{host}@{app('1').digest}",
            f"{host}:v1",
            f"{host}:gone",
            "quay.io/x/y:1",
        ]
        with opened(world) as registry:
            found = registry.replication.failover_check(references, AWAY)
        assert [e.state for e in found.entries] == ["ready", "ready", "ready", "missing", "unknown", "elsewhere"]
        assert found.entries[0].target == f"{OWN}.dkr.ecr.{AWAY}.amazonaws.com/app:multi"
        assert app("1").digest in found.entries[3].reason
        assert not found.ok

    def test_failover_with_a_destination_that_cannot_be_read(self):
        world = World(rule(AWAY))
        world.push(app())
        world.pass_time(60)
        world.engine.before_call.append(refuse("DescribeImages", "AccessDeniedException", region=AWAY))
        with opened(world) as registry:
            found = registry.replication.failover_check(["app:v1"], AWAY)
        assert [e.state for e in found.entries] == ["unknown"]
