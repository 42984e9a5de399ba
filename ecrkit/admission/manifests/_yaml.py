"""YAML text of JSON-like documents, without a dependency: block mappings, literal blocks for several lines.

A text stands without quotes only where no YAML version could take it for anything but this text; any other is written
as JSON, which YAML 1.2 contains. Source: YAML 1.2.2, chapters 7 and 8, and the types of YAML 1.1.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*(?:[ :][A-Za-z0-9_./-]+)*")
# Words that YAML 1.1 takes for booleans or nothing, whatever their case.
_WORDS: Final = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan", "inf"})
_HIDDEN: Final = re.compile(r"[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_PRINTABLE: Final = re.compile(r"[\t\n\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd]*")


def yaml_text(document: Mapping[str, Any]) -> str:
    """Return the document as YAML, with a newline at its end."""
    return "\n".join(_mapping(document, 0)) + "\n"


def _scalar(value: object) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    # Characters that YAML takes for line breaks or refuses are escaped; a pair of surrogates would not be joined again.
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def _block(value: object) -> bool:
    """Return whether a text can stand as a literal block: several lines, one newline at the end, nothing hidden."""
    if not isinstance(value, str) or "\n" not in value or not _PRINTABLE.fullmatch(value):
        return False
    lines = value.split("\n")
    clean = all(line == line.rstrip() for line in lines)
    return clean and not lines[0].startswith(" ") and lines[0] != "" and not value.endswith("\n\n")


def _mapping(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for key, item in value.items():
        yield from _entry(f"{indent}{_scalar(key)}:", item, depth)


def _entry(head: str, item: object, depth: int) -> Iterator[str]:
    if isinstance(item, Mapping) and item:
        yield head
        yield from _mapping(item, depth + 1)
    elif isinstance(item, list | tuple) and item:
        yield head
        yield from _sequence(item, depth)
    elif isinstance(item, str) and _block(item):
        yield f"{head} {'|' if item.endswith(chr(10)) else '|-'}"
        yield from ("  " * (depth + 1) + line if line else "" for line in item.removesuffix("\n").split("\n"))
    else:
        yield f"{head} {_scalar(item)}"


def _sequence(items: list[Any] | tuple[Any, ...], depth: int) -> Iterator[str]:
    indent = "  " * depth
    for item in items:
        if isinstance(item, Mapping) and item:
            # The first key follows the dash; the others stand below it.
            lines = list(_mapping(item, depth + 1))
            yield f"{indent}- {lines[0].lstrip(' ')}"
            yield from lines[1:]
        elif isinstance(item, list | tuple) and item:
            yield f"{indent}-"
            yield from _sequence(item, depth + 1)
        else:
            yield from _entry(f"{indent}-", item, depth)
