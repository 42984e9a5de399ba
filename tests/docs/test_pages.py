"""Every code block and every example of the documentation runs; generated pages are up to date."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))
SNIPPET = re.compile(r'--8<-- "([^":]+)')


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_blocks_run(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    document = Sybil(parsers=[PythonCodeBlockParser()]).parse(page)
    monkeypatch.chdir(tmp_path)
    for example in document:
        if not str(example.parsed).lstrip().startswith("--8<--"):  # the included file has its own test below
            example.evaluate()


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_example_runs_without_warnings(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning:botocore", str(example)],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_every_example_is_shown_on_a_page_and_every_snippet_exists() -> None:
    shown = {found for page in PAGES for found in SNIPPET.findall(page.read_text(encoding="utf-8"))}
    assert shown == {e.name for e in EXAMPLES}


def test_generated_pages_are_up_to_date() -> None:
    """Every public module has its page, and the tables say what the code says."""
    done = subprocess.run(
        [sys.executable, str(DOCS / "gen_pages.py"), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_broken_block_would_be_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nassert 1 + 1 == 3\n```\n", encoding="utf-8")
    (example,) = Sybil(parsers=[PythonCodeBlockParser()]).parse(page)
    with pytest.raises(AssertionError):
        example.evaluate()
