"""Rules and templates planned, applied, and checked again before anything is done."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from ecrkit.client import Registry
from ecrkit.errors import AwsCallFailed, InvalidPolicy, PlanOutdated
from ecrkit.pull_through import PullThroughCache, PullThroughRule, RuleValidation, cache_report
from ecrkit.records import CreationTemplate

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:ecr-pullthroughcache/hub-a1b2c3"
HUB = PullThroughRule(prefix="hub", upstream_url="registry-1.docker.io", credential_arn=SECRET)
QUAY = PullThroughRule(prefix="quay", upstream_url="quay.io")
TEMPLATE = CreationTemplate(prefix="quay", applied_for=("PULL_THROUGH_CACHE",), tag_mutability="MUTABLE")


class TestPlan:
    """A plan reads; apply does what the plan says, in an order that works, or nothing."""

    def test_creates_rules_behind_their_templates(self) -> None:
        with Registry.local() as registry:
            plan = registry.pull_through.plan([HUB, QUAY], templates=[TEMPLATE])
            assert [s.kind for s in plan.steps] == ["create template", "create rule", "create rule"]
            assert "hub: no creation template is for it" in plan.explain()
            assert "quay: template quay has no lifecycle policy" in plan.explain()
            assert registry.gateway.pull_through_rules().all() == ()
            registry.pull_through.apply(plan)
            assert [str(r) for r in registry.gateway.pull_through_rules()] == [
                "hub <- registry-1.docker.io",
                "quay <- quay.io",
            ]
            again = registry.pull_through.plan([HUB, QUAY], templates=[TEMPLATE])
            assert (again.needed, again.explain().splitlines()[0]) == (False, "nothing to change")
            assert registry.pull_through.apply(again) == ()

    def test_changes_replaces_and_deletes(self) -> None:
        with Registry.local() as registry:
            service = registry.pull_through
            service.apply(service.plan([HUB, QUAY]))
            other = attrs.evolve(HUB, credential_arn=SECRET.replace("hub-", "new-"))
            moved = attrs.evolve(QUAY, upstream_prefix="team")
            plan = service.plan([other, moved], keep_others=False)
            assert [s.kind for s in plan.steps] == ["update rule", "replace rule"]
            service.apply(plan)
            assert [r.credential_arn for r in registry.gateway.pull_through_rules()] == [other.credential_arn, None]
            assert [s.kind for s in service.plan([other]).steps] == []
            gone = service.plan([other], keep_others=False)
            assert [str(s) for s in gone.steps] == ["delete rule quay <- quay.io/team"]
            service.apply(gone)
            assert [r.prefix for r in registry.gateway.pull_through_rules()] == ["hub"]

    def test_templates_change(self) -> None:
        with Registry.local() as registry:
            service = registry.pull_through
            service.apply(service.plan([QUAY], templates=[TEMPLATE]))
            immutable = attrs.evolve(TEMPLATE, tag_mutability="IMMUTABLE")
            plan = service.plan([QUAY], templates=[immutable])
            assert [s.kind for s in plan.steps] == ["update template"]
            assert "a tag that moves upstream cannot follow" in plan.explain()
            service.apply(plan)
            assert registry.gateway.creation_templates().all()[0].tag_mutability == "IMMUTABLE"

    def test_what_changed_meanwhile_stops_everything(self) -> None:
        with Registry.local() as registry:
            plan = registry.pull_through.plan([HUB])
            registry.gateway.create_pull_through_rule(QUAY)
            with pytest.raises(PlanOutdated):
                registry.pull_through.apply(plan)
            assert [r.prefix for r in registry.gateway.pull_through_rules()] == ["quay"]

    def test_faulty_rules_are_refused_with_every_fault(self) -> None:
        with Registry.local() as registry, pytest.raises(InvalidPolicy) as caught:
            registry.pull_through.plan([attrs.evolve(HUB, credential_arn=None), attrs.evolve(QUAY, prefix="Q")])
        assert [p.path for p in caught.value.problems] == ["$[0].credential_arn", "$[1].prefix"]

    def test_a_rule_that_cannot_be_made_again_is_put_back(self) -> None:
        with Registry.local() as registry:
            service = registry.pull_through
            service.apply(service.plan([HUB]))
            plan = service.plan([attrs.evolve(HUB, upstream_prefix="team", credential_arn=SECRET + "x")])
            registry.engine.pull_through.lose_secret(SECRET + "x")
            with pytest.raises(AwsCallFailed):
                service.apply(plan)
            assert [(r.prefix, r.upstream_prefix) for r in registry.gateway.pull_through_rules()] == [("hub", "ROOT")]

    @pytest.mark.parametrize(("valid", "ok"), [(True, True), (None, False), (False, False)])
    def test_a_rule_that_nobody_could_try_is_not_fine(self, valid: bool | None, ok: bool) -> None:
        cache = PullThroughCache.of("123456789012.dkr.ecr.eu-west-1.amazonaws.com", [HUB])
        told = {HUB.prefix: RuleValidation(prefix=HUB.prefix, valid=valid, failure=None if valid else "AccessDenied")}
        report = cache_report(cache, [], now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), validations=told)
        assert report.ok is ok
        assert ("AccessDenied" in str(report)) is not ok

    def test_validation_has_a_third_answer(self) -> None:
        with Registry.local() as registry:
            service = registry.pull_through
            service.apply(service.plan([HUB, QUAY]))
            registry.engine.pull_through.connect("quay.io", lambda *_: None)
            registry.engine.pull_through.reject_secret(SECRET)
            answers = service.validate()
            assert {name: a.valid for name, a in answers.items()} == {"hub": False, "quay": True}
            assert "authentication to the upstream registry failed" in str(answers["hub"].failure)
            assert service.validate("none")["none"].valid is None
