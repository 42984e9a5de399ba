"""Readiness: which scan results may be judged, and what the waiter does with each answer."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from ecrkit.scanning import Observation, ScanReport, ScanWait, readiness, step
from tests.unit.scanning.build import answer, basic_raw, enhanced_raw


class TestReadiness:
    """A good terminal state is COMPLETE or ACTIVE with a completion time, findings or counts; all else is a no."""

    @pytest.mark.parametrize(
        ("status", "state", "again"),
        [
            ("IN_PROGRESS", "pending", True), ("PENDING", "pending", True), ("UNSUPPORTED_IMAGE", "unsupported", False),
            ("IMAGE_SIZE_EXCEEDED", "unsupported", False), ("SCAN_ELIGIBILITY_EXPIRED", "expired", False),
            ("FINDINGS_UNAVAILABLE", "failed", False), ("LIMIT_EXCEEDED", "failed", False),
            ("IMAGE_ARCHIVED", "archived", False), ("FAILED", "failed", False), ("A_STATUS_OF_2030", "unknown", False),
            (None, "ambiguous", False),
        ],
    )  # fmt: skip
    def test_statuses_that_are_a_no_even_with_a_completion_time(
        self, status: str | None, state: str, again: bool
    ) -> None:
        found = readiness(ScanReport.from_api(answer(status, basic=[])))
        assert (found.state, found.ask_again, found.ready) == (state, again, False)

    def test_every_status_of_the_installed_model_is_known(self) -> None:
        import botocore.session

        model = botocore.session.get_session().get_service_model("ecr")
        for status in model.shape_for("ScanStatus").enum:
            assert readiness(ScanReport.from_api(answer(status, basic=[]))).state != "unknown"

    def test_an_image_without_operating_system_is_unsupported_with_null_findings(self) -> None:
        raw = answer("FAILED", description="UnsupportedImageError: The operating system is not supported.")
        raw["imageScanFindings"] = None
        found = readiness(ScanReport.from_api(raw))
        assert found.state == "unsupported"
        assert "operating system" in found.reason

    @pytest.mark.parametrize("status", ["COMPLETE", "ACTIVE"])
    @pytest.mark.parametrize(
        ("more", "state"),
        [
            ({"basic": []}, "ambiguous"), ({"basic": [], "enhanced": []}, "ambiguous"),
            ({"basic": [basic_raw("CVE-1")]}, "ready"), ({"enhanced": [enhanced_raw("CVE-1")]}, "ready"),
            ({"basic": [], "done": True}, "ready"),
        ],
    )  # fmt: skip
    def test_an_empty_list_alone_is_no_proof(self, status: str, more: dict[str, Any], state: str) -> None:
        assert readiness(ScanReport.from_api(answer(status, **{"done": False, **more}))).state == state

    def test_counts_are_evidence_even_when_they_are_empty(self) -> None:
        raw = answer("ACTIVE", enhanced=[], done=False)
        raw["imageScanFindings"]["findingSeverityCounts"] = {}
        assert readiness(ScanReport.from_api(raw)).ready

    def test_a_clean_basic_image_may_have_no_counts(self) -> None:
        assert readiness(ScanReport.from_api(answer("COMPLETE", basic=[]))).ready

    @pytest.mark.parametrize(
        ("scan_type", "status", "state"),
        [
            ("BASIC", "COMPLETE", "ready"),
            ("ENHANCED", "COMPLETE", "ambiguous"),
            ("BASIC", "ACTIVE", "ambiguous"),
            (None, "COMPLETE", "ambiguous"),
        ],
    )
    def test_the_scan_type_of_the_registry_settles_an_empty_answer(
        self, scan_type: str | None, status: str, state: str
    ) -> None:
        found = readiness(ScanReport.from_api(answer(status, basic=[], done=False)), scan_type=scan_type)
        assert found.state == state

    def test_without_any_list_the_scan_type_settles_nothing(self) -> None:
        for body in (None, {}):
            raw = answer("COMPLETE", basic=[], done=False)
            raw["imageScanFindings"] = body
            report = ScanReport.from_api(raw)
            assert report.absent["findings"] == "the answer holds no list of findings"
            assert readiness(report, scan_type="BASIC").state == "ambiguous"

    def test_pending_with_both_lists_empty(self) -> None:
        assert readiness(ScanReport.from_api(answer("PENDING", basic=[], enhanced=[], done=False))).state == "pending"

    def test_no_scan_is_a_state_of_its_own(self) -> None:
        assert readiness(ScanReport.not_found(reason="never scanned")).state == "missing"


WAIT = ScanWait(started=0.0, deadline=300.0)


def seen(raw: dict[str, Any]) -> Observation:
    return Observation(kind="report", report=ScanReport.from_api(raw))


ENHANCED = seen(answer("ACTIVE", enhanced=[enhanced_raw("CVE-1")]))
GROWN = seen(answer("ACTIVE", enhanced=[enhanced_raw("CVE-1"), enhanced_raw("CVE-2")]))


class TestStep:
    """The waiter: terminal statuses end it at once, enhanced results need two equal reads, faults are told apart."""

    @pytest.mark.parametrize("kind", ["denied", "error"])
    def test_refusals_are_final(self, kind: Any) -> None:
        assert step(WAIT, Observation(kind=kind, text="no"), 1.0).action == "failed"

    @pytest.mark.parametrize("kind", ["throttled", "unavailable"])
    def test_faults_are_waited_out_with_growing_pauses(self, kind: Any) -> None:
        pauses, state = [], WAIT
        for now in range(5):
            found = step(state, Observation(kind=kind), float(now))
            assert found.action == "again"
            pauses.append(found.sleep)
            state = found.state
        assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0]
        assert step(state, Observation(kind=kind), 300.0).action == "expired"

    @pytest.mark.parametrize("kind", ["scan-not-found", "image-not-found"])
    def test_not_found_right_after_a_push_is_asked_again(self, kind: Any) -> None:
        assert step(WAIT, Observation(kind=kind), 119.0).action == "again"
        assert step(WAIT, Observation(kind=kind), 120.0).action == "failed"

    def test_times_are_counted_from_the_start_of_the_wait(self) -> None:
        late = ScanWait(started=1000.0, deadline=1300.0)
        for seen_now in (Observation(kind="scan-not-found"), Observation(kind="report", report=ScanReport.not_found())):
            assert step(late, seen_now, 1119.0).action == "again"
            assert step(late, seen_now, 1120.0).action == "failed"
        first = step(late, ENHANCED, 1010.0)
        assert step(first.state, ENHANCED, 1024.0).sleep == 1.0
        assert step(first.state, ENHANCED, 1025.0).action == "done"

    def test_a_report_that_says_there_is_no_scan_is_treated_alike(self) -> None:
        none = Observation(kind="report", report=ScanReport.not_found())
        assert step(WAIT, none, 119.0).action == "again"
        assert step(WAIT, none, 120.0).action == "failed"

    @pytest.mark.parametrize(
        "status",
        [
            "FAILED",
            "UNSUPPORTED_IMAGE",
            "SCAN_ELIGIBILITY_EXPIRED",
            "FINDINGS_UNAVAILABLE",
            "LIMIT_EXCEEDED",
            "IMAGE_ARCHIVED",
            "IMAGE_SIZE_EXCEEDED",
            "NOVEL",
        ],
    )
    def test_a_terminal_status_ends_it_at_once(self, status: str) -> None:
        found = step(WAIT, seen(answer(status, basic=[], done=False)), 1.0)
        assert found.action == "failed"
        assert found.state.last is not None

    def test_a_basic_result_is_done_at_once(self) -> None:
        assert step(WAIT, seen(answer("COMPLETE", basic=[])), 1.0).action == "done"

    def test_an_enhanced_result_needs_two_equal_reads(self) -> None:
        first = step(WAIT, ENHANCED, 10.0)
        assert (first.action, first.sleep) == ("again", 15.0)
        early = step(first.state, ENHANCED, 20.0)
        assert (early.action, early.sleep) == ("again", 5.0)
        assert step(early.state, ENHANCED, 25.0).action == "done"

    def test_a_result_that_grows_starts_anew(self) -> None:
        first = step(WAIT, ENHANCED, 10.0)
        second = step(first.state, GROWN, 25.0)
        assert second.action == "again"
        assert step(second.state, ENHANCED, 40.0).action == "again"
        assert step(second.state, GROWN, 40.0).action == "done"

    def test_a_gap_between_the_reads_starts_anew(self) -> None:
        first = step(WAIT, ENHANCED, 10.0)
        gap = step(first.state, seen(answer("PENDING", enhanced=[], done=False)), 20.0)
        assert step(gap.state, ENHANCED, 30.0).action == "again"

    def test_an_ambiguous_answer_is_asked_again_until_the_deadline(self) -> None:
        empty = seen(answer("ACTIVE", basic=[], done=False))
        assert step(WAIT, empty, 299.0).sleep == 1.0
        late = step(WAIT, empty, 300.0)
        assert late.action == "expired"
        assert "look the same" in late.reason

    def test_pauses_grow_and_are_bounded(self) -> None:
        pending = seen(answer("PENDING", basic=[], done=False))
        pauses, state = [], attrs.evolve(WAIT, deadline=1e9)
        for _ in range(12):
            found = step(state, pending, 0.0)
            pauses.append(found.sleep)
            state = found.state
        assert pauses[:3] == [2.0, 3.0, 4.5] and pauses[-1] == 30.0
