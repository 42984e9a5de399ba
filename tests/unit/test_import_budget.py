"""What an import must not load. The time itself is shown by `make bench ONLY=import`; time gates no test."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import ecrkit

HEAVY = {
    "boto3", "botocore", "duckdb", "hypothesis", "matplotlib", "moto", "numpy", "orjson", "pandas", "pyarrow", "pytest",
    "requests", "s3transfer", "tqdm", "urllib3", "werkzeug", "yaml",
}  # fmt: skip


def loaded_by(statement: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter holds after `statement`."""
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "statement",
    [
        "import ecrkit",
        "import ecrkit; dir(ecrkit)",
        "import ecrkit.refs, ecrkit.errors, ecrkit.records, ecrkit.ports",
        "import ecrkit.images",
        "import ecrkit.lifecycle",
        "from ecrkit import ImageRef, Image, Inventory, EcrkitError",
    ],
)
def test_import_loads_neither_boto3_nor_an_extra(statement: str) -> None:
    assert loaded_by(statement) & HEAVY == set()


def test_the_check_would_notice_boto3() -> None:
    assert {"boto3", "botocore"} <= loaded_by("import boto3") & HEAVY


class TestFacade:
    """The names of `ecrkit` load on first use and are found by `dir`."""

    @pytest.mark.parametrize("name", ecrkit.__all__)
    def test_every_name_resolves(self, name: str) -> None:
        assert getattr(ecrkit, name) is getattr(ecrkit, name)

    def test_dir_is_the_public_list(self) -> None:
        assert set(dir(ecrkit)) == set(ecrkit.__all__)

    def test_an_unknown_name_is_an_attribute_error(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'Registri'"):
            _ = ecrkit.Registri  # type: ignore[attr-defined]
