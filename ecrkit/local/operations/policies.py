"""Repository and registry policies: kept verbatim after a check of their outer form."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ecrkit.local.faults import invalid, refuse

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import RepositoryState


def _check(text: str, *, what: str, resource: bool) -> None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    good = (
        isinstance(statements, list)
        and bool(statements)
        and all(
            isinstance(s, dict)
            and s.get("Effect") in ("Allow", "Deny")
            and ("Action" in s) != ("NotAction" in s)
            and ("Principal" in s) != ("NotPrincipal" in s)
            # A repository policy names no resource, it lies on it; a registry policy must name some.
            and (("Resource" in s) != ("NotResource" in s) if resource else not {"Resource", "NotResource"} & s.keys())
            for s in statements
        )
    )
    if not good:
        invalid("PolicyText", f"Invalid {what} policy provided")


def _answer(registry: RegistryState, repo: RepositoryState, text: str) -> dict[str, Any]:
    return {"registryId": registry.account, "repositoryName": repo.name, "policyText": text}


def set_repository_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Sets the policy of a repository: JSON with statements that name no Resource. `force` changes nothing here."""
    repo = registry.repository(params["repositoryName"])
    _check(params["policyText"], what="repository", resource=False)
    repo.policy_text = params["policyText"]
    return _answer(registry, repo, params["policyText"])


def get_repository_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the policy of a repository verbatim."""
    repo = registry.repository(params["repositoryName"])
    if repo.policy_text is None:
        refuse(
            "RepositoryPolicyNotFoundException",
            f"Repository policy does not exist for the repository with name '{repo.name}' in the registry with id "
            f"'{registry.account}'",
        )
    return _answer(registry, repo, repo.policy_text)


def delete_repository_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Removes the policy of a repository and returns it."""
    out = get_repository_policy(engine, registry, params)
    registry.repository(params["repositoryName"]).policy_text = None
    return out


def put_registry_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Sets the policy of the registry: JSON with statements that name a Resource."""
    _check(params["policyText"], what="registry", resource=True)
    registry.policy_text = params["policyText"]
    return {"registryId": registry.account, "policyText": params["policyText"]}


def get_registry_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the policy of the registry verbatim."""
    if registry.policy_text is None:
        refuse(
            "RegistryPolicyNotFoundException",
            f"Registry policy does not exist in the registry with id '{registry.account}'",
        )
    return {"registryId": registry.account, "policyText": registry.policy_text}


def delete_registry_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Removes the policy of the registry and returns it."""
    out = get_registry_policy(engine, registry, params)
    registry.policy_text = None
    return out


OPERATIONS = {
    "DeleteRegistryPolicy": delete_registry_policy,
    "DeleteRepositoryPolicy": delete_repository_policy,
    "GetRegistryPolicy": get_registry_policy,
    "GetRepositoryPolicy": get_repository_policy,
    "PutRegistryPolicy": put_registry_policy,
    "SetRepositoryPolicy": set_repository_policy,
}
