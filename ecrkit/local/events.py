"""What the embedded ECR did, as typed records: the raw material of EventBridge and CloudTrail events."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso
from ecrkit.refs import partition_of_region

__all__ = [
    "Call",
    "Event",
    "ImageDeleted",
    "ImagePushed",
    "ImageReplicated",
    "ImageScanned",
    "InspectorScanned",
    "LifecycleAction",
    "LifecycleFailure",
    "LifecyclePolicyExecuted",
    "PullThroughSynced",
    "StorageClassUpdated",
]


@attrs.frozen(kw_only=True)
class Call(Record):
    """One API call that reached the engine, whether it succeeded or not; `caller` is the ARN of the principal."""

    operation: str
    account: str
    region: str
    time: dt.datetime
    caller: str
    params: dict[str, Any] = attrs.field(factory=dict, repr=False, eq=False)


@attrs.frozen(kw_only=True)
class Event(Record):
    """Something that changed a repository. Subclasses say what."""

    time: dt.datetime
    account: str
    region: str
    repository: str


@attrs.frozen(kw_only=True)
class ImagePushed(Event):
    """A manifest was put: one event per PutImage that changed something."""

    digest: str
    tag: str | None = None
    manifest_media_type: str = ""
    artifact_media_type: str | None = None
    subject_digest: str | None = None

    def to_eventbridge(self) -> dict[str, Any]:
        """Return the event `ECR Image Action`, of a referrer `ECR Referrer Action`, with action type PUSH."""
        named = {"image-tag": self.tag} if self.tag is not None else {}
        return _action(self, "PUSH", named, referrer=self.subject_digest is not None)


@attrs.frozen(kw_only=True)
class ImageDeleted(Event):
    """An image was deleted, or one of its tags removed (then `image_remains`); one event per tag.

    `by` is `api`, `lifecycle`, `referrer-sweep` for a referrer that follows its deleted subject, or `replication` for
    what a source's delete replication repeats.
    """

    digest: str
    tag: str | None = None
    image_remains: bool = False
    by: str = "api"

    def to_eventbridge(self) -> dict[str, Any]:
        """Return the event `ECR Image Action` with action type DELETE."""
        return _action(self, "DELETE", {"image-tag": self.tag} if self.tag is not None else {})


@attrs.frozen(kw_only=True)
class StorageClassUpdated(Event):
    """An image moved between storage classes; a restore is reported when it is finished. `by` as in `ImageDeleted`."""

    digest: str
    target_storage_class: str
    manifest_media_type: str = ""
    artifact_media_type: str | None = None
    subject_digest: str | None = None
    by: str = "api"

    def to_eventbridge(self) -> dict[str, Any]:
        """Return the event `ECR Image Action`, of a referrer `ECR Referrer Action`: UPDATE_STORAGE_CLASS."""
        named = {
            "target-storage-class": self.target_storage_class,
            **({"manifest-media-type": self.manifest_media_type} if self.manifest_media_type else {}),
            **({"artifact-media-type": self.artifact_media_type} if self.artifact_media_type else {}),
        }
        return _action(self, "UPDATE_STORAGE_CLASS", named, referrer=self.subject_digest is not None)


@attrs.frozen(kw_only=True)
class LifecycleAction(Record):
    """One image that a lifecycle run expired or archived: `action` is `expire` or `transition`."""

    digest: str
    tags: tuple[str, ...]
    action: str
    rule_priority: int | None


@attrs.frozen(kw_only=True)
class LifecycleFailure(Record):
    """One image that a lifecycle run had to leave, with ECR's failure code and reason."""

    digest: str
    tags: tuple[str, ...]
    code: str
    reason: str
    rule_priority: int | None = None


@attrs.frozen(kw_only=True)
class LifecyclePolicyExecuted(Event):
    """A lifecycle policy ran (CloudTrail: PolicyExecutionEvent)."""

    policy_text: str = attrs.field(repr=False)
    actions: tuple[LifecycleAction, ...] = ()
    failures: tuple[LifecycleFailure, ...] = ()

    def to_cloudtrail(self) -> list[dict[str, Any]]:
        """Return the `PolicyExecutionEvent` records of CloudTrail; a run of many images is split at ten.

        Source: ECR user guide, logging with AWS CloudTrail; aws/containers-roadmap#1665 for the failures.

        Example:
            >>> ran = LifecyclePolicyExecuted(time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), account="123456789012",
            ...     region="us-east-1", repository="app", policy_text='{"rules": []}')
            >>> [record["eventName"] for record in ran.to_cloudtrail()]
            ['PolicyExecutionEvent']
        """
        acted = [_lifecycle_image(a.digest, a.tags, a.rule_priority) for a in self.actions]
        failed = [
            _lifecycle_image(f.digest, f.tags, f.rule_priority) | {"failureCode": f.code, "failureReason": f.reason}
            for f in self.failures
        ]
        pages = max(1, -(-max(len(acted), len(failed)) // _SPLIT))
        return [
            self._record(acted[n * _SPLIT : (n + 1) * _SPLIT], failed[n * _SPLIT : (n + 1) * _SPLIT], n)
            for n in range(pages)
        ]

    def _record(self, acted: list[dict[str, Any]], failed: list[dict[str, Any]], page: int) -> dict[str, Any]:
        arn = f"arn:{partition_of_region(self.region)}:ecr:{self.region}:{self.account}:repository/{self.repository}"
        rules = [
            {"rulePriority": rule["rulePriority"], "action": rule["action"]["type"]}
            for rule in json.loads(self.policy_text)["rules"]
        ]
        return {
            "eventVersion": "1.08",
            "userIdentity": {"accountId": self.account, "invokedBy": "AWS Internal"},
            "eventTime": iso(self.time.replace(microsecond=0)),
            "eventSource": "ecr.amazonaws.com",
            "eventName": "PolicyExecutionEvent",
            "awsRegion": self.region,
            "sourceIPAddress": "AWS Internal",
            "userAgent": "AWS Internal",
            "requestParameters": None,
            "responseElements": None,
            "eventID": str(uuid.uuid5(_EVENTS, f"lifecycle {self.time} {arn} {page}")),
            "readOnly": True,
            "resources": [{"ARN": arn, "accountId": self.account, "type": "AWS::ECR::Repository"}],
            "eventType": "AwsServiceEvent",
            "recipientAccountId": self.account,
            "serviceEventDetails": {
                "repositoryName": self.repository,
                "lifecycleEventPolicy": {"lifecycleEventRules": rules},
                "lifecycleEventImageActions": acted,
                "lifecycleEventFailureDetails": failed,
            },
        }


_SPLIT: Final = 10
_MOST_TAGS: Final = 100


def _lifecycle_image(digest: str, tags: tuple[str, ...], priority: int | None) -> dict[str, Any]:
    image = {"digest": digest, "tagStatus": "Tagged" if tags else "Untagged", "tagList": list(tags[:_MOST_TAGS])}
    return {"lifecycleEventImage": image, "rulePriority": priority}


_EVENTS: Final = uuid.UUID("0f3b1b7e-5a0f-5c6e-8d53-1b5d1c2f7a90")


def _eventbridge(event: Event, source: str, kind: str, detail: Mapping[str, Any]) -> dict[str, Any]:
    arn = f"arn:{partition_of_region(event.region)}:ecr:{event.region}:{event.account}:repository/{event.repository}"
    body = dict(detail)
    return {
        "version": "0",
        # From the content, so that golden outputs stay equal; a consumer may drop a second delivery by it.
        "id": str(uuid.uuid5(_EVENTS, f"{kind} {event.time} {arn} {body}")),
        "detail-type": kind,
        "source": source,
        "account": event.account,
        "time": iso(event.time.replace(microsecond=0)),
        "region": event.region,
        "resources": [arn],
        "detail": body,
    }


def _action(
    event: ImagePushed | ImageDeleted | StorageClassUpdated,
    action: str,
    more: Mapping[str, Any],
    *,
    referrer: bool = False,
) -> dict[str, Any]:
    detail = {
        "result": "SUCCESS",
        "repository-name": event.repository,
        "image-digest": event.digest,
        "action-type": action,
        **more,
    }
    sent = _eventbridge(event, "aws.ecr", "ECR Referrer Action" if referrer else "ECR Image Action", detail)
    return {**sent, "resources": []}  # as the examples of the user guide have it


@attrs.frozen(kw_only=True)
class ImageScanned(Event):
    """A basic scan ended: `status` is COMPLETE or FAILED, `counts` holds only severities that have findings."""

    digest: str
    tags: tuple[str, ...] = ()
    status: str = "COMPLETE"
    counts: Mapping[str, int] = attrs.field(factory=dict, hash=False)

    def to_eventbridge(self) -> dict[str, Any]:
        """Return the event `ECR Image Scan`; the counts are absent when there are none (ECR user guide, EventBridge).

        Example:
            >>> scanned = ImageScanned(time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), account="123456789012",
            ...     region="us-east-1", repository="app", digest="sha256:...", counts={"HIGH": 2})
            >>> scanned.to_eventbridge()["detail"]["finding-severity-counts"]
            {'HIGH': 2}
        """
        counts = {name: count for name, count in self.counts.items() if count}
        detail = {
            "scan-status": self.status,
            "repository-name": self.repository,
            **({"finding-severity-counts": counts} if counts else {}),
            "image-digest": self.digest,
            "image-tags": list(self.tags),
        }
        return _eventbridge(self, "aws.ecr", "ECR Image Scan", detail)


@attrs.frozen(kw_only=True)
class ImageReplicated(Event):
    """A replication ended, seen from its destination: account, region and repository are the destination's.

    `result` is SUCCESS or FAILED; one event per tag. `failure_code` is what DescribeImageReplicationStatus shows in the
    source; no event of ECR carries it.
    """

    digest: str
    source_account: str
    source_region: str
    tag: str | None = None
    result: str = "SUCCESS"
    failure_code: str | None = None

    def to_eventbridge(self) -> dict[str, Any]:
        """Return the event `ECR Replication Action` (ECR user guide, EventBridge).

        Example:
            >>> replicated = ImageReplicated(time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), account="123456789012",
            ...     region="eu-west-1", repository="app", digest="sha256:...", tag="v1",
            ...     source_account="123456789012", source_region="us-east-1")
            >>> event = replicated.to_eventbridge()
            >>> event["region"], event["detail"]["source-region"], event["detail"]["result"]
            ('eu-west-1', 'us-east-1', 'SUCCESS')
        """
        detail = {
            "result": self.result,
            "repository-name": self.repository,
            "image-digest": self.digest,
            "source-account": self.source_account,
            "action-type": "REPLICATE",
            "source-region": self.source_region,
            **({"image-tag": self.tag} if self.tag is not None else {}),
        }
        return _eventbridge(self, "aws.ecr", "ECR Replication Action", detail)


@attrs.frozen(kw_only=True)
class PullThroughSynced(Event):
    """The cache looked at an upstream for an image: `result` is SUCCESS or FAILED, with code and reason."""

    prefix: str
    upstream: str
    digest: str | None = None
    tag: str | None = None
    result: str = "SUCCESS"
    failure_code: str | None = None
    failure_reason: str | None = None

    def to_eventbridge(self) -> dict[str, Any]:
        """Return the event `ECR Pull Through Cache Action` (ECR user guide, EventBridge).

        Example:
            >>> synced = PullThroughSynced(time=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), account="123456789012",
            ...     region="us-east-1", repository="quay/a/b", prefix="quay", upstream="quay.io", tag="1")
            >>> synced.to_eventbridge()["detail"]["sync-status"]
            'SUCCESS'
        """
        named = {
            "image-tag": self.tag, "image-digest": self.digest, "failure-code": self.failure_code,
            "failure-reason": self.failure_reason,
        }  # fmt: skip
        detail = {
            "rule-version": "1",
            "sync-status": self.result,
            "ecr-repository-prefix": self.prefix,
            "repository-name": self.repository,
            "upstream-registry-url": self.upstream,
            **{name: value for name, value in named.items() if value is not None},
        }
        return _eventbridge(self, "aws.ecr", "ECR Pull Through Cache Action", detail)


@attrs.frozen(kw_only=True)
class InspectorScanned(Event):
    """The first enhanced scan of an image ended. Later findings come without such an event."""

    digest: str
    tags: tuple[str, ...] = ()
    counts: Mapping[str, int] = attrs.field(factory=dict, hash=False)

    def to_eventbridge(self) -> dict[str, Any]:
        """Return the event `Inspector2 Scan`: the repository by its ARN, zeros shown, lesser severities only in TOTAL.

        Source: Inspector user guide, EventBridge.
        """
        shown = {name: self.counts.get(name, 0) for name in ("CRITICAL", "HIGH", "MEDIUM")}
        arn = f"arn:{partition_of_region(self.region)}:ecr:{self.region}:{self.account}:repository/{self.repository}"
        detail = {
            "scan-status": "INITIAL_SCAN_COMPLETE",
            "repository-name": arn,
            "finding-severity-counts": {**shown, "TOTAL": sum(self.counts.values())},
            "image-digest": self.digest,
            "image-tags": list(self.tags),
            "version": "2.0",
        }
        return _eventbridge(self, "aws.inspector2", "Inspector2 Scan", detail)
