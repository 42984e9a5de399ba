"""Request validation from botocore's ECR service model: what the client leaves to the service.

botocore checks required members, types and minimum lengths; maximum, pattern and enum are the service's. All of them
are checked here, from the shapes of the installed model, so that a newer model validates its newer members.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Mapping
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, OperationModel, ServiceModel, Shape, StructureShape

from ecrkit.errors import Problem
from ecrkit.local.faults import ServiceFault

__all__ = ["problems_of", "service_model", "validate_request"]


@functools.cache
def service_model() -> ServiceModel:
    """Return the ECR model of the installed botocore."""
    return botocore.session.Session().get_service_model("ecr")


_LINEAR = {
    # The model's pattern of scanning filters takes minutes for 25 characters that do not match; this one says the same.
    r"^[a-z0-9*](?:[._\-/a-z0-9*]?[a-z0-9*]+)*$": r"[a-z0-9*]+(?:[._\-/][a-z0-9*]+)*",
}


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(_LINEAR.get(text, text))


def problems_of(shape: Shape, value: object, path: str = "") -> list[Problem]:
    """Return every way in which `value` breaks the shape: required, type, length, range, pattern, enum."""
    if isinstance(shape, StructureShape):
        if not isinstance(value, Mapping):
            return [Problem(path, "must be a structure")]
        found = [
            Problem(f"{path}.{name}".lstrip("."), "Member must not be null")
            for name in shape.required_members
            if value.get(name) is None
        ]
        for name, member in shape.members.items():
            if value.get(name) is not None:
                found += problems_of(member, value[name], f"{path}.{name}".lstrip("."))
        return found
    if isinstance(shape, ListShape):
        if not isinstance(value, list | tuple):
            return [Problem(path, "must be a list")]
        found = _size(shape, len(value), path)
        if not found:
            for number, item in enumerate(value):
                found += problems_of(shape.member, item, f"{path}.{number + 1}.member")
        return found
    if isinstance(shape, MapShape):
        if not isinstance(value, Mapping):
            return [Problem(path, "must be a map")]
        found = []
        for key, item in value.items():
            found += problems_of(shape.key, key, f"{path}.key") + problems_of(shape.value, item, f"{path}.{key}")
        return found
    return _scalar(shape, shape.type_name, value, path)


def _scalar(shape: Shape, kind: str, value: object, path: str) -> list[Problem]:
    if kind == "string":
        return _text(shape, value, path) if isinstance(value, str) else [Problem(path, "must be a string")]
    if kind == "blob":
        if isinstance(value, bytes | bytearray):
            return _size(shape, len(value), path)
        return [Problem(path, "must be a blob")]
    if kind in ("integer", "long"):
        if not isinstance(value, int) or isinstance(value, bool):
            return [Problem(path, "must be an integer")]
        return _range(shape, value, path)
    if kind in ("double", "float"):
        return (
            []
            if isinstance(value, int | float) and not isinstance(value, bool)
            else [Problem(path, "must be a number")]
        )
    if kind == "boolean":
        return [] if isinstance(value, bool) else [Problem(path, "must be a boolean")]
    if kind == "timestamp":
        return [] if isinstance(value, dt.datetime) else [Problem(path, "must be a timestamp")]
    raise AssertionError(f"unknown kind of shape: {kind}")


def _size(shape: Shape, length: int, path: str) -> list[Problem]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and length < least:
        return [Problem(path, f"Member must have length greater than or equal to {least}")]
    if most is not None and length > most:
        return [Problem(path, f"Member must have length less than or equal to {most}")]
    return []


def _range(shape: Shape, value: int, path: str) -> list[Problem]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if least is not None and value < least:
        return [Problem(path, f"Member must have value greater than or equal to {least}")]
    if most is not None and value > most:
        return [Problem(path, f"Member must have value less than or equal to {most}")]
    return []


def _text(shape: Shape, value: str, path: str) -> list[Problem]:
    found = _size(shape, len(value), path)
    if found:
        return found  # a text of the wrong length is not worth matching, and could be endless
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not _pattern(pattern).fullmatch(value):
        found.append(Problem(path, f"must satisfy regular expression '{pattern}'"))
    allowed = getattr(shape, "enum", None)
    if allowed and value not in allowed:
        found.append(Problem(path, f"Member must satisfy enum value set: [{', '.join(allowed)}]"))
    return found


def validate_request(operation: OperationModel, params: Mapping[str, Any]) -> None:
    """Refuse a request that breaks the model; the fault names every problem.

    Raises:
        ServiceFault: InvalidParameterException, or ValidationException for an operation that lacks it.
    """
    if operation.input_shape is None:
        return
    problems = problems_of(operation.input_shape, params)
    if not problems:
        return
    codes = {shape.name for shape in operation.error_shapes}
    code = "ValidationException" if codes and "InvalidParameterException" not in codes else "InvalidParameterException"
    message = "; ".join(
        f"Invalid parameter at '{p.path}' failed to satisfy constraint: '{p.message}'" for p in problems
    )
    raise ServiceFault(code, message)
