"""The gateway to Amazon ECS: which images its tasks run and its services would start."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ecrkit.aws.calls import Caller
from ecrkit.aws.ecr.base import batches
from ecrkit.aws.iam import needs
from ecrkit.deployments.ecs import uses_of_task, uses_of_task_definition
from ecrkit.deployments.in_use import Gap, InUse, Use
from ecrkit.errors import AwsCallFailed
from ecrkit.ports import Listing

__all__ = ["EcsGateway"]

_SERVICES: Final = 10
_TASKS: Final = 100


class EcsGateway:
    """Asks ECS of one account and Region what runs. What is refused becomes a gap of the answer, never an empty one."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._region: str = caller.client.meta.region_name

    @needs("ecs:ListClusters")
    def clusters(self) -> Listing[str]:
        """Return the ARNs of all clusters, lazily. Calls: one for each 100.

        Raises:
            AwsCallFailed: when walked, and ECS refused.
        """
        return self._arns("ListClusters", {}, "clusterArns")

    @needs(
        "ecs:ListClusters", "ecs:ListServices", "ecs:DescribeServices", "ecs:ListTasks", "ecs:DescribeTasks",
        "ecs:DescribeTaskDefinition",
    )  # fmt: skip
    def in_use(self, clusters: Iterable[str] | None = None) -> InUse:
        """Return what the clusters' tasks run and what their services would start, task sets and rollouts included.

        Calls: one for each 100 clusters; for each cluster one for each 100 tasks and each 10 services twice; one for
        each task definition that a service names.

        Args:
            clusters: names or ARNs; by default all. An unknown one is a gap.
        """
        uses: list[Use] = []
        gaps: list[Gap] = []
        try:
            wanted = list(self.clusters() if clusters is None else clusters)
        except AwsCallFailed as fault:
            return InUse(gaps=[Gap(where=f"ecs clusters of {self._region}", why=str(fault))])
        definitions: dict[str, Any] = {}
        for cluster in wanted:
            self._tasks(cluster, uses, gaps)
            self._services(cluster, uses, gaps, definitions)
        return InUse(uses, gaps=gaps)

    @needs("ecs:ListTaskDefinitionFamilies", "ecs:DescribeTaskDefinition")
    def startable(self) -> InUse:
        """Return what the newest active task definition of every family names.

        That is what schedules and pipelines start that no service keeps running. A family that nobody uses any more
        counts as long as it is active. A schedule that pins an older revision is not seen.

        Calls: one for each 100 families, and one for each family.
        """
        uses: list[Use] = []
        gaps: list[Gap] = []
        known: dict[str, Any] = {}
        try:
            for family in self._caller.listing(
                "ListTaskDefinitionFamilies", {"status": "ACTIVE", "maxResults": 100},
                lambda answer: list(answer.get("families") or ()),
            ):  # fmt: skip
                uses.extend(self._definition(family, "", "", gaps, known))
        except AwsCallFailed as fault:
            gaps.append(Gap(where=f"ecs task definitions of {self._region}", why=str(fault)))
        return InUse(uses, gaps=gaps)

    def _arns(self, operation: str, parameters: Mapping[str, Any], key: str) -> Listing[str]:
        return self._caller.listing(
            operation, {**parameters, "maxResults": 100}, lambda answer: list(answer.get(key) or ())
        )

    def _tasks(self, cluster: str, uses: list[Use], gaps: list[Gap]) -> None:
        try:
            for arns in batches(self._arns("ListTasks", {"cluster": cluster}, "taskArns"), _TASKS):
                answer = self._caller.call("DescribeTasks", {"cluster": cluster, "tasks": arns}, resource=cluster)
                for task in answer.get("tasks") or ():
                    uses.extend(uses_of_task(task))
                # A task that stopped in between is gone; anything else may still run.
                gaps.extend(_failed(cluster, answer, unless="MISSING"))
        except AwsCallFailed as fault:
            gaps.append(Gap(where=f"ecs tasks of {cluster}", why=str(fault)))

    def _services(self, cluster: str, uses: list[Use], gaps: list[Gap], known: dict[str, Any]) -> None:
        try:
            for arns in batches(self._service_arns(cluster), _SERVICES):
                answer = self._caller.call("DescribeServices", {"cluster": cluster, "services": arns}, resource=cluster)
                for service in answer.get("services") or ():
                    for arn in _definitions(service):
                        uses.extend(self._definition(arn, cluster, str(service.get("serviceName") or ""), gaps, known))
                gaps.extend(_failed(cluster, answer, unless="MISSING"))
        except AwsCallFailed as fault:
            gaps.append(Gap(where=f"ecs services of {cluster}", why=str(fault)))

    def _service_arns(self, cluster: str) -> Listing[str]:
        return self._arns("ListServices", {"cluster": cluster}, "serviceArns")

    def _definition(
        self, arn: str, cluster: str, service: str, gaps: list[Gap], known: dict[str, Any]
    ) -> tuple[Use, ...]:
        if arn not in known:
            try:
                answer = self._caller.call("DescribeTaskDefinition", {"taskDefinition": arn}, resource=arn)
                known[arn] = answer.get("taskDefinition") or {}
            except AwsCallFailed as fault:
                gaps.append(Gap(where=f"ecs task definition {arn}", why=str(fault)))
                known[arn] = {}
        return uses_of_task_definition(known[arn], cluster=cluster, service=service)


def _definitions(service: Mapping[str, Any]) -> Sequence[str]:
    """Return the task definitions of a service: its own, and those of rollouts and task sets under way."""
    holders = [service, *(service.get("deployments") or ()), *(service.get("taskSets") or ())]
    return list(dict.fromkeys(str(h["taskDefinition"]) for h in holders if h.get("taskDefinition")))


def _failed(cluster: str, answer: Mapping[str, Any], *, unless: str) -> list[Gap]:
    return [
        Gap(where=f"ecs {failure.get('arn') or cluster}", why=str(failure.get("reason") or "refused without a reason"))
        for failure in answer.get("failures") or ()
        if failure.get("reason") != unless
    ]
