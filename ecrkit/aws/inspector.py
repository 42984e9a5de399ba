"""The gateway to Inspector: its own findings of ECR images, and whether it watches them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

from typing_extensions import override

from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.ports import Listing
from ecrkit.refs import partition_of_region

__all__ = ["InspectorGateway"]

_FINDINGS: Final = 100
_COVERED: Final = 200
_KIND: Final = "AWS_ECR_CONTAINER_IMAGE"


def _equals(value: str) -> list[dict[str, str]]:
    return [{"comparison": "EQUALS", "value": value}]


class InspectorGateway:
    """Asks Inspector about images of one account's registry; satisfies `ports.InspectorSource`.

    An administrator's Inspector answers for every member account, so each question names the account. `account` is
    its number, or what finds it out; that is asked once.
    """

    def __init__(self, caller: Caller, *, account: str | Callable[[], str]) -> None:
        self._caller = caller
        self._account = account
        self._lock = threading.Lock()
        self._region: str = caller.client.meta.region_name

    @property
    def account(self) -> str:
        """The account whose images are asked about."""
        with self._lock:
            if not isinstance(self._account, str):
                self._account = self._account()
            return self._account

    @needs("inspector2:ListFindings")
    def inspector_findings(self, repository: str, digest: str) -> Listing[Mapping[str, Any]]:
        """Return every finding of an image, of every status, as Inspector tells them: with EPSS and in-use counts.

        Calls: one for each 100 findings.

        Raises:
            AwsCallFailed: when walked, and Inspector refused, or is not enabled.
        """
        criteria = {
            "resourceType": _equals(_KIND),
            "ecrImageRegistry": _equals(self.account),
            "ecrImageRepositoryName": _equals(repository),
            "ecrImageHash": _equals(digest),
        }
        return self._caller.listing(
            "ListFindings",
            {"filterCriteria": criteria, "maxResults": _FINDINGS},
            lambda answer: list(answer.get("findings") or ()),
            resource=f"{repository}@{digest}",
        )

    @needs("inspector2:ListCoverage")
    def inspector_coverage(self, repository: str, digest: str) -> Mapping[str, Any] | None:
        """Return whether and how Inspector watches an image, or None when it does not know the image.

        Raises:
            AwsCallFailed: Inspector refused, or is not enabled.
        """
        partition = partition_of_region(self._region)
        arn = f"arn:{partition}:ecr:{self._region}:{self.account}:repository/{repository}/{digest}"
        criteria = {"resourceType": _equals(_KIND), "resourceId": _equals(arn)}
        covered: Listing[Mapping[str, Any]] = self._caller.listing(
            "ListCoverage",
            {"filterCriteria": criteria, "maxResults": _COVERED},
            lambda answer: list(answer.get("coveredResources") or ()),
            resource=f"{repository}@{digest}",
        )
        return next((found for found in covered if found.get("resourceId") == arn), None)

    @override
    def __repr__(self) -> str:
        return f"<InspectorGateway in {self._region}>"
