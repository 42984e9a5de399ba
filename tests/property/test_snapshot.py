"""Snapshots of small hostile registries: nothing is lost in a file, and a difference leads from one to the other."""

from __future__ import annotations

import datetime as dt
import io

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.errors import InvalidInput
from ecrkit.records import ScanSummary
from ecrkit.snapshot import PARTS, Gap, NotRead, RepositorySnapshot, diff
from ecrkit.snapshot.files import Limits, LineReader, walk
from tests.support.snapshots import NOW, image, manifest, record, snapshot

RAWS = [manifest(str(n), *("abc"[: n % 4])) for n in range(6)]
TAGS = ("v1", "v2", "latest", "é\u2028", '"', "\ud800")
times = st.sampled_from([NOW, NOW - dt.timedelta(days=7)]) | st.datetimes(
    min_value=dt.datetime(1970, 1, 2), max_value=dt.datetime(9990, 1, 1), timezones=st.just(dt.UTC)
)
texts = st.none() | st.sampled_from(["{}", '{"rules": []}', "é\n"])
scans = st.none() | st.builds(
    ScanSummary,
    status=st.sampled_from([None, "COMPLETE", "FAILED"]),
    description=st.sampled_from([None, "x"]),
    completed_at=st.none() | times,
    counts=st.dictionaries(st.sampled_from(["HIGH", "LOW"]), st.integers(0, 9), max_size=2),
)


@st.composite
def entries(draw, name):
    read = set(draw(st.lists(st.sampled_from(PARTS), max_size=5))) | ({*PARTS} if draw(st.booleans()) else set())
    images, kept = [], []
    if "images" in read:
        tags = list(TAGS)
        for raw in draw(st.lists(st.sampled_from(RAWS), unique_by=lambda r: r.digest)):
            mine = tuple(tags.pop() for _ in range(draw(st.integers(0, min(2, len(tags))))))
            images.append(
                image(
                    raw, name, tags=mine, pushed_at=draw(times), status=draw(st.sampled_from(["ACTIVE", "ARCHIVED"])),
                    last_pulled_at=draw(st.none() | times), size=draw(st.none() | st.integers(0, 2**40)),
                    scan=draw(scans), subject_digest=draw(st.sampled_from([None, RAWS[0].digest])),
                )
            )  # fmt: skip
            if draw(st.booleans()):
                kept.append(raw)
    else:
        read.discard("manifests")
    missing = [part for part in PARTS if part not in read]
    return RepositorySnapshot(
        repository=attrs.evolve(record(name), scan_on_push=draw(st.booleans())),
        read_at=draw(times),
        read=read,
        tags=draw(st.dictionaries(st.sampled_from(["Team", "é"]), st.sampled_from(["a", ""])))
        if "tags" in read
        else {},
        lifecycle_policy=draw(texts) if "lifecycle_policy" in read else None,
        repository_policy=draw(texts) if "repository_policy" in read else None,
        images=images,
        manifests=kept,
        unread={i.digest: "ARCHIVED" for i in images if i.digest not in {raw.digest for raw in kept}},
        gaps=[Gap(what=part, repository=name, error="no", call="X") for part in missing if draw(st.booleans())],
    )


@st.composite
def snapshots(draw):
    names = draw(st.lists(st.sampled_from(["aa", "bb", "c/d"]), unique=True))
    made = draw(st.dictionaries(st.sampled_from(["registry_policy", "x"]), st.none() | st.sampled_from(["{}", 1])))
    return snapshot(*(draw(entries(name)) for name in names), settings=made, taken_at=draw(times), finished_at=NOW)


@given(snapshots())
def test_nothing_is_lost_in_a_file(tmp_path_factory, made):
    from ecrkit.snapshot import load, read_repositories

    path = made.save(tmp_path_factory.getbasetemp() / "snapshot")
    loaded = load(path)
    assert loaded == made and loaded.gaps == made.gaps
    assert list(read_repositories(path)) == list(made.entries())


@settings(max_examples=200)
@given(snapshots(), snapshots())
def test_a_difference_applied_to_the_first_gives_the_second(a, b):
    change = diff(a, b)
    made = change.apply(a)
    assert made == b and made.gaps == b.gaps and made.finished_at == b.finished_at
    assert change.to_dict() and change.to_columns() and change._repr_html_()


@given(snapshots())
def test_nothing_differs_from_itself(a):
    change = diff(a, a)
    assert not change and not change.settings and change.bytes_change.exact == 0
    assert change.uncompared == a.unread


@settings(max_examples=200)
@given(snapshots(), snapshots())
def test_what_a_difference_says_is_what_sets_say(a, b):
    change = diff(a, b)
    for name in {*a, *b}:
        one, two = a.get(name), b.get(name)
        if any(entry is not None and "images" not in entry.read for entry in (one, two)):
            assert "images" in change.uncompared[name]
            if name in change:
                try:
                    _ = change[name].deleted
                except NotRead:
                    continue
                raise AssertionError(name)
            continue
        before = set() if one is None else {i.digest for i in one.images}
        after = set() if two is None else {i.digest for i in two.images}
        if name not in change:
            assert before == after
            continue
        assert {i.digest for i in change[name].pushed} == after - before
        assert {i.digest for i in change[name].deleted} == before - after
        tags = {} if one is None else {t: i.digest for i in one.images for t in i.tags}
        now = {} if two is None else {t: i.digest for i in two.images for t in i.tags}
        moved = {t for t in tags.keys() & now.keys() if tags[t] != now[t]}
        given_or_taken = {t for t in now.keys() - tags.keys() if now[t] in before}
        given_or_taken |= {t for t in tags.keys() - now.keys() if tags[t] in after}
        assert {r.tag for r in change[name].retagged} == moved | given_or_taken


@given(st.binary(max_size=400))
def test_any_bytes_are_a_snapshot_or_an_input_error(data):
    for text in (data, b'{"format":"ecrkit-snapshot","version":1}\n' + data, b"\x1f\x8b" + data):
        try:
            list(walk(LineReader(io.BytesIO(text), "file", Limits())))
        except InvalidInput as fault:
            assert "line" in str(fault)  # noqa: PT017
