"""Feature tests on the installed service model: what this botocore knows, asked of the model and never of a version.

ECR grows monthly, and an older botocore drops response members it does not know and refuses request members. So
ecrkit asks first, and says which operation or member is missing.
"""

from __future__ import annotations

from typing import Protocol, cast

import botocore
from botocore.model import ServiceModel, Shape

from ecrkit.errors import NotSupportedByBotocore

__all__ = [
    "HasModel",
    "enum_values",
    "has_input",
    "has_member",
    "has_operation",
    "require_input",
    "require_member",
    "require_operation",
    "service_model",
]


class _Meta(Protocol):
    @property
    def service_model(self) -> ServiceModel: ...


class HasModel(Protocol):
    """Anything with a service model: a botocore client."""

    @property
    def meta(self) -> _Meta:
        """The client's metadata."""
        ...


def service_model(client: HasModel) -> ServiceModel:
    """Return the service model of a client."""
    return client.meta.service_model


def _members(shape: Shape | None) -> frozenset[str]:
    # Only structures have members; asking a string shape for them would raise in some versions and not in others.
    return frozenset(getattr(shape, "members", ()) or ())


def has_operation(client: HasModel, operation: str) -> bool:
    """Return whether the installed model has the operation, for example `StartReplicationBackfill`."""
    return operation in service_model(client).operation_names


def has_member(client: HasModel, shape: str, member: str) -> bool:
    """Return whether a structure of the installed model has the member; False when there is no such structure."""
    model = service_model(client)
    return shape in model.shape_names and member in _members(model.shape_for(shape))


def has_input(client: HasModel, operation: str, member: str) -> bool:
    """Return whether the operation exists and takes the request member."""
    if not has_operation(client, operation):
        return False
    return member in _members(service_model(client).operation_model(operation).input_shape)


def enum_values(client: HasModel, shape: str) -> frozenset[str]:
    """Return the enum values of a string shape; empty when the shape is unknown or no enum.

    Values outside it still reach the caller as text: an enum tells what may be sent, never what may be received.
    """
    model = service_model(client)
    if shape not in model.shape_names:
        return frozenset()
    return frozenset(cast("list[str]", getattr(model.shape_for(shape), "enum", ()) or ()))


def require_operation(client: HasModel, operation: str) -> None:
    """Return when the model has the operation.

    Raises:
        NotSupportedByBotocore: it does not.
    """
    if not has_operation(client, operation):
        raise NotSupportedByBotocore(_named(client, operation), installed=botocore.__version__)


def require_input(client: HasModel, operation: str, member: str) -> None:
    """Return when the operation exists and takes the request member.

    Raises:
        NotSupportedByBotocore: it does not.
    """
    require_operation(client, operation)
    if not has_input(client, operation, member):
        raise NotSupportedByBotocore(f"{_named(client, operation)}.{member}", installed=botocore.__version__)


def require_member(client: HasModel, shape: str, member: str) -> None:
    """Return when the structure has the member.

    Call this before rewriting a document that was read: a model that does not know a member drops it silently, so
    the rewrite would delete it.

    Raises:
        NotSupportedByBotocore: it does not.
    """
    if not has_member(client, shape, member):
        raise NotSupportedByBotocore(_named(client, f"{shape}.{member}"), installed=botocore.__version__)


def _named(client: HasModel, what: str) -> str:
    return f"{service_model(client).service_name}:{what}"
