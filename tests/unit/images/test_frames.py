"""Results about builds as columns and frames, and configs read from a registry."""

from __future__ import annotations

import datetime as dt

import pytest

from ecrkit import Registry
from ecrkit.errors import InvalidInput, NotFound
from ecrkit.images import ImageConfig, Manifest, base_images, cache_reuse, diff, layer_origins
from ecrkit.local.images import artifact, filler, image, index

BASE = filler(20_000, seed="base", created_by="ADD rootfs.tar /")


def build(n: int, platform: str = "linux/amd64"):
    return image([BASE, filler(5_000, seed=f"{n}{platform}", created_by=f"RUN make {n}")], platform=platform)


@pytest.fixture
def registry():
    with Registry.local() as opened:
        for name in ("base", "app"):
            opened.gateway.create_repository(name)
        image([BASE]).push(opened.client, "base", "1")
        multi = index([build(2), build(2, "linux/arm64")], attestations="artifact")
        build(1).push(opened.client, "app", "v1")
        opened.engine.advance(dt.timedelta(hours=1))
        multi.push(opened.client, "app", "v2")
        artifact(multi, "application/spdx+json", content="{}").push(opened.client, "app")
        yield opened


class TestColumns:
    def test_a_diff(self) -> None:
        one, two = (Manifest.parse(build(n).manifest) for n in (1, 2))
        found = diff(one, two)
        columns = found.to_columns()
        assert (columns["shared_bytes"], columns["added_bytes"], columns["removed_layers"]) == ([20_000], [5_000], [1])
        assert columns["pull_low"] == columns["pull_high"] == [5_000 + two.config.size]
        assert list(found.to_pandas()["added_layers"]) == [1]

    def test_what_is_not_known_is_none(self) -> None:
        one = Manifest.parse(build(1).manifest)
        two = Manifest.parse(index([build(2), build(2, "linux/arm64")]).manifest)
        columns = diff(one, two).to_columns()
        assert columns["added_layers"] == [None, None]
        assert columns["pull_high"] == [None, None]

    def test_reuse_and_bases(self, registry) -> None:
        app = registry.inventory("app", manifests="all")
        reuse = cache_reuse(app, configs=registry.image_configs(app))
        assert sorted(zip(reuse.to_columns()["platform"], reuse.to_columns()["reused_size"], strict=True)) == [
            ("linux/amd64", 20_000), ("linux/arm64", 0)
        ]  # fmt: skip
        assert "RUN make 2" in reuse.to_columns()["instruction"]
        assert len(reuse.to_pandas()) == 2
        report = base_images([app, registry.inventory("base", manifests="all")])
        columns = report.to_columns()
        assert {b for bases in columns["bases"] for b in bases} == {f"base@{image([BASE]).digest}"}
        assert len(report.to_pandas()) == len(report.uses)


class TestConfigs:
    def test_of_an_image_and_of_a_platform(self, registry) -> None:
        config = registry.image_config("app:v1")
        manifest = Manifest.parse(build(1).manifest)
        assert config == ImageConfig.parse(build(1).blobs[manifest.config.digest])
        assert [o.instruction for o in layer_origins(manifest, config)] == ["ADD rootfs.tar /", "RUN make 1"]
        arm = registry.image_config("app:v2", platform="linux/arm64")
        assert str(arm.platform) == "linux/arm64"
        host = f"{registry.engine.account}.dkr.ecr.us-east-1.amazonaws.com"
        assert registry.image_config(f"{host}/app@{build(1).digest}") == config

    def test_an_index_needs_a_platform(self, registry) -> None:
        with pytest.raises(InvalidInput, match="linux/amd64, linux/arm64"):
            registry.image_config("app:v2")
        with pytest.raises(InvalidInput, match="no such child"):
            registry.image_config("app:v2", platform="linux/s390x")

    def test_what_is_not_there(self, registry) -> None:
        with pytest.raises(NotFound):
            registry.image_config("app:nope")
        with pytest.raises(InvalidInput, match="name a tag or a digest"):
            registry.image_config("app")

    def test_of_an_inventory(self, registry) -> None:
        app = registry.inventory("app", manifests="all")
        found = registry.image_configs(app)
        assert len(found) == 3
        assert {str(c.platform) for c in found.values()} == {"linux/amd64", "linux/arm64"}
        assert len(registry.image_configs(app, [build(1).digest])) == 1
        with pytest.raises(InvalidInput, match="names no repository"):
            registry.image_configs(type(app)(app.images))
