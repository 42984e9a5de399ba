"""Where admission learns of images: a registry through its scanning service, or scans that were saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

import attrs

from ecrkit.errors import InvalidInput
from ecrkit.refs import ImageRef, RepositoryName
from ecrkit.refs import digest as checked_digest
from ecrkit.scanning.findings import ScanReport
from ecrkit.scanning.platforms import ImageScan
from ecrkit.scanning.service import ScanningService

__all__ = ["FindingsOf", "RegistryFindings", "SavedFindings"]


class FindingsOf(Protocol):
    """One registry, as admission needs it."""

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names now, or None when there is no such tag."""
        ...

    def scan_of(self, repository: str, digest: str) -> ImageScan:
        """Return the scan of the image, or of every platform of the index; without a scan it says so."""
        ...


@attrs.frozen
class RegistryFindings:
    """The findings of a live registry, read through its scanning service.

    Calls: DescribeImages for a tag; BatchGetImage and DescribeImageScanFindings for each image of a digest.
    """

    scanning: ScanningService

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names now, or None when there is no such tag.

        Raises:
            InvalidInput: the scanning service resolves no tags.
            AwsCallFailed: AWS refused or failed the call.
        """
        if self.scanning.tags is None:
            raise InvalidInput.single("no digest", tag, "this service resolves no tags")
        return self.scanning.tags.digest_of(repository, tag)

    def scan_of(self, repository: str, digest: str) -> ImageScan:
        """Return the scan as it is now.

        Raises:
            AwsCallFailed: AWS refused or failed a call.
        """
        return self.scanning.read(ImageRef(None, RepositoryName(repository), None, checked_digest(digest)))


def _by_digest(scans: Iterable[ImageScan | ScanReport]) -> Mapping[str, ImageScan]:
    found: dict[str, ImageScan] = {}
    for scan in scans:
        if scan.digest is None:
            what = "names no digest; a scan without one says nothing of any image"
            raise InvalidInput.single("no saved findings", scan.repository or "scan", what)
        whole = (
            ImageScan(repository=scan.repository, digest=scan.digest, reports=[scan])
            if isinstance(scan, ScanReport)
            else scan
        )
        found[scan.digest] = whole
    return found


def _tags(tags: Mapping[tuple[str, str], str]) -> Mapping[tuple[str, str], str]:
    return dict(tags)


@attrs.frozen
class SavedFindings:
    """Findings of scans that were read before; calls nothing.

    An image whose scan is not among them has none, which no gate passes. `tags` maps (repository, tag) to digests; a
    tag that is not among them names nothing.

    Raises:
        InvalidInput: a scan names no digest.
    """

    scans: Mapping[str, ImageScan] = attrs.field(converter=_by_digest)
    tags: Mapping[tuple[str, str], str] = attrs.field(factory=dict, converter=_tags, kw_only=True)

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest of the tag, or None when it was not saved."""
        return self.tags.get((repository, tag))

    def scan_of(self, repository: str, digest: str) -> ImageScan:
        """Return the saved scan, or one that says that there is none."""
        found = self.scans.get(digest)
        if found is not None and found.repository in (None, repository):
            return found
        return ImageScan(
            repository=repository, digest=digest, reports=[ScanReport.not_found(repository=repository, digest=digest)]
        )
