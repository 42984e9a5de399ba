"""Files as the AWS CLI writes them, read with every fault named by file and JSON path."""

from __future__ import annotations

import codecs
import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NoReturn

import attrs

from ecrkit.errors import InvalidInput, Problem
from ecrkit.images import Inventory
from ecrkit.lifecycle import LifecyclePolicy, LifecyclePolicyError
from ecrkit.records import Image, RawManifest, images_from_api

__all__ = ["ImageFiles", "read_images", "read_manifests", "read_policy"]

_MAX_IMAGES: Final = 256 * 1024 * 1024
_MAX_POLICY: Final = 1024 * 1024
_MAX_FAULTS: Final = 100
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # what `>` writes in Windows PowerShell
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@attrs.frozen(kw_only=True)
class ImageFiles:
    """What the files of images hold: an inventory for each repository, and what a reader should know of them."""

    inventories: tuple[Inventory, ...]
    notes: tuple[str, ...] = ()


def _refuse(what: str, path: str, message: str) -> NoReturn:
    raise InvalidInput.single(what, path, message)


def _text(path: str, what: str, limit: int) -> str:
    try:
        with open(path, "rb") as file:  # noqa: PTH123  Path would turn "" into the current folder
            raw = file.read(limit + 1)
    except IsADirectoryError:
        _refuse(what, path, "is a folder; name the file")
    except FileNotFoundError:
        _refuse(what, path, "does not exist")
    except (OSError, ValueError) as fault:  # ValueError: a name with a NUL
        _refuse(what, path, f"cannot be read: {getattr(fault, 'strerror', None) or fault}")
    if len(raw) > limit:
        _refuse(what, path, f"is larger than {limit // 1024 // 1024} MiB")
    coding = "utf-8"
    for mark, name in _BOMS:
        if raw.startswith(mark):
            raw, coding = raw[len(mark) :], name
            break
    try:
        text = raw.decode(coding)
    except UnicodeDecodeError as fault:
        _refuse(what, path, f"is no text: byte {fault.start} is not {coding.upper()}")
    if not text.strip():
        _refuse(what, path, "is empty")
    return text


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value")


def _documents(path: str, what: str, limit: int) -> list[Any]:
    """Return the JSON documents of a file: pages may stand one after another."""
    text = _text(path, what, limit)
    decoder = json.JSONDecoder(parse_constant=_constant)
    found: list[Any] = []
    at = 0
    while True:
        while at < len(text) and text[at] in " \t\r\n\ufeff":
            at += 1
        if at == len(text):
            return found
        try:
            document, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as fault:
            _refuse(what, path, f"is not JSON: line {fault.lineno}, column {fault.colno}: {fault.msg}")
        except RecursionError:
            _refuse(what, path, "is not JSON of the AWS CLI: it nests too deep")
        except ValueError as fault:
            _refuse(what, path, f"is not JSON: {str(fault)[:200]}")
        found.append(document)


def _pages(path: str, documents: list[Any]) -> Iterator[tuple[str, Any]]:
    for number, document in enumerate(documents, 1):
        yield (f"{path}: $" if len(documents) == 1 else f"{path}: page {number}: $"), document


def _listed(where: str, document: Any, member: str, key: str) -> tuple[str, list[Any]] | Problem:
    """Return the items of a page with their path; a bare list, or one bare item, is taken as well."""
    if isinstance(document, list):
        return where, document
    if isinstance(document, Mapping):
        if key in document:
            return where, [document]
        items = document.get(member)
        if isinstance(items, list):
            return f"{where}.{member}", items
        if member in document:
            return Problem(f"{where}.{member}", f"must be a list, not {_kind(items)}")
        names = ", ".join(map(str, list(document)[:4])) or "nothing"
        return Problem(f"{where}.{member}", f"is missing; the object holds {names:.100}")
    return Problem(where, f"must be an object with {member}, not {_kind(document)}")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return kinds.get(type(value), "a number")


def _paths(faults: Iterable[Problem], *, bare: bool) -> list[Problem]:
    # A bare item is written as a list of one; its path needs no index.
    return [Problem(p.path.replace("$[0]", "$", 1) if bare else p.path, p.message) for p in faults]


def read_images(paths: Iterable[str], *, now: dt.datetime) -> ImageFiles:
    """Return the images of files that `aws ecr describe-images` wrote: several pages, files and repositories.

    Pages may stand one after another in a file. An image that comes twice alike counts once.

    Raises:
        InvalidInput: a file cannot be read or is no such output; `problems` names each fault with file and path.
    """
    what = "not the images of a repository"
    problems: list[Problem] = []
    images: dict[tuple[str, str], Image] = {}
    places: dict[tuple[str, str], str] = {}
    notes: list[str] = []
    repeated, more = 0, ""
    for path in paths:
        for where, document in _pages(path, _documents(path, what, _MAX_IMAGES)):
            found = _listed(where, document, "imageDetails", "imageDigest")
            if isinstance(found, Problem):
                problems.append(found)
                continue
            prefix, items = found
            token = isinstance(document, Mapping) and (document.get("nextToken") or document.get("NextToken"))
            more = path if token else ""
            bare = isinstance(document, Mapping) and items == [document]
            try:
                records = images_from_api(items, path=prefix)
            except InvalidInput as fault:
                problems += _paths(fault.problems, bare=bare)
                continue
            for number, record in enumerate(records):
                key = (record.repository, record.digest)
                place = f"{prefix}[{number}]"
                if key not in images:
                    images[key], places[key] = record, place
                elif images[key] == record:
                    repeated += 1
                else:
                    problems.append(
                        Problem(place, f"{record.digest[:19]} stands also at {places[key]}, with other facts")
                    )
        if len(problems) >= _MAX_FAULTS:
            break
    if problems:
        raise InvalidInput(what, problems)
    if more:
        notes.append(f"{more} ends with a NextToken: there are more images than these, and their outcome may differ")
    if repeated:
        notes.append(f"images that stand in the files more than once: {repeated}; each counts once")
    late = sum(image.pushed_at > now for image in images.values())
    if late:
        notes.append(f"images pushed after the moment of this dry run: {late}; name a later one with --now")
    names = sorted({image.repository for image in images.values()})
    return ImageFiles(
        inventories=tuple(
            Inventory((i for i in images.values() if i.repository == name), repository=name) for name in names
        ),
        notes=tuple(notes),
    )


def read_manifests(paths: Iterable[str]) -> list[RawManifest]:
    """Return the manifests of files that `aws ecr batch-get-image` wrote.

    Raises:
        InvalidInput: a file cannot be read or is no such output; `problems` names each fault with file and path.
    """
    what = "not the manifests of images"
    problems: list[Problem] = []
    manifests: list[RawManifest] = []
    for path in paths:
        for where, document in _pages(path, _documents(path, what, _MAX_IMAGES)):
            found = _listed(where, document, "images", "imageManifest")
            if isinstance(found, Problem):
                problems.append(found)
                continue
            prefix, items = found
            for number, item in enumerate(items):
                identity = item.get("imageId") if isinstance(item, Mapping) else None
                digest = identity.get("imageDigest") if isinstance(identity, Mapping) else None
                text = item.get("imageManifest") if isinstance(item, Mapping) else None
                media = item.get("imageManifestMediaType") if isinstance(item, Mapping) else None
                if not isinstance(digest, str):
                    problems.append(Problem(f"{prefix}[{number}].imageId.imageDigest", "must be a text"))
                elif not isinstance(text, str) or not isinstance(media or "", str):
                    problems.append(Problem(f"{prefix}[{number}].imageManifest", "must be a text"))
                else:
                    manifests.append(RawManifest(digest=digest, media_type=media or "", text=text))
        if len(problems) >= _MAX_FAULTS:
            break
    if problems:
        raise InvalidInput(what, problems)
    return manifests


def read_policy(path: str) -> LifecyclePolicy:
    """Return the policy of a file: the policy itself, or what `aws ecr get-lifecycle-policy` wrote.

    Raises:
        InvalidInput: the file cannot be read, or ECR would refuse the policy; all problems with file and path.
    """
    what = "not a lifecycle policy"
    text = _text(path, what, _MAX_POLICY).strip()
    prefix = f"{path}: "
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None  # the policy's own reader says it with line and column
    if isinstance(document, Mapping) and "rules" not in document:
        for member in ("lifecyclePolicyText", "policyText"):
            inside = document.get(member)
            if isinstance(inside, str):
                text, prefix = inside, f"{path}: $.{member}: "
    elif isinstance(document, str):
        text = document  # --query lifecyclePolicyText with JSON output: the text once more in quotes
    try:
        return LifecyclePolicy.parse(text)
    except LifecyclePolicyError as fault:
        raise InvalidInput(what, [Problem(f"{prefix}{p.path}", p.message) for p in fault.problems]) from None
