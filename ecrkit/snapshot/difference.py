"""What changed between two snapshots of a registry, in full: applied to the first it gives the second."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table
from ecrkit._internal.times import iso
from ecrkit.errors import InvalidInput, PlanOutdated
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.storage import stored_bytes
from ecrkit.records import Image, RawManifest
from ecrkit.snapshot.contents import PARTS, Gap, Part, RepositorySnapshot, not_read
from ecrkit.snapshot.lines import Header
from ecrkit.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Difference", "ImageChange", "Presence", "RepositoryDifference", "Retagged", "diff"]

Presence = Literal["created", "deleted", "both", "appeared", "vanished"]
"""Whether a repository is in both snapshots. `created` and `deleted` are sure; one that `appeared` or `vanished` is in
one snapshot only, and the other may just not have been asked for it."""


@attrs.frozen(kw_only=True)
class Retagged(Record):
    """A tag that moved, or was given to or taken from an image that is in both snapshots.

    `before` and `after` are digests, None when the tag did not exist.
    """

    tag: str
    before: str | None
    after: str | None


@attrs.frozen(kw_only=True)
class ImageChange(Record):
    """An image of both snapshots of which anything differs: tags, status, times of pulls, scan."""

    before: Image
    after: Image


@attrs.frozen(kw_only=True)
class RepositoryDifference:
    """What changed in one repository.

    `compared` names the parts that both snapshots read. A question about another part raises
    [`NotRead`][ecrkit.snapshot.NotRead], since nobody knows whether it changed.
    """

    name: str
    presence: Presence
    compared: frozenset[Part]
    settings: Mapping[str, tuple[Any, Any]] = attrs.field(factory=dict, hash=False)
    """The members of the repository's record that changed, before and after."""
    before: RepositorySnapshot | None = attrs.field(default=None, repr=False)
    after: RepositorySnapshot | None = attrs.field(default=None, repr=False)
    """The repository before and after without images and manifests, or None where it was not there."""
    bytes_before: ByteRange | None = None
    bytes_after: ByteRange | None = None
    """Stored bytes, each layer once; None when the images were not read."""
    _added: tuple[Image, ...] = attrs.field(default=(), alias="added", repr=False)
    _removed: tuple[Image, ...] = attrs.field(default=(), alias="removed", repr=False)
    _changed: tuple[ImageChange, ...] = attrs.field(default=(), alias="changed", repr=False)
    _texts_added: tuple[RawManifest, ...] = attrs.field(default=(), alias="texts_added", repr=False)
    _texts_removed: tuple[RawManifest, ...] = attrs.field(default=(), alias="texts_removed", repr=False)

    def _require(self, part: Part) -> None:
        if part not in self.compared:
            gaps = [gap for entry in (self.before, self.after) if entry is not None for gap in entry.gaps]
            raise not_read(self.name, part, gaps)

    @property
    def pushed(self) -> tuple[Image, ...]:
        """The images that are only in the second snapshot."""
        self._require("images")
        return self._added

    @property
    def deleted(self) -> tuple[Image, ...]:
        """The images that are only in the first snapshot."""
        self._require("images")
        return self._removed

    @property
    def changed(self) -> tuple[ImageChange, ...]:
        """The images of both snapshots of which anything differs."""
        self._require("images")
        return self._changed

    @property
    def archived(self) -> tuple[Image, ...]:
        """The images that went into the archive, as they are now."""
        return tuple(c.after for c in self.changed if _archives(c.before, c.after))

    @property
    def restored(self) -> tuple[Image, ...]:
        """The images that came out of the archive, as they are now."""
        return tuple(c.after for c in self.changed if _archives(c.after, c.before))

    @property
    def retagged(self) -> tuple[Retagged, ...]:
        """The tags that name another image now, and those given to or taken from an image that stayed."""
        before = {tag: i.digest for i in (*self.deleted, *(c.before for c in self.changed)) for tag in i.tags}
        after = {tag: i.digest for i in (*self.pushed, *(c.after for c in self.changed)) for tag in i.tags}
        new, gone = {i.digest for i in self.pushed}, {i.digest for i in self.deleted}
        found: list[Retagged] = []
        for tag in sorted(before.keys() | after.keys()):
            was, now = before.get(tag), after.get(tag)
            # A tag that came with its image, or went with it, is no news beside that image.
            if was != now and not (was is None and now in new) and not (now is None and was in gone):
                found.append(Retagged(tag=tag, before=was, after=now))
        return tuple(found)

    @property
    def pulled(self) -> tuple[Image, ...]:
        """The images whose last recorded pull is later now."""
        return tuple(
            c.after
            for c in self.changed
            if c.after.last_pulled_at is not None
            and (c.before.last_pulled_at is None or c.after.last_pulled_at > c.before.last_pulled_at)
        )

    def policy(self, part: Literal["lifecycle_policy", "repository_policy"]) -> tuple[str | None, str | None] | None:
        """Return a policy's text before and after, or None when it did not change.

        Raises:
            NotRead: one of the snapshots did not read it.
        """
        self._require(part)
        before = None if self.before is None else getattr(self.before, part)
        after = None if self.after is None else getattr(self.after, part)
        return None if before == after else (before, after)

    @property
    def tags(self) -> Mapping[str, tuple[str | None, str | None]]:
        """The resource tags that changed: value before and after, None where there was none."""
        self._require("tags")
        before = {} if self.before is None else self.before.tags
        after = {} if self.after is None else self.after.tags
        names = sorted(before.keys() | after.keys())
        return {n: (before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)}

    @property
    def bytes_change(self) -> ByteRange | None:
        """How many stored bytes more there are, negative when less; None when nothing bounds it."""
        a, b = self.bytes_before, self.bytes_after
        if a is None or b is None or a.high is None or b.high is None:
            return None
        if not (self._added or self._removed or self._changed or self._texts_added or self._texts_removed):
            return ByteRange(0, 0)
        return ByteRange(b.low - a.high, b.high - a.low, tuple(dict.fromkeys(a.reasons + b.reasons)))

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; a part that was not compared is absent."""
        found: dict[str, Any] = {
            "name": self.name,
            "presence": self.presence,
            "compared": sorted(self.compared),
            "settings": {name: [_text(a), _text(b)] for name, (a, b) in self.settings.items()},
        }
        if "images" in self.compared:
            found["pushed"] = [image.to_dict() for image in self.pushed]
            found["deleted"] = [image.to_dict() for image in self.deleted]
            found["retagged"] = [tag.to_dict() for tag in self.retagged]
            found["archived"] = [image.digest for image in self.archived]
            found["restored"] = [image.digest for image in self.restored]
            found["bytes_change"] = None if self.bytes_change is None else self.bytes_change.to_dict()
        for part in ("lifecycle_policy", "repository_policy"):
            if part in self.compared:
                found[part] = self.policy(part)
        if "tags" in self.compared:
            found["tags"] = {name: list(pair) for name, pair in self.tags.items()}
        return found

    @property
    def empty(self) -> bool:
        """Whether nothing that was compared differs."""
        if self.presence != "both" or self.settings or self.before is None or self.after is None:
            return False
        return not (
            ("images" in self.compared and (self._added or self._removed or self._changed))
            or ("lifecycle_policy" in self.compared and self.policy("lifecycle_policy"))
            or ("repository_policy" in self.compared and self.policy("repository_policy"))
            or ("tags" in self.compared and self.tags)
        )

    def applied(self, entry: RepositorySnapshot | None) -> RepositorySnapshot | None:
        """Return what becomes of the repository."""
        if self.after is None:
            return None
        images, texts = ((), ()) if entry is None else entry.kept
        gone = {i.digest for i in self._removed} | {c.after.digest for c in self._changed}
        lost = {m.digest for m in self._texts_removed}
        return attrs.evolve(
            self.after,
            images=(*(i for i in images if i.digest not in gone), *self._added, *(c.after for c in self._changed)),
            manifests=(*(m for m in texts if m.digest not in lost), *self._texts_added),
        )


def _archives(before: Image, after: Image) -> bool:
    return before.status == "ACTIVE" and after.status == "ARCHIVED"


def _text(value: object) -> object:
    return iso(value) if isinstance(value, dt.datetime) else value


@attrs.frozen(kw_only=True)
class Difference(Mapping[str, RepositoryDifference]):
    """What changed between two snapshots of one registry, by repository; repositories without a change are left out.

    `uncompared` names the repositories of which a part that was asked for is missing in either snapshot: of that part
    nobody knows whether it changed.
    """

    before: Header
    after: Header
    repositories: Mapping[str, RepositoryDifference] = attrs.field(repr=False)
    settings: Mapping[str, tuple[Any, Any]] = attrs.field(factory=dict, hash=False)
    """The settings of the registry that both snapshots read and that changed, before and after."""
    uncompared: Mapping[str, tuple[Part, ...]] = attrs.field(factory=dict, hash=False)
    _shells: Mapping[str, RepositoryDifference] = attrs.field(factory=dict, alias="shells", repr=False, hash=False)
    _settings_after: Mapping[str, Any] = attrs.field(factory=dict, alias="settings_after", repr=False, hash=False)
    _gaps_after: tuple[Gap, ...] = attrs.field(default=(), alias="gaps_after", repr=False)
    _finished_at: dt.datetime | None = attrs.field(default=None, alias="finished_at", repr=False)

    @override
    def __getitem__(self, name: str) -> RepositoryDifference:
        return self.repositories[name]

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self.repositories)

    @override
    def __len__(self) -> int:
        return len(self.repositories)

    @property
    def bytes_change(self) -> ByteRange | None:
        """How many stored bytes more the registry has, negative when less; None when nothing bounds it.

        Layers count once in each repository. What was not compared is not in it: see `uncompared`.
        """
        total = ByteRange(0, 0)
        for change in self.values():
            part = change.bytes_change
            if part is None:
                return None
            total += part
        return total

    def apply(self, snapshot: Snapshot) -> Snapshot:
        """Return the second snapshot, made of the first and this difference.

        Raises:
            PlanOutdated: it is not the snapshot that the difference begins with.
        """
        if snapshot.header != self.before:
            raise PlanOutdated(
                "the difference begins with another snapshot",
                changes=[f"it begins with {self.before}, this is {snapshot.header}"],
            )

        def entries() -> Iterator[RepositorySnapshot]:
            for name in sorted({*snapshot, *self._shells}):
                found = self._shells[name].applied(snapshot.get(name))
                if found is not None:
                    yield found

        return Snapshot.of(
            entries(),
            account=self.after.account,
            region=self.after.region,
            taken_at=self.after.taken_at,
            asked=self.after.asked,
            settings=self._settings_after,
            gaps=self._gaps_after,
            finished_at=self._finished_at,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping of what changed; `apply` needs more than it holds."""
        return {
            "before": self.before.to_dict(),
            "after": self.after.to_dict(),
            "settings": {name: list(pair) for name, pair in self.settings.items()},
            "repositories": [change.to_dict() for change in self.values()],
            "uncompared": {name: list(parts) for name, parts in self.uncompared.items()},
            "bytes_change": None if self.bytes_change is None else self.bytes_change.to_dict(),
        }

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each changed repository, as columns; None stands for what was not compared."""
        found: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
        for change in self.values():
            seen = "images" in change.compared
            size = change.bytes_change
            row = (
                change.name,
                change.presence,
                *(len(getattr(change, name)) if seen else None for name in _COLUMNS[2:7]),
                None if size is None else size.low,
                None if size is None else size.high,
                bool(change.policy("lifecycle_policy")) if "lifecycle_policy" in change.compared else None,
                bool(change.policy("repository_policy")) if "repository_policy" in change.compared else None,
            )
            for name, value in zip(_COLUMNS, row, strict=True):
                found[name].append(value)
        return found

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def _repr_html_(self) -> str:
        columns = self.to_columns()
        return html_table(_COLUMNS, list(zip(*columns.values(), strict=True)), caption=str(self))

    @override
    def __str__(self) -> str:
        told = counted(len(self), "repository differs", "repositories differ")
        unknown = f", {len(self.uncompared)} not wholly compared" if self.uncompared else ""
        return f"{iso(self.before.taken_at)} to {iso(self.after.taken_at)}: {told}{unknown}"


_COLUMNS: Final = (
    "repository",
    "presence",
    "pushed",
    "deleted",
    "retagged",
    "archived",
    "restored",
    "bytes_low",
    "bytes_high",
    "lifecycle_policy_changed",
    "repository_policy_changed",
)


def diff(before: Snapshot, after: Snapshot) -> Difference:
    """Return what changed between two snapshots of the same registry.

    One repository of each is in memory at a time, and what changed is kept. What one of them did not read is not
    compared, and never counts as deleted.

    Raises:
        InvalidInput: they are of different accounts or Regions.

    Example:
        >>> from ecrkit import Registry
        >>> with Registry.local() as registry:
        ...     made = registry.gateway.create_repository("team/app")
        ...     first = registry.snapshot()
        ...     made = registry.gateway.create_repository("team/web")
        ...     change = diff(first, registry.snapshot())
        >>> [(item.name, item.presence) for item in change.values()]
        [('team/web', 'created')]
    """
    if (before.account, before.region) != (after.account, after.region):
        raise InvalidInput.single(
            "no difference",
            "after",
            f"is of {after.account} in {after.region}, the other of {before.account} in {before.region}",
        )
    shells: dict[str, RepositoryDifference] = {}
    uncompared: dict[str, tuple[Part, ...]] = {}
    asked = {*before.asked.parts, *after.asked.parts}
    for name in sorted({*before, *after}):
        a, b = before.get(name), after.get(name)
        change = shells[name] = _repository(name, a, b, before, after)
        missing: tuple[Part, ...] = tuple(part for part in PARTS if part in asked and part not in change.compared)
        if missing:
            uncompared[name] = missing
    both = before.settings.keys() & after.settings.keys()
    return Difference(
        before=before.header,
        after=after.header,
        repositories={name: change for name, change in shells.items() if not change.empty},
        settings={
            name: (before.settings[name], after.settings[name])
            for name in sorted(both)
            if before.settings[name] != after.settings[name]
        },
        uncompared=uncompared,
        shells=shells,
        settings_after=after.settings,
        gaps_after=after.registry_gaps,
        finished_at=after.finished_at,
    )


def _presence(name: str, a: object, b: object, before: Snapshot, after: Snapshot) -> Presence:
    if a is not None and b is not None:
        return "both"
    if a is None:
        return "created" if before.asked.surely_selects(name) else "appeared"
    return "deleted" if after.asked.surely_selects(name) else "vanished"


def _repository(
    name: str, a: RepositorySnapshot | None, b: RepositorySnapshot | None, before: Snapshot, after: Snapshot
) -> RepositoryDifference:
    # A repository that is not there has nothing, which is as good as read.
    whole: frozenset[Part] = frozenset(PARTS)
    compared = (whole if a is None else a.read) & (whole if b is None else b.read)
    images_a, texts_a = ((), ()) if a is None else a.kept
    images_b, texts_b = ((), ()) if b is None else b.kept
    by_a, by_b = {i.digest: i for i in images_a}, {i.digest: i for i in images_b}
    manifests_a, manifests_b = {m.digest: m for m in texts_a}, {m.digest: m for m in texts_b}
    changed = [
        ImageChange(before=by_a[i.digest], after=i) for i in images_b if i.digest in by_a and by_a[i.digest] != i
    ]
    added = tuple(i for i in images_b if i.digest not in by_a)
    removed = tuple(i for i in images_a if i.digest not in by_b)
    texts_added = tuple(m for m in texts_b if manifests_a.get(m.digest) != m)
    texts_removed = tuple(m for m in texts_a if manifests_b.get(m.digest) != m)
    moved = bool(added or removed or changed or texts_added or texts_removed)
    return RepositoryDifference(
        name=name,
        presence=_presence(name, a, b, before, after),
        compared=compared,
        settings=_settings(a, b),
        before=_shell(a),
        after=_shell(b),
        bytes_before=_bytes(a) if moved else ByteRange(0, 0),
        bytes_after=_bytes(b) if moved else ByteRange(0, 0),
        added=added,
        removed=removed,
        changed=tuple(changed),
        texts_added=texts_added,
        texts_removed=texts_removed,
    )


def _shell(entry: RepositorySnapshot | None) -> RepositorySnapshot | None:
    return None if entry is None else attrs.evolve(entry, images=(), manifests=())


def _bytes(entry: RepositorySnapshot | None) -> ByteRange | None:
    if entry is None:
        return ByteRange(0, 0)
    return stored_bytes(entry.inventory) if "images" in entry.read else None


def _settings(a: RepositorySnapshot | None, b: RepositorySnapshot | None) -> dict[str, tuple[Any, Any]]:
    if a is None or b is None:
        return {}
    names: Iterable[str] = (field.name for field in attrs.fields(type(a.repository)))
    pairs = {name: (getattr(a.repository, name), getattr(b.repository, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
