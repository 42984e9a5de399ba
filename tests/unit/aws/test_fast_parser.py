"""The switch of the fast parser, and errors through it."""

from __future__ import annotations

import datetime as dt

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ClientError

from ecrkit.aws import fast_parser
from ecrkit.aws.session import AwsSession, offline_session

PAGE = b'{"imageDetails": [{"imageDigest": "sha256:1", "imagePushedAt": 1767225600.5, "future": 1}], "nextToken": null}'
PARSED = {"imageDigest": "sha256:1", "imagePushedAt": dt.datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=dt.UTC)}


def answering(body, status=200, *, switch=True, service="ecr"):
    client = AwsSession(offline_session("eu-west-1"), services=(), fast_parser=switch).client(service)

    class Raw:
        def stream(self, **_):
            yield body

    def send(request, **_):
        headers = HTTPHeaders()
        headers["x-amzn-requestid"] = "r-1"
        return AWSResponse(request.url, status, headers, Raw())

    client.meta.events.register_first(f"before-send.{service}", send)
    return client


class TestTheSwitch:
    """On and off give the same answers, response metadata included."""

    @pytest.mark.parametrize("switch", [True, False])
    def test_same(self, switch):
        answer = answering(PAGE, switch=switch).describe_images(repositoryName="app")
        assert answer["imageDetails"] == [PARSED]
        assert answer["ResponseMetadata"]["RequestId"] == "r-1"
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200
        assert set(answer) == {"imageDetails", "ResponseMetadata"}

    def test_on_means_that_it_works(self, monkeypatch):
        client = answering(PAGE)
        monkeypatch.setattr(fast_parser, "_parsed", lambda *_: {"imageDetails": ["ours"]})
        assert client.describe_images(repositoryName="app")["imageDetails"] == ["ours"]
        fast_parser.uninstall(client)
        assert client.describe_images(repositoryName="app")["imageDetails"] == [PARSED]

    def test_only_the_large_answers_of_ecr(self):
        client = AwsSession(offline_session("eu-west-1"), fast_parser=False).client("ecr")
        assert fast_parser.install(client) == fast_parser.OPERATIONS
        other = AwsSession(offline_session("eu-west-1"), services=(), fast_parser=False).client("sts")
        assert fast_parser.install(other) == ()


class TestErrorsStayBotocores:
    """Anything but 200 is botocore's."""

    @pytest.mark.parametrize(("status", "code"), [(400, "RepositoryNotFoundException"), (500, "ServerException")])
    def test_error(self, status, code):
        client = answering(b'{"__type": "%s", "message": "no"}' % code.encode(), status)
        with pytest.raises(ClientError) as caught:
            client.describe_images(repositoryName="app")
        assert caught.value.response["Error"] == {"Code": code, "Message": "no"} | {
            k: v for k, v in caught.value.response["Error"].items() if k not in ("Code", "Message")
        }

    def test_an_odd_answer_is_parsed_by_botocore(self):
        client = answering(b'{"imageDetails": [{"imagePushedAt": "2026-01-01T00:00:00Z"}]}')
        found = client.describe_images(repositoryName="app")["imageDetails"][0]["imagePushedAt"]
        assert found == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
