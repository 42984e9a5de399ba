"""Small repositories for lifecycle tests."""

import datetime as dt

import pytest

from ecrkit.images import Inventory
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
INDEX = "application/vnd.oci.image.index.v1+json"


def digest(name):
    return "sha256:" + name.encode().hex().ljust(64, "0")


def image(name, *tags, days=0.0, **more):
    return Image(digest=digest(name), tags=tags, pushed_at=NOW - dt.timedelta(days=days), **more)


def selection(status="any", number=1, *, kind="imageCountMoreThan", **more):
    unit = {} if kind == "imageCountMoreThan" else {"countUnit": "days"}
    return {"tagStatus": status, "countType": kind, "countNumber": number, **unit, **more}


def policy(*selections, action="expire"):
    target = {"targetStorageClass": "archive"} if action == "transition" else {}
    return {
        "rules": [
            {"rulePriority": n, "selection": s, "action": {"type": action, **target}}
            for n, s in enumerate(selections, 1)
        ]
    }


class Kit:
    now = NOW
    index = INDEX
    digest = staticmethod(digest)
    image = staticmethod(image)
    selection = staticmethod(selection)
    policy = staticmethod(policy)
    inventory = Inventory


@pytest.fixture
def kit():
    return Kit
