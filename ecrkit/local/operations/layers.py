"""Layers: availability, upload in parts, download."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ecrkit.local.faults import refuse
from ecrkit.local.manifests import DIGEST

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS"]

_SMALLEST_PART: Final = 5 * 1024 * 1024
_PART_SIZE: Final = 10 * 1024 * 1024


def batch_check_layer_availability(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Says which layers the repository has: AVAILABLE, UNAVAILABLE, or ARCHIVED when only archived images use it."""
    repo = registry.repository(params["repositoryName"])
    layers: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for digest in dict.fromkeys(params["layerDigests"]):
        if not DIGEST.fullmatch(digest):
            code = "InvalidLayerDigest" if digest else "MissingLayerDigest"
            reason = "Invalid layer digest" if digest else "Layer digest is missing"
            failures.append({"layerDigest": digest, "failureCode": code, "failureReason": reason})
            continue
        blob = repo.blobs.get(digest)
        if blob is None:
            layers.append({"layerDigest": digest, "layerAvailability": "UNAVAILABLE"})
            continue
        archived = bool(blob.users) and all(repo.images[user].status != "ACTIVE" for user in blob.users)
        entry: dict[str, Any] = {
            "layerDigest": digest,
            "layerAvailability": "ARCHIVED" if archived else "AVAILABLE",
            "layerSize": blob.size,
        }
        if blob.media_type:
            entry["mediaType"] = blob.media_type
        layers.append(entry)
    return {"layers": layers, "failures": failures}


def initiate_layer_upload(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Begins an upload; the part size is 10 MiB."""
    return {"uploadId": registry.start_upload(params["repositoryName"]), "partSize": _PART_SIZE}


def upload_layer_part(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Takes the next part: first and last byte inclusive, consecutive to what came before."""
    repo = registry.repository(params["repositoryName"])
    upload = registry.upload(repo.name, params["uploadId"])
    first, last, data = params["partFirstByte"], params["partLastByte"], params["layerPartBlob"]
    members: dict[str, Any] = {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "uploadId": upload.upload_id,
    }
    if upload.size:
        members["lastValidByteReceived"] = upload.size - 1
    if first != upload.size:
        refuse(
            "InvalidLayerPartException",
            f"The first byte must be {upload.size}, consecutive to the last byte received, not {first}",
            **members,
        )
    if last - first + 1 != len(data) or not data:
        refuse(
            "InvalidLayerPartException",
            f"The part has {len(data)} bytes, which are not the bytes {first} to {last}",
            **members,
        )
    if len(upload.parts) >= engine.limits.layer_parts:
        refuse("LimitExceededException", f"a layer has at most {engine.limits.layer_parts} parts")
    upload.append(data)
    return {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "uploadId": upload.upload_id,
        "lastByteReceived": upload.size - 1,
    }


def complete_layer_upload(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Ends an upload: checks the digest and the size of every part but the last, and stores the layer."""
    repo = registry.repository(params["repositoryName"])
    upload = registry.upload(repo.name, params["uploadId"])
    if not upload.size:
        refuse("EmptyUploadException", f"The upload with ID '{upload.upload_id}' does not contain any layer parts")
    small = next((len(part) for part in upload.parts[:-1] if len(part) < _SMALLEST_PART), None)
    if small is not None:
        refuse(
            "LayerPartTooSmallException",
            f"A part of {small} bytes is not the last one; layer parts must be at least 5 MiB in size",
        )
    wanted = [digest.lower() for digest in params["layerDigests"]]
    actual = upload.digest
    if actual not in wanted:
        refuse(
            "InvalidLayerException",
            f"The layer digest calculated on receipt, '{actual}', does not match the digest '{wanted[0]}' specified",
        )
    del registry.uploads[upload.upload_id]
    if actual in repo.blobs:
        refuse(
            "LayerAlreadyExistsException",
            f"Layer with digest '{actual}' already exists in the repository with name '{repo.name}' in the registry "
            f"with id '{registry.account}'",
        )
    registry.store_blob(repo.name, actual, b"".join(upload.parts))
    return {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "uploadId": upload.upload_id,
        "layerDigest": actual,
    }


def get_download_url_for_layer(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Gives a URL for an hour; a layer that no image uses is inaccessible."""
    repo = registry.repository(params["repositoryName"])
    digest = params["layerDigest"]
    blob = repo.blobs.get(digest)
    where = f"the repository with name '{repo.name}' in the registry with id '{registry.account}'"
    if blob is None:
        refuse("LayersNotFoundException", f"The layer with digest '{digest}' does not exist within {where}")
    if not any(repo.images[user].status == "ACTIVE" for user in blob.users):
        refuse(
            "LayerInaccessibleException",
            f"The layer with digest '{digest}' is not associated with an active image within {where}",
        )
    return {"downloadUrl": engine.download_url(registry, repo.name, digest), "layerDigest": digest}


OPERATIONS = {
    "BatchCheckLayerAvailability": batch_check_layer_availability,
    "CompleteLayerUpload": complete_layer_upload,
    "GetDownloadUrlForLayer": get_download_url_for_layer,
    "InitiateLayerUpload": initiate_layer_upload,
    "UploadLayerPart": upload_layer_part,
}
