"""Images: manifests, the graph between images, and the bytes they store."""

from ecrkit.images.inventory import Inventory

__all__ = ["Inventory"]
