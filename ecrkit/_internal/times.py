"""Times: aware UTC inside, every form that AWS tools write at the border."""

from __future__ import annotations

import datetime as dt
from typing import Final

__all__ = ["UTC", "iso", "parse_time", "require_aware"]

UTC: Final = dt.UTC
_EPOCH_LIMIT: Final = 253402300799.0  # 9999-12-31T23:59:59Z, the last second that datetime can hold


def parse_time(value: object) -> dt.datetime:
    """Return an aware UTC datetime for a datetime, an epoch number, or an ISO 8601 text with an offset.

    boto3 hands out datetimes in the local zone, the AWS JSON protocol epoch floats, the AWS CLI ISO texts.

    Raises:
        ValueError: not a time, or a time without zone. A naive time is refused, since nobody can know its zone.
    """
    if isinstance(value, dt.datetime):
        if value.tzinfo is UTC:
            return value
        if value.utcoffset() is None:
            raise ValueError(f"time without zone: {value.isoformat()}; give it a zone, for example UTC")
        try:
            return value.astimezone(UTC)
        except OverflowError:
            raise ValueError(f"not a time that UTC can express: {value.isoformat()}") from None
    if isinstance(value, bool):
        raise ValueError(f"not a time: {value!r}")
    if isinstance(value, int | float):
        if not -62135596800.0 <= value <= _EPOCH_LIMIT:
            raise ValueError(f"not a time in seconds since 1970: {value!r}")
        return dt.datetime.fromtimestamp(value, UTC)
    if isinstance(value, str):
        try:
            parsed = dt.datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"not an ISO 8601 time: {value[:60]!r}") from None
        return parse_time(parsed)
    raise ValueError(f"not a time: {type(value).__name__}")


def iso(value: dt.datetime) -> str:
    """Return the time as ISO 8601 in UTC with `Z`, with microseconds only when there are any."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def require_aware(value: dt.datetime, name: str) -> dt.datetime:
    """Return `value` in UTC; raise ValueError naming the argument when it has no zone."""
    if value.utcoffset() is None:
        raise ValueError(f"{name} has no time zone: {value.isoformat()}; pass an aware datetime, for example in UTC")
    return value.astimezone(UTC)
