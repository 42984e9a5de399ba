"""An image pushed by skopeo arrives in another Region, and skopeo pulls the same bytes from there."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from ecrkit import Registry
from ecrkit.local import serve
from tests.support.oci_layout import two_platforms
from tests.support.replication import AWAY, HOME, World, rule
from tests.support.tools import require_tool


@pytest.fixture
def skopeo(tmp_path: Path):
    program = require_tool("skopeo")

    def run(*words: str, given: str | None = None) -> str:
        done = subprocess.run(
            [program, "--insecure-policy", *words],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")},
            input=given, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_the_same_bytes_from_both_regions(skopeo, tmp_path: Path):
    world = World(rule(AWAY), repository="team/app")
    layout = tmp_path / "layout"
    two_platforms(layout, "v1")
    with serve(world.engine) as server:

        def log_in(region: str) -> None:
            password = world.engine.issue_token(region=region)[0]
            skopeo("login", "--tls-verify=false", "--username", "AWS", "--password-stdin", server.host, given=password)

        reference = f"docker://{server.host}/team/app:v1"
        log_in(HOME)
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:v1", reference)
        with Registry.local(world.engine) as registry:
            result = registry.replication.wait("team/app:v1").require()
        assert result.destinations[0].lag == dt.timedelta(seconds=30)
        log_in(AWAY)
        raw = skopeo("inspect", "--raw", "--tls-verify=false", reference)
        assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == result.digest
        pulled = tmp_path / "pulled"
        skopeo("copy", "--all", "--src-tls-verify=false", reference, f"oci:{pulled}:v1")
    blobs = {path.name for path in (layout / "blobs" / "sha256").iterdir()}
    assert {path.name for path in (pulled / "blobs" / "sha256").iterdir()} == blobs
    assert len(json.loads(raw)["manifests"]) == 2


def test_skopeo_pushes_into_a_repository_that_a_template_makes(skopeo, tmp_path: Path):
    world = World()
    world("CreateRepositoryCreationTemplate", prefix="made", appliedFor=["CREATE_ON_PUSH"])
    layout = tmp_path / "layout"
    two_platforms(layout, "v1")
    with serve(world.engine) as server:
        password = world.engine.issue_token()[0]
        skopeo("login", "--tls-verify=false", "--username", "AWS", "--password-stdin", server.host, given=password)
        target = f"docker://{server.host}/made/app:v1"
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:v1", target)
    assert ["v1"] in world.tags(HOME, repository="made/app").values()
