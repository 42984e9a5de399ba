"""A planted password is in no repr, text, log, error, traceback or pickle."""

from __future__ import annotations

import base64
import copy
import datetime as dt
import logging
import pickle
import traceback

import attrs
import boto3
import pytest

from ecrkit import Registry
from ecrkit._internal.jsonio import canonical_json, jsonable
from ecrkit.auth import (
    Secret,
    TokenProvider,
    TokenScope,
    docker_config,
    image_pull_secret,
    image_updater_secret,
    update_docker_config,
)
from ecrkit.auth.tokens import Token
from ecrkit.aws.ecr import EcrGateway
from ecrkit.errors import InvalidInput
from ecrkit.local import Engine, ManualClock
from tests.support.tokens import NOW, PASSWORD, forms_of, make_token, shown_in

HOST = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
HERE = TokenScope.private("eu-west-1")


def provider() -> TokenProvider:
    made = TokenProvider(lambda scope: make_token(), clock=ManualClock(NOW))
    made.token(HERE)
    return made


HOLDERS = {
    "secret": lambda: Secret(PASSWORD),
    "token": make_token,
    "password": lambda: make_token().password,
    "header": lambda: make_token().header,
    "basic": lambda: make_token().basic,
    "provider": provider,
    "docker config": lambda: docker_config([HOST], make_token()),
    "pull secret": lambda: image_pull_secret("ecr", [HOST], make_token()),
    "updater secret": lambda: image_updater_secret("ecr", make_token()),
}


def test_the_search_finds_what_is_there():
    assert shown_in(docker_config([HOST], make_token()).to_json())
    assert shown_in(f"x {PASSWORD} y") and not shown_in("nothing")


@pytest.mark.parametrize("make", HOLDERS.values(), ids=HOLDERS)
class TestHolders:
    def test_no_text_of_it_shows_the_password(self, make):
        held = make()
        texts = [
            repr(held),
            str(held),
            f"{held}",
            f"{held!r:>200}",
            f"{[held]} { ({'k': held}) }",
            "{0} {0!r}".format(held),  # noqa: UP032
        ]
        assert not any(map(shown_in, texts))

    def test_no_attribute_shows_it_in_its_repr(self, make):
        held = make()
        names = [n for n in dir(held) if not n.startswith("__") and n != "document"]
        shown = [n for n in names if not callable(getattr(held, n)) and shown_in(repr(getattr(held, n)))]
        assert [n for n in shown if not n.startswith("_")] == []

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_it_cannot_be_pickled(self, make, protocol):
        with pytest.raises(TypeError) as refused:
            pickle.dumps(make(), protocol)
        assert not shown_in(str(refused.value))

    @pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy])
    def test_it_cannot_be_copied(self, make, copying):
        with pytest.raises(TypeError):
            copying(make())

    def test_logging_it_does_not_show_it(self, make, caplog):
        with caplog.at_level(logging.DEBUG):
            logging.getLogger("app").debug("using %s and %r", make(), make())
        assert not shown_in(caplog.text)

    def test_an_error_with_locals_does_not_show_it(self, make):
        held = make()
        with pytest.raises(RuntimeError) as failed:
            self._fail(held)
        story = traceback.TracebackException.from_exception(failed.value, capture_locals=True)
        assert not shown_in("".join(story.format()))

    @staticmethod
    def _fail(held):
        inner = [held]  # noqa: F841
        raise RuntimeError(f"with {held}")


class TestJson:
    def test_generic_conversions_do_not_open_a_token(self):
        token = make_token()
        assert not shown_in(repr(attrs.asdict(token)))
        for convert in (jsonable, canonical_json):
            with pytest.raises(TypeError, match="no JSON form"):
                convert(token.password)
        assert not shown_in(canonical_json(token.to_dict()))


class TestMalformedAnswers:
    """An answer that is no token is told without showing it, also to those who record the locals of frames."""

    @pytest.mark.parametrize(
        "data",
        [
            {"authorizationToken": base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()},
            {"authorizationToken": base64.b64encode(PASSWORD.replace(":", "").encode()).decode(), "expiresAt": NOW},
            {"authorizationToken": PASSWORD, "expiresAt": NOW},
            {"authorizationToken": base64.b64encode(PASSWORD.encode() + b"\xff").decode(), "expiresAt": NOW},
        ],
    )
    def test_neither_the_error_nor_its_frames(self, data, scripted_gateway):
        planted = data["authorizationToken"]
        gateway = scripted_gateway({"authorizationData": [data]})
        with pytest.raises(InvalidInput) as refused:
            gateway.authorization_token(issued_at=NOW)
        del data
        # The frames of this test hold the planted text themselves.
        trace = refused.value.__traceback__.tb_next
        story = "".join(
            traceback.TracebackException(type(refused.value), refused.value, trace, capture_locals=True).format()
        )
        assert planted not in story and not shown_in(story)
        assert refused.value.__cause__ is None and refused.value.__context__ is None


@pytest.fixture
def scripted_gateway(monkeypatch):
    registry = Registry.local()

    def make(answer) -> EcrGateway:
        monkeypatch.setattr(registry.gateway._caller, "call", lambda operation, parameters: copy.deepcopy(answer))
        return registry.gateway

    yield make
    registry.close()


class TestBotocoreLog:
    """botocore writes whole answers into its debug log; tokens in them are masked."""

    def test_a_debug_log_of_everything(self, caplog):
        engine = Engine()
        with Registry.local(engine) as registry, caplog.at_level(logging.DEBUG):
            token = registry.auth.token()
        assert "Response body" in caplog.text and "<secret>" in caplog.text
        assert token.password.reveal() not in caplog.text
        assert not any(form in caplog.text for form in forms_of(token.password.reveal()))

    def test_without_the_mask_the_log_would_show_it(self, caplog):
        from ecrkit.aws import unlogged

        with Registry.local() as registry, caplog.at_level(logging.DEBUG, "botocore"):
            logging.getLogger("botocore.parsers").removeFilter(unlogged._MASK)
            registry.client.get_authorization_token()
        assert "<secret>" not in caplog.text and "authorizationToken" in caplog.text

    def test_stream_loggers_are_masked_too(self, capsys):
        boto3.set_stream_logger("botocore", logging.DEBUG)
        try:
            with Registry.local() as registry:
                password = registry.auth.token().password.reveal()
        finally:
            logger = logging.getLogger("botocore")
            for handler in list(logger.handlers):
                logger.removeHandler(handler)
            logger.setLevel(logging.NOTSET)
        said = capsys.readouterr().err
        assert "Response body" in said
        assert not any(form in said for form in forms_of(password))


class TestFiles:
    def test_a_broken_file_is_not_quoted(self, tmp_path):
        path = tmp_path / "config.json"
        basic = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
        for broken in (
            f'{{"auths": {{"h": {{"auth": "{basic}"}}}}',
            f'{{"auths": "{basic}"}}',
            f'{{"a": "{basic}"}} x',
        ):
            path.write_text(broken)
            with pytest.raises(InvalidInput) as refused:
                update_docker_config(path, docker_config([HOST], make_token()))
            story = traceback.TracebackException(
                type(refused.value), refused.value, refused.value.__traceback__.tb_next, capture_locals=True
            )
            assert not shown_in("".join(story.format()))
            assert refused.value.__context__ is None

    def test_a_document_that_is_none_is_not_quoted(self):
        from ecrkit.auth import merge_docker_config

        with pytest.raises(InvalidInput) as refused:
            merge_docker_config({"auths": {"h": PASSWORD}}, docker_config([HOST], make_token()))
        story = traceback.TracebackException(
            type(refused.value), refused.value, refused.value.__traceback__.tb_next, capture_locals=True
        )
        assert not shown_in("".join(story.format()))

    def test_a_failing_disk_does_not_tell_the_content(self, tmp_path, monkeypatch):
        path = tmp_path / "config.json"
        basic = base64.b64encode(f"AWS:{PASSWORD}".encode()).decode()
        path.write_text(f'{{"auths": {{"other": {{"auth": "{basic}"}}}}}}')

        def full(handle):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space") as failed:
            update_docker_config(path, docker_config([HOST], make_token(password="other")))
        story = traceback.TracebackException(
            type(failed.value), failed.value, failed.value.__traceback__.tb_next, capture_locals=True
        )
        assert not shown_in("".join(story.format()))
        assert [p.name for p in tmp_path.iterdir()] == ["config.json"]


def test_the_advice_holds_no_secret_and_pickles():
    advice = image_pull_secret("ecr", [HOST], make_token()).advice
    assert pickle.loads(pickle.dumps(advice)) == advice
    assert not shown_in(advice.to_json() + advice.explain())
    assert advice.refresh_at == NOW + dt.timedelta(hours=6)


def test_a_wrong_host_is_told_without_the_token():
    with pytest.raises(InvalidInput) as refused:
        docker_config(["123456789012.dkr.ecr.us-east-1.amazonaws.com"], make_token())
    assert not shown_in(str(refused.value) + repr(refused.value))
    assert isinstance(Token, type)
