"""Small repositories for cost tests."""

from __future__ import annotations

import datetime as dt

from ecrkit.images import Inventory
from ecrkit.records import RawManifest
from tests.support.manifests import CONFIG, blob, child, detail, image_document, index_document, raw

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)


def made(name: str, *layers: tuple[str, int], config: int = 10, **more: object) -> RawManifest:
    """An image of named layers and a config of its own."""
    return raw(image_document([blob(n, s) for n, s in layers], config=blob(f"config {name}", config, CONFIG), **more))


def index(*children: RawManifest) -> RawManifest:
    return raw(index_document([child(c) for c in children]))


def days(number: float) -> float:
    return (NOW - dt.timedelta(days=number)).timestamp()


def entry(manifest: RawManifest, *tags: str, pushed: float = 10, pulled: float | None = None, **more: object) -> dict:
    """A DescribeImages item: pushed and pulled so many days ago."""
    found = detail(manifest, imagePushedAt=days(pushed), **({"imageTags": list(tags)} if tags else {}), **more)
    return found | ({} if pulled is None else {"lastRecordedPullTime": days(pulled)})


def inventory(name: str, manifests: list[RawManifest], details: list[dict]) -> Inventory:
    return Inventory.from_api(details, manifests=manifests, repository=name)
