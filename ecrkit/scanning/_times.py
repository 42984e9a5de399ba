"""Times as scan results write them: what every AWS API writes, and the two texts that only Inspector's events use."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from ecrkit._internal.times import UTC, parse_time

__all__ = ["scan_time"]

_MONTHS: Final = {
    name: number
    for number, name in enumerate(
        ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"), start=1
    )
}
# Written out, not strptime's %b: that one follows the locale of the machine.
_AMERICAN: Final = re.compile(r"([A-Z][a-z]{2}) (\d{1,2}), (\d{4}),? (\d{1,2}):(\d\d):(\d\d)[ \u202f]([AP])M")
_UNIX: Final = re.compile(
    r"[A-Z][a-z]{2} ([A-Z][a-z]{2}) (\d{1,2}) (\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))? (?:UTC|GMT) (\d{4})"
)


def scan_time(value: object) -> dt.datetime:
    """Return an aware UTC time for every form that scan results use.

    Beside epoch seconds, ISO 8601 texts and datetimes with a zone: `Dec 3, 2021, 6:02:30 PM` (Inspector2 Finding
    events in the ECR user guide; they name no zone, and the events' own `time` member shows that it is UTC) and
    `Wed Sep 04 16:55:38.411 UTC 2024` (the same events in the Inspector user guide).

    Raises:
        ValueError: not a time, or an ISO time without zone.

    Example:
        >>> scan_time("Dec 3, 2021, 6:02:30 PM").isoformat()
        '2021-12-03T18:02:30+00:00'
        >>> scan_time("Wed Sep 04 16:55:38.411 UTC 2024").isoformat()
        '2024-09-04T16:55:38.411000+00:00'
    """
    if isinstance(value, str):
        text = value.strip()
        if found := _AMERICAN.fullmatch(text):
            month, day, year, hour, minute, second, half = found.groups()
            if month in _MONTHS and 1 <= int(hour) <= 12:
                hours = int(hour) % 12 + (12 if half == "P" else 0)
                return dt.datetime(int(year), _MONTHS[month], int(day), hours, int(minute), int(second), tzinfo=UTC)
        if found := _UNIX.fullmatch(text):
            month, day, hour, minute, second, fraction, year = found.groups()
            if month in _MONTHS:
                micros = int((fraction or "").ljust(6, "0"))
                return dt.datetime(
                    int(year), _MONTHS[month], int(day), int(hour), int(minute), int(second), micros, tzinfo=UTC
                )
        return parse_time(text)
    return parse_time(value)
