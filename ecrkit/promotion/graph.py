"""What belongs to an image: its manifest, the children of an index, what refers to any of them, and their blobs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, Literal

import attrs

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidManifest, NotFound, Problem
from ecrkit.images.manifest import Manifest
from ecrkit.promotion.sources import Source
from ecrkit.records import RawManifest

__all__ = ["Blob", "Graph", "Piece", "parsed", "read_graph"]

_MOST: Final = 10_000
_SIGNED_V1: Final = "application/vnd.docker.distribution.manifest.v1+prettyjws"
Role = Literal["image", "child", "referrer"]


@attrs.frozen
class Blob(Record):
    """A config or a layer: its digest, and its bytes (None where nothing tells them)."""

    digest: str
    size: int | None = None


def _blobs(values: Iterable[Blob]) -> tuple[Blob, ...]:
    return tuple(values)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Piece(Record):
    """One manifest to be put: the image itself, a child of an index, or what refers to one of them."""

    digest: str
    media_type: str
    role: Role
    length: int
    children: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    blobs: tuple[Blob, ...] = attrs.field(default=(), converter=_blobs)
    _text: str = attrs.field(default="", repr=False, alias="text")

    @property
    def text(self) -> str:
        """The manifest, byte for byte as the source gave it."""
        return self._text

    @property
    def stated_digest(self) -> str | None:
        """The digest to state when it is put; None for a signed schema 1 manifest, which is not hashed as a whole."""
        return None if self.media_type == _SIGNED_V1 else self.digest


def _pieces(values: Iterable[Piece]) -> tuple[Piece, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Graph(Record):
    """All that belongs to an image, in the order in which it can be put: no manifest before what it names."""

    root: str
    pieces: tuple[Piece, ...] = attrs.field(converter=_pieces)
    notes: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Every blob, each once."""
        found: dict[str, Blob] = {}
        for blob in (b for piece in self.pieces for b in piece.blobs):
            if blob.digest not in found or found[blob.digest].size is None:
                found[blob.digest] = blob
        return tuple(found.values())


def parsed(raw: RawManifest) -> Manifest:
    """Return the manifest, checked against its digest.

    A signed schema 1 manifest has two digests, that of its text and that of the payload which was signed; registries
    differ in which they mean, and either is taken.

    Raises:
        InvalidManifest: the text is no manifest, or another one.
    """
    same = "sha256:" + hashlib.sha256(raw.text.encode("utf-8", "surrogatepass")).hexdigest() == raw.digest
    return Manifest.parse(raw.text, media_type=raw.media_type or None, digest=None if same else raw.digest)


def read_graph(source: Source, repository: str, root: str, *, referrers: bool = True) -> Graph:
    """Return what belongs to the image `root`, read from the source level by level.

    Everything is checked against the digest it was asked by, so a source cannot slip anything in. With `referrers`,
    signatures, SBOMs and attestations of the image, of its children and of each other are part of it. An archived one
    cannot be read, and one that the source lists but whose own manifest names another subject is none: both are noted
    and left out.

    Raises:
        NotFound: the source lacks the image, a child of an index or a referrer that it lists.
        InvalidManifest: a text is no manifest, or the graph has more than 10,000 manifests.
    """
    raws: dict[str, RawManifest] = {}
    found: dict[str, Manifest] = {}
    referring: dict[str, tuple[str, ...]] = {}
    notes: list[str] = []
    waiting = [root]
    while waiting:
        if len(found) + len(waiting) > _MOST:
            message = f"more than {_MOST} manifests belong to {root}"
            raise InvalidManifest("not copied", [Problem("$", message)])
        answered = source.manifests(repository, waiting)
        missing = [digest for digest in waiting if digest not in answered]
        if missing:
            raise _missing(repository, root, missing)
        names: list[str] = []
        for digest in waiting:
            raws[digest] = answered[digest]
            found[digest] = parsed(answered[digest])
            names += found[digest].children
            if referrers:
                referring[digest] = tuple(_active(source, repository, digest, notes))
                names += referring[digest]
        waiting = [digest for digest in dict.fromkeys(names) if digest not in found]
    sizes = _sizes(source, repository, found.values())
    order = list(_order(root, found))
    inside = set(order)
    # What refers to an image comes after it; `order` grows while it is walked, for referrers of referrers.
    for digest in order:
        for other in referring.get(digest, ()):
            subject = found[other].subject
            if subject is None or subject.digest != digest:
                notes.append(f"{other} is listed as referring to {digest}, does not say so itself, and is left out")
                continue
            fresh = [d for d in _order(other, found) if d not in inside]
            order += fresh
            inside.update(fresh)
    children = set(_order(root, found)) - {root}
    pieces = [
        _piece(raws[d], found[d], "image" if d == root else "child" if d in children else "referrer", sizes)
        for d in order
    ]
    return Graph(root=root, pieces=pieces, notes=notes)


def _active(source: Source, repository: str, digest: str, notes: list[str]) -> Iterator[str]:
    for referrer in source.referrers(repository, digest):
        if referrer.status == "ACTIVE":
            yield referrer.digest
        else:
            notes.append(f"{referrer.digest} refers to {digest}, is {referrer.status} and is left out")


def _missing(repository: str, root: str, missing: list[str]) -> NotFound:
    many = counted(len(missing), "manifest")
    return NotFound(
        f"{many} of {repository}@{root} cannot be read in the source: {', '.join(missing[:5])}; an index is copied "
        "with all of its children or not at all",
        operation="copy",
        code="ManifestNotFound",
        resource=f"{repository}@{root}",
    )


def _order(root: str, found: dict[str, Manifest]) -> Iterator[str]:
    """Yield the digests below `root` and then itself, each once, children first. Nesting may be deep: no recursion."""
    done: set[str] = set()
    stack: list[tuple[str, bool]] = [(root, False)]
    while stack:
        digest, ready = stack.pop()
        if digest in done:
            continue
        if ready:
            done.add(digest)
            yield digest
            continue
        stack.append((digest, True))
        stack += [(child, False) for child in reversed(found[digest].children) if child not in done]


def _sizes(source: Source, repository: str, manifests: Iterable[Manifest]) -> dict[str, int | None]:
    """Return the blobs that only the source can tell about: None for one that it does not have."""
    asked = {d.digest for m in manifests for d in m.blobs if d.stored_elsewhere or d.size is None}
    if not asked:
        return {}
    states = source.layers(repository, sorted(asked))
    held = {digest: state for digest, state in states.items() if state.availability in ("AVAILABLE", "ARCHIVED")}
    return {digest: held[digest].size if digest in held else None for digest in asked}


def _piece(raw: RawManifest, manifest: Manifest, role: Role, sizes: dict[str, int | None]) -> Piece:
    blobs = []
    for blob in manifest.blobs:
        size = sizes.get(blob.digest, blob.size)
        if blob.stored_elsewhere and size is None:
            continue  # a foreign layer that the source does not hold: its URLs say where it lies
        blobs.append(Blob(blob.digest, size))
    return Piece(
        digest=raw.digest,
        media_type=manifest.media_type,
        role=role,
        length=manifest.length,
        children=manifest.children,
        blobs=blobs,
        text=raw.text,
    )
