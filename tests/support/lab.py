"""A checked engine with one repository, and short ways to push to it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest

from ecrkit.local import ServiceFault
from tests.support.shapes import CheckedEngine

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER = "application/vnd.docker.distribution.manifest.v2+json"


def sha(data: bytes | str) -> str:
    return "sha256:" + hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


class Lab:
    """A checked engine with one repository `app`, and short ways to push."""

    def __init__(self) -> None:
        self.engine = CheckedEngine()
        self.registry = self.engine.registry()
        self("CreateRepository", repositoryName="app")

    def __call__(self, operation: str, **params: Any) -> dict[str, Any]:
        return self.engine.call(operation, params)

    def refused(self, operation: str, **params: Any) -> ServiceFault:
        with pytest.raises(ServiceFault) as caught:
            self.engine.call(operation, params)
        return caught.value

    def blob(self, data: bytes, repository: str = "app") -> dict[str, Any]:
        self.registry.put_blob(repository, sha(data), data)
        return {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": sha(data), "size": len(data)}

    def manifest(self, seed: str, layers: tuple[bytes, ...] = (b"base",), repository: str = "app", **more: Any) -> str:
        config = {
            **self.blob(f"config {seed}".encode(), repository),
            "mediaType": "application/vnd.oci.image.config.v1+json",
        }
        document = {
            "schemaVersion": 2,
            "mediaType": OCI,
            "config": config,
            "layers": [self.blob(layer, repository) for layer in layers],
            **more,
        }
        return json.dumps(document)

    def push(self, seed: str, tag: str | None = None, repository: str = "app", **more: Any) -> str:
        text = self.manifest(seed, repository=repository, **more)
        return self.put(text, tag, repository)

    def put(self, text: str, tag: str | None = None, repository: str = "app", **more: Any) -> str:
        params = {"repositoryName": repository, "imageManifest": text, **({"imageTag": tag} if tag else {}), **more}
        return self("PutImage", **params)["image"]["imageId"]["imageDigest"]

    def index(self, children: list[str], tag: str | None = None, note: str = "") -> str:
        document = {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "annotations": {"n": note},
            "manifests": [{"mediaType": OCI, "digest": c, "size": 1} for c in children],
        }
        return self.put(json.dumps(document), tag)

    def details(self, **params: Any) -> dict[str, dict[str, Any]]:
        found = self("DescribeImages", repositoryName="app", **params)["imageDetails"]
        return {d["imageDigest"]: d for d in found}

    def delete(self, *ids: dict[str, str]) -> dict[str, Any]:
        return self("BatchDeleteImage", repositoryName="app", imageIds=list(ids))

    def get(self, *ids: dict[str, str], **more: Any) -> dict[str, Any]:
        return self("BatchGetImage", repositoryName="app", imageIds=list(ids), **more)
