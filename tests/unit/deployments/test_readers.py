"""Pods, ECS tasks and Lambda functions: the reference, the digest that runs, the workload behind it."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrkit.deployments import from_pods, uses_of_function, uses_of_task, uses_of_task_definition, workload_of
from ecrkit.errors import InvalidInput

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def pod(**more):
    return {
        "metadata": {"name": "api-5c9f8d7b6-x2x2x", "namespace": "pay", "labels": {"pod-template-hash": "5c9f8d7b6"},
                     "ownerReferences": [{"kind": "ReplicaSet", "name": "api-5c9f8d7b6", "controller": True}]},
        "spec": {"containers": [{"name": "app", "image": f"{HOST}/team/app:v1"}]},
        "status": {"phase": "Running", "startTime": "2026-11-01T10:00:00Z", "containerStatuses": [
            {"name": "app", "imageID": f"{HOST}/team/app@{D1}",
             "state": {"running": {"startedAt": "2026-11-02T10:00:00Z"}}}]},
        **more,
    }  # fmt: skip


class TestPods:
    def test_a_list_as_kubectl_prints_it(self):
        found = from_pods({"kind": "List", "items": [pod(), pod()]}, cluster="prod")
        [use] = found.uses
        assert found.complete
        assert (use.reference, use.digest) == (f"{HOST}/team/app:v1", D1)
        assert str(use.workload) == "kubernetes prod/pay Deployment api (container app)"
        assert use.since == dt.datetime(2026, 11, 2, 10, tzinfo=dt.UTC)

    @pytest.mark.parametrize("image_id", [f"docker-pullable://{HOST}/team/app@{D2}", f"{HOST}/team/app@{D2}"])
    def test_the_forms_of_an_image_id_that_name_a_manifest(self, image_id):
        one = pod(status={"containerStatuses": [{"name": "app", "imageID": image_id}]})
        assert from_pods(one | {"kind": "Pod"}).uses[0].digest == D2

    @pytest.mark.parametrize("image_id", [D2, f"docker://{D2}", "", None, f"{HOST}/team/app@{D2}x", 7])
    def test_a_bare_digest_is_the_configurations_and_no_image(self, image_id):
        one = pod(status={"containerStatuses": [{"name": "app", "imageID": image_id}]})
        assert from_pods([one]).uses[0].digest is None

    def test_a_container_that_has_not_started_counts_by_its_reference(self):
        [use] = from_pods([pod(status={"phase": "Pending"})]).uses
        assert (use.digest, use.since) == (None, None)

    def test_init_and_ephemeral_containers_count(self):
        one = pod(
            spec={
                "containers": [{"name": "app", "image": "a"}],
                "initContainers": [{"name": "init", "image": "b"}],
                "ephemeralContainers": [{"name": "debug", "image": "c"}],
            },
            status={
                "initContainerStatuses": [{"name": "init", "imageID": f"x/y@{D1}"}],
                "startTime": "2026-11-01T10:00:00Z",
            },
        )
        found = from_pods([one]).uses
        assert [(u.reference, u.digest) for u in found] == [("a", None), ("b", D1), ("c", None)]
        assert found[0].since == dt.datetime(2026, 11, 1, 10, tzinfo=dt.UTC)

    def test_finished_pods_run_nothing_unless_asked_for(self):
        finished = [pod(status={"phase": phase}) for phase in ("Succeeded", "Failed")]
        assert len(from_pods(finished)) == 0
        assert len(from_pods(finished, include_finished=True)) == 1

    @pytest.mark.parametrize(
        ("broken", "told"),
        [
            (3, "pod number 0 of 'prod'"),
            ({"metadata": {"name": "x"}}, "pod x of 'prod'"),
            (pod(spec={"containers": [{"name": "app"}]}), "pod api-5c9f8d7b6-x2x2x of 'prod'"),
            (pod(spec={"containers": [{"name": "app", "image": 3}]}), "must be text"),
            (pod(kind="Deployment"), "its kind is 'Deployment'"),
            (pod(status={"phase": "Running", "startTime": "noon"}), "pod api"),
        ],
    )
    def test_one_that_cannot_be_read_is_a_gap_and_hides_no_other(self, broken, told):
        found = from_pods([broken, pod()], cluster="prod")
        assert len(found) == 1
        assert told in str(found.gaps[0])

    @pytest.mark.parametrize("document", [{}, {"kind": "Deployment"}, "text", 3, None])
    def test_what_holds_no_pods_is_refused(self, document):
        with pytest.raises(InvalidInput, match="no Pods"):
            from_pods(document)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=8),
            lambda s: (
                st.lists(s, max_size=3)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "metadata",
                            "spec",
                            "status",
                            "containers",
                            "name",
                            "image",
                            "kind",
                            "items",
                            "labels",
                            "ownerReferences",
                        ]
                    ),
                    s,
                    max_size=4,
                )
            ),
            max_leaves=12,
        )
    )
    def test_nothing_crashes_it(self, document):
        found = from_pods([document])
        assert len(found) or found.gaps or isinstance(document, dict)


class TestWorkloads:
    @pytest.mark.parametrize(
        ("owner", "labels", "wanted"),
        [
            (
                {"kind": "ReplicaSet", "name": "api-77", "controller": True},
                {"pod-template-hash": "77"},
                ("Deployment", "api"),
            ),
            ({"kind": "ReplicaSet", "name": "bare", "controller": True}, {}, ("ReplicaSet", "bare")),
            (
                {"kind": "ReplicaSet", "name": "api-78", "controller": True},
                {"pod-template-hash": "77"},
                ("ReplicaSet", "api-78"),
            ),
            ({"kind": "StatefulSet", "name": "db", "controller": True}, {}, ("StatefulSet", "db")),
            ({"kind": "Job", "name": "nightly-1", "controller": True}, {}, ("Job", "nightly-1")),
            ({"kind": "ConfigMap", "name": "x"}, {}, ("Pod", "p")),
        ],
    )
    def test_what_made_the_pod(self, owner, labels, wanted):
        found = workload_of({"metadata": {"name": "p", "labels": labels, "ownerReferences": [owner]}})
        assert (found.kind, found.name, found.namespace) == (*wanted, "default")


class TestEcs:
    def test_a_task_of_a_service(self):
        since = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
        [use] = uses_of_task(
            {"group": "service:api", "clusterArn": "arn:aws:ecs:eu-west-1:1:cluster/prod", "startedAt": since,
             "containers": [{"name": "app", "image": f"{HOST}/team/app:v1", "imageDigest": D1}, {"name": "no-image"}]}
        )  # fmt: skip
        assert (use.digest, use.since, str(use.workload)) == (D1, since, "ecs prod Service api (container app)")

    def test_a_task_without_a_service(self):
        [use] = uses_of_task({"group": "family:batch", "containers": [{"name": "a", "image": "b", "imageDigest": "x"}]})
        assert (use.digest, use.workload.kind, use.workload.name) == (None, "Family", "batch")
        [use] = uses_of_task({"taskDefinitionArn": "arn:x/batch:3", "containers": [{"name": "a", "image": "b"}]})
        assert (use.workload.kind, use.workload.name) == ("Task", "batch:3")

    def test_a_task_definition(self):
        definition = {
            "family": "api",
            "revision": 7,
            "containerDefinitions": [{"name": "app", "image": "b"}, {"name": "x"}],
        }
        [use] = uses_of_task_definition(definition, cluster="arn:x/prod", service="api")
        assert (str(use.workload), use.source) == ("ecs prod Service api (container app)", "ecs task definition api:7")
        [use] = uses_of_task_definition(definition)
        assert str(use.workload) == "ecs TaskDefinition api:7 (container app)"


class TestLambda:
    def test_the_digest_is_the_resolved_one(self):
        [use] = uses_of_function(
            {"Configuration": {"FunctionName": "f", "Version": "3"},
             "Code": {"ImageUri": f"{HOST}/fn:v1", "ResolvedImageUri": f"{HOST}/fn@{D2}"}}
        )  # fmt: skip
        assert (use.reference, use.digest, use.workload.name) == (f"{HOST}/fn:v1", D2, "f:3")

    def test_only_the_resolved_one(self):
        [use] = uses_of_function({"Configuration": {}, "Code": {"ResolvedImageUri": f"{HOST}/fn@{D2}"}})
        assert (use.reference, use.digest) == (f"{HOST}/fn@{D2}", D2)

    @pytest.mark.parametrize("function", [{}, {"Code": {"Location": "https://x"}}, {"Code": None}])
    def test_an_archive_is_no_image(self, function):
        assert uses_of_function(function) == ()

    def test_a_resolved_reference_of_another_kind_tells_no_digest(self):
        [use] = uses_of_function({"Code": {"ImageUri": f"{HOST}/fn:v1", "ResolvedImageUri": "!!"}})
        assert use.digest is None
