"""CloudTrail's event history through a real client: pages, other services' events, what cannot be read."""

from __future__ import annotations

import contextlib
import datetime as dt
import json

import boto3
import pytest
from botocore.stub import Stubber

from ecrkit.aws.cloudtrail import CloudTrailGateway
from ecrkit.aws.session import AwsSession
from ecrkit.errors import Denied
from ecrkit.events import LifecycleExecution

SINCE = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


@pytest.fixture
def stubbed():
    session = boto3.Session(aws_access_key_id="x", aws_secret_access_key="x", region_name="eu-west-1")
    with contextlib.closing(AwsSession(session, region="eu-west-1", attempts=1)) as opened:
        caller = opened.caller("cloudtrail")
        yield CloudTrailGateway(caller), Stubber(caller.client)


def item(number, *, hour=1, source="ecr.amazonaws.com", name="PolicyExecutionEvent", text=None):
    record = {
        "eventSource": source, "eventName": name, "eventType": "AwsServiceEvent", "eventID": f"id-{number}",
        "eventTime": f"2026-11-02T{hour:02}:00:00Z", "awsRegion": "eu-west-1", "recipientAccountId": "123456789012",
        "serviceEventDetails": {"repositoryName": "team/app"},
    }  # fmt: skip
    return {
        "EventId": f"id-{number}",
        "EventSource": source,
        "CloudTrailEvent": json.dumps(record) if text is None else text,
    }


def asked(name="PolicyExecutionEvent", **more):
    attributes = [{"AttributeKey": "EventName", "AttributeValue": name}]
    return {"StartTime": SINCE, "LookupAttributes": attributes, "MaxResults": 50, **more}


def test_pages_in_order_each_event_once(stubbed):
    gateway, stub = stubbed
    stub.add_response("lookup_events", {"Events": [item(1, hour=9), item(2, hour=3)], "NextToken": "t"}, asked())
    stub.add_response(
        "lookup_events", {"Events": [item(1, hour=9), item(3, source="x.amazonaws.com")]}, asked(NextToken="t")
    )
    with stub:
        found = gateway.ecr_events(since=SINCE)
        stub.assert_no_pending_responses()
    assert [e.event_id for e in found.events] == ["id-2", "id-1"]
    assert all(isinstance(e, LifecycleExecution) for e in found.events)
    assert found.complete


def test_several_names_within_a_time(stubbed):
    gateway, stub = stubbed
    until = SINCE + dt.timedelta(days=2)
    for name in ("PutImage", "BatchGetImage"):
        stub.add_response("lookup_events", {"Events": []}, asked(name, EndTime=until))
    with stub:
        assert gateway.ecr_events(["PutImage", "BatchGetImage", "PutImage"], since=SINCE, until=until).events == ()
        stub.assert_no_pending_responses()


def test_what_cannot_be_read_is_told(stubbed):
    gateway, stub = stubbed
    stub.add_response("lookup_events", {"Events": [item(1), item(2, text="no JSON")]}, asked())
    with stub:
        found = gateway.ecr_events(since=SINCE)
    assert (len(found.events), found.complete) == (1, False)


def test_a_refusal_is_raised(stubbed):
    gateway, stub = stubbed
    stub.add_client_error("lookup_events", "AccessDeniedException", "no", 403)
    with stub, pytest.raises(Denied):
        gateway.ecr_events(since=SINCE)


def test_a_time_needs_a_zone(stubbed):
    with pytest.raises(ValueError, match="since"):
        stubbed[0].ecr_events(since=dt.datetime(2026, 11, 1))
