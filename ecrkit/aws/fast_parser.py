"""Parsing the large answers of ECR about ten times faster than botocore does, with the same result.

botocore spends most of its time on timestamps. This parser takes the answer over in the event
`before-parse.ecr.<Operation>`, decodes the JSON (with orjson when it is installed) and walks it with converters that
are compiled from the operation's output shape. Retries, errors, signing and paginators stay botocore's own. The event
is undocumented, though botocore's own handlers use it, so there is a switch, and tests compare both parsers.

Whatever is unusual - a status other than 200, a value of another type than the model says, a number no time can
have - is left alone, and botocore parses it as ever. Times come back in UTC, where botocore gives the local zone; they
are equal.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final

from botocore.client import BaseClient
from botocore.model import OperationModel, Shape

__all__ = ["OPERATIONS", "install", "parse", "uninstall"]

OPERATIONS: Final = ("DescribeImages", "ListImages", "BatchGetImage", "DescribeImageScanFindings")
"""The operations whose answers are large enough to be worth it."""

Converter = Callable[[Any], Any]
_from_timestamp: Final = dt.datetime.fromtimestamp


class _OddError(Exception):
    """The answer is not what the model says; botocore shall parse it."""


def _loads() -> Callable[[bytes], Any]:
    try:
        import orjson
    except ImportError:
        return json.loads
    return orjson.loads


_ID: Final = "ecrkit-fast-parser-%s"


def install(client: BaseClient) -> tuple[str, ...]:
    """Make a client parse its large answers fast; return the operations concerned.

    Only that client changes. Clients of other services, and protocols other than AWS JSON, are left alone.
    """
    model = client.meta.service_model
    if model.service_name != "ecr" or getattr(model, "resolved_protocol", model.metadata.get("protocol")) != "json":
        return ()
    done = []
    loads = _loads()
    for name in OPERATIONS:
        convert = _converter_of(model.operation_model(name)) if name in model.operation_names else None
        if convert is not None:
            client.meta.events.register(
                f"before-parse.ecr.{name}", partial(_take_over, loads, convert), unique_id=_ID % name
            )
            done.append(name)
    return tuple(done)


def uninstall(client: BaseClient) -> None:
    """Give every answer of a client back to botocore's parser."""
    for name in OPERATIONS:
        client.meta.events.unregister(f"before-parse.ecr.{name}", unique_id=_ID % name)


def parse(operation: OperationModel, body: bytes) -> dict[str, Any] | None:
    """Return the parsed answer, or None when it is odd and botocore has to parse it."""
    convert = _converter_of(operation)
    return None if convert is None else _parsed(_loads(), convert, body)


def _take_over(
    loads: Callable[[bytes], Any],
    convert: Converter,
    response_dict: MutableMapping[str, Any],
    customized_response_dict: MutableMapping[str, Any],
    **_: object,
) -> None:
    if response_dict.get("status_code") != 200:
        return
    parsed = _parsed(loads, convert, response_dict["body"])
    if parsed is not None:
        customized_response_dict.update(parsed)
        # botocore now finds an empty object and adds the response metadata to it.
        response_dict["body"] = b"{}"


def _parsed(loads: Callable[[bytes], Any], convert: Converter, body: bytes) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = convert(loads(body))
    except (_OddError, ValueError, TypeError, OverflowError, OSError, RecursionError):
        return None
    return found


# ---- converters, compiled from the shapes; None stands for "as it is"


def _converter_of(operation: OperationModel) -> Converter | None:
    shape = operation.output_shape
    if shape is None or operation.has_streaming_output or operation.has_event_stream_output:
        return None
    try:
        return _compile(shape, {})
    except _OddError:
        return None


def _compile(shape: Shape, under_way: dict[str, Converter]) -> Converter | None:
    kind = shape.type_name
    if kind == "structure":
        return _structure(shape, under_way)
    if kind == "list":
        return _list(_compile(shape.member, under_way))  # type: ignore[attr-defined]
    if kind == "map":
        return _map(_compile(shape.value, under_way))  # type: ignore[attr-defined]
    if kind == "timestamp":
        return _timestamp
    if kind in ("integer", "long"):
        return _integer
    if kind in ("string", "boolean", "float", "double"):
        return None
    raise _OddError(f"no converter for {kind}")


def _structure(shape: Shape, under_way: dict[str, Converter]) -> Converter:
    if getattr(shape, "is_document_type", False) or getattr(shape, "is_tagged_union", False):
        raise _OddError("documents and unions have rules of their own")
    if shape.name in under_way:  # a shape may contain itself
        return under_way[shape.name]
    plan: dict[str, tuple[str, Converter | None]] = {}
    # What has to be looked at when every member is known, stands under its own name and is not null.
    times: list[str] = []
    integers: list[str] = []
    others: list[tuple[str, Converter]] = []

    def convert(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _OddError
        if value.keys() <= names and None not in value.values():
            # The usual case, in place: the decoded object belongs to nobody else, and a new one would cost as much
            # again in allocations and garbage collection.
            for name in times:
                if name in value:
                    value[name] = _timestamp(value[name])
            for name in integers:
                if name in value and type(value[name]) is not int:
                    raise _OddError
            for name, member in others:
                if name in value:
                    value[name] = member(value[name])
            return value
        out = {}
        for wire, raw in value.items():
            if raw is not None and wire in plan:
                name, inner = plan[wire]
                out[name] = raw if inner is None else inner(raw)
        return out

    under_way[shape.name] = convert
    members: Mapping[str, Shape] = shape.members  # type: ignore[attr-defined]
    for name, part in members.items():
        wire, inner = part.serialization.get("name", name), _compile(part, under_way)
        plan[wire] = (name, inner)
        if wire != name or inner is None:
            continue
        if inner is _timestamp:
            times.append(name)
        elif inner is _integer:
            integers.append(name)
        else:
            others.append((name, inner))
    names = frozenset(name for wire, (name, _) in plan.items() if wire == name)
    return convert


def _list(inner: Converter | None) -> Converter:
    def convert(value: Any) -> list[Any]:
        if type(value) is not list:
            raise _OddError
        return value if inner is None else [inner(item) for item in value]

    return convert


def _map(inner: Converter | None) -> Converter:
    def convert(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _OddError
        return value if inner is None else {key: inner(item) for key, item in value.items()}

    def convert_integers(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise _OddError
        for item in value.values():
            if type(item) is not int:
                raise _OddError
        return value

    return convert_integers if inner is _integer else convert


def _timestamp(value: Any) -> dt.datetime:
    # Exact types: a bool is an int, and botocore has its own opinion of it.
    if type(value) is not float and type(value) is not int:
        raise _OddError
    return _from_timestamp(value, dt.UTC)


def _integer(value: Any) -> int:
    # orjson turns an integer past 64 bits into a float, json does not: leave it to botocore.
    if type(value) is not int:
        raise _OddError
    return value
