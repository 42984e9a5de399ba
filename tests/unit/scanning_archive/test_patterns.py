"""Patterns select the events they are for, held against moto's matcher."""

from __future__ import annotations

import json
from typing import Any

import pytest
from moto.events.models import EventPattern

from ecrkit.errors import InvalidInput
from ecrkit.scanning.archive.patterns import archive_pattern, severity_pattern
from tests.unit.scanning_archive.build import event, image_scan, inspector_finding


def matches(pattern: dict[str, Any], raw: dict[str, Any]) -> bool:
    # moto's TestEventPattern answers nothing; the matcher behind its rules does.
    return bool(EventPattern.load(json.dumps(pattern)).matches_event(raw))


class TestOneSeverityIsEnough:
    """CRITICAL or HIGH needs `$or` inside the counts; side by side both would be needed (containers-roadmap#565)."""

    def test_the_form(self) -> None:
        assert severity_pattern()["detail"]["finding-severity-counts"]["$or"] == [
            {"CRITICAL": [{"numeric": [">", 0]}]}, {"HIGH": [{"numeric": [">", 0]}]},
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("counts", "selected"),
        [
            ({"HIGH": 1}, True),
            ({"CRITICAL": 2, "LOW": 1}, True),
            ({"LOW": 3}, False),
            ({"CRITICAL": 0, "HIGH": 0, "TOTAL": 5}, False),
        ],
    )
    def test_selected(self, counts: dict[str, int], selected: bool) -> None:
        assert matches(severity_pattern(), image_scan(**{"finding-severity-counts": counts})) is selected

    def test_none(self) -> None:
        with pytest.raises(InvalidInput, match="at least one"):
            severity_pattern([])


class TestTheArchiveTakesItsEvents:
    def test_selected(self) -> None:
        assert matches(archive_pattern(), image_scan()) and matches(archive_pattern(), inspector_finding())
        assert not matches(archive_pattern(), event("aws.ecr", "ECR Image Action", {}))
