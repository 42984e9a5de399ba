"""Archive or expire, in money; and bringing back what is needed."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from ecrkit.cost import PriceTable, Tier
from ecrkit.deployments import InUse, Use, Workload
from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory
from ecrkit.lifecycle import RestorePlan, archive_strategy, restore_plan
from ecrkit.records import Image
from tests.support.manifests import CONFIG, blob, image_document, raw

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
GB, TB = 2**30, 2**40
INDEX = "application/vnd.oci.image.index.v1+json"
# us-east-1, as the public price list had it: no gain below 153,600 GB.
PRICES = PriceTable(
    region="us-east-1", currency="USD", as_of=dt.date(2026, 11, 1), source="test", standard=Decimal("0.10"),
    archive=[Tier(153_600, "0.10"), Tier(None, "0.07")], retrieval=Decimal("0.03"),
)  # fmt: skip


def digest(n):
    return "sha256:" + f"{n:064x}"


def image(n, *tags, days=0.0, **more):
    return Image(digest=digest(n), tags=tags, pushed_at=NOW - dt.timedelta(days=days), **({"size": GB} | more))


def strategy(images, prices=PRICES, children=None, **more):
    return archive_strategy(Inventory(images, repository="app", children=children or {}), prices, now=NOW, **more)


class TestStrategy:
    def test_below_the_first_tier_it_saves_nothing(self):
        found = strategy([image(n, days=100) for n in range(5)], days=[90])
        [option] = found.options
        assert (option.images, option.kept, option.archived) == (5, Decimal("0.5"), Decimal("0.5"))
        assert option.saved == 0
        assert found.best is None
        assert option.advice.startswith("expire, or keep: the archive costs as much")
        assert option.least == Decimal("1.5")  # three months, whatever happens

    def test_beyond_it_it_saves(self):
        images = [image(n, days=100) for n in range(5)]
        found = strategy(images, days=[30, 90, 180], already_archived=200 * TB)
        assert found.best.days == 30
        assert found.best.saved == Decimal("0.15")
        assert found.options[2].advice == "nothing is that old"
        assert "saves 0.15 USD a month" in repr(found)

    def test_a_price_that_is_missing_is_told(self):
        bare = PriceTable(region="x", currency="USD", as_of=dt.date(2026, 1, 1), source="s", standard=Decimal(1))
        with pytest.raises(InvalidInput, match="archive"):
            strategy([image(1, days=100)], bare)

    def test_what_is_still_pulled_costs_its_retrieval(self):
        old = [image(1, days=100), image(2, days=100, last_pulled_at=NOW - dt.timedelta(days=3))]
        [option] = strategy(old, days=[90]).options
        assert option.images == 1  # the other was pulled three days ago
        assert option.retrieved == Decimal("0.03") * Decimal("0.5")
        assert "50% are still pulled" in option.advice
        [option] = strategy(old, days=[90], retrieved_share=Decimal(0)).options
        assert option.retrieved == 0

    def test_layers_that_stay_anyway_save_nothing(self):
        made = [
            raw(image_document([blob("base", 1000), blob(f"own{n}", 10)], config=blob(f"c{n}", 1, CONFIG)))
            for n in range(2)
        ]
        images = [
            Image(digest=m.digest, pushed_at=NOW - dt.timedelta(days=100 * n), tags=(f"v{n}",))
            for n, m in enumerate(made)
        ]
        inventory = Inventory(images, repository="app").with_manifests(made)
        [option] = archive_strategy(inventory, PRICES, now=NOW, days=[90]).options
        assert option.bytes.exact == 11
        assert "unread" not in option.advice

    def test_what_a_staying_index_holds_is_not_archived(self):
        images = [
            image(1, "multi", days=5, manifest_media_type=INDEX), image(2, days=100, manifest_media_type=INDEX),
            image(3, days=100), image(4, days=100),
        ]  # fmt: skip
        held = {digest(1): [digest(2)], digest(2): [digest(3)]}
        [option] = strategy(images, days=[90], children=held).options
        assert option.images == 1

    def test_archived_images_are_archived_already(self):
        [option] = strategy([image(1, days=300, status="ARCHIVED", last_archived_at=NOW)], days=[90]).options
        assert option.images == 0

    @pytest.mark.parametrize(
        ("more", "path"),
        [
            ({"days": [30, 0]}, "days[1]"),
            ({"retrieved_share": Decimal(2)}, "retrieved_share"),
            ({"retrieved_share": Decimal(-1)}, "retrieved_share"),
        ],
    )
    def test_arguments_out_of_range(self, more, path):
        with pytest.raises(InvalidInput) as caught:
            strategy([], **more)
        assert [p.path for p in caught.value.problems] == [path]

    def test_what_people_and_programs_get(self):
        found = strategy([image(n, days=100) for n in range(5)], days=[90])
        assert found.to_dict()["options"][0]["saved"] == "0.00"
        assert "days unpulled" in found.to_text()
        assert "<table>" in found._repr_html_()


def archived(n, *tags, **more):
    return image(n, *tags, days=100, status="ARCHIVED", last_archived_at=NOW - dt.timedelta(days=9), **more)


class TestRestores:
    def plan(self, images, wanted, children=None):
        return restore_plan(Inventory(images, repository="app", children=children or {}), wanted, now=NOW)

    def test_by_tag_and_digest(self):
        found = self.plan(
            [archived(1, "v1"), archived(2), archived(3), image(4, "v4")], ["v1", digest(2), "v4", "gone"]
        )
        assert found.digests == (digest(1), digest(2))
        assert found.why[digest(1)] == "asked for as v1"
        assert found.missing == ("gone",)
        assert found.explain() == (
            "app: 2 images to restore, 0 B to 2.0 GiB to retrieve. 1 image cannot be restored: not in the repository."
        )

    def test_children_come_before_their_index(self):
        images = [archived(1, "multi", manifest_media_type=INDEX), archived(2), image(3)]
        found = self.plan(images, ["multi"], {digest(1): [digest(2), digest(3), digest(9)]})
        assert found.digests == (digest(2), digest(1))
        assert found.why[digest(2)] == f"a child of {digest(1)[:19]}"
        assert digest(9) in found.missing[0]

    def test_an_active_index_with_an_archived_child(self):
        found = self.plan(
            [image(1, "multi", manifest_media_type=INDEX), archived(2)], ["multi"], {digest(1): [digest(2)]}
        )
        assert found.digests == (digest(2),)

    def test_a_ring_ends(self):
        ring = {digest(1): [digest(2)], digest(2): [digest(1)]}
        images = [archived(n, f"v{n}", manifest_media_type=INDEX) for n in (1, 2)]
        assert set(self.plan(images, ["v1"], ring).digests) == {digest(1), digest(2)}

    def test_what_is_in_use(self):
        api = Workload(platform="ecs", kind="Service", name="api")
        host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
        uses = InUse([Use(reference=f"{host}/app:v1", workload=api), Use(reference=f"{host}/app:gone", workload=api)])
        found = self.plan([archived(1, "v1"), archived(2, "v2")], uses)
        assert (found.digests, found.why) == ((digest(1),), {digest(1): "in use by ecs Service api"})
        assert len(found.missing) == 1

    def test_saved(self):
        found = self.plan([archived(1, "v1")], ["v1", "gone"])
        assert RestorePlan.from_dict(found.to_json()) == found
        assert RestorePlan.from_dict(found.to_dict()) == found

    @pytest.mark.parametrize("saved", ["{", "[]", {}, {"repository": "a"}, 3])
    def test_what_is_no_saved_plan(self, saved):
        with pytest.raises(InvalidInput, match="not a restore plan"):
            RestorePlan.from_dict(saved)
