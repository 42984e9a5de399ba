"""What ECR takes as a policy, rule by rule of the user guide."""

import json
import pickle

import pytest

from ecrkit.errors import InvalidPolicy
from ecrkit.lifecycle import LifecyclePolicy, LifecyclePolicyError


def problems(document):
    with pytest.raises(LifecyclePolicyError) as caught:
        LifecyclePolicy.parse(document)
    return {p.path: p for p in caught.value.problems}


class TestAllProblemsAtOnce:
    """Every fault is named with its path, in one error that pickles and belongs to the tree."""

    def test_many(self, kit):
        document = {
            "rules": [
                {"rulePriority": 0, "selection": kit.selection("tagged", 0), "action": {"type": "delete"}},
                {"rulePriority": 1, "selection": kit.selection("any", True), "action": None, "extra": 1},
            ],
            "version": 1,
        }
        found = problems(document)
        assert list(found) == [
            "$.version", "$.rules[0].rulePriority", "$.rules[0].selection", "$.rules[0].selection.countNumber",
            "$.rules[0].action.type", "$.rules[1].extra", "$.rules[1].action", "$.rules[1].selection.countNumber",
        ]  # fmt: skip
        assert "minimum: 1, found: 0" in found["$.rules[0].rulePriority"].quoted

    def test_the_error(self, kit):
        with pytest.raises(InvalidPolicy) as caught:
            LifecyclePolicy.parse({"rules": 5})
        assert pickle.loads(pickle.dumps(caught.value)).problems == caught.value.problems

    @pytest.mark.parametrize("document", [None, [], 5, "null", "[]", '"x"', {}, {"rules": [None]}, {"rules": {}}])
    def test_no_policy_at_all(self, document):
        assert all(path.startswith("$") for path in problems(document))


class TestText:
    """100 to 30,720 characters of JSON that every parser reads alike (botocore model, LifecyclePolicyText)."""

    def padded(self, kit, length):
        text = LifecyclePolicy.parse(kit.policy(kit.selection())).to_json()
        return text + " " * (length - len(text))

    def test_the_upper_limit_is_on_the_text_as_given(self, kit):
        LifecyclePolicy.parse(self.padded(kit, 30_720))
        assert "30721 characters" in problems(self.padded(kit, 30_721))["$"].message

    def test_mappings_are_measured_as_compact_json(self, kit):
        document = kit.policy(kit.selection())
        document["rules"][0]["description"] = "x" * 30_720
        assert "ECR takes 100 to 30720" in problems(document)["$"].message

    def test_empty(self):
        with pytest.raises(LifecyclePolicyError) as caught:
            LifecyclePolicy.parse("")
        assert "template variable" in caught.value.problems[0].message
        assert "greater than or equal to 100" in caught.value.problems[0].quoted
        assert "Could not map policyString" in caught.value.problems[1].quoted

    def test_99_and_100_characters(self):
        short = json.dumps({"rules": [], "x": "y" * 75})
        assert [len(short + " " * n) for n in (99 - len(short), 100 - len(short))] == [99, 100]
        with pytest.raises(LifecyclePolicyError) as at_99:
            LifecyclePolicy.parse(short + " " * (99 - len(short)))
        with pytest.raises(LifecyclePolicyError) as at_100:
            LifecyclePolicy.parse(short + " " * (100 - len(short)))
        assert len(at_99.value.problems) == len(at_100.value.problems) + 1

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999", "5.5", "true", '"5"', "null", "9" * 5000])
    def test_numbers_that_are_none(self, kit, number):
        text = LifecyclePolicy.parse(kit.policy(kit.selection())).to_json()
        assert problems(text.replace('"countNumber":1', f'"countNumber":{number}'))

    def test_a_key_twice(self, kit):
        text = self.padded(kit, 200).replace('"countNumber":1', '"countNumber":1,"countNumber":2')
        assert "stands twice" in problems(text)["$"].message

    def test_deep_and_broken_texts(self):
        assert "nests deeper" in problems("[" * 20_000 + "]" * 20_000)["$"].message
        assert "is not JSON: line 1" in problems("x" * 200)["$"].message
        assert "byte order mark" in problems("\ufeff" + "{}" + " " * 200)["$"].message
        assert "ECR takes" in problems("[" * 1_000_000)["$"].message

    def test_brackets_within_strings_do_not_nest(self, kit):
        document = kit.policy(kit.selection())
        document["rules"][0]["description"] = '\\"[' * 50
        LifecyclePolicy.parse(json.dumps(document))


class TestRulesTogether:
    """One untagged rule, the any rule last, prefixes unique: each within one storage class."""

    def archive(self, kit, status="any", **more):
        return kit.selection(status, 90, kind="sinceImageTransitioned", storageClass="archive", **more)

    def test_classes_do_not_mix(self, kit):
        pairs = [kit.selection("untagged"), self.archive(kit, "untagged"), kit.selection(), self.archive(kit)]
        assert len(LifecyclePolicy.parse(kit.policy(*pairs))) == 4

    def test_a_second_any_rule(self, kit):
        found = problems(kit.policy(kit.selection(), kit.selection()))
        assert "lowest priority per storage class" in found["$.rules[0].selection.tagStatus"].quoted

    def test_a_second_untagged_rule(self, kit):
        found = problems(kit.policy(kit.selection("untagged"), kit.selection("untagged")))
        assert "Only one rule can select Untagged" in found["$.rules[1].selection.tagStatus"].quoted

    def test_the_same_list_in_another_order(self, kit):
        lists = [kit.selection("tagged", tagPrefixList=p) for p in (["a", "b"], ["b", "a"])]
        assert "must be unique" in problems(kit.policy(*lists))["$.rules[1].selection.tagPrefixList"].message

    def test_a_shared_prefix_warns_on_the_later_rule(self, kit):
        lists = [kit.selection("tagged", tagPrefixList=p) for p in (["a", "b"], ["b"])]
        (warning,) = LifecyclePolicy.parse(kit.policy(*lists)).warnings
        assert warning.path == "$.rules[1].selection.tagPrefixList"

    def test_priorities_twice_in_faulty_rules(self, kit):
        document = kit.policy(kit.selection("x"), kit.selection("y"))
        document["rules"][1]["rulePriority"] = 1
        assert "already" in problems(document)["$.rules[1].rulePriority"].message


class TestWarnings:
    """What nobody knows ECR to refuse is taken with a warning."""

    @pytest.mark.parametrize(
        ("more", "text"),
        [
            ({"tagPrefixList": ["prod*"]}, "ordinary character"),
            ({"tagPrefixList": [""]}, "empty string"),
            ({"tagPatternList": ["a", "a"]}, "more than once"),
        ],
    )
    def test_lists(self, kit, more, text):
        policy = LifecyclePolicy.parse(kit.policy(kit.selection("tagged", **more)))
        assert text in policy.warnings[0].message

    def test_integral_floats_become_integers(self, kit):
        policy = LifecyclePolicy.parse(kit.policy(kit.selection(number=5.0)))
        assert '"countNumber":5}' in policy.to_json()
        assert policy.warnings[0].path == "$.rules[0].selection.countNumber"


class TestMeaning:
    """Order, white space, descriptions and an explicit standard class make no difference; ECR sorts by priority."""

    def test_equal_and_hash(self, kit):
        one = kit.policy(kit.selection("tagged", tagPatternList=["a", "b"]), kit.selection())
        two = json.loads(json.dumps(one))
        two["rules"].reverse()
        two["rules"][1]["selection"]["tagPatternList"] = ["b", "a"]
        two["rules"][0]["selection"]["storageClass"] = "standard"
        two["rules"][0]["description"] = "other"
        first, second = LifecyclePolicy.parse(one), LifecyclePolicy.parse(json.dumps(two, indent=3))
        assert first == second
        assert len({first, second}) == 1
        assert [r.priority for r in second] == [1, 2]
        assert "storageClass" not in second.to_json()
        assert first.normalised().rules[0].tag_patterns == second.normalised().rules[0].tag_patterns == ("a", "b")

    @pytest.mark.parametrize("change", [{"countNumber": 2}, {"tagPatternList": ["c"]}, {"tagPrefixList": ["a"]}])
    def test_unequal(self, kit, change):
        base = kit.selection("tagged", tagPatternList=["a"])
        other = {**base, **change}
        if "tagPrefixList" in change:
            del other["tagPatternList"]
        assert LifecyclePolicy.parse(kit.policy(base)) != LifecyclePolicy.parse(kit.policy(other))

    def test_look_up_and_repr(self, kit):
        policy = LifecyclePolicy.parse(kit.policy(kit.selection("untagged"), kit.selection()))
        assert policy.rule(2).tag_status == "any"
        with pytest.raises(KeyError):
            policy.rule(3)
        assert repr(policy) == "<LifecyclePolicy of 2 rules>"
        assert "rule 1: expire untagged images beyond the newest 1" in str(policy)
        assert policy != "text"
