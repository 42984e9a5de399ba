"""Which images run where: Pods, ECS tasks and Lambda functions as one set of uses."""

from ecrkit.deployments.ecs import uses_of_task, uses_of_task_definition
from ecrkit.deployments.functions import uses_of_function
from ecrkit.deployments.in_use import Gap, InUse, RepositoryUse, Use, Workload
from ecrkit.deployments.pod_specs import POD_KINDS, ContainerImage, ContainerRole, SpecImages, images_of
from ecrkit.deployments.pods import from_pods, workload_of
from ecrkit.deployments.pull_history import (
    PULLS,
    PUSHES,
    LogsQuery,
    calls_query,
    calls_sql,
    failures_query,
    failures_sql,
    pullers_query,
)
from ecrkit.deployments.signs import (
    SCANNERS,
    named_in_folder,
    named_in_text,
    pulled_since,
    rested_on,
    seen_by_inspector,
)

__all__ = [
    "POD_KINDS",
    "PULLS",
    "PUSHES",
    "SCANNERS",
    "ContainerImage",
    "ContainerRole",
    "Gap",
    "InUse",
    "LogsQuery",
    "RepositoryUse",
    "SpecImages",
    "Use",
    "Workload",
    "calls_query",
    "calls_sql",
    "failures_query",
    "failures_sql",
    "from_pods",
    "images_of",
    "named_in_folder",
    "named_in_text",
    "pulled_since",
    "pullers_query",
    "rested_on",
    "seen_by_inspector",
    "uses_of_function",
    "uses_of_task",
    "uses_of_task_definition",
    "workload_of",
]
