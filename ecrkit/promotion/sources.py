"""What a copy reads from and writes to, as protocols: a registry of ECR by its API, or any registry as a source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, runtime_checkable

from ecrkit.records import Image, ImageId, LayerState, LayerUpload, RawManifest, Referrer, Repository

__all__ = ["Source", "Target"]


@runtime_checkable
class Source(Protocol):
    """Where images are copied from.

    The gateway to ECR is one, and so is `ecrkit.aws.oci_source.OciSource` for every registry that speaks the
    registry protocol. Manifests are given by digest, as the exact text; a source never converts.
    """

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names now, or None when there is no such tag."""
        ...

    def manifests(self, repository: str, digests: Iterable[str]) -> Mapping[str, RawManifest]:
        """Return the manifests by digest; one that could not be read is absent."""
        ...

    def referrers(self, repository: str, digest: str) -> Iterable[Referrer]:
        """Return the artifacts whose subject is the image."""
        ...

    def layers(self, repository: str, digests: Iterable[str]) -> Mapping[str, LayerState]:
        """Return which blobs the repository has, with their sizes."""
        ...

    def read_layer(self, repository: str, digest: str, *, start: int = 0) -> Iterable[bytes]:
        """Return the bytes of a blob from `start` on, chunk by chunk. They need not be checked."""
        ...


@runtime_checkable
class Target(Protocol):
    """Where images are copied to: a registry of ECR, by its API."""

    def repository(self, name: str) -> Repository:
        """Return the repository."""
        ...

    def create_repository(self, name: str) -> Repository:
        """Create the repository with ECR's defaults."""
        ...

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names now, or None when there is no such tag."""
        ...

    def images_found(self, repository: str, digests: Iterable[str]) -> Mapping[str, Image]:
        """Return the images that are there, of any status, by digest."""
        ...

    def layers(self, repository: str, digests: Iterable[str]) -> Mapping[str, LayerState]:
        """Return which layers the repository has."""
        ...

    def start_upload(self, repository: str) -> LayerUpload:
        """Begin the upload of a layer."""
        ...

    def upload_part(self, repository: str, upload_id: str, part: bytes, *, first: int) -> int:
        """Upload one part; return how many bytes of the layer are there then, from its first byte on."""
        ...

    def complete_upload(self, repository: str, upload_id: str, digest: str) -> None:
        """End an upload; a layer that is there already is no error."""
        ...

    def put_image(
        self,
        repository: str,
        manifest: str,
        *,
        tag: str | None = None,
        media_type: str | None = None,
        digest: str | None = None,
    ) -> ImageId:
        """Put a manifest, or give an image one more tag."""
        ...
