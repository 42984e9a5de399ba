"""Admission over the embedded ECR: real gateways, real gates, injected faults."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest

from ecrkit import Registry
from ecrkit.admission import AdmissionConfiguration, admission_configuration, application, from_answer, replay
from ecrkit.errors import InvalidInput, InvalidPolicy
from ecrkit.images.bases import BaseReport, BaseUse, Place
from ecrkit.local import Engine, throttle
from ecrkit.local import images as local_images
from ecrkit.local.events import Call
from ecrkit.local.scans import finding, inject

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def configuration(**more: Any) -> AdmissionConfiguration:
    profile = {"name": "all", "gate": {"limits": {"CRITICAL": 0}}} | more.pop("profile", {})
    return admission_configuration({"profiles": [profile], "deadline_seconds": 20} | more)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry.local(attempts=2) as made:
        ecr: Any = made.client
        ecr.create_repository(repositoryName="team/app", imageScanningConfiguration={"scanOnPush": True})
        for tag, severity in (("clean", "LOW"), ("dirty", "CRITICAL")):
            built = local_images.image([local_images.layer({"app": tag})])
            inject(made.engine, built.digest, findings=[finding(f"CVE-2026-{len(tag)}", severity, "zlib", "1.2.13")])
            built.push(ecr, "team/app", tag)
        made.engine.advance(dt.timedelta(minutes=5))
        yield made


def calls(engine: Engine, seen: list[str]) -> None:
    engine.before_call.append(lambda call: seen.append(call.operation))


class TestLiveRegistry:
    def test_verdicts_and_calls(self, registry: Registry) -> None:
        seen: list[str] = []
        calls(registry.engine, seen)
        with registry.admission(configuration()) as service:
            good = service.decide(f"{HOST}/team/app:clean", namespace="pay")
            bad = service.decide(f"{HOST}/team/app:dirty", namespace="pay")
            again = service.decide(f"{HOST}/team/app:dirty", namespace="pay")
        assert (good.outcome, bad.outcome, again.answered) == ("pass", "fail", "cache")
        assert bad.vulnerabilities == ("CVE-2026-5",)
        assert bad.digest == registry.gateway.digest_of("team/app", "dirty")
        assert seen[:6] == ["DescribeImages", "BatchGetImage", "DescribeImageScanFindings"] * 2
        assert len(seen) == 7  # the seventh is this test's own question

    def test_missing_tag_and_repository(self, registry: Registry) -> None:
        with registry.admission(configuration()) as service:
            for name in ("team/app:gone", "team/none:v1", "team/app@sha256:" + "0" * 64):
                found = service.decide(f"{HOST}/{name}")
                assert (found.outcome, found.allowed) == ("undetermined", False)

    def test_every_platform_of_an_index_counts(self, registry: Registry) -> None:
        good, bad = (
            local_images.image([local_images.layer({"a": n})], platform=f"linux/{n}") for n in ("amd64", "arm64")
        )
        inject(registry.engine, bad.digest, findings=[finding("CVE-2026-9", "CRITICAL", "zlib", "1")])
        local_images.index([good, bad]).push(registry.client, "team/app", tag="multi")
        registry.engine.advance(dt.timedelta(minutes=5))
        with registry.admission(configuration()) as service:
            assert service.decide(f"{HOST}/team/app:multi").vulnerabilities == ("CVE-2026-9",)
        with registry.admission(configuration(profile={"platforms": ["linux/amd64"]})) as service:
            assert service.decide(f"{HOST}/team/app:multi").allowed

    def test_other_accounts_only_when_given(self, registry: Registry) -> None:
        with registry.admission(configuration()) as service:
            assert service.decide(f"{HOST.replace('us-east-1', 'eu-west-1')}/team/app:clean").answered == "policy"
        west = registry.in_region("eu-west-1")
        with registry.admission(configuration(), also=[west]) as service:
            found = service.decide(f"{HOST.replace('us-east-1', 'eu-west-1')}/team/app:clean")
        assert (found.outcome, found.answered) == ("undetermined", "registry")


class TestConditions:
    def test_signed_and_archived(self, registry: Registry) -> None:
        wanted = configuration(profile={"conditions": ["signed", "not-archived"]})
        name = f"{HOST}/team/app:clean"
        with registry.admission(wanted) as service:
            assert "there is no signature" in service.decide(name).reason
        digest = registry.gateway.digest_of("team/app", "clean")
        assert digest is not None
        subject = local_images.image([local_images.layer({"app": "clean"})])
        assert subject.digest == digest
        local_images.artifact(subject, artifact_type="application/vnd.cncf.notary.signature").push(
            registry.client, "team/app"
        )
        with registry.admission(wanted) as service:
            assert service.decide(name).allowed
        registry.gateway.update_storage_class("team/app", digest, "archive")
        with registry.admission(wanted) as service:
            found = service.decide(f"{HOST}/team/app@{digest}")
        assert not found.allowed
        assert "archived" in found.reason

    def test_a_condition_without_a_source(self, registry: Registry) -> None:
        wanted = configuration(profile={"conditions": ["base-fresh"]})
        with pytest.raises(InvalidInput, match="base-fresh"):
            registry.admission(wanted)
        answers = from_answer("base-fresh", lambda repository, digest: True)
        with registry.admission(wanted, conditions=[answers]) as service:
            assert service.decide(f"{HOST}/team/app:clean").allowed

    @pytest.mark.parametrize("layout", ["artifact", "image"])
    def test_provenance(self, registry: Registry, layout: Any) -> None:
        wanted = configuration(profile={"conditions": ["provenance"]})
        built = local_images.image([local_images.layer({"a": "proved"})], platform="linux/amd64")
        inject(registry.engine, built.digest, findings=[finding("CVE-2026-9", "LOW", "zlib", "1")])
        local_images.index([built], attestations=layout).push(registry.client, "team/app", tag="proved")
        registry.engine.advance(dt.timedelta(minutes=5))
        with registry.admission(wanted) as service:
            assert service.decide(f"{HOST}/team/app:proved").allowed
            found = service.decide(f"{HOST}/team/app:clean")
        assert (found.outcome, found.reason) == ("fail", "provenance: no provenance of the image is recorded")

    def test_fresh_bases(self, registry: Registry) -> None:
        wanted = configuration(profile={"conditions": ["base-fresh"]})
        digest = registry.gateway.digest_of("team/app", "clean")
        assert digest is not None
        here = Place("team/app", digest)
        for status, outcome in (("current", "pass"), ("moved", "fail"), ("unknown", "undetermined")):
            report = BaseReport(uses=(BaseUse(image=here, status=status),))  # type: ignore[arg-type]
            with registry.admission(wanted, bases=report) as service:
                assert service.decide(f"{HOST}/team/app:clean").outcome == outcome

    def test_signing_status_that_the_registry_cannot_tell(self, registry: Registry) -> None:
        """The embedded ECR refuses DescribeImageSigningStatus: that is no yes."""
        built = local_images.image([local_images.layer({"app": "clean"})])
        local_images.artifact(built, artifact_type="application/vnd.cncf.notary.signature").push(
            registry.client, "team/app"
        )
        for way, outcome in (("status", "undetermined"), ("either", "pass"), ("referrer", "pass")):
            with registry.admission(configuration(signed=way, profile={"conditions": ["signed"]})) as service:
                assert service.decide(f"{HOST}/team/app:clean").outcome == outcome
        with pytest.raises(InvalidPolicy, match="signed"):
            configuration(signed="both")

    def test_the_registry_that_has_the_image_is_asked(self, registry: Registry) -> None:
        """One digest in two Regions, signed in the first only: the second's copy is not signed."""
        west = registry.in_region("eu-west-1")
        ecr: Any = west.client
        ecr.create_repository(repositoryName="team/app", imageScanningConfiguration={"scanOnPush": True})
        built = local_images.image([local_images.layer({"app": "clean"})])
        built.push(west.client, "team/app", "clean")
        registry.engine.advance(dt.timedelta(minutes=5))
        local_images.artifact(built, artifact_type="application/vnd.cncf.notary.signature").push(
            registry.client, "team/app"
        )
        there = HOST.replace("us-east-1", "eu-west-1")
        report = BaseReport(uses=(BaseUse(image=Place("team/app", built.digest), status="current"),))
        with registry.admission(configuration(profile={"conditions": ["signed"]}), also=[west]) as service:
            assert service.decide(f"{HOST}/team/app:clean").allowed
            assert "there is no signature" in service.decide(f"{there}/team/app:clean").reason
        wanted = configuration(profile={"conditions": ["base-fresh"]})
        with registry.admission(wanted, also=[west], bases=report) as service:
            assert service.decide(f"{HOST}/team/app:clean").allowed
            assert service.decide(f"{there}/team/app:clean").outcome == "undetermined"


class TestReadOnly:
    """Admission reads and judges what a cluster would run; it stands in no push's way and has no path that writes
    (goharbor/harbor#15035 and #19408: blocking pulls by HEAD let images by, and broke pushes)."""

    def test_pushes_go_on_and_nothing_is_written(self, registry: Registry) -> None:
        from tests.unit.admission.test_wsgi import call

        seen: list[str] = []
        asked = configuration(profile={"conditions": ["signed", "not-archived", "provenance"]})
        with registry.admission(asked) as service:
            app = application(service)
            calls(registry.engine, seen)
            for name in ("clean", "dirty", "gone"):
                body = json.dumps({"images": [f"{HOST}/team/app:{name}"], "namespace": "pay"}).encode()
                assert json.loads(call(app, "/v1/kyverno", body)[2])["allowed"] is False
            assert set(seen) == {
                "BatchGetImage", "DescribeImages", "DescribeImageScanFindings", "ListImageReferrers",
            }  # fmt: skip
            built = local_images.image([local_images.layer({"app": "dirty"}), local_images.layer({"b": "next"})])
            built.push(registry.client, "team/app", "dirty")
        assert registry.gateway.digest_of("team/app", "dirty") == built.digest

    @pytest.mark.parametrize("method", ["HEAD", "PUT", "PATCH", "DELETE"])
    def test_no_other_method_and_no_path_of_a_registry(self, registry: Registry, method: str) -> None:
        from tests.unit.admission.test_wsgi import call

        with registry.admission(configuration()) as service:
            app = application(service)
            for path in ("/v1/admit", "/v1/gatekeeper", "/v1/kyverno"):
                assert call(app, path, method=method)[0] == 405
            for path in ("/v2/", "/v2/team/app/manifests/clean", "/v2/team/app/blobs/uploads/"):
                assert call(app, path, method=method)[0] == 404


class TestFaults:
    """Throttling and outages are a no; they never admit, and never raise."""

    def test_throttled(self, registry: Registry) -> None:
        registry.engine.before_call.append(throttle(0.001, 1, clock=registry.engine.clock))
        with registry.admission(configuration()) as service:
            first = service.decide(f"{HOST}/team/app:clean")
            second = service.decide(f"{HOST}/team/app:dirty")
        assert first.allowed
        assert (second.outcome, second.allowed) == ("undetermined", False)

    def test_down(self, registry: Registry) -> None:
        def broken(call: Call) -> None:
            raise ConnectionError(call.operation)

        registry.engine.before_call.append(broken)
        with registry.admission(configuration()) as service:
            assert not service.decide(f"{HOST}/team/app:clean").allowed

    def test_stale_while_throttled(self, registry: Registry) -> None:
        wanted = configuration(lifetimes={"stale_while_error_seconds": 3600, "tag_seconds": 1})
        with registry.admission(wanted) as service:
            assert service.decide(f"{HOST}/team/app:clean").allowed
            registry.engine.advance(dt.timedelta(minutes=10))
            hook = throttle(0.0001, 1, clock=registry.engine.clock)
            registry.engine.before_call.append(hook)
            hook_user = registry.gateway.digest_of("team/app", "clean")
            assert hook_user is not None
            found = service.decide(f"{HOST}/team/app:clean")
        assert (found.allowed, found.answered) == (True, "stale")


class TestProtocolsOverIt:
    def test_a_deployment_and_a_replay(self, registry: Registry) -> None:
        spec = {"initContainers": [{"name": "i", "image": f"{HOST}/team/app:dirty"}],
                "containers": [{"name": "c", "image": f"{HOST}/team/app:clean"}]}  # fmt: skip
        deployment = {"kind": "Deployment", "metadata": {"name": "web", "namespace": "pay"},
                      "spec": {"template": {"spec": spec}}}  # fmt: skip
        request = {"uid": "u", "kind": {"group": "apps", "version": "v1", "kind": "Deployment"}, "operation": "CREATE",
                   "namespace": "pay", "object": deployment}  # fmt: skip
        body = json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}).encode()
        from tests.unit.admission.test_wsgi import call

        with registry.admission(configuration()) as service:
            answer = json.loads(call(application(service), "/v1/admit", body)[2])["response"]
            found = replay({"kind": "List", "items": [deployment]}, service, cluster="prod")
        assert answer["allowed"] is False
        assert f"{HOST}/team/app:dirty" in answer["status"]["message"]
        assert "CVE-2026-5" in answer["status"]["message"]
        assert [e.container.role for e in found.refused] == ["init"]
