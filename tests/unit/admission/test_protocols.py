"""The three protocols, to the byte: Gatekeeper External Data, AdmissionReview, Kyverno's HTTP call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from ecrkit.admission import Decision, Question, admission_review, gatekeeper, kyverno
from ecrkit.deployments import POD_KINDS
from tests.support.admission import CLEAN

MOST = 100_000
V1BETA1 = "externaldata.gatekeeper.sh/v1beta1"


def ask(questions: Sequence[Question]) -> list[Decision]:
    """Answer by the name of the image."""
    found = []
    for q in questions:
        outcome: Any = "pass" if "good" in q.image else "undetermined" if "pending" in q.image else "fail"
        audit = (q.profile or "") == "audit"
        fine = outcome == "pass"
        found.append(
            Decision(
                image=q.image, outcome=outcome, allowed=fine or audit, would_deny=not fine and audit,
                reason="" if fine else "2 over limit 0", namespace=q.namespace, profile=q.profile, digest=CLEAN,
                repository="team/app", counts={} if fine else {"CRITICAL": 2},
                vulnerabilities=() if fine else ("CVE-2026-1",), vulnerability_count=0 if fine else 1,
            )
        )  # fmt: skip
    return found


def never(questions: Sequence[Question]) -> list[Decision]:
    raise AssertionError("nothing may be asked")


def provider_request(*keys: Any) -> bytes:
    return json.dumps({"apiVersion": V1BETA1, "kind": "ProviderRequest", "request": {"keys": list(keys)}}).encode()


def items(reply: Any) -> list[dict[str, Any]]:
    body = json.loads(reply.body)
    assert (body["apiVersion"], body["kind"]) == (V1BETA1, "ProviderResponse")
    assert body["response"]["idempotent"] is True
    found: list[dict[str, Any]] = body["response"]["items"]
    return found


class TestGatekeeper:
    """Every key is echoed, faults are per item, systemError is for the whole (Gatekeeper docs; facts S32 to S38)."""

    def test_to_the_byte(self) -> None:
        reply = gatekeeper.reply_to(provider_request("pay|good", "pending"), ask, most=MOST)
        assert reply.status == 200
        assert reply.content_type == "application/json"
        assert reply.body == (
            b'{"apiVersion":"externaldata.gatekeeper.sh/v1beta1","kind":"ProviderResponse","response":'
            b'{"idempotent":true,"items":[{"key":"pay|good","value":{"allowed":true,"outcome":"pass","reason":"good [' +
            CLEAN.encode() + b']: pass","wouldDeny":false,"repository":"team/app","digest":"' + CLEAN.encode() +
            b'","profile":null,"counts":{},"vulnerabilities":[],"vulnerabilityCount":0}},'
            b'{"key":"pending","error":"undetermined: 2 over limit 0"}],"systemError":""}}'
        )  # fmt: skip

    def test_every_key_is_echoed_exactly_and_in_order(self) -> None:
        """A key absent from the items is in neither responses nor errors (open-policy-agent/frameworks)."""
        keys = ["good", "b|bad", "a|b|pending", "good", "", "a|b|c|d", "ключ", "\u0000", " good ", "|", "x" * 5000]
        found = items(gatekeeper.reply_to(provider_request(*keys), ask, most=MOST))
        assert [i["key"] for i in found] == keys
        assert all(("value" in i) != bool(i.get("error")) for i in found)

    def test_the_namespace_and_the_profile_are_in_the_key(self) -> None:
        assert gatekeeper.question_of("good") == Question(image="good")
        assert gatekeeper.question_of("pay|good", profile="x") == Question(image="good", namespace="pay", profile="x")
        assert gatekeeper.question_of("p|pay|good", profile="x") == Question(image="good", namespace="pay", profile="p")
        assert gatekeeper.question_of("|good") == Question(image="good")
        assert isinstance(gatekeeper.question_of("pay|"), str)

    def test_a_fail_is_a_value_with_its_reason(self) -> None:
        value = items(gatekeeper.reply_to(provider_request("bad"), ask, most=MOST))[0]["value"]
        assert value["allowed"] is False
        assert "CVE-2026-1" in value["reason"]
        assert value["counts"] == {"CRITICAL": 2}

    def test_audit_is_an_allowing_value_also_for_undetermined(self) -> None:
        found = items(gatekeeper.reply_to(provider_request("audit||pending"), ask, most=MOST))[0]["value"]
        assert (found["allowed"], found["wouldDeny"]) == (True, True)

    def test_no_keys(self) -> None:
        assert items(gatekeeper.reply_to(provider_request(), never, most=MOST)) == []

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400), (b"null", 400), (b"[]", 400), (b"{", 400), (b"\xff", 400), (b"[" * 50_000, 400),
            (b'{"a":NaN}', 400), (b"x" * (MOST + 1), 413), (provider_request(1), 400), (provider_request(None), 400),
            (provider_request("good").replace(b"v1beta1", b"v1alpha1"), 400),
            (provider_request("good").replace(b"ProviderRequest", b"Other"), 400),
            (provider_request("good").replace(b'"keys"', b'"keys": ["bad"], "keys"'), 400),
            (provider_request("good").replace(b'"keys"', b'"key"'), 400),
            (json.dumps({"apiVersion": V1BETA1, "kind": "ProviderRequest"}).encode(), 400),
            (provider_request(*["good"] * 513), 413),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_a_system_error(self, body: bytes, status: int) -> None:
        """Gatekeeper ignores the HTTP status: the body must say it."""
        reply = gatekeeper.reply_to(body, never, most=MOST)
        assert reply.status == status
        assert items(reply) == []
        assert json.loads(reply.body)["response"]["systemError"]


def review(obj: Any = None, **request: Any) -> bytes:
    body: dict[str, Any] = {
        "uid": "0e8c", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "namespace": "pay", "name": "web", "object": pod("good") if obj is None else obj, "userInfo": {"username": "x"},
    }  # fmt: skip
    body |= request
    return json.dumps({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": body}).encode()


def pod(*images: str, **lists: list[str]) -> dict[str, Any]:
    spec = {"containers": [{"name": f"c{n}", "image": i} for n, i in enumerate(images)]}
    spec |= {k: [{"name": f"{k}{n}", "image": i} for n, i in enumerate(v)] for k, v in lists.items()}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": spec}


def response(reply: Any) -> dict[str, Any]:
    assert reply.status == 200
    body = json.loads(reply.body)
    assert (body["apiVersion"], body["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
    found: dict[str, Any] = body["response"]
    assert found["uid"] == "0e8c"
    return found


class TestAdmissionReview:
    """uid, allowed, status and warnings as the API server wants them (Kubernetes, Dynamic Admission Control)."""

    def test_allowed_to_the_byte(self) -> None:
        assert admission_review.reply_to(review(), ask, most=MOST).body == (
            b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"0e8c","allowed":true,'
            b'"auditAnnotations":{"verdicts":"good=pass@' + CLEAN.encode() + b'"}}}'
        )

    def test_denied_to_the_byte(self) -> None:
        assert admission_review.reply_to(review(pod("bad")), ask, most=MOST).body == (
            b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"0e8c","allowed":false,'
            b'"status":{"code":403,"message":"bad [' + CLEAN.encode() + b']: 2 over limit 0 (CVE-2026-1)"},'
            b'"auditAnnotations":{"verdicts":"bad=fail@' + CLEAN.encode() + b'"}}}'
        )

    @pytest.mark.parametrize("where", ["initContainers", "ephemeralContainers"])
    def test_every_container_counts(self, where: str) -> None:
        found = response(admission_review.reply_to(review(pod("good", **{where: ["bad"]})), ask, most=MOST))
        assert found["allowed"] is False
        assert "bad [" in found["status"]["message"]

    @pytest.mark.parametrize("kind", POD_KINDS)
    def test_templates_of_every_kind(self, kind: str) -> None:
        spec = pod("good", initContainers=["bad"])["spec"]
        body: dict[str, Any] = {"spec": {"template": {"spec": spec}}}
        if kind == "Pod":
            body = {"spec": spec}
        if kind == "PodTemplate":
            body = {"template": {"spec": spec}}
        if kind == "CronJob":
            body = {"spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}
        group = {"Job": "batch", "CronJob": "batch"}.get(kind, "apps")
        group = "" if kind in ("Pod", "PodTemplate", "ReplicationController") else group
        of = {"group": group, "version": "v1", "kind": kind}
        assert response(admission_review.reply_to(review(body, kind=of), ask, most=MOST))["allowed"] is False
        wrong = of | {"group": "example.com"}
        assert (
            "example.com"
            in response(admission_review.reply_to(review(body, kind=wrong), never, most=MOST))["status"]["message"]
        )

    def test_an_update_is_judged_on_what_it_brings_in(self) -> None:
        """An object with an old image must stay changeable (kyverno#8815)."""
        same = review(pod("bad"), operation="UPDATE", oldObject=pod("bad"))
        assert response(admission_review.reply_to(same, never, most=MOST))["allowed"] is True
        new = review(pod("bad", ephemeralContainers=["bad2"]), operation="UPDATE", oldObject=pod("bad"),
                     subResource="ephemeralcontainers")  # fmt: skip
        found = response(admission_review.reply_to(new, ask, most=MOST))
        assert found["allowed"] is False
        assert "bad2" in found["status"]["message"]
        created = review(pod("bad"), operation="CREATE", oldObject=pod("bad"))
        assert response(admission_review.reply_to(created, ask, most=MOST))["allowed"] is False
        for old in (None, 7, {"kind": "Pod"}, {"kind": "Other"}):
            unknown = review(pod("bad"), operation="UPDATE", oldObject=old)
            assert response(admission_review.reply_to(unknown, ask, most=MOST))["allowed"] is False

    @pytest.mark.parametrize("operation", ["DELETE", "CONNECT"])
    def test_operations_without_an_image(self, operation: str) -> None:
        """The object of DELETE is null; CONNECT holds options (AdmissionRequest)."""
        body = review(operation=operation, object=None, kind={"group": "", "version": "v1", "kind": "PodExecOptions"})
        assert response(admission_review.reply_to(body, never, most=MOST)) == {"uid": "0e8c", "allowed": True}

    @pytest.mark.parametrize(
        "body",
        [
            review(5), review({}), review(pod()), review({"kind": "Pod", "spec": {"containers": [{}]}}),
            review(object=None), review(operation="PATCH"), review(operation=None), review(operation=["CREATE"]),
            review(kind=None), review(kind={"kind": "Pod", "group": 5}), review(kind={"kind": ["Pod"]}),
            review(namespace=5), review({"kind": "Deployment", "spec": {}}), review(pod(*[f"g{n}" for n in range(513)])),
            review(pod("good") | {"metadata": 5}),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_denied_with_its_uid(self, body: bytes) -> None:
        found = response(admission_review.reply_to(body, never, most=MOST))
        assert found["allowed"] is False
        assert found["status"]["code"] == 403
        assert found["status"]["message"]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400), (b"{}", 400), (review(uid=""), 400), (review(uid=5), 400), (review(uid="x" * 300), 400),
            (review().replace(b"k8s.io/v1", b"k8s.io/v1beta1"), 400), (review().replace(b"AdmissionReview", b"X"), 400),
            (review().replace(b'"uid"', b'"uid": "a", "uid"'), 400), (review() + b" " * MOST, 413),
            (review().replace(b'"image"', b'"image": "bad", "image"'), 400),
        ],
    )  # fmt: skip
    def test_without_a_uid_it_is_an_http_error(self, body: bytes, status: int) -> None:
        reply = admission_review.reply_to(body, never, most=MOST)
        assert reply.status == status
        assert "allowed" not in json.loads(reply.body)

    def test_audit_admits_with_warnings(self) -> None:
        reply = admission_review.reply_to(review(pod("bad", "good")), ask, most=MOST, profile="audit")
        found = response(reply)
        assert found["allowed"] is True
        assert len(found["warnings"]) == 1
        assert found["warnings"][0].startswith("would be denied: bad")
        assert "(audit)" in found["auditAnnotations"]["verdicts"]

    def test_warnings_within_limits(self) -> None:
        """At most 120 characters each; beyond 4096 in all the API server drops them (Kubernetes documentation)."""
        found = response(
            admission_review.reply_to(
                review(pod(*[f"bad{n}" * 30 for n in range(100)])), ask, most=MOST, profile="audit"
            )
        )["warnings"]
        assert max(map(len, found)) == 120
        assert sum(map(len, found)) <= 4096
        assert found[-1] == f"and {100 - len(found) + 1} more warnings"

    def test_texts_are_printable(self) -> None:
        """A warning becomes an HTTP header: a line break would begin another."""
        found = response(admission_review.reply_to(review(pod("bad\r\nX: 1\u2028ß")), ask, most=MOST, profile="audit"))
        assert found["warnings"][0].isascii()
        assert found["warnings"][0].isprintable()

    def test_too_few_decisions_deny(self) -> None:
        found = response(admission_review.reply_to(review(pod("good", "good2")), lambda q: ask(q)[:1], most=MOST))
        assert found["allowed"] is False


class TestKyverno:
    """Booleans and texts always, whatever happened (facts S40 to S42)."""

    def test_to_the_byte(self) -> None:
        assert kyverno.reply_to(b'{"images":["good"],"namespace":"pay"}', ask, most=MOST).body == (
            b'{"allowed":true,"message":"all images may run","images":[{"image":"good","allowed":true,"outcome":"pass",'
            b'"reason":"","wouldDeny":false,"repository":"team/app","digest":"' + CLEAN.encode() + b'","profile":null,'
            b'"counts":{},"vulnerabilities":[],"vulnerabilityCount":0}]}'
        )

    def test_one_bad_image_denies_and_is_named(self) -> None:
        found = json.loads(kyverno.reply_to(b'{"images":["good","bad","bad"]}', ask, most=MOST).body)
        assert found["allowed"] is False
        assert found["message"].startswith("bad [")
        assert [i["image"] for i in found["images"]] == ["good", "bad"]

    def test_the_profile_of_the_call_comes_first(self) -> None:
        assert kyverno.questions_of(b'{"images":["a"],"profile":"p"}', most=MOST, profile="q")[0].profile == "p"
        assert kyverno.questions_of(b'{"images":["a"],"profile":null}', most=MOST, profile="q")[0].profile == "q"

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400), (b"{}", 400), (b'{"images":[]}', 400), (b'{"images":"good"}', 400), (b'{"images":[null]}', 400),
            (b'{"images":[["good"]]}', 400), (b'{"images":[""]}', 400), (b'{"images":["good"],"namespase":"x"}', 400),
            (b'{"images":["good"],"namespace":5}', 400), (b'{"images":["good"],"profile":[]}', 400),
            (b'{"images":["bad"],"images":["good"]}', 400), (b'{"images":["good"]}' + b" " * MOST, 413),
            (json.dumps({"images": ["good"] * 513}).encode(), 413), (b'{"images":["\\ud800good"]}x', 400),
        ],
    )  # fmt: skip
    def test_what_cannot_be_read_is_not_allowed(self, body: bytes, status: int) -> None:
        """Null or a list makes a condition of Kyverno false, which admits (kyverno#11677): the boolean is always there."""
        reply = kyverno.reply_to(body, never, most=MOST)
        found = json.loads(reply.body)
        assert (reply.status, found["allowed"], found["images"]) == (status, False, [])
        assert isinstance(found["message"], str)
        assert found["message"]

    def test_many_keys_and_one_twice_are_no_work(self) -> None:
        """A search through all keys before each one would take minutes for a body of this size."""
        body = ("{" + ",".join(f'"{n}":0' for n in range(200_000)) + ',"199999":0}').encode()
        assert kyverno.reply_to(body, never, most=len(body)).status == 400

    def test_no_decisions_allow_nothing(self) -> None:
        assert json.loads(kyverno.answer([]))["allowed"] is False
