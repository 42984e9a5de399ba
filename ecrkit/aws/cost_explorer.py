"""The gateway to Cost Explorer: bills, cost allocation tags and anomalies. Each request of it is charged, at $0.01."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from typing_extensions import override

from ecrkit._internal.times import parse_time
from ecrkit.aws.calls import Caller
from ecrkit.aws.ecr.base import batches
from ecrkit.aws.iam import needs
from ecrkit.cost.anomalies import Anomaly, AnomalyMonitor, AnomalySubscription
from ecrkit.cost.explorer import CostAllocationTag
from ecrkit.errors import QuotaExceeded, Throttled
from ecrkit.refs import partition_of_region

__all__ = ["CostExplorerGateway", "region_of_cost_explorer"]

_PAGE_TOKEN: Final = "NextPageToken"  # noqa: S105 - a page token, no secret
_TOKEN: Final = "NextToken"  # noqa: S105 - a page token, no secret
_TAG_KEYS: Final = 100
_REGIONS: Final = {"aws": "us-east-1", "aws-cn": "cn-northwest-1"}


def region_of_cost_explorer(region: str) -> str:
    """Return the only Region of a Region's partition that has an endpoint of Cost Explorer.

    Example:
        >>> region_of_cost_explorer("eu-west-1")
        'us-east-1'
    """
    return _REGIONS.get(partition_of_region(region), region)


class CostExplorerGateway:
    """Asks Cost Explorer of one account; satisfies `cost.BillSource` and `cost.AnomalySource`.

    `caller` may be what returns it: then no client is made before the first question.

    A payer account sees its member accounts too. Only one Region has an endpoint: `region_of_cost_explorer`. Its
    `LimitExceededException` says that calls came too fast, and is raised as `Throttled`.
    """

    def __init__(self, caller: Caller | Callable[[], Caller]) -> None:
        self._told = caller

    @property
    def _caller(self) -> Caller:
        return self._told if isinstance(self._told, Caller) else self._told()

    @needs("ce:GetCostAndUsage")
    def cost_pages(self, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Yield every page of GetCostAndUsage. Calls: one for each page, charged.

        Raises:
            AwsCallFailed: Cost Explorer refused, has no data yet (DataUnavailableException), or repeats a page token.
        """
        return self._pages("GetCostAndUsage", request, _PAGE_TOKEN)

    @needs("ce:GetDimensionValues")
    def dimension_values(self, dimension: str, *, start: dt.date, end: dt.date, search: str) -> Iterator[list[str]]:
        """Yield the values of a dimension in a time that contain a text, page by page. Calls: one for each, charged.

        Raises:
            AwsCallFailed: Cost Explorer refused.
        """
        asked = {
            "TimePeriod": {"Start": start.isoformat(), "End": end.isoformat()},
            "Dimension": dimension,
            "SearchString": search,
        }
        for page in self._pages("GetDimensionValues", asked, _PAGE_TOKEN):
            yield [str(entry["Value"]) for entry in page.get("DimensionValues") or () if entry.get("Value")]

    @needs("ce:ListCostAllocationTags")
    def cost_allocation_tags(self, keys: Iterable[str]) -> Iterator[list[CostAllocationTag]]:
        """Yield those of the keys that billing knows, page by page. Calls: one for each 100 keys, charged.

        Only a payer account, or one that belongs to none, may ask.

        Raises:
            AwsCallFailed: Cost Explorer refused.
        """
        for chunk in batches(dict.fromkeys(keys), _TAG_KEYS):
            for page in self._pages("ListCostAllocationTags", {"TagKeys": chunk}, _TOKEN):
                yield [_tag(entry) for entry in page.get("CostAllocationTags") or ()]

    @needs("ce:GetAnomalies")
    def anomalies(self, *, start: dt.date, end: dt.date, monitor_arn: str | None = None) -> Iterator[list[Anomaly]]:
        """Yield the anomalies of every service in a time, page by page. Calls: one for each page, charged.

        Raises:
            AwsCallFailed: Cost Explorer refused.
        """
        asked: dict[str, Any] = {"DateInterval": {"StartDate": start.isoformat(), "EndDate": end.isoformat()}}
        if monitor_arn is not None:
            asked["MonitorArn"] = monitor_arn
        for page in self._pages("GetAnomalies", asked, _PAGE_TOKEN):
            yield [Anomaly.parse(entry) for entry in page.get("Anomalies") or ()]

    @needs("ce:CreateAnomalyMonitor")
    def create_anomaly_monitor(self, monitor: AnomalyMonitor) -> str:
        """Create the monitor; return its ARN.

        Raises:
            AwsCallFailed: Cost Explorer refused; an account has one monitor of all its services.
        """
        answer = self._call("CreateAnomalyMonitor", {"AnomalyMonitor": monitor.to_request()}, resource=monitor.name)
        return str(answer["MonitorArn"])

    @needs("ce:CreateAnomalySubscription")
    def create_anomaly_subscription(self, subscription: AnomalySubscription) -> str:
        """Create the subscription; return its ARN.

        Raises:
            AwsCallFailed: Cost Explorer refused, or knows one of the monitors not.
        """
        asked = {"AnomalySubscription": subscription.to_request()}
        answer = self._call("CreateAnomalySubscription", asked, resource=subscription.name)
        return str(answer["SubscriptionArn"])

    def _pages(self, operation: str, parameters: Mapping[str, Any], token: str) -> Iterator[Mapping[str, Any]]:
        listing = self._caller.listing(operation, parameters, lambda answer: [answer], token=token)
        try:
            yield from listing
        except QuotaExceeded as fault:
            raise _too_fast(fault) from fault

    def _call(self, operation: str, parameters: Mapping[str, Any], *, resource: str) -> dict[str, Any]:
        return self._caller.call(operation, parameters, resource=resource)

    @override
    def __repr__(self) -> str:
        where = self._told.client.meta.endpoint_url if isinstance(self._told, Caller) else "its endpoint, not asked yet"
        return f"<CostExplorerGateway at {where}>"


def _too_fast(fault: QuotaExceeded) -> Throttled:
    return Throttled(
        f"ce {fault.operation}: Cost Explorer was asked too often; wait some seconds, then ask again",
        operation=fault.operation,
        code=fault.code,
        service=fault.service,
        request_id=fault.request_id,
        resource=fault.resource,
    )


def _tag(entry: Mapping[str, Any]) -> CostAllocationTag:
    updated = entry.get("LastUpdatedDate")
    return CostAllocationTag(
        key=str(entry["TagKey"]),
        active=entry.get("Status") == "Active",
        updated_at=None if not updated else parse_time(str(updated)),
    )
