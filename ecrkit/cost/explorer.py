"""Asking Cost Explorer what ECR cost: the right question, every page, each paid call counted, and no unchecked zero.

Cost Explorer answers a wrong service name, or a tag that is no active cost allocation tag, with zero and no error
(aws/aws-sdk-php#2073). So a zero is checked before it is believed.
Source: AWS Cost Explorer API reference, GetCostAndUsage, GetDimensionValues and ListCostAllocationTags.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal, Protocol, get_args

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit.cost.bill import Bill, BillLine, Dimension, Granularity, Metric, checked_metric, read_pages
from ecrkit.errors import AwsCallFailed, InvalidInput, Problem

__all__ = ["ECR_SERVICE", "PRICE_OF_A_CALL", "BillSource", "CostAllocationTag", "CostExplorer", "NoBills"]

ECR_SERVICE: Final = "Amazon EC2 Container Registry (ECR)"
"""What the dimension SERVICE calls ECR. A similar name matches nothing, and gives zero."""
PRICE_OF_A_CALL: Final = Decimal("0.01")
"""What AWS charges for each request of the Cost Explorer API, in USD (public price list)."""

_GROUPS: Final = 2
_USAGE_TYPE: Final = "USAGE_TYPE"
_DIMENSIONS: Final = frozenset({
    "AZ", "INSTANCE_TYPE", "LEGAL_ENTITY_NAME", "INVOICING_ENTITY", "LINKED_ACCOUNT", "OPERATION", "PLATFORM",
    "PURCHASE_TYPE", "SERVICE", "TENANCY", "RECORD_TYPE", "USAGE_TYPE", "REGION", "DATABASE_ENGINE",
    "INSTANCE_TYPE_FAMILY", "OPERATING_SYSTEM", "BILLING_ENTITY",
})  # fmt: skip


@attrs.frozen(kw_only=True)
class CostAllocationTag(Record):
    """A tag key as billing knows it. `updated_at` is when it was last activated or deactivated, where that is told."""

    key: str
    active: bool
    updated_at: dt.datetime | None = None


class BillSource(Protocol):
    """Where bills come from: Cost Explorer. Each request is charged."""

    def cost_pages(self, request: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
        """Return every page of GetCostAndUsage; each page is a request."""
        ...

    def dimension_values(self, dimension: str, *, start: dt.date, end: dt.date, search: str) -> Iterable[list[str]]:
        """Return the values of a dimension in a time that contain a text, page by page; each page is a request."""
        ...

    def cost_allocation_tags(self, keys: Iterable[str]) -> Iterable[list[CostAllocationTag]]:
        """Return those of the keys that billing knows, page by page; each page is a request."""
        ...


class NoBills:
    """The bill source of a registry that nobody bills, such as an embedded one: every question is refused."""

    def cost_pages(self, request: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
        """Refuse.

        Raises:
            InvalidInput: always.
        """
        del request
        raise _nobody_bills()

    def dimension_values(self, dimension: str, *, start: dt.date, end: dt.date, search: str) -> Iterable[list[str]]:
        """Refuse.

        Raises:
            InvalidInput: always.
        """
        del dimension, start, end, search
        raise _nobody_bills()

    def cost_allocation_tags(self, keys: Iterable[str]) -> Iterable[list[CostAllocationTag]]:
        """Refuse.

        Raises:
            InvalidInput: always.
        """
        del keys
        raise _nobody_bills()


def _nobody_bills() -> InvalidInput:
    return InvalidInput.single(
        "no bill", "source", "the embedded ECR costs nothing and has no Cost Explorer; give a BillSource of your own"
    )


@attrs.frozen(kw_only=True)
class _Question:
    start: dt.date
    end: dt.date
    granularity: Granularity
    metric: Metric
    keys: tuple[tuple[Literal["TAG", "DIMENSION"], str], ...]
    where: tuple[tuple[str, tuple[str, ...]], ...]
    regions: tuple[str, ...]

    @property
    def tags(self) -> tuple[str, ...]:
        """The tag keys that the answer rests on."""
        grouped = [name for kind, name in self.keys if kind == "TAG"]
        return tuple(dict.fromkeys([*grouped, *(key for key, _ in self.where)]))

    def request(self) -> dict[str, Any]:
        """Return the request of GetCostAndUsage."""
        filters: list[dict[str, Any]] = [{"Dimensions": {"Key": "SERVICE", "Values": [ECR_SERVICE]}}]
        if self.regions:
            filters.append({"Dimensions": {"Key": "REGION", "Values": list(self.regions)}})
        filters += [{"Tags": {"Key": key, "Values": list(values)}} for key, values in self.where]
        asked: dict[str, Any] = {
            "TimePeriod": {"Start": self.start.isoformat(), "End": self.end.isoformat()},
            "Granularity": self.granularity,
            "Metrics": [self.metric, "UsageQuantity"],
            "Filter": filters[0] if len(filters) == 1 else {"And": filters},
        }
        if self.keys:
            asked["GroupBy"] = [{"Type": kind, "Key": name} for kind, name in self.keys]
        return asked


class CostExplorer:
    """Asks for bills, keeps the answers, and counts what the questions cost. Threads may share it.

    `paid_calls` is how many requests were answered so far, and `spent` what AWS charges for them.
    """

    def __init__(self, source: BillSource) -> None:
        self._source = source
        self._lock = threading.RLock()
        self._answers: dict[str, Bill] = {}
        self._paid = 0

    @property
    def paid_calls(self) -> int:
        """How many charged requests were answered."""
        return self._paid

    @property
    def spent(self) -> Decimal:
        """What they cost, in USD."""
        return self._paid * PRICE_OF_A_CALL

    def forget(self) -> None:
        """Drop the answers that are kept, so that the next question is asked anew: estimated periods change daily."""
        with self._lock:
            self._answers.clear()

    def bill(
        self,
        start: dt.date,
        end: dt.date,
        *,
        group_by: Iterable[str | Dimension] = (),
        where: Mapping[str, Iterable[str]] | None = None,
        regions: Iterable[str] = (),
        granularity: Granularity = "MONTHLY",
        metric: Metric = "UnblendedCost",
    ) -> Bill:
        """Return what ECR cost from `start` to `end`, which is excluded; the same question is asked once.

        It covers every account whose costs the credentials may see; group by `Dimension("LINKED_ACCOUNT")` to tell them
        apart. One place in `group_by` that is left free is taken by the usage type, so that storage, archive and
        transfer are told apart at no further charge. A zero, and costs that carry no value of any tag asked for, are
        checked with one or two further requests: either they are explained, or the bill says that it is not known.

        Args:
            start: the first day.
            end: the day after the last one.
            group_by: tag keys, and `Dimension(...)`; Cost Explorer takes at most two together.
            where: only costs with these values, by tag key; an empty text stands for costs without the tag.
            regions: only these Regions.
            granularity: `MONTHLY` or `DAILY`.
            metric: which cost; `UnblendedCost` is what the invoice says, before discounts that are shared.

        Raises:
            InvalidInput: found before any request: a third group, an empty time, an unknown dimension or metric.
            AwsCallFailed: Cost Explorer refused, or repeats a page.
        """
        question = _question(
            start, end, group_by=group_by, where=where or {}, regions=regions, granularity=granularity, metric=metric
        )
        key = canonical_json(attrs.asdict(question))
        with self._lock:
            found = self._answers.get(key)
            if found is not None:
                return attrs.evolve(found, paid_calls=0)
            made = self._answers[key] = self._ask(question)
            return made

    def _ask(self, question: _Question) -> Bill:
        before = self._paid
        pages = self._paying(self._source.cost_pages(question.request()))
        lines, estimated = read_pages(pages, question.keys, question.metric)
        unknown, notes, unseen = self._checked(question, lines)
        currencies = sorted({line.currency for line in lines})
        if len(currencies) > 1:
            unknown.append(f"amounts in {' and '.join(currencies)} are not added up")
        return Bill(
            start=question.start,
            end=question.end,
            granularity=question.granularity,
            metric=question.metric,
            grouped_by=tuple(name for _, name in question.keys),
            lines=lines,
            estimated=estimated,
            unknown=tuple(unknown),
            notes=tuple(notes),
            unseen_tags=tuple(unseen),
            where=question.where,
            regions=question.regions,
            paid_calls=self._paid - before,
        )

    def _paying(self, pages: Iterable[Any]) -> Iterator[Any]:
        for page in pages:
            self._paid += 1
            yield page

    def _checked(self, question: _Question, lines: tuple[BillLine, ...]) -> tuple[list[str], list[str], list[str]]:
        unknown: list[str] = []
        notes: list[str] = []
        unseen: list[str] = []
        nothing = not any(line.amount for line in lines)
        grouped = [n for n, (kind, _) in enumerate(question.keys) if kind == "TAG"]
        bare = [question.keys[n][1] for n in grouped if lines and all(line.group[n] is None for line in lines)]
        suspects = question.tags if nothing else tuple(bare)
        if suspects:
            why, noted, unseen = self._check_tags(question, suspects)
            # A zero rests on these tags; a sum that is not zero does not, only its parts do.
            (unknown if nothing else notes).extend(why)
            notes += noted
        if nothing and not unknown:
            self._check_service(question, unknown, notes)
        return unknown, notes, unseen

    def _check_tags(self, question: _Question, keys: tuple[str, ...]) -> tuple[list[str], list[str], list[str]]:
        """Return why values of the tags cannot be seen, what is in order, and the keys that cannot be seen."""
        try:
            known = {tag.key: tag for page in self._paying(self._source.cost_allocation_tags(keys)) for tag in page}
        except AwsCallFailed as fault:
            why = f"whether Cost Explorer sees the tags {_listed(keys)} could not be checked: {fault}"
            return [why], [], list(keys)
        told: list[str] = []
        noted: list[str] = []
        unseen: list[str] = []
        for key in keys:
            tag = known.get(key)
            if tag is None or not tag.active:
                state = "is not known to billing" if tag is None else "is not active"
                told.append(
                    f"the cost allocation tag {key} {state}, so that Cost Explorer sees no value of it; "
                    "activate it in the payer account, and costs from then on carry it"
                )
                unseen.append(key)
            elif tag.updated_at is not None and tag.updated_at.date() > question.start:
                day = tag.updated_at.date()
                told.append(f"the cost allocation tag {key} was activated on {day}: no cost before that day carries it")
                unseen.append(key)
            else:
                noted.append(f"the cost allocation tag {key} is active, and no cost of ECR carries it in this time")
        return told, noted, unseen

    def _check_service(self, question: _Question, unknown: list[str], notes: list[str]) -> None:
        try:
            pages = self._source.dimension_values(
                "SERVICE", start=question.start, end=question.end, search="Container Registry"
            )
            names = sorted({name for page in self._paying(pages) for name in page})
        except AwsCallFailed as fault:
            unknown.append(f"zero, and whether there are costs of ECR at all could not be checked: {fault}")
            return
        others = [name for name in names if name != ECR_SERVICE]
        if ECR_SERVICE in names:
            narrowed = "; the Regions or tags asked for leave none" if question.regions or question.where else ""
            notes.append(f"Cost Explorer lists {ECR_SERVICE} in this time, with costs of zero{narrowed}")
        elif others:
            unknown.append(f"zero, but Cost Explorer lists {_listed(others)} in this time: ECR may be billed as that")
        else:
            notes.append("Cost Explorer lists no service of that name in this time: nothing of ECR was billed")

    @override
    def __repr__(self) -> str:
        return f"<CostExplorer: {self._paid} paid calls, {len(self._answers)} answers kept>"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def _question(
    start: dt.date,
    end: dt.date,
    *,
    group_by: Iterable[str | Dimension],
    where: Mapping[str, Iterable[str]],
    regions: Iterable[str],
    granularity: Granularity,
    metric: Metric,
) -> _Question:
    problems: list[Problem] = []
    days = [(name, day) for name, day in (("start", start), ("end", end)) if isinstance(day, dt.datetime)]
    problems += [Problem(name, "must be a date, not a time: Cost Explorer counts days in UTC") for name, _ in days]
    if not days and start >= end:
        problems.append(Problem("end", f"must be after start, and is excluded: {start} to {end} holds no day"))
    if isinstance(group_by, str | Dimension):
        group_by = [group_by]
    keys: list[tuple[Literal["TAG", "DIMENSION"], str]] = []
    for n, item in enumerate(group_by):
        name = item.name if isinstance(item, Dimension) else item
        if isinstance(item, Dimension) and name not in _DIMENSIONS:
            problems.append(Problem(f"group_by[{n}]", f"{name!r:.60} is no dimension that costs are grouped by"))
        if not name:
            problems.append(Problem(f"group_by[{n}]", "is empty"))
        keys.append(("DIMENSION" if isinstance(item, Dimension) else "TAG", name))
    if len(keys) > _GROUPS:
        problems.append(
            Problem(
                "group_by", f"Cost Explorer groups by at most {_GROUPS} keys, not {len(keys)}: ask once for each pair"
            )
        )
    problems += [Problem("group_by", f"{name} stands twice") for name in {n for _, n in keys if _twice(keys, n)}]
    if len(keys) < _GROUPS and ("DIMENSION", _USAGE_TYPE) not in keys:
        keys.append(("DIMENSION", _USAGE_TYPE))
    if granularity not in get_args(Granularity):
        problems.append(Problem("granularity", f"must be DAILY or MONTHLY, not {granularity!r:.60}"))
    wrong = checked_metric(metric)
    if wrong is not None:
        problems.append(wrong)
    # One text alone would be taken for its letters, which match nothing: a zero, and paid for.
    chosen = tuple((key, _once(values)) for key, values in sorted(where.items()))
    problems += [Problem(f"where[{key!r:.60}]", "names no value") for key, values in chosen if not values]
    if problems:
        raise InvalidInput("no question for Cost Explorer", problems)
    return _Question(
        start=start, end=end, granularity=granularity, metric=metric, keys=tuple(keys), where=chosen,
        regions=_once(regions),
    )  # fmt: skip


def _once(values: Iterable[str]) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else tuple(sorted(set(values)))


def _twice(keys: list[tuple[Literal["TAG", "DIMENSION"], str]], name: str) -> bool:
    return sum(found == name for _, found in keys) > 1
