"""References of an upstream as the cache names them, and back; one at a time, or a folder of files.

Source: ECR user guide, "Pull an image with a pull through cache rule": HOST/PREFIX/REPOSITORY:TAG, and `library/` for
the official images of Docker Hub.
"""

from __future__ import annotations

import os
from collections.abc import Iterable

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.deployments.files import ChangeReference, FolderPlan, Place, plan_folder
from ecrkit.errors import InvalidReference
from ecrkit.images.reference_text import AnyReference
from ecrkit.pull_through.rules import PullThroughRule
from ecrkit.pull_through.upstreams import upstream_of_host
from ecrkit.refs import RegistryHost, repository_name

__all__ = ["PullThroughCache"]


def _rules(values: Iterable[PullThroughRule]) -> tuple[PullThroughRule, ...]:
    return tuple(values)


@attrs.frozen
class PullThroughCache(Record):
    """A registry and its rules: names of upstreams become names of the cache, and back.

    Example:
        >>> host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        >>> cache = PullThroughCache.of(host, [PullThroughRule(prefix="hub", upstream_url="registry-1.docker.io")])
        >>> cache.cached("docker.io/library/node:20")
        '123456789012.dkr.ecr.eu-west-1.amazonaws.com/hub/library/node:20'
        >>> cache.cached("node:20") == cache.cached("docker.io/library/node:20")
        True
        >>> cache.original(f"{host}/hub/library/node:20"), cache.cached("quay.io/a/b:1")
        ('docker.io/library/node:20', None)
    """

    host: RegistryHost
    rules: tuple[PullThroughRule, ...] = attrs.field(converter=_rules)

    @classmethod
    def of(cls, host: RegistryHost | str, rules: Iterable[PullThroughRule]) -> PullThroughCache:
        """Return the cache of a registry host, such as `123456789012.dkr.ecr.eu-west-1.amazonaws.com`.

        Raises:
            InvalidReference: the host is none of a private registry.
        """
        parsed = host if isinstance(host, RegistryHost) else RegistryHost.parse(host)
        if parsed.account is None:
            raise InvalidReference.single("no cache", str(parsed), "ECR Public caches nothing")
        return cls(parsed, rules)

    def rule_of(self, repository: str) -> PullThroughRule | None:
        """Return the rule that a repository of the cache is pulled by: the longest prefix that fits, ROOT last."""
        fitting = [rule for rule in self.rules if rule.fits(repository)]
        return max(fitting, key=lambda rule: len(rule.local), default=None)

    def repository_for(self, host: str, repository: str) -> str | None:
        """Return what the cache calls a repository of an upstream, or None when no rule is for it.

        Of several rules the one with the longest prefix at the upstream wins. A rule whose names another rule would
        take is no way to the image.
        """
        found = [
            (len(rule.remote), name)
            for rule in self.rules
            if _same_registry(rule.upstream_url, host) and repository.startswith(rule.remote)
            and self.rule_of(name := rule.local + repository[len(rule.remote) :]) == rule
        ]  # fmt: skip
        return max(found)[1] if found else None

    def upstream_of(self, repository: str) -> tuple[str, str] | None:
        """Return the host and repository that a repository of the cache comes from, or None when no rule is for it."""
        rule = self.rule_of(repository)
        if rule is None:
            return None
        upstream = rule.upstream
        host = upstream.hosts[0] if upstream is not None and upstream.hosts else rule.upstream_url
        return host, rule.remote + repository[len(rule.local) :]

    def cached(self, reference: str) -> str | None:
        """Return the reference by which the cache serves the image; None when no rule is for it.

        Tag and digest stay. A reference to this registry itself is None: it is cached, or ours.

        Raises:
            InvalidReference: the text is no reference, or the cache's name for it would be none.
        """
        ref = AnyReference.parse(reference)
        if ref.registry == str(self.host):
            return None
        name = self.repository_for(ref.registry, ref.repository)
        return None if name is None else f"{self.host}/{repository_name(name)}{ref.suffix}"

    def original(self, reference: str, *, short: bool = False) -> str | None:
        """Return the upstream's reference of a reference to the cache; None when it is none of the cache.

        `short` leaves out what docker's short names leave out: `node:20` for `docker.io/library/node:20`.

        Raises:
            InvalidReference: the text is no reference.
        """
        ref = AnyReference.parse(reference)
        if not self._here(ref.host):
            return None
        found = self.upstream_of(ref.path)
        if found is None:
            return None
        host, repository = found
        if short and host == "docker.io":
            return f"{repository.removeprefix('library/')}{ref.suffix}"
        return f"{host}/{repository}{ref.suffix}"

    def _here(self, host: str | None) -> bool:
        try:
            parsed = RegistryHost.parse(host or "")
        except InvalidReference:
            return False
        return (parsed.account, parsed.region) == (self.host.account, self.host.region)

    def to_cache(self) -> ChangeReference:
        """Return the change that sends the references of files through the cache; others stay."""

        def change(place: Place) -> str | None:
            if self._here(AnyReference.parse(place.reference).host):
                return None
            return self.cached(place.reference)

        return change

    def from_cache(self, *, short: bool = False) -> ChangeReference:
        """Return the change that sends the references of files back to their upstreams; others stay."""
        return lambda place: self.original(place.reference, short=short)

    def plan_folder(self, folder: str | os.PathLike[str], *, back: bool = False) -> FolderPlan:
        """Return the plan that sends every reference of a folder of Dockerfiles and manifests through the cache.

        `back` sends them to their upstreams again. Whatever is no reference stays byte for byte; nothing is written
        before `apply`. The `# syntax=` line of a Dockerfile is pulled by the builder itself and stays.

        Raises:
            InvalidInput: there is no such folder.
            MissingExtra: a YAML file is there, and the extra `gitops` is not installed.
        """
        return plan_folder(folder, self.from_cache() if back else self.to_cache())


def _same_registry(url: str, host: str) -> bool:
    if url == host:
        return True
    one, other = upstream_of_host(url), upstream_of_host(host)
    return one is not None and one == other and bool(one.hosts)
