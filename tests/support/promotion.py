"""Images to copy, ways to kill a copy at any API call, and a look at whether a tag shows a whole image."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from ecrkit import Registry
from ecrkit.images.manifest import Manifest
from ecrkit.local.images import artifact, filler, image, index, push
from tests.support.shapes import CheckedEngine

SOURCE, TARGET = "dev/app", "prod/app"


def registry(**more: Any) -> Registry:
    """An embedded registry with the two repositories, whose engine checks its own answers."""
    made = Registry.local(CheckedEngine(), **more)
    for name in (SOURCE, TARGET):
        made.gateway.create_repository(name)
    return made


def signed_index(made: Registry, *, layer: int = 8192, tag: str = "v1") -> str:
    """Push an index of two platforms that share a layer, with a signature and the signature's own signature."""
    base = filler(layer, seed="base")
    built = index(image([base, filler(4096, seed=p)], platform=p) for p in ("linux/amd64", "linux/arm64"))
    digest = push(built, made.client, SOURCE, tag)
    signature = artifact(built, "application/vnd.dev.sigstore.bundle.v0.3+json", content=b"signature")
    push(signature, made.client, SOURCE)
    push(artifact(signature, "application/vnd.example.countersignature", content=b"again"), made.client, SOURCE)
    return digest


class Killed(BaseException):
    """The process was killed here."""


class Killer:
    """Counts the API calls of a registry and dies at one of them, before or after it took effect."""

    def __init__(self, made: Registry, at: int | None = None, when: Literal["before", "after"] = "before") -> None:
        self.calls: list[str] = []
        self._at, self._when = at, when
        self._lock = threading.Lock()
        self._events = made.client.meta.events
        self._now = threading.local()

    def _before(self, model: Any, **_: Any) -> None:
        with self._lock:
            number = len(self.calls)
            self.calls.append(model.name)
        self._now.number = number
        # A process that was killed makes no call afterwards either.
        if self._at is not None and (number > self._at or (number == self._at and self._when == "before")):
            raise Killed

    def _after(self, **_: Any) -> None:
        if self._when == "after" and self._now.number == self._at:
            raise Killed

    @contextmanager
    def watching(self) -> Iterator[Killer]:
        self._events.register_first("before-call.ecr", self._before)
        self._events.register_last("after-call.ecr", self._after)
        try:
            yield self
        finally:
            self._events.unregister("before-call.ecr", self._before)
            self._events.unregister("after-call.ecr", self._after)


def holes(made: Registry, repository: str, root: str, *, referrers: int = 0) -> list[str]:
    """Return what is missing or wrong below an image, read from the engine's own state."""
    repo = made.engine.registry().repositories[repository]
    found: list[str] = []
    waiting = [root]
    seen: set[str] = set()
    while waiting:
        digest = waiting.pop()
        if digest in seen:
            continue
        seen.add(digest)
        held = repo.images.get(digest)
        if held is None:
            found.append(f"manifest {digest}")
            continue
        text = held.manifest.text
        if "sha256:" + hashlib.sha256(text.encode()).hexdigest() != digest:
            found.append(f"another text as {digest}")
        manifest = Manifest.parse(text, media_type=held.manifest.media_type)
        waiting += manifest.children
        waiting += [d for d, other in repo.images.items() if other.manifest.subject == digest]
        for blob in manifest.blobs:
            data = repo.blobs[blob.digest].data if blob.digest in repo.blobs else None
            if data is None or "sha256:" + hashlib.sha256(data).hexdigest() != blob.digest:
                found.append(f"blob {blob.digest}")
    others = sum(1 for d in seen if d in repo.images and repo.images[d].manifest.subject)
    if others < referrers:
        found.append(f"{others} of {referrers} referrers")
    return found
