"""Which images run where: uses of images by workloads, whatever tells them, as one set."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table
from ecrkit._internal.times import iso, parse_time
from ecrkit.errors import InvalidInput, InvalidReference, Problem
from ecrkit.images.inventory import Inventory
from ecrkit.refs import ImageRef, RegistryHost, digest

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Gap", "InUse", "RepositoryUse", "Use", "Workload"]

_FORMAT: Final = 1
_COLUMNS: Final = ("platform", "cluster", "namespace", "kind", "name", "container", "reference", "digest", "since")


@attrs.frozen(kw_only=True)
class Workload(Record):
    """What runs an image: a Deployment of a namespace, an ECS service, a Lambda function.

    `platform` is `kubernetes`, `ecs`, `lambda`, or a caller's own word; `cluster` and `namespace` may be empty.
    """

    platform: str
    kind: str
    name: str
    cluster: str = ""
    namespace: str = ""
    container: str = ""

    @override
    def __str__(self) -> str:
        where = "/".join(part for part in (self.cluster, self.namespace) if part)
        inside = f" (container {self.container})" if self.container else ""
        return f"{self.platform} {where + ' ' if where else ''}{self.kind} {self.name}{inside}"


@attrs.frozen(kw_only=True)
class Use(Record):
    """One use of one image: the reference that the workload names, and the digest that runs when that is known.

    `digest` is that of the manifest or index that was pulled; None when only the reference is known, as for a workload
    without a running container. `source` says who told it, `since` when the container started.
    """

    reference: str
    workload: Workload
    digest: str | None = None
    since: dt.datetime | None = None
    source: str = ""

    @cached_property
    def ref(self) -> ImageRef | None:
        """The reference, when it names an image of a private ECR registry; else None.

        A reference without a host is Docker Hub's to every container runtime, so it is none.
        """
        try:
            found = ImageRef.parse(self.reference)
        except InvalidReference:
            return None
        return found if found.registry is not None and not found.registry.public else None

    @override
    def __str__(self) -> str:
        pinned = f" @ {self.digest}" if self.digest and self.digest not in self.reference else ""
        return f"{self.workload}: {self.reference}{pinned}"


@attrs.frozen(kw_only=True)
class Gap(Record):
    """Something that could not be read, so that a use may be missing from the set."""

    where: str
    why: str

    @override
    def __str__(self) -> str:
        return f"{self.where}: {self.why}"


@attrs.frozen(kw_only=True)
class RepositoryUse(Record):
    """The uses of one repository's images, as far as the inventory tells them apart.

    `by_digest` maps each image in use to its uses: the digest that runs, and the one that the named tag points at now,
    since a restart pulls that. `unresolved` are uses whose image the inventory does not hold.
    """

    repository: str
    by_digest: Mapping[str, tuple[Use, ...]] = attrs.field(hash=False)
    unresolved: tuple[Use, ...] = ()

    @property
    def digests(self) -> tuple[str, ...]:
        """The digests in use, sorted."""
        return tuple(sorted(self.by_digest))


def _uses(items: Iterable[Use]) -> tuple[Use, ...]:
    return tuple(dict.fromkeys(items))


def _gaps(items: Iterable[Gap]) -> tuple[Gap, ...]:
    return tuple(dict.fromkeys(items))


@attrs.frozen(repr=False)
class InUse(Record):
    """The images that run, each with what runs it. Equal uses are one.

    It is `complete` only without `gaps`: what cannot be read may run anything, so whoever deletes by this set takes a
    gap as a no.

    Example:
        >>> app = Workload(platform="kubernetes", cluster="prod", namespace="pay", kind="Deployment", name="api")
        >>> uses = InUse([Use(reference="123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app:v1", workload=app)])
        >>> uses.repositories
        ('team/app',)
        >>> print(uses.uses[0].workload)
        kubernetes prod/pay Deployment api
    """

    uses: tuple[Use, ...] = attrs.field(converter=_uses, factory=tuple)
    gaps: tuple[Gap, ...] = attrs.field(converter=_gaps, factory=tuple, kw_only=True)

    @property
    def complete(self) -> bool:
        """Whether everything that was to be read was read."""
        return not self.gaps

    @cached_property
    def _by_repository(self) -> Mapping[str, tuple[Use, ...]]:
        found: dict[str, list[Use]] = {}
        for use in self.uses:
            if use.ref is not None:
                found.setdefault(str(use.ref.repository), []).append(use)
        return {name: tuple(uses) for name, uses in found.items()}

    @property
    def repositories(self) -> tuple[str, ...]:
        """The names of the private ECR repositories of which an image runs, sorted."""
        return tuple(sorted(self._by_repository))

    @property
    def elsewhere(self) -> tuple[Use, ...]:
        """Uses of images that no private ECR registry holds, and of what is no reference at all."""
        return tuple(use for use in self.uses if use.ref is None)

    def of(self, repository: str, *, account: str | None = None, region: str | None = None) -> tuple[Use, ...]:
        """Return the uses of a repository's images.

        Args:
            repository: its name.
            account: only of this account's registry; by default of any.
            region: only of this Region's registry; by default of any, since protecting too much harms nobody.
        """
        return tuple(
            use
            for use in self._by_repository.get(repository, ())
            if _in(use.ref, account, region)
        )  # fmt: skip

    def in_inventory(
        self, inventory: Inventory, *, account: str | None = None, region: str | None = None
    ) -> RepositoryUse:
        """Return which images of the inventory are in use.

        What an index references is not listed: whoever protects an index protects its children.

        Raises:
            InvalidInput: the inventory does not say of which repository it is.
        """
        if not inventory.repository:
            raise InvalidInput.single("no uses", "inventory", "names no repository; make it with repository=")
        found: dict[str, dict[Use, None]] = {}
        unresolved: list[Use] = []
        for use in self.of(inventory.repository, account=account, region=region):
            held = [d for d in _candidates(use, inventory) if d in inventory]
            for one in held:
                found.setdefault(one, {})[use] = None
            if not held or (use.digest is not None and use.digest not in inventory):
                unresolved.append(use)
        return RepositoryUse(
            repository=inventory.repository,
            by_digest={d: tuple(uses) for d, uses in found.items()},
            unresolved=tuple(unresolved),
        )

    def protect(self, repository: str, *, account: str | None = None, region: str | None = None) -> tuple[str, ...]:
        """Return what `lifecycle` plans take as `protect`: references and digests of the repository, without others."""
        found: dict[str, None] = {}
        for use in self.of(repository, account=account, region=region):
            found[use.reference] = None
            if use.digest is not None:
                found[use.digest] = None
        return tuple(found)

    def __or__(self, other: InUse) -> InUse:
        return InUse((*self.uses, *other.uses), gaps=(*self.gaps, *other.gaps))

    def __iter__(self) -> Iterator[Use]:
        return iter(self.uses)

    def __len__(self) -> int:
        return len(self.uses)

    # ---- for people and programs

    @override
    def to_dict(self) -> dict[str, Any]:
        return {"format": _FORMAT, "uses": [u.to_dict() for u in self.uses], "gaps": [g.to_dict() for g in self.gaps]}

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any] | str) -> Self:
        """Return the set that `to_dict()` or `to_json()` saved.

        Raises:
            InvalidInput: it is no saved set, or of another format; all problems are told, each with its path.
        """
        document: object = saved
        if isinstance(saved, str):
            try:
                document = json.loads(saved)
            except (ValueError, RecursionError) as fault:
                raise InvalidInput.single("not a set of images in use", "$", f"is not JSON: {fault}") from None
        problems: list[Problem] = []
        uses = [_read_use(item, f"$.uses[{n}]", problems) for n, item in enumerate(_listed(document, "uses", problems))]
        gaps = [_read_gap(item, f"$.gaps[{n}]", problems) for n, item in enumerate(_listed(document, "gaps", problems))]
        if isinstance(document, Mapping) and document.get("format") != _FORMAT:
            problems.append(Problem("$.format", f"must be {_FORMAT}, not {document.get('format')!r:.40}"))
        if problems:
            raise InvalidInput("not a set of images in use", problems)
        return cls([u for u in uses if u is not None], gaps=[g for g in gaps if g is not None])

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one list per column, one entry per use."""
        rows = [(*_placed(use.workload), use.reference, use.digest, use.since) for use in self.uses]
        return {name: [row[n] for row in rows] for n, name in enumerate(_COLUMNS)}

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame with a row per use.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def _repr_html_(self) -> str:
        rows = [
            (str(u.workload), u.reference, (u.digest or "")[:19], iso(u.since) if u.since else "") for u in self.uses
        ]
        return html_table(("workload", "reference", "digest", "since"), rows, caption=repr(self)[1:-1])

    @override
    def __repr__(self) -> str:
        gaps = f", {counted(len(self.gaps), 'gap')}" if self.gaps else ""
        of = counted(len(self.repositories), "repository", "repositories")
        return f"<InUse: {counted(len(self.uses), 'use')} of {of}{gaps}>"


def _in(ref: ImageRef | None, account: str | None, region: str | None) -> bool:
    host: RegistryHost | None = None if ref is None else ref.registry
    if host is None:
        return False
    return (account is None or host.account == account) and (region is None or host.region == region)


def _candidates(use: Use, inventory: Inventory) -> Iterator[str]:
    if use.digest is not None:
        yield use.digest
    ref = use.ref
    if ref is None:
        return
    if ref.digest is not None:
        yield str(ref.digest)
        return  # with a digest the tag is a remark
    tagged = inventory.by_tag(str(ref.tag or "latest"))
    if tagged is not None:
        yield tagged.digest


def _placed(workload: Workload) -> tuple[str, ...]:
    return (
        workload.platform, workload.cluster, workload.namespace, workload.kind, workload.name, workload.container,
    )  # fmt: skip


# ---- reading what was saved


def _listed(document: object, name: str, problems: list[Problem]) -> list[Any]:
    if not isinstance(document, Mapping):
        if name == "uses":
            problems.append(Problem("$", "must be an object"))
        return []
    value = document.get(name)
    if not isinstance(value, list):
        problems.append(Problem(f"$.{name}", "must be a list"))
        return []
    return value


def _texts(item: object, names: Mapping[str, bool], path: str, problems: list[Problem]) -> dict[str, str] | None:
    """Return the named texts of a mapping; a name maps to whether it must be there."""
    if not isinstance(item, Mapping):
        problems.append(Problem(path, "must be an object"))
        return None
    found: dict[str, str] = {}
    for name, needed in names.items():
        value = item.get(name)
        if isinstance(value, str):
            found[name] = value
        elif needed or value is not None:
            problems.append(Problem(f"{path}.{name}", "must be text"))
    return found


def _read_use(item: object, path: str, problems: list[Problem]) -> Use | None:
    before = len(problems)
    told = _texts(item, {"reference": True, "digest": False, "since": False, "source": False}, path, problems)
    if told is None or not isinstance(item, Mapping):
        return None
    names = {
        "platform": True, "kind": True, "name": True, "cluster": False, "namespace": False, "container": False,
    }  # fmt: skip
    placed = _texts(item.get("workload"), names, f"{path}.workload", problems)
    since: dt.datetime | None = None
    try:
        if "digest" in told:
            digest(told["digest"])
        if "since" in told:
            since = parse_time(told["since"])
    except (InvalidReference, ValueError) as fault:
        problems.append(Problem(path, f"{fault!s:.200}"))
    if len(problems) > before or placed is None:
        return None
    return Use(
        reference=told["reference"], workload=Workload(**placed), digest=told.get("digest"), since=since,
        source=told.get("source", ""),
    )  # fmt: skip


def _read_gap(item: object, path: str, problems: list[Problem]) -> Gap | None:
    before = len(problems)
    told = _texts(item, {"where": True, "why": True}, path, problems)
    return Gap(**told) if told is not None and len(problems) == before else None
