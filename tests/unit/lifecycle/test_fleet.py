"""Policies over many repositories: numbers that equal those of single runs, states of live policies, gaps, groups."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import pytest

from ecrkit.deployments import InUse, Use, Workload
from ecrkit.images import ByteRange, Inventory
from ecrkit.lifecycle import (
    Assignment,
    FleetItem,
    LifecyclePolicyError,
    RepositoryRun,
    archive_unpulled,
    build,
    expire_untagged,
    fleet_run,
    keep_last,
    simulate,
)
from ecrkit.records import Image, Repository
from ecrkit.snapshot.contents import RepositorySnapshot

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
KEEP_TWO, KEEP_ONE, UNTAGGED = build(keep_last(2)), build(keep_last(1)), build(expire_untagged(after_days=3))


def digest(n):
    return "sha256:" + f"{n:064x}"


def inventory(count, name="", **more):
    images = [
        Image(digest=digest(n), tags=(f"v{n}",), pushed_at=NOW - dt.timedelta(days=n), size=10) for n in range(count)
    ]
    return Inventory(images, repository=name, **more)


def item(name, count=3, live=None, **more):
    return FleetItem(repository=name, inventory=inventory(count, name), live_policy=live, **more)


def some(start, stop):
    """A loader as another process calls it."""
    return [item(f"team/app{n}", n % 7) for n in range(start, stop)]


class TestNumbers:
    def test_they_are_those_of_single_runs(self):
        items = [item(f"app{n}", n) for n in range(12)]
        found = fleet_run(KEEP_TWO, items, now=NOW)
        for one, row in zip(items, found.rows, strict=True):
            run = simulate(KEEP_TWO, one.inventory, now=NOW)
            assert (row.images, row.expired, row.freed, row.certain) == (
                len(run.images), len(run.expired), run.freed, run.certain,
            )  # fmt: skip
        assert found.expired == sum(max(0, n - 2) for n in range(12))
        assert found.images == sum(range(12))
        assert found.freed == ByteRange(0, 10 * found.expired, found.freed.reasons)
        assert found.certain

    def test_the_repositories_that_free_most(self):
        found = fleet_run(KEEP_ONE, [item("small", 2), item("large", 9), item("b", 5), item("a", 5)], now=NOW)
        assert [row.repository for row in found.top(3)] == ["large", "a", "b"]

    def test_images_in_use_that_would_go(self):
        uses = InUse([
            Use(reference="123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v2",
                workload=Workload(platform="ecs", kind="Service", name="x"))
        ])  # fmt: skip
        found = fleet_run(
            KEEP_ONE, [FleetItem(repository="app", inventory=inventory(3)), item("other")], now=NOW, in_use=uses
        )
        assert [row.endangered for row in found.rows] == [1, 0]


class TestWhichPolicy:
    def test_the_first_pattern_then_tags_then_the_default(self):
        wanted = Assignment(
            default=KEEP_TWO.to_json(),
            patterns=[("sandbox/*", KEEP_ONE), ("sandbox/x", None), ("legal/*", None)],
            tags=[({"Team": "pay", "Env": "dev"}, UNTAGGED)],
        )
        dev = {"Team": "pay", "Env": "dev", "x": "y"}
        assert wanted.policy_for("sandbox/x") == KEEP_ONE
        assert wanted.policy_for("legal/app", dev) is None
        assert wanted.policy_for("app", dev) == UNTAGGED
        assert wanted.policy_for("app", {"Team": "pay"}) == KEEP_TWO

    def test_none_runs_the_live_policy_of_each(self):
        found = fleet_run(
            None, [item("a", live=KEEP_ONE.to_json()), item("b", live=KEEP_TWO.to_json()), item("c")], now=NOW
        )
        assert [row.expired for row in found.rows] == [2, 1, 0]
        assert found.without_policy == ("c",)

    def test_a_faulty_policy_is_refused_before_anything_runs(self):
        with pytest.raises(LifecyclePolicyError):
            fleet_run("{}", iter(()), now=NOW)
        with pytest.raises(LifecyclePolicyError):
            Assignment(patterns=[("*", {"rules": []})])


class TestLivePolicies:
    """What the live policy is, and whether it is the one that is wanted."""

    @pytest.mark.parametrize(
        ("one", "live", "drift"),
        [
            (item("a"), "none", "missing"),
            (item("a", live=KEEP_TWO.to_json()), "works", "same"),
            (item("a", live=KEEP_TWO.to_json().replace('"rules"', ' "rules" ')), "works", "same"),
            (item("a", live=KEEP_ONE.to_json()), "works", "differs"),
            (item("a", live=UNTAGGED.to_json()), "idle", "differs"),
            (item("a", 0, live=UNTAGGED.to_json()), "works", "differs"),
            (item("a", live="{}"), "broken", "differs"),
            (item("a", policy_known=False), "unknown", "unknown"),
        ],
    )
    def test_states(self, one, live, drift):
        found = fleet_run(KEEP_TWO, [one], now=NOW)
        [row] = found.rows
        assert (row.live, row.drift, row.gap) == (live, drift, "")
        assert bool(found.drifted) == (drift != "same")
        assert (found.idle == ("a",)) == (live == "idle")
        assert (found.broken == ("a",)) == (live == "broken")

    def test_a_policy_where_none_is_wanted(self):
        wanted = Assignment()
        rows = fleet_run(wanted, [item("a", live=KEEP_ONE.to_json()), item("b"), item("c", live="{}")], now=NOW).rows
        assert [row.drift for row in rows] == ["unwanted", "same", "unwanted"]
        assert [row.expired for row in rows] == [0, 0, 0]

    @pytest.mark.parametrize(
        ("one", "told"),
        [(item("a", live="{}"), "none that ecrkit knows"), (item("a", policy_known=False), "could not be read")],
    )
    def test_what_the_live_policy_does_is_unknown_without_it(self, one, told):
        [row] = fleet_run(None, [one], now=NOW).rows
        assert told in row.gap
        assert not row.certain


class TestGaps:
    @pytest.mark.parametrize(
        ("more", "live"),
        [
            ({}, "none"), ({"live_policy": KEEP_ONE.to_json()}, "unknown"), ({"live_policy": "{}"}, "broken"),
            ({"policy_known": False}, "unknown"),
        ],
    )  # fmt: skip
    def test_a_repository_that_could_not_be_read(self, more, live):
        found = fleet_run(KEEP_ONE, [FleetItem(repository="dark", inventory=None, **more), item("a")], now=NOW)
        row = found.rows[0]
        assert (row.gap, row.images, row.certain, row.live) == ("its images could not be read", 0, False, live)
        assert [gap.repository for gap in found.gaps] == ["dark"]
        assert not found.certain
        assert "1 repository not looked at: dark" in found.to_text()


class TestSnapshots:
    """The repositories of a snapshot, as it holds them; what it did not read is not known."""

    @pytest.mark.parametrize(
        ("read", "gap", "live"),
        [
            ({"images", "tags", "lifecycle_policy"}, "", "works"), ({"images", "tags"}, "", "unknown"),
            ({"tags", "lifecycle_policy"}, "its images could not be read", "unknown"),
            ({"images", "lifecycle_policy"}, "its resource tags could not be read", "unknown"),
        ],
    )  # fmt: skip
    def test_entries_serve_as_items(self, read, gap, live):
        repository = Repository(
            name="app", arn="arn:aws:ecr:us-east-1:123456789012:repository/app", registry_id="123456789012",
            uri="", created_at=NOW,
        )  # fmt: skip
        entry = RepositorySnapshot(
            repository=repository, read_at=NOW, read=read, tags={"Team": "x"}, lifecycle_policy=KEEP_TWO.to_json(),
            images=inventory(3).images,
        )  # fmt: skip
        wanted = Assignment(default=KEEP_TWO, tags=[({"Team": "y"}, KEEP_ONE)])
        for items in ([entry], [lambda: [entry]]):
            [row] = fleet_run(wanted, items, now=NOW, group="Team").rows
            assert (row.gap, row.live) == (gap, live)
            assert row.expired == (0 if gap else 1)
            assert row.group == ("x" if "tags" in read else "(not known)")


class TestGroups:
    def test_by_resource_tag(self):
        items = [
            item("a", 5, tags={"Team": "x"}),
            item("b", 3, tags={"Team": "x"}),
            item("c", 9),
            item("d", 2, tags={"Team": "y"}),
        ]
        found = fleet_run(KEEP_ONE, items, now=NOW, group="Team").groups()
        assert [(g.group, g.repositories, g.images, g.expired) for g in found] == [
            ("", 1, 9, 8),
            ("x", 2, 8, 6),
            ("y", 1, 2, 1),
        ]
        assert sum(g.freed.high for g in found) == 10 * 15

    def test_referrers_that_follow_count_and_so_do_missing_policies(self):
        signed = [*inventory(3).images, Image(digest=digest(50), pushed_at=NOW, subject_digest=digest(2))]
        items = [
            FleetItem(repository="a", inventory=Inventory(signed), tags={"Team": "x"}),
            item("b", live=KEEP_ONE.to_json(), tags={"Team": "x"}), FleetItem(repository="c", inventory=None, tags={"Team": "x"}),
        ]  # fmt: skip
        policy = build(keep_last(1, prefixes="v"))
        [total] = fleet_run(policy, items, now=NOW, group="Team").groups()
        assert (total.expired, total.without_policy, total.gaps, total.transitioned) == (2 + 1 + 2, 2, 1, 0)
        assert fleet_run(policy, items, now=NOW).expired == 5

    def test_archived_images_are_added_up(self):
        old = Inventory(
            [Image(digest=digest(n), pushed_at=NOW - dt.timedelta(days=30), tags=(f"v{n}",)) for n in range(3)]
        )
        [total] = fleet_run(build(archive_unpulled(9)), [FleetItem(repository="a", inventory=old)], now=NOW).groups()
        assert (total.transitioned, total.expired) == (3, 0)

    def test_a_row_starts_from_nothing(self):
        row = RepositoryRun(repository="a")
        assert (row.images, row.expired, row.transitioned, row.cascaded, row.blocked, row.endangered) == (0,) * 6
        assert (row.certain, row.live, row.drift) == (False, "unknown", "unknown")
        assert (
            FleetItem(repository="a", inventory=None).policy_known,
            FleetItem(repository="a", inventory=None).tags_known,
        ) == (True, True)
        assert len(fleet_run(KEEP_ONE, [item(f"r{n}") for n in range(12)], now=NOW).top()) == 10

    def test_by_a_function(self):
        items = [item("pay/a"), item("pay/b"), item("web/a")]
        found = fleet_run(KEEP_ONE, items, now=NOW, group=lambda name, tags: name.partition("/")[0])
        assert {g.group: g.repositories for g in found.groups()} == {"pay": 2, "web": 1}


class TestExecutors:
    """The same rows in the same order, wherever the work is done."""

    def test_threads_and_processes(self):
        items = some(0, 100)
        alone = fleet_run(KEEP_TWO, items, now=NOW, group="Team")
        for kind in (ThreadPoolExecutor, ProcessPoolExecutor):
            with kind(2) as pool:
                assert fleet_run(KEEP_TWO, items, now=NOW, group="Team", executor=pool).rows == alone.rows

    def test_loaders_are_called_where_the_work_is_done(self):
        mixed = [item("first"), *[partial(some, n, n + 10) for n in range(0, 100, 10)], item("last")]
        alone = fleet_run(KEEP_TWO, mixed, now=NOW)
        assert [row.repository for row in alone.rows] == ["first", *(f"team/app{n}" for n in range(100)), "last"]
        with ProcessPoolExecutor(2) as pool:
            assert fleet_run(KEEP_TWO, iter(mixed), now=NOW, executor=pool).rows == alone.rows

    def test_progress(self):
        seen = []
        fleet_run(KEEP_TWO, some(0, 70), now=NOW, on_progress=lambda p: seen.append((p.done, p.what)))
        assert seen == [(32, "repositories"), (64, "repositories"), (70, "repositories")]


def test_what_people_and_programs_get():
    found = fleet_run(KEEP_ONE, [item("a", 4), item("b", 2, live=UNTAGGED.to_json())], now=NOW)
    assert repr(found) == (
        "<FleetRun of 2 repositories: 4 of 6 images expire, 0 B to 40 B freed, 1 without a policy, 0 not looked at>"
    )
    assert found.to_columns()["freed_high"] == [30, 10]
    assert found.to_pandas()["repository"].tolist() == ["a", "b"]
    assert found.to_dict()["repositories"][0]["live"] == "none"
    assert "1 repository with a policy that selects nothing: b" in found.to_text()
    assert "<table>" in found._repr_html_()
