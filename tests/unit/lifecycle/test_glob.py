"""Tag patterns, exhaustively: every short pattern against every short tag, asked alone and in the pool."""

import itertools
import re

import pytest

from ecrkit.lifecycle._pool import Pool
from ecrkit.lifecycle.glob import compile_glob, matches


def words(letters, longest):
    return ["".join(w) for n in range(longest + 1) for w in itertools.product(letters, repeat=n)]


PATTERNS = [p for p in words("ab*", 6) if p.count("*") <= 4]
TAGS = words("ab", 5)


class TestEveryShortPattern:
    """`*` stands for any run of characters, also none; the pattern covers the whole tag (lifecycle policy parameters)."""

    def test_alone_and_in_the_pool(self):
        named = [(tag,) for tag in TAGS if tag]
        # The second image of each pair carries another tag as well: any of its tags may match.
        pool = Pool([*named, ()], list(range(len(named) + 1)), len(named) + 1)
        two = [(*n, "z") for n in named] + [("z", *n) for n in named]
        both = Pool(two, list(range(len(two))), len(two))
        for pattern in PATTERNS:
            expected = re.compile(pattern.replace("*", ".*")).fullmatch
            match = compile_glob(pattern)
            wanted = [expected(tag) is not None for tag in TAGS]
            assert [match(tag) for tag in TAGS] == wanted, pattern
            if pattern:
                hits = [bool(f) for f in pool._scan(True, pattern)]
                assert hits == wanted[1:], pattern
                other = expected("z") is not None
                assert [bool(f) for f in both._scan(True, pattern)] == [w or other for w in wanted[1:]] * 2, pattern

    def test_prefixes_in_the_pool(self):
        named = [(tag,) for tag in TAGS if tag]
        pool = Pool(named, list(range(len(named))), len(named))
        for prefix in words("ab", 3):
            assert [bool(f) for f in pool._scan(False, prefix)] == [n.startswith(prefix) for (n,) in named], prefix


@pytest.mark.parametrize(
    ("pattern", "tag", "hit"),
    [
        ("v1.?", "v1.2", False), ("v1.?", "v1.?", True), ("[ab]", "a", False), ("[ab]", "[ab]", True),
        ("V1", "v1", False), ("v.1", "vx1", False), ("prod*", "preprod", False), ("*prod*", "preprod-1", True),
        ("", "", True), ("", "a", False),
    ],
)  # fmt: skip
def test_only_the_star_is_special_and_case_matters(pattern, tag, hit):
    assert matches(pattern, tag) is hit


def test_a_hostile_tag_ends_at_once():
    """With a regular expression this takes seconds."""
    assert not matches("*a*a*a*b", "a" * 100_000)
    pool = Pool([("a" * 100_000,)], [0], 1)
    for pattern in ("*a*a*a*b", "a*b", "*a*b", "a*a*a*a*b"):
        assert pool._scan(True, pattern) == b"\0"
