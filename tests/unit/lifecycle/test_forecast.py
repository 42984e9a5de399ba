"""Forecasts: which history is whole, what a drawn week carries, and numbers that follow from regular pushes."""

from __future__ import annotations

import datetime as dt
import random
from decimal import Decimal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.cost import PriceTable
from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory, stored_bytes
from ecrkit.lifecycle import (
    archive_unpulled,
    build,
    delete_archived,
    expire_older_than,
    expire_untagged,
    fit_pushes,
    forecast,
    keep_last,
)
from ecrkit.lifecycle.pushes import Push, PushGroup, pushes_of, renewed, shape_of
from ecrkit.records import Image
from tests.support.manifests import CONFIG, blob, image_document, raw

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)  # a Wednesday
DAY, WEEK = dt.timedelta(days=1), dt.timedelta(days=7)
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(n):
    return "sha256:" + f"{n:064x}"


def image(n, *tags, days=0.0, **more):
    return Image(digest=digest(n), tags=tags, pushed_at=NOW - dt.timedelta(days=days), **more)


def daily(count, tag="v{}", start=0):
    return [image(start + n, tag.format(n), days=n) for n in range(count)]


class TestWhichHistoryIsWhole:
    """What a policy deleted would look like silence, so only what it cannot have touched is drawn from."""

    def weeks(self, images, policy):
        model = fit_pushes(Inventory(images), now=NOW, policy=policy)
        return {group.name: len(group.weeks) for group in model.groups}

    def test_without_a_policy_all_of_it(self):
        assert self.weeks(daily(40), None) == {"vN": 5}

    def test_an_age_limit_cuts_it(self):
        assert self.weeks(daily(30), build(expire_older_than(29))) == {"vN": 4}
        assert self.weeks(daily(15), build(expire_older_than(14))) == {"vN": 2}

    def test_a_full_count_cuts_it_at_the_oldest_that_is_left(self):
        assert self.weeks(daily(22), build(keep_last(22))) == {"vN": 3}
        assert self.weeks(daily(22), build(keep_last(10))) == {"vN": 1}

    def test_a_count_that_was_never_reached_does_not(self):
        assert self.weeks(daily(22), build(keep_last(23))) == {"vN": 3}

    def test_archiving_deletes_nothing(self):
        assert self.weeks(daily(40), build(archive_unpulled(5))) == {"vN": 5}

    def test_deleting_from_the_archive_cuts_it(self):
        archived = [image(n, f"v{n}", days=n, status="ARCHIVED", last_archived_at=NOW) for n in range(120)]
        policy = build(archive_unpulled(1), delete_archived(after_days=90))
        model = fit_pushes(Inventory(archived), now=NOW, policy=policy, history=dt.timedelta(days=112))
        assert [len(group.weeks) for group in model.groups] == [12]

    def test_a_group_without_a_whole_week_is_unknown(self):
        images = [*daily(5), *daily(20, tag="main-{}", start=100)]
        model = fit_pushes(Inventory(images), now=NOW, policy=build(keep_last(5, prefixes="v")))
        assert model.unknown == ("vN",)
        assert {g.name: g.known for g in model.groups} == {"vN": False, "main-N": True}

    def test_no_further_back_than_asked(self):
        model = fit_pushes(Inventory(daily(300)), now=NOW, history=dt.timedelta(days=21))
        assert len(model.groups[0].weeks) == 3
        with pytest.raises(InvalidInput, match="at least a week"):
            fit_pushes(Inventory([]), now=NOW, history=DAY)

    def test_a_push_after_now_belongs_to_no_week(self):
        model = fit_pushes(Inventory([*daily(15), image(99, "v99", days=-1)]), now=NOW)
        assert [len(week) for week in model.groups[0].weeks] == [7, 7]


class TestGroups:
    @pytest.mark.parametrize(
        ("tags", "shape"),
        [
            ((), "moving"), (("v1.2.3",), "vN.N.N"), (("latest",), "moving"), (("latest", "v1"), "vN"), (("main-3f9a2c1",), "main-SHA"),
            (("deadbeef",), "moving"), (("pr-12-3f9a2c1d", "x"), "pr-N-SHA"), (("20261125",), "N"),
        ],
    )  # fmt: skip
    def test_shapes(self, tags, shape):
        assert shape_of(image(1, *tags)) == shape

    def test_children_and_referrers_belong_to_the_push_of_their_index(self):
        images = [
            image(1, "v1", days=20, manifest_media_type=INDEX), image(2, days=20), image(3, days=20),
            image(4, days=19, subject_digest=digest(1)), image(5, days=18, subject_digest=digest(4)), image(6, days=1), image(7, "v0", days=30),
        ]  # fmt: skip
        model = fit_pushes(Inventory(images, children={digest(1): [digest(2), digest(3)]}), now=NOW)
        pushes = {g.name: [len(p.images) for w in g.weeks for p in w] for g in model.groups}
        assert pushes == {"vN": [5], "moving": []}

    def test_a_ring_of_subjects_ends(self):
        ring = [image(1, days=20, subject_digest=digest(2)), image(2, days=10, subject_digest=digest(1))]
        assert [len(push.images) for push in pushes_of(Inventory(ring))] == [2]

    def test_weekdays(self):
        mondays = [image(n, f"v{n}", days=2 + 7 * n) for n in range(6)]
        [group] = fit_pushes(Inventory(mondays), now=NOW).groups
        assert group.by_weekday[0] == 1.0
        assert sum(group.by_weekday) == 1.0


class TestAPushThatComesAgain:
    def test_times_digests_and_tags(self):
        push = Push(
            (image(1, "v1.2", "latest", days=3, last_pulled_at=NOW), image(2, days=3, subject_digest=digest(1)))
        )
        [first, second], digests = renewed(push, WEEK, 7)
        assert first.pushed_at == push.at + WEEK
        assert first.last_pulled_at == NOW + WEEK
        assert first.tags == ("v1.20000007", "latest")
        assert digests == {digest(1): first.digest, digest(2): second.digest}
        assert second.subject_digest == first.digest
        assert len(first.digest) == len(digest(1))

    def test_an_archived_image_comes_again_as_an_active_one(self):
        [made], _ = renewed(Push((image(1, days=3, status="ARCHIVED", last_archived_at=NOW),)), WEEK, 1)
        assert (made.status, made.last_archived_at) == ("ACTIVE", None)

    @given(st.lists(st.integers(1, 10**6), min_size=2, max_size=2, unique=True))
    def test_no_two_pushes_share_a_digest_or_a_numbered_tag(self, numbers):
        push = Push((image(1, "v1"),))
        made = [renewed(push, WEEK, n)[0][0] for n in numbers]
        assert len({m.digest for m in made}) == len({m.tags for m in made}) == 2


class TestRegularPushes:
    """One image a day, for ever: every number is known beforehand."""

    def test_a_count_stays_where_it_is(self):
        found = forecast(build(keep_last(40)), Inventory(daily(40)), now=NOW, days=90, live_policy=build(keep_last(41)))
        assert len(found.weeks) == 13
        assert {w.images.expected for w in found.weeks} == {40.0}
        assert [w.expired.expected for w in found.weeks] == [7.0 * n for n in range(1, 14)]
        assert found.warnings == ("bytes: the manifests of some images were not read",)

    def test_without_a_policy_it_grows(self):
        found = forecast(None, Inventory(daily(29)), now=NOW, days=28)
        assert [w.images.expected for w in found.weeks] == [36.0, 43.0, 50.0, 57.0]
        assert [w.at for w in found.weeks] == [NOW + WEEK * n for n in range(1, 5)]

    def test_an_age_limit(self):
        found = forecast(
            build(expire_older_than(10)),
            Inventory(daily(29)),
            now=NOW,
            days=21,
            live_policy=build(expire_older_than(40)),
        )
        # An image right at its limit stays, so eleven of them: of 0 to 10 days.
        assert [w.images.expected for w in found.weeks] == [11.0, 11.0, 11.0]

    def test_a_moving_tag_leaves_untagged_images_behind(self):
        images = [image(0, "latest", days=0.5)] + [image(n, days=n) for n in range(1, 29)]
        found = forecast(
            build(expire_untagged(after_days=9)),
            Inventory(images),
            now=NOW,
            days=21,
            live_policy=build(expire_untagged(after_days=40)),
            paths=3,
        )
        # One a day again, and all but the newest have lost the tag: those of at most nine days, and the newest.
        assert found.model.unknown == ()
        assert all(week.images.low >= 10 and week.images.high <= 11 for week in found.weeks)

    def test_the_quota(self):
        found = forecast(None, Inventory(daily(29)), now=NOW, days=28)
        hit = found.reaches(45)
        assert (hit.share, hit.earliest, hit.median) == (1.0, NOW + WEEK * 3, NOW + WEEK * 3)
        assert found.reaches().share == 0.0
        assert found.reaches().median is None

    def test_bytes(self):
        made = [
            raw(image_document([blob("base", 1000), blob(f"app{n}", 10)], config=blob(f"config{n}", 1, CONFIG)))
            for n in range(29)
        ]
        images = [attrs.evolve(image(n, f"v{n}", days=n), digest=m.digest) for n, m in enumerate(made)]
        inventory = Inventory(images).with_manifests(made)
        found = forecast(None, inventory, now=NOW, days=14)
        start = stored_bytes(inventory).exact
        assert [w.bytes.expected for w in found.weeks] == [start + 7 * 11, start + 14 * 11]

        prices = PriceTable(
            region="x", currency="USD", as_of=dt.date(2026, 1, 1), source="s", standard=Decimal(1), gb=1
        )
        costs = found.monthly_cost(prices)
        assert [c.expected for c in costs] == [start + 7 * 11, start + 14 * 11]
        assert (costs[0].at, costs[0].currency) == (NOW + WEEK, "USD")

    def test_cost_needs_bytes(self):
        prices = PriceTable(region="x", currency="USD", as_of=dt.date(2026, 1, 1), source="s", standard=Decimal(1))
        with pytest.raises(InvalidInput, match="are not known"):
            forecast(None, Inventory(daily(29)), now=NOW, days=7).monthly_cost(prices)

    def test_the_same_seed_gives_the_same_answer(self):
        bursts = [image(n, f"v{n}", days=(n * n) % 50) for n in range(60)]
        one, two, three = (forecast(None, Inventory(bursts), now=NOW, seed=s).to_dict() for s in (1, 1, 2))
        assert one == two
        assert one != three


class TestIntervals:
    def test_bursts_widen_them(self):
        regular = forecast(None, Inventory(daily(56)), now=NOW, days=56)
        burst = [image(n, f"v{n}", days=30 + (n % 2)) for n in range(55)] + [image(99, "v99", days=56)]
        bursty = forecast(None, Inventory(burst), now=NOW, days=56)
        last, other = regular.weeks[-1].images, bursty.weeks[-1].images
        assert last.high - last.low < 4
        assert other.high - other.low > 50
        assert other.low <= other.expected <= other.high

    def test_a_wider_level_is_wider(self):
        burst = Inventory([image(n, f"v{n}", days=(n * n) % 50) for n in range(60)])
        narrow, wide = (forecast(None, burst, now=NOW, level=level).weeks[-1].images for level in (0.2, 0.95))
        assert wide.low < narrow.low
        assert narrow.high < wide.high


class TestBacktests:
    def test_a_regular_history_is_forecast_well(self):
        [group] = fit_pushes(Inventory(daily(57)), now=NOW).groups
        test = group.backtest()
        assert (test.relative_error, test.coverage) == (0.0, 1.0)
        assert test.origins == 1

    def test_a_jump_is_not(self):
        busy = [image(n, f"v{n}", days=n / 10) for n in range(270)]
        quiet = [image(1000 + n, f"v{n}", days=28 + n) for n in range(57)]
        [group] = fit_pushes(Inventory([*busy, *quiet]), now=NOW, history=dt.timedelta(days=84)).groups
        test = group.backtest()
        assert test.relative_error > 0.5
        assert test.coverage < 1.0

    def test_a_short_history_cannot_be_tested(self):
        assert PushGroup(name="v", complete_since=NOW, weeks=((),) * 7).backtest() is None

    def test_intervals_hold_what_they_promise(self):
        """Of pushes that come at random, about as many lie within the interval as it says."""
        rng, inside = random.Random(3), []
        for _ in range(40):
            weeks = tuple(tuple(Push((image(n, "v1"),)) for n in range(rng.randint(0, 9))) for _ in range(24))
            inside.append(PushGroup(name="v", complete_since=NOW, weeks=weeks).backtest(draws=100).coverage)
        assert 0.7 <= sum(inside) / len(inside) <= 0.9

    def test_silence_is_forecast_as_silence(self):
        test = PushGroup(name="v", complete_since=NOW, weeks=((),) * 12).backtest()
        assert (test.relative_error, test.coverage) == (0.0, 1.0)


class TestWhatItCannotKnow:
    def test_each_warning(self):
        images = [*daily(3), image(9, "m", manifest_media_type=INDEX)]
        found = forecast(build(archive_unpulled(2)), Inventory(images), now=NOW, days=7, paths=2)
        told = "\n".join(found.warnings)
        assert not found.certain
        for word in ("no whole week", "pulls:", "bytes:", "indexes were not read"):
            assert word in told
        assert found.weeks[0].bytes is None

    @pytest.mark.parametrize("options", [{"days": 0}, {"paths": 0}, {"level": 0}, {"level": 1}])
    def test_arguments_out_of_range(self, options):
        [name] = options
        with pytest.raises(InvalidInput) as caught:
            forecast(None, Inventory([]), now=NOW, **options)
        assert caught.value.problems[0].path == name

    def test_an_empty_repository_stays_empty(self):
        found = forecast(build(keep_last(3)), Inventory([]), now=NOW, days=7)
        assert found.weeks[0].images.high == 0


def test_what_people_and_programs_get():
    found = forecast(
        build(keep_last(3)),
        Inventory(daily(29), repository="team/app"),
        now=NOW,
        days=7,
        live_policy=build(keep_last(99)),
    )
    assert repr(found) == "<Forecast of team/app: 3 (3 to 3) images on 2026-12-02, 7.0 pushes a week>"
    assert "team/app" in found.to_text()
    assert found.to_columns()["images_expected"] == [3.0]
    assert found.to_pandas()["expired_high"].tolist() == [33.0]
    assert found.to_dict()["weeks"][0]["images"] == {"low": 3, "expected": 3.0, "high": 3}
    assert "<table>" in found._repr_html_()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["v{}", "latest", "", "dev-{}"]), st.integers(0, 60)), max_size=15),
    st.integers(0, 3),
)
def test_nothing_is_lost_or_made_up(listed, seed):
    """Without a policy, what is there at the end is what was there and what was drawn."""
    images = [
        image(n, *([tag.format(n)] if tag and (tag != "latest" or n == 0) else []), days=age)
        for n, (tag, age) in enumerate(listed)
    ]
    inventory = Inventory(images)
    found = forecast(None, inventory, now=NOW, days=21, paths=1, seed=seed)
    drawn = random.Random(seed)
    coming = found.model.draw(3, drawn)
    total = len(images)
    for week, told in zip(coming, found.weeks, strict=True):
        total += sum(len(push.images) for push, _ in week)
        assert told.images.expected == total
