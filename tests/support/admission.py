"""A registry whose answers, pauses and faults a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ecrkit.admission import AdmissionProfile, AdmissionProfiles, VerdictService
from ecrkit.local.clock import ManualClock
from ecrkit.scanning import Gate, ImageScan, ScanReport, count_limit

PLACE = ("123456789012", "us-east-1")
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
CLEAN = "sha256:" + "a" * 64
DIRTY = "sha256:" + "b" * 64
PENDING = "sha256:" + "c" * 64


def report(digest: str, *findings: tuple[str, str], status: str = "COMPLETE") -> ScanReport:
    body: dict[str, Any] = {
        "repositoryName": "team/app",
        "imageId": {"imageDigest": digest},
        "imageScanStatus": {"status": status},
    }
    if status == "COMPLETE":
        body["imageScanFindings"] = {
            "imageScanCompletedAt": 1767225600.0,
            "findings": [{"name": name, "severity": severity} for name, severity in findings],
        }
    return ScanReport.from_api(body)


class FakeRegistry:
    """Counts its calls; `hold` makes them wait, `fault` makes them fail."""

    def __init__(self) -> None:
        self.tags = {"clean": CLEAN, "dirty": DIRTY, "pending": PENDING}
        self.reports = {
            CLEAN: report(CLEAN),
            DIRTY: report(DIRTY, ("CVE-2026-1", "CRITICAL"), ("CVE-2026-2", "CRITICAL"), ("CVE-2026-3", "LOW")),
            PENDING: report(PENDING, status="IN_PROGRESS"),
        }
        self.calls: list[tuple[str, str]] = []
        self.fault: Callable[[], BaseException] | None = None
        self.hold: threading.Event | None = None
        self.entered = threading.Event()

    def _called(self, what: str, which: str) -> None:
        self.calls.append((what, which))
        self.entered.set()
        if self.hold is not None:
            assert self.hold.wait(10)
        if self.fault is not None:
            raise self.fault()

    def digest_of(self, repository: str, tag: str) -> str | None:
        self._called("tag", tag)
        return self.tags.get(tag)

    def scan_of(self, repository: str, digest: str) -> ImageScan:
        self._called("scan", digest)
        found = self.reports.get(digest) or ScanReport.not_found(repository=repository, digest=digest)
        return ImageScan(repository=repository, digest=digest, reports=[found])


GATE = Gate(count_limit("CRITICAL", 0))


def profile(name: str = "all", **more: Any) -> AdmissionProfile:
    return AdmissionProfile(name=name, gate=more.pop("gate", GATE), **more)


def service(registry: FakeRegistry, *profiles: AdmissionProfile, **more: Any) -> VerdictService:
    more.setdefault("clock", ManualClock())
    more.setdefault("deadline", 10.0)
    return VerdictService(profiles=AdmissionProfiles(profiles or (profile(),)), registries={PLACE: registry}, **more)


def image(tag_or_digest: str, repository: str = "team/app") -> str:
    mark = "@" if tag_or_digest.startswith("sha256:") else ":"
    return f"{HOST}/{repository}{mark}{tag_or_digest}"
