"""Snapshots as Parquet: `table/account=A/region=R/dt=D/part-TIME.parquet`, the folders that Athena and DuckDB read."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

from ecrkit._internal.hive import place_problems
from ecrkit._internal.times import UTC
from ecrkit.errors import InvalidInput, MissingExtra
from ecrkit.snapshot.files import replace
from ecrkit.snapshot.snapshot import Snapshot
from ecrkit.snapshot.tables import COLUMNS, Table, rows

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["write_parquet"]

_BATCH: Final = 20_000


def write_parquet(snapshot: Snapshot, folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write the tables of a snapshot below a folder and return the files, one for each table.

    Each file is whole or not there. Writing the same snapshot twice gives the same names; another snapshot of the same
    day stands beside it, so queries that take a day's last one compare `snapshot_at`. One repository is in memory at a
    time. Times are UTC, cut to milliseconds, which is what Athena reads. A missing value is null and never zero, and
    the table `gaps` says why. The folder can be copied to S3 as it is.

    Raises:
        MissingExtra: pyarrow is not installed.
        InvalidInput: the snapshot's account or Region cannot name a folder.
    """
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtra("pyarrow", extra="arrow") from None
    problems = place_problems(snapshot.account, snapshot.region)
    if problems:
        raise InvalidInput("no partition for this snapshot", problems)
    taken = snapshot.taken_at.astimezone(UTC)
    part = f"account={snapshot.account}/region={snapshot.region}/dt={taken:%Y-%m-%d}/part-{taken:%Y%m%dT%H%M%S}"
    part += f"{taken.microsecond:06d}Z.parquet"
    written: list[Path] = []
    for table in get_args(Table):
        path = Path(folder) / table / part
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, _writer(snapshot, table, pa, pq))
        written.append(path)
    return tuple(written)


def _writer(snapshot: Snapshot, table: Table, pa: ModuleType, pq: ModuleType) -> Callable[[Any], None]:
    schema = pa.schema([(name, _type(kind, pa)) for name, kind in COLUMNS[table].items()])

    def write(target: Any) -> None:
        with pq.ParquetWriter(target, schema, compression="zstd") as writer:
            for batch in _batches(snapshot, table):
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))

    return write


def _batches(snapshot: Snapshot, table: Table) -> Iterator[list[dict[str, Any]]]:
    at = _cut(snapshot.taken_at)
    batch: list[dict[str, Any]] = []
    for row in _all_rows(snapshot, table):
        batch.append({name: _cut(value) if isinstance(value, dt.datetime) else value for name, value in row.items()})
        batch[-1]["snapshot_at"] = at
        if len(batch) == _BATCH:
            yield batch
            batch = []
    yield batch


def _all_rows(snapshot: Snapshot, table: Table) -> Iterator[dict[str, Any]]:
    if table == "gaps":
        for gap in snapshot.registry_gaps:
            yield {"repository": None, "what": gap.what, "error": gap.error, "api_call": gap.call}
    for entry in snapshot.entries():
        yield from rows(entry, table)


def _cut(moment: dt.datetime) -> dt.datetime:
    utc = moment.astimezone(UTC)
    return utc.replace(microsecond=utc.microsecond // 1000 * 1000, tzinfo=None)


def _type(kind: str, pa: ModuleType) -> Any:
    plain = {
        "string": pa.string(), "bigint": pa.int64(), "int": pa.int32(), "boolean": pa.bool_(),
        "timestamp": pa.timestamp("ms"), "array<string>": pa.list_(pa.string()),
        "map<string,string>": pa.map_(pa.string(), pa.string()),
        "map<string,bigint>": pa.map_(pa.string(), pa.int64()),
    }  # fmt: skip
    return plain[kind]
