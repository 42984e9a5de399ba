"""Where files name images: in Kubernetes objects, Kustomize files and Helm values; and the edits that change a name.

Sources: Kubernetes API reference (PodSpec: containers, initContainers, ephemeralContainers; image volumes), the
Kustomize reference (`images`), and the shapes that charts' values have by convention.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.deployments.files.nodes import Node
from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.images.reference_text import AnyReference

__all__ = ["Edit", "FileKind", "Place", "Refused", "kustomize_places", "pod_places", "values_places"]

FileKind = Literal["kubernetes", "kustomize", "helm", "dockerfile"]
"""What kind of file names an image."""

_INNER: Final = ("map", "seq")
_CONTAINERS: Final = ("containers", "initContainers", "ephemeralContainers")


@attrs.frozen
class Edit:
    """Replaces `text[start:end]` by `new`."""

    start: int
    end: int
    new: str


@attrs.frozen(kw_only=True)
class Place(Record):
    """One place that names an image: the reference as the file means it, and where it stands.

    `name` is the reference as written without tag and digest, also when a Kustomize file or chart writes it in parts.
    """

    kind: FileKind
    path: str
    line: int
    reference: str
    _edits: Callable[[str], list[Edit]] = attrs.field(repr=False, eq=False, alias="edits")

    def edits(self, new: str) -> list[Edit]:
        """Return the edits that make the place name `new`.

        Raises:
            InvalidInput: it cannot be written there; the message says why.
        """
        return self._edits(new)


@attrs.frozen(kw_only=True)
class Refused(Record):
    """A place, or a whole file, that is left as it is, and why."""

    path: str
    line: int
    reference: str
    reason: str


Found = Iterator["Place | Refused"]


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _problem(reference: str) -> str | None:
    if "{{" in reference or "${" in reference or "$(" in reference:
        return "holds a template expression; render it first, or change where its value comes from"
    try:
        AnyReference.parse(reference)
    except InvalidReference as fault:
        return "; ".join(str(p) for p in fault.problems)
    return None


def replaced(text: str, node: Node, new: str) -> Edit:
    """Return the edit that gives a scalar another value in the style that it has.

    Raises:
        InvalidInput: the value is written with escapes or over several lines, so that no part of the text is it.
    """
    raw = text[node.start : node.end]
    if node.kind == "null":
        if node.start == node.end:  # `tag:` with nothing behind it
            return Edit(node.start, node.end, f" {new}")
        return Edit(node.start, node.end, f'"{new}"')
    if node.style in "'\"" and raw.endswith(f"{node.style}{node.value}{node.style}"):
        return Edit(node.end - 1 - len(node.value), node.end - 1, new)
    if node.style == "plain" and raw.endswith(node.value) and node.value:
        return Edit(node.end - len(node.value), node.end, _plain(new))
    value = node.value.strip("\n")
    if node.style in "|>" and value and "\n" not in value and raw.count(value) == 1:
        at = node.start + raw.index(value)
        return Edit(at, at + len(value), new)
    raise InvalidInput.single(
        "cannot be rewritten", f"line {_line(text, node.start)}", "is written with escapes or over several lines"
    )


def _plain(value: str) -> str:
    # A tag such as 1.10 or 1e3 would be read as a number, `yes` and `null` as something else again.
    safe = re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/@-]*(?::[A-Za-z0-9._/@-]+)*", value) is not None
    word = (
        re.fullmatch(r"(?i)(?:[-+0-9._eox]+|[0-9:._]+|y|n|yes|no|on|off|true|false|null|nan|inf|~)", value) is not None
    )
    dated = re.fullmatch(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*", value) is not None
    return value if safe and not word and not dated else f'"{value}"'


def pod_places(text: str, document: Node, path: str = "$") -> Found:
    """Yield every container and image volume of a Kubernetes object, wherever it holds a PodSpec."""
    seen: set[int] = set()
    waiting = [(document, path)]
    while waiting:
        node, here = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        for name in _CONTAINERS:
            listed = node.get(name)
            for number, container in enumerate(listed.items if listed is not None else ()):
                yield from _single(text, container, "image", f"{here}.{name}[{number}].image", seen)
        volumes = node.get("volumes")
        for number, volume in enumerate(volumes.items if volumes is not None else ()):
            source = volume.get("image")
            if source is not None:
                yield from _single(text, source, "reference", f"{here}.volumes[{number}].image.reference", seen)
        waiting += [(value, f"{here}.{name.value}") for name, value in reversed(node.pairs) if value.kind in _INNER]
        waiting += [(item, f"{here}[{n}]") for n, item in reversed(list(enumerate(node.items))) if item.kind in _INNER]


def _single(text: str, owner: Node, key: str, path: str, seen: set[int]) -> Found:
    node = owner.get(key)
    if node is None or node.kind != "scalar" or id(node) in seen:
        return
    seen.add(id(node))
    yield _whole(text, node, path, "kubernetes")


def _whole(text: str, node: Node, path: str, kind: FileKind) -> Place | Refused:
    reference, line = node.value.strip("\n"), _line(text, node.start)
    fault = _problem(reference)
    if fault is not None:
        return Refused(path=path, line=line, reference=reference[:200], reason=fault)
    return Place(
        kind=kind, path=path, line=line, reference=reference, edits=lambda new: [replaced(text, node, new)]
    )  # fmt: skip


def _added(text: str, owner: Node, key: str, value: str) -> Edit:
    """Return the edit that adds a member at the end of a mapping."""
    last = owner.pairs[-1][1]
    if owner.flow:
        quoted = text[owner.pairs[-1][0].start] == '"'
        member = f'"{key}": "{value}"' if quoted else f"{key}: {_plain(value)}"
        return Edit(last.end, last.end, f", {member}")
    if last.style in "|>" or last.kind in ("map", "seq"):
        # Behind a block is no safe place: before the first member then.
        first = owner.pairs[0][0]
        newline = "\r\n" if "\r\n" in text else "\n"
        return Edit(first.start, first.start, f"{key}: {_plain(value)}{newline}{' ' * first.column}")
    end = text.find("\n", last.end)
    newline = "\r\n" if "\r\n" in text else "\n"
    at = len(text) if end < 0 else end - (text[end - 1 : end] == "\r")
    return Edit(at, at, f"{newline}{' ' * owner.pairs[0][0].column}{key}: {_plain(value)}")


def kustomize_places(text: str, document: Node) -> Found:
    """Yield the entries of `images` of a Kustomize file that say what an image becomes.

    `name` is what the bases call the image and is never changed; `newName`, `newTag` and `digest` are.
    """
    listed = document.get("images")
    for number, entry in enumerate(listed.items if listed is not None else ()):
        name = entry.text("name")
        if name is None:
            continue
        path = f"$.images[{number}]"
        yield _entry(text, entry, path, name)


def _entry(text: str, entry: Node, path: str, name: str) -> Place | Refused:
    tag, digest = entry.text("newTag"), entry.text("digest")
    base = entry.text("newName") or name
    reference = base + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    line = _line(text, entry.start)
    fault = _problem(reference)
    if fault is None and "tagSuffix" in {k.value for k, _ in entry.pairs}:
        fault = "has a tagSuffix, which depends on the tags of the bases"
    if fault is not None:
        return Refused(path=path, line=line, reference=reference[:200], reason=fault)

    def edits(new: str) -> list[Edit]:
        made, wanted = [], AnyReference.parse(new)
        if wanted.name != base:
            there = entry.get("newName")
            made.append(replaced(text, there, wanted.name) if there else _added(text, entry, "newName", wanted.name))
        made += _version_edits(text, entry, "newTag", wanted)
        return made

    return Place(kind="kustomize", path=path, line=line, reference=reference, edits=edits)


def _version_edits(text: str, entry: Node, tag_key: str, wanted: AnyReference) -> list[Edit]:
    """Return the edits of tag and digest; where one replaces the other, its line is used again."""
    tag, digest = entry.get(tag_key), entry.get("digest")
    made: list[Edit] = []
    if wanted.digest is not None:
        if digest is not None:
            made.append(replaced(text, digest, wanted.digest))
        elif tag is not None and wanted.tag is None:
            key = entry.key(tag_key)
            assert key is not None
            made += [replaced(text, key, "digest"), replaced(text, tag, wanted.digest)]
            tag = None
        else:
            made.append(_added(text, entry, "digest", wanted.digest))
    elif digest is not None and digest.value:
        key = entry.key("digest")
        assert key is not None
        if tag is not None or wanted.tag is None:
            raise InvalidInput.single(
                "cannot be rewritten", f"line {_line(text, key.start)}", "the digest would have to be removed"
            )
        return [replaced(text, key, tag_key), replaced(text, digest, wanted.tag)]
    if wanted.tag is not None:
        made.append(replaced(text, tag, wanted.tag) if tag is not None else _added(text, entry, tag_key, wanted.tag))
    elif tag is not None and tag.value and wanted.digest is None:
        raise InvalidInput.single(
            "cannot be rewritten", f"line {_line(text, tag.start)}", "the tag would have to be removed"
        )
    return made


_VALUES: Final = frozenset({"registry", "repository", "tag", "digest"})


def values_places(text: str, document: Node, *, digest_in_tag: bool = False) -> Found:
    """Yield the images of a Helm values file: `image: text`, and mappings with `repository` and its companions.

    Where a chart has no `digest` value, a digest can only stand behind the tag (`tag: "1.2@sha256:..."`), and most
    templates take that; `digest_in_tag` says that this one does.
    """
    seen: set[int] = set()
    waiting: list[tuple[Node, str, str]] = [(document, "$", "")]
    while waiting:
        node, here, key = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        names = {name.value for name, _ in node.pairs}
        if node.kind == "map" and "repository" in names and (names & {"tag", "digest", "registry"} or _is_image(key)):
            found = _chart_image(text, node, here, digest_in_tag=digest_in_tag)
            if found is not None:
                yield found
        for name, value in node.pairs:
            named = value.kind == "scalar" and _is_image(name.value) and ("/" in value.value or ":" in value.value)
            if named and id(value) not in seen:
                seen.add(id(value))
                yield _whole(text, value, f"{here}.{name.value}", "helm")
        waiting += [
            (value, f"{here}.{name.value}", name.value) for name, value in reversed(node.pairs) if value.kind in _INNER
        ]
        waiting += [
            (item, f"{here}[{n}]", key) for n, item in reversed(list(enumerate(node.items))) if item.kind in _INNER
        ]


def _is_image(key: str) -> bool:
    return key == "image" or key.endswith("Image")


def _chart_image(text: str, node: Node, path: str, *, digest_in_tag: bool) -> Place | Refused | None:
    repository = node.text("repository")
    if not repository:
        return None
    registry, tag, digest = node.text("registry") or "", node.text("tag") or "", node.text("digest") or ""
    base = f"{registry}/{repository}" if registry else repository
    reference = base + (f":{tag}" if tag else "") + (f"@{digest}" if digest else "")
    line = _line(text, node.start)
    fault = _problem(reference)
    if fault is None and not tag and not digest:
        fault = "has no tag: the chart takes its appVersion"
    if fault is not None:
        return Refused(path=path, line=line, reference=reference[:200], reason=fault)

    def edits(new: str) -> list[Edit]:
        wanted = AnyReference.parse(new)
        made = _name_edits(text, node, base, wanted)
        old = AnyReference.parse(reference)
        if (old.tag, old.digest) == (wanted.tag, wanted.digest):
            return made
        if wanted.digest is not None and node.get("digest") is None:
            there = node.get("tag")
            if not digest_in_tag or there is None:
                raise InvalidInput.single(
                    "cannot be pinned", f"line {line}",
                    "these values have no digest; add one if the chart reads it, or pass digest_in_tag=True",
                )  # fmt: skip
            return [*made, replaced(text, there, f"{wanted.tag or old.tag}@{wanted.digest}")]
        if wanted.digest is not None and wanted.tag is None:
            # Charts that know a digest prefer it; the tag stays as a remark.
            wanted = attrs.evolve(wanted, tag=old.tag)
        if wanted.tag == old.tag and wanted.tag is not None:
            wanted_digest = wanted.digest
            there = node.get("digest")
            if wanted_digest is not None and there is not None:
                return [*made, replaced(text, there, wanted_digest)]
        return [*made, *_version_edits(text, node, "tag", wanted)]

    return Place(kind="helm", path=path, line=line, reference=reference, edits=edits)


def _name_edits(text: str, node: Node, base: str, wanted: AnyReference) -> list[Edit]:
    if wanted.name == base:
        return []
    registry, repository = node.get("registry"), node.get("repository")
    assert repository is not None
    if registry is not None and registry.value:
        if wanted.host is None:
            raise InvalidInput.single(
                "cannot be rewritten", f"line {_line(text, node.start)}", "the new reference has no registry"
            )
        made = [replaced(text, registry, wanted.host)] if registry.value != wanted.host else []
        return made + ([replaced(text, repository, wanted.path)] if repository.value != wanted.path else [])
    return [replaced(text, repository, wanted.name)]
