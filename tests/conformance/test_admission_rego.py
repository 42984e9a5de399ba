"""The Rego of our ConstraintTemplate against a second, slow description of what it must refuse, in two engines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.admission.manifests import gatekeeper_template
from tests.support.policy_engines import opa, regorus

IMAGES = ("r/ok", "r/other", "r/bad", "r/pending")
KINDS = {
    "Pod": lambda pod: {"spec": pod},
    "PodTemplate": lambda pod: {"template": {"spec": pod}},
    "Deployment": lambda pod: {"spec": {"template": {"spec": pod}}},
    "Job": lambda pod: {"spec": {"template": {"spec": pod}}},
    "CronJob": lambda pod: {"spec": {"jobTemplate": {"spec": {"template": {"spec": pod}}}}},
    "Widget": lambda pod: {"spec": pod},
}


def source(version: str) -> str:
    target = gatekeeper_template(rego=version).of("ConstraintTemplate")["spec"]["targets"][0]
    return target["rego"] if version == "v0" else target["code"][0]["source"]["rego"]


class Answers:
    """The answer that `external_data` gives: set by each example."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.asked: list[list[str]] = []

    def __call__(self, request: Mapping[str, Any]) -> Any:
        self.asked.append(sorted(request["keys"]))
        return self.answer


@pytest.fixture(scope="module")
def engines():
    answers = Answers()
    return answers, {
        "opa v1": opa(source("v1"), answers),
        "regorus v1": regorus(source("v1"), answers, v0=False),
        "regorus v0": regorus(source("v0"), answers, v0=True),
    }


good = st.sampled_from(IMAGES).map(lambda i: {"name": "c", "image": i})
odd_container = st.sampled_from([{"name": "c"}, {"image": None}, {"image": 7}, {"image": ""}])
containers = st.lists(st.one_of(good, good, good, good, odd_container), max_size=2)
pods = st.fixed_dictionaries(
    {}, optional={"containers": containers, "initContainers": containers, "ephemeralContainers": containers}
)
yes = st.just({"allowed": True, "reason": ""})
values = st.one_of(yes, yes, st.sampled_from([
    {"allowed": False, "reason": "2 CRITICAL"}, {"allowed": False}, {"allowed": "true"}, {"allowed": 1},
    {"allowed": None}, {}, None, True, "allowed", [True], 1,
]))  # fmt: skip
# Nearly every image is answered, most of them well: the interesting case is one answer that is not.
told_of = {image: st.lists(values, min_size=0 if image == "r/pending" else 1, max_size=2) for image in IMAGES}
answers = st.fixed_dictionaries({
    "responses": st.fixed_dictionaries(told_of).map(lambda t: [[f"|shop|{i}", v] for i, vs in t.items() for v in vs]),
    "errors": st.sampled_from([[], [], [["|prod|r/ok", "PENDING"]], *([[f"|shop|{i}", "PENDING"]] for i in IMAGES)]),
    "status_code": st.sampled_from([0, 200, 500]),
    "system_error": st.sampled_from(["", "", "", "", "refused"]),
})  # fmt: skip
# What Gatekeeper never hands over; an engine may then refuse to evaluate, which is a no as well.
odd = st.sampled_from([None, {}, [], "", {"responses": None, "errors": None}, {"responses": {}}])


def found(kind: str, document: Any) -> list[Any] | None:
    """Return the containers of an object by walking to its pod, or None where there is no pod."""
    paths = {
        "Pod": ["spec"],
        "PodTemplate": ["template", "spec"],
        "CronJob": ["spec", "jobTemplate", "spec", "template", "spec"],
    }
    paths |= {key: ["spec", "template", "spec"] for key in ("Deployment", "Job")}
    if kind not in paths:
        return None
    for step in paths[kind]:
        if not isinstance(document, Mapping) or step not in document:
            return None
        document = document[step]
    names = ("containers", "initContainers", "ephemeralContainers")
    return [c for n in names for c in document.get(n, [])] if isinstance(document, Mapping) else None


def named(listed: list[Any] | None) -> set[str]:
    return {c["image"] for c in listed or [] if isinstance(c.get("image"), str)}


def must_refuse(review: Mapping[str, Any], answer: Any) -> bool:
    """Return whether anything is wrong, written as a list of reasons to say no."""
    if review["operation"] == "DELETE":
        return False
    listed = found(review["kind"]["kind"], review["object"])
    if listed is None or any(not isinstance(c.get("image"), str) for c in listed):
        return True
    old = review.get("oldObject")
    before = named(found(review["kind"]["kind"], old)) if review["operation"] == "UPDATE" and old is not None else set()
    asked = named(listed) - before
    if not asked:
        return False
    told = answer if isinstance(answer, Mapping) else {}
    responses, errors = told.get("responses") or [], told.get("errors") or []
    if told.get("system_error", "") != "":
        return True
    for image in asked:
        mine = [v for k, v in responses if k == f"|shop|{image}"]
        if not mine or any(not (isinstance(v, Mapping) and v.get("allowed") is True) for v in mine):
            return True
        if any(k == f"|shop|{image}" for k, _ in errors):
            return True
    return False


class TestTheTemplate:
    """Denied is whatever has no answer saying `allowed: true`; both versions of Rego say the same, in both engines."""

    @settings(max_examples=300, deadline=None)
    @given(
        kind=st.sampled_from(["Pod", "Pod", *KINDS]), operation=st.sampled_from(["CREATE", "CREATE", "UPDATE", "UPDATE", "DELETE"]), new=pods,
        old=st.none() | pods, answer=answers,
    )  # fmt: skip
    def test_refuses_exactly_what_must_be_refused(self, engines, kind, operation, new, old, answer):
        told, evaluators = engines
        review: dict[str, Any] = {
            "kind": {"group": "", "version": "v1", "kind": kind}, "operation": operation, "namespace": "shop",
            "object": KINDS[kind](new), "oldObject": None if old is None else KINDS[kind](old),
        }  # fmt: skip
        told.answer = answer
        said = {name: evaluate({"review": review, "parameters": {}}) for name, evaluate in evaluators.items()}
        assert said["opa v1"] == said["regorus v1"] == said["regorus v0"]
        assert bool(said["opa v1"]) == must_refuse(review, answer), said["opa v1"]

    @settings(max_examples=60, deadline=None)
    @given(new=pods.filter(lambda pod: named(found("Pod", {"spec": pod}))), answer=odd)
    def test_admits_nothing_on_an_answer_that_is_none(self, engines, new, answer):
        told, evaluators = engines
        told.answer = answer
        review = {"kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "shop", "object": {"spec": new}}
        for evaluate in evaluators.values():
            refused = None
            try:
                refused = evaluate({"review": review, "parameters": {}})
            except RuntimeError as fault:
                refused = str(fault) if "policy.rego" in str(fault) else None
            assert refused

    def test_images_are_asked_for_once_each_and_together(self, engines):
        told, evaluators = engines
        told.answer = None
        pod = {"containers": [{"image": "r/ok"}, {"image": "r/ok"}], "initContainers": [{"image": "r/bad"}]}
        review = {"kind": {"kind": "Pod"}, "operation": "CREATE", "namespace": "shop", "object": {"spec": pod}}
        for evaluate in evaluators.values():
            told.asked.clear()
            assert evaluate({"review": review, "parameters": {}}) == [
                "r/bad: no answer from the admission server", "r/ok: no answer from the admission server",
            ]  # fmt: skip
            assert told.asked == [["|shop|r/bad", "|shop|r/ok"]]

    def test_an_update_that_brings_nothing_in_asks_nothing(self, engines):
        """A controller that takes its finalizer off a pod with an old image must get through."""
        told, evaluators = engines
        pod = {"spec": {"containers": [{"image": "r/bad"}]}}
        review = {"kind": {"kind": "Pod"}, "operation": "UPDATE", "namespace": "shop", "object": pod, "oldObject": pod}
        for evaluate in evaluators.values():
            told.asked.clear()
            assert evaluate({"review": review, "parameters": {}}) == []
            assert told.asked == []

    def test_the_key_holds_profile_namespace_and_image(self, engines):
        told, evaluators = engines
        told.answer = None
        review = {
            "kind": {"kind": "Pod"}, "operation": "CREATE",
            "object": {"metadata": {"namespace": "pay"}, "spec": {"containers": [{"image": "r/a|b"}]}},
        }  # fmt: skip
        for evaluate in evaluators.values():
            told.asked.clear()
            assert evaluate({"review": review, "parameters": {"profile": "strict"}})
            assert told.asked == [["strict|pay|r/a|b"]]

    def test_an_audit_has_no_operation_and_judges_all(self, engines):
        told, evaluators = engines
        told.answer = {"responses": [["|shop|r/bad", {"allowed": False, "reason": "r/bad: 2 CRITICAL"}]], "errors": []}
        pod = {"metadata": {"namespace": "shop"}, "spec": {"containers": [{"image": "r/bad"}]}}
        for evaluate in evaluators.values():
            assert evaluate({"review": {"kind": {"kind": "Pod"}, "object": pod}}) == ["r/bad: 2 CRITICAL"]
