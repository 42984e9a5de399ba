"""Tables, notebook pictures and records of third parties."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from ecrkit.errors import InvalidInput
from ecrkit.records import Repository, images_from_api
from ecrkit.snapshot import NotRead, RepositorySnapshot, Snapshot, load
from tests.support.samples import sample_text, sample_texts
from tests.support.snapshots import NOW, record, repository, snapshot


def untangled(value: Any) -> Any:
    """A recorded answer with its date-times as such."""
    if isinstance(value, dict):
        if value.get("__class__") == "datetime":
            return dt.datetime(*(value[k] for k in ("year", "month", "day", "hour", "minute", "second")), tzinfo=dt.UTC)
        return {name: untangled(item) for name, item in value.items()}
    return [untangled(item) for item in value] if isinstance(value, list) else value


class TestPayloads:
    """Answers of DescribeImages and DescribeRepositories that others recorded survive a snapshot file."""

    @pytest.mark.parametrize(("name", "text"), sample_texts("operations", containing='"imageDetails"'))
    def test_images(self, tmp_path, name, text):
        raw = untangled(json.loads(text))
        details = raw.get("data", raw)["imageDetails"]
        if "EXAMPLE" in text:
            with pytest.raises(InvalidInput, match="64 hex digits"):
                images_from_api(details)
            return
        images = images_from_api(details)
        images = {i.digest: i for i in images}.values()
        found = {i.repository for i in images}.pop()
        about = record(found).__class__(
            name=found, arn="", registry_id={i.registry_id for i in images}.pop(), uri="", created_at=NOW
        )
        entry = RepositorySnapshot(repository=about, read_at=NOW, read=["images"], images=images)
        made = snapshot(entry)
        loaded = load(made.save(tmp_path / name))
        assert set(loaded[found].images) == set(images)

    @pytest.mark.parametrize(("name", "text"), sample_texts("operations", containing='"repositories"'))
    def test_repositories(self, tmp_path, name, text):
        raw = untangled(json.loads(text))
        records = [Repository.from_api(r) for r in raw.get("data", raw)["repositories"]]
        made = snapshot(*(RepositorySnapshot(repository=r, read_at=NOW) for r in records))
        assert set(load(made.save(tmp_path / name)).repositories) == set(records)

    def test_images_are_what_list_images_names(self, tmp_path):
        """ListImages gives one identifier for each tag; the snapshot one image for each digest with all its tags."""
        ids = json.loads(sample_text("operations", "ecr_list_images.json"))["imageIds"]
        tags: dict[str, list[str]] = {}
        for found in ids:
            tags.setdefault(found["imageDigest"], []).append(found["imageTag"])
        details = [{"imageDigest": d, "imageTags": t, "imagePushedAt": 1.0} for d, t in tags.items()]
        entry = RepositorySnapshot(
            repository=record("ca"), read_at=NOW, read=["images"], images=images_from_api(details)
        )
        loaded = load(snapshot(entry).save(tmp_path / "a"))["ca"].inventory
        assert {t: i.digest for t, i in loaded.tags.items()} == {i["imageTag"]: i["imageDigest"] for i in ids}


class TestTables:
    def test_repositories(self):
        made = snapshot(
            repository("aa", lifecycle_policy="{}"), RepositorySnapshot(repository=record("bb"), read_at=NOW)
        )
        columns = made.to_columns()
        assert columns["repository"] == ["aa", "bb"] and columns["images"] == [2, None]
        assert columns["has_lifecycle_policy"] == [True, None] and columns["has_repository_policy"] == [False, None]
        assert columns["tags"] == [{"Team": "a"}, None]
        assert list(made.to_pandas()["repository"]) == ["aa", "bb"]

    def test_images(self):
        made = snapshot(repository("aa", images=3), repository("bb", images=1))
        frame = made.images_to_pandas()
        assert list(frame["repository"]) == ["aa", "aa", "aa", "bb"]
        assert frame["size_bytes"].sum() == 4 * 207 and frame["scan_status"].unique().tolist() == ["COMPLETE"]

    def test_html_is_short_and_escaped(self):
        made = snapshot(*(repository(f"r{n}<i>", images=0) for n in range(30)))
        html = made._repr_html_()
        assert html.count("<tr>") <= 22 and "and 10 more" in html and "<i>" not in html and "r0&lt;i&gt;" in html


class TestQueries:
    def test_a_mapping_of_names(self):
        made = snapshot(repository("bb"), repository("aa"))
        assert list(made) == ["aa", "bb"] and "aa" in made and "cc" not in made and made.get("cc") is None
        assert [r.name for r in made.repositories] == ["aa", "bb"]
        with pytest.raises(KeyError):
            _ = made["cc"]
        with pytest.raises(TypeError):
            hash(made)

    def test_a_repository_twice(self):
        with pytest.raises(InvalidInput, match="comes twice"):
            snapshot(repository("aa"), repository("aa"))

    def test_many_unread_repositories_are_one_error(self):
        dark = [RepositorySnapshot(repository=record(f"d{n}"), read_at=NOW) for n in range(30)]
        made = snapshot(*dark, repository("aa"))
        with pytest.raises(NotRead, match="of 30 repositories") as caught:
            made.lifecycle_policies()
        assert len(caught.value.problems) == 20
        assert made.lifecycle_policies(gaps="skip") == {"aa": None}
        with pytest.raises(InvalidInput, match="raise or skip"):
            made.lifecycle_policies(gaps="maybe")

    def test_equality_looks_at_everything(self):
        one = snapshot(repository("aa"))
        others = [
            snapshot(repository("aa", images=1)), snapshot(repository("aa"), region="us-east-1"),
            snapshot(repository("aa"), settings={"x": 1}), snapshot(repository("aa", lifecycle_policy="{}")),
            snapshot(repository("aa"), repository("bb")),
        ]  # fmt: skip
        assert one == snapshot(repository("aa"))
        assert all(one != other for other in others) and one != "snapshot"

    def test_no_time_without_zone(self):
        with pytest.raises(ValueError, match="taken_at"):
            Snapshot.of([], account="123456789012", region="eu-west-1", taken_at=dt.datetime(2026, 1, 1))
