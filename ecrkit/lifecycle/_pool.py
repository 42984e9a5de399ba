"""The images of an inventory as columns, newest first, made so that a tag entry is one search in one long string."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Final
from weakref import WeakKeyDictionary

import attrs

from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.glob import compile_glob
from ecrkit.lifecycle.rules import Rule
from ecrkit.records import Image, StorageClass

__all__ = ["Columns", "Pool", "columns_of"]

_ARCHIVE: Final = frozenset({"ARCHIVED", "ACTIVATING"})
_EXACT_SECONDS: Final = float(2**33)
_OPEN, _CLOSE = "\x02", "\x03"


@attrs.frozen(kw_only=True, eq=False)
class Columns:
    """Images newest first, their effective push times, and the pools of the storage classes.

    The effective push time is that of the last restore, if there was one. Of equal times the greater digest is newer.
    """

    images: list[Image]
    times: list[dt.datetime]
    has_subjects: bool
    has_archived: bool
    pools: dict[StorageClass, Pool]


_cache: WeakKeyDictionary[Inventory, Columns] = WeakKeyDictionary()


def columns_of(inventory: Inventory) -> Columns:
    """Return the columns of an inventory; kept as long as it lives, since trying several policies is usual."""
    found = _cache.get(inventory)
    if found is None:
        found = _cache[inventory] = _columns(inventory.images)
    return found


def _columns(images: Sequence[Image]) -> Columns:
    times: list[dt.datetime] = []
    statuses: set[str] = set()
    has_subjects = False
    for image in images:
        times.append(image.last_activated_at or image.pushed_at)
        statuses.add(image.status)
        if image.subject_digest is not None:
            has_subjects = True
    order = _newest_first(times)
    ranked = [images[i] for i in order]
    when = [times[i] for i in order]
    _break_ties(ranked, when)
    archived = bool(statuses & _ARCHIVE)
    if archived:
        here = [i for i, image in enumerate(ranked) if image.status not in _ARCHIVE]
        there = [i for i, image in enumerate(ranked) if image.status in _ARCHIVE]
    else:
        here, there = list(range(len(ranked))), []
    return Columns(
        images=ranked, times=when, has_subjects=has_subjects, has_archived=archived,
        pools={"standard": Pool(ranked, here), "archive": Pool(ranked, there)},
    )  # fmt: skip


def _newest_first(times: list[dt.datetime]) -> list[int]:
    # Floats sort several times faster than datetimes, and tell microseconds apart until the year 2242.
    seconds = [time.timestamp() for time in times]
    if seconds and max(seconds) < _EXACT_SECONDS:
        return sorted(range(len(times)), key=seconds.__getitem__, reverse=True)
    return sorted(range(len(times)), key=times.__getitem__, reverse=True)


def _break_ties(ranked: list[Image], when: list[dt.datetime]) -> None:
    start = 0
    count = len(when)
    for at in range(1, count + 1):
        if at == count or when[at] != when[start]:
            if at - start > 1:
                ranked[start:at] = sorted(ranked[start:at], key=lambda image: image.digest, reverse=True)
            start = at


def _starts_with(prefix: str) -> Callable[[str], bool]:
    return lambda tag: tag.startswith(prefix)


class Pool:
    """The images of one storage class: positions in the ranking, and all their tags joined into one text.

    Looking through the text for a literal costs a fraction of asking tag by tag, since strings lie all over memory.
    """

    def __init__(self, images: Sequence[Image], here: list[int]) -> None:
        self.all = here
        self.untagged: list[int] = []
        self.tags: list[str] = []
        self.owners: list[int] = []
        tags, owners = self.tags, self.owners
        for i in here:
            names = images[i].tags
            if not names:
                self.untagged.append(i)
            elif len(names) == 1:
                tags.append(names[0])
                owners.append(i)
            else:
                tags += names
                owners += [i] * len(names)
        self._text = f"{_OPEN}{(_CLOSE + _OPEN).join(tags)}{_CLOSE}" if tags else ""
        # Only a text that no registry takes as a tag can hold the marks; then every tag is asked on its own.
        self._plain = self._text.count(_OPEN) == len(tags) == self._text.count(_CLOSE)
        self._hits: dict[tuple[bool, str], list[int]] = {}

    def members(self, rule: Rule) -> list[int]:
        """Return the positions of the images that the rule selects, newest first."""
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
            owners = self.owners
            self._hits[key] = list(dict.fromkeys([owners[n] for n in self._scan(is_pattern, entry)]))
        return self._hits[key]

    def _scan(self, is_pattern: bool, entry: str) -> Sequence[int]:
        """Return the numbers of the tags that satisfy the entry; a number may come twice."""
        parts = entry.split("*") if is_pattern else [entry, ""]
        match = compile_glob(entry) if is_pattern else _starts_with(entry)
        if not any(parts) and len(parts) > 1:
            return range(len(self.tags))
        if not self._plain or _OPEN in entry or _CLOSE in entry:
            return [n for n, tag in enumerate(self.tags) if match(tag)]
        if len(parts) == 1:
            return self._find(_OPEN + entry + _CLOSE)
        head, tail, middle = parts[0], parts[-1], [p for p in parts[1:-1] if p]
        # The rarest literal cannot be known; the longest is a good guess, a head or tail being marked counts for it.
        literal = max([_OPEN + head if head else "", tail + _CLOSE if tail else "", *middle], key=len)
        found = self._find(literal)
        if bool(head) + bool(tail) + len(middle) == 1:
            return found
        tags = self.tags
        return [n for n in found if match(tags[n])]

    def _find(self, literal: str) -> list[int]:
        pieces = self._text.split(literal)
        pieces.pop()
        opened = list(accumulate([piece.count(_OPEN) for piece in pieces]))
        if literal.startswith(_OPEN):
            return [count + n for n, count in enumerate(opened)]
        return [count - 1 for count in opened]
