"""Keys of the archive and the rows in it."""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.scanning import Dropped, Finding
from ecrkit.scanning.archive import DeploymentRow, FindingRow, Layout, Place, Retention, ScanRow
from ecrkit.scanning.archive.layout import stamp
from ecrkit.scanning.archive.rows import athena_time, finding_rows, read_lines, scan_row, to_lines
from tests.unit.scanning_archive.build import PLACE, REPOSITORY, A, day, finding, lines, report, row, scan

moments = st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2099, 1, 1), timezones=st.just(dt.UTC))
names = st.from_regex(r"\A[a-z0-9]{1,8}([._-][a-z0-9]{1,6})?(/[a-z0-9]{1,8}){0,3}\Z").filter(lambda n: len(n) > 1)


class TestKeysHoldEverythingAndNothingStrange:
    """A key has the full digest, times in UTC in the basic form, hive partitions, no colon, an equal depth for every
    repository. A tutorial's archive cut the digest to 5 digits and wrote local times with colons (field report)."""

    def test_the_documented_form(self) -> None:
        key = Layout("ecr-scan").raw(
            PLACE, "team/app", A, b"{}", scanned_at=day("2026-11-24"), read_at=day("2026-11-25")
        )
        short = hashlib.sha256(b"{}").hexdigest()[:16]
        assert key == (
            "ecr-scan/raw/account=123456789012/region=eu-west-1/dt=2026-11-25/team%2Fapp/"
            + "a" * 64
            + f"/20261124T000000Z-{short}.json"
        )

    @given(repository=names, scanned=moments, read=moments, body=st.binary(max_size=20))
    def test_a_key_says_again_what_it_was_made_of(
        self, repository: str, scanned: dt.datetime, read: dt.datetime, body: bytes
    ) -> None:
        for layout in (Layout("a/b"), Layout.at_root()):
            key = layout.raw(PLACE, repository, A, body, scanned_at=scanned, read_at=read)
            assert ":" not in key and "//" not in key and not key.startswith("/")
            assert key.removeprefix("a/b/").count("/") == 6
            found = Layout.read(key)
            assert (found.repository, found.digest, found.scanned_at, found.day, found.place) == (
                repository,
                A,
                scanned,
                read.date(),
                PLACE,
            )

    def test_the_day_is_the_one_in_utc(self) -> None:
        late = dt.datetime(2026, 11, 24, 23, 30, tzinfo=dt.timezone(dt.timedelta(hours=-5)))
        assert "/dt=2026-11-25/" in Layout().part("scans", PLACE, "x", late)
        assert stamp(late) == "20261125T043000Z"

    def test_naive_times_are_refused(self) -> None:
        with pytest.raises(ValueError, match="no time zone"):
            stamp(dt.datetime(2026, 11, 24))

    @pytest.mark.parametrize("prefix", ["a//b", "a b", "a:b", "a/b?c"])
    def test_a_prefix_that_makes_trouble_is_refused(self, prefix: str) -> None:
        with pytest.raises(InvalidInput, match="prefix"):
            Layout(prefix)

    def test_an_arn_is_no_repository(self) -> None:
        with pytest.raises(InvalidReference):
            Layout().raw(
                PLACE,
                "arn:aws:ecr:eu-west-1:123456789012:repository/x",
                A,
                b"",
                scanned_at=day("2026-01-01"),
                read_at=day("2026-01-01"),
            )

    @pytest.mark.parametrize("key", ["x.json", "raw/account=1/region=eu-west-1/dt=2026-01-01/a/b/c.json"])
    def test_other_keys_are_refused(self, key: str) -> None:
        with pytest.raises(InvalidInput, match="no key"):
            Layout.read(key)

    def test_a_day_that_does_not_exist_is_refused(self) -> None:
        key = Layout().raw(PLACE, REPOSITORY, A, b"", scanned_at=day("2026-01-01"), read_at=day("2026-01-01"))
        with pytest.raises(InvalidInput, match="no key"):
            Layout.read(key.replace("dt=2026-01-01", "dt=2026-02-31"))

    def test_all_faults_of_a_place_are_named(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            Place("1234", "N/A")
        assert [p.path for p in caught.value.problems] == ["account", "region"]

    @pytest.mark.parametrize(("mode", "days"), [("FOREVER", 1), ("COMPLIANCE", 0), ("GOVERNANCE", 40000)])
    def test_a_retention_is_checked(self, mode: str, days: int) -> None:
        with pytest.raises(InvalidInput, match="no retention"):
            Retention(mode, days)  # type: ignore[arg-type]


class TestRowsAreFlatLines:
    """The JSON SerDe reads one object a line; a timestamp is `yyyy-MM-dd HH:mm:ss.SSS` (Athena user guide)."""

    def test_one_line_for_each_package(self) -> None:
        found = finding("CVE-1", "HIGH", "curl", "libcurl4", first_observed=day("2026-11-01"))
        body = to_lines(finding_rows(report(found), scan_id="s", read_at=day("2026-11-25")))
        assert [r["package"] for r in lines(body)] == ["curl", "libcurl4"]
        assert body.endswith(b"}\n") and {r["first_observed_at"] for r in lines(body)} == {"2026-11-01 00:00:00.000"}

    def test_a_finding_without_packages_has_a_row_too(self) -> None:
        (only,) = finding_rows(report(Finding(id="CVE-1", severity="LOW")), scan_id="s", read_at=day("2026-11-25"))
        assert only.package == ""

    def test_text_with_line_ends_stays_on_its_line(self) -> None:
        body = to_lines([row("2026-11-25", name="CVE\n\u2028\u0085x")])
        assert body.count(b"\n") == 1
        assert read_lines(body, FindingRow)[0].vulnerability_id == "CVE\n\u2028\u0085x"

    @pytest.mark.parametrize("made", [scan("2026-11-25", scanned_at=day("2026-11-24")), row("2026-11-25", score=7.5)])
    def test_rows_come_back(self, made: ScanRow | FindingRow) -> None:
        assert read_lines(to_lines([made, made]), type(made)) == (made, made)

    def test_members_of_later_versions_are_left_out(self) -> None:
        body = to_lines([row("2026-11-25")]).replace(b'{"scan_id"', b'{"new":1,"scan_id"')
        assert read_lines(body, FindingRow) == (row("2026-11-25"),)

    def test_every_faulty_line_is_named(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            read_lines(b"{}\n\nno\n", DeploymentRow)
        assert [p.path for p in caught.value.problems] == ["line 1", "line 3"]

    def test_milliseconds_are_cut(self) -> None:
        assert athena_time(dt.datetime(2026, 1, 1, microsecond=999999, tzinfo=dt.UTC)).endswith("00.999")


class TestWhatAReadingProves:
    """Only a ready reading that left out nothing without a trace shows that a vulnerability is gone."""

    @pytest.mark.parametrize(
        ("more", "closes"),
        [
            ({}, True),
            ({"status": "SCAN_ELIGIBILITY_EXPIRED"}, False),
            ({"status": "FINDINGS_UNAVAILABLE"}, False),
            ({"status": "IMAGE_ARCHIVED"}, False),
            ({"status": "FAILED"}, False),
            ({"status": "SOMETHING_NEW"}, False),
            ({"completed_at": None}, False),
            ({"dropped": (Dropped(reason="status CLOSED", count=3),)}, True),
            ({"dropped": (Dropped(reason="the same finding twice", count=1),)}, True),
            ({"dropped": (Dropped(reason="not an ECR image: AWS_EC2_INSTANCE", count=1),)}, True),
            ({"dropped": (Dropped(reason="status SUPPRESSED", count=1),)}, False),
            ({"dropped": (Dropped(reason="unreadable: has no name", count=1, readable=False),)}, False),
        ],
    )
    def test_by_status_and_what_was_left_out(self, more: dict[str, object], closes: bool) -> None:
        assert scan_row(report(**more), scan_id="s", read_at=day("2026-11-25")).closes is closes

    def test_suppressed_findings_with_rows_of_their_own_hide_nothing(self) -> None:
        hidden = report(dropped=(Dropped(reason="status SUPPRESSED", count=2),))
        assert scan_row(hidden, scan_id="s", read_at=day("2026-11-25"), suppressed=2).closes
        assert not scan_row(hidden, scan_id="s", read_at=day("2026-11-25"), suppressed=1).closes

    def test_too_many_suppressed_rows_do_not_hide_an_unreadable_one(self) -> None:
        broken = report(dropped=(Dropped(reason="unreadable: x", count=1, readable=False),))
        assert not scan_row(broken, scan_id="s", read_at=day("2026-11-25"), suppressed=5).closes

    def test_a_word_on_coverage_closes_nothing(self) -> None:
        covered = report(status="COVERAGE_ACTIVE")
        assert not scan_row(covered, scan_id="s", read_at=day("2026-11-25"), kind="coverage").closes

    def test_counts_are_of_findings_and_none_is_lost(self) -> None:
        made = scan_row(
            report(finding("A", "CRITICAL", "x", "y"), finding("B", "UNTRIAGED"), finding("C", "INFORMATIONAL")),
            scan_id="s", read_at=day("2026-11-25"),
        )  # fmt: skip
        assert (made.findings, made.critical, made.high, made.other) == (3, 1, 0, 2)

    def test_a_report_without_digest_has_no_row(self) -> None:
        with pytest.raises(InvalidInput, match="digest"):
            scan_row(report(digest=None), scan_id="s", read_at=day("2026-11-25"))
