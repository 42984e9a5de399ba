"""Staged roll-outs: waves, what stops them, and a whole one on the embedded ECR, saved between its steps."""

from __future__ import annotations

import datetime as dt
import json

import attrs
import pytest

from ecrkit import Registry
from ecrkit.errors import InvalidInput
from ecrkit.events import parse_event
from ecrkit.lifecycle import Plan, RollOut, archive_unpulled, begin, build, expire_untagged, keep_last
from ecrkit.lifecycle.rollout import Observed, judge
from ecrkit.local import images as local_images

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
POLICY = build(keep_last(2, prefixes="v"))


def digest(n):
    return "sha256:" + f"{n:064x}"


def plan(name, *going, action="expire"):
    return Plan(repository=name, policy_text=POLICY.to_json(), made_at=NOW, actions={digest(n): action for n in going})


class TestWaves:
    def test_those_that_remove_least_come_first(self):
        plans = [plan("c", 1, 2), plan("a", 1), plan("b"), plan("d", 1, 2, 3)]
        waves = begin(plans, shares=(0.25, 0.5, 1)).waves
        assert [[p.repository for p in wave] for wave in waves] == [["b"], ["a"], ["c", "d"]]

    def test_waves_that_reach_no_further_are_left_out(self):
        assert [len(w) for w in begin([plan("a"), plan("b")]).waves] == [1, 1]
        assert begin([]).status == "done"

    @pytest.mark.parametrize("shares", [(), (0.5,), (0.5, 0.1, 1), (0, 1), (0.5, 1.5), (0.5, 0.5, 1)])
    def test_shares_must_grow_to_all(self, shares):
        with pytest.raises(InvalidInput, match="must grow"):
            begin([plan("a")], shares=shares)

    def test_one_plan_for_each_repository(self):
        with pytest.raises(InvalidInput, match="a has more than one"):
            begin([plan("a"), plan("a")])


class TestJudging:
    """Finished is what went as foreseen after ECR ran; anything else waits, and then stops."""

    def step(self, hours=1, *, put=None, seen=True, **more):
        roll_out = attrs.evolve(begin([put or plan("app", 1, 2)]), status="waiting", put_at={"app": NOW}, before={})
        told = {"gone": {digest(1), digest(2)}, "archived": (), "ran_at": NOW + HOUR} | more
        told["gone"], told["archived"] = frozenset(told["gone"]), frozenset(told["archived"])
        observed = {"app": Observed(repository="app", **told)} if seen else {}
        return judge(roll_out, observed, now=NOW + hours * HOUR)

    def test_as_foreseen(self):
        found = self.step()
        assert (found.finished, found.waiting, found.reasons) == (("app",), (), ())

    def test_archived_as_foreseen(self):
        assert self.step(put=plan("app", 1, action="transition"), gone=(), archived={digest(1)}).finished == ("app",)
        assert self.step(put=plan("app", 1, action="transition"), gone=()).waiting == ("app",)

    @pytest.mark.parametrize("more", [{"gone": {digest(1)}}, {"ran_at": None}, {"ran_at": NOW}])
    def test_not_yet(self, more):
        assert self.step(**more).waiting == ("app",)
        assert self.step(48, **more).waiting == ("app",)

    def test_after_two_days_it_stops(self):
        [reason] = self.step(49, gone={digest(1)}).reasons
        assert reason == "app: 1 image did not go within 48 hours; ECR has run it"
        assert "ECR has not run it" in self.step(49, ran_at=NOW).reasons[0]
        assert "nobody could say" in self.step(49, seen=False).reasons[0]
        assert self.step(seen=False).waiting == ("app",)

    def test_an_image_that_nobody_foresaw_stops_it(self):
        assert "1 image went that nobody foresaw" in self.step(gone={digest(1), digest(2), digest(3)}).reasons[0]
        assert "nobody foresaw" in self.step(archived={digest(3)}).reasons[0]

    def test_expired_instead_of_archived_is_unforeseen(self):
        assert "nobody foresaw" in self.step(put=plan("app", 1, action="transition"), gone={digest(1)}).reasons[0]

    def test_but_not_one_that_came_of_age(self):
        gone = {digest(1), digest(2), digest(3)}
        assert self.step(gone=gone, legitimate=frozenset({digest(3)})).finished == ("app",)

    def test_a_policy_that_somebody_replaced_stops_it(self):
        assert self.step(policy_is_live=False).reasons == ("app: the policy is no longer the one that was put",)


def registry_with(names, *, pushes=4):
    registry = Registry.local()
    layer = local_images.layer({"a": "b"})
    for name in names:
        registry.gateway.create_repository(name)
        for n in range(pushes):
            local_images.image([layer], labels={"n": f"{name}{n}"}).push(registry.client, name, tag=f"v{n}")
            registry.engine.advance(HOUR)
    return registry


class TestOnTheEmbeddedEcr:
    def test_from_the_first_wave_to_the_last_saved_in_between(self):
        names = [f"app{n}" for n in range(5)]
        with registry_with(names) as registry:
            roll_out = begin([registry.lifecycle.plan(name, POLICY) for name in names], shares=(0.2, 1))
            seen = []
            for _ in range(12):
                roll_out = RollOut.from_dict(registry.lifecycle.advance(roll_out).to_json())
                seen.append((roll_out.status, roll_out.wave))
                registry.engine.advance(dt.timedelta(hours=7))
            assert roll_out.status == "done"
            assert set(roll_out.finished) == set(names)
            assert [s for n, s in enumerate(seen) if n == 0 or s != seen[n - 1]] == [
                ("waiting", 0), ("ready", 1), ("waiting", 1), ("done", 2),
            ]  # fmt: skip
            assert all(len(registry.images(name).all()) == 2 for name in names)
            assert registry.lifecycle.advance(roll_out) == roll_out

    def test_new_pushes_and_age_are_no_surprise(self):
        with registry_with(["app"]) as registry:
            policy = build(keep_last(2, prefixes="v"), expire_untagged(after_days=1))
            roll_out = registry.lifecycle.advance(begin([registry.lifecycle.plan("app", policy)]))
            layer = local_images.layer({"a": "b"})
            for n in range(3):
                local_images.image([layer], labels={"n": f"new{n}"}).push(registry.client, "app", tag=f"v9{n}")
            local_images.image([layer], labels={"n": "last"}).push(registry.client, "app", tag="v3")  # takes v3 away
            registry.engine.advance(dt.timedelta(hours=30))
            roll_out = registry.lifecycle.advance(roll_out)
            assert roll_out.status == "done", roll_out.reasons

    def test_a_deletion_by_hand_stops_it(self):
        from ecrkit.aws.ecr import plan_deletion

        with registry_with(["app-a", "app-b"]) as registry:
            plans = [registry.lifecycle.plan(name, POLICY) for name in ("app-a", "app-b")]
            roll_out = registry.lifecycle.advance(begin(plans, shares=(0.5, 1)))
            newest = registry.inventory("app-a").by_tag("v3")
            registry.gateway.delete_images(plan_deletion("app-a", [newest]))
            registry.engine.advance(dt.timedelta(hours=30))
            roll_out = registry.lifecycle.advance(roll_out)
            assert roll_out.status == "stopped"
            assert "nobody foresaw" in roll_out.reasons[0]
            assert newest.digest in roll_out.reasons[0]
            assert registry.lifecycle.policy("app-b") is None
            assert registry.lifecycle.advance(roll_out) == roll_out

    def test_an_image_deleted_and_pushed_again_is_seen_in_the_events(self):
        from ecrkit.aws.ecr import plan_deletion

        with registry_with(["app-a"]) as registry:
            roll_out = registry.lifecycle.advance(begin([registry.lifecycle.plan("app-a", POLICY)]))
            registry.engine.advance(HOUR)
            newest = registry.inventory("app-a").by_tag("v3")
            registry.gateway.delete_images(plan_deletion("app-a", [newest]))
            local_images.image([local_images.layer({"a": "b"})], labels={"n": "app-a3"}).push(
                registry.client, "app-a", tag="v3"
            )
            registry.engine.advance(dt.timedelta(hours=30))
            assert registry.inventory("app-a").by_tag("v3").digest == newest.digest
            events = [parse_event(e.to_eventbridge()) for e in registry.engine.events if hasattr(e, "to_eventbridge")]
            assert registry.lifecycle.advance(roll_out).status == "done"
            assert registry.lifecycle.advance(roll_out, events=events).status == "stopped"

    def test_a_plan_that_no_longer_holds_stops_the_wave(self):
        with registry_with(["app-a", "app-b"]) as registry:
            plans = [registry.lifecycle.plan(name, POLICY) for name in ("app-a", "app-b")]
            layer = local_images.layer({"a": "b"})
            local_images.image([layer], labels={"n": "x"}).push(registry.client, "app-a", tag="v9")
            roll_out = registry.lifecycle.advance(begin(plans, shares=(1,)))
            assert roll_out.status == "stopped"
            assert "no longer holds" in roll_out.reasons[0]
            assert registry.lifecycle.policy("app-a") is registry.lifecycle.policy("app-b") is None

    def test_a_step_that_nobody_saved_is_taken_again(self):
        with registry_with(["app-a"]) as registry:
            roll_out = begin([registry.lifecycle.plan("app-a", POLICY)])
            registry.lifecycle.advance(roll_out)  # put, and then the process died
            roll_out = registry.lifecycle.advance(roll_out)
            assert roll_out.status == "waiting"
            registry.engine.advance(dt.timedelta(hours=30))
            assert registry.lifecycle.advance(roll_out).status == "done"

    def test_archiving_as_foreseen_and_what_was_archived_before(self):
        with registry_with(["app-a"]) as registry:
            before = registry.inventory("app-a").by_tag("v0").digest
            registry.gateway.update_storage_class("app-a", before, "archive")
            registry.engine.advance(dt.timedelta(days=9))
            plan = registry.lifecycle.plan("app-a", build(archive_unpulled(5)))
            assert set(plan.actions.values()) == {"transition"}
            assert before not in plan.actions
            roll_out = registry.lifecycle.advance(begin([plan]))
            assert registry.lifecycle.advance(roll_out).status == "waiting"
            registry.engine.advance(dt.timedelta(hours=30))
            assert registry.lifecycle.advance(roll_out).status == "done"

    def test_an_image_archived_by_hand_stops_it(self):
        with registry_with(["app-a"]) as registry:
            roll_out = registry.lifecycle.advance(begin([registry.lifecycle.plan("app-a", POLICY)]))
            newest = registry.inventory("app-a").by_tag("v3").digest
            registry.gateway.update_storage_class("app-a", newest, "archive")
            registry.engine.advance(dt.timedelta(hours=30))
            assert "nobody foresaw" in registry.lifecycle.advance(roll_out).reasons[0]

    def test_progress_and_words(self):
        with registry_with(["app-a"]) as registry:
            told = []
            roll_out = begin([registry.lifecycle.plan("app-a", POLICY)])
            assert repr(roll_out) == "<RollOut ready, wave 1 of 1, 0 of 1 repository finished>"
            roll_out = registry.lifecycle.advance(roll_out, on_progress=told.append)
            registry.lifecycle.advance(roll_out, on_progress=told.append)
            assert [p.what for p in told] == ["policies put", "repositories looked at"]


class TestSaved:
    def saved(self, **more):
        with registry_with(["app-a"], pushes=3) as registry:
            roll_out = registry.lifecycle.advance(begin([registry.lifecycle.plan("app-a", POLICY)]))
        assert RollOut.from_dict(roll_out.to_dict()) == roll_out
        return json.loads(roll_out.to_json()) | more

    @pytest.mark.parametrize(
        ("more", "path"),
        [
            ({"format": 2}, "$.format"), ({"status": "x"}, "$.status"), ({"wave": -1}, "$.wave"),
            ({"waves": 3}, "$.waves"), ({"waves": [[{}]]}, "$.waves[0][0].actions"), ({"put_at": {"a": "x"}}, "$.put_at.a"),
            ({"put_at": 3}, "$.put_at"), ({"before": 3}, "$.before"), ({"before": {"a": {}}}, "$.before.a"),
            ({"before": {"a": {"images": [{"digest": 3}], "children": {}}}}, "$.before.a"),
            ({"reasons": "x"}, "$.reasons"), ({"surplus": 1}, "$.surplus"),
        ],
    )  # fmt: skip
    def test_what_is_none(self, more, path):
        with pytest.raises(InvalidInput) as caught:
            RollOut.from_dict(self.saved(**more))
        assert path in [p.path for p in caught.value.problems]

    @pytest.mark.parametrize("document", ["{", "[]", {}])
    def test_what_is_no_document(self, document):
        with pytest.raises(InvalidInput):
            RollOut.from_dict(document)
