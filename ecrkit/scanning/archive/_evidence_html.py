"""The auditor's report as one HTML file: no script, nothing from elsewhere, every text escaped, fit for printing."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from ecrkit.scanning.archive.audit import Deadline
from ecrkit.scanning.archive.evidence import Evidence
from ecrkit.scanning.severity import severity_rank

__all__ = ["render"]

_STYLE: Final = """
:root{color-scheme:light}
body{font:15px/1.5 system-ui,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;color:#1b1f24;background:#fff;
max-width:76rem;margin:2rem auto;padding:0 1.25rem}
h1{font-size:1.6rem;margin:0 0 .25rem;overflow-wrap:anywhere}h2{font-size:1.15rem;margin:2rem 0 .5rem}
p{margin:.25rem 0 .75rem;max-width:62rem}.lead{color:#4a525c}
.sum{display:flex;flex-wrap:wrap;gap:.75rem;margin:1rem 0;padding:0;list-style:none}
.sum li{border:1px solid #d0d7de;border-radius:6px;padding:.5rem .9rem;min-width:7rem}
.sum b{display:block;font-size:1.4rem;line-height:1.2}.bad{border-color:#b42318!important}.bad b{color:#b42318}
.wrap{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #d8dee4;overflow-wrap:anywhere}
th{background:#f6f8fa;white-space:nowrap}td.n,th.n{text-align:right}td.t{white-space:nowrap}
code{font-size:.92em}.state{font-weight:600}.late,.overdue,.failed,.expired{color:#b42318}.unknown{color:#8a4b00}
.sign td{height:2.6rem;width:33%}
@media print{body{margin:0;max-width:none}h2{break-after:avoid}tr{break-inside:avoid}}
"""


def render(report: Evidence) -> str:
    """Return the HTML of a report."""
    title = f"Scan evidence: {report.repository}"
    parts = [
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        _lead(report),
        _summary(report),
        _deadlines("Missed deadlines", report.breaches, _promise(report), "No deadline was missed."),
        _deadlines("Undecided", report.undecided, "Nobody can tell if these are in time.", "Nothing is undecided."),
        _gaps(report),
        _accepted(report),
        _times(report),
        _open(report),
        _remedied(report),
        _unknown(report),
        _scans(report),
        _sign(),
        "</body></html>\n",
    ]
    return "\n".join(parts)


def _lead(report: Evidence) -> str:
    told = f"{report.period.first} to {report.period.last} (UTC), judged as of {_time(report.as_of)}"
    return f'<p class="lead">{told}, made {_time(report.made_at)}.</p>'


def _summary(report: Evidence) -> str:
    ready = sum(s.ready for s in report.scans)
    still = sum(r.remedied_at is None for r in report.remediations)
    tiles = [
        (str(len(report.scans)), f"readings, {ready} successful", bool(len(report.scans) - ready)),
        (str(len(report.gaps)), "gaps in scanning", bool(report.gaps)),
        (str(len(report.breaches)), "missed deadlines", bool(report.breaches)),
        (str(len(report.undecided)), "undecided", bool(report.undecided)),
        (str(still), "not remedied", False),
        (str(len(report.accepted)), "exemptions in force", False),
    ]
    items = "".join(
        f"<li{' class=bad' if bad else ''}><b>{escape(number)}</b>{escape(text)}</li>" for number, text, bad in tiles
    )
    return f'<ul class="sum">{items}</ul>'


def _promise(report: Evidence) -> str:
    days = sorted(report.sla.days.items(), key=lambda d: severity_rank(d[0]))
    told = ", ".join(f"{name} {count} days" for name, count in days)
    return f"Deadlines, counted from the first observation in the repository: {told}."


def _deadlines(title: str, rows: Iterable[Deadline], lead: str, none: str) -> str:
    cells = [
        (
            d.state,
            d.remediation.severity,
            d.remediation.vulnerability_id,
            d.remediation.package or "no package named",
            _where(d.remediation.environment, d.remediation.platform),
            _day(d.remediation.found_at),
            _day(d.due_at),
            _day(d.remediation.remedied_at) or d.remediation.state,
            d.reason,
        )
        for d in sorted(rows, key=lambda d: (severity_rank(d.remediation.severity), d.remediation.found_at))
    ]
    header = ("state", "severity", "vulnerability", "package", "environment", "found", "due", "remedied", "rule")
    return _section(title, lead, header, cells, none, times=frozenset({5, 6, 7}))


def _gaps(report: Evidence) -> str:
    hours = report.longest_gap.total_seconds() / 3600
    lead = f"A successful reading of the current image vouches for {hours:g} hours. Times without one:"
    cells = [
        (_where(g.environment, g.platform), _short(g.digest), _time(g.start), _time(g.end), _length(g.length), g.reason)
        for g in report.gaps
    ]
    header = ("environment", "image", "from", "to", "length", "why")
    return _section("Gaps in scanning", lead, header, cells, "There is no gap.", times=frozenset({1, 2, 3, 4}))


def _accepted(report: Evidence) -> str:
    cells = [
        (
            a.exemption.label, ", ".join(a.matched) or "matched nothing", a.exemption.reason, a.exemption.owner or "",
            a.exemption.approved_by or "", str(a.first), str(a.last),
            str(a.exemption.expires or "never") + (", or when fixed" if a.exemption.until_fixed else ""),
        )
        for a in report.accepted
    ]  # fmt: skip
    header = ("exemption", "unremedied in the period", "reason", "owner", "approved by", "from", "to", "expires")
    lead = "Exemptions for this repository that held on at least one day of the period."
    return _section("Exemptions in force", lead, header, cells, "No exemption was in force.", times=frozenset({5, 6}))


def _times(report: Evidence) -> str:
    cells = [
        (t.environment, t.severity, str(t.remedied), str(t.not_remedied), _length(t.mean), _length(t.longest))
        for t in sorted(report.times, key=lambda t: (t.environment, severity_rank(t.severity)))
    ]
    lead = "Remedied means: a later successful reading of the then current image lacks it. The mean is over those only."
    header = ("environment", "severity", "remedied", "not remedied", "mean time", "longest time")
    return _section(
        "Time to remediate", lead, header, cells, "No vulnerability was seen.", numbers=frozenset({2, 3, 4, 5})
    )


def _open(report: Evidence) -> str:
    cells = [
        (
            r.state + (", suppressed" if r.suppressed else ""), r.severity, r.vulnerability_id,
            r.package or "no package named", _where(r.environment, r.platform),
            _day(r.found_at) + ("" if r.dated else " or earlier"), _time(r.last_seen_at), _short(r.last_seen_in),
        )
        for r in sorted(report.remediations, key=lambda r: (severity_rank(r.severity), r.found_at, r.vulnerability_id))
        if r.remedied_at is None
    ]  # fmt: skip
    header = ("state", "severity", "vulnerability", "package", "environment", "found", "last seen", "seen in")
    return _section("Not remedied", "", header, cells, "Everything that was seen is remedied.", times=frozenset({6, 7}))


def _remedied(report: Evidence) -> str:
    cells = [
        (
            r.severity, r.vulnerability_id, r.package or "no package named", _where(r.environment, r.platform),
            _day(r.found_at) + ("" if r.dated else " or earlier"), _day(r.remedied_at), _length(r.took),
            _short(r.remedied_by),
        )
        for r in sorted(report.remediations, key=lambda r: (severity_rank(r.severity), r.found_at, r.vulnerability_id))
        if r.remedied_at is not None
    ]  # fmt: skip
    header = ("severity", "vulnerability", "package", "environment", "found", "remedied", "took", "proved by")
    none = "Nothing was remedied in the period."
    return _section("Remedied in the period", "", header, cells, none, times=frozenset({5, 6, 7}))


def _unknown(report: Evidence) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in report.unknown)
    body = f"<ul>{items}</ul>" if items else "<p>Nothing that this report should say is unknown.</p>"
    return f"<h2>What is not known</h2>{body}"


def _scans(report: Evidence) -> str:
    cells = [
        (
            _time(s.read_at), _short(s.image_digest), s.platform or "", s.source, s.readiness, s.status or "",
            str(s.findings), _time(s.scanned_at), (s.raw_sha256 or "")[:16],
        )
        for s in report.scans
    ]  # fmt: skip
    header = (
        "read",
        "image",
        "platform",
        "source",
        "result",
        "status",
        "findings",
        "scan finished",
        "SHA-256",
    )
    counts = Counter(s.readiness for s in report.scans)
    lead = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return _section(
        "Readings", lead, header, cells, "No scan result was read in the period.",
        times=frozenset({0, 1, 7, 8}), numbers=frozenset({6}),
    )  # fmt: skip


def _sign() -> str:
    cells = "<tr><th>Name</th><th>Date</th><th>Signature</th></tr><tr><td></td><td></td><td></td></tr>"
    return f'<h2>Signed off</h2><table class="sign">{cells}</table>'


def _section(
    title: str,
    lead: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    none: str,
    *,
    times: frozenset[int] = frozenset(),
    numbers: frozenset[int] = frozenset(),
) -> str:
    top = f"<h2>{escape(title)}</h2>"
    if not rows:
        return f"{top}<p>{escape(none)}</p>"
    intro = f"<p>{escape(lead)}</p>" if lead else ""
    kinds = ["t" if n in times else "n" if n in numbers else "" for n in range(len(header))]
    head = "".join(f"<th{_class(k)}>{escape(h)}</th>" for h, k in zip(header, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{_class(k, v)}>{escape(v)}</td>" for v, k in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f'{top}{intro}<div class="wrap"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


_COLOURED: Final = ("late", "overdue", "failed", "expired", "unknown")


def _class(kind: str, value: str = "") -> str:
    names = [n for n in (kind, f"state {value}" if value in _COLOURED else "") if n]
    return f' class="{" ".join(names)}"' if names else ""


def _where(environment: str, platform: str) -> str:
    return f"{environment} ({platform})" if platform else environment or "none known"


def _short(digest: str | None) -> str:
    return "none known" if digest is None else digest.removeprefix("sha256:")[:12]


def _time(moment: dt.datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _day(moment: dt.datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d}"


def _length(value: dt.timedelta | None) -> str:
    if value is None:
        return ""
    hours = value.total_seconds() / 3600
    return f"{hours / 24:.1f} days" if hours >= 48 else f"{hours:.1f} hours"
