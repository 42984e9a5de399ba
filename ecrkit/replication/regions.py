"""Moving the registry hosts in a text to another Region, and leaving everything else as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidReference
from ecrkit.refs import RegistryHost

__all__ = ["Moved", "Rewritten", "move_to_region"]

# An account, the host words of both endpoint forms, a Region and one of the suffixes; what follows is left alone.
_HOST: Final = re.compile(
    r"(?<![A-Za-z0-9.-])[0-9]{12}\.dkr[.-]ecr(?:-fips)?\.[a-z0-9-]{2,25}\.[a-z][a-z0-9.-]{1,40}[a-z](?=[/\s\"']|$)"
)


@attrs.frozen(kw_only=True)
class Moved(Record):
    """One host that was replaced: the line that it stands in, from 1, and both hosts."""

    line: int
    before: str
    after: str


def _moves(values: Iterable[Moved]) -> tuple[Moved, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Rewritten(Record):
    """A text with its registry hosts moved, and every place where that was done."""

    text: str = attrs.field(repr=False)
    moved: tuple[Moved, ...] = attrs.field(default=(), converter=_moves)

    @property
    def changed(self) -> bool:
        """Whether anything was moved."""
        return bool(self.moved)


def move_to_region(
    text: str,
    region: str,
    *,
    accounts: Iterable[str] | None = None,
    regions: Iterable[str] | None = None,
) -> Rewritten:
    """Return a text, such as a Kubernetes manifest, with the ECR hosts in it moved to another Region.

    Only hosts are touched: layout, comments, tags and digests stay as they are. `accounts` and `regions` limit it to
    hosts of those accounts and Regions, since the registry of the EKS add-ons, for one, has another account in each
    Region. A host that has no such form in the new Region stays.

    Example:
        >>> line = "image: 123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1  # pinned"
        >>> move_to_region(line, "eu-west-1").text
        'image: 123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:v1  # pinned'
    """
    chosen = None if accounts is None else frozenset(accounts)
    origins = None if regions is None else frozenset(regions)
    moved: list[Moved] = []

    def replace(match: re.Match[str]) -> str:
        before = match[0]
        try:
            host = RegistryHost.parse(before)
            after = str(host.in_region(region))
        except InvalidReference:
            return before
        if after == before or (chosen is not None and host.account not in chosen):
            return before
        if origins is not None and host.region not in origins:
            return before
        moved.append(Moved(line=text.count("\n", 0, match.start()) + 1, before=before, after=after))
        return after

    return Rewritten(text=_HOST.sub(replace, text), moved=moved)
