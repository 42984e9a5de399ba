"""What happens to images, whoever asks for it: deletion, archive, restore, and what follows from them later."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from ecrkit.local.events import ImageDeleted, StorageClassUpdated

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import ImageState, RepositoryState

__all__ = ["activate", "archive", "delete_image", "held_reason", "start_restore"]


def held_reason(parents: list[str]) -> str:
    """Return ECR's reason for refusing an image that indexes reference."""
    return f"Requested image referenced by manifest list: [{', '.join(parents)}]"


def delete_image(
    engine: Engine, registry: RegistryState, repo: RepositoryState, image: ImageState, at: dt.datetime, *, by: str
) -> None:
    """Delete an image with all its tags; its referrers and its unused layers follow later."""
    tags: list[str | None] = [*image.tags]
    orphans = repo.remove(image.digest)
    for tag in tags or [None]:
        engine.emit(
            ImageDeleted(
                time=at, account=registry.account, region=registry.region, repository=repo.name,
                digest=image.digest, tag=tag, by=by,
            )
        )  # fmt: skip
    if repo.referrers.get(image.digest):
        subject = image.digest
        engine.schedule(
            at + engine.timings.referrer_sweep, lambda when: _sweep_deleted(engine, registry, repo, subject, when)
        )
    if orphans:
        engine.schedule(at + engine.timings.orphan_layer, lambda _: _drop_layers(repo, orphans))


def _drop_layers(repo: RepositoryState, digests: list[str]) -> None:
    for digest in digests:
        blob = repo.blobs.get(digest)
        if blob is not None and not blob.users:
            del repo.blobs[digest]


def _sweep_deleted(
    engine: Engine, registry: RegistryState, repo: RepositoryState, subject: str, at: dt.datetime
) -> None:
    if subject in repo.images or registry.repositories.get(repo.name) is not repo:
        return  # the subject was pushed again, or the repository has gone
    for digest in sorted(repo.referrers.get(subject, ())):
        if not repo.holding_parents(digest, archived_too=True):
            delete_image(engine, registry, repo, repo.images[digest], at, by="referrer-sweep")


def _sweep_archived(
    engine: Engine, registry: RegistryState, repo: RepositoryState, subject: str, at: dt.datetime
) -> None:
    image = repo.images.get(subject)
    if image is None or image.status != "ARCHIVED" or registry.repositories.get(repo.name) is not repo:
        return
    for digest in sorted(repo.referrers.get(subject, ())):
        referrer = repo.images[digest]
        if referrer.status == "ACTIVE" and not repo.holding_parents(digest, archived_too=False):
            archive(engine, registry, repo, referrer, at, by="referrer-sweep")


def _updated(
    engine: Engine,
    registry: RegistryState,
    repo: RepositoryState,
    image: ImageState,
    at: dt.datetime,
    *,
    to: str,
    by: str,
) -> None:
    engine.emit(
        StorageClassUpdated(
            time=at, account=registry.account, region=registry.region, repository=repo.name, digest=image.digest,
            target_storage_class=to, manifest_media_type=image.manifest.media_type,
            artifact_media_type=image.manifest.artifact_type, subject_digest=image.manifest.subject, by=by,
        )
    )  # fmt: skip


def archive(
    engine: Engine, registry: RegistryState, repo: RepositoryState, image: ImageState, at: dt.datetime, *, by: str
) -> None:
    """Move an image to the archive class; its referrers follow later."""
    image.status = "ARCHIVED"
    image.last_archived_at = at
    _updated(engine, registry, repo, image, at, to="ARCHIVE", by=by)
    if repo.referrers.get(image.digest):
        engine.schedule(
            at + engine.timings.referrer_sweep,
            lambda when: _sweep_archived(engine, registry, repo, image.digest, when),
        )


def start_restore(
    engine: Engine, registry: RegistryState, repo: RepositoryState, image: ImageState, at: dt.datetime
) -> None:
    """Begin to restore an archived image; it is ACTIVATING, not pullable, until the restore is finished."""
    image.status = "ACTIVATING"

    def finish(when: dt.datetime) -> None:
        if (
            registry.repositories.get(repo.name) is repo
            and repo.images.get(image.digest) is image
            and image.status == "ACTIVATING"
        ):
            activate(engine, registry, repo, image, when)

    engine.schedule(at + engine.timings.restore, finish)


def activate(
    engine: Engine,
    registry: RegistryState,
    repo: RepositoryState,
    image: ImageState,
    at: dt.datetime,
    *,
    by: str = "api",
) -> None:
    """Finish a restore: the image is pullable, and its activation time stands for a new push in lifecycle rules."""
    image.status = "ACTIVE"
    image.last_activated_at = at
    _updated(engine, registry, repo, image, at, to="STANDARD", by=by)
