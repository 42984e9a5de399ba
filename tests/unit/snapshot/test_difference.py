"""What changed between two snapshots, and what nobody can know."""

from __future__ import annotations

import datetime as dt

import attrs
import pytest

from ecrkit.errors import InvalidInput, PlanOutdated
from ecrkit.snapshot import Asked, Gap, NotRead, RepositorySnapshot, diff
from tests.support.snapshots import NOW, image, manifest, record, repository, snapshot

ONE, TWO, THREE = (manifest(name, *layers) for name, layers in (("1", "a"), ("2", "ab"), ("3", "c")))
NAME = "team/app"


def holding(*images, **more):
    kept = [raw for raw in (ONE, TWO, THREE) if raw.digest in {i.digest for i in images}]
    return attrs.evolve(repository(NAME, images=0), images=images, manifests=kept, **more)


def change(before, after, **asked):
    return diff(snapshot(before), snapshot(after, **asked))


class TestImages:
    def test_pushed_deleted_and_bytes_with_shared_layers_counted_once(self):
        found = change(holding(image(ONE, NAME), image(TWO, NAME)), holding(image(TWO, NAME), image(THREE, NAME)))[NAME]
        assert [i.digest for i in found.pushed] == [THREE.digest]
        assert [i.digest for i in found.deleted] == [ONE.digest]
        assert found.bytes_change.exact == 100  # layer c and a config come, a config goes; base and layer a stay
        grown = change(holding(image(ONE, NAME)), holding(image(ONE, NAME), image(THREE, NAME)))
        assert grown[NAME].bytes_change.exact == grown.bytes_change.exact == 107

    def test_bytes_without_manifest_are_a_range(self):
        after = attrs.evolve(holding(image(ONE, NAME), image(THREE, NAME)), manifests=[ONE])
        size = change(holding(image(ONE, NAME)), after).bytes_change
        assert size.exact is None and size.low == 0 and size.high == 207

    def test_retagged(self):
        before = holding(image(ONE, NAME, tags=("latest", "old")), image(TWO, NAME, tags=("v2",)))
        after = holding(image(ONE, NAME, tags=("kept",)), image(TWO, NAME, tags=("v2", "latest")))
        moves = {r.tag: (r.before, r.after) for r in change(before, after)[NAME].retagged}
        assert moves == {
            "latest": (ONE.digest, TWO.digest), "old": (ONE.digest, None), "kept": (None, ONE.digest),
        }  # fmt: skip

    def test_a_tag_that_came_or_went_with_its_image_is_no_retag(self):
        before, after = holding(image(ONE, NAME, tags=("v1",))), holding(image(THREE, NAME, tags=("v3",)))
        assert change(before, after)[NAME].retagged == ()
        moved = change(before, holding(image(THREE, NAME, tags=("v1",))))[NAME].retagged
        assert [(r.before, r.after) for r in moved] == [(ONE.digest, THREE.digest)]

    def test_archived_restored_and_pulled(self):
        active = image(ONE, NAME, last_pulled_at=NOW)
        archived = attrs.evolve(active, status="ARCHIVED", last_archived_at=NOW)
        assert change(holding(active), holding(archived))[NAME].archived == (archived,)
        assert change(holding(archived), holding(active))[NAME].restored == (active,)
        later = attrs.evolve(active, last_pulled_at=NOW + dt.timedelta(days=1))
        found = change(holding(active), holding(later))[NAME]
        assert found.pulled == (later,) and not found.archived and not found.pushed
        assert change(holding(later), holding(active))[NAME].pulled == ()


class TestSettings:
    def test_policies_tags_and_the_record(self):
        before = repository(NAME, lifecycle_policy='{"rules":[]}')
        after = attrs.evolve(before, lifecycle_policy=None, repository_policy="{}", tags={"Team": "b"},
                             repository=attrs.evolve(record(NAME), tag_mutability="IMMUTABLE"))  # fmt: skip
        found = change(before, after)[NAME]
        assert found.policy("lifecycle_policy") == ('{"rules":[]}', None)
        assert found.policy("repository_policy") == (None, "{}")
        assert found.tags == {"Team": ("a", "b")}
        assert found.settings == {"tag_mutability": ("MUTABLE", "IMMUTABLE")}
        assert found.bytes_change.exact == 0

    def test_of_the_registry(self):
        before = snapshot(settings={"registry_policy": None, "x": 1})
        found = diff(before, snapshot(settings={"registry_policy": "{}", "y": 1}))
        assert found.settings == {"registry_policy": (None, "{}")}


class TestUnknown:
    """What one of them did not read is not compared, and never counts as deleted."""

    GAP = Gap(what="images", repository=NAME, error="denied", call="DescribeImages")

    def test_unread_images(self):
        unread = RepositorySnapshot(
            repository=record(NAME), read_at=NOW, read=["tags"], tags={"Team": "b"}, gaps=[self.GAP]
        )
        found = change(repository(NAME), unread)
        assert found.uncompared == {
            NAME: ("images", "manifests", "lifecycle_policy", "repository_policy")
        }  # fmt: skip
        for name in ("pushed", "deleted", "changed", "retagged", "archived", "restored", "pulled"):
            with pytest.raises(NotRead, match="denied"):
                getattr(found[NAME], name)
        assert found[NAME].tags == {"Team": ("a", "b")}
        assert found[NAME].bytes_change is None and found.bytes_change is None
        assert found.to_columns()["deleted"] == [None]
        assert "not wholly compared" in str(found)

    @pytest.mark.parametrize("asked", [Asked(repositories=["other/*"]), Asked(resource_tags={"a": "b"}),
                                       Asked(function=True)])  # fmt: skip
    def test_a_repository_that_the_other_may_not_have_been_asked_for(self, asked):
        whole = snapshot(repository(NAME))
        assert diff(whole, snapshot(asked=asked))[NAME].presence == "vanished"
        assert diff(snapshot(asked=asked), whole)[NAME].presence == "appeared"

    def test_created_and_deleted_for_sure(self):
        whole = snapshot(repository(NAME))
        assert diff(whole, snapshot(asked=Asked(repositories=["team/*"])))[NAME].presence == "deleted"
        created = diff(snapshot(), whole)
        assert created[NAME].presence == "created" and created.bytes_change.exact == 2 * 107 + 100
        assert len(created[NAME].pushed) == 2

    def test_other_registries_have_no_difference(self):
        with pytest.raises(InvalidInput, match="eu-west-1"):
            diff(snapshot(), snapshot(region="us-east-1"))

    def test_only_the_first_can_be_changed(self):
        first = snapshot(repository(NAME))
        found = diff(first, snapshot())
        with pytest.raises(PlanOutdated):
            found.apply(snapshot(repository(NAME), taken_at=NOW + dt.timedelta(days=1)))


def test_to_dict_and_html(entry):
    found = diff(snapshot(), snapshot(entry, repository("<b>")))
    assert found.to_dict()["repositories"][1]["pushed"][0]["digest"] == entry.images[0].digest
    assert "&lt;b&gt;" in found._repr_html_() and "<b>" not in found._repr_html_()


def test_over_a_live_registry(registry):
    before = registry.snapshot()
    registry.gateway.delete_repository_policy("tools")
    made = registry.gateway.create_repository("new")
    after = registry.snapshot()
    found = diff(before, after)
    assert found["new"].presence == "created" and made.name == "new"
    assert found["tools"].policy("repository_policy")[1] is None
    assert found.apply(before) == after
