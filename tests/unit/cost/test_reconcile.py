"""The bill beside the bytes: averages of closed periods, gaps as ranges, and causes that are tried on the gap."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from ecrkit.cost.bill import Dimension
from ecrkit.cost.explorer import CostExplorer
from ecrkit.cost.prices import GB, GIB
from ecrkit.cost.reconcile import reconcile
from ecrkit.cost.storage import RepositoryStorage, StorageReport
from ecrkit.errors import InvalidInput
from ecrkit.images.byte_range import ByteRange
from tests.unit.cost.billing import END, START, Canned, group, page

NEXT = dt.date(2026, 12, 1)


def billed(*pairs, of="GB-Mo", end=END, **arguments):
    groups = [group(text, quantity=str(quantity), of=of) for text, quantity in pairs]
    return CostExplorer(Canned(page(*groups, end=end))).bill(START, end, **arguments)


def stored(low, high=None, *, archive=0, gap=None):
    high = low if high is None else high
    row = RepositoryStorage(
        repository="a", images=3, bytes=ByteRange.exactly(high), standard=ByteRange.exactly(high - archive),
        archive=ByteRange.exactly(archive), gap=gap,
    )  # fmt: skip
    whole = ByteRange(0, None) if gap else ByteRange(low, high)
    return StorageReport(repositories=(row,), bytes=whole, apart=ByteRange.exactly(high))


def compared(bill, report, **changes):
    return reconcile(bill, report, region="us-east-1", **changes)


def fitting(found):
    return [cause.name for cause in found.causes if cause.fits]


class TestAverages:
    """Storage is billed in GB-months: a whole month's quantity is the average number of GB stored."""

    def test_a_month_agrees(self):
        found = compared(billed(("TimedStorage-ByteHrs", 10)), stored(10 * GIB))
        assert (found.answer, found.billed, found.gap_low, found.gap_high) == ("agrees", 10 * GIB, 0, 0)
        assert fitting(found) == []

    def test_half_a_month_bills_half(self):
        bill = CostExplorer(Canned(page(group("TimedStorage-ByteHrs", quantity="5"), end=dt.date(2026, 10, 16))))
        found = compared(bill.bill(START, dt.date(2026, 10, 16)), stored(int(10 * GIB * 31 / 30)))
        assert found.answer == "agrees"
        assert found.billed == int(Decimal(5) * GIB * 31 / 15)

    def test_days_add_up_to_the_month(self):
        pages = [
            page(group("TimedStorage-ByteHrs", quantity=str(Decimal(10) / 31)), start=START + dt.timedelta(days=n),
                 end=START + dt.timedelta(days=n + 1), estimated=n == 30)
            for n in range(31)
        ]  # fmt: skip
        bill = CostExplorer(Canned(*pages)).bill(START, END, granularity="DAILY")
        assert compared(bill, stored(10 * GIB)).billed == pytest.approx(10 * GIB, abs=2)

    def test_an_estimated_month_has_no_average_yet(self):
        pages = [
            page(group("TimedStorage-ByteHrs", quantity="10")),
            page(group("TimedStorage-ByteHrs", quantity="3"), start=END, end=NEXT, estimated=True),
        ]
        bill = CostExplorer(Canned(*pages)).bill(START, NEXT)
        assert compared(bill, stored(10 * GIB)).billed == 10 * GIB
        only = CostExplorer(Canned(pages[1])).bill(END, NEXT)
        found = compared(only, stored(10 * GIB))
        assert (found.answer, found.billed, found.gap_low) == ("unknown", None, None)
        assert "no closed period" in found.unknown[0]
        assert "not known" in found.explain()

    def test_another_unit_is_no_answer(self):
        found = compared(billed(("TimedStorage-ByteHrs", 10), of="Bytes"), stored(10 * GIB))
        assert found.answer == "unknown"
        assert "billed in Bytes" in found.unknown[0]

    def test_an_unknown_bill_is_no_answer(self):
        bill = CostExplorer(Canned(page(), services=("x Container Registry",))).bill(START, END)
        assert compared(bill, stored(0)).answer == "unknown"

    @pytest.mark.parametrize("narrow", [{"where": {"Team": ["pay"]}}, {"regions": ["eu-west-1"]}])
    def test_a_part_of_the_bill_is_no_answer(self, narrow):
        found = compared(billed(("TimedStorage-ByteHrs", 1), **narrow), stored(10 * GIB))
        assert (found.answer, found.billed) == ("unknown", None)
        assert "only a part" in found.unknown[0]
        whole = compared(billed(("TimedStorage-ByteHrs", 10), regions=["us-east-1", "eu-west-1"]), stored(10 * GIB))
        assert whole.answer == "agrees"

    def test_the_classes_apart(self):
        bill = billed(("TimedStorage-ByteHrs", 7), ("USE1-TimedStorage-Archive-ByteHrs", 3))
        found = compared(bill, stored(10 * GIB, archive=3 * GIB))
        assert (found.billed_standard, found.billed_archive, found.billed) == (7 * GIB, 3 * GIB, 10 * GIB)
        assert found.computed_archive.exact == 3 * GIB

    def test_it_needs_usage_types(self):
        bill = CostExplorer(Canned(page(group("a", "b")))).bill(
            START, END, group_by=[Dimension("REGION"), Dimension("OPERATION")]
        )
        with pytest.raises(InvalidInput, match="usage type"):
            compared(bill, stored(0))


class TestCauses:
    def test_blob_mounting(self):
        found = compared(billed(("TimedStorage-ByteHrs", 12)), stored(10 * GIB, 20 * GIB))
        assert found.answer == "agrees"
        assert fitting(found) == ["blob mounting"]
        assert found.causes[0].bytes == 10 * GIB

    def test_another_gb(self):
        found = compared(billed(("TimedStorage-ByteHrs", 100)), stored(100 * GB))
        assert found.answer == "billed more"
        assert fitting(found) == ["another GB"]
        assert compared(billed(("TimedStorage-ByteHrs", 100)), stored(100 * GB), gb=GB).answer == "agrees"

    def test_archive_minimum(self):
        bill = billed(("TimedStorage-ByteHrs", 10), ("USE1-TimedStorage-Archive-ByteHrs", 5))
        found = compared(bill, stored(10 * GIB))
        assert fitting(found) == ["archive minimum"]
        assert next(c for c in found.causes if c.name == "archive minimum").bytes == 5 * GIB
        assert {"deleted during the month", "manifests", "other accounts", "public repositories"} <= {
            c.name for c in found.causes
        }

    def test_free_tier(self):
        found = compared(billed(("TimedStorage-ByteHrs", "1.5")), stored(2 * GIB))
        assert found.answer == "billed less"
        assert fitting(found) == ["free tier"]
        more = compared(billed(("TimedStorage-ByteHrs", "1.5")), stored(3 * GIB))
        assert fitting(more) == []
        assert "pushed during the month" in {c.name for c in more.causes}

    def test_other_and_unknown_regions(self):
        bill = billed(("TimedStorage-ByteHrs", 10), ("EU-TimedStorage-ByteHrs", 4), ("ZZ1-TimedStorage-ByteHrs", 2))
        found = compared(bill, stored(10 * GIB))
        assert found.billed == 10 * GIB
        assert {(c.name, c.bytes) for c in found.causes} == {("other Regions", 4 * GIB), ("unknown Region", 2 * GIB)}

    def test_repositories_that_could_not_be_read(self):
        found = compared(billed(("TimedStorage-ByteHrs", 10)), stored(1, gap="could not be read"))
        assert found.answer == "unknown"
        assert found.gap_low is None
        assert "repositories that could not be read" in {c.name for c in found.causes}

    def test_text_and_html(self):
        found = compared(billed(("TimedStorage-ByteHrs", 100)), stored(100 * GB))
        assert "billed more: 100.0 GiB billed, 93.1 GiB computed" in str(found)
        assert "fits: another GB" in found.explain()
        assert "another GB" in found._repr_html_()
