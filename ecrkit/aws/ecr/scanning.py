"""Image scans: their results as raw pages, starting one, and how the registry and its repositories are scanned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.aws.ecr.base import EcrCalls, batches, image_id
from ecrkit.aws.iam import needs
from ecrkit.errors import InvalidInput
from ecrkit.ports import Listing

__all__ = ["EcrScanning", "RepositoryScanning"]

_PAGE: Final = 1000
_REPOSITORIES: Final = 25
_PUT: Final = ("scanType", "rules")


@attrs.frozen(kw_only=True)
class RepositoryScanning(Record):
    """How ECR says that a repository is scanned: `frequency`, and the filters that select it.

    ECR says MANUAL also of a repository that nothing scans under ENHANCED, where scans by hand do not exist.
    """

    repository: str
    frequency: str
    scan_on_push: bool
    filters: tuple[str, ...] = ()


class EcrScanning(EcrCalls):
    """The scanning operations of ECR; satisfies `ports.FindingSource` and `ports.ScanningConfigurationStore`."""

    @needs("ecr:DescribeImageScanFindings")
    def scan_pages(self, repository: str, image: str) -> Listing[Mapping[str, Any]]:
        """Return every page of an image's scan result, as ECR answered it; `image` is its digest or a tag.

        The pages are raw, since the counts of a page may cover only that page: `ScanReport.from_api` takes them all.
        Calls: one for each 1000 findings.

        Raises:
            NotFound: when walked, and there is no such repository, image or scan; `code` says which.
        """
        about = f"{repository}@{image}" if image.startswith("sha256:") else f"{repository}:{image}"
        return self._listing(
            "DescribeImageScanFindings",
            _whole,
            resource=about,
            repositoryName=repository,
            imageId=image_id(image),
            maxResults=_PAGE,
        )

    @needs("ecr:StartImageScan")
    def start_scan(self, repository: str, image: str) -> None:
        """Start a basic scan of an image, named by its digest or a tag. An image gets one in 24 hours.

        Raises:
            QuotaExceeded: it was scanned within 24 hours, scan on push included.
            Rejected: it is an index or an artifact, or the registry uses enhanced scanning.
            Conflict: it is archived.
            NotFound: no such repository or image.
        """
        self._call("StartImageScan", repositoryName=repository, imageId=image_id(image))

    @needs("ecr:GetRegistryScanningConfiguration")
    def scanning_configuration(self) -> Mapping[str, Any]:
        """Return the answer of GetRegistryScanningConfiguration: `registryId` and `scanningConfiguration`.

        Raises:
            InvalidInput: the registry is another account's; ECR tells only the caller's own.
        """
        answer = self._call("GetRegistryScanningConfiguration")
        answer.pop("ResponseMetadata", None)
        return answer

    @needs("ecr:PutRegistryScanningConfiguration")
    def put_scanning_configuration(self, configuration: Mapping[str, Any]) -> None:
        """Replace scan type and rules; `ecrkit.scanning.configuration.plan` shows first what that changes.

        ENHANCED also needs the actions of Inspector that the ECR user guide lists ("Enhanced scanning").

        Raises:
            InvalidInput: the mapping has other members than `scanType` and `rules`, or the registry is another's.
            Rejected: ECR calls the configuration invalid.
        """
        others = sorted(set(configuration) - set(_PUT))
        if others:
            raise InvalidInput.single(
                "no scanning configuration", others[0], f"is no member; there are {', '.join(_PUT)}"
            )
        self._call("PutRegistryScanningConfiguration", **configuration)

    @needs("ecr:BatchGetRepositoryScanningConfiguration")
    def repository_scanning(self, repositories: Iterable[str]) -> dict[str, RepositoryScanning]:
        """Return how each repository is scanned, by name; one that does not exist is absent.

        Calls: one for each 25 names.

        Raises:
            InvalidInput: the registry is another account's.
        """
        found: dict[str, RepositoryScanning] = {}
        for batch in batches(dict.fromkeys(repositories), of=_REPOSITORIES):
            answer = self._call(
                "BatchGetRepositoryScanningConfiguration", repositoryNames=batch, resource=", ".join(batch[:3])
            )
            for raw in answer.get("scanningConfigurations") or ():
                found[raw["repositoryName"]] = RepositoryScanning(
                    repository=raw["repositoryName"],
                    frequency=raw.get("scanFrequency") or "",
                    scan_on_push=bool(raw.get("scanOnPush")),
                    filters=tuple(item["filter"] for item in raw.get("appliedScanFilters") or ()),
                )
        return found


def _whole(answer: dict[str, Any]) -> list[Mapping[str, Any]]:
    answer.pop("ResponseMetadata", None)
    return [answer]
