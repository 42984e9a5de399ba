"""The dry run: what ECR would do to every image, computed without a call.

The algorithm, for each storage class: rules in order of priority; each *identifies* the images whose class and tags it
selects, ranks them newest first and *marks* some by count or age. An image belongs to the first rule that identifies
it: that rule acts on it or shields it, and no later rule touches it. Then indexes hold their children, and referrers
follow their subject. Source: ECR user guide, lifecycle policies; the readings of what it leaves open are in
"Lifecycle semantics" of the documentation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from ecrkit._internal.times import UTC, require_aware
from ecrkit.deployments.in_use import InUse
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle._pool import Columns, columns_of
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.rules import CountType, Rule
from ecrkit.lifecycle.run import Run, Selected
from ecrkit.records import Image

__all__ = ["clock_of", "cutoff", "simulate"]

_EARLIEST: Final = dt.datetime.min.replace(tzinfo=UTC)


def simulate(
    policy: LifecyclePolicy | str | Mapping[str, Any],
    inventory: Inventory,
    *,
    now: dt.datetime,
    count_children: bool = True,
    in_use: InUse | None = None,
) -> Run:
    """Return what the policy would do to every image of the inventory at `now`.

    Nothing is called and nothing is changed. The inventory must hold archived images too (DescribeImages with
    `imageStatus=ANY`). Children of indexes that were not read make outcomes uncertain, see `Run.certain`.

    Args:
        policy: the policy, or its text or mapping.
        inventory: the images of one repository.
        now: the instant of the run, with a time zone. Ages are compared as instants, a day is 24 hours.
        count_children: whether children of indexes take places in the ranking of imageCountMoreThan. ECR does not
            document it; False leaves them out of rank and mark.
        in_use: the images that run somewhere; the run says which of them would go, and its plan is refused then.

    Raises:
        InvalidInput: `in_use` is given and the inventory names no repository.
        LifecyclePolicyError: the text or mapping is no valid policy.
        ValueError: `now` has no time zone.

    Example:
        >>> images = [{"imageDigest": "sha256:" + c * 64, "imagePushedAt": 1767225600 + n} for n, c in enumerate("ab")]
        >>> run = simulate({"rules": [{"rulePriority": 1, "action": {"type": "expire"}, "selection": {
        ...     "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}]},
        ...     Inventory.from_api(images), now=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
        >>> [digest[:8] for digest in run.expired]
        ['sha256:a']
    """
    if not isinstance(policy, LifecyclePolicy):
        policy = LifecyclePolicy.parse(policy)
    now = require_aware(now, "now")
    columns = columns_of(inventory)
    first = [-1] * len(inventory)
    marked = bytearray(len(inventory))
    selected: list[Selected] = []
    for number, rule in enumerate(policy.rules):
        members = columns.pools[rule.storage_class].members(rule)
        ranked: Sequence[int] = members
        if rule.count_type == "imageCountMoreThan":
            ranked = sorted(members)
            if not count_children:
                ranked = [i for i in ranked if not inventory.parents_of(columns.images[i].digest)]
            going: Iterable[int] = ranked[rule.count_number :]
            edge = None
        else:
            edge = cutoff(now, rule.count_number)
            going = _older(columns, members, rule, edge)
        fresh = [i for i in members if first[i] < 0]
        for i in fresh:
            first[i] = number
        if len(fresh) == len(members):
            for i in going:
                marked[i] = 1
        else:
            for i in going:
                if first[i] == number:
                    marked[i] = 1
        selected.append(Selected(rule=rule, members=members, ranked=ranked, cutoff=edge))
    return Run.build(
        policy=policy, inventory=inventory, now=now, columns=columns, first=first, marked=marked,
        selected=tuple(selected), count_children=count_children, in_use=in_use,
    )  # fmt: skip


def cutoff(now: dt.datetime, days: int) -> dt.datetime:
    """Return the instant that many days of 24 hours ago, or the beginning of time."""
    try:
        return now - dt.timedelta(days=days)
    except OverflowError:
        return _EARLIEST  # no image is that old


def clock_of(image: Image, count_type: CountType) -> dt.datetime | None:
    """Return the time that a rule of that count type measures the image's age from; None when ECR did not tell it.

    Pushed: the push, or the last restore. Pulled: the last pull, or the last restore when that is later, or the push of
    an image that was never pulled. Transitioned: the last time it was archived.
    """
    if count_type == "sinceImageTransitioned":
        return image.last_archived_at
    start = image.last_activated_at or image.pushed_at
    if count_type != "sinceImagePulled" or image.last_pulled_at is None:
        return start
    if image.last_activated_at is not None:
        return max(image.last_pulled_at, image.last_activated_at)
    return image.last_pulled_at


def _older(columns: Columns, members: list[int], rule: Rule, cutoff: dt.datetime) -> list[int]:
    if rule.count_type == "sinceImagePushed":
        edge = columns.older_from(cutoff)
        return [i for i in members if i >= edge]
    images = columns.images
    return [i for i in members if (when := clock_of(images[i], rule.count_type)) is not None and when < cutoff]
