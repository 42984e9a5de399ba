"""Repository and registry policies: kept verbatim after the checks that ECR makes of them.

Whether a principal exists cannot be known here and is not checked; its form is.
"""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

from ecrkit.local.faults import invalid, refuse

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import RepositoryState

__all__ = ["OPERATIONS", "check_policy"]


_REFUSED: Final = {"unknown-action", "foreign-action", "principal"}
"""Findings of the linter that ECR itself makes when it is given a policy."""


def check_policy(text: str, *, kind: Literal["repository", "registry"]) -> None:
    """Refuse a policy that ECR would refuse."""
    # Imported when the first policy comes: most engines never see one.
    from ecrkit.access.documents import PolicyDocument
    from ecrkit.access.lint import lint

    document = PolicyDocument.read(text, kind=kind)
    refused = bool(document.problems) or any(
        f.code in _REFUSED and f.severity == "error" for f in lint(document, kind=kind)
    )
    if refused:
        invalid("PolicyText", f"Invalid {kind} policy provided")


def _refuse_lock_out(engine: Engine, registry: RegistryState, repo: RepositoryState, text: str) -> None:
    """Keep the caller from a policy that forbids it to set the next one (SetRepositoryPolicy, `force`)."""
    from ecrkit.local.enforcement import Enforcement

    call = engine.current
    if call is None:
        return
    # Without principals nothing is known of the caller but its ARN: then only a Deny locks it out for certain.
    guard = engine.enforcement or Enforcement.of_anybody(call.caller, account=call.account, region=call.region)
    decision = guard.decide(engine, call, "ecr:SetRepositoryPolicy", repo.arn, repository_policy=text)
    certain = decision.outcome == "ExplicitlyDenied"
    if certain or (engine.enforcement is not None and not decision.allowed):
        invalid(
            "PolicyText",
            "The policy would prevent the caller from setting another policy on the repository with name "
            f"'{repo.name}' in the registry with id '{registry.account}'; use force to set it all the same",
        )


def _answer(registry: RegistryState, repo: RepositoryState, text: str) -> dict[str, Any]:
    return {"registryId": registry.account, "repositoryName": repo.name, "policyText": text}


def set_repository_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Sets the policy of a repository: valid, without Resource, and none that locks the caller out unless `force`."""
    repo = registry.repository(params["repositoryName"])
    check_policy(params["policyText"], kind="repository")
    if not params.get("force"):
        _refuse_lock_out(engine, registry, repo, params["policyText"])
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
    """Sets the policy of the registry: valid, with statements that name a Resource."""
    check_policy(params["policyText"], kind="registry")
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
