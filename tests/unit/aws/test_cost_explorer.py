"""Cost Explorer through a real client, against a server of this test: pages, endpoint, faults, and moto's answers."""

from __future__ import annotations

import datetime as dt
import http.server
import json
import threading
from decimal import Decimal

import boto3
import pytest
import requests
from moto import mock_aws

from ecrkit.aws.cost_explorer import CostExplorerGateway, region_of_cost_explorer
from ecrkit.aws.iam import permissions
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.cost.anomalies import AnomalyMonitor, AnomalySubscription, ecr_anomalies
from ecrkit.cost.explorer import ECR_SERVICE, CostExplorer
from ecrkit.errors import AwsCallFailed, Denied, Rejected, Throttled
from tests.unit.cost.billing import END, START, group, page

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)


class Server(http.server.ThreadingHTTPServer):
    """Answers each operation with the next of its answers; a pair is a status and a fault's code."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = {}
        self.asked = []


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((operation, body))
        answer = self.server.answers[operation].pop(0)
        status = 200
        if isinstance(answer, str):
            status, answer = 400, {"__type": answer, "message": "no"}
        sent = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(sent)))
        self.end_headers()
        self.wfile.write(sent)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    made = Server()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def gateway(server):
    url = f"http://127.0.0.1:{server.server_port}"
    session = AwsSession(offline_session("us-east-1"), region="us-east-1", endpoint_url={"ce": url}, attempts=1)
    yield CostExplorerGateway(session.caller("ce"))
    session.close()


class TestBills:
    def test_all_pages_and_the_checks(self, server, gateway):
        server.answers["GetCostAndUsage"] = [
            page(group("Team$", "TimedStorage-ByteHrs", amount="1.10", quantity="11")) | {"NextPageToken": "t1"},
            page(group("Team$", "EU-TimedStorage-ByteHrs", amount="2.20", quantity="22")) | {"NextPageToken": "t2"},
            page(),
        ]
        server.answers["ListCostAllocationTags"] = [{
            "CostAllocationTags": [{"TagKey": "Team", "Type": "UserDefined", "Status": "Active",
                                    "LastUpdatedDate": "2026-10-05T00:00:00Z"}]
        }]  # fmt: skip
        bill = CostExplorer(gateway).bill(START, END, group_by=["Team"])
        assert bill.total == Decimal("3.30")
        assert bill.paid_calls == 4
        assert [body.get("NextPageToken") for name, body in server.asked if name == "GetCostAndUsage"] == [
            None, "t1", "t2"
        ]  # fmt: skip
        assert bill.unseen_tags == ("Team",)
        assert "activated on 2026-10-05" in bill.notes[0]
        assert server.asked[-1] == ("ListCostAllocationTags", {"TagKeys": ["Team"]})

    def test_a_zero_is_checked(self, server, gateway):
        server.answers["GetCostAndUsage"] = [page()]
        server.answers["GetDimensionValues"] = [
            {"DimensionValues": [{"Value": "Amazon Elastic Container Registry", "Attributes": {}}],
             "ReturnSize": 1, "TotalSize": 1}
        ]  # fmt: skip
        bill = CostExplorer(gateway).bill(START, END)
        assert bill.total is None
        assert server.asked[1][1] == {
            "TimePeriod": {"Start": "2026-10-01", "End": "2026-11-01"},
            "Dimension": "SERVICE",
            "SearchString": "Container Registry",
        }

    def test_a_repeated_page_ends_the_walk(self, server, gateway):
        server.answers["GetCostAndUsage"] = [page() | {"NextPageToken": "t"}] * 9
        explorer = CostExplorer(gateway)
        with pytest.raises(AwsCallFailed, match="repeats a page token"):
            explorer.bill(START, END)
        assert explorer.paid_calls == len(server.asked) == 2

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            ("LimitExceededException", Throttled),
            ("DataUnavailableException", Rejected),
            ("BillExpirationException", Rejected),
            ("InvalidNextTokenException", Rejected),
            ("RequestChangedException", Rejected),
            ("AccessDeniedException", Denied),
        ],
    )
    def test_faults(self, server, gateway, code, kind):
        server.answers["GetCostAndUsage"] = [code]
        with pytest.raises(kind) as error:
            CostExplorer(gateway).bill(START, END)
        assert type(error.value) is kind
        assert (error.value.code, error.value.service, error.value.operation) == (code, "ce", "GetCostAndUsage")

    def test_moto(self, monkeypatch):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        with mock_aws():
            results = [page(group("TimedStorage-ByteHrs", amount="7.5"))]
            requests.post(
                "http://motoapi.amazonaws.com/moto-api/static/ce/cost-and-usage-results",
                json={"results": results}, timeout=5,
            )  # fmt: skip
            session = AwsSession(boto3.Session(region_name="us-east-1"), region="us-east-1", attempts=1)
            bill = CostExplorer(CostExplorerGateway(session.caller("ce"))).bill(START, END)
            session.close()
        assert bill.total == Decimal("7.5")


class TestEndpoint:
    """Cost Explorer has one endpoint in a partition."""

    @pytest.mark.parametrize(
        ("region", "expected"),
        [("us-east-1", "us-east-1"), ("eu-west-1", "us-east-1"), ("cn-north-1", "cn-northwest-1")],
    )
    def test_region(self, region, expected):
        assert region_of_cost_explorer(region) == expected

    def test_the_client_of_that_region_calls_it(self):
        session = AwsSession(offline_session("us-east-1"), region="us-east-1", attempts=1)
        assert "ce.us-east-1.amazonaws.com" in repr(CostExplorerGateway(session.caller("ce")))
        session.close()


class TestAnomalies:
    ARN = "arn:aws:ce::123456789012:anomalymonitor/x"

    def test_monitor_and_subscription(self, server, gateway):
        server.answers["CreateAnomalyMonitor"] = [{"MonitorArn": self.ARN}]
        server.answers["CreateAnomalySubscription"] = [{"SubscriptionArn": "s"}]
        assert gateway.create_anomaly_monitor(AnomalyMonitor.every_tag_value("teams", "Team")) == self.ARN
        made = AnomalySubscription(name="ecr", monitors=[self.ARN], subscribers=["a@example.com"], absolute=50)
        assert gateway.create_anomaly_subscription(made) == "s"
        assert [body for _, body in server.asked] == [
            {"AnomalyMonitor": {"MonitorName": "teams", "MonitorType": "DIMENSIONAL", "MonitorDimension": "TAG",
                                "MonitorSpecification": {"Tags": {"Key": "Team"}}}},
            {"AnomalySubscription": made.to_request()},
        ]  # fmt: skip

    def test_pages_of_anomalies(self, server, gateway):
        def anomaly(name, *services):
            return {
                "AnomalyId": name, "AnomalyScore": {"MaxScore": 1, "CurrentScore": 1}, "MonitorArn": self.ARN,
                "AnomalyStartDate": "2026-11-01T00:00:00Z",
                "Impact": {"MaxImpact": 2.5, "TotalImpact": 10.25, "TotalImpactPercentage": 40.5},
                "RootCauses": [{"Service": s, "Impact": {"Contribution": 1.5}} for s in services],
            }  # fmt: skip

        server.answers["GetAnomalies"] = [
            {"Anomalies": [anomaly("1", "Amazon S3"), anomaly("2", "Amazon S3", ECR_SERVICE)], "NextPageToken": "t"},
            {"Anomalies": [anomaly("3")]},
        ]
        found = ecr_anomalies(gateway, start=dt.date(2026, 11, 1), end=dt.date(2026, 11, 20), now=NOW)
        assert [a.id for a in found] == ["2", "3"]
        assert found[0].impact == Decimal("10.25")
        assert found[0].start == dt.date(2026, 11, 1)
        assert server.asked[1][1]["NextPageToken"] == "t"


def test_actions():
    told = {name: actions for name, actions in permissions().items() if name.startswith("CostExplorerGateway")}
    assert {name.rpartition(".")[2]: actions for name, actions in told.items()} == {
        "cost_pages": ("ce:GetCostAndUsage",),
        "dimension_values": ("ce:GetDimensionValues",),
        "cost_allocation_tags": ("ce:ListCostAllocationTags",),
        "anomalies": ("ce:GetAnomalies",),
        "create_anomaly_monitor": ("ce:CreateAnomalyMonitor",),
        "create_anomaly_subscription": ("ce:CreateAnomalySubscription",),
    }
