"""References to images anywhere: in ECR, in Docker Hub, in any registry that speaks the registry protocol."""

from __future__ import annotations

import re
from typing import Final, TypeAlias

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidReference, Problem
from ecrkit.refs import ImageRef

__all__ = ["ImageRefLike", "UpstreamRef", "parse_source"]

ImageRefLike: TypeAlias = "ImageRef | str"
"""A reference to an image of ECR, as an `ImageRef` or its text."""

_DOCKER_HUB: Final = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})
_HOST: Final = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?")
_COMPONENT: Final = r"[a-z0-9]+(?:(?:\.|__|_|-+)[a-z0-9]+)*"
_PATH: Final = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


@attrs.frozen
class UpstreamRef(Record):
    """An image in a registry that need not be ECR: `host/repository[:tag][@digest]`.

    Docker Hub has three names and short ones: `docker.io/nginx` is `docker.io/library/nginx`.

    Example:
        >>> UpstreamRef.parse("docker.io/node:20")
        UpstreamRef(host='docker.io', repository='library/node', tag='20', digest=None)
        >>> str(UpstreamRef.parse("quay.io/team/app@sha256:" + "0" * 64))[:30]
        'quay.io/team/app@sha256:000000'
    """

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @classmethod
    def parse(cls, text: str) -> UpstreamRef:
        """Return the reference that the text is; its host must be written out.

        Raises:
            InvalidReference: the text is no such reference; `problems` names every faulty part.
        """
        shown = repr(text if len(text) <= 80 else text[:77] + "...")
        if len(text) > 1024 or "://" in text:
            raise InvalidReference.single("not an image reference", shown, "at most 1024 characters, without a scheme")
        rest, at, digest = text.partition("@")
        host, slash, path = rest.partition("/")
        if not slash or not ("." in host or ":" in host or host == "localhost"):
            raise InvalidReference.single("not an image reference", shown, "must begin with a registry host and '/'")
        path, colon, tag = path.partition(":")
        problems: list[Problem] = []
        if not _HOST.fullmatch(host):
            problems.append(Problem("host", f"{host[:80]!r} is no host name"))
        if len(path) > 255 or not _PATH.fullmatch(path):
            problems.append(Problem("repository", f"{path[:80]!r} is no repository name"))
        if colon and not _TAG.fullmatch(tag):
            problems.append(Problem("tag", f"{tag[:80]!r}: 1 to 128 letters, digits, '_', '.', '-', not first '.' '-'"))
        if at and not _DIGEST.fullmatch(digest):
            problems.append(Problem("digest", f"{digest[:80]!r}: 'sha256:' and 64 lower-case hex digits"))
        if problems:
            raise InvalidReference(f"not an image reference: {shown}", problems)
        if host in _DOCKER_HUB:
            host, path = "docker.io", path if "/" in path else f"library/{path}"
        return cls(host, path, tag if colon else None, digest if at else None)

    @override
    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag is not None else ""
        digest = f"@{self.digest}" if self.digest is not None else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def parse_source(source: ImageRef | UpstreamRef | str) -> ImageRef | UpstreamRef:
    """Return what a source names: an image of private ECR, or one of any other registry.

    A text without a host is a repository of the registry at hand. The host of ECR Public is an upstream: it has no
    such API as private registries have.

    Raises:
        InvalidReference: the text is neither.

    Example:
        >>> str(parse_source("team/app:v1"))
        'team/app:v1'
        >>> parse_source("public.ecr.aws/docker/library/node:20").host
        'public.ecr.aws'
    """
    if isinstance(source, ImageRef):
        public = source.registry is not None and source.registry.public
        return UpstreamRef.parse(source.uri) if public else source
    if isinstance(source, UpstreamRef):
        return source
    try:
        return parse_source(ImageRef.parse(source))
    except InvalidReference as fault:
        # What is no host of ECR may be another registry's; every other fault stands.
        if not any(problem.path == "host" for problem in fault.problems):
            raise
        try:
            return UpstreamRef.parse(source)
        except InvalidReference:
            raise fault from None
