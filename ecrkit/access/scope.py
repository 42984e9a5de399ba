"""Where a policy is to hold: a registry and some of its repositories; and the registries of the EKS add-ons."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.refs import partition_of_region

__all__ = ["EKS_ADDON_ACCOUNTS", "Scope", "eks_addon_account"]

_MAIN: Final = "602401143452"
_MAIN_REGIONS: Final = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-west-1", "eu-west-2",
    "eu-west-3", "eu-central-1", "eu-north-1", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1",
    "ap-southeast-1", "ap-southeast-2",
)  # fmt: skip

EKS_ADDON_ACCOUNTS: Final[dict[str, str]] = {
    **dict.fromkeys(_MAIN_REGIONS, _MAIN),
    "af-south-1": "877085696533",
    "ap-east-1": "800184023465",
    "ap-south-2": "900889452093",
    "ap-southeast-3": "296578399912",
    "ap-southeast-4": "491585149902",
    "ca-west-1": "761377655185",
    "cn-north-1": "918309763551",
    "cn-northwest-1": "961992271922",
    "eu-central-2": "900612956339",
    "eu-south-1": "590381155156",
    "eu-south-2": "455263428931",
}
"""The registry of the EKS add-on images by region (EKS user guide, "View Amazon container image registries")."""


def eks_addon_account(region: str) -> str:
    """Return the account that serves the EKS add-on images in a region.

    Raises:
        InvalidInput: the table does not hold the region; look the account up and pass it.

    Example:
        >>> eks_addon_account("eu-south-1")
        '590381155156'
    """
    found = EKS_ADDON_ACCOUNTS.get(region)
    if found is None:
        raise InvalidInput.single("no add-on registry known", region, "look it up in the EKS user guide and pass it")
    return found


_PATTERN: Final = re.compile(r"[a-z0-9*?._/-]{1,256}")


def _listed(given: str | Iterable[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


@attrs.frozen
class Scope(Record):
    """A registry and the repositories meant, as names or patterns with `*` and `?`.

    Example:
        >>> Scope("123456789012", "cn-north-1", ("team/*",)).arns
        ('arn:aws-cn:ecr:cn-north-1:123456789012:repository/team/*',)
    """

    account: str
    region: str
    repositories: tuple[str, ...] = attrs.field(default=("*",), converter=_listed)

    def __attrs_post_init__(self) -> None:
        problems: list[Problem] = []
        if not re.fullmatch(r"[0-9]{12}", self.account):
            problems.append(Problem("$.account", f"{self.account!r} is not 12 digits"))
        if not re.fullmatch(r"[a-z]{2,5}(-[a-z]+)+-[0-9]{1,2}", self.region):
            problems.append(Problem("$.region", f"{self.region!r} is not the name of a region"))
        if not self.repositories:
            problems.append(Problem("$.repositories", "is empty; name at least one repository or pattern"))
        problems += [
            Problem(f"$.repositories[{i}]", f"{r!r} is no repository name or pattern")
            for i, r in enumerate(self.repositories)
            if not _PATTERN.fullmatch(r)
        ]
        if problems:
            raise InvalidInput("not a scope", problems)

    @property
    def partition(self) -> str:
        """The partition of the region."""
        return partition_of_region(self.region)

    @property
    def arns(self) -> tuple[str, ...]:
        """The ARNs of the repositories."""
        return tuple(f"arn:{self.partition}:ecr:{self.region}:{self.account}:repository/{r}" for r in self.repositories)
