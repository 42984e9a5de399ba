"""Reading events: one at a time, or many with what was wrong with some of them.

Each source has a module with a `READERS` table; a new source is a module and a line in `_TABLES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.events import cloudtrail, ecr
from ecrkit.events.envelope import Event, EventReader, UnknownEvent

__all__ = ["ReadEvents", "parse_event", "read_events"]

_TABLES: Final = (ecr.READERS, cloudtrail.READERS)
_READERS: Final[Mapping[tuple[str, str], Callable[[EventReader], Event]]] = {
    key: reader for table in _TABLES for key, reader in table.items()
}


def parse_event(event: Mapping[str, Any] | str | bytes) -> Event:
    """Return the event as a record: EventBridge's envelope, or a bare CloudTrail record, as an object or JSON text.

    A detail type that ecrkit does not know becomes an `UnknownEvent`, and members that it does not know stay in `raw`:
    ECR adds both.

    Raises:
        InvalidInput: this is no event, or one of a known type lacks what it must say, such as the digest;
            `problems` names everything that is wrong.

    Example:
        >>> event = parse_event({
        ...     "id": "1", "source": "aws.ecr", "detail-type": "ECR Image Action", "account": "123456789012",
        ...     "region": "eu-west-1", "time": "2026-11-25T12:00:00Z", "resources": [],
        ...     "detail": {"result": "SUCCESS", "action-type": "PUSH", "repository-name": "team/app",
        ...                "image-digest": "sha256:" + "0" * 64, "image-tag": "v1"}})
        >>> type(event).__name__, event.action, event.tag
        ('ImageAction', 'PUSH', 'v1')
    """
    raw: Any = event
    if isinstance(event, str | bytes):
        try:
            raw = json.loads(event)
        except (ValueError, RecursionError) as fault:
            raise InvalidInput.single("not an EventBridge event", "$", f"is no JSON: {fault}") from None
    if not isinstance(raw, Mapping):
        raise InvalidInput.single("not an EventBridge event", "$", f"must be an object, not {type(raw).__name__}")
    raw = cloudtrail.wrapped(raw) or raw
    reader = EventReader(raw)
    kind = (str(raw.get("source")), str(raw.get("detail-type")))
    read = _READERS.get(kind)
    if read is None:
        found: Event = UnknownEvent(**reader.envelope())
    else:
        if not isinstance(raw.get("detail"), Mapping):
            reader.problem("$.detail", "must be an object")
            reader.envelope()
            reader.finish()
        found = read(reader)
    reader.finish()
    return found


def _events(values: Iterable[Event]) -> tuple[Event, ...]:
    return tuple(values)


def _problems(values: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class ReadEvents(Record):
    """Many events: those that could be read, in the order they came, and what was wrong with the others."""

    events: tuple[Event, ...] = attrs.field(converter=_events)
    problems: tuple[Problem, ...] = attrs.field(default=(), converter=_problems)

    @property
    def complete(self) -> bool:
        """Whether every event could be read."""
        return not self.problems


def read_events(events: Iterable[Mapping[str, Any] | str | bytes]) -> ReadEvents:
    """Return every event that can be read; one bad event does not hide the others.

    Example:
        >>> found = read_events(['{"source": "aws.ecr"}', "no JSON"])
        >>> found.events, found.problems[-1].path
        ((), '$[1]')
    """
    read: list[Event] = []
    problems: list[Problem] = []
    for number, event in enumerate(events):
        try:
            read.append(parse_event(event))
        except InvalidInput as fault:
            problems += [Problem(f"$[{number}]{p.path.removeprefix('$')}", p.message) for p in fault.problems]
    return ReadEvents(events=read, problems=problems)
