"""CloudTrail records of ECR: who called what on which images, and what a lifecycle run did."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrkit.errors import InvalidInput
from ecrkit.events import ApiCall, LifecycleExecution, UnknownEvent, dedupe, parse_event, read_events
from tests.support.samples import sample_text

D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64


def record(**more):
    return {
        "eventVersion": "1.08", "eventSource": "ecr.amazonaws.com", "eventName": "BatchGetImage",
        "eventType": "AwsApiCall", "eventID": "id-1", "eventTime": "2026-11-25T12:00:00Z", "awsRegion": "eu-west-1",
        "recipientAccountId": "123456789012", "requestParameters": {"repositoryName": "team/app"}, **more,
    }  # fmt: skip


def execution(**details):
    return record(
        eventName="PolicyExecutionEvent",
        eventType="AwsServiceEvent",
        serviceEventDetails={"repositoryName": "team/app", **details},
    )


def acted(digest, priority, *tags, **more):
    image = {"digest": digest, "tagStatus": "Tagged", "tagList": list(tags), "pushedAt": 1584042813000}
    return {"lifecycleEventImage": image, "rulePriority": priority, **more}


class TestCalls:
    def test_every_image_of_a_call_is_told(self):
        ids = [{"imageDigest": D1}, {"imageTag": "v1"}, {"imageTag": "v2", "imageDigest": D2}, {"imageTag": "v1"}, {}]
        found = parse_event(record(requestParameters={"repositoryName": "a", "imageIds": ids}))
        assert isinstance(found, ApiCall)
        assert [(i.digest, i.tag) for i in found.images] == [(D1, None), (None, "v1"), (D2, "v2")]
        assert (found.is_pull, found.is_push, found.refused) == (True, False, False)

    def test_a_node_pulls_with_its_role_and_its_instance_as_session(self):
        identity = {
            "type": "AssumedRole", "principalId": "AROAEXAMPLE:i-0123456789abcdef0", "accountId": "123456789012",
            "arn": "arn:aws:sts::123456789012:assumed-role/node/i-0123456789abcdef0",
            "sessionContext": {"sessionIssuer": {"arn": "arn:aws:iam::123456789012:role/node"}},
        }  # fmt: skip
        found = parse_event(record(userIdentity=identity, userAgent="AWS Internal", sourceIPAddress="AWS Internal"))
        assert (found.role, found.session) == ("arn:aws:iam::123456789012:role/node", "i-0123456789abcdef0")
        assert (found.principal_account, found.user_agent) == ("123456789012", "AWS Internal")

    def test_a_push_tells_its_digest_in_the_answer(self):
        answer = {"image": {"imageId": {"imageDigest": D1, "imageTag": "v1"}}}
        found = parse_event(record(eventName="PutImage", requestParameters={"imageTag": "v1"}, responseElements=answer))
        assert [(i.digest, i.tag) for i in found.images] == [(D1, "v1")]
        assert found.is_push

    def test_a_refused_push_tells_what_was_asked(self):
        found = parse_event(
            record(eventName="PutImage", errorCode="AccessDenied", requestParameters={"imageTag": "v1"})
        )
        assert [(i.digest, i.tag) for i in found.images] == [(None, "v1")]
        assert (found.is_push, found.refused, found.error_code) == (False, True, "AccessDenied")

    def test_a_call_that_names_one_image(self):
        asked = {"repositoryName": "a", "imageId": {"imageTag": "v1"}}
        found = parse_event(record(eventName="DescribeImageScanFindings", requestParameters=asked))
        assert [(i.digest, i.tag) for i in found.images] == [(None, "v1")]

    @pytest.mark.parametrize("asked", [None, {}, [], "x", {"imageIds": "x", "imageId": 3}])
    def test_a_call_about_nothing(self, asked):
        found = parse_event(record(requestParameters=asked, userIdentity=None))
        assert (found.images, found.repository, found.principal) == ((), None, None)


class TestWrapping:
    def test_eventbridge_and_the_trail_tell_the_same(self):
        bare = parse_event(record())
        envelope = {
            "id": "id-1", "source": "aws.ecr", "detail-type": "AWS API Call via CloudTrail", "account": "123456789012",
            "region": "eu-west-1", "time": "2026-11-25T12:00:00Z", "resources": [], "detail": record(),
        }  # fmt: skip
        assert parse_event(json.dumps(envelope)) == bare
        assert len(list(dedupe([bare, parse_event(envelope)]))) == 1

    def test_another_services_call_is_unknown_and_a_bare_record_of_one_is_no_event(self):
        envelope = {
            "id": "1", "source": "aws.s3", "detail-type": "AWS API Call via CloudTrail", "account": "1", "region": "r",
            "time": "2026-11-25T12:00:00Z", "detail": {},
        }  # fmt: skip
        assert isinstance(parse_event(envelope), UnknownEvent)
        with pytest.raises(InvalidInput):
            parse_event(record(eventSource="s3.amazonaws.com"))

    def test_what_an_event_must_say(self):
        with pytest.raises(InvalidInput) as caught:
            parse_event({"eventSource": "ecr.amazonaws.com"})
        paths = {p.path for p in caught.value.problems}
        assert {"$.id", "$.account", "$.region", "$.time", "$.detail.eventName"} <= paths


class TestLifecycleRuns:
    def test_what_it_did_and_could_not_do(self):
        found = parse_event(
            execution(
                lifecycleEventPolicy={
                    "policyId": "p",
                    "lifecycleEventRules": [
                        {"rulePriority": 1, "action": "expire"}, {"rulePriority": 2, "action": "TRANSITION"},
                    ],
                },
                lifecycleEventImageActions=[acted(D1, 1, "v1", "old"), acted(D2, 2), acted(D2, 7)],
                lifecycleEventFailureDetails=[
                    acted(D1, 1, failureCode="ImageReferencedByManifestList", failureReason="Requested image ...")
                ],
            )
        )  # fmt: skip
        assert isinstance(found, LifecycleExecution)
        assert (found.repository, found.dry_run, found.policy_id) == ("team/app", False, "p")
        assert [(a.digest, a.tags, a.rule_priority, a.action) for a in found.actions] == [
            (D1, ("v1", "old"), 1, "expire"), (D2, (), 2, "transition"), (D2, (), 7, None),
        ]  # fmt: skip
        assert found.actions[0].pushed_at == dt.datetime(2020, 3, 12, 19, 53, 33, tzinfo=dt.UTC)
        [refused] = found.failures
        assert (refused.digest, refused.code, refused.rule_priority) == (D1, "ImageReferencedByManifestList", 1)

    def test_a_preview_is_no_run(self):
        assert parse_event(execution() | {"eventName": "DryRunEvent"}).dry_run

    def test_another_service_event_is_a_call(self):
        found = parse_event(execution() | {"eventName": "ReplicateImage"})
        assert (type(found).__name__, found.operation) == ("ApiCall", "ReplicateImage")

    @pytest.mark.parametrize(
        ("event", "path"),
        [
            (record(eventName="PolicyExecutionEvent", eventType="AwsServiceEvent"), "$.detail.serviceEventDetails"),
            (execution(repositoryName=None), "$.detail.serviceEventDetails.repositoryName"),
            (
                execution(lifecycleEventImageActions=[{}]),
                "$.detail.serviceEventDetails.lifecycleEventImageActions[0].lifecycleEventImage.digest",
            ),
        ],
    )
    def test_what_it_must_say(self, event, path):
        with pytest.raises(InvalidInput) as caught:
            parse_event(event)
        assert path in {p.path for p in caught.value.problems}

    @pytest.mark.parametrize("pushed", [None, "x", True, 1e40, float("nan")])
    def test_a_push_time_that_is_none(self, pushed):
        item = acted(D1, 1)
        item["lifecycleEventImage"]["pushedAt"] = pushed
        assert parse_event(execution(lifecycleEventImageActions=[item])).actions[0].pushed_at is None


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("BatchGetImage", ApiCall), ("BatchGetImage_AccessDenied", ApiCall), ("CreateRepository", ApiCall),
        ("PolicyExecutionEvent", LifecycleExecution), ("PutImage", ApiCall), ("PutImage_docker_push_eventbridge", ApiCall),
    ],
)  # fmt: skip
def test_published_records(name, kind):
    assert isinstance(parse_event(sample_text("operations", f"cloudtrail_{name}.json")), kind)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda s: st.lists(s, max_size=3) | st.dictionaries(st.text(max_size=6), s, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from([*record(), *execution(), "userIdentity", "responseElements", "errorCode"]),
        anything,
        max_size=6,
    ),
    st.dictionaries(
        st.sampled_from(
            ["repositoryName", "lifecycleEventPolicy", "lifecycleEventImageActions", "lifecycleEventFailureDetails"]
        ),
        anything,
        max_size=4,
    ),
)
def test_nothing_crashes_it(broken, details):
    found = read_events([record() | broken, execution(**details) | broken, execution(**details)])
    assert len(found.events) + bool(found.problems) >= 1
