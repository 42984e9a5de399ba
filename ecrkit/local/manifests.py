"""What the engine has to know of a manifest: media type, blobs, children, subject. It stores the text untouched."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ecrkit.local.faults import invalid

__all__ = ["BlobReference", "ParsedManifest", "parse_manifest"]

DOCKER_V2: Final = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
DOCKER_V1: Final = "application/vnd.docker.distribution.manifest.v1+json"
DOCKER_V1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
MEDIA_TYPES: Final = frozenset({DOCKER_V2, DOCKER_LIST, OCI_MANIFEST, OCI_INDEX, DOCKER_V1, DOCKER_V1_SIGNED})
INDEX_TYPES: Final = frozenset({DOCKER_LIST, OCI_INDEX})

DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_OPTIONAL_LAYER: Final = re.compile(r"\.(foreign|nondistributable)\.")


@attrs.frozen(kw_only=True)
class BlobReference:
    """A blob that a manifest names. `required` is False for foreign layers, whose bytes lie elsewhere."""

    digest: str
    size: int
    media_type: str | None
    required: bool = True


@attrs.frozen(kw_only=True)
class ParsedManifest:
    """A manifest's own statement; `digest` is the SHA-256 of the exact text."""

    text: str = attrs.field(repr=False)
    digest: str
    media_type: str
    artifact_type: str | None
    blobs: tuple[BlobReference, ...]
    children: tuple[str, ...]
    subject: str | None
    annotations: Mapping[str, str]

    @property
    def is_index(self) -> bool:
        """Whether this is an OCI index or a Docker manifest list."""
        return self.media_type in INDEX_TYPES


def _media_type(document: Mapping[str, Any], argument: str | None) -> str:
    inside = document.get("mediaType")
    if inside is not None and not isinstance(inside, str):
        invalid("imageManifest", "mediaType must be a string")
    if inside is None and argument is None and document.get("schemaVersion") == 1:
        return DOCKER_V1_SIGNED if "signatures" in document else DOCKER_V1
    if inside is not None and argument is not None and inside != argument:
        invalid("imageManifestMediaType", f"must equal the mediaType of the manifest, {inside}")
    found = inside or argument
    if found is None:
        invalid("imageManifestMediaType", "Member must not be null when the manifest has no mediaType")
    if found not in MEDIA_TYPES:
        invalid("imageManifestMediaType", f"unsupported manifest media type {found}")
    return found


def _descriptor(raw: object, where: str) -> tuple[str, int, str | None, bool]:
    if not isinstance(raw, Mapping):
        invalid("imageManifest", f"{where} must be a descriptor")
    digest, size, media = raw.get("digest"), raw.get("size", 0), raw.get("mediaType")
    if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
        invalid("imageManifest", f"{where}.digest must be sha256: and 64 hex digits")
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        invalid("imageManifest", f"{where}.size must be a number of bytes")
    if media is not None and not isinstance(media, str):
        invalid("imageManifest", f"{where}.mediaType must be a string")
    if media is not None and ";" in media:
        # sigstore-js#1058: ECR refuses media types with parameters.
        invalid("imageManifest", f"{where}.mediaType must not hold ';'")
    elsewhere = bool(raw.get("urls")) or bool(media and _OPTIONAL_LAYER.search(media))
    return digest, size, media, not elsewhere


def _items(document: Mapping[str, Any], name: str) -> list[object]:
    found = document.get(name)
    if not isinstance(found, list):
        invalid("imageManifest", f"{name} must be a list")
    return found


def parse_manifest(text: str, media_type: str | None = None) -> ParsedManifest:
    """Return what the manifest says; refuse it with InvalidParameterException in ECR's wording when it is none.

    `media_type` is the request's `imageManifestMediaType`; a manifest without `mediaType` of its own needs it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        invalid("ImageManifest", "Invalid JSON syntax")
    if not isinstance(document, dict):
        invalid("imageManifest", "must be a JSON object")
    kind = _media_type(document, media_type)
    blobs: list[BlobReference] = []
    children: list[str] = []
    artifact = document.get("artifactType")
    subject: str | None = None
    if kind in INDEX_TYPES:
        children = [_descriptor(m, f"manifests[{n}]")[0] for n, m in enumerate(_items(document, "manifests"))]
    elif kind in (DOCKER_V1, DOCKER_V1_SIGNED):
        for n, layer in enumerate(_items(document, "fsLayers")):
            digest = layer.get("blobSum") if isinstance(layer, Mapping) else None
            if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
                invalid("imageManifest", f"fsLayers[{n}].blobSum must be sha256: and 64 hex digits")
            blobs.append(BlobReference(digest=digest, size=-1, media_type=None))
    else:
        named = [("config", document.get("config"))]
        named += [(f"layers[{n}]", layer) for n, layer in enumerate(_items(document, "layers"))]
        for where, raw in named:
            digest, size, media, required = _descriptor(raw, where)
            blobs.append(BlobReference(digest=digest, size=size, media_type=media, required=required))
        artifact = artifact or blobs[0].media_type
    if document.get("subject") is not None:
        subject = _descriptor(document["subject"], "subject")[0]
    if artifact is not None and (not isinstance(artifact, str) or not 1 <= len(artifact) <= 255):
        invalid("imageManifest", "artifactType must be a string of 1 to 255 characters")
    notes = document.get("annotations")
    return ParsedManifest(
        text=text,
        digest="sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest(),
        media_type=kind,
        artifact_type=artifact,
        blobs=tuple(blobs),
        children=tuple(dict.fromkeys(children)),
        subject=subject,
        annotations={str(k): str(v) for k, v in notes.items()} if isinstance(notes, dict) else {},
    )
