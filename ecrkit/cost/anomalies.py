"""Cost anomaly detection: monitors and subscriptions that the service can really run, and ECR's part of what it found.

There is no monitor of ECR alone, and no rule such as "20 % more than last week": AWS compares with what its own model
expects. The builders refuse both before a call does, and say what there is instead.
Source: AWS Cost Explorer API reference, AnomalyMonitor, AnomalySubscription and GetAnomalies.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, Protocol, get_args

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.cost.explorer import ECR_SERVICE
from ecrkit.errors import InvalidInput, Problem

__all__ = [
    "Anomaly",
    "AnomalyMonitor",
    "AnomalySource",
    "AnomalySubscription",
    "Frequency",
    "RootCause",
    "Subscriber",
    "ecr_anomalies",
]

Frequency = Literal["DAILY", "IMMEDIATE", "WEEKLY"]
"""How often a subscription tells: IMMEDIATE goes to SNS topics, the other two to e-mail addresses."""

MonitorKind = Literal["SERVICE", "LINKED_ACCOUNT", "TAG", "COST_CATEGORY", "CUSTOM"]

_VALUES: Final = 10
_KEPT: Final = dt.timedelta(days=90)
_LARGEST: Final = Decimal(10_000_000_000)
_SNS: Final = re.compile(r"arn:aws[a-zA-Z-]*:sns:[a-zA-Z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]+(\.fifo)?")
_MAIL: Final = re.compile(r"[a-zA-Z0-9.!#$%&'*+=?^_‘{|}~-]+@[a-zA-Z0-9_-]+(\.[a-zA-Z0-9_-]+)+")
_NO_SERVICE: Final = (
    "no monitor watches one service: a SERVICE monitor watches every service, each by itself, and a custom one takes "
    "accounts, tag values or cost categories; use all_services() and pick ECR's part with ecr_anomalies()"
)
_NO_WEEK: Final = (
    "anomaly detection compares with what its model expects, never with the week before; give percentage=... for "
    "that, or compute week-over-week jumps from snapshots with the trend of ecrkit.cost"
)


@attrs.frozen(kw_only=True)
class AnomalyMonitor(Record):
    """What anomaly detection watches. Make one with the functions of this class.

    Example:
        >>> AnomalyMonitor.all_services("services").to_request()
        {'MonitorName': 'services', 'MonitorType': 'DIMENSIONAL', 'MonitorDimension': 'SERVICE'}
    """

    name: str
    watches: MonitorKind
    specification: Mapping[str, Any] | None = attrs.field(default=None, hash=False)

    @classmethod
    def all_services(cls, name: str) -> AnomalyMonitor:
        """Return a monitor of every service, each by itself, ECR among them. An account has at most one."""
        return _monitor(name, "SERVICE", None)

    @classmethod
    def every_account(cls, name: str) -> AnomalyMonitor:
        """Return a monitor of every linked account, each by itself, over all services."""
        return _monitor(name, "LINKED_ACCOUNT", None)

    @classmethod
    def every_tag_value(cls, name: str, key: str) -> AnomalyMonitor:
        """Return a monitor of every value of a cost allocation tag, each by itself, over all services.

        Raises:
            InvalidInput: the key is empty.
        """
        return _monitor(name, "TAG", {"Tags": {"Key": key}})

    @classmethod
    def tag_values(cls, name: str, key: str, values: Iterable[str]) -> AnomalyMonitor:
        """Return a monitor of the sum of up to 10 values of a cost allocation tag, over all services.

        Raises:
            InvalidInput: there are no values, or more than 10.
        """
        return _monitor(name, "CUSTOM", {"Tags": {"Key": key, "Values": list(values)}})

    @classmethod
    def accounts(cls, name: str, accounts: Iterable[str]) -> AnomalyMonitor:
        """Return a monitor of the sum of up to 10 linked accounts, over all services.

        Raises:
            InvalidInput: there are none, or more than 10, or one is no account number.
        """
        return _monitor(name, "CUSTOM", {"Dimensions": {"Key": "LINKED_ACCOUNT", "Values": list(accounts)}})

    @classmethod
    def cost_category(cls, name: str, category: str, value: str) -> AnomalyMonitor:
        """Return a monitor of one value of a cost category. A category's rules may pick ECR by its service name.

        Raises:
            InvalidInput: the category or the value is empty.
        """
        return _monitor(name, "CUSTOM", {"CostCategories": {"Key": category, "Values": [value]}})

    @classmethod
    def one_service(cls, name: str, service: str = ECR_SERVICE) -> AnomalyMonitor:
        """Refuse: anomaly detection has no monitor of one service.

        Raises:
            InvalidInput: always, and says what to use.
        """
        raise InvalidInput.single(f"no anomaly monitor {name}", "service", f"{service}: {_NO_SERVICE}")

    def to_request(self) -> dict[str, Any]:
        """Return the `AnomalyMonitor` of CreateAnomalyMonitor."""
        made: dict[str, Any] = {
            "MonitorName": self.name,
            "MonitorType": "CUSTOM" if self.watches == "CUSTOM" else "DIMENSIONAL",
        }
        if self.watches != "CUSTOM":
            made["MonitorDimension"] = self.watches
        if self.specification is not None:
            made["MonitorSpecification"] = dict(self.specification)
        return made


def _monitor(name: str, watches: MonitorKind, specification: Mapping[str, Any] | None) -> AnomalyMonitor:
    problems = [] if name.strip() else [Problem("name", "is empty")]
    for kind, told in (specification or {}).items():
        if not told["Key"].strip():
            problems.append(Problem("key", "is empty"))
        values = told.get("Values")
        if values is None:
            continue
        if not 1 <= len(values) <= _VALUES:
            problems.append(Problem("values", f"a custom monitor takes 1 to {_VALUES}, not {len(values)}"))
        for n, value in enumerate(values):
            if not value.strip():
                problems.append(Problem(f"values[{n}]", "is empty"))
            elif kind == "Dimensions" and not re.fullmatch("[0-9]{12}", value):
                problems.append(Problem(f"values[{n}]", f"{value!r:.60} is no 12-digit account number"))
    if problems:
        raise InvalidInput("no anomaly monitor", problems)
    return AnomalyMonitor(name=name, watches=watches, specification=specification)


@attrs.frozen
class Subscriber(Record):
    """Who is told: an e-mail address, or the ARN of an SNS topic.

    Raises:
        InvalidInput: the address is neither.
    """

    address: str

    def __attrs_post_init__(self) -> None:
        if not (_SNS.fullmatch(self.address) or _MAIL.fullmatch(self.address)) or len(self.address) > 302:
            raise InvalidInput.single(
                "no subscriber", "address", f"{self.address!r:.100} is neither an e-mail address nor an SNS topic's ARN"
            )

    @property
    def kind(self) -> Literal["EMAIL", "SNS"]:
        """The channel."""
        return "SNS" if self.address.startswith("arn:") else "EMAIL"


def _subscribers(told: Iterable[Subscriber | str]) -> tuple[Subscriber, ...]:
    return tuple(found if isinstance(found, Subscriber) else Subscriber(found) for found in told)


def _texts(told: Iterable[str]) -> tuple[str, ...]:
    return tuple(told)


@attrs.frozen(kw_only=True)
class AnomalySubscription(Record):
    """Who is told of anomalies, how often, and from which impact on.

    Args:
        name: of the subscription.
        monitors: ARNs of monitors.
        subscribers: SNS topics for IMMEDIATE, e-mail addresses for DAILY and WEEKLY.
        frequency: how often.
        absolute: the least impact, in USD.
        percentage: the least impact, in percent of what the model expected.
        both: whether both thresholds must be reached, or one of them.
        compared_with: what the percentage refers to; anomaly detection knows only `expected`.

    Raises:
        InvalidInput: lists everything that the service cannot do, such as a comparison with the week before.

    Example:
        >>> AnomalySubscription(name="ecr", monitors=["arn:aws:ce::123456789012:anomalymonitor/m"],
        ...                     subscribers=["team@example.com"], percentage=20, compared_with="last week")
        Traceback (most recent call last):
        ecrkit.errors.InvalidInput: no anomaly subscription: compared_with: ...
    """

    name: str
    monitors: tuple[str, ...] = attrs.field(converter=_texts)
    subscribers: tuple[Subscriber, ...] = attrs.field(converter=_subscribers)
    frequency: Frequency = "DAILY"
    absolute: Decimal | int | None = None
    percentage: Decimal | int | None = None
    both: bool = False
    compared_with: str = "expected"

    def __attrs_post_init__(self) -> None:
        problems = list(_subscription_problems(self))
        if problems:
            raise InvalidInput("no anomaly subscription", problems)

    def to_request(self) -> dict[str, Any]:
        """Return the `AnomalySubscription` of CreateAnomalySubscription."""
        thresholds = [
            {
                "Dimensions": {
                    "Key": f"ANOMALY_TOTAL_IMPACT_{name}",
                    "MatchOptions": ["GREATER_THAN_OR_EQUAL"],
                    "Values": [f"{Decimal(value):f}"],
                }
            }
            for name, value in (("ABSOLUTE", self.absolute), ("PERCENTAGE", self.percentage))
            if value is not None
        ]
        together: dict[str, Any] = {"And" if self.both else "Or": thresholds}
        return {
            "SubscriptionName": self.name,
            "MonitorArnList": list(self.monitors),
            "Subscribers": [{"Address": who.address, "Type": who.kind} for who in self.subscribers],
            "Frequency": self.frequency,
            "ThresholdExpression": thresholds[0] if len(thresholds) == 1 else together,
        }


def _subscription_problems(found: AnomalySubscription) -> Iterator[Problem]:
    if not found.name.strip():
        yield Problem("name", "is empty")
    if not found.monitors:
        yield Problem("monitors", "names none")
    if not found.subscribers:
        yield Problem("subscribers", "names none")
    if found.frequency not in get_args(Frequency):
        yield Problem("frequency", f"must be one of {', '.join(get_args(Frequency))}, not {found.frequency!r:.60}")
    channel = "SNS" if found.frequency == "IMMEDIATE" else "EMAIL"
    for n, who in enumerate(found.subscribers):
        if who.kind != channel:
            takes = "SNS topics" if channel == "SNS" else "e-mail addresses"
            yield Problem(f"subscribers[{n}]", f"{found.frequency} tells only {takes}, not {who.address}")
    if found.absolute is None and found.percentage is None:
        yield Problem("absolute", "is needed, or percentage: the service takes no subscription without a threshold")
    told: tuple[tuple[str, object], ...] = (("absolute", found.absolute), ("percentage", found.percentage))
    for name, _ in (pair for pair in told if isinstance(pair[1], float)):
        yield Problem(name, "must be Decimal or int: a float is not the amount that was written")
    for name, value in (("absolute", found.absolute), ("percentage", found.percentage)):
        if value is not None and not (Decimal(value).is_finite() and 0 <= value <= _LARGEST):
            yield Problem(name, f"must be from 0 to {_LARGEST}, not {value}")
    if found.compared_with != "expected":
        yield Problem("compared_with", f"{found.compared_with!r:.60}: {_NO_WEEK}")


# ---- what was found


@attrs.frozen(kw_only=True)
class RootCause(Record):
    """What an anomaly is put down to."""

    service: str | None = None
    region: str | None = None
    account: str | None = None
    usage_type: str | None = None
    impact: Decimal | None = None


@attrs.frozen(kw_only=True)
class Anomaly(Record):
    """An anomaly that AWS found. Amounts are in USD; `expected` is what its model expected, `actual` what was spent."""

    id: str
    start: dt.date | None
    end: dt.date | None
    impact: Decimal
    impact_percentage: Decimal | None = None
    actual: Decimal | None = None
    expected: Decimal | None = None
    causes: tuple[RootCause, ...] = ()
    monitor_arn: str = ""

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Anomaly:
        """Return an entry of GetAnomalies as a record.

        Raises:
            InvalidInput: it has no id or no impact.
        """
        impact = raw.get("Impact") or {}
        total = _money(impact.get("TotalImpact", impact.get("MaxImpact")))
        if not raw.get("AnomalyId") or total is None:
            raise InvalidInput.single("no anomaly", "$", "has no AnomalyId or no Impact")
        return cls(
            id=str(raw["AnomalyId"]),
            start=_day(raw.get("AnomalyStartDate")),
            end=_day(raw.get("AnomalyEndDate")),
            impact=total,
            impact_percentage=_money(impact.get("TotalImpactPercentage")),
            actual=_money(impact.get("TotalActualSpend")),
            expected=_money(impact.get("TotalExpectedSpend")),
            causes=tuple(
                RootCause(
                    service=cause.get("Service"),
                    region=cause.get("Region"),
                    account=cause.get("LinkedAccount"),
                    usage_type=cause.get("UsageType"),
                    impact=_money((cause.get("Impact") or {}).get("Contribution")),
                )
                for cause in raw.get("RootCauses") or ()
            ),
            monitor_arn=str(raw.get("MonitorArn") or ""),
        )


class AnomalySource(Protocol):
    """Where anomalies come from (GetAnomalies)."""

    def anomalies(self, *, start: dt.date, end: dt.date, monitor_arn: str | None = None) -> Iterable[list[Anomaly]]:
        """Return the anomalies of every service in a time, page by page; each page is a charged request."""
        ...


def ecr_anomalies(
    source: AnomalySource, *, start: dt.date, end: dt.date, now: dt.datetime, monitor_arn: str | None = None
) -> tuple[Anomaly, ...]:
    """Return the anomalies that AWS puts down to ECR, by the service of their root causes.

    An anomaly without any root cause, or with one that names no service, is returned too, since nobody knows whose it
    is.

    Raises:
        InvalidInput: the time begins more than 90 days ago: AWS no longer has it, and no anomalies would look fine.
        AwsCallFailed: Cost Explorer refused.
    """
    oldest = (now - _KEPT).date()
    problems = []
    if start < oldest:
        problems.append(Problem("start", f"AWS keeps anomalies for {_KEPT.days} days, so from {oldest} on"))
    if start > end:
        problems.append(Problem("end", "must not be before start"))
    if problems:
        raise InvalidInput("no anomalies", problems)
    return tuple(
        found
        for page in source.anomalies(start=start, end=end, monitor_arn=monitor_arn)
        for found in page
        if not found.causes or any(cause.service in (ECR_SERVICE, None) for cause in found.causes)
    )


def _money(value: object) -> Decimal | None:
    return None if value is None else Decimal(str(value))


def _day(text: object) -> dt.date | None:
    return None if not text else dt.date.fromisoformat(str(text)[:10])
