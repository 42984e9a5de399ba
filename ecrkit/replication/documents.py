"""Both sides' policies of replication between accounts, made by whoever knows policies."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.replication.configuration import Destination

__all__ = ["CrossAccountPair", "Documents"]


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class CrossAccountPair(Record):
    """What two accounts need: whoever configures the source, and the registry policy of the destination.

    `prefixes` are the beginnings of the repository names that go there; none means every repository.
    """

    source: Destination
    destination: Destination
    prefixes: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    source_identity: Mapping[str, Any] = attrs.field(factory=dict, hash=False)
    destination_registry: Mapping[str, Any] = attrs.field(factory=dict, hash=False)


Documents: TypeAlias = Callable[
    [Destination, Destination, tuple[str, ...]], tuple[Mapping[str, Any], Mapping[str, Any]]
]
"""Given source, destination and name prefixes: the source's identity policy and the destination's registry policy."""
