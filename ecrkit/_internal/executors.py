"""The same work on many things, here or on any executor, in order and with a bound on what is under way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import TypeVar

__all__ = ["map_chunks"]

T = TypeVar("T")
R = TypeVar("R")

_UNDER_WAY = 16
"""Chunks sent out ahead of the one waited for: enough for some machines, few enough to stay in memory."""


def map_chunks(
    work: Callable[[list[T]], R], items: Iterable[T], *, executor: Executor | None = None, size: int = 64
) -> Iterator[R]:
    """Yield `work` of each chunk of at most `size` items, in their order, whatever finishes first.

    Items are taken as they are needed, so that a long iterable is never held as a whole. With an executor of processes,
    `work`, items and results are pickled. When the caller stops early or a chunk fails, what waits is cancelled.
    """
    rest = iter(items)
    chunks = iter(lambda: list(islice(rest, size)), [])
    if executor is None:
        yield from map(work, chunks)
        return
    under_way: deque[Future[R]] = deque()
    try:
        for chunk in chunks:
            under_way.append(executor.submit(work, chunk))
            if len(under_way) >= _UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()
