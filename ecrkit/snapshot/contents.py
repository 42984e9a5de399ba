"""What a snapshot says of one repository, and what it cannot say."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.inventory import Inventory
from ecrkit.records import Image, RawManifest, Repository

__all__ = ["PARTS", "Gap", "NotRead", "Part", "RepositorySnapshot"]

Part = Literal["images", "manifests", "tags", "lifecycle_policy", "repository_policy"]
"""What a snapshot can hold of a repository; `tags` are its resource tags."""

PARTS: Final[tuple[Part, ...]] = ("images", "manifests", "tags", "lifecycle_policy", "repository_policy")


@attrs.frozen(kw_only=True)
class Gap(Record):
    """Something that a snapshot was asked for and could not read: what, of which repository, and which call failed.

    `repository` is None for a setting of the registry.

    Example:
        >>> print(Gap(what="images", repository="team/app", error="not authorized", call="DescribeImages"))
        images of team/app: DescribeImages: not authorized
    """

    what: str
    repository: str | None
    error: str
    call: str

    @override
    def __str__(self) -> str:
        return f"{self.what} of {self.repository or 'the registry'}: {self.call}: {self.error}"


class NotRead(InvalidInput):
    """A snapshot is asked for what it did not read; `gaps` says why, and is empty when it was never asked to."""

    gaps: tuple[Gap, ...]

    def __init__(self, what: str, problems: Iterable[Problem] = (), *, gaps: Iterable[Gap] = ()) -> None:
        super().__init__(what, problems)
        self.gaps = tuple(gaps)


def _images(given: Iterable[Image]) -> tuple[Image, ...]:
    return tuple(sorted(given, key=lambda image: (image.pushed_at, image.digest)))


def _manifests(given: Iterable[RawManifest]) -> tuple[RawManifest, ...]:
    return tuple(sorted(given, key=lambda manifest: manifest.digest))


def _gaps(given: Iterable[Gap]) -> tuple[Gap, ...]:
    return tuple(given)


def _texts(given: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(given.items()))


def _parts(given: Iterable[Part]) -> frozenset[Part]:
    return frozenset(given)


@attrs.frozen(kw_only=True, repr=False)
class RepositorySnapshot:
    """One repository of a snapshot. What was not read raises [`NotRead`][ecrkit.snapshot.NotRead], it is never empty.

    `read` names the parts that were read whole, so that a caller may ask before. Of the part `manifests` that means:
    every manifest that can be read. `unread` names the images without manifest and why: an archived image cannot be
    pulled, so its manifest is unknown unless a cache had it.

    Example:
        >>> made = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        >>> repository = Repository(
        ...     name="team/app", arn="arn:aws:ecr:us-east-1:123456789012:repository/team/app",
        ...     registry_id="123456789012", uri="", created_at=made)
        >>> entry = RepositorySnapshot(repository=repository, read_at=made, read=["tags"], tags={"Team": "a"})
        >>> entry.tags["Team"], "images" in entry.read
        ('a', False)
        >>> entry.inventory
        Traceback (most recent call last):
        ecrkit.snapshot.contents.NotRead: the snapshot has no images of team/app: ...
    """

    repository: Repository
    read_at: dt.datetime
    read: frozenset[Part] = attrs.field(default=frozenset[Part](), converter=_parts)
    gaps: tuple[Gap, ...] = attrs.field(default=(), converter=_gaps)
    unread: Mapping[str, str] = attrs.field(factory=dict, converter=_texts, hash=False)
    _resource_tags: Mapping[str, str] = attrs.field(factory=dict, converter=_texts, hash=False, alias="tags")
    _lifecycle_text: str | None = attrs.field(default=None, alias="lifecycle_policy")
    _policy_text: str | None = attrs.field(default=None, alias="repository_policy")
    _found: tuple[Image, ...] = attrs.field(default=(), converter=_images, alias="images")
    _kept: tuple[RawManifest, ...] = attrs.field(default=(), converter=_manifests, alias="manifests")

    @property
    def name(self) -> str:
        """The repository's name."""
        return self.repository.name

    def require(self, part: Part) -> None:
        """Raise when a part was not read.

        Raises:
            NotRead: it was not.
        """
        if part not in self.read:
            raise not_read(self.name, part, self.gaps)

    @property
    def kept(self) -> tuple[tuple[Image, ...], tuple[RawManifest, ...]]:
        """The images and manifests that are there, whether or not they were read whole; for saving them."""
        return self._found, self._kept

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image, of every status, in the order of their pushes.

        Raises:
            NotRead: they were not read.
        """
        self.require("images")
        return self._found

    @property
    def manifests(self) -> tuple[RawManifest, ...]:
        """The manifests that were read, exactly as ECR returned them; `unread` names the others.

        Raises:
            NotRead: none was asked for.
        """
        if "manifests" not in self.read and not self._kept:
            raise not_read(self.name, "manifests", self.gaps)
        return self._kept

    @property
    def tags(self) -> Mapping[str, str]:
        """The resource tags.

        Raises:
            NotRead: they were not read.
        """
        self.require("tags")
        return self._resource_tags

    @property
    def lifecycle_policy(self) -> str | None:
        """The text of the lifecycle policy, or None when there is none.

        Raises:
            NotRead: it was not read.
        """
        self.require("lifecycle_policy")
        return self._lifecycle_text

    @property
    def repository_policy(self) -> str | None:
        """The text of the repository policy, or None when there is none.

        Raises:
            NotRead: it was not read.
        """
        self.require("repository_policy")
        return self._policy_text

    @cached_property
    def inventory(self) -> Inventory:
        """The images with their manifests and the graph between them, made on first use.

        An image without manifest is unknown in it, as in every inventory: its layers make ranges, its index is opaque.

        Raises:
            NotRead: the images were not read.
        """
        return Inventory(self.images, repository=self.name).with_manifests(self._kept)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping; a part that was not read is absent."""
        found: dict[str, Any] = {"repository": self.repository.to_dict(), "read": sorted(self.read)}
        if "tags" in self.read:
            found["tags"] = dict(self._resource_tags)
        if "lifecycle_policy" in self.read:
            found["lifecycle_policy"] = self._lifecycle_text
        if "repository_policy" in self.read:
            found["repository_policy"] = self._policy_text
        if "images" in self.read:
            found["images"] = [image.to_dict() for image in self._found]
        return found | {"gaps": [gap.to_dict() for gap in self.gaps]}

    @override
    def __repr__(self) -> str:
        images = counted(len(self._found), "image") if "images" in self.read else "images not read"
        return f"<RepositorySnapshot of {self.name}: {images}, {counted(len(self.gaps), 'gap')}>"


def not_read(repository: str, part: str, gaps: Iterable[Gap]) -> NotRead:
    """Return the error for a part of a repository that a snapshot lacks."""
    about = [gap for gap in gaps if gap.what in (part, "selection")] or [gap for gap in gaps if gap.what == "images"]
    why = "; ".join(map(str, about)) if about else "they were not asked for"
    name = part.replace("_", " ")
    message = f"{why}; take the snapshot again, with what was missing"
    return NotRead(f"the snapshot has no {name} of {repository}", [Problem(f"$.{part}", message)], gaps=about)
