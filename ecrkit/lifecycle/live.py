"""The fleet functions on a live registry: reading many repositories at once, planning for each, restoring images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final, TypeVar

import attrs

from ecrkit._internal.globs import compile_glob
from ecrkit._internal.jsonio import Record
from ecrkit.deployments.in_use import InUse
from ecrkit.errors import AwsCallFailed, InvalidInput, NotFound, PlanOutdated, PlanRefused
from ecrkit.lifecycle.fleet import Assignment, FleetItem, same_effect
from ecrkit.lifecycle.plan import Plan
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.restore import RestorePlan
from ecrkit.ports import OnProgress
from ecrkit.records import Progress, Repository

if TYPE_CHECKING:
    from ecrkit.lifecycle.service import LifecycleService

__all__ = ["FleetPlans", "Names", "Restored", "fleet_items", "fleet_plans", "restore"]

R = TypeVar("R")
_NO_TAGS: Final = "resource tags decide which policy is wanted, and this service was made without a source of them"
Names = str | Iterable[str] | None
"""Which repositories: a name pattern (only `*` is special), names, or None for all."""


@attrs.frozen(kw_only=True)
class FleetPlans(Record):
    """A plan for each repository that one could be made for, and why none could be made for the others."""

    plans: tuple[Plan, ...]
    refused: Mapping[str, str] = attrs.field(hash=False)

    @property
    def complete(self) -> bool:
        """Whether there is a plan for every repository."""
        return not self.refused


@attrs.frozen(kw_only=True)
class Restored(Record):
    """What became of a restore: the status of each image that ECR took, and why it did not take the others.

    An image that is ACTIVATING can be pulled once it is ACTIVE, up to 20 minutes later.
    """

    statuses: Mapping[str, str] = attrs.field(hash=False)
    failed: Mapping[str, str] = attrs.field(hash=False)

    @property
    def complete(self) -> bool:
        """Whether ECR took every image."""
        return not self.failed


def _named(service: LifecycleService, names: Names) -> Iterator[Repository]:
    if service.repositories is None:
        raise InvalidInput.single("no fleet", "repositories", "this service was made without a source of repositories")
    if isinstance(names, str):
        match = compile_glob(names)
        yield from (r for r in service.repositories.repositories() if match(r.name))
        return
    wanted = None if names is None else dict.fromkeys(names)
    found = set()
    for repository in service.repositories.repositories():
        if wanted is None or repository.name in wanted:
            found.add(repository.name)
            yield repository
    missing = [name for name in wanted or () if name not in found]
    if missing:
        raise NotFound(
            f"no such repository: {', '.join(missing[:5])}", operation="DescribeRepositories",
            code="RepositoryNotFoundException", resource=missing[0],
        )  # fmt: skip


def _each(service: LifecycleService, work: Callable[[Repository], R], names: Names) -> Iterator[R]:
    repositories = _named(service, names)
    if service.fan_out is None:
        yield from map(work, repositories)
        return
    for _, found in service.fan_out.each(work, repositories):
        yield found


def fleet_items(
    service: LifecycleService, names: Names, *, resource_tags: bool, exact_bytes: bool, on_progress: OnProgress | None
) -> Iterator[FleetItem]:
    """Yield each repository with its images and live policy; what could not be read is None, and never empty."""

    def read(repository: Repository) -> FleetItem:
        known, live, tags, faults = True, None, dict[str, str](), list[str]()
        try:
            found = service.policies.lifecycle_policy(repository.name)
            live = None if found is None else found.text
        except AwsCallFailed as fault:
            known = False
            faults.append(str(fault))
        try:
            inventory = service.inventory(repository.name, exact_bytes=exact_bytes)
        except AwsCallFailed as fault:
            inventory = None
            faults.append(str(fault))
        told = not resource_tags or service.resource_tags is not None
        if not told:
            faults.append(_NO_TAGS)
        if resource_tags and service.resource_tags is not None:
            try:
                tags = dict(service.resource_tags.tags_of(repository.arn))
            except AwsCallFailed as fault:
                told = False
                faults.append(str(fault))
        return FleetItem(
            repository=repository.name, inventory=inventory, live_policy=live, policy_known=known, tags=tags,
            tags_known=told, fault="; ".join(faults),
        )  # fmt: skip

    for number, item in enumerate(_each(service, read, names), 1):
        if on_progress is not None:
            on_progress(Progress(done=number, what="repositories read"))
        yield item


def fleet_plans(
    service: LifecycleService,
    wanted: Assignment,
    names: Names,
    *,
    in_use: InUse | None,
    on_progress: OnProgress | None,
) -> FleetPlans:
    """Return a plan for each repository that lacks the policy that is wanted for it."""

    def plan(repository: Repository) -> tuple[str, Plan | str | None]:
        try:
            tags: dict[str, str] = {}
            if wanted.tags:
                if service.resource_tags is None:
                    return repository.name, _NO_TAGS
                tags = dict(service.resource_tags.tags_of(repository.arn))
            policy = wanted.policy_for(repository.name, tags)
            if policy is None or _is_live(service, repository.name, policy):
                return repository.name, None
            return repository.name, service.plan(repository.name, policy, in_use=in_use)
        except (AwsCallFailed, PlanRefused) as fault:
            return repository.name, str(fault)

    plans: list[Plan] = []
    refused: dict[str, str] = {}
    for number, (name, made) in enumerate(_each(service, plan, names), 1):
        if isinstance(made, Plan):
            plans.append(made)
        elif made is not None:
            refused[name] = made
        if on_progress is not None:
            on_progress(Progress(done=number, what="repositories planned"))
    return FleetPlans(plans=tuple(sorted(plans, key=lambda p: p.repository)), refused=dict(sorted(refused.items())))


def _is_live(service: LifecycleService, name: str, policy: LifecyclePolicy) -> bool:
    try:
        live = service.policy(name)
        return live is not None and same_effect(live, policy)
    except LifecyclePolicyError:
        return False


def restore(service: LifecycleService, plan: RestorePlan, on_progress: OnProgress | None) -> Restored:
    """Restore the images of a plan, in its order, unless one of them is no longer archived."""
    if service.storage is None:
        raise InvalidInput.single("no restore", "storage", "this service was made without a store of storage classes")
    held = {image.digest: image.status for image in service.images.images(plan.repository)}
    changes = [
        f"{digest} is {held[digest]} by now" if digest in held else f"{digest} is no longer in the repository"
        for digest in plan.digests
        if held.get(digest) != "ARCHIVED"
    ]
    if changes:
        raise PlanOutdated(
            f"the plan for {plan.repository} no longer holds, nothing was restored: {'; '.join(changes[:5])}",
            changes=changes,
        )
    statuses: dict[str, str] = {}
    failed: dict[str, str] = {}
    for number, digest in enumerate(plan.digests, 1):
        try:
            statuses[digest] = service.storage.update_storage_class(plan.repository, digest, "standard")
        except AwsCallFailed as fault:
            failed[digest] = str(fault)
        if on_progress is not None:
            on_progress(Progress(done=number, total=len(plan.digests), what="images restored"))
    return Restored(statuses=statuses, failed=failed)
