"""`python -m ecrkit.scanning`, and the CI scripts of the documentation run against a stand-in for the AWS CLI."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import yaml

from ecrkit.scanning import gate_from, profiles_from
from ecrkit.scanning.__main__ import main
from tests.unit.scanning.build import answer, basic_raw, enhanced_raw

GATE = "[limits]\nCRITICAL = 0\nHIGH = 0\n"
CLEAN, DIRTY = answer(basic=[]), answer(basic=[basic_raw("CVE-2026-1")])
PENDING = answer("PENDING", basic=[], done=False)
EXPIRED = answer("SCAN_ELIGIBILITY_EXPIRED", enhanced=[])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gate.toml").write_text(GATE)
    for name, body in {"clean": CLEAN, "dirty": DIRTY, "pending": PENDING, "expired": EXPIRED}.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(body))
    return tmp_path


class TestCommand:
    """0 pass, 1 fail, 2 bad input, 3 undetermined, 75 no result yet; no traceback."""

    @pytest.mark.parametrize(("name", "code"), [("clean", 0), ("dirty", 1), ("expired", 3), ("pending", 75)])
    def test_exit_codes(self, folder: Path, name: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
        assert main([f"{name}.json", "--gate", "gate.toml"]) == code
        assert capsys.readouterr().out.split()[0] == {0: "PASS", 1: "FAIL"}.get(code, "UNDETERMINED")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["nowhere.json", "--gate", "gate.toml"], ["gate.toml", "--gate", "gate.toml"], ["clean.json", "--gate", "clean.json"],
            ["clean.json", "--gate", "gate.toml", "--write", "pdf=x"], ["clean.json", "--gate", "gate.toml", "--now", "noon"],
            ["clean.json", "--gate", "gate.toml", "--vex", "gate.toml"], ["clean.json", "--gate", "gate.toml", "--exemptions", "gate.toml"],
            ["clean.json", "--gate", "gate.toml", "--epss", "gate.toml"],
        ],
    )  # fmt: skip
    def test_bad_input(self, folder: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        assert main(arguments) == 2
        assert capsys.readouterr().err.startswith("error: ")

    def test_everything_together(self, folder: Path) -> None:
        raw = enhanced_raw("CVE-2026-1", fixAvailable="NO")
        (folder / "enhanced.json").write_text(json.dumps([answer("ACTIVE", enhanced=[raw])]))
        (folder / "ex.toml").write_text(
            '[[exemptions]]\nid = "CVE-2026-1"\nreason = "r"\nexpires = 2026-11-25\nplatform = "linux/*"\n'
        )
        (folder / "epss.csv").write_text("cve,epss\nCVE-2026-1,0.9\n")
        (folder / "kev.json").write_text('{"vulnerabilities": []}')
        common = ["enhanced.json", "--gate", "gate.toml", "--exemptions", "ex.toml", "--platform", "linux/amd64", "--epss", "epss.csv",
                  "--known-exploited", "kev.json", "--baseline", "clean.json", "--write", "sarif=a.sarif", "--write", "csv=a.csv"]  # fmt: skip
        assert main([*common, "--now", "2026-11-25T23:59:59Z"]) == 0
        assert json.loads((folder / "a.sarif").read_text())["version"] == "2.1.0"
        assert b"\r\n" in (folder / "a.csv").read_bytes() and b"\r\r\n" not in (folder / "a.csv").read_bytes()
        assert main([*common, "--now", "2026-11-26T00:00:00Z"]) == 1

    def test_profiles(self, folder: Path) -> None:
        (folder / "p.toml").write_text(
            '[[profiles]]\nname = "prod"\nnamespaces = ["prod-*"]\ngate = {limits = {HIGH = 0}}\n'
        )
        assert main(["dirty.json", "--profiles", "p.toml", "--namespace", "prod-eu"]) == 1
        assert main(["clean.json", "--profiles", "p.toml", "--profile", "prod"]) == 0
        assert main(["clean.json", "--profiles", "p.toml", "--namespace", "dev"]) == 3
        assert main(["clean.json", "--profiles", "p.toml", "--profile", "none"]) == 2

    def test_as_a_program(self, folder: Path, repo_root: Path) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "ecrkit.scanning", "dirty.json", "--gate", "gate.toml"],
            env={**os.environ, "PYTHONPATH": str(repo_root)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (1, "")
        assert "CVE-2026-1" in done.stdout


def script(repo_root: Path, system: str) -> str:
    """Return the shell of a CI system's block on the page."""
    page = (repo_root / "docs" / "howto" / "scan-gate-in-ci.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(yaml|groovy)\n(.*?)```", page, re.DOTALL)
    if system == "github":
        steps: list[dict[str, Any]] = yaml.safe_load(blocks[0][1])["jobs"]["scan"]["steps"]
        return next(s["run"] for s in steps if s.get("id") == "gate")
    if system == "gitlab":
        return "set -e\n" + "\n".join(yaml.safe_load(blocks[1][1])["scan"]["script"])
    return textwrap.dedent(re.findall(r"sh '''\n(.*?)'''", blocks[2][1], re.DOTALL)[0])


def test_the_policies_on_the_page_are_policies(repo_root: Path) -> None:
    page = (repo_root / "docs" / "howto" / "scan-gate-in-ci.md").read_text(encoding="utf-8")
    gate, profiles = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert gate_from(gate).rules.names() == ("gate", "critical", "high", "fix-available-high", "vulnerabilities")
    assert [p.name for p in profiles_from(profiles).entries] == ["production", "everything else"]


class TestScripts:
    """The GitHub, GitLab and Jenkins scripts of the page pass, fail and stop as the gate says."""

    def run(self, folder: Path, repo_root: Path, system: str, answers: list[str]) -> subprocess.CompletedProcess[str]:
        tools = folder / "tools"
        tools.mkdir()
        for number, name in enumerate(answers):
            (folder / f"answer.{number}").write_text(name)
        # The stand-in plays one answer after the other; `none` is the error of an image without a scan.
        (tools / "aws").write_text(
            '#!/bin/sh\nset -eu\n[ "$1 $2" = "ecr describe-image-scan-findings" ]\n'
            'for word in "$@"; do last=$word; done\n[ "$last" = "imageDigest=sha256:1" ]\n'
            'n=$(cat calls 2>/dev/null || echo 0)\nwhile [ ! -f "answer.$n" ]; do n=$((n - 1)); done\necho $((n + 1)) > calls\n'
            'name=$(cat "answer.$n")\ncase "$name" in\nnone) echo "An error occurred (ScanNotFoundException)" >&2; exit 254;;\n'
            'denied) echo "An error occurred (AccessDeniedException)" >&2; exit 254;;\nesac\ncat "$name.json"\n'
        )
        (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        for tool in tools.iterdir():
            tool.chmod(0o755)
        env = {
            "PATH": f"{tools}:/usr/bin:/bin", "PYTHONPATH": str(repo_root), "REPOSITORY": "team/app", "DIGEST": "sha256:1",
            "GITHUB_STEP_SUMMARY": "step.md", "PAUSE": "0", "TRIES": "3",
        }  # fmt: skip
        return subprocess.run(
            ["sh", "-c", script(repo_root, system)], env=env, capture_output=True, text=True, check=False
        )

    @pytest.mark.parametrize("system", ["github", "gitlab", "jenkins"])
    @pytest.mark.parametrize(("answers", "code"), [(["clean"], 0), (["dirty"], 1)])
    def test_pass_and_fail(self, folder: Path, repo_root: Path, system: str, answers: list[str], code: int) -> None:
        done = self.run(folder, repo_root, system, answers)
        assert done.returncode == code, done.stderr
        reports = {
            "github": ["scan.sarif", "step.md"],
            "gitlab": ["gl-container-scanning-report.json", "scan.xml"],
            "jenkins": ["scan.xml"],
        }
        for name in reports[system]:
            assert (folder / name).stat().st_size

    @pytest.mark.parametrize(
        ("answers", "code"),
        [(["none", "pending", "clean"], 0), (["none"], 75), (["denied"], 2), (["pending", "expired"], 3)],
    )
    def test_github_asks_again_while_there_is_no_result(
        self, folder: Path, repo_root: Path, answers: list[str], code: int
    ) -> None:
        assert self.run(folder, repo_root, "github", answers).returncode == code

    @pytest.mark.parametrize("system", ["gitlab", "jenkins"])
    def test_a_refused_call_never_passes(self, folder: Path, repo_root: Path, system: str) -> None:
        assert self.run(folder, repo_root, system, ["denied"]).returncode not in (0, 75)
