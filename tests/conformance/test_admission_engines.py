"""Our policies in real engines against our running server over TLS: OPA and regorus for Gatekeeper, CEL for Kyverno.

Pass, deny, pending, an answer that got lost, no client certificate, another CA's certificate, and the server down.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from typing import Any

import jmespath
import pytest

from ecrkit.admission.manifests import gatekeeper, kyverno_cluster_policy, kyverno_policy, validating_webhook
from tests.support.admission_door import BAD, GOOD, PENDING, Door, open_door
from tests.support.policy_engines import CelPolicy, GatekeeperCaller, opa, post_json, regorus


@pytest.fixture(scope="module")
def door(tmp_path_factory) -> Iterator[Door]:
    with open_door(tmp_path_factory.mktemp("door")) as opened:
        yield opened


@pytest.fixture(scope="module")
def closed_door(tmp_path_factory) -> Door:
    """A server that has stopped: nothing listens there any more."""
    with open_door(tmp_path_factory.mktemp("closed")) as opened:
        pass
    return opened


def pod(*images: str, namespace: str = "shop") -> dict[str, Any]:
    first, *others = images
    return {
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": namespace},
        "spec": {
            "initContainers": [{"name": "i", "image": first}],
            "containers": [{"name": f"c{n}", "image": i} for n, i in enumerate(others or [first])],
        },
    }  # fmt: skip


def cron(image: str) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": pod(image)["spec"]}}}},
    }  # fmt: skip


def review(
    new: Mapping[str, Any], old: Mapping[str, Any] | None = None, *, operation: str = "CREATE", **parameters: Any
) -> dict[str, Any]:
    kind = {"group": "batch" if new["kind"] == "CronJob" else "", "version": "v1", "kind": new["kind"]}
    return {
        "review": {
            "kind": kind, "operation": operation, "namespace": new["metadata"]["namespace"], "object": new,
            "oldObject": old,
        },
        "parameters": parameters,
    }  # fmt: skip


class Losing(GatekeeperCaller):
    """A caller that loses the answer for one key on the way."""

    def __call__(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        told = super().__call__(request)
        return {**told, "responses": [r for r in told["responses"] if not r[0].endswith(GOOD)]}


@pytest.fixture(params=["opa v1", "regorus v1", "regorus v0"])
def engine(request):
    """Return a function that judges a review by OUR objects, asking OUR server as Gatekeeper does."""

    def judging(door: Door, *, client: Any = "gatekeeper", cache: bool = False, caller: Any = GatekeeperCaller) -> Any:
        name, version = request.param.split()
        made = gatekeeper(door.address, rego=version)
        target = made.of("ConstraintTemplate")["spec"]["targets"][0]
        rego = target["rego"] if version == "v0" else target["code"][0]["source"]["rego"]
        presented = door.client if client == "gatekeeper" else client
        ask = caller([made.of("Provider")], door.connect_to, client=presented, cache=cache)
        judge = opa(rego, ask) if name == "opa" else regorus(rego, ask, v0=version == "v0")
        return judge, ask

    return judging


class TestGatekeeper:
    """The ConstraintTemplate and the Provider, in both versions of Rego."""

    def test_pass_deny_and_pending(self, engine, door):
        judge, asking = engine(door)
        assert judge(review(pod(GOOD))) == []
        (refusal,) = judge(review(pod(BAD, GOOD)))
        assert BAD in refusal
        assert "CVE-2026-1" in refusal
        (pending,) = judge(review(pod(GOOD, PENDING)))
        assert pending.startswith(f"{PENDING}: undetermined: ")
        assert [len(keys) for keys in asking.calls] == [1, 2, 2]

    def test_templates_are_judged_too(self, engine, door):
        judge, _ = engine(door)
        assert judge(review(cron(GOOD))) == []
        assert len(judge(review(cron(BAD)))) == 1

    def test_the_namespace_or_the_constraint_chooses_the_profile(self, engine, door):
        judge, _ = engine(door)
        assert judge(review(pod(BAD, namespace="sandbox"))) == []
        assert len(judge(review(pod(BAD, namespace="sandbox"), profile="strict"))) == 1
        assert judge(review(pod(BAD), profile="lenient")) == []
        (unknown,) = judge(review(pod(GOOD), profile="lenientt"))
        assert "no profile 'lenientt'" in unknown

    def test_an_update_is_judged_on_what_it_brings_in(self, engine, door):
        judge, asking = engine(door)
        assert judge(review(pod(BAD), pod(BAD), operation="UPDATE")) == []
        assert asking.calls == []
        assert len(judge(review(pod(BAD, GOOD), pod(GOOD), operation="UPDATE"))) == 1
        assert judge(review(pod(BAD), pod(BAD), operation="DELETE")) == []

    def test_an_answer_that_got_lost_is_a_no(self, engine, door):
        judge, _ = engine(door, caller=Losing)
        assert judge(review(pod(GOOD))) == [f"{GOOD}: no answer from the admission server"]

    def test_without_a_client_certificate_nothing_is_admitted(self, engine, door):
        judge, _ = engine(door, client=None)
        refusals = judge(review(pod(GOOD)))
        assert any("a client certificate is needed" in r for r in refusals)
        assert f"{GOOD}: no answer from the admission server" in refusals

    def test_the_certificate_of_another_ca_ends_the_handshake(self, engine, door):
        judge, _ = engine(door, client=door.stranger)
        refusals = judge(review(pod(GOOD)))
        assert any(r.startswith("the admission server cannot be asked: ") for r in refusals)

    def test_a_server_that_is_down_admits_nothing(self, engine, closed_door):
        judge, _ = engine(closed_door)
        refusals = judge(review(pod(GOOD)))
        assert any("ConnectionRefused" in r for r in refusals)
        assert f"{GOOD}: no answer from the admission server" in refusals

    def test_answers_from_the_cache_have_no_status(self, engine, door):
        """When all keys are kept, Gatekeeper says status 0: a template that wants 200 would refuse everything."""
        judge, asking = engine(door, cache=True)
        assert judge(review(pod(GOOD))) == judge(review(pod(GOOD))) == []
        assert judge(review(pod(BAD))) == judge(review(pod(BAD))) != []
        assert len(asking.calls) == 2

    def test_a_provider_that_does_not_exist(self, engine, door):
        judge, asking = engine(door)
        asking._providers.clear()
        assert any("no provider ecrkit-admission" in r for r in judge(review(pod(GOOD))))


class TestPlainWebhook:
    """The API server calls the path of the ValidatingWebhookConfiguration, and trusts the CA written there."""

    def asked(self, door: Door, body: Mapping[str, Any]) -> Mapping[str, Any]:
        made = validating_webhook(door.address).of("ValidatingWebhookConfiguration")["webhooks"][0]
        service, config = made["clientConfig"]["service"], made["clientConfig"]
        url = f"https://{service['name']}.{service['namespace']}.svc{service['path']}?timeout={made['timeoutSeconds']}s"
        ca = base64.b64decode(config["caBundle"]).decode()
        status, raw = post_json(url, body, ca=ca, connect_to=door.connect_to)
        assert status == 200
        return json.loads(raw)["response"]

    def sent(self, new: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        request = {"uid": "u-1", "operation": "CREATE", **review(new)["review"], **more}
        return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}

    def test_pass_deny_pending_and_updates(self, door):
        assert self.asked(door, self.sent(pod(GOOD)))["allowed"] is True
        for image in (BAD, PENDING):
            told = self.asked(door, self.sent(cron(image)))
            assert (told["uid"], told["allowed"], told["status"]["code"]) == ("u-1", False, 403)
            assert image in told["status"]["message"]
        assert self.asked(door, self.sent(pod(BAD), operation="UPDATE", oldObject=pod(BAD)))["allowed"] is True


class TestKyvernoValidatingPolicy:
    """The expressions of the policy exactly as the builder writes them, in Google's CEL; the call goes to our server."""

    def judging(self, door: Door, **more: Any) -> tuple[CelPolicy, list[Mapping[str, Any]]]:
        seen: list[Mapping[str, Any]] = []

        def post(ca: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Any:
            seen.append(body)
            assert headers == {"Content-Type": "application/json"}
            status, raw = post_json(url, body, ca=ca, connect_to=door.connect_to)
            return {**json.loads(raw), "statusCode": status}

        policy = kyverno_policy(door.address, **more).of("ValidatingPolicy")
        return CelPolicy(policy, post), seen

    def test_pass_deny_and_pending(self, door):
        policy, seen = self.judging(door)
        assert policy.judge(pod(GOOD)) == ""
        refusal = policy.judge(pod(GOOD, BAD))
        assert BAD in refusal
        assert "CVE-2026-1" in refusal
        assert PENDING in policy.judge(pod(PENDING))
        assert seen[0] == {"images": [GOOD, GOOD], "namespace": "shop"}

    def test_ephemeral_containers(self, door):
        policy, _ = self.judging(door)
        debugged = pod(GOOD)
        debugged["spec"]["ephemeralContainers"] = [{"name": "debug", "image": BAD}]
        assert BAD in policy.judge(debugged, pod(GOOD))

    def test_templates_are_judged_too(self, door):
        policy, _ = self.judging(door)
        assert policy.judge(cron(GOOD)) == ""
        assert BAD in policy.judge(cron(BAD))
        deployment = {**cron(BAD), "kind": "Deployment", "spec": {"template": {"spec": pod(BAD)["spec"]}}}
        assert BAD in policy.judge(deployment)

    def test_an_update_is_judged_on_what_it_brings_in(self, door):
        policy, _ = self.judging(door)
        assert policy.judge(pod(BAD), pod(BAD)) == ""
        assert BAD in policy.judge(pod(BAD, GOOD), pod(GOOD))

    def test_the_profile_of_the_policy_or_of_the_namespace(self, door):
        policy, _ = self.judging(door)
        assert policy.judge(pod(BAD, namespace="sandbox")) == ""
        strict, _ = self.judging(door, profile="strict")
        assert BAD in strict.judge(pod(BAD, namespace="sandbox"))

    def test_a_server_that_is_down_admits_nothing(self, closed_door):
        policy, _ = self.judging(closed_door)
        assert policy.judge(pod(GOOD)).startswith("an expression failed")

    @pytest.mark.parametrize(
        "answer",
        [
            {}, {"allowed": None}, {"allowed": "true"}, {"allowed": 1}, {"allowed": True, "statusCode": 500},
            {"body": None, "statusCode": 502}, {"allowed": [True]}, None,
        ],
    )  # fmt: skip
    def test_nothing_but_true_with_status_200_admits(self, door, answer):
        policy = CelPolicy(kyverno_policy(door.address).of("ValidatingPolicy"), lambda *_: answer)
        assert policy.judge(pod(GOOD))

    def test_kyverno_before_it_told_the_status(self, door):
        policy = CelPolicy(kyverno_policy(door.address).of("ValidatingPolicy"), lambda *_: {"allowed": True})
        assert policy.judge(pod(GOOD)) == ""


class ClusterPolicyRun:
    """The rule of a ClusterPolicy, evaluated with jmespath as Kyverno's documentation says.

    Source: Kyverno documentation, "External Data Sources" (variables with a default, service calls), "Preconditions".
    """

    def __init__(self, door: Door, policy: Mapping[str, Any]) -> None:
        self._door, self._rule = door, policy["spec"]["rules"][0]

    def _filled(self, value: Any, data: Mapping[str, Any]) -> Any:
        if isinstance(value, str) and value.startswith("{{") and value.endswith("}}"):
            return jmespath.search(value[2:-2], data)
        return value

    def _holds(self, condition: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
        key, value = self._filled(condition["key"], data), self._filled(condition["value"], data)
        match condition["operator"]:
            case "Equals":
                return type(key) is type(value) and key == value
            case "NotEquals":
                return type(key) is type(value) and key != value
            case "AnyNotIn":
                return any(k not in value for k in key)
            case other:
                raise AssertionError(other)

    def judge(self, new: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> str:
        request: dict[str, Any] = {"operation": "UPDATE" if old else "CREATE", "object": new, "namespace": "shop"}
        data: dict[str, Any] = {"request": request | ({"oldObject": old} if old else {})}
        entries = {e["name"]: e for e in self._rule["context"]}
        for name in ("wanted", "before"):
            variable = entries[name]["variable"]
            found = jmespath.search(variable["jmesPath"], data)
            data[name] = variable["default"] if found is None else found
        if not any(self._holds(c, data) for c in self._rule["preconditions"]["any"]):
            return ""
        call = entries["verdict"]["apiCall"]
        body = {d["key"]: self._filled(d["value"], data) for d in call["data"]}
        service = call["service"]
        status, raw = post_json(service["url"], body, ca=service["caBundle"], connect_to=self._door.connect_to)
        if not 200 <= status < 300:
            return f"HTTP {status}: {raw.decode()}"
        data["verdict"] = json.loads(raw)
        if any(self._holds(c, data) for c in self._rule["validate"]["deny"]["conditions"]["any"]):
            return str(self._filled(self._rule["validate"]["message"], data))
        return ""


class TestKyvernoClusterPolicy:
    """The older kind: its paths, conditions and call, against our server."""

    def test_pass_deny_pending_and_updates(self, door):
        run = ClusterPolicyRun(door, kyverno_cluster_policy(door.address).of("ClusterPolicy"))
        assert run.judge(pod(GOOD)) == ""
        assert BAD in run.judge(pod(GOOD, BAD))
        assert PENDING in run.judge(pod(PENDING))
        assert run.judge(pod(BAD), pod(BAD)) == ""
        assert BAD in run.judge(pod(BAD, GOOD), pod(GOOD))

    @pytest.mark.parametrize("allowed", [False, None, "true", [True], 1, {}, "absent"])
    def test_the_condition_is_a_boolean_whatever_the_answer(self, door, allowed):
        """Kyverno's operators say "not met" about a value of another type, which would admit."""
        rule = kyverno_cluster_policy(door.address).of("ClusterPolicy")["spec"]["rules"][0]
        (condition,) = rule["validate"]["deny"]["conditions"]["any"]
        verdict = {} if allowed == "absent" else {"allowed": allowed}
        found = jmespath.search(condition["key"][2:-2], {"verdict": verdict})
        assert found is False
        assert (condition["operator"], condition["value"]) == ("Equals", False)
        assert jmespath.search(condition["key"][2:-2], {"verdict": {"allowed": True}}) is True

    def test_a_message_when_there_is_none(self, door):
        message = kyverno_cluster_policy(door.address).of("ClusterPolicy")["spec"]["rules"][0]["validate"]["message"]
        assert jmespath.search(message[2:-2], {"verdict": {}}) == "the admission server gave no verdict"
