"""How a repository is pushed to: whole weeks of its own history, from which weeks to come are drawn.

A week is drawn as it was, with its weekdays, its bursts, and its indexes, children and referrers together. Only weeks
are used of which every push is still there: what a lifecycle policy has deleted meanwhile would look like silence.
"""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import require_aware
from ecrkit.errors import InvalidInput
from ecrkit.images.conventions import TagConventions
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import cutoff, simulate
from ecrkit.records import Image

__all__ = [
    "COMMIT",
    "NUMBER",
    "Backtest",
    "Push",
    "PushGroup",
    "PushModel",
    "fit_pushes",
    "pushes_of",
    "quantile",
    "renewed",
    "shape_of",
]

WEEK: Final = dt.timedelta(days=7)
NUMBER: Final = re.compile(r"[0-9]+")
"""A run of digits in a tag."""
COMMIT: Final = re.compile(r"(?<![0-9a-z])(?=[0-9a-f]{0,39}[0-9])(?=[0-9a-f]{0,39}[a-f])[0-9a-f]{7,40}(?![0-9a-z])")
_LEAST_TRAINING: Final = 4
MOVING: Final = "moving"


@attrs.frozen(eq=False)
class Push:
    """One push: an image, or an index with its children; referrers that came with it. The first is what was tagged."""

    images: tuple[Image, ...]

    @property
    def at(self) -> dt.datetime:
        """When it was pushed."""
        return self.images[0].pushed_at


@attrs.frozen(kw_only=True)
class Backtest(Record):
    """How well former weeks would have been forecast: from each week of the past, the weeks after it.

    `relative_error` is the sum of absolute errors over the sum of what was pushed, None when nothing was pushed in any
    of the weeks that were forecast, and the forecasts were not nothing; `coverage` is the share of the
    origins at which the pushes lay within the interval of level `level`.
    """

    horizon_weeks: int
    origins: int
    relative_error: float | None
    coverage: float
    level: float


@attrs.frozen(kw_only=True, eq=False)
class PushGroup:
    """The pushes of one kind of tags: `weeks` of history, newest first, each with its pushes."""

    name: str
    complete_since: dt.datetime
    weeks: tuple[tuple[Push, ...], ...] = attrs.field(repr=False)

    @property
    def known(self) -> bool:
        """Whether there is a whole week of history to draw from."""
        return bool(self.weeks)

    @property
    def per_week(self) -> float:
        """The mean number of pushes in a week; 0 when nothing is known."""
        return sum(map(len, self.weeks)) / len(self.weeks) if self.weeks else 0.0

    @cached_property
    def by_weekday(self) -> tuple[float, ...]:
        """The mean number of pushes on each day of the week (UTC), Monday first."""
        counts = [0] * 7
        for week in self.weeks:
            for push in week:
                counts[push.at.weekday()] += 1
        return tuple(count / max(len(self.weeks), 1) for count in counts)

    def backtest(
        self, *, horizon_weeks: int = 4, level: float = 0.8, draws: int = 200, seed: int = 0
    ) -> Backtest | None:
        """Return how well this history would have forecast itself; None when it is too short to say.

        At least four weeks must lie before each origin.

        Args:
            horizon_weeks: how many weeks each forecast covers.
            level: of the interval, between 0 and 1.
            draws: how many times the weeks are drawn at each origin.
            seed: of the draws; the same seed gives the same answer.

        Raises:
            InvalidInput: an argument is out of range.
        """
        for name, ok, message in (
            ("horizon_weeks", horizon_weeks >= 1, f"must be 1 or more, not {horizon_weeks}"),
            ("draws", draws >= 1, f"must be 1 or more, not {draws}"),
            ("level", 0 < level < 1, f"must lie between 0 and 1, not {level}"),
        ):
            if not ok:
                raise InvalidInput.single("no back-test", name, message)
        counts = [len(week) for week in self.weeks]
        drawn = random.Random(seed)  # noqa: S311 - a model, no secret
        missed = total = inside = origins = 0.0
        for origin in range(horizon_weeks, len(counts) - _LEAST_TRAINING + 1):
            training, actual = counts[origin:], sum(counts[origin - horizon_weeks : origin])
            sums = sorted(sum(_twice_drawn(training, horizon_weeks, drawn)) for _ in range(draws))
            low, high = quantile(sums, (1 - level) / 2), quantile(sums, (1 + level) / 2)
            missed += abs(horizon_weeks * sum(training) / len(training) - actual)
            total += actual
            inside += low <= actual <= high
            origins += 1
        if not origins:
            return None
        return Backtest(
            horizon_weeks=horizon_weeks, origins=int(origins), level=level, coverage=inside / origins,
            relative_error=missed / total if total else (0.0 if not missed else None),
        )  # fmt: skip


def _twice_drawn(history: Sequence[int], count: int, drawn: random.Random) -> list[int]:
    """Return so many draws from a history that is itself drawn from the one that happened.

    A few weeks are one of the histories that could have happened; drawing from them alone makes intervals too narrow.
    """
    return drawn.choices(drawn.choices(history, k=len(history)), k=count)


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which that share of the ordered values lies, between two by interpolation."""
    at = share * (len(ordered) - 1)
    below = int(at)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (at - below)


@attrs.frozen(kw_only=True, eq=False)
class PushModel:
    """What is known of how a repository is pushed to, by group of tags."""

    inventory: Inventory
    now: dt.datetime
    groups: tuple[PushGroup, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """The groups that have pushes, but not one whole week of which nothing was deleted."""
        return tuple(group.name for group in self.groups if not group.known)

    @property
    def per_week(self) -> float:
        """The mean number of pushes in a week, over all groups that are known."""
        return sum(group.per_week for group in self.groups)

    def draw(self, weeks: int, drawn: random.Random) -> list[list[tuple[Push, dt.timedelta]]]:
        """Return for each week to come pushes of the past, each with the time by which it is to be shifted.

        The groups are drawn apart from each other. What is not certain of the history is in the draws too.
        """
        coming: list[list[tuple[Push, dt.timedelta]]] = [[] for _ in range(weeks)]
        for group in self.groups:
            if not group.known:
                continue
            for number, chosen in enumerate(_twice_drawn(range(len(group.weeks)), weeks, drawn)):
                shift = WEEK * (chosen + 1 + number)
                coming[number] += [(push, shift) for push in group.weeks[chosen]]
        return [sorted(week, key=lambda item: item[0].at + item[1]) for week in coming]


def shape_of(image: Image) -> str:
    """Return what the first tag with a digit looks like: digits as `N`, commits as `SHA`.

    Images without such a tag are one group, `moving`: what is untagged now carried a moving tag such as `latest` once.

    Example:
        >>> at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        >>> shape_of(Image(digest="sha256:" + "a" * 64, tags=("dev", "dev-main-3f9a2c1"), pushed_at=at))
        'dev-main-SHA'
    """
    numbered = next((tag for tag in image.tags if NUMBER.search(tag)), None)
    return MOVING if numbered is None else NUMBER.sub("N", COMMIT.sub("SHA", numbered))


def by_convention(conventions: TagConventions) -> Callable[[Image], str]:
    """Return what groups images by the tag convention that they follow, and by the look of their tags otherwise.

    Example:
        >>> group = by_convention(TagConventions.of("prod-{version}"))
        >>> at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        >>> group(Image(digest="sha256:" + "a" * 64, tags=("prod-1.2.3",), pushed_at=at))
        'prod-{version}'
    """

    def group(image: Image) -> str:
        parsed = (conventions.parse(tag) for tag in image.tags)
        return next((found.convention for found in parsed if found is not None), None) or shape_of(image)

    return group


def fit_pushes(
    inventory: Inventory,
    *,
    now: dt.datetime,
    policy: LifecyclePolicy | None = None,
    history: dt.timedelta = dt.timedelta(days=56),
    group: Callable[[Image], str] = shape_of,
) -> PushModel:
    """Return what the inventory tells about the pushes to come.

    Args:
        inventory: the images of one repository.
        now: the end of the history.
        policy: the live policy, which has deleted some of the history; None when there is none. Deletions by hand are
            not known and make a group look quieter than it is.
        history: how far to look back at most.
        group: puts an image into a group by its tags, such as `by_convention(...)`; groups are drawn apart.

    Raises:
        InvalidInput: the history is shorter than a week.

    Example:
        >>> now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        >>> images = [{"imageDigest": f"sha256:{n:064x}", "imageTags": [f"v{n}"],
        ...            "imagePushedAt": now.timestamp() - n * 86400} for n in range(29)]
        >>> model = fit_pushes(Inventory.from_api(images), now=now)
        >>> [(found.name, len(found.weeks), found.per_week) for found in model.groups]
        [('vN', 4, 7.0)]
    """
    now = require_aware(now, "now")
    if history < WEEK:
        raise InvalidInput.single("no model of pushes", "history", f"must be at least a week, not {history}")
    run = None if policy is None else simulate(policy, inventory, now=now)
    found: dict[str, list[Push]] = {}
    for push in pushes_of(inventory):
        found.setdefault(group(push.images[0]), []).append(push)
    groups = [_group(name, found[name], run, now, history) for name in sorted(found)]
    return PushModel(inventory=inventory, now=now, groups=tuple(groups))


def pushes_of(inventory: Inventory) -> Iterable[Push]:
    """Yield the pushes: every image belongs to that of the index that references it, or of its subject."""
    roots: dict[str, str] = {}

    def root_of(digest: str) -> str:
        way: list[str] = []
        while digest not in roots:
            way.append(digest)
            parents = [p for p in inventory.parents_of(digest) if p.digest not in way]
            above = (
                min(parents, key=lambda p: (p.pushed_at, p.digest)).digest if parents else inventory.subject_of(digest)
            )
            if above is None or above in way or above not in inventory:
                roots[digest] = digest
                break
            digest = above
        for step in way:
            roots[step] = roots[digest]
        return roots[digest]

    members: dict[str, list[Image]] = {}
    for image in inventory:
        members.setdefault(root_of(image.digest), []).append(image)
    for root, images in members.items():
        yield Push((inventory[root], *(i for i in images if i.digest != root)))


def _group(name: str, pushes: Sequence[Push], run: Run | None, now: dt.datetime, history: dt.timedelta) -> PushGroup:
    begun = min(push.at for push in pushes)
    since = max(now - history, begun)
    if run is not None:
        since = max([since, *(_complete_since(run, rule) for rule in _owning_rules(run, pushes))])
    count = max(0, int((now - since) / WEEK))
    weeks: list[list[Push]] = [[] for _ in range(count)]
    for push in pushes:
        # The weeks end now; a push at this very instant belongs to the last, one beyond it to none.
        back = int((now - push.at) / WEEK) if push.at <= now else -1
        if 0 <= back < count:
            weeks[back].append(push)
    return PushGroup(name=name, complete_since=since, weeks=tuple(map(tuple, weeks)))


def _owning_rules(run: Run, pushes: Iterable[Push]) -> set[int]:
    owners = (run.first[run.positions[image.digest]] for push in pushes for image in push.images)
    return {number for number in owners if number >= 0}


def _complete_since(run: Run, number: int) -> dt.datetime:
    """Return since when nothing that the rule decides about can have been deleted by it."""
    chosen = run.selected[number]
    rule = chosen.rule
    if rule.action == "transition":
        return dt.datetime.min.replace(tzinfo=dt.UTC)  # what is archived is still there
    if rule.count_type == "imageCountMoreThan":
        if len(chosen.ranked) < rule.count_number:
            return dt.datetime.min.replace(tzinfo=dt.UTC)
        return run.rank_times[chosen.ranked[rule.count_number - 1]]
    # An image that was pushed within that time cannot have been archived for longer either.
    return cutoff(run.now, rule.count_number)


def renewed(push: Push, shift: dt.timedelta, number: int) -> tuple[list[Image], Mapping[str, str]]:
    """Return the push as it may come again: with other digests and times, and the digests that its images had before.

    A tag with digits in it is that push's own and becomes another of the same form; any other moves along.
    """
    digests = {image.digest: f"sha256:{_MARK + number:032x}{n:032x}" for n, image in enumerate(push.images)}
    images = [
        attrs.evolve(
            image,
            digest=digests[image.digest],
            tags=tuple(_renewed_tag(tag, number) for tag in image.tags),
            pushed_at=image.pushed_at + shift,
            last_pulled_at=None if image.last_pulled_at is None else image.last_pulled_at + shift,
            subject_digest=digests.get(image.subject_digest or "", image.subject_digest),
            status="ACTIVE",
            last_archived_at=None,
            last_activated_at=None,
        )
        for image in push.images
    ]
    return images, digests


_MARK: Final = 0xECC << 116
"""Puts made-up digests where no real one is likely to be."""


def _renewed_tag(tag: str, number: int) -> str:
    runs = list(NUMBER.finditer(tag))
    return tag if not runs else f"{tag[: runs[-1].end()]}{number:07d}{tag[runs[-1].end() :]}"
