"""Wildcards and policy variables of IAM, matched without backtracking.

`*` stands for any run of characters and `?` for exactly one (IAM user guide, "IAM JSON policy elements: Resource").
Text that a policy variable inserts is literal: a star in it is a star.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Final, Self

import attrs

__all__ = ["Glob", "Unresolved", "arn_glob", "substitute"]

# Private-use characters mark the wildcards, so that literal stars from variables stay literal.
_STAR: Final = "\ue000"
_ONE: Final = "\ue001"
_VARIABLE: Final = re.compile(r"\$\{([^{}]*)\}")


class Unresolved(LookupError):
    """A policy variable names a key that the request does not carry; `known` tells absent from not known."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


def _search(piece: str, text: str, start: int, end: int) -> int:
    if _ONE not in piece:
        return text.find(piece, start, end)
    pattern = "".join("." if c == _ONE else re.escape(c) for c in piece)
    found = re.compile(pattern, re.DOTALL).search(text, start, end)
    return -1 if found is None else found.start()


def _here(piece: str, text: str, at: int) -> bool:
    if _ONE not in piece:
        return text.startswith(piece, at)
    return len(text) - at >= len(piece) and all(p in (_ONE, text[at + i]) for i, p in enumerate(piece))


@attrs.frozen
class Glob:
    """A pattern cut at its stars; each piece is searched once, from left to right."""

    pieces: tuple[str, ...]

    @classmethod
    def of(cls, pattern: str) -> Self:
        """Return the glob of a pattern as a policy writes it.

        Example:
            >>> Glob.of("ecr:Get*").matches("ecr:GetLifecyclePolicy"), Glob.of("v?").matches("v12")
            (True, False)
        """
        return cls.marked(pattern.replace("*", _STAR).replace("?", _ONE))

    @classmethod
    def marked(cls, pattern: str) -> Self:
        """Return the glob of a pattern whose wildcards `substitute` marked."""
        return cls(tuple(pattern.split(_STAR)))

    def matches(self, text: str) -> bool:
        """Return whether the whole text matches, in the same letter case."""
        pieces = self.pieces
        if len(pieces) == 1:
            return len(text) == len(pieces[0]) and _here(pieces[0], text, 0)
        first, last = pieces[0], pieces[-1]
        end = len(text) - len(last)
        at = len(first)
        if at > end or not _here(first, text, 0) or not _here(last, text, end):
            return False
        for piece in pieces[1:-1]:
            if piece:
                found = _search(piece, text, at, end)
                if found < 0:
                    return False
                at = found + len(piece)
        return True


@functools.lru_cache(maxsize=65536)
def _cut(pattern: str) -> tuple[tuple[Glob, ...], Glob]:
    return tuple(Glob.marked(p) for p in pattern.split(":", 5)), Glob.marked(pattern)


def arn_glob(pattern: str, text: str) -> bool | None:
    """Return whether an ARN matches a marked pattern, segment by segment.

    None when the text matches only if a wildcard crosses a colon of the first five segments: AWS documents that it
    cannot, and evaluators disagree.
    """
    segments, whole = _cut(pattern)
    if whole.pieces == ("", ""):
        return True
    if not whole.matches(text):  # what matches segment by segment matches as a whole too, so this is the quick no
        return False
    parts = text.split(":", 5)
    if len(parts) == len(segments) and all(g.matches(p) for g, p in zip(segments, parts, strict=True)):
        return True
    return None


def substitute(
    pattern: str, lookup: Callable[[str], str | None], *, variables: bool = True, wildcards: bool = True
) -> str:
    """Return the pattern with its wildcards marked and its policy variables replaced by their literal values.

    Raises:
        Unresolved: a variable has neither a value nor a default.

    Example:
        >>> substitute("a/${aws:PrincipalTag/team}/${*}", {"aws:PrincipalTag/team": "x"}.get)
        'a/x/*'
    """

    def mark(text: str) -> str:
        return text.replace("*", _STAR).replace("?", _ONE) if wildcards else text

    if not variables or "${" not in pattern:
        return mark(pattern)
    parts, at = [], 0
    for found in _VARIABLE.finditer(pattern):
        parts.append(mark(pattern[at : found.start()]))
        name, comma, default = found.group(1).partition(",")
        name = name.strip()
        if name in {"*", "?", "$"}:
            parts.append(name)
        else:
            value = lookup(name)
            if value is None:
                default = default.strip()
                if not comma or len(default) < 2 or default[0] != "'" or default[-1] != "'":
                    raise Unresolved(name)
                value = default[1:-1]
            if _STAR in value or _ONE in value:  # a value must never act as a wildcard
                raise Unresolved(name)
            parts.append(value)
        at = found.end()
    parts.append(mark(pattern[at:]))
    return "".join(parts)
