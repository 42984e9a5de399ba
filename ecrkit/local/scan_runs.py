"""Scans as they run: what starts one, what it comes to, and when continuous scanning ends."""

from __future__ import annotations

import datetime as dt
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from ecrkit.local.events import Event, ImagePushed, ImageScanned, InspectorScanned
from ecrkit.local.scan_shapes import severity_counts
from ecrkit.local.scans import (
    Scan,
    ScanKind,
    ScanStep,
    configuration_of,
    raw_configuration,
    scan_of,
    set_scan,
    steps_for,
)

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import ImageState, RepositoryState

__all__ = [
    "Subject",
    "begin",
    "frequency_of",
    "is_image",
    "quota_left",
    "scan_kind",
    "scan_on_push",
    "scanned_lately",
    "start_covered",
    "take_over",
]

_DAY: Final = dt.timedelta(hours=24)
_IMAGE_CONFIGS: Final = frozenset(
    {"application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"}
)
_NEVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)
_DESCRIPTIONS: Final = {
    "IN_PROGRESS": "The scan is in progress.",
    "PENDING": "The image is waiting for its first scan.",
    "COMPLETE": "The scan was completed successfully.",
    "ACTIVE": "Continuous scan is selected for image.",
    "FAILED": "The scan failed.",
    "UNSUPPORTED_IMAGE": "UnsupportedImageError: The operating system and/or package manager are not supported.",
    "SCAN_ELIGIBILITY_EXPIRED": "The duration of continuous scanning has ended for the image.",
    "LIMIT_EXCEEDED": "The scan quota has been exceeded.",
}


def scan_kind(registry: RegistryState) -> ScanKind:
    """Return which scans the registry's scan type means."""
    return "enhanced" if raw_configuration(registry)["scanType"] == "ENHANCED" else "basic"


def frequency_of(registry: RegistryState, repo: RepositoryState) -> str:
    """Return how the repository is scanned; its own scan-on-push setting counts under BASIC only."""
    raw = raw_configuration(registry)
    if not raw["rules"]:
        found = "NONE" if raw["scanType"] == "ENHANCED" else "MANUAL"
    else:
        found = configuration_of(raw).frequency(repo.name)
    return "SCAN_ON_PUSH" if found == "MANUAL" and repo.scan_on_push else found


def is_image(image: ImageState) -> bool:
    """Return whether this is a container image: no index, no signature, SBOM or other artifact."""
    manifest = image.manifest
    return not manifest.is_index and (manifest.artifact_type is None or manifest.artifact_type in _IMAGE_CONFIGS)


def _has_files(image: ImageState) -> bool:
    layers = image.manifest.blobs if image.manifest.artifact_type is None else image.manifest.blobs[1:]
    return any(b.media_type is None or ".tar" in b.media_type for b in layers)


def quota_left(engine: Engine, registry: RegistryState, at: dt.datetime) -> bool:
    """Return whether the registry may start one more basic scan within 24 hours."""
    begun: deque[dt.datetime] = registry.extra.setdefault("basic_scans", deque())
    while begun and at - begun[0] >= _DAY:
        begun.popleft()
    return len(begun) < engine.limits.basic_scans_per_day


def scanned_lately(image: ImageState, at: dt.datetime) -> bool:
    """Return whether the image had its one basic scan in 24 hours."""
    scan = scan_of(image, "basic")
    return scan is not None and at - scan.began_at < _DAY


@attrs.frozen
class Subject:
    """The image that is scanned, and where it is."""

    engine: Engine
    registry: RegistryState
    repo: RepositoryState
    image: ImageState

    def alive(self, scan: Scan) -> bool:
        """Return whether the image is still there and the scan still its latest of that kind."""
        there = self.registry.repositories.get(self.repo.name) is self.repo
        return (
            there and self.repo.images.get(self.image.digest) is self.image and scan_of(self.image, scan.kind) is scan
        )

    def steps(self, kind: ScanKind) -> tuple[ScanStep, ...]:
        """Return what a scan comes to: what was injected, or nothing found."""
        injected = steps_for(self.registry, self.repo.name, self.image.digest, kind)
        return injected or (ScanStep(status=None if _has_files(self.image) else "UNSUPPORTED_IMAGE"),)

    def event(self, at: dt.datetime) -> dict[str, Any]:
        """Return the members that every scan event has."""
        return {
            "time": at, "account": self.registry.account, "region": self.registry.region,
            "repository": self.repo.name, "digest": self.image.digest, "tags": tuple(self.image.tags),
        }  # fmt: skip


def begin(subject: Subject, at: dt.datetime, kind: ScanKind) -> Scan:
    """Start a scan; it comes to what was injected for the image, or to nothing found."""
    waiting = "IN_PROGRESS" if kind == "basic" else "PENDING"
    scan = Scan(kind=kind, began_at=at, status=waiting, description=_DESCRIPTIONS[waiting])
    set_scan(subject.image, scan)
    if kind == "basic":
        subject.registry.extra.setdefault("basic_scans", deque()).append(at)
    _plan(subject, scan, subject.steps(kind), at)
    return scan


def _plan(
    subject: Subject, scan: Scan, steps: tuple[ScanStep, ...], start: dt.datetime, *, replace: bool = True
) -> None:
    engine = subject.engine
    scan.ticket += replace
    ticket = scan.ticket

    def task(step: ScanStep) -> Callable[[dt.datetime], None]:
        def due(at: dt.datetime) -> None:
            if subject.alive(scan) and scan.ticket == ticket:
                _show(subject, scan, step, at)

        return due

    usual = engine.timings.basic_scan if scan.kind == "basic" else engine.timings.enhanced_scan
    for step in steps:
        delay = usual if step.after is None else step.after
        engine.schedule(max(start + delay, engine.clock.now()), task(step))


def _show(subject: Subject, scan: Scan, step: ScanStep, at: dt.datetime) -> None:
    continuous = scan.kind == "enhanced" and frequency_of(subject.registry, subject.repo) == "CONTINUOUS_SCAN"
    scan.status = step.status or ("ACTIVE" if continuous else "COMPLETE")
    scan.description = step.description if step.description is not None else _DESCRIPTIONS.get(scan.status, "")
    scan.step = step
    scan.completed_at = at if step.has_result else None
    for found in step.findings or ():
        if not isinstance(found, Mapping):
            scan.first_seen.setdefault(found.id, at)
    if scan.kind == "enhanced":
        _after_inspection(subject, scan, step, at)
    elif scan.status in ("COMPLETE", "FAILED"):
        subject.engine.emit(ImageScanned(**subject.event(at), status=scan.status, counts=_counts(step)))


def _counts(step: ScanStep) -> dict[str, int]:
    listed = step.findings or ()
    return severity_counts(f if isinstance(f, Mapping) else {"severity": f.severity} for f in listed)


def _after_inspection(subject: Subject, scan: Scan, step: ScanStep, at: dt.datetime) -> None:
    # Inspector pulls what it scans, and ECR records that as any pull; aws/containers-roadmap#921.
    if not any("inspector2" in str(arn).lower() for arn in subject.registry.pull_time_exclusions):
        subject.image.last_pulled_at = at
    if scan.completed_at is not None and not scan.told:
        scan.told = True
        subject.engine.emit(InspectorScanned(**subject.event(at), counts=_counts(step)))
    if scan.status == "ACTIVE" and not scan.watched:
        scan.watched = True
        _watch(subject, scan, at)


def _watch(subject: Subject, scan: Scan, at: dt.datetime) -> None:
    """End continuous scanning when both the last push and the last pull are too long ago."""
    image = subject.image
    end = max(image.pushed_at, image.last_pulled_at or image.pushed_at) + subject.engine.timings.scan_duration
    if end > at:
        subject.engine.schedule(end, lambda when: _watch(subject, scan, when))
    else:
        scan.watched = False
        if scan.status == "ACTIVE":
            scan.status = "SCAN_ELIGIBILITY_EXPIRED"
            scan.description = _DESCRIPTIONS[scan.status]


# -- what starts scans --------------------------------------------------------------------------------------------


def scan_on_push(engine: Engine, event: Event) -> None:
    """Scan what was pushed where the configuration says so. Indexes and artifacts are passed over in silence."""
    if not isinstance(event, ImagePushed):
        return
    registry = engine.registry(event.account, event.region)
    repo = registry.repositories.get(event.repository)
    image = None if repo is None else repo.images.get(event.digest)
    if repo is None or image is None or not is_image(image):
        return
    if frequency_of(registry, repo) not in ("SCAN_ON_PUSH", "CONTINUOUS_SCAN"):
        return
    if scan_kind(registry) == "enhanced":
        if scan_of(image, "enhanced") is None:
            begin(Subject(engine, registry, repo, image), event.time, "enhanced")
    elif not scanned_lately(image, event.time):
        if quota_left(engine, registry, event.time):
            begin(Subject(engine, registry, repo, image), event.time, "basic")
        else:
            limit = "LIMIT_EXCEEDED"
            set_scan(image, Scan(kind="basic", began_at=_NEVER, status=limit, description=_DESCRIPTIONS[limit]))


def start_covered(engine: Engine, registry: RegistryState, at: dt.datetime) -> None:
    """Let enhanced scanning, just configured, take on images pushed within 30 days or pulled within 90."""
    if scan_kind(registry) != "enhanced":
        return
    for repo in registry.repositories.values():
        if frequency_of(registry, repo) == "NONE":
            continue
        for image in tuple(repo.images.values()):
            young = at - image.pushed_at <= dt.timedelta(days=30)
            used = image.last_pulled_at is not None and at - image.last_pulled_at <= dt.timedelta(days=90)
            if (young or used) and image.status == "ACTIVE" and is_image(image) and not scan_of(image, "enhanced"):
                begin(Subject(engine, registry, repo, image), at, "enhanced")


def take_over(
    engine: Engine,
    registry: RegistryState,
    digest: str,
    step: ScanStep,
    *,
    kind: ScanKind | None,
    repository: str | None,
    follow: bool,
) -> None:
    """Let running scans, and enhanced ones that are done, come to what was just injected."""
    kinds: tuple[ScanKind, ...] = ("basic", "enhanced") if kind is None else (kind,)
    for repo in registry.repositories.values():
        image = repo.images.get(digest)
        if image is None or repository not in (None, repo.name):
            continue
        subject = Subject(engine, registry, repo, image)
        for each in kinds:
            scan = scan_of(image, each)
            if scan is None:
                continue
            if scan.step is None and scan.status in ("IN_PROGRESS", "PENDING"):
                _plan(subject, scan, subject.steps(each), scan.began_at)
            elif each == "enhanced":
                _plan(subject, scan, (step,), engine.clock.now(), replace=not follow)
