"""Tokens of one registry and the documents that carry them, with the provider behind them."""

from __future__ import annotations

import os

import attrs

from ecrkit.auth.config_file import update_docker_config
from ecrkit.auth.docker_config import MergeReport, docker_config
from ecrkit.auth.hosts import Targets, hosts_of
from ecrkit.auth.manifests import Manifest
from ecrkit.auth.provider import TokenProvider
from ecrkit.auth.pull_secrets import image_pull_secret
from ecrkit.auth.tokens import Token, TokenScope
from ecrkit.errors import InvalidInput

__all__ = ["AuthService"]


@attrs.frozen
class AuthService:
    """Tokens for any host of ECR, with the credentials of one registry; they come from `tokens` and are renewed there.

    Example:
        >>> from ecrkit import Registry
        >>> with Registry.local(account="123456789012", region="eu-west-1") as registry:
        ...     registry.auth.token()
        <Token for private registries in eu-west-1, until 2026-01-01T12:00:00Z>
    """

    tokens: TokenProvider
    region: str

    def token(self, region: str | None = None) -> Token:
        """Return a valid token for the private registries of a Region, by default the registry's.

        Raises:
            AwsCallFailed: the service gave none.
        """
        return self.tokens.token(TokenScope.private(region or self.region))

    def public_token(self) -> Token:
        """Return a valid token for ECR Public.

        Raises:
            AwsCallFailed: the service gave none; without a token pulls go on anonymously.
            InvalidInput: the registry is an embedded one, which has no ECR Public.
        """
        return self.tokens.token(TokenScope.public())

    def tokens_for(self, hosts: Targets | None = None) -> tuple[Token, ...]:
        """Return one valid token for each Region and kind among the hosts or references.

        Raises:
            InvalidInput: a host is none of ECR's.
        """
        return self._tokens(self._hosts(hosts))

    def docker_config(self, hosts: Targets | None = None, *, all_forms: bool = False) -> Manifest:
        """Return a Docker configuration for the hosts, by default this registry's standard host.

        Raises:
            InvalidInput: a host is none of ECR's.
            AwsCallFailed: the service gave no token.
        """
        asked = self._hosts(hosts)
        return docker_config(asked, self._tokens(asked), all_forms=all_forms)

    def update_docker_config(
        self, path: str | os.PathLike[str], hosts: Targets | None = None, *, all_forms: bool = False
    ) -> MergeReport:
        """Merge `docker_config` into the file at `path`, in one step and with mode 0600; return what changed.

        Raises:
            InvalidInput: the file is no Docker configuration, or a host is none of ECR's; nothing was written.
            AwsCallFailed: the service gave no token; nothing was written.
        """
        return update_docker_config(path, self.docker_config(hosts, all_forms=all_forms))

    def image_pull_secret(
        self, name: str, hosts: Targets | None = None, *, namespace: str | None = None, all_forms: bool = False
    ) -> Manifest:
        """Return an image pull secret for the hosts, by default this registry's standard host.

        Raises:
            InvalidInput: a name that Kubernetes refuses, or a host that is none of ECR's.
            AwsCallFailed: the service gave no token.
        """
        asked = self._hosts(hosts)
        return image_pull_secret(name, asked, self._tokens(asked), namespace=namespace, all_forms=all_forms)

    def _hosts(self, hosts: Targets | None) -> Targets:
        if hosts is not None:
            return hosts if isinstance(hosts, str) else list(hosts)
        endpoint = self.token().endpoint
        if endpoint is None:
            raise InvalidInput.single("no hosts", "hosts", "the service named no endpoint; name the hosts")
        return [endpoint]

    def _tokens(self, hosts: Targets) -> tuple[Token, ...]:
        try:
            found = hosts_of(hosts, all_forms=False)
        except InvalidInput:
            # Only an embedded ECR that is served over HTTP names an endpoint that is no host of ECR.
            endpoint = self.token().endpoint
            found = hosts_of(hosts, all_forms=False, endpoints=frozenset({endpoint} if endpoint else ()))
        scopes = {TokenScope.private(self.region) if isinstance(host, str) else TokenScope.of(host) for host in found}
        return tuple(self.tokens.token(scope) for scope in sorted(scopes, key=str))
