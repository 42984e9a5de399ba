"""What runs, asked through the registry: Pods as given, ECS and Lambda of its Region, refusals as gaps."""

from __future__ import annotations

import boto3
from moto import mock_aws

from ecrkit import Registry

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/team/{}:v1"
POD = {
    "kind": "Pod", "metadata": {"name": "web"},
    "spec": {"containers": [{"name": "web", "image": IMAGE.format("web")}]},
}  # fmt: skip


def test_pods_ecs_and_functions_are_one_set(monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        session = boto3.Session(region_name="us-east-1")
        ecs = session.client("ecs")
        ecs.create_cluster(clusterName="prod")
        ecs.register_task_definition(
            family="api", containerDefinitions=[{"name": "app", "image": IMAGE.format("api"), "memory": 9}]
        )
        ecs.create_service(cluster="prod", serviceName="api", taskDefinition="api", desiredCount=1)
        role = session.client("iam").create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        session.client("lambda").create_function(
            FunctionName="fn", Role=role, PackageType="Image", Code={"ImageUri": IMAGE.format("fn")}
        )
        with Registry.from_session(session, region="us-east-1") as registry:
            assert registry.in_use(pods=POD).repositories == ("team/api", "team/fn", "team/web")
            assert registry.in_use(ecs=False).repositories == ("team/fn",)
            assert registry.in_use(ecs=["prod"], functions=False).repositories == ("team/api",)
            assert not registry.in_use(ecs=["nowhere"], functions=False).complete


def test_an_embedded_registry_has_only_what_it_is_given():
    with Registry.local() as registry:
        assert registry.in_use(pods=POD, cluster="prod").repositories == ("team/web",)
        assert len(registry.in_use()) == 0
