"""When images go if nobody pushes: against running the policy day by day, and against the embedded ECR doing it."""

from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit import Registry
from ecrkit.errors import InvalidInput
from ecrkit.images import Inventory
from ecrkit.lifecycle import (
    archive_unpulled,
    build,
    delete_archived,
    expire_older_than,
    expire_untagged,
    keep_last,
    protect,
    simulate,
    timeline,
)
from ecrkit.local import images as local_images
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
POLICIES = [
    build(expire_untagged(after_days=3)),
    build(keep_last(2, prefixes=["v"]), expire_older_than(9)),
    build(
        protect(prefixes="prod"), archive_unpulled(4), delete_archived(after_days=90), expire_untagged(after_days=12)
    ),
    build(archive_unpulled(1, prefixes="dev"), delete_archived(after_days=91)),
]


def digest(n):
    return "sha256:" + f"{n:064x}"


def day_by_day(policy, inventory, until):
    """The obvious way: run every day, take what the run takes."""
    gone, at, left = [], NOW, {i.digest: i for i in inventory}
    children = dict(inventory.children)
    while at <= until:
        run = simulate(policy, Inventory(left.values(), children=children), now=at)
        following = {d: run.outcome(d).action for d in run.cascaded}
        for d in run.expired + tuple(x for x, a in following.items() if a == "expire"):
            gone.append((at, "expire", d))
            del left[d]
            children.pop(d, None)
        for d in run.transitioned + tuple(x for x, a in following.items() if a == "transition"):
            gone.append((at, "transition", d))
            old = left[d]
            left[d] = Image(
                digest=d, tags=old.tags, pushed_at=old.pushed_at, last_pulled_at=old.last_pulled_at,
                subject_digest=old.subject_digest, status="ARCHIVED", last_archived_at=at,
                manifest_media_type=old.manifest_media_type,
            )  # fmt: skip
        at += DAY
    return sorted(gone)


@st.composite
def inventories(draw):
    count = draw(st.integers(0, 12))
    images, children = [], {}
    for n in range(count):
        hours = draw(st.integers(0, 40 * 24))
        pulled = draw(st.none() | st.integers(0, hours))
        subject = draw(st.sampled_from([None, None, None, digest(max(0, n - 1))])) if n else None
        is_index = n >= 2 and draw(st.integers(0, 4)) == 0
        if is_index:
            children[digest(n)] = tuple(digest(c) for c in draw(st.sets(st.integers(0, n - 1), max_size=2)))
        images.append(
            Image(
                digest=digest(n),
                tags=tuple(f"{p}{n}" for p in draw(st.sets(st.sampled_from(["v", "dev", "prod"]), max_size=2))),
                pushed_at=NOW - dt.timedelta(hours=hours),
                last_pulled_at=None if pulled is None else NOW - dt.timedelta(hours=pulled),
                subject_digest=subject,
                manifest_media_type="application/vnd.oci.image.index.v1+json" if is_index else None,
            )
        )
    return Inventory(images, children=children)


@settings(max_examples=120, deadline=None)
@given(inventories(), st.sampled_from(POLICIES), st.integers(0, 130))
def test_it_agrees_with_running_the_policy_every_day(inventory, policy, days):
    until = NOW + dt.timedelta(days=days)
    found = timeline(policy, inventory, now=NOW, until=until)
    assert sorted((d.at, d.action, d.digest) for d in found.departures) == day_by_day(policy, inventory, until)
    assert {i.digest for i in found.remaining} == {i.digest for i in inventory} - set(found.expired)
    assert found.at(until).images == found.remaining.images


def test_an_image_right_at_its_limit_goes_with_the_next_run():
    inventory = Inventory([Image(digest=digest(1), pushed_at=NOW - 3 * DAY)])
    found = timeline(POLICIES[0], inventory, now=NOW, until=NOW + 5 * DAY)
    assert found.expired == {digest(1): NOW + DAY}


def test_what_is_archived_expires_ninety_days_later():
    inventory = Inventory([Image(digest=digest(1), tags=("dev-1",), pushed_at=NOW)])
    found = timeline(POLICIES[3], inventory, now=NOW, until=NOW + dt.timedelta(days=120))
    assert found.archived == {digest(1): NOW + 2 * DAY}
    assert found.expired == {digest(1): NOW + 94 * DAY}
    assert found.by_day() == {(NOW + 94 * DAY).date(): 1}
    assert found.at(NOW + 50 * DAY)[digest(1)].status == "ARCHIVED"


def test_the_runs_are_few_when_nothing_falls_due(monkeypatch):
    from ecrkit.lifecycle import timeline as function

    calls = []
    spy = function.__globals__["simulate"]
    monkeypatch.setitem(function.__globals__, "simulate", lambda *a, **k: calls.append(k["now"]) or spy(*a, **k))
    inventory = Inventory([Image(digest=digest(1), pushed_at=NOW)])
    timeline(build(expire_older_than(300)), inventory, now=NOW, until=NOW + dt.timedelta(days=3000))
    assert len(calls) == 3  # now, the day it goes, and the day after


def test_the_embedded_ecr_takes_the_same_images_on_the_same_days():
    policy = build(keep_last(2, prefixes=["v"]), expire_untagged(after_days=5), expire_older_than(20, prefixes="dev"))
    with Registry.local() as registry:
        registry.gateway.create_repository("app")
        layer = local_images.layer({"a": "b"})
        for n in range(8):
            tag = f"v{n}" if n % 2 else f"dev{n}"
            local_images.image([layer], labels={"n": str(n)}).push(registry.client, "app", tag=None if n == 4 else tag)
            registry.engine.advance(dt.timedelta(hours=30))
        registry.gateway.put_lifecycle_policy("app", policy.to_json())
        first = registry.clock.now() + registry.engine.timings.lifecycle_after
        found = timeline(policy, registry.inventory("app"), now=first, until=first + 40 * DAY)
        seen = {i.digest for i in registry.images("app")}
        went = {}
        for _ in range(42):
            registry.engine.advance(DAY)
            now_there = {i.digest for i in registry.images("app")}
            went |= {d: registry.clock.now() for d in seen - now_there}
            seen = now_there
    assert went.keys() == found.expired.keys()
    assert len(went) >= 4
    for image, when in found.expired.items():
        assert when <= went[image] < when + DAY


@pytest.mark.parametrize(
    "policy", POLICIES, ids=["untagged", "count and age", "protect and archive", "archive and delete"]
)
def test_half_a_year_on_the_embedded_ecr(policy):
    """Day by day for 200 days: the engine expires and archives what the timeline says, on the day it says."""
    day = dt.timedelta(days=1)
    with Registry.local() as registry:
        registry.gateway.create_repository("app")
        layer = local_images.layer({"a": "b"})
        children = [local_images.image([layer], platform=f"linux/{p}") for p in ("amd64", "arm64")]
        multi = local_images.index(children)
        multi.push(registry.client, "app", tag="v-multi")
        for n in range(12):
            tag = (f"v{n}", f"dev{n}", f"prod{n}", None)[n % 4]
            local_images.image([layer], labels={"n": str(n)}).push(registry.client, "app", tag=tag)
            registry.engine.advance(dt.timedelta(hours=31))
        registry.gateway.put_lifecycle_policy("app", policy.to_json())
        first = registry.clock.now() + registry.engine.timings.lifecycle_after
        # Reading the index's manifest would be a pull of it, and the images were listed before that.
        held = {multi.digest: [child.digest for child in children]}
        inventory = Inventory(registry.images("app").all(), children=held)
        found = timeline(policy, inventory, now=first, until=first + 200 * DAY)
        states = {}
        for _ in range(201):
            registry.engine.advance(day)
            states[registry.clock.now()] = {i.digest: i.status for i in registry.images("app")}
    assert found.departures
    for at, seen in states.items():
        if at - dt.timedelta(days=2) < first:
            continue
        # Each run is up to a day behind or ahead of the instant at which the engine is looked at.
        for image in found.start:
            gone, archived = found.expired.get(image.digest), found.archived.get(image.digest)
            if gone is not None and gone + day <= at:
                assert image.digest not in seen
            elif gone is None or at < gone - day:
                assert image.digest in seen
                if archived is not None and archived + day <= at:
                    assert seen[image.digest] == "ARCHIVED"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"until": NOW - DAY}, "before now"),
        ({"until": NOW + DAY, "every": dt.timedelta(0)}, "must be positive"),
        ({"until": NOW + DAY, "every": dt.timedelta(microseconds=1)}, "at most 40000 runs"),
    ],
)
def test_arguments_that_make_no_timeline(options, message):
    with pytest.raises(InvalidInput, match=message):
        timeline(POLICIES[0], Inventory([]), now=NOW, **options)


def test_a_time_beyond_the_timeline_is_refused():
    found = timeline(POLICIES[0], Inventory([]), now=NOW, until=NOW + DAY)
    with pytest.raises(InvalidInput, match="must lie between"):
        found.at(NOW + 2 * DAY)


def test_what_people_and_programs_get():
    inventory = Inventory([Image(digest=digest(n), pushed_at=NOW - n * DAY, size=10) for n in range(4)], repository="a")
    found = timeline(POLICIES[0], inventory, now=NOW, until=NOW + 2 * DAY)
    assert repr(found) == "<Timeline of a: 2 of 4 images expire and 0 are archived until 2026-11-27T12:00:00Z>"
    assert found.to_text(limit=1).splitlines()[-1] == "and 1 more"
    assert found.to_columns()["digest"] == [d.digest for d in found.departures]
    assert found.to_dict()["departures"][0]["action"] == "expire"
    assert next(n for _, n, _ in found.stored()) == 4
    assert "<table>" in found._repr_html_()


def test_an_unread_index_makes_it_uncertain():
    index = Image(
        digest=digest(9), tags=("v9",), pushed_at=NOW, manifest_media_type="application/vnd.oci.image.index.v1+json"
    )
    inventory = Inventory([index, Image(digest=digest(1), pushed_at=NOW - 9 * DAY)])
    found = timeline(POLICIES[0], inventory, now=NOW, until=NOW + DAY)
    assert not found.certain
    assert "unknown children" in found.warnings[0]
    assert not found.departures[0].certain
