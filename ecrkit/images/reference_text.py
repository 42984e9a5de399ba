"""References to images of any registry, taken apart as docker, containerd and Kubernetes do, and put together again."""

from __future__ import annotations

import re
from typing import Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidReference, Problem

__all__ = ["DOCKER_HUB_HOSTS", "AnyReference"]

DOCKER_HUB_HOSTS: Final = ("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com")
"""The hosts that mean Docker Hub; a reference without a host means it too."""

_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?")
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


@attrs.frozen(kw_only=True)
class AnyReference(Record):
    """A reference as it is written: `host` is None when none is, which means Docker Hub.

    `str()` gives back what was read. `canonical` is what it means: host, full path, and `latest` when neither tag nor
    digest is there.

    Example:
        >>> ref = AnyReference.parse("node:20")
        >>> str(ref), ref.canonical
        ('node:20', 'docker.io/library/node:20')
        >>> AnyReference.parse("localhost:5000/app").host
        'localhost:5000'
    """

    host: str | None
    path: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> AnyReference:
        """Return the reference that the text is.

        A first component with a `.` or `:`, or `localhost`, is a host (the reference grammar of the distribution
        project).

        Raises:
            InvalidReference: the text is none; `problems` names every faulty part.
        """
        shown = repr(text if len(text) <= 80 else text[:77] + "...")
        if not text or len(text) > 1024 or "://" in text:
            raise InvalidReference.single("not an image reference", shown, "1 to 1024 characters, without a scheme")
        rest, at, digest = text.partition("@")
        first, slash, path = rest.partition("/")
        host: str | None = first
        if not (slash and ("." in first or ":" in first or first == "localhost")):
            host, path = None, rest
        path, colon, tag = path.partition(":")
        problems: list[Problem] = []
        if host is not None and not _HOST.fullmatch(host):
            problems.append(Problem("host", f"{host[:80]!r} is no host name"))
        if len(path) > 255 or not _PATH.fullmatch(path):
            problems.append(Problem("repository", f"{path[:80]!r} is no repository name"))
        if colon and not _TAG.fullmatch(tag):
            problems.append(Problem("tag", f"{tag[:80]!r}: 1 to 128 letters, digits, '_', '.', '-', not first '.' '-'"))
        if at and not _DIGEST.fullmatch(digest):
            problems.append(Problem("digest", f"{digest[:80]!r}: 'sha256:' and 64 lower-case hex digits"))
        if problems:
            raise InvalidReference(f"not an image reference: {shown}", problems)
        return cls(host=host, path=path, tag=tag if colon else None, digest=digest if at else None)

    @property
    def registry(self) -> str:
        """The registry meant: `docker.io` for every name of Docker Hub."""
        return "docker.io" if self.host is None or self.host in DOCKER_HUB_HOSTS else self.host

    @property
    def repository(self) -> str:
        """The repository meant: on Docker Hub, a single name is in `library`."""
        return f"library/{self.path}" if self.registry == "docker.io" and "/" not in self.path else self.path

    @property
    def canonical(self) -> str:
        """The reference in full."""
        tag = self.tag if self.tag is not None or self.digest is not None else "latest"
        return f"{self.registry}/{self.repository}{_suffix(tag, self.digest)}"

    @property
    def suffix(self) -> str:
        """The tag and digest as written: `:20`, `@sha256:...`, both, or nothing."""
        return _suffix(self.tag, self.digest)

    @property
    def name(self) -> str:
        """The reference as written without tag and digest."""
        return self.path if self.host is None else f"{self.host}/{self.path}"

    @override
    def __str__(self) -> str:
        return f"{self.name}{self.suffix}"


def _suffix(tag: str | None, digest: str | None) -> str:
    return (f":{tag}" if tag is not None else "") + (f"@{digest}" if digest is not None else "")
