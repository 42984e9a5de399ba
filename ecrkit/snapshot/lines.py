"""The lines of a saved snapshot: what each holds, how it is written, and how it is read back.

Version 1, JSON Lines. The first line is the header; then for each repository a `repository` line, lines of `images` and
`manifests` in the form of ECR's API, and an `end` line; the last line is `registry`, without which a file is cut off.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from sys import intern
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import UTC, iso, parse_time
from ecrkit.errors import InvalidInput, Problem
from ecrkit.records import Image, RawManifest, Repository, images_from_api
from ecrkit.snapshot.contents import PARTS, Gap, Part, RepositorySnapshot

__all__ = ["FORMAT", "VERSION", "Asked", "Header"]

FORMAT: Final = "ecrkit-snapshot"
VERSION: Final = 1
_IMAGES: Final = 500
_TEXT: Final = 1_000_000
"""Images, and characters of manifests, that one line holds at most; a single manifest may be longer."""


def _globs(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


def _tags(given: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(given.items()))


def _parts(given: Iterable[Part]) -> tuple[Part, ...]:
    wanted = set(given)
    return tuple(part for part in PARTS if part in wanted)


@attrs.frozen(kw_only=True)
class Asked(Record):
    """What a snapshot was asked for: which repositories, and which parts of each.

    `function` says that a caller's function chose among them; what it would choose again is not known.
    """

    repositories: tuple[str, ...] = attrs.field(default=("*",), converter=_globs)
    resource_tags: Mapping[str, str] = attrs.field(factory=dict, converter=_tags, hash=False)
    function: bool = False
    parts: tuple[Part, ...] = attrs.field(default=PARTS, converter=_parts)
    scans: bool = True

    def surely_selects(self, name: str) -> bool:
        """Return whether a repository of that name must be in the snapshot if it exists."""
        from ecrkit._internal.globs import matches_any

        return not self.function and not self.resource_tags and matches_any(self.repositories, name)


@attrs.frozen(kw_only=True)
class Header(Record):
    """The first line of a snapshot: whose registry, when, and what was asked for."""

    account: str
    region: str
    taken_at: dt.datetime
    asked: Asked = attrs.field(factory=Asked)
    version: int = VERSION


# ---- writing


def dump(value: object) -> bytes:
    """Return one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"


def _time(moment: dt.datetime) -> int | str:
    # A number where that is exact and short; a float would lose microseconds of late years.
    return iso(moment) if moment.microsecond else int(moment.timestamp())


def header_line(header: Header) -> bytes:
    """Return the first line."""
    asked = header.asked
    return dump({
        "format": FORMAT, "version": header.version, "account": header.account, "region": header.region,
        "taken_at": iso(header.taken_at),
        "asked": {
            "repositories": list(asked.repositories), "resource_tags": dict(asked.resource_tags),
            "function": asked.function, "parts": list(asked.parts), "scans": asked.scans,
        },
    })  # fmt: skip


def repository_line(
    repository: Repository,
    *,
    read_at: dt.datetime,
    tags: Mapping[str, str] | None,
    lifecycle_policy: str | None,
    repository_policy: str | None,
) -> bytes:
    """Return the line that begins a repository."""
    raw: dict[str, Any] = {
        "repositoryName": repository.name, "repositoryArn": repository.arn, "registryId": repository.registry_id,
        "repositoryUri": repository.uri, "createdAt": _time(repository.created_at),
        "imageTagMutability": repository.tag_mutability,
        "imageScanningConfiguration": {"scanOnPush": repository.scan_on_push},
        "encryptionConfiguration": {"encryptionType": repository.encryption_type}
        | ({"kmsKey": repository.kms_key} if repository.kms_key is not None else {}),
    }  # fmt: skip
    if repository.mutability_exclusions:
        raw["imageTagMutabilityExclusionFilters"] = [{"filter": f} for f in repository.mutability_exclusions]
    return dump({
        "repository": raw, "read_at": iso(read_at), "tags": dict(tags or {}),
        "lifecycle_policy": lifecycle_policy, "repository_policy": repository_policy,
    })  # fmt: skip


def image_lines(images: Iterable[Image], *, scans: bool = True) -> Iterator[bytes]:
    """Yield lines of images as DescribeImages gives them, without what the repository's line says already."""
    batch: list[dict[str, Any]] = []
    for image in images:
        batch.append(_image(image, scans))
        if len(batch) == _IMAGES:
            yield dump({"images": batch})
            batch = []
    if batch:
        yield dump({"images": batch})


def _image(image: Image, scans: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"imageDigest": image.digest, "imagePushedAt": _time(image.pushed_at)}
    if image.tags:
        found["imageTags"] = image.tags
    if image.size is not None:
        found["imageSizeInBytes"] = image.size
    if image.status != "ACTIVE":
        found["imageStatus"] = image.status
    if image.manifest_media_type is not None:
        found["imageManifestMediaType"] = image.manifest_media_type
    if image.artifact_media_type is not None:
        found["artifactMediaType"] = image.artifact_media_type
    for name, moment in (
        ("lastRecordedPullTime", image.last_pulled_at),
        ("lastArchivedAt", image.last_archived_at),
        ("lastActivatedAt", image.last_activated_at),
    ):
        if moment is not None:
            found[name] = _time(moment)
    if image.subject_digest is not None:
        found["subjectManifestDigest"] = image.subject_digest
    if scans and image.scan is not None:
        scan = image.scan
        found["imageScanStatus"] = {"status": scan.status} | (
            {"description": scan.description} if scan.description is not None else {}
        )
        if scan.counts or scan.completed_at is not None:
            found["imageScanFindingsSummary"] = {"findingSeverityCounts": dict(scan.counts)} | (
                {"imageScanCompletedAt": _time(scan.completed_at)} if scan.completed_at is not None else {}
            )
    return found


def manifest_lines(manifests: Iterable[RawManifest]) -> Iterator[bytes]:
    """Yield lines of manifests, each with its digest, its media type and its exact text."""
    batch: list[tuple[str, str, str]] = []
    length = 0
    for manifest in manifests:
        batch.append((manifest.digest, manifest.media_type, manifest.text))
        length += len(manifest.text)
        if length >= _TEXT:
            yield dump({"manifests": batch})
            batch, length = [], 0
    if batch:
        yield dump({"manifests": batch})


def end_line(
    name: str, *, read: Iterable[Part], gaps: Iterable[Gap], unread: Mapping[str, str], images: int, manifests: int
) -> bytes:
    """Return the line that ends a repository and says whether it is whole."""
    return dump({
        "end": name, "read": list(_parts(read)), "images": images, "manifests": manifests,
        "unread": dict(unread), "gaps": [gap.to_dict() for gap in gaps],
    })  # fmt: skip


def repository_lines(entry: RepositorySnapshot, *, scans: bool = True) -> Iterator[bytes]:
    """Yield every line of one repository."""
    read = entry.read
    yield repository_line(
        entry.repository,
        read_at=entry.read_at,
        tags=entry.tags if "tags" in read else None,
        lifecycle_policy=entry.lifecycle_policy if "lifecycle_policy" in read else None,
        repository_policy=entry.repository_policy if "repository_policy" in read else None,
    )
    images, manifests = entry.kept
    yield from image_lines(images, scans=scans)
    yield from manifest_lines(manifests)
    yield end_line(
        entry.name, read=read, gaps=entry.gaps, unread=entry.unread, images=len(images), manifests=len(manifests)
    )


def registry_line(
    settings: Mapping[str, Any], gaps: Iterable[Gap], *, finished_at: dt.datetime, repositories: int
) -> bytes:
    """Return the last line."""
    return dump({
        "registry": dict(settings), "gaps": [gap.to_dict() for gap in gaps],
        "finished_at": iso(finished_at), "repositories": repositories,
    })  # fmt: skip


# ---- reading


class _Faulty(ValueError):
    """A line that says something wrong; the caller knows file and number."""


def parse(line: bytes) -> dict[str, Any]:
    """Return the object of a line.

    Raises:
        ValueError: it is no JSON object, or nests too deep.
    """
    try:
        found = json.loads(line, parse_constant=_constant)
    except RecursionError:
        raise _Faulty("nests too deep") from None
    except UnicodeDecodeError:
        raise _Faulty("is not UTF-8") from None
    if not isinstance(found, dict):
        raise _Faulty(f"must be an object, not {type(found).__name__}")
    return found


def _constant(name: str) -> object:
    raise _Faulty(f"{name} is no JSON value")


def member(raw: Mapping[str, Any], name: str, kind: type | tuple[type, ...], *, optional: bool = False) -> Any:
    """Return a member of the right kind; a bool is no number."""
    value = raw.get(name)
    if value is None and optional:
        return None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is int):
        wanted = " or ".join(k.__name__ for k in (kind if isinstance(kind, tuple) else (kind,)))
        raise _Faulty(f"{name} must be a {wanted}, not {type(value).__name__}")
    return value


def texts(raw: Mapping[str, Any], name: str) -> dict[str, str]:
    """Return a member that maps texts to texts."""
    found: dict[Any, Any] = member(raw, name, dict)
    for value in found.values():
        if not isinstance(value, str):
            raise _Faulty(f"{name} must hold texts, not {type(value).__name__}")
    return found


def _list_of_texts(raw: Mapping[str, Any], name: str) -> list[str]:
    found: list[Any] = member(raw, name, list)
    if not all(isinstance(value, str) for value in found):
        raise _Faulty(f"{name} must hold texts")
    return found


def read_header(raw: Mapping[str, Any]) -> Header:
    """Return the header.

    Raises:
        ValueError: it is none, or of a newer version.
    """
    if raw.get("format") != FORMAT:
        raise _Faulty("is not the first line of a snapshot; the file is something else, or its beginning is missing")
    version = member(raw, "version", int)
    if not 1 <= version <= VERSION:
        raise _Faulty(f"has version {version}; this ecrkit reads up to {VERSION}: install a newer one")
    asked = member(raw, "asked", dict)
    parts: list[Part] = [part for part in PARTS if part in _list_of_texts(asked, "parts")]
    return Header(
        account=member(raw, "account", str),
        region=member(raw, "region", str),
        taken_at=parse_time(member(raw, "taken_at", str)).astimezone(UTC),
        version=version,
        asked=Asked(
            repositories=_list_of_texts(asked, "repositories"),
            resource_tags=texts(asked, "resource_tags"),
            function=member(asked, "function", bool),
            scans=member(asked, "scans", bool),
            parts=parts,
        ),
    )


def _read_gaps(raw: Mapping[str, Any]) -> tuple[Gap, ...]:
    found: list[Gap] = []
    for item in member(raw, "gaps", list):
        if not isinstance(item, dict):
            raise _Faulty("gaps must hold objects")
        found.append(
            Gap(
                what=member(item, "what", str),
                repository=member(item, "repository", str, optional=True),
                error=member(item, "error", str),
                call=member(item, "call", str),
            )
        )
    return tuple(found)


@attrs.frozen(kw_only=True)
class Head:
    """What a repository's first and last line say: all that is kept in memory of it."""

    repository: Repository
    read_at: dt.datetime
    tags: Mapping[str, str]
    lifecycle_policy: str | None
    repository_policy: str | None
    read: frozenset[Part] = frozenset()
    gaps: tuple[Gap, ...] = ()
    unread: Mapping[str, str] = attrs.field(factory=dict)
    images: int = 0
    manifests: int = 0

    @property
    def name(self) -> str:
        """The repository's name."""
        return self.repository.name


def read_repository(raw: Mapping[str, Any]) -> Head:
    """Return what a `repository` line says."""
    return Head(
        repository=Repository.from_api(member(raw, "repository", dict), path="$.repository"),
        read_at=parse_time(member(raw, "read_at", str)),
        tags=texts(raw, "tags"),
        lifecycle_policy=shared(member(raw, "lifecycle_policy", str, optional=True)),
        repository_policy=shared(member(raw, "repository_policy", str, optional=True)),
    )


def shared(text: str | None) -> str | None:
    """Return the one object of equal policy texts: most repositories of a registry have one of a few."""
    return None if text is None else intern(text)


def read_end(raw: Mapping[str, Any], head: Head) -> Head:
    """Return the repository with what its `end` line says."""
    if raw["end"] != head.name:
        raise _Faulty(f"ends {str(raw['end'])!r:.80}, but {head.name!r} was begun")
    return attrs.evolve(
        head,
        read=frozenset(part for part in PARTS if part in _list_of_texts(raw, "read")),
        gaps=_read_gaps(raw),
        unread=texts(raw, "unread"),
        images=member(raw, "images", int),
        manifests=member(raw, "manifests", int),
    )


def read_images(raw: Mapping[str, Any], repository: Repository) -> tuple[Image, ...]:
    """Return the images of a line."""
    items = member(raw, "images", list)
    for item in items:
        if isinstance(item, dict):
            item["repositoryName"] = repository.name
            item["registryId"] = repository.registry_id
    return images_from_api(items, path="$.images")


def read_manifests(raw: Mapping[str, Any]) -> Sequence[RawManifest]:
    """Return the manifests of a line."""
    found: list[RawManifest] = []
    for item in member(raw, "manifests", list):
        if not (isinstance(item, list) and len(item) == 3 and all(isinstance(text, str) for text in item)):
            raise _Faulty("manifests must hold lists of digest, media type and text")
        found.append(RawManifest(digest=item[0], media_type=item[1], text=item[2]))
    return found


def read_registry(raw: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[Gap, ...], dt.datetime, int]:
    """Return settings, gaps, the end of the crawl and the number of repositories of the last line."""
    settings: dict[str, Any] = member(raw, "registry", dict)
    finished = parse_time(member(raw, "finished_at", str))
    return settings, _read_gaps(raw), finished, member(raw, "repositories", int)


def whole(head: Head, images: Iterable[Image], manifests: Iterable[RawManifest]) -> RepositorySnapshot:
    """Return the repository of its lines."""
    found = RepositorySnapshot(
        repository=head.repository,
        read_at=head.read_at,
        read=head.read,
        gaps=head.gaps,
        unread=head.unread,
        tags=head.tags,
        lifecycle_policy=head.lifecycle_policy,
        repository_policy=head.repository_policy,
        images=images,
        manifests=manifests,
    )
    kept_images, kept_manifests = found.kept
    if (len(kept_images), len(kept_manifests)) != (head.images, head.manifests):
        raise _Faulty(
            f"{head.name} has {len(kept_images)} images and {len(kept_manifests)} manifests, "
            f"its end says {head.images} and {head.manifests}"
        )
    if len({image.digest for image in kept_images}) != len(kept_images):
        raise _Faulty(f"{head.name} lists an image twice")
    return found


def refused(path: object, number: int, fault: Exception, remedy: str) -> InvalidInput:
    """Return the error for a line of a file."""
    about = fault.problems if isinstance(fault, InvalidInput) else (Problem("$", str(fault)),)
    problems = [Problem(f"{path}, line {number}, {p.path}", f"{p.message}; {remedy}") for p in about[:20]]
    return InvalidInput("not a snapshot that can be read", problems)
