"""Stored bytes of many images with twelve layers each, against a bare set over the same digests; and what costs ask.

The bare set counts distinct layers and can say nothing about bytes; ecrkit also knows sizes, children, foreign layers
and what is unknown. Ratios of one run, in processor time; nothing here gates a build.

Run as `python -m benchmarks.bench_storage [--images 1000000]`. A million images take about 4 GB.
"""

from __future__ import annotations

import argparse
import datetime as dt
import gc
import random
import time
from collections.abc import Callable

from ecrkit.cost import attribute, by_prefix, image_storage, prices_for, savings, storage, waste
from ecrkit.images import Descriptor, Inventory, Manifest, freed_by, stored_bytes
from ecrkit.records import Image

_OCI = "application/vnd.oci.image.manifest.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_PUSHED = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def inventory(count: int, seed: int = 1) -> Inventory:
    """Return images of nine layers that others have as well and three of their own; about 3.2 distinct ones each."""
    rng = random.Random(seed)

    def digest() -> str:
        return f"sha256:{rng.randbytes(32).hex()}"

    bases = [
        Descriptor(media_type=_LAYER, digest=digest(), size=rng.randrange(1, 10**8)) for _ in range(max(9, count // 5))
    ]
    manifests: dict[str, Manifest] = {}
    images: list[Image] = []
    for _ in range(count):
        at = rng.randrange(len(bases))
        layers = [bases[(at + n) % len(bases)] for n in range(9)]
        layers += [Descriptor(media_type=_LAYER, digest=digest(), size=rng.randrange(1, 10**7)) for _ in range(3)]
        config = Descriptor(media_type=_CONFIG, digest=digest(), size=rng.randrange(2_000, 9_000))
        name = digest()
        manifests[name] = Manifest(digest=name, media_type=_OCI, length=2_400, config=config, layers=tuple(layers))
        images.append(Image(digest=name, pushed_at=_PUSHED, manifest_media_type=_OCI, size=10**8))
    return Inventory(images, manifests=manifests)


def seconds(work: Callable[[], object]) -> float:
    """Return the processor time of one call; wall time would count what else the machine does."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _sixteenth(_: str, image: Image) -> str:
    """Return one of sixteen owners, by the digest: they share layers."""
    return image.digest[7]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    gc.disable()
    whole = inventory(args.images)
    digests = [manifest.blob_digests for manifest in whole.manifests.values()]

    def bare() -> int:
        seen: set[str] = set()
        for names in digests:
            seen.update(names)
        return len(seen)

    gc.freeze()
    # What reading the manifests fills on the way, here for manifests that were made and not read.
    table = seconds(lambda: whole.blobs)
    going = [image.digest for image in whole.images[:: max(2, args.images // 1_000)]]
    total = stored_bytes(whole)
    naive = sum(manifest.content_size or 0 for manifest in whole.manifests.values())
    sets = min(seconds(bare) for _ in range(args.rounds))
    ours = min(seconds(lambda: stored_bytes(whole)) for _ in range(args.rounds))
    freed = min(seconds(lambda: freed_by(whole, going)) for _ in range(args.rounds))
    questions: dict[str, Callable[[], object]] = {
        "cost.storage, a report": lambda: storage(whole),
        "cost.image_storage, each image": lambda: image_storage(whole),
        "cost.waste, all categories": lambda: waste(whole, now=_PUSHED + dt.timedelta(days=200)),
        "cost.attribute, one owner": lambda: attribute(whole, by_prefix()),
        "cost.attribute, sixteen owners": lambda: attribute(whole, _sixteenth),
        "cost.savings, some images go": lambda: savings(
            whole, removed=going, prices=prices_for("us-east-1"), now=_PUSHED
        ),
    }
    references = sum(map(len, digests))
    print(
        f"{args.images:,} images, {references:,} references to {bare():,} blobs: "
        f"{total}, naively {naive / 2**40:.1f} TiB"
    )
    print(f"bare set over the digests     {sets:6.2f} s")
    print(f"stored_bytes                  {ours:6.2f} s   {ours / sets:.2f} of the bare set")
    print(f"freed_by, {len(going):,} images go     {freed:6.2f} s   {freed / sets:.2f}")
    print(f"the table of sizes, made once {table:6.2f} s   {table / sets:.2f}")
    for name, question in questions.items():
        took = seconds(question)
        print(f"{name:30}{took:6.2f} s   {took / sets:.2f}")


if __name__ == "__main__":
    main()
