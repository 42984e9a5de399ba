"""Real images for tests, demonstrations and users: made in memory, the same digests on every machine and Python.

Example:
    >>> from ecrkit.local import Engine, client
    >>> from ecrkit.local.images import filler, image, index, layer
    >>> base = filler(20_000, seed="base")
    >>> app = index(
    ...     image([base, layer({"app/main": f"for {platform}"})], platform=platform)
    ...     for platform in ("linux/amd64", "linux/arm64")
    ... )
    >>> ecr = client(Engine())
    >>> _ = ecr.create_repository(repositoryName="team/app")
    >>> app.push(ecr, "team/app", "v1") == app.digest
    True
"""

from ecrkit.local.images.built import CREATED, BuiltImage, BuiltIndex, artifact, image, index
from ecrkit.local.images.delivery import push, write_oci_layout
from ecrkit.local.images.layers import Layer, filler, layer

__all__ = [
    "CREATED",
    "BuiltImage",
    "BuiltIndex",
    "Layer",
    "artifact",
    "filler",
    "image",
    "index",
    "layer",
    "push",
    "write_oci_layout",
]
