"""The plain webhook: the API server asks the admission server itself, without Gatekeeper or Kyverno.

Sources: Kubernetes documentation, "Dynamic Admission Control", "Admission Webhook Good Practices" and the API reference
of ValidatingWebhookConfiguration v1; cert-manager documentation, "CA Injector".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from ecrkit.admission.manifests.address import (
    ALWAYS_EXCLUDED,
    ServerAddress,
    excluded,
    fits,
    label_problems,
    metadata,
    refuse,
    seconds_problems,
)
from ecrkit.admission.manifests.documents import Manifests
from ecrkit.admission.manifests.paths import ADMIT_PATH
from ecrkit.errors import Problem

__all__ = ["validating_webhook"]

_NAME: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?){2,}")
_REFERENCE: Final = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?/[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?")


def _rule(group: str, operations: list[str], resources: list[str]) -> dict[str, Any]:
    return {
        "apiGroups": [group], "apiVersions": ["v1"], "operations": operations, "resources": resources,
        "scope": "Namespaced",
    }  # fmt: skip


def validating_webhook(
    server: ServerAddress,
    *,
    name: str = "ecrkit-admission",
    webhook: str | None = None,
    timeout: int = 5,
    exclude_namespaces: Iterable[str] = (),
    templates: bool = True,
    inject_ca_from: str | None = None,
) -> Manifests:
    """Return the ValidatingWebhookConfiguration: no verdict in `timeout` seconds is a no (`failurePolicy: Fail`).

    The API server tells the server how long it waits, and the namespace of an object chooses the profile.

    kube-system and the namespace of the server are left out by their names, in a label that only the API server
    sets: what runs the cluster, and the server itself, must start while the server is down. `templates` judges the Pod
    templates of workloads as well as Pods. `webhook` is the name the API server shows in its refusals, of at least
    three labels. `inject_ca_from` is the `namespace/name` of a cert-manager Certificate whose
    CA is written in and kept; the CA of `server` then only bridges the first seconds.

    Raises:
        InvalidInput: a name, a namespace or a time is invalid; all problems are named.
    """
    problems = label_problems(name=name)
    called = f"images.{server.host}" if webhook is None else webhook
    if not fits(_NAME, called) or len(called) > 253:
        problems.append(Problem("$.webhook", f"must be a domain name of at least three labels, not {webhook!r:.80}"))
    problems += seconds_problems("timeout", timeout, 1, 30, "what the API server allows")
    if inject_ca_from is not None and not fits(_REFERENCE, inject_ca_from):
        problems.append(Problem("$.inject_ca_from", "must be namespace/name of a Certificate"))
    left_out = excluded(problems, (*ALWAYS_EXCLUDED, server.namespace), exclude_namespaces)
    refuse("no ValidatingWebhookConfiguration", problems)
    rules = [
        _rule("", ["CREATE", "UPDATE"], ["pods", "pods/ephemeralcontainers"]),
        *(
            (
                _rule("apps", ["CREATE", "UPDATE"], ["deployments", "statefulsets", "daemonsets"]),
                _rule("batch", ["CREATE", "UPDATE"], ["jobs", "cronjobs"]),
            )
            if templates
            else ()
        ),
    ]
    annotations = {} if inject_ca_from is None else {"cert-manager.io/inject-ca-from": inject_ca_from}
    return Manifests(
        [
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": metadata(name, annotations=annotations),
                "webhooks": [
                    {
                        "name": called,
                        "admissionReviewVersions": ["v1"],
                        "sideEffects": "None",
                        "failurePolicy": "Fail",
                        "timeoutSeconds": timeout,
                        "matchPolicy": "Equivalent",
                        # No objectSelector: whoever labels an object could get past it.
                        "namespaceSelector": {
                            "matchExpressions": [
                                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": left_out}
                            ]
                        },
                        "rules": rules,
                        "clientConfig": {
                            "service": {
                                "name": server.name, "namespace": server.namespace, "path": ADMIT_PATH,
                                "port": server.port,
                            },
                            "caBundle": server.ca_base64,
                        },
                    }
                ],
            }
        ],
        notes=[
            ("On EKS the API server calls from the control plane: the security group of the nodes must let its "
            "security group reach the port of the pods."),
            ("The API server presents no client certificate unless its configuration says so, which EKS does not "
            "offer: the server must not insist on one for this path."),
            f"To open the door in an emergency: kubectl delete validatingwebhookconfiguration {name}",
        ],
    )  # fmt: skip
