"""Snapshots: a registry's whole state at one time, taken, saved, loaded and compared."""

from ecrkit.snapshot.cache import ManifestCache
from ecrkit.snapshot.contents import PARTS, Gap, NotRead, Part, RepositorySnapshot
from ecrkit.snapshot.crawl import Selection, SnapshotSource, take
from ecrkit.snapshot.difference import Difference, ImageChange, RepositoryDifference, Retagged, diff
from ecrkit.snapshot.estate import Estate, Where
from ecrkit.snapshot.files import Limits, read_repositories
from ecrkit.snapshot.lines import Asked, Header
from ecrkit.snapshot.loading import load
from ecrkit.snapshot.snapshot import OnGap, Snapshot

__all__ = [
    "PARTS",
    "Asked",
    "Difference",
    "Estate",
    "Gap",
    "Header",
    "ImageChange",
    "Limits",
    "ManifestCache",
    "NotRead",
    "OnGap",
    "Part",
    "RepositoryDifference",
    "RepositorySnapshot",
    "Retagged",
    "Selection",
    "Snapshot",
    "SnapshotSource",
    "Where",
    "diff",
    "load",
    "read_repositories",
    "take",
]
