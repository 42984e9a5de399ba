from __future__ import annotations

import datetime as dt

import attrs
import pytest

from ecrkit.local import ServiceFault
from tests.support.replication import AWAY, FAR, HOME, OTHER, OWN, World, app, rule, two_platforms
from tests.support.tools import require_operation

DESTINATION = {"region": AWAY, "registryId": OWN}
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(autouse=True)
def _backfills() -> None:
    require_operation("StartReplicationBackfill")


def begin(world: World, region: str = AWAY, account: str = OWN) -> str:
    answer = world("StartReplicationBackfill", destination={"region": region, "registryId": account})
    return answer["replicationBackfillId"]


def results(world: World, backfill: str, **more):
    return world("DescribeReplicationBackfillResults", replicationBackfillId=backfill, **more)


def refused(call, *args, **params) -> str:
    with pytest.raises(ServiceFault) as caught:
        call(*args, **params)
    return caught.value.code


def old_images(*rules, count: int = 1) -> World:
    world = World()
    for number in range(count):
        world.push(app(str(number)), f"v{number}")
    world.configure(*(rules or (rule(AWAY),)))
    return world


class TestBackfill:
    """A backfill sends images older than the rule to one destination (ECR user guide, replication backfill)."""

    def test_from_start_to_end(self):
        world = old_images()
        world.push(two_platforms(), "multi")
        digest = app("0").digest
        started = world("StartReplicationBackfill", destination=DESTINATION)
        assert (started["status"], started["destination"]) == ("PREPARING", DESTINATION)
        backfill = started["replicationBackfillId"]
        assert results(world, backfill)["results"] == []
        world.pass_time(60)
        listed = world("ListReplicationBackfills")["backfills"][0]
        assert (listed["status"], listed["progress"]["totalReplicationCount"]) == ("IN_PROGRESS", 4)
        assert world.status(digest) == {AWAY: "IN_PROGRESS"}
        world.pass_time(30)
        ended = results(world, backfill)
        assert ended["status"] == "COMPLETE"
        assert ended["progress"] == {
            "totalReplicationCount": 4, "completedReplicationCount": 4, "failedReplicationCount": 0, "failureCodes": [],
        }  # fmt: skip
        assert len(ended["results"]) == 4
        assert world.tags(AWAY) == world.tags(HOME)
        assert ended["endedAt"] - ended["startedAt"] == dt.timedelta(seconds=90)
        assert world.status(digest) == {AWAY: "COMPLETE"}

    def test_each_image_and_tag_counts(self):
        world = World()
        world.push(app(), "v1")
        world.push(app(), "v2")
        world.configure(rule(AWAY))
        backfill = begin(world)
        world.pass_time(120)
        found = results(world, backfill)
        assert sorted(r["imageId"]["imageTag"] for r in found["results"]) == ["v1", "v2"]
        assert world.tags(AWAY) == {app().digest: ["v1", "v2"]}

    def test_only_what_the_rules_send_there(self):
        world = World()
        world.create("prod/app")
        world.push(app())
        world.push(app(), repository="prod/app")
        world.configure(rule(AWAY, filters=("prod/",)), rule(FAR))
        begin(world)
        world.pass_time(120)
        assert sorted(world.engine.registry(region=AWAY).repositories) == ["prod/app"]

    def test_failures_are_listed_and_filtered(self):
        world = old_images(count=3)
        world.engine.replication.fail("KmsError", digest=app("1").digest)
        backfill = begin(world)
        world.pass_time(120)
        found = results(world, backfill, resultStatusFilter="FAILED")
        assert found["status"] == "COMPLETE"
        assert found["progress"]["failureCodes"] == ["KmsError"]
        assert [(r["imageId"]["imageDigest"], r["failureCode"]) for r in found["results"]] == [
            (app("1").digest, "KmsError")
        ]
        assert len(results(world, backfill, resultStatusFilter="COMPLETE")["results"]) == 2

    def test_fails_as_a_whole_when_half_of_a_hundred_failed(self):
        world = old_images()
        for number in range(149):
            world.push(app("0"), f"t{number}")
        world.configure(rule(AWAY))
        world.engine.replication.clear()
        world.engine.replication.fail("KmsError")
        backfill = begin(world)
        world.pass_time(600)
        found = results(world, backfill)
        assert (found["status"], len(world("DescribeReplicationBackfillResults", replicationBackfillId=backfill,
                                           maxResults=1000)["results"])) == ("FAILED", 100)  # fmt: skip
        assert found["failureCode"]

    @pytest.mark.parametrize(("bad", "status"), [(50, "FAILED"), (49, "COMPLETE")])
    def test_half_of_a_hundred_is_enough(self, bad, status):
        world = World()
        for number in range(bad):
            world.push(app("bad"), f"b{number}")
        for number in range(100 - bad):
            world.push(app("good"), f"g{number}")
        world.pass_time(1)
        world.push(app("late"), "late")
        world.configure(rule(AWAY))
        world.engine.replication.fail("KmsError", digest=app("bad").digest)
        backfill = begin(world)
        world.pass_time(600)
        found = results(world, backfill)
        assert (found["status"], found["progress"]["failedReplicationCount"]) == (status, bad)

    def test_results_come_in_pages(self):
        world = old_images(count=3)
        backfill = begin(world)
        world.pass_time(120)
        first = results(world, backfill, maxResults=2)
        rest = results(world, backfill, maxResults=2, nextToken=first["nextToken"])
        assert (len(first["results"]), len(rest["results"]), "nextToken" in rest) == (2, 1, False)

    def test_stopped_while_preparing(self):
        world = old_images()
        backfill = begin(world)
        assert world("StopReplicationBackfill", replicationBackfillId=backfill)["status"] == "STOPPED"
        world.pass_time(600)
        assert world.tags(AWAY) == {}

    def test_stopped_while_in_progress_lets_arrive_what_is_under_way(self):
        world = old_images(count=2)
        backfill = begin(world)
        world.pass_time(60)
        assert world("StopReplicationBackfill", replicationBackfillId=backfill)["status"] == "STOPPING"
        assert refused(world, "StopReplicationBackfill", replicationBackfillId=backfill) == (
            "ReplicationBackfillInvalidStatusException"
        )
        world.pass_time(30)
        assert results(world, backfill)["status"] == "STOPPED"
        assert len(world.tags(AWAY)) == 2

    def test_what_is_refused(self):
        world = old_images(rule(AWAY), rule(AWAY, account=OTHER), rule(FAR))
        assert refused(begin, world, "sa-east-1") == "ValidationException"
        begin(world)
        assert refused(begin, world, AWAY, OTHER) == "ReplicationBackfillInProgressException"
        assert begin(world, FAR)
        for operation in ("StopReplicationBackfill", "DescribeReplicationBackfillResults"):
            assert refused(world, operation, replicationBackfillId=UNKNOWN) == "ReplicationBackfillNotFoundException"

    def test_at_most_ten_at_a_time(self):
        world = old_images(rule(AWAY, FAR))
        world.engine.limits = attrs.evolve(world.engine.limits, replication_backfills=1)
        begin(world)
        assert refused(begin, world, FAR) == "LimitExceededException"

    def test_is_listed_for_ninety_days(self):
        world = old_images(rule(AWAY, FAR))
        begin(world)
        begin(world, FAR)
        world.pass_time(120)
        first = world("ListReplicationBackfills", maxResults=1)
        rest = world("ListReplicationBackfills", maxResults=1, nextToken=first["nextToken"])
        assert [b["destination"]["region"] for b in first["backfills"] + rest["backfills"]] == [AWAY, FAR]
        world.pass_time(90 * 86400)
        assert world("ListReplicationBackfills")["backfills"] == []

    def test_an_archived_image_stays(self):
        world = old_images()
        asked = {"repositoryName": "app", "imageId": {"imageDigest": app("0").digest}}
        world("UpdateImageStorageClass", **asked, targetStorageClass="ARCHIVE")
        backfill = begin(world)
        world.pass_time(120)
        assert results(world, backfill)["progress"]["totalReplicationCount"] == 0
        assert world.tags(AWAY) == {}
