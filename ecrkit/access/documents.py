"""Policy documents as values: read with every problem named, compared by meaning, sized, merged and split.

Source: IAM user guide, "Grammar of the IAM JSON policy language" and "IAM and AWS STS quotas"; ECR user guide,
"Private repository policies" and "Private registry permissions".
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.access.statements import Principal, Statement, read_statement, statement_dict
from ecrkit.errors import InvalidPolicy, Problem

if TYPE_CHECKING:
    from ecrkit.access.compiled import CompiledDocument

__all__ = ["BUDGETS", "PolicyDocument", "PolicyKind", "Principal", "Statement", "merge"]

PolicyKind = Literal[
    "identity", "permissions_boundary", "session", "service_control", "resource_control", "trust", "repository",
    "registry", "vpc_endpoint", "key",
]  # fmt: skip
"""What a document is attached to; it decides which elements it may hold."""

BUDGETS: Final[Mapping[str, int]] = {
    "managed": 6_144,
    "role-inline": 10_240,
    "user-inline": 2_048,
    "group-inline": 5_120,
    "trust": 2_048,
    "trust-adjusted": 8_192,
    "repository": 10_240,
    "registry": 10_240,
    "vpc_endpoint": 20_480,
    "key": 32_768,
}
"""Characters that a document may have, by where it goes; inline budgets hold for all inline policies together."""

_TOP: Final = {"Version", "Id", "Statement"}
_VERSIONS: Final = ("2012-10-17", "2008-10-17")


@attrs.frozen(kw_only=True, eq=False)
class PolicyDocument(Record):
    """One policy document. Equality and hash go by meaning: order, Sid, scalar or list do not matter.

    Example:
        >>> one = PolicyDocument.parse(
        ...     '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:ListImages","Resource":"*"}}'
        ... )
        >>> two = PolicyDocument.parse(
        ...     {"Version": "2012-10-17", "Statement": [
        ...         {"Sid": "T", "Effect": "Allow", "Action": ["ECR:listimages"], "Resource": ["*"]}]}
        ... )
        >>> one == two, one.size
        (True, 98)
    """

    statements: tuple[Statement, ...]
    kind: PolicyKind = "identity"
    version: str = "2012-10-17"
    id: str | None = None
    problems: tuple[Problem, ...] = ()

    @classmethod
    def parse(cls, source: str | Mapping[str, Any], *, kind: PolicyKind = "identity") -> Self:
        """Return the document of a JSON text or a parsed mapping.

        Raises:
            InvalidPolicy: AWS would refuse the document; `problems` names everything that is wrong, with JSON paths.
        """
        document = cls.read(source, kind=kind)
        if document.problems:
            raise InvalidPolicy(f"invalid {kind.replace('_', ' ')} policy", document.problems)
        return document

    @classmethod
    def read(cls, source: str | Mapping[str, Any], *, kind: PolicyKind = "identity") -> Self:
        """Return the document however wrong it is: `problems` tells, and a statement with problems stays opaque.

        An evaluator answers *unknown* wherever an opaque statement might decide.
        """
        problems: list[Problem] = []
        raw = _loaded(source, problems) if isinstance(source, str) else source
        if not isinstance(raw, Mapping):
            problems.append(Problem("$", "a policy is a JSON object"))
            return cls(statements=(Statement.opaque(problems),), kind=kind, problems=tuple(problems))
        problems += [Problem(f"$.{k}", "unknown element") for k in raw if k not in _TOP]
        version = raw.get("Version", "2008-10-17")
        if version not in _VERSIONS:
            problems.append(Problem("$.Version", 'must be "2012-10-17"'))
        listed = raw.get("Statement")
        if isinstance(listed, Mapping):
            listed = [listed]
        if not isinstance(listed, list) or not listed:
            problems.append(Problem("$.Statement", "needs at least one statement"))
            listed = []
        whole = tuple(problems)
        statements = [read_statement(s, kind, f"$.Statement[{i}]") for i, s in enumerate(listed)]
        problems += [p for s in statements for p in s.problems]
        if whole:
            statements.append(Statement.opaque(whole))
        return cls(
            statements=tuple(statements), kind=kind, version=str(version),
            id=raw.get("Id") if isinstance(raw.get("Id"), str) else None, problems=tuple(problems),
        )  # fmt: skip

    @override
    def to_dict(self) -> dict[str, Any]:
        """Return the document as AWS takes it, statements and values in their order."""
        head: dict[str, Any] = {"Version": self.version}
        if self.id is not None:
            head["Id"] = self.id
        return {**head, "Statement": [statement_dict(s) for s in self.statements if not s.problems]}

    @override
    def to_json(self, *, indent: int | None = None) -> str:
        """Return the JSON text of `to_dict()`; without `indent` it is compact."""
        separators = (",", ":") if indent is None else None
        return json.dumps(self.to_dict(), indent=indent, separators=separators, ensure_ascii=False)

    def canonical(self) -> str:
        """Return one text for all documents of the same elements: sorted, deduplicated, compact, without Sids."""
        whole = {
            "Version": self.version,
            "Statement": [
                statement_dict(s) for _, s in sorted({s.meaning(): s.sorted() for s in self.statements}.items())
            ],
        }
        return json.dumps(whole, separators=(",", ":"), sort_keys=True, ensure_ascii=False)

    @functools.cached_property
    def _meaning(self) -> tuple[str, frozenset[str], bool]:
        # The version matters only to policy variables.
        found = frozenset(s.meaning() for s in self.statements)
        return self.kind, found, self.version == "2012-10-17" and any("${" in m for m in found)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, PolicyDocument) and self._meaning == other._meaning

    @override
    def __hash__(self) -> int:
        return hash(self._meaning)

    @functools.cached_property
    def compiled(self) -> CompiledDocument:
        """The document prepared for many evaluations."""
        from ecrkit.access.compiled import compile_document

        return compile_document(self)

    @property
    def size(self) -> int:
        """Characters as IAM counts them: without white space between the elements."""
        return len(self.to_json())

    def fits(self, budget: str) -> bool:
        """Return whether the document keeps within one of `BUDGETS`."""
        return self.size <= BUDGETS[budget]

    def split(self, limit: int | str = "managed") -> tuple[PolicyDocument, ...]:
        """Return documents of at most `limit` characters that together mean the same; the statements keep their order.

        A statement that is too long is cut at its longest list. Attach all of them to the same principal.

        Raises:
            InvalidPolicy: a statement cannot be cut any further.
        """
        most = BUDGETS[limit] if isinstance(limit, str) else limit
        frame = attrs.evolve(self, statements=()).size
        packs: list[list[Statement]] = [[]]
        used = frame
        for piece in (p for s in self.statements for p in _cut(s, most - frame)):
            length = _length(piece) + 1
            if packs[-1] and used + length - 1 > most:
                packs.append([])
                used = frame
            packs[-1].append(piece)
            used += length
        return tuple(attrs.evolve(self, statements=tuple(p)) for p in packs)


def _loaded(text: str, problems: list[Problem]) -> object:
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        names = [k for k, _ in items]
        problems.extend(
            Problem("$", f"the member {n!r} is given twice") for n in sorted(set(names)) if names.count(n) > 1
        )
        return dict(items)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError) as fault:
        problems.append(Problem("$", f"not JSON: {fault}"))
        return None


def _length(statement: Statement) -> int:
    return len(json.dumps(statement_dict(statement), separators=(",", ":"), ensure_ascii=False))


def _cut(statement: Statement, room: int) -> Iterable[Statement]:
    if _length(statement) <= room:
        return (statement,)
    # Halving a list of alternatives keeps the meaning; lists under Not... are no alternatives.
    lists: dict[str, tuple[Any, ...]] = {
        name: value
        for name in ("actions", "resources", "principals")
        if (value := getattr(statement, name)) and len(value) > 1
    }
    if not lists:
        raise InvalidPolicy(
            "cannot be split",
            [Problem("$.Statement", f"one statement has {_length(statement)} characters, more than {room}")],
        )
    name = max(lists, key=lambda n: sum(len(str(v)) for v in lists[n]))
    half = len(lists[name]) // 2
    changes: list[dict[str, Any]] = [
        {name: lists[name][:half], "sid": statement.sid},
        {name: lists[name][half:], "sid": None},
    ]
    return [piece for change in changes for piece in _cut(attrs.evolve(statement, **change), room)]


def merge(*documents: PolicyDocument) -> PolicyDocument:
    """Return one document with the statements of all, each meaning once; a repeated Sid is dropped.

    Raises:
        InvalidPolicy: the documents are of different kinds, or disagree about the version while using variables.
    """
    first = documents[0]
    if any(d.kind != first.kind for d in documents):
        raise InvalidPolicy("cannot be merged", [Problem("$", "the documents are of different kinds")])
    if len({d.version for d in documents}) > 1 and any("${" in s.meaning() for d in documents for s in d.statements):
        raise InvalidPolicy(
            "cannot be merged", [Problem("$.Version", "decides whether ${...} is a variable, and differs")]
        )
    seen: set[str] = set()
    sids: set[str] = set()
    kept: list[Statement] = []
    for statement in (s for d in documents for s in d.statements):
        meaning = statement.meaning()
        if meaning in seen:
            continue
        seen.add(meaning)
        if statement.sid is not None and statement.sid in sids:
            statement = attrs.evolve(statement, sid=None)
        elif statement.sid is not None:
            sids.add(statement.sid)
        kept.append(statement)
    version = max(d.version for d in documents)
    return attrs.evolve(
        first, statements=tuple(kept), version=version, problems=tuple(p for d in documents for p in d.problems)
    )
