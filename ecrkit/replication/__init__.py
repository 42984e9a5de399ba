"""Replication that can be waited for: rules planned and covered, images followed, Regions compared, failovers checked.

Example:
    >>> from ecrkit.replication import ReplicationConfiguration
    >>> configuration = ReplicationConfiguration.to("eu-west-1", account="123456789012", prefixes=["prod/"])
    >>> str(configuration)
    'prod/… -> 123456789012/eu-west-1'
"""

from __future__ import annotations

from ecrkit.replication.audit import AuditReport, audit, failover_audit
from ecrkit.replication.backfill import Backfill, BackfillResult, BackfillStep, BackfillWait, backfill_step
from ecrkit.replication.backfilling import BackfillOutcome, BackfillService
from ecrkit.replication.configuration import Destination, ReplicationConfiguration, ReplicationRule, filter_problem
from ecrkit.replication.coverage import Coverage, CoverageFinding, DestinationFacts, coverage
from ecrkit.replication.documents import CrossAccountPair
from ecrkit.replication.drift import Drift, DriftReport, drift
from ecrkit.replication.failover import FailoverReport, Runnable, failover_check, regional
from ecrkit.replication.lag import Lag, LagReport, lag_from_events, lag_from_images
from ecrkit.replication.planning import ReplicationPlan
from ecrkit.replication.regions import Moved, Rewritten, move_to_region
from ecrkit.replication.repush import RepushItem, RepushPlan
from ecrkit.replication.results import DestinationResult, ReplicationProgress, ReplicationResult
from ecrkit.replication.service import ReplicationService
from ecrkit.replication.statuses import ReplicationStatus, likely_cause
from ecrkit.replication.waiting import DestinationWait, Part, Seen, step

__all__ = [
    "AuditReport",
    "Backfill",
    "BackfillOutcome",
    "BackfillResult",
    "BackfillService",
    "BackfillStep",
    "BackfillWait",
    "Coverage",
    "CoverageFinding",
    "CrossAccountPair",
    "Destination",
    "DestinationFacts",
    "DestinationResult",
    "DestinationWait",
    "Drift",
    "DriftReport",
    "FailoverReport",
    "Lag",
    "LagReport",
    "Moved",
    "Part",
    "ReplicationConfiguration",
    "ReplicationPlan",
    "ReplicationProgress",
    "ReplicationResult",
    "ReplicationRule",
    "ReplicationService",
    "ReplicationStatus",
    "RepushItem",
    "RepushPlan",
    "Rewritten",
    "Runnable",
    "Seen",
    "audit",
    "backfill_step",
    "coverage",
    "drift",
    "failover_audit",
    "failover_check",
    "filter_problem",
    "lag_from_events",
    "lag_from_images",
    "likely_cause",
    "move_to_region",
    "regional",
    "step",
]
