"""When a vulnerability counts as remedied, and how deadlines are judged."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.scanning.archive import DeploymentRow, FindingRow, ScanRow
from ecrkit.scanning.archive.audit import Remediation, Sla, remediation_times, remediations
from tests.unit.scanning_archive.build import REPOSITORY, A, B, C, day, deployed, row, scan


def only(
    scans: list[ScanRow], findings: list[FindingRow], deployments: list[DeploymentRow] | None = None
) -> Remediation:
    (found,) = remediations(scans, findings, deployments)
    return found


class TestAVanishedFindingIsRemediedOnlyByALaterSuccessfulReading:
    """A finding is closed only when a later successful scan of the same current digest lacks it; an expired,
    unavailable or archived scan never closes (the archive's rule)."""

    def test_a_later_clean_reading(self) -> None:
        found = only([scan("2026-11-01"), scan("2026-11-03")], [row("2026-11-01")])
        assert (found.state, found.remedied_at, found.remedied_by) == ("remedied", day("2026-11-03"), A)
        assert found.took == dt.timedelta(days=2)

    @pytest.mark.parametrize(
        "state", ["expired", "failed", "archived", "unsupported", "missing", "ambiguous", "pending"]
    )
    def test_a_reading_that_is_no_success(self, state: str) -> None:
        found = only([scan("2026-11-01"), scan("2026-11-03", readiness=state)], [row("2026-11-01")])
        assert (found.state, found.took) == ("open", None)

    def test_a_closed_event_of_inspector(self) -> None:
        closed = row("2026-11-03", state="CLOSED", record="event")
        assert only([scan("2026-11-01")], [row("2026-11-01"), closed]).state == "open"

    def test_a_suppressed_finding_is_still_there(self) -> None:
        found = only(
            [scan("2026-11-01"), scan("2026-11-03")], [row("2026-11-01"), row("2026-11-03", state="SUPPRESSED")]
        )
        assert (found.state, found.suppressed) == ("open", True)

    def test_a_reading_of_the_same_moment(self) -> None:
        assert only([scan("2026-11-01", scan_id="x"), scan("2026-11-01")], [row("2026-11-01")]).state == "open"

    def test_an_earlier_clean_reading(self) -> None:
        assert only([scan("2026-10-01"), scan("2026-11-01")], [row("2026-11-01")]).state == "open"

    def test_the_first_of_several_proofs_counts(self) -> None:
        found = only([scan("2026-11-05"), scan("2026-11-01"), scan("2026-11-03")], [row("2026-11-01")])
        assert found.remedied_at == day("2026-11-03")

    def test_what_comes_back_is_open_again(self) -> None:
        scans = [scan("2026-11-01"), scan("2026-11-03"), scan("2026-11-05")]
        assert only(scans, [row("2026-11-01"), row("2026-11-05")]).state == "open"

    def test_a_finding_that_came_by_itself_is_open(self) -> None:
        """Inspector sends a scan event once for each image; later vulnerabilities come only as findings."""
        assert only([scan("2026-11-01")], [row("2026-11-03", record="event")]).state == "open"

    def test_even_of_an_image_without_any_reading(self) -> None:
        assert only([], [row("2026-11-03", record="event")]).state == "open"


class TestANewDigestRemediesTheDeployment:
    """A new digest without the vulnerability closes it for the deployment; the old digest stays as history."""

    def test_by_push(self) -> None:
        scans = [scan("2026-11-01", A), scan("2026-11-05", B, pushed_at=day("2026-11-04"))]
        found = only(scans, [row("2026-11-01", A)])
        assert (found.state, found.remedied_at, found.remedied_by) == ("remedied", day("2026-11-05"), B)

    def test_a_new_digest_that_was_not_scanned(self) -> None:
        scans = [scan("2026-11-01", A), scan("2026-11-05", B, readiness="failed")]
        assert only(scans, [row("2026-11-01", A)]).state == "unconfirmed"

    def test_a_new_digest_with_it(self) -> None:
        found = only([scan("2026-11-01", A), scan("2026-11-05", B)], [row("2026-11-01", A), row("2026-11-05", B)])
        assert (found.state, found.last_seen_in) == ("open", B)

    def test_the_old_digest_does_not_open_it_again(self) -> None:
        scans = [scan("2026-11-01", A), scan("2026-11-05", B), scan("2026-11-09", A)]
        assert only(scans, [row("2026-11-01", A), row("2026-11-09", A)]).remedied_at == day("2026-11-05")

    def test_a_clean_reading_of_the_old_digest_proves_nothing(self) -> None:
        scans = [scan("2026-11-01", A), scan("2026-11-05", B), scan("2026-11-09", A)]
        found = [row("2026-11-01", A), row("2026-11-05", B)]
        assert only(scans, found).state == "open"

    def test_recorded_deployments_decide(self) -> None:
        scans = [scan("2026-11-01", A), scan("2026-11-05", B)]
        found = [row("2026-11-01", A)]
        assert only(scans, found, [deployed("2026-11-01", A)]).state == "open"
        done = only(scans, found, [deployed("2026-11-01", A), deployed("2026-11-07", B)])
        assert done.remedied_at == day("2026-11-07"), "a reading from before counts from the deployment on"

    def test_environments_are_apart(self) -> None:
        rows = [deployed("2026-11-01", A), deployed("2026-11-07", B), deployed("2026-11-01", A, "test")]
        found = remediations([scan("2026-11-01", A), scan("2026-11-05", B)], [row("2026-11-01", A)], rows)
        assert [(r.environment, r.state) for r in found] == [("prod", "remedied"), ("test", "open")]

    def test_platforms_are_apart(self) -> None:
        """Both children of an index are deployed at once; one being clean says nothing of the other."""
        scans = [scan("2026-11-01", A, platform="linux/amd64"), scan("2026-11-02", B, platform="linux/arm64")]
        assert only(scans, [row("2026-11-01", A, platform="linux/amd64")]).state == "open"

    def test_a_rollback_opens_it_again(self) -> None:
        rows = [deployed("2026-11-01", A), deployed("2026-11-04", B), deployed("2026-11-08", A)]
        found = only([scan("2026-11-02", A), scan("2026-11-05", B)], [row("2026-11-02", A)], rows)
        assert (found.state, found.last_seen_at) == ("open", day("2026-11-08"))


class TestTheClockStartsAtTheEarliestObservation:
    """firstObservedAt survives per digest only, and a new push restarts it: the earliest over repository,
    vulnerability and package counts."""

    def test_over_digests(self) -> None:
        rows = [
            row("2026-11-01", A, first_observed_at=day("2026-10-01")),
            row("2026-11-05", B, first_observed_at=day("2026-11-04")),
        ]
        found = only([scan("2026-11-01", A), scan("2026-11-05", B)], rows)
        assert found.found_at == day("2026-10-01") and found.dated
        assert found.age(day("2026-11-10")) == dt.timedelta(days=40)

    def test_packages_are_apart(self) -> None:
        rows = [
            row("2026-11-01", first_observed_at=day("2026-10-01")),
            row("2026-11-01", package="zlib", first_observed_at=day("2026-10-20")),
        ]
        found = remediations([scan("2026-11-01")], rows)
        assert [(r.package, r.found_at) for r in found] == [("curl", day("2026-10-01")), ("zlib", day("2026-10-20"))]

    def test_a_basic_scan_has_no_dates(self) -> None:
        assert not only([scan("2026-11-01")], [row("2026-11-01")]).dated

    def test_an_earlier_reading_without_it_dates_it(self) -> None:
        assert only([scan("2026-10-30"), scan("2026-11-01")], [row("2026-11-01")]).dated

    def test_an_earlier_failed_reading_does_not(self) -> None:
        assert not only([scan("2026-10-30", readiness="failed"), scan("2026-11-01")], [row("2026-11-01")]).dated


class TestDeadlines:
    """In time or late, due or overdue; unknown where nobody can tell."""

    SLA = Sla({"HIGH": 7})

    @staticmethod
    def case(remedied: str | None = None, severity: str = "HIGH", *, dated: bool = True) -> Remediation:
        return Remediation(
            repository=REPOSITORY, environment="prod", platform="", vulnerability_id="CVE-1", package="curl",
            severity=severity, found_at=day("2026-11-01"), dated=dated, last_seen_at=day("2026-11-02"), last_seen_in=A,
            state="remedied" if remedied else "open", remedied_at=day(remedied) if remedied else None,
        )  # fmt: skip

    @pytest.mark.parametrize(
        ("remedied", "now", "dated", "state"),
        [
            ("2026-11-08", "2026-12-01", True, "in time"),
            ("2026-11-08T00:00:01", "2026-12-01", True, "late"),
            (None, "2026-11-08", True, "due"),
            (None, "2026-11-08T00:00:01", True, "overdue"),
            ("2026-11-08", "2026-12-01", False, "unknown"),
            ("2026-11-09", "2026-12-01", False, "late"),
            (None, "2026-11-08", False, "unknown"),
            (None, "2026-11-09", False, "overdue"),
        ],
    )
    def test_states(self, remedied: str | None, now: str, dated: bool, state: str) -> None:
        (found,) = self.SLA.judge([self.case(remedied, dated=dated)], now=day(now))
        assert found.state == state and found.breached == (state in ("late", "overdue"))
        assert found.due_at == day("2026-11-08")

    @pytest.mark.parametrize("severity", ["UNTRIAGED", "UNDEFINED"])
    def test_a_severity_that_may_be_anything_is_unknown(self, severity: str) -> None:
        (found,) = self.SLA.judge([self.case(severity=severity)], now=day("2026-12-01"))
        assert (found.state, found.due_at) == ("unknown", None)
        assert Sla({severity: 1}).judge([self.case(severity=severity)], now=day("2026-12-01"))[0].state == "overdue"

    def test_a_severity_without_deadline_is_left_out(self) -> None:
        assert self.SLA.judge([self.case(severity="LOW")], now=day("2026-12-01")) == ()

    @pytest.mark.parametrize("days", [{}, {"HIGH": 0}, {"HIGH": True}, {"HIGH": 1.5}])
    def test_faulty_deadlines(self, days: dict[str, int]) -> None:
        with pytest.raises(InvalidInput, match="no deadlines"):
            Sla(days)

    def test_a_naive_now(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            self.SLA.judge([], now=dt.datetime(2026, 1, 1))


class TestRemediationTimes:
    """The mean is over what is remedied; what is not is counted beside it."""

    def test_by_severity(self) -> None:
        make = TestDeadlines.case
        times = remediation_times([make("2026-11-03"), make("2026-11-05"), make(), make(severity="LOW")])
        high, low = times
        assert (high.remedied, high.not_remedied, high.mean, high.longest) == (
            2, 1, dt.timedelta(days=3), dt.timedelta(days=4),
        )  # fmt: skip
        assert (low.remedied, low.mean, low.longest) == (0, None, None)

    def test_never_negative(self) -> None:
        """A first observation may be written later than the reading that found it gone."""
        found = only([scan("2026-11-01"), scan("2026-11-02")], [row("2026-11-01", first_observed_at=day("2026-11-09"))])
        assert found.took == dt.timedelta()

    def test_order_changes_nothing(self) -> None:
        scans = [scan("2026-11-01", A), scan("2026-11-05", B), scan("2026-11-07", C, readiness="failed")]
        rows = [row("2026-11-01", A), row("2026-11-05", B, "CVE-2"), row("2026-11-01", A, "CVE-3", "LOW")]
        assert remediations(scans, rows) == remediations(scans[::-1], rows[::-1])
