"""The tour: a lifecycle policy from the question to the proof, on an embedded ECR."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Final

import attrs

from ecrkit._internal.tables import size
from ecrkit.client import Registry
from ecrkit.demo.telling import Teller
from ecrkit.demo.world import DAYS, MAIN, REPOSITORIES, build, in_use
from ecrkit.errors import EcrkitError, PlanRefused
from ecrkit.images import Inventory, freed_by, naive_bytes, stored_bytes
from ecrkit.lifecycle import (
    LifecyclePolicy,
    Outcome,
    Plan,
    Run,
    expire_older_than,
    expire_untagged,
    keep_last,
    lint,
    protect,
)
from ecrkit.lifecycle import build as policy_of
from ecrkit.local import LifecyclePolicyExecuted

__all__ = ["TourFailed", "run_tour"]

COPIED: Final = """{"rules": [
  {"rulePriority": 1, "description": "keep 5 releases",
   "selection": {"tagStatus": "tagged", "tagPrefixList": ["prod-", "v1.", "v2."],
                 "countType": "imageCountMoreThan", "countNumber": 5},
   "action": {"type": "expire"}},
  {"rulePriority": 2, "description": "keep branches for 14 days",
   "selection": {"tagStatus": "tagged", "tagPrefixList": ["dev-", "feature-", "pr-"],
                 "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14},
   "action": {"type": "expire"}},
  {"rulePriority": 3, "description": "keep 7 test builds",
   "selection": {"tagStatus": "tagged", "tagPrefixList": ["nightly-", "test-"],
                 "countType": "imageCountMoreThan", "countNumber": 7},
   "action": {"type": "expire"}}
]}"""

_PARTS: Final = (
    keep_last(5, prefixes=["prod-", "v1.", "v2."]),
    expire_older_than(14, prefixes=["dev-", "feature-", "pr-"]),
    keep_last(7, prefixes=["nightly-", "test-"]),
    expire_untagged(after_days=7),
)
_PARTS_TEXT: Final = """build(
    keep_last(5, prefixes=["prod-", "v1.", "v2."]),
    expire_older_than(14, prefixes=["dev-", "feature-", "pr-"]),
    keep_last(7, prefixes=["nightly-", "test-"]),
    expire_untagged(after_days=7),
)"""
_SHOWN: Final = ("too-old", "beyond-count", "follows-subject", "blocked-by-index", "within-count", "no-rule-selects-it")


class TourFailed(EcrkitError):
    """Something did not happen as the tour tells it."""


@attrs.frozen(kw_only=True)
class _Checked:
    """What one repository lost, beside what was said before."""

    repository: str
    said: frozenset[str]
    gone: frozenset[str]
    wrong_rule: tuple[str, ...]
    freed_said: int | None
    freed: int

    @property
    def agrees(self) -> bool:
        return self.said == self.gone and not self.wrong_rule and self.freed_said == self.freed


def run_tour(teller: Teller) -> int:
    """Tell the whole tour; return 0, or 1 when the registry did not do what the dry run said."""
    teller.line("ecrkit tour: what a lifecycle policy will delete, known before it does")
    teller.say(
        "Everything below happens in this process, on an embedded ECR with a clock of its own: no account, no "
        "network, nothing to clean up."
    )
    engine, pushes = build()
    with Registry.local(engine) as registry:
        inventories = _estate(teller, registry, pushes)
        copied = LifecyclePolicy.parse(COPIED)
        _copied(teller, registry, copied)
        runs = _repaired(teller, registry, copied)
        _reasons(teller, runs[MAIN], inventories[MAIN])
        plans, runs = _plans(teller, registry, runs)
        return _proof(teller, registry, inventories, plans, runs)


def _estate(teller: Teller, registry: Registry, pushes: int) -> dict[str, Inventory]:
    """Tell what is there; return every repository's inventory with all manifests read."""
    teller.section("The registry")
    teller.say(
        f"{len(REPOSITORIES)} repositories of three teams after {DAYS} days and {pushes:,} pushes of real images that "
        "share their layers. (The images are small, so that the tour is quick.)"
    )
    found: dict[str, Inventory] = {}
    rows: list[tuple[object, ...]] = []
    totals = [0, 0, 0, 0, 0]
    for repo in REPOSITORIES:
        inventory = registry.inventory(repo.name)
        manifests = registry.gateway.manifests(repo.name, [image.digest for image in inventory])
        inventory = found[repo.name] = inventory.with_manifests(manifests.values())
        tagged = sum(bool(image.tags) for image in inventory)
        numbers = [
            len(inventory), tagged, sum(image.is_index for image in inventory), naive_bytes(inventory),
            stored_bytes(inventory).low,
        ]  # fmt: skip
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
        rows.append((repo.name, *numbers[:3], size(numbers[3]), stored_bytes(inventory)))
    rows.append(("all", *totals[:3], size(totals[3]), size(totals[4])))
    header = ("repository", "images", "tagged", "indexes", "sum of sizes", "stored")
    teller.table(header, rows, right=range(1, 6))
    teller.say(
        "'Sum of sizes' is what scripts add up from DescribeImages. 'Stored' counts each layer once in its repository, "
        "as ECR stores it."
    )
    return found


def _copied(teller: Teller, registry: Registry, policy: LifecyclePolicy) -> None:
    teller.section("A policy that many teams copy")
    teller.say("Three rules. Their lists of prefixes are meant as alternatives: prod- or v1. or v2.")
    teller.code(COPIED)
    run = registry.lifecycle.dry_run(MAIN, policy)
    teller.say(f"The dry run on {MAIN} reads and writes nothing. Of {len(run.images)} images it would expire:")
    teller.table(
        ("rule", "its list", "images selected", "expired"),
        [
            (
                chosen.rule.priority,
                ", ".join(chosen.rule.tag_entries),
                len(chosen.members),
                sum(run.outcome(d).rule_priority == chosen.rule.priority for d in run.expired),
            )
            for chosen in run.selected
        ],
        right=(0, 2, 3),
    )
    teller.say("Why so few? The lint looks at the policy against these very images:")
    teller.points(str(advice) for advice in lint(run) if advice.code in ("and-trap", "unselected-images"))


def _repaired(teller: Teller, registry: Registry, copied: LifecyclePolicy) -> dict[str, Run]:
    teller.section("The policy as it was meant")
    teller.say(
        "A rule for each prefix, and one for untagged images, which no rule selected. The builder takes a list as "
        "alternatives and writes the rules:"
    )
    teller.code(_PARTS_TEXT)
    policy = policy_of(*_PARTS)
    teller.code(str(policy))
    teller.say("Dry runs of both policies:")
    rows: list[tuple[object, ...]] = []
    runs: dict[str, Run] = {}
    totals = [0, 0, 0, 0]
    for repo in REPOSITORIES:
        before = registry.lifecycle.dry_run(repo.name, copied)
        run = runs[repo.name] = registry.lifecycle.dry_run(repo.name, policy)
        numbers = [len(run.images), len(before.expired), len(_going(run)), len(run.blocked)]
        totals = [total + number for total, number in zip(totals, numbers, strict=True)]
        rows.append((repo.name, *numbers))
    header = ("repository", "images", "copied: would go", "repaired: would go", "held by an index")
    teller.table(header, [*rows, ("all", *totals)], right=range(1, 5))
    return runs


def _going(run: Run) -> tuple[str, ...]:
    return (*run.expired, *run.transitioned, *run.cascaded)


def _reasons(teller: Teller, run: Run, inventory: Inventory) -> None:
    teller.section("What would go, and why")
    teller.say(f"Every image of {MAIN} has an outcome with its reason, also those that stay:")
    outcomes = list(run.outcomes())
    counts = {reason: sum(o.reason == reason for o in outcomes) for reason in _SHOWN}
    teller.table(
        ("reason", "images", "outcome"),
        [(reason, count, _fate(reason)) for reason, count in counts.items() if count],
        right=(1,),
    )
    teller.say("One of each, in the words of explain():")
    # An image with tags tells more than one of the untagged, of which there is also one.
    told = [
        next(o for o in sorted(outcomes, key=_untagged) if o.reason == reason) for reason in _SHOWN if counts[reason]
    ]
    teller.points(outcome.explain() for outcome in told)
    going = _going(run)
    freed, naive = freed_by(inventory, going), naive_bytes(inventory, going)
    teller.say(f"How much is freed by the {len(going)} images that would go?")
    teller.table(
        ("way of counting", "bytes", ""),
        [
            ("sum of the sizes that DescribeImages shows", f"{naive:,}", size(naive)),
            ("layers that no remaining image uses, each once", f"{freed.low:,}", freed),
        ],
        right=(1, 2),
    )
    teller.say(
        f"The sum is {naive / freed.low:.0f} times too much: most layers are shared with images that stay, and an "
        "index repeats the size of its largest image."
    )


def _untagged(outcome: Outcome) -> bool:
    return not outcome.tags


def _fate(reason: str) -> str:
    return "goes" if reason in ("too-old", "beyond-count", "follows-subject") else "stays"


def _plans(teller: Teller, registry: Registry, runs: Mapping[str, Run]) -> tuple[dict[str, Plan], dict[str, Run]]:
    """Make the plans to apply, and return them with the runs that they rest on."""
    teller.section("An image in use")
    running = in_use()
    teller.say("A deployment still runs a release of January, as its pods name it:")
    teller.code("\n".join(running))
    teller.say("A plan is made with what is in use, and refused when it would delete any of that:")
    policy = policy_of(*_PARTS)
    try:
        registry.lifecycle.plan(MAIN, policy, protect=running)
    except PlanRefused as refusal:
        teller.line()
        teller.line(f"  PlanRefused, {len(refusal.conflicts)} conflicts:")
        teller.points(
            (conflict.partition(".amazonaws.com/")[2] or conflict for conflict in refusal.conflicts), mark="!"
        )
    else:
        raise TourFailed("the plan to delete an image in use was not refused")
    kept = policy_of(protect(patterns="prod-20260113"), *_PARTS)
    teller.say(
        "Its two platform images are named as well, because an index in use needs them. A rule in front of all others "
        "shields the release:"
    )
    teller.code(
        f'policy = build(protect(patterns="prod-20260113"), ...)\n{kept.rules[0]}\n'
        f"plan = registry.lifecycle.plan({MAIN!r}, policy, protect=in_use)"
    )
    plans: dict[str, Plan] = {}
    found = dict(runs) | {MAIN: registry.lifecycle.dry_run(MAIN, kept)}
    for repo in REPOSITORIES:
        plans[repo.name] = registry.lifecycle.plan(repo.name, kept if repo.name == MAIN else policy, protect=running)
    teller.say(
        f"The plan for {MAIN} is now accepted: {len(plans[MAIN].actions)} images would go instead of "
        f"{len(_going(runs[MAIN]))}. The other {len(plans) - 1} repositories keep the repaired policy."
    )
    return plans, found


def _proof(
    teller: Teller,
    registry: Registry,
    inventories: Mapping[str, Inventory],
    plans: Mapping[str, Plan],
    runs: Mapping[str, Run],
) -> int:
    teller.section("Apply, wait a day, compare")
    teller.say(
        "apply() reads the registry again, refuses if an outcome has changed, and puts the policy. Then the clock of "
        "the embedded ECR moves on by a day, in which it runs the policies and deletes."
    )
    engine = registry.engine
    embedded = engine.registry()
    before = {name: (_digests(registry, name), embedded.stored_bytes(name)) for name in plans}
    seen = len(engine.events)
    for plan in plans.values():
        registry.lifecycle.apply(plan)
    engine.advance(dt.timedelta(days=1))
    acted = {
        (event.repository, action.digest): action.rule_priority
        for event in engine.events[seen:]
        if isinstance(event, LifecyclePolicyExecuted)
        for action in event.actions
    }
    checked: list[_Checked] = []
    for name, run in runs.items():
        there, bytes_before = before[name]
        wrong = [d for d in run.expired if acted.get((name, d)) != run.outcome(d).rule_priority]
        checked.append(
            _Checked(
                repository=name,
                said=frozenset(_going(run)),
                gone=there - _digests(registry, name),
                wrong_rule=tuple(wrong),
                freed_said=freed_by(inventories[name], _going(run)).exact,
                freed=bytes_before - embedded.stored_bytes(name),
            )
        )
    return _verdict(teller, checked)


def _digests(registry: Registry, name: str) -> frozenset[str]:
    return frozenset(image.digest for image in registry.images(name))


def _verdict(teller: Teller, checked: list[_Checked]) -> int:
    rows = [
        (
            one.repository,
            len(one.said),
            len(one.gone),
            "unknown" if one.freed_said is None else f"{one.freed_said:,}",
            f"{one.freed:,}",
            "yes" if one.agrees else "NO",
        )
        for one in checked
    ]
    header = ("repository", "said to go", "deleted", "bytes said", "bytes freed", "same images, rules, bytes")
    teller.table(header, rows, right=range(1, 5))
    wrong = [one for one in checked if not one.agrees]
    if wrong:
        for one in wrong:
            teller.say(f"{one.repository} differs:")
            teller.points([f"said to go and still there: {d}" for d in sorted(one.said - one.gone)])
            teller.points([f"deleted and not said: {d}" for d in sorted(one.gone - one.said)])
            teller.points([f"deleted by another rule than said: {d}" for d in one.wrong_rule])
        return 1
    total = sum(len(one.gone) for one in checked)
    teller.say(
        f"The registry deleted {total:,} images, and they are the {total:,} that the dry run named, image by image. "
        "Each rule acted on the images it was said to act on, and the bytes freed are those said, to the byte."
    )
    teller.section("Your own repository")
    teller.say("The same on your data needs no account here, only two files. Both calls only read:")
    teller.code(
        "aws ecr describe-images --repository-name team/app --filter imageStatus=ANY > images.json\n"
        "aws ecr get-lifecycle-policy --repository-name team/app > policy.json\n"
        "python -m ecrkit.demo --images images.json --policy policy.json"
    )
    return 0
