"""A clock that moves only when it is told to."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Final

from ecrkit._internal.times import UTC, require_aware

__all__ = ["DEFAULT_START", "ManualClock"]

DEFAULT_START: Final = dt.datetime(2026, 1, 1, tzinfo=UTC)
"""Where a `ManualClock` starts unless told otherwise: 2026-01-01T00:00:00Z."""


class ManualClock:
    """A clock for tests and demonstrations: time stands still until `advance` or `sleep`.

    `sleep` moves the clock and returns at once, so a waiter that gets this clock waits for no real time.

    Example:
        >>> clock = ManualClock()
        >>> clock.sleep(90)
        >>> clock.now().isoformat()
        '2026-01-01T00:01:30+00:00'
    """

    def __init__(self, start: dt.datetime = DEFAULT_START) -> None:
        self._now = require_aware(start, "start")
        self._start = self._now
        self._lock = threading.Lock()

    def now(self) -> dt.datetime:
        """Return the current time in UTC."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the start."""
        return (self._now - self._start).total_seconds()

    def sleep(self, seconds: float) -> None:
        """Move the clock forward by `seconds`; return at once."""
        self.advance(dt.timedelta(seconds=max(0.0, seconds)))

    def advance(self, by: dt.timedelta) -> None:
        """Move the clock forward.

        Raises:
            ValueError: `by` is negative; time never goes back.
        """
        if by < dt.timedelta(0):
            raise ValueError(f"a clock only moves forward, not by {by}")
        with self._lock:
            self._now += by
