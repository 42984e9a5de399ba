"""Tag conventions: parsed, formatted, ordered, checked; and what the patterns of ECR take."""

from __future__ import annotations

import datetime as dt
import io
import json
import re
import time

import pytest

from ecrkit._internal.globs import matches
from ecrkit.errors import InvalidInput
from ecrkit.images.__main__ import main
from ecrkit.images.conventions import STANDARD_CONVENTIONS, TagConvention, TagConventions, branch_slug
from ecrkit.images.inventory import Inventory
from ecrkit.images.semver import VersionConstraint, VersionTag
from ecrkit.images.tag_report import tag_report
from ecrkit.records import Image

SHA = "4f2c1a9"


class TestParsing:
    """The five usual conventions, and a team's own."""

    @pytest.mark.parametrize(
        ("tag", "convention", "values"),
        [
            ("prod-1.4.0", "production", {"version": "1.4.0"}),
            ("prod-1.4.0-rc.1", "production", {"version": "1.4.0-rc.1"}),
            ("1.4.0", "release", {"version": "1.4.0"}),
            (f"dev-a-b.c_d-{SHA}", "development", {"branch": "a-b.c_d", "sha": SHA}),
            (f"dev-{'abcdef1'}-{'a' * 40}", "development", {"branch": "abcdef1", "sha": "a" * 40}),
            (f"pr-17-{SHA}", "pull-request", {"n": "17", "sha": SHA}),
            ("staging-20260131", "staging", {"timestamp": "20260131"}),
            ("staging-20260131-140509", "staging", {"timestamp": "20260131-140509"}),
            ("staging-20260131T140509Z", "staging", {"timestamp": "20260131T140509Z"}),
        ],
    )
    def test_follows(self, tag: str, convention: str, values: dict[str, str]) -> None:
        parsed = STANDARD_CONVENTIONS.parse(tag)
        assert parsed is not None
        assert (parsed.convention, dict(parsed.values)) == (convention, values)

    @pytest.mark.parametrize(
        "tag",
        [
            "prod-1.4", "prod-01.4.0", "prod-v1.4.0", "PROD-1.4.0", "prod-1.4.0-", "prod-1.4.0-01", "v1.4.0", "latest",
            "dev-login-4f2c1a", f"dev--{SHA}", f"dev-Login-{SHA}", "dev-login-" + "a" * 41, f"pr-017-{SHA}", f"pr--{SHA}",
            "staging-20260230", "staging-20261301", "staging-2026", "staging-20260131-250000", "prod-1.4.0\n", "",
            "prod-1.4.0-" + "a" * 118,
        ],
    )  # fmt: skip
    def test_does_not_follow(self, tag: str) -> None:
        assert STANDARD_CONVENTIONS.parse(tag) is None

    def test_own_fields_with_names(self) -> None:
        own = TagConvention(name="own", template="{service:text}-{env:text}-{build}")
        parsed = own.parse("api-blue-12")
        assert parsed is not None
        assert dict(parsed.values) == {"service": "api", "env": "blue", "build": "12"}
        assert (parsed.group, parsed.key) == ("own:api:blue", (12,))

    @pytest.mark.parametrize(
        ("template", "said"),
        [
            ("", "1 to 128"), ("prod", "has no field"), ("{verison}", "did you mean {version}"), ("{sha}{n}", "text between"),
            ("{n}-{n}", "used twice"), ("{branch}-{a:branch}-{b:branch}", "more than two"), ("-{n}", "does not begin"),
            ("a b-{n}", "neither a field nor text"), ("prod-{version", "neither a field nor text"),
        ],
    )  # fmt: skip
    def test_faulty_templates_are_refused_with_the_reason(self, template: str, said: str) -> None:
        with pytest.raises(InvalidInput, match=re.escape(said)):
            TagConvention(name="x", template=template)


class TestOrder:
    """Within a group the key orders; without an order in the tag there is none."""

    def test_versions_by_number_not_by_text(self) -> None:
        assert STANDARD_CONVENTIONS.newest(["1.9.0", "1.10.0", "1.10.0-rc.1", "prod-0.1.0"]) == {
            "production": "prod-0.1.0",
            "release": "1.10.0",
        }

    def test_times_in_different_forms(self) -> None:
        tags = ["staging-20260131", "staging-20260131T000001Z", "staging-20260130-235959"]
        assert STANDARD_CONVENTIONS.newest(tags) == {"staging": "staging-20260131T000001Z"}

    def test_branches_and_pull_requests_are_lines_without_order(self) -> None:
        assert STANDARD_CONVENTIONS.group_and_key(f"dev-login-{SHA}") == ("development:login", None)
        assert STANDARD_CONVENTIONS.group_and_key(f"pr-17-{SHA}") == ("pull-request:17", None)
        assert STANDARD_CONVENTIONS.group_and_key("latest") is None
        assert STANDARD_CONVENTIONS.newest([f"dev-login-{SHA}"]) == {}


class TestFormatting:
    """What comes out is a legal tag that reads back."""

    def test_reads_back(self) -> None:
        dev = STANDARD_CONVENTIONS["development"]
        made = dev.format(branch="refs/heads/feature/ÄB c", sha=SHA)
        assert made == f"dev-feature-b-c-{SHA}"
        assert dev.parse(made) is not None

    def test_a_long_branch_is_cut_to_128_with_a_mark(self) -> None:
        dev = STANDARD_CONVENTIONS["development"]
        made = [dev.format(branch="x" * 200 + end, sha="a" * 40) for end in "ab"]
        assert [len(m) for m in made] == [128, 128]
        assert made[0] != made[1]

    def test_every_fault_is_told(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            STANDARD_CONVENTIONS["pull-request"].format(n="x", commit="y")
        assert [p.path for p in caught.value.problems] == ["commit", "sha"]
        with pytest.raises(InvalidInput, match="semantic version"):
            STANDARD_CONVENTIONS["production"].format(version="1.4")

    @pytest.mark.parametrize(
        ("branch", "slug"),
        [("main", "main"), ("a//b", "a-b"), ("..a..", "a"), ("A_B", "a_b"), ("a.-b", "a-b"), ("dependabot/npm/x@1.2", "dependabot-npm-x-1.2")],
    )  # fmt: skip
    def test_branches_put_right(self, branch: str, slug: str) -> None:
        assert branch_slug(branch) == slug

    def test_nothing_left_is_a_mark(self) -> None:
        assert re.fullmatch("[0-9a-f]{6}", branch_slug("///"))
        assert branch_slug("a/b", unique=True) != branch_slug("a-b", unique=True) == "a-b"


class TestChecking:
    """A tag that follows no convention is told why, with the tag that was probably meant."""

    @pytest.mark.parametrize(
        ("tag", "meant"),
        [
            ("Prod-v1.4", "prod-1.4.0"), ("prod_1.2.3", "prod-1.2.3"), ("prod-1.2.3+build", "prod-1.2.3"), ("v1.2.3", "1.2.3"),
            ("dev-Feature/X-ABCDEF1", "dev-feature-x-abcdef1"), ("pr-#12-abcdef1", "pr-12-abcdef1"),
            ("staging-2026-01-31T14:05:09Z", "staging-20260131-140509"),
        ],
    )  # fmt: skip
    def test_suggestions_follow_a_convention(self, tag: str, meant: str) -> None:
        found = STANDARD_CONVENTIONS.check(tag)
        assert (found.ok, found.suggestion) == (False, meant)
        assert STANDARD_CONVENTIONS.parse(meant) is not None

    def test_a_template_where_no_tag_can_be_guessed(self) -> None:
        assert "staging-{timestamp}, such as" in STANDARD_CONVENTIONS.check("staging-20261301").explain()

    def test_a_tag_that_can_be_put_and_never_pulled(self) -> None:
        assert "can never be pulled" in STANDARD_CONVENTIONS.check("x" * 129).explain()

    def test_ambiguous_tags_are_said(self) -> None:
        both = TagConventions.of("{branch}-{sha}", "dev-{branch}-{sha}")
        assert both.check(f"dev-a-{SHA}").ambiguous == ("dev-{branch}-{sha}",)

    def test_hostile_tags_cost_no_time(self) -> None:
        began = time.process_time()
        for evil in ("dev-" + "a-" * 100 + "!", "1." * 100, "0" * 4000, "prod-1.1.1-" + "-" * 200 + "!", "-" * 256):
            for conventions in (STANDARD_CONVENTIONS, TagConventions.of("{branch}-{version}-{n}-{sha}-{build}")):
                conventions.check(evil)
        assert time.process_time() - began < 2  # quadratic matching would need minutes


class TestPatterns:
    """ECR has only `*`, at most four in a pattern; what a pattern takes beyond its convention is proved."""

    @pytest.mark.parametrize(
        ("template", "pattern"),
        [
            ("prod-{version}", "prod-*.*.*"), ("dev-{branch}-{sha}", "dev-*-*"), ("staging-{timestamp}", "staging-*"),
            ("{version}-{branch}-{sha}", "*.*-*-*"), ("{n}.{build}", "*.*"),
        ],
    )  # fmt: skip
    def test_patterns_match_every_tag(self, template: str, pattern: str) -> None:
        convention = TagConvention(name="x", template=template)
        assert convention.pattern == pattern
        assert matches(convention.pattern, convention.example)

    def test_overlaps_have_a_witness(self) -> None:
        found = STANDARD_CONVENTIONS.overlaps
        assert [(o.convention, o.other) for o in found] == [("release", "production"), ("release", "development")]
        for overlap in found:
            parsed = STANDARD_CONVENTIONS[overlap.other].parse(overlap.witness)
            assert parsed is not None
            assert matches(overlap.pattern, overlap.witness)
        assert "'*.*.*' of release also takes 'prod-0.0.0'" in found[0].explain()

    def test_a_prefix_that_begins_another(self) -> None:
        found = TagConventions.of("prod-{version}", "prod-hotfix-{version}").overlaps
        assert [(o.pattern, o.witness) for o in found] == [("prod-*.*.*", "prod-hotfix-0.0.0")]

    def test_none_where_none_is(self) -> None:
        assert TagConventions.of("prod-{version}", "pr-{n}-{sha}").overlaps == ()


class TestSemanticVersions:
    """Semantic Versioning 2.0.0, point 11: the order of its own example."""

    def test_order_of_the_specification(self) -> None:
        order = "1.0.0-alpha 1.0.0-alpha.1 1.0.0-alpha.beta 1.0.0-beta 1.0.0-beta.2 1.0.0-beta.11 1.0.0-rc.1 1.0.0"
        keys = [v.key for t in order.split() if (v := VersionTag.parse(t))]
        assert len(keys) == 8
        assert keys == sorted(keys)
        assert len(set(keys)) == 8

    @pytest.mark.parametrize("text", ["01.0.0", "1.0.0-01", "1..0", "", "a", "1.0.0-", "1.2.3.4"])
    def test_no_versions(self, text: str) -> None:
        assert VersionTag.parse(text) is None


class TestConstraints:
    """The table of the Masterminds/semver README: carets, tildes, wildcards, hyphens, pre-releases."""

    @pytest.mark.parametrize(
        ("constraint", "inside", "outside"),
        [
            ("^1.2.3", "1.2.3 1.9.9", "2.0.0 1.2.2 1.3.0-rc.1"), ("^0.2.3", "0.2.3 0.2.9", "0.3.0"), ("^0.0.3", "0.0.3", "0.0.4"),
            ("^0.0", "0.0.9", "0.1.0"), ("^0", "0.9.0", "1.0.0"), ("^1.x", "1.0.0 1.9.0", "2.0.0"), ("~1.2.3", "1.2.9", "1.3.0 1.2.2"),
            ("~1.2", "1.2.0", "1.3.0"), ("~1", "1.9.0", "2.0.0"), ("1.2.x", "1.2.9", "1.3.0"), ("1.2", "1.2.7", "1.3.0"),
            ("*", "0.0.1 9.0.0", "9.0.0-rc.1"), ("", "1.0.0", "latest"), (">=1.2 <2", "1.2.0 1.9.0", "2.0.0 1.1.9"),
            (">=1.2, <2", "1.2.0", "2.0.0"), ("1.2 - 1.4.5", "1.2.0 1.4.5", "1.4.6 1.1.0"), ("1.x || >=3", "1.0.0 3.0.0", "2.0.0"),
            (">1.2", "1.3.0", "1.2.9"), ("<=1.2", "1.2.9", "1.3.0"), ("!=1.2.3", "1.2.4", "1.2.3"), ("^1.2.3-0", "1.3.0-rc.1 1.2.3", "2.0.0-rc.1"),
            ("=1.2.3", "v1.2.3 1.2.3", "1.2.4"),
        ],
    )  # fmt: skip
    def test_table(self, constraint: str, inside: str, outside: str) -> None:
        wanted = VersionConstraint.parse(constraint)
        assert [t for t in inside.split() if not wanted.allows(t)] == []
        assert [t for t in outside.split() if wanted.allows(t)] == []

    @pytest.mark.parametrize("text", ["latest", "^", ">=a", "1.2.3.4", "^1.2.3-", "x" * 300])
    def test_no_constraints(self, text: str) -> None:
        with pytest.raises(InvalidInput):
            VersionConstraint.parse(text)

    def test_newest(self) -> None:
        tags = ["1.9.0", "1.10.0", "1.10.1-rc.1", "2.0.0", "latest"]
        assert VersionConstraint.parse("^1").newest(tags) == "1.10.0"
        assert VersionConstraint.parse("^3").newest(tags) is None


class TestReport:
    """A report over repositories is a gate: nothing to look at is no pass."""

    def test_counts_newest_and_faults(self) -> None:
        report = tag_report(STANDARD_CONVENTIONS, {"a": ["1.9.0", "1.10.0", "prod-v1.0.0"], "b": [f"pr-1-{SHA}"]})
        first, second = report.repositories
        assert (first.counts, first.newest) == ({"release": 2}, {"release": "1.10.0"})
        assert [c.suggestion for c in first.faulty] == ["prod-1.0.0"]
        assert (first.ok, second.ok, report.ok, report.exit_code) == (False, True, False, 1)
        assert report.to_columns()["tag"] == ["prod-v1.0.0"]

    def test_nothing_to_look_at_is_no_pass(self) -> None:
        assert (tag_report(STANDARD_CONVENTIONS, {}).ok, tag_report(STANDARD_CONVENTIONS, {}).exit_code) == (False, 3)
        assert tag_report(STANDARD_CONVENTIONS, {"a": []}).exit_code == 3
        assert tag_report(STANDARD_CONVENTIONS, {"a": ["1.0.0"]}).exit_code == 0

    def test_inventories_leave_out_what_tools_tag_and_count_what_nothing_holds(self) -> None:
        index, child, alone, signature = (f"sha256:{c * 64}" for c in "abcd")
        at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        images = [
            Image(digest=index, pushed_at=at, tags=("1.0.0",)), Image(digest=child, pushed_at=at),
            Image(digest=alone, pushed_at=at), Image(digest=signature, pushed_at=at, tags=(f"sha256-{'a' * 64}.sig",)),
        ]  # fmt: skip
        (one,) = tag_report(
            STANDARD_CONVENTIONS, [Inventory(images, children={index: [child]}, repository="a")]
        ).repositories
        assert (one.counts, one.faulty, one.untagged) == ({"release": 1}, (), 1)


class TestCommand:
    """`python -m ecrkit.images` is a CI job's gate."""

    def test_exit_codes(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        assert main(["prod-1.4.0", "1.0.0"]) == 0
        assert main(["prod-1.4.0", "latest"]) == 1
        assert main(["x", "--convention", "{nothing}"]) == 2
        monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
        assert main([]) == 2
        monkeypatch.setattr("sys.stdin", io.StringIO("prod-1.4.0\nv1\n"))
        capsys.readouterr()
        assert main(["--json"]) == 1
        assert [item["ok"] for item in json.loads(capsys.readouterr().out)] == [True, False]
