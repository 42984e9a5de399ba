"""What to copy to a destination when replication does not bring it: a plan as plain data, for whatever copies.

Pushing an image again under the tag that it has is no push for ECR (ImageAlreadyExistsException) and starts no
replication; so each item names a source and a target, and is copied with its parts, the tag last.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import text_table
from ecrkit.refs import ImageRef, RegistryHost, digest, repository_name, tag
from ecrkit.replication.backfill import BackfillResult
from ecrkit.replication.configuration import Destination
from ecrkit.replication.drift import Drift, DriftReport

__all__ = ["RepushItem", "RepushPlan"]


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class RepushItem(Record):
    """One image to copy: its source by digest, its target, and the tags that it is to have there."""

    repository: str
    digest: str
    tags: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    why: str = ""


def _items(values: Iterable[RepushItem]) -> tuple[RepushItem, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class RepushPlan(Record):
    """Images to copy from one registry to another, by repository and digest.

    `pairs` gives the references that a copier takes. An index is copied with its children, so a child that is listed
    beside it is there already when its turn comes.

    Example:
        >>> home, away = Destination("us-east-1", "123456789012"), Destination("eu-west-1", "123456789012")
        >>> item = RepushItem(repository="app", digest="sha256:" + "1" * 64, tags=["v1"])
        >>> source, target = RepushPlan(source=home, destination=away, items=[item]).pairs()[0]
        >>> str(target)
        '123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:v1'
    """

    source: Destination
    destination: Destination
    items: tuple[RepushItem, ...] = attrs.field(default=(), converter=_items)

    @classmethod
    def from_results(
        cls, results: Iterable[BackfillResult], *, source: Destination, destination: Destination
    ) -> RepushPlan:
        """Return the plan for what a backfill failed to bring."""
        rows = [(r.repository, r.digest, r.tag, r.failure_code or "failed") for r in results if r.status != "COMPLETE"]
        return cls._of(rows, source, destination)

    @classmethod
    def from_drift(cls, report: DriftReport) -> RepushPlan:
        """Return the plan for what the destination lacks: missing images, and tags that are missing or moved."""
        wanted = ("missing", "tag_missing", "tag_moved")
        chosen: list[Drift] = [d for d in report.drifts if d.kind in wanted]
        rows = [(d.repository, d.digest, d.tag, d.kind) for d in chosen]
        return cls._of(rows, report.source, report.destination)

    @classmethod
    def _of(
        cls, rows: Iterable[tuple[str, str, str | None, str]], source: Destination, destination: Destination
    ) -> RepushPlan:
        tags: dict[tuple[str, str], list[str]] = {}
        why: dict[tuple[str, str], str] = {}
        for repository, image, name, reason in rows:
            tags.setdefault((repository, image), []).extend([name] if name else [])
            why.setdefault((repository, image), reason)
        return cls(
            source=source,
            destination=destination,
            items=[
                RepushItem(repository=name, digest=image, tags=dict.fromkeys(tags[name, image]), why=why[name, image])
                for name, image in sorted(tags)
            ],
        )

    def pairs(self) -> tuple[tuple[ImageRef, ImageRef], ...]:
        """Return (source by digest, target by tag or digest) for each image and tag."""
        here = RegistryHost.private(self.source.account, self.source.region)
        there = RegistryHost.private(self.destination.account, self.destination.region)
        found: list[tuple[ImageRef, ImageRef]] = []
        for item in self.items:
            name, image = repository_name(item.repository), digest(item.digest)
            origin = ImageRef(here, name, None, image)
            found += [(origin, ImageRef(there, name, tag(text), None)) for text in item.tags]
            found += [] if item.tags else [(origin, ImageRef(there, name, None, image))]
        return tuple(found)

    def explain(self) -> str:
        """Return the plan in words."""
        head = f"{counted(len(self.items), 'image')} to copy from {self.source} to {self.destination}"
        rows = [(i.repository, i.digest, ", ".join(i.tags), i.why) for i in self.items]
        return head if not rows else f"{head}\n{text_table(('repository', 'digest', 'tags', 'why'), rows)}"
