"""Events of a registry as records: what EventBridge delivers, read once for all domains.

`parse_event` reads one event, `read_events` many; `dedupe` and `in_order` put right what delivery did to them.

Example:
    >>> from ecrkit.events import dedupe, in_order, read_events
    >>> found = read_events([])
    >>> in_order(dedupe(found.events)), found.complete
    ((), True)
"""

from __future__ import annotations

from ecrkit.events.cloudtrail import ApiCall, CalledImage, LifecycleActionTaken, LifecycleExecution, LifecycleRefusal
from ecrkit.events.ecr import (
    FrequencyChange,
    ImageAction,
    ImageScan,
    PullThroughCacheAction,
    ReferrerAction,
    ReplicationAction,
    ScanResourceChange,
)
from ecrkit.events.envelope import Event, EventReader, UnknownEvent
from ecrkit.events.order import dedupe, in_order
from ecrkit.events.parsing import ReadEvents, parse_event, read_events

__all__ = [
    "ApiCall",
    "CalledImage",
    "Event",
    "EventReader",
    "FrequencyChange",
    "ImageAction",
    "ImageScan",
    "LifecycleActionTaken",
    "LifecycleExecution",
    "LifecycleRefusal",
    "PullThroughCacheAction",
    "ReadEvents",
    "ReferrerAction",
    "ReplicationAction",
    "ScanResourceChange",
    "UnknownEvent",
    "dedupe",
    "in_order",
    "parse_event",
    "read_events",
]
