"""Wrong input, what is not known, and coincidences, over the functions for a whole estate."""

from __future__ import annotations

import datetime as dt
import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import attrs
import pytest

from ecrkit.cost import prices_for
from ecrkit.deployments import Gap, InUse, Use, Workload
from ecrkit.errors import InvalidInput, PlanRefused
from ecrkit.events import ImageAction, LifecycleActionTaken, LifecycleExecution
from ecrkit.images import Inventory
from ecrkit.images.storage import stored_bytes
from ecrkit.lifecycle import (
    FleetItem,
    Goal,
    LifecyclePolicy,
    Plan,
    RollOut,
    aftermath,
    archive_strategy,
    begin,
    build,
    bytes_within,
    delete_archived,
    expect,
    fit_pushes,
    fleet_run,
    keep_last,
    propose,
    protections,
    restore_plan,
    simulate,
    templates,
    timeline,
)
from ecrkit.lifecycle.goal import with_tags
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
API = Workload(platform="ecs", kind="Service", name="api")


def digest(n):
    return f"sha256:{n:064x}"


def image(n, *tags, days=0, **more):
    return Image(digest=digest(n), tags=tags, pushed_at=NOW - dt.timedelta(days=days), **more)


def releases(count, **more):
    return Inventory([image(n, f"v{n}", days=n, **more) for n in range(count)], repository="team/app")


def running(*names, gaps=()):
    return InUse([Use(reference=f"{HOST}/team/app{name}", workload=API) for name in names], gaps=gaps)


def checked(policy, inventory, expectation):
    [result] = expect.check(policy, inventory, [expectation], now=NOW).results
    return result


@attrs.frozen
class Money:
    amount: Decimal
    currency: str = "USD"


@attrs.frozen
class TenCents:
    """Prices without tiers."""

    a_gb: Decimal = Decimal("0.10")

    def standard_month(self, count, *, already=0):
        return Money(self.a_gb * count / 2**30)


class TestNeverExpires:
    """It takes the set of images in use itself; what that set does not know is unknown here."""

    def test_a_set_of_images_in_use(self):
        found = checked(build(keep_last(2)), releases(6), expect.never_expires(running(":v5", ":v0")))
        assert (found.verdict, found.digests) == ("failed", (digest(5),))
        assert checked(build(keep_last(2)), releases(6), expect.never_expires(running(":v1"))).verdict == "passed"

    def test_what_it_does_not_know(self):
        gap = Gap(where="ecs clusters", why="AccessDenied")
        found = checked(build(keep_last(2)), releases(6), expect.never_expires(running(":v1", gaps=[gap])))
        assert found.verdict == "unknown"
        assert "ecs clusters: AccessDenied" in found.why
        assert checked(build(keep_last(2)), releases(6), expect.never_expires(running(":gone"))).verdict == "unknown"

    def test_one_reference(self):
        found = checked(build(keep_last(2)), releases(6), expect.never_expires(f"{HOST}/team/app:v5"))
        assert (found.verdict, found.expectation) == ("failed", "never_expires 1 image")


class TestRemovesAtMost:
    def test_a_share_is_what_is_written(self):
        assert int(0.29 * 100) == 28
        assert checked(build(keep_last(71)), releases(100), expect.removes_at_most(share=0.29)).verdict == "passed"
        assert checked(build(keep_last(70)), releases(100), expect.removes_at_most(share=0.29)).verdict == "failed"

    def test_images_that_may_go_besides(self):
        unknown = Inventory([image(1, "a", days=500, status="ARCHIVED"), image(2, "b")])
        limit = expect.removes_at_most(images=0)
        assert checked(build(delete_archived(after_days=90)), unknown, limit).verdict == "unknown"
        assert checked(build(delete_archived(after_days=90)), unknown, expect.removes_at_most(images=1)).verdict == (
            "passed"
        )


class TestGoals:
    def test_one_pattern_is_one_pattern(self):
        assert Goal(never_delete="v*").never_delete == ("v*",)
        assert Goal(never_delete=["v*", "x"]).never_delete == ("v*", "x")

    def test_an_empty_pattern(self):
        with pytest.raises(InvalidInput, match=r"never_delete\[1\]: must be a tag pattern with at least one character"):
            Goal(never_delete=("v*", ""))

    @pytest.mark.parametrize("days", [10**9, 10**30])
    def test_ages_beyond_all_time(self, days):
        found = propose(releases(3), Goal(keep_days=days, untagged_days=days, temporary_days=days), now=NOW)
        assert found.run.expired == ()

    def test_a_budget_of_bytes_that_nobody_knows(self):
        unsized = releases(3, size=None)
        with pytest.raises(PlanRefused, match="nobody can say what the best policy leaves"):
            propose(unsized, Goal(max_bytes=10**12), now=NOW)

    def test_a_budget_in_money(self):
        prices = TenCents()
        assert bytes_within(Decimal(5), prices) == 50 * 2**30
        assert bytes_within(Decimal(0), prices) == 0
        with pytest.raises(InvalidInput, match="budget: must be 0 or more, not -1"):
            bytes_within(Decimal(-1), prices)
        with pytest.raises(InvalidInput, match="costs nothing"):
            bytes_within(Decimal(1), TenCents(Decimal(0)))


class TestProtectiveTags:
    """A tag names one image: two images never get the same."""

    def test_digests_that_begin_alike(self):
        inventory = Inventory([image(n, days=n) for n in range(4)], repository="team/app")
        used = running(f"@{digest(2)}", f"@{digest(3)}")
        for shield in protections(build(keep_last(1)), inventory, used, now=NOW).shields:
            assert shield.proved
            assert len(set(shield.tags.values())) == 2
        old = Inventory([image(n, days=50 + n) for n in range(4)], repository="team/app")
        assert len(set(propose(old, Goal(), now=NOW, in_use=used).protective_tags.values())) == 2

    def test_a_tag_that_another_image_has(self):
        other = image(9 << 240, f"in-use-{digest(2)[7:19]}", days=1)
        inventory = Inventory([image(1, "x"), other, image(2, days=2)], repository="team/app")
        found = protections(build(keep_last(1)), inventory, running(f"@{digest(2)}"), now=NOW)
        assert {tag for shield in found.shields for tag in shield.tags.values()} == {f"in-use-{digest(2)[7:]}"}

    def test_an_archived_index_holds_nothing(self):
        index = image(1, "multi", days=9, status="ARCHIVED", last_archived_at=NOW - dt.timedelta(days=1))
        inventory = Inventory(
            [image(0, "new"), index, image(2, "child", days=9)],
            children={digest(1): (digest(2),)},
            repository="team/app",
        )
        found = protections(build(keep_last(1)), inventory, running(":multi", ":child"), now=NOW)
        assert found.endangered == (digest(2),)
        assert found.best is not None


class TestWhatGoesWithOthers:
    """An archived index holds nothing, and a referrer goes with its subject: what runs is kept all the same."""

    ARCHIVED = {"status": "ARCHIVED", "last_archived_at": NOW - dt.timedelta(days=200)}

    def kept(self, inventory, used, policy):
        found = protections(policy, inventory, used, now=NOW)
        assert found.endangered
        assert found.best is not None, found.to_text()
        run = simulate(found.best.policy, with_tags(inventory, found.best.tags), now=NOW, in_use=used)
        assert run.endangered == ()
        proposal = propose(inventory, Goal(keep_releases=1, untagged_days=1), now=NOW, in_use=used)
        proved = simulate(proposal.policy, proposal.run.inventory, now=NOW, in_use=used)
        assert proved.endangered == ()
        return found

    def test_the_children_of_an_archived_index(self):
        inventory = Inventory(
            [image(1, "multi", days=300, **self.ARCHIVED), image(2, days=300), image(3, "new")],
            children={digest(1): (digest(2),)}, repository="team/app",
        )  # fmt: skip
        found = self.kept(inventory, running(":multi"), build(keep_last(1)))
        assert found.endangered == (digest(2),)

    def test_an_archived_index_that_would_go_with_its_children(self):
        inventory = Inventory(
            [image(1, "multi", days=300, **self.ARCHIVED), image(2, days=100), image(3, "new")],
            children={digest(1): (digest(2),)}, repository="team/app",
        )  # fmt: skip
        found = self.kept(inventory, running(":multi"), build(keep_last(1), delete_archived(after_days=90)))
        assert set(found.endangered) == {digest(1), digest(2)}

    def test_a_referrer_that_runs(self):
        inventory = Inventory(
            [image(1, "v1", days=300), image(2, "v2", days=9, subject_digest=digest(1)), image(3, "v3")],
            repository="team/app",
        )
        self.kept(inventory, running(":v2"), build(keep_last(2)))

    def test_an_archived_image_with_a_tag(self):
        inventory = Inventory(
            [image(1, "v1", days=300, **self.ARCHIVED), image(2, "v2", days=300, **self.ARCHIVED)],
            repository="team/app",
        )
        policy = build(delete_archived(after_days=90))
        best = self.kept(inventory, running(":v1"), policy).best
        assert best is not None
        assert simulate(best.policy, inventory, now=NOW).expired == (digest(2),)

    def test_an_archived_image_without_one_must_be_restored(self):
        inventory = Inventory([image(1, days=300, **self.ARCHIVED)], repository="team/app")
        found = protections(build(delete_archived(after_days=90)), inventory, running(f"@{digest(1)}"), now=NOW)
        assert (len(found.endangered), found.best) == (1, None)

    def test_indexes_that_hold_each_other(self):
        ring = Inventory(
            [image(1, "a", days=9), image(2, "b", days=9), image(3, "new")],
            children={digest(1): (digest(2),), digest(2): (digest(1),)}, repository="team/app",
        )  # fmt: skip
        found = self.kept(ring, running(":a", ":b"), build(keep_last(1)))
        assert len(found.endangered) == 2


class TestTimelines:
    def test_an_image_that_may_go_is_in_doubt_though_nothing_goes(self):
        unknown = Inventory([image(1, "a", days=500, status="ARCHIVED")])
        found = timeline(build(delete_archived(after_days=90)), unknown, now=NOW, until=NOW + dt.timedelta(days=30))
        assert not found.certain
        assert not found.departures

    def test_stored_is_what_is_there_after_each_run(self):
        found = timeline(templates.pull_requests().policy, templates.pull_requests().example(NOW), now=NOW,
                         until=NOW + dt.timedelta(days=20))  # fmt: skip
        steps = list(found.stored())
        assert len(steps) > 10
        assert steps[0][:2] == (NOW, len(found.start))
        assert [(at, count, held) for at, count, held in steps[1:]] == [
            (at, len(found.at(at)), stored_bytes(found.at(at))) for at, _, _ in steps[1:]
        ]


class TestFleets:
    def fleet(self, policy=None, **more):
        item = FleetItem(repository="team/app", inventory=releases(4), live_policy=policy)
        return fleet_run(build(keep_last(2)), [item], now=NOW, **more)

    def test_images_in_use_that_would_go_are_told(self):
        found = self.fleet(in_use=running(":v3"))
        assert [row.repository for row in found.endangered] == ["team/app"]
        assert "of which images in use would go: team/app" in found.to_text()
        assert self.fleet().endangered == ()

    def test_what_runs_and_is_not_known_is_not_certain(self):
        assert self.fleet(in_use=running(":v0")).certain
        gaps = self.fleet(in_use=running(":v0", gaps=[Gap(where="prod", why="refused")]))
        assert not gaps.certain
        assert "what runs is not wholly known: prod: refused" in gaps.to_text()
        assert gaps.to_dict()["in_use_gaps"] == ["prod: refused"]
        lost = self.fleet(in_use=running(":gone"))
        assert (lost.certain, lost.rows[0].unresolved) == (False, 1)

    def test_only_what_concerns_them_goes_along(self):
        """All that runs anywhere, sent along with every few repositories, would cost more than the work on them."""
        sent: list[bytes] = []

        class Sending(ThreadPoolExecutor):
            def submit(self, work, /, *args, **more):
                sent.append(pickle.dumps((work, args)))
                return super().submit(work, *args, **more)

        items = [FleetItem(repository=f"app{n}", inventory=attrs.evolve(releases(4), repository="")) for n in range(70)]
        used = InUse(
            Use(reference=f"{HOST}/app{n}:v3", workload=attrs.evolve(API, name=f"works-on-{n}-")) for n in range(70)
        )
        with Sending(2) as executor:
            found = fleet_run(build(keep_last(2)), items, now=NOW, in_use=used, executor=executor)
        assert found.rows == fleet_run(build(keep_last(2)), items, now=NOW, in_use=used).rows
        assert len(found.endangered) == 70
        assert [sum(f"works-on-{n}-".encode() in one for one in sent) for n in range(70)] == [1] * 70

    def drift(self, selections, wanted):
        live = {
            "rules": [
                {"rulePriority": 10 * n, "selection": {"countType": "imageCountMoreThan", "countNumber": 2, **selection},
                 "action": {"type": "expire"}}
                for n, selection in enumerate(selections, 1)
            ]
        }  # fmt: skip
        item = FleetItem(repository="a", inventory=releases(3), live_policy=json.dumps(live))
        return fleet_run(wanted, [item], now=NOW).rows[0].drift

    def test_drift_is_of_what_policies_do(self):
        any_, prefix = {"tagStatus": "any"}, {"tagStatus": "tagged", "tagPrefixList": ["v"]}
        pattern = {"tagStatus": "tagged", "tagPatternList": ["v*"]}
        wanted = build(keep_last(2, prefixes="v"), keep_last(2))
        assert self.drift([prefix, any_], wanted) == "same"
        assert self.drift([pattern, any_], wanted) == "same"
        assert self.drift([{**pattern, "tagPatternList": ["v"]}, any_], wanted) == "differs"
        assert self.drift([any_], wanted) == "differs"

    def test_a_group_that_is_not_known_is_no_group(self):
        items = [
            FleetItem(repository="a", inventory=releases(1), tags_known=False),
            FleetItem(repository="b", inventory=releases(1)),
            FleetItem(repository="c", inventory=releases(1), tags={"Team": "x"}),
        ]
        assert [row.group for row in fleet_run(None, items, now=NOW, group="Team").rows] == ["(not known)", "", "x"]

    def test_why_something_was_not_read(self):
        item = FleetItem(repository="a", inventory=None, fault="AccessDenied: ecr:DescribeImages")
        [row] = fleet_run(build(keep_last(1)), [item], now=NOW).rows
        assert row.gap == "its images could not be read: AccessDenied: ecr:DescribeImages"


class TestRollOuts:
    """A saved roll-out that a step could not go on with is refused when it is read, with the path."""

    def saved(self, **more):
        plan = Plan(repository="app", policy_text=build(keep_last(2)).to_json(), made_at=NOW, actions={})
        return {**begin([plan]).to_dict(), **more}

    def test_a_wave_that_was_put_has_its_times(self):
        with pytest.raises(InvalidInput) as caught:
            RollOut.from_dict(self.saved(status="waiting"))
        assert [p.path for p in caught.value.problems] == ["$.put_at", "$.before"]

    def test_a_wave_that_is_none(self):
        with pytest.raises(InvalidInput, match=r"\$\.wave: must be less than 1"):
            RollOut.from_dict(self.saved(wave=1))
        assert RollOut.from_dict(self.saved(wave=1, status="done")).at_hand == ()


class TestAftermaths:
    def test_a_deletion_after_the_policy_archived_is_not_missed(self):
        at = NOW + dt.timedelta(hours=1)
        base = {"account": "1", "region": "us-east-1", "repository": "app", "source": "aws.ecr", "detail_type": "x"}
        ran = LifecycleExecution(
            event_id="1", at=at, dry_run=False, **base,
            actions=[LifecycleActionTaken(digest=digest(1), rule_priority=1, action="transition")],
        )  # fmt: skip
        deleted = ImageAction(
            event_id="2", at=at + dt.timedelta(hours=1), action="DELETE", result="SUCCESS", digest=digest(1), tag=None,
            **base,
        )  # fmt: skip
        plan = Plan(repository="app", policy_text="", made_at=NOW, actions={digest(1): "transition"})
        found = aftermath(plan, [ran, deleted], since=NOW, now=NOW + dt.timedelta(hours=9))
        assert [(r.action, r.by_policy) for r in found.otherwise] == [("expire", None)]
        assert aftermath(plan, [ran], since=NOW, now=NOW + dt.timedelta(hours=9)).as_foreseen


class TestOthers:
    def test_archiving_what_nobody_can_weigh(self):
        unknown = Inventory([image(1, "a", days=400, size=None)], repository="app")
        found = archive_strategy(unknown, prices_for("us-east-1"), now=NOW, days=[90])
        assert found.options[0].advice.startswith("not known: nothing bounds the bytes")
        assert "nobody can say what archiving saves" in repr(found)

    @pytest.mark.parametrize(
        "made",
        [
            lambda: expect.expires("a", older_than=-1),
            lambda: expect.archives("a", unpulled_for=-1),
            lambda: expect.keeps_younger_than(-1),
        ],
    )
    def test_an_age_below_nothing(self, made):
        with pytest.raises(ValueError, match="days must be 0 or more, not -1"):
            made()

    def test_a_plan_for_no_repository_is_not_rolled_out(self):
        with pytest.raises(InvalidInput, match="plans: one names no repository"):
            begin([Plan(repository="", policy_text="", made_at=NOW, actions={})])

    def test_one_name_to_restore_is_one_name(self):
        archived = Inventory([image(1, "v1", status="ARCHIVED")], repository="app")
        assert restore_plan(archived, "v1", now=NOW).digests == (digest(1),)

    def test_one_word_for_a_template_is_one_word(self):
        assert templates.release_trains(prefixes="release-", protected="*-x").policy == (
            templates.release_trains(prefixes=["release-"], protected=["*-x"]).policy
        )
        assert templates.trunk(moving="edge").policy == templates.trunk(moving=["edge"]).policy
        assert templates.build_caches(patterns="c*").policy == templates.build_caches(patterns=["c*"]).policy

    @pytest.mark.parametrize(
        "made",
        [
            templates.release_trains(keep=1),
            templates.trunk(keep=1),
            templates.pull_requests(days=200),
            templates.build_caches(days=60),
            templates.multi_platform(keep=1, untagged_days=60),
        ],
        ids=lambda t: t.name,
    )
    def test_templates_prove_themselves_for_small_and_large_numbers(self, made):
        made.prove(NOW).require()

    @pytest.mark.parametrize("more", [{"horizon_weeks": 0}, {"draws": 0}, {"level": 1.0}])
    def test_a_back_test_of_nothing(self, more):
        [group] = fit_pushes(releases(60), now=NOW).groups
        with pytest.raises(InvalidInput, match=f"{next(iter(more))}: must"):
            group.backtest(**more)

    def test_a_back_test_where_nothing_was_pushed_is_json(self):
        [group] = fit_pushes(releases(60), now=NOW).groups
        quiet = attrs.evolve(group, weeks=((), (), (), (), *group.weeks[:4]))
        found = quiet.backtest()
        assert found is not None
        assert found.relative_error is None
        assert json.loads(found.to_json(), parse_constant=pytest.fail)["relative_error"] is None

    def test_a_policy_is_none_of_two_that_differ_in_case(self):
        upper = LifecyclePolicy.parse(build(keep_last(2, prefixes="V")).to_json())
        assert simulate(upper, releases(9), now=NOW).expired == ()
