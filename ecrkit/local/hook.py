"""The embedded ECR behind an ordinary boto3 client: one event handler, and only for that client."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import boto3
import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

from ecrkit.local.wire import answer

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["attach", "client"]

_EVENT = "before-send.ecr"


class _Body:
    """The raw body that AWSResponse reads."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """Yield the body once, whole."""
        content, self._content = self._content, b""
        yield content

    def read(self, *_: object) -> bytes:
        """Return the body once."""
        content, self._content = self._content, b""
        return content


def _text(value: object) -> str:
    # botocore leaves some header values as bytes.
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def attach(
    client: Any, engine: Engine, *, account: str | None = None, region: str | None = None, caller: str | None = None
) -> None:
    """Let a boto3 ECR client talk to the engine instead of AWS; nothing leaves the process.

    Signing, retries, waiters, paginators and typed exceptions stay botocore's own. Only this client is affected.
    `region` is the client's unless given. Attach to a client with fake credentials, so that none are ever read.

    Example:
        >>> from ecrkit.local import Engine, client
        >>> ecr = client(Engine())
        >>> ecr.create_repository(repositoryName="app")["repository"]["repositoryName"]
        'app'
    """
    where = region or client.meta.region_name

    def handler(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        body: Any = request.body  # text, bytes, a file, or None
        raw = body.read() if hasattr(body, "read") else body or b""
        content = raw.encode() if isinstance(raw, str) else bytes(raw)
        target = _text(request.headers.get("X-Amz-Target"))
        found = answer(engine, target, content, account=account, region=where, caller=caller)
        headers = HTTPHeaders()
        for name, value in found.headers.items():
            headers[name] = value
        return AWSResponse(request.url, found.status, headers, _Body(found.body))

    client.meta.events.register_first(_EVENT, handler)


def client(
    engine: Engine,
    *,
    account: str | None = None,
    region: str | None = None,
    service: str = "ecr",
    config: Config | None = None,
    caller: str | None = None,
) -> Any:
    """Return an ordinary boto3 client whose calls the engine answers.

    Its credentials are fixed fakes and no profile or configuration file is read. Retries are botocore's `standard`
    with 3 attempts unless `config` says otherwise.

    Raises:
        ValueError: `service` is not `ecr`, the one that the engine answers.
    """
    if service != "ecr":
        raise ValueError(f"the embedded ECR answers the service ecr, not {service}")
    nowhere = (None, None, os.devnull, None)
    core = botocore.session.Session(
        {"profile": (None, None, None, None), "config_file": nowhere, "credentials_file": nowhere}
    )
    session = boto3.session.Session(
        aws_access_key_id="embedded",
        aws_secret_access_key="embedded",  # noqa: S106 a fixed fake, so that no real credentials are looked up
        region_name=region or engine.region,
        botocore_session=core,
    )
    retries = Config(retries={"mode": "standard", "total_max_attempts": 3})
    made = session.client("ecr", config=retries.merge(config) if config is not None else retries)
    attach(made, engine, account=account, caller=caller)
    return made
