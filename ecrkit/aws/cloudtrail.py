"""The gateway to CloudTrail's event history: what ECR recorded of calls and of its own doing, for 90 days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from ecrkit._internal.times import require_aware
from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.events import ReadEvents, read_events
from ecrkit.ports import Listing

__all__ = ["LIFECYCLE", "CloudTrailGateway"]

LIFECYCLE: Final = ("PolicyExecutionEvent",)
"""The event of a lifecycle policy that ran."""
_PAGE: Final = 50


class CloudTrailGateway:
    """Asks the event history of one account and Region; no trail is needed.

    LookupEvents takes two calls a second, and its answers are up to 15 minutes late (CloudTrail user guide, event
    history). For more than a few thousand events read a trail's log group or files instead.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @needs("cloudtrail:LookupEvents")
    def ecr_events(
        self, names: Iterable[str] = LIFECYCLE, *, since: dt.datetime, until: dt.datetime | None = None
    ) -> ReadEvents:
        """Return the events of these names, in order of time, each once; what could not be read is told.

        Calls: one for each 50 events of each name, by any service of that event name.

        Args:
            names: of events, such as `PolicyExecutionEvent`, `BatchGetImage`, `PutImage`, `BatchDeleteImage`.
            since: the earliest time, at most 90 days ago.
            until: the latest time; by default now.

        Raises:
            AwsCallFailed: CloudTrail refused.
        """
        period: dict[str, Any] = {"StartTime": require_aware(since, "since")}
        if until is not None:
            period["EndTime"] = require_aware(until, "until")
        texts: dict[str, str] = {}
        for name in dict.fromkeys(names):
            for event in self._named(name, period):
                if event.get("EventSource") == "ecr.amazonaws.com":
                    texts[str(event.get("EventId"))] = str(event.get("CloudTrailEvent") or "")
        found = read_events(texts.values())
        return ReadEvents(events=sorted(found.events, key=lambda e: (e.at, e.event_id)), problems=found.problems)

    def _named(self, name: str, period: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        asked = {
            **period,
            "LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": name}],
            "MaxResults": _PAGE,
        }

        def fetch(after: str | None) -> tuple[list[Mapping[str, Any]], str | None]:
            answer = self._caller.call(
                "LookupEvents", asked if after is None else {**asked, "NextToken": after}, resource=name
            )
            return list(answer.get("Events") or ()), answer.get("NextToken")

        return iter(Listing(fetch))
