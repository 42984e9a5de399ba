"""Referrers: signatures, SBOMs and attestations of an image."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ecrkit.local.faults import invalid
from ecrkit.local.manifests import DIGEST
from ecrkit.local.operations._paging import page

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS"]


def list_image_referrers(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Lists the artifacts whose subject is the image, ACTIVE ones unless the filter says otherwise; 20 a page."""
    repo = registry.repository(params["repositoryName"])
    subject = params["subjectId"]["imageDigest"]
    if not DIGEST.fullmatch(subject):
        invalid("subjectId.imageDigest", f"must satisfy regular expression '{DIGEST.pattern}'")
    wanted = params.get("filter") or {}
    types, status = wanted.get("artifactTypes") or [], wanted.get("artifactStatus") or "ACTIVE"

    def keep(digest: str) -> bool:
        image = repo.images[digest]
        return status in ("ANY", image.status) and (not types or image.manifest.artifact_type in types)

    found = sorted(repo.referrers.get(subject, ()))
    digests, token = page(found, params, f"referrers/{subject}", default=20, keep=keep)
    referrers: list[dict[str, Any]] = []
    for digest in digests:
        image = repo.images[digest]
        entry: dict[str, Any] = {
            "digest": digest,
            "mediaType": image.manifest.media_type,
            "size": len(image.manifest.text.encode("utf-8", "surrogatepass")),
            "artifactStatus": image.status,
        }
        if image.manifest.artifact_type:
            entry["artifactType"] = image.manifest.artifact_type
        if image.manifest.annotations:
            entry["annotations"] = dict(image.manifest.annotations)
        referrers.append(entry)
    return {"referrers": referrers, "nextToken": token} if token else {"referrers": referrers}


OPERATIONS = {"ListImageReferrers": list_image_referrers}
