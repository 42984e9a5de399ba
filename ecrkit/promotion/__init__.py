"""Moving images without changing them: tags given by digest, copies between registries, promotions and rollbacks."""

from __future__ import annotations

from ecrkit.promotion.blobs import part_size
from ecrkit.promotion.graph import Blob, Graph, Piece, read_graph
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
from ecrkit.promotion.references import UpstreamRef
from ecrkit.promotion.service import PromotionService
from ecrkit.promotion.sources import Source, Target
from ecrkit.promotion.tagging import Tagged, TagTaken, tag_is_immutable
from ecrkit.promotion.uploads import UploadFile

__all__ = [
    "Blob",
    "Candidate",
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
    "RollbackPlan",
    "Source",
    "TagTaken",
    "Tagged",
    "Target",
    "UploadFile",
    "UpstreamRef",
    "part_size",
    "read_graph",
    "tag_is_immutable",
]
