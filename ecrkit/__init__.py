"""ecrkit: Amazon ECR as used with EKS, typed.

The names below load on first use, so `import ecrkit` imports neither boto3 nor any optional package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ecrkit._version import __version__

if TYPE_CHECKING:
    from ecrkit.client import Registry
    from ecrkit.errors import EcrkitError
    from ecrkit.images import Inventory
    from ecrkit.lifecycle import LifecyclePolicy
    from ecrkit.records import Image, Repository
    from ecrkit.refs import ImageRef

_HOMES = {
    "EcrkitError": "ecrkit.errors",
    "Image": "ecrkit.records",
    "ImageRef": "ecrkit.refs",
    "Inventory": "ecrkit.images",
    "LifecyclePolicy": "ecrkit.lifecycle",
    "Registry": "ecrkit.client",
    "Repository": "ecrkit.records",
}

__all__ = [
    "EcrkitError",
    "Image",
    "ImageRef",
    "Inventory",
    "LifecyclePolicy",
    "Registry",
    "Repository",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'ecrkit' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
