"""Base64 of large byte strings: by pybase64 where it is installed, which is many times faster, else by Python's own."""

from __future__ import annotations

import binascii
from importlib import import_module
from types import ModuleType

__all__ = ["accelerated", "decode", "encode"]

_fast: ModuleType | None
try:
    _fast = import_module("pybase64")
except ImportError:  # the extra "fast" is not installed
    _fast = None


def accelerated() -> bool:
    """Return whether pybase64 does the work."""
    return _fast is not None


def encode(data: bytes) -> bytes:
    """Return the base64 text of the bytes, without line breaks.

    Example:
        >>> encode(b"layer")
        b'bGF5ZXI='
    """
    return binascii.b2a_base64(data, newline=False) if _fast is None else bytes(_fast.b64encode(data))


def decode(text: bytes | memoryview) -> bytes:
    """Return the bytes of a base64 text, which must be nothing else.

    Raises:
        ValueError: other characters, or wrong padding.

    Example:
        >>> decode(b"bGF5ZXI=")
        b'layer'
    """
    if _fast is None:
        return binascii.a2b_base64(text, strict_mode=True)
    return bytes(_fast.b64decode(text, validate=True))
