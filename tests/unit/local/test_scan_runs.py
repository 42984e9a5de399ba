"""When scans start, what they come to and when they end, at the edges; and what Inspector says beside ECR."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import attrs
import botocore.session
import pytest
from botocore.validate import ParamValidator

from ecrkit.local import ImageScanned, ServiceFault
from ecrkit.local.engine import Limits
from ecrkit.local.inspector import EmbeddedInspector
from ecrkit.local.scan_shapes import severity_counts
from ecrkit.local.scans import finding, inject
from ecrkit.scanning import CvssScore, Package, ScanReport, readiness
from tests.support.lab import Lab

HIGH = finding("CVE-2026-1", "HIGH", "zlib", "1.2.13", fixed_in="1.3.1", epss=0.4)
SECOND = dt.timedelta(seconds=1)
DAY = dt.timedelta(days=1)


@pytest.fixture
def enhanced(lab: Lab) -> Lab:
    configure(lab, "ENHANCED", continuous_scan=["*"])
    return lab


def configure(lab: Lab, scan_type: str | None, **rules: list[str]) -> dict[str, Any]:
    listed = [
        {"scanFrequency": name.upper(), "repositoryFilters": [{"filter": f, "filterType": "WILDCARD"} for f in filters]}
        for name, filters in rules.items()
    ]
    named = {} if scan_type is None else {"scanType": scan_type}
    return lab("PutRegistryScanningConfiguration", **named, rules=listed)


def describe(lab: Lab, digest: str, **more: Any) -> dict[str, Any]:
    return lab("DescribeImageScanFindings", repositoryName="app", imageId={"imageDigest": digest}, **more)


def status(lab: Lab, digest: str) -> str:
    return describe(lab, digest)["imageScanStatus"]["status"]


def start(lab: Lab, digest: str) -> None:
    lab("StartImageScan", repositoryName="app", imageId={"imageDigest": digest})


def unscanned(lab: Lab, digest: str) -> bool:
    try:
        describe(lab, digest)
    except ServiceFault as fault:
        return fault.code == "ScanNotFoundException"
    return False


def archive(lab: Lab, digest: str) -> None:
    one = {"repositoryName": "app", "imageId": {"imageDigest": digest}}
    lab("UpdateImageStorageClass", **one, targetStorageClass="ARCHIVE")


def inspector(lab: Lab) -> EmbeddedInspector:
    return EmbeddedInspector(engine=lab.engine)


class TestFirstActivation:
    """Switching enhanced scanning on takes images pushed within 30 days or pulled within 90, active ones (S22)."""

    @pytest.mark.parametrize(("age", "taken"), [(30 * DAY, True), (30 * DAY + SECOND, False)])
    def test_by_push(self, lab: Lab, age: dt.timedelta, taken: bool):
        digest = lab.push("a")
        lab.engine.advance(age)
        configure(lab, "ENHANCED", scan_on_push=["*"])
        assert unscanned(lab, digest) != taken

    @pytest.mark.parametrize(("age", "taken"), [(90 * DAY, True), (90 * DAY + SECOND, False)])
    def test_by_pull(self, lab: Lab, age: dt.timedelta, taken: bool):
        digest = lab.push("a")
        lab.engine.advance(31 * DAY)
        lab.get({"imageDigest": digest})
        lab.engine.advance(age)
        configure(lab, "ENHANCED", scan_on_push=["*"])
        assert unscanned(lab, digest) != taken

    def test_not_archived_ones_nor_indexes_nor_what_is_not_covered(self, lab: Lab):
        lab("CreateRepository", repositoryName="other")
        away, child, elsewhere = lab.push("a"), lab.push("b"), lab.push("c", repository="other")
        index = lab.index([child], "multi")
        archive(lab, away)
        configure(lab, "ENHANCED", scan_on_push=["app"])
        asked = {"repositoryName": "other", "imageId": {"imageDigest": elsewhere}}
        assert lab.refused("DescribeImageScanFindings", **asked).code == "ScanNotFoundException"
        assert unscanned(lab, index) and status(lab, child) == "PENDING"
        assert inspector(lab).inspector_coverage("app", away) is None

    def test_putting_it_again_starts_nothing_anew(self, enhanced: Lab):
        digest = enhanced.push("a")
        enhanced.engine.advance(30 * SECOND)
        configure(enhanced, "ENHANCED", continuous_scan=["*"])
        assert status(enhanced, digest) == "ACTIVE"
        enhanced.push("a", "again")
        assert status(enhanced, digest) == "ACTIVE", "a new tag is no new scan"


class TestEdges:
    """Exactly a day, exactly the quota, exactly the result that was injected last."""

    def test_exactly_24_hours(self, lab: Lab):
        digest = lab.push("a")
        start(lab, digest)
        lab.engine.advance(DAY - SECOND)
        asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}}
        assert lab.refused("StartImageScan", **asked).code == "LimitExceededException"
        lab.engine.advance(SECOND)
        start(lab, digest)

    def test_the_quota_is_reached_and_not_passed(self, lab: Lab):
        lab.engine.limits = Limits(basic_scans_per_day=2)
        for seed in "ab":
            start(lab, lab.push(seed))
        last = lab.push("c")
        fault = lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": last})
        assert "per registry" in fault.message
        lab.engine.advance(DAY)
        start(lab, last)

    def test_on_push_again_after_a_day(self, lab: Lab):
        configure(lab, "BASIC", scan_on_push=["*"])
        digest = lab.push("a")
        lab.engine.advance(DAY)
        lab.push("a", "again")
        assert status(lab, digest) == "IN_PROGRESS"

    def test_a_running_scan_takes_the_new_result_from_its_start_on(self, lab: Lab):
        digest = lab.push("a")
        start(lab, digest)
        lab.engine.advance(8 * SECOND)
        inject(lab.engine, digest, findings=[HIGH], after=12 * SECOND)
        lab.engine.advance(3 * SECOND)
        assert status(lab, digest) == "IN_PROGRESS", "the result of before is superseded"
        lab.engine.advance(SECOND)
        assert describe(lab, digest)["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1}

    def test_in_place_and_after(self, enhanced: Lab):
        digest = enhanced.push("a")
        two = finding("CVE-2026-2", "LOW")
        inject(enhanced.engine, digest, findings=[two])
        inject(enhanced.engine, digest, findings=[HIGH])
        inject(enhanced.engine, digest, findings=[HIGH, two], after=60 * SECOND, follow=True)
        enhanced.engine.advance(30 * SECOND)
        assert ScanReport.from_api(describe(enhanced, digest)).counts == {"HIGH": 1}
        inject(enhanced.engine, digest, findings=[], after=60 * SECOND, follow=True)
        enhanced.engine.advance(30 * SECOND)
        assert ScanReport.from_api(describe(enhanced, digest)).counts == {"HIGH": 1, "LOW": 1}
        enhanced.engine.advance(30 * SECOND)
        assert ScanReport.from_api(describe(enhanced, digest)).counts == {}

    def test_a_result_of_before_is_forgotten(self, enhanced: Lab):
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, findings=[HIGH], after=20 * SECOND)
        inject(enhanced.engine, digest, findings=[HIGH], after=40 * SECOND)
        enhanced.engine.advance(39 * SECOND)
        assert status(enhanced, digest) == "PENDING"

    def test_another_repository_s_image_keeps_its_result(self, enhanced: Lab):
        enhanced("CreateRepository", repositoryName="other")
        digest = enhanced.push("a")
        enhanced.push("a", repository="other")
        enhanced.engine.advance(30 * SECOND)
        inject(enhanced.engine, digest, findings=[HIGH], repository="other", after=SECOND)
        enhanced.engine.advance(SECOND)
        assert describe(enhanced, digest)["imageScanFindings"]["enhancedFindings"] == []
        assert len(inspector(enhanced).inspector_findings("other", digest)) == 1

    def test_only_what_is_watched_expires(self, enhanced: Lab):
        digest = enhanced.push("a")
        enhanced.engine.advance(30 * SECOND)
        inject(enhanced.engine, digest, status="FAILED", after=SECOND)
        enhanced.engine.advance(20 * DAY)
        assert status(enhanced, digest) == "FAILED"

    def test_a_finished_basic_scan_stays(self, lab: Lab):
        digest = lab.push("a")
        start(lab, digest)
        lab.engine.advance(10 * SECOND)
        inject(lab.engine, digest, findings=[HIGH], after=SECOND)
        lab.engine.advance(60 * SECOND)
        assert describe(lab, digest)["imageScanFindings"]["findings"] == []

    def test_first_observed_survives_a_rescan(self, enhanced: Lab):
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, findings=[HIGH])
        enhanced.engine.advance(30 * SECOND)
        first = enhanced.engine.clock.now()
        enhanced.engine.advance(DAY)
        inject(enhanced.engine, digest, findings=[HIGH], after=SECOND)
        enhanced.engine.advance(SECOND)
        found = ScanReport.from_api(describe(enhanced, digest)).findings[0]
        assert (found.first_observed, found.last_observed) == (first, enhanced.engine.clock.now())

    def test_times_of_the_finding_win(self, enhanced: Lab):
        digest = enhanced.push("a")
        then, later = (dt.datetime(2025, 6, d, tzinfo=dt.UTC) for d in (1, 2))
        inject(enhanced.engine, digest, findings=[attrs.evolve(HIGH, first_observed=then, last_observed=later)])
        enhanced.engine.advance(30 * SECOND)
        found = ScanReport.from_api(describe(enhanced, digest)).findings[0]
        assert (found.first_observed, found.last_observed) == (then, later)

    def test_only_what_ends_a_scan_is_an_event(self, lab: Lab):
        for name in ("UNSUPPORTED_IMAGE", "IN_PROGRESS"):
            digest = lab.push(name)
            inject(lab.engine, digest, status=name)
            start(lab, digest)
        lab.engine.advance(10 * SECOND)
        assert not [e for e in lab.engine.events if isinstance(e, ImageScanned)]
        event = ImageScanned(
            time=lab.engine.clock.now(), account="1", region="us-east-1", repository="app", digest="d",
            counts={"HIGH": 0, "LOW": 1},
        )  # fmt: skip
        assert event.to_eventbridge()["detail"]["finding-severity-counts"] == {"LOW": 1}

    def test_findings_beside_any_status(self, lab: Lab):
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH], status="LIMIT_EXCEEDED")
        start(lab, digest)
        lab.engine.advance(10 * SECOND)
        found = describe(lab, digest)
        assert found["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1}
        assert not readiness(ScanReport.from_api(found)).ready

    def test_basic_counts_cover_every_page(self, lab: Lab):
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH, finding("CVE-2026-2", "LOW")])
        start(lab, digest)
        lab.engine.advance(10 * SECOND)
        first = describe(lab, digest, maxResults=1)
        assert first["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1, "LOW": 1}


class TestConfigurationKeeps:
    """What is put is kept as it was put, apart from what the caller does to its own copy."""

    def test_rules_alone_keep_the_scan_type(self, enhanced: Lab):
        assert configure(enhanced, None, scan_on_push=["a"])["registryScanningConfiguration"]["scanType"] == "ENHANCED"

    def test_a_filter_twice_and_a_repository_twice(self, lab: Lab):
        configure(lab, "BASIC", scan_on_push=["app", "app"])
        found = lab("BatchGetRepositoryScanningConfiguration", repositoryNames=["app", "app"])
        assert len(found["scanningConfigurations"]) == 1
        assert status(lab, lab.push("a")) == "IN_PROGRESS"

    def test_the_caller_s_list_is_the_caller_s(self, lab: Lab):
        rules = [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "a", "filterType": "WILDCARD"}]}]
        lab("PutRegistryScanningConfiguration", scanType="BASIC", rules=rules)
        rules[0]["repositoryFilters"].clear()
        kept = lab("GetRegistryScanningConfiguration")["scanningConfiguration"]["rules"][0]["repositoryFilters"]
        assert kept == [{"filter": "a", "filterType": "WILDCARD"}]


class TestShapes:
    """Members as real payloads have them (S4, S8, S11)."""

    def test_no_fix_is_said(self, enhanced: Lab):
        digest = enhanced.push("a")
        silent = Package(name="c", version="1")
        inject(enhanced.engine, digest, findings=[finding("CVE-1"), finding("CVE-2", packages=[silent])])
        enhanced.engine.advance(30 * SECOND)
        body = describe(enhanced, digest)["imageScanFindings"]["enhancedFindings"]
        first, second = (f["packageVulnerabilityDetails"]["vulnerablePackages"][0] for f in body)
        assert first["fixedInVersion"] == "NotAvailable" and "fixedInVersion" not in second

    def test_one_vulnerability_in_two_findings_stays_two(self, enhanced: Lab):
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, findings=[finding("CVE-1", package="a"), finding("CVE-1", package="b")])
        enhanced.engine.advance(30 * SECOND)
        assert len(ScanReport.from_api(describe(enhanced, digest)).findings) == 2

    def test_cvss_2_in_a_basic_finding(self, lab: Lab):
        digest = lab.push("a")
        rating = CvssScore(score=4.6, vector="AV:L/AC:L/Au:N/C:P/I:P/A:P", version="2.0", source="NVD")
        inject(lab.engine, digest, findings=[attrs.evolve(HIGH, cvss=(rating,))])
        start(lab, digest)
        lab.engine.advance(10 * SECOND)
        found = describe(lab, digest)["imageScanFindings"]["findings"][0]["attributes"]
        told = {a["key"]: a["value"] for a in found}
        assert (told["CVSS2_SCORE"], told["CVSS2_VECTOR"]) == ("4.6", rating.vector)

    def test_the_architecture_is_the_config_s(self, enhanced: Lab):
        config = enhanced.blob(json.dumps({"architecture": "arm64", "os": "linux"}).encode())
        config["mediaType"] = "application/vnd.oci.image.config.v1+json"
        document = json.loads(enhanced.manifest("a")) | {"config": config}
        digest, other = enhanced.put(json.dumps(document)), enhanced.push("b")
        for each in (digest, other):
            inject(enhanced.engine, each, findings=[HIGH])
        enhanced.engine.advance(30 * SECOND)
        found = [ScanReport.from_api(describe(enhanced, each)).architecture for each in (digest, other)]
        assert found == ["arm64", "amd64"]

    def test_counts(self):
        assert severity_counts([{}, {"severity": "LOW"}]) == {"UNDEFINED": 1, "LOW": 1}


class TestInspector:
    """ListFindings and ListCoverage of the same scans, in Inspector's shapes, with what ECR leaves out (S6, S22)."""

    def test_before_during_and_after(self, enhanced: Lab):
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, findings=[HIGH], in_use_count=2, last_in_use_at=enhanced.engine.clock.now())
        coverage = inspector(enhanced).inspector_coverage("app", digest)
        assert coverage and coverage["scanStatus"] == {"statusCode": "ACTIVE", "reason": "PENDING_INITIAL_SCAN"}
        assert inspector(enhanced).inspector_findings("app", digest) == () and "lastScannedAt" not in coverage
        enhanced.engine.advance(30 * SECOND)
        coverage = inspector(enhanced).inspector_coverage("app", digest)
        assert coverage and coverage["scanStatus"] == {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"}
        assert coverage["resourceId"] == f"arn:aws:ecr:us-east-1:123456789012:repository/app/{digest}"
        assert coverage["resourceMetadata"]["ecrImage"]["inUseCount"] == 2
        (raw,) = inspector(enhanced).inspector_findings("app", digest)
        assert (raw["epss"], raw["inspectorScore"], raw["status"]) == ({"score": 0.4}, 7.5, "ACTIVE")
        assert raw["inspectorScoreDetails"]["adjustedCvss"]["scoringVector"] == HIGH.vector
        report = ScanReport.from_inspector([raw], digest=digest, coverage=coverage)
        assert readiness(report).ready and report.findings[0].packages == HIGH.packages

    def test_shapes(self, enhanced: Lab):
        """What comes out has only members of Inspector's service model, of the kinds it states."""
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, findings=[HIGH], in_use_count=2, last_in_use_at=enhanced.engine.clock.now())
        enhanced.engine.advance(30 * SECOND)
        model = botocore.session.Session().get_service_model("inspector2")
        told = {
            "ListFindings": {"findings": list(inspector(enhanced).inspector_findings("app", digest))},
            "ListCoverage": {"coveredResources": [inspector(enhanced).inspector_coverage("app", digest)]},
        }
        for operation, output in told.items():
            report = ParamValidator().validate(output, model.operation_model(operation).output_shape)
            assert not report.has_errors(), report.generate_report()

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("UNSUPPORTED_IMAGE", "UNSUPPORTED_OS"),
            ("IMAGE_SIZE_EXCEEDED", "IMAGE_SIZE_EXCEEDED"),
            ("FAILED", "INTERNAL_ERROR"),
        ],
    )
    def test_why_not(self, enhanced: Lab, name: str, reason: str):
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, status=name)
        enhanced.engine.advance(30 * SECOND)
        coverage = inspector(enhanced).inspector_coverage("app", digest)
        assert coverage and coverage["scanStatus"] == {"statusCode": "INACTIVE", "reason": reason}

    def test_scanned_once_and_archived(self, lab: Lab):
        configure(lab, "ENHANCED", scan_on_push=["*"])
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH])
        lab.engine.advance(30 * SECOND)
        coverage = inspector(lab).inspector_coverage("app", digest)
        assert coverage and coverage["scanStatus"]["reason"] == "SCAN_FREQUENCY_SCAN_ON_PUSH"
        archive(lab, digest)
        coverage = inspector(lab).inspector_coverage("app", digest)
        assert coverage and coverage["scanStatus"] == {"statusCode": "INACTIVE", "reason": "IMAGE_ARCHIVED"}
        assert [f["status"] for f in inspector(lab).inspector_findings("app", digest)] == ["CLOSED"]

    def test_the_end_of_continuous_scanning_closes_findings(self, enhanced: Lab):
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, findings=[HIGH])
        enhanced.engine.advance(15 * DAY)
        coverage = inspector(enhanced).inspector_coverage("app", digest)
        assert coverage and coverage["scanStatus"]["reason"] == "SCAN_ELIGIBILITY_EXPIRED"
        assert [f["status"] for f in inspector(enhanced).inspector_findings("app", digest)] == ["CLOSED"]

    def test_an_empty_answer_is_still_pending(self, enhanced: Lab):
        digest = enhanced.push("a")
        inject(enhanced.engine, digest, findings=None)
        enhanced.engine.advance(30 * SECOND)
        coverage = inspector(enhanced).inspector_coverage("app", digest)
        assert coverage and coverage["scanStatus"]["reason"] == "PENDING_INITIAL_SCAN"

    def test_pulls_of_inspector_can_be_excluded(self, enhanced: Lab):
        role = (
            "arn:aws:iam::123456789012:role/aws-service-role/inspector2.amazonaws.com/AWSServiceRoleForAmazonInspector2"
        )
        enhanced.registry.pull_time_exclusions[role] = enhanced.engine.clock.now()
        digest = enhanced.push("a")
        enhanced.engine.advance(30 * SECOND)
        assert "lastRecordedPullTime" not in enhanced.details()[digest]

    def test_nothing_of_what_is_not_there(self, enhanced: Lab):
        assert inspector(enhanced).inspector_coverage("none", "sha256:" + "0" * 64) is None
        assert inspector(enhanced).inspector_findings("app", "sha256:" + "0" * 64) == ()
