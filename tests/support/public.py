"""Which modules and names of ecrkit are public, found by walking the package."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

import ecrkit

__all__ = ["public_modules"]


def public_modules() -> list[ModuleType]:
    """Return every module whose dotted name has no part that begins with an underscore, sorted by name."""
    names = ["ecrkit"]
    for found in pkgutil.walk_packages(ecrkit.__path__, "ecrkit."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            names.append(found.name)
    return [importlib.import_module(n) for n in sorted(names)]
