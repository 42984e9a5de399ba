"""Events are read by what they say; events of other resources are ignored by name."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.scanning.archive import (
    CoverageChanged,
    FindingChanged,
    FrequencyChanged,
    Ignored,
    Place,
    ScanFinished,
)
from ecrkit.scanning.archive.events import parse
from tests.support.samples import sample_text
from tests.unit.scanning_archive.build import (
    ACCOUNT,
    PLACE,
    REPOSITORY,
    A,
    day,
    event,
    image_arn,
    image_scan,
    inspector_finding,
)

REPOSITORY_ARN = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/{REPOSITORY}"


def inspector_scan(**detail: Any) -> dict[str, Any]:
    said = {
        "scan-status": "INITIAL_SCAN_COMPLETE", "repository-name": REPOSITORY_ARN, "image-digest": A,
        "finding-severity-counts": {"CRITICAL": 7, "HIGH": 61, "MEDIUM": 62, "TOTAL": 158}, "image-tags": ["latest"],
        "version": "1.0", **detail,
    }  # fmt: skip
    return event("aws.inspector2", "Inspector2 Scan", said, REPOSITORY_ARN)


class TestScanEvents:
    """`ECR Image Scan` names the repository plainly, `Inspector2 Scan` by ARN (ECR user guide, EventBridge)."""

    def test_basic(self) -> None:
        found = parse(image_scan())
        assert isinstance(found, ScanFinished)
        assert (found.repository, found.digest, found.status, found.scanner) == (REPOSITORY, A, "COMPLETE", "basic")
        assert found.at == dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC) and found.counts == {"HIGH": 1}

    def test_a_failed_scan_has_no_counts(self) -> None:
        found = parse(image_scan(**{"scan-status": "FAILED", "finding-severity-counts": None}))
        assert isinstance(found, ScanFinished) and found.status == "FAILED" and found.counts == {}

    def test_inspector_names_the_repository_by_arn(self) -> None:
        found = parse(inspector_scan())
        assert isinstance(found, ScanFinished)
        assert (found.repository, found.place, found.scanner) == (REPOSITORY, PLACE, "inspector")
        assert found.counts["TOTAL"] == 158 != sum(v for k, v in found.counts.items() if k != "TOTAL")

    def test_the_arn_is_believed_before_the_envelope(self) -> None:
        raw = {**inspector_scan(), "region": "N/A"}
        found = parse(raw)
        assert isinstance(found, ScanFinished) and found.place == PLACE

    def test_a_missing_digest_is_said_clearly(self) -> None:
        """A published sample has the key "22" in place of image-digest (compose-x/ecr-scan-reporter)."""
        with pytest.raises(InvalidInput) as caught:
            parse(image_scan(**{"image-digest": None, "22": A}))
        (problem,) = caught.value.problems
        assert problem.path == "$.detail.image-digest"
        assert problem.message == (
            "is missing; the members are 22, finding-severity-counts, image-tags, repository-name, scan-status"
        )

    def test_every_fault_is_named(self) -> None:
        raw = {
            **image_scan(**{"image-digest": "sha256:abc", "repository-name": "Bad Name", "scan-status": 1}),
            "time": "noon",
        }
        raw["account"] = None
        with pytest.raises(InvalidInput) as caught:
            parse(raw)
        assert {p.path for p in caught.value.problems} == {
            "$.detail.image-digest", "$.detail.repository-name", "$.detail.scan-status", "$.time", "$.account",
        }  # fmt: skip


class TestFindingEvents:
    """The image is in the resources, and dates are in two forms that are not ISO (Inspector and ECR user guides)."""

    def test_an_active_finding(self) -> None:
        found = parse(inspector_finding())
        assert isinstance(found, FindingChanged)
        assert (found.repository, found.digest, found.state, found.place) == (REPOSITORY, A, "ACTIVE", PLACE)
        (only,) = found.report.findings
        assert only.first_observed == dt.datetime(2026, 11, 4, 16, 55, 38, 411000, tzinfo=dt.UTC)
        assert only.last_observed == dt.datetime(2026, 11, 25, 18, 2, 30, tzinfo=dt.UTC)

    @pytest.mark.parametrize("state", ["CLOSED", "SUPPRESSED"])
    def test_the_finding_of_another_state_is_kept(self, state: str) -> None:
        found = parse(inspector_finding(status=state))
        assert isinstance(found, FindingChanged) and found.state == state and len(found.report.findings) == 1

    def test_a_finding_of_another_image_than_the_resource_is_refused(self) -> None:
        raw = inspector_finding()
        raw["resources"] = [image_arn("sha256:" + "f" * 64)]
        with pytest.raises(InvalidInput, match="another image"):
            parse(raw)

    def test_no_image_among_the_resources(self) -> None:
        raw = {**inspector_finding(), "resources": []}
        with pytest.raises(InvalidInput, match="name no image in ECR"):
            parse(raw)

    def test_a_resource_without_digest(self) -> None:
        raw = {**inspector_finding(), "resources": [REPOSITORY_ARN]}
        with pytest.raises(InvalidInput, match="names no digest"):
            parse(raw)


class TestOtherResourcesAreIgnoredByName:
    """Inspector sends the same detail types for instances, functions, machine images and other clouds."""

    @pytest.mark.parametrize(
        ("detail", "resources", "kind"),
        [
            ({"instance-id": "i-1"}, ["i-0123456789abcdef0"], "ec2"),
            ({}, ["i-0123456789abcdef0"], "ec2"),
            ({"function-name": "f"}, ["arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST"], "lambda"),
            ({}, ["arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST"], "lambda"),
            ({"machine-image-id": "ami-1"}, ["ami-0123456789abcdef0"], "ami"),
        ],
    )  # fmt: skip
    def test_scan_events(self, detail: dict[str, Any], resources: list[str], kind: str) -> None:
        found = parse(
            event("aws.inspector2", "Inspector2 Scan", {"scan-status": "INITIAL_SCAN_COMPLETE", **detail}, *resources)
        )
        assert isinstance(found, Ignored) and found.kind == kind and "not about an image in ECR" in found.reason

    @pytest.mark.parametrize(
        ("resource", "first", "kind"),
        [
            ({"type": "AWS_EC2_INSTANCE", "id": "i-1"}, "i-1", "ec2"),
            ({"type": "AWS_LAMBDA_FUNCTION"}, "arn:aws:lambda:eu-west-1:123456789012:function:f", "lambda"),
            ({"type": "CODE_REPOSITORY"}, "arn:aws:inspector2:eu-west-1:123456789012:codesecurity-integration/x", "code"),
            ({"type": "CONTAINER_IMAGE", "provider": "AZURE", "details": {"image": {}}}, "/subscriptions/a/registries/b", "azure"),
            ({"type": "CONTAINER_IMAGE", "provider": "GCP"}, "projects/p/locations/l", "gcp"),
        ],
    )  # fmt: skip
    def test_finding_events(self, resource: dict[str, Any], first: str, kind: str) -> None:
        found = parse({**inspector_finding(resources=[resource]), "resources": [first]})
        assert isinstance(found, Ignored) and found.kind == kind

    def test_coverage_of_an_instance(self) -> None:
        detail = {"scanStatus": {"reason": "SUCCESSFUL", "statusCodeValue": "ACTIVE"}, "scanType": "PACKAGE"}
        found = parse(event("aws.inspector2", "Inspector2 Coverage", detail, "i-0123456789abcdef0"))
        assert isinstance(found, Ignored) and found.kind == "ec2"

    @pytest.mark.parametrize(("source", "kind"), [("aws.ecr", "ECR Image Action"), ("aws.s3", "Object Created")])
    def test_events_that_say_nothing_of_scans(self, source: str, kind: str) -> None:
        found = parse(event(source, kind, {}))
        assert isinstance(found, Ignored) and found.kind == "other" and kind in found.reason

    @pytest.mark.parametrize("raw", [{}, {"detail": {}}, {"source": "aws.ecr"}, []])
    def test_what_is_no_event_at_all_is_refused(self, raw: Any) -> None:
        with pytest.raises(InvalidInput, match="not a scan event"):
            parse(raw)

    def test_a_detail_that_is_no_object_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match=r"\$\.detail"):
            parse(event("aws.ecr", "ECR Image Scan", "text"))


class TestCoverageAndFrequency:
    """`Inspector2 Coverage` tells when watching stops; `ECR Scan Resource Change` when repositories are scanned less."""

    def test_coverage_of_an_image(self) -> None:
        detail = {"scanStatus": {"reason": "IMAGE_ELIGIBILITY_EXPIRED", "statusCodeValue": "INACTIVE"}}
        found = parse(event("aws.inspector2", "Inspector2 Coverage", detail, image_arn()))
        assert isinstance(found, CoverageChanged)
        assert (found.digest, found.state, found.reason) == (A, "INACTIVE", "IMAGE_ELIGIBILITY_EXPIRED")

    def test_coverage_without_status_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="scanStatus"):
            parse(event("aws.inspector2", "Inspector2 Coverage", {}, image_arn()))

    def test_frequency(self) -> None:
        detail = {
            "scan-type": "ENHANCED",
            "repositories": [
                {"repository-name": "a/b", "scan-frequency": "MANUAL", "previous-scan-frequency": "CONTINUOUS_SCAN"},
            ],
        }
        found = parse(event("aws.ecr", "ECR Scan Resource Change", detail))
        assert isinstance(found, FrequencyChanged)
        assert found.repositories == (("a/b", "CONTINUOUS_SCAN", "MANUAL"),) and found.scan_type == "ENHANCED"

    def test_faults_of_a_frequency_change(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            parse(event("aws.ecr", "ECR Scan Resource Change", {"repositories": [{}, 1]}))
        assert [p.path for p in caught.value.problems] == [
            "$.detail.repositories[0].repository-name", "$.detail.repositories[1]",
        ]  # fmt: skip


@pytest.fixture
def sample() -> Callable[[str], Any]:
    def read(name: str) -> Any:
        text = sample_text("scans", f"{name}.json")
        # The guides shorten digests or end them in EXAMPLE; each becomes a whole one that begins with the same digits.
        return json.loads(re.sub(r"(sha256:[0-9a-f]{40})[0-9a-fA-Z]*[A-Za-z0-9]*", r"\g<1>" + "0" * 24, text))

    return read


class TestTheEventsOfTheGuides:
    """The sample events of the user guides, read where they are present."""

    @pytest.mark.parametrize(
        ("name", "repository", "status"),
        [
            ("event_basic_01_complete_counts", "my-repository-name", "COMPLETE"),
            ("event_basic_02_failed_no_counts", "my-repository-name", "FAILED"),
            ("event_basic_03_complete_clean_two_tags", "repository-name", "COMPLETE"),
            ("event_inspector2_scan_01_total_158", "amazon/amazon-ecs-sample", "INITIAL_SCAN_COMPLETE"),
            ("event_inspector2_scan_02_zero", "inspector2", "INITIAL_SCAN_COMPLETE"),
        ],
    )
    def test_scans(self, sample: Callable[[str], Any], name: str, repository: str, status: str) -> None:
        found = parse(sample(name))
        assert isinstance(found, ScanFinished) and (found.repository, found.status) == (repository, status)

    @pytest.mark.parametrize(
        ("name", "vulnerability", "first"),
        [
            ("event_inspector2_finding_01_2021_dates", "CVE-2019-17498", "2021-12-03T18:02:30"),
            ("event_inspector2_finding_02_2024_dates_epss", "CVE-2024-6119", "2024-09-04T16:55:38.411"),
        ],
    )
    def test_findings(self, sample: Callable[[str], Any], name: str, vulnerability: str, first: str) -> None:
        found = parse(sample(name))
        assert isinstance(found, FindingChanged)
        (only,) = found.report.findings
        assert (only.id, only.first_observed) == (vulnerability, day(first))

    @pytest.mark.parametrize(
        ("name", "kind"),
        [("event_inspector2_finding_03_azure_not_ecr", "azure"), ("event_inspector2_scan_03_ec2_not_ecr", "ec2")],
    )
    def test_others(self, sample: Callable[[str], Any], name: str, kind: str) -> None:
        found = parse(sample(name))
        assert isinstance(found, Ignored) and found.kind == kind

    def test_the_event_with_a_corrupt_key(self, sample: Callable[[str], Any]) -> None:
        with pytest.raises(InvalidInput, match="image-digest: is missing"):
            parse(sample("event_basic_04_corrupt_digest_key"))

    def test_the_change_of_three_repositories(self, sample: Callable[[str], Any]) -> None:
        found = parse(sample("event_ecr_scan_resource_change"))
        assert isinstance(found, FrequencyChanged) and len(found.repositories) == 3
        assert found.place == Place("123456789012", "us-east-1")
