"""The one exception of the embedded ECR: a typed refusal, as the service would answer it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from ecrkit.errors import EcrkitError

__all__ = ["ServiceFault"]


class ServiceFault(EcrkitError):
    """A refusal of the embedded ECR: `code` and `message` as the service answers them, `members` of the error shape.

    Through a client it becomes the typed botocore exception; `Engine.call` raises it as it is. The status is 400 for
    every refusal, since clients repeat 5xx.

    Example:
        >>> ServiceFault("RepositoryNotFoundException", "no such repository").status
        400
    """

    def __init__(self, code: str, message: str, status: int = 400, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
        self.members: dict[str, Any] = dict(members or {})


def refuse(code: str, message: str, **members: Any) -> NoReturn:
    """Raise a `ServiceFault`."""
    raise ServiceFault(code, message, members=members)


def invalid(parameter: str, constraint: str) -> NoReturn:
    """Raise InvalidParameterException in ECR's wording."""
    refuse(
        "InvalidParameterException", f"Invalid parameter at '{parameter}' failed to satisfy constraint: '{constraint}'"
    )
