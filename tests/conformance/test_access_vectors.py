"""519 decisions of an independent engine: the evaluator agrees with every one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecrkit.access.evaluate import Policies, Request, evaluate

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "access_decisions.json").read_text("utf-8"))["cases"]


def decide(case: dict[str, Any]):
    asked = case["request"]
    others = case.get("other_policies", {})
    kind = case["resource_policy_kind"]
    policies = Policies(
        identity=case["identity_policies"],
        repository=case["resource_policy"] if kind == "repository" else None,
        registry=case["resource_policy"] if kind == "registry" else None,
        service_control=others.get("service_control_policies"),
        resource_control=others.get("resource_control_policies"),
        permissions_boundary=others.get("permissions_boundary"),
        session=others.get("session_policy"),
        vpc_endpoint=others.get("vpc_endpoint_policy"),
    )
    request = Request(
        principal=asked["principal"], action=asked["action"], resource=asked["resource"],
        resource_account=asked["resource_account"], context=asked["context"],
    )  # fmt: skip
    return evaluate(request, policies)


def test_there_are_519_cases() -> None:
    assert len(CASES) == 519


@pytest.mark.parametrize("case", CASES, ids=lambda c: c["id"])
def test_decision(case: dict[str, Any]) -> None:
    decision = decide(case)
    assert decision.outcome == case["expected"], decision.explain()
    if case.get("blocked_by"):
        assert list(decision.blocked_by) == case["blocked_by"]
    assert decision.explain()
