"""Reading the findings of Inspector (ListFindings, events) and of Security Hub, for one image at a time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit.errors import InvalidInput, Problem
from ecrkit.scanning._reading import Reader, enhanced_finding, image_facts, pages_of
from ecrkit.scanning.findings import Finding, ScanReport, ScanSource, finished

__all__ = ["read_inspector", "read_security_hub"]

_WHAT: Final = "not findings of Inspector"
_ECR_IMAGE: Final = "AWS_ECR_CONTAINER_IMAGE"
INSPECTOR_ABSENT: Final = {
    "known_exploited": "ListFindings does not say what is known to be exploited; load a feed",
}


def read_inspector(
    findings: Mapping[str, Any] | Iterable[Mapping[str, Any]],
    *,
    digest: str | None,
    coverage: Mapping[str, Any] | None,
) -> ScanReport:
    """Return the report of one image from a response, a list of findings, or the details of events."""
    raws, incomplete = _entries(findings, "findings")
    return _report(raws, "inspector", digest=digest, coverage=coverage, incomplete=incomplete, absent=INSPECTOR_ABSENT)


def _entries(
    findings: Mapping[str, Any] | Iterable[Mapping[str, Any]], member: str
) -> tuple[list[tuple[str, Any]], str | None]:
    """Return (path, entry) of every finding, and why the list is not whole."""
    # Entries of any kind: one that is no object is left out and counted, not a reason to refuse the others.
    pages: list[Any] = pages_of(findings, _WHAT) if isinstance(findings, Mapping | str | bytes) else list(findings)
    entries: list[tuple[str, Any]] = []
    tokens: list[bool] = []
    for number, page in enumerate(pages):
        if isinstance(page, Mapping) and isinstance(page.get(member), list | tuple):
            tokens.append(bool(page.get("nextToken") or page.get("NextToken")))
            entries.extend((f"$[{number}].{member}[{n}]", raw) for n, raw in enumerate(page[member]))
        elif isinstance(findings, Mapping) and not {"findingArn", "severity", "Id"} & set(findings):
            raise InvalidInput.single(_WHAT, "$", f"has no {member}")
        else:
            entries.append((f"$[{number}]", page))
    missing = bool(tokens) and all(tokens)
    return entries, "the answer has a nextToken and the page it names is missing" if missing else None


def _report(
    raws: list[tuple[str, Any]],
    source: ScanSource,
    *,
    digest: str | None,
    coverage: Mapping[str, Any] | None,
    incomplete: str | None,
    absent: Mapping[str, str],
) -> ScanReport:
    drops: list[tuple[str, str, bool]] = []
    mine: list[tuple[str, Mapping[str, Any]]] = []
    digests: set[str] = set()
    for path, raw in raws:
        if not isinstance(raw, Mapping):
            what = raw.message if isinstance(raw, Problem) else "must be an object"
            drops.append((f"unreadable: {what}", path, False))
            continue
        images, others = _images(raw)
        name = str(raw.get("findingArn") or path)
        if not images:
            drops.append((f"not an ECR image: {', '.join(sorted(others)) or 'no resource named'}", name, True))
        elif digest is not None and digest not in images:
            drops.append(("another image", name, True))
        else:
            mine.append((path, raw))
            digests.update(images)
    if digest is None and len(digests) > 1:
        raise InvalidInput(
            "findings of several images", [Problem("$", f"name the digest; there are {len(digests)}: {min(digests)}")]
        )
    digest = digest or next(iter(digests), None)
    facts: dict[str, Any] = {}
    found: list[Finding] = []
    for path, raw in mine:
        try:
            found.append(attrs.evolve(enhanced_finding(raw, path), digest=digest))
            image_facts(raw, facts)
        except InvalidInput as fault:
            drops.append((f"unreadable: {fault.problems[0].message}", path, False))
    kept, dropped = finished(found, drops)
    status, description, scanned = _coverage(coverage)
    return ScanReport(
        source=source,
        repository=facts.get("repository"),
        digest=digest,
        tags=tuple(sorted(facts.get("tags", ()))),
        status=status,
        status_description=description,
        completed_at=scanned,
        findings=kept,
        dropped=dropped,
        absent=dict(absent),
        complete=incomplete is None,
        incomplete_because=incomplete,
        os=facts.get("os"),
        architecture=facts.get("architecture"),
        pushed_at=facts.get("pushed_at"),
        last_in_use_at=facts.get("last_in_use_at"),
        in_use_count=facts.get("in_use_count"),
    )


def _images(raw: Mapping[str, Any]) -> tuple[set[str], set[str]]:
    """Return the digests of the ECR images that the finding is about, and the types of its other resources."""
    images: set[str] = set()
    others: set[str] = set()
    resources = raw.get("resources")
    for resource in resources if isinstance(resources, list | tuple) else ():
        if not isinstance(resource, Mapping):
            continue
        kind = str(resource.get("type") or "unknown type")
        details = resource.get("details")
        image = details.get("awsEcrContainerImage") if isinstance(details, Mapping) else None
        if kind == _ECR_IMAGE and isinstance(image, Mapping) and isinstance(image.get("imageHash"), str):
            images.add(image["imageHash"])
        else:
            others.add(kind)
    return images, others


def _coverage(coverage: Mapping[str, Any] | None) -> tuple[str | None, str | None, dt.datetime | None]:
    """Return status, reason and last scan of a ListCoverage entry; the status is COVERAGE_ and Inspector's word."""
    if coverage is None:
        return None, None, None
    read = Reader("not an entry of ListCoverage")
    state = read.mapping(coverage, "scanStatus", "$")
    code = read.text(state, "statusCode", "$.scanStatus") or read.text(state, "statusCodeValue", "$.scanStatus")
    reason = read.text(state, "reason", "$.scanStatus")
    scanned = read.time(coverage, "lastScannedAt", "$")
    read.check()
    return (f"COVERAGE_{code}" if code else None), reason, scanned


_HUB_WHAT: Final = "not findings of Security Hub"
_HUB_ABSENT: Final = {
    "known_exploited": "Security Hub does not say what is known to be exploited; load a feed",
    "status": "Security Hub holds findings and no status of a scan",
}


def read_security_hub(findings: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, digest: str | None) -> ScanReport:
    """Return the report of one image from findings in the Security Hub format (ASFF)."""
    raws, incomplete = _entries(findings, "Findings")
    renamed: list[tuple[str, Any]] = []
    for path, raw in raws:
        if not isinstance(raw, Mapping):
            renamed.append((path, raw))
            continue
        if "SchemaVersion" not in raw:
            raise InvalidInput.single(_HUB_WHAT, path, "has no SchemaVersion")
        read = Reader(_HUB_WHAT)
        entries = _from_asff(read, raw, path)
        # A problem takes the place of the finding, so that it is counted as unreadable and does not hide the others.
        renamed.extend((p.path, p) for p in read.problems[:1])
        if not read.problems:
            renamed.extend((f"{path}.Vulnerabilities[{n}]", entry) for n, entry in enumerate(entries))
    return _report(renamed, "security-hub", digest=digest, coverage=None, incomplete=incomplete, absent=_HUB_ABSENT)


_ASFF_CVSS: Final = {
    "BaseScore": "baseScore", "BaseVector": "scoringVector", "Version": "version", "Source": "source",
}  # fmt: skip
_ASFF_IMAGE: Final = {
    "ImageDigest": "imageHash", "RepositoryName": "repositoryName", "Architecture": "architecture",
    "ImageTags": "imageTags", "ImagePublishedAt": "pushedAt",
}  # fmt: skip


def _lower(entry: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: entry[theirs] for theirs, ours in names.items() if theirs in entry}


_ASFF_PACKAGE: Final = {
    "Name": "name", "Version": "version", "Epoch": "epoch", "Release": "release", "Architecture": "arch",
    "PackageManager": "packageManager", "FilePath": "filePath", "FixedInVersion": "fixedInVersion",
    "SourceLayerHash": "sourceLayerHash", "Remediation": "remediation",
}  # fmt: skip


def _from_asff(read: Reader, raw: Mapping[str, Any], path: str) -> list[Mapping[str, Any]]:
    """Return the finding in Inspector's own names, once per vulnerability in it."""
    fields = read.mapping(raw, "ProductFields", path)
    resources = [
        _asff_resource(read, entry, fields, f"{path}.Resources[{n}]")
        for n, entry in enumerate(_objects(read, raw, "Resources", path))
    ]
    state = "CLOSED" if raw.get("RecordState") == "ARCHIVED" else fields.get("aws/inspector/FindingStatus")
    if read.mapping(raw, "Workflow", path).get("Status") == "SUPPRESSED":
        state = "SUPPRESSED"
    vulnerabilities = _objects(read, raw, "Vulnerabilities", path) or [{}]
    findings: list[Mapping[str, Any]] = []
    for number, entry in enumerate(vulnerabilities):
        here = f"{path}.Vulnerabilities[{number}]"
        vendor = read.mapping(entry, "Vendor", here)
        epss = entry.get("EpssScore")
        findings.append(
            {
                "findingArn": raw.get("Id") if len(vulnerabilities) == 1 else f"{raw.get('Id')}#{number}",
                "title": raw.get("Title"),
                "description": raw.get("Description"),
                "severity": read.mapping(raw, "Severity", path).get("Label"),
                "status": state,
                "firstObservedAt": raw.get("FirstObservedAt"),
                "lastObservedAt": raw.get("LastObservedAt"),
                "updatedAt": raw.get("UpdatedAt"),
                "fixAvailable": entry.get("FixAvailable"),
                "exploitAvailable": entry.get("ExploitAvailable"),
                "epss": {} if epss is None else {"score": epss},
                "inspectorScore": fields.get("aws/inspector/inspectorScore"),
                "resources": resources,
                "packageVulnerabilityDetails": {
                    "vulnerabilityId": entry.get("Id"),
                    "relatedVulnerabilities": entry.get("RelatedVulnerabilities"),
                    "referenceUrls": entry.get("ReferenceUrls"),
                    "source": vendor.get("Name"),
                    "sourceUrl": vendor.get("Url"),
                    "vendorSeverity": vendor.get("VendorSeverity"),
                    "vendorCreatedAt": vendor.get("VendorCreatedAt"),
                    "vendorUpdatedAt": vendor.get("VendorUpdatedAt"),
                    "vulnerablePackages": [
                        _lower(p, _ASFF_PACKAGE) for p in _objects(read, entry, "VulnerablePackages", here)
                    ],
                    "cvss": [_lower(c, _ASFF_CVSS) for c in _objects(read, entry, "Cvss", here)],
                },
            }
        )
    return findings


def _asff_resource(read: Reader, entry: Mapping[str, Any], fields: Mapping[str, Any], path: str) -> dict[str, Any]:
    image = read.mapping(read.mapping(entry, "Details", path), "AwsEcrContainerImage", f"{path}.Details")
    kind = entry.get("Type")
    if kind != "AwsEcrContainerImage":
        return {"type": kind, "details": {}}
    os = fields.get("aws/inspector/resources/1/resourceDetails/awsEcrContainerImageDetails/platform")
    details = _lower(image, _ASFF_IMAGE)
    return {"type": _ECR_IMAGE, "details": {"awsEcrContainerImage": {**details, "platform": os}}}


def _objects(read: Reader, raw: Mapping[str, Any], name: str, path: str) -> list[Mapping[str, Any]]:
    """Return the objects of a list; anything else in it is a problem."""
    found: list[Mapping[str, Any]] = []
    for number, entry in enumerate(read.items(raw, name, path)):
        if isinstance(entry, Mapping):
            found.append(entry)
        else:
            read.problems.append(Problem(f"{path}.{name}[{number}]", "must be an object"))
    return found
