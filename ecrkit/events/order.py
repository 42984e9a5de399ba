"""Putting right what best-effort delivery does to events: duplicates and disorder.

Source: EventBridge user guide, "Event delivery": an event is delivered at least once, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from ecrkit.events.envelope import Event

__all__ = ["dedupe", "in_order"]

E = TypeVar("E", bound=Event)


def dedupe(events: Iterable[E]) -> Iterator[E]:
    """Yield each event once, by its id, source, account and Region; the first delivery stays.

    Ids stay in memory as long as the iteration; cut a long stream into windows.

    Example:
        >>> from ecrkit.events import parse_event
        >>> one = parse_event({"id": "1", "source": "s", "detail-type": "t", "account": "1", "region": "r",
        ...                    "time": "2026-01-01T00:00:00Z"})
        >>> len(list(dedupe([one, one])))
        1
    """
    seen: set[tuple[str, str, str, str]] = set()
    for event in events:
        key = (event.event_id, event.source, event.account, event.region)
        if key not in seen:
            seen.add(key)
            yield event


def in_order(events: Iterable[E]) -> tuple[E, ...]:
    """Return the events by their time, and by their id within one second, which is all that EventBridge tells.

    The order does not depend on the order in which they came.
    """
    return tuple(sorted(events, key=lambda e: (e.at, e.event_id, e.source, e.account, e.region)))
