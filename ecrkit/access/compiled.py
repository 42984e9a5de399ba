"""Documents prepared for many evaluations: statements found by action, patterns cut once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Final, Literal

import attrs

from ecrkit.access.conditions import Context, condition_holds
from ecrkit.access.documents import PolicyDocument
from ecrkit.access.matching import Glob, Unresolved, arn_glob, substitute
from ecrkit.access.statements import Principal, Statement

__all__ = ["Answer", "Caller", "CompiledDocument", "Match", "compile_document"]

Answer = bool | None
"""True, False, or None for *nobody can tell*."""

Reach = Literal["direct", "account", "session"]


@attrs.frozen(kw_only=True)
class Caller:
    """Who asks: the ARN (of a session, user, role, identity provider) or the service, and what it belongs to."""

    name: str
    account: str | None = None
    role_arn: str | None = None
    session_arn: str | None = None
    service: bool = False
    federated: bool = False
    service_linked: bool = False

    def names(self) -> frozenset[str]:
        """Return every text under which a policy can name the caller itself."""
        return frozenset(n for n in (self.name, self.role_arn, self.session_arn) if n)


@attrs.frozen(kw_only=True)
class Match:
    """How one statement answers: whether it applies, and whether it names the caller, its session or its account."""

    index: int
    statement: Statement
    applies: Answer
    reach: Reach = "direct"


def _both(answers: Sequence[Answer]) -> Answer:
    return False if False in answers else (None if None in answers else True)


def _principal(entries: Sequence[Principal], caller: Caller) -> tuple[Answer, Reach]:
    best: Reach | None = None
    for entry in entries:
        if entry.everyone:
            return True, "direct"
        if entry.kind == "Service" and caller.service and entry.value == caller.name:
            return True, "direct"
        if entry.kind == "Federated" and caller.federated and entry.value == caller.name:
            return True, "direct"
        if entry.kind == "AWS":
            if entry.account is not None and entry.account == caller.account and not caller.service:
                best = best or "account"
            elif caller.session_arn and entry.value == caller.session_arn:
                best = "session"
            elif entry.value in caller.names() and best != "session":
                best = "direct"
    return best is not None, best or "direct"


def _not_principal(entries: Sequence[Principal], caller: Caller) -> Answer:
    if any(e.everyone for e in entries):
        return False
    named = {e.value for e in entries if e.kind in {"AWS", "Service", "Federated"}}
    accounts = {e.account for e in entries}
    whole = {n for n in (caller.role_arn, caller.session_arn) if n} or {caller.name}
    hits = len(whole & named)
    account = caller.account is None or caller.service or caller.account in accounts
    if hits == len(whole) and account:
        return False
    # AWS wants the account, the role and the session listed; what it does with a part of them depends.
    return None if hits or (caller.account is not None and caller.account in accounts) else True


_Pattern = Callable[[str, Context], Answer]


def _resource_pattern(pattern: str, *, variables: bool) -> _Pattern:
    if variables and "${" in pattern:

        def dynamic(resource: str, context: Context) -> Answer:
            try:
                return arn_glob(substitute(pattern, context.single), resource)
            except Unresolved as missing:
                return None if context.is_unknown(missing.key) else False

        return dynamic
    marked = substitute(pattern, lambda _key: None, variables=False)

    def fixed(resource: str, _context: Context) -> Answer:
        return arn_glob(marked, resource)

    return fixed


def _some(patterns: Sequence[_Pattern], resource: str, context: Context) -> Answer:
    unsure = False
    for pattern in patterns:
        answer = pattern(resource, context)
        if answer:
            return True
        unsure = unsure or answer is None
    return None if unsure else False


@attrs.frozen(kw_only=True)
class _Prepared:
    index: int
    statement: Statement
    variables: bool
    resources: tuple[_Pattern, ...] | None
    not_resources: tuple[_Pattern, ...] | None

    def match(self, resource: str, caller: Caller, context: Context) -> Match | None:
        statement = self.statement
        if statement.problems:
            return Match(index=self.index, statement=statement, applies=None)
        reach: Reach = "direct"
        answers: list[Answer] = []
        if self.resources is not None:
            answers.append(_some(self.resources, resource, context))
            if answers[0] is False:
                return None
        if statement.principals is not None:
            who, reach = _principal(statement.principals, caller)
            answers.append(who)
        elif statement.not_principals is not None:
            answers.append(_not_principal(statement.not_principals, caller))
        if self.not_resources is not None:
            named = _some(self.not_resources, resource, context)
            answers.append(None if named is None else not named)
        if False not in answers:
            answers += [
                condition_holds(c.operator, c.key, c.values, context, variables=self.variables)
                for c in statement.conditions
            ]
        return Match(index=self.index, statement=statement, applies=_both(answers), reach=reach)


_CACHE: Final = 512


@attrs.frozen(eq=False)
class CompiledDocument:
    """The statements of a document by action; the second question about an action looks at its statements only."""

    _exact: dict[str, list[_Prepared]]
    _wild: list[tuple[tuple[Glob, ...], bool, _Prepared]]
    _opaque: list[_Prepared]
    _found: dict[str, tuple[_Prepared, ...]] = attrs.field(factory=dict, init=False)

    def candidates(self, action: str) -> tuple[_Prepared, ...]:
        """Return the statements whose Action or NotAction lets `action` in, in document order."""
        low = action.lower()
        known = self._found.get(low)
        if known is None:
            some = {p.index: p for p in (*self._exact.get(low, ()), *self._opaque)}
            for globs, negated, prepared in self._wild:
                if any(g.matches(low) for g in globs) != negated:
                    some[prepared.index] = prepared
            known = tuple(some[i] for i in sorted(some))
            if len(self._found) < _CACHE:
                self._found[low] = known
        return known

    def matches(self, action: str, resource: str, caller: Caller, context: Context) -> list[Match]:
        """Return the statements that apply or may apply, in document order."""
        found = [p.match(resource, caller, context) for p in self.candidates(action)]
        return [m for m in found if m is not None and m.applies is not False]


def compile_document(document: PolicyDocument) -> CompiledDocument:
    """Return the document prepared for many evaluations; `PolicyDocument.compiled` keeps it."""
    exact: dict[str, list[_Prepared]] = {}
    wild: list[tuple[tuple[Glob, ...], bool, _Prepared]] = []
    opaque: list[_Prepared] = []
    variables = document.version == "2012-10-17"
    pattern = functools.lru_cache(maxsize=None)(functools.partial(_resource_pattern, variables=variables))
    for index, statement in enumerate(document.statements):
        prepared = _Prepared(
            index=index, statement=statement, variables=variables,
            resources=None if statement.resources is None else tuple(map(pattern, statement.resources)),
            not_resources=None if statement.not_resources is None else tuple(map(pattern, statement.not_resources)),
        )  # fmt: skip
        if statement.problems:
            opaque.append(prepared)
        elif statement.not_actions is not None:
            wild.append((tuple(Glob.of(a.lower()) for a in statement.not_actions), True, prepared))
        else:
            names = [a.lower() for a in statement.actions or ()]
            for name in set(names):
                if "*" not in name and "?" not in name:
                    exact.setdefault(name, []).append(prepared)
            globs = tuple(Glob.of(n) for n in names if "*" in n or "?" in n)
            if globs:
                wild.append((globs, False, prepared))
    return CompiledDocument(exact, wild, opaque)
