"""The development script that compares engines: its cases are fair, and it fails loudly without an engine."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from ecrkit.access import PolicyDocument


@pytest.fixture(scope="module")
def script() -> ModuleType:
    path = Path(__file__).parents[3] / "scripts" / "compare_access_engines.py"
    spec = importlib.util.spec_from_file_location("compare_access_engines", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def engine(tmp_path: Path, answer: str) -> str:
    """Return a command that answers each case with a Python expression over `case`."""
    code = f"import json, sys\nfor line in sys.stdin:\n    case = json.loads(line)\n    print(json.dumps({answer}))\n"
    program = tmp_path / "engine.py"
    program.write_text(code)
    return f"{sys.executable} {program}"


def test_cases_are_valid_and_varied(script: ModuleType) -> None:
    found = list(script.cases(1, 600))
    assert found == list(script.cases(1, 600)) != list(script.cases(2, 600))
    assert len({c["id"] for c in found}) == 600
    outcomes = Counter(script.ours(c) for c in found)
    assert set(outcomes) == {"Allowed", "ImplicitlyDenied", "ExplicitlyDenied"}
    assert min(outcomes.values()) >= 60
    for case in found:
        for document in case["identity_policies"]:
            PolicyDocument.parse(document)
        if case["resource_policy"]:
            PolicyDocument.parse(case["resource_policy"], kind="repository")


def test_absent_engine_fails_clearly(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--engine", "no-such-engine-here --x", "--count", "3"]) == 2
    assert "no such command: no-such-engine-here" in capsys.readouterr().err


def test_agreement_and_difference(script: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right = tmp_path / "right.json"
    right.write_text(json.dumps({c["id"]: script.ours(c) for c in script.cases(3, 20)}))
    told = f'{{"id": case["id"], "outcome": json.load(open({str(right)!r}))[case["id"]]}}'
    assert script.main(["--engine", engine(tmp_path, told), "--count", "20", "--seed", "3"]) == 0
    wrong = engine(tmp_path, '{"id": case["id"], "outcome": "Allowed"}')
    assert script.main(["--engine", wrong, "--count", "20", "--seed", "3"]) == 1
    assert "the other Allowed" in capsys.readouterr().out


@pytest.mark.parametrize("answer", ['{"id": "x", "outcome": None}', "[1]", 'sys.exit("broken")'])
def test_useless_answers(script: ModuleType, tmp_path: Path, answer: str) -> None:
    assert script.main(["--engine", engine(tmp_path, answer), "--count", "2"]) == 2


def test_an_engine_that_never_tells_proves_nothing(script: ModuleType, tmp_path: Path) -> None:
    silent = engine(tmp_path, '{"id": case["id"], "outcome": None}')
    assert script.main(["--engine", silent, "--count", "2"]) == 1
