"""Repositories: create, describe, delete, tags, tag mutability, scan-on-push."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from ecrkit._internal.globs import matches
from ecrkit.local.faults import invalid, refuse
from ecrkit.local.operations._paging import page
from ecrkit.local.registry import ARN
from ecrkit.local.state import RepositoryState

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS", "checked_mutability", "checked_tags", "create_repository", "tag_is_immutable"]


def _described(registry: RegistryState, repo: RepositoryState) -> dict[str, Any]:
    out: dict[str, Any] = {
        "repositoryArn": repo.arn,
        "registryId": registry.account,
        "repositoryName": repo.name,
        "repositoryUri": repo.uri,
        "createdAt": repo.created_at,
        "imageTagMutability": repo.tag_mutability,
        "imageScanningConfiguration": {"scanOnPush": repo.scan_on_push},
        "encryptionConfiguration": dict(repo.encryption),
    }
    if repo.exclusion_filters:
        out["imageTagMutabilityExclusionFilters"] = [dict(item) for item in repo.exclusion_filters]
    return out


def checked_mutability(params: dict[str, Any]) -> tuple[str, list[dict[str, str]]]:
    """Return mutability mode and exclusion filters of a request, or refuse them when they do not go together."""
    mode = params.get("imageTagMutability") or "MUTABLE"
    filters = params.get("imageTagMutabilityExclusionFilters") or []
    if mode.endswith("_WITH_EXCLUSION") and not filters:
        invalid("imageTagMutabilityExclusionFilters", f"Member must not be null with imageTagMutability {mode}")
    if filters and not mode.endswith("_WITH_EXCLUSION"):
        invalid("imageTagMutabilityExclusionFilters", f"Member must be null with imageTagMutability {mode}")
    return mode, [dict(item) for item in filters]


def tag_is_immutable(repo: RepositoryState, tag: str) -> bool:
    """Return whether the tag, once given, may not move: `*` in a filter is any run of characters, all else literal."""
    excluded = any(matches(item["filter"], tag) for item in repo.exclusion_filters)
    return repo.tag_mutability.startswith("IMMUTABLE") != excluded


def checked_tags(raw: list[dict[str, str]]) -> dict[str, str]:
    """Return the resource tags of a request, or refuse them."""
    tags = {item["Key"]: item["Value"] for item in raw}
    if len(tags) != len(raw):
        refuse("InvalidTagParameterException", "a tag key is given twice")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256:
            refuse(
                "InvalidTagParameterException",
                f"tag keys have 1 to 128 characters and values at most 256: {key[:128]}",
            )
        if key.lower().startswith("aws:"):
            refuse("InvalidTagParameterException", f"tag keys that start with aws: are reserved: {key}")
    return tags


def _room(engine: Engine, tags: dict[str, str]) -> None:
    if len(tags) > engine.limits.tags_per_resource:
        refuse("TooManyTagsException", f"a repository has at most {engine.limits.tags_per_resource} tags")


def create_repository(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Creates a repository with tags, tag mutability, scan-on-push and encryption settings."""
    name = params["repositoryName"]
    mode, filters = checked_mutability(params)
    tags = checked_tags(params.get("tags") or [])
    _room(engine, tags)
    if name in registry.repositories:
        refuse(
            "RepositoryAlreadyExistsException",
            f"The repository with name '{name}' already exists in the registry with id '{registry.account}'",
        )
    if len(registry.repositories) >= engine.limits.repositories:
        refuse("LimitExceededException", f"a registry has at most {engine.limits.repositories} repositories")
    repo = RepositoryState(
        name=name,
        arn=registry.arn(name),
        uri=f"{registry.host}/{name}",
        created_at=engine.clock.now(),
        tag_mutability=mode,
        exclusion_filters=filters,
        scan_on_push=bool((params.get("imageScanningConfiguration") or {}).get("scanOnPush")),
        encryption=_encryption(registry, params.get("encryptionConfiguration")),
        tags=tags,
    )
    registry.repositories[name] = repo
    return {"repository": _described(registry, repo)}


def _encryption(registry: RegistryState, raw: dict[str, str] | None) -> dict[str, str]:
    kind = (raw or {}).get("encryptionType", "AES256")
    key = (raw or {}).get("kmsKey")
    if kind == "AES256":
        if key:
            invalid("encryptionConfiguration.kmsKey", "Member must be null with encryptionType AES256")
        return {"encryptionType": kind}
    managed = uuid.uuid5(uuid.NAMESPACE_URL, f"aws/ecr/{registry.account}/{registry.region}")
    default = f"arn:{registry.partition}:kms:{registry.region}:{registry.account}:key/{managed}"
    return {"encryptionType": kind, "kmsKey": key or default}


def describe_repositories(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Lists repositories in the order of their names, with real pages; named ones in the order of the request."""
    names = params.get("repositoryNames")
    if names is not None:
        if "maxResults" in params or "nextToken" in params:
            invalid("maxResults", "maxResults and nextToken cannot be used with repositoryNames")
        return {"repositories": [_described(registry, registry.repository(n)) for n in dict.fromkeys(names)]}
    chosen, token = page(sorted(registry.repositories), params, "repositories", default=100)
    out: dict[str, Any] = {"repositories": [_described(registry, registry.repositories[n]) for n in chosen]}
    if token:
        out["nextToken"] = token
    return out


def delete_repository(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Deletes a repository; one with images only with `force`."""
    repo = registry.repository(params["repositoryName"])
    if repo.images and not params.get("force"):
        refuse(
            "RepositoryNotEmptyException",
            f"The repository with name '{repo.name}' in registry with id '{registry.account}' cannot be deleted "
            "because it still contains images",
        )
    del registry.repositories[repo.name]
    for upload in [u for u in registry.uploads.values() if u.repository == repo.name]:
        del registry.uploads[upload.upload_id]
    out = _described(registry, repo)
    return {"repository": out}


def _by_arn(engine: Engine, params: dict[str, Any]) -> RepositoryState:
    match = ARN.fullmatch(params["resourceArn"])
    if match is None:
        invalid("resourceArn", "Invalid ARN")
    return engine.registry(match["account"], match["region"]).repository(match["name"])


def tag_resource(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Adds tags to a repository; a key that is there gets the new value."""
    repo = _by_arn(engine, params)
    merged = repo.tags | checked_tags(params["tags"])
    _room(engine, merged)
    repo.tags = merged
    return {}


def untag_resource(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Removes tags from a repository; unknown keys are no error."""
    repo = _by_arn(engine, params)
    for key in params["tagKeys"]:
        repo.tags.pop(key, None)
    return {}


def list_tags_for_resource(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Lists the tags of a repository."""
    return {"tags": [{"Key": k, "Value": v} for k, v in _by_arn(engine, params).tags.items()]}


def put_image_tag_mutability(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Sets one of the four mutability modes with its exclusion filters."""
    repo = registry.repository(params["repositoryName"])
    repo.tag_mutability, repo.exclusion_filters = checked_mutability(params)
    out: dict[str, Any] = {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "imageTagMutability": repo.tag_mutability,
    }
    if repo.exclusion_filters:
        out["imageTagMutabilityExclusionFilters"] = [dict(item) for item in repo.exclusion_filters]
    return out


def put_image_scanning_configuration(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Sets scan-on-push of a repository."""
    repo = registry.repository(params["repositoryName"])
    repo.scan_on_push = bool(params["imageScanningConfiguration"].get("scanOnPush"))
    return {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "imageScanningConfiguration": {"scanOnPush": repo.scan_on_push},
    }


OPERATIONS = {
    "CreateRepository": create_repository,
    "DeleteRepository": delete_repository,
    "DescribeRepositories": describe_repositories,
    "ListTagsForResource": list_tags_for_resource,
    "PutImageScanningConfiguration": put_image_scanning_configuration,
    "PutImageTagMutability": put_image_tag_mutability,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
}
