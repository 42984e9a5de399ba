"""The Deployment of the admission server.

Sources: Kubernetes documentation, "Pod Security Standards" (restricted), "Pod Topology Spread Constraints", "Configure
Liveness, Readiness and Startup Probes", "Guaranteed Scheduling For Critical Add-On Pods".
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ecrkit.admission.manifests.address import (
    fits,
    label_problems,
    metadata,
    number_problems,
    port_problems,
    refuse,
    seconds_problems,
)
from ecrkit.admission.manifests.documents import Manifests
from ecrkit.admission.manifests.paths import LIVE_PATH, READY_PATH
from ecrkit.admission.manifests.workload import CERTIFICATES, CONFIG_FILE, NAME, NAMESPACE, SELECTOR
from ecrkit.errors import InvalidReference, Problem
from ecrkit.refs import ImageRef

__all__ = ["deployment"]

_QUANTITY: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:m|k|[KMGTPE]i?)?")
_CONFIG_FOLDER: Final = "/etc/ecrkit/config"
_TLS_FOLDER: Final = "/etc/ecrkit/tls"
_CLIENT_CA_FOLDER: Final = "/etc/ecrkit/client-ca"
_USER: Final = 65532


def deployment(
    image: str,
    *,
    name: str = NAME,
    namespace: str = NAMESPACE,
    replicas: int = 2,
    port: int = 8443,
    config: str = NAME,
    config_text: str | None = None,
    tls_secret: str = CERTIFICATES,
    client_ca_secret: str | None = None,
    service_account: str = NAME,
    region: str | None = None,
    cpu: str = "100m",
    memory: str = "256Mi",
    priority_class: str | None = "system-cluster-critical",
    grace_seconds: int = 30,
    more_arguments: Iterable[str] = (),
) -> Manifests:
    """Return the Deployment: at least two servers on different nodes and in different zones, where there are such.

    `image` holds Python and `ecrkit[admission]`; name it by its digest, since nobody judges the image of the judge.
    `config` is the ConfigMap; its text, if given, makes a change roll the pods. `tls_secret` holds tls.crt and
    tls.key, and `client_ca_secret` ca.crt: with it, callers must present a certificate. The pods meet the restricted
    Pod Security Standard, hold no token of the cluster, and write nowhere.

    Raises:
        InvalidInput: the image, a name or a number is invalid; all problems are named.
    """
    problems = label_problems(
        name=name, namespace=namespace, config=config, tls_secret=tls_secret, service_account=service_account
    )
    if client_ca_secret is not None:
        problems += label_problems(client_ca_secret=client_ca_secret)
    if priority_class is not None:
        problems += label_problems(priority_class=priority_class)
    problems += port_problems(port=port) or number_problems("port", port, 1024, "the server has no privileges")
    problems += number_problems("replicas", replicas, 2, "or no pod starts while one is replaced")
    for path, quantity in (("cpu", cpu), ("memory", memory)):
        if not fits(_QUANTITY, quantity):
            problems.append(Problem(f"$.{path}", f"must be a quantity such as 100m or 256Mi, not {quantity!r:.40}"))
    problems += seconds_problems("grace_seconds", grace_seconds, 10, 600, "time to finish what is being answered")
    pinned = _image_problems(image, problems)
    refuse("no Deployment", problems)
    annotations = (
        {} if config_text is None else {"ecrkit/config-sha256": hashlib.sha256(config_text.encode()).hexdigest()}
    )
    container = _container(
        image, port=port, client_ca=client_ca_secret is not None, region=region, cpu=cpu, memory=memory,
        more=tuple(more_arguments),
    )  # fmt: skip
    spec: dict[str, Any] = {
        "serviceAccountName": service_account,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_seconds,
        **({} if priority_class is None else {"priorityClassName": priority_class}),
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": _USER, "runAsGroup": _USER, "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": dict(SELECTOR)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
        "containers": [container],
        "volumes": _volumes(config, tls_secret, client_ca_secret),
    }  # fmt: skip
    notes = [] if pinned else ["The image is named by a tag; name it by its digest, since nobody judges it."]
    return Manifests(
        [
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": metadata(name, namespace),
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": dict(SELECTOR)},
                    # A new pod must be ready before an old one goes.
                    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
                    "template": {
                        "metadata": {
                            "labels": dict(SELECTOR), **({"annotations": annotations} if annotations else {}),
                        },
                        "spec": spec,
                    },
                },
            }
        ],
        notes=notes,
    )  # fmt: skip


def _image_problems(image: object, problems: list[Problem]) -> bool:
    """Add what is wrong with the image of the server; return whether it is named by digest."""
    if not isinstance(image, str) or not image or any(c.isspace() for c in image):
        problems.append(Problem("$.image", f"must be an image reference, not {image!r:.80}"))
        return False
    try:
        return ImageRef.parse(image).digest is not None
    except InvalidReference:
        # The server may come from any registry, and ImageRef reads those of ECR.
        return "@sha256:" in image


def _container(
    image: str, *, port: int, client_ca: bool, region: str | None, cpu: str, memory: str, more: tuple[str, ...]
) -> dict[str, Any]:
    arguments = [
        "--config", f"{_CONFIG_FOLDER}/{CONFIG_FILE}", "--tls-cert", f"{_TLS_FOLDER}/tls.crt",
        "--tls-key", f"{_TLS_FOLDER}/tls.key",
        *(("--client-ca", f"{_CLIENT_CA_FOLDER}/ca.crt") if client_ca else ()),
        "--port", str(port), *more,
    ]  # fmt: skip
    mounts = [
        ("config", _CONFIG_FOLDER),
        ("tls", _TLS_FOLDER),
        *((("client-ca", _CLIENT_CA_FOLDER),) if client_ca else ()),
    ]
    environment = [{"name": "PYTHONDONTWRITEBYTECODE", "value": "1"}]
    if region is not None:
        environment.append({"name": "AWS_REGION", "value": region})
    return {
        "name": "server",
        "image": image,
        "command": ["python", "-m", "ecrkit.admission"],
        "args": arguments,
        "env": environment,
        "ports": [{"name": "https", "containerPort": port, "protocol": "TCP"}],
        "livenessProbe": _probe(LIVE_PATH, period=10, failures=3),
        "readinessProbe": _probe(READY_PATH, period=5, failures=2),
        "startupProbe": _probe(LIVE_PATH, period=2, failures=30),
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": n, "mountPath": folder, "readOnly": True} for n, folder in mounts],
    }  # fmt: skip


def _probe(path: str, *, period: int, failures: int) -> Mapping[str, Any]:
    return {
        "httpGet": {"path": path, "port": "https", "scheme": "HTTPS"},
        "periodSeconds": period, "timeoutSeconds": 2, "failureThreshold": failures,
    }  # fmt: skip


def _volumes(config: str, tls_secret: str, client_ca_secret: str | None) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = [
        {"name": "config", "configMap": {"name": config}},
        {"name": "tls", "secret": {"secretName": tls_secret, "defaultMode": 0o440}},
    ]
    if client_ca_secret is not None:
        # Only the certificate: the secret of Gatekeeper holds the private key of its CA as well.
        items = [{"key": "ca.crt", "path": "ca.crt"}]
        made.append({"name": "client-ca", "secret": {"secretName": client_ca_secret, "items": items}})
    return made
