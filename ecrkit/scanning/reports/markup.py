"""Markup: Markdown for the summary of a CI step, and JUnit XML for its test report."""

from __future__ import annotations

import re
from typing import Final
from xml.sax.saxutils import escape, quoteattr

from ecrkit.scanning.reports.plain import one_line
from ecrkit.scanning.reports.rows import FindingRow, rows, scan_reasons
from ecrkit.scanning.verdict import Verdict

__all__ = ["to_junit", "to_markdown"]

_SUMMARY_LIMIT: Final = 1000
"""Rows of one Markdown table; GitHub cuts a step summary at 1 MiB."""
# What XML 1.0 cannot hold, not even as a character reference.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _md(text: str) -> str:
    """Return the text so that Markdown and HTML show it as it is: no link, image, mention, tag or table cell."""

    def entity(found: re.Match[str]) -> str:
        return f"&#{ord(found.group(1))};"

    # Entities, not backslashes: autolinks and mentions are made after the backslashes are gone.
    safe = re.sub(r"([&<>|`\[\]@*_~\\!:#])", entity, one_line(text))
    return re.sub(r"(?i)www\.", "www&#46;", safe)


def to_markdown(verdict: Verdict, *, limit: int = _SUMMARY_LIMIT) -> str:
    """Return the verdict as Markdown, for `$GITHUB_STEP_SUMMARY` or a merge request.

    At most `limit` rows stand in each table; the rest is counted.
    """
    scanned = f"{verdict.scanned_at:%Y-%m-%d %H:%M} UTC" if verdict.scanned_at else "unknown"
    lines = [
        f"## Image scan: {verdict.outcome.upper()}",
        "",
        f"- Image: {_md(verdict.image)}",
        f"- Scanned: {scanned}",
        f"- Severity by: {verdict.basis}",
        f"- Profile: {_md(verdict.profile or 'none')}",
        f"- Scan: {_md(str(verdict.readiness))}",
    ]
    if verdict.counts:
        lines.append(f"- Findings: {', '.join(f'{_md(k)} {v}' for k, v in verdict.counts.items())}")
    found = rows(verdict)
    blocking = [r for r in found if r.state in ("blocking", "undetermined")]
    others = [r for r in found if r.state in ("counted", "in grace")]
    hidden = [r for r in found if r.state == "suppressed"]
    if whole := scan_reasons(verdict):
        lines += ["", "### The scan itself", "", *(f"- {_md(str(r))}" for r in whole)]
    lines += _table("Reasons", blocking, limit)
    lines += _table("Other findings", others, limit)
    lines += _table("Suppressed findings", hidden, limit)
    return "\n".join(lines) + "\n"


def _table(title: str, found: list[FindingRow], limit: int) -> list[str]:
    if not found:
        return []
    lines = ["", f"### {title}", "", "| Severity | Id | Packages | Platform | Why |", "| --- | --- | --- | --- | --- |"]
    for row in found[:limit]:
        packages = ", ".join(str(p) for p in row.finding.packages)
        why = "; ".join(t for t in (row.why, row.remedy) if t)
        severity = f"{row.severity} ({row.beside})" if row.beside else row.severity
        cells = (severity, row.finding.id, packages, row.platform or "", why)
        lines.append("| " + " | ".join(_md(c) for c in cells) + " |")
    if len(found) > limit:
        lines.append(f"\n{len(found) - limit} more are not shown.")
    return lines


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)


def to_junit(verdict: Verdict) -> str:
    """Return the verdict as JUnit XML: one test case per finding, one for the scan itself.

    A blocking finding is a failure, one that cannot be judged an error, a suppressed one or one in grace is skipped.
    """
    cases: list[str] = []
    counts = {"failures": 0, "errors": 0, "skipped": 0}

    def case(name: str, group: str, kind: str | None, message: str, body: str = "") -> None:
        attributes = f'name={quoteattr(_xml(name))} classname={quoteattr(_xml(group))} time="0"'
        if kind is None:
            cases.append(f"    <testcase {attributes}/>")
            return
        counts[{"failure": "failures", "error": "errors", "skipped": "skipped"}[kind]] += 1
        inner = f"<{kind} message={quoteattr(_xml(message))}"
        inner += f">{escape(_xml(body))}</{kind}>" if body and kind != "skipped" else "/>"
        cases.append(f"    <testcase {attributes}>{inner}</testcase>")

    group = verdict.repository or "image"
    whole = scan_reasons(verdict)
    if whole:
        kind = "failure" if any(r.outcome == "fail" for r in whole) else "error"
        case("scan", group, kind, str(whole[0]), "\n".join(str(r) for r in whole))
    else:
        case("scan", group, None, "")
    for row in rows(verdict):
        # Test cases of one class need names of their own: the packages tell two findings of one CVE apart.
        packages = ", ".join(f"{p.name} {p.installed}" + (f" {p.path}" if p.path else "") for p in row.finding.packages)
        name = f"{row.severity} {row.finding.id}" + (f" in {packages}" if packages else "")
        place = f"{group}.{row.platform}" if row.platform else group
        kinds = {"blocking": "failure", "undetermined": "error", "counted": None}
        case(name, place, kinds.get(row.state, "skipped"), row.why, row.remedy)
    properties = {
        "image": verdict.image,
        "outcome": verdict.outcome,
        "severity_basis": verdict.basis,
        "profile": verdict.profile or "",
    }
    totals = f'tests="{len(cases)}" ' + " ".join(f'{k}="{v}"' for k, v in counts.items())
    return "\n".join(
        [
            '<?xml version="1.0" encoding="UTF-8"?>',
            f'<testsuites name="ecrkit scan gate" {totals}>',
            f'  <testsuite name={quoteattr(_xml(verdict.image))} {totals} time="0">',
            "    <properties>",
            *(f"      <property name={quoteattr(k)} value={quoteattr(_xml(v))}/>" for k, v in properties.items()),
            "    </properties>",
            *cases,
            "  </testsuite>",
            "</testsuites>",
            "",
        ]
    )
