"""Differences between images and the bytes a node pulls, against the slow and obvious way."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.images import Budget, Inventory, Manifest, Platform, base_images, diff
from ecrkit.images.blobs import BlobTable
from ecrkit.records import RawManifest
from tests.support.manifests import CONFIG, blob, child, detail, image_document, index_document, raw

SIZES = {name: 3 ** (n + 1) for n, name in enumerate("abcdefgh")}
LAYERS = st.lists(st.sampled_from("abcdefgh"), max_size=6)
PLATFORMS = ("linux/amd64", "linux/arm64", "linux/s390x")


def image(names: list[str], config: str) -> RawManifest:
    return raw(image_document([blob(n, SIZES[n]) for n in names], config=blob(config, 1, CONFIG)))


def parsed(manifest: RawManifest) -> Manifest:
    return Manifest.parse(manifest.text)


def blobs_of(manifest: RawManifest) -> dict[str, int]:
    document = json.loads(manifest.text)
    return {d["digest"]: d["size"] for d in [document["config"], *document["layers"]]}


@settings(max_examples=150)
@given(before=LAYERS, after=LAYERS, configs=st.tuples(*[st.sampled_from(["c1", "c2"])] * 2))
def test_applying_a_difference_gives_the_image_after(
    before: list[str], after: list[str], configs: tuple[str, str]
) -> None:
    old, new = image(before, configs[0]), image(after, configs[1])
    (part,) = diff(parsed(old), parsed(new)).platforms
    assert part.apply(parsed(old).layers) == parsed(new).layers
    have, wanted = blobs_of(old), blobs_of(new)
    assert part.pull is not None
    assert part.pull.exact == sum(size for digest, size in wanted.items() if digest not in have)
    assert before[: part.kept_below] == after[: part.kept_below]
    assert before[: part.kept_below + 1] != after[: part.kept_below + 1] or part.kept_below == len(before) == len(after)


@settings(max_examples=100)
@given(data=st.data())
def test_platforms_of_indexes(data: st.DataObject) -> None:
    sides: list[dict[str, RawManifest]] = []
    for side in "12":
        chosen = data.draw(st.lists(st.sampled_from(PLATFORMS), unique=True))
        sides.append({p: image(data.draw(LAYERS), f"{side} {p}") for p in chosen})
    old, new = (parsed(raw(index_document([child(m, p) for p, m in side.items()]))) for side in sides)
    known = {m.digest: parsed(m) for side in sides for m in side.values()}
    found = diff(old, new, manifests=known)
    assert {p.platform for p in found.platforms} == {*sides[0], *sides[1]}
    for part in found.platforms:
        assert part.platform is not None
        have = blobs_of(sides[0][part.platform]) if part.platform in sides[0] else {}
        if part.platform in sides[1]:
            wanted = blobs_of(sides[1][part.platform])
            assert part.pull is not None
            assert part.pull.exact == sum(size for digest, size in wanted.items() if digest not in have)
            budget = Budget(max_pull_delta=max(0, (part.pull.exact or 0) - 1))
            assert budget.judge(new, before=old, manifests=known).passed is False or part.pull.exact == 0
        else:
            assert part.pull is None


@settings(max_examples=100)
@given(data=st.data())
def test_what_is_unread_makes_a_range_that_holds_the_truth(data: st.DataObject) -> None:
    sides = [{p: image(data.draw(LAYERS), f"{side} {p}") for p in PLATFORMS[:2]} for side in "12"]
    old, new = (parsed(raw(index_document([child(m, p) for p, m in side.items()]))) for side in sides)
    known = {m.digest: parsed(m) for side in sides for m in side.values()}
    read = {d: m for d, m in known.items() if data.draw(st.booleans())}
    for whole, part in zip(
        diff(old, new, manifests=known).platforms, diff(old, new, manifests=read).platforms, strict=True
    ):
        assert whole.pull is not None
        assert part.pull is not None
        assert whole.pull.exact in part.pull


@settings(max_examples=100)
@given(worlds=st.lists(st.lists(LAYERS, min_size=1, max_size=4), min_size=1, max_size=4))
def test_bases_are_the_longest_beginning_in_another_repository(worlds: list[list[list[str]]]) -> None:
    repositories: dict[str, dict[str, list[str]]] = {}
    inventories = []
    for number, images in enumerate(worlds):
        made = {m.digest: (names, m) for n, names in enumerate(images) for m in [image(names, f"{number} {n}")]}
        repositories[f"r{number}"] = {digest: names for digest, (names, _) in made.items()}
        details = [detail(m, imageTags=[m.digest[7:20]]) for _, m in made.values()]
        manifests = [m for _, m in made.values()]
        inventories.append(Inventory.from_api(details, manifests=manifests, repository=f"r{number}"))
    uses = base_images(inventories).uses
    assert len(uses) == sum(map(len, repositories.values()))
    for use in uses:
        mine = repositories[use.image.repository][use.image.digest]
        below = {
            (name, digest): len(names)
            for name, images in repositories.items()
            if name != use.image.repository
            for digest, names in images.items()
            if 0 < len(names) < len(mine) and mine[: len(names)] == names
        }
        longest = max(below.values(), default=0)
        assert use.layers == longest
        assert {(b.repository, b.digest) for b in use.bases} == {p for p, n in below.items() if n == longest}


@settings(max_examples=100)
@given(
    order=st.permutations(range(4)), kinds=st.lists(st.sampled_from(["far", "here", "other"]), min_size=4, max_size=4)
)
def test_a_table_of_blobs_does_not_depend_on_the_order(order: list[int], kinds: list[str]) -> None:
    layers = {
        "far": blob("x", 50, urls=["http://example/x"]),
        "here": blob("x", 40),
        "other": blob("x", 45),
    }
    manifests = [parsed(raw(image_document([layers[kind]], annotations={"n": str(n)}))) for n, kind in enumerate(kinds)]
    digests = frozenset(manifests[0].blob_digests)
    table, shuffled = BlobTable.of(manifests), BlobTable.of(manifests[n] for n in order)
    assert table.total(digests) == shuffled.total(digests)


@settings(max_examples=100)
@given(parts=st.tuples(*[st.text(st.characters(codec="ascii", exclude_characters="/"), min_size=1, max_size=8)] * 3))
def test_platforms_are_normal_after_one_step(parts: tuple[str, str, str]) -> None:
    platform = Platform.parse("/".join(parts))
    assert platform.normalized.normalized == platform.normalized
