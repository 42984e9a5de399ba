"""The gateway to CloudWatch: custom metrics are published, and the one metric of ECR is read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from typing_extensions import override

from ecrkit.aws.calls import Caller
from ecrkit.aws.ecr.base import batches
from ecrkit.aws.iam import needs
from ecrkit.errors import AwsCallFailed, InvalidInput, Problem
from ecrkit.metrics import MetricPoint, metric_batches

__all__ = ["CloudWatchGateway"]

_TOKEN: Final = "NextToken"  # noqa: S105 - a page token, no secret
_QUERIES: Final = 500
_POINTS: Final = 100_800
_MINUTES_KEPT: Final = dt.timedelta(days=15)
_FIVE_MINUTES_KEPT: Final = dt.timedelta(days=63)
_KEPT: Final = dt.timedelta(days=455)


class CloudWatchGateway:
    """Publishes and reads metrics of one account and Region; satisfies `ports.MetricSink` and `ports.PullCountSource`.

    Each custom metric is charged by CloudWatch for every month in which it gets a point, and each set of dimensions is
    a metric of its own.
    """

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._region: str = caller.client.meta.region_name

    @needs("cloudwatch:PutMetricData")
    def publish(self, points: Iterable[MetricPoint]) -> int:
        """Send the points; return how many requests that took.

        Every point is checked before the first request is sent. When a request fails, those before it have arrived.
        Calls: one for each namespace and 1000 points or 1 MB.

        Raises:
            InvalidInput: a time is older than two weeks, or more than two hours ahead.
            AwsCallFailed: CloudWatch refused.
        """
        sent = 0
        for batch in metric_batches(points, now=self._caller.clock.now()):
            self._caller.call(
                "PutMetricData",
                {"Namespace": batch[0].namespace, "MetricData": [point.to_datum() for point in batch]},
                resource=batch[0].namespace,
            )
            sent += 1
        return sent

    @needs("cloudwatch:GetMetricData")
    def pull_counts(
        self,
        repositories: Iterable[str],
        *,
        start: dt.datetime,
        end: dt.datetime,
        period: dt.timedelta = dt.timedelta(days=1),
    ) -> Mapping[str, Mapping[dt.datetime, int]]:
        """Return the pulls of each repository, by the start of each period in which there were any.

        A period without an entry is one that CloudWatch has no value for. It does not tell a repository that does not
        exist from one that nobody pulls from. RepositoryPullCount is the only metric of ECR.
        Calls: one for each 500 repositories or 100,800 points, and one for each further page.

        Args:
            repositories: their names.
            start: included. CloudWatch keeps minutes for 15 days, 5 minutes for 63 days and hours for 455 days.
            end: excluded.
            period: whole minutes; what is older than 15 days needs 5 minutes, than 63 days whole hours.

        Raises:
            InvalidInput: the period cannot be answered.
            AwsCallFailed: CloudWatch refused, or gave only a part of the answer.
        """
        seconds = self._checked(start, end, period)
        found: dict[str, dict[dt.datetime, int]] = {}
        each = max(1, -(-int((end - start).total_seconds()) // seconds))
        for names in batches(dict.fromkeys(repositories), max(1, min(_QUERIES, _POINTS // each))):
            by_id = {f"r{n}": name for n, name in enumerate(names)}
            for name in names:
                found[name] = {}
            for result in self._results(by_id, start, end, seconds):
                counts = found[by_id[str(result["Id"])]]
                stamps, values = result.get("Timestamps") or (), result.get("Values") or ()
                for at, value in zip(stamps, values, strict=True):
                    counts[at.astimezone(dt.UTC)] = int(value)
        return {name: dict(sorted(counts.items())) for name, counts in found.items()}

    def _checked(self, start: dt.datetime, end: dt.datetime, period: dt.timedelta) -> int:
        problems = [
            Problem(name, "has no time zone; pass an aware datetime")
            for name, time in (("start", start), ("end", end))
            if time.utcoffset() is None
        ]
        seconds = period.total_seconds()
        if seconds < 60 or seconds % 60:
            problems.append(Problem("period", f"must be whole minutes, not {period}"))
        if not problems:
            if start >= end:
                problems.append(Problem("end", "must be after start"))
            age = self._caller.clock.now() - start
            least = 60 if age <= _MINUTES_KEPT else 300 if age <= _FIVE_MINUTES_KEPT else 3600
            if seconds % least:
                problems.append(
                    Problem("period", f"must be a multiple of {least} seconds for times that are {age.days} days old")
                )
            if age > _KEPT:
                problems.append(Problem("start", f"is {age.days} days ago; CloudWatch keeps {_KEPT.days}"))
        if problems:
            raise InvalidInput("no pull counts", problems)
        return int(seconds)

    def _results(
        self, by_id: Mapping[str, str], start: dt.datetime, end: dt.datetime, seconds: int
    ) -> Iterator[dict[str, Any]]:
        queries = [
            {
                "Id": key,
                "MetricStat": {
                    "Metric": {
                        "Namespace": "AWS/ECR",
                        "MetricName": "RepositoryPullCount",
                        "Dimensions": [{"Name": "RepositoryName", "Value": name}],
                    },
                    "Period": seconds,
                    "Stat": "Sum",
                },
            }
            for key, name in by_id.items()
        ]
        asked = {"MetricDataQueries": queries, "StartTime": start, "EndTime": end}
        final: dict[str, str] = {}
        for result in self._caller.listing(
            "GetMetricData", asked, lambda answer: list(answer.get("MetricDataResults") or ()), token=_TOKEN
        ):
            final[str(result["Id"])] = str(result.get("StatusCode") or "Complete")
            yield result
        partial = sorted(by_id[key] for key, status in final.items() if status != "Complete")
        if partial:
            raise AwsCallFailed(
                f"CloudWatch did not give every point of {', '.join(partial[:5])}; try again, or a shorter time",
                operation="GetMetricData",
                code="PartialData",
                service="cloudwatch",
            )

    @override
    def __repr__(self) -> str:
        return f"<CloudWatchGateway in {self._region}>"
