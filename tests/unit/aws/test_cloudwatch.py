"""CloudWatch through a real client: metrics published and read again, pages followed, nothing sent that is refused."""

from __future__ import annotations

import datetime as dt
from urllib.parse import urlencode

import boto3
import botocore.session
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from ecrkit.aws.cloudwatch import CloudWatchGateway
from ecrkit.aws.iam import permissions
from ecrkit.aws.session import AwsSession
from ecrkit.errors import AwsCallFailed, InvalidInput
from ecrkit.metrics import LARGEST_REQUEST, MetricPoint, metric_batches

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


class Clock:
    def now(self):
        return NOW

    def monotonic(self):
        return 0.0

    def sleep(self, seconds):
        raise AssertionError("nothing waits here")


@pytest.fixture
def session(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        opened = AwsSession(boto3.Session(region_name="us-east-1"), region="us-east-1", attempts=1, clock=Clock())
        yield opened
        opened.close()


def points(count, **changes):
    return [
        MetricPoint(**({"namespace": "ecrkit", "name": f"m{n}", "value": n, "at": NOW} | changes)) for n in range(count)
    ]


class TestPublish:
    def test_a_request_for_each_thousand(self, session):
        assert CloudWatchGateway(session.caller("cloudwatch")).publish(points(1001)) == 2
        listed = session.client("cloudwatch").get_paginator("list_metrics").paginate(Namespace="ecrkit")
        assert {m["MetricName"] for page in listed for m in page["Metrics"]} == {f"m{n}" for n in range(1001)}

    def test_what_arrives_is_the_point(self, session):
        gateway = CloudWatchGateway(session.caller("cloudwatch"))
        gateway.publish(points(1, value=7.5, unit="Bytes", dimensions={"Team": "pay"}, name="Stored"))
        answer = session.client("cloudwatch").get_metric_statistics(
            Namespace="ecrkit", MetricName="Stored", Dimensions=[{"Name": "Team", "Value": "pay"}],
            StartTime=NOW - DAY, EndTime=NOW + DAY, Period=60, Statistics=["Sum"],
        )  # fmt: skip
        assert [(p["Sum"], p["Unit"], p["Timestamp"]) for p in answer["Datapoints"]] == [(7.5, "Bytes", NOW)]

    def test_nothing_is_sent_when_one_point_would_be_refused(self, session):
        gateway = CloudWatchGateway(session.caller("cloudwatch"))
        with pytest.raises(InvalidInput, match="two weeks"):
            gateway.publish([*points(1500), *points(1, at=NOW - 15 * DAY)])
        assert session.client("cloudwatch").list_metrics(Namespace="ecrkit")["Metrics"] == []

    def test_a_full_batch_fits_in_every_protocol(self):
        model = botocore.session.get_session().get_service_model("cloudwatch")
        made = [
            p
            for n in range(400)
            for p in points(1, name=f"m{n}" + "ä".encode("unicode_escape").decode() * 20, value=1.1e-300,
                            dimensions={f"d{d}": "a &%+" * 15 for d in range(30)})
        ]  # fmt: skip
        from botocore.serialize import create_serializer

        batch = next(metric_batches(made, now=NOW))
        assert 1 < len(batch) < 400
        parameters = {"Namespace": "ecrkit", "MetricData": [p.to_datum() for p in batch]}
        sizes = {}
        for protocol in ("query", "json", "smithy-rpc-v2-cbor"):
            made_up = create_serializer(protocol, include_validation=False)
            body = made_up.serialize_to_request(parameters, model.operation_model("PutMetricData"))["body"]
            sizes[protocol] = len(urlencode(body)) if isinstance(body, dict) else len(body)
        assert max(sizes.values()) == sizes["query"] <= LARGEST_REQUEST
        # The estimate is near what is sent, or the limit would be wasted.
        assert sizes["query"] > LARGEST_REQUEST * 0.8


class TestPullCounts:
    """RepositoryPullCount with the dimension RepositoryName is ECR's only metric (ECR user guide)."""

    def result(self, key, days, status="Complete"):
        stamps = [NOW - n * DAY for n in days]
        return {"Id": key, "Label": "x", "Timestamps": stamps, "Values": [float(n) for n in days], "StatusCode": status}

    def test_pages_and_repositories_without_pulls(self, session):
        caller = session.caller("cloudwatch")
        with Stubber(caller.client) as stub:
            first = self.result("r0", [1, 2], "PartialData")
            stub.add_response("get_metric_data", {"MetricDataResults": [first], "NextToken": "t"})
            rest = [self.result("r0", [3]), self.result("r1", [])]
            stub.add_response("get_metric_data", {"MetricDataResults": rest})
            found = CloudWatchGateway(caller).pull_counts(["a", "b"], start=NOW - 5 * DAY, end=NOW)
        assert found == {"a": {NOW - 3 * DAY: 3, NOW - 2 * DAY: 2, NOW - DAY: 1}, "b": {}}
        assert list(found["a"]) == sorted(found["a"])

    def test_the_question(self, session):
        asked = []
        client = session.client("cloudwatch")
        client.meta.events.register("provide-client-params.*", lambda params, **_: asked.append(params))
        CloudWatchGateway(session.caller("cloudwatch")).pull_counts(
            [f"r{n}" for n in range(501)], start=NOW - DAY, end=NOW, period=dt.timedelta(hours=1)
        )
        assert [len(a["MetricDataQueries"]) for a in asked] == [500, 1]
        assert asked[1]["MetricDataQueries"][0]["MetricStat"] == {
            "Metric": {
                "Namespace": "AWS/ECR",
                "MetricName": "RepositoryPullCount",
                "Dimensions": [{"Name": "RepositoryName", "Value": "r500"}],
            },
            "Period": 3600,
            "Stat": "Sum",
        }

    def test_a_partial_answer_is_no_answer(self, session):
        caller = session.caller("cloudwatch")
        with Stubber(caller.client) as stub:
            stub.add_response("get_metric_data", {"MetricDataResults": [self.result("r0", [1], "PartialData")]})
            with pytest.raises(AwsCallFailed, match="did not give every point of a"):
                CloudWatchGateway(caller).pull_counts(["a"], start=NOW - 5 * DAY, end=NOW)

    @pytest.mark.parametrize(
        ("start", "period", "where"),
        [
            (NOW - 16 * DAY, dt.timedelta(minutes=1), "period"),
            (NOW - 64 * DAY, dt.timedelta(minutes=5), "period"),
            (NOW - 456 * DAY, DAY, "start"),
            (NOW - DAY, dt.timedelta(seconds=90), "period"),
            (NOW, DAY, "end"),
            ((NOW - DAY).replace(tzinfo=None), DAY, "start"),
        ],
    )
    def test_what_cloudwatch_no_longer_keeps(self, session, start, period, where):
        with pytest.raises(InvalidInput) as error:
            CloudWatchGateway(session.caller("cloudwatch")).pull_counts(["a"], start=start, end=NOW, period=period)
        assert [p.path for p in error.value.problems] == [where]


def test_actions():
    assert permissions()["CloudWatchGateway.publish"] == ("cloudwatch:PutMetricData",)
    assert permissions()["CloudWatchGateway.pull_counts"] == ("cloudwatch:GetMetricData",)
