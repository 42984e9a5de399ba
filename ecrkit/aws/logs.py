"""The gateway to CloudWatch Logs Insights: queries started, waited for, and read to the last row."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso, require_aware
from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.deployments.pull_history import LogsQuery
from ecrkit.errors import InvalidInput, Problem, WaitExpired, WaitFailed
from ecrkit.events import ReadEvents, dedupe, read_events
from ecrkit.ports import OnProgress
from ecrkit.records import Progress

__all__ = ["LogsAnswer", "LogsGateway"]

_POLL: Final = 1.0


def _rows(values: Iterable[Mapping[str, str]]) -> tuple[Mapping[str, str], ...]:
    return tuple(values)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class LogsAnswer(Record):
    """The rows of a query, each field by its name; how many queries it took, and how many bytes they scanned.

    `cut` names the times of which there were more rows than a query returns: then rows are missing.
    """

    rows: tuple[Mapping[str, str], ...] = attrs.field(converter=_rows, hash=False)
    queries: int
    scanned_bytes: int
    cut: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    @property
    def complete(self) -> bool:
        """Whether no row is missing."""
        return not self.cut


class LogsGateway:
    """Runs Logs Insights queries on log groups that hold CloudTrail's records; each is charged by bytes scanned."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller

    @needs("logs:StartQuery", "logs:GetQueryResults", "logs:StopQuery")
    def run(
        self,
        query: LogsQuery,
        log_groups: Iterable[str],
        *,
        since: dt.datetime,
        until: dt.datetime,
        timeout: float = 300.0,
        on_progress: OnProgress | None = None,
    ) -> LogsAnswer:
        """Return every row of the query.

        Where a query of whole records returns as many rows as it can, its time is halved and both halves are asked,
        down to a second. A query that counts cannot be put together from halves; when it is full, that is told.

        Calls: one to start each query, and one for each second that it runs.

        Args:
            query: from `ecrkit.deployments`.
            log_groups: names or ARNs, at most 50.
            since: the first instant.
            until: the last instant.
            timeout: seconds for all of it; a query that still runs then is stopped.
            on_progress: called after each query.

        Raises:
            InvalidInput: there is no log group, or the time is empty.
            WaitExpired: it took longer than `timeout`.
            WaitFailed: a query failed or was cancelled.
            AwsCallFailed: CloudWatch Logs refused.
        """
        groups = list(log_groups)
        first, last = int(require_aware(since, "since").timestamp()), int(require_aware(until, "until").timestamp())
        if not groups or last < first:
            path, message = (
                ("until", f"{iso(until)} is before {iso(since)}") if groups else ("log_groups", "names none")
            )
            raise InvalidInput.single("no query", path, message)
        end = self._caller.clock.monotonic() + timeout
        rows: list[Mapping[str, str]] = []
        cut: list[str] = []
        queries = scanned = 0
        waiting = [(first, last)]  # seconds, both ends within; the earliest is the last of the list
        while waiting:
            begin, stop = waiting.pop()
            found, told = self._one(query, groups, begin, stop, end)
            queries += 1
            scanned += int(told.get("bytesScanned") or 0)
            full = len(found) >= query.limit
            if full and query.whole_records and stop > begin:
                middle = (begin + stop) // 2
                waiting += [(middle + 1, stop), (begin, middle)]
                continue
            if full:
                cut.append(f"{_shown(begin)} to {_shown(stop)}")
            rows += found
            if on_progress is not None:
                on_progress(Progress(done=queries, total=queries + len(waiting), what="log queries"))
        return LogsAnswer(rows=rows, queries=queries, scanned_bytes=scanned, cut=cut)

    def _one(
        self, query: LogsQuery, groups: list[str], begin: int, stop: int, end: float
    ) -> tuple[list[dict[str, str]], Mapping[str, Any]]:
        asked = {
            "logGroupIdentifiers": groups, "queryString": query.text, "limit": query.limit,
            "startTime": begin, "endTime": stop,
        }  # fmt: skip
        identity = str(self._caller.call("StartQuery", asked, resource=groups[0])["queryId"])
        while True:
            answer = self._caller.call("GetQueryResults", {"queryId": identity}, resource=groups[0])
            status = str(answer.get("status"))
            if status == "Complete":
                listed = answer.get("results") or ()
                rows = [{str(f.get("field")): str(f.get("value")) for f in row} for row in listed]
                return rows, answer.get("statistics") or {}
            if status in ("Failed", "Cancelled", "Timeout"):
                raise WaitFailed(f"the query of {groups[0]} ended as {status}", last=answer)
            if self._caller.clock.monotonic() >= end:
                self._caller.call("StopQuery", {"queryId": identity}, resource=groups[0])
                raise WaitExpired(f"the query of {groups[0]} is still {status}; it was stopped", last=answer)
            self._caller.clock.sleep(_POLL)

    @needs("logs:StartQuery", "logs:GetQueryResults", "logs:StopQuery")
    def events(
        self,
        query: LogsQuery,
        log_groups: Iterable[str],
        *,
        since: dt.datetime,
        until: dt.datetime,
        timeout: float = 300.0,
        on_progress: OnProgress | None = None,
    ) -> ReadEvents:
        """Return the records that a query finds as events, each once; what is cut off or unreadable is a problem.

        Raises:
            InvalidInput: the query does not return whole records, or as in `run`.
            WaitExpired: as in `run`.
            WaitFailed: as in `run`.
            AwsCallFailed: as in `run`.
        """
        if not query.whole_records:
            raise InvalidInput.single("no events", "query", "counts, and returns no records; use calls_query()")
        answer = self.run(query, log_groups, since=since, until=until, timeout=timeout, on_progress=on_progress)
        read = read_events(row.get("@message", "") for row in answer.rows)
        missing = [Problem(f"time {span}", "holds more records than a query returns") for span in answer.cut]
        return ReadEvents(events=dedupe(read.events), problems=[*read.problems, *missing])


def _shown(second: int) -> str:
    return iso(dt.datetime.fromtimestamp(second, dt.UTC))
