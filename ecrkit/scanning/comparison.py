"""Comparing two reports: what a new image brings in, what it leaves behind, and what only looks fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table
from ecrkit.scanning.findings import Finding, ScanReport
from ecrkit.scanning.waiting import Readiness, readiness

__all__ = ["Change", "Comparison", "compare"]


@attrs.frozen(kw_only=True)
class Change(Record):
    """A vulnerability in both reports with different severities."""

    id: str
    before: tuple[str, ...]
    after: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Comparison(Record):
    """What changed from an old report to a new one.

    By vulnerability: `introduced`, `fixed`, `unchanged`, `changed_severity`. By package, as (vulnerability, package
    name): `packages_introduced` and `packages_fixed`; a vulnerability that stays can reach a further package. What
    the new report lacks counts as fixed only when the new report is ready and every entry of it could be read; else
    it has `vanished`, and nobody knows.
    What the old report lacks counts as introduced in any case.
    """

    old: Readiness
    new: Readiness
    introduced: tuple[Finding, ...] = ()
    fixed: tuple[Finding, ...] = ()
    vanished: tuple[Finding, ...] = ()
    unchanged: tuple[Finding, ...] = ()
    changed_severity: tuple[Change, ...] = ()
    packages_introduced: tuple[tuple[str, str], ...] = ()
    packages_fixed: tuple[tuple[str, str], ...] = ()
    unreadable: int = 0

    @property
    def reliable(self) -> bool:
        """Whether both reports were ready, and the new one could be read as a whole."""
        return self.old.ready and self.new.ready and not self.unreadable

    def explain(self) -> str:
        """Return the comparison in words."""
        lines = [
            (
                f"{len(self.introduced)} introduced, {len(self.fixed)} fixed, {len(self.unchanged)} unchanged, "
                f"{len(self.changed_severity)} with another severity"
            )
        ]
        lines += [f"+ {f}" for f in self.introduced]
        lines += [f"- {f}" for f in self.fixed]
        why = f", and {self.unreadable} entries of it could not be read" if self.unreadable else ""
        lines += [f"? {f}: vanished, and the new scan is {self.new}{why}" for f in self.vanished]
        lines += [f"~ {c.id}: {', '.join(c.before)} -> {', '.join(c.after)}" for c in self.changed_severity]
        if not self.old.ready:
            lines.append(f"the old scan is {self.old}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        groups: Mapping[str, tuple[Finding, ...]] = {
            "introduced": self.introduced, "fixed": self.fixed, "vanished": self.vanished, "unchanged": self.unchanged,
        }  # fmt: skip
        rows: list[tuple[Any, ...]] = [(n, f.severity, f.id, str(f)) for n, fs in groups.items() for f in fs]
        return html_table(("change", "severity", "id", "finding"), rows)

    @override
    def __str__(self) -> str:
        return self.explain().partition("\n")[0]


def compare(old: ScanReport, new: ScanReport) -> Comparison:
    """Return what changed between two reports, of two images or of one at two times.

    Vulnerabilities are compared by id, aliases included: versions of packages differ between images as a rule, and
    a finding's ARN always does.

    Example:
        >>> before = ScanReport(source="basic", status="COMPLETE", counts_told=True,
        ...                     findings=(Finding(id="CVE-1", severity="LOW"), Finding(id="CVE-2", severity="LOW")))
        >>> after = ScanReport(source="basic", status="COMPLETE", counts_told=True,
        ...                    findings=(Finding(id="CVE-2", severity="HIGH"), Finding(id="CVE-3", severity="LOW")))
        >>> print(compare(before, after).explain())
        1 introduced, 1 fixed, 0 unchanged, 1 with another severity
        + LOW CVE-3 in no package named
        - LOW CVE-1 in no package named
        ~ CVE-2: LOW -> HIGH
    """
    old_ready, new_ready = readiness(old), readiness(new)
    # An entry that nobody could read may be the very finding that seems to be gone.
    whole = new_ready.ready and not new.unreadable
    before, after = _names(old), _names(new)
    introduced = tuple(f for f in new.findings if not _in(f, before))
    gone = tuple(f for f in old.findings if not _in(f, after))
    kept = [f for f in new.findings if _in(f, before)]
    old_severities, new_severities = _severities(old), _severities(new)
    changes = {
        f.id: Change(id=f.id, before=old_severities[f.id], after=new_severities[f.id])
        for f in kept
        if f.id in old_severities and old_severities[f.id] != new_severities[f.id]
    }
    old_pairs, new_pairs = _pairs(old), _pairs(new)
    return Comparison(
        old=old_ready,
        new=new_ready,
        introduced=introduced,
        fixed=gone if whole else (),
        vanished=() if whole else gone,
        unchanged=tuple(f for f in kept if f.id not in changes),
        changed_severity=tuple(changes.values()),
        packages_introduced=tuple(sorted(new_pairs - old_pairs)),
        packages_fixed=tuple(sorted(old_pairs - new_pairs)) if whole else (),
        unreadable=new.unreadable,
    )


def _names(report: ScanReport) -> frozenset[str]:
    return frozenset(i for f in report.findings for i in (f.id, *f.related))


def _in(finding: Finding, names: frozenset[str]) -> bool:
    return finding.id in names or any(i in names for i in finding.related)


def _severities(report: ScanReport) -> dict[str, tuple[str, ...]]:
    found: dict[str, set[str]] = {}
    for finding in report.findings:
        found.setdefault(finding.id, set()).add(finding.severity)
    return {k: tuple(sorted(v)) for k, v in found.items()}


def _pairs(report: ScanReport) -> frozenset[tuple[str, str]]:
    return frozenset((f.id, p.name) for f in report.findings for p in f.packages)
