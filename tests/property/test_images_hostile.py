"""Whatever stands in a manifest or a config: a clear refusal or a record, never a crash."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.errors import InvalidInput, InvalidManifest
from ecrkit.images import ImageConfig, Manifest, diff, largest_layers
from tests.support.manifests import blob, child, image_document, index_document, raw

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("sha256:" + "a" * 64)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
_IMAGE = raw(image_document([blob("a", 5), blob("b", 6, urls=["http://example"])], annotations={"k": "v"}))
MANIFESTS: list[dict[str, Any]] = [
    json.loads(_IMAGE.text),
    index_document(
        [child(_IMAGE), {**child(_IMAGE), "annotations": {"vnd.docker.reference.type": "attestation-manifest"}}]
    ),
    image_document([blob("s", 1)], subject=blob("i", 5), artifactType="application/spdx+json"),
    {"schemaVersion": 1, "fsLayers": [{"blobSum": "sha256:" + "b" * 64}], "signatures": [{"protected": "e30"}]},
]
CONFIG: dict[str, Any] = {
    "os": "linux", "architecture": "arm64", "created": "2026-01-01T00:00:00Z",
    "config": {"User": "app", "Labels": {"a": "b"}, "Env": ["A=1"], "ExposedPorts": {"80/tcp": {}}},
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "c" * 64]}, "history": [{"created_by": "RUN", "empty_layer": True}],
}  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def damaged(value: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    if not path:
        return change(value)
    key, *rest = path
    if isinstance(value, dict):
        return {k: damaged(v, tuple(rest), change) if k == key else v for k, v in value.items()}
    return [damaged(v, tuple(rest), change) if n == key else v for n, v in enumerate(value)]


def check(refused: InvalidInput) -> None:
    assert refused.problems
    assert all(problem.path.startswith("$") for problem in refused.problems)


@settings(max_examples=300)
@given(data=st.data())
def test_a_damaged_manifest(data: st.DataObject) -> None:
    document = data.draw(st.sampled_from(MANIFESTS))
    path = data.draw(st.sampled_from(list(places(document))))
    text = json.dumps(damaged(document, path, lambda _: data.draw(VALUES)))
    try:
        manifest = Manifest.parse(text)
    except InvalidManifest as refused:
        check(refused)
    else:
        assert manifest.kind
        assert manifest.content_size is None or manifest.content_size >= 0
        diff(manifest, manifest)
        largest_layers(manifest)
        json.dumps(manifest.to_dict(), allow_nan=False)


@settings(max_examples=200)
@given(data=st.data())
def test_a_damaged_config(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(list(places(CONFIG))))
    text = json.dumps(damaged(CONFIG, path, lambda _: data.draw(VALUES)))
    try:
        config = ImageConfig.parse(text)
    except InvalidInput as refused:
        check(refused)
    else:
        json.dumps(config.to_dict(), allow_nan=False)


@settings(max_examples=100)
@given(data=st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes(data: bytes | str) -> None:
    for parse in (Manifest.parse, ImageConfig.parse):
        try:
            parse(data)
        except InvalidInput as refused:
            check(refused)
