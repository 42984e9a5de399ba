"""Each gateway method names the IAM actions it needs."""

from __future__ import annotations

import inspect

import pytest

from ecrkit.aws import iam
from ecrkit.aws.ecr import EcrGateway, plan_deletion
from ecrkit.pull_through import PullThroughRule
from ecrkit.records import CreationTemplate, Image
from ecrkit.replication.configuration import Destination

TEMPLATE = CreationTemplate(prefix="prod", applied_for=("REPLICATION",))
PULL_THROUGH = PullThroughRule(prefix="quay", upstream_url="quay.io")
DIGEST = "sha256:" + "1" * 64
ARN = "arn:aws:ecr:us-east-1:123456789012:repository/app"
# One call of each method, as (method, arguments).
USES = {
    "repositories": lambda g: g.repositories().all(),
    "repositories_named": lambda g: g.repositories_named(["app"]),
    "repository": lambda g: g.repository("app"),
    "create_repository": lambda g: g.create_repository("app", tags={"a": "b"}),
    "delete_empty_repository": lambda g: g.delete_empty_repository("app"),
    "put_tag_mutability": lambda g: g.put_tag_mutability("app", "IMMUTABLE"),
    "put_scan_on_push": lambda g: g.put_scan_on_push("app", enabled=True),
    "tags_of": lambda g: g.tags_of(ARN),
    "tag_resource": lambda g: g.tag_resource(ARN, {"a": "b"}),
    "untag_resource": lambda g: g.untag_resource(ARN, ["a"]),
    "account_setting": lambda g: g.account_setting("BLOB_MOUNTING"),
    "put_account_setting": lambda g: g.put_account_setting("BLOB_MOUNTING", "ENABLED"),
    "repository_policy": lambda g: g.repository_policy("app"),
    "set_repository_policy": lambda g: g.set_repository_policy("app", "{}"),
    "delete_repository_policy": lambda g: g.delete_repository_policy("app"),
    "registry_policy": lambda g: g.registry_policy(),
    "put_registry_policy": lambda g: g.put_registry_policy("{}"),
    "delete_registry_policy": lambda g: g.delete_registry_policy(),
    "registry_policy_scope": lambda g: g.registry_policy_scope(),
    "images": lambda g: g.images("app").all(),
    "image_ids": lambda g: g.image_ids("app").all(),
    "images_of_many": lambda g: list(g.images_of_many(["app"])),
    "image": lambda g: g.image("app", "v1"),
    "digest_of": lambda g: g.digest_of("app", "v1"),
    "each_manifest": lambda g: list(g.each_manifest("app", [DIGEST])),
    "download_layer": lambda g: next(g.download_layer("app", DIGEST)),
    "put_image": lambda g: g.put_image("app", "{}"),
    "update_storage_class": lambda g: g.update_storage_class("app", DIGEST, "archive"),
    "delete_images": lambda g: g.delete_images(plan_deletion("app", g.images("app"))),
    "manifests": lambda g: g.manifests("app", [DIGEST]),
    "manifest_of": lambda g: g.manifest_of("app", "v1"),
    "referrers": lambda g: g.referrers("app", DIGEST).all(),
    "layers": lambda g: g.layers("app", [DIGEST]),
    "layer_url": lambda g: g.layer_url("app", DIGEST),
    "upload_layer": lambda g: g.upload_layer("app", [b"x"], digest=DIGEST),
    "lifecycle_policy": lambda g: g.lifecycle_policy("app"),
    "put_lifecycle_policy": lambda g: g.put_lifecycle_policy("app", "{}"),
    "delete_lifecycle_policy": lambda g: g.delete_lifecycle_policy("app"),
    "start_lifecycle_preview": lambda g: g.start_lifecycle_preview("app"),
    "lifecycle_preview": lambda g: g.lifecycle_preview("app"),
    "authorization_token": lambda g: g.authorization_token(),
    "scan_pages": lambda g: g.scan_pages("app", DIGEST).all(),
    "signing_status": lambda g: g.signing_status("app", DIGEST),
    "start_scan": lambda g: g.start_scan("app", DIGEST),
    "scanning_configuration": lambda g: g.scanning_configuration(),
    "put_scanning_configuration": lambda g: g.put_scanning_configuration({"scanType": "BASIC", "rules": []}),
    "replication_configuration": lambda g: g.replication_configuration(),
    "put_replication_configuration": lambda g: g.put_replication_configuration({"rules": []}),
    "replication_statuses": lambda g: g.replication_statuses("app", "v1"),
    "read_layer": lambda g: list(g.read_layer("app", DIGEST)),
    "start_upload": lambda g: g.start_upload("app"),
    "upload_part": lambda g: g.upload_part("app", "u", b"ab", first=0),
    "complete_upload": lambda g: g.complete_upload("app", "u", DIGEST),
    "images_found": lambda g: g.images_found("app", [DIGEST]),
    "start_backfill": lambda g: g.start_backfill(Destination("eu-west-1", "123456789012")),
    "stop_backfill": lambda g: g.stop_backfill("b1"),
    "backfills": lambda g: g.backfills().all(),
    "backfill": lambda g: g.backfill("b1"),
    "backfill_results": lambda g: g.backfill_results("b1", status="FAILED").all(),
    "creation_templates": lambda g: g.creation_templates().all(),
    "create_creation_template": lambda g: g.create_creation_template(TEMPLATE),
    "update_creation_template": lambda g: g.update_creation_template(TEMPLATE),
    "pull_through_rules": lambda g: g.pull_through_rules().all(),
    "create_pull_through_rule": lambda g: g.create_pull_through_rule(PULL_THROUGH),
    "update_pull_through_rule": lambda g: g.update_pull_through_rule(PULL_THROUGH),
    "delete_pull_through_rule": lambda g: g.delete_pull_through_rule("quay"),
    "validate_pull_through_rule": lambda g: g.validate_pull_through_rule("quay"),
    "delete_creation_template": lambda g: g.delete_creation_template("prod"),
    "repository_scanning": lambda g: g.repository_scanning(["app"]),
}
REPOSITORY = {
    "repositoryName": "app", "repositoryArn": ARN, "registryId": "123456789012", "repositoryUri": "u", "createdAt": 1.0,
}  # fmt: skip
ANSWERS = {
    "DescribeRepositories": {"repositories": [REPOSITORY]},
    "CreateRepository": {"repository": REPOSITORY},
    "DeleteRepository": {"repository": REPOSITORY},
    "DescribeImages": {"imageDetails": [{"imageDigest": DIGEST, "imagePushedAt": 1.0}]},
    "PutImage": {"image": {"imageId": {"imageDigest": DIGEST}}},
    "GetAuthorizationToken": {"authorizationData": [{"authorizationToken": "QVdTOng=", "expiresAt": 1e9}]},
    "GetLifecyclePolicy": {"lifecyclePolicyText": "{}"},
    "GetDownloadUrlForLayer": {"downloadUrl": "https://x"},
    "StartReplicationBackfill": {"replicationBackfillId": "b1"},
    "StopReplicationBackfill": {"replicationBackfillId": "b1"},
    "DescribeReplicationBackfillResults": {"replicationBackfillId": "b1"},
    "CreateRepositoryCreationTemplate": {"repositoryCreationTemplate": {"prefix": "prod"}},
    "UpdateRepositoryCreationTemplate": {"repositoryCreationTemplate": {"prefix": "prod"}},
    "DeleteRepositoryCreationTemplate": {"repositoryCreationTemplate": {"prefix": "prod"}},
    "InitiateLayerUpload": {"uploadId": "u", "partSize": 10},
}
# Actions that no call of ours makes visible: tags on creation need one more.
BESIDES = {"create_repository": {"ecr:TagResource"}}


def methods():
    return {
        name: member for name, member in inspect.getmembers(EcrGateway, inspect.isfunction) if not name.startswith("_")
    }


class TestEveryMethodDeclares:
    """What is declared is what is called (Service Authorization Reference, Amazon ECR)."""

    def test_none_is_forgotten(self):
        assert set(methods()) <= set(USES)
        assert {method.__qualname__ for method in methods().values()} <= set(iam.permissions())

    @pytest.mark.parametrize("name", sorted(methods()))
    def test_declared_is_called(self, name, scripted):
        caller, script = scripted(lambda operation, _: ANSWERS.get(operation, {}))
        gateway = EcrGateway(caller, workers=1)
        gateway._fetch = lambda url: [b"x"]
        USES[name](gateway)
        called = {iam.action_for("ecr", operation) for operation in script.operations}
        declared = set(iam.permissions()[methods()[name].__qualname__])
        assert called | BESIDES.get(name, set()) == declared

    def test_actions_are_of_the_model(self, shared_session):
        operations = set(shared_session.client("ecr").meta.service_model.operation_names)
        known = {f"ecr:{operation}" for operation in operations} - set(iam.EXCEPTIONS)
        # Other gateways, once imported, declare actions of their own services.
        declared = {a for actions in iam.permissions().values() for a in actions if a.startswith("ecr:")}
        assert declared <= known

    def test_exceptions_name_operations(self, shared_session):
        operations = set(shared_session.client("ecr").meta.service_model.operation_names)
        assert {name.removeprefix("ecr:") for name in iam.EXCEPTIONS} <= operations

    def test_an_action_is_written_in_full(self):
        with pytest.raises(ValueError, match="not an IAM action"):
            iam.needs("DescribeImages")


def test_image_of_the_answers_is_one():
    assert Image.from_api(ANSWERS["DescribeImages"]["imageDetails"][0]).digest == DIGEST
