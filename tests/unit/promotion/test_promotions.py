"""Promotions: gates whose third answer is a no, records of who and why, and the way back."""

from __future__ import annotations

import attrs
import pytest

from ecrkit import errors
from ecrkit.local.images import filler, image, push
from ecrkit.promotion import Environment, GateAnswer, Promotion, PromotionRecord, TagTaken
from tests.support.promotion import SOURCE, TARGET, holes


def app(registry, tag, seed, repository=SOURCE):
    return push(image([filler(4096, seed=seed)]), registry.client, repository, tag)


def promotion(**more):
    return Promotion(**{"source": f"{SOURCE}:v1", "target": f"{TARGET}:v1", "who": "dana", "why": "release 7", **more})


def broken(candidate):
    raise RuntimeError("no scanner today")


class TestGates:
    """Unknown is never fine: whatever is not a plain yes is a no."""

    @pytest.mark.parametrize(
        ("gate", "outcome"),
        [
            (lambda c: True, "pass"),
            (lambda c: False, "fail"),
            (lambda c: None, "undetermined"),
            (lambda c: 1, "undetermined"),
            (lambda c: "yes", "undetermined"),
            (broken, "undetermined"),
            (lambda c: GateAnswer(gate="x", outcome="pass"), "pass"),
            (lambda c: GateAnswer(gate="x", outcome="maybe"), "undetermined"),
        ],
    )
    def test_answers(self, registry, gate, outcome):
        digest = app(registry, "v1", "a")
        wanted = promotion(gates={"ok": lambda c: True, "gate": gate})
        plan = registry.promotion.plan_promotion(wanted)
        assert (plan.outcome, plan.answers[1].outcome, plan.answers[1].gate) == (outcome, outcome, "gate")
        if outcome == "pass":
            assert registry.promotion.promote(wanted).digest == digest
            return
        with pytest.raises(errors.GateRefused, match="gate") as refused:
            registry.promotion.promote(wanted)
        assert refused.value.verdict.outcome == outcome
        assert registry.gateway.digest_of(TARGET, "v1") is None
        assert not registry.engine.registry().repositories[TARGET].images

    def test_a_fail_outweighs_what_could_not_be_told(self, registry):
        app(registry, "v1", "a")
        plan = registry.promotion.plan_promotion(promotion(gates={"a": lambda c: None, "b": lambda c: False}))
        assert plan.outcome == "fail"
        assert "b: fail" in plan.explain()

    def test_a_gate_is_asked_about_the_digest(self, registry):
        digest = app(registry, "v1", "a")
        seen = []
        registry.promotion.promote(promotion(gates={"see": lambda c: seen.append(c) or True}))
        assert (seen[0].digest, seen[0].repository, seen[0].who) == (digest, SOURCE, "dana")

    def test_who_and_why_are_required(self):
        with pytest.raises(errors.InvalidInput) as wrong:
            promotion(who=" ", why="")
        assert [p.path for p in wrong.value.problems] == ["who", "why"]


class TestPlanAndRecheck:
    @pytest.mark.parametrize("repository", [SOURCE, TARGET])
    def test_outdated(self, registry, repository):
        app(registry, "v1", "a")
        plan = registry.promotion.plan_promotion(promotion(move=True))
        app(registry, "v1", "b", repository)
        with pytest.raises(errors.PlanOutdated):
            registry.promotion.promote(promotion(move=True), plan=plan)

    def test_the_target_holds_another_image(self, registry):
        app(registry, "v1", "a")
        app(registry, "v1", "b", TARGET)
        with pytest.raises(TagTaken):
            registry.promotion.promote(promotion())


class TestRecords:
    """A record says who, why and when; next to the image it is an OCI 1.1 referrer (OCI image specification)."""

    def test_returned(self, registry):
        former, digest = app(registry, "v1", "old", TARGET), app(registry, "v1", "new")
        record = registry.promotion.promote(promotion(move=True, gates={"ok": lambda c: True}))
        assert (record.digest, record.former, record.who, record.why) == (digest, former, "dana", "release 7")
        assert record.at == registry.clock.now() and record.gates[0].outcome == "pass"
        assert record.to_dict()["status"] == "promoted" and "dana" in str(record)

    def test_kept_in_the_registry_before_the_tag_is_set(self, registry):
        digest = app(registry, "v1", "a")
        record = registry.promotion.promote(promotion(gates={"ok": lambda c: True}), record_in_registry=True)
        puts = [c.params for c in registry.engine.calls if c.operation == "PutImage"]
        assert "imageTag" not in puts[-2] and puts[-1]["imageTag"] == "v1"
        assert registry.promotion.history(f"{TARGET}:v1") == (
            attrs.evolve(record, bytes_moved=0, gates=[GateAnswer(gate="ok", outcome="pass")]),
        )
        assert holes(registry, TARGET, digest, referrers=1) == []

    def test_no_second_record_for_what_is_there(self, registry):
        app(registry, "v1", "a")
        for status in ("promoted", "present"):
            assert registry.promotion.promote(promotion(), record_in_registry=True).status == status
        assert len(registry.promotion.history(f"{TARGET}:v1")) == 1

    def test_other_referrers_are_no_records(self):
        assert PromotionRecord.from_annotations({}, recorded="sha256:0") is None
        notes = {f"ecrkit.promotion.{n}": "x" for n in ("source", "target", "digest", "status")}
        assert PromotionRecord.from_annotations(notes, recorded="sha256:0") is None
        notes["ecrkit.promotion.status"] = "promoted"
        assert PromotionRecord.from_annotations(notes, recorded="sha256:0") is None


class TestRollback:
    def test_there_and_back(self, registry):
        former, digest = app(registry, "v1", "old", TARGET), app(registry, "v1", "new")
        record = registry.promotion.promote(promotion(move=True))
        assert registry.promotion.plan_rollback(record).to == former
        back = registry.promotion.roll_back(record, who="kim", why="errors", record_in_registry=True)
        assert (back.digest, back.former, back.status) == (former, digest, "rolled back")
        assert registry.gateway.digest_of(TARGET, "v1") == former
        assert [r.who for r in registry.promotion.history(f"{TARGET}:v1")] == ["kim"]
        # once more is no error
        assert registry.promotion.roll_back(record, who="kim", why="errors").digest == former

    def test_somebody_promoted_something_else_since(self, registry):
        app(registry, "v1", "old", TARGET), app(registry, "v1", "new")
        record = registry.promotion.promote(promotion(move=True))
        newer = app(registry, "v1", "newer", TARGET)
        with pytest.raises(errors.PlanOutdated, match=newer):
            registry.promotion.roll_back(record, who="kim", why="errors")
        assert registry.gateway.digest_of(TARGET, "v1") == newer

    def test_nothing_before(self, registry):
        app(registry, "v1", "new")
        record = registry.promotion.promote(promotion())
        with pytest.raises(errors.PlanRefused, match="nothing to go back to"):
            registry.promotion.roll_back(record, who="kim", why="errors")

    @pytest.mark.parametrize(("fate", "said"), [("deleted", "no more"), ("archived", "ARCHIVED"), ("immutable", "IMM")])
    def test_what_cannot_be_gone_back_to(self, registry, fate, said):
        former = app(registry, "v1", "old", TARGET)
        app(registry, "v1", "new")
        record = registry.promotion.promote(promotion(move=True))
        if fate == "deleted":
            del registry.engine.registry().repositories[TARGET].images[former]
        elif fate == "archived":
            registry.gateway.update_storage_class(TARGET, former, "archive")
        else:
            registry.gateway.put_tag_mutability(TARGET, "IMMUTABLE")
        assert said in registry.promotion.plan_rollback(record).obstacles[0]
        with pytest.raises(errors.PlanRefused, match=said):
            registry.promotion.roll_back(record, who="kim", why="errors")


class TestEnvironments:
    def test_repositories(self, registry):
        staging, prod = Environment.repositories("staging"), Environment.repositories("prod")
        target = prod.reference("staging/team/app:v1", leaving=staging)
        assert str(target) == "prod/team/app:v1"
        digest = "sha256:" + "1" * 64
        assert str(prod.reference(f"staging/app@{digest}", leaving=staging)) == f"prod/app@{digest}"
        with pytest.raises(errors.InvalidInput):
            prod.reference("dev/app:v1", leaving=staging)

    def test_tags_that_move(self, registry):
        first = app(registry, "v1", "a", TARGET)
        prod = Environment.tags("prod")
        for tag, seed in (("v1", "a"), ("v2", "b")):
            digest = app(registry, tag, seed, TARGET)
            record = registry.promotion.promote(
                promotion(source=f"{TARGET}:{tag}", target=str(prod.reference(f"{TARGET}:{tag}")), move=True)
            )
            assert registry.gateway.digest_of(TARGET, "prod") == digest and record.bytes_moved == 0
        assert record.former == first

    def test_in_another_registry(self):
        prod = Environment.repositories("prod", registry="210987654321.dkr.ecr.eu-west-1.amazonaws.com")
        assert str(prod.reference("app:v1")) == "210987654321.dkr.ecr.eu-west-1.amazonaws.com/prod/app:v1"

    @pytest.mark.parametrize("made", [Environment.repositories, Environment.tags])
    def test_names(self, made):
        with pytest.raises(errors.InvalidInput):
            made("no good")
