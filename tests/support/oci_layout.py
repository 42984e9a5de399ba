"""Real images in OCI layout folders: by umoci, and a two-platform index by tarfile, gzip and hashlib alone."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.support.tools import require_tool

__all__ = ["two_platforms", "umoci_image"]

_IMAGE = "application/vnd.oci.image."


def umoci_image(layout: Path, tag: str, layers: int = 3) -> None:
    """Make an image of several layers with umoci. umoci states no mediaType in its manifests."""
    umoci = require_tool("umoci")

    def run(*words: str) -> None:
        subprocess.run([umoci, *words], check=True, capture_output=True, timeout=60)

    if not (layout / "index.json").exists():
        run("init", "--layout", str(layout))
    image = f"{layout}:{tag}"
    run("new", "--image", image)
    run("config", "--image", image, "--config.cmd", "/bin/app", "--config.env", "MODE=test")
    for number in range(layers):
        content = layout.parent / f"content-{number}"
        content.write_bytes(hashlib.sha256(str(number).encode()).digest() * 4000 * (number + 1))
        run("insert", "--rootless", "--image", image, str(content), f"/opt/file-{number}")


def _add(layout: Path, data: bytes) -> dict[str, Any]:
    name = hashlib.sha256(data).hexdigest()
    (layout / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    (layout / "blobs" / "sha256" / name).write_bytes(data)
    return {"digest": f"sha256:{name}", "size": len(data)}


def _layer(layout: Path, path: str, content: bytes) -> tuple[dict[str, Any], str]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo(path)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    plain = packed.getvalue()
    blob = _add(layout, gzip.compress(plain, mtime=0))
    return {"mediaType": _IMAGE + "layer.v1.tar+gzip", **blob}, "sha256:" + hashlib.sha256(plain).hexdigest()


def two_platforms(layout: Path, tag: str) -> str:
    """Lay down an index of linux/amd64 and linux/arm64 that share a base layer; return its digest."""
    layout.mkdir(parents=True, exist_ok=True)
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    base, base_id = _layer(layout, "etc/base", b"base" * 1000)
    entries: list[dict[str, Any]] = []
    for architecture in ("amd64", "arm64"):
        own, own_id = _layer(layout, "bin/app", architecture.encode() * 500)
        config = {
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/app"]},
            "rootfs": {"type": "layers", "diff_ids": [base_id, own_id]},
        }  # fmt: skip
        document = {
            "schemaVersion": 2,
            "mediaType": _IMAGE + "manifest.v1+json",
            "config": {"mediaType": _IMAGE + "config.v1+json", **_add(layout, json.dumps(config).encode())},
            "layers": [base, own],
        }
        entry = {"mediaType": _IMAGE + "manifest.v1+json", **_add(layout, json.dumps(document).encode())}
        entries.append({**entry, "platform": {"architecture": architecture, "os": "linux"}})
    index = {"schemaVersion": 2, "mediaType": _IMAGE + "index.v1+json", "manifests": entries}
    found = {"mediaType": _IMAGE + "index.v1+json", **_add(layout, json.dumps(index).encode())}
    top = {"schemaVersion": 2, "manifests": [{**found, "annotations": {"org.opencontainers.image.ref.name": tag}}]}
    (layout / "index.json").write_text(json.dumps(top))
    return str(found["digest"])
