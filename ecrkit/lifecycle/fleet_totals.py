"""What a dry run of many repositories adds up to: totals, groups, repositories without a policy, and drift."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit._internal.times import iso
from ecrkit.images.storage import ByteRange

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FleetRun", "GroupTotal", "RepositoryRun"]

LiveState = Literal["none", "broken", "idle", "works", "unknown"]
Drift = Literal["same", "differs", "missing", "unwanted", "unknown"]

_NOTHING: Final = ByteRange.exactly(0)
UNKNOWN_GROUP: Final = "(not known)"
"""The group of repositories of which the resource tags could not be read."""


@attrs.frozen(kw_only=True)
class RepositoryRun(Record):
    """What the policy would do to one repository, in numbers.

    `live` says what the live policy is: `none`, `broken` (it cannot be read as a policy), `idle` (no rule of it selects
    an image that is there), `works`, or `unknown`. `drift` compares it with the policy that is wanted, by meaning.
    `endangered` images are in use and would go; `unresolved` uses name images that the repository does not hold, so
    that nobody can say what they run. `gap` says why the repository could not be looked at; then all numbers
    are 0 and it is not `certain`.
    """

    repository: str
    group: str = ""
    images: int = 0
    expired: int = 0
    transitioned: int = 0
    cascaded: int = 0
    blocked: int = 0
    endangered: int = 0
    unresolved: int = 0
    freed: ByteRange = _NOTHING
    certain: bool = False
    live: LiveState = "unknown"
    drift: Drift = "unknown"
    gap: str = ""


@attrs.frozen(kw_only=True)
class GroupTotal(Record):
    """The sums of a group of repositories, such as a team's; `gaps` counts those that could not be looked at."""

    group: str
    repositories: int
    images: int
    expired: int
    transitioned: int
    freed: ByteRange
    without_policy: int
    gaps: int


@attrs.frozen(kw_only=True, eq=False, repr=False)
class FleetRun:
    """What policies would do to many repositories, a row for each, in the order in which they came.

    Bytes are added up over repositories: where blob mounting is on, a layer that several of them share is freed only
    when the last lets go of it, so the sum is then the most that can be freed.

    `in_use_gaps` says what of the images in use could not be read: then more of them may go than `endangered` tells.
    """

    now: dt.datetime
    rows: tuple[RepositoryRun, ...]
    in_use_gaps: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        """How many images were looked at."""
        return sum(row.images for row in self.rows)

    @property
    def expired(self) -> int:
        """How many images would expire, referrers that follow included."""
        return sum(row.expired + row.cascaded for row in self.rows)

    @cached_property
    def freed(self) -> ByteRange:
        """The bytes that would be freed, repository by repository."""
        return _sum(row.freed for row in self.rows)

    @property
    def certain(self) -> bool:
        """Whether every repository was looked at, every outcome rests on known facts, and so does what is in use."""
        return not self.in_use_gaps and all(row.certain and not row.unresolved for row in self.rows)

    @property
    def endangered(self) -> tuple[RepositoryRun, ...]:
        """The repositories of which images in use would go; none of their plans would be made."""
        return tuple(row for row in self.rows if row.endangered)

    @property
    def gaps(self) -> tuple[RepositoryRun, ...]:
        """The repositories that could not be looked at."""
        return tuple(row for row in self.rows if row.gap)

    @property
    def without_policy(self) -> tuple[str, ...]:
        """The repositories that have no live policy."""
        return tuple(row.repository for row in self.rows if row.live == "none")

    @property
    def broken(self) -> tuple[str, ...]:
        """The repositories whose live policy ecrkit cannot read."""
        return tuple(row.repository for row in self.rows if row.live == "broken")

    @property
    def idle(self) -> tuple[str, ...]:
        """The repositories that hold images, of which no rule of their live policy selects a single one."""
        return tuple(row.repository for row in self.rows if row.live == "idle")

    @property
    def drifted(self) -> tuple[RepositoryRun, ...]:
        """The repositories whose live policy is not the wanted one; those that nobody could tell of included."""
        return tuple(row for row in self.rows if row.drift != "same")

    def top(self, count: int = 10) -> tuple[RepositoryRun, ...]:
        """Return the repositories that free most, the greatest first."""
        return tuple(sorted(self.rows, key=lambda row: (-_weight(row.freed), row.repository))[:count])

    def groups(self) -> tuple[GroupTotal, ...]:
        """Return the sums by group, the group that frees most first."""
        found: dict[str, list[RepositoryRun]] = {}
        for row in self.rows:
            found.setdefault(row.group, []).append(row)
        totals = [
            GroupTotal(
                group=group, repositories=len(rows), images=sum(r.images for r in rows),
                expired=sum(r.expired + r.cascaded for r in rows), transitioned=sum(r.transitioned for r in rows),
                freed=_sum(r.freed for r in rows), without_policy=sum(r.live == "none" for r in rows),
                gaps=sum(bool(r.gap) for r in rows),
            )
            for group, rows in found.items()
        ]  # fmt: skip
        return tuple(sorted(totals, key=lambda total: (-_weight(total.freed), total.group)))

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one list per column, one entry per repository; freed bytes as `freed_low` and `freed_high`."""
        names = [f.name for f in attrs.fields(RepositoryRun) if f.name != "freed"]
        found: dict[str, list[Any]] = {name: [getattr(row, name) for row in self.rows] for name in names}
        found["freed_low"] = [row.freed.low for row in self.rows]
        found["freed_high"] = [row.freed.high for row in self.rows]
        return found

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame with a row per repository.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def to_dict(self) -> dict[str, Any]:
        """Return the run as a JSON-ready mapping."""
        return {
            "now": iso(self.now),
            "certain": self.certain,
            "images": self.images,
            "expired": self.expired,
            "freed": self.freed.to_dict(),
            "in_use_gaps": list(self.in_use_gaps),
            "groups": [group.to_dict() for group in self.groups()],
            "repositories": [row.to_dict() for row in self.rows],
        }

    def to_text(self, *, limit: int = 10) -> str:
        """Return a summary, the sums by group, and the repositories that free most."""
        states = [
            f"{counted(len(names), 'repository', 'repositories')} {what}: {', '.join(names[:5])}"
            for names, what in (
                (self.without_policy, "without a policy"), (self.broken, "with a broken policy"),
                (self.idle, "with a policy that selects nothing"),
                (tuple(row.repository for row in self.endangered), "of which images in use would go"),
                (tuple(row.repository for row in self.rows if row.unresolved), "of which unknown images are in use"),
                (tuple(row.repository for row in self.gaps), "not looked at"),
            )
            if names
        ]  # fmt: skip
        states += [f"what runs is not wholly known: {gap}" for gap in self.in_use_gaps[:5]]
        groups = [(g.group or "-", g.repositories, g.images, g.expired, str(g.freed)) for g in self.groups()]
        top = [(r.repository, r.images, r.expired + r.cascaded, str(r.freed), r.live, r.drift) for r in self.top(limit)]
        return "\n".join([
            repr(self)[1:-1], *states,
            text_table(("group", "repositories", "images", "expire", "frees"), groups, right=frozenset({1, 2, 3, 4})),
            text_table(_HEADER, top, right=frozenset({1, 2, 3})),
        ])  # fmt: skip

    def _repr_html_(self) -> str:
        rows = [
            (r.repository, r.images, r.expired + r.cascaded, str(r.freed), r.live, r.drift)
            for r in self.top(len(self.rows))
        ]
        return html_table(_HEADER, rows, caption=repr(self)[1:-1])

    @override
    def __repr__(self) -> str:
        return (
            f"<FleetRun of {counted(len(self.rows), 'repository', 'repositories')}: {self.expired} of "
            f"{counted(self.images, 'image')} expire, {self.freed} freed, "
            f"{len(self.without_policy)} without a policy, {len(self.gaps)} not looked at>"
        )


_HEADER: Final = ("repository", "images", "expire", "frees", "live policy", "drift")


def _weight(count: ByteRange) -> int:
    return count.low if count.high is None else count.high


def _sum(ranges: Iterable[ByteRange]) -> ByteRange:
    low, high, reasons = 0, 0, dict[str, None]()
    bounded = True
    for one in ranges:
        low += one.low
        bounded = bounded and one.high is not None
        high += one.high or 0
        reasons.update(dict.fromkeys(one.reasons))
    return ByteRange(low, high if bounded else None, tuple(reasons))
