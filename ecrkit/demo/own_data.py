"""The dry run on the reader's own files."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable
from typing import Final

from ecrkit._internal.tables import size
from ecrkit._internal.times import iso
from ecrkit.demo.files import read_images, read_manifests, read_policy
from ecrkit.demo.telling import Teller
from ecrkit.images import Inventory, freed_by, naive_bytes
from ecrkit.lifecycle import LifecyclePolicy, Outcome, Run, lint, simulate

__all__ = ["run_on_files"]

_ROWS: Final = 12
_GOES: Final = frozenset({"too-old", "beyond-count", "follows-subject"})
_LONGEST_TAGS: Final = 40


def run_on_files(
    teller: Teller,
    images: Iterable[str],
    policy: str,
    *,
    manifests: Iterable[str] = (),
    now: dt.datetime,
) -> int:
    """Tell what the policy would do to the images of the files; return 0.

    Raises:
        InvalidInput: a file is not what it should be; `problems` names every fault with file and JSON path.
    """
    chosen = read_policy(policy)
    found = read_images(images, now=now)
    raw = read_manifests(manifests)
    count = sum(len(inventory) for inventory in found.inventories)
    teller.line(f"Dry run of {policy} on {_counted(count, 'image')}, as of {iso(now)}; nothing is changed anywhere")
    notes = [*found.notes, *_archive_note(chosen, found.inventories)]
    notes += [f"policy: {problem}" for problem in chosen.warnings]
    if notes:
        teller.points(notes, mark="note:")
    teller.section("The policy, as ECR reads it")
    teller.code(str(chosen))
    if not found.inventories:
        teller.say("The files hold no image, so nothing would go.")
    for inventory in found.inventories:
        known = [manifest for manifest in raw if manifest.digest in inventory]
        _one(teller, chosen, inventory.with_manifests(known), now)
    return 0


def _archive_note(policy: LifecyclePolicy, inventories: Iterable[Inventory]) -> list[str]:
    archives = any("archive" in (rule.storage_class, *rule.to_policy()["action"].values()) for rule in policy)
    if not archives or any(image.status != "ACTIVE" for inventory in inventories for image in inventory):
        return []
    note = "the policy speaks of archived images and the files hold none; describe-images lists them only with "
    return [note + "--filter imageStatus=ANY"]


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _one(teller: Teller, policy: LifecyclePolicy, inventory: Inventory, now: dt.datetime) -> None:
    run = simulate(policy, inventory, now=now)
    going = (*run.expired, *run.transitioned, *run.cascaded)
    teller.section(inventory.repository or "The repository")
    parts = [
        f"of {_counted(len(run.images), 'image')} {len(run.expired):,} would be expired",
        f"{len(run.transitioned):,} archived" if run.transitioned else "",
        f"{_counted(len(run.cascaded), 'referrer')} deleted with their subject" if run.cascaded else "",
        f"{len(run.kept):,} kept",
        f"{len(run.blocked):,} of them because an index holds them" if run.blocked else "",
    ]
    said = ", ".join(part for part in parts if part)
    teller.say(f"{said[0].upper()}{said[1:]}.")
    _doubts(teller, run)
    outcomes = list(run.outcomes())
    reasons = Counter(outcome.reason for outcome in outcomes)
    teller.table(
        ("reason", "images", "outcome"),
        [(reason, count, "goes" if reason in _GOES else "stays") for reason, count in reasons.most_common()],
        right=(1,),
    )
    if going:
        _list(teller, run, going)
        _bytes(teller, inventory, run)
    advice = [str(one) for one in lint(run) if one.code not in ("opaque-indexes", "uncertain")]
    if advice:
        teller.say("What the lint finds in this policy on these images:")
        teller.points(advice)
    stay = [outcome for outcome in outcomes if outcome.action == "keep"]
    if stay:
        teller.say("Why the others stay, one for each reason:")
        teller.points(_first_of_each(stay))


def _first_of_each(outcomes: list[Outcome]) -> list[str]:
    found: dict[str, str] = {}
    for outcome in outcomes:
        found.setdefault(outcome.reason, outcome.explain())
    return list(found.values())


def _doubts(teller: Teller, run: Run) -> None:
    opaque = run.inventory.opaque_indexes
    notes: list[str] = []
    if opaque:
        several = f"{len(opaque):,} indexes have" if len(opaque) > 1 else "1 index has"
        notes.append(
            f"{several} unknown children. describe-images does not say which images an index holds, and ECR deletes "
            "none that is held, so some of those that would go may stay. To know, save the manifests of the indexes "
            "with aws ecr batch-get-image and name the file with --manifests"
        )
    missing = sum(len(children) for children in run.inventory.missing_children.values())
    if missing:
        notes.append(f"{missing:,} children of indexes are not among the images")
    notes += [str(fault) for fault in run.inventory.faulty_manifests.values()]
    notes += [text for text in run.warnings if "unknown children" not in text]
    if notes:
        teller.points(notes, mark="not certain:")


def _list(teller: Teller, run: Run, going: tuple[str, ...]) -> None:
    rows: list[tuple[object, ...]] = []
    for digest in going[:_ROWS]:
        outcome, image = run.outcome(digest), run.inventory[digest]
        tags = ",".join(image.tags) or "-"
        rows.append(
            (
                outcome.action,
                "" if outcome.rule_priority is None else outcome.rule_priority,
                tags if len(tags) <= _LONGEST_TAGS else tags[: _LONGEST_TAGS - 3] + "...",
                digest[7:19],
                "unknown" if image.size is None else size(image.size),
                outcome.why,
            )
        )
    teller.say("What goes, longest in its storage class first:")
    teller.table(("action", "rule", "tags", "digest", "size", "why"), rows, right=(1, 4))
    if len(going) > _ROWS:
        teller.say(f"and {len(going) - _ROWS:,} more; in Python, simulate(...).to_csv() lists every image.")


def _bytes(teller: Teller, inventory: Inventory, run: Run) -> None:
    going = (*run.expired, *run.cascaded)
    if not going:
        return
    naive, freed = naive_bytes(inventory, going), freed_by(inventory, going)
    teller.say(
        f"Bytes: the sizes of what would be deleted add up to {size(naive)}, in which shared layers count many times. "
        f"Freed: {freed}" + ("." if freed.exact is not None else f", because {'; '.join(freed.reasons)}.")
    )
