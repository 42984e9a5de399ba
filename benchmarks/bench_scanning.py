"""Scanning: is a gate's time linear in findings, exemptions and VEX statements, and what does a fan-out gain?

Prints ratios of one run. `--fail-over` makes the growth a failure, for a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import time
from collections.abc import Callable

from benchmarks.support.scan_server import REPOSITORY, Running, running
from ecrkit import Registry
from ecrkit._internal.tables import text_table
from ecrkit.aws.session import offline_session
from ecrkit.scanning import (
    Exemption,
    Exemptions,
    Finding,
    Gate,
    Package,
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


def by_boto3(server: Running) -> int:
    """Read one image after the other with boto3's own paginator; return how many findings came."""
    ecr = offline_session("us-east-1").client("ecr", endpoint_url=server.url)
    pages = ecr.get_paginator("describe_image_scan_findings")
    count = 0
    for digest in server.digests:
        for page in pages.paginate(repositoryName=REPOSITORY, imageId={"imageDigest": digest}):
            count += len(page["imageScanFindings"]["findings"])
    return count


def by_registry(server: Running, workers: int) -> int:
    """Read every image through the registry, indexes told from images; return how many findings came."""
    refs = [f"{REPOSITORY}@{digest}" for digest in server.digests]
    session = offline_session("us-east-1")
    with Registry.from_session(session, endpoint_url=server.url, workers=workers) as registry:
        return sum(len(scan.reports[0].findings) for scan in registry.scanning.reports(refs).values())


def many(images: int = 1000, findings: int = 20, latency: float = 0.06) -> float:
    """Return the time of a sequential boto3 loop over that of `registry.scanning.reports` with 8 workers."""
    ways: dict[str, Callable[[Running], int]] = {
        "boto3, one image after the other": by_boto3,
        "reports, 1 worker": lambda server: by_registry(server, 1),
        "reports, 8 workers": lambda server: by_registry(server, 8),
    }
    took: dict[str, float] = {}
    with running(images=images, findings=findings, latency=latency) as server:
        for name, way in ways.items():
            begun = time.perf_counter()
            assert way(server) == images * findings, name
            took[name] = time.perf_counter() - begun
    base = took["boto3, one image after the other"]
    rows = [(name, f"{seconds:.1f}", f"{base / seconds:.1f}") for name, seconds in took.items()]
    print(f"{images} images of {findings} findings, {latency * 1000:.0f} ms a call")
    print(text_table(("way", "seconds", "times faster"), rows, right=frozenset({1, 2})))
    return base / took["reports, 8 workers"]


def main() -> None:
    """Print both ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fail-over", type=float, default=None, help="exit 1 when the growth is larger")
    options = parser.parse_args()
    ratio = growth()
    print(f"double all: {ratio:.2f} times the time (linear: 2.00)")
    gain = many()
    print(f"reports: {gain:.1f} times faster than a sequential boto3 loop")
    print(json.dumps({"benchmark": "scanning", "growth": ratio, "reports": gain}))
    if options.fail_over is not None and ratio > options.fail_over:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
