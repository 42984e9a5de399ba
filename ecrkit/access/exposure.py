"""Who a resource policy lets in from outside: everybody, other accounts, an organisation, services.

A condition narrows a statement only when it is false for a request that lacks the key: `ForAllValues:` and
`...IfExists` do not (IAM user guide, "Multivalued context keys").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.conditions import split_operator
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.matching import Glob
from ecrkit.access.statements import Condition, Statement

__all__ = ["Exposure", "exposures", "narrowing", "readable_from_outside"]

Audience = Literal["public", "account", "organization", "service", "condition", "unknown"]

_KEYS: Final[Mapping[str, Audience]] = {
    "aws:principalorgid": "organization",
    "aws:principalorgpaths": "organization",
    "aws:sourceorgid": "organization",
    "aws:sourceorgpaths": "organization",
    "aws:principalaccount": "account",
    "aws:principalarn": "account",
    "aws:sourceaccount": "account",
    "aws:sourcearn": "account",
    "aws:userid": "condition",
    "aws:sourcevpc": "condition",
    "aws:sourcevpce": "condition",
    "aws:sourceip": "condition",
}
_READ: Final = ("ecr:batchgetimage", "ecr:getdownloadurlforlayer")


@attrs.frozen(kw_only=True)
class Exposure(Record):
    """One way in: the audience, its name (account, organisation, service), and the statement that opens it."""

    repository: str
    audience: Audience
    who: str
    statement: int


def narrowing(condition: Condition) -> tuple[Audience, tuple[str, ...]] | None:
    """Return what a condition limits the callers to; None when it lets anybody pass.

    Example:
        >>> narrowing(Condition("StringEquals", "aws:PrincipalOrgID", ("o-abc",)))
        ('organization', ('o-abc',))
        >>> narrowing(Condition("StringEqualsIfExists", "aws:PrincipalOrgID", ("o-abc",))) is None
        True
    """
    parsed = split_operator(condition.operator)
    audience = _KEYS.get(condition.key.lower())
    if parsed is None or audience is None:
        return None
    qualifier, name, if_exists = parsed
    if qualifier == "all" or if_exists or "Not" in name or name == "Null":
        return None
    if condition.key.lower() == "aws:sourceip":
        good = all(v not in {"0.0.0.0/0", "::/0"} for v in condition.values)
        return ("condition", condition.values) if good else None
    if audience == "organization":
        return (audience, condition.values) if all(re.match(r"o-[a-z0-9]+", v) for v in condition.values) else None
    if audience == "account":
        accounts = [re.search(r"[0-9]{12}", v) for v in condition.values]
        found = tuple(dict.fromkeys(a.group() for a in accounts if a))
        return (audience, found) if all(accounts) else None
    return (audience, condition.values) if all(v.strip("*?") for v in condition.values) else None


def _reads(statement: Statement) -> bool:
    for names, negated in ((statement.actions, False), (statement.not_actions, True)):
        if names is not None:
            globs = [Glob.of(n.lower()) for n in names]
            return any(any(g.matches(a) for g in globs) != negated for a in _READ)
    return True


def exposures(document: PolicyDocument, *, repository: str = "", account: str | None = None) -> tuple[Exposure, ...]:
    """Return every way in for reading images that the document opens to others than `account`.

    An explicit Deny elsewhere is not taken into account; `evaluate` does that for one caller.
    """
    found: list[Exposure] = []
    for index, statement in enumerate(document.statements):

        def add(audience: Audience, who: str, index: int = index) -> None:
            found.append(Exposure(repository=repository, audience=audience, who=who, statement=index))

        if statement.problems:
            add("unknown", str(statement.problems[0]))
            continue
        if statement.effect != "Allow" or not _reads(statement):
            continue
        if statement.not_principals is not None:
            add("public", "everybody but those named")
        for principal in statement.principals or ():
            if principal.everyone or principal.kind == "Service":
                limits = [n for n in map(narrowing, statement.conditions) if n is not None]
                if principal.kind == "Service":  # on whose behalf it comes, only these two tell
                    limits = [n for n in limits if n[0] in {"account", "organization"}]
                if not limits:
                    add(*(("service", principal.value) if principal.kind == "Service" else ("public", "*")))
                else:
                    audience, names = min(limits, key=lambda n: ("account", "organization", "condition").index(n[0]))
                    for name in names:
                        if audience != "account" or name != account:
                            add(audience, name)
            elif principal.kind != "AWS":
                add("unknown", principal.value)
            else:
                number = principal.account or next(iter(re.findall(r"::([0-9]{12}):", principal.value)), None)
                if number is None:
                    add("unknown", principal.value)
                elif number != account:
                    add("account", number)
    return tuple(found)


def readable_from_outside(
    policies: Mapping[str, PolicyDocument | str | None],
    *,
    account: str,
    organization: str | None = None,
    accounts: Iterable[str] = (),
) -> tuple[Exposure, ...]:
    """Return which repositories can be read by anybody outside the organisation, from a whole registry's policies.

    `policies` maps repository names to their policies (None: no policy); `accounts` are the organisation's accounts.
    Access limited by network or by what cannot be read is listed, since it may come from outside. So is a service that
    no condition binds to an account or organisation: it may come on behalf of anybody.

    Example:
        >>> open_ = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:*"}]}'
        >>> [(e.repository, e.audience) for e in readable_from_outside({"app": open_, "db": None}, account="1" * 12)]
        [('app', 'public')]
    """
    inside = {account, *accounts}
    found: list[Exposure] = []
    for name, given in sorted(policies.items()):
        if given is None:
            continue
        document = given if isinstance(given, PolicyDocument) else PolicyDocument.read(given, kind="repository")
        for way in exposures(document, repository=name, account=account):
            same_org = (
                organization is not None and way.audience == "organization" and way.who.split("/")[0] == organization
            )
            if not same_org and not (way.audience == "account" and way.who in inside):
                found.append(way)
    return tuple(found)
