"""A snapshot against a plain boto3 script that reads the same, and loading a saved one against crawling again.

The script is what one writes first: boto3's paginators and one loop, with its defaults. It is timed on some of the
repositories, since its time grows evenly with them. Then what a million images take in memory. The last line is JSON.

Run as `python -m benchmarks.bench_snapshot [--repositories 1000] [--size 100] [--script 100] [--images 1000000]`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.support.registry_server import ACCOUNT, LAYERS, manifest, running, sha
from ecrkit._internal.tables import size as for_people
from ecrkit._internal.tables import text_table
from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.aws.workers import Workers
from ecrkit.snapshot import Snapshot, load, read_repositories, take

WORKERS = 8
REQUIRED = 4.0
MEMORY = 1.2 * 10**9


def script(url: str, limit: int) -> dict[str, Any]:
    """Read everything of the first repositories with plain boto3."""
    ecr = offline_session("eu-west-1").client("ecr", endpoint_url=url)
    found: dict[str, Any] = {}
    for page in ecr.get_paginator("describe_repositories").paginate():
        for repository in page["repositories"]:
            if len(found) == limit:
                return found
            name = repository["repositoryName"]
            images: list[dict[str, Any]] = []
            for answer in ecr.get_paginator("describe_images").paginate(
                repositoryName=name, filter={"imageStatus": "ANY"}
            ):
                images += answer["imageDetails"]
            manifests: list[str] = []
            for first in range(0, len(images), 100):
                ids = [{"imageDigest": image["imageDigest"]} for image in images[first : first + 100]]
                answered = ecr.batch_get_image(repositoryName=name, imageIds=ids, acceptedMediaTypes=[MEDIA])
                manifests += [image["imageManifest"] for image in answered["images"]]
            tags = ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"]
            try:
                lifecycle = ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]
            except ecr.exceptions.LifecyclePolicyNotFoundException:
                lifecycle = None
            try:
                policy = ecr.get_repository_policy(repositoryName=name)["policyText"]
            except ecr.exceptions.RepositoryPolicyNotFoundException:
                policy = None
            found[name] = (repository, images, manifests, tags, lifecycle, policy)
    return found


MEDIA = "application/vnd.oci.image.manifest.v1+json"


def crawl(url: str, resume: Path) -> Snapshot:
    """Take the snapshot as `Registry.snapshot` does."""
    session = AwsSession(offline_session("eu-west-1"), endpoint_url=url, workers=WORKERS)
    gateway = EcrGateway(session.caller("ecr"), workers=WORKERS)
    try:
        return take(
            gateway, clock=session.clock, fan_out=Workers(WORKERS), account=ACCOUNT, region="eu-west-1",
            settings=False, resume=resume, workers=WORKERS,
        )  # fmt: skip
    finally:
        session.close()


def write_large(path: Path, images: int) -> None:
    """Write a snapshot of repositories with 1,000 images each, lazily."""
    import datetime as dt

    from ecrkit.records import Image, RawManifest, Repository
    from ecrkit.snapshot import RepositorySnapshot

    at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    def entry(number: int) -> RepositorySnapshot:
        name = f"team/app-{number:05d}"
        texts = [manifest(number * 1000 + n) for n in range(1000)]
        raws = [RawManifest(digest=sha(text), media_type=MEDIA, text=text) for text in texts]
        found = [
            Image(digest=raw.digest, pushed_at=at, tags=(f"v{n}", f"build-{n}"), size=123_456_789 + n,
                  manifest_media_type=MEDIA, repository=name, registry_id=ACCOUNT, last_pulled_at=at)
            for n, raw in enumerate(raws)
        ]  # fmt: skip
        record = Repository(name=name, arn=f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/{name}", registry_id=ACCOUNT,
                            uri="", created_at=at)  # fmt: skip
        return RepositorySnapshot(
            repository=record, read_at=at, read=["images", "manifests"], images=found, manifests=raws
        )

    made = map(entry, range(max(1, images // 1000)))
    Snapshot.of(made, account=ACCOUNT, region="eu-west-1", taken_at=at).save(path)


def peak(work: Any, *arguments: Any) -> tuple[int, float]:
    """Return the most memory in bytes that a process of its own needs for some work, and the seconds it takes."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(measured, (work, arguments))


def measured(work: Any, arguments: tuple[Any, ...]) -> tuple[int, float]:
    """Run the work; return peak memory and seconds."""
    began = time.perf_counter()
    work(*arguments)
    took = time.perf_counter() - began
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the parent held when it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024, took
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, took


def load_and_sum(path: Path) -> int:
    """Load lazily, then look at the images of every repository in turn."""
    return sum(len(entry.images) for entry in load(path).entries())


def load_only(path: Path) -> int:
    """Load lazily."""
    return len(load(path))


def stream(path: Path) -> int:
    """Read one repository at a time."""
    return sum(len(entry.images) for entry in read_repositories(path))


def hold_images(path: Path) -> int:
    """Load and keep every image record, without the manifests."""
    return len([image for entry in load(path).entries() for image in entry.images])


def main() -> None:
    """Print the tables and the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repositories", type=int, default=1000)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--script", type=int, default=100)
    parser.add_argument("--images", type=int, default=1_000_000)
    args = parser.parse_args()
    total = args.repositories * args.size
    figures: dict[str, Any] = {"benchmark": "snapshot", "repositories": args.repositories, "images": total}
    with tempfile.TemporaryDirectory() as folder, running(repositories=args.repositories, size=args.size) as server:
        began = time.perf_counter()
        of_script = len(script(server.url, min(args.script, args.repositories)))
        plain = (time.perf_counter() - began) * args.repositories / of_script
        asked_plain = sum(server.requests().values()) * args.repositories // of_script
        began = time.perf_counter()
        taken = crawl(server.url, Path(folder) / "crawl")
        ours = time.perf_counter() - began
        asked = sum(server.requests().values())
        assert sum(taken.to_columns()["images"]) == total
        assert taken.complete
        path = taken.save(Path(folder) / "saved.jsonl.gz")
        began = time.perf_counter()
        loaded = load(path)
        lazily = time.perf_counter() - began
        began = time.perf_counter()
        assert sum(len(entry.images) for entry in loaded.entries()) == total
        whole = lazily + time.perf_counter() - began
        packed = path.stat().st_size
    rows = [
        (f"plain boto3 (timed on {of_script} repositories)", f"{plain:.1f}", f"{asked_plain}", "1.0"),
        (f"snapshot, {WORKERS} workers", f"{ours:.1f}", f"{asked}", f"{plain / ours:.1f}"),
        ("load, every image read", f"{whole:.1f}", "0", f"{plain / whole:.1f}"),
        ("load, lazily", f"{lazily:.2f}", "0", f"{plain / lazily:.1f}"),
    ]
    print(f"{args.repositories:,} repositories, {total:,} images with manifests of {LAYERS} layers, 60 ms a call")
    print(text_table(("way", "seconds", "calls", "times faster"), rows, right=frozenset({1, 2, 3})))
    print(f"saved: {for_people(packed)}, {packed / total:.0f} bytes an image with its manifest")
    print(f"\nrequired: {REQUIRED} times faster; measured: {plain / ours:.1f}")
    print(f"loading a saved one instead of crawling again: {ours / whole:.0f} times faster\n")
    figures |= {"script": plain, "snapshot": ours, "ratio": plain / ours, "required": REQUIRED, "load": whole}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.jsonl.gz"
        write_large(path, args.images)
        memory = [
            (work.__name__.replace("_", " "), *peak(work, path))
            for work in (load_only, stream, load_and_sum, hold_images)
        ]
        print(f"{args.images:,} images, {for_people(path.stat().st_size)}")
    print(
        text_table(
            ("way", "peak memory", "bytes an image", "seconds"),
            [(n, for_people(p), f"{p / args.images:.0f}", f"{s:.1f}") for n, p, s in memory],
            right=frozenset({1, 2, 3}),
        )
    )
    most = memory[2][1]
    print(f"\nrequired: under {for_people(int(MEMORY))} while every image is looked at; measured: {for_people(most)}")
    figures["memory"] = {name: used for name, used, _ in memory}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
