"""The embedded ECR: a content-addressed registry in memory that answers ordinary clients.

Example:
    >>> from ecrkit.local import Engine, client
    >>> engine = Engine()
    >>> ecr = client(engine)
    >>> ecr.create_repository(repositoryName="app")["repository"]["repositoryArn"]
    'arn:aws:ecr:us-east-1:123456789012:repository/app'
    >>> [call.operation for call in engine.calls]
    ['CreateRepository']
"""

from __future__ import annotations

from ecrkit.local.clock import DEFAULT_START, ManualClock
from ecrkit.local.enforcement import Enforcement, LocalPrincipal
from ecrkit.local.engine import Engine, Limits, OperationState, Timings, operation_table
from ecrkit.local.events import (
    Call,
    Event,
    ImageDeleted,
    ImagePushed,
    ImageReplicated,
    ImageScanned,
    InspectorScanned,
    LifecycleAction,
    LifecycleFailure,
    LifecyclePolicyExecuted,
    StorageClassUpdated,
)
from ecrkit.local.faults import ServiceFault
from ecrkit.local.hook import attach, client
from ecrkit.local.registry import RegistryState
from ecrkit.local.server import LocalServer, serve
from ecrkit.local.throttle import throttle

__all__ = [
    "DEFAULT_START",
    "Call",
    "Enforcement",
    "Engine",
    "Event",
    "ImageDeleted",
    "ImagePushed",
    "ImageReplicated",
    "ImageScanned",
    "InspectorScanned",
    "LifecycleAction",
    "LifecycleFailure",
    "LifecyclePolicyExecuted",
    "Limits",
    "LocalPrincipal",
    "LocalServer",
    "ManualClock",
    "OperationState",
    "RegistryState",
    "ServiceFault",
    "StorageClassUpdated",
    "Timings",
    "attach",
    "client",
    "operation_table",
    "serve",
    "throttle",
]
