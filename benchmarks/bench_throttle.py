"""400 calls by 16 threads against a server that grants 20 a second: calls lost and requests a call, in real time.

The same against botocore's retry modes. The last line is JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.support.page_server import running
from ecrkit._internal.tables import text_table
from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import AwsCallFailed

CALLS = 400
THREADS = 16
RATE = 20
REQUIRED = 1.2


def ecrkits(url: str) -> Callable[[], object]:
    """Return one call of the gateway."""
    session = AwsSession(offline_session("eu-west-1"), endpoint_url=url, workers=THREADS)
    gateway = EcrGateway(session.caller("ecr"), workers=THREADS)
    return lambda: gateway.images("app").all()


def botocores(mode: str, attempts: int) -> Callable[[str], Callable[[], object]]:
    """Return one call of a client in a retry mode."""

    def make(url: str) -> Callable[[], object]:
        config = Config(retries={"mode": mode, "total_max_attempts": attempts}, max_pool_connections=THREADS)
        ecr = offline_session("eu-west-1").client("ecr", endpoint_url=url, config=config)
        return lambda: ecr.describe_images(repositoryName="app")

    return make


def main() -> None:
    """Print the table and the figures."""
    ways = {
        "ecrkit's pacer, 10 attempts": ecrkits,
        "legacy, 5 attempts": botocores("legacy", 5),
        "standard, 3 attempts": botocores("standard", 3),
        "standard, 10 attempts": botocores("standard", 10),
        "adaptive, 10 attempts": botocores("adaptive", 10),
    }
    figures: dict[str, dict[str, float]] = {}
    for name, make in ways.items():
        with running(size=1, rate=RATE) as server:
            call = make(server.url)

            def counted(_: int, call: Callable[[], object] = call) -> int:
                try:
                    call()
                except (ClientError, AwsCallFailed):
                    return 1
                return 0

            began = time.perf_counter()
            with ThreadPoolExecutor(THREADS) as pool:
                lost = sum(pool.map(counted, range(CALLS)))
            seconds = time.perf_counter() - began
            figures[name] = {"lost": lost, "requests": server.requests(), "seconds": round(seconds, 1)}
    rows = [
        (name, f["lost"], f["requests"], f"{f['requests'] / CALLS:.2f}", f["seconds"]) for name, f in figures.items()
    ]
    header = ("way", "calls lost", "requests", "requests a call", "seconds")
    print(text_table(header, rows, right=frozenset({1, 2, 3, 4})))
    ours = figures["ecrkit's pacer, 10 attempts"]
    print(f"\nrequired: none lost, at most {REQUIRED} requests a call; measured: {ours['requests'] / CALLS:.2f}")
    print(json.dumps({"benchmark": "throttle", "calls": CALLS, "rate": RATE, "ways": figures, "required": REQUIRED}))


if __name__ == "__main__":
    main()
