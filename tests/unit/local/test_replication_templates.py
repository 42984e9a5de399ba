from __future__ import annotations

import json
from typing import Any

import pytest

from ecrkit.local import ServiceFault
from ecrkit.local.templates import apply_template, template_for
from tests.support.replication import AWAY, HOME, OWN, World, app, rule

POLICY = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [
            {"Sid": "pull", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{OWN}:root"},
             "Action": ["ecr:BatchGetImage"]}
        ],
    }
)  # fmt: skip
LIFECYCLE = json.dumps(
    {
        "rules": [
            {"rulePriority": 1, "action": {"type": "expire"},
             "selection": {"tagStatus": "untagged", "countType": "imageCountMoreThan", "countNumber": 1}}
        ]
    }
)  # fmt: skip


def create(world: World, prefix: str, *for_: str, region: str = AWAY, **more: Any) -> dict[str, Any]:
    applied = list(for_ or ("REPLICATION",))
    answer = world("CreateRepositoryCreationTemplate", region, prefix=prefix, appliedFor=applied, **more)
    return answer["repositoryCreationTemplate"]


def refused(call, *args: Any, **params: Any) -> ServiceFault:
    with pytest.raises(ServiceFault) as caught:
        call(*args, **params)
    return caught.value


class TestOperations:
    """Templates are made, shown, changed and deleted by prefix (ECR API reference, repository creation templates)."""

    def test_what_is_made_is_shown(self):
        world = World()
        made = create(world, "prod", description="production", imageTagMutability="IMMUTABLE")
        assert made["prefix"] == "prod"
        assert made["encryptionConfiguration"] == {"encryptionType": "AES256"}
        shown = world("DescribeRepositoryCreationTemplates", AWAY)
        assert shown == {"registryId": OWN, "repositoryCreationTemplates": [made]}

    def test_a_prefix_is_taken_once(self):
        world = World()
        create(world, "prod")
        assert refused(create, world, "prod").code == "TemplateAlreadyExistsException"

    def test_update_changes_what_is_given(self):
        world = World()
        create(world, "prod", "REPLICATION", description="before", repositoryPolicy=POLICY)
        world.pass_time(5)
        answer = world("UpdateRepositoryCreationTemplate", AWAY, prefix="prod", appliedFor=["PULL_THROUGH_CACHE"])
        found = answer["repositoryCreationTemplate"]
        assert (found["description"], found["appliedFor"]) == ("before", ["PULL_THROUGH_CACHE"])
        assert found["repositoryPolicy"] == POLICY
        assert (found["updatedAt"] - found["createdAt"]).total_seconds() == 5

    def test_update_of_the_mode_drops_filters_that_no_longer_fit(self):
        world = World()
        filters = [{"filter": "dev*", "filterType": "WILDCARD"}]
        mode = "IMMUTABLE_WITH_EXCLUSION"
        create(world, "prod", imageTagMutability=mode, imageTagMutabilityExclusionFilters=filters)
        answer = world("UpdateRepositoryCreationTemplate", AWAY, prefix="prod", imageTagMutability="MUTABLE")
        assert "imageTagMutabilityExclusionFilters" not in answer["repositoryCreationTemplate"]

    @pytest.mark.parametrize("operation", ["UpdateRepositoryCreationTemplate", "DeleteRepositoryCreationTemplate"])
    def test_none_of_that_prefix(self, operation):
        assert refused(World(), operation, AWAY, prefix="prod").code == "TemplateNotFoundException"

    def test_delete(self):
        world = World()
        made = create(world, "prod")
        assert world("DeleteRepositoryCreationTemplate", AWAY, prefix="prod")["repositoryCreationTemplate"] == made
        assert world("DescribeRepositoryCreationTemplates", AWAY)["repositoryCreationTemplates"] == []

    def test_pages_and_named_prefixes(self):
        world = World()
        for prefix in ("c", "a", "b"):
            create(world, prefix)
        first = world("DescribeRepositoryCreationTemplates", AWAY, maxResults=2)
        rest = world("DescribeRepositoryCreationTemplates", AWAY, maxResults=2, nextToken=first["nextToken"])
        assert [t["prefix"] for t in first["repositoryCreationTemplates"] + rest["repositoryCreationTemplates"]] == [
            "a", "b", "c",
        ]  # fmt: skip
        assert "nextToken" not in rest
        named = world("DescribeRepositoryCreationTemplates", AWAY, prefixes=["c", "nothing", "a"])
        assert [t["prefix"] for t in named["repositoryCreationTemplates"]] == ["c", "a"]
        both = {"prefixes": ["a"], "maxResults": 1}
        assert refused(world, "DescribeRepositoryCreationTemplates", AWAY, **both).code == "InvalidParameterException"

    @pytest.mark.parametrize(
        "wrong",
        [
            {"appliedFor": []},
            {"appliedFor": ["REPLICATION"], "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION"},
            {"appliedFor": ["REPLICATION"], "repositoryPolicy": "{}"},
            {"appliedFor": ["REPLICATION"], "lifecyclePolicy": "{}"},
            {"appliedFor": ["REPLICATION"], "encryptionConfiguration": {
                "encryptionType": "AES256", "kmsKey": f"arn:aws:kms:eu-west-1:{OWN}:key/abc"}},
            {"appliedFor": ["SOMETHING"]},
        ],
    )  # fmt: skip
    def test_what_is_refused(self, wrong):
        world = World()
        fault = refused(world, "CreateRepositoryCreationTemplate", AWAY, prefix="prod", **wrong)
        assert fault.code == "InvalidParameterException"
        assert world("DescribeRepositoryCreationTemplates", AWAY)["repositoryCreationTemplates"] == []


class TestWhichTemplate:
    """The longest prefix wins, `/` is assumed at its end, ROOT is for the rest (ECR user guide, creation templates)."""

    def chosen(self, name: str, for_="REPLICATION") -> str | None:
        world = World()
        for prefix in ("prod", "prod/team/", "ROOT"):
            create(world, prefix, "REPLICATION")
        create(world, "prod/team/cache", "PULL_THROUGH_CACHE")
        found = template_for(world.engine.registry(region=AWAY), name, for_)
        return None if found is None else found["prefix"]

    @pytest.mark.parametrize(
        ("name", "prefix"),
        [
            ("prod/app", "prod"),
            ("prod/team/app", "prod/team/"),
            ("prod-app", "ROOT"),
            ("prod", "ROOT"),
            ("other", "ROOT"),
            ("prod/team/cache/x", "prod/team/"),
        ],
    )
    def test_for_replication(self, name, prefix):
        assert self.chosen(name) == prefix

    def test_only_those_for_the_occasion(self):
        assert self.chosen("prod/team/cache/x", "PULL_THROUGH_CACHE") == "prod/team/cache"
        assert self.chosen("prod/app", "CREATE_ON_PUSH") is None


class TestApplied:
    """A repository that ECR creates takes mutability, encryption, tags and policies from its template."""

    def test_a_replicated_repository_has_every_setting(self):
        world = World(rule(AWAY), repository="prod/app")
        create(
            world, "prod", imageTagMutability="IMMUTABLE", repositoryPolicy=POLICY, lifecyclePolicy=LIFECYCLE,
            resourceTags=[{"Key": "team", "Value": "a"}], encryptionConfiguration={"encryptionType": "KMS"},
        )  # fmt: skip
        world.push(app())
        world.pass_time(30)
        made = world("DescribeRepositories", AWAY)["repositories"][0]
        assert made["imageTagMutability"] == "IMMUTABLE"
        assert made["encryptionConfiguration"]["encryptionType"] == "KMS"
        tags = world("ListTagsForResource", AWAY, resourceArn=made["repositoryArn"])["tags"]
        assert tags == [{"Key": "team", "Value": "a"}]
        assert world("GetRepositoryPolicy", AWAY, repositoryName="prod/app")["policyText"] == POLICY
        assert world("GetLifecyclePolicy", AWAY, repositoryName="prod/app")["lifecyclePolicyText"] == LIFECYCLE

    def test_its_lifecycle_policy_runs(self):
        world = World(rule(AWAY), repository="prod/app")
        create(world, "prod", lifecyclePolicy=LIFECYCLE)
        for seed in "123":
            world.push(app(seed), None)
        world.pass_time(30)
        world.pass_time(2 * 86400)
        assert len(world.tags(AWAY)) == 1

    def test_a_template_for_something_else_changes_nothing(self):
        world = World(rule(AWAY), repository="prod/app")
        create(world, "prod", "PULL_THROUGH_CACHE", imageTagMutability="IMMUTABLE")
        world.push(app())
        world.pass_time(30)
        assert world("DescribeRepositories", AWAY)["repositories"][0]["imageTagMutability"] == "MUTABLE"

    def test_a_repository_that_is_there_stays_as_it_is(self):
        world = World()
        create(world, "ROOT", imageTagMutability="IMMUTABLE")
        world.create("app", AWAY)
        registry = world.engine.registry(region=AWAY)
        assert apply_template(world.engine, registry, "app", "REPLICATION") is registry.repositories["app"]
        assert registry.repositories["app"].tag_mutability == "MUTABLE"


class TestCreateOnPush:
    """A push makes the repository when a template for CREATE_ON_PUSH fits (ECR user guide, creation templates)."""

    def test_an_upload_makes_it(self):
        world = World()
        create(world, "new", "CREATE_ON_PUSH", imageTagMutability="IMMUTABLE")
        world("InitiateLayerUpload", AWAY, repositoryName="new/app")
        made = world("DescribeRepositories", AWAY, repositoryNames=["new/app"])["repositories"][0]
        assert made["imageTagMutability"] == "IMMUTABLE"

    def test_without_a_template_it_must_be_there(self):
        world = World()
        create(world, "new", "REPLICATION")
        for name in ("new/app", "newer/app"):
            fault = refused(world, "InitiateLayerUpload", AWAY, repositoryName=name)
            assert fault.code == "RepositoryNotFoundException"

    def test_a_mount_makes_it_too(self):
        world = World()
        world.push(app())
        registry = world.engine.registry()
        create(world, "new", "CREATE_ON_PUSH", region=HOME)
        world("PutAccountSetting", name="BLOB_MOUNTING", value="ENABLED")
        digest = next(iter(registry.repository("app").blobs))
        assert registry.mount_blob("new/app", digest, "app")
