"""What the pages say a caller needs is enough, and nothing less is; and the operations answer over HTTP as in process."""

from __future__ import annotations

import datetime as dt

import boto3
import pytest

from ecrkit import Registry
from ecrkit.access import Scope, presets
from ecrkit.errors import Denied
from ecrkit.local import serve
from ecrkit.replication import Destination, ReplicationConfiguration
from tests.support.replication import AWAY, HOME, OWN, World, app, rule, two_platforms
from tests.support.tools import require_operation

THERE = Destination(AWAY, OWN)


def policy(*actions: str) -> dict:
    return {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}],
    }


WAIT = ("ecr:DescribeImages", "ecr:DescribeRegistry", "ecr:DescribeImageReplicationStatus", "ecr:BatchGetImage")


def called_by(world: World, *actions: str) -> Registry:
    return Registry.local(world.engine, principals={"ci": policy(*actions)}, caller="ci", attempts=1)


class TestEnough:
    def test_to_wait(self):
        world = World(rule(AWAY))
        world.push(two_platforms())
        with called_by(world, *WAIT) as registry:
            result = registry.replication.wait("app:v1")
        assert result.ok
        assert not result.destinations[0].by_digest_alone

    @pytest.mark.parametrize("lacking", ["ecr:DescribeImageReplicationStatus", "ecr:DescribeRegistry"])
    def test_to_wait_with_less(self, lacking):
        world = World(rule(AWAY))
        world.push(app())
        with called_by(world, *(a for a in WAIT if a != lacking)) as registry:
            result = registry.replication.wait("app:v1", [AWAY])
        assert result.ok
        assert result.destinations[0].by_digest_alone == (lacking == "ecr:DescribeImageReplicationStatus")

    def test_the_image_itself_must_be_readable(self):
        world = World(rule(AWAY))
        world.push(app())
        with called_by(world, *(a for a in WAIT if a != "ecr:DescribeImages")) as registry, pytest.raises(Denied):
            registry.replication.wait("app:v1")

    def test_to_configure(self):
        world = World()
        preset = presets.replication_source(Scope(OWN, HOME))
        wanted = ReplicationConfiguration.to(AWAY, account=OWN)
        principals = {"ci": preset}
        with Registry.local(world.engine, principals=principals, caller="ci") as registry:
            assert registry.replication.apply(registry.replication.plan(wanted))

    def test_to_cover(self):
        world = World(rule(AWAY))
        actions = ("ecr:DescribeRegistry", "ecr:DescribeRepositories", "ecr:DescribeRepositoryCreationTemplates")
        with called_by(world, *actions) as registry:
            assert [f.code for f in registry.replication.coverage().findings] == ["default-settings"]

    def test_to_backfill(self):
        require_operation("StartReplicationBackfill")
        world = World()
        world.push(app())
        world.configure(rule(AWAY))
        actions = ("ecr:StartReplicationBackfill", "ecr:DescribeReplicationBackfillResults")
        with called_by(world, *actions) as registry:
            assert registry.replication.backfills.run(THERE).ok
        with called_by(world, *WAIT) as registry, pytest.raises(Denied):
            registry.replication.backfills.start(THERE)


class TestOverHttp:
    def test_an_ordinary_client_follows_a_replication(self):
        world = World(rule(AWAY))
        with serve(world.engine) as server:
            session = boto3.Session(aws_access_key_id=OWN, aws_secret_access_key="x", region_name=HOME)
            there = session.client("ecr", region_name=AWAY, endpoint_url=server.url)
            there.create_repository_creation_template(prefix="ROOT", appliedFor=["REPLICATION"])
            made = there.describe_repository_creation_templates()["repositoryCreationTemplates"][0]
            assert isinstance(made["createdAt"], dt.datetime)
            with Registry.from_session(session, endpoint_url={"ecr": server.url}) as registry:
                digest = app().push(registry.client, "app", "v1")
                asked = {"repositoryName": "app", "imageId": {"imageTag": "v1"}}
                answer = registry.client.describe_image_replication_status(**asked)
                assert answer["replicationStatuses"] == [{"region": AWAY, "registryId": OWN, "status": "IN_PROGRESS"}]
                world.pass_time(30)
                assert registry.gateway.replication_statuses("app", digest)[0].status == "COMPLETE"
                assert registry.in_region(AWAY).gateway.digest_of("app", "v1") == digest
                started = registry.gateway.start_backfill(THERE) if registry.gateway.has_backfills else None
                world.pass_time(200)
                if started is not None:
                    assert registry.gateway.backfill(started.backfill_id).ended_at is not None
