"""Reading JSON that strangers wrote: one meaning or none."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ecrkit.errors import InvalidInput

__all__ = ["load_document"]


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Two readers may take different ones of two equal keys: the classic way to show a scanner another image.
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def load_document(raw: bytes, *, limit: int, what: str, error: type[InvalidInput]) -> Mapping[str, Any]:
    """Return the JSON object that the bytes hold.

    Refused are more than `limit` bytes, text that is not UTF-8, a key that stands twice, NaN and infinities, a nesting
    or a number too large for Python to read.

    Raises:
        InvalidInput: as `error`, with the title `what`.
    """
    if len(raw) > limit:
        raise error.single(what, "$", f"has {len(raw)} bytes, at most {limit} are read")
    try:
        document: object = json.loads(raw.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_constant)
    except (ValueError, RecursionError) as fault:
        raise error.single(what, "$", f"is not JSON: {fault!s:.200}") from None
    if not isinstance(document, dict):
        raise error.single(what, "$", f"must be a JSON object, not {type(document).__name__}")
    return document
