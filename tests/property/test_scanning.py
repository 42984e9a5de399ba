"""Laws of the evaluator: more findings never help, more exemptions never hurt, order never matters."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.scanning import (
    SEVERITIES,
    EpssAtLeast,
    Exemption,
    Exemptions,
    ExploitAvailable,
    Finding,
    FixAvailable,
    Gate,
    IsKnownExploited,
    Limit,
    NewAgainstBaseline,
    OlderThan,
    Package,
    PackageIn,
    ScanReport,
    ScoreAtLeast,
    SeverityAtLeast,
    SeverityIs,
    SeverityPolicy,
    SeverityUnknown,
    Verdict,
    VulnerabilityIn,
    all_of,
    any_of,
    to_csv,
    to_json,
)
from ecrkit.scanning.conditions import Both, Either, View
from tests.unit.scanning.build import NOW, answer, basic_raw, enhanced_raw

IDS = [f"CVE-{n}" for n in range(6)]
NAMES = ["a", "b", "c"]
DAYS = st.one_of(st.none(), st.integers(0, 40).map(lambda d: NOW - dt.timedelta(days=d)))
severities = st.sampled_from([*SEVERITIES, "UNTRIAGED", "UNDEFINED", "NOVEL"])

packages = st.builds(
    Package,
    name=st.sampled_from(NAMES),
    version=st.sampled_from(["1", "2"]),
    path=st.sampled_from([None, "opt/x", "usr/y"]),
    fix=st.sampled_from([None, True, False]),
)
findings = st.builds(
    Finding,
    id=st.sampled_from(IDS),
    severity=severities,
    packages=st.lists(packages, max_size=3).map(tuple),
    related=st.lists(st.sampled_from(IDS), max_size=1).map(tuple),
    score=st.sampled_from([None, 0.0, 3.0, 7.0, 9.5]),
    vector=st.sampled_from([None, "v"]),
    vendor_severity=st.sampled_from([None, "low", "critical", "odd"]),
    fix_available=st.sampled_from([None, "YES", "NO", "PARTIAL"]),
    exploit_available=st.sampled_from([None, "YES", "NO"]),
    epss=st.sampled_from([None, 0.1, 0.9]),
    known_exploited=st.sampled_from([None, True, False]),
    first_observed=DAYS,
    published=DAYS,
)


def reports(found: list[Finding], **more: Any) -> ScanReport:
    values: dict[str, Any] = {"source": "enhanced", "repository": "r", "status": "ACTIVE", "completed_at": NOW, **more}
    return ScanReport(findings=tuple(found), **values)


leaves = st.one_of(
    st.sampled_from(SEVERITIES).map(SeverityIs),
    st.sampled_from(SEVERITIES).map(SeverityAtLeast),
    st.sampled_from([SeverityUnknown(), FixAvailable(), ExploitAvailable(), IsKnownExploited()]),
    st.sampled_from([0.05, 0.5]).map(EpssAtLeast),
    st.sampled_from([2.0, 8.0]).map(ScoreAtLeast),
    st.sampled_from(IDS).map(lambda i: VulnerabilityIn([i])),
    st.sampled_from(NAMES).map(lambda n: PackageIn([n])),
    st.builds(OlderThan, st.integers(0, 40), st.sampled_from(["first_observed", "published"])),
    st.builds(NewAgainstBaseline, st.sampled_from(["package", "id"]), st.sampled_from(["undetermined", "new", "old"])),
)
conditions = st.one_of(
    leaves, st.lists(leaves, min_size=1, max_size=3).map(Both), st.lists(leaves, min_size=1, max_size=3).map(Either)
)


@st.composite
def gates(draw: st.DrawFn) -> Gate:
    numbers = iter(range(100))

    def limit() -> Limit:
        return Limit(
            name=f"r{next(numbers)}",
            at_most=draw(st.integers(0, 3)),
            when=draw(conditions),
            ignores_grace=draw(st.booleans()),
        )

    rules: list[Any] = [limit() for _ in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        rules.append(draw(st.sampled_from([all_of, any_of]))(limit(), limit()))
    names = [n for r in rules for n in r.names()]
    treatments = st.sampled_from([*SEVERITIES, "UNDETERMINED"])
    return Gate(
        rules,
        severity=SeverityPolicy(
            basis=draw(st.sampled_from(["ecr", "vendor", "score"])),
            untriaged_as=draw(treatments),
            undefined_as=draw(treatments),
        ),
        grace_days=draw(st.dictionaries(st.sampled_from(SEVERITIES), st.integers(0, 30), max_size=3)),
        accept_undetermined=draw(st.sets(st.sampled_from(names), max_size=2)),
    )


@st.composite
def exemptions(draw: st.DrawFn) -> Exemption:
    ids = tuple(draw(st.lists(st.sampled_from(IDS), max_size=2, unique=True)))
    names = tuple(
        draw(
            st.lists(
                st.sampled_from(NAMES if not ids else [*NAMES, "*"]), min_size=0 if ids else 1, max_size=2, unique=True
            )
        )
    )
    return Exemption(
        reason="r",
        ids=ids,
        packages=names,
        paths=draw(st.sampled_from([(), ("opt/*",), ("*",)])),
        repositories=draw(st.sampled_from([(), ("r",), ("other",)])),
        expires=draw(st.sampled_from([None, NOW.date(), NOW.date() - dt.timedelta(days=1)])),
        until_fixed=draw(st.booleans()),
    )


several = st.lists(findings, max_size=6)
WORSE = {"pass": 0, "undetermined": 1, "fail": 2}


def judge(gate: Gate, found: list[Finding], exempt: list[Exemption], baseline: list[Finding] | None) -> Verdict:
    base = None if baseline is None else reports(baseline)
    return gate.judge(reports(found), now=NOW, exemptions=Exemptions(exempt), baseline=base)


@settings(max_examples=300)
@given(gates(), several, findings, st.integers(0, 6), st.lists(exemptions(), max_size=3), st.none() | several)
def test_a_further_finding_never_makes_the_outcome_better(
    gate: Gate,
    found: list[Finding],
    further: Finding,
    place: int,
    exempt: list[Exemption],
    baseline: list[Finding] | None,
) -> None:
    before = judge(gate, found, exempt, baseline)
    after = judge(gate, [*found[:place], further, *found[place:]], exempt, baseline)
    assert WORSE[after.outcome] >= WORSE[before.outcome]


@settings(max_examples=300)
@given(gates(), several, st.lists(exemptions(), max_size=3), exemptions(), st.none() | several)
def test_a_further_exemption_never_makes_the_outcome_worse(
    gate: Gate, found: list[Finding], exempt: list[Exemption], further: Exemption, baseline: list[Finding] | None
) -> None:
    before = judge(gate, found, exempt, baseline)
    after = judge(gate, found, [*exempt, further], baseline)
    assert WORSE[after.outcome] <= WORSE[before.outcome]


@settings(max_examples=150)
@given(gates(), several, st.lists(exemptions(), max_size=3), st.randoms(use_true_random=False))
def test_the_order_of_findings_and_exemptions_changes_nothing(
    gate: Gate, found: list[Finding], exempt: list[Exemption], random: Any
) -> None:
    mixed, others = list(found), list(exempt)
    random.shuffle(mixed)
    random.shuffle(others)
    one, two = judge(gate, found, exempt, None), judge(gate, mixed, others, None)
    assert one.outcome == two.outcome
    assert one.counts == two.counts
    assert sorted(map(str, one.reasons)) == sorted(map(str, two.reasons))
    assert sorted(s.finding.id for s in one.suppressed) == sorted(s.finding.id for s in two.suppressed)


@settings(max_examples=150)
@given(gates(), several, st.lists(exemptions(), max_size=3))
def test_every_finding_is_accounted_for_and_every_no_has_a_reason(
    gate: Gate, found: list[Finding], exempt: list[Exemption]
) -> None:
    verdict = judge(gate, found, exempt, None)
    told = [*verdict.findings, *(s.finding for s in verdict.suppressed), *(g.finding for g in verdict.in_grace)]
    assert sorted(map(str, told)) == sorted(map(str, found))
    assert bool(verdict.reasons) is (not verdict.passed)
    assert verdict.exit_code == {"pass": 0, "fail": 1, "undetermined": 3}[verdict.outcome]
    to_json(verdict)
    to_csv(verdict)


@settings(max_examples=300)
@given(gates(), several, st.lists(exemptions(), max_size=3))
def test_a_slow_and_obvious_evaluator_agrees(gate: Gate, found: list[Finding], exempt: list[Exemption]) -> None:
    report = reports(found)
    view = View(report=report, severity=gate.severity, now=NOW)

    def covered(finding: Finding, package: Package | None) -> bool:
        for e in exempt:
            if e.expires is not None and e.expires < NOW.date():
                continue
            if e.until_fixed and finding.fixable is not False:
                continue
            if e.repositories and "r" not in e.repositories:
                continue
            if e.ids and not {finding.id, *finding.related} & set(e.ids):
                continue
            if package is None:
                if e.packages or e.paths:
                    continue
            else:
                if e.packages and package.name not in e.packages and "*" not in e.packages:
                    continue
                if e.paths and e.paths != ("*",) and not (package.path or "").startswith("opt/"):
                    continue
            if not e.ids and package is None:
                continue
            return True
        return False

    left, grace = [], []
    for f in found:
        if all(covered(f, p) for p in f.packages or (None,)):
            continue
        counted = gate.severity.counted(f)
        days = gate.grace_days.get(counted or "", 0)
        if days and f.first_observed is not None and (NOW - f.first_observed).days <= days:
            grace.append(f)
        else:
            left.append(f)

    def outcome(rule: Any) -> str:
        if isinstance(rule, Limit):
            answers = [rule.when.holds(f, view) for f in (left + grace if rule.ignores_grace else left)]
            yes, unknown = answers.count(True), answers.count(None)
            said = "fail" if yes > rule.at_most else "undetermined" if yes + unknown > rule.at_most else "pass"
        else:
            parts = [outcome(r) for r in rule.rules]
            said = (max if type(rule).__name__ == "AllOf" else min)(parts, key=WORSE.__getitem__)
        return "pass" if said == "undetermined" and rule.name in gate.accept_undetermined else said

    assert judge(gate, found, exempt, None).outcome == outcome(gate.rules)


raw_findings = st.one_of(
    st.builds(basic_raw, st.sampled_from(IDS), st.none() | severities, st.sampled_from(NAMES)),
    st.builds(
        enhanced_raw, st.sampled_from(IDS), severities,
        status=st.sampled_from(["ACTIVE", "CLOSED", "SUPPRESSED"]), updatedAt=st.integers(1, 3), fixAvailable=st.sampled_from(["YES", "NO"]),
    ),
)  # fmt: skip


@settings(max_examples=150)
@given(
    st.lists(st.tuples(st.booleans(), raw_findings), max_size=6), st.integers(0, 6), st.randoms(use_true_random=False)
)
def test_the_order_of_pages_and_of_findings_in_them_changes_no_report(
    entries: list[Any], cut: int, random: Any
) -> None:
    basic = [raw for _, raw in entries if "attributes" in raw]
    enhanced = [raw for _, raw in entries if "attributes" not in raw]

    def pages(first: list[Any], second: list[Any]) -> list[Any]:
        return [{**answer("ACTIVE", enhanced=first, basic=basic), "nextToken": "2"}, answer("ACTIVE", enhanced=second)]

    one = ScanReport.from_api(pages(enhanced[:cut], enhanced[cut:]))
    mixed = list(enhanced)
    random.shuffle(mixed)
    random.shuffle(basic)
    two = ScanReport.from_api(pages(mixed[:cut], mixed[cut:])[::-1])
    assert attrs.asdict(one) == attrs.asdict(two)
    dropped = sum(d.count for d in one.dropped)
    assert len(one.findings) + dropped == len(basic) + len(enhanced)
