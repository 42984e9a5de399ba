"""One layer of retries, paced."""

from __future__ import annotations

import traceback

import pytest
from botocore.exceptions import EndpointConnectionError

from ecrkit import errors
from ecrkit.aws.calls import Attempts
from ecrkit.aws.session import client_config
from tests.unit.aws.conftest import client_error


class TestAttempts:
    """Attempts are counted in one place; botocore's default changed between releases, so it is never relied on."""

    def test_botocore_tries_once(self):
        config = client_config(workers=7)
        assert config.retries == {"mode": "standard", "total_max_attempts": 1}
        assert config.max_pool_connections == 7
        assert config.user_agent_extra.startswith("ecrkit/")

    @pytest.mark.parametrize("code", ["ThrottlingException", "ServerException"])
    def test_repeated_until_it_works(self, scripted, code):
        left = [client_error(code, status=500 if code == "ServerException" else 400)] * 3
        caller, script = scripted(lambda *_: left.pop() if left else {"imageDetails": []})
        assert caller.call("DescribeImages", {"repositoryName": "app"}) == {"imageDetails": []}
        assert len(script.calls) == 4

    @pytest.mark.parametrize(
        ("error", "kind", "requests"),
        [
            (client_error("ThrottlingException"), errors.Throttled, 4),
            (client_error("ServerException", status=500), errors.Unavailable, 4),
            (EndpointConnectionError(endpoint_url="https://x"), errors.Unavailable, 4),
            (client_error("LimitExceededException"), errors.QuotaExceeded, 1),
            (client_error("AccessDeniedException"), errors.Denied, 1),
            (client_error("ExpiredTokenException"), errors.CredentialsMissing, 1),
        ],
    )
    def test_total_is_the_total(self, scripted, error, kind, requests):
        caller, script = scripted(lambda *_: error, attempts=4)
        with pytest.raises(kind) as caught:
            caller.call("DescribeImages", {"repositoryName": "app"}, resource="app")
        assert len(script.calls) == requests
        assert caught.value.__cause__ is error
        assert caught.value.resource == "app"

    def test_pauses_double_up_to_the_longest(self):
        attempts = Attempts(base=0.5, longest=3.0)
        assert [attempts.pause(n, drawn=1.0) for n in (1, 2, 3, 4, 500)] == [0.5, 1.0, 2.0, 3.0, 3.0]

    def test_pauses_are_slept_on_the_clock(self, scripted, clock):
        caller, _ = scripted(lambda *_: client_error("ServerException", status=500), attempts=3)
        with pytest.raises(errors.Unavailable):
            caller.call("DescribeImages", {"repositoryName": "app"})
        assert clock.monotonic() == pytest.approx(0.5 + 1.0)

    def test_at_least_one(self):
        with pytest.raises(ValueError, match="must be >= 1"):
            Attempts(total=0)


class TestSecrets:
    """What a signature fault quotes is neither in the error nor in its cause."""

    def test_the_cause_is_scrubbed(self, scripted):
        told = "no match. The Canonical String for this request should have been\n'x-amz-security-token:SECRET'"
        caller, _ = scripted(lambda *_: client_error("InvalidSignatureException", told))
        with pytest.raises(errors.CredentialsMissing) as caught:
            caller.call("DescribeImages", {"repositoryName": "app"})
        assert "SECRET" not in "".join(traceback.format_exception(caught.value))


class TestThrottlesSlowTheOperationDown:
    """ECR throttles per operation, so one operation's throttles leave the others alone."""

    def test_only_that_one(self, scripted, clock):
        throttled = [client_error("ThrottlingException")]
        caller, _ = scripted(lambda *_: throttled.pop() if throttled else {})
        caller.call("DescribeImages", {"repositoryName": "app"})
        assert clock.monotonic() > 1.0
        before = clock.monotonic()
        for _ in range(10):
            caller.call("ListImages", {"repositoryName": "app"})
        assert clock.monotonic() == before


class TestEnds:
    """What cannot work is said at once."""

    def test_an_unknown_operation(self, scripted):
        caller, script = scripted(lambda *_: {})
        with pytest.raises(errors.NotSupportedByBotocore, match="ecr:DescribeTheFuture"):
            caller.call("DescribeTheFuture", {})
        assert script.calls == []

    def test_closed(self, scripted):
        caller, script = scripted(lambda *_: {})
        caller.close()
        with pytest.raises(RuntimeError, match="closed"):
            caller.call("DescribeImages", {})
        assert script.calls == []


class TestListings:
    """A listing is lazy, can be walked again, and follows tokens through empty pages."""

    def test_walks(self, scripted):
        pages = {
            None: {"imageIds": [1], "nextToken": "a"},
            "a": {"imageIds": [], "nextToken": "b"},
            "b": {"imageIds": [2]},
        }
        caller, script = scripted(lambda _, asked: pages[asked.get("nextToken")])
        listing = caller.listing("ListImages", {"repositoryName": "app"}, lambda answer: answer["imageIds"])
        assert script.calls == []
        assert listing.all() == (1, 2)
        assert listing.all() == (1, 2)
        assert len(script.calls) == 6
        assert all(asked["repositoryName"] == "app" for _, asked in script.calls)
