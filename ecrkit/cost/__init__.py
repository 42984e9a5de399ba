"""Cost: exact stored bytes, whose they are, what of them is waste, prices, and what a plan saves or costs."""

from ecrkit.cost.anomalies import (
    Anomaly,
    AnomalyMonitor,
    AnomalySource,
    AnomalySubscription,
    RootCause,
    Subscriber,
    ecr_anomalies,
)
from ecrkit.cost.attribution import Attribution, By, OwnerShare, SharedLayers, attribute, by_prefix, by_tag
from ecrkit.cost.bill import Bill, BillGroup, BillLine, Dimension
from ecrkit.cost.explorer import BillSource, CostAllocationTag, CostExplorer, NoBills
from ecrkit.cost.growth import ImageGrowth, growth
from ecrkit.cost.hygiene import COST_TAGS, TagHygiene, TagIssue, tag_hygiene
from ecrkit.cost.image_storage import ImageStorage, image_storage
from ecrkit.cost.money import Money, MoneyRange
from ecrkit.cost.prices import PriceTable, Tier, prices_for
from ecrkit.cost.reconcile import Cause, Reconciliation, reconcile
from ecrkit.cost.savings import ArchiveChoice, Savings, archive_or_keep, savings, total_savings
from ecrkit.cost.storage import RepositoryStorage, StorageReport, storage
from ecrkit.cost.tag_plan import TagChange, TagPlan, TagsApplied, plan_tags
from ecrkit.cost.transfer import (
    DestinationCost,
    PullCost,
    PullPattern,
    PushRate,
    ReplicationCost,
    ReplicationTarget,
    pull_cost,
    push_rate,
    replication_cost,
)
from ecrkit.cost.trend import Backtest, CapacityForecast, Jump, StorageTrend, TrendPoint, trend
from ecrkit.cost.usage_types import UsageType, usage_type
from ecrkit.cost.waste import Convention, RepositoryWaste, Waste, WasteCategory, WasteReport, waste

__all__ = [
    "COST_TAGS",
    "Anomaly",
    "AnomalyMonitor",
    "AnomalySource",
    "AnomalySubscription",
    "ArchiveChoice",
    "Attribution",
    "Backtest",
    "Bill",
    "BillGroup",
    "BillLine",
    "BillSource",
    "By",
    "CapacityForecast",
    "Cause",
    "Convention",
    "CostAllocationTag",
    "CostExplorer",
    "DestinationCost",
    "Dimension",
    "ImageGrowth",
    "ImageStorage",
    "Jump",
    "Money",
    "MoneyRange",
    "NoBills",
    "OwnerShare",
    "PriceTable",
    "PullCost",
    "PullPattern",
    "PushRate",
    "Reconciliation",
    "ReplicationCost",
    "ReplicationTarget",
    "RepositoryStorage",
    "RepositoryWaste",
    "RootCause",
    "Savings",
    "SharedLayers",
    "StorageReport",
    "StorageTrend",
    "Subscriber",
    "TagChange",
    "TagHygiene",
    "TagIssue",
    "TagPlan",
    "TagsApplied",
    "Tier",
    "TrendPoint",
    "UsageType",
    "Waste",
    "WasteCategory",
    "WasteReport",
    "archive_or_keep",
    "attribute",
    "by_prefix",
    "by_tag",
    "ecr_anomalies",
    "growth",
    "image_storage",
    "plan_tags",
    "prices_for",
    "pull_cost",
    "push_rate",
    "reconcile",
    "replication_cost",
    "savings",
    "storage",
    "tag_hygiene",
    "total_savings",
    "trend",
    "usage_type",
    "waste",
]
