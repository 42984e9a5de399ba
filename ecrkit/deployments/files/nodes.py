"""YAML and JSON read as nodes that know where they stand in the text, so that a change touches nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, Literal

import attrs

from ecrkit.errors import InvalidInput, MissingExtra

__all__ = ["Node", "read_json", "read_yaml", "values_of"]

_DEEPEST: Final = 200


@attrs.define(eq=False)
class Node:
    """A value, and its place: `text[start:end]`.

    `style` is how a scalar is written: `plain`, `'`, `"`, `|` or `>`; `flow` says whether a mapping or list is in
    brackets. An alias is the same object as what it names.
    """

    kind: Literal["map", "seq", "scalar", "null"]
    start: int
    end: int
    value: str = ""
    style: str = "plain"
    flow: bool = False
    column: int = 0
    pairs: list[tuple[Node, Node]] = attrs.field(factory=list, repr=False)
    items: list[Node] = attrs.field(factory=list, repr=False)

    def get(self, key: str) -> Node | None:
        """Return the value of a key; None when there is none, or when this is no mapping."""
        return next((value for name, value in self.pairs if name.value == key and name.kind == "scalar"), None)

    def key(self, key: str) -> Node | None:
        """Return the node of a key itself."""
        return next((name for name, _ in self.pairs if name.value == key and name.kind == "scalar"), None)

    def text(self, key: str) -> str | None:
        """Return the text of a scalar member, or None."""
        found = self.get(key)
        return found.value if found is not None and found.kind == "scalar" else None


def read_yaml(text: str) -> list[Node]:
    """Return the documents of a YAML text, empty ones left out.

    Raises:
        InvalidInput: the text is no YAML; the message says where.
        MissingExtra: the package ruamel.yaml is not installed.
    """
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ImportError:
        raise MissingExtra("ruamel.yaml", extra="gitops") from None
    reader = YAML(typ="safe", pure=True)
    known: dict[int, Node] = {}
    try:
        # The composed nodes are kept: `known` goes by their identity.
        composed = [found for found in reader.compose_all(text) if found is not None]
        return [_node(text, found, known, 0) for found in composed]
    except YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark is not None else "the text"
        said = getattr(fault, "problem", None) or str(fault).partition("\n")[0]
        raise InvalidInput.single("not YAML", where, f"{said:.200}") from None
    except (RecursionError, ValueError) as fault:
        raise InvalidInput.single("not YAML", "the text", f"{fault!s:.200}") from None


def _node(text: str, found: Any, known: dict[int, Node], depth: int) -> Node:
    # Any: ruamel.yaml brings no types for its nodes.
    there = known.get(id(found))
    if there is not None:
        return there
    if depth > _DEEPEST:
        raise ValueError(f"nested more than {_DEEPEST} levels deep")
    start, end = found.start_mark, found.end_mark
    made = Node("scalar", start.index, end.index, flow=bool(getattr(found, "flow_style", False)), column=start.column)
    known[id(found)] = made
    if found.id == "mapping":
        made.kind = "map"
        made.pairs = [(_node(text, k, known, depth + 1), _node(text, v, known, depth + 1)) for k, v in found.value]
        for name, value in made.pairs:
            if value.kind == "null" and value.start == value.end:
                # Nothing is written: its place is behind the colon, not where the next token begins.
                value.start = value.end = text.index(":", name.end) + 1
    elif found.id == "sequence":
        made.kind = "seq"
        made.items = [_node(text, item, known, depth + 1) for item in found.value]
    else:
        made.kind = "null" if str(found.tag) == "tag:yaml.org,2002:null" else "scalar"
        made.value, made.style = found.value, found.style or "plain"
    return made


_SPACE: Final = " \t\r\n"


def read_json(text: str) -> list[Node]:
    """Return the document of a JSON text, as a list of one.

    Raises:
        InvalidInput: the text is no JSON.
    """
    try:
        json.loads(text)  # the whole grammar, checked by its own parser
        return [_Json(text).value(0, 0)[0]]
    except (ValueError, RecursionError) as fault:
        raise InvalidInput.single("not JSON", "the text", f"{fault!s:.200}") from None


class _Json:
    """Walks a text that is known to be JSON."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._decoder = json.JSONDecoder()

    def _skip(self, at: int, more: str = "") -> int:
        while at < len(self._text) and self._text[at] in _SPACE + more:
            at += 1
        return at

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        """Return the node that begins at or after `at`, and where it ends."""
        at = self._skip(at)
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")
        opening = self._text[at]
        if opening not in "{[":
            value, end = self._decoder.raw_decode(self._text, at)
            if isinstance(value, str):
                return Node("scalar", at, end, value=value, style='"', flow=True), end
            kind: Literal["null", "scalar"] = "null" if value is None else "scalar"
            return Node(kind, at, end, value=self._text[at:end], flow=True), end
        made = Node("map" if opening == "{" else "seq", at, at, flow=True)
        at = self._skip(at + 1)
        while self._text[at] not in "}]":
            first, at = self.value(at, depth + 1)
            at = self._skip(at)
            if opening == "{":
                second, at = self.value(at + 1, depth + 1)
                made.pairs.append((first, second))
            else:
                made.items.append(first)
            at = self._skip(at, ",")
        made.end = at + 1
        return made, made.end


def values_of(documents: list[Node]) -> Iterator[tuple[int, str, str, int]]:
    """Yield every scalar with the number of its document and its path; one that is aliased once for each place.

    Bounded, since aliases of aliases can make a small file describe very many places.
    """
    budget = [200_000]

    def walk(node: Node, path: str, depth: int) -> Iterator[tuple[str, Node]]:
        budget[0] -= 1
        if budget[0] < 0 or depth > _DEEPEST:
            raise InvalidInput.single("not read", path, "the aliases of this file describe too many places")
        if node.kind in ("scalar", "null"):
            yield path, node
        for name, value in node.pairs:
            yield from walk(value, f"{path}.{name.value}", depth + 1)
        for number, item in enumerate(node.items):
            yield from walk(item, f"{path}[{number}]", depth + 1)

    for number, document in enumerate(documents):
        for path, node in walk(document, "$", 0):
            yield number, path, node.value, id(node)
