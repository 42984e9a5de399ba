"""Replication: the configuration, and the status of an image. `ecrkit.local.replication_runs` does the copying."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from ecrkit.local.faults import refuse
from ecrkit.local.operations.images import existing_image
from ecrkit.local.replication_runs import react, statuses_of
from ecrkit.refs import partition_of_region

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS", "REACTIONS"]

_WHAT: Final = "replicationConfiguration"


def put_replication_configuration(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Replaces the rules: at most 25 destinations, other registries of the partition. Holds for what comes later."""
    configuration = params["replicationConfiguration"]
    places = {(d["registryId"], d["region"]) for rule in configuration["rules"] for d in rule["destinations"]}
    if len(places) > engine.limits.replication_destinations:
        most = engine.limits.replication_destinations
        refuse("ValidationException", f"{_WHAT} has {len(places)} unique destinations; at most {most} are allowed")
    if (registry.account, registry.region) in places:
        refuse("ValidationException", f"{_WHAT} must not name the source registry itself as a destination")
    abroad = sorted(region for _, region in places if partition_of_region(region) != registry.partition)
    if abroad:
        refuse("ValidationException", f"{_WHAT} must not name another partition's Region: {', '.join(abroad)}")
    if any(not rule["destinations"] for rule in configuration["rules"]):
        refuse("ValidationException", f"{_WHAT} has a rule without destinations")
    registry.replication = copy.deepcopy(configuration)
    return {"replicationConfiguration": copy.deepcopy(registry.replication)}


def describe_image_replication_status(
    engine: Engine,  # noqa: ARG001 every handler has the same signature
    registry: RegistryState,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Shows how far an image is to each destination; empty when nothing began: no rule, or pushed before it."""
    repo = registry.repository(params["repositoryName"])
    image = existing_image(registry, repo, params["imageId"])
    shown: list[dict[str, Any]] = []
    for (account, region), state in sorted(statuses_of(image).items()):
        item = {"region": region, "registryId": account, "status": state.status}
        if state.failure_code is not None:
            item["failureCode"] = state.failure_code
        shown.append(item)
    identity = {"imageDigest": image.digest, **{k: v for k, v in params["imageId"].items() if k == "imageTag"}}
    return {"repositoryName": repo.name, "imageId": identity, "replicationStatuses": shown}


OPERATIONS = {
    "DescribeImageReplicationStatus": describe_image_replication_status,
    "PutReplicationConfiguration": put_replication_configuration,
}
REACTIONS = (react,)
