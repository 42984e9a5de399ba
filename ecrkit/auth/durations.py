"""Durations as Go writes them: `12h`, `1h30m`, `500ms`. Kubernetes, Argo CD and Flux read their settings so."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from ecrkit.errors import InvalidInput

__all__ = ["go_duration"]

_PART: Final = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_WHOLE: Final = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+")
_MICROSECONDS: Final = {"ns": 0.001, "us": 1, "µs": 1, "μs": 1, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9}
_LARGEST: Final = 9.223372036854775807e15


def go_duration(text: str) -> dt.timedelta:
    """Return the duration of a Go text, such as `1h30m`; `0` needs no unit, and there is no unit for days.

    Source: Go, `time.ParseDuration`.

    Raises:
        InvalidInput: Go would not parse it.

    Example:
        >>> go_duration("1h30m"), go_duration("0")
        (datetime.timedelta(seconds=5400), datetime.timedelta(0))
    """
    if text in ("0", "+0", "-0"):
        return dt.timedelta(0)
    if len(text) > 100 or not _WHOLE.fullmatch(text):
        raise InvalidInput.single("not a duration", repr(text[:40]), "write it like 10h or 1h30m; there are no days")
    total = sum(float(number) * _MICROSECONDS[unit] for number, unit in _PART.findall(text))
    if total > _LARGEST:
        raise InvalidInput.single("not a duration", repr(text[:40]), "is longer than Go can express, about 292 years")
    return dt.timedelta(microseconds=-total if text.startswith("-") else total)
