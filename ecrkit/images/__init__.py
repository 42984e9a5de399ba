"""Images: manifests, the graph between images, and the bytes they store."""

from ecrkit.images.descriptor import Descriptor, Platform
from ecrkit.images.inventory import Inventory
from ecrkit.images.manifest import Manifest
from ecrkit.images.storage import ByteRange, StorageSplit, freed_by, naive_bytes, storage_split, stored_bytes

__all__ = [
    "ByteRange",
    "Descriptor",
    "Inventory",
    "Manifest",
    "Platform",
    "StorageSplit",
    "freed_by",
    "naive_bytes",
    "storage_split",
    "stored_bytes",
]
