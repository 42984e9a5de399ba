"""Replication: the registry's configuration, the status of an image, backfills; and what a destination holds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ecrkit.aws import drift
from ecrkit.aws.ecr.base import EcrCalls, batches, digest_ids, image_id
from ecrkit.aws.iam import needs
from ecrkit.errors import InvalidInput, NotFound
from ecrkit.ports import Listing
from ecrkit.records import Image, images_from_api
from ecrkit.replication.backfill import Backfill, BackfillResult
from ecrkit.replication.configuration import Destination
from ecrkit.replication.statuses import ReplicationStatus

__all__ = ["EcrReplication"]

_BACKFILLS: Final = 50
_RESULTS: Final = 1000


class EcrReplication(EcrCalls):
    """The replication operations of ECR; satisfies what `ecrkit.replication` needs of a source and a destination."""

    @property
    def replication_rule_members(self) -> frozenset[str]:
        """The members of a replication rule that the installed botocore knows; others it drops on reading."""
        model = drift.service_model(self._caller.client)
        if "ReplicationRule" not in model.shape_names:
            return frozenset()
        return frozenset(getattr(model.shape_for("ReplicationRule"), "members", ()))

    @property
    def has_backfills(self) -> bool:
        """Whether the installed botocore knows replication backfills."""
        return drift.has_operation(self._caller.client, "StartReplicationBackfill")

    @needs("ecr:DescribeRegistry")
    def replication_configuration(self) -> Mapping[str, Any]:
        """Return the answer of DescribeRegistry: `registryId` and `replicationConfiguration`.

        Raises:
            InvalidInput: the registry is another account's; ECR tells only the caller's own.
        """
        answer = self._call("DescribeRegistry", resource="the registry")
        answer.pop("ResponseMetadata", None)
        return answer

    @needs("ecr:PutReplicationConfiguration")
    def put_replication_configuration(self, configuration: Mapping[str, Any]) -> None:
        """Replace the replication rules; `ecrkit.replication.plan` shows first what that changes.

        The first time ECR creates the service-linked role AWSServiceRoleForECRReplication, for which the caller needs
        `iam:CreateServiceLinkedRole` (`access.presets.replication_source`).

        Raises:
            InvalidInput: the mapping has other members than `rules`, or the registry is another account's.
            NotSupportedByBotocore: a rule has `deleteReplication` and the installed botocore does not know it.
            Rejected: ECR calls the configuration invalid.
        """
        others = sorted(set(configuration) - {"rules"})
        if others:
            raise InvalidInput.single("no replication configuration", others[0], "is no member; there is rules")
        for rule in configuration.get("rules") or ():
            for member in rule:
                drift.require_member(self._caller.client, "ReplicationRule", member)
        self._call("PutReplicationConfiguration", resource="the registry", replicationConfiguration=dict(configuration))

    @needs("ecr:DescribeImageReplicationStatus")
    def replication_statuses(self, repository: str, image: str) -> tuple[ReplicationStatus, ...]:
        """Return how far an image, named by its digest or a tag, is to each destination. Ask the source.

        Empty when no replication of it ever began: no rule is for it, or it was pushed before the rule.

        Raises:
            NotFound: no such repository or image.
        """
        about = f"{repository}@{image}" if image.startswith("sha256:") else f"{repository}:{image}"
        answer = self._call(
            "DescribeImageReplicationStatus", resource=about, repositoryName=repository, imageId=image_id(image)
        )
        return tuple(ReplicationStatus.from_api(raw) for raw in answer.get("replicationStatuses") or ())

    @needs("ecr:DescribeImages")
    def images_found(self, repository: str, digests: Iterable[str]) -> dict[str, Image]:
        """Return the images that are there, of any status, by digest; one that is not there is absent.

        ECR refuses the whole question when one image is missing, so it is asked again by halves. It does not count as
        a pull. Calls: one for each 100 images when all are there, two more for each that is missing in a pair.

        Raises:
            NotFound: no such repository.
            NotSupportedByBotocore: the installed botocore cannot ask for archived images.
        """
        drift.require_member(self._caller.client, "DescribeImagesFilter", "imageStatus")
        found: dict[str, Image] = {}
        for batch in batches(dict.fromkeys(digests)):
            waiting = [batch]
            while waiting:
                asked = waiting.pop()
                try:
                    answer = self._call(
                        "DescribeImages",
                        repositoryName=repository,
                        imageIds=digest_ids(asked),
                        filter={"imageStatus": "ANY"},
                    )
                except NotFound as fault:
                    if fault.code != "ImageNotFoundException":
                        raise
                    if len(asked) > 1:
                        waiting += [asked[: len(asked) // 2], asked[len(asked) // 2 :]]
                    continue
                found.update((i.digest, i) for i in images_from_api(answer.get("imageDetails") or ()))
        return found

    @needs("ecr:StartReplicationBackfill")
    def start_backfill(self, destination: Destination) -> Backfill:
        """Start to replicate what is older than the rules to one destination of the configuration.

        Raises:
            Conflict: a backfill to that Region is in progress.
            QuotaExceeded: ten backfills are in progress.
            Rejected: it is no destination of the replication configuration.
            NotSupportedByBotocore: the installed botocore has no backfills.
        """
        answer = self._call("StartReplicationBackfill", resource=str(destination), destination=destination.to_api())
        return Backfill.from_api(answer)

    @needs("ecr:StopReplicationBackfill")
    def stop_backfill(self, backfill_id: str) -> Backfill:
        """Stop a backfill that prepares or is in progress; what has arrived stays, what is under way goes on.

        Raises:
            NotFound: there is none of that id.
            Conflict: it has ended, or is stopping.
            NotSupportedByBotocore: the installed botocore has no backfills.
        """
        answer = self._call("StopReplicationBackfill", resource=backfill_id, replicationBackfillId=backfill_id)
        return Backfill.from_api(answer)

    @needs("ecr:ListReplicationBackfills")
    def backfills(self) -> Listing[Backfill]:
        """Return the backfills that run or ended within 90 days, lazily. Calls: one for each 50.

        Raises:
            NotSupportedByBotocore: when walked, and the installed botocore has no backfills.
        """
        return self._listing(
            "ListReplicationBackfills",
            lambda answer: [Backfill.from_api(raw) for raw in answer.get("backfills") or ()],
            resource="the registry",
            maxResults=_BACKFILLS,
        )

    @needs("ecr:DescribeReplicationBackfillResults")
    def backfill(self, backfill_id: str) -> Backfill:
        """Return how far a backfill is.

        Raises:
            NotFound: there is none of that id, or it ended more than 90 days ago.
            NotSupportedByBotocore: the installed botocore has no backfills.
        """
        answer = self._call(
            "DescribeReplicationBackfillResults",
            resource=backfill_id,
            replicationBackfillId=backfill_id,
            maxResults=1,
        )
        return Backfill.from_api(answer)

    @needs("ecr:DescribeReplicationBackfillResults")
    def backfill_results(self, backfill_id: str, *, status: str | None = None) -> Listing[BackfillResult]:
        """Return the result of each image and tag, lazily; empty until the backfill has ended.

        `status` is COMPLETE or FAILED, to see only those. Calls: one for each 1000.

        Raises:
            NotFound: when walked, and there is no backfill of that id.
            NotSupportedByBotocore: when walked, and the installed botocore has no backfills.
        """
        return self._listing(
            "DescribeReplicationBackfillResults",
            lambda answer: [BackfillResult.from_api(raw) for raw in answer.get("results") or ()],
            resource=backfill_id,
            replicationBackfillId=backfill_id,
            maxResults=_RESULTS,
            **({"resultStatusFilter": status} if status is not None else {}),
        )
