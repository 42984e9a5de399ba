"""`Registry`: one object that wires the gateways to the domains, and adds nothing of its own.

`connection` reaches a registry and reads what it holds, `registry` adds the domains.
"""

from ecrkit.client.connection import Connection, WhichManifests
from ecrkit.client.registry import Registry

__all__ = ["Connection", "Registry", "WhichManifests"]
