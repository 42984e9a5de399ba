"""Changing a replication configuration: plan, look at the difference, apply.

`PutReplicationConfiguration` replaces the whole document. An installed botocore that does not know a member of it
drops the member on reading, so that a rewrite would switch it off; then nothing is written unless that is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import attrs

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit.errors import InvalidPolicy, PlanOutdated, PlanRefused
from ecrkit.replication.configuration import Destination, ReplicationConfiguration, ReplicationRule

__all__ = ["ReplicationConfigurationStore", "ReplicationPlan", "apply", "plan"]

_NEWER: Final = ("deleteReplication",)


class ReplicationConfigurationStore(Protocol):
    """Reads and writes the replication configuration of a registry."""

    @property
    def replication_rule_members(self) -> frozenset[str]:
        """The members of a rule that the installed botocore knows; others are dropped on reading."""
        ...

    def replication_configuration(self) -> Mapping[str, Any]:
        """Return the answer of DescribeRegistry: `registryId` and `replicationConfiguration`."""
        ...

    def put_replication_configuration(self, configuration: Mapping[str, Any]) -> None:
        """Replace the configuration; the mapping holds `rules`."""
        ...


Route = tuple[str, Destination]


def _routes(values: Iterable[Route]) -> tuple[Route, ...]:
    return tuple(sorted(values))


@attrs.frozen(kw_only=True)
class ReplicationPlan(Record):
    """A change of the replication configuration, computed before anything is written.

    `added` and `removed` are pairs of a repository and a destination. `deleting` are the rules, in words, by which
    deletions would begin to be repeated, whether or not a repository has such a name today. `warnings` name what the
    change does not do.
    """

    source: Destination
    current: ReplicationConfiguration
    wanted: ReplicationConfiguration
    seen: str = attrs.field(repr=False)
    added: tuple[Route, ...] = attrs.field(default=(), converter=_routes)
    removed: tuple[Route, ...] = attrs.field(default=(), converter=_routes)
    deleting: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether there is anything to change."""
        return self.current.to_api() != self.wanted.to_api()

    def explain(self) -> str:
        """Return the change in words."""
        if not self.needed:
            return "nothing to change"
        lines = [f"from {self.current}", f"to   {self.wanted}"]
        lines += [f"+ {name} -> {place}" for name, place in self.added]
        lines += [f"- {name} -> {place}" for name, place in self.removed]
        lines += [f"! deletions begin to be repeated: {rule}" for rule in self.deleting]
        return "\n".join([*lines, *(f"warning: {text}" for text in self.warnings)])


def plan(
    store: ReplicationConfigurationStore,
    wanted: ReplicationConfiguration,
    repositories: Iterable[str],
    *,
    source: Destination,
    drop_unknown: bool = False,
) -> ReplicationPlan:
    """Return what putting `wanted` would change for the repositories. Reads, and writes nothing.

    Members of present rules that ecrkit does not know are carried over into the wanted rules for the same repositories
    and destinations. `drop_unknown` accepts that members without such a rule are lost, and members that the installed
    botocore cannot even read.

    Raises:
        InvalidPolicy: the present configuration cannot be read, or `wanted` names the source itself or another
            partition.
        PlanRefused: rewriting would drop members that nobody here knows; `conflicts` names them.
    """
    problems = wanted.problems_from(source)
    if problems:
        raise InvalidPolicy("not a replication configuration of this registry", problems)
    raw = store.replication_configuration()
    current = ReplicationConfiguration.from_api(raw)
    kept, lost = _carried(current, wanted)
    unreadable = [m for m in _NEWER if m not in store.replication_rule_members and current.rules]
    if not drop_unknown:
        conflicts = lost + [f"$.rules[*].{m} is not known to the installed botocore and may be set" for m in unreadable]
        if conflicts:
            raise PlanRefused(
                "rewriting the replication configuration would drop members; install a newer botocore, or pass "
                f"drop_unknown=True if that is meant: {'; '.join(conflicts)}",
                conflicts=conflicts,
            )
    names = tuple(repositories)
    before = {(n, place) for n in names for place in current.destinations_of(n)}
    after = {(n, place) for n in names for place in kept.destinations_of(n)}
    deleting = [r for r in kept.rules if r.deletes and not any(c.deletes and c.same_target(r) for c in current.rules)]
    return ReplicationPlan(
        source=source,
        current=current,
        wanted=kept,
        seen=canonical_json(raw.get("replicationConfiguration", raw)),
        added=after - before,
        removed=before - after,
        deleting=tuple(map(str, deleting)),
        warnings=tuple(_warnings(kept, names, added=after - before, removed=before - after, lost=[*lost, *unreadable])),
    )


def _carried(
    current: ReplicationConfiguration, wanted: ReplicationConfiguration
) -> tuple[ReplicationConfiguration, list[str]]:
    rules: list[ReplicationRule] = list(wanted.rules)
    lost: list[str] = []
    for number, rule in enumerate(current.rules):
        if not rule.more:
            continue
        twin = next((n for n, r in enumerate(rules) if r.same_target(rule)), None)
        if twin is None:
            lost += [f"$.rules[{number}].{name}" for name in sorted(rule.more)]
        else:
            rules[twin] = attrs.evolve(rules[twin], more={**rule.more, **rules[twin].more})
    return ReplicationConfiguration(rules=rules), lost


def _warnings(
    wanted: ReplicationConfiguration,
    names: Iterable[str],
    *,
    added: set[Route],
    removed: set[Route],
    lost: Iterable[str],
) -> Iterable[str]:
    if added:
        pairs = counted(len({name for name, _ in added}), "repository", "repositories")
        yield f"only what is pushed or restored from now on goes: the images that {pairs} hold need a backfill"
    if removed:
        yield "images that have arrived stay where they are, and what is on its way may still arrive"
    if wanted.many_rules:
        yield f"{len(wanted.rules)} rules: the quota page allows 10, the service model 25; ECR may refuse them"
    for rule in wanted.rules:
        idle = [p for p in rule.prefixes if not any(name.startswith(p) for name in names)]
        if idle:
            yield f"no repository's name begins with {', '.join(map(repr, idle))}"
    for member in lost:
        yield f"{member} is lost"


def apply(
    plan: ReplicationPlan,
    store: ReplicationConfigurationStore,
    *,
    allow_removal: bool = False,
    allow_deletes: bool = False,
) -> bool:
    """Put the planned configuration and return whether anything was written. Reads the configuration again first.

    Raises:
        PlanOutdated: the configuration has changed since the plan was made; nothing was written.
        PlanRefused: repositories would not be replicated any more and `allow_removal` is not given, or deletions would
            begin to be repeated and `allow_deletes` is not given; nothing was written.
        NotSupportedByBotocore: a rule has deletions and the installed botocore cannot send that.
    """
    raw = store.replication_configuration()
    now = canonical_json(raw.get("replicationConfiguration", raw))
    if now != plan.seen:
        raise PlanOutdated("the replication configuration has changed since the plan was made", changes=[now])
    if not plan.needed:
        return False
    if plan.removed and not allow_removal:
        raise PlanRefused(
            f"{counted(len(plan.removed), 'route')} would end; pass allow_removal=True if that is meant",
            conflicts=[f"{name} -> {place}" for name, place in plan.removed],
        )
    if plan.deleting and not allow_deletes:
        raise PlanRefused(
            "deletions would be repeated at destinations, which then keep nothing to roll back to; pass "
            "allow_deletes=True if that is meant",
            conflicts=plan.deleting,
        )
    store.put_replication_configuration(plan.wanted.to_api())
    return True
