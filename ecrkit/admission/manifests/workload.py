"""The admission server itself: what a cluster needs to run two of it, and what they may do.

Sources: Kubernetes documentation, "Pod Security Standards" (restricted), "Pod Topology Spread Constraints", "Specifying
a Disruption Budget", "Admission Webhook Good Practices"; EKS user guide, "IAM roles for service accounts" and "EKS Pod
Identity"; cert-manager documentation, "Certificate".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from ecrkit.access import export
from ecrkit.admission.manifests.address import (
    ALWAYS_EXCLUDED,
    fits,
    label_problems,
    metadata,
    number_problems,
    port_problems,
    refuse,
)
from ecrkit.admission.manifests.documents import Manifests
from ecrkit.errors import Problem

__all__ = [
    "certificate",
    "config_map",
    "disruption_budget",
    "namespace_object",
    "service",
    "service_account",
]

NAME: Final = "ecrkit-admission"
NAMESPACE: Final = "ecrkit-system"
CERTIFICATES: Final = "ecrkit-admission-tls"
"""The secret with tls.crt and tls.key."""
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]{1,512}")
_FILE: Final = re.compile(r"[A-Za-z0-9_-][-A-Za-z0-9._]{0,252}")
_SOMETHING: Final = re.compile(r".*\S.*", re.DOTALL)
_LARGEST: Final = 1024 * 1024
CONFIG_FILE: Final = "gate.toml"
SELECTOR: Final = {"app.kubernetes.io/name": "ecrkit-admission"}


def namespace_object(name: str = NAMESPACE) -> Manifests:
    """Return the namespace of the server, in which only pods of the restricted security standard run.

    Raises:
        InvalidInput: the name is none, or kube-system.
    """
    problems = label_problems(name=name)
    if name in ALWAYS_EXCLUDED:
        problems.append(Problem("$.name", "give the server a namespace of its own"))
    refuse("no Namespace", problems)
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn": "restricted"}
    return Manifests([{"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(name, labels=labels)}])


def service(*, name: str = NAME, namespace: str = NAMESPACE, port: int = 443, target_port: int = 8443) -> Manifests:
    """Return the Service that Gatekeeper, Kyverno and the API server call.

    Raises:
        InvalidInput: a name or port is invalid.
    """
    problems = label_problems(name=name, namespace=namespace) + port_problems(port=port, target_port=target_port)
    refuse("no Service", problems)
    return Manifests([
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata(name, namespace),
            "spec": {
                "type": "ClusterIP",
                "selector": dict(SELECTOR),
                "ports": [{"name": "https", "port": port, "targetPort": target_port, "protocol": "TCP"}],
            },
        }
    ])  # fmt: skip


def service_account(
    *, name: str = NAME, namespace: str = NAMESPACE, role: str | None = None, pod_identity_cluster: str | None = None
) -> Manifests:
    """Return the ServiceAccount of the server, with the role by which it reads ECR.

    `role` alone is written as the annotation of IRSA. With `pod_identity_cluster`, the EKS cluster's name, there is no
    annotation: a note holds the `aws eks` call that associates the role. What the role must allow says
    `server_policy`, and whom it must trust `ecrkit.access.trust`.

    Raises:
        InvalidInput: a name is invalid, or the role is no ARN of an IAM role.
    """
    problems = label_problems(name=name, namespace=namespace)
    if role is not None and not fits(_ROLE, role):
        problems.append(Problem("$.role", f"must be the ARN of an IAM role, not {role!r:.120}"))
    if pod_identity_cluster is not None and role is None:
        problems.append(Problem("$.role", "name the role to associate"))
    refuse("no ServiceAccount", problems)
    irsa = role if pod_identity_cluster is None else None
    made = export.service_account(name, namespace=namespace, irsa_role=irsa)
    made["metadata"] = metadata(name, namespace, annotations=made["metadata"].get("annotations"))
    made["automountServiceAccountToken"] = False
    notes = []
    if pod_identity_cluster is not None and role is not None:
        notes.append("Run: " + export.pod_identity_association(pod_identity_cluster, namespace, name, role))
    if role is None:
        notes.append("No role is named: without one the pods have the node's, if its metadata can be reached at all.")
    return Manifests([made], notes=notes)


def config_map(
    text: str, *, files: Mapping[str, str] | None = None, name: str = NAME, namespace: str = NAMESPACE
) -> Manifests:
    """Return the ConfigMap with the configuration of the server as `gate.toml`, and the files it names beside it.

    `files` maps their names to their texts: exemptions and VEX statements of profiles. The server reads all of them
    when it starts.

    Raises:
        InvalidInput: a name is invalid, the text is empty, or all of it is larger than 1 MiB.
    """
    problems = label_problems(name=name, namespace=namespace)
    if not fits(_SOMETHING, text):
        problems.append(Problem("$.text", "must be the text of the configuration file"))
    beside = dict(files or {})
    problems += [
        Problem(f"$.files[{key!r:.80}]", "must be a file name of letters, digits, `-`, `_` and `.`, not gate.toml")
        for key in beside
        if not fits(_FILE, key) or key == CONFIG_FILE
    ]
    if sum(len(str(part).encode()) for part in (text, *beside.values())) > _LARGEST:
        problems.append(Problem("$.text", "is larger than the 1 MiB that a ConfigMap may hold, with its files"))
    refuse("no ConfigMap", problems)
    data = {CONFIG_FILE: text, **beside}
    return Manifests([{"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata(name, namespace), "data": data}])


def disruption_budget(*, name: str = NAME, namespace: str = NAMESPACE, min_available: int = 1) -> Manifests:
    """Return the PodDisruptionBudget: draining nodes leaves at least so many servers.

    Raises:
        InvalidInput: a name is invalid, or the number is below 1.
    """
    problems = label_problems(name=name, namespace=namespace)
    problems += number_problems("min_available", min_available, 1, "a door without a keeper opens for nobody")
    refuse("no PodDisruptionBudget", problems)
    return Manifests([
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": metadata(name, namespace),
            "spec": {"minAvailable": min_available, "selector": {"matchLabels": dict(SELECTOR)}},
        }
    ])  # fmt: skip


def certificate(
    *,
    issuer: str,
    issuer_kind: str = "Issuer",
    name: str = NAME,
    namespace: str = NAMESPACE,
    secret: str = CERTIFICATES,
    duration_hours: int = 2160,
    renew_before_hours: int = 720,
) -> Manifests:
    """Return the cert-manager Certificate that keeps the TLS secret of the server.

    It names the Service's DNS name, by which all three callers verify.

    Raises:
        InvalidInput: a name is invalid, the kind is neither Issuer nor ClusterIssuer, or the times contradict.
    """
    problems = label_problems(name=name, namespace=namespace, secret=secret, issuer=issuer)
    if issuer_kind not in {"Issuer", "ClusterIssuer"}:
        problems.append(Problem("$.issuer_kind", f"must be Issuer or ClusterIssuer, not {issuer_kind!r:.40}"))
    if not 1 <= renew_before_hours < duration_hours:
        problems.append(Problem("$.renew_before_hours", "must be at least 1 and less than duration_hours"))
    refuse("no Certificate", problems)
    return Manifests(
        [
            {
                "apiVersion": "cert-manager.io/v1",
                "kind": "Certificate",
                "metadata": metadata(name, namespace),
                "spec": {
                    "secretName": secret,
                    "duration": f"{duration_hours}h",
                    "renewBefore": f"{renew_before_hours}h",
                    "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
                    "usages": ["server auth"],
                    "dnsNames": [f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local"],
                    "issuerRef": {"name": issuer, "kind": issuer_kind},
                },
            }
        ],
        notes=["Provider, Kyverno policy and webhook hold the CA, not this certificate: they live through a renewal."],
    )
