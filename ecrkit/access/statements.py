"""One statement of a policy: who, what, where, when; read from JSON and written back."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.conditions import split_operator
from ecrkit.errors import Problem

__all__ = ["Condition", "Principal", "Statement", "read_statement", "statement_dict"]

_MEMBERS: Final = {
    "Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Principal", "NotPrincipal", "Condition",
}  # fmt: skip
_PRINCIPAL_KINDS: Final = {"AWS", "Service", "Federated", "CanonicalUser"}
_ROOT: Final = re.compile(r"arn:[a-z-]+:iam::([0-9]{12}):root")
_NO_PRINCIPAL: Final = {"identity", "permissions_boundary", "session", "service_control"}
_NO_RESOURCE: Final = {"repository", "trust"}


@attrs.frozen
class Principal(Record):
    """One entry of a `Principal` element; `kind` is `AWS`, `Service`, `Federated`, `CanonicalUser` or `*`."""

    kind: str
    value: str

    @property
    def account(self) -> str | None:
        """The account that an account principal (12 digits or the root ARN) stands for."""
        if self.kind != "AWS":
            return None
        if len(self.value) == 12 and self.value.isdecimal():
            return self.value
        found = _ROOT.fullmatch(self.value)
        return found.group(1) if found else None

    @property
    def everyone(self) -> bool:
        """Whether the entry stands for everybody: `"*"` or `{"AWS": "*"}`."""
        return self.value == "*" and self.kind in {"*", "AWS"}


@attrs.frozen
class Condition(Record):
    """One operator with one key and its values."""

    operator: str
    key: str
    values: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Statement(Record):
    """One statement. An element that is not given is None; `problems` make the statement opaque."""

    effect: str
    actions: tuple[str, ...] | None = None
    not_actions: tuple[str, ...] | None = None
    resources: tuple[str, ...] | None = None
    not_resources: tuple[str, ...] | None = None
    principals: tuple[Principal, ...] | None = None
    not_principals: tuple[Principal, ...] | None = None
    conditions: tuple[Condition, ...] = ()
    sid: str | None = None
    problems: tuple[Problem, ...] = ()

    @classmethod
    def opaque(cls, problems: Iterable[Problem]) -> Self:
        """Return a statement of which nobody knows what it does."""
        return cls(effect="?", problems=tuple(problems))

    def sorted(self) -> Self:
        """Return the statement without Sid, every list sorted and without repetition."""

        def order(values: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if values is None else tuple(sorted(set(values)))

        def people(who: tuple[Principal, ...] | None) -> tuple[Principal, ...] | None:
            return None if who is None else tuple(sorted(set(who), key=lambda p: (p.kind, p.value)))

        limits = {(c.operator, c.key): attrs.evolve(c, values=tuple(sorted(set(c.values)))) for c in self.conditions}
        return attrs.evolve(
            self, sid=None, actions=order(self.actions), not_actions=order(self.not_actions),
            resources=order(self.resources), not_resources=order(self.not_resources),
            principals=people(self.principals), not_principals=people(self.not_principals),
            conditions=tuple(c for _, c in sorted(limits.items())),
        )  # fmt: skip

    def meaning(self) -> str:
        """Return a text that is equal for statements that say the same."""
        parts: dict[str, Any] = {"Effect": self.effect}
        for name, values in (("Action", self.actions), ("NotAction", self.not_actions)):
            if values is not None:
                parts[name] = sorted({v.lower() for v in values})
        for name, values in (("Resource", self.resources), ("NotResource", self.not_resources)):
            if values is not None:
                parts[name] = sorted(set(values))
        for name, who in (("Principal", self.principals), ("NotPrincipal", self.not_principals)):
            if who is not None:
                parts[name] = sorted({_who(p) for p in who})
        if self.conditions:
            parts["Condition"] = sorted(
                {json.dumps([c.operator.lower(), c.key.lower(), sorted(set(c.values))]) for c in self.conditions}
            )
        if self.problems:
            parts["Problems"] = [str(p) for p in self.problems]
        return json.dumps(parts, sort_keys=True)


def _who(principal: Principal) -> str:
    if principal.everyone:
        return "*"
    return f"{principal.kind}:{principal.account or principal.value}"


def _texts(value: Any, path: str, problems: list[Problem]) -> tuple[str, ...]:
    listed = value if isinstance(value, list) else [value]
    if not listed or not all(isinstance(v, str) and v for v in listed):
        problems.append(Problem(path, "must be a text or a list of texts, none empty"))
        return ()
    return tuple(listed)


def _principals(value: Any, path: str, problems: list[Problem]) -> tuple[Principal, ...]:
    if value == "*":
        return (Principal("*", "*"),)
    if not isinstance(value, Mapping) or not value:
        problems.append(Problem(path, 'must be {"AWS": ...}, {"Service": ...}, {"Federated": ...} or "*"'))
        return ()
    found: list[Principal] = []
    for kind, listed in value.items():
        if kind not in _PRINCIPAL_KINDS:
            problems.append(Problem(f"{path}.{kind}", "no kind of principal"))
            continue
        found += [Principal(kind, v) for v in _texts(listed, f"{path}.{kind}", problems)]
    return tuple(found)


def _scalar(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else None


def _conditions(value: Any, path: str, problems: list[Problem]) -> tuple[Condition, ...]:
    if not isinstance(value, Mapping):
        problems.append(Problem(path, "must be an object of operators"))
        return ()
    found: list[Condition] = []
    for operator, keys in value.items():
        here = f"{path}.{operator}"
        if split_operator(operator) is None:
            problems.append(Problem(here, "no condition operator of IAM"))
        if not isinstance(keys, Mapping):
            problems.append(Problem(here, "must be an object of condition keys"))
            continue
        for key, listed in keys.items():
            texts = [_scalar(v) for v in (listed if isinstance(listed, list) else [listed])]
            good = tuple(t for t in texts if t is not None)
            if len(good) != len(texts) or not good:
                problems.append(Problem(f"{here}.{key}", "must be a text, number, boolean or a list of them"))
            found.append(Condition(operator, key, good))
    return tuple(found)


def read_statement(raw: Any, kind: str, path: str) -> Statement:
    """Return the statement of a JSON value, with every problem that a policy of this kind has with it."""
    problems: list[Problem] = []
    if not isinstance(raw, Mapping):
        return Statement.opaque([Problem(path, "a statement is a JSON object")])
    problems += [Problem(f"{path}.{k}", "unknown element") for k in raw if k not in _MEMBERS]
    effect = raw.get("Effect")
    if effect not in ("Allow", "Deny"):  # any JSON may stand there, also what has no hash
        problems.append(Problem(f"{path}.Effect", 'must be "Allow" or "Deny"'))
    for name in ("Action", "Resource", "Principal"):
        if name in raw and f"Not{name}" in raw:
            problems.append(Problem(f"{path}.Not{name}", f"cannot stand beside {name}"))
    if "Action" not in raw and "NotAction" not in raw:
        problems.append(Problem(f"{path}.Action", "is missing"))
    problems += _shape(raw, kind, path)
    sid = raw.get("Sid")
    if sid is not None and not isinstance(sid, str):
        problems.append(Problem(f"{path}.Sid", "must be a text"))
    fields: dict[str, Any] = {}
    for name, field in (("Action", "actions"), ("Resource", "resources")):
        for prefix, own in (("", field), ("Not", f"not_{field}")):
            if prefix + name in raw:
                fields[own] = _texts(raw[prefix + name], f"{path}.{prefix}{name}", problems)
    for name, own in (("Principal", "principals"), ("NotPrincipal", "not_principals")):
        if name in raw:
            fields[own] = _principals(raw[name], f"{path}.{name}", problems)
    if "Condition" in raw:
        fields["conditions"] = _conditions(raw["Condition"], f"{path}.Condition", problems)
    return Statement(
        effect=str(effect), sid=sid if isinstance(sid, str) else None, problems=tuple(problems), **fields
    )  # fmt: skip


def _shape(raw: Mapping[str, Any], kind: str, path: str) -> list[Problem]:
    problems: list[Problem] = []
    has_principal = "Principal" in raw or "NotPrincipal" in raw
    has_resource = "Resource" in raw or "NotResource" in raw
    if kind in _NO_PRINCIPAL and has_principal:
        problems.append(Problem(f"{path}.Principal", f"has no place in a policy of kind {kind}"))
    if kind not in _NO_PRINCIPAL and not has_principal:
        problems.append(Problem(f"{path}.Principal", "is missing"))
    if kind in _NO_RESOURCE and has_resource:
        name = "Resource" if "Resource" in raw else "NotResource"
        quoted = "Invalid repository policy provided" if kind == "repository" else None
        problems.append(
            Problem(f"{path}.{name}", "must be left out: the policy is about what it hangs on", quoted=quoted)
        )
    if kind not in _NO_RESOURCE and not has_resource:
        quoted = "Invalid registry policy provided" if kind == "registry" else None
        problems.append(Problem(f"{path}.Resource", "is missing", quoted=quoted))
    return problems


def _one_or_many(values: tuple[str, ...]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _principal_dict(who: tuple[Principal, ...]) -> str | dict[str, Any]:
    if any(p.kind == "*" for p in who):
        return "*"
    kinds: dict[str, list[str]] = {}
    for principal in who:
        kinds.setdefault(principal.kind, []).append(principal.value)
    return {kind: _one_or_many(tuple(values)) for kind, values in kinds.items()}


def statement_dict(statement: Statement) -> dict[str, Any]:
    """Return the statement as AWS writes it; a list of one value becomes the value."""
    out: dict[str, Any] = {}
    if statement.sid is not None:
        out["Sid"] = statement.sid
    out["Effect"] = statement.effect
    for name, who in (("Principal", statement.principals), ("NotPrincipal", statement.not_principals)):
        if who is not None:
            out[name] = _principal_dict(who)
    for name, values in (
        ("Action", statement.actions),
        ("NotAction", statement.not_actions),
        ("Resource", statement.resources),
        ("NotResource", statement.not_resources),
    ):
        if values is not None:
            out[name] = _one_or_many(values)
    if statement.conditions:
        conditions: dict[str, dict[str, Any]] = {}
        for c in statement.conditions:
            conditions.setdefault(c.operator, {})[c.key] = _one_or_many(c.values)
        out["Condition"] = conditions
    return out
