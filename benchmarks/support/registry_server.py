"""A loopback server that answers every read of a crawl like ECR, from prepared bytes, with a latency.

It runs in a process of its own. As a module it is that process: it prints its port, and answers `GET /count` with the
number of requests of each operation since it was last asked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TARGET = "AmazonEC2ContainerRegistry_V20150921."
ACCOUNT = "123456789012"
OCI = "application/vnd.oci.image.manifest.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
LAYERS = 8


def sha(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def manifest(number: int) -> str:
    """Return the manifest of an image: some layers that others have too, two of its own."""
    layers = [
        {
            "mediaType": LAYER,
            "digest": sha(f"layer {number // 10 if n < LAYERS - 2 else number} {n}"),
            "size": 10**6 + n,
        }
        for n in range(LAYERS)
    ]
    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha(f"config {number}"), "size": 7000}
    return json.dumps({"schemaVersion": 2, "mediaType": OCI, "config": config, "layers": layers})


def images(count: int) -> tuple[list[dict[str, object]], list[str]]:
    """Return image details and the manifests to go with them; every repository has the same ones."""
    texts = [manifest(number) for number in range(count)]
    details: list[dict[str, object]] = [
        {
            "artifactMediaType": "application/vnd.oci.image.config.v1+json",
            "imageDigest": sha(text),
            "imageManifestMediaType": OCI,
            "imagePushedAt": 1767225600.0 + number,
            "imageScanFindingsSummary": {
                "findingSeverityCounts": {"CRITICAL": 1, "HIGH": 7, "MEDIUM": 22, "LOW": 9},
                "imageScanCompletedAt": 1767225660.0 + number,
                "vulnerabilitySourceUpdatedAt": 1767225000.0,
            },
            "imageScanStatus": {"description": "The scan was completed successfully.", "status": "COMPLETE"},
            "imageSizeInBytes": 123_456_789 + number,
            "imageStatus": "ACTIVE",
            "imageTags": [f"v1.{number}", f"build-{number}"],
            "lastRecordedPullTime": 1767312000.0 + number,
            "registryId": ACCOUNT,
            "repositoryName": "team/app",
        }
        for number, text in enumerate(texts)
    ]
    return details, texts


def repository(number: int) -> dict[str, object]:
    """Return the record of a repository."""
    name = f"team/app-{number:05d}"
    return {
        "repositoryName": name, "repositoryArn": f"arn:aws:ecr:eu-west-1:{ACCOUNT}:repository/{name}",
        "registryId": ACCOUNT, "repositoryUri": f"{ACCOUNT}.dkr.ecr.eu-west-1.amazonaws.com/{name}",
        "createdAt": 1700000000.0, "imageTagMutability": "MUTABLE",
        "imageScanningConfiguration": {"scanOnPush": False}, "encryptionConfiguration": {"encryptionType": "AES256"},
    }  # fmt: skip


def serve(*, repositories: int, size: int, latency: float) -> None:
    """Serve until the process is told to end."""
    details, texts = images(size)
    by_digest = {str(d["imageDigest"]): text for d, text in zip(details, texts, strict=True)}
    policy = json.dumps({"rules": [{"rulePriority": 1}]})

    def page(items: list[dict[str, object]], key: str, asked: dict[str, object], default: int) -> bytes:
        first, count = int(str(asked.get("nextToken") or 0)), int(str(asked.get("maxResults") or default))
        found: dict[str, object] = {key: items[first : first + count]}
        if first + count < len(items):
            found["nextToken"] = str(first + count)
        return json.dumps(found).encode()

    records = [repository(number) for number in range(repositories)]
    pages: dict[tuple[str, str, str], bytes] = {}

    def answer(operation: str, asked: dict[str, object]) -> tuple[int, bytes]:
        if operation == "DescribeRepositories":
            return 200, page(records, "repositories", asked, 100)
        if operation == "DescribeImages":
            about = (operation, str(asked.get("nextToken")), str(asked.get("maxResults")))
            if about not in pages:
                pages[about] = page(details, "imageDetails", asked, 100)
            return 200, pages[about]
        if operation == "BatchGetImage":
            ids = asked["imageIds"]
            assert isinstance(ids, list)
            about = (operation, ids[0]["imageDigest"], str(len(ids)))
            if about not in pages:
                found = [
                    {"registryId": ACCOUNT, "repositoryName": "team/app", "imageId": i, "imageManifestMediaType": OCI,
                     "imageManifest": by_digest[i["imageDigest"]]}
                    for i in ids
                ]  # fmt: skip
                pages[about] = json.dumps({"images": found, "failures": []}).encode()
            return 200, pages[about]
        if operation == "ListTagsForResource":
            return 200, json.dumps({"tags": [{"Key": "Team", "Value": "payments"}]}).encode()
        if operation == "GetLifecyclePolicy":
            return 200, json.dumps({"registryId": ACCOUNT, "lifecyclePolicyText": policy}).encode()
        if operation == "GetRepositoryPolicy":
            return 400, json.dumps({"__type": "RepositoryPolicyNotFoundException", "message": "none"}).encode()
        if operation == "GetRegistryPolicy":
            return 400, json.dumps({"__type": "RegistryPolicyNotFoundException", "message": "none"}).encode()
        return 200, b"{}"

    seen: Counter[str] = Counter()
    counting = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        wbufsize = -1  # headers and body in one packet

        def say(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()

        def do_GET(self) -> None:
            with counting:
                told = json.dumps(seen).encode()
                seen.clear()
            self.say(200, told)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            operation = str(self.headers["X-Amz-Target"]).removeprefix(TARGET)
            with counting:
                seen[operation] += 1
            time.sleep(latency)
            self.say(*answer(operation, asked))

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
    """The server's address, and how many requests of each operation it has seen since it was last asked."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def requests(self) -> dict[str, int]:
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as answered:
            return dict(json.loads(answered.read()))


@contextmanager
def running(*, repositories: int, size: int, latency: float = 0.06) -> Iterator[Running]:
    """Run the server in another process for the length of the block."""
    options = [f"--repositories={repositories}", f"--size={size}", f"--latency={latency}"]
    command = [sys.executable, "-m", "benchmarks.support.registry_server", *options]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield Running(int(process.stdout.readline()))
        finally:
            process.terminate()
            process.wait(10)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repositories", type=int, default=100)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--latency", type=float, default=0.06)
    options = parser.parse_args()
    try:
        serve(repositories=options.repositories, size=options.size, latency=options.latency)
    except KeyboardInterrupt:
        sys.exit(0)
