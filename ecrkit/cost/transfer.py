"""What moving images costs: replication to other Regions and accounts, and pulls across Regions.

ECR bills replication across Regions as transfer out of the source Region, at the internet rate; within a Region nothing
is billed, and transfer in is free.
Sources: Amazon ECR pricing; AWS blog on cross-Region replication; EKS best practices, cost of data transfer.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit._internal.times import require_aware
from ecrkit.cost.money import Money, MoneyRange
from ecrkit.cost.prices import PriceTable
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import Inventory

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "DestinationCost",
    "PullCost",
    "PullPattern",
    "PushRate",
    "ReplicationCost",
    "ReplicationTarget",
    "pull_cost",
    "push_rate",
    "replication_cost",
]

_MONTH: Final = dt.timedelta(days=30)
_PARTLY: Final = "whether layers that a destination has are transferred again is not documented"
_OTHERS: Final = "nothing bounds what else is sent, and the tier that it fills"
_NOTHING: Final = ByteRange.exactly(0)


def _tuple(values: Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(values)


@attrs.frozen(kw_only=True)
class PushRate(Record):
    """What is pushed to a repository in a month: images, and bytes.

    `bytes` goes from the layers that are new to the repository to the images as a whole. `new` are the bytes that
    a month adds to what is stored, before anything is deleted.
    """

    repository: str
    images: Decimal
    bytes: ByteRange
    new: ByteRange


def push_rate(inventory: Inventory, *, since: dt.datetime, until: dt.datetime, repository: str = "") -> PushRate:
    """Return what a month of pushes brings, from the images pushed in a time and still there.

    What was pushed and deleted meanwhile is not seen. The month has 30 days.

    Args:
        inventory: with manifests; an unread one widens the range.
        since: the beginning of the time.
        until: its end.
        repository: its name, when the inventory does not know it.

    Raises:
        InvalidInput: the time is empty.
    """
    start, end = require_aware(since, "since"), require_aware(until, "until")
    if end <= start:
        raise InvalidInput.single("no push rate", "until", "must be after since")
    before: set[str] = set()
    new: set[str] = set()
    whole = unread = count = 0
    bounded = True
    for image in inventory.images:
        manifest = inventory.manifests.get(image.digest)
        names = () if manifest is None else manifest.blob_digests
        if image.pushed_at < start:
            before.update(names)
        elif image.pushed_at < end:
            count += 1
            if image.is_index:
                continue
            told = image.size if image.size is not None else None if manifest is None else manifest.content_size
            whole += told or 0
            bounded = bounded and told is not None
            unread += 0 if manifest is not None else told or 0
            new.update(names)
    low, high, reasons = inventory.blobs.total(new - before)
    share = Fraction(_MONTH // dt.timedelta(microseconds=1), (end - start) // dt.timedelta(microseconds=1))

    def monthly(number: int) -> int:
        return int(number * share)

    top = monthly(max(whole, high)) if bounded else None
    why = (*reasons, _PARTLY) if low != whole else reasons
    with localcontext(prec=28):
        images = Decimal(count) * share.numerator / share.denominator
    return PushRate(
        repository=repository or inventory.repository,
        images=images,
        bytes=ByteRange(monthly(low), top, why),
        new=ByteRange(monthly(low), monthly(high + unread) if bounded else None, reasons),
    )


@attrs.frozen(kw_only=True)
class ReplicationTarget(Record):
    """Where a replication rule copies: a Region, an account (empty: the same), the prefixes of repository names.

    No prefix means every repository. `prices` of the Region are needed for its storage; None leaves that unpriced.
    """

    region: str
    account: str = ""
    prefixes: tuple[str, ...] = attrs.field(default=(), converter=_tuple)
    prices: PriceTable | None = attrs.field(default=None, repr=False)

    def takes(self, repository: str) -> bool:
        """Return whether the rule copies a repository: its name begins with a prefix, letter by letter."""
        return not self.prefixes or repository.startswith(self.prefixes)

    @override
    def __str__(self) -> str:
        return f"{self.account}/{self.region}" if self.account else self.region


@attrs.frozen(kw_only=True)
class DestinationCost(Record):
    """What one destination costs in a month of this push rate.

    `transfer` is what leaves the source Region for it, and what that costs. `stored` is what the copies take at the end
    of `months`, and `storage` what that month's storage costs; None without prices.
    """

    target: str
    repositories: tuple[str, ...]
    transfer: ByteRange
    transfer_cost: MoneyRange
    stored: ByteRange
    storage_cost: MoneyRange | None


@attrs.frozen(kw_only=True)
class ReplicationCost(Record):
    """What a replication configuration costs, by destination.

    `uncovered` are the repositories that no rule copies. `initial` is the one-off transfer of what is there already,
    which ECR copies only in a backfill.
    """

    destinations: tuple[DestinationCost, ...]
    uncovered: tuple[str, ...]
    months: int
    initial: MoneyRange | None = None

    @property
    def transfer_cost(self) -> MoneyRange:
        """What all transfer costs in a month."""
        return _sum(d.transfer_cost for d in self.destinations)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each destination, as columns; money as Decimal."""
        rows = self.destinations
        return {
            "target": [d.target for d in rows],
            "repositories": [len(d.repositories) for d in rows],
            "transfer_low": [d.transfer.low for d in rows],
            "transfer_high": [d.transfer.high for d in rows],
            "transfer_cost_low": [d.transfer_cost.low.amount for d in rows],
            "transfer_cost_high": [_amount(d.transfer_cost.high) for d in rows],
            "stored_low": [d.stored.low for d in rows],
            "stored_high": [d.stored.high for d in rows],
            "storage_cost_low": [None if d.storage_cost is None else d.storage_cost.low.amount for d in rows],
            "storage_cost_high": [None if d.storage_cost is None else _amount(d.storage_cost.high) for d in rows],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return a table for people."""
        text = text_table(_HEADER, self._rows(), right=frozenset({1, 2, 3, 4, 5}))
        return text + (f"\nno rule copies: {', '.join(self.uncovered)}" if self.uncovered else "")

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (
                d.target, len(d.repositories), d.transfer, d.transfer_cost, d.stored,
                "no prices" if d.storage_cost is None else d.storage_cost,
            )
            for d in self.destinations
        ]  # fmt: skip

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=f"transfer {self.transfer_cost} a month")


_HEADER: Final = ("destination", "repositories", "transfer a month", "costs", "stored", "storage a month")


def _amount(money: Money | None) -> Decimal | None:
    return None if money is None else money.amount


def _sum(parts: Iterable[MoneyRange]) -> MoneyRange:
    first, *others = parts
    for other in others:
        first += other
    return first


def _add(parts: Iterable[ByteRange]) -> ByteRange:
    found = _NOTHING
    for part in parts:
        found += part
    return found


def replication_cost(
    rates: Iterable[PushRate],
    targets: Iterable[ReplicationTarget],
    *,
    prices: PriceTable,
    months: int = 1,
    existing: Mapping[str, ByteRange] | None = None,
    transferred_already: int = 0,
) -> ReplicationCost:
    """Return what a replication configuration costs in a month of these pushes, by destination.

    A destination in the source's own Region costs no transfer, in whatever account. Each image is sent to each
    destination from the source; copies are not copied on. The tiers are filled by all destinations together, in their
    order, so that the parts add up to the bill.

    Args:
        rates: what is pushed where (`push_rate`).
        targets: the destinations with their prefixes.
        prices: of the source Region.
        months: after how many months of pushes, nothing being deleted, storage is told.
        existing: what is stored already by repository, when it is to be copied by a backfill.
        transferred_already: what else leaves the Region in the month, and fills the lower tiers.

    Raises:
        InvalidInput: no target, a repository or target comes twice, or there is no price of transfer.

    Example:
        >>> from ecrkit.cost.prices import prices_for
        >>> gb = ByteRange.exactly(2**30)
        >>> rate = PushRate(repository="prod-app", images=Decimal(10), bytes=gb, new=gb)
        >>> found = replication_cost([rate], [ReplicationTarget(region="eu-west-1", prefixes=["prod-"])],
        ...                          prices=prices_for("us-east-1"))
        >>> print(found.transfer_cost)
        0.09 USD
    """
    pushed, places = list(rates), list(targets)
    problems = [Problem("rates", f"{name} comes twice") for name in _twice(r.repository for r in pushed)]
    problems += [Problem("targets", f"{name} comes twice") for name in _twice(str(t) for t in places)]
    if not places:
        problems.append(Problem("targets", "are none"))
    if months < 0:
        problems.append(Problem("months", "must not be negative"))
    if problems:
        raise InvalidInput("no replication", problems)
    low: int = transferred_already
    high: int | None = low
    copies: list[tuple[ByteRange, bool]] = []
    found: list[DestinationCost] = []
    for target in places:
        taken = [rate for rate in pushed if target.takes(rate.repository)]
        free = target.region == prices.region
        sent = _add(rate.bytes for rate in taken)
        cost = _transfer(prices, sent, low, high, free=free)
        if not free:
            low, high = _and(low, high, sent)
        copied = _add((existing or {}).get(rate.repository, _NOTHING) for rate in taken)
        copies.append((copied, free))
        new = _add(rate.new for rate in taken)
        stored = copied + ByteRange(new.low * months, None if new.high is None else new.high * months, new.reasons)
        found.append(
            DestinationCost(
                target=str(target),
                repositories=tuple(rate.repository for rate in taken),
                transfer=sent,
                transfer_cost=cost,
                stored=stored,
                storage_cost=None if target.prices is None else target.prices.month(stored),
            )
        )
    first = MoneyRange.exactly(Money.zero(prices.currency))
    for copied, free in copies:  # the backfill comes on top of the month's pushes, and fills the tiers as they do
        first += _transfer(prices, copied, low, high, free=free)
        if not free:
            low, high = _and(low, high, copied)
    return ReplicationCost(
        destinations=tuple(found),
        uncovered=tuple(r.repository for r in pushed if not any(t.takes(r.repository) for t in places)),
        months=months,
        initial=first if existing else None,
    )


def _twice(names: Iterable[str]) -> list[str]:
    return sorted(name for name, count in Counter(names).items() if count > 1)


def _transfer(prices: PriceTable, sent: ByteRange, low: int, high: int | None, *, free: bool) -> MoneyRange:
    """Return what sending bytes costs on top of at least `low` and at most `high` others; None is without bound."""
    zero = Money.zero(prices.currency)
    if free or sent.high == 0:
        return MoneyRange.exactly(zero)
    # The more has left, the cheaper the next byte may be: the ends are sought over both.
    most = max(low, _beyond_all_tiers(prices)) if high is None else high
    ends = [prices.transfer(sent.low, already=n) for n in (low, most)]
    tops = None if sent.high is None else [prices.transfer(sent.high, already=n) for n in (low, most)]
    reasons = (*sent.reasons, *((_OTHERS,) if high is None else ()))
    found = MoneyRange(min(ends), None if tops is None else max(tops), reasons)
    return MoneyRange.exactly(found.low) if found.exact is not None else found


def _and(low: int, high: int | None, sent: ByteRange) -> tuple[int, int | None]:
    return low + sent.low, None if high is None or sent.high is None else high + sent.high


def _beyond_all_tiers(prices: PriceTable) -> int:
    ends = [tier.up_to for tier in prices.transfer_out or () if tier.up_to is not None]
    with localcontext(prec=28):
        return int(max(ends, default=Decimal(0)) * prices.gb) + 1


@attrs.frozen(kw_only=True)
class PullPattern(Record):
    """Pulls of images in a month: from a Region to another one, or to the internet (`to` is `internet`).

    `bytes` is what one pull downloads: a node keeps layers, so it is often less than the image. `images.diff` tells it.
    """

    repository: str
    to: str
    pulls: int
    bytes: ByteRange


@attrs.frozen(kw_only=True)
class PullCost(Record):
    """What pulls cost in a month, pattern by pattern, and what replicating instead would.

    `replicate` is, for each Region that pulls, what a month of replicating the repositories that it pulls costs in
    transfer; only for those whose push rate was given.
    """

    patterns: tuple[tuple[PullPattern, ByteRange, MoneyRange], ...]
    total: MoneyRange
    replicate: Mapping[str, MoneyRange] = attrs.field(factory=dict, hash=False)

    def by_region(self) -> dict[str, MoneyRange]:
        """Return what pulls cost by where they go."""
        found: dict[str, MoneyRange] = {}
        for pattern, _, cost in self.patterns:
            found[pattern.to] = found[pattern.to] + cost if pattern.to in found else cost
        return found

    def explain(self) -> str:
        """Return a table for people."""
        return text_table(("repository", "to", "pulls", "bytes", "costs"), self._rows(), right=frozenset({2, 3, 4}))

    def _rows(self) -> list[tuple[object, ...]]:
        return [(p.repository, p.to, p.pulls, sent, cost) for p, sent, cost in self.patterns]

    def _repr_html_(self) -> str:
        header = ("repository", "to", "pulls", "bytes", "costs")
        return html_table(header, self._rows(), caption=f"{self.total} a month")


def pull_cost(
    patterns: Iterable[PullPattern],
    *,
    prices: PriceTable,
    rates: Iterable[PushRate] = (),
    transferred_already: int = 0,
) -> PullCost:
    """Return what pulls from a registry cost in a month, by where they go.

    Within the Region a pull is free (through a NAT gateway that one is billed, not ECR). Anything else is transfer out.

    Args:
        patterns: who pulls what.
        prices: of the registry's Region.
        rates: what is pushed, to say what replicating to the pulling Regions would cost instead.
        transferred_already: what else leaves the Region in the month.

    Raises:
        InvalidInput: a number is negative, or there is no price of transfer.

    Example:
        >>> from ecrkit.cost.prices import prices_for
        >>> pulls = PullPattern(repository="app", to="eu-west-1", pulls=1_000, bytes=ByteRange.exactly(2**30))
        >>> found = pull_cost([pulls], prices=prices_for("us-east-1"))
        >>> print(found.total)
        90.00 USD
    """
    low: int = transferred_already
    high: int | None = low
    rows: list[tuple[PullPattern, ByteRange, MoneyRange]] = []
    pulled: dict[str, dict[str, None]] = {}
    for pattern in patterns:
        if pattern.pulls < 0:
            raise InvalidInput.single("no pulls", "pulls", "must not be negative")
        one = pattern.bytes
        sent = ByteRange(one.low * pattern.pulls, None if one.high is None else one.high * pattern.pulls, one.reasons)
        free = pattern.to == prices.region
        rows.append((pattern, sent, _transfer(prices, sent, low, high, free=free)))
        if not free:
            low, high = _and(low, high, sent)
            if pattern.to != "internet":
                pulled.setdefault(pattern.to, {})[pattern.repository] = None
    known = {rate.repository: rate for rate in rates}
    start = transferred_already
    replicate = {
        region: _transfer(prices, _add(known[n].bytes for n in names), start, start, free=False)
        for region, names in pulled.items()
        if all(name in known for name in names)
    }
    total = _sum([MoneyRange.exactly(Money.zero(prices.currency)), *(cost for _, _, cost in rows)])
    return PullCost(patterns=tuple(rows), total=total, replicate=replicate)
