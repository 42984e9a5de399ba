"""Flux: sources and image scans that log in to ECR by themselves.

Source: Flux documentation, ImageRepository and OCIRepository, "Provider".
"""

from __future__ import annotations

from typing import Any, Literal

from ecrkit.auth.durations import go_duration
from ecrkit.auth.manifests import Advice, Manifest, metadata, name_problems, refuse
from ecrkit.errors import InvalidInput, Problem
from ecrkit.refs import ImageRef, RegistryHost

__all__ = ["flux_source"]

_API = {
    "ImageRepository": "image.toolkit.fluxcd.io/v1",
    "OCIRepository": "source.toolkit.fluxcd.io/v1",
}


def flux_source(
    name: str,
    image: ImageRef | str,
    *,
    kind: Literal["ImageRepository", "OCIRepository"] = "ImageRepository",
    namespace: str = "flux-system",
    interval: str = "5m",
    secret: str | None = None,
    api_version: str | None = None,
) -> Manifest:
    """Return a Flux object that reads `image` from ECR with `provider: aws`, or with a pull secret when one is named.

    With the provider Flux asks for tokens itself, with the identity of its controller (node role or IRSA), in the
    Region of the host. It knows the standard and FIPS hosts, dual-stack hosts outside China, and `public.ecr.aws` from
    2.6 on; for the others name a secret.

    Args:
        name: of the object.
        image: a reference with a host of ECR; an OCIRepository takes its tag or digest along.
        kind: what scans tags, or what reads artifacts.
        namespace: of the object.
        interval: a Go duration.
        secret: a pull secret in the same namespace, instead of the provider.
        api_version: for Flux releases before the `v1` of the kind, such as `image.toolkit.fluxcd.io/v1beta2`.

    Raises:
        InvalidInput: the image has no host, Flux does not know the host and no secret is named, or a name is wrong.

    Example:
        >>> made = flux_source("app", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app")
        >>> made.document["spec"]["provider"]
        'aws'
    """
    reference = image if isinstance(image, ImageRef) else ImageRef.parse(image)
    problems = name_problems(name=name, namespace=namespace, secret=secret)
    host = reference.registry
    if host is None:
        problems.append(Problem("image", f"{reference} names no registry host"))
    elif secret is None and (why := _unknown(host)):
        problems.append(Problem("image", f"Flux does not take {host} for ECR{why}; name a secret"))
    if kind not in _API:
        problems.append(Problem("kind", f"must be ImageRepository or OCIRepository, not {kind!r:.60}"))
    try:
        if go_duration(interval).total_seconds() <= 0:
            problems.append(Problem("interval", "must be more than 0"))
    except InvalidInput as error:
        problems += [Problem("interval", p.message) for p in error.problems]
    refuse("no Flux object", problems)
    assert host is not None
    spec: dict[str, Any] = {"interval": interval}
    if kind == "ImageRepository":
        spec["image"] = f"{host}/{reference.repository}"
    else:
        spec["url"] = f"oci://{host}/{reference.repository}"
        if reference.digest is not None:
            spec["ref"] = {"digest": reference.digest}
        elif reference.tag is not None:
            spec["ref"] = {"tag": reference.tag}
    if secret is None:
        spec["provider"] = "aws"
    else:
        spec["secretRef"] = {"name": secret}
    return Manifest(
        {
            "apiVersion": api_version or _API[kind],
            "kind": kind,
            "metadata": metadata(name, namespace),
            "spec": spec,
        },
        what=f"{kind} {namespace}/{name}",
        advice=_advice(host, secret),
    )


def _unknown(host: RegistryHost) -> str:
    if host.dual_stack and host.public:
        return "; pull from public.ecr.aws"
    if host.dual_stack and host.partition == "aws-cn":
        return " in its dual-stack form"
    return ""


def _advice(host: RegistryHost, secret: str | None) -> Advice:
    if secret is not None:
        return Advice(
            stops_working=f"It stops working when the token in secret {secret} expires, 12 hours after it was issued.",
            instead="Leave the secret out: with provider aws Flux asks for tokens itself. For a host that Flux does "
            "not know, let ecr_external_secret() renew the secret.",
        )
    actions = (
        "ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken"
        if host.public
        else "ecr:GetAuthorizationToken and pull"
    )
    return Advice(
        stops_working=f"It works as long as the controller's identity may call {actions}; Flux asks for tokens itself.",
        instead="Where the controller has no AWS identity, name a secret that ecr_external_secret() renews.",
        warnings=("Flux before 2.6 answers 'invalid AWS registry' for public.ecr.aws",) if host.public else (),
    )
