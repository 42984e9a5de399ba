"""What a copy would do, before it does it: the manifests and blobs to move, their bytes, and what stands in the way."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, size, text_table
from ecrkit.errors import EcrkitError, PlanRefused
from ecrkit.promotion.graph import Blob, Graph

__all__ = ["CopyItem", "CopyPlan", "CopyReport", "CopyResult"]


def _blobs(values: Iterable[Blob]) -> tuple[Blob, ...]:
    return tuple(values)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _names(values: Iterable[str]) -> frozenset[str]:
    return frozenset(values)


@attrs.frozen(kw_only=True)
class CopyItem(Record):
    """One image to copy: where from, where to, what belongs to it, and what of that the target lacks.

    `former` is what the target's tag named when the plan was made. `obstacles` are reasons why the copy cannot be
    made at all; `notes` are things to know.
    """

    source: str
    target: str
    place: str
    """The target's repository, with its registry where one was named."""
    digest: str
    tag: str | None
    former: str | None = None
    move: bool = False
    create_repository: bool = False
    graph: Graph = attrs.field(repr=False)
    missing: frozenset[str] = attrs.field(default=frozenset(), converter=_names)
    """The manifests that the target lacks."""
    blobs: tuple[Blob, ...] = attrs.field(default=(), converter=_blobs)
    """The blobs to move."""
    obstacles: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    notes: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    @property
    def bytes_to_move(self) -> int:
        """The bytes of the blobs that the target lacks, as far as they are known."""
        return sum(blob.size or 0 for blob in self.blobs)

    @property
    def unsized(self) -> int:
        """How many of the blobs have a size that nothing tells."""
        return sum(blob.size is None for blob in self.blobs)

    @property
    def nothing_to_do(self) -> bool:
        """Whether the target holds everything, and its tag names the image."""
        return not self.missing and not self.create_repository and self.tag_is_set

    @property
    def tag_is_set(self) -> bool:
        """Whether no tag was asked for, or it names the image in the target already."""
        return self.tag is None or self.former == self.digest


def _items(values: Iterable[CopyItem]) -> tuple[CopyItem, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class CopyPlan(Record):
    """What copying one or many images would move. Nothing has been done yet; `promotion.apply` does it."""

    items: tuple[CopyItem, ...] = attrs.field(default=(), converter=_items)

    @property
    def bytes_to_move(self) -> int:
        """The bytes of all blobs to move; one that several images need in the same repository counts once."""
        found: dict[tuple[str, str], int] = {}
        for item in self.items:
            for blob in item.blobs:
                found[item.place, blob.digest] = blob.size or 0
        return sum(found.values())

    @property
    def obstacles(self) -> tuple[str, ...]:
        """Every reason why an image of the plan cannot be copied."""
        return tuple(f"{item.target}: {reason}" for item in self.items for reason in item.obstacles)

    def require(self) -> None:
        """Return quietly when nothing stands in the way.

        Raises:
            PlanRefused: something does; `conflicts` says what.
        """
        if self.obstacles:
            raise PlanRefused(f"cannot copy: {'; '.join(self.obstacles[:5])}", conflicts=self.obstacles)

    def explain(self) -> str:
        """Return the plan in words."""
        head = f"{counted(len(self.items), 'image')}, {size(self.bytes_to_move)} to move"
        lines = [head, text_table(_HEADER, self._rows(), right=frozenset({4}))] if self.items else [head]
        lines += [f"cannot be copied: {reason}" for reason in self.obstacles]
        lines += [f"note: {item.target}: {note}" for item in self.items for note in item.notes]
        return "\n".join(lines)

    def _rows(self) -> list[tuple[object, ...]]:
        return [
            (i.source, i.target, len(i.missing), len(i.blobs), size(i.bytes_to_move) + ("+" if i.unsized else ""))
            for i in self.items
        ]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=f"{size(self.bytes_to_move)} to move")

    @override
    def __str__(self) -> str:
        return self.explain()


_HEADER = ("from", "to", "manifests", "blobs", "bytes")
Status = Literal["copied", "present", "failed"]


@attrs.frozen(kw_only=True)
class CopyResult(Record):
    """What became of one image: copied, present already, or failed with a fault in words.

    `former` is what the tag named before, when it was moved.
    """

    source: str
    target: str
    digest: str
    tag: str | None
    status: Status
    former: str | None = None
    manifests: int = 0
    blobs_moved: int = 0
    blobs_present: int = 0
    bytes_moved: int = 0
    fault: str | None = None
    _error: EcrkitError | None = attrs.field(default=None, repr=False, eq=False, alias="error")

    @property
    def ok(self) -> bool:
        """Whether the target holds the image, under its tag where one was asked for."""
        return self.status != "failed"

    def require(self) -> CopyResult:
        """Return the result itself when the image is there.

        Raises:
            EcrkitError: what made the copy fail.
        """
        if self._error is not None:
            raise self._error
        if not self.ok:
            raise PlanRefused(f"{self.target}: {self.fault}", conflicts=[str(self.fault)])
        return self


def _results(values: Iterable[CopyResult]) -> tuple[CopyResult, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class CopyReport(Record):
    """What became of every image of a plan, in its order."""

    results: tuple[CopyResult, ...] = attrs.field(default=(), converter=_results)

    @property
    def failed(self) -> tuple[CopyResult, ...]:
        """The images that were not copied."""
        return tuple(r for r in self.results if not r.ok)

    @property
    def bytes_moved(self) -> int:
        """The bytes sent for all of them."""
        return sum(r.bytes_moved for r in self.results)

    def require(self) -> CopyReport:
        """Return the report itself when every image is there.

        Raises:
            EcrkitError: the first fault.
        """
        for result in self.failed:
            result.require()
        return self

    def explain(self) -> str:
        """Return the report in words."""
        rows = [(r.source, r.target, r.status, size(r.bytes_moved), r.fault or "") for r in self.results]
        done = len(self.results) - len(self.failed)
        head = f"{done} of {counted(len(self.results), 'image')} there, {size(self.bytes_moved)} moved"
        return head if not rows else f"{head}\n{text_table(('from', 'to', 'status', 'bytes', 'fault'), rows)}"
