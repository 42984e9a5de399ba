"""Several callers with one question, and one piece of work that answers them all."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

__all__ = ["SingleFlight"]

K = TypeVar("K")
V = TypeVar("V")


class SingleFlight(Generic[K, V]):
    """Work that is under way, by what it answers. Whoever asks the same meanwhile gets its answer.

    Example:
        >>> SingleFlight().run("key", lambda: 41 + 1)
        42
    """

    def __init__(self) -> None:
        self._under_way: dict[K, Future[V]] = {}
        self._lock = threading.Lock()

    def join(self, key: K, start: Callable[[], Future[V] | None]) -> Future[V] | None:
        """Return the future of the work under way, or of what `start` begins; None when it begins nothing."""
        with self._lock:
            future = self._under_way.get(key)
            if future is not None and not future.done():
                return future
            future = start()
            if future is None:
                return None
            self._under_way[key] = future
        future.add_done_callback(lambda done: self._ended(key, done))
        return future

    def run(self, key: K, work: Callable[[], V]) -> V:
        """Return what the work gives, done in this thread unless another does it already; its error is raised."""
        mine: Future[V] = Future()
        with self._lock:
            theirs = self._under_way.get(key)
            if theirs is None:
                self._under_way[key] = mine
        if theirs is not None:
            return theirs.result()
        try:
            value = work()
        except BaseException as fault:
            self._ended(key, mine)
            mine.set_exception(fault)
            raise
        self._ended(key, mine)
        mine.set_result(value)
        return value

    def _ended(self, key: K, future: Future[V]) -> None:
        with self._lock:
            if self._under_way.get(key) is future:
                del self._under_way[key]

    def __len__(self) -> int:
        return len(self._under_way)
