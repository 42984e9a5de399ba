"""The upstream registries that ECR can cache, and what each demands.

Source: ECR user guide, "Sync an upstream registry with an Amazon ECR private registry"; ECR API reference,
CreatePullThroughCacheRule.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.refs import RegistryHost

__all__ = ["UPSTREAMS", "Credential", "Upstream", "upstream_of_host"]

Credential = Literal["secret", "none", "role", "secret or none"]
"""How ECR signs in: with a secret, not at all, with a role when the upstream is another account's ECR; `secret or none`
where both are possible."""


@attrs.frozen(kw_only=True)
class Upstream(Record):
    """One kind of upstream: its name in the API, its host (a pattern where each customer has one), how to sign in.

    `hosts` are the hosts that references use; `url` is what a rule names, None where the customer's own host is named.
    """

    name: str
    url: str | None
    host_pattern: str
    credential: Credential
    hosts: tuple[str, ...] = ()
    note: str = ""

    def matches(self, host: str) -> bool:
        """Return whether the host is one of this upstream."""
        return host in self.hosts or re.fullmatch(self.host_pattern, host) is not None


UPSTREAMS: Final[Mapping[str, Upstream]] = {
    u.name: u
    for u in (
        Upstream(
            name="docker-hub",
            url="registry-1.docker.io",
            host_pattern=r"registry-1\.docker\.io",
            credential="secret",
            hosts=("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"),
            note="official images are cached below library/, which docker's short names leave out",
        ),
        Upstream(
            name="ecr-public",
            url="public.ecr.aws",
            host_pattern=r"public\.ecr\.aws",
            credential="none",
            hosts=("public.ecr.aws",),
        ),
        Upstream(name="quay", url="quay.io", host_pattern=r"quay\.io", credential="secret or none", hosts=("quay.io",)),
        Upstream(
            name="k8s",
            url="registry.k8s.io",
            host_pattern=r"registry\.k8s\.io",
            credential="none",
            hosts=("registry.k8s.io",),
        ),
        Upstream(
            name="github-container-registry",
            url="ghcr.io",
            host_pattern=r"ghcr\.io",
            credential="secret",
            hosts=("ghcr.io",),
        ),
        Upstream(
            name="gitlab-container-registry",
            url="registry.gitlab.com",
            host_pattern=r"registry\.gitlab\.com",
            credential="secret",
            hosts=("registry.gitlab.com",),
            note="of gitlab.com only, not of a GitLab of your own",
        ),
        Upstream(
            name="azure-container-registry",
            url=None,
            host_pattern=r"[a-z0-9]{5,50}\.azurecr\.(?:io|us|cn)",
            credential="secret",
        ),
        Upstream(name="chainguard", url="cgr.dev", host_pattern=r"cgr\.dev", credential="secret", hosts=("cgr.dev",)),
        Upstream(
            name="ecr",
            url=None,
            host_pattern=r"[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]+\..+",
            credential="role",
            note="of another account it needs customRoleArn, a role of the registry's own account",
        ),
    )
}
"""Every upstream by its name in the API."""


def upstream_of_host(host: str) -> Upstream | None:
    """Return the upstream that a host belongs to, or None.

    Example:
        >>> upstream_of_host("docker.io").name, upstream_of_host("team1.azurecr.io").name, upstream_of_host("a.example")
        ('docker-hub', 'azure-container-registry', None)
    """
    for upstream in UPSTREAMS.values():
        if upstream.name == "ecr":
            try:
                if RegistryHost.parse(host).account is not None:
                    return upstream
            except ValueError:
                continue
        elif upstream.matches(host):
            return upstream
    return None
