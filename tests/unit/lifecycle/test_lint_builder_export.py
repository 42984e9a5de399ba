"""Advice on a policy against its repository, policies from parts, and runs written out."""

import csv
import io
import json

import pytest

from ecrkit.lifecycle import (
    LifecyclePolicyError,
    archive_unpulled,
    build,
    delete_archived,
    expire_older_than,
    expire_untagged,
    keep_last,
    lint,
    protect,
    simulate,
)
from tests.support.tools import require_module


def advice(kit, images, *selections, children=None, action="expire"):
    inventory = kit.inventory(images, children=children or {})
    run = simulate(kit.policy(*selections, action=action), inventory, now=kit.now)
    return {a.code: a for a in lint(run)}


class TestLint:
    """One test for each code; field reports of policies that did not do what was meant."""

    def test_and_trap(self, kit):
        images = [kit.image("a", "dev-1", days=5), kit.image("b", "prod-1", days=5), kit.image("c", "dev-2", "prod-2")]
        found = advice(kit, images, kit.selection("tagged", 5, tagPrefixList=["dev-", "prod-"]))["and-trap"]
        assert "selects 1 image;" in found.message
        assert "as alternatives the entries select 3" in found.message
        assert "2 rules" in found.suggestion
        assert str(found).startswith("rule 1: ")
        patterns = advice(kit, images, kit.selection("tagged", 5, tagPatternList=["dev*", "x"]))["and-trap"]
        assert "select 2" in patterns.message

    def test_selects_nothing_and_unselected(self, kit):
        images = [kit.image("a", "0f3c", days=5)]
        found = advice(kit, images, kit.selection("tagged", 5, tagPrefixList=["SNAPSHOT-"]))
        assert list(found) == ["selects-nothing", "unselected-images"]
        assert found["unselected-images"].digests == (kit.digest("a"),)

    def test_followers_are_not_called_unselected(self, kit):
        images = [kit.image("a", days=5), kit.image("s", "x", days=5, subject_digest=kit.digest("a"))]
        assert advice(kit, images, kit.selection("untagged", 2, kind="sinceImagePushed")) == {}

    def test_shadowed(self, kit):
        images = [kit.image("a", "v1", days=5)]
        rules = [kit.selection("tagged", 5, tagPrefixList=[p]) for p in ("v", "v1")]
        assert "earlier rule: 1" in advice(kit, images, *rules)["shadowed"].message

    @pytest.mark.parametrize(("days", "near"), [(5.9, False), (6.0, True), (8.0, True), (8.1, False)])
    def test_near_threshold(self, kit, days, near):
        found = advice(kit, [kit.image("a", days=days)], kit.selection(number=7, kind="sinceImagePushed"))
        assert ("near-threshold" in found) is near

    @pytest.mark.parametrize(("days", "recent"), [(1.9, True), (2.0, False)])
    def test_recent(self, kit, days, recent):
        images = [kit.image("a", days=days), kit.image("b", days=0)]
        assert ("recent-image-goes" in advice(kit, images, kit.selection())) is recent

    def test_tie(self, kit):
        assert advice(kit, [kit.image("a", days=3), kit.image("b", days=3)], kit.selection())["tie"].rule_priority == 1

    def test_children(self, kit):
        images = [kit.image("c", days=9), kit.image("i", "v1", days=9, manifest_media_type=kit.index)]
        children = {kit.digest("i"): [kit.digest("c")]}
        found = advice(kit, images, kit.selection("untagged"), children=children)
        assert found["eats-index-children"].digests == (kit.digest("c"),)
        assert "opaque-indexes" not in found
        assert "opaque-indexes" in advice(kit, images, kit.selection("untagged"))

    def test_an_untagged_rule_eats_the_referrers_of_an_image_that_stays(self, kit):
        old = kit.image("old", "v1", days=99)
        sbom = kit.image("sbom", days=3, subject_digest=kit.digest("old"))
        gone = kit.image("gone", days=99)
        follows = kit.image("follows", days=99, subject_digest=kit.digest("gone"))
        rule = kit.selection("untagged", 30, kind="sinceImagePushed")
        found = advice(kit, [old, sbom, gone, follows], rule)["eats-referrers"]
        assert found.digests == (kit.digest("sbom"),)
        assert found.rule_priority == 1
        assert "1 is a referrer" in found.message

    def test_referrers_that_another_rule_takes_first_or_that_an_index_holds_are_not_eaten(self, kit):
        old = kit.image("old", "v1", days=99)
        sbom = kit.image("sbom", "s", days=99, subject_digest=kit.digest("old"))
        every = kit.selection("any", 30, kind="sinceImagePushed")
        keep = [kit.selection("tagged", 9, tagPrefixList=[p]) for p in ("v", "s")]
        assert "eats-referrers" not in advice(kit, [old, sbom], *keep, every)
        assert advice(kit, [old, sbom], keep[0], every)["eats-referrers"].rule_priority == 2
        assert "eats-referrers" not in advice(kit, [old, kit.image("x", "s", days=1)], keep[0], every)
        young = kit.image("sbom", "s", days=9, subject_digest=kit.digest("old"))
        assert "eats-referrers" not in advice(kit, [old, young], keep[0], every)
        loose = kit.image("sbom", days=99, subject_digest=kit.digest("old"))
        index = kit.image("i", "v2", days=1, manifest_media_type=kit.index)
        children = {kit.digest("i"): [kit.digest("sbom")]}
        untagged = kit.selection("untagged", 30, kind="sinceImagePushed")
        assert "eats-referrers" not in advice(kit, [old, loose, index], keep[0], untagged, children=children)

    def test_a_referrer_of_an_image_that_goes_is_not_eaten(self, kit):
        old = kit.image("old", days=99)
        sbom = kit.image("sbom", days=99, subject_digest=kit.digest("old"))
        nested = kit.image("sig", days=3, subject_digest=kit.digest("sbom"))
        found = advice(kit, [old, sbom, nested], kit.selection("untagged", 30, kind="sinceImagePushed"))
        assert "eats-referrers" not in found

    def test_referrers_are_not_said_to_stay_for_ever(self, kit):
        images = [kit.image("a", "x", days=5), kit.image("s", "y", days=5, subject_digest=kit.digest("a"))]
        found = advice(kit, images, kit.selection("untagged", 2, kind="sinceImagePushed"))["unselected-images"]
        assert found.digests == (kit.digest("a"),)
        assert found.message == (
            "no rule selects 1 of 2 images (not counting 1 referrer, to go with the subject); it stays for ever"
        )
        alone = [kit.image("s", "y", days=5, subject_digest=kit.digest("nowhere"))]
        found = advice(kit, alone, kit.selection("untagged", 2, kind="sinceImagePushed"))["unselected-images"]
        assert found.message == "no rule selects 1 of 1 image; it stays for ever"

    def test_never_pulled(self, kit):
        images = [kit.image("a", days=9), kit.image("b", days=9, last_pulled_at=kit.now)]
        rule = kit.selection(number=5, kind="sinceImagePulled")
        found = advice(kit, images, rule, action="transition")["never-pulled"]
        assert "of the images it selects (2) 1 was never pulled (some)" in found.message
        assert found.digests == (kit.digest("a"),)

    def test_uncertain(self, kit):
        images = [kit.image("a", status="ACTIVATING")]
        rule = kit.selection(number=90, kind="sinceImageTransitioned", storageClass="archive")
        assert "uncertain" in advice(kit, images, rule)


class TestBuilder:
    """Prefixes meant as or become rules of their own; any goes last; the result is validated."""

    def test_everything(self):
        policy = build(
            keep_last(100),
            protect(prefixes="prod-", patterns=["v*"]),
            archive_unpulled(90, prefixes=["x-", "y-"]),
            expire_untagged(after_days=7, description="tidy"),
            expire_older_than(30, patterns="pr-*"),
            delete_archived(after_days=90),
        )
        assert [str(r) for r in policy] == [
            "rule 1: expire images tagged prod-* beyond the newest 1000000",
            "rule 2: expire images tagged v* beyond the newest 1000000",
            "rule 3: archive images tagged x-* not pulled for 90 days",
            "rule 4: archive images tagged y-* not pulled for 90 days",
            "rule 5: expire untagged images pushed more than 7 days ago",
            "rule 6: expire images tagged pr-* pushed more than 30 days ago",
            "rule 7: expire all images beyond the newest 100",
            "rule 8: expire archived all images archived more than 90 days ago",
        ]
        assert policy.rule(5).description == "tidy"

    def test_protect_shields(self, kit):
        images = [kit.image("a", "prod", days=99), kit.image("b", "x", days=99)]
        policy = build(expire_older_than(30), protect(patterns="prod"))
        run = simulate(policy, kit.inventory(images), now=kit.now)
        assert run.expired == (kit.digest("b"),)
        assert run.outcome(kit.digest("a")).reason == "protected-by-rule"

    @pytest.mark.parametrize(
        "parts",
        [
            (), (protect(),), (keep_last(0),), (delete_archived(after_days=89),), (keep_last(1), keep_last(2)),
            (expire_untagged(after_days=1), expire_untagged(after_days=2)),
            (keep_last(1, prefixes="a"), expire_older_than(1, prefixes="a")), (keep_last(1, patterns="*****"),),
        ],
    )  # fmt: skip
    def test_refused(self, parts):
        with pytest.raises(LifecyclePolicyError):
            build(*parts)


class TestExport:
    """Text, JSON, CSV, columns and HTML hold the same images; hostile tags stay text."""

    def run(self, kit, count=2):
        images = [kit.image("bad", '=cmd|"x"', "<b>", days=9, size=100)]
        images += [kit.image(f"x{n}", days=1 + n / 100, size=7) for n in range(count)]
        return simulate(kit.policy(kit.selection()), kit.inventory(images, repository="app"), now=kit.now)

    def test_columns_and_csv(self, kit):
        run = self.run(kit)
        columns = run.to_columns()
        assert {len(c) for c in columns.values()} == {3}
        assert columns["action"] == ["expire", "expire", "keep"]
        rows = list(csv.DictReader(io.StringIO(run.to_csv(), newline="")))
        assert [r["digest"] for r in rows] == columns["digest"]
        assert rows[0]["tags"] == '\'=cmd|"x" <b>'
        assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row.values())

    @pytest.mark.parametrize("tag", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx"])
    def test_formulas(self, kit, tag):
        run = simulate(kit.policy(kit.selection()), kit.inventory([kit.image("a", tag)]), now=kit.now)
        (row,) = csv.DictReader(io.StringIO(run.to_csv(), newline=""))
        assert row["tags"] == "'" + tag

    def test_json(self, kit):
        told = json.loads(self.run(kit).to_json())
        assert told["summary"]["expired"] == 2
        assert told["outcomes"][0]["reason"] == "beyond-count"
        assert (told["naive_freed"], told["freed"]["high"]) == (107, 107)
        assert told["freed"]["low"] == 0

    def test_text(self, kit):
        text = self.run(kit, 5).to_text(limit=2)
        assert "app at 2026-11-25T12:00:00Z: of 6 images 5 expire" in text
        assert "and 3 more" in text
        assert "add up to 128 B" in text
        nothing = simulate(kit.policy(kit.selection()), kit.inventory([]), now=kit.now)
        assert nothing.to_text().count("\n") == 1

    def test_html(self, kit):
        page = self.run(kit, 30)._repr_html_()
        assert page.count("<tr>") == 22
        assert "and 10 more" in page
        assert "<b>" not in page

    def test_frame(self, kit):
        require_module("pandas", package="pandas")
        assert list(self.run(kit).to_pandas()["action"]) == ["expire", "expire", "keep"]

    def test_repr(self, kit):
        assert repr(self.run(kit)).startswith("<Run of 1 rule on 3 images: 2 expire")
