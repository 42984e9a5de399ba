"""How to keep images in use under a policy that would take them: rules that shield, or tags that do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import text_table
from ecrkit.deployments.in_use import InUse
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.builder import protect
from ecrkit.lifecycle.goal import PROTECTED, holders_of, protective_tags, with_tags
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import simulate

__all__ = ["Protection", "Shield", "protections"]

_MOST_RULES: Final = 50
_NEVER: Final = 36_500
"""Days in the archive that no image reaches: a rule that selects and takes nothing."""


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Shield(Record):
    """One way to keep the images: a policy, and the tags to put before it is put.

    `kept` says how many images stay that would have gone; `proved` whether the dry run keeps every one in use. A way
    that ECR would refuse has no policy, and `fault` says why.
    """

    way: Literal["rules", "tags"]
    policy: LifecyclePolicy | None
    tags: Mapping[str, str]
    more_rules: int
    proved: bool
    kept: int = 0
    fault: str = ""

    @override
    def __repr__(self) -> str:
        how = f"{counted(self.more_rules, 'more rule')}, {counted(len(self.tags), 'tag')} to put"
        return f"<Shield by {self.way}: {how}, {'proved' if self.proved else self.fault or 'does not keep all'}>"


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Protection:
    """The images in use that a policy would take, and the ways to keep them; `best` needs fewest changes."""

    run: Run
    endangered: tuple[str, ...]
    shields: tuple[Shield, ...]

    @property
    def best(self) -> Shield | None:
        """The proved way with the fewest rules and tags, rules before tags; None when there is none or no need."""
        proved = [shield for shield in self.shields if shield.proved]
        return min(proved, key=lambda s: (s.more_rules + len(s.tags), s.way), default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return the protection as a JSON-ready mapping."""
        return {"endangered": list(self.endangered), "shields": [shield.to_dict() for shield in self.shields]}

    def to_text(self) -> str:
        """Return the images in use that would go, with what runs them, and the ways to keep them."""
        rows = [
            (",".join(out.tags) or "-", digest[:19], out.rule_priority, "; ".join(out.used_by[:3]))
            for digest in self.endangered
            for out in (self.run.outcome(digest),)
        ]
        table = text_table(("tags", "digest", "rule", "in use by"), rows)
        return "\n".join([repr(self)[1:-1], *([table] if rows else []), *(repr(s)[1:-1] for s in self.shields)])

    @override
    def __repr__(self) -> str:
        name = self.run.inventory.repository
        return f"<Protection of {name}: {counted(len(self.endangered), 'image')} in use would go>"


def protections(
    policy: LifecyclePolicy | str | Mapping[str, Any],
    inventory: Inventory,
    in_use: InUse,
    *,
    now: dt.datetime,
    count_children: bool = True,
) -> Protection:
    """Return the images in use that the policy would take, and the smallest changes that keep them, proved by dry runs.

    Two ways are tried. By `rules`: one rule more for each image, on one of its tags, before all others; an untagged
    image needs a tag first. By `tags`: one rule more, and one tag for each image. What an index holds is kept by
    keeping the index. An archived image is shielded by a rule on its tag; one without a tag must be restored first.

    Raises:
        LifecyclePolicyError: it is no valid policy.
        InvalidInput: the inventory names no repository.

    Example:
        >>> from ecrkit.deployments import Use, Workload
        >>> from ecrkit.lifecycle import build, keep_last
        >>> images = [{"imageDigest": "sha256:" + c * 64, "imageTags": [c], "imagePushedAt": 1767225600 + n}
        ...           for n, c in enumerate("abc")]
        >>> api = Use(reference="123456789012.dkr.ecr.us-east-1.amazonaws.com/app:a",
        ...           workload=Workload(platform="ecs", kind="Service", name="api"))
        >>> found = protections(build(keep_last(1)), Inventory.from_api(images, repository="app"), InUse([api]),
        ...                     now=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
        >>> print(found.best.policy)
        rule 1: expire images tagged a beyond the newest 1000000
        rule 2: expire all images beyond the newest 1
    """
    run = simulate(policy, inventory, now=now, count_children=count_children, in_use=in_use)
    if not run.endangered:
        return Protection(run=run, endangered=(), shields=())
    wanted = _wanted(run)
    active = [d for d in wanted if inventory[d].storage_class == "standard"]
    every = protective_tags(inventory, active)
    bare = {d: tag for d, tag in every.items() if not inventory[d].tags}
    singles = [bare.get(d) or inventory[d].tags[0] for d in active]
    # A tag cannot be put on an archived image without restoring it.
    archived = [inventory[d].tags[0] for d in wanted if inventory[d].storage_class == "archive" and inventory[d].tags]
    return Protection(
        run=run,
        endangered=run.endangered,
        shields=(
            _shield(run, "rules", singles, bare, archived),
            _shield(run, "tags", [f"{PROTECTED}*"] * bool(every), every, archived),
        ),
    )


def _wanted(run: Run) -> list[str]:
    """Return the images to shield: with them everything in use stays that would have gone.

    Children stay with their index, unless that is archived; a referrer stays only with its subject, too.
    """
    inventory = run.inventory
    going = {*run.expired, *run.transitioned, *run.cascaded}
    found: dict[str, None] = {}
    covered: set[str] = set()

    def shield(digest: str) -> None:
        found[digest] = None
        waiting = [digest]
        while waiting:
            at = waiting.pop()
            if at in covered:
                continue
            covered.add(at)
            if inventory[at].status != "ARCHIVED":
                waiting += [child for child in inventory.children_of(at) if child in inventory]

    def shield_all(digest: str) -> None:
        at: str | None = digest
        while at is not None and at in going and at not in covered:
            shield(at)
            at = inventory.subject_of(at)

    held = [d for d in run.endangered if any(p.digest in run.used for p in holders_of(inventory, d))]
    for digest in (*(d for d in run.endangered if d not in set(held)), *held):
        if digest not in covered:
            shield_all(digest)
    for digest in run.endangered:  # what an index holds may refer to an image that goes
        subject = inventory.subject_of(digest)
        if subject is not None and not holders_of(inventory, digest):
            shield_all(subject)
    return list(found)


def _shield(
    run: Run, way: Literal["rules", "tags"], patterns: list[str], tags: Mapping[str, str], archived: list[str]
) -> Shield:
    before = [rule for pattern in patterns for rule in protect(patterns=[pattern]).rules()]
    before += [
        Rule(
            priority=1, tag_status="tagged", tag_patterns=(tag,), storage_class="archive",
            count_type="sinceImageTransitioned", count_number=_NEVER,
        )
        for tag in archived
    ]  # fmt: skip
    rules = [*before, *run.policy.rules]
    total = len(rules)
    try:
        if total > _MOST_RULES:
            return Shield(
                way=way, policy=None, tags=tags, more_rules=len(before), proved=False,
                fault=f"needs {total} rules, and ECR takes {_MOST_RULES}",
            )  # fmt: skip
        policy = LifecyclePolicy.of(*(attrs.evolve(rule, priority=n) for n, rule in enumerate(rules, 1)))
    except LifecyclePolicyError as fault:
        return Shield(way=way, policy=None, tags=tags, more_rules=len(before), proved=False, fault=str(fault))
    proof = simulate(policy, with_tags(run.inventory, tags), now=run.now, count_children=run.count_children)
    going = {*proof.expired, *proof.transitioned, *proof.cascaded}
    gone = {*run.expired, *run.transitioned, *run.cascaded}
    return Shield(
        way=way, policy=policy, tags=tags, more_rules=len(before), kept=len(gone - going),
        proved=not going & run.used.keys(),
    )  # fmt: skip
