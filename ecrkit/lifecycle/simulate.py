"""The dry run: what ECR would do to every image, computed without a call.

The algorithm, for each storage class: rules in order of priority; each *identifies* the images whose class and tags it
selects, ranks them newest first and *marks* some by count or age. An image belongs to the first rule that identifies
it: that rule acts on it or shields it, and no later rule touches it. Then indexes hold their children, and referrers
follow their subject. Source: ECR user guide, lifecycle policies; the readings of what it leaves open are in
"Lifecycle semantics" of the documentation.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from ecrkit._internal.times import UTC, require_aware
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.glob import compile_glob
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.run import Run, Selected
from ecrkit.records import Image, StorageClass

__all__ = ["clock_of", "simulate"]

_EARLIEST: Final = dt.datetime.min.replace(tzinfo=UTC)


def simulate(
    policy: LifecyclePolicy | str | Mapping[str, Any],
    inventory: Inventory,
    *,
    now: dt.datetime,
    count_children: bool = True,
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

    Raises:
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
    images, rank_times = _newest_first(inventory.images)
    first = [-1] * len(images)
    marked = bytearray(len(images))
    selected: list[Selected] = []
    pools: dict[StorageClass, _Pool] = {}
    for number, rule in enumerate(policy.rules):
        pool = pools.get(rule.storage_class)
        if pool is None:
            pool = pools[rule.storage_class] = _Pool(images, rule.storage_class)
        members = pool.members(rule)
        ranked: Sequence[int] = members
        if rule.count_type == "imageCountMoreThan":
            if not count_children:
                ranked = [i for i in members if not inventory.parents_of(images[i].digest)]
            going: Iterable[int] = ranked[rule.count_number :]
            cutoff = None
        else:
            cutoff = _cutoff(now, rule.count_number)
            going = _older(images, rank_times, members, rule, cutoff)
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
        selected.append(Selected(rule=rule, members=members, ranked=ranked, cutoff=cutoff))
    return Run.build(
        policy=policy, inventory=inventory, now=now, images=images, rank_times=rank_times, first=first, marked=marked,
        selected=tuple(selected), count_children=count_children,
    )  # fmt: skip


def _newest_first(images: Sequence[Image]) -> tuple[list[Image], list[dt.datetime]]:
    """Return images and effective push times, newest first; of equal times the greater digest counts as newer."""
    times = [image.last_activated_at or image.pushed_at for image in images]
    order = sorted(range(len(images)), key=times.__getitem__, reverse=True)
    ranked = [images[i] for i in order]
    when = [times[i] for i in order]
    start = 0
    for at in range(1, len(when) + 1):
        if at == len(when) or when[at] != when[start]:
            if at - start > 1:
                ranked[start:at] = sorted(ranked[start:at], key=lambda image: image.digest, reverse=True)
            start = at
    return ranked, when


class _Pool:
    """The images of one storage class, newest first, flattened so that a tag entry is one pass over strings."""

    def __init__(self, images: Sequence[Image], storage: StorageClass) -> None:
        archived = storage == "archive"
        here = [i for i, image in enumerate(images) if (image.status in _ARCHIVE) == archived]
        self.all: list[int] = here
        self.untagged: list[int] = []
        self.tags: list[str] = []
        self.owners: list[int] = []
        tags, owners = self.tags, self.owners
        for i in here:
            names = images[i].tags
            if len(names) == 1:
                tags.append(names[0])
                owners.append(i)
            elif names:
                tags.extend(names)
                owners.extend([i] * len(names))
            else:
                self.untagged.append(i)
        self._hits: dict[tuple[bool, str], list[int]] = {}

    def members(self, rule: Rule) -> list[int]:
        if rule.tag_status == "any":
            return self.all
        if rule.tag_status == "untagged":
            return self.untagged
        entries = [(False, p) for p in rule.tag_prefixes] + [(True, p) for p in rule.tag_patterns]
        found = self._hit(*entries[0])
        for entry in entries[1:]:
            other = set(self._hit(*entry))
            found = [i for i in found if i in other]
        return found

    def _hit(self, is_pattern: bool, entry: str) -> list[int]:
        """Return the images of which some tag satisfies the entry, newest first."""
        key = (is_pattern, entry)
        if key not in self._hits:
            hits = self._scan(is_pattern, entry)
            self._hits[key] = list(dict.fromkeys(hits))
        return self._hits[key]

    def _scan(self, is_pattern: bool, entry: str) -> list[int]:
        pairs = zip(self.tags, self.owners, strict=True)
        if is_pattern:
            parts = entry.split("*")
            if len(parts) == 1:
                return [i for tag, i in pairs if tag == entry]
            if len(parts) == 3 and not parts[0] and not parts[2]:
                inside = parts[1]
                return [i for tag, i in pairs if inside in tag]
            if len(parts) > 2 or parts[1]:
                match: Callable[[str], bool] = compile_glob(entry)
                return [i for tag, i in pairs if match(tag)]
            entry = parts[0]
        # A slice compares at half the cost of a call of startswith.
        length = len(entry)
        return [i for tag, i in pairs if tag[:length] == entry]


_ARCHIVE: Final = frozenset({"ARCHIVED", "ACTIVATING"})


def _cutoff(now: dt.datetime, days: int) -> dt.datetime:
    try:
        return now - dt.timedelta(days=days)
    except OverflowError:
        return _EARLIEST  # no image is that old


def clock_of(image: Image, rule: Rule) -> dt.datetime | None:
    """Return the time that the rule measures the image's age from; None when ECR did not tell it.

    Pushed: the push, or the last restore. Pulled: the last pull, or the last restore when that is later, or the push of
    an image that was never pulled. Transitioned: the last time it was archived.
    """
    if rule.count_type == "sinceImageTransitioned":
        return image.last_archived_at
    start = image.last_activated_at or image.pushed_at
    if rule.count_type != "sinceImagePulled" or image.last_pulled_at is None:
        return start
    if image.last_activated_at is not None:
        return max(image.last_pulled_at, image.last_activated_at)
    return image.last_pulled_at


def _older(
    images: Sequence[Image], rank_times: Sequence[dt.datetime], members: Sequence[int], rule: Rule, cutoff: dt.datetime
) -> list[int]:
    if rule.count_type == "sinceImagePushed":
        return [i for i in members if rank_times[i] < cutoff]
    return [i for i in members if (when := clock_of(images[i], rule)) is not None and when < cutoff]
