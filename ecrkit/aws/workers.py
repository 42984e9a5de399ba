"""Running many calls at a time: a bounded pool whose results come in order or as they are done.

At most `workers` tasks run and at most `ahead` more are started or finished before the consumer takes a result, so a
stream of any length needs bounded memory: a slow consumer slows the pool down. The first error ends the stream:
tasks not yet begun are dropped, those under way finish, and the error is raised. Closing the generator, also by
leaving the loop early, does the same without an error.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

import attrs

__all__ = ["Workers", "run_many"]

T = TypeVar("T")
R = TypeVar("R")


def run_many(
    work: Callable[[T], R],
    items: Iterable[T],
    *,
    workers: int,
    ordered: bool = False,
    ahead: int | None = None,
) -> Generator[tuple[T, R]]:
    """Yield `(item, work(item))` for every item, as they are done or in the order of the items.

    `ahead` is how many items may be begun or done beyond those that run, by default as many as there are workers.
    With one worker everything runs in the calling thread, one item at a time and nothing ahead.

    Raises:
        ValueError: fewer than one worker, or a negative `ahead`.

    Example:
        >>> list(run_many(len, ["a", "bb", "ccc"], workers=2, ordered=True))
        [('a', 1), ('bb', 2), ('ccc', 3)]
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, not {workers}")
    if ahead is not None and ahead < 0:
        raise ValueError(f"ahead must not be negative, not {ahead}")
    if workers == 1:
        return _one_by_one(work, items)
    window = workers + (workers if ahead is None else ahead)
    return _in_order(work, items, workers, window) if ordered else _as_done(work, items, workers, window)


def _one_by_one(work: Callable[[T], R], items: Iterable[T]) -> Generator[tuple[T, R]]:
    for item in items:
        yield item, work(item)


def _pool(workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="ecrkit")


def _in_order(work: Callable[[T], R], items: Iterable[T], workers: int, window: int) -> Generator[tuple[T, R]]:
    source = iter(items)
    pool = _pool(workers)
    waiting: deque[tuple[T, Future[R]]] = deque()
    try:
        while True:
            while len(waiting) < window and (begun := _begin(pool, work, source)) is not None:
                waiting.append(begun)
            if not waiting:
                return
            item, future = waiting.popleft()
            result = future.result()
            # Neither name may keep a large result alive while the consumer is busy with the next one.
            del future
            yield item, result
            del result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _as_done(work: Callable[[T], R], items: Iterable[T], workers: int, window: int) -> Generator[tuple[T, R]]:
    source = iter(items)
    pool = _pool(workers)
    waiting: dict[Future[R], T] = {}
    try:
        while True:
            while len(waiting) < window and (begun := _begin(pool, work, source)) is not None:
                waiting[begun[1]] = begun[0]
            if not waiting:
                return
            done, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                item = waiting.pop(future)
                yield item, future.result()
            done.clear()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin(pool: ThreadPoolExecutor, work: Callable[[T], R], source: Iterator[T]) -> tuple[T, Future[R]] | None:
    try:
        item = next(source)
    except StopIteration:
        return None
    return item, pool.submit(work, item)


@attrs.frozen
class Workers:
    """Runs the same work for many items, `count` at a time; satisfies `ports.FanOut`.

    Example:
        >>> sorted(Workers(2).each(len, ["a", "bb"]))
        [('a', 1), ('bb', 2)]
    """

    count: int

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Generator[tuple[T, R]]:
        """Yield each item with its result, in the order in which they finish; see `run_many`."""
        return run_many(work, items, workers=self.count)
