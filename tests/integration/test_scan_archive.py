"""The archive over a real S3 client, on moto: Object Lock, conditional writes, checksums, and DuckDB over the objects."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from botocore.stub import ANY, Stubber
from moto import mock_aws

from ecrkit.aws.s3 import S3Objects
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import AwsCallFailed, Conflict, Denied, InvalidInput, NotFound, Unavailable
from ecrkit.local import ManualClock
from ecrkit.scanning import ScanReport
from ecrkit.scanning.archive import Archive, BucketLock, Layout, Place, Retention, ScanRow
from ecrkit.scanning.archive import athena as sql
from ecrkit.scanning.archive.rows import read_lines
from tests.unit.scanning_archive.build import (
    PLACE,
    TABLES,
    A,
    Answers,
    B,
    answer,
    day,
    duck,
    finding,
    image_scan,
    raw_finding,
    report,
    rows_of,
)

SCOPE = sql.Scope(since=dt.date(2025, 1, 1), until=dt.date(2026, 12, 31))


@pytest.fixture
def session() -> Iterator[AwsSession]:
    with mock_aws():
        clock = ManualClock(start=dt.datetime.now(dt.UTC))  # moto holds retention against the real time
        yield AwsSession(boto3.Session(region_name="us-east-1"), services=("s3",), clock=clock, rates={}, attempts=3)


def bucket(session: AwsSession, *, lock: bool, name: str = "audit") -> S3Objects:
    client: Any = session.client("s3")
    client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
    return S3Objects(session.caller("s3"), name)


class TestObjectsAreWrittenOnce:
    """IfNoneMatch makes a repeated write harmless; the checksum is S3's own (S3 user guide, conditional writes)."""

    def test_write_read_list(self, session: AwsSession) -> None:
        objects = bucket(session, lock=False)
        assert objects.put_new("a/b%2Fc.json", b"{}\n")
        assert not objects.put_new("a/b%2Fc.json", b"other")
        assert objects.get("a/b%2Fc.json") == b"{}\n"
        assert objects.sha256("a/b%2Fc.json") == hashlib.sha256(b"{}\n").hexdigest()
        assert objects.get("none") is None and objects.sha256("none") is None
        assert list(objects.keys("a/")) == ["a/b%2Fc.json"] and list(objects.keys("z")) == []

    def test_an_object_without_checksum_is_downloaded(self, session: AwsSession) -> None:
        objects = bucket(session, lock=False)
        client: Any = session.client("s3")
        client.put_object(Bucket="audit", Key="k", Body=b"x")
        assert objects.sha256("k") == hashlib.sha256(b"x").hexdigest()

    def test_half_a_retention_is_refused(self, session: AwsSession) -> None:
        with pytest.raises(InvalidInput, match="goes together with mode"):
            bucket(session, lock=False).put_new("k", b"", mode="GOVERNANCE")

    def test_no_bucket(self, session: AwsSession) -> None:
        with pytest.raises(InvalidInput, match="no name of a bucket"):
            S3Objects(session.caller("s3"), "s3://audit")
        with pytest.raises(AwsCallFailed, match="NoSuchBucket"):
            S3Objects(session.caller("s3"), "absent").put_new("k", b"")


class TestObjectLock:
    def test_locked_objects_cannot_be_deleted(self, session: AwsSession) -> None:
        objects = bucket(session, lock=True)
        assert objects.lock() == BucketLock(enabled=True)
        archive = Archive(objects, place=PLACE, clock=session.clock, retention=Retention("COMPLIANCE", 30))
        stored = archive.store(report(finding()))
        client: Any = session.client("s3")
        assert stored.locked_until is not None
        for key in stored.keys:
            # moto answers get_object_retention of such an object with HTTP 500.
            head = client.head_object(Bucket="audit", Key=key)
            assert head["ObjectLockMode"] == "COMPLIANCE"
            assert abs(head["ObjectLockRetainUntilDate"] - stored.locked_until) < dt.timedelta(seconds=1)
            with pytest.raises(ClientError, match="AccessDenied"):
                client.delete_object(
                    Bucket="audit", Key=key, VersionId=head["VersionId"], BypassGovernanceRetention=True
                )

    def test_a_default_of_the_bucket_is_told(self, session: AwsSession) -> None:
        objects = bucket(session, lock=True)
        client: Any = session.client("s3")
        rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 7}}
        client.put_object_lock_configuration(
            Bucket="audit", ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": rule}
        )
        assert objects.lock() == BucketLock(enabled=True, default="GOVERNANCE for 7 days")

    def test_a_bucket_without_lock_is_said(self, session: AwsSession) -> None:
        objects = bucket(session, lock=False)
        assert objects.lock() == BucketLock(enabled=False)
        archive = Archive(objects, place=PLACE, clock=session.clock, retention=Retention("COMPLIANCE", 30))
        assert archive.store(report()).lock.startswith("NOT locked")


class TestTheArchiveInABucket:
    def test_deliveries_of_events_become_rows_that_sql_reads(self, session: AwsSession, tmp_path: Path) -> None:
        objects = bucket(session, lock=True)
        source = Answers(
            a=[answer(raw_finding("CVE-1"), nextToken="t"), answer(raw_finding("CVE-2"))],
            b=[answer(raw_finding("CVE-2"), digest=B)],
        )
        archive = Archive(
            objects, place=PLACE, source=source, clock=session.clock, retention=Retention("GOVERNANCE", 1)
        )
        events = [
            image_scan(),
            {**image_scan(**{"image-digest": B}), "id": "2", "time": "2026-11-26T12:00:00Z"},
        ]
        outcomes = [archive.handle(e)["outcome"] for e in [*events, *events, events[0]]]
        assert outcomes == ["stored", "stored", "duplicate", "duplicate", "duplicate"]
        bodies = {key: objects.get(key) or b"" for key in objects.keys("")}
        assert len([k for k in bodies if "/scans/" in k]) == 2 and not any(":" in k for k in bodies)
        connection = duck(bodies, tmp_path)
        (only,) = rows_of(connection, sql.open_findings(TABLES, SCOPE))
        assert (only["vulnerability_id"], only["last_seen_in"], only["account"]) == ("CVE-2", B, PLACE.account)
        (times,) = rows_of(connection, sql.remediation_times(TABLES, SCOPE))
        assert (times["remedied"], times["not_remedied"], times["mean_days"]) == (1, 1, 1.0)
        for key in bodies:
            if "/scans/" in key:
                (reading,) = read_lines(bodies[key], ScanRow)
                assert archive.verify(reading) is None
        raw = [Layout.read(k) for k in bodies if "/raw/" in k]
        assert {r.digest for r in raw} == {A, B} and {r.repository for r in raw} == {"team/app"}

    def test_storing_twice_writes_one_version(self, session: AwsSession) -> None:
        objects = bucket(session, lock=True)
        archive = Archive(objects, place=Place("123456789012", "eu-west-1"), clock=session.clock)
        assert (archive.store(report()).new, archive.store(report()).new) == (True, False)
        client: Any = session.client("s3")
        assert len(client.list_object_versions(Bucket="audit")["Versions"]) == 2

    def test_a_taken_key_is_a_conflict(self, session: AwsSession) -> None:
        objects = bucket(session, lock=False)
        archive = Archive(objects, place=PLACE)
        key = archive.store(ScanReport.not_found(repository="team/app", digest=A), at=day("2026-11-25")).keys[0]
        client: Any = session.client("s3")
        client.put_object(Bucket="audit", Key=key, Body=b"forged", ChecksumAlgorithm="SHA256")
        with pytest.raises(Conflict, match="nothing was overwritten"):
            archive.store(ScanReport.not_found(repository="team/app", digest=A), at=day("2026-11-25"))


class TestFaultsOfS3:
    """What S3 answers and moto does not: races, denials, downloads that break off."""

    @pytest.fixture
    def stubbed(self) -> Iterator[tuple[S3Objects, Stubber, ManualClock]]:
        clock = ManualClock()
        session = AwsSession(offline_session("eu-west-1"), services=("s3",), clock=clock, rates={}, attempts=2)
        with Stubber(session.client("s3")) as stubber:
            yield S3Objects(session.caller("s3"), "audit", owner="123456789012", kms_key="key"), stubber, clock

    def test_a_race_is_repeated_and_then_told(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        objects, stubber, clock = stubbed
        begun = clock.monotonic()
        stubber.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
        stubber.add_client_error("put_object", "PreconditionFailed", http_status_code=412)
        assert objects.put_new("k", b"{}") is False
        stubber.assert_no_pending_responses()
        assert clock.monotonic() > begun

    def test_what_is_sent(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        objects, stubber, _ = stubbed
        until = day("2027-01-01")
        stubber.add_response(
            "put_object", {},
            {
                "Bucket": "audit", "Key": "k", "Body": ANY, "ContentType": "application/json",
                "ChecksumAlgorithm": "SHA256", "IfNoneMatch": "*", "ObjectLockMode": "COMPLIANCE",
                "ObjectLockRetainUntilDate": until, "ExpectedBucketOwner": "123456789012",
                "ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "key",
            },
        )  # fmt: skip
        assert objects.put_new("k", b"{}", retain_until=until, mode="COMPLIANCE")

    def test_a_race_without_end(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        objects, stubber, _ = stubbed
        for _ in range(5):
            stubber.add_client_error("put_object", "ConditionalRequestConflict", http_status_code=409)
        with pytest.raises(AwsCallFailed, match="ConditionalRequestConflict"):
            objects.put_new("k", b"{}")

    @pytest.mark.parametrize("operation", ["head_object", "get_object"])
    def test_a_denial_is_not_absence(self, stubbed: tuple[S3Objects, Stubber, ManualClock], operation: str) -> None:
        """Without s3:ListBucket S3 answers 403 for a missing object: that says nothing of it."""
        objects, stubber, _ = stubbed
        stubber.add_client_error(operation, "403", http_status_code=403)
        with pytest.raises(Denied):
            objects.sha256("k") if operation == "head_object" else objects.get("k")

    def test_a_denial_is_not_a_missing_lock(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        objects, stubber, _ = stubbed
        stubber.add_client_error("get_object_lock_configuration", "AccessDenied", http_status_code=403)
        with pytest.raises(Denied):
            objects.lock()

    @pytest.mark.parametrize("broken", [ReadTimeoutError(endpoint_url="https://s3"), ConnectionResetError("reset")])
    def test_a_download_that_breaks_off(
        self, stubbed: tuple[S3Objects, Stubber, ManualClock], broken: Exception
    ) -> None:
        class Body:
            def read(self) -> bytes:
                raise broken

        objects, stubber, _ = stubbed
        stubber.add_response("get_object", {"Body": Body()}, None)
        with pytest.raises(Unavailable):
            objects.get("k")

    def test_a_listing_reads_every_page(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        objects, stubber, _ = stubbed
        first = {"IsTruncated": True, "NextContinuationToken": "t", "Contents": [{"Key": "p/1"}]}
        stubber.add_response("list_objects_v2", first, {"Bucket": "audit", "Prefix": "p/", "ExpectedBucketOwner": ANY})
        asked = {"Bucket": "audit", "Prefix": "p/", "ExpectedBucketOwner": ANY, "ContinuationToken": "t"}
        stubber.add_response("list_objects_v2", {"IsTruncated": False, "Contents": [{"Key": "p/2"}]}, asked)
        assert list(objects.keys("p/")) == ["p/1", "p/2"]
        stubber.assert_no_pending_responses()

    def test_a_repeated_token_ends_the_listing(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        objects, stubber, _ = stubbed
        for _ in range(2):
            stubber.add_response("list_objects_v2", {"IsTruncated": True, "NextContinuationToken": "t"}, None)
        with pytest.raises(AwsCallFailed, match="never end"):
            list(objects.keys(""))

    def test_a_composite_checksum_is_none_of_the_content(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        class Body:
            def read(self) -> bytes:
                return b"x"

        objects, stubber, _ = stubbed
        stubber.add_response("head_object", {"ChecksumSHA256": "AAAA-2", "ChecksumType": "COMPOSITE"}, None)
        stubber.add_response("get_object", {"Body": Body()}, None)
        assert objects.sha256("k") == hashlib.sha256(b"x").hexdigest()

    def test_an_object_that_is_gone(self, stubbed: tuple[S3Objects, Stubber, ManualClock]) -> None:
        objects, stubber, _ = stubbed
        stubber.add_client_error("head_object", "404", http_status_code=404)
        assert objects.sha256("k") is None
        stubber.add_client_error("get_object", "NoSuchBucket", http_status_code=404)
        with pytest.raises((NotFound, AwsCallFailed)):
            objects.get("k")
