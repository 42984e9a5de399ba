"""Images that the Pods of a Kubernetes cluster run, from `kubectl get pods -A -o json` or the Kubernetes API.

The kubelet tells in a Pod's status which image it pulled. Source: Kubernetes API reference, ContainerStatus.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ecrkit._internal.times import parse_time
from ecrkit.deployments.in_use import Gap, InUse, Use, Workload
from ecrkit.errors import InvalidInput

__all__ = ["from_pods", "workload_of"]

_DIGEST: Final = re.compile(r"@(sha256:[0-9a-f]{64})$")
_FINISHED: Final = frozenset({"Succeeded", "Failed"})
_CONTAINERS: Final = (
    ("containers", "containerStatuses"),
    ("initContainers", "initContainerStatuses"),
    ("ephemeralContainers", "ephemeralContainerStatuses"),
)


def from_pods(
    document: Mapping[str, Any] | Iterable[Mapping[str, Any]], *, cluster: str = "", include_finished: bool = False
) -> InUse:
    """Return what the Pods of a cluster run.

    The digest comes from `imageID` of the container's status, when that names a repository. Without one (a runtime that
    tells the image's configuration, a container that has not started) only the reference of the Pod's spec is known. A
    Pod that cannot be read is a gap.

    Args:
        document: a List, one Pod, or several Pods, as parsed JSON.
        cluster: its name, for people.
        include_finished: Pods that succeeded or failed too; by default they run nothing.

    Raises:
        InvalidInput: the document holds no Pods at all.

    Example:
        >>> host = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app"
        >>> pod = {"kind": "Pod", "metadata": {"name": "api-7d4-x", "namespace": "pay"},
        ...        "spec": {"containers": [{"name": "app", "image": host + ":v1"}]},
        ...        "status": {"phase": "Running", "containerStatuses": [
        ...            {"name": "app", "image": host + ":v1", "imageID": host + "@sha256:" + "a" * 64}]}}
        >>> [use] = from_pods(pod, cluster="prod").uses
        >>> print(use.workload, use.digest[:12])
        kubernetes prod/pay Pod api-7d4-x (container app) sha256:aaaaa
    """
    uses: list[Use] = []
    gaps: list[Gap] = []
    for number, pod in enumerate(_pods(document)):
        try:
            uses += _of_pod(pod, cluster, include_finished)
        except (AttributeError, KeyError, TypeError, ValueError) as fault:
            name = _metadata(pod).get("name") if isinstance(pod, Mapping) else None
            why = f"is no Pod that can be read ({type(fault).__name__}: {fault!s:.100})"
            gaps.append(
                Gap(where=f"pod {name if isinstance(name, str) else f'number {number}'} of {cluster!r}", why=why)
            )
    return InUse(uses, gaps=gaps)


def _pods(document: object) -> Iterator[Any]:
    if isinstance(document, Mapping):
        items = document.get("items")
        if isinstance(items, list):
            yield from items
            return
        if document.get("kind") == "Pod":
            yield document
            return
        kind = document.get("kind")
        message = f"must be a List of Pods, as `kubectl get pods -A -o json` prints it, not {kind!r:.40}"
        raise InvalidInput.single("no Pods", "$", message)
    if isinstance(document, str | bytes) or not isinstance(document, Iterable):
        raise InvalidInput.single("no Pods", "$", f"must be parsed JSON, not {type(document).__name__}")
    yield from document


def _metadata(pod: Mapping[str, Any]) -> Mapping[str, Any]:
    found = pod.get("metadata")
    return found if isinstance(found, Mapping) else {}


def workload_of(pod: Mapping[str, Any], *, cluster: str = "", container: str = "") -> Workload:
    """Return what made a Pod: its controller, and for a ReplicaSet of a Deployment the Deployment.

    A Deployment names its ReplicaSets after itself and the hash that its Pods carry as label `pod-template-hash`.
    """
    metadata = _metadata(pod)
    owners = metadata.get("ownerReferences") or []
    owner = next((o for o in owners if isinstance(o, Mapping) and o.get("controller")), None)
    kind, name = ("Pod", metadata.get("name")) if owner is None else (owner.get("kind"), owner.get("name"))
    labels = metadata.get("labels")
    shortened = labels.get("pod-template-hash") if isinstance(labels, Mapping) else None
    if kind == "ReplicaSet" and shortened and str(name).endswith(f"-{shortened}"):
        kind, name = "Deployment", str(name).removesuffix(f"-{shortened}")
    return Workload(
        platform="kubernetes", cluster=cluster, namespace=str(metadata.get("namespace") or "default"),
        kind=str(kind), name=str(name), container=container,
    )  # fmt: skip


def _of_pod(pod: Any, cluster: str, include_finished: bool) -> list[Use]:
    if pod.get("kind", "Pod") != "Pod":
        raise ValueError(f"its kind is {pod['kind']!r:.40}")
    spec, status = pod["spec"], pod.get("status") or {}
    if status.get("phase") in _FINISHED and not include_finished:
        return []
    started = _time(status.get("startTime"))
    found: list[Use] = []
    for listed, reported in _CONTAINERS:
        told = {s["name"]: s for s in status.get(reported) or ()}
        for container in spec.get(listed) or ():
            name, reference = container["name"], container["image"]
            if not isinstance(name, str) or not isinstance(reference, str):
                raise TypeError("a container's name and image must be text")
            state = told.get(name) or {}
            found.append(
                Use(
                    reference=reference,
                    digest=pulled_digest(state.get("imageID")),
                    workload=workload_of(pod, cluster=cluster, container=name),
                    since=_time(((state.get("state") or {}).get("running") or {}).get("startedAt")) or started,
                    source="pod",
                )
            )
    return found


def pulled_digest(image_id: object) -> str | None:
    """Return the digest that was pulled.

    A bare digest is that of the image's configuration, which no registry knows as an image.
    """
    found = _DIGEST.search(image_id) if isinstance(image_id, str) else None
    return None if found is None else found[1]


def _time(value: object) -> dt.datetime | None:
    return None if value is None else parse_time(value)
