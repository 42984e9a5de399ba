"""AWS JSON 1.1, both ways: shared by the client hook and the HTTP server."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs
from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from ecrkit._internal import base64_bytes
from ecrkit._internal.times import parse_time
from ecrkit.local.faults import ServiceFault, refuse
from ecrkit.local.validation import service_model

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine

__all__ = ["Answer", "answer", "decode_request", "encode_fault", "encode_response"]

CONTENT_TYPE: Final = "application/x-amz-json-1.1"


@attrs.frozen(kw_only=True)
class Answer:
    """An HTTP answer: status, headers, body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = attrs.field(repr=False)


def answer(
    engine: Engine,
    target: str,
    body: bytes,
    *,
    account: str | None = None,
    region: str | None = None,
    caller: str | None = None,
) -> Answer:
    """Return the HTTP answer to an AWS JSON request; `target` is its `X-Amz-Target` header.

    A refusal is an answer too, with status 400 unless the fault says otherwise: nothing is raised for a bad request.
    """
    prefix, _, operation = target.rpartition(".")
    try:
        model = service_model()
        if prefix != model.metadata["targetPrefix"] or operation not in model.operation_names:
            refuse("UnknownOperationException", f"no operation of ECR: {target or 'no X-Amz-Target header'}")
        shapes = model.operation_model(operation)
        output = engine.call(operation, decode_request(shapes, body), account=account, region=region, caller=caller)
        status, sent = 200, encode_response(output)
    except ServiceFault as fault:
        status, sent = fault.status, encode_fault(fault)
    headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(len(sent)), "x-amzn-RequestId": _request_id(engine)}
    return Answer(status=status, headers=headers, body=sent)


def _request_id(engine: Engine) -> str:
    return f"00000000-0000-4000-8000-{len(engine.calls):012x}"


def decode_request(operation: OperationModel, body: bytes) -> dict[str, Any]:
    """Return the parameters of a request body: blobs as bytes, timestamps as datetimes.

    Raises:
        ServiceFault: SerializationException when the body is no JSON object, or a blob or timestamp is malformed.
    """
    part, body = _part_aside(operation, body)
    try:
        document = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        refuse("SerializationException", "the request body is no JSON")
    if not isinstance(document, dict):
        refuse("SerializationException", "the request body is no JSON object")
    if operation.input_shape is None:
        return {}
    decoded: dict[str, Any] = _decode(operation.input_shape, document)
    if part is not None:
        decoded["layerPartBlob"] = part
    return decoded


_PART: Final = re.compile(rb'"layerPartBlob"\s*:\s*"')
_LARGE: Final = 64 * 1024


def _part_aside(operation: OperationModel, body: bytes) -> tuple[bytes | None, bytes]:
    """Take a large layer part out of a request, so that JSON need not go through it: the part, and the rest.

    Whatever looks unusual stays as it is, and is read the long way.
    """
    if operation.name != "UploadLayerPart" or len(body) < _LARGE:
        return None, body
    key = _PART.search(body)
    end = -1 if key is None else body.find(b'"', key.end())
    if key is None or end < 0 or _PART.search(body, end):
        return None, body
    rest = body[: key.start()] + b'"ecrkit.part":""' + body[end + 1 :]
    try:
        if json.loads(rest).get("ecrkit.part") != "":  # it was no member of the request itself
            return None, body
        return base64_bytes.decode(memoryview(body)[key.end() : end]), rest
    except (ValueError, AttributeError, RecursionError):  # binascii.Error is a ValueError
        return None, body


def _decode(shape: Shape, value: Any) -> Any:
    if value is None:
        return None
    kind = shape.type_name
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {name: _decode(shape.members[name], item) for name, item in value.items() if name in shape.members}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_decode(shape.member, item) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _decode(shape.value, item) for key, item in value.items()}
    if kind == "blob" and isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            refuse("SerializationException", "a blob is not base64")
    if kind == "timestamp":
        try:
            return parse_time(value)
        except ValueError:
            refuse("SerializationException", "a timestamp is malformed")
    return value  # wrong kinds pass: validation names them all


def encode_response(output: Mapping[str, Any]) -> bytes:
    """Return the response body: timestamps as epoch seconds, blobs as base64."""
    return json.dumps(_encode(output), separators=(",", ":")).encode("ascii")


def _encode(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return round(value.timestamp(), 3)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {key: _encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_encode(item) for item in value]
    return value


def encode_fault(fault: ServiceFault) -> bytes:
    """Return the body of a refusal: `__type`, `message` and the members of the error shape."""
    return json.dumps({"__type": fault.code, "message": fault.message, **_encode(fault.members)}).encode()
