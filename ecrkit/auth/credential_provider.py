"""The kubelet's `CredentialProviderConfig` for ECR: how nodes get tokens that renew themselves.

Source: Kubernetes documentation, "Configure a kubelet image credential provider" and the `kubelet.config.k8s.io/v1`
reference; cloud-provider-aws, `ecr-credential-provider`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.auth.durations import go_duration
from ecrkit.auth.manifests import Advice, Manifest, refuse
from ecrkit.auth.match_images import pattern_problems
from ecrkit.errors import InvalidInput, Problem

__all__ = [
    "ROLE_ANNOTATION",
    "ServiceAccountTokens",
    "credential_provider_config",
    "default_patterns",
    "kubelet_version",
]

ROLE_ANNOTATION: Final = "eks.amazonaws.com/ecr-role-arn"
"""The annotation of a service account that the plugin reads; `eks.amazonaws.com/role-arn` is IRSA's and is not read."""

PLUGIN: Final = "ecr-credential-provider"
PLUGIN_API: Final = "credentialprovider.kubelet.k8s.io/v1"
_PATTERNS: Final = (
    "*.dkr.ecr.*.amazonaws.com",
    "*.dkr.ecr-fips.*.amazonaws.com",
    "*.dkr-ecr.*.on.aws",
    "*.dkr-ecr-fips.*.on.aws",
    "*.dkr.ecr.*.amazonaws.com.cn",
    "*.dkr-ecr.*.on.amazonwebservices.com.cn",
    "*.dkr.ecr.*.amazonaws.eu",
    "*.dkr.ecr.*.c2s.ic.gov",
    "*.dkr.ecr.*.sc2s.sgov.gov",
    "*.dkr.ecr.*.cloud.adc-e.uk",
    "*.dkr.ecr.*.csp.hci.ic.gov",
    "public.ecr.aws",
)
_PUBLIC_DUAL_STACK: Final = "ecr-public.aws.com"
# The plugin that comes with older kubelets does not know the host (awslabs/amazon-eks-ami#2592).
PUBLIC_DUAL_STACK_SINCE: Final = (1, 32)
TOKENS_SINCE: Final = (1, 34)


def kubelet_version(text: str) -> tuple[int, int]:
    """Return major and minor of a kubelet version such as `1.34` or `v1.34.2-eks-1a2b3c`.

    Raises:
        InvalidInput: it is no version.

    Example:
        >>> kubelet_version("v1.34.2-eks-1a2b3c")
        (1, 34)
    """
    found = re.match(r"v?([0-9]{1,4})\.([0-9]{1,4})(?![0-9])", text)
    if found is None:
        raise InvalidInput.single("not a kubelet version", repr(text[:40]), "write it like 1.34")
    return int(found[1]), int(found[2])


def default_patterns(kubelet: str) -> tuple[str, ...]:
    """Return `matchImages` for every documented host form of ECR that the plugin of this kubelet version knows.

    Example:
        >>> "ecr-public.aws.com" in default_patterns("1.31"), "ecr-public.aws.com" in default_patterns("1.32")
        (False, True)
    """
    newer = kubelet_version(kubelet) >= PUBLIC_DUAL_STACK_SINCE
    return (*_PATTERNS, _PUBLIC_DUAL_STACK) if newer else _PATTERNS


@attrs.frozen(kw_only=True)
class ServiceAccountTokens(Record):
    """Let the plugin pull with a role of the pod's service account (`tokenAttributes`, KEP-4412).

    The role stands in the service account's annotation `eks.amazonaws.com/ecr-role-arn`. With `required` false a pod
    without it is pulled for with the node role, which needs a plugin with cloud-provider-aws#1281. `cache` is what the
    kubelet keys its credential cache by: `ServiceAccount`, or `Token` when credentials die with the token.
    """

    audience: str = "sts.amazonaws.com"
    required: bool = False
    cache: Literal["ServiceAccount", "Token"] = "ServiceAccount"

    def attributes(self) -> dict[str, Any]:
        """Return the `tokenAttributes`."""
        return {
            "serviceAccountTokenAudience": self.audience,
            "cacheType": self.cache,
            "requireServiceAccount": self.required,
            "requiredServiceAccountAnnotationKeys" if self.required else "optionalServiceAccountAnnotationKeys": [
                ROLE_ANNOTATION
            ],
        }


def credential_provider_config(
    *,
    kubelet: str,
    match_images: Sequence[str] | None = None,
    service_account_tokens: ServiceAccountTokens | None = None,
    default_cache_duration: str = "12h0m0s",
    args: Iterable[str] = ("get-credentials",),
    env: Mapping[str, str] | None = None,
) -> Manifest:
    """Return a `CredentialProviderConfig` with the ECR plugin, for a kubelet version such as `1.34`.

    Args:
        kubelet: the oldest version among the nodes that get the file.
        match_images: by default every host form of ECR that the plugin knows.
        service_account_tokens: pull with roles of service accounts; by default the node role pulls.
        default_cache_duration: used only when the plugin names none; it names half of the token's life.
        args: arguments of the plugin.
        env: variables of the plugin, such as AWS_PROFILE.

    Raises:
        InvalidInput: a pattern, the duration or the version is wrong, or the version has no service-account tokens.

    Example:
        >>> made = credential_provider_config(kubelet="1.34", service_account_tokens=ServiceAccountTokens())
        >>> made.document["providers"][0]["tokenAttributes"]["optionalServiceAccountAnnotationKeys"]
        ['eks.amazonaws.com/ecr-role-arn']
    """
    version = kubelet_version(kubelet)
    patterns = list(default_patterns(kubelet) if match_images is None else match_images)
    problems = [p for n, pattern in enumerate(patterns) for p in pattern_problems(pattern, f"match_images[{n}]")]
    if not patterns:
        problems.append(Problem("match_images", "at least one pattern is needed"))
    try:
        if go_duration(default_cache_duration).total_seconds() < 0:
            problems.append(Problem("default_cache_duration", "must not be negative"))
    except InvalidInput as error:
        problems += [Problem("default_cache_duration", p.message) for p in error.problems]
    warnings = []
    if _PUBLIC_DUAL_STACK in patterns and version < PUBLIC_DUAL_STACK_SINCE:
        warnings.append(f"the plugin of kubelet {kubelet} does not know {_PUBLIC_DUAL_STACK}; pulls stay anonymous")
    provider: dict[str, Any] = {
        "name": PLUGIN,
        "matchImages": patterns,
        "defaultCacheDuration": default_cache_duration,
        "apiVersion": PLUGIN_API,
        "args": list(args),
    }
    if env:
        provider["env"] = [{"name": name, "value": value} for name, value in env.items()]
    stops = (
        "It works as long as the node role may call ecr:GetAuthorizationToken; the plugin renews tokens at half life."
    )
    if service_account_tokens is not None:
        if version < TOKENS_SINCE:
            problems.append(
                Problem(
                    "service_account_tokens",
                    f"kubelet {kubelet} has the feature off or not at all; it is on by default from 1.34",
                )
            )
        if not service_account_tokens.audience:
            problems.append(Problem("service_account_tokens.audience", "must not be empty"))
        provider["tokenAttributes"] = service_account_tokens.attributes()
        warnings.append(
            f"nodes must be allowed to request the audience {service_account_tokens.audience!r}: RBAC verb "
            "request-serviceaccounts-token-audience"
        )
        stops = (
            "It works as long as the role in the service account's annotation trusts the cluster's OIDC provider and "
            "may call ecr:GetAuthorizationToken."
        )
    refuse("no credential provider configuration", problems)
    return Manifest(
        {"apiVersion": "kubelet.config.k8s.io/v1", "kind": "CredentialProviderConfig", "providers": [provider]},
        what="CredentialProviderConfig",
        advice=Advice(
            stops_working=stops,
            instead="The EKS AMIs bring such a file; replace it only for hosts that it does not match. For other "
            "registries, or a cluster outside AWS, use an image pull secret that is renewed.",
            warnings=tuple(warnings),
        ),
    )
