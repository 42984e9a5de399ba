"""May this principal do this? IAM's evaluation logic for ECR requests, offline, with a third answer.

Source: IAM user guide, "Policy evaluation logic"; ECR user guide, "Private repository policies" and "Private registry
permissions". A document or statement that cannot be read never allows: the answer is then `Unknown`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.actions import action as known_action
from ecrkit.access.compiled import Answer, Caller, Match
from ecrkit.access.conditions import Context, ContextValue
from ecrkit.access.documents import PolicyDocument, PolicyKind

__all__ = ["Decision", "Outcome", "Policies", "Request", "StatementRef", "access_denied_message", "evaluate"]

Outcome = Literal["Allowed", "ImplicitlyDenied", "ExplicitlyDenied", "Unknown"]
Source = PolicyDocument | str | Mapping[str, Any]

_SESSION: Final = re.compile(r"arn:([a-z-]+):sts::([0-9]{12}):assumed-role/([^/]+)/(.+)")
_ACCOUNT: Final = re.compile(r"arn:[a-z-]+:[a-z-]+:[^:]*:([0-9]{12}):")
_V1_ACTIONS: Final = frozenset({"ecr:replicateimage", "ecr:batchimportupstreamimage", "ecr:createrepository"})
# No repository exists yet whose policy could decide; the token is not about a repository.
_NO_REPOSITORY: Final = frozenset({"ecr:createrepository", "ecr:getauthorizationtoken"})

_LAYER: Final[Mapping[str, str]] = {
    "identity": "identity_policy",
    "repository": "resource_policy",
    "registry": "resource_policy",
    "trust": "resource_policy",
    "key": "resource_policy",
    "permissions_boundary": "permissions_boundary",
    "session": "session_policy",
    "service_control": "service_control_policy",
    "resource_control": "resource_control_policy",
    "vpc_endpoint": "vpc_endpoint_policy",
}


def _names(given: Iterable[str]) -> frozenset[str]:
    return frozenset(given)


@attrs.frozen(kw_only=True)
class Request(Record):
    """One request as IAM sees it.

    `principal` is the ARN of a session, user, role or identity provider, or a service such as `lambda.amazonaws.com`.
    `context` holds condition keys and values; a key that is neither there nor in `unknown` is absent from the request.
    `"*"` in `unknown` says that nobody knows about the keys that are not listed.
    """

    principal: str
    action: str
    resource: str = "*"
    resource_account: str | None = None
    context: Mapping[str, ContextValue] = attrs.field(factory=dict, hash=False)
    unknown: frozenset[str] = attrs.field(default=frozenset(), converter=_names)

    @classmethod
    def build(
        cls,
        principal: str,
        action: str,
        resource: str = "*",
        *,
        context: Mapping[str, ContextValue] | None = None,
        unknown: Iterable[str] = (),
    ) -> Request:
        """Return a request with the keys that follow from principal and resource filled in.

        These are `aws:PrincipalArn`, `aws:PrincipalAccount`, `aws:PrincipalIsAWSService`, `aws:ResourceAccount` and
        `aws:RequestedRegion`; values of `context` go before.

        Example:
            >>> r = Request.build("arn:aws:iam::111111111111:role/node", "ecr:BatchGetImage",
            ...                   "arn:aws:ecr:eu-west-1:222222222222:repository/app")
            >>> r.context["aws:ResourceAccount"], r.context["aws:RequestedRegion"]
            ('222222222222', 'eu-west-1')
        """
        caller = caller_of(principal)
        found: dict[str, ContextValue] = {"aws:PrincipalIsAWSService": caller.service}
        if caller.account is not None and not caller.service:
            found["aws:PrincipalArn"] = caller.role_arn or caller.name
            found["aws:PrincipalAccount"] = caller.account
        parts = resource.split(":", 5)
        account = parts[4] if len(parts) == 6 and parts[4] else caller.account
        if account:
            found["aws:ResourceAccount"] = account
        if len(parts) == 6 and parts[3]:
            found["aws:RequestedRegion"] = parts[3]
        return cls(
            principal=principal, action=action, resource=resource, resource_account=account,
            context={**found, **(context or {})}, unknown=frozenset(unknown),
        )  # fmt: skip


def caller_of(principal: str, context: Mapping[str, ContextValue] | None = None) -> Caller:
    """Return who a principal text stands for; a role's path is known only from `aws:PrincipalArn`."""
    session = _SESSION.fullmatch(principal)
    if session:
        partition, account, role, _name = session.groups()
        told = next((v for k, v in (context or {}).items() if k.lower() == "aws:principalarn"), None)
        arn = told if isinstance(told, str) and ":role/" in told else f"arn:{partition}:iam::{account}:role/{role}"
        return Caller(
            name=principal, account=account, role_arn=arn, session_arn=principal,
            service_linked=role.startswith("AWSServiceRoleFor"),
        )  # fmt: skip
    if not principal.startswith("arn:"):
        return Caller(name=principal, service=True)
    found = _ACCOUNT.match(principal)
    account_of = found.group(1) if found else None
    provider = ":oidc-provider/" in principal or ":saml-provider/" in principal
    is_role = ":role/" in principal
    return Caller(
        name=principal, account=None if provider else account_of, federated=provider,
        role_arn=principal if is_role else None, service_linked="/AWSServiceRoleFor" in principal,
    )  # fmt: skip


def _documents(kind: PolicyKind, given: Source | Iterable[Source] | None) -> tuple[PolicyDocument, ...]:
    if given is None:
        return ()
    if isinstance(given, PolicyDocument | str | Mapping):
        return (_document(given, kind),)
    return tuple(_document(g, kind) for g in given)


def _document(given: Any, kind: PolicyKind) -> PolicyDocument:
    return given if isinstance(given, PolicyDocument) else PolicyDocument.read(given, kind=kind)


def _optional(kind: PolicyKind, given: Source | None) -> PolicyDocument | None:
    return None if given is None else _document(given, kind)


def _identity(given: Source | Iterable[Source] | None) -> tuple[PolicyDocument, ...]:
    return _documents("identity", given)


def _session(given: Source | Iterable[Source] | None) -> tuple[PolicyDocument, ...]:
    return _documents("session", given)


def _resource_control(given: Source | Iterable[Source] | None) -> tuple[PolicyDocument, ...]:
    return _documents("resource_control", given)


def _repository(given: Source | None) -> PolicyDocument | None:
    return _optional("repository", given)


def _registry(given: Source | None) -> PolicyDocument | None:
    return _optional("registry", given)


def _trust(given: Source | None) -> PolicyDocument | None:
    return _optional("trust", given)


def _permissions_boundary(given: Source | None) -> PolicyDocument | None:
    return _optional("permissions_boundary", given)


def _vpc_endpoint(given: Source | None) -> PolicyDocument | None:
    return _optional("vpc_endpoint", given)


def _levels(given: Any) -> tuple[tuple[PolicyDocument, ...], ...] | None:
    if given is None:
        return None
    items = [given] if isinstance(given, PolicyDocument | str | Mapping) else list(given)
    flat = [i for i in items if isinstance(i, PolicyDocument | str | Mapping)]
    nested = [i for i in items if not isinstance(i, PolicyDocument | str | Mapping)]
    levels = [*([flat] if flat else []), *nested]
    return tuple(tuple(_document(d, "service_control") for d in level) for level in levels)


@attrs.frozen(kw_only=True)
class Policies:
    """Every document that has a say. Raw JSON is taken too, and read so that what is wrong in it never allows.

    `service_control` is one level of documents, or a list of levels (root, unit, account) that must all allow; None
    means that the account is in no organisation. `resource_control` holds what is added to AWS's full-access policy.
    `registry_scope` is `V2` (all actions) or `V1` (replication, import and creation only). `unreadable` names kinds
    that exist but could not be read; what they might decide is unknown.
    """

    identity: tuple[PolicyDocument, ...] = attrs.field(default=(), converter=_identity)
    repository: PolicyDocument | None = attrs.field(default=None, converter=_repository)
    registry: PolicyDocument | None = attrs.field(default=None, converter=_registry)
    trust: PolicyDocument | None = attrs.field(default=None, converter=_trust)
    permissions_boundary: PolicyDocument | None = attrs.field(default=None, converter=_permissions_boundary)
    session: tuple[PolicyDocument, ...] = attrs.field(default=(), converter=_session)
    service_control: tuple[tuple[PolicyDocument, ...], ...] | None = attrs.field(default=None, converter=_levels)
    resource_control: tuple[PolicyDocument, ...] = attrs.field(default=(), converter=_resource_control)
    vpc_endpoint: PolicyDocument | None = attrs.field(default=None, converter=_vpc_endpoint)
    registry_scope: str = "V2"
    unreadable: frozenset[str] = attrs.field(default=frozenset(), converter=_names)


@attrs.frozen(kw_only=True)
class StatementRef(Record):
    """Where a statement stands: kind of policy, number of the document among its kind, number of the statement."""

    policy: str
    document: int
    index: int
    sid: str | None
    effect: str

    def __str__(self) -> str:
        name = f" ({self.sid})" if self.sid else ""
        return f"{self.effect} in statement {self.index + 1}{name} of {self.policy} policy {self.document + 1}"


@attrs.frozen(kw_only=True)
class Decision(Record):
    """The answer, the statements that decided, and the layers that stand in the way.

    `blocked_by` names layers such as `identity_policy` or `vpc_endpoint_policy`; it is empty when allowed.
    """

    request: Request
    outcome: Outcome
    statements: tuple[StatementRef, ...] = ()
    blocked_by: tuple[str, ...] = ()
    uncertain: tuple[str, ...] = ()

    @property
    def allowed(self) -> bool:
        """Whether the request is allowed; an unknown outcome is not."""
        return self.outcome == "Allowed"

    def explain(self) -> str:
        """Return the decision in a sentence."""
        asked = self.request
        what = f"{asked.principal} may{'' if self.allowed else ' not'} {asked.action} on {asked.resource}"
        layers = ", ".join(b.replace("_", " ") for b in self.blocked_by)
        deciding = "; ".join(map(str, self.statements))
        if self.outcome == "Allowed":
            return f"{what}: {deciding}"
        if self.outcome == "ExplicitlyDenied":
            return f"{what}: {deciding}"
        if self.outcome == "ImplicitlyDenied":
            return f"{what}: nothing in {layers} allows it"
        return (
            f"nobody can tell whether {self.request.principal} may {self.request.action}: {'; '.join(self.uncertain)}"
        )


@attrs.frozen
class _Layer:
    allow: Answer
    direct: Answer
    session: Answer
    deny: Answer
    allows: tuple[StatementRef, ...]
    denies: tuple[StatementRef, ...]
    doubts: tuple[str, ...]


def _or(*answers: Answer) -> Answer:
    return True if True in answers else (None if None in answers else False)


def _and(*answers: Answer) -> Answer:
    return False if False in answers else (None if None in answers else True)


def _layer(
    documents: Iterable[PolicyDocument], request: Request, caller: Caller, context: Context, *, unreadable: bool = False
) -> _Layer:
    allow: Answer = None if unreadable else False
    direct: Answer = allow
    session: Answer = allow
    deny: Answer = allow
    allows: list[StatementRef] = []
    denies: list[StatementRef] = []
    doubts: list[str] = []
    for number, document in enumerate(documents):
        for m in document.compiled.matches(request.action, request.resource, caller, context):
            ref = _ref(document.kind, number, m)
            if m.applies is None:
                why = str(m.statement.problems[0]) if m.statement.problems else "depends on what is not known"
                doubts.append(f"{ref}: {why}")
            if m.statement.effect != "Deny":
                # An opaque statement may allow or deny.
                allow = _or(allow, m.applies)
                direct = _or(direct, m.applies if m.reach != "account" else False)
                session = _or(session, m.applies if m.reach == "session" else False)
                if m.applies:
                    allows.append(ref)
            if m.statement.effect != "Allow":
                deny = _or(deny, m.applies)
                if m.applies:
                    denies.append(ref)
    return _Layer(allow, direct, session, deny, tuple(allows), tuple(denies), tuple(doubts))


def _ref(kind: str, number: int, match: Match) -> StatementRef:
    statement = match.statement
    return StatementRef(policy=kind, document=number, index=match.index, sid=statement.sid, effect=statement.effect)


def _context(request: Request) -> Context:
    action = known_action(request.action)
    values: dict[str, tuple[str, ...]] = {}
    for key, value in request.context.items():
        low = key.lower()
        # Tags of a resource exist only for actions that are about a resource.
        tag = low.startswith(("ecr:resourcetag/", "ecr-public:resourcetag/", "aws:resourcetag/"))
        if tag and action is not None and not action.resource_level:
            continue
        values[low] = _values(value)
    return Context(values, frozenset(k.lower() for k in request.unknown))


def _values(value: ContextValue) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("true" if value else "false",)
    if isinstance(value, str | int | float):
        return (str(value),)
    return tuple(str(v) for v in value)


def evaluate(request: Request, policies: Policies) -> Decision:
    """Return whether the policies allow the request, and which statements decide.

    Same account: identity or resource policy suffices; a resource policy that names only the account delegates and does
    not grant. Across accounts both must allow. Boundary, session, service control, resource control and endpoint
    policies can only take away; service-linked roles are exempt from service and resource control policies.

    Example:
        >>> pull = {"Version": "2012-10-17", "Statement": [
        ...     {"Effect": "Allow", "Action": "ecr:BatchGetImage", "Resource": "*"}]}
        >>> asked = Request.build("arn:aws:iam::111111111111:role/node", "ecr:BatchGetImage",
        ...                       "arn:aws:ecr:eu-west-1:222222222222:repository/app")
        >>> decision = evaluate(asked, Policies(identity=[pull]))
        >>> decision.outcome, decision.blocked_by
        ('ImplicitlyDenied', ('resource_policy',))
    """
    caller = caller_of(request.principal, request.context)
    context = _context(request)
    low = request.action.lower()
    unreadable = policies.unreadable

    def layer(kind: str, documents: Iterable[PolicyDocument]) -> _Layer:
        return _layer(documents, request, caller, context, unreadable=kind in unreadable)

    def limit(kind: str, documents: Iterable[PolicyDocument | None]) -> _Layer | None:
        given = [d for d in documents if d is not None]
        return layer(kind, given) if given or kind in unreadable else None

    identity = layer("identity", policies.identity)
    resource = _resource_layer(layer, low, policies)
    boundary = limit("permissions_boundary", [policies.permissions_boundary])
    session = limit("session", policies.session)
    endpoint = limit("vpc_endpoint", [policies.vpc_endpoint])
    exempt = caller.service_linked
    scps = [] if exempt or caller.service else [layer("service_control", d) for d in policies.service_control or ()]
    if "service_control" in unreadable and not scps and not exempt:
        scps = [layer("service_control", ())]
    rcp = layer("resource_control", () if exempt else policies.resource_control)
    own = request.resource_account is None or request.resource_account == caller.account
    outside = caller.service or caller.federated
    caps = [c.allow for c in (boundary, session) if c is not None]
    if outside:
        granted: Answer = resource.allow
    elif policies.trust is not None and own:
        granted = _or(_and(resource.direct, *caps), resource.session, _and(resource.allow, identity.allow, *caps))
    elif own:
        granted = _or(_and(_or(identity.allow, resource.direct), *caps), resource.session)
    else:
        granted = _and(identity.allow, resource.allow, *caps)
    allowed = _and(granted, *[s.allow for s in scps], *([endpoint.allow] if endpoint else []))
    named: list[tuple[str, _Layer]] = [("identity", identity), ("repository", resource), ("resource_control", rcp)]
    named += [("service_control", s) for s in scps]
    named += [
        (k, v) for k, v in (("permissions_boundary", boundary), ("session", session), ("vpc_endpoint", endpoint)) if v
    ]
    denies = tuple(ref for _, found in named for ref in found.denies)
    if denies:
        kinds = tuple(dict.fromkeys(_LAYER[k] for k, found in named if found.denies))
        return Decision(request=request, outcome="ExplicitlyDenied", statements=denies, blocked_by=kinds)
    maybe = any(found.deny is None for _, found in named)
    doubts = tuple(
        dict.fromkeys(
            [d for _, found in named for d in found.doubts]
            + [f"{u} policy could not be read" for u in sorted(unreadable)]
        )
    )
    if allowed is True and not maybe:
        deciding = tuple(ref for _, found in named for ref in found.allows)
        return Decision(request=request, outcome="Allowed", statements=deciding)
    if allowed is False:
        blocked = _blocking(
            identity, resource, scps, boundary=boundary, session=session, endpoint=endpoint, own=own, outside=outside
        )
        return Decision(request=request, outcome="ImplicitlyDenied", blocked_by=blocked)
    blocked = tuple(dict.fromkeys(_LAYER[k] for k, found in named if found.doubts or found.deny is None))
    return Decision(request=request, outcome="Unknown", blocked_by=blocked, uncertain=doubts)


def _resource_layer(layer: Any, action: str, policies: Policies) -> _Layer:
    found: list[PolicyDocument] = []
    if policies.trust is not None:
        return layer("trust", [policies.trust])  # type: ignore[no-any-return]
    unreadable = "none"
    if action not in _NO_REPOSITORY:
        if policies.repository is not None:
            found.append(policies.repository)
        if "repository" in policies.unreadable:
            unreadable = "repository"
    # The token is not about a resource, so no resource policy can grant or refuse it.
    applies = action != "ecr:getauthorizationtoken" and (policies.registry_scope != "V1" or action in _V1_ACTIONS)
    if applies:
        if policies.registry is not None:
            found.append(policies.registry)
        if "registry" in policies.unreadable:
            unreadable = "registry"
    return layer(unreadable, found)  # type: ignore[no-any-return]


def _blocking(
    identity: _Layer,
    resource: _Layer,
    scps: list[_Layer],
    *,
    boundary: _Layer | None,
    session: _Layer | None,
    endpoint: _Layer | None,
    own: bool,
    outside: bool,
) -> tuple[str, ...]:
    blocked: list[str] = []
    if outside:
        if resource.allow is False:
            blocked.append("resource_policy")
    elif own:
        if identity.allow is False and resource.direct is False and resource.session is False:
            blocked.append("identity_policy")
    else:
        if identity.allow is False:
            blocked.append("identity_policy")
        if resource.allow is False:
            blocked.append("resource_policy")
    blocked += ["service_control_policy" for s in scps if s.allow is False]
    for found, name in (
        (boundary, "permissions_boundary"), (session, "session_policy"), (endpoint, "vpc_endpoint_policy"),
    ):  # fmt: skip
        if found is not None and found.allow is False:
            blocked.append(name)
    return tuple(dict.fromkeys(blocked))


_WORDS: Final[Mapping[str, tuple[str, str]]] = {
    "identity_policy": ("identity-based policy", "an identity-based policy"),
    "resource_policy": ("resource-based policy", "a resource-based policy"),
    "permissions_boundary": ("permissions boundary", "a permissions boundary"),
    "session_policy": ("session policy", "a session policy"),
    "service_control_policy": ("service control policy", "a service control policy"),
    "resource_control_policy": ("resource control policy", "a resource control policy"),
    "vpc_endpoint_policy": ("VPC endpoint policy", "a VPC endpoint policy"),
}


def access_denied_message(decision: Decision) -> str:
    """Return the text of ECR's AccessDeniedException for a denied request.

    Source: IAM user guide, "Troubleshoot access denied error messages". An unknown outcome is worded as not allowed.

    Example:
        >>> asked = Request.build("arn:aws:iam::111111111111:role/node", "ecr:GetAuthorizationToken")
        >>> access_denied_message(evaluate(asked, Policies()))[-91:]
        'on resource: * because no identity-based policy allows the ecr:GetAuthorizationToken action'
    """
    request = decision.request
    head = f"User: {request.principal} is not authorized to perform: {request.action} on resource: {request.resource}"
    layer = decision.blocked_by[0] if decision.blocked_by else "identity_policy"
    plain, with_article = _WORDS[layer]
    if decision.outcome == "ExplicitlyDenied":
        return f"{head} with an explicit deny in {with_article}"
    return f"{head} because no {plain} allows the {request.action} action"
