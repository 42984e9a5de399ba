"""The state of repositories: images, tags, blobs and the graph between them. No API words, no clock."""

from __future__ import annotations

import datetime as dt
import hashlib
from bisect import bisect_right, insort
from typing import Any

import attrs

from ecrkit.local.manifests import ParsedManifest
from ecrkit.records import Image

__all__ = ["Blob", "ImageState", "Preview", "RepositoryState", "Upload"]


@attrs.define(kw_only=True)
class Blob:
    """A blob of one repository. `data` is None when only its size was declared."""

    digest: str
    size: int
    data: bytes | None = attrs.field(repr=False)
    media_type: str | None = None
    users: set[str] = attrs.field(factory=set, repr=False)


@attrs.define(kw_only=True)
class Upload:
    """A layer upload in progress."""

    upload_id: str
    repository: str
    parts: list[bytes] = attrs.field(factory=list, repr=False)
    size: int = 0
    _hash: hashlib._Hash = attrs.field(factory=hashlib.sha256, repr=False, eq=False, init=False)

    @property
    def digest(self) -> str:
        """The digest of what was received so far, hashed as it came."""
        return "sha256:" + self._hash.hexdigest()

    def append(self, data: bytes) -> int:
        """Add a part; return the bytes received so far."""
        self.parts.append(bytes(data))
        self._hash.update(data)
        self.size += len(data)
        return self.size


@attrs.define(kw_only=True)
class ImageState:
    """One image: the manifest exactly as it was put, its tags in the order they came, and ECR's clocks."""

    manifest: ParsedManifest = attrs.field(repr=False)
    pushed_at: dt.datetime
    size: int
    tags: dict[str, None] = attrs.field(factory=dict)
    status: str = "ACTIVE"
    last_pulled_at: dt.datetime | None = None
    last_archived_at: dt.datetime | None = None
    last_activated_at: dt.datetime | None = None
    extra: dict[str, Any] = attrs.field(factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest."""
        return self.manifest.digest


@attrs.define(kw_only=True)
class Preview:
    """A lifecycle policy preview: its status, and the results that show when it is complete."""

    policy_text: str = attrs.field(repr=False)
    started_at: dt.datetime
    status: str = "IN_PROGRESS"
    results: list[dict[str, Any]] = attrs.field(factory=list, repr=False)


@attrs.define(kw_only=True)
class RepositoryState:
    """One repository. `extra` is room for the domains that come later (scans, replication, signing)."""

    name: str
    arn: str
    uri: str
    created_at: dt.datetime
    tag_mutability: str = "MUTABLE"
    exclusion_filters: list[dict[str, str]] = attrs.field(factory=list)
    scan_on_push: bool = False
    encryption: dict[str, str] = attrs.field(factory=lambda: {"encryptionType": "AES256"})
    tags: dict[str, str] = attrs.field(factory=dict)
    policy_text: str | None = None
    lifecycle_text: str | None = None
    lifecycle_evaluated_at: dt.datetime | None = None
    lifecycle_last_run: dt.datetime | None = None
    lifecycle_ticket: int = 0
    preview: Preview | None = None
    images: dict[str, ImageState] = attrs.field(factory=dict, repr=False)
    tag_to_digest: dict[str, str] = attrs.field(factory=dict, repr=False)
    blobs: dict[str, Blob] = attrs.field(factory=dict, repr=False)
    parents: dict[str, set[str]] = attrs.field(factory=dict, repr=False)
    referrers: dict[str, set[str]] = attrs.field(factory=dict, repr=False)
    order: list[str] = attrs.field(factory=list, repr=False)
    extra: dict[str, Any] = attrs.field(factory=dict, repr=False)

    def add(self, image: ImageState) -> None:
        """Add an image and enter it in the graph."""
        manifest = image.manifest
        self.images[image.digest] = image
        insort(self.order, image.digest)
        for reference in manifest.blobs:
            blob = self.blobs.get(reference.digest)
            if blob is not None:
                blob.users.add(image.digest)
                blob.media_type = reference.media_type or blob.media_type
        for child in manifest.children:
            self.parents.setdefault(child, set()).add(image.digest)
        if manifest.subject is not None:
            self.referrers.setdefault(manifest.subject, set()).add(image.digest)

    def remove(self, digest: str) -> list[str]:
        """Remove an image with its tags; return the digests of blobs that no image uses any more."""
        image = self.images.pop(digest)
        del self.order[bisect_right(self.order, digest) - 1]
        for tag in image.tags:
            self.tag_to_digest.pop(tag, None)
        orphans: list[str] = []
        for reference in image.manifest.blobs:
            blob = self.blobs.get(reference.digest)
            if blob is not None and digest in blob.users:
                blob.users.discard(digest)
                if not blob.users:
                    orphans.append(blob.digest)
        for child in image.manifest.children:
            self._leave(self.parents, child, digest)
        if image.manifest.subject is not None:
            self._leave(self.referrers, image.manifest.subject, digest)
        return orphans

    @staticmethod
    def _leave(graph: dict[str, set[str]], key: str, digest: str) -> None:
        members = graph.get(key)
        if members is not None:
            members.discard(digest)
            if not members:
                del graph[key]

    def point(self, tag: str, image: ImageState) -> None:
        """Move a tag to the image; the image that had it keeps living, perhaps untagged."""
        before = self.tag_to_digest.get(tag)
        if before is not None and before != image.digest:
            self.images[before].tags.pop(tag, None)
        self.tag_to_digest[tag] = image.digest
        image.tags[tag] = None

    def holding_parents(self, digest: str, *, archived_too: bool) -> list[str]:
        """Return the digests of indexes that reference the image and thereby hold it, sorted."""
        return sorted(
            parent
            for parent in self.parents.get(digest, ())
            if archived_too or self.images[parent].status != "ARCHIVED"
        )

    def record(self, image: ImageState, registry_id: str) -> Image:
        """Return the image as the pure domains see it."""
        return Image(
            digest=image.digest,
            pushed_at=image.pushed_at,
            tags=tuple(image.tags),
            repository=self.name,
            registry_id=registry_id,
            size=image.size,
            status=image.status,
            manifest_media_type=image.manifest.media_type,
            artifact_media_type=image.manifest.artifact_type,
            last_pulled_at=image.last_pulled_at,
            last_archived_at=image.last_archived_at,
            last_activated_at=image.last_activated_at,
            subject_digest=image.manifest.subject,
        )
