"""Repositories and their settings, tags of resources, account settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

from ecrkit.aws.ecr.base import EcrCalls, batches
from ecrkit.aws.iam import needs
from ecrkit.ports import Listing
from ecrkit.records import Repository

__all__ = ["EcrRepositories", "TagMutability"]

_PAGE: Final = 1000
TagMutability = Literal["MUTABLE", "IMMUTABLE", "MUTABLE_WITH_EXCLUSION", "IMMUTABLE_WITH_EXCLUSION"]


class EcrRepositories(EcrCalls):
    """The repository operations of ECR."""

    @needs("ecr:DescribeRepositories")
    def repositories(self) -> Listing[Repository]:
        """Return every repository of the registry. Calls: one for each 1000."""
        return self._listing("DescribeRepositories", _repositories, maxResults=_PAGE)

    @needs("ecr:DescribeRepositories")
    def repositories_named(self, names: Iterable[str]) -> tuple[Repository, ...]:
        """Return the named repositories, 100 a call.

        Raises:
            NotFound: one of them does not exist.
        """
        found: list[Repository] = []
        for batch in batches(dict.fromkeys(names)):
            found += _repositories(
                self._call("DescribeRepositories", repositoryNames=batch, resource=", ".join(batch[:3]))
            )
        return tuple(found)

    @needs("ecr:DescribeRepositories")
    def repository(self, name: str) -> Repository:
        """Return one repository.

        Raises:
            NotFound: there is none of that name.
        """
        return _repositories(self._call("DescribeRepositories", repositoryNames=[name], resource=name))[0]

    @needs("ecr:CreateRepository", "ecr:TagResource")
    def create_repository(
        self,
        name: str,
        *,
        tag_mutability: TagMutability = "MUTABLE",
        mutability_exclusions: Iterable[str] = (),
        scan_on_push: bool | None = None,
        kms_key: str | None = None,
        encryption_type: Literal["AES256", "KMS", "KMS_DSSE"] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Repository:
        """Create a repository and return it. `ecr:TagResource` is needed only with `tags`.

        Encryption can never be changed later.

        Raises:
            Conflict: it exists already.
            QuotaExceeded: the registry is full.
        """
        encryption = encryption_type or ("KMS" if kms_key else None)
        answer = self._call(
            "CreateRepository",
            repositoryName=name,
            imageTagMutability=tag_mutability,
            imageTagMutabilityExclusionFilters=_exclusions(mutability_exclusions) or None,
            imageScanningConfiguration=None if scan_on_push is None else {"scanOnPush": scan_on_push},
            encryptionConfiguration=None
            if encryption is None
            else {"encryptionType": encryption} | ({"kmsKey": kms_key} if kms_key else {}),
            tags=_tags(tags) if tags else None,
        )
        return Repository.from_api(answer["repository"], path="$.repository")

    @needs("ecr:DeleteRepository")
    def delete_empty_repository(self, name: str) -> Repository:
        """Delete a repository that holds no image, and return what it was. ECR's `force` is never sent.

        Raises:
            Conflict: it still holds images.
            NotFound: there is none of that name.
        """
        answer = self._call("DeleteRepository", repositoryName=name, force=False)
        return Repository.from_api(answer["repository"], path="$.repository")

    @needs("ecr:PutImageTagMutability")
    def put_tag_mutability(self, repository: str, mutability: TagMutability, *, exclusions: Iterable[str] = ()) -> None:
        """Set whether tags of the whole repository can be moved. `exclusions` replace all earlier ones.

        Raises:
            NotFound: no such repository.
        """
        self._call(
            "PutImageTagMutability",
            repositoryName=repository,
            imageTagMutability=mutability,
            imageTagMutabilityExclusionFilters=_exclusions(exclusions) or None,
        )

    @needs("ecr:PutImageScanningConfiguration")
    def put_scan_on_push(self, repository: str, *, enabled: bool) -> None:
        """Set the repository's own scan on push. The registry's scanning configuration overrides it.

        Raises:
            NotFound: no such repository.
        """
        self._call(
            "PutImageScanningConfiguration",
            repositoryName=repository,
            imageScanningConfiguration={"scanOnPush": enabled},
        )

    @needs("ecr:ListTagsForResource")
    def tags_of(self, arn: str) -> dict[str, str]:
        """Return the resource tags of a repository's ARN (not image tags)."""
        answer = self._call("ListTagsForResource", resourceArn=arn, resource=arn)
        return {tag["Key"]: tag["Value"] for tag in answer.get("tags") or ()}

    @needs("ecr:TagResource")
    def tag_resource(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add resource tags to a repository's ARN, or replace their values."""
        self._call("TagResource", resourceArn=arn, tags=_tags(tags), resource=arn)

    @needs("ecr:UntagResource")
    def untag_resource(self, arn: str, keys: Iterable[str]) -> None:
        """Remove resource tags from a repository's ARN."""
        self._call("UntagResource", resourceArn=arn, tagKeys=list(keys), resource=arn)

    @needs("ecr:GetAccountSetting")
    def account_setting(self, name: str) -> str:
        """Return an account setting of this Region, such as `BASIC_SCAN_TYPE_VERSION` or `BLOB_MOUNTING`.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
        """
        return str(self._call("GetAccountSetting", name=name, resource=name).get("value") or "")

    @needs("ecr:PutAccountSetting")
    def put_account_setting(self, name: str, value: str) -> None:
        """Change an account setting of this Region; it concerns every repository of the registry.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
        """
        self._call("PutAccountSetting", name=name, value=value, resource=name)


def _repositories(answer: Mapping[str, Any]) -> list[Repository]:
    return [
        Repository.from_api(raw, path=f"$.repositories[{number}]")
        for number, raw in enumerate(answer.get("repositories") or ())
    ]


def _exclusions(filters: Iterable[str]) -> list[dict[str, str]]:
    return [{"filterType": "WILDCARD", "filter": text} for text in filters]


def _tags(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
