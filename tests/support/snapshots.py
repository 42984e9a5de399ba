"""Snapshots made without a registry."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from typing import Any

from ecrkit.records import Image, RawManifest, Repository, ScanSummary
from ecrkit.snapshot import PARTS, RepositorySnapshot, Snapshot

OCI = "application/vnd.oci.image.manifest.v1+json"
NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def record(name: str) -> Repository:
    return Repository(
        name=name,
        arn=f"arn:aws:ecr:eu-west-1:123456789012:repository/{name}",
        registry_id="123456789012",
        uri=f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/{name}",
        created_at=NOW - dt.timedelta(days=400),
    )


def manifest(seed: str, *layers: str) -> RawManifest:
    def digest(text: str) -> str:
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    document = {
        "schemaVersion": 2,
        "mediaType": OCI,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest(f"config {seed}"), "size": 7,
        },
        "layers": [
            {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest(layer), "size": 100}
            for layer in ("base", *layers)
        ],
    }  # fmt: skip
    text = json.dumps(document)
    return RawManifest(digest=digest(text), media_type=OCI, text=text)


def image(raw: RawManifest, name: str, *, tags: tuple[str, ...] = (), **more: Any) -> Image:
    values: dict[str, Any] = {
        "digest": raw.digest, "pushed_at": NOW - dt.timedelta(days=3), "tags": tags, "repository": name,
        "registry_id": "123456789012", "size": 207, "manifest_media_type": OCI,
    }  # fmt: skip
    return Image(**(values | more))


def repository(name: str, *, images: int = 2, **more: Any) -> RepositorySnapshot:
    raws = [manifest(f"{name} {n}", f"layer {name} {n}") for n in range(images)]
    scan = ScanSummary(status="COMPLETE", completed_at=NOW, counts={"HIGH": 2})
    values: dict[str, Any] = {
        "repository": record(name), "read_at": NOW, "read": PARTS, "tags": {"Team": "a"},
        "images": [image(raw, name, tags=(f"v{n}",), scan=scan) for n, raw in enumerate(raws)], "manifests": raws,
    }  # fmt: skip
    return RepositorySnapshot(**(values | more))


def snapshot(*entries: RepositorySnapshot, **more: Any) -> Snapshot:
    values: dict[str, Any] = {"account": "123456789012", "region": "eu-west-1", "taken_at": NOW}
    return Snapshot.of(entries, **(values | more))
