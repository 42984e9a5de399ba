"""Edges that no documented sentence names but that a changed operator would move."""

import datetime as dt

import pytest

from ecrkit.errors import PlanOutdated, PlanRefused
from ecrkit.lifecycle import LifecyclePolicy, build, expire_older_than, keep_last, simulate
from ecrkit.lifecycle.plan import make_plan
from ecrkit.local import Engine
from ecrkit.local.images import image, index, layer, push

DAY = dt.timedelta(days=1)


class TestStrictLimitsOfEveryClock:
    """An age of exactly N days is not older than N days, whatever it is measured from."""

    @pytest.mark.parametrize(("seconds", "goes"), [(0, False), (1, True)])
    @pytest.mark.parametrize("source", ["last_pulled_at", "pushed_at", "last_activated_at"])
    def test_pulled(self, kit, source, seconds, goes):
        at = kit.now - 30 * DAY - dt.timedelta(seconds=seconds)
        days = 30 + seconds / 86400 if source == "pushed_at" else 99
        one = kit.image("a", "x", days=days, **({} if source == "pushed_at" else {source: at}))
        rule = kit.selection("any", 30, kind="sinceImagePulled")
        run = simulate(kit.policy(rule, action="transition"), kit.inventory([one]), now=kit.now)
        assert bool(run.transitioned) is goes

    @pytest.mark.parametrize(("seconds", "goes"), [(0, False), (1, True)])
    def test_transitioned(self, kit, seconds, goes):
        at = kit.now - 90 * DAY - dt.timedelta(seconds=seconds)
        one = kit.image("a", days=99, status="ARCHIVED", last_archived_at=at)
        rule = kit.selection("any", 90, kind="sinceImageTransitioned", storageClass="archive")
        assert bool(simulate(kit.policy(rule), kit.inventory([one]), now=kit.now).expired) is goes


class TestReferrersThatAreSettled:
    """A referrer that a rule acts on, or that followed another subject already, is not moved again."""

    def test_own_rule_first_and_each_once(self, kit):
        app = kit.image("app", "v", days=9)
        own = kit.image("own", "s", days=9, subject_digest=app.digest)
        loop = kit.image("loop", "l1", days=9, subject_digest=kit.digest("knot"))
        knot = kit.image("knot", "l2", days=9, subject_digest=loop.digest)
        tied = kit.image("tied", "l3", days=9, subject_digest=own.digest)
        rules = kit.policy(*(kit.selection("tagged", 2, kind="sinceImagePushed", tagPrefixList=[p]) for p in "vs"))
        run = simulate(rules, kit.inventory([app, own, loop, knot, tied]), now=kit.now)
        assert set(run.expired) == {app.digest, own.digest}
        assert run.cascaded == (tied.digest,)

    def test_a_ring_of_referrers_ends(self, kit):
        ring = [kit.image(a, a, days=9, subject_digest=kit.digest(b)) for a, b in ("ab", "bc", "ca")]
        rules = kit.policy(kit.selection("tagged", 2, kind="sinceImagePushed", tagPrefixList=["a"]))
        run = simulate(rules, kit.inventory(ring), now=kit.now)
        assert (run.expired, set(run.cascaded)) == ((kit.digest("a"),), {kit.digest("b"), kit.digest("c")})

    def test_an_archived_referrer_still_expires_with_its_subject(self, kit):
        app = kit.image("app", days=9)
        cold = kit.image("cold", "c", subject_digest=app.digest, status="ARCHIVED", last_archived_at=kit.now - DAY)
        rules = kit.policy(kit.selection("untagged", 2, kind="sinceImagePushed"))
        assert simulate(rules, kit.inventory([app, cold]), now=kit.now).cascaded == (cold.digest,)


class TestOrderOfExpiry:
    """Longest in its class first: the archive time counts for archived images only."""

    def test_mixed(self, kit):
        cold = kit.image("cold", days=400, status="ARCHIVED", last_archived_at=kit.now - 95 * DAY)
        colder = kit.image("colder", days=350, status="ARCHIVED", last_archived_at=kit.now - 120 * DAY)
        warm = kit.image("warm", days=100, last_archived_at=kit.now - 300 * DAY)
        hot = kit.image("hot", days=110)
        rules = kit.policy(
            kit.selection("any", 2, kind="sinceImagePushed"),
            kit.selection("any", 90, kind="sinceImageTransitioned", storageClass="archive"),
        )
        run = simulate(rules, kit.inventory([cold, colder, warm, hot]), now=kit.now)
        assert run.expired == tuple(map(kit.digest, ("colder", "hot", "warm", "cold")))


class TestTextsOfPolicies:
    """Written text: compact for ECR, indented on request, letters as they are."""

    def test_indent(self):
        policy = build(keep_last(3, prefixes="é", description="für"))
        assert policy.to_json(indent=2).splitlines()[1] == '  "rules": ['
        assert '": ' not in policy.to_json()
        assert "für" in policy.to_json()
        assert policy.normalised().rule(1).tag_prefixes == ("é",)

    def test_problems_of_a_mapping_are_not_lost_to_its_length(self):
        rule = build(keep_last(1)).to_dict()["rules"][0]
        faulty = {"rules": [{**rule, "rulePriority": n} for n in (*range(1, 300), 0)]}
        with pytest.raises(ValueError, match=r"rules\[299\]\.rulePriority"):
            LifecyclePolicy.parse(faulty)


class TestTheServiceOnTheRightRepository:
    """Every call names the repository that was asked about, and passes every choice on."""

    @pytest.fixture
    def registry(self):
        from ecrkit import Registry

        engine = Engine()
        with Registry.local(engine) as registry:
            for name in ("team/a", "team/b"):
                registry.gateway.create_repository(name)
            for n in range(3):
                push(image([layer({"n": bytes([n])})]), engine, "team/a", f"v{n}")
                engine.advance(DAY)
            child = image([layer({"p": b"1"})])
            push(child, engine, "team/b")
            engine.advance(DAY)
            push(index([child]), engine, "team/b", "multi")
            yield registry

    def test_each_call(self, registry):
        service, policy = registry.lifecycle, build(keep_last(1))
        assert service.policy("team/a") is None
        assert len(service.dry_run("team/a", policy).expired) == 2
        assert len(service.preview("team/a", policy).results) == 2
        plan = service.plan("team/a", policy)
        service.apply(plan)
        assert service.policy("team/a") == policy
        assert service.policy("team/b") is None
        assert len(service.dry_run("team/a").expired) == 2
        with pytest.raises(PlanOutdated, match="has a policy now"):
            service.apply(plan.from_dict({**plan.to_dict(), "policy_text": build(keep_last(1)).to_json()}))

    def test_progress_counts(self, registry):
        seen = []
        registry.lifecycle.inventory("team/b", exact_bytes=True, on_progress=seen.append)
        assert [(p.what, p.done, p.total) for p in seen] == [("images", 2, 2), ("manifests", 2, 2)]
        seen.clear()
        registry.lifecycle.dry_run("team/b", build(keep_last(9)), on_progress=seen.append)
        assert [(p.what, p.done, p.total) for p in seen] == [("images", 2, 2), ("manifests", 1, 1)]

    def test_bytes_are_exact_on_request(self, registry):
        policy = build(keep_last(1))
        assert not registry.lifecycle.dry_run("team/a", policy).freed.exact
        assert registry.lifecycle.dry_run("team/a", policy, exact_bytes=True).freed.exact

    def test_choices_are_passed_on(self, registry, kit):
        policy = build(keep_last(1))
        assert registry.lifecycle.dry_run("team/b", policy).blocked
        run = registry.lifecycle.dry_run("team/b", policy, count_children=False)
        assert not run.blocked
        plan = run.plan()
        assert plan.count_children is False
        assert not registry.lifecycle.apply(plan).blocked


def test_accepted_doubt_is_passed_on(kit):
    from tests.unit.lifecycle.test_service import Fake

    blind = kit.image("i", "multi", days=1, manifest_media_type=kit.index)
    fake = Fake(kit, [kit.image("a", days=9), blind])
    policy = build(expire_older_than(3))
    with pytest.raises(PlanRefused):
        fake.service.plan("app", policy)
    assert fake.service.plan("app", policy, accept_uncertain=True).accept_uncertain


class TestNamesOfWhatIsInUse:
    """A bare word protects the image of that tag; a name that cannot be read refuses the plan and says why."""

    def test_a_bare_tag(self, kit):
        old = kit.image("a", "v1", days=9)
        run = simulate(kit.policy(kit.selection("any", 1)), kit.inventory([old, kit.image("b", "v2")]), now=kit.now)
        with pytest.raises(PlanRefused, match="v1: v1@"):
            run.plan(protect=["v1"])
        assert run.plan(protect=["v2"]).protected == (kit.digest("b"),)

    def test_another_registry(self, kit):
        inventory = kit.inventory([kit.image("a", "v1")], repository="team/app")
        run = simulate(kit.policy(kit.selection("any", 1)), inventory, now=kit.now)
        with pytest.raises(PlanRefused, match="names no image of ECR"):
            run.plan(protect=["docker.io/library/nginx:1"])
        assert run.plan(protect=["nginx"]).protected == ()

    def test_each_name_counts_whatever_stands_before_it(self, kit):
        """Nothing in a list of what is in use may end the reading of it."""
        images = [kit.image(n, n, days=9) for n in ("a", "b")] + [kit.image("c", "c")]
        run = simulate(kit.policy(kit.selection("any", 1)), kit.inventory(images, repository="team/app"), now=kit.now)
        names = ["other/app:x", "team/app:gone", "not a reference!", "team/app:a", "other/app:y", "team/app:b"]
        with pytest.raises(PlanRefused) as caught:
            run.plan(protect=names)
        assert [text.split(": ")[0] for text in caught.value.conflicts] == [
            "team/app:gone", "not a reference!", "team/app:a", "team/app:b",
        ]  # fmt: skip

    def test_all_of_a_nested_index_is_in_use(self, kit):
        names = {"outer": ["inner", "plain"], "inner": ["x", "y"], "second": ["plain", "inner"]}
        images = [
            kit.image(n, manifest_media_type=kit.index if n in names else None) for n in (*names, "plain", "x", "y")
        ]
        children = {kit.digest(k): tuple(map(kit.digest, v)) for k, v in names.items()}
        run = simulate(kit.policy(kit.selection("any", 99)), kit.inventory(images, children=children), now=kit.now)
        wanted = {kit.digest(n) for n in ("outer", "inner", "plain", "x", "y")}
        assert set(run.plan(protect=[kit.digest("outer")]).protected) == wanted


def test_conflicts_and_doubt_are_told_together(kit):
    blind = kit.image("i", "multi", manifest_media_type=kit.index)
    run = simulate(
        kit.policy(kit.selection("any", 1)), kit.inventory([kit.image("a", "v", days=9), blind]), now=kit.now
    )
    with pytest.raises(PlanRefused, match="uncertain: ") as caught:
        run.plan(protect=["v"])
    assert caught.value.conflicts[0].startswith("v: ")
    with pytest.raises(PlanRefused):
        make_plan(run)
