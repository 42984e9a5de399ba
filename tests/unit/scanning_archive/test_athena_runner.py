"""Running SQL on Athena: started once, waited for with an injected clock, every page read, the cost told."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from moto import mock_aws

from ecrkit.aws.athena import Athena, QueryAnswer, QueryState, query_cost, query_step
from ecrkit.aws.calls import Attempts, Caller
from ecrkit.aws.session import AwsSession, offline_session
from ecrkit.errors import InvalidInput, Throttled, WaitExpired, WaitFailed
from ecrkit.local import ManualClock
from tests.unit.aws.conftest import Script, client_error

COLUMNS = [
    ("team", "varchar"), ("found", "bigint"), ("mean", "double"), ("at", "timestamp"), ("ok", "boolean"),
    ("day", "date"), ("price", "decimal(10,2)"),
]  # fmt: skip
ROW = ["A", "3", "1.5", "2026-11-25 12:00:00.250", "true", "2026-11-25", "1.10"]


def cells(*texts: str | None) -> dict[str, Any]:
    return {"Data": [{} if t is None else {"VarCharValue": t} for t in texts]}


def execution(state: str, **more: Any) -> dict[str, Any]:
    return {"QueryExecution": {"QueryExecutionId": "q-1", "Status": {"State": state, **more.pop("status", {})}, **more}}


class Service:
    """Athena that goes through the states given, and then hands out pages."""

    def __init__(self, states: list[dict[str, Any]], pages: list[dict[str, Any]] | None = None) -> None:
        self.states, self.pages = states, pages or []

    def __call__(self, operation: str, parameters: dict[str, Any]) -> Any:
        if operation == "StartQueryExecution":
            return {"QueryExecutionId": "q-1"}
        if operation == "GetQueryExecution":
            return self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if operation == "GetQueryResults":
            return self.pages[int(parameters.get("NextToken", "0"))]
        return {}


Run = Callable[..., tuple[Athena, Script, ManualClock]]


@pytest.fixture(scope="module")
def shared() -> AwsSession:
    return AwsSession(offline_session("eu-west-1"), services=("athena",), workers=1)


@pytest.fixture
def runner(shared: AwsSession) -> Iterator[Run]:
    client = shared.client("athena")

    def make(service: Any, **more: Any) -> tuple[Athena, Script, ManualClock]:
        script, clock = Script(service), ManualClock()
        script.install(client)
        return Athena(Caller(client, clock=clock, attempts=Attempts(total=3), draw=lambda: 1.0), **more), script, clock

    yield make
    client.__dict__.pop("_make_api_call", None)


def page(rows: list[dict[str, Any]], token: str | None = None) -> dict[str, Any]:
    info = [{"Name": name, "Type": kind} for name, kind in COLUMNS]
    found: dict[str, Any] = {"ResultSet": {"Rows": rows, "ResultSetMetadata": {"ColumnInfo": info}}}
    return {**found, "NextToken": token} if token else found


HEADER = cells(*[name for name, _ in COLUMNS])


class TestARun:
    def test_every_page_is_read_and_typed(self, runner: Run) -> None:
        pages = [page([HEADER, cells(*ROW)], "1"), page([], "2"), page([cells(*ROW), cells(*[None] * 7)])]
        done = execution(
            "SUCCEEDED", Statistics={"DataScannedInBytes": 25 * 1024**2, "TotalExecutionTimeInMillis": 1500}
        )
        athena, script, _ = runner(
            Service([execution("QUEUED"), execution("RUNNING"), done], pages), price_per_tb=Decimal(5)
        )
        found = athena.run("SELECT 1")
        typed = (
            "A", 3, 1.5, dt.datetime(2026, 11, 25, 12, 0, 0, 250000, tzinfo=dt.UTC), True, dt.date(2026, 11, 25), Decimal("1.10"),
        )  # fmt: skip
        assert found.rows == (typed, typed, (None,) * 7)
        assert found.dicts()[0]["team"] == "A" and found.to_columns()["found"] == [3, 3, None]
        assert script.operations == ["StartQueryExecution", *["GetQueryExecution"] * 3, *["GetQueryResults"] * 3]
        assert found.cost == Decimal(25) / 1024**2 * 5
        assert found.explain().startswith("3 rows; 26214400 bytes scanned in 1.5 s, 0.000119")

    def test_a_row_that_equals_the_header_is_kept(self, runner: Run) -> None:
        athena, _, _ = runner(Service([execution("SUCCEEDED")], [page([HEADER, HEADER], "1"), page([HEADER])]))
        assert len(athena.run("SELECT 1").rows) == 2

    def test_ddl_has_no_header_and_costs_nothing(self, runner: Run) -> None:
        answer = {"ResultSet": {"Rows": [cells("scans")], "ResultSetMetadata": {"ColumnInfo": [{"Name": "tab_name"}]}}}
        done = execution("SUCCEEDED", StatementType="DDL")
        athena, _, _ = runner(Service([done], [answer]), price_per_tb=Decimal(5))
        found = athena.run("SHOW TABLES")
        assert found.rows == (("scans",),) and found.cost == 0

    def test_without_a_price_there_is_no_cost(self, runner: Run) -> None:
        athena, _, _ = runner(Service([execution("SUCCEEDED")], [page([HEADER])]))
        assert athena.run("SELECT 1").cost is None

    def test_a_reused_result_costs_nothing(self, runner: Run) -> None:
        done = execution("SUCCEEDED", Statistics={"ResultReuseInformation": {"ReusedPreviousResult": True}})
        athena, _, _ = runner(Service([done], [page([HEADER])]), price_per_tb=Decimal(5))
        found = athena.run("SELECT 1")
        assert found.cost == 0 and "reused" in found.explain()

    def test_a_value_that_is_no_number_stays_text(self, runner: Run) -> None:
        athena, _, _ = runner(Service([execution("SUCCEEDED")], [page([cells("A", "?", "x", "y", "maybe", "z", "w")])]))
        assert athena.run("SELECT 1").rows == (("A", "?", "x", "y", "maybe", "z", "w"),)

    def test_progress(self, runner: Run) -> None:
        seen: list[str] = []
        athena, _, _ = runner(Service([execution("QUEUED"), execution("SUCCEEDED")], [page([HEADER])]))
        athena.run("SELECT 1", on_progress=lambda s: seen.append(s.status))
        assert seen == ["QUEUED", "SUCCEEDED"]


class TestAStartNeverRunsTwice:
    """ClientRequestToken makes a repeated start harmless; botocore would make a new one for each repeat."""

    def test_the_token_survives_a_repeat(self, runner: Run) -> None:
        class Flaky(Service):
            failed = False

            def __call__(self, operation: str, parameters: dict[str, Any]) -> Any:
                if operation == "StartQueryExecution" and not self.failed:
                    self.failed = True
                    return client_error("InternalServerException", status=500)
                return super().__call__(operation, parameters)

        athena, script, _ = runner(Flaky([]))
        athena.start("SELECT 1")
        first, second = (p["ClientRequestToken"] for _, p in script.calls)
        assert first == second and 32 <= len(first) <= 128

    def test_tokens(self, runner: Run) -> None:
        athena, script, _ = runner(Service([]), database="d", output="s3://results/x")
        for sql, token in (("a", "day"), ("a", "day"), ("b", "day"), ("a", None), ("a", None)):
            athena.start(sql, token=token)
        tokens = [p["ClientRequestToken"] for _, p in script.calls]
        assert tokens[0] == tokens[1] and len(set(tokens)) == 4
        asked = script.calls[0][1]
        assert asked["QueryExecutionContext"] == {"Database": "d"}
        assert asked["ResultConfiguration"] == {"OutputLocation": "s3://results/x"} and asked["WorkGroup"] == "primary"

    def test_results_need_a_bucket(self, runner: Run) -> None:
        with pytest.raises(InvalidInput, match="s3://"):
            runner(Service([]), output="results")


class TestEndsThatAreNoSuccess:
    @pytest.mark.parametrize("state", ["FAILED", "CANCELLED"])
    def test_failed_and_cancelled(self, runner: Run, state: str) -> None:
        why = {"StateChangeReason": "SYNTAX_ERROR: line 1", "AthenaError": {"Retryable": True}}
        athena, script, _ = runner(Service([execution("RUNNING"), execution(state, status=why)]))
        with pytest.raises(WaitFailed, match="SYNTAX_ERROR: line 1") as caught:
            athena.run("SELEKT")
        assert isinstance(caught.value.last, QueryState)
        assert (caught.value.last.status, caught.value.last.retryable) == (state, True)
        assert "StopQueryExecution" not in script.operations

    def test_at_the_deadline_the_query_is_stopped(self, runner: Run) -> None:
        athena, script, clock = runner(Service([execution("RUNNING")]))
        begun = clock.monotonic()
        with pytest.raises(WaitExpired, match="still RUNNING after 60 s and was stopped"):
            athena.run("SELECT 1", deadline=60)
        assert script.operations[-1] == "StopQueryExecution"
        assert clock.monotonic() - begun == pytest.approx(60, abs=0.5)

    def test_a_stop_that_fails_does_not_hide_the_deadline(self, runner: Run) -> None:
        class Stubborn(Service):
            def __call__(self, operation: str, parameters: dict[str, Any]) -> Any:
                if operation == "StopQueryExecution":
                    return client_error("InvalidRequestException")
                return super().__call__(operation, parameters)

        athena, _, _ = runner(Stubborn([execution("RUNNING")]))
        with pytest.raises(WaitExpired):
            athena.run("SELECT 1", deadline=0)

    def test_throttling_is_repeated_and_then_told(self, runner: Run) -> None:
        athena, script, _ = runner(lambda *_: client_error("TooManyRequestsException"))
        with pytest.raises(Throttled):
            athena.run("SELECT 1")
        assert len(script.calls) == 3


class TestTheStep:
    @pytest.mark.parametrize(
        ("status", "elapsed", "action"),
        [
            ("SUCCEEDED", 99, "read"), ("FAILED", 0, "failed"), ("CANCELLED", 0, "cancelled"), ("RUNNING", 60, "stop"),
            ("QUEUED", 59, "wait"), ("SOMETHING_NEW", 0, "wait"), ("SOMETHING_NEW", 60, "stop"),
        ],
    )  # fmt: skip
    def test_actions(self, status: str, elapsed: float, action: str) -> None:
        assert (
            query_step(QueryState(query_id="q", status=status), elapsed=elapsed, deadline=60, asked=0).action == action
        )

    def test_pauses_double_up_to_five_seconds_and_end_at_the_deadline(self) -> None:
        state = QueryState(query_id="q", status="RUNNING")
        assert [query_step(state, elapsed=0, deadline=60, asked=n).sleep for n in range(7)] == [
            0.25,
            0.5,
            1,
            2,
            4,
            5,
            5,
        ]
        assert query_step(state, elapsed=58, deadline=60, asked=9).sleep == 2


class TestCost:
    """Scanned bytes are rounded up to a megabyte, with 10 MB for the least (Athena pricing)."""

    @pytest.mark.parametrize(
        ("scanned", "megabytes"), [(0, 10), (10 * 1024**2, 10), (10 * 1024**2 + 1, 11), (1024**4, 1024**2)]
    )
    def test_megabytes(self, scanned: int, megabytes: int) -> None:
        assert query_cost(scanned, price_per_tb=Decimal(5)) == Decimal(megabytes) / 1024**2 * 5

    def test_a_table_in_a_notebook_is_escaped(self) -> None:
        answer = QueryAnswer(query_id="q", columns=(("<b>", "varchar"),), rows=(("<i>",),))
        assert "<i>" not in answer._repr_html_() and "&lt;b&gt;" in answer._repr_html_()


class TestOnMoto:
    def test_a_run_with_results(self) -> None:
        with mock_aws():
            session = AwsSession(
                boto3.Session(region_name="us-east-1"), services=("athena",), clock=ManualClock(), rates={}, attempts=2
            )
            athena = Athena(session.caller("athena"), output="s3://results/")
            found = athena.run("SELECT 1")
            assert found.rows == () and found.query_id
            assert athena.state(found.query_id).status == "SUCCEEDED"
            athena.stop(found.query_id)
            assert athena.state(found.query_id).status == "CANCELLED"
