"""Patterns of AWS: only `*` is special, anchored at both ends, case-sensitive, in linear time."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["compile_glob", "matches", "matches_any"]


def matches(pattern: str, tag: str) -> bool:
    """Return whether the whole tag matches the pattern.

    `*` stands for any run of characters, also none; everything else for itself, so `?`, `[` and `.` are literal.
    Source: ECR user guide, lifecycle policy parameters.

    Example:
        >>> matches("*prod*", "prod-1"), matches("v1.?", "v1.2")
        (True, False)
    """
    return compile_glob(pattern)(tag)


def compile_glob(pattern: str) -> Callable[[str], bool]:
    """Return the matcher of one pattern.

    The parts between the wildcards are looked for from left to right with `str.find`. The leftmost place for each is
    always good enough, so nothing is ever tried twice: a regular expression with `.*` needs seconds on a hostile tag.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return lambda tag: tag == pattern
    *inner, tail = rest
    middle = [part for part in inner if part]
    if not middle:
        return _ends(head, tail)
    if len(middle) == 1 and not head and not tail:
        part = middle[0]
        return lambda tag: part in tag

    def match(tag: str) -> bool:
        if not (tag.startswith(head) and tag.endswith(tail)):
            return False
        at, end = len(head), len(tag) - len(tail)
        for part in middle:
            at = tag.find(part, at, end)
            if at < 0:
                return False
            at += len(part)
        return True

    return match


def _ends(head: str, tail: str) -> Callable[[str], bool]:
    if not tail:
        return lambda tag: tag.startswith(head)
    if not head:
        return lambda tag: tag.endswith(tail)
    least = len(head) + len(tail)
    return lambda tag: len(tag) >= least and tag.startswith(head) and tag.endswith(tail)


def matches_any(patterns: tuple[str, ...], text: str | None) -> bool:
    """Return whether there is no pattern at all, or one matches; an unknown text matches only `*`."""
    if not patterns:
        return True
    return "*" in patterns if text is None else any(matches(p, text) for p in patterns)
