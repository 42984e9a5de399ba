"""A loopback server that answers every read of a crawl like ECR, from prepared bytes, with a latency.

As a module it is the process that serves: it prints its port, and answers `GET /count` with the
number of requests of each operation since it was last asked.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import threading
import time
from collections import Counter
from contextlib import AbstractContextManager
from typing import Any

from benchmarks.support.served import Handler, Running, serve_forever, started

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

    class Reads(Handler):
        def counted(self) -> object:
            with counting:
                told = dict(seen)
                seen.clear()
            return told

        def reply(self, operation: str, parameters: dict[str, Any]) -> tuple[int, bytes]:
            with counting:
                seen[operation] += 1
            time.sleep(latency)
            return answer(operation, parameters)

    serve_forever(Reads)


def running(*, repositories: int, size: int, latency: float = 0.06) -> AbstractContextManager[Running]:
    """Run the server in another process for the length of a block."""
    return started("benchmarks.support.registry_server", repositories=repositories, size=size, latency=latency)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--repositories", type=int, default=100)
    parser.add_argument("--size", type=int, default=100)
    parser.add_argument("--latency", type=float, default=0.06)
    options = parser.parse_args()
    serve(repositories=options.repositories, size=options.size, latency=options.latency)
