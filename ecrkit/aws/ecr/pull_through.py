"""Pull-through cache rules: listed, created, changed, deleted, and tried."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ecrkit.aws import drift
from ecrkit.aws.ecr.base import EcrCalls
from ecrkit.aws.iam import needs
from ecrkit.errors import NotFound
from ecrkit.ports import Listing
from ecrkit.pull_through.report import RuleValidation
from ecrkit.pull_through.rules import ROOT, PullThroughRule

__all__ = ["EcrPullThrough"]

_PAGE: Final = 1000


class EcrPullThrough(EcrCalls):
    """The operations of pull-through cache rules; satisfies `pull_through.PullThroughStore` with the templates'."""

    @needs("ecr:DescribePullThroughCacheRules")
    def pull_through_rules(self) -> Listing[PullThroughRule]:
        """Return every rule of the registry, lazily. Calls: one for each 1000."""
        return self._listing(
            "DescribePullThroughCacheRules",
            lambda answer: [
                PullThroughRule.from_api(raw, path=f"$.pullThroughCacheRules[{number}]")
                for number, raw in enumerate(answer.get("pullThroughCacheRules") or ())
            ],
            resource="the registry",
            maxResults=_PAGE,
        )

    @needs("ecr:CreatePullThroughCacheRule")
    def create_pull_through_rule(self, rule: PullThroughRule) -> PullThroughRule:
        """Create a rule and return it as ECR keeps it.

        With a secret, ECR also checks `secretsmanager:GetSecretValue` on it, and `iam:CreateServiceLinkedRole` on the
        first; with a role, `iam:PassRole`.

        Raises:
            Conflict: there is one of that prefix.
            Rejected: ECR calls it invalid, or does not support the upstream.
            NotFound: there is no such secret.
            QuotaExceeded: the registry has as many rules as it may have.
            NotSupportedByBotocore: the installed botocore has no such member, as for ECR to ECR.
        """
        for member, value in (("customRoleArn", rule.custom_role_arn), ("credentialArn", rule.credential_arn)):
            if value is not None:
                drift.require_member(self._caller.client, "CreatePullThroughCacheRuleRequest", member)
        answer = self._call(
            "CreatePullThroughCacheRule",
            resource=rule.prefix,
            ecrRepositoryPrefix=rule.prefix,
            upstreamRegistryUrl=rule.upstream_url,
            upstreamRegistry=rule.upstream.name if rule.upstream is not None else None,
            upstreamRepositoryPrefix=None if rule.upstream_prefix == ROOT else rule.upstream_prefix,
            credentialArn=rule.credential_arn,
            customRoleArn=rule.custom_role_arn,
        )
        return PullThroughRule.from_api(_named(rule, answer))

    @needs("ecr:UpdatePullThroughCacheRule")
    def update_pull_through_rule(self, rule: PullThroughRule) -> PullThroughRule:
        """Change the credentials of the rule with this prefix and return the rule; its upstream stays.

        Raises:
            NotFound: there is no rule of that prefix, or no such secret.
            Rejected: ECR calls the credentials invalid.
        """
        answer = self._call(
            "UpdatePullThroughCacheRule",
            resource=rule.prefix,
            ecrRepositoryPrefix=rule.prefix,
            credentialArn=rule.credential_arn,
            customRoleArn=rule.custom_role_arn,
        )
        return PullThroughRule.from_api(_named(rule, answer))

    @needs("ecr:DeletePullThroughCacheRule")
    def delete_pull_through_rule(self, prefix: str) -> PullThroughRule | None:
        """Delete a rule and return what it was; None when there was none. What it cached stays.

        Raises:
            Rejected: ECR refused.
        """
        try:
            answer = self._call("DeletePullThroughCacheRule", resource=prefix, ecrRepositoryPrefix=prefix)
        except NotFound:
            return None
        return PullThroughRule.from_api({"ecrRepositoryPrefix": prefix, "upstreamRegistryUrl": "", **answer})

    @needs("ecr:ValidatePullThroughCacheRule")
    def validate_pull_through_rule(self, prefix: str) -> RuleValidation:
        """Let ECR read the secret of a rule and sign in to the upstream; return whether that works, and why not.

        Raises:
            NotFound: there is no rule of that prefix.
        """
        answer = self._call("ValidatePullThroughCacheRule", resource=prefix, ecrRepositoryPrefix=prefix)
        valid = answer.get("isValid")
        return RuleValidation(
            prefix=prefix, valid=valid if isinstance(valid, bool) else None, failure=answer.get("failure") or None
        )


def _named(rule: PullThroughRule, answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer with what it leaves out."""
    return {"ecrRepositoryPrefix": rule.prefix, "upstreamRegistryUrl": rule.upstream_url, **answer}
