"""Scan results as one model: a report of an image's findings, whichever scanner and API they came from."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final, Literal, NamedTuple

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit._internal.tables import html_table
from ecrkit.errors import InvalidInput, Problem
from ecrkit.scanning.severity import severity_rank

__all__ = [
    "CvssScore",
    "Dropped",
    "Finding",
    "FindingKey",
    "Package",
    "ScanReport",
    "ScanSource",
]

ScanSource = Literal["basic", "enhanced", "inspector", "security-hub", "none"]
"""Who answered: ECR with a basic or an enhanced result, Inspector, Security Hub, or nobody."""


class FindingKey(NamedTuple):
    """What makes one vulnerable package of one image the same thing in two reports.

    Title and severity are no identity: one CVE in two images would become one finding.
    """

    digest: str | None
    id: str
    package: str
    version: str
    path: str


@attrs.frozen(kw_only=True)
class CvssScore(Record):
    """One CVSS rating: who rated, which version of CVSS, the base score and the vector."""

    score: float | None = None
    vector: str | None = None
    version: str | None = None
    source: str | None = None


@attrs.frozen(kw_only=True)
class Package(Record):
    """A vulnerable package of a finding.

    `fixed_in` is the version that mends it; `fix` says whether there is one: True, False (the scanner says
    `NotAvailable`), or None when the scanner does not say.
    """

    name: str
    version: str = ""
    epoch: int | None = None
    release: str | None = None
    arch: str | None = None
    manager: str | None = None
    path: str | None = None
    layer: str | None = None
    fixed_in: str | None = None
    fix: bool | None = None
    remediation: str | None = None
    purl: str | None = None

    @property
    def installed(self) -> str:
        """The installed version as `[epoch:]version[-release]`; an epoch of 0 is left out.

        Example:
            >>> Package(name="curl", version="7.88.1", release="10+deb12u8", epoch=0).installed
            '7.88.1-10+deb12u8'
        """
        epoch = f"{self.epoch}:" if self.epoch else ""
        release = f"-{self.release}" if self.release else ""
        return f"{epoch}{self.version}{release}"

    @override
    def __str__(self) -> str:
        fix = f" -> {self.fixed_in}" if self.fixed_in else ""
        path = f" ({self.path})" if self.path else ""
        return f"{self.name} {self.installed}{fix}{path}"


@attrs.frozen(kw_only=True)
class Finding(Record):
    """One vulnerability of one image, with every package it is in.

    One finding of an enhanced scan is one CVE with one or more packages: findings are counted, not packages. What
    the source does not carry is None; the report's `absent` says why. `fix_available` is YES, NO or PARTIAL (some of
    the packages); `exploit_available` YES or NO; both stay text. `published` is the vendor's date of creation.
    Source: ECR API reference, ImageScanFinding and EnhancedImageScanFinding; Inspector API reference, Finding.

    Example:
        >>> finding = Finding(id="CVE-2024-9681", severity="MEDIUM",
        ...                   packages=(Package(name="curl", version="7.88.1"),))
        >>> str(finding)
        'MEDIUM CVE-2024-9681 in curl 7.88.1'
    """

    id: str
    severity: str
    packages: tuple[Package, ...] = ()
    title: str | None = None
    description: str | None = None
    uri: str | None = None
    advisory_source: str | None = None
    vendor_severity: str | None = None
    score: float | None = None
    score_source: str | None = None
    vector: str | None = None
    cvss: tuple[CvssScore, ...] = ()
    fix_available: str | None = None
    exploit_available: str | None = None
    last_exploit_at: dt.datetime | None = None
    epss: float | None = None
    known_exploited: bool | None = None
    first_observed: dt.datetime | None = None
    last_observed: dt.datetime | None = None
    updated: dt.datetime | None = None
    published: dt.datetime | None = None
    vendor_updated: dt.datetime | None = None
    status: str | None = None
    type: str | None = None
    arn: str | None = None
    related: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    remediation: str | None = None
    remediation_url: str | None = None
    digest: str | None = None

    @property
    def keys(self) -> tuple[FindingKey, ...]:
        """The identity of each package of the finding; of the finding alone when it names no package."""
        if not self.packages:
            return (FindingKey(self.digest, self.id, "", "", ""),)
        found = {FindingKey(self.digest, self.id, p.name, p.installed, p.path or "") for p in self.packages}
        return tuple(sorted(found, key=_key_text))

    @property
    def fixable(self) -> bool | None:
        """Whether any package of the finding has a fix; None when the source does not say.

        YES and PARTIAL are True. A package with a `fixed_in` version is a fix too, whatever the summary says.
        """
        if any(p.fix for p in self.packages) or self.fix_available in ("YES", "PARTIAL"):
            return True
        if self.fix_available == "NO" or (self.packages and all(p.fix is False for p in self.packages)):
            return False
        return None

    @property
    def where(self) -> str:
        """The vulnerability and its packages in a few words, without a severity."""
        return f"{self.id} in {', '.join(str(p) for p in self.packages) or 'no package named'}"

    @override
    def __str__(self) -> str:
        return f"{self.severity} {self.where}"


def _key_text(key: FindingKey) -> tuple[str, ...]:
    return tuple(part or "" for part in key)


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Return the findings worst first, then by id and packages, then by everything else."""

    def name(finding: Finding) -> tuple[Any, ...]:
        return severity_rank(finding.severity), finding.severity, finding.id, tuple(map(_key_text, finding.keys))

    # Only findings of one name are compared by all they hold: turning each into JSON would be most of the work.
    return tuple(f for _, group in groupby(sorted(findings, key=name), key=name) for f in _settled(list(group)))


def _settled(group: list[Finding]) -> list[Finding]:
    return group if len(group) == 1 else sorted(group, key=canonical_json)


@attrs.frozen(kw_only=True)
class Dropped(Record):
    """Findings that a report leaves out: how many, why, and which.

    `readable` is False when the entry could not be read at all; a gate then has no answer.
    """

    reason: str
    count: int
    examples: tuple[str, ...] = ()
    readable: bool = True


_FEED_FIELDS: Final = ("epss", "known_exploited")


@attrs.frozen(kw_only=True)
class ScanReport(Record):
    """What one scan says of one image: status, times, findings, and what it does not say.

    `findings` holds the active findings, worst first; whatever was left out is counted in `dropped`. `counts` is
    always recounted from the findings: the counts of an enhanced answer cover one page only. `absent` maps each
    kind of data that the source does not carry to the reason. `complete` is False when a page is missing.

    Ask [`readiness`][ecrkit.scanning.readiness] whether the report may be judged at all: an empty list
    of findings is no proof of a clean image.

    Example:
        >>> report = ScanReport.from_api({
        ...     "repositoryName": "team/app", "imageId": {"imageDigest": "sha256:" + "a" * 64},
        ...     "imageScanStatus": {"status": "COMPLETE"},
        ...     "imageScanFindings": {"imageScanCompletedAt": 1767225600.0, "findings": [
        ...         {"name": "CVE-2019-5188", "severity": "MEDIUM", "attributes": [
        ...             {"key": "package_name", "value": "e2fsprogs"}]}]}})
        >>> report.counts, report.absent["fix_available"]
        ({'MEDIUM': 1}, 'a basic scan carries no fix data')
    """

    source: ScanSource
    repository: str | None = None
    digest: str | None = None
    tags: tuple[str, ...] = ()
    registry_id: str | None = None
    platform: str | None = None
    status: str | None = None
    status_description: str | None = None
    completed_at: dt.datetime | None = None
    data_updated_at: dt.datetime | None = None
    findings: tuple[Finding, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    absent: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    complete: bool = True
    incomplete_because: str | None = None
    counts_told: bool = False
    os: str | None = None
    architecture: str | None = None
    pushed_at: dt.datetime | None = None
    last_in_use_at: dt.datetime | None = None
    in_use_count: int | None = None

    @property
    def counts(self) -> dict[str, int]:
        """The number of findings per severity, worst first; severities without findings are left out."""
        found = Counter(f.severity for f in self.findings)
        return {name: found[name] for name in sorted(found, key=lambda s: (severity_rank(s), s))}

    @property
    def unreadable(self) -> int:
        """How many entries of the answer could not be read as findings."""
        return sum(d.count for d in self.dropped if not d.readable)

    @property
    def fingerprint(self) -> str:
        """A text that is equal for two reads of the same result: status, times and findings, in any order."""
        return canonical_json(
            [
                self.status,
                self.completed_at,
                self.complete,
                [[f.id, f.severity, f.arn, f.fix_available, list(f.keys)] for f in self.findings],
                sorted((d.reason, d.count) for d in self.dropped),
            ]
        )

    @classmethod
    def from_api(cls, answer: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> ScanReport:
        """Return the report of DescribeImageScanFindings: one response, or every page of it in any order.

        The shape (basic or enhanced) is told by the `enhancedFindings` member, not by the status. Findings that are
        SUPPRESSED or CLOSED are left out and counted. A response with a `nextToken` and no further page makes the
        report incomplete.

        Raises:
            InvalidInput: this is no answer of DescribeImageScanFindings, or the pages are of different images.
        """
        from ecrkit.scanning._reading import read_ecr

        return read_ecr(answer)

    @classmethod
    def from_inspector(
        cls,
        findings: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        digest: str | None = None,
        coverage: Mapping[str, Any] | None = None,
    ) -> ScanReport:
        """Return the report of Inspector's ListFindings for one image: a response, its findings, or event details.

        Findings of other resources (EC2, Lambda, other clouds) and other images are left out and counted. `digest`
        may be left out when the findings name one image only. `coverage` is the image's entry of ListCoverage; the
        findings alone do not say that a scan has finished, so without it the report is never ready.

        Raises:
            InvalidInput: these are no Inspector findings, or they name several images and `digest` is not given.
        """
        from ecrkit.scanning._inspector import read_inspector

        return read_inspector(findings, digest=digest, coverage=coverage)

    @classmethod
    def from_security_hub(
        cls, findings: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, digest: str | None = None
    ) -> ScanReport:
        """Return the report of Security Hub findings (ASFF) that Inspector sent, for one image.

        Security Hub holds findings and no scan status, so the report is never ready by itself.

        Raises:
            InvalidInput: these are no Security Hub findings, or they name several images and `digest` is not given.
        """
        from ecrkit.scanning._inspector import read_security_hub

        return read_security_hub(findings, digest=digest)

    @classmethod
    def not_found(
        cls, *, repository: str | None = None, digest: str | None = None, platform: str | None = None, reason: str = ""
    ) -> ScanReport:
        """Return the report of an image that has no scan at all; a gate takes it as a no."""
        return cls(
            source="none",
            repository=repository,
            digest=digest,
            platform=platform,
            status="SCAN_NOT_FOUND",
            status_description=reason or "no scan of this image was found",
            absent={"findings": "there is no scan"},
        )

    def with_feeds(self, *, epss: Mapping[str, float] | None = None, known: Iterable[str] | None = None) -> ScanReport:
        """Return the report with EPSS scores and the known-exploited flag filled from offline feeds.

        A CVE without an EPSS entry stays unknown (None). The known-exploited catalogue is a full list, so a CVE
        that is not in it is False. Aliases of a finding (`related`) count too: the highest EPSS, any catalogue entry.
        A score or flag that the report already has is kept when it is the worse one.
        """
        absent = dict(self.absent)
        findings = self.findings
        if epss is not None:
            findings = tuple(_with_epss(f, epss) for f in findings)
            absent.pop("epss", None)
            if missing := sum(f.epss is None for f in findings):
                absent["epss"] = f"the feed has no score for {missing} of {len(findings)} findings"
        if known is not None:
            catalogue = frozenset(known)
            findings = tuple(
                attrs.evolve(
                    f, known_exploited=bool(f.known_exploited) or any(i in catalogue for i in (f.id, *f.related))
                )
                for f in findings
            )
            absent.pop("known_exploited", None)
        return attrs.evolve(self, findings=findings, absent=absent)

    def enriched(self, other: ScanReport) -> ScanReport:
        """Return this report with what only the other source knows: EPSS, exploits, in-use counts, fixes, dates.

        The status and the list of findings stay this report's own. Findings are matched by ARN, else by id and
        packages.

        Raises:
            InvalidInput: the other report is of another image.
        """
        if self.digest is not None and other.digest is not None and self.digest != other.digest:
            raise InvalidInput.single("not the same image", "$.digest", f"{self.digest} and {other.digest}")
        by_arn = {f.arn: f for f in other.findings if f.arn}
        by_keys = {_bare_keys(f): f for f in other.findings}
        findings = []
        for finding in self.findings:
            match = by_arn.get(finding.arn) if finding.arn else None
            match = match or by_keys.get(_bare_keys(finding))
            findings.append(finding if match is None else _filled(finding, match))
        return attrs.evolve(
            self,
            findings=tuple(findings),
            absent={k: v for k, v in self.absent.items() if k in other.absent},
            in_use_count=self.in_use_count if self.in_use_count is not None else other.in_use_count,
            last_in_use_at=self.last_in_use_at or other.last_in_use_at,
            os=self.os or other.os,
            architecture=self.architecture or other.architecture,
        )

    def on_platform(self, platform: str) -> ScanReport:
        """Return the report with the platform (`linux/amd64`) that the image has in an index."""
        return attrs.evolve(self, platform=platform)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row per vulnerable package as columns, for a frame or a file."""
        names = (
            "id", "severity", "package", "installed", "fixed_in", "path", "score", "epss", "known_exploited",
            "exploit_available", "first_observed",
        )  # fmt: skip
        columns: dict[str, list[Any]] = {name: [] for name in names}
        for f in self.findings:
            for p in f.packages or (None,):
                row = (
                    f.id, f.severity, p and p.name, p and p.installed, p and p.fixed_in, p and p.path, f.score, f.epss,
                    f.known_exploited, f.exploit_available, f.first_observed,
                )  # fmt: skip
                for name, value in zip(names, row, strict=True):
                    columns[name].append(value)
        return columns

    def _repr_html_(self) -> str:
        rows = [
            (f.severity, f.id, ", ".join(str(p) for p in f.packages), f.fix_available or "?") for f in self.findings
        ]
        caption = f"{self.repository or 'image'}@{(self.digest or '?')[:19]}: {self.status or 'no status'}"
        return html_table(("severity", "id", "packages", "fix"), rows, caption=caption)

    @override
    def __repr__(self) -> str:
        counts = ", ".join(f"{k} {v}" for k, v in self.counts.items()) or "no findings"
        return f"<ScanReport {self.source} of {self.repository}@{(self.digest or '?')[:19]}: {self.status}, {counts}>"


def _with_epss(finding: Finding, scores: Mapping[str, float]) -> Finding:
    found = [scores[i] for i in (finding.id, *finding.related) if i in scores]
    if finding.epss is not None:
        found.append(finding.epss)
    return attrs.evolve(finding, epss=max(found)) if found else finding


def _bare_keys(finding: Finding) -> tuple[tuple[str, ...], ...]:
    # Without the digest: a report asked for by tag may not know it.
    return tuple(_key_text(k)[1:] for k in finding.keys)


def _filled(finding: Finding, other: Finding) -> Finding:
    names = (
        "epss", "known_exploited", "last_exploit_at", "exploit_available", "fix_available", "first_observed",
        "last_observed", "published", "score", "score_source", "vector", "vendor_severity",
    )  # fmt: skip
    changes = {n: getattr(other, n) for n in names if getattr(finding, n) is None and getattr(other, n) is not None}
    return attrs.evolve(finding, **changes) if changes else finding


def collect_drops(drops: Iterable[tuple[str, str, bool]]) -> tuple[Dropped, ...]:
    """Return the drops grouped by reason, with up to five sorted examples each."""
    groups: dict[tuple[str, bool], list[str]] = {}
    for reason, example, readable in drops:
        groups.setdefault((reason, readable), []).append(example)
    return tuple(
        Dropped(reason=reason, count=len(names), examples=tuple(sorted(names)[:5]), readable=readable)
        for (reason, readable), names in sorted(groups.items())
    )


def finished(
    findings: Iterable[Finding], drops: list[tuple[str, str, bool]]
) -> tuple[tuple[Finding, ...], tuple[Dropped, ...]]:
    """Return findings once each, in their order, and the drops; a repeated finding keeps its latest state.

    A list that changes while it is paged can show a finding twice, and events are delivered at least once.
    """
    chosen: dict[object, Finding] = {}
    for finding in findings:
        name: object = finding.arn or finding
        before = chosen.get(name)
        if before is None:
            chosen[name] = finding
            continue
        drops.append(("the same finding twice", finding.id, True))
        chosen[name] = max(before, finding, key=_recency)
    active: list[Finding] = []
    for finding in chosen.values():
        if finding.status in ("SUPPRESSED", "CLOSED"):
            drops.append((f"status {finding.status}", finding.id, True))
        else:
            active.append(finding)
    return ordered(active), collect_drops(drops)


def _recency(finding: Finding) -> tuple[float, int, str]:
    moment = finding.updated or finding.last_observed
    return (moment.timestamp() if moment else 0.0, -severity_rank(finding.severity), canonical_json(finding))


def require_mapping(value: object, path: str, what: str) -> Mapping[str, Any]:
    """Return the mapping, or raise InvalidInput naming what was expected."""
    if not isinstance(value, Mapping):
        raise InvalidInput(what, [Problem(path, f"must be an object, not {type(value).__name__}")])
    return value
