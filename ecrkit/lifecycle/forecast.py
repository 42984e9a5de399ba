"""What a repository will hold: the policy run over weeks of pushes drawn from its own history, many times over."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, size, text_table
from ecrkit._internal.times import iso, require_aware
from ecrkit.errors import InvalidInput
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.pushes import WEEK, Backtest, PushModel, fit_pushes, quantile, renewed
from ecrkit.lifecycle.simulate import simulate
from ecrkit.ports import StoragePrices
from ecrkit.records import Image

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Forecast", "ForecastWeek", "Interval", "MonthlyCost", "QuotaDate", "forecast"]

IMAGES_PER_REPOSITORY: Final = 100_000
"""ECR's quota, not adjustable (ECR user guide, service quotas)."""


@attrs.frozen
class Interval(Record):
    """A number that is not known: what is expected, and between what it lies with the forecast's level."""

    low: float
    expected: float
    high: float


@attrs.frozen(kw_only=True)
class ForecastWeek(Record):
    """The repository at the end of a week, after the policy has run: images, stored bytes, and what expired so far.

    `bytes` is None when the manifests of some images were not read: sums of image sizes count shared layers twice.
    """

    at: dt.datetime
    images: Interval
    bytes: Interval | None
    expired: Interval


@attrs.frozen(kw_only=True)
class MonthlyCost(Record):
    """What is stored at an instant costs a month: what is expected, and between what it lies."""

    at: dt.datetime
    low: Decimal
    expected: Decimal
    high: Decimal
    currency: str


@attrs.frozen(kw_only=True)
class QuotaDate(Record):
    """When a number of images is reached: in which share of the drawn futures, in the earliest and in the middle one.

    `median` is None when fewer than half of them reach it within the forecast.
    """

    limit: int
    share: float
    earliest: dt.datetime | None
    median: dt.datetime | None


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Forecast:
    """What a repository will hold under a policy, if it is pushed to as it was.

    `weeks` are the weeks to come. `warnings` says what the forecast cannot know; with any, it is not `certain`.
    """

    repository: str
    now: dt.datetime
    level: float
    model: PushModel
    weeks: tuple[ForecastWeek, ...]
    paths: tuple[tuple[int, ...], ...] = attrs.field(repr=False)
    warnings: tuple[str, ...]
    backtests: Mapping[str, Backtest | None]

    @property
    def certain(self) -> bool:
        """Whether it rests on history alone; numbers to come are never certain in any other sense."""
        return not self.warnings

    def reaches(self, images: int = IMAGES_PER_REPOSITORY) -> QuotaDate:
        """Return when the repository holds so many images, by default as many as ECR's quota allows."""
        firsts = [next((n for n, count in enumerate(path) if count >= images), None) for path in self.paths]
        hit = sorted(n for n in firsts if n is not None)
        middle = hit[len(firsts) // 2] if len(hit) * 2 > len(firsts) else None
        return QuotaDate(
            limit=images,
            share=len(hit) / len(firsts),
            earliest=self.weeks[hit[0]].at if hit else None,
            median=None if middle is None else self.weeks[middle].at,
        )

    def monthly_cost(self, prices: StoragePrices) -> tuple[MonthlyCost, ...]:
        """Return what the stored bytes cost a month at the end of each week, in the standard class.

        Raises:
            InvalidInput: the forecast does not know the bytes, since manifests were not read.
        """
        found: list[MonthlyCost] = []
        for week in self.weeks:
            if week.bytes is None:
                message = "are not known: read every manifest, for example with inventory(manifests='all')"
                raise InvalidInput.single("no cost", "bytes", message)
            parts = (week.bytes.low, week.bytes.expected, week.bytes.high)
            low, expected, high = (prices.standard_month(round(part)) for part in parts)
            found.append(
                MonthlyCost(
                    at=week.at, low=low.amount, expected=expected.amount, high=high.amount, currency=low.currency
                )
            )
        return tuple(found)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one list per column, one entry per week; bytes are None where they are not known."""
        found: dict[str, list[Any]] = {"at": [week.at for week in self.weeks]}
        for name in ("images", "bytes", "expired"):
            for part in ("low", "expected", "high"):
                told = [getattr(week, name) for week in self.weeks]
                found[f"{name}_{part}"] = [None if t is None else getattr(t, part) for t in told]
        return found

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame with a row per week.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def to_dict(self) -> dict[str, Any]:
        """Return the forecast as a JSON-ready mapping."""
        return {
            "repository": self.repository,
            "now": iso(self.now),
            "level": self.level,
            "warnings": list(self.warnings),
            "weeks": [week.to_dict() for week in self.weeks],
            "backtests": {name: None if test is None else test.to_dict() for name, test in self.backtests.items()},
        }

    @cached_property
    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (week.at.date().isoformat(), _told(week.images), _told(week.expired), _bytes_told(week.bytes))
            for week in self.weeks
        ]

    def to_text(self) -> str:
        """Return a summary, what the forecast cannot know, and a table with a row per week."""
        tests = [
            f"{name}: " + ("too short a history to test" if test is None else _tested(test))
            for name, test in self.backtests.items()
        ]
        head = [repr(self)[1:-1], *(f"not known: {text}" for text in self.warnings), *tests]
        return "\n".join([*head, text_table(_HEADER, self._rows, right=frozenset({1, 2, 3}))])

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows, caption=repr(self)[1:-1])

    @override
    def __repr__(self) -> str:
        last = self.weeks[-1]
        return (
            f"<Forecast of {self.repository or 'repository'}: {_told(last.images)} images on {last.at.date()}, "
            f"{self.model.per_week:.1f} pushes a week>"
        )


_HEADER: Final = ("week until", "images", "expired so far", "stored")


def _told(value: Interval) -> str:
    return f"{value.expected:.0f} ({value.low:.0f} to {value.high:.0f})"


def _bytes_told(value: Interval | None) -> str:
    if value is None:
        return "not known"
    return f"{size(round(value.expected))} ({size(round(value.low))} to {size(round(value.high))})"


def _tested(test: Backtest) -> str:
    wrong = "where nothing was pushed"
    if test.relative_error is not None:
        wrong = f"by {test.relative_error:.0%} of the pushes"
    return (
        f"{test.horizon_weeks} weeks ahead it would have been wrong {wrong}, and "
        f"within the {test.level:.0%} interval {test.coverage:.0%} of the time, over {test.origins} origins"
    )


def forecast(
    policy: LifecyclePolicy | str | Mapping[str, Any] | None,
    inventory: Inventory,
    *,
    now: dt.datetime,
    days: int = 90,
    live_policy: LifecyclePolicy | str | Mapping[str, Any] | None = None,
    model: PushModel | None = None,
    level: float = 0.8,
    paths: int = 40,
    seed: int = 0,
) -> Forecast:
    """Return what the repository will hold under a policy, week by week, with intervals.

    Weeks of the repository's own history are drawn at random as weeks to come, `paths` times; the policy is run at the
    end of each. Nobody's pulls and deletions by hand are forecast. Calls nothing; takes `paths` dry runs a week.

    Args:
        policy: that is to run; None for none.
        inventory: the images of one repository, archived ones included. Bytes need every manifest.
        now: the beginning.
        days: how far to look ahead, rounded up to weeks.
        live_policy: the policy that has run so far, when it is another one: it says which history is whole.
        model: of the pushes; by default fitted to the inventory.
        level: how much of the drawn futures the intervals cover, between 0 and 1.
        paths: how many futures are drawn.
        seed: of the draws; the same seed gives the same answer.

    Raises:
        LifecyclePolicyError: it is no valid policy.
        InvalidInput: an argument is out of range.

    Example:
        >>> from ecrkit.lifecycle import build, keep_last
        >>> now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        >>> images = [{"imageDigest": f"sha256:{n:064x}", "imageTags": [f"v{n}"],
        ...            "imagePushedAt": now.timestamp() - n * 86400} for n in range(29)]
        >>> found = forecast(build(keep_last(50)), Inventory.from_api(images), now=now, days=28)
        >>> found.weeks[0].images.expected, found.weeks[-1].images.expected
        (36.0, 50.0)
    """
    now = require_aware(now, "now")
    for name, ok, message in (
        ("days", days >= 1, f"must be 1 or more, not {days}"),
        ("paths", paths >= 1, f"must be 1 or more, not {paths}"),
        ("level", 0 < level < 1, f"must lie between 0 and 1, not {level}"),
    ):
        if not ok:
            raise InvalidInput.single("no forecast", name, message)
    parsed = _parsed(policy)
    ran = _parsed(live_policy) if live_policy is not None else parsed
    fitted = model if model is not None else fit_pushes(inventory, now=now, policy=ran)
    count = -(-days // 7)
    drawn = random.Random(seed)  # noqa: S311 - a model, no secret
    ledger = _Ledger.of(inventory)
    runs = [
        _path(policy=parsed, inventory=inventory, model=fitted, weeks=count, drawn=drawn, now=now, ledger=ledger)
        for _ in range(paths)
    ]
    weeks = tuple(_week(now + WEEK * (n + 1), [run[n] for run in runs], level) for n in range(count))
    return Forecast(
        repository=inventory.repository, now=now, level=level, model=fitted, weeks=weeks,
        paths=tuple(tuple(step.images for step in run) for run in runs),
        warnings=tuple(_warnings(fitted, parsed, inventory, ledger)),
        backtests={group.name: group.backtest(level=level, seed=seed) for group in fitted.groups if group.known},
    )  # fmt: skip


def _parsed(policy: LifecyclePolicy | str | Mapping[str, Any] | None) -> LifecyclePolicy | None:
    return policy if policy is None or isinstance(policy, LifecyclePolicy) else LifecyclePolicy.parse(policy)


def _warnings(
    model: PushModel, policy: LifecyclePolicy | None, inventory: Inventory, ledger: _Ledger | None
) -> Iterable[str]:
    if model.unknown:
        names = ", ".join(model.unknown[:5]) + (" and more" if len(model.unknown) > 5 else "")
        yield f"the pushes of {names}: there is no whole week of which nothing was deleted; counted as none"
    if policy is not None and any(rule.count_type == "sinceImagePulled" for rule in policy):
        yield "pulls: images that will be pulled are archived here as if they were not"
    if ledger is None:
        yield "bytes: the manifests of some images were not read"
    if inventory.opaque_indexes:
        yield "which images are children of indexes: the manifests of some indexes were not read"


# ---- one future


@attrs.frozen
class _Step:
    images: int
    bytes: int | None
    expired: int


class _Ledger:
    """The bytes of a growing and shrinking set of images, each blob counted once."""

    def __init__(
        self,
        sizes: dict[str, int],
        blobs: dict[str, frozenset[str]],
        new_with: Mapping[str, frozenset[str]],
    ) -> None:
        self._sizes, self._blobs, self._new_with = sizes, blobs, new_with
        self._held: dict[str, int] = {}
        self.total = 0

    @classmethod
    def of(cls, inventory: Inventory) -> _Ledger | None:
        """Return the ledger of the inventory, or None when a manifest is missing that bytes would need."""
        sizes: dict[str, int] = {}
        blobs: dict[str, frozenset[str]] = {}
        new_with: dict[str, frozenset[str]] = {}
        seen: set[str] = set()
        for image in sorted(inventory, key=lambda i: (i.pushed_at, i.digest)):
            manifest = inventory.manifests.get(image.digest)
            if manifest is None:
                if not image.is_index:
                    return None
                continue
            blobs[image.digest] = frozenset(manifest.blob_digests)
            sizes.update(inventory.blobs.least(manifest.blob_digests))
            new_with[image.digest] = blobs[image.digest] - seen
            seen |= blobs[image.digest]
        return cls(sizes, blobs, new_with)

    def copy(self) -> _Ledger:
        """Return a ledger of the same images with counts of its own."""
        return _Ledger(dict(self._sizes), dict(self._blobs), self._new_with)

    def add(self, digest: str) -> None:
        """Count the blobs of an image."""
        for blob in self._blobs.get(digest, ()):
            held = self._held.get(blob, 0)
            if not held:
                self.total += self._sizes[blob]
            self._held[blob] = held + 1

    def remove(self, digest: str) -> None:
        """Count the blobs of an image no longer."""
        for blob in self._blobs.get(digest, ()):
            self._held[blob] -= 1
            if not self._held[blob]:
                self.total -= self._sizes[blob]

    def renew(self, former: Iterable[Image], digests: Mapping[str, str], number: int) -> None:
        """Give the images of a push their blobs: those that it brought are new again, the others are shared."""
        for image in former:
            own = self._new_with.get(image.digest, frozenset())
            blobs = self._blobs.get(image.digest, frozenset())
            fresh = {blob: f"{blob}+{number}" for blob in own}
            self._sizes.update((new, self._sizes[old]) for old, new in fresh.items())
            self._blobs[digests[image.digest]] = frozenset(fresh.get(blob, blob) for blob in blobs)


def _path(
    *,
    policy: LifecyclePolicy | None,
    inventory: Inventory,
    model: PushModel,
    weeks: int,
    drawn: random.Random,
    now: dt.datetime,
    ledger: _Ledger | None,
) -> list[_Step]:
    images = {image.digest: image for image in inventory}
    children = dict(inventory.children)
    holders = {tag: image.digest for image in inventory for tag in image.tags}
    book = None if ledger is None else ledger.copy()
    if book is not None:
        for digest in images:
            book.add(digest)
    steps: list[_Step] = []
    expired = number = 0
    for n, week in enumerate(model.draw(weeks, drawn)):
        for push, shift in week:
            number += 1
            made, digests = renewed(push, shift, number)
            for image in made:
                for tag in image.tags:  # a tag names one image: its former holder loses it
                    holder = images.get(holders.get(tag, ""))
                    if holder is not None:
                        kept = tuple(t for t in holder.tags if t != tag)
                        images[holder.digest] = attrs.evolve(holder, tags=kept)
                    holders[tag] = image.digest
                images[image.digest] = image
            for image in push.images:
                if image.digest in inventory.children:
                    listed = inventory.children[image.digest]
                    children[digests[image.digest]] = tuple(digests.get(child, child) for child in listed)
            if book is not None:
                book.renew(push.images, digests, number)
                for image in made:
                    book.add(image.digest)
        at = now + WEEK * (n + 1)
        gone = _run(policy, images, children, at) if policy is not None else []
        expired += len(gone)
        for digest in gone:
            if book is not None:
                book.remove(digest)
        steps.append(_Step(len(images), None if book is None else book.total, expired))
    return steps


def _run(
    policy: LifecyclePolicy, images: dict[str, Image], children: dict[str, tuple[str, ...]], at: dt.datetime
) -> list[str]:
    """Run the policy, change the images accordingly, and return what expired."""
    run = simulate(policy, Inventory(images.values(), children=children), now=at)
    gone = [*run.expired, *(d for d in run.cascaded if run.following[d][0] == "expire")]
    stored = [*run.transitioned, *(d for d in run.cascaded if run.following[d][0] == "transition")]
    for digest in stored:
        images[digest] = attrs.evolve(images[digest], status="ARCHIVED", last_archived_at=at)
    for digest in gone:
        del images[digest]
        children.pop(digest, None)
    return gone


def _week(at: dt.datetime, steps: Sequence[_Step], level: float) -> ForecastWeek:
    known = [step.bytes for step in steps if step.bytes is not None]
    return ForecastWeek(
        at=at,
        images=_interval([step.images for step in steps], level),
        bytes=_interval(known, level) if len(known) == len(steps) else None,
        expired=_interval([step.expired for step in steps], level),
    )


def _interval(values: Sequence[int], level: float) -> Interval:
    ordered = sorted(values)
    low, high = quantile(ordered, (1 - level) / 2), quantile(ordered, (1 + level) / 2)
    return Interval(low, sum(ordered) / len(ordered), high)
