"""Tokens with a planted password, and ways to look for it everywhere."""

from __future__ import annotations

import base64
import datetime as dt

from ecrkit.auth.tokens import Token, TokenScope

__all__ = ["NOW", "PASSWORD", "forms_of", "make_token", "shown_in"]

NOW = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
PASSWORD = "cAnArY:p4ss:w0rd"


def make_token(
    region: str | None = "eu-west-1",
    *,
    password: str = PASSWORD,
    hours: float = 12,
    at: dt.datetime = NOW,
    endpoint: str | None = None,
) -> Token:
    """Return a token of a Region, or of ECR Public for None."""
    data = {
        "authorizationToken": base64.b64encode(f"AWS:{password}".encode()).decode(),
        "expiresAt": at + dt.timedelta(hours=hours),
    }
    if endpoint is not None:
        data["proxyEndpoint"] = endpoint
    scope = TokenScope.public() if region is None else TokenScope.private(region)
    return Token.from_api(data, scope=scope, issued_at=at)


def forms_of(password: str) -> list[str]:
    """Return the password, and what of its base64 forms shows whatever stands before it."""
    basic = base64.b64encode(f"AWS:{password}".encode()).decode()
    return [password, basic, basic.rstrip("="), base64.b64encode(password.encode()).decode().rstrip("=")]


def shown_in(text: str, password: str = PASSWORD) -> bool:
    """Whether the text gives the password away in one of its forms."""
    return any(form in text for form in forms_of(password))
