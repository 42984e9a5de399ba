from __future__ import annotations

import json
from typing import Any

import attrs
import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import ByteRange, Manifest
from ecrkit.images.comparison import diff
from ecrkit.images.config import ImageConfig
from ecrkit.images.runnable import runnable_images
from ecrkit.records import RawManifest
from tests.support.manifests import blob, child, digest_of, image_document, index_document, raw

BASE, MIDDLE = blob("base", 1000), blob("middle", 300)


def image(*layers: dict[str, Any], config: str = "config", size: int = 10) -> RawManifest:
    return raw(image_document(list(layers), config=blob(config, size)))


def parsed(manifest: RawManifest) -> Manifest:
    return Manifest.parse(manifest.text)


def known(*manifests: RawManifest) -> dict[str, Manifest]:
    return {m.digest: parsed(m) for m in manifests}


OLD = image(BASE, MIDDLE, blob("app 1", 50), config="config 1")
NEW = image(BASE, blob("app 2", 60), MIDDLE, blob("app 2", 60), config="config 2", size=11)


class TestLayers:
    """A node keeps the layers that it has, by digest, and pulls the others (OCI distribution specification)."""

    def test_shared_added_removed(self) -> None:
        (part,) = diff(parsed(OLD), parsed(NEW)).platforms
        assert [d.digest for d in part.shared] == [digest_of("base"), digest_of("middle")]
        assert [d.digest for d in part.added] == [digest_of("app 2")]
        assert [d.digest for d in part.removed] == [digest_of("app 1")]
        assert part.pull == ByteRange.exactly(60 + 11)
        assert (part.before, part.after, part.platform) == (OLD.digest, NEW.digest, None)

    def test_kept_below_the_first_change(self) -> None:
        assert diff(parsed(OLD), parsed(NEW)).platforms[0].kept_below == 1
        longer = image(BASE, MIDDLE, blob("app 1", 50), blob("more", 5))
        assert diff(parsed(OLD), parsed(longer)).platforms[0].kept_below == 3
        assert diff(parsed(longer), parsed(OLD)).platforms[0].kept_below == 3
        assert diff(parsed(OLD), parsed(image())).platforms[0].kept_below == 0

    def test_the_same_image_pulls_nothing(self) -> None:
        (part,) = diff(parsed(OLD), parsed(OLD)).platforms
        assert (part.pull, part.added, part.removed) == (ByteRange.exactly(0), (), ())

    def test_the_same_config_is_not_pulled_again(self) -> None:
        one, two = image(BASE), image(BASE, blob("x", 7))
        assert diff(parsed(one), parsed(two)).platforms[0].pull == ByteRange.exactly(7)

    def test_schema_1_tells_no_bytes(self) -> None:
        old = Manifest.parse(json.dumps({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]}))
        (part,) = diff(parsed(OLD), old).platforms
        assert part.pull == ByteRange(0, None, ("a schema 1 manifest tells no layer sizes",))
        same = diff(old, parsed(image(blob("x", 9), config="c"))).platforms[0]
        assert same.pull == ByteRange.exactly(10)

    def test_apply_gives_the_layers_after(self) -> None:
        (part,) = diff(parsed(OLD), parsed(NEW)).platforms
        assert part.apply(parsed(OLD).layers) == parsed(NEW).layers
        with pytest.raises(InvalidInput) as caught:
            part.apply(parsed(NEW).layers)
        assert str(caught.value) == "not the layers of the image before: layers: expected 3 others"


class TestPlatforms:
    """Images of the same platform are compared, in the spelling that runtimes compare."""

    ARM_1, ARM_2 = image(BASE, blob("arm 1", 70), config="a1"), image(BASE, blob("arm 2", 80), config="a2")
    BEFORE = raw(index_document([child(OLD), child(ARM_1, "linux/arm64")]))
    AFTER = raw(index_document([child(NEW), child(ARM_2, "linux/aarch64")]))
    ALL = known(OLD, NEW, ARM_1, ARM_2)

    def test_each_platform_by_itself(self) -> None:
        found = diff(parsed(self.BEFORE), parsed(self.AFTER), manifests=self.ALL)
        assert [(p.platform, p.pull and p.pull.exact) for p in found.platforms] == [
            ("linux/amd64", 71),
            ("linux/arm64", 90),
        ]
        assert found.on("linux/arm64") == found.platforms[1]
        assert found.on("linux/s390x") is None

    def test_a_new_platform_pulls_everything_and_a_lost_one_nothing(self) -> None:
        only = raw(index_document([child(self.ARM_2, "linux/arm64")]))
        grown = diff(parsed(only), parsed(self.AFTER), manifests=self.ALL)
        assert [(p.platform, p.before, p.pull and p.pull.exact) for p in grown.platforms] == [
            ("linux/amd64", None, 1000 + 60 + 300 + 11),
            ("linux/arm64", self.ARM_2.digest, 0),
        ]
        shrunk = diff(parsed(self.AFTER), parsed(only), manifests=self.ALL)
        assert [(p.platform, p.after, p.pull) for p in shrunk.platforms][1] == ("linux/amd64", None, None)
        assert [d.digest for d in shrunk.platforms[1].removed] == [d.digest for d in grown.platforms[0].added]

    def test_attestations_are_no_platform(self) -> None:
        proof = {**child(OLD), "platform": {"os": "unknown", "architecture": "unknown"}}
        index = raw(index_document([child(NEW), proof]))
        assert [r.digest for r in runnable_images(parsed(index))] == [NEW.digest]

    def test_the_first_entry_of_a_platform_counts(self) -> None:
        index = raw(index_document([child(NEW), child(OLD)]))
        assert [r.digest for r in runnable_images(parsed(index))] == [NEW.digest]

    def test_an_index_inside_of_an_index(self) -> None:
        outer = raw(index_document([{**child(self.AFTER), "platform": None}]))
        images = runnable_images(parsed(outer), manifests=known(self.AFTER))
        assert [str(r.platform) for r in images] == ["linux/amd64", "linux/arm64"]

    def test_an_index_that_is_its_own_child_ends(self) -> None:
        entry = {**child(self.AFTER), "platform": None}
        index = parsed(raw(index_document([entry, child(NEW)])))
        assert [r.digest for r in runnable_images(index, manifests={self.AFTER.digest: index})] == [NEW.digest]

    def test_a_config_tells_the_platform_of_an_image(self) -> None:
        config = json.dumps({"os": "linux", "architecture": "arm64"})
        manifest = parsed(raw(image_document([BASE], config=blob(config, 5))))
        configs = {digest_of(config): ImageConfig.parse(config)}
        found = diff(manifest, parsed(self.AFTER), manifests=self.ALL, configs=configs)
        assert [(p.platform, p.before) for p in found.platforms] == [
            ("linux/amd64", None),
            ("linux/arm64", manifest.digest),
        ]


class TestUnknown:
    """What was not read makes a range, and says so."""

    INDEX = raw(index_document([child(OLD), child(TestPlatforms.ARM_1, "linux/arm64")]))

    def test_unread_children(self) -> None:
        after = raw(index_document([child(NEW)]))
        unread_after = diff(parsed(raw(index_document([child(OLD)]))), parsed(after), manifests=known(OLD)).platforms[0]
        assert unread_after.pull == ByteRange(0, None, (f"the manifest of {NEW.digest} was not read",))
        assert unread_after.unknown == (f"the manifest of {NEW.digest} was not read",)
        unread_before = diff(parsed(raw(index_document([child(OLD)]))), parsed(after), manifests=known(NEW)).platforms[
            0
        ]
        assert unread_before.pull == ByteRange(0, 1371, (f"the manifest of {OLD.digest} was not read",))
        with pytest.raises(InvalidInput) as caught:
            unread_before.apply(())
        assert str(caught.value) == f"the difference is not known: layers: the manifest of {OLD.digest} was not read"

    def test_the_same_unread_child_pulls_nothing(self) -> None:
        first, second = (raw(index_document([child(OLD)], annotations={"n": n})) for n in "12")
        assert diff(parsed(first), parsed(second)).platforms[0].pull == ByteRange.exactly(0)

    def test_a_platform_that_nobody_tells_may_be_any(self) -> None:
        found = diff(parsed(OLD), parsed(self.INDEX), manifests=known(OLD, TestPlatforms.ARM_1))
        reason = f"the platform of {OLD.digest} is not known"
        assert [(p.platform, p.pull) for p in found.platforms] == [
            ("linux/amd64", ByteRange(0, 1360, (reason,))),
            ("linux/arm64", ByteRange(80, 1080, (reason,))),
        ]
        back = diff(parsed(self.INDEX), parsed(NEW), manifests=known(OLD, TestPlatforms.ARM_1))
        (only,) = back.platforms
        assert (only.platform, only.before, only.after) == (None, None, NEW.digest)
        assert only.pull == ByteRange(71, 1371, (f"the platform of {NEW.digest} is not known",))
        assert only.unknown == (f"the platform of {NEW.digest} is not known",)

    def test_one_image_against_one_platform(self) -> None:
        (part,) = diff(parsed(OLD), parsed(raw(index_document([child(NEW)]))), manifests=known(NEW)).platforms
        assert (part.platform, part.pull) == ("linux/amd64", ByteRange.exactly(71))


class TestShown:
    def test_text(self) -> None:
        assert diff(parsed(OLD), parsed(NEW)).explain().splitlines() == [
            "platform          shared layers     added   removed  a node pulls",
            "----------------  -------------  --------  --------  ------------",
            "platform unknown              2  1 (60 B)  1 (50 B)          71 B",
        ]

    def test_text_of_the_unknown(self) -> None:
        unread = diff(parsed(raw(index_document([child(OLD)]))), parsed(raw(index_document([child(NEW)]))))
        assert unread.explain().splitlines() == [
            "platform     shared layers  added  removed  a node pulls",
            "-----------  -------------  -----  -------  ------------",
            "linux/amd64              ?      ?        ?  at least 0 B",
        ]
        gone = diff(parsed(TestPlatforms.BEFORE), parsed(raw(index_document([child(NEW)]))), manifests=known(OLD, NEW))
        assert gone.explain().splitlines()[3].endswith("no such image")

    def test_html_and_json(self) -> None:
        found = diff(parsed(OLD), parsed(NEW))
        assert found._repr_html_() == (
            f"<table><caption>{OLD.digest[:19]} -&gt; {NEW.digest[:19]}</caption><thead><tr><th>platform</th>"
            "<th>shared layers</th><th>added</th><th>removed</th><th>a node pulls</th></tr></thead><tbody>"
            "<tr><td>platform unknown</td><td>2</td><td>1 (60 B)</td><td>1 (50 B)</td><td>71 B</td></tr></tbody></table>"
        )
        assert found.to_dict()["platforms"][0]["pull"] == {"low": 71, "high": 71, "reasons": []}


class TestNameless:
    """Images without a platform are never taken for one another, and never for a platform that is told."""

    ARM, X = TestPlatforms.ARM_1, image(blob("x", 5), config="x")

    def test_entries_without_a_platform_stand_apart(self) -> None:
        index = parsed(raw(index_document([{**child(m), "platform": None} for m in (OLD, NEW)])))
        assert [r.digest for r in runnable_images(index)] == [OLD.digest, NEW.digest]

    def test_two_indexes_that_hold_each_other_end(self) -> None:
        one, two = (raw(index_document([{**child(OLD), "platform": None}], annotations={"n": n})) for n in "12")
        inner = attrs.evolve(parsed(two), manifests=(attrs.evolve(parsed(one).manifests[0], digest=one.digest),))
        outer = attrs.evolve(parsed(one), manifests=(attrs.evolve(parsed(two).manifests[0], digest=two.digest),))
        assert runnable_images(outer, manifests={one.digest: outer, two.digest: inner}) == ()

    def test_the_config_of_the_image_after(self) -> None:
        config = json.dumps({"os": "linux", "architecture": "arm64"})
        manifest = parsed(raw(image_document([BASE], config=blob(config, 5))))
        configs = {digest_of(config): ImageConfig.parse(config)}
        before = parsed(TestPlatforms.BEFORE)
        found = diff(before, manifest, manifests=TestPlatforms.ALL, configs=configs)
        assert [(p.platform, p.after) for p in found.platforms] == [
            ("linux/arm64", manifest.digest),
            ("linux/amd64", None),
        ]
        assert (found.before, found.after) == (before.digest, manifest.digest)

    def test_a_told_platform_is_compared_with_the_nameless_only(self) -> None:
        before = parsed(raw(index_document([child(OLD), {**child(self.X), "platform": None}])))
        after = parsed(raw(index_document([child(NEW), child(self.ARM, "linux/arm64")])))
        amd, arm = diff(before, after, manifests=known(OLD, NEW, self.X, self.ARM)).platforms
        assert (amd.before, amd.pull, amd.unknown) == (OLD.digest, ByteRange.exactly(71), ())
        reason = f"the platform of {self.X.digest} is not known"
        assert arm.pull == ByteRange(1080, 1080, (reason,))
        assert arm.unknown == (reason,)

    def test_nothing_nameless_means_that_a_platform_is_new(self) -> None:
        before = parsed(raw(index_document([child(OLD), child(self.X, "linux/s390x")])))
        after = parsed(raw(index_document([child(self.ARM, "linux/arm64")])))
        arm, amd, z = diff(before, after, manifests=known(OLD, self.X, self.ARM)).platforms
        assert (arm.pull, arm.unknown) == (ByteRange.exactly(1080), ())
        assert (amd.after, z.after) == (None, None)
