"""What a lifecycle policy is to keep: a goal, the families of tags it speaks of, and what must stay for it."""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Final, Literal, Self

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import require_aware
from ecrkit.deployments.in_use import InUse
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.conventions import TagConvention
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.glob import compile_glob
from ecrkit.lifecycle.pushes import COMMIT, NUMBER
from ecrkit.lifecycle.simulate import cutoff
from ecrkit.ports import StoragePrices
from ecrkit.records import Image

__all__ = [
    "PROTECTED",
    "Family",
    "Goal",
    "bytes_within",
    "families_of",
    "holders_of",
    "must_stay",
    "newest_key",
    "protective_tags",
    "pushed_of",
    "with_tags",
]

PROTECTED: Final = "in-use-"
"""How the tags begin that protect images in use."""
_TEMPORARY: Final = re.compile(r"(?:pr|dev|feature|feat|test|tmp|snapshot|preview|nightly|ci|build)(?:[-_.]|\*)")


@attrs.frozen(kw_only=True)
class Family(Record):
    """Tags of one kind: `release` images are kept by number, `temporary` ones by age.

    `pattern` is as in a lifecycle policy: only `*` is special, at most four times.
    """

    pattern: str
    kind: Literal["release", "temporary"]

    @classmethod
    def of(cls, convention: TagConvention, kind: Literal["release", "temporary"] | None = None) -> Self:
        """Return the family of a tag convention; one with a version is of releases unless the caller says otherwise.

        Example:
            >>> Family.of(TagConvention(name="preview", template="pr-{n}-{sha}"))
            Family(pattern='pr-*-*', kind='temporary')
        """
        versions = any(field == "version" for field in convention.fields)
        return cls(pattern=convention.pattern, kind=kind or ("release" if versions else "temporary"))


def _listed(patterns: str | Iterable[str]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else tuple(patterns)


@attrs.frozen(kw_only=True)
class Goal(Record):
    """What a policy is to keep. Everything that no part of the goal keeps may go.

    Attributes:
        keep_releases: so many of the newest images of each release family.
        temporary_days: images of temporary families stay for so long after the push.
        untagged_days: untagged images stay for so long; what an index holds stays with the index.
        keep_days: nothing that was pushed within so many days goes, whatever it is.
        rollback_depth: so many images of a release family that were pushed before each one in use.
        never_delete: tag patterns of which no image may ever go.
        max_bytes: how much may be stored in the end; `bytes_within` tells what a budget in money pays for.
    """

    keep_releases: int = 10
    temporary_days: int = 14
    untagged_days: int = 7
    keep_days: int = 0
    rollback_depth: int = 0
    never_delete: tuple[str, ...] = attrs.field(default=(), converter=_listed)
    max_bytes: int | None = None

    def __attrs_post_init__(self) -> None:
        problems = [
            Problem(name, f"must be {least} or more, not {value!r:.40}")
            for name, value, least in (
                ("keep_releases", self.keep_releases, 1), ("temporary_days", self.temporary_days, 1),
                ("untagged_days", self.untagged_days, 1), ("keep_days", self.keep_days, 0),
                ("rollback_depth", self.rollback_depth, 0), ("max_bytes", self.max_bytes or 0, 0),
            )
            if type(value) is not int or value < least
        ]  # fmt: skip
        problems += [
            Problem(f"never_delete[{n}]", f"{pattern!r:.80} has more than four wildcards, which ECR refuses")
            for n, pattern in enumerate(self.never_delete)
            if pattern.count("*") > 4
        ]
        problems += [
            Problem(f"never_delete[{n}]", "must be a tag pattern with at least one character")
            for n, pattern in enumerate(self.never_delete)
            if not pattern
        ]
        if problems:
            raise InvalidInput("not a goal of a lifecycle policy", problems)


_MOST_BYTES: Final = 2**63


def bytes_within(budget: Decimal, prices: StoragePrices, *, already: int = 0) -> int:
    """Return how many bytes a budget pays for in a month in the standard class, such as for `Goal.max_bytes`.

    Args:
        budget: in the currency of the prices.
        prices: of the Region.
        already: what the account stores besides, in bytes.

    Raises:
        InvalidInput: the budget is negative, or storage costs nothing.
    """
    if not budget >= 0:
        raise InvalidInput.single("no budget", "budget", f"must be 0 or more, not {budget}")
    low, high = 0, _MOST_BYTES
    if prices.standard_month(high, already=already).amount <= budget:
        raise InvalidInput.single("no budget", "prices", "storage costs nothing, so no budget bounds it")
    while high - low > 1:
        middle = (low + high) // 2
        if prices.standard_month(middle, already=already).amount <= budget:
            low = middle
        else:
            high = middle
    return low


def families_of(inventory: Iterable[Image]) -> tuple[Family, ...]:
    """Return the families that the tags of the images suggest, releases first, narrower patterns before wider ones.

    Tags of one shape are a family: digits and commits in it become `*`. One that begins with `pr-`, `dev-`, `feature/`
    and the like, or that is nothing but a commit, is temporary; others are releases. A tag without digits is none: it
    moves, and holds one image.

    Example:
        >>> at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        >>> images = [Image(digest=f"sha256:{n:064x}", tags=(tag,), pushed_at=at)
        ...           for n, tag in enumerate(("v1.2.3", "v1.2.4", "pr-7", "latest"))]
        >>> [(family.pattern, family.kind) for family in families_of(images)]
        [('v*.*.*', 'release'), ('pr-*', 'temporary')]
    """
    found: dict[str, Family] = {}
    for image in inventory:
        for tag in image.tags:
            parts = NUMBER.sub("*", COMMIT.sub("*", tag)).split("*")
            if len(parts) == 1:
                continue
            # ECR takes four wildcards; the rest of a longer tag is covered by the last.
            pattern = "*".join(parts) if len(parts) <= 5 else "*".join([*parts[:4], ""])
            temporary = bool(_TEMPORARY.match(pattern)) or COMMIT.fullmatch(tag) is not None
            found.setdefault(pattern, Family(pattern=pattern, kind="temporary" if temporary else "release"))
    return tuple(sorted(found.values(), key=lambda f: (f.kind != "release", _width(f.pattern), f.pattern)))


def _width(pattern: str) -> int:
    return -len(pattern.replace("*", ""))


def must_stay(
    inventory: Inventory,
    goal: Goal,
    *,
    now: dt.datetime,
    families: Sequence[Family],
    in_use: InUse | None = None,
) -> dict[str, tuple[str, ...]]:
    """Return every image that the goal keeps, with the reasons; archived ones only where they are in use.

    Signatures, SBOMs and attestations stay with their image. What the indexes among them hold stays with them and is
    not listed for their sake; an index that holds an untagged image which must stay is.
    """
    now = require_aware(now, "now")
    found: dict[str, dict[str, None]] = {}

    def keep(image: Image, why: str) -> None:
        found.setdefault(image.digest, {})[why] = None

    active = sorted((i for i in inventory if i.status == "ACTIVE"), key=newest_key, reverse=True)
    used = {} if in_use is None else in_use.in_inventory(inventory).by_digest
    for digest, uses in used.items():
        keep(inventory[digest], f"in use by {uses[0].workload}")
        for child in _unheld(inventory, digest):
            keep(inventory[child], f"in use: {digest[:19]} references it, and an archived index holds nothing")
            _keep_subjects(inventory, child, keep)
        _keep_subjects(inventory, digest, keep)
    for pattern in goal.never_delete:
        match = compile_glob(pattern)
        for image in inventory:
            if any(map(match, image.tags)):
                keep(image, f"tags like {pattern} are never deleted")
    if goal.keep_days:
        edge = cutoff(now, goal.keep_days)
        for image in active:
            if pushed_of(image) >= edge:
                keep(image, f"pushed within {goal.keep_days} days")
    for family in families:
        match = compile_glob(family.pattern)
        members = [image for image in active if any(map(match, image.tags))]
        if family.kind == "temporary":
            edge = cutoff(now, goal.temporary_days)
            for image in members:
                if pushed_of(image) >= edge:
                    keep(image, f"{family.pattern} of the last {goal.temporary_days} days")
            continue
        for image in members[: goal.keep_releases]:
            keep(image, f"one of the newest {goal.keep_releases} of {family.pattern}")
        running = [n for n, image in enumerate(members) if image.digest in used]
        for n in running:
            for image in members[n + 1 : n + 1 + goal.rollback_depth]:
                keep(image, f"a step back from {','.join(members[n].tags)}, which is in use")
    edge = cutoff(now, goal.untagged_days)
    for image in active:
        alone = (
            not image.tags and not holders_of(inventory, image.digest) and inventory.subject_of(image.digest) is None
        )
        if alone and pushed_of(image) >= edge:
            keep(image, f"untagged for no more than {goal.untagged_days} days")
    for digest in list(found):
        _keep_holders(inventory, digest, keep)
    waiting = list(found)
    while waiting:
        subject = waiting.pop()
        for referrer in inventory.referrers_of(subject):
            if referrer.digest not in found:
                waiting.append(referrer.digest)
            keep(referrer, f"refers to {subject[:19]}, which must stay")
    return {digest: tuple(reasons) for digest, reasons in found.items()}


def holders_of(inventory: Inventory, digest: str) -> list[Image]:
    """Return the indexes that hold an image while they stay; one that is archived holds nothing."""
    return [p for p in inventory.parents_of(digest) if p.status != "ARCHIVED" and p.digest != digest]


def _unheld(inventory: Inventory, digest: str) -> Iterable[str]:
    """Yield what an archived index, or one below it, references and does not hold."""
    seen, waiting = {digest}, [digest]
    while waiting:
        at = waiting.pop()
        for child in inventory.children_of(at):
            if child in inventory and child not in seen:
                seen.add(child)
                waiting.append(child)
                if inventory[at].status == "ARCHIVED":
                    yield child


def _keep_subjects(inventory: Inventory, digest: str, keep: Callable[[Image, str], None]) -> None:
    """Keep what an image refers to: it would go with its subject."""
    seen = {digest}
    subject = inventory.subject_of(digest)
    while subject is not None and subject in inventory and subject not in seen:
        keep(inventory[subject], f"in use: {digest[:19]} refers to it and would go with it")
        seen.add(subject)
        subject = inventory.subject_of(subject)


def _keep_holders(inventory: Inventory, digest: str, keep: Callable[[Image, str], None]) -> None:
    """Keep an index for an untagged image that only lives as long as an index holds it."""
    seen = {digest}
    while not inventory[digest].tags and (parents := holders_of(inventory, digest)):
        holder = max(parents, key=lambda p: (bool(p.tags), newest_key(p)))
        if holder.digest in seen:
            return
        keep(holder, f"holds {digest[:19]}, which must stay")
        seen.add(holder.digest)
        digest = holder.digest


def pushed_of(image: Image) -> dt.datetime:
    """Return when an image was pushed, or restored, which counts as a push."""
    return image.last_activated_at or image.pushed_at


def newest_key(image: Image) -> tuple[dt.datetime, str]:
    """Return what sorts images by age as ECR ranks them: of equal times the greater digest is newer."""
    return pushed_of(image), image.digest


def protective_tags(inventory: Inventory, digests: Iterable[str]) -> dict[str, str]:
    """Return a tag for each of the images, by digest, that no other image has or gets: a tag names one image only."""
    wanted = list(dict.fromkeys(digests))
    short = Counter(digest[7:19] for digest in wanted)

    def tag(digest: str) -> str:
        found = f"{PROTECTED}{digest[7:19]}"
        taken = short[digest[7:19]] > 1 or inventory.by_tag(found) is not None
        return f"{PROTECTED}{digest[7:]}" if taken else found

    return {digest: tag(digest) for digest in wanted}


def with_tags(inventory: Inventory, tags: Mapping[str, str]) -> Inventory:
    """Return the inventory as it is when these images, by digest, have got one tag more each."""
    if not tags:
        return inventory
    images = (attrs.evolve(i, tags=(*i.tags, tags[i.digest])) if i.digest in tags else i for i in inventory)
    return attrs.evolve(inventory, images=tuple(images))
