"""What the registry is doing: patterns for its events, proved against samples before they are put."""

from ecrkit.monitoring.patterns import KNOWN_EVENTS, EventPattern, KnownEvent, never_fires

__all__ = ["KNOWN_EVENTS", "EventPattern", "KnownEvent", "never_fires"]
