"""A plan of cost-allocation tags: what would change on which repository, to be shown, saved and checked again."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table
from ecrkit._internal.times import parse_time, require_aware
from ecrkit.errors import InvalidInput, Problem

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["TagChange", "TagPlan", "TagsApplied", "plan_tags"]

_FORMAT: Final = 1
_MOST: Final = 50
_KEY: Final = 128
_VALUE: Final = 256
_TEXT: Final = re.compile(r"[\w\s_.:/=+\-@]*")
_HEADER: Final = ("repository", "key", "now", "then")


@attrs.frozen(kw_only=True)
class TagChange(Record):
    """What changes on one repository: `before` are its tags when the plan was made."""

    repository: str
    arn: str
    before: Mapping[str, str] = attrs.field(hash=False)
    put: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    remove: tuple[str, ...] = ()

    @property
    def after(self) -> dict[str, str]:
        """The tags after the change."""
        kept = {key: value for key, value in self.before.items() if key not in self.remove}
        return kept | dict(self.put)


@attrs.frozen(kw_only=True)
class TagPlan(Record):
    """Which resource tags would change. Nothing has been written; `CostService.apply_tags` checks again and writes.

    A tag that the bill is to show must be activated as a cost allocation tag in the management account; that works from
    then on and not for the past (AWS Billing user guide).
    """

    made_at: dt.datetime
    changes: tuple[TagChange, ...]
    unchanged: tuple[str, ...] = ()
    format: int = _FORMAT

    @property
    def calls(self) -> int:
        """How many writing calls `apply_tags` will make."""
        return sum(bool(change.put) + bool(change.remove) for change in self.changes)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that are put, sorted: those to activate as cost allocation tags."""
        return tuple(sorted({key for change in self.changes for key in change.put}))

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any] | str) -> Self:
        """Return the plan that `to_dict()` or `to_json()` saved.

        Raises:
            InvalidInput: it is no saved plan, or of another format; nothing is guessed.
        """
        try:
            document: Any = json.loads(saved) if isinstance(saved, str) else saved
            if document["format"] != _FORMAT:
                raise InvalidInput.single("not a tag plan", "$.format", f"must be {_FORMAT}")
            changes = tuple(
                TagChange(
                    repository=_text(raw["repository"]),
                    arn=_text(raw["arn"]),
                    before=_texts(raw["before"]),
                    put=_texts(raw["put"]),
                    remove=tuple(map(_text, raw["remove"])),
                )
                for raw in document["changes"]
            )
            return cls(
                made_at=parse_time(document["made_at"]),
                changes=changes,
                unchanged=tuple(map(_text, document["unchanged"])),
            )
        except InvalidInput:
            raise
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
            raise InvalidInput.single("not a tag plan", "$", f"{type(fault).__name__}: {fault}") from None

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each tag that changes, as columns; `then` is None for one that is removed."""
        rows = self._rows()
        return {name: [row[n] for row in rows] for n, name in enumerate(_HEADER)}

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return every change as a table for people."""
        return f"{self}\n" + text_table(_HEADER, self._rows())

    def _rows(self) -> list[tuple[str, str, str | None, str | None]]:
        rows: list[tuple[str, str, str | None, str | None]] = []
        for change in self.changes:
            rows += [(change.repository, key, change.before.get(key), value) for key, value in change.put.items()]
            rows += [(change.repository, key, change.before.get(key), None) for key in change.remove]
        return rows

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        changed = counted(len(self.changes), "repository changes", "repositories change")
        return f"{changed}, {len(self.unchanged)} stay; {counted(self.calls, 'writing call')}"


@attrs.frozen(kw_only=True)
class TagsApplied(Record):
    """What became of a tag plan: the repositories that carry their tags now, and why others do not."""

    applied: tuple[str, ...]
    failed: Mapping[str, str] = attrs.field(hash=False)

    @property
    def complete(self) -> bool:
        """Whether every change was made."""
        return not self.failed


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.60} is no string")
    return value


def _texts(value: Mapping[str, str]) -> dict[str, str]:
    return {_text(key): _text(text) for key, text in value.items()}


def plan_tags(
    wanted: Mapping[str, Mapping[str, str]],
    *,
    current: Mapping[str, Mapping[str, str] | None],
    arns: Mapping[str, str],
    now: dt.datetime,
    remove: Iterable[str] = (),
) -> TagPlan:
    """Return the plan that gives repositories the wanted tags; other tags of theirs stay.

    Args:
        wanted: the tags to put, by repository.
        current: the tags that each has now, by repository; None where they could not be read.
        arns: the ARN of each repository.
        now: the time of the plan.
        remove: keys to take away from these repositories, such as a misspelt one; a key that is also wanted stays.

    Raises:
        InvalidInput: a repository is not known or its tags could not be read, or ECR would refuse a tag: a key of 1 to
            128 and a value of up to 256 characters, letters, digits, spaces and `_.:/=+-@`, no key that begins with
            `aws:`, at most 50 tags for each repository. Lists everything.

    Example:
        >>> plan = plan_tags({"api": {"Team": "pay"}}, current={"api": {"team": "pay"}},
        ...                  arns={"api": "arn:aws:ecr:us-east-1:123456789012:repository/api"},
        ...                  now=dt.datetime(2026, 11, 25, tzinfo=dt.UTC), remove=["team"])
        >>> plan.changes[0].after, plan.calls
        ({'Team': 'pay'}, 2)
    """
    gone = tuple(dict.fromkeys(remove))
    problems: list[Problem] = []
    changes: list[TagChange] = []
    unchanged: list[str] = []
    for name, tags in wanted.items():
        have = current.get(name)
        if name not in arns or have is None:
            problems.append(Problem(name, "is not a repository whose tags could be read"))
            continue
        for key, value in tags.items():
            problems += [Problem(f"{name}[{key!r:.60}]", text) for text in _wrong(key, value)]
        change = TagChange(
            repository=name,
            arn=arns[name],
            before=dict(have),
            put={key: value for key, value in tags.items() if have.get(key) != value},
            remove=tuple(key for key in gone if key in have and key not in tags),
        )
        if len(change.after) > _MOST:
            problems.append(Problem(name, f"would have {len(change.after)} tags; {_MOST} is the most"))
        if change.put or change.remove:
            changes.append(change)
        else:
            unchanged.append(name)
    if problems:
        raise InvalidInput("no tag plan", problems)
    return TagPlan(made_at=require_aware(now, "now"), changes=tuple(changes), unchanged=tuple(unchanged))


def _wrong(key: str, value: str) -> Iterable[str]:
    if not 1 <= len(key) <= _KEY or len(value) > _VALUE:
        yield f"a key has 1 to {_KEY} characters, a value up to {_VALUE}"
    if key.casefold().startswith("aws:"):
        yield "keys that begin with aws: are AWS's own"
    if not _TEXT.fullmatch(key) or not _TEXT.fullmatch(value):
        yield "may hold letters, digits, spaces and _.:/=+-@"
