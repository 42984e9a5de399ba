"""The decisions of an independent engine, replayed through the embedded ECR: whole calls, refused or answered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecrkit.local import Engine, LocalPrincipal, ServiceFault

CASES = json.loads((Path(__file__).parent.parent / "vectors" / "access_decisions.json").read_text("utf-8"))["cases"]
DIGEST = "sha256:" + "0" * 64
PARAMS: dict[str, dict[str, Any]] = {
    "ecr:BatchGetImage": {"imageIds": [{"imageTag": "v1"}]},
    "ecr:GetDownloadUrlForLayer": {"layerDigest": DIGEST},
    "ecr:GetAuthorizationToken": {},
    "ecr:CreateRepository": {},
}
LIMITS = {
    "service_control_policies": "service_control",
    "permissions_boundary": "permissions_boundary",
    "session_policy": "session",
    "vpc_endpoint_policy": "vpc_endpoint",
}
# The other actions have no operation of their own, and a service calls nothing through the API.
CALLED = [c for c in CASES if c["request"]["action"] in PARAMS and c["request"]["principal"].startswith("arn:")]


def prepared(case: dict[str, Any]) -> Engine:
    asked = case["request"]
    owner = asked["resource_account"]
    engine = Engine(account=owner)
    name = asked["resource"].partition("repository/")[2]
    if name and asked["action"] != "ecr:CreateRepository":
        tags = [
            {"Key": key.rpartition("/")[2], "Value": value}
            for key, value in asked["context"].items() if key.startswith("ecr:ResourceTag/")
        ]  # fmt: skip
        engine.call("CreateRepository", {"repositoryName": name, "tags": tags})
    text = None if case["resource_policy"] is None else json.dumps(case["resource_policy"])
    if text is not None and case["resource_policy_kind"] == "repository":
        engine.call("SetRepositoryPolicy", {"repositoryName": name, "policyText": text, "force": True})
    elif text is not None:
        engine.call("PutRegistryPolicy", {"policyText": text})
    others = case.get("other_policies", {})
    principal = LocalPrincipal(
        arn=asked["principal"],
        identity=case["identity_policies"],
        context={k: v for k, v in asked["context"].items() if "ResourceTag/" not in k},
        **{own: others[given] for given, own in LIMITS.items() if given in others},
    )
    control = others.get("resource_control_policies")
    engine.enforce({"caller": principal}, resource_control=None if control is None else {owner: control})
    return engine


def test_most_cases_are_calls() -> None:
    assert len(CALLED) >= 510


@pytest.mark.parametrize("case", CALLED, ids=lambda c: c["id"])
def test_call(case: dict[str, Any]) -> None:
    engine = prepared(case)
    asked = case["request"]
    params = dict(PARAMS[asked["action"]])
    name = asked["resource"].partition("repository/")[2]
    if name:
        params["repositoryName"] = name
    if asked["action"] != "ecr:GetAuthorizationToken":
        params["registryId"] = asked["resource_account"]
    code = message = ""
    try:
        engine.call(asked["action"].removeprefix("ecr:"), params, caller="caller")
    except ServiceFault as fault:
        code, message = fault.code, fault.message
    assert (code != "AccessDeniedException") == (case["expected"] == "Allowed"), message
    if case["expected"] == "ExplicitlyDenied":
        assert "with an explicit deny in a" in message
    elif case["expected"] == "ImplicitlyDenied":
        assert f"allows the {asked['action']} action" in message
