"""Repository creation templates at work: how ECR makes a repository that nobody created.

`apply_template` is called wherever ECR creates a repository itself: for a replicated image, for an image that comes
through a pull-through cache rule, and for a push into a repository that is not there (CREATE_ON_PUSH).
Source: ECR user guide, "Templates to control repositories created during a pull through cache, create on push, or
replication action".
"""

from __future__ import annotations

import copy
import datetime as dt
from typing import TYPE_CHECKING, Any, Final, Literal

from ecrkit.local.lifecycle_runs import schedule_runs
from ecrkit.local.operations.repositories import create_repository

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import RepositoryState

__all__ = ["ROOT", "AppliedFor", "apply_template", "template_for", "templates_of"]

AppliedFor = Literal["REPLICATION", "PULL_THROUGH_CACHE", "CREATE_ON_PUSH"]
"""What a template is for (ECR API reference, RepositoryCreationTemplate, `appliedFor`)."""

ROOT: Final = "ROOT"
"""The prefix of the template for every repository that no other template is for."""

_TEMPLATES: Final = "creation_templates"
_SETTINGS: Final = ("encryptionConfiguration", "imageTagMutability", "imageTagMutabilityExclusionFilters")


def templates_of(registry: RegistryState) -> dict[str, dict[str, Any]]:
    """Return the registry's templates by prefix, as the API shows them; the mapping is the registry's own."""
    found: dict[str, dict[str, Any]] = registry.extra.setdefault(_TEMPLATES, {})
    return found


def template_for(registry: RegistryState, repository: str, applied_for: AppliedFor) -> dict[str, Any] | None:
    """Return the template that ECR would create the repository by, or None when no template is for it.

    A `/` is assumed at the end of every prefix, the longest one that fits wins, and ROOT is for what no other fits.
    """
    fitting = [
        template
        for prefix, template in templates_of(registry).items()
        if applied_for in template["appliedFor"]
        and (prefix == ROOT or repository.startswith(prefix.removesuffix("/") + "/"))
    ]
    return max(fitting, key=lambda t: -1 if t["prefix"] == ROOT else len(t["prefix"].removesuffix("/")), default=None)


def apply_template(
    engine: Engine,
    registry: RegistryState,
    repository: str,
    applied_for: AppliedFor,
    *,
    at: dt.datetime | None = None,
) -> RepositoryState:
    """Return the repository; when it is not there, create it as the fitting template says, else by default settings.

    Tag mutability, encryption, tags, repository policy and lifecycle policy come from the template. Without one the
    repository has ECR's defaults: mutable tags, AES-256, no policy (ECR user guide, repository creation templates).
    `at` is when that happens; by default now.

    Raises:
        ServiceFault: LimitExceededException, the registry is full.

    Example:
        >>> from ecrkit.local import Engine
        >>> engine = Engine()
        >>> _ = engine.call("CreateRepositoryCreationTemplate", {
        ...     "prefix": "prod", "appliedFor": ["REPLICATION"], "imageTagMutability": "IMMUTABLE"})
        >>> apply_template(engine, engine.registry(), "prod/app", "REPLICATION").tag_mutability
        'IMMUTABLE'
    """
    there = registry.repositories.get(repository)
    if there is not None:
        return there
    template = template_for(registry, repository, applied_for) or {}
    request = {name: copy.deepcopy(template[name]) for name in _SETTINGS if template.get(name)}
    if template.get("resourceTags"):
        request["tags"] = copy.deepcopy(template["resourceTags"])
    create_repository(engine, registry, {"repositoryName": repository, **request})
    made = registry.repositories[repository]
    made.created_at = at or made.created_at
    made.policy_text = template.get("repositoryPolicy") or None
    made.lifecycle_text = template.get("lifecyclePolicy") or None
    if made.lifecycle_text is not None:
        schedule_runs(engine, registry, made)
    return made
