"""What happens to one image, and why: the rule, the rank or age, the facts, and what would change it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso
from ecrkit.lifecycle.rules import Rule
from ecrkit.records import Image

if TYPE_CHECKING:
    from ecrkit.lifecycle.run import Run, Selected

__all__ = ["Outcome", "Reason", "describe"]

Reason = Literal[
    "beyond-count", "too-old", "follows-subject", "blocked-by-index",
    "within-count", "young-enough", "protected-by-rule", "no-rule-selects-it", "age-unknown",
]  # fmt: skip

_DAY = dt.timedelta(days=1)


@attrs.frozen(kw_only=True)
class Outcome(Record):
    """What happens to one image.

    `rule_priority` is the rule that decides: the one that acts on the image, or the first that selects it and thereby
    shields it from all later ones; None when no rule selects it. For a referrer that follows its subject, it is the
    rule that acts on the subject. `used_by` names the workloads that run it, when the run knows any. `certain` is
    False when the outcome rests on something that is not known.
    """

    digest: str
    tags: tuple[str, ...]
    action: Literal["expire", "transition", "keep"]
    reason: Reason
    rule_priority: int | None = None
    certain: bool = True
    rank: int | None = None
    count: int | None = None
    age: dt.timedelta | None = None
    threshold: dt.timedelta | None = None
    subject: str | None = None
    blocked_by: tuple[str, ...] = ()
    protects_from: tuple[int, ...] = ()
    changes_at: dt.datetime | None = None
    why: str = ""
    would_change: str = ""
    used_by: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return the outcome in a sentence or two."""
        name = f"{','.join(self.tags) or 'untagged'}@{self.digest[:19]}"
        verb = {"expire": "expires", "transition": "is archived", "keep": "stays"}[self.action]
        by = f" by rule {self.rule_priority}" if self.reason in ("beyond-count", "too-old") else ""
        doubt = "" if self.certain else " Not certain: it rests on facts that are not known, see the run's warnings."
        more = f" and {len(self.used_by) - 1} more" if len(self.used_by) > 1 else ""
        used = f" In use by {self.used_by[0]}{more}." if self.used_by else ""
        return f"{name} {verb}{by}: {self.why}.{used}{doubt}"

    @override
    def __str__(self) -> str:
        return self.explain()


def _days(span: dt.timedelta) -> str:
    return f"{span / _DAY:.1f} days"


def describe(run: Run, position: int) -> Outcome:
    """Return the outcome of the image at that position of the ranking."""
    image = run.images[position]
    number = run.first[position]
    base = Outcome(digest=image.digest, tags=image.tags, action="keep", reason="no-rule-selects-it")
    if number >= 0:
        base = _by_rule(run, run.selected[number], position, base)
    if position in run.holders:
        base = _blocked(run, position, base)
    elif image.digest in run.following:
        base = _follows(run, image, base)
    elif number < 0:
        base = attrs.evolve(
            base,
            why=f"no rule selects it, as it is {_state(image)}",
            would_change="a rule that selects it, for example one of tagStatus any",
        )
    acts = base.action != "keep"
    doubtful = (acts and any(d != image.digest for d in run.opaque)) or image.digest in run.unclear
    used_by = tuple(dict.fromkeys(str(use.workload) for use in run.used.get(image.digest, ())))
    return attrs.evolve(base, certain=not doubtful, used_by=used_by)


def _state(image: Image) -> str:
    tags = "tagged " + ", ".join(image.tags[:3]) + (" ..." if len(image.tags) > 3 else "") if image.tags else "untagged"
    return f"{tags} and of the {image.storage_class} class"


def _by_rule(run: Run, chosen: Selected, position: int, base: Outcome) -> Outcome:
    rule, image = chosen.rule, run.images[position]
    marked = bool(run.marked[position])
    out = attrs.evolve(
        base, rule_priority=rule.priority, action=rule.action if marked else "keep",
    )  # fmt: skip
    out = _counted(chosen, position, out, marked) if chosen.cutoff is None else _aged(run, chosen, image, out, marked)
    if marked:
        return out
    lower = _shields_from(run, position)
    if lower:
        listed = ", ".join(str(n) for n in lower)
        out = attrs.evolve(
            out,
            reason="protected-by-rule",
            protects_from=lower,
            why=f"rule {rule.priority} selects it first and keeps it ({out.why}), out of reach of rule {listed}",
            would_change=f"{out.would_change}; or losing the tags that rule {rule.priority} selects"
            if rule.tag_status == "tagged"
            else out.would_change,
        )
    return out


def _counted(chosen: Selected, position: int, out: Outcome, marked: bool) -> Outcome:
    rule = chosen.rule
    rank, total = chosen.ranks.get(position), len(chosen.ranked)
    if rank is None:
        return attrs.evolve(
            out,
            reason="within-count",
            why=f"rule {rule.priority} counts no children of indexes, and it is one",
            would_change="counting the children of indexes",
        )
    why = f"number {rank} of {total} from the newest, where {rule.count_number} stay"
    change = f"a countNumber of at least {rank}" if marked else f"{rule.count_number - rank + 1} newer images"
    return attrs.evolve(
        out, reason="beyond-count" if marked else "within-count", rank=rank, count=total, why=why, would_change=change
    )


_SINCE = {
    "sinceImagePushed": "pushed",
    "sinceImagePulled": "last pulled",
    "sinceImageTransitioned": "archived",
}


def _aged(run: Run, chosen: Selected, image: Image, out: Outcome, marked: bool) -> Outcome:
    from ecrkit.lifecycle.simulate import clock_of

    rule = chosen.rule
    when = clock_of(image, rule.count_type)
    if when is None:
        return attrs.evolve(
            out, reason="age-unknown", why="it is archived, but ECR did not say since when",
            would_change="an archive time in the inventory",
        )  # fmt: skip
    age = run.now - when
    limit, due = None, None
    try:
        limit = dt.timedelta(days=rule.count_number)
        due = when + limit
    except OverflowError:
        pass
    verb = _SINCE[rule.count_type]
    if image.last_activated_at == when and rule.count_type != "sinceImageTransitioned":
        verb = "restored"
    elif rule.count_type == "sinceImagePulled" and image.last_pulled_at is None:
        verb = "never pulled and pushed"
    relation = "more than" if marked else "not more than"
    change = (
        f"a countNumber of at least {age // _DAY + bool(age % _DAY)}"
        if marked
        else f"time: it goes after {iso(due)}"
        if due
        else "nothing: the limit is beyond all time"
    )
    return attrs.evolve(
        out, reason="too-old" if marked else "young-enough", age=age, threshold=limit,
        changes_at=None if marked else due,
        why=f"{verb} {_days(age)} ago, {relation} {rule.count_number} days", would_change=change,
    )  # fmt: skip


def _shields_from(run: Run, position: int) -> tuple[int, ...]:
    """Return the later rules that would act on the image if no earlier rule had selected it."""
    from ecrkit.lifecycle.simulate import clock_of

    found: list[int] = []
    for chosen in run.selected[run.first[position] + 1 :]:
        rule = chosen.rule
        if position not in chosen.member_set:
            continue
        if chosen.cutoff is None:
            hit = chosen.ranks.get(position, 0) > rule.count_number
        else:
            when = clock_of(run.images[position], rule.count_type)
            hit = when is not None and when < chosen.cutoff
        if hit:
            found.append(rule.priority)
    return tuple(found)


def _blocked(run: Run, position: int, out: Outcome) -> Outcome:
    holders = run.holders[position]
    verb = "expire" if out.action == "expire" else "archive"
    others = len(holders) - 1
    more = f" and {others} more" if others else ""
    return attrs.evolve(
        out, action="keep", reason="blocked-by-index", blocked_by=holders,
        why=f"rule {out.rule_priority} would {verb} it ({out.why}), but index {holders[0]}{more} holds it and stays",
        would_change="the index going first, or in the same run",
    )  # fmt: skip


def _follows(run: Run, image: Image, out: Outcome) -> Outcome:
    action, subject = run.following[image.digest]
    at = subject
    while at in run.following:
        at = run.following[at][1]
    rule: Rule = run.selected[run.first[run.positions[at]]].rule
    return attrs.evolve(
        out, action=action, reason="follows-subject", subject=subject, rule_priority=rule.priority,
        why=f"it refers to {subject}, which goes by rule {rule.priority}; it follows within 24 hours",
        would_change="its subject staying",
    )  # fmt: skip
