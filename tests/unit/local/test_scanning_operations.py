from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.local import Engine, ImageScanned, InspectorScanned, ServiceFault
from ecrkit.local.engine import Limits, Timings
from ecrkit.local.scans import finding, inject
from ecrkit.scanning import Package, ScanReport, readiness
from tests.support.lab import Lab, sha

HIGH = finding("CVE-2026-1", "HIGH", "zlib", "1.2.13", fixed_in="1.3.1", epss=0.4)
LOW = finding("CVE-2026-2", "LOW", "bash", "5.2")


def start(lab: Lab, digest: str) -> dict[str, Any]:
    return lab("StartImageScan", repositoryName="app", imageId={"imageDigest": digest})


def describe(lab: Lab, image: str, **more: Any) -> dict[str, Any]:
    named = {"imageDigest": image} if ":" in image else {"imageTag": image}
    return lab("DescribeImageScanFindings", repositoryName="app", imageId=named, **more)


def status(lab: Lab, digest: str) -> str:
    return describe(lab, digest)["imageScanStatus"]["status"]


def advance(lab: Lab, **by: float) -> None:
    lab.engine.advance(dt.timedelta(**by))


def configure(lab: Lab, scan_type: str, **rules: list[str]) -> dict[str, Any]:
    listed = [
        {"scanFrequency": name.upper(), "repositoryFilters": [{"filter": f, "filterType": "WILDCARD"} for f in filters]}
        for name, filters in rules.items()
    ]
    return lab("PutRegistryScanningConfiguration", scanType=scan_type, rules=listed)


class TestBasicScan:
    """StartImageScan runs one basic scan; its result has findings, counts and times (ECR API reference)."""

    def test_from_start_to_result(self, lab: Lab):
        digest = lab.push("a", "v1")
        inject(lab.engine, digest, findings=[HIGH, LOW], after=dt.timedelta(seconds=40))
        assert start(lab, digest)["imageScanStatus"]["status"] == "IN_PROGRESS"
        advance(lab, seconds=39)
        found = describe(lab, "v1")
        assert found["imageScanStatus"]["status"] == "IN_PROGRESS" and "imageScanFindings" not in found
        advance(lab, seconds=1)
        found = describe(lab, "v1")
        assert found["imageId"] == {"imageDigest": digest, "imageTag": "v1"}
        body = found["imageScanFindings"]
        assert body["findingSeverityCounts"] == {"HIGH": 1, "LOW": 1}
        assert body["imageScanCompletedAt"] == lab.engine.clock.now()
        assert {a["key"]: a["value"] for a in body["findings"][0]["attributes"]} == {
            "package_name": "zlib", "package_version": "1.2.13", "CVSS3_SCORE": "7.5", "CVSS3_VECTOR": HIGH.vector,
        }  # fmt: skip

    def test_basic_carries_no_fix_and_no_date(self, lab: Lab):
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH])
        start(lab, digest)
        advance(lab, seconds=10)
        read = ScanReport.from_api(describe(lab, digest)).findings[0]
        assert (read.id, read.severity, read.packages) == (
            "CVE-2026-1",
            "HIGH",
            (Package(name="zlib", version="1.2.13"),),
        )
        assert read.fix_available is read.first_observed is read.epss is None

    def test_clean_after_ten_seconds_without_counts(self, lab: Lab):
        digest = lab.push("a")
        start(lab, digest)
        advance(lab, seconds=9)
        assert status(lab, digest) == "IN_PROGRESS"
        advance(lab, seconds=1)
        body = describe(lab, digest)["imageScanFindings"]
        assert body["findings"] == [] and "findingSeverityCounts" not in body
        assert readiness(ScanReport.from_api(describe(lab, digest))).ready

    def test_never_scanned(self, lab: Lab):
        """A never scanned image must raise ScanNotFoundException, not answer an empty list."""
        digest = lab.push("a", "v1")
        fault = lab.refused("DescribeImageScanFindings", repositoryName="app", imageId={"imageTag": "v1"})
        assert fault.code == "ScanNotFoundException" and digest in fault.message

    @pytest.mark.parametrize("operation", ["StartImageScan", "DescribeImageScanFindings"])
    def test_no_such_image_or_repository(self, lab: Lab, operation: str):
        tag = {"imageTag": "none"}
        assert lab.refused(operation, repositoryName="app", imageId=tag).code == "ImageNotFoundException"
        assert lab.refused(operation, repositoryName="none", imageId=tag).code == "RepositoryNotFoundException"


class TestOneScanADay:
    """An image gets one basic scan per 24 hours, scan on push included (ECR user guide, quotas)."""

    def test_again_after_24_hours(self, lab: Lab):
        digest = lab.push("a")
        start(lab, digest)
        advance(lab, hours=23.99)
        fault = lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": digest})
        assert fault.code == "LimitExceededException"
        advance(lab, hours=0.01)
        inject(lab.engine, digest, findings=[HIGH])
        assert status(lab, digest) == "COMPLETE" and describe(lab, digest)["imageScanFindings"]["findings"] == []
        start(lab, digest)
        advance(lab, seconds=10)
        assert describe(lab, digest)["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1}

    def test_scan_on_push_counts(self, lab: Lab):
        configure(lab, "BASIC", scan_on_push=["*"])
        digest = lab.push("a")
        assert lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": digest}).code == (
            "LimitExceededException"
        )

    def test_the_quota_of_the_registry(self, lab: Lab):
        lab.engine.limits = Limits(basic_scans_per_day=1)
        first, second = lab.push("a"), lab.push("b")
        start(lab, first)
        assert lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": second}).code == (
            "LimitExceededException"
        )
        configure(lab, "BASIC", scan_on_push=["*"])
        third = lab.push("c")
        assert status(lab, third) == "LIMIT_EXCEEDED"
        advance(lab, hours=24)
        start(lab, third)


class TestRefusals:
    """What StartImageScan does not scan, and how it says so (S21, S23)."""

    def test_an_index(self, lab: Lab):
        index = lab.index([lab.push("a")], "multi")
        fault = lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": index})
        assert (fault.code, fault.message) == (
            "UnsupportedImageTypeException",
            "An artifact with media type 'application/vnd.oci.image.index.v1+json' cannot be scanned.",
        )

    def test_an_artifact(self, lab: Lab):
        sbom = lab.push("s", artifactType="application/spdx+json")
        fault = lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": sbom})
        assert fault.code == "UnsupportedImageTypeException" and "application/spdx+json" in fault.message

    def test_an_archived_image(self, lab: Lab):
        digest = lab.push("a")
        start(lab, digest)
        advance(lab, seconds=10)
        lab(
            "UpdateImageStorageClass",
            repositoryName="app",
            imageId={"imageDigest": digest},
            targetStorageClass="ARCHIVE",
        )
        fault = lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": digest})
        assert fault.code == "ImageArchivedException"
        found = describe(lab, digest)
        assert found["imageScanStatus"]["status"] == "IMAGE_ARCHIVED" and "imageScanFindings" not in found

    def test_by_hand_under_enhanced(self, lab: Lab):
        digest = lab.push("a")
        configure(lab, "ENHANCED", continuous_scan=["*"])
        fault = lab.refused("StartImageScan", repositoryName="app", imageId={"imageDigest": digest})
        assert fault.code == "ValidationException"


class TestEnhancedScan:
    """Inspector scans what the configuration covers, first on push, then whenever something becomes known."""

    def test_from_push_to_result(self, lab: Lab):
        configure(lab, "ENHANCED", continuous_scan=["*"])
        digest = lab.push("a", "v1")
        inject(lab.engine, digest, findings=[HIGH, LOW], platform="ALPINE_3_20", in_use_count=3)
        pending = describe(lab, digest)
        assert pending["imageScanStatus"]["status"] == "PENDING"
        assert pending["imageScanFindings"] == {"findings": [], "enhancedFindings": []}
        advance(lab, seconds=30)
        found = describe(lab, digest)
        assert found["imageScanStatus"] == {"status": "ACTIVE", "description": "Continuous scan is selected for image."}
        report = ScanReport.from_api(found)
        assert (report.source, report.os, report.in_use_count, report.tags) == ("enhanced", "ALPINE_3_20", 3, ("v1",))
        read = report.findings[0]
        assert (read.packages, read.score, read.vector, read.cvss) == (
            HIGH.packages,
            HIGH.score,
            HIGH.vector,
            HIGH.cvss,
        )
        assert (read.fix_available, read.exploit_available) == ("YES", "NO")
        assert read.first_observed == lab.engine.clock.now()
        assert read.epss is None, "ECR's shape has no EPSS"

    def test_on_push_only_is_complete(self, lab: Lab):
        configure(lab, "ENHANCED", scan_on_push=["*"])
        digest = lab.push("a")
        advance(lab, seconds=30)
        found = describe(lab, digest)
        assert found["imageScanStatus"]["status"] == "COMPLETE" and found["imageScanFindings"]["enhancedFindings"] == []
        assert readiness(ScanReport.from_api(found)).ready

    def test_what_nothing_covers_is_not_scanned(self, lab: Lab):
        lab("PutImageScanningConfiguration", repositoryName="app", imageScanningConfiguration={"scanOnPush": True})
        configure(lab, "ENHANCED", scan_on_push=["other"])
        digest = lab.push("a")
        advance(lab, days=1)
        fault = lab.refused("DescribeImageScanFindings", repositoryName="app", imageId={"imageDigest": digest})
        assert fault.code == "ScanNotFoundException"

    def test_a_later_vulnerability(self, lab: Lab):
        """One finding a minute after another: a report read early is not the whole one; aws-sdk#288."""
        configure(lab, "ENHANCED", continuous_scan=["*"])
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH])
        inject(lab.engine, digest, findings=[HIGH, LOW], after=dt.timedelta(seconds=90), follow=True)
        advance(lab, seconds=30)
        assert ScanReport.from_api(describe(lab, digest)).counts == {"HIGH": 1}
        first = lab.engine.clock.now()
        advance(lab, seconds=60)
        two = ScanReport.from_api(describe(lab, digest))
        assert two.counts == {"HIGH": 1, "LOW": 1}
        assert [f.first_observed for f in two.findings] == [first, lab.engine.clock.now()]
        inject(lab.engine, digest, findings=[], after=dt.timedelta(0))
        assert ScanReport.from_api(describe(lab, digest)).counts == {}

    def test_the_duration_ends(self, lab: Lab):
        """Continuous scanning ends 14 days after the last push and pull; the findings go, and that is no fix (S22)."""
        configure(lab, "ENHANCED", continuous_scan=["*"])
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH], after=dt.timedelta(0))
        advance(lab, days=13)
        lab.get({"imageDigest": digest})
        advance(lab, days=13.9)
        assert status(lab, digest) == "ACTIVE"
        advance(lab, days=0.2)
        found = describe(lab, digest)
        assert found["imageScanStatus"]["status"] == "SCAN_ELIGIBILITY_EXPIRED"
        assert found["imageScanFindings"]["enhancedFindings"] == []
        assert readiness(ScanReport.from_api(found)).state == "expired"

    def test_scans_count_as_pulls(self, lab: Lab):
        """Inspector's scans move lastRecordedPullTime; aws/containers-roadmap#921."""
        configure(lab, "ENHANCED", scan_on_push=["*"])
        digest = lab.push("a")
        advance(lab, seconds=30)
        assert lab.details()[digest]["lastRecordedPullTime"] == lab.engine.clock.now()

    def test_switching_on_takes_young_images(self, lab: Lab):
        """The first activation takes images pushed within 30 days or pulled within 90 (S22)."""
        old, pulled = lab.push("a"), lab.push("b")
        advance(lab, days=20)
        lab.get({"imageDigest": pulled})
        advance(lab, days=11)
        young = lab.push("c")
        configure(lab, "ENHANCED", scan_on_push=["*"])
        assert status(lab, young) == status(lab, pulled) == "PENDING"
        fault = lab.refused("DescribeImageScanFindings", repositoryName="app", imageId={"imageDigest": old})
        assert fault.code == "ScanNotFoundException"


class TestPages:
    """Pages of maxResults, 100 by default; enhanced counts cover their own page (S3, S12)."""

    def test_enhanced_counts_are_the_page_s(self, lab: Lab):
        configure(lab, "ENHANCED", continuous_scan=["*"])
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH, LOW, finding("CVE-2026-3", "LOW")], after=dt.timedelta(0))
        first = describe(lab, digest, maxResults=2)
        second = describe(lab, digest, maxResults=2, nextToken=first["nextToken"])
        assert first["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1, "LOW": 1}
        assert second["imageScanFindings"]["findingSeverityCounts"] == {"LOW": 1} and "nextToken" not in second
        assert ScanReport.from_api([first, second]).counts == {"HIGH": 1, "LOW": 2}

    def test_a_hundred_by_default(self, lab: Lab):
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[finding(f"CVE-2026-{n}") for n in range(101)])
        start(lab, digest)
        advance(lab, seconds=10)
        first = describe(lab, digest)
        assert len(first["imageScanFindings"]["findings"]) == 100
        last = describe(lab, digest, nextToken=first["nextToken"])
        assert [f["name"] for f in last["imageScanFindings"]["findings"]] == ["CVE-2026-100"]
        assert "nextToken" not in describe(lab, digest, maxResults=101)

    def test_a_token_of_another_listing(self, lab: Lab):
        one, two = lab.push("a"), lab.push("b")
        for digest in (one, two):
            inject(lab.engine, digest, findings=[HIGH, LOW])
            start(lab, digest)
        advance(lab, seconds=10)
        token = describe(lab, one, maxResults=1)["nextToken"]
        fault = lab.refused(
            "DescribeImageScanFindings", repositoryName="app", imageId={"imageDigest": two}, nextToken=token
        )
        assert fault.code == "InvalidParameterException"


STATUSES = (
    "IN_PROGRESS", "COMPLETE", "FAILED", "UNSUPPORTED_IMAGE", "ACTIVE", "PENDING", "SCAN_ELIGIBILITY_EXPIRED",
    "FINDINGS_UNAVAILABLE", "LIMIT_EXCEEDED", "IMAGE_ARCHIVED", "IMAGE_SIZE_EXCEEDED",
)  # fmt: skip


class TestEveryStatus:
    """Any status can be injected; only one with a result shows findings, and null findings are no empty list."""

    @pytest.mark.parametrize("name", STATUSES)
    @pytest.mark.parametrize("scan_type", ["BASIC", "ENHANCED"])
    def test_of_the_model(self, lab: Lab, name: str, scan_type: str):
        configure(lab, scan_type, scan_on_push=["*"])
        digest = lab.push("a")
        inject(lab.engine, digest, status=name, after=dt.timedelta(0))
        found = describe(lab, digest)
        assert found["imageScanStatus"]["status"] == name
        shown = name in ("COMPLETE", "ACTIVE") or (scan_type, name) == ("ENHANCED", "SCAN_ELIGIBILITY_EXPIRED")
        assert ("imageScanFindings" in found) == shown
        assert readiness(ScanReport.from_api(found)).ready == (name in ("COMPLETE", "ACTIVE"))

    def test_of_a_later_model(self):
        engine = Engine()
        lab = Lab()
        lab.engine, lab.registry = engine, engine.registry()  # type: ignore[assignment]
        lab("CreateRepository", repositoryName="app")
        digest = lab.push("a")
        start(lab, digest)
        inject(engine, digest, status="QUANTUM_REVIEW", description="soon", after=dt.timedelta(0))
        assert describe(lab, digest)["imageScanStatus"] == {"status": "QUANTUM_REVIEW", "description": "soon"}

    def test_untriaged(self):
        """UNTRIAGED is a severity and a key of the counts, though ECR's enum lacks it (S7, S10)."""
        engine = Engine()
        lab = Lab()
        lab.engine, lab.registry = engine, engine.registry()  # type: ignore[assignment]
        lab("CreateRepository", repositoryName="app")
        configure(lab, "ENHANCED", continuous_scan=["*"])
        digest = lab.push("a")
        inject(engine, digest, findings=[finding("CVE-2026-9", "UNTRIAGED")], after=dt.timedelta(0))
        body = describe(lab, digest)["imageScanFindings"]
        assert body["findingSeverityCounts"] == {"UNTRIAGED": 1}
        only = body["enhancedFindings"][0]
        assert only["score"] == 0.0 and "scoreDetails" not in only
        assert only["packageVulnerabilityDetails"]["cvss"] == []
        assert only["packageVulnerabilityDetails"]["vendorSeverity"] == "not yet assigned"

    def test_the_empty_answer_that_is_no_result(self, lab: Lab):
        """ACTIVE with an empty basic list and no time is not a clean image; aws-cli#6759."""
        configure(lab, "ENHANCED", continuous_scan=["*"])
        digest = lab.push("a")
        inject(lab.engine, digest, findings=None, after=dt.timedelta(0))
        found = describe(lab, digest)
        assert found["imageScanFindings"] == {"findings": []}
        assert readiness(ScanReport.from_api(found)).state == "ambiguous"

    def test_an_image_without_a_file_system(self, lab: Lab):
        digest = lab.put(lab.manifest("x", layers=()))
        start(lab, digest)
        advance(lab, seconds=10)
        found = describe(lab, digest)
        assert found["imageScanStatus"]["status"] == "UNSUPPORTED_IMAGE" and "imageScanFindings" not in found


class TestScanOnPush:
    """A push starts a scan where the repository's setting or a registry rule says so; indexes pass in silence."""

    def test_by_the_repository_s_setting(self, lab: Lab):
        lab("PutImageScanningConfiguration", repositoryName="app", imageScanningConfiguration={"scanOnPush": True})
        assert status(lab, lab.push("a")) == "IN_PROGRESS"

    def test_by_a_rule_of_the_registry(self, lab: Lab):
        lab("CreateRepository", repositoryName="prod/app")
        configure(lab, "BASIC", scan_on_push=["prod*"])
        covered, other = lab.push("a", repository="prod/app"), lab.push("a")
        identity = {"imageDigest": covered}
        found = lab("DescribeImageScanFindings", repositoryName="prod/app", imageId=identity)
        assert found["imageScanStatus"]["status"] == "IN_PROGRESS"
        fault = lab.refused("DescribeImageScanFindings", repositoryName="app", imageId={"imageDigest": other})
        assert fault.code == "ScanNotFoundException"

    def test_an_index_and_an_artifact_are_silent(self, lab: Lab):
        """Scan on push of an index says nothing; the findings live on the children (S23)."""
        configure(lab, "BASIC", scan_on_push=["*"])
        child = lab.push("a")
        index = lab.index([child], "multi")
        sbom = lab.push("s", artifactType="application/spdx+json")
        advance(lab, minutes=1)
        assert status(lab, child) == "COMPLETE"
        for digest in (index, sbom):
            fault = lab.refused("DescribeImageScanFindings", repositoryName="app", imageId={"imageDigest": digest})
            assert fault.code == "ScanNotFoundException"
        assert [e.digest for e in lab.engine.events if isinstance(e, ImageScanned)] == [child]

    def test_another_tag_is_no_second_scan(self, lab: Lab):
        configure(lab, "BASIC", scan_on_push=["*"])
        digest = lab.push("a", "v1")
        advance(lab, minutes=1)
        lab.push("a", "v2")
        assert status(lab, digest) == "COMPLETE"

    def test_describe_images_shows_nothing_of_it(self, lab: Lab):
        """Neither AWS_NATIVE nor enhanced scans fill DescribeImages; aws/containers-roadmap#1662."""
        configure(lab, "BASIC", scan_on_push=["*"])
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH])
        advance(lab, minutes=1)
        assert not {"imageScanStatus", "imageScanFindingsSummary"} & set(lab.details()[digest])

    def test_a_deleted_image_takes_its_scan_along(self, lab: Lab):
        configure(lab, "BASIC", scan_on_push=["*"])
        digest = lab.push("a")
        lab.delete({"imageDigest": digest})
        advance(lab, minutes=1)
        assert not any(isinstance(e, ImageScanned) for e in lab.engine.events)
        lab.push("a")
        assert status(lab, digest) == "IN_PROGRESS"


class TestRegistryConfiguration:
    """Scan type and rules (S20): two modes each, what a filter selects, and what ECR refuses."""

    def test_basic_without_rules_at_first(self, lab: Lab):
        found = lab("GetRegistryScanningConfiguration")
        assert found == {"registryId": "123456789012", "scanningConfiguration": {"scanType": "BASIC", "rules": []}}

    def test_put_and_get(self, lab: Lab):
        put = configure(lab, "ENHANCED", continuous_scan=["prod*"], scan_on_push=["*"])
        assert lab("GetRegistryScanningConfiguration")["scanningConfiguration"] == put["registryScanningConfiguration"]

    @pytest.mark.parametrize(
        ("scan_type", "rules"),
        [
            ("BASIC", {"continuous_scan": ["*"]}),
            ("ENHANCED", {"manual": ["*"]}),
            ("BASIC", {"scan_on_push": ["Prod"]}),
            ("BASIC", {"scan_on_push": ["a" * 30 + "!"]}),
            ("BASIC", {"scan_on_push": ["a"] * 101}),
            ("CLAIR", {}),
        ],
    )
    def test_refused(self, lab: Lab, scan_type: str, rules: dict[str, list[str]]):
        with pytest.raises(ServiceFault) as caught:
            configure(lab, scan_type, **rules)
        assert caught.value.code == "InvalidParameterException"
        assert lab("GetRegistryScanningConfiguration")["scanningConfiguration"]["rules"] == []

    def test_how_each_repository_is_scanned(self, lab: Lab):
        for name in ("team/prod-app", "prod-web", "dev"):
            lab("CreateRepository", repositoryName=name)
        configure(lab, "ENHANCED", continuous_scan=["prod*"], scan_on_push=["prod"])
        found = lab(
            "BatchGetRepositoryScanningConfiguration", repositoryNames=["prod-web", "team/prod-app", "dev", "none"]
        )
        rows = [
            (c["repositoryName"], c["scanFrequency"], c["scanOnPush"], [f["filter"] for f in c["appliedScanFilters"]])
            for c in found["scanningConfigurations"]
        ]
        assert rows == [
            ("prod-web", "CONTINUOUS_SCAN", False, ["prod*"]),  # continuous beats on push
            ("team/prod-app", "SCAN_ON_PUSH", True, ["prod"]),  # without a wildcard: contains
            ("dev", "MANUAL", False, []),
        ]
        assert [(f["repositoryName"], f["failureCode"]) for f in found["failures"]] == [
            ("none", "REPOSITORY_NOT_FOUND")
        ]

    def test_the_setting_of_the_repository_shows_under_basic(self, lab: Lab):
        lab("PutImageScanningConfiguration", repositoryName="app", imageScanningConfiguration={"scanOnPush": True})
        found = lab("BatchGetRepositoryScanningConfiguration", repositoryNames=["app"])["scanningConfigurations"][0]
        assert (found["scanFrequency"], found["scanOnPush"]) == ("SCAN_ON_PUSH", True)

    def test_switching_the_type_hides_the_other_findings(self, lab: Lab):
        """The findings of the other type are unavailable until switched back (S21)."""
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH], kind="basic")
        start(lab, digest)
        advance(lab, minutes=1)
        configure(lab, "ENHANCED", continuous_scan=["other"])
        assert status(lab, digest) == "FINDINGS_UNAVAILABLE"
        configure(lab, "ENHANCED", continuous_scan=["app"])
        assert status(lab, digest) == "PENDING"
        advance(lab, minutes=1)
        assert describe(lab, digest)["imageScanFindings"]["enhancedFindings"] == []
        configure(lab, "BASIC")
        assert describe(lab, digest)["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1}


class TestEvents:
    """Scan events have the members that EventBridge's have (S24, S25)."""

    def test_a_basic_scan(self, lab: Lab):
        digest = lab.push("a", "v1")
        inject(lab.engine, digest, findings=[HIGH, LOW])
        start(lab, digest)
        advance(lab, seconds=10)
        event = next(e for e in lab.engine.events if isinstance(e, ImageScanned)).to_eventbridge()
        assert (event["source"], event["detail-type"]) == ("aws.ecr", "ECR Image Scan")
        assert event["time"] == "2026-01-01T00:00:10Z"
        assert event["resources"] == ["arn:aws:ecr:us-east-1:123456789012:repository/app"]
        assert event["detail"] == {
            "scan-status": "COMPLETE",
            "repository-name": "app",
            "finding-severity-counts": {"HIGH": 1, "LOW": 1},
            "image-digest": digest,
            "image-tags": ["v1"],
        }

    @pytest.mark.parametrize("name", ["COMPLETE", "FAILED"])
    def test_no_counts_without_findings(self, lab: Lab, name: str):
        digest = lab.push("a")
        inject(lab.engine, digest, status=name, after=dt.timedelta(0))
        start(lab, digest)
        lab.engine.settle()
        detail = next(e for e in lab.engine.events if isinstance(e, ImageScanned)).to_eventbridge()["detail"]
        assert detail["scan-status"] == name and "finding-severity-counts" not in detail and detail["image-tags"] == []

    def test_an_enhanced_scan_once(self, lab: Lab):
        configure(lab, "ENHANCED", continuous_scan=["*"])
        digest = lab.push("a", "v1")
        inject(lab.engine, digest, findings=[HIGH, LOW], after=dt.timedelta(0))
        lab.engine.settle()
        inject(lab.engine, digest, findings=[], after=dt.timedelta(0))
        lab.engine.settle()
        events = [e for e in lab.engine.events if isinstance(e, ImageScanned | InspectorScanned)]
        assert len(events) == 1
        event = events[0].to_eventbridge()
        assert (event["source"], event["detail-type"]) == ("aws.inspector2", "Inspector2 Scan")
        assert event["detail"]["repository-name"] == "arn:aws:ecr:us-east-1:123456789012:repository/app"
        assert event["detail"]["scan-status"] == "INITIAL_SCAN_COMPLETE"
        assert event["detail"]["finding-severity-counts"] == {"CRITICAL": 0, "HIGH": 1, "MEDIUM": 0, "TOTAL": 2}


class TestInjection:
    """What is injected, for whom, and what is refused with every problem named."""

    def test_every_problem_at_once(self, lab: Lab):
        with pytest.raises(InvalidInput) as caught:
            inject(lab.engine, "v1", findings=[{"name": "CVE-1"}], after=dt.timedelta(seconds=-1))
        assert [p.path for p in caught.value.problems] == ["digest", "after", "kind"]
        with pytest.raises(InvalidInput, match="basic or enhanced"):
            inject(lab.engine, sha("a"), kind="deep")  # type: ignore[arg-type]

    def test_raw_findings(self, lab: Lab):
        digest = lab.push("a")
        raw = {"name": "CVE-1", "severity": "UNDEFINED", "attributes": []}
        inject(lab.engine, digest, findings=[raw], kind="basic")
        start(lab, digest)
        advance(lab, seconds=10)
        assert describe(lab, digest)["imageScanFindings"]["findings"] == [raw]

    def test_one_repository_wins_over_all(self, lab: Lab):
        lab("CreateRepository", repositoryName="other")
        configure(lab, "BASIC", scan_on_push=["*"])
        digest = lab.push("a")
        lab.push("a", repository="other")
        inject(lab.engine, digest, findings=[HIGH])
        inject(lab.engine, digest, findings=[LOW], repository="other")
        advance(lab, minutes=1)
        assert describe(lab, digest)["imageScanFindings"]["findingSeverityCounts"] == {"HIGH": 1}
        other = lab("DescribeImageScanFindings", repositoryName="other", imageId={"imageDigest": digest})
        assert other["imageScanFindings"]["findingSeverityCounts"] == {"LOW": 1}

    def test_a_reset_forgets_it(self, lab: Lab):
        digest = lab.push("a")
        inject(lab.engine, digest, findings=[HIGH])
        lab.engine.reset()
        lab.registry = lab.engine.registry()
        lab("CreateRepository", repositoryName="app", imageScanningConfiguration={"scanOnPush": True})
        assert lab.push("a") == digest
        advance(lab, minutes=1)
        assert describe(lab, digest)["imageScanFindings"]["findings"] == []

    def test_timings(self):
        lab = Lab()
        lab.engine.timings = Timings(basic_scan=dt.timedelta(minutes=5))
        digest = lab.push("a")
        start(lab, digest)
        advance(lab, minutes=4.9)
        assert status(lab, digest) == "IN_PROGRESS"
        advance(lab, minutes=0.1)
        assert status(lab, digest) == "COMPLETE"

    def test_several_packages(self):
        parts = [Package(name="a", fixed_in="2", fix=True), Package(name="b", fix=False)]
        found = finding("CVE-1", "MEDIUM", packages=parts)
        assert (found.fix_available, found.title) == ("PARTIAL", "CVE-1 - a, b")
