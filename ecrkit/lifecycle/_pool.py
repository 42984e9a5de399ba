"""The images of an inventory as columns, newest first, made so that a tag entry is one search in one long string."""

from __future__ import annotations

import datetime as dt
import re
from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import compress, count
from operator import not_
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
_OPEN, _CLOSE, _IMAGE = "\x02", "\x03", "\x05"
_RESULTS: Final = ("\x01", "\x04")
_MARKS: Final = (_OPEN, _CLOSE, _IMAGE, *_RESULTS)
_ALL_BUT_IMAGE_AND_HIT: Final = bytes(b for b in range(256) if b not in (1, 5))
_THEN: Final = b"(?>[^\x03]*?%b)"
_ONE_FOR_A_HIT: Final = bytes.maketrans(b"\x05\x04", b"\x00\x01")


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
    order = _newest_first(images, times)
    rank_of = [0] * len(order)
    for position, n in enumerate(order):
        rank_of[n] = position
    pools: dict[StorageClass, Pool] = {}
    has_archived = not _ARCHIVE.isdisjoint(set(statuses))
    if has_archived:
        archived = [status in _ARCHIVE for status in statuses]
        active = [not hit for hit in archived]
        pools["standard"] = Pool(list(compress(names, active)), list(compress(rank_of, active)), len(order))
        pools["archive"] = Pool(list(compress(names, archived)), list(compress(rank_of, archived)), len(order))
    else:
        pools = {"standard": Pool(names, rank_of, len(order)), "archive": Pool([], [], len(order))}
    return Columns(
        source=images, order=order, source_times=times, has_subjects=has_subjects, has_archived=has_archived,
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


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _flags(hits: bytes) -> bytes:
    """Return one byte for each image of a text in which every occurrence has become a mark, 1 where there is one.

    Everything but marks is dropped, then an image and its first mark become one: no step is taken tag by tag.
    """
    marks = hits.translate(None, _ALL_BUT_IMAGE_AND_HIT)
    return marks.replace(b"\x05\x01", b"\x04").translate(_ONE_FOR_A_HIT, b"\x01")


def _all_of(hits: Sequence[bytes]) -> bytes:
    """Return 1 where all are 1; as whole numbers, thousands of bytes are combined in one step."""
    both = int.from_bytes(hits[0], "little")
    for other in hits[1:]:
        both &= int.from_bytes(other, "little")
    return both.to_bytes(len(hits[0]), "little") if len(hits) > 1 else hits[0]


class Pool:
    """The images of one storage class: positions in the ranking, and all their tags joined into one text.

    Looking through the text for a literal costs a fraction of asking tag by tag, since strings lie all over memory.
    """

    def __init__(self, names: list[tuple[str, ...]], positions: list[int], total: int) -> None:
        self.all = sorted(positions) if len(positions) < total else list(range(total))
        self.untagged = list(compress(positions, map(not_, names)))
        if self.untagged:
            self._tagged = list(compress(positions, names))
            self._names = list(filter(None, names))
        else:
            self._tagged, self._names = positions, names
        within, between = _CLOSE + _OPEN, _CLOSE + _IMAGE + _OPEN
        parts = list(map(within.join, self._names))
        text = f"{_IMAGE}{_OPEN}{between.join(parts)}{_CLOSE}" if parts else ""
        # Only what no registry takes as a tag holds marks of its own; then every tag is asked by itself.
        opened = text.count(_OPEN)
        self._plain = (
            text.count(_IMAGE) == len(parts)
            and opened == text.count(_CLOSE)
            and (opened == len(parts) or opened == sum(map(len, self._names)))
            and not any(mark in text for mark in _RESULTS)
        )
        self._text = _encoded(text)
        self._hits: dict[tuple[bool, str], bytes] = {}

    def members(self, rule: Rule) -> list[int]:
        """Return the positions of the images that the rule selects, in no order."""
        if rule.tag_status == "any":
            return self.all
        if rule.tag_status == "untagged":
            return self.untagged
        hits = [self._hit(False, p) for p in rule.tag_prefixes] + [self._hit(True, p) for p in rule.tag_patterns]
        return list(compress(self._tagged, _all_of(hits)))

    def _hit(self, is_pattern: bool, entry: str) -> bytes:
        """Return one byte for each tagged image, 1 where some tag satisfies the entry."""
        key = (is_pattern, entry)
        if key not in self._hits:
            self._hits[key] = self._scan(is_pattern, entry)
        return self._hits[key]

    def _scan(self, is_pattern: bool, entry: str) -> bytes:
        parts = entry.split("*") if is_pattern else [entry, ""]
        if len(parts) > 1 and not any(parts):
            return b"\x01" * len(self._tagged)
        match = compile_glob(entry) if is_pattern else _starts_with(entry)
        if not self._plain or any(mark in entry for mark in _MARKS):
            return bytes([any(map(match, found)) for found in self._names])
        if len(parts) == 1:
            return self._find(_OPEN + entry + _CLOSE)
        head, tail, middle = parts[0], parts[-1], [p for p in parts[1:-1] if p]
        literals = [_OPEN + head] * bool(head) + middle + [tail + _CLOSE] * bool(tail)
        if len(literals) == 1:
            return self._find(literals[0])
        if len(literals) == 2:
            return self._find_two(head, middle, tail)
        # The rarest part leaves the fewest images to ask, and counting costs little.
        hits = self._find(min(literals, key=lambda literal: self._text.count(_encoded(literal))))
        names, exact = self._names, bytearray(len(hits))
        for n in compress(count(), hits):
            if any(map(match, names[n])):
                exact[n] = 1
        return bytes(exact)

    def _find_two(self, head: str, middle: list[str], tail: str) -> bytes:
        """Return the same as asking tag by tag for a pattern of two parts, in one pass.

        Atomic groups never give back what they found, so a tag is walked once, from left to right.
        """
        searched = re.escape(_encoded(_OPEN + head)) + b"".join(_THEN % re.escape(_encoded(part)) for part in middle)
        if tail:
            searched += _THEN % re.escape(_encoded(tail + _CLOSE))
        return _flags(re.sub(searched, b"\x01", self._text))

    def _find(self, literal: str) -> bytes:
        """Return one byte for each tagged image, 1 where the literal occurs."""
        return _flags(self._text.replace(_encoded(literal), b"\x01"))
