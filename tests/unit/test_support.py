"""The suite's own helpers: tools are found, skipped or demanded; interpreters are listed; no test leaves the machine."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.tools import require_module, require_operation, require_tool

ROOT = Path(__file__).resolve().parent.parent.parent


class TestRequireTool:
    def test_a_tool_that_is_there(self) -> None:
        assert require_tool("sh").endswith("/sh")

    def test_without_the_tool_a_test_is_skipped(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ECRKIT_REQUIRE_TOOLS", raising=False)
        with pytest.raises(pytest.skip.Exception, match="no-such-tool is not installed"):
            require_tool("no-such-tool")

    def test_in_ci_it_fails(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ECRKIT_REQUIRE_TOOLS", "1")
        with pytest.raises(pytest.fail.Exception, match="ECRKIT_REQUIRE_TOOLS"):
            require_tool("no-such-tool")


class TestRequireOperation:
    def test_an_operation_that_is_there(self) -> None:
        require_operation("DescribeImages")

    def test_without_it_a_test_is_skipped_and_fails_in_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("ECRKIT_REQUIRE_TOOLS", raising=False)
        with pytest.raises(pytest.skip.Exception, match="botocore has no NoSuchOperation"):
            require_operation("NoSuchOperation")
        monkeypatch.setenv("ECRKIT_REQUIRE_TOOLS", "1")
        with pytest.raises(pytest.fail.Exception, match="ECRKIT_REQUIRE_TOOLS"):
            require_operation("NoSuchOperation")
        with pytest.raises(pytest.fail.Exception, match="no_such_module"):
            require_module("no_such_module", package="nothing")


def test_only_the_helpers_skip() -> None:
    """A skip of a test's own would also skip in CI, where what is missing must fail."""
    words = ("importor" + "skip", "mark.skip" + "if", "mark.x" + "fail", "pytest.sk" + "ip(", "mark.sk" + "ip(")
    at_fault = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path.parent.name != "support"
        for word in words
        if word in path.read_text(encoding="utf-8")
    ]
    assert at_fault == []


class TestInterpreters:
    def test_each_minor_version_once_in_order(self) -> None:
        lines = subprocess.run(["sh", "scripts/pythons"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        minors = [line.split()[0] for line in lines.splitlines()]
        assert minors == sorted(set(minors)) and set(minors) <= {"3.11", "3.12", "3.13"}

    def test_the_first_is_one_that_runs(self) -> None:
        found = subprocess.run(
            ["sh", "scripts/pythons", "--first"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        said = subprocess.run([found.stdout.strip(), "--version"], check=True, capture_output=True, text=True)
        assert re.match(r"Python 3\.1[1-9]", said.stdout)


class TestMakefile:
    def test_too_old_an_interpreter_is_a_clear_error(self, tmp_path: Path) -> None:
        old = tmp_path / "python"
        old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo "Python 3.9.1" && exit 0\nexit 1\n')
        old.chmod(0o755)
        done = subprocess.run(
            ["make", f"PYTHON={old}", f"VENV={tmp_path}/env", f"{tmp_path}/env/.stamp-made"],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode != 0
        assert "needs Python 3.11 or newer; found: Python 3.9.1" in done.stderr
        assert not (tmp_path / "env").exists()


class TestNoNetwork:
    def test_a_connection_off_this_machine_is_refused(self) -> None:
        with socket.socket() as one, pytest.raises(OSError, match="this machine only"):
            one.connect(("192.0.2.1", 443))

    def test_the_loopback_is_open(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
            pass
