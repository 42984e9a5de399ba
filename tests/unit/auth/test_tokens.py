"""Decoding a token, and what it says of itself."""

from __future__ import annotations

import base64
import datetime as dt

import pytest

from ecrkit.auth import TokenScope
from ecrkit.auth.tokens import Token
from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.refs import ImageRef, RegistryHost
from tests.support.tokens import NOW, PASSWORD, make_token

SCOPE = TokenScope.private("eu-west-1")


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestDecoding:
    """authorizationToken is base64 of USER:PASSWORD, split once at the first colon (API reference)."""

    def test_a_password_may_hold_colons(self):
        token = make_token()
        assert (token.username, token.password.reveal()) == ("AWS", "cAnArY:p4ss:w0rd")

    def test_the_header_is_the_token_as_it_came(self):
        assert make_token().header.reveal() == f"Basic {encoded(f'AWS:{PASSWORD}')}"
        assert make_token().basic.reveal() == encoded(f"AWS:{PASSWORD}")

    @pytest.mark.parametrize(
        ("value", "said"),
        [
            (None, "missing"),
            ("", "missing"),
            (7, "missing"),
            ("not base64!", "must be base64"),
            (encoded("no colon"), "must decode to USER:PASSWORD"),
            (encoded(":password"), "must decode to USER:PASSWORD"),
            (encoded("AWS:"), "must decode to USER:PASSWORD"),
            (base64.b64encode(b"AWS:\xff\xfe").decode(), "must be base64"),
        ],
    )
    def test_what_is_no_token(self, value, said):
        with pytest.raises(InvalidInput) as refused:
            Token.from_api({"authorizationToken": value, "expiresAt": NOW}, scope=SCOPE, issued_at=NOW)
        assert said in str(refused.value)

    def test_every_problem_is_told(self):
        with pytest.raises(InvalidInput) as refused:
            Token.from_api({}, scope=SCOPE, issued_at=NOW)
        assert [p.path for p in refused.value.problems] == ["$.authorizationToken", "$.expiresAt"]

    @pytest.mark.parametrize("expires", [None, "soon", dt.datetime(2026, 1, 1)])
    def test_a_token_of_unknown_life_is_refused(self, expires):
        with pytest.raises(InvalidInput, match="expiresAt"):
            Token.from_api({"authorizationToken": encoded("AWS:x"), "expiresAt": expires}, scope=SCOPE, issued_at=NOW)

    def test_the_endpoint_is_a_host_and_public_has_none(self):
        assert make_token(endpoint="https://1.dkr.ecr.eu-west-1.amazonaws.com/").endpoint == (
            "1.dkr.ecr.eu-west-1.amazonaws.com"
        )
        assert make_token(None).endpoint is None


class TestLife:
    """A token lives 12 hours and is renewed at half of that (plugin and credential helper)."""

    def test_half_life(self):
        token = make_token()
        assert token.refresh_at == NOW + dt.timedelta(hours=6)
        assert make_token(hours=1).refresh_at == NOW + dt.timedelta(minutes=30)

    def test_it_is_not_valid_at_the_moment_it_expires(self):
        token = make_token()
        assert token.valid(token.expires_at - dt.timedelta(microseconds=1))
        assert not token.valid(token.expires_at)

    def test_a_naive_time_is_refused(self):
        with pytest.raises(ValueError, match="time zone"):
            make_token().valid(dt.datetime(2026, 1, 1))


class TestScope:
    """One token serves every registry in its Region, in every host form; ECR Public has its own (user guide)."""

    @pytest.mark.parametrize(
        ("target", "kind", "region"),
        [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", "private", "eu-west-1"),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com/app:v1", "private", "us-east-1"),
            ("123456789012.dkr-ecr-fips.us-west-2.on.aws/app@sha256:" + "0" * 64, "private", "us-west-2"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app", "private", "cn-north-1"),
            ("public.ecr.aws/nginx/nginx:1", "public", "us-east-1"),
            ("ecr-public.aws.com/eks/pause:3.9", "public", "us-east-1"),
            (RegistryHost.private("123456789012", "eu-west-1"), "private", "eu-west-1"),
            (ImageRef.parse("public.ecr.aws/nginx/nginx"), "public", "us-east-1"),
        ],
    )
    def test_of(self, target, kind, region):
        scope = TokenScope.of(target)
        assert (scope.kind, scope.region) == (kind, region)

    @pytest.mark.parametrize(
        "target",
        ["docker.io/library/nginx", "app:v1", "team/app", ImageRef.parse("team/app"), "https://public.ecr.aws"],
    )
    def test_what_is_no_host_of_ecr(self, target):
        with pytest.raises(InvalidReference):
            TokenScope.of(target)

    def test_a_region_must_be_one(self):
        with pytest.raises(InvalidReference):
            TokenScope.private("Frankfurt")

    def test_partition(self):
        assert TokenScope.private("cn-north-1").partition == "aws-cn"
        assert TokenScope.public().partition == "aws"


def test_to_dict_shows_all_but_the_password():
    assert make_token().to_dict() == {
        "kind": "private",
        "region": "eu-west-1",
        "username": "AWS",
        "issued_at": "2026-01-01T00:00:00Z",
        "refresh_at": "2026-01-01T06:00:00Z",
        "expires_at": "2026-01-01T12:00:00Z",
        "endpoint": None,
    }


def test_tokens_compare_by_value():
    assert make_token() == make_token() and hash(make_token()) == hash(make_token())
    assert make_token() != make_token(password="other")
