"""Descriptors: how a manifest names a blob or another manifest, and the platform it is for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from sys import intern
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem

__all__ = ["Descriptor", "DescriptorReader", "Platform"]

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_ELSEWHERE: Final = re.compile(r"\.(?:foreign|nondistributable)\.")
_ARCHITECTURES: Final[Mapping[str, tuple[str, str | None]]] = {
    "i386": ("386", None), "x86_64": ("amd64", None), "x86-64": ("amd64", None), "aarch64": ("arm64", None),
    "armhf": ("arm", "7"), "armel": ("arm", "6"),
}  # fmt: skip
_MAX_ITEMS: Final = 10_000
_MAX_SIZE: Final = 2**63 - 1  # sizes are int64 in the image-spec


@lru_cache(maxsize=256)
def may_lie_elsewhere(media_type: str) -> bool:
    """Return whether layers of the type may be kept outside of the registry: foreign and non-distributable ones."""
    return bool(_ELSEWHERE.search(media_type))


Compression = Literal["none", "gzip", "zstd", "unknown"]


@attrs.frozen(kw_only=True)
class Platform(Record):
    """The platform of an index entry (OCI image-spec, image index). `str()` gives `os/architecture[/variant]`.

    Example:
        >>> str(Platform(os="linux", architecture="arm64", variant="v8"))
        'linux/arm64/v8'
    """

    os: str
    architecture: str
    variant: str | None = None
    os_version: str | None = None

    @classmethod
    def parse(cls, text: str) -> Platform:
        """Return the platform of `os/architecture` or `os/architecture/variant`.

        Raises:
            InvalidInput: the text has another form.
        """
        parts = text.split("/")
        if not 2 <= len(parts) <= 3 or not all(parts):
            raise InvalidInput.single("not a platform", "platform", f"must be os/architecture[/variant], not {text!r}")
        return cls(os=parts[0], architecture=parts[1], variant=parts[2] if len(parts) == 3 else None)

    @property
    def normalized(self) -> Platform:
        """The platform as container runtimes compare it: `x86_64` is amd64, arm64 is v8, arm is v7 unless it says more.

        Source: containerd, platforms, normalisation.
        """
        name = self.os.lower()
        architecture, variant = _ARCHITECTURES.get(self.architecture.lower(), (self.architecture.lower(), None))
        variant = (self.variant or "").lower().removeprefix("v") or variant
        usual = {"amd64": "1", "arm64": "8"}.get(architecture)
        if architecture == "arm" and variant is None:
            variant = "7"
        text = None if variant is None or variant == usual else f"v{variant}" if variant[0].isdigit() else variant
        return Platform(
            os="darwin" if name == "macos" else name,
            architecture=architecture,
            variant=text,
            os_version=self.os_version,
        )

    @override
    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


@attrs.frozen(kw_only=True)
class Descriptor(Record):
    """A reference to a blob or manifest: media type, digest, size in bytes (None when the format does not tell it)."""

    media_type: str
    digest: str
    size: int | None = None
    platform: Platform | None = None
    artifact_type: str | None = None
    annotations: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    urls: tuple[str, ...] = ()

    @property
    def is_attestation(self) -> bool:
        """Whether an index entry is a buildx attestation and no platform (BuildKit, attestation storage).

        The platform `unknown/unknown` is enough. The annotation is, too, unless the entry names a platform that a
        node could run: what runs is an image, whatever it calls itself.
        """
        if self.platform is None:
            return self.annotations.get("vnd.docker.reference.type") == "attestation-manifest"
        return (self.platform.os, self.platform.architecture) == ("unknown", "unknown")

    @property
    def attests(self) -> str | None:
        """The digest of the sibling that a buildx attestation speaks of, if the entry names it."""
        return self.annotations.get("vnd.docker.reference.digest")

    @property
    def stored_elsewhere(self) -> bool:
        """Whether the bytes may lie outside of the registry: a foreign or non-distributable layer, or one with URLs.

        Whether ECR stores such a layer is not documented.
        """
        return bool(self.urls) or may_lie_elsewhere(self.media_type)

    @property
    def compression(self) -> Compression:
        """How a layer is compressed, as its media type says."""
        if self.media_type.endswith(("+gzip", ".tar.gzip")):
            return "gzip"
        if self.media_type.endswith(("+zstd", ".tar.zstd")):
            return "zstd"
        return "none" if self.media_type.endswith((".tar", "+json")) else "unknown"

    @property
    def is_estargz(self) -> bool:
        """Whether a gzip layer can be pulled lazily: the eStargz table-of-contents annotation is there."""
        return "containerd.io/snapshot/stargz/toc.digest" in self.annotations


class DescriptorReader:
    """Reads descriptors and collects every problem with its path.

    `shared` holds descriptors that were read before, by media type, digest and size: the images of a repository share
    most of their layers, and a million of them would not fit into memory otherwise.
    """

    def __init__(self, shared: dict[tuple[str, str, int], Descriptor] | None = None) -> None:
        self.problems: list[Problem] = []
        self._shared = shared

    def text(self, raw: object, path: str) -> str | None:
        """Return an optional string."""
        if raw is None or (isinstance(raw, str) and len(raw) <= 4096):
            return raw or None
        self.problems.append(Problem(path, "must be a string of at most 4096 characters"))
        return None

    def digest(self, raw: object, path: str) -> str | None:
        """Return a digest."""
        if isinstance(raw, str) and _DIGEST.fullmatch(raw):
            return raw
        self.problems.append(Problem(path, f"must be 'sha256:' and 64 hex digits, not {raw!r:.90}"))
        return None

    def annotations(self, raw: object, path: str) -> Mapping[str, str]:
        """Return annotations; a value that is no string is a problem."""
        if raw is None:
            return {}
        if isinstance(raw, Mapping) and all(isinstance(v, str) for v in raw.values()):
            return dict(raw)
        self.problems.append(Problem(path, "must be an object of strings"))
        return {}

    def platform(self, raw: object, path: str) -> Platform | None:
        """Return an optional platform."""
        if raw is None:
            return None
        if not isinstance(raw, Mapping):
            self.problems.append(Problem(path, "must be an object"))
            return None
        name, architecture = (
            self.text(raw.get("os"), f"{path}.os"),
            self.text(raw.get("architecture"), f"{path}.architecture"),
        )
        if name is None and architecture is None:
            # A config that is no image (a Helm chart in an index) has an empty platform; that is none.
            return None
        return Platform(
            os=intern(name or "unknown"),
            architecture=intern(architecture or "unknown"),
            variant=self.text(raw.get("variant"), f"{path}.variant"),
            os_version=self.text(raw.get("os.version"), f"{path}['os.version']"),
        )

    def one(self, raw: object, path: str) -> Descriptor | None:
        """Return one descriptor, or None with a problem recorded."""
        if self._shared is None or not isinstance(raw, dict) or len(raw) != 3:
            return self._one(raw, path)
        media, digest, size = raw.get("mediaType"), raw.get("digest"), raw.get("size")
        # The type of `size` is looked at here, since True and 1.0 would find the entry of 1.
        if type(size) is not int or not isinstance(media, str) or not isinstance(digest, str):
            return self._one(raw, path)
        found = self._shared.get((media, digest, size))
        if found is None:
            found = self._one(raw, path)
            if found is not None:
                self._shared[found.media_type, found.digest, size] = found
        return found

    def _one(self, raw: object, path: str) -> Descriptor | None:
        if not isinstance(raw, Mapping):
            self.problems.append(Problem(path, "must be a descriptor object" if raw is not None else "is missing"))
            return None
        before = len(self.problems)
        media = raw.get("mediaType")
        if not isinstance(media, str) or not 0 < len(media) <= 512:
            self.problems.append(Problem(f"{path}.mediaType", "must be a string of 1 to 512 characters"))
        digest = self.digest(raw.get("digest"), f"{path}.digest")
        size = raw.get("size")
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MAX_SIZE:
            self.problems.append(Problem(f"{path}.size", f"must be a number of bytes, not {size!r:.40}"))
        platform = self.platform(raw.get("platform"), f"{path}.platform")
        artifact = self.text(raw.get("artifactType"), f"{path}.artifactType")
        annotations = self.annotations(raw.get("annotations"), f"{path}.annotations")
        urls: Any = raw.get("urls") or ()
        if not isinstance(urls, list | tuple) or not all(isinstance(u, str) for u in urls):
            self.problems.append(Problem(f"{path}.urls", "must be a list of strings"))
        if len(self.problems) > before or digest is None:
            return None
        return Descriptor(
            media_type=intern(str(media)),
            digest=digest,
            size=size,
            platform=platform,
            artifact_type=artifact,
            annotations=annotations,
            urls=tuple(urls),
        )

    def many(self, raw: object, path: str) -> tuple[Descriptor, ...]:
        """Return the descriptors of a list; faulty ones are left out with a problem recorded."""
        if not isinstance(raw, list):
            self.problems.append(Problem(path, "must be a list" if raw is not None else "is missing"))
            return ()
        if len(raw) > _MAX_ITEMS:
            self.problems.append(Problem(path, f"has {len(raw)} entries, more than {_MAX_ITEMS}"))
            return ()
        found = (self.one(item, f"{path}[{number}]") for number, item in enumerate(raw))
        return tuple(d for d in found if d is not None)
