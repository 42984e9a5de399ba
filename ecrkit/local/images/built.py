"""Images, indexes and artifacts made of layers: manifests and configs whose digests follow from the input alone.

Formats: OCI image-spec 1.1 (manifest, config, index, artifacts with a subject), Docker image manifest version 2 schema
2, and buildx's attestation storage in both of its layouts.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.times import UTC, iso, require_aware
from ecrkit.errors import InvalidInput
from ecrkit.local.images.layers import Layer, sha256

__all__ = ["CREATED", "BuiltImage", "BuiltIndex", "artifact", "image", "index"]

CREATED: Final = dt.datetime(2026, 1, 1, tzinfo=UTC)
"""When images say that they were created, unless told otherwise."""

Flavour = Literal["oci", "docker"]
"""The family of media types: OCI's, or Docker's version 2 schema 2."""
Attestations = Literal["artifact", "image"]
"""The layout of buildx attestations: an artifact with a subject, as BuildKit writes today, or an image config, as it
wrote before."""

_OCI: Final = "application/vnd.oci.image."
_DOCKER: Final = "application/vnd.docker."
_EMPTY_TYPE: Final = "application/vnd.oci.empty.v1+json"
_EMPTY: Final = b"{}"
_IN_TOTO: Final = "application/vnd.in-toto+json"
_ATTESTATION: Final = "application/vnd.docker.attestation.manifest.v1+json"
_TYPES: Final[Mapping[str, Mapping[str, str]]] = {
    "oci": {
        "manifest": _OCI + "manifest.v1+json",
        "index": _OCI + "index.v1+json",
        "config": _OCI + "config.v1+json",
        "layer": _OCI + "layer.v1.tar+gzip",
    },
    "docker": {
        "manifest": _DOCKER + "distribution.manifest.v2+json",
        "index": _DOCKER + "distribution.manifest.list.v2+json",
        "config": _DOCKER + "container.image.v1+json",
        "layer": _DOCKER + "image.rootfs.diff.tar.gzip",
    },
}


def _json(document: Mapping[str, Any]) -> str:
    # Compact, ASCII and in the order written: the text, and so the digest, is the same on every Python.
    return json.dumps(document, separators=(",", ":"))


def _descriptor(media_type: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": sha256(data), "size": len(data), **more}


@attrs.frozen(kw_only=True, eq=False)
class BuiltImage:
    """An image or artifact, ready to push: the exact text of its manifest and every blob that it names.

    `size` is that of config and layers together, which ECR reports as `imageSizeInBytes`. `platform` is None for an
    artifact, whose `subject` is what it refers to.
    """

    digest: str
    media_type: str
    manifest: str = attrs.field(repr=False)
    blobs: Mapping[str, bytes] = attrs.field(repr=False)
    size: int
    platform: str | None = None
    subject: str | None = None
    flavour: Flavour = "oci"

    @property
    def children(self) -> tuple[BuiltImage, ...]:
        """None: an image references blobs only."""
        return ()

    def push(self, client: Any, repository: str, tag: str | None = None) -> str:
        """Push blobs and manifest; see `ecrkit.local.images.push`. Returns the digest."""
        from ecrkit.local.images.delivery import push

        return push(self, client, repository, tag)

    def write_oci_layout(self, path: str | os.PathLike[str], tag: str | None = None) -> None:
        """Write the image into an OCI layout folder; see `ecrkit.local.images.write_oci_layout`."""
        from ecrkit.local.images.delivery import write_oci_layout

        write_oci_layout(self, path, tag)


@attrs.frozen(kw_only=True, eq=False)
class BuiltIndex:
    """An index and everything below it. `size` is that of the largest child, which ECR reports for an index."""

    digest: str
    media_type: str
    manifest: str = attrs.field(repr=False)
    children: tuple[BuiltImage | BuiltIndex, ...] = attrs.field(repr=False)
    flavour: Flavour = "oci"

    @property
    def blobs(self) -> Mapping[str, bytes]:
        """Every blob of every child, once."""
        return {digest: data for child in self.children for digest, data in child.blobs.items()}

    @property
    def size(self) -> int:
        """The size of the largest child."""
        return max((child.size for child in self.children), default=0)

    def push(self, client: Any, repository: str, tag: str | None = None) -> str:
        """Push the children, then the index; see `ecrkit.local.images.push`. Returns the digest."""
        from ecrkit.local.images.delivery import push

        return push(self, client, repository, tag)

    def write_oci_layout(self, path: str | os.PathLike[str], tag: str | None = None) -> None:
        """Write the index into an OCI layout folder; see `ecrkit.local.images.write_oci_layout`."""
        from ecrkit.local.images.delivery import write_oci_layout

        write_oci_layout(self, path, tag)


def _platform(text: str) -> dict[str, str]:
    parts = text.split("/")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise InvalidInput.single(
            "not an image to make", "platform", f"must be os/architecture[/variant], not {text!r}"
        )
    return dict(zip(("os", "architecture", "variant"), parts, strict=False))


def _sorted(values: Mapping[str, str] | None) -> dict[str, str]:
    return dict(sorted((values or {}).items()))


def image(
    layers: Iterable[Layer],
    *,
    platform: str = "linux/amd64",
    labels: Mapping[str, str] | None = None,
    config: Mapping[str, Any] | None = None,
    history: Sequence[Mapping[str, Any]] | None = None,
    created: dt.datetime = CREATED,
    annotations: Mapping[str, str] | None = None,
    flavour: Flavour = "oci",
) -> BuiltImage:
    """Return the image of these layers, lowest first.

    Args:
        layers: share one `Layer` between images and they share its bytes in the registry.
        platform: `os/architecture` or `os/architecture/variant`.
        labels: the labels in the config, such as `org.opencontainers.image.source`.
        config: further members of the config's `config`: `Cmd`, `Env`, `User` and so on.
        history: entries as the OCI image-spec has them; one for each layer unless given.
        created: goes into the config, so it decides the digest.
        annotations: of the manifest; Docker's flavour has none.
        flavour: the media types, OCI's or Docker's.

    Raises:
        InvalidInput: the platform is none, `history` does not fit the layers, or Docker's flavour gets annotations.

    Example:
        >>> from ecrkit.local.images import image, layer
        >>> base = layer({"etc/os-release": "ID=demo"})
        >>> one, two = (image([base, layer({"app": text})]) for text in ("1", "2"))
        >>> one.digest == two.digest, sorted(one.blobs.keys() & two.blobs.keys()) == [base.digest]
        (False, True)
    """
    layers = tuple(layers)
    where = _platform(platform)
    when = iso(require_aware(created, "created"))
    if flavour == "docker" and annotations:
        raise InvalidInput.single("not an image to make", "annotations", "Docker manifests have none; use labels")
    lines = [{"created": when, "created_by": one.created_by, "comment": "ecrkit"} for one in layers]
    told = [dict(entry) for entry in history] if history is not None else lines
    filled = sum(not entry.get("empty_layer") for entry in told)
    if filled != len(layers):
        raise InvalidInput.single(
            "not an image to make",
            "history",
            f"{filled} entries are not of an empty layer, there are {len(layers)} layers",
        )
    settings = {**(config or {}), **({"Labels": _sorted(labels)} if labels else {})}
    document = {
        "architecture": where["architecture"],
        "os": where["os"],
        **({"variant": where["variant"]} if "variant" in where else {}),
        "created": when,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [one.diff_id for one in layers]},
        "history": told,
    }
    types = _TYPES[flavour]
    raw = _json(document).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": types["manifest"],
        "config": _descriptor(types["config"], raw),
        "layers": [{"mediaType": types["layer"], "digest": one.digest, "size": one.size} for one in layers],
        **({"annotations": _sorted(annotations)} if annotations else {}),
    }
    return _built(manifest, [raw, *(one.data for one in layers)], platform=platform, flavour=flavour)


def _built(
    manifest: Mapping[str, Any],
    blobs: Iterable[bytes],
    *,
    platform: str | None = None,
    subject: str | None = None,
    flavour: Flavour = "oci",
) -> BuiltImage:
    text = _json(manifest)
    named = [manifest["config"]["digest"], *(one["digest"] for one in manifest["layers"])]
    return BuiltImage(
        digest=sha256(text.encode()),
        media_type=manifest["mediaType"],
        manifest=text,
        blobs=dict(zip(named, blobs, strict=True)),
        size=manifest["config"]["size"] + sum(one["size"] for one in manifest["layers"]),
        platform=platform,
        subject=subject,
        flavour=flavour,
    )


def _reference(built: BuiltImage | BuiltIndex) -> dict[str, Any]:
    return {"mediaType": built.media_type, "digest": built.digest, "size": len(built.manifest.encode())}


def index(
    manifests: Iterable[BuiltImage | BuiltIndex],
    *,
    attestations: Attestations | None = None,
    annotations: Mapping[str, str] | None = None,
    flavour: Flavour = "oci",
) -> BuiltIndex:
    """Return the index of these images or indexes, each with its platform.

    Args:
        manifests: the children, in order.
        attestations: add buildx's provenance attestation for each child, with the platform `unknown/unknown`, in this
            layout. It counts as one more untagged image of the repository.
        annotations: of the index.
        flavour: an OCI index, or Docker's manifest list.

    Raises:
        InvalidInput: there is no child, or Docker's flavour gets annotations or attestations.

    Example:
        >>> from ecrkit.local.images import image, index, layer
        >>> both = index(image([layer({"app": p})], platform=p) for p in ("linux/amd64", "linux/arm64"))
        >>> [child.platform for child in both.children]
        ['linux/amd64', 'linux/arm64']
    """
    children = list(manifests)
    if not children:
        raise InvalidInput.single("not an index to make", "manifests", "must hold at least one image")
    if flavour == "docker" and (attestations or annotations):
        raise InvalidInput.single("not an index to make", "flavour", "a Docker manifest list has no annotations")
    entries: list[dict[str, Any]] = []
    for child in children:
        platform = None if isinstance(child, BuiltIndex) else child.platform
        entries.append({**_reference(child), **({"platform": _platform(platform)} if platform else {})})
    if attestations is not None:
        for child in tuple(children):
            proof = _attestation(child, attestations)
            children.append(proof)
            notes = {"vnd.docker.reference.digest": child.digest, "vnd.docker.reference.type": "attestation-manifest"}
            place = {"architecture": "unknown", "os": "unknown"}
            entries.append({**_reference(proof), "annotations": notes, "platform": place})
    document = {
        "schemaVersion": 2,
        "mediaType": _TYPES[flavour]["index"],
        "manifests": entries,
        **({"annotations": _sorted(annotations)} if annotations else {}),
    }
    text = _json(document)
    return BuiltIndex(
        digest=sha256(text.encode()),
        media_type=str(document["mediaType"]),
        manifest=text,
        children=tuple(children),
        flavour=flavour,
    )


def _attestation(subject: BuiltImage | BuiltIndex, layout: Attestations) -> BuiltImage:
    predicate = "https://slsa.dev/provenance/v1"
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "image", "digest": {"sha256": subject.digest.removeprefix("sha256:")}}],
        "predicateType": predicate,
        "predicate": {
            "buildDefinition": {"buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md"},
            "runDetails": {"builder": {"id": ""}},
        },
    }  # fmt: skip
    proof = _json(statement).encode()
    layer = _descriptor(_IN_TOTO, proof, annotations={"in-toto.io/predicate-type": predicate})
    if layout == "artifact":
        manifest: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": _TYPES["oci"]["manifest"],
            "artifactType": _ATTESTATION,
            "config": _descriptor(_EMPTY_TYPE, _EMPTY),
            "layers": [layer],
            "subject": _reference(subject),
        }
        return _built(manifest, [_EMPTY, proof], subject=subject.digest)
    settings = {
        "architecture": "unknown", "os": "unknown", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    }  # fmt: skip
    raw = _json(settings).encode()
    manifest = {
        "schemaVersion": 2,
        "mediaType": _TYPES["oci"]["manifest"],
        "config": _descriptor(_TYPES["oci"]["config"], raw),
        "layers": [layer],
    }
    return _built(manifest, [raw, proof])


def artifact(
    subject: BuiltImage | BuiltIndex | None,
    artifact_type: str,
    *,
    content: bytes | str | None = None,
    content_type: str = "application/octet-stream",
    annotations: Mapping[str, str] | None = None,
) -> BuiltImage:
    """Return an OCI 1.1 artifact that refers to `subject`: a signature, an SBOM, an attestation; None for no subject.

    Its config is the empty one, `{}`. Without content its one layer is empty as well, as the specification asks for.
    In ECR a referrer is expired or archived within 24 hours after its subject.

    Example:
        >>> from ecrkit.local.images import artifact, image, layer
        >>> app = image([layer({"app": "1"})])
        >>> artifact(app, "application/spdx+json", content="{}").subject == app.digest
        True
    """
    data = _EMPTY if content is None else content.encode() if isinstance(content, str) else content
    manifest = {
        "schemaVersion": 2,
        "mediaType": _TYPES["oci"]["manifest"],
        "artifactType": artifact_type,
        "config": _descriptor(_EMPTY_TYPE, _EMPTY),
        "layers": [_descriptor(_EMPTY_TYPE if content is None else content_type, data)],
        **({} if subject is None else {"subject": _reference(subject)}),
        **({"annotations": _sorted(annotations)} if annotations else {}),
    }
    return _built(manifest, [_EMPTY, data], subject=None if subject is None else subject.digest)
