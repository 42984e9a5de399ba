"""Which images run where: Pods, ECS tasks and Lambda functions as one set of uses."""

from ecrkit.deployments.ecs import uses_of_task, uses_of_task_definition
from ecrkit.deployments.functions import uses_of_function
from ecrkit.deployments.in_use import Gap, InUse, RepositoryUse, Use, Workload
from ecrkit.deployments.pods import from_pods, workload_of

__all__ = [
    "Gap",
    "InUse",
    "RepositoryUse",
    "Use",
    "Workload",
    "from_pods",
    "uses_of_function",
    "uses_of_task",
    "uses_of_task_definition",
    "workload_of",
]
