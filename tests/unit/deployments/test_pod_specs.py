"""The images that Kubernetes objects name: every kind with a Pod template, and hostile input."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.deployments import POD_KINDS, images_of

DIGEST = "sha256:" + "a" * 64
SPEC: dict[str, Any] = {
    "containers": [{"name": "app", "image": "r/app:1"}],
    "initContainers": [{"name": "first", "image": "r/init:1"}],
    "ephemeralContainers": [{"name": "debug", "image": "r/debug:1"}],
}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": SPEC}


def made(kind: str) -> dict[str, Any]:
    body: dict[str, Any] = {"kind": kind, "metadata": {"name": "one", "namespace": "pay"}}
    if kind == "Pod":
        return body | {"spec": SPEC}
    if kind == "PodTemplate":
        return body | {"template": TEMPLATE}
    if kind == "CronJob":
        return body | {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}}
    return body | {"spec": {"template": TEMPLATE}}


class TestEveryKind:
    """Each kind that makes Pods holds a PodTemplateSpec (Kubernetes API reference)."""

    @pytest.mark.parametrize("kind", POD_KINDS)
    def test_all_three_lists_are_read_with_their_paths(self, kind: str) -> None:
        found = images_of(made(kind), cluster="prod")
        assert found.complete
        assert [(i.role, i.image) for i in found.images] == [
            ("init", "r/init:1"), ("container", "r/app:1"), ("ephemeral", "r/debug:1"),
        ]  # fmt: skip
        for image in found.images:
            at: Any = made(kind)
            for step in image.path.removeprefix("$.").replace("[", ".").replace("]", "").split("."):
                at = at[int(step)] if step.isdigit() else at[step]
            assert at == image.image
            assert (image.namespace, image.workload.kind, image.workload.name) == ("pay", kind, "one")
            assert (image.workload.cluster, image.workload.container) == ("prod", image.container)

    def test_the_announced_kind_serves_when_the_object_names_none(self) -> None:
        assert images_of({"spec": {"template": TEMPLATE}}, kind="Deployment").references[1] == "r/app:1"

    def test_another_kind_than_announced_is_a_problem(self) -> None:
        found = images_of(made("Pod"), kind="Deployment")
        assert not found.images
        assert found.problems[0].path == "$.kind"

    def test_a_namespace_of_its_own_comes_first(self) -> None:
        assert images_of(made("Pod"), namespace="other").images[0].namespace == "pay"
        bare = {"kind": "Pod", "spec": SPEC}
        assert images_of(bare, namespace="other").images[0].namespace == "other"
        assert images_of(bare).images[0].namespace == "default"


class TestLists:
    """`kubectl get ... -o json` prints a List; the API prints a PodList whose items name no kind."""

    def test_items_of_several_kinds(self) -> None:
        found = images_of({"kind": "List", "items": [made("Pod"), made("CronJob")]})
        assert [i.workload.kind for i in found.images] == ["Pod"] * 3 + ["CronJob"] * 3
        assert found.images[3].path.startswith("$.items[1].spec.jobTemplate.")

    def test_items_of_a_pod_list_are_pods(self) -> None:
        assert len(images_of({"kind": "PodList", "items": [{"spec": SPEC}]}).images) == 3

    def test_a_list_in_a_list_is_refused(self) -> None:
        found = images_of({"kind": "List", "items": [{"kind": "List", "items": [made("Pod")]}]})
        assert not found.images
        assert [p.path for p in found.problems] == ["$.items[0].kind"]

    def test_one_bad_item_leaves_the_others(self) -> None:
        found = images_of({"kind": "List", "items": [7, made("Pod"), {"kind": "Service"}]})
        assert len(found.images) == 3
        assert [p.path for p in found.problems] == ["$.items[0]", "$.items[2].kind"]

    def test_items_that_are_no_list(self) -> None:
        assert [p.path for p in images_of({"kind": "List", "items": {}}).problems] == ["$.items"]


class TestOwnersAndDigests:
    """A Pod's controller owns its containers; its status tells what was pulled (ContainerStatus.imageID)."""

    def test_the_deployment_behind_the_replica_set_owns_the_containers(self) -> None:
        pod = made("Pod")
        pod["metadata"] |= {
            "labels": {"pod-template-hash": "7d4"},
            "ownerReferences": [{"kind": "ReplicaSet", "name": "api-7d4", "controller": True}],
        }
        owner = images_of(pod).images[1].workload
        assert (owner.kind, owner.name, owner.namespace, owner.container) == ("Deployment", "api", "pay", "app")

    def test_the_pulled_digest(self) -> None:
        pod = made("Pod") | {
            "status": {
                "containerStatuses": [{"name": "app", "imageID": f"r/app@{DIGEST}"}],
                "initContainerStatuses": [{"name": "first", "imageID": DIGEST}, 5],
                "ephemeralContainerStatuses": "x",
            }
        }
        assert [i.digest for i in images_of(pod).images] == [None, DIGEST, None]

    def test_a_deployment_has_no_digests(self) -> None:
        body = made("Deployment") | {"status": {"containerStatuses": [{"name": "app", "imageID": f"r@{DIGEST}"}]}}
        assert {i.digest for i in images_of(body).images} == {None}


class TestHostileInput:
    """What cannot be read is a problem with its path, never a crash and never silence."""

    @pytest.mark.parametrize(
        ("document", "path"),
        [
            (None, "$"),
            ("Pod", "$"),
            ([], "$"),
            ({}, "$.kind"),
            ({"kind": ["Pod"]}, "$.kind"),
            ({"kind": "Service", "spec": SPEC}, "$.kind"),
            ({"kind": "Pod"}, "$.spec"),
            ({"kind": "Pod", "spec": {}}, "$.spec.containers"),
            ({"kind": "Pod", "spec": {"containers": []}}, "$.spec.containers"),
            ({"kind": "Pod", "spec": {"containers": {}}}, "$.spec.containers"),
            ({"kind": "Pod", "spec": {"containers": ["x"]}}, "$.spec.containers[0].image"),
            ({"kind": "Pod", "spec": {"containers": [{"image": ""}]}}, "$.spec.containers[0].image"),
            ({"kind": "Pod", "spec": SPEC | {"initContainers": "x"}}, "$.spec.initContainers"),
            ({"kind": "Pod", "spec": SPEC, "metadata": []}, "$.metadata"),
            ({"kind": "Deployment", "spec": {"template": 1}}, "$.spec.template.spec"),
        ],
    )
    def test_problem(self, document: object, path: str) -> None:
        assert path in [p.path for p in images_of(document).problems]

    @settings(max_examples=150)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        ["kind", "spec", "template", "containers", "image", "name", "metadata", "items", "status",
                         "ownerReferences", "jobTemplate", "initContainers", "containerStatuses", "labels"]
                    ),
                    inner | st.sampled_from(["Pod", "List", "CronJob", "x"]),
                    max_size=6,
                )
            ),
            max_leaves=25,
        )
    )  # fmt: skip
    def test_anything_at_all(self, document: object) -> None:
        found = images_of(document)
        assert found.problems or found.images or (isinstance(document, dict) and document.get("items") == [])
