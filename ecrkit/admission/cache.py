"""A bounded store of decisions whose entries end by time: the least recently used goes first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

import attrs

from ecrkit.errors import InvalidInput
from ecrkit.ports import Clock

__all__ = ["Cached", "TimedCache"]

K = TypeVar("K")
V = TypeVar("V")


@attrs.frozen
class Cached(Generic[V]):
    """A value that is kept, and for how many seconds more it holds; negative once it has expired."""

    value: V
    seconds_left: float

    @property
    def fresh(self) -> bool:
        """Whether the value still holds."""
        return self.seconds_left > 0


class TimedCache(Generic[K, V]):
    """A mapping of at most `entries` values, each with a lifetime of its own. Threads may share it.

    Expired values stay until they are replaced or pushed out, so that a caller may decide to use one while its source
    fails; `get` says which they are.

    Example:
        >>> from ecrkit.local.clock import ManualClock
        >>> clock = ManualClock()
        >>> cache = TimedCache(2, clock)
        >>> cache.put("a", 1, seconds=10)
        >>> cache.get("a").fresh, cache.get("b")
        (True, None)
        >>> clock.sleep(10)
        >>> cache.get("a")
        Cached(value=1, seconds_left=0.0)
    """

    def __init__(self, entries: int, clock: Clock) -> None:
        if isinstance(entries, bool) or entries < 1:
            raise InvalidInput.single("no cache", "entries", f"must be at least 1, not {entries!r}")
        self._entries = entries
        self._clock = clock
        self._held: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: K) -> Cached[V] | None:
        """Return the value with the time it has left, or None; it counts as used."""
        with self._lock:
            found = self._held.get(key)
            if found is None:
                return None
            self._held.move_to_end(key)
        return Cached(found[0], found[1] - self._clock.monotonic())

    def put(self, key: K, value: V, *, seconds: float) -> None:
        """Keep the value for `seconds`; with none it is stale at once. The least recently used makes room."""
        until = self._clock.monotonic() + seconds
        with self._lock:
            self._held[key] = (value, until)
            self._held.move_to_end(key)
            while len(self._held) > self._entries:
                self._held.popitem(last=False)

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._held.clear()

    def __len__(self) -> int:
        return len(self._held)
