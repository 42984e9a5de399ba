"""Bringing back from the archive what is needed: a plan first, then the restore, image by image."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import Any, Self

import attrs

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time, require_aware
from ecrkit.deployments.in_use import InUse
from ecrkit.errors import InvalidInput
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import ByteRange, stored_bytes
from ecrkit.records import Image

__all__ = ["RestorePlan", "restore_plan"]


def _digests(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class RestorePlan(Record):
    """Archived images to bring back, each with the reason, children of an index before it; and what that moves.

    ECR takes up to 20 minutes for an image, and charges `bytes` as retrieved.
    """

    repository: str
    made_at: dt.datetime
    digests: tuple[str, ...] = attrs.field(converter=_digests)
    why: Mapping[str, str] = attrs.field(hash=False)
    bytes: ByteRange
    missing: tuple[str, ...] = attrs.field(default=(), converter=_digests)

    def explain(self) -> str:
        """Return the plan in a sentence or two."""
        told = f"{self.repository}: {counted(len(self.digests), 'image')} to restore, {self.bytes} to retrieve."
        lost = (
            f" {counted(len(self.missing), 'image')} cannot be restored: not in the repository." if self.missing else ""
        )
        return told + lost

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any] | str) -> Self:
        """Return the plan that `to_dict()` or `to_json()` saved.

        Raises:
            InvalidInput: it is no saved plan.
        """
        try:
            document: Any = json.loads(saved) if isinstance(saved, str) else saved
            size = document["bytes"]
            return cls(
                repository=str(document["repository"]), made_at=parse_time(document["made_at"]),
                digests=[str(d) for d in document["digests"]], why={str(k): str(v) for k, v in document["why"].items()},
                bytes=ByteRange(size["low"], size["high"], tuple(size["reasons"])),
                missing=[str(d) for d in document["missing"]],
            )  # fmt: skip
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as fault:
            told = f"is not a saved plan: {type(fault).__name__}: {fault!s:.100}"
            raise InvalidInput.single("not a restore plan", "$", told) from None


def restore_plan(
    inventory: Inventory,
    wanted: str | Iterable[str] | InUse,
    *,
    now: dt.datetime,
) -> RestorePlan:
    """Return which archived images must be restored for what is wanted: digests, tags, or the images in use.

    An index is of no use without its children, so those come along. What is active already needs nothing.

    Raises:
        InvalidInput: images in use are given, and the inventory names no repository.
    """
    now = require_aware(now, "now")
    asked: dict[str, str] = {}
    missing: list[str] = []
    if isinstance(wanted, InUse):
        told = wanted.in_inventory(inventory)
        asked = {digest: f"in use by {uses[0].workload}" for digest, uses in told.by_digest.items()}
        missing = [str(use) for use in told.unresolved]
    else:
        for name in (wanted,) if isinstance(wanted, str) else wanted:
            found = inventory.get(name) or inventory.by_tag(name)
            if found is None:
                missing.append(name)
            else:
                asked[found.digest] = f"asked for as {name}"
    why: dict[str, str] = {}
    ordered: list[str] = []

    def take(image: Image, reason: str, above: frozenset[str]) -> None:
        if image.digest in why or image.digest in above:
            return
        for child in inventory.children_of(image.digest):
            held = inventory.get(child)
            if held is None:
                missing.append(f"{child}, a child of {image.digest}")
            else:
                take(held, f"a child of {image.digest[:19]}", above | {image.digest})
        if image.status == "ARCHIVED" and image.digest not in why:
            why[image.digest] = reason
            ordered.append(image.digest)

    for digest, reason in asked.items():
        take(inventory[digest], reason, frozenset())
    return RestorePlan(
        repository=inventory.repository, made_at=now, digests=ordered, why=why,
        bytes=stored_bytes(inventory, ordered), missing=dict.fromkeys(missing),
    )  # fmt: skip
