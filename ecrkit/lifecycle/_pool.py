"""The images of an inventory as columns, newest first, made so that a tag entry is one search in one long string."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain, compress, count, repeat
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
_MARKS: Final = (_OPEN, _CLOSE, "\x01", "\x04")
_ALL_BUT_START_AND_HIT: Final = bytes(b for b in range(256) if b not in (1, 2))
_START_OR_HIT: Final = bytes.maketrans(b"\x02", b"\x00")
_START_OR_FOLLOWED: Final = bytes.maketrans(b"\x02\x04", b"\x00\x01")


@attrs.frozen(kw_only=True, eq=False)
class Columns:
    """Images newest first, their effective push times, and the pools of the storage classes.

    The effective push time is that of the last restore, if there was one. Of equal times the greater digest is newer.
    """

    source: Sequence[Image]
    order: list[int]
    source_times: list[dt.datetime]
    has_subjects: bool
    has_archived: bool
    pools: dict[StorageClass, Pool]

    # Following every record in order of rank costs as much as sorting them: done only when somebody asks.
    @cached_property
    def images(self) -> list[Image]:
        """The images, newest first."""
        return list(map(self.source.__getitem__, self.order))

    @cached_property
    def times(self) -> list[dt.datetime]:
        """Their effective push times, newest first."""
        return list(map(self.source_times.__getitem__, self.order))

    def older_from(self, cutoff: dt.datetime) -> int:
        """Return the first position of which the effective push time is before the cutoff."""
        order, times = self.order, self.source_times
        return bisect_left(order, True, key=lambda n: times[n] < cutoff)


_cache: WeakKeyDictionary[Inventory, Columns] = WeakKeyDictionary()


def columns_of(inventory: Inventory) -> Columns:
    """Return the columns of an inventory; kept as long as it lives, since trying several policies is usual."""
    found = _cache.get(inventory)
    if found is None:
        found = _cache[inventory] = _columns(inventory.images)
    return found


def _columns(images: Sequence[Image]) -> Columns:
    # Comprehensions over one attribute each, in the order of the records: a loop over all takes three times as long.
    times = [image.last_activated_at or image.pushed_at for image in images]
    names = [image.tags for image in images]
    statuses = [image.status for image in images]
    has_subjects = any(image.subject_digest is not None for image in images)
    tags = list(chain.from_iterable(names))
    owners = list(chain.from_iterable(map(repeat, count(), map(len, names))))
    bare = [n for n, found in enumerate(names) if not found]
    archived = [n for n, status in enumerate(statuses) if status in _ARCHIVE] if set(statuses) & _ARCHIVE else []
    order = _newest_first(images, times)
    rank_of = [0] * len(order)
    for position, n in enumerate(order):
        rank_of[n] = position
    everything = range(len(order))
    there = {rank_of[n] for n in archived}
    owned = list(map(rank_of.__getitem__, owners))
    untagged = sorted(map(rank_of.__getitem__, bare))
    pools: dict[StorageClass, Pool] = {}
    if there:
        pools["standard"] = Pool(
            [i for i in everything if i not in there], [i for i in untagged if i not in there],
            [t for t, i in zip(tags, owned, strict=True) if i not in there], [i for i in owned if i not in there],
        )  # fmt: skip
    else:
        pools["standard"] = Pool(list(everything), untagged, tags, owned)
    pools["archive"] = Pool(
        sorted(there), [i for i in untagged if i in there] if there else [],
        [t for t, i in zip(tags, owned, strict=True) if i in there] if there else [],
        [i for i in owned if i in there] if there else [],
    )  # fmt: skip
    return Columns(
        source=images, order=order, source_times=times, has_subjects=has_subjects, has_archived=bool(there),
        pools=pools,
    )  # fmt: skip


def _newest_first(images: Sequence[Image], times: list[dt.datetime]) -> list[int]:
    # Floats sort several times faster than datetimes, and tell microseconds apart until the year 2242.
    seconds = list(map(dt.datetime.timestamp, times))
    keys: Sequence[float | dt.datetime] = seconds
    if seconds and max(seconds) >= _EXACT_SECONDS:
        keys = times
    order = sorted(range(len(times)), key=keys.__getitem__, reverse=True)
    if len(set(keys)) < len(keys):
        _break_ties(images, times, order)
    return order


def _break_ties(images: Sequence[Image], times: list[dt.datetime], order: list[int]) -> None:
    start, end = 0, len(order)
    for at in range(1, end + 1):
        if at == end or times[order[at]] != times[order[start]]:
            if at - start > 1:
                order[start:at] = sorted(order[start:at], key=lambda n: images[n].digest, reverse=True)
            start = at


def _starts_with(prefix: str) -> Callable[[str], bool]:
    return lambda tag: tag.startswith(prefix)


class Pool:
    """The images of one storage class: positions in the ranking, and all their tags joined into one text.

    Looking through the text for a literal costs a fraction of asking tag by tag, since strings lie all over memory.
    """

    def __init__(self, everything: list[int], untagged: list[int], tags: list[str], owners: list[int]) -> None:
        self.all = everything
        self.untagged = untagged
        self.tags = tags
        self.owners = owners
        text = f"{_OPEN}{(_CLOSE + _OPEN).join(tags)}{_CLOSE}" if tags else ""
        # Only a text that no registry takes as a tag holds marks of its own; then every tag is asked by itself.
        self._plain = text.count(_OPEN) == len(tags) == text.count(_CLOSE) and not any(
            mark in text for mark in _MARKS[2:]
        )
        self._text = text.encode("utf-8", "surrogatepass")
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
            self._hits[key] = sorted(set(self._scan(is_pattern, entry)))
        return self._hits[key]

    def _scan(self, is_pattern: bool, entry: str) -> Iterable[int]:
        """Return the images of the tags that satisfy the entry; one may come for each of its tags."""
        tags, owners = self.tags, self.owners
        parts = entry.split("*") if is_pattern else [entry, ""]
        if len(parts) > 1 and not any(parts):
            return owners
        match = compile_glob(entry) if is_pattern else _starts_with(entry)
        if not self._plain or any(mark in entry for mark in _MARKS):
            return [i for tag, i in zip(tags, owners, strict=True) if match(tag)]
        if len(parts) == 1:
            return compress(owners, self._find(_OPEN + entry + _CLOSE))
        head, tail, middle = parts[0], parts[-1], [p for p in parts[1:-1] if p]
        # The rarest literal cannot be known; the longest is a good guess, a head or tail being marked counts for it.
        literal = max([_OPEN + head if head else "", tail + _CLOSE if tail else "", *middle], key=len)
        flags = self._find(literal)
        if bool(head) + bool(tail) + len(middle) == 1:
            return compress(owners, flags)
        return [owners[n] for n in compress(count(), flags) if match(tags[n])]

    def _find(self, literal: str) -> bytes:
        """Return one byte for each tag, 1 where the literal occurs.

        Every occurrence becomes one mark, and everything but marks is dropped: no step is taken tag by tag.
        """
        hits = self._text.replace(literal.encode("utf-8", "surrogatepass"), b"\x01")
        if literal.startswith(_OPEN):  # it stands for the start of its tag
            return hits.translate(_START_OR_HIT, _ALL_BUT_START_AND_HIT)
        marks = hits.translate(None, _ALL_BUT_START_AND_HIT)
        return marks.replace(b"\x02\x01", b"\x04").translate(_START_OR_FOLLOWED, b"\x01")
