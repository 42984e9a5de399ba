from __future__ import annotations

import datetime as dt

import attrs
import pytest

from ecrkit.errors import GateRefused, InvalidReference
from ecrkit.events import parse_event
from ecrkit.images.inventory import Inventory
from ecrkit.records import Image
from ecrkit.replication import (
    BackfillResult,
    Destination,
    ReplicationConfiguration,
    RepushPlan,
    drift,
    failover_check,
    lag_from_events,
    lag_from_images,
    likely_cause,
    move_to_region,
    regional,
)

HOME = Destination("us-east-1", "123456789012")
AWAY = Destination("eu-west-1", "123456789012")
START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NOW = START + dt.timedelta(days=10)
ONE, TWO, THREE = (f"sha256:{letter * 64}" for letter in "123")


def image(digest: str, *tags: str, at: dt.datetime = START, **more) -> Image:
    return Image(digest=digest, pushed_at=at, tags=tags, **more)


def report(here, there, **more):
    return drift({"app": here}, {"app": there}, source=HOME, destination=AWAY, now=NOW, **more)


def kinds(found) -> list[tuple[str, str | None]]:
    return [(d.kind, d.tag) for d in found.drifts]


class TestDrift:
    def test_equal(self):
        found = report([image(ONE, "v1")], [image(ONE, "v1")])
        assert (found.drifts, found.ok, found.images) == ((), True, 1)
        assert "no difference" in found.explain()

    def test_missing_once_for_each_tag(self):
        found = report([image(ONE, "v1", "latest"), image(TWO)], [])
        assert kinds(found) == [("missing", "v1"), ("missing", "latest"), ("missing", None)]
        assert not found.ok
        assert found.to_columns()["digest"] == [ONE, ONE, TWO]

    def test_what_was_pushed_lately_is_under_way(self):
        found = report([image(ONE, "v1", at=NOW - dt.timedelta(minutes=30))], [])
        assert (kinds(found), found.ok) == ([("under_way", "v1")], True)
        assert kinds(report([image(ONE, "v1", at=NOW - dt.timedelta(minutes=31))], [])) == [("missing", "v1")]

    def test_tags(self):
        found = report([image(ONE, "v1"), image(TWO, "v2", "v3")], [image(ONE, "v2"), image(TWO, "old")])
        assert set(kinds(found)) == {
            ("tag_missing", "v1"), ("tag_moved", "v2"), ("tag_missing", "v3"), ("tag_extra", "old"),
        }  # fmt: skip
        assert next(d for d in found.drifts if d.kind == "tag_moved").there == ONE

    def test_a_repository_that_is_not_there_is_empty(self):
        found = drift({"app": [image(ONE)]}, {}, source=HOME, destination=AWAY, now=NOW)
        assert kinds(found) == [("missing", None)]

    def test_extra_is_no_gap(self):
        found = report([], [image(ONE, "v1")])
        assert (kinds(found), found.ok) == ([("extra", None)], True)

    def test_archived(self):
        assert kinds(report([image(ONE)], [image(ONE, status="ARCHIVED")])) == [("archived", None)]
        assert kinds(report([image(ONE, status="ARCHIVED")], [])) == []

    def test_unread_is_a_gap(self):
        found = report([image(ONE)], None)
        assert (kinds(found), found.ok) == ([("unread", None)], False)

    def test_only_what_rules_send_there(self):
        rules = ReplicationConfiguration.to("eu-west-1", account=HOME.account, prefixes=["prod/"])
        found = drift(
            {"prod/app": [image(ONE)], "dev": [image(TWO)]}, {}, source=HOME, destination=AWAY, now=NOW,
            configuration=rules,
        )  # fmt: skip
        assert [d.repository for d in found.drifts] == ["prod/app"]
        assert found.unrouted == ("dev",)

    def test_since_leaves_out_what_is_older_than_the_rule(self):
        later = START + dt.timedelta(days=1)
        found = report([image(ONE, "old"), image(TWO, "new", at=later)], [image(ONE, "old")], since=later)
        assert kinds(found) == [("missing", "new")]


class TestRepush:
    """Without a backfill: copy what is missing, the tag last, as plain data."""

    def test_from_drift(self):
        found = report([image(ONE, "v1", "v2"), image(TWO)], [image(THREE, "v1")])
        plan = RepushPlan.from_drift(found)
        moved = report([image(ONE, "v1"), image(TWO, "v2")], [image(ONE, "v2"), image(TWO)])
        assert [(i.digest, i.tags, i.why) for i in RepushPlan.from_drift(moved).items] == [
            (ONE, ("v1",), "tag_missing"), (TWO, ("v2",), "tag_moved"),
        ]  # fmt: skip
        assert [(i.digest, i.tags) for i in plan.items] == [(ONE, ("v1", "v2")), (TWO, ())]
        host = "123456789012.dkr.ecr.{}.amazonaws.com/app"
        here, there = host.format("us-east-1"), host.format("eu-west-1")
        assert [(str(a), str(b)) for a, b in plan.pairs()] == [
            (f"{here}@{ONE}", f"{there}:v1"), (f"{here}@{ONE}", f"{there}:v2"), (f"{here}@{TWO}", f"{there}@{TWO}"),
        ]  # fmt: skip
        assert "2 images" in plan.explain()

    def test_from_failures_of_a_backfill(self):
        results = [
            BackfillResult(repository="app", digest=ONE, tag="v1", status="COMPLETE"),
            BackfillResult(repository="app", digest=TWO, tag="v2", status="FAILED", failure_code="KmsError"),
        ]
        plan = RepushPlan.from_results(results, source=HOME, destination=AWAY)
        assert [(i.digest, i.tags, i.why) for i in plan.items] == [(TWO, ("v2",), "KmsError")]


def event(kind: str, seconds: int, number: int, digest: str = ONE, tag: str | None = "v1", **more):
    """A push in the source at `seconds`, or an arrival or failure at the destination."""
    region = HOME.region if kind == "push" else more.pop("region", AWAY.region)
    detail = {"repository-name": "app", "image-digest": digest, "result": more.pop("result", "SUCCESS"),
              "action-type": "PUSH" if kind == "push" else "REPLICATE"}  # fmt: skip
    if tag:
        detail["image-tag"] = tag
    if kind != "push":
        detail |= {"source-account": HOME.account, "source-region": HOME.region}
    at = START + dt.timedelta(seconds=seconds)
    return parse_event(
        {
            "id": f"e{number}", "source": "aws.ecr", "account": HOME.account, "region": region,
            "detail-type": "ECR Image Action" if kind == "push" else "ECR Replication Action",
            "time": at.isoformat(), "resources": [], "detail": detail,
        }
    )  # fmt: skip


class TestLag:
    def test_pairs_by_digest_and_tag_in_any_order_and_with_duplicates(self):
        events = [
            event("push", 0, 1),
            event("push", 100, 2, TWO),
            event("arrival", 30, 3),
            event("arrival", 190, 4, TWO),
        ]
        found = lag_from_events([*reversed(events), events[2]], source=HOME).to(AWAY)
        assert (found.count, found.shortest, found.median, found.longest) == (2, 30.0, 30.0, 90.0)
        assert (found.failed, found.unmatched, found.no_arrival) == (0, 0, 0)

    def test_an_arrival_belongs_to_the_last_push_before_it(self):
        events = [event("push", 0, 1), event("arrival", 30, 2), event("push", 1000, 3), event("arrival", 1010, 4)]
        found = lag_from_events(events, source=HOME).to(AWAY)
        assert (found.count, found.shortest, found.longest) == (2, 10.0, 30.0)

    def test_failures_losses_and_strangers_are_counted_apart(self):
        events = [
            event("push", 0, 1), event("push", 0, 2, TWO), event("push", 0, 3, THREE),
            event("arrival", 5, 4, result="FAILED"), event("arrival", 7, 5, TWO, tag="other"),
        ]  # fmt: skip
        found = lag_from_events(events, source=HOME).to(AWAY)
        assert (found.count, found.median) == (0, None)
        assert (found.failed, found.unmatched, found.no_arrival) == (1, 1, 2)

    def test_within_the_same_second(self):
        found = lag_from_events([event("push", 0, 1), event("arrival", 0, 2)], source=HOME).to(AWAY)
        assert (found.count, found.longest, found.unmatched) == (1, 0.0, 0)

    def test_another_source_is_another_report(self):
        events = [event("push", 0, 1), event("arrival", 30, 2)]
        assert lag_from_events(events, source=AWAY).lags == ()

    def test_with_rules_a_silent_destination_is_listed(self):
        rules = ReplicationConfiguration.to("eu-west-1", "sa-east-1", account=HOME.account, prefixes=["app"])
        found = lag_from_events([event("push", 0, 1), event("arrival", 30, 2)], source=HOME, configuration=rules)
        silent = found.to(Destination("sa-east-1", HOME.account))
        assert (silent.count, silent.no_arrival) == (0, 1)
        assert "sa-east-1" in found.to_table()
        elsewhere = ReplicationConfiguration.to("sa-east-1", account=HOME.account, prefixes=["other"])
        assert lag_from_events([event("push", 0, 1)], source=HOME, configuration=elsewhere).lags[0].no_arrival == 0

    def test_ranks_are_values_that_were_measured(self):
        events = []
        for number in range(1, 21):
            digest = f"sha256:{number:064}"
            events += [event("push", 0, 2 * number, digest), event("arrival", number, 2 * number + 1, digest)]
        found = lag_from_events(events, source=HOME).to(AWAY)
        assert (found.median, found.p95, found.longest) == (10.0, 19.0, 20.0)

    def test_from_push_times(self):
        """containers-roadmap#1664: the same digest's imagePushedAt in both Regions."""
        here = {"app": [image(ONE), image(TWO), image(THREE)]}
        arrived = START + dt.timedelta(seconds=40)
        there = {AWAY: {"app": [image(ONE, at=arrived), image(TWO, at=START - dt.timedelta(days=1))]}}
        found = lag_from_images(here, there, source=HOME).to(AWAY)
        assert (found.count, found.median, found.unmatched, found.no_arrival) == (1, 40.0, 1, 1)


INDEX_TYPE = "application/vnd.oci.image.index.v1+json"


def check(references, here, there, **more):
    return failover_check(references, here, there, home=HOME, failover=AWAY, **more)


class TestFailover:
    """References in, gaps out; what is not known is a gap."""

    HERE = {"app": Inventory([image(ONE, "v1"), image(TWO, "v2")], repository="app")}

    @pytest.mark.parametrize(
        ("there", "state"),
        [
            ([image(ONE, "v1")], "ready"),
            ([], "missing"),
            ([image(TWO, "v1")], "missing"),
            ([image(ONE)], "tag_missing"),
            ([image(ONE), image(TWO, "v1")], "tag_moved"),
            ([image(ONE, "v1", status="ARCHIVED")], "archived"),
            (None, "unknown"),
        ],
    )
    def test_states(self, there, state):
        found = check(["app:v1"], self.HERE, {"app": there})
        assert found.entries[0].state == state
        assert found.ok == (state == "ready")

    def test_a_digest_needs_no_tag(self):
        assert check([f"app@{ONE}"], self.HERE, {"app": [image(ONE)]}).ok

    def test_children_of_an_index(self):
        index = image(THREE, "multi", manifest_media_type=INDEX_TYPE)
        whole = Inventory([index, image(ONE)], children={THREE: [ONE]}, repository="app")
        copy = image(THREE, "multi", manifest_media_type=INDEX_TYPE)
        assert check(["app:multi"], {"app": whole}, {"app": [copy, image(ONE)]}).ok
        assert check(["app:multi"], {"app": whole}, {"app": [copy]}).entries[0].state == "incomplete"
        opaque = Inventory([index, image(ONE)], repository="app")
        assert check(["app:multi"], {"app": opaque}, {"app": [copy, image(ONE)]}).entries[0].state == "unknown"

    def test_what_the_home_does_not_have_is_unknown(self):
        found = check(["app:v9", "other:v1"], self.HERE, {})
        assert [e.state for e in found.entries] == ["unknown", "unknown"]

    def test_each_side_is_gone_through_once_for_any_number_of_references(self):
        reads = []

        class Counted:
            status = "ACTIVE"

            def __init__(self, digest):
                self.digest = digest

            @property
            def tags(self):
                reads.append(self.digest)
                return (f"t-{self.digest[-4:]}",)

        digests = [f"sha256:{n:064x}" for n in range(30)]
        here = Inventory([image(d, f"t-{d[-4:]}") for d in digests], repository="app")
        found = check([f"app:t-{d[-4:]}" for d in digests], {"app": here}, {"app": [Counted(d) for d in digests]})
        assert found.ok
        assert len(reads) == len(digests)

    def test_elsewhere_and_unusable(self):
        names = [
            "public.ecr.aws/x/y:1", "docker.io/library/nginx:1", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:v1",
            "App:v1", "docker.io/Bad:x!",
        ]  # fmt: skip
        found = check(names, self.HERE, {})
        assert [e.state for e in found.entries] == ["elsewhere", "elsewhere", "elsewhere", "unusable", "unusable"]
        assert len(found.gaps) == 2
        assert [e.reference for e in found.elsewhere] == names[:3]
        assert f"elsewhere: {names[1]}" in found.explain()

    def test_nothing_is_no_proof(self):
        found = check([], {}, {})
        assert not found.ok
        with pytest.raises(GateRefused):
            found.require()

    def test_each_reference_once_with_its_target(self):
        full = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1"
        found = check([full, full, "app:v1"], self.HERE, {"app": [image(ONE, "v1")]})
        assert len(found.entries) == 2
        assert {e.target for e in found.entries} == {"123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:v1"}
        assert found.require() is found
        assert "2 of 2" in found.explain()
        assert "ready" in found.to_table()


class TestRegionalReferences:
    def test_account_and_form(self):
        dual = "123456789012.dkr-ecr.us-east-1.on.aws/app@" + ONE
        assert str(regional(dual, AWAY)) == "123456789012.dkr-ecr.eu-west-1.on.aws/app@" + ONE
        other = Destination("eu-west-1", "210987654321")
        assert str(regional("123456789012.dkr.ecr.us-east-1.amazonaws.com/a/b:v1", other)).startswith("210987654321.")
        for text in ("app:v1", "public.ecr.aws/a/b:1"):
            with pytest.raises(InvalidReference):
                regional(text, AWAY)

    def test_a_manifest_keeps_its_layout(self):
        text = (
            "# images of us-east-1\nimage:   123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1 # pinned\n"
            'x: "210987654321.dkr.ecr-fips.us-east-1.amazonaws.com/b@' + ONE + '"\r\n'
            "url: https://123456789012.dkr.ecr.us-east-1.amazonaws.com\n"
            "- nginx:us-east-1\n"
        )
        found = move_to_region(text, "us-west-2")
        assert [(m.line, m.before.split(".")[0]) for m in found.moved] == [
            (2, "123456789012"), (3, "210987654321"), (4, "123456789012"),
        ]  # fmt: skip
        back = move_to_region(found.text, "us-east-1")
        assert back.text == text
        assert move_to_region(text, "us-east-1").changed is False

    def test_limits(self):
        text = "123456789012.dkr.ecr.us-east-1.amazonaws.com/a 602401143452.dkr.ecr.us-east-1.amazonaws.com/eks/b"
        moved = move_to_region(text, "eu-west-1", accounts=["123456789012"])
        assert moved.text.endswith("602401143452.dkr.ecr.us-east-1.amazonaws.com/eks/b")
        assert move_to_region(text, "eu-west-1", regions=["us-west-2"]).text == text

    @pytest.mark.parametrize(
        "text",
        [
            "123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example/app",
            "0123456789012.dkr.ecr.us-east-1.amazonaws.com/app",
            "x.123456789012.dkr.ecr.us-east-1.amazonaws.com/app",
            "123456789012.dkr.ecr.cn-north-1.amazonaws.com/app",
        ],
    )
    def test_look_alikes_stay(self, text):
        assert move_to_region(text, "eu-west-1").text == text

    def test_another_partition_changes_the_suffix(self):
        text = "123456789012.dkr.ecr.us-east-1.amazonaws.com/app"
        assert move_to_region(text, "cn-north-1").text == "123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/app"


class TestLikelyCause:
    @pytest.mark.parametrize(
        ("code", "word"),
        [("AccessDenied", "registry policy"), ("KMS_ERROR", "key"), ("LimitExceeded", "quota"), ("X", "AWS does not say"),
         ("RegionNotOptedIn", "Region"), (None, "AWS does not say"), ("ImageNotFound", "deleted")],
    )  # fmt: skip
    def test_by_its_words(self, code, word):
        assert word in likely_cause(code)

    def test_another_account(self):
        assert "registry policy there" in likely_cause("X", other_account=True)


def test_records_are_frozen_and_json():
    found = report([image(ONE, "v1")], [])
    assert found.to_dict()["drifts"][0]["kind"] == "missing"
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        found.compared = 3
