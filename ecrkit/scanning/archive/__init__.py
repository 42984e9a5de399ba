"""The archive of scan results: written once to S3, read by Athena or DuckDB, and judged for an audit.

`Archive` stores reports and handles events; `audit` has remediation times and deadlines as pure functions, `athena` the
same as SQL, `evidence` the report for an auditor.
"""

from __future__ import annotations

from ecrkit.scanning.archive.events import (
    CoverageChanged,
    FindingChanged,
    FrequencyChanged,
    Ignored,
    ScanEvent,
    ScanFinished,
)
from ecrkit.scanning.archive.layout import Layout, Place, RawKey
from ecrkit.scanning.archive.objects import BucketLock, LockMode, MemoryObjects, ObjectStore, Retention
from ecrkit.scanning.archive.rows import DeploymentRow, FindingRow, FindingState, ScanRow
from ecrkit.scanning.archive.store import Archive, ArchivedRows, Handled, Stored

__all__ = [
    "Archive",
    "ArchivedRows",
    "BucketLock",
    "CoverageChanged",
    "DeploymentRow",
    "FindingChanged",
    "FindingRow",
    "FindingState",
    "FrequencyChanged",
    "Handled",
    "Ignored",
    "Layout",
    "LockMode",
    "MemoryObjects",
    "ObjectStore",
    "Place",
    "RawKey",
    "Retention",
    "ScanEvent",
    "ScanFinished",
    "ScanRow",
    "Stored",
]
