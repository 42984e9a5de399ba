"""Lifecycle policies: read and checked as ECR does, run dry on an inventory, explained, planned, applied."""

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
from ecrkit.lifecycle.lint import Advice, lint
from ecrkit.lifecycle.outcome import Outcome
from ecrkit.lifecycle.plan import Plan
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.preview import Comparison, Difference, compare
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.service import LifecycleService
from ecrkit.lifecycle.simulate import simulate

__all__ = [
    "Advice",
    "Comparison",
    "Difference",
    "LifecyclePolicy",
    "LifecyclePolicyError",
    "LifecycleService",
    "Outcome",
    "Part",
    "Plan",
    "Rule",
    "Run",
    "archive_unpulled",
    "build",
    "compare",
    "delete_archived",
    "expire_older_than",
    "expire_untagged",
    "keep_last",
    "lint",
    "protect",
    "simulate",
]
