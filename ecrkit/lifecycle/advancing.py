"""Taking a staged roll-out as far as it goes now: puts the policies of a wave, or looks at what they did."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable
from typing import TYPE_CHECKING

import attrs

from ecrkit.errors import AwsCallFailed, PlanOutdated
from ecrkit.events import Event
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.aftermath import aftermath
from ecrkit.lifecycle.plan import Plan
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.rollout import Before, Observed, RollOut, Status, judge
from ecrkit.lifecycle.simulate import simulate
from ecrkit.ports import OnProgress
from ecrkit.records import Image, Progress

if TYPE_CHECKING:
    from ecrkit.lifecycle.service import LifecycleService

__all__ = ["advance", "legitimate"]


def advance(
    service: LifecycleService,
    roll_out: RollOut,
    *,
    events: Iterable[Event] = (),
    on_progress: OnProgress | None = None,
) -> RollOut:
    """Return the roll-out after one step on live repositories; see `LifecycleService.advance`."""
    if roll_out.status == "ready":
        return _put(service, roll_out, on_progress)
    if roll_out.status == "waiting":
        return _look(service, roll_out, tuple(events), on_progress)
    return roll_out


def _put(service: LifecycleService, roll_out: RollOut, on_progress: OnProgress | None) -> RollOut:
    put_at, before = dict(roll_out.put_at), dict(roll_out.before)
    reasons: list[str] = []
    for plan in roll_out.at_hand:
        if plan.repository in put_at:
            continue
        try:
            # Put by a step that nobody saved: planned again it would be refused, since it is live already.
            put = service.policy(plan.repository) == plan.policy
            inventory = service.inventory(plan.repository) if put else service.apply(plan).inventory
        except (PlanOutdated, AwsCallFailed, LifecyclePolicyError) as fault:
            reasons.append(f"{plan.repository}: {fault}")
            break  # what is not understood here may be so everywhere
        put_at[plan.repository], before[plan.repository] = service.clock.now(), Before.of(inventory)
        if on_progress is not None:
            on_progress(Progress(done=len(put_at), what="policies put"))
    status: Status = "stopped" if reasons else "waiting"
    return attrs.evolve(roll_out, put_at=put_at, before=before, status=status, reasons=(*roll_out.reasons, *reasons))


def _look(
    service: LifecycleService, roll_out: RollOut, events: tuple[Event, ...], on_progress: OnProgress | None
) -> RollOut:
    now = service.clock.now()
    observed: dict[str, Observed] = {}
    for number, plan in enumerate(roll_out.at_hand, 1):
        if plan.repository not in roll_out.finished:
            # What could not be seen is waited for, and stops the roll-out when that takes too long.
            with contextlib.suppress(AwsCallFailed):
                observed[plan.repository] = _observe(service, roll_out, plan, events, now)
        if on_progress is not None:
            on_progress(Progress(done=number, total=len(roll_out.at_hand), what="repositories looked at"))
    step = judge(roll_out, observed, now=now)
    finished = tuple(dict.fromkeys((*roll_out.finished, *step.finished)))
    if step.reasons:
        return attrs.evolve(roll_out, status="stopped", finished=finished, reasons=step.reasons)
    if step.waiting:
        return attrs.evolve(roll_out, finished=finished)
    last = roll_out.wave + 1 >= len(roll_out.waves)
    return attrs.evolve(roll_out, finished=finished, wave=roll_out.wave + 1, status="done" if last else "ready")


def _observe(
    service: LifecycleService, roll_out: RollOut, plan: Plan, events: tuple[Event, ...], now: dt.datetime
) -> Observed:
    live = service.policies.lifecycle_policy(plan.repository)
    inventory = service.inventory(plan.repository)
    held = roll_out.before[plan.repository]
    known = {image.digest for image in held.images} | plan.actions.keys()
    gone = {digest for digest in known if digest not in inventory}
    told = aftermath(plan, events, since=roll_out.put_at[plan.repository], now=now)
    gone |= {r.digest for r in (*told.done, *told.otherwise, *told.unforeseen) if r.action == "expire"} & known
    was_archived = {image.digest for image in held.images if image.storage_class == "archive"}
    archived = {i.digest for i in inventory if i.storage_class == "archive"} - was_archived
    return Observed(
        repository=plan.repository,
        gone=frozenset(gone),
        archived=frozenset(archived),
        ran_at=None if live is None else live.last_evaluated_at,
        legitimate=legitimate(plan, held, inventory, now=now),
        policy_is_live=live is not None and _same(live.text, plan.policy),
    )


def _same(text: str, policy: LifecyclePolicy) -> bool:
    try:
        return LifecyclePolicy.parse(text) == policy
    except LifecyclePolicyError:
        return False


def legitimate(plan: Plan, before: Before, inventory: Inventory, *, now: dt.datetime) -> frozenset[str]:
    """Return what the plan's policy may have taken until `now` though it was not foreseen when it was put.

    Images come of age, and newer pushes move others beyond a count. The policy is run on what was there before and what
    is there now together: more images only ever move an image further back, and more time only makes it older.
    """
    taken = {tag for image in inventory for tag in image.tags}
    images: dict[str, Image] = {}
    for image in before.images:
        # A tag that another image carries by now left this one before it went.
        images[image.digest] = attrs.evolve(image, tags=tuple(tag for tag in image.tags if tag not in taken))
    images.update((image.digest, image) for image in inventory)
    children = {**before.children, **inventory.children}
    merged = Inventory(images.values(), children=children, repository=inventory.repository)
    run = simulate(plan.policy, merged, now=now, count_children=plan.count_children)
    return frozenset({*run.expired, *run.transitioned, *run.cascaded})
