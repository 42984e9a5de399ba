"""Reading DescribeImageScanFindings: both shapes, every oddity, nothing lost without being counted."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.scanning import Finding, FindingKey, ScanReport, SeverityPolicy, readiness
from ecrkit.scanning._times import scan_time
from tests.unit.scanning.build import DIGEST, OTHER, answer, basic_raw, enhanced_raw, package_raw

Sample = Callable[[str], Any]


class TestBasicFindings:
    """A basic finding has name, description, uri, severity and key/value attributes (API reference, ImageScanFinding)."""

    def test_attributes_become_package_and_scores(self) -> None:
        raw = basic_raw("CVE-2019-5188", "MEDIUM", "e2fsprogs", "1.44.1")
        raw["attributes"] += [
            {"key": "CVSS2_SCORE", "value": "4.6"}, {"key": "CVSS2_VECTOR", "value": "AV:L"},
            {"key": "CVSS3_SCORE", "value": "7.5"}, {"key": "CVSS3_VECTOR", "value": "CVSS:3.1/AV:L"},
        ]  # fmt: skip
        found = ScanReport.from_api(answer(basic=[raw])).findings[0]
        assert (found.id, found.severity, str(found.packages[0])) == ("CVE-2019-5188", "MEDIUM", "e2fsprogs 1.44.1")
        assert (found.score, found.vector) == (7.5, "CVSS:3.1/AV:L")
        assert [(c.version, c.score) for c in found.cvss] == [("3", 7.5), ("2", 4.6)]

    def test_what_basic_lacks_is_none_with_a_reason(self) -> None:
        report = ScanReport.from_api(answer(basic=[basic_raw("CVE-1")]))
        found = report.findings[0]
        for name in ("fix_available", "exploit_available", "first_observed", "published", "epss", "known_exploited"):
            assert getattr(found, name) is None
            assert report.absent[name]
        assert found.fixable is None

    def test_without_severity_it_is_undefined(self) -> None:
        assert ScanReport.from_api(answer(basic=[basic_raw("CVE-1", None)])).counts == {"UNDEFINED": 1}

    def test_one_vulnerability_in_two_packages_is_two_findings(self) -> None:
        report = ScanReport.from_api(answer(basic=[basic_raw("CVE-1", package="a"), basic_raw("CVE-1", package="b")]))
        assert report.counts == {"HIGH": 2}


class TestEnhancedFindings:
    """An enhanced finding is one vulnerability with N packages (API reference, EnhancedImageScanFinding)."""

    def test_every_documented_member_is_read(self) -> None:
        raw = enhanced_raw(
            "CVE-1", "HIGH",
            package_raw(filePath="usr/lib/x", sourceLayerHash="sha256:1", fixedInVersion="0:4.19.232-1"),
            details={
                "source": "DEBIAN_CVE", "sourceUrl": "https://d.example/1", "vendorSeverity": "unimportant",
                "vendorCreatedAt": 1700000000, "vendorUpdatedAt": 1700000001, "relatedVulnerabilities": ["GHSA-1"],
                "referenceUrls": ["https://r.example"],
                "cvss": [{"baseScore": 7.0, "scoringVector": "CVSS:3.1/x", "source": "NVD", "version": "3.1"}],
            },
            score=7.0, scoreDetails={"cvss": {"scoreSource": "NVD", "scoringVector": "CVSS:3.1/x"}},
            fixAvailable="YES", exploitAvailable="NO", firstObservedAt=1700000002, lastObservedAt=1700000003,
            updatedAt=1700000004, description="text",
            remediation={"recommendation": {"text": "update", "url": "https://u.example"}},
            image={"pushedAt": 1700000000, "lastInUseAt": 1700000009, "inUseCount": 3},
        )  # fmt: skip
        report = ScanReport.from_api(answer("ACTIVE", enhanced=[raw]))
        f = report.findings[0]
        assert (f.score, f.score_source, f.vector, f.vendor_severity) == (7.0, "NVD", "CVSS:3.1/x", "unimportant")
        assert (f.fix_available, f.exploit_available, f.related) == ("YES", "NO", ("GHSA-1",))
        assert (f.remediation, f.remediation_url, f.references) == (
            "update",
            "https://u.example",
            ("https://r.example",),
        )
        assert (f.advisory_source, f.uri, f.cvss[0].score) == ("DEBIAN_CVE", "https://d.example/1", 7.0)
        assert f.first_observed == dt.datetime.fromtimestamp(1700000002, dt.UTC)
        assert f.published == dt.datetime.fromtimestamp(1700000000, dt.UTC)
        p = f.packages[0]
        assert (p.installed, p.path, p.layer, p.fixed_in, p.fix) == (
            "7.88.1-10",
            "usr/lib/x",
            "sha256:1",
            "0:4.19.232-1",
            True,
        )
        assert (report.os, report.architecture, report.in_use_count, report.tags) == ("DEBIAN_12", "amd64", 3, ("v1",))
        assert report.last_in_use_at == dt.datetime.fromtimestamp(1700000009, dt.UTC)

    def test_not_available_is_no_version(self) -> None:
        raw = enhanced_raw("CVE-1", "LOW", package_raw(fixedInVersion="NotAvailable"), package_raw("b"))
        first, second = ScanReport.from_api(answer(enhanced=[raw])).findings[0].packages
        assert (first.fixed_in, first.fix) == (None, False)
        assert (second.fixed_in, second.fix) == (None, None)

    @pytest.mark.parametrize(
        ("stated", "packages", "expected"),
        [
            ("YES", [None], True), ("PARTIAL", [None], True), ("NO", [None], False), (None, [None], None),
            (None, ["NotAvailable"], False), ("NO", ["1.2"], True), (None, ["NotAvailable", "1.2"], True),
            ("SOMETHING", [None], None),
        ],
    )  # fmt: skip
    def test_fixable(self, stated: str | None, packages: list[str | None], expected: bool | None) -> None:
        """YES, NO or PARTIAL, and per package a version, NotAvailable or nothing."""
        raw = enhanced_raw("CVE-1", "LOW", *(package_raw(f"p{n}", fixedInVersion=v) for n, v in enumerate(packages)))
        raw["fixAvailable"] = stated
        assert ScanReport.from_api(answer(enhanced=[raw])).findings[0].fixable is expected

    def test_findings_are_counted_not_packages(self) -> None:
        raw = enhanced_raw(
            "CVE-2022-29824", "MEDIUM", package_raw("libxml2", release="7+b3"), package_raw("libxml2", release="7")
        )
        report = ScanReport.from_api(answer(enhanced=[raw]))
        assert report.counts == {"MEDIUM": 1}
        assert [k.version for k in report.findings[0].keys] == ["7.88.1-7", "7.88.1-7+b3"]

    def test_ecr_carries_no_epss_and_says_so(self) -> None:
        report = ScanReport.from_api(answer(enhanced=[enhanced_raw("CVE-1")]))
        assert report.findings[0].epss is None
        assert "EPSS" in report.absent["epss"]
        assert "known_exploited" in report.absent

    def test_an_open_package_manager_and_severity_stay_text(self) -> None:
        raw = enhanced_raw("CVE-1", "BANANA", package_raw(packageManager="QUIRK"))
        found = ScanReport.from_api(answer(enhanced=[raw])).findings[0]
        assert (found.severity, found.packages[0].manager) == ("BANANA", "QUIRK")

    def test_the_shape_is_told_by_its_member_not_by_the_status(self) -> None:
        assert ScanReport.from_api(answer("COMPLETE", enhanced=[enhanced_raw("CVE-1")])).source == "enhanced"
        assert ScanReport.from_api(answer("ACTIVE", basic=[])).source == "basic"


class TestCounts:
    """Counts of an enhanced answer cover one page; the joined answer of a paginator keeps those of page 1."""

    def test_recounted_over_pages(self) -> None:
        pages = [
            {**answer("ACTIVE", enhanced=[enhanced_raw("CVE-1")]), "nextToken": "2"},
            answer("ACTIVE", enhanced=[enhanced_raw("CVE-2"), enhanced_raw("CVE-3", "UNTRIAGED")]),
        ]
        for page, counts in zip(pages, ({"HIGH": 1}, {"HIGH": 1, "UNTRIAGED": 1}), strict=True):
            page["imageScanFindings"]["findingSeverityCounts"] = counts
        report = ScanReport.from_api(pages)
        assert report.counts == {"HIGH": 2, "UNTRIAGED": 1}
        assert report.complete

    def test_the_counts_of_page_one_beside_all_findings_do_not_matter(self) -> None:
        joined = answer("ACTIVE", enhanced=[enhanced_raw("CVE-1"), enhanced_raw("CVE-2")])
        joined["imageScanFindings"]["findingSeverityCounts"] = {"HIGH": 1}
        report = ScanReport.from_api(joined)
        assert (report.counts, report.complete) == ({"HIGH": 2}, True)

    def test_more_counted_than_listed_is_incomplete(self) -> None:
        short = answer("ACTIVE", enhanced=[enhanced_raw("CVE-1")])
        short["imageScanFindings"]["findingSeverityCounts"] = {"HIGH": 7}
        report = ScanReport.from_api(short)
        assert not report.complete
        assert readiness(report).state == "ambiguous"
        assert "counts 7" in readiness(report).reason

    def test_a_token_without_its_page_is_incomplete(self) -> None:
        report = ScanReport.from_api({**answer(basic=[basic_raw("CVE-1")]), "nextToken": "more"})
        assert readiness(report).state == "ambiguous"

    def test_order_of_pages_and_findings_changes_nothing(self) -> None:
        findings = [enhanced_raw("CVE-1"), enhanced_raw("CVE-2", "LOW"), enhanced_raw("CVE-3", "CRITICAL")]
        seen = set()
        for order in itertools.permutations(findings):
            pages = [
                {**answer("ACTIVE", enhanced=list(order[:1])), "nextToken": "2"},
                answer("ACTIVE", enhanced=list(order[1:])),
            ]
            seen |= {ScanReport.from_api(pages), ScanReport.from_api(pages[::-1])}
        assert len(seen) == 1

    def test_worst_first(self) -> None:
        report = ScanReport.from_api(answer(basic=[basic_raw(f"CVE-{s}", s) for s in ("LOW", "UNDEFINED", "CRITICAL")]))
        assert list(report.counts) == ["CRITICAL", "UNDEFINED", "LOW"]


class TestNothingIsLostSilently:
    """Whatever a report leaves out is counted with a reason."""

    @pytest.mark.parametrize("status", ["CLOSED", "SUPPRESSED"])
    def test_inactive_findings(self, status: str) -> None:
        report = ScanReport.from_api(answer(enhanced=[enhanced_raw("CVE-1", status=status), enhanced_raw("CVE-2")]))
        assert report.counts == {"HIGH": 1}
        assert [(d.reason, d.count, d.examples) for d in report.dropped] == [(f"status {status}", 1, ("CVE-1",))]

    def test_an_unknown_status_counts(self) -> None:
        assert ScanReport.from_api(answer(enhanced=[enhanced_raw("CVE-1", status="NEW")])).counts == {"HIGH": 1}

    def test_an_unreadable_entry_does_not_hide_the_others(self) -> None:
        broken = enhanced_raw("CVE-2", firstObservedAt="yesterday")
        report = ScanReport.from_api(answer(enhanced=["text", broken, enhanced_raw("CVE-3")]))
        assert [f.id for f in report.findings] == ["CVE-3"]
        assert report.unreadable == 2
        assert all(not d.readable for d in report.dropped)

    def test_a_finding_seen_twice_counts_once_in_its_latest_state(self) -> None:
        pages = [
            {**answer(enhanced=[enhanced_raw("CVE-1", "LOW", updatedAt=1)]), "nextToken": "2"},
            answer(enhanced=[enhanced_raw("CVE-1", "CRITICAL", updatedAt=2)]),
        ]
        report = ScanReport.from_api(pages)
        assert report.counts == {"CRITICAL": 1} == ScanReport.from_api(pages[::-1]).counts
        assert report.dropped[0].reason == "the same finding twice"


class TestBorders:
    """A wrong document is refused with the path of everything that is wrong."""

    def test_all_problems_at_once(self) -> None:
        bad = answer(basic=[])
        bad["repositoryName"] = 7
        bad["imageScanFindings"]["imageScanCompletedAt"] = "soon"
        with pytest.raises(InvalidInput) as caught:
            ScanReport.from_api(bad)
        assert [p.path for p in caught.value.problems] == [
            "$.repositoryName",
            "$.imageScanFindings.imageScanCompletedAt",
        ]

    @pytest.mark.parametrize("document", [{}, [], "text", [3], {"findings": []}])
    def test_no_answer_of_the_api(self, document: Any) -> None:
        with pytest.raises(InvalidInput):
            ScanReport.from_api(document)

    @pytest.mark.parametrize(
        "more", [{"imageScanFindingsSummary": {"findingSeverityCounts": {}}}, {"imagePushedAt": 1764000000.0}]
    )
    def test_the_summary_of_describe_images_is_no_evidence(self, more: dict[str, Any]) -> None:
        detail = {
            "imageDigest": DIGEST,
            "repositoryName": "team/app",
            "imageScanStatus": {"status": "COMPLETE"},
            **more,
        }
        with pytest.raises(InvalidInput, match="DescribeImages"):
            ScanReport.from_api(detail)

    def test_pages_of_two_images_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="different images"):
            ScanReport.from_api([answer(basic=[]), answer(basic=[], digest=OTHER)])

    def test_a_naive_time_is_refused(self) -> None:
        bad = answer(basic=[])
        bad["imageScanFindings"]["imageScanCompletedAt"] = "2026-01-01T00:00:00"
        with pytest.raises(InvalidInput, match="zone"):
            ScanReport.from_api(bad)

    def test_reports_pickle_hash_and_turn_into_json(self) -> None:
        report = ScanReport.from_api(answer(enhanced=[enhanced_raw("CVE-1")]))
        assert pickle.loads(pickle.dumps(report)) == report
        assert hash(report) == hash(pickle.loads(pickle.dumps(report)))
        assert report.to_dict()["findings"][0]["id"] == "CVE-1"

    def test_html_is_escaped_and_short(self) -> None:
        many = [basic_raw(f"<b>{n}") for n in range(30)]
        shown = ScanReport.from_api(answer(basic=many))._repr_html_()
        assert "<b>" not in shown
        assert "and 10 more" in shown


class TestThroughBotocore:
    """What boto3 hands out (datetimes, only the members of its model) reads as the wire's JSON does."""

    def parsed(self, raw: dict[str, Any]) -> dict[str, Any]:
        import botocore.session
        from botocore.parsers import create_parser

        model = botocore.session.get_session().get_service_model("ecr")
        shape = model.operation_model("DescribeImageScanFindings").output_shape
        response = {"body": json.dumps(raw).encode(), "headers": {}, "status_code": 200}
        return create_parser("json").parse(response, shape)

    def test_the_same_report(self) -> None:
        raw = answer(
            "ACTIVE", enhanced=[enhanced_raw("CVE-1", firstObservedAt=1700000000.5, fixAvailable="YES", score=1.5)]
        )
        both = answer("ACTIVE", basic=[basic_raw("CVE-2")], enhanced=[enhanced_raw("CVE-1")])
        for body in (
            raw,
            both,
            answer(basic=[basic_raw("CVE-2")]),
            answer("PENDING", basic=[], enhanced=[], done=False),
        ):
            assert ScanReport.from_api(self.parsed(body)) == ScanReport.from_api(body)

    def test_an_epss_member_on_the_wire_is_dropped_by_botocore(self) -> None:
        raw = answer("ACTIVE", enhanced=[{**enhanced_raw("CVE-1"), "epss": {"score": 0.5}}])
        assert ScanReport.from_api(raw).findings[0].epss == 0.5
        assert ScanReport.from_api(self.parsed(raw)).findings[0].epss is None


class TestIdentity:
    """Identity is digest, vulnerability, package, version and path; title and severity are not."""

    def test_one_cve_of_two_images_stays_two(self) -> None:
        keys = [
            ScanReport.from_api(answer(basic=[basic_raw("CVE-1")], digest=d)).findings[0].keys[0]
            for d in (DIGEST, OTHER)
        ]
        assert keys == [FindingKey(d, "CVE-1", "openssl", "1.0", "") for d in (DIGEST, OTHER)]

    def test_paths_tell_packages_apart(self) -> None:
        raw = enhanced_raw("CVE-1", "LOW", package_raw("x", filePath="a/go.sum"), package_raw("x", filePath="b/go.sum"))
        assert len(ScanReport.from_api(answer(enhanced=[raw])).findings[0].keys) == 2


class TestDates:
    """The API gives epoch or ISO, events two texts of their own, exports a space in place of T."""

    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("Dec 3, 2021, 6:02:30 PM", "2021-12-03T18:02:30+00:00"),
            ("Oct 16, 2019, 12:00:00 AM", "2019-10-16T00:00:00+00:00"),
            ("Oct 16, 2019, 12:00:00 PM", "2019-10-16T12:00:00+00:00"),
            ("Wed Sep 04 16:55:38.411 UTC 2024", "2024-09-04T16:55:38.411000+00:00"),
            ("Tue Sep 03 00:00:00 UTC 2024", "2024-09-03T00:00:00+00:00"),
            ("2025-12-26 14:21:44.742000+01:00", "2025-12-26T13:21:44.742000+00:00"),
            ("2024-02-02T16:30:33.045000+01:00", "2024-02-02T15:30:33.045000+00:00"),
            (1579839105.0, "2020-01-24T04:11:45+00:00"),
        ],
    )
    def test_forms(self, given: object, expected: str) -> None:
        assert scan_time(given).isoformat() == expected

    @pytest.mark.parametrize(
        "given",
        ["Dec 32, 2021, 6:02:30 PM", "Foo 3, 2021, 6:02:30 PM", "Dec 3, 2021, 13:02:30 PM", "", "now", True, None],
    )
    def test_nonsense_is_refused(self, given: object) -> None:
        with pytest.raises(ValueError):
            scan_time(given)


class TestVendorWords:
    """Vendors use words of their own: unimportant, Moderate, medium, HIGH, 'not yet assigned'."""

    @pytest.mark.parametrize(
        ("word", "severity"),
        [
            ("unimportant", "INFORMATIONAL"), ("Moderate", "MEDIUM"), ("medium", "MEDIUM"), ("HIGH", "HIGH"),
            ("Important", "HIGH"), ("negligible", "INFORMATIONAL"), ("not yet assigned", "UNTRIAGED"),
            ("end-of-life", "UNTRIAGED"), (None, "UNDEFINED"),
        ],
    )  # fmt: skip
    def test_words(self, word: str | None, severity: str) -> None:
        finding = Finding(id="CVE-1", severity="LOW", vendor_severity=word)
        assert SeverityPolicy(basis="vendor").stated(finding) == severity

    @pytest.mark.parametrize(
        ("score", "severity"),
        [
            (10.0, "CRITICAL"), (9.0, "CRITICAL"), (8.9, "HIGH"), (7.0, "HIGH"), (6.9, "MEDIUM"), (4.0, "MEDIUM"),
            (3.9, "LOW"), (0.1, "LOW"), (0.0, "INFORMATIONAL"), (None, "UNDEFINED"),
        ],
    )  # fmt: skip
    def test_scores_by_the_ranges_of_cvss_3(self, score: float | None, severity: str) -> None:
        finding = Finding(id="CVE-1", severity="LOW", score=score, vector="CVSS:3.1/x")
        assert SeverityPolicy(basis="score").stated(finding) == severity

    def test_a_score_of_zero_that_nobody_gave_is_untriaged(self) -> None:
        assert SeverityPolicy(basis="score").stated(Finding(id="C", severity="UNTRIAGED", score=0.0)) == "UNTRIAGED"
        assert SeverityPolicy(basis="score").stated(Finding(id="C", severity="LOW", score=0.0)) == "UNTRIAGED"

    def test_the_policy_is_checked(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            SeverityPolicy(basis="mood", untriaged_as="MAYBE")  # type: ignore[arg-type]
        assert len(caught.value.problems) == 2


class TestRealPayloads:
    """Payloads of public projects, documentation and issue threads parse to what they prove."""

    @pytest.mark.parametrize(
        ("name", "source", "counts", "state"),
        [
            ("basic_01_complete_medium", "basic", {"MEDIUM": 1}, "ready"),
            ("basic_02_failed_unsupported_null_findings", "basic", {}, "unsupported"),
            ("basic_04_active_empty", "basic", {}, "ambiguous"),
            ("basic_05_pending_both_empty", "enhanced", {}, "pending"),
            ("basic_06_moto_default_high", "basic", {"HIGH": 1}, "ready"),
            ("enhanced_01_untriaged_notavailable", "enhanced", {"UNTRIAGED": 1, "MEDIUM": 1}, "ready"),
            ("enhanced_02_medium_closed_fixYES_expNO", "enhanced", {}, "ready"),
            ("enhanced_03_untriaged_active_fixNO_expNO", "enhanced", {"UNTRIAGED": 1}, "ready"),
            ("enhanced_04_high_active_fixYES_expNO", "enhanced", {"HIGH": 1}, "ready"),
            ("enhanced_05_untriaged_active_fixYES_expNO", "enhanced", {"UNTRIAGED": 1}, "ready"),
            ("enhanced_06_medium_active_fixYES_expNO", "enhanced", {"MEDIUM": 1}, "ready"),
            ("enhanced_07_high_active_fixYES_expYES", "enhanced", {"HIGH": 1}, "ready"),
            ("enhanced_08_medium_active_fixYES_expYES", "enhanced", {"MEDIUM": 1}, "ready"),
        ],
    )
    def test_answers(self, sample: Sample, name: str, source: str, counts: dict[str, int], state: str) -> None:
        report = ScanReport.from_api(sample(name))
        assert (report.source, report.counts, readiness(report).state) == (source, counts, state)
        assert report.unreadable == 0

    def test_pages_with_counts_of_their_own(self, sample: Sample) -> None:
        report = ScanReport.from_api(sample("enhanced_pages_per_page_counts"))
        assert report.counts == {"HIGH": 2, "UNTRIAGED": 1, "MEDIUM": 1}

    def test_the_untriaged_case(self, sample: Sample) -> None:
        report = ScanReport.from_api(sample("enhanced_01_untriaged_notavailable"))
        odd = report.findings[0]
        assert (odd.severity, odd.score, odd.vector, odd.cvss, odd.vendor_severity) == (
            "UNTRIAGED",
            0.0,
            None,
            (),
            "not yet assigned",
        )
        assert (odd.first_observed, odd.fixable, odd.packages[0].fixed_in) == (None, False, None)
        assert report.digest is not None and report.digest.startswith("sha256:9c7d02b8")

    def test_two_packages_of_one_name(self, sample: Sample) -> None:
        found = ScanReport.from_api(sample("enhanced_06_medium_active_fixYES_expNO")).findings
        assert [len(f.packages) for f in found] == [2]

    def test_vendor_and_inspector_disagree(self, sample: Sample) -> None:
        found = ScanReport.from_api(sample("enhanced_08_medium_active_fixYES_expYES")).findings[0]
        assert [SeverityPolicy(basis=b).stated(found) for b in ("ecr", "vendor")] == ["MEDIUM", "INFORMATIONAL"]
