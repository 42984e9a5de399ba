"""JSON from strangers: bounded, UTF-8, no key twice, no numbers that are none; anything else is a protocol error.

A key that stands twice would let two readers of one request see two different images (RFC 8259, section 4).
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any, Final, NoReturn

import attrs

from ecrkit.errors import InvalidInput, Problem

__all__ = ["ProtocolError", "Reply", "read_object", "to_bytes"]

JSON_TYPE: Final = "application/json"


class ProtocolError(InvalidInput):
    """A request that cannot be answered as it stands; `status` is the HTTP status that says so."""

    def __init__(self, what: str, problems: tuple[Problem, ...] = (), *, status: int = HTTPStatus.BAD_REQUEST) -> None:
        super().__init__(what, problems)
        self.status = int(status)


@attrs.frozen
class Reply:
    """What goes back over HTTP."""

    status: int
    body: bytes
    content_type: str = JSON_TYPE


def refuse(path: str, message: str, *, what: str = "not a request", status: int = HTTPStatus.BAD_REQUEST) -> NoReturn:
    """Raise the protocol error of one problem."""
    raise ProtocolError(what, (Problem(path, message),), status=status)


def read_object(body: bytes, *, most: int) -> dict[str, Any]:
    """Return the object of a request's body.

    Raises:
        ProtocolError: longer than `most` bytes (status 413), not UTF-8, no JSON, not an object, nested too deep, a key
            twice in one object, or a number such as NaN.

    Example:
        >>> read_object(b'{"images": []}', most=100)
        {'images': []}
        >>> read_object(b'{"a": 1, "a": 2}', most=100)
        Traceback (most recent call last):
        ...
        ecrkit.admission.strict_json.ProtocolError: not a request: $: is no JSON: the key 'a' stands twice in one object
    """
    if len(body) > most:
        refuse("$", f"has more than {most} bytes", status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        parsed: Any = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        refuse("$", "is nested too deep")
    except ValueError as fault:
        refuse("$", f"is no JSON: {fault!s:.200}")
    if not isinstance(parsed, dict):
        refuse("$", f"must be an object, not {type(parsed).__name__}")
    return parsed


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    # This runs for every object of every request, so the search for the key waits until there is one to find.
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise ValueError(f"the key {key!r:.80} stands twice in one object")
            seen.add(key)
    return found


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


def to_bytes(value: object) -> bytes:
    """Return compact JSON in ASCII: every client reads the same text, whatever a request held."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False).encode("ascii")
