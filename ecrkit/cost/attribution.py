"""Whose bytes they are: every stored byte charged to one owner, so that the parts add up to the whole, to the byte."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from fractions import Fraction
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, get_args

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit.cost.sources import Inventories, Source, each_chunk, read
from ecrkit.errors import InvalidInput
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import stored_bytes
from ecrkit.records import Image

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Attribution", "By", "OwnerShare", "SharedLayers", "attribute", "by_prefix", "by_tag", "split_exactly"]

By: TypeAlias = "Callable[[str, Image], str | None]"
"""Tells the owner of an image in a repository, or None when nobody is known to own it."""

SharedLayers = Literal["even", "by_images", "first_pusher"]
"""Who pays for a layer that several owners use: all the same, each by its images, or whoever pushed it first."""

_Charge: TypeAlias = "tuple[int, int]"  # the least bytes, and how many more they may be
_HEADER: Final = ("owner", "repositories", "images", "bytes", "share")
_NOBODY: Final = "(nobody known)"


@attrs.frozen
class _ByTag:
    key: str
    tags: Mapping[str, Mapping[str, str] | None] = attrs.field(repr=False)

    def __call__(self, repository: str, _: Image) -> str | None:
        """Return the value of the repository's tag."""
        return (self.tags.get(repository) or {}).get(self.key) or None


@attrs.frozen
class _ByPrefix:
    depth: int
    separator: str

    def __call__(self, repository: str, _: Image) -> str | None:
        """Return the first parts of the repository's name."""
        parts = repository.split(self.separator)
        return self.separator.join(parts[: self.depth]) if len(parts) > self.depth else None


def by_tag(key: str, tags: Mapping[str, Mapping[str, str] | None]) -> By:
    """Return the owner by a resource tag of the repository, such as `Team`; a tag without a value is no owner.

    Args:
        key: its key, in this spelling: AWS tells `Team` and `team` apart. `tag_hygiene` finds such mishaps.
        tags: the resource tags by repository, None where they could not be read.

    Example:
        >>> by_tag("Team", {"app": {"Team": "pay"}})("app", None), by_tag("Team", {})("app", None)
        ('pay', None)
    """
    return _ByTag(key, dict(tags))


def by_prefix(depth: int = 1, *, separator: str = "/") -> By:
    """Return the owner by the first `depth` parts of the repository's name; a name of no more parts has none.

    Example:
        >>> by_prefix()("pay/api/web", None), by_prefix(2)("pay/api/web", None), by_prefix()("scratch", None)
        ('pay', 'pay/api', None)
    """
    return _ByPrefix(depth, separator)


@attrs.frozen(kw_only=True)
class OwnerShare(Record):
    """What one owner is charged. `owner` is None for what nobody is known to own. An image of several is in each."""

    owner: str | None
    bytes: ByteRange
    images: int
    repositories: tuple[str, ...]

    @property
    def name(self) -> str:
        """The owner, for people."""
        return _NOBODY if self.owner is None else self.owner


@attrs.frozen(kw_only=True)
class Attribution(Record):
    """All stored bytes by owner, the largest first. The parts add up to `total`, to the byte.

    `unowned` are the repositories with images that nobody is known to own, `gaps` those that could not be read; their
    bytes are in nobody's share, and then nothing bounds the total.
    """

    shares: tuple[OwnerShare, ...]
    total: ByteRange
    shared_layers: str
    unowned: tuple[str, ...] = ()
    gaps: tuple[str, ...] = ()

    def __getitem__(self, owner: str | None) -> OwnerShare:
        """Return what one owner is charged; raise KeyError when it owns nothing."""
        return self._by_owner[owner]

    @cached_property
    def _by_owner(self) -> Mapping[str | None, OwnerShare]:
        return {share.owner: share for share in self.shares}

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each owner, as columns."""
        return {
            "owner": [s.owner for s in self.shares],
            "bytes_low": [s.bytes.low for s in self.shares],
            "bytes_high": [s.bytes.high for s in self.shares],
            "images": [s.images for s in self.shares],
            "repositories": [len(s.repositories) for s in self.shares],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return a table for people, and by name the repositories without an owner and those not read."""
        text = f"{self}\n" + text_table(_HEADER, self._rows(), right=frozenset({1, 2, 3, 4}))
        text += f"\nwithout an owner: {', '.join(self.unowned)}" if self.unowned else ""
        return text + (f"\ncould not be read: {', '.join(self.gaps)}" if self.gaps else "")

    def _rows(self) -> list[tuple[object, ...]]:
        whole = self.total.low or 1
        return [(s.name, len(s.repositories), s.images, s.bytes, f"{s.bytes.low / whole:.1%}") for s in self.shares]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        return f"{self.total} stored, by {len(self.shares)} owners; shared layers: {self.shared_layers}"


def split_exactly(total: int, weights: Mapping[str | None, Fraction]) -> dict[str | None, int]:
    """Return whole parts of `total` in proportion to the weights, which add up to exactly `total`.

    Largest remainder: what rounding down leaves goes, one by one, to the largest fractions; of equal ones to the
    first by name. Equal input gives equal parts.

    Example:
        >>> split_exactly(100, {"a": Fraction(1), "b": Fraction(1), "c": Fraction(1)})
        {'a': 34, 'b': 33, 'c': 33}
    """
    whole = sum(weights.values(), Fraction(0))
    if not whole:
        return dict.fromkeys(weights, 0)
    exact = {owner: total * weight / whole for owner, weight in weights.items()}
    parts = {owner: int(share) for owner, share in exact.items()}
    order = sorted(parts, key=lambda o: (parts[o] - exact[o], o is None, o or ""))
    for owner in order[: total - sum(parts.values())]:
        parts[owner] += 1
    return parts


@attrs.frozen(kw_only=True)
class _Held:
    """What the images of a repository hold, by owner; owners by blob only where there are several.

    `sole` has the blobs of which one owner has all images. `several` has the others: by owner, how many images of its
    use the blob, and when it first came with one.
    """

    name: str
    images: Mapping[str | None, int]
    sole: Mapping[str | None, _Charge]
    several: Mapping[str, Mapping[str | None, tuple[int, dt.datetime]]]
    sizes: Mapping[str, _Charge]
    unread: Mapping[str | None, int | None]
    total: ByteRange
    blobs: Mapping[str, tuple[str | None, int, dt.datetime]] | None = None


def _gather(chunk: list[tuple[str, Source]], *, by: By, across: bool) -> list[_Held | str]:
    found: list[_Held | str] = []
    for name, source in chunk:
        inventory = read(source)
        found.append(name if inventory is None else _held(name, inventory, by, across))
    return found


def _held(name: str, inventory: Inventory, by: By, across: bool) -> _Held:
    table, read_already = inventory.blobs, inventory.manifests
    owners = [by(name, image) for image in inventory.images]
    if len(set(owners)) == 1 and not across and not table.has_unsized:
        return _of_one(name, inventory, owners[0])
    images: Counter[str | None] = Counter()
    per_owner: dict[str | None, dict[str, tuple[int, dt.datetime]]] = {}
    unread: dict[str | None, int | None] = {}
    unsized: list[tuple[str | None, Image]] = []

    def more(owner: str | None, size: int | None) -> None:
        before = unread.get(owner, 0)
        unread[owner] = None if before is None or size is None else before + size

    for owner, image in zip(owners, inventory.images, strict=True):
        images[owner] += 1
        manifest = read_already.get(image.digest)
        if manifest is None:
            if not image.is_index:
                more(owner, image.size)
            continue
        if not manifest.tells_sizes:
            unsized.append((owner, image))
        held, at = per_owner.setdefault(owner, {}), image.pushed_at
        for digest in manifest.blob_digests:
            seen = held.get(digest)
            held[digest] = (1, at) if seen is None else (seen[0] + 1, min(seen[1], at))
    everything = {d for held in per_owner.values() for d in held}
    nowhere = table.unsized(everything) if unsized else frozenset[str]()
    for owner, image in unsized:
        if not nowhere.isdisjoint(read_already[image.digest].blob_digests):
            more(owner, image.size)
    wider, least = table.more(everything), dict(table.least(everything))
    times = Counter(d for held in per_owner.values() for d in held) if len(per_owner) > 1 else Counter[str]()
    sole: dict[str | None, _Charge] = {}
    several: dict[str, dict[str | None, tuple[int, dt.datetime]]] = {}
    for owner, held in per_owner.items():
        own = held.keys() if not times else {d for d in held if times[d] == 1}
        sole[owner] = sum(map(least.__getitem__, own)), sum(wider.get(d, 0) for d in own) if wider else 0
        if times:
            for digest in held.keys() - own:
                several.setdefault(digest, {})[owner] = held[digest]
    shared = {d: (least[d], wider.get(d, 0)) for d in several}
    blobs = {d: (o, n, at) for o, held in per_owner.items() for d, (n, at) in held.items() if d not in several}
    return _Held(
        name=name, images=dict(images), sole=sole, several=several, unread=unread, total=stored_bytes(inventory),
        sizes={d: (least[d], wider.get(d, 0)) for d in everything} if across else shared,
        blobs=blobs if across else None,
    )  # fmt: skip


def _of_one(name: str, inventory: Inventory, owner: str | None) -> _Held:
    """Return the same when all images have one owner, as is usual: nobody is to share anything with."""
    unread: dict[str | None, int | None] = {}
    held: set[str] = set()
    for image in inventory.images:
        manifest = inventory.manifests.get(image.digest)
        if manifest is not None:
            held.update(manifest.blob_digests)
        elif not image.is_index:
            before = unread.get(owner, 0)
            unread[owner] = None if before is None or image.size is None else before + image.size
    low, high, _ = inventory.blobs.total(held)
    return _Held(
        name=name, images={owner: len(inventory.images)}, sole={owner: (low, high - low)}, several={}, sizes={},
        unread=unread, total=stored_bytes(inventory),
    )  # fmt: skip


class _Ledger:
    """Charges as exact fractions, until all are known."""

    def __init__(self, rule: SharedLayers) -> None:
        self._rule = rule
        self._least: dict[str | None, Fraction] = {}
        self._more: dict[str | None, Fraction] = {}
        self._groups: dict[tuple[tuple[str | None, int], ...], _Charge] = {}

    def charge(self, owner: str | None, charge: _Charge) -> None:
        self._least[owner] = self._least.get(owner, Fraction(0)) + charge[0]
        self._more[owner] = self._more.get(owner, Fraction(0)) + charge[1]

    def share(self, users: Mapping[str | None, tuple[int, dt.datetime]], charge: _Charge) -> None:
        if self._rule == "first_pusher":
            self.charge(min(users, key=lambda o: (users[o][1], o is None, o or "")), charge)
            return
        # Many layers have the same users: one fraction for all of them.
        even = self._rule == "even"
        group = tuple(
            sorted(((o, 1 if even else users[o][0]) for o in users), key=lambda p: (p[0] is None, p[0] or ""))
        )
        low, more = self._groups.get(group, (0, 0))
        self._groups[group] = low + charge[0], more + charge[1]

    def settle(self) -> tuple[dict[str | None, int], dict[str | None, int]]:
        """Return by owner the least bytes, and how many more they may be; both add up exactly."""
        for group, (low, more) in self._groups.items():
            parts = sum(n for _, n in group)
            for owner, n in group:
                self._least[owner] = self._least.get(owner, Fraction(0)) + Fraction(low * n, parts)
                self._more[owner] = self._more.get(owner, Fraction(0)) + Fraction(more * n, parts)
        self._groups.clear()
        charged, beyond = self._least, self._more
        least = split_exactly(int(sum(charged.values())), charged)
        return least, split_exactly(int(sum(beyond.values())), beyond)


def attribute(
    inventories: Inventories,
    by: By,
    *,
    shared_layers: SharedLayers = "even",
    mounted: bool = False,
    executor: Executor | None = None,
) -> Attribution:
    """Return all stored bytes by owner: by resource tag, by name prefix, or as a function of the caller says.

    Every byte has exactly one owner or nobody (None), and the parts add up to the total to the byte. A layer counts
    once in each repository; between the owners of its images there, `shared_layers` decides. An image whose manifest
    was not read is in the upper bound of its owner alone.

    Args:
        inventories: as `storage` takes them.
        by: `by_tag(...)`, `by_prefix(...)`, or a function of repository and image; None is nobody. An index and its
            children are images each.
        shared_layers: `even` splits a layer among its owners, `by_images` in proportion to their images that use it,
            `first_pusher` charges whoever pushed it first of what is there now.
        mounted: count a layer once in the whole registry, as if it were mounted wherever it is; then layers are
            shared across repositories too. That is the lower end of what the registry stores (`StorageReport.bytes`).
        executor: where to work; `by` must be picklable for one of processes.

    Raises:
        InvalidInput: no such way to share, or a repository comes twice.

    Example:
        >>> from ecrkit.images import Inventory
        >>> details = [{"imageDigest": "sha256:" + "a" * 64, "imagePushedAt": 0, "imageSizeInBytes": 100}]
        >>> found = attribute({"pay/api": Inventory.from_api(details)}, by_prefix())
        >>> found["pay"].bytes.high, found.total.high
        (100, 100)
    """
    if shared_layers not in get_args(SharedLayers):
        choices = ", ".join(get_args(SharedLayers))
        raise InvalidInput.single("no attribution", "shared_layers", f"must be one of {choices}")
    held: list[_Held] = []
    gaps: list[str] = []
    for found in each_chunk(partial(_gather, by=by, across=mounted), inventories, executor):
        if isinstance(found, str):
            gaps.append(found)
        else:
            held.append(found)
    ledger = _Ledger(shared_layers)
    if mounted:
        _charge_across(held, ledger)
    else:
        for one in held:
            for owner, charge in one.sole.items():
                ledger.charge(owner, charge)
            for digest, users in one.several.items():
                ledger.share(users, one.sizes[digest])
    return _settled(held, gaps, ledger, shared_layers)


def _charge_across(held: list[_Held], ledger: _Ledger) -> None:
    users: dict[str, dict[str | None, tuple[int, dt.datetime]]] = {}
    ends: dict[str, tuple[int, int]] = {}
    for one in held:
        single = ((d, {o: (n, at)}) for d, (o, n, at) in (one.blobs or {}).items())
        for digest, owners in (*one.several.items(), *single):
            known = users.setdefault(digest, {})
            for owner, (count, at) in owners.items():
                seen = known.get(owner)
                known[owner] = (count, at) if seen is None else (seen[0] + count, min(seen[1], at))
            low, more = one.sizes[digest]
            least, most = ends.get(digest, (low, low + more))
            ends[digest] = min(low, least), max(low + more, most)
    for digest, owners in users.items():
        least, most = ends[digest]
        if len(owners) == 1:
            ledger.charge(next(iter(owners)), (least, most - least))
        else:
            ledger.share(owners, (least, most - least))


def _settled(held: list[_Held], gaps: list[str], ledger: _Ledger, rule: str) -> Attribution:
    least, wider = ledger.settle()
    images: Counter[str | None] = Counter()
    where: dict[str | None, dict[str, None]] = {}
    unread: dict[str | None, int | None] = {}
    for one in held:
        images.update(one.images)
        for owner in one.images:
            where.setdefault(owner, {})[one.name] = None
        for owner, size in one.unread.items():
            before = unread.get(owner, 0)
            unread[owner] = None if before is None or size is None else before + size
    reasons = tuple(dict.fromkeys(reason for one in held for reason in one.total.reasons))
    shares: list[OwnerShare] = []
    for owner in images:
        low, beyond = least.get(owner, 0), unread.get(owner, 0)
        high = None if beyond is None else low + wider.get(owner, 0) + beyond
        told = () if low == high else reasons
        shares.append(
            OwnerShare(
                owner=owner, bytes=ByteRange(low, high, told), images=images[owner], repositories=tuple(where[owner])
            )
        )
    shares.sort(key=lambda s: (-s.bytes.low, -(s.bytes.high or 0), s.owner is None, s.owner or ""))
    highs = [s.bytes.high for s in shares if s.bytes.high is not None]
    bounded = len(highs) == len(shares) and not gaps
    missing = tuple(f"{name} could not be read" for name in gaps)
    return Attribution(
        shares=tuple(shares),
        total=ByteRange(sum(s.bytes.low for s in shares), sum(highs) if bounded else None, (*reasons, *missing)),
        shared_layers=rule,
        unowned=tuple(where.get(None, ())),
        gaps=tuple(gaps),
    )
