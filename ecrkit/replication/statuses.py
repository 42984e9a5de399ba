"""What ECR says about the replication of one image, and what a failure likely comes from.

Source: ECR API reference, DescribeImageReplicationStatus. AWS publishes no list of failure codes, so a code is any
text, and causes are guesses from its words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.replication.configuration import Destination

__all__ = ["ReplicationStatus", "likely_cause"]


@attrs.frozen(kw_only=True)
class ReplicationStatus(Record):
    """How far an image is on its way to one destination: IN_PROGRESS, COMPLETE, FAILED, or a text of later models."""

    destination: Destination
    status: str
    failure_code: str | None = None

    @classmethod
    def from_api(cls, raw: Mapping[str, Any]) -> ReplicationStatus:
        """Return the record of one `replicationStatuses` item."""
        return cls(
            destination=Destination.from_api(raw),
            status=str(raw.get("status") or ""),
            failure_code=raw.get("failureCode") or None,
        )


_POLICY: Final = (
    "the destination's registry policy does not allow the source account ecr:ReplicateImage, or ecr:CreateRepository "
    "when the repository is not there"
)
_CAUSES: Final = (
    (("accessdenied", "denied", "permission", "notauthorized", "forbidden", "policy"), _POLICY),
    (("kms", "key"), "the key of the destination's repository is disabled or deleted, or its policy refuses"),
    (("limit", "quota", "toomany"), "a quota of the destination is reached: images of the repository, or repositories"),
    (("repositorynotfound", "norepository"), "the repository is not at the destination and could not be created"),
    (("imagenotfound", "notfound", "missing"), "the image, or a part of it, was deleted before it was copied"),
    (("region", "optin"), "one of the accounts has not opted in to the Region"),
    (("archiv",), "the image is archived in the source; restore it"),
    (("internal", "server", "unavailable", "timeout"), "a fault of the service; push again, or start a backfill"),
)


def likely_cause(code: str | None, *, other_account: bool = False) -> str:
    """Return what a failure code likely means; the code's words are all that there is to go by.

    Example:
        >>> likely_cause("LimitExceeded")
        'a quota of the destination is reached: images of the repository, or repositories'
    """
    words = (code or "").lower().replace("_", "").replace("-", "").replace(" ", "")
    for parts, cause in _CAUSES:
        if any(part in words for part in parts):
            return cause
    first = "the registry policy there, " if other_account else ""
    return f"AWS does not say; look at {first}the repository's key, and the quotas of the destination"
