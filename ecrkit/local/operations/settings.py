"""Settings of a registry: account settings, its description."""

# ruff: noqa: ARG001  every handler has the same signature, whether it needs the engine or not

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Final

from ecrkit.local.faults import refuse

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = ["OPERATIONS"]

_VALUES: Final = {
    "BASIC_SCAN_TYPE_VERSION": ("AWS_NATIVE",),
    "BLOB_MOUNTING": ("ENABLED", "DISABLED"),
    "REGISTRY_POLICY_SCOPE": ("V2",),
}


def _known(name: str) -> tuple[str, ...]:
    if name not in _VALUES:
        refuse("ValidationException", f"unknown account setting {name}; known are {', '.join(sorted(_VALUES))}")
    return _VALUES[name]


def put_account_setting(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Sets BASIC_SCAN_TYPE_VERSION, BLOB_MOUNTING or REGISTRY_POLICY_SCOPE."""
    name, value = params["name"], params["value"]
    allowed = _known(name)
    if value not in allowed:
        refuse("ValidationException", f"account setting {name} takes {' or '.join(allowed)}, not {value}")
    registry.settings[name] = value
    return {"name": name, "value": value}


def get_account_setting(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Returns an account setting; blob mounting is off and the policy scope V2 until set."""
    _known(params["name"])
    return {"name": params["name"], "value": registry.settings[params["name"]]}


def describe_registry(engine: Engine, registry: RegistryState, params: dict[str, Any]) -> dict[str, Any]:
    """Describes the registry with its replication configuration."""
    return {"registryId": registry.account, "replicationConfiguration": copy.deepcopy(registry.replication)}


OPERATIONS = {
    "DescribeRegistry": describe_registry,
    "GetAccountSetting": get_account_setting,
    "PutAccountSetting": put_account_setting,
}
