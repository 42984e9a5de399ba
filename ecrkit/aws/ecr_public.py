"""The gateway to ECR Public, as far as pulling needs it: the token, which makes pulls count as one's own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Self

from ecrkit.auth.tokens import PUBLIC_REGION, Token, TokenScope
from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.aws.session import AwsSession
from ecrkit.aws.unlogged import mask_tokens_in_logs
from ecrkit.errors import InvalidInput

__all__ = ["EcrPublicGateway"]


class EcrPublicGateway:
    """Calls to ECR Public. Its API answers in us-east-1, wherever images are pulled to."""

    def __init__(self, caller: Caller) -> None:
        region = caller.client.meta.region_name
        if caller.service != "ecr-public" or region != PUBLIC_REGION:
            raise InvalidInput.single(
                "no gateway to ECR Public",
                "caller",
                f"must call ecr-public in {PUBLIC_REGION}, not {caller.service} in {region}",
            )
        self._caller = caller

    @classmethod
    def of(cls, session: AwsSession) -> Self:
        """Return the gateway with a session's credentials, whatever Region the session is of."""
        return cls(session.in_region(PUBLIC_REGION).caller("ecr-public"))

    @needs("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")
    def authorization_token(self, *, issued_at: dt.datetime | None = None) -> Token:
        """Return a new token for ECR Public; its answer names no endpoint.

        Raises:
            Denied: one of the two actions is missing. Pulls then still work anonymously, with a lower rate limit.
            InvalidInput: the answer holds no token; the message does not show the answer.
        """
        mask_tokens_in_logs()
        at = issued_at if issued_at is not None else self._caller.clock.now()
        return Token.from_api(self._token_data(), scope=TokenScope.public(), issued_at=at)

    def _token_data(self) -> Mapping[str, Any]:
        # Apart, so that no frame that raises holds the answer.
        data = self._caller.call("GetAuthorizationToken", {}).get("authorizationData")
        return data if isinstance(data, dict) else {}

    def close(self) -> None:
        """Let go of the connections."""
        self._caller.close()
