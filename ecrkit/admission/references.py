"""Which registry an image text names: one that is judged, another one, or none because it is no reference at all.

A container runtime resolves host names without regard to case, and takes port 443 for granted. So a text that names an
ECR host in another spelling is no image of "another registry": an allowance for those would let it in unjudged.
Source: the grammar of distribution/reference (`domain/path:tag@digest`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef, RegistryHost

__all__ = ["NamedImage", "named_image"]

_LONGEST: Final = 1024
_DOMAIN: Final = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?::[0-9]{1,5})?"
)
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*"
_REST: Final = re.compile(
    rf"{_COMPONENT}(?:/{_COMPONENT})*(?::[A-Za-z0-9_][A-Za-z0-9._-]{{0,127}})?"
    r"(?:@[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,128})?"
)


@attrs.frozen(kw_only=True)
class NamedImage(Record):
    """What an image text names.

    `kind` is `private` for a private ECR registry, with `ref` (its tag is `latest` when the text names neither tag nor
    digest, as container runtimes have it); `elsewhere` for any other registry; `malformed` for what no runtime should
    be given, with the `problem`.
    """

    kind: Literal["private", "elsewhere", "malformed"]
    ref: ImageRef | None = None
    problem: str = ""


@lru_cache(maxsize=4096)
def named_image(text: str) -> NamedImage:
    """Return what the text names. The answers for the last texts are kept: a cluster asks for the same ones all day.

    Example:
        >>> named_image("123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app").ref.tag
        'latest'
        >>> named_image("nginx:1.27").kind
        'elsewhere'
        >>> named_image("123456789012.DKR.ecr.us-east-1.amazonaws.com/team/app:v1").kind
        'malformed'
    """
    if not text or len(text) > _LONGEST:
        return _bad(f"an image reference has 1 to {_LONGEST} characters")
    first, slash, rest = text.partition("/")
    has_host = bool(slash) and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    host = first if has_host else None
    if host is not None:
        bare = re.sub(r":[0-9]*$", "", host).rstrip(".").lower()
        try:
            known = RegistryHost.parse(bare)
        except InvalidReference:
            known = None
        if known is not None and not known.public:
            if bare != host:
                return _bad(f"write the registry as {bare}: in lower case, without a port or a final dot")
            return _private(text)
        if not _DOMAIN.fullmatch(host):
            return _bad("the registry is no host name")
    if not _REST.fullmatch(rest if host is not None else text):
        return _bad("it is not [HOST/]NAME[:TAG][@DIGEST]")
    return NamedImage(kind="elsewhere")


def _private(text: str) -> NamedImage:
    try:
        ref = ImageRef.parse(text)
    except InvalidReference as fault:
        return _bad("; ".join(str(p) for p in fault.problems))
    if ref.tag is None and ref.digest is None:
        ref = ImageRef.parse(f"{text}:latest")
    return NamedImage(kind="private", ref=ref)


def _bad(problem: str) -> NamedImage:
    return NamedImage(kind="malformed", problem=problem)
