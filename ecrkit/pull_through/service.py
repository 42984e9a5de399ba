"""The pull-through cache of one registry: rules planned and applied, names rewritten, the cache reported on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs

from ecrkit.errors import EcrkitError
from ecrkit.events import PullThroughCacheAction
from ecrkit.images.inventory import Inventory
from ecrkit.ports import Clock, ImageSource, RepositorySource
from ecrkit.pull_through import planning
from ecrkit.pull_through.planning import CacheStep, PullThroughPlan, PullThroughStore
from ecrkit.pull_through.references import PullThroughCache
from ecrkit.pull_through.report import CacheReport, RuleValidation, cache_report
from ecrkit.pull_through.rules import PullThroughRule
from ecrkit.records import CreationTemplate
from ecrkit.refs import RegistryHost

__all__ = ["PullThroughGateway", "PullThroughService"]


class PullThroughGateway(PullThroughStore, RepositorySource, ImageSource, Protocol):
    """Everything that the service asks of a registry."""

    def validate_pull_through_rule(self, prefix: str) -> RuleValidation:
        """Let ECR sign in to the upstream of a rule (ValidatePullThroughCacheRule)."""
        ...


@attrs.frozen
class PullThroughService:
    """The pull-through cache of a registry. No method but `apply` changes anything, and none pulls an image."""

    _gateway: PullThroughGateway
    _clock: Clock
    _host: Callable[[], RegistryHost]

    def cache(self) -> PullThroughCache:
        """Return the registry's host and rules, to rewrite names with. Calls: one for each 1000 rules.

        Raises:
            Denied: the rules may not be listed.
        """
        return PullThroughCache(self._host(), self._gateway.pull_through_rules())

    def plan(
        self,
        wanted: Iterable[PullThroughRule],
        *,
        templates: Iterable[CreationTemplate] = (),
        keep_others: bool = True,
    ) -> PullThroughPlan:
        """Return what makes the registry have these rules and creation templates; nothing is written.

        Secrets and roles are checked against the registry's own account and Region. See `planning.plan`.

        Raises:
            InvalidPolicy: a rule is one that ECR would refuse, or by which each pull would fail.
        """
        host = self._host()
        return planning.plan(
            self._gateway, wanted, templates=templates, keep_others=keep_others, account=host.account,
            region=host.region,
        )  # fmt: skip

    def apply(self, plan: PullThroughPlan) -> tuple[CacheStep, ...]:
        """Do the steps of a plan and return them.

        Raises:
            PlanOutdated: rules or templates changed since. Nothing was done.
            AwsCallFailed: a step failed; those before it are done.
        """
        return planning.apply(self._gateway, plan)

    def validate(self, *prefixes: str) -> dict[str, RuleValidation]:
        """Return whether ECR can sign in to the upstreams of these rules, or of all. Calls: one for each.

        A rule that may not be tried is `valid` None, with the reason.
        """
        names = prefixes or tuple(rule.prefix for rule in self._gateway.pull_through_rules())
        return {name: self._validated(name) for name in names}

    def _validated(self, prefix: str) -> RuleValidation:
        try:
            return self._gateway.validate_pull_through_rule(prefix)
        except EcrkitError as fault:
            return RuleValidation(prefix=prefix, valid=None, failure=str(fault))

    def report(
        self,
        *,
        events: Iterable[PullThroughCacheAction] = (),
        upstream_digest: Callable[[str], str | None] | None = None,
        validate: bool = True,
    ) -> CacheReport:
        """Return what the cache holds and how it stands to its upstreams; see `cache_report` for the states.

        No image is pulled, so nothing is fetched: manifests are not read. Calls: one for each 1000 rules and
        repositories, one for each 1000 images of a cached repository, and with `validate` one for each rule.
        """
        cache = self.cache()
        names = [r.name for r in self._gateway.repositories() if cache.rule_of(r.name) is not None]
        inventories = [Inventory(self._gateway.images(name), repository=name) for name in names]
        return cache_report(
            cache, inventories, now=self._clock.now(), events=events, upstream_digest=upstream_digest,
            validations=self.validate(*(r.prefix for r in cache.rules)) if validate and cache.rules else None,
        )  # fmt: skip
