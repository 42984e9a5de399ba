"""`Estate`: the registries of several accounts and Regions, asked as one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table
from ecrkit.errors import InvalidInput
from ecrkit.images.inventory import Inventory
from ecrkit.records import Image, Repository
from ecrkit.snapshot.contents import Gap, RepositorySnapshot
from ecrkit.snapshot.files import Limits
from ecrkit.snapshot.loading import load
from ecrkit.snapshot.snapshot import OnGap, Snapshot

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Estate", "Where"]


@attrs.frozen
class Where(Record):
    """A repository of an estate: account, Region, name. Its text is `account/region/name`.

    Example:
        >>> str(Where("123456789012", "eu-west-1", "team/app"))
        '123456789012/eu-west-1/team/app'
    """

    account: str
    region: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.account}/{self.region}/{self.name}"


class Estate:
    """Many snapshots, one of each account and Region, with the questions of a snapshot.

    Example:
        >>> from ecrkit import Registry
        >>> with Registry.local() as registry:
        ...     made = registry.gateway.create_repository("team/app")
        ...     there = registry.in_region("eu-west-1")
        ...     made = there.gateway.create_repository("team/app")
        ...     estate = Estate([registry.snapshot(), there.snapshot()])
        >>> [str(where) for where in estate.find("team/*")]
        ['123456789012/eu-west-1/team/app', '123456789012/us-east-1/team/app']
    """

    def __init__(self, snapshots: Iterable[Snapshot]) -> None:
        found: dict[tuple[str, str], Snapshot] = {}
        for snapshot in snapshots:
            place = (snapshot.account, snapshot.region)
            if place in found:
                message = f"two snapshots are of {place[0]} in {place[1]}; an estate is of one time"
                raise InvalidInput.single("no estate", "snapshots", message)
            found[place] = snapshot
        self._snapshots = dict(sorted(found.items()))

    @classmethod
    def load(cls, paths: Iterable[str | os.PathLike[str]], *, limits: Limits | None = None) -> Estate:
        """Return the estate of saved snapshots, each read lazily from its file.

        Raises:
            InvalidInput: a file is no snapshot, or two are of the same registry.
        """
        return cls(load(path, limits=limits) for path in paths)

    @property
    def snapshots(self) -> Mapping[tuple[str, str], Snapshot]:
        """The snapshots by account and Region."""
        return dict(self._snapshots)

    @property
    def repositories(self) -> tuple[Repository, ...]:
        """The records of all repositories; account and Region stand in their ARNs."""
        return tuple(r for snapshot in self._snapshots.values() for r in snapshot.repositories)

    @property
    def tags(self) -> Mapping[Where, Mapping[str, str]]:
        """The resource tags of every repository whose tags were read."""
        return {
            Where(*place, name): tags
            for place, snapshot in self._snapshots.items()
            for name, tags in snapshot.tags.items()
        }

    @property
    def gaps(self) -> tuple[tuple[str, str, Gap], ...]:
        """Everything that was asked for and could not be read, with account and Region."""
        return tuple((*place, gap) for place, snapshot in self._snapshots.items() for gap in snapshot.gaps)

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was read, in every snapshot."""
        return not self.gaps

    def find(self, pattern: str) -> tuple[Where, ...]:
        """Return the repositories whose names fit the pattern; `*` stands for any characters."""
        from ecrkit._internal.globs import compile_glob

        fits = compile_glob(pattern)
        return tuple(
            Where(*place, name) for place, snapshot in self._snapshots.items() for name in snapshot if fits(name)
        )

    def __getitem__(self, where: Where) -> RepositorySnapshot:
        return self._snapshots[where.account, where.region][where.name]

    def __contains__(self, where: object) -> bool:
        return isinstance(where, Where) and where.name in self._snapshots.get((where.account, where.region), ())

    def __len__(self) -> int:
        return sum(map(len, self._snapshots.values()))

    def __iter__(self) -> Iterator[Where]:
        return iter(self.find("*"))

    def entries(self) -> Iterator[tuple[Where, RepositorySnapshot]]:
        """Yield every repository, unpacked one at a time."""
        for place, snapshot in self._snapshots.items():
            for entry in snapshot.entries():
                yield Where(*place, entry.name), entry

    def inventories(self, *, gaps: OnGap = "raise") -> Iterator[tuple[Where, Inventory]]:
        """Yield the inventory of each repository, one in memory at a time.

        Raises:
            NotRead: at once: the images of one were not read, and `gaps` is "raise".
        """
        each = [(place, s.inventories(gaps=gaps)) for place, s in self._snapshots.items()]
        return ((Where(*place, name), inventory) for place, pairs in each for name, inventory in pairs)

    def holding(self, digest: str, *, gaps: OnGap = "raise") -> tuple[tuple[Where, Image], ...]:
        """Return where an image is, in every account and Region; it unpacks every repository.

        Raises:
            NotRead: the images of a repository were not read, and `gaps` is "raise": it might be there.
        """
        for snapshot in self._snapshots.values():
            snapshot.require("images", gaps=gaps)
        found: list[tuple[Where, Image]] = []
        for where, entry in self.entries():
            if "images" in entry.read:
                found += [(where, image) for image in entry.images if image.digest == digest]
        return tuple(found)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each repository, as columns; see `Snapshot.to_columns`."""
        found: dict[str, list[Any]] = {}
        for snapshot in self._snapshots.values():
            for name, values in snapshot.to_columns().items():
                found.setdefault(name, []).extend(values)
        return found

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def _repr_html_(self) -> str:
        rows = [
            (*place, s.taken_at, len(s), sum(n or 0 for n in s.to_columns()["images"]), len(s.gaps))
            for place, s in self._snapshots.items()
        ]
        return html_table(("account", "region", "taken at", "repositories", "images", "gaps"), rows)

    @override
    def __repr__(self) -> str:
        registries = counted(len(self._snapshots), "registry", "registries")
        return f"<Estate of {registries}: {counted(len(self), 'repository', 'repositories')}>"
