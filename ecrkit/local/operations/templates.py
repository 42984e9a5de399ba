"""Repository creation templates: create, describe, update, delete. `ecrkit.local.templates` applies them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from ecrkit.local.faults import invalid, refuse
from ecrkit.local.lifecycle_runs import parse_policy
from ecrkit.local.operations._paging import page
from ecrkit.local.operations.policies import check_policy
from ecrkit.local.operations.repositories import checked_mutability, checked_tags
from ecrkit.local.templates import templates_of

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS"]

_MEMBERS: Final = (
    "description", "encryptionConfiguration", "resourceTags", "imageTagMutability",
    "imageTagMutabilityExclusionFilters", "repositoryPolicy", "lifecyclePolicy", "appliedFor", "customRoleArn",
)  # fmt: skip


def _checked(template: dict[str, Any]) -> dict[str, Any]:
    """Refuse what ECR would refuse of a repository's settings; return the template."""
    mode, filters = checked_mutability(template)
    template["imageTagMutability"] = mode
    template.pop("imageTagMutabilityExclusionFilters", None)
    if filters:
        template["imageTagMutabilityExclusionFilters"] = filters
    checked_tags(template.get("resourceTags") or [])
    encryption = template.setdefault("encryptionConfiguration", {"encryptionType": "AES256"})
    if encryption["encryptionType"] == "AES256" and encryption.get("kmsKey"):
        invalid("encryptionConfiguration.kmsKey", "Member must be null with encryptionType AES256")
    if not template["appliedFor"]:
        invalid("appliedFor", "Member must have length greater than or equal to 1")
    if template.get("repositoryPolicy"):
        check_policy(template["repositoryPolicy"], kind="repository")
    if template.get("lifecyclePolicy"):
        parse_policy(template["lifecyclePolicy"])
    return template


def _found(registry: RegistryState, prefix: str) -> dict[str, Any]:
    found = templates_of(registry).get(prefix)
    if found is None:
        refuse(
            "TemplateNotFoundException",
            f"The repository creation template with prefix '{prefix}' does not exist in the registry with id "
            f"'{registry.account}'",
        )
    return found


def _answer(registry: RegistryState, template: dict[str, Any]) -> dict[str, Any]:
    return {"registryId": registry.account, "repositoryCreationTemplate": copy.deepcopy(template)}


def create_repository_creation_template(
    engine: Engine, registry: RegistryState, params: dict[str, Any]
) -> dict[str, Any]:
    """Creates a template for REPLICATION, PULL_THROUGH_CACHE or CREATE_ON_PUSH; its policies must be valid."""
    prefix, known = params["prefix"], templates_of(registry)
    template = _checked({"prefix": prefix, **{n: copy.deepcopy(params[n]) for n in _MEMBERS if n in params}})
    if prefix in known:
        refuse(
            "TemplateAlreadyExistsException",
            f"The repository creation template with prefix '{prefix}' already exists in the registry with id "
            f"'{registry.account}'",
        )
    if len(known) >= engine.limits.repository_creation_templates:
        limit = engine.limits.repository_creation_templates
        refuse("LimitExceededException", f"a registry has at most {limit} repository creation templates")
    template["createdAt"] = template["updatedAt"] = engine.clock.now()
    known[prefix] = template
    return _answer(registry, template)


def update_repository_creation_template(
    engine: Engine, registry: RegistryState, params: dict[str, Any]
) -> dict[str, Any]:
    """Replaces the members given; repositories that a template made before stay as they are."""
    before = _found(registry, params["prefix"])
    given: dict[str, Any] = {name: copy.deepcopy(params[name]) for name in _MEMBERS if name in params}
    template: dict[str, Any] = {**before, **given}
    if "imageTagMutability" in given and "imageTagMutabilityExclusionFilters" not in given:
        template.pop("imageTagMutabilityExclusionFilters", None)
    template = _checked(template)
    template["updatedAt"] = engine.clock.now()
    templates_of(registry)[params["prefix"]] = template
    return _answer(registry, template)


def delete_repository_creation_template(
    engine: Engine,  # noqa: ARG001 every handler has the same signature
    registry: RegistryState,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Deletes a template; repositories that it made stay as they are."""
    found = _found(registry, params["prefix"])
    del templates_of(registry)[params["prefix"]]
    return _answer(registry, found)


def describe_repository_creation_templates(
    engine: Engine,  # noqa: ARG001 every handler has the same signature
    registry: RegistryState,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Lists templates in the order of their prefixes, with real pages, or those of the prefixes given."""
    known = templates_of(registry)
    if params.get("prefixes"):
        if "maxResults" in params or "nextToken" in params:
            invalid("maxResults", "maxResults and nextToken cannot be used with prefixes")
        chosen, token = [p for p in dict.fromkeys(params["prefixes"]) if p in known], None
    else:
        chosen, token = page(sorted(known), params, "creation-templates", default=100)
    out: dict[str, Any] = {
        "registryId": registry.account,
        "repositoryCreationTemplates": [copy.deepcopy(known[prefix]) for prefix in chosen],
    }
    if token:
        out["nextToken"] = token
    return out


OPERATIONS = {
    "CreateRepositoryCreationTemplate": create_repository_creation_template,
    "DeleteRepositoryCreationTemplate": delete_repository_creation_template,
    "DescribeRepositoryCreationTemplates": describe_repository_creation_templates,
    "UpdateRepositoryCreationTemplate": update_repository_creation_template,
}
