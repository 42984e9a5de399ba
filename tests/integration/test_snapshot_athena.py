"""The SQL for Athena, run on DuckDB over Parquet files that snapshots wrote."""

from __future__ import annotations

import datetime as dt
import sys

import attrs
import duckdb
import pyarrow.parquet as pq
import pytest

from ecrkit import Registry
from ecrkit.errors import InvalidInput, MissingExtra
from ecrkit.images import stored_bytes
from ecrkit.local import images as local_images
from ecrkit.snapshot import Gap, RepositorySnapshot, athena
from ecrkit.snapshot.tables import COLUMNS
from tests.support.snapshots import NOW, image, manifest, record, repository, snapshot
from tests.unit.snapshot.conftest import fill

TABLES = athena.Tables(bucket="lake", regions=["us-east-1", "eu-west-1"], accounts=["123456789012"])
DARK = Gap(what="images", repository="dark", error="denied", call="DescribeImages")


def opened(folder):
    base = duckdb.connect()
    base.execute(f'CREATE SCHEMA "{TABLES.database}"')
    for table in COLUMNS:
        base.execute(
            f"CREATE VIEW {TABLES.of(table)} AS SELECT * FROM read_parquet('{folder}/{table}/**/*.parquet', "
            "hive_partitioning=true, hive_types_autocast=false)"
        )
    return base


def asked(base, query):
    found = base.execute(query)
    names = [column[0] for column in found.description]
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def day(moment, **more):
    return athena.Day(day=moment.date(), **more)


class TestLayout:
    def test_folders_are_partitions_and_names_are_stable(self, tmp_path):
        made = snapshot(repository("team/app"))
        paths = made.to_parquet(tmp_path)
        part = "account=123456789012/region=eu-west-1/dt=2026-11-25/part-20261125T120000000000Z.parquet"
        assert [p.relative_to(tmp_path).as_posix() for p in paths] == [f"{t}/{part}" for t in COLUMNS]
        assert made.to_parquet(tmp_path) == paths
        assert len([p for p in tmp_path.rglob("*") if p.is_file()]) == 4

    @pytest.mark.parametrize("more", [{"account": "../../etc"}, {"region": "../x"}, {"region": "eu-west-1/.."}])
    def test_nothing_leaves_the_folder(self, tmp_path, more):
        with pytest.raises(InvalidInput, match="partition"):
            snapshot(repository("team/app"), **more).to_parquet(tmp_path / "in")
        assert not list(tmp_path.iterdir())

    def test_without_pyarrow_the_extra_is_named(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(MissingExtra, match=r"ecrkit\[arrow\]"):
            snapshot(repository("team/app")).to_parquet(tmp_path)
        assert not list(tmp_path.iterdir())

    def test_types_are_those_of_the_ddl(self, tmp_path):
        paths = snapshot(repository("team/app")).to_parquet(tmp_path)
        names = {"string": "string", "bigint": "int64", "int": "int32", "boolean": "bool", "timestamp": "timestamp[ms]",
                 "array<string>": "list", "map<string,string>": "map<string, string", "map<string,bigint>":
                 "map<string, int64"}  # fmt: skip
        for (table, columns), path in zip(COLUMNS.items(), paths, strict=True):
            schema = pq.ParquetFile(path).schema_arrow
            assert schema.names == list(columns), table
            for name, kind in columns.items():
                assert str(schema.field(name).type).startswith(names[kind]), (table, name)

    def test_values(self, tmp_path):
        dark = RepositorySnapshot(repository=record("dark"), read_at=NOW, gaps=[DARK])
        at = NOW + dt.timedelta(microseconds=123456)
        raw = manifest("1")
        rich = repository("rich", images=0)
        rich = attrs.evolve(rich, images=[image(raw, "rich", tags=("a", "b"), last_pulled_at=at)], manifests=[raw])
        base = opened(tmp_path) if snapshot(rich, dark).to_parquet(tmp_path) else None
        (row,) = asked(base, f"SELECT * FROM {TABLES.of('images')}")
        assert row["tags"] == ["a", "b"] and row["last_pulled_at"] == dt.datetime(2026, 11, 25, 12, 0, 0, 123000)
        assert row["snapshot_at"] == NOW.replace(tzinfo=None) and row["dt"] == "2026-11-25"
        found = {r["repository"]: r for r in asked(base, f"SELECT * FROM {TABLES.of('repositories')}")}
        assert found["dark"]["images"] is None and found["dark"]["resource_tags"] is None
        assert found["rich"]["images"] == 1 and found["rich"]["resource_tags"] == {"Team": "a"}
        assert [r["error"] for r in asked(base, f"SELECT * FROM {TABLES.of('gaps')}")] == ["denied"]


class TestQueries:
    @pytest.fixture
    def lake(self, tmp_path):
        """Two days of a live registry: on the second an image more, a repository more, one unreadable."""
        with Registry.local() as registry:
            fill(registry, "shop/cart", "shop/web")
            first = registry.snapshot()
            registry.engine.advance(dt.timedelta(days=1))
            fill(registry, "tools")
            layer = local_images.layer({"more": "content" * 100})
            local_images.image([layer]).push(registry.client, "shop/web", tag="v2")
            registry.snapshot("tools").to_parquet(tmp_path)  # an older one of the same day, which must not count
            registry.engine.advance(dt.timedelta(hours=1))
            second = registry.snapshot()
        first.to_parquet(tmp_path)
        second.to_parquet(tmp_path)
        return first, second, opened(tmp_path)

    def test_stored_bytes_are_those_of_the_inventory(self, lake):
        for taken in lake[:2]:
            found = asked(lake[2], athena.storage_by_repository(TABLES, day(taken.taken_at)))
            assert {r["repository"]: r["stored_bytes"] for r in found} == {
                name: stored_bytes(inventory).exact for name, inventory in taken.inventories()
            }
            assert all(r["unread_images"] == 0 and r["images"] for r in found)
            assert [r["stored_bytes"] for r in found] == sorted((r["stored_bytes"] for r in found), reverse=True)

    def test_growth(self, lake):
        first, second, base = lake
        found = asked(base, athena.growth(TABLES, day(first.taken_at), day(second.taken_at)))
        sizes = [{n: stored_bytes(i).exact for n, i in s.inventories()} for s in (first, second)]
        assert {r["repository"]: r["growth_bytes"] for r in found} == {
            "shop/web": sizes[1]["shop/web"] - sizes[0]["shop/web"], "shop/cart": 0, "tools": None,
        }  # fmt: skip
        assert found[0]["repository"] == "shop/web" and found[0]["growth_bytes"] > 0
        assert [r["bytes_before"] for r in found if r["repository"] == "tools"] == [None]

    def test_not_pulled(self, tmp_path):
        raws = [manifest(str(n)) for n in range(4)]
        ago = [NOW - dt.timedelta(days=n) for n in (1, 40, 100)]
        entry = attrs.evolve(repository("aa", images=0), images=[
            image(raws[0], "aa", pushed_at=ago[2], last_pulled_at=ago[1]),
            image(raws[1], "aa", pushed_at=ago[2], last_pulled_at=ago[0]),
            image(raws[2], "aa", pushed_at=ago[2]), image(raws[3], "aa", pushed_at=ago[0]),
        ])  # fmt: skip
        snapshot(entry).to_parquet(tmp_path)
        query = athena.not_pulled_since(TABLES, day(NOW), NOW - dt.timedelta(days=30))
        assert {r["image_digest"] for r in asked(opened(tmp_path), query)} == {raws[0].digest, raws[2].digest}

    def test_unread_is_null_and_grows_by_nothing(self, tmp_path):
        dark = RepositorySnapshot(repository=record("dark"), read_at=NOW, gaps=[DARK])
        later = NOW + dt.timedelta(days=1)
        raw = manifest("1")
        half = attrs.evolve(repository("half"), images=[image(raw, "half")], manifests=[], unread={raw.digest: "X"})
        snapshot(dark, half).to_parquet(tmp_path)
        snapshot(repository("dark"), half, taken_at=later).to_parquet(tmp_path)
        base = opened(tmp_path)
        found = {r["repository"]: r for r in asked(base, athena.storage_by_repository(TABLES, day(NOW)))}
        assert found["dark"]["stored_bytes"] is None and not found["dark"]["images_read"]
        assert (found["half"]["stored_bytes"], found["half"]["unread_images"]) == (0, 1)
        grown = asked(base, athena.growth(TABLES, day(NOW), day(later)))
        assert {r["repository"]: r["growth_bytes"] for r in grown} == {"dark": None, "half": None}

    def test_partitions_and_hostile_values(self, lake):
        _, second, base = lake
        at = second.taken_at
        for more in ({"accounts": ["123456789012"]}, {"regions": ["us-east-1"]}):
            assert len(asked(base, athena.storage_by_repository(TABLES, day(at, **more)))) == 3
        for more in ({"accounts": ["' OR 1=1 --"]}, {"regions": ["x' OR '1'='1"]}):
            assert asked(base, athena.storage_by_repository(TABLES, day(at, **more))) == []
        injected = attrs.evolve(TABLES, accounts=())
        with pytest.raises(InvalidInput, match="exactly one"):
            athena.storage_by_repository(injected, day(at))


class TestDdl:
    def test_of_every_table(self):
        database, *tables = athena.create_tables(TABLES)
        assert database == "CREATE DATABASE IF NOT EXISTS `ecr_snapshots`"
        assert len(tables) == 4
        images = tables[1]
        assert "`tags` array<string>" in images and "`pushed_at` timestamp" in images and "STORED AS PARQUET" in images
        assert "LOCATION 's3://lake/ecr-snapshot/images/'" in images
        assert (
            "'storage.location.template'='s3://lake/ecr-snapshot/images/account=${account}/region=${region}/dt=${dt}/'"
            in images
        )
        assert "'projection.account.type'='enum'" in images
        assert "'projection.account.type'='injected'" in athena.create_tables(attrs.evolve(TABLES, accounts=()))[1]

    @pytest.mark.parametrize(
        "more", [{"bucket": "B"}, {"regions": []}, {"prefix": "a//b"}, {"prefix": "a'b"}, {"database": "a-b"},
                 {"accounts": ["1"]}],
    )  # fmt: skip
    def test_names_are_checked(self, more):
        with pytest.raises(InvalidInput):
            attrs.evolve(TABLES, **more)

    def test_an_empty_prefix_is_the_root(self):
        assert attrs.evolve(TABLES, prefix="").location("images") == "s3://lake/images/"
