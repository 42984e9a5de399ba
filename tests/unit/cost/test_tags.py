from __future__ import annotations

import datetime as dt
import difflib
import threading

import attrs
import pytest

from ecrkit import Registry
from ecrkit.cost.hygiene import tag_hygiene
from ecrkit.cost.tag_plan import TagPlan, plan_tags
from ecrkit.deployments import Gap, InUse, Use, Workload
from ecrkit.errors import CredentialsMissing, Denied, InvalidInput, NotFound, PlanOutdated
from ecrkit.local.images import filler, image
from tests.unit.cost.conftest import NOW


def kinds(tags, **more):
    return {(i.repository, i.key): (i.kind, i.suggestion) for i in tag_hygiene(tags, **more).issues}


class TestHygiene:
    """AWS tells keys and values apart by case and spelling (AWS Billing user guide, cost allocation tags)."""

    def test_missing_and_empty(self) -> None:
        found = tag_hygiene({"a": {"Team": "pay"}, "b": {}, "c": {"Team": " "}, "d": None}, required=["Team"])
        assert kinds({"a": {"Team": "pay"}, "b": {}, "c": {"Team": " "}, "d": None}, required=["Team"]) == {
            ("b", "Team"): ("missing", None), ("c", "Team"): ("empty value", None), ("d", ""): ("unknown", None)
        }  # fmt: skip
        assert found.coverage == {"Team": 0.25}
        assert found.untagged("Team") == ("b", "c", "d")

    @pytest.mark.parametrize("key", ["team", "TEAM", "Cost-Center", "cost_center", "CostCentre", "Enviroment"])
    def test_misspelt_keys(self, key: str) -> None:
        meant = {"t": "Team", "c": "CostCenter", "e": "Environment"}[key[0].lower()]
        hit = kinds({"a": {key: "x"}}, required=[meant])
        assert hit == {("a", meant): ("misspelt key", "x")}

    def test_another_required_key_is_no_misspelling(self) -> None:
        assert kinds({"a": {"Team1": "x"}}, required=["Team1", "Team2"]) == {("a", "Team2"): ("missing", None)}

    def test_inconsistent_values_take_the_most_used(self) -> None:
        tags = {
            "a": {"Team": "pay-ments"},
            "b": {"Team": "Payments"},
            "c": {"Team": "payments"},
            "d": {"Team": "payments"},
        }
        assert kinds(tags, required=["Team"]) == {
            ("a", "Team"): ("inconsistent value", "payments"), ("b", "Team"): ("inconsistent value", "payments")
        }  # fmt: skip

    def test_a_rare_value_close_to_a_common_one(self) -> None:
        tags = {f"r{n}": {"Team": "payments"} for n in range(10)}
        assert kinds({**tags, "x": {"Team": "paymnets"}}, required=["Team"]) == {
            ("x", "Team"): ("misspelt value", "payments")
        }
        assert kinds({**tags, "x": {"Team": "platform"}}, required=["Team"]) == {}
        numbered = {f"r{n}": {"Team": "squad1"} for n in range(10)}
        assert kinds({**numbered, "x": {"Team": "squad2"}}, required=["Team"]) == {}

    def test_words_of_other_letters_are_not_compared_letter_by_letter(self, monkeypatch) -> None:
        monkeypatch.setattr(difflib, "SequenceMatcher", None)
        tags = {f"r{n}": {"Team": f"frontend-{n}"} for n in range(3)} | {
            f"c{n}": {"Team": "payments"} for n in range(20)
        }
        assert tag_hygiene(tags, required=["Team"]).clean

    def test_allowed_values(self) -> None:
        tags = {"a": {"Environment": "prod"}, "b": {"Environment": "Prod"}, "c": {"Environment": "stagging"},
                "d": {"Environment": "moon"}}  # fmt: skip
        allowed = {"Environment": ["prod", "staging"]}
        assert kinds(tags, required=["Environment"], allowed=allowed) == {
            ("b", "Environment"): ("inconsistent value", "prod"),
            ("c", "Environment"): ("misspelt value", "staging"),
            ("d", "Environment"): ("misspelt value", None),
        }

    def test_fixes_carry_the_right_value_under_the_right_key(self) -> None:
        tags = {"a": {"team": "Payments"}, "b": {"Team": "payments"}, "c": {"Team": "payments"}, "d": {}}
        assert tag_hygiene(tags, required=["Team"]).fixes() == {"a": {"Team": "payments"}}


@pytest.fixture
def registry():
    with Registry.local() as opened:
        for name, team in (("pay/api", "pay"), ("pay/job", None), ("web/site", "web")):
            opened.gateway.create_repository(name, tags={"Team": team} if team else None)
            image([filler(50_000, seed="base"), filler(5_000, seed=name)]).push(opened.client, name, "v1.0.0")
        yield opened


class TestApply:
    def test_shown_first_then_applied(self, registry) -> None:
        plan = registry.cost.plan_tags({"pay/job": {"Team": "pay"}, "web/site": {"Team": "web"}})
        assert registry.cost.tags()["pay/job"] == {}
        assert (len(plan.changes), plan.unchanged, plan.calls) == (1, ("web/site",), 1)
        assert "pay/job" in plan.explain()
        done = registry.cost.apply_tags(TagPlan.from_dict(plan.to_json()))
        assert done.complete
        assert registry.cost.tags()["pay/job"] == {"Team": "pay"}

    def test_keys_are_removed_after_new_ones_are_put(self, registry) -> None:
        seen: list[str] = []
        plan = registry.cost.plan_tags({"pay/api": {"Owner": "pay"}}, remove=["Team"])
        registry.client.meta.events.register("before-call.ecr.*", lambda model, **_: seen.append(model.name))
        registry.cost.apply_tags(plan)
        assert seen == ["ListTagsForResource", "TagResource", "UntagResource"]
        assert registry.cost.tags()["pay/api"] == {"Owner": "pay"}

    def test_repositories_are_tagged_side_by_side(self, registry) -> None:
        """Two repositories wait for each other, which one after the other could not do."""
        plan = registry.cost.plan_tags({"pay/api": {"Cost": "1"}, "web/site": {"Cost": "1"}})
        both = threading.Barrier(2, timeout=20)
        registry.engine.before_call.append(lambda call: call.operation == "TagResource" and both.wait() and None)
        assert registry.cost.apply_tags(plan).applied == ("pay/api", "web/site")

    def test_what_changed_meanwhile_stops_everything(self, registry) -> None:
        plan = registry.cost.plan_tags({"pay/api": {"Cost": "1"}, "pay/job": {"Cost": "1"}})
        arn = registry.repository("pay/job").arn
        registry.gateway.tag_resource(arn, {"Team": "other"})
        with pytest.raises(PlanOutdated, match="pay/job: Team changed"):
            registry.cost.apply_tags(plan)
        assert registry.cost.tags()["pay/api"] == {"Team": "pay"}

    def test_a_repository_that_is_gone_is_an_outdated_plan(self, registry) -> None:
        registry.gateway.create_repository("gone")
        plan = registry.cost.plan_tags({"gone": {"Cost": "1"}})
        registry.gateway.delete_empty_repository("gone")
        with pytest.raises(PlanOutdated, match="cannot be read"):
            registry.cost.apply_tags(plan)

    def test_a_key_that_is_wanted_is_not_removed(self, registry) -> None:
        plan = registry.cost.plan_tags({"pay/api": {"Team": "web"}}, remove=["Team", "Owner"])
        assert (plan.changes[0].put, plan.changes[0].remove) == ({"Team": "web"}, ())

    def test_unknown_repositories(self, registry) -> None:
        with pytest.raises(NotFound):
            registry.cost.plan_tags({"nowhere": {"a": "b"}})

    @pytest.mark.parametrize(
        "tags", [{"aws:x": "1"}, {"k" * 129: "1"}, {"k": "v" * 257}, {"": "v"}, {"a!": "v"}, {"a": "v;"},
                 {f"k{n}": "v" for n in range(51)}],
    )  # fmt: skip
    def test_what_ecr_would_refuse(self, tags) -> None:
        with pytest.raises(InvalidInput):
            plan_tags({"a": tags}, current={"a": {}}, arns={"a": "arn"}, now=NOW)

    @pytest.mark.parametrize("saved", ["{", "[]", "null", '{"format": 2}', '{"format": 1, "changes": [1]}'])
    def test_what_is_no_saved_plan(self, saved) -> None:
        with pytest.raises(InvalidInput):
            TagPlan.from_dict(saved)


class TestService:
    def test_storage_waste_attribution_hygiene(self, registry) -> None:
        cost = registry.cost
        report = cost.storage()
        assert report.apart.exact is not None
        assert report.bytes.low < report.apart.exact == report.bytes.high
        assert [r.repository for r in report.repositories] == ["pay/api", "pay/job", "web/site"]
        assert report.taken_at == registry.clock.now()
        shares = cost.attribute("Team")
        assert {s.owner for s in shares.shares} == {"pay", "web", None}
        assert shares.unowned == ("pay/job",)
        assert sum(s.bytes.low for s in shares.shares) == report.apart.exact
        assert {s.owner for s in cost.attribute().shares} == {"pay", "web"}
        assert cost.waste("pay/*").images == 0
        assert cost.hygiene(required=["Team"]).untagged("Team") == ("pay/job",)

    def test_a_repository_that_may_not_be_read_is_a_gap(self, registry) -> None:
        class Refusing:
            def images(self, repository: str):
                if repository == "pay/job":
                    raise Denied("not allowed", operation="DescribeImages")
                return registry.gateway.images(repository)

        cost = attrs.evolve(registry.cost, images=Refusing())
        held = cost.inventories()
        assert list(held) == ["pay/api", "pay/job", "web/site"]
        assert held["pay/job"] is None
        assert cost.storage().bytes.high is None
        assert list(cost.storage().gaps) == ["pay/job"]
        assert cost.attribute().gaps == ("pay/job",)
        assert cost.attribute().explain().endswith("could not be read: pay/job")

    def test_without_credentials_nothing_is_a_report_of_gaps(self, registry) -> None:
        class Expired:
            def images(self, repository: str):
                raise CredentialsMissing("expired", operation="DescribeImages")

            def tags_of(self, arn: str):
                raise CredentialsMissing("expired", operation="ListTagsForResource")

        cost = attrs.evolve(registry.cost, images=Expired(), resource_tags=Expired())
        for ask in (cost.storage, cost.hygiene, lambda: cost.plan_tags({"pay/api": {"Team": "a"}})):
            with pytest.raises(CredentialsMissing):
                ask()

    def test_what_runs_is_no_waste_and_a_gap_allows_none(self, registry) -> None:
        registry.engine.advance(dt.timedelta(days=200))
        assert registry.cost.waste("pay/api").images == 1
        app = Workload(platform="kubernetes", kind="Deployment", name="api")
        host = f"{registry.engine.account}.dkr.ecr.us-east-1.amazonaws.com"
        uses = InUse([Use(reference=f"{host}/pay/api:v1.0.0", workload=app)])
        assert registry.cost.waste("pay/api", in_use=uses).images == 0
        with pytest.raises(InvalidInput, match="not wholly known"):
            registry.cost.waste("pay/api", in_use=InUse([], gaps=[Gap(where="ecs", why="denied")]))

    def test_prices_of_an_embedded_registry(self, registry) -> None:
        assert registry.cost.prices().region == "us-east-1"
        with pytest.raises(InvalidInput):
            registry.cost.prices("eu-west-1")
