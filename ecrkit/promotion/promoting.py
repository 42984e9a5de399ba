"""Promotions carried out: gates asked, images copied, who and why written down, and tags taken back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from ecrkit.errors import NotFound, PlanOutdated, PlanRefused
from ecrkit.images.manifest import EMPTY_CONFIG
from ecrkit.ports import Clock
from ecrkit.promotion.blobs import BlobMove, Mover
from ecrkit.promotion.graph import Piece
from ecrkit.promotion.model import PromotionRecord, RollbackPlan
from ecrkit.promotion.sources import Source, Target
from ecrkit.promotion.tagging import put_piece
from ecrkit.records import LayerState, RawManifest, Referrer
from ecrkit.refs import ImageRef

__all__ = ["RECORD_TYPE", "plan_rollback", "records_of", "write_record"]

RECORD_TYPE: Final = "application/vnd.ecrkit.promotion.v1+json"
"""The artifact type of promotion records."""
_MANIFEST: Final = "application/vnd.oci.image.manifest.v1+json"
_EMPTY: Final = "application/vnd.oci.empty.v1+json"


@attrs.frozen
class _Held:
    """A source of one small blob, so that it is uploaded like any other."""

    data: bytes

    def digest_of(self, repository: str, tag: str) -> str | None:  # noqa: ARG002 a source's signature
        return None

    def manifests(self, repository: str, digests: Iterable[str]) -> dict[str, RawManifest]:  # noqa: ARG002
        return {}

    def referrers(self, repository: str, digest: str) -> list[Referrer]:  # noqa: ARG002
        return []

    def layers(self, repository: str, digests: Iterable[str]) -> dict[str, LayerState]:  # noqa: ARG002
        return {}

    def read_layer(self, repository: str, digest: str, *, start: int = 0) -> list[bytes]:  # noqa: ARG002
        return [self.data[start:]]


def write_record(
    record: PromotionRecord, target: Target, repository: str, *, subject: RawManifest, clock: Clock
) -> PromotionRecord:
    """Write the record next to the image, as an OCI 1.1 artifact whose subject it is; return it with its digest.

    Its config and its only layer are the empty blob `{}`, and all facts are annotations: ListImageReferrers gives
    them without a download. Calls: BatchCheckLayerAvailability and PutImage, and three more for the first record.
    """
    state = target.layers(repository, [EMPTY_CONFIG]).get(EMPTY_CONFIG)
    if state is None or state.availability not in ("AVAILABLE", "ARCHIVED"):
        Mover(clock=clock, advance=lambda _: None, uploads={}).move(
            BlobMove(
                digest=EMPTY_CONFIG, size=2, source=_Held(b"{}"), source_repository=repository, target=target,
                target_repository=repository, key="record",
            )
        )  # fmt: skip
    empty = {"mediaType": _EMPTY, "digest": EMPTY_CONFIG, "size": 2}
    text = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": RECORD_TYPE,
            "config": empty,
            "layers": [empty],
            "subject": {
                "mediaType": subject.media_type,
                "digest": subject.digest,
                "size": len(subject.text.encode("utf-8", "surrogatepass")),
            },
            "annotations": record.annotations(),
        },
        separators=(",", ":"),
    )
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    put_piece(
        target, repository, Piece(digest=digest, media_type=_MANIFEST, role="referrer", length=len(text), text=text)
    )
    return attrs.evolve(record, recorded=digest)


def records_of(source: Source, repository: str, digest: str) -> tuple[PromotionRecord, ...]:
    """Return the records that are kept next to an image, oldest first. A referrer that is none is left out."""
    found = [
        record
        for referrer in source.referrers(repository, digest)
        if referrer.artifact_type == RECORD_TYPE
        and (record := PromotionRecord.from_annotations(referrer.annotations, recorded=referrer.digest)) is not None
        and record.digest == digest
    ]
    return tuple(sorted(found, key=lambda record: (record.at, record.recorded or "")))


def plan_rollback(record: PromotionRecord, reach: Callable[[ImageRef], Target]) -> RollbackPlan:
    """Return what taking a promotion back would do.

    Raises:
        PlanRefused: the promotion moved no tag.
        PlanOutdated: the tag names something else than was promoted.
    """
    ref = ImageRef.parse(record.target)
    target, repository = reach(ref), str(ref.repository)
    if record.tag is None or record.former is None:
        raise PlanRefused(f"{record.target} named nothing before; there is nothing to go back to")
    now = target.digest_of(repository, record.tag)
    if now not in (record.digest, record.former):
        change = f"{record.target} names {now or 'nothing'} now, not {record.digest}"
        raise PlanOutdated(f"not rolled back: {change}", changes=[change])
    obstacles: list[str] = []
    found = target.images_found(repository, [record.former]).get(record.former)
    if found is None:
        obstacles.append(f"the repository has {record.former} no more")
    elif found.status != "ACTIVE":
        obstacles.append(f"{record.former} is {found.status}, and cannot be pulled")
    kept = target.repository(repository)
    if now != record.former and kept.tag_is_immutable(record.tag):
        obstacles.append(
            f"the repository is {kept.tag_mutability}, so that {record.tag} cannot move; deploy {record.former} by its "
            "digest"
        )
    return RollbackPlan(
        target=record.target, tag=record.tag, digest=record.digest, to=record.former, obstacles=obstacles
    )


def read_manifest(source: Source, repository: str, digest: str) -> RawManifest:
    """Return the manifest of an image.

    Raises:
        NotFound: it cannot be read.
    """
    found = source.manifests(repository, [digest]).get(digest)
    if found is None:
        raise NotFound(
            f"{repository} has no image {digest} that can be read",
            operation="BatchGetImage", code="ImageNotFound", resource=f"{repository}@{digest}",
        )  # fmt: skip
    return found
