"""Policies over many repositories: which policy is for which, and a dry run of all of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, Protocol, Self

import attrs

from ecrkit._internal.executors import map_chunks
from ecrkit._internal.times import require_aware
from ecrkit.deployments.in_use import InUse
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.fleet_totals import UNKNOWN_GROUP, Drift, FleetRun, LiveState, RepositoryRun
from ecrkit.lifecycle.glob import compile_glob
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import simulate
from ecrkit.ports import OnProgress
from ecrkit.records import Progress

__all__ = [
    "Assignment",
    "FleetItem",
    "Loader",
    "RepositoryEntry",
    "fleet_run",
]

AnyPolicy = LifecyclePolicy | str | Mapping[str, Any]

_CHUNK: Final = 32


class RepositoryEntry(Protocol):
    """A repository as a snapshot holds it: `read` names the parts that were read, and the others must not be asked."""

    @property
    def name(self) -> str:
        """The repository's name."""
        ...

    @property
    def read(self) -> AbstractSet[str]:
        """The parts that were read, of `images`, `lifecycle_policy` and `tags`."""
        ...

    @property
    def inventory(self) -> Inventory:
        """The images."""
        ...

    @property
    def lifecycle_policy(self) -> str | None:
        """The text of the live policy, or None when there is none."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """The resource tags."""
        ...


@attrs.frozen(kw_only=True)
class FleetItem:
    """One repository, as the fleet functions take it.

    `inventory` is None when it could not be read. `live_policy` is its text, None when there is none; `policy_known` is
    False when nobody could tell, as is `tags_known` for the resource tags. `fault` says why something was not read.
    """

    repository: str
    inventory: Inventory | None
    live_policy: str | None = None
    policy_known: bool = True
    tags: Mapping[str, str] = attrs.field(factory=dict)
    tags_known: bool = True
    fault: str = ""

    @classmethod
    def of(cls, entry: RepositoryEntry) -> Self:
        """Return the item of a repository of a snapshot; what the snapshot did not read is not known."""
        read = entry.read
        return cls(
            repository=entry.name,
            inventory=entry.inventory if "images" in read else None,
            live_policy=entry.lifecycle_policy if "lifecycle_policy" in read else None,
            policy_known="lifecycle_policy" in read,
            tags=entry.tags if "tags" in read else {},
            tags_known="tags" in read,
        )


Loader = Callable[[], "Iterable[FleetItem | RepositoryEntry]"]
"""Reads repositories where the work on them is done; picklable when that is another process."""


def _parsed(policy: AnyPolicy | None) -> LifecyclePolicy | None:
    return policy if policy is None or isinstance(policy, LifecyclePolicy) else LifecyclePolicy.parse(policy)


def _patterns(pairs: Iterable[tuple[str, AnyPolicy | None]]) -> tuple[tuple[str, LifecyclePolicy | None], ...]:
    return tuple((pattern, _parsed(policy)) for pattern, policy in pairs)


def _tags(
    pairs: Iterable[tuple[Mapping[str, str], AnyPolicy | None]],
) -> tuple[tuple[Mapping[str, str], LifecyclePolicy | None], ...]:
    return tuple((dict(tags), _parsed(policy)) for tags, policy in pairs)


@attrs.frozen(kw_only=True, eq=False)
class Assignment:
    """Which policy is wanted for which repository: that of the first pattern or resource tag that fits, else `default`.

    `patterns` are pairs of a name pattern (only `*` is special) and a policy; `tags` are pairs of resource tags, all of
    which a repository must carry, and a policy. Patterns are asked first. None as a policy means that none is wanted.

    Example:
        >>> from ecrkit.lifecycle import build, keep_last
        >>> wanted = Assignment(default=build(keep_last(10)), patterns=[("sandbox/*", build(keep_last(2)))])
        >>> wanted.policy_for("sandbox/app").rules[0].count_number, wanted.policy_for("team/app").rules[0].count_number
        (2, 10)
    """

    default: LifecyclePolicy | None = attrs.field(default=None, converter=_parsed)
    patterns: tuple[tuple[str, LifecyclePolicy | None], ...] = attrs.field(default=(), converter=_patterns)
    tags: tuple[tuple[Mapping[str, str], LifecyclePolicy | None], ...] = attrs.field(default=(), converter=_tags)

    def policy_for(self, repository: str, tags: Mapping[str, str] | None = None) -> LifecyclePolicy | None:
        """Return the policy that is wanted for a repository with these resource tags, or None."""
        for pattern, policy in self.patterns:
            if compile_glob(pattern)(repository):
                return policy
        carried = tags or {}
        for needed, policy in self.tags:
            if all(carried.get(key) == value for key, value in needed.items()):
                return policy
        return self.default


def fleet_run(
    wanted: Assignment | AnyPolicy | None,
    items: Iterable[FleetItem | RepositoryEntry | Loader],
    *,
    now: dt.datetime,
    in_use: InUse | None = None,
    group: str | Callable[[str, Mapping[str, str]], str] = "",
    executor: Executor | None = None,
    count_children: bool = True,
    on_progress: OnProgress | None = None,
) -> FleetRun:
    """Return what a policy, or one by pattern or resource tag, would do to every repository.

    Calls nothing. A repository that could not be read is a row with a gap.

    Args:
        wanted: the policy for all, an `Assignment`, or None to run the live policy of each.
        items: the repositories, such as the `entries()` of a snapshot; taken as they are needed, so that a reader of a
            file serves. A function without arguments stands for the repositories that it returns, and is called where
            the work is done: sending a function that reads part of a file costs less than sending what it reads.
        now: the instant of the run.
        in_use: the images that run somewhere.
        group: the resource tag to add up by, such as `Team`, or a function of name and tags.
        executor: where to run: of threads, processes, or a cluster. Results are the same as without. Whatever runs
            elsewhere is pickled, a function as `group` too.
        count_children: as in `simulate`.
        on_progress: called after each chunk of repositories.

    Raises:
        LifecyclePolicyError: a wanted policy is none.

    Example:
        >>> from ecrkit.lifecycle import build, keep_last
        >>> images = [{"imageDigest": "sha256:" + c * 64, "imagePushedAt": 1767225600 + n} for n, c in enumerate("abc")]
        >>> items = [FleetItem(repository=name, inventory=Inventory.from_api(images)) for name in ("a", "b")]
        >>> found = fleet_run(build(keep_last(1)), items, now=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
        >>> found.expired, found.without_policy
        (4, ('a', 'b'))
    """
    now = require_aware(now, "now")
    assigned = wanted if wanted is None or isinstance(wanted, Assignment) else Assignment(default=_parsed(wanted))
    work = partial(_run_chunk, wanted=assigned, now=now, group=group, count_children=count_children)
    rows: list[RepositoryRun] = []
    for part in map_chunks(work, _chunks(items, in_use, apart=executor is not None), executor=executor, size=1):
        rows += part
        if on_progress is not None:
            on_progress(Progress(done=len(rows), what="repositories"))
    gaps = () if in_use is None else tuple(map(str, in_use.gaps))
    return FleetRun(now=now, rows=tuple(rows), in_use_gaps=gaps)


_Chunk = tuple["list[FleetItem] | Loader", "InUse | None"]


def _chunks(
    items: Iterable[FleetItem | RepositoryEntry | Loader], in_use: InUse | None, *, apart: bool
) -> Iterator[_Chunk]:
    """Yield repositories with the images in use that concern them; a loader may return any, so it takes them all."""
    gathered: list[FleetItem] = []

    def full() -> _Chunk:
        # Sending all that runs anywhere along with every few repositories costs far more than the work on them.
        return list(gathered), _concerning(in_use, gathered) if apart and in_use is not None else in_use

    for item in items:
        if callable(item):
            if gathered:
                yield full()
                gathered = []
            yield item, in_use
            continue
        gathered.append(_item(item))
        if len(gathered) == _CHUNK:
            yield full()
            gathered = []
    if gathered:
        yield full()


def _concerning(in_use: InUse, items: Iterable[FleetItem]) -> InUse:
    named = {name for i in items for name in (i.repository, i.inventory.repository if i.inventory else "") if name}
    return InUse(use for name in sorted(named) for use in in_use.of(name))


def _item(given: FleetItem | RepositoryEntry) -> FleetItem:
    return given if isinstance(given, FleetItem) else FleetItem.of(given)


def _run_chunk(
    chunk: Sequence[_Chunk],
    *,
    wanted: Assignment | None,
    now: dt.datetime,
    group: str | Callable[[str, Mapping[str, str]], str],
    count_children: bool,
) -> list[RepositoryRun]:
    found: list[RepositoryRun] = []
    for part, in_use in chunk:
        simulated = partial(simulate, now=now, count_children=count_children, in_use=in_use)
        found += _rows(part if isinstance(part, list) else map(_item, part()), wanted, simulated, group)
    return found


def _rows(
    items: Iterable[FleetItem],
    wanted: Assignment | None,
    simulated: Callable[[LifecyclePolicy, Inventory], Run],
    group: str | Callable[[str, Mapping[str, str]], str],
) -> Iterator[RepositoryRun]:
    for item in items:
        named = _group_of(item, group)
        live, fault = _live(item)
        policy = live if wanted is None else wanted.policy_for(item.repository, item.tags)
        drift = _drift(item, live, fault, policy)
        by_tags = not item.tags_known and wanted is not None and bool(wanted.tags)
        if item.inventory is None or by_tags:
            what = "resource tags" if item.inventory is not None else "images"
            yield RepositoryRun(
                repository=item.repository, group=named, drift="unknown" if by_tags else drift,
                gap=f"its {what} could not be read" + (f": {item.fault}" if item.fault else ""),
                live="broken" if fault else "none" if item.policy_known and live is None else "unknown",
            )  # fmt: skip
            continue
        inventory = item.inventory
        if not inventory.repository:
            inventory = attrs.evolve(inventory, repository=item.repository)
        run = None if policy is None else simulated(policy, inventory)
        ran = run if live is None or live == policy else simulated(live, inventory)
        # Without the live policy nobody knows what it does; a policy that is wanted needs it for the drift only.
        why = f": {item.fault}" if item.fault else ""
        unread = fault or ("" if item.policy_known else f"its live policy could not be read{why}")
        gap = unread if wanted is None else ""
        yield RepositoryRun(
            repository=item.repository, group=named, images=len(inventory), drift=drift,
            live=_live_state(item, fault, None if live is None else ran), gap=gap,
            certain=not gap and (run is None or run.certain), **_numbers(run),
        )  # fmt: skip


def _group_of(item: FleetItem, group: str | Callable[[str, Mapping[str, str]], str]) -> str:
    if not isinstance(group, str):
        return group(item.repository, item.tags)
    return item.tags.get(group, "") if item.tags_known or not group else UNKNOWN_GROUP


def _numbers(run: Run | None) -> dict[str, Any]:
    if run is None:
        return {}
    return {
        "expired": len(run.expired), "transitioned": len(run.transitioned), "cascaded": len(run.cascaded),
        "blocked": len(run.blocked), "endangered": len(run.endangered), "freed": run.freed,
        "unresolved": 0 if run.in_use is None else len(run.in_use.unresolved),
    }  # fmt: skip


def _live(item: FleetItem) -> tuple[LifecyclePolicy | None, str]:
    """Return the live policy, or None and what is wrong with it."""
    if not item.policy_known or item.live_policy is None:
        return None, ""
    try:
        return LifecyclePolicy.parse(item.live_policy), ""
    except LifecyclePolicyError as fault:
        return None, f"its live policy is none that ecrkit knows: {fault!s:.200}"


def _live_state(item: FleetItem, fault: str, ran: Run | None) -> LiveState:
    if not item.policy_known:
        return "unknown"
    if fault:
        return "broken"
    if ran is None:
        return "none"
    return "works" if any(chosen.members for chosen in ran.selected) or not len(ran.images) else "idle"


def same_effect(one: LifecyclePolicy, other: LifecyclePolicy) -> bool:
    """Return whether two policies do the same: only the order of priorities counts, and `v` as prefix is `v*`."""
    return one == other or _effect(one) == _effect(other)


def _effect(policy: LifecyclePolicy) -> list[tuple[object, ...]]:
    found: list[tuple[object, ...]] = []
    for rule in policy:
        # No tag holds a wildcard, so a prefix with one selects nothing and is no pattern.
        plain = {prefix for prefix in rule.tag_prefixes if "*" not in prefix}
        patterns = {*rule.tag_patterns, *(f"{prefix}*" for prefix in plain)}
        odd = set(rule.tag_prefixes) - plain
        found.append(
            (
                rule.tag_status, rule.count_type, rule.count_number, rule.action, rule.storage_class, patterns, odd,
            )
        )  # fmt: skip
    return found


def _drift(item: FleetItem, live: LifecyclePolicy | None, fault: str, wanted: LifecyclePolicy | None) -> Drift:
    if not item.policy_known:
        return "unknown"
    if fault:
        return "unwanted" if wanted is None else "differs"
    if live is not None and wanted is not None and same_effect(live, wanted):
        return "same"
    if live is None and wanted is None:
        return "same"
    return "missing" if live is None else "unwanted" if wanted is None else "differs"
