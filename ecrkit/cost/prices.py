"""What ECR charges in a Region: a dated table, shipped for us-east-1 only, and the arithmetic of its tiers.

There is no default for another Region: prices differ, and a wrong one is worse than none. Take the table from the price
list (`PriceTable.from_products`), or write it down.
Sources: Amazon ECR pricing; AWS price list (AmazonECR); EKS best practices, cost of data transfer.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.cost.money import Money, MoneyRange
from ecrkit.cost.usage_types import usage_type
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.byte_range import ByteRange

__all__ = ["GB", "GIB", "MONTH", "PriceTable", "Tier", "prices_for"]

GIB: Final = 2**30
"""The divisor that ECR's price list points to: it writes 150 TB as 153,600 GB. No page of ECR says so in words."""
GB: Final = 10**9
"""The other reading of a GB."""
MONTH: Final = dt.timedelta(days=30)
"""A month of minimum durations and partial storage here; a bill's month has its own number of hours."""

_DIGITS: Final = 60
_HEADER: Final = ("what", "from GB", "to GB", "price per GB")
_Kind = Literal["standard", "archive", "retrieval", "transfer_out"]
_KINDS: Final[Mapping[str, _Kind]] = {
    "storage": "standard",
    "archive storage": "archive",
    "archive retrieval": "retrieval",
}


def _amount(value: Decimal | int | str) -> Decimal:
    if isinstance(value, float):
        raise TypeError("a price is Decimal or text, not float")
    try:
        found = Decimal(value)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite():
        raise InvalidInput.single("no price", "amount", f"{value!r:.40} is no finite number; write it as '0.10'")
    return found


def _limit(value: Decimal | int | str | None) -> Decimal | None:
    return None if value is None else _amount(value)


@attrs.frozen
class Tier(Record):
    """A price for each GB up to `up_to` GB of the month, counted from nothing; None is without end.

    Raises:
        InvalidInput: a text is no number, or not a finite one.
    """

    up_to: Decimal | None = attrs.field(converter=_limit)
    per_gb: Decimal = attrs.field(converter=_amount)


def _tiers(tiers: Iterable[Tier] | Decimal | str) -> tuple[Tier, ...]:
    return (Tier(None, tiers),) if isinstance(tiers, Decimal | str) else tuple(tiers)


def _tiers_or_none(tiers: Iterable[Tier] | Decimal | str | None) -> tuple[Tier, ...] | None:
    return None if tiers is None else _tiers(tiers)


@attrs.frozen(kw_only=True)
class PriceTable(Record):
    """The prices of one Region, for each GB and month of storage, for each GB of retrieval and transfer.

    A price is a text such as `"0.10"`, or tiers. What is None is not known, and asking for it is refused. `gb` is how
    many bytes a GB has. `transfer_out` is the price of bytes that leave the Region, to the internet or to another
    Region: ECR bills replication as transfer out of the source Region. Free tiers are not taken off.

    Example:
        >>> table = PriceTable(region="eu-west-1", currency="USD", as_of=dt.date(2026, 11, 1), source="our contract",
        ...                    standard="0.10")
        >>> print(table.standard_month(50 * 2**30))
        5.00 USD
        >>> table.transfer(1)
        Traceback (most recent call last):
        ecrkit.errors.InvalidInput: no price: transfer_out: is not in the table for eu-west-1 (our contract, 2026-11-01)
    """

    region: str
    currency: str
    as_of: dt.date
    source: str
    standard: tuple[Tier, ...] = attrs.field(converter=_tiers)
    archive: tuple[Tier, ...] | None = attrs.field(default=None, converter=_tiers_or_none)
    retrieval: tuple[Tier, ...] | None = attrs.field(default=None, converter=_tiers_or_none)
    transfer_out: tuple[Tier, ...] | None = attrs.field(default=None, converter=_tiers_or_none)
    archive_minimum: dt.timedelta = dt.timedelta(days=90)
    gb: int = GIB

    def __attrs_post_init__(self) -> None:
        problems = [p for name in ("standard", "archive", "retrieval", "transfer_out") for p in self._wrong(name)]
        if self.gb <= 0:
            problems.append(Problem("gb", "must be a number of bytes"))
        if problems:
            raise InvalidInput("no price table", problems)

    def _wrong(self, name: str) -> list[Problem]:
        tiers: tuple[Tier, ...] | None = getattr(self, name)
        if tiers is None:
            return []
        ends = [tier.up_to for tier in tiers]
        known = [end for end in ends[:-1] if end is not None]
        if not tiers or ends[-1] is not None or len(known) < len(ends) - 1 or sorted(set(known)) != known:
            return [Problem(name, "tiers must rise, and the last one must be without end")]
        if any(tier.per_gb < 0 for tier in tiers):
            return [Problem(name, "a price must not be negative")]
        return []

    # ---- amounts

    def size(self, count: int) -> Decimal:
        """Return bytes as GB of this table."""
        with localcontext(prec=_DIGITS):
            return Decimal(count) / self.gb

    def cost(self, kind: _Kind, count: int, *, already: int = 0) -> Money:
        """Return what `count` bytes cost on top of `already` ones, which fill the lower tiers.

        Raises:
            InvalidInput: the table has no such price, or a number of bytes is negative.
        """
        tiers: tuple[Tier, ...] | None = getattr(self, kind)
        if tiers is None:
            message = f"is not in the table for {self.region} ({self.source}, {self.as_of.isoformat()})"
            raise InvalidInput.single("no price", kind, message)
        if count < 0 or already < 0:
            raise InvalidInput.single("no price", "count", "bytes must not be negative")
        with localcontext(prec=_DIGITS):
            return Money(self._up_to(tiers, already + count) - self._up_to(tiers, already), self.currency)

    def _up_to(self, tiers: tuple[Tier, ...], count: int) -> Decimal:
        left, below, total = self.size(count), Decimal(0), Decimal(0)
        for tier in tiers:
            within = left if tier.up_to is None else min(left, tier.up_to - below)
            total += within * tier.per_gb
            left -= within
            if tier.up_to is None or left <= 0:
                break
            below = tier.up_to
        return total

    def standard_month(self, count: int, *, already: int = 0) -> Money:
        """Return what a month of standard storage costs."""
        return self.cost("standard", count, already=already)

    def archive_month(self, count: int, *, already: int = 0) -> Money:
        """Return what a month of archive storage costs; `already` is what else the account has archived in the Region.

        Whether the tiers count by account or by Region is not documented.
        """
        return self.cost("archive", count, already=already)

    def archived_for(self, count: int, duration: dt.timedelta, *, already: int = 0) -> Money:
        """Return what archiving for a while costs: at least the minimum of 90 days, also when deleted before."""
        billed = max(duration, self.archive_minimum)
        return self.archive_month(count, already=already) * months(billed)

    def retrieve(self, count: int) -> Money:
        """Return what restoring archived bytes costs."""
        return self.cost("retrieval", count)

    def transfer(self, count: int, *, already: int = 0) -> Money:
        """Return what bytes that leave the Region cost; `already` left it earlier in the month."""
        return self.cost("transfer_out", count, already=already)

    def month(self, standard: ByteRange | int, archive: ByteRange | int = 0) -> MoneyRange:
        """Return what a month of storage costs, as a range where the bytes are one.

        Example:
            >>> print(prices_for("us-east-1").month(ByteRange(2**30, 3 * 2**30)))
            0.10 USD to 0.30 USD
        """
        a, b = (ByteRange.exactly(n) if isinstance(n, int) else n for n in (standard, archive))
        high = None
        if a.high is not None and b.high is not None:
            high = self.standard_month(a.high) + (self.archive_month(b.high) if b.high else Money.zero(self.currency))
        low = self.standard_month(a.low) + (self.archive_month(b.low) if b.low else Money.zero(self.currency))
        return MoneyRange(low, high, tuple(dict.fromkeys((*a.reasons, *b.reasons))))

    def both_readings(self, standard: int, archive: int = 0) -> dict[str, Money]:
        """Return a month's storage with a GB of 2**30 and of 10**9 bytes: ECR does not say in words which one it is.

        Example:
            >>> {k: str(m) for k, m in prices_for("us-east-1").both_readings(10**12).items()}
            {'GiB (2**30)': '93.13 USD', 'GB (10**9)': '100.00 USD'}
        """
        found: dict[str, Money] = {}
        for name, divisor in (("GiB (2**30)", GIB), ("GB (10**9)", GB)):
            exact = attrs.evolve(self, gb=divisor).month(standard, archive)
            found[name] = exact.low
        return found

    # ---- for people

    def _rows(self) -> list[tuple[object, ...]]:
        rows: list[tuple[object, ...]] = []
        for name in ("standard", "archive", "retrieval", "transfer_out"):
            tiers: tuple[Tier, ...] | None = getattr(self, name)
            below = Decimal(0)
            for tier in tiers or ():
                rows.append((name, f"{below:,}", "" if tier.up_to is None else f"{tier.up_to:,}", f"{tier.per_gb:f}"))
                below = tier.up_to or below
            if tiers is None:
                rows.append((name, "", "", "not known"))
        return rows

    def explain(self) -> str:
        """Return the table for people, with where it is from."""
        return f"{self}\n" + text_table(_HEADER, self._rows(), right=frozenset({1, 2, 3}))

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        divisor = {GIB: "2**30", GB: "10**9"}.get(self.gb, str(self.gb))
        return f"{self.region}, {self.currency}, {self.as_of.isoformat()}: {self.source}; 1 GB = {divisor} bytes"

    # ---- reading the price list

    @classmethod
    def from_products(
        cls, products: Iterable[str | Mapping[str, Any]], *, region: str, as_of: dt.date, gb: int = GIB
    ) -> PriceTable:
        """Return the table of a Region from the products of pricing:GetProducts (ServiceCode AmazonECR).

        Products of other Regions, of ECR Public and of usage that is not known are passed over. The price list names a
        transfer price of its own for ECR where it has one; else `transfer_out` is not known.

        Args:
            products: the items of `PriceList`, texts as the API gives them or parsed.
            region: whose prices to take.
            as_of: the day of the answer.
            gb: how many bytes a GB has.

        Raises:
            InvalidInput: no price of standard storage for the Region, or a product cannot be read; lists everything.
        """
        problems: list[Problem] = []
        found: dict[str, list[tuple[Decimal, Decimal | None, Decimal]]] = {}
        currencies: set[str] = set()
        for number, product in enumerate(products):
            path = f"$.PriceList[{number}]"
            try:
                parsed = json.loads(product) if isinstance(product, str) else product
                kind = _kind_of(parsed, region)
                if kind is not None:
                    for begin, end, price, currency in _dimensions(parsed):
                        found.setdefault(kind, []).append((begin, end, price))
                        currencies.add(currency)
            except (ValueError, TypeError, KeyError, AttributeError, InvalidOperation) as fault:
                problems.append(Problem(path, f"is no product of the price list: {type(fault).__name__} {fault}"))
        if "standard" not in found and not problems:
            problems.append(Problem("$.PriceList", f"has no price of standard storage for {region}"))
        if len(currencies) > 1:
            problems.append(Problem("$.PriceList", f"has several currencies: {', '.join(sorted(currencies))}"))
        if problems:
            raise InvalidInput("no price table", problems)
        tiers = {
            kind: tuple(Tier(end, price) for _, end, price in sorted(set(rows), key=lambda row: row[0]))
            for kind, rows in found.items()
        }
        return cls(
            region=region,
            currency=currencies.pop(),
            as_of=as_of,
            source="AWS price list, AmazonECR",
            standard=tiers["standard"],
            archive=tiers.get("archive"),
            retrieval=tiers.get("retrieval"),
            transfer_out=tiers.get("transfer_out"),
            gb=gb,
        )


def months(duration: dt.timedelta) -> Decimal:
    """Return a duration in months of 30 days."""
    with localcontext(prec=_DIGITS):
        return Decimal(duration // dt.timedelta(microseconds=1)) / Decimal(MONTH // dt.timedelta(microseconds=1))


def _kind_of(product: Mapping[str, Any], region: str) -> _Kind | None:
    attributes: Mapping[str, Any] = product["product"]["attributes"]
    usage = usage_type(attributes["usagetype"])
    # The price list tells the Region; the billing code is the older way.
    where = attributes.get("regionCode") or attributes.get("fromRegionCode") or usage.region
    if where != region or product.get("serviceCode", "AmazonECR") != "AmazonECR":
        return None
    if usage.kind == "transfer":
        return "transfer_out" if attributes["usagetype"].endswith("DataTransfer-Out-Bytes") else None
    return _KINDS.get(usage.kind)


def _dimensions(product: Mapping[str, Any]) -> Iterable[tuple[Decimal, Decimal | None, Decimal, str]]:
    for term in product["terms"]["OnDemand"].values():
        for dimension in term["priceDimensions"].values():
            end = dimension.get("endRange", "Inf")
            ((currency, price),) = dimension["pricePerUnit"].items()
            yield (
                Decimal(dimension.get("beginRange", "0")),
                None if end == "Inf" else Decimal(end),
                Decimal(price),
                currency,
            )


_SHIPPED: Final = PriceTable(
    region="us-east-1",
    currency="USD",
    as_of=dt.date(2026, 11, 24),
    source="Amazon ECR pricing and the public AWS price list",
    standard="0.10",
    archive=(Tier(153_600, "0.10"), Tier(None, "0.07")),
    retrieval="0.03",
    transfer_out=(Tier(10_240, "0.09"), Tier(51_200, "0.085"), Tier(153_600, "0.07"), Tier(None, "0.05")),
)


def prices_for(region: str, *, gb: int = GIB) -> PriceTable:
    """Return the price table that ecrkit ships for a Region: us-east-1, and no other.

    Raises:
        InvalidInput: for every other Region; its message says where to take prices from.

    Example:
        >>> print(prices_for("us-east-1").transfer(11 * 2**40))
        1,008.64 USD
        >>> prices_for("eu-west-1")
        Traceback (most recent call last):
        ecrkit.errors.InvalidInput: no prices: region: none are shipped for 'eu-west-1', only for us-east-1; ...
    """
    if region != _SHIPPED.region:
        raise InvalidInput.single(
            "no prices",
            "region",
            f"none are shipped for {region!r:.40}, only for us-east-1; make a PriceTable, or read the price list"
            " (PriceTable.from_products, aws.pricing.PricingGateway)",
        )
    return attrs.evolve(_SHIPPED, gb=gb)
