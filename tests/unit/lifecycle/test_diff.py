"""Two policies on one inventory: whose fate changes, and why."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.cost import PriceTable
from ecrkit.images import ByteRange, Inventory
from ecrkit.lifecycle import (
    LifecyclePolicyError,
    archive_unpulled,
    build,
    diff,
    expire_untagged,
    keep_last,
    simulate,
)
from ecrkit.records import Image
from tests.support.manifests import CONFIG, blob, image_document, raw
from tests.unit.lifecycle.test_timeline import NOW, POLICIES, digest, inventories

KEEP_TWO, KEEP_ONE = build(keep_last(2)), build(keep_last(1))


def images(count):
    return Inventory(
        [Image(digest=digest(n), pushed_at=NOW - dt.timedelta(days=n), size=10, tags=(f"v{n}",)) for n in range(count)],
        repository="team/app",
    )


@settings(max_examples=100, deadline=None)
@given(inventories(), st.sampled_from([None, *POLICIES]), st.sampled_from([None, *POLICIES]))
def test_it_lists_exactly_the_images_with_another_outcome(inventory, before, after):
    found = diff(before, after, inventory, now=NOW)

    def fates(policy):
        if policy is None:
            return {i.digest: "keep" for i in inventory}
        return {o.digest: o.action for o in simulate(policy, inventory, now=NOW).outcomes()}

    one, two = fates(before), fates(after)
    wanted = {d: (one[d], two[d]) for d in one if one[d] != two[d]}
    assert {c.digest: (c.before, c.after) for c in found.changes} == wanted
    back = diff(after, before, inventory, now=NOW)
    assert {c.digest: (c.after, c.before) for c in back.changes} == wanted


def test_it_says_why_before_and_after():
    [change] = diff(KEEP_TWO, KEEP_ONE, images(2), now=NOW).changes
    assert (change.before, change.after, change.certain) == ("keep", "expire", True)
    assert change.explain() == (
        f"v1@{digest(1)[:19]}: stays before (number 2 of 2 from the newest, where 2 stay), "
        "expires after (number 2 of 2 from the newest, where 1 stay)."
    )
    assert str(change) == change.explain()


def test_bytes_are_those_of_the_two_runs():
    found = diff(KEEP_TWO, None, images(4), now=NOW)
    assert found.freed_before == simulate(KEEP_TWO, images(4), now=NOW).freed
    assert found.freed_before.high == 20
    assert found.freed_after == ByteRange.exactly(0)
    assert found.no_longer_expired == (digest(2), digest(3))
    assert found.newly_expired == ()


def test_archiving_instead_of_expiring_is_a_change():
    found = diff(KEEP_ONE, build(archive_unpulled(1)), images(3), now=NOW)
    assert found.counts == {("expire", "transition"): 1, ("expire", "keep"): 1}


def test_an_equal_policy_changes_nothing():
    found = diff(KEEP_ONE, KEEP_ONE.to_json(), images(3), now=NOW)
    assert found.changes == ()
    assert repr(found) == "<PolicyDiff of team/app: 0 changes (none)>"


def test_what_people_and_programs_get():
    found = diff(None, build(keep_last(1)), images(3), now=NOW)
    assert found.to_text(limit=1).splitlines() == [
        "PolicyDiff of team/app: 2 changes (2 keep -> expire)",
        "frees 0 B before and 0 B to 20 B after",
        "tags  digest               before  after   why",
        "----  -------------------  ------  ------  " + "-" * 43,
        f"v1    {digest(1)[:19]}  keep    expire  number 2 of 3 from the newest, where 1 stay",
        "and 1 more",
    ]
    assert found.to_columns()["after"] == ["expire", "expire"]
    assert found.to_dict()["summary"] == {"keep -> expire": 2}
    assert found.to_pandas()["before"].tolist() == ["keep", "keep"]
    assert "2 changes" in found._repr_html_()


def test_doubt_is_told():
    index = Image(
        digest=digest(9), tags=("v9",), pushed_at=NOW, manifest_media_type="application/vnd.oci.image.index.v1+json"
    )
    inventory = Inventory([index, Image(digest=digest(1), pushed_at=NOW - dt.timedelta(days=9))])
    found = diff(None, build(expire_untagged(after_days=3)), inventory, now=NOW)
    assert not found.certain
    assert not found.changes[0].certain
    assert "Not certain" in found.changes[0].explain()
    assert "unknown children" in found.to_text()


def test_a_faulty_policy_is_refused():
    with pytest.raises(LifecyclePolicyError):
        diff(None, "{}", images(1), now=NOW)


class TestMoney:
    PRICES = PriceTable(
        region="x", currency="USD", as_of=dt.date(2026, 1, 1), source="s", standard=Decimal("0.10"), gb=10
    )

    def test_exact_bytes_give_one_number(self):
        made = [raw(image_document([blob(f"own{n}", 9)], config=blob(f"c{n}", 1, CONFIG))) for n in range(4)]
        listed = [Image(digest=m.digest, pushed_at=NOW - dt.timedelta(days=n), size=10) for n, m in enumerate(made)]
        read = Inventory(listed, repository="team/app").with_manifests(made)
        assert diff(KEEP_TWO, KEEP_ONE, read, now=NOW).monthly_saving(self.PRICES) == (Decimal("0.1"), Decimal("0.1"))
        assert diff(KEEP_ONE, KEEP_TWO, read, now=NOW).monthly_saving(self.PRICES) == (Decimal("-0.1"), Decimal("-0.1"))

    def test_unread_manifests_give_a_range(self):
        least, most = diff(KEEP_TWO, KEEP_ONE, images(4), now=NOW).monthly_saving(self.PRICES)
        assert (least, most) == (Decimal("-0.2"), Decimal("0.3"))
