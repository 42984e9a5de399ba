from __future__ import annotations

import contextlib
import datetime as dt
import threading
import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from ecrkit._internal.clock import SystemClock
from ecrkit.local import (
    DEFAULT_START,
    Call,
    Engine,
    LifecyclePolicyExecuted,
    ManualClock,
    ServiceFault,
    operation_table,
    throttle,
)
from ecrkit.local.validation import service_model
from tests.support.lab import Lab

HOUR = dt.timedelta(hours=1)
TEXT = '{"rules": []}' + " " * 100


class TestValidation:
    """Maximum, pattern and enum are the service's to check; every problem is named (botocore leaves them out)."""

    def test_all_problems_at_once(self, lab: Lab):
        fault = lab.refused("PutImageTagMutability", repositoryName="Bad!", imageTagMutability="maybe")
        assert fault.code == "InvalidParameterException"
        assert "'repositoryName'" in fault.message and "'imageTagMutability'" in fault.message
        assert "Member must satisfy enum value set: [MUTABLE, IMMUTABLE" in fault.message

    @pytest.mark.parametrize(
        ("operation", "params", "said"),
        [
            ("CreateRepository", {}, "Member must not be null"),
            ("CreateRepository", {"repositoryName": 5}, "must be a string"),
            ("CreateRepository", {"repositoryName": "a"}, "length greater than or equal to 2"),
            ("CreateRepository", {"repositoryName": "ok\n"}, "regular expression"),
            ("CreateRepository", {"repositoryName": "a" * 257}, "length less than or equal to 256"),
            ("CreateRepository", {"repositoryName": "ok", "tags": [{"Key": "a"}]}, "'tags.1.member.Value'"),
            ("DescribeRepositories", {"maxResults": 0}, "value greater than or equal to 1"),
            ("DescribeRepositories", {"maxResults": 1001}, "value less than or equal to 1000"),
            ("DescribeRepositories", {"maxResults": True}, "must be an integer"),
            ("DescribeRepositories", {"repositoryNames": "app"}, "must be a list"),
            ("DeleteRepository", {"repositoryName": "ok", "force": "yes"}, "must be a boolean"),
            ("DescribeImages", {"repositoryName": "ok", "filter": []}, "must be a structure"),
        ],
    )
    def test_each_kind(self, lab: Lab, operation: str, params: dict[str, object], said: str):
        assert said in lab.refused(operation, **params).message

    def test_the_bounds_themselves_are_legal(self, lab: Lab):
        for name in ("a" * 256, "ab"):
            lab("CreateRepository", repositoryName=name)
        assert len(lab("DescribeRepositories", maxResults=1000)["repositories"]) == 3
        assert len(lab("DescribeRepositories", maxResults=1)["repositories"]) == 1
        text = lab.manifest("a")
        lab.put(text, "t" * 300)
        long = lab.refused("PutImage", repositoryName="app", imageManifest=text, imageTag="t" * 301)
        assert "length less than or equal to 300" in long.message

    def test_operations(self, lab: Lab):
        assert lab.refused("MakeCoffee").code == "UnknownOperationException"
        fault = lab.refused("StartImageScan", repositoryName="app", imageId={"imageTag": "a"})
        if fault.code == "UnsupportedOperationException":
            assert "StartImageScan" in fault.message

    def test_table_covers_the_model(self):
        rows = operation_table()
        assert [r.operation for r in rows] == sorted(service_model().operation_names)
        supported = {r.operation for r in rows if r.state == "supported"}
        assert len(supported) >= 34
        assert all(r.note for r in rows if r.state == "supported")


class TestClock:
    """Time moves only when told, and due work runs in order with its own time."""

    def test_start_and_sleep(self):
        clock = ManualClock()
        assert clock.now() == DEFAULT_START
        clock.sleep(1.5)
        assert clock.monotonic() == 1.5
        with pytest.raises(ValueError, match="forward"):
            clock.advance(-HOUR)

    def test_due_work_in_order_with_its_time(self):
        engine = Engine()
        seen: list[tuple[str, dt.datetime]] = []
        start = engine.clock.now()

        def again(at: dt.datetime) -> None:
            seen.append(("again", at))
            engine.schedule(at + 2 * HOUR, again)

        engine.schedule(start + 3 * HOUR, lambda at: seen.append(("once", at)))
        engine.schedule(start + HOUR, again)
        engine.advance(5 * HOUR)
        assert [(n, (at - start) // HOUR) for n, at in seen] == [("again", 1), ("once", 3), ("again", 3), ("again", 5)]

    def test_sleeping_on_the_clock_settles_at_the_next_call(self):
        engine = Engine()
        seen: list[dt.datetime] = []
        engine.schedule(engine.clock.now() + HOUR, seen.append)
        engine.clock.sleep(3600)
        engine.call("DescribeRepositories", {})
        assert len(seen) == 1

    def test_a_running_clock_cannot_be_advanced(self):
        with pytest.raises(TypeError, match="ManualClock"):
            Engine(clock=SystemClock()).advance(HOUR)


class TestTokens:
    """Passwords live 12 hours, serve one region, and hold no colon (A42)."""

    def test_life(self):
        engine = Engine()
        password, expires = engine.issue_token("210987654321", "eu-west-1")
        assert ":" not in password and expires - engine.clock.now() == 12 * HOUR
        assert engine.check_password(password) == "210987654321"
        assert engine.check_password(password, region="us-east-1") is None
        assert engine.check_password("x") is None
        engine.advance(12 * HOUR)
        assert engine.check_password(password) is None

    def test_operation(self, lab: Lab):
        import base64

        data = lab("GetAuthorizationToken", registryIds=["123456789012", "210987654321"])["authorizationData"]
        user, _, password = base64.b64decode(data[0]["authorizationToken"]).decode().partition(":")
        assert user == "AWS" and lab.engine.check_password(password) == "123456789012"
        assert data[1]["proxyEndpoint"] == "https://210987654321.dkr.ecr.us-east-1.amazonaws.com"
        assert lab.engine.password_caller(password) == "arn:aws:iam::123456789012:root"


class TestSeams:
    """Calls are counted, hooks may refuse, listeners hear of changes."""

    def test_calls_are_logged_even_when_refused(self, lab: Lab):
        lab.refused("DescribeImages", repositoryName="no")
        last = lab.engine.calls[-1]
        assert (last.operation, last.account, last.region) == ("DescribeImages", "123456789012", "us-east-1")

    def test_the_log_keeps_no_bulk(self, lab: Lab):
        lab.push("a", "v1")
        assert lab.engine.calls[-1].params == {"repositoryName": "app", "imageTag": "v1"}

    def test_throttle(self):
        engine = Engine()
        engine.before_call.append(throttle(2, 3, operations=["DescribeRepositories"], clock=engine.clock))

        def burst() -> int:
            done = 0
            for _ in range(10):
                with contextlib.suppress(ServiceFault):
                    engine.call("DescribeRepositories", {})
                    done += 1
            return done

        assert burst() == 3
        with pytest.raises(ServiceFault, match="ThrottlingException: Rate exceeded"):
            engine.call("DescribeRepositories", {})
        engine.clock.sleep(1)
        assert burst() == 2
        engine.call("DescribeRegistry", {})
        with pytest.raises(ValueError, match="positive"):
            throttle(0, 1)

    def test_hooks_see_the_call(self, lab: Lab):
        def deny(call: Call) -> None:
            raise ServiceFault("AccessDeniedException", f"{call.caller} may not {call.operation}")

        lab.engine.before_call.append(deny)
        assert lab.refused("DescribeRegistry").code == "AccessDeniedException"

    def test_listeners_and_details(self, lab: Lab):
        heard: list[object] = []
        lab.engine.listeners.append(heard.append)
        lab.engine.image_details.append(lambda *_: {"imageScanStatus": {"status": "PENDING"}})
        digest = lab.push("a")
        assert len(heard) == 1 and lab.details()[digest]["imageScanStatus"] == {"status": "PENDING"}

    def test_reset(self, lab: Lab):
        lab.engine.reset()
        assert lab("DescribeRepositories") == {"repositories": []} and len(lab.engine.calls) == 1

    def test_threads_lose_nothing(self):
        engine = Engine()
        gate = threading.Barrier(8)

        def work(n: int) -> None:
            gate.wait()
            for k in range(25):
                engine.call("CreateRepository", {"repositoryName": f"r{n}/{k:02}"})

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert len(engine.registry().repositories) == 200 and len(engine.calls) == 200


class Scripted:
    """Stands in for the lifecycle domain: the engine's part is tested apart from the evaluation."""

    def __init__(self) -> None:
        self.expired: list[str] = []
        self.transitioned: list[str] = []
        self.blocked: list[str] = []
        self.times: list[dt.datetime] = []

    def simulate(self, policy: object, inventory: object, *, now: dt.datetime) -> Scripted:
        self.times.append(now)
        self.inventory = inventory
        return self

    def outcome(self, digest: str):
        action = "expire" if digest in self.expired else "transition" if digest in self.transitioned else "keep"
        return types.SimpleNamespace(action=action, rule_priority=7)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    run = Scripted()

    class LifecyclePolicyError(Exception):
        problems = (
            types.SimpleNamespace(path="$.a", message="is odd", quoted=None),
            types.SimpleNamespace(
                path="$.b", message="two", quoted="Lifecycle policy validation failure: Only one rule."
            ),
        )

    class LifecyclePolicy:
        @staticmethod
        def parse(text: str) -> object:
            if "bad" in text:
                raise LifecyclePolicyError
            return object()

    module = types.ModuleType("ecrkit.lifecycle")
    module.LifecyclePolicy, module.LifecyclePolicyError, module.simulate = (
        LifecyclePolicy,
        LifecyclePolicyError,
        run.simulate,
    )
    monkeypatch.setitem(__import__("sys").modules, "ecrkit.lifecycle", module)
    return run


class TestLifecycleRuns:
    """A policy runs within 24 hours and at most once per 24 hours; indexes hold their children (L37, L39)."""

    def put(self, lab: Lab, text: str = TEXT):
        return lab("PutLifecyclePolicy", repositoryName="app", lifecyclePolicyText=text)

    def test_cadence(self, lab: Lab, scripted: Scripted):
        self.put(lab)
        assert "lastEvaluatedAt" not in lab("GetLifecyclePolicy", repositoryName="app")
        lab.engine.advance(2 * HOUR)
        assert len(scripted.times) == 1
        self.put(lab)
        lab.engine.advance(22 * HOUR)
        assert len(scripted.times) == 1
        lab.engine.advance(60 * HOUR)
        gaps = [b - a for a, b in zip(scripted.times, scripted.times[1:], strict=False)]
        assert len(gaps) >= 2 and all(gap == 24 * HOUR for gap in gaps)
        assert lab("GetLifecyclePolicy", repositoryName="app")["lastEvaluatedAt"] == scripted.times[-1]
        lab("DeleteLifecyclePolicy", repositoryName="app")
        before = len(scripted.times)
        lab.engine.advance(60 * HOUR)
        assert len(scripted.times) == before

    def test_actions_and_failures(self, lab: Lab, scripted: Scripted):
        child, kept, old, cold = lab.push("child"), lab.push("kept"), lab.push("old", "old"), lab.push("cold", "cold")
        gone_child = lab.push("gone child")
        gone = lab.index([gone_child], note="goes")
        index = lab.index([child], "multi")
        scripted.expired = [gone_child, gone, old]
        scripted.transitioned = [cold]
        scripted.blocked = [child]
        self.put(lab)
        lab.engine.advance(24 * HOUR)
        assert set(lab.details()) == {child, kept, index}
        assert set(lab.details(filter={"imageStatus": "ARCHIVED"})) == {cold}
        (event,) = (e for e in lab.engine.events if isinstance(e, LifecyclePolicyExecuted))
        assert {(a.digest, a.action, a.rule_priority) for a in event.actions} == {
            (gone, "expire", 7), (gone_child, "expire", 7), (old, "expire", 7), (cold, "transition", 7),
        }  # fmt: skip
        (failure,) = event.failures
        assert (failure.digest, failure.code) == (child, "ImageReferencedByManifestList")
        assert failure.reason == f"Requested image referenced by manifest list: [{index}]"
        assert scripted.inventory.children_of(index) == (child,)

    def test_a_child_whose_index_stays_is_left(self, lab: Lab, scripted: Scripted):
        child = lab.push("child")
        lab.index([child], "multi")
        scripted.expired = [child]
        self.put(lab)
        lab.engine.advance(24 * HOUR)
        (event,) = (e for e in lab.engine.events if isinstance(e, LifecyclePolicyExecuted))
        assert child in lab.details() and [f.digest for f in event.failures] == [child] and event.actions == ()

    def test_invalid_policy(self, lab: Lab, scripted: Scripted):
        fault = lab.refused("PutLifecyclePolicy", repositoryName="app", lifecyclePolicyText="bad" + TEXT)
        assert fault.code == "InvalidParameterException"
        assert fault.message == (
            "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint: "
            "'Lifecycle policy validation failure: $.a: is odd; Only one rule.'"
        )
        assert lab.refused("GetLifecyclePolicy", repositoryName="app").code == "LifecyclePolicyNotFoundException"
        short = lab.refused("PutLifecyclePolicy", repositoryName="app", lifecyclePolicyText="")
        assert "length greater than or equal to 100" in short.message


class TestPreview:
    """Asynchronous, one at a time, with pages, filter and summary (GetLifecyclePolicyPreview, L46, L47)."""

    def test_round(self, lab: Lab, scripted: Scripted):
        ask = {"repositoryName": "app"}
        assert lab.refused("GetLifecyclePolicyPreview", **ask).code == "LifecyclePolicyPreviewNotFoundException"
        assert lab.refused("StartLifecyclePolicyPreview", **ask).code == "LifecyclePolicyNotFoundException"
        scripted.expired = [lab.push("a", "a"), lab.push("b"), lab.push("c", "c")]
        scripted.transitioned = [lab.push("d", "d")]
        assert lab("StartLifecyclePolicyPreview", **ask, lifecyclePolicyText=TEXT)["status"] == "IN_PROGRESS"
        again = lab.refused("StartLifecyclePolicyPreview", **ask, lifecyclePolicyText=TEXT)
        assert again.code == "LifecyclePolicyPreviewInProgressException"
        assert "previewResults" not in lab("GetLifecyclePolicyPreview", **ask)
        lab.engine.advance(dt.timedelta(seconds=10))
        page = lab("GetLifecyclePolicyPreview", **ask, maxResults=3)
        assert page["status"] == "COMPLETE" and len(page["previewResults"]) == 3
        assert page["summary"] == {
            "expiringImageTotalCount": 3,
            "transitioningImageTotalCounts": [{"targetStorageClass": "ARCHIVE", "imageTotalCount": 1}],
        }
        last = lab("GetLifecyclePolicyPreview", **ask, nextToken=page["nextToken"])
        assert last["previewResults"][0]["action"] == {"type": "TRANSITION", "targetStorageClass": "ARCHIVE"}
        assert "nextToken" not in last
        assert "nextToken" not in lab("GetLifecyclePolicyPreview", **ask, maxResults=4)
        bare = lab("GetLifecyclePolicyPreview", **ask, filter={"tagStatus": "UNTAGGED"})["previewResults"]
        assert [r["imageDigest"] for r in bare] == [scripted.expired[1]]
        named = lab("GetLifecyclePolicyPreview", **ask, imageIds=[{"imageTag": "c"}])["previewResults"]
        assert [r["imageDigest"] for r in named] == [scripted.expired[2]]
        both = lab.refused("GetLifecyclePolicyPreview", **ask, imageIds=[{"imageTag": "c"}], maxResults=2)
        assert both.code == "InvalidParameterException"
        assert len(lab.details()) == 4
        lab.engine.advance(24 * HOUR)
        assert lab("GetLifecyclePolicyPreview", **ask)["status"] == "EXPIRED"
