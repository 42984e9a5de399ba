"""The folder of real payloads, when this machine has it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def sample(repo_root: Path) -> Callable[[str], Any]:
    """Read a payload by name; skip the test when the folder is not there."""
    folder = Path(os.environ.get("ECRKIT_SAMPLES") or repo_root.parent / "shared" / "samples") / "scans"

    def read(name: str) -> Any:
        path = folder / f"{name}.json"
        if not path.exists():
            pytest.skip("the folder of sample payloads is not here; name it in ECRKIT_SAMPLES")
        return json.loads(path.read_text())

    return read
