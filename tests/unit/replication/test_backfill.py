from __future__ import annotations

import json

import pytest

from ecrkit.client.replication import policy_allows
from ecrkit.replication import Backfill, BackfillResult, BackfillWait, Destination, backfill_step

HOME, THEIRS = Destination("us-east-1", "123456789012"), Destination("eu-west-1", "210987654321")


def seen(status: str, **more) -> Backfill:
    return Backfill(backfill_id="b", destination=THEIRS, status=status, **more)


class TestStep:
    """PREPARING, IN_PROGRESS and STOPPING go on; COMPLETE, FAILED and STOPPED have ended (botocore model)."""

    @pytest.mark.parametrize("status", ["COMPLETE", "FAILED", "STOPPED"])
    def test_ended(self, status):
        assert backfill_step(BackfillWait(started=0, deadline=100), seen(status), 10).action == "ended"

    @pytest.mark.parametrize("status", ["PREPARING", "IN_PROGRESS", "STOPPING", "SOMETHING_NEW"])
    def test_goes_on(self, status):
        found = backfill_step(BackfillWait(started=0, deadline=100), seen(status), 10)
        assert (found.action, found.sleep, found.state.tries) == ("again", 5.0, 1)

    def test_the_pause_grows_with_time_and_with_faults(self):
        state = BackfillWait(started=0, deadline=1e6)
        assert [backfill_step(state, seen("IN_PROGRESS"), now).sleep for now in (0, 100, 1e5)] == [5.0, 15.0, 60.0]
        pauses = []
        for _ in range(5):
            found = backfill_step(state, None, 10)
            state, pauses = found.state, [*pauses, found.sleep]
        assert pauses == [10.0, 20.0, 40.0, 60.0, 60.0]
        assert backfill_step(state, seen("IN_PROGRESS"), 10).sleep == 5.0

    def test_jitter_and_deadline(self):
        state = BackfillWait(started=0, deadline=100)
        assert backfill_step(state, None, 0, drawn=0).sleep == 7.5
        assert backfill_step(state, seen("IN_PROGRESS"), 99).sleep == 1
        late = backfill_step(state, seen("IN_PROGRESS"), 100)
        assert (late.action, late.state.last) == ("expired", seen("IN_PROGRESS"))
        assert backfill_step(state, seen("COMPLETE"), 200).action == "ended"


class TestRecords:
    def test_complete_with_failures_is_not_clean(self):
        assert seen("COMPLETE", failed=1).clean is False
        assert seen("COMPLETE").clean is True

    def test_parts_of_an_index(self):
        raw = {"repositoryName": "app", "imageId": {"imageDigest": "sha256:1"}, "status": "FAILED",
               "subImageFailureCodes": ["KmsError"]}  # fmt: skip
        found = BackfillResult.from_api(raw)
        assert (found.parts, found.tag, found.failure_code) == (("KmsError",), None, None)


class TestPolicyAllows:
    """Another account's registry policy; a condition that needs a request is unknown, and that is no yes."""

    def statement(self, **more):
        made = {"Sid": "r", "Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
                "Action": ["ecr:ReplicateImage"], "Resource": "arn:aws:ecr:eu-west-1:210987654321:repository/prod/*",
                **more}  # fmt: skip
        return json.dumps({"Version": "2012-10-17", "Statement": [made]})

    def test_yes_and_no(self):
        allows = policy_allows(HOME, THEIRS, self.statement())
        assert allows("ecr:ReplicateImage", "prod/app") is True
        assert allows("ecr:ReplicateImage", "dev/app") is False
        assert allows("ecr:CreateRepository", "prod/app") is False
        assert policy_allows(HOME, THEIRS, None)("ecr:ReplicateImage", "prod/app") is False

    def test_unknown(self):
        text = self.statement(Condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}})
        assert policy_allows(HOME, THEIRS, text)("ecr:ReplicateImage", "prod/app") is None
