"""Reading ahead for many references: tags side by side, manifests a hundred at a time, instead of one call for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import attrs

from ecrkit.errors import EcrkitError
from ecrkit.ports import FanOut, ManifestSource, TagSource
from ecrkit.records import RawManifest
from ecrkit.refs import ImageRef

__all__ = ["KnownManifests", "KnownTags", "read_ahead"]

_BATCH: Final = 100
"""How many images one BatchGetImage takes (ECR API reference)."""


@attrs.frozen
class KnownTags:
    """Tags that were resolved before, and for others the source itself."""

    source: TagSource
    known: Mapping[tuple[str, str], str | None]

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag named, or None when there was no such tag."""
        key = (repository, tag)
        return self.known[key] if key in self.known else self.source.digest_of(repository, tag)


@attrs.frozen
class KnownManifests:
    """Manifests that were read before, and for others the source itself."""

    source: ManifestSource
    known: Mapping[tuple[str, str], RawManifest | None]

    def manifests(self, repository: str, digests: Iterable[str]) -> Mapping[str, RawManifest]:
        """Return the manifests by digest; one that could not be read is absent."""
        asked = list(digests)
        found = {d: m for d in asked if (m := self.known.get((repository, d))) is not None}
        missing = [d for d in asked if (repository, d) not in self.known]
        return {**found, **self.source.manifests(repository, missing)} if missing else found


def read_ahead(
    refs: Iterable[str], *, tags: TagSource | None, manifests: ManifestSource | None, fan_out: FanOut
) -> tuple[TagSource | None, ManifestSource | None]:
    """Return sources that know the tags and manifests of the references already.

    What cannot be read ahead is left to the sources, so that its fault is told of the reference it belongs to.
    """
    named: list[tuple[str, str]] = []
    wanted: dict[str, dict[str, None]] = {}
    for text in refs:
        try:
            ref = ImageRef.parse(text)
        except EcrkitError:
            continue
        if ref.digest is not None:
            wanted.setdefault(str(ref.repository), {})[ref.digest] = None
        elif ref.tag is not None:
            named.append((str(ref.repository), ref.tag))
    known_tags: dict[tuple[str, str], str | None] = {}
    if tags is not None:
        source = tags

        def digest_of(key: tuple[str, str]) -> tuple[bool, str | None]:
            try:
                return True, source.digest_of(*key)
            except EcrkitError:
                return False, None

        for key, (read, digest) in fan_out.each(digest_of, dict.fromkeys(named)):
            if read:
                known_tags[key] = digest
            if digest is not None:
                wanted.setdefault(key[0], {})[digest] = None
    return (
        None if tags is None else KnownTags(tags, known_tags),
        None if manifests is None else KnownManifests(manifests, _manifests(wanted, manifests, fan_out)),
    )


def _manifests(
    wanted: Mapping[str, Mapping[str, None]], source: ManifestSource, fan_out: FanOut
) -> dict[tuple[str, str], RawManifest | None]:
    batches = [
        (repository, tuple(digests)[start : start + _BATCH])
        for repository, digests in wanted.items()
        for start in range(0, len(digests), _BATCH)
    ]

    def read(batch: tuple[str, tuple[str, ...]]) -> Mapping[str, RawManifest] | None:
        try:
            return source.manifests(*batch)
        except EcrkitError:
            return None

    known: dict[tuple[str, str], RawManifest | None] = {}
    for (repository, digests), found in fan_out.each(read, batches):
        if found is not None:
            known.update({(repository, digest): found.get(digest) for digest in digests})
    return known
