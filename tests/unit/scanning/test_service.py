"""The service over ports: waiting, indexes, many images, Inspector as a second source."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pytest

from ecrkit.errors import (
    AwsCallFailed,
    Conflict,
    Denied,
    InvalidManifest,
    InvalidReference,
    NotFound,
    QuotaExceeded,
    Throttled,
    Unavailable,
    WaitExpired,
    WaitFailed,
)
from ecrkit.records import Image, Progress, RawManifest
from ecrkit.scanning import Gate, ScanningService, count_limit, index_children, latest_scannable
from tests.unit.scanning.build import DIGEST, NOW, OTHER, answer, basic_raw, day, enhanced_raw

INDEX = "sha256:" + "1" * 64
ATTEST = "sha256:" + "2" * 64
INNER = "sha256:" + "3" * 64


class FakeClock:
    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> dt.datetime:
        return NOW + dt.timedelta(seconds=self.time)

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.time += seconds


class FakeSource:
    """Plays one list of answers or errors per image; the last one repeats."""

    def __init__(self, script: Mapping[str, list[Any]], start: AwsCallFailed | None = None) -> None:
        self.script = {k: list(v) for k, v in script.items()}
        self.started: list[str] = []
        self.asked: list[str] = []
        self.start_fault = start

    def scan_pages(self, repository: str, image: str) -> Iterable[Mapping[str, Any]]:
        self.asked.append(image)
        steps = self.script[image]
        found = steps.pop(0) if len(steps) > 1 else steps[0]
        if isinstance(found, Exception):
            raise found
        return [found]

    def start_scan(self, repository: str, image: str) -> None:
        self.started.append(image)
        if self.start_fault is not None:
            raise self.start_fault


class FakeManifests:
    def __init__(self, **manifests: Any) -> None:
        self.book = manifests

    def manifests(self, repository: str, digests: Iterable[str]) -> Mapping[str, RawManifest]:
        return {
            d: RawManifest(digest=d, media_type="x", text=json.dumps(self.book[d])) for d in digests if d in self.book
        }


class FakeTags:
    def __init__(self, *answers: str | None) -> None:
        self.answers = list(answers)

    def digest_of(self, repository: str, tag: str) -> str | None:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def fault(kind: type[AwsCallFailed], code: str = "") -> AwsCallFailed:
    return kind(f"{kind.__name__} {code}", operation="DescribeImageScanFindings", code=code)


NO_SCAN = fault(NotFound, "ScanNotFoundException")
NO_IMAGE = fault(NotFound, "ImageNotFoundException")
READY = answer("COMPLETE", basic=[basic_raw("CVE-1")])
PENDING = answer("IN_PROGRESS", basic=[], done=False)
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def entry(digest: str, os: str = "linux", arch: str = "amd64", **more: Any) -> dict[str, Any]:
    return {"digest": digest, "platform": {"os": os, "architecture": arch}, **more}


ATTESTATION = entry(ATTEST, "unknown", "unknown", annotations={"vnd.docker.reference.type": "attestation-manifest"})
BUILDX = {"mediaType": INDEX_TYPE, "manifests": [entry(DIGEST), entry(OTHER, arch="arm64"), ATTESTATION]}


def service(script: Mapping[str, list[Any]], **more: Any) -> tuple[ScanningService, FakeSource, FakeClock]:
    source, clock = FakeSource(script, more.pop("start", None)), FakeClock()
    return ScanningService(source=source, clock=clock, **more), source, clock


class TestWaiting:
    """Own waiter over all statuses; the SDK's waits five minutes for ACTIVE and fails on the first throttling."""

    def test_pending_then_ready(self) -> None:
        subject, source, clock = service({DIGEST: [NO_SCAN, PENDING, READY]})
        progress: list[Progress] = []
        scan = subject.wait(f"team/app@{DIGEST}", on_progress=progress.append)
        assert scan.reports[0].counts == {"HIGH": 1}
        assert (len(source.asked), clock.time) == (3, 5.0)
        assert [p.done for p in progress] == [0, 0, 0, 1]
        assert source.started == []

    @pytest.mark.parametrize("kind", [Throttled, Unavailable])
    def test_throttling_and_outages_are_waited_out(self, kind: type[AwsCallFailed]) -> None:
        subject, _, _ = service({DIGEST: [fault(kind), fault(kind), READY]})
        assert subject.wait(f"team/app@{DIGEST}").reports[0].findings

    def test_denied_is_final(self) -> None:
        subject, source, clock = service({DIGEST: [fault(Denied, "AccessDeniedException")]})
        with pytest.raises(Denied):
            subject.wait(f"team/app@{DIGEST}")
        assert (len(source.asked), clock.time) == (1, 0.0)

    def test_a_missing_repository_is_final(self) -> None:
        subject, source, _ = service({DIGEST: [fault(NotFound, "RepositoryNotFoundException")]})
        with pytest.raises(NotFound):
            subject.wait(f"team/app@{DIGEST}")
        assert len(source.asked) == 1

    def test_an_image_that_arrives_late(self) -> None:
        subject, _, _ = service({DIGEST: [NO_IMAGE, READY]}, tags=FakeTags(None, DIGEST))
        assert subject.wait("team/app:v1").digest == DIGEST

    def test_a_tag_that_never_comes(self) -> None:
        subject, _, clock = service({}, tags=FakeTags(None))
        with pytest.raises(NotFound):
            subject.wait("team/app:v1", patience=60)
        assert 60 <= clock.time < 100

    def test_a_scan_that_failed(self) -> None:
        subject, _, clock = service({DIGEST: [answer("UNSUPPORTED_IMAGE", basic=[], done=False)]})
        with pytest.raises(WaitFailed) as caught:
            subject.wait(f"team/app@{DIGEST}")
        assert caught.value.last is not None
        assert clock.time == 0.0

    def test_no_result_in_time(self) -> None:
        subject, _, clock = service({DIGEST: [PENDING]})
        with pytest.raises(WaitExpired) as caught:
            subject.wait(f"team/app@{DIGEST}", timeout=60)
        assert clock.time == 60.0
        assert caught.value.last is not None

    def test_two_equal_reads_of_an_enhanced_result(self) -> None:
        one, two = (answer("ACTIVE", enhanced=[enhanced_raw(f"CVE-{n}") for n in range(m)]) for m in (1, 3))
        subject, source, _ = service({DIGEST: [one, two, two]})
        assert len(subject.wait(f"team/app@{DIGEST}").reports[0].findings) == 3
        assert len(source.asked) == 3

    def test_starting_a_scan_once(self) -> None:
        subject, source, _ = service({DIGEST: [NO_SCAN, NO_SCAN, READY]})
        subject.wait(f"team/app@{DIGEST}", start=True)
        assert source.started == [DIGEST]

    def test_a_scan_of_the_last_24_hours_is_used(self) -> None:
        subject, _, _ = service({DIGEST: [NO_SCAN, READY]}, start=fault(QuotaExceeded, "LimitExceededException"))
        assert subject.wait(f"team/app@{DIGEST}", start=True).reports[0].findings

    @pytest.mark.parametrize(
        "found",
        [
            fault(Denied, "AccessDeniedException"),
            fault(Conflict, "ImageArchivedException"),
            fault(Conflict, "UnsupportedImageTypeException"),
        ],
    )
    def test_a_scan_that_may_not_start(self, found: AwsCallFailed) -> None:
        subject, _, clock = service({DIGEST: [NO_SCAN]}, start=found)
        with pytest.raises(type(found)):
            subject.wait(f"team/app@{DIGEST}", start=True)
        assert clock.time == 0.0


class TestIndexes:
    """Findings live on the children of an index; attestations have none, and a platform without a scan is a no."""

    def test_children_and_attestations(self) -> None:
        children = index_children(json.dumps(BUILDX))
        assert children is not None
        assert [(c.kind, c.platform) for c in children] == [
            ("image", "linux/amd64"), ("image", "linux/arm64"), ("attestation", "unknown/unknown"),
        ]  # fmt: skip
        assert index_children({"config": {}, "layers": []}) is None

    def test_an_index_is_told_by_its_list_or_its_type(self) -> None:
        assert index_children({"manifests": [entry(DIGEST)]})
        for broken in (
            {"mediaType": INDEX_TYPE},
            {"mediaType": INDEX_TYPE, "manifests": None},
            {"manifests": [{}]},
            {"manifests": [7]},
            [],
        ):
            with pytest.raises(InvalidManifest):
                index_children(broken)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "child",
        [
            entry(DIGEST, annotations={"vnd.docker.reference.type": "attestation-manifest"}),
            entry(DIGEST, "unknown", "unknown"),
            {"digest": DIGEST},
        ],
    )
    def test_only_both_marks_make_an_attestation(self, child: dict[str, Any]) -> None:
        children = index_children({"mediaType": INDEX_TYPE, "manifests": [child]})
        assert children is not None
        assert children[0].kind == "image"

    def test_every_platform_is_read_and_the_scan_of_the_index_is_not_asked_for(self) -> None:
        subject, source, _ = service({DIGEST: [READY], OTHER: [NO_SCAN]}, manifests=FakeManifests(**{INDEX: BUILDX}))
        scan = subject.read(f"team/app@{INDEX}")
        assert source.asked == [DIGEST, OTHER]
        assert (scan.platforms, scan.skipped) == (("linux/amd64", "linux/arm64"), (ATTEST,))
        verdict = Gate(count_limit("CRITICAL", 0)).judge(scan, now=NOW)
        assert (verdict.outcome, verdict.digest, verdict.exit_code) == ("undetermined", INDEX, 75)
        assert [r.platform for r in verdict.reasons] == ["linux/arm64"]

    def test_waiting_for_every_platform(self) -> None:
        late = answer("COMPLETE", basic=[], digest=OTHER)
        subject, source, _ = service(
            {DIGEST: [READY], OTHER: [NO_SCAN, late]}, manifests=FakeManifests(**{INDEX: BUILDX})
        )
        scan = subject.wait(f"team/app@{INDEX}", start=True)
        assert source.started == [OTHER]
        assert [r.platform for r in scan.reports] == ["linux/amd64", "linux/arm64"]

    def test_the_pauses_of_several_platforms_run_side_by_side(self) -> None:
        one, two = (
            answer("ACTIVE", enhanced=[enhanced_raw("CVE-1", image={"imageHash": d})], digest=d)
            for d in (DIGEST, OTHER)
        )
        subject, source, clock = service({DIGEST: [one], OTHER: [two]}, manifests=FakeManifests(**{INDEX: BUILDX}))
        scan = subject.wait(f"team/app@{INDEX}")
        assert [r.digest for r in scan.reports] == [DIGEST, OTHER]
        assert (clock.time, source.asked) == (15.0, [DIGEST, OTHER, DIGEST, OTHER])

    def test_one_platform_that_fails_ends_the_wait_at_once(self) -> None:
        bad = answer("UNSUPPORTED_IMAGE", basic=[], done=False, digest=OTHER)
        subject, _, clock = service({DIGEST: [PENDING], OTHER: [bad]}, manifests=FakeManifests(**{INDEX: BUILDX}))
        with pytest.raises(WaitFailed, match=OTHER):
            subject.wait(f"team/app@{INDEX}")
        assert clock.time == 0.0

    def test_nested_indexes(self) -> None:
        outer = {"mediaType": INDEX_TYPE, "manifests": [{"digest": INNER, "mediaType": INDEX_TYPE}, entry(DIGEST)]}
        book = {INDEX: outer, INNER: BUILDX}
        subject, _, _ = service({DIGEST: [READY], OTHER: [READY]}, manifests=FakeManifests(**book))
        assert len(subject.resolve(f"team/app@{INDEX}").reports) == 2

    def test_a_nested_index_nobody_can_read(self) -> None:
        outer = {"mediaType": INDEX_TYPE, "manifests": [{"digest": INNER, "mediaType": INDEX_TYPE}, entry(DIGEST)]}
        subject, _, _ = service({DIGEST: [READY]}, manifests=FakeManifests(**{INDEX: outer}))
        verdict = Gate(count_limit("CRITICAL", 0)).judge(subject.read(f"team/app@{INDEX}"), now=NOW)
        assert verdict.outcome == "undetermined"
        assert "could not be read" in verdict.reasons[0].text

    def test_endless_nesting_ends(self) -> None:
        loop = {"mediaType": INDEX_TYPE, "manifests": [{"digest": INDEX, "mediaType": INDEX_TYPE}]}
        subject, _, _ = service({}, manifests=FakeManifests(**{INDEX: loop}))
        assert "nests" in str(subject.resolve(f"team/app@{INDEX}").problem)


class TestMany:
    """Many references through a fan-out; one that fails does not stop the others."""

    def test_order_progress_and_faults(self) -> None:
        class Backwards:
            def each(self, work: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
                for item in reversed(list(items)):
                    yield item, work(item)

        subject, _, _ = service({DIGEST: [READY], OTHER: [fault(Denied)]}, fan_out=Backwards())
        progress: list[Progress] = []
        refs = [f"team/app@{DIGEST}", f"team/app@{OTHER}", "team/app", f"team/app@{DIGEST}"]
        found = subject.reports(refs, on_progress=progress.append)
        assert list(found) == refs[:3]
        assert [p.done for p in progress] == [1, 2, 3]
        assert found[refs[0]].problem is None
        gate = Gate(count_limit("CRITICAL", 0))
        for ref in refs[1:3]:
            assert "could not be read" in str(found[ref].problem)
            assert found[ref].repository == "team/app"
            assert gate.judge(found[ref], now=NOW).outcome == "undetermined"

    def test_a_tag_without_a_tag_source(self) -> None:
        subject, _, _ = service({})
        with pytest.raises(InvalidReference):
            subject.read("team/app:v1")


class TestArn:
    """Inspector's events name the repository by its ARN; the API takes the plain name."""

    def test_an_arn_becomes_name_and_digest(self) -> None:
        asked: list[tuple[str, str]] = []

        class Source(FakeSource):
            def scan_pages(self, repository: str, image: str) -> Iterable[Mapping[str, Any]]:
                asked.append((repository, image))
                return super().scan_pages(repository, image)

        arn = f"arn:aws:ecr:us-east-2:123456789012:repository/team/app/{DIGEST}"
        ScanningService(source=Source({DIGEST: [READY]}), clock=FakeClock()).read(arn)
        assert asked == [("team/app", DIGEST)]


class TestInspector:
    """Inspector behind the same service: EPSS into the findings, coverage into the reason of an empty answer."""

    class Fake:
        def __init__(self, findings: list[Any], coverage: Mapping[str, Any] | None) -> None:
            self.findings, self.coverage = findings, coverage

        def inspector_findings(self, repository: str, digest: str) -> Iterable[Mapping[str, Any]]:
            return self.findings

        def inspector_coverage(self, repository: str, digest: str) -> Mapping[str, Any] | None:
            return self.coverage

    def test_enriched(self) -> None:
        raw = {**enhanced_raw("CVE-1"), "epss": {"score": 0.7}}
        subject, _, _ = service(
            {DIGEST: [answer("ACTIVE", enhanced=[enhanced_raw("CVE-1")])]}, inspector=self.Fake([raw], None)
        )
        assert subject.read(f"team/app@{DIGEST}").reports[0].findings[0].epss == 0.7

    def test_active_and_empty_for_ever_names_the_coverage(self) -> None:
        coverage = {"scanStatus": {"statusCode": "INACTIVE", "reason": "IMAGE_SIZE_EXCEEDED"}}
        subject, _, _ = service({DIGEST: [answer("ACTIVE", basic=[], done=False)]}, inspector=self.Fake([], coverage))
        found = subject.read(f"team/app@{DIGEST}").reports[0]
        assert "INACTIVE IMAGE_SIZE_EXCEEDED" in str(found.status_description)


class TestLatest:
    """The latest image to scan is the newest by push time among images, without signatures, attestations and children."""

    def test_choice(self) -> None:
        from ecrkit.images import Inventory

        def image(number: int, at: str, **more: Any) -> Image:
            return Image(digest=f"sha256:{number:064x}", pushed_at=day(at), **more)

        images = [
            image(1, "2026-01-01"),
            image(2, "2026-01-02"),
            image(3, "2026-01-03", subject_digest="sha256:x"),
            image(4, "2026-01-04", artifact_media_type="application/vnd.in-toto+json"),
            image(5, "2026-01-05", status="ARCHIVED"),
            image(6, "2026-01-02", manifest_media_type=INDEX_TYPE),
        ]
        inventory = Inventory(images, children={images[5].digest: [images[1].digest]})
        found = latest_scannable(inventory)
        assert found == images[5]
        assert latest_scannable(Inventory([])) is None
