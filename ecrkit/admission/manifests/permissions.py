"""What the admission server may do in AWS: read, and nothing else."""

from __future__ import annotations

from typing import Any

from ecrkit.access import PolicyDocument, Scope
from ecrkit.errors import InvalidInput

__all__ = ["server_policy"]


def server_policy(*scopes: Scope, inspector: bool = False, conditions: bool = True) -> PolicyDocument:
    """Return the identity policy of the server's role: findings, images, manifests of indexes, scan settings.

    `ecr:BatchGetImage` reads manifests, for the platforms of an index and for referrers; without
    `ecr:GetDownloadUrlForLayer` no layer can be read, so the role cannot pull. `conditions` adds what the further
    conditions ask (signatures and provenance), `inspector` Inspector's own lists for enhanced scanning.

    Raises:
        InvalidInput: no scope is named.

    Example:
        >>> from ecrkit.access import Scope
        >>> made = server_policy(Scope("123456789012", "eu-west-1"))
        >>> sorted(a for s in made.statements for a in s.actions)[:2]
        ['ecr:BatchGetImage', 'ecr:DescribeImageScanFindings']
    """
    if not scopes:
        raise InvalidInput.single("no policy", "$.scopes", "name at least one registry")
    reads = ["ecr:BatchGetImage", "ecr:DescribeImageScanFindings", "ecr:DescribeImages"]
    if conditions:
        reads += ["ecr:DescribeImageSigningStatus", "ecr:ListImageReferrers"]
    arns = list(dict.fromkeys(arn for scope in scopes for arn in scope.arns))
    statements: list[dict[str, Any]] = [
        {"Sid": "Images", "Effect": "Allow", "Action": reads, "Resource": arns},
        {"Sid": "Settings", "Effect": "Allow", "Action": ["ecr:GetRegistryScanningConfiguration"], "Resource": "*"},
    ]
    if inspector:
        lists = ["inspector2:ListCoverage", "inspector2:ListFindings"]
        statements.append({"Sid": "Inspector", "Effect": "Allow", "Action": lists, "Resource": "*"})
    return PolicyDocument.parse({"Version": "2012-10-17", "Statement": statements})
