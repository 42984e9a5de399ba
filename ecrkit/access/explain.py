"""Why a principal can or cannot pull or push an image: every needed action with its deciding statement.

Source: ECR user guide, "Private repository policies", "IAM permissions ... pull through cache", "Pushing an image".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.conditions import ContextValue
from ecrkit.access.evaluate import Decision, Outcome, Policies, Request, caller_of, evaluate
from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef

__all__ = ["AccessExplanation", "Step", "explain_pull", "explain_push"]

_PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_PUSH = (
    "ecr:BatchCheckLayerAvailability", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart", "ecr:CompleteLayerUpload",
    "ecr:PutImage",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Step(Record):
    """One needed action: the decision, and what to add where when it is not allowed."""

    action: str
    resource: str
    decision: Decision
    missing: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class AccessExplanation(Record):
    """Whether the whole pull or push works; `steps` in the order in which a client asks."""

    principal: str
    image: str
    what: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    @property
    def outcome(self) -> Outcome:
        """The worst outcome of the steps."""
        found = {s.decision.outcome for s in self.steps}
        order: Sequence[Outcome] = ("ExplicitlyDenied", "ImplicitlyDenied", "Unknown")
        for bad in order:
            if bad in found:
                return bad
        return "Allowed"

    @property
    def allowed(self) -> bool:
        """Whether every step is allowed; unknown is not."""
        return self.outcome == "Allowed"

    def explain(self) -> str:
        """Return the whole answer, one line an action."""
        lines = [f"{self.what} of {self.image} by {self.principal}: {self.outcome}"]
        for step in self.steps:
            lines.append(f"- {step.action}: {step.decision.explain()}")
            lines += [f"    {m}" for m in step.missing]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


def _missing(decision: Decision, own: bool) -> tuple[str, ...]:
    request = decision.request
    out: list[str] = []
    verb = "remove or narrow the Deny in" if decision.outcome == "ExplicitlyDenied" else "allow"
    places: Mapping[str, str] = {
        "identity_policy": f"an identity policy of {request.principal}",
        "resource_policy": "the repository policy (or the registry policy) of the image's account",
        "permissions_boundary": "the permissions boundary of the role",
        "session_policy": "the session policy",
        "service_control_policy": "a service control policy of the caller's organisation",
        "resource_control_policy": "a resource control policy of the image's organisation",
        "vpc_endpoint_policy": "the policy of the VPC endpoint (ecr.api, ecr.dkr)",
    }
    for layer in decision.blocked_by:
        place = places[layer]
        if decision.outcome == "Unknown":
            out.append(f"find out what {place} says")
        elif decision.outcome == "ExplicitlyDenied":
            out.append(f"{verb} {place}")
        else:
            out.append(f"{verb} {request.action} on {request.resource} in {place}")
    if (
        own
        and decision.blocked_by == ("identity_policy",)
        and decision.outcome == "ImplicitlyDenied"
        and request.resource != "*"
    ):
        out.append("or name the role itself in the repository policy; naming the account only delegates")
    return tuple(out)


def _explain(
    what: str, actions: Iterable[tuple[str, str]], principal: str, image: ImageRef, policies: Policies,
    *, context: Mapping[str, ContextValue] | None, unknown: Iterable[str], notes: Iterable[str] = (),
) -> AccessExplanation:  # fmt: skip
    steps: list[Step] = []
    for name, resource in actions:
        request = Request.build(principal, name, resource, context=context, unknown=unknown)
        decision = evaluate(request, policies)
        own = request.resource_account == caller_of(principal).account
        missing = () if decision.allowed else _missing(decision, own)
        steps.append(Step(action=name, resource=resource, decision=decision, missing=missing))
    return AccessExplanation(principal=principal, image=str(image), what=what, steps=tuple(steps), notes=tuple(notes))


def with_registry(image: ImageRef | str) -> ImageRef:
    """Return the reference, which must name its registry."""
    found = ImageRef.parse(image) if isinstance(image, str) else image
    if found.registry is None:
        raise InvalidReference.single("no registry", str(found), "write the image with its registry host")
    return found


def explain_pull(
    principal: str,
    image: ImageRef | str,
    policies: Policies,
    *,
    context: Mapping[str, ContextValue] | None = None,
    unknown: Iterable[str] = ("*",),
    pull_through: bool = False,
    first_pull: bool = False,
) -> AccessExplanation:
    """Return whether the principal can pull the image, step by step.

    For an EKS pod the principal is the node role (Fargate: the pod execution role), not the service account's.
    Condition keys that are not given count as not known, unless `unknown` is empty.

    Raises:
        InvalidReference: the image names no registry.

    Example:
        >>> from ecrkit.access.presets import pull
        >>> from ecrkit.access.scope import Scope
        >>> policies = Policies(identity=[pull(Scope("111111111111", "eu-west-1"))])
        >>> image = "111111111111.dkr.ecr.eu-west-1.amazonaws.com/app:v1"
        >>> explain_pull("arn:aws:iam::111111111111:role/node", image, policies).outcome
        'Allowed'
    """
    found = with_registry(image)
    if found.registry is not None and found.registry.public:
        actions = [("ecr-public:GetAuthorizationToken", "*"), ("sts:GetServiceBearerToken", "*")]
        notes = ["without the token the pull goes on anonymously, with a lower rate limit; the token is of us-east-1"]
        return _explain("pull", actions, principal, found, policies, context=context, unknown=unknown, notes=notes)
    arn = found.arn
    actions = [("ecr:GetAuthorizationToken", "*")]
    if pull_through or first_pull:
        actions += [("ecr:CreateRepository", arn)] if first_pull else []
        actions.append(("ecr:BatchImportUpstreamImage", arn))
    actions += [(a, arn) for a in _PULL]
    return _explain("pull", actions, principal, found, policies, context=context, unknown=unknown)


def explain_push(
    principal: str,
    image: ImageRef | str,
    policies: Policies,
    *,
    context: Mapping[str, ContextValue] | None = None,
    unknown: Iterable[str] = ("*",),
    cache: bool = False,
) -> AccessExplanation:
    """Return whether the principal can push the image; `cache` for clients that read from the repository too.

    Raises:
        InvalidReference: the image names no private registry.
    """
    found = with_registry(image)
    arn = found.arn
    actions: list[tuple[str, Any]] = [("ecr:GetAuthorizationToken", "*"), *((a, arn) for a in _PUSH)]
    actions += [(a, arn) for a in _PULL] if cache else []
    return _explain("push", actions, principal, found, policies, context=context, unknown=unknown)
