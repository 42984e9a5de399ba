"""References to images anywhere: in ECR, in Docker Hub, in any registry that speaks the registry protocol."""

from __future__ import annotations

from typing import TypeAlias

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidReference
from ecrkit.images.reference_text import AnyReference
from ecrkit.refs import ImageRef

__all__ = ["ImageRefLike", "UpstreamRef", "parse_source"]

ImageRefLike: TypeAlias = "ImageRef | str"
"""A reference to an image of ECR, as an `ImageRef` or its text."""


@attrs.frozen
class UpstreamRef(Record):
    """An image in a registry that need not be ECR: `host/repository[:tag][@digest]`.

    Docker Hub has several names and short ones: `docker.io/nginx` is `docker.io/library/nginx`.

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
        ref = AnyReference.parse(text)
        shown = repr(text)
        if ref.host is None:
            raise InvalidReference.single("not an image reference", shown, "must begin with a registry host and '/'")
        if ref.digest is not None and not ref.digest.startswith("sha256:"):
            raise InvalidReference.single("digest", shown, "ECR stores images by SHA-256 digests only")
        return cls(ref.registry, ref.repository, ref.tag, ref.digest)

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
