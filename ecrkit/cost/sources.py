"""Where the cost functions take repositories from: inventories, or what reads them where the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor
from typing import TypeVar, cast

from ecrkit._internal.executors import map_chunks
from ecrkit.errors import InvalidInput
from ecrkit.images.inventory import Inventory

__all__ = ["Inventories", "Source", "each_chunk", "named_sources", "read"]

R = TypeVar("R")

Source = Inventory | None | Callable[[], "Inventory | None"]
"""A repository's inventory, what returns it (picklable for an executor of processes), or None: it could not be read."""

Inventories = Inventory | Mapping[str, Source] | Iterable[Inventory] | Iterable[tuple[str, Source]]
"""One repository, several by name, pairs of name and source as a snapshot's `inventories()` yields them, or inventories
that know their names. An iterable is walked once, as the work goes on."""

_CHUNK = 32


def named_sources(inventories: Inventories) -> Iterator[tuple[str, Source]]:
    """Yield each repository's name and source.

    Raises:
        InvalidInput: when walked, and a name comes twice.
    """
    if isinstance(inventories, Inventory):
        yield inventories.repository, inventories
        return
    if isinstance(inventories, Mapping):
        yield from cast("Mapping[str, Source]", inventories).items()
        return
    seen: set[str] = set()
    for item in inventories:
        name, source = item if isinstance(item, tuple) else (item.repository, item)
        if name in seen:
            message = f"{name or 'a repository without a name'} is there twice; give a mapping from names"
            raise InvalidInput.single("not different repositories", "inventories", message)
        seen.add(name)
        yield name, source


def read(source: Source) -> Inventory | None:
    """Return the inventory, or None when it could not be read."""
    return source() if callable(source) else source


def each_chunk(
    work: Callable[[list[tuple[str, Source]]], list[R]], inventories: Inventories, executor: Executor | None
) -> Iterator[R]:
    """Yield `work` of every repository, in their order, here or on the executor."""
    for results in map_chunks(work, named_sources(inventories), executor=executor, size=_CHUNK):
        yield from results
