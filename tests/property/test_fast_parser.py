"""The fast parser gives what botocore's parser gives, for any answer that the output shapes allow, and for odd ones."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.aws import fast_parser
from ecrkit.aws.session import AwsSession, offline_session

MODEL = AwsSession(offline_session("eu-west-1"), fast_parser=False).client("ecr").meta.service_model
EPOCHS = st.floats(0, 4e9, allow_nan=False).map(lambda f: round(f, 3)) | st.integers(0, 4_000_000_000)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
JUNK = st.none() | st.booleans() | st.integers(-5, 5) | TEXTS | st.lists(st.integers(), max_size=2) | st.just({"a": 1})


def values(shape):
    """Return a strategy of JSON values that the service may send for a shape."""
    kind = shape.type_name
    if kind == "structure":
        known = {m.serialization.get("name", n): st.none() | values(m) for n, m in shape.members.items()}
        return st.builds(
            lambda a, b: {**b, **a},
            st.fixed_dictionaries({}, optional=known),
            st.dictionaries(TEXTS.map(lambda t: f"future{t}"), JUNK, max_size=1),
        )
    if kind == "list":
        return st.lists(values(shape.member), max_size=3)
    if kind == "map":
        return st.dictionaries(TEXTS, values(shape.value), max_size=2)
    if kind == "timestamp":
        return EPOCHS
    if kind in ("integer", "long"):
        return st.integers(-(2**63), 2**63 - 1)
    if kind in ("float", "double"):
        return st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(0, 10)
    if kind == "boolean":
        return st.booleans()
    assert kind == "string", kind
    return TEXTS


def botocores(name, body, status=200):
    parsed = create_parser("json").parse(
        {"body": body, "headers": {"x-amzn-requestid": "r"}, "status_code": status},
        MODEL.operation_model(name).output_shape,
    )
    return {key: value for key, value in parsed.items() if key != "ResponseMetadata"}


@pytest.mark.parametrize("name", fast_parser.OPERATIONS)
class TestEqualToBotocore:
    """botocore's parser decides what an answer means; ours only says it faster."""

    @given(data=st.data())
    @settings(max_examples=60, deadline=None)
    def test_answers_of_the_shape(self, name, data):
        operation = MODEL.operation_model(name)
        body = json.dumps(data.draw(values(operation.output_shape))).encode()
        parsed = fast_parser.parse(operation, body)
        assert parsed is not None
        assert parsed == botocores(name, body)

    @given(data=st.data())
    @settings(max_examples=60, deadline=None)
    def test_an_odd_answer_is_equal_or_left_to_botocore(self, name, data):
        operation = MODEL.operation_model(name)
        answer = data.draw(values(operation.output_shape))
        members = sorted(operation.output_shape.members)
        answer[data.draw(st.sampled_from(members))] = data.draw(
            JUNK
            | st.just(2**70)
            | st.lists(JUNK, max_size=2)
            | st.dictionaries(st.sampled_from(["imageDigest", "x"]), JUNK)
        )
        body = json.dumps(answer).encode()
        parsed = fast_parser.parse(operation, body)
        if parsed is not None:
            assert parsed == botocores(name, body)


class TestOddThings:
    """Whatever is unusual is left alone, so that botocore's own behaviour stays."""

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b"{",
            b"\xff",
            b'{"imageDetails": {}}',
            b'{"imageDetails": [null]}',
            b'{"imageDetails": [[]]}',
            b'{"imageDetails": [{"imagePushedAt": "2026-01-01T00:00:00Z"}]}',
            b'{"imageDetails": [{"imagePushedAt": true}]}',
            b'{"imageDetails": [{"imagePushedAt": 1e300}]}',
            b'{"imageDetails": [{"imagePushedAt": NaN}]}',
            b'{"imageDetails": [{"imageTags": "v1"}]}',
            b'{"imageDetails": [{"imageSizeInBytes": 1e99}]}',
            b'{"imageDetails": [{"imageSizeInBytes": 123456789012345678901234567890}]}',
            b'{"imageDetails": [{"imageScanFindingsSummary": {"findingSeverityCounts": []}}]}',
        ],
    )
    def test_left_to_botocore(self, body):
        assert fast_parser.parse(MODEL.operation_model("DescribeImages"), body) is None

    def test_times_are_utc(self):
        body = b'{"imageDetails": [{"imagePushedAt": 1767225600}]}'
        parsed = fast_parser.parse(MODEL.operation_model("DescribeImages"), body)
        assert parsed == {"imageDetails": [{"imagePushedAt": dt.datetime(2026, 1, 1, tzinfo=dt.UTC)}]}
        assert parsed["imageDetails"][0]["imagePushedAt"].tzinfo is dt.UTC

    def test_without_orjson_the_same(self, monkeypatch):
        import sys

        body = b'{"imageDetails": [{"imageDigest": "sha256:1", "imagePushedAt": 1767225600.25, "future": 1}]}'
        fast = fast_parser.parse(MODEL.operation_model("DescribeImages"), body)
        monkeypatch.setitem(sys.modules, "orjson", None)
        assert (
            fast_parser.parse(MODEL.operation_model("DescribeImages"), body)
            == fast
            == botocores("DescribeImages", body)
        )
