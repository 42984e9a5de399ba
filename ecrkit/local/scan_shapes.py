"""Findings in the shapes that ECR and Inspector answer, made from the same record that reading them gives back.

Shapes: ECR API reference, ImageScanFinding and EnhancedImageScanFinding; Inspector API reference, Finding.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

if TYPE_CHECKING:
    from ecrkit.scanning.findings import Finding, Package

__all__ = ["ScannedImage", "basic_finding", "enhanced_finding", "finding", "inspector_finding", "severity_counts"]

_SCORES: Final = {"CRITICAL": 9.8, "HIGH": 7.5, "MEDIUM": 5.3, "LOW": 3.3, "INFORMATIONAL": 0.0}
_VECTORS: Final = {
    "CRITICAL": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    "HIGH": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:H",
    "MEDIUM": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:L/I:N/A:N",
    "LOW": "CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:L/I:N/A:N",
}
_ATTRIBUTES: Final = 50
_ATTRIBUTE: Final = 256


@attrs.frozen(kw_only=True)
class ScannedImage:
    """What a finding says about the image it was found in."""

    account: str
    region: str
    partition: str
    repository: str
    digest: str
    tags: Sequence[str]
    architecture: str
    platform: str
    pushed_at: dt.datetime
    observed_at: dt.datetime
    in_use_count: int | None = None
    last_in_use_at: dt.datetime | None = None

    @property
    def arn(self) -> str:
        """The ARN under which Inspector knows the image."""
        return f"arn:{self.partition}:ecr:{self.region}:{self.account}:repository/{self.repository}/{self.digest}"


def finding(
    vulnerability: str,
    severity: str = "HIGH",
    package: str = "openssl",
    version: str = "3.0.11",
    *,
    fixed_in: str | None = None,
    manager: str = "OS",
    path: str | None = None,
    score: float | None = None,
    epss: float | None = None,
    exploit: bool = False,
    published: dt.datetime | None = None,
    first_observed: dt.datetime | None = None,
    status: str = "ACTIVE",
    packages: Iterable[Package] = (),
) -> Finding:
    """Return a finding to inject, as a scanner would state it; what is not given follows from the severity.

    Without `fixed_in` there is no fix. `packages` takes the place of `package`, `version`, `fixed_in`, `manager` and
    `path` when the vulnerability is in several. Severities that say nothing (UNTRIAGED, UNDEFINED) come with a score
    of 0 and without ratings, as Inspector states them.

    Example:
        >>> from ecrkit.local.scan_shapes import finding
        >>> found = finding("CVE-2026-1001", "CRITICAL", "zlib", "1.2.13", fixed_in="1.3.1")
        >>> str(found), found.fix_available, found.score
        ('CRITICAL CVE-2026-1001 in zlib 1.2.13 -> 1.3.1', 'YES', 9.8)
    """
    from ecrkit.scanning.findings import CvssScore, Finding, Package

    one = Package(
        name=package, version=version, arch="X86_64", manager=manager, path=path, fixed_in=fixed_in,
        fix=fixed_in is not None,
    )  # fmt: skip
    found = tuple(packages) or (one,)
    fixes = [p.fixed_in is not None for p in found]
    points = _SCORES.get(severity, 0.0) if score is None else score
    vector = _VECTORS.get(severity)
    return Finding(
        id=vulnerability,
        severity=severity,
        packages=found,
        title=f"{vulnerability} - {', '.join(p.name for p in found)}",
        description=f"{vulnerability} is in {', '.join(p.name for p in found)}.",
        uri=f"https://nvd.nist.gov/vuln/detail/{vulnerability}",
        advisory_source="NVD",
        vendor_severity=severity if severity in _SCORES else "not yet assigned",
        score=points,
        score_source="NVD" if vector else None,
        vector=vector,
        cvss=(CvssScore(score=points, vector=vector, version="3.1", source="NVD"),) if vector else (),
        fix_available="YES" if all(fixes) else "PARTIAL" if any(fixes) else "NO",
        exploit_available="YES" if exploit else "NO",
        epss=epss,
        first_observed=first_observed,
        published=published,
        status=status,
        type="PACKAGE_VULNERABILITY",
    )


def _given(**members: Any) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def basic_finding(found: Finding) -> dict[str, Any]:
    """Return a finding as a basic scan states it: no fix, no date, no exploit; of several packages the first."""
    attributes: list[tuple[str, str | None]] = []
    for package in found.packages[:1]:
        attributes += [("package_version", package.installed), ("package_name", package.name)]
    for rating in found.cvss:
        version = "CVSS2" if (rating.version or "").startswith("2") else "CVSS3"
        attributes += [
            (f"{version}_VECTOR", rating.vector),
            (f"{version}_SCORE", None if rating.score is None else str(rating.score)),
        ]
    listed = [{"key": key, "value": value[:_ATTRIBUTE]} for key, value in attributes if value][:_ATTRIBUTES]
    return _given(
        name=found.id, description=found.description, uri=found.uri, severity=found.severity, attributes=listed
    )


def _package(package: Package) -> dict[str, Any]:
    fixed = package.fixed_in if package.fixed_in is not None else "NotAvailable" if package.fix is False else None
    return _given(
        name=package.name,
        version=package.version,
        epoch=package.epoch,
        release=package.release,
        arch=package.arch,
        packageManager=package.manager,
        filePath=package.path,
        sourceLayerHash=package.layer,
        fixedInVersion=fixed,
    )


def _image(image: ScannedImage) -> dict[str, Any]:
    return _given(
        architecture=image.architecture,
        imageHash=image.digest,
        imageTags=list(image.tags),
        platform=image.platform,
        pushedAt=image.pushed_at,
        lastInUseAt=image.last_in_use_at,
        inUseCount=image.in_use_count,
        registry=image.account,
        repositoryName=image.repository,
    )


def _common(found: Finding, image: ScannedImage) -> dict[str, Any]:
    where = " ".join(f"{p.name} {p.installed} {p.path}" for p in found.packages)
    name = hashlib.sha256(f"{image.arn} {found.id} {where}".encode()).hexdigest()[:32]
    arn = f"arn:{image.partition}:inspector2:{image.region}:{image.account}:finding/{name}"
    observed = found.last_observed or image.observed_at
    return _given(
        awsAccountId=image.account,
        findingArn=found.arn or arn,
        title=found.title,
        description=found.description,
        severity=found.severity,
        status=found.status or "ACTIVE",
        type=found.type or "PACKAGE_VULNERABILITY",
        firstObservedAt=found.first_observed or image.observed_at,
        lastObservedAt=observed,
        updatedAt=found.updated or observed,
        fixAvailable=found.fix_available,
        exploitAvailable=found.exploit_available,
        remediation={
            "recommendation": _given(text=found.remediation or "None Provided", url=found.remediation_url),
        },
        resources=[
            {
                "type": "AWS_ECR_CONTAINER_IMAGE",
                "id": image.arn,
                "tags": {},
                "details": {"awsEcrContainerImage": _image(image)},
            }
        ],
        packageVulnerabilityDetails=_given(
            vulnerabilityId=found.id,
            source=found.advisory_source,
            sourceUrl=found.uri,
            vendorSeverity=found.vendor_severity,
            vendorCreatedAt=found.published,
            vendorUpdatedAt=found.vendor_updated,
            relatedVulnerabilities=list(found.related),
            referenceUrls=list(found.references),
            vulnerablePackages=[_package(p) for p in found.packages],
            cvss=[_given(baseScore=c.score, scoringVector=c.vector, source=c.source, version=c.version)
                  for c in found.cvss],
        ),
    )  # fmt: skip


def _scoring(found: Finding) -> dict[str, Any] | None:
    # An untriaged finding has a score of 0.0 and no details of it.
    if found.vector is None:
        return None
    version = found.vector.partition("/")[0].removeprefix("CVSS:")
    return _given(
        score=found.score, scoreSource=found.score_source, scoringVector=found.vector,
        version=version if found.vector.startswith("CVSS:") else "2.0", adjustments=[],
    )  # fmt: skip


def enhanced_finding(found: Finding, image: ScannedImage) -> dict[str, Any]:
    """Return a finding as ECR states an enhanced scan's; EPSS and the last exploit are not in that shape."""
    scoring = _scoring(found)
    more = _given(score=found.score, scoreDetails=None if scoring is None else {"cvss": scoring})
    return {**_common(found, image), **more}


def inspector_finding(found: Finding, image: ScannedImage) -> dict[str, Any]:
    """Return the finding as Inspector's own ListFindings states it, with EPSS."""
    scoring = _scoring(found)
    adjusted = None if scoring is None else {"adjustedCvss": {**scoring, "cvssSource": scoring.get("scoreSource")}}
    more = _given(
        inspectorScore=found.score,
        inspectorScoreDetails=adjusted,
        epss=None if found.epss is None else {"score": found.epss},
        exploitabilityDetails=None if found.last_exploit_at is None else {"lastKnownExploitAt": found.last_exploit_at},
    )
    return {**_common(found, image), **more}


def severity_counts(findings: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return how many findings each severity has; severities without findings are absent.

    Example:
        >>> severity_counts([{"severity": "HIGH"}, {"severity": "LOW"}, {"severity": "HIGH"}])
        {'HIGH': 2, 'LOW': 1}
    """
    counts: dict[str, int] = {}
    for raw in findings:
        name = str(raw.get("severity") or "UNDEFINED")
        counts[name] = counts.get(name, 0) + 1
    return counts
