"""Lifecycle policies, and ECR's own preview of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ecrkit._internal.times import parse_time
from ecrkit.aws.ecr.base import EcrCalls
from ecrkit.aws.iam import needs
from ecrkit.errors import NotFound
from ecrkit.records import LifecyclePolicyText, LifecyclePreview, PreviewResult

__all__ = ["EcrLifecycle"]

_PREVIEW_PAGE: Final = 100


class EcrLifecycle(EcrCalls):
    """The lifecycle operations of ECR; satisfies `ports.LifecyclePolicyStore`."""

    @needs("ecr:GetLifecyclePolicy")
    def lifecycle_policy(self, repository: str) -> LifecyclePolicyText | None:
        """Return the live policy, or None when the repository has none.

        Raises:
            NotFound: no such repository.
        """
        try:
            answer = self._call("GetLifecyclePolicy", repositoryName=repository)
        except NotFound as fault:
            if fault.code == "LifecyclePolicyNotFoundException":
                return None
            raise
        evaluated = answer.get("lastEvaluatedAt")
        return LifecyclePolicyText(
            repository=repository,
            text=answer["lifecyclePolicyText"],
            last_evaluated_at=None if evaluated is None else parse_time(evaluated),
        )

    @needs("ecr:PutLifecyclePolicy")
    def put_lifecycle_policy(self, repository: str, text: str) -> None:
        """Replace the live policy; ECR starts to act on it within 24 hours, and what it deletes is gone.

        Raises:
            NotFound: no such repository.
            Rejected: ECR calls the policy invalid.
        """
        self._call("PutLifecyclePolicy", repositoryName=repository, lifecyclePolicyText=text)

    @needs("ecr:DeleteLifecyclePolicy")
    def delete_lifecycle_policy(self, repository: str) -> LifecyclePolicyText | None:
        """Remove the live policy and return it, so that it can be put back; None when there was none.

        Raises:
            NotFound: no such repository.
        """
        try:
            answer = self._call("DeleteLifecyclePolicy", repositoryName=repository)
        except NotFound as fault:
            if fault.code == "LifecyclePolicyNotFoundException":
                return None
            raise
        return LifecyclePolicyText(repository=repository, text=answer.get("lifecyclePolicyText") or "")

    @needs("ecr:StartLifecyclePolicyPreview")
    def start_lifecycle_preview(self, repository: str, text: str | None = None) -> None:
        """Start ECR's preview of `text`, or of the live policy; it stores nothing and deletes nothing.

        Raises:
            Conflict: a preview is under way.
            NotFound: no such repository, or no text and no live policy.
            Rejected: ECR calls the policy invalid.
        """
        self._call("StartLifecyclePolicyPreview", repositoryName=repository, lifecyclePolicyText=text)

    @needs("ecr:GetLifecyclePolicyPreview")
    def lifecycle_preview(self, repository: str) -> LifecyclePreview:
        """Return the state of the last preview, with every page of its results.

        Results of a preview that is not COMPLETE say nothing. Calls: one for each 100 results.

        Raises:
            NotFound: no such repository, or no preview was started.
        """
        first: dict[str, Any] | None = None
        results: list[PreviewResult] = []
        status = ""

        def convert(answer: dict[str, Any]) -> list[PreviewResult]:
            nonlocal first, status
            first = answer if first is None else first
            # A preview that is started anew between two pages is not the one whose results were read so far.
            status = answer.get("status") or status
            return [_preview_result(raw) for raw in answer.get("previewResults") or ()]

        pages = self._listing("GetLifecyclePolicyPreview", convert, repositoryName=repository, maxResults=_PREVIEW_PAGE)
        for page in pages.pages():
            results += page
        answer = first or {}
        summary = answer.get("summary") or {}
        moved = summary.get("transitioningImageTotalCounts")
        return LifecyclePreview(
            repository=repository,
            status=status,
            policy_text=answer.get("lifecyclePolicyText") or "",
            results=tuple(results),
            expiring_count=summary.get("expiringImageTotalCount"),
            transitioning_count=None if moved is None else sum(count.get("imageTotalCount") or 0 for count in moved),
        )


def _preview_result(raw: Mapping[str, Any]) -> PreviewResult:
    action = raw.get("action") or {}
    pushed = raw.get("imagePushedAt")
    return PreviewResult(
        digest=raw["imageDigest"],
        tags=tuple(raw.get("imageTags") or ()),
        pushed_at=None if pushed is None else parse_time(pushed),
        action=action.get("type") or "",
        target_storage_class=action.get("targetStorageClass"),
        rule_priority=raw.get("appliedRulePriority") or 0,
        storage_class=raw.get("storageClass"),
    )
