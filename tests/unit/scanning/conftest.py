"""The folder of real payloads, when this machine has it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.samples import sample_text


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Any]:
    """Read a payload by name; skip the test when the folder is not there."""
    return lambda name: json.loads(sample_text("scans", f"{name}.json"))
