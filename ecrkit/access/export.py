"""A document as other tools take it: AWS CLI, Terraform JSON, CloudFormation; and the Kubernetes side of a role."""

from __future__ import annotations

import re
import shlex
from typing import Any

from ecrkit.access.documents import PolicyDocument
from ecrkit.errors import InvalidInput

__all__ = [
    "aws_cli",
    "cloudformation",
    "deployment_patch",
    "pod_identity_association",
    "service_account",
    "terraform",
]


def _logical(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", name.title()) or "Policy"


def _unsupported(document: PolicyDocument, what: str) -> InvalidInput:
    return InvalidInput.single(f"no {what}", "$.kind", f"a policy of kind {document.kind} is put by other means")


def aws_cli(document: PolicyDocument, *, name: str, repository: str | None = None, registry: str | None = None) -> str:
    """Return the `aws` call that puts the document, quoted for a POSIX shell.

    `name` is the policy, role or key id; a repository policy needs `repository` and takes the `registry` account.

    Raises:
        InvalidInput: the kind of the document has no such call, or the repository is missing.

    Example:
        >>> from ecrkit.access.presets import public_pull
        >>> aws_cli(public_pull(), name="pull")[:46]
        'aws iam create-policy --policy-name pull --pol'
    """
    text = document.to_json()
    account = ["--registry-id", registry] if registry else []
    match document.kind:
        case "identity" | "permissions_boundary":
            call = ["iam", "create-policy", "--policy-name", name, "--policy-document", text]
        case "trust":
            call = ["iam", "update-assume-role-policy", "--role-name", name, "--policy-document", text]
        case "repository":
            if repository is None:
                raise InvalidInput.single("no call", "$.repository", "name the repository")
            call = ["ecr", "set-repository-policy", *account, "--repository-name", repository, "--policy-text", text]
        case "registry":
            call = ["ecr", "put-registry-policy", "--policy-text", text]
        case "vpc_endpoint":
            call = ["ec2", "modify-vpc-endpoint", "--vpc-endpoint-id", name, "--policy-document", text]
        case "key":
            call = ["kms", "put-key-policy", "--key-id", name, "--policy-name", "default", "--policy", text]
        case _:
            raise _unsupported(document, "call")
    return shlex.join(["aws", *call])


def _hcl_safe(text: str) -> str:
    # ${...} and %{...} are templates to Terraform, also in JSON.
    return text.replace("${", "$${").replace("%{", "%%{")


def terraform(document: PolicyDocument, *, name: str, repository: str | None = None) -> dict[str, Any]:
    """Return a Terraform JSON configuration with the document; policy variables are escaped.

    Raises:
        InvalidInput: the kind of the document has no resource of its own, or the repository is missing.
    """
    policy = _hcl_safe(document.to_json())
    label = re.sub(r"[^A-Za-z0-9_]", "_", name)
    match document.kind:
        case "identity" | "permissions_boundary":
            kind, body = "aws_iam_policy", {"name": name, "policy": policy}
        case "repository":
            if repository is None:
                raise InvalidInput.single("no resource", "$.repository", "name the repository")
            kind, body = "aws_ecr_repository_policy", {"repository": repository, "policy": policy}
        case "registry":
            kind, body = "aws_ecr_registry_policy", {"policy": policy}
        case "trust":
            kind, body = "aws_iam_role", {"name": name, "assume_role_policy": policy}
        case "vpc_endpoint":
            kind, body = "aws_vpc_endpoint_policy", {"vpc_endpoint_id": name, "policy": policy}
        case "key":
            kind, body = "aws_kms_key_policy", {"key_id": name, "policy": policy}
        case _:
            raise _unsupported(document, "Terraform resource")
    return {"resource": {kind: {label: body}}}


def cloudformation(document: PolicyDocument, *, name: str, repository: str | None = None) -> dict[str, Any]:
    """Return a CloudFormation template with the document.

    A repository policy, a trust and a key policy are properties of their resource: the template makes that, too.

    Raises:
        InvalidInput: the kind of the document is a property of a resource that is more than its policy (put
            `to_dict()` there), or the repository is missing.
    """
    policy = document.to_dict()
    match document.kind:
        case "identity" | "permissions_boundary":
            kind, body = "AWS::IAM::ManagedPolicy", {"ManagedPolicyName": name, "PolicyDocument": policy}
        case "trust":
            kind, body = "AWS::IAM::Role", {"RoleName": name, "AssumeRolePolicyDocument": policy}
        case "repository":
            if repository is None:
                raise InvalidInput.single("no resource", "$.repository", "name the repository")
            kind, body = "AWS::ECR::Repository", {"RepositoryName": repository, "RepositoryPolicyText": policy}
        case "registry":
            kind, body = "AWS::ECR::RegistryPolicy", {"PolicyText": policy}
        case "key":
            kind, body = "AWS::KMS::Key", {"Description": name, "KeyPolicy": policy}
        case _:
            raise _unsupported(document, "CloudFormation resource")
    return {"AWSTemplateFormatVersion": "2010-09-09", "Resources": {_logical(name): {"Type": kind, "Properties": body}}}


def service_account(
    name: str, *, namespace: str, irsa_role: str | None = None, pull_role: str | None = None
) -> dict[str, Any]:
    """Return a ServiceAccount; `irsa_role` is for the containers, `pull_role` for the kubelet (KEP-4412).

    Example:
        >>> made = service_account("app", namespace="prod", pull_role="arn:aws:iam::123456789012:role/pull")
        >>> list(made["metadata"]["annotations"])
        ['eks.amazonaws.com/ecr-role-arn']
    """
    notes = {"eks.amazonaws.com/role-arn": irsa_role, "eks.amazonaws.com/ecr-role-arn": pull_role}
    metadata: dict[str, Any] = {"name": name, "namespace": namespace}
    given = {k: v for k, v in notes.items() if v is not None}
    if given:
        metadata["annotations"] = given
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata}


def deployment_patch(service_account_name: str) -> dict[str, Any]:
    """Return the strategic merge patch that runs a Deployment's pods under a service account."""
    return {"spec": {"template": {"spec": {"serviceAccountName": service_account_name}}}}


def pod_identity_association(cluster: str, namespace: str, service_account_name: str, role: str) -> str:
    """Return the `aws eks` call that gives a service account's containers a role by EKS Pod Identity."""
    return shlex.join([
        "aws", "eks", "create-pod-identity-association", "--cluster-name", cluster, "--namespace", namespace,
        "--service-account", service_account_name, "--role-arn", role,
    ])  # fmt: skip
