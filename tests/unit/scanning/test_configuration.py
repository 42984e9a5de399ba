"""The registry scanning configuration: limits, the meaning of filters, coverage, plan and apply."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from ecrkit.errors import InvalidPolicy, PlanOutdated, PlanRefused
from ecrkit.scanning import ScanningConfiguration, ScanRule
from ecrkit.scanning.configuration import apply, filter_matches, filter_problem, plan

PATTERN = re.compile(r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$")


class Store:
    def __init__(self, raw: dict[str, Any]) -> None:
        self.raw = raw
        self.put: list[Mapping[str, Any]] = []

    def scanning_configuration(self) -> Mapping[str, Any]:
        return {"registryId": "123456789012", "scanningConfiguration": self.raw}

    def put_scanning_configuration(self, configuration: Mapping[str, Any]) -> None:
        self.put.append(configuration)
        self.raw = dict(configuration)


class TestFilters:
    """1 to 255 characters of ECR's pattern; without wildcard a filter means 'contains', else the whole name."""

    @pytest.mark.parametrize("text", ["prod", "prod*", "*", "*prod*", "team/app-1", "a.b_c", "0", "*-x", "a" * 255])
    def test_good(self, text: str) -> None:
        assert filter_problem(text) is None
        assert PATTERN.match(text)

    @pytest.mark.parametrize(
        "text", ["", "Prod", "prod-", "-prod", "a--b", "a//b", "a b", "a?", "prod/", "a" * 256, "é", "a\n"]
    )
    def test_bad(self, text: str) -> None:
        assert filter_problem(text) is not None

    @pytest.mark.parametrize(
        ("pattern", "repository", "expected"),
        [
            ("prod", "prod", True), ("prod", "team/prod-app", True), ("prod", "pro", False), ("prod*", "prod-app", True),
            ("prod*", "team/prod", False), ("*prod", "team/prod", True), ("*prod", "prod-app", False), ("*", "anything", True),
            ("team/*-app", "team/x-app", True), ("team/*-app", "team/x-app-2", False),
        ],
    )  # fmt: skip
    def test_meaning(self, pattern: str, repository: str, expected: bool) -> None:
        assert filter_matches(pattern, repository) is expected


class TestLimits:
    """0 to 2 rules of 0 to 100 filters; CONTINUOUS_SCAN is ENHANCED only; all problems at once."""

    @pytest.mark.parametrize(
        ("scan_type", "rules", "paths"),
        [
            ("BASIC", [("CONTINUOUS_SCAN", ["*"])], ["$.rules[0].scanFrequency"]),
            ("ENHANCED", [("MANUAL", ["*"])], ["$.rules[0].scanFrequency"]),
            ("CLAIR", [("SCAN_ON_PUSH", ["*"])], ["$.scanType"]),
            ("ENHANCED", [("SCAN_ON_PUSH", ["a"])] * 3, ["$.rules"]),
            ("BASIC", [("SCAN_ON_PUSH", [f"a{n}" for n in range(101)])], ["$.rules[0].repositoryFilters"]),
            ("BASIC", [("SCAN_ON_PUSH", ["A", "b-", "ok"])], ["$.rules[0].repositoryFilters[0].filter", "$.rules[0].repositoryFilters[1].filter"]),
            ("BASIC", [("SCAN_ON_PUSH", ["a", "a"])], ["$.rules[0].repositoryFilters"]),
        ],
    )  # fmt: skip
    def test_faults(self, scan_type: str, rules: list[Any], paths: list[str]) -> None:
        with pytest.raises(InvalidPolicy) as caught:
            ScanningConfiguration(scan_type=scan_type, rules=[ScanRule(frequency=f, filters=t) for f, t in rules])
        assert [p.path for p in caught.value.problems] == paths

    def test_the_edges_are_allowed(self) -> None:
        assert ScanningConfiguration.basic(on_push=[f"a{n}" for n in range(100)])
        assert ScanningConfiguration.basic().rules == ()

    def test_to_and_from_the_api(self) -> None:
        wanted = ScanningConfiguration.enhanced(continuous=["prod*"], on_push=["*"])
        raw = wanted.to_api()
        assert raw["rules"][0] == {
            "scanFrequency": "CONTINUOUS_SCAN",
            "repositoryFilters": [{"filter": "prod*", "filterType": "WILDCARD"}],
        }
        assert ScanningConfiguration.from_api({"scanningConfiguration": raw}) == wanted
        import botocore.session
        from botocore.validate import ParamValidator

        model = botocore.session.get_session().get_service_model("ecr")
        shape = model.operation_model("PutRegistryScanningConfiguration").input_shape
        assert not ParamValidator().validate(raw, shape).has_errors()

    @pytest.mark.parametrize(
        "raw",
        [
            {},
            {
                "scanType": "BASIC",
                "rules": [
                    {"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "a", "filterType": "REGEX"}]}
                ],
            },
        ],
    )
    def test_no_configuration(self, raw: dict[str, Any]) -> None:
        with pytest.raises(InvalidPolicy):
            ScanningConfiguration.from_api(raw)


class TestCoverage:
    """Continuous beats on push; what no rule selects is MANUAL under BASIC and not scanned at all under ENHANCED."""

    def test_frequencies(self) -> None:
        both = ScanningConfiguration.enhanced(continuous=["prod*"], on_push=["prod*", "dev*"])
        assert [both.frequency(n) for n in ("prod-a", "dev-a", "test-a")] == ["CONTINUOUS_SCAN", "SCAN_ON_PUSH", "NONE"]
        assert ScanningConfiguration.basic(on_push=["prod*"]).frequency("test-a") == "MANUAL"

    def test_repositories_no_rule_covers_and_idle_filters(self) -> None:
        found = ScanningConfiguration.enhanced(on_push=["prod*", "gone*"]).coverage(
            ["prod-a", "dev-a"], scan_on_push=["dev-a"]
        )
        assert (found.uncovered, found.idle_filters, found.needless_settings) == (("dev-a",), ("gone*",), ("dev-a",))

    def test_the_deprecated_setting_of_a_repository_counts_under_basic(self) -> None:
        """And a repository with the setting off that a rule covers is scanned all the same."""
        found = ScanningConfiguration.basic(on_push=["prod*"]).coverage(
            ["prod-a", "dev-a", "x"], scan_on_push=["dev-a"]
        )
        assert found.frequencies == {"prod-a": "SCAN_ON_PUSH", "dev-a": "SCAN_ON_PUSH", "x": "MANUAL"}
        assert found.uncovered == ("x",)


class TestPlanAndApply:
    """A plan shows what changes; apply reads again and refuses when the ground has moved."""

    NOW = ScanningConfiguration.basic(on_push=["*"]).to_api()

    def test_plan_writes_nothing_and_names_what_is_lost(self) -> None:
        store = Store(self.NOW)
        found = plan(
            store, ScanningConfiguration.enhanced(continuous=["prod*"], on_push=["idle*"]), ["prod-a", "dev-a"]
        )
        assert store.put == []
        assert found.changes == {"prod-a": ("SCAN_ON_PUSH", "CONTINUOUS_SCAN"), "dev-a": ("SCAN_ON_PUSH", "NONE")}
        assert found.losing == ("dev-a",)
        text = found.explain()
        for part in (
            "until the scan type is switched back",
            "not scanned at all",
            "'idle*' selects no repository",
            "dev-a",
        ):
            assert part in text

    @pytest.mark.parametrize(
        ("wanted", "warned"),
        [
            (ScanningConfiguration.enhanced(on_push=["*"]), False), (ScanningConfiguration.enhanced(on_push=["prod*"]), True),
            (ScanningConfiguration.basic(on_push=["prod*"]), False),
        ],
    )  # fmt: skip
    def test_only_enhanced_leaves_a_repository_without_any_scan(
        self, wanted: ScanningConfiguration, warned: bool
    ) -> None:
        found = plan(Store(self.NOW), wanted, ["prod-a", "dev-a"])
        assert any("not scanned at all" in w for w in found.warnings) is warned
        assert str(wanted).startswith(wanted.scan_type)

    def test_what_a_repository_scans_by_its_own_setting_can_be_lost_too(self) -> None:
        store = Store({"scanType": "BASIC", "rules": []})
        wanted = ScanningConfiguration.enhanced(on_push=["prod*"])
        found = plan(store, wanted, ["prod-a", "dev-a", "dev-b"], scan_on_push=["prod-a", "dev-a"])
        assert found.changes == {"dev-a": ("SCAN_ON_PUSH", "NONE"), "dev-b": ("MANUAL", "NONE")}
        assert found.losing == ("dev-a",)
        with pytest.raises(PlanRefused):
            apply(found, store)
        assert plan(store, ScanningConfiguration.basic(on_push=["x"]), ["dev-a"], scan_on_push=["dev-a"]).losing == ()

    def test_a_loss_needs_to_be_meant(self) -> None:
        store = Store(self.NOW)
        found = plan(store, ScanningConfiguration.basic(on_push=["prod*"]), ["prod-a", "dev-a"])
        with pytest.raises(PlanRefused) as caught:
            apply(found, store)
        assert (caught.value.conflicts, store.put) == (("dev-a",), [])
        assert apply(found, store, allow_loss=True)
        assert store.raw == found.wanted.to_api()

    def test_nothing_to_change_writes_nothing(self) -> None:
        store = Store(self.NOW)
        found = plan(store, ScanningConfiguration.basic(on_push=["*"]), ["a"])
        assert not apply(found, store)
        assert (found.explain(), store.put) == ("nothing to change", [])

    def test_outdated(self) -> None:
        store = Store(self.NOW)
        found = plan(store, ScanningConfiguration.enhanced(on_push=["*"]), ["a"])
        store.raw = ScanningConfiguration.basic().to_api()
        with pytest.raises(PlanOutdated):
            apply(found, store)
        assert store.put == []

    @pytest.mark.parametrize(
        "raw",
        [
            {"scanType": "BASIC", "rules": [], "novel": 1},
            {"scanType": "BASIC", "rules": [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [], "novel": 1}]},
            {
                "scanType": "BASIC",
                "rules": [{"scanFrequency": "SCAN_ON_PUSH", "repositoryFilters": [{"filter": "a", "novel": 1}]}],
            },
        ],
    )
    def test_members_that_would_be_dropped_are_refused(self, raw: dict[str, Any]) -> None:
        with pytest.raises(PlanRefused, match="does not know"):
            plan(Store(raw), ScanningConfiguration.basic(), [])
