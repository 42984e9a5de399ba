"""Repository and registry policies: text in, text out, exactly as ECR keeps it."""

from __future__ import annotations

from ecrkit.aws.ecr.base import EcrCalls
from ecrkit.aws.iam import needs
from ecrkit.errors import NotFound

__all__ = ["EcrPolicies"]


class EcrPolicies(EcrCalls):
    """The policy operations of ECR; satisfies `ports.ResourcePolicyStore`.

    The registry policy is always the caller's own registry's: ECR takes no `registryId` there, so a gateway to another
    account's registry raises InvalidInput.
    """

    @needs("ecr:GetRepositoryPolicy")
    def repository_policy(self, repository: str) -> str | None:
        """Return the text of the repository's policy, or None when it has none.

        Raises:
            NotFound: no such repository.
        """
        try:
            answer = self._call("GetRepositoryPolicy", repositoryName=repository)
        except NotFound as fault:
            if fault.code == "RepositoryPolicyNotFoundException":
                return None
            raise
        return str(answer.get("policyText") or "")

    @needs("ecr:SetRepositoryPolicy")
    def set_repository_policy(self, repository: str, text: str, *, force: bool = False) -> None:
        """Replace the repository's policy; it holds within moments, for pulls that are under way too.

        `force` lets ECR accept a policy that keeps the caller from setting the next one.

        Raises:
            NotFound: no such repository.
            Rejected: ECR calls the policy invalid, or one of its principals is not known yet.
        """
        self._call("SetRepositoryPolicy", repositoryName=repository, policyText=text, force=True if force else None)

    @needs("ecr:DeleteRepositoryPolicy")
    def delete_repository_policy(self, repository: str) -> str | None:
        """Remove the repository's policy and return its text, so that it can be put back; None when there was none.

        Raises:
            NotFound: no such repository.
        """
        try:
            answer = self._call("DeleteRepositoryPolicy", repositoryName=repository)
        except NotFound as fault:
            if fault.code == "RepositoryPolicyNotFoundException":
                return None
            raise
        return str(answer.get("policyText") or "")

    @needs("ecr:GetRegistryPolicy")
    def registry_policy(self) -> str | None:
        """Return the text of the registry's policy in this Region, or None when it has none.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
        """
        try:
            answer = self._call("GetRegistryPolicy", resource="the registry")
        except NotFound as fault:
            if fault.code == "RegistryPolicyNotFoundException":
                return None
            raise
        return str(answer.get("policyText") or "")

    @needs("ecr:PutRegistryPolicy")
    def put_registry_policy(self, text: str) -> None:
        """Replace the policy of the registry in this Region; it concerns every repository.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
            Rejected: ECR calls the policy invalid, or one of its principals is not known yet.
        """
        self._call("PutRegistryPolicy", resource="the registry", policyText=text)

    @needs("ecr:DeleteRegistryPolicy")
    def delete_registry_policy(self) -> str | None:
        """Remove the registry's policy and return its text; None when there was none.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
        """
        try:
            answer = self._call("DeleteRegistryPolicy", resource="the registry")
        except NotFound as fault:
            if fault.code == "RegistryPolicyNotFoundException":
                return None
            raise
        return str(answer.get("policyText") or "")

    @needs("ecr:GetAccountSetting")
    def registry_policy_scope(self) -> str:
        """Return `V2` when the registry policy is about every action, `V1` when only about replication and caching.

        Raises:
            InvalidInput: the gateway addresses another account's registry.
        """
        answer = self._call("GetAccountSetting", name="REGISTRY_POLICY_SCOPE", resource="REGISTRY_POLICY_SCOPE")
        return str(answer.get("value") or "V2")
