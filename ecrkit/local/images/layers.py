"""Layers: a tar archive in a gzip frame, both written byte by byte, so that the same files always give the same digest.

Formats: POSIX ustar with pax headers for long or non-ASCII paths (as the OCI image-spec, layer, asks for), RFC 1952
(gzip) and RFC 1951 (deflate, stored blocks).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Collection, Mapping
from typing import Final

import attrs

from ecrkit.errors import InvalidInput, Problem

__all__ = ["Layer", "filler", "layer"]

_BLOCK: Final = 512
_STORED: Final = 65_535  # the longest stored block of deflate
_END: Final = bytes(2 * _BLOCK)  # two empty blocks end an archive
_OVERHEAD: Final = 18  # of a gzip frame without optional fields
_EXTRA: Final = 6  # the smallest extra field: its length, an id of two bytes, the length of its content
_MAX_SIZE: Final = 8**11 - 1  # what the size field of a ustar header holds


def sha256(data: bytes) -> str:
    """Return the digest of the bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


@attrs.frozen(kw_only=True)
class Layer:
    """One layer: the gzip bytes in `data`, their `digest`, and the `diff_id`, which is the digest of the tar inside.

    `created_by` becomes the layer's line in the history of an image.
    """

    digest: str
    diff_id: str
    data: bytes = attrs.field(repr=False)
    created_by: str = ""

    @property
    def size(self) -> int:
        """The bytes that the layer takes in a registry."""
        return len(self.data)


def layer(
    files: Mapping[str, bytes | str],
    *,
    executable: Collection[str] = (),
    compress: bool = False,
    created_by: str = "",
) -> Layer:
    """Return the layer that holds these files, whose owner is root and whose time is 1970-01-01.

    The order of `files` makes no difference, and parent folders come by themselves. As the OCI image-spec has it, an
    empty file `.wh.NAME` removes NAME of the layers below.

    Args:
        files: content by path, relative to the root of the image; text is written as UTF-8.
        executable: those of the paths whose mode is 0755 instead of 0644.
        compress: deflate the archive. By default it is stored, because what a compressor writes depends on the zlib
            that Python was built with: a compressed layer may have another digest on another machine (its `diff_id`
            stays the same).
        created_by: the command to name in the history; `COPY` and the paths unless given.

    Raises:
        InvalidInput: a path is absolute, empty, leaves the root, or is a file and a folder at once.

    Example:
        >>> one = layer({"app/main.py": "print('hello')", "etc/version": "1.0"})
        >>> one.digest == layer({"etc/version": "1.0", "app/main.py": "print('hello')"}).digest
        True
        >>> one.created_by
        'COPY app/main.py etc/version /'
    """
    content = {path: text.encode() if isinstance(text, str) else bytes(text) for path, text in files.items()}
    problems = _problems(content, executable)
    if problems:
        raise InvalidInput("not the files of a layer", problems)
    archive = _tar(content, frozenset(executable))
    listed = sorted(content)
    named = created_by or "COPY " + " ".join([*listed[:3], *(["..."] if len(listed) > 3 else []), "/"])
    return Layer(
        digest=sha256(data := _deflated(archive) if compress else _stored(archive)),
        diff_id=sha256(archive),
        data=data,
        created_by=named,
    )


def filler(size: int, *, seed: str = "", created_by: str = "") -> Layer:
    """Return a layer of exactly `size` bytes, whose one file repeats a short pattern that `seed` decides.

    It is a real layer that registries and tools take, for images whose size counts and whose content does not.

    Raises:
        InvalidInput: `size` is less than 4,096 bytes or more than 1 GiB.

    Example:
        >>> filler(50_000, seed="base").size
        50000
    """
    if not 4_096 <= size <= 2**30:
        raise InvalidInput.single("not a layer to make", "size", f"must be 4096 bytes to 1 GiB, not {size}")
    pattern = hashlib.sha256(f"filler {seed}".encode()).digest()
    name = f"opt/filler/{pattern.hex()[:12]}"
    length = size - len(_stored(_tar({name: b""}, frozenset())))
    # The tar grows in blocks and the frame in stored blocks; an extra field of the gzip header makes up the rest.
    length -= length % _BLOCK
    while True:
        content = (pattern * (length // len(pattern) + 1))[:length]
        archive = _tar({name: content}, frozenset())
        missing = size - _frame_size(len(archive))
        if missing == 0 or missing >= _EXTRA:
            break
        length -= _BLOCK
    data = _stored(archive, extra=missing)
    return Layer(
        digest=sha256(data),
        diff_id=sha256(archive),
        data=data,
        created_by=created_by or f"RUN make-filler --bytes={size} --seed={seed or 'none'}",
    )


# -- tar ----------------------------------------------------------------------------------------------------------


def _problems(content: Mapping[str, bytes], executable: Collection[str]) -> list[Problem]:
    if not content:
        return [Problem("files", "must name at least one file")]
    found: list[Problem] = []
    for path, data in content.items():
        parts = path.split("/")
        if any(part in ("", ".", "..") for part in parts) or "\0" in path:
            found.append(Problem(f"files[{path!r}]", "must be a path relative to the root, without '.', '..' and NUL"))
        elif any("/".join(parts[:n]) in content for n in range(1, len(parts))):
            found.append(Problem(f"files[{path!r}]", "lies in a folder that is a file as well"))
        if len(data) > _MAX_SIZE:
            found.append(Problem(f"files[{path!r}]", "is larger than 8 GiB"))
    found += [Problem("executable", f"{path!r} is none of the files") for path in executable if path not in content]
    return found


def _octal(value: int, width: int) -> bytes:
    return f"{value:0{width - 1}o}".encode() + b"\0"


def _header(name: bytes, prefix: bytes, size: int, mode: int, kind: bytes) -> bytes:
    fields = [
        name.ljust(100, b"\0"), _octal(mode, 8), _octal(0, 8), _octal(0, 8), _octal(size, 12), _octal(0, 12),
        b" " * 8, kind, bytes(100), b"ustar\0", b"00", bytes(32), bytes(32), _octal(0, 8), _octal(0, 8),
        prefix.ljust(155, b"\0"), bytes(12),
    ]  # fmt: skip
    raw = b"".join(fields)
    return raw[:148] + f"{sum(raw):06o}".encode() + b"\0 " + raw[156:]


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _BLOCK)


def _split(name: bytes) -> tuple[bytes, bytes] | None:
    """Return the name and prefix fields of an ASCII path, or None when they cannot hold it."""
    if not name.isascii():
        return None
    if len(name) <= 100:
        return name, b""
    for at in range(min(155, len(name) - 2), 0, -1):
        if name[at : at + 1] == b"/" and len(name) - at - 1 <= 100:
            return name[at + 1 :], name[:at]
    return None


def _entry(path: str, data: bytes, mode: int, kind: bytes) -> bytes:
    name = path.encode("utf-8", "surrogateescape")
    fields = _split(name)
    if fields is not None:
        return _header(*fields, len(data), mode, kind) + _padded(data)
    body = b" path=" + name + b"\n"
    length = len(body) + len(str(len(body)))
    length = len(body) + len(str(length))  # the length counts its own digits
    record = str(length).encode() + body
    short = hashlib.sha256(name).hexdigest()[:32].encode()
    return (
        _header(b"PaxHeaders/" + short, b"", len(record), 0o644, b"x")
        + _padded(record)
        + _header(short, b"", len(data), mode, kind)
        + _padded(data)
    )


def _tar(content: Mapping[str, bytes], executable: frozenset[str]) -> bytes:
    folders = {"/".join(path.split("/")[:n]) + "/" for path in content for n in range(1, path.count("/") + 1)}
    entries: list[bytes] = []
    for path in sorted([*folders, *content]):
        if path in folders:
            entries.append(_entry(path, b"", 0o755, b"5"))
        else:
            entries.append(_entry(path, content[path], 0o755 if path in executable else 0o644, b"0"))
    return b"".join(entries) + _END


# -- gzip ---------------------------------------------------------------------------------------------------------


def _frame(body: bytes, plain: bytes, extra: int = 0) -> bytes:
    # No name, no time, no operating system: nothing that differs from machine to machine.
    head = b"\x1f\x8b\x08" + (b"\x04" if extra else b"\0") + bytes(4) + b"\0\xff"
    field = struct.pack("<H2sH", extra - 2, b"ek", extra - _EXTRA) + bytes(extra - _EXTRA) if extra else b""
    return head + field + body + struct.pack("<II", zlib.crc32(plain), len(plain) & 0xFFFFFFFF)


def _frame_size(length: int) -> int:
    return _OVERHEAD + length + 5 * max(1, -(-length // _STORED))


def _stored(plain: bytes, extra: int = 0) -> bytes:
    parts: list[bytes] = []
    for start in range(0, len(plain), _STORED):
        block = plain[start : start + _STORED]
        last = start + _STORED >= len(plain)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ 0xFFFF), block]
    return _frame(b"".join(parts), plain, extra)


def _deflated(plain: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return _frame(packer.compress(plain) + packer.flush(), plain)
