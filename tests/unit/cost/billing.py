"""A Cost Explorer made of canned answers, which counts and keeps what it was asked."""

from __future__ import annotations

import datetime as dt

from ecrkit.cost.explorer import ECR_SERVICE, CostAllocationTag

START, END = dt.date(2026, 10, 1), dt.date(2026, 11, 1)


def group(*keys, amount="1", unit="USD", quantity=None, of="GB-Mo"):
    metrics = {"UnblendedCost": {"Amount": amount, "Unit": unit}}
    if quantity is not None:
        metrics["UsageQuantity"] = {"Amount": quantity, "Unit": of}
    return {"Keys": list(keys), "Metrics": metrics}


def page(*groups, start=START, end=END, estimated=False, total=None):
    period = {"Start": str(start), "End": str(end)}
    return {
        "ResultsByTime": [{"TimePeriod": period, "Total": total or {}, "Groups": list(groups), "Estimated": estimated}]
    }


class Canned:
    """Satisfies BillSource."""

    def __init__(self, *pages, services=(ECR_SERVICE,), tags=(), fault=None):
        self.pages, self.services, self.fault = pages, services, fault
        self.tags = {tag.key: tag for tag in tags}
        self.asked = []

    def cost_pages(self, request):
        self.asked.append(request)
        yield from self.pages

    def dimension_values(self, dimension, *, start, end, search):
        self.asked.append((dimension, start, end, search))
        if self.fault:
            raise self.fault
        yield [name for name in self.services if search in name]

    def cost_allocation_tags(self, keys):
        self.asked.append(tuple(keys))
        if self.fault:
            raise self.fault
        yield [self.tags[key] for key in self.asked[-1] if key in self.tags]


def active(key, since=dt.datetime(2025, 1, 1, tzinfo=dt.UTC)):
    return CostAllocationTag(key=key, active=True, updated_at=since)
