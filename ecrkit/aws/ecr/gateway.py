"""The whole gateway."""

from __future__ import annotations

from typing_extensions import override

from ecrkit.aws.ecr.deletion import EcrDeletion
from ecrkit.aws.ecr.layers import EcrLayers
from ecrkit.aws.ecr.lifecycle import EcrLifecycle
from ecrkit.aws.ecr.manifests import EcrManifests
from ecrkit.aws.ecr.policies import EcrPolicies
from ecrkit.aws.ecr.pull_through import EcrPullThrough
from ecrkit.aws.ecr.replication import EcrReplication
from ecrkit.aws.ecr.repositories import EcrRepositories
from ecrkit.aws.ecr.scanning import EcrScanning
from ecrkit.aws.ecr.signing import EcrSigning
from ecrkit.aws.ecr.templates import EcrTemplates
from ecrkit.aws.ecr.tokens import EcrTokens

__all__ = ["EcrGateway"]


class EcrGateway(
    EcrRepositories,
    EcrDeletion,
    EcrManifests,
    EcrLayers,
    EcrLifecycle,
    EcrScanning,
    EcrSigning,
    EcrPolicies,
    EcrReplication,
    EcrPullThrough,
    EcrTemplates,
    EcrTokens,
):
    """Everything ecrkit asks of ECR's API, and changes through it. Threads may share a gateway.

    It satisfies `ports.RepositorySource`, `ImageSource`, `ManifestSource`, `TagSource`, `LifecyclePolicyStore`,
    `FindingSource`, `ScanningConfigurationStore` and `ResourcePolicyStore`. Each method names the IAM actions it
    needs; `ecrkit.aws.iam.permissions()` lists them.
    """

    @override
    def __repr__(self) -> str:
        whose = self.registry_id or "the caller's own registry"
        return f"<EcrGateway to {whose}, {self._workers} workers>"
