from __future__ import annotations

import pickle

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory
from tests.support.manifests import INDEX, blob, child, detail, digest_of, image_document, index_document, raw

ONE, TWO = raw(image_document([blob("a", 5)])), raw(image_document([blob("b", 5)]))
BOTH = raw(index_document([child(ONE), child(TWO, "linux/arm64")]))


class TestGraph:
    """Index -> children comes from the index's manifest, subject -> referrers from DescribeImages itself."""

    def test_from_the_caller(self) -> None:
        inventory = Inventory.from_api([detail(BOTH), detail(ONE), detail(TWO)], children={BOTH.digest: [ONE.digest]})
        assert inventory.children_of(BOTH.digest) == (ONE.digest,)
        assert inventory.parents_of(ONE.digest) == (inventory[BOTH.digest],)
        assert inventory.parents_of(TWO.digest) == ()
        assert inventory.opaque_indexes == ()

    def test_from_the_manifests(self) -> None:
        inventory = Inventory.from_api([detail(BOTH), detail(ONE), detail(TWO)], manifests=[BOTH, ONE])
        assert inventory.children_of(BOTH.digest) == (ONE.digest, TWO.digest)
        assert set(inventory.manifests) == {BOTH.digest, ONE.digest}

    def test_the_manifest_corrects_the_caller(self) -> None:
        inventory = Inventory.from_api([detail(BOTH), detail(ONE)], children={BOTH.digest: []})
        assert inventory.with_manifests([BOTH]).children_of(BOTH.digest) == (ONE.digest, TWO.digest)

    def test_an_unread_index_is_opaque(self) -> None:
        inventory = Inventory.from_api([detail(BOTH), detail(ONE)])
        assert [i.digest for i in inventory.opaque_indexes] == [BOTH.digest]
        assert inventory.children_of(BOTH.digest) == ()
        assert inventory.with_manifests([BOTH]).opaque_indexes == ()

    def test_a_faulty_manifest_counts_as_unread(self) -> None:
        broken = raw({"mediaType": INDEX, "manifests": 5})
        inventory = Inventory.from_api([detail(broken), detail(ONE)], manifests=[broken, ONE])
        assert set(inventory.faulty_manifests) == {broken.digest}
        assert [i.digest for i in inventory.opaque_indexes] == [broken.digest]

    def test_children_that_are_missing(self) -> None:
        inventory = Inventory.from_api([detail(BOTH), detail(ONE)], manifests=[BOTH])
        assert inventory.missing_children == {BOTH.digest: (TWO.digest,)}

    def test_referrers(self) -> None:
        signature = detail(raw(image_document([blob("sig", 1)])), subjectManifestDigest=ONE.digest)
        inventory = Inventory.from_api([detail(ONE), signature])
        assert [i.digest for i in inventory.referrers_of(ONE.digest)] == [signature["imageDigest"]]
        assert inventory.referrers_of(signature["imageDigest"]) == ()

    def test_a_child_named_twice_has_the_parent_once(self) -> None:
        inventory = Inventory.from_api([detail(BOTH), detail(ONE)], children={BOTH.digest: [ONE.digest, ONE.digest]})
        assert len(inventory.parents_of(ONE.digest)) == 1

    def test_an_index_that_is_not_there_is_nobodys_parent(self) -> None:
        inventory = Inventory.from_api([detail(ONE)], children={BOTH.digest: [ONE.digest]})
        assert inventory.parents_of(ONE.digest) == ()


class TestLookUp:
    def test_by_digest_and_tag(self) -> None:
        inventory = Inventory.from_api([detail(ONE, imageTags=["v1", "latest"]), detail(TWO)])
        assert inventory.by_tag("latest") == inventory[ONE.digest] == inventory.get(ONE.digest)
        assert inventory.by_tag("v2") is None
        assert inventory.get(digest_of("none")) is None
        assert (ONE.digest in inventory, digest_of("none") in inventory, len(inventory)) == (True, False, 2)
        assert [i.digest for i in inventory] == [ONE.digest, TWO.digest]
        with pytest.raises(KeyError):
            inventory[digest_of("none")]

    def test_name(self) -> None:
        assert Inventory.from_api([detail(ONE, repositoryName="team/app")]).repository == "team/app"
        assert Inventory.from_api([detail(ONE)], repository="mine").repository == "mine"
        assert repr(Inventory.from_api([detail(BOTH)], repository="mine")) == (
            "<Inventory of mine: 1 images, 1 opaque indexes>"
        )

    def test_pickle(self) -> None:
        inventory = pickle.loads(pickle.dumps(Inventory.from_api([detail(BOTH), detail(ONE)], manifests=[BOTH])))
        assert inventory.children_of(BOTH.digest) == (ONE.digest, TWO.digest)


class TestFaults:
    def test_a_digest_twice(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            Inventory.from_api([detail(ONE), detail(TWO), detail(ONE)])
        assert [p.path for p in caught.value.problems] == ["$.images[2]"]

    def test_words(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            Inventory.from_api([detail(ONE), detail(ONE)])
        assert str(caught.value) == f"not the inventory of one repository: $.images[1]: {ONE.digest} is listed twice"
        assert Inventory.from_api([detail(ONE)]).repository == ""

    def test_two_repositories(self) -> None:
        with pytest.raises(
            InvalidInput, match=r"^not the inventory of one repository: \$.imageDetails: several repositories: \["
        ):
            Inventory.from_api([detail(ONE, repositoryName="a1"), detail(TWO, repositoryName="b1")])

    def test_faulty_items_are_named(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            Inventory.from_api([detail(ONE), {"imageDigest": "x"}, {}])
        assert [p.path for p in caught.value.problems][:2] == [
            "$.imageDetails[1].imageDigest",
            "$.imageDetails[1].imagePushedAt",
        ]


def test_only_faulty_manifests_are_kept_too() -> None:
    broken = raw({"mediaType": INDEX, "manifests": 5})
    inventory = Inventory.from_api([detail(broken)]).with_manifests([broken])
    assert "must be a list" in str(inventory.faulty_manifests[broken.digest])
    assert inventory.with_manifests([]) is inventory
