"""What each call of `Registry` asks of AWS, seen by making it once on an embedded ECR and reading the engine's log."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import cast

import attrs

from ecrkit import Registry
from ecrkit.admission import admission_configuration
from ecrkit.aws.iam import action_for
from ecrkit.cost import TagPlan
from ecrkit.images import Inventory
from ecrkit.lifecycle import LifecyclePolicy, RestorePlan, begin, build, keep_last, restore_plan
from ecrkit.local import images as local_images
from ecrkit.promotion import CopyPlan, Promotion, PromotionRecord
from ecrkit.pull_through import PullThroughRule
from ecrkit.records import RawManifest
from ecrkit.replication import ReplicationConfiguration, ReplicationService
from ecrkit.scanning.configuration import ScanningConfiguration

REPOSITORY = "team/app"
QUAY = PullThroughRule(prefix="quay", upstream_url="quay.io")
TAGGED = f"{REPOSITORY}:v1"
PROD = "prod/app:v1"
PRINCIPAL = "arn:aws:iam::123456789012:role/node"
FAILURE = (
    "failed to resolve reference: unexpected status from HEAD request to https://HOST/v2/team/app/manifests/v1: 403"
)
POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
        }
    ],
}
REGISTRY_POLICY = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Sid": "replication",
            "Effect": "Allow",
            "Principal": {"AWS": "arn:aws:iam::222222222222:root"},
            "Action": ["ecr:ReplicateImage"],
            "Resource": "arn:aws:ecr:us-east-1:123456789012:repository/team/*",
        }
    ],
}


def _registry() -> Registry:
    """Return an embedded registry with an index of two platforms under a tag, and a live lifecycle policy."""
    registry = Registry.local()
    registry.gateway.create_repository(REPOSITORY)
    layer = local_images.layer({"app": "content"})
    platforms = [local_images.image([layer], platform=f"linux/{name}") for name in ("amd64", "arm64")]
    local_images.index(platforms).push(registry.client, REPOSITORY, tag="v1")
    registry.gateway.put_lifecycle_policy(REPOSITORY, build(keep_last(5, prefixes=["v"])).to_json())
    registry.engine.advance(dt.timedelta(hours=2))
    return registry


def _caching(registry: Registry) -> None:
    registry.gateway.create_pull_through_rule(QUAY)
    registry.gateway.create_repository("quay/team/app")


def _archived(registry: Registry) -> RestorePlan:
    """Return the plan to bring back an image that was archived an hour ago."""
    digest = registry.gateway.digest_of(REPOSITORY, "v1")
    assert digest is not None
    registry.gateway.update_storage_class(REPOSITORY, digest, "archive")
    registry.engine.advance(dt.timedelta(hours=1))
    return restore_plan(registry.inventory(REPOSITORY), [digest], now=registry.clock.now())


def _promotion() -> Promotion:
    return Promotion(source=TAGGED, target=PROD, who="ci", why="release")


def _to_prod(registry: Registry) -> None:
    registry.gateway.create_repository("prod/app")


def _copy_plan(registry: Registry) -> CopyPlan:
    _to_prod(registry)
    return registry.promotion.plan(TAGGED, PROD)


def _promoted(registry: Registry) -> PromotionRecord:
    _to_prod(registry)
    local_images.image([local_images.layer({"app": "older"})]).push(registry.client, "prod/app", tag="v1")
    return registry.promotion.promote(Promotion(source=TAGGED, target=PROD, who="ci", why="release", move=True))


def _nothing(_: Registry) -> None:
    return None


def _replicating(registry: Registry) -> None:
    """Let the registry replicate, and push the image again under another tag."""
    registry.gateway.put_replication_configuration(_rules().to_api())
    manifest = registry.gateway.manifest_of(REPOSITORY, "v1")
    assert isinstance(manifest, RawManifest)
    registry.gateway.put_image(REPOSITORY, manifest.text, tag="v2", media_type=manifest.media_type)


def _keep() -> LifecyclePolicy:
    return build(keep_last(3, prefixes=["v"]))


def _admitted(registry: Registry, _: object) -> object:
    gate = {"limits": {"CRITICAL": 0}}
    wanted = admission_configuration(
        {
            "deadline_seconds": 30,
            "profiles": [{"name": "all", "conditions": ["signed", "not-archived"], "gate": gate}],
        }
    )
    with registry.admission(wanted) as service:
        return service.decide(_image())


# Preparation runs before the log is read, so that `apply` shows what it asks and not what its plan asked.
_CALLS: dict[str, tuple[Callable[[Registry], object], Callable[[Registry, object], object]]] = {
    "registry.repositories()": (_nothing, lambda r, _: r.repositories().all()),
    "registry.repository(name)": (_nothing, lambda r, _: r.repository(REPOSITORY)),
    "registry.images(repository)": (_nothing, lambda r, _: r.images(REPOSITORY).all()),
    "registry.inventory(repository)": (_nothing, lambda r, _: r.inventory(REPOSITORY)),
    'registry.inventory(repository, manifests="none")': (
        _nothing,
        lambda r, _: r.inventory(REPOSITORY, manifests="none"),
    ),
    "registry.image_config(ref, platform=platform)": (
        _nothing,
        lambda r, _: r.image_config(TAGGED, platform="linux/amd64"),
    ),
    "registry.image_configs(inventory)": (
        lambda r: r.inventory(REPOSITORY, manifests="all"),
        lambda r, inventory: r.image_configs(cast("Inventory", inventory)),
    ),
    "registry.cost.inventories()": (_nothing, lambda r, _: r.cost.inventories()),
    "registry.cost.tags()": (_nothing, lambda r, _: r.cost.tags()),
    "registry.cost.storage()": (_nothing, lambda r, _: r.cost.storage()),
    "registry.cost.waste()": (_nothing, lambda r, _: r.cost.waste()),
    "registry.cost.attribute(key)": (_nothing, lambda r, _: r.cost.attribute("Team")),
    "registry.cost.hygiene()": (_nothing, lambda r, _: r.cost.hygiene()),
    "registry.cost.plan_tags(wanted)": (_nothing, lambda r, _: r.cost.plan_tags({REPOSITORY: {"Team": "pay"}})),
    "registry.cost.apply_tags(plan)": (
        lambda r: r.cost.plan_tags({REPOSITORY: {"Team": "pay"}}),
        lambda r, plan: r.cost.apply_tags(cast("TagPlan", plan)),
    ),
    "registry.snapshot()": (_nothing, lambda r, _: r.snapshot()),
    "registry.snapshot(manifests=False, settings=False)": (
        _nothing,
        lambda r, _: r.snapshot(manifests=False, settings=False),
    ),
    "registry.lifecycle.policy(repository)": (_nothing, lambda r, _: r.lifecycle.policy(REPOSITORY)),
    "registry.lifecycle.dry_run(repository, policy)": (_nothing, lambda r, _: r.lifecycle.dry_run(REPOSITORY, _keep())),
    "registry.lifecycle.preview(repository, policy)": (_nothing, lambda r, _: r.lifecycle.preview(REPOSITORY, _keep())),
    "registry.lifecycle.plan(repository, policy)": (_nothing, lambda r, _: r.lifecycle.plan(REPOSITORY, _keep())),
    "registry.lifecycle.apply(plan)": (
        lambda r: r.lifecycle.plan(REPOSITORY, _keep()),
        lambda r, plan: r.lifecycle.apply(plan),
    ),
    "registry.lifecycle.fleet_items(resource_tags=True)": (
        _nothing,
        lambda r, _: list(r.lifecycle.fleet_items(resource_tags=True)),
    ),
    "registry.lifecycle.fleet_run(policy)": (_nothing, lambda r, _: r.lifecycle.fleet_run(_keep())),
    "registry.lifecycle.fleet_plans(policy)": (_nothing, lambda r, _: r.lifecycle.fleet_plans(_keep())),
    "registry.lifecycle.advance(roll_out)": (
        lambda r: begin([r.lifecycle.plan(REPOSITORY, _keep())]),
        lambda r, roll_out: r.lifecycle.advance(r.lifecycle.advance(roll_out)),
    ),
    "registry.lifecycle.restore(plan)": (_archived, lambda r, plan: r.lifecycle.restore(plan)),
    "registry.lifecycle.inventory(repository)": (_nothing, lambda r, _: r.lifecycle.inventory(REPOSITORY)),
    "registry.scanning.resolve(ref)": (_nothing, lambda r, _: r.scanning.resolve(TAGGED)),
    "registry.scanning.report(repository, digest)": (
        lambda r: next(image.digest for image in r.images(REPOSITORY) if not image.is_index),
        lambda r, digest: r.scanning.report(REPOSITORY, str(digest)),
    ),
    "registry.scanning.read(ref)": (_nothing, lambda r, _: r.scanning.read(TAGGED)),
    "registry.scanning.wait(ref)": (
        lambda r: r.scanning.wait(TAGGED, start=True),
        lambda r, _: r.scanning.wait(TAGGED),
    ),
    "registry.scanning.wait(ref, start=True)": (_nothing, lambda r, _: r.scanning.wait(TAGGED, start=True)),
    "registry.scanning.reports(refs)": (_nothing, lambda r, _: r.scanning.reports([TAGGED])),
    "registry.scanning.configuration()": (_nothing, lambda r, _: r.scanning.configuration()),
    "registry.scanning.plan_configuration(wanted, repositories)": (
        _nothing,
        lambda r, _: r.scanning.plan_configuration(_wanted(), [REPOSITORY]),
    ),
    "registry.scanning.apply_configuration(plan)": (
        lambda r: r.scanning.plan_configuration(_wanted(), [REPOSITORY]),
        lambda r, plan: r.scanning.apply_configuration(plan),
    ),
    "registry.access.plan_repository(repository, policy)": (
        _nothing,
        lambda r, _: r.access.plan_repository(REPOSITORY, POLICY),
    ),
    "registry.access.plan_registry(policy)": (_nothing, lambda r, _: r.access.plan_registry(REGISTRY_POLICY)),
    "registry.access.apply(plan)": (
        lambda r: r.access.plan_repository(REPOSITORY, POLICY),
        lambda r, plan: r.access.apply(plan),
    ),
    "registry.access.readable_from_outside()": (_nothing, lambda r, _: r.access.readable_from_outside()),
    "registry.access.explain_pull(principal, image)": (
        _nothing,
        lambda r, _: r.access.explain_pull(PRINCIPAL, _image()),
    ),
    "registry.access.explain_push(principal, image)": (
        _nothing,
        lambda r, _: r.access.explain_push(PRINCIPAL, _image()),
    ),
    "registry.access.diagnose(failure, image, probe=True)": (
        _nothing,
        lambda r, _: r.access.diagnose(FAILURE, image=_image(), probe=True),
    ),
    "registry.pull_through.cache()": (_caching, lambda r, _: r.pull_through.cache()),
    "registry.pull_through.plan(wanted)": (_nothing, lambda r, _: r.pull_through.plan([QUAY])),
    "registry.pull_through.apply(plan)": (
        lambda r: r.pull_through.plan([QUAY]),
        lambda r, plan: r.pull_through.apply(plan),
    ),
    "registry.pull_through.validate()": (_caching, lambda r, _: r.pull_through.validate()),
    "registry.pull_through.report()": (_caching, lambda r, _: r.pull_through.report()),
    "registry.promotion.retag(ref, tag)": (_nothing, lambda r, _: r.promotion.retag(TAGGED, "live")),
    "registry.promotion.plan(source, target)": (_to_prod, lambda r, _: r.promotion.plan(TAGGED, PROD)),
    "registry.promotion.plan_many(pairs)": (_to_prod, lambda r, _: r.promotion.plan_many([(TAGGED, PROD)])),
    "registry.promotion.apply(plan)": (_copy_plan, lambda r, plan: r.promotion.apply(plan)),
    "registry.promotion.copy(source, target)": (_to_prod, lambda r, _: r.promotion.copy(TAGGED, PROD)),
    "registry.promotion.copy_many(pairs)": (_to_prod, lambda r, _: r.promotion.copy_many([(TAGGED, PROD)])),
    "registry.promotion.plan_promotion(promotion)": (
        _to_prod,
        lambda r, _: r.promotion.plan_promotion(_promotion()),
    ),
    "registry.promotion.promote(promotion)": (_to_prod, lambda r, _: r.promotion.promote(_promotion())),
    "registry.promotion.history(ref)": (_nothing, lambda r, _: r.promotion.history(TAGGED)),
    "registry.promotion.plan_rollback(record)": (
        _promoted,
        lambda r, record: r.promotion.plan_rollback(record),
    ),
    "registry.promotion.roll_back(record)": (
        _promoted,
        lambda r, record: r.promotion.roll_back(record, who="ci", why="errors"),
    ),
    "registry.replication.configuration()": (_replicating, lambda r, _: r.replication.configuration()),
    "registry.replication.coverage()": (_replicating, lambda r, _: r.replication.coverage()),
    "registry.replication.plan(wanted)": (_nothing, lambda r, _: r.replication.plan(_rules())),
    "registry.replication.apply(plan)": (
        lambda r: r.replication.plan(_rules()),
        lambda r, plan: r.replication.apply(plan),
    ),
    "registry.replication.pairs()": (_replicating, lambda r, _: r.replication.pairs()),
    "registry.replication.wait(ref)": (_replicating, lambda r, _: _steady(r).wait(f"{REPOSITORY}:v2")),
    "registry.replication.drift(destination)": (_replicating, lambda r, _: r.replication.drift("eu-west-1")),
    "registry.replication.failover_check(references, destination)": (
        _replicating,
        lambda r, _: r.replication.failover_check([TAGGED], "eu-west-1"),
    ),
    "registry.replication.backfills.run(destination)": (
        _replicating,
        lambda r, _: _steady(r).backfills.run("eu-west-1"),
    ),
    "registry.admission(configuration).decide(image)": (_nothing, _admitted),
    "registry.auth.token()": (_nothing, lambda r, _: r.auth.token()),
    "registry.auth.docker_config()": (_nothing, lambda r, _: r.auth.docker_config()),
}


def _wanted() -> ScanningConfiguration:
    return ScanningConfiguration.basic(on_push=["*"])


def _rules() -> ReplicationConfiguration:
    return ReplicationConfiguration.to("eu-west-1", account="123456789012")


def _steady(registry: Registry) -> ReplicationService:
    """Return the service without jitter, so that the number of its questions is the same each time."""
    return attrs.evolve(registry.replication, draw=lambda: 0.5)


def _image() -> str:
    return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{TAGGED}"


def rows() -> list[dict[str, object]]:
    """Return, for each call, the IAM actions and the number of API calls it made."""
    found: list[dict[str, object]] = []
    for name, (prepare, make) in _CALLS.items():
        with _registry() as registry:
            prepared = prepare(registry)
            before = len(registry.engine.calls)
            make(registry, prepared)
            made = registry.engine.calls[before:]
        actions = tuple(sorted({action_for("ecr", call.operation) for call in made}))
        found.append({"call": f"`{name}`", "actions": actions, "API calls": len(made)})
    return found


if __name__ == "__main__":
    for row in rows():
        print(row)
