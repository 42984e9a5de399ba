"""A loopback server that answers like ECR and costs almost nothing: prepared pages, a latency, and a token bucket.

It runs in a process of its own, so that it does not share the interpreter lock with what is measured. As a module it
is that process: it prints its port, and answers `GET /count` with the number of requests it has seen.
"""

from __future__ import annotations

import argparse
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TARGET = "AmazonEC2ContainerRegistry_V20150921."


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

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # headers and body in one packet

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def do_GET(self) -> None:
            nonlocal count
            with counting:
                seen, count = count, 0
            self.answer(200, str(seen).encode())

        def do_POST(self) -> None:
            nonlocal count
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with counting:
                count += 1
            granted = bucket is None or bucket.take()
            time.sleep(latency)
            if not granted:
                self.answer(400, b'{"__type": "ThrottlingException", "message": "Rate exceeded"}')
            elif self.headers["X-Amz-Target"] == TARGET + "DescribeImages":
                self.answer(200, prepared[int((asked.get("nextToken") or "p0")[1:])])
            else:
                self.answer(400, b'{"__type": "InvalidParameterException", "message": "only DescribeImages"}')

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    print(server.server_address[1], flush=True)
    server.serve_forever()


class Running:
    """The server's address, and how many requests it has seen since it was last asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def requests(self) -> int:
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as answer:
            return int(answer.read())


@contextmanager
def running(*, pages: int = 1, size: int = 1000, latency: float = 0.06, rate: float = 0.0) -> Iterator[Running]:
    """Run the server in another process for the length of the block."""
    options = [
        f"--{name}={value}" for name, value in (("pages", pages), ("size", size), ("latency", latency), ("rate", rate))
    ]
    command = [sys.executable, "-m", "benchmarks.support.page_server", *options]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Running(int(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pages", type=int, default=1)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--latency", type=float, default=0.06)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args()
    try:
        serve(pages=options.pages, size=options.size, latency=options.latency, rate=options.rate)
    except KeyboardInterrupt:
        sys.exit(0)
