"""Memory holds some parts of a layer, however large the layer is."""

from __future__ import annotations

import hashlib
import tracemalloc

import attrs

from ecrkit.local.clock import ManualClock
from ecrkit.promotion.blobs import BlobMove, Mover
from ecrkit.records import LayerUpload

MIB = 1024 * 1024


@attrs.define
class Endless:
    """A source and a target of one large layer, neither of which keeps it."""

    size: int
    received: int = 0
    completed: str | None = None

    def read_layer(self, repository, digest, *, start=0):
        for _ in range(start, self.size, MIB):
            yield bytes(MIB)

    def start_upload(self, repository):
        return LayerUpload(upload_id="u", part_size=10 * MIB)

    def upload_part(self, repository, upload_id, part, *, first):
        assert first == self.received
        self.received += len(part)
        return self.received

    def complete_upload(self, repository, upload_id, digest):
        self.completed = digest


def peak(mib):
    found = hashlib.sha256()
    for _ in range(mib):
        found.update(bytes(MIB))
    world = Endless(mib * MIB)
    digest = f"sha256:{found.hexdigest()}"
    done = []
    tracemalloc.start()
    try:
        sent = Mover(clock=ManualClock(), advance=done.append, uploads={}).move(
            BlobMove(
                digest=digest, size=world.size, source=world, source_repository="a", target=world,
                target_repository="b", key="k",
            )
        )  # fmt: skip
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (sent, world.received, world.completed, sum(done)) == (world.size, world.size, digest, world.size)
    return held


def test_some_parts_and_no_more():
    """A layer may have 52,000 MiB (Amazon ECR service quotas)."""
    small, large = peak(60), peak(600)
    assert large < 60 * MIB
    assert large < small + 15 * MIB
