"""Snapshots: a registry's whole state at one time, taken, saved, loaded and compared."""

from ecrkit.snapshot.cache import ManifestCache
from ecrkit.snapshot.contents import PARTS, Gap, NotRead, Part, RepositorySnapshot
from ecrkit.snapshot.crawl import Selection, SnapshotSource, take
from ecrkit.snapshot.files import Limits, read_repositories
from ecrkit.snapshot.lines import Asked, Header
from ecrkit.snapshot.snapshot import OnGap, Snapshot, load

__all__ = [
    "PARTS",
    "Asked",
    "Gap",
    "Header",
    "Limits",
    "ManifestCache",
    "NotRead",
    "OnGap",
    "Part",
    "RepositorySnapshot",
    "Selection",
    "Snapshot",
    "SnapshotSource",
    "load",
    "read_repositories",
    "take",
]
