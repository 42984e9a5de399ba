"""The operations, one module per topic. A module of this folder with an `OPERATIONS` table is found by itself.

A module may also have `REACTIONS`, which are told every event: how a push starts a scan.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.events import Event
    from ecrkit.local.registry import RegistryState

__all__ = ["Handler", "Reaction", "handlers", "reactions"]

Handler: TypeAlias = "Callable[[Engine, RegistryState, dict[str, Any]], dict[str, Any]]"
"""Runs one operation on a registry: validated parameters in, output out; raises `ServiceFault`."""

Reaction: TypeAlias = "Callable[[Engine, Event], None]"
"""Does what ECR does by itself after an event; runs while the engine's lock is held."""


@functools.cache
def reactions() -> tuple[Reaction, ...]:
    """Return what the modules of this folder do after an event, in the order of the modules' names."""
    found: list[Reaction] = []
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        found += getattr(importlib.import_module(f"{__name__}.{module.name}"), "REACTIONS", ())
    return tuple(found)


@functools.cache
def handlers() -> Mapping[str, Handler]:
    """Return every operation that a module of this folder brings.

    Raises:
        RuntimeError: two modules bring the same operation.
    """
    found: dict[str, Handler] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda m: m.name):
        table: Mapping[str, Handler] = getattr(importlib.import_module(f"{__name__}.{module.name}"), "OPERATIONS", {})
        twice = found.keys() & table.keys()
        if twice:
            raise RuntimeError(f"several modules bring {sorted(twice)}")
        found.update(table)
    return found
