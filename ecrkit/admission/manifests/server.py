"""All objects of the admission server at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ecrkit.admission.manifests.deployment import deployment
from ecrkit.admission.manifests.documents import Manifests
from ecrkit.admission.manifests.workload import (
    CERTIFICATES,
    NAME,
    NAMESPACE,
    certificate,
    config_map,
    disruption_budget,
    namespace_object,
    service,
    service_account,
)
from ecrkit.errors import InvalidInput, Problem

__all__ = ["server"]


def server(
    image: str,
    config_text: str,
    *,
    files: Mapping[str, str] | None = None,
    namespace: str = NAMESPACE,
    role: str | None = None,
    pod_identity_cluster: str | None = None,
    issuer: str | None = None,
    issuer_kind: str = "Issuer",
    tls_secret: str = CERTIFICATES,
    client_ca_secret: str | None = None,
    region: str | None = None,
    replicas: int = 2,
) -> Manifests:
    """Return Namespace, ServiceAccount, ConfigMap, Service, Deployment and PodDisruptionBudget of the server.

    `files` are those that the configuration names. With `issuer` (of cert-manager) a Certificate makes the TLS secret;
    without one, make the secret yourself. The builders of the single objects take more arguments.

    Raises:
        InvalidInput: an argument is invalid; the problems of all objects are named together.
    """
    problems: list[Problem] = []
    made = Manifests([])
    builders: tuple[Callable[[], Manifests], ...] = (
        lambda: namespace_object(namespace),
        lambda: service_account(namespace=namespace, role=role, pod_identity_cluster=pod_identity_cluster),
        lambda: config_map(config_text, files=files, namespace=namespace),
        lambda: (
            Manifests([], notes=[f"Make the secret {tls_secret} with tls.crt and tls.key for {NAME}.{namespace}.svc."])
            if issuer is None
            else certificate(issuer=issuer, issuer_kind=issuer_kind, namespace=namespace, secret=tls_secret)
        ),
        lambda: service(namespace=namespace),
        lambda: deployment(
            image,
            namespace=namespace,
            replicas=replicas,
            config_text="\0".join((config_text, *(f"{n}\0{t}" for n, t in sorted((files or {}).items())))),
            tls_secret=tls_secret,
            client_ca_secret=client_ca_secret,
            region=region,
        ),
        lambda: disruption_budget(namespace=namespace),
    )
    for build in builders:
        try:
            made += build()
        except InvalidInput as fault:
            problems += fault.problems
    if problems:
        raise InvalidInput("no admission server", dict.fromkeys(problems))
    return made
