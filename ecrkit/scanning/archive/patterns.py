"""EventBridge patterns that select the events of the archive, and scans with findings of a severity."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from ecrkit.errors import InvalidInput

__all__ = ["archive_pattern", "severity_pattern"]

_SCANS: Final = ("ECR Image Scan", "Inspector2 Scan")


def archive_pattern() -> dict[str, Any]:
    """Return the pattern of every event that `Archive.handle` takes.

    Inspector's events of other resources match it too; the handler ignores them by name.

    Example:
        >>> archive_pattern()["source"]
        ['aws.ecr', 'aws.inspector2']
    """
    kinds = [
        "ECR Image Scan",
        "ECR Scan Resource Change",
        "Inspector2 Coverage",
        "Inspector2 Finding",
        "Inspector2 Scan",
    ]
    return {"source": ["aws.ecr", "aws.inspector2"], "detail-type": kinds}


def severity_pattern(severities: Iterable[str] = ("CRITICAL", "HIGH")) -> dict[str, Any]:
    """Return the pattern of finished scans that found at least one vulnerability of any of the severities.

    Members of a pattern must all match, so two severities side by side would select only scans that have both; `$or`
    stands inside the counts. Inspector's scan events count CRITICAL, HIGH and MEDIUM only.
    Source: EventBridge user guide, content filtering.

    Raises:
        InvalidInput: no severity is given.

    Example:
        >>> severity_pattern(["CRITICAL"])["detail"]
        {'finding-severity-counts': {'$or': [{'CRITICAL': [{'numeric': ['>', 0]}]}]}}
    """
    chosen = list(dict.fromkeys(severities))
    if not chosen:
        raise InvalidInput.single("no pattern", "severities", "name at least one")
    counts = [{name: [{"numeric": [">", 0]}]} for name in chosen]
    return {
        "source": ["aws.ecr", "aws.inspector2"],
        "detail-type": list(_SCANS),
        "detail": {"finding-severity-counts": {"$or": counts}},
    }
