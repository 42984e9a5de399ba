"""Cost: exact stored bytes, whose they are, what of them is waste, prices, and what a plan saves or costs."""

from ecrkit.cost.attribution import Attribution, By, OwnerShare, SharedLayers, attribute, by_prefix, by_tag
from ecrkit.cost.hygiene import COST_TAGS, TagHygiene, TagIssue, tag_hygiene
from ecrkit.cost.image_storage import ImageStorage, image_storage
from ecrkit.cost.money import Money, MoneyRange
from ecrkit.cost.prices import PriceTable, Tier, prices_for
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
from ecrkit.cost.waste import Convention, RepositoryWaste, Waste, WasteCategory, WasteReport, waste

__all__ = [
    "COST_TAGS",
    "ArchiveChoice",
    "Attribution",
    "By",
    "Convention",
    "DestinationCost",
    "ImageStorage",
    "Money",
    "MoneyRange",
    "OwnerShare",
    "PriceTable",
    "PullCost",
    "PullPattern",
    "PushRate",
    "ReplicationCost",
    "ReplicationTarget",
    "RepositoryStorage",
    "RepositoryWaste",
    "Savings",
    "SharedLayers",
    "StorageReport",
    "TagChange",
    "TagHygiene",
    "TagIssue",
    "TagPlan",
    "TagsApplied",
    "Tier",
    "Waste",
    "WasteCategory",
    "WasteReport",
    "archive_or_keep",
    "attribute",
    "by_prefix",
    "by_tag",
    "image_storage",
    "plan_tags",
    "prices_for",
    "pull_cost",
    "push_rate",
    "replication_cost",
    "savings",
    "storage",
    "tag_hygiene",
    "total_savings",
    "waste",
]
