"""Programs of other projects that some tests drive: found, or skipped with a reason; in CI never skipped."""

from __future__ import annotations

import importlib
import os
import shutil
from types import ModuleType
from typing import NoReturn

import pytest

from ecrkit.local.validation import service_model

__all__ = ["require_module", "require_operation", "require_tool"]


def require_tool(name: str) -> str:
    """Return the path of the program `name`, or skip the test; with ECRKIT_REQUIRE_TOOLS set a miss is a failure."""
    path = shutil.which(name)
    if path is None:
        _missing(f"{name} is not installed")
    return path


def require_module(name: str, *, package: str) -> ModuleType:
    """Return the module `name` of `package`, or skip the test; with ECRKIT_REQUIRE_TOOLS set a miss is a failure."""
    try:
        return importlib.import_module(name)
    except ImportError as fault:
        _missing(f"{package} is not installed", f": {fault}")


def require_operation(name: str) -> None:
    """Go on when the installed botocore knows the operation of ECR, or skip; with ECRKIT_REQUIRE_TOOLS fail."""
    if name not in service_model().operation_names:
        _missing(f"the installed botocore has no {name}")


def _missing(what: str, why: str = "") -> NoReturn:
    if os.environ.get("ECRKIT_REQUIRE_TOOLS"):
        pytest.fail(f"{what}, and ECRKIT_REQUIRE_TOOLS asks for it{why}")
    pytest.skip(what)
