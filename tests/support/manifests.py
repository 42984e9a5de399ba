"""Small manifests for tests, written by hand so that they do not depend on the code under test."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ecrkit.records import RawManifest

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"


def blob(name: object, size: int, media_type: str = LAYER, **more: Any) -> dict[str, Any]:
    """A descriptor whose digest follows from its name."""
    return {"mediaType": media_type, "digest": digest_of(str(name)), "size": size, **more}


def digest_of(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def image_document(
    layers: list[dict[str, Any]], *, config: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": config or blob("config", 10, CONFIG),
        "layers": layers,
        **more,
    }


def index_document(children: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": INDEX, "manifests": children, **more}


def raw(document: dict[str, Any]) -> RawManifest:
    text = json.dumps(document)
    return RawManifest(digest=digest_of(text), media_type=document.get("mediaType", ""), text=text)


def child(manifest: RawManifest, platform: str = "linux/amd64", **more: Any) -> dict[str, Any]:
    name, architecture = platform.split("/")
    return {
        "mediaType": manifest.media_type,
        "digest": manifest.digest,
        "size": len(manifest.text),
        "platform": {"os": name, "architecture": architecture},
        **more,
    }


def detail(manifest: RawManifest, *, size: int | None = None, **more: Any) -> dict[str, Any]:
    """The DescribeImages item of a manifest."""
    found = {
        "imageDigest": manifest.digest,
        "imagePushedAt": 1767225600.0,
        "imageManifestMediaType": manifest.media_type,
        **more,
    }
    if size is not None:
        found["imageSizeInBytes"] = size
    return found
