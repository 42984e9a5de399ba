"""Identity policies for the usual jobs with ECR, with nothing in them that the job does not need.

Source: ECR user guide ("Pushing an image", "IAM permissions required to sync ... pull through cache", "Private image
replication"), EKS user guide ("Amazon EKS node IAM role", "pod execution role"), and the AWS managed policies.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ecrkit.access.documents import PolicyDocument
from ecrkit.access.scope import Scope, eks_addon_account
from ecrkit.errors import InvalidInput

__all__ = [
    "audit",
    "crawler",
    "fargate_execution",
    "lifecycle_admin",
    "node_role",
    "promotion",
    "public_pull",
    "public_push",
    "pull",
    "pull_through",
    "pull_through_admin",
    "pull_through_role",
    "push",
    "replication_source",
    "scan_reader",
    "service_account_pull",
    "template_admin",
    "template_role",
]

_PULL = ("ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")
_PUSH = (
    "ecr:BatchCheckLayerAvailability", "ecr:CompleteLayerUpload", "ecr:InitiateLayerUpload", "ecr:PutImage",
    "ecr:UploadLayerPart",
)  # fmt: skip
PROMOTION_TARGET = (*_PUSH, "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:DescribeRepositories")
"""What `presets.promotion` allows in the target; in another account its repositories must allow the same."""
_TOKEN = ("ecr:GetAuthorizationToken",)
Rows = Iterable[tuple[str, Sequence[str], Sequence[str] | str]]


def _identity(rows: Rows, *more: Mapping[str, Any]) -> PolicyDocument:
    statements: list[dict[str, Any]] = [
        {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(r) if not isinstance(r, str) else r}
        for sid, actions, r in rows
    ]
    return PolicyDocument.parse({"Version": "2012-10-17", "Statement": [*statements, *more]})


def pull(*scopes: Scope) -> PolicyDocument:
    """Return the policy to pull images from the scopes: the token, manifests, layers.

    BatchCheckLayerAvailability is for pushing; a pull does without it.

    Example:
        >>> pull(Scope("123456789012", "eu-west-1", ("team/*",))).statements[1].actions
        ('ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer')
    """
    _some(scopes)
    return _identity([("Token", _TOKEN, "*"), ("Pull", _PULL, _arns(scopes))])


def _some(scopes: Sequence[Scope]) -> None:
    if not scopes:
        raise InvalidInput.single("no scope", "$.scopes", "name at least one registry")


def _arns(scopes: Iterable[Scope]) -> list[str]:
    return list(dict.fromkeys(arn for s in scopes for arn in s.arns))


def pull_through(*scopes: Scope, first_pull: bool = True) -> PolicyDocument:
    """Return the policy to pull through a cache; `first_pull` adds the creation of the cache repository.

    The managed policy AmazonEC2ContainerRegistryPullOnly lacks `ecr:CreateRepository`.
    """
    _some(scopes)
    extra = ("ecr:BatchImportUpstreamImage", *(("ecr:CreateRepository",) if first_pull else ()))
    return _identity([("Token", _TOKEN, "*"), ("PullThrough", (*_PULL, *extra), _arns(scopes))])


def push(*scopes: Scope, cache: bool = False) -> PolicyDocument:
    """Return the policy to push images; `cache` adds what clients need that also read (buildx cache, crane, cosign)."""
    _some(scopes)
    return _identity([("Token", _TOKEN, "*"), ("Push", (*_PUSH, *(_PULL if cache else ())), _arns(scopes))])


def node_role(
    *scopes: Scope, pull_through_cache: Scope | None = None, addon_account: str | None = None
) -> PolicyDocument:
    """Return the policy of an EKS node role: pulls from the scopes and the add-on images of their regions.

    `pull_through_cache` names repositories under a cache prefix. The role needs AmazonEKSWorkerNodePolicy besides.

    Raises:
        InvalidInput: the add-on registry of a region is not known; pass `addon_account`.
    """
    _some(scopes)
    regions = dict.fromkeys(s.region for s in scopes)
    addons = [Scope(addon_account or eks_addon_account(region), region) for region in regions]
    rows: list[tuple[str, Sequence[str], Sequence[str] | str]] = [
        ("Token", _TOKEN, "*"), ("Pull", _PULL, _arns(scopes)), ("EksAddons", _PULL, _arns(addons)),
    ]  # fmt: skip
    if pull_through_cache is not None:
        actions = (*_PULL, "ecr:BatchImportUpstreamImage", "ecr:CreateRepository")
        rows.append(("PullThrough", actions, pull_through_cache.arns))
    return _identity(rows)


def fargate_execution(*scopes: Scope, addon_account: str | None = None) -> PolicyDocument:
    """Return the policy of a Fargate pod execution role, add-on images included (the pods of CoreDNS, for one)."""
    return node_role(*scopes, addon_account=addon_account)


def service_account_pull(*scopes: Scope) -> PolicyDocument:
    """Return the policy of a role that one service account pulls with (KEP-4412, see `trust.credential_provider`)."""
    return pull(*scopes)


def audit(scope: Scope) -> PolicyDocument:
    """Return the policy to read what a registry holds and how it is set up; it cannot pull."""
    return _identity([
        ("Repositories", (
            "ecr:BatchGetRepositoryScanningConfiguration", "ecr:DescribeImageReplicationStatus",
            "ecr:DescribeImageScanFindings", "ecr:DescribeImageSigningStatus", "ecr:DescribeImages",
            "ecr:DescribeRepositories", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy", "ecr:ListImages",
            "ecr:ListTagsForResource",
        ), scope.arns),
        ("Registry", _REGISTRY_READS, "*"),
    ])  # fmt: skip


_REGISTRY_READS = (
    "ecr:DescribePullThroughCacheRules", "ecr:DescribeRegistry", "ecr:DescribeRepositoryCreationTemplates",
    "ecr:GetAccountSetting", "ecr:GetRegistryPolicy", "ecr:GetRegistryScanningConfiguration",
    "ecr:GetSigningConfiguration", "ecr:ListPullTimeUpdateExclusions",
)  # fmt: skip


def crawler(scope: Scope) -> PolicyDocument:
    """Return the policy to take a snapshot of a registry: its settings, repositories, images and manifests.

    It holds what `Registry.snapshot` asks and nothing else. `ecr:BatchGetImage` reads manifests; without
    `ecr:GetDownloadUrlForLayer` no layer can be read. Repositories are listed before they are chosen, so
    `ecr:DescribeRepositories` is about all of the registry.
    """
    every = f"arn:{scope.partition}:ecr:{scope.region}:{scope.account}:repository/*"
    return _identity([
        ("List", ("ecr:DescribeRepositories",), every),
        ("Repositories", (
            "ecr:BatchGetImage", "ecr:DescribeImages", "ecr:GetLifecyclePolicy", "ecr:GetRepositoryPolicy",
            "ecr:ListTagsForResource",
        ), scope.arns),
        ("Registry", (
            "ecr:DescribePullThroughCacheRules", "ecr:DescribeRegistry", "ecr:DescribeRepositoryCreationTemplates",
            "ecr:GetAccountSetting", "ecr:GetRegistryPolicy", "ecr:GetRegistryScanningConfiguration",
        ), "*"),
    ])  # fmt: skip


def scan_reader(scope: Scope, *, inspector: bool = False) -> PolicyDocument:
    """Return the policy to read scan findings; `inspector` adds Inspector's own lists for enhanced scanning.

    `ecr:BatchGetImage` reads the index of an image for several platforms, each of which has findings of its own.
    """
    rows: list[tuple[str, Sequence[str], Sequence[str] | str]] = [
        ("Findings", ("ecr:BatchGetImage", "ecr:DescribeImageScanFindings", "ecr:DescribeImages"), scope.arns)
    ]
    if inspector:
        rows.append(("Inspector", ("inspector2:ListCoverage", "inspector2:ListFindings"), "*"))
    return _identity(rows)


def lifecycle_admin(scope: Scope) -> PolicyDocument:
    """Return the policy to read, preview, put and delete lifecycle policies and see what they act on.

    `ecr:BatchGetImage` reads manifests: which images an index holds, and which layers would be freed.
    """
    return _identity([("Lifecycle", (
        "ecr:BatchGetImage", "ecr:DeleteLifecyclePolicy", "ecr:DescribeImages", "ecr:DescribeRepositories",
        "ecr:GetLifecyclePolicy", "ecr:GetLifecyclePolicyPreview", "ecr:PutLifecyclePolicy",
        "ecr:StartLifecyclePolicyPreview",
    ), scope.arns)])  # fmt: skip


def _service_role(partition: str, service: str, name: str) -> dict[str, Any]:
    return {
        "Sid": "ServiceLinkedRole", "Effect": "Allow", "Action": "iam:CreateServiceLinkedRole",
        "Resource": f"arn:{partition}:iam::*:role/aws-service-role/{service}/{name}",
        "Condition": {"StringEquals": {"iam:AWSServiceName": service}},
    }  # fmt: skip


def replication_source(scope: Scope) -> PolicyDocument:
    """Return the policy to set up replication from a registry and follow it; the destination has its own policy."""
    return _identity(
        [
            (
                "Configure",
                (
                    "ecr:DescribeRegistry",
                    "ecr:DescribeRepositories",
                    "ecr:PutReplicationConfiguration",
                ),
                "*",
            ),
            (
                "Follow",
                (
                    "ecr:BatchGetImage",
                    "ecr:DescribeImageReplicationStatus",
                    "ecr:DescribeImages",
                ),
                scope.arns,
            ),
        ],
        _service_role(scope.partition, "replication.ecr.amazonaws.com", "AWSServiceRoleForECRReplication"),
    )


def promotion(source: Scope, target: Scope) -> PolicyDocument:
    """Return the policy to copy images from one scope to another, or to re-tag in the target, as `promotion` does.

    Beside pulling and pushing it looks at what both sides hold: which image a tag names, and whether it may move.
    """
    return _identity([
        ("Token", _TOKEN, "*"), ("Read", (*_PULL, "ecr:DescribeImages"), source.arns),
        ("Write", PROMOTION_TARGET, target.arns),
    ])  # fmt: skip


def pull_through_admin(scope: Scope) -> PolicyDocument:
    """Return the policy to manage pull-through cache rules, with the service-linked role of the first rule."""
    return _identity(
        [("Rules", (
            "ecr:CreatePullThroughCacheRule", "ecr:DeletePullThroughCacheRule", "ecr:DescribePullThroughCacheRules",
            "ecr:DescribeRepositoryCreationTemplates", "ecr:UpdatePullThroughCacheRule",
            "ecr:ValidatePullThroughCacheRule",
        ), "*")],
        _service_role(scope.partition, "pullthroughcache.ecr.amazonaws.com", "AWSServiceRoleForECRPullThroughCache"),
    )  # fmt: skip


def pull_through_role(upstream: Scope, downstream: Scope) -> PolicyDocument:
    """Return the policy of the role of an ECR to ECR cache rule; its trust is that of a service."""
    return _identity([
        ("Token", _TOKEN, "*"),
        ("Upstream", (*_PULL, "ecr:BatchImportUpstreamImage", "ecr:GetImageCopyStatus"), upstream.arns),
        ("Downstream", (
            "ecr:CompleteLayerUpload", "ecr:GetImageCopyStatus", "ecr:InitiateLayerUpload", "ecr:PutImage",
            "ecr:UploadLayerPart",
        ), downstream.arns),
    ])  # fmt: skip


def template_admin(scope: Scope, *, role: str | None = None) -> PolicyDocument:
    """Return the policy to manage repository creation templates; `role` is the custom role that may be passed."""
    passing: list[dict[str, Any]] = []
    if role is not None:
        passing.append({
            "Sid": "PassRole", "Effect": "Allow", "Action": "iam:PassRole",
            "Resource": f"arn:{scope.partition}:iam::{scope.account}:role/{role}",
            "Condition": {"StringEquals": {"iam:PassedToService": "ecr.amazonaws.com"}},
        })  # fmt: skip
    return _identity([("Templates", (
        "ecr:CreateRepositoryCreationTemplate", "ecr:DeleteRepositoryCreationTemplate",
        "ecr:DescribeRepositoryCreationTemplates", "ecr:UpdateRepositoryCreationTemplate",
    ), "*")], *passing)  # fmt: skip


def template_role(scope: Scope, *, key: str | None = None) -> PolicyDocument:
    """Return the policy of a template's custom role: it creates and tags repositories, with `key` encrypted ones."""
    grants: list[dict[str, Any]] = []
    if key is not None:
        grants.append({
            "Sid": "Key", "Effect": "Allow", "Action": ["kms:CreateGrant", "kms:DescribeKey", "kms:RetireGrant"],
            "Resource": key,
            "Condition": {"StringEquals": {"kms:ViaService": f"ecr.{scope.region}.amazonaws.com"}},
        })  # fmt: skip
    return _identity([("Create", ("ecr:CreateRepository", "ecr:TagResource"), scope.arns)], *grants)


_PUBLIC_TOKEN = ("ecr-public:GetAuthorizationToken", "sts:GetServiceBearerToken")


def public_pull() -> PolicyDocument:
    """Return the policy to pull from ECR Public with a token instead of anonymously; ask for it in us-east-1.

    Example:
        >>> public_pull().statements[0].actions
        ('ecr-public:GetAuthorizationToken', 'sts:GetServiceBearerToken')
    """
    return _identity([("PublicToken", _PUBLIC_TOKEN, "*")])


def public_push(account: str, repositories: Sequence[str] = ("*",)) -> PolicyDocument:
    """Return the policy to push to repositories of one's own public registry; there is one, in partition aws."""
    arns = [f"arn:aws:ecr-public::{account}:repository/{name}" for name in repositories]
    return _identity([
        ("PublicToken", _PUBLIC_TOKEN, "*"), ("PublicPush", [a.replace("ecr:", "ecr-public:") for a in _PUSH], arns),
    ])  # fmt: skip
