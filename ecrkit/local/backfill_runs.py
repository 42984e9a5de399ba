"""Backfills in the embedded ECR: images older than the replication rule, sent to one destination.

Source: ECR user guide, "Replication backfill"; ECR API reference, StartReplicationBackfill.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any, Final

import attrs

from ecrkit.local.replication_runs import Heard, Place, Route, destinations_of, start
from ecrkit.local.state import ImageState, RepositoryState

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["RUNNING", "BackfillState", "backfills_of", "begin_backfill", "stop_backfill"]

RUNNING: Final = ("PREPARING", "IN_PROGRESS", "STOPPING")
_BACKFILLS: Final = "replication_backfills"
_NAMESPACE: Final = uuid.UUID("5b0c6bd2-64f6-5a3a-8a53-0c6d2b8e6b11")
_AT_A_TIME: Final = 100


@attrs.define(kw_only=True)
class BackfillState:
    """One backfill: its progress, and the result of each image and tag, which show when it has ended."""

    backfill_id: str
    place: Place
    started_at: dt.datetime
    status: str = "PREPARING"
    failure_code: str | None = None
    ended_at: dt.datetime | None = None
    total: int = 0
    results: list[dict[str, Any]] = attrs.field(factory=list, repr=False)
    waiting: list[tuple[RepositoryState, ImageState, str | None]] = attrs.field(factory=list, repr=False)
    under_way: int = 0

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The results that are failures."""
        return [r for r in self.results if r["status"] == "FAILED"]

    @property
    def ended(self) -> bool:
        """Whether the status is terminal."""
        return self.status not in RUNNING


def backfills_of(registry: RegistryState) -> dict[str, BackfillState]:
    """Return the registry's backfills by id, oldest first; the mapping is the registry's own."""
    found: dict[str, BackfillState] = registry.extra.setdefault(_BACKFILLS, {})
    return found


def begin_backfill(engine: Engine, registry: RegistryState, place: Place, at: dt.datetime) -> BackfillState:
    """Start a backfill; it first prepares, then sends what is there, a hundred at a time."""
    known = backfills_of(registry)
    name = f"{registry.account}/{registry.region}/{'/'.join(place)}/{len(known)}/{at.isoformat()}"
    backfill = BackfillState(backfill_id=str(uuid.uuid5(_NAMESPACE, name)), place=place, started_at=at)
    known[backfill.backfill_id] = backfill
    engine.schedule(at + engine.timings.backfill_prepare, lambda when: _prepare(engine, registry, backfill, when))
    return backfill


def _prepare(engine: Engine, registry: RegistryState, backfill: BackfillState, at: dt.datetime) -> None:
    if backfill.status != "PREPARING":
        return
    backfill.status = "IN_PROGRESS"
    backfill.waiting = [
        (repo, image, tag)
        for repo in registry.repositories.values()
        if backfill.place in destinations_of(registry.replication, repo.name)
        for image in sorted(repo.images.values(), key=lambda i: (i.manifest.is_index, i.pushed_at, i.digest))
        if image.status == "ACTIVE"
        for tag in (image.tags or (None,))
    ]
    backfill.total = len(backfill.waiting)
    _send(engine, registry, backfill, at)


def _send(engine: Engine, registry: RegistryState, backfill: BackfillState, at: dt.datetime) -> None:
    if not backfill.waiting:
        _end(engine, registry, backfill, at)
        return
    batch, backfill.waiting = backfill.waiting[:_AT_A_TIME], backfill.waiting[_AT_A_TIME:]
    backfill.under_way = len(batch)
    for repo, image, tag in batch:
        route = Route(engine, registry, repo, *backfill.place)
        start(route, image, [tag], at, then=_hearing(engine, registry, backfill, repo, image))


def _hearing(
    engine: Engine, registry: RegistryState, backfill: BackfillState, repo: RepositoryState, image: ImageState
) -> Heard:
    def hear(tag: str | None, code: str | None, at: dt.datetime) -> None:
        identity = {"imageDigest": image.digest, **({"imageTag": tag} if tag else {})}
        result: dict[str, Any] = {
            "repositoryName": repo.name, "imageId": identity, "status": "COMPLETE" if code is None else "FAILED",
        }  # fmt: skip
        if code is not None:
            result["failureCode"] = code
        backfill.results.append(result)
        backfill.under_way -= 1
        if backfill.under_way == 0:
            _next(engine, registry, backfill, at)

    return hear


def _next(engine: Engine, registry: RegistryState, backfill: BackfillState, at: dt.datetime) -> None:
    if backfill.status == "STOPPING":
        backfill.waiting.clear()
        _end(engine, registry, backfill, at, status="STOPPED")
    elif len(backfill.results) >= 100 and 2 * len(backfill.failed) >= len(backfill.results):
        _end(engine, registry, backfill, at, status="FAILED")
    else:
        _send(engine, registry, backfill, at)


def _end(
    engine: Engine, registry: RegistryState, backfill: BackfillState, at: dt.datetime, *, status: str = "COMPLETE"
) -> None:
    backfill.status, backfill.ended_at = status, at
    if status == "FAILED":
        backfill.failure_code = "TooManyFailures"
    known = backfills_of(registry)
    engine.schedule(at + engine.timings.backfill_kept, lambda _: _forget(known, backfill))


def _forget(known: dict[str, BackfillState], backfill: BackfillState) -> None:
    known.pop(backfill.backfill_id, None)


def stop_backfill(engine: Engine, registry: RegistryState, backfill: BackfillState, at: dt.datetime) -> None:
    """Stop a backfill: at once when it prepares, else when what is under way has arrived."""
    if backfill.status == "PREPARING":
        _end(engine, registry, backfill, at, status="STOPPED")
    else:
        backfill.status = "STOPPING"
