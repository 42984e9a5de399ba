"""The real clock. Everything that needs time takes a clock; only outer layers create this one."""

from __future__ import annotations

import datetime as dt
import time

from ecrkit._internal.times import UTC

__all__ = ["SystemClock"]


class SystemClock:
    """The machine's clock: real time, real sleep."""

    def now(self) -> dt.datetime:
        """Return the current time in UTC."""
        return dt.datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds that never go backwards, for deadlines."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)
