"""Small scan results for the tests, in the shapes of the ECR and Inspector API references."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ecrkit.scanning import Finding, Package, ScanReport

DIGEST = "sha256:" + "a" * 64
OTHER = "sha256:" + "b" * 64
NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DONE = 1764000000.0


def day(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


def basic_raw(
    name: str, severity: str | None = "HIGH", package: str = "openssl", version: str = "1.0"
) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "name": name,
        "uri": f"https://example.com/{name}",
        "attributes": [{"key": "package_name", "value": package}, {"key": "package_version", "value": version}],
    }
    if severity is not None:
        raw["severity"] = severity
    return raw


def package_raw(name: str = "curl", **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "version": "7.88.1",
        "epoch": 0,
        "release": "10",
        "arch": "AMD64",
        "packageManager": "OS",
        **more,
    }


def enhanced_raw(
    name: str,
    severity: str = "HIGH",
    *packages: Mapping[str, Any],
    details: Mapping[str, Any] | None = None,
    image: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    return {
        "findingArn": f"arn:aws:inspector2:eu-west-1:123456789012:finding/{name}",
        "title": f"{name} - curl",
        "severity": severity,
        "status": "ACTIVE",
        "type": "PACKAGE_VULNERABILITY",
        "packageVulnerabilityDetails": {
            "vulnerabilityId": name,
            "vulnerablePackages": [dict(p) for p in packages or (package_raw(),)],
            **(details or {}),
        },
        "resources": [
            {
                "type": "AWS_ECR_CONTAINER_IMAGE",
                "details": {
                    "awsEcrContainerImage": {
                        "imageHash": DIGEST,
                        "repositoryName": "team/app",
                        "platform": "DEBIAN_12",
                        "architecture": "amd64",
                        "imageTags": ["v1"],
                        **(image or {}),
                    }
                },
            }
        ],
        **more,
    }


def answer(
    status: str | None = "COMPLETE",
    *,
    basic: list[Any] | None = None,
    enhanced: list[Any] | None = None,
    done: bool = True,
    description: str | None = None,
    digest: str = DIGEST,
    **more: Any,
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    if basic is not None:
        body["findings"] = basic
    if enhanced is not None:
        body["enhancedFindings"] = enhanced
    if done:
        body["imageScanCompletedAt"] = DONE
    state = {} if status is None else {"status": status}
    if description is not None:
        state["description"] = description
    return {
        "registryId": "123456789012",
        "repositoryName": "team/app",
        "imageId": {"imageDigest": digest},
        "imageScanStatus": state,
        "imageScanFindings": body,
        **more,
    }


def finding(name: str = "CVE-2026-1", severity: str = "HIGH", *packages: Package, **more: Any) -> Finding:
    return Finding(id=name, severity=severity, packages=packages or (package(),), **more)


def package(name: str = "curl", version: str = "1.0", **more: Any) -> Package:
    return Package(name=name, version=version, **more)


def report(*findings: Finding, **more: Any) -> ScanReport:
    values: dict[str, Any] = {
        "source": "enhanced", "repository": "team/app", "digest": DIGEST, "status": "ACTIVE", "os": "DEBIAN_12",
        "completed_at": day("2026-11-24"), "findings": findings, **more,
    }  # fmt: skip
    return ScanReport(**values)
