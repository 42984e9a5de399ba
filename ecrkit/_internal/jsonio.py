"""Turning records into JSON-ready values, one way for all of them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs

from ecrkit._internal.times import iso

__all__ = ["Record", "canonical_json", "jsonable"]


def jsonable(value: object) -> Any:
    """Return `value` with times as ISO text, money as decimal text, durations as seconds, records as mappings."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, dt.datetime):
        return iso(value)
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, dt.timedelta):
        return value.total_seconds()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {str(k): jsonable(v) for k, v in value.items()}
    if isinstance(value, Record):
        return value.to_dict()
    if attrs.has(type(value)):
        return _fields(value)
    if isinstance(value, set | frozenset):
        return sorted((jsonable(v) for v in value), key=str)
    if isinstance(value, list | tuple):
        return [jsonable(v) for v in value]
    raise TypeError(f"no JSON form for {type(value).__name__}")


def _fields(value: Any) -> dict[str, Any]:
    return {f.name: jsonable(getattr(value, f.name)) for f in attrs.fields(type(value)) if not f.name.startswith("_")}


def canonical_json(value: object) -> str:
    """Return compact JSON with sorted keys, the same text for equal values."""
    return json.dumps(jsonable(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Record:
    """Mixin of attrs records: `to_dict()` and `to_json()` from the public fields."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping: times as ISO 8601 UTC, money as decimal text, durations in seconds."""
        return _fields(self)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return `to_dict()` as JSON text."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False)
