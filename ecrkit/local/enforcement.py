"""Optional enforcement: every call is decided by IAM's evaluation logic, and refused in ECR's wording.

Source: IAM user guide, "Policy evaluation logic"; Service Authorization Reference, "Amazon Elastic Container Registry";
ECR user guide, "Private repository policies" and "Private registry permissions".
"""

from __future__ import annotations

import functools
import re
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs

from ecrkit.access.actions import action as known_action
from ecrkit.access.actions import hint
from ecrkit.access.conditions import ContextValue
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.evaluate import Decision, Policies, Request, access_denied_message, caller_of, evaluate
from ecrkit.access.gathering import PrincipalDocuments
from ecrkit.errors import InvalidInput, Problem
from ecrkit.local.events import Call
from ecrkit.local.faults import refuse
from ecrkit.refs import partition_of_region

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["Enforcement", "LocalPrincipal", "PrincipalLike"]

Source = PolicyDocument | str | Mapping[str, Any]

_PRINCIPAL: Final = re.compile(r"arn:[a-z-]+:(?:iam|sts)::(?P<account>[0-9]{12}):(?P<rest>.+)")
_EVERYTHING: Final = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_REMEMBERED: Final = 1000
# Real requests carry these; an engine in memory cannot know them, so a condition on one decides nothing.
_UNKNOWN: Final = (
    "aws:SourceIp", "aws:UserAgent", "aws:userid", "aws:username", "aws:TokenIssueTime", "aws:MultiFactorAuthPresent",
    "aws:MultiFactorAuthAge", "aws:VpcSourceIp",
)  # fmt: skip
# Addressed to no repository; GetAuthorizationToken is about the caller alone, whatever registryIds says.
_ALL_REPOSITORIES: Final = "DescribeRepositories"


@attrs.frozen(kw_only=True)
class LocalPrincipal:
    """Who may call an enforcing engine: an ARN and every policy that limits or allows it.

    `identity`, `permissions_boundary`, `session` and `service_control` are what `access.Policies` takes; raw JSON is
    read so that what is wrong in it never allows. `vpc_endpoint` is the policy of the endpoint that its requests come
    through. `context` holds condition keys of its requests, such as `aws:PrincipalOrgID`, `aws:SourceVpce` or
    `aws:PrincipalTag/team`; a key that is neither there nor known to the engine is absent from the request, except
    for keys that every real request has, such as `aws:SourceIp`: a condition on one of them is unknown, and refused.
    """

    arn: str
    identity: Source | Iterable[Source] = ()
    permissions_boundary: Source | None = None
    session: Source | Iterable[Source] = ()
    service_control: Any = None
    vpc_endpoint: Source | None = None
    context: Mapping[str, ContextValue] = attrs.field(factory=dict)


PrincipalLike = LocalPrincipal | Source | list[Source] | tuple[Source, ...]
"""A principal, or just the identity policies of a role of the engine's account that has the name given."""


@attrs.frozen(kw_only=True)
class _Known:
    """A principal with its documents read once."""

    asks_as: str
    account: str
    policies: Policies
    context: Mapping[str, ContextValue]
    unknown: tuple[str, ...] = _UNKNOWN


@functools.lru_cache(maxsize=4096)
def _read(text: str, kind: Literal["repository", "registry"]) -> PolicyDocument:
    return PolicyDocument.read(text, kind=kind)


class Enforcement:
    """Decides the calls of one engine. Made by `Engine(principals=...)` or `Engine.enforce(...)`.

    A call's `caller` is a name of `principals`, one of their ARNs, a session of one of their roles, or the root user
    of any account, which its own identity policies never limit. Anybody else gets UnrecognizedClientException.
    `denied` keeps the last refused decisions, each with `explain()`.

    Example:
        >>> from ecrkit.access import Scope, presets
        >>> from ecrkit.local import Engine, ServiceFault
        >>> engine = Engine(principals={"node": presets.pull(Scope("123456789012", "us-east-1"))})
        >>> made = engine.call("CreateRepository", {"repositoryName": "app"})
        >>> try:
        ...     engine.call("DeleteRepository", {"repositoryName": "app"}, caller="node")
        ... except ServiceFault as fault:
        ...     print(fault.message[:97])
        User: arn:aws:sts::123456789012:assumed-role/node/ecrkit is not authorized to perform: ecr:Delete
    """

    def __init__(
        self,
        principals: Mapping[str, PrincipalLike],
        *,
        account: str,
        region: str,
        resource_control: Mapping[str, Source | Iterable[Source]] | None = None,
    ) -> None:
        self.denied: deque[Decision] = deque(maxlen=_REMEMBERED)
        self._partition = partition_of_region(region)
        self._account = account
        self._by_caller: dict[str, _Known] = {}
        self._roles: dict[tuple[str, str], _Known] = {}
        self._lock = threading.Lock()
        self._resource_control = {
            number: Policies(resource_control=given).resource_control
            for number, given in (resource_control or {}).items()
        }
        problems: list[Problem] = []
        for name, given in principals.items():
            self._add(name, given, problems)
        if problems:
            raise InvalidInput("no principals of an embedded ECR", problems)

    @classmethod
    def of_anybody(cls, caller: str, *, account: str, region: str) -> Enforcement:
        """Return an enforcement for one caller of whom only the ARN is known: it finds a Deny that surely applies."""
        made = cls({}, account=account, region=region)
        found = _PRINCIPAL.fullmatch(caller)
        own = account if found is None else found["account"]
        everything = Policies(identity=[_EVERYTHING])
        made._by_caller[caller] = _Known(asks_as=caller, account=own, policies=everything, context={}, unknown=("*",))
        return made

    def _add(self, name: str, given: PrincipalLike, problems: list[Problem]) -> None:
        principal = (
            given
            if isinstance(given, LocalPrincipal)
            else LocalPrincipal(arn=f"arn:{self._partition}:iam::{self._account}:role/{name}", identity=given)
        )
        found = _PRINCIPAL.fullmatch(principal.arn)
        caller = caller_of(principal.arn)
        if found is None or caller.service or caller.federated:
            problems.append(Problem(f"$.{name}", f"{principal.arn!r:.200} is no ARN of a user, a role or a session"))
            return
        asks_as, context = principal.arn, dict(principal.context)
        role = caller.role_arn
        if role is not None:
            short = role.rpartition("/")[2]
            if ":role/" in principal.arn:
                # A role never calls as itself: requests, and the messages about them, carry its session.
                asks_as = f"arn:{principal.arn.split(':')[1]}:sts::{found['account']}:assumed-role/{short}/ecrkit"
                context.setdefault("aws:PrincipalArn", role)
        known = _Known(
            asks_as=asks_as,
            account=found["account"],
            context=context,
            policies=Policies(
                identity=principal.identity,
                permissions_boundary=principal.permissions_boundary,
                session=principal.session,
                service_control=principal.service_control,
                vpc_endpoint=principal.vpc_endpoint,
            ),
        )
        for key in dict.fromkeys((name, principal.arn, asks_as)):
            if key in self._by_caller:
                problems.append(Problem(f"$.{name}", f"{key} is taken by another principal"))
            self._by_caller[key] = known
        if role is not None and ":role/" in principal.arn:
            self._roles[found["account"], role.rpartition("/")[2]] = known

    # -- who asks -------------------------------------------------------------------------------------------------

    def _find(self, caller: str) -> _Known | None:
        found = self._by_caller.get(caller)
        if found is not None:
            return found
        match = _PRINCIPAL.fullmatch(caller)
        if match is None:
            return None
        account, rest = match["account"], match["rest"]
        if rest == "root":
            return _Known(asks_as=caller, account=account, policies=Policies(identity=[_EVERYTHING]), context={})
        kind, _, path = rest.partition("/")
        if kind == "assumed-role":
            role = self._roles.get((account, path.partition("/")[0]))
            return None if role is None else attrs.evolve(role, asks_as=caller)
        return None

    def resolve(self, caller: str) -> tuple[str, str]:
        """Return the ARN and the account that a caller asks with.

        Raises:
            ServiceFault: UnrecognizedClientException, there is no such principal.
        """
        found = self._find(caller)
        if found is None:
            refuse("UnrecognizedClientException", "The security token included in the request is invalid.")
        return found.asks_as, found.account

    def account_of(self, caller: str) -> str | None:
        """Return the account that a caller calls from, or None when it is no principal."""
        found = self._find(caller)
        return None if found is None else found.account

    def documents_of(self, principal: str) -> PrincipalDocuments:
        """Return what the engine was told of a principal; satisfies `access.DocumentSource`, as IAM's reader does."""
        known = self._find(principal)
        if known is None:
            if principal and not principal.startswith("arn:") and "." in principal:
                return PrincipalDocuments(principal=principal, policies=Policies())  # a service
            return PrincipalDocuments(
                principal=principal,
                policies=Policies(unreadable={"identity", "permissions_boundary"}),
                notes=(f"{principal} is no principal of this embedded ECR",),
            )
        return PrincipalDocuments(principal=known.asks_as, policies=known.policies, context=known.context)

    # -- decisions ------------------------------------------------------------------------------------------------

    def check(self, engine: Engine, call: Call) -> None:
        """Refuse the call unless every action it needs is allowed on every resource it names.

        Raises:
            ServiceFault: AccessDeniedException with IAM's message; an unknown decision is a refusal too.
        """
        for action, resource, extra in _asked(call):
            decision = self.decide(engine, call, action, resource, extra)
            if not decision.allowed:
                with self._lock:
                    self.denied.append(decision)
                refuse("AccessDeniedException", access_denied_message(decision))

    def decide(
        self,
        engine: Engine,
        call: Call,
        action: str,
        resource: str,
        extra: Mapping[str, ContextValue] | None = None,
        *,
        repository_policy: str | None = None,
    ) -> Decision:
        """Return the decision on one action; `repository_policy` stands in for the one that the engine holds."""
        known = self._find(call.caller)
        if known is None:
            refuse("UnrecognizedClientException", "The security token included in the request is invalid.")
        parts = resource.split(":", 5)
        region, owner, name = call.region, str(call.params.get("registryId") or call.account), ""
        if len(parts) == 6:
            region, owner, name = parts[3], parts[4], parts[5].removeprefix("repository/")
        if action == "ecr:GetAuthorizationToken":
            owner = known.account
        now = engine.clock.now()
        context: dict[str, ContextValue] = {
            "aws:CurrentTime": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "aws:EpochTime": int(now.timestamp()),
            "aws:SecureTransport": True,
            "aws:RequestedRegion": region,
            **(extra or {}),
        }
        with engine.lock:
            registry = engine.registry(owner, region)
            repo = registry.repositories.get(name)
            text = repository_policy
            if text is None and repo is not None:
                text = repo.policy_text
            registry_text, scope = registry.policy_text, registry.settings["REGISTRY_POLICY_SCOPE"]
            for key, value in (repo.tags if repo is not None else {}).items():
                context[f"aws:ResourceTag/{key}"] = context[f"ecr:ResourceTag/{key}"] = value
        context.update(known.context)
        given = {key.lower() for key in context}
        request = Request.build(
            known.asks_as,
            action,
            resource,
            context=context,
            unknown=[k for k in known.unknown if k.lower() not in given],
        )
        request = attrs.evolve(
            request, resource_account=owner, context={**request.context, "aws:ResourceAccount": owner}
        )
        policies = attrs.evolve(
            known.policies,
            repository=None if text is None else _read(text, "repository"),
            registry=None if registry_text is None else _read(registry_text, "registry"),
            registry_scope=scope,
            resource_control=self._resource_control.get(owner, ()),
        )
        return evaluate(request, policies)


def action_of(operation: str) -> str:
    """Return the IAM action that authorises an operation.

    Example:
        >>> action_of("ListImageReferrers"), action_of("PutImage")
        ('ecr:BatchGetImage', 'ecr:PutImage')
    """
    name = f"ecr:{operation}"
    if known_action(name) is None:
        found = hint(name)
        # "Did you mean" of a name that only looks alike must not authorise anything.
        if found is not None and found.instead and "authorised by" in found.message:
            return found.instead[0]
    return name


def _asked(call: Call) -> Iterator[tuple[str, str, Mapping[str, ContextValue]]]:
    """Yield action, resource and condition keys of everything a call needs."""
    params, operation = call.params, call.operation
    action = action_of(operation)
    known = known_action(action)
    extra: dict[str, ContextValue] = {}
    tags = params.get("tags") if operation in ("CreateRepository", "TagResource") else None
    if tags:
        extra.update({f"aws:RequestTag/{t['Key']}": t["Value"] for t in tags})
        extra["aws:TagKeys"] = [t["Key"] for t in tags]
    if operation == "UntagResource":
        extra["aws:TagKeys"] = list(params["tagKeys"])
    if operation in ("GetAccountSetting", "PutAccountSetting"):
        extra["ecr:AccountSetting"] = params["name"]
    if known is not None and not known.resource_level:
        yield action, "*", extra
        return
    for resource in _resources(call):
        yield action, resource, extra
        if operation == "CreateRepository" and tags:
            yield "ecr:TagResource", resource, extra


def _resources(call: Call) -> list[str]:
    params = call.params
    if params.get("resourceArn"):
        return [str(params["resourceArn"])]
    owner = str(params.get("registryId") or call.account)
    head = f"arn:{partition_of_region(call.region)}:ecr:{call.region}:{owner}:repository/"
    names = [params["repositoryName"]] if params.get("repositoryName") else params.get("repositoryNames")
    if names:
        return [head + name for name in dict.fromkeys(names)]
    return [head + "*"] if call.operation == _ALL_REPOSITORIES else ["*"]
