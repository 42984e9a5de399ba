"""Pacing: how fast an operation may be called, learned from the throttles of the service.

ECR throttles per operation, account and Region with token buckets, and publishes the rate of only a few operations.
So each operation has a pacer of its own. It starts at the published rate or without a limit, falls when the service
throttles, and creeps back: first towards the rate that failed, then carefully past it. The steps are pure functions of
a state and a time; the pacer around them adds a lock and an injected clock.

The growth is the cubic of RFC 9438, in seconds of *used* time instead of wall time, so an idle pacer learns nothing
and forgets nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import attrs

from ecrkit.ports import Clock

__all__ = ["PUBLISHED_RATES", "Pace", "Pacer", "Pacers"]

PUBLISHED_RATES: Final[Mapping[str, float]] = MappingProxyType(
    {
        "ecr:BatchCheckLayerAvailability": 1000.0,
        "ecr:BatchGetImage": 2000.0,
        "ecr:CompleteLayerUpload": 100.0,
        "ecr:GetAuthorizationToken": 500.0,
        "ecr:GetDownloadUrlForLayer": 3000.0,
        "ecr:InitiateLayerUpload": 100.0,
        "ecr:PutImage": 10.0,
        "ecr:UploadLayerPart": 500.0,
    }
)
"""Calls a second that AWS publishes (ECR user guide, service quotas). The other operations have no published rate."""

_CUT: Final = 0.8
"""What is kept of the rate after a throttle."""
_DEEP_CUT: Final = 0.5
"""What is kept when the last cut was less than a second ago: the rate is plainly wrong, not slightly."""
_RECOVERY: Final = 5.0
"""Seconds of use until the pace is back at the rate that failed."""
_SLOWEST: Final = 0.2
"""Calls a second below which a pace never falls, so that every call goes out at last."""
_WINDOW: Final = 1.0
_TICK: Final = 1e-5
"""Seconds that are not worth a sleep; a clock may round them down to none, and then would never arrive."""


@attrs.frozen(kw_only=True)
class Pace:
    """The state of one operation's pace. Every step returns the next state; nothing here knows the time.

    `rate` is calls a second, None while no limit is known; `ceiling` is where it recovers to before it probes further.

    Example:
        >>> pace = Pace.starting()
        >>> for _ in range(20):
        ...     pace = pace.passed(0.5)
        >>> pace.throttled(sent_at=1.4, now=1.5).rate
        16.0
    """

    rate: float | None = None
    ceiling: float = 0.0
    used: float = 0.0
    next_slot: float = float("-inf")
    cut_at: float = float("-inf")
    generation: int = 0
    _window: float = float("-inf")
    _count: int = 0
    _count_before: int = 0

    @classmethod
    def starting(cls, rate: float | None = None) -> Pace:
        """Return the state before the first call: at a known rate, or without a limit."""
        # At a published rate the pace stands where a recovered one would: growth past it is slow at first.
        return cls(rate=rate, ceiling=rate or 0.0, used=_RECOVERY if rate else 0.0)

    def reserve(self, now: float) -> tuple[Pace, float]:
        """Return the next state and the time at which the caller may send."""
        if self.rate is None:
            return self, now
        slot = max(now, self.next_slot)
        return attrs.evolve(self, next_slot=slot + 1.0 / self.rate), slot

    def passed(self, now: float) -> Pace:
        """Return the state after an answer that was no throttle."""
        if now - self._window < _WINDOW:
            window, count, before = self._window, self._count + 1, self._count_before
        else:
            window, count, before = now, 1, self._count if now - self._window < 2 * _WINDOW else 0
        rate, used = self.rate, self.used
        if rate is not None:
            used += 1.0 / rate
            # The ceiling lies `1 / _CUT` above the rate after every cut, so the cubic begins at that rate.
            rate = self.ceiling * (1.0 + (1.0 - _CUT) * ((used - _RECOVERY) / _RECOVERY) ** 3)
        return attrs.evolve(self, rate=rate, used=used, window=window, count=count, count_before=before)

    def throttled(self, *, sent_at: float, now: float) -> Pace:
        """Return the state after a throttle of a request sent at `sent_at`.

        Requests that were under way when the pace was cut tell nothing new, so a burst of throttles cuts once.
        """
        if sent_at <= self.cut_at:
            return self
        kept = _DEEP_CUT if now - self.cut_at < _WINDOW else _CUT
        rate = max(_SLOWEST, self._failed_rate(now) * kept)
        return attrs.evolve(
            self,
            rate=rate,
            ceiling=rate / _CUT,
            used=0.0,
            cut_at=now,
            next_slot=now + 1.0 / rate,
            generation=self.generation + 1,
        )

    def _failed_rate(self, now: float) -> float:
        # What passed within a second is the best guess of what the service grants. A known rate is believed unless
        # much less than it went through: then the pace was never the limit, and says nothing.
        elapsed = now - self._window
        # Within the first half second a burst hides the rate, so less than that is never extrapolated from.
        measured = max(1.0, float(self._count_before), self._count / min(max(elapsed, 0.5), _WINDOW))
        if self.rate is None:
            return measured
        if elapsed < 2 * _WINDOW and measured < 0.5 * self.rate * min(elapsed, _WINDOW):
            return measured
        return self.rate


class Pacer:
    """One operation's pace, shared by all threads."""

    def __init__(self, clock: Clock, *, rate: float | None = None) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._pace = Pace.starting(rate)

    @property
    def pace(self) -> Pace:
        """The state now."""
        return self._pace

    def wait_turn(self) -> float:
        """Wait until a request may go out; return the time at which it does, for `throttled`."""
        while True:
            with self._lock:
                self._pace, slot = self._pace.reserve(self._clock.monotonic())
                generation = self._pace.generation
            while (wait := slot - self._clock.monotonic()) > _TICK:
                # In slices: a slot that was reserved before a cut is given back soon and not slept out.
                self._clock.sleep(min(wait, 1.0))
                if self._pace.generation != generation:
                    break
            if self._pace.generation == generation:
                return self._clock.monotonic()

    def passed(self) -> None:
        """Note an answer that was no throttle."""
        with self._lock:
            self._pace = self._pace.passed(self._clock.monotonic())

    def throttled(self, *, sent_at: float) -> None:
        """Note a throttle of the request sent at `sent_at`."""
        with self._lock:
            self._pace = self._pace.throttled(sent_at=sent_at, now=self._clock.monotonic())


class Pacers:
    """The pacers of a registry, one for each `service:Operation`; safe to share between threads."""

    def __init__(self, clock: Clock, *, rates: Mapping[str, float] = PUBLISHED_RATES) -> None:
        self._clock = clock
        self._rates = dict(rates)
        self._lock = threading.Lock()
        self._pacers: dict[str, Pacer] = {}

    def of(self, service: str, operation: str) -> Pacer:
        """Return the pacer of an operation, always the same one."""
        key = f"{service}:{operation}"
        found = self._pacers.get(key)
        if found is None:
            with self._lock:
                found = self._pacers.setdefault(key, Pacer(self._clock, rate=self._rates.get(key)))
        return found

    def rates(self) -> dict[str, float | None]:
        """Return calls a second by operation, as learned so far; None where no limit is known."""
        return {key: pacer.pace.rate for key, pacer in sorted(self._pacers.items())}
