from __future__ import annotations

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import ByteRange, Inventory, freed_by, naive_bytes, storage_split, stored_across, stored_bytes
from ecrkit.records import RawManifest
from tests.support.manifests import OCI, blob, child, detail, digest_of, image_document, index_document, raw

CONFIG_A = blob("config a", 10)
CONFIG_B = blob("config b", 20)
BASE = blob("base", 1000)
A = raw(image_document([BASE, blob("own a", 100)], config=CONFIG_A))
B = raw(image_document([BASE, blob("own b", 200)], config=CONFIG_B))
INDEX = raw(index_document([child(A), child(B, "linux/arm64")]))


def inventory(*manifests: RawManifest, read: tuple[RawManifest, ...] | None = None, **more: object) -> Inventory:
    sizes = {A.digest: 1110, B.digest: 1220, INDEX.digest: 1220}
    details = [detail(m, size=sizes.get(m.digest), **more) for m in manifests]
    return Inventory.from_api(details, manifests=manifests if read is None else read)


class TestStoredBytes:
    """A layer is stored once within a repository (ECR user guide; aws/containers-roadmap#531)."""

    def test_shared_layers_count_once(self) -> None:
        both = inventory(A, B)
        assert stored_bytes(both) == ByteRange.exactly(1000 + 100 + 200 + 10 + 20)
        assert naive_bytes(both) == 1110 + 1220

    def test_an_index_counts_nothing_of_its_own(self) -> None:
        assert stored_bytes(inventory(INDEX, A, B)).exact == 1330
        assert naive_bytes(inventory(INDEX, A, B)) == 1110 + 1220 + 1220

    def test_an_index_alone_stands_for_its_children(self) -> None:
        everything = inventory(INDEX, A, B)
        assert stored_bytes(everything, [INDEX.digest]).exact == 1330
        assert stored_bytes(everything, [A.digest]).exact == 1110
        assert stored_bytes(everything, [A.digest, A.digest]).exact == 1110
        assert stored_bytes(everything, []).exact == 0

    def test_nested_index(self) -> None:
        outer = raw(index_document([child(INDEX)]))
        assert stored_bytes(inventory(outer, INDEX, A, B), [outer.digest]).exact == 1330

    def test_indexes_that_share_a_child(self) -> None:
        other = raw(index_document([child(A)]))
        assert stored_bytes(inventory(INDEX, other, A, B), [INDEX.digest, other.digest]).exact == 1330

    def test_one_layer_twice_in_a_manifest(self) -> None:
        twice = raw(image_document([BASE, BASE], config=CONFIG_A))
        assert stored_bytes(inventory(twice)).exact == 1010

    def test_an_unread_manifest_makes_a_range(self) -> None:
        found = stored_bytes(inventory(A, B, read=(A,)))
        assert (found.low, found.high) == (1110, 1110 + 1220)
        assert found.exact is None
        assert "was not read" in found.reasons[0]

    def test_an_unread_manifest_of_unknown_size_has_no_bound(self) -> None:
        unsized = Inventory.from_api([detail(A)])
        found = stored_bytes(unsized)
        assert (found.low, found.high) == (0, None)
        assert str(found) == "at least 0 B"

    def test_an_unread_index_adds_nothing_over_the_whole_repository(self) -> None:
        assert stored_bytes(inventory(INDEX, A, B, read=(A, B))).exact == 1330

    def test_an_unread_index_alone_has_no_bound(self) -> None:
        found = stored_bytes(inventory(INDEX, A, B, read=(A, B)), [INDEX.digest])
        assert (found.low, found.high) == (0, None)

    def test_a_missing_child_has_no_bound(self) -> None:
        found = stored_bytes(inventory(INDEX, A, read=(INDEX, A)), [INDEX.digest])
        assert (found.low, found.high) == (1110, None)

    def test_a_child_whose_manifest_alone_is_known_counts(self) -> None:
        assert stored_bytes(inventory(INDEX, A, read=(INDEX, A, B)), [INDEX.digest]).exact == 1330

    def test_schema_1_tells_no_sizes(self) -> None:
        old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]})
        found = stored_bytes(Inventory.from_api([detail(old, size=70)], manifests=[old]))
        assert (found.low, found.high) == (0, 70)

    @pytest.mark.parametrize(
        "layer",
        [
            blob("far", 500, urls=["http://example/x"]),
            blob("far", 500, "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
            blob("far", 500, "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        ],
    )
    def test_a_foreign_layer_may_or_may_not_be_stored(self, layer: dict[str, object]) -> None:
        found = stored_bytes(inventory(raw(image_document([layer], config=CONFIG_A))))
        assert (found.low, found.high) == (10, 510)
        assert "foreign" in found.reasons[0]

    def test_manifests_that_disagree_about_a_layer(self) -> None:
        one = raw(image_document([blob("x", 100)], config=CONFIG_A))
        two = raw(image_document([blob("x", 150)], config=CONFIG_A))
        for order in ((one, two), (two, one)):
            found = stored_bytes(inventory(*order))
            assert (found.low, found.high) == (110, 160)
            assert "disagree" in found.reasons[0]

    def test_unknown_digests_are_refused(self) -> None:
        with pytest.raises(InvalidInput, match="not in the inventory"):
            stored_bytes(inventory(A), [digest_of("none")])
        with pytest.raises(InvalidInput, match="not in the inventory"):
            freed_by(inventory(A), [digest_of("none")])
        with pytest.raises(InvalidInput, match="not in the inventory"):
            naive_bytes(inventory(A), [digest_of("none")])


class TestFreed:
    """Removing an image frees the layers that no other image of the repository uses."""

    def test_layers_that_survive_are_not_freed(self) -> None:
        assert freed_by(inventory(A, B), [A.digest]).exact == 110
        assert freed_by(inventory(A, B), [A.digest, B.digest]).exact == 1330
        assert freed_by(inventory(A, B), []).exact == 0

    def test_an_index_alone_frees_nothing(self) -> None:
        assert freed_by(inventory(INDEX, A, B), [INDEX.digest]).exact == 0

    def test_an_unread_image_that_goes_widens_upwards(self) -> None:
        found = freed_by(inventory(A, B, read=(A,)), [A.digest, B.digest])
        assert (found.low, found.high) == (1110, 1110 + 1220)

    def test_an_unread_image_that_stays_widens_downwards(self) -> None:
        small = raw(image_document([], config=CONFIG_B))
        details = [detail(A, size=1110), detail(small, size=30)]
        found = freed_by(Inventory.from_api(details, manifests=[A]), [A.digest])
        # All but 30 of the 1110 bytes go for sure: the unread image can hold on to no more than its own size.
        assert (found.low, found.high) == (1080, 1110)
        assert "stays" in " ".join(found.reasons)

    def test_an_unread_image_of_unknown_size_that_stays(self) -> None:
        found = freed_by(Inventory.from_api([detail(A, size=1110), detail(B)], manifests=[A]), [A.digest])
        assert (found.low, found.high) == (0, 1110)

    def test_what_may_be_held_is_never_more_than_everything(self) -> None:
        found = freed_by(inventory(A, B, read=(A,)), [A.digest])
        assert (found.low, found.high) == (0, 1110)

    def test_an_unread_image_of_unknown_size_that_goes(self) -> None:
        found = freed_by(Inventory.from_api([detail(A)]), [A.digest])
        assert (found.low, found.high) == (0, None)


class TestSplit:
    """Archived images are stored in a class of their own; a layer used by both classes stands apart."""

    def test_exact(self) -> None:
        details = [detail(A, size=1110), detail(B, size=1220, imageStatus="ARCHIVED")]
        split = storage_split(Inventory.from_api(details, manifests=[A, B]))
        assert (split.standard.exact, split.archive.exact, split.shared.exact) == (110, 220, 1000)
        assert split.shared.reasons == ()

    def test_an_unread_archived_image_makes_ranges(self) -> None:
        details = [detail(A, size=1110), detail(B, size=500, imageStatus="ARCHIVED")]
        split = storage_split(Inventory.from_api(details, manifests=[A]))
        assert (split.standard.low, split.standard.high) == (610, 1110)
        assert (split.archive.low, split.archive.high) == (0, 500)
        assert (split.shared.low, split.shared.high) == (0, 500)

    def test_an_unread_image_of_unknown_size(self) -> None:
        details = [detail(A, size=1110), detail(B, imageStatus="ARCHIVED")]
        split = storage_split(Inventory.from_api(details, manifests=[A]))
        assert (split.standard.low, split.archive.high, split.shared.high) == (0, None, None)


class TestByteRange:
    def test_sum(self) -> None:
        total = ByteRange(1, 2, ("x",)) + ByteRange(10, 20, ("x", "y"))
        assert total == ByteRange(11, 22, ("x", "y"))
        assert (ByteRange(1, None) + ByteRange(1, 1)).high is None
        assert (ByteRange(1, 1) + ByteRange(1, None)).high is None

    def test_contains(self) -> None:
        assert 5 in ByteRange(5, 5)
        assert 4 not in ByteRange(5, 9)
        assert 10 not in ByteRange(5, 9)
        assert 10**18 in ByteRange(5, None)
        assert "5" not in ByteRange(5, 5)

    def test_text(self) -> None:
        assert [str(r) for r in (ByteRange(5, 5), ByteRange(0, 2048), ByteRange(1024, None))] == [
            "5 B",
            "0 B to 2.0 KiB",
            "at least 1.0 KiB",
        ]


def test_media_type_of_the_registry_is_used() -> None:
    document = image_document([BASE], config=CONFIG_A)
    del document["mediaType"]
    bare = raw(document)
    told = RawManifest(digest=bare.digest, media_type=OCI, text=bare.text)
    assert stored_bytes(Inventory.from_api([detail(bare)], manifests=[told])).exact == 1010


class TestReasons:
    """Every range says why it is one, in a sentence a person can act on."""

    UNREAD = "a manifest was not read, so it is not known which layers it shares"

    def test_each(self) -> None:
        old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]})
        assert stored_bytes(inventory(A, read=())).reasons == (self.UNREAD,)
        assert stored_bytes(inventory(old)).reasons == ("a schema 1 manifest tells no layer sizes",)
        assert stored_bytes(inventory(INDEX, A, B, read=(A, B)), [INDEX.digest]).reasons == (
            "the children of an index are not known, because its manifest was not read",
        )
        assert stored_bytes(inventory(INDEX, A), [INDEX.digest]).reasons == (
            "a child of an index is missing in the inventory",
        )
        assert freed_by(inventory(A, B, read=(A,)), [A.digest]).reasons == (
            "an image that stays has an unread manifest and may share the layers",
        )
        far = raw(image_document([blob("far", 500, urls=["http://example/x"])], config=CONFIG_A))
        assert stored_bytes(inventory(far)).reasons == ("a foreign layer may or may not be stored in the registry",)
        two = [raw(image_document([blob("x", n)], config=CONFIG_A)) for n in (1, 2)]
        assert stored_bytes(inventory(*two)).reasons == ("manifests disagree about the size of a layer",)

    def test_of_a_split(self) -> None:
        details = [detail(A, size=1110), detail(B, size=500, imageStatus="ARCHIVED")]
        split = storage_split(Inventory.from_api(details, manifests=[A]))
        for part in (split.standard, split.archive, split.shared):
            assert part.reasons
            assert all("manifest" in reason for reason in part.reasons)
        exact = storage_split(Inventory.from_api(details, manifests=[A, B]))
        assert (exact.standard.reasons, exact.archive.reasons, exact.shared.reasons) == ((), (), ())

    def test_of_unknown_digests(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            stored_bytes(inventory(A), [digest_of(str(n)) for n in range(30)])
        assert str(caught.value).startswith("not images of this repository: 20 problems")
        assert {p.path for p in caught.value.problems} == {"digests"}


class TestCorners:
    def test_removing_an_unread_index_frees_exactly_nothing(self) -> None:
        found = freed_by(inventory(INDEX, A, B, read=(A, B)), [INDEX.digest])
        assert found == ByteRange.exactly(0)

    def test_an_unread_index_that_stays_holds_no_bytes(self) -> None:
        found = freed_by(inventory(INDEX, A, B, read=(A, B)), [A.digest, B.digest])
        assert found == ByteRange.exactly(1330)

    def test_classes_of_an_index_and_its_children(self) -> None:
        details = [detail(INDEX, imageStatus="ARCHIVED"), detail(A, size=1110), detail(B, size=1220)]
        split = storage_split(Inventory.from_api(details, manifests=[INDEX, A, B]))
        assert (split.standard.exact, split.archive.exact, split.shared.exact) == (1330, 0, 0)
        flipped = [detail(INDEX), detail(A, size=1110, imageStatus="ARCHIVED"), detail(B, imageStatus="ARCHIVED")]
        split = storage_split(Inventory.from_api(flipped, manifests=[INDEX, A, B]))
        assert (split.standard.exact, split.archive.exact, split.shared.exact) == (0, 1330, 0)

    def test_the_manifest_knows_better_than_the_listing_what_is_an_index(self) -> None:
        details = [{**detail(INDEX, size=1220), "imageManifestMediaType": None}, detail(A), detail(B)]
        assert stored_bytes(Inventory.from_api(details, manifests=[INDEX, A, B])).exact == 1330

    def test_children_after_a_missing_one_still_count(self) -> None:
        ghost = raw(image_document([blob("ghost", 1)]))
        index = raw(index_document([child(ghost), child(A)]))
        assert stored_bytes(inventory(index, A), [index.digest]).low == 1110

    def test_a_missing_child_named_by_two_indexes_is_missed_once(self) -> None:
        other = raw(index_document([child(B), child(A)]))
        whole = stored_bytes(inventory(INDEX, other, A, read=(INDEX, other, A, B)), [INDEX.digest, other.digest])
        assert whole.exact == 1330

    def test_a_config_of_no_bytes(self) -> None:
        assert stored_bytes(inventory(raw(image_document([BASE], config=blob("none", 0))))).exact == 1000

    def test_an_image_without_size_adds_nothing_to_the_naive_sum(self) -> None:
        assert naive_bytes(Inventory.from_api([detail(A), detail(B, size=7)])) == 7

    def test_two_foreign_layers_of_one_digest(self) -> None:
        layers = [blob("far", n, urls=["http://example/x"]) for n in (500, 400)]
        found = stored_bytes(inventory(raw(image_document(layers, config=CONFIG_A))))
        assert (found.low, found.high) == (10, 510)

    def test_a_foreign_layer_that_another_image_stores_counts(self) -> None:
        here = raw(image_document([blob("far", 500)], config=CONFIG_A))
        far = raw(image_document([blob("far", 500, urls=["http://example/x"])], config=CONFIG_A))
        found = stored_bytes(inventory(here, far))
        assert (found.low, found.high) == (510, 510)

    def test_three_opinions_about_a_layer(self) -> None:
        found = stored_bytes(
            inventory(*(raw(image_document([blob("x", n)], config=CONFIG_A)) for n in (100, 150, 120)))
        )
        assert (found.low, found.high) == (110, 160)

    def test_freed_layers_of_disputed_size(self) -> None:
        two = [raw(image_document([blob("x", n)], config=CONFIG_A)) for n in (100, 150)]
        found = freed_by(inventory(*two), [m.digest for m in two])
        assert (found.low, found.high) == (110, 160)


class TestAcross:
    """Layers are shared between repositories only where they were mounted (ECR user guide, blob mounting)."""

    ONE = raw(image_document([blob("shared", 100)], config=blob("own 1", 10)))
    TWO = raw(image_document([blob("shared", 100)], config=blob("own 2", 10)))

    def repositories(self) -> list[Inventory]:
        return [
            Inventory.from_api([detail(m, size=110)], manifests=[m], repository=name)
            for name, m in (("r1", self.ONE), ("r2", self.TWO))
        ]

    def test_never_on(self) -> None:
        assert stored_across(self.repositories(), blob_mounting=False) == ByteRange.exactly(220)

    @pytest.mark.parametrize("setting", [None, True])
    def test_on_or_once_on(self, setting: bool | None) -> None:
        found = stored_across(self.repositories(), blob_mounting=setting)
        assert found == ByteRange(120, 220, ("layers may be mounted from another repository",))

    def test_nothing_to_share(self) -> None:
        other = Inventory.from_api([detail(A)], manifests=[A], repository="r3")
        assert stored_across([self.repositories()[0], other]) == ByteRange.exactly(110 + 1110)
        assert stored_across([]) == ByteRange.exactly(0)

    def test_what_was_not_read_widens_it(self) -> None:
        unread = Inventory.from_api([detail(B, size=50)], repository="r3")
        found = stored_across([*self.repositories(), unread])
        assert (found.low, found.high, len(found.reasons)) == (120, 270, 2)

    def test_a_size_that_is_disputed(self) -> None:
        less = raw(image_document([blob("shared", 70)], config=blob("own 2", 10)))
        other = Inventory.from_api([detail(less)], manifests=[less], repository="r2")
        for order in ([self.repositories()[0], other], [other, self.repositories()[0]]):
            assert stored_across(order).low == 70 + 20

    def test_a_repository_twice(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            stored_across([*self.repositories(), self.repositories()[1]])
        assert str(caught.value) == "not different repositories: inventories: r2 is there twice"

    def test_repositories_without_names(self) -> None:
        nameless = [Inventory.from_api([detail(m)], manifests=[m]) for m in (self.ONE, self.TWO)]
        assert stored_across(nameless, blob_mounting=False).exact == 220


class TestSchema1:
    """Schema 1 names its layers without sizes: who shares them is known, and what they weigh if another image tells."""

    OLD = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("own a")}, {"blobSum": digest_of("x")}]})

    def test_a_size_that_another_image_tells(self) -> None:
        known = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("own a")}, {"blobSum": digest_of("base")}]})
        details = [detail(A, size=1110), detail(known, size=1100)]
        inventory = Inventory.from_api(details, manifests=[A, known])
        assert stored_bytes(inventory).exact == 1110
        assert stored_bytes(inventory, [known.digest]).exact == 1100
        assert freed_by(inventory, [A.digest]).exact == 10
        assert freed_by(inventory, [known.digest]).exact == 0

    def test_a_size_that_nobody_tells(self) -> None:
        details = [detail(A, size=1110), detail(self.OLD, size=170)]
        inventory = Inventory.from_api(details, manifests=[A, self.OLD])
        assert (stored_bytes(inventory).low, stored_bytes(inventory).high) == (1110, 1280)
        assert freed_by(inventory, [A.digest]).exact == 1010
        found = freed_by(inventory, [self.OLD.digest])
        assert (found.low, found.high) == (0, 170)
        unbounded = Inventory.from_api([detail(self.OLD)], manifests=[self.OLD])
        assert stored_bytes(unbounded).high is None


class TestWithMoreManifests:
    def test_what_was_counted_before_stays_as_it_was(self) -> None:
        part = inventory(A, B, read=(A,))
        assert stored_bytes(part).low == 1110
        whole = part.with_manifests([B])
        assert stored_bytes(whole).exact == 1330
        assert stored_bytes(part).low == 1110

    def test_a_layer_stored_in_the_ordinary_way_settles_a_foreign_one_of_another_size(self) -> None:
        far = raw(image_document([blob("x", 500, urls=["http://example/x"])], config=CONFIG_A))
        here = raw(image_document([blob("x", 400)], config=CONFIG_A))
        for order in ((far, here), (here, far)):
            found = stored_bytes(inventory(*order))
            assert (found.low, found.high) == (410, 510)
            assert found.reasons == ("manifests disagree about the size of a layer",)


class TestChosenImages:
    """An index stands for its children, however it is known, and each child counts once."""

    def test_the_manifest_says_that_it_is_an_index(self) -> None:
        listed = {**detail(INDEX), "imageManifestMediaType": None}
        known = Inventory.from_api([listed, detail(A), detail(B)], manifests=[INDEX, A, B])
        assert stored_bytes(known, [INDEX.digest]).exact == 1330

    def test_an_unread_child_bounds_the_range_once(self) -> None:
        other = raw(index_document([child(B)]))
        part = inventory(INDEX, other, A, B, read=(INDEX, other, A))
        found = stored_bytes(part, [INDEX.digest, other.digest])
        assert (found.low, found.high) == (1110, 1110 + 1220)
        assert found.reasons == (TestReasons.UNREAD,)

    def test_a_child_named_twice_hides_no_other(self) -> None:
        twice = raw(index_document([child(A), child(A), child(B, "linux/arm64")]))
        assert stored_bytes(inventory(twice, A, B), [twice.digest]).exact == 1330

    def test_schema_1_has_the_bound_of_its_size(self) -> None:
        old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]})
        known = Inventory.from_api([detail(old, size=70)], manifests=[old])
        assert stored_bytes(known, [old.digest]) == ByteRange(0, 70, ("a schema 1 manifest tells no layer sizes",))


class TestMadeByHand:
    def test_manifests_given_to_the_constructor(self) -> None:
        read = inventory(A, B)
        made = Inventory(read.images, manifests=read.manifests)
        assert stored_bytes(made) == stored_bytes(read) == ByteRange.exactly(1330)


def test_an_image_that_is_named_beside_its_index_hides_no_other() -> None:
    assert stored_bytes(inventory(INDEX, A, B), [A.digest, INDEX.digest]).exact == 1330
    assert stored_bytes(inventory(INDEX, A, B), [INDEX.digest, A.digest]).exact == 1330


def test_an_opaque_index_hides_no_other_image() -> None:
    found = stored_bytes(inventory(INDEX, A, B, read=(A, B)), [A.digest, INDEX.digest])
    assert (found.low, found.high) == (1110, None)


def test_a_size_that_is_told_later_settles_one_that_was_not() -> None:
    old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("base")}]})
    assert stored_bytes(inventory(old, A)).exact == 1110
    assert stored_bytes(inventory(A, old)).exact == 1110
