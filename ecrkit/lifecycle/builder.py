"""Policies from named parts: each says what is meant, and becomes the rules that ECR needs for it."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from ecrkit.errors import Problem
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.rules import Action, CountType, Rule, TagStatus
from ecrkit.records import StorageClass

__all__ = [
    "Part",
    "archive_unpulled",
    "build",
    "delete_archived",
    "expire_older_than",
    "expire_untagged",
    "keep_last",
    "protect",
]

_SHIELD = 1_000_000
"""How many images a protecting rule keeps: far more than the quota of images in a repository."""


@attrs.frozen(kw_only=True)
class Part:
    """One intention. It becomes one rule for each of `prefixes` and `patterns`, which are meant as *or*."""

    count_type: CountType
    count_number: int
    action: Action = "expire"
    tag_status: TagStatus = "any"
    prefixes: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    storage_class: StorageClass = "standard"
    description: str | None = None

    def rules(self) -> list[Rule]:
        """Return the rules of the part, with priorities from 1."""
        common = {
            "count_type": self.count_type, "count_number": self.count_number, "action": self.action,
            "storage_class": self.storage_class, "description": self.description,
        }  # fmt: skip
        if self.tag_status != "tagged":
            return [Rule(priority=1, tag_status=self.tag_status, **common)]  # type: ignore[arg-type]  # checked by Part
        singles = [{"tag_prefixes": (p,)} for p in self.prefixes] + [{"tag_patterns": (p,)} for p in self.patterns]
        return [
            Rule(priority=n, tag_status="tagged", **common, **single)  # type: ignore[arg-type]  # checked by Part
            for n, single in enumerate(singles, 1)
        ]


def _listed(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _part(
    count_type: CountType,
    number: int,
    *,
    prefixes: str | Iterable[str] = (),
    patterns: str | Iterable[str] = (),
    action: Action = "expire",
    tag_status: TagStatus | None = None,
    storage_class: StorageClass = "standard",
    description: str | None = None,
) -> Part:
    listed, globs = _listed(prefixes), _listed(patterns)
    status: TagStatus = tag_status or ("tagged" if listed or globs else "any")
    return Part(
        count_type=count_type, count_number=number, action=action, tag_status=status, prefixes=listed, patterns=globs,
        storage_class=storage_class, description=description,
    )  # fmt: skip


def expire_untagged(*, after_days: int, description: str | None = None) -> Part:
    """Return the part that expires untagged images pushed more than `after_days` days ago."""
    return _part("sinceImagePushed", after_days, tag_status="untagged", description=description)


def keep_last(
    count: int,
    *,
    prefixes: str | Iterable[str] = (),
    patterns: str | Iterable[str] = (),
    description: str | None = None,
) -> Part:
    """Return the part that expires all but the newest `count` images, for each prefix or pattern on its own.

    Without prefixes and patterns it counts all images together.
    """
    return _part("imageCountMoreThan", count, prefixes=prefixes, patterns=patterns, description=description)


def expire_older_than(
    days: int,
    *,
    prefixes: str | Iterable[str] = (),
    patterns: str | Iterable[str] = (),
    description: str | None = None,
) -> Part:
    """Return the part that expires images pushed more than `days` days ago that any prefix or pattern selects."""
    return _part("sinceImagePushed", days, prefixes=prefixes, patterns=patterns, description=description)


def archive_unpulled(
    days: int,
    *,
    prefixes: str | Iterable[str] = (),
    patterns: str | Iterable[str] = (),
    description: str | None = None,
) -> Part:
    """Return the part that archives images not pulled for `days` days; never pulled counts from the push.

    ECR has no rule that deletes by last pull: archive first, then `delete_archived`.
    """
    return _part(
        "sinceImagePulled", days, prefixes=prefixes, patterns=patterns, action="transition", description=description
    )


def delete_archived(*, after_days: int, description: str | None = None) -> Part:
    """Return the part that expires images archived more than `after_days` days ago; ECR takes no less than 90."""
    return _part("sinceImageTransitioned", after_days, storage_class="archive", description=description)


def protect(
    *, prefixes: str | Iterable[str] = (), patterns: str | Iterable[str] = (), description: str | None = None
) -> Part:
    """Return the part that shields images by tag from every part after it.

    ECR has no rule that keeps. But an image belongs to the first rule that selects it, also when that rule does not act
    on it: so this becomes rules that keep the newest million, which expire nothing. Put it before the others.
    """
    return _part("imageCountMoreThan", _SHIELD, prefixes=prefixes, patterns=patterns, description=description)


def build(*parts: Part) -> LifecyclePolicy:
    """Return the policy of the parts, in their order: the first has the highest priority.

    Rules on all images go last whatever their place, as ECR demands.

    Raises:
        LifecyclePolicyError: ECR would refuse the policy, or a part that selects by tag names none.

    Example:
        >>> parts = protect(patterns="prod"), keep_last(10, prefixes=["dev-", "test-"]), expire_untagged(after_days=7)
        >>> print(build(*parts))
        rule 1: expire images tagged prod beyond the newest 1000000
        rule 2: expire images tagged dev-* beyond the newest 10
        rule 3: expire images tagged test-* beyond the newest 10
        rule 4: expire untagged images pushed more than 7 days ago
    """
    problems = [
        Problem(f"$.parts[{n}]", "protects no tags: name prefixes or patterns")
        for n, part in enumerate(parts)
        if part.count_number == _SHIELD and part.tag_status != "tagged"
    ]
    if problems:
        raise LifecyclePolicyError("not a lifecycle policy", problems)
    rules = [rule for part in sorted(parts, key=lambda p: p.tag_status == "any") for rule in part.rules()]
    return LifecyclePolicy.of(*(attrs.evolve(rule, priority=n) for n, rule in enumerate(rules, 1)))
