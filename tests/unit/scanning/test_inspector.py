"""Inspector as a second source: EPSS, exploits, in-use counts; other resources left out and counted; feeds."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.scanning import EpssFeed, KnownExploited, ScanReport, readiness
from tests.unit.scanning.build import DIGEST, OTHER, answer, basic_raw, day, enhanced_raw, finding, package_raw, report

Sample = Callable[[str], Any]
COVERED = {"scanStatus": {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"}, "lastScannedAt": 1764000000}


def inspector_raw(name: str, severity: str = "HIGH", **more: Any) -> dict[str, Any]:
    return enhanced_raw(
        name, severity, epss={"score": 0.5}, inspectorScore=7.5,
        inspectorScoreDetails={"adjustedCvss": {"scoreSource": "NVD", "scoringVector": "CVSS:3.1/x"}}, **more,
    )  # fmt: skip


class TestInspectorFindings:
    """ListFindings carries what ECR's answer lacks: EPSS, exploit times, Inspector's score, a remediation per package."""

    def test_members_that_ecr_lacks(self) -> None:
        raw = inspector_raw("CVE-1", exploitabilityDetails={"lastKnownExploitAt": 1700000000})
        raw["packageVulnerabilityDetails"]["vulnerablePackages"] = [
            package_raw(remediation="apt-get upgrade", purl="pkg:deb/debian/curl@7.88.1-10")
        ]
        found = ScanReport.from_inspector({"findings": [raw]}).findings[0]
        assert (found.epss, found.score, found.score_source, found.vector) == (0.5, 7.5, "NVD", "CVSS:3.1/x")
        assert found.last_exploit_at is not None
        assert (found.packages[0].remediation, found.packages[0].purl) == (
            "apt-get upgrade",
            "pkg:deb/debian/curl@7.88.1-10",
        )

    def test_other_resources_are_left_out_by_name(self) -> None:
        other = inspector_raw("CVE-2")
        other["resources"] = [{"type": "AWS_EC2_INSTANCE", "details": {"awsEc2Instance": {}}}]
        azure = inspector_raw("CVE-3")
        azure["resources"] = [
            {
                "type": "Microsoft.ContainerRegistry/registry/containerImage",
                "provider": "AZURE",
                "details": {"image": {}},
            }
        ]
        google = inspector_raw("CVE-4")
        google["resources"] = [{"type": "artifactregistry.googleapis.com/DockerImage", "details": {"image": {}}}]
        found = ScanReport.from_inspector([inspector_raw("CVE-1"), other, azure, google])
        assert [f.id for f in found.findings] == ["CVE-1"]
        assert {d.reason for d in found.dropped} == {
            "not an ECR image: AWS_EC2_INSTANCE",
            "not an ECR image: Microsoft.ContainerRegistry/registry/containerImage",
            "not an ECR image: artifactregistry.googleapis.com/DockerImage",
        }

    def test_several_images_need_a_digest(self) -> None:
        both = [inspector_raw("CVE-1"), inspector_raw("CVE-2", image={"imageHash": OTHER})]
        with pytest.raises(InvalidInput, match="name the digest"):
            ScanReport.from_inspector(both)
        found = ScanReport.from_inspector(both, digest=OTHER)
        assert [f.id for f in found.findings] == ["CVE-2"]
        assert found.dropped[0].reason == "another image"

    def test_delivered_twice_counts_once(self) -> None:
        raw = inspector_raw("CVE-1")
        assert ScanReport.from_inspector([raw, dict(raw)]).counts == {"HIGH": 1}

    def test_findings_alone_do_not_say_that_a_scan_finished(self) -> None:
        assert readiness(ScanReport.from_inspector([inspector_raw("CVE-1")])).state == "ambiguous"

    @pytest.mark.parametrize(
        ("coverage", "state"),
        [
            (COVERED, "ready"),
            ({"scanStatus": {"statusCode": "ACTIVE", "reason": "PENDING_INITIAL_SCAN"}}, "pending"),
            ({"scanStatus": {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"}}, "pending"),
            ({**COVERED, "scanStatus": {"statusCode": "ACTIVE", "reason": "PENDING_INITIAL_SCAN"}}, "pending"),
            ({"scanStatus": {"statusCode": "INACTIVE", "reason": "SCAN_ELIGIBILITY_EXPIRED"}}, "expired"),
            ({"scanStatus": {"statusCode": "NOVEL"}}, "unknown"),
            ({}, "ambiguous"),
        ],
    )
    def test_coverage_decides(self, coverage: dict[str, Any], state: str) -> None:
        assert readiness(ScanReport.from_inspector([], digest=DIGEST, coverage=coverage)).state == state

    def test_no_findings_member(self) -> None:
        with pytest.raises(InvalidInput, match="findings"):
            ScanReport.from_inspector({"nothing": 1})

    def test_a_token_without_its_page(self) -> None:
        assert not ScanReport.from_inspector({"findings": [inspector_raw("CVE-1")], "nextToken": "x"}).complete

    def test_a_code_vulnerability_has_its_rule_as_id(self) -> None:
        raw = {**enhanced_raw("x"), "codeVulnerabilityDetails": {"ruleId": "python-log-injection"}}
        del raw["packageVulnerabilityDetails"]
        assert ScanReport.from_inspector([raw]).findings[0].id == "python-log-injection"


class TestEnriching:
    """Inspector fills what ECR's answer lacks; the list of findings and the status stay ECR's."""

    def test_filled_by_arn(self) -> None:
        ecr = ScanReport.from_api(answer("ACTIVE", enhanced=[enhanced_raw("CVE-1"), enhanced_raw("CVE-2")]))
        rich = ecr.enriched(
            ScanReport.from_inspector([inspector_raw("CVE-1", image={"inUseCount": 4})], coverage=COVERED)
        )
        assert [f.epss for f in rich.findings] == [0.5, None]
        assert (rich.status, rich.source, rich.in_use_count) == ("ACTIVE", "enhanced", 4)
        assert "epss" not in rich.absent

    def test_filled_by_identity_where_there_is_no_arn(self) -> None:
        ecr = report(finding("CVE-1", first_observed=day("2026-01-01")))
        rich = ecr.enriched(report(finding("CVE-1", arn="arn:x", epss=0.2, first_observed=day("2020-01-01"))))
        assert (rich.findings[0].epss, rich.findings[0].first_observed) == (0.2, day("2026-01-01"))

    def test_another_image_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="same image"):
            report().enriched(report(digest=OTHER))


class TestFeeds:
    """EPSS as FIRST.org's CSV and the catalogue of known exploited vulnerabilities as CISA's JSON, from files."""

    EPSS = "#model_version:v2025.03.14,score_date:2026-11-24T00:00:00+0000\ncve,epss,percentile\nCVE-1,0.9,0.99\nGHSA-1,0.1,0.2\n"
    KEV = '{"dateReleased":"2026-11-24T17:00:00.000Z","vulnerabilities":[{"cveID":"CVE-1","dueDate":"2026-12-01"}]}'

    def test_from_files_plain_and_gzipped(self, tmp_path: Path) -> None:
        (tmp_path / "epss.csv.gz").write_bytes(gzip.compress(self.EPSS.encode()))
        (tmp_path / "kev.json").write_text(self.KEV)
        epss, known = EpssFeed.load(tmp_path / "epss.csv.gz"), KnownExploited.load(tmp_path / "kev.json")
        assert epss.date == day("2026-11-24") and known.date is not None
        rich = ScanReport.from_api(answer(basic=[basic_raw("CVE-1"), basic_raw("CVE-2")])).with_feeds(
            epss=epss.scores, known=known.ids
        )
        assert [(f.epss, f.known_exploited) for f in rich.findings] == [(0.9, True), (None, False)]
        assert rich.absent["epss"] == "the feed has no score for 1 of 2 findings"
        assert "known_exploited" not in rich.absent

    def test_aliases_count_and_the_worse_value_stays(self) -> None:
        rich = report(finding("CVE-9", related=("GHSA-1",), epss=0.4, known_exploited=True)).with_feeds(
            epss={"GHSA-1": 0.1}, known=[]
        )
        assert (rich.findings[0].epss, rich.findings[0].known_exploited) == (0.4, True)

    def test_every_bad_line_is_named(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            EpssFeed.parse("cve,epss\nCVE-1,2\nCVE-2,x\nCVE-3,0.5\n,0.1\n")
        assert [p.path for p in caught.value.problems] == ["line 2", "line 3", "line 5"]

    @pytest.mark.parametrize("text", ["", "a,b\n1,2", "#score_date:never\ncve,epss\n"])
    def test_no_epss_file(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            EpssFeed.parse(text)

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "{}",
            '{"vulnerabilities":[{}]}',
            '{"vulnerabilities":[{"cveID":"C","dueDate":"x"}]}',
            '{"vulnerabilities":[],"dateReleased":"x"}',
        ],
    )
    def test_no_catalogue(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            KnownExploited.parse(text)


class TestRealPayloads:
    """ListFindings, finding events and Security Hub findings of public projects and documentation."""

    def test_seven_ecr_findings_and_one_of_ec2(self, sample: Sample) -> None:
        found = ScanReport.from_inspector(sample("inspector2_list_findings_many"))
        dropped = {d.reason: d.count for d in found.dropped}
        assert dropped["not an ECR image: AWS_EC2_INSTANCE"] == 1
        assert len(found.findings) + dropped["status CLOSED"] == 7
        assert all(f.epss is not None for f in found.findings)

    def test_lambda_findings_are_all_left_out(self, sample: Sample) -> None:
        found = ScanReport.from_inspector(sample("inspector2_list_findings_generic_pm"))
        assert (found.findings, [d.count for d in found.dropped]) == ((), [28])

    def test_lambda_findings_parse_as_findings(self, sample: Sample) -> None:
        from ecrkit.scanning._reading import enhanced_finding

        found = [enhanced_finding(raw, "$") for raw in sample("inspector2_list_findings_generic_pm")["findings"]]
        assert {p.manager for f in found for p in f.packages} >= {"GENERIC", "PYTHON", "GO"}
        assert [f.id for f in found if f.type == "CODE_VULNERABILITY"] == ["python-log-injection"]

    @pytest.mark.parametrize(
        ("name", "cve", "fixable"),
        [
            ("event_inspector2_finding_01_2021_dates", "CVE-2019-17498", None),
            ("event_inspector2_finding_02_2024_dates_epss", "CVE-2024-6119", True),
        ],
    )
    def test_events(self, sample: Sample, name: str, cve: str, fixable: bool | None) -> None:
        found = ScanReport.from_inspector([sample(name)["detail"]])
        assert [f.id for f in found.findings] == [cve]
        assert found.findings[0].fixable is fixable
        assert found.findings[0].first_observed is not None

    def test_an_azure_event_is_left_out(self, sample: Sample) -> None:
        found = ScanReport.from_inspector([sample("event_inspector2_finding_03_azure_not_ecr")["detail"]])
        assert found.findings == () and found.dropped[0].count == 1

    def test_security_hub(self, sample: Sample) -> None:
        raw = sample("securityhub_inspector_ecr")
        digests = {r["Details"]["AwsEcrContainerImage"]["ImageDigest"] for f in raw["Findings"] for r in f["Resources"]}
        reports = [ScanReport.from_security_hub(raw, digest=d) for d in sorted(digests)]
        assert sum(len(r.findings) for r in reports) == 7
        assert all(r.unreadable == 0 and readiness(r).state == "ambiguous" for r in reports)
        multi = next(f for r in reports for f in r.findings if f.id == "CVE-2022-32149")
        assert len(multi.keys) == 3 and multi.exploit_available == "YES"

    def test_security_hub_refuses_other_documents(self) -> None:
        with pytest.raises(InvalidInput, match="SchemaVersion"):
            ScanReport.from_security_hub([{"findingArn": "x"}])
