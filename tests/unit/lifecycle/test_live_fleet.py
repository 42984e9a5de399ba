"""The fleet on a live registry: read at once, gaps instead of silence, plans and refusals, restores."""

from __future__ import annotations

import datetime as dt
import json

import attrs
import pytest

from ecrkit import Registry
from ecrkit.deployments import InUse, Use, Workload
from ecrkit.errors import InvalidInput, NotFound, PlanOutdated
from ecrkit.lifecycle import (
    Assignment,
    LifecycleService,
    begin,
    build,
    expire_older_than,
    keep_last,
    restore_plan,
)
from ecrkit.local import ServiceFault
from ecrkit.local import images as local_images

KEEP_TWO = build(keep_last(2))


@pytest.fixture
def registry():
    with Registry.local() as made:
        layer = local_images.layer({"a": "b"})
        for name, count, team in (("team/a", 4, "x"), ("team/b", 2, "x"), ("web/c", 5, "y")):
            made.gateway.create_repository(name, tags={"Team": team})
            for n in range(count):
                local_images.image([layer], labels={"n": f"{name}{n}"}).push(made.client, name, tag=f"v{n}")
                made.engine.advance(dt.timedelta(hours=1))
        yield made


def refusing(registry, operation, repository):
    def hook(call):
        about = {call.params.get("repositoryName"), str(call.params.get("resourceArn", "")).partition("repository/")[2]}
        if call.operation == operation and repository in about:
            raise ServiceFault("AccessDeniedException", "no", 400)

    registry.engine.before_call.append(hook)


class TestReading:
    def test_all_repositories_with_images_policies_and_tags(self, registry):
        registry.gateway.put_lifecycle_policy("team/b", KEEP_TWO.to_json())
        items = {item.repository: item for item in registry.lifecycle.fleet_items(resource_tags=True)}
        assert {name: len(item.inventory) for name, item in items.items()} == {"team/a": 4, "team/b": 2, "web/c": 5}
        assert items["team/a"].tags == {"Team": "x"}
        assert [name for name, item in items.items() if item.live_policy] == ["team/b"]

    @pytest.mark.parametrize(
        ("names", "wanted"), [("team/*", {"team/a", "team/b"}), (["web/c"], {"web/c"}), ([], set())]
    )
    def test_some_of_them(self, registry, names, wanted):
        assert {item.repository for item in registry.lifecycle.fleet_items(names)} == wanted

    def test_a_name_without_a_repository_is_told(self, registry):
        with pytest.raises(NotFound, match="team/nowhere"):
            list(registry.lifecycle.fleet_items(["web/c", "team/nowhere"]))

    def test_a_service_without_a_source_of_repositories(self, registry):
        bare = LifecycleService(registry.gateway, registry.gateway, registry.gateway, registry.clock)
        with pytest.raises(InvalidInput, match="without a source of repositories"):
            list(bare.fleet_items())
        with pytest.raises(InvalidInput, match="without a store"):
            bare.restore(restore_plan(registry.inventory("web/c"), [], now=registry.clock.now()))

    def test_one_after_the_other_without_a_fan_out(self, registry):
        alone = attrs.evolve(registry.lifecycle, fan_out=None)
        assert [item.repository for item in alone.fleet_items()] == ["team/a", "team/b", "web/c"]

    def test_the_calls_of_a_walk(self, registry):
        registry.engine.calls.clear()
        list(registry.lifecycle.fleet_items(resource_tags=True))
        made = [call.operation for call in registry.engine.calls]
        assert {name: made.count(name) for name in set(made)} == {
            "DescribeRepositories": 1, "DescribeImages": 3, "GetLifecyclePolicy": 3, "ListTagsForResource": 3,
        }  # fmt: skip


class TestRuns:
    def test_totals_by_team(self, registry):
        found = registry.lifecycle.fleet_run(KEEP_TWO, group="Team")
        assert found.expired == 5
        assert {g.group: g.expired for g in found.groups()} == {"x": 2, "y": 3}
        assert found.without_policy and len(found.without_policy) == 3

    def test_bytes_are_exact_on_request(self, registry):
        assert registry.lifecycle.fleet_run(KEEP_TWO).freed.exact is None
        assert registry.lifecycle.fleet_run(KEEP_TWO, exact_bytes=True).freed.exact is not None

    def test_a_policy_by_resource_tag(self, registry):
        wanted = Assignment(tags=[({"Team": "y"}, KEEP_TWO)])
        found = registry.lifecycle.fleet_run(wanted)
        assert {r.repository: r.expired for r in found.rows} == {"team/a": 0, "team/b": 0, "web/c": 3}

    @pytest.mark.parametrize(
        ("operation", "gap", "live"),
        [
            ("DescribeImages", "its images could not be read", "none"),
            ("GetLifecyclePolicy", "", "unknown"),
            ("ListTagsForResource", "its resource tags could not be read", "none"),
        ],
    )
    def test_what_may_not_be_read_is_a_gap(self, registry, operation, gap, live):
        refusing(registry, operation, "team/a")
        found = registry.lifecycle.fleet_run(Assignment(default=KEEP_TWO, tags=[({"Team": "z"}, None)]))
        row = next(r for r in found.rows if r.repository == "team/a")
        assert row.gap.partition(": ")[0] == gap
        assert not gap or f"allow ecr:{operation}" in row.gap
        assert row.live == live
        assert sum(bool(r.gap) for r in found.rows) == bool(gap)

    def test_the_live_policies_by_default(self, registry):
        registry.gateway.put_lifecycle_policy("team/a", KEEP_TWO.to_json())
        found = registry.lifecycle.fleet_run()
        assert {r.repository: r.expired for r in found.rows} == {"team/a": 2, "team/b": 0, "web/c": 0}


class TestPlans:
    def test_for_those_that_lack_the_policy_and_the_reason_where_there_is_none(self, registry):
        registry.gateway.put_lifecycle_policy("team/b", KEEP_TWO.to_json())
        api = Workload(platform="kubernetes", kind="Deployment", name="api")
        uses = InUse([Use(reference="123456789012.dkr.ecr.us-east-1.amazonaws.com/web/c:v0", workload=api)])
        found = registry.lifecycle.fleet_plans(KEEP_TWO, in_use=uses)
        assert [plan.repository for plan in found.plans] == ["team/a"]
        assert list(found.refused) == ["web/c"]
        assert "Deployment api" in found.refused["web/c"]
        assert not found.complete
        roll_out = registry.lifecycle.advance(begin(found.plans))
        assert roll_out.status == "waiting"
        assert registry.lifecycle.policy("team/a") == KEEP_TWO

    def test_progress_and_a_source_without_tags(self, registry):
        seen = []
        bare = attrs.evolve(registry.lifecycle, resource_tags=None)
        wanted = Assignment(default=KEEP_TWO, tags=[({"Team": "x"}, None)])
        assert [p.repository for p in registry.lifecycle.fleet_plans(wanted, on_progress=seen.append).plans] == [
            "web/c"
        ]
        blind = bare.fleet_plans(wanted)  # which policy is wanted is not known, so none is planned
        assert (blind.plans, list(blind.refused)) == ((), ["team/a", "team/b", "web/c"])
        assert "without a source" in blind.refused["team/a"]
        assert [p.repository for p in bare.fleet_plans(KEEP_TWO).plans] == ["team/a", "team/b", "web/c"]
        assert {row.gap.partition(":")[0] for row in bare.fleet_run(wanted).rows} == {
            "its resource tags could not be read"
        }
        assert [(p.done, p.what) for p in seen] == [(n, "repositories planned") for n in (1, 2, 3)]

    def test_tags_are_read_only_where_they_decide(self, registry):
        refusing(registry, "ListTagsForResource", "team/a")
        assert "team/a" in [p.repository for p in registry.lifecycle.fleet_plans(KEEP_TWO).plans]
        assert "team/a" in registry.lifecycle.fleet_plans(Assignment(tags=[({"Team": "x"}, KEEP_TWO)])).refused

    def test_what_does_the_same_is_not_planned_again(self, registry):
        rules = KEEP_TWO.to_dict()["rules"]
        registry.gateway.put_lifecycle_policy("team/a", json.dumps({"rules": [{**rules[0], "rulePriority": 7}]}))
        assert "team/a" not in [p.repository for p in registry.lifecycle.fleet_plans(KEEP_TWO).plans]

    def test_none_is_wanted(self, registry):
        found = registry.lifecycle.fleet_plans(Assignment())
        assert (found.plans, found.refused) == ((), {})

    def test_a_live_policy_that_is_none_is_replaced(self, registry):
        registry.engine.registry().repositories["team/a"].lifecycle_text = "{}"
        assert "team/a" in [p.repository for p in registry.lifecycle.fleet_plans(KEEP_TWO).plans]


class TestRestores:
    def archived(self, registry, *tags):
        digests = [registry.inventory("web/c").by_tag(tag).digest for tag in tags]
        for digest in digests:
            registry.gateway.update_storage_class("web/c", digest, "archive")
        registry.engine.advance(dt.timedelta(hours=1))
        return digests

    def test_what_is_in_use_comes_back(self, registry):
        [v0, _] = self.archived(registry, "v0", "v1")
        api = Workload(platform="kubernetes", kind="Deployment", name="api")
        uses = InUse([Use(reference="123456789012.dkr.ecr.us-east-1.amazonaws.com/web/c:v0", workload=api)])
        plan = restore_plan(registry.inventory("web/c"), uses, now=registry.clock.now())
        assert plan.digests == (v0,)
        assert "Deployment api" in plan.why[v0]
        done = registry.lifecycle.restore(plan)
        assert done.complete
        assert done.statuses.keys() == {v0}
        registry.engine.advance(dt.timedelta(hours=1))
        assert registry.inventory("web/c").by_tag("v0").status == "ACTIVE"
        assert registry.inventory("web/c").by_tag("v1").status == "ARCHIVED"
        with pytest.raises(PlanOutdated, match="is ACTIVE by now"):
            registry.lifecycle.restore(plan)

    def test_one_that_is_refused_does_not_stop_the_others(self, registry):
        [v0, v1] = self.archived(registry, "v0", "v1")
        plan = restore_plan(registry.inventory("web/c"), ["v0", "v1"], now=registry.clock.now())

        def hook(call):
            if call.operation == "UpdateImageStorageClass" and call.params["imageId"]["imageDigest"] == v0:
                raise ServiceFault("AccessDeniedException", "no", 400)

        registry.engine.before_call.append(hook)
        seen = []
        done = registry.lifecycle.restore(plan, on_progress=seen.append)
        assert [(p.done, p.total) for p in seen] == [(1, 2), (2, 2)]
        assert (list(done.failed), list(done.statuses), done.complete) == ([v0], [v1], False)


def test_months_of_a_fleet_go_as_foreseen(registry):
    """What the fleet run foresees is what the engine does within a day, repository by repository."""
    policy = build(keep_last(3, prefixes="v"), expire_older_than(400))
    foreseen = registry.lifecycle.fleet_run(policy)
    before = {name: len(registry.images(name).all()) for name in ("team/a", "team/b", "web/c")}
    for name in before:
        registry.gateway.put_lifecycle_policy(name, policy.to_json())
    registry.engine.advance(dt.timedelta(hours=25))
    went = {name: count - len(registry.images(name).all()) for name, count in before.items()}
    assert went == {row.repository: row.expired for row in foreseen.rows}
