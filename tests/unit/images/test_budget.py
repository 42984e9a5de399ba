from __future__ import annotations

import json

import attrs
import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import Manifest
from ecrkit.images.budget import Budget
from ecrkit.images.config import ImageConfig
from ecrkit.records import RawManifest
from tests.support.manifests import blob, child, digest_of, image_document, index_document, raw


def image(*layers: tuple[str, int], config: str = "config") -> RawManifest:
    return raw(image_document([blob(name, size) for name, size in layers], config=blob(config, 10)))


def parsed(*manifests: RawManifest) -> list[Manifest]:
    return [Manifest.parse(m.text) for m in manifests]


SMALL, LARGE = image(("base", 90)), image(("base", 90), ("app", 400), config="config 2")
BOTH = raw(index_document([child(SMALL), child(LARGE, "linux/arm64")]))
KNOWN = {m.digest: m for m in parsed(SMALL, LARGE)}
OLD = Manifest.parse(json.dumps({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}]}))


class TestLimits:
    """Each limit holds for each platform; a value at the limit is within it."""

    @pytest.mark.parametrize(("limit", "outcome"), [(500, "pass"), (499, "fail"), (501, "pass")])
    def test_bytes(self, limit: int, outcome: str) -> None:
        verdict = Budget(max_bytes=limit).judge(*parsed(LARGE))
        assert (verdict.outcome, verdict.passed) == (outcome, outcome == "pass")
        assert bool(verdict.reasons) == (outcome == "fail")

    def test_a_layer_that_stands_twice_is_pulled_once(self) -> None:
        assert Budget(max_bytes=110).judge(*parsed(image(("a", 100), ("a", 100)))).passed

    @pytest.mark.parametrize(("limit", "outcome"), [(2, "pass"), (1, "fail"), (0, "fail")])
    def test_layers(self, limit: int, outcome: str) -> None:
        assert Budget(max_layers=limit).judge(*parsed(LARGE)).outcome == outcome

    @pytest.mark.parametrize(("limit", "outcome"), [(410, "pass"), (409, "fail")])
    def test_pull(self, limit: int, outcome: str) -> None:
        small, large = parsed(SMALL, LARGE)
        assert Budget(max_pull_delta=limit).judge(large, before=small).outcome == outcome

    def test_the_worst_platform_decides(self) -> None:
        verdict = Budget(max_bytes=200).judge(*parsed(BOTH), manifests=KNOWN)
        assert verdict.outcome == "fail"
        (reason,) = verdict.reasons
        assert (reason.platform, reason.allowed, reason.least, reason.most) == ("linux/arm64", 200, 500, 500)
        assert str(reason) == "max_bytes [linux/arm64]: 500 B, 300 B more than the limit of 200 B"

    def test_every_reason_is_told(self) -> None:
        small, large = parsed(SMALL, LARGE)
        verdict = Budget(max_bytes=1, max_layers=1, max_pull_delta=1).judge(large, before=small)
        assert [r.limit for r in verdict.reasons] == ["max_bytes", "max_layers", "max_pull_delta"]
        assert verdict.explain().splitlines() == [
            f"FAIL: {LARGE.digest}",
            "- max_bytes: 500 B, 499 B more than the limit of 1 B",
            "- max_layers: 2, 1 more than the limit of 1",
            "- max_pull_delta: 410 B, 409 B more than the limit of 1 B",
        ]

    def test_a_platform_that_is_no_more_pulls_nothing(self) -> None:
        both, one = parsed(BOTH, raw(index_document([child(SMALL)])))
        assert Budget(max_pull_delta=0).judge(one, before=both, manifests=KNOWN).passed


class TestUnknown:
    """What is not known and could exceed a limit is no pass."""

    def test_a_child_that_was_not_read(self) -> None:
        known = {SMALL.digest: KNOWN[SMALL.digest]}
        verdict = Budget(max_bytes=200, max_layers=5).judge(*parsed(BOTH), manifests=known)
        assert (verdict.outcome, verdict.exit_code, verdict.passed) == ("undetermined", 3, False)
        assert [r.text for r in verdict.reasons] == [
            f"at least 0 B, the limit is 200 B: the manifest of {LARGE.digest} was not read",
            f"at least 0, the limit is 5: the manifest of {LARGE.digest} was not read",
        ]

    def test_schema_1(self) -> None:
        assert Budget(max_bytes=10**12).judge(OLD).outcome == "undetermined"
        assert Budget(max_layers=1).judge(OLD).outcome == "pass"

    def test_nothing_to_compare_with(self) -> None:
        verdict = Budget(max_pull_delta=10**12).judge(*parsed(SMALL))
        assert [r.text for r in verdict.reasons] == ["there is no image before to compare with"]
        assert verdict.outcome == "undetermined"

    def test_a_range_that_cannot_exceed_the_limit_passes(self) -> None:
        index = raw(index_document([child(SMALL)]))
        other = raw(index_document([child(LARGE)]))
        new, old = parsed(other, index)
        known = {LARGE.digest: KNOWN[LARGE.digest]}
        assert Budget(max_pull_delta=500).judge(new, before=old, manifests=known).passed
        verdict = Budget(max_pull_delta=499).judge(new, before=old, manifests=known)
        assert verdict.outcome == "undetermined"
        assert verdict.reasons[0].text.startswith("0 B to 500 B, the limit is 499 B: the manifest of")

    def test_an_index_of_nothing(self) -> None:
        verdict = Budget(max_bytes=1, max_layers=1).judge(*parsed(raw(index_document([]))))
        assert (verdict.outcome, len(verdict.reasons)) == ("undetermined", 2)

    def test_a_fail_weighs_more(self) -> None:
        verdict = Budget(max_bytes=1, max_pull_delta=1).judge(*parsed(SMALL))
        assert (verdict.outcome, verdict.exit_code) == ("fail", 1)


class TestBudget:
    def test_exit_code_of_a_pass(self) -> None:
        assert Budget(max_layers=1).judge(*parsed(SMALL)).exit_code == 0

    def test_no_limit_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="sets no limit"):
            Budget()

    @pytest.mark.parametrize("value", [-1, 1.5, True, "5"])
    def test_what_is_no_limit_is_refused(self, value: object) -> None:
        with pytest.raises(InvalidInput) as caught:
            Budget(max_bytes=value, max_layers=1)  # type: ignore[arg-type]
        assert [p.path for p in caught.value.problems] == ["$.max_bytes"]

    def test_shown(self) -> None:
        verdict = Budget(max_bytes=1).judge(*parsed(raw(index_document([child(SMALL)]))), manifests=KNOWN)
        index = verdict.digest
        assert verdict._repr_html_() == (
            f"<table><caption>FAIL: {index}</caption><thead><tr><th>limit</th><th>platform</th><th>outcome</th>"
            "<th>why</th></tr></thead><tbody><tr><td>max_bytes</td><td>linux/amd64</td><td>fail</td>"
            "<td>100 B, 99 B more than the limit of 1 B</td></tr></tbody></table>"
        )
        plain = Budget(max_layers=0).judge(*parsed(SMALL))
        assert "<td>max_layers</td><td></td><td>fail</td>" in plain._repr_html_()
        assert plain.to_dict()["reasons"][0]["limit"] == "max_layers"


class TestPlatforms:
    """Every platform is judged, and a reason names its own."""

    CONFIG = json.dumps({"os": "linux", "architecture": "arm64"})

    def test_every_reason_of_every_platform(self) -> None:
        before = raw(index_document([child(image(("old", 1))), child(image(("old", 2)), "linux/arm64")]))
        known = KNOWN | {m.digest: m for m in parsed(image(("old", 1)), image(("old", 2)))}
        both, old = parsed(BOTH, before)
        verdict = Budget(max_bytes=1, max_layers=0, max_pull_delta=1).judge(both, before=old, manifests=known)
        assert [(r.limit, r.platform) for r in verdict.reasons] == [
            ("max_bytes", "linux/amd64"),
            ("max_layers", "linux/amd64"),
            ("max_bytes", "linux/arm64"),
            ("max_layers", "linux/arm64"),
            ("max_pull_delta", "linux/amd64"),
            ("max_pull_delta", "linux/arm64"),
        ]

    def test_a_config_tells_the_platform(self) -> None:
        configs = {digest_of(self.CONFIG): ImageConfig.parse(self.CONFIG)}
        (manifest,) = parsed(raw(image_document([blob("a", 90)], config=blob(self.CONFIG, 10))))
        (both,) = parsed(BOTH)
        verdict = Budget(max_bytes=1, max_pull_delta=1).judge(manifest, before=both, manifests=KNOWN, configs=configs)
        assert [(r.limit, r.platform) for r in verdict.reasons] == [
            ("max_bytes", "linux/arm64"),
            ("max_pull_delta", "linux/arm64"),
        ]

    def test_what_is_undetermined_says_all_it_knows(self) -> None:
        known = {SMALL.digest: KNOWN[SMALL.digest]}
        (both,) = parsed(BOTH)
        (reason,) = Budget(max_bytes=200).judge(both, manifests=known).reasons
        assert (reason.outcome, reason.platform, reason.least, reason.most) == ("undetermined", "linux/arm64", 0, None)
        (first,) = Budget(max_pull_delta=1).judge(both, manifests=KNOWN).reasons
        assert (first.outcome, first.text) == ("undetermined", "there is no image before to compare with")
        nothing = Budget(max_bytes=1, max_pull_delta=1).judge(*parsed(raw(index_document([])))).reasons
        assert [(r.outcome, r.text) for r in nothing] == [
            ("undetermined", "the index lists no image that a node could run"),
            ("undetermined", "the index lists no image that a node could run"),
            ("undetermined", "there is no image before to compare with"),
        ]

    def test_a_range_that_begins_at_the_limit_is_undetermined(self) -> None:
        mixed = Manifest.parse(json.dumps(image_document([blob("a", 90)])))
        one = attrs.evolve(mixed.layers[0], digest=digest_of("b"), size=None)
        manifest = attrs.evolve(mixed, layers=(*mixed.layers, one))
        reasons = Budget(max_bytes=100).judge(manifest).reasons
        assert [(r.outcome, r.text) for r in reasons] == [
            ("undetermined", "at least 100 B, the limit is 100 B: a schema 1 manifest tells no layer sizes")
        ]
        (over,) = Budget(max_bytes=99).judge(manifest).reasons
        assert (over.outcome, over.text) == ("fail", "at least 100 B, 1 B more than the limit of 99 B")

    def test_words_of_a_refusal(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            Budget()
        assert str(caught.value) == (
            "not a budget: $: sets no limit; give at least one of max_bytes, max_layers, max_pull_delta"
        )
        with pytest.raises(InvalidInput) as caught:
            Budget(max_layers=-1)
        assert str(caught.value) == "not a budget: $.max_layers: must be a whole number of at least 0, not -1"
