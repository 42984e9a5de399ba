"""Reading DescribeImageScanFindings: basic and enhanced answers, one page or many, into one report."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ecrkit.errors import InvalidInput, Problem
from ecrkit.scanning._times import scan_time
from ecrkit.scanning.findings import (
    CvssScore,
    Finding,
    Package,
    ScanReport,
    finished,
    require_mapping,
)

__all__ = ["Reader", "enhanced_finding", "image_facts", "read_ecr"]

_WHAT: Final = "not an answer of DescribeImageScanFindings"
BASIC_ABSENT: Final = {
    "fix_available": "a basic scan carries no fix data",
    "exploit_available": "a basic scan carries no exploit data",
    "first_observed": "a basic scan carries no dates of findings",
    "published": "a basic scan carries no dates of findings",
    "epss": "a basic scan carries no EPSS score; load a feed",
    "known_exploited": "a basic scan does not say what is exploited; load a feed",
    "vendor_severity": "a basic scan states one severity only",
    "layer": "a basic scan does not name layers",
}
ENHANCED_ABSENT: Final = {
    "epss": "ECR's answer carries no EPSS score; ask Inspector or load a feed",
    "known_exploited": "ECR's answer does not say what is known to be exploited; load a feed",
}
_NOTHING: Final = frozenset({"", "none provided", "n/a"})


class Reader:
    """Takes members out of raw JSON, and collects what is wrong with them instead of stopping at the first."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.problems: list[Problem] = []

    def text(self, raw: Mapping[str, Any], name: str, path: str) -> str | None:
        """Return the text, or None when it is absent, empty or says that nothing is provided."""
        value = raw.get(name)
        if value is None:
            return None
        if not isinstance(value, str):
            self.problems.append(Problem(f"{path}.{name}", f"must be a string, not {type(value).__name__}"))
            return None
        return None if value.strip().lower() in _NOTHING else value

    def time(self, raw: Mapping[str, Any], name: str, path: str) -> dt.datetime | None:
        """Return the time, or None when it is absent."""
        value = raw.get(name)
        if value is None:
            return None
        try:
            return scan_time(value)
        except ValueError as fault:
            self.problems.append(Problem(f"{path}.{name}", str(fault)))
            return None

    def number(self, raw: Mapping[str, Any], name: str, path: str) -> float | None:
        """Return the number, or None when it is absent; a text that holds a number is one too."""
        value = raw.get(name)
        if value is None:
            return None
        try:
            if isinstance(value, bool):
                raise TypeError
            number = float(value)
            if not math.isfinite(number):
                raise ValueError
            return number
        except (TypeError, ValueError, OverflowError):
            self.problems.append(Problem(f"{path}.{name}", f"must be a number, not {value!r:.40}"))
            return None

    def integer(self, raw: Mapping[str, Any], name: str, path: str) -> int | None:
        """Return the whole number, or None when it is absent."""
        value = self.number(raw, name, path)
        return None if value is None else int(value)

    def mapping(self, raw: Mapping[str, Any], name: str, path: str) -> Mapping[str, Any]:
        """Return the object, empty when it is absent or null."""
        value = raw.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.problems.append(Problem(f"{path}.{name}", f"must be an object, not {type(value).__name__}"))
            return {}
        return value

    def items(self, raw: Mapping[str, Any], name: str, path: str) -> list[Any]:
        """Return the list, empty when it is absent or null."""
        value = raw.get(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            self.problems.append(Problem(f"{path}.{name}", f"must be a list, not {type(value).__name__}"))
            return []
        return list(value)

    def texts(self, raw: Mapping[str, Any], name: str, path: str) -> tuple[str, ...]:
        """Return the strings of a list; empty when it is absent."""
        return tuple(v for v in self.items(raw, name, path) if isinstance(v, str))

    def check(self) -> None:
        """Raise InvalidInput when anything was wrong."""
        if self.problems:
            raise InvalidInput(self.what, self.problems)


def pages_of(answer: Mapping[str, Any] | Iterable[Mapping[str, Any]], what: str) -> list[Mapping[str, Any]]:
    """Return the pages of one response or of many."""
    given: object = answer
    if isinstance(given, str | bytes):
        raise InvalidInput.single(what, "$", "must be an object or a list of objects, not text; parse the JSON first")
    if isinstance(answer, Mapping):
        return [require_mapping(answer, "$", what)]
    pages = [require_mapping(page, f"$[{n}]", what) for n, page in enumerate(answer)]
    if not pages:
        raise InvalidInput.single(what, "$", "there is no page")
    return pages


def read_ecr(answer: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> ScanReport:
    """Return the report of one response or every page of it."""
    pages = pages_of(answer, _WHAT)
    many = not isinstance(answer, Mapping)
    read = Reader(_WHAT)
    findings: list[Finding] = []
    drops: list[tuple[str, str, bool]] = []
    facts: dict[str, Any] = {}
    enhanced = counts_told = has_list = False
    listed = 0
    told: list[int] = []
    times: dict[str, list[dt.datetime]] = {"imageScanCompletedAt": [], "vulnerabilitySourceUpdatedAt": []}
    envelope: dict[str, set[str]] = {}
    for number, page in enumerate(pages):
        path = f"$[{number}]" if many else "$"
        if not {"imageScanStatus", "imageScanFindings"} & set(page):
            read.problems.append(Problem(path, "has neither imageScanStatus nor imageScanFindings"))
            continue
        if {"imageScanFindingsSummary", "imagePushedAt"} & set(page):
            # Its status says nothing of the present scans, and it lists no findings: it would read as clean.
            read.problems.append(
                Problem(path, "is an image of DescribeImages; ask for the findings of the image instead")
            )
            continue
        status = read.mapping(page, "imageScanStatus", path)
        image = read.mapping(page, "imageId", path)
        for raw, name, where in (
            (page, "repositoryName", path),
            (page, "registryId", path),
            (status, "status", f"{path}.imageScanStatus"),
            (status, "description", f"{path}.imageScanStatus"),
            (image, "imageDigest", f"{path}.imageId"),
            (image, "imageTag", f"{path}.imageId"),
        ):
            value = read.text(raw, name, where)
            if value is not None:
                envelope.setdefault(name, set()).add(value)
        body = read.mapping(page, "imageScanFindings", path)
        where = f"{path}.imageScanFindings"
        for name, seen in times.items():
            moment = read.time(body, name, where)
            if moment is not None:
                seen.append(moment)
        counts = body.get("findingSeverityCounts")
        if isinstance(counts, Mapping):
            counts_told = True
            told.append(sum(v for v in counts.values() if isinstance(v, int)))
        enhanced = enhanced or body.get("enhancedFindings") is not None
        has_list = has_list or body.get("findings") is not None or enhanced
        for name, convert in (("findings", _basic_finding), ("enhancedFindings", enhanced_finding)):
            for position, raw in enumerate(read.items(body, name, where)):
                listed += 1
                _take(raw, convert, f"{where}.{name}[{position}]", findings, drops)
                if name == "enhancedFindings" and isinstance(raw, Mapping):
                    image_facts(raw, facts)
    for name in ("repositoryName", "registryId", "imageDigest"):
        values = envelope.get(name, set())
        if len(values) > 1:
            read.problems.append(Problem(f"$.{name}", f"the pages are of different images: {sorted(values)[:3]}"))
    read.check()
    hashes = facts.pop("hashes", set())
    digest = _one(envelope, "imageDigest") or (next(iter(hashes)) if len(hashes) == 1 else None)
    incomplete = _incomplete(pages, told, listed, envelope)
    kept, dropped = finished((_on(f, digest) for f in findings), drops)
    statuses = envelope.get("status", set())
    return ScanReport(
        source="enhanced" if enhanced else "basic",
        repository=_one(envelope, "repositoryName") or facts.get("repository"),
        digest=digest,
        tags=tuple(sorted(envelope.get("imageTag", set()) | set(facts.get("tags", ())))),
        registry_id=_one(envelope, "registryId"),
        status=next(iter(statuses)) if len(statuses) == 1 else None,
        status_description=_one(envelope, "description"),
        completed_at=max(times["imageScanCompletedAt"], default=None),
        data_updated_at=max(times["vulnerabilitySourceUpdatedAt"], default=None),
        findings=kept,
        dropped=dropped,
        absent={
            **(ENHANCED_ABSENT if enhanced else BASIC_ABSENT),
            **({} if has_list else {"findings": "the answer holds no list of findings"}),
        },
        complete=incomplete is None,
        incomplete_because=incomplete,
        counts_told=counts_told,
        os=facts.get("os"),
        architecture=facts.get("architecture"),
        pushed_at=facts.get("pushed_at"),
        last_in_use_at=facts.get("last_in_use_at"),
        in_use_count=facts.get("in_use_count"),
    )


def _one(envelope: Mapping[str, set[str]], name: str) -> str | None:
    return min(envelope[name]) if envelope.get(name) else None


def _on(finding: Finding, digest: str | None) -> Finding:
    import attrs

    return finding if finding.digest or digest is None else attrs.evolve(finding, digest=digest)


def _incomplete(
    pages: list[Mapping[str, Any]], told: list[int], listed: int, envelope: Mapping[str, set[str]]
) -> str | None:
    # A page's counts may cover only that page, so they can say too little but never too much.
    if all(page.get("nextToken") for page in pages):
        return "the answer has a nextToken and the page it names is missing"
    if told and max(told) > listed:
        return f"the answer counts {max(told)} findings and lists {listed}"
    if len(envelope.get("status", set())) > 1:
        return f"the pages have different statuses: {', '.join(sorted(envelope['status']))}"
    return None


def _take(
    raw: object,
    convert: Any,
    path: str,
    findings: list[Finding],
    drops: list[tuple[str, str, bool]],
) -> None:
    """Append the finding, or say that and why it cannot be read; one bad entry does not hide the others."""
    try:
        findings.append(convert(require_mapping(raw, path, "not a finding"), path))
    except InvalidInput as fault:
        drops.append((f"unreadable: {fault.problems[0].message}", path, False))


def _basic_finding(raw: Mapping[str, Any], path: str) -> Finding:
    read = Reader("not a finding of a basic scan")
    attributes: dict[str, str] = {}
    for entry in read.items(raw, "attributes", path):
        if isinstance(entry, Mapping) and isinstance(entry.get("key"), str):
            attributes[entry["key"].lower()] = str(entry.get("value") or "")
    cvss: list[CvssScore] = []
    for version in ("4", "3", "2"):
        vector, score = attributes.get(f"cvss{version}_vector"), attributes.get(f"cvss{version}_score")
        if vector or score:
            value = read.number({"value": score or None}, "value", f"{path}.attributes.CVSS{version}_SCORE")
            cvss.append(CvssScore(score=value, vector=vector or None, version=version))
    name = attributes.get("package_name")
    found = _identified(read, path, read.text(raw, "name", path))
    best = next((c for c in cvss if c.score is not None), None)
    read.check()
    return Finding(
        id=found,
        severity=(read.text(raw, "severity", path) or "UNDEFINED").upper(),
        packages=(Package(name=name, version=attributes.get("package_version", "")),) if name else (),
        title=found,
        description=read.text(raw, "description", path),
        uri=read.text(raw, "uri", path),
        score=best.score if best else None,
        vector=best.vector if best else None,
        cvss=tuple(cvss),
    )


def _identified(read: Reader, path: str, *names: str | None) -> str:
    found = next((n for n in names if n), None)
    if found is None:
        read.problems.append(Problem(path, "names no vulnerability"))
    return found or ""


def enhanced_finding(raw: Mapping[str, Any], path: str) -> Finding:
    """Return the finding of an enhanced scan or of Inspector; the two differ in the members of score and EPSS."""
    read = Reader("not a finding of an enhanced scan")
    details = read.mapping(raw, "packageVulnerabilityDetails", path)
    inside = f"{path}.packageVulnerabilityDetails"
    scoring = read.mapping(read.mapping(raw, "scoreDetails", path), "cvss", f"{path}.scoreDetails")
    scoring = scoring or read.mapping(
        read.mapping(raw, "inspectorScoreDetails", path), "adjustedCvss", f"{path}.inspectorScoreDetails"
    )
    code = read.mapping(raw, "codeVulnerabilityDetails", path)
    advice = read.mapping(read.mapping(raw, "remediation", path), "recommendation", f"{path}.remediation")
    packages = []
    for number, entry in enumerate(read.items(details, "vulnerablePackages", inside)):
        here = f"{inside}.vulnerablePackages[{number}]"
        if isinstance(entry, Mapping):
            packages.append(_package(read, entry, here))
        else:
            read.problems.append(Problem(here, "must be an object"))
    cvss = [
        CvssScore(
            score=read.number(entry, "baseScore", f"{inside}.cvss[{n}]"),
            vector=read.text(entry, "scoringVector", f"{inside}.cvss[{n}]"),
            version=read.text(entry, "version", f"{inside}.cvss[{n}]"),
            source=read.text(entry, "source", f"{inside}.cvss[{n}]"),
        )
        for n, entry in enumerate(read.items(details, "cvss", inside))
        if isinstance(entry, Mapping)
    ]
    images = (_image_of(r) for r in read.items(raw, "resources", path))
    digests = {d for d in (read.text(i, "imageHash", f"{path}.resources") for i in images) if d}
    score = read.number(raw, "score", path)
    finding = Finding(
        id=_identified(
            read,
            path,
            read.text(details, "vulnerabilityId", inside),
            read.text(code, "ruleId", path),
            read.text(raw, "title", path),
            read.text(raw, "findingArn", path),
        ),
        severity=(read.text(raw, "severity", path) or "UNDEFINED").upper(),
        packages=tuple(packages),
        title=read.text(raw, "title", path),
        description=read.text(raw, "description", path),
        uri=read.text(details, "sourceUrl", inside),
        advisory_source=read.text(details, "source", inside),
        vendor_severity=read.text(details, "vendorSeverity", inside),
        score=read.number(raw, "inspectorScore", path) if score is None else score,
        score_source=read.text(scoring, "scoreSource", f"{path}.scoreDetails.cvss"),
        vector=read.text(scoring, "scoringVector", f"{path}.scoreDetails.cvss"),
        cvss=tuple(cvss),
        fix_available=read.text(raw, "fixAvailable", path),
        exploit_available=read.text(raw, "exploitAvailable", path),
        last_exploit_at=read.time(
            read.mapping(raw, "exploitabilityDetails", path), "lastKnownExploitAt", f"{path}.exploitabilityDetails"
        ),
        epss=read.number(read.mapping(raw, "epss", path), "score", f"{path}.epss"),
        first_observed=read.time(raw, "firstObservedAt", path),
        last_observed=read.time(raw, "lastObservedAt", path),
        updated=read.time(raw, "updatedAt", path),
        published=read.time(details, "vendorCreatedAt", inside),
        vendor_updated=read.time(details, "vendorUpdatedAt", inside),
        status=read.text(raw, "status", path),
        type=read.text(raw, "type", path),
        arn=read.text(raw, "findingArn", path),
        related=tuple(sorted(set(read.texts(details, "relatedVulnerabilities", inside)))),
        references=read.texts(details, "referenceUrls", inside),
        remediation=read.text(advice, "text", f"{path}.remediation.recommendation"),
        remediation_url=read.text(advice, "url", f"{path}.remediation.recommendation")
        or read.text(advice, "Url", f"{path}.remediation.recommendation"),
        digest=min(digests) if len(digests) == 1 else None,
    )
    read.check()
    return finding


def _package(read: Reader, raw: Mapping[str, Any], path: str) -> Package:
    fixed = read.text(raw, "fixedInVersion", path)
    unavailable = fixed is not None and fixed.strip().lower() == "notavailable"
    return Package(
        name=read.text(raw, "name", path) or "",
        version=read.text(raw, "version", path) or "",
        epoch=read.integer(raw, "epoch", path),
        release=read.text(raw, "release", path),
        arch=read.text(raw, "arch", path),
        manager=read.text(raw, "packageManager", path),
        path=read.text(raw, "filePath", path),
        layer=read.text(raw, "sourceLayerHash", path),
        fixed_in=None if unavailable else fixed,
        fix=None if fixed is None else not unavailable,
        remediation=read.text(raw, "remediation", path),
        purl=read.text(raw, "purl", path),
    )


def _image_of(resource: object) -> Mapping[str, Any]:
    details = resource.get("details") if isinstance(resource, Mapping) else None
    image = details.get("awsEcrContainerImage") if isinstance(details, Mapping) else None
    return image if isinstance(image, Mapping) else {}


def image_facts(raw: Mapping[str, Any], facts: dict[str, Any]) -> None:
    """Add what a finding says about its image: platform, architecture, push, and where the image is in use."""
    resources = raw.get("resources")
    for resource in resources if isinstance(resources, list | tuple) else ():
        image = _image_of(resource)
        if not image:
            continue
        read = Reader("image details")
        if digest := read.text(image, "imageHash", ""):
            facts.setdefault("hashes", set()).add(digest)
        for name, member in (("repository", "repositoryName"), ("os", "platform"), ("architecture", "architecture")):
            value = read.text(image, member, "")
            # The least of several, so that the order of findings changes nothing.
            if value is not None:
                facts[name] = min(facts.get(name, value), value)
        facts.setdefault("tags", set()).update(read.texts(image, "imageTags", ""))
        for name, member in (("pushed_at", "pushedAt"), ("last_in_use_at", "lastInUseAt")):
            moment = read.time(image, member, "")
            if moment is not None:
                facts[name] = max(facts.get(name, moment), moment)
        count = read.integer(image, "inUseCount", "")
        if count is not None:
            facts["in_use_count"] = max(facts.get("in_use_count", count), count)
