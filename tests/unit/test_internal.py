"""The shared helpers: one JSON form for all records, tables for people, times."""

from __future__ import annotations

import datetime as dt
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import attrs
import pytest

from ecrkit._internal.executors import map_chunks
from ecrkit._internal.jsonio import Record, canonical_json, jsonable
from ecrkit._internal.tables import frame, html_table, size, text_table
from ecrkit._internal.times import iso, require_aware
from ecrkit.errors import MissingExtra

CET = dt.timezone(dt.timedelta(hours=1))


@attrs.frozen(kw_only=True)
class Inner(Record):
    money: Decimal = Decimal("0.10")


@attrs.frozen(kw_only=True)
class Outer(Record):
    when: dt.datetime = dt.datetime(2026, 1, 1, 1, tzinfo=CET)
    day: dt.date = dt.date(2026, 1, 2)
    lasts: dt.timedelta = dt.timedelta(minutes=1)
    inner: Inner = attrs.field(factory=Inner)
    names: frozenset[str] = frozenset({"b", "a"})
    table: dict[int, tuple[int, ...]] = attrs.field(factory=lambda: {1: (2, 3)})
    nothing: None = None
    _hidden: int = 7


class TestJsonForm:
    """Times as ISO text in UTC, money as decimal text, durations in seconds, sets sorted."""

    def test_every_kind(self) -> None:
        assert Outer().to_dict() == {
            "when": "2026-01-01T00:00:00Z",
            "day": "2026-01-02",
            "lasts": 60.0,
            "inner": {"money": "0.10"},
            "names": ["a", "b"],
            "table": {"1": [2, 3]},
            "nothing": None,
        }

    def test_json_reads_back(self) -> None:
        assert json.loads(Outer().to_json()) == Outer().to_dict()
        assert "\n  " in Outer().to_json(indent=2)

    def test_text_outside_ascii_stays_readable(self) -> None:
        assert canonical_json({"n": "Zo\u00eb"}) == '{"n":"Zo\u00eb"}'

    def test_a_record_may_define_its_own_form(self) -> None:
        class Own(Inner):
            def to_dict(self) -> dict[str, object]:
                return {"own": 1}

        assert jsonable([Own()]) == [{"own": 1}]

    def test_canonical_is_the_same_for_any_order(self) -> None:
        assert canonical_json({"b": 1, "a": [1, 2]}) == canonical_json({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'

    def test_what_has_no_form_is_refused(self) -> None:
        with pytest.raises(TypeError, match="no JSON form for object"):
            jsonable({"a": [object()]})


class TestIso:
    def test_utc_with_z(self) -> None:
        assert iso(dt.datetime(2026, 1, 1, 1, tzinfo=CET)) == "2026-01-01T00:00:00Z"

    def test_microseconds_only_when_there_are_any(self) -> None:
        assert iso(dt.datetime(2026, 1, 1, 0, 0, 0, 5, dt.UTC)) == "2026-01-01T00:00:00.000005Z"


class TestRequireAware:
    def test_in_utc(self) -> None:
        assert require_aware(dt.datetime(2026, 1, 1, 1, tzinfo=CET), "now").tzinfo is dt.UTC

    def test_a_naive_time_is_refused_by_name(self) -> None:
        with pytest.raises(ValueError, match="now has no time zone"):
            require_aware(dt.datetime(2026, 1, 1), "now")


class TestHtmlTable:
    """Escaped, bounded, and says how much it leaves out."""

    def test_cells_are_escaped(self) -> None:
        table = html_table(["<h>"], [["<script>alert(1)</script>"], [None]], caption="a & b")
        assert "<script>" not in table and "&lt;script&gt;" in table
        assert "<caption>a &amp; b</caption>" in table and "<th>&lt;h&gt;</th>" in table and "<td></td>" in table

    def test_rows_past_the_limit_are_counted(self) -> None:
        table = html_table(["a", "b"], [[n, n] for n in range(25)])
        assert table.count("<tr>") == 22 and '<td colspan="2">and 5 more</td>' in table

    def test_exactly_the_limit_has_no_remainder(self) -> None:
        assert "more" not in html_table(["a"], [[n] for n in range(20)])


class TestTextTable:
    def test_columns_are_aligned(self) -> None:
        text = text_table(["name", "n"], [["a", 1], ["long name", 1000], [None, 5]], right=frozenset({1}))
        assert text.splitlines() == [
            "name          n",
            "---------  ----",
            "a             1",
            "long name  1000",
            "              5",
        ]


class TestSize:
    @pytest.mark.parametrize(
        ("count", "text"),
        [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (-2048, "-2.0 KiB"),
            (5 * 1024**3, "5.0 GiB"),
            (2048 * 1024**4, "2048.0 TiB"),
        ],
    )
    def test_binary_units(self, count: int, text: str) -> None:
        assert size(count) == text


class TestFrame:
    def test_columns_become_a_frame(self) -> None:
        assert frame({"a": [1, 2]}).to_dict("list") == {"a": [1, 2]}

    def test_without_pandas_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pandas", None)
        with pytest.raises(MissingExtra, match=r"ecrkit\[notebook\]"):
            frame({"a": [1]})


class TestMapChunks:
    """The same work on many things, in order, never far ahead of what is asked for."""

    @pytest.mark.parametrize("size", [1, 3, 64])
    def test_in_order_with_and_without_an_executor(self, size):
        with ThreadPoolExecutor(2) as pool:
            for executor in (None, pool):
                found = [n for part in map_chunks(list, range(100), executor=executor, size=size) for n in part]
                assert found == list(range(100))

    def test_no_item_is_taken_long_before_it_is_needed(self):
        taken = []
        items = (taken.append(n) or n for n in range(1000))
        with ThreadPoolExecutor(2) as pool:
            walk = map_chunks(sum, items, executor=pool, size=2)
            next(walk)
            assert len(taken) <= 40
            walk.close()
        assert len(taken) <= 40

    def test_a_fault_of_the_work_reaches_the_caller(self):
        with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError):
            list(map_chunks(lambda chunk: 1 // 0, range(10), executor=pool, size=1))
