"""Tests for policies: each expectation can pass, fail, find nothing to look at, and be unsure."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory
from ecrkit.lifecycle import (
    ExpectationFailed,
    archive_unpulled,
    build,
    delete_archived,
    expect,
    expire_older_than,
    expire_untagged,
    keep_last,
)
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(n):
    return "sha256:" + f"{n:064x}"


def image(n, *tags, days=0.0, **more):
    return Image(digest=digest(n), tags=tags, pushed_at=NOW - dt.timedelta(days=days), **more)


def verdict(policy, inventory, expectation):
    report = expect.check(policy, Inventory(inventory, repository="team/app"), [expectation], now=NOW)
    [result] = report.results
    assert report.ok == (result.verdict == "passed")
    return result.verdict


RELEASES = [image(n, f"v2.{n}", days=n) for n in range(5)]
KEEP_THREE = build(keep_last(3, prefixes="v2."))


class TestKeeps:
    """Images with a matching tag stay: all of them, or the newest so many."""

    def test_all(self):
        assert verdict(KEEP_THREE, RELEASES[:3], expect.keeps("v2.*")) == "passed"
        assert verdict(KEEP_THREE, RELEASES, expect.keeps("v2.*")) == "failed"

    def test_the_newest(self):
        assert verdict(KEEP_THREE, RELEASES, expect.keeps("v2.*", at_least=3)) == "passed"
        assert verdict(KEEP_THREE, RELEASES, expect.keeps("v2.*", at_least=4)) == "failed"

    def test_fewer_than_asked_must_all_stay(self):
        assert verdict(KEEP_THREE, RELEASES[:2], expect.keeps("v2.*", at_least=3)) == "passed"

    def test_nothing_matches(self):
        assert verdict(KEEP_THREE, RELEASES, expect.keeps("v3.*")) == "untested"

    def test_an_image_that_is_archived_does_not_stay(self):
        assert verdict(build(archive_unpulled(1)), RELEASES, expect.keeps("v2.4")) == "failed"

    def test_one_that_is_archived_already_is_not_looked_at(self):
        archived = image(1, "v2.1", status="ARCHIVED", last_archived_at=NOW)
        assert verdict(KEEP_THREE, [archived], expect.keeps("v2.*")) == "untested"

    def test_a_pattern_is_ecrs_and_not_fnmatch(self):
        assert verdict(KEEP_THREE, RELEASES, expect.keeps("v2.?")) == "untested"

    def test_one_is_the_least(self):
        report = expect.check(
            KEEP_THREE, Inventory(RELEASES), [expect.keeps("v2.*", at_least=1), expect.keeps("v2.4")], now=NOW
        )
        assert [r.why.partition(":")[0] for r in report.results] == ["1 image stays", "1 of 1 goes"]

    def test_zero_is_no_expectation(self):
        with pytest.raises(ValueError, match="1 or more"):
            expect.keeps("v*", at_least=0)

    def test_it_is_unsure_while_an_index_is_unread(self):
        held = [image(9, "multi", manifest_media_type=INDEX), image(1, "v2.1", days=3)]
        assert verdict(build(expire_older_than(1, prefixes="v2.")), held, expect.keeps("v2.*")) == "unknown"


class TestKeepsYoungerThan:
    """Images pushed or restored within so many days stay."""

    def test_by_age(self):
        policy = build(expire_older_than(2))
        assert verdict(policy, RELEASES, expect.keeps_younger_than(2)) == "passed"
        assert verdict(policy, RELEASES, expect.keeps_younger_than(3)) == "failed"

    def test_untagged_ones_on_request(self):
        untagged, policy = [image(1, days=2), image(2, "v", days=1)], build(expire_untagged(after_days=1))
        assert verdict(policy, untagged, expect.keeps_younger_than(5)) == "passed"
        assert verdict(policy, untagged, expect.keeps_younger_than(5, untagged=True)) == "failed"

    def test_a_restore_makes_an_image_young(self):
        restored = image(1, "v", days=100, last_activated_at=NOW - dt.timedelta(days=1))
        assert verdict(build(expire_older_than(2)), [restored], expect.keeps_younger_than(2)) == "passed"

    def test_none_is_young(self):
        assert verdict(KEEP_THREE, RELEASES[3:], expect.keeps_younger_than(1)) == "untested"

    def test_more_days_than_there_are(self):
        assert verdict(KEEP_THREE, RELEASES, expect.keeps_younger_than(10**9)) == "failed"


class TestNeverExpires:
    """Images in use are neither expired nor archived, nor what their indexes reference."""

    def test_by_digest_and_reference(self):
        assert verdict(KEEP_THREE, RELEASES, expect.never_expires([digest(0), "v2.1"])) == "passed"
        assert verdict(KEEP_THREE, RELEASES, expect.never_expires([digest(4)])) == "failed"

    def test_the_children_of_an_index(self):
        both = Inventory(
            [image(9, "v9", manifest_media_type=INDEX), image(1, days=9)], children={digest(9): [digest(1)]}
        )
        report = expect.check(build(expire_untagged(after_days=3)), both, [expect.never_expires(["v9"])], now=NOW)
        assert [r.why for r in report.results] == ["2 images stay"]

    def test_what_cannot_be_found_is_unknown(self):
        assert verdict(KEEP_THREE, RELEASES, expect.never_expires([digest(77)])) == "unknown"
        assert verdict(KEEP_THREE, RELEASES, expect.never_expires([digest(4), digest(77)])) == "failed"

    def test_another_repositorys_image_is_left_out(self):
        other = f"123456789012.dkr.ecr.us-east-1.amazonaws.com/other@{digest(4)}"
        assert verdict(KEEP_THREE, RELEASES, expect.never_expires([other])) == "untested"

    def test_an_archived_image_of_unknown_age_is_unknown(self):
        archived = [image(1, "v", status="ARCHIVED")]
        policy = build(delete_archived(after_days=90))
        assert verdict(policy, archived, expect.never_expires([digest(1)])) == "unknown"


class TestExpires:
    """Every image older than that goes."""

    def test_by_pattern(self):
        policy = build(expire_older_than(2, prefixes="v2."))
        assert verdict(policy, RELEASES, expect.expires("v2.*", older_than=2)) == "passed"
        assert verdict(policy, RELEASES, expect.expires("v2.*", older_than=1)) == "failed"

    def test_none_is_old_enough(self):
        assert verdict(KEEP_THREE, RELEASES, expect.expires("v2.*", older_than=4)) == "untested"

    def test_untagged_images_but_not_what_hangs_on_others(self):
        held = [
            image(9, "v9", manifest_media_type=INDEX), image(1, days=9), image(2, days=9, subject_digest=digest(9)),
            image(3, days=9),
        ]  # fmt: skip
        both = Inventory(held, children={digest(9): [digest(1)]})
        policy = build(expire_untagged(after_days=3))
        report = expect.check(policy, both, [expect.expires(None, older_than=3)], now=NOW)
        assert [r.why for r in report.results] == ["1 image goes"]

    def test_archived_is_not_expired(self):
        assert verdict(build(archive_unpulled(1)), RELEASES, expect.expires("v2.*", older_than=1)) == "failed"

    def test_it_is_unsure_while_an_index_is_unread(self):
        held = [image(9, "multi", manifest_media_type=INDEX), image(1, "v2.1", days=3)]
        policy = build(expire_older_than(1, prefixes="v2."))
        assert verdict(policy, held, expect.expires("v2.*", older_than=1)) == "unknown"


class TestArchives:
    """Every image not pulled for that long is archived."""

    def test_pulls_and_pushes(self):
        pulled = image(1, "v1", days=50, last_pulled_at=NOW - dt.timedelta(days=1))
        never = image(2, "v2", days=50)
        policy = build(archive_unpulled(30))
        assert verdict(policy, [pulled, never], expect.archives("v*", unpulled_for=30)) == "passed"
        assert verdict(policy, [pulled, never], expect.archives("v*", unpulled_for=0)) == "failed"
        assert verdict(policy, [pulled], expect.archives("v*", unpulled_for=30)) == "untested"


class TestRemovesAtMost:
    """A brake: no more than so many images, or such a share, go."""

    def test_images_and_share(self):
        assert verdict(KEEP_THREE, RELEASES, expect.removes_at_most(images=2)) == "passed"
        assert verdict(KEEP_THREE, RELEASES, expect.removes_at_most(images=1)) == "failed"
        assert verdict(KEEP_THREE, RELEASES, expect.removes_at_most(share=0.4)) == "passed"
        assert verdict(KEEP_THREE, RELEASES, expect.removes_at_most(share=0.39)) == "failed"
        assert verdict(KEEP_THREE, [], expect.removes_at_most(share=0.39)) == "untested"

    def test_referrers_that_follow_count(self):
        signature = image(7, subject_digest=digest(4))
        assert verdict(KEEP_THREE, [*RELEASES, signature], expect.removes_at_most(images=2)) == "failed"

    @pytest.mark.parametrize("options", [{}, {"images": 1, "share": 0.1}, {"images": -1}, {"share": 1.5}])
    def test_what_is_no_limit(self, options):
        with pytest.raises(ValueError, match="give images"):
            expect.removes_at_most(**options)


class TestTheReport:
    """All expectations are tried, and a failure says all that did not pass."""

    def test_require(self):
        report = expect.check(
            KEEP_THREE, Inventory(RELEASES), [expect.keeps("v2.*"), expect.keeps("x"), expect.keeps("v2.0")], now=NOW
        )
        assert [r.verdict for r in report.results] == ["failed", "untested", "passed"]
        with pytest.raises(ExpectationFailed) as caught:
            report.require()
        assert isinstance(caught.value, AssertionError)
        assert "FAILED keeps" in str(caught.value)
        assert "UNTESTED keeps" in str(caught.value)
        assert report.results[0].digests == (digest(3), digest(4))

    def test_require_is_silent_when_all_is_well(self):
        expect.check(KEEP_THREE, Inventory(RELEASES), [expect.keeps("v2.0")], now=NOW).require()

    def test_no_expectation_is_no_failure(self):
        assert expect.check(KEEP_THREE, Inventory(RELEASES), [], now=NOW).ok


class TestFromAFile:
    """A JSON file says the same; every slip is told, with its path."""

    @pytest.mark.parametrize(
        ("item", "text"),
        [
            ({"keeps": "v2.*", "at_least": 10}, 'keeps "v2.*" at_least 10'),
            ({"keeps_younger_than": 7, "untagged": True}, 'keeps_younger_than 7 "*" untagged too'),
            ({"never_expires": [digest(1)]}, "never_expires 1 image"),
            ({"expires": None, "older_than": 14}, "expires untagged older_than 14"),
            ({"archives": "v*", "unpulled_for": 90}, 'archives "v*" unpulled_for 90'),
            ({"removes_at_most": {"share": 0.5}}, "removes_at_most share 0.5"),
            ({"removes_at_most": {"images": 0}}, "removes_at_most images 0"),
        ],
    )
    def test_each_form(self, item, text):
        assert expect.from_dict(item).text == text
        report = expect.check(KEEP_THREE, Inventory(RELEASES), [item], now=NOW)
        assert report.results[0].expectation == text

    @pytest.mark.parametrize(
        ("item", "told"),
        [
            (3, "$: must be an object"),
            ({}, "$: names no expectation"),
            ({"keeps": "a", "expires": "b"}, "$: names more than one: keeps, expires"),
            ({"keeps": 3}, "$.keeps: must be a tag pattern"),
            ({"keeps": "a", "atleast": 3}, "$.atleast: is not an option of keeps, which takes only at_least"),
            ({"keeps": "a", "at_least": True}, "$.at_least: must be a whole number of 1 or more"),
            ({"expires": "a"}, "$.older_than: is missing"),
            ({"expires": "a", "older_than": -1}, "$.older_than: must be a whole number of days"),
            ({"never_expires": "a"}, "$.never_expires: must be a list"),
            ({"never_expires": [], "x": 1}, "$.x: is not an option of never_expires, which takes nothing else"),
            ({"removes_at_most": {"share": 2}}, "$.removes_at_most: must be an object with either"),
            ({"removes_at_most": {"share": 0.1, "images": 1}}, "$.removes_at_most: must be an object with either"),
            ({"removes_at_most": {"share": True}}, "$.removes_at_most: must be an object with either"),
            ({"archives": "a", "unpulled_for": 1.5}, "$.unpulled_for: must be a whole number of days"),
            ({"keeps_younger_than": 1, "untagged": 1}, "$.untagged: must be true or false"),
        ],
    )
    def test_slips(self, item, told):
        with pytest.raises(InvalidInput) as caught:
            expect.from_dict(item)
        assert told in str(caught.value)

    def test_all_slips_of_a_list_are_told(self):
        with pytest.raises(InvalidInput) as caught:
            expect.check(KEEP_THREE, Inventory([]), [{"keeps": 1}, expect.keeps("v"), {"x": 1}], now=NOW)
        assert [p.path for p in caught.value.problems] == ["$[0].keeps", "$[2]"]
