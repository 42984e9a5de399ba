from __future__ import annotations

import json

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory
from ecrkit.images.builds import BuildReuse, CacheReuse, cache_reuse, last_builds
from ecrkit.images.config import ImageConfig
from ecrkit.records import RawManifest
from tests.support.manifests import CONFIG, DOCKER, blob, child, detail, digest_of, image_document, index_document, raw

BASE = blob("base", 1000)


def image(*names: str, config: str = "config", **more: object) -> RawManifest:
    layers = [BASE, *(blob(name, 100) for name in names)]
    return raw(image_document(layers, config=blob(config, 10, CONFIG), **more))


def listed(*manifests: RawManifest, read: bool = True) -> Inventory:
    """An inventory of these, the oldest first, each with a tag."""
    details = [detail(m, imagePushedAt=1767225600.0 + n, imageTags=[f"v{n}"]) for n, m in enumerate(manifests)]
    return Inventory.from_api(details, manifests=manifests if read else ())


class TestLastBuilds:
    """The newest entry of a repository may be a signature or a child and no build (prowler#4507, docker/buildx#940)."""

    def test_newest_first(self) -> None:
        one, two, three = (image(n) for n in "123")
        inventory = listed(one, two, three)
        assert [i.tags for i in last_builds(inventory)] == [("v2",), ("v1",), ("v0",)]
        assert [i.tags for i in last_builds(inventory, 2)] == [("v2",), ("v1",)]

    def test_children_and_what_is_pushed_beside_a_build_are_left_out(self) -> None:
        one = image("1")
        index = raw(index_document([child(one)]))
        signature = raw(image_document([blob("s", 1, "application/vnd.dev.cosign.simplesigning.v1+json")]))
        assert [i.digest for i in last_builds(listed(one, index, signature))] == [index.digest]

    def test_what_may_be_a_child_is_left_out(self) -> None:
        index = raw(index_document([child(image("1"))]))
        plain = {**detail(image("2")), "imageManifestMediaType": DOCKER}
        assert [i.digest for i in last_builds(Inventory.from_api([detail(index), plain]))] == [index.digest]
        assert len(last_builds(Inventory.from_api([detail(index), {**plain, "imageTags": ["v1"]}]))) == 2
        assert len(last_builds(Inventory.from_api([plain]))) == 1

    def test_what_nobody_knows_is_left_out(self) -> None:
        assert last_builds(listed(image("1"), read=False)) == ()

    def test_no_builds_is_no_number(self) -> None:
        with pytest.raises(InvalidInput, match="at least 1"):
            last_builds(listed(), 0)
        with pytest.raises(InvalidInput, match="at least 2"):
            cache_reuse(listed(), 1)


class TestReuse:
    """A layer that the build before had was not built anew."""

    def test_each_build_against_the_one_before(self) -> None:
        found = cache_reuse(listed(image("a"), image("a", "b"), image("c", "b")))
        assert [(b.tags, b.layers, b.reused_layers, b.size, b.reused_size, b.first_new) for b in found.builds] == [
            (("v2",), 3, 2, 1200, 1100, 1),
            (("v1",), 3, 2, 1200, 1100, 2),
        ]
        assert found.layer_ratio == 4 / 6
        assert found.byte_ratio == 2200 / 2400
        assert str(found) == "layers reused: 67%, bytes reused: 92%"

    def test_nothing_new(self) -> None:
        (only,) = cache_reuse(listed(image("a", config="1"), image("a", config="2"))).builds
        assert (only.reused_layers, only.first_new, only.instruction) == (2, None, None)

    def test_the_instruction_that_began_anew(self) -> None:
        config = json.dumps({"history": [{"created_by": "FROM"}, {"created_by": "RUN make"}]})
        new = image("b", config=config)
        found = cache_reuse(listed(image("a"), new), configs={digest_of(config): ImageConfig.parse(config)})
        assert (found.builds[0].first_new, found.builds[0].instruction) == (1, "RUN make")
        assert found.explain().splitlines()[2].endswith("1: RUN make")

    def test_platform_by_platform(self) -> None:
        one, two, arm = image("a"), image("a", "b"), image("x", config="arm")
        before = raw(index_document([child(one)]))
        after = raw(index_document([child(two), child(arm, "linux/arm64")]))
        details = [detail(m, imagePushedAt=n) for n, m in enumerate((one, two, arm, before, after))]
        found = cache_reuse(Inventory.from_api(details, manifests=[one, two, arm, before, after]))
        assert [(b.platform, b.layers, b.reused_layers, b.first_new) for b in found.builds] == [
            ("linux/amd64", 3, 2, 2),
            ("linux/arm64", 2, 0, 0),
        ]

    def test_an_image_that_became_an_index(self) -> None:
        one, two = image("a"), image("a", "b")
        index = raw(index_document([child(two)]))
        details = [detail(m, imagePushedAt=n) for n, m in enumerate((one, two, index))]
        found = cache_reuse(Inventory.from_api(details, manifests=[one, two, index]))
        assert [(b.platform, b.reused_layers) for b in found.builds] == [("linux/amd64", 2)]

    def test_a_layer_that_stands_twice_counts_once(self) -> None:
        (only,) = cache_reuse(listed(image("a"), image("b", "b"))).builds
        assert (only.layers, only.reused_layers, only.size, only.first_new) == (2, 1, 1100, 1)


class TestUnknown:
    """What was not read is in no ratio."""

    def test_unread_manifests(self) -> None:
        old, new = image("a"), image("b")
        details = [
            detail(m, imagePushedAt=n, imageTags=["v"], artifactMediaType=CONFIG) for n, m in enumerate((old, new))
        ]
        for read, words in (
            ([old], "its manifest was not read"),
            ([new], "the manifest of the build before was not read"),
        ):
            found = cache_reuse(Inventory.from_api(details, manifests=read))
            assert [b.unknown for b in found.builds] == [words]
            assert (found.layer_ratio, found.byte_ratio) == (None, None)
            assert str(found) == "layers reused: unknown, bytes reused: unknown"

    def test_unread_children(self) -> None:
        one, two = image("a"), image("b")
        first, second = raw(index_document([child(one)])), raw(index_document([child(two)]))
        details = [detail(m, imagePushedAt=n) for n, m in enumerate((first, second))]
        for read, words in ((one, "its manifest was not read"), (two, "the manifest of the build before was not read")):
            found = cache_reuse(Inventory.from_api(details, manifests=[first, second, read]))
            assert [b.unknown for b in found.builds] == [words]

    def test_which_platform(self) -> None:
        one, two, new = image("a"), image("b"), image("c")
        index = raw(index_document([child(one), child(two, "linux/arm64")]))
        details = [detail(m, imagePushedAt=n) for n, m in enumerate((one, two, index, new))]
        found = cache_reuse(Inventory.from_api(details, manifests=[one, two, index, new]))
        assert [b.unknown for b in found.builds] == ["it is not known which platform it is for"]

    def test_schema_1_counts_layers_and_no_bytes(self) -> None:
        old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]})
        new = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("y")}, {"blobSum": digest_of("x")}]})
        found = cache_reuse(listed(old, new))
        assert (found.layer_ratio, found.byte_ratio, found.builds[0].first_new) == (0.5, None, 1)


class TestShown:
    def test_text(self) -> None:
        untagged = Inventory.from_api(
            [detail(m, imagePushedAt=n) for n, m in enumerate((image("a"), image("b")))],
            manifests=[image("a"), image("b")],
        )
        name = image("b").digest[:19]
        assert cache_reuse(untagged).explain().splitlines() == [
            "build                platform  layers reused       bytes reused  first new layer",
            "-------------------  --------  -------------  -----------------  ----------------------",
            f"{name}  unknown          1 of 2  1000 B of 1.1 KiB  1: instruction unknown",
        ]
        old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]})
        same = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}], "tag": "x"})
        assert cache_reuse(listed(old, same)).explain().splitlines()[2].split() == [
            "v1",
            "unknown",
            "1",
            "of",
            "1",
            "?",
        ]

    def test_text_of_several_tags_and_the_unknown(self) -> None:
        found = CacheReuse(
            builds=(BuildReuse(digest="d", tags=("v1", "latest"), platform="linux/arm64", unknown="why"),)
        )
        assert found.explain().splitlines()[2].split() == ["v1,", "latest", "linux/arm64", "why", "?"]

    def test_html(self) -> None:
        assert CacheReuse()._repr_html_() == (
            "<table><caption>layers reused: unknown, bytes reused: unknown</caption><thead><tr><th>build</th>"
            "<th>platform</th><th>layers reused</th><th>bytes reused</th><th>first new layer</th></tr></thead>"
            "<tbody></tbody></table>"
        )
        rows = CacheReuse(builds=(BuildReuse(digest="d", tags=("v1",), unknown="why"),))._repr_html_()
        assert "<td>v1</td><td>unknown</td><td>why</td><td>?</td><td></td>" in rows


class TestBounds:
    def test_words(self) -> None:
        for work, least in ((last_builds, 1), (cache_reuse, 2)):
            with pytest.raises(InvalidInput) as caught:
                work(listed(), least - 1)
            assert str(caught.value) == f"not a number of builds: count: must be at least {least}, not {least - 1}"

    def test_the_least(self) -> None:
        inventory = listed(*(image(str(n)) for n in range(12)))
        assert len(last_builds(inventory, 1)) == 1
        assert len(cache_reuse(inventory, 2).builds) == 1
        assert len(cache_reuse(inventory).builds) == 9
        assert len(cache_reuse(inventory, 11).builds) == 10

    def test_builds_after_an_unread_one_still_count(self) -> None:
        one, two, three, four = (image(n) for n in "abcd")
        details = [
            detail(m, imagePushedAt=n, imageTags=[f"v{n}"], artifactMediaType=CONFIG)
            for n, m in enumerate((one, two, three, four))
        ]
        found = cache_reuse(Inventory.from_api(details, manifests=[one, two, four]))
        assert [(b.digest, b.tags, b.unknown) for b in found.builds] == [
            (four.digest, ("v3",), "the manifest of the build before was not read"),
            (three.digest, ("v2",), "its manifest was not read"),
            (two.digest, ("v1",), None),
        ]

    def test_a_config_tells_the_platform(self) -> None:
        arm = json.dumps({"os": "linux", "architecture": "arm64"})
        one, two, new = image("a"), image("b"), image("b", "c", config=arm)
        index = raw(index_document([child(one), child(two, "linux/arm64")]))
        details = [detail(m, imagePushedAt=n) for n, m in enumerate((one, two, index, new))]
        inventory = Inventory.from_api(details, manifests=[one, two, index, new])
        found = cache_reuse(inventory, configs={digest_of(arm): ImageConfig.parse(arm)})
        assert [(b.platform, b.reused_layers) for b in found.builds] == [("linux/arm64", 2)]

    def test_schema_1_has_no_bytes(self) -> None:
        old = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]})
        new = raw({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}], "tag": "x"})
        assert [(b.size, b.reused_size) for b in cache_reuse(listed(old, new)).builds] == [(None, None)]

    def test_a_layer_of_no_bytes(self) -> None:
        none = raw(image_document([blob("none", 0)], config=blob("c1", 5, CONFIG)))
        again = raw(image_document([blob("none", 0)], config=blob("c2", 5, CONFIG)))
        assert [(b.size, b.reused_size) for b in cache_reuse(listed(none, again)).builds] == [(0, 0)]
