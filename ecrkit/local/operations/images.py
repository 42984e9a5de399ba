"""Images: put, get, describe, list, delete, archive and restore."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NoReturn

from ecrkit.local.changes import activate, archive, delete_image, held_reason, start_restore
from ecrkit.local.events import ImageDeleted, ImagePushed
from ecrkit.local.faults import invalid, refuse
from ecrkit.local.manifests import DIGEST, ParsedManifest, parse_manifest
from ecrkit.local.operations._paging import last_key, page, token_of
from ecrkit.local.operations.repositories import tag_is_immutable
from ecrkit.local.pull_through import import_missing
from ecrkit.local.state import ImageState, RepositoryState

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS", "existing_image"]

ImageId = dict[str, str]


def _where(registry: RegistryState, repo: RepositoryState) -> str:
    return f"repository with name '{repo.name}' in the registry with id '{registry.account}'"


# -- put ----------------------------------------------------------------------------------------------------------


def _check_contents(registry: RegistryState, repo: RepositoryState, manifest: ParsedManifest) -> None:
    missing = [b.digest for b in manifest.blobs if b.required and b.digest not in repo.blobs]
    where = f"required for pushing image into {_where(registry, repo)} do not exist"
    if missing:
        refuse("LayersNotFoundException", f"Layers with digests '[{', '.join(dict.fromkeys(missing))}]' {where}")
    absent = [child for child in manifest.children if child not in repo.images]
    if absent:
        refuse("ReferencedImagesNotFoundException", f"Images with digests '[{', '.join(absent)}]' {where}")


def _size(repo: RepositoryState, manifest: ParsedManifest) -> int:
    if manifest.is_index:
        return max((repo.images[child].size for child in manifest.children), default=0)
    # Schema 1 states no sizes (-1); there the stored blobs say them.
    return sum(b.size if b.size >= 0 else repo.blobs[b.digest].size for b in manifest.blobs)


def put_image(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Stores a manifest under the SHA-256 of its exact text, and moves the tag to it where the mutability allows."""
    repo = registry.repository(params["repositoryName"])
    tag: str | None = params.get("imageTag")
    text: str = params["imageManifest"]
    if len(text.encode("utf-8", "surrogatepass")) > 4_194_304:
        invalid("imageManifest", "Member must have length less than or equal to 4194304")
    manifest = parse_manifest(text, params.get("imageManifestMediaType"))
    wanted = params.get("imageDigest")
    if wanted is not None and wanted != manifest.digest:
        refuse(
            "ImageDigestDoesNotMatchException",
            f"The specified image digest '{wanted}' does not match the digest '{manifest.digest}' that was calculated",
        )
    _check_contents(registry, repo, manifest)
    image = repo.images.get(manifest.digest)
    _check_tag(registry, repo, manifest.digest, tag, image)
    if image is None and len(repo.images) >= engine.limits.images_per_repository:
        refuse("LimitExceededException", f"a repository has at most {engine.limits.images_per_repository} images")
    if image is not None and tag not in (None, *image.tags) and len(image.tags) >= engine.limits.tags_per_image:
        refuse("LimitExceededException", f"an image has at most {engine.limits.tags_per_image} tags")
    now = engine.clock.now()
    if image is None:
        image = ImageState(manifest=manifest, pushed_at=now, size=_size(repo, manifest))
        repo.add(image)
    elif image.status != "ACTIVE":
        activate(engine, registry, repo, image, now)
    if tag is not None:
        repo.point(tag, image)
    engine.emit(
        ImagePushed(
            time=now, account=registry.account, region=registry.region, repository=repo.name, digest=image.digest,
            tag=tag, manifest_media_type=manifest.media_type, artifact_media_type=manifest.artifact_type,
            subject_digest=manifest.subject,
        )
    )  # fmt: skip
    return {"image": _image(registry, repo, image, {"imageTag": tag} if tag else {})}


def _check_tag(
    registry: RegistryState, repo: RepositoryState, digest: str, tag: str | None, image: ImageState | None
) -> None:
    # An archived image may be pushed again as it is: that restores it.
    if image is not None and image.status == "ACTIVE" and (tag is None or tag in image.tags):
        named = f" and tag '{tag}'" if tag else ""
        refuse(
            "ImageAlreadyExistsException",
            f"Image with digest '{digest}'{named} already exists in the {_where(registry, repo)}",
        )
    holder = None if tag is None else repo.tag_to_digest.get(tag)
    if tag is not None and holder not in (None, digest) and tag_is_immutable(repo, tag):
        refuse(
            "ImageTagAlreadyExistsException",
            f"The image tag '{tag}' already exists in the '{repo.name}' repository and cannot be overwritten because "
            "the tag is immutable.",
        )


def _image(registry: RegistryState, repo: RepositoryState, image: ImageState, asked: ImageId) -> dict[str, Any]:
    identity = {"imageDigest": image.digest}
    if "imageTag" in asked:
        identity["imageTag"] = asked["imageTag"]
    return {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "imageId": identity,
        "imageManifest": image.manifest.text,
        "imageManifestMediaType": image.manifest.media_type,
    }


# -- find ---------------------------------------------------------------------------------------------------------


def _find(repo: RepositoryState, asked: ImageId) -> ImageState | tuple[str, str]:
    """Return the image, or ECR's failure code and reason. Digest and tag together must agree."""
    digest, tag = asked.get("imageDigest"), asked.get("imageTag")
    if digest is None and tag is None:
        return "MissingDigestAndTag", "Invalid request parameters: both tag and digest cannot be null"
    if digest is not None and not DIGEST.fullmatch(digest):
        return (
            "InvalidImageDigest",
            f"Invalid request parameters: image digest should satisfy the regex '{DIGEST.pattern}'",
        )
    found = repo.images.get(digest if digest is not None else repo.tag_to_digest.get(tag or "", ""))
    if found is None:
        return "ImageNotFound", "Requested image not found"
    if tag is not None and tag not in found.tags:
        return "ImageTagDoesNotMatchDigest", f"The tag {tag} does not match the digest {digest}"
    return found


def _distinct(ids: list[ImageId]) -> list[ImageId]:
    return list({(i.get("imageDigest"), i.get("imageTag")): i for i in ids}.values())


def _named(asked: ImageId) -> tuple[str | None, str | None]:
    return asked.get("imageDigest"), asked.get("imageTag")


def _failure(asked: ImageId, code: str, reason: str) -> dict[str, Any]:
    return {"imageId": dict(asked), "failureCode": code, "failureReason": reason}


def batch_get_image(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Returns manifests as they were put, never translated, and failures with their codes; counts as a pull.

    In a repository of a pull-through cache rule it fetches what is missing, or has not been looked at for a day.
    """
    upstream = import_missing(engine, registry, params["repositoryName"], params["imageIds"])
    if upstream and params["repositoryName"] not in registry.repositories:
        failed = [_failure(i, *upstream[_named(i)]) for i in _distinct(params["imageIds"]) if _named(i) in upstream]
        return {"images": [], "failures": failed}
    repo = registry.repository(params["repositoryName"])
    accepted = params.get("acceptedMediaTypes")
    images: list[dict[str, Any]] = []
    failures: list[dict[str, Any]] = []
    for asked in _distinct(params["imageIds"]):
        found = _find(repo, asked)
        if isinstance(found, tuple):
            failures.append(_failure(asked, *upstream.get(_named(asked), found)))
        elif found.status != "ACTIVE":
            failures.append(_failure(asked, "ImageInaccessible", f"The image is not pullable: it is {found.status}"))
        elif accepted is not None and found.manifest.media_type not in accepted:
            reason = f"The image is of media type {found.manifest.media_type}, which the request does not accept"
            if "imageDigest" not in asked:
                reason += "; the embedded ECR does not translate manifests"
            failures.append(_failure(asked, "ImageNotFound", reason))
        else:
            _record_pull(engine, registry, found)
            images.append(_image(registry, repo, found, asked))
    return {"images": images, "failures": failures}


def _record_pull(engine: Engine, registry: RegistryState, image: ImageState) -> None:
    caller = "" if engine.current is None else engine.current.caller
    if caller in registry.pull_time_exclusions:
        return
    now = engine.clock.now()
    if image.last_pulled_at is None or now - image.last_pulled_at >= engine.timings.pull_refresh:
        image.last_pulled_at = now


# -- describe and list --------------------------------------------------------------------------------------------


def _detail(engine: Engine, registry: RegistryState, repo: RepositoryState, image: ImageState) -> dict[str, Any]:
    out: dict[str, Any] = {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "imageDigest": image.digest,
        "imageSizeInBytes": image.size,
        "imagePushedAt": image.pushed_at,
        "imageManifestMediaType": image.manifest.media_type,
        "imageStatus": image.status,
    }
    optional = {
        "imageTags": list(image.tags) or None,
        "artifactMediaType": image.manifest.artifact_type,
        "lastRecordedPullTime": image.last_pulled_at,
        "subjectManifestDigest": image.manifest.subject,
        "lastArchivedAt": image.last_archived_at,
        "lastActivatedAt": image.last_activated_at,
    }
    out.update({name: value for name, value in optional.items() if value is not None})
    for hook in engine.image_details:
        out.update(hook(registry, repo, image))
    return out


def _selected(image: ImageState, tag_status: str, image_status: str) -> bool:
    if image_status not in ("ANY", image.status):
        return False
    return tag_status == "ANY" or (tag_status == "TAGGED") == bool(image.tags)


def describe_images(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Describes images in the order of their digests, ACTIVE ones unless the filter says otherwise, with real pages."""
    repo = registry.repository(params["repositoryName"])
    wanted = params.get("filter") or {}
    tag_status = wanted.get("tagStatus") or "ANY"
    if "imageIds" in params:
        if "maxResults" in params or "nextToken" in params:
            invalid("maxResults", "maxResults and nextToken cannot be used with imageIds")
        # Named images are shown whatever their status, unless the filter asks for one.
        status = wanted.get("imageStatus") or "ANY"
        named = {
            i.digest: i for i in (existing_image(registry, repo, asked) for asked in _distinct(params["imageIds"]))
        }
        chosen = [i for i in named.values() if _selected(i, tag_status, status)]
        return {"imageDetails": [_detail(engine, registry, repo, i) for i in chosen]}
    status = wanted.get("imageStatus") or "ACTIVE"
    digests, token = page(
        repo.order,
        params,
        f"images/{repo.name}",
        default=100,
        keep=lambda digest: _selected(repo.images[digest], tag_status, status),
    )
    out: dict[str, Any] = {"imageDetails": [_detail(engine, registry, repo, repo.images[d]) for d in digests]}
    if token:
        out["nextToken"] = token
    return out


def existing_image(registry: RegistryState, repo: RepositoryState, asked: ImageId) -> ImageState:
    """Return the image that an identifier names, or refuse with ImageNotFoundException or InvalidParameterException."""
    found = _find(repo, asked)
    if isinstance(found, tuple):
        _refuse_missing(registry, repo, asked, *found)
    return found


def _refuse_missing(registry: RegistryState, repo: RepositoryState, asked: ImageId, code: str, reason: str) -> NoReturn:
    if code in ("MissingDigestAndTag", "InvalidImageDigest"):
        refuse("InvalidParameterException", reason)
    shown = ", ".join(f"{key}:'{asked.get(key, 'null')}'" for key in ("imageDigest", "imageTag"))
    refuse(
        "ImageNotFoundException",
        f"The image with imageId {{{shown}}} does not exist within the {_where(registry, repo)}",
    )


def list_images(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Lists one entry per tag, and one per untagged image, in the order of digest and tag, with real pages."""
    repo = registry.repository(params["repositoryName"])
    wanted = params.get("filter") or {}
    tag_status, status = wanted.get("tagStatus") or "ANY", wanted.get("imageStatus") or "ACTIVE"
    kind, size = f"ids/{repo.name}", params.get("maxResults") or 100
    after_digest, after_tag, start = "", "", 0
    if params.get("nextToken"):
        after_digest, _, after_tag = last_key(kind, params["nextToken"]).partition(" ")
        # The same image may have more tags than fitted into the last page.
        start = max(0, bisect_right(repo.order, after_digest) - (1 if after_digest in repo.images else 0))
    ids: list[ImageId] = []
    for number in range(start, len(repo.order)):
        image = repo.images[repo.order[number]]
        if not _selected(image, tag_status, status):
            continue
        for tag in sorted(image.tags) or [""]:
            if image.digest == after_digest and tag <= after_tag:
                continue
            if len(ids) == size:
                last = f"{ids[-1]['imageDigest']} {ids[-1].get('imageTag', '')}"
                return {"imageIds": ids, "nextToken": token_of(kind, last)}
            ids.append({"imageDigest": image.digest, "imageTag": tag} if tag else {"imageDigest": image.digest})
    return {"imageIds": ids}


# -- delete -------------------------------------------------------------------------------------------------------


def batch_delete_image(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Removes tags, or images by digest with all their tags; the last tag takes the image with it."""
    repo = registry.repository(params["repositoryName"])
    done: list[ImageId] = []
    failures: list[dict[str, Any]] = []
    now = engine.clock.now()
    for asked in _distinct(params["imageIds"]):
        found = _find(repo, asked)
        if isinstance(found, tuple):
            failures.append(_failure(asked, *found))
            continue
        tag = asked.get("imageTag")
        if tag is not None and len(found.tags) > 1:
            del found.tags[tag], repo.tag_to_digest[tag]
            done.append({"imageDigest": found.digest, "imageTag": tag})
            engine.emit(
                ImageDeleted(
                    time=now, account=registry.account, region=registry.region, repository=repo.name,
                    digest=found.digest, tag=tag, image_remains=True,
                )
            )  # fmt: skip
            continue
        parents = repo.holding_parents(found.digest, archived_too=True)
        if parents:
            failures.append(_failure(asked, "ImageReferencedByManifestList", held_reason(parents)))
            continue
        done += [{"imageDigest": found.digest, "imageTag": t} for t in found.tags] or [{"imageDigest": found.digest}]
        delete_image(engine, registry, repo, found, now, by="api")
    return {"imageIds": done, "failures": failures}


# -- storage class ------------------------------------------------------------------------------------------------


def update_image_storage_class(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Archives an image at once, or starts its restore, which takes up to 20 minutes."""
    repo = registry.repository(params["repositoryName"])
    image = existing_image(registry, repo, params["imageId"])
    now = engine.clock.now()
    if params["targetStorageClass"] == "ARCHIVE":
        if image.status != "ACTIVE":
            refuse(
                "ImageStorageClassUpdateNotSupportedException",
                f"The image '{image.digest}' cannot be archived: it is {image.status}",
            )
        parents = repo.holding_parents(image.digest, archived_too=False)
        if parents:
            refuse("ImageStorageClassUpdateNotSupportedException", held_reason(parents))
        archive(engine, registry, repo, image, now, by="api")
    elif image.status == "ARCHIVED":
        start_restore(engine, registry, repo, image, now)
    elif image.status == "ACTIVE":
        refuse(
            "ImageStorageClassUpdateNotSupportedException",
            f"The image '{image.digest}' cannot be restored: it is ACTIVE",
        )
    return {
        "registryId": registry.account,
        "repositoryName": repo.name,
        "imageId": {"imageDigest": image.digest, **{k: v for k, v in params["imageId"].items() if k == "imageTag"}},
        "imageStatus": image.status,
    }


OPERATIONS = {
    "BatchDeleteImage": batch_delete_image,
    "BatchGetImage": batch_get_image,
    "DescribeImages": describe_images,
    "ListImages": list_images,
    "PutImage": put_image,
    "UpdateImageStorageClass": update_image_storage_class,
}
