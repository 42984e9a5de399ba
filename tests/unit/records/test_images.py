"""Image records: every form in which AWS tools write one, and every fault with its path."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.records import Image, ScanSummary, images_from_api

DIGEST = "sha256:" + "ab" * 32
SUBJECT = "sha256:" + "cd" * 32
UTC = dt.UTC

# One item of `aws ecr describe-images --output json`, with every member that ecrkit reads.
CLI_ITEM: dict[str, Any] = {
    "registryId": "123456789012",
    "repositoryName": "team/app",
    "imageDigest": DIGEST,
    "imageTags": ["v1", "latest"],
    "imageSizeInBytes": 1024,
    "imagePushedAt": "2026-01-02T03:04:05.678000+01:00",
    "imageScanStatus": {"status": "COMPLETE", "description": "done"},
    "imageScanFindingsSummary": {
        "imageScanCompletedAt": "2026-01-02T04:00:00Z",
        "vulnerabilitySourceUpdatedAt": "2026-01-02T04:00:00Z",
        "findingSeverityCounts": {"HIGH": 2, "UNTRIAGED": 1},
    },
    "imageManifestMediaType": "application/vnd.oci.image.manifest.v1+json",
    "artifactMediaType": "application/vnd.oci.image.config.v1+json",
    "lastRecordedPullTime": "2026-02-01T00:00:00+00:00",
    "subjectManifestDigest": SUBJECT,
    "imageStatus": "ACTIVE",
    "lastArchivedAt": "2026-02-02T00:00:00+00:00",
    "lastActivatedAt": "2026-02-03T00:00:00+00:00",
}


def item(**changes: Any) -> dict[str, Any]:
    """Return the smallest item that is an image, with changes; None removes a member."""
    base = {"imageDigest": DIGEST, "imagePushedAt": 1767225600.0, **changes}
    return {k: v for k, v in base.items() if v is not None}


def problems(detail: Any) -> dict[str, str]:
    """Return path -> message for an item that is refused."""
    with pytest.raises(InvalidInput) as caught:
        Image.from_api(detail)
    assert caught.value.problems
    return {p.path: p.message for p in caught.value.problems}


class TestEveryMember:
    """All members of ImageDetail that ecrkit reads arrive in the record (ECR API reference, ImageDetail)."""

    def test_as_the_cli_writes_them(self) -> None:
        assert Image.from_api(CLI_ITEM) == Image(
            digest=DIGEST,
            pushed_at=dt.datetime(2026, 1, 2, 2, 4, 5, 678000, UTC),
            tags=("v1", "latest"),
            repository="team/app",
            registry_id="123456789012",
            size=1024,
            status="ACTIVE",
            manifest_media_type="application/vnd.oci.image.manifest.v1+json",
            artifact_media_type="application/vnd.oci.image.config.v1+json",
            last_pulled_at=dt.datetime(2026, 2, 1, tzinfo=UTC),
            last_archived_at=dt.datetime(2026, 2, 2, tzinfo=UTC),
            last_activated_at=dt.datetime(2026, 2, 3, tzinfo=UTC),
            subject_digest=SUBJECT,
            scan=ScanSummary(
                status="COMPLETE",
                description="done",
                completed_at=dt.datetime(2026, 1, 2, 4, tzinfo=UTC),
                counts={"HIGH": 2, "UNTRIAGED": 1},
            ),
        )

    def test_only_the_digest_and_the_push_time_are_needed(self) -> None:
        image = Image.from_api(item())
        assert (image.tags, image.size, image.status, image.scan, image.subject_digest) == (
            (),
            None,
            "ACTIVE",
            None,
            None,
        )
        assert (image.repository, image.registry_id, image.last_pulled_at) == ("", "", None)

    def test_a_tag_tuple_is_taken_too(self) -> None:
        assert Image.from_api(item(imageTags=("v1",))).tags == ("v1",)

    def test_a_size_of_nothing_is_a_size(self) -> None:
        assert Image.from_api(item(imageSizeInBytes=0)).size == 0

    def test_unknown_members_are_ignored(self) -> None:
        assert Image.from_api(item(imageColour="green")) == Image.from_api(item())

    def test_a_scan_status_without_summary(self) -> None:
        scan = Image.from_api(item(imageScanStatus={"status": "FAILED"})).scan
        assert scan is not None
        assert (scan.status, dict(scan.counts), scan.completed_at) == ("FAILED", {}, None)

    def test_a_summary_without_status(self) -> None:
        scan = Image.from_api(item(imageScanFindingsSummary={"findingSeverityCounts": {"LOW": 1}})).scan
        assert scan is not None
        assert (scan.status, dict(scan.counts)) == (None, {"LOW": 1})


class TestTimes:
    """boto3 gives datetimes of the local zone, the JSON protocol epochs, the CLI ISO texts: one instant each."""

    @pytest.mark.parametrize(
        "value",
        [
            1767225600,
            1767225600.0,
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T02:00:00+02:00",
            "2025-12-31T18:30:00-05:30",
            dt.datetime(2026, 1, 1, tzinfo=UTC),
            dt.datetime(2026, 1, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        ],
    )
    def test_one_instant(self, value: object) -> None:
        pushed = Image.from_api(item(imagePushedAt=value)).pushed_at
        assert pushed == dt.datetime(2026, 1, 1, tzinfo=UTC)
        assert pushed.tzinfo is UTC

    @pytest.mark.parametrize("member", ["imagePushedAt", "lastRecordedPullTime", "lastArchivedAt", "lastActivatedAt"])
    @pytest.mark.parametrize(
        ("value", "why"),
        [
            ("2026-01-01T00:00:00", "time without zone"),
            (dt.datetime(2026, 1, 1), "time without zone"),
            ("2026-01-01", "time without zone"),
            ("yesterday", "not an ISO 8601 time"),
            ("", "not an ISO 8601 time"),
            (True, "not a time"),
            (float("nan"), "not a time in seconds"),
            (float("inf"), "not a time in seconds"),
            (1e18, "not a time in seconds"),
            (-1e18, "not a time in seconds"),
            (10**400, "not a time in seconds"),
            ([], "not a time"),
            ("0001-01-01T00:00:00+01:00", "UTC can express"),
            (dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1))), "UTC can express"),
        ],
    )
    def test_what_is_no_instant_is_refused(self, member: str, value: object, why: str) -> None:
        found = problems(item(**{member: value}))
        assert list(found) == [f"$.{member}"]
        assert why in found[f"$.{member}"]

    @pytest.mark.parametrize("value", [253402300799.0, -62135596800.0])
    def test_the_ends_of_time_are_times(self, value: float) -> None:
        assert Image.from_api(item(imagePushedAt=value)).pushed_at.timestamp() == value


class TestOpenValues:
    """A value that a newer service sends is kept as text, not refused."""

    def test_status(self) -> None:
        assert Image.from_api(item(imageStatus="HIBERNATING")).status == "HIBERNATING"

    def test_scan_status_and_severity(self) -> None:
        scan = Image.from_api(
            item(
                imageScanStatus={"status": "POSTPONED"},
                imageScanFindingsSummary={"findingSeverityCounts": {"APOCALYPTIC": 1}},
            )
        ).scan
        assert scan is not None
        assert (scan.status, scan.counts["APOCALYPTIC"]) == ("POSTPONED", 1)

    def test_media_types(self) -> None:
        image = Image.from_api(item(imageManifestMediaType="application/x-new"))
        assert (image.manifest_media_type, image.is_index) == ("application/x-new", False)


class TestStorageClass:
    """Rules see two storage classes; an image being restored is still archived (user guide, archiving images)."""

    @pytest.mark.parametrize(
        ("status", "expected"),
        [("ACTIVE", "standard"), ("ARCHIVED", "archive"), ("ACTIVATING", "archive"), ("NEW", "standard")],
    )
    def test_by_status(self, status: str, expected: str) -> None:
        assert Image.from_api(item(imageStatus=status)).storage_class == expected


class TestIsIndex:
    """An OCI index and a Docker manifest list are indexes, nothing else is."""

    @pytest.mark.parametrize(
        ("media_type", "expected"),
        [
            ("application/vnd.oci.image.index.v1+json", True),
            ("application/vnd.docker.distribution.manifest.list.v2+json", True),
            ("application/vnd.docker.distribution.manifest.v2+json", False),
            ("application/vnd.oci.image.manifest.v1+json", False),
            (None, False),
        ],
    )
    def test_by_media_type(self, media_type: str | None, expected: bool) -> None:
        assert Image.from_api(item(imageManifestMediaType=media_type)).is_index is expected


class TestFaults:
    """Every fault of an item is told at once, each with its path."""

    def test_all_at_once(self) -> None:
        found = problems(
            {
                "imageDigest": "sha256:12",
                "imagePushedAt": "yesterday",
                "lastRecordedPullTime": "today",
                "imageTags": "v1",
                "imageSizeInBytes": -1,
                "repositoryName": 5,
                "imageScanStatus": "COMPLETE",
            }
        )
        assert set(found) == {
            "$.imageDigest", "$.imagePushedAt", "$.lastRecordedPullTime", "$.imageTags", "$.imageSizeInBytes",
            "$.repositoryName", "$.imageScanStatus",
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("changes", "path", "why"),
        [
            ({"imageDigest": None}, "$.imageDigest", "is missing; is this the output of describe-images"),
            ({"imagePushedAt": None}, "$.imagePushedAt", "list-images does not carry it"),
            ({"imageDigest": "sha256:" + "g" * 64}, "$.imageDigest", "64 hex digits"),
            ({"imageDigest": "sha256:" + "A" * 64}, "$.imageDigest", "64 hex digits"),
            ({"imageDigest": 5}, "$.imageDigest", "64 hex digits"),
            ({"imageTags": ["v1", 2]}, "$.imageTags", "list of strings"),
            ({"imageTags": {"v1": 1}}, "$.imageTags", "list of strings"),
            ({"imageSizeInBytes": "12"}, "$.imageSizeInBytes", "number of bytes"),
            ({"imageSizeInBytes": 1.5}, "$.imageSizeInBytes", "number of bytes"),
            ({"imageSizeInBytes": True}, "$.imageSizeInBytes", "number of bytes"),
            ({"imageSizeInBytes": -1}, "$.imageSizeInBytes", "number of bytes"),
            ({"registryId": 123456789012}, "$.registryId", "must be a string"),
            ({"imageStatus": ["ACTIVE"]}, "$.imageStatus", "must be a string"),
            ({"imageManifestMediaType": 1}, "$.imageManifestMediaType", "must be a string"),
            ({"artifactMediaType": 1}, "$.artifactMediaType", "must be a string"),
            ({"subjectManifestDigest": 1}, "$.subjectManifestDigest", "must be a string"),
            ({"imageScanStatus": ["COMPLETE"]}, "$.imageScanStatus", "must be an object"),
            ({"imageScanFindingsSummary": "none"}, "$.imageScanFindingsSummary", "must be an object"),
            (
                {"imageScanFindingsSummary": {"findingSeverityCounts": [1]}},
                "$.imageScanFindingsSummary.findingSeverityCounts",
                "must be an object",
            ),
            (
                {"imageScanFindingsSummary": {"findingSeverityCounts": {"HIGH": "2"}}},
                "$.imageScanFindingsSummary.findingSeverityCounts.HIGH",
                "must be a number, not '2'",
            ),
            (
                {"imageScanFindingsSummary": {"imageScanCompletedAt": "2026-01-01T00:00:00"}},
                "$.imageScanFindingsSummary.imageScanCompletedAt",
                "time without zone",
            ),
        ],
    )
    def test_each(self, changes: dict[str, Any], path: str, why: str) -> None:
        found = problems(item(**changes))
        assert list(found) == [path]
        assert why in found[path]

    @pytest.mark.parametrize("detail", [None, "text", 5, [], ["imageDigest"]])
    def test_no_object(self, detail: object) -> None:
        assert "must be an object of DescribeImages, not" in problems(detail)["$"]

    def test_the_path_can_be_set(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            Image.from_api({}, path="$.imageDetails[7]")
        assert [p.path for p in caught.value.problems] == [
            "$.imageDetails[7].imageDigest",
            "$.imageDetails[7].imagePushedAt",
        ]

    def test_a_long_value_is_not_repeated(self) -> None:
        assert len(problems(item(imageDigest="x" * 10_000))["$.imageDigest"]) < 200


class TestMany:
    """`images_from_api` numbers the items and stops with the item that brings the faults to a hundred."""

    def test_order_is_kept(self) -> None:
        digests = [f"sha256:{n:064x}" for n in range(5)]
        assert [i.digest for i in images_from_api(item(imageDigest=d) for d in digests)] == digests

    def test_faults_of_all_items_are_told(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            images_from_api([item(), item(imageTags=5), item(), {}])
        assert [p.path for p in caught.value.problems] == [
            "$.imageDetails[1].imageTags",
            "$.imageDetails[3].imageDigest",
            "$.imageDetails[3].imagePushedAt",
        ]

    def test_a_hundred_are_enough(self) -> None:
        seen = []

        def endless() -> Any:
            while True:
                seen.append(1)
                yield {}

        with pytest.raises(InvalidInput) as caught:
            images_from_api(endless())
        assert (len(caught.value.problems), len(seen)) == (100, 50)


class TestValues:
    """Records compare, hash, pickle, copy and print."""

    def test_equal_items_make_equal_records(self) -> None:
        assert Image.from_api(CLI_ITEM) == Image.from_api(copy.deepcopy(CLI_ITEM))
        assert len({Image.from_api(CLI_ITEM), Image.from_api(CLI_ITEM)}) == 1

    def test_pickle(self) -> None:
        image = Image.from_api(CLI_ITEM)
        assert pickle.loads(pickle.dumps(image)) == image

    def test_frozen(self) -> None:
        with pytest.raises(AttributeError):
            Image.from_api(item()).size = 5  # type: ignore[misc]

    def test_text_is_short(self) -> None:
        assert str(Image.from_api(item(imageTags=["v1", "v2"]))) == "v1,v2@sha256:abababababab"
        assert str(Image.from_api(item())) == "untagged@sha256:abababababab"

    def test_repr_evaluates(self) -> None:
        image = Image.from_api(item(imageTags=["v1"]))
        assert eval(repr(image), {"Image": Image, "datetime": dt}) == image

    def test_mapping_is_json_ready(self) -> None:
        data = json.loads(Image.from_api(CLI_ITEM).to_json())
        assert data["pushed_at"] == "2026-01-02T02:04:05.678000Z"
        assert data["tags"] == ["v1", "latest"]
        assert data["scan"]["counts"] == {"HIGH": 2, "UNTRIAGED": 1}
        assert data["scan"]["completed_at"] == "2026-01-02T04:00:00Z"
