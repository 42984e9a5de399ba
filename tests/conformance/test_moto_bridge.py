from __future__ import annotations

import boto3
import moto.backends
import pytest
from moto import mock_aws
from moto.ecr.models import ECRBackend, ecr_backends

from ecrkit.local import Engine, ServiceFault
from ecrkit.local.moto_bridge import bridge


def ecr(region: str = "us-east-1", **more: str):
    return boto3.client("ecr", region_name=region, **more)


class TestBridge:
    """Clients under mock_aws reach the engine for the time of the block, and moto's own ECR before and after."""

    def test_only_inside_the_block(self):
        engine = Engine()
        with mock_aws():
            ecr().create_repository(repositoryName="before")
            with bridge(engine):
                ecr().create_repository(repositoryName="inside")
                assert [r["repositoryName"] for r in ecr().describe_repositories()["repositories"]] == ["inside"]
            assert ecr().describe_repositories()["repositories"] == []
            ecr().create_repository(repositoryName="after")
        assert len(engine.calls) == 2 and ecr_backends.backend is ECRBackend

    def test_it_ends_with_an_exception_too(self):
        with pytest.raises(RuntimeError, match="in the block"), mock_aws(), bridge(Engine()):
            raise RuntimeError("in the block")
        assert ecr_backends.backend is ECRBackend

    def test_around_the_mock(self):
        engine = Engine()
        with bridge(engine):
            with mock_aws():
                ecr().create_repository(repositoryName="app")
                assert [call.operation for call in engine.calls] == ["CreateRepository"]
            assert engine.registries() == ()  # the mock resets its backends as it ends

    def test_nested(self):
        outer, inner = Engine(), Engine()
        with mock_aws(), bridge(outer):
            with bridge(inner):
                ecr().create_repository(repositoryName="app")
            assert ecr().describe_repositories()["repositories"] == []
        assert [len(inner.calls), len(outer.calls)] == [1, 1]

    def test_reset(self):
        with mock_aws(), bridge(Engine()) as engine:
            ecr().create_repository(repositoryName="app")
            moto.backends.get_backend("ecr").reset()
            assert engine.calls == []

    def test_accounts_regions_and_partitions(self):
        with mock_aws(), bridge(Engine()):
            role = boto3.client("sts", region_name="us-east-1").assume_role(
                RoleArn="arn:aws:iam::111122223333:role/push", RoleSessionName="test"
            )["Credentials"]
            other = ecr(
                "eu-west-1",
                aws_access_key_id=role["AccessKeyId"],
                aws_secret_access_key=role["SecretAccessKey"],
                aws_session_token=role["SessionToken"],
            )
            assert other.create_repository(repositoryName="app")["repository"]["registryId"] == "111122223333"
            made = ecr("cn-north-1").create_repository(repositoryName="app")["repository"]
            assert made["repositoryArn"] == "arn:aws-cn:ecr:cn-north-1:123456789012:repository/app"

    def test_other_services_stay_with_moto(self):
        with mock_aws(), bridge(Engine()):
            s3 = boto3.client("s3", region_name="us-east-1")
            s3.create_bucket(Bucket="reports")
            assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["reports"]

    def test_refusals_are_typed(self):
        def deny(call: object) -> None:
            raise ServiceFault("AccessDeniedException", "no")

        with mock_aws(), bridge(Engine()) as engine:
            client = ecr()
            with pytest.raises(client.exceptions.RepositoryNotFoundException):
                client.describe_images(repositoryName="none")
            engine.before_call.append(deny)
            with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
                client.describe_repositories()
