"""What AWS charged for ECR, as Cost Explorer tells it: exact amounts, the untagged apart, no zero that nobody checked.

Source: AWS Cost Explorer API reference, GetCostAndUsage.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit.cost.usage_types import UsageType, usage_type
from ecrkit.errors import InvalidInput, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["UNTAGGED", "Bill", "BillGroup", "BillLine", "Dimension", "Granularity", "Metric"]

Granularity = Literal["DAILY", "MONTHLY"]
"""The length of the periods of a bill."""

Metric = Literal["AmortizedCost", "BlendedCost", "NetAmortizedCost", "NetUnblendedCost", "UnblendedCost"]
"""Which cost Cost Explorer adds up."""

UNTAGGED: Final = "(untagged)"
"""How tables name what carries no value of a tag."""

_USAGE_TYPE: Final = "USAGE_TYPE"
_COLUMNS: Final = frozenset(
    {"start", "end", "kind", "region", "amount", "currency", "quantity", "quantity_unit", "estimated"}
)


@attrs.frozen
class Dimension:
    """A dimension of Cost Explorer to group by, such as `Dimension("REGION")`; a plain text is a tag key."""

    name: str


@attrs.frozen(kw_only=True)
class BillLine(Record):
    """One amount: for a period, and for one value of each key that the bill is grouped by.

    `group` is in the order of the bill's `grouped_by`; None is what carries no value of that tag. `end` is excluded.
    `estimated` says that AWS has not closed the period: the amount may still change.
    """

    start: dt.date
    end: dt.date
    group: tuple[str | None, ...] = ()
    amount: Decimal
    currency: str
    quantity: Decimal | None = None
    quantity_unit: str | None = None
    usage: UsageType | None = None
    estimated: bool = False


@attrs.frozen(kw_only=True)
class BillGroup(Record):
    """The sum for one value; None is what carries no value of that tag. `estimated` when a part of it may change."""

    value: str | None
    amount: Decimal
    currency: str
    estimated: bool

    @property
    def name(self) -> str:
        """The value for people."""
        return UNTAGGED if self.value is None else self.value


@attrs.frozen(kw_only=True)
class Bill(Record):
    """What ECR cost in a time, period by period.

    `total` is None when the amount is not known: `unknown` then says why, for example that the tag asked for is no
    active cost allocation tag, which Cost Explorer answers with zero. `notes` say what was checked, and what to know
    about amounts that stand. `unseen_tags` are keys whose values Cost Explorer does not see: what they group stands as
    untagged, and may be tagged. `where` and `regions` are what it was narrowed to: tag keys with their values, Regions.
    `paid_calls` were charged for this bill, at $0.01 each; 0 when it was known already. `estimated` are the starts of
    the periods that may still change.
    """

    start: dt.date
    end: dt.date
    granularity: Granularity
    metric: Metric
    grouped_by: tuple[str, ...]
    lines: tuple[BillLine, ...] = attrs.field(repr=False)
    estimated: tuple[dt.date, ...] = ()
    unknown: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unseen_tags: tuple[str, ...] = ()
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    regions: tuple[str, ...] = ()
    paid_calls: int = 0

    @property
    def currencies(self) -> tuple[str, ...]:
        """The currencies of the lines; one, as a rule."""
        return tuple(sorted({line.currency for line in self.lines}))

    @property
    def currency(self) -> str:
        """The currency of the amounts; empty when there are none, or several."""
        found = self.currencies
        return found[0] if len(found) == 1 else ""

    @property
    def known(self) -> bool:
        """Whether the amounts can be relied on."""
        return not self.unknown and len(self.currencies) < 2

    @property
    def narrowed(self) -> str:
        """What the bill was narrowed to, for people; empty when it holds all costs of ECR that may be seen."""
        parts = [f"{key}={' or '.join(value or UNTAGGED for value in values)}" for key, values in self.where]
        return " and ".join([*parts, *([f"in {', '.join(self.regions)}"] if self.regions else [])])

    @property
    def total(self) -> Decimal | None:
        """The sum of all lines, or None when it is not known."""
        return sum((line.amount for line in self.lines), Decimal(0)) if self.known else None

    @property
    def untagged(self) -> Decimal | None:
        """What carries no value of a tag that the bill is grouped by; None when that is not known."""
        if not self.known or self.unseen_tags:
            return None
        return sum((line.amount for line in self.lines if None in line.group), Decimal(0))

    def by(self, key: str) -> tuple[BillGroup, ...]:
        """Return the sums for each value of a key, the greatest first; what carries no value of a tag has its own.

        Args:
            key: one of `grouped_by`: a tag key such as `Team`, or a dimension such as `USAGE_TYPE`.

        Raises:
            InvalidInput: the bill is not grouped by that key.
        """
        if key not in self.grouped_by:
            has = ", ".join(self.grouped_by) or "nothing"
            raise InvalidInput.single("no such group", "key", f"the bill is grouped by {has}, not by {key!r:.60}")
        place = self.grouped_by.index(key)
        return self._groups(lambda line: line.group[place])

    def by_usage(self) -> tuple[BillGroup, ...]:
        """Return the sums by what was charged for: storage, archive storage, archive retrieval, transfer, other.

        Raises:
            InvalidInput: the bill is not grouped by usage type.
        """
        self._needs_usage()
        return self._groups(lambda line: None if line.usage is None else line.usage.kind)

    def by_region(self) -> tuple[BillGroup, ...]:
        """Return the sums by Region, as read from usage types; None is a Region whose billing code is not known.

        Raises:
            InvalidInput: the bill is not grouped by usage type.
        """
        self._needs_usage()
        return self._groups(lambda line: None if line.usage is None else line.usage.region)

    def _needs_usage(self) -> None:
        if _USAGE_TYPE not in self.grouped_by:
            raise InvalidInput.single(
                "no usage types", "bill", "is not grouped by usage type; a second tag took its place"
            )

    def _groups(self, value_of: Callable[[BillLine], str | None]) -> tuple[BillGroup, ...]:
        sums: dict[tuple[str | None, str], tuple[Decimal, bool]] = {}
        for line in self.lines:
            key = value_of(line), line.currency
            amount, estimated = sums.get(key, (Decimal(0), False))
            sums[key] = amount + line.amount, estimated or line.estimated
        made = [
            BillGroup(value=value, amount=amount, currency=currency, estimated=estimated)
            for (value, currency), (amount, estimated) in sums.items()
        ]
        return tuple(sorted(made, key=lambda group: (-group.amount, group.name)))

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each line, as columns: times, one column for each key, amounts and decoded usage.

        A key that is called as another column is, such as a tag `region`, stands as `region (key)`.
        """
        columns: dict[str, list[Any]] = {
            "start": [line.start for line in self.lines],
            "end": [line.end for line in self.lines],
        }
        for place, key in enumerate(self.grouped_by):
            name = f"{key} (key)" if key in _COLUMNS else key
            columns[name] = [line.group[place] for line in self.lines]
        return columns | {
            "kind": [None if line.usage is None else line.usage.kind for line in self.lines],
            "region": [None if line.usage is None else line.usage.region for line in self.lines],
            "amount": [line.amount for line in self.lines],
            "currency": [line.currency for line in self.lines],
            "quantity": [line.quantity for line in self.lines],
            "quantity_unit": [line.quantity_unit for line in self.lines],
            "estimated": [line.estimated for line in self.lines],
        }

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame; amounts stay Decimal.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def _table(self) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
        header = ("period", *self.grouped_by, "amount", "quantity", "")
        rows: list[tuple[object, ...]] = [
            (
                f"{line.start} to {line.end}",
                *(UNTAGGED if value is None else value for value in line.group),
                f"{line.amount:.2f} {line.currency}",
                "" if line.quantity is None else f"{line.quantity:.2f} {line.quantity_unit or ''}".strip(),
                "estimated" if line.estimated else "",
            )
            for line in sorted(self.lines, key=lambda found: (found.start, -found.amount))
        ]
        return header, rows

    def explain(self) -> str:
        """Return the bill as a table for people, with what is unknown and what was noted."""
        header, rows = self._table()
        parts = [str(self), *(f"unknown: {why}" for why in self.unknown), *self.notes]
        return "\n".join([*parts, text_table(header, rows)] if rows else parts)

    def _repr_html_(self) -> str:
        header, rows = self._table()
        return html_table(header, rows, caption="; ".join([str(self), *self.unknown, *self.notes]))

    @override
    def __str__(self) -> str:
        total = self.total
        amount = "not known" if total is None else f"{total:.2f} {self.currency}".strip()
        marked = f", {counted(len(self.estimated), 'period')} estimated" if self.estimated else ""
        only = f" ({self.narrowed})" if self.narrowed else ""
        return f"ECR{only} from {self.start} to {self.end} (excluded): {amount}{marked}"


# ---- reading GetCostAndUsage

GroupKeys = Iterable[tuple[Literal["TAG", "DIMENSION"], str]]


@attrs.frozen(kw_only=True)
class _Period:
    start: dt.date
    end: dt.date
    estimated: bool


def read_pages(
    pages: Iterable[Mapping[str, Any]], keys: GroupKeys, metric: str
) -> tuple[tuple[BillLine, ...], tuple[dt.date, ...]]:
    """Return the lines of all pages, and the starts of the periods that are estimated.

    A period may go on on the next page; a page's `Total` counts only where nothing is grouped.

    Raises:
        InvalidInput: an answer that is not of the documented form; lists every place.
    """
    lines: list[BillLine] = []
    estimated: dict[dt.date, None] = {}
    problems: list[Problem] = []
    wanted = tuple(keys)
    for p, page in enumerate(pages):
        for r, result in enumerate(page.get("ResultsByTime") or ()):
            path = f"$[{p}].ResultsByTime[{r}]"
            try:
                period = _period(result)
            except (KeyError, TypeError, ValueError):
                problems.append(Problem(f"{path}.TimePeriod", "is no period of two dates"))
                continue
            if period.estimated:
                estimated[period.start] = None
            entries = result.get("Groups") or ()
            if not wanted:
                entries = [{"Keys": [], "Metrics": result.get("Total") or {}}]
            for g, group in enumerate(entries):
                line = _line(group, period, wanted, metric, path=f"{path}.Groups[{g}]", problems=problems)
                if line is not None:
                    lines.append(line)
    if problems:
        raise InvalidInput("not an answer of GetCostAndUsage", problems)
    return tuple(lines), tuple(estimated)


def _period(result: Mapping[str, Any]) -> _Period:
    told = result["TimePeriod"]
    start, end = (dt.date.fromisoformat(str(told[name])[:10]) for name in ("Start", "End"))
    return _Period(start=start, end=end, estimated=bool(result.get("Estimated")))


def _line(
    group: Mapping[str, Any],
    period: _Period,
    wanted: tuple[tuple[Literal["TAG", "DIMENSION"], str], ...],
    metric: str,
    *,
    path: str,
    problems: list[Problem],
) -> BillLine | None:
    keys = group.get("Keys") or []
    if len(keys) != len(wanted):
        problems.append(Problem(f"{path}.Keys", f"has {len(keys)} entries for {len(wanted)} keys asked for"))
        return None
    metrics = group.get("Metrics") or {}
    amount = _decimal(metrics.get(metric))
    if amount is None:
        problems.append(Problem(f"{path}.Metrics.{metric}", "is no decimal amount"))
        return None
    values = tuple(_value(kind, name, str(text)) for (kind, name), text in zip(wanted, keys, strict=True))
    usage = next((v for (_, name), v in zip(wanted, values, strict=True) if name == _USAGE_TYPE and v), None)
    # "N/A" says that quantities of several units were added up: a number that means nothing.
    unit = str((metrics.get("UsageQuantity") or {}).get("Unit") or "")
    unit = "" if unit == "N/A" else unit
    return BillLine(
        start=period.start,
        end=period.end,
        group=values,
        amount=amount,
        currency=str(metrics[metric].get("Unit") or ""),
        quantity=_decimal(metrics["UsageQuantity"]) if unit else None,
        quantity_unit=unit or None,
        usage=None if usage is None else usage_type(usage),
        estimated=period.estimated,
    )


def _value(kind: str, name: str, text: str) -> str | None:
    if kind != "TAG":
        return text
    return text.removeprefix(f"{name}$") or None


def _decimal(told: Any) -> Decimal | None:
    try:
        found = Decimal(str(told["Amount"]))
    except (InvalidOperation, KeyError, TypeError):
        return None
    return found if found.is_finite() else None


def checked_metric(metric: str) -> Problem | None:
    """Return what is wrong with the name of a metric, or None."""
    if metric in get_args(Metric):
        return None
    return Problem("metric", f"must be one of {', '.join(get_args(Metric))}, not {metric!r:.60}")
