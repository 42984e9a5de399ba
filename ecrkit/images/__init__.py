"""Images: manifests, the graph between images, the bytes they store, and what a build did."""

from ecrkit.images.bases import BaseClaim, BaseReport, BaseUse, Place, base_images
from ecrkit.images.budget import Budget, BudgetReason, BudgetVerdict
from ecrkit.images.builds import BuildReuse, CacheReuse, cache_reuse, last_builds
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.comparison import ImageDiff, PlatformDiff, diff
from ecrkit.images.config import HistoryEntry, ImageConfig, LayerOrigin, largest_layers, layer_origins
from ecrkit.images.conventions import (
    STANDARD_CONVENTIONS,
    ConventionOverlap,
    ParsedTag,
    TagCheck,
    TagConvention,
    TagConventions,
    branch_slug,
)
from ecrkit.images.descriptor import Descriptor, Platform
from ecrkit.images.inventory import ImageKind, Inventory
from ecrkit.images.manifest import Manifest, ManifestKind
from ecrkit.images.runnable import Runnable, runnable_images
from ecrkit.images.semver import VersionConstraint, VersionTag
from ecrkit.images.storage import StorageSplit, freed_by, naive_bytes, storage_split, stored_across, stored_bytes
from ecrkit.images.tag_report import RepositoryTags, TagReport, tag_report

__all__ = [
    "STANDARD_CONVENTIONS",
    "BaseClaim",
    "BaseReport",
    "BaseUse",
    "Budget",
    "BudgetReason",
    "BudgetVerdict",
    "BuildReuse",
    "ByteRange",
    "CacheReuse",
    "ConventionOverlap",
    "Descriptor",
    "HistoryEntry",
    "ImageConfig",
    "ImageDiff",
    "ImageKind",
    "Inventory",
    "LayerOrigin",
    "Manifest",
    "ManifestKind",
    "ParsedTag",
    "Place",
    "Platform",
    "PlatformDiff",
    "RepositoryTags",
    "Runnable",
    "StorageSplit",
    "TagCheck",
    "TagConvention",
    "TagConventions",
    "TagReport",
    "VersionConstraint",
    "VersionTag",
    "base_images",
    "branch_slug",
    "cache_reuse",
    "diff",
    "freed_by",
    "largest_layers",
    "last_builds",
    "layer_origins",
    "naive_bytes",
    "runnable_images",
    "storage_split",
    "stored_across",
    "stored_bytes",
    "tag_report",
]
