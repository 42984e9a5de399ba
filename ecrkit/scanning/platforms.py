"""The images behind one reference: one for a plain image, one per platform for an index."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidManifest
from ecrkit.images import Inventory
from ecrkit.records import Image
from ecrkit.scanning.findings import ScanReport

__all__ = ["ImageScan", "IndexChild", "index_children", "latest_scannable"]

_INDEX_TYPES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
_ATTESTATION: Final = "vnd.docker.reference.type"


@attrs.frozen(kw_only=True)
class IndexChild(Record):
    """One manifest that an index lists: an image of a platform, another index, or an attestation."""

    digest: str
    kind: Literal["image", "index", "attestation"]
    platform: str | None = None


def index_children(manifest: str | Mapping[str, Any]) -> tuple[IndexChild, ...] | None:
    """Return what an index lists, or None when the manifest is no index.

    buildx adds to each image a child of platform unknown/unknown with the annotation `vnd.docker.reference.type`: an
    attestation, which is no image and has nothing to scan. Any other child is taken for an image, also one without
    a platform, and one that has the annotation and a platform that a node could run.

    Raises:
        InvalidManifest: the text is no JSON object, or an entry has no digest.

    Example:
        >>> index_children({"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [
        ...     {"digest": "sha256:1", "platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
        ...     {"digest": "sha256:2", "platform": {"os": "unknown", "architecture": "unknown"},
        ...      "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}]})[0].platform
        'linux/arm64/v8'
    """
    what = "not an image index"
    try:
        raw: Any = json.loads(manifest) if isinstance(manifest, str) else manifest
    except ValueError as fault:
        raise InvalidManifest.single(what, "$", f"is no JSON: {fault}") from None
    if not isinstance(raw, Mapping):
        raise InvalidManifest.single(what, "$", "must be an object")
    entries = raw.get("manifests")
    if raw.get("mediaType") not in _INDEX_TYPES and not isinstance(entries, list):
        return None
    if not isinstance(entries, list):
        raise InvalidManifest.single(what, "$.manifests", "must be a list")
    found: list[IndexChild] = []
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("digest"), str):
            raise InvalidManifest.single(what, f"$.manifests[{number}].digest", "must be a digest")
        platform = _platform(entry.get("platform"))
        annotations = entry.get("annotations")
        marked = isinstance(annotations, Mapping) and annotations.get(_ATTESTATION) == "attestation-manifest"
        kind: Literal["image", "index", "attestation"] = "image"
        # Both marks: an annotation alone would let an image of a real platform slip past the gate.
        if marked and platform == "unknown/unknown":
            kind = "attestation"
        elif entry.get("mediaType") in _INDEX_TYPES:
            kind = "index"
        found.append(IndexChild(digest=entry["digest"], kind=kind, platform=platform))
    return tuple(found)


def _platform(raw: object) -> str | None:
    if not isinstance(raw, Mapping):
        return None
    parts = [raw.get("os"), raw.get("architecture"), raw.get("variant")]
    return "/".join(str(p) for p in parts if p) or None


def _reports(values: Iterable[ScanReport]) -> tuple[ScanReport, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class ImageScan(Record):
    """The scan reports behind one reference.

    For a plain image `index` is False and there is one report. For an index there is one report per platform image;
    a platform without a scan has a report that says so. `skipped` are the digests of attestations. `problem` says
    why the platforms are not known, in which case no verdict but undetermined is possible.
    """

    repository: str | None = None
    digest: str | None = None
    tag: str | None = None
    index: bool = False
    reports: tuple[ScanReport, ...] = attrs.field(default=(), converter=_reports)
    skipped: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def platforms(self) -> tuple[str, ...]:
        """The platforms of the reports."""
        return tuple(r.platform or "unknown platform" for r in self.reports)


_CONFIG_TYPES: Final = (
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
)


def latest_scannable(inventory: Inventory) -> Image | None:
    """Return the image pushed last among those that a scan can say something of, or None.

    Signatures, SBOMs and attestations (they have a subject or an artifact type) do not count, nor do the children of
    an index: the index stands for them. Archived images cannot be scanned.
    """
    candidates = [
        image
        for image in inventory
        if image.subject_digest is None
        and image.status == "ACTIVE"
        and image.artifact_media_type in (None, *_CONFIG_TYPES)
        and not inventory.parents_of(image.digest)
    ]
    return max(candidates, key=lambda i: (i.pushed_at, i.digest), default=None)
