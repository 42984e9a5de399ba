"""The condition operators of IAM over a request's context, with a third answer for what nobody can tell.

Source: IAM user guide, "IAM JSON policy elements: Condition operators", "Multivalued context keys".
An absent key makes a positive operator false and a negated one true; `...IfExists` and `ForAllValues:` are then true.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import ipaddress
import operator as op
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import attrs

from ecrkit.access.matching import Glob, Unresolved, arn_glob, substitute

__all__ = ["OPERATORS", "Context", "ContextValue", "condition_holds", "split_operator"]

ContextValue = str | bool | int | float | Sequence[str]
"""A value of a condition key; a sequence for a key with several values."""

_Test = Callable[[str, str], bool | None]

OPERATORS: Final = (
    "StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase", "StringLike",
    "StringNotLike", "NumericEquals", "NumericNotEquals", "NumericLessThan", "NumericLessThanEquals",
    "NumericGreaterThan", "NumericGreaterThanEquals", "DateEquals", "DateNotEquals", "DateLessThan",
    "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals", "Bool", "BinaryEquals", "IpAddress",
    "NotIpAddress", "ArnEquals", "ArnLike", "ArnNotEquals", "ArnNotLike", "Null",
)  # fmt: skip
"""Every operator, without set qualifiers and `IfExists`."""
_CANONICAL: Final = {o.lower(): o for o in OPERATORS}


@attrs.frozen
class Context:
    """What is known of a request: keys with values, and keys whose value nobody knows.

    `unknown` holds lower-case keys; `*` in it means every key that is not listed. Keys compare in any letter case.
    """

    values: Mapping[str, tuple[str, ...]] = attrs.field(factory=dict, hash=False)
    unknown: frozenset[str] = frozenset()

    def get(self, key: str) -> tuple[str, ...] | None:
        """Return the values of the key, or None when it is absent or not known."""
        return self.values.get(key.lower())

    def is_unknown(self, key: str) -> bool:
        """Return whether nobody knows if the request carries the key."""
        low = key.lower()
        return low not in self.values and ("*" in self.unknown or low in self.unknown)

    def single(self, key: str) -> str | None:
        """Return the value of a key that has exactly one."""
        found = self.get(key)
        return found[0] if found is not None and len(found) == 1 else None


def split_operator(name: str) -> tuple[str, str, bool] | None:
    """Return the set qualifier (`all`, `any` or empty), the operator and `IfExists`; None for an unknown operator.

    Example:
        >>> split_operator("ForAnyValue:StringLikeIfExists")
        ('any', 'StringLike', True)
    """
    low = name.lower()
    qualifier = ""
    for prefix, short in (("forallvalues:", "all"), ("foranyvalue:", "any")):
        if low.startswith(prefix):
            qualifier, low = short, low[len(prefix) :]
    if_exists = low.endswith("ifexists") and low != "null"
    if if_exists:
        low = low[: -len("ifexists")]
    found = _CANONICAL.get(low)
    return None if found is None or (found == "Null" and (qualifier or if_exists)) else (qualifier, found, if_exists)


def _number(left: str, right: str, compare: Callable[[Decimal, Decimal], bool]) -> bool | None:
    try:
        return compare(Decimal(left), Decimal(right))
    except InvalidOperation:
        return None


def _instant(text: str) -> dt.datetime:
    try:
        return dt.datetime.fromtimestamp(int(text), dt.UTC)
    except (ValueError, OverflowError, OSError):
        found = dt.datetime.fromisoformat(text)
        return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _date(left: str, right: str, compare: Callable[[dt.datetime, dt.datetime], bool]) -> bool | None:
    try:
        return compare(_instant(left), _instant(right))
    except ValueError:
        return None


def _address(have: str, want: str) -> bool | None:
    try:
        address, network = ipaddress.ip_address(have), ipaddress.ip_network(want, strict=False)
    except ValueError:
        return None
    return address.version == network.version and address in network


def _binary(have: str, want: str) -> bool | None:
    try:
        return base64.b64decode(have, validate=True) == base64.b64decode(want, validate=True)
    except (binascii.Error, ValueError):
        return None


def _boolean(have: str, want: str) -> bool | None:
    return have.lower() == want.lower() if want.lower() in {"true", "false"} else None


_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "Equals": op.eq, "LessThan": op.lt, "LessThanEquals": op.le, "GreaterThan": op.gt, "GreaterThanEquals": op.ge,
}  # fmt: skip


def _test_of(name: str) -> tuple[_Test, bool]:
    """Return the test of one request value against one policy value, and whether the operator negates it."""
    negated = "Not" in name
    base = name.replace("Not", "")
    if base in {"StringEquals", "BinaryEquals"}:
        return (_binary if base == "BinaryEquals" else lambda have, want: have == want), negated
    if base == "StringEqualsIgnoreCase":
        return (lambda have, want: have.lower() == want.lower()), negated
    if base == "StringLike":
        return (lambda have, want: Glob.marked(want).matches(have)), negated
    if base.startswith("Arn"):
        return (lambda have, want: arn_glob(want, have)), negated
    if base == "IpAddress":
        return _address, negated
    if base == "Bool":
        return _boolean, negated
    kind, compare = (_number, _COMPARE[base[7:]]) if base.startswith("Numeric") else (_date, _COMPARE[base[4:]])
    return (lambda have, want: kind(have, want, compare)), negated


_TESTS: Final = {name: _test_of(name) for name in OPERATORS if name != "Null"}


def _any(answers: Sequence[bool | None]) -> bool | None:
    return True if True in answers else (None if None in answers else False)


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def condition_holds(
    operator: str, key: str, values: Sequence[str], context: Context, *, variables: bool = True
) -> bool | None:
    """Return whether one condition holds; None when the operator, a value or the request's key is not known.

    Example:
        >>> condition_holds("StringEquals", "aws:PrincipalOrgID", ["o-1"], Context({"aws:principalorgid": ("o-1",)}))
        True
        >>> condition_holds("ForAllValues:StringEquals", "aws:PrincipalOrgID", ["o-1"], Context())
        True
        >>> condition_holds("StringSounds", "aws:PrincipalOrgID", ["o-1"], Context()) is None
        True
    """
    parsed = split_operator(operator)
    if parsed is None or context.is_unknown(key):
        return None
    qualifier, name, if_exists = parsed
    have = context.get(key)
    if name == "Null":
        answers = [_boolean("true" if not have else "false", v) for v in values]
        return _any(answers)
    test, negated = _TESTS[name]
    if have is None or (qualifier and not have):
        if if_exists or qualifier == "all":
            return True
        return negated and qualifier != "any"
    wildcards = name in {"StringLike", "StringNotLike"} or name.startswith("Arn")
    wanted: list[str] = []
    for value in values:
        try:
            wanted.append(substitute(value, context.single, variables=variables, wildcards=wildcards))
        except Unresolved:
            return None

    def one(value: str) -> bool | None:
        answer = _any([test(value, want) for want in wanted])
        return _not(answer) if negated else answer

    if qualifier == "any":
        return _any([one(v) for v in have])
    if qualifier == "all":
        return _not(_any([_not(one(v)) for v in have]))
    return one(have[0]) if len(have) == 1 else None
