# ruff: noqa: ARG002 - every condition answers to the same signature, whether it looks at all of it or not
"""Conditions on a finding: true, false, or not known on this source. Rules count the findings that meet one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal, Protocol

import attrs

from ecrkit._internal.globs import matches
from ecrkit.errors import InvalidInput
from ecrkit.scanning.findings import Finding, ScanReport
from ecrkit.scanning.severity import SEVERITIES, SeverityPolicy, severity_rank
from ecrkit.scanning.waiting import readiness

__all__ = [
    "Both",
    "Condition",
    "Either",
    "EpssAtLeast",
    "ExploitAvailable",
    "FixAvailable",
    "IsKnownExploited",
    "NewAgainstBaseline",
    "OlderThan",
    "OutsideLayers",
    "PackageIn",
    "ScoreAtLeast",
    "SeverityAtLeast",
    "SeverityIs",
    "SeverityUnknown",
    "View",
    "VulnerabilityIn",
]


@attrs.frozen(kw_only=True)
class View:
    """What conditions look at beside the finding: the report it stands in, how severity is read, now, the baseline.

    `first_seen` maps (vulnerability id, package name) to the earliest time that this repository is known to have
    had it; `firstObservedAt` alone starts anew with every push.
    """

    report: ScanReport
    severity: SeverityPolicy
    now: dt.datetime
    baseline: ScanReport | None = None
    first_seen: Mapping[tuple[str, str], dt.datetime] = attrs.field(factory=dict)

    def started(self, finding: Finding) -> dt.datetime | None:
        """Return when the finding was first observed: the earliest time that anybody remembers."""
        times = [self.first_seen[p] for p in _pairs(finding) if p in self.first_seen]
        if finding.first_observed is not None:
            times.append(finding.first_observed)
        return min(times, default=None)

    @cached_property
    def baseline_ids(self) -> frozenset[str]:
        """The ids of the baseline's findings, aliases included."""
        if self.baseline is None:
            return frozenset()
        return frozenset(i for f in self.baseline.findings for i in (f.id, *f.related))

    @cached_property
    def baseline_pairs(self) -> frozenset[tuple[str, str]]:
        """The (id, package) pairs of the baseline's findings."""
        return frozenset() if self.baseline is None else frozenset(p for f in self.baseline.findings for p in _pairs(f))

    @cached_property
    def baseline_fault(self) -> str | None:
        """Why the baseline cannot be compared with, or None."""
        if self.baseline is None:
            return "there is no baseline"
        ready = readiness(self.baseline)
        if not ready.ready:
            return f"the baseline is {ready}"
        if self.baseline.unreadable:
            return f"{self.baseline.unreadable} findings of the baseline could not be read"
        old, new = self.baseline.data_updated_at, self.report.data_updated_at
        # An enhanced result is kept up to date; its two dates are those of the images, not of the data.
        if self.report.source == "basic" and old and new and new - old > dt.timedelta(days=1):
            return f"the baseline was scanned with vulnerability data of {old:%Y-%m-%d}; scan it again"
        return None


def _pairs(finding: Finding) -> list[tuple[str, str]]:
    return [(finding.id, p.name) for p in finding.packages] or [(finding.id, "")]


class Condition(Protocol):
    """A question about one finding. Pure: the same finding and view give the same answer."""

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when this source cannot tell."""
        ...

    def describe(self) -> str:
        """Return the condition in words, fit to follow 'findings'."""
        ...

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        ...


def _known(name: str, why: str, view: View) -> str:
    return view.report.absent.get(name, why)


def _checked_severity(_: object, __: object, value: str) -> None:
    if value not in SEVERITIES:
        raise InvalidInput.single("not a severity", "$.severity", f"must be one of {', '.join(SEVERITIES)}: {value!r}")


@attrs.frozen
class SeverityIs:
    """The finding counts as exactly this severity."""

    severity: str = attrs.field(validator=_checked_severity)

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when the severity is undetermined."""
        counted = view.severity.counted(finding)
        return None if counted is None else counted == self.severity

    def describe(self) -> str:
        """Return the condition in words."""
        return self.severity

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return f"its severity is {view.severity.stated(finding)}"


@attrs.frozen
class SeverityAtLeast:
    """The finding counts as this severity or a worse one."""

    severity: str = attrs.field(validator=_checked_severity)

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when the severity is undetermined."""
        counted = view.severity.counted(finding)
        return None if counted is None else severity_rank(counted) <= severity_rank(self.severity)

    def describe(self) -> str:
        """Return the condition in words."""
        return f"{self.severity} or worse"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return f"its severity is {view.severity.stated(finding)}"


@attrs.frozen
class SeverityUnknown:
    """The basis states no severity: UNTRIAGED, UNDEFINED, or a word that ecrkit does not know."""

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer; it is always known."""
        return view.severity.unknown(finding)

    def describe(self) -> str:
        """Return the condition in words."""
        return "of unknown severity"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return ""


@attrs.frozen
class FixAvailable:
    """Any package of the finding has a fix: YES or PARTIAL, or a version to update to."""

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when the source does not say."""
        return finding.fixable

    def describe(self) -> str:
        """Return the condition in words."""
        return "with a fix"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return _known("fix_available", "the source does not say whether there is a fix", view)


@attrs.frozen
class ExploitAvailable:
    """An exploit is known to exist."""

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when the source does not say."""
        if finding.exploit_available == "YES" or finding.last_exploit_at is not None:
            return True
        return False if finding.exploit_available == "NO" else None

    def describe(self) -> str:
        """Return the condition in words."""
        return "with an exploit"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return _known("exploit_available", "the source does not say whether there is an exploit", view)


@attrs.frozen
class EpssAtLeast:
    """The EPSS score (0 to 1) is at least this; an absent score is unknown, never 0."""

    score: float = attrs.field(validator=[attrs.validators.ge(0.0), attrs.validators.le(1.0)])

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when there is no score."""
        return None if finding.epss is None else finding.epss >= self.score

    def describe(self) -> str:
        """Return the condition in words."""
        return f"with an EPSS score of at least {self.score:g}"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return _known("epss", "there is no EPSS score for it", view)


@attrs.frozen
class IsKnownExploited:
    """The vulnerability stands in the catalogue of known exploited ones."""

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when no catalogue was loaded."""
        return finding.known_exploited

    def describe(self) -> str:
        """Return the condition in words."""
        return "known to be exploited"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return _known("known_exploited", "no catalogue of exploited vulnerabilities was loaded", view)


@attrs.frozen
class ScoreAtLeast:
    """The score (0 to 10) is at least this; an absent score is unknown."""

    score: float = attrs.field(validator=[attrs.validators.ge(0.0), attrs.validators.le(10.0)])

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when nobody rated it."""
        if finding.score is None or (finding.score == 0.0 and finding.vector is None):
            return None
        return finding.score >= self.score

    def describe(self) -> str:
        """Return the condition in words."""
        return f"with a score of at least {self.score:g}"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return _known("score", "nobody has rated it", view)


def _texts(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


@attrs.frozen
class VulnerabilityIn:
    """The vulnerability or one of its aliases is named here."""

    ids: frozenset[str] = attrs.field(converter=_texts, validator=attrs.validators.min_len(1))

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer; it is always known."""
        return finding.id in self.ids or any(i in self.ids for i in finding.related)

    def describe(self) -> str:
        """Return the condition in words."""
        return f"named {', '.join(sorted(self.ids))}"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return ""


@attrs.frozen
class PackageIn:
    """A package of the finding is named here, as `name` or `name@version`; `*` stands for any characters."""

    names: frozenset[str] = attrs.field(converter=_texts, validator=attrs.validators.min_len(1))

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when the finding names no package."""
        if not finding.packages:
            return None
        # A scoped npm name begins with @, so both forms are tried instead of splitting at the first @.
        return any(
            matches(pattern, text)
            for p in finding.packages
            for text in (p.name, f"{p.name}@{p.installed}")
            for pattern in self.names
        )

    def describe(self) -> str:
        """Return the condition in words."""
        return f"in {', '.join(sorted(self.names))}"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return "it names no package"


@attrs.frozen
class OlderThan:
    """More than so many days have passed since the finding was first observed, or since it was published."""

    days: int = attrs.field(validator=attrs.validators.ge(0))
    since: Literal["first_observed", "published"] = "first_observed"

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when the date is missing. Exactly `days` is not yet more."""
        start = view.started(finding) if self.since == "first_observed" else finding.published
        return None if start is None else view.now - start > dt.timedelta(days=self.days)

    def describe(self) -> str:
        """Return the condition in words."""
        return f"older than {self.days} days since {self.since.replace('_', ' ')}"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return _known(self.since, f"the date it was {self.since.replace('_', ' ')} is missing", view)


@attrs.frozen
class NewAgainstBaseline:
    """The baseline image does not have the finding.

    `by="package"` (default) compares vulnerability and package name, `by="id"` the vulnerability alone.
    `without_baseline` says what a finding is when there is no baseline, as for every first image: `undetermined`
    (default), `new`, or `old`. A baseline that is not ready, or was scanned with vulnerability data of another day,
    leaves a finding that it lacks undetermined.
    """

    by: Literal["package", "id"] = "package"
    without_baseline: Literal["undetermined", "new", "old"] = "undetermined"

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when the baseline cannot tell."""
        if view.baseline is None:
            return {"undetermined": None, "new": True, "old": False}[self.without_baseline]
        if self.by == "id":
            known = any(i in view.baseline_ids for i in (finding.id, *finding.related))
        else:
            known = all(p in view.baseline_pairs for p in _pairs(finding))
        if known:
            return False
        return True if view.baseline_fault is None else None

    def describe(self) -> str:
        """Return the condition in words."""
        return "new against the baseline"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return view.baseline_fault or ""


@attrs.frozen
class OutsideLayers:
    """A package of the finding lies in a layer that is not named here, such as one above the base image's."""

    layers: frozenset[str] = attrs.field(converter=_texts)

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when a package names no layer and no other lies outside."""
        places = [p.layer for p in finding.packages]
        if any(layer is not None and layer not in self.layers for layer in places):
            return True
        return None if not places or None in places else False

    def describe(self) -> str:
        """Return the condition in words."""
        return "outside the layers of the base image"

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return _known("layer", "it does not name the layer of every package", view)


def _several(values: Iterable[Condition]) -> tuple[Condition, ...]:
    return tuple(values)


@attrs.frozen
class Both:
    """Every one of the conditions holds; one that does not is enough for a no."""

    conditions: tuple[Condition, ...] = attrs.field(converter=_several, validator=attrs.validators.min_len(1))

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when those that are known all hold."""
        unknown = False
        for condition in self.conditions:
            answer = condition.holds(finding, view)
            if answer is False:
                return False
            unknown = unknown or answer is None
        return None if unknown else True

    def describe(self) -> str:
        """Return the condition in words."""
        return ", ".join(c.describe() for c in self.conditions)

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return "; ".join(c.unknown_because(finding, view) for c in self.conditions if c.holds(finding, view) is None)


@attrs.frozen
class Either:
    """At least one of the conditions holds."""

    conditions: tuple[Condition, ...] = attrs.field(converter=_several, validator=attrs.validators.min_len(1))

    def holds(self, finding: Finding, view: View) -> bool | None:
        """Return the answer, or None when none is known to hold."""
        unknown = False
        for condition in self.conditions:
            answer = condition.holds(finding, view)
            if answer:
                return True
            unknown = unknown or answer is None
        return None if unknown else False

    def describe(self) -> str:
        """Return the condition in words."""
        return " or ".join(c.describe() for c in self.conditions)

    def unknown_because(self, finding: Finding, view: View) -> str:
        """Return why there is no answer."""
        return "; ".join(c.unknown_because(finding, view) for c in self.conditions if c.holds(finding, view) is None)
