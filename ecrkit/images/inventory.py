"""One repository's images and the graph between them: index -> children, subject -> referrers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, Literal, Self

import attrs
from typing_extensions import override

from ecrkit.errors import InvalidInput, InvalidManifest, Problem
from ecrkit.images.blobs import BlobTable
from ecrkit.images.manifest import Manifest, ManifestKind, kind_of_type, parse_manifests
from ecrkit.records import Image, RawManifest, images_from_api

__all__ = ["ImageKind", "Inventory"]

ImageKind = ManifestKind | Literal["unknown"]
"""What an image is for, or `unknown` when neither its manifest nor the listing tells."""

_COSIGN_TAG: Final = re.compile(r"sha256-[0-9a-f]{64}\.(sig|att|sbom)")
_COSIGN_KINDS: Final[Mapping[str, ImageKind]] = {"sig": "signature", "att": "attestation", "sbom": "sbom"}
_DOCKER: Final = "application/vnd.docker.distribution.manifest."


def _tuple(images: Iterable[Image]) -> tuple[Image, ...]:
    return tuple(images)


def _freeze(children: Mapping[str, Iterable[str]] | None) -> Mapping[str, tuple[str, ...]]:
    return {k: tuple(v) for k, v in (children or {}).items()}


@attrs.frozen(eq=False)
class Inventory:
    """Every image of one repository, of every status, with the graph between them.

    `children` maps the digest of an index to the digests of its manifests, as far as they are known: DescribeImages
    does not tell them, they stand in the index's manifest. Referrers need no manifest: DescribeImages names the
    subject of each. `manifests` holds those that were read, parsed; one that could not be parsed stands in
    `faulty_manifests` and counts as unread. An index whose children are not known is listed in
    `opaque_indexes`; whatever depends on the graph says so instead of guessing.

    Example:
        >>> index, child = "sha256:" + "1" * 64, "sha256:" + "2" * 64
        >>> details = [
        ...     {"imageDigest": index, "imageTags": ["v1"], "imagePushedAt": 1767225601.0,
        ...      "imageManifestMediaType": "application/vnd.oci.image.index.v1+json"},
        ...     {"imageDigest": child, "imagePushedAt": 1767225600.0},
        ... ]
        >>> inventory = Inventory.from_api(details, children={index: [child]})
        >>> [image.digest == index for image in inventory.parents_of(child)]
        [True]
    """

    images: tuple[Image, ...] = attrs.field(converter=_tuple)
    children: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, converter=_freeze, kw_only=True)
    manifests: Mapping[str, Manifest] = attrs.field(factory=dict, kw_only=True)
    faulty_manifests: Mapping[str, InvalidManifest] = attrs.field(factory=dict, kw_only=True)
    repository: str = attrs.field(default="", kw_only=True)

    def __attrs_post_init__(self) -> None:
        if len(self._by_digest) == len(self.images):
            return
        seen: set[str] = set()
        problems: list[Problem] = []
        for number, image in enumerate(self.images):
            if image.digest in seen:
                problems.append(Problem(f"$.images[{number}]", f"{image.digest} is listed twice"))
            seen.add(image.digest)
        raise InvalidInput("not the inventory of one repository", problems)

    @classmethod
    def from_api(
        cls,
        image_details: Iterable[Mapping[str, Any]],
        *,
        children: Mapping[str, Iterable[str]] | None = None,
        manifests: Iterable[RawManifest] = (),
        repository: str = "",
    ) -> Self:
        """Return the inventory of DescribeImages items, as boto3 returns them or the AWS CLI writes them.

        Ask DescribeImages for `imageStatus=ANY`: without the filter it leaves out archived images.

        Raises:
            InvalidInput: an item is faulty, or a digest is listed twice.
        """
        images = images_from_api(image_details)
        names = {i.repository for i in images if i.repository}
        if len(names) > 1:
            raise InvalidInput.single(
                "not the inventory of one repository", "$.imageDetails", f"several repositories: {sorted(names)[:5]}"
            )
        found = cls(images, children=children or {}, repository=repository or next(iter(names), ""))
        return found.with_manifests(manifests)

    def with_manifests(self, manifests: Iterable[RawManifest]) -> Self:
        """Return the inventory with these manifests read as well; the children of an index come from its manifest.

        A manifest that cannot be parsed is kept as a fault and does not hide the others. What was given as `children`
        for an index is replaced by what its manifest says.
        """
        parsed, faults = parse_manifests((m.digest, m.text, m.media_type) for m in manifests)
        if not parsed and not faults:
            return self
        table = self.blobs.copy() if self.manifests else BlobTable()
        for manifest in parsed.values():
            table.add(manifest)
        found = attrs.evolve(
            self,
            children={**self.children, **{d: m.children for d, m in parsed.items() if m.is_index}},
            manifests={**self.manifests, **parsed},
            faulty_manifests={**self.faulty_manifests, **faults},
        )
        object.__setattr__(found, "blobs", table)  # what the property would compute, while it costs little
        return found

    @cached_property
    def blobs(self) -> BlobTable:
        """The sizes of all blobs that the manifests name."""
        return BlobTable.of(self.manifests.values())

    @cached_property
    def _by_digest(self) -> Mapping[str, Image]:
        return {image.digest: image for image in self.images}

    @cached_property
    def _by_tag(self) -> Mapping[str, Image]:
        return {name: image for image in self.images for name in image.tags}

    @cached_property
    def _parents(self) -> Mapping[str, tuple[Image, ...]]:
        found: dict[str, list[Image]] = {}
        for parent, children in self.children.items():
            image = self._by_digest.get(parent)
            if image is not None:
                for child in dict.fromkeys(children):
                    found.setdefault(child, []).append(image)
        return {k: tuple(v) for k, v in found.items()}

    @cached_property
    def _referrers(self) -> Mapping[str, tuple[Image, ...]]:
        found: dict[str, list[Image]] = {}
        for image in self.images:
            subject = self._subject(image)
            if subject is not None:
                found.setdefault(subject, []).append(image)
        return {k: tuple(v) for k, v in found.items()}

    @cached_property
    def opaque_indexes(self) -> tuple[Image, ...]:
        """Indexes whose children are not known, because their manifest was not read."""
        return tuple(i for i in self.images if i.is_index and i.digest not in self.children)

    @cached_property
    def missing_children(self) -> Mapping[str, tuple[str, ...]]:
        """Digests that indexes reference and the inventory does not hold, with the index that does."""
        found = {
            parent: tuple(c for c in children if c not in self._by_digest)
            for parent, children in self.children.items()
            if parent in self._by_digest
        }
        return {parent: missing for parent, missing in found.items() if missing}

    @property
    def tags(self) -> Mapping[str, Image]:
        """The images by tag."""
        return MappingProxyType(self._by_tag)

    def get(self, digest: str) -> Image | None:
        """Return the image of that digest, or None."""
        return self._by_digest.get(digest)

    def by_tag(self, tag: str) -> Image | None:
        """Return the image that carries the tag, or None."""
        return self._by_tag.get(tag)

    def children_of(self, digest: str) -> tuple[str, ...]:
        """Return the digests an index references, also those that are not in the repository; empty if unknown."""
        return self.children.get(digest, ())

    def parents_of(self, digest: str) -> tuple[Image, ...]:
        """Return the known indexes of the repository that reference the image."""
        return self._parents.get(digest, ())

    def referrers_of(self, digest: str) -> tuple[Image, ...]:
        """Return the images (signatures, SBOMs, attestations) whose subject is the image."""
        return self._referrers.get(digest, ())

    def subject_of(self, digest: str) -> str | None:
        """Return the digest of the image that this one refers to, or None when it refers to none.

        DescribeImages tells it; a manifest that was read does as well.
        """
        image = self._by_digest.get(digest)
        return None if image is None else self._subject(image)

    def _subject(self, image: Image) -> str | None:
        if image.subject_digest is not None:
            return image.subject_digest
        manifest = self.manifests.get(image.digest)
        return None if manifest is None or manifest.subject is None else manifest.subject.digest

    def kind_of(self, digest: str) -> ImageKind:
        """Return what an image is for: image, index, attestation, signature, sbom, artifact, or unknown.

        Its manifest decides when it was read. Else what DescribeImages tells (media types, subject), the index that
        lists it, and cosign's tag scheme (`sha256-HEX.sig`, `.att`, `.sbom`) do. An untagged image may be the
        attestation child of an index that was not read, so it is unknown as long as there is such an index.

        Raises:
            KeyError: the digest is not in the inventory.
        """
        image = self._by_digest[digest]
        manifest = self.manifests.get(digest)
        if manifest is not None and manifest.kind != "image":
            return manifest.kind
        if self._listed_as_attestation(digest):
            return "attestation"
        if manifest is not None:
            return "image"
        return "index" if image.is_index else self._kind_by_listing(image)

    def _listed_as_attestation(self, digest: str) -> bool:
        read = (self.manifests.get(parent.digest) for parent in self.parents_of(digest))
        entries = [d for m in read if m is not None for d in m.manifests if d.digest == digest]
        return bool(entries) and all(d.is_attestation for d in entries)

    def _kind_by_listing(self, image: Image) -> ImageKind:
        schemes = [_COSIGN_TAG.fullmatch(tag) for tag in image.tags]
        if schemes and schemes[0] is not None and all(schemes):
            return _COSIGN_KINDS[schemes[0][1]]
        told = image.artifact_media_type
        kind = kind_of_type(told) if told else None
        if kind is not None and kind != "image":
            return kind
        if image.subject_digest is not None or (told and kind is None):
            return "artifact"
        if (image.manifest_media_type or "").startswith(_DOCKER):
            return "image"
        if kind is None or (not image.tags and self.opaque_indexes):
            return "unknown"
        return "image"

    def __iter__(self) -> Iterator[Image]:
        return iter(self.images)

    def __len__(self) -> int:
        return len(self.images)

    def __contains__(self, digest: object) -> bool:
        return digest in self._by_digest

    def __getitem__(self, digest: str) -> Image:
        return self._by_digest[digest]

    @override
    def __repr__(self) -> str:
        name = self.repository or "repository"
        return f"<Inventory of {name}: {len(self.images)} images, {len(self.opaque_indexes)} opaque indexes>"
