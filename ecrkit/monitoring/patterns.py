"""EventBridge patterns: checked, matched against events without a call, and told apart from those that never fire.

Source: EventBridge user guide, "Event patterns" and "Comparison operators"; ECR user guide, "Amazon ECR events and
EventBridge".
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.globs import compile_glob
from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem

__all__ = ["KNOWN_EVENTS", "EventPattern", "KnownEvent", "never_fires"]

_LONGEST: Final = 2048
_ENVELOPE: Final = frozenset(
    {"version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail"}
)
_OPERATORS: Final = ("prefix", "suffix", "equals-ignore-case", "wildcard", "anything-but", "numeric", "exists", "cidr")
_COMPARE: Final[Mapping[str, Callable[[float, float], bool]]] = {
    "=": lambda a, b: a == b, "<": lambda a, b: a < b, "<=": lambda a, b: a <= b, ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}  # fmt: skip
_ABSENT: Final = object()


@attrs.frozen(kw_only=True, repr=False)
class EventPattern(Record):
    """A pattern that EventBridge takes. Every member that it names must match; the values of one are alternatives.

    Make it with `parse`, which tells all problems at once.
    """

    document: Mapping[str, Any] = attrs.field(hash=False)

    @classmethod
    def parse(cls, pattern: Mapping[str, Any] | str) -> EventPattern:
        """Return the checked pattern of a mapping or of JSON text.

        Raises:
            InvalidInput: EventBridge would refuse it; every problem with its path.

        Example:
            >>> found = EventPattern.parse({"source": ["aws.ecr"], "detail": {"result": ["SUCCESS"]}})
            >>> found.matches({"source": "aws.ecr", "detail": {"result": "SUCCESS", "action-type": "PUSH"}})
            True
        """
        document: object = pattern
        if isinstance(pattern, str):
            try:
                document = json.loads(pattern)
            except (ValueError, RecursionError) as fault:
                raise InvalidInput.single("not an event pattern", "$", f"is not JSON: {fault!s:.200}") from None
        if not isinstance(document, Mapping) or not document:
            raise InvalidInput.single("not an event pattern", "$", "must be an object that names a member at least")
        problems: list[Problem] = []
        _check(document, "$", problems, depth=0)
        try:
            length = len(json.dumps(document))
        except (TypeError, ValueError) as fault:
            raise InvalidInput.single("not an event pattern", "$", f"is not JSON: {fault!s:.200}") from None
        if length > _LONGEST:
            problems.append(Problem("$", f"has {length} characters, EventBridge takes {_LONGEST}"))
        if problems:
            raise InvalidInput("not an event pattern", problems)
        return cls(document=document)

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Return whether an event, as EventBridge delivers it, is selected."""
        return _matches_object(self.document, event)

    @override
    def to_dict(self) -> dict[str, Any]:
        return json.loads(json.dumps(self.document))  # type: ignore[no-any-return]  # what was a mapping stays one

    @override
    def __repr__(self) -> str:
        return f"<EventPattern {json.dumps(self.document)}>"


def _check(value: Mapping[Any, Any], path: str, problems: list[Problem], *, depth: int) -> None:
    if depth > 32:
        problems.append(Problem(path, "nests too deep"))
        return
    for key, rule in value.items():
        at = f"{path}.{key}"
        if not isinstance(key, str):
            problems.append(Problem(at, "must be named by text"))
        elif key == "$or":
            if not isinstance(rule, list) or len(rule) < 2 or not all(isinstance(one, Mapping) and one for one in rule):
                problems.append(Problem(at, "must be a list of two objects at least"))
                continue
            for number, one in enumerate(rule):
                _check(one, f"{at}[{number}]", problems, depth=depth + 1)
        elif isinstance(rule, Mapping):
            if rule:
                _check(rule, at, problems, depth=depth + 1)
            else:
                problems.append(Problem(at, "is empty"))
        elif isinstance(rule, list) and rule:
            for number, one in enumerate(rule):
                _check_value(one, f"{at}[{number}]", problems)
        else:
            problems.append(Problem(at, "must be a list of values, or an object; a bare value is not taken"))


def _check_value(rule: object, path: str, problems: list[Problem]) -> None:
    if rule is None or isinstance(rule, str | bool | int | float):
        return
    if not isinstance(rule, Mapping) or len(rule) != 1:
        problems.append(Problem(path, "must be a value, or an object with one comparison"))
        return
    [(name, given)] = rule.items()
    if name not in _OPERATORS:
        problems.append(Problem(path, f"{name!r:.40} is no comparison; there are {', '.join(_OPERATORS)}"))
    elif (fault := _fault(name, given)) is not None:
        problems.append(Problem(f"{path}.{name}", fault))


def _fault(name: str, given: Any) -> str | None:
    if name == "exists":
        return None if isinstance(given, bool) else "must be true or false"
    if name == "numeric":
        return _numeric_fault(given)
    if name == "anything-but":
        if isinstance(given, Mapping):
            inner = list(given)
            known = len(inner) == 1 and inner[0] in ("prefix", "suffix", "equals-ignore-case", "wildcard")
            values = given[inner[0]] if known else None
            texts = values if isinstance(values, list) else [values]
            return (
                None
                if known and all(isinstance(t, str) and t for t in texts)
                else "must hold prefix, suffix or the like"
            )
        values = given if isinstance(given, list) else [given]
        same = {type(v) is str for v in values}
        fine = bool(values) and len(same) == 1 and all(isinstance(v, str | int | float) for v in values)
        return None if fine else "must be texts, or numbers, and not both"
    if name in ("prefix", "suffix") and isinstance(given, Mapping):
        inner_value = given.get("equals-ignore-case")
        return None if len(given) == 1 and isinstance(inner_value, str) and inner_value else "must be text"
    if not isinstance(given, str) or (not given and name != "equals-ignore-case"):
        return "must be text"
    if name == "cidr":
        try:
            ipaddress.ip_network(given, strict=False)
        except ValueError:
            return "must be a block of addresses, such as 10.0.0.0/24"
    return "must not hold ** " if name == "wildcard" and "**" in given else None


def _numeric_fault(given: object) -> str | None:
    if not isinstance(given, list) or len(given) not in (2, 4):
        return 'must be a list such as [">", 0] or [">", 0, "<=", 5]'
    for sign, number in zip(given[::2], given[1::2], strict=True):
        if sign not in _COMPARE or isinstance(number, bool) or not isinstance(number, int | float):
            return 'must be a list such as [">", 0] or [">", 0, "<=", 5]'
    return None


# ---- matching


def _matches_object(pattern: Mapping[str, Any], event: object) -> bool:
    if not isinstance(event, Mapping):
        # A member that is absent can still satisfy patterns that ask for absence.
        event = {}
    for key, rule in pattern.items():
        if key == "$or":
            if not any(_matches_object(one, event) for one in rule):
                return False
        elif isinstance(rule, Mapping):
            found = event.get(key, _ABSENT)
            items = found if isinstance(found, list) else [found]
            if not any(_matches_object(rule, one) for one in items):
                return False
        elif not _matches_any(rule, event.get(key, _ABSENT)):
            return False
    return True


def _matches_any(rules: Iterable[Any], found: object) -> bool:
    values = found if isinstance(found, list) else [found]
    return any(_matches_value(rule, values) for rule in rules)


def _matches_value(rule: Any, values: list[Any]) -> bool:
    there = [value for value in values if value is not _ABSENT]
    if not isinstance(rule, Mapping):
        return any(_equal(rule, value) for value in there)
    [(name, given)] = rule.items()
    if name == "exists":
        return bool(there) is bool(given)
    return any(_compares(name, given, value) for value in there)


def _equal(rule: object, value: object) -> bool:
    if isinstance(rule, bool) or isinstance(value, bool) or rule is None or value is None:
        return rule is value
    return bool(rule == value)


def _compares(name: str, given: Any, value: Any) -> bool:
    if name == "anything-but":
        return _differs(given, value)
    if name == "numeric":
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return all(_COMPARE[sign](value, number) for sign, number in zip(given[::2], given[1::2], strict=True))
    if not isinstance(value, str):
        return False
    return _text_compares(name, given, value)


def _text_compares(name: str, given: Any, value: str) -> bool:
    if isinstance(given, Mapping):  # prefix or suffix without regard to case
        given, value = given["equals-ignore-case"].casefold(), value.casefold()
    if name == "prefix":
        return value.startswith(str(given))
    if name == "suffix":
        return value.endswith(str(given))
    if name == "equals-ignore-case":
        return value.casefold() == str(given).casefold()
    if name == "wildcard":
        return compile_glob(given)(value)
    try:
        return ipaddress.ip_address(value) in ipaddress.ip_network(given, strict=False)
    except ValueError:
        return False


def _differs(given: Any, value: Any) -> bool:
    if isinstance(given, Mapping):
        [(name, inner)] = given.items()
        texts = inner if isinstance(inner, list) else [inner]
        # A value that is no text begins and ends with none; the user guide does not say so.
        return not (isinstance(value, str) and any(_text_compares(name, text, value) for text in texts))
    excluded = given if isinstance(given, list) else [given]
    return not any(_equal(one, value) for one in excluded)


# ---- what never fires


@attrs.frozen(kw_only=True)
class KnownEvent(Record):
    """One detail type of ECR or Inspector: its source, the members of its detail, and their values when few."""

    source: str
    detail_type: str
    members: Mapping[str, tuple[str, ...] | None] = attrs.field(hash=False)
    resources: bool = True


def _image(kind: str, *actions: str) -> KnownEvent:
    return KnownEvent(
        source="aws.ecr", detail_type=kind, resources=False,
        members={
            "result": None, "repository-name": None, "image-digest": None, "action-type": actions,
            "image-tag": None, "manifest-media-type": None, "artifact-media-type": None, "target-storage-class": None,
            "last-activated-at": None, "last-archived-at": None,
        },
    )  # fmt: skip


KNOWN_EVENTS: Final = (
    _image("ECR Image Action", "PUSH", "DELETE", "UPDATE_STORAGE_CLASS"),
    _image("ECR Referrer Action", "PUSH", "DELETE", "UPDATE_STORAGE_CLASS"),
    KnownEvent(source="aws.ecr", detail_type="ECR Image Scan", members={
        "scan-status": ("COMPLETE", "FAILED"), "repository-name": None, "finding-severity-counts": None,
        "image-digest": None, "image-tags": None,
    }),
    KnownEvent(source="aws.ecr", detail_type="ECR Scan Resource Change", members={
        "action-type": None, "scan-type": None, "repositories": None, "resource-type": None,
    }),
    KnownEvent(source="aws.ecr", detail_type="ECR Replication Action", members={
        "result": ("SUCCESS", "FAILED"), "repository-name": None, "image-digest": None, "source-account": None,
        "action-type": ("REPLICATE",), "source-region": None, "image-tag": None,
    }),
    KnownEvent(source="aws.ecr", detail_type="ECR Pull Through Cache Action", members={
        "sync-status": None, "repository-name": None, "image-digest": None, "image-tag": None, "failure-code": None,
        "failure-reason": None, "ecr-repository-prefix": None, "upstream-registry-url": None, "rule-version": None,
    }),
    KnownEvent(source="aws.inspector2", detail_type="Inspector2 Scan", members={
        "scan-status": ("INITIAL_SCAN_COMPLETE",), "repository-name": None, "finding-severity-counts": None,
        "image-digest": None, "image-tags": None, "version": None, "instance-id": None, "machine-image-id": None,
    }),
)  # fmt: skip
"""The events that ECR's and Inspector's user guides describe; AWS adds members, and more of them as time goes by."""


def never_fires(pattern: EventPattern) -> tuple[str, ...]:
    """Return why a pattern for ECR can never select an event, a sentence for each reason; nothing when it may.

    Members that the user guides do not name may have been added since: they are told as doubtful. Patterns for other
    sources are not judged.

    Example:
        >>> pattern = EventPattern.parse({"source": ["aws.ecr"], "detail-type": ["ECR Image Push"]})
        >>> print(*never_fires(pattern))
        $.detail-type: 'ECR Image Push' is no event of aws.ecr; there are ECR Image Action, ...
    """
    document = pattern.document
    sources = _literals(document.get("source"))
    kinds = _literals(document.get("detail-type"))
    if sources is not None and not {"aws.ecr", "aws.inspector2"} & set(sources):
        return ()
    found = [f"$.{name}: no event has such a member" for name in document if name not in _ENVELOPE and name != "$or"]
    candidates = [e for e in KNOWN_EVENTS if sources is None or e.source in sources]
    names = {e.detail_type for e in candidates}
    for kind in kinds or ():
        if kind not in names and not kind.startswith(("AWS ", "Inspector2")):
            known = ", ".join(sorted(e.detail_type for e in candidates if e.source == "aws.ecr"))
            found.append(f"$.detail-type: {kind!r} is no event of aws.ecr; there are {known}")
    chosen = [e for e in candidates if kinds is None or e.detail_type in kinds]
    detail = document.get("detail")
    if chosen and isinstance(detail, Mapping) and (kinds is None or set(kinds) <= names):
        found += _detail_reasons(detail, chosen)
    if chosen and "resources" in document and not any(e.resources for e in chosen):
        told = " and ".join(sorted(e.detail_type for e in chosen))
        found.append(f"$.resources: is empty in every {told}; match detail.repository-name instead")
    return tuple(found)


def _literals(rules: object) -> list[str] | None:
    """Return the plain texts that a member may have, or None when a comparison lets others in."""
    if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
        return None
    return rules


def _detail_reasons(detail: Mapping[str, Any], chosen: Iterable[KnownEvent]) -> list[str]:
    found: list[str] = []
    events = list(chosen)
    for name, rules in detail.items():
        if name == "$or":
            continue
        having = [e for e in events if name in e.members]
        told = " or ".join(sorted({e.detail_type for e in events}))
        if not having:
            found.append(f"$.detail.{name}: the user guide names no such member of {told}")
            continue
        values = _literals(rules)
        allowed = [e.members[name] for e in having]
        if values is None or any(a is None for a in allowed):
            continue
        known = {value for a in allowed for value in a or ()}
        if not known & set(values):
            listed = ", ".join(sorted(known))
            found.append(f"$.detail.{name}: is never {' or '.join(map(repr, values))}; it is one of {listed}")
    return found
