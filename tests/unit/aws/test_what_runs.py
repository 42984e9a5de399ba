"""ECS and Lambda through real clients: what runs, and gaps for what is refused."""

from __future__ import annotations

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from ecrkit.aws.ecs import EcsGateway
from ecrkit.aws.functions import LambdaGateway
from ecrkit.aws.session import AwsSession

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1"
PINNED = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app@sha256:" + "a" * 64


@pytest.fixture
def session(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        made = boto3.Session(region_name="us-east-1")
        opened = AwsSession(made, region="us-east-1", attempts=1)
        yield made, opened
        opened.close()


@pytest.fixture
def stubbed(session):
    def make(service):
        caller = session[1].caller(service)
        return caller, Stubber(caller.client)

    return make


class TestEcs:
    def test_the_services_of_every_cluster(self, session):
        made, opened = session
        ecs = made.client("ecs")
        for cluster in ("prod", "test"):
            ecs.create_cluster(clusterName=cluster)
        for number in range(12):
            ecs.register_task_definition(
                family=f"api{number}", containerDefinitions=[{"name": "app", "image": IMAGE, "memory": 9}]
            )
            ecs.create_service(
                cluster="prod", serviceName=f"api{number}", taskDefinition=f"api{number}", desiredCount=1
            )
        found = EcsGateway(opened.caller("ecs")).in_use()
        assert found.complete
        assert {u.workload.name for u in found} == {f"api{n}" for n in range(12)}
        assert {u.workload.cluster for u in found} == {"prod"}
        assert found.repositories == ("team/app",)

    def test_what_only_a_schedule_starts(self, session):
        made, opened = session
        ecs = made.client("ecs")
        for tag in ("v1", "v2"):
            ecs.register_task_definition(
                family="nightly",
                containerDefinitions=[{"name": "app", "image": IMAGE.replace("v1", tag), "memory": 9}],
            )
        assert len(EcsGateway(opened.caller("ecs")).in_use()) == 0
        [use] = EcsGateway(opened.caller("ecs")).startable()
        assert (use.reference, str(use.workload)) == (
            IMAGE.replace("v1", "v2"), "ecs TaskDefinition nightly:2 (container app)",
        )  # fmt: skip

    def test_families_that_may_not_be_listed_are_a_gap(self, stubbed):
        caller, stub = stubbed("ecs")
        stub.add_client_error("list_task_definition_families", "AccessDeniedException", "no", 400)
        with stub:
            assert [g.where for g in EcsGateway(caller).startable().gaps] == ["ecs task definitions of us-east-1"]

    def test_an_unknown_cluster_is_a_gap(self, session):
        found = EcsGateway(session[1].caller("ecs")).in_use(["nowhere"])
        assert [g.where for g in found.gaps] == ["ecs tasks of nowhere", "ecs services of nowhere"]

    def test_tasks_with_their_digests_and_a_rollout_under_way(self, stubbed):
        caller, stub = stubbed("ecs")
        stub.add_response("list_tasks", {"taskArns": ["t1", "t2"]}, {"cluster": "prod", "maxResults": 100})
        task = {
            "group": "service:api",
            "clusterArn": "arn:x/prod",
            "containers": [{"name": "a", "image": IMAGE, "imageDigest": "sha256:" + "b" * 64}],
        }
        failures = [{"arn": "t2", "reason": "MISSING"}, {"arn": "t3", "reason": "AccessDenied"}]
        stub.add_response(
            "describe_tasks", {"tasks": [task], "failures": failures}, {"cluster": "prod", "tasks": ["t1", "t2"]}
        )
        stub.add_response("list_services", {"serviceArns": ["s1"]}, {"cluster": "prod", "maxResults": 100})
        service = {
            "serviceName": "api",
            "taskDefinition": "d2",
            "deployments": [{"taskDefinition": "d2"}, {"taskDefinition": "d1"}],
        }
        stub.add_response(
            "describe_services", {"services": [service], "failures": []}, {"cluster": "prod", "services": ["s1"]}
        )
        for name in ("d2", "d1"):
            definition = {
                "family": "api",
                "revision": int(name[1]),
                "containerDefinitions": [{"name": "a", "image": f"{IMAGE}-{name}"}],
            }
            stub.add_response("describe_task_definition", {"taskDefinition": definition}, {"taskDefinition": name})
        with stub:
            found = EcsGateway(caller).in_use(["prod"])
            stub.assert_no_pending_responses()
        assert [(u.reference, u.digest) for u in found] == [
            (IMAGE, "sha256:" + "b" * 64), (f"{IMAGE}-d2", None), (f"{IMAGE}-d1", None),
        ]  # fmt: skip
        assert [str(g) for g in found.gaps] == ["ecs t3: AccessDenied"]

    def test_a_definition_that_may_not_be_read_is_one_gap(self, stubbed):
        caller, stub = stubbed("ecs")
        stub.add_response("list_tasks", {"taskArns": []})
        stub.add_response("list_services", {"serviceArns": ["s1", "s2"]})
        services = [{"serviceName": n, "taskDefinition": "d"} for n in ("a", "b")]
        stub.add_response("describe_services", {"services": services, "failures": []})
        stub.add_client_error("describe_task_definition", "AccessDeniedException", "no", 400)
        with stub:
            found = EcsGateway(caller).in_use(["prod"])
        assert [g.where for g in found.gaps] == ["ecs task definition d"]
        assert len(found) == 0

    def test_clusters_that_may_not_be_listed_are_a_gap(self, stubbed):
        caller, stub = stubbed("ecs")
        stub.add_client_error("list_clusters", "AccessDeniedException", "no", 400)
        with stub:
            found = EcsGateway(caller).in_use()
        assert [g.where for g in found.gaps] == ["ecs clusters of us-east-1"]


class TestLambda:
    def test_functions_made_of_images(self, session):
        made, opened = session
        role = made.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        made.client("lambda").create_function(
            FunctionName="resize", Role=role, PackageType="Image", Code={"ImageUri": PINNED}
        )
        found = LambdaGateway(opened.caller("lambda")).in_use()
        assert found.complete
        assert {u.workload.name.partition(":")[0] for u in found} == {"resize"}
        assert found.repositories == ("team/app",)

    def test_pages_versions_and_refusals(self, stubbed):
        caller, stub = stubbed("lambda")
        image, archive = {"PackageType": "Image"}, {"PackageType": "Zip", "FunctionArn": "z"}
        first = {"Functions": [image | {"FunctionArn": "a"}, archive, image | {"FunctionArn": "b"}], "NextMarker": "m"}
        stub.add_response("list_functions", first, {"MaxItems": 50, "FunctionVersion": "ALL"})
        stub.add_response(
            "get_function",
            {
                "Configuration": {"FunctionName": "a", "Version": "1"},
                "Code": {"ImageUri": IMAGE, "ResolvedImageUri": PINNED},
            },
            {"FunctionName": "a"},
        )
        stub.add_client_error("get_function", "AccessDeniedException", "no", 403)
        rest = {"Functions": [image | {"FunctionArn": "c"}, image | {"FunctionArn": "d"}]}
        stub.add_response("list_functions", rest, {"MaxItems": 50, "FunctionVersion": "ALL", "Marker": "m"})
        stub.add_client_error("get_function", "ResourceNotFoundException", "gone", 404)
        stub.add_response("get_function", {"Configuration": {}, "Code": {}}, {"FunctionName": "d"})
        with stub:
            found = LambdaGateway(caller).in_use()
            stub.assert_no_pending_responses()
        assert [(u.reference, u.digest) for u in found] == [(IMAGE, "sha256:" + "a" * 64)]
        assert [g.where for g in found.gaps] == ["b", "d"]

    def test_a_listing_that_is_refused_is_a_gap(self, stubbed):
        caller, stub = stubbed("lambda")
        stub.add_client_error("list_functions", "AccessDeniedException", "no", 403)
        with stub:
            found = LambdaGateway(caller).in_use(versions=False)
        assert [g.where for g in found.gaps] == ["lambda functions of us-east-1"]
