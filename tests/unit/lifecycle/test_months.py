"""Proposals put on the embedded ECR, while a CI system goes on pushing for months."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit import Registry
from ecrkit.deployments import InUse, Use, Workload
from ecrkit.lifecycle import Goal, propose
from ecrkit.local import images as local_images

DAY = dt.timedelta(days=1)
LAYER = local_images.layer({"a": "b"})


def push_a_day(registry, day):
    """A release each third day, a build of a pull request each day, an untagged one each fifth."""
    tags = [f"pr-{day}"]
    if day % 3 == 0:
        tags.append(f"v1.{day // 3}.0")
    if day % 5 == 0:
        tags.append(None)
    for tag in tags:
        local_images.image([LAYER], labels={"of": f"{day} {tag}"}).push(registry.client, "app", tag=tag)
    registry.engine.advance(DAY)


def give(registry, digest, tag):
    manifest = registry.gateway.manifest("app", digest)
    registry.client.put_image(
        repositoryName="app", imageManifest=manifest.text, imageManifestMediaType=manifest.media_type, imageTag=tag
    )


@pytest.mark.parametrize("depth", [0, 2])
def test_what_a_proposal_keeps_is_there_after_half_a_year(depth):
    goal = Goal(keep_releases=4, temporary_days=10, untagged_days=5, rollback_depth=depth, never_delete=("lts-*",))
    with Registry.local() as registry:
        registry.gateway.create_repository("app")
        for tag in ("lts-1", "lts-2"):
            local_images.image([LAYER], labels={"of": tag}).push(registry.client, "app", tag=tag)
        for day in range(60):
            push_a_day(registry, day)
        inventory = registry.inventory("app")
        workload = Workload(platform="kubernetes", cluster="prod", namespace="pay", kind="Deployment", name="api")
        running = inventory.by_tag("v1.3.0")
        uses = InUse(
            [Use(reference=f"123456789012.dkr.ecr.us-east-1.amazonaws.com/app@{running.digest}", workload=workload)]
        )
        found = propose(inventory, goal, now=registry.clock.now(), in_use=uses)
        for digest, tag in found.protective_tags.items():
            give(registry, digest, tag)
        registry.gateway.put_lifecycle_policy("app", found.policy.to_json())
        always = {running.digest} | {i.digest for i in inventory if any(t.startswith("lts-") for t in i.tags)}
        assert always <= set(found.must_stay)
        for day in range(60, 240):
            push_a_day(registry, day)
            now = registry.clock.now()
            there = registry.images("app").all()
            assert always <= {i.digest for i in there}
            releases = {t for i in there for t in i.tags if t.startswith("v1.")}
            newest = [f"v1.{n}.0" for n in range(day // 3, day // 3 - goal.keep_releases, -1)]
            assert releases.issuperset(newest)
            ages = {t: now - i.pushed_at for i in there for t in i.tags if t.startswith("pr-")}
            assert {f"pr-{n}" for n in range(day - goal.temporary_days + 2, day + 1)} <= ages.keys()
            # A policy works within a day, so what may go is away two days later, once it has worked for the first time.
            if day >= 63:
                assert max(ages.values()) <= DAY * (goal.temporary_days + 2)
                assert all(now - i.pushed_at <= DAY * (goal.untagged_days + 2) for i in there if not i.tags)
        assert len(releases) < 30
