"""Layers: which are there, where to download one, uploading one."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Final

from ecrkit.aws.downloads import checked
from ecrkit.aws.ecr.base import EcrCalls, batches
from ecrkit.aws.iam import needs
from ecrkit.aws.layer_parts import part_aside
from ecrkit.aws.workers import run_many
from ecrkit.errors import Conflict, Rejected
from ecrkit.records import LayerState, LayerUpload

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

    @needs("ecr:GetDownloadUrlForLayer")
    def download_layer(self, repository: str, digest: str) -> Generator[bytes]:
        """Yield a layer's bytes as they are stored, chunk by chunk; memory holds one chunk.

        They are hashed on the way, and an end without an error means that they are the layer: keep nothing before.
        A download that breaks is not resumed; start it anew.

        Raises:
            NotFound: no such repository or layer.
            Unavailable: the download failed, or the bytes do not hash to `digest`.
        """
        yield from checked(self._fetch(self.layer_url(repository, digest)), digest, resource=f"{repository}@{digest}")

    @needs("ecr:GetDownloadUrlForLayer")
    def read_layer(self, repository: str, digest: str, *, start: int = 0) -> Generator[bytes]:
        """Yield a layer's bytes from `start` on, unchecked: whoever puts the pieces together checks their digest.

        A download that broke goes on this way, with a new URL.

        Raises:
            NotFound: no such repository or layer.
            Unavailable: the download failed.
        """
        url = self.layer_url(repository, digest)
        yield from self._fetch(url, start) if start else self._fetch(url)

    @needs("ecr:InitiateLayerUpload")
    def start_upload(self, repository: str) -> LayerUpload:
        """Begin the upload of a layer; return its identifier and the part size that ECR asks for.

        Raises:
            NotFound: no such repository.
        """
        begun = self._call("InitiateLayerUpload", repositoryName=repository)
        return LayerUpload(upload_id=begun["uploadId"], part_size=begun.get("partSize") or _PART)

    @needs("ecr:UploadLayerPart")
    def upload_part(self, repository: str, upload_id: str, part: bytes, *, first: int) -> int:
        """Upload one part; return how many bytes of the layer ECR holds then, from its first byte on.

        A part that does not begin where ECR's bytes end is not taken, and the answer says where they end: compare it
        with `first + len(part)`, and go on from there. So an upload can be taken up again, and a part whose answer
        got lost is known to be there.

        Raises:
            NotFound: no such repository or upload; an upload does not live for ever.
            Rejected: ECR takes no such part, and does not say where to go on.
        """
        last = first + len(part) - 1
        try:
            with part_aside(self._caller.client, part) as blob:
                answer = self._call(
                    "UploadLayerPart",
                    repositoryName=repository,
                    uploadId=upload_id,
                    partFirstByte=first,
                    partLastByte=last,
                    layerPartBlob=blob,
                )
        except Rejected as fault:
            received = _last_byte(fault)
            if fault.code != "InvalidLayerPartException" or received is None:
                raise
            return received + 1
        received = answer.get("lastByteReceived")
        return (last if received is None else int(received)) + 1

    @needs("ecr:CompleteLayerUpload")
    def complete_upload(self, repository: str, upload_id: str, digest: str) -> None:
        """End an upload. ECR hashes what it received; a layer that the repository has already is no error.

        Raises:
            NotFound: no such repository or upload.
            Rejected: the bytes do not hash to `digest`, there are none, or a part before the last has under 5 MiB.
        """
        try:
            self._call(
                "CompleteLayerUpload",
                resource=f"{repository}@{digest}",
                repositoryName=repository,
                uploadId=upload_id,
                layerDigests=[digest],
            )
        except Conflict as fault:
            if fault.code != "LayerAlreadyExistsException":
                raise

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
            last = first + len(part) - 1
            try:
                self._call(
                    "UploadLayerPart",
                    resource=about,
                    repositoryName=repository,
                    uploadId=upload,
                    partFirstByte=first,
                    partLastByte=last,
                    layerPartBlob=part,
                )
            except Rejected as fault:
                # The answer to a part can get lost, and then its repeat is refused, though the part is there.
                if fault.code != "InvalidLayerPartException" or _last_byte(fault) != last:
                    raise
            first = last + 1
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


def _last_byte(fault: Rejected) -> int | None:
    response: Mapping[str, object] = getattr(fault.__cause__, "response", None) or {}
    found = response.get("lastValidByteReceived")
    return found if isinstance(found, int) else None


def _parts(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
