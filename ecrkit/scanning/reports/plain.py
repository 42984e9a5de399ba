"""Plain formats: a text table, JSON, CSV."""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from typing import Final

from ecrkit._internal.tables import text_table
from ecrkit._internal.times import iso
from ecrkit.scanning.reports.rows import FindingRow, rows, scan_reasons, to_columns
from ecrkit.scanning.verdict import Verdict

__all__ = ["to_csv", "to_json", "to_text"]

# Escape sequences in a CVE's text would repaint a terminal; line breaks would fake lines of the report.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def one_line(text: str) -> str:
    """Return the text without control characters, direction marks and line breaks."""
    return _CONTROL.sub(" ", text)


def to_text(verdict: Verdict) -> str:
    """Return the verdict as text for a terminal: the outcome, every finding with what became of it, every reason."""
    scanned = f"{verdict.scanned_at:%Y-%m-%d %H:%M} UTC" if verdict.scanned_at else "unknown"
    head = [
        f"{verdict.outcome.upper()}  {verdict.image}",
        f"scanned {scanned}, severity by {verdict.basis}, profile {verdict.profile or 'none'}, {verdict.readiness}",
    ]
    lines = [one_line(line) for line in head]
    table = [
        (
            row.state,
            one_line(f"{row.severity} ({row.beside})" if row.beside else row.severity),
            one_line(row.finding.id),
            one_line(", ".join(str(p) for p in row.finding.packages)),
            row.platform or "",
            one_line(_remark(row)),
        )
        for row in rows(verdict)
    ]
    if table:
        lines += ["", text_table(("state", "severity", "id", "packages", "platform", "why / remedy"), table)]
    else:
        lines += ["", "no findings"]
    if whole := scan_reasons(verdict):
        lines += ["", *(one_line(str(r)) for r in whole)]
    if verdict.dropped:
        lines += ["", *(one_line(f"left out: {d.count} findings, {d.reason}") for d in verdict.dropped)]
    if verdict.exemptions is not None:
        for name in ("unused", "expired", "expiring", "fixed_now", "not_judged"):
            words = name.replace("_", " ")
            lines += [one_line(f"exemption {words}: {e}") for e in getattr(verdict.exemptions, name)]
    if verdict.vex is not None:
        lines += [one_line(f"VEX statement matched nothing: {s.label}") for s in verdict.vex.unmatched]
        lines += [one_line(f"VEX statement not used: {where}: {why}") for where, why in verdict.vex.not_used]
    lines += [one_line(f"accepted: {note}") for note in verdict.accepted]
    lines += [f"skipped: {digest} is an attestation" for digest in verdict.skipped]
    return "\n".join(lines) + "\n"


def _remark(row: FindingRow) -> str:
    if row.state in ("suppressed", "in grace"):
        return row.why
    return f"{', '.join(row.rules)}: {row.remedy}" if row.rules else ""


def to_json(verdict: Verdict, *, indent: int | None = 2) -> str:
    """Return the verdict as JSON, format `ecrkit.verdict/1`."""
    return verdict.to_json(indent=indent) + "\n"


def to_csv(verdict: Verdict) -> str:
    """Return one line per vulnerable package, RFC 4180 with CRLF.

    A cell that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, tab or carriage return)
    gets an apostrophe in front.
    """
    columns = to_columns(verdict)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([_cell(v) for v in row] for row in zip(*columns.values(), strict=True))
    return out.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return iso(value)
    if not isinstance(value, str):
        return str(value)
    text = value.replace("\x00", "")
    return f"'{text}" if text.lstrip(" ")[:1] in ("=", "+", "-", "@", "\t", "\r") else text
