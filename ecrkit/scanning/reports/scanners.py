"""Formats of scanners: SARIF 2.1.0 and GitLab's container scanning report."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

from ecrkit._internal.times import iso
from ecrkit._version import __version__
from ecrkit.scanning.findings import Finding
from ecrkit.scanning.reports.rows import FindingRow, rows, scan_reasons
from ecrkit.scanning.severity import severity_rank
from ecrkit.scanning.verdict import Verdict

__all__ = ["to_gitlab", "to_sarif"]

_SARIF_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS: Final = {"CRITICAL": "error", "HIGH": "error", "MEDIUM": "warning", "LOW": "note", "INFORMATIONAL": "note"}
# GitHub sorts by this number; where no score is known it stands for the severity.
_DEFAULT_SCORES: Final = {"CRITICAL": "9.5", "HIGH": "8.0", "MEDIUM": "5.5", "LOW": "2.0", "INFORMATIONAL": "0.1"}
_GITLAB_VERSION: Final = "15.2.1"
_GITLAB_SEVERITIES: Final = {
    "CRITICAL": "Critical", "HIGH": "High", "MEDIUM": "Medium", "LOW": "Low", "INFORMATIONAL": "Info",
}  # fmt: skip


def _finding_hash(row: FindingRow) -> str:
    # Without the digest: the same finding in the next build of the image is the same alert.
    parts = [row.repository or "", row.platform or "", row.finding.id]
    parts += [f"{k.package}\x00{k.version}\x00{k.path}" for k in row.finding.keys]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()


def _first_line(finding: Finding) -> str:
    return (finding.title or finding.id).partition("\n")[0][:250]


def _uri(text: str | None) -> str | None:
    return text if text is not None and re.fullmatch(r"https?://[^\s<>\"{}|\\^`]+", text) else None


def to_sarif(verdict: Verdict, *, indent: int | None = 2) -> str:
    """Return the verdict as SARIF 2.1.0: one rule per vulnerability, one result per finding.

    Suppressed findings are results with an accepted suppression, so that a viewer shows them closed and not gone;
    a finding in its period of grace is suppressed under review. The location is the package's path in the image, or
    the image itself. A scan that could not be judged is a tool notification, and the run is not successful.
    """
    rules: dict[str, dict[str, Any]] = {}
    numbers: dict[str, int] = {}
    results: list[dict[str, Any]] = []
    for row in rows(verdict):
        finding = row.finding
        rule = _sarif_rule(finding, row.severity)
        known = rules.get(finding.id)
        if known is None:
            numbers[finding.id] = len(rules)
            rules[finding.id] = rule
        elif float(known["properties"]["security-severity"]) < float(rule["properties"]["security-severity"]):
            rules[finding.id] = rule
        results.append(_sarif_result(row, numbers[finding.id]))
    notes = [
        {
            "level": "error",
            "message": {"text": str(r)},
            "descriptor": {"id": r.rule},
        }
        for r in scan_reasons(verdict)
    ]
    run: dict[str, Any] = {
        "tool": {
            "driver": {
                "name": "ecrkit",
                "semanticVersion": __version__,
                "rules": list(rules.values()),
            }
        },
        "invocations": [
            {
                "executionSuccessful": not notes,
                "exitCode": verdict.exit_code,
                "endTimeUtc": iso(verdict.judged_at),
                "toolExecutionNotifications": notes,
            }
        ],
        "automationDetails": {"id": f"ecrkit/{verdict.repository or 'image'}/"},
        "properties": {
            "outcome": verdict.outcome,
            "image": verdict.image,
            "severityBasis": verdict.basis,
            "profile": verdict.profile,
            "scannedAt": iso(verdict.scanned_at) if verdict.scanned_at else None,
        },
        "results": results,
        "columnKind": "unicodeCodePoints",
    }
    return json.dumps({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=indent) + "\n"


def _sarif_rule(finding: Finding, severity: str) -> dict[str, Any]:
    score = f"{finding.score:.1f}" if finding.score else _DEFAULT_SCORES.get(severity, "8.0")
    rule: dict[str, Any] = {
        "id": finding.id,
        "name": re.sub(r"[^A-Za-z0-9]", "", finding.id) or "Finding",
        "shortDescription": {"text": _first_line(finding)},
        "fullDescription": {"text": (finding.description or finding.id)[:1000]},
        "defaultConfiguration": {"level": _LEVELS.get(severity, "error")},
        "properties": {"security-severity": score, "tags": ["security", "vulnerability", severity]},
    }
    if uri := _uri(finding.uri):
        rule["helpUri"] = uri
    return rule


def _sarif_result(row: FindingRow, number: int) -> dict[str, Any]:
    finding = row.finding
    paths = [p.path for p in finding.packages if p.path] or [row.repository or "image"]
    said = f"{row.severity} {finding.where}"
    text = f"{said}. {row.remedy}" if row.remedy else said
    result: dict[str, Any] = {
        "ruleId": finding.id,
        "ruleIndex": number,
        "level": _LEVELS.get(row.severity, "error"),
        "message": {"text": text},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": _path_uri(path)},
                    "region": {"startLine": 1},
                },
                "message": {
                    "text": f"{row.repository or 'image'}@{row.digest or 'unknown'} {row.platform or ''}".strip()
                },
            }
            for path in dict.fromkeys(paths)
        ],
        "partialFingerprints": {"ecrkit/finding/v1": _finding_hash(row)},
        "properties": {"state": row.state, "rules": list(row.rules), "platform": row.platform},
    }
    if row.state == "suppressed":
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": row.why}]
    elif row.state == "in grace":
        result["suppressions"] = [{"kind": "external", "status": "underReview", "justification": row.why}]
    return result


def _path_uri(path: str) -> str:
    from urllib.parse import quote

    return quote(path.lstrip("/"), safe="/") or "image"


def to_gitlab(verdict: Verdict, *, indent: int | None = 2) -> str:
    """Return the verdict as GitLab's container scanning report (security report schemas 15).

    GitLab wants one entry per vulnerability and package. Suppressed findings are entries with the flag
    `ignored` in their details, since the format has no suppression of its own.
    """
    moment = verdict.judged_at.strftime("%Y-%m-%dT%H:%M:%S")
    entries = [e for row in rows(verdict) for e in _gitlab_entries(row)]
    whole = scan_reasons(verdict)
    tool = {
        "id": "ecrkit", "name": "ecrkit", "version": __version__, "vendor": {"name": "The ecrkit developers"},
    }  # fmt: skip
    scan: dict[str, Any] = {
        "type": "container_scanning",
        "status": "failure" if whole else "success",
        "start_time": moment,
        "end_time": moment,
        "analyzer": tool,
        "scanner": tool,
        "messages": [{"level": "fatal", "value": str(r)} for r in whole],
    }
    entries.sort(
        key=lambda e: (
            e["details"]["ecrkit_state"]["value"] == "suppressed",
            e["_rank"],
            e["name"],
            e["location"]["dependency"]["package"]["name"],
            e["id"],
        )
    )
    for entry in entries:
        del entry["_rank"]
    body = {"version": _GITLAB_VERSION, "scan": scan, "vulnerabilities": entries, "remediations": []}
    return json.dumps(body, indent=indent) + "\n"


def _gitlab_entries(row: FindingRow) -> list[dict[str, Any]]:
    finding = row.finding
    image = f"{row.repository or 'image'}@{row.digest}" if row.digest else (row.repository or "image")
    entries: list[dict[str, Any]] = []
    for key in finding.keys:
        package = next((p for p in finding.packages if (p.name, p.installed, p.path or "") == key[2:]), None)
        name = hashlib.sha256(f"{_finding_hash(row)}\x1f{key[2:]}".encode()).hexdigest()
        entry: dict[str, Any] = {
            "_rank": severity_rank(row.severity),
            "id": f"{name[:8]}-{name[8:12]}-{name[12:16]}-{name[16:20]}-{name[20:32]}",
            "name": _first_line(finding)[:255],
            "description": (finding.description or finding.id)[:15000],
            "severity": _GITLAB_SEVERITIES.get(row.severity, "Unknown"),
            "solution": (row.remedy or finding.remediation or "")[:7000],
            "identifiers": [_identifier(finding)],
            "links": [{"url": u} for u in dict.fromkeys(map(_uri, (finding.uri, *finding.references))) if u],
            "location": {
                "dependency": {
                    "package": {"name": key.package or "unknown"},
                    "version": key.version or "unknown",
                },
                "operating_system": row.platform or "unknown",
                "image": image,
            },
            "details": {
                "ecrkit_state": {"type": "text", "name": "State", "value": row.state},
                "ecrkit_why": {"type": "text", "name": "Why", "value": row.why or "no rule is concerned"},
                "ignored": {"type": "value", "name": "Ignored", "value": row.state == "suppressed"},
            },
        }
        if package is not None and package.fixed_in:
            entry["details"]["fixed_in"] = {"type": "text", "name": "Fixed in", "value": package.fixed_in}
        entries.append(entry)
    return entries


def _identifier(finding: Finding) -> dict[str, str]:
    kind = finding.id.partition("-")[0].lower() if "-" in finding.id else "other"
    known = kind if kind in ("cve", "cwe", "ghsa", "usn", "rhsa", "elsa", "alas") else "other"
    body = {"type": known, "name": finding.id, "value": finding.id}
    if uri := _uri(finding.uri):
        body["url"] = uri
    return body
