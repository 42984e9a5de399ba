"""The dry run on a live repository: reads, previews, compares; and the one method that writes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import Any

import attrs

from ecrkit.deployments.in_use import InUse
from ecrkit.errors import Conflict, InvalidInput, NotFound, PlanOutdated, WaitExpired, WaitFailed
from ecrkit.events import Event
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.fleet import Assignment, FleetItem
from ecrkit.lifecycle.fleet_totals import FleetRun
from ecrkit.lifecycle.live import FleetPlans, Names, Restored
from ecrkit.lifecycle.plan import Plan, protected_digests
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.preview import POLL_SECONDS, Comparison, WaitState, compare, step
from ecrkit.lifecycle.restore import RestorePlan
from ecrkit.lifecycle.rollout import RollOut
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import simulate
from ecrkit.ports import (
    Clock,
    FanOut,
    ImageSource,
    LifecyclePolicyStore,
    ManifestSource,
    OnProgress,
    RepositorySource,
    ResourceTagSource,
    StorageClassStore,
)
from ecrkit.records import LifecyclePreview, Progress

__all__ = ["LifecycleService"]

AnyPolicy = LifecyclePolicy | str | Mapping[str, Any]


def _parsed(policy: AnyPolicy) -> LifecyclePolicy:
    return policy if isinstance(policy, LifecyclePolicy) else LifecyclePolicy.parse(policy)


@attrs.frozen
class LifecycleService:
    """Dry runs, previews and plans of lifecycle policies on live repositories.

    Without a manifest source the children of indexes stay unknown, and the outcomes that depend on them uncertain.
    The fleet functions need a source of repositories, and restoring needs a store of storage classes.
    """

    images: ImageSource
    manifests: ManifestSource | None
    policies: LifecyclePolicyStore
    clock: Clock
    repositories: RepositorySource | None = attrs.field(default=None, kw_only=True)
    resource_tags: ResourceTagSource | None = attrs.field(default=None, kw_only=True)
    storage: StorageClassStore | None = attrs.field(default=None, kw_only=True)
    fan_out: FanOut | None = attrs.field(default=None, kw_only=True)

    def policy(self, repository: str) -> LifecyclePolicy | None:
        """Return the live policy, or None when the repository has none.

        Raises:
            LifecyclePolicyError: the live text is newer or other than ecrkit understands.
        """
        live = self.policies.lifecycle_policy(repository)
        return None if live is None else LifecyclePolicy.parse(live.text)

    def inventory(
        self, repository: str, *, exact_bytes: bool = False, on_progress: OnProgress | None = None
    ) -> Inventory:
        """Return the repository's images of every status, and the children of its indexes as far as they can be read.

        With `exact_bytes` the manifest of every active image is read too, so that bytes freed are exact.
        Reading a manifest may count as a pull of the image. Archived images cannot be read.
        """
        found = tuple(self.images.images(repository))
        if on_progress:
            on_progress(Progress(done=len(found), total=len(found), what="images"))
        inventory = Inventory(found, repository=repository)
        # An archived index holds nothing and cannot be pulled.
        wanted = [image.digest for image in found if image.status == "ACTIVE" and (exact_bytes or image.is_index)]
        if wanted and self.manifests is not None:
            read = self.manifests.manifests(repository, wanted)
            inventory = inventory.with_manifests(read.values())
            if on_progress:
                on_progress(Progress(done=len(read), total=len(wanted), what="manifests"))
        return inventory

    def dry_run(
        self,
        repository: str,
        policy: AnyPolicy | None = None,
        *,
        now: dt.datetime | None = None,
        count_children: bool = True,
        exact_bytes: bool = False,
        in_use: InUse | None = None,
        on_progress: OnProgress | None = None,
    ) -> Run:
        """Return what the policy (default: the live one) would do to the repository; reads and never writes.

        With `in_use` each outcome says what runs the image, and the run's plan is refused when one of them would go.

        Raises:
            LifecyclePolicyError: ECR would refuse the policy.
            NotFound: no policy was given and the repository has none.
        """
        chosen = self._live(repository) if policy is None else _parsed(policy)
        inventory = self.inventory(repository, exact_bytes=exact_bytes, on_progress=on_progress)
        at = now or self.clock.now()
        return simulate(chosen, inventory, now=at, count_children=count_children, in_use=in_use)

    def _live(self, repository: str) -> LifecyclePolicy:
        live = self.policy(repository)
        if live is None:
            raise NotFound(
                f"{repository} has no lifecycle policy; pass the one to try",
                operation="GetLifecyclePolicy",
                code="LifecyclePolicyNotFoundException",
                resource=repository,
            )
        return live

    def preview(
        self,
        repository: str,
        policy: AnyPolicy | None = None,
        *,
        timeout: float = 300.0,
        on_progress: OnProgress | None = None,
    ) -> LifecyclePreview:
        """Return ECR's own preview of the policy (default: the live one), complete and with every page.

        Starts a preview, which stores nothing as policy. When somebody else's preview is in progress, it waits for that
        one to end and starts its own; it never returns the preview of another policy.

        Raises:
            LifecyclePolicyError: ECR would refuse the policy.
            WaitExpired: `timeout` seconds passed.
            WaitFailed: the preview failed, expired, or was replaced by somebody else's.
        """
        text = None if policy is None else _parsed(policy).to_json()
        began = self.clock.monotonic()
        self._start(repository, text, began + timeout, timeout)
        deadline = self.clock.now() + dt.timedelta(seconds=max(0.0, began + timeout - self.clock.monotonic()))
        state = WaitState(deadline=deadline, policy_text=text)
        while True:
            seen = self.policies.lifecycle_preview(repository)
            state = step(state, seen, self.clock.now())
            if on_progress:
                on_progress(Progress(done=state.attempts, what=f"preview {seen.status}"))
            if state.state == "complete":
                return seen
            if state.state == "deadline":
                raise WaitExpired(f"the preview of {repository} is still {seen.status} after {timeout:g} s", last=seen)
            if state.done:
                what = "is of another policy: somebody else started one" if state.state == "other" else seen.status
                raise WaitFailed(f"the preview of {repository}: {what}", last=seen)
            left = (state.deadline - self.clock.now()).total_seconds()
            self.clock.sleep(min(POLL_SECONDS, max(left, 0.0)))

    def _start(self, repository: str, text: str | None, end: float, timeout: float) -> None:
        while True:
            try:
                self.policies.start_lifecycle_preview(repository, text)
                return
            except Conflict as fault:
                if fault.code != "LifecyclePolicyPreviewInProgressException":
                    raise
                left = end - self.clock.monotonic()
                if left <= 0:
                    raise WaitExpired(
                        f"another preview of {repository} is still in progress after {timeout:g} s", last=fault
                    ) from fault
                self.clock.sleep(min(POLL_SECONDS, left))

    def compare(self, preview: LifecyclePreview, run: Run) -> Comparison:
        """Return every image on which ECR's preview and the dry run differ, with the likely cause."""
        return compare(preview, run)

    def plan(
        self,
        repository: str,
        policy: AnyPolicy,
        *,
        protect: Iterable[object] = (),
        in_use: InUse | None = None,
        accept_uncertain: bool = False,
    ) -> Plan:
        """Return the plan to put the policy, made on what is live now; `apply` then also checks the live policy.

        Neither what `protect` names nor what is `in_use` may go.

        Raises:
            PlanRefused: see `Run.plan`.
        """
        live = self.policies.lifecycle_policy(repository)
        made = self.dry_run(repository, policy, in_use=in_use).plan(protect=protect, accept_uncertain=accept_uncertain)
        return attrs.evolve(made, replaces=None if live is None else live.text, checks_replaced=True)

    def apply(self, plan: Plan) -> Run:
        """Put the plan's policy, unless what the plan rests on has moved in a way that changes an outcome.

        Reads the inventory and the live policy again. The run on the new inventory, as of now, must act on the same
        images in the same way; images that nobody's outcome depends on may come and go. Returns that run. ECR acts
        within 24 hours, so images that grow too old until then, or are pushed, are not covered.

        Raises:
            PlanOutdated: an outcome, a protected image or the live policy changed; nothing was written.
            InvalidInput: the plan names no repository.
        """
        if not plan.repository:
            raise InvalidInput.single("not a plan to apply", "$.repository", "is empty; plan on a named repository")
        policy = plan.policy
        changes = self._policy_changes(plan)
        run = self.dry_run(plan.repository, policy, count_children=plan.count_children)
        changes += _changes(plan, run)
        if changes:
            raise PlanOutdated(
                f"the plan for {plan.repository} no longer holds, nothing was written: {'; '.join(changes[:5])}",
                changes=changes,
            )
        self.policies.put_lifecycle_policy(plan.repository, plan.policy_text)
        return run

    def advance(
        self, roll_out: RollOut, *, events: Iterable[Event] = (), on_progress: OnProgress | None = None
    ) -> RollOut:
        """Return a staged roll-out after its next step; save what comes back, and call again later.

        When it is `ready`, the policies of the wave at hand are put as `apply` does. When it is `waiting`, the
        repositories of the wave are read again: once ECR has run each policy and removed what was foreseen and nothing
        else, the next wave is ready. Something unforeseen, a plan that no longer holds, or 48 hours without the
        removals stop it; a stopped or finished roll-out comes back as it is. Images that came of age since, or that
        newer pushes moved beyond a count, are no surprise.

        Args:
            roll_out: from `ecrkit.lifecycle.begin`, or as it was saved.
            events: deletion events and CloudTrail's records of the time since the wave was put, as far as there are
                any; they tell of images that were pushed again meanwhile.
            on_progress: called after each repository.
        """
        from ecrkit.lifecycle.advancing import advance

        return advance(self, roll_out, events=events, on_progress=on_progress)

    # ---- many repositories

    def fleet_items(
        self,
        names: Names = None,
        *,
        resource_tags: bool = False,
        exact_bytes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> Iterator[FleetItem]:
        """Yield every repository of the registry with its images and live policy, several read at a time.

        A repository that cannot be read has None for its inventory; a policy that cannot be read is not known.

        Args:
            names: a name pattern, names, or None for all.
            resource_tags: read the resource tags too, one call each.
            exact_bytes: read every manifest, as `inventory` says.
            on_progress: called after each repository.

        Raises:
            NotFound: a name has no repository; after the others.
        """
        from ecrkit.lifecycle.live import fleet_items

        return fleet_items(self, names, resource_tags=resource_tags, exact_bytes=exact_bytes, on_progress=on_progress)

    def fleet_run(
        self,
        wanted: Assignment | AnyPolicy | None = None,
        names: Names = None,
        *,
        in_use: InUse | None = None,
        group: str | Callable[[str, Mapping[str, str]], str] = "",
        executor: Executor | None = None,
        exact_bytes: bool = False,
        on_progress: OnProgress | None = None,
    ) -> FleetRun:
        """Return what the wanted policies (default: the live ones) would do to every repository; reads, never writes.

        See `ecrkit.lifecycle.fleet_run`. Resource tags are read when `group` or the assignment looks at them.
        """
        from ecrkit.lifecycle.fleet import fleet_run

        tagged = bool(group) or (isinstance(wanted, Assignment) and bool(wanted.tags))
        items = self.fleet_items(names, resource_tags=tagged, exact_bytes=exact_bytes)
        return fleet_run(
            wanted, items, now=self.clock.now(), in_use=in_use, group=group, executor=executor, on_progress=on_progress
        )

    def fleet_plans(
        self,
        wanted: Assignment | AnyPolicy,
        names: Names = None,
        *,
        in_use: InUse | None = None,
        on_progress: OnProgress | None = None,
    ) -> FleetPlans:
        """Return a plan for each repository whose live policy is not the wanted one, for `begin` and `advance`.

        A repository for which no plan can be made, because a running image would go for example, is named with the
        reason; the others are planned all the same.
        """
        from ecrkit.lifecycle.live import fleet_plans

        assigned = wanted if isinstance(wanted, Assignment) else Assignment(default=_parsed(wanted))
        return fleet_plans(self, assigned, names, in_use=in_use, on_progress=on_progress)

    def restore(self, plan: RestorePlan, *, on_progress: OnProgress | None = None) -> Restored:
        """Restore the images of a plan from `restore_plan`, children before their index.

        Reads the repository again first. ECR charges what is retrieved.

        Raises:
            PlanOutdated: an image of the plan is not archived any more; nothing was restored.
        """
        from ecrkit.lifecycle.live import restore

        return restore(self, plan, on_progress)

    def _policy_changes(self, plan: Plan) -> list[str]:
        if not plan.checks_replaced:
            return []
        live = self.policies.lifecycle_policy(plan.repository)
        text = None if live is None else live.text
        if text == plan.replaces:
            return []
        if text is None:
            return ["the live policy was deleted since"]
        if plan.replaces is None:
            return ["the repository has a policy now and had none"]
        try:
            same = LifecyclePolicy.parse(text) == LifecyclePolicy.parse(plan.replaces)
        except LifecyclePolicyError:
            same = False
        return [] if same else ["the live policy was replaced since"]


def _changes(plan: Plan, run: Run) -> list[str]:
    now = {digest: run.outcome(digest).action for digest in (*run.expired, *run.transitioned, *run.cascaded)}
    changes: list[str] = []
    for digest in sorted({*now, *plan.actions}):
        was, is_ = plan.actions.get(digest, "keep"), now.get(digest, "keep")
        if digest not in run.inventory:
            changes.append(f"{digest} was to {was} and is no longer in the repository")
        elif was != is_:
            changes.append(f"{digest} was to {was} and would now {is_}: {run.outcome(digest).explain()}")
    found, unknown = protected_digests(run, plan.protect)
    changes += [f"protected {reason}" for reason in unknown]
    # A protected tag may name another image by now; the image that it named is protected still.
    held = set(found) | set(plan.protected)
    changes += [f"{digest} is protected and would {now[digest]}" for digest in sorted(held & set(now))]
    if not run.certain and not plan.accept_uncertain:
        changes.append("the outcome is uncertain now: " + "; ".join(run.warnings))
    return changes
