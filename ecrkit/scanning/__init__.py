"""Scan findings: reading ECR's and Inspector's results, deciding on them, and telling the decision.

Read with `ScanReport.from_api`, decide with a `Gate`, tell with the functions of `reports`. Nothing here calls AWS but
`ScanningService`, and that one only through the ports it is given. `plan` and `apply` of the registry's scanning
configuration are in `ecrkit.scanning.configuration`.
"""

from __future__ import annotations

from ecrkit.scanning.comparison import Change, Comparison, compare
from ecrkit.scanning.conditions import (
    Both,
    Condition,
    Either,
    EpssAtLeast,
    ExploitAvailable,
    FixAvailable,
    IsKnownExploited,
    NewAgainstBaseline,
    OlderThan,
    OutsideLayers,
    PackageIn,
    ScoreAtLeast,
    SeverityAtLeast,
    SeverityIs,
    SeverityUnknown,
    View,
    VulnerabilityIn,
)
from ecrkit.scanning.configuration import Coverage, ScanningConfiguration, ScanningPlan, ScanRule
from ecrkit.scanning.exemptions import Exemption, ExemptionReport, Exemptions, ExemptionUse, renewals
from ecrkit.scanning.feeds import EpssFeed, KnownExploited
from ecrkit.scanning.findings import CvssScore, Dropped, Finding, FindingKey, Package, ScanReport
from ecrkit.scanning.gate import Gate, Profile, Profiles
from ecrkit.scanning.many import judge_many
from ecrkit.scanning.platforms import ImageScan, IndexChild, index_children, latest_scannable
from ecrkit.scanning.policy_files import gate_from, load_gate, load_profiles, profiles_from
from ecrkit.scanning.purl import Purl, package_purl
from ecrkit.scanning.reports import to_csv, to_gitlab, to_json, to_junit, to_markdown, to_sarif, to_text
from ecrkit.scanning.rules import (
    AllOf,
    AnyOf,
    Limit,
    RuleResult,
    all_of,
    any_of,
    count_limit,
    deny_exploit_available,
    deny_fixable,
    deny_known_exploited,
    deny_packages,
    deny_vulnerabilities,
    epss_below,
    new_findings_limit,
    score_below,
    sla,
    unknown_limit,
)
from ecrkit.scanning.service import ScanningService
from ecrkit.scanning.severity import SEVERITIES, SeverityPolicy
from ecrkit.scanning.verdict import InGrace, Reason, Suppressed, Verdict
from ecrkit.scanning.vex import VexProduct, VexReport, VexStatement, VexStatements
from ecrkit.scanning.waiting import Observation, Readiness, ScanWait, WaitStep, readiness, step

__all__ = [
    "SEVERITIES",
    "AllOf",
    "AnyOf",
    "Both",
    "Change",
    "Comparison",
    "Condition",
    "Coverage",
    "CvssScore",
    "Dropped",
    "Either",
    "EpssAtLeast",
    "EpssFeed",
    "Exemption",
    "ExemptionReport",
    "ExemptionUse",
    "Exemptions",
    "ExploitAvailable",
    "Finding",
    "FindingKey",
    "FixAvailable",
    "Gate",
    "ImageScan",
    "InGrace",
    "IndexChild",
    "IsKnownExploited",
    "KnownExploited",
    "Limit",
    "NewAgainstBaseline",
    "Observation",
    "OlderThan",
    "OutsideLayers",
    "Package",
    "PackageIn",
    "Profile",
    "Profiles",
    "Purl",
    "Readiness",
    "Reason",
    "RuleResult",
    "ScanReport",
    "ScanRule",
    "ScanWait",
    "ScanningConfiguration",
    "ScanningPlan",
    "ScanningService",
    "ScoreAtLeast",
    "SeverityAtLeast",
    "SeverityIs",
    "SeverityPolicy",
    "SeverityUnknown",
    "Suppressed",
    "Verdict",
    "VexProduct",
    "VexReport",
    "VexStatement",
    "VexStatements",
    "View",
    "VulnerabilityIn",
    "WaitStep",
    "all_of",
    "any_of",
    "compare",
    "count_limit",
    "deny_exploit_available",
    "deny_fixable",
    "deny_known_exploited",
    "deny_packages",
    "deny_vulnerabilities",
    "epss_below",
    "gate_from",
    "index_children",
    "judge_many",
    "latest_scannable",
    "load_gate",
    "load_profiles",
    "new_findings_limit",
    "package_purl",
    "profiles_from",
    "readiness",
    "renewals",
    "score_below",
    "sla",
    "step",
    "to_csv",
    "to_gitlab",
    "to_json",
    "to_junit",
    "to_markdown",
    "to_sarif",
    "to_text",
    "unknown_limit",
]
