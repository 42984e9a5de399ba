"""The embedded ECR with scanned images on a loopback port, in a process of its own, each call with a latency.

As a module it is that process: it prints its port and the digests of its images as one line of JSON.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

REPOSITORY = "team/app"


def serve(*, images: int, findings: int, latency: float) -> None:
    """Serve until the process is told to end."""
    from ecrkit.local import Engine
    from ecrkit.local import serve as serve_engine
    from ecrkit.local.scans import finding, inject

    engine = Engine()
    engine.call("CreateRepository", {"repositoryName": REPOSITORY, "imageScanningConfiguration": {"scanOnPush": True}})
    found = [finding(f"CVE-2026-{n}", ("HIGH", "MEDIUM", "LOW")[n % 3], f"lib{n}") for n in range(findings)]
    digests: list[str] = []
    for number in range(images):
        described = []
        for kind, data in (
            ("config.v1+json", json.dumps({"architecture": "amd64", "n": number}).encode()),
            ("layer.v1.tar+gzip", b"base"),
        ):
            digest = "sha256:" + hashlib.sha256(data).hexdigest()
            engine.registry().put_blob(REPOSITORY, digest, data)
            media = f"application/vnd.oci.image.{kind}"
            described.append({"mediaType": media, "digest": digest, "size": len(data)})
        text = json.dumps(
            {
                "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": described[0], "layers": described[1:],
            }
        )  # fmt: skip
        digests.append("sha256:" + hashlib.sha256(text.encode()).hexdigest())
        inject(engine, digests[-1], findings=found)
        engine.call("PutImage", {"repositoryName": REPOSITORY, "imageManifest": text})
    engine.advance(dt.timedelta(minutes=1))
    engine.latency = dt.timedelta(seconds=latency)
    with serve_engine(engine) as server:
        print(json.dumps({"url": server.url, "digests": digests}), flush=True)
        sys.stdin.read()


@attrs.frozen
class Running:
    """The server's address, and the digests of its images."""

    url: str
    digests: tuple[str, ...]


@contextmanager
def running(*, images: int = 1000, findings: int = 20, latency: float = 0.06) -> Iterator[Running]:
    """Run the server in another process for the length of the block."""
    options = [
        f"--{name}={value}" for name, value in (("images", images), ("findings", findings), ("latency", latency))
    ]
    command = [sys.executable, "-m", "benchmarks.support.scan_server", *options]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            told = json.loads(process.stdout.readline())
            yield Running(told["url"], tuple(told["digests"]))
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--findings", type=int, default=20)
    parser.add_argument("--latency", type=float, default=0.06)
    serve(**vars(parser.parse_args()))
