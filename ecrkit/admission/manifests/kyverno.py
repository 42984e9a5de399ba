"""Kyverno: a ValidatingPolicy, and a ClusterPolicy for clusters whose Kyverno is older.

Both judge an update on the images it brings in: a policy that refuses every update of a pod with an old image keeps
controllers from taking their finalizers off it (kyverno/kyverno#8815).

Sources: Kyverno documentation, "ValidatingPolicy", "CEL Libraries" (http), "External Data Sources" (service calls),
and the announcement of Kyverno 1.17 on the end of ClusterPolicy; kyverno/sdk, cel/libs/http.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final, Literal

from ecrkit.admission.manifests.address import (
    ALWAYS_EXCLUDED,
    ServerAddress,
    excluded,
    label_problems,
    metadata,
    profile_problems,
    refuse,
    seconds_problems,
)
from ecrkit.admission.manifests.documents import Manifests
from ecrkit.admission.manifests.paths import KYVERNO_PATH
from ecrkit.errors import Problem

__all__ = ["kyverno_cluster_policy", "kyverno_policy"]

_NO_VERDICT: Final = "the admission server gave no verdict"
# A pod spec inside the kinds of the match; anything else is an error, which the failure policy turns into a no.
_SPEC: Final = (
    '{0}.kind == "Pod" ? {0}.spec : {0}.kind == "CronJob" ? {0}.spec.jobTemplate.spec.template.spec : '
    "{0}.spec.template.spec"
)
_IMAGES: Final = (
    "{0}.containers.map(c, c.image) + {0}.?initContainers.orValue([]).map(c, c.image)"
    " + {0}.?ephemeralContainers.orValue([]).map(c, c.image)"
)
# Kyverno adds the status to the answer since 1.17, and takes any status for an answer.
_ADMITS: Final = (
    "variables.asked.size() == 0 || (variables.verdict.?allowed.orValue(false) == true"
    " && variables.verdict.?statusCode.orValue(200) == 200)"
)
_POD_IMAGES: Final = "spec.[ephemeralContainers, initContainers, containers][].image"
_TEMPLATE_RULES: Final[tuple[dict[str, Any], ...]] = (
    {
        "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["deployments", "statefulsets", "daemonsets", "replicasets"],
    },
    {
        "apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
        "resources": ["jobs", "cronjobs"],
    },
)  # fmt: skip


def _cel_text(text: str) -> str:
    # JSON escapes are CEL escapes, except that CEL has no surrogate pairs; a PEM text has neither.
    return json.dumps(text, ensure_ascii=True)


def _excluded(problems: list[Problem], server: ServerAddress, more: Iterable[str]) -> list[str]:
    return excluded(problems, (*ALWAYS_EXCLUDED, "kyverno", server.namespace), more)


def _problems(name: str, timeout: int, profile: str | None, action: str, actions: tuple[str, ...]) -> list[Problem]:
    problems = label_problems(name=name)
    problems += seconds_problems("timeout", timeout, 1, 30, "what the API server allows")
    problems += profile_problems(profile)
    if action not in actions:
        problems.append(Problem("$.action", f"must be {' or '.join(actions)}, not {action!r:.20}"))
    return problems


def kyverno_policy(
    server: ServerAddress,
    *,
    name: str = "images-may-run",
    action: Literal["Deny", "Audit", "Warn"] = "Deny",
    timeout: int = 5,
    profile: str | None = None,
    exclude_namespaces: Iterable[str] = (),
    templates: bool = True,
) -> Manifests:
    """Return the ValidatingPolicy (policies.kyverno.io/v1, Kyverno 1.17 and later).

    Only an answer with status 200 that says `allowed: true` admits; anything else is a no, and an expression that
    fails is one by `failurePolicy: Fail`. Kyverno presents no client certificate, so the server must not insist on one
    for this protocol. Without a `profile` the namespace chooses one.

    Raises:
        InvalidInput: a name, an action or a time is invalid; all problems are named.
    """
    problems = _problems(name, timeout, profile, action, ("Deny", "Audit", "Warn"))
    left_out = _excluded(problems, server, exclude_namespaces)
    refuse("no Kyverno ValidatingPolicy", problems)
    body = '{"images": variables.asked, "namespace": object.metadata.namespace}'
    url = _cel_text(server.url(KYVERNO_PATH, timeout=timeout, profile=profile))
    call = f'http.Client({_cel_text(server.ca)}).Post({url}, {body}, {{"Content-Type": "application/json"}})'
    rules = [
        {
            "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
            "resources": ["pods", "pods/ephemeralcontainers"],
        },
        *(_TEMPLATE_RULES if templates else ()),
    ]  # fmt: skip
    return Manifests(
        [
            {
                "apiVersion": "policies.kyverno.io/v1",
                "kind": "ValidatingPolicy",
                "metadata": metadata(name),
                "spec": {
                    "validationActions": [action],
                    "failurePolicy": "Fail",
                    "webhookConfiguration": {"timeoutSeconds": timeout},
                    # A scan in the background has no request to judge, and would ask for every pod again and again.
                    "evaluation": {"background": {"enabled": False}},
                    "matchConstraints": {
                        "matchPolicy": "Equivalent",
                        "namespaceSelector": {
                            "matchExpressions": [
                                {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": left_out}
                            ]
                        },
                        "resourceRules": rules,
                    },
                    "variables": [
                        {"name": "podSpec", "expression": _SPEC.format("object")},
                        {"name": "images", "expression": _IMAGES.format("variables.podSpec")},
                        {"name": "oldPodSpec", "expression": f"oldObject == null ? null : {_SPEC.format('oldObject')}"},
                        {
                            "name": "before",
                            "expression": f"oldObject == null ? [] : {_IMAGES.format('variables.oldPodSpec')}",
                        },
                        {"name": "asked", "expression": "variables.images.filter(i, !(i in variables.before))"},
                        {"name": "verdict", "expression": call},
                    ],
                    "validations": [
                        {
                            "expression": _ADMITS,
                            "message": _NO_VERDICT,
                            "messageExpression": f'string(variables.verdict.?message.orValue("{_NO_VERDICT}"))',
                        }
                    ],
                },
            }
        ],
        notes=[
            (
                "Kyverno 1.18 and later refuse calls to loopback and metadata addresses; a Service of the cluster is "
                "neither. A namespaced policy cannot call at all by default."
            ),
            *(() if action == "Deny" else (f"Nothing is denied: validationActions is {action}.",)),
        ],
    )


def kyverno_cluster_policy(
    server: ServerAddress,
    *,
    name: str = "images-may-run",
    action: Literal["Enforce", "Audit"] = "Enforce",
    timeout: int = 5,
    profile: str | None = None,
    exclude_namespaces: Iterable[str] = (),
) -> Manifests:
    """Return the ClusterPolicy (kyverno.io/v1) for Kyverno before 1.17; the kind is deprecated since, and will go.

    It judges Pods and their ephemeral containers. The condition compares inside the expression, so that anything but
    `allowed: true` is a no: Kyverno's operators say "not met" about a missing value or a list. The action is written
    where old and new versions look for it, since a version that drops what it does not know would only audit.

    Raises:
        InvalidInput: a name, an action or a time is invalid; all problems are named.
    """
    problems = _problems(name, timeout, profile, action, ("Enforce", "Audit"))
    left_out = _excluded(problems, server, exclude_namespaces)
    refuse("no Kyverno ClusterPolicy", problems)
    rule = {
        "name": "verdict",
        "match": {"any": [{"resources": {"kinds": ["Pod"], "operations": ["CREATE", "UPDATE"]}}]},
        "exclude": {"any": [{"resources": {"namespaces": left_out}}]},
        # The names of entries must not be those that Kyverno defines: `images` is one, and the policy is refused.
        "context": [
            {"name": "wanted", "variable": {"jmesPath": f"request.object.{_POD_IMAGES}", "default": []}},
            {"name": "before", "variable": {"jmesPath": f"request.oldObject.{_POD_IMAGES}", "default": []}},
            {
                "name": "verdict",
                "apiCall": {
                    "method": "POST",
                    "data": [
                        {"key": "images", "value": "{{ wanted }}"},
                        {"key": "namespace", "value": "{{ request.namespace }}"},
                    ],
                    "service": {
                        "url": server.url(KYVERNO_PATH, timeout=timeout, profile=profile),
                        "caBundle": server.ca,
                    },
                },
            },
        ],
        "preconditions": {
            "any": [
                {"key": "{{ request.operation || 'CREATE' }}", "operator": "NotEquals", "value": "UPDATE"},
                {"key": "{{ wanted }}", "operator": "AnyNotIn", "value": "{{ before }}"},
            ]
        },
        "validate": {
            "failureAction": action,
            "message": f"{{{{ verdict.message || '{_NO_VERDICT}' }}}}",
            "deny": {
                "conditions": {
                    "any": [{"key": "{{ verdict.allowed == `true` }}", "operator": "Equals", "value": False}]
                }
            },
        },
    }
    return Manifests(
        [
            {
                "apiVersion": "kyverno.io/v1",
                "kind": "ClusterPolicy",
                # The rule names the fields of a Pod; Kyverno would rewrite it for the kinds that make pods.
                "metadata": metadata(name, annotations={"pod-policies.kyverno.io/autogen-controllers": "none"}),
                "spec": {
                    "background": False,
                    "validationFailureAction": action,
                    "webhookConfiguration": {"failurePolicy": "Fail", "timeoutSeconds": timeout},
                    "rules": [rule],
                },
            }
        ],
        notes=[
            "ClusterPolicy is deprecated since Kyverno 1.17: use kyverno_policy there.",
            "Kyverno sends a bearer token of its service account with the call, which the server does not need.",
            *(() if action == "Enforce" else ("Nothing is denied: the action is Audit.",)),
        ],
    )
