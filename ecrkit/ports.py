"""What the domains need from the outside, as protocols.

The gateways of `ecrkit.aws` satisfy them on the real service and on the embedded ECR; a file or a test double can too.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import attrs

from ecrkit.errors import AwsCallFailed
from ecrkit.metrics import MetricPoint
from ecrkit.records import Image, LifecyclePolicyText, LifecyclePreview, Progress, RawManifest, Repository, StorageClass

__all__ = [
    "Amount",
    "Clock",
    "FanOut",
    "FindingSource",
    "ImageSource",
    "InspectorSource",
    "LifecyclePolicyStore",
    "Listing",
    "ManifestSource",
    "MetricSink",
    "OnProgress",
    "PullCountSource",
    "RepositorySource",
    "ResourcePolicyStore",
    "ResourceTagSource",
    "ResourceTagStore",
    "ScanningConfigurationStore",
    "StorageClassStore",
    "StoragePrices",
    "TagSource",
]

T = TypeVar("T")
R = TypeVar("R")
OnProgress = Callable[[Progress], None]
"""A callback that long work calls with frozen progress values."""


@runtime_checkable
class Clock(Protocol):
    """Where time comes from. Waiters and pacers never read the wall clock themselves."""

    def now(self) -> dt.datetime:
        """Return the current time in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


@attrs.frozen
class Listing(Generic[T]):
    """A lazy listing: iterate for records, `.pages()` for whole pages, `.all()` for a tuple. Each starts a new walk.

    Example:
        >>> book = {None: (["a"], "t1"), "t1": ([], "t2"), "t2": (["b"], None)}
        >>> Listing(book.__getitem__).all()
        ('a', 'b')
    """

    _fetch: Callable[[str | None], tuple[list[T], str | None]]

    def pages(self) -> Iterator[list[T]]:
        """Yield page by page; a page may be empty and still not be the last.

        Raises:
            AwsCallFailed: the service handed out a token for the second time; the walk would never end.
        """
        token: str | None = None
        seen: set[str] = set()
        while True:
            page, token = self._fetch(token)
            yield page
            if not token:
                return
            if token in seen:
                raise AwsCallFailed(
                    "the service repeats a page token; the listing would never end",
                    operation="listing",
                    code="RepeatedPageToken",
                )
            seen.add(token)

    def __iter__(self) -> Iterator[T]:
        for page in self.pages():
            yield from page

    def all(self) -> tuple[T, ...]:
        """Return every record."""
        return tuple(self)


class RepositorySource(Protocol):
    """Where repositories come from."""

    def repositories(self) -> Iterable[Repository]:
        """Return every repository of the registry."""
        ...


class ImageSource(Protocol):
    """Where the images of a repository come from."""

    def images(self, repository: str) -> Iterable[Image]:
        """Return every image of the repository, of every status: active, archived and being restored."""
        ...


class ManifestSource(Protocol):
    """Where manifests come from."""

    def manifests(self, repository: str, digests: Iterable[str]) -> Mapping[str, RawManifest]:
        """Return the manifests by digest. A digest that could not be read is absent from the answer."""
        ...


class Amount(Protocol):
    """Some money."""

    @property
    def amount(self) -> Decimal:
        """How much."""
        ...

    @property
    def currency(self) -> str:
        """Of what, such as USD."""
        ...


class StoragePrices(Protocol):
    """What storage costs in a Region; `ecrkit.cost.PriceTable` is one.

    `already` is what the account stores besides, which fills the lower tiers.
    """

    def standard_month(self, count: int, *, already: int = 0) -> Amount:
        """Return what a month of so many bytes costs in the standard class."""
        ...

    def archive_month(self, count: int, *, already: int = 0) -> Amount:
        """Return what a month of so many bytes costs in the archive."""
        ...

    def retrieve(self, count: int) -> Amount:
        """Return what getting so many archived bytes back costs."""
        ...


class StorageClassStore(Protocol):
    """Archives and restores images."""

    def update_storage_class(self, repository: str, digest: str, to: StorageClass) -> str:
        """Move the image to the storage class; return its status then (UpdateImageStorageClass)."""
        ...


class ResourceTagSource(Protocol):
    """Where the resource tags of repositories come from."""

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """Return the resource tags (ListTagsForResource)."""
        ...


class ResourceTagStore(ResourceTagSource, Protocol):
    """Reads and writes the resource tags of repositories."""

    def tag_resource(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add resource tags, or replace their values (TagResource)."""
        ...

    def untag_resource(self, arn: str, keys: Iterable[str]) -> None:
        """Remove resource tags (UntagResource)."""
        ...


class LifecyclePolicyStore(Protocol):
    """Reads and writes a repository's lifecycle policy, and runs ECR's own preview."""

    def lifecycle_policy(self, repository: str) -> LifecyclePolicyText | None:
        """Return the live policy, or None when the repository has none."""
        ...

    def put_lifecycle_policy(self, repository: str, text: str) -> None:
        """Replace the live policy; ECR starts to act on it within 24 hours."""
        ...

    def start_lifecycle_preview(self, repository: str, text: str | None = None) -> None:
        """Start ECR's preview of `text`, or of the live policy; it stores nothing."""
        ...

    def lifecycle_preview(self, repository: str) -> LifecyclePreview:
        """Return the state of the last preview, with every page of its results."""
        ...


class FindingSource(Protocol):
    """Where scan results come from, and where scans are started (DescribeImageScanFindings, StartImageScan)."""

    def scan_pages(self, repository: str, image: str) -> Iterable[Mapping[str, Any]]:
        """Return every page of the scan result of an image, named by its digest (`sha256:...`) or a tag."""
        ...

    def start_scan(self, repository: str, image: str) -> None:
        """Start a basic scan of the image."""
        ...


class InspectorSource(Protocol):
    """Where Inspector's own view of images comes from (ListFindings, ListCoverage)."""

    def inspector_findings(self, repository: str, digest: str) -> Iterable[Mapping[str, Any]]:
        """Return every finding of the image, of every status."""
        ...

    def inspector_coverage(self, repository: str, digest: str) -> Mapping[str, Any] | None:
        """Return the image's entry of ListCoverage, or None when Inspector does not know the image."""
        ...


class TagSource(Protocol):
    """Where tags are resolved."""

    def digest_of(self, repository: str, tag: str) -> str | None:
        """Return the digest that the tag names now, or None when there is no such tag."""
        ...


class FanOut(Protocol):
    """Runs the same work for many items, several at a time and paced as its owner sees fit."""

    def each(self, work: Callable[[T], R], items: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Yield each item with its result, in the order in which they finish."""
        ...


class ScanningConfigurationStore(Protocol):
    """Reads and writes the registry scanning configuration."""

    def scanning_configuration(self) -> Mapping[str, Any]:
        """Return the answer of GetRegistryScanningConfiguration."""
        ...

    def put_scanning_configuration(self, configuration: Mapping[str, Any]) -> None:
        """Replace the configuration; the mapping holds `scanType` and `rules`."""
        ...


class ResourcePolicyStore(Protocol):
    """Reads and writes the policies of repositories and of the registry."""

    def repository_policy(self, repository: str) -> str | None:
        """Return the text of the repository's policy, or None when it has none (GetRepositoryPolicy)."""
        ...

    def set_repository_policy(self, repository: str, text: str, *, force: bool = False) -> None:
        """Replace the policy; `force` lets ECR accept a policy that locks the caller out (SetRepositoryPolicy)."""
        ...

    def registry_policy(self) -> str | None:
        """Return the text of the registry's policy, or None when it has none (GetRegistryPolicy)."""
        ...

    def put_registry_policy(self, text: str) -> None:
        """Replace the policy of the registry (PutRegistryPolicy)."""
        ...


class MetricSink(Protocol):
    """Where metric points go (PutMetricData)."""

    def publish(self, points: Iterable[MetricPoint]) -> int:
        """Send the points; return how many requests that took."""
        ...


class PullCountSource(Protocol):
    """Where ECR's pull counts come from (RepositoryPullCount, the only metric of ECR)."""

    def pull_counts(
        self, repositories: Iterable[str], *, start: dt.datetime, end: dt.datetime, period: dt.timedelta = ...
    ) -> Mapping[str, Mapping[dt.datetime, int]]:
        """Return the pulls of each repository, by the start of each period in which there were any."""
        ...
