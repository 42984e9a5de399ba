"""Keeping images in use under a policy that would take them: by rules or by tags, proved."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.deployments import InUse
from ecrkit.images import Inventory
from ecrkit.lifecycle import build, expire_older_than, expire_untagged, keep_last, protections, simulate
from ecrkit.lifecycle.goal import with_tags
from tests.unit.lifecycle.test_in_use import INDEX, RELEASES, digest, image, use

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
KEEP_ONE = build(keep_last(1))


def found(policy, images, *references, children=None):
    inventory = Inventory(images, repository="team/app", children=children or {})
    return protections(policy, inventory, InUse([use(r) for r in references]), now=NOW)


def test_nothing_in_use_would_go():
    protection = found(KEEP_ONE, RELEASES, "team/app:v0")
    assert (protection.endangered, protection.shields, protection.best) == ((), (), None)


def test_one_image_needs_one_rule_and_no_tag():
    best = found(KEEP_ONE, RELEASES, "team/app:v2").best
    assert (best.way, best.more_rules, best.tags, best.kept) == ("rules", 1, {}, 1)
    assert str(best.policy).splitlines()[0] == "rule 1: expire images tagged v2 beyond the newest 1000000"


def test_an_untagged_image_needs_a_tag_either_way():
    images = [image(1, days=9), image(2, days=9)]
    protection = found(build(expire_untagged(after_days=3)), images, f"team/app@{digest(1)}")
    assert [len(shield.tags) for shield in protection.shields] == [1, 1]
    assert protection.best.proved
    assert protection.best.kept == 1


def test_many_images_need_tags_since_rules_are_few():
    images = [image(n, f"v{n}", days=n) for n in range(80)]
    protection = found(KEEP_ONE, images, *(f"team/app:v{n}" for n in range(10, 70)))
    by_rules, by_tags = protection.shields
    assert by_rules.policy is None
    assert by_rules.fault == "needs 61 rules, and ECR takes 50"
    assert protection.best is by_tags
    assert (by_tags.more_rules, len(by_tags.tags), by_tags.kept) == (1, 60, 60)


def test_a_wildcard_rule_is_enough_for_three_images_only_with_tags():
    protection = found(KEEP_ONE, RELEASES, "team/app:v1", "team/app:v2", "team/app:v3")
    assert [(s.way, s.more_rules, len(s.tags), s.proved) for s in protection.shields] == [
        ("rules", 3, 0, True), ("tags", 1, 3, True),
    ]  # fmt: skip
    assert protection.best.way == "rules"


def test_keeping_an_index_keeps_its_children():
    images = [image(1, "v1", days=9, manifest_media_type=INDEX), image(2, days=9), image(3, days=9)]
    protection = found(build(expire_older_than(3)), images, "team/app:v1", children={digest(1): [digest(2)]})
    assert set(protection.endangered) == {digest(1), digest(2)}
    assert protection.best.more_rules == 1
    assert protection.best.kept == 2


def test_a_policy_without_room_for_a_rule():
    full = build(*(keep_last(1, prefixes=f"a{n}-") for n in range(49)), keep_last(1))
    protection = found(full, RELEASES, "team/app:v2")
    assert protection.best is None
    assert all(shield.fault for shield in protection.shields)


def test_what_people_and_programs_get():
    protection = found(KEEP_ONE, RELEASES, "team/app:v2")
    assert repr(protection) == "<Protection of team/app: 1 image in use would go>"
    assert "kubernetes prod/pay Deployment api" in protection.to_text()
    assert "Shield by rules: 1 more rule, 0 tags to put, proved" in protection.to_text()
    assert protection.to_dict()["endangered"] == [digest(2)]


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["v", "pr-", ""]), st.integers(0, 40)), min_size=1, max_size=12),
    st.sets(st.integers(0, 11), max_size=5),
    st.sampled_from([KEEP_ONE, build(keep_last(2, prefixes="v"), expire_older_than(5)), build(expire_untagged(after_days=2))]),
)  # fmt: skip
def test_a_proved_shield_keeps_every_image_in_use(listed, used, policy):
    images = [image(n, *([f"{tag}{n}"] if tag else []), days=age) for n, (tag, age) in enumerate(listed)]
    references = [f"team/app@{digest(n)}" for n in used if n < len(images)]
    protection = found(policy, images, *references)
    for shield in protection.shields:
        assert shield.proved
        run = simulate(shield.policy, with_tags(Inventory(images, repository="team/app"), shield.tags), now=NOW)
        assert not {*run.expired, *run.transitioned} & {digest(n) for n in used}


@pytest.mark.parametrize("policy", ["{}", {"rules": []}])
def test_a_faulty_policy_is_refused(policy):
    from ecrkit.lifecycle import LifecyclePolicyError

    with pytest.raises(LifecyclePolicyError):
        found(policy, RELEASES, "team/app:v2")
