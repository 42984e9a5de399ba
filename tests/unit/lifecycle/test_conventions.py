"""Rules from conventions take the tags of their convention, and no other convention's."""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory
from ecrkit.images.conventions import STANDARD_CONVENTIONS, TagConventions
from ecrkit.lifecycle import build, simulate
from ecrkit.lifecycle.conventions import Keep, convention_parts, pattern_strays
from ecrkit.records import Image

NOW = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
TAGS = st.one_of(
    st.from_regex(r"\A(prod-)?[1-9]\.[0-9]\.[0-9](-rc\.[1-9])?\Z"),
    st.from_regex(r"\Adev-[a-c]{1,3}(\.[0-9]){0,2}-[0-9a-f]{7}\Z"),
    st.from_regex(r"\Apr-[1-9]-[0-9a-f]{7}\Z"),
    st.from_regex(r"\Astaging-2026010[1-9]\Z"),
)


def image(tag: str, number: int) -> Image:
    return Image(
        digest="sha256:" + hashlib.sha256(tag.encode()).hexdigest(), tags=(tag,),
        pushed_at=NOW - dt.timedelta(days=100, minutes=number), size=1,
    )  # fmt: skip


class TestRules:
    """What is said of one convention never happens to another (evaluation: the first rule that selects decides)."""

    @settings(max_examples=100, deadline=None)
    @given(
        tags=st.lists(TAGS, max_size=12, unique=True), chosen=st.sampled_from([c.name for c in STANDARD_CONVENTIONS])
    )
    def test_only_the_convention_named_loses_images(self, tags: list[str], chosen: str) -> None:
        policy = build(*convention_parts(STANDARD_CONVENTIONS, {chosen: Keep(days=14)}))
        run = simulate(policy, Inventory([image(t, n) for n, t in enumerate(tags)]), now=NOW)
        gone = {tag for i in run.images if i.digest in run.expired for tag in i.tags}
        assert gone == {t for t in tags if (p := STANDARD_CONVENTIONS.parse(t)) and p.convention == chosen}

    def test_everything_of_an_unnamed_convention_is_kept_where_a_pattern_would_take_it(self) -> None:
        parts = convention_parts(STANDARD_CONVENTIONS, {"release": Keep(last=1)})
        assert [p.patterns for p in parts] == [("prod-*.*.*",), ("dev-*-*",), ("*.*.*",)]
        assert [p.count_number for p in parts] == [1_000_000, 1_000_000, 1]

    def test_patterns_that_take_each_other_are_refused_with_tags(self) -> None:
        both = TagConventions.of("{n}-{version}", "{version}-{sha}")
        with pytest.raises(InvalidInput, match="no order of rules") as caught:
            convention_parts(both, {c.name: Keep(last=1) for c in both})
        assert all("also takes" in p.message for p in caught.value.problems)

    def test_unknown_names_and_empty_wishes(self) -> None:
        with pytest.raises(InvalidInput, match="no convention of these"):
            convention_parts(STANDARD_CONVENTIONS, {"prod": Keep(last=1)})
        for wrong in ({}, {"last": 1, "days": 1}, {"last": 0}):
            with pytest.raises(InvalidInput, match="give one of"):
                Keep(**wrong)  # type: ignore[arg-type]  # wrong on purpose

    def test_strays(self) -> None:
        assert pattern_strays(STANDARD_CONVENTIONS, ["staging-x", "1.2.3", "latest"]) == {"staging-x": "staging"}
