"""The bill beside the bytes: how far what was charged is from what is stored, and what the difference may come from.

A bill tells the average of a month; an inventory tells one moment. So they agree within a tolerance, or the causes
that can be computed are tried on the gap, and the others are named.
Sources: public price list of Amazon ECR; ECR user guide, blob mounting and archiving images.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, size, text_table
from ecrkit.cost.bill import Bill, BillLine
from ecrkit.cost.prices import GB, GIB
from ecrkit.cost.storage import StorageReport
from ecrkit.cost.usage_types import UsageKind
from ecrkit.errors import InvalidInput
from ecrkit.images.byte_range import ByteRange

__all__ = ["Cause", "Reconciliation", "reconcile"]

Answer = Literal["agrees", "billed more", "billed less", "unknown"]

_FREE: Final = Decimal("0.5")  # GB-months of private storage, for new customers in their first year
_UNIT: Final = "GB-Mo"


@attrs.frozen(kw_only=True)
class Cause(Record):
    """What a gap may come from. `fits` is True when it explains the gap by itself, as far as that can be computed.

    `bytes` is how much it accounts for, where that is known.
    """

    name: str
    why: str
    fits: bool | None = None
    bytes: int | None = None


@attrs.frozen(kw_only=True)
class Reconciliation(Record):
    """What was billed as storage in a Region, and what the storage report computes.

    `billed` is the average over the closed periods of the bill, in bytes; None when it has none. `answer` is `unknown`
    then, and when nothing bounds what is stored. `gap_low` and `gap_high` are billed minus computed. `causes` come with
    those that fit first.
    """

    region: str
    answer: Answer
    billed: int | None
    billed_standard: int | None
    billed_archive: int | None
    computed: ByteRange
    computed_standard: ByteRange
    computed_archive: ByteRange
    gap_low: int | None
    gap_high: int | None
    gb: int
    causes: tuple[Cause, ...] = ()
    unknown: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return the comparison and its causes for people."""
        rows = self._rows()
        told = [f"{'fits' if c.fits else 'possible'}: {c.name}: {c.why}" for c in self.causes]
        return "\n".join([str(self), text_table(("", "billed", "computed"), rows), *self.unknown, *told])

    def _rows(self) -> list[tuple[object, ...]]:
        pairs = (
            ("storage", self.billed, self.computed),
            ("standard", self.billed_standard, self.computed_standard),
            ("archive", self.billed_archive, self.computed_archive),
        )
        return [(name, "not known" if told is None else size(told), computed) for name, told, computed in pairs]

    def _repr_html_(self) -> str:
        causes = [("fits" if c.fits else "possible", c.name, c.why) for c in self.causes]
        return html_table(("", "billed", "computed"), self._rows(), caption=str(self)) + html_table(
            ("", "cause", "why"), causes
        )

    @override
    def __str__(self) -> str:
        if self.billed is None:
            return f"storage in {self.region}: what was billed is not known; {self.computed} computed"
        return f"storage in {self.region}: {self.answer}: {size(self.billed)} billed, {self.computed} computed"


def reconcile(
    bill: Bill,
    storage: StorageReport,
    *,
    region: str,
    gb: int = GIB,
    tolerance: Decimal = Decimal("0.02"),
) -> Reconciliation:
    """Return a bill beside the stored bytes of one Region, with the gap and its likely causes.

    Only closed periods are taken: an estimated one has no average yet. Ask for whole months that end near the time of
    the inventory, and for this account alone where others are seen too.

    Args:
        bill: grouped by usage type.
        storage: of every private repository of the account in that Region.
        region: whose storage to compare.
        gb: how many bytes a GB of the bill has. No page of ECR says; its tiers point to 2**30.
        tolerance: the part of what was billed by which both may differ and still agree.

    Raises:
        InvalidInput: the bill is not grouped by usage type.
    """
    if "USAGE_TYPE" not in bill.grouped_by:
        raise InvalidInput.single("no reconciliation", "bill", "is not grouped by usage type")
    unknown = [*bill.unknown]
    if bill.where or (bill.regions and region not in bill.regions):
        unknown.append(f"the bill holds only a part ({bill.narrowed}): ask for all costs of {region} to compare")
    lines = [line for line in bill.lines if not line.estimated and line.usage is not None]
    share = _months(bill)
    if not share:
        unknown.append("the bill has no closed period: what was stored on average is not known yet")
    standard = _average(lines, "storage", region, share, gb=gb, unknown=unknown)
    archive = _average(lines, "archive storage", region, share, gb=gb, unknown=unknown)
    usable = not unknown and standard is not None and archive is not None
    billed = standard + archive if usable and standard is not None and archive is not None else None
    split = storage.split
    computed = storage.bytes
    gap_low = gap_high = None
    answer: Answer = "unknown"
    if billed is not None:
        slack = int(billed * tolerance)
        gap_high = billed - computed.low
        gap_low = None if computed.high is None else billed - computed.high
        if gap_high < -slack:
            answer = "billed less"
        elif gap_low is not None:
            answer = "billed more" if gap_low > slack else "agrees"
    made = Reconciliation(
        region=region, answer=answer, billed=billed,
        billed_standard=standard if usable else None, billed_archive=archive if usable else None,
        computed=computed, computed_standard=_or_both(split.standard, split.shared),
        computed_archive=_or_both(split.archive, split.shared),
        gap_low=gap_low, gap_high=gap_high, gb=gb, unknown=tuple(unknown),
    )  # fmt: skip
    causes = sorted(_causes(made, bill, storage, share, tolerance), key=lambda cause: cause.fits is not True)
    return attrs.evolve(made, causes=tuple(causes))


def _months(bill: Bill) -> Decimal:
    """Return how many months the closed periods of the bill hold, day by day."""
    months = Decimal(0)
    day = bill.start
    open_from = sorted(bill.estimated)
    while day < bill.end:
        if not any(_within(day, start, bill) for start in open_from):
            months += Decimal(1) / calendar.monthrange(day.year, day.month)[1]
        day += dt.timedelta(days=1)
    return months.quantize(Decimal("1e-20"))


def _within(day: dt.date, start: dt.date, bill: Bill) -> bool:
    if bill.granularity == "DAILY":
        return day == start
    return day >= start and (day.year, day.month) == (start.year, start.month)


def _average(
    lines: list[BillLine], kind: UsageKind, region: str, share: Decimal, *, gb: int, unknown: list[str]
) -> int | None:
    chosen = [
        line for line in lines if line.usage is not None and (line.usage.kind, line.usage.region) == (kind, region)
    ]
    strange = sorted({line.quantity_unit or "no unit" for line in chosen if line.quantity_unit != _UNIT})
    if strange:
        unknown.append(f"{kind} is billed in {', '.join(strange)}, not in {_UNIT}")
        return None
    if not share:
        return None
    total = sum((line.quantity for line in chosen if line.quantity is not None), Decimal(0))
    return int((total * gb / share).to_integral_value())


def _or_both(alone: ByteRange, both: ByteRange) -> ByteRange:
    """Return a class's own bytes, up to those that it shares with the other: who pays for them is not documented."""
    added = alone + both
    return ByteRange(alone.low, added.high, added.reasons)


def _causes(
    made: Reconciliation, bill: Bill, storage: StorageReport, share: Decimal, tolerance: Decimal
) -> Iterator[Cause]:
    billed = made.billed
    if storage.bytes.low != storage.apart.low:
        apart = storage.apart.low
        yield Cause(
            name="blob mounting",
            why=f"shared layers count once where they are mounted ({size(storage.bytes.low)}), and once "
            f"in each where not ({size(apart)}); how mounted ones are billed is not documented",
            fits=billed is not None and storage.bytes.low <= billed <= apart,
            bytes=apart - storage.bytes.low,
        )
    if storage.gaps:
        yield Cause(
            name="repositories that could not be read",
            why=f"{counted(len(storage.gaps), 'repository', 'repositories')} may hold anything",
            fits=None,
        )
    yield from _of_other_places(made, bill, share)
    if billed is None or made.answer in {"agrees", "unknown"}:
        return
    other = GB if made.gb == GIB else GIB
    converted = billed * other // made.gb
    slack = int(converted * tolerance)
    if converted + slack >= made.computed.low and (
        made.computed.high is None or converted - slack <= made.computed.high
    ):
        yield Cause(
            name="another GB",
            why=f"with {other:,} bytes a GB the bill says {size(converted)}, which agrees",
            fits=True,
            bytes=converted - billed,
        )
    if made.answer == "billed more":
        yield from _of_more(made, storage)
        return
    free = int(_FREE * made.gb)
    least = -(made.gap_high or 0)
    yield Cause(
        name="free tier",
        why=f"{_FREE} GB-months of private storage are free in a customer's first year",
        fits=least <= free,
        bytes=free,
    )
    yield Cause(name="pushed during the month", why="the bill is an average; what came late counts for its days only")


def _of_other_places(made: Reconciliation, bill: Bill, share: Decimal) -> Iterator[Cause]:
    sums: dict[str | None, Decimal] = {}
    for line in bill.lines:
        usage = line.usage
        if usage is None or line.estimated or usage.kind not in {"storage", "archive storage"} or line.quantity is None:
            continue
        if usage.region != made.region:
            sums[usage.region] = sums.get(usage.region, Decimal(0)) + line.quantity
    for region, quantity in sorted(sums.items(), key=lambda item: item[0] or ""):
        told = int(quantity * made.gb / share) if share else None
        if region is None:
            why = "storage is billed under a billing code that is not known; it may be this Region's"
            yield Cause(name="unknown Region", why=why, bytes=told)
        else:
            yield Cause(
                name="other Regions", why=f"storage in {region} is on the bill and not compared here", bytes=told
            )


def _of_more(made: Reconciliation, storage: StorageReport) -> Iterator[Cause]:
    archived = made.computed_archive.high
    if made.billed_archive is not None and archived is not None and made.billed_archive > archived:
        over = made.billed_archive - archived
        yield Cause(
            name="archive minimum",
            why="an image that leaves the archive before 90 days is charged for all of them",
            fits=made.gap_low is not None and over >= made.gap_low,
            bytes=over,
        )
    yield Cause(name="deleted during the month", why="the bill is an average; what is gone by now counts for its days")
    images = sum(found.images for found in storage.repositories)
    yield Cause(
        name="manifests", why=f"the texts of {counted(images, 'manifest')} are stored too; the report counts blobs only"
    )
    yield Cause(name="other accounts", why="a payer account's bill holds those of its members; group by LINKED_ACCOUNT")
    yield Cause(name="public repositories", why="the report holds private repositories only")
