"""Manifests kept by digest for ever, in a folder: what hashes to a digest never changes."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO, Final

from ecrkit.errors import InvalidManifest
from ecrkit.images.manifest import MAX_MANIFEST_BYTES, Manifest
from ecrkit.records import RawManifest
from ecrkit.snapshot.files import replace

__all__ = ["ManifestCache"]

_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")


class ManifestCache:
    """A folder of manifests, shared by snapshots, registries and processes.

    A file holds the media type in its first line and then the exact text. What does not hash to its name is as good
    as absent, so a damaged folder costs calls and never a wrong answer.

    Example:
        >>> import tempfile
        >>> digest = "sha256:" + hashlib.sha256(b"{}").hexdigest()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache = ManifestCache(folder)
        ...     cache.put(RawManifest(digest=digest, media_type="application/json", text="{}"))
        ...     cache.get(digest).media_type, cache.get("sha256:" + "0" * 64)
        ('application/json', None)
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = Path(folder)

    def _path(self, digest: str) -> Path | None:
        found = _DIGEST.fullmatch(digest)
        return None if found is None else self._folder / "sha256" / found[1][:2] / found[1]

    def get(self, digest: str) -> RawManifest | None:
        """Return the manifest, or None when it is not there or not what its name says."""
        path = self._path(digest)
        if path is None:
            return None
        try:
            with path.open("rb") as source:
                data = source.read(MAX_MANIFEST_BYTES + 1024)
            media, _, text = data.partition(b"\n")
            found = RawManifest(digest=digest, media_type=media.decode("ascii"), text=text.decode("utf-8"))
        except (OSError, UnicodeDecodeError):
            return None
        return found if _matches(found) else None

    def put(self, manifest: RawManifest) -> None:
        """Keep a manifest; one that does not hash to its digest, or cannot be written down, is not kept."""
        path = self._path(manifest.digest)
        if path is None or not manifest.media_type.isascii() or "\n" in manifest.media_type or not _matches(manifest):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        data = f"{manifest.media_type}\n{manifest.text}".encode("utf-8", "surrogatepass")

        def write(target: BinaryIO) -> None:
            target.write(data)

        # Not forced to the disk: what is lost is read again, and what is damaged is not believed.
        replace(path, write, durable=False)


def _matches(manifest: RawManifest) -> bool:
    if "sha256:" + hashlib.sha256(manifest.text.encode("utf-8", "surrogatepass")).hexdigest() == manifest.digest:
        return True
    try:  # a signed manifest of schema 1 has the digest of its payload
        Manifest.parse(manifest.text, media_type=manifest.media_type or None, digest=manifest.digest)
    except InvalidManifest:
        return False
    return True
