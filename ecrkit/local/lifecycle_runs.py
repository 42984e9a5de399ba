"""Lifecycle policies at work: parse them as ECR does, run them when they fall due, preview them."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from ecrkit.images.inventory import Inventory
from ecrkit.local.changes import archive, delete_image, held_reason
from ecrkit.local.events import LifecycleAction, LifecycleFailure, LifecyclePolicyExecuted
from ecrkit.local.faults import invalid
from ecrkit.local.state import ImageState, Preview

if TYPE_CHECKING:
    from ecrkit.lifecycle import LifecyclePolicy
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import RepositoryState

__all__ = ["parse_policy", "schedule_runs", "start_preview"]

_FAILURE = "Lifecycle policy validation failure: "


def parse_policy(text: str) -> LifecyclePolicy:
    """Return the policy, or refuse it as PutLifecyclePolicy does, with every problem in the message.

    Raises:
        ServiceFault: InvalidParameterException in ECR's wording.
    """
    from ecrkit.lifecycle import LifecyclePolicy, LifecyclePolicyError

    try:
        return LifecyclePolicy.parse(text)
    except LifecyclePolicyError as fault:
        said = [_bare(p.quoted) if p.quoted else f"{p.path}: {p.message}" for p in fault.problems]
        invalid("LifecyclePolicyText", _FAILURE + "; ".join(dict.fromkeys(said)))


def _bare(quoted: str) -> str:
    # Some quoted texts are the whole answer, others only what follows the common prefix.
    before, found, after = quoted.partition(_FAILURE)
    return after.removesuffix("'") if found else before


def inventory_of(registry: RegistryState, repo: RepositoryState) -> Inventory:
    """Return the repository as the pure domains see it, with every index's children known."""
    return Inventory(
        (repo.record(image, registry.account) for image in repo.images.values()),
        children={i.digest: i.manifest.children for i in repo.images.values() if i.manifest.is_index},
        repository=repo.name,
    )


def _digest(item: Any) -> str:
    return item if isinstance(item, str) else str(item.digest)


def schedule_runs(engine: Engine, registry: RegistryState, repo: RepositoryState) -> None:
    """Plan the next run of the live policy; at most one per 24 hours, whatever is put in between."""
    repo.lifecycle_ticket += 1
    ticket = repo.lifecycle_ticket
    timings = engine.timings
    first = engine.clock.now() + timings.lifecycle_after
    if repo.lifecycle_last_run is not None:
        first = max(first, repo.lifecycle_last_run + timings.lifecycle_every)

    def due(at: dt.datetime) -> None:
        gone = registry.repositories.get(repo.name) is not repo
        if gone or repo.lifecycle_ticket != ticket or repo.lifecycle_text is None:
            return  # another policy, or none, has taken its place
        _execute(engine, registry, repo, repo.lifecycle_text, at)
        engine.schedule(at + timings.lifecycle_every, due)

    engine.schedule(first, due)


def _execute(engine: Engine, registry: RegistryState, repo: RepositoryState, text: str, at: dt.datetime) -> None:
    from ecrkit.lifecycle import simulate

    run = simulate(parse_policy(text), inventory_of(registry, repo), now=at)
    repo.lifecycle_evaluated_at = repo.lifecycle_last_run = at
    actions: list[LifecycleAction] = []
    failures: list[LifecycleFailure] = []

    def note(image: ImageState, action: str) -> None:
        priority = run.outcome(image.digest).rule_priority
        tags = tuple(image.tags)
        actions.append(LifecycleAction(digest=image.digest, tags=tags, action=action, rule_priority=priority))

    def fail(image: ImageState) -> None:
        failures.append(
            LifecycleFailure(
                digest=image.digest,
                tags=tuple(image.tags),
                code="ImageReferencedByManifestList",
                reason=held_reason(repo.holding_parents(image.digest, archived_too=False)),
                rule_priority=run.outcome(image.digest).rule_priority,
            )
        )

    waiting = [("expire", _digest(i)) for i in run.expired] + [("transition", _digest(i)) for i in run.transitioned]
    while waiting:
        held: list[tuple[str, str]] = []
        for action, digest in waiting:
            image = repo.images.get(digest)
            if image is None:
                continue
            if repo.holding_parents(digest, archived_too=False):
                held.append((action, digest))  # its index may go in this very run
            elif action == "expire":
                note(image, action)
                delete_image(engine, registry, repo, image, at, by="lifecycle")
            elif image.status == "ACTIVE":
                note(image, action)
                archive(engine, registry, repo, image, at, by="lifecycle")
        if len(held) == len(waiting):
            for _, digest in held:
                fail(repo.images[digest])
            break
        waiting = held
    named = {f.digest for f in failures}
    for item in run.blocked:
        image = repo.images.get(_digest(item))
        if image is not None and image.digest not in named:
            fail(image)
    engine.emit(
        LifecyclePolicyExecuted(
            time=at, account=registry.account, region=registry.region, repository=repo.name, policy_text=text,
            actions=tuple(actions), failures=tuple(failures),
        )
    )  # fmt: skip


def start_preview(engine: Engine, registry: RegistryState, repo: RepositoryState, text: str) -> None:
    """Evaluate the policy as of now; the results show once the preview is complete."""
    from ecrkit.lifecycle import simulate

    now = engine.clock.now()
    run = simulate(parse_policy(text), inventory_of(registry, repo), now=now)
    results: list[dict[str, Any]] = []
    for item in (*run.expired, *run.transitioned):
        image = repo.images[_digest(item)]
        outcome = run.outcome(image.digest)
        moves = outcome.action == "transition"
        results.append(
            {
                "imageTags": list(image.tags),
                "imageDigest": image.digest,
                "imagePushedAt": image.pushed_at,
                "action": {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"} if moves else {"type": "EXPIRE"},
                "appliedRulePriority": outcome.rule_priority,
                "storageClass": "STANDARD" if image.status == "ACTIVE" else "ARCHIVE",
            }
        )
    preview = Preview(policy_text=text, started_at=now, results=results)
    repo.preview = preview

    def complete(_: dt.datetime) -> None:
        if preview.status == "IN_PROGRESS":
            preview.status = "COMPLETE"

    def expire(_: dt.datetime) -> None:
        preview.status = "EXPIRED"
        preview.results = []

    engine.schedule(now + engine.timings.preview, complete)
    engine.schedule(now + engine.timings.preview_kept, expire)
