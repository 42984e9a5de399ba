"""Copying images: how fast are layers copied between two registries, against `skopeo copy` between the same two?

Both registries run on this machine in processes of their own: Debian's docker-registry, which keeps its files on disk,
is the source, and the embedded ECR is the target. Prints times and ratios of one run; `--fail-over` makes a ratio
above it a failure. Needs docker-registry and skopeo; without them nothing is measured and that is said.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random

import boto3

from ecrkit import Registry
from ecrkit._internal import base64_bytes
from ecrkit._internal.tables import size, text_table
from ecrkit.aws.oci_source import OciSource
from tests.support.docker_registry import docker_registry

MIB = 1024 * 1024
SERVER = """
import sys, threading
from ecrkit.local import Engine, serve
engine = Engine()
with serve(engine) as server:
    print(server.url, engine.issue_token(region="us-east-1")[0], flush=True)
    sys.stdin.read()
"""


def layout(folder: Path, layers: int, each: int) -> str:
    """Write an OCI layout of an image whose layers cannot be compressed; return its digest."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def add(media_type: str, *pieces: bytes, seed: int = 0, mib: int = 0) -> dict[str, object]:
        random, found, length = Random(seed), hashlib.sha256(), 0
        with (blobs / "new").open("wb") as file:
            for piece in pieces or (random.randbytes(MIB) for _ in range(mib)):
                file.write(piece)
                found.update(piece)
                length += len(piece)
        name = found.hexdigest()
        (blobs / "new").rename(blobs / name)
        return {"mediaType": f"application/vnd.oci.image.{media_type}", "digest": f"sha256:{name}", "size": length}

    held = [add("layer.v1.tar", seed=number, mib=each) for number in range(layers)]
    config = {
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in held]},
    }  # fmt: skip
    named = add("config.v1+json", json.dumps(config).encode())
    document = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": named}
    top = add("manifest.v1+json", json.dumps(document | {"layers": held}).encode())
    entry = top | {"annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return str(top["digest"])


@contextmanager
def embedded() -> Iterator[tuple[str, str]]:
    """Run an embedded ECR in a process of its own; give its URL and a registry password."""
    process = subprocess.Popen([sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url, password = process.stdout.readline().split()
        yield url, password
    finally:
        process.terminate()
        process.wait(timeout=30)


def processor_time() -> float:
    """Return the processor time of this process and of those that it has waited for: copier and target."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def measured(copy: Callable[[str, str], float], host: str, digest: str) -> tuple[float, float]:
    """Return the seconds that a copy takes, and the processor time of copier and target, its start and end included."""
    before = processor_time()
    took = copy(host, digest)
    return took, processor_time() - before


def ours(host: str, digest: str) -> float:
    """Return the seconds that a copy takes with ecrkit."""
    with embedded() as (url, _):
        session = boto3.Session("123456789012", "secret", region_name="us-east-1")
        with (
            Registry.from_session(session, endpoint_url=url) as registry,
            OciSource(host, plain_http=True) as reader,
        ):
            registry.gateway.create_repository("app")
            began = time.perf_counter()
            result = registry.promotion.copy(f"{host}/app:v1", "app:v1", reader=reader)
            took = time.perf_counter() - began
            assert result.digest == digest
            return took


def skopeo(host: str, digest: str) -> float:
    """Return the seconds that the same copy takes with skopeo."""
    with embedded() as (url, password):
        session = boto3.Session("123456789012", "secret", region_name="us-east-1")
        with Registry.from_session(session, endpoint_url=url) as registry:
            registry.gateway.create_repository("app")
            target = url.removeprefix("http://")
            began = time.perf_counter()
            subprocess.run(
                [
                    "skopeo", "--insecure-policy", "copy", "-q", "--preserve-digests", "--src-tls-verify=false",
                    "--dest-tls-verify=false", f"--dest-creds=AWS:{password}", f"docker://{host}/app:v1",
                    f"docker://{target}/app:v1",
                ],
                check=True,
            )  # fmt: skip
            took = time.perf_counter() - began
            assert registry.gateway.digest_of("app", "v1") == digest
            return took


def main() -> int:
    """Measure and print; return 1 when a ratio is above the one given."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=2048, help="of layers in all (2048)")
    parser.add_argument("--layers", type=int, default=8, help="how many they are (8)")
    parser.add_argument("--rounds", type=int, default=2, help="of both, by turns; the best of each counts (2)")
    parser.add_argument("--fail-over", type=float, help="fail when ecrkit takes more than this many times as long")
    options = parser.parse_args()
    missing = [name for name in ("skopeo", "docker-registry") if shutil.which(name) is None]
    if missing:
        print(f"not measured: {', '.join(missing)} not installed")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        digest = layout(Path(folder) / "image", options.layers, options.mib // options.layers)
        with docker_registry(Path(folder)) as host:
            subprocess.run(
                [
                    "skopeo", "--insecure-policy", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false",
                    "--dest-compress=false", f"oci:{folder}/image:v1", f"docker://{host}/app:v1",
                ],
                check=True,
            )  # fmt: skip
            rows, times = [], {}
            runs: dict[str, list[tuple[float, float]]] = {"skopeo copy": [], "promotion.copy": []}
            for _ in range(options.rounds):
                # By turns, and the best of each: what else this machine does hits both alike.
                runs["skopeo copy"].append(measured(skopeo, host, digest))
                runs["promotion.copy"].append(measured(ours, host, digest))
            for name, taken in runs.items():
                took, own = min(taken)
                times[name] = took
                speed = f"{size(int(options.mib * MIB / took))}/s"
                rows.append((name, f"{took:.1f} s", speed, f"{own:.1f} s"))
    decoder = "pybase64" if base64_bytes.accelerated() else "Python's base64"
    print(
        f"{options.mib} MiB in {options.layers} layers, docker-registry to the embedded ECR, parts coded by {decoder}"
    )
    print(text_table(("copied with", "took", "speed", "processor time of copier and target"), rows))
    ratio = times["promotion.copy"] / times["skopeo copy"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"promotion.copy takes {ratio:.2f} times as long as skopeo copy; this process held {size(peak)} at most")
    return 1 if options.fail_over is not None and ratio > options.fail_over else 0


if __name__ == "__main__":
    sys.exit(main())
