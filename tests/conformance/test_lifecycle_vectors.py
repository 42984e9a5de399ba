"""Every vector: evaluation of policies on inventories, acceptance and refusal of policy texts."""

import datetime as dt
import json
from pathlib import Path

import pytest

from ecrkit.images import Inventory
from ecrkit.lifecycle import LifecyclePolicy, LifecyclePolicyError, simulate
from tests.support.slow_lifecycle import evaluate

VECTORS = Path(__file__).parents[1] / "vectors"
RUNS = json.loads((VECTORS / "lifecycle.json").read_text(encoding="utf-8"))
TEXTS = json.loads((VECTORS / "lifecycle_validation.json").read_text(encoding="utf-8"))
NAMES = {
    "digest": "imageDigest", "tags": "imageTags", "pushed_at": "imagePushedAt",
    "last_recorded_pull_time": "lastRecordedPullTime", "last_archived_at": "lastArchivedAt",
    "last_activated_at": "lastActivatedAt", "image_status": "imageStatus",
    "manifest_media_type": "imageManifestMediaType", "artifact_media_type": "artifactMediaType",
    "subject_digest": "subjectManifestDigest",
}  # fmt: skip


def inventory_of(case):
    details = []
    for image in case["images"]:
        detail = {NAMES[k]: v for k, v in image.items() if k in NAMES}
        if image.get("storage_class") == "archive":
            detail.setdefault("imageStatus", "ARCHIVED")
        details.append(detail)
    children = {i["digest"]: i["references"] for i in case["images"] if "references" in i}
    return Inventory.from_api(details, children=children)


def test_every_vector_is_here():
    assert (len(RUNS), len(TEXTS)) == (43, 57)


@pytest.mark.parametrize("case", RUNS, ids=lambda c: c["id"])
class TestEvaluation:
    """The outcome of each case, from the fast and from the slow evaluator."""

    def test_fast(self, case):
        now = dt.datetime.fromisoformat(case["now"])
        run = simulate(LifecyclePolicy.parse(case["policy"]), inventory_of(case), now=now)
        found = {}
        for digest in (*run.expired, *run.transitioned):
            outcome = run.outcome(digest)
            found[digest] = {"rule_priority": outcome.rule_priority, "action": outcome.action}
            if outcome.action == "transition":
                found[digest]["target_storage_class"] = "archive"
        assert found == case["expected"]
        assert set(run.blocked) == set(case.get("expected_blocked") or {})
        cascade = {d: (run.outcome(d).action, run.outcome(d).subject) for d in run.cascaded}
        assert cascade == {
            d: (v["action"], v["subject_digest"]) for d, v in (case.get("expected_cascade") or {}).items()
        }
        assert run.certain
        acted = {*found, *cascade}
        assert set(run.kept) == {i["digest"] for i in case["images"]} - acted

    def test_slow(self, case):
        now = dt.datetime.fromisoformat(case["now"])
        result = evaluate(case["policy"], inventory_of(case), now)
        assert {d: (a, p) for d, (a, p) in result.acted.items()} == {
            d: (v["action"], v["rule_priority"]) for d, v in case["expected"].items()
        }
        assert result.blocked == set(case.get("expected_blocked") or {})
        assert set(result.cascaded) == set(case.get("expected_cascade") or {})


@pytest.mark.parametrize("case", TEXTS, ids=lambda c: c["id"])
def test_validation(case):
    """Valid texts are taken, invalid ones refused with ECR's words, unknown ones taken with a warning."""
    text = case["policy_text"] if "policy_text" in case else json.dumps(case["policy"], separators=(",", ":"))
    if case["valid"] is False:
        with pytest.raises(LifecyclePolicyError) as caught:
            LifecyclePolicy.parse(text)
        problems = caught.value.problems
        assert problems
        assert all(p.path.startswith("$") and p.message for p in problems)
        if "message" in case:
            wanted = case["message"].strip("'. )")
            assert any(wanted in (p.quoted or "") for p in problems), problems
        return
    policy = LifecyclePolicy.parse(text)
    assert bool(policy.warnings) is (case["valid"] is None)
    assert LifecyclePolicy.parse(policy.to_json()) == policy
