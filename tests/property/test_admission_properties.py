"""Properties of the admission protocols: whatever comes in, an answer goes out, and nothing is admitted unjudged."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.admission import Decision, Question, ServiceLimits, admission_review, gatekeeper, kyverno, named_image
from ecrkit.admission.decisions import DecisionOutcome
from ecrkit.admission.strict_json import Reply
from ecrkit.errors import Throttled, Unavailable
from tests.support.admission import CLEAN, DIRTY, FakeRegistry, image, profile, service

MOST = 20_000
VALID = {
    "gatekeeper": {"apiVersion": gatekeeper.API_VERSION, "kind": "ProviderRequest", "request": {"keys": ["bad"]}},
    "kyverno": {"images": ["bad"], "namespace": "pay"},
    "admit": {
        "apiVersion": admission_review.API_VERSION, "kind": "AdmissionReview",
        "request": {"uid": "u", "operation": "CREATE", "kind": {"group": "", "kind": "Pod"}, "namespace": "pay",
                    "object": {"kind": "Pod", "spec": {"containers": [{"name": "c", "image": "bad"}]}}},
    },
}  # fmt: skip
REPLY = {"gatekeeper": gatekeeper.reply_to, "kyverno": kyverno.reply_to, "admit": admission_review.reply_to}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


def deny(questions: Sequence[Question]) -> list[Decision]:
    return [Decision(image=q.image, outcome="fail", allowed=False, reason="no") for q in questions]


def admits(protocol: str, reply: Reply) -> bool:
    body = json.loads(reply.body)
    if protocol == "kyverno":
        assert isinstance(body["allowed"], bool)
        return body["allowed"]
    if protocol == "gatekeeper":
        items = body["response"]["items"]
        return any(i.get("value", {}).get("allowed") is True for i in items if not i.get("error"))
    return reply.status == 200 and body["response"]["allowed"] is True


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(p for k, v in inner for p in paths(v, (*at, k)))]


def replaced(value: Any, path: tuple[Any, ...], by: Any) -> Any:
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], by)
    return copy


@pytest.mark.parametrize("protocol", list(REPLY))
class TestNothingIsAdmittedUnjudged:
    """Malformed, oversized, duplicate or unknown input gives a denial or a protocol error, never a crash."""

    @settings(max_examples=150)
    @given(body=st.binary(max_size=200))
    def test_bytes(self, protocol: str, body: bytes) -> None:
        assert not admits(protocol, REPLY[protocol](body, deny, most=MOST))

    @settings(max_examples=300)
    @given(data=st.data())
    def test_any_part_replaced_by_anything(self, protocol: str, data: st.DataObject) -> None:
        valid = VALID[protocol]
        path = data.draw(st.sampled_from(paths(valid)))
        body = json.dumps(replaced(valid, path, data.draw(anything))).encode()
        reply = REPLY[protocol](body, deny, most=MOST)
        assert not admits(protocol, reply)
        assert reply.status in (200, 400, 413)

    @settings(max_examples=100)
    @given(data=st.data())
    def test_cut_and_flipped(self, protocol: str, data: st.DataObject) -> None:
        body = bytearray(json.dumps(VALID[protocol]).encode())
        for _ in range(data.draw(st.integers(1, 4))):
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(body)))
        for text in (bytes(body), bytes(body[:cut])):
            assert not admits(protocol, REPLY[protocol](text, deny, most=MOST))


class TestKeys:
    @settings(max_examples=150)
    @given(st.lists(st.text(max_size=30), max_size=8))
    def test_every_key_comes_back(self, keys: list[str]) -> None:
        body = json.dumps(VALID["gatekeeper"] | {"request": {"keys": keys}}).encode()
        reply = json.loads(gatekeeper.reply_to(body, deny, most=MOST).body)
        assert [i["key"] for i in reply["response"]["items"]] == keys

    @settings(max_examples=200)
    @given(st.text(max_size=60))
    def test_any_text_is_named(self, text: str) -> None:
        found = named_image(text)
        assert (found.ref is not None) == (found.kind == "private")
        assert bool(found.problem) == (found.kind == "malformed")

    @settings(max_examples=100)
    @given(st.lists(st.text(max_size=300), max_size=60))
    def test_warnings_fit(self, texts: list[str]) -> None:
        found = admission_review.warnings_of(texts)
        assert all(len(w) <= 120 and (w.isprintable() or not w) and w.isascii() for w in found)
        assert sum(map(len, found)) <= 4096


class TestNoWrongAdmission:
    """Whatever fails meanwhile, only an image whose verdict is a pass is admitted."""

    @settings(max_examples=60, deadline=None)
    @given(st.integers(0, 2**32), st.sampled_from([0.0, 600.0]))
    def test_faults_in_any_order(self, seed: int, stale: float) -> None:
        from ecrkit.admission import Lifetimes

        chance = random.Random(seed)
        registry = FakeRegistry()
        faults: list[Any] = [None, None, lambda: Throttled("t", operation="x"), lambda: Unavailable("u", operation="x"),
                             lambda: ValueError("v")]  # fmt: skip
        with service(
            registry, profile("a", namespaces=["a"]), profile("rest"), limits=ServiceLimits(entries=3, workers=2),
            lifetimes=Lifetimes(stale_while_error_seconds=stale, tag_seconds=0),
        ) as asked:  # fmt: skip
            for _ in range(40):
                registry.fault = chance.choice(faults)
                asked.clock.sleep(chance.choice([0.0, 5.0, 70.0, 400.0]))
                wanted = [
                    Question(image=image(chance.choice(["clean", "dirty", "pending", "gone", CLEAN, DIRTY])),
                             namespace=chance.choice(["a", "b"]))
                    for _ in range(chance.randint(1, 4))
                ]  # fmt: skip
                for found in asked.decide_all(wanted):
                    good: tuple[DecisionOutcome, ...] = ("pass",)
                    assert not found.allowed or (found.digest == CLEAN and found.outcome in good)
                    assert found.answered != "stale" or stale > 0
