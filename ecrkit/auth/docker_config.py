"""Docker's `config.json`: entries by exact host, credential helpers, and what merging them into a file means.

Docker, containerd, skopeo and podman look an entry up by the host they pull from, without scheme and path. Source:
Docker documentation, "docker login" and "Credential helpers"; amazon-ecr-credential-helper, README.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.auth.hosts import Targets, hosts_of, tokens_by_host
from ecrkit.auth.manifests import Advice, Manifest, earliest
from ecrkit.auth.tokens import Token
from ecrkit.errors import InvalidInput, Problem

__all__ = ["Merge", "MergeReport", "cred_helpers", "docker_config", "merge_docker_config"]

_HELPER: Final = "ecr-login"


def docker_config(hosts: Targets, tokens: Token | Iterable[Token], *, all_forms: bool = False) -> Manifest:
    """Return a Docker configuration with an entry for each host pulled from.

    Args:
        hosts: hosts or image references; each gets the token of its Region, or the one of ECR Public.
        tokens: one token, or several for several Regions.
        all_forms: add every documented host form of each registry, such as FIPS and dual-stack.

    Raises:
        InvalidInput: a host is none of ECR's, or no token given opens it.

    Example:
        >>> from ecrkit import Registry
        >>> with Registry.local(account="123456789012", region="eu-west-1") as registry:
        ...     host = "123456789012.dkr-ecr.eu-west-1.on.aws"
        ...     docker_config([f"{host}/team/app:v1"], registry.auth.token())
        <Manifest of Docker credentials for 1 host, until 2026-01-01T12:00:00Z>
    """
    found = tokens_by_host(hosts, tokens, all_forms=all_forms)
    expires_at, refresh_at = earliest(found.values())
    auths = {host: {"auth": token.basic.reveal()} for host, token in found.items()}
    return Manifest(
        {"auths": auths},
        what=f"Docker credentials for {_counted(len(auths))}",
        secret=True,
        advice=Advice(
            stops_working="It stops working when the first token in it expires, 12 hours after it was issued.",
            instead="Where Docker runs for longer, use cred_helpers() with docker-credential-ecr-login; on EKS nodes "
            "the kubelet's ecr-credential-provider renews tokens by itself and needs no such file.",
            stops_at=expires_at,
            refresh_at=refresh_at,
        ),
    )


def cred_helpers(hosts: Targets, *, all_forms: bool = False, helper: str = _HELPER) -> Manifest:
    """Return a Docker configuration that names the credential helper for each host; it holds no secret.

    `helper` is the name of the program behind `docker-credential-`.

    Raises:
        InvalidInput: a host is none of ECR's, or the helper's name holds a path or the prefix.
    """
    if not helper or "/" in helper or helper.startswith("docker-credential-"):
        raise InvalidInput.single(
            "no credHelpers", "helper", f"must be the name after docker-credential-, not {helper!r:.60}"
        )
    found = [str(host) for host in hosts_of(hosts, all_forms=all_forms)]
    warnings = []
    if "ecr-public.aws.com" in found and helper == _HELPER:
        warnings.append("older releases of docker-credential-ecr-login do not know ecr-public.aws.com")
    if any(".dkr-ecr" in host for host in found) and helper == _HELPER:
        warnings.append("older releases of docker-credential-ecr-login refuse dual-stack hosts")
    return Manifest(
        {"credHelpers": dict.fromkeys(found, helper)},
        what=f"credHelpers for {_counted(len(found))}",
        advice=Advice(
            stops_working=f"It works as long as docker-credential-{helper} is on the PATH and finds AWS credentials; "
            "it asks for tokens itself.",
            instead="The kubelet ignores credHelpers and credsStore: on nodes use credential_provider_config().",
            warnings=tuple(warnings),
        ),
    )


@attrs.frozen(kw_only=True)
class MergeReport(Record):
    """What a merge changed, by host; it holds no secret.

    `dropped` are stale twins of the hosts written, such as `https://HOST`. `ignored` are hosts whose entry Docker will
    not look at, because a credential store or helper of the file comes first; `warnings` say so in words.
    """

    added: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@attrs.frozen
class Merge:
    """A merged configuration; it may hold secrets of other registries, so `repr` does not show it."""

    config: dict[str, Any] = attrs.field(repr=False, hash=False)
    report: MergeReport


def merge_docker_config(existing: Mapping[str, Any], new: Manifest) -> Merge:
    """Return `existing` with the entries of `new`, everything else kept as it is.

    An entry `https://HOST`, with or without a path, beside `HOST` is dropped: with both, some clients take the stale
    one (`aws/aws-cli#2351`).

    Raises:
        InvalidInput: `existing` is no Docker configuration; the message names members and never shows values.
    """
    problems = config_problems(existing)
    if problems:
        del existing  # error trackers record the locals of raising frames, and it may hold passwords
        raise InvalidInput("not a Docker configuration", problems)
    merged: dict[str, Any] = copy.deepcopy(dict(existing))
    added: list[str] = []
    replaced: list[str] = []
    dropped: list[str] = []
    for member, entries in new.document.items():
        held = merged.get(member)
        target: dict[str, Any] = {} if held is None else held
        for host, entry in entries.items():
            if target.get(host) != entry:
                (replaced if host in target else added).append(host)
            if member == "auths":
                for twin in [key for key in target if key != host and _host_of(key) == host]:
                    del target[twin]
                    dropped.append(twin)
            target[host] = entry
        merged[member] = target
    ignored, warnings = _shadowed(merged, new.document)
    report = MergeReport(
        added=tuple(added),
        replaced=tuple(replaced),
        dropped=tuple(dropped),
        ignored=tuple(ignored),
        warnings=tuple(warnings),
    )
    return Merge(merged, report)


def config_problems(existing: object) -> list[Problem]:
    """Return what keeps a document from being a Docker configuration; values are not shown."""
    if not isinstance(existing, Mapping):
        return [Problem("$", f"must be a JSON object, not {type(existing).__name__}")]
    found = []
    for member in ("auths", "credHelpers"):
        held = existing.get(member)
        if held is None:
            continue
        if not isinstance(held, Mapping):
            found.append(Problem(f"$.{member}", f"must be an object, not {type(held).__name__}"))
            continue
        kind: type = dict if member == "auths" else str
        found += [
            Problem(f"$.{member}[{host!r}]", f"must be {'an object' if kind is dict else 'a text'}")
            for host, entry in held.items()
            if not isinstance(entry, kind)
        ]
    return found


def _host_of(key: str) -> str:
    """Return the host that a key of older clients means: `https://HOST/v2/` is `HOST`."""
    rest = key.partition("://")[2] or key
    # Podman and skopeo keep entries of repositories, HOST/PATH; without a scheme that is no twin.
    return rest.partition("/")[0] if "://" in key else key


def _shadowed(merged: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    hosts = list(new.get("auths", {}))
    helpers = merged.get("credHelpers") or {}
    store = merged.get("credsStore")
    ignored = [host for host in hosts if helpers.get(host) or store]
    warnings = []
    for host in hosts:
        if helpers.get(host):
            warnings.append(f"Docker asks docker-credential-{helpers[host]} for {host} and not the entry in auths")
    if store and any(not helpers.get(host) for host in hosts):
        warnings.append(f"credsStore is {str(store)[:60]}: Docker asks that store and not the entries in auths")
    static = [host for host in new.get("credHelpers", {}) if (merged.get("auths") or {}).get(host)]
    warnings += [
        f"the entry of {host} in auths is no longer used by Docker; other tools may read it" for host in static
    ]
    return ignored, warnings


def _counted(number: int) -> str:
    return f"{number} host" if number == 1 else f"{number} hosts"
