from __future__ import annotations

import datetime as dt
import json
import pickle

import attrs
import pytest

from ecrkit.errors import InvalidInput
from ecrkit.events import (
    ImageAction,
    ImageScan,
    PullThroughCacheAction,
    ReferrerAction,
    ReplicationAction,
    ScanResourceChange,
    UnknownEvent,
    dedupe,
    in_order,
    parse_event,
    read_events,
)
from ecrkit.local.images import artifact
from tests.support.replication import AWAY, HOME, OWN, World, app, rule, two_platforms
from tests.support.samples import sample_text

DIGEST = "sha256:" + "a" * 64


def raw(kind: str = "ECR Image Action", source: str = "aws.ecr", **detail) -> dict:
    given = {"result": "SUCCESS", "repository-name": "team/app", "image-digest": DIGEST, "action-type": "PUSH"}
    return {
        "version": "0", "id": "e1", "detail-type": kind, "source": source, "account": OWN, "region": AWAY,
        "time": "2026-11-25T12:00:00Z", "resources": [], "detail": {**given, **detail},
    }  # fmt: skip


class TestDetailTypes:
    """Each documented detail type becomes a record of its own (ECR user guide, events and EventBridge)."""

    def test_push(self):
        event = parse_event(raw(**{"image-tag": "v1"}))
        assert isinstance(event, ImageAction)
        assert (event.event_id, event.account, event.region) == ("e1", OWN, AWAY)
        assert event.at == dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
        assert (event.repository, event.digest, event.action, event.tag) == ("team/app", DIGEST, "PUSH", "v1")
        assert event.succeeded

    def test_a_push_by_digest_has_no_tag(self):
        assert parse_event(raw()).tag is None
        assert parse_event(raw(**{"image-tag": ""})).tag is None

    def test_storage_class(self):
        event = parse_event(
            raw(**{
                "action-type": "UPDATE_STORAGE_CLASS", "target-storage-class": "STANDARD",
                "last-activated-at": "2025-10-10T19:13:02.74Z",
            })
        )  # fmt: skip
        assert event.target_storage_class == "STANDARD"
        assert event.last_activated_at == dt.datetime(2025, 10, 10, 19, 13, 2, 740000, tzinfo=dt.UTC)

    def test_referrer(self):
        assert isinstance(parse_event(raw("ECR Referrer Action")), ReferrerAction)
        assert type(parse_event(raw())) is ImageAction

    def test_replication(self):
        event = parse_event(
            raw("ECR Replication Action", result="FAILED", **{"source-account": OWN, "source-region": HOME})
        )
        assert isinstance(event, ReplicationAction)
        assert (event.region, event.source_region, event.succeeded) == (AWAY, HOME, False)

    def test_pull_through_cache(self):
        event = parse_event(
            raw("ECR Pull Through Cache Action", **{
                "sync-status": "FAILED", "failure-code": "AUTH", "failure-reason": "no", "rule-version": "1",
                "ecr-repository-prefix": "docker-hub", "upstream-registry-url": "registry-1.docker.io",
            })
        )  # fmt: skip
        assert isinstance(event, PullThroughCacheAction)
        assert (event.prefix, event.failure_code, event.succeeded) == ("docker-hub", "AUTH", False)

    def test_scan(self):
        event = parse_event(
            raw("ECR Image Scan", **{
                "scan-status": "COMPLETE", "finding-severity-counts": {"HIGH": 2}, "image-tags": ["v1", "v2"],
            })
        )  # fmt: skip
        assert isinstance(event, ImageScan)
        assert (event.tags, event.counts) == (("v1", "v2"), {"HIGH": 2})

    def test_another_type_is_unknown_and_kept_whole(self):
        sent = raw("ECR Something New", "aws.ecr")
        event = parse_event(sent)
        assert isinstance(event, UnknownEvent)
        assert (event.detail_type, event.raw) == ("ECR Something New", sent)
        assert isinstance(parse_event(raw("ECR Image Action", "aws.other")), UnknownEvent)

    def test_unknown_members_are_kept(self):
        event = parse_event(raw(**{"new-member": 1}))
        assert event.raw["detail"]["new-member"] == 1

    def test_what_aws_shows(self):
        """The examples of the ECR user guide; one names the 29th of February 2023."""
        kinds = {
            "event_image_archive.json": ImageAction, "event_image_delete.json": ImageAction,
            "event_image_push.json": ImageAction, "event_referrer_restore.json": ReferrerAction,
            "event_replication_failed.json": ReplicationAction, "event_replication_success.json": ReplicationAction,
        }  # fmt: skip
        for name, kind in kinds.items():
            assert type(parse_event(sample_text("operations", name))) is kind
        with pytest.raises(InvalidInput) as caught:
            parse_event(sample_text("operations", "event_pull_through.json"))
        assert [p.path for p in caught.value.problems] == ["$.time"]
        moved = sample_text("operations", "event_pull_through.json").replace("2023-02-29", "2023-02-28")
        assert parse_event(moved).prefix == "docker-hub"

    def test_what_aws_shows_of_scans(self):
        for name in ("event_basic_01_complete_counts.json", "event_basic_02_failed_no_counts.json",
                     "event_basic_03_complete_clean_two_tags.json"):  # fmt: skip
            assert isinstance(parse_event(sample_text("scans", name)), ImageScan)
        change = parse_event(sample_text("scans", "event_ecr_scan_resource_change.json"))
        assert isinstance(change, ScanResourceChange)
        assert next((c.repository, c.before, c.after) for c in change.changes) == (
            "repository-1", "MANUAL", "SCAN_ON_PUSH",
        )  # fmt: skip
        with pytest.raises(InvalidInput, match=r"image-digest: is missing; the members are 22"):
            parse_event(sample_text("scans", "event_basic_04_corrupt_digest_key.json"))


class TestWhatIsWrong:
    """A missing digest or repository is told with its path, and everything at once."""

    def test_every_problem(self):
        broken = raw()
        broken["time"] = "yesterday"
        broken["resources"] = "x"
        del broken["account"], broken["detail"]["image-digest"]
        broken["detail"]["result"] = 3
        with pytest.raises(InvalidInput) as caught:
            parse_event(broken)
        assert {p.path for p in caught.value.problems} == {
            "$.account", "$.time", "$.resources", "$.detail.image-digest", "$.detail.result",
        }  # fmt: skip

    @pytest.mark.parametrize("wrong", ["no JSON", "[]", b"\xff", 3, None, [], {}, "[" * 100_000])
    def test_no_event_at_all(self, wrong):
        with pytest.raises(InvalidInput):
            parse_event(wrong)

    @pytest.mark.parametrize("detail", [None, [], "x"])
    def test_detail_must_be_an_object(self, detail):
        with pytest.raises(InvalidInput, match="detail"):
            parse_event({**raw(), "detail": detail})

    @pytest.mark.parametrize(
        ("kind", "detail", "path"),
        [
            ("ECR Image Scan", {"scan-status": "COMPLETE", "image-tags": "v1"}, "$.detail.image-tags"),
            ("ECR Image Scan", {"scan-status": "COMPLETE", "finding-severity-counts": []}, "$.detail.finding-severity-counts"),
            ("ECR Image Scan", {"scan-status": "COMPLETE", "finding-severity-counts": {"HIGH": True}},
             "$.detail.finding-severity-counts.HIGH"),
            ("ECR Image Scan", {"scan-status": "COMPLETE", "finding-severity-counts": {"HIGH": -1}},
             "$.detail.finding-severity-counts.HIGH"),
            ("ECR Image Action", {"image-tag": 1}, "$.detail.image-tag"),
            ("ECR Image Action", {"last-activated-at": "x"}, "$.detail.last-activated-at"),
            ("ECR Scan Resource Change", {"repositories": {}}, "$.detail.repositories"),
            ("ECR Scan Resource Change", {"repositories": [{}]}, "$.detail.repositories[0].repository-name"),
        ],
    )  # fmt: skip
    def test_wrong_kinds(self, kind, detail, path):
        with pytest.raises(InvalidInput) as caught:
            parse_event(raw(kind, **detail))
        assert [p.path for p in caught.value.problems] == [path]

    def test_one_bad_event_does_not_hide_the_others(self):
        found = read_events([raw(), "no JSON", {**raw(), "time": None}])
        assert len(found.events) == 1
        assert [p.path for p in found.problems] == ["$[1]", "$[2].time"]
        assert not found.complete


class TestRecords:
    def test_json_text_and_objects_are_the_same(self):
        assert parse_event(json.dumps(raw())) == parse_event(raw()) == parse_event(json.dumps(raw()).encode())

    def test_pickle_hash_and_json(self):
        event = parse_event(raw())
        assert pickle.loads(pickle.dumps(event)) == event
        assert hash(event) == hash(parse_event(raw(another=1)))
        assert json.loads(event.to_json())["digest"] == DIGEST


class TestDelivery:
    """Events are delivered at least once and in any order (EventBridge user guide)."""

    def events(self):
        first = parse_event(raw())
        second = attrs.evolve(first, event_id="e2", at=first.at + dt.timedelta(seconds=1))
        return first, second

    def test_duplicates_go(self):
        first, second = self.events()
        assert list(dedupe([second, first, second, first])) == [second, first]

    def test_the_same_id_of_another_region_is_another_event(self):
        first, _ = self.events()
        assert len(list(dedupe([first, attrs.evolve(first, region=HOME)]))) == 2

    def test_order(self):
        first, second = self.events()
        assert in_order([second, first]) == in_order([first, second]) == (first, second)
        same = attrs.evolve(second, at=first.at)
        assert in_order([same, first]) == (first, same)


class TestEmbedded:
    """What the embedded ECR sends is what `parse_event` reads."""

    def test_push_replication_archive_and_delete(self):
        world = World(rule(AWAY))
        digest = world.push(app())
        index = two_platforms()
        world.push(index, "multi")
        world.push(artifact(app(), "application/vnd.example.sbom"), None)
        world.pass_time(30)
        asked = {"repositoryName": "app", "imageId": {"imageDigest": digest}}
        world("UpdateImageStorageClass", **asked, targetStorageClass="ARCHIVE")
        world("BatchDeleteImage", repositoryName="app", imageIds=[{"imageDigest": digest}])
        seen = [parse_event(event.to_eventbridge()) for event in world.engine.events]
        kinds = {type(event) for event in seen}
        assert kinds == {ImageAction, ReferrerAction, ReplicationAction}
        actions = [(e.action, e.tag) for e in seen if isinstance(e, ImageAction) and e.digest == digest]
        assert actions == [("PUSH", "v1"), ("UPDATE_STORAGE_CLASS", None), ("DELETE", "v1")]
        assert len(list(dedupe(seen))) == len(seen)
