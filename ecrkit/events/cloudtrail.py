"""What CloudTrail records of ECR: calls of its API, and what ECR does by itself, such as running a lifecycle policy.

A record comes as it stands in a trail's file or a log group, or wrapped by EventBridge (`AWS API Call via CloudTrail`).
Pulls and pushes of docker and of the kubelet show the node's role and `AWS Internal`, never the workload.
Source: ECR user guide, "Logging Amazon ECR actions with AWS CloudTrail"; for the failures of a lifecycle run
aws/containers-roadmap#1665.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time
from ecrkit.events.envelope import Event, EventReader

__all__ = [
    "READERS",
    "ApiCall",
    "CalledImage",
    "LifecycleActionTaken",
    "LifecycleExecution",
    "LifecycleRefusal",
    "wrapped",
]

SOURCE: Final = "ecr.amazonaws.com"
_CALL: Final = "AWS API Call via CloudTrail"
_SERVICE_EVENT: Final = "AWS Service Event via CloudTrail"


@attrs.frozen(kw_only=True)
class CalledImage(Record):
    """An image as a call names it: by digest, by tag, or by both."""

    digest: str | None = None
    tag: str | None = None


def _images(values: Iterable[CalledImage]) -> tuple[CalledImage, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class ApiCall(Event):
    """One call of ECR's API: what was called, by whom, on which images, and whether it was refused.

    `principal` is the ARN that called, `role` that of the role behind a session and `session` its name: for a node the
    id of its instance. `images` are all that BatchGetImage, PutImage, BatchDeleteImage and the like name; up to 100.
    """

    operation: str
    repository: str | None = None
    registry_id: str | None = None
    images: tuple[CalledImage, ...] = attrs.field(default=(), converter=_images)
    principal: str | None = None
    principal_account: str | None = None
    role: str | None = None
    session: str | None = None
    source_ip: str | None = None
    user_agent: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    request_id: str | None = None

    @property
    def refused(self) -> bool:
        """Whether the call failed. An image that was not found within an answer does not show in CloudTrail."""
        return self.error_code is not None

    @property
    def is_pull(self) -> bool:
        """Whether a manifest was read, which begins each pull; reading it for its own sake looks the same."""
        return self.operation == "BatchGetImage" and not self.refused

    @property
    def is_push(self) -> bool:
        """Whether a manifest was put, which ends each push."""
        return self.operation == "PutImage" and not self.refused


@attrs.frozen(kw_only=True)
class LifecycleActionTaken(Record):
    """One image that a run acted on; `action` is that of the rule, such as `expire`, or None when it is not told."""

    digest: str
    tags: tuple[str, ...] = ()
    rule_priority: int | None = None
    action: str | None = None
    pushed_at: dt.datetime | None = None


@attrs.frozen(kw_only=True)
class LifecycleRefusal(Record):
    """One image that a run had to leave, with ECR's code and reason."""

    digest: str
    code: str
    reason: str = ""
    tags: tuple[str, ...] = ()
    rule_priority: int | None = None


def _taken(values: Iterable[LifecycleActionTaken]) -> tuple[LifecycleActionTaken, ...]:
    return tuple(values)


def _refusals(values: Iterable[LifecycleRefusal]) -> tuple[LifecycleRefusal, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class LifecycleExecution(Event):
    """A lifecycle policy ran (`PolicyExecutionEvent`), or its preview did (`DryRunEvent`, then `dry_run` is true).

    One run may come as several records: CloudTrail splits it at ten images, and tells at most 100 tags of each.
    `rules` are the policy's rules in CloudTrail's own words.
    """

    repository: str
    dry_run: bool
    actions: tuple[LifecycleActionTaken, ...] = attrs.field(default=(), converter=_taken)
    failures: tuple[LifecycleRefusal, ...] = attrs.field(default=(), converter=_refusals)
    rules: tuple[Mapping[str, Any], ...] = attrs.field(default=(), eq=False, repr=False)
    policy_id: str | None = None


def wrapped(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a bare CloudTrail record of ECR as EventBridge would wrap it; None when it is none.

    Example:
        >>> found = wrapped({"eventSource": "ecr.amazonaws.com", "eventName": "PutImage", "eventID": "1"})
        >>> found["detail-type"]
        'AWS API Call via CloudTrail'
    """
    if "detail-type" in record or record.get("eventSource") != SOURCE:
        return None
    at = record.get("eventTime", record.get("eventTime_epoch_ms"))
    listed = record.get("resources")
    arns = [item.get("ARN") for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []
    return {
        "id": record.get("eventID"),
        "source": "aws.ecr",
        "detail-type": _SERVICE_EVENT if record.get("eventType") == "AwsServiceEvent" else _CALL,
        "account": record.get("recipientAccountId"),
        "region": record.get("awsRegion"),
        "time": at / 1000 if isinstance(at, int) and not isinstance(at, bool) else at,
        "resources": [arn for arn in arns if isinstance(arn, str)],
        "detail": record,
    }


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _call(reader: EventReader) -> Event:
    detail = reader.detail
    asked, answered = _mapping(detail.get("requestParameters")), _mapping(detail.get("responseElements"))
    identity = _mapping(detail.get("userIdentity"))
    issuer = _mapping(_mapping(identity.get("sessionContext")).get("sessionIssuer"))
    principal_id = _text(identity.get("principalId")) or ""
    return ApiCall(
        **reader.envelope(),
        operation=reader.text("eventName"),
        repository=_text(asked.get("repositoryName")),
        registry_id=_text(asked.get("registryId")),
        images=tuple(_called(asked, answered)),
        principal=_text(identity.get("arn")),
        principal_account=_text(identity.get("accountId")),
        role=_text(issuer.get("arn")),
        session=principal_id.partition(":")[2] or None,
        source_ip=_text(detail.get("sourceIPAddress")),
        user_agent=_text(detail.get("userAgent")),
        error_code=_text(detail.get("errorCode")),
        error_message=_text(detail.get("errorMessage")),
        request_id=_text(detail.get("requestID")),
    )


def _called(asked: Mapping[str, Any], answered: Mapping[str, Any]) -> Iterable[CalledImage]:
    listed = [_mapping(item) for item in _list(asked.get("imageIds"))]
    for single in (asked.get("imageId"), _mapping(answered.get("image")).get("imageId")):
        if isinstance(single, Mapping):
            listed.append(single)
    told = [(_text(i.get("imageDigest")), _text(i.get("imageTag"))) for i in listed]
    if not told and (asked.get("imageTag") or asked.get("imageDigest")):  # a PutImage that was refused
        told = [(_text(asked.get("imageDigest")), _text(asked.get("imageTag")))]
    for digest, tag in dict.fromkeys(told):
        if digest or tag:
            yield CalledImage(digest=digest, tag=tag)


def _service_event(reader: EventReader) -> Event:
    name = reader.text("eventName")
    if name not in ("PolicyExecutionEvent", "DryRunEvent"):
        return _call(reader)
    details = reader.detail.get("serviceEventDetails")
    if not isinstance(details, Mapping):
        reader.problem("$.detail.serviceEventDetails", "is missing or no object")
        details = {}
    repository = details.get("repositoryName")
    if not isinstance(repository, str) or not repository:
        reader.problem("$.detail.serviceEventDetails.repositoryName", "is missing or no text")
        repository = ""
    policy = _mapping(details.get("lifecycleEventPolicy"))
    rules = tuple(_mapping(rule) for rule in _list(policy.get("lifecycleEventRules")))
    actions = {rule.get("rulePriority"): _text(rule.get("action")) for rule in rules}
    return LifecycleExecution(
        **reader.envelope(),
        repository=repository,
        dry_run=name == "DryRunEvent",
        actions=[
            LifecycleActionTaken(**told, action=_lower(actions.get(told["rule_priority"])), pushed_at=_pushed(image))
            for told, image, _ in _lifecycle_images(reader, details, "lifecycleEventImageActions")
        ],
        failures=[
            LifecycleRefusal(
                **told, code=_text(item.get("failureCode")) or "unknown", reason=_text(item.get("failureReason")) or ""
            )
            for told, _, item in _lifecycle_images(reader, details, "lifecycleEventFailureDetails")
        ],
        rules=rules,
        policy_id=_text(policy.get("policyId")),
    )


def _lifecycle_images(
    reader: EventReader, details: Mapping[str, Any], name: str
) -> Iterable[tuple[dict[str, Any], Mapping[str, Any], Mapping[str, Any]]]:
    for number, item in enumerate(_list(details.get(name))):
        found = _mapping(item)
        image = _mapping(found.get("lifecycleEventImage"))
        digest = _text(image.get("digest"))
        if digest is None:
            path = f"$.detail.serviceEventDetails.{name}[{number}].lifecycleEventImage.digest"
            reader.problem(path, "is missing or no text")
            continue
        priority = found.get("rulePriority")
        told = {
            "digest": digest,
            "tags": tuple(tag for tag in _list(image.get("tagList")) if isinstance(tag, str)),
            "rule_priority": priority if isinstance(priority, int) and not isinstance(priority, bool) else None,
        }
        yield told, image, found


def _lower(value: str | None) -> str | None:
    return None if value is None else value.lower()


def _pushed(image: Mapping[str, Any]) -> dt.datetime | None:
    value = image.get("pushedAt")
    try:
        return parse_time(value / 1000) if isinstance(value, int | float) and not isinstance(value, bool) else None
    except ValueError:
        return None


READERS: Final = {
    ("aws.ecr", _CALL): _call,
    ("aws.ecr", _SERVICE_EVENT): _service_event,
}
