"""The report for an auditor: what was scanned, where scanning had gaps, what was accepted, what was missed, and what
nobody knows.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs

from ecrkit._internal.globs import matches_any
from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import UTC, require_aware
from ecrkit.errors import InvalidInput
from ecrkit.scanning.archive.audit import (
    Deadline,
    Remediation,
    RemediationTime,
    Sla,
    latest_pushes,
    remediation_times,
    remediations,
)
from ecrkit.scanning.archive.events import FrequencyChanged
from ecrkit.scanning.archive.rows import DeploymentRow, FindingRow, ScanRow
from ecrkit.scanning.exemptions import Exemption, Exemptions

__all__ = ["AcceptedRisk", "Evidence", "Gap", "Period", "evidence"]


@attrs.frozen
class Period(Record):
    """Days in UTC, both included.

    Example:
        >>> Period(dt.date(2026, 7, 1), dt.date(2026, 9, 30)).end.isoformat()
        '2026-10-01T00:00:00+00:00'
    """

    first: dt.date
    last: dt.date

    def __attrs_post_init__(self) -> None:
        if self.last < self.first:
            raise InvalidInput.single("no period", "last", f"{self.last} lies before {self.first}")

    @property
    def start(self) -> dt.datetime:
        """The first moment."""
        return dt.datetime.combine(self.first, dt.time(), UTC)

    @property
    def end(self) -> dt.datetime:
        """The first moment after the period."""
        return dt.datetime.combine(self.last + dt.timedelta(days=1), dt.time(), UTC)


@attrs.frozen(kw_only=True)
class Gap(Record):
    """A time in which no successful reading of the current digest vouched for a deployment, and why.

    `digest` is None when nothing was deployed that the archive knows of.
    """

    environment: str
    platform: str
    digest: str | None
    start: dt.datetime
    end: dt.datetime
    reason: str

    @property
    def length(self) -> dt.timedelta:
        """How long the gap is."""
        return self.end - self.start


@attrs.frozen(kw_only=True)
class AcceptedRisk(Record):
    """An exemption for the repository and the days of the period on which it was in force.

    `matched` are the vulnerabilities that it names and that were unremedied in the period.
    """

    exemption: Exemption
    first: dt.date
    last: dt.date
    matched: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Evidence(Record):
    """What the archive proves of one repository over a period. `as_of` is the moment up to which it was judged.

    `breaches` are deadlines that were missed in the period or before it and not yet made up; `undecided` those that
    nobody can tell. `unknown` says in sentences what the report does not know. A breach under an exemption is still
    listed: the exemption stands beside it.
    """

    repository: str
    period: Period
    as_of: dt.datetime
    made_at: dt.datetime
    scans: tuple[ScanRow, ...]
    gaps: tuple[Gap, ...]
    remediations: tuple[Remediation, ...]
    times: tuple[RemediationTime, ...]
    accepted: tuple[AcceptedRisk, ...]
    breaches: tuple[Deadline, ...]
    undecided: tuple[Deadline, ...]
    unknown: tuple[str, ...]
    sla: Sla
    longest_gap: dt.timedelta

    @property
    def clean(self) -> bool:
        """Whether there is no gap, no breach and nothing undecided. Sentences in `unknown` do not count."""
        return not (self.gaps or self.breaches or self.undecided)

    def to_html(self) -> str:
        """Return the report as one HTML file without scripts, links or anything from elsewhere; all texts escaped."""
        from ecrkit.scanning.archive._evidence_html import render

        return render(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON-ready mapping, with `format` and the answers that are derived."""
        return {"format": "ecrkit-evidence/1", "clean": self.clean, **super().to_dict()}

    def _repr_html_(self) -> str:
        return self.to_html()


def evidence(
    repository: str,
    period: Period,
    *,
    scans: Iterable[ScanRow],
    findings: Iterable[FindingRow],
    sla: Sla,
    now: dt.datetime,
    exemptions: Exemptions | None = None,
    deployments: Iterable[DeploymentRow] | None = None,
    changes: Iterable[FrequencyChanged] = (),
    longest_gap: dt.timedelta = dt.timedelta(days=1),
) -> Evidence:
    """Return the evidence on one repository over a period.

    Pass the rows since well before the period: what was found earlier and is still open counts. `longest_gap` is the
    time for which one successful reading vouches. The judgement is as of the end of the period, or of now when that is
    earlier; later rows are left out. Without `deployments` the latest push counts as deployed. `exemptions` are those
    of today; the archive does not know which ones were in a file earlier, beyond their `created` and `expires`.

    Raises:
        InvalidInput: the period has not begun.
        ValueError: `now` has no time zone.
    """
    moment = require_aware(now, "now")
    if moment < period.start:
        raise InvalidInput.single("no evidence", "period", f"begins on {period.first}, after now")
    as_of = min(period.end, moment)
    readings = sorted(
        (s for s in scans if s.repository == repository and s.read_at < as_of), key=lambda s: (s.read_at, s.scan_id)
    )
    found = tuple(f for f in findings if f.repository == repository and f.read_at < as_of)
    recorded = deployments is not None
    deployed = tuple(
        d
        for d in (latest_pushes(readings, found) if deployments is None else deployments)
        if d.repository == repository and d.since < as_of
    )
    known = remediations(readings, found, deployed)
    judged = sla.judge(known, now=as_of)
    in_period = tuple(s for s in readings if s.read_at >= period.start)
    return Evidence(
        repository=repository,
        period=period,
        as_of=as_of,
        made_at=moment,
        scans=in_period,
        gaps=_gaps(period, as_of, readings, deployed, longest_gap),
        remediations=tuple(r for r in known if r.remedied_at is None or r.remedied_at >= period.start),
        times=remediation_times(r for r in known if r.remedied_at is None or r.remedied_at >= period.start),
        accepted=_accepted(repository, period, exemptions, known),
        breaches=tuple(d for d in judged if d.breached and _within(d.remediation, period)),
        undecided=tuple(d for d in judged if d.state == "unknown" and _within(d.remediation, period)),
        unknown=tuple(
            _unknown(
                repository,
                period,
                as_of,
                scans=in_period,
                findings=found,
                known=known,
                recorded=recorded,
                exemptions=exemptions,
                changes=changes,
            )
        ),
        sla=sla,
        longest_gap=longest_gap,
    )


def _within(row: Remediation, period: Period) -> bool:
    return row.remedied_at is None or row.remedied_at >= period.start


def _gaps(
    period: Period,
    as_of: dt.datetime,
    readings: list[ScanRow],
    deployed: tuple[DeploymentRow, ...],
    longest: dt.timedelta,
) -> tuple[Gap, ...]:
    streams: dict[tuple[str, str], list[DeploymentRow]] = {}
    for row in sorted(deployed, key=lambda d: (d.since, d.image_digest)):
        streams.setdefault((row.environment, row.platform), []).append(row)
    if not streams:
        reason = "the archive knows of no image of this repository"
        return (Gap(environment="", platform="", digest=None, start=period.start, end=as_of, reason=reason),)
    gaps: list[Gap] = []
    for (environment, platform), rows in sorted(streams.items()):
        ends = [*(r.since for r in rows[1:]), as_of]
        for row, until in zip(rows, ends, strict=True):
            start, end = max(row.since, period.start), min(until, as_of)
            mine = [s for s in readings if s.image_digest == row.image_digest]
            gaps += [
                Gap(environment=environment, platform=platform, digest=row.image_digest, start=a, end=b,
                    reason=_why(a, b, mine))
                for a, b in _uncovered(start, end, [s.read_at for s in mine if s.ready and s.kind == "report"], longest)
            ]  # fmt: skip
    return tuple(gaps)


def _uncovered(
    start: dt.datetime, end: dt.datetime, good: list[dt.datetime], longest: dt.timedelta
) -> list[tuple[dt.datetime, dt.datetime]]:
    """Return the parts of the time for which no good reading vouches; each does so for `longest` from its time on."""
    found: list[tuple[dt.datetime, dt.datetime]] = []
    covered = start
    for moment in sorted(good):
        if moment >= end:
            break
        if moment > covered:
            found.append((covered, moment))
        covered = max(covered, moment + longest)
    if covered < end:
        found.append((covered, end))
    return found


def _why(start: dt.datetime, end: dt.datetime, readings: list[ScanRow]) -> str:
    before = [s for s in readings if s.read_at < end and not s.ready]
    inside = [s for s in before if s.read_at >= start] or before[-1:]
    if inside:
        last = inside[-1]
        return f"{last.readiness}: {last.reason or last.status or 'no reason given'}"
    return "no reading of this image" if not any(s.read_at < end for s in readings) else "no newer reading"


def _accepted(
    repository: str, period: Period, exemptions: Exemptions | None, known: tuple[Remediation, ...]
) -> tuple[AcceptedRisk, ...]:
    rows: list[AcceptedRisk] = []
    for entry in exemptions or ():
        first = max(period.first, entry.created or period.first)
        last = min(period.last, entry.expires or period.last)
        if first > last or not matches_any(entry.repositories, repository):
            continue
        matched = {
            r.vulnerability_id
            for r in known
            if _within(r, period)
            and (not entry.ids or r.vulnerability_id in entry.ids)
            and matches_any(entry.packages, r.package)
            and matches_any(entry.platforms, r.platform or None)
        }
        rows.append(AcceptedRisk(exemption=entry, first=first, last=last, matched=tuple(sorted(matched))))
    return tuple(rows)


def _unknown(
    repository: str,
    period: Period,
    as_of: dt.datetime,
    *,
    scans: tuple[ScanRow, ...],
    findings: tuple[FindingRow, ...],
    known: tuple[Remediation, ...],
    recorded: bool,
    exemptions: Exemptions | None,
    changes: Iterable[FrequencyChanged],
) -> Iterable[str]:
    """Yield in sentences what the report cannot tell."""
    if as_of < period.end:
        yield f"The period has not ended: nothing after {as_of:%Y-%m-%d %H:%M} UTC is known."
    if not recorded:
        yield "No deployments were recorded: the latest push counts as what is deployed."
    if exemptions is None:
        yield "No file of exemptions was given: accepted risks are not known."
    states = Counter(s.readiness for s in scans if not s.ready)
    for state, count in sorted(states.items()):
        yield f"{count} of {len(scans)} readings were {state}: they say nothing of the image."
    hidden = sum(s.ready and not s.closes and s.kind == "report" for s in scans)
    if hidden:
        yield (
            f"{hidden} of {len(scans)} readings left out findings, suppressed or unreadable, without saying which: "
            "they prove no fix."
        )
    if sum(s.source == "basic" for s in scans):
        yield "Basic scans carry no dates and no fix data: a vulnerability can be older than its first reading."
    unconfirmed = sum(r.state == "unconfirmed" for r in known)
    if unconfirmed:
        yield (
            f"{unconfirmed} vulnerabilities of an earlier image are not confirmed: no successful reading of the "
            "current image says whether it has them."
        )
    vague = sorted({r.severity for r in known if r.severity in ("UNTRIAGED", "UNDEFINED")})
    if vague:
        yield f"Severity {' and '.join(vague)} is no severity yet: such vulnerabilities can turn out to be of any."
    closed = sum(f.state == "CLOSED" for f in findings)
    if closed:
        yield (
            f"{closed} findings were closed by Inspector in events. It also closes findings when it stops watching an "
            "image, so they count as remedied only where a later successful reading lacks them."
        )
    for change in sorted(changes, key=lambda c: (c.at, c.event_id)):
        for name, before, after in change.repositories:
            if name == repository and period.start <= change.at < as_of:
                yield f"On {change.at:%Y-%m-%d} the scan frequency changed from {before} to {after}."
