"""Kubernetes objects for admission as typed builders: what Gatekeeper, Kyverno or the API server needs to ask, and the
server that answers.

Every builder returns `Manifests`: mappings, JSON or YAML. Invalid arguments are refused with all their problems.

Example:
    >>> from ecrkit.admission.manifests import gatekeeper_template
    >>> made = gatekeeper_template(rego="v0")
    >>> made
    <Manifests of ConstraintTemplate/ecrkitscangate>
"""

from __future__ import annotations

from ecrkit.admission.manifests.address import ServerAddress
from ecrkit.admission.manifests.deployment import deployment
from ecrkit.admission.manifests.documents import Manifests
from ecrkit.admission.manifests.gatekeeper import (
    gatekeeper,
    gatekeeper_constraint,
    gatekeeper_provider,
    gatekeeper_template,
)
from ecrkit.admission.manifests.kyverno import kyverno_cluster_policy, kyverno_policy
from ecrkit.admission.manifests.permissions import server_policy
from ecrkit.admission.manifests.server import server
from ecrkit.admission.manifests.webhook import validating_webhook
from ecrkit.admission.manifests.workload import (
    certificate,
    config_map,
    disruption_budget,
    namespace_object,
    service,
    service_account,
)

__all__ = [
    "Manifests",
    "ServerAddress",
    "certificate",
    "config_map",
    "deployment",
    "disruption_budget",
    "gatekeeper",
    "gatekeeper_constraint",
    "gatekeeper_provider",
    "gatekeeper_template",
    "kyverno_cluster_policy",
    "kyverno_policy",
    "namespace_object",
    "server",
    "server_policy",
    "service",
    "service_account",
    "validating_webhook",
]
