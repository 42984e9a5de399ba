"""Reading policy texts, JSON as the standard has it and nothing that one parser takes alone; the members of records."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit.errors import Problem

__all__ = ["MAX_LENGTH", "MIN_LENGTH", "NOT_JSON", "length_problems", "load", "member_problems"]

MIN_LENGTH: Final = 100
MAX_LENGTH: Final = 30_720
_MAX_DEPTH: Final = 32
_PREFIX: Final = (
    "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: 'Lifecycle policy validation failure: "
)
NOT_JSON: Final = _PREFIX + "Could not map policyString into LifecyclePolicy.'"


class _Faulty(ValueError):
    pass


def _constant(name: str) -> object:
    raise _Faulty(f"{name} is no JSON value")


def _depth(text: str) -> int:
    """Return how deep brackets nest outside of strings; json.loads would only raise RecursionError."""
    depth = deepest = 0
    quoted = escaped = False
    for char in text:
        if quoted:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                quoted = False
        elif char == '"':
            quoted = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def length_problems(length: int) -> list[Problem]:
    """Return the problem of a text that is too short or too long, if any (botocore model, LifecyclePolicyText)."""
    if length < MIN_LENGTH:
        quoted = (
            "Invalid parameter at 'lifecyclePolicyText' failed to satisfy constraint: "
            f"'Member must have length greater than or equal to {MIN_LENGTH}'"
        )
        hint = "; an empty text usually comes from an unset template variable" if length == 0 else ""
        message = f"the text has {length} characters, ECR takes {MIN_LENGTH} to {MAX_LENGTH}{hint}"
        return [Problem("$", message, quoted=quoted)]
    if length > MAX_LENGTH:
        return [Problem("$", f"the text has {length} characters, ECR takes {MIN_LENGTH} to {MAX_LENGTH}")]
    return []


def load(text: str) -> tuple[Any, list[Problem]]:
    """Return the parsed text and what is wrong with it as JSON; the value is None when it cannot be read at all."""
    problems = length_problems(len(text))
    if len(text) > 4 * MAX_LENGTH:
        return None, problems  # far beyond anything ECR takes: not worth parsing
    if _depth(text) > _MAX_DEPTH:
        return None, [*problems, Problem("$", f"nests deeper than {_MAX_DEPTH} levels", quoted=NOT_JSON)]
    twice: list[str] = []

    def pairs(items: Iterable[tuple[str, Any]]) -> Mapping[str, Any]:
        found: dict[str, Any] = {}
        for name, value in items:
            if name in found:
                twice.append(name)
            found[name] = value
        return found

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_constant=_constant)
    except (ValueError, RecursionError) as fault:
        where = f"line {fault.lineno}, column {fault.colno}: " if isinstance(fault, json.JSONDecodeError) else ""
        detail = fault.msg if isinstance(fault, json.JSONDecodeError) else str(fault)
        hint = "; the text starts with a byte order mark" if text.startswith("\ufeff") else ""
        return None, [*problems, Problem("$", f"is not JSON: {where}{detail:.200}{hint}", quoted=NOT_JSON)]
    problems += [
        Problem("$", f"the key {name!r:.80} stands twice in one object; only one of the two would count")
        for name in dict.fromkeys(twice)
    ]
    return value, problems


def member_problems(kind: type, saved: Mapping[str, object], *, what: str) -> list[Problem]:
    """Return which members a saved record lacks, and which are none of its kind's."""
    names = {field.name for field in attrs.fields(kind)}
    problems = [Problem(f"$.{name}", "is missing") for name in sorted(names - set(saved))]
    return problems + [Problem(f"$.{n}", f"is no member of {what}") for n in sorted(map(str, set(saved) - names))]
