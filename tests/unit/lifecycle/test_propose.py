"""Proposals: what must stay stays, the least besides does, and a goal that contradicts itself says where."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.deployments import Gap, InUse, Use, Workload
from ecrkit.errors import InvalidInput, PlanRefused
from ecrkit.images import Inventory
from ecrkit.images.conventions import TagConventions
from ecrkit.lifecycle import (
    Family,
    Goal,
    build,
    by_convention,
    families_of,
    fit_pushes,
    keep_last,
    must_stay,
    propose,
    simulate,
)
from ecrkit.lifecycle.goal import with_tags
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(n):
    return "sha256:" + f"{n:064x}"


def image(n, *tags, days=0.0, **more):
    return Image(digest=digest(n), tags=tags, pushed_at=NOW - dt.timedelta(days=days), **({"size": 1000} | more))


def running(*references, gaps=()):
    api = Workload(platform="kubernetes", cluster="prod", namespace="pay", kind="Deployment", name="api")
    return InUse([Use(reference=f"{HOST}/app{r}", workload=api) for r in references], gaps=gaps)


def repository(images, **more):
    return Inventory(images, repository="app", **more)


RELEASES = [image(n, f"v1.{n}", days=100 - n) for n in range(40)]


class TestFamilies:
    @pytest.mark.parametrize(
        ("tags", "wanted"),
        [
            (["v1.2.3"], [("v*.*.*", "release")]),
            (["pr-12", "pr-9"], [("pr-*", "temporary")]),
            (["dev-main-3f9a2c1"], [("dev-main-*", "temporary")]),
            (["3f9a2c1"], [("*", "temporary")]),
            (["4711"], [("*", "release")]),
            (["latest", "stable"], []),
            (["1.2.3.4.5.6"], [("*.*.*.*", "release")]),
            (["prod-1", "v2"], [("prod-*", "release"), ("v*", "release")]),
            (["device-1"], [("device-*", "release")]),
            (["Nightly-2"], [("Nightly-*", "release")]),
        ],
    )
    def test_from_tags(self, tags, wanted):
        assert [(f.pattern, f.kind) for f in families_of([image(n, t) for n, t in enumerate(tags)])] == wanted

    def test_a_pattern_selects_the_tags_it_came_from_and_has_at_most_four_wildcards(self):
        from ecrkit.lifecycle.glob import matches

        for tag in ("1.2.3.4.5.6", "a1b2c3d4e5f6-1.2.3-rc.4", "v1", "20261125-1200", "x1-y2-z3-w4-v5"):
            [family] = families_of([image(1, tag)])
            assert matches(family.pattern, tag)
            assert family.pattern.count("*") <= 4


class TestConventions:
    def test_families_of_conventions(self):
        kinds = {
            "prod-{version}": "release", "dev-{branch}-{sha}": "temporary", "pr-{n}-{sha}": "temporary",
            "staging-{timestamp}": "temporary",
        }  # fmt: skip
        conventions = TagConventions.of(*kinds)
        assert [Family.of(c).kind for c in conventions] == list(kinds.values())
        assert Family.of(conventions["staging-{timestamp}"], "release").kind == "release"

    def test_pushes_by_convention(self):
        images = [image(n, f"prod-1.{n}.0", days=n) for n in range(30)] + [
            image(100 + n, f"x{n}", days=n) for n in range(30)
        ]
        model = fit_pushes(repository(images), now=NOW, group=by_convention(TagConventions.of("prod-{version}")))
        assert {g.name: len(g.weeks) for g in model.groups} == {"prod-{version}": 4, "xN": 4}


class TestWhatMustStay:
    def found(self, images, goal, uses=None, **more):
        inventory = repository(images, **more)
        return must_stay(inventory, goal, now=NOW, families=families_of(images), in_use=uses)

    def test_releases_by_number(self):
        found = self.found(RELEASES, Goal(keep_releases=2))
        assert found == {
            digest(39): ("one of the newest 2 of v*.*",), digest(38): ("one of the newest 2 of v*.*",),
        }  # fmt: skip

    def test_temporary_ones_by_age(self):
        pulls = [image(n, f"pr-{n}", days=n) for n in range(30)]
        assert len(self.found(pulls, Goal(temporary_days=14))) == 15

    def test_untagged_ones_by_age_but_not_what_hangs_on_others(self):
        images = [
            image(1, "multi", days=3, manifest_media_type=INDEX), image(2, days=3), image(3, days=3),
            image(4, days=3, subject_digest=digest(1)), image(5, days=9),
        ]  # fmt: skip
        assert self.found(images, Goal(untagged_days=7), children={digest(1): [digest(2)]}).keys() == {digest(3)}

    def test_in_use_and_the_steps_back_from_it(self):
        found = self.found(RELEASES, Goal(keep_releases=1, rollback_depth=2), running(":v1.20"))
        assert found.keys() == {digest(n) for n in (39, 20, 19, 18)}
        assert found[digest(20)] == ("in use by kubernetes prod/pay Deployment api",)
        assert found[digest(19)] == ("a step back from v1.20, which is in use",)

    def test_never_deleted_and_young(self):
        found = self.found(
            [image(1, "lts-1", days=900), image(2, "x", days=2)], Goal(never_delete=("lts-*",), keep_days=3)
        )
        assert found[digest(1)][0] == "tags like lts-* are never deleted"
        assert found[digest(2)] == ("pushed within 3 days",)

    def test_an_index_is_kept_for_the_child_that_runs(self):
        images = [image(1, "v1.1", days=90, manifest_media_type=INDEX), image(2, days=90), image(3, "v1.2")]
        found = self.found(images, Goal(keep_releases=1), running(f"@{digest(2)}"), children={digest(1): [digest(2)]})
        assert found[digest(1)] == (f"holds {digest(2)[:19]}, which must stay",)

    def test_a_ring_of_indexes_ends(self):
        images = [image(n, days=90, manifest_media_type=INDEX) for n in (1, 2)]
        ring = {digest(1): [digest(2)], digest(2): [digest(1)]}
        assert self.found(images, Goal(), running(f"@{digest(2)}"), children=ring).keys() == {digest(1), digest(2)}


class TestProposals:
    def test_nothing_in_use_is_the_goal_itself(self):
        found = propose(repository(RELEASES), Goal(keep_releases=5), now=NOW)
        assert str(found.policy).splitlines()[0] == "rule 1: expire images tagged v*.* beyond the newest 5"
        assert len(found.run.expired) == 35
        assert [c.name for c in found.candidates] == ["wider limits"]

    def test_one_image_far_back_gets_a_rule_of_its_own(self):
        found = propose(repository(RELEASES), Goal(keep_releases=5), now=NOW, in_use=running(":v1.3"))
        assert str(found.policy).splitlines()[:2] == [
            "rule 1: expire images tagged v1.3 beyond the newest 1000000",
            "rule 2: expire images tagged v*.* beyond the newest 5",
        ]
        assert len(found.run.expired) == 34
        assert found.reasons[0].why == "in use by kubernetes prod/pay Deployment api"
        assert [r.takes for r in found.reasons] == [0, 34, 0]
        assert [r.keeps for r in found.reasons] == [1, 5, 0]
        wider = next(c for c in found.candidates if c.name == "wider limits")
        assert wider.loses == 0
        assert not wider.chosen
        assert wider.left.high > found.left.high

    def test_many_in_a_row_get_a_wider_limit(self):
        uses = running(*(f":v1.{n}" for n in range(20, 40)))
        found = propose(repository(RELEASES), Goal(keep_releases=5), now=NOW, in_use=uses)
        assert str(found.policy).splitlines()[0] == "rule 1: expire images tagged v*.* beyond the newest 20"
        assert "20 instead of 5" in found.reasons[0].why

    def test_more_images_in_use_than_rules(self):
        many = [image(n, f"v1.{n}", days=1000 - n) for n in range(300)]
        uses = running(*(f":v1.{n}" for n in range(0, 280, 4)))  # seventy, three apart from each other
        found = propose(repository(many), Goal(keep_releases=5), now=NOW, in_use=uses)
        assert len(found.policy) <= 50
        assert not set(found.run.expired) & found.must_stay.keys()
        # 48 rules for the farthest of them, and the limit reaches to the forty-ninth.
        assert {c.name: c.loses for c in found.candidates}["rules where they spare most"] == 0
        best = next(c for c in found.candidates if c.chosen)
        assert best.name == "rules where they spare most"
        assert best.left.high < next(c for c in found.candidates if c.name == "wider limits").left.high

    def test_an_untagged_image_in_use_needs_a_tag(self):
        images = [image(1, days=30), image(2, days=40), image(3, "latest")]
        found = propose(repository(images), Goal(), now=NOW, in_use=running(f"@{digest(1)}"))
        assert found.protective_tags == {digest(1): f"in-use-{digest(1)[7:19]}"}
        assert found.run.expired == (digest(2),)
        assert "tag " + digest(1) in found.to_text()
        bare = simulate(found.policy, repository(images), now=NOW)
        assert digest(1) in bare.expired  # so the tag is needed

    def test_temporary_images_in_use_widen_the_days_or_get_a_rule(self):
        pulls = [image(n, f"pr-{n}", days=n) for n in range(60)]
        found = propose(repository(pulls), Goal(temporary_days=14), now=NOW, in_use=running(":pr-50"))
        assert "pr-50" in str(found.policy)
        assert len(found.run.kept) == 16

    def test_releases_come_before_temporary_tags(self):
        both = [image(1, "v1.0", "pr-1", days=90), image(2, "pr-2", days=90)]
        found = propose(repository(both), Goal(), now=NOW)
        assert found.run.expired == (digest(2),)

    def test_families_of_ones_own(self):
        images = [image(n, f"rel-{n}", days=n) for n in range(9)]
        wanted = [Family(pattern="rel-*", kind="temporary")]
        found = propose(repository(images), Goal(temporary_days=4), now=NOW, families=wanted)
        assert len(found.run.expired) == 4

    def test_a_pattern_that_is_never_deleted_is_no_family_too(self):
        found = propose(repository(RELEASES), Goal(never_delete=("v*.*",)), now=NOW)
        assert found.run.expired == ()
        assert len(found.policy) == 2

    def test_against_the_live_policy(self):
        found = propose(repository(RELEASES), Goal(keep_releases=5), now=NOW)
        assert found.against(build(keep_last(20))).counts == {("keep", "expire"): 15}
        assert found.against(None).counts == {("keep", "expire"): 35}

    def test_what_people_and_programs_get(self):
        found = propose(repository(RELEASES), Goal(keep_releases=5), now=NOW, in_use=running(":v1.3"))
        assert repr(found).startswith("<Proposal for app: 3 rules, 34 of 40 images go, ")
        assert found.to_dict()["must_stay"][digest(3)] == ["in use by kubernetes prod/pay Deployment api"]
        assert "wider limits" in found.to_text()
        assert "<table>" in found._repr_html_()


class TestSignatures:
    """A rule for untagged images would take the signatures of images that stay."""

    SIGNED = (*RELEASES, *(image(100 + n, days=100 - n, subject_digest=digest(n)) for n in range(40)))

    def test_they_stay_with_their_image_and_go_with_it(self):
        found = propose(repository([*self.SIGNED, image(200, days=50)]), Goal(keep_releases=5), now=NOW)
        assert str(found.policy) == "rule 1: expire images tagged v*.* beyond the newest 5"
        assert set(found.run.cascaded) == {digest(100 + n) for n in range(35)}
        assert {digest(100 + n) for n in range(35, 40)} <= set(found.run.kept)
        assert found.must_stay[digest(139)] == (f"refers to {digest(39)[:19]}, which must stay",)
        assert "5 untagged referrers" in found.warnings[0]

    def test_tagged_ones_need_no_such_care(self):
        tagged = image(100, "sha256-" + "0" * 64 + ".sig", days=1, subject_digest=digest(39))
        found = propose(repository([*RELEASES, tagged]), Goal(keep_releases=5), now=NOW)
        assert "untagged" in str(found.policy)

    def test_nothing_that_a_rule_could_take(self):
        images = [image(1, "latest"), image(2, subject_digest=digest(1))]
        with pytest.raises(PlanRefused, match="no rule would take anything"):
            propose(repository(images), Goal(keep_days=2), now=NOW)


class TestGoalsThatContradictThemselves:
    def test_a_budget_that_what_must_stay_exceeds(self):
        with pytest.raises(PlanRefused) as caught:
            propose(repository(RELEASES), Goal(keep_releases=5, max_bytes=2000), now=NOW, in_use=running(":v1.3"))
        told = "\n".join(caught.value.conflicts)
        assert "max_bytes: the best policy leaves" in told
        assert "keep_releases: 5 images with 0 B to 4.9 KiB must stay for it" in told
        assert "in_use: 1 image with 0 B to 1000 B must stay for it" in told

    def test_images_that_no_rule_takes(self):
        with pytest.raises(PlanRefused, match="1 more image stays") as caught:
            propose(repository([image(1, "latest", days=99)]), Goal(max_bytes=1), now=NOW)
        assert "no part: 1 more image stays, of moving tags" in caught.value.conflicts[-1]

    def test_more_patterns_than_rules(self):
        goal = Goal(never_delete=tuple(f"a{n}-*" for n in range(60)))
        with pytest.raises(PlanRefused) as caught:
            propose(repository(RELEASES), goal, now=NOW)
        assert "needs 62 rules, ECR takes 50" in caught.value.conflicts[0]

    def test_a_signature_that_is_kept_of_an_image_that_is_not(self):
        signature = image(99, "sig-lts", subject_digest=digest(0))
        with pytest.raises(PlanRefused, match="must stay and would go"):
            propose(repository([*RELEASES, signature]), Goal(keep_releases=5, never_delete=("sig-*",)), now=NOW)

    @pytest.mark.parametrize(
        ("options", "path"),
        [
            ({"keep_releases": 0}, "keep_releases"), ({"temporary_days": 0}, "temporary_days"),
            ({"untagged_days": True}, "untagged_days"), ({"keep_days": -1}, "keep_days"),
            ({"rollback_depth": 1.5}, "rollback_depth"), ({"max_bytes": -1}, "max_bytes"),
            ({"never_delete": ("a*b*c*d*e*",)}, "never_delete[0]"),
        ],
    )  # fmt: skip
    def test_what_is_no_goal(self, options, path):
        with pytest.raises(InvalidInput) as caught:
            Goal(**options)
        assert [p.path for p in caught.value.problems] == [path]


class TestWhatTheProofDoesNotCover:
    def test_each(self):
        images = [*RELEASES, image(99, "multi", manifest_media_type=INDEX)]
        uses = running(":gone", gaps=[Gap(where="pod x", why="denied")])
        found = propose(repository(images), Goal(keep_days=3), now=NOW, in_use=uses)
        told = "\n".join(found.warnings)
        for words in (
            "a burst of more than the count",
            "pod x: denied",
            "not in the repository",
            "1 index was not read",
        ):
            assert words in told


tags = st.sampled_from(["v1.{}", "v2.{}", "pr-{}", "latest", "dev-{:07x}a", "{}", "rel-{}.0.0"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sets(tags, max_size=2), st.integers(0, 400), st.booleans()), max_size=25),
    st.integers(1, 5), st.integers(1, 30), st.integers(0, 20), st.integers(0, 2), st.data(),
)  # fmt: skip
def test_whatever_the_inventory_nothing_that_must_stay_goes(listed, releases, days, young, depth, data):
    images, children = [], {}
    for n, (forms, age, holds) in enumerate(listed):
        named = {form.format(n) for form in forms if form != "latest" or n == 0}
        is_index = holds and n > 1
        if is_index:
            children[digest(n)] = [digest(data.draw(st.integers(0, n - 1)))]
        subject = digest(data.draw(st.integers(0, n - 1))) if n and data.draw(st.integers(0, 3)) == 0 else None
        kind = INDEX if is_index else None
        images.append(image(n, *sorted(named), days=age / 7, manifest_media_type=kind, subject_digest=subject))
    inventory = repository(images, children=children)
    used = data.draw(st.sets(st.sampled_from(range(max(len(images), 1))), max_size=4)) if images else set()
    uses = running(*(f"@{digest(n)}" for n in used))
    goal = Goal(keep_releases=releases, temporary_days=days, keep_days=young, rollback_depth=depth)
    must = must_stay(inventory, goal, now=NOW, families=families_of(inventory), in_use=uses)
    found, conflicts = None, ()
    try:
        found = propose(inventory, goal, now=NOW, in_use=uses)
    except PlanRefused as fault:
        conflicts = fault.conflicts
    # Never silently: an image that must stay refers to one that may go, or no rule would take anything.
    assert all("must stay and would go" in c or "no rule would take" in c for c in conflicts)
    if found is None:
        assert conflicts
        return
    assert found.must_stay == must
    # Proved again on the inventory as it is once the protective tags are put.
    run = simulate(found.policy, with_tags(inventory, found.protective_tags), now=NOW)
    assert not {*run.expired, *run.transitioned, *run.cascaded} & must.keys()
    assert {digest(n) for n in used} <= set(run.kept)
