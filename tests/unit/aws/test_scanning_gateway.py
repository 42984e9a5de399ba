from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from ecrkit.aws import iam
from ecrkit.aws.calls import Caller
from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.inspector import InspectorGateway
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.aws.workers import Workers
from ecrkit.errors import AwsCallFailed, Denied, InvalidInput, NotFound, QuotaExceeded, Rejected
from ecrkit.local import attach
from ecrkit.local.scans import finding, inject
from ecrkit.ports import FanOut, FindingSource, InspectorSource, ScanningConfigurationStore
from ecrkit.scanning import ScanningConfiguration, ScanReport
from ecrkit.scanning.configuration import apply, plan
from tests.support.lab import Lab
from tests.unit.aws.conftest import Script, client_error

DIGEST = "sha256:" + "1" * 64
ACCOUNT = "123456789012"


@pytest.fixture
def lab(engine):
    made = Lab()
    made.engine, made.registry = engine, engine.registry()
    made("CreateRepository", repositoryName="app")
    return made


@pytest.fixture
def gateway(embedded, lab):
    return EcrGateway(embedded.caller("ecr"))


class TestScanPages:
    """DescribeImageScanFindings gives up to 1000 findings a page, and every page is handed on as it came (S3, S12)."""

    def test_every_page_raw(self, gateway, lab, engine):
        digest = lab.push("a", "v1")
        inject(engine, digest, findings=[finding(f"CVE-2026-{n}") for n in range(1001)])
        gateway.start_scan("app", digest)
        engine.advance(dt.timedelta(seconds=10))
        engine.calls.clear()
        pages = gateway.scan_pages("app", "v1")
        assert [call.operation for call in engine.calls] == [], "nothing is asked before the walk"
        assert [len(page["imageScanFindings"]["findings"]) for page in pages] == [1000, 1]
        assert [call.params["maxResults"] for call in engine.calls] == [1000, 1000]
        report = ScanReport.from_api(pages)
        assert report.counts == {"HIGH": 1001} and report.complete and report.digest == digest
        assert all("ResponseMetadata" not in page for page in pages)

    def test_both_parsers_read_the_same(self, engine, lab):
        rule = {"scanFrequency": "CONTINUOUS_SCAN", "repositoryFilters": [{"filter": "*", "filterType": "WILDCARD"}]}
        lab("PutRegistryScanningConfiguration", scanType="ENHANCED", rules=[rule])
        digest = lab.push("a", "v1")
        found = [finding("CVE-2026-1", published=engine.clock.now()), finding("CVE-2026-2", "UNTRIAGED", "é")]
        inject(engine, digest, findings=found, in_use_count=1, last_in_use_at=engine.clock.now())
        engine.advance(dt.timedelta(seconds=30))
        read = []
        for fast in (True, False):
            session = AwsSession(offline_session("us-east-1"), workers=1, rates={}, fast_parser=fast)
            attach(session.client("ecr"), engine)
            read.append(EcrGateway(session.caller("ecr")).scan_pages("app", digest).all())
        assert read[0] == read[1] and len(read[0][0]["imageScanFindings"]["enhancedFindings"]) == 2

    @pytest.mark.parametrize(("image", "named"), [(DIGEST, "imageDigest"), ("v1", "imageTag")])
    def test_by_digest_and_by_tag(self, scripted, image: str, named: str):
        caller, script = scripted(lambda *_: {"imageScanStatus": {"status": "ACTIVE"}})
        EcrGateway(caller, registry_id="111122223333").scan_pages("app", image).all()
        assert script.calls[0][1] == {
            "registryId": "111122223333", "repositoryName": "app", "imageId": {named: image}, "maxResults": 1000,
        }  # fmt: skip

    def test_no_scan_no_image_no_repository(self, gateway, lab):
        digest = lab.push("a")
        codes = []
        for repository, image in (("app", digest), ("app", "none"), ("none", digest)):
            with pytest.raises(NotFound) as caught:
                gateway.scan_pages(repository, image).all()
            codes.append(caught.value.code)
        assert codes == ["ScanNotFoundException", "ImageNotFoundException", "RepositoryNotFoundException"]

    def test_a_fault_on_the_second_page_is_no_short_answer(self, scripted):
        answers: list[Any] = [{"imageScanStatus": {"status": "ACTIVE"}, "nextToken": "t"}]
        caller, _ = scripted(lambda *_: answers.pop(0) if answers else client_error("AccessDeniedException"))
        with pytest.raises(Denied):
            ScanReport.from_api(EcrGateway(caller).scan_pages("app", DIGEST))


class TestStartScan:
    """Each refusal of StartImageScan is a type of its own (S2)."""

    def test_refusals(self, gateway, lab):
        digest = lab.push("a", "v1")
        index = lab.index([digest], "multi")
        gateway.start_scan("app", "v1")
        with pytest.raises(QuotaExceeded):
            gateway.start_scan("app", digest)
        with pytest.raises(Rejected, match="cannot be scanned") as caught:
            gateway.start_scan("app", index)
        assert caught.value.code == "UnsupportedImageTypeException"

    def test_a_limit_is_not_repeated(self, scripted):
        caller, script = scripted(lambda *_: client_error("LimitExceededException"))
        with pytest.raises(QuotaExceeded):
            EcrGateway(caller).start_scan("app", DIGEST)
        assert len(script.calls) == 1


class TestConfiguration:
    """The registry's configuration as a store, and what ECR says of each repository (S20)."""

    def test_plan_and_apply(self, gateway, lab):
        wanted = ScanningConfiguration.enhanced(continuous=["prod*"], on_push=["*"])
        change = plan(gateway, wanted, ["app"])
        assert change.changes == {"app": ("MANUAL", "SCAN_ON_PUSH")}
        assert apply(change, gateway)
        assert ScanningConfiguration.from_api(gateway.scanning_configuration()) == wanted
        assert not apply(plan(gateway, wanted, ["app"]), gateway)

    def test_other_members_are_refused(self, gateway):
        with pytest.raises(InvalidInput, match="frequency"):
            gateway.put_scanning_configuration({"scanType": "BASIC", "frequency": "daily"})

    def test_only_the_caller_s_own_registry(self, scripted):
        caller, script = scripted(lambda *_: {})
        other = EcrGateway(caller, registry_id="111122223333")
        for ask in (other.scanning_configuration, lambda: other.repository_scanning(["app"])):
            with pytest.raises(InvalidInput, match="own registry only"):
                ask()
        assert script.calls == []

    def test_repositories_25_a_call(self, gateway, engine, lab):
        names = [f"r{n}" for n in range(27)]
        for name in names[:-1]:
            lab("CreateRepository", repositoryName=name)
        gateway.put_scanning_configuration(ScanningConfiguration.basic(on_push=["r1*", "r2"]).to_api())
        engine.calls.clear()
        found = gateway.repository_scanning([*names, "r0"])
        assert len(engine.calls) == 2 and set(found) == set(names[:-1]), "one that does not exist is absent"
        assert (found["r12"].frequency, found["r12"].filters) == ("SCAN_ON_PUSH", ("r1*",))
        assert (found["r25"].filters, found["r3"].frequency, found["r3"].scan_on_push) == (("r2",), "MANUAL", False)


class TestInspector:
    """Every finding and the coverage of one image of one account (Inspector API reference)."""

    @pytest.fixture
    def made(self, clock):
        def make(answer: Any, **more: Any) -> tuple[InspectorGateway, Script]:
            client = AwsSession(offline_session("eu-west-1"), services=("inspector2",), workers=2).client("inspector2")
            script = Script(answer)
            script.install(client)
            return InspectorGateway(Caller(client, clock=clock), **({"account": ACCOUNT} | more)), script

        return make

    def test_findings_of_every_page(self, made):
        pages = {None: {"findings": [{"findingArn": "1"}], "nextToken": "t"}, "t": {"findings": [{"findingArn": "2"}]}}
        gateway, script = made(lambda _, parameters: pages[parameters.get("nextToken")])
        assert [f["findingArn"] for f in gateway.inspector_findings("team/app", DIGEST)] == ["1", "2"]
        operation, asked = script.calls[0]
        assert (operation, asked["maxResults"]) == ("ListFindings", 100)
        assert {name: value[0]["value"] for name, value in asked["filterCriteria"].items()} == {
            "resourceType": "AWS_ECR_CONTAINER_IMAGE", "ecrImageRegistry": ACCOUNT,
            "ecrImageRepositoryName": "team/app", "ecrImageHash": DIGEST,
        }  # fmt: skip
        assert {value[0]["comparison"] for value in asked["filterCriteria"].values()} == {"EQUALS"}

    def test_coverage_of_every_page(self, made):
        arn = f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/team/app/{DIGEST}"
        mine = {"resourceId": arn, "scanStatus": {"statusCode": "ACTIVE", "reason": "SUCCESSFUL"}}
        pages = {None: {"coveredResources": [], "nextToken": "t"}, "t": {"coveredResources": [mine]}}
        gateway, script = made(lambda _, parameters: pages[parameters.get("nextToken")])
        assert gateway.inspector_coverage("team/app", DIGEST) == mine
        assert script.calls[0][1]["filterCriteria"]["resourceId"] == [{"comparison": "EQUALS", "value": arn}]

    def test_an_image_that_inspector_does_not_know(self, made):
        gateway, _ = made(lambda *_: {"coveredResources": [{"resourceId": "another"}]})
        assert gateway.inspector_coverage("app", DIGEST) is None

    def test_the_account_is_asked_once(self, made):
        asked: list[int] = []

        def account() -> str:
            asked.append(1)
            return ACCOUNT

        gateway, _ = made(lambda *_: {}, account=account)
        assert asked == []
        gateway.inspector_findings("app", DIGEST).all()
        gateway.inspector_coverage("app", DIGEST)
        assert asked == [1]

    def test_a_refusal_is_no_empty_list(self, made):
        gateway, _ = made(lambda *_: client_error("AccessDeniedException"))
        with pytest.raises(AwsCallFailed):
            gateway.inspector_findings("app", DIGEST).all()

    def test_requests_fit_the_model(self, shared_session, made):
        from botocore.validate import validate_parameters

        gateway, script = made(lambda *_: {})
        gateway.inspector_findings("app", DIGEST).all()
        gateway.inspector_coverage("app", DIGEST)
        model = gateway._caller.client.meta.service_model
        for operation, asked in script.calls:
            validate_parameters(asked, model.operation_model(operation).input_shape)


class TestPortsAndPermissions:
    """The gateways stand for the ports of the domain and name what they need (S29)."""

    def test_ports(self, gateway, scripted):
        source: FindingSource = gateway
        store: ScanningConfigurationStore = gateway
        fan_out: FanOut = Workers(2)
        inspector: InspectorSource = InspectorGateway(scripted(lambda *_: {})[0], account=ACCOUNT)
        assert source is store and inspector
        assert sorted(fan_out.each(str.upper, "ab")) == [("a", "A"), ("b", "B")]

    def test_permissions(self):
        needed = iam.permissions()
        assert needed["InspectorGateway.inspector_findings"] == ("inspector2:ListFindings",)
        assert needed["InspectorGateway.inspector_coverage"] == ("inspector2:ListCoverage",)
        assert needed["EcrScanning.scan_pages"] == ("ecr:DescribeImageScanFindings",)
