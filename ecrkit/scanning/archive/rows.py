"""The flat rows of the archive: one for each reading of an image, one for each vulnerable package, one for each
deployment.

A table of findings alone cannot show that something was fixed: a clean scan has no findings. So every reading has a
row of its own, which says whether its silence proves anything (`closes`).
"""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, TypeVar

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import UTC, require_aware
from ecrkit.errors import InvalidInput, Problem
from ecrkit.refs import digest as checked_digest
from ecrkit.refs import repository_name
from ecrkit.scanning._reading import enhanced_finding
from ecrkit.scanning.findings import Finding, Package, ScanReport
from ecrkit.scanning.waiting import readiness

__all__ = [
    "DeploymentRow",
    "FindingRow",
    "FindingState",
    "ScanRow",
    "athena_time",
    "finding_rows",
    "read_lines",
    "scan_row",
    "to_lines",
]

T = TypeVar("T", bound="_Row")
FindingState = Literal["OPEN", "SUPPRESSED", "CLOSED"]
"""OPEN as ECR lists it; SUPPRESSED by a filter of Inspector, and still there; CLOSED in an event, and no proof of a
fix: Inspector closes the findings of every image that it stops watching."""

_HARMLESS: Final = ("status CLOSED", "the same finding twice", "another image", "not an ECR image")


def athena_time(moment: dt.datetime) -> str:
    """Return a time as Athena's JSON SerDe reads it into a `timestamp`: UTC, with milliseconds.

    Source: Athena user guide, data types.

    Example:
        >>> athena_time(dt.datetime(2026, 11, 25, 12, 30, 0, 123456, tzinfo=dt.UTC))
        '2026-11-25 12:30:00.123'
    """
    utc = require_aware(moment, "moment")
    return f"{utc:%Y-%m-%d %H:%M:%S}.{utc.microsecond // 1000:03d}"


def _from_athena(text: str) -> dt.datetime:
    return dt.datetime.strptime(text, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)


class _Row(Record):
    """A row of a table."""

    __slots__ = ()

    def to_line(self) -> dict[str, Any]:
        """Return the JSON object of the row's line: as `to_dict()`, with times in Athena's form."""
        found = {f.name: getattr(self, f.name) for f in attrs.fields(type(self))}  # type: ignore[arg-type]
        return {k: athena_time(v) if isinstance(v, dt.datetime) else v for k, v in found.items()}


@attrs.frozen(kw_only=True)
class ScanRow(_Row):
    """One reading of an image's scan result.

    `read_at` is when it was read, `scanned_at` when the scan had finished, if the source says. `readiness` is
    [`readiness`][ecrkit.scanning.readiness] of the report. `closes` says whether a vulnerability that the reading does
    not list is gone: the result was ready, and nothing in it was unreadable or left out by a filter without a trace.
    `kind` is `report`, or `coverage` for Inspector's word that it began or ceased to watch the image.
    """

    scan_id: str
    repository: str
    image_digest: str
    read_at: dt.datetime
    readiness: str
    closes: bool
    kind: Literal["report", "coverage"] = "report"
    platform: str | None = None
    tags: str = ""
    source: str = "none"
    status: str | None = None
    reason: str | None = None
    scanned_at: dt.datetime | None = None
    pushed_at: dt.datetime | None = None
    findings: int = 0
    critical: int = 0
    high: int = 0
    medium: int = 0
    low: int = 0
    other: int = 0
    dropped: int = 0
    raw_key: str | None = None
    raw_sha256: str | None = None

    @property
    def ready(self) -> bool:
        """Whether the result could be judged."""
        return self.readiness == "ready"


@attrs.frozen(kw_only=True)
class FindingRow(_Row):
    """One vulnerable package in one reading of an image; package is empty when the finding names none.

    `record` is `scan` for a row of a whole result, `event` for a finding that came by itself.
    """

    scan_id: str
    repository: str
    image_digest: str
    read_at: dt.datetime
    vulnerability_id: str
    severity: str
    state: FindingState = "OPEN"
    record: Literal["scan", "event"] = "scan"
    platform: str | None = None
    package: str = ""
    package_version: str = ""
    package_path: str = ""
    fixed_version: str | None = None
    vendor_severity: str | None = None
    score: float | None = None
    epss: float | None = None
    known_exploited: bool | None = None
    fix_available: str | None = None
    exploit_available: str | None = None
    source: str = "none"
    finding_arn: str | None = None
    first_observed_at: dt.datetime | None = None
    last_observed_at: dt.datetime | None = None
    published_at: dt.datetime | None = None


@attrs.frozen(kw_only=True)
class DeploymentRow(_Row):
    """A digest that went into an environment, which ends the time of the one before on the same platform.

    Raises:
        InvalidReference: the repository or the digest is none.
    """

    repository: str = attrs.field(converter=repository_name)
    environment: str
    image_digest: str = attrs.field(converter=checked_digest)
    since: dt.datetime
    platform: str = ""


def scan_row(
    report: ScanReport,
    *,
    scan_id: str,
    read_at: dt.datetime,
    scan_type: str | None = None,
    suppressed: int = 0,
    raw_key: str | None = None,
    raw_sha256: str | None = None,
    kind: Literal["report", "coverage"] = "report",
) -> ScanRow:
    """Return the row of a report. `suppressed` says how many suppressed findings have rows of their own."""
    state = readiness(report, scan_type=scan_type)
    counts = report.counts
    named = {name: counts.get(name.upper(), 0) for name in ("critical", "high", "medium", "low")}
    hidden = Counter({d.reason: d.count for d in report.dropped if not d.reason.startswith(_HARMLESS)})
    hidden["status SUPPRESSED"] -= suppressed
    return ScanRow(
        scan_id=scan_id,
        repository=_known(report.repository, "repository"),
        image_digest=_known(report.digest, "digest"),
        read_at=read_at,
        readiness=state.state,
        reason=state.reason,
        closes=kind == "report" and state.ready and report.complete and not +hidden,
        kind=kind,
        platform=report.platform,
        tags=",".join(report.tags),
        source=report.source,
        status=report.status,
        scanned_at=report.completed_at,
        pushed_at=report.pushed_at,
        findings=len(report.findings),
        other=len(report.findings) - sum(named.values()),
        dropped=sum(d.count for d in report.dropped),
        raw_key=raw_key,
        raw_sha256=raw_sha256,
        **named,
    )


def finding_rows(
    report: ScanReport,
    *,
    scan_id: str,
    read_at: dt.datetime,
    findings: Iterable[Finding] | None = None,
    state: FindingState = "OPEN",
    record: Literal["scan", "event"] = "scan",
) -> tuple[FindingRow, ...]:
    """Return one row for each package of each finding: of the report, or of `findings` that it left out."""
    found = report.findings if findings is None else findings
    return tuple(
        _finding_row(report, f, p, scan_id=scan_id, read_at=read_at, state=state, record=record)
        for f in found
        for p in f.packages or (None,)
    )


def _finding_row(
    report: ScanReport,
    finding: Finding,
    package: Package | None,
    *,
    scan_id: str,
    read_at: dt.datetime,
    state: FindingState,
    record: Literal["scan", "event"],
) -> FindingRow:
    return FindingRow(
        scan_id=scan_id,
        repository=_known(report.repository, "repository"),
        image_digest=_known(report.digest, "digest"),
        read_at=read_at,
        vulnerability_id=finding.id,
        severity=finding.severity,
        state=state,
        record=record,
        platform=report.platform,
        package=package.name if package else "",
        package_version=package.installed if package else "",
        package_path=(package.path or "") if package else "",
        fixed_version=package.fixed_in if package else None,
        vendor_severity=finding.vendor_severity,
        score=finding.score,
        epss=finding.epss,
        known_exploited=finding.known_exploited,
        fix_available=finding.fix_available,
        exploit_available=finding.exploit_available,
        source=report.source,
        finding_arn=finding.arn,
        first_observed_at=finding.first_observed,
        last_observed_at=finding.last_observed,
        published_at=finding.published,
    )


def suppressed_findings(pages: Iterable[Mapping[str, Any]]) -> tuple[Finding, ...]:
    """Return the findings of raw pages that Inspector's filters suppress; a report leaves them out.

    They are still in the image, so the archive keeps them: a suppressed finding is not a fixed one.
    """
    found: dict[object, Finding] = {}
    for page in pages:
        body = page.get("imageScanFindings")
        raws = body.get("enhancedFindings") if isinstance(body, Mapping) else None
        for number, raw in enumerate(raws if isinstance(raws, list | tuple) else ()):
            if isinstance(raw, Mapping) and raw.get("status") == "SUPPRESSED":
                try:
                    finding = enhanced_finding(raw, f"$[{number}]")
                except InvalidInput:
                    continue  # the report counts it as unreadable, so the reading closes nothing
                found[finding.arn or finding] = finding
    return tuple(found.values())


def _known(value: str | None, name: str) -> str:
    if value is None:
        raise InvalidInput.single("no row of the archive", f"$.{name}", "the report does not say it")
    return value


def to_lines(rows: Iterable[_Row]) -> bytes:
    """Return the rows as JSON Lines: one object a line, as the JSON SerDe needs it, ending with a newline."""
    return b"".join(
        json.dumps(row.to_line(), ensure_ascii=False, separators=(",", ":")).encode() + b"\n" for row in rows
    )


def read_lines(body: bytes, kind: type[T]) -> tuple[T, ...]:
    """Return the rows of JSON Lines. Members that this version does not know are left out.

    Raises:
        InvalidInput: a line is no row of this kind; every faulty line is named.

    Example:
        >>> row = DeploymentRow(repository="team/app", environment="prod", image_digest="sha256:" + "a" * 64,
        ...                     since=dt.datetime(2026, 11, 25, tzinfo=dt.UTC))
        >>> read_lines(to_lines([row]), DeploymentRow) == (row,)
        True
    """
    rows: list[T] = []
    problems: list[Problem] = []
    names = {f.name: "datetime" in str(f.type) for f in attrs.fields(kind)}  # type: ignore[arg-type]
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
            values = {
                name: _from_athena(raw[name]) if is_time and raw[name] is not None else raw[name]
                for name, is_time in names.items()
                if name in raw
            }
            rows.append(kind(**values))
        except (ValueError, TypeError) as fault:
            problems.append(Problem(f"line {number}", str(fault)))
    if problems:
        raise InvalidInput(f"no rows of {kind.__name__}", problems)
    return tuple(rows)
