"""Manifests: what an image, an index or an artifact is made of, read from the exact text that the registry stores.

Formats: OCI image manifest and index (OCI image-spec 1.1), Docker schema 2 manifest and manifest list, Docker schema 1.
A manifest's digest is the SHA-256 of its text in UTF-8 exactly as returned; nothing is ever re-encoded.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidManifest, Problem
from ecrkit.images.descriptor import Descriptor, DescriptorReader
from ecrkit.images.json_document import load_document

__all__ = ["EMPTY_CONFIG", "MAX_MANIFEST_BYTES", "Manifest", "ManifestKind", "parse_manifests"]

MAX_MANIFEST_BYTES: Final = 4_194_304
"""ECR's limit for a manifest (ECR API reference, PutImage)."""
EMPTY_CONFIG: Final = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
"""The digest of `{}`, the config of artifacts that have none: one blob of two bytes shared by all of them."""

_OCI_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_OCI_INDEX: Final = "application/vnd.oci.image.index.v1+json"
_DOCKER_MANIFEST: Final = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_LIST: Final = "application/vnd.docker.distribution.manifest.list.v2+json"
_DOCKER_V1: Final = "application/vnd.docker.distribution.manifest.v1+json"
_DOCKER_V1_SIGNED: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
_INDEXES: Final = frozenset({_OCI_INDEX, _DOCKER_LIST})
_V1: Final = frozenset({_DOCKER_V1, _DOCKER_V1_SIGNED})
_KNOWN: Final = frozenset({_OCI_MANIFEST, _OCI_INDEX, _DOCKER_MANIFEST, _DOCKER_LIST, _DOCKER_V1, _DOCKER_V1_SIGNED})

_IMAGE_CONFIGS: Final = frozenset(
    {
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.docker.container.image.v1+json",
    }
)
_SIGNATURE_TYPES: Final = (
    "application/vnd.dev.sigstore.bundle",
    "application/vnd.dev.cosign.artifact.sig",
    "application/vnd.dev.cosign.simplesigning",
    "application/vnd.cncf.notary.signature",
)
_ATTESTATION_TYPES: Final = (
    "application/vnd.in-toto",
    "application/vnd.dsse.envelope",
    "application/vnd.docker.attestation",
)
_SBOM_MARKS: Final = ("spdx", "cyclonedx", "syft", "sbom")
_FILES: Final = re.compile(
    r"application/vnd\.(?:oci\.image\.layer\.|docker\.(?:image\.rootfs\.|container\.image\.rootfs\.))"
)
_COSIGN_SIGN: Final = "https://sigstore.dev/cosign/sign/v1"

ManifestKind = Literal["image", "index", "attestation", "signature", "sbom", "artifact"]
"""What a manifest is for."""


def kind_of_type(media_type: str) -> Literal["image", "attestation", "signature", "sbom"] | None:
    """Return what a config, layer or artifact type stands for, or None when it is none of the known ones."""
    if media_type in _IMAGE_CONFIGS:
        return "image"
    if media_type.startswith(_SIGNATURE_TYPES):
        return "signature"
    if media_type.startswith(_ATTESTATION_TYPES):
        return "attestation"
    return "sbom" if any(mark in media_type for mark in _SBOM_MARKS) else None


def _names(manifest: Manifest) -> tuple[str, ...]:
    first = () if manifest.config is None else (manifest.config.digest,)
    return tuple(dict.fromkeys((*first, *[layer.digest for layer in manifest.layers])))


@attrs.frozen(kw_only=True)
class Manifest(Record):
    """A manifest, taken apart. An index has `manifests`, everything else has `config` and `layers`.

    Docker schema 1 names its layers without sizes: their `size` is None, and so is `content_size`. `length` is the
    length of the manifest text itself in bytes, which ECR does not count in `imageSizeInBytes`.

    Example:
        >>> text = '''{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        ...   "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 7,
        ...     "digest": "sha256:''' + "c" * 64 + '''"},
        ...   "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 100,
        ...     "digest": "sha256:''' + "d" * 64 + '''"}]}'''
        >>> manifest = Manifest.parse(text)
        >>> manifest.kind, manifest.content_size, [layer.compression for layer in manifest.layers]
        ('image', 107, ['gzip'])
    """

    digest: str
    media_type: str
    length: int
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    manifests: tuple[Descriptor, ...] = ()
    subject: Descriptor | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    _blob_digests: tuple[str, ...] = attrs.field(
        init=False, eq=False, repr=False, default=attrs.Factory(_names, takes_self=True)
    )

    @classmethod
    def parse(cls, text: str | bytes, *, media_type: str | None = None, digest: str | None = None) -> Manifest:
        """Parse a manifest and check it against its digest.

        Args:
            text: The exact text, as BatchGetImage returns it in `imageManifest`.
            media_type: What the registry says of it (`imageManifestMediaType`); needed for a manifest that has no
                `mediaType` of its own and cannot be told apart otherwise.
            digest: The digest it was asked by. For a signed schema 1 manifest that is the digest of the payload
                without its signatures, as Docker defines it.

        Raises:
            InvalidManifest: no JSON, more than 4 MiB, no known format, a faulty member, or another digest;
                `problems` names every fault with its JSON path.
        """
        return _parse(text, media_type, digest, DescriptorReader())

    @property
    def is_index(self) -> bool:
        """Whether this is an OCI index or a Docker manifest list."""
        return self.media_type in _INDEXES

    @property
    def children(self) -> tuple[str, ...]:
        """The digests an index references, each once, in its order."""
        return tuple(dict.fromkeys(d.digest for d in self.manifests))

    @property
    def blob_digests(self) -> tuple[str, ...]:
        """The digests of config and layers, each once; kept ready, since sums over a registry need nothing else."""
        return self._blob_digests

    @property
    def tells_sizes(self) -> bool:
        """Whether the manifest tells the sizes of its layers; Docker schema 1 does not."""
        return self.media_type not in _V1

    @property
    def blobs(self) -> tuple[Descriptor, ...]:
        """Config and layers, each digest once. An index has none of its own."""
        found = ((self.config,) if self.config is not None else ()) + self.layers
        return tuple({d.digest: d for d in found}.values())

    @property
    def content_size(self) -> int | None:
        """Config plus layers as ECR sums `imageSizeInBytes`, or None when a size is not known (schema 1) or an index.

        A layer that the manifest lists twice counts twice here, as in ECR's figure; `images.storage` counts it once.
        """
        if self.is_index or not self.tells_sizes:
            return None
        sizes = [d.size for d in ((self.config,) if self.config is not None else ()) + self.layers]
        known = [s for s in sizes if s is not None]
        return sum(known) if len(known) == len(sizes) else None

    @property
    def platforms(self) -> tuple[Descriptor, ...]:
        """The children of an index that can run: attestation children (`unknown/unknown`) are left out."""
        return tuple(d for d in self.manifests if not d.is_attestation)

    @property
    def kind(self) -> ManifestKind:
        """What the manifest is for.

        What a node can run is an `image`, whatever else it claims to be: a config of an image and a layer of files.
        `attestation` is a buildx, in-toto or DSSE attestation, `signature` a cosign, Sigstore or Notation signature,
        `sbom` a software bill of materials, `artifact` anything else that is no container image.
        """
        if self.is_index:
            return "index"
        config = None if self.config is None else self.config.media_type
        types = {layer.media_type for layer in self.layers}
        if config is None or (config in _IMAGE_CONFIGS and any(map(_FILES.match, types))):
            return "image"
        stated = self.artifact_type or ("" if config in _IMAGE_CONFIGS else config)
        found = kind_of_type(stated)
        if found is None and types:
            first, *others = map(kind_of_type, types)
            found = first if all(kind == first for kind in others) else None
        if found == "signature" and self._predicate not in (None, _COSIGN_SIGN):
            return "attestation"
        if found is None or found == "image":
            return "artifact" if stated else "image"
        return found

    @property
    def _predicate(self) -> str | None:
        # A Sigstore bundle holds a signature or an attestation; which one, only this annotation tells.
        return self.annotations.get("dev.sigstore.bundle.predicateType")

    @override
    def __str__(self) -> str:
        return f"{self.kind} {self.digest[:19]}"


def _refuse(message: str) -> InvalidManifest:
    return InvalidManifest("invalid manifest", [Problem("$", message)])


def _parse(text: str | bytes, media_type: str | None, digest: str | None, reader: DescriptorReader) -> Manifest:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    document = load_document(raw, limit=MAX_MANIFEST_BYTES, what="invalid manifest", error=InvalidManifest)
    kind = _media_type(document, media_type)
    computed = "sha256:" + hashlib.sha256(raw).hexdigest()
    config: Descriptor | None = None
    layers: tuple[Descriptor, ...] = ()
    children: tuple[Descriptor, ...] = ()
    if kind in _V1:
        layers = _schema1_layers(document, reader)
        computed = _schema1_digest(raw, document, computed)
    elif kind in _INDEXES:
        children = reader.many(document.get("manifests"), "$.manifests")
    else:
        config = reader.one(document.get("config"), "$.config")
        layers = reader.many(document.get("layers"), "$.layers")
    subject = reader.one(document["subject"], "$.subject") if document.get("subject") is not None else None
    artifact = reader.text(document.get("artifactType"), "$.artifactType")
    notes = reader.annotations(document.get("annotations"), "$.annotations")
    if digest is not None and digest != computed:
        reader.problems.append(Problem("$", f"the text has the digest {computed}, it was asked for as {digest}"))
    if reader.problems:
        raise InvalidManifest(f"invalid manifest {digest or computed}", reader.problems)
    return Manifest(
        digest=computed,
        media_type=kind,
        length=len(raw),
        config=config,
        layers=layers,
        manifests=children,
        subject=subject,
        artifact_type=artifact,
        annotations=notes,
    )


def _media_type(document: Mapping[str, Any], given: str | None) -> str:
    stated = document.get("mediaType")
    if stated is not None and not isinstance(stated, str):
        raise InvalidManifest("invalid manifest", [Problem("$.mediaType", "must be a string")])
    if stated and given and stated != given:
        message = f"says {stated!r:.100}, the registry says {given!r:.100}"
        raise InvalidManifest("invalid manifest", [Problem("$.mediaType", message)])
    found = stated or given or None
    if not found:
        # The image-spec lets a manifest leave mediaType out; the members then tell which one it is.
        if document.get("schemaVersion") == 1 and "fsLayers" in document:
            found = _DOCKER_V1_SIGNED if "signatures" in document else _DOCKER_V1
        elif "manifests" in document and "layers" not in document:
            found = _OCI_INDEX
        elif "layers" in document and "manifests" not in document:
            found = _OCI_MANIFEST
        else:
            raise _refuse("has no mediaType, and neither layers nor manifests alone tell what it is")
    if found not in _KNOWN:
        raise InvalidManifest("invalid manifest", [Problem("$.mediaType", f"unknown media type {found!r:.100}")])
    return found


def _schema1_layers(document: Mapping[str, Any], reader: DescriptorReader) -> tuple[Descriptor, ...]:
    raw = document.get("fsLayers")
    if not isinstance(raw, list):
        reader.problems.append(Problem("$.fsLayers", "must be a list"))
        return ()
    layers = []
    for number, item in enumerate(raw):
        found = item.get("blobSum") if isinstance(item, Mapping) else None
        checked = reader.digest(found, f"$.fsLayers[{number}].blobSum")
        if checked is not None:
            layers.append(
                Descriptor(media_type="application/vnd.docker.container.image.rootfs.diff+x-gtar", digest=checked)
            )
    return tuple(reversed(layers))  # schema 1 lists the newest layer first


def _schema1_digest(raw: bytes, document: Mapping[str, Any], whole: str) -> str:
    """Return the digest of the payload that was signed; that is what a registry calls the image's digest."""
    try:
        protected = document["signatures"][0]["protected"]
        header = json.loads(_unpad(protected))
        payload = raw[: int(header["formatLength"])] + _unpad(header["formatTail"])
    except (KeyError, IndexError, TypeError, ValueError):
        return whole
    return "sha256:" + hashlib.sha256(payload).hexdigest()


def _unpad(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def parse_manifests(
    raw: Iterable[tuple[str, str, str | None]],
) -> tuple[dict[str, Manifest], dict[str, InvalidManifest]]:
    """Return the parsed manifests by digest, and the faults of those that could not be read.

    Takes (digest, text, media type) triples. One faulty manifest does not hide the others: it becomes an unknown.
    Equal layers of different images are one object in memory.
    """
    parsed: dict[str, Manifest] = {}
    shared: dict[tuple[str, str, int], Descriptor] = {}
    faults: dict[str, InvalidManifest] = {}
    for digest, text, media_type in raw:
        try:
            parsed[digest] = _parse(text, media_type, digest, DescriptorReader(shared))
        except InvalidManifest as fault:
            faults[digest] = fault
    return parsed, faults
