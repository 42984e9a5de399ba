"""Whether a scan result may be judged, as a pure decision, and the step function of the waiter that asks again."""

from __future__ import annotations

from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.scanning.findings import ScanReport

__all__ = ["Observation", "Readiness", "ReadinessState", "ScanWait", "WaitStep", "readiness", "step"]

ReadinessState = Literal[
    "ready", "pending", "failed", "unsupported", "expired", "archived", "ambiguous", "missing", "unknown"
]
"""What a scan result is worth. Only `ready` may be judged as it stands.

- `ready`: finished, with evidence that it is: a completion time, findings, or counts.
- `pending`: the scan has not finished.
- `failed`: the scan ended without a result; a new scan may help.
- `unsupported`: the image cannot be scanned: no operating system that ECR knows, or too large.
- `expired`: continuous scanning has stopped; the findings are closed, and that is not a fix.
- `archived`: the image is archived and cannot be scanned until it is restored.
- `ambiguous`: the answer looks like a clean image and like no data at once.
- `missing`: there is no scan of the image.
- `unknown`: a status that ecrkit does not know.
"""

_DIRECT: Final[dict[str, tuple[ReadinessState, str]]] = {
    "IN_PROGRESS": ("pending", "the scan is running"),
    "PENDING": ("pending", "the scan has not started"),
    "UNSUPPORTED_IMAGE": ("unsupported", "ECR cannot scan this image"),
    "IMAGE_SIZE_EXCEEDED": ("unsupported", "the image is too large to be scanned"),
    "SCAN_ELIGIBILITY_EXPIRED": ("expired", "continuous scanning of the image has ended; its findings are closed"),
    "FINDINGS_UNAVAILABLE": ("failed", "ECR has no findings to show; was the scan type switched?"),
    "LIMIT_EXCEEDED": ("failed", "a scan limit is reached; an image gets one basic scan in 24 hours"),
    "IMAGE_ARCHIVED": ("archived", "the image is archived; restore it, then scan it"),
    "SCAN_NOT_FOUND": ("missing", "there is no scan of the image"),
    "COVERAGE_INACTIVE": ("expired", "Inspector does not watch the image any more"),
}


@attrs.frozen(kw_only=True)
class Readiness(Record):
    """What a scan result is worth, why, and whether asking again later can help."""

    state: ReadinessState
    reason: str
    ask_again: bool = False

    @property
    def ready(self) -> bool:
        """Whether the result may be judged."""
        return self.state == "ready"

    @override
    def __str__(self) -> str:
        return f"{self.state}: {self.reason}"


def readiness(report: ScanReport, *, scan_type: str | None = None) -> Readiness:
    """Return what the report is worth.

    `scan_type` is the registry's, BASIC or ENHANCED (GetRegistryScanningConfiguration), when the caller knows it: a
    registry in ENHANCED mode can answer COMPLETE or ACTIVE with nothing but an empty list of basic findings, and
    only the scan type or a completion time tells that from a clean image.
    Source: ECR API reference, ImageScanStatus; ECR user guide, image scanning.

    Example:
        >>> from ecrkit.scanning import ScanReport
        >>> empty = {"imageScanStatus": {"status": "ACTIVE"}, "imageScanFindings": {"findings": []}}
        >>> readiness(ScanReport.from_api(empty)).state
        'ambiguous'
    """
    told = f" ({report.status_description})" if report.status_description else ""
    status = report.status
    if not report.complete:
        return Readiness(state="ambiguous", reason=f"the result is not whole: {report.incomplete_because}")
    if status is None:
        why = "the findings come without the status of a scan; pass Inspector's coverage, or read ECR's answer"
        return Readiness(state="ambiguous", reason=why)
    if status in _DIRECT:
        state, reason = _DIRECT[status]
        return Readiness(state=state, reason=reason + told, ask_again=state in ("pending", "missing"))
    if status == "FAILED":
        if (report.status_description or "").startswith("UnsupportedImageError"):
            return Readiness(state="unsupported", reason=f"ECR cannot scan this image{told}")
        return Readiness(state="failed", reason=f"the scan failed{told}")
    if status == "COVERAGE_ACTIVE":
        if report.completed_at is not None and (report.status_description or "SUCCESSFUL") == "SUCCESSFUL":
            return Readiness(state="ready", reason="Inspector watches the image and has scanned it")
        return Readiness(state="pending", reason=f"Inspector has no first result{told}", ask_again=True)
    if status not in ("COMPLETE", "ACTIVE"):
        return Readiness(state="unknown", reason=f"ecrkit does not know the status {status}{told}")
    if report.completed_at is not None or report.findings or report.counts_told or report.dropped:
        return Readiness(state="ready", reason=f"status {status}{told}")
    if scan_type == "BASIC" and status == "COMPLETE" and report.source == "basic" and "findings" not in report.absent:
        return Readiness(state="ready", reason="status COMPLETE in a registry with basic scanning, and no findings")
    return Readiness(
        state="ambiguous",
        reason=f"status {status} with no findings, no counts and no completion time: clean and no data look the same",
        ask_again=True,
    )


ObservationKind = Literal["report", "scan-not-found", "image-not-found", "throttled", "unavailable", "denied", "error"]


@attrs.frozen(kw_only=True)
class Observation(Record):
    """What one question to ECR brought: a report, or the kind of refusal and its text."""

    kind: ObservationKind
    report: ScanReport | None = None
    text: str = ""


@attrs.frozen(kw_only=True)
class ScanWait(Record):
    """The waiter's state: times in seconds of a clock that never goes backwards.

    `settle` is how far apart the two equal reads of an enhanced result must lie, `patience` how long a missing scan
    or image is taken for one that has not arrived yet.
    """

    started: float
    deadline: float
    settle: float = 15.0
    patience: float = 120.0
    tries: int = 0
    faults: int = 0
    print_before: str | None = None
    print_at: float = 0.0
    last: ScanReport | None = None
    last_reason: str = "nothing was asked yet"


@attrs.frozen(kw_only=True)
class WaitStep(Record):
    """What the waiter does next: ask again after `sleep` seconds, or stop as done, failed or expired."""

    action: Literal["again", "done", "failed", "expired"]
    state: ScanWait
    reason: str
    sleep: float = 0.0


def step(state: ScanWait, seen: Observation, now: float, *, scan_type: str | None = None) -> WaitStep:
    """Return the waiter's next step; pure, so every branch is a row of a table.

    Terminal statuses end the wait at once with a reason. A missing scan or image is asked for again during
    `patience`, because ECR needs a moment after a push. Throttling and outages are waited out until the deadline. A
    refusal for lack of permission is final. An enhanced result counts when it was read twice, `settle` seconds
    apart, and was equal: findings arrive one after the other.
    """
    tries = state.tries + 1
    if seen.kind in ("denied", "error"):
        return WaitStep(action="failed", state=attrs.evolve(state, tries=tries), reason=seen.text or seen.kind)
    if seen.kind in ("throttled", "unavailable"):
        faults = state.faults + 1
        following = attrs.evolve(state, tries=tries, faults=faults, last_reason=seen.text or seen.kind)
        return _again(following, now, min(5.0 * 2.0 ** min(faults - 1, 4), 60.0), seen.kind)
    if seen.kind in ("scan-not-found", "image-not-found") or seen.report is None:
        reason = "the image is not there yet" if seen.kind == "image-not-found" else "there is no scan yet"
        following = attrs.evolve(state, tries=tries, faults=0, last_reason=seen.text or reason, print_before=None)
        if now - state.started >= state.patience:
            return WaitStep(
                action="failed", state=following, reason=f"{reason}, {state.patience:.0f} s after the first question"
            )
        return _again(following, now, _pause(tries), reason)
    report = seen.report
    found = readiness(report, scan_type=scan_type)
    following = attrs.evolve(state, tries=tries, faults=0, last=report, last_reason=str(found))
    if found.ready:
        if report.source == "basic":
            return WaitStep(action="done", state=following, reason=found.reason)
        mark = report.fingerprint
        if state.print_before == mark:
            if now - state.print_at >= state.settle:
                return WaitStep(action="done", state=following, reason=f"{found.reason}, read twice and equal")
            return _again(following, now, state.settle - (now - state.print_at), "waiting for a second equal read")
        following = attrs.evolve(following, print_before=mark, print_at=now)
        return _again(following, now, state.settle, "waiting for a second equal read")
    following = attrs.evolve(following, print_before=None)
    if found.state == "missing" and now - state.started >= state.patience:
        return WaitStep(action="failed", state=following, reason=found.reason)
    if found.ask_again or not report.complete:
        return _again(following, now, _pause(tries), str(found))
    return WaitStep(action="failed", state=following, reason=str(found))


def _pause(tries: int) -> float:
    return float(min(2.0 * 1.5 ** min(tries - 1, 10), 30.0))


def _again(state: ScanWait, now: float, pause: float, reason: str) -> WaitStep:
    left = state.deadline - now
    if left <= 0:
        return WaitStep(action="expired", state=state, reason=f"no result in time: {state.last_reason}")
    return WaitStep(action="again", state=state, reason=reason, sleep=min(pause, left))
