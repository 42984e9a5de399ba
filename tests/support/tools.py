"""Programs of other projects that some tests drive: found, or skipped with a reason; in CI never skipped."""

from __future__ import annotations

import importlib
import os
import shutil
from types import ModuleType

import pytest

__all__ = ["require_module", "require_tool"]


def require_tool(name: str) -> str:
    """Return the path of the program `name`, or skip the test; with ECRKIT_REQUIRE_TOOLS set a miss is a failure."""
    path = shutil.which(name)
    if path is not None:
        return path
    if os.environ.get("ECRKIT_REQUIRE_TOOLS"):
        pytest.fail(f"{name} is not installed, and ECRKIT_REQUIRE_TOOLS asks for it")
    pytest.skip(f"{name} is not installed")


def require_module(name: str, *, package: str) -> ModuleType:
    """Return the module `name` of `package`, or skip the test; with ECRKIT_REQUIRE_TOOLS set a miss is a failure."""
    try:
        return importlib.import_module(name)
    except ImportError as fault:
        if os.environ.get("ECRKIT_REQUIRE_TOOLS"):
            pytest.fail(f"{package} is not installed, and ECRKIT_REQUIRE_TOOLS asks for it: {fault}")
        pytest.skip(f"{package} is not installed")
