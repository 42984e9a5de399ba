"""The gateway to ECR: one method a question or change, records in and out, every fault in the error tree."""

from __future__ import annotations

from ecrkit.aws.ecr.deletion import DeletionPlan, DeletionReport, plan_deletion
from ecrkit.aws.ecr.gateway import EcrGateway
from ecrkit.aws.ecr.images import Crawled
from ecrkit.aws.ecr.manifests import ACCEPTED_MEDIA_TYPES, Manifests
from ecrkit.aws.ecr.scanning import RepositoryScanning

__all__ = [
    "ACCEPTED_MEDIA_TYPES",
    "Crawled",
    "DeletionPlan",
    "DeletionReport",
    "EcrGateway",
    "Manifests",
    "RepositoryScanning",
    "plan_deletion",
]
