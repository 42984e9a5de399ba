"""Whole flows on the embedded ECR: push, scan, wait, judge; with faults, indexes, Inspector and many images."""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator

import pytest

from ecrkit import Registry
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import Denied, NotFound, QuotaExceeded, Throttled, WaitExpired, WaitFailed
from ecrkit.local import Call, Engine, ServiceFault, attach, throttle
from ecrkit.local.images import filler, image, index, layer
from ecrkit.local.scans import finding, inject
from ecrkit.records import Progress
from ecrkit.scanning import Gate, ScanningConfiguration, count_limit, deny_fixable, epss_below

CRITICAL = finding("CVE-2026-1", "CRITICAL", "openssl", "3.0.11", fixed_in="3.0.12", epss=0.7)
MEDIUM = finding("CVE-2026-2", "MEDIUM", "zlib", "1.2.13")
BASE = filler(5_000, seed="base")
GATE = Gate([count_limit("CRITICAL", 0), count_limit("HIGH", 0)])


def app(name: str, **more: str):
    return image([BASE, layer({"app": name})], **more)


@pytest.fixture
def registry() -> Iterator[Registry]:
    # Pacing lives in the engine's time here, so that nobody waits for a throttle in real seconds.
    engine = Engine()
    session = AwsSession(offline_session("us-east-1"), workers=4, clock=engine.clock, rates={}, attempts=1)
    attach(session.client("ecr"), engine)
    with Registry(session, clock=engine.clock, engine=engine) as made:
        made.gateway.create_repository("team/app")
        yield made


def push(registry: Registry, built, tag: str | None = None) -> str:
    return built.push(registry.aws.client("ecr"), "team/app", tag)


class TestBasic:
    """Push, start, wait, judge under basic scanning."""

    def test_wait_starts_the_scan_and_the_gate_denies(self, registry: Registry):
        digest = push(registry, app("a"), "v1")
        inject(registry.engine, digest, findings=[CRITICAL, MEDIUM])
        progress: list[Progress] = []
        begun = registry.clock.monotonic()
        scan = registry.scanning.wait("team/app:v1", start=True, on_progress=progress.append)
        assert 10 <= registry.clock.monotonic() - begun < 20
        assert progress[-1].what == "scans ready"
        verdict = GATE.judge(scan, now=registry.clock.now())
        assert (verdict.outcome, verdict.exit_code) == ("fail", 1)
        assert verdict.digest == digest and "CVE-2026-1" in verdict.explain()

    def test_a_clean_image_passes(self, registry: Registry):
        digest = push(registry, app("a"))
        scan = registry.scanning.wait(f"team/app@{digest}", start=True)
        assert GATE.judge(scan, now=registry.clock.now()).outcome == "pass"

    def test_basic_knows_no_fix(self, registry: Registry):
        """A rule on fixes cannot be judged on a basic scan: undetermined, and a gate says no (S4)."""
        digest = push(registry, app("a"))
        inject(registry.engine, digest, findings=[CRITICAL])
        scan = registry.scanning.wait(f"team/app@{digest}", start=True)
        verdict = Gate(deny_fixable("CRITICAL")).judge(scan, now=registry.clock.now())
        assert verdict.outcome == "undetermined" and verdict.exit_code != 0

    def test_no_scan_is_no_pass(self, registry: Registry):
        digest = push(registry, app("a"))
        verdict = GATE.judge(registry.scanning.read(f"team/app@{digest}"), now=registry.clock.now())
        assert verdict.outcome == "undetermined"
        with pytest.raises(WaitFailed, match="no scan"):
            registry.scanning.wait(f"team/app@{digest}", patience=30)

    def test_a_scratch_image(self, registry: Registry):
        digest = push(registry, app("a"))
        text = "UnsupportedImageError: The operating system 'null' detected in the image is not supported."
        inject(registry.engine, digest, status="FAILED", description=text)
        with pytest.raises(WaitFailed, match="unsupported"):
            registry.scanning.wait(f"team/app@{digest}", start=True)

    def test_scanned_a_moment_ago(self, registry: Registry):
        digest = push(registry, app("a"))
        registry.gateway.start_scan("team/app", digest)
        with pytest.raises(QuotaExceeded):
            registry.gateway.start_scan("team/app", digest)
        assert registry.scanning.wait(f"team/app@{digest}", start=True).reports[0].status == "COMPLETE"

    def test_no_result_in_time(self, registry: Registry):
        digest = push(registry, app("a"))
        inject(registry.engine, digest, after=dt.timedelta(hours=1))
        with pytest.raises(WaitExpired) as caught:
            registry.scanning.wait(f"team/app@{digest}", start=True, timeout=60)
        assert caught.value.last.status == "IN_PROGRESS"

    def test_no_such_tag(self, registry: Registry):
        with pytest.raises(NotFound):
            registry.scanning.wait("team/app:none", patience=10)


class TestEnhanced:
    """Continuous scanning: stable reads, findings that come later, Inspector as a second source."""

    @pytest.fixture(autouse=True)
    def configured(self, registry: Registry) -> None:
        change = registry.scanning.plan_configuration(ScanningConfiguration.enhanced(continuous=["*"]), ["team/app"])
        assert registry.scanning.apply_configuration(change)
        assert registry.scanning.configuration().scan_type == "ENHANCED"

    def test_two_equal_reads(self, registry: Registry):
        """A report read early had one finding and later three: two equal reads some seconds apart; aws-sdk#288."""
        built = app("a")
        inject(registry.engine, built.digest, findings=[MEDIUM])
        late = dt.timedelta(seconds=40)
        inject(registry.engine, built.digest, findings=[MEDIUM, CRITICAL], after=late, follow=True)
        push(registry, built, "v1")
        scan = registry.scanning.wait("team/app:v1")
        assert scan.reports[0].counts == {"CRITICAL": 1, "MEDIUM": 1}
        verdict = Gate(deny_fixable("CRITICAL")).judge(scan, now=registry.clock.now())
        assert verdict.outcome == "fail"

    def test_inspector_adds_epss(self, registry: Registry):
        built = app("a")
        inject(registry.engine, built.digest, findings=[CRITICAL], in_use_count=2)
        push(registry, built, "v1")
        gate = Gate(epss_below(0.5))
        alone = registry.scanning.wait("team/app:v1")
        assert gate.judge(alone, now=registry.clock.now()).outcome == "undetermined"
        service = registry.scanning.with_inspector(registry.inspector)
        both = service.read("team/app:v1")
        assert both.reports[0].findings[0].epss == 0.7 and both.reports[0].in_use_count == 2
        assert gate.judge(both, now=registry.clock.now()).outcome == "fail"

    def test_a_vanished_finding_is_no_fix(self, registry: Registry):
        built = app("a")
        inject(registry.engine, built.digest, findings=[CRITICAL])
        push(registry, built, "v1")
        registry.engine.advance(dt.timedelta(days=15))
        scan = registry.scanning.with_inspector(registry.inspector).read("team/app:v1")
        assert scan.reports[0].findings == ()
        assert GATE.judge(scan, now=registry.clock.now()).outcome == "undetermined"
        with pytest.raises(WaitFailed, match="expired"):
            registry.scanning.wait("team/app:v1")


class TestIndexes:
    """Findings live on the children: each platform is judged, attestations are not, and a gap is a no (S23)."""

    PLATFORMS = ("linux/amd64", "linux/arm64")

    @pytest.fixture(params=["artifact", "image"])
    def built(self, request: pytest.FixtureRequest):
        return index((app(p, platform=p) for p in self.PLATFORMS), attestations=request.param)

    def test_every_platform(self, registry: Registry, built):
        push(registry, built, "v1")
        by_platform = {child.platform: child.digest for child in built.children if child.platform in self.PLATFORMS}
        inject(registry.engine, by_platform["linux/arm64"], findings=[CRITICAL])
        scan = registry.scanning.wait("team/app:v1", start=True)
        assert {r.platform: r.digest for r in scan.reports} == by_platform and len(scan.skipped) == 2
        verdict = GATE.judge(scan, now=registry.clock.now())
        assert verdict.outcome == "fail" and {r.platform for r in verdict.reasons} == {"linux/arm64"}
        assert GATE.judge(scan, now=registry.clock.now(), platforms=["linux/amd64"]).outcome == "pass"

    def test_scan_on_push_of_an_index_is_silent(self, registry: Registry, built):
        registry.gateway.put_scanning_configuration(ScanningConfiguration.basic(on_push=["*"]).to_api())
        push(registry, built, "v1")
        registry.engine.advance(dt.timedelta(minutes=1))
        with pytest.raises(NotFound, match="scan"):
            registry.gateway.scan_pages("team/app", "v1").all()
        assert GATE.judge(registry.scanning.read("team/app:v1"), now=registry.clock.now()).outcome == "pass"

    def test_one_platform_unscanned(self, registry: Registry, built):
        push(registry, built, "v1")
        first = next(c.digest for c in built.children if c.platform == "linux/amd64")
        registry.gateway.start_scan("team/app", first)
        registry.engine.advance(dt.timedelta(minutes=1))
        verdict = GATE.judge(registry.scanning.read("team/app:v1"), now=registry.clock.now())
        assert verdict.outcome == "undetermined" and {r.platform for r in verdict.reasons} == {"linux/arm64"}


class TestFaults:
    """Throttling is waited out, a lack of permission ends the wait at once, and neither reads as clean."""

    def test_throttled_while_waiting(self, registry: Registry):
        digest = push(registry, app("a"))
        inject(registry.engine, digest, findings=[CRITICAL])
        rate = throttle(0.05, 1, operations=["DescribeImageScanFindings"], clock=registry.clock)
        registry.engine.before_call.append(rate)
        scan = registry.scanning.wait(f"team/app@{digest}", start=True)
        assert scan.reports[0].counts == {"CRITICAL": 1}

    def test_throttled_for_ever(self, registry: Registry):
        digest = push(registry, app("a"))

        def refuse(call: Call) -> None:
            if call.operation == "DescribeImageScanFindings":
                raise ServiceFault("ThrottlingException", "Rate exceeded")

        registry.engine.before_call.append(refuse)
        with pytest.raises(WaitExpired):
            registry.scanning.wait(f"team/app@{digest}", timeout=120)
        with pytest.raises(Throttled):
            registry.scanning.read(f"team/app@{digest}")

    def test_denied(self, registry: Registry):
        digest = push(registry, app("a"))

        def refuse(call: Call) -> None:
            if call.operation == "StartImageScan":
                raise ServiceFault("AccessDeniedException", "not allowed")

        registry.engine.before_call.append(refuse)
        begun = registry.clock.now()
        with pytest.raises(Denied):
            registry.scanning.wait(f"team/app@{digest}", start=True)
        assert registry.clock.now() == begun


class TestManyImages:
    """Many references at once: several calls in flight, in the order given, one fault not hiding the others."""

    def test_reports(self, registry: Registry):
        registry.gateway.put_scanning_configuration(ScanningConfiguration.basic(on_push=["*"]).to_api())
        digests = [push(registry, app(str(n)), f"v{n}") for n in range(30)]
        for digest in digests[::2]:
            inject(registry.engine, digest, findings=[CRITICAL])
        registry.engine.advance(dt.timedelta(minutes=1))
        together = threading.Barrier(4, timeout=30)
        seen: list[str] = []

        def meet(call: Call) -> None:
            if call.operation == "DescribeImages" and len(seen) < 4:
                seen.append(call.params["imageIds"][0]["imageTag"])
                together.wait()  # passes only when four calls are under way

        registry.engine.before_call.append(meet)
        refs = [*(f"team/app:v{n}" for n in range(30)), "team/app:none"]
        found = registry.scanning.reports(refs)
        assert list(found) == refs
        outcomes = [GATE.judge(scan, now=registry.clock.now()).outcome for scan in found.values()]
        assert outcomes == ["fail", "pass"] * 15 + ["undetermined"]
        assert "could not be read" in str(found["team/app:none"].problem)

    def test_manifests_are_read_a_hundred_at_a_time(self, registry: Registry):
        digests = [push(registry, app(str(n)), f"v{n}") for n in range(101)]
        registry.engine.calls.clear()
        found = registry.scanning.reports([*(f"team/app@{d}" for d in digests), "team/app:v7", "team/app:none"])
        assert len(found) == 103
        asked = [call.operation for call in registry.engine.calls]
        assert {name: asked.count(name) for name in set(asked)} == {
            "BatchGetImage": 2, "DescribeImages": 2, "DescribeImageScanFindings": 102,
        }  # fmt: skip

    def test_what_cannot_be_read_ahead_is_told_where_it_belongs(self, registry: Registry):
        digest = push(registry, app("a"), "v1")
        registry.gateway.start_scan("team/app", digest)
        registry.engine.advance(dt.timedelta(minutes=1))

        def refuse(call: Call) -> None:
            if call.operation == "BatchGetImage" and call.params["repositoryName"] == "team/app":
                raise ServiceFault("AccessDeniedException", "not allowed")

        registry.engine.before_call.append(refuse)
        found = registry.scanning.reports([f"team/app@{digest}", f"none/app@{digest}", "no reference!"])
        assert [str(scan.problem).count("could not be read") for scan in found.values()] == [1, 1, 1]
        assert "not allowed" in str(found[f"team/app@{digest}"].problem)
