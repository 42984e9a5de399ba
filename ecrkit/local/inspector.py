"""Inspector beside the embedded ECR: the same enhanced scans, told as ListFindings and ListCoverage tell them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from ecrkit.local.operations.scanning import scanned_image
from ecrkit.local.scan_runs import frequency_of
from ecrkit.local.scan_shapes import inspector_finding
from ecrkit.local.scans import Scan, scan_of

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState
    from ecrkit.local.state import ImageState, RepositoryState

__all__ = ["EmbeddedInspector"]

_REASONS = {
    "UNSUPPORTED_IMAGE": "UNSUPPORTED_OS",
    "IMAGE_SIZE_EXCEEDED": "IMAGE_SIZE_EXCEEDED",
    "SCAN_ELIGIBILITY_EXPIRED": "SCAN_ELIGIBILITY_EXPIRED",
    "FAILED": "INTERNAL_ERROR",
}


@attrs.frozen(kw_only=True)
class EmbeddedInspector:
    """Satisfies `ports.InspectorSource` from the engine's enhanced scans, with what ECR's own answer leaves out.

    Example:
        >>> from ecrkit.local import Engine
        >>> inspector = EmbeddedInspector(engine=Engine())
        >>> inspector.inspector_findings("app", "sha256:" + "0" * 64)
        ()
    """

    engine: Engine
    account: str | None = None
    region: str | None = None

    def _found(self, repository: str, digest: str) -> tuple[RegistryState, RepositoryState, ImageState, Scan] | None:
        self.engine.settle()
        registry = self.engine.registry(self.account, self.region)
        repo = registry.repositories.get(repository)
        image = None if repo is None else repo.images.get(digest)
        scan = None if image is None else scan_of(image, "enhanced")
        return None if repo is None or image is None or scan is None else (registry, repo, image, scan)

    def inspector_findings(self, repository: str, digest: str) -> tuple[Mapping[str, Any], ...]:
        """Return every finding of the image; those of an image that is no longer scanned are CLOSED."""
        with self.engine.lock:
            found = self._found(repository, digest)
            if found is None:
                return ()
            registry, repo, image, scan = found
            about = scanned_image(registry, repo, image, scan)
            listed: list[Mapping[str, Any]] = []
            for each in (scan.step.findings or ()) if scan.step is not None else ():
                if isinstance(each, Mapping):
                    listed.append(each)
                    continue
                seen = each.first_observed or scan.first_seen.get(each.id)
                closed = scan.status == "SCAN_ELIGIBILITY_EXPIRED" or image.status != "ACTIVE"
                state = "CLOSED" if closed else each.status
                listed.append(inspector_finding(attrs.evolve(each, first_observed=seen, status=state), about))
            return tuple(listed)

    def inspector_coverage(self, repository: str, digest: str) -> Mapping[str, Any] | None:
        """Return the image's entry of ListCoverage, or None when it was never to be scanned by Inspector."""
        with self.engine.lock:
            found = self._found(repository, digest)
            if found is None:
                return None
            registry, repo, image, scan = found
            about = scanned_image(registry, repo, image, scan)
            code, reason = self._status(registry, repo, image, scan)
            step = scan.step
            more = {
                "lastInUseAt": None if step is None else step.last_in_use_at,
                "inUseCount": None if step is None else step.in_use_count,
            }
            image_facts = {
                "tags": list(image.tags),
                "imagePulledAt": image.last_pulled_at or image.pushed_at,
                **{name: value for name, value in more.items() if value is not None},
            }
            return {
                "resourceType": "AWS_ECR_CONTAINER_IMAGE",
                "resourceId": about.arn,
                "accountId": registry.account,
                "scanType": "PACKAGE",
                "scanStatus": {"statusCode": code, "reason": reason},
                "resourceMetadata": {"ecrImage": image_facts},
                **({} if scan.completed_at is None else {"lastScannedAt": scan.completed_at}),
            }

    @staticmethod
    def _status(registry: RegistryState, repo: RepositoryState, image: ImageState, scan: Scan) -> tuple[str, str]:
        if image.status != "ACTIVE":
            return "INACTIVE", "IMAGE_ARCHIVED"
        if scan.status in _REASONS:
            return "INACTIVE", _REASONS[scan.status]
        if scan.completed_at is None:
            return "ACTIVE", "PENDING_INITIAL_SCAN"
        if frequency_of(registry, repo) == "SCAN_ON_PUSH":
            return "INACTIVE", "SCAN_FREQUENCY_SCAN_ON_PUSH"
        return "ACTIVE", "SUCCESSFUL"
