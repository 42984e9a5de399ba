"""What the AWS JSON requests of the HTTP server need besides the wire format: who calls, from where, and the token."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

import attrs

from ecrkit.local.wire import Answer, answer

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["CredentialScope", "answer_request", "credential_scope"]

_SCOPE: Final = re.compile(
    r"Credential=(?P<key>[^/,\s]{1,128})/[0-9]{8}/(?P<region>[a-z0-9-]{1,64})/(?P<service>[a-z0-9-]{1,64})/aws4_request"
)
_ACCOUNT: Final = re.compile(r"[0-9]{12}")


@attrs.frozen(kw_only=True)
class CredentialScope:
    """What a signature says of its maker. Either is None when the header does not say it."""

    account: str | None
    region: str | None
    key: str | None = attrs.field(default=None, repr=False, eq=False)


def credential_scope(authorization: str) -> CredentialScope:
    """Return the account and region that an `Authorization` header names; the signature itself is not checked.

    A signature names no account. An access key that is twelve digits stands for the account of that number, so that
    a test can call from several accounts; any other key means the engine's own account. On an engine with principals
    any other key is the name of the principal that calls, and one that names none is refused.

    Example:
        >>> credential_scope("AWS4-HMAC-SHA256 Credential=111122223333/20260101/eu-west-1/ecr/aws4_request, ...")
        CredentialScope(account='111122223333', region='eu-west-1')
        >>> credential_scope("").region is None
        True
    """
    found = _SCOPE.search(authorization)
    if found is None:
        return CredentialScope(account=None, region=None)
    key = found["key"]
    return CredentialScope(account=key if _ACCOUNT.fullmatch(key) else None, region=found["region"], key=key)


def answer_request(engine: Engine, target: str, authorization: str, body: bytes, *, url: str) -> Answer:
    """Return the answer to one AWS JSON request that came to the server at `url`.

    GetAuthorizationToken names this server as `proxyEndpoint`, since a client that takes the endpoint from the answer
    must end up here; AWS answers `https://ACCOUNT.dkr.ecr.REGION.amazonaws.com`, which the hook and the moto bridge
    keep. All other answers are the engine's own.
    """
    scope = credential_scope(authorization)
    # With principals the access key is a name of theirs; a mistyped one must not end up with the root user's rights.
    caller = scope.key if engine.enforcement is not None and scope.account is None else None
    found = answer(engine, target, body, account=scope.account, region=scope.region, caller=caller)
    if found.status != 200 or not target.endswith(".GetAuthorizationToken"):
        return found
    document = json.loads(found.body)
    for entry in document["authorizationData"]:
        entry["proxyEndpoint"] = url
    sent = json.dumps(document, separators=(",", ":")).encode("ascii")
    return attrs.evolve(found, headers={**found.headers, "Content-Length": str(len(sent))}, body=sent)
