"""Anomaly monitors and subscriptions: what the service can do is built, the rest is refused with what there is instead."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import botocore.session
import pytest
from botocore.validate import ParamValidator

from ecrkit.cost.anomalies import Anomaly, AnomalyMonitor, AnomalySubscription, Subscriber, ecr_anomalies
from ecrkit.cost.explorer import ECR_SERVICE
from ecrkit.errors import InvalidInput

ARN = "arn:aws:ce::123456789012:anomalymonitor/x"
TOPIC = "arn:aws:sns:us-east-1:123456789012:costs"
NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
OLDEST = NOW.date() - dt.timedelta(days=90)


def valid(shape, request):
    model = botocore.session.get_session().get_service_model("ce")
    return not ParamValidator().validate(request, model.shape_for(shape)).has_errors()


def subscription(**changes):
    return AnomalySubscription(
        **({"name": "ecr", "monitors": [ARN], "subscribers": ["team@example.com"], "percentage": 20} | changes)
    )


def refused(**changes):
    with pytest.raises(InvalidInput) as error:
        subscription(**changes)
    return [p.path for p in error.value.problems]


class TestMonitors:
    """AnomalyMonitor: dimensional over SERVICE, LINKED_ACCOUNT, TAG or COST_CATEGORY; custom over at most 10 values."""

    @pytest.mark.parametrize(
        ("monitor", "expected"),
        [
            (AnomalyMonitor.all_services("a"), {"MonitorType": "DIMENSIONAL", "MonitorDimension": "SERVICE"}),
            (AnomalyMonitor.every_account("a"), {"MonitorType": "DIMENSIONAL", "MonitorDimension": "LINKED_ACCOUNT"}),
            (
                AnomalyMonitor.every_tag_value("a", "Team"),
                {
                    "MonitorType": "DIMENSIONAL",
                    "MonitorDimension": "TAG",
                    "MonitorSpecification": {"Tags": {"Key": "Team"}},
                },
            ),
            (
                AnomalyMonitor.tag_values("a", "Team", ["pay", "shop"]),
                {"MonitorType": "CUSTOM", "MonitorSpecification": {"Tags": {"Key": "Team", "Values": ["pay", "shop"]}}},
            ),
            (
                AnomalyMonitor.accounts("a", ["123456789012"]),
                {
                    "MonitorType": "CUSTOM",
                    "MonitorSpecification": {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": ["123456789012"]}},
                },
            ),
            (
                AnomalyMonitor.cost_category("a", "Images", "ECR"),
                {
                    "MonitorType": "CUSTOM",
                    "MonitorSpecification": {"CostCategories": {"Key": "Images", "Values": ["ECR"]}},
                },
            ),
        ],
    )
    def test_built(self, monitor, expected):
        assert monitor.to_request() == {"MonitorName": "a", **expected}
        assert valid("AnomalyMonitor", monitor.to_request())
        assert hash(monitor) is not None

    def test_one_service_is_refused(self):
        with pytest.raises(InvalidInput, match=r"all_services\(\) and pick ECR's part"):
            AnomalyMonitor.one_service("ecr")

    @pytest.mark.parametrize(
        "make",
        [
            lambda: AnomalyMonitor.all_services(" "),
            lambda: AnomalyMonitor.every_tag_value("a", ""),
            lambda: AnomalyMonitor.tag_values("a", "Team", []),
            lambda: AnomalyMonitor.tag_values("a", "Team", [str(n) for n in range(11)]),
            lambda: AnomalyMonitor.tag_values("a", "Team", [""]),
            lambda: AnomalyMonitor.accounts("a", ["12345678901"]),
        ],
    )
    def test_refused(self, make):
        with pytest.raises(InvalidInput, match="no anomaly monitor"):
            make()


class TestSubscriptions:
    """AnomalySubscription: a threshold on the absolute or relative impact; IMMEDIATE by SNS, DAILY and WEEKLY by mail."""

    def test_one_threshold(self):
        made = subscription(percentage=None, absolute=Decimal("99.5")).to_request()
        assert made["ThresholdExpression"] == {
            "Dimensions": {
                "Key": "ANOMALY_TOTAL_IMPACT_ABSOLUTE",
                "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
                "Values": ["99.5"],
            }
        }
        assert valid("AnomalySubscription", made)

    @pytest.mark.parametrize(("both", "word"), [(True, "And"), (False, "Or")])
    def test_two_thresholds(self, both, word):
        made = subscription(absolute=100, both=both).to_request()
        assert [t["Dimensions"]["Values"] for t in made["ThresholdExpression"][word]] == [["100"], ["20"]]
        assert "Threshold" not in made
        assert valid("AnomalySubscription", made)

    def test_large_numbers_are_written_out(self):
        made = subscription(percentage=None, absolute=Decimal("1E+9")).to_request()
        assert made["ThresholdExpression"]["Dimensions"]["Values"] == ["1000000000"]

    def test_channels(self):
        assert subscription(frequency="IMMEDIATE", subscribers=[TOPIC]).to_request()["Subscribers"] == [
            {"Address": TOPIC, "Type": "SNS"}
        ]
        assert refused(frequency="IMMEDIATE") == ["subscribers[0]"]
        assert refused(frequency="WEEKLY", subscribers=["a@example.com", TOPIC]) == ["subscribers[1]"]

    def test_floats_are_refused(self):
        with pytest.raises(InvalidInput, match="Decimal or int"):
            AnomalySubscription(name="ecr", monitors=["m"], subscribers=["a@example.com"], absolute=0.1)  # type: ignore[arg-type]

    def test_week_over_week_is_refused(self):
        assert refused(compared_with="last week") == ["compared_with"]
        with pytest.raises(InvalidInput, match="never with the week before"):
            subscription(compared_with="last week")

    def test_everything_wrong_is_told(self):
        told = refused(
            name="", monitors=[], subscribers=[], percentage=None, frequency="HOURLY", compared_with="last month"
        )
        assert told == ["name", "monitors", "subscribers", "frequency", "absolute", "compared_with"]

    @pytest.mark.parametrize("value", [-1, 10**10 + 1, Decimal("NaN"), Decimal("Infinity")])
    def test_thresholds_out_of_range(self, value):
        assert refused(percentage=value) == ["percentage"]

    @pytest.mark.parametrize(
        "address", ["", "me", "a@b", "arn:aws:sqs:us-east-1:123456789012:q", "a@" + "b" * 300 + ".c"]
    )
    def test_addresses(self, address):
        with pytest.raises(InvalidInput, match="no subscriber"):
            Subscriber(address)


class Source:
    def __init__(self, *pages):
        self.pages = pages

    def anomalies(self, *, start, end, monitor_arn=None):
        yield from self.pages


class TestFound:
    """GetAnomalies keeps 90 days; which service it was stands in RootCauses."""

    def anomaly(self, name, *services):
        raw = {"AnomalyId": name, "Impact": {"MaxImpact": 1}, "RootCauses": [{"Service": s} for s in services]}
        return Anomaly.parse(raw)

    def ask(self, *pages, start=OLDEST):
        return ecr_anomalies(Source(*pages), start=start, end=NOW.date(), now=NOW)

    def test_only_those_of_ecr_and_those_nobody_can_tell(self):
        pages = [self.anomaly("a", "Amazon S3"), self.anomaly("b", ECR_SERVICE, "x")], [self.anomaly("c")]
        assert [found.id for found in self.ask(*pages)] == ["b", "c"]
        assert [found.id for found in self.ask([self.anomaly("d", None), self.anomaly("e", "Amazon S3")])] == ["d"]

    def test_what_aws_no_longer_has(self):
        with pytest.raises(InvalidInput, match="90 days"):
            self.ask(start=NOW.date() - dt.timedelta(days=91))

    def test_an_entry_without_impact(self):
        with pytest.raises(InvalidInput):
            Anomaly.parse({"AnomalyId": "a"})
