"""Rules: limits on how many findings may meet a condition, and their combinations."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.scanning import conditions as c
from ecrkit.scanning.findings import Finding

__all__ = [
    "AllOf",
    "AnyOf",
    "Limit",
    "Outcome",
    "Rule",
    "RuleResult",
    "all_of",
    "any_of",
    "best",
    "count_limit",
    "deny_exploit_available",
    "deny_fixable",
    "deny_known_exploited",
    "deny_packages",
    "deny_vulnerabilities",
    "epss_below",
    "new_findings_limit",
    "score_below",
    "sla",
    "unknown_limit",
    "worst",
]

Outcome = Literal["pass", "fail", "undetermined"]


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the worst outcome: fail, then undetermined, then pass (also of nothing)."""
    found = set(outcomes)
    return "fail" if "fail" in found else "undetermined" if "undetermined" in found else "pass"


def best(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the best outcome: pass, then undetermined, then fail (also of nothing)."""
    found = set(outcomes)
    return "pass" if "pass" in found else "undetermined" if "undetermined" in found else "fail"


@attrs.frozen(kw_only=True)
class RuleResult(Record):
    """What one rule said: the outcome, the limit, how many findings met the condition and how many might.

    `offending` are the findings that meet it, `undecided` those the source cannot tell about with the reason of
    each. `accepted` is True when the gate names this rule among those whose undetermined answer it takes for a pass.
    """

    rule: str
    outcome: Outcome
    text: str
    limit: int | None = None
    offending: tuple[Finding, ...] = ()
    undecided: tuple[tuple[Finding, str], ...] = ()
    unreadable: int = 0
    accepted: bool = False
    parts: tuple[RuleResult, ...] = ()


class Rule(Protocol):
    """Something that judges findings; pure."""

    @property
    def name(self) -> str:
        """The name by which verdicts and settings speak of the rule."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the name of the rule and of every rule in it."""
        ...

    def judge(
        self, findings: Sequence[Finding], in_grace: Sequence[Finding], view: c.View, accepted: frozenset[str]
    ) -> RuleResult:
        """Return the result for the findings that count; `in_grace` are those a period of grace excuses."""
        ...


@attrs.frozen(kw_only=True)
class Limit:
    """At most so many findings may meet the condition; 0 means none.

    There is no special number for "no limit": leave the rule out. A finding about which the source cannot tell is
    counted on top: when the limit holds even with all of those, the rule passes, else it is undetermined.
    `ignores_grace` makes it count findings that are in their period of grace too. `counts_unreadable` counts the
    entries of the answer that could not be read.
    """

    name: str
    at_most: int = attrs.field(validator=attrs.validators.ge(0))
    when: c.Condition
    ignores_grace: bool = False
    counts_unreadable: bool = False

    def names(self) -> tuple[str, ...]:
        """Return the name of the rule."""
        return (self.name,)

    def judge(
        self, findings: Sequence[Finding], in_grace: Sequence[Finding], view: c.View, accepted: frozenset[str]
    ) -> RuleResult:
        """Return the result of counting the findings that meet the condition."""
        offending: list[Finding] = []
        undecided: list[tuple[Finding, str]] = []
        for group in (findings, in_grace) if self.ignores_grace else (findings,):
            for finding in group:
                answer = self.when.holds(finding, view)
                if answer:
                    offending.append(finding)
                elif answer is None:
                    undecided.append((finding, self.when.unknown_because(finding, view)))
        unreadable = view.report.unreadable if self.counts_unreadable else 0
        count = len(offending) + unreadable
        allowed = "none" if self.at_most == 0 else f"at most {self.at_most}"
        said = f"{count} finding{'' if count == 1 else 's'} {self.when.describe()}, {allowed} allowed"
        outcome: Outcome = "pass"
        if count > self.at_most:
            outcome = "fail"
        elif count + len(undecided) > self.at_most:
            outcome = "undetermined"
            said += f"; {len(undecided)} more cannot be told: {undecided[0][1]}"
        taken = outcome == "undetermined" and self.name in accepted
        return RuleResult(
            rule=self.name,
            outcome="pass" if taken else outcome,
            text=said + ("; accepted by name" if taken else ""),
            limit=self.at_most,
            offending=tuple(offending),
            undecided=tuple(undecided),
            unreadable=unreadable,
            accepted=taken,
        )


def _rules(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(rules)


def _some(_: object, __: object, value: tuple[Rule, ...]) -> None:
    # An empty gate would let everything through, and an empty choice nothing: neither is ever meant.
    if not value:
        raise InvalidInput("no rules", [Problem("$.rules", "name at least one rule; without rules nothing is checked")])


@attrs.frozen(kw_only=True)
class AllOf:
    """Every rule must pass; the outcome is the worst one."""

    rules: tuple[Rule, ...] = attrs.field(converter=_rules, validator=_some)
    name: str = "all-of"

    def names(self) -> tuple[str, ...]:
        """Return the name of the rule and of every rule in it."""
        return (self.name, *(n for r in self.rules for n in r.names()))

    def judge(
        self, findings: Sequence[Finding], in_grace: Sequence[Finding], view: c.View, accepted: frozenset[str]
    ) -> RuleResult:
        """Return the worst of the results."""
        parts = tuple(r.judge(findings, in_grace, view, accepted) for r in self.rules)
        bad = sum(p.outcome != "pass" for p in parts)
        return _combined(
            self.name, worst(p.outcome for p in parts), f"{bad} of {len(parts)} rules not met", parts, accepted
        )


@attrs.frozen(kw_only=True)
class AnyOf:
    """One rule that passes is enough; the outcome is the best one."""

    rules: tuple[Rule, ...] = attrs.field(converter=_rules, validator=_some)
    name: str = "any-of"

    def names(self) -> tuple[str, ...]:
        """Return the name of the rule and of every rule in it."""
        return (self.name, *(n for r in self.rules for n in r.names()))

    def judge(
        self, findings: Sequence[Finding], in_grace: Sequence[Finding], view: c.View, accepted: frozenset[str]
    ) -> RuleResult:
        """Return the best of the results."""
        parts = tuple(r.judge(findings, in_grace, view, accepted) for r in self.rules)
        outcome = best(p.outcome for p in parts)
        met = sum(p.outcome == "pass" for p in parts)
        return _combined(self.name, outcome, f"{met} of {len(parts)} rules met, one is enough", parts, accepted)


def _combined(
    name: str, outcome: Outcome, text: str, parts: tuple[RuleResult, ...], accepted: frozenset[str]
) -> RuleResult:
    taken = outcome == "undetermined" and name in accepted
    return RuleResult(rule=name, outcome="pass" if taken else outcome, text=text, accepted=taken, parts=parts)


def all_of(*rules: Rule, name: str = "all-of") -> AllOf:
    """Return a rule that passes when all pass.

    Raises:
        InvalidInput: no rule is given.
    """
    return AllOf(rules=rules, name=name)


def any_of(*rules: Rule, name: str = "any-of") -> AnyOf:
    """Return a rule that passes when at least one passes.

    Raises:
        InvalidInput: no rule is given.
    """
    return AnyOf(rules=rules, name=name)


def _with(first: c.Condition, *others: c.Condition | None) -> c.Condition:
    more = [o for o in others if o is not None]
    return c.Both([first, *more]) if more else first


def count_limit(severity: str, at_most: int, *, fixable_only: bool = False, name: str | None = None) -> Limit:
    """Return the rule that at most `at_most` findings are of the severity; 0 means none.

    Example:
        >>> count_limit("CRITICAL", 0).name, count_limit("HIGH", 5, fixable_only=True).name
        ('critical', 'high-fixable')
    """
    when = _with(c.SeverityIs(severity), c.FixAvailable() if fixable_only else None)
    return Limit(name=name or severity.lower() + ("-fixable" if fixable_only else ""), at_most=at_most, when=when)


def deny_fixable(severity: str = "HIGH", *, at_most: int = 0, name: str = "fixable") -> Limit:
    """Return the rule that nothing of this severity or worse has a fix: update what can be updated."""
    return Limit(name=name, at_most=at_most, when=c.Both([c.SeverityAtLeast(severity), c.FixAvailable()]))


def deny_exploit_available(severity: str | None = None, *, at_most: int = 0, name: str = "exploit-available") -> Limit:
    """Return the rule that nothing has a known exploit, or nothing of this severity or worse."""
    return Limit(
        name=name,
        at_most=at_most,
        when=_with(c.ExploitAvailable(), c.SeverityAtLeast(severity) if severity else None),
    )


def deny_known_exploited(*, at_most: int = 0, name: str = "known-exploited") -> Limit:
    """Return the rule that nothing is known to be exploited; a period of grace does not excuse it."""
    return Limit(name=name, at_most=at_most, when=c.IsKnownExploited(), ignores_grace=True)


def epss_below(score: float, *, at_most: int = 0, name: str = "epss") -> Limit:
    """Return the rule that no EPSS score reaches `score`."""
    return Limit(name=name, at_most=at_most, when=c.EpssAtLeast(score))


def score_below(score: float, *, at_most: int = 0, name: str = "score") -> Limit:
    """Return the rule that no score reaches `score`."""
    return Limit(name=name, at_most=at_most, when=c.ScoreAtLeast(score))


def deny_vulnerabilities(*ids: str, name: str = "denied-vulnerabilities") -> Limit:
    """Return the rule that none of the named vulnerabilities is there; a period of grace does not excuse it."""
    return Limit(name=name, at_most=0, when=c.VulnerabilityIn(ids), ignores_grace=True)


def deny_packages(*names: str, name: str = "denied-packages") -> Limit:
    """Return the rule that no finding is in one of the named packages; a period of grace does not excuse it."""
    return Limit(name=name, at_most=0, when=c.PackageIn(names), ignores_grace=True)


def sla(
    severity: str,
    days: int,
    *,
    since: Literal["first_observed", "published"] = "first_observed",
    at_most: int = 0,
    name: str | None = None,
) -> Limit:
    """Return the rule that nothing of exactly this severity is older than `days`."""
    return Limit(
        name=name or f"sla-{severity.lower()}",
        at_most=at_most,
        when=c.Both([c.SeverityIs(severity), c.OlderThan(days, since)]),
    )


def new_findings_limit(
    at_most: int = 0,
    *,
    severity: str | None = None,
    by: Literal["package", "id"] = "package",
    without_baseline: Literal["undetermined", "new", "old"] = "undetermined",
    name: str = "new",
) -> Limit:
    """Return the rule that at most so many findings are new against the baseline image."""
    new = c.NewAgainstBaseline(by, without_baseline)
    return Limit(name=name, at_most=at_most, when=_with(new, c.SeverityAtLeast(severity) if severity else None))


def unknown_limit(at_most: int, *, name: str = "unknown") -> Limit:
    """Return the rule on the size of what is unknown: findings without a severity, and entries nobody could read."""
    return Limit(name=name, at_most=at_most, when=c.SeverityUnknown(), counts_unreadable=True)
