"""Do not delete what is running: a run marks images in use, and a plan that would remove one is refused."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit import Registry
from ecrkit.deployments import Gap, InUse, Use, Workload
from ecrkit.errors import InvalidInput, PlanOutdated, PlanRefused
from ecrkit.images import Inventory
from ecrkit.lifecycle import build, expire_older_than, expire_untagged, keep_last, simulate
from ecrkit.local import images as local_images
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(n):
    return "sha256:" + f"{n:064x}"


def image(n, *tags, days=0.0, **more):
    return Image(digest=digest(n), tags=tags, pushed_at=NOW - dt.timedelta(days=days), **more)


def use(reference, name="api", **more):
    workload = Workload(platform="kubernetes", cluster="prod", namespace="pay", kind="Deployment", name=name)
    return Use(reference=f"{HOST}/{reference}", workload=workload, **more)


def run(policy, images, uses, *, gaps=(), children=None):
    inventory = Inventory(images, repository="team/app", children=children or {})
    return simulate(policy, inventory, now=NOW, in_use=InUse(uses, gaps=gaps))


RELEASES = [image(n, f"v{n}", days=n) for n in range(4)]


class TestOutcomes:
    def test_it_says_what_runs_an_image_whether_it_goes_or_stays(self):
        found = run(build(keep_last(2)), RELEASES, [use("team/app:v3"), use("team/app:v3", "web"), use("team/app:v0")])
        assert found.endangered == (digest(3),)
        assert found.outcome(digest(3)).used_by == (
            "kubernetes prod/pay Deployment api", "kubernetes prod/pay Deployment web",
        )  # fmt: skip
        assert found.outcome(digest(3)).explain().endswith("In use by kubernetes prod/pay Deployment api and 1 more.")
        assert found.outcome(digest(0)).explain().endswith("In use by kubernetes prod/pay Deployment api.")
        assert found.outcome(digest(1)).used_by == ()

    def test_nobody_said_what_runs(self):
        found = simulate(build(keep_last(2)), Inventory(RELEASES), now=NOW)
        assert (found.used, found.endangered) == ({}, ())

    def test_what_a_running_index_references_is_in_use(self):
        images = [image(1, "v1", days=9, manifest_media_type=INDEX), image(2, days=9), image(3, days=9)]
        policy = build(expire_older_than(3))
        found = run(policy, images, [use("team/app:v1")], children={digest(1): [digest(2)]})
        assert set(found.endangered) == {digest(1), digest(2)}
        assert found.expired  # all three

    def test_an_index_within_an_index(self):
        images = [image(1, "v1", manifest_media_type=INDEX), image(2, manifest_media_type=INDEX), image(3)]
        ring = {digest(1): [digest(2)], digest(2): [digest(3), digest(1)]}
        found = run(build(keep_last(9)), images, [use("team/app:v1")], children=ring)
        assert found.used.keys() == {digest(1), digest(2), digest(3)}

    def test_the_inventory_must_say_whose_it_is(self):
        with pytest.raises(InvalidInput, match="names no repository"):
            simulate(build(keep_last(2)), Inventory(RELEASES), now=NOW, in_use=InUse([]))


class TestPlans:
    def test_one_that_would_remove_a_running_image_is_refused_with_the_workloads(self):
        with pytest.raises(PlanRefused) as caught:
            run(build(keep_last(2)), RELEASES, [use("team/app:v3")]).plan()
        [conflict] = caught.value.conflicts
        assert "v3@" in conflict
        assert "kubernetes prod/pay Deployment api" in conflict

    def test_an_image_is_named_once_when_it_is_protected_too(self):
        with pytest.raises(PlanRefused) as caught:
            run(build(keep_last(2)), RELEASES, [use("team/app:v3")]).plan(protect=["v3"])
        assert len(caught.value.conflicts) == 1

    def test_images_in_use_that_stay_are_guarded_when_it_is_applied(self):
        plan = run(build(keep_last(2)), RELEASES, [use("team/app:v0"), use("other/app:v9")]).plan()
        assert plan.protected == (digest(0),)

    @pytest.mark.parametrize(
        ("uses", "gaps", "told"),
        [
            ([use("team/app:v77")], [], "in use, but not in the repository"),
            ([use("team/app:v0")], [Gap(where="pod x", why="denied")], "not wholly known: pod x: denied"),
        ],
    )
    def test_what_is_not_known_is_a_no(self, uses, gaps, told):
        found = run(build(keep_last(2)), RELEASES, uses, gaps=gaps)
        with pytest.raises(PlanRefused, match=told):
            found.plan()
        assert found.plan(accept_uncertain=True).actions
        nothing = run(build(keep_last(9)), RELEASES, uses, gaps=gaps)
        assert nothing.plan().actions == {}

    def test_accepting_doubt_does_not_accept_a_removal(self):
        with pytest.raises(PlanRefused):
            run(build(keep_last(2)), RELEASES, [use("team/app:v3")]).plan(accept_uncertain=True)


def test_on_a_live_registry():
    """Planned with what runs; the image that came into use since is found by apply through its tag's digest."""
    with Registry.local() as registry:
        registry.gateway.create_repository("team/app")
        made = []
        for n in range(3):
            layer = local_images.layer({"n": str(n)})
            made.append(local_images.image([layer]))
            made[-1].push(registry.client, "team/app", tag=f"v{n}")
            registry.engine.advance(dt.timedelta(hours=1))
        running = InUse([use("team/app:v0")])
        with pytest.raises(PlanRefused, match="Deployment api"):
            registry.lifecycle.plan("team/app", build(keep_last(2)), in_use=running)
        plan = registry.lifecycle.plan("team/app", build(expire_untagged(after_days=1)), in_use=running)
        assert plan.protected == (registry.inventory("team/app").by_tag("v0").digest,)
        registry.engine.advance(dt.timedelta(days=2))
        # v0 loses its tag: by now the policy would remove the image that ran when the plan was made.
        made[2].push(registry.client, "team/app", tag="v0")
        with pytest.raises(PlanOutdated):
            registry.lifecycle.apply(plan)
