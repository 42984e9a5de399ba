"""Check answers of the embedded ECR against botocore's own shapes, independently of the engine's validation."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any

from botocore.model import Shape

from ecrkit.local import Engine, ServiceFault
from ecrkit.local.validation import service_model

__all__ = ["CheckedEngine", "check_fault", "check_output"]

# Refusals of the front door, which no operation lists.
_COMMON = {
    "ThrottlingException", "UnsupportedOperationException", "UnknownOperationException", "SerializationException",
    "AccessDeniedException",
}  # fmt: skip


def _walk(shape: Shape, value: Any, path: str) -> list[str]:
    kind = shape.type_name
    if kind == "structure":
        if not isinstance(value, Mapping):
            return [f"{path}: {value!r} is no structure"]
        found = [f"{path}.{n} is missing" for n in shape.required_members if n not in value]
        found += [f"{path}.{n} is unknown" for n in value if n not in shape.members]
        found += [f"{path}.{n} is None" for n in value if value[n] is None]
        for n, v in value.items():
            if n in shape.members and v is not None:
                found += _walk(shape.members[n], v, f"{path}.{n}")
        return found
    if kind == "list":
        # Lengths are not compared: the model uses request lists (1 to 100) for answers of any length.
        if not isinstance(value, list):
            return [f"{path}: {value!r} is no list"]
        return [p for n, v in enumerate(value) for p in _walk(shape.member, v, f"{path}[{n}]")]
    if kind == "map":
        return [p for k, v in value.items() for p in _walk(shape.key, k, path) + _walk(shape.value, v, f"{path}.{k}")]
    if kind == "timestamp":
        return [] if isinstance(value, dt.datetime) and value.utcoffset() is not None else [f"{path}: {value!r}"]
    if kind in ("double", "float"):
        return [] if isinstance(value, float | int) and not isinstance(value, bool) else [f"{path}: {value!r}"]
    expected = {"string": str, "integer": int, "long": int, "boolean": bool, "blob": bytes}[kind]
    if not isinstance(value, expected) or (expected is int and isinstance(value, bool)):
        return [f"{path}: {value!r} is no {kind}"]
    limits = shape.metadata
    length = value if expected is int else len(value) if expected in (str, bytes) else 0
    found = []
    if "min" in limits and length < limits["min"]:
        found.append(f"{path}: {value!r:.80} is below {limits['min']}")
    if "max" in limits and length > limits["max"]:
        found.append(f"{path}: {value!r:.80} is above {limits['max']}")
    if "pattern" in limits and not re.fullmatch(limits["pattern"], value):
        found.append(f"{path}: {value!r} does not match {limits['pattern']}")
    if getattr(shape, "enum", None) and value not in shape.enum:
        found.append(f"{path}: {value!r} is not one of {shape.enum}")
    return found


def check_output(operation: str, output: Mapping[str, Any]) -> None:
    """Fail when an output breaks the output shape of the operation."""
    problems = _walk(service_model().operation_model(operation).output_shape, output, operation)
    assert not problems, problems


def check_fault(operation: str, fault: ServiceFault) -> None:
    """Fail when a refusal is none that the operation lists, or carries members that its shape lacks."""
    assert 400 <= fault.status < 500, "clients repeat 5xx"
    if fault.code in _COMMON or operation not in service_model().operation_names:
        return
    shapes = {s.name: s for s in service_model().operation_model(operation).error_shapes}
    assert fault.code in shapes, f"{operation} does not answer {fault.code}"
    assert not _walk(shapes[fault.code], {"message": fault.message, **fault.members}, fault.code)


class CheckedEngine(Engine):
    """An engine whose every answer and refusal is checked against the model."""

    def call(self, operation: str, params: Mapping[str, Any] | None = None, **where: Any) -> dict[str, Any]:
        """Run the operation and check what comes back."""
        try:
            output = super().call(operation, params, **where)
        except ServiceFault as fault:
            check_fault(operation, fault)
            raise
        check_output(operation, output)
        return output
