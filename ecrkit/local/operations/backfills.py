"""Replication backfills: start, stop, list, results. `ecrkit.local.backfill_runs` does the work.

Only reached when the installed botocore knows the operations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from ecrkit.local.backfill_runs import RUNNING, BackfillState, backfills_of, begin_backfill, stop_backfill
from ecrkit.local.faults import refuse
from ecrkit.local.operations._paging import last_key, token_of

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS"]


def _destination(backfill: BackfillState) -> dict[str, str]:
    return {"registryId": backfill.place[0], "region": backfill.place[1]}


def _brief(registry: RegistryState, backfill: BackfillState) -> dict[str, Any]:
    return {
        "replicationBackfillId": backfill.backfill_id,
        "registryId": registry.account,
        "destination": _destination(backfill),
        "status": backfill.status,
        "startedAt": backfill.started_at,
    }


def _summary(backfill: BackfillState) -> dict[str, Any]:
    failed = backfill.failed
    out: dict[str, Any] = {
        "destination": _destination(backfill),
        "status": backfill.status,
        "startedAt": backfill.started_at,
        "progress": {
            "totalReplicationCount": backfill.total,
            "completedReplicationCount": len(backfill.results) - len(failed),
            "failedReplicationCount": len(failed),
            "failureCodes": sorted({r["failureCode"] for r in failed}),
        },
    }
    if backfill.ended_at is not None:
        out["endedAt"] = backfill.ended_at
    if backfill.failure_code is not None:
        out["failureCode"] = backfill.failure_code
    return out


def _no_backfill(registry: RegistryState, backfill_id: str) -> NoReturn:
    refuse(
        "ReplicationBackfillNotFoundException",
        f"The replication backfill with id '{backfill_id}' does not exist in the registry with id '{registry.account}'",
    )


def _found(registry: RegistryState, backfill_id: str) -> BackfillState:
    found = backfills_of(registry).get(backfill_id.lower())
    if found is None:
        _no_backfill(registry, backfill_id)
    return found


def start_replication_backfill(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Starts a backfill to a destination of the configuration; one at a time for each destination Region."""
    place = (params["destination"]["registryId"], params["destination"]["region"])
    configured = {
        (d["registryId"], d["region"]) for rule in registry.replication["rules"] for d in rule["destinations"]
    }
    if place not in configured:
        refuse("ValidationException", f"{place[1]} of {place[0]} is no destination of the replication configuration")
    running = [b for b in backfills_of(registry).values() if not b.ended]
    if any(b.place[1] == place[1] for b in running):
        refuse("ReplicationBackfillInProgressException", f"a replication backfill to {place[1]} is in progress")
    if len(running) >= engine.limits.replication_backfills:
        most = engine.limits.replication_backfills
        refuse("LimitExceededException", f"at most {most} replication backfills run at a time")
    return _brief(registry, begin_backfill(engine, registry, place, engine.clock.now()))


def stop_replication_backfill(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Stops a backfill that prepares or is in progress; what has arrived stays."""
    backfill = _found(registry, params["replicationBackfillId"])
    if backfill.status not in RUNNING[:2]:
        refuse("ReplicationBackfillInvalidStatusException", f"the replication backfill is {backfill.status}")
    stop_backfill(engine, registry, backfill, engine.clock.now())
    return _brief(registry, backfill)


def list_replication_backfills(
    engine: Engine,  # noqa: ARG001 every handler has the same signature
    registry: RegistryState,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Lists backfills that run or ended within 90 days, in the order of their start, with real pages."""
    every = list(backfills_of(registry).values())
    begin = int(last_key("backfills", params["nextToken"])) if params.get("nextToken") else 0
    size = params.get("maxResults") or 50
    chosen = every[begin : begin + size]
    out: dict[str, Any] = {
        "registryId": registry.account,
        "backfills": [{"replicationBackfillId": b.backfill_id, **_summary(b)} for b in chosen],
    }
    if begin + size < len(every):
        out["nextToken"] = token_of("backfills", str(begin + size))
    return out


def describe_replication_backfill_results(
    engine: Engine,  # noqa: ARG001 every handler has the same signature
    registry: RegistryState,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Shows a backfill's progress and, once it has ended, the result of each image and tag, with real pages."""
    backfill = _found(registry, params["replicationBackfillId"])
    wanted = params.get("resultStatusFilter")
    results = [r for r in backfill.results if wanted in (None, r["status"])] if backfill.ended else []
    kind = f"backfill/{backfill.backfill_id}"
    begin = int(last_key(kind, params["nextToken"])) if params.get("nextToken") else 0
    size = params.get("maxResults") or 100
    out: dict[str, Any] = {
        "registryId": registry.account,
        "replicationBackfillId": backfill.backfill_id,
        **_summary(backfill),
        "results": [{**r, "imageId": dict(r["imageId"])} for r in results[begin : begin + size]],
    }
    if begin + size < len(results):
        out["nextToken"] = token_of(kind, str(begin + size))
    return out


OPERATIONS = {
    "DescribeReplicationBackfillResults": describe_replication_backfill_results,
    "ListReplicationBackfills": list_replication_backfills,
    "StartReplicationBackfill": start_replication_backfill,
    "StopReplicationBackfill": stop_replication_backfill,
}
