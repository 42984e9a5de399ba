"""Any graph of images arrives whole under its digest, whatever breaks on the way."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ecrkit import errors
from ecrkit.images.reference_text import DOCKER_HUB_HOSTS
from ecrkit.local import ServiceFault
from ecrkit.local.images import artifact, image, index, layer, push
from ecrkit.promotion import UpstreamRef, part_size, read_graph
from ecrkit.promotion.blobs import LARGEST_PART, MIB, MOST_PARTS, _parts
from tests.support.promotion import SOURCE, TARGET, holes, registry

PLATFORMS = ("linux/amd64", "linux/arm64", "windows/amd64")

seeds = st.integers(0, 5).map(str)
images = st.builds(
    lambda layers, platform, flavour: image([layer({"f": x}) for x in layers], platform=platform, flavour=flavour),
    st.lists(seeds, min_size=1, max_size=3),
    st.sampled_from(PLATFORMS),
    st.just("oci"),
)


def _index(children, attested):
    # An index names each child once.
    distinct = list({child.digest: child for child in children}.values())
    return index(distinct, attestations="oci" if attested else None)


graphs = st.recursive(
    images, lambda below: st.builds(_index, st.lists(below, min_size=1, max_size=3), st.just(False)), max_leaves=4
)


@pytest.fixture(scope="module")
def made():
    with registry() as opened:
        yield opened


def everything(built):
    yield built
    for child in built.children:
        yield from everything(child)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(built=graphs, signed=st.lists(st.tuples(st.integers(0, 20), seeds), max_size=4), data=st.data())
def test_any_graph_arrives_whole_after_any_faults(made, built, signed, data):
    made.engine.reset()
    made.engine.before_call.clear()
    for name in (SOURCE, TARGET):
        made.gateway.create_repository(name)
    digest = push(built, made.client, SOURCE, "v1")
    subjects = list(everything(built))
    referrers = set()
    for number, seed in signed:
        other = artifact(subjects[number % len(subjects)], "x/sig", content=seed.encode())
        subjects.append(other)
        referrers.add(push(other, made.client, SOURCE))
    graph = read_graph(made.gateway, SOURCE, digest)
    seen = set()
    for piece in graph.pieces:  # nothing before what it names
        assert set(piece.children) <= seen
        seen.add(piece.digest)
    assert {p.digest for p in graph.pieces} == {s.digest for s in subjects}

    faults = data.draw(st.lists(st.integers(0, 40), max_size=2), label="calls that fail for good")
    for at in faults:
        left = [at]

        def fail(call, left=left):
            if call.params.get("repositoryName") != TARGET:
                return
            left[0] -= 1
            if left[0] == -1:
                raise ServiceFault("AccessDeniedException", "not now")

        made.engine.before_call.append(fail)
        try:
            made.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
        except errors.Denied:
            made.engine.before_call.clear()
            shown = made.engine.registry().repositories[TARGET].tag_to_digest.get("v1")
            assert shown is None or holes(made, TARGET, shown, referrers=len(referrers)) == []
        made.engine.before_call.clear()
    assert made.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1").digest == digest
    assert holes(made, TARGET, digest, referrers=len(referrers)) == []
    again = made.promotion.copy(f"{SOURCE}:v1", f"{TARGET}:v1")
    assert (again.status, again.bytes_moved, again.manifests) == ("present", 0, 0)


@given(asked=st.integers(1, 200 * MIB), size=st.none() | st.integers(0, 52_000 * MIB))
def test_parts_are_few_and_small_enough(asked, size):
    found = part_size(asked, size)
    assert 1 <= found <= LARGEST_PART
    assert size is None or -(-size // found) <= MOST_PARTS


@given(chunks=st.lists(st.binary(max_size=40)), size=st.integers(1, 50))
def test_parts_are_the_chunks(chunks, size):
    parts = list(_parts(iter(chunks), size))
    assert b"".join(parts) == b"".join(chunks)
    assert all(len(part) == size for part in parts[:-1]) and all(0 < len(part) <= size for part in parts)


@given(text=st.text(max_size=60) | st.from_regex(r"[a-z.:0-9/@]{0,40}", fullmatch=True))
def test_any_text_is_a_reference_or_an_invalid_one(text):
    try:
        found = UpstreamRef.parse(text)
    except errors.InvalidReference:
        return
    assert UpstreamRef.parse(str(found)) == found


@pytest.mark.parametrize("host", DOCKER_HUB_HOSTS)
def test_every_name_of_docker_hub_is_docker_hub(host):
    assert str(UpstreamRef.parse(f"{host}/node:20")) == "docker.io/library/node:20"
