"""The backend that moto keeps per account and region; all of them stand for one engine. Imports moto."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.core.base_backend import BaseBackend

from ecrkit.local.aws_json_http import credential_scope
from ecrkit.local.wire import answer

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["EngineBackend", "dispatch", "engines"]

engines: list[Engine] = []
"""The engines of the blocks that are open; the last one answers."""


class EngineBackend(BaseBackend):
    """Stands where moto's ECR backend stood. `reset` clears the engine, since moto's tests rely on it."""

    def reset(self) -> None:
        """Clear the engine."""
        if engines:
            engines[-1].reset()


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


def _body(request: Any) -> bytes:
    # moto hands over a werkzeug request or botocore's prepared one, as its version goes.
    if hasattr(request, "get_data"):
        return bytes(request.get_data())
    body = request.body
    raw = body.read() if hasattr(body, "read") else body or b""
    return raw.encode() if isinstance(raw, str) else bytes(raw)


def _account(headers: Any, key: str) -> str:
    from moto.core.responses import BaseResponse

    finder = BaseResponse()
    finder.headers = headers
    finder.get_access_key = lambda: key  # type: ignore[method-assign]
    return str(finder.get_current_account())


def dispatch(request: Any, full_url: str, headers: Any) -> tuple[int, dict[str, Any], bytes]:
    """Answer one request in the form of moto's handlers: status, headers, body."""
    del full_url
    engine = engines[-1]
    authorization = _text(headers.get("Authorization"))
    scope = credential_scope(authorization)
    key = authorization.partition("Credential=")[2].partition("/")[0]
    found = answer(
        engine, _text(headers.get("X-Amz-Target")), _body(request), account=_account(headers, key), region=scope.region
    )
    return found.status, dict(found.headers), found.body
