"""Scanning: is a gate's time linear in findings, exemptions and VEX statements, and what does a fan-out gain?

Prints ratios of one run. `--fail-over` makes the growth a failure, for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

from ecrkit.scanning import (
    Exemption,
    Exemptions,
    Finding,
    Gate,
    Package,
    ScanningService,
    ScanReport,
    VexStatements,
    count_limit,
    deny_fixable,
)

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)


def subject(size: int) -> tuple[ScanReport, Exemptions, VexStatements]:
    """Return `size` findings, a tenth as many exemptions and a tenth as many VEX statements."""
    findings = tuple(
        Finding(
            id=f"CVE-2026-{n}",
            severity=("CRITICAL", "HIGH", "MEDIUM", "LOW")[n % 4],
            packages=(Package(name=f"lib{n % 500}", version="1.0", manager="OS", arch="AMD64"),),
            fix_available="YES" if n % 3 else "NO",
            first_observed=NOW - dt.timedelta(days=n % 90),
        )
        for n in range(size)
    )
    report = ScanReport(
        source="enhanced", repository="team/app", digest="sha256:" + "a" * 64, status="ACTIVE", completed_at=NOW,
        os="DEBIAN_12", findings=findings,
    )  # fmt: skip
    tenth = size // 10
    exemptions = Exemptions(
        [
            Exemption(
                ids=(f"CVE-2026-{n * 3}",), packages=(f"lib{n * 3 % 500}",), reason="accepted", expires=NOW.date()
            )
            for n in range(tenth)
        ]
    )
    vex = VexStatements.parse(
        {
            "@context": "https://openvex.dev/ns/v0.2.0", "@id": "bench", "author": "bench", "version": 1,
            "timestamp": "2026-11-01T00:00:00Z",
            "statements": [
                {
                    "vulnerability": {"name": f"CVE-2026-{n * 7}"}, "status": "not_affected",
                    "justification": "component_not_present",
                    "products": [{"@id": f"pkg:deb/debian/lib{n * 7 % 500}?distro=debian-12"}],
                }
                for n in range(tenth)
            ],
        }
    )  # fmt: skip
    return report, exemptions, vex


def best_of(rounds: int, work: Callable[[], object]) -> float:
    """Return the shortest time of several rounds."""
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        work()
        times.append(time.perf_counter() - begun)
    return min(times)


def growth() -> float:
    """Return the time of twice as much of everything over the time of once."""
    gate = Gate(
        [count_limit("CRITICAL", 0), count_limit("HIGH", 5), deny_fixable("MEDIUM")], grace_days={"HIGH": 30, "LOW": 60}
    )
    seconds = []
    for size in (10_000, 20_000):
        report, exemptions, vex = subject(size)

        def work(report: ScanReport = report, exemptions: Exemptions = exemptions, vex: VexStatements = vex) -> object:
            # New sets each time: building the indexes is part of the price.
            return gate.judge(
                report, now=NOW, exemptions=Exemptions(exemptions.entries), vex=VexStatements(vex.entries)
            )

        seconds.append(best_of(5, work))
        print(f"{size} findings, {size // 10} exemptions, {size // 10} VEX statements: {seconds[-1]:.3f} s")
    return seconds[1] / seconds[0]


class SlowSource:
    """Answers after the latency of a call to another machine."""

    def __init__(self, latency: float) -> None:
        self.latency = latency

    def scan_pages(self, repository: str, image: str) -> Iterable[Mapping[str, Any]]:
        time.sleep(self.latency)
        return [
            {
                "repositoryName": repository, "imageId": {"imageDigest": image},
                "imageScanStatus": {"status": "COMPLETE"},
                "imageScanFindings": {"imageScanCompletedAt": 1764000000.0, "findings": []},
            }
        ]  # fmt: skip

    def start_scan(self, repository: str, image: str) -> None:
        raise AssertionError(f"nothing is started here: {repository}@{image}")


class Threads:
    """A fan-out of a few threads."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def each(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
        with ThreadPoolExecutor(self.workers) as pool:
            waiting = {pool.submit(work, item): item for item in items}
            for done in as_completed(waiting):
                yield waiting[done], done.result()


def many(latency: float = 0.02, images: int = 1000) -> float:
    """Return the time of one image after the other over the time of eight at once."""
    refs = [f"team/app@sha256:{n:064x}" for n in range(images)]
    source = SlowSource(latency)
    sequential = best_of(1, lambda: [list(source.scan_pages("team/app", r.partition("@")[2])) for r in refs])
    service = ScanningService(source=source, fan_out=Threads(8))
    together = best_of(1, lambda: service.reports(refs))
    print(f"{images} images at {latency * 1000:.0f} ms: {sequential:.1f} s in a row, {together:.1f} s by 8 workers")
    return sequential / together


def main() -> None:
    """Print both ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fail-over", type=float, default=None, help="exit 1 when the growth is larger")
    options = parser.parse_args()
    ratio = growth()
    print(f"double all: {ratio:.2f} times the time (linear: 2.00)")
    print(f"fan-out: {many():.1f} times faster than one image after the other")
    if options.fail_over is not None and ratio > options.fail_over:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
