"""Running SQL on Athena: start, wait, read every page, and say what it cost."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table
from ecrkit.aws.calls import Caller
from ecrkit.aws.iam import needs
from ecrkit.errors import AwsCallFailed, InvalidInput, WaitExpired, WaitFailed
from ecrkit.ports import Listing

__all__ = ["Athena", "QueryAnswer", "QueryState", "QueryStep", "query_cost", "query_step"]

_MEGABYTE: Final = 1024**2
_LEAST_BILLED: Final = 10 * _MEGABYTE
_TERABYTE: Final = 1024**4
_PAGE: Final = 1000


@attrs.frozen(kw_only=True)
class QueryState(Record):
    """What Athena says of a query: QUEUED, RUNNING, SUCCEEDED, FAILED or CANCELLED; other words are kept as text."""

    query_id: str
    status: str
    reason: str | None = None
    scanned_bytes: int = 0
    running: dt.timedelta = dt.timedelta()
    retryable: bool = False
    reused: bool = False
    statement_type: str | None = None


@attrs.frozen
class QueryStep:
    """What the waiter does next: read the results, give up, or ask again after `sleep` seconds."""

    action: Literal["read", "failed", "cancelled", "stop", "wait"]
    sleep: float = 0.0


def query_step(state: QueryState, *, elapsed: float, deadline: float, asked: int) -> QueryStep:
    """Return the next step of waiting, as a pure function. `asked` is how often Athena was asked before.

    Example:
        >>> query_step(QueryState(query_id="q", status="RUNNING"), elapsed=1, deadline=60, asked=2)
        QueryStep(action='wait', sleep=1.0)
    """
    if state.status == "SUCCEEDED":
        return QueryStep("read")
    if state.status == "FAILED":
        return QueryStep("failed")
    if state.status == "CANCELLED":
        return QueryStep("cancelled")
    # A word that ecrkit does not know is waited for like RUNNING, up to the deadline.
    if elapsed >= deadline:
        return QueryStep("stop")
    return QueryStep("wait", min(0.25 * 2 ** min(asked, 10), 5.0, deadline - elapsed))


def query_cost(scanned_bytes: int, *, price_per_tb: Decimal) -> Decimal:
    """Return what a query costs: the scanned bytes, rounded up to a megabyte, at least 10 MB, at the price of a TB.

    DDL and failed queries are free; the caller knows which it was. Source: Athena pricing page.

    Example:
        >>> query_cost(1, price_per_tb=Decimal(5))
        Decimal('0.0000476837158203125')
    """
    megabytes = -(-max(scanned_bytes, _LEAST_BILLED) // _MEGABYTE)
    return Decimal(megabytes * _MEGABYTE) / _TERABYTE * price_per_tb


@attrs.frozen(kw_only=True)
class QueryAnswer(Record):
    """The result of a query: the columns with their Athena types, and every row.

    Values have Python's types: bigint and integer int, double float, decimal Decimal, boolean bool, timestamp and
    date as such in UTC; everything else is text, and SQL's NULL is None. `cost` is None when no price was given.
    """

    query_id: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]
    scanned_bytes: int = 0
    running: dt.timedelta = dt.timedelta()
    reused: bool = False
    cost: Decimal | None = None
    currency: str = "USD"

    def dicts(self) -> tuple[dict[str, Any], ...]:
        """Return each row as a mapping from column to value."""
        names = [name for name, _ in self.columns]
        return tuple(dict(zip(names, row, strict=True)) for row in self.rows)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return the values column by column, for a frame."""
        return {name: [row[n] for row in self.rows] for n, (name, _) in enumerate(self.columns)}

    def explain(self) -> str:
        """Return in a sentence how much was read, how long it took and what it cost."""
        price = f", {self.cost.normalize():f} {self.currency}" if self.cost is not None else ""
        saved = " (an earlier result was reused)" if self.reused else ""
        took = self.running.total_seconds()
        return f"{len(self.rows)} rows; {self.scanned_bytes} bytes scanned in {took:.1f} s{price}{saved}"

    def _repr_html_(self) -> str:
        return html_table([name for name, _ in self.columns], self.rows, caption=self.explain())


class Athena:
    """Runs queries in one workgroup.

    `output` is the S3 location of results, when the workgroup names none. `price_per_tb` is the Region's price of a
    scanned terabyte, which Athena's API does not tell; without it answers carry no cost.
    Source: Athena API reference, StartQueryExecution, GetQueryExecution, GetQueryResults, StopQueryExecution.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        database: str | None = None,
        workgroup: str = "primary",
        output: str | None = None,
        price_per_tb: Decimal | None = None,
        currency: str = "USD",
    ) -> None:
        if output is not None and not output.startswith("s3://"):
            raise InvalidInput.single("no place for results", "output", f"must begin with s3://, not {output!r:.80}")
        self._caller = caller
        self._database = database
        self._workgroup = workgroup
        self._output = output
        self._price = price_per_tb
        self._currency = currency

    @needs("athena:StartQueryExecution")
    def start(self, sql: str, *, token: str | None = None) -> str:
        """Start a query and return its id. A repeated start with the same token and text gives the same query.

        `token` is any text of the caller's own for one run, for example a date; without one every start is a new query.
        """
        asked: dict[str, Any] = {"QueryString": sql, "WorkGroup": self._workgroup}
        if self._database is not None:
            asked["QueryExecutionContext"] = {"Database": self._database}
        if self._output is not None:
            asked["ResultConfiguration"] = {"OutputLocation": self._output}
        # Always set: botocore would make up a new one for every repeat of the call, and the query would run twice.
        # 32 to 128 characters; the text is part of it, since Athena refuses a token with another text.
        run = uuid.uuid4().hex if token is None else token
        asked["ClientRequestToken"] = hashlib.sha256(f"{run}\n{self._workgroup}\n{sql}".encode()).hexdigest()
        answer = self._caller.call("StartQueryExecution", asked, resource=self._workgroup)
        return str(answer["QueryExecutionId"])

    @needs("athena:GetQueryExecution")
    def state(self, query_id: str) -> QueryState:
        """Return what Athena says of a query now."""
        answer = self._caller.call("GetQueryExecution", {"QueryExecutionId": query_id}, resource=query_id)
        found: Mapping[str, Any] = answer.get("QueryExecution") or {}
        status: Mapping[str, Any] = found.get("Status") or {}
        numbers: Mapping[str, Any] = found.get("Statistics") or {}
        error: Mapping[str, Any] = status.get("AthenaError") or {}
        return QueryState(
            query_id=query_id,
            status=str(status.get("State") or "unknown"),
            reason=status.get("StateChangeReason") or error.get("ErrorMessage"),
            scanned_bytes=int(numbers.get("DataScannedInBytes") or 0),
            running=dt.timedelta(milliseconds=int(numbers.get("TotalExecutionTimeInMillis") or 0)),
            retryable=bool(error.get("Retryable")),
            reused=bool((numbers.get("ResultReuseInformation") or {}).get("ReusedPreviousResult")),
            statement_type=found.get("StatementType"),
        )

    @needs("athena:StopQueryExecution")
    def stop(self, query_id: str) -> None:
        """Stop a query; what it has scanned until then is billed."""
        self._caller.call("StopQueryExecution", {"QueryExecutionId": query_id}, resource=query_id)

    @needs("athena:GetQueryResults", "s3:GetObject")
    def pages(self, query_id: str) -> Listing[dict[str, Any]]:
        """Return the pages of a finished query's results as Athena gives them, one item a page, read lazily."""
        asked = {"QueryExecutionId": query_id, "MaxResults": _PAGE}
        return self._caller.listing("GetQueryResults", asked, lambda a: [a], resource=query_id, token="NextToken")  # noqa: S106

    @needs(
        "athena:StartQueryExecution", "athena:GetQueryExecution", "athena:GetQueryResults", "athena:StopQueryExecution",
        "glue:GetDatabase", "glue:GetTable", "glue:GetPartitions", "s3:GetBucketLocation", "s3:GetObject",
        "s3:ListBucket", "s3:PutObject",
    )  # fmt: skip
    def run(
        self,
        sql: str,
        *,
        token: str | None = None,
        deadline: float = 600.0,
        on_progress: Callable[[QueryState], None] = lambda _: None,
    ) -> QueryAnswer:
        """Run a query to its end and return every row. `deadline` is in seconds; at the deadline the query is stopped.

        Calls: one start, one GetQueryExecution at each look (after 0.25 s, then doubling up to 5 s), and one
        GetQueryResults for each thousand rows.

        Raises:
            WaitFailed: the query failed or was cancelled; `last` is the QueryState, with the reason and `retryable`.
            WaitExpired: the deadline passed, and the query was stopped; `last` is the QueryState.
            AwsCallFailed: a call failed.
        """
        clock = self._caller.clock
        begun = clock.monotonic()
        query_id = self.start(sql, token=token)
        asked = 0
        while True:
            state = self.state(query_id)
            on_progress(state)
            following = query_step(state, elapsed=clock.monotonic() - begun, deadline=deadline, asked=asked)
            if following.action == "read":
                return self._answer(state)
            if following.action in ("failed", "cancelled"):
                raise WaitFailed(
                    f"Athena query {query_id} {following.action}: {state.reason or 'no reason given'}", last=state
                )
            if following.action == "stop":
                self._stop_quietly(query_id)
                raise WaitExpired(
                    f"Athena query {query_id} was still {state.status} after {deadline:g} s and was stopped", last=state
                )
            clock.sleep(following.sleep)
            asked += 1

    def _stop_quietly(self, query_id: str) -> None:
        with contextlib.suppress(AwsCallFailed):  # the deadline is what the caller must learn of
            self.stop(query_id)

    def _answer(self, state: QueryState) -> QueryAnswer:
        columns: tuple[tuple[str, str], ...] = ()
        rows: list[tuple[Any, ...]] = []
        for number, page in enumerate(self.pages(state.query_id)):
            found: Mapping[str, Any] = page.get("ResultSet") or {}
            listed: list[Mapping[str, Any]] = (found.get("ResultSetMetadata") or {}).get("ColumnInfo") or []
            columns = columns or tuple((str(c.get("Name")), str(c.get("Type") or "varchar")) for c in listed)
            rows.extend(_rows(found.get("Rows") or [], columns, header=number == 0))
        free = state.reused or state.statement_type == "DDL"
        cost = Decimal(0) if free else query_cost(state.scanned_bytes, price_per_tb=self._price or Decimal(0))
        return QueryAnswer(
            query_id=state.query_id, columns=columns, rows=tuple(rows), scanned_bytes=state.scanned_bytes,
            running=state.running, reused=state.reused, currency=self._currency,
            cost=None if self._price is None else cost,
        )  # fmt: skip

    @override
    def __repr__(self) -> str:
        return f"<Athena {self._workgroup}: {self._database or 'no database'}>"


def _rows(
    raws: list[Mapping[str, Any]], columns: tuple[tuple[str, str], ...], *, header: bool
) -> Iterator[tuple[Any, ...]]:
    """Yield the rows; the first one of the first page repeats the names of the columns and is left out."""
    for number, raw in enumerate(raws):
        texts = [cell.get("VarCharValue") for cell in raw.get("Data") or ()]
        if header and number == 0 and texts == [name for name, _ in columns]:
            continue
        padded = texts + [None] * (len(columns) - len(texts))
        yield tuple(_value(text, kind) for text, (_, kind) in zip(padded, columns, strict=False))


def _value(text: str | None, kind: str) -> Any:
    if text is None:
        return None
    bare = kind.partition("(")[0].strip().lower()
    try:
        if bare in ("tinyint", "smallint", "integer", "int", "bigint"):
            return int(text)
        if bare in ("double", "float", "real"):
            return float(text)
        if bare == "decimal":
            return Decimal(text)
        if bare == "boolean":
            return {"true": True, "false": False}[text]
        if bare == "timestamp":
            return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)
        if bare == "date":
            return dt.date.fromisoformat(text)
    except (ValueError, ArithmeticError, KeyError):
        return text  # Athena's own text is worth more than an error after a paid query
    return text
