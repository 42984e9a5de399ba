"""Damaged requests of all three protocols: always an answer that its caller can read, never an unreadable one admitted.

What a request really says is read by a second, lenient reader; an admission must be covered by what that one finds.
"""

from __future__ import annotations

import copy
import io
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.admission import (
    AdmissionProfile,
    AdmissionProfiles,
    SavedFindings,
    VerdictService,
    admission_review,
    gatekeeper,
    kyverno,
)
from ecrkit.admission.decisions import Decision, Question
from ecrkit.admission.wsgi import application
from ecrkit.scanning import Gate, count_limit

MOST = 20_000
GOOD = frozenset({"r/good", "r/fine"})
CONTAINER = {"name": "c", "image": "r/good"}
POD = {
    "metadata": {"name": "p", "namespace": "shop"},
    "spec": {"initContainers": [CONTAINER], "containers": [CONTAINER, {"name": "d", "image": "r/fine"}]},
}
REVIEW: dict[str, Any] = {
    "apiVersion": "admission.k8s.io/v1",
    "kind": "AdmissionReview",
    "request": {
        "uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "namespace": "shop",
        "object": POD, "oldObject": None,
    },
}  # fmt: skip
UPDATE = copy.deepcopy(REVIEW)
UPDATE["request"] |= {"operation": "UPDATE", "oldObject": {"spec": {"containers": [{"name": "o", "image": "r/old"}]}}}
UPDATE["request"]["object"]["spec"]["ephemeralContainers"] = [{"name": "e", "image": "r/old"}]
CRON = copy.deepcopy(REVIEW)
CRON["request"] |= {
    "kind": {"group": "batch", "version": "v1", "kind": "CronJob"},
    "object": {"metadata": {"name": "c"}, "spec": {"jobTemplate": {"spec": {"template": copy.deepcopy(POD)}}}},
}
PROVIDER: dict[str, Any] = {
    "apiVersion": "externaldata.gatekeeper.sh/v1beta1",
    "kind": "ProviderRequest",
    "request": {"keys": ["|shop|r/good", "shop|r/fine", "r/good", "strict|shop|r/bad"]},
}
CALL: dict[str, Any] = {"images": ["r/good", "r/fine"], "namespace": "shop", "profile": "strict"}

odd = st.sampled_from([
    None, True, False, 0, -1, 1.5, 10**30, "", "r/bad", "r/good", [], {}, [[]], ["r/bad"], {"image": "r/bad"}, "DELETE",
    "UPDATE", "\x00", "\ud800", "a|b|c|d", "x" * 3000, {"containers": [{"image": "r/bad"}]}, [{"image": "r/bad"}],
    {"kind": "List", "items": []}, "v1beta1",
])  # fmt: skip
members = st.sampled_from([
    "kind", "spec", "containers", "initContainers", "ephemeralContainers", "template", "image", "images", "keys",
    "request", "object", "uid", "namespace", "apiVersion", "Containers", "x",
])  # fmt: skip


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here]
    if isinstance(value, dict):
        for key, item in value.items():
            found += places(item, (*here, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            found += places(item, (*here, number))
    return found


@st.composite
def damaged(draw: st.DrawFn, valid: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a valid request with up to three changes to its tree, then perhaps one to its bytes."""
    document: Any = copy.deepcopy(draw(st.sampled_from(list(valid))))
    for _ in range(draw(st.integers(0, 3))):
        *way, last = draw(st.sampled_from([p for p in places(document) if p] or [("x",)]))
        parent = document
        for step in way:
            parent = parent[step]
        match draw(st.sampled_from(["replace", "remove", "add", "repeat"])):
            case "replace":
                parent[last] = copy.deepcopy(draw(odd))
            case "remove":
                del parent[last]
            case "add" if isinstance(parent, dict):
                parent[draw(members)] = copy.deepcopy(draw(odd))
            case _ if isinstance(parent, list):
                parent.append(copy.deepcopy(draw(st.sampled_from(parent))) if parent else copy.deepcopy(draw(odd)))
    text = json.dumps(document)
    match draw(st.sampled_from(["none", "none", "none", "cut", "flip", "twice", "deep", "bom", "tail", "nan"])):
        case "cut":
            text = text[: draw(st.integers(0, len(text)))]
        case "flip" if text:
            at = draw(st.integers(0, len(text) - 1))
            text = text[:at] + draw(st.characters(codec="utf-8")) + text[at + 1 :]
        case "twice" if text.startswith("{"):
            text = text[:-1] + ',"request":{"keys":["r/good"]},"images":["r/good"]}'
        case "deep":
            text = text.replace("null", "[" * 2000 + "]" * 2000)
        case "bom":
            text = "\ufeff" + text
        case "tail":
            text += draw(st.sampled_from(["{}", "\x00", " ", "\n"]))
        case "nan":
            text = text.replace("null", "NaN")
    body = text.encode("utf-8", "surrogatepass")
    return body.replace(b"a", b"\xff", 1) if draw(st.integers(0, 20)) == 0 else body


def raw_or(valid: Sequence[Mapping[str, Any]]) -> st.SearchStrategy[bytes]:
    return st.one_of(damaged(valid), damaged(valid), damaged(valid), st.binary(max_size=200))


def ask(questions: Sequence[Question]) -> Sequence[Decision]:
    """Admit the good images only."""
    return [
        Decision(image=q.image, outcome="pass" if q.image in GOOD else "fail", allowed=q.image in GOOD, reason="said")
        for q in questions
    ]


def read(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def at(value: Any, *way: str) -> Any:
    for step in way:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def spec_of(kind: Any, document: Any) -> Any:
    way = {
        "Pod": ("spec",),
        "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
        "PodTemplate": ("template", "spec"),
    }
    return at(document, *way.get(kind, ("spec", "template", "spec")))


def named(spec: Any) -> list[Any]:
    """Return whatever stands where an image should, of every container of a Pod's spec."""
    lists = [at(spec, f) for f in ("initContainers", "containers", "ephemeralContainers")]
    return [
        at(c, "image") for items in lists if items is not None for c in (items if isinstance(items, list) else [items])
    ]


class TestAdmissionReview:
    """Allowed only what brings in good images alone, under the uid that was asked."""

    @settings(max_examples=400, deadline=None)
    @given(raw_or([REVIEW, UPDATE, CRON]))
    def test_damaged_reviews(self, body):
        reply = admission_review.reply_to(body, ask, most=MOST)
        told = json.loads(reply.body)
        assert reply.status in {200, 400, 413}
        if reply.status != 200:
            assert told["kind"] == "Status"
            return
        assert told["response"]["uid"] == read(body)["request"]["uid"]
        if not told["response"]["allowed"]:
            assert told["response"]["status"]["code"] == 403
            return
        request = read(body)["request"]
        if request.get("operation") in {"DELETE", "CONNECT"}:
            return
        assert request["operation"] in {"CREATE", "UPDATE"}
        kind = request["kind"]["kind"]
        spec = spec_of(kind, request["object"])
        assert isinstance(spec, dict)
        old = named(spec_of(kind, request.get("oldObject"))) if request["operation"] == "UPDATE" else []
        assert [i for i in named(spec) if i not in old and not (isinstance(i, str) and i in GOOD)] == []

    @pytest.mark.parametrize("valid", [REVIEW, CRON])
    def test_the_undamaged_one_is_allowed(self, valid):
        assert json.loads(admission_review.reply_to(json.dumps(valid).encode(), ask, most=MOST).body)["response"][
            "allowed"
        ]


class TestProviderRequest:
    """Every key is echoed as it stands, or there is a system error and no item at all."""

    @settings(max_examples=400, deadline=None)
    @given(raw_or([PROVIDER]))
    def test_damaged_requests(self, body):
        reply = gatekeeper.reply_to(body, ask, most=MOST)
        told = json.loads(reply.body)["response"]
        assert reply.status in {200, 400, 413}
        if reply.status != 200:
            assert told["systemError"]
            assert told["items"] == []
            return
        assert told["systemError"] == ""
        assert [i["key"] for i in told["items"]] == read(body)["request"]["keys"]
        for item in told["items"]:
            assert ("error" in item) != ("value" in item)
            if "value" in item and item["value"]["allowed"] is not False:
                assert item["key"].split("|")[-1] in GOOD
                assert item["key"].count("|") <= 2

    def test_the_undamaged_one_is_answered(self):
        told = json.loads(gatekeeper.reply_to(json.dumps(PROVIDER).encode(), ask, most=MOST).body)["response"]["items"]
        assert [i["value"]["allowed"] for i in told] == [True, True, True, False]


class TestKyvernoCall:
    """The answer always holds a boolean and a text of one line, and is yes for good images alone."""

    @settings(max_examples=400, deadline=None)
    @given(raw_or([CALL]))
    def test_damaged_calls(self, body):
        reply = kyverno.reply_to(body, ask, most=MOST)
        told = json.loads(reply.body)
        assert reply.status in {200, 400, 413}
        assert isinstance(told["allowed"], bool)
        assert isinstance(told["message"], str)
        assert told["message"]
        if told["allowed"]:
            assert reply.status == 200
            asked = read(body)
            assert set(asked) <= {"images", "namespace", "profile"}
            assert asked["images"]
            assert set(asked["images"]) <= GOOD

    def test_the_undamaged_one_is_allowed(self):
        assert json.loads(kyverno.reply_to(json.dumps(CALL).encode(), ask, most=MOST).body)["allowed"] is True


@pytest.fixture(scope="module")
def app():
    profiles = AdmissionProfiles(AdmissionProfile(name="strict", gate=Gate(count_limit("CRITICAL", 0))))
    with VerdictService(profiles=profiles, registries={("1" * 12, "us-east-1"): SavedFindings([])}) as service:
        # Each refused request is logged, thousands of times here.
        logging.disable(logging.CRITICAL)
        yield application(service, body_bytes=MOST)
        logging.disable(logging.NOTSET)


class TestRequests:
    """Odd paths, methods, queries, lengths and types: a status and a body, and nothing admitted."""

    @settings(max_examples=300, deadline=None)
    @given(
        path=st.sampled_from(
            ["/v1/admit", "/v1/gatekeeper", "/v1/kyverno", "/", "/v1", "/v1/admit/", "/readyz", "\xff"]
        ),
        method=st.sampled_from(["POST", "POST", "POST", "GET", "HEAD", "PUT", ""]),
        query=st.sampled_from(["", "", "timeout=10s", "timeout=x", "profile=strict", "profile=", "a=1&a=1", "%", "=&&"])
        | st.text(max_size=30),
        length=st.sampled_from([None, None, "", "0", "-1", "1e3", "999999999", "5", "\u0663"]),
        kind=st.sampled_from(["application/json", "application/json; charset=utf-8", "text/plain", ""]),
        body=raw_or([REVIEW, UPDATE, CRON, PROVIDER, CALL]),
    )
    def test_always_an_answer_and_never_a_yes(self, app, path, method, query, length, kind, body):
        seen: list[str] = []
        environ = {
            "PATH_INFO": path, "REQUEST_METHOD": method, "QUERY_STRING": query, "CONTENT_TYPE": kind,
            "CONTENT_LENGTH": str(len(body)) if length is None else length, "wsgi.input": io.BytesIO(body),
        }  # fmt: skip
        told = b"".join(app(environ, lambda status, headers: seen.append(status)))
        assert len(seen) == 1
        code = int(seen[0][:3])
        assert code in {200, 400, 403, 404, 405, 411, 413, 414, 415}
        if method != "POST" or not path.startswith("/v1/"):
            return
        # None of these images is one of the registry's, so nothing but a deletion may be admitted.
        answer = read(told)
        if path == "/v1/kyverno":
            assert answer["allowed"] is False
        if path == "/v1/gatekeeper":
            assert not [
                i for i in answer["response"]["items"] if at(i, "value", "allowed") is not False and "value" in i
            ]
        if path == "/v1/admit" and code == 200 and answer["response"]["allowed"]:
            request = read(body)["request"]
            new = named(spec_of(at(request, "kind", "kind"), request.get("object")))
            old = named(spec_of(at(request, "kind", "kind"), request.get("oldObject")))
            update = request["operation"] == "UPDATE" and all(i in old for i in new)
            assert request["operation"] in {"DELETE", "CONNECT"} or update or not new
