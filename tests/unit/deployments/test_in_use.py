"""The set of images that run: equal uses are one, ECR's are told from others, gaps are never silence."""

from __future__ import annotations

import datetime as dt
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecrkit.deployments import Gap, InUse, Use, Workload
from ecrkit.errors import InvalidInput, PlanRefused
from ecrkit.images import Inventory
from ecrkit.lifecycle import build, keep_last, simulate
from ecrkit.records import Image

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
API = Workload(platform="kubernetes", cluster="prod", namespace="pay", kind="Deployment", name="api", container="app")


def digest(n):
    return "sha256:" + f"{n:064x}"


def use(reference, workload=API, **more):
    return Use(reference=reference, workload=workload, **more)


def inventory(*tags, repository="team/app"):
    return Inventory(
        [
            Image(digest=digest(n), tags=(tag,) if tag else (), pushed_at=NOW - dt.timedelta(days=n))
            for n, tag in enumerate(tags)
        ],
        repository=repository,
    )


class TestWhatCountsAsEcr:
    """Only references with the host of a private registry name images of ECR."""

    @pytest.mark.parametrize(
        "reference",
        [
            "nginx",
            "team/app:v1",
            "public.ecr.aws/eks/coredns:v1",
            "ghcr.io/x/y:1",
            "",
            "not a reference!",
            "docker.io/library/node",
        ],
    )
    def test_others_are_elsewhere(self, reference):
        found = InUse([use(reference)])
        assert (found.repositories, len(found.elsewhere)) == ((), 1)

    def test_fips_and_dual_stack_hosts_are_ecr(self):
        hosts = ["123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "123456789012.dkr-ecr.us-east-1.on.aws"]
        assert InUse([use(f"{h}/team/app:v1") for h in hosts]).repositories == ("team/app",)


class TestResolving:
    """The digest that runs is in use, and so is what the named tag points at now: a restart pulls that."""

    def test_both(self):
        one = use(f"{HOST}/team/app:v1", digest=digest(2))
        found = InUse([one]).in_inventory(inventory("new", "v1", "old"))
        assert found.by_digest == {digest(2): (one,), digest(1): (one,)}
        assert found.digests == (digest(1), digest(2))
        assert found.unresolved == ()

    def test_a_tag_beside_a_digest_is_a_remark(self):
        found = InUse([use(f"{HOST}/team/app:v1@{digest(2)}")]).in_inventory(inventory("new", "v1", "old"))
        assert found.digests == (digest(2),)

    def test_no_tag_is_latest(self):
        assert InUse([use(f"{HOST}/team/app")]).in_inventory(inventory("a", "latest")).digests == (digest(1),)

    def test_what_is_not_there_is_unresolved(self):
        missing = use(f"{HOST}/team/app:gone")
        moved = use(f"{HOST}/team/app:v1", digest=digest(9))
        found = InUse([missing, moved]).in_inventory(inventory("v1"))
        assert found.unresolved == (missing, moved)
        assert found.by_digest == {digest(0): (moved,)}

    def test_an_inventory_must_say_whose_it_is(self):
        with pytest.raises(InvalidInput, match="names no repository"):
            InUse([]).in_inventory(inventory("v1", repository=""))

    def test_account_and_region(self):
        elsewhere = use(HOST.replace("us-east-1", "eu-west-1") + "/team/app:v1")
        other = use(HOST.replace("1234", "9999") + "/team/app:v1")
        found = InUse([elsewhere, other, use(f"{HOST}/team/app:v1")])
        assert len(found.of("team/app")) == 3
        assert found.of("team/app", region="eu-west-1") == (elsewhere,)
        assert found.of("team/app", account="999956789012") == (other,)
        assert found.of("team/app", account="123456789012", region="us-east-1") == (found.uses[2],)
        assert found.of("team/other") == ()


class TestLifecyclePlans:
    """What `protect` returns is what a plan takes."""

    def test_a_plan_that_would_remove_a_running_image_is_refused(self):
        images = inventory("v3", "v2", "v1")
        run = simulate(build(keep_last(1)), images, now=NOW)
        running = InUse([use(f"{HOST}/team/app:v2"), use("nginx:1"), use(f"{HOST}/other/app:v9")])
        with pytest.raises(PlanRefused, match="v2"):
            run.plan(protect=running.protect("team/app"))
        assert run.plan(protect=InUse([use("nginx:1")]).protect("team/app")).actions


class TestASet:
    def test_equal_uses_are_one(self):
        assert len(InUse([use("a"), use("a"), use("b")])) == 2

    def test_union_keeps_gaps(self):
        both = InUse([use("a")]) | InUse([use("a"), use("b")], gaps=[Gap(where="x", why="denied")])
        assert (len(both), both.complete) == (2, False)
        assert repr(both) == "<InUse: 2 uses of 0 repositories, 1 gap>"
        assert str(both.gaps[0]) == "x: denied"

    def test_it_is_hashable_and_pickles(self):
        one = InUse([use("a", since=NOW)], gaps=[Gap(where="x", why="y")])
        assert pickle.loads(pickle.dumps(one)) == one
        assert hash(one) == hash(InUse([use("a", since=NOW)], gaps=[Gap(where="x", why="y")]))

    def test_columns_and_frames(self):
        one = InUse([use(f"{HOST}/team/app:v1", digest=digest(1), since=NOW)])
        assert one.to_columns()["namespace"] == ["pay"]
        assert one.to_pandas()["digest"].tolist() == [digest(1)]
        assert "prod/pay Deployment api" in one._repr_html_()

    def test_markup_in_names_is_escaped(self):
        assert "<script>" not in InUse([use("<script>")])._repr_html_()


texts = st.text(max_size=12)
workloads = st.builds(Workload, platform=texts, kind=texts, name=texts, cluster=texts, namespace=texts, container=texts)
uses = st.builds(
    Use,
    reference=texts,
    workload=workloads,
    digest=st.none() | st.integers(0, 99).map(digest),
    since=st.none() | st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC)),
    source=texts,
)


class TestSaved:
    @given(st.lists(uses, max_size=4), st.lists(st.builds(Gap, where=texts, why=texts), max_size=2))
    def test_round_trip(self, listed, gaps):
        one = InUse(listed, gaps=gaps)
        assert InUse.from_dict(one.to_json()) == one
        assert InUse.from_dict(one.to_dict()) == one

    @pytest.mark.parametrize(
        ("document", "paths"),
        [
            ("{", ["$"]),
            ("[]", ["$"]),
            ({}, ["$.uses", "$.gaps", "$.format"]),
            ({"format": 2, "uses": [], "gaps": []}, ["$.format"]),
            ({"format": 1, "uses": [3], "gaps": [{}]}, ["$.uses[0]", "$.gaps[0].where", "$.gaps[0].why"]),
            (
                {
                    "format": 1,
                    "gaps": [],
                    "uses": [{"reference": "a", "digest": "x", "workload": {"platform": "p", "kind": "k"}}],
                },
                ["$.uses[0].workload.name", "$.uses[0]"],
            ),
            (
                {
                    "format": 1,
                    "gaps": [],
                    "uses": [
                        {"reference": 1, "since": "yesterday", "workload": {"platform": "p", "kind": "k", "name": "n"}}
                    ],
                },
                ["$.uses[0].reference", "$.uses[0]"],
            ),
        ],
    )
    def test_what_is_no_saved_set(self, document, paths):
        with pytest.raises(InvalidInput) as caught:
            InUse.from_dict(document)
        assert [p.path for p in caught.value.problems] == paths
