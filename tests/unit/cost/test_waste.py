from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor

import pytest

from ecrkit.cost.waste import waste
from ecrkit.errors import InvalidInput
from ecrkit.images import TagConventions, freed_by
from tests.support.manifests import blob, digest_of, image_document, raw
from tests.unit.cost.conftest import NOW, entry, index, inventory, made

BASE = ("base", 1000)
A, B, C = made("a", BASE, ("a", 100)), made("b", BASE, ("b", 200)), made("c", BASE, ("c", 400))


def found(category, manifests, details, **more):
    report = waste(inventory("app", manifests, details), now=NOW, **more)
    return report["app"].categories[category] if category != "total" else report["app"].total


class TestUntagged:
    """An untagged image is waste, unless an index or a subject holds on to it (ECR user guide, multi-architecture)."""

    def test_children_of_a_tagged_index_are_not(self) -> None:
        top = index(A, B)
        details = [entry(top, "v1", pulled=1), entry(A), entry(B, pulled=1), entry(C)]
        hit = found("untagged", [top, A, B, C], details)
        assert hit.digests == (C.digest,)
        assert hit.bytes.exact == 410

    def test_an_untagged_index_takes_only_children_that_no_other_holds(self) -> None:
        one, two = index(A, B), index(B, C)
        details = [entry(one), entry(two, "v2", pulled=1), entry(A), entry(B), entry(C)]
        hit = found("untagged", [one, two, A, B, C], details)
        assert set(hit.digests) == {one.digest, A.digest}
        assert hit.bytes.exact == 110

    def test_an_unread_index_makes_a_range(self) -> None:
        top = index(A)
        hit = found("untagged", [A], [entry(top, "v1", pulled=1), entry(A, imageSizeInBytes=1110)])
        assert (hit.bytes.low, hit.bytes.high) == (0, 1110)


class TestPulls:
    """ECR records pulls at least once in 24 hours (ECR API reference, ImageDetail)."""

    def test_a_pulled_child_means_a_pulled_index(self) -> None:
        top = index(A, B)
        details = [entry(top, "v1", pushed=200), entry(A, pushed=200, pulled=5), entry(B, pushed=200)]
        assert found("never_pulled", [top, A, B], details).images == 0
        details[1] = entry(A, pushed=200, pulled=150)
        assert found("not_pulled_lately", [top, A, B], details).images == 3
        details[1] = entry(A, pushed=200)
        assert found("never_pulled", [top, A, B], details).images == 3

    def test_the_edge_and_the_grace(self) -> None:
        assert found("not_pulled_lately", [A], [entry(A, "v", pushed=100, pulled=90)]).images == 0
        assert found("not_pulled_lately", [A], [entry(A, "v", pushed=100, pulled=90.1)]).images == 1
        assert found("never_pulled", [A], [entry(A, "v", pushed=0.9)]).images == 0
        assert found("never_pulled", [A], [entry(A, "v", pushed=1.1)]).images == 1


class TestSuperseded:
    """A release is superseded by newer ones of the same convention."""

    def test_versions_are_ordered_as_versions(self) -> None:
        details = [entry(A, "v1.9.0"), entry(B, "v1.10.0"), entry(C, "v1.10.0-rc.1")]
        assert set(found("superseded", [A, B, C], details).digests) == {A.digest, C.digest}
        assert found("superseded", [A, B, C], details, keep_releases=2).digests == (A.digest,)

    @pytest.mark.parametrize("tags", [("latest", "v1.0.0"), ("v1.0.0", "latest")])
    def test_another_tag_keeps_an_image_and_it_still_counts_as_a_release(self, tags) -> None:
        assert found("superseded", [A, B], [entry(A, *tags), entry(B, "v1.1.0")]).images == 0
        old = [entry(A, "latest", "v1.2.0"), entry(B, "v1.1.0")]
        assert found("superseded", [A, B], old).digests == (B.digest,)

    def test_variants_are_lines_of_their_own(self) -> None:
        details = [entry(A, "1.0.0-alpine"), entry(B, "1.1.0"), entry(C, "1.1.0-alpine")]
        assert found("superseded", [A, B, C], details).digests == (A.digest,)

    def test_a_convention_of_the_caller_by_push_time(self) -> None:
        team = TagConventions.of("dev-{branch}-{sha}")
        details = [entry(A, "dev-login-4f2c1a9", pushed=3), entry(B, "dev-login-1111111", pushed=2),
                   entry(C, "dev-pay-2222222", pushed=9)]  # fmt: skip
        assert found("superseded", [A, B, C], details, convention=team).digests == (A.digest,)


class TestReferrers:
    def test_orphans_by_subject_and_by_cosign_tag(self) -> None:
        gone = digest_of("gone")
        sbom = raw(image_document([blob("sbom", 50)], subject={"mediaType": "x", "digest": gone, "size": 1}))
        here = raw(image_document([blob("own", 60)], subject={"mediaType": "x", "digest": A.digest, "size": 1}))
        sig, live = made("sig", ("sig", 5)), made("live", ("live", 6))
        tags = [f"sha256-{d.removeprefix('sha256:')}.sig" for d in (gone, A.digest)]
        details = [entry(A, "v1", pulled=1), entry(sbom), entry(here), entry(sig, tags[0]), entry(live, tags[1])]
        hit = found("orphaned_referrers", [A, sbom, here, sig, live], details)
        assert set(hit.digests) == {sbom.digest, sig.digest}
        assert hit.bytes.exact == 50 + 15  # a referrer that stays has the same config
        assert found("untagged", [A, sbom, here, sig, live], details).images == 0

    def test_referrers_go_with_their_subject(self) -> None:
        here = raw(image_document([blob("own", 60)], subject={"mediaType": "x", "digest": A.digest, "size": 1}))
        assert found("untagged", [A, here], [entry(A), entry(here)]).images == 2


class TestTotal:
    def test_nothing_counts_twice(self) -> None:
        details = [entry(A, "v1.0.0", pushed=300), entry(B, pushed=300), entry(C, "v1.1.0", pulled=1)]
        report = waste(inventory("app", [A, B, C], details), now=NOW)["app"]
        assert report.total.bytes.exact == 110 + 210
        assert sum(w.images for w in report.categories.values()) == 4  # A is superseded and never pulled; B twice too
        assert report.total.images == 2

    def test_a_layer_that_two_share_is_freed_only_by_both(self) -> None:
        held = inventory("app", [A, B], [entry(A, "x", pushed=300), entry(B, pushed=0.5)])
        report = waste(held, now=NOW)["app"]
        assert report.total.bytes.exact == freed_by(held, [A.digest, B.digest]).exact == 1000 + 110 + 210
        assert sum(w.bytes.exact or 0 for w in report.categories.values()) == 110 + 210

    def test_what_is_in_use_is_none_and_holds_its_index(self) -> None:
        top = index(A, B)
        details = [entry(top, "v1", pushed=300), entry(A), entry(B)]
        assert found("total", [top, A, B], details).images == 3
        assert found("total", [top, A, B], details, in_use={"app": [B.digest]}).images == 0

    def test_a_gap_has_no_bound(self) -> None:
        report = waste({"app": None}, now=NOW)
        assert report.bytes.high is None
        assert report["app"].gap

    def test_a_process_pool_gives_the_same(self) -> None:
        many = {f"r{n}": inventory(f"r{n}", [A, B], [entry(A, "v1.0.0"), entry(B, "v1.1.0")]) for n in range(70)}
        with ProcessPoolExecutor(2) as pool:
            assert waste(many, now=NOW, executor=pool) == waste(many, now=NOW)

    def test_wrong_numbers(self) -> None:
        with pytest.raises(InvalidInput):
            waste({}, now=NOW, unused_days=-1)
        with pytest.raises(InvalidInput):
            waste({}, now=NOW, keep_releases=0)
