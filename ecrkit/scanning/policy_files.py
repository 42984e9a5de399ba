"""Gates and profiles from TOML or JSON files, with every problem named."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from ecrkit.errors import InvalidInput, InvalidPolicy, Problem
from ecrkit.scanning import conditions as c
from ecrkit.scanning._documents import Checker, document, load_text
from ecrkit.scanning.gate import Gate, Profile, Profiles
from ecrkit.scanning.rules import AllOf, AnyOf, Limit, Rule, count_limit
from ecrkit.scanning.severity import SEVERITIES, SeverityPolicy

__all__ = ["gate_from", "load_gate", "load_profiles", "profiles_from"]

_WHAT: Final = "not a gate policy"
_GATE_KEYS: Final = (
    "accept_undetermined", "expiring_within_days", "grace_days", "limits", "rules", "severity_basis",
    "stale_exemptions", "undefined_as", "untriaged_as",
)  # fmt: skip
_TREATMENTS: Final = (*SEVERITIES, "UNDETERMINED")
_COMMON: Final = ("at_most", "fixable", "ignores_grace", "name", "new", "rule", "severity", "severity_at_least")
# What each kind of rule takes beside the common keys, and whether a period of grace excuses it.
_OWN: Final[dict[str, tuple[str, ...]]] = {
    "count": (),
    "fix-available": (),
    "exploit-available": (),
    "known-exploited": (),
    "epss": ("at_least",),
    "score": ("at_least",),
    "vulnerabilities": ("ids",),
    "packages": ("packages",),
    "age": ("days", "since"),
    "new": ("by", "without_baseline"),
    "unknown": (),
    "outside-layers": ("layers",),
}
_IGNORE_GRACE: Final = ("known-exploited", "vulnerabilities", "packages")


def load_gate(path: str | os.PathLike[str]) -> Gate:
    """Return the gate of a TOML or JSON file; see `gate_from`.

    Raises:
        InvalidPolicy: the file is faulty; all its problems are named.
        OSError: the file cannot be read.
    """
    return gate_from(load_text(path))


def load_profiles(path: str | os.PathLike[str]) -> Profiles:
    """Return the profiles of a TOML or JSON file; see `profiles_from`.

    Raises:
        InvalidPolicy: the file is faulty; all its problems are named.
        OSError: the file cannot be read.
    """
    return profiles_from(load_text(path))


def gate_from(source: str | Mapping[str, Any]) -> Gate:
    """Return the gate of a TOML or JSON text, or its mapping.

    `limits` maps severities to the number of findings allowed: 0 means none, a severity that is left out has no
    limit. `rules` is a list of objects with `rule` (count, fix-available, exploit-available, known-exploited, epss,
    score, vulnerabilities, packages, age, new, unknown, outside-layers) or with `all_of` or `any_of` and a list of
    rules. Every rule takes `at_most` (default 0), `name`, `severity` or `severity_at_least`, `fixable = true` (count
    only what has a fix), `new = true` (only what is new against the baseline) and `ignores_grace`.

    Raises:
        InvalidPolicy: something is wrong; every problem is named with its path. Unknown keys are refused.

    Example:
        >>> gate = gate_from('''
        ... [limits]
        ... CRITICAL = 0
        ... [[rules]]
        ... rule = "epss"
        ... at_least = 0.5
        ... ''')
        >>> gate.rules.names()
        ('gate', 'critical', 'epss')
    """
    check = Checker(_WHAT)
    gate = _gate(check, document(source, _WHAT), "$", top=("version",))
    check.check()
    if gate is None:  # a gate that is missing always comes with a problem; this is for the type checker
        raise InvalidPolicy(_WHAT)
    return gate


def profiles_from(source: str | Mapping[str, Any]) -> Profiles:
    """Return the profiles of a TOML or JSON text, or its mapping: a list named `profiles`.

    Each has `name`, the patterns `environments`, `namespaces` and `repositories`, and `gate`, an object as
    `gate_from` takes it. The first that selects an image decides.

    Raises:
        InvalidPolicy: something is wrong; every problem is named with its path. Unknown keys are refused.
    """
    check = Checker("not a file of profiles")
    raw = document(source, check.what)
    check.only(raw, ("profiles", "version"), "$")
    found: list[Profile] = []
    for number, entry in enumerate(check.items(raw.get("profiles"), "$.profiles")):
        path = f"$.profiles[{number}]"
        item = check.mapping(entry, path)
        check.only(item, ("environments", "gate", "name", "namespaces", "repositories"), path)
        name = check.text(item, "name", path, required=True)
        patterns = {k: check.texts(item, k, path) for k in ("environments", "namespaces", "repositories")}
        gate = _gate(check, check.mapping(item.get("gate"), f"{path}.gate"), f"{path}.gate")
        if name is not None and gate is not None:
            found.append(Profile(name=name, gate=gate, **patterns))
    if not check.problems:
        _adopt(check, lambda: Profiles(found), "$")
    check.check()
    return Profiles(found)


def _adopt(check: Checker, make: Any, path: str) -> Any:
    """Return what `make` makes, or add its problems under the path."""
    try:
        return make()
    except InvalidInput as fault:
        check.problems.extend(Problem(path + p.path.removeprefix("$"), p.message) for p in fault.problems)
        return None


def _gate(check: Checker, raw: Mapping[str, Any], path: str, *, top: tuple[str, ...] = ()) -> Gate | None:
    before = len(check.problems)
    check.only(raw, (*_GATE_KEYS, *top), path)
    if raw.get("version", 1) != 1:
        check.problem(f"{path}.version", f"must be 1, not {raw.get('version')!r:.20}")
    severity: dict[str, Any] = {
        "basis": check.choice(raw, "severity_basis", path, of=("ecr", "vendor", "score"), default="ecr"),
        "untriaged_as": check.choice(raw, "untriaged_as", path, of=_TREATMENTS, default="HIGH"),
        "undefined_as": check.choice(raw, "undefined_as", path, of=_TREATMENTS, default="HIGH"),
    }
    rules: list[Rule] = []
    limits = check.mapping(raw.get("limits"), f"{path}.limits")
    check.only(limits, SEVERITIES, f"{path}.limits")
    for name in limits:
        at_most = check.whole(limits, name, f"{path}.limits")
        if name in SEVERITIES and at_most is not None:
            rules.append(count_limit(name, at_most))
    for number, entry in enumerate(check.items(raw.get("rules"), f"{path}.rules")):
        rule = _rule(check, entry, f"{path}.rules[{number}]")
        if rule is not None:
            rules.append(rule)
    grace = check.mapping(raw.get("grace_days"), f"{path}.grace_days")
    check.only(grace, SEVERITIES, f"{path}.grace_days")
    days = {k: check.whole(grace, k, f"{path}.grace_days", default=0) or 0 for k in grace}
    more: dict[str, Any] = {
        "accept_undetermined": check.texts(raw, "accept_undetermined", path)
        if raw.get("accept_undetermined") != []
        else (),
        "stale_exemptions": check.choice(raw, "stale_exemptions", path, of=("warn", "fail"), default="warn"),
        "expiring_within_days": check.whole(raw, "expiring_within_days", path, default=14),
    }
    if len(check.problems) > before:
        return None
    gate: Gate | None = _adopt(
        check, lambda: Gate(rules, severity=SeverityPolicy(**severity), grace_days=days, **more), path
    )
    return gate


def _rule(check: Checker, entry: object, path: str) -> Rule | None:
    raw = check.mapping(entry, path)
    for member, kind in (("all_of", AllOf), ("any_of", AnyOf)):
        if member in raw:
            check.only(raw, (member, "name"), path)
            inner = [
                _rule(check, e, f"{path}.{member}[{n}]")
                for n, e in enumerate(check.items(raw[member], f"{path}.{member}"))
            ]
            if not inner:
                check.problem(f"{path}.{member}", "name at least one rule")
            rules = [r for r in inner if r is not None]
            name = check.text(raw, "name", path) or member.replace("_", "-")
            return kind(rules=rules, name=name) if rules and len(rules) == len(inner) else None
    before = len(check.problems)
    if "rule" not in raw:
        check.problem(f"{path}.rule", f"is missing; it is one of {', '.join(_OWN)}, or use all_of or any_of")
        return None
    kind_name = check.choice(raw, "rule", path, of=_OWN, default="count")
    check.only(raw, (*_COMMON, *_OWN[kind_name]), path)
    main = _main(check, raw, kind_name, path)
    others: list[c.Condition] = []
    if raw.get("severity") is not None:
        others.append(c.SeverityIs(check.choice(raw, "severity", path, of=SEVERITIES, default="CRITICAL")))
    if raw.get("severity_at_least") is not None:
        others.append(
            c.SeverityAtLeast(check.choice(raw, "severity_at_least", path, of=SEVERITIES, default="CRITICAL"))
        )
    if check.flag(raw, "fixable", path):
        others.append(c.FixAvailable())
    if check.flag(raw, "new", path):
        others.append(c.NewAgainstBaseline())
    conditions = [*([main] if main is not None else []), *others]
    at_most = check.whole(raw, "at_most", path, default=0)
    ignores = check.flag(raw, "ignores_grace", path, default=kind_name in _IGNORE_GRACE)
    if kind_name == "count" and not others and len(check.problems) == before:
        check.problem(path, "count needs a severity, severity_at_least, fixable or new")
    if len(check.problems) > before or not conditions:
        return None
    return Limit(
        name=check.text(raw, "name", path) or _default_name(raw, kind_name),
        at_most=at_most or 0,
        when=conditions[0] if len(conditions) == 1 else c.Both(conditions),
        ignores_grace=ignores,
        counts_unreadable=kind_name == "unknown",
    )


def _default_name(raw: Mapping[str, Any], kind: str) -> str:
    severity = raw.get("severity") or raw.get("severity_at_least")
    parts = [] if kind == "count" else [kind]
    if severity:
        parts.append(str(severity).lower())
    parts += [flag for flag in ("fixable", "new") if raw.get(flag) and flag != kind]
    return "-".join(parts) or kind


def _main(check: Checker, raw: Mapping[str, Any], kind: str, path: str) -> c.Condition | None:
    if kind in ("epss", "score"):
        top = 1.0 if kind == "epss" else 10.0
        least = check.number(raw, "at_least", path, top=top)
        if least is None:
            return None
        return c.EpssAtLeast(least) if kind == "epss" else c.ScoreAtLeast(least)
    if kind in ("vulnerabilities", "packages", "outside-layers"):
        member = {"vulnerabilities": "ids", "packages": "packages", "outside-layers": "layers"}[kind]
        names = check.texts(raw, member, path)
        if not names:
            if raw.get(member) is None:
                check.problem(f"{path}.{member}", "is missing")
            return None
        if kind == "outside-layers":
            return c.OutsideLayers(names)
        return c.VulnerabilityIn(names) if kind == "vulnerabilities" else c.PackageIn(names)
    if kind == "age":
        days = check.whole(raw, "days", path)
        since = check.choice(raw, "since", path, of=("first_observed", "published"), default="first_observed")
        if days is None:
            if raw.get("days") is None:
                check.problem(f"{path}.days", "is missing")
            return None
        return c.OlderThan(days, "published" if since == "published" else "first_observed")
    if kind == "new":
        by = check.choice(raw, "by", path, of=("package", "id"), default="package")
        without = check.choice(raw, "without_baseline", path, of=("undetermined", "new", "old"), default="undetermined")
        return c.NewAgainstBaseline(
            "id" if by == "id" else "package",
            "new" if without == "new" else "old" if without == "old" else "undetermined",
        )
    simple: dict[str, c.Condition] = {
        "fix-available": c.FixAvailable(),
        "exploit-available": c.ExploitAvailable(),
        "known-exploited": c.IsKnownExploited(),
        "unknown": c.SeverityUnknown(),
    }
    return simple.get(kind)
