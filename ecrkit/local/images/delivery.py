"""Where built images go: into a repository by the ECR API, or into an OCI layout folder."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from botocore import xform_name
from botocore.exceptions import ClientError

from ecrkit.errors import InvalidInput
from ecrkit.local.engine import Engine
from ecrkit.local.faults import ServiceFault
from ecrkit.local.images.built import BuiltImage, BuiltIndex

__all__ = ["push", "write_oci_layout"]

_BATCH: Final = 100  # digests that one BatchCheckLayerAvailability takes
_REF_NAME: Final = "org.opencontainers.image.ref.name"


def _call(target: Any, operation: str, **params: Any) -> Mapping[str, Any]:
    if isinstance(target, Engine):
        return target.call(operation, params)
    found: Mapping[str, Any] = getattr(target, xform_name(operation))(**params)
    return found


def _unless_there(target: Any, code: str, operation: str, **params: Any) -> None:
    """Make the call; what is there already is as good as done."""
    try:
        _call(target, operation, **params)
    except ServiceFault as fault:
        if fault.code != code:
            raise
    except ClientError as fault:
        if fault.response.get("Error", {}).get("Code") != code:
            raise


def push(built: BuiltImage | BuiltIndex, client: Any, repository: str, tag: str | None = None) -> str:
    """Push an image or index as a registry client does, and return its digest.

    Blobs first (BatchCheckLayerAvailability, and for those that are missing InitiateLayerUpload, UploadLayerPart,
    CompleteLayerUpload), then children by digest, and last the manifest with the tag (PutImage). What is there already
    is left alone, so a push that broke off can be repeated. A referrer's subject is not pushed along.

    Args:
        built: what to push.
        client: a boto3 client of ECR, real or embedded; or an `Engine`, which takes the same calls
            in a fraction of the time.
        repository: its name; it must exist.
        tag: for the manifest itself; its children get none.

    Raises:
        ServiceFault, botocore.exceptions.ClientError: what ECR refused, from an engine or a client.

    Example:
        >>> from ecrkit.local import Engine, client
        >>> from ecrkit.local.images import image, layer, push
        >>> ecr = client(Engine())
        >>> _ = ecr.create_repository(repositoryName="app")
        >>> digest = push(image([layer({"app": "1"})]), ecr, "app", "v1")
        >>> ecr.describe_images(repositoryName="app")["imageDetails"][0]["imageTags"]
        ['v1']
    """
    _push_blobs(built.blobs, client, repository)
    _put(built, client, repository, tag)
    return built.digest


def _push_blobs(blobs: Mapping[str, bytes], client: Any, repository: str) -> None:
    digests = list(blobs)
    for start in range(0, len(digests), _BATCH):
        asked = _call(
            client,
            "BatchCheckLayerAvailability",
            repositoryName=repository,
            layerDigests=digests[start : start + _BATCH],
        )
        for found in asked["layers"]:
            if found["layerAvailability"] == "UNAVAILABLE":
                _upload(found["layerDigest"], blobs[found["layerDigest"]], client, repository)


def _upload(digest: str, data: bytes, client: Any, repository: str) -> None:
    begun = _call(client, "InitiateLayerUpload", repositoryName=repository)
    upload = {"repositoryName": repository, "uploadId": begun["uploadId"]}
    for first in range(0, len(data), begun["partSize"]):
        part = data[first : first + begun["partSize"]]
        _call(
            client,
            "UploadLayerPart",
            **upload,
            partFirstByte=first,
            partLastByte=first + len(part) - 1,
            layerPartBlob=part,
        )
    _unless_there(client, "LayerAlreadyExistsException", "CompleteLayerUpload", **upload, layerDigests=[digest])


def _put(built: BuiltImage | BuiltIndex, client: Any, repository: str, tag: str | None) -> None:
    for child in built.children:
        _put(child, client, repository, None)
    _unless_there(
        client,
        "ImageAlreadyExistsException",
        "PutImage",
        repositoryName=repository,
        imageManifest=built.manifest,
        imageManifestMediaType=built.media_type,
        imageDigest=built.digest,
        **({"imageTag": tag} if tag is not None else {}),
    )


def write_oci_layout(built: BuiltImage | BuiltIndex, path: str | os.PathLike[str], tag: str | None = None) -> None:
    """Write an image or index into an OCI layout folder, which skopeo, umoci, crane and others read.

    The folder may hold images already: they stay, and `tag` moves to this one. `index.json` is replaced last and at
    once, so a reader never sees a tag without its blobs.

    Raises:
        InvalidInput: Docker's flavour, which an OCI layout does not hold, or a folder that is no OCI layout.
        OSError: the folder cannot be written.
    """
    if any(one.flavour == "docker" for one in (built, *built.children)):
        raise InvalidInput.single("no OCI layout", "built", "is of Docker's flavour; make it with flavour='oci'")
    folder = Path(path)
    listed = _listed(folder)
    store = folder / "blobs" / "sha256"
    store.mkdir(parents=True, exist_ok=True)
    for digest, data in (*built.blobs.items(), *_manifests(built).items()):
        (store / digest.removeprefix("sha256:")).write_bytes(data)
    entry: dict[str, Any] = {
        "mediaType": built.media_type,
        "digest": built.digest,
        "size": len(built.manifest.encode()),
        **({"annotations": {_REF_NAME: tag}} if tag is not None else {}),
    }
    names = [(one.get("annotations") or {}).get(_REF_NAME) for one in listed]
    kept = [
        one
        for one, name in zip(listed, names, strict=True)
        if name != tag or (tag is None and one.get("digest") != built.digest)
    ]
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', encoding="ascii")
    fresh = folder / "index.json.new"
    fresh.write_text(json.dumps({"schemaVersion": 2, "manifests": [*kept, entry]}), encoding="ascii")
    fresh.replace(folder / "index.json")


def _manifests(built: BuiltImage | BuiltIndex) -> dict[str, bytes]:
    found = {built.digest: built.manifest.encode()}
    for child in built.children:
        found |= _manifests(child)
    return found


def _listed(folder: Path) -> list[dict[str, Any]]:
    try:
        text = (folder / "index.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        if folder.is_dir() and any(folder.iterdir()):
            raise InvalidInput.single("no OCI layout", str(folder), "has files but no index.json") from None
        return []
    try:
        listed = json.loads(text)["manifests"]
        if not all(isinstance(one, dict) for one in listed):
            raise ValueError("entries that are no objects")
    except (ValueError, KeyError, TypeError) as fault:
        raise InvalidInput.single("no OCI layout", str(folder / "index.json"), f"cannot be read: {fault}") from None
    return list(listed)
