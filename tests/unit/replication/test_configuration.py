from __future__ import annotations

import json
import pickle

import pytest

from ecrkit.errors import InvalidPolicy, PlanOutdated, PlanRefused
from ecrkit.replication import Destination, ReplicationConfiguration, ReplicationRule, filter_problem, planning

HOME = Destination("us-east-1", "123456789012")
AWAY = Destination("eu-west-1", "123456789012")
FAR = Destination("ap-southeast-2", "123456789012")


def raw(*rules: dict) -> dict:
    return {"registryId": HOME.account, "replicationConfiguration": {"rules": list(rules)}}


def rule(*places: Destination, prefixes=(), **more) -> dict:
    made = {"destinations": [p.to_api() for p in places], **more}
    if prefixes:
        made["repositoryFilters"] = [{"filter": p, "filterType": "PREFIX_MATCH"} for p in prefixes]
    return made


def paths(call, *args, **more) -> list[str]:
    with pytest.raises(InvalidPolicy) as caught:
        call(*args, **more)
    return [p.path for p in caught.value.problems]


class TestFilters:
    """PREFIX_MATCH: a literal prefix of repository names, 2 to 256 characters (botocore model; containers-roadmap#1186)."""

    @pytest.mark.parametrize("good", ["prod-", "prod", "team/", "team/app", "a0", "a.b_c-d/e", "x" * 256])
    def test_good(self, good):
        assert filter_problem(good) is None

    @pytest.mark.parametrize(
        ("bad", "told"),
        [
            ("prod-*", "write 'prod-'"), ("*", "not a pattern"), ("prod?", "write 'prod'"), ("app:v1", "by tag"),
            ("a", "2 to 256"), ("x" * 257, "2 to 256"), ("Prod", "lower-case"), ("/app", "before '/'"),
            ("a//b", "before '/'"), ("-a/b", "before '/'"), ("pröd", "lower-case"),
        ],
    )  # fmt: skip
    def test_bad(self, bad, told):
        assert told in filter_problem(bad)

    def test_match_the_beginning_of_the_whole_name(self):
        made = ReplicationRule(destinations=[AWAY], prefixes=["prod"])
        assert [made.selects(n) for n in ("prod", "production/app", "my/prod")] == [True, True, False]

    def test_none_means_all(self):
        assert ReplicationRule(destinations=[AWAY]).selects("anything")


class TestLimits:
    """25 unique destinations over all rules, 100 filters in a rule, 25 rules (ECR user guide, service quotas)."""

    def test_destinations_are_counted_once(self):
        """containers-roadmap#2232: 26 pairs over two rules are refused, one pair in two rules counts once."""
        many = [Destination(f"eu-west-{n}", HOME.account) for n in range(1, 26)]
        first, second = ReplicationRule(destinations=many), ReplicationRule(destinations=many, prefixes=["prod"])
        assert len(ReplicationConfiguration(rules=[first, second]).destinations) == 25
        more = ReplicationRule(destinations=[FAR], prefixes=["prod"])
        assert paths(ReplicationConfiguration, rules=[first, more]) == ["$.rules"]

    def test_filters(self):
        names = [f"team{n}/" for n in range(101)]
        assert ReplicationRule(destinations=[AWAY], prefixes=names[:100])
        made = ReplicationRule(destinations=[AWAY], prefixes=names)
        assert paths(ReplicationConfiguration, rules=[made]) == ["$.rules[0].repositoryFilters"]

    def test_rules(self):
        rules = [ReplicationRule(destinations=[AWAY], prefixes=[f"t{n}/"]) for n in range(26)]
        assert not ReplicationConfiguration(rules=rules[:10]).many_rules
        assert ReplicationConfiguration(rules=rules[:25]).many_rules
        assert paths(ReplicationConfiguration, rules=rules) == ["$.rules"]

    def test_every_problem_at_once(self):
        bad = [
            ReplicationRule(destinations=[]),
            ReplicationRule(destinations=[AWAY, AWAY, Destination("x", "1")], prefixes=["prod-*", "aa", "aa"]),
        ]
        assert paths(ReplicationConfiguration, rules=bad) == [
            "$.rules[0].destinations",
            "$.rules[1].destinations[2].registryId",
            "$.rules[1].destinations[2].region",
            "$.rules[1].destinations",
            "$.rules[1].repositoryFilters[0].filter",
            "$.rules[1].repositoryFilters",
        ]

    def test_the_source_itself_and_another_partition(self):
        made = ReplicationConfiguration.to("us-east-1", "cn-north-1", "eu-west-1", account=HOME.account)
        assert [p.path for p in made.problems_from(HOME)] == [
            "$.rules[0].destinations[0]", "$.rules[0].destinations[1]",
        ]  # fmt: skip
        assert not ReplicationConfiguration.to("us-east-1", account="210987654321").problems_from(HOME)


class TestReading:
    def test_there_and_back(self):
        sent = raw(rule(AWAY, FAR, prefixes=["prod/"], deleteReplication={"enabled": True}), rule(AWAY))
        made = ReplicationConfiguration.from_api(sent)
        assert made.to_api() == sent["replicationConfiguration"]
        assert made.destinations_of("prod/app") == (AWAY, FAR)
        assert made.destinations_of("dev") == (AWAY,)
        assert made.deletes_at("prod/app") == (AWAY, FAR)
        assert made.deletes_at("dev") == ()
        assert pickle.loads(pickle.dumps(made)) == made
        assert json.loads(made.to_json())["rules"][0]["prefixes"] == ["prod/"]

    def test_deletion_switched_off_is_not_deletion_left_out(self):
        made = ReplicationConfiguration.from_api(raw(rule(AWAY, deleteReplication={"enabled": False})))
        assert made.rules[0].deletes is False
        assert made.to_api()["rules"][0]["deleteReplication"] == {"enabled": False}

    def test_unknown_members_of_a_rule_are_kept(self):
        sent = rule(AWAY, priority={"order": 1})
        made = ReplicationConfiguration.from_api({"rules": [sent]})
        assert made.rules[0].more == {"priority": {"order": 1}}
        assert made.to_api()["rules"] == [sent]

    def test_unknown_members_elsewhere_and_wrong_kinds_are_problems(self):
        wrong = {
            "rules": [
                {"destinations": [{"region": "eu-west-1", "registryId": HOME.account, "tier": 1}, 3]},
                {"destinations": {}, "repositoryFilters": [{"filter": 1, "filterType": "PREFIX_NOT_MATCH"}],
                 "deleteReplication": {"enabled": "yes"}},
                "rule",
            ],
            "newer": 1,
        }  # fmt: skip
        assert paths(ReplicationConfiguration.from_api, wrong) == [
            "$.newer", "$.rules[2]", "$.rules[0].destinations[1]", "$.rules[0].destinations[0].tier",
            "$.rules[1].destinations", "$.rules[1].repositoryFilters[0].filterType",
            "$.rules[1].repositoryFilters[0].filter", "$.rules[1].deleteReplication.enabled",
        ]  # fmt: skip

    def test_the_kind_of_filter_is_refused_by_name(self):
        """containers-roadmap#1989: there is only PREFIX_MATCH."""
        wrong = rule(AWAY, repositoryFilters=[{"filter": "prod", "filterType": "PREFIX_NOT_MATCH"}])
        with pytest.raises(InvalidPolicy, match="PREFIX_NOT_MATCH"):
            ReplicationConfiguration.from_api({"rules": [wrong]})

    def test_nothing_configured(self):
        made = ReplicationConfiguration.from_api(raw())
        assert (made.destinations, str(made)) == ((), "no rules: nothing replicates")


class Store:
    def __init__(self, *rules: dict, members=("destinations", "repositoryFilters", "deleteReplication")) -> None:
        self.raw = raw(*rules)
        self.replication_rule_members = frozenset(members)
        self.put: list[dict] = []

    def replication_configuration(self):
        return self.raw

    def put_replication_configuration(self, configuration):
        self.put.append(configuration)
        self.raw = {**self.raw, "replicationConfiguration": configuration}


def wanted(*places: Destination, **more) -> ReplicationConfiguration:
    return ReplicationConfiguration(rules=[ReplicationRule(destinations=places, **more)])


def plan(store: Store, configuration: ReplicationConfiguration, names=("prod/app", "dev"), **more):
    return planning.plan(store, configuration, names, source=HOME, **more)


class TestPlan:
    def test_the_difference_by_repository(self):
        made = plan(Store(rule(AWAY)), wanted(AWAY, FAR, prefixes=["prod/"]))
        assert made.added == (("prod/app", FAR),)
        assert made.removed == (("dev", AWAY),)
        assert made.needed
        told = made.explain()
        assert "+ prod/app -> 123456789012/ap-southeast-2" in told
        assert "- dev -> 123456789012/eu-west-1" in told
        assert "need a backfill" in told
        assert "may still arrive" in told

    def test_nothing_to_do(self):
        store = Store(rule(AWAY))
        made = plan(store, wanted(AWAY))
        assert (made.needed, made.explain()) == (False, "nothing to change")
        assert planning.apply(made, store) is False
        assert store.put == []

    def test_unknown_members_are_carried_over(self):
        store = Store(rule(AWAY, FAR, prefixes=["a/", "b/"], priority=1))
        made = plan(store, wanted(FAR, AWAY, prefixes=["b/", "a/"], deletes=False))
        assert planning.apply(made, store)
        assert store.put[0]["rules"][0]["priority"] == 1
        assert store.put[0]["rules"][0]["deleteReplication"] == {"enabled": False}

    def test_unknown_members_without_a_rule_are_not_dropped_silently(self):
        store = Store(rule(AWAY, priority=1))
        with pytest.raises(PlanRefused) as caught:
            plan(store, wanted(FAR))
        assert caught.value.conflicts == ("$.rules[0].priority",)
        made = plan(store, wanted(FAR), drop_unknown=True)
        assert "$.rules[0].priority is lost" in made.warnings

    def test_a_botocore_that_drops_members_may_not_rewrite(self):
        """botocore before 1.44.4 drops deleteReplication, so that a rewrite would switch it off."""
        store = Store(rule(AWAY), members=("destinations", "repositoryFilters"))
        with pytest.raises(PlanRefused, match="deleteReplication"):
            plan(store, wanted(AWAY, FAR))
        assert plan(store, wanted(AWAY, FAR), drop_unknown=True).needed
        empty = Store(members=("destinations", "repositoryFilters"))
        assert plan(empty, wanted(AWAY)).needed  # nothing is there that could be dropped

    def test_the_source_itself_is_refused(self):
        with pytest.raises(InvalidPolicy, match="source itself"):
            plan(Store(), wanted(HOME))

    def test_warnings(self):
        rules = [ReplicationRule(destinations=[AWAY], prefixes=[f"t{n}/"]) for n in range(11)]
        warnings = plan(Store(), ReplicationConfiguration(rules=rules)).warnings
        assert any("11 rules" in text for text in warnings)
        assert any("'t3/'" in text for text in warnings)


class TestApply:
    def test_only_what_the_plan_rests_on(self):
        store = Store(rule(AWAY))
        made = plan(store, wanted(AWAY, FAR))
        store.raw = raw(rule(FAR))
        with pytest.raises(PlanOutdated):
            planning.apply(made, store)
        assert store.put == []

    def test_an_end_of_replication_must_be_meant(self):
        store = Store(rule(AWAY))
        made = plan(store, wanted(FAR))
        with pytest.raises(PlanRefused, match="allow_removal"):
            planning.apply(made, store)
        assert store.put == []
        assert planning.apply(made, store, allow_removal=True)

    def test_deletions_of_one_rule_do_not_allow_those_of_another(self):
        store = Store(rule(AWAY, prefixes=["a/"], deleteReplication={"enabled": True}))
        first = ReplicationRule(destinations=[AWAY], prefixes=["a/"], deletes=True)
        second = ReplicationRule(destinations=[FAR], prefixes=["b/"], deletes=True)
        made = plan(store, ReplicationConfiguration(rules=[first, second]))
        assert made.deleting == (str(second),)

    def test_deletions_must_be_meant_also_for_names_that_nobody_has_yet(self):
        store = Store(rule(AWAY, prefixes=["new/"]))
        made = plan(store, wanted(AWAY, prefixes=["new/"], deletes=True), names=())
        assert made.deleting
        assert "! deletions begin to be repeated" in made.explain()
        with pytest.raises(PlanRefused, match="allow_deletes"):
            planning.apply(made, store)
        assert store.put == []
        assert planning.apply(made, store, allow_deletes=True)
        assert plan(store, wanted(AWAY, prefixes=["new/"], deletes=True), names=()).deleting == ()
