"""The pull-through cache: rules for upstream registries, names rewritten both ways, what is cached."""

from ecrkit.pull_through.cold_pull import ColdPull, cold_pull
from ecrkit.pull_through.planning import CacheStep, PullThroughPlan, PullThroughStore
from ecrkit.pull_through.references import PullThroughCache
from ecrkit.pull_through.report import CachedTag, CacheReport, CacheState, RuleReport, RuleValidation, cache_report
from ecrkit.pull_through.rules import PullThroughRule, check_rules
from ecrkit.pull_through.service import PullThroughService
from ecrkit.pull_through.upstreams import UPSTREAMS, Upstream, upstream_of_host

__all__ = [
    "UPSTREAMS",
    "CacheReport",
    "CacheState",
    "CacheStep",
    "CachedTag",
    "ColdPull",
    "PullThroughCache",
    "PullThroughPlan",
    "PullThroughRule",
    "PullThroughService",
    "PullThroughStore",
    "RuleReport",
    "RuleValidation",
    "Upstream",
    "cache_report",
    "check_rules",
    "cold_pull",
    "upstream_of_host",
]
