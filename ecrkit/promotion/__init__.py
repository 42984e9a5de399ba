"""Moving images without changing them: tags given by digest, copies between registries, promotions and rollbacks."""

from __future__ import annotations

from ecrkit.promotion.blobs import part_size
from ecrkit.promotion.gitops import pin_folder, pin_text, region_folder, region_text
from ecrkit.promotion.graph import Blob, Graph, Piece, read_graph
from ecrkit.promotion.image_updater_check import UpdaterAnswer, UpdaterImage, check_updater, updater_images
from ecrkit.promotion.model import (
    Candidate,
    Environment,
    GateAnswer,
    Promotion,
    PromotionGate,
    PromotionPlan,
    PromotionRecord,
    RollbackPlan,
)
from ecrkit.promotion.plan import CopyItem, CopyPlan, CopyReport, CopyResult
from ecrkit.promotion.reference_check import CheckedReference, ReferenceCheck, check_references
from ecrkit.promotion.references import UpstreamRef
from ecrkit.promotion.service import PromotionService
from ecrkit.promotion.sources import Source, Target
from ecrkit.promotion.tagging import Tagged, TagTaken
from ecrkit.promotion.uploads import UploadFile

__all__ = [
    "Blob",
    "Candidate",
    "CheckedReference",
    "CopyItem",
    "CopyPlan",
    "CopyReport",
    "CopyResult",
    "Environment",
    "GateAnswer",
    "Graph",
    "Piece",
    "Promotion",
    "PromotionGate",
    "PromotionPlan",
    "PromotionRecord",
    "PromotionService",
    "ReferenceCheck",
    "RollbackPlan",
    "Source",
    "TagTaken",
    "Tagged",
    "Target",
    "UpdaterAnswer",
    "UpdaterImage",
    "UploadFile",
    "UpstreamRef",
    "check_references",
    "check_updater",
    "part_size",
    "pin_folder",
    "pin_text",
    "read_graph",
    "region_folder",
    "region_text",
    "updater_images",
]
