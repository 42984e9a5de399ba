"""Two policies on one inventory: whose fate changes, why, and what that is in bytes."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import ByteRange
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import simulate
from ecrkit.ports import StoragePrices

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Fate", "FateChange", "PolicyDiff", "diff"]

Fate = Literal["expire", "transition", "keep"]


@attrs.frozen(kw_only=True)
class FateChange(Record):
    """One image that the two policies treat differently; `certain` is False when a fate rests on unknown facts."""

    digest: str
    tags: tuple[str, ...]
    before: Fate
    after: Fate
    why_before: str
    why_after: str
    certain: bool

    def explain(self) -> str:
        """Return the change in a sentence."""
        name = f"{','.join(self.tags) or 'untagged'}@{self.digest[:19]}"
        doubt = "" if self.certain else " Not certain: it rests on facts that are not known."
        return (
            f"{name}: {_VERB[self.before]} before ({self.why_before}), "
            f"{_VERB[self.after]} after ({self.why_after}).{doubt}"
        )

    @override
    def __str__(self) -> str:
        return self.explain()


_VERB: Mapping[Fate, str] = {"expire": "expires", "transition": "is archived", "keep": "stays"}
_COLUMNS = ("digest", "tags", "before", "after", "why_before", "why_after", "certain")


@attrs.frozen(kw_only=True, eq=False, repr=False)
class PolicyDiff:
    """What replacing one policy by another changes, image by image. A missing policy keeps everything.

    `changes` are in the order of the inventory. A change of the deciding rule that leaves an image its fate is none.
    """

    inventory: Inventory
    now: dt.datetime
    before: Run | None
    after: Run | None
    changes: tuple[FateChange, ...]

    @property
    def certain(self) -> bool:
        """Whether every outcome of both policies rests on known facts only."""
        return all(run is None or run.certain for run in (self.before, self.after))

    @cached_property
    def counts(self) -> Mapping[tuple[Fate, Fate], int]:
        """How many images change from one fate to another, keyed by the two."""
        return Counter((change.before, change.after) for change in self.changes)

    @property
    def newly_expired(self) -> tuple[str, ...]:
        """The digests that expire only after the change."""
        return tuple(c.digest for c in self.changes if c.after == "expire")

    @property
    def no_longer_expired(self) -> tuple[str, ...]:
        """The digests that expire only before the change."""
        return tuple(c.digest for c in self.changes if c.before == "expire")

    @property
    def freed_before(self) -> ByteRange:
        """The bytes that the former policy frees."""
        return _freed(self.before)

    @property
    def freed_after(self) -> ByteRange:
        """The bytes that the new policy frees. What the two free is not a sum over images: layers are shared."""
        return _freed(self.after)

    def monthly_saving(self, prices: StoragePrices) -> tuple[Decimal | None, Decimal | None]:
        """Return what the new policy saves a month beyond the former, at least and at most; negative when less.

        What is freed stays free, so the saving is that of every month to come. None is a side that nothing bounds.
        """
        before, after = self.freed_before, self.freed_after
        least = None if before.high is None else _money(after.low - before.high, prices)
        most = None if after.high is None else _money(after.high - before.low, prices)
        return least, most

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one list per column, one entry per change."""
        return {name: [getattr(change, name) for change in self.changes] for name in _COLUMNS}

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame with a row per change.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as a JSON-ready mapping."""
        return {
            "repository": self.inventory.repository,
            "certain": self.certain,
            "summary": {f"{a} -> {b}": n for (a, b), n in sorted(self.counts.items())},
            "freed_before": self.freed_before.to_dict(),
            "freed_after": self.freed_after.to_dict(),
            "changes": [change.to_dict() for change in self.changes],
        }

    def to_text(self, *, limit: int | None = None) -> str:
        """Return a summary and a table of at most `limit` changes."""
        shown = self.changes[:limit]
        rows = [(",".join(c.tags) or "-", c.digest[:19], c.before, c.after, c.why_after) for c in shown]
        lines = [repr(self)[1:-1], f"frees {self.freed_before} before and {self.freed_after} after"]
        if not self.certain:
            lines.append("not certain: " + "; ".join(w for r in (self.before, self.after) if r for w in r.warnings))
        if rows:
            lines.append(text_table(("tags", "digest", "before", "after", "why"), rows))
        if len(shown) < len(self.changes):
            lines.append(f"and {len(self.changes) - len(shown)} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(", ".join(c.tags), c.digest[:19], c.before, c.after, c.why_after) for c in self.changes]
        return html_table(("tags", "digest", "before", "after", "why"), rows, caption=repr(self)[1:-1])

    @override
    def __repr__(self) -> str:
        told = ", ".join(f"{n} {a} -> {b}" for (a, b), n in sorted(self.counts.items())) or "none"
        name = self.inventory.repository or "repository"
        return f"<PolicyDiff of {name}: {counted(len(self.changes), 'change')} ({told})>"


def _money(count: int, prices: StoragePrices) -> Decimal:
    amount = prices.standard_month(abs(count)).amount
    return amount if count >= 0 else -amount


def _freed(run: Run | None) -> ByteRange:
    return ByteRange.exactly(0) if run is None else run.freed


def diff(
    before: LifecyclePolicy | str | Mapping[str, Any] | None,
    after: LifecyclePolicy | str | Mapping[str, Any] | None,
    inventory: Inventory,
    *,
    now: dt.datetime,
    count_children: bool = True,
) -> PolicyDiff:
    """Return which images of the inventory the two policies treat differently at `now`, and why.

    Args:
        before: the policy of today; None when there is none.
        after: the policy that is to replace it; None for deleting it.
        inventory: the images of one repository, archived ones included.
        now: the instant of both runs.
        count_children: as in `simulate`.

    Raises:
        LifecyclePolicyError: one of the two is no valid policy.

    Example:
        >>> from ecrkit.lifecycle import build, keep_last
        >>> images = [{"imageDigest": "sha256:" + c * 64, "imagePushedAt": 1767225600 + n} for n, c in enumerate("abc")]
        >>> inventory = Inventory.from_api(images, repository="team/app")
        >>> diff(build(keep_last(1)), build(keep_last(2)), inventory, now=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
        <PolicyDiff of team/app: 1 change (1 expire -> keep)>
    """
    runs = [
        None if policy is None else simulate(policy, inventory, now=now, count_children=count_children)
        for policy in (before, after)
    ]
    first, second = runs
    fates = [_fates(run) for run in runs]
    changed = [i.digest for i in inventory if fates[0].get(i.digest, "keep") != fates[1].get(i.digest, "keep")]
    changes = tuple(_change(digest, inventory, first, second) for digest in changed)
    return PolicyDiff(inventory=inventory, now=now, before=first, after=second, changes=changes)


def _fates(run: Run | None) -> dict[str, Fate]:
    if run is None:
        return {}
    found: dict[str, Fate] = {digest: run.following[digest][0] for digest in run.cascaded}
    found.update(dict.fromkeys(run.transitioned, "transition"))
    found.update(dict.fromkeys(run.expired, "expire"))
    return found


def _change(digest: str, inventory: Inventory, before: Run | None, after: Run | None) -> FateChange:
    told: list[tuple[Fate, str, bool]] = []
    for run in (before, after):
        if run is None:
            told.append(("keep", "there is no policy", True))
        else:
            outcome = run.outcome(digest)
            told.append((outcome.action, outcome.why, outcome.certain))
    (was, why_was, sure_was), (is_, why_is, sure_is) = told
    return FateChange(
        digest=digest, tags=inventory[digest].tags, before=was, after=is_, why_before=why_was, why_after=why_is,
        certain=sure_was and sure_is,
    )  # fmt: skip
