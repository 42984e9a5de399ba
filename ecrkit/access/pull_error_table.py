"""The texts of failed pulls, most telling first: the first pattern that is found decides.

A row: code, confidence, explanation, next probe, fix.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["SIGNATURES", "Row"]

Row = tuple[str, str, str, str, str]

_MANIFEST_ACCESS: Final[Row] = (
    "manifest-access", "high",
    "the caller may not read the manifest: ecr:BatchGetImage or a repository policy missing, or a Deny",
    "explain_pull for the node role and the image", "grant ecr:BatchGetImage on both sides",
)  # fmt: skip
_EXPIRED_MAYBE: Final[Row] = (
    "static-credential-expired", "medium", "an expired token gives the same status",
    "the age of the pull secret: tokens live 12 hours; nodes with the credential provider renew them",
    "renew the secret every 6 hours, or pull with the node role",
)  # fmt: skip
_PLATFORM: Final[Row] = (
    "platform-missing", "high", "the image exists, but not for the platform of the node",
    "the platforms of the image index against the architecture of the node",
    "build for the platform, or select nodes by kubernetes.io/arch",
)  # fmt: skip

_Signature = tuple[re.Pattern[str], tuple[Row, ...], bool]


def _on(pattern: str, *rows: Row, blocking: bool = True) -> _Signature:
    return re.compile(pattern, re.IGNORECASE), rows, blocking


# fmt: off
SIGNATURES: Final[tuple[_Signature, ...]] = (
    _on(r"no match for platform in manifest|no matching manifest for", _PLATFORM),
    _on(r"pull QPS exceeded", (
        "kubelet-qps", "high", "the kubelet's own limit on pulls (registryPullQPS), not ECR",
        "registryPullQPS and registryBurst of the kubelet", "raise them, or pull in parallel less")),
    _on(r"toomanyrequests: Rate exceeded|toomanyrequests", (
        "throttled", "high", "ECR throttles: the quota of the registry, or the anonymous quota of ECR Public",
        "whether the host is public.ecr.aws and whether the node has a public token",
        "authenticate to ECR Public, cache the image, or spread the pulls")),
    _on(r"KMSAccessDeniedException|KmsError|KmsException", (
        "kms", "high", "the key of the repository or the Lambda function cannot be used; not pull permissions",
        "state and policy of the key and its grants",
        "enable the key and restore ECR's grants; for Lambda check the function's own key")),
    _on(r"authentication to the upstream registry failed", (
        "upstream-credential", "high", "the pull-through rule's secret is wrong, or the upstream path is",
        "ValidatePullThroughCacheRule; /library/ belongs only to official Docker Hub images",
        "renew the secret of the rule; the caller's own policies do not matter")),
    _on(r"credential provider plugin.{0,2000}(?:context deadline exceeded|i/o timeout)", (
        "provider-unreachable", "high", "the plugin cannot reach the ECR API, STS or IMDS: network, not IAM",
        "routes and endpoints for api.ecr, sts and the metadata hop limit", "open the route or add the endpoints")),
    _on(r"ecr-public:GetAuthorizationToken|sts:GetServiceBearerToken", (
        "public-token", "high", "the role may not take a token of ECR Public; the pull goes on anonymously",
        "policies of the node role",
        "allow ecr-public:GetAuthorizationToken and sts:GetServiceBearerToken on *"), blocking=False),
    _on(r"credential provider plugin.{0,2000}(?:AccessDenied|not authorized)", (
        "token-permission", "high", "the node role may not call ecr:GetAuthorizationToken",
        "policies of the node role", "attach AmazonEC2ContainerRegistryPullOnly; the Resource must be *")),
    _on(r"authorization token has expired", (
        "static-credential-expired", "high",
        "a static credential is older than 12 hours (or a base64 token was used as the password)",
        "creation time of the pull secret, stale https:// twins in the docker config",
        "renew it every 6 hours, or drop it and let the node role pull")),
    _on(r"no basic auth credentials|credentials not found in native keychain", (
        "no-credentials", "high",
        "no credentials were sent for this very host: no matchImages glob, plugin failed, or a secret for another host",
        "the kubelet's log for the plugin, its matchImages, the host keys of the docker config",
        "let a glob match the host; key the docker config by the host that is pulled from")),
    _on(r"credsStore|credHelpers", (
        "kubelet-ignores-helpers", "high", "the kubelet ignores credsStore and credHelpers of a docker config",
        "the node's CredentialProviderConfig", "use the ecr-credential-provider plugin or a pull secret")),
    _on(r"Error parsing the serverURL", (
        "wrong-plugin", "high", "docker-credential-ecr-login is no kubelet plugin",
        "the binary named in the CredentialProviderConfig", "install ecr-credential-provider")),
    _on(r"starport-layer-bucket|error parsing HTTP 403 response body.{0,2000}<Code>AccessDenied</Code>", (
        "layer-bucket", "high", "the manifest was allowed; the S3 gateway endpoint's policy blocks the layer",
        "policy of the S3 gateway endpoint of the subnet's routes",
        "allow s3:GetObject on arn:aws:s3:::prod-REGION-starport-layer-bucket/*")),
    _on(r"TLS handshake timeout|dial tcp .{0,200}(?:i/o timeout|connection refused|no such host)|no such host", (
        "network", "high", "the registry cannot be reached: network, DNS, security group or endpoint; never IAM",
        "private DNS of the ecr.dkr endpoint and its security group (443)", "open the route")),
    _on(r"The repository with name .{1,300} does not exist", (
        "repository-missing", "high", "there is no such repository in that registry and region",
        "DescribeRepositories with the registryId and region of the host", "create it or correct the reference"), (
        "pull-through-create", "medium", "under a cache prefix the first pull needs ecr:CreateRepository",
        "pull-through rules and the puller's policies", "allow ecr:CreateRepository and ecr:BatchImportUpstreamImage")),
    _on(r"manifest unknown: Requested image not found", (
        "image-missing", "medium", "the tag is not there", "DescribeImages", "push it or correct the tag"), (
        "pull-through-import", "medium",
        "under a cache prefix: not upstream either, or ecr:BatchImportUpstreamImage is missing",
        "pull-through rules and the puller's policies", "allow ecr:BatchImportUpstreamImage")),
    _on(r"User: \S{1,512} is not authorized to perform: ecr:GetAuthorizationToken.{0,2000}no identity-based policy", (
        "token-permission", "high", "no identity policy allows the token; a resource policy cannot grant it",
        "whether its statement has Resource *", "allow it on * in an identity policy")),
    # The general form of a denial is worded by `diagnose`, with action and principal.
    _on(r"\A(?!(?s:.*)User: \S{1,512} is not authorized)(?s:.*)"
        r"(?:/manifests/|\[manifests)[^\n]{0,300}(?:403|Forbidden)",
        _MANIFEST_ACCESS, _EXPIRED_MAYBE),
    _on(r"/blobs/sha256:[0-9a-f]{1,64}[^\n]{0,100}(?:403|401|Forbidden|Unauthorized|not found)", (
        "manifest-access", "high",
        "containerd asks manifests/ first and blobs/ second: the manifest was refused, not a layer",
        "the first request in the log; never probe with HEAD on blobs, ECR Public answers 401",
        "grant ecr:BatchGetImage on both sides"), _EXPIRED_MAYBE),
    _on(r"401 Unauthorized|(?-i:Not Authorized)", (
        "bad-credentials", "high", "the Authorization header is missing or garbled: the password was not decoded",
        "the docker config: base64 of AWS:PASSWORD", "decode the token, split at the first colon, use the right part")),
    _on(r"Principal not found|Invalid repository policy provided", (
        "repository-policy-refused", "medium", "ECR refuses the policy: an unknown principal, or Resource",
        "lint of the policy; age of the role", "wait for the role, or name the account with aws:PrincipalArn")),
    _on(r"(?:manifest unknown|rpc error: code = NotFound|: not found)", (
        "image-missing", "high", "no such tag or digest in this registry and region, or an archived image",
        "DescribeImages: imageStatus ARCHIVED or ACTIVATING; the region in the host; replication status",
        "push, restore or replicate the image, or correct the reference")),
    _on(r"pull access denied, repository does not exist or may require authorization", (
        "no-credentials", "medium", "the registry refused without saying why: no credentials, or no such repository",
        "the kubelet's log; DescribeRepositories", "see that a credential is sent for this host")),
)
# fmt: on
