"""Event patterns: refused as EventBridge refuses them, matched as an independent matcher does, told when they never fire."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto.events.models import EventPattern as Independent

from ecrkit import Registry
from ecrkit.errors import InvalidInput
from ecrkit.local import images as local_images
from ecrkit.monitoring import KNOWN_EVENTS, EventPattern, never_fires
from ecrkit.scanning.archive.patterns import archive_pattern, severity_pattern
from tests.support.samples import sample_texts

PUSH = {
    "version": "0", "id": "1", "detail-type": "ECR Image Action", "source": "aws.ecr", "account": "123456789012",
    "time": "2026-11-25T12:00:00Z", "region": "eu-west-1", "resources": [],
    "detail": {"result": "SUCCESS", "repository-name": "team/app", "image-digest": "sha256:x", "action-type": "PUSH",
               "image-tag": "v1", "counts": {"HIGH": 3}},
}  # fmt: skip


def selects(pattern, event=PUSH):
    return EventPattern.parse(pattern).matches(event)


class TestComparisons:
    """Each comparison of the user guide, once for and once against."""

    @pytest.mark.parametrize(
        ("detail", "wanted"),
        [
            ({"action-type": ["PUSH", "DELETE"]}, True), ({"action-type": ["DELETE"]}, False),
            ({"action-type": ["push"]}, False), ({"action-type": [{"equals-ignore-case": "push"}]}, True),
            ({"repository-name": [{"prefix": "team/"}]}, True), ({"repository-name": [{"prefix": "web/"}]}, False),
            ({"repository-name": [{"prefix": {"equals-ignore-case": "TEAM/"}}]}, True),
            ({"repository-name": [{"suffix": "/app"}]}, True), ({"repository-name": [{"suffix": "/web"}]}, False),
            ({"repository-name": [{"wildcard": "t*/a*"}]}, True), ({"repository-name": [{"wildcard": "*/web"}]}, False),
            ({"image-tag": [{"anything-but": "v1"}]}, False), ({"image-tag": [{"anything-but": ["v2", "v3"]}]}, True),
            ({"image-tag": [{"anything-but": {"prefix": "v"}}]}, False), ({"image-tag": [{"anything-but": {"suffix": "x"}}]}, True),
            ({"image-tag": [{"exists": True}]}, True), ({"image-tag": [{"exists": False}]}, False),
            ({"artifact-media-type": [{"exists": False}]}, True), ({"artifact-media-type": [{"anything-but": "x"}]}, False),
            ({"counts": {"HIGH": [{"numeric": [">", 2]}]}}, True), ({"counts": {"HIGH": [{"numeric": [">", 0, "<=", 2]}]}}, False),
            ({"counts": {"HIGH": [3]}}, True), ({"counts": {"HIGH": ["3"]}}, False), ({"image-tag": [{"numeric": ["=", 1]}]}, False),
            ({"counts": {"LOW": [{"exists": False}]}}, True), ({"nothing": {"here": [{"exists": False}]}}, True),
            ({"$or": [{"image-tag": ["v9"]}, {"action-type": ["PUSH"]}]}, True),
            ({"$or": [{"image-tag": ["v9"]}, {"action-type": ["DELETE"]}]}, False),
        ],
    )  # fmt: skip
    def test_of_detail(self, detail, wanted):
        assert selects({"detail": detail}) == wanted

    @pytest.mark.parametrize(
        ("address", "wanted"), [("10.0.0.7", True), ("10.0.1.7", False), ("no address", False), (7, False)]
    )
    def test_addresses(self, address, wanted):
        assert selects({"detail": {"ip": [{"cidr": "10.0.0.0/24"}]}}, {"detail": {"ip": address}}) == wanted

    def test_lists_and_values_that_look_alike(self):
        event = {"resources": ["a", "b"], "detail": {"flag": True, "none": None, "one": 1}}
        assert selects({"resources": ["b"]}, event)
        assert selects({"detail": {"flag": [True], "none": [None], "one": [1.0]}}, event)
        assert not selects({"detail": {"one": [True]}}, event)
        assert not selects({"detail": {"flag": [1]}}, event)
        assert not selects({"detail": {"none": [{"exists": False}]}}, event)


texts = st.sampled_from(["PUSH", "DELETE", "v1", "team/app", "", "push"])
numbers = st.integers(-2, 4) | st.sampled_from([0.5, 2.0])
words = st.sampled_from(["PUSH", "v", "team/", "app", "te", "ush"])
rules = st.one_of(
    texts, numbers,
    st.builds(lambda w: {"prefix": w}, words), st.builds(lambda w: {"suffix": w}, words),
    st.builds(lambda w: {"equals-ignore-case": w}, words), st.builds(lambda b: {"exists": b}, st.booleans()),
    st.builds(lambda s, n: {"numeric": [s, n]}, st.sampled_from(["<", "<=", "=", ">", ">="]), numbers),
    st.builds(lambda w: {"anything-but": w}, st.lists(words, min_size=1, max_size=2)),
    st.builds(lambda w: {"anything-but": {"prefix": w}}, words),
)  # fmt: skip
names = st.sampled_from(["a", "b", "c"])
members = st.dictionaries(names, st.lists(rules, min_size=1, max_size=2), min_size=1, max_size=2)
patterns = st.builds(
    lambda source, detail: {"source": source, "detail": detail}, st.lists(texts, min_size=1, max_size=2), members
)
events = st.builds(
    lambda source, detail: {"source": source, "detail": detail},
    texts,
    st.dictionaries(names, texts | numbers | st.lists(texts, min_size=1, max_size=2), max_size=3),
)


@settings(max_examples=400, deadline=None)
@given(patterns, events)
def test_an_independent_matcher_agrees(pattern, event):
    found = EventPattern.parse(pattern).matches(event)
    assert found == Independent(json.dumps(pattern), pattern).matches_event(event)


class TestParsing:
    @pytest.mark.parametrize(
        ("pattern", "path"),
        [
            ("{", "$"), ("[]", "$"), ({}, "$"), ({"source": "aws.ecr"}, "$.source"), ({"source": []}, "$.source"),
            ({"detail": {}}, "$.detail"), ({"detail": {"x": [{"prefix": ""}]}}, "$.detail.x[0].prefix"),
            ({"detail": {"x": [{"starts": "a"}]}}, "$.detail.x[0]"), ({"detail": {"x": [{"prefix": "a", "suffix": "b"}]}}, "$.detail.x[0]"),
            ({"detail": {"x": [{"numeric": [">"]}]}}, "$.detail.x[0].numeric"), ({"detail": {"x": [{"numeric": ["~", 1]}]}}, "$.detail.x[0].numeric"),
            ({"detail": {"x": [{"exists": "yes"}]}}, "$.detail.x[0].exists"), ({"detail": {"x": [{"cidr": "300.0.0.0/8"}]}}, "$.detail.x[0].cidr"),
            ({"detail": {"x": [{"anything-but": ["a", 1]}]}}, "$.detail.x[0].anything-but"), ({"detail": {"x": [{"anything-but": []}]}}, "$.detail.x[0].anything-but"),
            ({"detail": {"x": [{"anything-but": {"numeric": [1]}}]}}, "$.detail.x[0].anything-but"),
            ({"detail": {"$or": [{"x": ["a"]}]}}, "$.detail.$or"), ({"detail": {"x": [{"wildcard": "a**b"}]}}, "$.detail.x[0].wildcard"),
            ({"source": ["x" * 2100]}, "$"), ({3: ["a"]}, "$.3"), ({"detail": {"x": [[1]]}}, "$.detail.x[0]"),
        ],
    )  # fmt: skip
    def test_what_eventbridge_refuses(self, pattern, path):
        with pytest.raises(InvalidInput) as caught:
            EventPattern.parse(pattern)
        assert path in [p.path for p in caught.value.problems]

    def test_all_problems_at_once(self):
        with pytest.raises(InvalidInput) as caught:
            EventPattern.parse({"source": "x", "detail": {"a": [], "b": [{"c": 1}]}})
        assert len(caught.value.problems) == 3

    def test_round_trip(self):
        pattern = {"source": ["aws.ecr"], "detail": {"$or": [{"a": [1]}, {"b": [{"exists": False}]}]}}
        assert EventPattern.parse(EventPattern.parse(json.dumps(pattern)).to_json()).to_dict() == pattern


class TestNeverFires:
    @pytest.mark.parametrize(
        ("pattern", "told"),
        [
            ({"source": ["aws.ecr"], "detail-type": ["ECR Image Push"]}, "is no event of aws.ecr"),
            ({"source": ["aws.ecr"], "detail": {"repositoryName": ["app"]}}, "names no such member"),
            ({"source": ["aws.ecr"], "detail-type": ["ECR Image Action"], "detail": {"action-type": ["PULL"]}}, "is never 'PULL'"),
            ({"source": ["aws.ecr"], "detail-type": ["ECR Image Action"], "resources": ["arn:x"]}, "is empty in every"),
            ({"source": ["aws.ecr"], "detail-type": ["ECR Replication Action"], "detail": {"result": ["FAILURE"]}}, "one of FAILED, SUCCESS"),
            ({"source": ["aws.ecr"], "repository-name": ["x"]}, "no event has such a member"),
            ({"source": ["aws.ecr"], "detail-type": ["ECR Image Scan"], "detail": {"scan-status": ["FINISHED"]}}, "COMPLETE, FAILED"),
        ],
    )  # fmt: skip
    def test_it_is_told(self, pattern, told):
        assert any(told in reason for reason in never_fires(EventPattern.parse(pattern)))

    @pytest.mark.parametrize(
        "pattern",
        [
            archive_pattern(), severity_pattern(), {"source": ["aws.ecr"]}, {"source": [{"prefix": "aws."}], "detail-type": ["x"]},
            {"source": ["my.app"], "detail": {"anything": [1]}}, {"source": ["aws.ecr"], "detail-type": ["AWS API Call via CloudTrail"]},
            {"source": ["aws.ecr"], "detail-type": ["ECR Image Action"], "detail": {"action-type": ["PUSH", "X"]}},
            {"source": ["aws.ecr"], "detail-type": ["ECR Image Action"], "detail": {"action-type": [{"prefix": "P"}]}},
        ],
    )  # fmt: skip
    def test_nothing_is_told_of_what_may_fire(self, pattern):
        parsed = EventPattern.parse(pattern)
        assert [r for r in never_fires(parsed) if "is no event" not in r or pattern.get("detail-type") != ["x"]] == []

    def test_it_never_says_so_of_a_pattern_that_an_event_matches(self):
        """For each documented event and what the embedded ECR sends: the pattern that names all of it is not judged dead."""
        with Registry.local() as registry:
            registry.gateway.create_repository("app")
            local_images.image([local_images.layer({"a": "b"})]).push(registry.client, "app", tag="v1")
            registry.gateway.update_storage_class("app", registry.inventory("app").images[0].digest, "archive")
            registry.engine.advance(dt.timedelta(hours=1))
            sent = [e.to_eventbridge() for e in registry.engine.events if hasattr(e, "to_eventbridge")]
        assert sent
        for event in sent:
            pattern = EventPattern.parse({
                "source": [event["source"]], "detail-type": [event["detail-type"]],
                "detail": {k: [v] for k, v in event["detail"].items() if isinstance(v, str)},
            })  # fmt: skip
            assert pattern.matches(event)
            assert never_fires(pattern) == ()


@pytest.mark.parametrize(("name", "text"), sample_texts("operations", containing='"detail-type"'))
def test_published_events_hold_what_is_known_of_them(name, text):
    event = json.loads(text)
    known = {k.detail_type: k for k in KNOWN_EVENTS}.get(event["detail-type"])
    assert known is not None or event["detail-type"].startswith("AWS ")
    if known is not None:
        assert set(event["detail"]) <= set(known.members)
        assert bool(event["resources"]) <= known.resources
