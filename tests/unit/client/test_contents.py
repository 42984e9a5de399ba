"""What a registry reads of its images: manifests, layers, tags."""

from __future__ import annotations

import hashlib
import json

import pytest

from ecrkit import Registry, errors
from ecrkit.images import stored_bytes

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def sha(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def push(registry, seed, *layers, tag=None):
    parts = [f"config {seed}".encode(), *layers]
    for part in parts:
        registry.gateway.upload_layer("app", [part], digest=sha(part))
    described = [{"mediaType": LAYER, "digest": sha(part), "size": len(part)} for part in parts]
    described[0]["mediaType"] = "application/vnd.oci.image.config.v1+json"
    document = {"schemaVersion": 2, "mediaType": OCI, "config": described[0], "layers": described[1:]}
    return registry.gateway.put_image("app", json.dumps(document), tag=tag).digest


def push_index(registry, *children, tag=None):
    listed = [{"mediaType": OCI, "digest": child, "size": 1} for child in children]
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}
    return registry.gateway.put_image("app", json.dumps(document), tag=tag).digest


@pytest.fixture
def registry():
    with Registry.local(workers=2) as made:
        made.gateway.create_repository("app")
        yield made


class TestManifestsAsAskedFor:
    """Children and layers stand in manifests, and reading one may count as a pull (ECR user guide, pull times)."""

    @pytest.fixture
    def images(self, registry):
        one, two = push(registry, 1, b"base", b"one"), push(registry, 2, b"base", b"two")
        return one, two, push_index(registry, one, two, tag="v1")

    def pulled(self, registry):
        return {image.digest for image in registry.images("app") if image.last_pulled_at is not None}

    def test_indexes(self, registry, images):
        one, two, index = images
        inventory = registry.inventory("app")
        assert (set(inventory.manifests), inventory.children_of(index)) == ({index}, (one, two))
        assert self.pulled(registry) == {index}

    def test_all(self, registry, images):
        inventory = registry.inventory("app", manifests="all")
        assert set(inventory.manifests) == set(images)
        configs = len(b"config 1") * 2
        assert stored_bytes(inventory).exact == configs + len(b"base") + len(b"one") + len(b"two")

    def test_none(self, registry, images):
        inventory = registry.inventory("app", manifests="none")
        assert inventory.manifests == {}
        assert [image.digest for image in inventory.opaque_indexes] == [images[2]]
        assert self.pulled(registry) == set()

    def test_the_same_graph_as_a_dry_runs(self, registry, images):
        assert registry.inventory("app").children == registry.lifecycle.inventory("app").children

    def test_archived_ones_are_not_read(self, registry, images):
        alone = push(registry, 3, b"three")
        registry.gateway.update_storage_class("app", alone, "archive")
        before = len(registry.engine.calls)
        inventory = registry.inventory("app", manifests="all")
        assert alone in inventory
        assert alone not in inventory.manifests
        asked = [i["imageDigest"] for c in registry.engine.calls[before:] for i in c.params.get("imageIds", ())]
        assert sorted(asked) == sorted(images)

    def test_calls(self, registry):
        """A thousand images a page, a hundred manifests a call."""
        for number in range(101):
            push(registry, number, b"base")
        before, seen = len(registry.engine.calls), []
        registry.inventory("app", manifests="all", on_progress=seen.append)
        operations = [call.operation for call in registry.engine.calls[before:]]
        assert operations == ["DescribeImages", "BatchGetImage", "BatchGetImage"]
        assert [(p.what, p.done, p.total) for p in seen] == [
            ("images", 101, 101),
            ("manifests", 100, 101),
            ("manifests", 101, 101),
        ]

    @pytest.mark.parametrize("wrong", [True, False, None, "index"])
    def test_nothing_else(self, registry, wrong):
        before = len(registry.engine.calls)
        with pytest.raises(errors.InvalidInput, match="one of indexes, all, none"):
            registry.inventory("app", manifests=wrong)
        assert len(registry.engine.calls) == before


class TestOneImage:
    """A tag resolves through DescribeImages, which is no pull."""

    def test_by_tag_and_digest(self, registry):
        digest = push(registry, 1, b"base", tag="v1")
        assert registry.gateway.digest_of("app", "v1") == digest
        assert registry.gateway.image("app", digest).tags == ("v1",)
        registry.gateway.update_storage_class("app", digest, "archive")
        assert registry.gateway.image("app", "v1").status == "ARCHIVED"
        assert registry.gateway.image("app", "v1").last_pulled_at is None

    def test_what_is_not_there(self, registry):
        assert registry.gateway.digest_of("app", "v1") is None
        with pytest.raises(errors.NotFound, match="app:v1"):
            registry.gateway.image("app", "v1")
        with pytest.raises(errors.NotFound) as caught:
            registry.gateway.digest_of("nobody", "v1")
        assert caught.value.code == "RepositoryNotFoundException"


class TestLayers:
    """A layer's bytes come through a URL, which the engine answers in process, and are checked."""

    def test_download(self, registry):
        push(registry, 1, b"base" * 1000)
        assert b"".join(registry.gateway.download_layer("app", sha(b"base" * 1000))) == b"base" * 1000

    def test_no_such_layer(self, registry):
        with pytest.raises(errors.NotFound):
            list(registry.gateway.download_layer("app", sha(b"other")))

    def test_damaged(self, registry, monkeypatch):
        push(registry, 1, b"base")
        monkeypatch.setattr(registry.engine, "fetch", lambda url: b"bass")
        with pytest.raises(errors.Unavailable, match="damaged") as caught:
            list(registry.gateway.download_layer("app", sha(b"base")))
        assert caught.value.code == "DigestMismatch"

    def test_an_expired_url(self, registry):
        push(registry, 1, b"base")
        url = registry.gateway.layer_url("app", sha(b"base"))
        registry.engine.advance(registry.engine.timings.download_url)
        with pytest.raises(errors.Denied) as caught:
            list(registry.gateway._fetch(url))
        assert "token" not in str(caught.value)


class TestTheClientBeneath:
    """What ecrkit does not offer is done with boto3's own client."""

    def test_it_talks_to_the_same_registry(self, registry):
        found = registry.client.describe_repositories()["repositories"]
        assert [repository["repositoryName"] for repository in found] == ["app"]


class TestNoQuotasOfItsOwn:
    """AWS's published rates are AWS's; the embedded ECR throttles only when it is told to."""

    def test_nothing_is_paced(self, registry):
        push(registry, 1, b"base")
        assert set(registry.aws.learned_rates().values()) == {None}
