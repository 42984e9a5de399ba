from __future__ import annotations

import datetime as dt
import json

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.images import Manifest
from ecrkit.images.config import MAX_CONFIG_BYTES, ImageConfig, largest_layers, layer_origins
from tests.support.manifests import blob, digest_of, image_document


def problems(document: object) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        ImageConfig.parse(json.dumps(document))
    return {p.path: p.message for p in caught.value.problems}


WHOLE = {
    "os": "linux", "architecture": "arm", "variant": "v7", "created": "2026-02-03T04:05:06.123456789Z",
    "author": "Jo",
    "config": {
        "User": "app:app", "Entrypoint": ["/app"], "Cmd": [], "Env": ["A=1"], "WorkingDir": "/srv",
        "ExposedPorts": {"80/tcp": {}, "443/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGINT",
        "Labels": {"team": "a"},
    },
    "rootfs": {"type": "layers", "diff_ids": [digest_of("d1"), digest_of("d2")]},
    "history": [
        {"created": "2026-02-03T04:05:06Z", "created_by": "ADD rootfs", "comment": "base"},
        {"created_by": "ENV A=1", "empty_layer": True},
        {"created_by": "COPY app", "empty_layer": False},
    ],
}  # fmt: skip


class TestFacts:
    """Members as the OCI image-spec, image configuration, names them."""

    def test_every_member(self) -> None:
        text = json.dumps(WHOLE)
        config = ImageConfig.parse(text, digest=digest_of(text))
        assert config.digest == digest_of(text)
        assert str(config.platform) == "linux/arm/v7"
        assert config.created_at == dt.datetime(2026, 2, 3, 4, 5, 6, 123456, tzinfo=dt.UTC)
        assert (config.author, config.user, config.runs_as_root) == ("Jo", "app:app", False)
        assert (config.entrypoint, config.command) == (("/app",), None)
        assert (config.environment, config.working_dir, config.stop_signal) == (("A=1",), "/srv", "SIGINT")
        assert (config.exposed_ports, config.volumes) == (("443/tcp", "80/tcp"), ("/data",))
        assert (config.labels, config.diff_ids) == ({"team": "a"}, (digest_of("d1"), digest_of("d2")))
        assert [(h.created_by, h.comment, h.empty_layer) for h in config.history] == [
            ("ADD rootfs", "base", False),
            ("ENV A=1", None, True),
            ("COPY app", None, False),
        ]
        assert config.history[0].created_at == dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC)

    @pytest.mark.parametrize(
        ("user", "root"),
        [
            ("", True), ("root", True), ("0", True), ("0:0", True), ("root:app", True), ("1000", False),
            ("app:root", False), ("rooty", False),
        ],
    )  # fmt: skip
    def test_who_is_root(self, user: str, root: bool) -> None:
        assert ImageConfig.parse(json.dumps({"config": {"User": user}})).runs_as_root is root

    @pytest.mark.parametrize("text", ["{}", '{"config": null, "history": null, "rootfs": null, "created": ""}'])
    def test_a_config_that_says_nothing(self, text: str) -> None:
        config = ImageConfig.parse(text)
        assert (config.platform, config.created_at, config.history, config.entrypoint) == (None, None, (), None)

    def test_half_a_platform_is_none(self) -> None:
        assert ImageConfig.parse('{"os": "linux"}').platform is None
        assert ImageConfig.parse('{"architecture": "arm"}').platform is None


class TestFaults:
    def test_all_at_once(self) -> None:
        document = {
            "os": 5, "architecture": [], "variant": 1, "os.version": 2, "created": "yesterday", "author": {},
            "config": {
                "User": 0, "Entrypoint": "sh", "Cmd": [1], "Env": {}, "WorkingDir": 5, "ExposedPorts": [],
                "Volumes": "x", "StopSignal": 9, "Labels": {"a": 1},
            },
            "rootfs": {"diff_ids": "x"},
            "history": [{"created": 5, "created_by": [], "comment": 1, "empty_layer": "yes"}, 7],
        }  # fmt: skip
        assert list(problems(document)) == [
            "$.os", "$.architecture", "$.variant", "$['os.version']", "$.created", "$.author", "$.config.User",
            "$.config.Entrypoint", "$.config.Cmd", "$.config.Env", "$.config.WorkingDir", "$.config.ExposedPorts",
            "$.config.Volumes", "$.config.StopSignal", "$.config.Labels", "$.rootfs.diff_ids",
            "$.history[0].empty_layer", "$.history[0].created_by", "$.history[0].created", "$.history[0].comment",
            "$.history[1]",
        ]  # fmt: skip
        assert problems({"config": [], "rootfs": 1, "history": {}}) == {
            "$.config": "must be an object",
            "$.rootfs": "must be an object",
            "$.history": "must be a list",
        }

    def test_another_digest(self) -> None:
        with pytest.raises(InvalidInput, match=f"asked for as {digest_of('x')}"):
            ImageConfig.parse("{}", digest=digest_of("x"))

    @pytest.mark.parametrize(
        "text",
        ["", "[]", "null", '{"a": 1, "a": 2}', "[" * 100_000, b"\xff", '{"a": NaN}', '{"n": ' + "9" * 5000 + "}"],
    )
    def test_hostile_text(self, text: str | bytes) -> None:
        with pytest.raises(InvalidInput, match="invalid image config"):
            ImageConfig.parse(text)

    def test_too_long(self) -> None:
        with pytest.raises(InvalidInput, match="at most 8388608 are read"):
            ImageConfig.parse(b" " * (MAX_CONFIG_BYTES + 1))


class TestOrigins:
    """History entries without `empty_layer` belong to the layers, in order (OCI image-spec, image configuration)."""

    MANIFEST = Manifest.parse(json.dumps(image_document([blob("a", 500), blob("b", 900)])))
    CONFIG = ImageConfig.parse(json.dumps(WHOLE))

    def test_instructions(self) -> None:
        origins = layer_origins(self.MANIFEST, self.CONFIG)
        assert [(o.number, o.size, o.instruction) for o in origins] == [(0, 500, "ADD rootfs"), (1, 900, "COPY app")]
        assert [o.digest for o in origins] == [digest_of("a"), digest_of("b")]
        assert origins[0].created_at == dt.datetime(2026, 2, 3, 4, 5, 6, tzinfo=dt.UTC)

    def test_a_history_that_does_not_fit_tells_nothing(self) -> None:
        for manifest in (
            Manifest.parse(json.dumps(image_document([blob("a", 5)]))),
            Manifest.parse(json.dumps(image_document([blob("a", 5), blob("b", 5), blob("c", 5)]))),
        ):
            assert {o.instruction for o in layer_origins(manifest, self.CONFIG)} == {None}

    def test_without_a_config(self) -> None:
        assert [o.instruction for o in layer_origins(self.MANIFEST)] == [None, None]

    def test_largest(self) -> None:
        assert [o.instruction for o in largest_layers(self.MANIFEST, self.CONFIG)] == ["COPY app", "ADD rootfs"]
        assert [o.number for o in largest_layers(self.MANIFEST, count=1)] == [1]

    def test_a_layer_that_stands_twice_is_named_once_and_equal_ones_in_order(self) -> None:
        layers = [blob("z", 1), blob("a", 7), blob("b", 7), blob("a", 7)]
        manifest = Manifest.parse(json.dumps(image_document(layers)))
        assert [o.number for o in largest_layers(manifest)] == [1, 2, 0]

    def test_layers_without_sizes_stay_in_order(self) -> None:
        old = Manifest.parse(
            json.dumps({"schemaVersion": 1, "fsLayers": [{"blobSum": digest_of("x")}, {"blobSum": digest_of("y")}]})
        )
        assert [(o.size, o.number) for o in largest_layers(old)] == [(None, 0), (None, 1)]

    def test_ten_unless_told_otherwise(self) -> None:
        many = Manifest.parse(json.dumps(image_document([blob(n, n) for n in range(12)])))
        assert [o.size for o in largest_layers(many)] == list(range(11, 1, -1))


class TestWords:
    def test_of_faults(self) -> None:
        document = {
            "author": 1,
            "created": 5,
            "config": {"Env": {}, "Labels": {"a": 1}},
            "history": [{"empty_layer": 1}],
        }
        assert problems(document) == {
            "$.author": "must be a string",
            "$.created": "must be a time as RFC 3339 writes it, not 5",
            "$.config.Env": "must be a list of strings",
            "$.config.Labels": "must be an object of strings",
            "$.history[0].empty_layer": "must be true or false",
        }
        assert problems({"config": {"Labels": []}}) == {"$.config.Labels": "must be an object"}

    def test_of_the_whole(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            ImageConfig.parse("{}", digest=digest_of("x"))
        assert str(caught.value) == (
            f"invalid image config {digest_of('x')}: $: the text has the digest {digest_of('{}')}, "
            f"it was asked for as {digest_of('x')}"
        )
        with pytest.raises(InvalidInput) as caught:
            ImageConfig.parse('{"os": 5}')
        assert str(caught.value) == f"invalid image config {digest_of(json.dumps({'os': 5}))}: $.os: must be a string"
        with pytest.raises(InvalidInput) as caught:
            ImageConfig.parse(b" " * (MAX_CONFIG_BYTES + 1))
        assert str(caught.value) == "invalid image config: $: has 8388609 bytes, at most 8388608 are read"
        assert ImageConfig.parse(b"{}" + b" " * (MAX_CONFIG_BYTES - 2)).history == ()

    def test_the_version_of_windows(self) -> None:
        platform = ImageConfig.parse('{"os": "windows", "architecture": "amd64", "os.version": "10.0"}').platform
        assert platform is not None
        assert platform.os_version == "10.0"

    def test_a_lone_surrogate_is_no_crash(self) -> None:
        with pytest.raises(InvalidInput, match="is not JSON"):
            ImageConfig.parse('"\ud800"')
