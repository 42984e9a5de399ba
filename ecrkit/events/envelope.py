"""What every event has, whoever sent it: the envelope of EventBridge, and a reader that collects what is wrong.

Source: EventBridge user guide, "AWS service event metadata".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput, Problem

__all__ = ["Event", "EventReader", "UnknownEvent"]

_NEVER: Final = dt.datetime.min.replace(tzinfo=dt.UTC)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Event(Record):
    """One event: who sent it, from which account and Region, and when. Subclasses say what happened.

    `raw` is the whole event as it came, with the members that ecrkit does not know; two events that differ only there
    are equal. Delivery is best effort: events may be missing, come twice or out of order.
    """

    event_id: str
    source: str
    detail_type: str
    account: str
    region: str
    at: dt.datetime
    resources: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    raw: Mapping[str, Any] = attrs.field(factory=dict, eq=False, repr=False)


@attrs.frozen(kw_only=True)
class UnknownEvent(Event):
    """An event of a source or detail type that ecrkit has no record for; `raw` holds all of it."""


class EventReader:
    """Reads the members of one event and collects every problem, so that all are told at once."""

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.problems: list[Problem] = []
        detail = raw.get("detail")
        self.detail: Mapping[str, Any] = detail if isinstance(detail, Mapping) else {}

    def problem(self, path: str, message: str) -> None:
        """Note what is wrong."""
        self.problems.append(Problem(path, message))

    def text(self, name: str) -> str:
        """Return a text of the detail that must be there; the empty text, and a problem, when it is not."""
        value = self.detail.get(name)
        if not isinstance(value, str) or not value:
            shown = ", ".join(sorted(map(str, self.detail))) or "none"
            told = f"is missing; the members are {shown}" if value is None else f"must be a text, not {value!r:.60}"
            self.problem(f"$.detail.{name}", told)
            return ""
        return value

    def optional(self, name: str) -> str | None:
        """Return a text of the detail, or None when it is absent or empty."""
        value = self.detail.get(name)
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            self.problem(f"$.detail.{name}", f"must be a text, not {value!r:.60}")
            return None
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts of the detail, empty when it is absent."""
        value = self.detail.get(name)
        if value is None:
            return ()
        if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
            self.problem(f"$.detail.{name}", "must be a list of texts")
            return ()
        return tuple(value)

    def counts(self, name: str) -> dict[str, int]:
        """Return a mapping of counts of the detail, empty when it is absent."""
        value = self.detail.get(name)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.problem(f"$.detail.{name}", "must be an object")
            return {}
        found: dict[str, int] = {}
        for key, count in value.items():
            if isinstance(count, bool) or not isinstance(count, int) or count < 0:
                self.problem(f"$.detail.{name}.{key}", f"must be a whole number, not {count!r:.60}")
            else:
                found[str(key)] = count
        return found

    def optional_time(self, name: str) -> dt.datetime | None:
        """Return a time of the detail, or None when it is absent."""
        value = self.detail.get(name)
        if value is None:
            return None
        try:
            return parse_time(value)
        except ValueError as fault:
            self.problem(f"$.detail.{name}", str(fault))
            return None

    def envelope(self) -> dict[str, Any]:
        """Return the members of `Event` for the constructors of its subclasses."""
        found: dict[str, Any] = {"raw": self.raw}
        names = (("id", "event_id"), ("source", "source"), ("detail-type", "detail_type"), ("account", "account"),
                 ("region", "region"))  # fmt: skip
        for name, field in names:
            value = self.raw.get(name)
            if not isinstance(value, str) or not value:
                self.problem(f"$.{name}", "is missing" if value is None else f"must be a text, not {value!r:.60}")
                value = ""
            found[field] = value
        found["at"] = self._at()
        resources = self.raw.get("resources", ())
        if not isinstance(resources, list | tuple) or not all(isinstance(r, str) for r in resources):
            self.problem("$.resources", "must be a list of texts")
            resources = ()
        found["resources"] = tuple(resources)
        return found

    def _at(self) -> dt.datetime:
        try:
            return parse_time(self.raw.get("time"))
        except ValueError as fault:
            self.problem("$.time", "is missing" if self.raw.get("time") is None else str(fault))
            return _NEVER

    def finish(self) -> None:
        """Raise when anything was wrong.

        Raises:
            InvalidInput: with every problem.
        """
        if self.problems:
            kind, event_id = self.raw.get("detail-type"), self.raw.get("id")
            raise InvalidInput(f"not an event that can be used: {kind!s:.80} {event_id!s:.80}", self.problems)
