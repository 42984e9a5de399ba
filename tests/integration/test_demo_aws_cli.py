"""The commands that the tour prints, run by the real AWS CLI, give files that the demo reads."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from pathlib import Path

import pytest

from ecrkit.demo.__main__ import main
from ecrkit.lifecycle import build, keep_last
from ecrkit.local import Engine, serve
from ecrkit.local.images import image, index, layer
from tests.support.aws_cli import find_cli


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What the three commands wrote about a repository of four indexes and their children."""
    engine = Engine()
    engine.call("CreateRepository", {"repositoryName": "team/app"})
    for number in range(4):
        both = [image([layer({"n": f"{number}"})], platform=p) for p in ("linux/amd64", "linux/arm64")]
        index(both).push(engine, "team/app", f"v{number}")
        engine.advance(dt.timedelta(hours=1))
    text = build(keep_last(2, prefixes="v")).to_json()
    engine.call("PutLifecyclePolicy", {"repositoryName": "team/app", "lifecyclePolicyText": text})
    settings = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(tmp_path),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
    }
    with serve(engine) as server:

        def aws(name: str, *words: str) -> None:
            command = [find_cli(), "ecr", *words, "--repository-name", "team/app", "--endpoint-url", server.url]
            with (tmp_path / name).open("wb") as file:
                subprocess.run(command, check=True, stdout=file, env=settings, timeout=120)

        aws("images.json", "describe-images", "--filter", "imageStatus=ANY", "--page-size", "5")
        aws("policy.json", "get-lifecycle-policy")
        aws("text.json", "get-lifecycle-policy", "--query", "lifecyclePolicyText", "--output", "text")
        listed = json.loads((tmp_path / "images.json").read_text())["imageDetails"]
        digests = [f"imageDigest={item['imageDigest']}" for item in listed]
        aws("manifests.json", "batch-get-image", "--image-ids", *digests)
    return tmp_path


def test_what_the_cli_writes_is_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images, manifests = str(folder / "images.json"), str(folder / "manifests.json")
    for policy in ("policy.json", "text.json"):
        assert main(["--images", images, "--policy", str(folder / policy)]) == 0
        out = capsys.readouterr().out
        assert "rule 1: expire images tagged v* beyond the newest 2" in out
        assert "Of 12 images 2 would be expired, 10 kept." in out
        assert "not certain: 4 indexes have unknown children." in out
    assert main(["--images", images, "--policy", str(folder / "policy.json"), "--manifests", manifests]) == 0
    told = capsys.readouterr()
    assert "not certain" not in told.out
    assert "Of 12 images 2 would be expired" in told.out
    assert told.err == ""
