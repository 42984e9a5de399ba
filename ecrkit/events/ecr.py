"""What ECR itself tells EventBridge (source `aws.ecr`).

Source: ECR user guide, "Amazon ECR events and EventBridge". Its examples name digests that are no digests, so a digest
is kept as it came and compared as text.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.events.envelope import Event, EventReader

__all__ = [
    "READERS",
    "FrequencyChange",
    "ImageAction",
    "ImageScan",
    "PullThroughCacheAction",
    "ReferrerAction",
    "ReplicationAction",
    "ScanResourceChange",
]

SOURCE: Final = "aws.ecr"


@attrs.frozen(kw_only=True)
class ImageAction(Event):
    """`ECR Image Action`: PUSH, DELETE or UPDATE_STORAGE_CLASS of an image; `resources` is empty.

    A push has neither media type nor size. A push by digest has no tag.
    """

    repository: str
    digest: str
    action: str
    result: str
    tag: str | None = None
    target_storage_class: str | None = None
    manifest_media_type: str | None = None
    artifact_media_type: str | None = None
    last_activated_at: dt.datetime | None = None
    last_archived_at: dt.datetime | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it was done."""
        return self.result == "SUCCESS"


@attrs.frozen(kw_only=True)
class ReferrerAction(ImageAction):
    """`ECR Referrer Action`: the same of a referrer, such as a signature or an SBOM."""


@attrs.frozen(kw_only=True)
class ReplicationAction(Event):
    """`ECR Replication Action`: a replication ended. Account and Region of the event are the destination's.

    There is one event for each tag. A failed one has no code; DescribeImageReplicationStatus in the source tells it.
    """

    repository: str
    digest: str
    result: str
    source_account: str
    source_region: str
    tag: str | None = None
    action: str = "REPLICATE"

    @property
    def succeeded(self) -> bool:
        """Whether the image arrived; that the tag points at it there is another matter."""
        return self.result == "SUCCESS"


@attrs.frozen(kw_only=True)
class PullThroughCacheAction(Event):
    """`ECR Pull Through Cache Action`: an image of an upstream was synchronised, or could not be."""

    repository: str
    sync_status: str
    digest: str | None = None
    tag: str | None = None
    upstream: str | None = None
    prefix: str | None = None
    rule_version: str | None = None
    failure_code: str | None = None
    failure_reason: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the image was synchronised."""
        return self.sync_status == "SUCCESS"


@attrs.frozen(kw_only=True)
class ImageScan(Event):
    """`ECR Image Scan`: a basic scan ended. Severities without findings are absent from `counts`."""

    repository: str
    digest: str
    status: str
    tags: tuple[str, ...] = ()
    counts: Mapping[str, int] = attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True)
class FrequencyChange(Record):
    """One repository of a `ScanResourceChange`: how often it was scanned before, and how often now."""

    repository: str
    before: str | None = None
    after: str | None = None
    arn: str | None = None


def _changes(values: Iterable[FrequencyChange]) -> tuple[FrequencyChange, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class ScanResourceChange(Event):
    """`ECR Scan Resource Change`: repositories are scanned more or less often than before."""

    action: str | None = None
    scan_type: str | None = None
    changes: tuple[FrequencyChange, ...] = attrs.field(default=(), converter=_changes)


def _image_action(kind: type[ImageAction]) -> Callable[[EventReader], Event]:
    def read(reader: EventReader) -> Event:
        return kind(
            **reader.envelope(),
            repository=reader.text("repository-name"),
            digest=reader.text("image-digest"),
            action=reader.text("action-type"),
            result=reader.text("result"),
            tag=reader.optional("image-tag"),
            target_storage_class=reader.optional("target-storage-class"),
            manifest_media_type=reader.optional("manifest-media-type"),
            artifact_media_type=reader.optional("artifact-media-type"),
            last_activated_at=reader.optional_time("last-activated-at"),
            last_archived_at=reader.optional_time("last-archived-at"),
        )

    return read


def _replication(reader: EventReader) -> Event:
    return ReplicationAction(
        **reader.envelope(),
        repository=reader.text("repository-name"),
        digest=reader.text("image-digest"),
        result=reader.text("result"),
        source_account=reader.text("source-account"),
        source_region=reader.text("source-region"),
        tag=reader.optional("image-tag"),
        action=reader.optional("action-type") or "REPLICATE",
    )


def _pull_through(reader: EventReader) -> Event:
    return PullThroughCacheAction(
        **reader.envelope(),
        repository=reader.text("repository-name"),
        sync_status=reader.text("sync-status"),
        digest=reader.optional("image-digest"),
        tag=reader.optional("image-tag"),
        upstream=reader.optional("upstream-registry-url"),
        prefix=reader.optional("ecr-repository-prefix"),
        rule_version=reader.optional("rule-version"),
        failure_code=reader.optional("failure-code"),
        failure_reason=reader.optional("failure-reason"),
    )


def _scan(reader: EventReader) -> Event:
    return ImageScan(
        **reader.envelope(),
        repository=reader.text("repository-name"),
        digest=reader.text("image-digest"),
        status=reader.text("scan-status"),
        tags=reader.texts("image-tags"),
        counts=reader.counts("finding-severity-counts"),
    )


def _resource_change(reader: EventReader) -> Event:
    changes: list[FrequencyChange] = []
    listed: Any = reader.detail.get("repositories", ())
    if not isinstance(listed, list | tuple):
        reader.problem("$.detail.repositories", "must be a list")
        listed = ()
    for number, item in enumerate(listed):
        name = item.get("repository-name") if isinstance(item, Mapping) else None
        if not isinstance(item, Mapping) or not isinstance(name, str):
            reader.problem(f"$.detail.repositories[{number}].repository-name", "must be a text")
            continue
        told = {key: value for key, value in item.items() if isinstance(value, str)}
        changes.append(
            FrequencyChange(
                repository=name,
                before=told.get("previous-scan-frequency"),
                after=told.get("scan-frequency"),
                arn=told.get("repository-arn"),
            )
        )
    return ScanResourceChange(
        **reader.envelope(),
        action=reader.optional("action-type"),
        scan_type=reader.optional("scan-type"),
        changes=changes,
    )


READERS: Final[Mapping[tuple[str, str], Callable[[EventReader], Event]]] = {
    (SOURCE, "ECR Image Action"): _image_action(ImageAction),
    (SOURCE, "ECR Image Scan"): _scan,
    (SOURCE, "ECR Pull Through Cache Action"): _pull_through,
    (SOURCE, "ECR Referrer Action"): _image_action(ReferrerAction),
    (SOURCE, "ECR Replication Action"): _replication,
    (SOURCE, "ECR Scan Resource Change"): _resource_change,
}
"""How each detail type of ECR is read, by source and detail type."""
