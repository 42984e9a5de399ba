"""Images that AWS Lambda functions run.

The reader takes what boto3 returns for GetFunction. Source: AWS Lambda API reference, FunctionCodeLocation.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ecrkit.deployments.in_use import Use, Workload
from ecrkit.errors import InvalidReference
from ecrkit.refs import ImageRef

__all__ = ["uses_of_function"]


def uses_of_function(function: Mapping[str, Any]) -> tuple[Use, ...]:
    """Return the use of one function version that is made of an image, or nothing for one made of an archive.

    Lambda resolves the reference when code is updated: `ResolvedImageUri` carries the digest that runs, whatever the
    tag points at by now. An image that Lambda keeps a copy of is in use all the same: an idle function pulls again.

    Example:
        >>> host = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
        >>> [use] = uses_of_function({
        ...     "Configuration": {"FunctionName": "resize", "Version": "$LATEST", "PackageType": "Image"},
        ...     "Code": {"ImageUri": f"{host}/fn:v1", "ResolvedImageUri": f"{host}/fn@sha256:" + "a" * 64}})
        >>> print(use.workload, use.digest[:12])
        lambda Function resize:$LATEST sha256:aaaaa
    """
    about, code = _mapping(function.get("Configuration")), _mapping(function.get("Code"))
    reference, resolved = code.get("ImageUri"), code.get("ResolvedImageUri")
    if not isinstance(reference, str):
        reference = resolved
    if not isinstance(reference, str):
        return ()
    name = str(about.get("FunctionName") or "")
    version = str(about.get("Version") or "")
    return (
        Use(
            reference=reference,
            digest=_digest_of(resolved),
            workload=Workload(
                platform="lambda", kind="Function", name=f"{name}:{version}" if version else name,
            ),
            source="lambda function",
        ),
    )  # fmt: skip


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _digest_of(reference: object) -> str | None:
    if not isinstance(reference, str):
        return None
    try:
        found = ImageRef.parse(reference).digest
    except InvalidReference:
        return None
    return None if found is None else str(found)
