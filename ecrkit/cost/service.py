"""The costs of a live registry: reads what is stored and how it is tagged; and the one method that writes tags."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import TypeVar

import attrs

from ecrkit._internal.globs import compile_glob
from ecrkit.cost.attribution import Attribution, By, SharedLayers, attribute, by_prefix, by_tag
from ecrkit.cost.bill import Bill, Dimension, Granularity, Metric
from ecrkit.cost.explorer import CostExplorer, NoBills
from ecrkit.cost.hygiene import COST_TAGS, TagHygiene, tag_hygiene
from ecrkit.cost.prices import GIB, PriceTable, prices_for
from ecrkit.cost.reconcile import Reconciliation, reconcile
from ecrkit.cost.storage import StorageReport, storage
from ecrkit.cost.tag_plan import TagChange, TagPlan, TagsApplied, plan_tags
from ecrkit.cost.waste import Convention, WasteReport, waste
from ecrkit.deployments.in_use import InUse
from ecrkit.errors import AwsCallFailed, CredentialsMissing, InvalidInput, NotFound, PlanOutdated, Problem
from ecrkit.images.conventions import TagConventions
from ecrkit.images.inventory import Inventory
from ecrkit.ports import Clock, FanOut, ImageSource, ManifestSource, OnProgress, RepositorySource, ResourceTagStore
from ecrkit.records import Progress, Repository

__all__ = ["CostService", "Names"]

R = TypeVar("R")
Names = str | Iterable[str] | None
"""Which repositories: a name pattern (only `*` is special), names, or None for all."""


@attrs.frozen(kw_only=True)
class CostService:
    """What a live registry stores, what of it is waste, whose it is, and what it costs.

    Everything is read anew by each method; take `inventories()` once, or a snapshot, and call the functions of
    `ecrkit.cost` on it, to ask several questions.
    """

    repositories: RepositorySource
    images: ImageSource
    manifests: ManifestSource
    resource_tags: ResourceTagStore
    clock: Clock
    region: str
    fan_out: FanOut | None = None
    price_list: Callable[[str, dt.date], PriceTable] | None = None
    explorer: CostExplorer = attrs.field(factory=lambda: CostExplorer(NoBills()))

    # ---- reading

    def inventories(self, names: Names = None, *, on_progress: OnProgress | None = None) -> dict[str, Inventory | None]:
        """Return every repository's inventory with the manifests of active images; None where it could not be read.

        Reading a manifest may count as a pull of the image, and refresh the pull time that `waste` looks at; an
        exclusion of the reading principal from pull time updates avoids it. So pull times are taken from the listing,
        which comes first.

        Calls: one for each 1000 repositories, and for each repository one for each 1000 images and each 100 manifests.

        Raises:
            NotFound: a name has no repository.
            CredentialsMissing: there are no usable credentials, or not any more.
        """

        def read(repository: Repository) -> Inventory | None:
            try:
                found = tuple(self.images.images(repository.name))
                active = [image.digest for image in found if image.status == "ACTIVE"]
                texts = self.manifests.manifests(repository.name, active) if active else {}
                return Inventory(found, repository=repository.name).with_manifests(texts.values())
            except CredentialsMissing:
                raise  # every other repository would fail alike, and nobody would be told why
            except AwsCallFailed:
                return None

        return {r.name: found for r, found in self._each(read, self._named(names), on_progress, "repositories")}

    def tags(self, names: Names = None, *, on_progress: OnProgress | None = None) -> dict[str, dict[str, str] | None]:
        """Return the resource tags of every repository; None where they could not be read. Calls: one for each.

        Raises:
            NotFound: a name has no repository.
            CredentialsMissing: there are no usable credentials, or not any more.
        """
        return self._tags_of(self._named(names), on_progress)

    def _named(self, names: Names) -> list[Repository]:
        every = list(self.repositories.repositories())
        if names is None:
            return every
        if isinstance(names, str):
            match = compile_glob(names)
            return [repository for repository in every if match(repository.name)]
        wanted = dict.fromkeys(names)
        found = [repository for repository in every if repository.name in wanted]
        there = {repository.name for repository in found}
        missing = [name for name in wanted if name not in there]
        if missing:
            raise NotFound(
                f"no such repository: {', '.join(missing[:5])}", operation="DescribeRepositories",
                code="RepositoryNotFoundException", resource=missing[0],
            )  # fmt: skip
        return found

    def _each(
        self, work: Callable[[Repository], R], items: list[Repository], on_progress: OnProgress | None, what: str
    ) -> Iterator[tuple[Repository, R]]:
        # In the order of the registry, whatever finishes first: equal registries give equal reports.
        done: dict[str, R] = {}
        pairs = ((i, work(i)) for i in items) if self.fan_out is None else self.fan_out.each(work, items)
        for repository, result in pairs:
            done[repository.name] = result
            if on_progress is not None:
                on_progress(Progress(done=len(done), total=len(items), what=what))
        return ((repository, done[repository.name]) for repository in items)

    # ---- questions

    def storage(
        self,
        names: Names = None,
        *,
        blob_mounting: bool | None = None,
        per_image: bool = False,
        executor: Executor | None = None,
        on_progress: OnProgress | None = None,
    ) -> StorageReport:
        """Return what the registry stores, by repository and class; see `ecrkit.cost.storage`.

        Raises:
            NotFound: a name has no repository.
        """
        return storage(
            self.inventories(names, on_progress=on_progress),
            blob_mounting=blob_mounting,
            per_image=per_image,
            taken_at=self.clock.now(),
            executor=executor,
        )

    def waste(
        self,
        names: Names = None,
        *,
        unused_days: float = 90,
        keep_releases: int = 1,
        convention: TagConventions | Convention | None = None,
        in_use: InUse | None = None,
        executor: Executor | None = None,
        on_progress: OnProgress | None = None,
    ) -> WasteReport:
        """Return the images that nobody seems to need; see `ecrkit.cost.waste`. What is `in_use` is none.

        Raises:
            InvalidInput: what is in use is not wholly known: a gap may hide any image.
            NotFound: a name has no repository.
        """
        if in_use is not None and not in_use.complete:
            gaps = [Problem("in_use", str(gap)) for gap in in_use.gaps]
            raise InvalidInput("what runs is not wholly known, so nothing can be called waste", gaps)
        held = self.inventories(names, on_progress=on_progress)
        used = {
            name: in_use.in_inventory(inventory).by_digest
            for name, inventory in held.items()
            if in_use is not None and inventory is not None
        }
        return waste(
            held,
            now=self.clock.now(),
            unused_days=unused_days,
            keep_releases=keep_releases,
            convention=convention,
            in_use=used,
            executor=executor,
        )

    def attribute(
        self,
        by: str | By | None = None,
        names: Names = None,
        *,
        shared_layers: SharedLayers = "even",
        mounted: bool = False,
        executor: Executor | None = None,
        on_progress: OnProgress | None = None,
    ) -> Attribution:
        """Return whose the stored bytes are; see `ecrkit.cost.attribute`.

        Args:
            by: the key of a resource tag such as `Team`, which is read for every repository; a function of repository
                and image; or None for the first part of the repository's name.
            names: which repositories.
            shared_layers: who pays for layers that several owners use.
            mounted: count each layer once in the registry.
            executor: where to work.
            on_progress: called after each repository.

        Raises:
            NotFound: a name has no repository.
        """
        held = self.inventories(names, on_progress=on_progress)
        owner = by_tag(by, self.tags(held, on_progress=on_progress)) if isinstance(by, str) else by or by_prefix()
        return attribute(held, owner, shared_layers=shared_layers, mounted=mounted, executor=executor)

    def hygiene(
        self,
        names: Names = None,
        *,
        required: Iterable[str] = COST_TAGS,
        allowed: Mapping[str, Iterable[str]] | None = None,
        on_progress: OnProgress | None = None,
    ) -> TagHygiene:
        """Return what is wrong with the resource tags as carriers of cost; see `ecrkit.cost.tag_hygiene`.

        Raises:
            NotFound: a name has no repository.
        """
        return tag_hygiene(self.tags(names, on_progress=on_progress), required=required, allowed=allowed)

    def prices(self, region: str | None = None) -> PriceTable:
        """Return the prices of a Region (default: the registry's), from the AWS price list, as of today.

        Without access to the price list, as in an embedded registry, only what ecrkit ships is there: us-east-1.

        Raises:
            InvalidInput: there are no prices for the Region.
            AwsCallFailed: the price list could not be read.
        """
        where = region or self.region
        if self.price_list is None:
            return prices_for(where)
        return self.price_list(where, self.clock.now().date())

    # ---- what was billed

    def bill(
        self,
        start: dt.date,
        end: dt.date,
        *,
        group_by: Iterable[str | Dimension] = (),
        where: Mapping[str, Iterable[str]] | None = None,
        regions: Iterable[str] = (),
        granularity: Granularity = "MONTHLY",
        metric: Metric = "UnblendedCost",
    ) -> Bill:
        """Return what ECR cost from `start` to `end`, which is excluded, as Cost Explorer tells it.

        Each request is charged at $0.01: the bill says how many it took, `explorer.spent` what all of them cost, and
        the same question is asked once. It covers every Region and account that the credentials may see, unless
        narrowed. A zero is checked before it is returned; one that cannot be relied on has a `total` of None. All
        arguments are those of `CostExplorer.bill`.

        Raises:
            InvalidInput: refused before any request, such as a third group; or the registry is an embedded one.
            AwsCallFailed: Cost Explorer refused.
        """
        return self.explorer.bill(
            start, end, group_by=group_by, where=where, regions=regions, granularity=granularity, metric=metric
        )

    def reconcile(self, bill: Bill, stored: StorageReport | None = None, *, gb: int = GIB) -> Reconciliation:
        """Return a bill beside the bytes that this Region stores, with the gap and its likely causes.

        Args:
            bill: grouped by usage type.
            stored: of every repository; by default it is read now, as `storage()` does.
            gb: how many bytes a GB of the bill has.

        Raises:
            InvalidInput: the bill is not grouped by usage type.
        """
        return reconcile(bill, self.storage() if stored is None else stored, region=self.region, gb=gb)

    # ---- tags

    def plan_tags(self, wanted: Mapping[str, Mapping[str, str]], *, remove: Iterable[str] = ()) -> TagPlan:
        """Return the plan that gives repositories these resource tags; nothing is written.

        Args:
            wanted: the tags by repository, such as `hygiene().fixes()` suggests; other tags stay.
            remove: keys to take away from these repositories.

        Raises:
            InvalidInput: ECR would refuse a tag, or the tags of a repository could not be read.
            NotFound: there is no such repository.
        """
        found = self._named(list(wanted))
        arns = {repository.name: repository.arn for repository in found}
        return plan_tags(wanted, current=self._tags_of(found), arns=arns, now=self.clock.now(), remove=remove)

    def _tags_of(
        self, repositories: list[Repository], on_progress: OnProgress | None = None
    ) -> dict[str, dict[str, str] | None]:
        def read(repository: Repository) -> dict[str, str] | None:
            try:
                return dict(self.resource_tags.tags_of(repository.arn))
            except CredentialsMissing:
                raise  # every other repository would fail alike, and nobody would be told why
            except AwsCallFailed:
                return None

        return {r.name: found for r, found in self._each(read, repositories, on_progress, "resource tags")}

    def apply_tags(self, plan: TagPlan, *, on_progress: OnProgress | None = None) -> TagsApplied:
        """Write the tags of a plan, unless the tags of one of its repositories have changed since.

        All tags are read again before the first is written. What fails then is told for each repository and does not
        stop the others. New tags are put before old keys are removed.

        Raises:
            PlanOutdated: tags changed, or cannot be read any more; nothing was written.
        """
        told = dict(self._side_by_side(self._outdated, plan.changes))
        changes = [why for change in plan.changes if (why := told[change])]
        if changes:
            raise PlanOutdated(
                f"the tag plan no longer holds, nothing was written: {'; '.join(changes[:5])}", changes=changes
            )
        done: dict[TagChange, str | None] = {}
        for change, why in self._side_by_side(self._written, plan.changes):
            done[change] = why
            if on_progress is not None:
                on_progress(Progress(done=len(done), total=len(plan.changes), what="repositories tagged"))
        applied = [change.repository for change in plan.changes if done[change] is None]
        failed = {change.repository: why for change in plan.changes if (why := done[change]) is not None}
        return TagsApplied(applied=tuple(applied), failed=failed)

    def _side_by_side(
        self, work: Callable[[TagChange], R], changes: Iterable[TagChange]
    ) -> Iterable[tuple[TagChange, R]]:
        return ((c, work(c)) for c in changes) if self.fan_out is None else self.fan_out.each(work, changes)

    def _outdated(self, change: TagChange) -> str | None:
        """Return why a change no longer holds, or None."""
        try:
            now = dict(self.resource_tags.tags_of(change.arn))
        except AwsCallFailed as fault:
            return f"{change.repository}: its tags cannot be read: {fault}"
        keys = sorted(k for k in {*now, *change.before} if now.get(k) != change.before.get(k))
        return f"{change.repository}: {', '.join(keys)} changed" if keys else None

    def _written(self, change: TagChange) -> str | None:
        """Write a change; return why that failed, or None."""
        try:
            self._write(change)
        except AwsCallFailed as fault:
            return str(fault)
        return None

    def _write(self, change: TagChange) -> None:
        if change.put:
            self.resource_tags.tag_resource(change.arn, change.put)
        if change.remove:
            self.resource_tags.untag_resource(change.arn, change.remove)
