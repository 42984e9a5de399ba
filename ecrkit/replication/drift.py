"""How far two Regions are apart: images missing, images that only the destination has, tags that name another image.

Works on what was read before: snapshots, inventories, listings. Nothing is called.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.records import Image
from ecrkit.replication.configuration import Destination, ReplicationConfiguration

__all__ = ["Drift", "DriftKind", "DriftReport", "drift"]

DriftKind = Literal["missing", "under_way", "extra", "tag_missing", "tag_moved", "tag_extra", "archived", "unread"]
"""How a repository differs at the destination.

- `missing`: an image that is not there; `under_way`: one that was pushed so lately that it may yet arrive.
- `extra`: an image that only the destination has, for instance because deletions are not replicated.
- `tag_missing`, `tag_moved`: the image is there, the tag is not, or names another image. `tag_extra`: a tag that only
  the destination has.
- `archived`: the image is there and cannot be pulled.
- `unread`: nobody read the repository there, so nothing is known of it.
"""

_GAPS = ("missing", "tag_missing", "tag_moved", "archived", "unread")


@attrs.frozen(kw_only=True)
class Drift(Record):
    """One difference; `there` is the digest that a tag names at the destination."""

    kind: DriftKind
    repository: str
    digest: str = ""
    tag: str | None = None
    there: str | None = None
    pushed_at: dt.datetime | None = None

    @override
    def __str__(self) -> str:
        name = f"{self.repository}:{self.tag}" if self.tag else f"{self.repository}@{self.digest}"
        there = f" (names {self.there} there)" if self.there else ""
        return f"{self.kind}: {name}{there}"


def _drifts(values: Iterable[Drift]) -> tuple[Drift, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class DriftReport(Record):
    """Every difference between a source and a destination, by repository, digest and tag.

    `compared` repositories were looked at, `unrouted` ones are not sent there by any rule.
    """

    source: Destination
    destination: Destination
    drifts: tuple[Drift, ...] = attrs.field(default=(), converter=_drifts)
    compared: int = 0
    images: int = 0
    unrouted: tuple[str, ...] = ()

    @property
    def gaps(self) -> tuple[Drift, ...]:
        """The differences that a failover would meet: missing, moved, archived or unknown."""
        return tuple(d for d in self.drifts if d.kind in _GAPS)

    @property
    def ok(self) -> bool:
        """Whether there is no gap; images under way and images that only the destination has are none."""
        return not self.gaps

    def of(self, kind: DriftKind) -> tuple[Drift, ...]:
        """Return the differences of one kind."""
        return tuple(d for d in self.drifts if d.kind == kind)

    def explain(self) -> str:
        """Return the numbers, then each gap, in words."""
        counts = Counter(d.kind for d in self.drifts)
        told = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "no difference"
        what = f"{counted(self.compared, 'repository', 'repositories')}, {counted(self.images, 'image')}"
        head = f"{self.source} -> {self.destination}: {what}: {told}"
        return "\n".join([head, *(f"- {gap}" for gap in self.gaps)])

    def _rows(self) -> list[tuple[object, ...]]:
        return [(d.kind, d.repository, d.tag or "", d.digest, d.there or "") for d in self.drifts]

    def to_table(self) -> str:
        """Return every difference as a table of text."""
        return text_table(("difference", "repository", "tag", "digest", "there"), self._rows())

    def to_columns(self) -> dict[str, list[object]]:
        """Return every difference as columns, for a data frame."""
        names = ("kind", "repository", "tag", "digest", "there", "pushed_at")
        return {name: [getattr(d, name) for d in self.drifts] for name in names}

    def _repr_html_(self) -> str:
        caption = f"{self.source} -> {self.destination}"
        return html_table(("difference", "repository", "tag", "digest", "there"), self._rows(), caption=caption)


Contents = Mapping[str, Iterable[Image] | None]
"""Images by repository: inventories, listings or a snapshot's; None for a repository that could not be read."""


def drift(
    here: Contents,
    there: Contents,
    *,
    source: Destination,
    destination: Destination,
    now: dt.datetime,
    configuration: ReplicationConfiguration | None = None,
    since: dt.datetime | None = None,
    grace: dt.timedelta = dt.timedelta(minutes=30),
) -> DriftReport:
    """Return how the destination differs from the source.

    Args:
        here: what the source holds.
        there: what the destination holds. A repository that is absent is empty; one that is None was not read.
        source: the source's place.
        destination: the destination's place.
        now: when both were read; the earlier time, when they were read one after the other.
        configuration: compares only repositories that it sends there; by default all of the source.
        since: leaves out images pushed before, such as when the rule was made.
        grace: how long after its push an image counts as under way; AWS says that most arrive within 30 minutes.

    Example:
        >>> pushed = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        >>> image = Image(digest="sha256:" + "1" * 64, pushed_at=pushed, tags=("v1",))
        >>> home, away = Destination("us-east-1", "123456789012"), Destination("eu-west-1", "123456789012")
        >>> report = drift({"app": [image]}, {}, source=home, destination=away, now=pushed + dt.timedelta(days=1))
        >>> report.ok, [d.kind for d in report.drifts]
        (False, ['missing'])
    """
    found: list[Drift] = []
    unrouted: list[str] = []
    compared = images = 0
    for name in sorted({*here, *there}):
        if configuration is not None and destination not in configuration.destinations_of(name):
            unrouted += [name] if name in here else []
            continue
        mine, theirs = here.get(name, ()), there.get(name, ())
        compared += 1
        if mine is None or theirs is None:
            found.append(Drift(kind="unread", repository=name))
            continue
        listed = [image for image in mine if since is None or image.pushed_at >= since]
        # Tags of images that are left out must not count as tags that only the destination has.
        every = {tag for image in mine for tag in image.tags}
        images += len(listed)
        known = {image.digest for image in mine}
        # What only the destination has and came after both were read is no difference yet.
        copies = [image for image in theirs if image.digest in known or image.pushed_at <= now]
        found += _compare(name, listed, copies, every=every, fresh=now - grace, whole=since is None)
    return DriftReport(
        source=source, destination=destination, drifts=found, compared=compared, images=images,
        unrouted=tuple(unrouted),
    )  # fmt: skip


def _compare(
    name: str, mine: list[Image], theirs: list[Image], *, every: set[str], fresh: dt.datetime, whole: bool
) -> Iterable[Drift]:
    held = {image.digest: image for image in theirs}
    tags = {tag: image.digest for image in theirs for tag in image.tags}
    for image in sorted(mine, key=lambda i: i.digest):
        if image.status != "ACTIVE":
            continue  # archived images do not replicate, and what is archived here is no gap there
        copy = held.get(image.digest)
        if copy is None:
            late = image.pushed_at < fresh
            for tag in image.tags or (None,):
                kind: DriftKind = "missing" if late else "under_way"
                there = tags.get(tag) if tag else None
                yield Drift(
                    kind=kind, repository=name, digest=image.digest, tag=tag, there=there, pushed_at=image.pushed_at
                )
            continue
        if copy.status != "ACTIVE":
            yield Drift(kind="archived", repository=name, digest=image.digest, pushed_at=image.pushed_at)
        for tag in image.tags:
            if tags.get(tag) != image.digest:
                yield Drift(
                    kind="tag_moved" if tag in tags else "tag_missing", repository=name, digest=image.digest, tag=tag,
                    there=tags.get(tag), pushed_at=image.pushed_at,
                )  # fmt: skip
    if not whole:
        return
    own = {image.digest for image in mine}
    for copy in sorted(theirs, key=lambda i: i.digest):
        if copy.digest not in own:
            yield Drift(kind="extra", repository=name, digest=copy.digest, pushed_at=copy.pushed_at)
        yield from (
            Drift(kind="tag_extra", repository=name, digest=copy.digest, tag=tag, pushed_at=copy.pushed_at)
            for tag in copy.tags
            if tag not in every and copy.digest in own
        )
