"""Asking AWS for tokens, and a registry's `auth`."""

from __future__ import annotations

import base64
import datetime as dt
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from ecrkit import Registry
from ecrkit.auth import TokenScope
from ecrkit.aws import iam
from ecrkit.aws.calls import Attempts, Caller
from ecrkit.aws.ecr import EcrGateway
from ecrkit.aws.ecr_public import EcrPublicGateway
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import Denied, InvalidInput
from ecrkit.local import Engine, ManualClock
from tests.support.tokens import NOW

ENCODED = base64.b64encode(b"AWS:pa:ss").decode()
DATA = {"authorizationToken": ENCODED, "expiresAt": NOW + dt.timedelta(hours=12)}


class Calls:
    """A client whose answers a test gives."""

    def __init__(self, session: AwsSession, service: str, answer: Any) -> None:
        self.seen: list[tuple[str, dict[str, Any]]] = []
        client = session.client(service)

        def make_api_call(operation: str, parameters: dict[str, Any]) -> Any:
            self.seen.append((operation, parameters))
            if isinstance(answer, BaseException):
                raise answer
            return answer

        client._make_api_call = make_api_call
        self.caller = Caller(client, clock=ManualClock(), attempts=Attempts(total=2), draw=lambda: 0.0)


@pytest.fixture
def session():
    made = AwsSession(offline_session("eu-west-1"), workers=1)
    yield made
    made.close()


class TestPrivate:
    """GetAuthorizationToken; registryIds is deprecated and narrows nothing (API reference)."""

    def test_the_registry_is_never_named(self, session):
        calls = Calls(session, "ecr", {"authorizationData": [{**DATA, "proxyEndpoint": "https://h"}]})
        token = EcrGateway(calls.caller, registry_id="222222222222").authorization_token(issued_at=NOW)
        assert calls.seen == [("GetAuthorizationToken", {})]
        assert token.scope == TokenScope.private("eu-west-1") and token.endpoint == "h"
        assert token.password.reveal() == "pa:ss"

    def test_the_gateways_clock_tells_when(self, session):
        calls = Calls(session, "ecr", {"authorizationData": [DATA]})
        assert EcrGateway(calls.caller).authorization_token().issued_at == NOW

    @pytest.mark.parametrize("answer", [{}, {"authorizationData": []}, {"authorizationData": None}])
    def test_an_answer_without_a_token(self, session, answer):
        calls = Calls(session, "ecr", answer)
        with pytest.raises(InvalidInput, match="missing"):
            EcrGateway(calls.caller).authorization_token(issued_at=NOW)


class TestPublic:
    """ECR Public answers one object without an endpoint, in us-east-1 (API reference)."""

    def test_wherever_the_session_is(self, session):
        gateway = EcrPublicGateway.of(session)
        assert gateway._caller.client.meta.region_name == "us-east-1"
        assert gateway._caller.client.meta.endpoint_url == "https://api.ecr-public.us-east-1.amazonaws.com"
        gateway.close()

    def test_its_token(self, session):
        calls = Calls(session.in_region("us-east-1"), "ecr-public", {"authorizationData": DATA})
        token = EcrPublicGateway(calls.caller).authorization_token(issued_at=NOW)
        assert calls.seen == [("GetAuthorizationToken", {})]
        assert token.scope == TokenScope.public() and token.endpoint is None

    def test_the_actions(self):
        assert iam.permissions()["EcrPublicGateway.authorization_token"] == (
            "ecr-public:GetAuthorizationToken",
            "sts:GetServiceBearerToken",
        )

    def test_a_denial_names_the_action(self, session):
        said = "User: arn:aws:sts::1:assumed-role/n/i is not authorized to perform: ecr-public:GetAuthorizationToken"
        error = ClientError({"Error": {"Code": "AccessDeniedException", "Message": said}}, "GetAuthorizationToken")
        calls = Calls(session.in_region("us-east-1"), "ecr-public", error)
        with pytest.raises(Denied) as refused:
            EcrPublicGateway(calls.caller).authorization_token(issued_at=NOW)
        assert refused.value.action == "ecr-public:GetAuthorizationToken"

    @pytest.mark.parametrize("answer", [{}, {"authorizationData": [DATA]}])
    def test_another_answer(self, session, answer):
        calls = Calls(session.in_region("us-east-1"), "ecr-public", answer)
        with pytest.raises(InvalidInput, match="missing"):
            EcrPublicGateway(calls.caller).authorization_token(issued_at=NOW)

    def test_another_service_or_region_is_refused(self, session):
        for caller in (session.caller("ecr"), session.in_region("us-west-2").caller("ecr-public")):
            with pytest.raises(InvalidInput, match="us-east-1"):
                EcrPublicGateway(caller)


class TestSessions:
    def test_another_region_keeps_the_settings(self):
        clock = ManualClock()
        made = AwsSession(
            offline_session("eu-west-1"), endpoint_url="http://127.0.0.1:9", attempts=3, workers=2, clock=clock
        )
        other = made.in_region("us-east-1")
        assert (other.region, other.workers, other.clock) == ("us-east-1", 2, clock)
        assert other.client("ecr").meta.endpoint_url == "http://127.0.0.1:9" and other._attempts.total == 3
        assert other._lock is made._lock
        other.close()
        made.caller("ecr").client.meta.region_name  # the first session stays open
        made.close()


class TestRegistryAuth:
    """A registry's tokens come from its engine and live in the engine's time."""

    @pytest.fixture
    def engine(self):
        return Engine(account="123456789012", region="eu-west-1")

    @pytest.fixture
    def registry(self, engine):
        with Registry.local(engine) as made:
            yield made

    def test_a_token_is_renewed_at_half_life(self, registry, engine):
        first = registry.auth.token()
        assert first.expires_at == engine.clock.now() + dt.timedelta(hours=12)
        engine.clock.advance(dt.timedelta(hours=5, minutes=59))
        assert registry.auth.token() is first
        engine.clock.advance(dt.timedelta(minutes=1))
        second = registry.auth.token()
        assert second is not first
        assert engine.check_password(second.password.reveal(), region="eu-west-1") == "123456789012"

    def test_other_regions_have_tokens_of_their_own(self, registry, engine):
        token = registry.auth.token("us-west-2")
        assert engine.check_password(token.password.reveal(), region="us-west-2") == "123456789012"
        assert engine.check_password(token.password.reveal(), region="eu-west-1") is None

    def test_the_embedded_ecr_has_no_public_one(self, registry):
        with pytest.raises(InvalidInput, match="no ECR Public"):
            registry.auth.public_token()

    def test_documents_default_to_the_own_host(self, registry):
        host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        assert list(registry.auth.docker_config().document["auths"]) == [host]
        assert host in registry.auth.docker_config(all_forms=True).document["auths"]
        assert registry.auth.image_pull_secret("ecr", namespace="shop").what == "image pull secret shop/ecr"

    def test_hosts_of_two_regions(self, registry, engine):
        hosts = ["123456789012.dkr.ecr.eu-west-1.amazonaws.com", "123456789012.dkr.ecr.us-west-2.amazonaws.com/app"]
        assert [t.scope.region for t in registry.auth.tokens_for(hosts)] == ["eu-west-1", "us-west-2"]
        auths = registry.auth.docker_config(iter(hosts)).document["auths"]
        passwords = [base64.b64decode(e["auth"]).decode().removeprefix("AWS:") for e in auths.values()]
        assert [engine.issued_token(p)[1] for p in passwords] == ["eu-west-1", "us-west-2"]

    def test_a_host_that_is_none(self, registry):
        for hosts in (["docker.io"], "public.ecr.aws", []):
            with pytest.raises(InvalidInput):
                registry.auth.docker_config(hosts)

    def test_a_file(self, registry, tmp_path):
        path = tmp_path / "config.json"
        assert len(registry.auth.update_docker_config(path).added) == 1
        assert registry.auth.update_docker_config(path).replaced == ()
        assert len(json.loads(path.read_text())["auths"]) == 1

    def test_the_public_token_of_aws_is_asked_in_us_east_1(self, monkeypatch):
        seen = []

        def call(self, operation, parameters, *, resource=None):
            seen.append((self.service, self.client.meta.region_name, operation))
            return {"authorizationData": DATA if self.service == "ecr-public" else [DATA]}

        monkeypatch.setattr(Caller, "call", call)
        opened = AwsSession(offline_session("eu-west-1"), workers=1)
        with Registry(opened, clock=ManualClock()) as registry:
            registry.auth.public_token()
            registry.auth.token("us-west-2")
            registry.auth.token()
        assert seen == [
            ("ecr-public", "us-east-1", "GetAuthorizationToken"),
            ("ecr", "us-west-2", "GetAuthorizationToken"),
            ("ecr", "eu-west-1", "GetAuthorizationToken"),
        ]
