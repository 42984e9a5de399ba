"""The built packages hold what they should, and the project's files keep their promises."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def names_of(requirements: list[str]) -> set[str]:
    """Return the package names of requirement lines."""
    return {re.split(r"[^A-Za-z0-9._-]", r, maxsplit=1)[0] for r in requirements}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheel and the sdist of this checkout."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", str(folder)], cwd=ROOT, check=True, capture_output=True
    )
    return folder


class TestWheel:
    def test_it_holds_the_package_and_nothing_else(self, built: Path) -> None:
        with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
            names = wheel.namelist()
        assert "ecrkit/py.typed" in names
        assert {n.partition("/")[0] for n in names} - {"ecrkit"} == {
            n for n in {p.partition("/")[0] for p in names} if n.endswith(".dist-info")
        }
        assert [n for n in names if "test_" in n or n.endswith(".pyc")] == []

    def test_it_holds_every_module(self, built: Path) -> None:
        with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
            packed = {n for n in wheel.namelist() if n.endswith(".py")}
        assert packed == {p.relative_to(ROOT).as_posix() for p in (ROOT / "ecrkit").rglob("*.py")}


class TestSdist:
    def test_it_holds_what_the_suite_needs_and_nothing_stray(self, built: Path) -> None:
        with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
            tops = {n.split("/")[1] for n in sdist.getnames() if "/" in n}
        assert tops == {
            "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "PKG-INFO", "README.md", "benchmarks", "docs", "ecrkit",
            "mkdocs.yml", "pyproject.toml", "requirements", "scripts", "tests", ".gitignore",
        }  # fmt: skip


class TestDependencies:
    """Four core dependencies, six extras; each line of development tools has a reason beside it."""

    def test_core(self) -> None:
        assert names_of(PROJECT["project"]["dependencies"]) == {"boto3", "botocore", "attrs", "typing-extensions"}

    def test_extras(self) -> None:
        extras = PROJECT["project"]["optional-dependencies"]
        assert {k: names_of(v) for k, v in extras.items()} == {
            "testing": {"moto", "hypothesis", "pytest"},
            "notebook": {"pandas", "matplotlib", "tqdm"},
            "arrow": {"pyarrow"},
            "admission": {"cheroot", "prometheus-client"},
            "gitops": {"ruamel.yaml"},
            "fast": {"orjson", "pybase64"},
        }

    def test_every_core_dependency_is_imported(self) -> None:
        source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "ecrkit").rglob("*.py"))
        for module in ("boto3", "botocore", "attrs", "typing_extensions"):
            assert re.search(rf"^\s*(?:import|from) {module}\b", source, re.MULTILINE), module

    def test_the_compiled_requirements_name_no_host(self) -> None:
        text = (ROOT / "requirements" / "dev.txt").read_text(encoding="utf-8")
        assert "://" not in text and "--" not in text

    def test_the_compiled_requirements_cover_every_declared_package(self) -> None:
        pinned = {
            line.partition("==")[0].replace(".", "-")
            for line in (ROOT / "requirements" / "dev.txt").read_text().split("\n")
        }
        groups = [*PROJECT["project"]["optional-dependencies"].values(), *PROJECT["dependency-groups"].values()]
        declared = names_of([r for g in groups for r in g] + PROJECT["project"]["dependencies"])
        assert {d.lower().replace(".", "-") for d in declared} - pinned == set()


class TestVersion:
    def test_the_changelog_has_a_section_for_what_comes_and_the_version_is_one(self) -> None:
        assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        from ecrkit import __version__

        assert re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc)\d+)?", __version__)


class TestReadme:
    def test_the_two_commands_come_first(self) -> None:
        readme = (ROOT / "README.md").read_text(encoding="utf-8")
        assert 0 < readme.index("make demo") < 1500 and 0 < readme.index("make test") < 1500
