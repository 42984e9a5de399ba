"""Severities: the words ECR uses, which source decides, and what an unknown one counts as."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem

if TYPE_CHECKING:
    from ecrkit.scanning.findings import Finding

__all__ = ["SEVERITIES", "SeverityBasis", "SeverityPolicy", "severity_rank"]

SEVERITIES: Final = ("CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMATIONAL")
"""The severities that say something, worst first. UNTRIAGED, UNDEFINED and every other word do not."""

SeverityBasis = Literal["ecr", "vendor", "score"]
"""Which of a finding's severities decides: the one ECR or Inspector states, the vendor's word, or the score."""

_RANK: Final = {name: rank for rank, name in enumerate(SEVERITIES)}
_VENDOR_WORDS: Final = {
    "critical": "CRITICAL",
    "high": "HIGH",
    "important": "HIGH",
    "medium": "MEDIUM",
    "moderate": "MEDIUM",
    "low": "LOW",
    "minor": "LOW",
    "negligible": "INFORMATIONAL",
    "unimportant": "INFORMATIONAL",
    "informational": "INFORMATIONAL",
    "none": "INFORMATIONAL",
}
_BASES: Final = ("ecr", "vendor", "score")
_TREATMENTS: Final = (*SEVERITIES, "UNDETERMINED")


def severity_rank(severity: str) -> int:
    """Return a sort key, 0 for the worst; unknown severities come between HIGH and MEDIUM, so no list buries them.

    Example:
        >>> sorted(["LOW", "UNTRIAGED", "CRITICAL"], key=severity_rank)
        ['CRITICAL', 'UNTRIAGED', 'LOW']
    """
    return 10 * _RANK[severity] if severity in _RANK else 15


@attrs.frozen(kw_only=True)
class SeverityPolicy(Record):
    """How a finding's severity is read: the basis, and what an unknown severity counts as.

    - `ecr` (default): the severity that ECR or Inspector states. A basic scan takes it from the distribution first
      and from CVSS only when the distribution has none (ECR user guide, basic scanning).
    - `vendor`: the vendor's own word. critical; high, important; medium, moderate; low, minor; and negligible,
      unimportant, informational, none become the five ECR severities; every other word is UNTRIAGED, an absent one
      UNDEFINED.
    - `score`: the score in the ranges of CVSS 3: 9.0, 7.0, 4.0, 0.1. A score of 0.0 of a finding that ECR calls
      UNTRIAGED, or that carries no vector, is UNTRIAGED: nobody rated it. No score is UNDEFINED.

    `untriaged_as` and `undefined_as` name the severity that such a finding counts as, or UNDETERMINED: then a rule
    that such a finding could break has no answer. The default is HIGH. A severity that ecrkit does not know counts
    as `undefined_as`.

    Example:
        >>> from ecrkit.scanning import Finding
        >>> finding = Finding(id="CVE-2021-3744", severity="MEDIUM", vendor_severity="unimportant")
        >>> SeverityPolicy().stated(finding), SeverityPolicy(basis="vendor").stated(finding)
        ('MEDIUM', 'INFORMATIONAL')
    """

    basis: SeverityBasis = "ecr"
    untriaged_as: str = "HIGH"
    undefined_as: str = "HIGH"

    def __attrs_post_init__(self) -> None:
        problems: list[Problem] = []
        if self.basis not in _BASES:
            problems.append(Problem("$.severity_basis", f"must be one of {', '.join(_BASES)}, not {self.basis!r}"))
        for name, value in (("untriaged_as", self.untriaged_as), ("undefined_as", self.undefined_as)):
            if value not in _TREATMENTS:
                problems.append(Problem(f"$.{name}", f"must be one of {', '.join(_TREATMENTS)}, not {value!r}"))
        if problems:
            raise InvalidInput("not a severity policy", problems)

    def stated(self, finding: Finding) -> str:
        """Return the severity that the basis states, UNTRIAGED and UNDEFINED included."""
        if self.basis == "ecr":
            return finding.severity
        if self.basis == "vendor":
            if finding.vendor_severity is None:
                return "UNDEFINED"
            return _VENDOR_WORDS.get(finding.vendor_severity.strip().lower(), "UNTRIAGED")
        return _of_score(finding)

    def counted(self, finding: Finding) -> str | None:
        """Return the severity that the finding counts as, or None when that is undetermined."""
        stated = self.stated(finding)
        if stated in _RANK:
            return stated
        treated = self.untriaged_as if stated == "UNTRIAGED" else self.undefined_as
        return None if treated == "UNDETERMINED" else treated

    def unknown(self, finding: Finding) -> bool:
        """Return whether the basis states no severity that says something."""
        return self.stated(finding) not in _RANK


def _of_score(finding: Finding) -> str:
    score = finding.score
    if score is None:
        return "UNDEFINED"
    if score >= 9.0:
        return "CRITICAL"
    if score >= 7.0:
        return "HIGH"
    if score >= 4.0:
        return "MEDIUM"
    if score > 0.0:
        return "LOW"
    return "UNTRIAGED" if finding.severity == "UNTRIAGED" or finding.vector is None else "INFORMATIONAL"
