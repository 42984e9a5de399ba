"""The bounded worker pool."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecrkit.aws.workers import run_many

WAYS = [{"workers": 1}, {"workers": 4}, {"workers": 4, "ordered": True}, {"workers": 3, "ahead": 0}]


class TestResults:
    """Each item is worked on once, in order where that is asked."""

    @pytest.mark.parametrize("way", WAYS)
    def test_every_item_once(self, way):
        assert sorted(run_many(lambda n: n * n, range(100), **way)) == [(n, n * n) for n in range(100)]

    def test_in_order(self):
        gate = threading.Event()

        def work(number):
            if number == 0:
                assert gate.wait(10)
            if number == 3:
                gate.set()
            return number

        assert [n for n, _ in run_many(work, range(20), workers=4, ordered=True)] == list(range(20))

    def test_as_done(self):
        gate = threading.Event()

        def work(number):
            if number == 0:
                assert gate.wait(10)
            return number

        seen = []
        for number, _ in run_many(work, range(20), workers=2):
            seen.append(number)
            if len(seen) == 10:
                gate.set()
        assert seen[0] != 0
        assert sorted(seen) == list(range(20))

    def test_nothing_to_do(self):
        assert list(run_many(len, [], workers=4)) == []

    @pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 2, "ahead": -1}])
    def test_wrong_sizes(self, wrong):
        with pytest.raises(ValueError, match="must"):
            run_many(len, [], **wrong)


class TestBackpressure:
    """A slow consumer slows the pool: a stream of any length needs bounded memory."""

    @pytest.mark.parametrize(
        ("ordered", "ahead", "window"), [(True, 3, 5), (False, 3, 5), (True, None, 4), (False, 0, 2)]
    )
    def test_no_more_than_the_window_is_begun(self, ordered, ahead, window):
        begun = itertools.count()
        taken = 0

        def endless():
            while True:
                yield next(begun)

        stream = run_many(lambda n: n, endless(), workers=2, ordered=ordered, ahead=ahead)
        for taken in range(1, 50):
            next(stream)
            assert next(begun) - 1 - taken <= taken + window  # the counter itself moves by one a look
        stream.close()

    def test_the_source_is_read_lazily(self):
        read = []

        def source():
            for number in range(1000):
                read.append(number)
                yield number

        stream = run_many(lambda n: n, source(), workers=2, ahead=0, ordered=True)
        next(stream)
        assert len(read) == 2
        stream.close()


class TestTheFirstErrorEnds:
    """The first error is raised, what was not begun is dropped, and what runs finishes."""

    @pytest.mark.parametrize("way", WAYS)
    def test_raised(self, way):
        worked = []

        def work(number):
            worked.append(number)
            if number == 5:
                raise LookupError(number)
            return number

        with pytest.raises(LookupError):
            list(run_many(work, range(10_000), **way))
        assert len(worked) < 100

    @pytest.mark.parametrize("ordered", [True, False])
    def test_what_was_not_begun_is_dropped(self, monkeypatch, ordered):
        ending, worked = threading.Event(), []

        class Pool(ThreadPoolExecutor):
            def shutdown(self, wait=True, *, cancel_futures=False):
                super().shutdown(wait=False, cancel_futures=cancel_futures)
                ending.set()
                super().shutdown(wait=wait)

        def work(number):
            worked.append(number)
            if number == 0:
                raise LookupError
            assert ending.wait(10)

        monkeypatch.setattr("ecrkit.aws.workers.ThreadPoolExecutor", Pool)
        with pytest.raises(LookupError):
            list(run_many(work, range(50), workers=2, ordered=ordered, ahead=48))
        assert len(worked) <= 3

    @pytest.mark.parametrize("way", WAYS)
    def test_a_failing_source(self, way):
        def source():
            yield 1
            raise LookupError("source")

        with pytest.raises(LookupError, match="source"):
            list(run_many(lambda n: n, source(), **way))

    @pytest.mark.parametrize("way", WAYS)
    def test_leaving_early_stops_the_threads(self, way):
        before = threading.active_count()
        stream = run_many(lambda n: n, itertools.count(), **way)
        next(stream)
        stream.close()
        assert threading.active_count() == before
