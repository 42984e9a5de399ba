from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory, Manifest
from ecrkit.images.bases import BaseReport, BaseUse, Place, base_images
from ecrkit.images.config import ImageConfig
from ecrkit.records import RawManifest
from tests.support.manifests import CONFIG, blob, child, detail, digest_of, image_document, index_document, raw

NAME, DIGEST = "org.opencontainers.image.base.name", "org.opencontainers.image.base.digest"


def image(*names: str, **annotations: str) -> RawManifest:
    more = {"annotations": {NAME if k == "name" else DIGEST: v for k, v in annotations.items()}} if annotations else {}
    config = blob(f"config of {names}", 10, CONFIG)
    return raw(image_document([blob(name, 100) for name in names], config=config, **more))


def stored(name: str, *manifests: RawManifest, read: bool = True, **tags: RawManifest) -> Inventory:
    """A repository; a tag is written `v1=manifest`, with `_` for a dot."""
    every = {m.digest: m for m in (*manifests, *tags.values())}
    details = [
        detail(m, imageTags=[t.replace("_", ".") for t, named in tags.items() if named is m], artifactMediaType=CONFIG)
        for m in every.values()
    ]
    return Inventory.from_api(details, manifests=every.values() if read else (), repository=name)


def use_of(report: BaseReport, manifest: RawManifest) -> BaseUse:
    (use,) = (use for use in report.uses if use.image.digest == manifest.digest)
    return use


P1, P2 = image("p1"), image("p2")
APP = image("p1", "app")


class TestByLayers:
    """What FROM leaves in a manifest: the base's layers are the beginning of the image's own."""

    def test_across_repositories(self) -> None:
        use = use_of(base_images([stored("base/python", v3=P1), stored("team/app", v1=APP)]), APP)
        assert (use.bases, use.layers, use.status) == ((Place("base/python", P1.digest),), 1, "current")
        assert (use.tags, use.reason, use.outdated) == (("v1",), "base/python:v3 has these layers", False)

    def test_the_longest_beginning_counts(self) -> None:
        middle, top = image("p1", "m"), image("p1", "m", "app")
        report = base_images([stored("base", v1=P1), stored("middle", v1=middle), stored("team", v1=top)])
        assert use_of(report, top).bases == (Place("middle", middle.digest),)
        assert use_of(report, middle).bases == (Place("base", P1.digest),)

    def test_the_order_of_layers_counts(self) -> None:
        report = base_images([stored("base", v1=image("a", "b")), stored("team", v1=image("b", "a", "c"))])
        assert [use.status for use in report.uses] == ["unknown", "unknown"]

    def test_equal_layers_are_no_base(self) -> None:
        report = base_images([stored("base", v1=P1), stored("copy", v1=P1)])
        assert [use.bases for use in report.uses] == [(), ()]

    def test_builds_of_the_same_repository_are_no_bases_unless_named(self) -> None:
        own = [stored("team", v1=P1, v2=APP)]
        assert use_of(base_images(own), APP).bases == ()
        assert use_of(base_images(own, bases=["team"]), APP).bases == (Place("team", P1.digest),)

    def test_only_where_bases_are_looked_for(self) -> None:
        every = [stored("base", v1=P1), stored("other", v1=image("p1", "x")), stored("team", v1=image("p1", "x", "y"))]
        assert use_of(base_images(every, bases=["base"]), image("p1", "x", "y")).bases == (Place("base", P1.digest),)

    def test_the_same_layers_in_two_repositories(self) -> None:
        report = base_images([stored("b2", P1), stored("b1", v1=P1), stored("team", v1=APP)])
        use = use_of(report, APP)
        assert use.bases == (Place("b1", P1.digest), Place("b2", P1.digest))
        assert (use.status, use.reason) == ("current", "b1:v1 has these layers")

    def test_platforms_of_an_index(self) -> None:
        arm_base, arm_app = image("arm"), image("arm", "app")
        base = raw(index_document([child(P1), child(arm_base, "linux/aarch64")]))
        app = raw(index_document([child(APP), child(arm_app, "linux/arm64")]))
        report = base_images([stored("base", P1, arm_base, v1=base), stored("team", APP, arm_app, v1=app)])
        use = use_of(report, arm_app)
        assert (use.platform, use.bases, use.tags) == ("linux/arm64", (Place("base", arm_base.digest),), ("v1",))
        assert use.reason == "base:v1 has these layers"
        assert {u.image.digest for u in report.resting_on("base", base.digest)} == {APP.digest, arm_app.digest}
        assert [u.image.digest for u in report.resting_on("base", arm_base.digest)] == [arm_app.digest]
        assert len(report.resting_on("base")) == 2
        assert report.resting_on("team") == ()
        assert report.resting_on("base", APP.digest) == ()

    def test_a_config_tells_the_platform(self) -> None:
        config = json.dumps({"os": "linux", "architecture": "arm64"})
        one = raw(image_document([blob("x", 1)], config=blob(config, 5, CONFIG)))
        report = base_images([stored("team", v1=one)], configs={digest_of(config): ImageConfig.parse(config)})
        assert report.uses[0].platform == "linux/arm64"

    def test_signatures_rest_on_nothing(self) -> None:
        signature = raw(image_document([blob("s", 1, "application/vnd.dev.cosign.simplesigning.v1+json")]))
        assert base_images([stored("team", v1=signature)]).uses == ()

    def test_unread_images_are_named(self) -> None:
        report = base_images([stored("base", v1=P1, read=False), stored("team", v1=APP)])
        assert report.unread == (Place("base", P1.digest),)
        assert use_of(report, APP).status == "unknown"
        assert use_of(report, APP).reason == "no base of it is known here"


class TestMoved:
    """A base has moved when the tag that named it names another image now."""

    def test_a_base_without_a_tag(self) -> None:
        use = use_of(base_images([stored("base", P1, v3=P2), stored("team", v1=APP)]), APP)
        assert (use.status, use.outdated, use.now) == ("untagged", True, None)
        assert use.reason == f"base@{P1.digest[:19]} has no tag any more"

    def test_a_tag_that_it_had(self) -> None:
        every = [stored("base", P1, v3=P2), stored("team", v1=APP)]
        use = use_of(base_images(every, earlier_tags={("base", P1.digest): ["v3"]}), APP)
        assert (use.status, use.now, use.reason) == ("moved", Place("base", P2.digest), "base:v3 is another image now")

    def test_a_tag_that_moved_weighs_more_than_one_that_stayed(self) -> None:
        every = [stored("base", v3_1=P1, v3=P2), stored("team", v1=APP)]
        assert use_of(base_images(every), APP).status == "current"
        earlier = {("base", P1.digest): ["v3.1", "v3"]}
        assert use_of(base_images(every, earlier_tags=earlier), APP).status == "moved"
        stayed = {("base", P1.digest): ["v3.1"]}
        assert use_of(base_images(every, earlier_tags=stayed), APP).status == "current"

    def test_a_tag_that_is_gone(self) -> None:
        every = [stored("base", P1), stored("team", v1=APP)]
        use = use_of(base_images(every, earlier_tags={("base", P1.digest): ["v3"]}), APP)
        assert (use.status, use.reason) == ("gone", "base:v3 does not exist")

    def test_a_tag_of_an_index(self) -> None:
        old, new = raw(index_document([child(P1)])), raw(index_document([child(P2)]))
        every = [stored("base", P1, P2, old, v3=new), stored("team", v1=APP)]
        assert use_of(base_images(every), APP).status == "untagged"
        use = use_of(base_images(every, earlier_tags={("base", old.digest): ["v3"]}), APP)
        assert (use.status, use.now) == ("moved", Place("base", new.digest))

    def test_a_tag_with_the_same_layers_has_not_moved(self) -> None:
        same = raw({**image_document([blob("p1", 100)]), "annotations": {"again": "yes"}})
        every = [stored("base", P1, v3=same), stored("team", v1=APP)]
        use = use_of(base_images(every, earlier_tags={("base", P1.digest): ["v3"]}), APP)
        assert use.status == "current"

    def test_an_unread_successor_decides_nothing(self) -> None:
        base = Inventory.from_api([detail(P1), detail(P2, imageTags=["v3"])], manifests=[P1], repository="base")
        every = [base, stored("team", v1=APP)]
        use = use_of(base_images(every, earlier_tags={("base", P1.digest): ["v3"]}), APP)
        assert (use.status, use.reason) == ("unknown", "not all of base:v3 was read")


class TestWords:
    """`org.opencontainers.image.base.name` and `.digest` say the base (OCI image-spec); the layers bear them out."""

    @staticmethod
    def claim(app: RawManifest, *inventories: Inventory, **more: Any) -> tuple[str | None, str, str]:
        use = use_of(base_images([*inventories, stored("team", v1=app)], **more), app)
        return (use.claim and use.claim.check, use.status, use.reason)

    def test_confirmed(self) -> None:
        app = image("p1", "app", name="base:v3", digest=P1.digest)
        assert self.claim(app, stored("base", v3=P1)) == ("confirmed", "current", "base:v3 is still that image")

    def test_confirmed_and_moved(self) -> None:
        app = image("p1", "app", name="base:v3", digest=P1.digest)
        assert self.claim(app, stored("base", P1, v3=P2)) == ("confirmed", "moved", "base:v3 is another image now")

    def test_contradicted(self) -> None:
        app = image("p1", "app", name="base:v3", digest=P2.digest)
        assert self.claim(app, stored("base", v1=P1, v3=P2)) == (
            "contradicted",
            "current",
            "it does not begin with the layers of the base it names; base:v1 has these layers",
        )
        check, status, _ = self.claim(app, stored("base", v3=P2))
        assert (check, status) == ("contradicted", "unknown")

    def test_unverified_words_still_tell_that_the_tag_moved(self) -> None:
        app = image("p1", "app", name="base:v3", digest=digest_of("gone"))
        assert self.claim(app, stored("base", v3=P2)) == ("unverified", "moved", "base:v3 is another image now")
        assert self.claim(app, stored("base")) == ("unverified", "gone", "base:v3 does not exist")
        unread = image("p1", "app", name="base:v3", digest=P1.digest)
        assert self.claim(unread, stored("base", v3=P1, read=False))[:2] == ("unverified", "current")

    def test_an_index_that_was_read_in_part_contradicts_nothing(self) -> None:
        base = raw(index_document([child(P2), child(P1, "linux/arm64")]))
        app = image("p1", "app", name="base:v3", digest=base.digest)
        part = Inventory.from_api([detail(base, imageTags=["v3"]), detail(P2)], manifests=[base, P2], repository="base")
        assert self.claim(app, part)[:2] == ("unverified", "current")
        assert self.claim(app, stored("base", P1, P2, v3=base))[:2] == ("confirmed", "current")

    def test_a_name_alone(self) -> None:
        app = image("p1", "app", name="base:v3")
        assert self.claim(app, stored("base", v3=P1)) == (
            "unverified",
            "current",
            "it begins with the layers of base:v3",
        )
        assert self.claim(app, stored("base", v3=P2))[1] == "moved"
        assert self.claim(app, stored("base", v3=P1, read=False))[1:] == ("unknown", "not all of base:v3 was read")
        latest = image("p1", "app", name="base")
        assert self.claim(latest, stored("base", latest=P1))[1] == "current"

    def test_the_digest_of_one_platform_of_the_tag(self) -> None:
        base = raw(index_document([child(P1)]))
        app = image("p1", "app", name="base:v3", digest=P1.digest)
        assert self.claim(app, stored("base", P1, v3=base)) == ("confirmed", "current", "base:v3 is still that image")

    @pytest.mark.parametrize(
        "name",
        ["docker.io/library/python:3", "public.ecr.aws/base:v3", "other:v3", "not a name", f"base@{P1.digest}"],
    )
    def test_names_that_are_not_here(self, name: str) -> None:
        app = image("p1", "app", name=name)
        assert self.claim(app, stored("base", v3=P1))[1:] == ("current", "base:v3 has these layers")

    def test_names_in_a_private_registry(self) -> None:
        app = image("p1", "app", name="123456789012.dkr.ecr.eu-west-1.amazonaws.com/base:v3")
        assert self.claim(app, stored("base", v3=P2))[1] == "moved"

    def test_mirrors(self) -> None:
        app = image("p1", "app", name="docker.io/library/python:v3")
        mirrors = {"docker.io/": "elsewhere/", "docker.io/library/": "hub/"}
        assert self.claim(app, stored("hub/python", v3=P2), mirrors=mirrors)[1] == "moved"

    def test_labels_count_where_there_is_no_annotation(self) -> None:
        config = json.dumps({"config": {"Labels": {NAME: "base:v3"}}})
        configs = {digest_of(config): ImageConfig.parse(config)}
        layers = [blob("p1", 100), blob("app", 100)]
        labelled = raw(image_document(layers, config=blob(config, 5, CONFIG)))
        every = [stored("base", v3=P2), stored("team", v1=labelled)]
        assert use_of(base_images(every, configs=configs), labelled).status == "moved"
        assert use_of(base_images(every), labelled).claim is None
        both = raw(image_document(layers, config=blob(config, 5, CONFIG), annotations={NAME: "other:v3"}))
        found = use_of(base_images([stored("team", v1=both)], configs=configs), both).claim
        assert found is not None
        assert found.name == "other:v3"

    def test_the_same_layers_as_the_named_base(self) -> None:
        # FROM and ENV alone add no layer.
        env = raw({**image_document([blob("p1", 100)]), "annotations": {NAME: "base:v3", DIGEST: P1.digest}})
        use = use_of(base_images([stored("base", v3=P1), stored("team", v1=env)]), env)
        assert (use.bases, use.layers, use.status) == ((Place("base", P1.digest),), 1, "current")


class TestRebuild:
    """A base is rebuilt before what rests on it, and only what a tag names is rebuilt."""

    def test_in_waves(self) -> None:
        middle, top, other = image("p1", "m"), image("p1", "m", "t"), image("p2", "o")
        report = base_images(
            [
                stored("base", P1, v3=P2),
                stored("middle", v1=middle),
                stored("team/top", v1=top),
                stored("team/other", v1=other),
                stored("team/old", image("p1", "old")),
            ]
        )
        assert report.rebuild_order() == ((Place("middle", middle.digest),), (Place("team/top", top.digest),))
        assert [use.image.repository for use in report.outdated] == ["middle", "team/old"]

    def test_it_waits_for_what_the_tag_names_by_then(self) -> None:
        m1, m2 = image("x", "m1"), image("p1", "m2")
        app = image("x", "m1", "app", name="middle:v1", digest=m1.digest)
        report = base_images([stored("base", P1, v3=P2), stored("middle", m1, v1=m2), stored("team", v1=app)])
        assert report.rebuild_order() == ((Place("middle", m2.digest),), (Place("team", app.digest),))

    def test_an_index_as_a_whole(self) -> None:
        arm = image("arm", "app")
        inner = raw(index_document([child(APP), child(arm, "linux/arm64")]))
        outer = raw(index_document([{**child(inner), "platform": None}]))
        report = base_images([stored("base", P1, v3=P2), stored("team", APP, arm, inner, v1=outer)])
        assert report.rebuild_order() == ((Place("team", outer.digest),),)

    def test_nothing_to_do(self) -> None:
        assert base_images([stored("base", v3=P1), stored("team", v1=APP)]).rebuild_order() == ()

    def test_a_circle_ends(self) -> None:
        one, two = Place("a1", digest_of("1")), Place("b1", digest_of("2"))
        uses = [BaseUse(image=x, tags=("t",), bases=(y,), status="gone") for x, y in ((one, two), (two, one))]
        assert BaseReport(uses=tuple(uses)).rebuild_order() == ((one, two),)


class TestInput:
    def test_two_inventories_of_one_repository(self) -> None:
        with pytest.raises(InvalidInput, match="the second of base"):
            base_images([stored("base", v1=P1), stored("base", v1=P2)])
        with pytest.raises(InvalidInput, match="no repository name"):
            base_images([stored("", v1=P1)])

    def test_shown(self) -> None:
        named = image("p9", "x", name="else:v1")
        report = base_images([stored("base", P1, v3=P2), stored("team", v1=APP), stored("old", image("z"), v2=named)])
        short = {m.digest: m.digest[:19] for m in (P1, P2, APP, image("z"))}
        untagged = f"base@{short[P1.digest]} has no tag any more"
        rows = [line.split("  ") for line in report.explain().splitlines()]
        assert [[cell.strip() for cell in row if cell] for row in rows if not row[0].startswith("-")] == [
            ["image", "platform", "rests on", "layers", "status", "why"],
            [f"base@{short[P1.digest]}", "unknown", "unknown", "0", "unknown", "no base of it is known here"],
            ["base:v3", "unknown", "unknown", "0", "unknown", "no base of it is known here"],
            ["team:v1", "unknown", f"base@{short[P1.digest]}", "1", "untagged", untagged],
            [f"old@{short[image('z').digest]}", "unknown", "unknown", "0", "unknown", "no base of it is known here"],
            ["old:v2", "unknown", "else:v1", "0", "unknown", "no base of it is known here"],
        ]
        html = report._repr_html_()
        assert "<caption>5 images, 1 outdated</caption>" in html
        assert "<th>image</th><th>platform</th><th>rests on</th><th>layers</th><th>status</th><th>why</th>" in html
        assert report.to_dict()["uses"][2]["image"] == {"repository": "team", "digest": APP.digest}
        assert str(Place("team", APP.digest)) == f"team@{short[APP.digest]}"

    def test_a_base_in_no_index_has_only_its_own_digest(self) -> None:
        report = base_images([stored("base", v3=P1), stored("team", v1=APP)])
        assert report.resting_on("base", P2.digest) == ()
        assert len(report.resting_on("base", P1.digest)) == 1


class TestEdges:
    def test_the_longest_mirror_counts(self) -> None:
        app = image("p1", "app", name="docker.io/python:v3")
        for mirrors in ({"docker.io/": "hub/", "d": "x/"}, {"d": "x/", "docker.io/": "hub/"}):
            assert TestWords.claim(app, stored("hub/python", v3=P2), mirrors=mirrors)[1] == "moved"
        late = image("p1", "app", name="z/python:v3")
        mirrors = {"z/py": "hub/py", "z/": "none/"}
        assert TestWords.claim(late, stored("hub/python", v3=P2), mirrors=mirrors)[1] == "moved"

    def test_a_name_with_tag_and_digest(self) -> None:
        app = image("p1", "app", name=f"base:v3@{P1.digest}")
        assert TestWords.claim(app, stored("base", v3=P2))[1] == "moved"

    def test_what_is_unread_and_may_be_a_base(self) -> None:
        base = raw(index_document([child(P1)]))
        nobody = {**detail(P2), "imageManifestMediaType": None}
        signature = detail(APP, artifactMediaType="application/vnd.cncf.notary.signature")
        report = base_images([Inventory.from_api([detail(base), nobody, signature], repository="base")])
        assert [place.digest for place in report.unread] == [base.digest, P2.digest]

    def test_schema_1_has_no_config(self) -> None:
        old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("p1")}]})
        assert base_images([stored("old", v1=old)]).uses[0].platform is None

    def test_words_of_a_refusal(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            base_images([stored("")])
        assert str(caught.value) == (
            "not inventories of different repositories: inventories: one has no repository name"
        )

    def test_an_image_without_layers_is_nobodys_base(self) -> None:
        empty = image()
        app = image("p1", name="base:v3", digest=empty.digest)
        assert TestWords.claim(app, stored("base", v3=empty))[0] == "contradicted"


def test_indexes_that_hold_each_other_end() -> None:
    one, two = (raw(index_document([child(P1)], annotations={"n": n})) for n in "12")
    children = {one.digest: [two.digest, P1.digest], two.digest: [one.digest, P1.digest]}
    inventory = Inventory.from_api([detail(m) for m in (one, two, P1)], children=children, repository="base")
    loop = attrs.evolve(inventory, manifests={P1.digest: Manifest.parse(P1.text)})
    assert base_images([loop]).rebuild_order() == ()


def test_node_numbers_of_different_layers_differ() -> None:
    app = image("x", "y", "app")
    report = base_images([stored("one", v1=image("x")), stored("two", v1=image("y")), stored("team", v1=app)])
    assert use_of(report, app).bases == (Place("one", image("x").digest),)
