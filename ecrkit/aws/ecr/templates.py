"""Repository creation templates: the settings of repositories that ECR creates by itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ecrkit.aws import drift
from ecrkit.aws.ecr.base import EcrCalls
from ecrkit.aws.iam import needs
from ecrkit.errors import NotFound
from ecrkit.ports import Listing
from ecrkit.records import CreationTemplate

__all__ = ["EcrTemplates"]


class EcrTemplates(EcrCalls):
    """The operations of repository creation templates. All are about the caller's own registry in this Region."""

    @needs("ecr:DescribeRepositoryCreationTemplates")
    def creation_templates(self) -> Listing[CreationTemplate]:
        """Return every template of the registry, lazily. Calls: one for each 1000.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
        """
        return self._listing(
            "DescribeRepositoryCreationTemplates",
            lambda answer: [
                CreationTemplate.from_api(raw, path=f"$.repositoryCreationTemplates[{number}]")
                for number, raw in enumerate(answer.get("repositoryCreationTemplates") or ())
            ],
            resource="the registry",
            maxResults=1000,
        )

    @needs("ecr:CreateRepositoryCreationTemplate")
    def create_creation_template(self, template: CreationTemplate) -> CreationTemplate:
        """Create a template and return it as ECR keeps it.

        ECR also checks `iam:PassRole` for a custom role, which a template with resource tags or a KMS key needs.

        Raises:
            Conflict: there is one of that prefix.
            Rejected: ECR calls it invalid.
            InvalidInput: the gateway addresses another account's registry.
        """
        answer = self._call("CreateRepositoryCreationTemplate", resource=template.prefix, **self._request(template))
        return CreationTemplate.from_api(answer["repositoryCreationTemplate"])

    @needs("ecr:UpdateRepositoryCreationTemplate")
    def update_creation_template(self, template: CreationTemplate) -> CreationTemplate:
        """Change a template: the members that are set replace those of the live one, the others stay.

        Repositories that it made before stay as they are.

        Raises:
            NotFound: there is none of that prefix.
            Rejected: ECR calls it invalid.
            InvalidInput: the gateway addresses another account's registry.
        """
        answer = self._call("UpdateRepositoryCreationTemplate", resource=template.prefix, **self._request(template))
        return CreationTemplate.from_api(answer["repositoryCreationTemplate"])

    @needs("ecr:DeleteRepositoryCreationTemplate")
    def delete_creation_template(self, prefix: str) -> CreationTemplate | None:
        """Delete a template and return what it was, so that it can be made again; None when there was none.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
        """
        try:
            answer = self._call("DeleteRepositoryCreationTemplate", resource=prefix, prefix=prefix)
        except NotFound:
            return None
        return CreationTemplate.from_api(answer["repositoryCreationTemplate"])

    def _request(self, template: CreationTemplate) -> dict[str, Any]:
        client = self._caller.client
        known = drift.enum_values(client, "RCTAppliedFor")
        for occasion in template.applied_for:
            if occasion not in known:
                drift.require_member(client, "RCTAppliedFor", occasion)
        made: dict[str, Any] = {
            "prefix": template.prefix,
            "appliedFor": list(template.applied_for) or None,
            "description": template.description or None,
            "imageTagMutability": template.tag_mutability,
            "imageTagMutabilityExclusionFilters": _filters(template.mutability_exclusions) or None,
            "repositoryPolicy": template.repository_policy,
            "lifecyclePolicy": template.lifecycle_policy,
            "resourceTags": [{"Key": k, "Value": v} for k, v in template.resource_tags.items()] or None,
            "customRoleArn": template.custom_role_arn,
        }
        if template.encryption_type or template.kms_key:
            made["encryptionConfiguration"] = {"encryptionType": template.encryption_type or "KMS"} | (
                {"kmsKey": template.kms_key} if template.kms_key else {}
            )
        return made


def _filters(texts: Iterable[str]) -> list[dict[str, str]]:
    return [{"filterType": "WILDCARD", "filter": text} for text in texts]
