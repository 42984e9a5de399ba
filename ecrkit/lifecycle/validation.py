"""What ECR takes as a lifecycle policy and what it refuses: every rule of the user guide, all problems at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ecrkit.errors import Problem
from ecrkit.lifecycle.rules import CountType, Rule, TagStatus

__all__ = ["MAX_RULES", "MAX_WILDCARDS", "MIN_ARCHIVE_DAYS", "check", "check_together"]

MAX_RULES: Final = 50
MAX_WILDCARDS: Final = 4
MIN_ARCHIVE_DAYS: Final = 90
_TAG_STATUS: Final[tuple[TagStatus, ...]] = ("tagged", "untagged", "any")
_COUNT_TYPES: Final[tuple[CountType, ...]] = (
    "imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned",
)  # fmt: skip
_LISTS: Final = ("tagPatternList", "tagPrefixList")
_RULE_KEYS: Final = frozenset({"rulePriority", "description", "selection", "action"})
_SELECTION_KEYS: Final = frozenset({"tagStatus", *_LISTS, "storageClass", "countType", "countUnit", "countNumber"})
_ACTION_KEYS: Final = frozenset({"type", "targetStorageClass"})
_ONE_SCHEMA: Final = "instance failed to match exactly one schema (matched 0 out of 2)"
_MISSING: Final = object()


def _said(text: str) -> str:
    return (
        "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: "
        f"'Lifecycle policy validation failure: {text}'"
    )


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, Mapping):
        return "object"
    if isinstance(value, list | tuple):
        return "array"
    return {str: "string", int: "integer", float: "number"}.get(type(value), type(value).__name__)


class _Checker:
    """Walks one document; collects problems and warnings as it goes."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def wrong(self, path: str, message: str, quoted: str | None = None) -> None:
        self.problems.append(Problem(path, message, quoted=None if quoted is None else _said(quoted)))

    def warn(self, path: str, message: str) -> None:
        self.warnings.append(Problem(path, message))

    def keys(self, value: Mapping[Any, Any], allowed: frozenset[str], path: str) -> None:
        for name in value:
            if name not in allowed:
                quoted = f'object instance has properties which are not allowed by the schema: (["{name}"])'
                near = [k for k in sorted(allowed) if isinstance(name, str) and k.lower() == name.lower()]
                hint = f"; did you mean {near[0]}" if near else f"; allowed are {', '.join(sorted(allowed))}"
                self.wrong(f"{path}.{str(name)[:80]}", f"is no key that ECR knows here{hint}", quoted)

    def required(self, value: Mapping[str, Any], name: str, path: str) -> Any:
        if name not in value:
            quoted = f'object has missing required properties (["{name}"])'
            self.wrong(f"{path}.{name}", "is missing and required", quoted)
            return _MISSING
        return value[name]

    def mapping(self, value: object, path: str) -> Mapping[str, Any] | None:
        if value is _MISSING:
            return None
        if isinstance(value, Mapping):
            return value
        quoted = f'instance type ({_kind(value)}) does not match any allowed primitive type (allowed: ["object"])'
        self.wrong(path, f"must be an object, not {_kind(value)}", quoted)
        return None

    def choice(self, value: object, allowed: Iterable[str], path: str) -> str | None:
        if value is _MISSING:
            return None
        names = tuple(allowed)
        if isinstance(value, str) and value in names:
            return value
        listed = ", ".join(f'"{n}"' for n in names)
        hint = "; a null is refused, leave the key out" if value is None else ""
        if isinstance(value, str) and value.lower() in {n.lower() for n in names}:
            hint = "; case matters: policies write it as listed, API answers in upper case"
        quoted = _ONE_SCHEMA
        if isinstance(value, str):
            quoted = f"instance value ({value[:80]}) not found in enum :(possible values: [{listed}])"
        self.wrong(path, f"must be one of {listed}, not {value!r:.80}{hint}", quoted)
        return None

    def integer(self, value: object, path: str, at_least: int = 1) -> int | None:
        if value is _MISSING:
            return None
        if isinstance(value, float) and value.is_integer():
            self.warn(
                path, f"{value!r} is written as a fraction; nobody knows whether ECR takes it: write {int(value)}"
            )
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            quoted = f'instance type ({_kind(value)}) does not match any allowed primitive type (allowed: ["integer"])'
            self.wrong(path, f"must be an integer, not {value!r:.80}", quoted)
            return None
        if value < at_least:
            quoted = (
                f"numeric instance is lower than the required minimum (minimum: {at_least}, found: {_short(value)})"
            )
            self.wrong(path, f"must be at least {at_least}, not {_short(value)}", quoted)
            return None
        return value

    def strings(self, value: object, path: str) -> tuple[str, ...] | None:
        if not isinstance(value, list | tuple):
            quoted = f'instance type ({_kind(value)}) does not match any allowed primitive type (allowed: ["array"])'
            hint = "; leave the key out" if value is None else ""
            self.wrong(path, f"must be a list of strings, not {_kind(value)}{hint}", quoted)
            return None
        before = len(self.problems)
        if not value:
            self.wrong(path, "is empty; leave the key out, or name at least one entry")
        for number, item in enumerate(value):
            if not isinstance(item, str):
                self.wrong(f"{path}[{number}]", f"must be a string, not {_kind(item)}")
            elif item == "":
                self.warn(f"{path}[{number}]", "is an empty string; whether ECR takes it is not documented")
        if len(self.problems) > before:
            return None
        for item in {i for i in value if value.count(i) > 1}:
            self.warn(path, f"names {item!r:.80} more than once")
        return tuple(dict.fromkeys(value))

    def rule(self, value: object, path: str) -> Rule | None:
        before = len(self.problems)
        raw = self.mapping(value, path)
        if raw is None:
            return None
        self.keys(raw, _RULE_KEYS, path)
        priority = self.integer(self.required(raw, "rulePriority", path), f"{path}.rulePriority")
        description = raw.get("description", _MISSING)
        if description is not _MISSING and not isinstance(description, str):
            hint = "; leave the key out" if description is None else ""
            self.wrong(f"{path}.description", f"must be a string, not {_kind(description)}{hint}")
        selection = self.mapping(self.required(raw, "selection", path), f"{path}.selection")
        action = self.mapping(self.required(raw, "action", path), f"{path}.action")
        picked = self.selection(selection, f"{path}.selection") if selection is not None else None
        verb = self.action(action, f"{path}.action") if action is not None else None
        if picked is not None and picked.get("count_type") and verb:
            self.pair(picked["count_type"], verb, path)
        if len(self.problems) > before or picked is None or verb is None or priority is None:
            return None
        return Rule(
            priority=priority,
            action="expire" if verb == "expire" else "transition",
            description=description if isinstance(description, str) else None,
            **picked,
        )

    def selection(self, raw: Mapping[str, Any], path: str) -> dict[str, Any]:
        self.keys(raw, _SELECTION_KEYS, path)
        status = self.choice(self.required(raw, "tagStatus", path), _TAG_STATUS, f"{path}.tagStatus")
        lists = {name: self.strings(raw[name], f"{path}.{name}") for name in _LISTS if name in raw}
        self.tag_lists(status, lists, raw, path)
        count = self.choice(self.required(raw, "countType", path), _COUNT_TYPES, f"{path}.countType")
        self.unit(count, raw.get("countUnit", _MISSING), f"{path}.countUnit")
        storage = self.choice(raw.get("storageClass", "standard"), ("standard", "archive"), f"{path}.storageClass")
        if count == "sinceImageTransitioned" and storage == "standard":
            self.wrong(f"{path}.storageClass", 'sinceImageTransitioned needs "storageClass": "archive"')
        elif count not in (None, "sinceImageTransitioned") and storage == "archive":
            self.wrong(f"{path}.storageClass", f"{count} sees the standard class only; leave the key out")
        number = self.integer(self.required(raw, "countNumber", path), f"{path}.countNumber")
        if count == "sinceImageTransitioned" and number is not None and number < MIN_ARCHIVE_DAYS:
            self.wrong(
                f"{path}.countNumber",
                f"must be at least {MIN_ARCHIVE_DAYS}: an archived image cannot expire before day {MIN_ARCHIVE_DAYS}",
            )
        return {
            "tag_status": status,
            "tag_patterns": lists.get("tagPatternList") or (),
            "tag_prefixes": lists.get("tagPrefixList") or (),
            "count_type": count,
            "count_number": number,
            "storage_class": storage,
        }

    def tag_lists(
        self, status: str | None, lists: Mapping[str, tuple[str, ...] | None], raw: Mapping[str, Any], path: str
    ) -> None:
        if status == "tagged" and not lists:
            quoted = "Must specify tagPrefixList or tagPatternList when tagStatus=TAGGED."
            self.wrong(path, "tagStatus tagged needs a tagPatternList or a tagPrefixList", quoted)
        if status == "tagged" and len(lists) == 2:
            self.wrong(path, "names both tagPatternList and tagPrefixList; one rule takes only one of them")
        if status in ("untagged", "any"):
            for name in lists:
                if raw[name]:
                    self.wrong(f"{path}.{name}", f"goes with tagStatus tagged only, not with {status}")
        for number, item in enumerate(lists.get("tagPatternList") or ()):
            stars = item.count("*")
            if stars > MAX_WILDCARDS:
                self.wrong(f"{path}.tagPatternList[{number}]", f"has {stars} wildcards, at most {MAX_WILDCARDS} may be")
        for number, item in enumerate(lists.get("tagPrefixList") or ()):
            if "*" in item:
                self.warn(
                    f"{path}.tagPrefixList[{number}]",
                    f"{item!r:.80} is a prefix, where * is an ordinary character that no tag holds; use tagPatternList",
                )

    def unit(self, count: str | None, unit: object, path: str) -> None:
        if count == "imageCountMoreThan":
            if unit is not _MISSING:
                self.wrong(path, "does not go with imageCountMoreThan; leave the key out", _ONE_SCHEMA)
        elif unit is _MISSING:
            if count is not None:
                self.wrong(path, f'is missing; {count} needs "countUnit": "days"')
        else:
            self.choice(unit, ("days",), path)

    def action(self, raw: Mapping[str, Any], path: str) -> str | None:
        self.keys(raw, _ACTION_KEYS, path)
        verb = self.choice(self.required(raw, "type", path), ("expire", "transition"), f"{path}.type")
        target = raw.get("targetStorageClass", _MISSING)
        here = f"{path}.targetStorageClass"
        if verb == "transition":
            if target is _MISSING:
                self.wrong(here, 'is missing; a transition needs "targetStorageClass": "archive"')
            else:
                self.choice(target, ("archive",), here)
        elif verb == "expire" and target is not _MISSING:
            self.wrong(here, "does not go with expire; leave the key out", _ONE_SCHEMA)
        return verb

    def pair(self, count: str, verb: str, path: str) -> None:
        if count == "sinceImagePulled" and verb == "expire":
            self.wrong(f"{path}.action.type", "sinceImagePulled goes with transition only, ECR refuses expire")
        if count == "sinceImageTransitioned" and verb == "transition":
            self.wrong(f"{path}.action.type", "sinceImageTransitioned goes with expire only")


def _short(value: int) -> str:
    # int -> str of thousands of digits is refused by Python itself.
    return str(value) if abs(value) < 10**20 else "a number of more than 20 digits"


def check(document: object) -> tuple[tuple[Rule, ...], list[Problem], list[Problem]]:
    """Return the rules of a document that could be read, all its problems, and the warnings."""
    checker = _Checker()
    if not isinstance(document, Mapping):
        checker.wrong(
            "$",
            f"must be an object with rules, not {_kind(document)}",
            "Could not map policyString into LifecyclePolicy.",
        )
        return (), checker.problems, checker.warnings
    checker.keys(document, frozenset({"rules"}), "$")
    listed = checker.required(document, "rules", "$")
    if listed is _MISSING:
        return (), checker.problems, checker.warnings
    if not isinstance(listed, list | tuple):
        quoted = f'instance type ({_kind(listed)}) does not match any allowed primitive type (allowed: ["array"])'
        checker.wrong("$.rules", f"must be a list of rules, not {_kind(listed)}", quoted)
        return (), checker.problems, checker.warnings
    if not listed:
        checker.wrong("$.rules", "is empty; to act on nothing, delete the policy")
    if len(listed) > MAX_RULES:
        checker.wrong("$.rules", f"has {len(listed)} rules, ECR takes at most {MAX_RULES}")
    rules: list[Rule] = []
    paths: list[str] = []
    for number, item in enumerate(listed):
        path = f"$.rules[{number}]"
        rule = checker.rule(item, path)
        if rule is not None:
            rules.append(rule)
            paths.append(path)
    _cross_check(document["rules"], checker)
    problems, warnings = check_together(rules, paths)
    return tuple(rules), [*checker.problems, *problems], [*checker.warnings, *warnings]


def _cross_check(listed: Iterable[object], checker: _Checker) -> None:
    """Report priorities used twice, also those of rules that are faulty otherwise."""
    first: dict[int, int] = {}
    for number, item in enumerate(listed):
        value = item.get("rulePriority") if isinstance(item, Mapping) else None
        if isinstance(value, int | float) and not isinstance(value, bool) and value == value // 1:
            whole = int(value)
            if whole in first:
                where = f"$.rules[{first[whole]}]"
                checker.wrong(f"$.rules[{number}].rulePriority", f"{_short(whole)} is the priority of {where} already")
            first.setdefault(whole, number)


def check_together(rules: list[Rule], paths: list[str]) -> tuple[list[Problem], list[Problem]]:
    """Return problems and warnings of rules that do not go together in one policy."""
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for storage in ("standard", "archive"):
        mine = [(r, p) for r, p in zip(rules, paths, strict=True) if r.storage_class == storage]
        _untagged(mine, storage, problems)
        _any_last(mine, storage, problems)
        _lists(mine, storage, problems, warnings)
    return problems, warnings


def _untagged(mine: list[tuple[Rule, str]], storage: str, problems: list[Problem]) -> None:
    found = [(r, p) for r, p in mine if r.tag_status == "untagged"]
    for _, path in found[1:]:
        quoted = _said("Only one rule can select Untagged images per storage class.")
        message = f"a second untagged rule of the {storage} class; {found[0][1]} is one already"
        problems.append(Problem(f"{path}.selection.tagStatus", message, quoted=quoted))


def _any_last(mine: list[tuple[Rule, str]], storage: str, problems: list[Problem]) -> None:
    if not mine:
        return
    highest = max(r.priority for r, _ in mine)
    found = [(r, p) for r, p in mine if r.tag_status == "any"]
    quoted = _said("Rule for tagStatus=ANY must have the lowest priority per storage class")
    for rule, path in found:
        if rule.priority != highest:
            message = (
                f"an any rule must have the highest rulePriority number of the {storage} class; "
                f"{rule.priority} stands before {highest}"
            )
            problems.append(Problem(f"{path}.selection.tagStatus", message, quoted=quoted))
    for rule, path in found[1:]:
        if rule.priority == highest == found[0][0].priority:
            message = f"a second any rule of the {storage} class; {found[0][1]} is one already"
            problems.append(Problem(f"{path}.selection.tagStatus", message, quoted=quoted))


def _lists(mine: list[tuple[Rule, str]], storage: str, problems: list[Problem], warnings: list[Problem]) -> None:
    for name in _LISTS:
        lists = [
            (frozenset(r.tag_patterns if name == "tagPatternList" else r.tag_prefixes), f"{p}.selection.{name}")
            for r, p in mine
        ]
        seen: list[tuple[frozenset[str], str]] = []
        for entries, path in lists:
            for other, where in seen:
                if not entries & other:
                    continue
                shared = ", ".join(sorted(entries & other))[:120]
                if entries == other and name == "tagPrefixList":
                    message = f"repeats the prefixes of {where} ({shared}); they must be unique in the {storage} class"
                    problems.append(Problem(path, message))
                else:
                    message = f"shares {shared} with {where}; whether ECR takes that is not documented"
                    warnings.append(Problem(path, message))
                break
            if entries:
                seen.append((entries, path))
