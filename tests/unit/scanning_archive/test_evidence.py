"""The report for an auditor: gaps, breaches, exemptions, and what is not known, as JSON and HTML."""

from __future__ import annotations

import datetime as dt
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.scanning import Exemptions
from ecrkit.scanning.archive.audit import Sla
from ecrkit.scanning.archive.events import FrequencyChanged
from ecrkit.scanning.archive.evidence import Evidence, Period, evidence
from tests.unit.scanning_archive.build import PLACE, REPOSITORY, A, B, day, deployed, row, scan

PERIOD = Period(dt.date(2026, 11, 1), dt.date(2026, 11, 10))
NOW = day("2026-11-20T08:00")
SLA = Sla({"CRITICAL": 2, "HIGH": 7})


def made(scans: list[Any], findings: list[Any] = [], **more: Any) -> Evidence:  # noqa: B006 - only read
    return evidence(REPOSITORY, PERIOD, scans=scans, findings=findings, sla=SLA, **{"now": NOW, **more})


def daily(first: int, last: int, digest: str = A) -> list[Any]:
    return [scan(f"2026-11-{n:02}", digest) for n in range(first, last + 1)]


class TestGaps:
    """A successful reading of the current digest vouches for one day; the rest is a gap with a reason."""

    def test_none(self) -> None:
        found = made(daily(1, 10))
        assert found.gaps == () and found.clean

    def test_a_day_without_a_reading(self) -> None:
        (gap,) = made([*daily(1, 4), *daily(7, 10)]).gaps
        assert (gap.start, gap.end, gap.reason) == (day("2026-11-05"), day("2026-11-07"), "no newer reading")
        assert gap.length == dt.timedelta(days=2)

    def test_a_failed_reading_is_the_reason(self) -> None:
        failed = scan("2026-11-05T06:00", readiness="expired", reason="continuous scanning has ended")
        (gap,) = made([*daily(1, 4), failed, *daily(7, 10)]).gaps
        assert gap.reason == "expired: continuous scanning has ended"

    def test_a_repository_without_images(self) -> None:
        (gap,) = made([]).gaps
        assert (gap.digest, gap.start, gap.end) == (None, PERIOD.start, PERIOD.end)

    def test_a_reading_before_the_period_vouches_into_it(self) -> None:
        (gap,) = made([scan("2026-10-31T12:00")]).gaps
        assert gap.start == day("2026-11-01T12:00")

    def test_readings_of_another_digest_do_not_vouch(self) -> None:
        rows = [deployed("2026-10-01", A), deployed("2026-11-05", B)]
        (gap,) = made(daily(1, 10), deployments=rows).gaps
        assert (gap.digest, gap.reason) == (B, "no reading of this image")
        assert (gap.start, gap.end) == (day("2026-11-05"), PERIOD.end)

    def test_a_word_on_coverage_does_not_vouch(self) -> None:
        (gap,) = made([scan("2026-11-01", kind="coverage")]).gaps
        assert (gap.start, gap.end) == (PERIOD.start, PERIOD.end)

    def test_a_reading_long_before_does_not_move_the_start(self) -> None:
        (gap,) = made([scan("2026-10-01")]).gaps
        assert (gap.start, gap.end) == (PERIOD.start, PERIOD.end)

    def test_the_future_is_no_gap(self) -> None:
        found = made(daily(1, 5), now=day("2026-11-05T12:00"))
        assert found.gaps == () and found.as_of == day("2026-11-05T12:00")
        assert "The period has not ended: nothing after 2026-11-05 12:00 UTC is known." in found.unknown


class TestDeadlinesAndExemptions:
    def test_a_breach_stays_one_under_an_exemption(self) -> None:
        exemptions = Exemptions.parse(
            {
                "exemptions": [
                    {"id": "CVE-2026-1", "reason": "not reachable", "expires": "2026-11-05", "created": "2026-11-02"},
                    {"id": "CVE-2026-9", "reason": "elsewhere", "expires": "never", "repository": "other/*"},
                    {"id": "CVE-2026-8", "reason": "long over", "expires": "2026-10-31"},
                    {"id": "CVE-2026-7", "reason": "stale", "expires": "never"},
                ]
            }
        )
        rows = [row(f"2026-11-{n:02}", first_observed_at=day("2026-10-20")) for n in range(1, 11)]
        found = made(daily(1, 10), rows, exemptions=exemptions)
        assert [b.state for b in found.breaches] == ["overdue"] and not found.clean
        assert [(a.exemption.ids, str(a.first), str(a.last), a.matched) for a in found.accepted] == [
            (("CVE-2026-1",), "2026-11-02", "2026-11-05", ("CVE-2026-1",)),
            (("CVE-2026-7",), "2026-11-01", "2026-11-10", ()),
        ]

    def test_what_was_remedied_before_the_period_is_left_out(self) -> None:
        rows = [row("2026-10-20", first_observed_at=day("2026-09-01"))]
        found = made([scan("2026-10-20"), scan("2026-10-25"), *daily(1, 10)], rows)
        assert found.breaches == () and found.remediations == () and found.times == ()

    def test_later_rows_do_not_count(self) -> None:
        rows = [row("2026-11-10", first_observed_at=day("2026-11-01"))]
        found = made([*daily(1, 10), scan("2026-11-15")], rows)
        assert [r.state for r in found.remediations] == ["open"] and found.breaches

    def test_undated_findings_are_undecided(self) -> None:
        found = made(daily(8, 10), [row("2026-11-08"), row("2026-11-09"), row("2026-11-10")])
        assert [d.state for d in found.undecided] == ["unknown"] and not found.clean

    def test_other_repositories_are_left_out(self) -> None:
        found = made([*daily(1, 10), scan("2026-11-02", repository="other")], [row("2026-11-02", repository="other")])
        assert len(found.scans) == 10 and found.remediations == ()

    def test_faulty_periods(self) -> None:
        with pytest.raises(InvalidInput, match="lies before"):
            Period(dt.date(2026, 2, 1), dt.date(2026, 1, 1))
        with pytest.raises(InvalidInput, match="after now"):
            made([], now=day("2026-10-01"))
        with pytest.raises(ValueError, match="no time zone"):
            made([], now=dt.datetime(2026, 12, 1))


def story() -> Evidence:
    """One of everything, with texts that try to break out of the page."""
    scans = [
        *[
            scan(f"2026-11-{n:02}", A, raw_sha256="0123456789abcdef" * 4, status="ACTIVE", findings=3)
            for n in (1, 2, 3)
        ],
        scan(
            "2026-11-05",
            A,
            readiness="expired",
            reason="<script>alert('x')</script>",
            status="SCAN_ELIGIBILITY_EXPIRED",
        ),
        *[scan(f"2026-11-{n:02}", B, source="basic", status="COMPLETE", platform="linux/amd64") for n in (6, 7, 8, 9)],
        scan("2026-11-10", B, closes=False, readiness="ready"),
    ]
    findings = [
        row("2026-11-01", A, "CVE-2026-1", "CRITICAL", first_observed_at=day("2026-10-20")),
        row("2026-11-01", A, "CVE-2026-2", "HIGH", first_observed_at=day("2026-11-01"), package="<b>zlib</b>"),
        row("2026-11-09", B, "CVE-2026-3", "UNTRIAGED"),
        row("2026-11-10", B, "CVE-2026-4", "HIGH", first_observed_at=day("2026-10-01"), state="SUPPRESSED"),
        row("2026-11-04", A, "CVE-2026-1", "CRITICAL", state="CLOSED", record="event"),
    ]
    exemptions = Exemptions.parse(
        {
            "exemptions": [
                {
                    "id": "CVE-2026-1",
                    "reason": "<img src=x onerror=alert(1)>",
                    "owner": "team & co",
                    "expires": "2026-11-30",
                }
            ]
        }
    )
    change = FrequencyChanged(
        event_id="e", place=PLACE, at=day("2026-11-04"), repositories=((REPOSITORY, "CONTINUOUS_SCAN", "MANUAL"),)
    )
    return made(
        scans, findings, exemptions=exemptions, changes=[change],
        deployments=[deployed("2026-10-15", A), deployed("2026-11-06", B)],
    )  # fmt: skip


class TestWhatIsNotKnownIsSaid:
    def test_sentences(self) -> None:
        found = " ".join(story().unknown)
        for words in (
            "1 of 9 readings were expired", "1 of 9 readings left out findings", "Basic scans carry no dates",
            "Severity UNTRIAGED is no severity yet", "1 findings were closed by Inspector",
            "On 2026-11-04 the scan frequency changed from CONTINUOUS_SCAN to MANUAL",
        ):  # fmt: skip
            assert words in found

    def test_defaults_are_said(self) -> None:
        found = " ".join(made(daily(1, 10)).unknown)
        assert "No deployments were recorded" in found and "No file of exemptions was given" in found

    def test_an_earlier_image_that_nobody_confirmed(self) -> None:
        rows = [deployed("2026-10-01", A), deployed("2026-11-05", B)]
        found = made(daily(1, 4), [row("2026-11-04")], deployments=rows)
        assert "1 vulnerabilities of an earlier image are not confirmed" in " ".join(found.unknown)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)
        self.links += [name for name, _ in attrs if name in ("href", "src") or name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class TestForms:
    @pytest.mark.parametrize("form", ["html", "json"])
    def test_golden(self, form: str, repo_root: Path, update_golden: bool) -> None:
        text = story().to_html() if form == "html" else story().to_json(indent=2) + "\n"
        path = repo_root / "tests" / "golden" / "scanning_archive" / f"evidence.{form}"
        if update_golden:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    def test_the_page_is_whole_and_takes_nothing_from_elsewhere(self) -> None:
        page = Page()
        page.feed(story().to_html())
        assert page.open == [] and page.links == []
        assert not {"script", "img", "link", "iframe"} & set(page.tags)

    def test_texts_are_escaped(self) -> None:
        text = story().to_html()
        assert "<script>" not in text and "<img" not in text and "<b>zlib" not in text
        assert "&lt;b&gt;zlib&lt;/b&gt;" in text and "team &amp; co" in text

    def test_json_says_the_same(self) -> None:
        found = json.loads(story().to_json())
        assert found["format"] == "ecrkit-evidence/1" and found["clean"] is False
        assert found["scans"][0]["read_at"] == "2026-11-01T00:00:00Z" and len(found["breaches"]) == 2

    def test_empty_sections_say_so(self) -> None:
        text = made(daily(1, 10)).to_html()
        for words in (
            "There is no gap.",
            "No deadline was missed.",
            "Nothing is undecided.",
            "No exemption was in force.",
        ):
            assert words in text
