"""Dry run, preview, plan and apply on fakes of the ports: what is read, what is written, what is refused."""

import datetime as dt
import hashlib
import json

import attrs
import pytest

from ecrkit.errors import Conflict, InvalidInput, NotFound, PlanOutdated, PlanRefused, WaitExpired, WaitFailed
from ecrkit.lifecycle import LifecyclePolicy, LifecyclePolicyError, LifecycleService, Plan, simulate
from ecrkit.lifecycle.preview import WaitState, compare, step
from ecrkit.records import LifecyclePolicyText, LifecyclePreview, PreviewResult, RawManifest
from ecrkit.refs import ImageRef

TEXT = json.dumps(
    {
        "rules": [
            {
                "rulePriority": 1,
                "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1},
                "action": {"type": "expire"},
            }
        ]
    }
)
EMPTY = '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}'
OTHER = TEXT.replace('"countNumber": 1', '"countNumber": 2')


class FakeClock:
    def __init__(self, now):
        self.at = now
        self.slept = []

    def now(self):
        return self.at

    def monotonic(self):
        return self.at.timestamp()

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.at += dt.timedelta(seconds=seconds)


class Fake:
    """A repository: images, manifests, a policy, scripted previews; notes every write."""

    def __init__(self, kit, images=()):
        self.listed = list(images)
        self.texts = {}
        self.asked = []
        self.live = None
        self.previews = []
        self.busy = 0
        self.writes = []
        self.clock = FakeClock(kit.now)
        self.service = LifecycleService(self, self, self, self.clock)

    def images(self, repository):
        return [attrs.evolve(i, repository=repository) for i in self.listed]

    def manifests(self, repository, digests):
        self.asked += digests
        return {
            d: RawManifest(digest=d, media_type="application/vnd.oci.image.index.v1+json", text=self.texts[d]) for d in self.asked if d in self.texts
        }  # fmt: skip

    def lifecycle_policy(self, repository):
        return None if self.live is None else LifecyclePolicyText(repository=repository, text=self.live)

    def put_lifecycle_policy(self, repository, text):
        self.writes.append(("put", repository, text))

    def start_lifecycle_preview(self, repository, text=None):
        if self.busy:
            self.busy -= 1
            raise Conflict("busy", operation="Start", code="LifecyclePolicyPreviewInProgressException")
        self.writes.append(("preview", repository, text))

    def lifecycle_preview(self, repository):
        seen = self.previews.pop(0) if len(self.previews) > 1 else self.previews[0]
        status, text = seen if isinstance(seen, tuple) else (seen, TEXT)
        return LifecyclePreview(repository=repository, status=status, policy_text=text)


@pytest.fixture
def fake(kit):
    return Fake(kit, [kit.image("a", "old", days=9), kit.image("b", "new", days=1)])


class TestDryRun:
    """It reads and never writes; children come from manifests."""

    def test_reads_only(self, fake):
        run = fake.service.dry_run("app", TEXT)
        assert len(run.expired) == 1
        assert run.inventory.repository == "app"
        assert fake.writes == []

    def test_live_policy_by_default(self, fake):
        with pytest.raises(NotFound):
            fake.service.dry_run("app")
        fake.live = OTHER
        assert fake.service.dry_run("app").expired == ()

    @pytest.mark.parametrize(
        ("text", "certain"),
        [
            (EMPTY, True),
            ("{}", False),
            ("x", False),
            (EMPTY.replace("[]", '[{"digest":5}]'), False),
            (None, False),
        ],
    )
    def test_children(self, fake, kit, text, certain):
        index = kit.image("i", "i", manifest_media_type=kit.index)
        index = attrs.evolve(index, digest="sha256:" + hashlib.sha256((text or "").encode()).hexdigest())
        fake.listed.append(index)
        fake.listed.append(kit.image("j", status="ARCHIVED", manifest_media_type=kit.index))
        if text:
            fake.texts[index.digest] = text
        seen = []
        assert fake.service.dry_run("app", TEXT, on_progress=seen.append).certain is certain
        assert fake.asked == [index.digest]
        assert [p.what for p in seen] == ["images", "manifests"]

    def test_without_manifest_source(self, fake, kit):
        fake.listed.append(kit.image("i", "i", manifest_media_type=kit.index))
        service = LifecycleService(fake, None, fake, fake.clock)
        assert not service.dry_run("app", TEXT).certain


class TestPreview:
    """The waiter knows COMPLETE, FAILED and EXPIRED, keeps its deadline and never takes somebody else's preview."""

    def test_complete(self, fake):
        fake.previews = ["IN_PROGRESS", "NEW_STATUS", "COMPLETE"]
        seen = []
        assert fake.service.preview("app", TEXT, on_progress=seen.append).status == "COMPLETE"
        assert fake.clock.slept == [5.0, 5.0]
        assert [p.done for p in seen] == [1, 2, 3]
        assert fake.writes == [("preview", "app", LifecyclePolicy.parse(TEXT).to_json())]

    @pytest.mark.parametrize("end", ["FAILED", "EXPIRED", ("COMPLETE", OTHER)])
    def test_bad_ends(self, fake, end):
        fake.previews = [end]
        with pytest.raises(WaitFailed) as caught:
            fake.service.preview("app", TEXT)
        assert caught.value.last.status in {"FAILED", "EXPIRED", "COMPLETE"}
        assert fake.clock.slept == []

    def test_deadline(self, fake):
        fake.previews = ["IN_PROGRESS"]
        with pytest.raises(WaitExpired):
            fake.service.preview("app", timeout=12)
        assert fake.clock.slept == [5.0, 5.0, 2.0]
        assert fake.writes == [("preview", "app", None)]

    def test_somebody_elses_in_progress(self, fake):
        fake.busy, fake.previews = 2, ["COMPLETE"]
        fake.service.preview("app", TEXT, timeout=30)
        assert fake.clock.slept == [5.0, 5.0]
        fake.busy = 99
        with pytest.raises(WaitExpired, match="another preview"):
            fake.service.preview("app", TEXT, timeout=7)
        assert sum(fake.clock.slept[2:]) == 7

    def test_invalid_policies_start_nothing(self, fake):
        with pytest.raises(LifecyclePolicyError):
            fake.service.preview("app", "{}")
        assert fake.writes == []

    def test_step_is_pure(self, kit):
        state = WaitState(deadline=kit.now)
        seen = LifecyclePreview(repository="", status="IN_PROGRESS", policy_text="")
        assert step(state, seen, kit.now - dt.timedelta(seconds=1)).done is False
        assert step(state, seen, kit.now).state == "deadline"
        assert state.attempts == 0


class TestCompare:
    """Every difference with a likely cause."""

    def run(self, kit, images=None, children=None):
        images = images or [kit.image("a", days=9), kit.image("b", days=1)]
        return simulate(TEXT, kit.inventory(images, children=children or {}), now=kit.now)

    def preview(self, *found, status="COMPLETE", text=TEXT, count=None):
        return LifecyclePreview(
            repository="", status=status, policy_text=text, expiring_count=count,
            results=tuple(PreviewResult(digest=d, rule_priority=r) for d, r in found),
        )  # fmt: skip

    def test_agreement(self, kit):
        assert compare(self.preview((kit.digest("a"), 1), count=1), self.run(kit)).agrees

    def test_notes(self, kit):
        found = compare(self.preview((kit.digest("a"), 1), status="IN_PROGRESS", text=OTHER, count=2), self.run(kit))
        assert not found.agrees
        assert [n.split(";")[0] for n in found.notes] == [
            "the preview is IN_PROGRESS, not COMPLETE", "the preview is of another policy",
            "the preview counts 2 expiring images and lists 1",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("listed", "cause"),
        [
            ([("a", 1), ("z", 1)], "does not hold the image"),
            ([], "not known"),
            ([("a", 7)], "does not have"),
        ],
    )
    def test_causes(self, kit, listed, cause):
        (difference,) = compare(self.preview(*((kit.digest(n), r) for n, r in listed)), self.run(kit)).differences
        assert cause in difference.cause
        assert difference.digest in str(difference)

    def test_blocked_children_and_ties(self, kit):
        index = kit.image("i", "i", manifest_media_type=kit.index)
        held = self.run(kit, [index, kit.image("c", days=3)], {index.digest: [kit.digest("c")]})
        (difference,) = compare(self.preview((kit.digest("c"), 1)), held).differences
        assert "holds it" in difference.cause
        tied = self.run(kit, [kit.image("a"), kit.image("b")])
        both = compare(self.preview((kit.digest("b"), 1)), tied).differences
        assert len(both) == 2
        assert all("tie" in d.cause for d in both)

    def test_near_the_limit(self, kit):
        policy = TEXT.replace("imageCountMoreThan", "sinceImagePushed").replace('"countN', '"countUnit":"days","countN')
        run = simulate(policy, kit.inventory([kit.image("a", days=1.5)]), now=kit.now)
        (difference,) = compare(self.preview(text=policy), run).differences
        assert "within 24 hours" in difference.cause


class TestPlan:
    """A plan that would remove an image in use is refused with its name; unknown is never fine."""

    def run(self, kit, **more):
        images = [
            kit.image("a", "old", days=9), kit.image("b", "new", days=1),
            kit.image("i", "idx", days=5, manifest_media_type=kit.index),
        ]  # fmt: skip
        children = {} if more.pop("opaque", False) else {kit.digest("i"): [kit.digest("a")]}
        return simulate(TEXT, kit.inventory(images, children=children, repository="app"), now=kit.now)

    @pytest.mark.parametrize(
        "name",
        [
            "app:old", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:old", "app:idx",
            ImageRef.parse("app:old"), "app@sha256:61" + "0" * 62, "sha256:61" + "0" * 62,
        ],
    )  # fmt: skip
    def test_in_use(self, kit, name):
        with pytest.raises(PlanRefused) as caught:
            self.run(kit).plan(protect=[name])
        assert any(c.startswith(str(name)) and "expires by rule 1" in c for c in caught.value.conflicts)

    @pytest.mark.parametrize("name", ["app:gone", "sha256:" + "9" * 64, "app", "not a reference!", ""])
    def test_unknown(self, kit, name):
        with pytest.raises(PlanRefused, match=r"not found|names no image of ECR"):
            self.run(kit).plan(protect=name)

    def test_children_of_an_index_in_use_are_named_too(self, kit):
        with pytest.raises(PlanRefused) as caught:
            self.run(kit).plan(protect=["app:idx"])
        assert len(caught.value.conflicts) == 2
        assert all(c.startswith("app:idx: ") for c in caught.value.conflicts)

    def test_what_stays_and_other_repositories(self, kit):
        plan = self.run(kit).plan(protect=["app:new", "other:old", "other@sha256:" + "9" * 64])
        assert plan.actions == {kit.digest("a"): "expire", kit.digest("i"): "expire"}
        assert plan.protected == (kit.digest("b"),)

    def test_uncertain(self, kit):
        images = [kit.image("a", days=9), kit.image("i", manifest_media_type=kit.index)]
        run = simulate(TEXT, kit.inventory(images, repository="app"), now=kit.now)
        with pytest.raises(PlanRefused, match="unknown children"):
            run.plan()
        assert run.plan(accept_uncertain=True).actions == {kit.digest("a"): "expire"}

    def test_round_trip(self, kit):
        plan = self.run(kit).plan(protect=["app:new"])
        assert Plan.from_dict(plan.to_json()) == plan == Plan.from_dict(plan.to_dict())
        assert plan.policy == LifecyclePolicy.parse(TEXT)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("format", 2), ("policy_text", 5), ("actions", {"x": "delete"}), ("actions", []), ("made_at", "soon"),
            ("made_at", "2026-01-01T00:00:00"), ("protect", "x"), ("accept_uncertain", 1), ("replaces", 5), ("extra", 1),
        ],
    )  # fmt: skip
    def test_damaged_files(self, kit, name, value):
        saved = self.run(kit).plan().to_dict() | {name: value}
        with pytest.raises(InvalidInput) as caught:
            Plan.from_dict(saved)
        assert f"$.{name}" in {p.path for p in caught.value.problems}
        del saved[name]
        if name != "extra":
            with pytest.raises(InvalidInput, match="is missing"):
                Plan.from_dict(saved)

    @pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
    def test_no_plans(self, text):
        with pytest.raises(InvalidInput):
            Plan.from_dict(text)


class TestApply:
    """It reads again, refuses when an outcome moved, and writes nothing then."""

    def test_put(self, fake):
        plan = fake.service.plan("app", TEXT, protect=["app:new"])
        fake.service.apply(Plan.from_dict(plan.to_json()))
        assert fake.writes == [("put", "app", plan.policy_text)]

    def test_changes_that_matter_to_nobody(self, fake, kit):
        plan = fake.service.plan("app", TEXT)
        fake.listed[1] = attrs.evolve(fake.listed[1], last_pulled_at=kit.now)
        fake.clock.at += dt.timedelta(minutes=5)
        fake.service.apply(plan)
        assert len(fake.writes) == 1

    def refused(self, fake, plan, text):
        with pytest.raises(PlanOutdated) as caught:
            fake.service.apply(plan)
        assert any(text in c for c in caught.value.changes), caught.value.changes
        assert fake.writes == []

    def test_a_push(self, fake, kit):
        plan = fake.service.plan("app", TEXT)
        fake.listed.append(kit.image("c", days=0))
        self.refused(fake, plan, "was to keep and would now expire")

    def test_gone(self, fake, kit):
        plan = fake.service.plan("app", TEXT)
        del fake.listed[0]
        self.refused(fake, plan, "no longer in the repository")

    def test_another_policy(self, fake):
        plan = fake.service.plan("app", TEXT)
        fake.live = OTHER
        self.refused(fake, plan, "has a policy now")
        plan = fake.service.plan("app", TEXT)
        fake.live = None
        self.refused(fake, plan, "deleted since")
        fake.live = json.dumps(json.loads(OTHER), indent=2)
        fake.service.apply(plan)
        assert len(fake.writes) == 1

    def test_a_policy_replaced(self, fake):
        fake.live = OTHER
        plan = fake.service.plan("app", TEXT)
        fake.live = TEXT
        self.refused(fake, plan, "replaced since")
        fake.live = "nonsense"
        self.refused(fake, plan, "replaced since")

    def test_a_protected_tag_moved(self, fake):
        plan = fake.service.plan("app", TEXT, protect=["app:new"])
        fake.listed = [attrs.evolve(fake.listed[0], tags=("new",)), attrs.evolve(fake.listed[1], tags=())]
        self.refused(fake, plan, "is protected and would expire")
        fake.listed[0] = attrs.evolve(fake.listed[0], tags=())
        self.refused(fake, plan, "protected app:new: not found in the repository")

    def test_a_protected_tag_moved_to_a_newer_image(self, fake, kit):
        plan = fake.service.plan("app", TEXT, protect=["app:new"])
        fake.listed[1] = attrs.evolve(fake.listed[1], tags=())
        fake.listed.append(kit.image("c", "new", days=0))
        self.refused(fake, plan, f"{kit.digest('b')} is protected and would expire")

    def test_uncertain_now(self, fake, kit):
        fake.listed.append(kit.image("c", "x", days=0))
        plan = fake.service.plan("app", TEXT)
        fake.listed[-1] = attrs.evolve(fake.listed[-1], manifest_media_type=kit.index)
        self.refused(fake, plan, "uncertain now")

    def test_no_repository(self, fake, kit):
        plan = simulate(TEXT, kit.inventory([]), now=kit.now).plan()
        with pytest.raises(InvalidInput):
            fake.service.apply(plan)
        assert fake.writes == []
