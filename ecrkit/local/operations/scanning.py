"""Image scanning: basic scans, results of both kinds, the registry's scanning configuration."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

import attrs

from ecrkit.errors import InvalidPolicy
from ecrkit.local.faults import invalid, refuse
from ecrkit.local.operations._paging import last_key, token_of
from ecrkit.local.operations.images import existing_image
from ecrkit.local.scan_runs import (
    Subject,
    begin,
    frequency_of,
    is_image,
    quota_left,
    scan_kind,
    scan_on_push,
    scanned_lately,
    start_covered,
)
from ecrkit.local.scan_shapes import ScannedImage, basic_finding, enhanced_finding, severity_counts
from ecrkit.local.scans import Scan, ScanKind, configuration_of, raw_configuration, scan_of

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import ImageState, RepositoryState

__all__ = ["OPERATIONS", "REACTIONS", "scanned_image"]

_PAGE: Final = 100


def _identity(params: dict[str, Any], image: ImageState) -> dict[str, str]:
    tag = params["imageId"].get("imageTag")
    return {"imageDigest": image.digest, **({"imageTag": tag} if tag else {})}


def _answer(
    registry: RegistryState, repo: RepositoryState, identity: Mapping[str, str], status: str, description: str
) -> dict[str, Any]:
    told = {"status": status, **({"description": description} if description else {})}
    return {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "imageId": dict(identity),
        "imageScanStatus": told,
    }


# -- scans --------------------------------------------------------------------------------------------------------


def start_image_scan(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Starts a basic scan, one per image and 24 hours; refuses indexes, archived images, and all under ENHANCED."""
    repo = registry.repository(params["repositoryName"])
    image = existing_image(registry, repo, params["imageId"])
    if scan_kind(registry) == "enhanced":
        refuse("ValidationException", "This feature is disabled: the registry uses enhanced scanning")
    if not is_image(image):
        media = image.manifest.media_type if image.manifest.is_index else image.manifest.artifact_type
        refuse("UnsupportedImageTypeException", f"An artifact with media type '{media}' cannot be scanned.")
    if image.status != "ACTIVE":
        refuse("ImageArchivedException", f"The image with digest '{image.digest}' cannot be scanned: {image.status}")
    now = engine.clock.now()
    if scanned_lately(image, now) or not quota_left(engine, registry, now):
        whose = "image" if scanned_lately(image, now) else "registry"
        refuse("LimitExceededException", f"The scan quota per {whose} has been exceeded. Wait and try again.")
    scan = begin(Subject(engine, registry, repo, image), now, "basic")
    return _answer(registry, repo, _identity(params, image), scan.status, scan.description)


def describe_image_scan_findings(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Returns the scan of the registry's scan type, in real pages; enhanced counts cover their own page."""
    repo = registry.repository(params["repositoryName"])
    image = existing_image(registry, repo, params["imageId"])
    kind = scan_kind(registry)
    scan = scan_of(image, kind)
    identity = _identity(params, image)
    if image.status != "ACTIVE":
        return _answer(registry, repo, identity, "IMAGE_ARCHIVED", f"The image is {image.status}.")
    if scan is None:
        if image.extra.get("scans"):
            other = "The findings of the other scan type are unavailable until the registry is switched back."
            return _answer(registry, repo, identity, "FINDINGS_UNAVAILABLE", other)
        _no_scan(registry, repo, identity)
    out = _answer(registry, repo, identity, scan.status, scan.description)
    body = _body(registry, repo, image, scan)
    if body is None:
        return out
    _cut(out, body, params, f"findings/{repo.name}/{image.digest}", kind)
    return out


def _no_scan(registry: RegistryState, repo: RepositoryState, identity: Mapping[str, str]) -> NoReturn:
    tag = identity.get("imageTag", "null")
    refuse(
        "ScanNotFoundException",
        f"Image scan does not exist for the image with '{{imageDigest:'{identity['imageDigest']}', imageTag:'{tag}'}}' "
        f"in the repository with name '{repo.name}' in the registry with id '{registry.account}'",
    )


def scanned_image(registry: RegistryState, repo: RepositoryState, image: ImageState, scan: Scan) -> ScannedImage:
    """Return what findings say about their image."""
    step = scan.step
    return ScannedImage(
        account=registry.account,
        region=registry.region,
        partition=registry.partition,
        repository=repo.name,
        digest=image.digest,
        tags=tuple(image.tags),
        architecture=_architecture(repo, image),
        platform="" if step is None else step.platform,
        pushed_at=image.pushed_at,
        observed_at=scan.completed_at or scan.began_at,
        in_use_count=None if step is None else step.in_use_count,
        last_in_use_at=None if step is None else step.last_in_use_at,
    )


def _architecture(repo: RepositoryState, image: ImageState) -> str:
    config = repo.blobs.get(image.manifest.blobs[0].digest) if image.manifest.blobs else None
    try:
        found = json.loads(config.data or b"") if config is not None else {}
        return str(found["architecture"])
    except (ValueError, KeyError, TypeError):
        return "amd64"


def _body(registry: RegistryState, repo: RepositoryState, image: ImageState, scan: Scan) -> dict[str, Any] | None:
    """Return every finding under the name it has, or None when the answer holds no result at all."""
    step = scan.step
    if step is None:
        waiting = scan.kind == "enhanced" and scan.status == "PENDING"
        return {"findings": [], "enhancedFindings": []} if waiting else None
    times: dict[str, Any] = {}
    if scan.completed_at is not None:
        day = scan.completed_at.replace(hour=0, minute=0, second=0, microsecond=0)
        times = {"imageScanCompletedAt": scan.completed_at, "vulnerabilitySourceUpdatedAt": day}
    if scan.kind == "enhanced" and scan.status == "SCAN_ELIGIBILITY_EXPIRED":
        return {**times, "enhancedFindings": []}
    if not step.has_result:
        return {"findings": []} if scan.kind == "enhanced" and step.findings is None else None
    about = scanned_image(registry, repo, image, scan)
    listed: list[Mapping[str, Any]] = []
    for found in step.findings or ():
        if isinstance(found, Mapping):
            listed.append(found)
        elif scan.kind == "basic":
            listed.append(basic_finding(found))
        else:
            seen = found.first_observed or scan.first_seen.get(found.id)
            listed.append(enhanced_finding(attrs.evolve(found, first_observed=seen), about))
    return {**times, ("findings" if scan.kind == "basic" else "enhancedFindings"): listed}


def _cut(out: dict[str, Any], body: dict[str, Any], params: dict[str, Any], listing: str, kind: ScanKind) -> None:
    """Put one page of the findings into the answer."""
    name = "enhancedFindings" if "enhancedFindings" in body else "findings"
    every = body[name]
    start = int(last_key(listing, params["nextToken"])) if params.get("nextToken") else 0
    size = params.get("maxResults") or _PAGE
    shown = every[start : start + size]
    counts = severity_counts(every if kind == "basic" else shown)
    out["imageScanFindings"] = {
        **body,
        name: copy.deepcopy(shown),
        **({"findingSeverityCounts": counts} if counts else {}),
    }
    if start + size < len(every):
        out["nextToken"] = token_of(listing, str(start + size))


# -- configuration ------------------------------------------------------------------------------------------------


def put_registry_scanning_configuration(
    engine: Engine, registry: RegistryState, params: dict[str, Any]
) -> dict[str, Any]:
    """Sets scan type and rules; BASIC knows no continuous scan and ENHANCED no manual one."""
    raw = {
        "scanType": params.get("scanType") or raw_configuration(registry)["scanType"],
        "rules": copy.deepcopy(list(params.get("rules") or [])),
    }
    try:
        configuration_of(raw)
    except InvalidPolicy as fault:
        invalid("rules", "; ".join(f"{p.path.removeprefix('$.')}: {p.message}" for p in fault.problems))
    registry.extra["scanning"] = raw
    start_covered(engine, registry, engine.clock.now())
    return {"registryScanningConfiguration": copy.deepcopy(raw)}


def get_registry_scanning_configuration(
    engine: Engine, registry: RegistryState, params: dict[str, Any]
) -> dict[str, Any]:
    """Returns scan type and rules; BASIC without rules until put."""
    return {"registryId": registry.account, "scanningConfiguration": copy.deepcopy(raw_configuration(registry))}


def batch_get_repository_scanning_configuration(
    engine: Engine, registry: RegistryState, params: dict[str, Any]
) -> dict[str, Any]:
    """Returns how repositories are scanned, with the filters that select them, and names that do not exist."""
    found: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for name in dict.fromkeys(params["repositoryNames"]):
        repo = registry.repositories.get(name)
        if repo is None:
            failures.append(
                {
                    "repositoryName": name,
                    "failureCode": "REPOSITORY_NOT_FOUND",
                    "failureReason": f"The repository with name '{name}' does not exist in the registry with id "
                    f"'{registry.account}'",
                }
            )
            continue
        frequency = frequency_of(registry, repo)
        found.append(
            {
                "repositoryArn": repo.arn,
                "repositoryName": name,
                "scanOnPush": frequency == "SCAN_ON_PUSH",
                # The answer knows no word for "never": what nothing selects under ENHANCED is MANUAL, too.
                "scanFrequency": "MANUAL" if frequency == "NONE" else frequency,
                "appliedScanFilters": _applied(registry, name, frequency),
            }
        )
    return {"scanningConfigurations": found, "failures": failures}


def _applied(registry: RegistryState, repository: str, frequency: str) -> list[dict[str, str]]:
    from ecrkit.scanning.configuration import filter_matches

    return [
        dict(item)
        for rule in raw_configuration(registry)["rules"]
        if rule["scanFrequency"] == frequency
        for item in rule["repositoryFilters"]
        if filter_matches(item["filter"], repository)
    ]


OPERATIONS = {
    "BatchGetRepositoryScanningConfiguration": batch_get_repository_scanning_configuration,
    "DescribeImageScanFindings": describe_image_scan_findings,
    "GetRegistryScanningConfiguration": get_registry_scanning_configuration,
    "PutRegistryScanningConfiguration": put_registry_scanning_configuration,
    "StartImageScan": start_image_scan,
}
REACTIONS = (scan_on_push,)
