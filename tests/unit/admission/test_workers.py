"""The workers of the service: bounded, and no call without an answer keeps the process alive."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import wait
from functools import partial

import pytest

from ecrkit.admission.workers import DaemonWorkers

HUNG = """
import sys, threading
from ecrkit.admission import AdmissionProfile, AdmissionProfiles, VerdictService
from ecrkit.scanning import Gate, count_limit

class Hung:
    def digest_of(self, repository, tag):
        threading.Event().wait()
    scan_of = digest_of

profiles = AdmissionProfiles(AdmissionProfile(name="all", gate=Gate(count_limit("CRITICAL", 0))))
with VerdictService(profiles=profiles, registries={("123456789012", "us-east-1"): Hung()}, deadline=0.05) as service:
    found = service.decide("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1")
print(found.outcome, found.reason)
"""


class TestDaemonWorkers:
    """As many threads as there is work for, up to a count; results and faults reach the one who asked."""

    def test_results_and_faults(self) -> None:
        workers = DaemonWorkers(2, name="w")

        def broken() -> int:
            raise ZeroDivisionError

        assert [workers.submit(partial(divmod, n, 1)).result(10)[0] for n in range(20)] == list(range(20))
        with pytest.raises(ZeroDivisionError):
            workers.submit(broken).result(10)
        assert workers.submit(lambda: 1).result(10) == 1
        workers.close()

    def test_no_more_threads_than_the_count(self) -> None:
        workers, hold = DaemonWorkers(3, name="bounded"), threading.Event()
        both = threading.Barrier(4)
        work = [workers.submit(lambda: both.wait(10)) for _ in range(3)]
        more = [workers.submit(lambda: hold.wait(10)) for _ in range(9)]
        both.wait(10)
        hold.set()
        assert all(f.result(10) is not None for f in work)
        assert all(f.result(10) for f in more)
        assert sum(t.name.startswith("bounded-") for t in threading.enumerate()) <= 3
        workers.close()

    def test_closing_cancels_what_waits_and_ends_the_threads(self) -> None:
        workers, hold, begun = DaemonWorkers(1, name="closing"), threading.Event(), threading.Event()

        def held() -> str:
            begun.set()
            assert hold.wait(10)
            return "done"

        running, waiting = workers.submit(held), workers.submit(held)
        threads = [t for t in threading.enumerate() if t.name.startswith("closing-")]
        assert begun.wait(10)
        workers.close()
        workers.close()
        # Who waits for it is told at once, and does not wait for its time to be over.
        assert wait([waiting], timeout=10).done == {waiting}
        assert waiting.cancelled()
        with pytest.raises(RuntimeError):
            workers.submit(held)
        hold.set()
        assert running.result(10) == "done"
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()


class TestEndOfTheProcess:
    """A Pod that is told to end has its grace period: a registry that never answers must not use it up."""

    def test_a_hung_call(self) -> None:
        ended = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, text=True, timeout=60, check=False)
        assert (ended.returncode, ended.stdout.strip()) == (0, "undetermined no answer in time"), ended.stderr
