"""Exemptions: validated files, expiry, scope, coverage of every package, and what became of each."""

from __future__ import annotations

import datetime as dt
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from ecrkit._internal.globs import matches
from ecrkit.errors import InvalidPolicy
from ecrkit.scanning import Exemption, Exemptions, Finding, Gate, ImageScan, Verdict, count_limit, renewals
from tests.unit.scanning.build import NOW, OTHER, finding, package, report

LATER = dt.date(2026, 12, 31)


def exempt(name: str | tuple[str, ...] = "CVE-2026-1", **more: Any) -> Exemption:
    ids = (name,) if isinstance(name, str) else name
    return Exemption(**{"ids": ids, "reason": "accepted", "expires": LATER, **more})


def judged(findings: list[Finding] | Finding, *exemptions: Exemption, now: dt.datetime = NOW, **more: Any) -> Verdict:
    several = findings if isinstance(findings, list) else [findings]
    gate = Gate([count_limit(s, 0) for s in ("CRITICAL", "HIGH", "MEDIUM")])
    return gate.judge(report(*several, **more), now=now, exemptions=Exemptions(exemptions))


class TestExpiry:
    """The expiry is the last valid day, inclusive, in UTC; a date alone meant 00:00 of that day elsewhere."""

    @pytest.mark.parametrize(
        ("now", "outcome"),
        [
            ("2026-12-30T12:00:00+00:00", "pass"), ("2026-12-31T00:00:00+00:00", "pass"),
            ("2026-12-31T23:59:59.999999+00:00", "pass"), ("2027-01-01T00:00:00+00:00", "fail"),
            ("2026-12-31T23:30:00-05:00", "fail"), ("2027-01-01T05:00:00+09:00", "pass"),
        ],
    )  # fmt: skip
    def test_the_edge(self, now: str, outcome: str) -> None:
        assert judged(finding(), exempt(), now=dt.datetime.fromisoformat(now)).outcome == outcome

    def test_each_entry_has_its_own(self) -> None:
        gone = exempt("CVE-2", expires=dt.date(2026, 1, 1))
        verdict = judged([finding("CVE-1"), finding("CVE-2")], exempt("CVE-1"), gone)
        assert [r.finding and r.finding.id for r in verdict.reasons] == ["CVE-2"]


class TestUntilFixed:
    """until_fixed ends with the first fix of any component, or at the expiry, whichever comes first."""

    @pytest.mark.parametrize(("fix", "outcome"), [("NO", "pass"), ("YES", "fail"), ("PARTIAL", "fail"), (None, "fail")])
    def test_fix(self, fix: str | None, outcome: str) -> None:
        assert judged(finding(fix_available=fix), exempt(until_fixed=True, expires=None)).outcome == outcome

    def test_expired_before_a_fix(self) -> None:
        entry = exempt(until_fixed=True, expires=dt.date(2026, 1, 1))
        assert judged(finding(fix_available="NO"), entry).outcome == "fail"

    def test_a_source_without_fix_data_is_told(self) -> None:
        verdict = judged(finding(), exempt(until_fixed=True))
        assert verdict.exemptions is not None
        assert len(verdict.exemptions.not_judged) == 1


class TestCoverage:
    """An exemption suppresses a finding only when every package in it is covered; matching uses nothing up."""

    TWO = finding("CVE-2026-1", "HIGH", package("libssl"), package("openssl"))

    def test_one_package_of_two_is_not_enough(self) -> None:
        assert judged(self.TWO, exempt(packages=("openssl",))).outcome == "fail"

    def test_two_exemptions_cover_it_together(self) -> None:
        verdict = judged(self.TWO, exempt(packages=("openssl",)), exempt(packages=("libssl",)))
        assert verdict.outcome == "pass"
        assert len(verdict.suppressed[0].by) == 2

    def test_patterns_of_packages_and_paths(self) -> None:
        found = finding("CVE-2026-1", "HIGH", package("a", path="opt/x/a.jar"), package("a", path="usr/lib/a.jar"))
        assert judged(found, exempt(packages=("a*",), paths=("opt/*",))).outcome == "fail"
        assert judged(found, exempt(packages=("a*",), paths=("opt/*", "usr/*"))).outcome == "pass"

    def test_a_finding_without_packages(self) -> None:
        bare = Finding(id="CVE-2026-1", severity="HIGH")
        assert judged(bare, exempt()).outcome == "pass"
        assert judged(bare, exempt(packages=("*",))).outcome == "fail"

    def test_the_second_finding_of_the_same_vulnerability_is_covered_too(self) -> None:
        same = [finding("CVE-2026-1", "HIGH", package(n)) for n in ("a", "b", "c")]
        verdict = judged(same, exempt())
        assert (verdict.outcome, len(verdict.suppressed)) == ("pass", 3)
        assert verdict.exemptions is not None and verdict.exemptions.used[0].findings == 3

    def test_findings_are_filtered_before_they_are_counted(self) -> None:
        """Ignoring vulnerabilities of several severities must not be subtracted from one severity."""
        found = [finding("CVE-1", "CRITICAL"), finding("CVE-2", "HIGH"), finding("CVE-3", "MEDIUM")]
        assert judged(found, exempt(("CVE-1", "CVE-2", "CVE-3"))).outcome == "pass"

    def test_aliases(self) -> None:
        assert judged(finding("GHSA-1", related=("CVE-2026-1",)), exempt()).outcome == "pass"

    def test_everything_in_a_named_package(self) -> None:
        entry = exempt((), packages=("linux-libc-dev",))
        assert judged(finding("CVE-9", "HIGH", package("linux-libc-dev")), entry).outcome == "pass"
        assert judged(finding("CVE-9", "HIGH", package("linux-libc-dev"), package("x")), entry).outcome == "fail"

    @pytest.mark.parametrize(
        ("scope", "outcome"),
        [
            ({"repositories": ("team/*",)}, "pass"), ({"repositories": ("other/*",)}, "fail"),
            ({"platforms": ("linux/amd64",)}, "pass"), ({"platforms": ("linux/arm64*",)}, "fail"),
        ],
    )  # fmt: skip
    def test_scope(self, scope: dict[str, Any], outcome: str) -> None:
        assert judged(finding(), exempt(**scope), platform="linux/amd64").outcome == outcome

    def test_an_unknown_platform_matches_no_pattern_of_platforms(self) -> None:
        assert judged(finding(), exempt(platforms=("linux/*",))).outcome == "fail"

    def test_suppressed_findings_stay_in_the_verdict(self) -> None:
        verdict = judged(finding(), exempt(owner="team-a"))
        hidden = verdict.suppressed[0]
        assert (hidden.finding.id, hidden.kinds, hidden.until) == ("CVE-2026-1", ("exemption",), LATER)
        assert "accepted" in hidden.by[0]
        assert "do not count" in verdict.explain()


class TestReport:
    """Used, unused, expired, expiring soon, and fixed by now; what is for another repository is none of these."""

    def test_each(self) -> None:
        entries = {
            "used": exempt("CVE-1"),
            "unused": exempt("CVE-2"),
            "expired": exempt("CVE-1", expires=dt.date(2026, 11, 24), reason="old"),
            "expiring": exempt("CVE-1", expires=dt.date(2026, 12, 9), reason="soon"),
            "elsewhere": exempt("CVE-1", repositories=("other",)),
            "fixed": exempt("CVE-4", reason="fixed"),
        }
        found = [finding("CVE-1"), finding("CVE-4", fix_available="YES")]
        told = judged(found, *entries.values()).exemptions
        assert told is not None
        assert [u.exemption for u in told.used] == [entries["used"], entries["expiring"], entries["fixed"]]
        assert told.unused == (entries["unused"],)
        assert told.expired == (entries["expired"],)
        assert told.expiring == (entries["expiring"],)
        assert told.fixed_now == (entries["fixed"],)

    def test_the_right_vulnerability_in_another_package_is_no_use(self) -> None:
        entry = exempt("CVE-1", packages=("zlib",))
        told = judged(finding("CVE-1"), entry).exemptions
        assert told is not None and (told.used, told.unused) == ((), (entry,))
        fixed = judged(finding("CVE-1", fix_available="YES"), entry).exemptions
        assert fixed is not None and fixed.fixed_now == ()

    def test_soon_is_fourteen_days(self) -> None:
        for date, soon in ((dt.date(2026, 12, 9), 1), (dt.date(2026, 12, 10), 0)):
            told = judged(finding(), exempt(expires=date)).exemptions
            assert told is not None and len(told.expiring) == soon

    def test_of_an_index_unused_means_on_no_platform(self) -> None:
        scan = ImageScan(index=True, reports=[report(finding("CVE-1")), report(finding("CVE-2"), digest=OTHER)])
        gate = Gate(count_limit("HIGH", 0))
        told = gate.judge(scan, now=NOW, exemptions=Exemptions([exempt("CVE-1"), exempt("CVE-3")])).exemptions
        assert told is not None
        assert [e.ids for e in told.unused] == [("CVE-3",)]
        assert [(u.exemption.ids, u.findings) for u in told.used] == [(("CVE-1",), 1)]

    def test_renewals(self) -> None:
        before = Exemptions([exempt("CVE-1"), exempt("CVE-2"), exempt("CVE-3")])
        after = Exemptions(
            [exempt("CVE-1", expires=dt.date(2027, 6, 1)), exempt("CVE-2"), exempt("CVE-3", expires=None)]
        )
        assert [new.ids for _, new in renewals(before, after)] == [("CVE-1",), ("CVE-3",)]


GOOD = """
version = 1
[[exemptions]]
id = ["CVE-1", "GHSA-1"]
package = "curl*"
path = "opt/*"
repository = ["team/*"]
platform = "linux/amd64"
reason = "not reachable"
owner = "team-a"
approved_by = "ciso"
created = 2026-11-01
expires = "2026-12-31"
until_fixed = true
"""


class TestFiles:
    """TOML or JSON; every problem is named with its path, and a bad date is an error, never 'for ever'."""

    def test_toml_and_json_are_the_same(self, tmp_path: Path) -> None:
        from_toml = Exemptions.parse(GOOD)
        entry = from_toml.entries[0]
        assert (entry.ids, entry.packages, entry.until_fixed, entry.expires) == (
            ("CVE-1", "GHSA-1"),
            ("curl*",),
            True,
            LATER,
        )
        assert (entry.created, entry.approved_by, entry.platforms) == (dt.date(2026, 11, 1), "ciso", ("linux/amd64",))
        as_json = json.dumps(
            {"exemptions": [{"id": ["CVE-1", "GHSA-1"], "package": "curl*", "path": "opt/*", "repository": "team/*",
              "platform": "linux/amd64", "reason": "not reachable", "owner": "team-a", "approved_by": "ciso",
              "created": "2026-11-01", "expires": "2026-12-31", "until_fixed": True}]}
        )  # fmt: skip
        (tmp_path / "a.json").write_text(as_json)
        (tmp_path / "b.toml").write_text(GOOD)
        assert Exemptions.load(tmp_path / "a.json") == from_toml
        assert len(Exemptions.load(tmp_path / "a.json", tmp_path / "b.toml")) == 2

    @pytest.mark.parametrize(
        ("line", "path"),
        [
            ('expires = "31.12.2026"', "expires"), ('expires = "2026-W52-1"', "expires"), ('expires = "2026-02-30"', "expires"), ("expires = 2026-12-31T00:00:00Z", "expires"),
            ("expires = 20261231", "expires"), ('expires = ""', "expires"), ("until_fixed = false", "expires"),
            ('expires = "never"\nreson = "x"', "reson"), ('expires = "never"\nuntil_fixed = "yes"', "until_fixed"),
            ('expires = "never"\npackage = []', "package"), ('expires = "never"\npackage = ["", "x"]', "package"),
            ('created = "2027-01-01"\nexpires = "2026-12-31"', "expires"),
        ],
    )  # fmt: skip
    def test_faults(self, line: str, path: str) -> None:
        with pytest.raises(InvalidPolicy) as caught:
            Exemptions.parse(f'[[exemptions]]\nid = "CVE-1"\nreason = "r"\n{line}\n')
        assert [p.path for p in caught.value.problems] == [f"$.exemptions[0].{path}"]

    def test_all_problems_at_once(self) -> None:
        with pytest.raises(InvalidPolicy) as caught:
            Exemptions.parse(
                'max_days = "x"\nrules = 1\n[[exemptions]]\nexpires = "x"\n[[exemptions]]\nid = "*"\nreason = " "\nexpires = "never"\n'
            )
        assert [p.path for p in caught.value.problems] == [
            "$.rules", "$.max_days", "$.exemptions[0].expires", "$.exemptions[0].reason", "$.exemptions[1].reason",
        ]  # fmt: skip

    def test_an_exemption_may_end_on_the_day_it_is_made(self) -> None:
        assert Exemptions.parse('[[exemptions]]\nid = "C"\nreason = "r"\ncreated = 2026-01-01\nexpires = 2026-01-01\n')

    @pytest.mark.parametrize(
        ("entry", "path"),
        [
            ({"reason": "r"}, "$.exemptions[0].id"), ({"reason": "r", "id": "CVE-*"}, "$.exemptions[0].id"),
            ({"reason": "r", "package": "lib*"}, "$.exemptions[0].package"),
        ],
    )  # fmt: skip
    def test_too_wide(self, entry: dict[str, Any], path: str) -> None:
        with pytest.raises(InvalidPolicy) as caught:
            Exemptions.parse({"exemptions": [{**entry, "expires": "never"}]})
        assert [p.path for p in caught.value.problems] == [path]

    @pytest.mark.parametrize(
        ("more", "problem"),
        [
            ({"expires": "2026-12-31"}, "created"), ({"expires": "2026-12-31", "created": "x"}, "created"), ({"expires": "never", "created": "2026-11-01"}, "expires"),
            ({"expires": "2027-01-31", "created": "2026-11-01"}, "expires"), ({"expires": "2027-01-30", "created": "2026-11-01"}, None),
        ],
    )  # fmt: skip
    def test_a_longest_life(self, more: dict[str, Any], problem: str | None) -> None:
        document = {"max_days": 90, "exemptions": [{"id": "CVE-1", "reason": "r", **more}]}
        if problem is None:
            assert len(Exemptions.parse(document)) == 1
            return
        with pytest.raises(InvalidPolicy) as caught:
            Exemptions.parse(document)
        assert [p.path for p in caught.value.problems] == [f"$.exemptions[0].{problem}"]

    def test_the_stricter_longest_life_counts(self) -> None:
        document = {
            "max_days": 900,
            "exemptions": [{"id": "CVE-1", "reason": "r", "created": "2026-01-01", "expires": "2026-06-01"}],
        }
        assert len(Exemptions.parse(document)) == 1
        with pytest.raises(InvalidPolicy, match="at most 30 days"):
            Exemptions.parse(document, max_days=30)

    @pytest.mark.parametrize(
        "text",
        ["[[exemptions", "{", "[]", '{"exemptions": {}}', '{"version": 2}', '{"exemptions": [], "exemptions": []}'],
    )
    def test_no_file_of_exemptions(self, text: str) -> None:
        with pytest.raises(InvalidPolicy):
            Exemptions.parse(text)

    def test_sets_pickle_also_after_use(self) -> None:
        exemptions = Exemptions.parse(GOOD)
        assert exemptions.candidates(finding("CVE-1"))
        again = pickle.loads(pickle.dumps(exemptions))
        assert again == exemptions and again.candidates(finding("CVE-1")) == exemptions.entries

    def test_the_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "bad.toml").write_text("x = 1")
        with pytest.raises(InvalidPolicy, match=r"bad\.toml"):
            Exemptions.load(tmp_path / "bad.toml")


class TestPatterns:
    """`*` stands for any characters; everything else is literal, and matching never backtracks."""

    @pytest.mark.parametrize(
        ("pattern", "text", "expected"),
        [
            ("a", "a", True), ("a", "ab", False), ("*", "", True), ("a*", "a", True), ("*a", "ba", True), ("a*a", "a", False),
            ("a*b*c", "aXbXbc", True), ("*ab*ab*", "ab", False), ("a.c", "abc", False), ("[a]*", "[a]b", True), ("**", "x", True),
        ],
    )  # fmt: skip
    def test_table(self, pattern: str, text: str, expected: bool) -> None:
        assert matches(pattern, text) is expected
