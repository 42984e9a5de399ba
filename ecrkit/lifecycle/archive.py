"""Archive or expire: what each age limit would cost and save.

The archive class costs as much as the standard class for the first 150 TB; beyond, it is cheaper. Each image in it is
charged for at least 90 days, and each retrieval is charged. An archived image cannot be pulled until it is restored.
Source: ECR user guide, archiving images; the public price list of Amazon ECR.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit._internal.times import require_aware
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import ByteRange, freed_by, stored_bytes
from ecrkit.lifecycle.simulate import clock_of, cutoff
from ecrkit.ports import StoragePrices

__all__ = ["ArchiveOption", "ArchiveStrategy", "archive_strategy"]

MINIMUM_DAYS: Final = 90
"""An image in the archive is charged for at least so long (ECR user guide, archiving images)."""
_MONTH: Final = Decimal(30)


@attrs.frozen(kw_only=True)
class ArchiveOption(Record):
    """What happens with the images that were not pulled for `days`, a month: keep them, archive them, or expire them.

    `kept`, `archived` and `retrieved` are money a month: in the standard class, in the archive, and for getting back
    the share that is pulled in a month. `least` is what the archive costs in its 90 days whatever happens, `expired`
    is 0 by definition. `bytes` are those that only these images hold: layers that they share with others stay anyway.
    """

    days: int
    images: int
    bytes: ByteRange
    kept: Decimal
    archived: Decimal
    retrieved: Decimal
    least: Decimal
    advice: str

    @property
    def saved(self) -> Decimal:
        """What archiving saves a month against keeping, less what is retrieved; negative when it costs more."""
        return self.kept - self.archived - self.retrieved


@attrs.frozen(kw_only=True, eq=False, repr=False)
class ArchiveStrategy:
    """The options of one repository, one for each age limit. Money is worst case where bytes are a range.

    Where nothing bounds the bytes, money is that of the bytes that are known, and the advice says so.
    """

    repository: str
    now: dt.datetime
    currency: str
    options: tuple[ArchiveOption, ...]

    @property
    def best(self) -> ArchiveOption | None:
        """The option that saves most by archiving; None when archiving saves nothing at any limit."""
        saving = [option for option in self.options if option.saved > 0]
        return max(saving, key=lambda option: option.saved, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the strategy as a JSON-ready mapping."""
        return {
            "repository": self.repository,
            "currency": self.currency,
            "options": [option.to_dict() | {"saved": str(option.saved)} for option in self.options],
        }

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (o.days, o.images, str(o.bytes), f"{o.kept:.2f}", f"{o.archived:.2f}", f"{o.retrieved:.2f}", o.advice)
            for o in self.options
        ]

    def to_text(self) -> str:
        """Return a table with a row for each age limit."""
        return f"{repr(self)[1:-1]}\n{text_table(_HEADER, self._rows(), right=frozenset(range(6)))}"

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=repr(self)[1:-1])

    @override
    def __repr__(self) -> str:
        best = self.best
        unknown = any(option.bytes.high is None for option in self.options)
        told = "nobody can say what archiving saves" if unknown else "archiving saves nothing"
        if best is not None:
            told = f"archiving after {best.days} days saves {best.saved:.2f} {self.currency} a month"
        return f"<ArchiveStrategy of {self.repository or 'repository'}: {told}>"


_HEADER: Final = ("days unpulled", "images", "only theirs", "kept", "archived", "retrieved", "advice")


def archive_strategy(
    inventory: Inventory,
    prices: StoragePrices,
    *,
    now: dt.datetime,
    days: Sequence[int] = (30, 60, 90, 180, 365),
    retrieved_share: Decimal | None = None,
    already_archived: int = 0,
) -> ArchiveStrategy:
    """Return what archiving the images that were not pulled for so many days costs and saves, beside keeping them.

    Money is a month's. Expiring them costs nothing and cannot be undone; it is the better choice wherever nobody will
    ask for the images.

    Args:
        inventory: the images of one repository; bytes are exact when it has every manifest.
        prices: of the Region, such as `ecrkit.cost.prices_for("us-east-1")`.
        now: the instant to count from.
        days: the limits to try.
        retrieved_share: how much of what is archived is got back in a month, from 0 to 1. By default the share of all
            images beyond the limit by push that were pulled within the last 30 days: those that somebody still wants.
        already_archived: bytes that the account has in the archive besides, which fill the lower tiers.

    Raises:
        InvalidInput: a limit is below 1, the share is out of range, or the prices lack one that is needed.

    Example:
        >>> from ecrkit.cost import prices_for
        >>> from ecrkit.records import Image
        >>> now = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
        >>> images = [Image(digest="sha256:" + "a" * 64, pushed_at=now - dt.timedelta(days=150), size=2**30)]
        >>> archive_strategy(Inventory(images), prices_for("us-east-1"), now=now, days=[90])
        <ArchiveStrategy of repository: archiving saves nothing>
    """
    now = require_aware(now, "now")
    problems = [Problem(f"days[{n}]", f"must be 1 or more, not {limit}") for n, limit in enumerate(days) if limit < 1]
    if retrieved_share is not None and not 0 <= retrieved_share <= 1:
        problems.append(Problem("retrieved_share", f"must lie between 0 and 1, not {retrieved_share}"))
    if problems:
        raise InvalidInput("no archive strategy", problems)
    exact = stored_bytes(inventory).exact is not None
    options = tuple(
        _option(inventory, prices, now=now, days=limit, share=retrieved_share, already=already_archived, exact=exact)
        for limit in sorted(set(days))
    )
    currency = prices.standard_month(0).currency
    return ArchiveStrategy(repository=inventory.repository, now=now, currency=currency, options=options)


def _option(
    inventory: Inventory,
    prices: StoragePrices,
    *,
    now: dt.datetime,
    days: int,
    share: Decimal | None,
    already: int,
    exact: bool,
) -> ArchiveOption:
    edge = cutoff(now, days)
    active = [image for image in inventory if image.status == "ACTIVE"]
    old = [i for i in active if (last := clock_of(i, "sinceImagePulled")) is not None and last < edge]
    going = _not_held(inventory, {image.digest for image in old})
    own = freed_by(inventory, going) if going else ByteRange.exactly(0)
    count = own.low if own.high is None else own.high
    if share is None:
        pushed = [i for i in active if (i.last_activated_at or i.pushed_at) < edge]
        month = now - dt.timedelta(days=30)
        wanted = sum(1 for i in pushed if i.last_pulled_at is not None and i.last_pulled_at >= month)
        share = Decimal(wanted) / len(pushed) if pushed else Decimal(0)
    kept = prices.standard_month(count).amount
    archived = prices.archive_month(count, already=already).amount
    retrieved = prices.retrieve(count).amount * share
    return ArchiveOption(
        days=days, images=len(going), bytes=own, kept=kept, archived=archived, retrieved=retrieved,
        least=archived * MINIMUM_DAYS / _MONTH,
        advice=_UNKNOWN if own.high is None else _advice(len(going), kept - archived - retrieved, share, exact=exact),
    )  # fmt: skip


def _not_held(inventory: Inventory, going: set[str]) -> set[str]:
    """Return those that no index that stays holds; an index that is held stays, and holds its own children."""
    while True:
        held = {
            digest
            for digest in going
            if any(p.digest not in going and p.status != "ARCHIVED" for p in inventory.parents_of(digest))
        }
        if not held:
            return going
        going = going - held


_UNKNOWN: Final = "not known: nothing bounds the bytes of some images, so money is the least; read the manifests"


def _advice(images: int, saved: Decimal, share: Decimal, *, exact: bool) -> str:
    if not images:
        return "nothing is that old"
    doubt = "" if exact else "; bytes are a range, since manifests are unread"
    if saved > 0:
        return f"archive what may be asked for, expire the rest{doubt}"
    if share > 0:
        return f"keep or expire: archiving costs more than it saves, and {share:.0%} are still pulled{doubt}"
    return f"expire, or keep: the archive costs as much as the standard class{doubt}"
