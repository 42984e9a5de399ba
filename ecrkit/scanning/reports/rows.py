"""The rows that all formats share: one per finding and platform, with what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame
from ecrkit.scanning.findings import Finding
from ecrkit.scanning.severity import SeverityBasis, SeverityPolicy
from ecrkit.scanning.verdict import Reason, Verdict

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FindingRow", "rows", "scan_reasons", "to_columns", "to_pandas"]

RowState = Literal["blocking", "undetermined", "counted", "in grace", "suppressed"]


@attrs.frozen(kw_only=True)
class FindingRow(Record):
    """One finding of one platform image, and what became of it.

    `state` is `blocking` (a reason of a failed rule names it), `undetermined` (a rule cannot be told because of it),
    `counted`, `in grace`, or `suppressed`; `why` says it in words. `severity` is the one of the verdict's basis, so
    that no table contradicts the verdict; `beside` is what another source says, where it says something else.
    """

    finding: Finding
    severity: str
    beside: str = ""
    state: RowState
    why: str = ""
    rules: tuple[str, ...] = ()
    remedy: str = ""
    platform: str | None = None
    digest: str | None = None
    repository: str | None = None
    kinds: tuple[str, ...] = ()


def rows(verdict: Verdict) -> tuple[FindingRow, ...]:
    """Return one row per finding of every platform image: those that count first, then grace, then suppressed."""
    return tuple(row for part in verdict.parts or (verdict,) for row in _part(part))


def _part(verdict: Verdict) -> Iterator[FindingRow]:
    place: dict[str, Any] = {
        "platform": verdict.platform, "digest": verdict.digest, "repository": verdict.repository,
    }  # fmt: skip
    policy = SeverityPolicy(basis=verdict.basis)

    def severity(finding: Finding) -> dict[str, Any]:
        stated = policy.stated(finding)
        return {"severity": stated, "beside": _beside(finding, verdict.basis, stated)}

    by_finding: dict[int, list[Reason]] = {}
    for reason in verdict.reasons:
        if reason.finding is not None:
            by_finding.setdefault(id(reason.finding), []).append(reason)
    for finding in verdict.findings:
        reasons = by_finding.get(id(finding), [])
        failed = any(r.outcome == "fail" for r in reasons)
        yield FindingRow(
            finding=finding,
            **severity(finding),
            state="blocking" if failed else "undetermined" if reasons else "counted",
            why="; ".join(dict.fromkeys(f"{r.rule}: {r.because}" for r in reasons)),
            rules=tuple(r.rule for r in reasons),
            remedy="; ".join(dict.fromkeys(r.would_change for r in reasons)),
            **place,
        )
    for entry in verdict.in_grace:
        reasons = by_finding.get(id(entry.finding), [])
        why = f"in its period of grace until {entry.until:%Y-%m-%d}"
        failed = any(r.outcome == "fail" for r in reasons)
        yield FindingRow(
            finding=entry.finding,
            **severity(entry.finding),
            state="blocking" if failed else "undetermined" if reasons else "in grace",
            why="; ".join([why, *dict.fromkeys(f"{r.rule}: {r.because}" for r in reasons)]),
            rules=tuple(r.rule for r in reasons),
            **place,
        )
    for hidden in verdict.suppressed:
        yield FindingRow(
            finding=hidden.finding,
            **severity(hidden.finding),
            state="suppressed",
            why="; ".join(hidden.by),
            kinds=hidden.kinds,
            **place,
        )


def _beside(finding: Finding, basis: SeverityBasis, stated: str) -> str:
    vendor = finding.vendor_severity
    if basis != "ecr":
        return f"ecr: {finding.severity}" if finding.severity != stated else ""
    return f"vendor: {vendor}" if vendor and vendor.upper() != stated else ""


def scan_reasons(verdict: Verdict) -> tuple[Reason, ...]:
    """Return the reasons that are about the scan as a whole and not about one finding."""
    return tuple(r for r in verdict.reasons if r.finding is None)


_COLUMNS = (
    "repository", "digest", "platform", "state", "severity", "ecr_severity", "vendor_severity", "id", "package",
    "installed", "fixed_in", "path", "score",
    "epss", "known_exploited", "exploit_available", "first_observed", "rules", "why",
)  # fmt: skip


def to_columns(verdict: Verdict) -> dict[str, list[Any]]:
    """Return one row per vulnerable package as columns, suppressed findings included."""
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    for row in rows(verdict):
        f = row.finding
        for p in f.packages or (None,):
            values = (
                row.repository, row.digest, row.platform, row.state, row.severity, f.severity, f.vendor_severity, f.id,
                p and p.name,
                p and p.installed, p and p.fixed_in, p and p.path, f.score, f.epss, f.known_exploited,
                f.exploit_available, f.first_observed, ", ".join(row.rules), row.why,
            )  # fmt: skip
            for name, value in zip(_COLUMNS, values, strict=True):
                columns[name].append(value)
    return columns


def to_pandas(verdict: Verdict) -> pd.DataFrame:
    """Return the columns as a pandas frame.

    Raises:
        MissingExtra: pandas is not installed.
    """
    return frame(to_columns(verdict))
