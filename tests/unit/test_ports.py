"""Listings: lazy, walked anew each time, never endless. The machine's clock satisfies the port."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit._internal.clock import SystemClock
from ecrkit.errors import AwsCallFailed
from ecrkit.ports import Clock, Listing


class Book:
    """Pages by token, counting what was fetched."""

    def __init__(self, pages: dict[str | None, tuple[list[str], str | None]]) -> None:
        self.pages = pages
        self.asked: list[str | None] = []

    def __call__(self, token: str | None) -> tuple[list[str], str | None]:
        self.asked.append(token)
        return self.pages[token]


def three() -> Book:
    """Return three pages, the middle one empty."""
    return Book({None: (["a"], "1"), "1": ([], "2"), "2": (["b", "c"], None)})


class TestListing:
    """Iterate for records, `.pages()` for pages, `.all()` for a tuple; each starts a new walk."""

    def test_records_of_all_pages(self) -> None:
        assert Listing(three()).all() == ("a", "b", "c")

    def test_an_empty_page_is_not_the_last(self) -> None:
        assert list(Listing(three()).pages()) == [["a"], [], ["b", "c"]]

    def test_nothing_is_fetched_before_it_is_asked_for(self) -> None:
        book = three()
        walk = iter(Listing(book))
        assert book.asked == []
        assert next(walk) == "a"
        assert book.asked == [None]

    def test_each_walk_starts_anew(self) -> None:
        book = three()
        listing = Listing(book)
        assert list(listing) == list(listing)
        assert book.asked == [None, "1", "2"] * 2

    def test_an_empty_token_ends_the_walk(self) -> None:
        assert Listing(Book({None: (["a"], "")})).all() == ("a",)

    def test_a_repeated_token_is_an_error_and_not_a_loop(self) -> None:
        listing = Listing(Book({None: (["a"], "1"), "1": (["b"], "2"), "2": (["c"], "1")}))
        got = []
        with pytest.raises(AwsCallFailed, match="repeats a page token") as caught:
            got.extend(listing)
        assert caught.value.code == "RepeatedPageToken"
        walk, seen = iter(listing), []
        with pytest.raises(AwsCallFailed):
            seen.extend(iter(lambda: next(walk), None))


class TestSystemClock:
    """The machine's clock is aware, monotonic, and a Clock."""

    def test_it_is_a_clock(self) -> None:
        assert isinstance(SystemClock(), Clock)

    def test_now_is_utc(self) -> None:
        assert SystemClock().now().utcoffset() == dt.timedelta(0)

    def test_monotonic_never_goes_back(self) -> None:
        clock = SystemClock()
        assert clock.monotonic() <= clock.monotonic()
