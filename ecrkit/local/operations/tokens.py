"""Authorization tokens for the registry protocol."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS"]


def get_authorization_token(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Issues a token for 12 hours, in this region; `registryIds` gives one entry each and narrows nothing."""
    caller = None if engine.current is None else engine.current.caller
    data: list[dict[str, Any]] = []
    for account in dict.fromkeys(params.get("registryIds") or [registry.account]):
        password, expires = engine.issue_token(registry.account, registry.region, caller=caller)
        data.append(
            {
                "authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode("ascii"),
                "expiresAt": expires,
                "proxyEndpoint": f"https://{engine.registry(account, registry.region).host}",
            }
        )
    return {"authorizationData": data}


OPERATIONS = {"GetAuthorizationToken": get_authorization_token}
