from __future__ import annotations

import datetime as dt

import pytest

from ecrkit.cost.money import Money
from ecrkit.cost.prices import prices_for
from ecrkit.cost.savings import archive_or_keep, savings, total_savings
from ecrkit.errors import InvalidInput
from tests.unit.cost.conftest import NOW, days, entry, inventory, made

GIB, TB = 2**30, 2**40
US = prices_for("us-east-1")
BASE = ("base", 10 * GIB)
A = made("a", BASE, ("a", 1 * GIB), config=GIB)
B = made("b", BASE, ("b", 2 * GIB), config=GIB)
C = made("c", ("c", 4 * GIB), config=GIB)


def usd(text: str) -> Money:
    return Money(text, "USD")


def held(*details: dict, read=(A, B, C)):
    return inventory("app", list(read), list(details))


class TestRemoving:
    def test_only_what_no_other_image_uses_is_saved(self) -> None:
        both = held(entry(A), entry(B))
        assert savings(both, prices=US, now=NOW, removed=[A.digest]).per_month.exact == usd("0.20")
        assert savings(both, prices=US, now=NOW, removed=[A.digest, B.digest]).per_month.exact == usd("1.50")

    def test_an_unread_manifest_makes_a_range(self) -> None:
        both = held(entry(A), entry(B, imageSizeInBytes=13 * GIB), read=(A,))
        found = savings(both, prices=US, now=NOW, removed=[A.digest])
        assert (found.per_month.low, found.per_month.high) == (usd("0"), usd("1.20"))
        assert found.per_month.reasons

    def test_archived_images_before_90_days_cost_the_rest(self) -> None:
        """Archived images are billed for at least 90 days (Amazon ECR pricing; containers-roadmap#921)."""
        cold = {"imageStatus": "ARCHIVED"}
        one = held(entry(C, **cold, lastArchivedAt=days(30)))
        found = savings(one, prices=US, now=NOW, removed=[C.digest], already_archived=5 * GIB)
        assert found.per_month.exact == usd("0.50")
        assert found.once.exact == usd("1.00")  # 5 GB for two more months
        assert any("90 days" in w for w in found.warnings)
        late = held(entry(C, **cold, lastArchivedAt=days(91)))
        assert savings(late, prices=US, now=NOW, removed=[C.digest]).once.exact == usd("0")
        unknown = savings(held(entry(C, **cold)), prices=US, now=NOW, removed=[C.digest])
        assert (unknown.once.low, unknown.once.high) == (usd("0"), usd("1.50"))

    def test_a_shared_archived_layer_waits_for_the_longest(self) -> None:
        cold = {"imageStatus": "ARCHIVED"}
        two = held(entry(A, **cold, lastArchivedAt=days(60)), entry(B, **cold, lastArchivedAt=days(30)))
        found = savings(two, prices=US, now=NOW, removed=[A.digest, B.digest])
        assert found == savings(two, prices=US, now=NOW, removed=[B.digest, A.digest])
        assert found.once.exact == usd("0.20") + usd("2.60")  # 2 GB one month, 13 GB two

    def test_archived_bytes_come_off_the_top_of_the_tiers(self) -> None:
        one = held(entry(C, imageStatus="ARCHIVED", lastArchivedAt=days(100)))
        found = savings(one, prices=US, now=NOW, removed=[C.digest], already_archived=150 * TB + 2 * GIB)
        assert found.per_month.exact == usd("0.14") + usd("0.30")

    def test_removed_active_and_archived_share_a_layer(self) -> None:
        mixed = held(entry(A), entry(B, imageStatus="ARCHIVED", lastArchivedAt=days(100)))
        found = savings(mixed, prices=US, now=NOW, removed=[A.digest, B.digest], already_archived=200 * TB)
        assert found.per_month.low == usd("0.20") + usd("0.07") * 3 + usd("0.07") * 10
        assert found.per_month.high == usd("0.20") + usd("0.07") * 3 + usd("1.00")


class TestArchiving:
    """Archive storage costs what standard storage does below 153,600 GB, $0.07 above (Amazon ECR pricing)."""

    def test_below_150_tb_it_saves_nothing_and_says_so(self) -> None:
        found = savings(held(entry(C)), prices=US, now=NOW, archived=[C.digest])
        assert found.per_month.exact == usd("0")
        assert found.archived.exact == 5 * GIB
        assert "saves nothing" in found.warnings[0]
        assert "153,600 GB" in found.warnings[0]

    def test_above_it_does(self) -> None:
        found = savings(held(entry(C)), prices=US, now=NOW, archived=[C.digest], already_archived=150 * TB)
        assert found.per_month.exact == usd("0.15")
        assert "saves nothing" not in found.warnings[0]

    def test_layers_of_active_images_stay(self) -> None:
        found = savings(held(entry(A), entry(B)), prices=US, now=NOW, archived=[A.digest], already_archived=150 * TB)
        assert found.archived.exact == 2 * GIB

    def test_what_is_removed_too_is_not_archived_twice(self) -> None:
        found = savings(held(entry(A), entry(B)), prices=US, now=NOW, removed=[A.digest], archived=[B.digest])
        assert (found.freed.exact, found.archived.exact) == (2 * GIB, 13 * GIB)

    def test_a_lifecycle_plan_says_the_same(self) -> None:
        both = held(entry(A), entry(B))
        plan = savings(both, prices=US, now=NOW, actions={A.digest: "expire", B.digest: "transition"})
        assert plan == savings(both, prices=US, now=NOW, removed=[A.digest], archived=[B.digest])

    @pytest.mark.parametrize(("removed", "archived"), [([A], [A]), ([], [B])])
    def test_nonsense_is_refused(self, removed, archived) -> None:
        both = held(entry(A), entry(B, imageStatus="ARCHIVED"))
        with pytest.raises(InvalidInput):
            savings(
                both, prices=US, now=NOW, removed=[m.digest for m in removed], archived=[m.digest for m in archived]
            )


class TestArchiveOrKeep:
    def test_ten_days_are_billed_as_ninety(self) -> None:
        choice = archive_or_keep(GIB, dt.timedelta(days=10), prices=US)
        assert (choice.archive, choice.cheaper) == (usd("0.30"), "keep")
        assert choice.break_even_restores is None

    def test_a_restore_below_150_tb_costs_more_than_keeping(self) -> None:
        choice = archive_or_keep(10 * TB, dt.timedelta(days=90), prices=US, restored=TB)
        assert choice.saving == usd("-30.72")
        assert choice.break_even_restores == 0

    def test_above_it_can_pay(self) -> None:
        choice = archive_or_keep(TB, dt.timedelta(days=90), prices=US, already_archived=150 * TB)
        assert choice.saving == usd("92.16")
        assert choice.break_even_restores == 3 * TB
        worse = archive_or_keep(TB, dt.timedelta(days=90), prices=US, already_archived=150 * TB, restored=4 * TB)
        assert worse.cheaper == "keep"


def test_tiers_that_all_fill_together_leave_the_sum_a_lower_bound() -> None:
    def moving(name: str, already: int = 0):
        one = made(name, (f"layer {name}", 100 * TB), config=GIB)
        return savings(
            held(entry(one), read=[one]), prices=US, now=NOW, archived=[one.digest], already_archived=already
        )

    apart = total_savings([moving("a"), moving("b")])
    assert (apart.per_month.low, apart.per_month.high) == (usd("0"), None)
    assert any("together" in warning for warning in apart.warnings)
    inrow = total_savings([moving("a"), moving("b", 100 * TB + GIB)])
    # 200 TB and 2 GB, of which what is above 150 TB costs 0.03 less.
    assert inrow.per_month.exact == usd("1536.06")
    assert total_savings([moving("a")]).per_month.exact == usd("0")


def test_totals() -> None:
    parts = [savings(held(entry(C)), prices=US, now=NOW, removed=[C.digest]) for _ in range(2)]
    assert total_savings(parts).per_month.exact == usd("1.00")
    with pytest.raises(InvalidInput):
        total_savings([])
