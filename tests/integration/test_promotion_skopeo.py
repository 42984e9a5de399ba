"""Real images, pushed by skopeo into Debian's docker-registry, copied into ECR, and pulled back by skopeo."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from ecrkit import Registry, errors
from ecrkit.aws.oci_source import OciSource
from ecrkit.local import Engine, LocalServer, serve
from tests.support.docker_registry import docker_registry
from tests.support.oci_layout import two_platforms, umoci_image
from tests.support.tools import require_tool

# bcrypt of "secret", the only form that docker-registry takes
HTPASSWD = "reader:$2b$05$MWu684IrFjyPh8gPzruTA.nINUZCuCS1HB5ObPgpEs0pSsWaSk8Py\n"
Skopeo = Callable[..., str]


@pytest.fixture
def skopeo() -> Skopeo:
    program = require_tool("skopeo")

    def run(*words: str) -> str:
        command = [program, "--insecure-policy", *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "upstream").mkdir()
    with docker_registry(tmp_path / "upstream") as host:
        yield host


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with serve(Engine()) as running:
        yield running


@pytest.fixture
def ecr(server: LocalServer) -> Iterator[Registry]:
    """A registry whose every call goes over HTTP, as to AWS."""
    session = boto3.Session("123456789012", "secret", region_name="us-east-1")
    with Registry.from_session(session, endpoint_url=server.url) as registry:
        yield registry


def pulled(layout: Path) -> set[str]:
    """Return the digests of a layout's blobs, each checked against its bytes."""
    found = set()
    for path in (layout / "blobs" / "sha256").iterdir():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.name
        found.add(path.name)
    return found


def pull(skopeo: Skopeo, server: LocalServer, name: str, layout: Path) -> str:
    """Pull an image with everything below it into a layout; return its digest there."""
    password = server.engine.issue_token(region="us-east-1")[0]
    skopeo(
        "copy", "--all", "--preserve-digests", "--src-tls-verify=false", f"--src-creds=AWS:{password}",
        f"docker://{server.host}/{name}", f"oci:{layout}:back",
    )  # fmt: skip
    return str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])


class TestMirrored:
    """A public image keeps its digest in ECR, and so does each of its parts."""

    def test_an_index_there_and_back(self, skopeo, upstream, server, ecr, tmp_path):
        digest = two_platforms(tmp_path / "made", "v1")
        push = ("copy", "--all", "--dest-tls-verify=false", f"oci:{tmp_path / 'made'}:v1")
        skopeo(*push, f"docker://{upstream}/team/app:v1")
        with OciSource(upstream, plain_http=True) as reader:
            plan = ecr.promotion.plan(f"{upstream}/team/app:v1", "mirror/app:v1", reader=reader, create_repository=True)
            assert plan.items[0].digest == digest and plan.bytes_to_move > 0
            seen = []
            result = ecr.promotion.apply(plan, reader=reader, on_progress=seen.append).require().results[0]
        assert (result.digest, result.bytes_moved) == (digest, plan.bytes_to_move)
        assert seen[-1].done == seen[-1].total == plan.bytes_to_move
        assert pull(skopeo, server, "mirror/app:v1", tmp_path / "back") == digest
        assert pulled(tmp_path / "back") == pulled(tmp_path / "made")

    def test_an_image_without_a_media_type_of_its_own(self, skopeo, upstream, server, ecr, tmp_path):
        """umoci's manifests have no `mediaType`; PutImage then needs to be told (containers-roadmap#1873)."""
        umoci_image(tmp_path / "made", "v1")
        skopeo(
            "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{tmp_path / 'made'}:v1",
            f"docker://{upstream}/app:v1",
        )  # fmt: skip
        with OciSource(upstream, plain_http=True) as reader:
            result = ecr.promotion.copy(f"{upstream}/app:v1", "app", reader=reader, create_repository=True)
        assert result.tag == "v1"
        assert pull(skopeo, server, "app:v1", tmp_path / "back") == result.digest

    def test_docker_schema_2(self, skopeo, upstream, server, ecr, tmp_path):
        two_platforms(tmp_path / "made", "v1")
        skopeo(
            "copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{tmp_path / 'made'}:v1",
            f"docker://{upstream}/app:v1",
        )  # fmt: skip
        with OciSource(upstream, plain_http=True) as reader:
            result = ecr.promotion.copy(f"{upstream}/app:v1", "app:v1", reader=reader, create_repository=True)
        held = ecr.gateway.manifests("app", [result.digest])[result.digest]
        assert held.media_type == "application/vnd.docker.distribution.manifest.v2+json"
        skopeo(
            "copy", "--src-tls-verify=false", f"--src-creds=AWS:{server.engine.issue_token(region='us-east-1')[0]}",
            f"docker://{server.host}/app:v1", f"dir:{tmp_path / 'back'}",
        )  # fmt: skip
        text = (tmp_path / "back" / "manifest.json").read_bytes()
        assert "sha256:" + hashlib.sha256(text).hexdigest() == result.digest

    def test_a_registry_with_a_password(self, skopeo, ecr, tmp_path):
        two_platforms(tmp_path / "made", "v1")
        (tmp_path / "closed").mkdir()
        with docker_registry(tmp_path / "closed", htpasswd=HTPASSWD) as host:
            skopeo(
                "copy", "--all", "--dest-tls-verify=false", "--dest-creds=reader:secret",
                f"oci:{tmp_path / 'made'}:v1", f"docker://{host}/app:v1",
            )  # fmt: skip
            with (
                OciSource(host, plain_http=True) as nobody,
                pytest.raises(errors.Denied, match="wants a user name"),
            ):
                ecr.promotion.plan(f"{host}/app:v1", "app:v1", reader=nobody)
            with (
                OciSource(host, plain_http=True, username="reader", password="guessed") as guesser,
                pytest.raises(errors.Denied) as denied,
            ):
                ecr.promotion.plan(f"{host}/app:v1", "app:v1", reader=guesser)
            assert "guessed" not in str(denied.value)
            with OciSource(host, plain_http=True, username="reader", password="secret") as reader:
                assert ecr.promotion.copy(f"{host}/app:v1", "app:v1", reader=reader, create_repository=True).ok


class TestBetweenRegistriesOfEcr:
    """From one account and Region to another by the API alone, over HTTP."""

    def test_pushed_by_skopeo_copied_and_pulled(self, skopeo, server, ecr, tmp_path):
        digest = two_platforms(tmp_path / "made", "v1")
        ecr.gateway.create_repository("app")
        password = server.engine.issue_token(region="us-east-1")[0]
        skopeo(
            "copy", "--all", "--dest-tls-verify=false", f"--dest-creds=AWS:{password}",
            f"oci:{tmp_path / 'made'}:v1", f"docker://{server.host}/app:v1",
        )  # fmt: skip
        away = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/copy:v1"
        result = ecr.promotion.copy("app:v1", away, create_repository=True)
        back = ecr.promotion.copy(away, "again:v1", create_repository=True)
        assert result.digest == back.digest == digest
        assert pull(skopeo, server, "again:v1", tmp_path / "back") == digest
        assert pulled(tmp_path / "back") == pulled(tmp_path / "made")

    def test_ecr_read_by_the_registry_protocol(self, skopeo, server, ecr, tmp_path):
        digest = two_platforms(tmp_path / "made", "v1")
        ecr.gateway.create_repository("app")
        password = server.engine.issue_token(region="us-east-1")[0]
        skopeo(
            "copy", "--all", "--dest-tls-verify=false", f"--dest-creds=AWS:{password}",
            f"oci:{tmp_path / 'made'}:v1", f"docker://{server.host}/app:v1",
        )  # fmt: skip
        with OciSource(server.host, plain_http=True, username="AWS", password=password) as reader:
            result = ecr.promotion.copy(f"{server.host}/app:v1", "mirror/app:v1", reader=reader, create_repository=True)
        assert result.digest == digest
