"""Money: exact decimal amounts that never lose their currency, and amounts that are not known exactly."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput

__all__ = ["Money", "MoneyRange"]

_DIGITS = 60  # bytes divided by 2**30 have 30 decimals; nothing is rounded before it is shown


def _decimal(value: Decimal | int | str) -> Decimal:
    # A float brings digits that nobody meant.
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError(f"money is Decimal, int or text, not {type(value).__name__}")
    return Decimal(value)


@attrs.frozen(order=False)
class Money(Record):
    """An amount in a currency. Adding or comparing amounts of two currencies is refused.

    Example:
        >>> print(Money("0.10", "USD") * 1024 + Money("0.005", "USD"))
        102.41 USD
        >>> Money(1, "USD") + Money(1, "CNY")
        Traceback (most recent call last):
        ecrkit.errors.InvalidInput: no sum of two currencies: currency: USD and CNY
    """

    amount: Decimal = attrs.field(converter=_decimal)
    currency: str

    @classmethod
    def zero(cls, currency: str) -> Money:
        """Return no money of a currency."""
        return cls(Decimal(0), currency)

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise InvalidInput.single("no sum of two currencies", "currency", f"{self.currency} and {other.currency}")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        with localcontext(prec=_DIGITS):
            return Money(self.amount + other.amount, self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        with localcontext(prec=_DIGITS):
            return Money(self.amount - other.amount, self.currency)

    def __mul__(self, factor: Decimal | int) -> Money:
        with localcontext(prec=_DIGITS):
            return Money(self.amount * _decimal(factor), self.currency)

    def __lt__(self, other: Money) -> bool:
        self._same(other)
        return self.amount < other.amount

    def __le__(self, other: Money) -> bool:
        self._same(other)
        return self.amount <= other.amount

    def __neg__(self) -> Money:
        return Money(-self.amount, self.currency)

    def rounded(self, places: int = 2) -> Money:
        """Return the amount rounded half to even."""
        with localcontext(prec=_DIGITS):
            return Money(self.amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN), self.currency)

    @override
    def __str__(self) -> str:
        with localcontext(prec=_DIGITS):
            return f"{self.amount.quantize(Decimal('0.01'), 'ROUND_HALF_UP'):,} {self.currency}"


@attrs.frozen
class MoneyRange(Record):
    """An amount between `low` and `high`; `high` is None when nothing bounds it. `reasons` says why it is a range.

    Example:
        >>> print(MoneyRange.exactly(Money("1.5", "USD")) + MoneyRange(Money(0, "USD"), Money(2, "USD"), ("why",)))
        1.50 USD to 3.50 USD
    """

    low: Money
    high: Money | None
    reasons: tuple[str, ...] = ()

    @classmethod
    def exactly(cls, amount: Money) -> MoneyRange:
        """Return the range that holds one amount."""
        return cls(amount, amount)

    @property
    def exact(self) -> Money | None:
        """The amount if it is known exactly, else None."""
        return self.low if self.high is not None and self.low == self.high else None

    def __add__(self, other: MoneyRange) -> MoneyRange:
        high = None if self.high is None or other.high is None else self.high + other.high
        return MoneyRange(self.low + other.low, high, tuple(dict.fromkeys(self.reasons + other.reasons)))

    def __mul__(self, factor: Decimal | int) -> MoneyRange:
        """Return the range times a factor that is not negative."""
        return MoneyRange(self.low * factor, None if self.high is None else self.high * factor, self.reasons)

    @override
    def __str__(self) -> str:
        if self.exact is not None:
            return str(self.low)
        return f"at least {self.low}" if self.high is None else f"{self.low} to {self.high}"
