"""What a tag may look like, described once: as a regular expression, and as an automaton that can be intersected."""

from __future__ import annotations

import heapq
import re
import string
from typing import Final, TypeAlias

import attrs

__all__ = ["Alt", "Chars", "Many", "Node", "Seq", "glob_node", "literal", "regex_of", "witness"]

_TAG_CHARS: Final = frozenset(string.ascii_letters + string.digits + "_.-")


@attrs.frozen
class Chars:
    """`least` to `most` characters of a set; `most` None is any number."""

    of: frozenset[str]
    least: int = 1
    most: int | None = 1


@attrs.frozen
class Seq:
    """One after the other."""

    parts: tuple[Node, ...]


@attrs.frozen
class Alt:
    """One of several."""

    parts: tuple[Node, ...]


@attrs.frozen
class Many:
    """Any number, also none."""

    part: Node


Node: TypeAlias = "Chars | Seq | Alt | Many"


def literal(text: str) -> Seq:
    """Return the node of exactly this text."""
    return Seq(tuple(Chars(frozenset(c)) for c in text))


def glob_node(pattern: str) -> Seq:
    """Return the node of all tags that a pattern of ECR matches."""
    anything = Chars(_TAG_CHARS, 0, None)
    return Seq(tuple(anything if c == "*" else Chars(frozenset(c)) for c in pattern))


def regex_of(node: Node) -> str:
    """Return the regular expression of the node."""
    if isinstance(node, Chars):
        one = "[" + "".join(re.escape(c) for c in sorted(node.of)) + "]"
        times = (node.least, node.most)
        return one if times == (1, 1) else f"{one}{{{node.least},{'' if node.most is None else node.most}}}"
    if isinstance(node, Seq):
        return "".join(regex_of(part) for part in node.parts)
    if isinstance(node, Alt):
        return "(?:" + "|".join(regex_of(part) for part in node.parts) + ")"
    return f"(?:{regex_of(node.part)})*"


class _Automaton:
    """States with steps on characters and steps on nothing; state 0 begins, `end` accepts."""

    def __init__(self, node: Node) -> None:
        self.steps: list[list[tuple[frozenset[str], int]]] = [[]]
        self.free: list[list[int]] = [[]]
        self.end = self._add(node, 0)

    def _state(self) -> int:
        self.steps.append([])
        self.free.append([])
        return len(self.steps) - 1

    def _add(self, node: Node, at: int) -> int:
        if isinstance(node, Chars):
            for _ in range(node.least):
                at = self._step(node.of, at)
            if node.most is None:
                loop = self._state()
                self.free[at].append(loop)
                self.steps[loop].append((node.of, loop))
                return loop
            ends = [at]
            for _ in range(node.most - node.least):
                at = self._step(node.of, at)
                ends.append(at)
            return self._join(ends) if len(ends) > 1 else at
        if isinstance(node, Seq):
            for part in node.parts:
                at = self._add(part, at)
            return at
        if isinstance(node, Alt):
            return self._join([self._add(part, at) for part in node.parts])
        hub = self._state()
        self.free[at].append(hub)
        self.free[self._add(node.part, hub)].append(hub)
        out = self._state()
        self.free[hub].append(out)
        return out

    def _step(self, of: frozenset[str], at: int) -> int:
        to = self._state()
        self.steps[at].append((of, to))
        return to

    def _join(self, ends: list[int]) -> int:
        out = self._state()
        for end in ends:
            self.free[end].append(out)
        return out


def witness(one: Node, other: Node) -> str | None:
    """Return the shortest text that both nodes describe, of several the first by characters; None when there is none.

    The two automata walk together, in the order of the texts.
    """
    a, b = _Automaton(one), _Automaton(other)
    waiting: list[tuple[int, str, int, int]] = [(0, "", 0, 0)]
    seen: set[tuple[int, int]] = set()
    while waiting:
        length, text, i, j = heapq.heappop(waiting)
        if (i, j) == (a.end, b.end):
            return text
        if (i, j) in seen:
            continue
        seen.add((i, j))
        for to, too in [(n, j) for n in a.free[i]] + [(i, n) for n in b.free[j]]:
            heapq.heappush(waiting, (length, text, to, too))
        for of, to in a.steps[i]:
            for also, too in b.steps[j]:
                if both := of & also:
                    heapq.heappush(waiting, (length + 1, text + min(both), to, too))
    return None
