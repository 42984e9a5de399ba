"""What ECR says, as frozen records: images, repositories, manifests, lifecycle previews.

Records hold what the API answered and nothing that ecrkit concluded. Values of enums stay text, so a status that a
newer service sends is kept and not refused. Times are aware UTC, sizes are bytes.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.globs import matches
from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput, Problem

__all__ = [
    "CreationTemplate",
    "Image",
    "ImageFailure",
    "ImageId",
    "LayerState",
    "LayerUpload",
    "LifecyclePolicyText",
    "LifecyclePreview",
    "PreviewResult",
    "Progress",
    "RawManifest",
    "Referrer",
    "Repository",
    "ScanSummary",
    "SigningStatus",
    "StorageClass",
    "images_from_api",
]

StorageClass = Literal["standard", "archive"]
"""The two storage classes that a lifecycle rule can name."""

_is_digest: Final = re.compile(r"sha256:[0-9a-f]{64}").fullmatch

_INDEX_MEDIA_TYPES: Final = frozenset(
    {
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    }
)


@attrs.frozen(kw_only=True)
class ScanSummary(Record):
    """The scan status and counts that DescribeImages carries for an image.

    The new native scan and enhanced scanning do not fill it, so its absence says nothing about an image.
    """

    status: str | None = None
    description: str | None = None
    completed_at: dt.datetime | None = None
    counts: Mapping[str, int] = attrs.field(factory=dict, hash=False)


@attrs.frozen(kw_only=True)
class Image(Record):
    """One image (one digest) of a repository, as DescribeImages tells it.

    `size` is `imageSizeInBytes`: config plus layers, compressed, without the manifest; for an index it is the largest
    of its manifests, not their sum. `status` is ACTIVE, ARCHIVED, ACTIVATING, or what a newer service says.
    Source: ECR API reference, ImageDetail.

    Example:
        >>> image = Image.from_api({"imageDigest": "sha256:" + "a" * 64, "imagePushedAt": 1767225600.0})
        >>> image.pushed_at.isoformat(), image.tags, image.storage_class
        ('2026-01-01T00:00:00+00:00', (), 'standard')
    """

    digest: str
    pushed_at: dt.datetime
    tags: tuple[str, ...] = ()
    repository: str = ""
    registry_id: str = ""
    size: int | None = None
    status: str = "ACTIVE"
    manifest_media_type: str | None = None
    artifact_media_type: str | None = None
    last_pulled_at: dt.datetime | None = None
    last_archived_at: dt.datetime | None = None
    last_activated_at: dt.datetime | None = None
    subject_digest: str | None = None
    scan: ScanSummary | None = None

    @property
    def storage_class(self) -> StorageClass:
        """The storage class that lifecycle rules see: `archive` for ARCHIVED and ACTIVATING, else `standard`.

        An image that is being restored is still archived and not pullable (ECR user guide, archiving images); how a
        lifecycle policy treats it is not documented.
        """
        return "archive" if self.status in ("ARCHIVED", "ACTIVATING") else "standard"

    @property
    def is_index(self) -> bool:
        """Whether the manifest is an OCI index or a Docker manifest list."""
        return self.manifest_media_type in _INDEX_MEDIA_TYPES

    @classmethod
    def from_api(cls, detail: Mapping[str, Any], *, path: str = "$") -> Image:
        """Return the record of one `imageDetails` item, as boto3 returns it or the AWS CLI writes it.

        Members that ecrkit does not know are ignored.

        Raises:
            InvalidInput: a member is missing or of the wrong kind; `problems` names each with its JSON path.
        """
        try:
            digest = detail["imageDigest"]
            pushed = detail["imagePushedAt"]
            get = detail.get
            pulled, archived, activated = get("lastRecordedPullTime"), get("lastArchivedAt"), get("lastActivatedAt")
            media, artifact = get("imageManifestMediaType"), get("artifactMediaType")
            tags, size, subject = get("imageTags"), get("imageSizeInBytes"), get("subjectManifestDigest")
            status, scan = get("imageStatus"), get("imageScanStatus") or get("imageScanFindingsSummary")
            if not _plausible(digest, tags, size, subject):
                raise ValueError("implausible")
            return cls(
                digest=digest,
                pushed_at=parse_time(pushed),
                tags=tuple(tags) if tags else (),
                repository=intern(get("repositoryName") or ""),
                registry_id=intern(get("registryId") or ""),
                size=size,
                status=intern(status) if status else "ACTIVE",
                manifest_media_type=intern(media) if media else None,
                artifact_media_type=intern(artifact) if artifact else None,
                last_pulled_at=None if pulled is None else parse_time(pulled),
                last_archived_at=None if archived is None else parse_time(archived),
                last_activated_at=None if activated is None else parse_time(activated),
                subject_digest=subject or None,
                scan=_scan_summary(detail) if scan else None,
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            # The happy path above stays free of bookkeeping; a bad record is walked again to name every fault.
            raise InvalidInput("not an image of DescribeImages", _image_problems(detail, path)) from None

    @override
    def __str__(self) -> str:
        return f"{','.join(self.tags) or 'untagged'}@{self.digest[:19]}"


def _plausible(digest: object, tags: object, size: object, subject: object) -> bool:
    # Runs for every image of a crawl: exact types first, which is what a decoder gives.
    return (
        isinstance(digest, str)
        and _is_digest(digest) is not None
        and (tags is None or (isinstance(tags, (list, tuple)) and _all_texts(tags)))
        and (size is None or (type(size) is int and size >= 0) or _is_size(size))
        and (subject is None or isinstance(subject, str))
    )


def _all_texts(values: Iterable[object]) -> bool:
    for value in values:  # noqa: SIM110  all() with a generator takes three times as long for one or two tags
        if not isinstance(value, str):
            return False
    return True


def _is_size(size: object) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= 0


def _scan_summary(detail: Mapping[str, Any]) -> ScanSummary:
    status = detail.get("imageScanStatus") or {}
    summary = detail.get("imageScanFindingsSummary") or {}
    completed = summary.get("imageScanCompletedAt")
    counts = dict(summary.get("findingSeverityCounts") or {})
    for n in counts.values():
        if type(n) is not int:
            raise ValueError("implausible")
    return ScanSummary(
        status=status.get("status"),
        description=status.get("description"),
        completed_at=None if completed is None else parse_time(completed),
        counts=counts,
    )


def _scan_problems(detail: Mapping[str, Any], path: str) -> list[Problem]:
    problems = [
        Problem(f"{path}.{name}", "must be an object")
        for name in ("imageScanStatus", "imageScanFindingsSummary")
        if not isinstance(detail.get(name) or {}, Mapping)
    ]
    summary = detail.get("imageScanFindingsSummary") or {}
    if not isinstance(summary, Mapping):
        return problems
    here = f"{path}.imageScanFindingsSummary"
    problems += _time_problems(summary, ("imageScanCompletedAt",), here)
    counts = summary.get("findingSeverityCounts") or {}
    if not isinstance(counts, Mapping):
        problems.append(Problem(f"{here}.findingSeverityCounts", "must be an object"))
    else:
        problems += [
            Problem(f"{here}.findingSeverityCounts.{name}", f"must be a number, not {n!r:.40}")
            for name, n in counts.items()
            if type(n) is not int
        ]
    return problems


def _time_problems(detail: Mapping[str, Any], names: Iterable[str], path: str) -> list[Problem]:
    problems: list[Problem] = []
    for name in names:
        value = detail.get(name)
        if value is not None:
            try:
                parse_time(value)
            except ValueError as fault:
                problems.append(Problem(f"{path}.{name}", str(fault)))
    return problems


def _image_problems(detail: object, path: str) -> list[Problem]:
    if not isinstance(detail, Mapping):
        return [Problem(path, f"must be an object of DescribeImages, not {type(detail).__name__}")]
    problems: list[Problem] = []
    digest = detail.get("imageDigest")
    if digest is None:
        problems.append(Problem(f"{path}.imageDigest", "is missing; is this the output of describe-images?"))
    elif not isinstance(digest, str) or not _is_digest(digest):
        problems.append(Problem(f"{path}.imageDigest", f"must be 'sha256:' and 64 hex digits, not {digest!r:.80}"))
    if detail.get("imagePushedAt") is None:
        problems.append(
            Problem(f"{path}.imagePushedAt", "is missing; list-images does not carry it, describe-images does")
        )
    times = ("imagePushedAt", "lastRecordedPullTime", "lastArchivedAt", "lastActivatedAt")
    problems += _time_problems(detail, times, path)
    tags = detail.get("imageTags")
    if tags is not None and not (isinstance(tags, list | tuple) and all(isinstance(t, str) for t in tags)):
        problems.append(Problem(f"{path}.imageTags", "must be a list of strings"))
    size = detail.get("imageSizeInBytes")
    if size is not None and (not isinstance(size, int) or isinstance(size, bool) or size < 0):
        problems.append(Problem(f"{path}.imageSizeInBytes", f"must be a number of bytes, not {size!r:.40}"))
    for name in (
        "repositoryName", "registryId", "imageStatus", "imageManifestMediaType", "artifactMediaType",
        "subjectManifestDigest",
    ):  # fmt: skip
        if not isinstance(detail.get(name) or "", str):
            problems.append(Problem(f"{path}.{name}", "must be a string"))
    problems += _scan_problems(detail, path)
    return problems or [Problem(path, "is no image of DescribeImages")]


def images_from_api(details: Iterable[Mapping[str, Any]], *, path: str = "$.imageDetails") -> tuple[Image, ...]:
    """Return the records of many `imageDetails` items.

    Raises:
        InvalidInput: any item is faulty; `problems` names every fault, item by item, and stops with the item that
            brings them to a hundred.
    """
    images: list[Image] = []
    problems: list[Problem] = []
    for number, detail in enumerate(details):
        try:
            images.append(Image.from_api(detail, path=f"{path}[{number}]"))
        except InvalidInput as fault:
            problems.extend(fault.problems)
            if len(problems) >= 100:
                break
    if problems:
        raise InvalidInput("not a list of images as DescribeImages gives it", problems)
    return tuple(images)


@attrs.frozen(kw_only=True)
class Repository(Record):
    """One private repository, as DescribeRepositories tells it (ECR API reference, Repository)."""

    name: str
    arn: str
    registry_id: str
    uri: str
    created_at: dt.datetime
    tag_mutability: str = "MUTABLE"
    mutability_exclusions: tuple[str, ...] = ()
    scan_on_push: bool = False
    encryption_type: str = "AES256"
    kms_key: str | None = None

    @classmethod
    def from_api(cls, raw: Mapping[str, Any], *, path: str = "$") -> Repository:
        """Return the record of one `repositories` item.

        Raises:
            InvalidInput: a required member is missing or of the wrong kind.
        """
        problems = _repository_problems(raw, path)
        if problems:
            raise InvalidInput("not a repository of DescribeRepositories", problems)
        encryption = raw.get("encryptionConfiguration") or {}
        return cls(
            name=raw["repositoryName"],
            arn=raw["repositoryArn"],
            registry_id=intern(raw["registryId"]),
            uri=raw["repositoryUri"],
            created_at=parse_time(raw["createdAt"]),
            tag_mutability=raw.get("imageTagMutability") or "MUTABLE",
            mutability_exclusions=tuple(f["filter"] for f in raw.get("imageTagMutabilityExclusionFilters") or ()),
            scan_on_push=bool((raw.get("imageScanningConfiguration") or {}).get("scanOnPush")),
            encryption_type=encryption.get("encryptionType") or "AES256",
            kms_key=encryption.get("kmsKey"),
        )

    def tag_is_immutable(self, tag: str) -> bool:
        """Return whether a tag, once given, cannot move here.

        The four modes are MUTABLE, IMMUTABLE, and either of them `_WITH_EXCLUSION`, whose filters turn it round; `*` in
        a filter stands for any characters (ECR API reference, ImageTagMutabilityExclusionFilter).

        Example:
            >>> made = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
            >>> app = Repository(
            ...     name="app", arn="", registry_id="123456789012", uri="", created_at=made,
            ...     tag_mutability="IMMUTABLE_WITH_EXCLUSION", mutability_exclusions=("dev-*",))
            >>> app.tag_is_immutable("v1"), app.tag_is_immutable("dev-1")
            (True, False)
        """
        return self.tag_mutability.startswith("IMMUTABLE") != any(
            matches(pattern, tag) for pattern in self.mutability_exclusions
        )

    @override
    def __str__(self) -> str:
        return self.uri


def _repository_problems(raw: object, path: str) -> list[Problem]:
    if not isinstance(raw, Mapping):
        return [Problem(path, f"must be an object of DescribeRepositories, not {type(raw).__name__}")]
    problems = [
        Problem(f"{path}.{name}", "must be a string")
        for name in ("repositoryName", "repositoryArn", "registryId", "repositoryUri")
        if not isinstance(raw.get(name), str)
    ]
    if raw.get("createdAt") is None:
        problems.append(Problem(f"{path}.createdAt", "is missing; is this the output of describe-repositories?"))
    problems += _time_problems(raw, ("createdAt",), path)
    if not isinstance(raw.get("imageTagMutability") or "", str):
        problems.append(Problem(f"{path}.imageTagMutability", "must be a string"))
    problems += [
        Problem(f"{path}.{name}", "must be an object")
        for name in ("encryptionConfiguration", "imageScanningConfiguration")
        if not isinstance(raw.get(name) or {}, Mapping)
    ]
    filters = raw.get("imageTagMutabilityExclusionFilters") or ()
    if not isinstance(filters, list | tuple):
        problems.append(Problem(f"{path}.imageTagMutabilityExclusionFilters", "must be a list"))
    else:
        problems += [
            Problem(f"{path}.imageTagMutabilityExclusionFilters[{n}].filter", "must be a string")
            for n, item in enumerate(filters)
            if not isinstance(item, Mapping) or not isinstance(item.get("filter"), str)
        ]
    return problems


@attrs.frozen(kw_only=True)
class RawManifest(Record):
    """A manifest exactly as BatchGetImage returned it: the text whose UTF-8 bytes hash to `digest`."""

    digest: str
    media_type: str
    text: str = attrs.field(repr=False)


@attrs.frozen(kw_only=True)
class LifecyclePolicyText(Record):
    """A repository's live lifecycle policy, as GetLifecyclePolicy returns it."""

    repository: str
    text: str
    last_evaluated_at: dt.datetime | None = None


@attrs.frozen(kw_only=True)
class PreviewResult(Record):
    """One image that ECR's own preview would act on."""

    digest: str
    tags: tuple[str, ...] = ()
    pushed_at: dt.datetime | None = None
    action: str = "EXPIRE"
    target_storage_class: str | None = None
    rule_priority: int = 0
    storage_class: str | None = None


@attrs.frozen(kw_only=True)
class LifecyclePreview(Record):
    """ECR's own lifecycle preview: its status, and the images it would act on. Kept images are never listed."""

    repository: str
    status: str
    policy_text: str
    results: tuple[PreviewResult, ...] = ()
    expiring_count: int | None = None
    transitioning_count: int | None = None


@attrs.frozen(kw_only=True)
class Progress(Record):
    """How far long work is: `done` of `total` (None when not known yet) of `what`."""

    done: int
    total: int | None = None
    what: str = ""


@attrs.frozen(kw_only=True)
class ImageId(Record):
    """What ListImages and PutImage call an image by: its digest, and one of its tags or None.

    ListImages gives one identifier for each tag, so a digest may come several times.
    """

    digest: str
    tag: str | None = None


@attrs.frozen(kw_only=True)
class ImageFailure(Record):
    """One image that a batch operation did not read or delete, with ECR's code (ECR API reference, ImageFailure)."""

    digest: str | None
    code: str
    reason: str = ""
    tag: str | None = None


@attrs.frozen(kw_only=True)
class Referrer(Record):
    """An artifact whose subject is an image: a signature, SBOM or attestation (ECR API reference, ImageReferrer)."""

    digest: str
    media_type: str
    size: int
    artifact_type: str | None = None
    annotations: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    status: str = "ACTIVE"


@attrs.frozen(kw_only=True)
class SigningStatus(Record):
    """What became of a managed signature: IN_PROGRESS, COMPLETE, FAILED, or what ECR says in time to come.

    Source: ECR API reference, ImageSigningStatus.
    """

    profile_arn: str
    status: str
    failure_code: str | None = None
    failure_reason: str | None = None


@attrs.frozen(kw_only=True)
class LayerState(Record):
    """Whether a repository has a layer: AVAILABLE, UNAVAILABLE, ARCHIVED, or a failure's code (ECR API, Layer)."""

    digest: str
    availability: str
    size: int | None = None
    media_type: str | None = None


@attrs.frozen(kw_only=True)
class LayerUpload(Record):
    """An upload that has begun: its identifier, and the bytes that a part is to have (ECR API, InitiateLayerUpload)."""

    upload_id: str
    part_size: int


@attrs.frozen(kw_only=True)
class CreationTemplate(Record):
    """A repository creation template: the settings of repositories that ECR creates by itself.

    `applied_for` says when: REPLICATION, PULL_THROUGH_CACHE, CREATE_ON_PUSH. The prefix `ROOT` is for every repository
    that no other fits (ECR API reference, RepositoryCreationTemplate).
    """

    prefix: str
    applied_for: tuple[str, ...]
    description: str = ""
    tag_mutability: str | None = None
    mutability_exclusions: tuple[str, ...] = ()
    encryption_type: str | None = None
    kms_key: str | None = None
    repository_policy: str | None = attrs.field(default=None, repr=False)
    lifecycle_policy: str | None = attrs.field(default=None, repr=False)
    resource_tags: Mapping[str, str] = attrs.field(factory=dict, hash=False)
    custom_role_arn: str | None = None

    def fits(self, repository: str) -> bool:
        """Return whether the prefix is for the repository; a `/` is assumed at its end.

        Example:
            >>> CreationTemplate(prefix="prod", applied_for=["REPLICATION"]).fits("prod-app")
            False
        """
        return self.prefix == "ROOT" or repository.startswith(self.prefix.removesuffix("/") + "/")

    @property
    def rank(self) -> int:
        """How closely the prefix fits; of those that fit, ECR takes the highest."""
        return -1 if self.prefix == "ROOT" else len(self.prefix.removesuffix("/"))

    @classmethod
    def from_api(cls, raw: Mapping[str, Any], *, path: str = "$") -> CreationTemplate:
        """Return the record of one `repositoryCreationTemplates` item.

        Raises:
            InvalidInput: the prefix is missing.
        """
        if not isinstance(raw.get("prefix"), str):
            raise InvalidInput.single("not a repository creation template", f"{path}.prefix", "must be a string")
        encryption = raw.get("encryptionConfiguration") or {}
        return cls(
            prefix=raw["prefix"],
            applied_for=tuple(raw.get("appliedFor") or ()),
            description=raw.get("description") or "",
            tag_mutability=raw.get("imageTagMutability"),
            mutability_exclusions=tuple(f["filter"] for f in raw.get("imageTagMutabilityExclusionFilters") or ()),
            encryption_type=encryption.get("encryptionType"),
            kms_key=encryption.get("kmsKey"),
            repository_policy=raw.get("repositoryPolicy") or None,
            lifecycle_policy=raw.get("lifecyclePolicy") or None,
            resource_tags={t["Key"]: t["Value"] for t in raw.get("resourceTags") or ()},
            custom_role_arn=raw.get("customRoleArn"),
        )
