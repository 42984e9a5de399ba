"""The IAM actions of Amazon ECR and ECR Public: what exists, what it reaches, which conditions it takes.

Source: AWS Service Authorization Reference, "Amazon Elastic Container Registry" and "... Public", as of
[`DATA_DATE`][ecrkit.access.actions.DATA_DATE]. Operation names and action names are not the same set.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access._action_data import ACTIONS, DATA_DATE
from ecrkit.access.matching import Glob

__all__ = [
    "DATA_DATE",
    "HINTS",
    "NEWER",
    "Action",
    "Hint",
    "action",
    "actions",
    "catalogue_age",
    "expand",
    "hint",
    "is_known",
]

_PERMISSION_ONLY: Final = frozenset({"BatchImportUpstreamImage", "ReplicateImage", "GetImageCopyStatus"})

NEWER: Final = frozenset(
    {
        "ecr:DescribeReplicationBackfillResults",
        "ecr:ListReplicationBackfills",
        "ecr:StartReplicationBackfill",
        "ecr:StopReplicationBackfill",
    }
)
"""Operations newer than the catalogue: an action of the same name is likely, and not confirmed."""


@attrs.frozen(kw_only=True)
class Action(Record):
    """One IAM action.

    `resource_type` is empty when only `Resource: "*"` works; `condition_keys` end in `/` when a tag key follows;
    `permission_only` actions have no API operation of their own.
    """

    name: str
    access_level: str
    resource_type: str = ""
    condition_keys: tuple[str, ...] = ()
    permission_only: bool = False

    @property
    def resource_level(self) -> bool:
        """Whether a statement can name repositories (or registries of ECR Public) for this action."""
        return bool(self.resource_type)

    def takes_condition(self, key: str) -> bool:
        """Return whether a condition on `key` can have an effect; global `aws:` keys without a tag always can."""
        low = key.lower()
        for known in self.condition_keys:
            if low == known.lower() or (known.endswith("/") and low.startswith(known.lower())):
                return True
        if low.startswith(("aws:resourcetag/", "aws:requesttag/")) or low == "aws:tagkeys":
            return False
        return low.startswith("aws:")


@attrs.frozen
class Hint(Record):
    """Why a name is no action, and the actions to grant instead (none: nothing to grant)."""

    message: str
    instead: tuple[str, ...] = ()


def _make(service: str, row: tuple[str, str, str, tuple[str, ...]]) -> Action:
    name, level, resource, keys = row
    if resource == "repository":
        keys = tuple(sorted({*keys, "aws:ResourceTag/", f"{service}:ResourceTag/"}))
    return Action(
        name=f"{service}:{name}",
        access_level=level,
        resource_type=resource,
        condition_keys=keys,
        permission_only=service == "ecr" and name in _PERMISSION_ONLY,
    )


_BY_NAME: Final = {a.name.lower(): a for service, rows in ACTIONS.items() for a in (_make(service, r) for r in rows)}

HINTS: Final[dict[str, Hint]] = {
    "ecr:listimagereferrers": Hint("ListImageReferrers is authorised by another action", ("ecr:BatchGetImage",)),
    "ecr:describerepositorycreationtemplate": Hint(
        "the action is plural", ("ecr:DescribeRepositoryCreationTemplates",)
    ),
    "ecr:getrepositoryscanningconfiguration": Hint(
        "the action reads in batches", ("ecr:BatchGetRepositoryScanningConfiguration",)
    ),
    "ecr:getmanifest": Hint("manifests are read with another action", ("ecr:BatchGetImage",)),
    "ecr:pullimage": Hint("a pull takes two actions", ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")),
    "ecr-public:batchgetimage": Hint(
        "ECR Public has no such action; a pull needs the token only",
        ("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"),
    ),
    "ecr-public:getdownloadurlforlayer": Hint(
        "ECR Public has no such action; a pull needs the token only",
        ("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken"),
    ),
}
"""Names that are often written and are no action, lower case, with what authorises it instead."""


def actions(service: str = "ecr") -> tuple[Action, ...]:
    """Return every action of `ecr` or `ecr-public`, sorted by name.

    Example:
        >>> len(actions()), len(actions("ecr-public"))
        (60, 23)
    """
    return tuple(a for a in _BY_NAME.values() if a.name.startswith(service + ":"))


def action(name: str) -> Action | None:
    """Return the action of that name (in any letter case), or None when the catalogue does not hold it.

    Example:
        >>> action("ECR:batchgetimage").access_level
        'Read'
        >>> action("ecr:ListImageReferrers") is None
        True
    """
    return _BY_NAME.get(name.lower())


def is_known(name: str) -> bool:
    """Return whether `name` is an action of the catalogue; a wildcard is known when it matches at least one."""
    return bool(expand(name))


@functools.lru_cache(maxsize=4096)
def expand(pattern: str) -> tuple[str, ...]:
    """Return the names of the actions that an `Action` element matches.

    Example:
        >>> expand("ecr:*UploadPart"), expand("ecr:UploadLayer*")
        ((), ('ecr:UploadLayerPart',))
    """
    glob = Glob.of(pattern.lower())
    return tuple(a.name for low, a in _BY_NAME.items() if glob.matches(low))


def hint(name: str) -> Hint | None:
    """Return what to write instead of a name that is no action; None for a known action or a foreign service.

    Example:
        >>> hint("ecr:ListImageReferrers").instead
        ('ecr:BatchGetImage',)
        >>> hint("ecr:BatchGetImages").instead
        ('ecr:BatchGetImage',)
    """
    low = name.lower()
    service = low.partition(":")[0]
    if service not in ACTIONS or expand(name):
        return None
    if low in HINTS:
        return HINTS[low]
    if low in {n.lower() for n in NEWER}:
        return Hint(f"newer than the catalogue of {DATA_DATE}; not confirmed as an action")
    near = difflib.get_close_matches(low, _BY_NAME, n=1, cutoff=0.75)
    return Hint("no such action", tuple(_BY_NAME[n].name for n in near))


def catalogue_age(now: dt.datetime) -> dt.timedelta:
    """Return how old the catalogue is at `now`; AWS adds actions every few months."""
    return now - dt.datetime.fromisoformat(DATA_DATE + "T00:00:00+00:00")
