"""Repository records, and the small records beside them."""

from __future__ import annotations

import datetime as dt
import pickle
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.records import Progress, RawManifest, Repository

URI = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/app"
ITEM: dict[str, Any] = {
    "repositoryArn": "arn:aws:ecr:eu-west-1:123456789012:repository/team/app",
    "registryId": "123456789012",
    "repositoryName": "team/app",
    "repositoryUri": URI,
    "createdAt": "2026-01-01T00:00:00+00:00",
    "imageTagMutability": "IMMUTABLE_WITH_EXCLUSION",
    "imageTagMutabilityExclusionFilters": [{"filterType": "WILDCARD", "filter": "dev-*"}],
    "imageScanningConfiguration": {"scanOnPush": True},
    "encryptionConfiguration": {"encryptionType": "KMS", "kmsKey": "arn:aws:kms:eu-west-1:123456789012:key/1"},
}
NEEDED = {k: ITEM[k] for k in ("repositoryArn", "registryId", "repositoryName", "repositoryUri", "createdAt")}


def problems(raw: Any, path: str = "$") -> dict[str, str]:
    """Return path -> message for an item that is refused."""
    with pytest.raises(InvalidInput) as caught:
        Repository.from_api(raw, path=path)
    return {p.path: p.message for p in caught.value.problems}


class TestEveryMember:
    """All members of Repository arrive in the record (ECR API reference, Repository)."""

    def test_full(self) -> None:
        assert Repository.from_api(ITEM) == Repository(
            name="team/app",
            arn=ITEM["repositoryArn"],
            registry_id="123456789012",
            uri=URI,
            created_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            tag_mutability="IMMUTABLE_WITH_EXCLUSION",
            mutability_exclusions=("dev-*",),
            scan_on_push=True,
            encryption_type="KMS",
            kms_key="arn:aws:kms:eu-west-1:123456789012:key/1",
        )

    def test_what_ecr_may_leave_out_has_ecrs_defaults(self) -> None:
        repository = Repository.from_api(NEEDED)
        assert (repository.tag_mutability, repository.mutability_exclusions) == ("MUTABLE", ())
        assert (repository.scan_on_push, repository.encryption_type, repository.kms_key) == (False, "AES256", None)

    def test_newer_values_stay_text(self) -> None:
        assert Repository.from_api({**ITEM, "imageTagMutability": "SOMETIMES"}).tag_mutability == "SOMETIMES"

    def test_text_is_the_uri(self) -> None:
        assert str(Repository.from_api(ITEM)) == URI

    def test_pickle_and_hash(self) -> None:
        repository = Repository.from_api(ITEM)
        assert pickle.loads(pickle.dumps(repository)) == repository
        assert len({repository, Repository.from_api(ITEM)}) == 1


class TestFaults:
    """Every fault is told, each with its path."""

    @pytest.mark.parametrize("raw", [None, "team/app", []])
    def test_no_object(self, raw: object) -> None:
        assert "must be an object of DescribeRepositories" in problems(raw)["$"]

    def test_all_at_once(self) -> None:
        assert list(problems({}, "$.repositories[2]")) == [
            f"$.repositories[2].{n}"
            for n in ("repositoryName", "repositoryArn", "registryId", "repositoryUri", "createdAt")
        ]

    @pytest.mark.parametrize(
        ("changes", "path"),
        [
            ({"repositoryName": 5}, "$.repositoryName"),
            ({"createdAt": "2026-01-01T00:00:00"}, "$.createdAt"),
            ({"createdAt": None}, "$.createdAt"),
            ({"imageTagMutability": {}}, None),
            ({"imageTagMutability": 5}, "$.imageTagMutability"),
            ({"encryptionConfiguration": "KMS"}, "$.encryptionConfiguration"),
            ({"imageScanningConfiguration": [1]}, "$.imageScanningConfiguration"),
            ({"imageTagMutabilityExclusionFilters": "dev"}, "$.imageTagMutabilityExclusionFilters"),
            (
                {"imageTagMutabilityExclusionFilters": [{"filter": "a"}, {}]},
                "$.imageTagMutabilityExclusionFilters[1].filter",
            ),
            ({"imageTagMutabilityExclusionFilters": ["dev"]}, "$.imageTagMutabilityExclusionFilters[0].filter"),
        ],
    )
    def test_each(self, changes: dict[str, Any], path: str | None) -> None:
        if path is None:
            assert Repository.from_api({**ITEM, **changes}).tag_mutability == "MUTABLE"
        else:
            assert list(problems({**ITEM, **changes})) == [path]


class TestSmallRecords:
    """Manifests keep their text out of `repr`; progress is a value."""

    def test_a_manifest_is_not_printed(self) -> None:
        manifest = RawManifest(digest="sha256:" + "0" * 64, media_type="m", text="SECRET")
        assert "SECRET" not in repr(manifest)
        assert manifest.to_dict()["text"] == "SECRET"

    def test_progress(self) -> None:
        assert Progress(done=1, what="images").to_dict() == {"done": 1, "total": None, "what": "images"}
