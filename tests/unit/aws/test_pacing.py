"""Pacing: adapts to throttles, loses no call, and is tested without waiting."""

from __future__ import annotations

import heapq
import itertools
import threading

import pytest

from ecrkit.aws.pacing import PUBLISHED_RATES, Pace, Pacer, Pacers
from ecrkit.local import ManualClock


def simulate(*, calls, threads, latency, refill, capacity, rate=None, attempts=10):
    """Play threads against a token bucket, event by event; return (requests, lost calls, seconds)."""
    pace, tokens, last = Pace.starting(rate), float(capacity), 0.0
    count, requests, lost, end = itertools.count(), 0, 0, 0.0
    tries: dict[int, int] = {}
    todo, events = list(range(calls)), []

    def begin(now, job):
        nonlocal pace
        pace, slot = pace.reserve(now)
        heapq.heappush(events, (slot, next(count), "send", (job, pace.generation)))

    for _ in range(min(threads, calls)):
        begin(0.0, todo.pop())
    while events:
        now, _, kind, data = heapq.heappop(events)
        if kind == "send":
            job, generation = data
            if generation != pace.generation:
                begin(now, job)
                continue
            requests += 1
            tries[job] = tries.get(job, 0) + 1
            heapq.heappush(events, (now + latency / 2, next(count), "arrive", (job, now)))
        elif kind == "arrive":
            tokens, last = min(capacity, tokens + (now - last) * refill), now
            granted = tokens >= 1
            tokens -= granted
            heapq.heappush(events, (now + latency / 2, next(count), "answer", (*data, granted)))
        else:
            job, sent_at, granted = data
            if granted:
                pace, end = pace.passed(now), now
            else:
                pace = pace.throttled(sent_at=sent_at, now=now)
                if tries[job] < attempts:
                    begin(now, job)
                    continue
                lost += 1
            if todo:
                begin(now, todo.pop())
    return requests, lost, end


class TestNoCallIsLost:
    """ECR throttles with a token bucket for each operation; its rate is not published for most of them."""

    @pytest.mark.parametrize("latency", [0.002, 0.06, 0.3])
    @pytest.mark.parametrize(("refill", "capacity"), [(20, 20), (20, 200), (20, 1), (100, 100), (5, 5)])
    def test_at_most_1_2_requests_a_call(self, latency, refill, capacity):
        requests, lost, seconds = simulate(calls=400, threads=16, latency=latency, refill=refill, capacity=capacity)
        assert lost == 0
        assert requests <= 480
        # And it does not buy that by crawling.
        assert seconds <= 4 * max(1.0, (400 - capacity) / refill) + 5

    def test_it_uses_what_is_granted(self):
        requests, lost, seconds = simulate(calls=400, threads=16, latency=0.06, refill=20, capacity=20)
        assert (requests <= 440, lost, seconds <= 25) == (True, 0, True)

    def test_a_raised_quota_is_found(self):
        """PutImage's published 10 a second is adjustable: an account with 100 is not held at 10."""
        _, lost, seconds = simulate(calls=2000, threads=16, latency=0.06, refill=100, capacity=100, rate=10.0)
        assert lost == 0
        assert seconds < 60

    def test_a_lowered_quota_is_found(self):
        requests, lost, _ = simulate(calls=400, threads=16, latency=0.06, refill=10, capacity=10, rate=2000.0)
        assert lost == 0
        assert requests <= 480

    def test_an_unlimited_service_is_never_paced(self):
        requests, lost, seconds = simulate(calls=1000, threads=10, latency=0.1, refill=1e6, capacity=1e6)
        assert (requests, lost) == (1000, 0)
        assert seconds == pytest.approx(10.0)


class TestSteps:
    """The steps are pure: a state, a time, the next state."""

    def test_without_a_limit_nobody_waits(self):
        pace, slot = Pace.starting().reserve(5.0)
        assert (slot, pace.rate) == (5.0, None)

    def test_slots_are_a_period_apart(self):
        pace, slots = Pace.starting(4.0), []
        for _ in range(3):
            pace, slot = pace.reserve(10.0)
            slots.append(slot)
        assert slots == [10.0, 10.25, 10.5]

    def test_one_burst_of_throttles_cuts_once(self):
        pace = Pace.starting(100.0)
        cut = pace.throttled(sent_at=1.0, now=2.0)
        assert cut.rate == 80.0
        assert cut.throttled(sent_at=1.9, now=2.1) == cut
        assert cut.throttled(sent_at=2.05, now=2.1).rate == 40.0, "so soon again: plainly wrong, cut deeper"
        assert cut.throttled(sent_at=4.0, now=4.1).rate == 64.0

    def test_the_rate_has_a_floor(self):
        pace = Pace.starting(1.0)
        for second in range(1, 50):
            pace = pace.throttled(sent_at=float(second), now=second + 0.5)
        assert pace.rate == 0.2

    def test_success_never_slows(self):
        pace = Pace.starting(100.0).throttled(sent_at=0.0, now=0.1).throttled(sent_at=0.2, now=0.3)
        rates = [pace.rate]
        for step in range(2000):
            pace = pace.passed(step / 100)
            rates.append(pace.rate)
        assert rates == sorted(rates)
        assert rates[-1] > 100.0

    def test_a_published_rate_is_where_a_recovered_one_would_be(self):
        pace = Pace.starting(10.0)
        for step in range(100):
            pace = pace.passed(step / 10)
            assert pace.rate >= 10.0
        assert pace.rate > 15.0, "a hundred calls without a throttle"

    def test_an_idle_pace_does_not_grow(self):
        pace = Pace.starting(10.0).throttled(sent_at=0.0, now=0.1)
        assert pace.passed(10_000.0).rate == pytest.approx(pace.passed(0.2).rate)

    def test_the_first_guess_is_what_passed_within_a_second(self):
        pace = Pace.starting()
        for step in range(30):
            pace = pace.passed(step / 10)
        assert pace.throttled(sent_at=2.9, now=3.0).rate == pytest.approx(8.0)
        assert Pace.starting().throttled(sent_at=0.0, now=0.1).rate == pytest.approx(0.8)

    def test_an_old_count_is_forgotten(self):
        pace = Pace.starting()
        for _ in range(50):
            pace = pace.passed(0.5)
        assert pace.passed(100.0).throttled(sent_at=100.0, now=100.1).rate == pytest.approx(1.6)


class TestPacer:
    """The pacer around the steps waits on an injected clock."""

    def test_it_waits_for_its_slot(self):
        clock = ManualClock()
        pacer = Pacer(clock, rate=2.0)
        assert [pacer.wait_turn() for _ in range(4)] == [0.0, 0.5, 1.0, 1.5]

    def test_a_cut_while_waiting_takes_the_slot_back(self):
        class Cutting(ManualClock):
            pacer: Pacer

            def sleep(self, seconds):
                super().sleep(seconds)
                if self.pacer.pace.generation == 0:
                    self.pacer.throttled(sent_at=self.monotonic())

        clock = Cutting()
        clock.pacer = pacer = Pacer(clock, rate=1.0)
        pacer.wait_turn()
        # The slot at 1 s is void: the cut at 1 s to 0.8 a second puts the next one at 2.25 s.
        assert pacer.wait_turn() == pytest.approx(2.25)

    def test_a_clock_that_rounds_a_sleep_down_does_not_hold_it(self):
        class Coarse(ManualClock):
            sleeps = 0

            def sleep(self, seconds):
                self.sleeps += 1
                assert self.sleeps < 100
                super().sleep(round(seconds, 5))

        pacer = Pacer(Coarse(), rate=3.0)
        turns = [pacer.wait_turn() for _ in range(10)]
        assert turns == pytest.approx([n / 3 for n in range(10)], abs=1e-4)

    def test_threads_never_share_a_slot(self):
        pacer, turns = Pacer(ManualClock(), rate=1000.0), []
        threads = [threading.Thread(target=lambda: turns.append(pacer.pace) or pacer.wait_turn()) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert pacer.pace.next_slot >= 0.008 - 1e-9

    def test_each_operation_has_its_own(self):
        pacers = Pacers(ManualClock())
        put = pacers.of("ecr", "PutImage")
        assert put is pacers.of("ecr", "PutImage")
        assert put is not pacers.of("ecr", "DescribeImages")
        assert pacers.rates() == {"ecr:DescribeImages": None, "ecr:PutImage": 10.0}

    def test_published_rates(self):
        """ECR user guide, service quotas."""
        assert PUBLISHED_RATES["ecr:BatchGetImage"] == 2000
        assert PUBLISHED_RATES["ecr:PutImage"] == 10
        assert "ecr:DescribeImages" not in PUBLISHED_RATES
