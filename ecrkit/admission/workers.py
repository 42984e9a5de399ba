"""Workers that do not keep the process alive: a call that hangs delays neither the end of the service nor of Python.

`concurrent.futures.ThreadPoolExecutor` joins its threads when the interpreter ends, so that one call without an answer
would hold a Pod until the kubelet kills it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

__all__ = ["DaemonWorkers"]

R = TypeVar("R")
_Job = Callable[[], None]


class DaemonWorkers:
    """Runs work on at most `count` daemon threads, which are started when there is work for them.

    Example:
        >>> workers = DaemonWorkers(1, name="example")
        >>> workers.submit(lambda: 41 + 1).result()
        42
        >>> workers.close()
    """

    def __init__(self, count: int, *, name: str) -> None:
        self._count, self._name = count, name
        self._jobs: queue.SimpleQueue[tuple[Future[object], _Job] | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._busy = 0
        self._closed = False
        self._lock = threading.Lock()

    def submit(self, work: Callable[[], R]) -> Future[R]:
        """Return the future of the work.

        Raises:
            RuntimeError: the workers were closed.
        """
        future: Future[R] = Future()

        def job() -> None:
            try:
                value = work()
            except BaseException as fault:  # noqa: BLE001 - it is raised where the result is asked for
                future.set_exception(fault)
            else:
                future.set_result(value)

        with self._lock:
            if self._closed:
                raise RuntimeError("the workers were closed")
            self._busy += 1
            self._jobs.put((future, job))  # type: ignore[arg-type]
            if self._busy > len(self._threads) < self._count:
                name = f"{self._name}-{len(self._threads)}"
                thread = threading.Thread(target=self._run, name=name, daemon=True)
                self._threads.append(thread)
                thread.start()
        return future

    def _run(self) -> None:
        while (found := self._jobs.get()) is not None:
            future, job = found
            if future.set_running_or_notify_cancel():
                job()
            # An idle worker must not keep the last answer alive.
            del found, future, job
            with self._lock:
                self._busy -= 1

    def close(self) -> None:
        """Cancel what has not begun, let the threads end after what they do, and return at once."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            threads = len(self._threads)
        while True:
            try:
                found = self._jobs.get_nowait()
            except queue.Empty:
                break
            if found is not None:
                found[0].cancel()
                # A waiter is told by the notification and not by the cancelling alone.
                found[0].set_running_or_notify_cancel()
        for _ in range(threads):
            self._jobs.put(None)
