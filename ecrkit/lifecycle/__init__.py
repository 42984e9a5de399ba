"""Lifecycle policies: read and checked as ECR does, run dry on an inventory, explained, planned, applied."""

from ecrkit.lifecycle.outcome import Outcome
from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError
from ecrkit.lifecycle.rules import Rule
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import simulate

__all__ = ["LifecyclePolicy", "LifecyclePolicyError", "Outcome", "Rule", "Run", "simulate"]
