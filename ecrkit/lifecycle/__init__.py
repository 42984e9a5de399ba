"""Lifecycle policies: read and checked as ECR does, run dry on an inventory, explained, planned, applied."""

from ecrkit.lifecycle import expect
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
from ecrkit.lifecycle.diff import FateChange, PolicyDiff, diff
from ecrkit.lifecycle.expect import Expectation, ExpectationFailed, ExpectationReport
from ecrkit.lifecycle.forecast import Forecast, ForecastWeek, Interval, QuotaDate, forecast
from ecrkit.lifecycle.lint import Advice, lint
from ecrkit.lifecycle.outcome import Outcome
from ecrkit.lifecycle.plan import Plan
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.preview import Comparison, Difference, compare
from ecrkit.lifecycle.pushes import Backtest, PushGroup, PushModel, fit_pushes
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.service import LifecycleService
from ecrkit.lifecycle.simulate import simulate
from ecrkit.lifecycle.timeline import Departure, Timeline, timeline

__all__ = [
    "Advice",
    "Backtest",
    "Comparison",
    "Departure",
    "Difference",
    "Expectation",
    "ExpectationFailed",
    "ExpectationReport",
    "FateChange",
    "Forecast",
    "ForecastWeek",
    "Interval",
    "LifecyclePolicy",
    "LifecyclePolicyError",
    "LifecycleService",
    "Outcome",
    "Part",
    "Plan",
    "PolicyDiff",
    "PushGroup",
    "PushModel",
    "QuotaDate",
    "Rule",
    "Run",
    "Timeline",
    "archive_unpulled",
    "build",
    "compare",
    "delete_archived",
    "diff",
    "expect",
    "expire_older_than",
    "expire_untagged",
    "fit_pushes",
    "forecast",
    "keep_last",
    "lint",
    "protect",
    "simulate",
    "timeline",
]
