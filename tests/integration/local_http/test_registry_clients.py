from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from ecrkit.local import LocalServer
from tests.support.aws_cli import AwsCli
from tests.support.oci_layout import two_platforms, umoci_image
from tests.support.shapes import CheckedEngine
from tests.support.tools import require_tool

Skopeo = Callable[..., str]


@pytest.fixture
def auth_file(tmp_path: Path) -> Path:
    return tmp_path / "auth.json"


@pytest.fixture
def skopeo(tmp_path: Path, auth_file: Path) -> Skopeo:
    program = require_tool("skopeo")

    def run(*words: str, given: str | None = None) -> str:
        done = subprocess.run(
            [program, "--insecure-policy", *words],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(auth_file)},
            input=given, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, words, done.stdout, done.stderr)
        return done.stdout

    return run


@pytest.fixture
def logged_in(server: LocalServer, skopeo: Skopeo, tmp_path: Path) -> Skopeo:
    """The documented login: get-login-password of the real AWS CLI, piped into skopeo."""
    password = AwsCli(server.url, tmp_path).run("ecr", "get-login-password")
    said = skopeo("login", "--tls-verify=false", "--username", "AWS", "--password-stdin", server.host, given=password)
    assert "Login Succeeded" in said
    return skopeo


def at(server: LocalServer, tag: str) -> str:
    return f"docker://{server.host}/team/app:{tag}"


def blobs_of(layout: Path) -> set[str]:
    files = list((layout / "blobs" / "sha256").iterdir())
    assert all(hashlib.sha256(path.read_bytes()).hexdigest() == path.name for path in files)
    return {path.name for path in files}


def top_digest(layout: Path) -> str:
    return str(json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])


class TestSkopeo:
    """skopeo, an independent client, pushes and pulls real images with equal digests."""

    def test_an_image_of_several_layers(
        self, server: LocalServer, engine: CheckedEngine, logged_in: Skopeo, tmp_path: Path
    ):
        source = tmp_path / "source"
        umoci_image(source, "v1")
        logged_in("copy", "--dest-tls-verify=false", f"oci:{source}:v1", at(server, "v1"))
        shown = json.loads(logged_in("inspect", "--tls-verify=false", at(server, "v1")))
        assert shown["Digest"] == top_digest(source)
        assert shown["RepoTags"] == ["v1"] and len(shown["Layers"]) == 3 and "MODE=test" in shown["Env"]
        detail = engine.call("DescribeImages", {"repositoryName": "team/app"})["imageDetails"][0]
        manifest = json.loads((source / "blobs/sha256" / top_digest(source).removeprefix("sha256:")).read_text())
        sizes = [manifest["config"]["size"], *(layer["size"] for layer in manifest["layers"])]
        assert (detail["imageDigest"], detail["imageSizeInBytes"]) == (top_digest(source), sum(sizes))
        target = tmp_path / "target"
        logged_in("copy", "--src-tls-verify=false", at(server, "v1"), f"oci:{target}:v1")
        assert top_digest(target) == top_digest(source)
        assert blobs_of(target) <= blobs_of(source) and len(blobs_of(target)) == 5

    def test_an_index_of_two_platforms(
        self, server: LocalServer, engine: CheckedEngine, logged_in: Skopeo, tmp_path: Path
    ):
        source, target = tmp_path / "source", tmp_path / "target"
        digest = two_platforms(source, "multi")
        logged_in("copy", "--all", "--dest-tls-verify=false", f"oci:{source}:multi", at(server, "multi"))
        raw = logged_in("inspect", "--raw", "--tls-verify=false", at(server, "multi"))
        assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == digest
        logged_in("copy", "--all", "--src-tls-verify=false", at(server, "multi"), f"oci:{target}:multi")
        assert top_digest(target) == digest and blobs_of(target) == blobs_of(source)
        assert len(engine.call("DescribeImages", {"repositoryName": "team/app"})["imageDetails"]) == 3
        arm = logged_in("--override-arch", "arm64", "inspect", "--tls-verify=false", at(server, "multi"))
        assert json.loads(arm)["Architecture"] == "arm64"

    def test_docker_format_and_copies_inside(
        self, server: LocalServer, engine: CheckedEngine, logged_in: Skopeo, tmp_path: Path
    ):
        source = tmp_path / "source"
        umoci_image(source, "v1", layers=2)
        engine.call("CreateRepository", {"repositoryName": "other"})
        engine.call("PutAccountSetting", {"name": "BLOB_MOUNTING", "value": "ENABLED"})
        logged_in("copy", "--format", "v2s2", "--dest-tls-verify=false", f"oci:{source}:v1", at(server, "docker"))
        inside = f"docker://{server.host}/other:copied"
        logged_in("copy", "--src-tls-verify=false", "--dest-tls-verify=false", at(server, "docker"), inside)
        details = [
            engine.call("DescribeImages", {"repositoryName": name})["imageDetails"][0] for name in ("team/app", "other")
        ]
        assert details[0]["imageDigest"] == details[1]["imageDigest"]
        assert details[0]["imageManifestMediaType"] == "application/vnd.docker.distribution.manifest.v2+json"

    def test_what_skopeo_says_of_refusals(
        self, server: LocalServer, engine: CheckedEngine, logged_in: Skopeo, tmp_path: Path
    ):
        source = tmp_path / "source"
        umoci_image(source, "v1", layers=1)
        logged_in("copy", "--dest-tls-verify=false", f"oci:{source}:v1", at(server, "v1"))
        engine.call("PutImageTagMutability", {"repositoryName": "team/app", "imageTagMutability": "IMMUTABLE"})
        umoci_image(source, "v2", layers=2)
        refusals: list[tuple[tuple[str, ...], str]] = [
            (("copy", "--dest-tls-verify=false", f"oci:{source}:v2", at(server, "v1")), "tag is immutable"),
            (("inspect", "--tls-verify=false", f"docker://{server.host}/none:v1"), "does not exist in the registry"),
            (("inspect", "--tls-verify=false", at(server, "none")), "manifest unknown"),
        ]
        for words, said in refusals:
            with pytest.raises(subprocess.CalledProcessError) as refused:
                logged_in(*words)
            assert said in refused.value.stderr

    def test_a_wrong_password(self, server: LocalServer, skopeo: Skopeo):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            skopeo("login", "--tls-verify=false", "-u", "AWS", "--password-stdin", server.host, given="guess")
        assert "unauthorized" in refused.value.stderr.lower() or "invalid username/password" in refused.value.stderr


class TestDockerRegistry:
    """docker-registry, an independent implementation, gives the same image the same digest."""

    @pytest.fixture
    def other(self, tmp_path: Path) -> Iterator[str]:
        program = require_tool("docker-registry")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        configuration = tmp_path / "registry.yml"
        storage = tmp_path / "storage"
        configuration.write_text(
            "version: 0.1\nlog: {level: error}\n"
            f"storage: {{filesystem: {{rootdirectory: {storage}}}}}\nhttp: {{addr: '{address}'}}\n"
        )
        process = subprocess.Popen(
            [program, "serve", str(configuration)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield address
        finally:
            process.terminate()
            process.wait(timeout=30)

    def test_equal_digests(self, server: LocalServer, other: str, logged_in: Skopeo, tmp_path: Path):
        source = tmp_path / "source"
        two_platforms(source, "multi")
        logged_in("copy", "--all", "--dest-tls-verify=false", f"oci:{source}:multi", at(server, "multi"))
        there = f"docker://{other}/team/app:multi"
        # The copy waits for the registry to listen: skopeo repeats while the connection is refused.
        logged_in(
            "copy",
            "--all",
            "--retry-times=8",
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            at(server, "multi"),
            there,
        )
        assert logged_in("inspect", "--raw", "--tls-verify=false", there) == logged_in(
            "inspect", "--raw", "--tls-verify=false", at(server, "multi")
        )


class TestOras:
    """The oras package, a third client, pushes an artifact and pulls it back."""

    def test_push_and_pull(
        self, server: LocalServer, engine: CheckedEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        client_module: Any = import_module("oras.client")
        monkeypatch.setenv("HOME", str(tmp_path))
        (tmp_path / "report.txt").write_text("all well\n")
        monkeypatch.chdir(tmp_path)
        password, _ = engine.issue_token()
        client = client_module.OrasClient(hostname=server.host, insecure=True, auth_backend="basic")
        client.auth.set_basic_auth("AWS", password)
        name = f"{server.host}/team/app:report"
        pushed = client.push(target=name, files=["report.txt:text/plain"])
        assert pushed.status_code == 201
        taken = client.pull(target=name, outdir=str(tmp_path / "out"))
        assert [Path(path).read_text() for path in taken] == ["all well\n"]
        assert client.get_tags(f"{server.host}/team/app") == ["report"]
