"""What stands inside the images of a registry: their configs, fetched like the layers that they are."""

from __future__ import annotations

from collections.abc import Iterable

from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.workers import run_many
from ecrkit.errors import AwsCallFailed, InvalidInput, InvalidReference, NotFound, Rejected
from ecrkit.images.config import MAX_CONFIG_BYTES, ImageConfig
from ecrkit.images.descriptor import Descriptor, Platform
from ecrkit.images.inventory import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.records import ImageFailure
from ecrkit.refs import ImageRef

__all__ = ["image_config", "image_configs"]

_MISSING = frozenset({"ImageNotFound", "ImageTagDoesNotMatchDigest"})


def image_config(gateway: EcrGateway, ref: ImageRef | str, platform: str | None = None) -> ImageConfig:
    """Return the config of an image, or of the child of an index for a platform; see `Registry.image_config`."""
    parsed = ref if isinstance(ref, ImageRef) else ImageRef.parse(ref)
    name = str(parsed.digest or parsed.tag or "")
    if not name:
        raise InvalidReference.single("no image", str(parsed), "name a tag or a digest")
    repository = str(parsed.repository)
    manifest = _manifest(gateway, repository, name)
    seen: set[str] = set()
    while manifest.is_index and manifest.digest not in seen:
        seen.add(manifest.digest)
        manifest = _manifest(gateway, repository, _child(manifest, platform).digest)
    if manifest.config is None:
        raise InvalidInput.single("no config", str(parsed), "the image has none, as in Docker schema 1")
    return _read(gateway, repository, manifest.config)


def _manifest(gateway: EcrGateway, repository: str, name: str) -> Manifest:
    found = gateway.manifest_of(repository, name)
    if isinstance(found, ImageFailure):
        kind = NotFound if found.code in _MISSING else Rejected
        raise kind(
            f"{repository}: {name}: {found.code} {found.reason}".strip(), operation="BatchGetImage", code=found.code,
            resource=f"{repository}:{name}",
        )  # fmt: skip
    return Manifest.parse(found.text, media_type=found.media_type or None, digest=found.digest)


def _child(index: Manifest, platform: str | None) -> Descriptor:
    choices = index.platforms
    if platform is not None:
        wanted = Platform.parse(platform).normalized
        # A nested index may hold the platform without saying so.
        choices = tuple(c for c in choices if c.platform is None or c.platform.normalized == wanted)
    if len(choices) == 1:
        return choices[0]
    told = ", ".join(str(c.platform or c.digest[:19]) for c in index.platforms) or "none that a node could run"
    problem = "has no such child" if platform is not None and not choices else "needs one platform"
    raise InvalidInput.single("no config", "platform", f"{problem}; the index has {told}")


def _read(gateway: EcrGateway, repository: str, config: Descriptor) -> ImageConfig:
    data = bytearray()
    for piece in gateway.download_layer(repository, config.digest):
        data += piece
        if len(data) > MAX_CONFIG_BYTES:
            raise InvalidInput.single("no config", config.digest, f"is longer than {MAX_CONFIG_BYTES} bytes")
    return ImageConfig.parse(bytes(data), digest=config.digest)


def image_configs(
    gateway: EcrGateway, inventory: Inventory, digests: Iterable[str] | None = None, *, workers: int = 8
) -> dict[str, ImageConfig]:
    """Return the configs of many images of a repository by the config's digest; see `Registry.image_configs`."""
    repository = inventory.repository
    if not repository:
        raise InvalidInput.single("no configs", "inventory", "names no repository; make it with repository=")
    chosen = inventory.manifests if digests is None else dict.fromkeys(digests)
    wanted: dict[str, Descriptor] = {}
    for digest in chosen:
        manifest = inventory.manifests.get(digest)
        if manifest is not None and manifest.config is not None and manifest.kind == "image":
            wanted[manifest.config.digest] = manifest.config

    def read(config: Descriptor) -> ImageConfig | None:
        try:
            return _read(gateway, repository, config)
        except (AwsCallFailed, InvalidInput):
            return None

    found = run_many(read, wanted.values(), workers=workers, ordered=True)
    return {config.digest: parsed for config, parsed in found if parsed is not None}
