"""Patterns with `*` for any run of characters; everything else is literal. Linear per star, never backtracking."""

from __future__ import annotations

__all__ = ["matches", "matches_any"]


def matches(pattern: str, text: str) -> bool:
    """Return whether the whole text matches.

    Example:
        >>> matches("team/*", "team/app"), matches("*[x]*", "a[x]b"), matches("a*", "ba")
        (True, True, False)
    """
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    position, end = len(first), len(text) - len(last)
    for part in middle:
        position = text.find(part, position, end)
        if position < 0:
            return False
        position += len(part)
    return True


def matches_any(patterns: tuple[str, ...], text: str | None) -> bool:
    """Return whether there is no pattern at all, or one matches; an unknown text matches only `*`."""
    if not patterns:
        return True
    return "*" in patterns if text is None else any(matches(p, text) for p in patterns)
