"""Lifecycle policies and their previews."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecrkit.local.faults import invalid, refuse
from ecrkit.local.lifecycle_runs import parse_policy, schedule_runs, start_preview
from ecrkit.local.operations._paging import last_key, token_of

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import RepositoryState

__all__ = ["OPERATIONS"]


def _policy(registry: RegistryState, repo: RepositoryState) -> str:
    if repo.lifecycle_text is None:
        refuse(
            "LifecyclePolicyNotFoundException",
            f"Lifecycle policy does not exist for the repository with name '{repo.name}' in the registry with id "
            f"'{registry.account}'",
        )
    return repo.lifecycle_text


def _answer(registry: RegistryState, repo: RepositoryState, text: str) -> dict[str, Any]:
    return {"registryId": registry.account, "repositoryName": repo.name, "lifecyclePolicyText": text}


def put_lifecycle_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Replaces the policy of a repository; it runs within 24 hours of the engine's clock."""
    repo = registry.repository(params["repositoryName"])
    parse_policy(params["lifecyclePolicyText"])
    repo.lifecycle_text = params["lifecyclePolicyText"]
    repo.lifecycle_evaluated_at = None
    schedule_runs(engine, registry, repo)
    return _answer(registry, repo, params["lifecyclePolicyText"])


def get_lifecycle_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the policy verbatim, and when it last ran."""
    repo = registry.repository(params["repositoryName"])
    out = _answer(registry, repo, _policy(registry, repo))
    if repo.lifecycle_evaluated_at is not None:
        out["lastEvaluatedAt"] = repo.lifecycle_evaluated_at
    return out


def delete_lifecycle_policy(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Removes the policy; nothing runs any more."""
    out = get_lifecycle_policy(engine, registry, params)
    repo = registry.repository(params["repositoryName"])
    repo.lifecycle_text = repo.lifecycle_evaluated_at = None
    repo.lifecycle_ticket += 1
    return out


def start_lifecycle_policy_preview(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Starts a preview of the given or the live policy; one at a time per repository. Stores no policy."""
    repo = registry.repository(params["repositoryName"])
    if repo.preview is not None and repo.preview.status == "IN_PROGRESS":
        refuse(
            "LifecyclePolicyPreviewInProgressException",
            f"A lifecycle policy preview is in progress for the repository with name '{repo.name}' in the registry "
            f"with id '{registry.account}'",
        )
    text = params.get("lifecyclePolicyText") or _policy(registry, repo)
    start_preview(engine, registry, repo, text)
    return {**_answer(registry, repo, text), "status": "IN_PROGRESS"}


def get_lifecycle_policy_preview(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the preview's status and, once complete, the images acted on, with filter and real pages."""
    repo = registry.repository(params["repositoryName"])
    ids = params.get("imageIds")
    if ids is not None and ("maxResults" in params or "nextToken" in params):
        invalid("maxResults", "maxResults and nextToken cannot be used with imageIds")
    preview = repo.preview
    if preview is None:
        refuse(
            "LifecyclePolicyPreviewNotFoundException",
            f"There is no lifecycle policy preview for the repository with name '{repo.name}' in the registry with id "
            f"'{registry.account}'",
        )
    out: dict[str, Any] = {**_answer(registry, repo, preview.policy_text), "status": preview.status}
    if preview.status != "COMPLETE":
        return out
    wanted = (params.get("filter") or {}).get("tagStatus") or "ANY"
    results = [
        r
        for r in preview.results
        if (wanted == "ANY" or (wanted == "TAGGED") == bool(r["imageTags"]))
        and (ids is None or any(_names(i, r) for i in ids))
    ]
    kind = f"preview/{repo.name}/{preview.started_at.isoformat()}"
    start = int(last_key(kind, params["nextToken"])) if params.get("nextToken") else 0
    size = params.get("maxResults") or 100
    out["previewResults"] = [{**r, "imageTags": list(r["imageTags"])} for r in results[start : start + size]]
    if start + size < len(results):
        out["nextToken"] = token_of(kind, str(start + size))
    moving = sum(r["action"]["type"] == "TRANSITION" for r in preview.results)
    summary: dict[str, Any] = {"expiringImageTotalCount": len(preview.results) - moving}
    if moving:
        summary["transitioningImageTotalCounts"] = [{"targetStorageClass": "ARCHIVE", "imageTotalCount": moving}]
    out["summary"] = summary
    return out


def _names(asked: dict[str, str], result: dict[str, Any]) -> bool:
    digest, tag = asked.get("imageDigest"), asked.get("imageTag")
    return (
        (digest or tag) is not None
        and digest in (None, result["imageDigest"])
        and (tag is None or tag in result["imageTags"])
    )


OPERATIONS = {
    "DeleteLifecyclePolicy": delete_lifecycle_policy,
    "GetLifecyclePolicy": get_lifecycle_policy,
    "GetLifecyclePolicyPreview": get_lifecycle_policy_preview,
    "PutLifecyclePolicy": put_lifecycle_policy,
    "StartLifecyclePolicyPreview": start_lifecycle_policy_preview,
}
