"""Rules of the pull-through cache: what a rule may be, read from the API, checked before any call.

Source: ECR API reference, CreatePullThroughCacheRule; ECR user guide, "Creating a pull through cache rule".
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput, Problem
from ecrkit.pull_through.upstreams import UPSTREAMS, Upstream, upstream_of_host
from ecrkit.refs import RegistryHost

__all__ = ["MOST_RULES", "ROOT", "PullThroughRule", "check_rules"]

ROOT: Final = "ROOT"
"""The prefix that stands for no prefix: all repositories, or all of an upstream."""
MOST_RULES: Final = 50
"""Rules of one registry in a Region (ECR user guide, service quotas)."""

_PREFIX: Final = re.compile(
    r"(?:[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*)*/?|ROOT)"
)
_SECRET: Final = re.compile(
    r"arn:(?P<partition>aws[\w-]*):secretsmanager:(?P<region>[a-z0-9-]+):(?P<account>[0-9]{12}):secret:"
    r"(?P<name>[A-Za-z0-9/_+=.@-]+)"
)
_ROLE: Final = re.compile(r"arn:aws[\w-]*:iam::(?P<account>[0-9]{12}):role/[\w+=,.@/-]+")
_NAMED: Final = "ecr-pullthroughcache/"


@attrs.frozen(kw_only=True)
class PullThroughRule(Record):
    """One rule: what is pulled below `prefix` comes from `upstream_url`, below `upstream_prefix` there.

    A `/` is assumed at the end of each prefix. `prefix` and `upstream_url` cannot be changed later; credentials can.

    Example:
        >>> rule = PullThroughRule(prefix="docker-hub", upstream_url="registry-1.docker.io",
        ...     credential_arn="arn:aws:secretsmanager:eu-west-1:123456789012:secret:ecr-pullthroughcache/hub-a1b2c3")
        >>> rule.problems(), rule.upstream.name
        ((), 'docker-hub')
    """

    prefix: str
    upstream_url: str
    credential_arn: str | None = None
    custom_role_arn: str | None = None
    upstream_prefix: str = ROOT
    upstream_name: str | None = None
    registry_id: str | None = None
    created_at: dt.datetime | None = attrs.field(default=None, eq=False)
    updated_at: dt.datetime | None = attrs.field(default=None, eq=False)

    @classmethod
    def from_api(cls, raw: Mapping[str, Any], *, path: str = "$") -> PullThroughRule:
        """Return the rule of one `pullThroughCacheRules` item.

        Raises:
            InvalidInput: the prefix or the upstream is missing.
        """
        problems = [
            Problem(f"{path}.{name}", "must be a string")
            for name in ("ecrRepositoryPrefix", "upstreamRegistryUrl")
            if not isinstance(raw.get(name), str)
        ]
        if problems:
            raise InvalidInput("not a pull-through cache rule", problems)
        created, updated = raw.get("createdAt"), raw.get("updatedAt")
        return cls(
            prefix=raw["ecrRepositoryPrefix"], upstream_url=raw["upstreamRegistryUrl"],
            credential_arn=raw.get("credentialArn") or None, custom_role_arn=raw.get("customRoleArn") or None,
            upstream_prefix=raw.get("upstreamRepositoryPrefix") or ROOT, upstream_name=raw.get("upstreamRegistry"),
            registry_id=raw.get("registryId"),
            created_at=None if created is None else parse_time(created),
            updated_at=None if updated is None else parse_time(updated),
        )  # fmt: skip

    @property
    def upstream(self) -> Upstream | None:
        """The kind of upstream, by its name or else its host; None for one that ecrkit does not know."""
        return UPSTREAMS.get(self.upstream_name or "") or upstream_of_host(self.upstream_url)

    @property
    def local(self) -> str:
        """The prefix as repository names have it: with `/` at the end, empty for ROOT."""
        return "" if self.prefix == ROOT else self.prefix.removesuffix("/") + "/"

    @property
    def remote(self) -> str:
        """The upstream's prefix likewise."""
        return "" if self.upstream_prefix == ROOT else self.upstream_prefix.removesuffix("/") + "/"

    def fits(self, repository: str) -> bool:
        """Return whether a repository of the cache is below the prefix."""
        return repository.startswith(self.local) and len(repository) > len(self.local)

    def same_target(self, other: PullThroughRule) -> bool:
        """Return whether both rules cache the same upstream below the same prefix, whatever their credentials."""
        return (self.local, self.upstream_url, self.remote) == (other.local, other.upstream_url, other.remote)

    def problems(self, *, account: str | None = None, region: str | None = None) -> tuple[Problem, ...]:
        """Return everything that ECR would refuse, or that makes each pull fail; with the registry's place, more."""
        return tuple(self._problems(account, region))

    def _problems(self, account: str | None, region: str | None) -> Iterator[Problem]:
        for name, prefix in (("prefix", self.prefix), ("upstream_prefix", self.upstream_prefix)):
            if not 2 <= len(prefix) <= 30 or not _PREFIX.fullmatch(prefix):
                yield Problem(name, f"{prefix[:60]!r} must be ROOT, or 2 to 30 characters of a repository name")
        upstream = self.upstream
        if upstream is None:
            known = ", ".join(u.url or u.name for u in UPSTREAMS.values())
            yield Problem("upstream_url", f"{self.upstream_url[:80]!r} is no upstream that ECR caches: {known}")
            return
        if not re.fullmatch(upstream.host_pattern, self.upstream_url):
            wanted = upstream.url or "a host of your own there"
            yield Problem("upstream_url", f"{self.upstream_url[:80]!r}: the URL of {upstream.name} is {wanted}")
        yield from self._credential_problems(upstream, account, region)

    def _credential_problems(self, upstream: Upstream, account: str | None, region: str | None) -> Iterator[Problem]:
        if self.credential_arn is None and upstream.credential == "secret":
            yield Problem("credential_arn", f"{upstream.name} needs a secret of Secrets Manager with a user and token")
        if self.credential_arn is not None:
            if upstream.credential in ("none", "role"):
                yield Problem("credential_arn", f"{upstream.name} takes no secret")
            yield from _secret_problems(self.credential_arn, account, region)
        if self.custom_role_arn is not None:
            role = _ROLE.fullmatch(self.custom_role_arn)
            if upstream.credential != "role":
                yield Problem("custom_role_arn", f"is for the upstream ecr only, not for {upstream.name}")
            elif role is None:
                yield Problem("custom_role_arn", f"{self.custom_role_arn[:100]!r} is no ARN of a role")
            elif account is not None and role["account"] != account:
                yield Problem("custom_role_arn", f"must be a role of the registry's own account {account}")
        if upstream.name == "ecr" and account is not None and self.custom_role_arn is None:
            host = _ecr_host(self.upstream_url)
            if host is not None and host.account != account:
                yield Problem("custom_role_arn", "the upstream is another account's registry, which needs a role")
        host = _ecr_host(self.upstream_url)
        if host is not None and (host.account, host.region) == (account, region) and self.local == self.remote:
            yield Problem("upstream_url", "is the registry itself")

    @override
    def __str__(self) -> str:
        target = f"{self.upstream_url}/{self.remote}".removesuffix("/")
        return f"{self.prefix} <- {target}"


def _ecr_host(url: str) -> RegistryHost | None:
    try:
        host = RegistryHost.parse(url)
    except ValueError:
        return None
    return host if host.account is not None else None


def _secret_problems(arn: str, account: str | None, region: str | None) -> Iterator[Problem]:
    found = _SECRET.fullmatch(arn) if len(arn) <= 612 else None
    if found is None:
        yield Problem("credential_arn", f"{arn[:100]!r} is no ARN of a secret of Secrets Manager")
        return
    if not found["name"].startswith(_NAMED):
        yield Problem("credential_arn", f"the secret's name must begin with {_NAMED}, not {found['name'][:60]!r}")
    elif len(arn) < 50 or found["name"] == _NAMED:
        yield Problem("credential_arn", "the secret has no name of its own")
    if account is not None and found["account"] != account:
        yield Problem("credential_arn", f"the secret must be in the registry's own account {account}")
    if region is not None and found["region"] != region:
        yield Problem("credential_arn", f"the secret must be in the registry's own Region {region}")


def check_rules(
    rules: Iterable[PullThroughRule], *, account: str | None = None, region: str | None = None
) -> tuple[Problem, ...]:
    """Return what is wrong with the rules of one registry: each by itself, and all together.

    Example:
        >>> for problem in check_rules([PullThroughRule(prefix="hub", upstream_url="docker.io")]):
        ...     print(problem)
        $[0].upstream_url: 'docker.io': the URL of docker-hub is registry-1.docker.io
        $[0].credential_arn: docker-hub needs a secret of Secrets Manager with a user and token
    """
    listed = tuple(rules)
    problems = [
        Problem(f"$[{n}].{p.path}", p.message)
        for n, rule in enumerate(listed)
        for p in rule.problems(account=account, region=region)
    ]
    seen: dict[str, int] = {}
    for n, rule in enumerate(listed):
        if rule.local in seen:
            problems.append(Problem(f"$[{n}].prefix", f"{rule.prefix} is the prefix of rule {seen[rule.local]} too"))
        seen.setdefault(rule.local, n)
    if len(listed) > MOST_RULES:
        problems.append(
            Problem("$", f"a registry has at most {MOST_RULES} pull-through cache rules, not {len(listed)}")
        )
    return tuple(problems)
