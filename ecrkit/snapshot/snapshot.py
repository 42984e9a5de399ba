"""`Snapshot`: the state of a registry at one time, held so that a million images fit in memory."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal

from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import jsonable
from ecrkit._internal.tables import frame, html_table
from ecrkit._internal.times import iso, require_aware
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.inventory import Inventory
from ecrkit.records import Repository
from ecrkit.snapshot import files, lines
from ecrkit.snapshot.contents import Gap, NotRead, Part, RepositorySnapshot, not_read
from ecrkit.snapshot.held import Held, Packed, Reading, head_of
from ecrkit.snapshot.lines import Asked, Head, Header

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OnGap", "Snapshot"]

OnGap = Literal["raise", "skip"]
"""What a query over all repositories does with one whose data was not read."""

_SUFFIX: Final = "take the snapshot again, or pass gaps='skip' and say which are left out (`snapshot.gaps`)"


class Snapshot(Mapping[str, RepositorySnapshot]):
    """The state of a registry: its repositories by name, its settings, and what could not be read.

    Made by `registry.snapshot()`, [`load`][ecrkit.snapshot.load], or `Snapshot.of`. Of each repository only its record,
    resource tags and policies are ready; images and manifests stay packed, in memory or in the file that was loaded,
    and are unpacked when the repository is asked for. A snapshot never changes; it pickles, and one that was loaded
    pickles as the file's name.

    `gaps` lists what was asked for and could not be read. Whatever depends on a gap raises
    [`NotRead`][ecrkit.snapshot.NotRead]: a repository with unread images is never an empty one.

    Example:
        >>> from ecrkit import Registry
        >>> with Registry.local() as registry:
        ...     made = registry.gateway.create_repository("team/app", tags={"Team": "payments"})
        ...     snapshot = registry.snapshot()
        >>> len(snapshot), snapshot.tags["team/app"]["Team"], len(snapshot["team/app"].inventory)
        (1, 'payments', 0)
    """

    def __init__(
        self,
        header: Header,
        held: Iterable[Held],
        *,
        settings: Mapping[str, Any] | None = None,
        gaps: Iterable[Gap] = (),
        finished_at: dt.datetime | None = None,
    ) -> None:
        self._header = header
        self._held = {item.head.name: item for item in sorted(held, key=lambda item: item.head.name)}
        self._settings: dict[str, Any] = dict(settings or {})
        self._registry_gaps = tuple(gaps)
        self._finished_at = finished_at or header.taken_at

    @classmethod
    def of(
        cls,
        entries: Iterable[RepositorySnapshot],
        *,
        account: str,
        region: str,
        taken_at: dt.datetime,
        asked: Asked | None = None,
        settings: Mapping[str, Any] | None = None,
        gaps: Iterable[Gap] = (),
        finished_at: dt.datetime | None = None,
    ) -> Snapshot:
        """Return the snapshot of these repositories; they are packed one at a time, so the iterable may be lazy.

        Raises:
            InvalidInput: a repository comes twice, or the time has no zone.
        """
        header = Header(
            account=account, region=region, taken_at=require_aware(taken_at, "taken_at"), asked=asked or Asked()
        )
        held: dict[str, Held] = {}
        for entry in entries:
            if entry.name in held:
                raise InvalidInput.single("no snapshot", entry.name, "comes twice")
            held[entry.name] = Packed(head_of(entry), files.pack(lines.repository_lines(entry)))
        return cls(header, held.values(), settings=jsonable(dict(settings or {})), gaps=gaps, finished_at=finished_at)

    # ---- what it is of

    @property
    def account(self) -> str:
        """The account whose registry it is."""
        return self._header.account

    @property
    def region(self) -> str:
        """The registry's Region."""
        return self._header.region

    @property
    def taken_at(self) -> dt.datetime:
        """When the crawl began; `read_at` of a repository says when that was read."""
        return self._header.taken_at

    @property
    def finished_at(self) -> dt.datetime:
        """When the crawl ended; days later than `taken_at` when it was resumed."""
        return self._finished_at

    @property
    def version(self) -> int:
        """The version of the format that it was read from, or would be saved in."""
        return self._header.version

    @property
    def asked(self) -> Asked:
        """What it was asked for."""
        return self._header.asked

    @property
    def header(self) -> Header:
        """Whose registry, when, and what was asked for."""
        return self._header

    @property
    def settings(self) -> Mapping[str, Any]:
        """The registry's settings as ECR told them; one that is absent was not read, and `gaps` says why.

        `registry_policy` is a text or None. `scanning_configuration` and `replication_configuration` are ECR's answers,
        `pull_through_cache_rules` and `creation_templates` lists of records as JSON. `account_settings` maps names to
        values.
        """
        return dict(self._settings)

    def setting(self, name: str) -> Any:
        """Return a setting of the registry.

        Raises:
            NotRead: it was not read.
        """
        if name not in self._settings:
            about = [gap for gap in self._registry_gaps if gap.what == name]
            why = "; ".join(map(str, about)) or "it was not asked for"
            raise NotRead(f"the snapshot has no {name}", [Problem(f"$.settings.{name}", why)], gaps=about)
        return self._settings[name]

    @property
    def registry_gaps(self) -> tuple[Gap, ...]:
        """What could not be read of the registry itself."""
        return self._registry_gaps

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Everything that was asked for and could not be read: of the registry, then by repository."""
        return (*self._registry_gaps, *(gap for item in self._held.values() for gap in item.head.gaps))

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was read."""
        return not self.gaps

    # ---- what it holds

    @override
    def __getitem__(self, name: str) -> RepositorySnapshot:
        return self._held[name].entry()

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    @override
    def __len__(self) -> int:
        return len(self._held)

    @override
    def __contains__(self, name: object) -> bool:
        return name in self._held

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The repositories' records, by name; nothing is unpacked."""
        return tuple(item.head.repository for item in self._held.values())

    @property
    def tags(self) -> Mapping[str, Mapping[str, str]]:
        """The resource tags of every repository whose tags were read, by repository; of the others nothing is known."""
        return {name: item.head.tags for name, item in self._held.items() if "tags" in item.head.read}

    @property
    def unread(self) -> Mapping[str, tuple[Part, ...]]:
        """The repositories of which something asked for was not read, and what."""
        found: dict[str, tuple[Part, ...]] = {
            name: tuple(part for part in self.asked.parts if part not in item.head.read)
            for name, item in self._held.items()
        }
        return {name: parts for name, parts in found.items() if parts}

    def lifecycle_policies(self, *, gaps: OnGap = "raise") -> dict[str, str | None]:
        """Return the lifecycle policy text of each repository, None where there is none.

        Raises:
            NotRead: one was not read, and `gaps` is "raise".
        """
        heads = self._having("lifecycle_policy", gaps)
        return {head.name: head.lifecycle_policy for head in heads}

    def policies(self, *, gaps: OnGap = "raise") -> dict[str, str | None]:
        """Return the policy text of each repository and, as `*`, of the registry: what `access` takes.

        Raises:
            NotRead: one was not read, and `gaps` is "raise".

        Example:
            >>> from ecrkit import Registry
            >>> from ecrkit.access import readable_from_outside
            >>> with Registry.local() as registry:
            ...     made = registry.gateway.create_repository("team/app")
            ...     readable_from_outside(registry.snapshot().policies(), account="123456789012")
            ()
        """
        found = {head.name: head.repository_policy for head in self._having("repository_policy", gaps)}
        if "registry_policy" in self._settings or gaps == "raise":
            found["*"] = self.setting("registry_policy")
        return found

    def entries(self) -> Iterator[RepositorySnapshot]:
        """Yield every repository, unpacked one at a time."""
        for item in self._held.values():
            yield item.entry()

    def inventories(self, *, gaps: OnGap = "raise") -> Iterator[tuple[str, Inventory]]:
        """Yield the name and the inventory of each repository, one in memory at a time.

        A repository that is skipped is absent, which `ecrkit.cost` takes for one that stores nothing: give it
        `sources()`, where it stands as a gap.

        Raises:
            NotRead: at once, and before any is yielded: the images of one were not read, and `gaps` is "raise".
        """
        heads = self._having("images", gaps)
        return ((head.name, self._held[head.name].entry().inventory) for head in heads)

    def sources(self) -> dict[str, Callable[[], Inventory] | None]:
        """Return for each repository what reads its inventory when called, None where the images were not read.

        This is what `ecrkit.cost` takes, with any executor: a reader of a snapshot that was loaded pickles as a place
        in its file, so that each process reads its own part.

        Example:
            >>> from ecrkit import Registry
            >>> with Registry.local() as registry:
            ...     made = registry.gateway.create_repository("team/app")
            ...     {name: read and len(read()) for name, read in registry.snapshot().sources().items()}
            {'team/app': 0}
        """
        return {name: Reading(item) if "images" in item.head.read else None for name, item in self._held.items()}

    def require(self, part: Part, *, gaps: OnGap = "raise") -> None:
        """Raise when a part of any repository was not read, unless `gaps` is "skip".

        Raises:
            NotRead: the part of a repository was not read.
        """
        self._having(part, gaps)

    def _having(self, part: Part, gaps: OnGap) -> list[Head]:
        if gaps not in ("raise", "skip"):
            raise InvalidInput.single("no such query", "gaps", f"must be raise or skip, not {gaps!r:.40}")
        heads = [item.head for item in self._held.values()]
        missing = [head for head in heads if part not in head.read]
        if not missing or gaps == "skip":
            return [head for head in heads if part in head.read]
        if len(missing) == 1:
            raise not_read(missing[0].name, part, missing[0].gaps)
        problems = [p for head in missing[:20] for p in not_read(head.name, part, head.gaps).problems]
        about = [gap for head in missing for gap in head.gaps]
        name = part.replace("_", " ")
        raise NotRead(f"the snapshot has no {name} of {len(missing)} repositories; {_SUFFIX}", problems, gaps=about)

    # ---- tables

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each repository, as columns; nothing is unpacked. What was not read is None.

        `images` counts images of every status, `manifests` the manifests that were read.
        """
        heads = [item.head for item in self._held.values()]
        return {
            "repository": [h.name for h in heads],
            "account": [self.account] * len(heads),
            "region": [self.region] * len(heads),
            "created_at": [h.repository.created_at for h in heads],
            "images": [h.images if "images" in h.read else None for h in heads],
            "manifests": [h.manifests if "manifests" in h.read else None for h in heads],
            "tags": [dict(h.tags) if "tags" in h.read else None for h in heads],
            "has_lifecycle_policy": [_has(h, "lifecycle_policy", h.lifecycle_policy) for h in heads],
            "has_repository_policy": [_has(h, "repository_policy", h.repository_policy) for h in heads],
            "tag_mutability": [h.repository.tag_mutability for h in heads],
            "gaps": ["; ".join(map(str, h.gaps)) for h in heads],
            "read_at": [h.read_at for h in heads],
        }

    def image_columns(self, *, gaps: OnGap = "raise") -> dict[str, list[Any]]:
        """Return one row for each image, as columns: `repository`, `image_digest`, `tags`, `size_bytes`, times, ...

        A million images as columns take about a gigabyte; the Parquet export does without.

        Raises:
            NotRead: the images of a repository were not read, and `gaps` is "raise".
        """
        from ecrkit.snapshot.tables import COLUMNS, rows

        found: dict[str, list[Any]] = {name: [] for name in COLUMNS["images"] if name != "snapshot_at"}
        for head in self._having("images", gaps):
            for row in rows(self._held[head.name].entry(), "images"):
                for name, value in row.items():
                    found[name].append(value)
        return found

    def images_to_pandas(self, *, gaps: OnGap = "raise") -> pd.DataFrame:
        """Return `image_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
            NotRead: the images of a repository were not read, and `gaps` is "raise".
        """
        return frame(self.image_columns(gaps=gaps))

    def to_pandas(self) -> pd.DataFrame:
        """Return one row for each repository as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def _repr_html_(self) -> str:
        columns = self.to_columns()
        names = ("repository", "images", "has_lifecycle_policy", "gaps")
        rows = list(zip(*(columns[name] for name in names), strict=True))
        return html_table(("repository", "images", "lifecycle policy", "gaps"), rows, caption=repr(self).strip("<>"))

    # ---- files

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the snapshot as JSON Lines with gzip and return the path.

        The file is whole or not there: it is written beside `path` and put in its place at the end. Equal snapshots
        give equal bytes. Name it `.jsonl.gz`; any gzip tool unpacks it.

        Raises:
            OSError: it cannot be written.
        """
        place = Path(path)
        files.replace(place, self._write)
        return place

    def to_parquet(self, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
        """Write the tables `repositories`, `images`, `blobs` and `gaps` as Parquet; see `write_parquet`.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        from ecrkit.snapshot.parquet import write_parquet

        return write_parquet(self, folder)

    def _write(self, target: BinaryIO) -> None:
        target.write(files.pack([lines.header_line(self._header)]))
        target.writelines(item.packed() for item in self._held.values())
        target.write(files.pack([self._last_line()]))

    def _last_line(self) -> bytes:
        return lines.registry_line(
            self._settings, self._registry_gaps, finished_at=self._finished_at, repositories=len(self._held)
        )

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Snapshot):
            return NotImplemented
        return (
            self._header == other._header
            and self._settings == other._settings
            and self._registry_gaps == other._registry_gaps
            and list(self) == list(other)
            and all(self[name] == other[name] for name in self)
        )

    __hash__ = None  # type: ignore[assignment]  # a snapshot is a whole registry: compared, never a key

    @override
    def __repr__(self) -> str:
        heads = [item.head for item in self._held.values()]
        images = sum(head.images for head in heads)
        told = f"{counted(len(heads), 'repository', 'repositories')}, {counted(images, 'image')}"
        gaps = f", {counted(len(self.gaps), 'gap')}" if self.gaps else ""
        return f"<Snapshot of {self.account} in {self.region}, {iso(self.taken_at)}: {told}{gaps}>"


def _has(head: Head, part: Part, text: str | None) -> bool | None:
    return text is not None if part in head.read else None
