"""What the embedded ECR did, as typed records: the raw material of EventBridge and CloudTrail events."""

from __future__ import annotations

import datetime as dt
from typing import Any

import attrs

from ecrkit._internal.jsonio import Record

__all__ = [
    "Call",
    "Event",
    "ImageDeleted",
    "ImagePushed",
    "LifecycleAction",
    "LifecycleFailure",
    "LifecyclePolicyExecuted",
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


@attrs.frozen(kw_only=True)
class ImageDeleted(Event):
    """An image was deleted, or one of its tags removed (then `image_remains`); one event per tag.

    `by` is `api`, `lifecycle`, or `referrer-sweep` for a referrer that follows its deleted subject.
    """

    digest: str
    tag: str | None = None
    image_remains: bool = False
    by: str = "api"


@attrs.frozen(kw_only=True)
class StorageClassUpdated(Event):
    """An image moved between storage classes; a restore is reported when it is finished. `by` as in `ImageDeleted`."""

    digest: str
    target_storage_class: str
    manifest_media_type: str = ""
    artifact_media_type: str | None = None
    subject_digest: str | None = None
    by: str = "api"


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
