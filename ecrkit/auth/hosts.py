"""The host forms that one registry is pulled from.

Docker, containerd and the kubelet look credentials up by exact host, so a document needs an entry for each form used.
Source: AWS General Reference, "Amazon ECR endpoints and quotas".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from ecrkit.auth.tokens import Token, TokenScope, registry_host
from ecrkit.errors import InvalidInput, InvalidReference, Problem
from ecrkit.refs import ImageRef, RegistryHost

__all__ = ["FIPS_REGIONS", "Target", "Targets", "host_forms"]

Target = RegistryHost | ImageRef | str
"""A registry host, or an image reference with one."""
Targets = Iterable[Target]
"""Registry hosts and image references; a single one is refused, since a text is iterable too."""

FIPS_REGIONS: Final = frozenset({"us-east-1", "us-east-2", "us-west-1", "us-west-2", "us-gov-east-1", "us-gov-west-1"})
"""The Regions with FIPS endpoints of ECR. Asking for one elsewhere gives a name that does not resolve."""


def host_forms(target: Target) -> tuple[RegistryHost, ...]:
    """Return every documented host of the registry that `target` names: standard, FIPS, dual-stack, both.

    FIPS forms are given where FIPS endpoints exist, dual-stack forms where the partition has them. A form that was
    asked for is always among them.

    Raises:
        InvalidReference: `target` names no host of ECR.

    Example:
        >>> [str(host) for host in host_forms("123456789012.dkr.ecr.eu-west-1.amazonaws.com")]
        ['123456789012.dkr.ecr.eu-west-1.amazonaws.com', '123456789012.dkr-ecr.eu-west-1.on.aws']
        >>> [str(host) for host in host_forms("public.ecr.aws")]
        ['public.ecr.aws', 'ecr-public.aws.com']
    """
    asked = registry_host(target)
    if asked.account is None or asked.region is None:
        return tuple(RegistryHost(account=None, region=None, dual_stack=dual) for dual in (False, True))
    forms = []
    for dual_stack in (False, True):
        for fips in (False, True):
            try:
                form = RegistryHost.private(asked.account, asked.region, fips=fips, dual_stack=dual_stack)
            except InvalidReference:  # the partition has no dual-stack host
                continue
            if not fips or asked.region in FIPS_REGIONS or form == asked:
                forms.append(form)
    return tuple(forms)


def hosts_of(targets: Targets, *, all_forms: bool, endpoints: frozenset[str] = frozenset()) -> list[RegistryHost | str]:
    """Return the hosts of the targets, each once, in order; the embedded ECR's own endpoints pass as they are.

    Raises:
        InvalidInput: no target, or targets that name no host of ECR; every one of them is told.
    """
    if isinstance(targets, str | RegistryHost | ImageRef):
        raise InvalidInput.single("no hosts", "hosts", "pass a list of hosts or references, not a single one")
    found: dict[RegistryHost | str, None] = {}
    problems: list[Problem] = []
    for number, target in enumerate(targets):
        try:
            found.update(dict.fromkeys(host_forms(target) if all_forms else [registry_host(target)]))
        except InvalidReference as error:
            host = target.partition("/")[0] if isinstance(target, str) else ""
            if host in endpoints:
                found[host] = None
            else:
                problems += [Problem(f"hosts[{number}]", p.message) for p in error.problems]
    if not found and not problems:
        problems.append(Problem("hosts", "at least one host is needed"))
    if problems:
        raise InvalidInput("no credentials for these hosts", problems)
    return list(found)


def token_for(host: RegistryHost | str, tokens: Iterable[Token]) -> Token | str:
    """Return the token that opens the host, or a sentence that says why none of them does."""
    held = list(tokens)
    if isinstance(host, str):
        return next(t for t in held if t.endpoint == host)
    scope = TokenScope.of(host)
    fitting = [t for t in held if t.scope == scope]
    if fitting:
        return max(fitting, key=lambda t: t.expires_at)
    there = ", ".join(sorted({str(t.scope) for t in held})) or "nothing"
    return f"{host} needs a token for {scope}; the tokens given are for {there}"


def tokens_by_host(targets: Targets, tokens: Token | Iterable[Token], *, all_forms: bool) -> dict[str, Token]:
    """Return the token of every host, keyed by the host as it is pulled from.

    Raises:
        InvalidInput: a target is no host of ECR, or no token given is for its Region or kind.
    """
    held = [tokens] if isinstance(tokens, Token) else list(tokens)
    endpoints = frozenset(t.endpoint for t in held if t.endpoint is not None)
    found: dict[str, Token] = {}
    problems: list[Problem] = []
    for host in hosts_of(targets, all_forms=all_forms, endpoints=endpoints):
        token = token_for(host, held)
        if isinstance(token, str):
            problems.append(Problem(str(host), token))
        else:
            found[str(host)] = token
    if problems:
        raise InvalidInput("no token for every host", problems)
    return found
