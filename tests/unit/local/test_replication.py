from __future__ import annotations

import datetime as dt
import json

import attrs
import pytest

from ecrkit.errors import InvalidInput
from ecrkit.local import ImageReplicated, ServiceFault, client
from ecrkit.local.images import artifact
from tests.support.replication import AWAY, FAR, HOME, OTHER, OWN, World, app, rule, two_platforms


def replicated(world: World) -> list[ImageReplicated]:
    return [event for event in world.engine.events if isinstance(event, ImageReplicated)]


class TestConfiguration:
    """Rules hold destinations and filters; limits and destinations are checked (ECR user guide, replication)."""

    def test_is_kept_and_shown(self):
        world = World()
        put = world.configure(rule(AWAY, filters=("prod",), deletes=True), rule(FAR))
        assert world("DescribeRegistry") == {
            "registryId": OWN,
            "replicationConfiguration": put["replicationConfiguration"],
        }

    @pytest.mark.parametrize(
        ("rules", "told"),
        [
            ([rule(HOME)], "source registry itself"),
            ([rule("cn-north-1")], "partition"),
            ([{"destinations": []}], "without destinations"),
            ([rule(*(f"eu-west-{n}" for n in range(1, 27)))], "26 unique destinations"),
        ],
    )
    def test_what_ecr_refuses(self, rules, told):
        world = World()
        with pytest.raises(ServiceFault, match=told) as caught:
            world.configure(*rules)
        assert caught.value.code == "ValidationException"
        assert world("DescribeRegistry")["replicationConfiguration"] == {"rules": []}

    def test_a_pair_in_two_rules_counts_once(self):
        """containers-roadmap#2232: unique destinations are counted."""
        many = [f"eu-west-{n}" for n in range(1, 26)]
        assert World(rule(*many), rule(*many, filters=("prod",)))

    def test_a_pattern_is_no_filter(self):
        world = World()
        with pytest.raises(ServiceFault, match="regular expression"):
            world.configure(rule(AWAY, filters=("prod-*",)))

    def test_the_same_account_in_another_region_and_another_account_in_the_same_region(self):
        world = World(rule(AWAY), rule(HOME, account=OTHER))
        assert len(world("DescribeRegistry")["replicationConfiguration"]["rules"]) == 2


class TestCopies:
    """An image pushed after the configuration arrives under the same repository name (ECR user guide, replication)."""

    def test_arrives_whole_after_its_time(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        assert world.status("v1") == {AWAY: "IN_PROGRESS"}
        world.pass_time(29)
        assert world.tags(AWAY) == {}
        assert world.status("v1") == {AWAY: "IN_PROGRESS"}
        world.pass_time(1)
        assert world.status("v1") == {AWAY: "COMPLETE"}
        assert world.tags(AWAY) == {digest: ["v1"]}

    def test_manifest_and_layers_are_the_same_bytes(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        world.pass_time(30)
        asked = {"repositoryName": "app", "imageIds": [{"imageDigest": digest}]}
        here, there = world("BatchGetImage", **asked), world("BatchGetImage", AWAY, **asked)
        assert here["images"][0]["imageManifest"] == there["images"][0]["imageManifest"]
        source, target = world.engine.registry(), world.engine.registry(region=AWAY)
        blobs = source.repository("app").blobs
        assert {d: target.blob("app", d) for d in blobs} == {d: source.blob("app", d) for d in blobs}
        assert target.stored_bytes("app") == source.stored_bytes("app")

    def test_the_time_is_the_arrival_however_far_the_clock_jumps(self):
        world = World(rule(AWAY))
        began = world.engine.clock.now()
        world.push(app())
        world.pass_time(3600)
        detail = world("DescribeImages", AWAY, repositoryName="app")["imageDetails"][0]
        assert detail["imagePushedAt"] == began + dt.timedelta(seconds=30)
        repository = world("DescribeRepositories", AWAY)["repositories"][0]
        assert repository["createdAt"] == began + dt.timedelta(seconds=30)

    def test_what_was_pushed_before_the_rule_never_goes(self):
        """containers-roadmap#1289: the status is empty."""
        world = World()
        world.push(app())
        world.configure(rule(AWAY))
        world.pass_time(3600)
        assert world.status("v1") == {}
        assert world.tags(AWAY) == {}

    def test_a_new_push_of_the_old_image_under_a_new_tag_goes(self):
        world = World()
        digest = world.push(app())
        world.configure(rule(AWAY))
        world.push(app(), "v2")
        world.pass_time(30)
        assert world.tags(AWAY) == {digest: ["v2"]}

    def test_filters_are_literal_prefixes_of_names(self):
        world = World(rule(AWAY, filters=("prod", "team/")))
        for name in ("prod-app", "my/prod", "team/app"):
            world.create(name)
            world.push(app(), repository=name)
        world.pass_time(30)
        assert sorted(world.engine.registry(region=AWAY).repositories) == ["prod-app", "team/app"]
        assert world.status("v1", "my/prod") == {}

    def test_each_destination_has_its_own_delay(self):
        world = World(rule(AWAY, FAR))
        world.engine.replication.delay(dt.timedelta(minutes=10), region=FAR)
        world.push(app())
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "COMPLETE", FAR: "IN_PROGRESS"}
        world.pass_time(570)
        assert world.status("v1") == {AWAY: "COMPLETE", FAR: "COMPLETE"}

    def test_the_delay_that_was_said_last_counts(self):
        world = World(rule(AWAY))
        world.engine.replication.delay(dt.timedelta(hours=1))
        world.engine.replication.delay(dt.timedelta(seconds=5), region=AWAY)
        world.push(app())
        world.pass_time(5)
        assert world.status("v1") == {AWAY: "COMPLETE"}

    def test_a_replication_may_never_end(self):
        world = World(rule(AWAY))
        world.engine.replication.delay(None)
        world.push(app())
        world.pass_time(10**6)
        assert world.status("v1") == {AWAY: "IN_PROGRESS"}

    def test_there_is_no_chaining(self):
        world = World(rule(AWAY))
        onward = {"rules": [rule(FAR)]}
        world("PutReplicationConfiguration", AWAY, replicationConfiguration=onward)
        world.push(app())
        world.pass_time(3600)
        assert world.tags(AWAY)
        assert world.tags(FAR) == {}

    def test_each_tag_that_is_pushed_goes(self):
        world = World(rule(AWAY))
        digest = world.push(app(), "v1")
        world.push(app(), "latest")
        world.pass_time(30)
        assert world.tags(AWAY) == {digest: ["latest", "v1"]}

    def test_a_tag_that_moved_on_is_not_turned_back(self):
        world = World(rule(AWAY))
        world.engine.replication.delay(dt.timedelta(minutes=5), digest=app("old").digest)
        world.push(app("old"), "v1")
        world.push(app("new"), "v1")
        world.pass_time(600)
        assert world.tags(AWAY) == {app("old").digest: [], app("new").digest: ["v1"]}

    def test_children_and_referrers_go_too(self):
        world = World(rule(AWAY))
        built = two_platforms()
        world.push(built)
        signature = artifact(built, "application/vnd.example.signature")
        world.push(signature, None)
        world.pass_time(30)
        assert set(world.tags(AWAY)) == set(world.tags(HOME))
        assert world.tags(AWAY)[built.digest] == ["v1"]

    def test_an_index_brings_children_older_than_the_rule(self):
        world = World()
        built = two_platforms()
        for child in built.children:
            world.push(child, None)
        world.configure(rule(AWAY))
        world.push(built)
        world.pass_time(30)
        assert set(world.tags(AWAY)) == set(world.tags(HOME))
        assert len(world.tags(AWAY)) == 3

    def test_gone_before_it_was_copied(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageDigest": digest}])
        world.pass_time(30)
        assert world.tags(AWAY) == {}
        assert [(e.result, e.failure_code) for e in replicated(world)] == [("FAILED", "ImageNotFound")]

    def test_status_of_what_is_not_there(self):
        world = World(rule(AWAY))
        with pytest.raises(ServiceFault) as caught:
            world.status("v1")
        assert caught.value.code == "ImageNotFoundException"


class TestDestination:
    """What a destination makes of an image: tags, archive, repository settings (ECR user guide, replication)."""

    def test_an_immutable_tag_that_is_there_swallows_the_new_one(self):
        world = World(rule(AWAY))
        world.create("app", AWAY, imageTagMutability="IMMUTABLE")
        app("old").push(_client(world), "app", "v1")
        digest = world.push(app("new"))
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "COMPLETE"}
        assert world.tags(AWAY) == {app("old").digest: ["v1"], digest: []}

    def test_an_excluded_tag_moves(self):
        world = World(rule(AWAY))
        filters = [{"filter": "v*", "filterType": "WILDCARD"}]
        world.create(
            "app", AWAY, imageTagMutability="IMMUTABLE_WITH_EXCLUSION", imageTagMutabilityExclusionFilters=filters
        )
        app("old").push(_client(world), "app", "v1")
        digest = world.push(app("new"))
        world.pass_time(30)
        assert world.tags(AWAY) == {app("old").digest: [], digest: ["v1"]}

    def test_an_archived_image_is_restored_and_that_does_not_chain(self):
        world = World(rule(AWAY))
        world("PutReplicationConfiguration", AWAY, replicationConfiguration={"rules": [rule(FAR)]})
        digest = world.push(app())
        world.pass_time(30)
        asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}, "targetStorageClass": "ARCHIVE"}
        world("UpdateImageStorageClass", AWAY, **asked)
        world.push(app(), "v2")
        world.pass_time(60)
        detail = world("DescribeImages", AWAY, repositoryName="app")["imageDetails"][0]
        assert (detail["imageStatus"], sorted(detail["imageTags"])) == ("ACTIVE", ["v1", "v2"])
        assert world.tags(FAR) == {}

    def test_what_the_source_restores_goes(self):
        world = World()
        digest = world.push(app())
        asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}}
        world("UpdateImageStorageClass", **asked, targetStorageClass="ARCHIVE")
        world.configure(rule(AWAY))
        world("UpdateImageStorageClass", **asked, targetStorageClass="STANDARD")
        world.pass_time(20 * 60)
        assert world.status(digest) == {AWAY: "IN_PROGRESS"}
        world.pass_time(30)
        assert world.tags(AWAY) == {digest: ["v1"]}

    def test_archiving_does_not_go(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        world.pass_time(30)
        asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}, "targetStorageClass": "ARCHIVE"}
        world("UpdateImageStorageClass", **asked)
        world.pass_time(3600)
        assert world("DescribeImages", AWAY, repositoryName="app")["imageDetails"][0]["imageStatus"] == "ACTIVE"

    def test_settings_do_not_go(self):
        """containers-roadmap#1279: mutability, scanning and policies are not copied."""
        world = World(rule(AWAY))
        world.create("strict", imageTagMutability="IMMUTABLE", imageScanningConfiguration={"scanOnPush": True})
        world.push(app(), repository="strict")
        world.pass_time(30)
        made = world("DescribeRepositories", AWAY)["repositories"][0]
        assert made["imageTagMutability"] == "MUTABLE"
        assert made["imageScanningConfiguration"] == {"scanOnPush": False}

    def test_a_full_repository_fails(self):
        world = World(rule(AWAY))
        world.push(app("1"), "v1")
        world.pass_time(30)
        world.push(app("2"), "v2")
        world.engine.limits = attrs.evolve(world.engine.limits, images_per_repository=1)
        world.pass_time(30)
        assert world.status("v2") == {AWAY: "FAILED LimitExceeded"}


def _client(world: World, region: str = AWAY):
    return client(world.engine, region=region)


class TestOtherAccounts:
    """Only the destination needs a registry policy, for ReplicateImage and CreateRepository (ECR user guide)."""

    def test_without_a_policy_it_fails(self):
        world = World(rule(AWAY, account=OTHER))
        world.push(app())
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "FAILED AccessDenied"}

    def test_with_one_it_arrives(self):
        world = World(rule(AWAY, account=OTHER))
        world.allow(AWAY)
        digest = world.push(app())
        world.pass_time(30)
        assert world.tags(AWAY, OTHER) == {digest: ["v1"]}

    def test_without_create_repository_the_repository_must_be_there(self):
        world = World(rule(AWAY, account=OTHER))
        world.allow(AWAY, create=False)
        world.push(app())
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "FAILED AccessDenied"}
        world.create("app", AWAY, OTHER)
        digest = world.push(app(), "v2")
        world.pass_time(30)
        assert world.tags(AWAY, OTHER) == {digest: ["v2"]}

    def test_a_policy_for_another_source_allows_nothing(self):
        world = World(rule(AWAY, account=OTHER))
        world.allow(AWAY, source="999999999999")
        world.push(app())
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "FAILED AccessDenied"}


class TestInjectedFailures:
    def test_a_failure_shows_its_code_and_a_later_push_succeeds(self):
        world = World(rule(AWAY, FAR))
        world.engine.replication.fail("KmsError", region=AWAY, times=1)
        digest = world.push(app())
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "FAILED KmsError", FAR: "COMPLETE"}
        assert world.tags(AWAY) == {}
        world.push(app(), "v2")
        world.pass_time(30)
        assert world.status("v2") == {AWAY: "COMPLETE", FAR: "COMPLETE"}
        assert world.tags(AWAY) == {digest: ["v2"]}

    def test_one_of_several_journeys_that_fails_is_not_covered_by_the_next(self):
        world = World(rule(AWAY))
        world.engine.replication.fail("Odd", times=1)
        world.push(app(), "v1")
        world.push(app(), "v2")
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "FAILED Odd"}

    def test_what_is_said_last_wins_and_clear_forgets(self):
        world = World(rule(AWAY))
        world.engine.replication.fail("First")
        world.engine.replication.fail("Second", repository="app")
        world.push(app())
        world.pass_time(30)
        assert world.status("v1") == {AWAY: "FAILED Second"}
        world.engine.replication.clear()
        world.push(app(), "v2")
        world.pass_time(30)
        assert world.status("v2") == {AWAY: "COMPLETE"}

    @pytest.mark.parametrize("wrong", [lambda r: r.fail("x", times=0), lambda r: r.delay(dt.timedelta(seconds=-1))])
    def test_nonsense_is_refused(self, wrong):
        with pytest.raises(InvalidInput):
            wrong(World().engine.replication)


class TestEvents:
    """`ECR Replication Action`: region and resources are the destination's, one event per tag (ECR user guide)."""

    def test_success_and_failure(self):
        world = World(rule(AWAY, FAR))
        world.engine.replication.fail("KmsError", region=FAR)
        digest = world.push(app())
        world.pass_time(30)
        sent = {event.region: event.to_eventbridge() for event in replicated(world)}
        assert sent[AWAY]["detail-type"] == "ECR Replication Action"
        assert sent[AWAY]["region"] == AWAY
        assert sent[AWAY]["resources"] == [f"arn:aws:ecr:{AWAY}:{OWN}:repository/app"]
        assert sent[AWAY]["detail"] == {
            "result": "SUCCESS", "repository-name": "app", "image-digest": digest, "source-account": OWN,
            "action-type": "REPLICATE", "source-region": HOME, "image-tag": "v1",
        }  # fmt: skip
        assert sent[FAR]["detail"]["result"] == "FAILED"
        assert "failure" not in str(sent[FAR]).lower()

    def test_one_for_each_tag_and_none_with_a_tag_for_children(self):
        world = World(rule(AWAY))
        built = two_platforms()
        world.push(built, "v1")
        world.push(built, "latest")
        world.pass_time(30)
        seen = sorted((event.digest == built.digest, event.tag or "") for event in replicated(world))
        assert seen == [(False, ""), (False, ""), (True, "latest"), (True, "v1")]


class TestDeletes:
    """Rules with delete replication repeat removals of tags and images (ECR user guide, replication of deletes)."""

    def test_off_by_default(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        world.pass_time(30)
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageDigest": digest}])
        world.pass_time(3600)
        assert world.tags(AWAY) == {digest: ["v1"]}

    def test_by_digest(self):
        world = World(rule(AWAY, deletes=True))
        digest = world.push(app())
        world.pass_time(30)
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageDigest": digest}])
        assert world.tags(AWAY) == {digest: ["v1"]}
        world.pass_time(30)
        assert world.tags(AWAY) == {}

    def test_a_tag_of_several_and_then_the_last(self):
        world = World(rule(AWAY, deletes=True))
        digest = world.push(app(), "v1")
        world.push(app(), "v2")
        world.pass_time(30)
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageTag": "v1"}])
        world.pass_time(30)
        assert world.tags(AWAY) == {digest: ["v2"]}
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageTag": "v2"}])
        world.pass_time(30)
        assert world.tags(AWAY) == {}

    def test_by_lifecycle_policy(self):
        world = World(rule(AWAY, deletes=True))
        world.push(app(), "v1")
        world("PutLifecyclePolicy", repositoryName="app", lifecyclePolicyText=_expiry())
        world.pass_time(3 * 86400)
        assert world.tags(HOME) == {}
        assert world.tags(AWAY) == {}

    def test_what_an_index_there_references_stays(self):
        world = World(rule(AWAY, deletes=True))
        built = two_platforms()
        world.push(built)
        world.pass_time(30)
        world.engine.replication.delay(dt.timedelta(minutes=10), digest=built.digest)
        for digest in (built.digest, *(child.digest for child in built.children)):
            world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageDigest": digest}])
        world.pass_time(30)
        assert len(world.tags(AWAY)) == 3
        world.pass_time(600)
        assert set(world.tags(AWAY)) == {child.digest for child in built.children}

    def test_what_was_pushed_again_meanwhile_stays(self):
        world = World(rule(AWAY, deletes=True))
        digest = world.push(app())
        world.pass_time(30)
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageDigest": digest}])
        world.push(app())
        world.pass_time(60)
        assert world.tags(AWAY) == {digest: ["v1"]}

    def test_no_chaining_of_deletes(self):
        world = World(rule(AWAY, FAR, deletes=True))
        world("PutReplicationConfiguration", AWAY, replicationConfiguration={"rules": [rule(FAR, deletes=True)]})
        world.configure(rule(AWAY, deletes=True), rule(FAR))
        digest = world.push(app())
        world.pass_time(30)
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageDigest": digest}])
        world.pass_time(3600)
        assert world.tags(AWAY) == {}
        assert world.tags(FAR) == {digest: ["v1"]}


def _expiry() -> str:
    selection = {"tagStatus": "any", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 1}
    return json.dumps({"rules": [{"rulePriority": 1, "selection": selection, "action": {"type": "expire"}}]})
