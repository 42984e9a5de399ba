"""When vulnerabilities were found, and whether and when they were remedied: pure functions over rows of the archive.

The rule: a vulnerability is remedied when a later successful reading of the digest that is then current in the
repository and environment lacks it. An expired, archived, failed or unavailable scan remedies nothing, nor does a
finding that Inspector closes, nor one that a filter suppresses. A new digest without it remedies it for the deployment;
the old digest stays as history. The clock starts at the earliest time of observation of the vulnerability in the
package over the whole repository: Inspector's own clock starts anew with every push.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import require_aware
from ecrkit.errors import InvalidInput, Problem
from ecrkit.scanning.archive.rows import DeploymentRow, FindingRow, ScanRow

__all__ = [
    "LATEST_PUSH",
    "Deadline",
    "Remediation",
    "RemediationState",
    "RemediationTime",
    "Sla",
    "SlaState",
    "latest_pushes",
    "remediation_times",
    "remediations",
]

LATEST_PUSH: Final = "latest push"
"""The environment of deployments that are derived from pushes."""
UNJUDGED: Final = ("UNTRIAGED", "UNDEFINED")
RemediationState = Literal["open", "unconfirmed", "remedied"]
"""open: listed for the current digest. unconfirmed: listed for an earlier one, and no successful reading of the
current one says anything. remedied: a later successful reading of the current digest lacks it."""
SlaState = Literal["in time", "late", "overdue", "due", "unknown"]
"""in time or late: remedied before or after the deadline. overdue or due: not remedied, after or before it. unknown:
nobody can tell, because the severity is none that a deadline knows, or the vulnerability may be older than its first
reading."""


@attrs.frozen(kw_only=True)
class Remediation(Record):
    """One vulnerability in one package in one deployment: found, last seen, and remedied or not.

    `found_at` is the earliest observation. `dated` says whether that is the start: the scanner dated it, or an earlier
    successful reading of the repository lacked it. Otherwise the vulnerability may be older. `remedied_by` is the
    digest whose reading lacks it.
    """

    repository: str
    environment: str
    platform: str
    vulnerability_id: str
    package: str
    severity: str
    found_at: dt.datetime
    dated: bool
    last_seen_at: dt.datetime
    last_seen_in: str
    state: RemediationState
    suppressed: bool = False
    remedied_at: dt.datetime | None = None
    remedied_by: str | None = None

    @property
    def took(self) -> dt.timedelta | None:
        """The time from found to remedied; None while it is not remedied. Never negative."""
        return None if self.remedied_at is None else max(self.remedied_at - self.found_at, dt.timedelta())

    def age(self, now: dt.datetime) -> dt.timedelta:
        """Return the time since it was found, until it was remedied or until now."""
        return max((self.remedied_at or require_aware(now, "now")) - self.found_at, dt.timedelta())


@attrs.frozen
class _Spell:
    """The time during which a digest is the current one of an environment and platform."""

    stream: tuple[str, str, str]
    digest: str
    since: dt.datetime
    until: dt.datetime | None


def latest_pushes(scans: Iterable[ScanRow], findings: Iterable[FindingRow] = ()) -> tuple[DeploymentRow, ...]:
    """Return the deployments that pushes imply: each digest is current from its push until the next one's.

    The environment is `latest push`. Right for a repository with one line of images; one with several (branches,
    environments) needs recorded deployments. The first reading stands in for a push time that nobody told.
    """
    pushed: dict[tuple[str, str], dt.datetime] = {}
    read: dict[tuple[str, str], dt.datetime] = {}
    platforms: dict[tuple[str, str], str] = {}
    rows: list[ScanRow | FindingRow] = [*scans, *findings]
    for row in rows:
        image = (row.repository, row.image_digest)
        platforms[image] = max(platforms.get(image, ""), row.platform or "")
        read[image] = min(read.get(image, row.read_at), row.read_at)
        if isinstance(row, ScanRow) and row.pushed_at is not None:
            pushed[image] = min(pushed.get(image, row.pushed_at), row.pushed_at)
    return tuple(
        DeploymentRow(
            repository=image[0], environment=LATEST_PUSH, image_digest=image[1], platform=platforms[image],
            since=pushed.get(image, read[image]),
        )
        for image in sorted(read)
    )  # fmt: skip


def _spells(deployments: Iterable[DeploymentRow]) -> dict[tuple[str, str], list[_Spell]]:
    """Return the spells of each (repository, digest); within a stream each ends where the next one begins."""
    streams: dict[tuple[str, str, str], list[DeploymentRow]] = {}
    for row in set(deployments):
        streams.setdefault((row.repository, row.environment, row.platform), []).append(row)
    found: dict[tuple[str, str], list[_Spell]] = {}
    for stream, rows in streams.items():
        rows.sort(key=lambda r: (r.since, r.image_digest))
        ends = [*(r.since for r in rows[1:]), None]
        for row, until in zip(rows, ends, strict=True):
            found.setdefault((row.repository, row.image_digest), []).append(
                _Spell(stream, row.image_digest, row.since, until)
            )
    return found


@attrs.define
class _Case:
    """What the rows say of one vulnerability in one package of one stream."""

    moment: dt.datetime
    digest: str
    severity: str
    suppressed: bool


def remediations(
    scans: Iterable[ScanRow], findings: Iterable[FindingRow], deployments: Iterable[DeploymentRow] | None = None
) -> tuple[Remediation, ...]:
    """Return every vulnerability of every deployment with its state, sorted by repository, environment and id.

    Without `deployments` the latest push of each repository counts; see [`latest_pushes`][ecrkit.scanning.archive].
    A reading from before a deployment counts from the deployment on. Give all rows since before the first finding that
    matters: what is not given was never seen.
    """
    scans, findings = tuple(scans), tuple(findings)
    spells = _spells(latest_pushes(scans, findings) if deployments is None else deployments)
    clock: dict[tuple[str, str, str], dt.datetime] = {}
    scanner: set[tuple[str, str, str]] = set()
    cases: dict[tuple[tuple[str, str, str], str, str], _Case] = {}
    for row in findings:
        name = (row.repository, row.vulnerability_id, row.package)
        start = row.first_observed_at or row.read_at
        clock[name] = min(clock.get(name, start), start)
        if row.first_observed_at is not None:
            scanner.add(name)
        if row.state == "CLOSED":
            continue
        for spell in _current(spells, row):
            moment = max(row.read_at, spell.since)
            key = (spell.stream, row.vulnerability_id, row.package)
            seen = _Case(moment, row.image_digest, row.severity, row.state == "SUPPRESSED")
            before = cases.get(key)
            if before is None or _order(before) < _order(seen):
                cases[key] = seen
    proofs: dict[tuple[str, str, str], list[tuple[dt.datetime, str]]] = {}
    first: dict[str, dt.datetime] = {}
    for scan in scans:
        if scan.closes:
            first[scan.repository] = min(first.get(scan.repository, scan.read_at), scan.read_at)
            for spell in _current(spells, scan):
                proofs.setdefault(spell.stream, []).append((max(scan.read_at, spell.since), scan.image_digest))
    for stream_proofs in proofs.values():
        stream_proofs.sort()
    current = {s.stream: s.digest for found in spells.values() for s in found if s.until is None}
    rows: list[Remediation] = []
    for (stream, vulnerability, package), case in cases.items():
        name = (stream[0], vulnerability, package)
        later = proofs.get(stream, [])
        place = bisect_right(later, case.moment, key=lambda p: p[0])
        proof = later[place] if place < len(later) else None
        state: RemediationState = "open" if current[stream] == case.digest else "unconfirmed"
        rows.append(
            Remediation(
                repository=stream[0], environment=stream[1], platform=stream[2],
                vulnerability_id=vulnerability, package=package, severity=case.severity,
                found_at=clock[name],
                dated=name in scanner or (stream[0] in first and first[stream[0]] < clock[name]),
                last_seen_at=case.moment, last_seen_in=case.digest, suppressed=case.suppressed,
                state="remedied" if proof else state,
                remedied_at=proof[0] if proof else None, remedied_by=proof[1] if proof else None,
            )
        )  # fmt: skip
    return tuple(sorted(rows, key=lambda r: (r.repository, r.environment, r.platform, r.vulnerability_id, r.package)))


def _order(case: _Case) -> tuple[dt.datetime, str, str, bool]:
    return case.moment, case.digest, case.severity, not case.suppressed


def _current(spells: Mapping[tuple[str, str], list[_Spell]], row: ScanRow | FindingRow) -> list[_Spell]:
    """Return the spells that a row speaks of: those of its digest that had not ended when it was read."""
    found = spells.get((row.repository, row.image_digest), ())
    return [s for s in found if s.until is None or row.read_at < s.until]


@attrs.frozen(kw_only=True)
class RemediationTime(Record):
    """The mean time to remediate (MTTR) of one repository, environment and severity.

    `mean` and `longest` are over the remedied ones and None when there are none. `not_remedied` says how many are not:
    a mean without them looks better than the work is.
    """

    repository: str
    environment: str
    severity: str
    remedied: int
    not_remedied: int
    mean: dt.timedelta | None
    longest: dt.timedelta | None


def remediation_times(found: Iterable[Remediation]) -> tuple[RemediationTime, ...]:
    """Return the mean and longest time to remediate for each repository, environment and severity."""
    groups: dict[tuple[str, str, str], list[dt.timedelta | None]] = {}
    for row in found:
        groups.setdefault((row.repository, row.environment, row.severity), []).append(row.took)
    times = []
    for (repository, environment, severity), tooks in sorted(groups.items()):
        done = [t for t in tooks if t is not None]
        times.append(
            RemediationTime(
                repository=repository, environment=environment, severity=severity,
                remedied=len(done), not_remedied=len(tooks) - len(done),
                mean=sum(done, dt.timedelta()) / len(done) if done else None,
                longest=max(done, default=None),
            )
        )  # fmt: skip
    return tuple(times)


def _days(value: Mapping[str, Any]) -> Mapping[str, int]:
    problems = [
        Problem(f"days[{name!r}]", f"must be a whole number of days of at least 1, not {days!r}")
        for name, days in value.items()
        if isinstance(days, bool) or not isinstance(days, int) or days < 1
    ]
    if not value:
        problems.append(Problem("days", "name at least one severity"))
    if problems:
        raise InvalidInput("no deadlines", problems)
    return dict(value)


@attrs.frozen(kw_only=True)
class Deadline(Record):
    """A remediation held against its deadline; `due_at` is None when the state is unknown for want of a deadline."""

    remediation: Remediation
    state: SlaState
    reason: str
    due_at: dt.datetime | None = None

    @property
    def breached(self) -> bool:
        """Whether the deadline was missed: remedied late, or overdue. Unknown is not in time either."""
        return self.state in ("late", "overdue")


@attrs.frozen
class Sla(Record):
    """How many days after it was found a vulnerability of each severity must be remedied.

    A severity that is left out has no deadline, except UNTRIAGED and UNDEFINED: they may be anything, so they are
    `unknown` unless they are given days of their own.

    Example:
        >>> Sla({"CRITICAL": 7, "HIGH": 30}).days["HIGH"]
        30
    """

    days: Mapping[str, int] = attrs.field(converter=_days, hash=False)

    def judge(self, found: Iterable[Remediation], *, now: dt.datetime) -> tuple[Deadline, ...]:
        """Return the deadline of each remediation whose severity has one, and the unknown ones, in their order.

        What is not dated can be older than it seems: it can be late or overdue for certain, but never in time.
        """
        moment = require_aware(now, "now")
        return tuple(d for row in found if (d := self._one(row, moment)) is not None)

    def _one(self, row: Remediation, now: dt.datetime) -> Deadline | None:
        days = self.days.get(row.severity)
        if days is None:
            if row.severity not in UNJUDGED:
                return None
            return Deadline(
                remediation=row, state="unknown", reason=f"{row.severity} has no deadline and no meaning yet"
            )
        due = row.found_at + dt.timedelta(days=days)
        told = f"{row.severity} within {days} days of {row.found_at:%Y-%m-%d}"
        state: SlaState
        if row.remedied_at is not None:
            state = "late" if row.remedied_at > due else "in time"
        else:
            state = "overdue" if now > due else "due"
        if state in ("in time", "due") and not row.dated:
            return Deadline(
                remediation=row,
                state="unknown",
                due_at=due,
                reason=f"{told}, and it may be older than its first reading",
            )
        return Deadline(remediation=row, state=state, due_at=due, reason=told)
