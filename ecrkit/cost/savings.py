"""What removing and archiving images saves in a month, and when archiving costs more than keeping.

Sources: Amazon ECR pricing; ECR user guide, archiving images (minimum of 90 days, retrieval).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal, localcontext
from typing import Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, size, text_table
from ecrkit._internal.times import require_aware
from ecrkit.cost.money import Money, MoneyRange
from ecrkit.cost.prices import PriceTable, months
from ecrkit.errors import InvalidInput
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import freed_by

__all__ = ["ArchiveChoice", "Savings", "archive_or_keep", "savings", "total_savings"]

_DIGITS: Final = 60
_NOTHING: Final = ByteRange.exactly(0)
_TOGETHER: Final = "all repositories fill the tiers of the archive together, and each was counted from the same start"
_HEADER: Final = ("repository", "freed", "archived", "saved a month", "once")


@attrs.frozen(kw_only=True)
class Savings(Record):
    """What a change saves: `freed` bytes go, `archived` ones move to the archive class.

    `per_month` is what the following months cost less; negative when they cost more. `once` is what the change itself
    costs: the rest of the 90 days of archived images that go before their time. `warnings` tells what to know first.
    `archive_room` is how many bytes the archive takes before its price changes; None when it does not change.
    """

    repository: str
    freed: ByteRange
    archived: ByteRange
    per_month: MoneyRange
    once: MoneyRange
    warnings: tuple[str, ...] = ()
    archive_room: int | None = None

    def explain(self) -> str:
        """Return a table for people, then the warnings."""
        return "\n".join((text_table(_HEADER, self._rows(), right=frozenset({1, 2, 3, 4})), *self.warnings))

    def _rows(self) -> list[tuple[object, ...]]:
        return [(self.repository or "(no name)", self.freed, self.archived, self.per_month, self.once)]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        return f"saves {self.per_month} a month"


def savings(
    inventory: Inventory,
    *,
    prices: PriceTable,
    now: dt.datetime,
    removed: Collection[str] = (),
    archived: Collection[str] = (),
    actions: Mapping[str, str] | None = None,
    already_archived: int = 0,
) -> Savings:
    """Return what removing some images of a repository and archiving others saves in a month.

    For a lifecycle plan give its `actions`. Layers that a remaining image
    uses are not freed, and layers that a remaining active image uses are not archived.

    Args:
        inventory: with manifests; unread ones make ranges.
        prices: of the registry's Region.
        now: the time of the change, from which the 90 days of archived images are counted.
        removed: digests of the images that go.
        archived: digests of the active images that are archived.
        actions: instead of both, `expire` or `transition` by digest, as a lifecycle plan has them.
        already_archived: bytes that the account has in the archive, this repository's included: they fill the lower
            tiers, and below 153,600 GB the archive costs what standard storage does.

    Raises:
        InvalidInput: a digest is not in the inventory, is to be removed and archived, is archived already, or the
            prices are not in the table.

    Example:
        >>> from ecrkit.cost.prices import prices_for
        >>> from ecrkit.images import Inventory
        >>> from ecrkit.local.images import filler, image
        >>> from ecrkit.records import RawManifest
        >>> built = image([filler(5_000)])
        >>> one = Inventory.from_api(
        ...     [{"imageDigest": built.digest, "imagePushedAt": 0}],
        ...     manifests=[RawManifest(digest=built.digest, media_type=built.media_type, text=built.manifest)])
        >>> at = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
        >>> print(savings(one, prices=prices_for("us-east-1"), now=at, archived=[built.digest]))
        saves 0.00 USD a month
    """
    at = require_aware(now, "now")
    if actions is not None:
        removed = (*removed, *(d for d, action in actions.items() if action == "expire"))
        archived = (*archived, *(d for d, action in actions.items() if action == "transition"))
    both = sorted(set(removed) & set(archived))
    if both:
        raise InvalidInput.single("no savings", "archived", f"{both[0]} is removed as well")
    going = dict.fromkeys(removed)
    freed = freed_by(inventory, going)
    class_of = {digest: inventory[digest].storage_class for digest in (*going, *archived)}
    moved_before = [digest for digest in archived if class_of[digest] == "archive"]
    if moved_before:
        raise InvalidInput.single("no savings", "archived", f"{moved_before[0]} is archived already")
    # What goes, by the class it was in. A blob of both classes is billed in one of them, and nobody says which.
    active = [d for d in going if class_of[d] == "standard"]
    cold = [d for d in going if class_of[d] == "archive"]
    from_standard = freed_by(inventory, active) if cold else freed
    from_archive = freed_by(inventory, cold) if active else (freed if cold else _NOTHING)
    mixed = _beyond(freed, from_standard, from_archive) if active and cold else _NOTHING
    # What leaves the active images: freed by taking out the removed and the archived, less what is freed anyway.
    moved = _beyond(freed_by(inventory, [*going, *archived]), freed) if archived else _NOTHING
    # Layers that a staying archived image has as well are not in it: they may be billed in the archive already.
    saved = _saved(prices, from_standard, from_archive, mixed, already_archived)
    saved = _plus(saved, _archiving(prices, moved, already_archived), moved.reasons)
    warnings = list(_warnings(prices, moved, already_archived))
    once = _early(inventory, cold, prices, at, already_archived)
    if once.high is None or once.high.amount > 0:
        days = prices.archive_minimum.days
        warnings.append(
            f"some archived images go before {days} days, which a lifecycle rule cannot do: the rest is billed"
        )
    return Savings(
        repository=inventory.repository, freed=freed, archived=moved, per_month=saved, once=once,
        warnings=tuple(warnings), archive_room=_room(prices, already_archived),
    )  # fmt: skip


def _room(prices: PriceTable, already: int) -> int | None:
    ends = [int(tier.up_to * prices.gb) for tier in prices.archive or () if tier.up_to is not None]
    return next((end - already for end in ends if end > already), None)


def _beyond(whole: ByteRange, *parts: ByteRange) -> ByteRange:
    """Return what the whole has beyond its parts."""
    highs = [part.high for part in parts]
    low = 0 if None in highs else max(0, whole.low - sum(h or 0 for h in highs))
    high = None if whole.high is None else max(low, whole.high - sum(part.low for part in parts))
    return ByteRange(low, high, whole.reasons if low != high else ())


def _saved(prices: PriceTable, standard: ByteRange, archive: ByteRange, mixed: ByteRange, already: int) -> MoneyRange:
    zero = Money.zero(prices.currency)
    reasons = tuple(dict.fromkeys((*standard.reasons, *archive.reasons, *mixed.reasons)))

    def cold(count: int) -> Money:
        # The bytes that go come off the top of what is archived.
        below = max(0, already - count)
        return prices.archive_month(count, already=below) if count else zero

    def either(count: int) -> tuple[Money, Money]:
        if not count:
            return zero, zero
        pair = (prices.standard_month(count), cold(count))
        return min(pair), max(pair)

    low = prices.standard_month(standard.low) + cold(archive.low) + either(mixed.low)[0]
    if standard.high is None or archive.high is None or mixed.high is None:
        return MoneyRange(low, None, reasons)
    high = prices.standard_month(standard.high) + cold(archive.high) + either(mixed.high)[1]
    if mixed.high:
        reasons = (*reasons, "layers of active and archived images may be billed in either class")
    return MoneyRange(low, high, reasons if low != high else ())


def _archiving(prices: PriceTable, moved: ByteRange, already: int) -> tuple[Money, Money | None]:
    """Return the least and the most that a month costs less once the bytes are in the archive."""

    def gain(count: int) -> Money:
        if not count:
            return Money.zero(prices.currency)
        return prices.standard_month(count) - prices.archive_month(count, already=already)

    low = gain(moved.low)
    if moved.high is None:
        # More bytes may save more, or cost more where the archive is dearer: then there is no lower end either.
        return min(low, Money.zero(prices.currency)), None
    return min(low, gain(moved.high)), max(low, gain(moved.high))


def _plus(saved: MoneyRange, more: tuple[Money, Money | None], reasons: Iterable[str]) -> MoneyRange:
    low, high = more
    top = None if saved.high is None or high is None else saved.high + high
    told = tuple(dict.fromkeys((*saved.reasons, *reasons)))
    return MoneyRange(saved.low + low, top, () if top == saved.low + low else told)


def _warnings(prices: PriceTable, moved: ByteRange, already: int) -> Iterable[str]:
    if moved.high == 0:
        return
    most = moved.low if moved.high is None else moved.high
    gain = prices.standard_month(most) - prices.archive_month(most, already=already)
    if gain.amount == 0:
        yield (
            f"archiving saves nothing: the archive costs what standard storage does until the account has archived"
            f" {_threshold(prices)}, and a restore costs extra"
        )
    elif gain.amount < 0:
        yield f"archiving costs {-gain} more a month than keeping"
    yield f"archived images are billed for at least {prices.archive_minimum.days} days, and cannot be pulled"


def _threshold(prices: PriceTable) -> str:
    dearest = prices.standard[0].per_gb
    below = Decimal(0)
    for tier in prices.archive or ():
        if tier.per_gb < dearest:
            return f"{below:,} GB"
        below = tier.up_to or below
    return "more than any tier"


def _early(inventory: Inventory, cold: list[str], prices: PriceTable, now: dt.datetime, already: int) -> MoneyRange:
    """Return what archived images that go before their 90 days cost once: the rest of them, the longest of a blob."""
    none = dt.timedelta(0)
    least: dict[str, dt.timedelta] = {}
    most: dict[str, dt.timedelta] = {}
    unread: list[tuple[int | None, dt.timedelta]] = []
    reasons: dict[str, None] = {}
    for digest in cold:
        image, manifest = inventory[digest], inventory.manifests.get(digest)
        since = image.last_archived_at
        left = prices.archive_minimum if since is None else max(none, since + prices.archive_minimum - now)
        if not left:
            continue
        if since is None:
            reasons["when an image was archived is not known"] = None
        if manifest is None or not manifest.tells_sizes:
            if not image.is_index:
                unread.append((image.size, left))
                reasons["the layers of an archived image are not known"] = None
            continue
        for blob in manifest.blob_digests:
            most[blob] = max(most.get(blob, none), left)
            least[blob] = max(least.get(blob, none), none if since is None else left)
    going = set(cold)
    held: set[str] = set()
    unsure = False
    for image in inventory.images if most or unread else ():
        if image.digest not in going:
            manifest = inventory.manifests.get(image.digest)
            unsure = unsure or (manifest is None and not image.is_index)
            held.update(() if manifest is None else manifest.blob_digests)
    own = most.keys() - held
    if unsure and own:
        reasons["another image has an unread manifest and may share the layers"] = None
    sizes, wider = dict(inventory.blobs.least(own)), inventory.blobs.more(own)
    low = Decimal(0) if unsure else _gb_months(prices, ((sizes[d], least[d]) for d in own))
    high = _gb_months(prices, ((sizes[d] + wider.get(d, 0), most[d]) for d in own))
    bounded = all(size is not None for size, _ in unread)
    high += _gb_months(prices, ((size or 0, left) for size, left in unread))
    # One GB of the archive, at the top of what is archived and at its most.
    cheap, dear = prices.archive_month(prices.gb, already=already), prices.archive_month(prices.gb)
    cheap, dear = min(cheap, dear), max(cheap, dear)
    if not cold:
        return MoneyRange.exactly(Money.zero(prices.currency))
    found = MoneyRange(cheap * low, dear * high if bounded else None, tuple(reasons))
    return MoneyRange.exactly(found.low) if found.exact is not None else found


def _gb_months(prices: PriceTable, parts: Iterable[tuple[int, dt.timedelta]]) -> Decimal:
    by_time: dict[dt.timedelta, int] = {}
    for count, left in parts:
        by_time[left] = by_time.get(left, 0) + count
    with localcontext(prec=_DIGITS):
        return sum((prices.size(count) * months(left) for left, count in by_time.items()), Decimal(0))


def total_savings(parts: Iterable[Savings], *, name: str = "all") -> Savings:
    """Return what several repositories save together.

    The tiers of the archive are filled by all of them. Where they were counted from the same `already_archived` and
    together go beyond its tier, the sum is the least only; give each what those before it archive besides.

    Raises:
        InvalidInput: there are none, or their currencies differ.
    """
    found = list(parts)
    if not found:
        raise InvalidInput.single("no savings", "parts", "are empty")
    first, *others = found
    freed, archived, monthly, once = first.freed, first.archived, first.per_month, first.once
    for part in others:
        freed, archived = freed + part.freed, archived + part.archived
        monthly, once = monthly + part.per_month, once + part.once
    warnings = dict.fromkeys(warning for part in found for warning in part.warnings)
    moving = [part for part in found if part.archived.high != 0]
    rooms = {part.archive_room for part in moving}
    room = rooms.pop() if len(rooms) == 1 and len(moving) > 1 else None
    if room is not None and (archived.high is None or archived.high > room):
        monthly = MoneyRange(monthly.low, None, (*monthly.reasons, _TOGETHER))
        warnings[_TOGETHER] = None
    return Savings(
        repository=name, freed=freed, archived=archived, per_month=monthly, once=once, warnings=tuple(warnings)
    )


@attrs.frozen(kw_only=True)
class ArchiveChoice(Record):
    """Keeping some bytes against archiving them, over a whole duration.

    `archive` holds the storage, at least 90 days of it, and the restores. `saving` is negative when archiving costs
    more. `break_even_restores` is how many bytes may be restored before it does; None when it does already.
    """

    bytes: int
    duration: dt.timedelta
    restored: int
    keep: Money
    archive: Money
    saving: Money
    break_even_restores: int | None

    @property
    def cheaper(self) -> str:
        """`archive`, `keep`, or `neither` when they cost the same; archived images cannot be pulled, so keep then."""
        amount = self.saving.amount
        return "archive" if amount > 0 else "keep" if amount < 0 else "neither"

    def explain(self) -> str:
        """Return the comparison in one sentence."""
        return (
            f"{size(self.bytes)} for {self.duration.days} days: keeping {self.keep}, archiving {self.archive}"
            f" with {size(self.restored)} restored; cheaper: {self.cheaper}"
        )


def archive_or_keep(
    count: int,
    duration: dt.timedelta,
    *,
    prices: PriceTable,
    restored: int = 0,
    already_archived: int = 0,
) -> ArchiveChoice:
    """Return what archiving bytes for a while costs against keeping them.

    Restored bytes cost the retrieval, and are counted in the archive all the same: when they leave it is not known.

    Args:
        count: the bytes in question, that no remaining active image uses.
        duration: how long they are needed.
        prices: of the Region.
        restored: bytes that are restored in that time.
        already_archived: what the account has archived besides.

    Raises:
        InvalidInput: the duration is negative, or the table lacks a price.

    Example:
        >>> from ecrkit.cost.prices import prices_for
        >>> choice = archive_or_keep(10 * 2**40, dt.timedelta(days=30), prices=prices_for("us-east-1"), restored=2**40)
        >>> choice.cheaper, str(choice.saving)
        ('keep', '-2,078.72 USD')
    """
    if duration < dt.timedelta(0):
        raise InvalidInput.single("no choice", "duration", "must not be negative")
    keep = prices.standard_month(count) * months(duration)
    stored = prices.archived_for(count, duration, already=already_archived)
    archive = stored + (prices.retrieve(restored) if restored else Money.zero(prices.currency))
    return ArchiveChoice(
        bytes=count,
        duration=duration,
        restored=restored,
        keep=keep,
        archive=archive,
        saving=keep - archive,
        break_even_restores=_break_even(keep - stored, prices),
    )


def _break_even(left: Money, prices: PriceTable) -> int | None:
    if left.amount < 0:
        return None
    per_gb = prices.retrieve(prices.gb).amount
    if not per_gb:
        return None
    with localcontext(prec=_DIGITS):
        return int(left.amount / per_gb * prices.gb)
