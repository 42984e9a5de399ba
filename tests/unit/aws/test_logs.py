"""Logs Insights through a real client: waited for, halved where a query is full, never silently cut."""

from __future__ import annotations

import contextlib
import datetime as dt
import json

import boto3
import pytest
from botocore.stub import Stubber

from ecrkit.aws.calls import Caller
from ecrkit.aws.logs import LogsGateway
from ecrkit.aws.session import AwsSession
from ecrkit.deployments import LogsQuery, calls_query, failures_query
from ecrkit.errors import Denied, InvalidInput, WaitExpired, WaitFailed
from ecrkit.local import ManualClock

SINCE = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
FIRST = int(SINCE.timestamp())
SMALL = LogsQuery(text="fields @message", whole_records=True, limit=2)


@pytest.fixture
def stubbed():
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
    clock = ManualClock()
    with contextlib.closing(AwsSession(session, region="eu-west-1", attempts=1, clock=clock)) as opened:
        caller: Caller = opened.caller("logs")
        yield LogsGateway(caller), Stubber(caller.client), clock


def started(stub, query, begin, stop, number=1):
    asked = {
        "logGroupIdentifiers": ["trail"],
        "queryString": query.text,
        "limit": query.limit,
        "startTime": begin,
        "endTime": stop,
    }
    stub.add_response("start_query", {"queryId": f"q{number}"}, asked)


def ended(stub, rows, number=1, status="Complete"):
    listed = [[{"field": k, "value": v} for k, v in row.items()] for row in rows]
    answer = {"status": status, "results": listed, "statistics": {"bytesScanned": 10.0}}
    stub.add_response("get_query_results", answer, {"queryId": f"q{number}"})


def record(number):
    return {"@message": json.dumps({
        "eventSource": "ecr.amazonaws.com", "eventName": "BatchGetImage", "eventID": f"id-{number}", "awsRegion": "eu-west-1",
        "recipientAccountId": "123456789012", "eventTime": "2026-11-01T00:00:00Z",
        "requestParameters": {"repositoryName": "app", "imageIds": [{"imageTag": f"v{n}"} for n in range(3)]},
    })}  # fmt: skip


def test_it_waits_for_the_end(stubbed):
    gateway, stub, clock = stubbed
    query, seen = failures_query(), []
    started(stub, query, FIRST, FIRST + 60)
    ended(stub, [], status="Scheduled")
    ended(stub, [{"calls": "1"}], status="Running")
    ended(stub, [{"calls": "3", "errorCode": "AccessDenied"}])
    before = clock.monotonic()
    with stub:
        found = gateway.run(query, ["trail"], since=SINCE, until=SINCE + 60 * SECOND, on_progress=seen.append)
        stub.assert_no_pending_responses()
    assert found.rows == ({"calls": "3", "errorCode": "AccessDenied"},)
    assert (found.queries, found.scanned_bytes, found.complete) == (1, 10, True)
    assert clock.monotonic() - before == 2.0
    assert [p.done for p in seen] == [1]


def test_a_full_answer_is_asked_again_in_halves_in_order(stubbed):
    gateway, stub, _ = stubbed
    started(stub, SMALL, FIRST, FIRST + 3)
    ended(stub, [record(0), record(1)])
    started(stub, SMALL, FIRST, FIRST + 1, 2)
    ended(stub, [record(0)], 2)
    started(stub, SMALL, FIRST + 2, FIRST + 3, 3)
    ended(stub, [record(1)], 3)
    with stub:
        found = gateway.events(SMALL, ["trail"], since=SINCE, until=SINCE + 3 * SECOND)
        stub.assert_no_pending_responses()
    assert [e.event_id for e in found.events] == ["id-0", "id-1"]
    assert [i.tag for i in found.events[0].images] == ["v0", "v1", "v2"]
    assert found.complete


def test_a_second_that_is_full_is_told(stubbed):
    gateway, stub, _ = stubbed
    started(stub, SMALL, FIRST, FIRST)
    ended(stub, [record(0), record(0)])
    with stub:
        found = gateway.events(SMALL, ["trail"], since=SINCE, until=SINCE)
    assert len(found.events) == 1
    assert not found.complete
    assert "more records than a query returns" in found.problems[0].message


def test_a_count_that_is_full_is_told_and_not_halved(stubbed):
    gateway, stub, _ = stubbed
    query = LogsQuery(text="stats", whole_records=False, limit=1)
    started(stub, query, FIRST, FIRST + 9)
    ended(stub, [{"calls": "1"}])
    with stub:
        found = gateway.run(query, ["trail"], since=SINCE, until=SINCE + 9 * SECOND)
    assert found.cut == ("2026-11-01T00:00:00Z to 2026-11-01T00:00:09Z",)


@pytest.mark.parametrize("status", ["Failed", "Cancelled", "Timeout"])
def test_a_query_that_fails(stubbed, status):
    gateway, stub, _ = stubbed
    started(stub, SMALL, FIRST, FIRST)
    ended(stub, [], status=status)
    with stub, pytest.raises(WaitFailed, match=status):
        gateway.run(SMALL, ["trail"], since=SINCE, until=SINCE)


def test_a_query_that_never_ends_is_stopped(stubbed):
    gateway, stub, _ = stubbed
    started(stub, SMALL, FIRST, FIRST)
    for _ in range(3):
        ended(stub, [], status="Unknown")
    stub.add_response("stop_query", {"success": True}, {"queryId": "q1"})
    with stub, pytest.raises(WaitExpired, match="still Unknown"):
        gateway.run(SMALL, ["trail"], since=SINCE, until=SINCE, timeout=2)
    stub.assert_no_pending_responses()


def test_a_refusal(stubbed):
    gateway, stub, _ = stubbed
    stub.add_client_error("start_query", "AccessDeniedException", "no", 400)
    with stub, pytest.raises(Denied):
        gateway.run(calls_query(), ["trail"], since=SINCE, until=SINCE)


@pytest.mark.parametrize(
    ("groups", "until", "told"), [([], SINCE, "names none"), (["trail"], SINCE - SECOND, "is before")]
)
def test_bad_arguments(stubbed, groups, until, told):
    with pytest.raises(InvalidInput, match=told):
        stubbed[0].run(SMALL, groups, since=SINCE, until=until)
    with pytest.raises(InvalidInput, match="returns no records"):
        stubbed[0].events(failures_query(), ["trail"], since=SINCE, until=SINCE)
