"""What the admission server may do in AWS: read, and nothing else."""

from __future__ import annotations

from typing import Any

from ecrkit.access import PolicyDocument, Scope
from ecrkit.errors import InvalidInput

__all__ = ["server_policy"]


def server_policy(*scopes: Scope, inspector: bool = False, signing_status: bool = False) -> PolicyDocument:
    """Return the identity policy of the server's role: findings, images, the manifests of indexes.

    `ecr:BatchGetImage` reads manifests, for the platforms of an index, and authorises ListImageReferrers, which the
    condition `signed` asks and which has no action of its own. Without `ecr:GetDownloadUrlForLayer` no layer can be
    read, so the role cannot pull. With enhanced scanning the ECR user guide wants `inspector`'s two lists beside it;
    `signing_status` adds what `signed = "status"` and `signed = "either"` ask.

    Raises:
        InvalidInput: no scope is named.

    Example:
        >>> from ecrkit.access import Scope
        >>> made = server_policy(Scope("123456789012", "eu-west-1"))
        >>> made.statements[0].actions
        ('ecr:BatchGetImage', 'ecr:DescribeImageScanFindings', 'ecr:DescribeImages')
    """
    if not scopes:
        raise InvalidInput.single("no policy", "$.scopes", "name at least one registry")
    reads = ["ecr:BatchGetImage", "ecr:DescribeImageScanFindings", "ecr:DescribeImages"]
    if signing_status:
        reads.insert(1, "ecr:DescribeImageSigningStatus")
    arns = list(dict.fromkeys(arn for scope in scopes for arn in scope.arns))
    statements: list[dict[str, Any]] = [{"Sid": "Images", "Effect": "Allow", "Action": reads, "Resource": arns}]
    if inspector:
        lists = ["inspector2:ListCoverage", "inspector2:ListFindings"]
        statements.append({"Sid": "Inspector", "Effect": "Allow", "Action": lists, "Resource": "*"})
    return PolicyDocument.parse({"Version": "2012-10-17", "Statement": statements})
