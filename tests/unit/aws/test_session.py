"""Sessions: everything explicit, one client a service."""

from __future__ import annotations

import threading

import pytest

from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import CredentialsMissing, InvalidInput


class TestClients:
    """Clients may be shared between threads; creating them races (boto3 guide, multithreading)."""

    def test_the_named_ones_are_made_at_once(self, monkeypatch):
        session = offline_session("eu-west-1")
        made = AwsSession(session, services=("ecr", "sts", "ecr"))
        monkeypatch.setattr(session, "client", lambda *_, **__: pytest.fail("made later"))
        assert made.client("ecr") is made.caller("ecr").client
        assert made.client("sts") is made.client("sts")

    def test_a_later_one_is_made_once(self):
        session, found = AwsSession(offline_session("eu-west-1")), []
        threads = [threading.Thread(target=lambda: found.append(session.caller("sts"))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(map(id, found))) == 1

    def test_endpoints(self):
        one = AwsSession(offline_session("eu-west-1"), endpoint_url="http://127.0.0.1:1")
        assert one.client("ecr").meta.endpoint_url == one.client("sts").meta.endpoint_url == "http://127.0.0.1:1"
        each = AwsSession(offline_session("eu-west-1"), endpoint_url={"ecr": "http://127.0.0.1:2"})
        assert each.client("ecr").meta.endpoint_url == "http://127.0.0.1:2"
        assert "amazonaws.com" in each.client("sts").meta.endpoint_url

    def test_an_unknown_service(self):
        with pytest.raises(InvalidInput, match="no AWS client: nosuch"):
            AwsSession(offline_session("eu-west-1")).client("nosuch")


class TestWhatIsMissing:
    """A missing region, profile or worker is said before any call."""

    @pytest.fixture(autouse=True)
    def bare(self, monkeypatch, tmp_path):
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))

    def test_region(self):
        with pytest.raises(InvalidInput, match="region: is not set"):
            AwsSession()

    def test_profile(self, monkeypatch):
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(CredentialsMissing, match="nobody"):
            AwsSession(region="eu-west-1")

    def test_numbers(self):
        with pytest.raises(InvalidInput) as caught:
            AwsSession(offline_session("eu-west-1"), workers=0, attempts=0)
        assert [problem.path for problem in caught.value.problems] == ["workers", "attempts"]

    def test_an_offline_session_reads_no_profile(self, monkeypatch):
        monkeypatch.setenv("AWS_PROFILE", "nobody")
        assert offline_session("eu-west-1").get_credentials().access_key == "embedded"


class TestShown:
    """Nothing secret is shown."""

    def test_repr(self):
        session = AwsSession(offline_session("eu-west-1"))
        assert repr(session) == "<AwsSession eu-west-1: ecr; 8 workers>"
        assert session.learned_rates() == {}
