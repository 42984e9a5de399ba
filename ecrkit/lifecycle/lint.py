"""What a policy does to *this* repository that its author may not have meant."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.run import Run, Selected

__all__ = ["Advice", "Code", "lint"]

Code = Literal[
    "selects-nothing", "unselected-images", "shadowed", "and-trap", "near-threshold", "tie", "recent-image-goes",
    "eats-index-children", "eats-referrers", "opaque-indexes", "never-pulled", "uncertain",
]  # fmt: skip
_NEAR: Final = dt.timedelta(hours=24)
_RECENT: Final = dt.timedelta(hours=48)


@attrs.frozen(kw_only=True)
class Advice(Record):
    """One thing to look at: `code` for programs, `message` and `suggestion` for people, the images concerned."""

    code: Code
    message: str
    rule_priority: int | None = None
    suggestion: str = ""
    digests: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        where = f"rule {self.rule_priority}: " if self.rule_priority is not None else ""
        return f"{where}{self.message}" + (f". {self.suggestion}" if self.suggestion else "")


def lint(run: Run) -> tuple[Advice, ...]:
    """Return advice on a policy against the inventory of a run, rule by rule, then on the whole.

    Example:
        >>> from ecrkit.images import Inventory
        >>> from ecrkit.lifecycle import build, expire_untagged, simulate
        >>> policy = build(expire_untagged(after_days=7))
        >>> run = simulate(policy, Inventory([]), now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
        >>> [advice.code for advice in lint(run)]
        ['selects-nothing']
    """
    found: list[Advice] = []
    for number, chosen in enumerate(run.selected):
        found += _selection(run, number, chosen)
        found += _pulls(run, chosen)
    found += _edges(run)
    found += _whole(run)
    return tuple(found)


def _digests(run: Run, positions: list[int]) -> tuple[str, ...]:
    return tuple(run.images[i].digest for i in positions)


def _selection(run: Run, number: int, chosen: Selected) -> Iterator[Advice]:
    rule = chosen.rule
    alternatives = _alternatives(run, rule)
    if len(rule.tag_entries) > 1:
        listed = ", ".join(rule.tag_entries)
        yield Advice(
            code="and-trap",
            rule_priority=rule.priority,
            message=(
                f"ECR reads the list [{listed}] as and: an image needs a tag for every entry. "
                f"The rule selects {counted(len(chosen.members), 'image')}; "
                f"as alternatives the entries select {alternatives}"
            ),
            suggestion=f"If the entries are meant as or, write {len(rule.tag_entries)} rules of one entry each",
        )
    if not chosen.members:
        yield Advice(
            code="selects-nothing", rule_priority=rule.priority, message="selects no image of the repository",
            suggestion="Remove it, or correct its tags",
        )  # fmt: skip
    elif all(run.first[i] != number for i in chosen.members):
        earlier = sorted({run.selected[run.first[i]].rule.priority for i in chosen.members})
        yield Advice(
            code="shadowed",
            rule_priority=rule.priority,
            message=f"all it selects ({counted(len(chosen.members), 'image')}) belongs to an earlier rule: "
            f"{', '.join(map(str, earlier))}",
            suggestion="It can act on nothing; give it a smaller priority number or remove it",
        )
    if rule.tag_status == "untagged":
        children = [i for i in sorted(chosen.members) if run.inventory.parents_of(run.images[i].digest)]
        if children:
            yield Advice(
                code="eats-index-children",
                rule_priority=rule.priority,
                message=(
                    f"of the untagged images it selects {_are(len(children), 'a child', 'children')} of an index; "
                    "they stay only as long as their index does, and take places in the rule's count"
                ),
                suggestion="Untagged does not mean unused",
                digests=_digests(run, children),
            )
    referrers = _referrers_eaten(run, number, chosen)
    if referrers:
        yield Advice(
            code="eats-referrers",
            rule_priority=rule.priority,
            message=(
                f"of the images it selects {_are(len(referrers), 'a referrer', 'referrers')} (signature, SBOM, "
                "attestation) of an image that stays; the rule takes them by their own age or place, and the image "
                "is then without them"
            ),
            suggestion="Referrers go with their subject anyway; let the rule select by tags that they do not have, or "
            "give them a tag and a rule of their own",
            digests=_digests(run, referrers),
        )


def _are(number: int, one: str, many: str) -> str:
    return f"1 is {one}" if number == 1 else f"{number} are {many}"


def _referrers_eaten(run: Run, number: int, chosen: Selected) -> list[int]:
    """Return the referrers that a rule takes, or for an untagged rule will take, although their subject stays.

    Rules of tags and rules of count that let a referrer stay say nothing about the next run, so only what they take
    now counts. An untagged rule sees whatever a tool attaches without a tag.
    """
    if not (run.columns.has_subjects or run.inventory.manifests):
        return []
    found: list[int] = []
    for i in sorted(chosen.members):
        if run.first[i] != number or i in run.holders or not (run.marked[i] or chosen.rule.tag_status == "untagged"):
            continue
        subject = run.inventory.subject_of(run.images[i].digest)
        at = None if subject is None else run.positions.get(subject)
        if at is not None and subject not in run.following and (not run.marked[at] or at in run.holders):
            found.append(i)
    return found


def _alternatives(run: Run, rule: Rule) -> int:
    from ecrkit.lifecycle.glob import compile_glob

    if len(rule.tag_entries) < 2:
        return 0
    tests = [compile_glob(p) for p in rule.tag_patterns]
    return sum(
        image.storage_class == rule.storage_class
        and any(tag.startswith(rule.tag_prefixes) or any(test(tag) for test in tests) for tag in image.tags)
        for image in run.images
    )


def _pulls(run: Run, chosen: Selected) -> Iterator[Advice]:
    if chosen.rule.count_type != "sinceImagePulled" or not chosen.members:
        return
    never = [i for i in sorted(chosen.members) if run.images[i].last_pulled_at is None]
    if never:
        whole = "all" if len(never) == len(chosen.members) else "some"
        yield Advice(
            code="never-pulled",
            rule_priority=chosen.rule.priority,
            message=f"of the images it selects ({len(chosen.members)}) {_never(len(never))} never pulled ({whole}); "
            "the age counts from the push",
            suggestion="In a standby Region nothing pulls, so everything is archived; and scans count as pulls unless "
            "excluded (RegisterPullTimeUpdateExclusion)",
            digests=_digests(run, never),
        )


def _never(number: int) -> str:
    return f"{number} {'was' if number == 1 else 'were'}"


def _edges(run: Run) -> Iterator[Advice]:
    near: list[str] = []
    recent: list[str] = []
    for position, image in enumerate(run.images):
        number = run.first[position]
        acts = bool(run.marked[position]) and position not in run.holders
        if (acts or image.digest in run.following) and run.now - image.pushed_at < _RECENT:
            recent.append(image.digest)
        if number >= 0 and (cutoff := run.selected[number].cutoff) is not None:
            from ecrkit.lifecycle.simulate import clock_of

            when = clock_of(image, run.selected[number].rule.count_type)
            if when is not None and abs(when - cutoff) <= _NEAR:
                near.append(image.digest)
    if near:
        yield Advice(
            code="near-threshold",
            message=f"{counted(len(near), 'image is', 'images are')} within 24 hours of the age that decides; ECR may "
            "decide otherwise",
            suggestion="How ECR rounds days is not documented",
            digests=tuple(near),
        )
    if recent:
        yield Advice(
            code="recent-image-goes",
            message=f"{counted(len(recent), 'image')} pushed within the last 48 hours would go",
            suggestion="A deployment may be about to pull them",
            digests=tuple(recent),
        )
    for priority, last, after in run.ties:
        yield Advice(
            code="tie", rule_priority=priority, digests=(last, after),
            message="two images at the edge of the count were pushed at the same time; ECR may keep the other one",
        )  # fmt: skip


def _whole(run: Run) -> Iterator[Advice]:
    unselected = [i for i, number in enumerate(run.first) if number < 0 and run.images[i].digest not in run.following]
    outside = [i for i in unselected if run.inventory.subject_of(run.images[i].digest) not in run.inventory]
    referrers = len(unselected) - len(outside)
    if outside:
        stay = "it stays" if len(outside) == 1 else "they stay"
        follow = f" (not counting {counted(referrers, 'referrer')}, to go with the subject)" if referrers else ""
        yield Advice(
            code="unselected-images",
            message=f"no rule selects {len(outside)} of {counted(len(run.images), 'image')}{follow}; {stay} for ever",
            suggestion="Add a rule for their tags, or one of tagStatus any",
            digests=_digests(run, outside),
        )
    if run.inventory.opaque_indexes:
        yield Advice(
            code="opaque-indexes",
            message=f"the children of {counted(len(run.inventory.opaque_indexes), 'index', 'indexes')} are not known",
            suggestion="Read their manifests, so that it is known which images they hold",
            digests=tuple(image.digest for image in run.inventory.opaque_indexes),
        )
    if run.unclear:
        yield Advice(
            code="uncertain",
            message=f"{counted(len(run.unclear), 'image')} being restored or without archive time",
            suggestion="What happens to such images is not documented or not known",
            digests=tuple(sorted(run.unclear)),
        )
