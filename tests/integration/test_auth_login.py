"""skopeo logs in to the embedded ECR with what `Registry.auth` gives, and fails once it has expired."""

from __future__ import annotations

import base64
import datetime as dt
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ecrkit import Registry
from ecrkit.aws.session import offline_session
from ecrkit.local import Engine, LocalServer, ManualClock, serve
from tests.support.tools import require_tool

Skopeo = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def engine() -> Engine:
    # Over HTTP the registry lives in real time, so the engine starts there; it moves only when it is told to.
    return Engine(clock=ManualClock(dt.datetime.now(dt.UTC)))


@pytest.fixture
def server(engine: Engine) -> Iterator[LocalServer]:
    engine.call("CreateRepository", {"repositoryName": "team/app"})
    with serve(engine) as running:
        yield running


@pytest.fixture
def registry(server: LocalServer, engine: Engine) -> Iterator[Registry]:
    with Registry.from_session(
        offline_session(engine.region), endpoint_url=server.url, workers=2, attempts=1
    ) as opened:
        yield opened


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    return tmp_path / "auth.json"


@pytest.fixture
def skopeo(tmp_path: Path, auth_file: Path) -> Skopeo:
    program = require_tool("skopeo")

    def run(*words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, "--insecure-policy", *words],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(auth_file)},
            input=given, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip

    return run


def tags(skopeo: Skopeo, server: LocalServer) -> subprocess.CompletedProcess[str]:
    return skopeo("list-tags", "--tls-verify=false", f"docker://{server.host}/team/app")


class TestLogin:
    def test_with_the_password(self, skopeo: Skopeo, server: LocalServer, registry: Registry):
        token = registry.auth.token()
        words = ("login", "--tls-verify=false", "-u", token.username, "--password-stdin", server.host)
        done = skopeo(*words, given=token.password.reveal())
        assert "Login Succeeded" in done.stdout, done.stderr
        assert tags(skopeo, server).returncode == 0

    def test_the_raw_token_is_no_password(self, skopeo: Skopeo, server: LocalServer, registry: Registry):
        words = ("login", "--tls-verify=false", "-u", "AWS", "--password-stdin", server.host)
        done = skopeo(*words, given=registry.auth.token().basic.reveal())
        assert done.returncode != 0 and "Succeeded" not in done.stdout


class TestFile:
    def test_what_skopeo_reads(self, skopeo: Skopeo, server: LocalServer, registry: Registry, auth_file: Path):
        auth_file.write_text(json.dumps({"auths": {"docker.io": {"auth": "eDp5"}}}))
        report = registry.auth.update_docker_config(auth_file, [server.host])
        assert report.added == (server.host,)
        done = tags(skopeo, server)
        assert json.loads(done.stdout)["Tags"] == [], done.stderr
        shown = skopeo("login", "--get-login", server.host)
        assert shown.stdout.strip() == "AWS"
        assert json.loads(auth_file.read_text())["auths"]["docker.io"] == {"auth": "eDp5"}

    def test_a_pull_secret_holds_the_same(
        self, skopeo: Skopeo, server: LocalServer, registry: Registry, auth_file: Path
    ):
        secret = registry.auth.image_pull_secret("ecr", [server.host]).document
        auth_file.write_bytes(base64.b64decode(secret["data"][".dockerconfigjson"]))
        assert tags(skopeo, server).returncode == 0

    def test_twelve_hours_later(self, skopeo: Skopeo, server: LocalServer, engine: Engine, auth_file: Path):
        with Registry.local(engine) as local:
            local.auth.update_docker_config(auth_file)
            auths = json.loads(auth_file.read_text())["auths"]
            # The engine names ECR's own host in process; the same token opens what it serves.
            auth_file.write_text(json.dumps({"auths": {server.host: next(iter(auths.values()))}}))
            assert tags(skopeo, server).returncode == 0
            engine.clock.advance(dt.timedelta(hours=12))
            refused = tags(skopeo, server)
            assert refused.returncode != 0
            assert "403 (Forbidden)" in refused.stderr
            renewed = local.auth.token()
        done = skopeo(
            "list-tags", "--tls-verify=false", "--creds", f"AWS:{renewed.password.reveal()}",
            f"docker://{server.host}/team/app",
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
