"""Gates: limits, conditions with three answers, grace, what is accepted by name, profiles, verdicts."""

from __future__ import annotations

import datetime as dt
import json
import pickle
from typing import Any

import attrs
import pytest

from ecrkit.errors import GateRefused, InvalidInput, InvalidPolicy
from ecrkit.scanning import (
    SEVERITIES,
    Both,
    Dropped,
    Either,
    EpssAtLeast,
    Exemption,
    Exemptions,
    Finding,
    Gate,
    ImageScan,
    IsKnownExploited,
    Limit,
    OutsideLayers,
    Profile,
    Profiles,
    ScanReport,
    SeverityPolicy,
    VexStatements,
    all_of,
    any_of,
    compare,
    count_limit,
    deny_exploit_available,
    deny_fixable,
    deny_known_exploited,
    deny_packages,
    deny_vulnerabilities,
    epss_below,
    new_findings_limit,
    score_below,
    sla,
    unknown_limit,
)
from tests.unit.scanning.build import DIGEST, NOW, OTHER, answer, basic_raw, day, enhanced_raw, finding, package, report


def outcome(rule: Any, *findings: Finding, **more: Any) -> str:
    gate = {
        k: more.pop(k) for k in list(more) if k in ("severity", "grace_days", "accept_undetermined", "stale_exemptions")
    }
    judge = {k: more.pop(k) for k in list(more) if k in ("baseline", "first_seen", "exemptions", "now")}
    return Gate(rule, **gate).judge(report(*findings, **more), **{"now": NOW, **judge}).outcome


def many(severity: str, count: int) -> list[Finding]:
    return [finding(f"CVE-{severity}-{n}", severity) for n in range(count)]


class TestCountLimits:
    """A limit per severity: 0 means none allowed, a severity that is left out has no limit."""

    @pytest.mark.parametrize(
        ("limit", "count", "expected"), [(0, 0, "pass"), (0, 1, "fail"), (2, 2, "pass"), (2, 3, "fail")]
    )
    def test_the_edge(self, limit: int, count: int, expected: str) -> None:
        assert outcome(count_limit("HIGH", limit), *many("HIGH", count)) == expected

    def test_only_exactly_that_severity(self) -> None:
        assert outcome(count_limit("HIGH", 0), *many("CRITICAL", 3), *many("MEDIUM", 3)) == "pass"

    def test_findings_are_counted_not_packages(self) -> None:
        assert outcome(count_limit("HIGH", 1), finding("CVE-1", "HIGH", package("a"), package("b"))) == "pass"

    @pytest.mark.parametrize("bad", [-1, None])
    def test_a_negative_limit_is_refused(self, bad: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            count_limit("HIGH", bad)

    def test_an_unknown_severity_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="severity"):
            count_limit("SEVERE", 0)


class TestUnknownSeverities:
    """UNTRIAGED is in no count of other tools and UNDEFINED never fails there; here what they count as is stated."""

    @pytest.mark.parametrize("severity", ["UNTRIAGED", "UNDEFINED", "A_WORD_OF_2030"])
    def test_high_by_default(self, severity: str) -> None:
        assert outcome(count_limit("HIGH", 0), finding("C", severity)) == "fail"
        assert outcome(count_limit("CRITICAL", 0), finding("C", severity)) == "pass"

    def test_as_the_policy_says(self) -> None:
        policy = SeverityPolicy(untriaged_as="CRITICAL", undefined_as="LOW")
        assert outcome(count_limit("CRITICAL", 0), finding("C", "UNTRIAGED"), severity=policy) == "fail"
        assert outcome(count_limit("HIGH", 0), finding("C", "UNDEFINED"), severity=policy) == "pass"

    def test_undetermined_only_where_it_could_break_the_limit(self) -> None:
        policy = SeverityPolicy(untriaged_as="UNDETERMINED")
        odd = finding("C", "UNTRIAGED")
        assert outcome(count_limit("HIGH", 0), odd, severity=policy) == "undetermined"
        assert outcome(count_limit("HIGH", 1), odd, severity=policy) == "pass"
        assert outcome(count_limit("HIGH", 1), odd, *many("HIGH", 1), severity=policy) == "undetermined"
        assert outcome(count_limit("HIGH", 1), odd, *many("HIGH", 2), severity=policy) == "fail"

    def test_a_limit_on_their_number(self) -> None:
        assert outcome(unknown_limit(1), finding("A", "UNTRIAGED"), *many("CRITICAL", 5)) == "pass"
        assert outcome(unknown_limit(1), finding("A", "UNTRIAGED"), finding("B", "UNDEFINED")) == "fail"

    def test_unreadable_entries_count_as_unknown(self) -> None:
        dropped = (Dropped(reason="unreadable", count=2, readable=False),)
        accept = frozenset({"scan:unreadable"})
        assert outcome(unknown_limit(1), dropped=dropped, accept_undetermined=accept) == "fail"
        assert outcome(unknown_limit(2), dropped=dropped, accept_undetermined=accept) == "pass"
        verdict = Gate(unknown_limit(1), accept_undetermined=accept).judge(report(dropped=dropped), now=NOW)
        assert [(r.rule, r.outcome, r.finding) for r in verdict.reasons] == [("unknown", "fail", None)]
        assert outcome(unknown_limit(2), dropped=dropped) == "undetermined"


class TestConditions:
    """Each rule is a condition with three answers; what a source does not carry is undetermined, never fine."""

    @pytest.mark.parametrize(
        ("rule", "hit", "miss", "unknown"),
        [
            (deny_fixable("HIGH"), {"fix_available": "YES"}, {"fix_available": "NO"}, {}),
            (deny_fixable("HIGH"), {"fix_available": "PARTIAL"}, {"fix_available": "NO"}, {}),
            (deny_exploit_available(), {"exploit_available": "YES"}, {"exploit_available": "NO"}, {"exploit_available": "?"}),
            (deny_exploit_available("LOW"), {"last_exploit_at": NOW}, {"exploit_available": "NO"}, {}),
            (epss_below(0.5), {"epss": 0.5}, {"epss": 0.49}, {"epss": None}),
            (deny_known_exploited(), {"known_exploited": True}, {"known_exploited": False}, {"known_exploited": None}),
            (score_below(7.0), {"score": 7.0, "vector": "x"}, {"score": 6.9, "vector": "x"}, {"score": 0.0}),
            (sla("HIGH", 30), {"first_observed": NOW - dt.timedelta(days=31)}, {"first_observed": NOW - dt.timedelta(days=30)}, {}),
            (sla("HIGH", 30, since="published"), {"published": NOW - dt.timedelta(days=31)}, {"published": NOW}, {"first_observed": NOW}),
        ],
    )  # fmt: skip
    def test_three_answers(
        self, rule: Limit, hit: dict[str, Any], miss: dict[str, Any], unknown: dict[str, Any]
    ) -> None:
        assert outcome(rule, finding(**hit)) == "fail"
        assert outcome(rule, finding(**miss)) == "pass"
        assert outcome(rule, finding(**unknown)) == "undetermined"
        assert outcome(rule) == "pass"

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"epss": 0.9, "known_exploited": None}, "fail"), ({"epss": None, "known_exploited": True}, "fail"),
            ({"epss": 0.1, "known_exploited": None}, "undetermined"), ({"epss": None, "known_exploited": False}, "undetermined"),
            ({"epss": 0.1, "known_exploited": False}, "pass"),
        ],
    )  # fmt: skip
    def test_one_of_two_conditions(self, values: dict[str, Any], expected: str) -> None:
        rule = Limit(name="r", at_most=0, when=Either([EpssAtLeast(0.5), IsKnownExploited()]))
        assert outcome(rule, finding(**values)) == expected

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"epss": 0.9, "known_exploited": True}, "fail"), ({"epss": None, "known_exploited": True}, "undetermined"),
            ({"epss": None, "known_exploited": False}, "pass"), ({"epss": 0.1, "known_exploited": None}, "pass"),
        ],
    )  # fmt: skip
    def test_both_of_two_conditions(self, values: dict[str, Any], expected: str) -> None:
        rule = Limit(name="r", at_most=0, when=Both([EpssAtLeast(0.5), IsKnownExploited()]))
        assert outcome(rule, finding(**values)) == expected

    def test_a_score_of_zero_that_somebody_gave_is_known(self) -> None:
        assert outcome(score_below(7.0), finding(score=0.0, vector="CVSS:3.1/x")) == "pass"
        assert outcome(score_below(7.0), finding(score=None, vector="CVSS:3.1/x")) == "undetermined"
        assert outcome(score_below(0.0), finding(score=5.0)) == "fail"

    def test_zero_days_means_from_the_next_moment_on(self) -> None:
        assert outcome(sla("HIGH", 0), finding(first_observed=NOW)) == "pass"
        assert outcome(sla("HIGH", 0), finding(first_observed=NOW - dt.timedelta(microseconds=1))) == "fail"

    def test_a_known_no_beats_an_unknown(self) -> None:
        """A LOW finding without fix data is no HIGH one with a fix."""
        assert outcome(deny_fixable("HIGH"), finding("C", "LOW")) == "pass"

    def test_count_limit_of_fixable_ones_only(self) -> None:
        rule = count_limit("HIGH", 0, fixable_only=True)
        assert outcome(rule, finding(fix_available="NO")) == "pass"
        assert outcome(rule, finding(fix_available="YES")) == "fail"

    def test_named_vulnerabilities_and_aliases(self) -> None:
        rule = deny_vulnerabilities("CVE-2021-44228", "GHSA-1")
        assert outcome(rule, finding("CVE-2021-44228", "LOW")) == "fail"
        assert outcome(rule, finding("CVE-1", "LOW", related=("GHSA-1",))) == "fail"
        assert outcome(rule, finding("CVE-2021-442288", "LOW")) == "pass"

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("log4j-core", "fail"),
            ("log4j-core@2.14.1", "fail"),
            ("log4j-core@2.17.0", "pass"),
            ("log4j*", "fail"),
            ("core", "pass"),
            ("@s/p@1.0", "fail"),
        ],
    )
    def test_named_packages(self, name: str, expected: str) -> None:
        found = finding("C", "LOW", package("log4j-core", "2.14.1"), package("@s/p", "1.0"))
        assert outcome(deny_packages(name), found) == expected

    def test_a_finding_without_package_cannot_be_told(self) -> None:
        assert outcome(deny_packages("x"), Finding(id="C", severity="LOW")) == "undetermined"

    def test_layers_of_the_base_image_can_be_left_out(self) -> None:
        rule = Limit(name="own", at_most=0, when=OutsideLayers(["sha256:base"]))
        assert outcome(rule, finding("C", "HIGH", package(layer="sha256:base"))) == "pass"
        assert outcome(rule, finding("C", "HIGH", package(layer="sha256:base"), package(layer="sha256:mine"))) == "fail"
        assert outcome(rule, finding("C", "HIGH", package())) == "undetermined"

    def test_basic_scans_cannot_be_judged_on_fixes_dates_epss_or_exploits(self) -> None:
        basic = ScanReport.from_api(answer(basic=[basic_raw("CVE-1")]))
        for rule in (deny_fixable(), sla("HIGH", 1), epss_below(0.1), deny_known_exploited(), deny_exploit_available()):
            verdict = Gate(rule).judge(basic, now=NOW)
            assert verdict.outcome == "undetermined"
            assert "basic scan" in verdict.reasons[0].text
            assert Gate(rule, accept_undetermined=[rule.name]).judge(basic, now=NOW).outcome == "pass"


class TestBaseline:
    """New against a baseline image only: compared by vulnerability and package, or by vulnerability."""

    OLD = report(finding("CVE-1", "HIGH", package("a")), digest=OTHER)

    def test_what_the_baseline_has_does_not_count(self) -> None:
        assert outcome(new_findings_limit(), finding("CVE-1", "HIGH", package("a", "9")), baseline=self.OLD) == "pass"
        assert outcome(new_findings_limit(), finding("CVE-2", "HIGH", package("a")), baseline=self.OLD) == "fail"

    def test_a_further_package_is_new_unless_compared_by_id(self) -> None:
        spread = finding("CVE-1", "HIGH", package("a"), package("b"))
        assert outcome(new_findings_limit(), spread, baseline=self.OLD) == "fail"
        assert outcome(new_findings_limit(by="id"), spread, baseline=self.OLD) == "pass"

    @pytest.mark.parametrize(
        ("without", "expected"), [("undetermined", "undetermined"), ("new", "fail"), ("old", "pass")]
    )
    def test_the_first_image_has_no_baseline(self, without: Any, expected: str) -> None:
        assert outcome(new_findings_limit(without_baseline=without), finding()) == expected

    def test_severity(self) -> None:
        assert outcome(new_findings_limit(severity="HIGH"), finding("CVE-9", "LOW"), baseline=self.OLD) == "pass"

    def test_a_baseline_that_is_not_ready_tells_nothing(self) -> None:
        pending = report(status="PENDING")
        assert outcome(new_findings_limit(), finding(), baseline=pending) == "undetermined"

    def test_a_basic_baseline_of_older_vulnerability_data(self) -> None:
        base = report(source="basic", status="COMPLETE", data_updated_at=day("2026-11-01"))
        new = {"source": "basic", "status": "COMPLETE", "data_updated_at": day("2026-11-24")}
        assert outcome(new_findings_limit(), finding(), baseline=base, **new) == "undetermined"
        fresh = report(source="basic", status="COMPLETE", data_updated_at=day("2026-11-23"))
        stale = report(source="basic", status="COMPLETE", data_updated_at=day("2026-11-22"))
        assert outcome(new_findings_limit(), finding(), baseline=stale, **new) == "undetermined"
        assert outcome(new_findings_limit(), finding(), baseline=fresh, **new) == "fail"


class TestCombining:
    """all_of takes the worst answer, any_of the best; nothing to combine is refused."""

    PASS, FAIL, ODD = deny_packages("zzz"), count_limit("HIGH", 0), epss_below(0.5)

    @pytest.mark.parametrize("make", [all_of, any_of, lambda: Gate([])])
    def test_empty_is_refused(self, make: Any) -> None:
        with pytest.raises(InvalidInput, match="at least one rule"):
            make()

    def test_table(self) -> None:
        for rules, worst_of, best_of in [
            ((self.PASS, self.FAIL), "fail", "pass"),
            ((self.PASS, self.ODD), "undetermined", "pass"),
            ((self.FAIL, self.ODD), "fail", "undetermined"),
            ((self.FAIL,), "fail", "fail"),
        ]:
            assert outcome(all_of(*rules), finding()) == worst_of
            assert outcome(any_of(*rules), finding()) == best_of

    def test_the_results_say_how_many_rules_are_met(self) -> None:
        for make, text in ((all_of, "1 of 2 rules not met"), (any_of, "1 of 2 rules met, one is enough")):
            verdict = Gate([make(self.PASS, self.FAIL)]).judge(report(finding()), now=NOW)
            assert verdict.rules[0].text == text

    def test_a_name_of_ones_own(self) -> None:
        assert sla("HIGH", 1, name="mine").name == "mine"
        assert count_limit("HIGH", 1, name="mine").name == "mine"

    def test_only_the_limit_on_the_unknown_counts_unreadable_entries(self) -> None:
        dropped = (Dropped(reason="unreadable", count=2, readable=False),)
        assert outcome(count_limit("HIGH", 0), dropped=dropped, accept_undetermined=["scan:unreadable"]) == "pass"

    def test_reasons_of_a_choice_that_is_met_are_not_told(self) -> None:
        verdict = Gate(any_of(self.PASS, self.FAIL)).judge(report(finding()), now=NOW)
        assert (verdict.outcome, verdict.reasons) == ("pass", ())

    def test_a_choice_may_be_accepted_as_a_whole(self) -> None:
        rule = any_of(self.ODD, self.FAIL, name="either")
        assert outcome(rule, finding()) == "undetermined"
        assert outcome([rule], finding(), accept_undetermined=["either"]) == "pass"

    def test_two_rules_of_one_name_are_refused(self) -> None:
        with pytest.raises(InvalidPolicy, match="two rules are named"):
            Gate([count_limit("HIGH", 0), count_limit("HIGH", 5)])

    def test_accepting_what_does_not_exist_is_refused(self) -> None:
        with pytest.raises(InvalidPolicy, match="neither a rule"):
            Gate(count_limit("HIGH", 0), accept_undetermined=["hihg", "scan:great"])


class TestGrace:
    """Grace per severity runs from the first observation; a missing date means no grace."""

    @pytest.mark.parametrize(
        ("age", "expected"), [(13, "pass"), (14, "pass"), (14.001, "fail"), (100, "fail"), (None, "fail")]
    )
    def test_the_edge(self, age: float | None, expected: str) -> None:
        seen = None if age is None else NOW - dt.timedelta(days=age)
        assert outcome(count_limit("HIGH", 0), finding(first_observed=seen), grace_days={"HIGH": 14}) == expected

    def test_only_for_its_severity(self) -> None:
        assert outcome(count_limit("HIGH", 0), finding(first_observed=NOW), grace_days={"LOW": 14}) == "fail"

    def test_listed_with_its_end(self) -> None:
        gate = Gate(count_limit("HIGH", 0), grace_days={"HIGH": 14})
        verdict = gate.judge(report(finding(first_observed=day("2026-11-20"))), now=NOW)
        assert [g.until for g in verdict.in_grace] == [day("2026-12-04")]
        assert "2026-12-04" in verdict.explain()

    def test_a_push_does_not_start_it_anew(self) -> None:
        found = finding("CVE-1", "HIGH", package("curl"), first_observed=NOW)
        before = {("CVE-1", "curl"): NOW - dt.timedelta(days=30)}
        assert outcome(count_limit("HIGH", 0), found, grace_days={"HIGH": 14}) == "pass"
        assert outcome(count_limit("HIGH", 0), found, grace_days={"HIGH": 14}, first_seen=before) == "fail"

    def test_exploited_and_named_ones_have_none(self) -> None:
        found = finding("CVE-1", first_observed=NOW, known_exploited=True)
        for rule in (deny_known_exploited(), deny_vulnerabilities("CVE-1"), deny_packages("curl")):
            assert outcome(rule, found, grace_days={"HIGH": 14}) == "fail"

    def test_none_at_all(self) -> None:
        assert outcome(count_limit("HIGH", 0), finding(first_observed=NOW), grace_days={"HIGH": 0}) == "fail"

    @pytest.mark.parametrize("grace", [{"HGH": 1}, {"HIGH": -1}, {"HIGH": True}])
    def test_a_bad_grace_is_refused(self, grace: dict[str, int]) -> None:
        with pytest.raises(InvalidPolicy):
            Gate(count_limit("HIGH", 0), grace_days=grace)


class TestScansThatAreNoResult:
    """Only COMPLETE or ACTIVE with evidence passes; every other state is undetermined unless it is accepted by name."""

    @pytest.mark.parametrize(
        ("found", "state", "code"),
        [
            (ScanReport.not_found(), "missing", 75), (report(status="PENDING"), "pending", 75),
            (report(status="FAILED"), "failed", 3), (report(status="UNSUPPORTED_IMAGE"), "unsupported", 3),
            (report(status="SCAN_ELIGIBILITY_EXPIRED"), "expired", 3), (report(status="IMAGE_ARCHIVED"), "archived", 3),
            (report(completed_at=None), "ambiguous", 3), (report(status="NOVEL"), "unknown", 3),
        ],
    )  # fmt: skip
    def test_each_state(self, found: ScanReport, state: str, code: int) -> None:
        verdict = Gate(count_limit("CRITICAL", 0)).judge(found, now=NOW)
        assert (verdict.outcome, verdict.readiness.state, verdict.exit_code) == ("undetermined", state, code)
        assert not verdict.passed
        assert verdict.reasons[0].would_change
        accepted = Gate(count_limit("CRITICAL", 0), accept_undetermined=[f"scan:{state}"]).judge(found, now=NOW)
        assert accepted.outcome == "pass"
        assert accepted.accepted

    def test_findings_of_an_unfinished_scan_can_only_fail(self) -> None:
        verdict = Gate(count_limit("HIGH", 0)).judge(report(finding(), status="PENDING"), now=NOW)
        assert (verdict.outcome, verdict.exit_code) == ("fail", 1)

    def test_an_expired_scan_whose_findings_were_closed_is_not_fixed(self) -> None:
        raw = answer("SCAN_ELIGIBILITY_EXPIRED", enhanced=[enhanced_raw("CVE-1", status="CLOSED")])
        assert Gate(count_limit("HIGH", 0)).judge(ScanReport.from_api(raw), now=NOW).outcome == "undetermined"


class TestPlatforms:
    """Every platform image of an index is judged; the worst answer is the index's, and the verdict names the platform."""

    CLEAN = report(platform="linux/amd64")
    DIRTY = report(finding(), platform="linux/arm64", digest=OTHER)
    GATE = Gate(count_limit("HIGH", 0))

    def scan(self, *reports: ScanReport, **more: Any) -> ImageScan:
        return ImageScan(repository="team/app", digest="sha256:i", index=True, reports=reports, **more)

    def test_one_bad_platform_fails_the_index(self) -> None:
        verdict = self.GATE.judge(self.scan(self.CLEAN, self.DIRTY), now=NOW)
        assert (verdict.outcome, [r.platform for r in verdict.reasons]) == ("fail", ["linux/arm64"])
        assert [p.outcome for p in verdict.parts] == ["pass", "fail"]
        assert verdict.counts == {"HIGH": 1}
        assert "linux/arm64" in verdict.explain()

    def test_only_the_platforms_a_cluster_runs(self) -> None:
        scan = self.scan(self.CLEAN, self.DIRTY)
        assert self.GATE.judge(scan, now=NOW, platforms=["linux/amd64"]).outcome == "pass"
        assert self.GATE.judge(scan, now=NOW, platforms=["linux/arm64"]).outcome == "fail"

    def test_a_plain_image_is_no_index(self) -> None:
        verdict = self.GATE.judge(ImageScan(repository="team/app", digest=DIGEST, reports=[report(finding())]), now=NOW)
        assert (verdict.parts, verdict.outcome, len(verdict.findings)) == ((), "fail", 1)
        faulty = ImageScan(digest=DIGEST, reports=[report()], problem="half read")
        assert self.GATE.judge(faulty, now=NOW).outcome == "undetermined"
        two = ImageScan(digest=DIGEST, reports=[report(), report(finding())])
        assert self.GATE.judge(two, now=NOW).outcome == "fail"

    @pytest.mark.parametrize(
        ("statuses", "state", "code"),
        [
            (("ACTIVE", "PENDING"), "pending", 75), (("PENDING", "ACTIVE"), "pending", 75), (("PENDING", "FAILED"), "failed", 3),
            (("FAILED", "PENDING"), "failed", 3), (("ACTIVE", "ACTIVE"), "ready", 0),
        ],
    )  # fmt: skip
    def test_the_readiness_of_an_index_is_that_of_its_least_ready_image(
        self, statuses: Any, state: str, code: int
    ) -> None:
        verdict = self.GATE.judge(self.scan(*(report(status=s, platform=f"linux/{s}") for s in statuses)), now=NOW)
        assert (verdict.readiness.state, verdict.exit_code) == (state, code)

    def test_statements_on_one_platform_are_not_unmatched(self) -> None:
        statements = VexStatements.parse(
            {"@context": "https://openvex.dev/ns/v0.2.0", "timestamp": "2026-11-01T00:00:00Z", "statements": [
                {"vulnerability": {"name": "CVE-2026-1"}, "status": "fixed", "products": [{"@id": "pkg:oci/app"}]},
                {"vulnerability": {"name": "CVE-GONE"}, "status": "fixed", "products": [{"@id": "pkg:oci/app"}]}]}
        )  # fmt: skip
        told = self.GATE.judge(self.scan(self.CLEAN, self.DIRTY), now=NOW, vex=statements).vex
        assert told is not None
        assert [s.ids for s, _ in told.applied] == [("CVE-2026-1",)]
        assert [s.ids for s in told.unmatched] == [("CVE-GONE",)]

    def test_a_plain_baseline_image(self) -> None:
        gate = Gate(new_findings_limit())
        base = ImageScan(digest=OTHER, reports=[report(finding())])
        assert gate.judge(report(finding(), platform="linux/amd64"), now=NOW, baseline=base).outcome == "pass"
        assert gate.judge(report(finding("CVE-9")), now=NOW, baseline=base).outcome == "fail"
        other = self.scan(report(finding(), platform="linux/s390x"))
        assert gate.judge(report(finding(), platform="linux/amd64"), now=NOW, baseline=other).outcome == "undetermined"

    def test_a_variant_is_its_platform(self) -> None:
        scan = self.scan(report(finding(), platform="linux/arm64/v8"))
        assert self.GATE.judge(scan, now=NOW, platforms=["linux/arm64"]).outcome == "fail"

    def test_a_platform_the_index_lacks(self) -> None:
        verdict = self.GATE.judge(self.scan(self.CLEAN), now=NOW, platforms=["linux/amd64", "windows/amd64"])
        assert verdict.outcome == "undetermined"
        assert "windows/amd64" in verdict.reasons[0].text

    def test_an_index_without_images(self) -> None:
        assert self.GATE.judge(self.scan(skipped=("sha256:att",)), now=NOW).outcome == "undetermined"

    def test_an_image_nobody_could_read(self) -> None:
        assert self.GATE.judge(ImageScan(problem="no permission"), now=NOW).outcome == "undetermined"

    def test_the_oldest_scan_is_the_scan_time(self) -> None:
        older = report(platform="linux/arm64", completed_at=day("2026-11-01"))
        assert self.GATE.judge(self.scan(self.CLEAN, older), now=NOW).scanned_at == day("2026-11-01")

    def test_baselines_are_compared_platform_by_platform(self) -> None:
        gate = Gate(new_findings_limit())
        scan = self.scan(self.DIRTY, report(finding(), platform="linux/amd64"))
        assert gate.judge(scan, now=NOW, baseline=scan).outcome == "pass"
        assert gate.judge(scan, now=NOW, baseline=self.scan(self.DIRTY, self.CLEAN)).outcome == "fail"
        assert gate.judge(scan, now=NOW, baseline=self.scan(self.DIRTY)).outcome == "undetermined"


class TestSeverityBasis:
    """One named severity source per verdict: two of them made one summary say Medium 1 and low at once."""

    @pytest.mark.parametrize(
        ("basis", "counts"), [("ecr", {"MEDIUM": 1}), ("vendor", {"INFORMATIONAL": 1}), ("score", {"HIGH": 1})]
    )
    def test_the_verdict_counts_by_its_basis(self, basis: Any, counts: dict[str, int]) -> None:
        found = finding("CVE-2021-3744", "MEDIUM", vendor_severity="unimportant", score=7.8, vector="x")
        verdict = Gate(count_limit("CRITICAL", 0), severity=SeverityPolicy(basis=basis)).judge(report(found), now=NOW)
        assert (verdict.basis, verdict.counts) == (basis, counts)
        assert basis in verdict.explain()


class TestVerdict:
    """A verdict names image, scan time, profile, every reason and what would change it."""

    def test_a_reason_names_the_cve_the_package_and_the_fix(self) -> None:
        found = finding("CVE-1", "HIGH", package("curl", "1.0", fixed_in="1.2"), package("zlib", "3", fixed_in="4"))
        verdict = Gate(count_limit("HIGH", 0)).judge(report(found), now=NOW, profile="prod")
        text = verdict.explain()
        for part in (
            "FAIL",
            "CVE-1",
            "curl 1.0 -> 1.2",
            "update curl to 1.2, zlib to 4",
            DIGEST,
            "profile prod",
            "none allowed",
        ):
            assert part in text
        assert (verdict.reasons[0].rule, verdict.reasons[0].limit) == ("high", 0)

    def test_without_a_fix_an_exemption_would_change_it(self) -> None:
        verdict = Gate(count_limit("HIGH", 0)).judge(report(finding(fix_available="NO")), now=NOW)
        assert "exemption" in verdict.reasons[0].would_change

    def test_json_and_pickle(self) -> None:
        verdict = Gate(count_limit("HIGH", 0)).judge(report(finding()), now=NOW)
        body = json.loads(verdict.to_json())
        assert (body["format"], body["outcome"], body["exit_code"]) == ("ecrkit.verdict/1", "fail", 1)
        assert body["rules"][0]["offending"] == ["CVE-2026-1"]
        assert pickle.loads(pickle.dumps(verdict)) == verdict
        assert hash(pickle.loads(pickle.dumps(verdict))) == hash(verdict)
        passed = Gate(count_limit("LOW", 0)).judge(report(finding()), now=NOW)
        assert (passed.passed, passed.exit_code) == (True, 0)
        assert "<table>" in verdict._repr_html_()

    def test_a_naive_now_is_refused(self) -> None:
        with pytest.raises(ValueError, match="time zone"):
            Gate(count_limit("HIGH", 0)).judge(report(), now=dt.datetime(2026, 1, 1))

    def test_stale_exemptions_warn_or_fail(self) -> None:
        stale = Exemptions([Exemption(ids=("CVE-GONE",), reason="r", until_fixed=True)])
        assert outcome(count_limit("HIGH", 0), exemptions=stale) == "pass"
        assert outcome(count_limit("HIGH", 0), exemptions=stale, stale_exemptions="fail") == "fail"


class TestProfiles:
    """Thresholds per environment, namespace or repository; the first profile that selects an image decides."""

    STRICT, LAX = Gate(count_limit("HIGH", 0)), Gate(count_limit("HIGH", 9))
    PROFILES = Profiles(
        [
            Profile(name="prod", gate=STRICT, namespaces=("prod-*",), repositories=("team/*",)),
            Profile(name="stage", gate=LAX, environments=("stage",)),
        ]
    )

    @pytest.mark.parametrize(
        ("where", "expected"),
        [
            ({"namespace": "prod-eu"}, ("fail", "prod")), ({"namespace": "prod-eu", "environment": "stage"}, ("fail", "prod")),
            ({"environment": "stage"}, ("pass", "stage")), ({"namespace": "dev"}, ("undetermined", None)),
            ({"namespace": "dev", "profile": "prod"}, ("fail", "prod")),
        ],
    )  # fmt: skip
    def test_choice(self, where: dict[str, Any], expected: tuple[str, str | None]) -> None:
        verdict = self.PROFILES.judge(report(finding()), now=NOW, **where)
        assert (verdict.outcome, verdict.profile) == expected

    def test_all_kinds_of_pattern_must_match(self) -> None:
        assert self.PROFILES.choose(repository="other", namespace="prod-eu") is None

    def test_faults(self) -> None:
        for entries in ([], [self.PROFILES.entries[0]] * 2):
            with pytest.raises(InvalidPolicy):
                Profiles(entries)
        with pytest.raises(InvalidPolicy, match="none of prod, stage"):
            self.PROFILES.named("*")


class TestCompare:
    """What a deploy brings in; what an unfinished scan lacks has vanished and is not fixed."""

    OLD = report(finding("CVE-1"), finding("CVE-2", "LOW"), finding("CVE-3", "HIGH", package("a")))
    NEW = report(finding("CVE-2", "CRITICAL"), finding("CVE-3", "HIGH", package("a"), package("b")), finding("CVE-4"))

    def test_by_vulnerability_and_by_package(self) -> None:
        found = compare(self.OLD, self.NEW)
        assert [f.id for f in found.introduced] == ["CVE-4"]
        assert [f.id for f in found.fixed] == ["CVE-1"]
        assert [f.id for f in found.unchanged] == ["CVE-3"]
        assert [(c.id, c.before, c.after) for c in found.changed_severity] == [("CVE-2", ("LOW",), ("CRITICAL",))]
        assert found.packages_introduced == (("CVE-3", "b"), ("CVE-4", "curl"))
        assert found.packages_fixed == (("CVE-1", "curl"),)
        assert found.reliable

    def test_a_vanished_finding_is_no_fix(self) -> None:
        found = compare(self.OLD, report(status="SCAN_ELIGIBILITY_EXPIRED"))
        assert (len(found.vanished), found.fixed, found.packages_fixed) == (3, (), ())
        assert "vanished" in found.explain()

    def test_what_an_entry_nobody_could_read_may_hold_is_no_fix(self) -> None:
        torn = attrs.evolve(self.NEW, dropped=(Dropped(reason="no severity", count=2, readable=False),))
        found = compare(self.OLD, torn)
        assert ([f.id for f in found.vanished], found.fixed, found.packages_fixed) == (["CVE-1"], (), ())
        assert not found.reliable
        assert "2 entries of it could not be read" in found.explain()
        assert "could not be read" not in compare(self.OLD, report(status="PENDING")).explain()

    def test_an_old_scan_that_is_not_ready_is_told(self) -> None:
        pending = report(status="PENDING")
        assert not compare(pending, self.NEW).reliable
        assert not compare(self.OLD, pending).reliable
        assert "the old scan is pending" in compare(pending, self.NEW).explain()
        assert "the old scan" not in compare(self.OLD, self.NEW).explain()

    def test_aliases_are_the_same_vulnerability(self) -> None:
        found = compare(report(finding("GHSA-1")), report(finding("CVE-9", related=("GHSA-1",))))
        assert (found.introduced, found.fixed) == ((), ())

    def test_every_severity_has_a_limit_rule(self) -> None:
        assert [count_limit(s, 0).name for s in SEVERITIES] == ["critical", "high", "medium", "low", "informational"]


class TestRequire:
    """A verdict that is no pass can be raised: fail and undetermined alike, with the verdict and its words."""

    GATE = Gate(count_limit("HIGH", 0))

    def test_a_pass_returns(self) -> None:
        self.GATE.judge(report(), now=NOW).require()

    @pytest.mark.parametrize(
        ("found", "outcome"), [(report(finding("CVE-1", "HIGH")), "fail"), (report(status="FAILED"), "undetermined")]
    )
    def test_everything_else_is_refused(self, found: ScanReport, outcome: str) -> None:
        verdict = self.GATE.judge(found, now=NOW)
        with pytest.raises(GateRefused) as caught:
            verdict.require()
        assert (caught.value.verdict, caught.value.verdict.outcome) == (verdict, outcome)
        assert str(caught.value) == verdict.explain()


class TestEdges:
    """The lower ends of the ranges of CVSS 3 belong to the range; a choice says how many of its rules are met."""

    @pytest.mark.parametrize(
        ("score", "severity"),
        [(9.0, "CRITICAL"), (8.9, "HIGH"), (7.0, "HIGH"), (6.9, "MEDIUM"), (4.0, "MEDIUM"), (3.9, "LOW"), (0.1, "LOW")],
    )
    def test_ranges_of_scores(self, score: float, severity: str) -> None:
        assert SeverityPolicy(basis="score").stated(finding(score=score)) == severity

    def test_rules_met_of_a_choice(self) -> None:
        choice = any_of(count_limit("HIGH", 0), count_limit("LOW", 0), count_limit("CRITICAL", 0))
        judged = Gate(choice).judge(report(finding("CVE-1", "HIGH")), now=NOW)
        assert judged.rules[0].text == "2 of 3 rules met, one is enough"
