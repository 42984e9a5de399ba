"""Manifests and referrers."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit.aws.ecr.base import EcrCalls, batches, digest_ids, image_id
from ecrkit.aws.iam import needs
from ecrkit.aws.workers import run_many
from ecrkit.ports import Listing, OnProgress
from ecrkit.records import ImageFailure, Progress, RawManifest, Referrer

__all__ = ["ACCEPTED_MEDIA_TYPES", "EcrManifests", "Manifests"]

ACCEPTED_MEDIA_TYPES: Final = (
    "application/vnd.docker.distribution.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v1+prettyjws",
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
"""Every manifest kind that ECR stores; asked for always, since ECR may convert what a caller does not accept."""

_REFERRERS_PAGE: Final = 50


@attrs.frozen(eq=False)
class Manifests(Mapping[str, RawManifest]):
    """Manifests by digest; what could not be read is absent, and `failures` says why.

    Example:
        >>> read = Manifests({}, {"sha256:0": ImageFailure(digest="sha256:0", code="ImageNotFound")})
        >>> "sha256:0" in read, read.failures["sha256:0"].code
        (False, 'ImageNotFound')
    """

    _found: Mapping[str, RawManifest]
    failures: Mapping[str, ImageFailure] = attrs.field(factory=dict)

    @override
    def __getitem__(self, digest: str) -> RawManifest:
        return self._found[digest]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    @override
    def __len__(self) -> int:
        return len(self._found)

    @override
    def __repr__(self) -> str:
        return f"<Manifests: {len(self._found)} read, {len(self.failures)} not>"


class EcrManifests(EcrCalls):
    """The manifest operations of ECR."""

    @needs("ecr:BatchGetImage")
    def manifests(self, repository: str, digests: Iterable[str], *, on_progress: OnProgress | None = None) -> Manifests:
        """Return the manifests of the digests, 100 a call, several calls at a time.

        Reading a manifest may count as a pull and refresh `last_pulled_at` (not documented); an exclusion of the
        reading principal from pull time updates avoids that. In a repository of a pull-through cache it may import
        the image, which needs `ecr:BatchImportUpstreamImage` too. A manifest never changes: keep what you read.

        Raises:
            NotFound: no such repository. A missing image is no error, but a failure of the answer.
        """
        found: dict[str, RawManifest] = {}
        failures: dict[str, ImageFailure] = {}
        for read in self.each_manifest(repository, digests, on_progress=on_progress):
            if isinstance(read, RawManifest):
                found[read.digest] = read
            elif read.digest is not None:
                failures[read.digest] = read
        return Manifests(found, failures)

    @needs("ecr:BatchGetImage")
    def each_manifest(
        self,
        repository: str,
        digests: Iterable[str],
        *,
        workers: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Generator[RawManifest | ImageFailure]:
        """Yield the manifest of each digest or the failure to read it, in the order of the digests.

        For more manifests than memory shall hold: only those of a few calls are kept. What `manifests` says about
        pulls holds here too. `workers` is how many calls run at a time, by default what the gateway was opened with.

        Raises:
            NotFound: no such repository.
        """
        asked = list(dict.fromkeys(digests))

        def read(batch: list[str]) -> dict[str, RawManifest | ImageFailure]:
            answer = self._call(
                "BatchGetImage",
                repositoryName=repository,
                imageIds=digest_ids(batch),
                acceptedMediaTypes=list(ACCEPTED_MEDIA_TYPES),
            )
            failed = {failure.digest: failure for failure in failures_of(answer) if failure.digest is not None}
            return failed | {manifest.digest: manifest for manifest in _manifests(answer)}

        done = 0
        reading = run_many(read, batches(asked), workers=workers or self._workers, ordered=True)
        try:
            for batch, answered in reading:
                done += len(batch)
                for digest in batch:
                    yield answered.get(digest) or _not_answered(digest)
                if on_progress is not None:
                    on_progress(Progress(done=done, total=len(asked), what="manifests"))
        finally:
            reading.close()

    @needs("ecr:BatchGetImage")
    def manifest_of(self, repository: str, reference: str) -> RawManifest | ImageFailure:
        """Return the manifest of a tag or digest, or the failure that ECR answered.

        What `manifests` says about pulls holds here too.

        Raises:
            NotFound: no such repository.
        """
        answer = self._call(
            "BatchGetImage",
            repositoryName=repository,
            imageIds=[image_id(reference)],
            acceptedMediaTypes=list(ACCEPTED_MEDIA_TYPES),
        )
        found = _manifests(answer)
        if found:
            return found[0]
        failed = failures_of(answer)
        return failed[0] if failed else _not_answered(None)

    @needs("ecr:BatchGetImage")
    def referrers(
        self,
        repository: str,
        digest: str,
        *,
        artifact_types: Iterable[str] = (),
        status: Literal["ACTIVE", "ARCHIVED", "ACTIVATING", "ANY"] = "ANY",
    ) -> Listing[Referrer]:
        """Return the artifacts whose subject is the image: signatures, SBOMs, attestations.

        Calls: one for each 50. ListImageReferrers has no IAM action of its own. It may read through a pull-through
        cache.

        Raises:
            NotFound: when walked, and there is no such repository.
            NotSupportedByBotocore: the installed botocore does not know ListImageReferrers.
        """
        types = list(artifact_types)
        wanted: dict[str, Any] = {"artifactStatus": status} | ({"artifactTypes": types} if types else {})
        return self._listing(
            "ListImageReferrers",
            lambda answer: [_referrer(raw) for raw in answer.get("referrers") or ()],
            resource=f"{repository}@{digest}",
            repositoryName=repository,
            subjectId={"imageDigest": digest},
            filter=wanted,
            maxResults=_REFERRERS_PAGE,
        )


def _not_answered(digest: str | None) -> ImageFailure:
    return ImageFailure(digest=digest, code="NotAnswered", reason="ECR answered nothing on it")


def _manifests(answer: Mapping[str, Any]) -> list[RawManifest]:
    found = []
    for raw in answer.get("images") or ():
        digest, text = (raw.get("imageId") or {}).get("imageDigest"), raw.get("imageManifest")
        if digest and text is not None:
            found.append(RawManifest(digest=digest, media_type=raw.get("imageManifestMediaType") or "", text=text))
    return found


def failures_of(answer: Mapping[str, Any]) -> list[ImageFailure]:
    """Return the failures of a batch answer."""
    return [
        ImageFailure(
            digest=(raw.get("imageId") or {}).get("imageDigest"),
            tag=(raw.get("imageId") or {}).get("imageTag"),
            code=raw.get("failureCode") or "",
            reason=raw.get("failureReason") or "",
        )
        for raw in answer.get("failures") or ()
    ]


def _referrer(raw: Mapping[str, Any]) -> Referrer:
    return Referrer(
        digest=raw["digest"],
        media_type=raw["mediaType"],
        size=raw["size"],
        artifact_type=raw.get("artifactType"),
        annotations=dict(raw.get("annotations") or {}),
        status=raw.get("artifactStatus") or "ACTIVE",
    )
