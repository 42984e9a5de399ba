"""Pictures of stored bytes and bills: what is drawn is what the reports say, and nothing is lost or covered."""

from __future__ import annotations

import builtins
import datetime as dt
import io
from itertools import pairwise

import matplotlib as mpl
import pytest

mpl.use("Agg")

from matplotlib.text import Text

from ecrkit.cost.attribution import attribute, by_prefix
from ecrkit.cost.explorer import CostExplorer
from ecrkit.cost.storage import RepositoryStorage, StorageReport
from ecrkit.cost.trend import trend
from ecrkit.errors import InvalidInput, MissingExtra
from ecrkit.images import Inventory
from ecrkit.images.byte_range import ByteRange
from ecrkit.notebook import bill_bars, growth_lines, layer_sharing, progress_bar, storage_bars, storage_treemap
from ecrkit.notebook._treemap import squares
from ecrkit.notebook.storage import _spread
from ecrkit.records import Image, Progress
from tests.support.manifests import CONFIG, blob, image_document, raw
from tests.unit.cost.billing import END, START, Canned, active, group, page

T = dt.datetime(2026, 8, 3, tzinfo=dt.UTC)
WEEK = dt.timedelta(weeks=1)
GIB = 2**30


@pytest.fixture(autouse=True)
def _closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def report(*sizes):
    rows = tuple(
        RepositoryStorage(repository=name, bytes=found if isinstance(found, ByteRange) else ByteRange.exactly(found))
        for name, found in sizes
    )
    total = rows[0].bytes
    for row in rows[1:]:
        total += row.bytes
    return StorageReport(repositories=rows, bytes=total, apart=total)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def overlapping(ax):
    ax.figure.canvas.draw()
    # An annotation has a line to what it tells of, which may touch others.
    boxes = [Text.get_window_extent(text) for text in ax.texts if text.get_text()]
    return [(a, b) for n, a in enumerate(boxes) for b in boxes[:n] if a.overlaps(b)]


class TestBars:
    def test_each_repository_and_the_rest(self):
        ax = storage_bars(report(*((f"r{n}", (n + 1) * GIB) for n in range(10_000))), top=3)
        assert [bar.get_width() * 2**50 for bar in ax.patches[:3]] == [(10_000 - n) * GIB for n in range(3)]
        assert sum(bar.get_width() for bar in ax.patches) * 2**50 == pytest.approx(sum(range(10_001)) * GIB)
        assert ticks(ax.yaxis) == ["r9999", "r9998", "r9997", "9997 others"]
        assert ax.get_xlabel() == "stored (PiB)"
        assert not overlapping(ax)

    def test_ranges(self):
        ax = storage_bars(report(("a", ByteRange(GIB, 2 * GIB)), ("b", ByteRange(GIB, None)), ("c", GIB)))
        assert texts(ax) == ["1.0 GiB to 2.0 GiB", "at least 1.0 GiB", "1.0 GiB"]
        assert list(ax.lines[0].get_xdata()) == [1.0, 2.0]

    def test_owners(self):
        made = raw(image_document([blob("a", 1000)], config=blob("c", 24, CONFIG)))
        image = Image(digest=made.digest, pushed_at=T, size=1024)
        found = {n: Inventory([image], repository=n).with_manifests([made]) for n in ("pay/api", "pay/web", "tool")}
        ax = storage_bars(attribute(found, by_prefix()))
        assert ticks(ax.yaxis) == ["pay", "(nobody known)"]
        assert texts(ax) == ["2.0 KiB", "1.0 KiB"]

    def test_long_names_keep_both_ends(self):
        ax = storage_bars(report(("payments/" + "x" * 80 + "-api", 5)))
        (told,) = ticks(ax.yaxis)
        assert told.startswith("payments/…")
        assert told.endswith("-api")
        assert len(told) == 32

    def test_nothing_stored(self):
        assert storage_bars(report(("a", 0))).get_xlim()[1] > 0


class TestTreemap:
    def test_areas_are_bytes(self):
        sizes = [6, 5, 3, 2, 2, 1, 1]
        boxes = squares(sizes, 0, 0, 10, 4)
        assert [w * h for _, _, w, h in boxes] == pytest.approx([n * 2 for n in sizes])
        assert all(x >= -1e-9 and x + w <= 10 + 1e-9 and y + h <= 4 + 1e-9 for x, y, w, h in boxes)
        for n, (x, y, w, h) in enumerate(boxes):
            for ox, oy, ow, oh in boxes[:n]:
                apart = x >= ox + ow - 1e-9 or ox >= x + w - 1e-9 or y >= oy + oh - 1e-9 or oy >= y + h - 1e-9
                assert apart

    def test_nothing_has_no_boxes(self):
        assert squares([], 0, 0, 1, 1) == squares([0, 0], 0, 0, 1, 1) == []
        assert storage_treemap(report(("a", 0))).get_legend() is None

    def test_owners_by_name_and_by_tag(self):
        found = report(("pay/api", 3 * GIB), ("shop/web", 2 * GIB), ("tool", GIB))
        assert [t.get_text() for t in storage_treemap(found).get_legend().get_texts()] == [
            "pay  3.0 GiB", "shop  2.0 GiB", "(no owner)  1.0 GiB"
        ]  # fmt: skip
        ax = storage_treemap(found, owners={"pay/api": "one", "tool": "one"})
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["one  4.0 GiB", "(no owner)  2.0 GiB"]

    def test_names_stand_level_where_they_fit(self):
        ax = storage_treemap(report(*[(f"pay/{name}", n * GIB) for name, n in (("api", 30), ("web", 29), ("job", 8))]))
        assert {t.get_text().partition("\n")[0]: t.get_rotation() for t in ax.texts} == {
            "pay/api": 0, "pay/web": 0, "pay/job": 0,
        }  # fmt: skip
        slim = storage_treemap(report(("pay/a-long-service-name", 9 * GIB), ("pay/another-long-name", GIB)))
        assert [t.get_rotation() for t in slim.texts] == [0, 90]

    def test_ten_thousand_repositories(self):
        sizes = [(f"team{n % 20}/service-{n}", (n * 7919 % 10_007 + 1) * 2**20) for n in range(10_000)]
        ax = storage_treemap(report(*sizes), top=30)
        drawn = [p for p in ax.patches if p.get_fill()]
        assert len(drawn) == 30 + 20
        area = sum(p.get_width() * p.get_height() for p in drawn)
        assert area == pytest.approx(160 * 90)
        assert not overlapping(ax)
        assert [t.get_text().partition("  ")[0] for t in ax.get_legend().get_texts()][-1] == "13 smaller owners"


class TestGrowth:
    def test_lines_and_labels(self):
        series = {f"r{n}": [(T + w * WEEK, (n + w) * GIB) for w in range(4)] for n in range(1, 12)}
        ax = growth_lines(series, top=3)
        assert list(ax.lines[0].get_ydata()) == [11, 12, 13, 14]
        assert list(ax.lines[3].get_ydata()) == [sum(n + w for n in range(1, 9)) for w in range(4)]
        assert {text.split("  ")[0] for text in texts(ax)} == {"r11", "r10", "r9", "8 others"}
        assert not overlapping(ax)

    def test_labels_of_equal_lines_do_not_cover_each_other(self):
        ax = growth_lines({f"r{n}": [(T, GIB), (T + WEEK, GIB)] for n in range(6)})
        assert len(ax.texts) == 6
        assert not overlapping(ax)

    def test_a_missing_value_is_no_zero(self):
        series = {"a": [(T, GIB)], "b": [(T, GIB), (T + WEEK, GIB)], "c": [(T + WEEK, 5 * GIB)]}
        ax = growth_lines(series, top=1)
        assert list(ax.lines[0].get_ydata()) == [5]
        assert list(ax.lines[1].get_ydata()) == [2]

    def test_a_trend_by_repository_and_by_team(self):
        found = trend(
            [(T + n * WEEK, report(("a", GIB), ("b", (n + 1) * GIB), ("c", GIB))) for n in range(3)],
            team={"a": "one", "b": "one"},
        )
        assert [list(line.get_ydata()) for line in growth_lines(found, top=1).lines] == [[1, 2, 3], [2, 2, 2]]
        assert [list(line.get_ydata()) for line in growth_lines(found, by="team").lines] == [[2, 3, 4]]

    def test_places_keep_their_order_and_distance(self):
        found = _spread([0.0, 0.1, 0.2, 5.0, 5.0], 1.0)
        assert found == sorted(found)
        assert all(b - a >= 1 - 1e-9 for a, b in pairwise(found))

    def test_nothing(self):
        assert growth_lines({}).get_title(loc="left") == "stored bytes over time"


def shared(name, *bases):
    made = [
        raw(image_document([blob(b, 2**20) for b in [*bases, f"own {name}"]], config=blob(f"config {name}", 2, CONFIG)))
    ]
    return Inventory([Image(digest=m.digest, pushed_at=T) for m in made], repository=name).with_manifests(made)


class TestSharing:
    def test_bytes_of_each_pair(self):
        ax = layer_sharing([shared("a", "x", "y"), shared("b", "x", "y"), shared("c", "x", *map(str, range(8)))])
        assert ticks(ax.yaxis) == ["a", "b", "c"]
        assert texts(ax) == ["3.0M", "2.0M", "1.0M", "2.0M", "3.0M", "1.0M", "1.0M", "1.0M", "10M"]

    def test_what_is_not_drawn_is_told(self):
        lonely = Inventory([Image(digest="sha256:" + "1" * 64, pushed_at=T)], repository="unread")
        ax = layer_sharing([*(shared(f"r{n:02}", "x") for n in range(15)), lonely], top=4)
        assert len(ticks(ax.yaxis)) == 4
        title = ax.get_title(loc="left")
        for told in ("11 more repositories share less", "1 repository shares nothing", "1 unread image"):
            assert told in title

    def test_nothing_shared(self):
        found = layer_sharing([shared("a", "x"), shared("b", "y")])
        assert "2 repositories share nothing" in found.get_title(loc="left")


class TestBill:
    def bill(self, *pages, end=END, **more):
        return CostExplorer(Canned(*pages, tags=[active("Team")], **more)).bill(START, end, group_by=["Team"])

    def test_stacks(self):
        entries = [
            group(f"Team${t}", "TimedStorage-ByteHrs", amount=a) for t, a in (("pay", "3"), ("", "2"), ("b", "1"))
        ]
        later = page(*entries, start=END, end=dt.date(2026, 12, 1), estimated=True)
        ax = bill_bars(self.bill(page(*entries), later, end=dt.date(2026, 12, 1)))
        assert [t.get_text() for t in ax.get_legend().get_texts()] == ["(untagged)", "b", "pay"]
        assert texts(ax) == ["6.00", "6.00\nestimated"]
        assert sum(bar.get_height() for bar in ax.patches) == 12
        assert [bool(bar.get_hatch()) for bar in ax.patches] == [False, True] * 3
        assert ticks(ax.xaxis) == ["Oct 2026", "Nov 2026"]

    def test_the_others_are_added_up(self):
        entries = [group(f"Team$t{n}", "TimedStorage-ByteHrs", amount=str(n + 1)) for n in range(20)]
        ax = bill_bars(self.bill(page(*entries)))
        assert len(ax.get_legend().get_texts()) == 7
        assert sum(bar.get_height() for bar in ax.patches) == sum(range(21))

    def test_a_team_that_is_called_as_the_rest_stays_itself(self):
        teams = [("others", 50), ("(untagged)", 40), ("", 30), *((f"t{n}", 10) for n in range(9))]
        entries = [group(f"Team${team}", "TimedStorage-ByteHrs", amount=str(count)) for team, count in teams]
        ax = bill_bars(self.bill(page(*entries)))
        heights = [(bars.get_label(), bars[0].get_height()) for bars in ax.containers]
        assert heights[:2] + heights[-2:] == [("others", 50), ("(untagged)", 40), ("5 others", 50), ("(untagged)", 30)]

    def test_an_unknown_bill_is_not_drawn_as_zero(self):
        ax = bill_bars(self.bill(page(), services=("Other Container Registry",)))
        assert not ax.patches
        assert "not known" in texts(ax)[0]

    def test_a_key_that_is_not_there(self):
        with pytest.raises(InvalidInput):
            bill_bars(self.bill(page()), "Owner")


class TestProgress:
    def test_a_bar_for_each_kind_of_work(self):
        shown = io.StringIO()
        with progress_bar(file=shown) as bar:
            for n in range(3):
                bar(Progress(done=n + 1, total=3, what="repositories"))
                bar(Progress(done=n + 1, what="images"))
            assert (bar._bars["repositories"].n, bar._bars["images"].n) == (3, 3)
            bar(Progress(done=1, total=9, what="repositories"))
            assert (bar._bars["repositories"].n, bar._bars["repositories"].total) == (1, 9)
        assert bar._bars == {}
        assert "repositories: 100%" in shown.getvalue()

    @pytest.mark.parametrize(
        ("package", "use"),
        [("tqdm", progress_bar), ("matplotlib", lambda: storage_bars(report(("a", 1))))],
    )
    def test_an_absent_extra_is_named(self, package, use, monkeypatch):
        real = builtins.__import__

        def without(name, *arguments, **more):
            if name.startswith(package):
                raise ImportError(name)
            return real(name, *arguments, **more)

        with monkeypatch.context() as patched, pytest.raises(MissingExtra, match=r"ecrkit\[notebook\]"):
            patched.setattr(builtins, "__import__", without)
            use()
