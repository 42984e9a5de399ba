"""Authorization tokens of ECR and ECR Public, decoded once and never shown.

Source: ECR and ECR Public API references, GetAuthorizationToken; ECR user guide, "Private registry authentication".
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal, NoReturn, Self

import attrs
from typing_extensions import override

from ecrkit._internal.times import iso, parse_time, require_aware
from ecrkit.auth.secret import Secret
from ecrkit.errors import InvalidInput, Problem
from ecrkit.refs import ImageRef, RegistryHost, partition_of_region

__all__ = ["PUBLIC_REGION", "Token", "TokenScope"]

PUBLIC_REGION: Final = "us-east-1"
"""Where a token of ECR Public is asked for; it serves the whole world."""


@attrs.frozen
class TokenScope:
    """What a token opens: every private registry of one Region that its principal may use, or ECR Public.

    A private token is not bound to an account or a host form; it serves FIPS and dual-stack hosts alike.

    Example:
        >>> TokenScope.of("123456789012.dkr-ecr.eu-west-1.on.aws/team/app:v1")
        TokenScope(kind='private', region='eu-west-1')
        >>> TokenScope.of("public.ecr.aws")
        TokenScope(kind='public', region='us-east-1')
    """

    kind: Literal["private", "public"]
    region: str

    @classmethod
    def private(cls, region: str) -> Self:
        """Return the scope of the private registries in `region`.

        Raises:
            InvalidReference: `region` is no region name.
        """
        RegistryHost.private("0" * 12, region)
        return cls("private", region)

    @classmethod
    def public(cls) -> Self:
        """Return the scope of ECR Public."""
        return cls("public", PUBLIC_REGION)

    @classmethod
    def of(cls, target: RegistryHost | ImageRef | str) -> Self:
        """Return the scope that a host, or an image reference with a host, needs.

        Raises:
            InvalidReference: it is no host of ECR, or a reference without one.
        """
        host = registry_host(target)
        return cls.public() if host.region is None else cls("private", host.region)

    @property
    def partition(self) -> str:
        """The partition that the token works in."""
        return "aws" if self.kind == "public" else partition_of_region(self.region)

    @override
    def __str__(self) -> str:
        return "ECR Public" if self.kind == "public" else f"private registries in {self.region}"


def registry_host(target: RegistryHost | ImageRef | str) -> RegistryHost:
    """Return the registry host of a host, a host's text, or an image reference.

    Raises:
        InvalidReference: it is no host of ECR, or a reference without one.
    """
    if isinstance(target, RegistryHost):
        return target
    if isinstance(target, ImageRef):
        # Parsing the bare name fails, and the error says what a host looks like.
        return target.registry if target.registry is not None else RegistryHost.parse(target.repository)
    if "/" in target and "://" not in target:
        found = ImageRef.parse(target).registry
        return found if found is not None else RegistryHost.parse(target.partition("/")[0])
    return RegistryHost.parse(target)


@attrs.frozen(kw_only=True)
class Token:
    """A decoded authorization token. Its password and its header come out by `reveal()` only.

    `issued_at` is when it was received, by the clock of the receiver. `endpoint` is the registry that the service
    named, without scheme; ECR Public names none. Printing, comparing and hashing are safe; pickling is refused.

    Example:
        >>> import datetime as dt
        >>> now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        >>> answer = {"authorizationToken": "QVdTOmh1bnRlcjI=", "expiresAt": now + dt.timedelta(hours=12)}
        >>> token = Token.from_api(answer, scope=TokenScope.private("eu-west-1"), issued_at=now)
        >>> token
        <Token for private registries in eu-west-1, until 2026-01-01T12:00:00Z>
        >>> token.username, token.password.reveal(), token.refresh_at.hour
        ('AWS', 'hunter2', 6)
    """

    scope: TokenScope
    username: str
    password: Secret
    issued_at: dt.datetime
    expires_at: dt.datetime
    endpoint: str | None = None

    @classmethod
    def from_api(cls, data: Mapping[str, Any], *, scope: TokenScope, issued_at: dt.datetime) -> Self:
        """Return the token of one `authorizationData` object.

        The user name ends at the first colon; a password may hold more of them.

        Raises:
            InvalidInput: a member is missing or malformed; the message never holds the token.
        """
        problems: list[Problem] = []
        found = _decoded(data.get("authorizationToken"))
        if isinstance(found, str):
            problems.append(Problem("$.authorizationToken", found))
        expires = _time(data.get("expiresAt"))
        if expires is None:
            problems.append(Problem("$.expiresAt", "must be a time with a zone; a token of unknown life is not kept"))
        if isinstance(found, str) or expires is None:
            # Debuggers and error trackers record the locals of raising frames.
            del data
            raise InvalidInput("not an authorization token", problems)
        endpoint = data.get("proxyEndpoint")
        return cls(
            scope=scope,
            username=found[0],
            password=found[1],
            issued_at=require_aware(issued_at, "issued_at"),
            expires_at=expires,
            endpoint=str(endpoint).partition("://")[2].rstrip("/") if endpoint else None,
        )

    @property
    def lifetime(self) -> dt.timedelta:
        """How long it lives, as seen when it was received."""
        return self.expires_at - self.issued_at

    @property
    def refresh_at(self) -> dt.datetime:
        """When to get a new one: half of its life, as the kubelet's plugin and the credential helper do it."""
        return self.issued_at + self.lifetime / 2

    def valid(self, now: dt.datetime) -> bool:
        """Whether it has not expired at `now`."""
        return require_aware(now, "now") < self.expires_at

    @property
    def basic(self) -> Secret:
        """Base64 of `user:password`: the `auth` member of Docker's configuration."""
        return Secret(base64.b64encode(f"{self.username}:{self.password.reveal()}".encode()).decode("ascii"))

    @property
    def header(self) -> Secret:
        """The value of the `Authorization` header for the registry protocol, `Basic ...`."""
        return Secret("Basic " + self.basic.reveal())

    def to_dict(self) -> dict[str, str | None]:
        """Return what may be shown: everything but the password."""
        return {
            "kind": self.scope.kind,
            "region": self.scope.region,
            "username": self.username,
            "issued_at": iso(self.issued_at),
            "refresh_at": iso(self.refresh_at),
            "expires_at": iso(self.expires_at),
            "endpoint": self.endpoint,
        }

    @override
    def __repr__(self) -> str:
        return f"<Token for {self.scope}, until {iso(self.expires_at)}>"

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a token cannot be pickled or copied; ask a TokenProvider where one is needed")


def _decoded(text: object) -> tuple[str, Secret] | str:
    """Return user and password, or what is wrong; never raises, so that no traceback holds the text."""
    if not isinstance(text, str) or not text:
        return "missing"
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        return "must be base64 of USER:PASSWORD"
    if not colon or not user or not password:
        return "must decode to USER:PASSWORD"
    return user, Secret(password)


def _time(value: object) -> dt.datetime | None:
    try:
        return parse_time(value)
    except ValueError:
        return None
