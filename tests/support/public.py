"""The modules of ecrkit, found by walking the package, and which of them are public."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import ecrkit

__all__ = ["all_modules", "public_modules"]


def all_modules() -> list[ModuleType]:
    """Return every module that can be imported without running a program, sorted by name."""
    found = [m.name for m in pkgutil.walk_packages(ecrkit.__path__, "ecrkit.")]
    return [importlib.import_module(n) for n in sorted(["ecrkit", *found]) if not n.endswith(".__main__")]


def public_modules() -> list[ModuleType]:
    """Return the modules whose dotted name has no part that begins with an underscore."""
    return [m for m in all_modules() if not any(part.startswith("_") for part in m.__name__.split("."))]
