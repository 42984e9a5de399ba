"""The authorization token of private registries."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ecrkit.auth.tokens import Token, TokenScope
from ecrkit.aws.ecr.base import EcrCalls
from ecrkit.aws.iam import needs
from ecrkit.aws.unlogged import mask_tokens_in_logs

__all__ = ["EcrTokens"]


class EcrTokens(EcrCalls):
    """The token operation of ECR."""

    @needs("ecr:GetAuthorizationToken")
    def authorization_token(self, *, issued_at: dt.datetime | None = None) -> Token:
        """Return a new token for every private registry of the Region that the caller may use.

        The registry is never named: `registryIds` is deprecated and narrows nothing. `issued_at` is the time now; by
        default this gateway's clock tells it. Prefer a `TokenProvider`, which keeps a token for half its life.

        Raises:
            Denied: the caller may not ask for tokens.
            InvalidInput: the answer holds no token; the message does not show the answer.
        """
        mask_tokens_in_logs()
        at = issued_at if issued_at is not None else self._caller.clock.now()
        scope = TokenScope("private", self._caller.client.meta.region_name)
        # No local of this frame may hold the answer: debuggers and error trackers record those of raising frames.
        return Token.from_api(self._token_data(), scope=scope, issued_at=at)

    def _token_data(self) -> Mapping[str, Any]:
        data = self._caller.call("GetAuthorizationToken", {}).get("authorizationData")
        return data[0] if isinstance(data, list) and data else {}
