"""Pictures of lifecycle policies: what is drawn is what the results say."""

from __future__ import annotations

import datetime as dt

import attrs
import matplotlib as mpl
import pytest

mpl.use("Agg")

from ecrkit.images import Inventory
from ecrkit.lifecycle import (
    FleetItem,
    archive_unpulled,
    build,
    expire_older_than,
    fleet_run,
    forecast,
    keep_last,
    templates,
    timeline,
)
from ecrkit.notebook import forecast_band, lifecycle_timeline, savings
from ecrkit.records import Image
from tests.support.manifests import CONFIG, blob, image_document, raw

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture(autouse=True)
def _closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def repository(count, name="app"):
    made = [
        raw(image_document([blob("base", 1000), blob(f"own{n}", 2**20)], config=blob(f"c{n}", 1, CONFIG)))
        for n in range(count)
    ]
    images = [Image(digest=m.digest, pushed_at=NOW - n * DAY, tags=(f"v{n}",), size=2**20) for n, m in enumerate(made)]
    return Inventory(images, repository=name).with_manifests(made)


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


class TestTimeline:
    def test_the_line_is_what_is_left_and_the_bars_what_goes(self):
        found = timeline(build(expire_older_than(5)), repository(9), now=NOW, until=NOW + 10 * DAY)
        ax = lifecycle_timeline(found)
        assert list(ax.lines[0].get_ydata()) == [9, 6, 5, 4, 3, 2, 1, 0, 0]
        assert sorted(bar.get_height() for bar in ax.patches) == [-3, -1, -1, -1, -1, -1, -1]
        assert labels(ax) == ["images left", "expire that day"]
        assert ax.get_title() == "app: what goes if nobody pushes"

    def test_archived_images_are_bars_of_their_own(self):
        found = timeline(build(archive_unpulled(5)), repository(9), now=NOW, until=NOW + 3 * DAY)
        ax = lifecycle_timeline(found)
        assert labels(ax) == ["images left", "archived that day"]
        assert list(ax.lines[0].get_ydata()) == [9, 9]

    def test_what_expires_and_what_is_archived_on_one_day_hide_nothing_of_each_other(self):
        found = timeline(build(expire_older_than(5)), repository(9), now=NOW, until=NOW + DAY)
        first, *others = found.departures
        ax = lifecycle_timeline(attrs.evolve(found, departures=(attrs.evolve(first, action="transition"), *others)))
        expired, archived = (group.patches for group in ax.containers)
        assert [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in (expired[0], archived[0])] == [
            (0, -2),
            (-2, -3),
        ]

    def test_a_few_bars_carry_their_numbers(self):
        ax = lifecycle_timeline(timeline(build(expire_older_than(5)), repository(9), now=NOW, until=NOW + 10 * DAY))
        assert [text.get_text() for text in ax.texts] == ["3", "1", "1", "1", "1", "1", "1"]

    def test_it_draws_on_the_axes_it_is_given(self):
        import matplotlib.pyplot as plt

        _, given = plt.subplots()
        found = timeline(build(keep_last(1)), repository(2), now=NOW, until=NOW + DAY)
        assert lifecycle_timeline(found, given) is given


class TestForecast:
    def test_expected_numbers_and_band(self):
        found = forecast(None, repository(29), now=NOW, days=14)
        ax = forecast_band(found, limit=40)
        assert list(ax.lines[0].get_ydata()) == [w.images.expected for w in found.weeks]
        assert labels(ax) == ["80% of futures", "expected", "limit"]
        assert ax.get_ylim()[0] == 0

    def test_bytes_in_a_unit_that_suits(self):
        found = forecast(None, repository(29), now=NOW, days=14)
        ax = forecast_band(found, "bytes")
        assert ax.get_ylabel() == "stored (MiB)"
        assert list(ax.lines[0].get_ydata()) == [w.bytes.expected / 2**20 for w in found.weeks]

    def test_bytes_that_are_not_known(self):
        unread = Inventory(repository(29).images, repository="app")
        with pytest.raises(ValueError, match="does not know the bytes"):
            forecast_band(forecast(None, unread, now=NOW, days=7), "bytes")


class TestSavings:
    def run(self, count=20):
        items = [
            FleetItem(repository=f"app{n:02d}", inventory=repository(n + 2), tags={"Team": "ab"[n % 2]})
            for n in range(count)
        ]
        return fleet_run(build(keep_last(1)), items, now=NOW, group="Team")

    def test_the_greatest_first_and_the_rest_as_one(self):
        run = self.run()
        ax = savings(run, top=3)
        names = [text.get_text() for text in ax.get_yticklabels()]
        assert names == ["app19", "app18", "app17", "17 others"]
        assert ax.yaxis_inverted()
        assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(run.freed.low / 2**20)
        assert not list(ax.lines)
        assert ax.get_xlabel().startswith("freed (")
        assert ax.get_title() == f"{run.expired} of {run.images} images would expire"

    def test_by_group(self):
        ax = savings(self.run(), by="group")
        assert [text.get_text() for text in ax.get_yticklabels()] == ["b", "a"]

    def test_a_range_is_a_thin_line(self):
        unread = FleetItem(repository="x", inventory=templates.trunk(keep=4).example(NOW))
        ax = savings(fleet_run(build(keep_last(1, prefixes="main-")), [unread], now=NOW))
        assert len(ax.lines) == 1
        assert "0 B to" in ax.texts[0].get_text()

    def test_nothing_to_show(self):
        ax = savings(fleet_run(build(keep_last(1)), [], now=NOW))
        assert ax.get_title() == "0 of 0 images would expire"
