"""Scanning as a service over ports: wait for a result, read many, judge them, resolving tags and indexes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Self, TypeVar

import attrs

from ecrkit._internal.clock import SystemClock
from ecrkit.errors import (
    AwsCallFailed,
    Denied,
    EcrkitError,
    InvalidInput,
    InvalidReference,
    NotFound,
    Throttled,
    Unavailable,
    WaitExpired,
    WaitFailed,
)
from ecrkit.ports import (
    Clock,
    FanOut,
    FindingSource,
    InspectorSource,
    ManifestSource,
    OnProgress,
    ScanningConfigurationStore,
    TagSource,
)
from ecrkit.records import Progress
from ecrkit.refs import ImageRef
from ecrkit.scanning._ahead import read_ahead
from ecrkit.scanning.configuration import ScanningConfiguration, ScanningPlan
from ecrkit.scanning.configuration import apply as apply_plan
from ecrkit.scanning.configuration import plan as make_plan
from ecrkit.scanning.findings import ScanReport
from ecrkit.scanning.platforms import ImageScan, IndexChild, index_children
from ecrkit.scanning.waiting import Observation, ObservationKind, ScanWait, WaitStep, step

__all__ = ["ScanningService"]

_DEEPEST: Final = 3
"""Indexes within indexes are followed so far; deeper ones are reported, not followed."""

T = TypeVar("T")
R = TypeVar("R")


class _OneByOne:
    """Runs the work in order in this thread; the fan-out of whoever gives none."""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        for item in items:
            yield item, work(item)


@attrs.frozen(kw_only=True)
class ScanningService:
    """Reads scan results through ports.

    `source` answers DescribeImageScanFindings. `tags` and `manifests` resolve tags and indexes: without `tags` a
    reference needs a digest, without `manifests` an index cannot be told from an image without a scan. `inspector`
    adds EPSS, exploits and in-use counts. `fan_out` runs many questions at once and paces them. `scan_type` is the
    registry's (BASIC or ENHANCED), when known. `store` holds the registry's scanning configuration.
    """

    source: FindingSource
    tags: TagSource | None = None
    manifests: ManifestSource | None = None
    inspector: InspectorSource | None = None
    fan_out: FanOut = attrs.field(factory=_OneByOne)
    clock: Clock = attrs.field(factory=SystemClock)
    scan_type: str | None = None
    store: ScanningConfigurationStore | None = None

    def with_inspector(self, inspector: InspectorSource | None) -> Self:
        """Return this service with Inspector as its second source, or without one for None."""
        return attrs.evolve(self, inspector=inspector)

    # ---- the registry's configuration

    def _the_store(self) -> ScanningConfigurationStore:
        if self.store is None:
            raise InvalidInput.single("no scanning configuration", "store", "this service was given none")
        return self.store

    def configuration(self) -> ScanningConfiguration:
        """Return what the registry scans, and when.

        Raises:
            InvalidInput: the service has no store, or the registry is another account's.
            AwsCallFailed: AWS refused or failed the call.
        """
        return ScanningConfiguration.from_api(self._the_store().scanning_configuration())

    def plan_configuration(
        self, wanted: ScanningConfiguration, repositories: Iterable[str], *, scan_on_push: Iterable[str] = ()
    ) -> ScanningPlan:
        """Return what putting `wanted` would change for the repositories; reads, and writes nothing.

        `scan_on_push` names those whose own, deprecated setting is on: under BASIC it scans them without a rule.

        Raises:
            PlanRefused: the present configuration has members that ecrkit does not know.
            AwsCallFailed: AWS refused or failed the call.
        """
        return make_plan(self._the_store(), wanted, repositories, scan_on_push=scan_on_push)

    def apply_configuration(self, plan: ScanningPlan, *, allow_loss: bool = False) -> bool:
        """Put the planned configuration, after reading the present one again; return whether anything was written.

        Raises:
            PlanOutdated: the configuration has changed since the plan was made.
            PlanRefused: repositories would lose their scans, and not `allow_loss`.
            AwsCallFailed: AWS refused or failed a call.
        """
        return apply_plan(plan, self._the_store(), allow_loss=allow_loss)

    # ---- results

    def resolve(self, ref: str | ImageRef) -> ImageScan:
        """Return what the reference stands for, with a report that says "no scan" for every platform image.

        An index is resolved to its platform images, through nested indexes; attestations are skipped and listed.

        Raises:
            InvalidReference: the reference has neither tag nor digest, or a tag and this service has no tag source.
            NotFound: there is no such tag.
            AwsCallFailed: AWS refused a call.
        """
        parsed = ImageRef.parse(ref) if isinstance(ref, str) else ref
        repository, digest, tag = str(parsed.repository), parsed.digest, parsed.tag
        if digest is None:
            if tag is None:
                raise InvalidReference.single("no image", str(parsed), "name a tag or a digest")
            if self.tags is None:
                raise InvalidReference.single("no digest", str(parsed), "this service resolves no tags")
            found = self.tags.digest_of(repository, tag)
            if found is None:
                raise NotFound(
                    f"there is no tag {tag} in {repository}", operation="DescribeImages", code="ImageNotFoundException"
                )
            digest_text = found
        else:
            digest_text = digest
        base = ImageScan(repository=repository, digest=digest_text, tag=tag)
        children = self._children(repository, digest_text)
        if children is None:
            return attrs.evolve(base, reports=[ScanReport.not_found(repository=repository, digest=digest_text)])
        images: dict[str, IndexChild] = {}
        skipped: list[str] = []
        problem = self._walk(repository, children, images, skipped, depth=1)
        return attrs.evolve(
            base,
            index=True,
            reports=[
                ScanReport.not_found(repository=repository, digest=c.digest, platform=c.platform)
                for c in images.values()
            ],
            skipped=tuple(skipped),
            problem=problem,
        )

    def _children(self, repository: str, digest: str) -> tuple[IndexChild, ...] | None:
        if self.manifests is None:
            return None
        manifest = self.manifests.manifests(repository, [digest]).get(digest)
        return None if manifest is None else index_children(manifest.text)

    def _walk(
        self,
        repository: str,
        children: Sequence[IndexChild],
        images: dict[str, IndexChild],
        skipped: list[str],
        *,
        depth: int,
    ) -> str | None:
        problem: str | None = None
        for child in children:
            if child.kind == "attestation":
                skipped.append(child.digest)
            elif child.kind == "image":
                images.setdefault(child.digest, child)
            elif depth >= _DEEPEST:
                problem = f"the index nests more than {_DEEPEST} indexes deep: {child.digest}"
            else:
                inner = self._children(repository, child.digest)
                if inner is None:
                    problem = f"the manifest of the nested index {child.digest} could not be read"
                else:
                    problem = self._walk(repository, inner, images, skipped, depth=depth + 1) or problem
        return problem

    def report(self, repository: str, image: str, *, platform: str | None = None) -> ScanReport:
        """Return the scan report of one image (not an index) as it is now, without waiting.

        A scan that does not exist gives a report that says so; Inspector's data is added when there is a source.

        Raises:
            AwsCallFailed: AWS refused or failed the call.
        """
        try:
            report = ScanReport.from_api(self.source.scan_pages(repository, image))
        except NotFound as fault:
            if fault.code != "ScanNotFoundException":
                raise
            report = ScanReport.not_found(repository=repository, digest=image if ":" in image else None)
        return self._with_inspector(repository, _named(report, repository, image, platform))

    def _with_inspector(self, repository: str, report: ScanReport) -> ScanReport:
        if self.inspector is None or report.digest is None:
            return report
        coverage = self.inspector.inspector_coverage(repository, report.digest)
        found = ScanReport.from_inspector(
            self.inspector.inspector_findings(repository, report.digest), digest=report.digest, coverage=coverage
        )
        enriched = report.enriched(found)
        if not report.findings and report.completed_at is None and found.status is not None:
            told = f"{report.status_description or ''} Inspector: {found.status} {found.status_description or ''}"
            enriched = attrs.evolve(enriched, status_description=told.strip())
        return enriched

    def read(self, ref: str | ImageRef) -> ImageScan:
        """Return the scan of an image, or of every platform of an index, as it is now.

        Raises:
            InvalidReference: the reference cannot be resolved.
            AwsCallFailed: AWS refused or failed a call.
        """
        scan = self.resolve(ref)
        return attrs.evolve(
            scan,
            reports=[self.report(scan.repository or "", r.digest or "", platform=r.platform) for r in scan.reports],
        )

    def wait(
        self,
        ref: str | ImageRef,
        *,
        timeout: float = 300.0,
        on_progress: OnProgress | None = None,
        start: bool = False,
        settle: float = 15.0,
        patience: float = 120.0,
    ) -> ImageScan:
        """Wait until the image, or every platform image of an index, has a result, and return it.

        `timeout` and the others are seconds, for all platforms together. With `start` a basic scan is started for an
        image that has none; a scan that exists or was started within 24 hours is used as it is. An enhanced result
        counts after two equal reads, `settle` seconds apart; a missing scan or image is waited for during
        `patience`.

        Raises:
            WaitExpired: no result in time; `last` is the last report, or None.
            WaitFailed: the scan ended without a result (failed, unsupported, expired, archived); `last` is the report.
            Denied: not allowed to read the findings, or to start a scan.
            NotFound: the repository or tag does not exist.
        """
        begun = self.clock.monotonic()
        deadline = begun + timeout
        scan = self._resolve_patiently(ref, begun, deadline, patience)
        if on_progress is not None:
            on_progress(Progress(done=0, total=len(scan.reports), what="waiting for scans"))
        reports = self._wait_all(scan, begun=self.clock.monotonic(), deadline=deadline, settle=settle,
                                 patience=patience, start=start, on_progress=on_progress)  # fmt: skip
        if on_progress is not None:
            on_progress(Progress(done=len(reports), total=len(reports), what="scans ready"))
        return attrs.evolve(scan, reports=[self._with_inspector(scan.repository or "", r) for r in reports])

    def _resolve_patiently(self, ref: str | ImageRef, begun: float, deadline: float, patience: float) -> ImageScan:
        tries = 0
        while True:
            now = self.clock.monotonic()
            try:
                return self.resolve(ref)
            except NotFound as fault:
                if fault.code != "ImageNotFoundException" or now - begun >= patience or now >= deadline:
                    raise
            except (Throttled, Unavailable):
                if now >= deadline:
                    raise
            tries += 1
            self.clock.sleep(min(2.0 * 1.5 ** min(tries, 7), 30.0, max(deadline - now, 0.0)))

    def _wait_all(
        self,
        scan: ImageScan,
        *,
        begun: float,
        deadline: float,
        settle: float,
        patience: float,
        start: bool,
        on_progress: OnProgress | None,
    ) -> list[ScanReport]:
        """Wait for every platform at once: whoever is due next is asked, so pauses of several run side by side."""
        repository = scan.repository or ""
        state = ScanWait(started=begun, deadline=deadline, settle=settle, patience=patience)
        states = dict.fromkeys(range(len(scan.reports)), state)
        due = dict.fromkeys(states, begun)
        startable = set(states) if start else set()
        done: dict[int, ScanReport] = {}
        while due:
            number = min(due, key=lambda n: (due[n], n))
            pause = due[number] - self.clock.monotonic()
            if pause > 0:
                self.clock.sleep(pause)
            target = scan.reports[number]
            seen, fault = self._observe(repository, target.digest or "", target.platform)
            if seen.kind == "scan-not-found" and number in startable:
                startable.discard(number)
                seen, fault = self._start(repository, target.digest or "") or (seen, fault)
            now = self.clock.monotonic()
            following = step(states[number], seen, now, scan_type=self.scan_type)
            if following.action == "done":
                done[number] = following.state.last or target
                del due[number]
                continue
            self._refuse(following, f"{repository}@{target.digest}", seen, fault)
            states[number] = following.state
            due[number] = now + following.sleep
            if on_progress is not None:
                what = f"{target.platform}: {following.reason}" if target.platform else following.reason
                on_progress(Progress(done=len(done), total=len(states), what=what))
        return [done[n] for n in sorted(done)]

    def _refuse(self, following: WaitStep, image: str, seen: Observation, fault: EcrkitError | None) -> None:
        """Raise what ends the wait badly; return when it goes on."""
        if following.action == "failed":
            if fault is not None and seen.kind in ("denied", "error"):
                raise fault
            raise WaitFailed(f"{image}: {following.reason}", last=following.state.last)
        if following.action == "expired":
            raise WaitExpired(f"{image}: {following.reason}", last=following.state.last)

    def _observe(self, repository: str, image: str, platform: str | None) -> tuple[Observation, EcrkitError | None]:
        try:
            report = ScanReport.from_api(self.source.scan_pages(repository, image))
            return Observation(kind="report", report=_named(report, repository, image, platform)), None
        except AwsCallFailed as fault:
            return Observation(kind=_kind(fault), text=str(fault)), fault

    def _start(self, repository: str, image: str) -> tuple[Observation, EcrkitError | None] | None:
        """Start a scan; return what to tell the waiter when that is final."""
        try:
            self.source.start_scan(repository, image)
        except AwsCallFailed as fault:
            if fault.code == "LimitExceededException":
                # The image was scanned within 24 hours; its result will be there.
                return None
            if fault.code in ("UnsupportedImageTypeException", "ImageArchivedException") or isinstance(fault, Denied):
                return Observation(kind="error", text=str(fault)), fault
            kind = _kind(fault)
            if kind in ("throttled", "unavailable"):
                return Observation(kind=kind, text=str(fault)), fault
            return Observation(kind="error", text=str(fault)), fault
        return None

    def reports(
        self, refs: Iterable[str | ImageRef], *, on_progress: OnProgress | None = None
    ) -> Mapping[str, ImageScan]:
        """Return the scan of every reference as it is now, by reference, in the order given.

        The work goes through `fan_out`, which runs several at a time; manifests, which tell indexes, are read ahead,
        a hundred at a time. A reference that cannot be read does not stop the others: its scan has a `problem`, and
        every gate takes that as a no.
        """
        texts = list(dict.fromkeys(str(r) for r in refs))
        tags, manifests = read_ahead(texts, tags=self.tags, manifests=self.manifests, fan_out=self.fan_out)
        informed = attrs.evolve(self, tags=tags, manifests=manifests)
        found: dict[str, ImageScan] = {}
        for text, scan in self.fan_out.each(informed._read_or_problem, texts):
            found[text] = scan
            if on_progress is not None:
                on_progress(Progress(done=len(found), total=len(texts), what=text))
        return {text: found[text] for text in texts if text in found}

    def _read_or_problem(self, ref: str) -> ImageScan:
        try:
            return self.read(ref)
        except EcrkitError as fault:
            told = f"{ref} could not be read: {fault}"
        try:
            parsed = ImageRef.parse(ref)
        except InvalidReference:
            return ImageScan(problem=told)
        return ImageScan(repository=str(parsed.repository), digest=parsed.digest, tag=parsed.tag, problem=told)


def _named(report: ScanReport, repository: str, image: str, platform: str | None) -> ScanReport:
    return attrs.evolve(
        report,
        repository=report.repository or repository,
        digest=report.digest or (image if ":" in image else None),
        platform=platform if platform is not None else report.platform,
    )


def _kind(fault: AwsCallFailed) -> ObservationKind:
    if isinstance(fault, Denied):
        return "denied"
    if isinstance(fault, Throttled):
        return "throttled"
    if isinstance(fault, Unavailable):
        return "unavailable"
    if isinstance(fault, NotFound):
        kinds: dict[str, ObservationKind] = {
            "ScanNotFoundException": "scan-not-found",
            "ImageNotFoundException": "image-not-found",
        }
        return kinds.get(fault.code, "error")
    return "error"
