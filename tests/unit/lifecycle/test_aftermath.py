"""What a policy did against what was foreseen, from the records of the embedded ECR and from made-up ones."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit import Registry
from ecrkit.events import ImageAction, LifecycleActionTaken, LifecycleExecution, LifecycleRefusal, parse_event
from ecrkit.images import Inventory
from ecrkit.lifecycle import Plan, aftermath, build, expire_untagged, keep_last, simulate
from ecrkit.local import LifecyclePolicyExecuted
from ecrkit.local import images as local_images
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)


def digest(n):
    return "sha256:" + f"{n:064x}"


IMAGES = [Image(digest=digest(n), tags=(f"v{n}",), pushed_at=NOW - dt.timedelta(days=n)) for n in range(5)]
RUN = simulate(build(keep_last(2)), Inventory(IMAGES, repository="app"), now=NOW)  # v2, v3 and v4 go
_number = iter(range(10**6))


def envelope(hours, kind="x", repository="app"):
    return {
        "event_id": str(next(_number)), "source": "aws.ecr", "detail_type": kind, "account": "123456789012",
        "region": "us-east-1", "at": NOW + hours * HOUR, "repository": repository,
    }  # fmt: skip


def ran(*digests, hours=1, rule=1, action="expire", failures=(), **more):
    actions = [LifecycleActionTaken(digest=digest(d), rule_priority=rule, action=action) for d in digests]
    return LifecycleExecution(**envelope(hours, **more), dry_run=False, actions=actions, failures=failures)


def deleted(n, hours=1, action="DELETE", result="SUCCESS", **more):
    return ImageAction(**envelope(hours), digest=digest(n), action=action, result=result, **more)


def after(*events, hours=2, foreseen=RUN, **more):
    return aftermath(foreseen, events, since=NOW, now=NOW + hours * HOUR, **more)


class TestWhatWent:
    def test_all_as_foreseen(self):
        found = after(ran(2, 3), ran(4, hours=1.5), deleted(2), deleted(3), deleted(4))
        assert found.as_foreseen
        assert found.runs == 2
        assert {r.digest for r in found.done} == {digest(2), digest(3), digest(4)}
        assert found.explain() == "app: 3 images went as foreseen."

    def test_something_that_was_not_foreseen(self):
        found = after(ran(2, 3, 4, 0))
        assert [(r.digest, r.by_policy) for r in found.unforeseen] == [(digest(0), True)]
        assert not found.as_foreseen
        assert "(by the policy)" in found.explain()

    def test_a_deletion_of_which_no_run_tells(self):
        found = after(ran(2, 3, 4), deleted(1))
        assert [(r.digest, r.by_policy) for r in found.unforeseen] == [(digest(1), None)]
        assert "nobody said by whom" in found.explain()
        assert after(ran(2, 3, 4), deleted(1), runs_only=True).as_foreseen

    def test_by_another_rule_or_in_another_way(self):
        found = after(ran(2, rule=7), ran(3, action="transition"), ran(4))
        assert {r.digest for r in found.otherwise} == {digest(2), digest(3)}
        assert "went otherwise" in found.explain()
        assert len(found.done) == 1

    def test_archived_then_deleted_counts_as_deleted(self):
        found = after(deleted(2, action="UPDATE_STORAGE_CLASS", target_storage_class="ARCHIVE"), deleted(2, hours=1.5))
        assert [r.action for r in found.done] == ["expire"]
        restored = after(deleted(2, action="UPDATE_STORAGE_CLASS", target_storage_class="STANDARD"))
        assert restored.done == restored.otherwise == ()

    def test_a_failed_action_is_none(self):
        assert after(deleted(2, result="FAILED")).done == ()


class TestWhatDidNot:
    def test_outstanding_and_overdue(self):
        found = after(ran(2), hours=24)
        assert (found.outstanding, found.overdue) == ((digest(3), digest(4)), False)
        assert after(ran(2), hours=25).overdue
        assert "overdue" in after(ran(2), hours=25).explain()

    def test_no_run_is_not_no_removal(self):
        assert "what the policy did is not known" in after(deleted(2)).explain()
        assert after(ran()).runs == 1

    def test_the_index_trap_and_its_way_out(self):
        refused = LifecycleRefusal(
            digest=digest(4), code="ImageReferencedByManifestList", rule_priority=1, tags=("v4",),
            reason=f"Requested image referenced by manifest list: [{digest(9)}]",
        )  # fmt: skip
        [stuck] = after(ran(2, 3, failures=[refused])).stuck
        assert stuck.holders == (digest(9),)
        assert digest(9) in stuck.way_out
        assert "its children go with the next run" in stuck.way_out
        assert after(ran(2, 3, failures=[refused]), ran(4, hours=1.5)).stuck == ()

    def test_another_code(self):
        refused = LifecycleRefusal(digest=digest(4), code="KmsError")
        assert "KmsError" in after(ran(failures=[refused])).stuck[0].way_out


class TestWhatDoesNotMatter:
    def test_other_repositories_previews_times_and_duplicates(self):
        preview = LifecycleExecution(**envelope(1), dry_run=True, actions=[LifecycleActionTaken(digest=digest(0))])
        once = ran(2, 3, 4)
        found = after(once, once, preview, ran(0, repository="other"), ran(0, hours=-1), ran(0, hours=3))
        assert found.as_foreseen
        assert found.runs == 1

    def test_a_plan_serves_as_well(self):
        plan = Plan(repository="app", policy_text="", made_at=NOW, actions={digest(2): "expire"})
        assert after(ran(2, rule=9), foreseen=plan).as_foreseen  # a plan does not say by which rule


@pytest.mark.parametrize("text", ["to_text", "_repr_html_"])
def test_what_people_get(text):
    found = after(ran(2, 0, failures=[LifecycleRefusal(digest=digest(4), code="x")]))
    assert digest(0)[:19] in getattr(found, text)()
    assert "went as foreseen" in repr(found)


def test_on_the_embedded_ecr():
    """Foreseen by the dry run, done by the engine, read back from its CloudTrail records and EventBridge events."""
    with Registry.local() as registry:
        registry.gateway.create_repository("app")
        layer = local_images.layer({"a": "b"})
        for n in range(30):
            local_images.image([layer], labels={"n": str(n)}).push(registry.client, "app", tag=f"v{n}")
            registry.engine.advance(HOUR)
        children = [local_images.image([layer], platform=f"linux/{p}") for p in ("amd64", "arm64")]
        local_images.index(children).push(registry.client, "app", tag="multi")
        registry.engine.advance(dt.timedelta(days=9))
        policy = build(keep_last(4, prefixes="v"), expire_untagged(after_days=3))
        run = registry.lifecycle.dry_run("app", policy)
        since = registry.clock.now()
        registry.gateway.put_lifecycle_policy("app", policy.to_json())
        registry.engine.advance(dt.timedelta(hours=25))
        events = [parse_event(e.to_eventbridge()) for e in registry.engine.events if hasattr(e, "to_eventbridge")]
        for executed in registry.engine.events:
            if isinstance(executed, LifecyclePolicyExecuted):
                events += map(parse_event, executed.to_cloudtrail())
        found = aftermath(run, events, since=since, now=registry.clock.now())
    assert len(run.expired) == 26
    assert found.as_foreseen
    assert found.runs == 2  # of which the first came as three records, ten images in each
    assert {s.digest for s in found.stuck} == set(run.blocked)
    assert len(found.stuck) == 2
