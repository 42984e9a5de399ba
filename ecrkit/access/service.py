"""Changing repository and registry policies: plan, look at the difference, apply.

`apply` reads again, refuses when somebody else changed the policy, and retries while a fresh principal is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.documents import BUDGETS, PolicyDocument
from ecrkit.access.evaluate import Policies, Request, evaluate
from ecrkit.access.explain import AccessExplanation, explain_pull
from ecrkit.access.statements import Statement, statement_dict
from ecrkit.errors import InvalidPolicy, PlanOutdated, PlanRefused, Problem, Rejected
from ecrkit.ports import Clock, ResourcePolicyStore

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
    """

    store: ResourcePolicyStore
    clock: Clock
    account: str
    region: str
    partition: str = "aws"
    caller: str | None = None

    def plan_repository(self, repository: str, policy: PolicyDocument | str | Mapping[str, Any]) -> PolicyPlan:
        """Return the plan to put a repository policy; reads the live one.

        Raises:
            InvalidPolicy: ECR would refuse it, or it is longer than 10,240 characters.
            PlanRefused: the policy would keep the caller from changing it again, or might.
        """
        document = _parsed(policy, "repository")
        arn = f"arn:{self.partition}:ecr:{self.region}:{self.account}:repository/{repository}"
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
        who = self.caller or f"arn:{self.partition}:iam::{self.account}:role/somebody"
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
            arn = f"arn:{self.partition}:ecr:{self.region}:{self.account}:repository/{plan.repository}"
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

    def explain_pull(self, principal: str, image: str, policies: Policies, **how: Any) -> AccessExplanation:
        """Return `explain_pull` with the repository and registry policy that the store holds put into `policies`."""
        from ecrkit.access.explain import _reference

        repository = _reference(image).repository
        whole = attrs.evolve(
            policies, repository=self.store.repository_policy(repository), registry=self.store.registry_policy()
        )
        return explain_pull(principal, image, whole, **how)


def _parsed(
    policy: PolicyDocument | str | Mapping[str, Any], kind: Literal["repository", "registry"]
) -> PolicyDocument:
    given = policy.to_dict() if isinstance(policy, PolicyDocument) else policy
    document = PolicyDocument.parse(given, kind=kind)
    if document.size > BUDGETS[kind]:
        message = f"{document.size} characters, and {BUDGETS[kind]} are allowed"
        raise InvalidPolicy(f"invalid {kind} policy", [Problem("$", message)])
    return document
