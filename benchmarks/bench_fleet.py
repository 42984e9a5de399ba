"""A policy over a whole registry: what the fleet run costs beside merely walking through the records.

Ten rules on 1,000 and on 10,000 repositories of 100 images in memory; then on saved pages of DescribeImages that are
read where the work is done, in one process and in two. Run as `python -m benchmarks.bench_fleet`.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from ecrkit.images import Inventory
from ecrkit.lifecycle import (
    FleetItem,
    LifecyclePolicy,
    build,
    expire_older_than,
    expire_untagged,
    fleet_run,
    keep_last,
    protect,
)

NOW = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
IMAGES = 100
FILES = 20
ROUNDS = 3


def policy() -> LifecyclePolicy:
    return build(
        protect(patterns=["prod", "*-lts"]),
        expire_older_than(30, patterns="*-rc*"),
        keep_last(20, prefixes=["v1.", "v2.", "rel-"]),
        expire_older_than(14, prefixes=["dev-", "pr-", "test-"]),
        expire_untagged(after_days=7),
    )


def details(repository: int, rng: random.Random) -> list[dict[str, object]]:
    found = []
    for n in range(IMAGES):
        tags = [[f"v1.{n}"], [f"dev-{n}", f"sha-{rng.getrandbits(28):07x}"], []][n % 3]
        found.append(
            {
                "imageDigest": f"sha256:{repository:032x}{n:032x}",
                "imageTags": tags,
                "imagePushedAt": NOW.timestamp() - rng.random() * 200 * 86400,
                "imageSizeInBytes": 50_000_000,
                "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
                "repositoryName": f"team/app{repository}",
                "registryId": "123456789012",
            }
        )
    return found


def in_memory(repositories: int) -> list[FleetItem]:
    rng = random.Random(7)
    return [
        FleetItem(repository=f"team/app{n}", inventory=Inventory.from_api(details(n, rng))) for n in range(repositories)
    ]


def walk(items: Iterable[FleetItem]) -> int:
    seen = 0
    for item in items:
        for image in item.inventory:
            seen += len(image.tags) + (image.pushed_at is not None) + (image.size or 0 > 0)
    return seen


def saved(folder: Path, repositories: int) -> list[Path]:
    rng = random.Random(7)
    paths = [folder / f"{n}.jsonl" for n in range(FILES)]
    for n, path in enumerate(paths):
        with path.open("w") as file:
            for repository in range(n, repositories, FILES):
                file.write(json.dumps({"imageDetails": details(repository, rng)}) + "\n")
    return paths


def read(path: Path) -> list[FleetItem]:
    with path.open() as file:
        pages = [json.loads(line)["imageDetails"] for line in file]
    return [FleetItem(repository=page[0]["repositoryName"], inventory=Inventory.from_api(page)) for page in pages]


def timed(work: partial[object]) -> float:
    gc.collect()
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def median(work: partial[object]) -> float:
    return statistics.median(timed(work) for _ in range(ROUNDS))


def main() -> None:
    rules = policy()
    print(f"{len(rules)} rules, {IMAGES} images a repository, median of {ROUNDS}")
    took = {}
    for repositories in (1_000, 10_000):
        items = in_memory(repositories)
        gc.freeze()
        walked = median(partial(walk, items))
        took[repositories] = median(partial(fleet_run, rules, items, now=NOW))
        per = took[repositories] / (repositories * IMAGES) * 1e6
        print(
            f"{repositories:>6} repositories: fleet run {took[repositories]:.2f} s, {per:.1f} us an image; "
            f"{took[repositories] / walked:.0f} times walking through records in memory"
        )
        del items
        gc.unfreeze()
    print(f"ten times the repositories: {took[10_000] / took[1_000]:.1f} times the time")

    with tempfile.TemporaryDirectory() as folder:
        paths = saved(Path(folder), 4_000)
        loaders = [partial(read, path) for path in paths]
        alone = median(partial(lambda: [walk(load()) for load in loaders]))
        one = median(partial(fleet_run, rules, loaders, now=NOW))
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(abs, range(8)))  # both workers are up before the clock runs
            two = median(partial(fleet_run, rules, loaders, now=NOW, executor=pool))
            same = fleet_run(rules, loaders, now=NOW, executor=pool).rows == fleet_run(rules, loaders, now=NOW).rows
    print(f"4,000 repositories from saved pages: fleet run {one / alone:.2f} times reading and walking through them")
    print(f"two processes: {one / two:.2f} times as fast as one, results equal: {same}")


if __name__ == "__main__":
    main()
