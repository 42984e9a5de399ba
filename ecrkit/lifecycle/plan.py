"""A plan to put a policy: what it would do when it was made, so that it can be shown, saved and checked again."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Self

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput, InvalidReference, PlanRefused, Problem
from ecrkit.lifecycle._reading import member_problems
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.refs import ImageRef

if TYPE_CHECKING:
    from ecrkit.lifecycle.run import Run

__all__ = ["Plan", "make_plan", "protected_digests"]

_FORMAT = 1


@attrs.frozen(kw_only=True)
class Plan(Record):
    """What putting `policy_text` would do to a repository, as computed at `made_at`.

    `actions` maps each digest that goes to `expire` or `transition`; `protected` are the digests that must not go;
    `replaces` is the live policy at that time, as far as the caller knew it.
    """

    repository: str
    policy_text: str
    made_at: dt.datetime
    actions: Mapping[str, str] = attrs.field(hash=False)
    protected: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    accept_uncertain: bool = False
    count_children: bool = True
    replaces: str | None = None
    checks_replaced: bool = False
    format: int = _FORMAT

    @property
    def policy(self) -> LifecyclePolicy:
        """The policy to put."""
        return LifecyclePolicy.parse(self.policy_text)

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any] | str) -> Self:
        """Return the plan that `to_dict()` or `to_json()` saved.

        Raises:
            InvalidInput: not a saved plan, or of another format; nothing is guessed.
        """
        document: Any = saved
        if isinstance(saved, str):
            try:
                document = json.loads(saved)
            except (ValueError, RecursionError) as fault:
                raise InvalidInput.single("not a lifecycle plan", "$", f"is not JSON: {fault}") from None
        problems = _problems(document)
        if problems:
            raise InvalidInput("not a lifecycle plan", problems)
        LifecyclePolicy.parse(document["policy_text"])
        fields: dict[str, Any] = {**document, "made_at": parse_time(document["made_at"])}
        for name in ("protected", "protect"):
            fields[name] = tuple(document[name])
        return cls(**fields)


def _texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)


def _problems(saved: object) -> list[Problem]:
    if not isinstance(saved, Mapping):
        return [Problem("$", "must be an object")]
    problems = member_problems(Plan, saved, what="a plan")
    if problems:
        return problems
    if saved["format"] != _FORMAT:
        problems.append(Problem("$.format", f"must be {_FORMAT}"))
    for name in ("repository", "policy_text"):
        if not isinstance(saved[name], str):
            problems.append(Problem(f"$.{name}", "must be a string"))
    if saved["replaces"] is not None and not isinstance(saved["replaces"], str):
        problems.append(Problem("$.replaces", "must be a string or null"))
    for name in ("protected", "protect"):
        if not _texts(saved[name]):
            problems.append(Problem(f"$.{name}", "must be a list of strings"))
    for name in ("accept_uncertain", "count_children", "checks_replaced"):
        if not isinstance(saved[name], bool):
            problems.append(Problem(f"$.{name}", "must be true or false"))
    actions = saved["actions"]
    if not isinstance(actions, Mapping) or not all(v in ("expire", "transition") for v in actions.values()):
        problems.append(Problem("$.actions", "must map digests to expire or transition"))
    try:
        parse_time(saved["made_at"])
    except ValueError as fault:
        problems.append(Problem("$.made_at", str(fault)))
    return problems


def protected_digests(run: Run, protect: Iterable[object]) -> tuple[dict[str, str], list[str]]:
    """Return the digests that `protect` names, each with the name it was given, and the names that lead nowhere.

    A name is a digest, an `ImageRef`, the text of a reference, or a tag of the repository by itself; a reference to
    another repository concerns nothing here. A tag is looked up in the inventory. An image in use keeps everything that
    its index references in use. A name that leads nowhere comes with the reason.
    """
    found: dict[str, str] = {}
    unknown: list[str] = []
    if isinstance(protect, str | ImageRef):
        protect = (protect,)
    for item in protect:
        name = str(item)
        try:
            digest = _resolve(run, item)
        except InvalidReference as fault:
            what = "; ".join(problem.message for problem in fault.problems)
            unknown.append(f"{name}: names no image of ECR ({what}); leave out what other registries hold")
            continue
        if digest == "":
            continue
        if digest is None or digest not in run.inventory:
            unknown.append(f"{name}: not found in the repository, so nobody can say whether it would go")
            continue
        waiting = [digest]
        while waiting:
            at = waiting.pop()
            if at not in found:
                found[at] = name
                waiting += [d for d in run.inventory.children_of(at) if d in run.inventory]
    return found, unknown


def _resolve(run: Run, item: object) -> str | None:
    if isinstance(item, str) and item.startswith("sha256:"):
        return item
    if isinstance(item, str) and not set(item) & set("/:@") and (tagged := run.inventory.by_tag(item)) is not None:
        return tagged.digest  # it may be meant as the name of another repository: protecting too much harms nobody
    ref = item if isinstance(item, ImageRef) else ImageRef.parse(str(item))
    if run.inventory.repository and str(ref.repository) != run.inventory.repository:
        return ""  # another repository's image
    if ref.digest is not None:
        return str(ref.digest)
    image = run.inventory.by_tag(str(ref.tag or "latest"))
    return None if image is None else image.digest


def _unknown_uses(run: Run) -> list[str]:
    """Return why more images may be in use than are known to be."""
    missing = () if run.in_use is None else run.in_use.unresolved
    told = [f"in use, but not in the repository, so nobody can say what it is: {use}" for use in missing]
    return told + [f"what runs is not wholly known: {gap}" for gap in run.in_use_gaps]


def make_plan(run: Run, *, protect: Iterable[object] = (), accept_uncertain: bool = False) -> Plan:
    """Return the plan of a run, or refuse it.

    Args:
        run: the dry run that the plan rests on.
        protect: digests or references of images in use. None of them, nor what their indexes reference, may go.
        accept_uncertain: take outcomes that rest on unknown facts, such as the children of an index that was not read.

    Raises:
        PlanRefused: a protected image, or one that the run knows to be in use, would be expired or archived; a name of
            `protect` cannot be found; or the outcome, or what is in use, is uncertain and that was not accepted.
            `conflicts` names each, with the workloads.
    """
    protect = (protect,) if isinstance(protect, str | ImageRef) else tuple(protect)
    found, unknown = protected_digests(run, protect)
    conflicts = list(unknown)
    going = (*run.expired, *run.transitioned, *run.cascaded)
    conflicts += [f"{found[d]}: {run.outcome(d).explain()}" for d in going if d in found]
    if not run.certain and not accept_uncertain:
        conflicts += [f"uncertain: {text}" for text in run.warnings if not text.startswith("rule ")]
    conflicts += [run.outcome(d).explain() for d in run.endangered if d not in found]
    conflicts += _unknown_uses(run) if going and not accept_uncertain else []
    if conflicts:
        raise PlanRefused(
            f"the plan for {run.inventory.repository or 'the repository'} is refused: " + "; ".join(conflicts[:5]),
            conflicts=conflicts,
        )
    return Plan(
        repository=run.inventory.repository,
        policy_text=run.policy.to_json(),
        made_at=run.now,
        actions={digest: run.outcome(digest).action for digest in going},
        protected=tuple(sorted({*found, *run.used})),
        protect=tuple(str(item) for item in protect),
        accept_uncertain=accept_uncertain,
        count_children=run.count_children,
    )
