"""One file's text rewritten: every image that it names is asked about, and only the bytes of the names change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath
from typing import Final, Literal, TypeAlias

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.deployments.files.dockerfiles import dockerfile_places
from ecrkit.deployments.files.nodes import Node, read_json, read_yaml, values_of
from ecrkit.deployments.files.places import (
    Edit,
    FileKind,
    Place,
    Refused,
    kustomize_places,
    pod_places,
    values_places,
)
from ecrkit.errors import InvalidInput
from ecrkit.images.reference_text import AnyReference

__all__ = ["Change", "ChangeReference", "Rewritten", "kind_of_file", "places_in", "rewrite_text"]

ChangeReference: TypeAlias = "Callable[[Place], str | None]"
"""Says what a place is to name: another reference, or None to leave it. `InvalidInput` refuses it with a reason."""

Format = Literal["yaml", "json", "dockerfile"]
_KUSTOMIZE: Final = frozenset({"kustomization.yaml", "kustomization.yml", "Kustomization"})
_BOM: Final = "\ufeff"
_MEMBERS: Final = frozenset({"image", "reference", "newName", "newTag", "digest", "registry", "repository", "tag"})


@attrs.frozen(kw_only=True)
class Change(Record):
    """One reference that becomes another."""

    kind: FileKind
    path: str
    line: int
    before: str
    after: str


@attrs.frozen(kw_only=True)
class Rewritten(Record):
    """A text before and after; equal when nothing changes. `refused` names what had to stay as it is."""

    before: str = attrs.field(repr=False)
    after: str = attrs.field(repr=False)
    changes: tuple[Change, ...] = ()
    refused: tuple[Refused, ...] = ()


def kind_of_file(name: str) -> Format | None:
    """Return how a file of that name is read, or None when it is none that names images.

    Example:
        >>> kind_of_file("app/Dockerfile.dev"), kind_of_file("k8s/web.yml"), kind_of_file("README.md")
        ('dockerfile', 'yaml', None)
    """
    last = PurePosixPath(name).name
    lower = last.lower()
    if lower.startswith(("dockerfile", "containerfile")) or lower.endswith((".dockerfile", ".containerfile")):
        return None if lower.endswith(".dockerignore") else "dockerfile"
    if lower.endswith((".yaml", ".yml")) or last in _KUSTOMIZE:
        return "yaml"
    return "json" if lower.endswith(".json") else None


def places_in(name: str, text: str, *, digest_in_tag: bool = False) -> list[Place | Refused]:
    """Return every place of a file that names an image, in the order of the text. `name` tells what kind it is.

    Raises:
        InvalidInput: the file cannot be read: no YAML, or a template of a chart.
        MissingExtra: YAML is to be read, and the package ruamel.yaml is not installed.

    Example:
        >>> pod = '{"kind": "Pod", "apiVersion": "v1", "spec": {"containers": [{"image": "web:1"}]}}'
        >>> [place.path for place in places_in("pod.json", pod)]
        ['$.spec.containers[0].image']
    """
    found = _places(name, text.removeprefix(_BOM), _documents(name, text.removeprefix(_BOM)), digest_in_tag)
    return sorted(found, key=lambda place: place.line)


def _documents(name: str, text: str) -> list[Node]:
    kind = kind_of_file(name)
    if kind == "dockerfile":
        return []
    if kind == "json":
        return read_json(text)
    parent = PurePosixPath(name).parent
    if "templates" in parent.parts and "{{" in text:
        raise InvalidInput.single("not rewritten", name, "is a template of a chart; change the chart's values")
    try:
        return read_yaml(text)
    except InvalidInput:
        if "{{" in text:
            raise InvalidInput.single("not rewritten", name, "is a template, no YAML yet; render it first") from None
        raise


def _places(name: str, text: str, documents: list[Node], digest_in_tag: bool) -> list[Place | Refused]:
    if kind_of_file(name) == "dockerfile":
        return list(dockerfile_places(text))
    found: list[Place | Refused] = []
    last = PurePosixPath(name).name
    for number, document in enumerate(documents):
        kind = document.text("kind")
        prefix = "$" if len(documents) == 1 else f"${number}"
        if last in _KUSTOMIZE or kind in ("Kustomization", "Component"):
            found += kustomize_places(text, document)
        elif kind is not None and document.get("apiVersion") is not None:
            found += pod_places(text, document, prefix)
        elif "values" in last.lower():
            found += values_places(text, document, digest_in_tag=digest_in_tag)
    return found


def rewrite_text(name: str, text: str, change: ChangeReference, *, digest_in_tag: bool = False) -> Rewritten:
    """Return the text with the references changed; every other character stays as it is.

    The result is read again, and compared with what was read before: a change that would mean anything else than was
    asked for is refused as a whole.

    Raises:
        InvalidInput: the file cannot be read.
        MissingExtra: YAML is to be read, and the package ruamel.yaml is not installed.

    Example:
        >>> made = rewrite_text("Dockerfile", "FROM node:20 AS build  # LTS", lambda place: "mirror.example/node:20")
        >>> made.after
        'FROM mirror.example/node:20 AS build  # LTS'
    """
    bom = _BOM if text.startswith(_BOM) else ""
    body = text.removeprefix(_BOM)
    documents = _documents(name, body)
    edits: dict[tuple[int, int], Edit] = {}
    changes: list[Change] = []
    refused: list[Refused] = []
    found = _places(name, body, documents, digest_in_tag)
    for place in sorted(found, key=lambda p: p.line):
        if isinstance(place, Refused):
            refused.append(place)
            continue
        try:
            new = change(place)
            if new is None or new == place.reference:
                continue
            wanted = place.edits(new)
            clash = [e for e in wanted if edits.get((e.start, e.end), e) != e]
            if clash:
                raise InvalidInput.single(
                    "cannot be rewritten", place.path, "shares its text with another that changes"
                )
        except InvalidInput as fault:
            reason = "; ".join(p.message for p in fault.problems) or str(fault)
            refused.append(_refused(place, reason))
            continue
        edits.update({(e.start, e.end): e for e in wanted})
        changes.append(Change(kind=place.kind, path=place.path, line=place.line, before=place.reference, after=new))
    after = _spliced(body, list(edits.values()))
    if after != body:
        _check(name, documents, after, changes, digest_in_tag=digest_in_tag)
    return Rewritten(before=text, after=bom + after, changes=tuple(changes), refused=tuple(refused))


def _refused(place: Place, reason: str) -> Refused:
    return Refused(path=place.path, line=place.line, reference=place.reference, reason=reason)


def _spliced(text: str, edits: Sequence[Edit]) -> str:
    pieces, at = [], 0
    for edit in sorted(edits, key=lambda e: (e.start, e.end)):
        if edit.start < at:
            raise InvalidInput.single("cannot be rewritten", f"character {edit.start}", "two changes overlap")
        pieces += [text[at : edit.start], edit.new]
        at = edit.end
    return "".join([*pieces, text[at:]])


def _check(name: str, documents: list[Node], after: str, changes: Sequence[Change], *, digest_in_tag: bool) -> None:
    """Refuse a result that does not mean what was asked for: read it again and compare."""
    again = _documents(name, after)
    named = [p.reference for p in _places(name, after, again, digest_in_tag)]
    missing = [c for c in changes if c.after not in named and c.kind != "helm"]
    if missing or len(again) != len(documents):
        raise InvalidInput.single("cannot be rewritten", name, "the result does not read back as it should")
    if kind_of_file(name) == "dockerfile":
        return
    old, new = ({(number, path): value for number, path, value, _ in values_of(read)} for read in (documents, again))
    parts = {part for change in changes for part in _parts(change)}
    for place, value in new.items():
        if old.get(place) != value and value.strip("\n") not in parts:
            # An alias may carry a changed image to a place that is no image.
            raise InvalidInput.single("cannot be rewritten", name, f"{place[1]} would become {value[:80]!r}")
    for place, value in old.items():
        last = place[1].rpartition(".")[2]
        if new.get(place) != value and not (last in _MEMBERS or last.endswith("Image")):
            raise InvalidInput.single(
                "cannot be rewritten", name, f"{place[1]} takes its value from an image by an alias"
            )


def _parts(change: Change) -> set[str]:
    """Return the texts in which the new reference may be written, whole or in parts."""
    old, new = AnyReference.parse(change.before), AnyReference.parse(change.after)
    tag = new.tag or old.tag or ""
    return {change.after, new.name, new.host or "", new.path, tag, new.digest or "", f"{tag}@{new.digest}"}
