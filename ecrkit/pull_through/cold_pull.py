"""What the first pull of an image costs: bytes from the upstream and into the node, and calls; in plain numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import size
from ecrkit.errors import InvalidInput
from ecrkit.images.descriptor import Descriptor, Platform
from ecrkit.images.manifest import Manifest

__all__ = ["ColdPull", "cold_pull"]


@attrs.frozen(kw_only=True)
class ColdPull(Record):
    """The numbers of one cold pull, of one platform.

    `from_upstream` are the bytes that ECR fetches when nothing is cached; `to_node` those that the node then gets, both
    compressed, with configuration and manifests. `upstream_requests` count against the upstream's limits.
    `ecr_calls` are the node's, by name. A size that a manifest does not tell is named in `unknown`, and both byte
    counts are then lower bounds.
    """

    platform: str | None
    from_upstream: int
    to_node: int
    layers: int
    upstream_requests: int
    ecr_calls: Mapping[str, int] = attrs.field(hash=False)
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return the numbers in words."""
        calls = ", ".join(f"{count} {name}" for name, count in self.ecr_calls.items())
        more = "at least " if self.unknown else ""
        fetched = f"{more}{size(self.from_upstream)} from the upstream in {self.upstream_requests} requests"
        return "\n".join([f"{fetched}, {more}{size(self.to_node)} to the node ({calls})", *self.notes])


def cold_pull(
    manifests: Mapping[str, Manifest],
    digest: str,
    *,
    platform: Platform | str = "linux/amd64",
    cached: Iterable[str] = (),
) -> ColdPull:
    """Return what pulling an image costs that is not cached, or whose blobs `cached` are.

    Args:
        manifests: by digest: that of the image, and of an index the one of the platform too.
        digest: what is pulled.
        platform: which image of an index.
        cached: digests of blobs that the repository has already.

    Raises:
        InvalidInput: a manifest that is needed is not there, or the index has no such platform.

    Example:
        >>> text = '''{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        ...   "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 1000,
        ...     "digest": "sha256:''' + "c" * 64 + '''"},
        ...   "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 5000000,
        ...     "digest": "sha256:''' + "d" * 64 + '''"}]}'''
        >>> manifest = Manifest.parse(text)
        >>> cost = cold_pull({manifest.digest: manifest}, manifest.digest)
        >>> cost.to_node - manifest.length, cost.upstream_requests, dict(cost.ecr_calls)
        (5001000, 3, {'GetAuthorizationToken': 1, 'BatchGetImage': 1, 'GetDownloadUrlForLayer': 2})
    """
    first = _manifest(manifests, digest)
    chain, chosen = [first], None
    if first.is_index:
        wanted = platform if isinstance(platform, Platform) else Platform.parse(platform)
        entry = _entry(first, wanted)
        chosen = str(entry.platform)
        chain.append(_manifest(manifests, entry.digest))
    image = chain[-1]
    config = () if image.config is None else (image.config,)
    blobs = {blob.digest: blob for blob in (*config, *image.layers) if not blob.stored_elsewhere}
    missing = [blob for name, blob in blobs.items() if name not in set(cached)]
    text = sum(m.length for m in chain)
    elsewhere = sum(layer.stored_elsewhere for layer in image.layers)
    notes = [
        "The first pull through PrivateLink needs a way to the Internet for ECR's fetch: a NAT gateway or the like.",
        "Bytes to a node in the same Region cost nothing by the S3 gateway endpoint, and NAT processing without it.",
    ]
    if elsewhere:
        notes.append(f"{elsewhere} layers lie elsewhere and are fetched from there by the node itself.")
    return ColdPull(
        platform=chosen,
        from_upstream=text + sum(blob.size or 0 for blob in missing),
        to_node=text + sum(blob.size or 0 for blob in blobs.values()),
        layers=len({layer.digest for layer in image.layers}),
        upstream_requests=len(chain) + len(missing),
        ecr_calls={"GetAuthorizationToken": 1, "BatchGetImage": len(chain), "GetDownloadUrlForLayer": len(blobs)},
        unknown=tuple(name for name, blob in blobs.items() if blob.size is None),
        notes=tuple(notes),
    )


def _manifest(manifests: Mapping[str, Manifest], digest: str) -> Manifest:
    found = manifests.get(digest)
    if found is None:
        raise InvalidInput.single("no cost of a pull", digest, "its manifest is needed")
    return found


def _entry(index: Manifest, wanted: Platform) -> Descriptor:
    there = [entry for entry in index.manifests if entry.platform is not None and not entry.is_attestation]
    found = next((e for e in there if e.platform is not None and e.platform.normalized == wanted.normalized), None)
    if found is None:
        names = ", ".join(str(e.platform) for e in there)
        raise InvalidInput.single("no cost of a pull", str(wanted), f"the index has no such platform: {names}")
    return found
