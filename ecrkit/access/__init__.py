"""Who may pull, why not, and the policies that say so: offline, for every partition.

`evaluate` decides a request, `explain_pull` a whole pull, `lint` reads any policy, `presets`, `sharing` and `trust`
write them, `diagnose` reads the errors of failed pulls.
"""

from __future__ import annotations

from ecrkit.access import export, presets, sharing, trust
from ecrkit.access.actions import Action, action, actions, expand, hint
from ecrkit.access.documents import BUDGETS, PolicyDocument, PolicyKind, merge
from ecrkit.access.evaluate import Decision, Policies, Request, access_denied_message, evaluate
from ecrkit.access.explain import AccessExplanation, explain_pull, explain_push
from ecrkit.access.exposure import Exposure, exposures, readable_from_outside
from ecrkit.access.gathering import DocumentSource, PrincipalDocuments
from ecrkit.access.lint import Finding, lint
from ecrkit.access.probes import Observation, ProbedDiagnosis
from ecrkit.access.pull_errors import Cause, Diagnosis, diagnose
from ecrkit.access.scope import Scope, eks_addon_account
from ecrkit.access.service import AccessService, PolicyPlan
from ecrkit.access.survey import OutsideReport

__all__ = [
    "BUDGETS",
    "AccessExplanation",
    "AccessService",
    "Action",
    "Cause",
    "Decision",
    "Diagnosis",
    "DocumentSource",
    "Exposure",
    "Finding",
    "Observation",
    "OutsideReport",
    "Policies",
    "PolicyDocument",
    "PolicyKind",
    "PolicyPlan",
    "PrincipalDocuments",
    "ProbedDiagnosis",
    "Request",
    "Scope",
    "access_denied_message",
    "action",
    "actions",
    "diagnose",
    "eks_addon_account",
    "evaluate",
    "expand",
    "explain_pull",
    "explain_push",
    "export",
    "exposures",
    "hint",
    "lint",
    "merge",
    "presets",
    "readable_from_outside",
    "sharing",
    "trust",
]
