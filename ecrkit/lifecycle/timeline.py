"""When each image goes if nobody pushes, pulls or restores: the policy run again and again on what it leaves."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit._internal.times import iso, require_aware
from ecrkit.errors import InvalidInput
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import ByteRange, stored_bytes
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.rules import CountType
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import clock_of, cutoff, simulate
from ecrkit.records import Image, StorageClass

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Departure", "Timeline", "timeline"]

_DAY: Final = dt.timedelta(days=1)
_MOST_RUNS: Final = 40_000
_COLUMNS: Final = ("at", "action", "rule", "digest", "tags", "certain", "why")


@attrs.frozen(kw_only=True)
class Departure(Record):
    """One image that a run of the policy takes at `at`: expired, or moved to the archive class."""

    at: dt.datetime
    action: Literal["expire", "transition"]
    rule: int | None
    digest: str
    tags: tuple[str, ...]
    certain: bool
    why: str


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Timeline:
    """What a policy takes, run after run, while nobody pushes, pulls, restores or deletes.

    `departures` are in order of time; an image may be archived first and expire later. `runs` are the instants of the
    runs that were looked at, `remaining` is the inventory after the last.
    """

    start: Inventory
    policy: LifecyclePolicy
    begins: dt.datetime
    until: dt.datetime
    every: dt.timedelta
    departures: tuple[Departure, ...]
    remaining: Inventory
    warnings: tuple[str, ...] = ()

    @property
    def certain(self) -> bool:
        """Whether every departure, and every image that stays, rests on known facts only."""
        return not self.warnings

    @cached_property
    def expired(self) -> Mapping[str, dt.datetime]:
        """The instant at which each image expires, by digest; those that stay are missing."""
        return {d.digest: d.at for d in self.departures if d.action == "expire"}

    @cached_property
    def archived(self) -> Mapping[str, dt.datetime]:
        """The instant at which each image is archived, by digest."""
        return {d.digest: d.at for d in self.departures if d.action == "transition"}

    def at(self, when: dt.datetime) -> Inventory:
        """Return the inventory after the runs up to and including `when`.

        Raises:
            InvalidInput: `when` is not within the timeline.
        """
        when = require_aware(when, "when")
        if not self.begins <= when <= self.until:
            message = f"must lie between {iso(self.begins)} and {iso(self.until)}, not {iso(when)}"
            raise InvalidInput.single("not on the timeline", "when", message)
        return _after(self.start, [d for d in self.departures if d.at <= when])

    def stored(self) -> Iterator[tuple[dt.datetime, int, ByteRange]]:
        """Yield instant, images and stored bytes: at the start, and after each run that took something."""
        yield self.begins, len(self.start), stored_bytes(self.start)
        left = self.start
        for when, taken in groupby(self.departures, key=lambda d: d.at):
            left = _after(left, list(taken))
            yield when, len(left), stored_bytes(left)

    def by_day(self) -> Mapping[dt.date, int]:
        """Return how many images expire on each day (UTC) on which one does, in order."""
        days = Counter(d.at.date() for d in self.departures if d.action == "expire")
        return dict(sorted(days.items()))

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one list per column, one entry per departure."""
        return {name: [getattr(d, name) for d in self.departures] for name in _COLUMNS}

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame with a row per departure.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def to_dict(self) -> dict[str, Any]:
        """Return the timeline as a JSON-ready mapping."""
        return {
            "repository": self.start.repository,
            "begins": iso(self.begins),
            "until": iso(self.until),
            "every": self.every.total_seconds(),
            "warnings": list(self.warnings),
            "departures": [d.to_dict() for d in self.departures],
        }

    def to_text(self, *, limit: int | None = None) -> str:
        """Return a summary and a table of at most `limit` departures."""
        shown = self.departures[:limit]
        rows = [(iso(d.at), d.action, d.rule, ",".join(d.tags) or "-", d.digest[:19]) for d in shown]
        lines = [repr(self)[1:-1], *(f"not certain: {w}" for w in self.warnings)]
        if rows:
            lines.append(text_table(("at", "action", "rule", "tags", "digest"), rows))
        if len(shown) < len(self.departures):
            lines.append(f"and {len(self.departures) - len(shown)} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(iso(d.at), d.action, d.rule, ", ".join(d.tags), d.digest[:19]) for d in self.departures]
        return html_table(("at", "action", "rule", "tags", "digest"), rows, caption=repr(self)[1:-1])

    @override
    def __repr__(self) -> str:
        return (
            f"<Timeline of {self.start.repository or 'repository'}: {len(self.expired)} of "
            f"{counted(len(self.start), 'image')} expire and {len(self.archived)} are archived until {iso(self.until)}>"
        )


def timeline(
    policy: LifecyclePolicy | str | Mapping[str, Any],
    inventory: Inventory,
    *,
    now: dt.datetime,
    until: dt.datetime,
    every: dt.timedelta = _DAY,
    count_children: bool = True,
) -> Timeline:
    """Return when each image goes if nobody pushes, pulls or restores until then.

    The policy is run at `now` and then every `every`, as ECR does within 24 hours after an image meets the criteria;
    each run sees what the one before left. An image that a run archives carries that instant as its archive time.
    Runs between which no image reaches an age limit, and that would find what the one before left, are skipped.

    Calls nothing. Takes one dry run for each run at which something can change, at most one a day by default.

    Args:
        policy: the policy, or its text or mapping.
        inventory: the images of one repository, archived ones included.
        now: the first run.
        until: no run is later than this.
        every: between two runs. ECR promises 24 hours at most and says nothing of less.
        count_children: as in `simulate`.

    Raises:
        LifecyclePolicyError: it is no valid policy.
        InvalidInput: `until` is before `now`, or `every` is not positive or needs too many runs.

    Example:
        >>> from ecrkit.lifecycle import build, expire_untagged
        >>> images = [{"imageDigest": "sha256:" + c * 64, "imagePushedAt": 1767225600 + 86400 * n}
        ...           for n, c in enumerate("ab")]
        >>> now = dt.datetime(2026, 1, 3, tzinfo=dt.UTC)
        >>> found = timeline(build(expire_untagged(after_days=7)), Inventory.from_api(images), now=now,
        ...                  until=now + dt.timedelta(days=30))
        >>> for departure in found.departures:
        ...     print(departure.at.date(), departure.digest[:8])
        2026-01-09 sha256:a
        2026-01-10 sha256:b
    """
    parsed = policy if isinstance(policy, LifecyclePolicy) else LifecyclePolicy.parse(policy)
    now, until = require_aware(now, "now"), require_aware(until, "until")
    if until < now:
        raise InvalidInput.single("not a timeline", "until", f"{iso(until)} is before now, {iso(now)}")
    if every <= dt.timedelta(0) or (until - now) / every > _MOST_RUNS:
        message = f"must be positive and need at most {_MOST_RUNS} runs until {iso(until)}, not {every}"
        raise InvalidInput.single("not a timeline", "every", message)
    left = inventory
    departures: list[Departure] = []
    warnings: dict[str, None] = {}
    at = now
    while at <= until:
        run = simulate(parsed, left, now=at, count_children=count_children)
        taken = _departures(run)
        # A run that takes nothing may be in doubt too: an image of which an archive time is missing may go.
        warnings.update(dict.fromkeys(_doubts(run)))
        if taken:
            departures += taken
            left = _after(left, taken)
            # What went leaves indexes without children and counts without members: the next run may find more.
            at += every
            continue
        due = _next_due(parsed, left, at)
        if due is None or due >= until:
            break
        at += every * ((due - at) // every + 1)  # an age must be past the limit, so a run right at it takes nothing
    return Timeline(
        start=inventory, policy=parsed, begins=now, until=until, every=every, departures=tuple(departures),
        remaining=left, warnings=tuple(warnings),
    )  # fmt: skip


def _doubts(run: Run) -> tuple[str, ...]:
    return () if run.certain else run.warnings


def _departures(run: Run) -> list[Departure]:
    found = []
    for digest in (*run.expired, *run.transitioned, *run.cascaded):
        outcome = run.outcome(digest)
        if outcome.action != "keep":
            found.append(
                Departure(
                    at=run.now, action=outcome.action, rule=outcome.rule_priority, digest=digest, tags=outcome.tags,
                    certain=outcome.certain, why=outcome.why,
                )
            )  # fmt: skip
    return found


def _after(inventory: Inventory, departures: Sequence[Departure]) -> Inventory:
    """Return the inventory without what expired, and with what was archived as such."""
    if not departures:
        return inventory
    expired = {d.digest for d in departures if d.action == "expire"}
    archived = {d.digest: d.at for d in departures if d.action == "transition" and d.digest not in expired}

    def kept(image: Image) -> Image:
        when = archived.get(image.digest)
        return image if when is None else attrs.evolve(image, status="ARCHIVED", last_archived_at=when)

    images = tuple(kept(image) for image in inventory.images if image.digest not in expired)
    return attrs.evolve(
        inventory,
        images=images,
        children={d: c for d, c in inventory.children.items() if d not in expired},
        manifests={d: m for d, m in inventory.manifests.items() if d not in expired},
        faulty_manifests={d: m for d, m in inventory.faulty_manifests.items() if d not in expired},
    )


def _next_due(policy: LifecyclePolicy, inventory: Inventory, at: dt.datetime) -> dt.datetime | None:
    """Return the earliest instant after `at` that some age limit of the policy has for some image; None for never.

    A limit of a rule that does not select the image is looked at too: a run too many changes nothing.
    """
    limits: set[tuple[CountType, StorageClass, int]] = {
        (rule.count_type, rule.storage_class, rule.count_number)
        for rule in policy
        if rule.count_type != "imageCountMoreThan"
    }
    earliest: dt.datetime | None = None
    for kind, storage_class, days in limits:
        # An image is older than the limit only after it, so one that reaches it right now is due still.
        edge = cutoff(at, days)
        clocks = (clock_of(image, kind) for image in inventory if image.storage_class == storage_class)
        first = min((clock for clock in clocks if clock is not None and clock >= edge), default=None)
        if first is None:
            continue
        try:
            due = first + dt.timedelta(days=days)
        except OverflowError:
            continue  # beyond all time
        earliest = due if earliest is None else min(earliest, due)
    return earliest
