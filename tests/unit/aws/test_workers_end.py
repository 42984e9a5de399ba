"""A stream that ends early drops what was not begun."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecrkit.aws.workers import run_many

PATIENCE = 10.0


@pytest.fixture
def ending(monkeypatch):
    """Return an event that is set once the pool was told to end."""
    told = threading.Event()
    shutdown = ThreadPoolExecutor.shutdown

    def tell(self, wait=True, *, cancel_futures=False):
        shutdown(self, wait=False, cancel_futures=cancel_futures)
        told.set()
        shutdown(self, wait=wait)

    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", tell)
    return told


@pytest.mark.parametrize("ordered", [True, False])
class TestWhatIsNotBegunIsDropped:
    """At most one task for each worker is under way when the stream ends; no other begins."""

    def test_after_an_error(self, ending, ordered):
        begun = []

        def work(item):
            begun.append(item)
            if item == 0:
                raise LookupError("zero")
            assert ending.wait(PATIENCE)

        with pytest.raises(LookupError, match="zero"):
            list(run_many(work, range(100), workers=2, ahead=50, ordered=ordered))
        assert len(begun) <= 4

    def test_after_leaving_the_loop(self, ending, ordered):
        begun = []

        def work(item):
            begun.append(item)
            assert item == 0 or ending.wait(PATIENCE)

        stream = run_many(work, range(100), workers=2, ahead=50, ordered=ordered)
        assert next(stream) == (0, None)
        stream.close()
        assert len(begun) <= 4
