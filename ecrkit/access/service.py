"""Changing repository and registry policies: plan, look at the difference, apply.

`apply` reads again, refuses when somebody else changed the policy, and retries while a fresh principal is unknown.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.conditions import ContextValue
from ecrkit.access.documents import BUDGETS, PolicyDocument
from ecrkit.access.evaluate import Policies, Request, evaluate
from ecrkit.access.explain import AccessExplanation, explain_pull, explain_push, with_registry
from ecrkit.access.gathering import DocumentSource, Gathered, gather
from ecrkit.access.probes import ProbedDiagnosis, PullProbes
from ecrkit.access.probes import probe as run_probe
from ecrkit.access.pull_errors import diagnose
from ecrkit.access.statements import Statement, statement_dict
from ecrkit.access.survey import OutsideReport, survey
from ecrkit.errors import (
    InvalidInput,
    InvalidPolicy,
    InvalidReference,
    PlanOutdated,
    PlanRefused,
    Problem,
    Rejected,
)
from ecrkit.ports import Clock, FanOut, OnProgress, RepositorySource, ResourcePolicyStore
from ecrkit.refs import ImageRef

__all__ = ["AccessService", "Applied", "PolicyPlan"]

_ATTEMPTS: Final = 6
_FRESH: Final = ("principal not found", "invalid repository policy provided", "invalid registry policy provided")


@attrs.frozen(kw_only=True)
class PolicyPlan(Record):
    """What putting a policy would change, as read when it was made. An empty `repository` means the registry policy."""

    repository: str
    text: str
    replaces: str | None
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()

    @property
    def no_op(self) -> bool:
        """Whether the live policy already means the same."""
        return not self.added and not self.removed and self.replaces is not None

    def diff(self) -> str:
        """Return the statements that go and come, one a line; empty when nothing changes in meaning."""
        return "\n".join([*(f"- {s}" for s in self.removed), *(f"+ {s}" for s in self.added)])


@attrs.frozen(kw_only=True)
class Applied(Record):
    """What `apply` did: `unchanged` or `put`, and after how many attempts."""

    action: Literal["unchanged", "put"]
    attempts: int = 0


def _line(statement: Statement) -> str:
    return json.dumps({k: v for k, v in statement_dict(statement).items() if k != "Sid"}, ensure_ascii=False)


def _difference(old: PolicyDocument | None, new: PolicyDocument) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if old is not None and old == new:
        return (), ()
    before = {s.meaning(): s for s in old.statements} if old else {}
    after = {s.meaning(): s for s in new.statements}
    if before.keys() == after.keys():  # only the version differs, and it decides what ${...} means
        return tuple(map(_line, after.values())), tuple(map(_line, before.values()))
    added = tuple(_line(s) for m, s in after.items() if m not in before)
    return added, tuple(_line(s) for m, s in before.items() if m not in after)


@attrs.frozen
class AccessService:
    """Plans and applies repository and registry policies over a store, and explains pulls with what the store holds.

    `caller` is the ARN that will write; with it the lock-out check asks for that principal and not just for anybody.
    `account` is the registry's account, or what finds it out when first needed. `documents` reads the policies of
    principals; `registries` and `probes` give what reads another account's or Region's registry, by account and
    Region, or None; `repositories` and `fan_out` serve `readable_from_outside`.
    """

    store: ResourcePolicyStore
    clock: Clock
    account: str | Callable[[], str]
    region: str
    partition: str = "aws"
    caller: str | None = None
    documents: DocumentSource | None = None
    registries: Callable[[str, str], ResourcePolicyStore | None] | None = None
    probes: Callable[[str, str], PullProbes | None] | None = None
    repositories: RepositorySource | None = None
    fan_out: FanOut | None = None

    @functools.cached_property
    def owner(self) -> str:
        """The account of the registry."""
        return self.account if isinstance(self.account, str) else self.account()

    def plan_repository(self, repository: str, policy: PolicyDocument | str | Mapping[str, Any]) -> PolicyPlan:
        """Return the plan to put a repository policy; reads the live one.

        Raises:
            InvalidPolicy: ECR would refuse it, or it is longer than 10,240 characters.
            PlanRefused: the policy would keep the caller from changing it again, or might.
        """
        document = _parsed(policy, "repository")
        arn = f"arn:{self.partition}:ecr:{self.region}:{self.owner}:repository/{repository}"
        self._refuse_lock_out(document, "ecr:SetRepositoryPolicy", arn)
        return self._plan(repository, document, self.store.repository_policy(repository))

    def plan_registry(self, policy: PolicyDocument | str | Mapping[str, Any]) -> PolicyPlan:
        """Return the plan to put the registry policy; reads the live one.

        Raises:
            InvalidPolicy: ECR would refuse it, or it is longer than 10,240 characters.
            PlanRefused: the policy would keep the caller from changing it again, or might.
        """
        document = _parsed(policy, "registry")
        self._refuse_lock_out(document, "ecr:PutRegistryPolicy", "*")
        return self._plan("", document, self.store.registry_policy())

    def _plan(self, repository: str, document: PolicyDocument, live: str | None) -> PolicyPlan:
        old = None if live is None else PolicyDocument.read(live, kind=document.kind)
        added, removed = _difference(old, document)
        return PolicyPlan(
            repository=repository, text=document.to_json(), replaces=live, added=added, removed=removed
        )  # fmt: skip

    def _refuse_lock_out(self, document: PolicyDocument, action: str, resource: str) -> None:
        everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
        who = self.caller or f"arn:{self.partition}:iam::{self.owner}:role/somebody"
        # Without a named caller, only a Deny for everybody counts; what depends on the caller is the caller's business.
        request = Request.build(who, action, resource, unknown={"*"})
        if self.caller is None:
            keep = {k: v for k, v in request.context.items() if k != "aws:PrincipalArn"}
            request = attrs.evolve(request, context=keep)
        repository = document if document.kind == "repository" else None
        registry = document if document.kind == "registry" else None
        decision = evaluate(request, Policies(identity=[everything], repository=repository, registry=registry))
        refused = decision.outcome == "ExplicitlyDenied" or (self.caller is not None and not decision.allowed)
        if refused:
            raise PlanRefused(
                f"the policy would lock {self.caller or 'everybody'} out of {action}: {decision.explain()}",
                conflicts=[str(s) for s in decision.statements] or list(decision.uncertain),
            )

    def apply(self, plan: PolicyPlan, *, attempts: int = _ATTEMPTS) -> Applied:
        """Put the plan's policy unless the live one already means the same; `force` is never used.

        ECR does not know a role that is a few seconds old; the call is then repeated with growing pauses.

        Raises:
            PlanOutdated: the live policy changed its meaning since the plan was made; nothing was written.
            PlanRefused: the plan would lock the caller out.
            Rejected: ECR refuses the policy also after the last attempt.
        """
        kind: Literal["repository", "registry"] = "repository" if plan.repository else "registry"
        live = self.store.repository_policy(plan.repository) if plan.repository else self.store.registry_policy()
        document = _parsed(plan.text, kind)
        if live is not None and PolicyDocument.read(live, kind=kind) == document:
            return Applied(action="unchanged")
        was = None if plan.replaces is None else PolicyDocument.read(plan.replaces, kind=kind)
        now = None if live is None else PolicyDocument.read(live, kind=kind)
        if was != now:
            target = plan.repository or "the registry"
            raise PlanOutdated(
                f"the policy of {target} changed since the plan, nothing was written", changes=["policy"]
            )
        if plan.repository:
            arn = f"arn:{self.partition}:ecr:{self.region}:{self.owner}:repository/{plan.repository}"
            self._refuse_lock_out(document, "ecr:SetRepositoryPolicy", arn)
        else:
            self._refuse_lock_out(document, "ecr:PutRegistryPolicy", "*")
        for attempt in range(1, attempts + 1):
            try:
                if plan.repository:
                    self.store.set_repository_policy(plan.repository, plan.text, force=False)
                else:
                    self.store.put_registry_policy(plan.text)
            except Rejected as fault:
                if attempt >= attempts or not any(t in str(fault).lower() for t in _FRESH):
                    raise
                self.clock.sleep(float(min(2**attempt, 30)))
            else:
                return Applied(action="put", attempts=attempt)
        raise InvalidPolicy("no attempt was allowed", [Problem("$.attempts", "must be at least 1")])

    # -- what goes on -----------------------------------------------------------------------------------------------

    def explain_pull(
        self,
        principal: str,
        image: ImageRef | str,
        policies: Policies | None = None,
        *,
        context: Mapping[str, ContextValue] | None = None,
        unknown: Iterable[str] = ("*",),
        pull_through: bool = False,
        first_pull: bool = False,
    ) -> AccessExplanation:
        """Return whether the principal can pull the image, with the documents that AWS holds now.

        The repository and the registry policy are read from ECR, and the principal's own from IAM unless `policies`
        are given. What could not be read stands in `notes`, and the answer is unknown wherever it might decide.
        Policies of the organisation, of a session and of a VPC endpoint are told by no call: pass them in `policies`;
        without them they are taken to forbid nothing, which a note says.

        Calls: 3 of ECR, and for a role 3 of IAM and up to 2 for each of its policies; all read-only.

        Raises:
            InvalidReference: the image names no registry.
        """
        found, gathered = self._gather(principal, image, policies)
        answer = explain_pull(
            gathered.principal, found, gathered.policies, context={**gathered.context, **(context or {})},
            unknown=unknown, pull_through=pull_through, first_pull=first_pull,
        )  # fmt: skip
        return attrs.evolve(answer, principal=principal, notes=(*answer.notes, *gathered.notes))

    def explain_push(
        self,
        principal: str,
        image: ImageRef | str,
        policies: Policies | None = None,
        *,
        context: Mapping[str, ContextValue] | None = None,
        unknown: Iterable[str] = ("*",),
        cache: bool = False,
    ) -> AccessExplanation:
        """Return whether the principal can push the image; reads what `explain_pull` reads.

        Raises:
            InvalidReference: the image names no registry.
        """
        found, gathered = self._gather(principal, image, policies)
        answer = explain_push(
            gathered.principal, found, gathered.policies, context={**gathered.context, **(context or {})},
            unknown=unknown, cache=cache,
        )  # fmt: skip
        return attrs.evolve(answer, principal=principal, notes=(*answer.notes, *gathered.notes))

    def _gather(self, principal: str, image: ImageRef | str, policies: Policies | None) -> tuple[ImageRef, Gathered]:
        found = with_registry(image)
        gathered = gather(principal, found, known=policies, documents=self.documents, store=self._registry_of(found))
        return found, gathered

    def _registry_of(self, image: ImageRef) -> ResourcePolicyStore | None:
        host = image.registry
        if host is None or host.account is None or host.region is None:
            return None
        if (host.account, host.region) == (self.owner, self.region):
            return self.store
        return None if self.registries is None else self.registries(host.account, host.region)

    def diagnose(
        self,
        failure: str | Mapping[str, Any],
        *,
        image: ImageRef | str | None = None,
        probe: bool = False,
        read_manifest: bool = False,
    ) -> ProbedDiagnosis:
        """Return the likely causes of a failed pull; with `probe` read-only calls confirm or rule out some of them.

        The image is the one that the failure names, unless given. `read_manifest` also asks BatchGetImage and
        BatchCheckLayerAvailability: on a pull-through repository BatchGetImage imports the image, and it may count as
        a pull.

        Raises:
            InvalidReference: the image given is no reference with a registry.
        """
        told = diagnose(failure)
        if not probe:
            return ProbedDiagnosis(diagnosis=told)
        named: ImageRef | None = None
        if image is not None:
            named = with_registry(image)
        elif told.image is not None:
            try:
                named = with_registry(told.image)
            except InvalidReference:
                named = None
        if named is None:
            return ProbedDiagnosis(diagnosis=told, notes=("nothing was probed: the failure names no image",))
        host = named.registry
        if host is None or host.account is None or host.region is None:
            return ProbedDiagnosis(diagnosis=told, notes=("nothing was probed: ECR Public answers no such questions",))
        probes = None if self.probes is None else self.probes(host.account, host.region)
        if probes is None:
            return ProbedDiagnosis(diagnosis=told, notes=(f"nothing was probed: {host} is out of reach",))
        return run_probe(told, probes, named, read_manifest=read_manifest)

    def readable_from_outside(
        self,
        *,
        organization: str | None = None,
        accounts: Iterable[str] = (),
        on_progress: OnProgress | None = None,
    ) -> OutsideReport:
        """Return which repositories anybody outside the account (or organisation) can read, and by which statement.

        `accounts` are further accounts of one's own. Reads the policy of every repository and of the registry; what
        could not be read is named. Calls: one for each 1000 repositories, one for each repository, and one.

        Raises:
            InvalidInput: the service was made without a source of repositories.
        """
        if self.repositories is None or self.fan_out is None:
            raise InvalidInput.single("no survey", "repositories", "the service has no source of repositories")
        return survey(
            self.repositories, self.store, self.fan_out, account=self.owner, organization=organization,
            accounts=accounts, on_progress=on_progress,
        )  # fmt: skip


def _parsed(
    policy: PolicyDocument | str | Mapping[str, Any], kind: Literal["repository", "registry"]
) -> PolicyDocument:
    given = policy.to_dict() if isinstance(policy, PolicyDocument) else policy
    document = PolicyDocument.parse(given, kind=kind)
    if document.size > BUDGETS[kind]:
        message = f"{document.size} characters, and {BUDGETS[kind]} are allowed"
        raise InvalidPolicy(f"invalid {kind} policy", [Problem("$", message)])
    return document
