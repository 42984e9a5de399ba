"""Tables on S3 that Athena and DuckDB read: partitions by account, Region and day, projection, and literals of SQL."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Final

from ecrkit.errors import InvalidInput, Problem

__all__ = ["bucket_problems", "external_table", "identifier", "literal", "place_problems", "projected_problems"]

_ACCOUNT: Final = re.compile(r"[0-9]{12}")
_REGION: Final = re.compile(r"[a-z]{2,}(-[a-z]+)+-[0-9]+")
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,127}")
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_ENUM_MANY: Final = 100


def literal(text: str) -> str:
    """Return a text as an SQL literal.

    Example:
        >>> literal("it's")
        "'it''s'"
    """
    if "\x00" in text:
        raise InvalidInput.single("no SQL literal", repr(text), "holds a NUL character")
    return "'" + text.replace("'", "''") + "'"


def identifier(value: str) -> str:
    """Return a name of a database or table as it is, or refuse what Athena does not take unquoted."""
    if not _NAME.fullmatch(value):
        raise InvalidInput.single("no name in Athena", "name", f"letters a-z, digits and '_', not {value!r:.60}")
    return value


def place_problems(account: str, region: str) -> list[Problem]:
    """Return what keeps an account and a Region from being partitions; a slash in one would leave its folder."""
    problems: list[Problem] = []
    if not _ACCOUNT.fullmatch(account):
        problems.append(Problem("account", f"must be 12 digits, not {account!r:.40}"))
    if not _REGION.fullmatch(region):
        problems.append(Problem("region", f"must be a Region such as eu-west-1, not {region!r:.40}"))
    return problems


def bucket_problems(bucket: str) -> list[Problem]:
    """Return what is wrong with the name of a bucket."""
    return [] if _BUCKET.fullmatch(bucket) else [Problem("bucket", f"is no name of a bucket: {bucket!r:.80}")]


def projected_problems(accounts: Iterable[str], regions: Iterable[str]) -> list[Problem]:
    """Return what keeps accounts and Regions from being projected as lists."""
    listed, places = tuple(accounts), tuple(regions)
    problems: list[Problem] = []
    if not places:
        problems.append(Problem("regions", "name at least one Region"))
    for name, values in (("regions", places), ("accounts", listed)):
        if len(values) > _ENUM_MANY:
            many = f"{len(values)} are too many for a projected list"
            problems.append(Problem(name, f"{many}; leave accounts out to make them injected"))
    for account in listed or ("000000000000",):
        for region in places:
            problems += place_problems(account, region)
    return list(dict.fromkeys(problems))


def external_table(
    database: str,
    table: str,
    columns: Mapping[str, str],
    *,
    location: str,
    storage: str,
    accounts: Iterable[str],
    regions: Iterable[str],
    start: dt.date,
) -> str:
    """Return the DDL of a table partitioned by account, Region and day, all three projected.

    Without `accounts` the account is an injected partition, of which each query must name exactly one (Athena user
    guide, partition projection). `storage` is the part of the DDL that says how the files are read.
    """
    listed = ",\n".join(f"  `{column}` {kind}" for column, kind in columns.items())
    named = ",".join(accounts)
    of_account = (
        {"projection.account.type": "enum", "projection.account.values": named}
        if named
        else {"projection.account.type": "injected"}
    )
    properties = {
        "projection.enabled": "true",
        **of_account,
        "projection.region.type": "enum",
        "projection.region.values": ",".join(regions),
        "projection.dt.type": "date",
        "projection.dt.format": "yyyy-MM-dd",
        "projection.dt.range": f"{start.isoformat()},NOW",
        "projection.dt.interval": "1",
        "projection.dt.interval.unit": "DAYS",
        "storage.location.template": location + "account=${account}/region=${region}/dt=${dt}/",
    }
    told = ",\n".join(f"  {literal(key)}={literal(value)}" for key, value in properties.items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{database}`.`{table}` (\n{listed}\n)\n"
        "PARTITIONED BY (`account` string, `region` string, `dt` string)\n"
        f"{storage}\n"
        f"LOCATION {literal(location)}\n"
        f"TBLPROPERTIES (\n{told}\n)"
    )
