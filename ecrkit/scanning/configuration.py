"""The registry's scanning configuration: what is scanned when, which repositories no rule covers, plan and apply.

Source: ECR API reference, PutRegistryScanningConfiguration and RegistryScanningRule; ECR user guide, image scanning.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self

import attrs
from typing_extensions import override

from ecrkit._internal.globs import matches
from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit.errors import InvalidPolicy, PlanOutdated, PlanRefused, Problem
from ecrkit.ports import ScanningConfigurationStore
from ecrkit.scanning._documents import Checker

__all__ = [
    "Coverage",
    "ScanRule",
    "ScanningConfiguration",
    "ScanningPlan",
    "apply",
    "filter_matches",
    "filter_problem",
    "plan",
]

_WHAT: Final = "not a registry scanning configuration"
_FREQUENCIES: Final = {
    "BASIC": ("SCAN_ON_PUSH", "MANUAL"),
    "ENHANCED": ("CONTINUOUS_SCAN", "SCAN_ON_PUSH"),
}
_MOST_RULES: Final = 2
_MOST_FILTERS: Final = 100
Frequency = Literal["CONTINUOUS_SCAN", "SCAN_ON_PUSH", "MANUAL", "NONE"]
"""How a repository is scanned; NONE: not at all, not even by hand."""


def filter_problem(text: str) -> str | None:
    """Return what is wrong with a repository filter, or None: 1 to 255 characters in ECR's own pattern.

    Example:
        >>> filter_problem("prod-*"), filter_problem("Prod")
        (None, "must be lower-case letters, digits, '*', and single '.', '_', '-', '/' between them")
    """
    if not 1 <= len(text) <= 255:
        return f"must have 1 to 255 characters, not {len(text)}"
    # The pattern backtracks badly on long runs that do not match, so the alphabet and the separators are checked apart.
    if re.search(r"[^a-z0-9*._\-/]", text) or re.search(r"[._\-/]{2}|^[._\-/]|[._\-/]$", text):
        return "must be lower-case letters, digits, '*', and single '.', '_', '-', '/' between them"
    return None


def filter_matches(pattern: str, repository: str) -> bool:
    """Return whether a filter selects a repository: without `*` anything that contains it, else the whole name.

    Example:
        >>> filter_matches("prod", "team/prod-app"), filter_matches("prod*", "team/prod-app")
        (True, False)
    """
    return matches(pattern, repository) if "*" in pattern else pattern in repository


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class ScanRule(Record):
    """One rule: how often, and the filters of the repositories it is for."""

    frequency: str
    filters: tuple[str, ...] = attrs.field(converter=_texts)

    def selects(self, repository: str) -> bool:
        """Return whether any filter selects the repository."""
        return any(filter_matches(f, repository) for f in self.filters)


def _rules(values: Iterable[ScanRule]) -> tuple[ScanRule, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Coverage(Record):
    """What a configuration means for repositories: how each is scanned, and which filters select nothing."""

    frequencies: Mapping[str, str] = attrs.field(hash=False)
    idle_filters: tuple[str, ...] = ()
    needless_settings: tuple[str, ...] = ()

    @property
    def uncovered(self) -> tuple[str, ...]:
        """The repositories that nothing scans by itself: no rule is for them."""
        return tuple(sorted(n for n, f in self.frequencies.items() if f in ("NONE", "MANUAL")))


@attrs.frozen(kw_only=True)
class ScanningConfiguration(Record):
    """A registry's scan type and rules, checked as ECR documents them.

    Named constructors `basic` and `enhanced` build one. A registry has one scan type, so no repository can have a
    basic and an enhanced scan at once.

    Example:
        >>> configuration = ScanningConfiguration.enhanced(continuous=["prod*"], on_push=["*"])
        >>> configuration.frequency("prod-app"), configuration.frequency("dev-app")
        ('CONTINUOUS_SCAN', 'SCAN_ON_PUSH')
    """

    scan_type: str
    rules: tuple[ScanRule, ...] = attrs.field(default=(), converter=_rules)

    def __attrs_post_init__(self) -> None:
        problems = list(self._faults())
        if problems:
            raise InvalidPolicy(_WHAT, problems)

    def _faults(self) -> Iterable[Problem]:
        allowed = _FREQUENCIES.get(self.scan_type)
        if allowed is None:
            yield Problem("$.scanType", f"must be BASIC or ENHANCED, not {self.scan_type!r:.40}")
        if len(self.rules) > _MOST_RULES:
            yield Problem("$.rules", f"there are at most {_MOST_RULES} rules, not {len(self.rules)}")
        for number, rule in enumerate(self.rules):
            path = f"$.rules[{number}]"
            if allowed is not None and rule.frequency not in allowed:
                why = " (continuous scanning is a mode of ENHANCED)" if rule.frequency == "CONTINUOUS_SCAN" else ""
                yield Problem(
                    f"{path}.scanFrequency",
                    f"under {self.scan_type} it must be one of {', '.join(allowed)}, not {rule.frequency!r:.40}{why}",
                )
            if len(rule.filters) > _MOST_FILTERS:
                yield Problem(
                    f"{path}.repositoryFilters", f"a rule has at most {_MOST_FILTERS} filters, not {len(rule.filters)}"
                )
            for position, text in enumerate(rule.filters):
                fault = filter_problem(text)
                if fault is not None:
                    yield Problem(f"{path}.repositoryFilters[{position}].filter", f"{text!r:.80} {fault}")
            if len(set(rule.filters)) != len(rule.filters):
                yield Problem(f"{path}.repositoryFilters", "a filter is listed twice")

    @classmethod
    def basic(cls, *, on_push: Iterable[str] = ()) -> Self:
        """Return basic scanning: on push for what the filters select, by hand for everything else."""
        filters = tuple(on_push)
        return cls(scan_type="BASIC", rules=[ScanRule(frequency="SCAN_ON_PUSH", filters=filters)] if filters else [])

    @classmethod
    def enhanced(cls, *, continuous: Iterable[str] = (), on_push: Iterable[str] = ()) -> Self:
        """Return enhanced scanning; a repository that no filter selects is not scanned at all."""
        pairs = (("CONTINUOUS_SCAN", tuple(continuous)), ("SCAN_ON_PUSH", tuple(on_push)))
        return cls(scan_type="ENHANCED", rules=[ScanRule(frequency=f, filters=t) for f, t in pairs if t])

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> Self:
        """Return the configuration of GetRegistryScanningConfiguration, or of its `scanningConfiguration` member.

        Raises:
            InvalidPolicy: it is none, or it breaks a rule.
        """
        check = Checker(_WHAT)
        body = check.mapping(raw.get("scanningConfiguration", raw), "$")
        scan_type = check.text(body, "scanType", "$", required=True)
        rules: list[ScanRule] = []
        for number, entry in enumerate(check.items(body.get("rules"), "$.rules")):
            path = f"$.rules[{number}]"
            rule = check.mapping(entry, path)
            filters: list[str] = []
            for position, item in enumerate(check.items(rule.get("repositoryFilters"), f"{path}.repositoryFilters")):
                here = f"{path}.repositoryFilters[{position}]"
                part = check.mapping(item, here)
                if part.get("filterType", "WILDCARD") != "WILDCARD":
                    check.problem(f"{here}.filterType", f"must be WILDCARD, not {part.get('filterType')!r:.40}")
                filters.append(check.text(part, "filter", here, required=True) or "*")
            frequency = check.text(rule, "scanFrequency", path, required=True) or ""
            rules.append(ScanRule(frequency=frequency, filters=filters))
        check.check()
        return cls(scan_type=scan_type or "", rules=rules)

    def to_api(self) -> dict[str, Any]:
        """Return the arguments of PutRegistryScanningConfiguration."""
        return {
            "scanType": self.scan_type,
            "rules": [
                {
                    "scanFrequency": r.frequency,
                    "repositoryFilters": [{"filter": f, "filterType": "WILDCARD"} for f in r.filters],
                }
                for r in self.rules
            ],
        }

    def frequency(self, repository: str) -> Frequency:
        """Return how the repository is scanned; continuous beats on push when both select it.

        What no rule selects is MANUAL under BASIC, and NONE under ENHANCED, where scans by hand are not supported.
        """
        selected = {r.frequency for r in self.rules if r.selects(repository)}
        if "CONTINUOUS_SCAN" in selected:
            return "CONTINUOUS_SCAN"
        if "SCAN_ON_PUSH" in selected:
            return "SCAN_ON_PUSH"
        return "NONE" if self.scan_type == "ENHANCED" else "MANUAL"

    def coverage(self, repositories: Iterable[str], *, scan_on_push: Iterable[str] = ()) -> Coverage:
        """Return what the configuration means for the repositories.

        `scan_on_push` names the repositories whose own, deprecated setting is on: under BASIC it still scans them,
        under ENHANCED it does nothing. A repository with the setting off that a rule covers is scanned.
        """
        names = tuple(repositories)
        own = set(scan_on_push)
        frequencies: dict[str, str] = {n: self.frequency(n) for n in names}
        for name in own & set(names):
            if frequencies[name] == "MANUAL":
                frequencies[name] = "SCAN_ON_PUSH"
        idle = {f for r in self.rules for f in r.filters if not any(filter_matches(f, n) for n in names)}
        return Coverage(
            frequencies=frequencies,
            idle_filters=tuple(sorted(idle)),
            needless_settings=tuple(sorted(own & set(names))) if self.scan_type == "ENHANCED" else (),
        )

    @override
    def __str__(self) -> str:
        rules = "; ".join(f"{r.frequency} for {', '.join(r.filters)}" for r in self.rules) or "no rules"
        return f"{self.scan_type}: {rules}"


@attrs.frozen(kw_only=True)
class ScanningPlan(Record):
    """A change of the scanning configuration, computed before anything is written.

    `changes` maps each repository whose frequency changes to (before, after); `losing` are those that are scanned
    by themselves now and would not be any more.
    """

    current: ScanningConfiguration
    wanted: ScanningConfiguration
    seen: str = attrs.field(repr=False)
    changes: Mapping[str, tuple[str, str]] = attrs.field(factory=dict, hash=False)
    losing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether there is anything to change."""
        return self.current != self.wanted

    def explain(self) -> str:
        """Return the change in words."""
        if not self.needed:
            return "nothing to change"
        lines = [f"from {self.current}", f"to   {self.wanted}"]
        lines += [f"- {name}: {a} -> {b}" for name, (a, b) in sorted(self.changes.items())]
        lines += [f"warning: {w}" for w in self.warnings]
        return "\n".join(lines)


def plan(
    store: ScanningConfigurationStore,
    wanted: ScanningConfiguration,
    repositories: Iterable[str],
    *,
    scan_on_push: Iterable[str] = (),
) -> ScanningPlan:
    """Return what putting `wanted` would change for the repositories. Reads, and writes nothing.

    `scan_on_push` names the repositories whose own, deprecated setting is on (`scan_on_push` of the repository): under
    BASIC that scans them without a rule, under ENHANCED it does nothing, so a change can take their scans away.

    Raises:
        PlanRefused: the present configuration has members that ecrkit does not know; rewriting it would drop them.
        InvalidPolicy: the present configuration breaks a rule.
    """
    raw = store.scanning_configuration()
    current = ScanningConfiguration.from_api(raw)
    unknown = _unknown(raw)
    if unknown:
        raise PlanRefused(
            "the scanning configuration has members that ecrkit does not know; rewriting it would drop them",
            conflicts=unknown,
        )
    names = tuple(repositories)
    own = tuple(scan_on_push)
    before = current.coverage(names, scan_on_push=own).frequencies
    coming = wanted.coverage(names, scan_on_push=own)
    pairs = {n: (before[n], coming.frequencies[n]) for n in names}
    changes = {n: p for n, p in pairs.items() if p[0] != p[1]}
    losing = tuple(
        sorted(n for n, (a, b) in changes.items() if a.endswith(("SCAN", "PUSH")) and b in ("NONE", "MANUAL"))
    )
    warnings: list[str] = []
    if current.scan_type != wanted.scan_type:
        warnings.append(
            f"the findings of {current.scan_type} scans cannot be read until the scan type is switched back"
        )
    if losing:
        warnings.append(
            f"{len(losing)} repositories would not be scanned by themselves any more: {', '.join(losing[:5])}"
        )
    if wanted.scan_type == "ENHANCED" and coming.uncovered:
        warnings.append("a repository that no rule selects is not scanned at all under ENHANCED")
    warnings += [f"the filter {f!r} selects no repository" for f in coming.idle_filters]
    return ScanningPlan(
        current=current,
        wanted=wanted,
        seen=canonical_json(raw.get("scanningConfiguration", raw)),
        changes=changes,
        losing=losing,
        warnings=tuple(warnings),
    )


def apply(plan: ScanningPlan, store: ScanningConfigurationStore, *, allow_loss: bool = False) -> bool:
    """Put the planned configuration and return whether anything was written.

    Reads the configuration again first.

    Raises:
        PlanOutdated: the configuration has changed since the plan was made; nothing was written.
        PlanRefused: repositories would lose their scans and `allow_loss` is not given; nothing was written.
    """
    raw = store.scanning_configuration()
    now = canonical_json(raw.get("scanningConfiguration", raw))
    if now != plan.seen:
        raise PlanOutdated("the scanning configuration has changed since the plan was made", changes=[now])
    if not plan.needed:
        return False
    if plan.losing and not allow_loss:
        raise PlanRefused(
            f"{len(plan.losing)} repositories would not be scanned any more; pass allow_loss=True if that is meant",
            conflicts=plan.losing,
        )
    store.put_scanning_configuration(plan.wanted.to_api())
    return True


def _unknown(raw: Mapping[str, Any]) -> list[str]:
    body: Mapping[str, Any] = raw.get("scanningConfiguration", raw)
    found = [f"$.{k}" for k in body if k not in ("scanType", "rules", "registryId", "ResponseMetadata")]
    rules: list[Any] = list(body.get("rules") or ())
    for number, rule in enumerate(rules):
        path = f"$.rules[{number}]"
        found += [f"{path}.{k}" for k in rule if k not in ("scanFrequency", "repositoryFilters")]
        filters: list[Any] = list(rule.get("repositoryFilters") or ())
        for position, entry in enumerate(filters):
            found += [f"{path}.repositoryFilters[{position}].{k}" for k in entry if k not in ("filter", "filterType")]
    return found
