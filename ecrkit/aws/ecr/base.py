"""What the parts of the ECR gateway share: the caller, the registry addressed, batches."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from ecrkit.aws import drift
from ecrkit.aws.calls import Caller
from ecrkit.aws.downloads import Fetch, fetch_over_http
from ecrkit.errors import InvalidInput
from ecrkit.ports import Listing

__all__ = ["BATCH", "EcrCalls", "batches", "digest_ids", "image_id"]

T = TypeVar("T")

BATCH: Final = 100
"""How many images or layers one batch call takes (ECR API reference, ImageIdentifierList)."""
_REGISTRY_ID: Final = re.compile(r"[0-9]{12}")


def batches(items: Iterable[T], of: int = BATCH) -> Iterator[list[T]]:
    """Yield the items in lists of at most `of`."""
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == of:
            yield batch
            batch = []
    if batch:
        yield batch


class EcrCalls:
    """Calls to ECR that always name the registry when it is not the caller's own.

    `fetch` downloads what ECR gives a URL for; the embedded ECR's URLs are answered by its engine.
    """

    def __init__(
        self, caller: Caller, *, registry_id: str | None = None, workers: int = 8, fetch: Fetch = fetch_over_http
    ) -> None:
        if registry_id is not None and not _REGISTRY_ID.fullmatch(registry_id):
            raise InvalidInput.single("no registry", "registry_id", f"must be 12 digits, not {registry_id!r:.60}")
        self._caller = caller
        self._registry_id = registry_id
        self._workers = workers
        self._fetch = fetch

    @property
    def registry_id(self) -> str | None:
        """The account whose registry is addressed; None is the caller's own."""
        return self._registry_id

    def _asked(self, operation: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        asked = {key: value for key, value in parameters.items() if value is not None}
        if self._registry_id is None or "resourceArn" in asked:
            return asked
        drift.require_operation(self._caller.client, operation)
        if not drift.has_input(self._caller.client, operation, "registryId"):
            # Leaving the registry out would quietly ask or change the caller's own one.
            raise InvalidInput.single(
                f"no {operation} in another account's registry",
                "registry_id",
                "ECR offers this for the caller's own registry only; open it without registry_id",
            )
        asked["registryId"] = self._registry_id
        return asked

    def _call(self, operation: str, *, resource: str | None = None, **parameters: Any) -> dict[str, Any]:
        about = resource or parameters.get("repositoryName")
        return self._caller.call(operation, self._asked(operation, parameters), resource=about)

    def _listing(
        self,
        operation: str,
        convert: Callable[[dict[str, Any]], list[T]],
        *,
        resource: str | None = None,
        **parameters: Any,
    ) -> Listing[T]:
        about = resource or parameters.get("repositoryName")
        return self._caller.listing(operation, self._asked(operation, parameters), convert, resource=about)


def digest_ids(digests: Sequence[str]) -> list[dict[str, str]]:
    """Return image identifiers by digest."""
    return [{"imageDigest": digest} for digest in digests]


def image_id(reference: str) -> dict[str, str]:
    """Return the image identifier of a digest or a tag; a tag cannot hold a colon."""
    return {"imageDigest" if reference.startswith("sha256:") else "imageTag": reference}
