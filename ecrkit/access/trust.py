"""Trust policies: who may become a role.

Source: EKS user guide ("IAM roles for service accounts", "EKS Pod Identity", "pod execution role");
cloud-provider-aws, docs/credential_provider.md.
"""

from __future__ import annotations

import re
from typing import Any, Final

from ecrkit.access.documents import PolicyDocument
from ecrkit.access.scope import Scope
from ecrkit.errors import InvalidInput, Problem

__all__ = ["credential_provider", "ec2_node", "fargate_execution", "irsa", "pod_identity", "service"]


def _trust(statement: dict[str, Any]) -> PolicyDocument:
    return PolicyDocument.parse(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", **statement}]}, kind="trust"
    )


def irsa(
    account: str, issuer: str, *, namespace: str, service_account: str, audience: str = "sts.amazonaws.com",
    partition: str = "aws",
) -> PolicyDocument:  # fmt: skip
    """Return the trust of a role for a service account (IRSA). The kubelet never pulls with such a role.

    `issuer` is taken with or without `https://`. A `*` in the names is matched with StringLike, since StringEquals
    would take it literally.

    Raises:
        InvalidInput: the account, the issuer or a name is not one.

    Example:
        >>> trust = irsa("123456789012", "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC", namespace="ci",
        ...              service_account="runner-*")
        >>> [c.operator for c in trust.statements[0].conditions]
        ['StringEquals', 'StringLike']
    """
    host = issuer.removeprefix("https://").rstrip("/")
    problems: list[Problem] = []
    if not re.fullmatch(r"[0-9]{12}", account):
        problems.append(Problem("$.account", "must be 12 digits"))
    if not re.fullmatch(r"[A-Za-z0-9.-]+(?:/[A-Za-z0-9._-]+)*", host):
        problems.append(Problem("$.issuer", "must be the issuer's host and path, no ARN"))
    for name, value in (("namespace", namespace), ("service_account", service_account)):
        if not re.fullmatch(r"[a-z0-9*?][a-z0-9*?.-]*", value):
            problems.append(Problem(f"$.{name}", f"{value!r} is no Kubernetes name"))
    if audience.startswith("system:serviceaccount:"):
        problems.append(Problem("$.audience", "is a subject; an audience is like sts.amazonaws.com"))
    if problems:
        raise InvalidInput("not a service account to trust", problems)
    subject = f"system:serviceaccount:{namespace}:{service_account}"
    conditions: dict[str, dict[str, str]] = {"StringEquals": {f"{host}:aud": audience}}
    wild = "*" in subject or "?" in subject
    conditions.setdefault("StringLike" if wild else "StringEquals", {})[f"{host}:sub"] = subject
    return _trust({
        "Principal": {"Federated": f"arn:{partition}:iam::{account}:oidc-provider/{host}"},
        "Action": "sts:AssumeRoleWithWebIdentity", "Condition": conditions,
    })  # fmt: skip


def credential_provider(
    account: str, issuer: str, *, namespace: str, service_account: str, audience: str = "sts.amazonaws.com",
    partition: str = "aws",
) -> PolicyDocument:  # fmt: skip
    """Return the trust of a role with which the kubelet pulls for one service account (KEP-4412).

    The service account carries `eks.amazonaws.com/ecr-role-arn`, and the node's CredentialProviderConfig sets
    `tokenAttributes` with the same audience; stock EKS nodes do not.
    """
    return irsa(
        account, issuer, namespace=namespace, service_account=service_account, audience=audience, partition=partition
    )


def pod_identity(
    *, session_tags: bool = True, cluster_arn: str | None = None, namespace: str | None = None,
    service_account: str | None = None,
) -> PolicyDocument:  # fmt: skip
    """Return the trust for EKS Pod Identity; the tags tighten it. Pulls are not affected by it.

    `session_tags=False` is for associations with `disableSessionTags`, and leaves out sts:TagSession.

    Raises:
        InvalidInput: a tightening tag was asked for although there are no session tags.
    """
    tags = {
        "aws:RequestTag/eks-cluster-arn": cluster_arn,
        "aws:RequestTag/kubernetes-namespace": namespace,
        "aws:RequestTag/kubernetes-service-account": service_account,
    }
    wanted = {k: v for k, v in tags.items() if v is not None}
    if wanted and not session_tags:
        raise InvalidInput.single("not a trust", "$.session_tags", "the conditions are on session tags")
    statement: dict[str, Any] = {
        "Principal": {"Service": "pods.eks.amazonaws.com"},
        "Action": ["sts:AssumeRole", "sts:TagSession"] if session_tags else "sts:AssumeRole",
    }
    if wanted:
        statement["Condition"] = {"StringEquals": wanted}
    return _trust(statement)


def fargate_execution(account: str, region: str, cluster: str) -> PolicyDocument:
    """Return the trust of a Fargate pod execution role, for the profiles of one cluster."""
    partition = Scope(account, region).partition
    profiles = f"arn:{partition}:eks:{region}:{account}:fargateprofile/{cluster}/*"
    return _trust({
        "Principal": {"Service": "eks-fargate-pods.amazonaws.com"}, "Action": "sts:AssumeRole",
        "Condition": {"ArnLike": {"aws:SourceArn": profiles}},
    })  # fmt: skip


# EC2 is named by the partition's domain in these three; EKS, Fargate and the others are not.
_EC2: Final = {"aws-cn": "ec2.amazonaws.com.cn", "aws-iso": "ec2.c2s.ic.gov", "aws-iso-b": "ec2.sc2s.sgov.gov"}


def ec2_node(partition: str = "aws") -> PolicyDocument:
    """Return the trust of a node role; in China and two isolated partitions EC2 goes by another name.

    Example:
        >>> ec2_node("aws-cn").statements[0].principals[0].value
        'ec2.amazonaws.com.cn'
    """
    return service(_EC2.get(partition, "ec2.amazonaws.com"))


def service(name: str) -> PolicyDocument:
    """Return the trust for an AWS service, such as `pullthroughcache.ecr.amazonaws.com` for an ECR to ECR cache.

    Example:
        >>> service("pullthroughcache.ecr.amazonaws.com").statements[0].actions
        ('sts:AssumeRole',)
    """
    return _trust({"Principal": {"Service": name}, "Action": "sts:AssumeRole"})
