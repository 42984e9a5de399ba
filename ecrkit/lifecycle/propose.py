"""A policy that meets a goal: what must stay is named first, then the policy that keeps it and least besides.

Several candidate policies are built, each is simulated on the inventory, and only one that keeps everything that must
stay is proposed: of those the one that leaves the fewest bytes, then the one with the fewest rules.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit._internal.times import require_aware
from ecrkit.deployments.in_use import InUse
from ecrkit.errors import PlanRefused
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import ByteRange, stored_bytes
from ecrkit.lifecycle.builder import Part, build, expire_older_than, expire_untagged, keep_last, protect
from ecrkit.lifecycle.diff import PolicyDiff, diff
from ecrkit.lifecycle.glob import compile_glob
from ecrkit.lifecycle.goal import (
    PROTECTED,
    Family,
    Goal,
    families_of,
    holders_of,
    must_stay,
    newest_key,
    protective_tags,
    pushed_of,
    with_tags,
)
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import cutoff, simulate
from ecrkit.records import Image

__all__ = ["Candidate", "Proposal", "RuleReason", "propose"]

MOST_RULES: Final = 50


@attrs.frozen(kw_only=True)
class RuleReason(Record):
    """Why a proposed rule is there, what it keeps and what it takes from today's inventory."""

    priority: int
    rule: str
    why: str
    keeps: int
    takes: int


@attrs.frozen(kw_only=True)
class Candidate(Record):
    """One policy that was tried: how it keeps images in use that lie far back, and what came of it."""

    name: str
    rules: int
    left: ByteRange
    loses: int
    chosen: bool = False


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Proposal:
    """A policy that meets the goal, its dry run, and why each rule is there.

    `must_stay` maps each image that may not go to the reasons. `protective_tags` are tags to be put on images before
    the policy is: an untagged image in use cannot be kept by any rule. `warnings` says what the proof does not cover.
    """

    goal: Goal
    policy: LifecyclePolicy
    run: Run
    must_stay: Mapping[str, tuple[str, ...]]
    reasons: tuple[RuleReason, ...]
    candidates: tuple[Candidate, ...]
    protective_tags: Mapping[str, str]
    left: ByteRange
    warnings: tuple[str, ...] = ()

    def against(self, live_policy: LifecyclePolicy | str | Mapping[str, Any] | None) -> PolicyDiff:
        """Return what changes, image by image, when the proposal replaces the live policy; None for having none."""
        return diff(live_policy, self.policy, self.run.inventory, now=self.run.now)

    def to_dict(self) -> dict[str, Any]:
        """Return the proposal as a JSON-ready mapping."""
        return {
            "goal": self.goal.to_dict(),
            "policy": self.policy.to_dict(),
            "reasons": [reason.to_dict() for reason in self.reasons],
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "protective_tags": dict(self.protective_tags),
            "must_stay": {digest: list(reasons) for digest, reasons in self.must_stay.items()},
            "left": self.left.to_dict(),
            "warnings": list(self.warnings),
        }

    @cached_property
    def _rows(self) -> list[tuple[object, ...]]:
        return [(r.priority, r.rule, r.keeps, r.takes, r.why) for r in self.reasons]

    def to_text(self) -> str:
        """Return the proposal rule by rule, with what was tried besides."""
        lines = [repr(self)[1:-1], *(f"not proved: {text}" for text in self.warnings)]
        lines += [f"tag {digest} as {tag} first" for digest, tag in self.protective_tags.items()]
        lines.append(text_table(("rule", "says", "keeps", "takes", "why"), self._rows, right=frozenset({0, 2, 3})))
        tried = [
            (c.name, c.rules, str(c.left), "chosen" if c.chosen else f"loses {c.loses}" if c.loses else "keeps all")
            for c in self.candidates
        ]
        lines.append(text_table(("tried", "rules", "leaves", "outcome"), tried, right=frozenset({1})))
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_table(("rule", "says", "keeps", "takes", "why"), self._rows, caption=repr(self)[1:-1])

    @override
    def __repr__(self) -> str:
        going = len(self.run.expired) + len(self.run.cascaded)
        return (
            f"<Proposal for {self.run.inventory.repository or 'repository'}: {counted(len(self.policy), 'rule')}, "
            f"{going} of {counted(len(self.run.images), 'image')} go, {self.left} stay>"
        )


def propose(
    inventory: Inventory,
    goal: Goal,
    *,
    now: dt.datetime,
    families: Sequence[Family] | None = None,
    in_use: InUse | None = None,
) -> Proposal:
    """Return the policy that keeps all that the goal says and leaves least besides, proved by simulation at `now`.

    ECR knows no rule that keeps. So rules that select what is to be kept come first: tags that are never deleted, tags
    of single images in use that lie far back, releases by number; then temporary tags and untagged images by age.
    Images of no family, such as those of moving tags, stay.

    Calls nothing; takes a dry run for each of at most four candidates.

    Args:
        inventory: the images of one repository, archived ones included. Bytes are exact when it has every manifest.
        goal: what is to be kept.
        now: the instant of the proof.
        families: what kinds of tags there are; by default those that the tags suggest, see `families_of`.
        in_use: the images that run somewhere; they are kept, whatever they are.

    Raises:
        PlanRefused: no policy meets the goal; `conflicts` says which parts of it contradict each other.
        InvalidInput: `in_use` is given and the inventory names no repository.

    Example:
        >>> now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
        >>> images = [{"imageDigest": f"sha256:{n:064x}", "imageTags": [f"v1.{n}"],
        ...            "imagePushedAt": now.timestamp() + n} for n in range(20)]
        >>> found = propose(Inventory.from_api(images), Goal(keep_releases=5), now=now)
        >>> print(found.policy)
        rule 1: expire images tagged v*.* beyond the newest 5
        rule 2: expire untagged images pushed more than 7 days ago
    """
    now = require_aware(now, "now")
    chosen = families_of(inventory) if families is None else tuple(families)
    must = must_stay(inventory, goal, now=now, families=chosen, in_use=in_use)
    tags = _protective_tags(inventory, goal, must, now)
    tagged = with_tags(inventory, tags)
    draft = _Draft(tagged, goal, now=now, families=chosen, must=must, needs_tags=bool(tags))
    tried = [draft.attempt(name, choice) for name, choice in draft.choices()]
    valid = [a for a in tried if a.run is not None and not a.loses]
    if not valid:
        raise _unsatisfiable(_why_none(tried, tagged))
    best = min(valid, key=lambda a: (a.weight, len(a.parts)))
    if best.run is None:  # it is valid, so it ran
        raise AssertionError("a candidate without a run was taken for valid")
    over = _over_budget(best, goal, tagged, must)
    if over:
        raise _unsatisfiable(over)
    return Proposal(
        goal=goal, policy=best.run.policy, run=best.run, must_stay=must, protective_tags=tags, left=best.left,
        reasons=_reasons(best.run, [why for _, why in best.parts]),
        candidates=tuple(
            Candidate(name=a.name, rules=len(a.parts), left=a.left, loses=len(a.loses), chosen=a is best) for a in tried
        ),
        warnings=tuple(_warnings(inventory, goal, chosen, in_use, referrers_at_risk(inventory, must))),
    )  # fmt: skip


def _unsatisfiable(conflicts: Sequence[str]) -> PlanRefused:
    return PlanRefused("no policy meets the goal: " + "; ".join(conflicts[:5]), conflicts=conflicts)


def _protective_tags(
    inventory: Inventory, goal: Goal, must: Mapping[str, tuple[str, ...]], now: dt.datetime
) -> dict[str, str]:
    """Return tags for untagged images that no rule could keep; what an index holds needs none."""
    edge = cutoff(now, max(goal.untagged_days, goal.keep_days))
    bare = [
        image.digest
        for image in inventory
        if image.digest in must
        and image.status == "ACTIVE"
        and not image.tags
        and pushed_of(image) < edge
        and not holders_of(inventory, image.digest)
        and inventory.subject_of(image.digest) is None
    ]
    return protective_tags(inventory, bare)


@attrs.frozen(eq=False)
class _Attempt:
    name: str
    parts: Sequence[tuple[Part, str]]
    run: Run | None
    loses: tuple[str, ...]
    left: ByteRange
    fault: str = ""

    @property
    def weight(self) -> int:
        """The bytes that are left, at most."""
        return self.left.low if self.left.high is None else self.left.high


@attrs.frozen(eq=False)
class _Family:
    """A family as a rule: what must stay of it, each image with the limit that keeps it, farthest first."""

    family: Family
    base: int
    needs: tuple[tuple[int, Image], ...]
    spared: Callable[[int], int]
    """The bytes of the images that may go and that a rule with that limit keeps all the same."""

    def limit(self, protected: int) -> int:
        """Return the limit that keeps all but the first so many, which are protected by rules of their own."""
        return max(self.base, self.needs[protected][0] if protected < len(self.needs) else 0)


def referrers_at_risk(inventory: Inventory, must: Iterable[str]) -> int:
    """Return how many untagged referrers must stay: a rule for untagged images would take them by their own age."""
    return sum(1 for d in must if not inventory[d].tags and inventory.subject_of(d) is not None)


class _Draft:
    """The candidates for one goal on one inventory."""

    def __init__(
        self,
        inventory: Inventory,
        goal: Goal,
        *,
        now: dt.datetime,
        families: Sequence[Family],
        must: Mapping[str, tuple[str, ...]],
        needs_tags: bool,
    ) -> None:
        self._inventory, self._goal, self._now, self._must = inventory, goal, now, must
        patterns = list(dict.fromkeys(goal.never_delete))
        shields = [(protect(patterns=[p]), f"tags like {p} are never deleted") for p in patterns]
        if needs_tags:
            shields.append((protect(patterns=[f"{PROTECTED}*"]), "untagged images in use, tagged to be kept"))
        self._shields: list[tuple[Part, str]] = shields
        self._families = [self._measured(f) for f in families if f.pattern not in patterns]
        days = max(goal.untagged_days, goal.keep_days)
        # A referrer is an untagged image like any other: the rule would take it while its image stays.
        self._last: list[tuple[Part, str]] = []
        if not referrers_at_risk(inventory, must):
            self._last.append((expire_untagged(after_days=days), f"untagged images are of no use after {days} days"))

    def _measured(self, family: Family) -> _Family:
        match = compile_glob(family.pattern)
        members = sorted(
            (i for i in self._inventory if i.status == "ACTIVE" and any(map(match, i.tags))),
            key=newest_key,
            reverse=True,
        )
        if family.kind == "release":
            limits = {image.digest: n for n, image in enumerate(members, 1)}
            base = self._goal.keep_releases
        else:
            day = dt.timedelta(days=1)
            limits = {i.digest: max(1, math.ceil((self._now - pushed_of(i)) / day)) for i in members}
            base = max(self._goal.temporary_days, self._goal.keep_days)
        needs = sorted(((limits[i.digest], i) for i in members if i.digest in self._must), key=lambda n: -n[0])
        free = [(limits[i.digest], i.size) for i in members if i.digest not in self._must]
        return _Family(
            family, base, tuple(needs), lambda limit: sum(size or 0 for at, size in free if base < at <= limit)
        )

    def choices(self) -> Iterable[tuple[str, Sequence[int]]]:
        """Yield the ways to try: for each family, how many of the farthest images get a rule of their own."""
        none = [0] * len(self._families)
        beyond = [sum(1 for limit, _ in f.needs if limit > f.base) for f in self._families]
        yield "wider limits", none
        if any(beyond):
            yield "a rule for each image in use", beyond
            yield "rules where they spare most", self._spared(beyond)

    def _spared(self, beyond: Sequence[int]) -> Sequence[int]:
        """Return the choice that spares the most bytes with the rules that are left."""
        room = MOST_RULES - len(self._shields) - len(self._families) - len(self._last)
        best: dict[int, tuple[int, tuple[int, ...]]] = {0: (0, ())}
        for family, most in zip(self._families, beyond, strict=True):
            costs = [(k, family.spared(family.limit(k))) for k in range(min(most, max(room, 0)) + 1)]
            grown: dict[int, tuple[int, tuple[int, ...]]] = {}
            for used, (kept, picked) in best.items():
                for k, cost in costs:
                    known = grown.get(used + k)
                    if used + k <= room and (known is None or kept + cost < known[0]):
                        grown[used + k] = (kept + cost, (*picked, k))
            best = grown
        if not best:
            return [0] * len(beyond)
        return min(best.items(), key=lambda item: (item[1][0], item[0]))[1][1]

    def attempt(self, name: str, choice: Sequence[int]) -> _Attempt:
        """Return the candidate of a choice, simulated."""
        singles: dict[str, str] = {}
        rules: list[tuple[Part, str]] = []
        for measured, protected in zip(self._families, choice, strict=True):
            for _, image in measured.needs[:protected]:
                singles[image.tags[0]] = f"{'; '.join(self._must[image.digest])}"
            rules.append(self._rule(measured, measured.limit(protected)))
        exact = [(protect(patterns=[tag]), why) for tag, why in singles.items()]
        parts = [*self._shields, *exact, *rules, *self._last]
        try:
            policy = build(*(part for part, _ in parts))
        except LifecyclePolicyError as fault:
            return _Attempt(name, parts, None, (), stored_bytes(self._inventory), str(fault))
        run = simulate(policy, self._inventory, now=self._now)
        going = {*run.expired, *run.transitioned, *run.cascaded}
        left = stored_bytes(self._inventory, [i.digest for i in self._inventory if i.digest not in going])
        return _Attempt(name, parts, run, tuple(sorted(going & self._must.keys())), left)

    def _rule(self, measured: _Family, limit: int) -> tuple[Part, str]:
        pattern, more = [measured.family.pattern], ""
        if limit > measured.base:
            farthest = measured.needs[0][1]
            reason = self._must[farthest.digest][0]
            more = f"; {limit} instead of {measured.base}, since an image so far back must stay ({reason})"
        if measured.family.kind == "release":
            return keep_last(limit, patterns=pattern), f"the newest {measured.base} releases stay{more}"
        return expire_older_than(limit, patterns=pattern), f"temporary images stay for {measured.base} days{more}"


def _reasons(run: Run, whys: Sequence[str]) -> tuple[RuleReason, ...]:
    going = {run.positions[d] for d in (*run.expired, *run.transitioned)}
    keeps, takes = [0] * len(run.policy), [0] * len(run.policy)
    for position, number in enumerate(run.first):
        if number >= 0:
            (takes if position in going else keeps)[number] += 1
    return tuple(
        RuleReason(priority=rule.priority, rule=str(rule), why=why, keeps=keeps[n], takes=takes[n])
        for n, (rule, why) in enumerate(zip(run.policy, whys, strict=True))
    )


def _why_none(tried: Sequence[_Attempt], inventory: Inventory) -> list[str]:
    found: dict[str, None] = {}
    for attempt in tried:
        if not attempt.parts:
            return ["no rule would take anything that may go: there is no family of tags, and untagged referrers stay"]
        if attempt.run is None:
            found[f"{attempt.name}: needs {len(attempt.parts)} rules, ECR takes {MOST_RULES}: {attempt.fault}"] = None
        for digest in attempt.loses[:5]:
            outcome = attempt.run.outcome(digest).explain() if attempt.run is not None else digest
            found[f"{attempt.name}: must stay and would go: {outcome}"] = None
    return list(found) or [f"nothing was tried on {counted(len(inventory), 'image')}"]


def _over_budget(best: _Attempt, goal: Goal, inventory: Inventory, must: Mapping[str, tuple[str, ...]]) -> list[str]:
    if goal.max_bytes is None:
        return []
    if best.left.high is None and best.left.low <= goal.max_bytes:
        return [f"max_bytes: nobody can say what the best policy leaves ({best.left}); read the manifests"]
    if best.weight <= goal.max_bytes:
        return []
    conflicts = [f"max_bytes: the best policy leaves {best.left}, more than {ByteRange.exactly(goal.max_bytes)}"]
    groups: dict[str, list[str]] = {}
    for digest, reasons in must.items():
        groups.setdefault(_part_of_goal(reasons[0]), []).append(digest)
    conflicts += [
        f"{part}: {counted(len(digests), 'image')} with {stored_bytes(inventory, digests)} must stay for it"
        for part, digests in sorted(groups.items())
    ]
    others = len(best.run.kept) - len(must) if best.run is not None else 0
    if others > 0:
        stay = counted(others, "more image stays", "more images stay")
        conflicts.append(f"no part: {stay}, of moving tags, of indexes or of no family")
    return conflicts


def _part_of_goal(reason: str) -> str:
    starts = {
        "in use": "in_use", "tags like": "never_delete", "pushed within": "keep_days", "one of": "keep_releases",
        "holds": "in_use", "refers": "referrers", "a step": "rollback_depth", "untagged": "untagged_days",
    }  # fmt: skip
    return next((part for start, part in starts.items() if reason.startswith(start)), "temporary_days")


def _warnings(
    inventory: Inventory, goal: Goal, families: Sequence[Family], in_use: InUse | None, referrers: int
) -> Iterable[str]:
    if referrers:
        held = counted(referrers, "untagged referrer", "untagged referrers")
        yield (
            f"untagged images: {held} (signatures, SBOMs) of images that stay would be taken by a rule for untagged "
            "images; so there is none, and untagged images that nobody needs stay too"
        )
    if goal.keep_days and any(f.kind == "release" for f in families):
        yield (
            f"keep_days for releases: ECR counts them, so a burst of more than the count within {goal.keep_days} days "
            "expires young ones; the proof holds for today's images"
        )
    if in_use is not None:
        for gap in in_use.gaps:
            yield f"what runs is not wholly known: {gap}"
        for use in in_use.in_inventory(inventory).unresolved:
            yield f"in use, but not in the repository: {use}"
    if inventory.opaque_indexes:
        unread = counted(len(inventory.opaque_indexes), "index was", "indexes were")
        yield f"{unread} not read: what they hold is unknown"
