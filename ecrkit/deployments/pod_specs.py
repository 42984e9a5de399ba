"""The images that a Kubernetes object names: of a Pod, of what makes Pods, or of a List of them.

Unlike `from_pods`, which tells what runs, this reads what is asked for: the Pod templates of Deployments, StatefulSets,
DaemonSets, ReplicaSets, ReplicationControllers, Jobs and CronJobs, with the place of every image in the object.
Source: Kubernetes API reference, PodSpec and PodTemplateSpec.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.deployments.in_use import Workload
from ecrkit.deployments.pods import pulled_digest, workload_of
from ecrkit.errors import Problem

__all__ = ["POD_KINDS", "ContainerImage", "ContainerRole", "SpecImages", "images_of"]

ContainerRole = Literal["container", "init", "ephemeral"]
"""Which list of a Pod's spec the container stands in."""

_LISTS: Final[tuple[tuple[str, ContainerRole], ...]] = (
    ("initContainers", "init"),
    ("containers", "container"),
    ("ephemeralContainers", "ephemeral"),
)
_SPEC_OF: Final[dict[str, tuple[str, ...]]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "Deployment": ("spec", "template", "spec"),
    "StatefulSet": ("spec", "template", "spec"),
    "DaemonSet": ("spec", "template", "spec"),
    "ReplicaSet": ("spec", "template", "spec"),
    "ReplicationController": ("spec", "template", "spec"),
    "Job": ("spec", "template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
POD_KINDS: Final = tuple(_SPEC_OF)
"""The kinds whose Pod template is read."""
_STATUSES: Final[dict[ContainerRole, str]] = {
    "init": "initContainerStatuses",
    "container": "containerStatuses",
    "ephemeral": "ephemeralContainerStatuses",
}


@attrs.frozen(kw_only=True)
class ContainerImage(Record):
    """One image that a container asks for: its text, where in the object it stands, and what owns the container.

    `path` is the JSON path of the image within the document read. `digest` is what the kubelet says it pulled, when a
    Pod's status tells; None for everything else. `namespace` is the object's own, `default` when it names none and the
    reader was given none.
    """

    image: str
    path: str
    container: str
    role: ContainerRole
    namespace: str
    workload: Workload
    digest: str | None = None


def _images(values: Iterable[ContainerImage]) -> tuple[ContainerImage, ...]:
    return tuple(values)


def _problems(values: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class SpecImages(Record):
    """The images found, in document order, and everything that could not be read.

    Whoever admits by this set takes a problem as a no: what cannot be read may name any image.
    """

    images: tuple[ContainerImage, ...] = attrs.field(default=(), converter=_images)
    problems: tuple[Problem, ...] = attrs.field(default=(), converter=_problems)

    @property
    def complete(self) -> bool:
        """Whether everything could be read."""
        return not self.problems

    @property
    def references(self) -> tuple[str, ...]:
        """The texts of the images, each once, in document order."""
        return tuple(dict.fromkeys(i.image for i in self.images))


def images_of(
    document: object, *, kind: str | None = None, namespace: str | None = None, cluster: str = "", path: str = "$"
) -> SpecImages:
    """Return every image that a Kubernetes object names: of init, ordinary and ephemeral containers.

    A List gives the images of all its items, each owned by its item; for a Pod the owner is its controller. Anything
    that cannot be read becomes a problem with its path, whatever the document is; nothing is raised.

    Args:
        document: parsed JSON: an object of one of `POD_KINDS`, or a List.
        kind: the kind to take the object for, when it does not name one itself, as in an admission request.
        namespace: the namespace of objects that name none.
        cluster: its name, for people.
        path: where the document stands in the whole that the caller reads.

    Example:
        >>> found = images_of({"kind": "CronJob", "metadata": {"name": "report", "namespace": "pay"}, "spec": {
        ...     "jobTemplate": {"spec": {"template": {"spec": {"containers": [{"name": "a", "image": "app:1"}]}}}}}})
        >>> found.images[0].path
        '$.spec.jobTemplate.spec.template.spec.containers[0].image'
        >>> images_of({"kind": "Pod", "spec": {"containers": 5}}).problems[0].path
        '$.spec.containers'
    """
    reading = _Reading(namespace=namespace, cluster=cluster)
    images = list(_of(document, kind, path, reading, in_list=False))
    return SpecImages(images=images, problems=reading.problems)


@attrs.define(kw_only=True)
class _Reading:
    namespace: str | None
    cluster: str
    problems: list[Problem] = attrs.field(factory=list)


def _of(document: object, kind: str | None, path: str, reading: _Reading, *, in_list: bool) -> Iterator[ContainerImage]:
    problems = reading.problems
    if not isinstance(document, Mapping):
        problems.append(Problem(path, f"must be a Kubernetes object, not {type(document).__name__}"))
        return
    named = document.get("kind")
    if named is not None and kind is not None and named != kind:
        problems.append(Problem(f"{path}.kind", f"is {named!r:.60}, where {kind!r:.60} was announced"))
        return
    named = kind if named is None else named
    items = document.get("items")
    if not in_list and isinstance(named, str) and named.endswith("List"):
        if not isinstance(items, list):
            problems.append(Problem(f"{path}.items", "must be a list"))
            return
        # The items of a PodList need not repeat their kind; those of `kubectl get` do.
        inner = named.removesuffix("List") or None
        for number, item in enumerate(items):
            own = inner if isinstance(item, Mapping) and item.get("kind") is None else None
            yield from _of(item, own, f"{path}.items[{number}]", reading, in_list=True)
        return
    if not isinstance(named, str) or named not in _SPEC_OF:
        problems.append(Problem(f"{path}.kind", f"{named!r:.60} has no Pod template that is known here"))
        return
    yield from _of_object(document, named, path, reading)


def _of_object(document: Mapping[str, Any], kind: str, path: str, reading: _Reading) -> Iterator[ContainerImage]:
    problems = reading.problems
    metadata = document.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        problems.append(Problem(f"{path}.metadata", "must be an object"))
        metadata = None
    of = _text((metadata or {}).get("namespace")) or reading.namespace or "default"
    workload = _workload(kind, metadata or {}, of, reading.cluster)
    spec: object = document
    at = path
    for step in _SPEC_OF[kind]:
        at = f"{at}.{step}"
        spec = spec.get(step) if isinstance(spec, Mapping) else None
    if not isinstance(spec, Mapping):
        problems.append(Problem(at, "must be the spec of a Pod"))
        return
    told = _pulled(document.get("status")) if kind == "Pod" else {}
    for listed, role in _LISTS:
        containers = spec.get(listed)
        if containers is None and role != "container":
            continue
        if not isinstance(containers, list) or (role == "container" and not containers):
            problems.append(Problem(f"{at}.{listed}", "must be a list of containers"))
            continue
        for number, container in enumerate(containers):
            here = f"{at}.{listed}[{number}]"
            image = container.get("image") if isinstance(container, Mapping) else None
            if not isinstance(image, str) or not image:
                problems.append(Problem(f"{here}.image", "must name an image"))
                continue
            name = _text(container.get("name"))
            yield ContainerImage(
                image=image,
                path=f"{here}.image",
                container=name,
                role=role,
                namespace=of,
                workload=attrs.evolve(workload, container=name),
                digest=told.get((role, name)),
            )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _workload(kind: str, metadata: Mapping[str, Any], namespace: str, cluster: str) -> Workload:
    owners = metadata.get("ownerReferences")
    if kind == "Pod" and isinstance(owners, list) and owners:
        return attrs.evolve(workload_of({"metadata": metadata}, cluster=cluster), namespace=namespace)
    name = _text(metadata.get("name")) or _text(metadata.get("generateName"))
    return Workload(platform="kubernetes", cluster=cluster, namespace=namespace, kind=kind, name=name)


def _pulled(status: object) -> dict[tuple[ContainerRole, str], str]:
    """Return the digests that the kubelet says it pulled, by role and name of the container."""
    found: dict[tuple[ContainerRole, str], str] = {}
    if not isinstance(status, Mapping):
        return found
    for role, member in _STATUSES.items():
        states = status.get(member)
        for state in states if isinstance(states, list) else ():
            if isinstance(state, Mapping) and isinstance(state.get("name"), str):
                digest = pulled_digest(state.get("imageID"))
                if digest is not None:
                    found[role, state["name"]] = digest
    return found
