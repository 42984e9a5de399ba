"""Real images in the embedded ECR: what the images domain computes is what was pushed, to the byte."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import pytest

from ecrkit.images import (
    Budget,
    ImageConfig,
    Inventory,
    Manifest,
    base_images,
    cache_reuse,
    diff,
    freed_by,
    largest_layers,
    last_builds,
    naive_bytes,
    storage_split,
    stored_across,
    stored_bytes,
)
from ecrkit.local import Engine, ManualClock, client
from ecrkit.local.images import BuiltImage, BuiltIndex, artifact, filler, image, index, layer
from ecrkit.records import RawManifest

TYPES = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
]
PLATFORMS = ("linux/amd64", "linux/arm64")
BASES = {p: filler(60_000, seed=f"base {p}", created_by="ADD rootfs.tar /") for p in PLATFORMS}
DEPENDENCIES = {p: filler(30_000, seed=f"deps {p}", created_by="RUN pip install") for p in PLATFORMS}


def base(number: int = 1) -> BuiltIndex:
    layers = BASES if number == 1 else {p: filler(61_000, seed=f"base {number} {p}") for p in PLATFORMS}
    return index(image([layers[p]], platform=p, labels={"n": str(number)}) for p in PLATFORMS)


def build(number: int) -> BuiltIndex:
    def one(platform: str) -> BuiltImage:
        own = layer({"app/main": f"{number} {platform}"}, created_by="COPY app /app")
        return image([BASES[platform], DEPENDENCIES[platform], own], platform=platform, config={"User": "app"})

    return index(map(one, PLATFORMS), attestations="artifact")


BUILDS = [build(number) for number in range(3)]
SIGNATURES = [artifact(b, "application/vnd.cncf.notary.signature", content=f"of {b.digest}") for b in BUILDS]


def sizes(*built: BuiltImage | BuiltIndex) -> dict[str, int]:
    """The recount: every blob that was pushed, once."""
    return {digest: len(data) for one in built for digest, data in one.blobs.items()}


def listed(ecr: Any, repository: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ecr.describe_images(
        repositoryName=repository, filter={"imageStatus": "ANY"}, maxResults=1000
    )["imageDetails"]
    return found


def read(ecr: Any, repository: str) -> list[RawManifest]:
    found = ecr.batch_get_image(
        repositoryName=repository,
        imageIds=[{"imageDigest": d["imageDigest"]} for d in listed(ecr, repository)],
        acceptedMediaTypes=TYPES,
    )
    return [
        RawManifest(digest=i["imageId"]["imageDigest"], media_type=i["imageManifestMediaType"], text=i["imageManifest"])
        for i in found["images"]
    ]


def inventory_of(ecr: Any, repository: str) -> Inventory:
    return Inventory.from_api(listed(ecr, repository), manifests=read(ecr, repository))


@pytest.fixture(scope="module")
def ecr() -> Any:
    clock = ManualClock()
    made = client(Engine(clock=clock))
    for name, images in {"team/app": BUILDS, "base/python": [base()]}.items():
        made.create_repository(repositoryName=name)
        for number, one in enumerate(images):
            one.push(made, name, f"v{number}")
            clock.advance(dt.timedelta(hours=1))
    for signature in SIGNATURES:
        signature.push(made, "team/app")
    return made


@pytest.fixture(scope="module")
def app(ecr: Any) -> Inventory:
    return inventory_of(ecr, "team/app")


@pytest.fixture(scope="module")
def configs() -> Mapping[str, ImageConfig]:
    images = [child for b in (*BUILDS, base()) for child in b.children if child.platform in PLATFORMS]
    read = [(Manifest.parse(i.manifest), i) for i in images]
    return {
        m.config.digest: ImageConfig.parse(i.blobs[m.config.digest], digest=m.config.digest)
        for m, i in read
        if m.config is not None
    }


def test_every_byte_is_counted_once(app: Inventory) -> None:
    assert stored_bytes(app).exact == sum(sizes(*BUILDS, *SIGNATURES).values())
    assert stored_bytes(app, [BUILDS[0].digest]).exact == sum(sizes(BUILDS[0]).values())
    assert naive_bytes(app) > 3 * (stored_bytes(app).exact or 0)


def test_kinds(app: Inventory) -> None:
    kinds = [app.kind_of(image.digest) for image in app]
    assert {k: kinds.count(k) for k in kinds} == {"index": 3, "image": 6, "attestation": 6, "signature": 3}
    assert app.opaque_indexes == ()
    assert app.missing_children == {}
    assert [i.digest for i in app.referrers_of(BUILDS[0].digest)] == [SIGNATURES[0].digest]
    assert [image.digest for image in last_builds(app)] == [b.digest for b in reversed(BUILDS)]


def test_freed_is_the_difference_of_two_recounts(app: Inventory) -> None:
    going = [BUILDS[0].digest, *(c.digest for c in BUILDS[0].children), SIGNATURES[0].digest]
    before, after = sizes(*BUILDS, *SIGNATURES), sizes(*BUILDS[1:], *SIGNATURES[1:])
    assert freed_by(app, going).exact == sum(before.values()) - sum(after.values())
    assert freed_by(app, [i.digest for i in app]).exact == sum(before.values())


def test_archived_bytes_stand_apart() -> None:
    ecr = client(Engine())
    ecr.create_repository(repositoryName="team/app")
    one, two = (image([BASES["linux/amd64"], filler(9_000, seed=s)]) for s in "12")
    for number, built in enumerate((one, two)):
        built.push(ecr, "team/app", f"v{number}")
    before = read(ecr, "team/app")
    ecr.update_image_storage_class(
        repositoryName="team/app", imageId={"imageDigest": one.digest}, targetStorageClass="ARCHIVE"
    )
    shared = BASES["linux/amd64"].size
    split = storage_split(Inventory.from_api(listed(ecr, "team/app"), manifests=before))
    assert (split.archive.exact, split.standard.exact, split.shared.exact) == (
        one.size - shared,
        two.size - shared,
        shared,
    )
    # The manifest of an archived image can no longer be read: without an earlier copy the answer is a range.
    unread = storage_split(inventory_of(ecr, "team/app"))
    assert unread.archive.exact is None
    assert (one.size - shared) in unread.archive
    assert (two.size - shared) in unread.standard
    assert shared in unread.shared


def test_what_a_node_pulls(app: Inventory, configs: Mapping[str, ImageConfig]) -> None:
    old, new = (app.manifests[b.digest] for b in BUILDS[:2])
    found = diff(old, new, manifests=app.manifests)
    assert [p.platform for p in found.platforms] == list(PLATFORMS)
    for part, before, after in zip(found.platforms, BUILDS[0].children, BUILDS[1].children, strict=False):
        assert part.pull is not None
        assert part.pull.exact == sum(size for d, size in sizes(after).items() if d not in before.blobs)
        assert (len(part.shared), len(part.added), part.kept_below) == (2, 1, 2)
    assert Budget(max_pull_delta=20_000, max_bytes=200_000).judge(new, before=old, manifests=app.manifests).passed
    assert not Budget(max_bytes=90_000).judge(new, manifests=app.manifests).passed
    reuse = cache_reuse(app, configs=configs)
    assert [(b.reused_layers, b.layers, b.instruction) for b in reuse.builds] == [(2, 3, "COPY app /app")] * 4


def test_the_largest_layer_and_its_instruction(app: Inventory, configs: Mapping[str, ImageConfig]) -> None:
    child = app.manifests[BUILDS[0].children[0].digest]
    assert child.config is not None
    config = configs[child.config.digest]
    assert [(o.size, o.instruction) for o in largest_layers(child, config, count=2)] == [
        (60_000, "ADD rootfs.tar /"),
        (30_000, "RUN pip install"),
    ]
    assert (config.user, config.runs_as_root, str(config.platform)) == ("app", False, "linux/amd64")


def test_bases_that_move(ecr: Any, app: Inventory) -> None:
    python = inventory_of(ecr, "base/python")
    report = base_images([app, python])
    assert len(report.resting_on("base/python", base().digest)) == 6
    assert {use.status for use in report.resting_on("base/python")} == {"current"}
    moved = client(Engine())
    moved.create_repository(repositoryName="base/python")
    base(1).push(moved, "base/python", "v0")
    base(2).push(moved, "base/python", "v0")
    later = base_images([app, inventory_of(moved, "base/python")])
    assert {use.status for use in later.resting_on("base/python")} == {"untagged"}
    known = base_images(
        [app, inventory_of(moved, "base/python")], earlier_tags={("base/python", base().digest): ["v0"]}
    )
    assert {(u.status, u.now and u.now.digest) for u in known.outdated} == {("moved", base(2).digest)}
    (wave,) = known.rebuild_order()
    assert {place.digest for place in wave} == {b.digest for b in BUILDS}


def test_two_repositories_together(ecr: Any, app: Inventory) -> None:
    python = inventory_of(ecr, "base/python")
    apart = (stored_bytes(app).exact or 0) + (stored_bytes(python).exact or 0)
    found = stored_across([app, python])
    assert (found.low, found.high) == (sum(sizes(*BUILDS, *SIGNATURES, base()).values()), apart)
    assert stored_across([app, python], blob_mounting=False).exact == apart
