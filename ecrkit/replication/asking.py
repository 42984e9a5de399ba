"""Asking for the waiter: of the source how far an image is, of a destination what it holds. Refusals become values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

from ecrkit.errors import (
    AwsCallFailed,
    CredentialsMissing,
    Denied,
    EcrkitError,
    NotFound,
    NotSupportedByBotocore,
    Rejected,
    Throttled,
    Unavailable,
)
from ecrkit.images.manifest import Manifest
from ecrkit.records import CreationTemplate, Image, RawManifest, Referrer, Repository
from ecrkit.replication.configuration import Destination
from ecrkit.replication.statuses import ReplicationStatus
from ecrkit.replication.waiting import DestinationWait, Part, Seen, SeenKind

__all__ = ["DestinationRegistry", "SourceRegistry", "ask_destination", "ask_source", "parts_of"]

_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


class DestinationRegistry(Protocol):
    """What is asked of a destination."""

    def images_found(self, repository: str, digests: Iterable[str]) -> Mapping[str, Image]:
        """Return the images that are there, by digest."""
        ...

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names, or None when there is no such tag."""
        ...

    def repository(self, name: str) -> Repository:
        """Return the repository."""
        ...

    def repositories(self) -> Iterable[Repository]:
        """Return every repository."""
        ...

    def images(self, repository: str) -> Iterable[Image]:
        """Return every image of the repository, of every status."""
        ...

    def creation_templates(self) -> Iterable[CreationTemplate]:
        """Return the repository creation templates."""
        ...

    def replication_configuration(self) -> Mapping[str, Any]:
        """Return the answer of DescribeRegistry."""
        ...


class SourceRegistry(DestinationRegistry, Protocol):
    """What is asked of the source."""

    def image(self, repository: str, reference: str) -> Image:
        """Return the image of a tag or a digest."""
        ...

    def manifests(self, repository: str, digests: Iterable[str]) -> Mapping[str, RawManifest]:
        """Return manifests by digest; one that could not be read is absent."""
        ...

    def referrers(self, repository: str, digest: str) -> Iterable[Referrer]:
        """Return the artifacts that refer to an image."""
        ...

    def replication_statuses(self, repository: str, image: str) -> Iterable[ReplicationStatus]:
        """Return how far the image is to each destination."""
        ...


def parts_of(source: SourceRegistry, repository: str, image: Image, *, referrers: bool) -> tuple[Part, ...]:
    """Return everything that belongs to an image: itself first, then the children of an index, nested ones too.

    With `referrers` also what refers to any of them now, and what refers to those: signatures, SBOMs, attestations.
    Reads the manifests of indexes, which may count as a pull of them.

    Raises:
        AwsCallFailed: the source cannot be read.
        InvalidManifest: the manifest of an index cannot be understood.
        NotFound: the manifest of an index cannot be read, so that its children are not known.
    """
    found: dict[str, Part] = {image.digest: Part(digest=image.digest)}
    indexes = [image.digest] if image.is_index else []
    while indexes:
        read = source.manifests(repository, indexes)
        unread = [digest for digest in indexes if digest not in read]
        if unread:
            raise NotFound(
                f"the manifest of the index {unread[0]} in {repository} could not be read, so its children are unknown",
                operation="BatchGetImage",
                code="ImageNotFoundException",
                resource=repository,
            )
        indexes = []
        for raw in read.values():
            for child in Manifest.parse(raw.text, media_type=raw.media_type).manifests:
                if child.digest not in found:
                    found[child.digest] = Part(digest=child.digest, kind="child")
                    if child.media_type in _INDEXES:
                        indexes.append(child.digest)
    if referrers:
        waiting = list(found)
        while waiting:
            for referrer in source.referrers(repository, waiting.pop()):
                if referrer.digest not in found:
                    found[referrer.digest] = Part(digest=referrer.digest, kind="referrer")
                    waiting.append(referrer.digest)
    return tuple(found.values())


def refusal(fault: EcrkitError) -> SeenKind:
    """Return which kind of refusal an error is."""
    if isinstance(fault, Throttled):
        return "throttled"
    if isinstance(fault, Unavailable):
        return "unavailable"
    if isinstance(fault, Denied | CredentialsMissing):
        return "denied"
    if isinstance(fault, NotFound):
        return "not-found"
    if isinstance(fault, NotSupportedByBotocore) or (isinstance(fault, Rejected) and _unsupported(fault)):
        return "unsupported"
    return "error"


def _unsupported(fault: AwsCallFailed) -> bool:
    return any(word in fault.code for word in ("Unsupported", "UnknownOperation", "UnrecognizedOperation"))


def ask_source(
    source: SourceRegistry, repository: str, digest: str, destinations: Iterable[Destination]
) -> dict[Destination, Seen]:
    """Return what the source says about each destination; one call serves them all."""
    places = tuple(destinations)
    try:
        told = {status.destination: status for status in source.replication_statuses(repository, digest)}
    except EcrkitError as fault:
        seen = Seen(asked="status", kind=refusal(fault), text=str(fault))
        return dict.fromkeys(places, seen)
    found: dict[Destination, Seen] = {}
    for place in places:
        status = told.get(place)
        found[place] = (
            Seen(asked="status")
            if status is None
            else Seen(asked="status", status=status.status, failure_code=status.failure_code)
        )
    return found


def ask_destination(
    registry: DestinationRegistry | None, source: SourceRegistry, repository: str, state: DestinationWait
) -> Seen:
    """Return what a destination holds of what is still missing.

    Calls: one, when everything is there or one part was asked for; see `images_found` for the rest. Two more when the
    image is there without the tag that was asked for, and one to the source when a child is not there.
    """
    if registry is None:
        return Seen(asked="look", kind="denied", text=f"nobody gave a way to read {state.destination}")
    try:
        asked = [state.digest, *(p.digest for p in state.parts[1:] if p.digest not in state.present)]
        found = registry.images_found(repository, asked)
        here = frozenset(digest for digest, image in found.items() if image.status == "ACTIVE")
        present = (state.present - set(asked)) | here
        root = found.get(state.digest)
        tag_digest, immutable = None, None
        if state.tag is not None and root is not None:
            if state.tag in root.tags:
                tag_digest = state.digest
            else:
                tag_digest = registry.digest_of(repository, state.tag) or ""
                immutable = _immutable(registry, repository, state.tag) if tag_digest else None
    except EcrkitError as fault:
        return Seen(asked="look", kind=refusal(fault), text=str(fault))
    failed, code = _failed_part(source, repository, state, present) if state.status == "COMPLETE" else (None, None)
    return Seen(
        asked="look",
        present=present,
        tag_digest=tag_digest,
        tag_immutable=immutable,
        pushed_at=None if root is None else root.pushed_at,
        failed_part=failed,
        failure_code=code,
    )


def _immutable(registry: DestinationRegistry, repository: str, tag: str) -> bool | None:
    """Return whether the tag may not move there, None when the repository's settings may not be read."""
    try:
        return registry.repository(repository).tag_is_immutable(tag)
    except EcrkitError:
        return None  # the tag may yet come; the deadline ends it


def _failed_part(
    source: SourceRegistry, repository: str, state: DestinationWait, present: frozenset[str]
) -> tuple[str | None, str | None]:
    """Return the first part that is missing although its index is complete, when the source calls it FAILED."""
    part = next((p for p in state.parts[1:] if p.digest not in present), None)
    if part is None:
        return None, None
    try:
        for status in source.replication_statuses(repository, part.digest):
            if status.destination == state.destination and status.status == "FAILED":
                return f"the {part.kind} {part.digest}", status.failure_code
    except EcrkitError:
        pass  # it is only about the cause; the image at the destination decides
    return None, None
