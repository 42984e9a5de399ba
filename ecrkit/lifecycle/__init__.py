"""Lifecycle policies: read and checked as ECR does, run dry on an inventory, explained, planned, applied."""

from ecrkit.lifecycle import expect, templates
from ecrkit.lifecycle.aftermath import Aftermath, Removal, Stuck, aftermath
from ecrkit.lifecycle.archive import ArchiveOption, ArchiveStrategy, archive_strategy
from ecrkit.lifecycle.builder import (
    Part,
    archive_unpulled,
    build,
    delete_archived,
    expire_older_than,
    expire_untagged,
    keep_last,
    protect,
)
from ecrkit.lifecycle.conventions import Keep, convention_parts, pattern_strays
from ecrkit.lifecycle.diff import FateChange, PolicyDiff, diff
from ecrkit.lifecycle.expect import Expectation, ExpectationFailed, ExpectationReport
from ecrkit.lifecycle.fleet import Assignment, FleetItem, fleet_run
from ecrkit.lifecycle.fleet_totals import FleetRun, GroupTotal, RepositoryRun
from ecrkit.lifecycle.forecast import Forecast, ForecastWeek, Interval, MonthlyCost, QuotaDate, forecast
from ecrkit.lifecycle.goal import Family, Goal, bytes_within, families_of, must_stay
from ecrkit.lifecycle.lint import Advice, lint
from ecrkit.lifecycle.live import FleetPlans, Restored
from ecrkit.lifecycle.outcome import Outcome
from ecrkit.lifecycle.plan import Plan
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.preview import Comparison, Difference, compare
from ecrkit.lifecycle.propose import Candidate, Proposal, RuleReason, propose
from ecrkit.lifecycle.protection import Protection, Shield, protections
from ecrkit.lifecycle.pushes import Backtest, PushGroup, PushModel, by_convention, fit_pushes
from ecrkit.lifecycle.restore import RestorePlan, restore_plan
from ecrkit.lifecycle.rollout import RollOut, begin
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.service import LifecycleService
from ecrkit.lifecycle.simulate import simulate
from ecrkit.lifecycle.timeline import Departure, Timeline, timeline

__all__ = [
    "Advice",
    "Aftermath",
    "ArchiveOption",
    "ArchiveStrategy",
    "Assignment",
    "Backtest",
    "Candidate",
    "Comparison",
    "Departure",
    "Difference",
    "Expectation",
    "ExpectationFailed",
    "ExpectationReport",
    "Family",
    "FateChange",
    "FleetItem",
    "FleetPlans",
    "FleetRun",
    "Forecast",
    "ForecastWeek",
    "Goal",
    "GroupTotal",
    "Interval",
    "Keep",
    "LifecyclePolicy",
    "LifecyclePolicyError",
    "LifecycleService",
    "MonthlyCost",
    "Outcome",
    "Part",
    "Plan",
    "PolicyDiff",
    "Proposal",
    "Protection",
    "PushGroup",
    "PushModel",
    "QuotaDate",
    "Removal",
    "RepositoryRun",
    "RestorePlan",
    "Restored",
    "RollOut",
    "Rule",
    "RuleReason",
    "Run",
    "Shield",
    "Stuck",
    "Timeline",
    "aftermath",
    "archive_strategy",
    "archive_unpulled",
    "begin",
    "build",
    "by_convention",
    "bytes_within",
    "compare",
    "convention_parts",
    "delete_archived",
    "diff",
    "expect",
    "expire_older_than",
    "expire_untagged",
    "families_of",
    "fit_pushes",
    "fleet_run",
    "forecast",
    "keep_last",
    "lint",
    "must_stay",
    "pattern_strays",
    "propose",
    "protect",
    "protections",
    "restore_plan",
    "simulate",
    "templates",
    "timeline",
]
