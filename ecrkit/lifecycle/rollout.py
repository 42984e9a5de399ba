"""Policies put in waves: a few repositories first, and a stop when a run removes other than was foreseen.

A roll-out is a record that can be saved between its steps, since ECR takes up to a day for each wave. `begin` makes it,
`LifecycleService.advance` takes it as far as it goes now: puts the policies of a wave, or looks at what they did.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Self

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time, require_aware
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle._reading import member_problems
from ecrkit.lifecycle.plan import Plan
from ecrkit.records import Image

__all__ = ["Before", "Observed", "RollOut", "Status", "WaveStep", "begin", "judge"]

_FORMAT: Final = 1
_SETTLES: Final = dt.timedelta(hours=48)
Status = Literal["ready", "waiting", "stopped", "done"]


def _waves(waves: Iterable[Iterable[Plan]]) -> tuple[tuple[Plan, ...], ...]:
    return tuple(tuple(wave) for wave in waves)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _images(values: Iterable[Image]) -> tuple[Image, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Before(Record):
    """What a repository held when its policy was put: its images, and what its indexes referenced."""

    images: tuple[Image, ...] = attrs.field(converter=_images)
    children: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, hash=False)

    @classmethod
    def of(cls, inventory: Inventory) -> Self:
        """Return what the inventory holds."""
        return cls(images=(attrs.evolve(image, scan=None) for image in inventory), children=inventory.children)


@attrs.frozen(kw_only=True, repr=False)
class RollOut(Record):
    """Where a staged roll-out stands.

    `wave` is the number of the wave at hand, from 0. `ready` waits for its policies to be put, `waiting` for ECR to
    have run them; `stopped` says why in `reasons`, and goes no further. `put_at` tells when each repository's policy
    was put, `before` what the repository held then.
    """

    waves: tuple[tuple[Plan, ...], ...] = attrs.field(converter=_waves, hash=False)
    wave: int = 0
    status: Status = "ready"
    put_at: Mapping[str, dt.datetime] = attrs.field(factory=dict, hash=False)
    before: Mapping[str, Before] = attrs.field(factory=dict, hash=False)
    finished: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    reasons: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    format: int = _FORMAT

    @property
    def at_hand(self) -> tuple[Plan, ...]:
        """The plans of the wave at hand; empty when it is done."""
        return self.waves[self.wave] if self.wave < len(self.waves) else ()

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any] | str) -> Self:
        """Return the roll-out that `to_dict()` or `to_json()` saved.

        Raises:
            InvalidInput: it is no saved roll-out, or of another format; nothing is guessed.
        """
        document: Any = saved
        if isinstance(saved, str):
            try:
                document = json.loads(saved)
            except (ValueError, RecursionError) as fault:
                raise InvalidInput.single("not a roll-out", "$", f"is not JSON: {fault}") from None
        problems = _problems(document)
        if problems:
            raise InvalidInput("not a roll-out", problems)
        before = {name: _before(held, f"$.before.{name}", problems) for name, held in document["before"].items()}
        waves: list[list[Plan]] = []
        for n, wave in enumerate(document["waves"]):
            waves.append([])
            for m, plan in enumerate(wave):
                try:
                    waves[-1].append(Plan.from_dict(plan))
                except InvalidInput as fault:
                    problems += [
                        Problem(f"$.waves[{n}][{m}]{p.path.removeprefix('$')}", p.message) for p in fault.problems
                    ]
        if not problems:
            problems = _missing(document, waves)
        if problems:
            raise InvalidInput("not a roll-out", problems)
        return cls(
            waves=waves, wave=document["wave"], status=document["status"],
            put_at={name: parse_time(at) for name, at in document["put_at"].items()},
            finished=document["finished"], reasons=document["reasons"],
            before={name: held for name, held in before.items() if held is not None},
        )  # fmt: skip

    @override
    def __repr__(self) -> str:
        total = sum(map(len, self.waves))
        why = f": {self.reasons[0]}" if self.reasons else ""
        return (
            f"<RollOut {self.status}, wave {min(self.wave + 1, len(self.waves))} of {len(self.waves)}, "
            f"{len(self.finished)} of {counted(total, 'repository', 'repositories')} finished{why}>"
        )


def begin(plans: Iterable[Plan], *, shares: Sequence[float] = (0.01, 0.1, 0.5, 1.0)) -> RollOut:
    """Return a roll-out of the plans, those that remove fewest images first. Nothing is put.

    Args:
        plans: one for each repository.
        shares: how much of all repositories each wave reaches, added up; the last must be 1. A wave that would reach no
            further than the one before is left out.

    Raises:
        InvalidInput: there are two plans for one repository, one names none, or the shares do not grow to 1.

    Example:
        >>> at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        >>> plans = [Plan(repository=f"app{n}", policy_text="", made_at=at, actions={}) for n in range(10)]
        >>> [len(wave) for wave in begin(plans).waves]
        [1, 4, 5]
    """
    ordered = sorted(plans, key=lambda plan: (len(plan.actions), plan.repository))
    problems = [Problem("plans", f"{name} has more than one") for name in _twice(plan.repository for plan in ordered)]
    if any(not plan.repository for plan in ordered):
        problems.append(
            Problem("plans", "one names no repository; plan on an inventory that was made with repository=")
        )
    growing = list(shares) == sorted(set(shares)) and bool(shares) and shares[0] > 0 and shares[-1] == 1
    if not growing:
        problems.append(Problem("shares", f"must grow from above 0 to 1, not {tuple(shares)!r:.80}"))
    if problems:
        raise InvalidInput("no roll-out", problems)
    waves: list[tuple[Plan, ...]] = []
    reached = 0
    for share in shares:
        upto = min(len(ordered), max(1, round(share * len(ordered))))
        if upto > reached:
            waves.append(tuple(ordered[reached:upto]))
            reached = upto
    return RollOut(waves=waves, status="ready" if waves else "done")


def _twice(names: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    found: dict[str, None] = {}
    for name in names:
        if name in seen:
            found[name] = None
        seen.add(name)
    return list(found)


@attrs.frozen(kw_only=True)
class Observed(Record):
    """What can be seen of one repository after its policy was put: what is gone or archived, and whether ECR ran.

    `ran_at` is when the policy was last evaluated. `legitimate` are images that were not foreseen and that the policy
    may take by now all the same: they came of age, or newer pushes moved them beyond a count. `policy_is_live` says
    whether the policy that was put is still the live one.
    """

    repository: str
    gone: frozenset[str]
    archived: frozenset[str]
    ran_at: dt.datetime | None
    legitimate: frozenset[str] = frozenset()
    policy_is_live: bool = True


@attrs.frozen(kw_only=True)
class WaveStep(Record):
    """What one look at a wave says: `waiting` repositories, those that are `finished`, and why to stop, if so."""

    waiting: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


def judge(roll_out: RollOut, observed: Mapping[str, Observed], *, now: dt.datetime) -> WaveStep:
    """Return what the observations of the wave at hand say. A repository without one counts as not seen: waiting.

    It is finished when ECR has run the policy since it was put, everything that was foreseen went, and nothing else
    did. Anything unforeseen, a policy that somebody replaced, or images that are still there after 48 hours stop the
    roll-out: the dry run and ECR do not agree, and nobody should put more policies before knowing why.
    """
    now = require_aware(now, "now")
    waiting, finished, reasons = [], [], []
    for plan in roll_out.at_hand:
        name = plan.repository
        if name in roll_out.finished:
            finished.append(name)
            continue
        seen, put_at = observed.get(name), roll_out.put_at[name]
        if seen is None:
            waiting.append(name)
            if now - put_at > _SETTLES:
                reasons.append(
                    f"{name}: nobody could say what happened within {_SETTLES // dt.timedelta(hours=1)} hours"
                )
            continue
        wrong = _wrong(plan, seen)
        left = [
            d for d, action in plan.actions.items() if d not in (seen.gone if action == "expire" else seen.archived)
        ]
        if wrong:
            reasons += [f"{name}: {why}" for why in wrong]
        elif not left and seen.ran_at is not None and seen.ran_at > put_at:
            finished.append(name)
        elif now - put_at > _SETTLES:
            ran = "ECR has run it" if seen.ran_at is not None and seen.ran_at > put_at else "ECR has not run it"
            reasons.append(f"{name}: {counted(len(left), 'image')} did not go within 48 hours; {ran}")
        else:
            waiting.append(name)
    return WaveStep(waiting=tuple(waiting), finished=tuple(finished), reasons=tuple(reasons))


def _wrong(plan: Plan, seen: Observed) -> list[str]:
    if not seen.policy_is_live:
        return ["the policy is no longer the one that was put"]
    expired = {d for d, action in plan.actions.items() if action == "expire"}
    unforeseen = sorted(
        (seen.gone - expired - seen.legitimate) | (seen.archived - plan.actions.keys() - seen.legitimate)
    )
    if not unforeseen:
        return []
    return [f"{counted(len(unforeseen), 'image')} went that nobody foresaw, first {unforeseen[0]}"]


def _problems(saved: object) -> list[Problem]:
    if not isinstance(saved, Mapping):
        return [Problem("$", "must be an object")]
    problems = member_problems(RollOut, saved, what="a roll-out")
    if problems:
        return problems
    if saved["format"] != _FORMAT:
        problems.append(Problem("$.format", f"must be {_FORMAT}, not {saved['format']!r:.40}"))
    waves = saved["waves"]
    if not isinstance(waves, list) or not all(isinstance(wave, list) for wave in waves):
        problems.append(Problem("$.waves", "must be a list of lists of plans"))
    wave = saved["wave"]
    if not isinstance(wave, int) or isinstance(wave, bool) or wave < 0:
        problems.append(Problem("$.wave", "must be a whole number, 0 or more"))
    if saved["status"] not in ("ready", "waiting", "stopped", "done"):
        problems.append(Problem("$.status", "must be ready, waiting, stopped or done"))
    for name in ("finished", "reasons"):
        if not isinstance(saved[name], list) or not all(isinstance(v, str) for v in saved[name]):
            problems.append(Problem(f"$.{name}", "must be a list of strings"))
    if not isinstance(saved["before"], Mapping):
        problems.append(Problem("$.before", "must map repositories to what they held"))
    problems += _time_problems(saved["put_at"])
    return problems


def _missing(document: Mapping[str, Any], waves: Sequence[Sequence[Plan]]) -> list[Problem]:
    """Return what a step would look for and not find."""
    number = document["wave"]
    if number >= len(waves):
        if document["status"] == "done":
            return []
        return [Problem("$.wave", f"must be less than {len(waves)}, the number of waves, not {number}")]
    if document["status"] != "waiting":
        return []
    return [
        Problem(f"$.{name}", f"says nothing of {plan.repository}, whose policy was put in the wave at hand")
        for plan in waves[number]
        for name in ("put_at", "before")
        if plan.repository not in document[name]
    ]


_TIMES: Final = ("pushed_at", "last_pulled_at", "last_archived_at", "last_activated_at")


def _image(saved: Mapping[str, Any]) -> Image:
    fields: dict[str, Any] = {**saved, "tags": tuple(saved["tags"])}
    for name in _TIMES:
        if fields[name] is not None:
            fields[name] = parse_time(fields[name])
    return Image(**fields)


def _before(saved: object, path: str, problems: list[Problem]) -> Before | None:
    try:
        document: Any = saved
        images = [_image(item) for item in document["images"]]
        return Before(images=images, children={str(k): tuple(v) for k, v in document["children"].items()})
    except (AttributeError, KeyError, TypeError, ValueError) as fault:
        problems.append(Problem(path, f"is not what a repository held: {type(fault).__name__}: {fault!s:.100}"))
        return None


def _time_problems(saved: object) -> list[Problem]:
    if not isinstance(saved, Mapping):
        return [Problem("$.put_at", "must map repositories to times")]
    problems: list[Problem] = []
    for name, at in saved.items():
        try:
            parse_time(at)
        except ValueError as fault:
            problems.append(Problem(f"$.put_at.{name}", str(fault)))
    return problems
