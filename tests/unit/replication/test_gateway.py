"""The gateway's replication, backfill and template methods on the embedded ECR."""

from __future__ import annotations

import pytest

from ecrkit import Registry
from ecrkit.errors import Conflict, InvalidInput, NotFound, NotSupportedByBotocore, Rejected
from ecrkit.records import CreationTemplate
from ecrkit.replication import Destination, ReplicationStatus
from tests.support.replication import AWAY, FAR, HOME, OWN, World, app, rule

THERE = Destination(AWAY, OWN)


@pytest.fixture
def world() -> World:
    return World(rule(AWAY))


@pytest.fixture
def gateway(world):
    with Registry.local(world.engine, attempts=1) as registry:
        yield registry.gateway


class TestStatus:
    def test_by_tag_and_by_digest(self, world, gateway):
        digest = world.push(app())
        expected = (ReplicationStatus(destination=THERE, status="IN_PROGRESS"),)
        assert gateway.replication_statuses("app", "v1") == expected
        assert gateway.replication_statuses("app", digest) == expected

    def test_a_failure_has_its_code(self, world, gateway):
        world.engine.replication.fail("KmsError")
        world.push(app())
        world.pass_time(30)
        assert gateway.replication_statuses("app", "v1")[0].failure_code == "KmsError"

    def test_nothing_began(self, world, gateway):
        world.configure(rule(AWAY, filters=("prod",)))
        world.push(app())
        assert gateway.replication_statuses("app", "v1") == ()

    def test_no_such_image(self, gateway):
        with pytest.raises(NotFound, match="app:v1"):
            gateway.replication_statuses("app", "v1")


class TestConfiguration:
    def test_there_and_back(self, gateway):
        gateway.put_replication_configuration({"rules": [rule(FAR, deletes=True)]})
        answer = gateway.replication_configuration()
        assert answer == {"registryId": OWN, "replicationConfiguration": {"rules": [rule(FAR, deletes=True)]}}

    def test_members_that_the_installed_botocore_knows(self, gateway):
        assert {"destinations", "repositoryFilters"} <= gateway.replication_rule_members

    def test_a_member_that_it_does_not_know_is_named(self, gateway):
        with pytest.raises(NotSupportedByBotocore, match=r"ReplicationRule\.priority"):
            gateway.put_replication_configuration({"rules": [{**rule(FAR), "priority": 1}]})

    def test_another_member_is_refused(self, gateway):
        with pytest.raises(InvalidInput, match="registryId"):
            gateway.put_replication_configuration({"rules": [], "registryId": OWN})

    def test_what_ecr_refuses(self, gateway):
        with pytest.raises(Rejected):
            gateway.put_replication_configuration({"rules": [rule(HOME)]})

    def test_another_accounts_is_not_asked(self, world):
        with Registry.local(world.engine).in_region(HOME, account="210987654321") as theirs:
            assert theirs.gateway.replication_configuration()["registryId"] == "210987654321"


class TestFound:
    """DescribeImages refuses a whole question when one image is missing."""

    def calls(self, world) -> int:
        return sum(call.operation == "DescribeImages" for call in world.engine.calls)

    def test_one_call_when_all_are_there(self, world, gateway):
        digests = [world.push(app(str(n)), None) for n in range(5)]
        assert set(gateway.images_found("app", [*digests, digests[0]])) == set(digests)
        assert self.calls(world) == 1

    def test_the_missing_are_absent(self, world, gateway):
        digests = [world.push(app(str(n)), None) for n in range(5)]
        gone = [f"sha256:{n:064}" for n in range(2)]
        assert set(gateway.images_found("app", [gone[0], *digests, gone[1]])) == set(digests)
        assert gateway.images_found("app", gone[:1]) == {}
        assert gateway.images_found("app", []) == {}

    def test_archived_ones_are_there(self, world, gateway):
        digest = world.push(app())
        gateway.update_storage_class("app", digest, "archive")
        assert gateway.images_found("app", [digest])[digest].status == "ARCHIVED"

    def test_more_than_a_hundred(self, world, gateway):
        digests = [f"sha256:{n:064}" for n in range(101)]
        assert gateway.images_found("app", digests) == {}

    def test_no_repository(self, gateway):
        with pytest.raises(NotFound) as caught:
            gateway.images_found("none", [app().digest])
        assert caught.value.code == "RepositoryNotFoundException"


class TestBackfills:
    def test_life_of_one(self, world, gateway):
        started = gateway.start_backfill(THERE)
        assert (started.status, started.destination, started.ended) == ("PREPARING", THERE, False)
        with pytest.raises(Conflict):
            gateway.start_backfill(THERE)
        world.pass_time(120)
        found = gateway.backfill(started.backfill_id)
        assert (found.status, found.clean, found.total) == ("COMPLETE", True, 0)
        assert "0 of 0" in str(found)
        assert [b.backfill_id for b in gateway.backfills()] == [started.backfill_id]
        assert gateway.backfill_results(started.backfill_id).all() == ()
        with pytest.raises(Conflict):
            gateway.stop_backfill(started.backfill_id)

    def test_no_destination_and_no_such_id(self, gateway):
        with pytest.raises(Rejected):
            gateway.start_backfill(Destination("sa-east-1", OWN))
        with pytest.raises(NotFound):
            gateway.backfill("00000000-0000-0000-0000-000000000000")


class TestTemplates:
    FULL = CreationTemplate(
        prefix="prod", applied_for=("REPLICATION", "CREATE_ON_PUSH"), description="production",
        tag_mutability="IMMUTABLE_WITH_EXCLUSION", mutability_exclusions=("dev*",), encryption_type="KMS",
        kms_key=f"arn:aws:kms:us-east-1:{OWN}:key/abc", resource_tags={"team": "a"},
        custom_role_arn=f"arn:aws:iam::{OWN}:role/templates",
    )  # fmt: skip

    def test_there_and_back(self, gateway):
        assert gateway.create_creation_template(self.FULL) == self.FULL
        assert gateway.creation_templates().all() == (self.FULL,)
        with pytest.raises(Conflict):
            gateway.create_creation_template(self.FULL)

    def test_update_changes_what_is_set(self, gateway):
        gateway.create_creation_template(self.FULL)
        changed = gateway.update_creation_template(CreationTemplate(prefix="prod", applied_for=(), description="new"))
        assert (changed.description, changed.applied_for, changed.tag_mutability) == (
            "new", self.FULL.applied_for, self.FULL.tag_mutability,
        )  # fmt: skip
        with pytest.raises(NotFound):
            gateway.update_creation_template(CreationTemplate(prefix="none", applied_for=()))

    def test_delete_returns_what_it_was(self, gateway):
        gateway.create_creation_template(self.FULL)
        assert gateway.delete_creation_template("prod") == self.FULL
        assert gateway.delete_creation_template("prod") is None

    def test_an_occasion_of_later_models_is_named(self, gateway):
        with pytest.raises(NotSupportedByBotocore, match="RCTAppliedFor"):
            gateway.create_creation_template(CreationTemplate(prefix="a", applied_for=("SOMETHING_NEW",)))

    def test_what_is_no_template(self):
        with pytest.raises(InvalidInput, match="prefix"):
            CreationTemplate.from_api({})
