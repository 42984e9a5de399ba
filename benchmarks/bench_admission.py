"""Admission: what does a verdict from the cache cost beside a bare echo, and does a troubled registry delay anybody?

Both servers are the same HTTP server over TLS on loopback, in turns, each in a process of its own. wrk drives them when
it is installed, a Python client otherwise (which costs as much as the servers, so that its ratio says less).
The processor time of each request is shown as well: neighbours do not change it. `--fail-under` makes the ratio a
failure, `--fail-over` the longest 99th percentile over what callers wait, for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import http.client
import json
import re
import shutil
import ssl
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.support.admission_server import image, running
from ecrkit._internal.tables import text_table
from tests.support.certificates import Authority

GATEKEEPER, ADMIT = "/v1/gatekeeper", "/v1/admit"
SCRIPT = """
local bodies = {BODIES}
local at = 0
request = function()
  at = at % #bodies + 1
  return wrk.format("POST", "PATH", {["Content-Type"] = "application/json"}, bodies[at])
end
done = function(summary, latency, requests)
  io.write(string.format("P99 %f ERRORS %d\\n", latency:percentile(99) / 1e6,
    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))
end
"""


def provider_request(number: int) -> bytes:
    keys = [f"|shop|{image(number)}"]
    return json.dumps({
        "apiVersion": "externaldata.gatekeeper.sh/v1beta1", "kind": "ProviderRequest", "request": {"keys": keys},
    }).encode()  # fmt: skip


def review(number: int) -> bytes:
    """Return a review as the API server sends it: some kilobytes, with managed fields and all."""
    fields = {f"f:{n}": {} for n in range(40)}
    pod = {
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "p", "namespace": "shop", "managedFields": [{"fieldsV1": fields}] * 3},
        "spec": {"containers": [{"name": "c", "image": image(number), "env": [{"name": "A", "value": "b"}] * 20}]},
    }  # fmt: skip
    request = {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "operation": "CREATE", "namespace": "shop",
        "kind": {"group": "", "version": "v1", "kind": "Pod"}, "object": pod,
    }  # fmt: skip
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()


def by_wrk(port: int, path: str, bodies: list[bytes], seconds: int, script: Path) -> tuple[float, float]:
    """Return requests per second and the 99th percentile in seconds."""
    listed = ",".join("[==[" + b.decode() + "]==]" for b in bodies)
    script.write_text(SCRIPT.replace("PATH", path).replace("BODIES", listed))
    done = subprocess.run(
        ["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", str(script), f"https://127.0.0.1:{port}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", done.stdout)
    more = re.search(r"P99 ([0-9.]+) ERRORS ([0-9]+)", done.stdout)
    assert rate is not None, done.stdout
    assert more is not None, done.stdout
    assert more[2] == "0", done.stdout
    return float(rate[1]), float(more[1])


def client(port: int, context: ssl.SSLContext) -> http.client.HTTPSConnection:
    return http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=30)


def by_python(
    port: int, path: str, bodies: list[bytes], context: ssl.SSLContext, *, threads: int, each: int
) -> tuple[float, list[float], list[Any]]:
    """Return requests per second, every time it took, and the answers."""
    took: list[float] = []
    answers: list[Any] = []

    def work(first: int) -> None:
        connection = client(port, context)
        for number in range(each):
            begun = time.perf_counter()
            body = bodies[(first + number) % len(bodies)]
            connection.request("POST", path, body, {"Content-Type": "application/json"})
            answers.append(json.loads(connection.getresponse().read() or b"null") if path != "/" else None)
            took.append(time.perf_counter() - begun)
        connection.close()

    begun = time.perf_counter()
    workers = [threading.Thread(target=work, args=(n * each,)) for n in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return len(took) / (time.perf_counter() - begun), took, answers


def ratio(folder: Path, context: ssl.SSLContext, *, rounds: int, seconds: int) -> float:
    """Return the requests per second of verdicts over those of echoes, the smaller of the two protocols."""
    tool = shutil.which("wrk")
    print(f"driven by {'wrk' if tool else 'a Python client'}, 8 connections, 100 images, everything in the cache")
    rows, ratios = [], []
    for name, path, make in (("provider request", GATEKEEPER, provider_request), ("admission review", ADMIT, review)):
        bodies = [make(n) for n in range(1, 101)]
        found: dict[str, list[tuple[float, float]]] = {"echo": [], "good": []}
        spent: dict[str, list[float]] = {"echo": [], "good": []}
        with running("good", folder) as good:
            connection = client(good.port, context)
            connection.request("POST", path, bodies[0], {"Content-Type": "application/json"})
            answer = connection.getresponse().read()
            assert b'"allowed":true' in answer, answer
            connection.close()
            with running("echo", folder, size=len(answer)) as echo:
                for _ in range(rounds):
                    for kind, at in (("echo", echo), ("good", good)):
                        before, begun = at.seconds(), time.perf_counter()
                        if tool:
                            found[kind].append(by_wrk(at.port, path, bodies, seconds, folder / "load.lua"))
                        else:
                            rate, took, _ = by_python(at.port, "/", bodies, context, threads=8, each=250)
                            found[kind].append((rate, statistics.quantiles(took, n=100)[98]))
                        answered = found[kind][-1][0] * (time.perf_counter() - begun)
                        spent[kind].append((at.seconds() - before) / answered)
        best = {kind: max(rates) for kind, rates in found.items()}
        ratios.append(best["good"][0] / best["echo"][0])
        rows += [
            (
                f"{name}, {len(bodies[0])} bytes, {kind}", f"{rate:.0f}", f"{rate / best['echo'][0]:.2f}",
                f"{p99 * 1000:.1f}", f"{min(spent[kind]) * 1e6:.0f}",
            )
            for kind, (rate, p99) in best.items()
        ]  # fmt: skip
    print(
        text_table(
            ("server", "requests/s", "of the echo", "p99 ms", "processor us"), rows, right=frozenset({1, 2, 3, 4})
        )
    )
    return min(ratios)


def troubles(folder: Path, context: ssl.SSLContext, *, deadline: float) -> float:
    """Return the longest 99th percentile over the deadline, of every kind of trouble, with nothing in the cache."""
    rows, worst = [], 0.0
    bodies = [provider_request(n) for n in range(1, 2001)]
    for kind, each in (("throttled", 60), ("slow", 8), ("down", 60)):
        with running(kind, folder, deadline=10 * deadline) as server:
            # As the Provider of our manifests: the caller tells how long it waits.
            _, took, answers = by_python(
                server.port, f"{GATEKEEPER}?timeout={deadline:g}s", bodies, context, threads=12, each=each
            )
        admitted = sum("value" in i for a in answers for i in a["response"]["items"])
        assert admitted == 0, f"{admitted} admitted while the registry was {kind}"
        p99 = statistics.quantiles(took, n=100)[98]
        worst = max(worst, p99 / deadline)
        rows.append((kind, str(len(took)), f"{statistics.median(took):.3f}", f"{p99:.3f}", f"{p99 / deadline:.2f}"))
    print(f"callers wait {deadline:g} s; 12 connections, no image twice")
    print(text_table(("registry", "requests", "median s", "p99 s", "of the wait"), rows, right=frozenset({1, 2, 3, 4})))
    return worst


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--fail-under", type=float)
    parser.add_argument("--fail-over", type=float)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder, authority = Path(made), Authority()
        authority.write(folder, "server", "127.0.0.1")
        context = ssl.create_default_context(cadata=authority.ca)
        share = ratio(folder, context, rounds=options.rounds, seconds=options.seconds)
        longest = troubles(folder, context, deadline=1.0)
    print(f"a verdict from the cache: {share:.2f} of an echo; the longest answer: {longest:.2f} of what callers wait")
    low = options.fail_under is not None and share < options.fail_under
    return 1 if low or (options.fail_over is not None and longest > options.fail_over) else 0


if __name__ == "__main__":
    raise SystemExit(main())
