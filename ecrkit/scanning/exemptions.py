"""Exemptions: findings that somebody accepts, with a reason, for a place and a time."""

from __future__ import annotations

import datetime as dt
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Final, Self

import attrs
from typing_extensions import override

from ecrkit._internal.globs import matches_any
from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import UTC, require_aware
from ecrkit.errors import InvalidPolicy, Problem
from ecrkit.scanning._documents import Checker, document, load_text
from ecrkit.scanning.findings import Finding, Package, ScanReport

__all__ = ["Exemption", "ExemptionReport", "ExemptionUse", "Exemptions", "renewals"]

_WHAT: Final = "not a file of exemptions"
_KEYS: Final = (
    "id", "package", "path", "repository", "platform", "reason", "owner", "expires", "until_fixed", "created",
    "approved_by",
)  # fmt: skip


@attrs.frozen(kw_only=True)
class Exemption(Record):
    """One accepted risk: which vulnerabilities, in which package, path, repository and platform, why, and until when.

    `ids` are exact ids of vulnerabilities (aliases of a finding count); without ids the exemption is for everything
    in the packages it names. `packages`, `paths`, `repositories` and `platforms` are patterns in which `*` stands
    for any characters; empty means every one. `expires` is the last day on which the exemption holds, in UTC: on
    that day it still holds, on the next it does not. None means `never`. `until_fixed` ends it as soon as any
    package of the finding has a fix, whichever comes first; on a source without fix data such an exemption does not
    hold, because nobody can tell.

    Example:
        >>> import datetime as dt
        >>> exemption = Exemption(ids=("CVE-2024-1",), reason="not reachable", expires=dt.date(2026, 12, 31))
        >>> exemption.holds_on(dt.datetime(2026, 12, 31, 23, 59, tzinfo=dt.UTC))
        True
        >>> exemption.holds_on(dt.datetime(2027, 1, 1, tzinfo=dt.UTC))
        False
    """

    reason: str
    ids: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    owner: str | None = None
    expires: dt.date | None = None
    until_fixed: bool = False
    created: dt.date | None = None
    approved_by: str | None = None

    def __attrs_post_init__(self) -> None:
        problems = list(_faults(self, "$"))
        if problems:
            raise InvalidPolicy("not an exemption", problems)

    def holds_on(self, now: dt.datetime) -> bool:
        """Return whether the exemption has not expired; the day is the one in UTC."""
        return self.expires is None or require_aware(now, "now").date() <= self.expires

    def in_scope(self, report: ScanReport) -> bool:
        """Return whether the exemption is for the report's repository and platform."""
        return matches_any(self.repositories, report.repository) and matches_any(self.platforms, report.platform)

    def covers(self, package: Package | None) -> bool:
        """Return whether the exemption is for the package; for one nobody names only without package and path."""
        if package is None:
            return not self.packages and not self.paths
        return matches_any(self.packages, package.name) and matches_any(self.paths, package.path)

    @property
    def label(self) -> str:
        """The vulnerabilities and packages in a few words."""
        what = ", ".join(self.ids) or "everything"
        return f"{what} in {', '.join(self.packages)}" if self.packages else what

    @override
    def __str__(self) -> str:
        until = f"until {self.expires}" if self.expires else "without expiry"
        return f"{self.label}: {self.reason} ({until}{', until fixed' if self.until_fixed else ''})"


def _faults(exemption: Exemption, path: str) -> Iterator[Problem]:
    if not exemption.reason.strip():
        yield Problem(f"{path}.reason", "say why the risk is accepted")
    if not exemption.ids and not exemption.packages:
        yield Problem(f"{path}.id", "name a vulnerability, or at least a package")
    if not exemption.ids and any("*" in p for p in exemption.packages):
        yield Problem(f"{path}.package", "without an id the package must be named in full, without '*'")
    if any("*" in i for i in exemption.ids):
        yield Problem(f"{path}.id", "must be an exact id; '*' is not a pattern here")
    if exemption.created is not None and exemption.expires is not None and exemption.expires < exemption.created:
        yield Problem(f"{path}.expires", f"lies before created, {exemption.created}")


@attrs.frozen(kw_only=True)
class ExemptionUse(Record):
    """One exemption and how many findings it took part in covering."""

    exemption: Exemption
    findings: int = 0


@attrs.frozen(kw_only=True)
class ExemptionReport(Record):
    """What became of each exemption that is for the judged image.

    `used` covered something; `unused` hold and match nothing (a stale entry is a remark, no failure, unless the gate
    says so); `expired` do not hold any more; `expiring` hold and end soon; `fixed_now` match a finding that has a
    fix by now; `not_judged` are until-fixed ones on a source that does not say what is fixed.
    """

    used: tuple[ExemptionUse, ...] = ()
    unused: tuple[Exemption, ...] = ()
    expired: tuple[Exemption, ...] = ()
    expiring: tuple[Exemption, ...] = ()
    fixed_now: tuple[Exemption, ...] = ()
    not_judged: tuple[Exemption, ...] = ()

    @classmethod
    def merged(cls, reports: Iterable[ExemptionReport]) -> Self:
        """Return one report for the platforms of an image: unused is what no platform used."""
        several = tuple(reports)
        uses: Counter[Exemption] = Counter()
        for report in several:
            for use in report.used:
                uses[use.exemption] += use.findings

        def union(name: str) -> tuple[Exemption, ...]:
            return tuple(dict.fromkeys(e for r in several for e in getattr(r, name)))

        return cls(
            used=tuple(ExemptionUse(exemption=e, findings=n) for e, n in uses.items()),
            unused=tuple(e for e in union("unused") if e not in uses),
            expired=union("expired"),
            expiring=union("expiring"),
            fixed_now=union("fixed_now"),
            not_judged=union("not_judged"),
        )


def _several(values: Iterable[Exemption]) -> tuple[Exemption, ...]:
    return tuple(values)


@attrs.frozen
class Exemptions(Record):
    """A set of exemptions, ready to be matched: looking one up costs nothing per exemption that is not concerned.

    Example:
        >>> exemptions = Exemptions.parse('''
        ... [[exemptions]]
        ... id = "CVE-2024-9681"
        ... package = "curl"
        ... reason = "HSTS is not used"
        ... owner = "team-a"
        ... expires = 2026-12-31
        ... ''')
        >>> len(exemptions), exemptions.entries[0].expires.isoformat()
        (1, '2026-12-31')
    """

    entries: tuple[Exemption, ...] = attrs.field(default=(), converter=_several)

    @classmethod
    def load(cls, *paths: str | os.PathLike[str], max_days: int | None = None) -> Self:
        """Return the exemptions of one or several TOML or JSON files.

        Raises:
            InvalidPolicy: a file is faulty; all its problems are named.
            OSError: a file cannot be read.
        """
        found: list[Exemption] = []
        for path in paths:
            try:
                found.extend(cls.parse(load_text(path), max_days=max_days).entries)
            except InvalidPolicy as fault:
                raise InvalidPolicy(f"{os.fspath(path)}: {fault.what}", fault.problems) from None
        return cls(found)

    @classmethod
    def parse(cls, source: str | Mapping[str, Any], *, max_days: int | None = None) -> Self:
        """Return the exemptions of a TOML or JSON text or its mapping: a list named `exemptions`.

        Each has `id` (one or several), `package`, `path`, `repository`, `platform` (patterns, one or several),
        `reason` (required), `owner`, `approved_by`, `created`, `until_fixed`, and `expires`: a date, or "never". An
        exemption that names neither `expires` nor `until_fixed` is refused: nothing is accepted for ever by
        forgetting. With `max_days`, also as a key of the file, `created` is required and `expires` may lie at most
        so many days after it.

        Raises:
            InvalidPolicy: something is wrong; every problem is named with its path. Unknown keys are refused.
        """
        check = Checker(_WHAT)
        raw = document(source, _WHAT)
        check.only(raw, ("exemptions", "max_days", "version"), "$")
        if raw.get("version", 1) != 1:
            check.problem("$.version", f"must be 1, not {raw.get('version')!r:.20}")
        limit = check.whole(raw, "max_days", "$", default=max_days)
        if max_days is not None and limit is not None:
            limit = min(limit, max_days)
        found: list[Exemption] = []
        for number, entry in enumerate(check.items(raw.get("exemptions"), "$.exemptions")):
            path = f"$.exemptions[{number}]"
            exemption = _entry(check, check.mapping(entry, path), path, limit)
            if exemption is not None:
                found.append(exemption)
        check.check()
        return cls(found)

    @cached_property
    def _by_id(self) -> Mapping[str, tuple[Exemption, ...]]:
        index: dict[str, list[Exemption]] = {}
        for entry in self.entries:
            for name in entry.ids:
                index.setdefault(name, []).append(entry)
        return {k: tuple(v) for k, v in index.items()}

    @cached_property
    def _by_package(self) -> Mapping[str, tuple[Exemption, ...]]:
        index: dict[str, list[Exemption]] = {}
        for entry in self.entries:
            if not entry.ids:
                for name in entry.packages:
                    index.setdefault(name, []).append(entry)
        return {k: tuple(v) for k, v in index.items()}

    def candidates(self, finding: Finding) -> tuple[Exemption, ...]:
        """Return the exemptions that name the vulnerability or one of its packages, in their order, once each."""
        found: dict[int, Exemption] = {}
        for name in (finding.id, *finding.related):
            for entry in self._by_id.get(name, ()):
                found[id(entry)] = entry
        for package in finding.packages:
            for entry in self._by_package.get(package.name, ()):
                found[id(entry)] = entry
        return tuple(found.values())

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Exemption]:
        return iter(self.entries)

    def __add__(self, other: Exemptions) -> Exemptions:
        return Exemptions((*self.entries, *other.entries))


def _entry(check: Checker, raw: Mapping[str, Any], path: str, max_days: int | None) -> Exemption | None:
    before = len(check.problems)
    check.only(raw, _KEYS, path)
    forever = raw.get("expires") == "never"
    expires = None if forever else check.date(raw, "expires", path)
    created = check.date(raw, "created", path)
    until_fixed = check.flag(raw, "until_fixed", path)
    if raw.get("expires") is None and not until_fixed:
        check.problem(f"{path}.expires", 'is missing; give a date, until_fixed = true, or say "never"')
    if max_days is not None and not until_fixed:
        if created is None and raw.get("created") is None:
            check.problem(f"{path}.created", f"is missing; exemptions live at most {max_days} days from it")
        elif forever:
            check.problem(f"{path}.expires", f"must be a date; exemptions live at most {max_days} days")
        elif created and expires and (expires - created).days > max_days:
            check.problem(f"{path}.expires", f"must lie at most {max_days} days after created, {created}")
    reason = check.text(raw, "reason", path, required=True)
    values: dict[str, Any] = {
        "ids": check.texts(raw, "id", path),
        "packages": check.texts(raw, "package", path),
        "paths": check.texts(raw, "path", path),
        "repositories": check.texts(raw, "repository", path),
        "platforms": check.texts(raw, "platform", path),
        "owner": check.text(raw, "owner", path),
        "approved_by": check.text(raw, "approved_by", path),
    }
    if len(check.problems) > before or reason is None:
        return None
    try:
        return Exemption(reason=reason, expires=expires, created=created, until_fixed=until_fixed, **values)
    except InvalidPolicy as fault:
        check.problems.extend(Problem(path + p.path[1:], p.message) for p in fault.problems)
        return None


def renewals(old: Exemptions, new: Exemptions) -> tuple[tuple[Exemption, Exemption], ...]:
    """Return the pairs of exemptions whose expiry was moved later (or away): what is renewed needs a second look."""

    def place(e: Exemption) -> tuple[Any, ...]:
        return e.ids, e.packages, e.paths, e.repositories, e.platforms

    before = {place(e): e for e in old}
    pairs = ((before[place(e)], e) for e in new if place(e) in before)
    return tuple((a, b) for a, b in pairs if a.expires is not None and (b.expires is None or b.expires > a.expires))


class ExemptionMatcher:
    """Matches one report's findings; remembers what was used. Matching never uses an exemption up."""

    def __init__(self, exemptions: Exemptions, report: ScanReport, now: dt.datetime, soon: dt.timedelta) -> None:
        self._all = exemptions
        self._report = report
        self._now = now.astimezone(UTC)
        self._soon = soon
        self._used: Counter[int] = Counter()
        self._fixed: set[int] = set()
        self._untold: set[int] = set()
        self._scope: dict[int, bool] = {}

    def _concerned(self, entry: Exemption) -> bool:
        known = self._scope.get(id(entry))
        if known is None:
            known = self._scope[id(entry)] = entry.in_scope(self._report)
        return known

    def cover(self, finding: Finding) -> dict[int, Exemption]:
        """Return, by position of the package in the finding, the exemption that covers it; -1 is no package at all."""
        covered: dict[int, Exemption] = {}
        for entry in self._all.candidates(finding):
            if not self._concerned(entry) or not entry.holds_on(self._now):
                continue
            places = (
                [n for n, p in enumerate(finding.packages) if entry.covers(p)]
                if finding.packages
                else [-1] * entry.covers(None)
            )
            if not places:
                continue
            if finding.fixable:
                self._fixed.add(id(entry))
            if entry.until_fixed and finding.fixable is not False:
                if finding.fixable is None:
                    self._untold.add(id(entry))
                continue
            self._used[id(entry)] += 1
            for place in places:
                covered.setdefault(place, entry)
        return covered

    def report(self) -> ExemptionReport:
        """Return what became of each exemption."""
        mine = [e for e in self._all if self._concerned(e)]
        holding = [e for e in mine if e.holds_on(self._now)]
        edge = (self._now + self._soon).date()
        touched = self._used.keys() | self._fixed | self._untold
        return ExemptionReport(
            used=tuple(ExemptionUse(exemption=e, findings=self._used[id(e)]) for e in holding if id(e) in self._used),
            unused=tuple(e for e in holding if id(e) not in touched),
            expired=tuple(e for e in mine if not e.holds_on(self._now)),
            expiring=tuple(e for e in holding if e.expires is not None and e.expires <= edge),
            fixed_now=tuple(e for e in holding if id(e) in self._fixed),
            not_judged=tuple(e for e in holding if id(e) in self._untold),
        )
