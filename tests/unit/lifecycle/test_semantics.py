"""What each rule does: one class for each documented sentence or chosen reading."""

import datetime as dt
import hashlib
import json

import pytest

from ecrkit.lifecycle import lint, simulate
from ecrkit.records import Image, RawManifest


def run_of(kit, images, *selections, action="expire", children=None, **more):
    inventory = kit.inventory(images, children={kit.digest(k): map(kit.digest, v) for k, v in (children or {}).items()})
    return simulate(kit.policy(*selections, action=action), inventory, now=kit.now, **more)


def names(kit, digests):
    return [bytes.fromhex(d[7:]).rstrip(b"\0").decode() for d in digests]


class TestAgesAreStrict:
    """Older than N days means more than N times 24 hours (user guide, examples)."""

    @pytest.mark.parametrize(("seconds", "goes"), [(-1, False), (0, False), (1, True)])
    def test_at_the_limit(self, kit, seconds, goes):
        old = kit.image("a", days=7 + seconds / 86400)
        run = run_of(kit, [old], kit.selection(kind="sinceImagePushed", number=7))
        assert bool(run.expired) is goes
        assert run.outcome(old.digest).changes_at == (None if goes else old.pushed_at + dt.timedelta(days=7))

    def test_a_limit_beyond_all_time(self, kit):
        run = run_of(kit, [kit.image("a", days=9000)], kit.selection(kind="sinceImagePushed", number=10**15))
        assert run.kept
        assert "beyond all time" in run.outcome(kit.digest("a")).would_change

    def test_now_needs_a_zone(self, kit):
        with pytest.raises(ValueError, match="time zone"):
            simulate(kit.policy(kit.selection()), kit.inventory([]), now=dt.datetime(2026, 1, 1))


class TestPulls:
    """Never pulled counts from the push, restored and not pulled since from the restore (user guide)."""

    @pytest.mark.parametrize(
        ("pulled", "restored", "goes"),
        [(None, None, True), (5, None, False), (40, None, True), (40, 5, False), (5, 40, False), (None, 5, False)],
    )
    def test_clock(self, kit, pulled, restored, goes):
        def when(days):
            return None if days is None else kit.now - dt.timedelta(days=days)

        image = kit.image("a", days=50, last_pulled_at=when(pulled), last_activated_at=when(restored))
        run = run_of(kit, [image], kit.selection(kind="sinceImagePulled", number=30), action="transition")
        assert bool(run.transitioned) is goes
        outcome = run.outcome(image.digest)
        last = "restored" if restored == 5 else "never pulled" if pulled is None and restored is None else "last pulled"
        assert outcome.why.startswith(last)


class TestOrder:
    """The oldest go first; of equal push times the greater digest is the newer one, with a warning."""

    def test_by_restore(self, kit):
        images = [
            kit.image("a", days=1), kit.image("b", days=3),
            kit.image("c", days=9, last_activated_at=kit.now - dt.timedelta(days=2)),
        ]  # fmt: skip
        run = run_of(kit, images, kit.selection())
        assert names(kit, run.expired) == ["b", "c"]
        assert names(kit, run.kept) == ["a"]

    def test_archived_by_their_archive_time(self, kit):
        images = [
            kit.image(n, days=d, status="ARCHIVED", last_archived_at=kit.now - dt.timedelta(days=a))
            for n, d, a in (("a", 500, 100), ("b", 400, 200), ("c", 600, 10))
        ]
        run = run_of(
            kit, images, kit.selection(kind="sinceImageTransitioned", number=90, storageClass="archive")
        )  # fmt: skip
        assert names(kit, run.expired) == ["b", "a"]
        assert names(kit, run.kept) == ["c"]

    @pytest.mark.parametrize("reverse", [False, True])
    def test_ties(self, kit, reverse):
        images = [kit.image(n) for n in (("b", "a") if reverse else ("a", "b"))]
        run = run_of(kit, images, kit.selection())
        assert names(kit, run.expired) == ["a"]
        assert run.ties == ((1, kit.digest("b"), kit.digest("a")),)
        assert "ECR may choose the other" in run.warnings[0]

    def test_times_that_floats_cannot_tell_apart(self, kit):
        late = dt.datetime(2600, 1, 1, tzinfo=dt.UTC)
        from ecrkit.records import Image

        images = [
            Image(digest=kit.digest(n), pushed_at=late + dt.timedelta(microseconds=m))
            for n, m in (("z", 0), ("a", 1), ("m", 2))
        ]
        run = run_of(kit, images, kit.selection())
        assert names(kit, run.expired) == ["z", "a"]


class TestIndexesHoldTheirChildren:
    """An image that a staying index references cannot go (user guide; ImageReferencedByManifestList)."""

    def images(self, kit):
        return [
            kit.image("child", days=9), kit.image("inner", days=9, manifest_media_type=kit.index),
            kit.image("outer", "v1", days=9, manifest_media_type=kit.index),
        ]  # fmt: skip

    def test_nested(self, kit):
        tree = {"outer": ["inner"], "inner": ["child"]}
        old = kit.selection("untagged", 7, kind="sinceImagePushed")
        run = run_of(kit, self.images(kit), old, children=tree)
        assert names(kit, run.blocked) == ["child", "inner"]
        assert run.outcome(kit.digest("child")).blocked_by == (kit.digest("inner"),)
        assert run.outcome(kit.digest("child")).rule_priority == 1
        assert run.outcome(kit.digest("child")).action == "keep"
        assert "holds it and stays" in run.outcome(kit.digest("child")).explain()
        everything = run_of(kit, self.images(kit), kit.selection(number=7, kind="sinceImagePushed"), children=tree)
        assert len(everything.expired) == 3

    def test_an_archived_index_holds_nothing(self, kit):
        parent = kit.image("p", days=9, manifest_media_type=kit.index, status="ARCHIVED")
        waking = kit.image("w", days=9, manifest_media_type=kit.index, status="ACTIVATING")
        images = [kit.image("c", days=9), kit.image("d", days=9), parent, waking]
        run = run_of(
            kit, images, kit.selection("untagged", 7, kind="sinceImagePushed"), children={"p": ["c"], "w": ["d"]}
        )
        assert names(kit, run.expired) == ["c"]
        assert names(kit, run.blocked) == ["d"]

    def test_an_index_that_names_itself_does_not_hold_itself(self, kit):
        images = [kit.image("i", days=9, manifest_media_type=kit.index)]
        run = run_of(kit, images, kit.selection(number=7, kind="sinceImagePushed"), children={"i": ["i"]})
        assert names(kit, run.expired) == ["i"]

    def test_children_may_be_left_out_of_the_count(self, kit):
        images = [kit.image("old", days=9), kit.image("c", days=1), kit.image("i", manifest_media_type=kit.index)]
        counted = run_of(kit, images, kit.selection(number=2), children={"i": ["c"]})
        assert names(kit, counted.expired) == ["old"]
        left = run_of(kit, images, kit.selection(number=2), children={"i": ["c"]}, count_children=False)
        assert left.expired == ()
        assert "counts no children" in left.outcome(kit.digest("c")).why


class TestUnknownChildren:
    """While an index that stays has unknown children, nothing that goes is certain; nothing is guessed."""

    def test_uncertain(self, kit):
        images = [kit.image("a", days=9), kit.image("i", "v1", manifest_media_type=kit.index)]
        run = run_of(kit, images, kit.selection("untagged", 7, kind="sinceImagePushed"))
        assert names(kit, run.expired) == ["a"]
        assert not run.certain
        assert not run.outcome(kit.digest("a")).certain
        assert run.outcome(kit.digest("i")).certain
        assert "unknown children" in run.warnings[0]
        assert "Not certain" in run.outcome(kit.digest("a")).explain()

    @pytest.mark.parametrize("days", [9, 0])
    def test_certain_when_the_index_goes_too(self, kit, days):
        images = [kit.image("a", days=9), kit.image("i", days=days, manifest_media_type=kit.index)]
        run = run_of(kit, images, kit.selection("untagged", 7, kind="sinceImagePushed"))
        assert run.certain is (days == 9)

    def test_certain_when_archived_or_nothing_goes(self, kit):
        index = kit.image("i", days=9, manifest_media_type=kit.index, status="ARCHIVED")
        rule = kit.selection("untagged", 7, kind="sinceImagePushed")
        assert run_of(kit, [kit.image("a", days=9), index], rule).certain
        live = kit.image("i", manifest_media_type=kit.index)
        assert run_of(kit, [kit.image("a"), live], rule).certain


class TestReferrersFollow:
    """Reference artifacts go within 24 hours after their subject (user guide)."""

    def test_chain(self, kit):
        sig = kit.image("sig", "s", subject_digest=kit.digest("app"))
        sbom = kit.image("sbom", "t", subject_digest=kit.digest("sig"))
        run = run_of(
            kit, [kit.image("app", days=9), sig, sbom], kit.selection("untagged", 7, kind="sinceImagePushed")
        )  # fmt: skip
        assert names(kit, sorted(run.cascaded)) == ["sbom", "sig"]
        outcome = run.outcome(sbom.digest)
        assert (outcome.action, outcome.reason, outcome.rule_priority) == ("expire", "follows-subject", 1)
        assert outcome.subject == sig.digest

    def test_a_subject_that_only_the_manifest_names(self, kit):
        """DescribeImages may leave the subject out; a manifest that was read names it all the same."""
        text = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": kit.digest("e"), "size": 2},
                "layers": [],
                "subject": {"mediaType": "x/y", "digest": kit.digest("app"), "size": 1},
            }
        )
        found = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        raw = RawManifest(digest=found, media_type="application/vnd.oci.image.manifest.v1+json", text=text)
        images = [kit.image("app", days=9), Image(digest=found, tags=("s",), pushed_at=kit.now)]
        rules = kit.policy(kit.selection("untagged", 2, kind="sinceImagePushed"))
        inventory = kit.inventory(images).with_manifests([raw])
        run = simulate(rules, inventory, now=kit.now)
        assert run.cascaded == (found,)
        assert "eats-referrers" not in {advice.code for advice in lint(run)}
        stays = simulate(kit.policy(kit.selection("tagged", 1, tagPrefixList=["s"])), inventory, now=kit.now)
        assert stays.cascaded == ()

    def test_what_does_not_follow(self, kit):
        held = kit.image("held", "x", subject_digest=kit.digest("app"))
        stored = kit.image("kept", subject_digest=kit.digest("app"), status="ARCHIVED")
        index = kit.image("i", "y", manifest_media_type=kit.index)
        images = [kit.image("app", days=9), held, stored, index]
        rule = kit.selection("untagged", 7, kind="sinceImagePushed")
        run = run_of(kit, images, rule, action="transition", children={"i": ["held"]})
        assert names(kit, run.transitioned) == ["app"]
        assert run.cascaded == ()


class TestReasons:
    """Every image says why, kept ones too."""

    def test_protected(self, kit):
        images = [kit.image("a", "prod-1", days=9), kit.image("b", days=9), kit.image("c", "x", days=1)]
        run = run_of(
            kit, images, kit.selection("tagged", 5, tagPrefixList=["prod"]),
            kit.selection(number=7, kind="sinceImagePushed"),
        )  # fmt: skip
        shielded = run.outcome(kit.digest("a"))
        assert (shielded.reason, shielded.protects_from, shielded.rule_priority) == ("protected-by-rule", (2,), 1)
        assert "number 1 of 1" in shielded.why
        assert run.outcome(kit.digest("b")).would_change == "a countNumber of at least 9"
        young = run.outcome(kit.digest("c"))
        assert (young.reason, young.age, young.threshold) == (
            "young-enough", dt.timedelta(days=1), dt.timedelta(days=7),
        )  # fmt: skip

    def test_no_rule(self, kit):
        run = run_of(kit, [kit.image("a", "x")], kit.selection("untagged"))
        outcome = run.outcome(kit.digest("a"))
        assert (outcome.reason, outcome.rule_priority) == ("no-rule-selects-it", None)
        with pytest.raises(KeyError):
            run.outcome("sha256:" + "0" * 64)

    def test_archived_since_nobody_knows_when(self, kit):
        images = [kit.image("a", status="ARCHIVED"), kit.image("b", status="ACTIVATING")]
        rule = kit.selection(kind="sinceImageTransitioned", number=90, storageClass="archive")
        run = run_of(kit, images, rule)
        assert run.kept
        assert not run.certain
        assert run.outcome(kit.digest("a")).reason == "age-unknown"
        assert len(run.warnings) == 2

    def test_rank(self, kit):
        run = run_of(kit, [kit.image(n, days=d) for d, n in enumerate("abc")], kit.selection(number=2))
        outcome = run.outcome(kit.digest("c"))
        assert (outcome.rank, outcome.count, outcome.would_change) == (3, 3, "a countNumber of at least 3")
        assert run.outcome(kit.digest("a")).would_change == "2 newer images"
