"""Gates: rules, severity, grace and what to make of the unknown, judged over a scan; and profiles that choose one."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.globs import matches, matches_any
from ecrkit._internal.times import require_aware
from ecrkit.errors import InvalidPolicy, Problem
from ecrkit.scanning._documents import profile_name_problems
from ecrkit.scanning.conditions import View
from ecrkit.scanning.exemptions import ExemptionMatcher, ExemptionReport, Exemptions
from ecrkit.scanning.findings import Finding, ScanReport
from ecrkit.scanning.platforms import ImageScan
from ecrkit.scanning.rules import AllOf, Outcome, Rule, RuleResult, worst
from ecrkit.scanning.severity import SEVERITIES, SeverityPolicy, severity_rank
from ecrkit.scanning.verdict import InGrace, Reason, Suppressed, Verdict
from ecrkit.scanning.vex import VexMatcher, VexReport, VexStatements
from ecrkit.scanning.waiting import Readiness, readiness

__all__ = ["Gate", "Profile", "Profiles"]

_ACCEPTABLE_STATES: Final = (
    "pending", "failed", "unsupported", "expired", "archived", "ambiguous", "missing", "unknown", "unreadable",
)  # fmt: skip
_NEVER_ENDS: Final = "add an exemption with a reason, or raise the limit"


def _combined(rules: Rule | Iterable[Rule]) -> AllOf:
    if isinstance(rules, AllOf):
        return rules
    return AllOf(rules=tuple(rules) if isinstance(rules, Iterable) else (rules,), name="gate")


def _names(values: Iterable[str]) -> frozenset[str]:
    # A function of its own: a type checker takes the converter `frozenset` for one of unknown items.
    return frozenset(values)


@attrs.frozen
class Gate:
    """Decides whether an image may go on.

    `rules` is one rule or several, all of which must pass; none at all is refused. `grace_days` gives each severity
    so many days from when a finding was first observed in which it does not count; a finding without that date has
    no grace, and rules on named or exploited vulnerabilities ignore it. `accept_undetermined` names the rules whose
    undetermined answer is taken for a pass, and the states of a scan written as `scan:unsupported`; everything not
    named fails. `stale_exemptions` is "warn" or "fail": what an exemption that matches nothing any more does.

    Example:
        >>> from ecrkit.scanning import Gate, ScanReport, count_limit, deny_fixable
        >>> gate = Gate([count_limit("CRITICAL", 0), count_limit("HIGH", 5)])
        >>> report = ScanReport.from_api({"imageScanStatus": {"status": "COMPLETE"}, "imageScanFindings": {
        ...     "imageScanCompletedAt": 1767225600.0, "findings": [{"name": "CVE-2026-1", "severity": "CRITICAL"}]}})
        >>> verdict = gate.judge(report, now=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
        >>> verdict.outcome, verdict.exit_code, verdict.reasons[0].finding.id
        ('fail', 1, 'CVE-2026-1')
    """

    rules: AllOf = attrs.field(converter=_combined)
    severity: SeverityPolicy = attrs.field(factory=SeverityPolicy, kw_only=True)
    grace_days: Mapping[str, int] = attrs.field(factory=dict, kw_only=True, hash=False)
    accept_undetermined: frozenset[str] = attrs.field(default=frozenset(), converter=_names, kw_only=True)
    stale_exemptions: Literal["warn", "fail"] = attrs.field(default="warn", kw_only=True)
    expiring_within_days: int = attrs.field(default=14, kw_only=True)

    def __attrs_post_init__(self) -> None:
        problems: list[Problem] = []
        names = self.rules.names()
        leaves = [n for n in names if n not in ("all-of", "any-of", "gate")]
        problems += [
            Problem("$.rules", f"two rules are named {n!r}; reasons could not be told apart")
            for n, count in Counter(leaves).items()
            if count > 1
        ]
        known = {*names, *(f"scan:{s}" for s in _ACCEPTABLE_STATES)}
        problems += [
            Problem("$.accept_undetermined", f"{n!r} is neither a rule here nor a state such as scan:unsupported")
            for n in sorted(self.accept_undetermined - known)
        ]
        for name, days in self.grace_days.items():
            if name not in SEVERITIES:
                problems.append(Problem(f"$.grace_days.{name}", f"must be one of {', '.join(SEVERITIES)}"))
            if isinstance(days, bool) or days < 0:
                problems.append(Problem(f"$.grace_days.{name}", "must be a whole number of days"))
        if self.stale_exemptions not in ("warn", "fail"):
            problems.append(Problem("$.stale_exemptions", "must be 'warn' or 'fail'"))
        if problems:
            raise InvalidPolicy("not a gate", problems)

    def judge(
        self,
        subject: ScanReport | ImageScan,
        *,
        now: dt.datetime,
        exemptions: Exemptions | None = None,
        vex: VexStatements | None = None,
        baseline: ScanReport | ImageScan | None = None,
        first_seen: Mapping[tuple[str, str], dt.datetime] | None = None,
        scan_type: str | None = None,
        platforms: Iterable[str] | None = None,
        profile: str | None = None,
    ) -> Verdict:
        """Return the verdict on a report, or on every platform of an index.

        For an index every platform image is judged and the worst outcome is the index's; `platforms` limits that to
        the ones that a cluster runs (`linux/amd64`), and one of them that the index lacks is undetermined. A
        baseline that is an index is compared platform by platform. Nothing is written and no clock is read.

        Raises:
            ValueError: `now` has no time zone.
        """
        now = require_aware(now, "now")
        args: dict[str, Any] = {
            "now": now, "exemptions": exemptions or Exemptions(), "vex": vex or VexStatements(),
            "first_seen": first_seen or {}, "scan_type": scan_type, "profile": profile,
        }  # fmt: skip
        if isinstance(subject, ScanReport):
            return self._report(subject, baseline=_baseline(baseline, subject), **args)
        if not subject.index and subject.problem is None and len(subject.reports) == 1:
            return self._report(subject.reports[0], baseline=_baseline(baseline, subject.reports[0]), **args)
        return self._index(subject, baseline, platforms, args)

    def _index(
        self,
        scan: ImageScan,
        baseline: ScanReport | ImageScan | None,
        platforms: Iterable[str] | None,
        args: Mapping[str, Any],
    ) -> Verdict:
        wanted = None if platforms is None else tuple(dict.fromkeys(platforms))
        reports = [r for r in scan.reports if wanted is None or any(_runs(r.platform, w) for w in wanted)]
        missing = [w for w in wanted or () if not any(_runs(r.platform, w) for r in scan.reports)]
        parts = [self._report(r, baseline=_baseline(baseline, r), **args) for r in reports]
        reasons = [attrs.evolve(r, platform=p.platform or p.digest) for p in parts for r in p.reasons]
        own: list[str] = [f"the index has no image for {w}" for w in missing]
        if scan.problem is not None:
            own.append(scan.problem)
        elif not reports and not own:
            own.append("the index lists no platform image, so there is nothing to judge")
        reasons += [
            Reason(rule="platforms", outcome="undetermined", text=t, would_change="push and scan that image")
            for t in own
        ]
        # The part that has the most to say on why there is no verdict: first one that asking again cannot help.
        telling = min(parts, key=lambda p: (p.readiness.ready, p.readiness.ask_again), default=None)
        state = telling.readiness if telling else Readiness(state="missing", reason="there is no image to judge")
        if own:
            state = Readiness(state="ambiguous", reason=own[0])
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part.counts)
        outcomes: list[Outcome] = [p.outcome for p in parts]
        if own:
            outcomes.append("undetermined")
        scanned = [p.scanned_at for p in parts]
        return Verdict(
            outcome=worst(outcomes),
            readiness=state,
            basis=self.severity.basis,
            judged_at=args["now"],
            repository=scan.repository,
            digest=scan.digest,
            profile=args["profile"],
            source=parts[0].source if parts else "none",
            # The oldest scan: the index is only as fresh as its least fresh image.
            scanned_at=min((s for s in scanned if s), default=None) if all(scanned) else None,
            reasons=tuple(reasons),
            counts={k: total[k] for k in sorted(total, key=lambda s: (severity_rank(s), s))},
            accepted=tuple(f"{p.platform}: {a}" for p in parts for a in p.accepted),
            exemptions=ExemptionReport.merged(p.exemptions for p in parts if p.exemptions is not None),
            vex=VexReport.merged(p.vex for p in parts if p.vex is not None),
            parts=tuple(parts),
            skipped=scan.skipped,
        )

    def _report(
        self,
        report: ScanReport,
        *,
        now: dt.datetime,
        exemptions: Exemptions,
        vex: VexStatements,
        baseline: ScanReport | None,
        first_seen: Mapping[tuple[str, str], dt.datetime],
        scan_type: str | None,
        profile: str | None,
    ) -> Verdict:
        view = View(report=report, severity=self.severity, now=now, baseline=baseline, first_seen=first_seen)
        exempting = ExemptionMatcher(exemptions, report, now, dt.timedelta(days=self.expiring_within_days))
        stating = VexMatcher(vex, report)
        open_findings: list[Finding] = []
        suppressed: list[Suppressed] = []
        in_grace: list[InGrace] = []
        for finding in report.findings:
            hidden = _suppressed(finding, exempting, stating)
            until = None if hidden else self._grace_end(finding, view)
            if hidden is not None:
                suppressed.append(hidden)
            elif until is not None and now <= until:
                in_grace.append(InGrace(finding=finding, until=until))
            else:
                open_findings.append(finding)
        result = self.rules.judge(open_findings, [g.finding for g in in_grace], view, self.accept_undetermined)
        ready = readiness(report, scan_type=scan_type)
        used = exempting.report()
        outcome, extra, accepted = self._around(report, ready, used)
        reasons = [*extra, *_reasons(result, view)]
        accepted += [f"{r.rule}: {r.text}" for r in _flat(result) if r.accepted]
        counted = Counter(self.severity.stated(f) for f in open_findings)
        return Verdict(
            outcome=worst([outcome, result.outcome]),
            readiness=ready,
            basis=self.severity.basis,
            judged_at=now,
            repository=report.repository,
            digest=report.digest,
            platform=report.platform,
            profile=profile,
            source=report.source,
            scanned_at=report.completed_at,
            data_updated_at=report.data_updated_at,
            rules=result.parts,
            reasons=tuple(reasons),
            counts={k: counted[k] for k in sorted(counted, key=lambda s: (severity_rank(s), s))},
            findings=tuple(open_findings),
            suppressed=tuple(suppressed),
            in_grace=tuple(in_grace),
            dropped=report.dropped,
            accepted=tuple(accepted),
            exemptions=used,
            vex=stating.report(),
        )

    def _grace_end(self, finding: Finding, view: View) -> dt.datetime | None:
        severity = self.severity.counted(finding)
        days = self.grace_days.get(severity) if severity is not None else None
        start = view.started(finding)
        if not days or start is None:
            return None
        return start + dt.timedelta(days=days)

    def _around(
        self, report: ScanReport, ready: Readiness, used: ExemptionReport
    ) -> tuple[Outcome, list[Reason], list[str]]:
        """Return what the scan as a whole says, beside the rules."""
        outcomes: list[Outcome] = []
        reasons: list[Reason] = []
        accepted: list[str] = []

        def undetermined(name: str, text: str, change: str) -> None:
            if name in self.accept_undetermined:
                accepted.append(f"{name}: {text}")
                return
            outcomes.append("undetermined")
            reasons.append(Reason(rule=name, outcome="undetermined", text=text, would_change=change))

        if not ready.ready:
            undetermined(f"scan:{ready.state}", ready.reason, _REMEDIES[ready.state])
        if report.unreadable:
            undetermined(
                "scan:unreadable", f"{report.unreadable} entries of the answer could not be read as findings",
                "read `dropped`; an unreadable entry may be a critical finding",
            )  # fmt: skip
        if self.stale_exemptions == "fail":
            for entry in used.unused:
                outcomes.append("fail")
                reasons.append(
                    Reason(
                        rule="stale-exemptions",
                        outcome="fail",
                        text=f"the exemption of {entry.label} matches nothing",
                        would_change="remove it",
                    )
                )
        return worst(outcomes), reasons, accepted


_REMEDIES: Final = {
    "pending": "wait for the scan to finish",
    "failed": "start a new scan, or look up why this one failed",
    "unsupported": "use a base image that ECR scans, or accept scan:unsupported by name",
    "expired": "push the image again, or lengthen the re-scan duration",
    "archived": "restore the image, then scan it",
    "ambiguous": "ask again later, or look up the coverage in Inspector",
    "missing": "start a scan, or switch on scan on push",
    "unknown": "upgrade ecrkit",
}


def _baseline(baseline: ScanReport | ImageScan | None, report: ScanReport) -> ScanReport | None:
    if baseline is None or isinstance(baseline, ScanReport):
        return baseline
    if not baseline.index and len(baseline.reports) == 1:
        return baseline.reports[0]
    return next((r for r in baseline.reports if r.platform == report.platform), None)


def _runs(platform: str | None, wanted: str) -> bool:
    # A cluster that runs linux/arm64 runs linux/arm64/v8 too.
    return platform is not None and (platform == wanted or platform.startswith(wanted + "/"))


def _suppressed(finding: Finding, exempting: ExemptionMatcher, stating: VexMatcher) -> Suppressed | None:
    """Return the finding as suppressed when every package in it is covered, by an exemption or a statement."""
    exempt, stated = exempting.cover(finding), stating.cover(finding)
    places = range(len(finding.packages)) if finding.packages else [-1]
    if not all(p in exempt or p in stated for p in places):
        return None
    used = dict.fromkeys(exempt[p] for p in places if p in exempt)
    heard = dict.fromkeys(stated[p] for p in places if p not in exempt)
    ends = [e.expires for e in used if e.expires is not None]
    kinds: list[Literal["exemption", "vex"]] = []
    if used:
        kinds.append("exemption")
    if heard:
        kinds.append("vex")
    return Suppressed(
        finding=finding,
        by=(*(str(e) for e in used), *(str(s) for s in heard)),
        kinds=tuple(kinds),
        until=min(ends, default=None),
    )


def _flat(result: RuleResult) -> Iterator[RuleResult]:
    yield result
    for part in result.parts:
        yield from _flat(part)


def _reasons(result: RuleResult, view: View) -> Iterator[Reason]:
    """Yield one reason per finding of every rule that is not met; parts of a choice that is met say nothing."""
    if result.outcome == "pass":
        return
    for part in result.parts:
        yield from _reasons(part, view)
    if result.parts:
        return
    for finding in result.offending if result.outcome == "fail" else ():
        yield Reason(
            rule=result.rule, outcome="fail", limit=result.limit, finding=finding, because=result.text,
            text=f"{view.severity.stated(finding)} {finding.where} ({result.text})", would_change=_remedy(finding),
        )  # fmt: skip
    if result.outcome == "fail" and result.unreadable:
        yield Reason(
            rule=result.rule, outcome="fail", limit=result.limit, text=result.text, because=result.text,
            would_change="read the entries that could not be read",
        )  # fmt: skip
    # Also of a rule that fails: whoever mends the offending ones would meet these next.
    for finding, because in result.undecided:
        yield Reason(
            rule=result.rule, outcome="undetermined", limit=result.limit, finding=finding,
            text=f"{view.severity.stated(finding)} {finding.where}: cannot be told, {because}",
            because=f"cannot be told, {because}",
            would_change=f"a source that carries this data, or {result.rule!r} accepted as undetermined by name",
        )  # fmt: skip


def _remedy(finding: Finding) -> str:
    updates = dict.fromkeys(f"{p.name} to {p.fixed_in}" for p in finding.packages if p.fixed_in)
    if updates:
        return f"update {', '.join(updates)}"
    return "update the packages that have a fix" if finding.fixable else _NEVER_ENDS


@attrs.frozen(kw_only=True)
class Profile:
    """A gate for some images: those that match every kind of pattern the profile names.

    `*` in a pattern stands for any characters. A profile without patterns is for every image.
    """

    name: str
    gate: Gate
    environments: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()

    def selects(self, *, repository: str | None, namespace: str | None, environment: str | None) -> bool:
        """Return whether the profile is for such an image; what is not known matches only `*`."""
        return (
            matches_any(self.environments, environment)
            and matches_any(self.namespaces, namespace)
            and matches_any(self.repositories, repository)
        )


def _profiles(values: Iterable[Profile]) -> tuple[Profile, ...]:
    return tuple(values)


@attrs.frozen
class Profiles:
    """Profiles in order; the first that selects an image decides, and an image that none selects is undetermined."""

    entries: tuple[Profile, ...] = attrs.field(converter=_profiles)

    def __attrs_post_init__(self) -> None:
        problems = profile_name_problems(p.name for p in self.entries)
        if problems:
            raise InvalidPolicy("not a set of profiles", problems)

    def choose(
        self, *, repository: str | None = None, namespace: str | None = None, environment: str | None = None
    ) -> Profile | None:
        """Return the first profile that selects the image, or None."""
        return next(
            (p for p in self.entries if p.selects(repository=repository, namespace=namespace, environment=environment)),
            None,
        )

    def named(self, name: str) -> Profile:
        """Return the profile of that name.

        Raises:
            InvalidPolicy: there is none.
        """
        for profile in self.entries:
            if matches(name, profile.name) and "*" not in name:
                return profile
        names = ", ".join(p.name for p in self.entries)
        raise InvalidPolicy.single("no such profile", "$.profiles", f"{name!r} is none of {names}")

    def judge(
        self,
        subject: ScanReport | ImageScan,
        *,
        now: dt.datetime,
        namespace: str | None = None,
        environment: str | None = None,
        profile: str | None = None,
        **more: Any,
    ) -> Verdict:
        """Return the verdict of the profile that selects the image, or of the one that is named.

        Further arguments are those of `Gate.judge`.

        Raises:
            InvalidPolicy: a profile is named that does not exist.
        """
        chosen = (
            self.named(profile)
            if profile is not None
            else self.choose(repository=subject.repository, namespace=namespace, environment=environment)
        )
        if chosen is not None:
            return chosen.gate.judge(subject, now=now, profile=chosen.name, **more)
        text = f"no profile is for repository {subject.repository!r}, namespace {namespace!r}"
        return Verdict(
            outcome="undetermined",
            readiness=Readiness(state="unknown", reason=text),
            basis="ecr",
            judged_at=require_aware(now, "now"),
            repository=subject.repository,
            digest=subject.digest,
            reasons=(
                Reason(
                    rule="profiles", outcome="undetermined", text=text, would_change="add a profile that selects it"
                ),
            ),
        )
