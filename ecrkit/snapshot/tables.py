"""A snapshot as flat rows: repositories, images, and the blobs that each image's manifest names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from ecrkit.errors import InvalidManifest
from ecrkit.images.manifest import Manifest
from ecrkit.records import Image
from ecrkit.snapshot.contents import RepositorySnapshot

__all__ = ["COLUMNS", "Table", "rows"]

Table = Literal["repositories", "images", "blobs", "gaps"]
"""The tables of a snapshot. `blobs` has a row for each config, layer and child that a manifest names."""

_TABLES: Final[Mapping[Table, Mapping[str, str]]] = {
    "repositories": {
        "repository": "string", "arn": "string", "created_at": "timestamp", "read_at": "timestamp",
        "tag_mutability": "string", "scan_on_push": "boolean", "encryption_type": "string", "kms_key": "string",
        "images": "bigint", "manifests": "bigint", "tags_read": "boolean", "resource_tags": "map<string,string>",
        "lifecycle_policy_read": "boolean", "lifecycle_policy": "string",
        "repository_policy_read": "boolean", "repository_policy": "string",
    },
    "images": {
        "repository": "string", "image_digest": "string", "tags": "array<string>", "status": "string",
        "size_bytes": "bigint", "pushed_at": "timestamp", "last_pulled_at": "timestamp",
        "last_archived_at": "timestamp", "last_activated_at": "timestamp", "manifest_media_type": "string",
        "artifact_media_type": "string", "subject_digest": "string", "manifest_read": "boolean",
        "scan_status": "string", "scan_completed_at": "timestamp", "scan_counts": "map<string,bigint>",
    },
    "blobs": {
        "repository": "string", "image_digest": "string", "kind": "string", "place": "int",
        "blob_digest": "string", "media_type": "string", "size_bytes": "bigint", "platform": "string",
    },
    "gaps": {"repository": "string", "what": "string", "error": "string", "api_call": "string"},
}  # fmt: skip
COLUMNS: Final[Mapping[Table, Mapping[str, str]]] = {
    table: {**columns, "snapshot_at": "timestamp"} for table, columns in _TABLES.items()
}
"""Columns and their Athena types, without the partitions `account`, `region` and `dt`; `snapshot_at` in each.

`size_bytes` of a blob is null where a manifest does not tell it; `images` is null where they were not read.
"""


def rows(entry: RepositorySnapshot, table: Table) -> Iterator[dict[str, Any]]:
    """Yield the rows of one repository, with all columns but `snapshot_at`.

    Example:
        >>> list(COLUMNS["gaps"])
        ['repository', 'what', 'error', 'api_call', 'snapshot_at']
    """
    if table == "repositories":
        yield _repository(entry)
    elif table == "images":
        images, manifests = entry.kept
        read = {manifest.digest for manifest in manifests}
        yield from (_image(entry.name, image, image.digest in read) for image in images)
    elif table == "blobs":
        yield from _blobs(entry)
    else:
        for gap in entry.gaps:
            yield {"repository": entry.name, "what": gap.what, "error": gap.error, "api_call": gap.call}


def _repository(entry: RepositorySnapshot) -> dict[str, Any]:
    record, read = entry.repository, entry.read
    images, manifests = entry.kept
    return {
        "repository": record.name,
        "arn": record.arn,
        "created_at": record.created_at,
        "read_at": entry.read_at,
        "tag_mutability": record.tag_mutability,
        "scan_on_push": record.scan_on_push,
        "encryption_type": record.encryption_type,
        "kms_key": record.kms_key,
        "images": len(images) if "images" in read else None,
        "manifests": len(manifests) if "manifests" in read else None,
        "tags_read": "tags" in read,
        "resource_tags": dict(entry.tags) if "tags" in read else None,
        "lifecycle_policy_read": "lifecycle_policy" in read,
        "lifecycle_policy": entry.lifecycle_policy if "lifecycle_policy" in read else None,
        "repository_policy_read": "repository_policy" in read,
        "repository_policy": entry.repository_policy if "repository_policy" in read else None,
    }


def _image(repository: str, image: Image, read: bool) -> dict[str, Any]:
    scan = image.scan
    return {
        "repository": repository,
        "image_digest": image.digest,
        "tags": list(image.tags),
        "status": image.status,
        "size_bytes": image.size,
        "pushed_at": image.pushed_at,
        "last_pulled_at": image.last_pulled_at,
        "last_archived_at": image.last_archived_at,
        "last_activated_at": image.last_activated_at,
        "manifest_media_type": image.manifest_media_type,
        "artifact_media_type": image.artifact_media_type,
        "subject_digest": image.subject_digest,
        "manifest_read": read,
        "scan_status": None if scan is None else scan.status,
        "scan_completed_at": None if scan is None else scan.completed_at,
        "scan_counts": None if scan is None else dict(scan.counts),
    }


def _blobs(entry: RepositorySnapshot) -> Iterator[dict[str, Any]]:
    for raw in entry.kept[1]:
        try:
            manifest = Manifest.parse(raw.text, media_type=raw.media_type or None, digest=raw.digest)
        except InvalidManifest:
            continue  # such an image has no rows here; the inventory has its fault
        config = () if manifest.config is None else (manifest.config,)
        for kind, found in (("config", config), ("layer", manifest.layers), ("child", manifest.manifests)):
            for place, blob in enumerate(found):
                yield {
                    "repository": entry.name,
                    "image_digest": raw.digest,
                    "kind": kind,
                    "place": place,
                    "blob_digest": blob.digest,
                    "media_type": blob.media_type,
                    "size_bytes": blob.size,
                    "platform": None if blob.platform is None else str(blob.platform),
                }
