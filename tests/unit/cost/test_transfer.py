from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from ecrkit.cost.money import Money
from ecrkit.cost.prices import prices_for
from ecrkit.cost.transfer import PullPattern, PushRate, ReplicationTarget, pull_cost, push_rate, replication_cost
from ecrkit.errors import InvalidInput
from ecrkit.images import ByteRange
from tests.unit.cost.conftest import NOW, entry, index, inventory, made

GIB, TB = 2**30, 2**40
US = prices_for("us-east-1")


def usd(text: str) -> Money:
    return Money(text, "USD")


def rate(name: str, count: int, new: int | None = None) -> PushRate:
    sent = ByteRange.exactly(count)
    return PushRate(repository=name, images=Decimal(1), bytes=sent, new=sent if new is None else ByteRange.exactly(new))


class TestReplication:
    """Replication across Regions is billed as transfer out of the source Region; within a Region it is free."""

    def test_each_destination_is_sent_everything_that_its_prefixes_take(self) -> None:
        rates = [rate("prod-api", 10 * GIB), rate("dev-api", 5 * GIB), rate("production", GIB)]
        targets = [ReplicationTarget(region="eu-west-1", prefixes=["prod-"]), ReplicationTarget(region="us-west-2")]
        found = replication_cost(rates, targets, prices=US)
        assert [d.repositories for d in found.destinations] == [("prod-api",), ("prod-api", "dev-api", "production")]
        assert [d.transfer_cost.exact for d in found.destinations] == [usd("0.90"), usd("1.44")]
        assert found.uncovered == ()
        only = replication_cost(rates, targets[:1], prices=US)
        assert only.uncovered == ("dev-api", "production")

    def test_another_account_of_the_region_costs_no_transfer_but_storage(self) -> None:
        here = ReplicationTarget(region="us-east-1", account="222222222222", prices=US)
        (one,) = replication_cost([rate("a", 10 * GIB, new=4 * GIB)], [here], prices=US, months=3).destinations
        assert one.transfer_cost.exact == usd("0")
        assert one.storage_cost is not None
        assert one.storage_cost.exact == usd("1.20")

    def test_tiers_are_filled_by_all_together(self) -> None:
        targets = [ReplicationTarget(region=r) for r in ("eu-west-1", "us-west-2")]
        found = replication_cost([rate("a", 8 * TB)], targets, prices=US)
        assert found.transfer_cost.exact == US.transfer(16 * TB)
        late = replication_cost([rate("a", TB)], targets[:1], prices=US, transferred_already=10 * TB)
        assert late.transfer_cost.exact == usd("87.04")

    def test_what_nothing_bounds_may_fill_the_tiers_of_the_next(self) -> None:
        open_end = PushRate(repository="a", images=Decimal(1), bytes=ByteRange(0, None), new=ByteRange(0, None))
        targets = [ReplicationTarget(region=r, prefixes=p) for r, p in (("eu-west-1", "a"), ("us-west-2", "b"))]
        _, second = replication_cost([open_end, rate("b", TB)], targets, prices=US).destinations
        assert (second.transfer_cost.low, second.transfer_cost.high) == (usd("51.20"), usd("92.16"))
        assert "tier" in second.transfer_cost.reasons[0]

    def test_backfills_fill_the_tiers_together(self) -> None:
        far = [ReplicationTarget(region=r) for r in ("eu-west-1", "us-west-2")]
        found = replication_cost([rate("a", 0)], far, prices=US, existing={"a": ByteRange.exactly(8 * TB)})
        assert found.initial is not None
        assert found.initial.exact == US.transfer(16 * TB)

    def test_a_backfill_is_told_apart(self) -> None:
        far = [ReplicationTarget(region="eu-west-1", prices=US)]
        found = replication_cost([rate("a", GIB)], far, prices=US, existing={"a": ByteRange.exactly(10 * GIB)})
        assert found.initial is not None
        assert found.initial.exact == usd("0.90")
        assert found.destinations[0].stored.exact == 11 * GIB
        assert replication_cost([rate("a", GIB)], far, prices=US).initial is None

    def test_without_prices_of_the_destination_storage_has_none(self) -> None:
        (one,) = replication_cost([rate("a", GIB)], [ReplicationTarget(region="eu-west-1")], prices=US).destinations
        assert one.storage_cost is None

    def test_nonsense(self) -> None:
        far = ReplicationTarget(region="eu-west-1")
        for rates, targets in (([], []), ([rate("a", 1)] * 2, [far]), ([], [far, far])):
            with pytest.raises(InvalidInput):
                replication_cost(rates, targets, prices=US)


class TestPushRate:
    def test_new_layers_to_whole_images(self) -> None:
        old, new = made("old", ("base", 1000), ("o", 100)), made("new", ("base", 1000), ("n", 200))
        details = [entry(old, pushed=40, imageSizeInBytes=1110), entry(new, pushed=5, imageSizeInBytes=1210)]
        found = push_rate(inventory("app", [old, new], details), since=NOW - dt.timedelta(days=15), until=NOW)
        assert (found.bytes.low, found.bytes.high) == (420, 2420)
        assert found.new.exact == 420
        assert found.images == 2

    def test_an_index_counts_through_its_children(self) -> None:
        a, b = made("a", ("a", 100)), made("b", ("b", 200))
        top = index(a, b)
        details = [entry(m, pushed=5, imageSizeInBytes=s) for m, s in ((top, 210), (a, 110), (b, 210))]
        found = push_rate(inventory("app", [top, a, b], details), since=NOW - dt.timedelta(days=30), until=NOW)
        assert found.bytes.exact == 320

    def test_an_empty_time(self) -> None:
        with pytest.raises(InvalidInput):
            push_rate(inventory("app", [], []), since=NOW, until=NOW)


class TestPulls:
    """Pulls within the Region are free; others are transfer out (EKS best practices)."""

    def test_by_where_they_go(self) -> None:
        one = ByteRange.exactly(GIB)
        patterns = [PullPattern(repository="app", to=to, pulls=100, bytes=one)
                    for to in ("us-east-1", "eu-west-1", "internet")]  # fmt: skip
        found = pull_cost(patterns, prices=US, rates=[rate("app", 10 * GIB)])
        assert {k: v.exact for k, v in found.by_region().items()} == {
            "us-east-1": usd("0"), "eu-west-1": usd("9"), "internet": usd("9")
        }  # fmt: skip
        assert found.total.exact == usd("18")
        assert {k: v.exact for k, v in found.replicate.items()} == {"eu-west-1": usd("0.90")}
        assert pull_cost(patterns, prices=US).replicate == {}

    def test_a_range_stays_one(self) -> None:
        pattern = PullPattern(repository="app", to="eu-west-1", pulls=10, bytes=ByteRange(0, GIB, ("lazily",)))
        cost = pull_cost([pattern], prices=US).total
        assert (cost.low, cost.high, cost.reasons) == (usd("0"), usd("0.90"), ("lazily",))
