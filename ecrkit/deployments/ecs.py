"""Images that Amazon ECS runs or would start: tasks, and the task definitions of services.

The readers take what boto3 returns for DescribeTasks and DescribeTaskDefinition.
Source: Amazon ECS API reference, Container and ContainerDefinition.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from ecrkit.deployments.in_use import Use, Workload
from ecrkit.errors import InvalidReference
from ecrkit.refs import digest

__all__ = ["uses_of_task", "uses_of_task_definition"]


def _name(arn: str) -> str:
    return arn.rpartition("/")[2]


def _list(value: object) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, Mapping)] if isinstance(value, list) else []


def _digest(value: object) -> str | None:
    try:
        return str(digest(value)) if isinstance(value, str) else None
    except InvalidReference:
        return None


def uses_of_task(task: Mapping[str, Any]) -> tuple[Use, ...]:
    """Return the uses of one task that DescribeTasks told; ECS names the digest that each container runs.

    A task of a service is told as the service, any other as its task definition's family.

    Example:
        >>> [use] = uses_of_task({
        ...     "clusterArn": "arn:aws:ecs:us-east-1:123456789012:cluster/prod", "group": "service:api",
        ...     "containers": [{"name": "app", "image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1",
        ...                     "imageDigest": "sha256:" + "a" * 64}]})
        >>> print(use.workload)
        ecs prod Service api (container app)
    """
    group = str(task.get("group") or "")
    kind, colon, name = group.partition(":")
    kind = kind.capitalize() if colon and kind in ("service", "family") else "Task"
    cluster = _name(str(task.get("clusterArn") or ""))
    since = task.get("startedAt")
    shown = name if kind != "Task" else group or _name(str(task.get("taskDefinitionArn") or task.get("taskArn") or ""))
    return tuple(
        Use(
            reference=str(container["image"]),
            digest=_digest(container.get("imageDigest")),
            workload=Workload(
                platform="ecs", cluster=cluster, kind=kind, name=shown, container=str(container.get("name") or ""),
            ),
            since=since if isinstance(since, dt.datetime) and since.tzinfo else None,
            source="ecs task",
        )
        for container in _list(task.get("containers"))
        if container.get("image")
    )  # fmt: skip


def uses_of_task_definition(definition: Mapping[str, Any], *, cluster: str = "", service: str = "") -> tuple[Use, ...]:
    """Return the uses of a task definition's containers: what the service starts next, with no digest unless pinned.

    Args:
        definition: the `taskDefinition` of DescribeTaskDefinition.
        cluster: whose service it is, its name or ARN.
        service: the service that names the definition; empty for one that only scheduled or manual runs use.
    """
    family = f"{definition.get('family') or ''}:{definition.get('revision') or ''}".strip(":")
    kind, name = ("Service", service) if service else ("TaskDefinition", family)
    return tuple(
        Use(
            reference=str(container["image"]),
            workload=Workload(
                platform="ecs", cluster=_name(cluster), kind=kind, name=name,
                container=str(container.get("name") or ""),
            ),
            source=f"ecs task definition {family}",
        )
        for container in _list(definition.get("containerDefinitions"))
        if container.get("image")
    )  # fmt: skip
