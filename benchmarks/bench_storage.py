"""Stored bytes of many images with twelve layers each, against a bare set over the same digests.

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
    references = sum(map(len, digests))
    print(
        f"{args.images:,} images, {references:,} references to {bare():,} blobs: "
        f"{total}, naively {naive / 2**40:.1f} TiB"
    )
    print(f"bare set over the digests     {sets:6.2f} s")
    print(f"stored_bytes                  {ours:6.2f} s   {ours / sets:.2f} of the bare set")
    print(f"freed_by, {len(going):,} images go     {freed:6.2f} s   {freed / sets:.2f}")
    print(f"the table of sizes, made once {table:6.2f} s   {table / sets:.2f}")


if __name__ == "__main__":
    main()
