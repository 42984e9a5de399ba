"""OPA Gatekeeper: the Provider, the ConstraintTemplate in both versions of Rego, and the Constraint.

Sources: Gatekeeper documentation, "External Data", "Constraint Templates", "How to use Gatekeeper" (Constraints) and
"Failing Closed"; open-policy-agent/frameworks, constraint/pkg/externaldata.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal

from ecrkit.admission.manifests.address import (
    ALWAYS_EXCLUDED,
    ServerAddress,
    excluded,
    fits,
    label_problems,
    metadata,
    profile_problems,
    refuse,
    seconds_problems,
)
from ecrkit.admission.manifests.documents import Manifests
from ecrkit.admission.manifests.paths import GATEKEEPER_PATH
from ecrkit.admission.manifests.rego import rego_v0, rego_v1
from ecrkit.errors import Problem

__all__ = ["gatekeeper", "gatekeeper_constraint", "gatekeeper_provider", "gatekeeper_template"]

_KIND: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,62}")
_ACTIONS: Final = ("deny", "warn", "dryrun")
# Pods are where the decision falls; the others tell the author of a workload at once instead of a quiet ReplicaSet.
_PODS: Final[dict[str, Any]] = {"apiGroups": [""], "kinds": ["Pod"]}
_TEMPLATES: Final[tuple[dict[str, Any], ...]] = (
    {"apiGroups": [""], "kinds": ["ReplicationController", "PodTemplate"]},
    {"apiGroups": ["apps"], "kinds": ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]},
    {"apiGroups": ["batch"], "kinds": ["Job", "CronJob"]},
)


def gatekeeper_provider(server: ServerAddress, *, name: str = "ecrkit-admission", timeout: int = 2) -> Manifests:
    """Return the Provider: where Gatekeeper asks, whom it trusts, and for how many seconds it waits.

    The timeout is always written: without one Gatekeeper waits zero seconds and every answer is an error. It must be
    shorter than the timeout of Gatekeeper's own webhook (3 seconds in its chart). The URL tells it to the server, which
    then answers in four fifths of it.

    Raises:
        InvalidInput: a name or a time is out of range; all problems are named.
    """
    problems = label_problems(name=name)
    problems += seconds_problems("timeout", timeout, 1, 29, "the API server waits 30 at most")
    refuse("no Gatekeeper Provider", problems)
    return Manifests(
        [
            {
                "apiVersion": "externaldata.gatekeeper.sh/v1beta1",
                "kind": "Provider",
                "metadata": metadata(name),
                "spec": {
                    "url": server.url(GATEKEEPER_PATH, timeout=timeout),
                    "timeout": timeout,
                    "caBundle": server.ca_base64,
                },
            }
        ],
        notes=[
            (
                f"Gatekeeper verifies TLS 1.3 and the name {server.host}; it presents a client certificate that is "
                "signed by ca.crt of the secret gatekeeper-webhook-server-cert."
            ),
            (
                "Gatekeeper keeps answers and errors for 3 minutes: set --external-data-provider-response-cache-ttl "
                "lower where a finished scan must be seen sooner."
            ),
            (
                f"The webhook of Gatekeeper must wait longer than {timeout} s (validatingWebhookTimeoutSeconds), and "
                "fail closed (validatingWebhookFailurePolicy=Fail): its chart ignores failures."
            ),
        ],
    )


def gatekeeper_template(
    *, kind: str = "EcrkitScanGate", provider: str = "ecrkit-admission", rego: Literal["v0", "v1"] = "v1"
) -> Manifests:
    """Return the ConstraintTemplate: the policy itself, in Rego v1 (Gatekeeper 3.19 and later) or v0 (any).

    An image that gets no answer is refused, and so is one whose answer says anything but `allowed: true`. Updates are
    judged on the images they bring in, so that a pod that runs can still be changed and removed.

    Raises:
        InvalidInput: the kind is no CamelCase name, or the provider's name is none.
    """
    problems = label_problems(provider=provider) + _kind_problems(kind)
    if rego not in {"v0", "v1"}:
        problems.append(Problem("$.rego", f"must be v0 or v1, not {rego!r:.20}"))
    refuse("no Gatekeeper ConstraintTemplate", problems)
    target: dict[str, Any] = {"target": "admission.k8s.gatekeeper.sh"}
    if rego == "v0":
        target["rego"] = rego_v0(provider)
    else:
        target["code"] = [{"engine": "Rego", "source": {"version": "v1", "rego": rego_v1(provider)}}]
    parameters = {
        "type": "object",
        "properties": {
            "profile": {"type": "string", "description": "Profile to judge by; without one the namespace chooses."}
        },
    }
    return Manifests([
        {
            "apiVersion": "templates.gatekeeper.sh/v1",
            "kind": "ConstraintTemplate",
            "metadata": metadata(kind.lower(), annotations={
                "metadata.gatekeeper.sh/title": "Images that may run",
                "description": "Admits images that the ecrkit admission server admits; no answer is a no.",
            }),
            "spec": {
                "crd": {"spec": {"names": {"kind": kind}, "validation": {"openAPIV3Schema": parameters}}},
                "targets": [target],
            },
        }
    ])  # fmt: skip


def _kind_problems(kind: object) -> list[Problem]:
    if fits(_KIND, kind):
        return []
    return [Problem("$.kind", f"must be a kind in CamelCase of at most 63 characters, not {kind!r:.80}")]


def gatekeeper_constraint(
    server: ServerAddress,
    *,
    name: str = "images-may-run",
    kind: str = "EcrkitScanGate",
    action: Literal["deny", "warn", "dryrun"] = "deny",
    namespaces: Iterable[str] = (),
    exclude_namespaces: Iterable[str] = (),
    profile: str | None = None,
    templates: bool = True,
) -> Manifests:
    """Return the Constraint: which objects are judged, by which profile, and what a refusal does.

    kube-system, gatekeeper-system and the namespace of the server are always left out, so that a cluster can be
    repaired while the server is down. `namespaces` limits it to some (one Constraint for each `profile`), and
    `templates` judges the Pod templates of workloads as well as Pods.

    Raises:
        InvalidInput: a name, an action or a namespace is invalid; all problems are named.
    """
    problems = label_problems(name=name) + _kind_problems(kind)
    if action not in _ACTIONS:
        problems.append(Problem("$.action", f"must be one of {', '.join(_ACTIONS)}, not {action!r:.20}"))
    problems += profile_problems(profile)
    only = excluded(problems, namespaces, path="namespaces")
    left_out = excluded(problems, (*ALWAYS_EXCLUDED, "gatekeeper-system", server.namespace), exclude_namespaces)
    problems += [
        Problem(f"$.namespaces[{n}]", f"{name} is always left out") for n, name in enumerate(only) if name in left_out
    ]
    refuse("no Gatekeeper Constraint", problems)
    match: dict[str, Any] = {
        "kinds": [_PODS, *(_TEMPLATES if templates else ())], "scope": "Namespaced", "excludedNamespaces": left_out,
    }  # fmt: skip
    if only:
        match["namespaces"] = only
    return Manifests(
        [
            {
                "apiVersion": "constraints.gatekeeper.sh/v1beta1",
                "kind": kind,
                "metadata": metadata(name),
                "spec": {
                    "enforcementAction": action,
                    "match": match,
                    "parameters": {} if profile is None else {"profile": profile},
                },
            }
        ],
        notes=[
            (
                "Gatekeeper is asked about `kubectl debug` only while its webhook covers pods/ephemeralcontainers, as "
                "in its chart."
            ),
            *(() if action == "deny" else (f"Nothing is denied: enforcementAction is {action}.",)),
        ],
    )


def gatekeeper(
    server: ServerAddress,
    *,
    rego: Literal["v0", "v1"] = "v1",
    timeout: int = 2,
    action: Literal["deny", "warn", "dryrun"] = "deny",
    exclude_namespaces: Iterable[str] = (),
    profile: str | None = None,
) -> Manifests:
    """Return Provider, ConstraintTemplate and Constraint together, in the order to apply them.

    The Constraint can be applied once Gatekeeper has made its kind from the template, a few seconds later.

    Raises:
        InvalidInput: something is invalid.
    """
    return (
        gatekeeper_provider(server, timeout=timeout)
        + gatekeeper_template(rego=rego)
        + gatekeeper_constraint(server, action=action, exclude_namespaces=exclude_namespaces, profile=profile)
    )
