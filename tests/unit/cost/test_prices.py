from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal

import pytest
from botocore.stub import Stubber

from ecrkit.aws.pricing import PRICING_REGION, PricingGateway
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.cost.money import Money, MoneyRange
from ecrkit.cost.prices import GB, GIB, PriceTable, Tier, prices_for
from ecrkit.errors import InvalidInput
from ecrkit.images import ByteRange

DAY = dt.date(2026, 11, 25)
TB = 2**40
US = prices_for("us-east-1")


def usd(text: str) -> Money:
    return Money(text, "USD")


def product(usage: str, *tiers: tuple[str, str, str], region: str = "eu-west-1", currency: str = "USD") -> str:
    dimensions = {
        str(n): {"beginRange": b, "endRange": e, "unit": "GB-Mo", "pricePerUnit": {currency: p}}
        for n, (b, e, p) in enumerate(tiers)
    }
    return json.dumps({
        "product": {"productFamily": "EC2 Container Registry",
                    "attributes": {"servicecode": "AmazonECR", "usagetype": usage, "regionCode": region}},
        "serviceCode": "AmazonECR",
        "terms": {"OnDemand": {"X.Y": {"priceDimensions": dimensions, "effectiveDate": "2026-11-01T00:00:00Z"}}},
    })  # fmt: skip


PRODUCTS = [
    product("EU-TimedStorage-Archive-ByteHrs", ("153600", "Inf", "0.0700000000"), ("0", "153600", "0.1000000000")),
    product("EU-TimedStorage-ByteHrs", ("0", "Inf", "0.1000000000")),
    product("EU-Retrieval-Archive", ("0", "Inf", "0.0300000000")),
    product("USE2-TimedStorage-ByteHrs", ("0", "Inf", "9"), region="us-east-2"),
    product("EU-Unheard-Of", ("0", "Inf", "9")),
]


class TestShippedTable:
    """Amazon ECR pricing, us-east-1: $0.10 standard; archive $0.10 up to 153,600 GB and $0.07 above; $0.03 retrieval."""

    def test_it_is_dated_and_says_where_it_is_from(self) -> None:
        assert US.as_of.year == 2026
        assert "price list" in US.source
        assert US.gb == GIB

    def test_storage(self) -> None:
        assert US.standard_month(GIB) == usd("0.10")
        assert US.archive_month(150 * TB) == usd("15360")
        assert US.archive_month(151 * TB) == usd("15360") + usd("71.68")
        assert US.archive_month(TB, already=150 * TB) == usd("71.68")
        assert US.archive_month(2 * TB, already=149 * TB) == usd("102.40") + usd("71.68")
        assert US.retrieve(TB) == usd("30.72")

    @pytest.mark.parametrize(
        ("terabytes", "dollars"),
        [(1, "92.16"), (10, "921.60"), (50, "4403.20"), (150, "11571.20"), (151, "11622.40")],
    )
    def test_transfer_tiers(self, terabytes: int, dollars: str) -> None:
        assert US.transfer(terabytes * TB) == usd(dollars)

    def test_no_other_region_has_a_default(self) -> None:
        with pytest.raises(InvalidInput, match="eu-west-1"):
            prices_for("eu-west-1")

    def test_the_divisor_is_explicit(self) -> None:
        assert prices_for("us-east-1", gb=GB).standard_month(10**9) == usd("0.10")
        assert US.both_readings(10**12)["GB (10**9)"] == usd("100")

    def test_cents_are_never_lost(self) -> None:
        one = US.standard_month(1)
        assert one.amount * GIB == Decimal("0.10")
        assert sum((US.standard_month(1) for _ in range(8)), Money.zero("USD")) == US.standard_month(8)

    def test_archive_minimum(self) -> None:
        """Archived on day 0, deleted on day 10: 90 days are billed (containers-roadmap#921)."""
        assert US.archived_for(GIB, dt.timedelta(days=10)) == usd("0.30")
        assert US.archived_for(GIB, dt.timedelta(days=120)) == usd("0.40")

    def test_ranges(self) -> None:
        assert US.month(ByteRange(GIB, None, ("why",))) == MoneyRange(usd("0.1"), None, ("why",))
        assert US.month(GIB, GIB).exact == usd("0.20")


class TestPriceList:
    def test_a_region_of_the_price_list(self) -> None:
        table = PriceTable.from_products(PRODUCTS, region="eu-west-1", as_of=DAY)
        assert table.standard == (Tier(None, "0.10"),)
        assert table.archive == (Tier(153600, "0.10"), Tier(None, "0.07"))
        assert table.retrieval == (Tier(None, "0.03"),)
        assert table.currency == "USD"
        with pytest.raises(InvalidInput, match="transfer_out"):
            table.transfer(1)

    def test_a_region_that_is_not_there(self) -> None:
        with pytest.raises(InvalidInput, match="no price of standard storage for eu-north-1"):
            PriceTable.from_products(PRODUCTS, region="eu-north-1", as_of=DAY)

    def test_all_faults_are_told(self) -> None:
        broken = ["{", json.dumps({"product": {}}), product("EU-TimedStorage-ByteHrs", ("0", "Inf", "ten"))]
        with pytest.raises(InvalidInput) as caught:
            PriceTable.from_products(broken, region="eu-west-1", as_of=DAY)
        assert [p.path for p in caught.value.problems] == [f"$.PriceList[{n}]" for n in range(3)]

    def test_two_currencies_are_refused(self) -> None:
        more = [*PRODUCTS, product("EU-Retrieval-Archive", ("0", "Inf", "1"), currency="CNY")]
        with pytest.raises(InvalidInput, match="several currencies"):
            PriceTable.from_products(more, region="eu-west-1", as_of=DAY)

    def test_the_gateway_reads_every_page(self) -> None:
        session = AwsSession(offline_session(PRICING_REGION), region=PRICING_REGION, services=(), rates={})
        caller = session.caller("pricing")
        asked = {"ServiceCode": "AmazonECR", "FormatVersion": "aws_v1", "MaxResults": 100,
                 "Filters": [{"Type": "TERM_MATCH", "Field": "regionCode", "Value": "eu-west-1"}]}  # fmt: skip
        with Stubber(caller.client) as stub:
            stub.add_response("get_products", {"PriceList": PRODUCTS[:1], "NextToken": "t"}, asked)
            stub.add_response("get_products", {"PriceList": PRODUCTS[1:]}, {**asked, "NextToken": "t"})
            table = PricingGateway(caller).prices("eu-west-1", as_of=DAY)
            stub.assert_no_pending_responses()
        assert table.archive_month(GIB) == usd("0.1")
        session.close()


class TestTables:
    def test_tiers_must_rise_to_the_end(self) -> None:
        for tiers in (
            (),
            (Tier(5, "1"),),
            (Tier(None, "1"), Tier(5, "1")),
            (Tier(9, "1"), Tier(5, "1"), Tier(None, "1")),
        ):
            with pytest.raises(InvalidInput):
                PriceTable(region="x", currency="USD", as_of=DAY, source="s", standard=tiers)
        with pytest.raises(InvalidInput):
            PriceTable(region="x", currency="USD", as_of=DAY, source="s", standard="-1")

    def test_floats_are_refused(self) -> None:
        with pytest.raises(TypeError):
            Tier(None, 0.1)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            usd("1") * 0.1  # type: ignore[operator]

    @pytest.mark.parametrize("text", ["NaN", "Infinity", "ten cents"])
    def test_a_price_is_a_number(self, text: str) -> None:
        with pytest.raises(InvalidInput, match="no finite number"):
            PriceTable(region="x", currency="USD", as_of=DAY, source="s", standard=text)

    def test_negative_bytes(self) -> None:
        with pytest.raises(InvalidInput):
            US.standard_month(-1)


class TestMoney:
    def test_currencies_do_not_mix(self) -> None:
        for work in (lambda: usd("1") + Money(1, "EUR"), lambda: usd("1") < Money(1, "EUR")):
            with pytest.raises(InvalidInput, match="two currencies"):
                work()

    def test_rounding_and_text(self) -> None:
        assert usd("0.125").rounded() == usd("0.12")
        assert str(-usd("1234.5")) == "-1,234.50 USD"
        assert usd("1").to_dict() == {"amount": "1", "currency": "USD"}
        assert str(MoneyRange(usd("1"), None)) == "at least 1.00 USD"
