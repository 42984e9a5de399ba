"""A lifecycle policy: read with every problem named, compared by meaning, written as ECR takes it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Self

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import canonical_json
from ecrkit.errors import InvalidPolicy, Problem
from ecrkit.lifecycle._reading import length_problems, load
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.validation import check

__all__ = ["LifecyclePolicy", "LifecyclePolicyError"]


class LifecyclePolicyError(InvalidPolicy):
    """A lifecycle policy that ECR would refuse; `problems` names everything, each with its JSON path."""


def _by_priority(rules: Iterable[Rule]) -> tuple[Rule, ...]:
    return tuple(sorted(rules, key=lambda rule: rule.priority))


@attrs.frozen(eq=False, repr=False)
class LifecyclePolicy:
    """A valid lifecycle policy; its rules are sorted by priority, as ECR returns them.

    Two policies are equal when they do the same: the order of rules and tag entries, white space, descriptions and an
    explicit `"storageClass": "standard"` make no difference. `warnings` names what ECR may or may not take, or takes
    and reads differently than most people.

    Source: ECR user guide, lifecycle policy parameters.

    Example:
        >>> policy = LifecyclePolicy.parse({"rules": [{
        ...     "rulePriority": 1, "action": {"type": "expire"}, "selection": {
        ...         "tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 5}}]})
        >>> print(policy.rules[0])
        rule 1: expire all images beyond the newest 5
    """

    rules: tuple[Rule, ...] = attrs.field(converter=_by_priority)
    warnings: tuple[Problem, ...] = attrs.field(default=(), kw_only=True)

    @classmethod
    def parse(cls, policy: str | Mapping[str, Any]) -> Self:
        """Return the policy of a JSON text or of a mapping of the same shape.

        The length limit of 100 to 30,720 characters is checked on the text as given, and on compact JSON for a mapping.

        Raises:
            LifecyclePolicyError: ECR would refuse it, or it is no JSON; all problems at once.
        """
        document: object = policy
        problems: list[Problem] = []
        if isinstance(policy, str):
            document, problems = load(policy)
            if document is None and problems:
                raise LifecyclePolicyError("not a lifecycle policy", problems)
        rules, found, warnings = check(document)
        problems += found
        if not isinstance(policy, str) and not problems:
            problems += length_problems(len(canonical_json(document)))
        if problems:
            raise LifecyclePolicyError("not a lifecycle policy", problems)
        return cls(rules, warnings=tuple(warnings))

    @classmethod
    def of(cls, *rules: Rule) -> Self:
        """Return the policy of ready rules, validated like a text.

        Raises:
            LifecyclePolicyError: ECR would refuse the policy.
        """
        return cls.parse({"rules": [rule.to_policy() for rule in rules]})

    @cached_property
    def _meaning(self) -> tuple[tuple[object, ...], ...]:
        return tuple(rule.meaning for rule in self.rules)

    @override
    def __eq__(self, other: object) -> bool:
        return self._meaning == other._meaning if isinstance(other, LifecyclePolicy) else NotImplemented

    @override
    def __hash__(self) -> int:
        return hash(self._meaning)

    def rule(self, priority: int) -> Rule:
        """Return the rule of that priority; KeyError when there is none."""
        for rule in self.rules:
            if rule.priority == priority:
                return rule
        raise KeyError(priority)

    def normalised(self) -> LifecyclePolicy:
        """Return the same policy with its tag entries sorted and without warnings."""
        return LifecyclePolicy(
            attrs.evolve(
                rule, tag_patterns=tuple(sorted(rule.tag_patterns)), tag_prefixes=tuple(sorted(rule.tag_prefixes))
            )
            for rule in self.rules
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the document as ECR takes it: no nulls, `storageClass` only for archive."""
        return {"rules": [rule.to_policy() for rule in self.rules]}

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the text for PutLifecyclePolicy; compact unless `indent` is given."""
        separators = (",", ":") if indent is None else None
        return json.dumps(self.to_dict(), indent=indent, separators=separators, ensure_ascii=False)

    def canonical_json(self) -> str:
        """Return the normalised document with sorted keys: the same text for policies that read alike."""
        return canonical_json(self.normalised().to_dict())

    def __iter__(self) -> Iterator[Rule]:
        return iter(self.rules)

    def __len__(self) -> int:
        return len(self.rules)

    @override
    def __repr__(self) -> str:
        return f"<LifecyclePolicy of {counted(len(self.rules), 'rule')}>"

    @override
    def __str__(self) -> str:
        return "\n".join(str(rule) for rule in self.rules)
