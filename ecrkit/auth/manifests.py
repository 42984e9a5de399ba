"""What every builder here returns: a document, and beside it when it stops working and what to use instead."""

from __future__ import annotations

import copy
import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso
from ecrkit.auth.tokens import Token
from ecrkit.errors import InvalidInput, Problem

__all__ = ["Advice", "Manifest"]

_LABEL: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
EXPIRES_AT: Final = "ecrkit/expires-at"
REFRESH_AT: Final = "ecrkit/refresh-at"


@attrs.frozen(kw_only=True)
class Advice(Record):
    """When a document stops working, and what to use instead.

    `stops_at` and `refresh_at` are set when the document holds a token; one that obtains tokens itself has none.
    `warnings` name what is likely to go wrong with this very document.
    """

    stops_working: str
    instead: str
    stops_at: dt.datetime | None = None
    refresh_at: dt.datetime | None = None
    warnings: tuple[str, ...] = ()

    def explain(self) -> str:
        """Return it in sentences."""
        return " ".join([self.stops_working, self.instead, *(f"Warning: {w}" for w in self.warnings)])


class Manifest:
    """A document as a plain mapping, ready for JSON and YAML, with its advice.

    `repr` never shows the content. A manifest that holds a secret (`secret` is true) cannot be pickled or copied, and
    `document`, `to_dict()` and `to_json()` give the secret out: write them only where it may be read.

    Example:
        >>> from ecrkit.auth import cred_helpers
        >>> made = cred_helpers(["123456789012.dkr.ecr.eu-west-1.amazonaws.com"])
        >>> made
        <Manifest of credHelpers for 1 host>
        >>> made.document
        {'credHelpers': {'123456789012.dkr.ecr.eu-west-1.amazonaws.com': 'ecr-login'}}
    """

    __slots__ = ("__content", "advice", "secret", "what")

    def __init__(self, content: Mapping[str, Any], *, what: str, advice: Advice, secret: bool = False) -> None:
        self.__content = dict(content)
        self.what = what
        self.advice = advice
        self.secret = secret

    @property
    def document(self) -> dict[str, Any]:
        """The document, a new copy each time."""
        return copy.deepcopy(self.__content)

    def to_dict(self) -> dict[str, Any]:
        """Return the document, secrets included."""
        return self.document

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the document as JSON text, which is YAML too; secrets included."""
        return json.dumps(self.__content, indent=indent, ensure_ascii=False)

    @override
    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Manifest):
            return NotImplemented
        return self.__content == other.__content and self.advice == other.advice

    @override
    def __hash__(self) -> int:
        return hash((self.what, self.advice))

    @override
    def __repr__(self) -> str:
        until = f", until {iso(self.advice.stops_at)}" if self.advice.stops_at is not None else ""
        return f"<Manifest of {self.what}{until}>"

    @override
    def __reduce__(self) -> tuple[Any, ...]:
        if self.secret:
            raise TypeError("a manifest with a token in it cannot be pickled or copied; write it with to_json()")
        return _rebuilt, (self.document, self.what, self.advice)


def _rebuilt(content: dict[str, Any], what: str, advice: Advice) -> Manifest:
    return Manifest(content, what=what, advice=advice)


def earliest(tokens: Iterable[Token]) -> tuple[dt.datetime, dt.datetime]:
    """Return when the first of the tokens expires, and when the first wants a refresh."""
    held = list(tokens)
    return min(t.expires_at for t in held), min(t.refresh_at for t in held)


def name_problems(**names: str | None) -> list[Problem]:
    """Return what is wrong with Kubernetes names: `namespace` is a DNS label, anything else a DNS subdomain."""
    found = []
    for path, name in names.items():
        if name is None:
            continue
        labels = [name] if path == "namespace" else name.split(".")
        longest = 63 if path == "namespace" else 253
        if len(name) > longest or not all(_LABEL.fullmatch(label) for label in labels):
            kind = "DNS label" if path == "namespace" else "DNS subdomain"
            found.append(Problem(path, f"must be a {kind} of at most {longest} characters, not {name!r:.80}"))
    return found


def metadata(name: str, namespace: str | None, annotations: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the metadata of a Kubernetes object."""
    made: dict[str, Any] = {"name": name}
    if namespace is not None:
        made["namespace"] = namespace
    if annotations:
        made["annotations"] = dict(annotations)
    return made


def refuse(what: str, problems: Iterable[Problem]) -> None:
    """Raise InvalidInput when there is any problem."""
    found = list(problems)
    if found:
        raise InvalidInput(what, found)
