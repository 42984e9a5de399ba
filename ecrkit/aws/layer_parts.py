"""Layer parts past botocore's JSON: a part of 10 MiB is put into its request once, and not copied six times over.

botocore makes a text of the base64, checks it, writes it as JSON character by character and encodes that again, which
takes most of the time of an upload. Here the request is made with a small stand-in, and the part takes its place in
the finished body, before it is signed. What is sent is the same, byte for byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from botocore.client import BaseClient

from ecrkit._internal import base64_bytes

__all__ = ["STAND_IN", "part_aside"]

STAND_IN: Final = b"ecrkit: the bytes of this part are put in here"
_ENCODED: Final = b'"' + base64_bytes.encode(STAND_IN) + b'"'
_SMALLEST: Final = 64 * 1024
_part: ContextVar[bytes | None] = ContextVar("ecrkit_layer_part", default=None)


def _put_in(params: dict[str, Any], **_: object) -> None:
    part, body = _part.get(), params.get("body")
    if part is None or not isinstance(body, bytes | str):
        return
    sent = body.encode() if isinstance(body, str) else body
    before, found, after = sent.partition(_ENCODED)
    if found:
        params["body"] = b"".join((before, b'"', base64_bytes.encode(part), b'"', after))


@contextmanager
def part_aside(client: BaseClient, part: bytes) -> Iterator[bytes]:
    """Give what to pass as `layerPartBlob` within the block: the part, or a stand-in for a large one."""
    if len(part) < _SMALLEST:
        yield part
        return
    client.meta.events.register("before-call.ecr.UploadLayerPart", _put_in, unique_id="ecrkit-layer-part")
    token = _part.set(part)
    try:
        yield STAND_IN
    finally:
        _part.reset(token)
