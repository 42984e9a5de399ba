"""Policies from files: what each key means, and every fault with its path. A misspelt key must not switch a rule off."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ecrkit.errors import InvalidPolicy
from ecrkit.scanning import Gate, SeverityPolicy, count_limit, gate_from, load_gate, load_profiles, profiles_from
from tests.unit.scanning.build import NOW, finding, report

EVERY = """
severity_basis = "vendor"
untriaged_as = "CRITICAL"
undefined_as = "UNDETERMINED"
accept_undetermined = ["epss", "scan:unsupported"]
stale_exemptions = "fail"
expiring_within_days = 30

[limits]
CRITICAL = 0
HIGH = 5

[grace_days]
HIGH = 14

[[rules]]
rule = "count"
severity_at_least = "MEDIUM"
at_most = 20
[[rules]]
rule = "fix-available"
severity_at_least = "HIGH"
[[rules]]
rule = "exploit-available"
[[rules]]
rule = "known-exploited"
[[rules]]
rule = "epss"
at_least = 0.5
[[rules]]
rule = "score"
at_least = 9
new = true
[[rules]]
rule = "vulnerabilities"
ids = ["CVE-2021-44228"]
[[rules]]
rule = "packages"
packages = "log4j*"
[[rules]]
rule = "age"
days = 30
severity = "HIGH"
[[rules]]
rule = "new"
by = "id"
without_baseline = "old"
[[rules]]
rule = "unknown"
at_most = 10
[[rules]]
rule = "outside-layers"
layers = ["sha256:1"]
[[rules]]
name = "either"
any_of = [{rule = "count", severity = "LOW"}, {all_of = [{rule = "count", severity = "MEDIUM", fixable = true}]}]
"""


class TestGateFiles:
    """Every kind of rule from TOML or JSON."""

    def test_every_key(self, tmp_path: Path) -> None:
        gate = gate_from(EVERY)
        assert gate.rules.names() == (
            "gate", "critical", "high", "medium", "fix-available-high", "exploit-available", "known-exploited", "epss", "score-new",
            "vulnerabilities", "packages", "age-high", "new", "unknown", "outside-layers", "either", "low", "all-of", "medium-fixable",
        )  # fmt: skip
        assert gate.severity == SeverityPolicy(basis="vendor", untriaged_as="CRITICAL", undefined_as="UNDETERMINED")
        assert (gate.grace_days, gate.stale_exemptions, gate.expiring_within_days) == ({"HIGH": 14}, "fail", 30)
        assert gate.accept_undetermined == {"epss", "scan:unsupported"}
        (tmp_path / "gate.toml").write_text(EVERY)
        assert load_gate(tmp_path / "gate.toml") == gate

    def test_defaults_are_the_documented_ones(self) -> None:
        gate = gate_from('{"limits": {"CRITICAL": 0}}')
        assert gate == Gate([count_limit("CRITICAL", 0)])
        assert (gate.severity.basis, gate.severity.untriaged_as, gate.severity.undefined_as) == ("ecr", "HIGH", "HIGH")
        assert (gate.stale_exemptions, gate.expiring_within_days, gate.accept_undetermined) == ("warn", 14, frozenset())

    def test_named_and_exploited_ones_ignore_grace_unless_told(self) -> None:
        found = report(finding("CVE-1", first_observed=NOW, known_exploited=True))
        for text, outcome in (("", "fail"), ("ignores_grace = false", "pass")):
            gate = gate_from(f'grace_days = {{HIGH = 9}}\n[[rules]]\nrule = "known-exploited"\n{text}')
            assert gate.judge(found, now=NOW).outcome == outcome

    @pytest.mark.parametrize(
        ("document", "paths"),
        [
            ({}, ["$.rules"]), ({"rules": []}, ["$.rules"]), ({"limits": {}}, ["$.rules"]),
            ({"limit": {"HIGH": 0}}, ["$.limit"]), ({"limits": {"HGIH": 0}}, ["$.limits.HGIH"]),
            ({"limits": {"HIGH": -1}}, ["$.limits.HIGH"]), ({"limits": {"HIGH": "0"}}, ["$.limits.HIGH"]),
            ({"limits": {"HIGH": True}}, ["$.limits.HIGH"]), ({"limits": 0}, ["$.limits"]), ({"rules": {}}, ["$.rules"]),
            ({"rules": [{}]}, ["$.rules[0].rule"]), ({"rules": [{"rule": "sbom"}]}, ["$.rules[0].rule"]),
            ({"rules": [{"rule": "count"}]}, ["$.rules[0]"]), ({"rules": [7]}, ["$.rules[0]", "$.rules[0].rule"]),
            ({"rules": [{"rule": "epss"}]}, ["$.rules[0].at_least"]), ({"rules": [{"rule": "epss", "at_least": 50}]}, ["$.rules[0].at_least"]),
            ({"rules": [{"rule": "score", "at_least": 11}]}, ["$.rules[0].at_least"]),
            ({"rules": [{"rule": "age"}]}, ["$.rules[0].days"]), ({"rules": [{"rule": "age", "days": "1"}]}, ["$.rules[0].days"]),
            ({"rules": [{"rule": "vulnerabilities"}]}, ["$.rules[0].ids"]), ({"rules": [{"rule": "packages", "packages": []}]}, ["$.rules[0].packages"]),
            ({"rules": [{"rule": "new", "without_baseline": "maybe"}]}, ["$.rules[0].without_baseline"]),
            ({"rules": [{"rule": "count", "severity": "high"}]}, ["$.rules[0].severity"]),
            ({"rules": [{"any_of": []}]}, ["$.rules[0].any_of"]), ({"rules": [{"any_of": [{"rule": "x"}], "at_most": 1}]}, ["$.rules[0].at_most", "$.rules[0].any_of[0].rule"]),
            ({"rules": [{"rule": "unknown"}, {"rule": "unknown"}]}, ["$.rules"]),
            ({"limits": {"HIGH": 0}, "accept_undetermined": ["hihg"]}, ["$.accept_undetermined"]),
            ({"limits": {"HIGH": 0}, "grace_days": {"HIGH": -3, "X": 1}}, ["$.grace_days.X", "$.grace_days.HIGH"]),
            ({"limits": {"HIGH": 0}, "severity_basis": "cvss", "untriaged_as": "LOWEST"}, ["$.severity_basis", "$.untriaged_as"]),
            ({"limits": {"HIGH": 0}, "version": 2}, ["$.version"]),
        ],
    )  # fmt: skip
    def test_faults(self, document: dict[str, Any], paths: list[str]) -> None:
        with pytest.raises(InvalidPolicy) as caught:
            gate_from(json.dumps(document))
        assert [p.path for p in caught.value.problems] == paths

    def test_the_known_keys_are_named(self) -> None:
        with pytest.raises(InvalidPolicy, match="known are accept_undetermined"):
            gate_from({"error_missed_ignores": True, "limits": {"HIGH": 0}})


class TestProfileFiles:
    """Profiles from a file; the first that selects an image decides."""

    TEXT = """
[[profiles]]
name = "prod"
namespaces = ["prod-*"]
gate = {limits = {HIGH = 0}}
[[profiles]]
name = "rest"
gate = {limits = {CRITICAL = 0}}
"""

    def test_choice(self, tmp_path: Path) -> None:
        (tmp_path / "p.toml").write_text(self.TEXT)
        profiles = load_profiles(tmp_path / "p.toml")
        assert profiles.judge(report(finding()), now=NOW, namespace="prod-eu").profile == "prod"
        assert profiles.judge(report(finding()), now=NOW).outcome == "pass"

    @pytest.mark.parametrize(
        ("document", "paths"),
        [
            ({}, ["$.profiles"]), ({"profile": []}, ["$.profile"]),
            ({"profiles": [{}]}, ["$.profiles[0].name", "$.profiles[0].gate.rules"]),
            ({"profiles": [{"name": "a", "gate": {"limits": {"X": 1}}, "cluster": 1}]}, ["$.profiles[0].cluster", "$.profiles[0].gate.limits.X"]),
            ({"profiles": [{"name": "a", "gate": {"limits": {"LOW": 1}}}] * 2}, ["$.profiles"]),
        ],
    )  # fmt: skip
    def test_faults(self, document: dict[str, Any], paths: list[str]) -> None:
        with pytest.raises(InvalidPolicy) as caught:
            profiles_from(document)
        assert [p.path for p in caught.value.problems] == paths
