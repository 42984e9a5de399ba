"""A text that must not be seen: masked wherever Python shows it, and given out only on request."""

from __future__ import annotations

import hmac
from typing import NoReturn

from typing_extensions import override

__all__ = ["Secret"]

_MASK = "<secret>"


class Secret:
    """A secret text. `repr`, `str` and formatting mask it, it cannot be pickled or copied; `reveal()` gives it out.

    Example:
        >>> password = Secret("hunter2")
        >>> f"{password} {password!r} {[password]}"
        '<secret> <secret> [<secret>]'
        >>> password.reveal()
        'hunter2'
    """

    __slots__ = ("__text",)

    def __init__(self, text: str) -> None:
        self.__text = text

    def reveal(self) -> str:
        """Return the secret text; keep it out of logs and of exceptions."""
        return self.__text

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__text.encode(), other.__text.encode())

    @override
    def __hash__(self) -> int:
        return hash((Secret, self.__text))

    @override
    def __repr__(self) -> str:
        return _MASK

    @override
    def __str__(self) -> str:
        return _MASK

    @override
    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied; make a new token where one is needed")
