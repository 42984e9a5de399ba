"""Verdicts: pass, fail or undetermined, with every reason and what would change it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record, jsonable
from ecrkit._internal.tables import html_table
from ecrkit.errors import GateRefused
from ecrkit.scanning.exemptions import ExemptionReport
from ecrkit.scanning.findings import Dropped, Finding, ScanSource
from ecrkit.scanning.rules import Outcome, RuleResult
from ecrkit.scanning.severity import SeverityBasis
from ecrkit.scanning.vex import VexReport
from ecrkit.scanning.waiting import Readiness

__all__ = ["InGrace", "Reason", "Suppressed", "Verdict"]

_EXIT_CODES: Final = {"pass": 0, "fail": 1, "undetermined": 3}
_NO_RESULT_YET: Final = 75
"""EX_TEMPFAIL of sysexits.h: try again later."""


@attrs.frozen(kw_only=True)
class Suppressed(Record):
    """A finding that does not count, and why: exemptions, VEX statements, or both, one for each of its packages."""

    finding: Finding
    by: tuple[str, ...]
    kinds: tuple[Literal["exemption", "vex"], ...]
    until: dt.date | None = None


@attrs.frozen(kw_only=True)
class InGrace(Record):
    """A finding that does not count yet: its period of grace runs until `until`."""

    finding: Finding
    until: dt.datetime


@attrs.frozen(kw_only=True)
class Reason(Record):
    """Why a verdict is no pass: the rule, its limit, the finding (None: the scan as a whole), what would change it.

    `text` is a whole sentence; `because` is the part of it that does not repeat the finding.
    """

    rule: str
    outcome: Outcome
    text: str
    would_change: str
    because: str = ""
    limit: int | None = None
    finding: Finding | None = None
    platform: str | None = None

    @override
    def __str__(self) -> str:
        where = f" [{self.platform}]" if self.platform else ""
        return f"{self.rule}{where}: {self.text}; {self.would_change}"


@attrs.frozen(kw_only=True)
class Verdict(Record):
    """What a gate says of one image: of one platform, or of an index with one part for every platform.

    `basis` is the severity that decided. `findings` are the ones that count, worst first; `suppressed` and
    `in_grace` the ones that do not, with the reason of each. `counts` counts `findings` by the basis. `exit_code` is
    0 for a pass, 1 for a fail, 3 for undetermined, 75 when there is no result yet and asking later may help.
    """

    outcome: Outcome
    readiness: Readiness
    basis: SeverityBasis
    judged_at: dt.datetime
    repository: str | None = None
    digest: str | None = None
    platform: str | None = None
    profile: str | None = None
    source: ScanSource = "none"
    scanned_at: dt.datetime | None = None
    data_updated_at: dt.datetime | None = None
    rules: tuple[RuleResult, ...] = ()
    reasons: tuple[Reason, ...] = ()
    counts: Mapping[str, int] = attrs.field(factory=dict, hash=False)
    findings: tuple[Finding, ...] = ()
    suppressed: tuple[Suppressed, ...] = ()
    in_grace: tuple[InGrace, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    accepted: tuple[str, ...] = ()
    exemptions: ExemptionReport | None = None
    vex: VexReport | None = None
    parts: tuple[Verdict, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the image may go on; undetermined is a no."""
        return self.outcome == "pass"

    @property
    def exit_code(self) -> int:
        """The exit code for a CI job: 0 pass, 1 fail, 3 undetermined, 75 no result yet."""
        if self.outcome == "undetermined" and self.readiness.state in ("pending", "missing"):
            return _NO_RESULT_YET
        return _EXIT_CODES[self.outcome]

    def require(self) -> None:
        """Return when the verdict is a pass; else raise.

        Undetermined is refused like a fail: what nobody knows is no pass.

        Raises:
            GateRefused: the verdict is fail or undetermined; its `verdict` is this one, its text is `explain()`.

        Example:
            >>> from ecrkit.errors import GateRefused
            >>> from ecrkit.scanning import Gate, ScanReport, count_limit
            >>> now = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
            >>> unscanned = Gate(count_limit("CRITICAL", 0)).judge(ScanReport.not_found(repository="team/app"), now=now)
            >>> try:
            ...     unscanned.require()
            ... except GateRefused as fault:
            ...     print(fault.verdict.outcome)
            undetermined
        """
        if not self.passed:
            raise GateRefused(self.explain(), verdict=self)

    @property
    def image(self) -> str:
        """The image in one text, `repository@digest`, with its platform when it has one."""
        name = f"{self.repository or 'image'}@{self.digest or 'unknown digest'}"
        return f"{name} ({self.platform})" if self.platform else name

    def explain(self) -> str:
        """Return the verdict in words: what was decided on what, and every reason with what would change it."""
        scanned = f"scanned {self.scanned_at:%Y-%m-%d %H:%M} UTC" if self.scanned_at else "scan time unknown"
        profile = f", profile {self.profile}" if self.profile else ""
        lines = [f"{self.outcome.upper()}: {self.image} ({scanned}, severity by {self.basis}{profile})"]
        lines += [f"- {reason}" for reason in self.reasons]
        if self.suppressed:
            lines.append(f"{len(self.suppressed)} findings do not count:")
            lines += [f"- {s.finding.id}: {'; '.join(s.by)}" for s in self.suppressed]
        if self.in_grace:
            lines.append(f"{len(self.in_grace)} findings are in their period of grace:")
            lines += [f"- {g.finding.id} until {g.until:%Y-%m-%d}" for g in self.in_grace]
        lines += [f"accepted: {note}" for note in self.accepted]
        return "\n".join(lines)

    @override
    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; rules name their findings by id, so nothing is said twice."""
        body: dict[str, Any] = {"format": "ecrkit.verdict/1", "passed": self.passed, "exit_code": self.exit_code}
        for field in attrs.fields(type(self)):
            if field.name not in ("rules", "parts"):
                body[field.name] = jsonable(getattr(self, field.name))
        body["rules"] = [_rule(r) for r in self.rules]
        body["parts"] = [p.to_dict() for p in self.parts]
        return body

    def _repr_html_(self) -> str:
        rows = [(r.rule, r.outcome, r.finding.id if r.finding else "", r.text, r.would_change) for r in self.reasons]
        return html_table(
            ("rule", "outcome", "finding", "why", "what would change it"),
            rows,
            caption=f"{self.outcome.upper()}: {self.image}",
        )

    @override
    def __str__(self) -> str:
        counts = ", ".join(f"{k} {v}" for k, v in self.counts.items()) or "no findings"
        return f"{self.outcome.upper()} {self.image}: {counts}"


def _rule(result: RuleResult) -> dict[str, Any]:
    return {
        "rule": result.rule,
        "outcome": result.outcome,
        "text": result.text,
        "limit": result.limit,
        "accepted": result.accepted,
        "unreadable": result.unreadable,
        "offending": [f.id for f in result.offending],
        "undecided": [{"id": f.id, "because": why} for f, why in result.undecided],
        "parts": [_rule(p) for p in result.parts],
    }
