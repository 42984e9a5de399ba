"""The SQL of the archive: read by a parser of Athena's dialect, and run by DuckDB over written objects."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from ecrkit.errors import InvalidInput
from ecrkit.scanning.archive import Archive, DeploymentRow, FindingRow, Layout, MemoryObjects, ScanRow
from ecrkit.scanning.archive import athena as sql
from ecrkit.scanning.archive.audit import Sla, remediation_times, remediations
from ecrkit.scanning.archive.rows import to_lines
from tests.unit.scanning_archive.build import (
    ACCOUNT,
    PLACE,
    TABLES,
    A,
    B,
    C,
    day,
    deployed,
    duck,
    empty_tables,
    fill,
    finding,
    report,
    row,
    rows_of,
    scan,
)

SCOPE = sql.Scope(since=dt.date(2026, 1, 1), until=dt.date(2026, 12, 31))
NOW = day("2026-11-30")
SLA = Sla({"CRITICAL": 2, "HIGH": 7})
QUERIES: dict[str, Callable[[sql.Tables, sql.Scope], str]] = {
    "open": sql.open_findings,
    "open of some severities": lambda t, s: sql.open_findings(t, s, severities=["HIGH", "it's"], deployments=True),
    "times": sql.remediation_times,
    "deadlines": lambda t, s: sql.sla_breaches(t, s, SLA, now=NOW),
    "teams": lambda t, s: sql.policy_violations(t, s, teams={"team/*": "A"}, limits={"HIGH": 0}),
    "trend": sql.trend,
}


def written(
    scans: list[ScanRow], findings: list[FindingRow], deployments: list[DeploymentRow] | None = None
) -> dict[str, bytes]:
    """The rows as objects, each reading in the partition of its day."""
    bodies: dict[str, bytes] = {}
    layout = Layout()
    for table, rows in (("scans", scans), ("findings", findings), ("deployments", deployments or [])):
        for number, made in enumerate(rows):
            moment = made.since if isinstance(made, DeploymentRow) else made.read_at
            bodies[layout.part(table, PLACE, str(number), moment)] = to_lines([made])
    return bodies


class TestTables:
    """Partition projection with an enum of accounts, or an injected one that a query must name."""

    def test_the_ddl_parses_and_projects_the_partitions(self) -> None:
        for statement in sql.create_tables(TABLES):
            (parsed,) = sqlglot.parse(statement, read="athena")
            assert isinstance(parsed, exp.Create)
        ddl = sql.create_tables(TABLES)[2]
        assert "CREATE EXTERNAL TABLE IF NOT EXISTS `ecr_scans`.`findings`" in ddl
        assert "PARTITIONED BY (`account` string, `region` string, `dt` string)" in ddl
        assert "'projection.account.type'='enum'" in ddl and "'projection.dt.range'='2024-01-01,NOW'" in ddl
        location = "s3://audit/ecr-scan/findings/account=${account}/region=${region}/dt=${dt}/"
        assert f"'storage.location.template'='{location}'" in ddl

    def test_the_template_is_the_layout(self) -> None:
        key = Layout().part("findings", PLACE, "1", day("2026-11-25"))
        template = "ecr-scan/findings/account=${account}/region=${region}/dt=${dt}/"
        filled = (
            template.replace("${account}", ACCOUNT).replace("${region}", "eu-west-1").replace("${dt}", "2026-11-25")
        )
        assert key.startswith(filled)

    def test_partitions_are_no_columns(self) -> None:
        for table in ("scans", "findings", "deployments"):
            assert not {"account", "region", "dt"} & set(sql.columns(table))

    def test_columns_have_types(self) -> None:
        found = sql.columns("findings")
        assert (found["first_observed_at"], found["score"], found["known_exploited"]) == (
            "timestamp",
            "double",
            "boolean",
        )
        assert sql.columns("scans")["findings"] == "int" and sql.columns("scans")["closes"] == "boolean"

    def test_an_injected_account_must_be_named(self) -> None:
        tables = sql.Tables(bucket="audit", regions=["eu-west-1"])
        assert "'projection.account.type'='injected'" in sql.create_tables(tables)[1]
        with pytest.raises(InvalidInput, match="name exactly one"):
            sql.trend(tables, SCOPE)
        one = sql.Scope(since=SCOPE.since, until=SCOPE.until, accounts=[ACCOUNT])
        assert f"account = '{ACCOUNT}'" in sql.trend(tables, one)

    def test_every_fault_is_named(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            sql.Tables(bucket="No Bucket", regions=["nowhere"], accounts=["1"] * 101)
        assert [p.path for p in caught.value.problems] == ["bucket", "accounts", "account", "region"]
        with pytest.raises(InvalidInput, match="no name in Athena"):
            sql.Tables(bucket="audit", regions=["eu-west-1"], database="x; DROP")
        with pytest.raises(InvalidInput, match="at least one Region"):
            sql.Tables(bucket="audit", regions=[])

    def test_a_scope_backwards(self) -> None:
        with pytest.raises(InvalidInput, match="lies before"):
            sql.Scope(since=dt.date(2026, 2, 1), until=dt.date(2026, 1, 1))


class TestQueriesAreAthenaAndEscaped:
    """Each query is one statement of Athena's dialect, whatever the texts in it."""

    @pytest.mark.parametrize("name", QUERIES)
    def test_athena_reads_them(self, name: str) -> None:
        (parsed,) = sqlglot.parse(QUERIES[name](TABLES, SCOPE), read="athena")
        assert isinstance(parsed, exp.Select)

    @pytest.mark.parametrize("hostile", ["x'; DROP TABLE scans; --", "''", "\\'", "a\nb", "%_!*", "\u2019"])
    def test_hostile_texts_stay_texts(self, hostile: str, tmp_path: Path) -> None:
        scope = sql.Scope(
            since=SCOPE.since, until=SCOPE.until, repositories=[hostile, "team/app"], regions=["eu-west-1"]
        )
        queries = [
            sql.open_findings(TABLES, scope, severities=[hostile]),
            sql.sla_breaches(TABLES, scope, Sla({hostile: 1}), now=NOW),
            sql.policy_violations(TABLES, scope, teams={hostile: hostile}, limits={hostile: 0}),
        ]
        connection = duck(written([scan("2026-11-01")], [row("2026-11-01", severity=hostile)]), tmp_path)
        for query in queries:
            (parsed,) = sqlglot.parse(query, read="athena")
            literals = {str(node.this) for node in parsed.find_all(exp.Literal) if node.is_string}
            assert hostile in literals
            assert len(rows_of(connection, query)) == 1

    def test_a_nul_is_refused(self) -> None:
        with pytest.raises(InvalidInput, match="NUL"):
            sql.open_findings(TABLES, SCOPE, severities=["a\x00"])

    @pytest.mark.parametrize("limits", [{}, {"HIGH": -1}, {"HIGH": True}, {"HIGH": 0.5}])
    def test_faulty_limits(self, limits: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match="no policy"):
            sql.policy_violations(TABLES, SCOPE, teams={}, limits=limits)


@pytest.fixture(scope="module")
def connection() -> Any:
    return empty_tables()


class TestTheSqlSaysWhatThePureFunctionsSay:
    """Remediation, deadlines and times in SQL agree with `audit` on any history."""

    @settings(max_examples=60)
    @given(data=st.data())
    def test_on_any_history(self, data: st.DataObject, connection: Any) -> None:
        moments = st.integers(0, 9).map(lambda n: f"2026-11-{n + 10}")
        images = st.sampled_from([A, B, C])
        scans = data.draw(
            st.lists(
                st.builds(
                    lambda at, digest, state, pushed, platform: scan(
                        at, digest, readiness=state, pushed_at=pushed and day(pushed), platform=platform
                    ),
                    moments, images, st.sampled_from(["ready", "ready", "expired", "failed"]), st.none() | moments,
                    st.sampled_from([None, "linux/arm64"]),
                ),
                max_size=7,
            )
        )  # fmt: skip
        rows = data.draw(
            st.lists(
                st.builds(
                    lambda at, digest, name, severity, state, first: row(
                        at, digest, name, severity, state=state, first_observed_at=first and day(first)
                    ),
                    moments, images, st.sampled_from(["CVE-1", "CVE-2"]),
                    st.sampled_from(["HIGH", "CRITICAL", "UNTRIAGED", "LOW"]),
                    st.sampled_from(["OPEN", "OPEN", "SUPPRESSED", "CLOSED"]), st.none() | moments,
                ),
                max_size=7,
            )
        )  # fmt: skip
        recorded = data.draw(
            st.none() | st.lists(st.builds(deployed, moments, images, st.sampled_from(["prod", "test"])), max_size=5)
        )
        use = recorded is not None
        known = remediations(scans, rows, recorded)
        fill(connection, scans=scans, findings=rows, deployments=recorded or [])
        found = rows_of(connection, sql.open_findings(TABLES, SCOPE, deployments=use))
        assert [
            (r["environment"], r["platform"], r["vulnerability_id"], r["severity"], r["found_at"], r["dated"],
             r["last_seen_at"], r["last_seen_in"], r["remediation_state"], r["suppressed"])
            for r in found
        ] == [
            (r.environment, r.platform, r.vulnerability_id, r.severity, r.found_at, r.dated, r.last_seen_at,
             r.last_seen_in, r.state, r.suppressed)
            for r in known if r.remedied_at is None
        ]  # fmt: skip
        judged = SLA.judge(known, now=NOW)
        found = rows_of(connection, sql.sla_breaches(TABLES, SCOPE, SLA, now=NOW, deployments=use))
        assert [(r["environment"], r["vulnerability_id"], r["sla_state"], r["due_at"], r["remedied_at"]) for r in found] == [
            (d.remediation.environment, d.remediation.vulnerability_id, d.state, d.due_at, d.remediation.remedied_at)
            for d in judged if d.breached or d.state == "unknown"
        ]  # fmt: skip
        found = rows_of(connection, sql.remediation_times(TABLES, SCOPE, deployments=use))
        expected = remediation_times(known)
        assert [(r["environment"], r["severity"], r["remedied"], r["not_remedied"]) for r in found] == [
            (t.environment, t.severity, t.remedied, t.not_remedied) for t in expected
        ]
        for got, told in zip(found, expected, strict=True):
            assert (got["mean_days"] is None) == (told.mean is None)
            if told.mean is not None and told.longest is not None:
                assert got["mean_days"] == pytest.approx(told.mean / dt.timedelta(days=1))
                assert got["longest_days"] == pytest.approx(told.longest / dt.timedelta(days=1))


class TestTeamsAndTrend:
    def test_violations_by_team(self, tmp_path: Path) -> None:
        store = MemoryObjects()
        kept = Archive(store, place=PLACE)
        for name in ("team-a/x", "team-a/y", "team-b/z", "team_a/x", "other"):
            kept.store(report(finding("CVE-1", "HIGH", "p", "q"), finding("CVE-2", "LOW"), repository=name))
        connection = duck(store, tmp_path)
        query = sql.policy_violations(
            TABLES, SCOPE, teams={"team-a/*": "A", "team_a/*": "under", "team-*": "B"}, limits={"HIGH": 0, "LOW": 1}
        )
        assert [(r["team"], r["severity"], r["found"], r["allowed"], r["repositories"]) for r in rows_of(connection, query)] == [
            ("A", "HIGH", 2, 0, 2), ("A", "LOW", 2, 1, 2), ("B", "HIGH", 1, 0, 1), ("no team", "HIGH", 1, 0, 1),
            ("under", "HIGH", 1, 0, 1),
        ]  # fmt: skip

    def test_suppressed_findings_are_no_violation(self, tmp_path: Path) -> None:
        connection = duck(written([scan("2026-11-01")], [row("2026-11-01", state="SUPPRESSED")]), tmp_path)
        assert not rows_of(connection, sql.policy_violations(TABLES, SCOPE, teams={}, limits={"HIGH": 0}))

    def test_trend_takes_the_last_successful_reading_of_a_day(self, tmp_path: Path) -> None:
        scans = [
            scan("2026-11-01T01:00", high=5), scan("2026-11-01T02:00", high=3),
            scan("2026-11-01T03:00", readiness="failed"), scan("2026-11-01T01:00", B, high=1, critical=2),
            scan("2026-11-02", readiness="expired"),
            scan("2026-11-02", readiness="expired", kind="coverage", scan_id="c"),
        ]  # fmt: skip
        first, second = rows_of(duck(written(scans, []), tmp_path), sql.trend(TABLES, SCOPE))
        assert (first["readings"], first["not_ready"], first["images"], first["high"], first["critical"]) == (
            4,
            1,
            2,
            4,
            2,
        )
        assert (second["readings"], second["not_ready"], second["high"]) == (1, 1, 0)

    def test_two_accounts_with_one_name_are_apart(self, tmp_path: Path) -> None:
        store = MemoryObjects()
        other = attrs_place("210987654321")
        Archive(store, place=PLACE).store(report(finding()), at=day("2026-11-20"))
        Archive(store, place=other).store(report(), at=day("2026-11-21"))
        (only,) = rows_of(duck(store, tmp_path), sql.open_findings(TABLES, SCOPE))
        assert only["account"] == ACCOUNT

    def test_days_outside_the_scope_are_not_read(self, tmp_path: Path) -> None:
        scope = sql.Scope(since=dt.date(2026, 11, 2), until=dt.date(2026, 11, 3))
        connection = duck(written([scan(f"2026-11-0{n}") for n in (1, 2, 3, 4)], []), tmp_path)
        assert [r["dt"] for r in rows_of(connection, sql.trend(TABLES, scope))] == ["2026-11-02", "2026-11-03"]

    def test_a_deployment_before_the_scope_still_counts(self, tmp_path: Path) -> None:
        scope = sql.Scope(since=dt.date(2026, 11, 1), until=dt.date(2026, 11, 30))
        bodies = written([scan("2026-11-05")], [row("2026-11-05")], [deployed("2025-01-01")])
        (only,) = rows_of(duck(bodies, tmp_path), sql.open_findings(TABLES, scope, deployments=True))
        assert only["environment"] == "prod"


def attrs_place(account: str) -> Any:
    from ecrkit.scanning.archive import Place

    return Place(account, "eu-west-1")
