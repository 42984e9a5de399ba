"""EventBridge events about scans, read into values: of ECR's basic scan, and of Inspector.

Inspector sends the same detail types for EC2 instances, Lambda functions, machine images and other clouds. Those come
back as `Ignored`, with the reason. Sources: ECR user guide, "Amazon ECR events and EventBridge"; Inspector user guide,
"Amazon EventBridge event schema for Amazon Inspector events".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit.errors import InvalidInput, InvalidReference, Problem
from ecrkit.refs import ImageRef, repository_name
from ecrkit.refs import digest as checked_digest
from ecrkit.scanning._times import scan_time
from ecrkit.scanning.archive.layout import Place
from ecrkit.scanning.findings import ScanReport

__all__ = ["CoverageChanged", "FindingChanged", "FrequencyChanged", "Ignored", "ScanEvent", "ScanFinished", "parse"]

_WHAT: Final = "not a scan event of ECR or Inspector"


@attrs.frozen(kw_only=True)
class ScanFinished(Record):
    """A scan of an image has ended: `ECR Image Scan`, or `Inspector2 Scan` for the first scan of an image.

    The findings are not in the event; read them by `digest`, never by a tag, which may have moved. `counts` are told
    as they came: ECR leaves out severities without findings, and Inspector's TOTAL holds more than the three it names.
    """

    event_id: str
    place: Place
    at: dt.datetime
    repository: str
    digest: str
    status: str
    scanner: str
    tags: tuple[str, ...] = ()
    counts: Mapping[str, int] = attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True)
class FindingChanged(Record):
    """An `Inspector2 Finding` of an image in ECR; `report` holds the one finding, whatever its state.

    `state` is ACTIVE, SUPPRESSED or CLOSED. CLOSED is no proof of a fix: every finding of an image is closed when
    Inspector stops watching it.
    """

    event_id: str
    place: Place
    at: dt.datetime
    repository: str
    digest: str
    state: str
    finding_arn: str
    report: ScanReport


@attrs.frozen(kw_only=True)
class CoverageChanged(Record):
    """An `Inspector2 Coverage` of an image in ECR: Inspector began (ACTIVE) or ceased (INACTIVE) to watch it."""

    event_id: str
    place: Place
    at: dt.datetime
    repository: str
    digest: str
    state: str
    reason: str | None = None


@attrs.frozen(kw_only=True)
class FrequencyChanged(Record):
    """An `ECR Scan Resource Change`: repositories are scanned more or less often than before.

    Each entry of `repositories` is (name, scan frequency before, scan frequency now).
    """

    event_id: str
    place: Place
    at: dt.datetime
    scan_type: str | None = None
    repositories: tuple[tuple[str, str | None, str | None], ...] = ()


@attrs.frozen(kw_only=True)
class Ignored(Record):
    """An event that is about something else; `kind` says what, `reason` says it in a sentence."""

    event_id: str
    kind: str
    reason: str


ScanEvent = ScanFinished | FindingChanged | CoverageChanged | FrequencyChanged | Ignored
"""What an event can say."""


def parse(event: Mapping[str, Any]) -> ScanEvent:
    """Return what an EventBridge event says.

    Raises:
        InvalidInput: the event is about an image in ECR and something it must say is missing or wrong, such as the
            digest; or this is no EventBridge event at all. Every problem is named with its path.

    Example:
        >>> parse({"id": "1", "source": "aws.inspector2", "detail-type": "Inspector2 Scan", "account": "123456789012",
        ...        "region": "eu-west-1", "time": "2026-11-25T12:00:00Z", "resources": ["i-0123456789abcdef0"],
        ...        "detail": {"scan-status": "INITIAL_SCAN_COMPLETE", "instance-id": "i-0123456789abcdef0"}}).kind
        'ec2'
    """
    if not isinstance(event, Mapping):
        raise InvalidInput.single(_WHAT, "$", f"must be an object, not {type(event).__name__}")
    kind, source = event.get("detail-type"), event.get("source")
    event_id = str(event.get("id") or "")
    if not isinstance(kind, str) or not isinstance(source, str):
        missing = [n for n in ("detail-type", "source") if not isinstance(event.get(n), str)]
        raise InvalidInput(_WHAT, [Problem(f"$.{n}", "is missing; is this an EventBridge event?") for n in missing])
    read = _READERS.get((source, kind))
    if read is None:
        return Ignored(event_id=event_id, kind="other", reason=f"{source} {kind!r} says nothing of scans of images")
    checked = _Event(event)
    if not isinstance(event.get("detail"), Mapping):
        raise InvalidInput.single(_WHAT, "$.detail", "must be an object")
    found = read(checked)
    if checked.problems:
        raise InvalidInput(f"{_WHAT}: {kind} {event_id}", checked.problems)
    return found


class _Event:
    """Reads members of one event and collects what is wrong."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.problems: list[Problem] = []
        detail = raw.get("detail")
        self.detail: Mapping[str, Any] = detail if isinstance(detail, Mapping) else {}
        resources = raw.get("resources")
        listed = resources if isinstance(resources, list | tuple) else ()
        self.resources: tuple[str, ...] = tuple(r for r in listed if isinstance(r, str))

    def problem(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def text(self, name: str, *, of: Mapping[str, Any] | None = None, path: str = "$.detail") -> str:
        value = (self.detail if of is None else of).get(name)
        if not isinstance(value, str) or not value:
            self.problem(f"{path}.{name}", "is missing" if value is None else f"must be a text, not {value!r:.60}")
            return ""
        return value

    @property
    def event_id(self) -> str:
        return self.text("id", of=self.raw, path="$")

    def time(self) -> dt.datetime:
        value = self.text("time", of=self.raw, path="$")
        try:
            return scan_time(value)
        except ValueError as fault:
            if value:
                self.problem("$.time", str(fault))
            return dt.datetime.min.replace(tzinfo=dt.UTC)

    def place(self, ref: ImageRef | None = None) -> Place:
        # An ARN is the better witness: the region of an Inspector event may read "N/A".
        if ref is not None and ref.registry is not None and ref.registry.account and ref.registry.region:
            return Place(ref.registry.account, ref.registry.region)
        try:
            return Place(str(self.raw.get("account")), str(self.raw.get("region")))
        except InvalidInput as fault:
            self.problems.extend(Problem(f"$.{p.path}", p.message) for p in fault.problems)
            return Place("000000000000", "xx-none-0")

    def digest(self, value: object, path: str) -> str:
        if value is None:
            self.problem(path, f"is missing; the members are {', '.join(sorted(map(str, self.detail)))}")
            return ""
        try:
            return str(checked_digest(str(value)))
        except InvalidReference as fault:
            self.problem(path, fault.problems[0].message)
            return ""

    def repository(self, value: str, path: str) -> tuple[str, ImageRef | None]:
        """Return name and reference of a plain name or an ARN; DescribeImageScanFindings takes the name only."""
        if not value:
            return "", None
        try:
            if not value.startswith("arn:"):
                return str(repository_name(value)), None
            ref = ImageRef.parse(value)
        except InvalidReference as fault:
            self.problems.extend(Problem(path, p.message) for p in fault.problems)
            return "", None
        return ref.repository, ref

    def arn(self) -> ImageRef | None:
        """Return the image that the first ECR resource names; None when none does."""
        for number, text in enumerate(self.resources):
            parts = text.split(":", 5)
            if len(parts) == 6 and parts[0] == "arn" and parts[2] == "ecr":
                try:
                    ref = ImageRef.parse(text)
                except InvalidReference as fault:
                    self.problems.extend(Problem(f"$.resources[{number}]", p.message) for p in fault.problems)
                    return None
                if ref.digest is None:
                    self.problem(f"$.resources[{number}]", "names no digest: .../repository/NAME/sha256:...")
                return ref
        return None

    def counts(self) -> dict[str, int]:
        counts = self.detail.get("finding-severity-counts")
        if not isinstance(counts, Mapping):
            return {}
        return {str(k): v for k, v in counts.items() if isinstance(v, int) and not isinstance(v, bool)}

    def tags(self) -> tuple[str, ...]:
        tags = self.detail.get("image-tags")
        return tuple(t for t in tags if isinstance(t, str)) if isinstance(tags, list | tuple) else ()

    def elsewhere(self) -> Ignored | None:
        """Return why the event is none of an image in ECR, by what its members and resources name."""
        first = self.resources[0] if self.resources else ""
        said = {*self.detail, *self._resource_types()}
        for kind, words, starts, what in _ELSEWHERE:
            if said & words or first.startswith(starts) or any(part in first for part in _PARTS.get(kind, ())):
                reason = f"about {what}, not about an image in ECR" + (f": {first[:120]}" if first else "")
                return Ignored(event_id=str(self.raw.get("id") or ""), kind=kind, reason=reason)
        return None

    def _resource_types(self) -> set[str]:
        found: set[str] = set()
        listed = self.detail.get("resources")
        for resource in listed if isinstance(listed, list | tuple) else ():
            if isinstance(resource, Mapping):
                found.add(str(resource.get("type")))
                found.add(f"provider {resource.get('provider')}")
        found.add(f"provider {self.detail.get('provider')}")
        return found


# The first that fits names the event: other clouds before AWS, since an Azure event names a container image too.
_ELSEWHERE: Final[tuple[tuple[str, frozenset[str], tuple[str, ...], str], ...]] = (
    ("azure", frozenset({"provider AZURE"}), ("/subscriptions/",), "a resource in Azure"),
    ("gcp", frozenset({"provider GCP"}), ("projects/", "//"), "a resource in Google Cloud"),
    ("ec2", frozenset({"instance-id", "AWS_EC2_INSTANCE"}), ("i-",), "an EC2 instance"),
    ("lambda", frozenset({"function-name", "function-arn", "lambda-function-name", "AWS_LAMBDA_FUNCTION"}),
     ("arn:aws:lambda:",), "a Lambda function"),
    ("ami", frozenset({"machine-image-id", "ami-id", "AWS_MACHINE_IMAGE"}), ("ami-",), "a machine image"),
    ("code", frozenset({"CODE_REPOSITORY"}), ("arn:aws:inspector2:",), "a code repository"),
)  # fmt: skip
_PARTS: Final[dict[str, tuple[str, ...]]] = {
    "lambda": (":lambda:",), "ec2": (":instance/",), "ami": (":image/ami-",), "code": (":codesecurity-",),
}  # fmt: skip


def _image_scan(event: _Event) -> ScanEvent:
    name, ref = event.repository(event.text("repository-name"), "$.detail.repository-name")
    return _finished(event, name, ref, "basic")


def _inspector_scan(event: _Event) -> ScanEvent:
    if "repository-name" not in event.detail:
        other = event.elsewhere()
        if other is not None:
            return other
    name, ref = event.repository(event.text("repository-name"), "$.detail.repository-name")
    return _finished(event, name, ref, "inspector")


def _finished(event: _Event, name: str, ref: ImageRef | None, scanner: str) -> ScanFinished:
    return ScanFinished(
        event_id=event.event_id,
        place=event.place(ref),
        at=event.time(),
        repository=name,
        digest=event.digest(event.detail.get("image-digest"), "$.detail.image-digest"),
        status=event.text("scan-status"),
        scanner=scanner,
        tags=event.tags(),
        counts=event.counts(),
    )


def _finding(event: _Event) -> ScanEvent:
    other = event.elsewhere()
    if other is not None:
        return other
    ref = event.arn()
    if ref is None and not event.problems:
        event.problem("$.resources", "name no image in ECR: arn:...:repository/NAME/sha256:...")
    digest = str(ref.digest or "") if ref is not None else ""
    state = event.text("status")
    report = ScanReport(source="inspector")
    if ref is not None and digest:
        # The report leaves out closed and suppressed findings; this one is kept, and `state` says what it is.
        detail = {**event.detail, "status": "ACTIVE"}
        try:
            report = ScanReport.from_inspector([detail], digest=digest)
        except InvalidInput as fault:
            event.problems.extend(Problem(f"$.detail{p.path.removeprefix('$')}", p.message) for p in fault.problems)
        for drop in report.dropped:
            event.problem("$.detail", f"holds no finding of {digest}: {drop.reason}")
        report = attrs.evolve(report, repository=ref.repository)
    return FindingChanged(
        event_id=event.event_id,
        place=event.place(ref),
        at=event.time(),
        repository=ref.repository if ref is not None else "",
        digest=digest,
        state=state,
        finding_arn=event.text("findingArn"),
        report=report,
    )


def _coverage(event: _Event) -> ScanEvent:
    other = event.elsewhere()
    if other is not None:
        return other
    ref = event.arn()
    if ref is None and not event.problems:
        event.problem("$.resources", "name no image in ECR: arn:...:repository/NAME/sha256:...")
    status = event.detail.get("scanStatus")
    if not isinstance(status, Mapping):
        event.problem("$.detail.scanStatus", "is missing")
        status = {"statusCodeValue": "-"}
    reason = status.get("reason")
    return CoverageChanged(
        event_id=event.event_id,
        place=event.place(ref),
        at=event.time(),
        repository=ref.repository if ref is not None else "",
        digest=str(ref.digest or "") if ref is not None else "",
        state=event.text("statusCodeValue", of=status, path="$.detail.scanStatus"),
        reason=reason if isinstance(reason, str) else None,
    )


def _frequency(event: _Event) -> ScanEvent:
    listed = event.detail.get("repositories")
    if not isinstance(listed, list | tuple):
        event.problem("$.detail.repositories", "must be a list")
        listed = ()
    rows: list[tuple[str, str | None, str | None]] = []
    for number, entry in enumerate(listed):
        path = f"$.detail.repositories[{number}]"
        if not isinstance(entry, Mapping):
            event.problem(path, "must be an object")
            continue
        name, _ = event.repository(event.text("repository-name", of=entry, path=path), f"{path}.repository-name")
        before, now = entry.get("previous-scan-frequency"), entry.get("scan-frequency")
        rows.append((name, before if isinstance(before, str) else None, now if isinstance(now, str) else None))
    kind = event.detail.get("scan-type")
    return FrequencyChanged(
        event_id=event.event_id,
        place=event.place(),
        at=event.time(),
        scan_type=kind if isinstance(kind, str) else None,
        repositories=tuple(rows),
    )


_READERS: Final = {
    ("aws.ecr", "ECR Image Scan"): _image_scan,
    ("aws.ecr", "ECR Scan Resource Change"): _frequency,
    ("aws.inspector2", "Inspector2 Scan"): _inspector_scan,
    ("aws.inspector2", "Inspector2 Finding"): _finding,
    ("aws.inspector2", "Inspector2 Coverage"): _coverage,
}


def event_body(event: Mapping[str, Any]) -> bytes:
    """Return the bytes under which an event is archived: the same for every delivery of it."""
    return canonical_json(event).encode()
