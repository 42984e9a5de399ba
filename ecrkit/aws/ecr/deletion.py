"""Deleting images: only by a plan that was made earlier and still holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.aws.ecr.base import batches, digest_ids
from ecrkit.aws.ecr.images import EcrImages
from ecrkit.aws.ecr.manifests import failures_of
from ecrkit.aws.iam import needs
from ecrkit.errors import InvalidInput, PlanOutdated, PlanRefused
from ecrkit.ports import OnProgress
from ecrkit.records import Image, ImageFailure, Progress

__all__ = ["DeletionPlan", "DeletionReport", "EcrDeletion", "plan_deletion"]

_REFERENCED: Final = "ImageReferencedByManifestList"


@attrs.frozen(kw_only=True)
class DeletionPlan(Record):
    """Images of one repository that are to be deleted, as they were when the plan was made."""

    repository: str
    images: tuple[Image, ...]

    @override
    def __str__(self) -> str:
        return f"delete {len(self.images)} images of {self.repository}"

    def changes(self, now: Mapping[str, Image]) -> tuple[str, ...]:
        """Return how the images differ from what the plan rests on: gone, retagged, moved in storage, pulled since."""
        found: list[str] = []
        for then in self.images:
            image = now.get(then.digest)
            if image is None:
                found.append(f"{then} is gone")
                continue
            if set(image.tags) != set(then.tags):
                found.append(f"{then} now carries {', '.join(sorted(image.tags)) or 'no tag'}")
            if image.status != then.status:
                found.append(f"{then} was {then.status} and is {image.status}")
            if image.last_pulled_at != then.last_pulled_at:
                found.append(f"{then} was pulled at {image.last_pulled_at}")
        return tuple(found)


@attrs.frozen(kw_only=True)
class DeletionReport(Record):
    """What a deletion did: the digests that are gone, and those that ECR refused to delete, with its reasons."""

    repository: str
    deleted: tuple[str, ...]
    failures: tuple[ImageFailure, ...] = ()


def plan_deletion(repository: str, images: Iterable[Image], *, protect: Iterable[str] = ()) -> DeletionPlan:
    """Return a plan to delete the images; nothing is called.

    Args:
        repository: its name.
        images: as they were read just now.
        protect: digests and tags in use.

    Raises:
        PlanRefused: an image is protected, by its digest or one of its tags; `conflicts` names each.
        InvalidInput: an image belongs to another repository.

    Example:
        >>> import datetime as dt
        >>> image = Image(digest="sha256:" + "a" * 64, pushed_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC), tags=("v1",))
        >>> str(plan_deletion("team/app", [image]))
        'delete 1 images of team/app'
    """
    chosen = tuple({image.digest: image for image in images}.values())
    strangers = sorted({image.repository for image in chosen if image.repository not in ("", repository)})
    if strangers:
        raise InvalidInput.single("no deletion plan", "images", f"belong to {strangers[:5]}, not to {repository}")
    kept = frozenset(protect)
    conflicts = [str(image) for image in chosen if image.digest in kept or kept.intersection(image.tags)]
    if conflicts:
        raise PlanRefused(
            f"the plan would delete {len(conflicts)} protected images of {repository}: {', '.join(conflicts[:10])}",
            conflicts=conflicts,
        )
    return DeletionPlan(repository=repository, images=chosen)


class EcrDeletion(EcrImages):
    """The deletion of images."""

    @needs("ecr:BatchDeleteImage", "ecr:DescribeImages")
    def delete_images(self, plan: DeletionPlan, *, on_progress: OnProgress | None = None) -> DeletionReport:
        """Delete the images of a plan, with all their tags, and report each that ECR refused.

        The repository is read again first: one call for each 1000 images, then one for each 100 that go. Indexes go
        before their children, since ECR refuses to delete an image that an index still references.

        Raises:
            PlanOutdated: an image of the plan is gone, was retagged, pulled or moved since. Nothing was deleted.
        """
        now = {image.digest: image for image in self.images(plan.repository)}
        if changes := plan.changes(now):
            shown = "; ".join(changes[:5])
            raise PlanOutdated(f"{plan.repository} has changed since the plan was made: {shown}", changes=changes)
        deleted: list[str] = []
        failures: list[ImageFailure] = []
        indexes = [image.digest for image in plan.images if image.is_index]
        for waiting in (indexes, [image.digest for image in plan.images if not image.is_index]):
            # An index in an index is refused until its parent is gone, so a round that got somewhere earns another.
            while waiting:
                gone, refused = self._delete(plan, waiting, len(deleted), on_progress)
                deleted += gone
                again = [f.digest for f in refused if f.code == _REFERENCED and f.digest] if gone else []
                failures += [f for f in refused if f.digest not in again]
                waiting = again
        return DeletionReport(repository=plan.repository, deleted=tuple(deleted), failures=tuple(failures))

    def _delete(
        self, plan: DeletionPlan, digests: list[str], before: int, on_progress: OnProgress | None
    ) -> tuple[list[str], list[ImageFailure]]:
        gone: list[str] = []
        refused: list[ImageFailure] = []
        for batch in batches(digests):
            answer = self._call("BatchDeleteImage", repositoryName=plan.repository, imageIds=digest_ids(batch))
            # One entry comes back for each tag.
            found = {i["imageDigest"]: None for i in answer.get("imageIds") or () if "imageDigest" in i}
            failed = failures_of(answer)
            gone += found
            refused += failed
            known = set(found) | {f.digest for f in failed}
            refused += [
                ImageFailure(digest=d, code="NotAnswered", reason="ECR answered nothing on it")
                for d in batch
                if d not in known
            ]
            if on_progress is not None:
                on_progress(Progress(done=before + len(gone), total=len(plan.images), what="images deleted"))
        return gone, refused
