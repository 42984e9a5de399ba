"""Reports: golden files, independent parsers, and hostile text in every format."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest
from sarif_pydantic import Sarif

from ecrkit._version import __version__
from ecrkit.scanning import (
    SEVERITIES,
    Dropped,
    Exemption,
    Exemptions,
    Finding,
    Gate,
    ImageScan,
    ScanReport,
    SeverityPolicy,
    Verdict,
    count_limit,
    deny_known_exploited,
    epss_below,
    to_csv,
    to_gitlab,
    to_json,
    to_junit,
    to_markdown,
    to_sarif,
    to_text,
)
from ecrkit.scanning.reports import rows, to_columns, to_pandas
from tests.unit.scanning.build import NOW, OTHER, day, finding, package, report

HOSTILE = (
    "=cmd|' /C calc'!A0", "<script>alert(1)</script>", "a|b `c` [x](http://evil.example) @team ![i](http://e)",
    "\x1b[2J\x00\x07bell\u202egnp.exe", "]]>&<!--", '"quoted"', "line\nfeed\r\n| x |", "https://auto.link www.auto.link",
)  # fmt: skip


def verdict() -> Verdict:
    """A verdict with everything in it: two platforms, reasons, grace, suppression, unknown data, dropped findings."""
    libssl = package("libssl3", "3.0.11", release="1", fixed_in="3.0.13-1", fix=True, manager="OS", arch="AMD64")
    first = report(
        finding("CVE-2026-0001", "CRITICAL", libssl, package("openssl", "3.0.11", fixed_in="3.0.13-1"), score=9.8, vector="v",
                epss=0.91, title="CVE-2026-0001 - libssl3, openssl", description="A buffer is read beyond its end.",
                uri="https://security.example/CVE-2026-0001", fix_available="YES"),
        finding("CVE-2026-0002", "HIGH", package("log4j-core", "2.14.1", path="opt/app/log4j-core.jar"), score=7.5, fix_available="NO"),
        finding("CVE-2026-0003", "HIGH", package("curl", "8.0"), first_observed=day("2026-11-20"), epss=0.01),
        finding("CVE-2026-0004", "MEDIUM", package("zlib", "1.3"), epss=0.0),
        finding("CVE-2026-0005", "UNTRIAGED", package("krb5", "1.20"), epss=0.2),
        platform="linux/amd64", dropped=(Dropped(reason="status SUPPRESSED", count=2, examples=("CVE-1",)),),
    )  # fmt: skip
    second = report(platform="linux/arm64", digest=OTHER, status="PENDING", completed_at=None)
    gate = Gate([count_limit("CRITICAL", 0), count_limit("HIGH", 3), epss_below(0.5)], grace_days={"HIGH": 14})
    exemptions = Exemptions(
        [
            Exemption(ids=("CVE-2026-0004",), reason="not reachable", owner="team-a", expires=dt.date(2026, 11, 30)),
            Exemption(ids=("CVE-2020-9999",), reason="gone", expires=dt.date(2027, 1, 1)),
        ]
    )
    index = ImageScan(
        repository="team/app", digest="sha256:" + "c" * 64, index=True, reports=[first, second], skipped=("sha256:att",)
    )
    return gate.judge(index, now=NOW, exemptions=exemptions, profile="prod")


def hostile() -> Verdict:
    found = [
        Finding(id=f"CVE-{n} {text}", severity="HIGH", title=text, description=text, uri="javascript:alert(1)",
                packages=(package(text, text, path=text, fixed_in=text),))
        for n, text in enumerate(HOSTILE)
    ]  # fmt: skip
    exemption = Exemption(ids=(found[1].id,), reason=" ".join(HOSTILE).replace("\n", " "))
    return Gate(count_limit("HIGH", 0)).judge(report(*found), now=NOW, exemptions=Exemptions([exemption]))


FORMATS = {
    "verdict.txt": to_text,
    "verdict.json": to_json,
    "verdict.md": to_markdown,
    "verdict.sarif": to_sarif,
    "verdict.junit.xml": to_junit,
    "verdict.gitlab.json": to_gitlab,
    "verdict.csv": to_csv,
}


class TestGolden:
    """The whole document of each format, so that a change is seen in review."""

    @pytest.mark.parametrize("name", FORMATS)
    def test_format(self, name: str, repo_root: Path, update_golden: bool) -> None:
        path = repo_root / "tests" / "golden" / "scanning" / name
        text = FORMATS[name](verdict()).replace(f'"{__version__}"', '"VERSION"')
        if update_golden:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        assert path.read_bytes().decode() == text

    @pytest.mark.parametrize("name", FORMATS)
    def test_the_same_every_time(self, name: str) -> None:
        assert FORMATS[name](verdict()) == FORMATS[name](verdict())


class TestRows:
    """One row per finding and platform; suppressed findings stay, with the reason."""

    def test_states(self) -> None:
        assert {r.finding.id[-1]: r.state for r in rows(verdict())} == {
            "1": "blocking", "2": "undetermined", "5": "counted", "3": "in grace", "4": "suppressed",
        }  # fmt: skip

    def test_grace_hides_no_rule_that_cannot_be_told(self) -> None:
        gate = Gate([count_limit("HIGH", 0), deny_known_exploited()], grace_days={"HIGH": 30})
        young = Finding(id="CVE-1", severity="HIGH", first_observed=NOW)
        source = ScanReport(source="enhanced", status="ACTIVE", completed_at=NOW, findings=(young,))
        (row,) = rows(gate.judge(source, now=NOW))
        assert (row.state, row.rules) == ("undetermined", ("known-exploited",))
        assert row.why.startswith("in its period of grace until")

    def test_columns_have_one_row_per_package(self) -> None:
        columns = to_columns(verdict())
        assert len(columns["id"]) == 6
        assert {len(v) for v in columns.values()} == {6}

    def test_frame(self) -> None:
        assert list(to_pandas(verdict())["state"]).count("suppressed") == 1

    @pytest.mark.parametrize("name", FORMATS)
    def test_every_format_keeps_suppressed_findings_and_their_reason(self, name: str) -> None:
        text = FORMATS[name](verdict()).replace("&#58;", ":")
        assert "CVE-2026-0004" in text
        assert "not reachable" in text


class TestOneSeverity:
    """Two severity sources in one summary said Medium 1 and low at once: every table uses the verdict's basis."""

    def test_every_format_says_the_severity_of_the_basis(self) -> None:
        found = report(finding("CVE-2021-3744", "MEDIUM", vendor_severity="unimportant", score=7.8, vector="v"))
        for basis, severity, gitlab in (
            ("ecr", "MEDIUM", "Medium"),
            ("vendor", "INFORMATIONAL", "Info"),
            ("score", "HIGH", "High"),
        ):
            gate = Gate([count_limit(s, 0) for s in SEVERITIES], severity=SeverityPolicy(basis=basis))  # type: ignore[arg-type]
            verdict = gate.judge(found, now=NOW)
            assert rows(verdict)[0].severity == severity
            assert f"{severity} CVE-2021-3744" in verdict.explain()
            assert f"{severity} (" in to_text(verdict) and f"| {severity} (" in to_markdown(verdict)
            assert f'name="{severity} CVE-2021-3744' in to_junit(verdict)
            assert to_columns(verdict)["severity"] == [severity]
            assert (to_columns(verdict)["ecr_severity"], to_columns(verdict)["vendor_severity"]) == (
                ["MEDIUM"],
                ["unimportant"],
            )
            assert json.loads(to_gitlab(verdict))["vulnerabilities"][0]["severity"] == gitlab
            assert json.loads(to_sarif(verdict))["runs"][0]["results"][0]["message"]["text"].startswith(severity)

    def test_what_the_other_source_says_stands_beside_it(self) -> None:
        found = report(
            finding("CVE-1", "MEDIUM", vendor_severity="unimportant"), finding("CVE-2", "LOW", vendor_severity="low")
        )
        by_ecr = Gate(count_limit("HIGH", 0)).judge(found, now=NOW)
        assert [r.beside for r in rows(by_ecr)] == ["vendor: unimportant", ""]
        by_vendor = Gate(count_limit("HIGH", 0), severity=SeverityPolicy(basis="vendor")).judge(found, now=NOW)
        assert [r.beside for r in rows(by_vendor)] == ["ecr: MEDIUM", ""]


class TestSarif:
    """SARIF 2.1.0, parsed by sarif-pydantic."""

    @pytest.mark.parametrize("make", [verdict, hostile])
    def test_parses(self, make: Any) -> None:
        parsed = Sarif.model_validate_json(to_sarif(make()))
        assert len(parsed.runs[0].results or []) == len(rows(make()))

    def test_content(self) -> None:
        run = json.loads(to_sarif(verdict()))["runs"][0]
        by_id = {r["ruleId"]: r for r in run["results"]}
        assert by_id["CVE-2026-0004"]["suppressions"][0]["status"] == "accepted"
        assert by_id["CVE-2026-0003"]["suppressions"][0]["status"] == "underReview"
        assert "suppressions" not in by_id["CVE-2026-0001"]
        assert (
            by_id["CVE-2026-0002"]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
            == "opt/app/log4j-core.jar"
        )
        for result in run["results"]:
            assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert run["tool"]["driver"]["rules"][0]["properties"]["security-severity"] == "9.8"
        assert not run["invocations"][0]["executionSuccessful"]
        assert "linux/arm64" in run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]

    def test_fingerprints_do_not_follow_the_digest(self) -> None:
        gate = Gate(count_limit("HIGH", 0))
        prints = {
            json.loads(to_sarif(gate.judge(report(finding(), digest=d), now=NOW)))["runs"][0]["results"][0][
                "partialFingerprints"
            ]["ecrkit/finding/v1"]
            for d in ("sha256:1", "sha256:2")
        }
        assert len(prints) == 1

    def test_no_link_that_is_not_http(self) -> None:
        assert "javascript:" not in to_sarif(hostile())


class TestJunit:
    """JUnit XML, parsed by junitparser; what XML cannot hold is replaced."""

    @pytest.mark.parametrize("make", [verdict, hostile])
    def test_parses(self, make: Any) -> None:
        parsed = junitparser.JUnitXml.fromstring(to_junit(make()).encode())
        found = rows(make())
        suite = next(iter(parsed))
        assert suite.tests == len(found) + 1 == len(list(suite))
        assert suite.failures == sum(r.state == "blocking" for r in found)
        assert suite.skipped == sum(r.state in ("suppressed", "in grace") for r in found)

    def test_an_unjudged_scan_is_an_error(self) -> None:
        suite = next(iter(junitparser.JUnitXml.fromstring(to_junit(verdict()).encode())))
        assert suite.errors == 2
        assert isinstance(next(iter(suite)).result[0], junitparser.Error)

    def test_a_clean_pass(self) -> None:
        clean = Gate(count_limit("HIGH", 0)).judge(report(), now=NOW)
        suite = next(iter(junitparser.JUnitXml.fromstring(to_junit(clean).encode())))
        assert (suite.tests, suite.failures, suite.errors, suite.skipped) == (1, 0, 0, 0)

    def test_names_tell_findings_apart(self) -> None:
        names = [c.get("name") for c in ET.fromstring(to_junit(hostile()).encode()).iter("testcase")]
        assert len(names) == len(set(names))


GITLAB_SCHEMA = {
    # The parts of GitLab's container-scanning-report-format 15 that reports are refused for.
    "type": "object",
    "required": ["version", "scan", "vulnerabilities"],
    "properties": {
        "version": {"pattern": r"^[0-9]+\.[0-9]+\.[0-9]+$"},
        "scan": {
            "required": ["type", "status", "start_time", "end_time", "scanner", "analyzer"],
            "properties": {
                "type": {"enum": ["container_scanning"]},
                "status": {"enum": ["success", "failure"]},
                "start_time": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$"},
                "messages": {
                    "items": {
                        "required": ["level", "value"],
                        "properties": {"level": {"enum": ["info", "warn", "fatal"]}, "value": {"minLength": 1}},
                    }
                },
                "scanner": {
                    "required": ["id", "name", "version", "vendor"],
                    "properties": {"vendor": {"required": ["name"]}},
                },
            },
        },
        "vulnerabilities": {
            "items": {
                "required": ["id", "identifiers", "location"],
                "properties": {
                    "id": {"type": "string", "minLength": 1},
                    "name": {"type": "string", "maxLength": 255},
                    "severity": {"enum": ["Info", "Unknown", "Low", "Medium", "High", "Critical"]},
                    "identifiers": {
                        "minItems": 1,
                        "items": {
                            "required": ["type", "name", "value"],
                            "properties": {"url": {"pattern": "^(https?|ftp)://.+"}},
                        },
                    },
                    "links": {"items": {"required": ["url"], "properties": {"url": {"pattern": "^(https?|ftp)://.+"}}}},
                    "location": {
                        "required": ["dependency", "operating_system", "image"],
                        "properties": {
                            "dependency": {
                                "required": ["package", "version"],
                                "properties": {"package": {"required": ["name"]}},
                            },
                            "image": {"minLength": 1, "maxLength": 255},
                            "operating_system": {"minLength": 1, "maxLength": 255},
                        },
                    },
                    "details": {
                        "additionalProperties": {
                            "required": ["type", "name", "value"],
                            "properties": {"type": {"enum": ["text", "value"]}},
                        }
                    },
                },
            }
        },
    },
}


class TestGitlab:
    """GitLab's container scanning report: one entry per vulnerability and package."""

    @pytest.mark.parametrize("make", [verdict, hostile])
    def test_schema(self, make: Any) -> None:
        body = json.loads(to_gitlab(make()))
        jsonschema.validate(body, GITLAB_SCHEMA)
        ids = [v["id"] for v in body["vulnerabilities"]]
        assert len(ids) == len(set(ids))

    def test_content(self) -> None:
        body = json.loads(to_gitlab(verdict()))
        assert body["scan"]["status"] == "failure"
        assert [(v["severity"], v["location"]["dependency"]["package"]["name"]) for v in body["vulnerabilities"]][:2] == [
            ("Critical", "libssl3"), ("Critical", "openssl"),
        ]  # fmt: skip
        assert [v["details"]["ignored"]["value"] for v in body["vulnerabilities"]].count(True) == 1
        assert "Unknown" in {v["severity"] for v in body["vulnerabilities"]}


class TestCsv:
    """RFC 4180; a cell that a spreadsheet would run gets an apostrophe."""

    def test_round_trip_without_formulas(self) -> None:
        table = list(csv.reader(io.StringIO(to_csv(hostile()), newline="")))
        assert len({len(row) for row in table}) == 1
        cells = [cell for row in table[1:] for cell in row]
        assert not [c for c in cells if c[:1] in ("=", "+", "@", "\t", "\r")]
        assert any(c.startswith("'=cmd") for c in cells)

    def test_numbers_stay_numbers(self) -> None:
        table = list(csv.DictReader(io.StringIO(to_csv(verdict()), newline="")))
        assert (table[0]["score"], table[0]["epss"], table[2]["epss"]) == ("9.8", "0.91", "")


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)


class TestMarkdown:
    """A step summary: hostile text makes no tag, link, image, mention, heading or table cell."""

    def test_no_markup_from_findings(self) -> None:
        text = to_markdown(hostile())
        parser = Tags()
        parser.feed(text)
        assert parser.tags == []
        assert not re.search(r"\]\(|@team|http://|https://|www\.|!\[|`", text)
        table = [line for line in text.splitlines() if line.startswith("|")]
        assert {line.count("|") for line in table} == {6}

    def test_rendered_by_an_independent_parser(self) -> None:
        import markdown

        html = markdown.markdown(to_markdown(hostile()), extensions=["tables"])
        parser = Tags()
        parser.feed(html)
        assert set(parser.tags) <= {"h2", "h3", "ul", "li", "p", "table", "thead", "tbody", "tr", "th", "td"}

    def test_long_tables_are_cut_and_counted(self) -> None:
        many = [finding(f"CVE-{n}", "HIGH") for n in range(30)]
        text = to_markdown(Gate(count_limit("HIGH", 0)).judge(report(*many), now=NOW), limit=10)
        assert "20 more are not shown" in text


class TestText:
    """A table for a terminal: no escape sequences, one line per finding."""

    def test_no_control_characters(self) -> None:
        text = to_text(hostile())
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
        # Head (2), blank, table head (2), one line per finding.
        assert len(text.rstrip("\n").split("\n")) == 5 + len(HOSTILE)

    def test_remarks(self) -> None:
        text = to_text(verdict())
        for part in (
            "exemption unused: CVE-2020-9999",
            "exemption expiring: CVE-2026-0004",
            "sha256:att is an attestation",
            "linux/arm64",
            "profile prod",
        ):
            assert part in text
        lone = Gate(count_limit("HIGH", 0)).judge(report(dropped=(Dropped(reason="status CLOSED", count=2),)), now=NOW)
        assert "left out: 2 findings, status CLOSED" in to_text(lone)
        assert "no findings" in to_text(lone)


class TestJson:
    """`ecrkit.verdict/1`: everything a program needs."""

    def test_content(self) -> None:
        body = json.loads(to_json(verdict()))
        assert (body["format"], body["outcome"], body["profile"], body["basis"]) == (
            "ecrkit.verdict/1",
            "fail",
            "prod",
            "ecr",
        )
        assert [p["platform"] for p in body["parts"]] == ["linux/amd64", "linux/arm64"]
        assert body["parts"][0]["suppressed"][0]["finding"]["id"] == "CVE-2026-0004"
        assert body["parts"][0]["in_grace"][0]["until"] == "2026-12-04T00:00:00Z"
