"""A loopback server that answers like ECR and costs almost nothing: prepared pages, a latency, and a token bucket.

As a module it is the process that serves: it prints its port, and answers `GET /count` with the number of requests it
has seen since it was last asked.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.support.served import Handler, Running, serve_forever, started


def page(repository: str, first: int, size: int, token: str | None) -> bytes:
    """Return a DescribeImages answer of full-sized items, as ECR sends them."""
    details = [
        {
            "artifactMediaType": "application/vnd.docker.container.image.v1+json",
            "imageDigest": f"sha256:{first + number:064x}",
            "imageManifestMediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "imagePushedAt": 1767225600.0 + first + number,
            "imageScanFindingsSummary": {
                "findingSeverityCounts": {"CRITICAL": 1, "HIGH": 7, "MEDIUM": 22, "LOW": 9},
                "imageScanCompletedAt": 1767225660.0 + first + number,
                "vulnerabilitySourceUpdatedAt": 1767225000.0,
            },
            "imageScanStatus": {"description": "The scan was completed successfully.", "status": "COMPLETE"},
            "imageSizeInBytes": 123_456_789 + number,
            "imageStatus": "ACTIVE",
            "imageTags": [f"v1.{first + number}", f"build-{first + number}"],
            "lastRecordedPullTime": 1767312000.0 + number,
            "registryId": "123456789012",
            "repositoryName": repository,
        }
        for number in range(size)
    ]
    return json.dumps({"imageDetails": details} | ({"nextToken": token} if token else {})).encode()


class Bucket:
    """A token bucket in real time."""

    def __init__(self, rate: float) -> None:
        self.rate, self.level, self.then, self.lock = rate, rate, time.monotonic(), threading.Lock()

    def take(self) -> bool:
        with self.lock:
            now = time.monotonic()
            self.level, self.then = min(self.rate, self.level + (now - self.then) * self.rate), now
            if self.level < 1:
                return False
            self.level -= 1
            return True


def serve(*, pages: int, size: int, latency: float, rate: float) -> None:
    """Serve until the process is told to end."""
    prepared = [
        page("app", number * size, size, f"p{number + 1}" if number + 1 < pages else None) for number in range(pages)
    ]
    bucket = Bucket(rate) if rate else None
    count = 0
    counting = threading.Lock()

    class Pages(Handler):
        def counted(self) -> object:
            nonlocal count
            with counting:
                seen, count = count, 0
            return seen

        def reply(self, operation: str, parameters: dict[str, Any]) -> tuple[int, bytes]:
            nonlocal count
            with counting:
                count += 1
            granted = bucket is None or bucket.take()
            time.sleep(latency)
            if not granted:
                return 400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}'
            if operation == "DescribeImages":
                return 200, prepared[int((parameters.get("nextToken") or "p0")[1:])]
            return 400, b'{"__type": "InvalidParameterException", "message": "only DescribeImages"}'

    serve_forever(Pages)


def running(
    *, pages: int = 1, size: int = 1000, latency: float = 0.06, rate: float = 0.0
) -> AbstractContextManager[Running]:
    """Run the server in another process for the length of a block."""
    return started("benchmarks.support.page_server", pages=pages, size=size, latency=latency, rate=rate)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.06)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    serve(pages=options.pages, size=options.size, latency=options.latency, rate=options.rate)
