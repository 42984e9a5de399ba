"""Managed signing: what became of the signatures that ECR makes of images as they are pushed."""

from __future__ import annotations

from ecrkit.aws import drift
from ecrkit.aws.ecr.base import EcrCalls, image_id
from ecrkit.aws.iam import needs
from ecrkit.records import SigningStatus

__all__ = ["EcrSigning"]


class EcrSigning(EcrCalls):
    """The operations of managed signing that tell of images."""

    @needs("ecr:DescribeImageSigningStatus")
    def signing_status(self, repository: str, image: str) -> tuple[SigningStatus, ...]:
        """Return one status for each signing profile of an image, named by its digest or a tag.

        Empty when no rule of the registry's signing configuration has it signed. Calls: one.
        Source: ECR API reference, DescribeImageSigningStatus; ECR user guide, managed signing.

        Raises:
            NotFound: no such repository or image.
            NotSupportedByBotocore: the installed botocore does not know the operation.
        """
        drift.require_operation(self._caller.client, "DescribeImageSigningStatus")
        answer = self._call("DescribeImageSigningStatus", repositoryName=repository, imageId=image_id(image))
        return tuple(
            SigningStatus(
                profile_arn=raw.get("signingProfileArn") or "",
                status=raw.get("status") or "UNKNOWN",
                failure_code=raw.get("failureCode"),
                failure_reason=raw.get("failureReason"),
            )
            for raw in answer.get("signingStatuses") or ()
        )
