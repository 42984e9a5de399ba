"""The same registry over HTTP: an endpoint of one's own instead of AWS's."""

from __future__ import annotations

import hashlib

import pytest

from ecrkit import Registry, errors
from ecrkit.aws.session import offline_session
from ecrkit.local import Engine, serve
from tests.unit.client.test_contents import push


@pytest.fixture(scope="module")
def engine():
    return Engine(region="eu-west-1")


@pytest.fixture(scope="module")
def url(engine):
    with serve(engine) as server:
        yield server.url


@pytest.fixture(params=[True, False], ids=["fast parser", "botocore's parser"])
def registry(request, url, engine, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    engine.reset()
    session = offline_session("eu-west-1")
    with Registry.from_session(session, endpoint_url=url, workers=4, fast_parser=request.param) as made:
        made.gateway.create_repository("app")
        yield made


class TestEndToEnd:
    """What works in process works over a connection, with either parser."""

    def test_push_list_download(self, registry):
        digest = push(registry, 1, b"base" * 100_000, tag="v1")
        (image,) = registry.images("app")
        assert (image.digest, image.tags, image.size) == (digest, ("v1",), 400_000 + len(b"config 1"))
        inventory = registry.inventory("app", manifests="all")
        (layer,) = inventory.manifests[digest].layers
        received = hashlib.sha256()
        for chunk in registry.gateway.download_layer("app", layer.digest):
            received.update(chunk)
        assert layer.digest == f"sha256:{received.hexdigest()}"

    def test_crawl(self, registry):
        names = [f"app{number}" for number in range(12)]
        for name in names:
            registry.gateway.create_repository(name)
        crawl = {found.repository: found.images for found in registry.gateway.images_of_many(names)}
        assert crawl == dict.fromkeys(names, ())

    def test_faults(self, registry):
        with pytest.raises(errors.NotFound, match="ecr DescribeImages for nobody") as caught:
            registry.images("nobody").all()
        assert caught.value.code == "RepositoryNotFoundException"
        assert caught.value.request_id

    def test_times_are_in_utc(self, registry):
        push(registry, 1, b"base")
        assert [str(image.pushed_at.tzinfo) for image in registry.images("app")] == ["UTC"]


class TestNobodyThere:
    """A connection that cannot be made is tried as often as was said, and then named."""

    def test_unavailable(self):
        with (
            Registry.from_session(offline_session("eu-west-1"), endpoint_url="http://127.0.0.1:1", attempts=1) as lost,
            pytest.raises(errors.Unavailable, match="gave up after 1 attempt"),
        ):
            lost.repositories().all()
