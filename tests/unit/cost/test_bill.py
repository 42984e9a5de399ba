"""Bills: every page, exact amounts, the untagged apart, estimates marked, and no zero that nobody checked."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import attrs
import pytest

from ecrkit.cost.bill import _COLUMNS, Dimension, read_pages
from ecrkit.cost.explorer import ECR_SERVICE, CostAllocationTag, CostExplorer, NoBills
from ecrkit.cost.usage_types import BILLING_CODES, usage_type
from ecrkit.errors import Denied, InvalidInput
from tests.support.samples import sample_text
from tests.unit.cost.billing import END, START, Canned, active, group, page

DAY = dt.timedelta(days=1)


class TestUsageTypes:
    """Public price list: TimedStorage-ByteHrs bare in us-east-1, EU- and CAN1- elsewhere; archive carries USE1- too."""

    @pytest.mark.parametrize(
        ("text", "kind", "region"),
        [
            ("TimedStorage-ByteHrs", "storage", "us-east-1"),
            ("EU-TimedStorage-ByteHrs", "storage", "eu-west-1"),
            ("CAN1-TimedStorage-ByteHrs", "storage", "ca-central-1"),
            ("APS3-TimedStorage-ByteHrs", "storage", "ap-south-1"),
            ("USE1-TimedStorage-Archive-ByteHrs", "archive storage", "us-east-1"),
            ("EUC1-TimedStorage-Archive-ByteHrs", "archive storage", "eu-central-1"),
            ("USE1-Retrieval-Archive", "archive retrieval", "us-east-1"),
            ("DataTransfer-Out-Bytes", "transfer", "us-east-1"),
            ("EU-DataTransfer-Regional-Bytes", "transfer", "eu-west-1"),
            ("USE2-EUC1-AWS-Out-Bytes", "transfer", "us-east-2"),
            ("ZZZ9-TimedStorage-ByteHrs", "storage", None),
            ("EU-Something-New", "other", "eu-west-1"),
            ("NoUsageType", "other", None),
            ("", "other", None),
            ("EU-TimedStorage-ByteHrs\n", "other", "eu-west-1"),
        ],
    )
    def test_decoded(self, text, kind, region):
        found = usage_type(text)
        assert (found.kind, found.region, found.text) == (kind, region, text)

    def test_codes_are_codes(self):
        assert all(code.isupper() or code == "EU" for code in BILLING_CODES)
        assert BILLING_CODES["EU"] == BILLING_CODES["EUW1"] == "eu-west-1"


class TestQuestion:
    """GetCostAndUsage: End excluded, at most two GroupBy, the SERVICE value `Amazon EC2 Container Registry (ECR)`."""

    def asked(self, **arguments):
        source = Canned(page(group("x", "y")))
        CostExplorer(source).bill(START, END, **arguments)
        return source.asked[0]

    def test_the_service_by_its_real_name(self):
        assert ECR_SERVICE == "Amazon EC2 Container Registry (ECR)"
        source = Canned(page(group("TimedStorage-ByteHrs")))
        CostExplorer(source).bill(START, END)
        assert source.asked == [
            {
                "TimePeriod": {"Start": "2026-10-01", "End": "2026-11-01"},
                "Granularity": "MONTHLY",
                "Metrics": ["UnblendedCost", "UsageQuantity"],
                "Filter": {"Dimensions": {"Key": "SERVICE", "Values": [ECR_SERVICE]}},
                "GroupBy": [{"Type": "DIMENSION", "Key": "USAGE_TYPE"}],
            }
        ]

    def test_tags_regions_and_values(self):
        asked = self.asked(group_by=["Team", Dimension("REGION")], where={"Env": {"prod"}}, regions=["eu-west-1"])
        assert asked["GroupBy"] == [{"Type": "TAG", "Key": "Team"}, {"Type": "DIMENSION", "Key": "REGION"}]
        assert asked["Filter"]["And"][1:] == [
            {"Dimensions": {"Key": "REGION", "Values": ["eu-west-1"]}},
            {"Tags": {"Key": "Env", "Values": ["prod"]}},
        ]

    def test_one_text_is_one_value(self):
        source = Canned(page(group("TimedStorage-ByteHrs")))
        bill = CostExplorer(source).bill(START, END, where={"Team": "pay"}, regions="eu-west-1")
        _, region, team = source.asked[0]["Filter"]["And"]
        assert region["Dimensions"]["Values"] == ["eu-west-1"]
        assert team["Tags"]["Values"] == ["pay"]
        assert (bill.where, bill.regions) == ((("Team", ("pay",)),), ("eu-west-1",))

    def test_a_narrowed_bill_says_so(self):
        bill = CostExplorer(Canned(page())).bill(START, END, where={"Team": ["", "pay"]}, regions=["eu-west-1"])
        assert bill.narrowed == "Team=(untagged) or pay and in eu-west-1"
        assert str(bill).startswith("ECR (Team=(untagged) or pay and in eu-west-1) from")

    def test_a_free_place_is_taken_by_the_usage_type(self):
        assert self.asked(group_by="Team")["GroupBy"][1] == {"Type": "DIMENSION", "Key": "USAGE_TYPE"}
        assert [g["Key"] for g in self.asked(group_by=["Team", "Env"])["GroupBy"]] == ["Team", "Env"]

    @pytest.mark.parametrize(
        ("arguments", "path"),
        [
            ({"group_by": ["Team", "Environment", Dimension("USAGE_TYPE")]}, "group_by"),
            ({"group_by": ["Team", "Team"]}, "group_by"),
            ({"group_by": [Dimension("TEAM")]}, "group_by[0]"),
            ({"group_by": [""]}, "group_by[0]"),
            ({"granularity": "HOURLY"}, "granularity"),
            ({"metric": "Cost"}, "metric"),
            ({"where": {"Team": []}}, "where['Team']"),
        ],
    )
    def test_refused_before_any_request(self, arguments, path):
        source = Canned()
        with pytest.raises(InvalidInput) as error:
            CostExplorer(source).bill(START, END, **arguments)
        assert {p.path for p in error.value.problems} == {path}
        assert source.asked == []

    @pytest.mark.parametrize(("start", "end"), [(START, START), (END, START)])
    def test_a_time_without_days(self, start, end):
        with pytest.raises(InvalidInput, match="excluded"):
            CostExplorer(Canned()).bill(start, end)

    def test_a_time_of_day_is_refused(self):
        with pytest.raises(InvalidInput, match="must be a date"):
            CostExplorer(Canned()).bill(dt.datetime(2026, 10, 1, tzinfo=dt.UTC), END)


class TestAmounts:
    def test_all_pages_of_the_sample(self):
        pages = json.loads(sample_text("operations", "synthetic_ce_ecr_two_pages.json"))["pages"]
        bill = CostExplorer(Canned(*pages)).bill(START, END, group_by=["Team"])
        assert bill.total == Decimal("20.00")
        assert bill.currency == "USD"
        assert [(g.value, g.amount) for g in bill.by("Team")] == [
            ("platform", Decimal("12.34")),
            (None, Decimal("7.66")),
        ]
        assert bill.untagged == Decimal("7.66")
        assert [(g.value, g.amount) for g in bill.by_region()] == [
            ("eu-west-1", Decimal("12.34")),
            ("us-east-1", Decimal("7.66")),
        ]
        assert [g.value for g in bill.by_usage()] == ["storage"]
        assert bill.paid_calls == 2
        assert bill.known

    def test_the_sample_of_two_groups_keeps_the_empty_value(self):
        answer = json.loads(sample_text("operations", "ce_get_cost_and_usage_service_tag.json"))
        keys = [("DIMENSION", "SERVICE"), ("TAG", "Environment")]
        lines, estimated = read_pages([answer], keys, "UnblendedCost")
        assert estimated == ()
        assert [(line.group[1], line.amount) for line in lines] == [
            (None, Decimal("40.3543773134")),
            ("Dev", Decimal("0.2682364644")),
        ]
        # The unit N/A says that bytes and requests were added up.
        assert [line.quantity for line in lines] == [None, None]

    def test_the_daily_sample(self):
        answer = json.loads(sample_text("operations", "ce_group_by_service_daily.json"))
        lines, _ = read_pages([answer], [("DIMENSION", "SERVICE")], "UnblendedCost")
        assert sum(line.amount for line in lines) == Decimal("3.3552024316")

    def test_the_sample_of_a_filter_that_matches_nothing(self):
        answer = json.loads(sample_text("operations", "ce_filter_no_match_shape.json"))
        lines, estimated = read_pages([answer], [("DIMENSION", "USAGE_TYPE")], "UsageQuantity")
        assert lines == ()
        assert estimated == (dt.date(2020, 8, 9),)

    def test_amounts_are_exact(self):
        lines = [group("TimedStorage-ByteHrs", amount="0.1") for _ in range(3)]
        assert CostExplorer(Canned(page(*lines))).bill(START, END).total == Decimal("0.3")

    def test_values_may_hold_a_dollar(self):
        found = page(group("Team$a$b", "TimedStorage-ByteHrs"), group("Team$", "TimedStorage-ByteHrs"))
        bill = CostExplorer(Canned(found)).bill(START, END, group_by=["Team"])
        assert {g.value for g in bill.by("Team")} == {"a$b", None}

    def test_estimated_periods_are_marked(self):
        pages = [
            page(group("TimedStorage-ByteHrs", amount="5")),
            page(group("TimedStorage-ByteHrs", amount="2"), start=END, end=dt.date(2026, 12, 1), estimated=True),
        ]
        bill = CostExplorer(Canned(*pages)).bill(START, dt.date(2026, 12, 1))
        assert bill.estimated == (END,)
        assert [line.estimated for line in bill.lines] == [False, True]
        assert bill.by_usage()[0].estimated
        assert str(bill) == "ECR from 2026-10-01 to 2026-12-01 (excluded): 7.00 USD, 1 period estimated"
        assert "estimated" in bill.explain()

    def test_two_currencies_are_not_added_up(self):
        found = page(group("TimedStorage-ByteHrs"), group("CNN1-TimedStorage-ByteHrs", unit="CNY"))
        bill = CostExplorer(Canned(found)).bill(START, END)
        assert bill.total is None
        assert bill.currency == ""
        assert "CNY and USD" in bill.unknown[0]
        assert attrs.evolve(bill, unknown=()).total is None

    @pytest.mark.parametrize(
        "broken",
        [
            page(group("only one")),
            page({"Keys": ["Team$", "x"], "Metrics": {}}),
            page(group("Team$", "x", amount="NaN")),
            page(group("Team$", "x", amount="many")),
            {"ResultsByTime": [{"TimePeriod": {"Start": "soon", "End": "2026-11-01"}}]},
            {"ResultsByTime": [{}]},
        ],
    )
    def test_an_answer_of_another_form_is_refused_with_its_place(self, broken):
        with pytest.raises(InvalidInput, match=r"\$\[0\]\.ResultsByTime\[0\]"):
            CostExplorer(Canned(broken)).bill(START, END, group_by=["Team"])

    def test_groups_that_were_not_asked_for(self):
        bill = CostExplorer(Canned(page(group("Team$a", "Env$b")))).bill(START, END, group_by=["Team", "Env"])
        with pytest.raises(InvalidInput, match="grouped by Team, Env"):
            bill.by("Owner")
        with pytest.raises(InvalidInput, match="usage type"):
            bill.by_region()

    def test_a_tag_that_is_called_as_a_column_loses_nothing(self):
        source = Canned(page(group("region$north", "EU-TimedStorage-ByteHrs")))
        columns = CostExplorer(source).bill(START, END, group_by=["region"]).to_columns()
        assert (columns["region (key)"], columns["region"]) == (["north"], ["eu-west-1"])
        fixed = CostExplorer(Canned(page())).bill(START, END).to_columns().keys() - {"USAGE_TYPE"}
        assert fixed == _COLUMNS

    def test_frame_and_html(self):
        found = page(group("Team$<b>", "EU-TimedStorage-ByteHrs", amount="1.50", quantity="15"))
        bill = CostExplorer(Canned(found)).bill(START, END, group_by=["Team"])
        frame = bill.to_pandas()
        assert list(frame["Team"]) == ["<b>"]
        assert frame.loc[0, "amount"] == Decimal("1.50")
        assert frame.loc[0, "region"] == "eu-west-1"
        assert "&lt;b&gt;" in bill._repr_html_()
        assert json.loads(bill.to_json())["lines"][0]["amount"] == "1.50"


class TestZero:
    """A wrong service name and an inactive tag give zero without an error (aws/aws-sdk-php#2073, #2145)."""

    def zero(self, **arguments):
        source = Canned(page(), **{k: v for k, v in arguments.items() if k in {"services", "tags", "fault"}})
        rest = {k: v for k, v in arguments.items() if k not in {"services", "tags", "fault"}}
        return CostExplorer(source).bill(START, END, **rest), source

    def test_nothing_was_billed(self):
        bill, source = self.zero(services=())
        assert bill.total == 0
        assert bill.known
        assert bill.notes == ("Cost Explorer lists no service of that name in this time: nothing of ECR was billed",)
        assert source.asked[1] == ("SERVICE", START, END, "Container Registry")
        assert bill.paid_calls == 2

    def test_the_service_has_another_name(self):
        bill, _ = self.zero(services=("Amazon Elastic Container Registry",))
        assert bill.total is None
        assert bill.untagged is None
        assert "Amazon Elastic Container Registry" in bill.unknown[0]
        assert "not known" in str(bill)

    def test_the_tag_is_not_active(self):
        bill, _ = self.zero(where={"Team": ["pay"]}, tags=[CostAllocationTag(key="Team", active=False)])
        assert bill.total is None
        assert bill.unknown[0].startswith("the cost allocation tag Team is not active")

    def test_the_tag_is_unknown_to_billing(self):
        bill, _ = self.zero(where={"Team": ["pay"]})
        assert bill.unknown[0].startswith("the cost allocation tag Team is not known to billing")

    def test_the_tag_was_activated_later(self):
        bill, _ = self.zero(where={"Team": ["pay"]}, tags=[active("Team", dt.datetime(2026, 10, 20, tzinfo=dt.UTC))])
        assert bill.total is None
        assert "activated on 2026-10-20" in bill.unknown[0]

    def test_an_active_tag_that_nothing_carries(self):
        bill, source = self.zero(where={"Team": ["pay"]}, tags=[active("Team")])
        assert bill.total == 0
        assert "Team is active" in bill.notes[0]
        assert "the Regions or tags asked for leave none" in bill.notes[1]
        assert bill.paid_calls == len(source.asked) == 3

    def test_a_check_that_is_refused_leaves_the_zero_unknown(self):
        fault = Denied("no", operation="GetDimensionValues")
        assert self.zero(fault=fault)[0].total is None
        assert self.zero(fault=fault, where={"Team": ["a"]})[0].total is None

    def test_amounts_of_zero_are_a_zero_too(self):
        bill = CostExplorer(Canned(page(group("TimedStorage-ByteHrs", amount="0")), services=("x Container Registry",)))
        assert bill.bill(START, END).total is None

    def test_costs_that_seem_untagged_because_the_tag_is_not_active(self):
        source = Canned(page(group("Team$", "TimedStorage-ByteHrs", amount="9")))
        bill = CostExplorer(source).bill(START, END, group_by=["Team"])
        assert bill.total == 9
        assert bill.unseen_tags == ("Team",)
        assert bill.untagged is None
        assert "not known to billing" in bill.notes[0]

    def test_costs_that_are_untagged(self):
        source = Canned(page(group("Team$", "TimedStorage-ByteHrs", amount="9")), tags=[active("Team")])
        bill = CostExplorer(source).bill(START, END, group_by=["Team"])
        assert bill.untagged == 9
        assert bill.unseen_tags == ()

    def test_an_amount_is_not_checked_further(self):
        source = Canned(page(group("Team$a", "TimedStorage-ByteHrs")))
        assert CostExplorer(source).bill(START, END, group_by=["Team"]).paid_calls == 1


class TestPaidCalls:
    """A request of the Cost Explorer API costs $0.01 (public price list)."""

    def test_counted_and_asked_once(self):
        source = Canned(page(group("TimedStorage-ByteHrs")), page(group("EU-TimedStorage-ByteHrs")))
        explorer = CostExplorer(source)
        first, again = explorer.bill(START, END), explorer.bill(START, END, regions=())
        assert (first.paid_calls, again.paid_calls) == (2, 0)
        assert first.lines == again.lines
        assert len(source.asked) == 1
        assert explorer.spent == Decimal("0.02")
        explorer.bill(START, END, granularity="DAILY")
        explorer.forget()
        explorer.bill(START, END)
        assert explorer.paid_calls == 6
        assert "6 paid calls" in repr(explorer)

    def test_pages_before_a_fault_are_counted_and_nothing_is_kept(self):
        def broken(request):
            yield page(group("TimedStorage-ByteHrs"))
            raise Denied("no", operation="GetCostAndUsage")

        source = Canned()
        source.cost_pages = broken
        explorer = CostExplorer(source)
        for _ in range(2):
            with pytest.raises(Denied):
                explorer.bill(START, END)
        assert explorer.paid_calls == 2


def test_an_embedded_registry_has_no_bill():
    with pytest.raises(InvalidInput, match="has no Cost Explorer"):
        CostExplorer(NoBills()).bill(START, END)
    for ask in (
        lambda: NoBills().cost_allocation_tags(["a"]),
        lambda: NoBills().dimension_values("SERVICE", start=START, end=END, search="x"),
    ):
        with pytest.raises(InvalidInput):
            ask()


class TestThroughTheRegistry:
    def test_an_embedded_registry_refuses(self):
        from ecrkit import Registry

        with Registry.local() as registry, pytest.raises(InvalidInput, match="has no Cost Explorer"):
            registry.cost.bill(START, END)

    def test_a_source_of_your_own(self):
        from ecrkit import Registry
        from ecrkit.local.images import filler, image

        with Registry.local() as registry:
            registry.gateway.create_repository("team/app")
            image([filler(50_000, seed="a")]).push(registry.client, "team/app", "v1")
            stored = registry.cost.storage()
            quantity = Decimal(stored.bytes.low) / 2**30
            explorer = CostExplorer(Canned(page(group("TimedStorage-ByteHrs", quantity=str(quantity)))))
            cost = attrs.evolve(registry.cost, explorer=explorer)
            found = cost.reconcile(cost.bill(START, END))
        assert (found.answer, found.region) == ("agrees", "us-east-1")
        assert found.billed == pytest.approx(stored.bytes.low, abs=1)

    def test_no_client_before_the_first_question_and_the_right_region_then(self, monkeypatch):
        from ecrkit import Registry

        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        with Registry.from_session(region="eu-west-1", attempts=1) as registry:
            gateway = registry.cost.explorer._source
            assert "not asked yet" in repr(gateway)
            assert gateway._caller.client.meta.endpoint_url == "https://ce.us-east-1.amazonaws.com"
