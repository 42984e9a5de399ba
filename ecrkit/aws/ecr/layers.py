"""Layers: which are there, where to download one, uploading one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ecrkit.aws.ecr.base import EcrCalls, batches
from ecrkit.aws.iam import needs
from ecrkit.aws.workers import run_many
from ecrkit.errors import Conflict
from ecrkit.records import LayerState

__all__ = ["EcrLayers"]

_PART: Final = 20 * 1024 * 1024


class EcrLayers(EcrCalls):
    """The layer operations of ECR."""

    @needs("ecr:BatchCheckLayerAvailability")
    def layers(self, repository: str, digests: Iterable[str]) -> dict[str, LayerState]:
        """Return by digest whether the repository has each layer, 100 a call.

        A digest that ECR failed to check has the failure's code as its availability, and is not UNAVAILABLE.

        Raises:
            NotFound: no such repository.
        """

        def check(batch: list[str]) -> list[LayerState]:
            answer = self._call("BatchCheckLayerAvailability", repositoryName=repository, layerDigests=batch)
            return [
                LayerState(
                    digest=raw["layerDigest"],
                    availability=raw.get("layerAvailability") or "",
                    size=raw.get("layerSize"),
                    media_type=raw.get("mediaType"),
                )
                for raw in answer.get("layers") or ()
            ] + [
                LayerState(digest=raw["layerDigest"], availability=raw.get("failureCode") or "")
                for raw in answer.get("failures") or ()
                if "layerDigest" in raw
            ]

        asked = batches(dict.fromkeys(digests))
        checked = run_many(check, asked, workers=self._workers, ordered=True)
        return {state.digest: state for _, states in checked for state in states}

    @needs("ecr:GetDownloadUrlForLayer")
    def layer_url(self, repository: str, digest: str) -> str:
        """Return a URL that gives the layer's bytes to whoever holds it, for a short time: treat it as a secret.

        Raises:
            NotFound: no such repository or layer.
        """
        answer = self._call(
            "GetDownloadUrlForLayer", repositoryName=repository, layerDigest=digest, resource=f"{repository}@{digest}"
        )
        return str(answer["downloadUrl"])

    @needs("ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:UploadLayerPart")
    def upload_layer(self, repository: str, chunks: Iterable[bytes], *, digest: str) -> None:
        """Upload a layer's bytes in parts of the size that ECR asks for; memory holds one part.

        A layer that the repository has already is no error.

        Raises:
            NotFound: no such repository.
            Rejected: the bytes do not hash to `digest`, or there are none.
        """
        begun = self._call("InitiateLayerUpload", repositoryName=repository)
        upload, size, first = begun["uploadId"], begun.get("partSize") or _PART, 0
        about = f"{repository}@{digest}"
        for part in _parts(chunks, min(size, _PART)):
            self._call(
                "UploadLayerPart",
                resource=about,
                repositoryName=repository,
                uploadId=upload,
                partFirstByte=first,
                partLastByte=first + len(part) - 1,
                layerPartBlob=part,
            )
            first += len(part)
        try:
            self._call(
                "CompleteLayerUpload",
                resource=about,
                repositoryName=repository,
                uploadId=upload,
                layerDigests=[digest],
            )
        except Conflict as fault:
            if fault.code != "LayerAlreadyExistsException":
                raise


def _parts(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
