"""A registry with an index, an artifact, an untagged image, policies and tags, in an embedded ECR."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit import Registry
from ecrkit.local import images as local_images
from ecrkit.snapshot import RepositorySnapshot
from tests.support.snapshots import repository

POLICY = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"ecr:BatchGetImage"}]}'
LIFECYCLE = (
    '{"rules":[{"rulePriority":1,"selection":{"tagStatus":"untagged","countType":"imageCountMoreThan",'
    '"countNumber":5},"action":{"type":"expire"}}]}'
)


def fill(registry: Registry, *names: str) -> None:
    for name in names:
        registry.gateway.create_repository(name, tags={"Team": name.split("/", maxsplit=1)[0]})
        layer = local_images.layer({"app": name})
        platforms = [local_images.image([layer], platform=f"linux/{arch}") for arch in ("amd64", "arm64")]
        local_images.index(platforms).push(registry.client, name, tag="v1")


@pytest.fixture
def registry():
    with Registry.local() as opened:
        fill(opened, "shop/cart", "shop/web", "tools")
        opened.gateway.set_repository_policy("tools", POLICY)
        opened.gateway.put_lifecycle_policy("shop/web", LIFECYCLE)
        opened.engine.advance(dt.timedelta(hours=1))
        yield opened


@pytest.fixture
def entry() -> RepositorySnapshot:
    return repository("team/app", images=3)
