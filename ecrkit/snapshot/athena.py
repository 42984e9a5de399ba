"""SQL for Athena over Parquet snapshots: the tables with partition projection, and questions about storage.

Every function returns text and calls nothing. The SQL keeps to what Athena (engine version 3) and DuckDB both read, so
each query is tested on DuckDB over written files. Sources: Athena user guide, partition projection and data types.
"""

# Values come into the SQL through literal, names through identifier; tests feed them hostile text.
# ruff: noqa: S608

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import get_args

import attrs

from ecrkit._internal.hive import bucket_problems, external_table, identifier, literal, projected_problems
from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.snapshot.tables import COLUMNS, Table

__all__ = ["Day", "Tables", "create_tables", "growth", "not_pulled_since", "storage_by_repository"]


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


@attrs.frozen(kw_only=True)
class Tables(Record):
    """Where the tables are: the bucket, the prefix below which `to_parquet` folders lie, and their partitions.

    Without `accounts` any account fits, but each query must then name exactly one (Athena: injected partition).

    Example:
        >>> Tables(bucket="lake", regions=["eu-west-1"], accounts=["123456789012"]).of("images")
        '"ecr_snapshots"."images"'
    """

    bucket: str
    regions: tuple[str, ...] = attrs.field(converter=_texts)
    accounts: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    database: str = attrs.field(default="ecr_snapshots", converter=identifier)
    prefix: str = "ecr-snapshot"
    start: dt.date = dt.date(2024, 1, 1)

    def __attrs_post_init__(self) -> None:
        problems = bucket_problems(self.bucket) + projected_problems(self.accounts, self.regions)
        if not all(part.replace("-", "").replace("_", "").isalnum() for part in self.prefix.split("/") if self.prefix):
            problems.append(
                Problem("prefix", f"letters, digits, - and _ between single slashes, not {self.prefix!r:.60}")
            )
        if problems:
            raise InvalidInput("no tables", problems)

    def of(self, table: Table) -> str:
        """Return the quoted name of a table in a query."""
        return f'"{self.database}"."{identifier(table)}"'

    def location(self, table: Table) -> str:
        """Return the S3 location of a table."""
        return "/".join(part for part in (f"s3://{self.bucket}", self.prefix, table) if part) + "/"


def create_tables(tables: Tables) -> tuple[str, ...]:
    """Return the DDL: the database, then one table each. Athena runs one statement at a time.

    Example:
        >>> create_tables(Tables(bucket="lake", regions=["eu-west-1"], accounts=["123456789012"]))[0]
        'CREATE DATABASE IF NOT EXISTS `ecr_snapshots`'
    """
    return (
        f"CREATE DATABASE IF NOT EXISTS `{tables.database}`",
        *(
            external_table(
                tables.database,
                table,
                COLUMNS[table],
                location=tables.location(table),
                storage="STORED AS PARQUET",
                accounts=tables.accounts,
                regions=tables.regions,
                start=tables.start,
            )
            for table in get_args(Table)
        ),
    )


@attrs.frozen(kw_only=True)
class Day(Record):
    """Which snapshots a query reads: those of one day, of some accounts and Regions if not all; the day's last of each.

    The day is the UTC day on which the crawl began.
    """

    day: dt.date
    accounts: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    regions: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    def where(self, tables: Tables) -> str:
        """Return the condition on the partitions.

        Raises:
            InvalidInput: the account is an injected partition, and not exactly one is named.
        """
        if not tables.accounts and len(self.accounts) != 1:
            message = f"the account is an injected partition: name exactly one, not {len(self.accounts)}"
            raise InvalidInput.single("no query", "accounts", message)
        parts = [f"dt = {literal(self.day.isoformat())}"]
        for name, values in (("account", self.accounts), ("region", self.regions)):
            if values:
                parts.append(f"{name} IN ({', '.join(map(literal, values))})")
        return " AND ".join(parts)

    def last(self, tables: Tables, table: Table) -> str:
        """Return the rows of the day's last snapshot of each registry, as a query.

        Which one is the last is read from `repositories`, since a table such as `gaps` may have no row of it.
        """
        where = self.where(tables)
        return (
            f"SELECT found.* FROM {tables.of(table)} found JOIN (SELECT account AS of_account, region AS of_region,"
            f" max(snapshot_at) AS last_at FROM {tables.of('repositories')} WHERE {where} GROUP BY account, region)"
            " newest ON account = of_account AND region = of_region AND snapshot_at = last_at"
            f" WHERE {where}"
        )


def _storage(tables: Tables, day: Day) -> str:
    return f"""blob AS (
  SELECT account, region, repository, blob_digest, max(size_bytes) AS size_bytes
  FROM ({day.last(tables, "blobs")}) b WHERE kind IN ('config', 'layer')
  GROUP BY account, region, repository, blob_digest
), stored AS (
  SELECT account, region, repository, sum(size_bytes) AS stored_bytes, count(*) AS blobs,
    sum(CASE WHEN size_bytes IS NULL THEN 1 ELSE 0 END) AS blobs_without_size
  FROM blob GROUP BY account, region, repository
), counted AS (
  SELECT account, region, repository, count(*) AS images,
    sum(CASE WHEN manifest_read THEN 0 ELSE 1 END) AS unread_images, sum(size_bytes) AS summed_bytes
  FROM ({day.last(tables, "images")}) i GROUP BY account, region, repository
), found AS (
  SELECT r.account, r.region, r.repository, r.images IS NOT NULL AS images_read, c.images, c.unread_images,
    CASE WHEN r.images IS NULL THEN NULL ELSE coalesce(s.stored_bytes, 0) END AS stored_bytes,
    coalesce(s.blobs, 0) AS blobs, coalesce(s.blobs_without_size, 0) AS blobs_without_size, c.summed_bytes
  FROM ({day.last(tables, "repositories")}) r
  LEFT JOIN counted c ON r.account = c.account AND r.region = c.region AND r.repository = c.repository
  LEFT JOIN stored s ON r.account = s.account AND r.region = s.region AND r.repository = s.repository
)"""


def storage_by_repository(tables: Tables, day: Day) -> str:
    """Return the query of each repository's stored bytes: every config and layer once, an index nothing of its own.

    `stored_bytes` is what is known of: with `unread_images` or `blobs_without_size` it is a lower bound, and null where
    the images were not read. `summed_bytes` is the sum of ECR's image sizes, which counts shared layers many times.
    Layers of foreign or non-distributable media types are counted here; `images.stored_bytes` makes a range of them.
    """
    return f"WITH {_storage(tables, day)}\nSELECT * FROM found ORDER BY stored_bytes DESC, account, region, repository"


def growth(tables: Tables, before: Day, after: Day) -> str:
    """Return the query of what each repository's stored bytes grew between two days, the most first.

    A repository that is there on one day only has null on the other, and no growth: it may have been left out of one
    of the snapshots. Nor has one with unread images on either day, whose bytes are not known.
    """
    sure = "images_read AND coalesce(unread_images, 0) = 0 AND blobs_without_size = 0"
    one = f"WITH {_storage(tables, before)} SELECT * FROM found"
    two = f"WITH {_storage(tables, after)} SELECT * FROM found"
    of = f"account, region, repository, CASE WHEN {sure} THEN stored_bytes END AS stored_bytes"
    return f"""WITH earlier AS (SELECT {of} FROM ({one}) x), later AS (SELECT {of} FROM ({two}) y)
SELECT coalesce(a.account, b.account) AS account, coalesce(a.region, b.region) AS region,
  coalesce(a.repository, b.repository) AS repository, a.stored_bytes AS bytes_before, b.stored_bytes AS bytes_after,
  b.stored_bytes - a.stored_bytes AS growth_bytes
FROM earlier a FULL OUTER JOIN later b
  ON a.account = b.account AND a.region = b.region AND a.repository = b.repository
ORDER BY growth_bytes DESC NULLS LAST, account, region, repository"""


def not_pulled_since(tables: Tables, day: Day, since: dt.datetime) -> str:
    """Return the query of tagged and untagged images whose last recorded pull lies before a time, or that have none.

    Images pushed since that time are left out. ECR records a pull at most once a day, and scanners count.
    """
    moment = f"timestamp {literal(f'{since.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}')}"
    return f"""SELECT account, region, repository, image_digest, status, size_bytes, pushed_at, last_pulled_at
FROM ({day.last(tables, "images")}) i
WHERE pushed_at < {moment} AND (last_pulled_at IS NULL OR last_pulled_at < {moment})
ORDER BY size_bytes DESC NULLS LAST, account, region, repository, image_digest"""
