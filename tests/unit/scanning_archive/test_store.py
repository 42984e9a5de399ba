"""Storing and handling: once each, whole, nothing overwritten, and told whether it is locked."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any

import pytest

from ecrkit.errors import Conflict, InvalidInput
from ecrkit.local import ManualClock
from ecrkit.scanning import ScanReport
from ecrkit.scanning.archive import Archive, FindingRow, Layout, MemoryObjects, Retention, ScanRow
from ecrkit.scanning.archive.rows import read_lines
from tests.unit.scanning_archive.build import (
    PLACE,
    REPOSITORY,
    A,
    Answers,
    B,
    answer,
    day,
    event,
    finding,
    image_arn,
    image_scan,
    inspector_finding,
    raw_finding,
    report,
)


def archive(objects: MemoryObjects | None = None, **more: Any) -> tuple[Archive, MemoryObjects]:
    store = objects if objects is not None else MemoryObjects()
    return Archive(store, place=PLACE, **{"clock": ManualClock(start=day("2026-11-25T12:00")), **more}), store


def table(store: MemoryObjects, name: str) -> list[str]:
    return [k for k in store.bodies if k.startswith(f"ecr-scan/{name}/")]


class TestStoringWritesTheBodyAndTheRows:
    """The raw body, flat rows of findings, and a row of the reading that names the body and its SHA-256."""

    def test_what_is_written(self) -> None:
        kept, store = archive()
        stored = kept.store(report(finding("CVE-1", "HIGH", "curl", "libcurl4")))
        assert stored.new and [k.split("/")[1] for k in stored.keys] == ["raw", "findings", "scans"]
        raw, rows, scans = (store.bodies[k] for k in stored.keys)
        (reading,) = read_lines(scans, ScanRow)
        assert reading.raw_key == stored.keys[0] and reading.raw_sha256 == hashlib.sha256(raw).hexdigest()
        assert [r.scan_id for r in read_lines(rows, FindingRow)] == [reading.scan_id] * 2
        assert Layout.read(stored.keys[0]).body == reading.raw_sha256[:16] and kept.verify(reading) is None

    def test_the_row_that_speaks_for_a_reading_is_written_last(self) -> None:
        """A delivery that breaks off between the two must not leave a reading that looks clean."""

        class Broken(MemoryObjects):
            def put_new(self, key: str, body: bytes, **more: Any) -> bool:
                if "/findings/" in key:
                    raise OSError("broke off")
                return super().put_new(key, body, **more)

        kept, store = archive(Broken())
        with pytest.raises(OSError, match="broke off"):
            kept.store(report(finding()))
        assert not table(store, "scans")

    def test_a_clean_reading_has_a_row_and_no_findings(self) -> None:
        kept, store = archive()
        kept.store(report())
        assert len(table(store, "scans")) == 1 and not table(store, "findings")

    def test_raw_pages_are_kept_without_response_metadata(self) -> None:
        kept, store = archive()
        pages = [{**answer(raw_finding()), "ResponseMetadata": {"RequestId": "r"}}]
        stored = kept.store(ScanReport.from_api(pages), pages=pages)
        body = json.loads(store.bodies[stored.keys[0]])
        assert body["pages"] == [answer(raw_finding())] and body["format"] == "ecrkit-scan/1"

    def test_suppressed_findings_of_the_pages_become_rows(self) -> None:
        kept, store = archive()
        pages = [answer(raw_finding("CVE-1"), raw_finding("CVE-2", "SUPPRESSED"))]
        stored = kept.store(ScanReport.from_api(pages), pages=pages)
        rows = read_lines(store.bodies[stored.keys[1]], FindingRow)
        assert [(r.vulnerability_id, r.state) for r in rows] == [("CVE-1", "OPEN"), ("CVE-2", "SUPPRESSED")]
        assert read_lines(store.bodies[stored.keys[2]], ScanRow)[0].closes

    def test_without_pages_suppressed_findings_take_the_proof_away(self) -> None:
        kept, store = archive()
        stored = kept.store(ScanReport.from_api(answer(raw_finding("CVE-2", "SUPPRESSED"))))
        assert not read_lines(store.bodies[stored.keys[-1]], ScanRow)[0].closes


class TestStoringTwiceGivesOneRecord:
    """Keys are made of what is stored, and an existing key with the same content is success."""

    def test_the_same_report(self) -> None:
        kept, store = archive()
        first, before = kept.store(report(finding())), dict(store.bodies)
        again = kept.store(report(finding()))
        assert (first.new, again.new) == (True, False) and store.bodies == before
        assert again.keys == first.keys and again.lock == "written before, with the lock it got then"

    def test_two_readings_at_different_moments_are_two(self) -> None:
        kept, store = archive()
        kept.store(report(), at=day("2026-11-24"))
        kept.store(report(), at=day("2026-11-25"))
        assert len(table(store, "scans")) == 2

    def test_an_interrupted_store_is_completed(self) -> None:
        kept, store = archive()
        stored = kept.store(report(finding()))
        del store.bodies[stored.keys[-1]]
        assert kept.store(report(finding())).new and stored.keys[-1] in store.bodies

    def test_other_content_under_the_key_is_never_overwritten(self) -> None:
        kept, store = archive()
        key = kept.store(report()).keys[0]
        store.bodies[key] = b"forged"
        with pytest.raises(Conflict, match="holds other content"):
            kept.store(report())
        assert store.bodies[key] == b"forged"


class TestWhatIsRefused:
    """A report that is not whole would be archived as evidence of what it does not show."""

    def test_a_missing_page(self) -> None:
        kept, store = archive()
        with pytest.raises(InvalidInput, match="not whole"):
            kept.store(ScanReport.from_api(answer(raw_finding(), nextToken="more")))
        assert not store.bodies

    def test_every_reason_is_named(self) -> None:
        kept, _ = archive()
        with pytest.raises(InvalidInput) as caught:
            kept.store(report(digest=None, repository=None, completed_at=None, complete=False, incomplete_because="x"))
        assert [p.path for p in caught.value.problems] == ["$.complete", "$.repository", "$.digest", "at"]

    def test_pages_of_another_image(self) -> None:
        kept, _ = archive()
        with pytest.raises(InvalidInput, match=r"\$\.digest: the pages say sha256:b"):
            kept.store(report(completed_at=day("2025-11-24T16:00")), pages=[answer(digest=B)])

    def test_failed_and_expired_scans_are_stored(self) -> None:
        kept, store = archive()
        kept.store(report(status="FAILED", completed_at=None), at=day("2026-11-25"))
        kept.store(ScanReport.not_found(repository=REPOSITORY, digest=A), at=day("2026-11-25"))
        states = [read_lines(store.bodies[k], ScanRow)[0].readiness for k in table(store, "scans")]
        assert sorted(states) == ["failed", "missing"]


class TestObjectLock:
    """Locked when the bucket has Object Lock; said plainly when it has not (S3 user guide, Object Lock)."""

    def test_with_lock(self) -> None:
        kept, store = archive(MemoryObjects(object_lock=True), retention=Retention("COMPLIANCE", 365))
        stored = kept.store(report(finding()))
        assert stored.locked_until == day("2027-11-25T12:00") and stored.lock == "Object Lock: COMPLIANCE for 365 days"
        assert set(store.locked) == set(stored.keys)

    def test_without_lock_it_says_so(self) -> None:
        kept, store = archive(retention=Retention("COMPLIANCE", 365))
        stored = kept.store(report())
        assert stored.locked_until is None and stored.lock.startswith("NOT locked: ") and not store.locked

    def test_a_required_lock(self) -> None:
        kept, store = archive(retention=Retention("GOVERNANCE", 1), require_lock=True)
        with pytest.raises(InvalidInput, match="has no Object Lock"):
            kept.store(report())
        assert not store.bodies

    def test_faults_of_the_making(self) -> None:
        with pytest.raises(InvalidInput, match="clock"):
            Archive(MemoryObjects(), place=PLACE, retention=Retention("GOVERNANCE", 1))
        with pytest.raises(InvalidInput, match="needs a retention"):
            Archive(MemoryObjects(), place=PLACE, require_lock=True)


class TestTheHandler:
    """`handle` is a Lambda handler: the digest comes from the event, and a repeated delivery is one record."""

    def test_a_scan_is_read_by_the_digest_of_the_event(self) -> None:
        source = Answers(a=[answer(raw_finding(), nextToken="t"), answer(raw_finding("CVE-2"))])
        kept, store = archive(source=source)
        told = kept.handle(image_scan(**{"image-tags": ["latest"]}), object())
        assert source.asked == [(REPOSITORY, A)] and told["outcome"] == "stored"
        (reading,) = read_lines(store.bodies[table(store, "scans")[0]], ScanRow)
        assert reading.findings == 2 and reading.read_at == day("2026-11-25T12:00")
        json.dumps(told)

    def test_a_repeated_delivery_is_a_duplicate(self) -> None:
        source = Answers(a=[answer(raw_finding())])
        kept, store = archive(source=source)
        kept.handle(image_scan())
        before = dict(store.bodies)
        source.pages[A] = [answer()]
        assert kept.handle(image_scan())["outcome"] == "duplicate"
        assert store.bodies == before and len(source.asked) == 1

    def test_a_delivery_that_failed_halfway_is_done_again(self) -> None:
        source = Answers()
        kept, store = archive(source=source)
        with pytest.raises(KeyError):
            kept.handle(image_scan())
        assert not store.bodies
        source.pages[A] = [answer()]
        assert kept.handle(image_scan())["outcome"] == "stored"

    def test_an_inspector_scan_names_another_account(self) -> None:
        arn = image_arn().replace("eu-west-1", "us-east-1").rpartition("/")[0]
        detail = {"scan-status": "INITIAL_SCAN_COMPLETE", "repository-name": arn, "image-digest": A}
        source = Answers(a=[answer()])
        kept, store = archive(source=source)
        kept.handle(event("aws.inspector2", "Inspector2 Scan", detail, arn))
        assert source.asked == [(REPOSITORY, A)]
        assert "/account=123456789012/region=us-east-1/" in table(store, "scans")[0]

    @pytest.mark.parametrize(
        ("status", "state"), [("ACTIVE", "OPEN"), ("SUPPRESSED", "SUPPRESSED"), ("CLOSED", "CLOSED"), ("NEW", "OPEN")]
    )
    def test_a_finding_becomes_a_row_and_no_reading(self, status: str, state: str) -> None:
        kept, store = archive()
        kept.handle(inspector_finding(status=status))
        (only,) = read_lines(store.bodies[table(store, "findings")[0]], FindingRow)
        assert (only.state, only.record, only.repository) == (state, "event", REPOSITORY)
        assert not table(store, "scans")

    def test_the_end_of_coverage_is_a_reading_that_proves_nothing(self) -> None:
        kept, store = archive()
        detail = {"scanStatus": {"reason": "IMAGE_ELIGIBILITY_EXPIRED", "statusCodeValue": "INACTIVE"}}
        kept.handle(event("aws.inspector2", "Inspector2 Coverage", detail, image_arn()))
        (only,) = read_lines(store.bodies[table(store, "scans")[0]], ScanRow)
        assert (only.readiness, only.closes, only.kind) == ("expired", False, "coverage")

    def test_a_frequency_change_is_noted(self) -> None:
        kept, _ = archive()
        detail = {"repositories": [{"repository-name": REPOSITORY, "scan-frequency": "MANUAL"}]}
        assert kept.handle(event("aws.ecr", "ECR Scan Resource Change", detail))["outcome"] == "noted"
        assert len(kept.rows(dt.date(2026, 11, 25), dt.date(2026, 11, 25)).changes) == 1

    def test_other_resources_leave_nothing(self) -> None:
        kept, store = archive()
        detail = {"scan-status": "INITIAL_SCAN_COMPLETE", "instance-id": "i-1"}
        told = kept.handle(event("aws.inspector2", "Inspector2 Scan", detail, "i-1"))
        assert told["outcome"] == "ignored" and "EC2" in told["reason"] and not store.bodies

    def test_without_a_source(self) -> None:
        kept, store = archive()
        with pytest.raises(InvalidInput, match="without a source"):
            kept.handle(image_scan())
        assert not store.bodies

    def test_an_answer_about_another_image_is_refused(self) -> None:
        kept, _ = archive(source=Answers(a=[answer(digest=B)]))
        with pytest.raises(InvalidInput, match="not the image asked for"):
            kept.observe(REPOSITORY, A)


class TestReadingBack:
    """Rows of the days asked for, and of no other place."""

    def test_days_are_both_included(self) -> None:
        kept, _ = archive()
        for n in range(20, 25):
            kept.store(report(finding()), at=day(f"2026-11-{n}T23:59:59"))
        found = kept.rows(dt.date(2026, 11, 21), dt.date(2026, 11, 23))
        assert [s.read_at.day for s in found.scans] == [21, 22, 23] and len(found.findings) == 3

    def test_deployments(self) -> None:
        kept, _ = archive()
        first = kept.store_deployment(REPOSITORY, A, environment="prod", since=day("2026-11-25"))
        again = kept.store_deployment(REPOSITORY, A, environment="prod", since=day("2026-11-25"))
        assert first.new and not again.new
        (only,) = kept.rows(dt.date(2026, 11, 25), dt.date(2026, 11, 25)).deployments
        assert (only.environment, only.image_digest) == ("prod", A)

    def test_a_changed_body_is_found(self) -> None:
        kept, store = archive()
        stored = kept.store(report())
        (reading,) = read_lines(store.bodies[stored.keys[-1]], ScanRow)
        store.bodies[stored.keys[0]] += b" "
        assert "has the SHA-256" in str(kept.verify(reading))
        del store.bodies[stored.keys[0]]
        assert "is missing" in str(kept.verify(reading))

    def test_a_period_backwards(self) -> None:
        kept, _ = archive()
        with pytest.raises(InvalidInput, match="lies before"):
            kept.rows(dt.date(2026, 11, 2), dt.date(2026, 11, 1))
