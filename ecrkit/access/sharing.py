"""Resource policies: who else may use a repository, a registry, a key or an endpoint.

Source: ECR user guide ("Private repository policy examples", "Private registry policy examples", "Encryption at rest",
"Amazon ECR interface VPC endpoints"); Lambda developer guide, "Amazon ECR permissions".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access import presets
from ecrkit.access.documents import PolicyDocument, PolicyKind
from ecrkit.access.scope import Scope
from ecrkit.errors import InvalidInput

__all__ = [
    "Pair",
    "codebuild_pull",
    "cross_account_promotion",
    "cross_account_pull",
    "cross_account_push",
    "key_policy",
    "lambda_pull",
    "organization_pull",
    "pull_through_registry",
    "replication_destination",
    "s3_gateway",
    "vpc_endpoint",
]

_PULL = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
_PUSH = [
    "ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage",
    "ecr:UploadLayerPart",
]  # fmt: skip


@attrs.frozen(kw_only=True)
class Pair(Record):
    """Both sides of access across accounts: one without the other does nothing."""

    identity: PolicyDocument
    repository: PolicyDocument


def _document(kind: PolicyKind, *statements: Mapping[str, Any]) -> PolicyDocument:
    return PolicyDocument.parse({"Version": "2012-10-17", "Statement": list(statements)}, kind=kind)


def _grant(sid: str, role: str, actions: list[str]) -> PolicyDocument:
    found = re.fullmatch(r"arn:([a-z-]+):iam::([0-9]{12}):role/[\w+=,.@/-]+", role)
    if not found:
        raise InvalidInput.single("not a role", role, "write the ARN of an IAM role, not of a session")
    partition, account = found.groups()
    # The account with a condition, because ECR refuses a role that is a second old or was deleted.
    return _document("repository", {
        "Sid": sid, "Effect": "Allow", "Principal": {"AWS": f"arn:{partition}:iam::{account}:root"}, "Action": actions,
        "Condition": {"ArnEquals": {"aws:PrincipalArn": role}},
    })  # fmt: skip


def cross_account_pull(scope: Scope, role: str) -> Pair:
    """Return what a role of another account needs to pull, and what the repositories must say.

    Raises:
        InvalidInput: `role` is no ARN of a role.

    Example:
        >>> pair = cross_account_pull(Scope("111111111111", "eu-west-1"), "arn:aws:iam::222222222222:role/node")
        >>> pair.repository.statements[0].principals[0].value
        'arn:aws:iam::222222222222:root'
    """
    return Pair(identity=presets.pull(scope), repository=_grant("CrossAccountPull", role, _PULL))


def cross_account_push(scope: Scope, role: str) -> Pair:
    """Return what a role of another account needs to push, and what the repositories must say."""
    return Pair(identity=presets.push(scope), repository=_grant("CrossAccountPush", role, _PUSH))


def cross_account_promotion(source: Scope, target: Scope, role: str) -> Pair:
    """Return what a role of the source's account needs to copy images into another account, and what is said there.

    It is `presets.promotion` and the policy of the target's repositories; a plain push asks for less. The role reads
    manifests in the target and cannot pull there, which `lint` says of the policy (`pull-without-layers`).

    Raises:
        InvalidInput: `role` is no ARN of a role.

    Example:
        >>> staging, prod = Scope("111111111111", "eu-west-1"), Scope("222222222222", "eu-west-1")
        >>> pair = cross_account_promotion(staging, prod, "arn:aws:iam::111111111111:role/ci")
        >>> "ecr:DescribeImages" in pair.repository.statements[0].actions
        True
    """
    return Pair(
        identity=presets.promotion(source, target),
        repository=_grant("CrossAccountPromotion", role, [*presets.PROMOTION_TARGET]),
    )


def organization_pull(*, organization: str | None = None, paths: Sequence[str] = ()) -> PolicyDocument:
    """Return the repository policy that lets an organisation, or units of it by path, pull.

    Service principals carry no organisation: Lambda needs `lambda_pull` besides.

    Raises:
        InvalidInput: not exactly one of both was given.
    """
    if (organization is None) == (not paths):
        raise InvalidInput.single("not an organisation", "$", "give the organisation's id or paths of its units")
    condition: dict[str, Any] = (
        {"StringEquals": {"aws:PrincipalOrgID": organization}}
        if organization is not None
        else {"ForAnyValue:StringLike": {"aws:PrincipalOrgPaths": list(paths)}}
    )
    return _document("repository", {
        "Sid": "OrganizationPull", "Effect": "Allow", "Principal": {"AWS": "*"}, "Action": _PULL,
        "Condition": condition,
    })  # fmt: skip


def lambda_pull(account: str, region: str, *, function: str = "*", caller: bool = True) -> PolicyDocument:
    """Return the repository policy for Lambda functions of an account, its own or another.

    For another account the account itself is let in too: creating and updating the function pulls as the caller. For
    functions of the repository's own account `caller=False` leaves that out, since their identity policies suffice.
    """
    where = Scope(account, region)
    arn = f"arn:{where.partition}:lambda:{region}:{account}:function:{function}"
    statements: list[dict[str, Any]] = [
        {
            "Sid": "Lambda", "Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": _PULL,
            "Condition": {"StringLike": {"aws:SourceArn": arn}},
        },
    ]  # fmt: skip
    if caller:
        root = {"AWS": f"arn:{where.partition}:iam::{account}:root"}
        statements.append({"Sid": "LambdaCaller", "Effect": "Allow", "Principal": root, "Action": _PULL})
    return _document("repository", *statements)


def codebuild_pull(account: str, region: str, *, project: str = "*") -> PolicyDocument:
    """Return the repository policy for CodeBuild projects whose build image lies in the repository."""
    arn = f"arn:{Scope(account, region).partition}:codebuild:{region}:{account}:project/{project}"
    return _document("repository", {
        "Sid": "CodeBuild", "Effect": "Allow", "Principal": {"Service": "codebuild.amazonaws.com"}, "Action": _PULL,
        "Condition": {"ArnLike": {"aws:SourceArn": arn}, "StringEquals": {"aws:SourceAccount": account}},
    })  # fmt: skip


def replication_destination(scope: Scope, source_account: str, *, create: bool = True) -> PolicyDocument:
    """Return the registry policy of a destination in another account; `scope` is the destination.

    Without `create` the repositories must exist. Within one account no policy is needed.
    """
    return _document("registry", {
        "Sid": "Replication", "Effect": "Allow",
        "Principal": {"AWS": f"arn:{scope.partition}:iam::{source_account}:root"},
        "Action": ["ecr:ReplicateImage", *(["ecr:CreateRepository"] if create else [])], "Resource": list(scope.arns),
    })  # fmt: skip


def pull_through_registry(scope: Scope, *accounts: str, first_pull: bool = True) -> PolicyDocument:
    """Return the registry policy that lets accounts pull through a cache; `scope` holds the cache's prefix."""
    return _document("registry", {
        "Sid": "PullThrough", "Effect": "Allow",
        "Principal": {"AWS": [f"arn:{scope.partition}:iam::{a}:root" for a in accounts]},
        "Action": ["ecr:BatchImportUpstreamImage", *(["ecr:CreateRepository"] if first_pull else [])],
        "Resource": list(scope.arns),
    })  # fmt: skip


def key_policy(scope: Scope, *creators: str) -> PolicyDocument:
    """Return the policy of a KMS key for encrypted repositories; `creators` are the role ARNs that create or delete.

    Pullers and pushers need nothing: ECR uses grants. The account keeps the administration of the key.
    """
    admin = {
        "Sid": "Administration", "Effect": "Allow", "Action": "kms:*", "Resource": "*",
        "Principal": {"AWS": f"arn:{scope.partition}:iam::{scope.account}:root"},
    }  # fmt: skip
    if not creators:
        return _document("key", admin)
    return _document("key", admin, {
        "Sid": "Repositories", "Effect": "Allow", "Principal": {"AWS": list(creators)},
        "Action": ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"], "Resource": "*",
        "Condition": {"StringEquals": {"kms:ViaService": f"ecr.{scope.region}.amazonaws.com"}},
    })  # fmt: skip


def vpc_endpoint(
    *scopes: Scope, push: bool = False, pull_through: bool = False, first_pull: bool = False
) -> PolicyDocument:
    """Return the policy of the ecr.api and ecr.dkr endpoints; name the EKS add-on registry among the scopes.

    `pull_through` lets imports through, `first_pull` besides the creation of the cache repository. The first pull of
    an image through a cache over an endpoint needs a route to the internet (NAT) as well.
    """
    if not scopes:
        raise InvalidInput.single("no scope", "$.scopes", "name at least one registry")
    actions = [*_PULL, *(_PUSH if push else [])]
    actions += ["ecr:BatchImportUpstreamImage"] if pull_through or first_pull else []
    actions += ["ecr:CreateRepository"] if first_pull else []
    return _document(
        "vpc_endpoint",
        {"Sid": "Token", "Effect": "Allow", "Principal": "*", "Action": "ecr:GetAuthorizationToken", "Resource": "*"},
        {
            "Sid": "Images", "Effect": "Allow", "Principal": "*", "Action": actions,
            "Resource": [a for s in scopes for a in s.arns],
        },
    )  # fmt: skip


def s3_gateway(region: str) -> PolicyDocument:
    """Return the policy of the S3 gateway endpoint through which layers are read.

    Example:
        >>> s3_gateway("eu-west-1").statements[0].resources
        ('arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/*',)
    """
    partition = Scope("000000000000", region).partition
    return _document("vpc_endpoint", {
        "Sid": "Layers", "Effect": "Allow", "Principal": "*", "Action": "s3:GetObject",
        "Resource": f"arn:{partition}:s3:::prod-{region}-starport-layer-bucket/*",
    })  # fmt: skip
