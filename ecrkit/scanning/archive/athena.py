"""SQL for Athena over the archive: the tables with partition projection, and the queries of an audit.

Every function returns text and calls nothing; `ecrkit.aws.athena.Athena` runs it. The SQL keeps to what Athena (engine
version 3) and DuckDB both read, so each query is tested on DuckDB over written objects, and the remediation rule
against `audit.remediations`. Sources: Athena user guide, partition projection and JSON SerDe.
"""

# Values come into the SQL through _literal, _moment and int, names through _name; tests feed them hostile text.
# ruff: noqa: S608

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from ecrkit._internal.hive import bucket_problems, external_table, identifier, literal, projected_problems
from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.scanning.archive.audit import LATEST_PUSH, UNJUDGED, Sla
from ecrkit.scanning.archive.layout import Layout
from ecrkit.scanning.archive.rows import DeploymentRow, FindingRow, ScanRow, athena_time

__all__ = [
    "Scope",
    "Tables",
    "create_tables",
    "open_findings",
    "policy_violations",
    "remediation_times",
    "sla_breaches",
    "trend",
]

_TYPES: Final[dict[str, str]] = {"str": "string", "int": "int", "float": "double", "bool": "boolean"}
_ROWS: Final[dict[str, Any]] = {"scans": ScanRow, "findings": FindingRow, "deployments": DeploymentRow}


def _moment(value: dt.datetime) -> str:
    return f"timestamp '{athena_time(value)}'"


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    return tuple(given)


def columns(table: str) -> dict[str, str]:
    """Return the columns of a table and their Athena types, without the partitions."""
    found: dict[str, str] = {}
    for field in attrs.fields(_ROWS[table]):
        kind = str(field.type).partition(" ")[0]
        found[field.name] = "timestamp" if "datetime" in kind else _TYPES.get(kind, "string")
    return found


@attrs.frozen(kw_only=True)
class Tables(Record):
    """Where the tables are and how they are partitioned.

    `accounts` is the list of accounts for a projection of type enum. Without it the account is an `injected`
    partition, which any account fits, and every query must then name exactly one: Athena answers
    CONSTRAINT_VIOLATION otherwise, so no report of a fleet can run. `regions` is a short list.

    Example:
        >>> Tables(bucket="audit", regions=["eu-west-1"], accounts=["123456789012"]).of("scans")
        '"ecr_scans"."scans"'
    """

    bucket: str
    regions: tuple[str, ...] = attrs.field(converter=_texts)
    accounts: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    database: str = attrs.field(default="ecr_scans", converter=identifier)
    layout: Layout = attrs.field(factory=Layout)
    start: dt.date = dt.date(2024, 1, 1)

    def __attrs_post_init__(self) -> None:
        problems = bucket_problems(self.bucket) + projected_problems(self.accounts, self.regions)
        if problems:
            raise InvalidInput("no tables", problems)

    def of(self, table: str) -> str:
        """Return the quoted name of a table in a query."""
        return f'"{self.database}"."{identifier(table)}"'


def create_tables(tables: Tables) -> tuple[str, ...]:
    """Return the DDL: the database, then the tables `scans`, `findings` and `deployments`. Athena runs one a time.

    Example:
        >>> create_tables(Tables(bucket="audit", regions=["eu-west-1"], accounts=["123456789012"]))[0]
        'CREATE DATABASE IF NOT EXISTS `ecr_scans`'
    """
    return (
        f"CREATE DATABASE IF NOT EXISTS `{tables.database}`",
        *(_table(tables, name) for name in ("scans", "findings", "deployments")),
    )


def _table(tables: Tables, name: str) -> str:
    return external_table(
        tables.database,
        name,
        columns(name),
        location=f"s3://{tables.bucket}/{tables.layout.folder(name)}",
        storage="ROW FORMAT SERDE 'org.openx.data.jsonserde.JsonSerDe'",
        accounts=tables.accounts,
        regions=tables.regions,
        start=tables.start,
    )


@attrs.frozen(kw_only=True)
class Scope(Record):
    """Which rows a query reads: days of reading, both included, and accounts, Regions and repositories, if not all.

    The days bound what Athena reads and costs, and what it knows: begin well before the first finding that matters.
    """

    since: dt.date
    until: dt.date
    accounts: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    regions: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    repositories: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    def __attrs_post_init__(self) -> None:
        if self.until < self.since:
            raise InvalidInput.single("no scope", "until", f"{self.until} lies before {self.since}")

    def where(self, tables: Tables) -> str:
        """Return the condition on the partitions and the repository.

        Raises:
            InvalidInput: the account is an injected partition, and the scope does not name exactly one.
        """
        if not tables.accounts and len(self.accounts) != 1:
            message = f"the account is an injected partition: name exactly one, not {len(self.accounts)}"
            raise InvalidInput.single("no scope", "accounts", message)
        parts = [f"dt BETWEEN '{self.since.isoformat()}' AND '{self.until.isoformat()}'"]
        for column, values in (
            ("account", self.accounts), ("region", self.regions), ("repository", self.repositories),
        ):  # fmt: skip
            if len(values) == 1:
                parts.append(f"{column} = {literal(values[0])}")
            elif values:
                parts.append(f"{column} IN ({', '.join(literal(v) for v in values)})")
        return " AND ".join(parts)


_STREAM: Final = ("account", "region", "repository", "environment", "platform")
_IMAGE: Final = ("account", "region", "repository", "image_digest")


def _same(left: str, right: str, names: Sequence[str]) -> str:
    return " AND ".join(f"{left}.{n} = {right}.{n}" for n in names)


def _of(alias: str, names: Sequence[str]) -> str:
    return ", ".join(f"{alias}.{n}" for n in names)


def _remediation(tables: Tables, scope: Scope, deployments: bool) -> str:
    """Return the common table expressions up to `remediation`: the rule of `audit.remediations` in SQL."""
    where = scope.where(tables)
    if deployments:
        # A deployment may lie before the first day that is read and still be the current one.
        begun = attrs.evolve(scope, since=min(tables.start, scope.since)).where(tables)
        deployed = (
            "SELECT DISTINCT account, region, repository, environment, platform, image_digest, since AS begins_at\n"
            f"  FROM {tables.of('deployments')} WHERE {begun}"
        )
    else:
        deployed = (
            f"SELECT account, region, repository, '{LATEST_PUSH}' AS environment,\n"
            "    max(coalesce(platform, '')) AS platform, image_digest,\n"
            "    coalesce(min(pushed_at), min(read_at)) AS begins_at\n"
            "  FROM (\n"
            "    SELECT account, region, repository, image_digest, platform, read_at, pushed_at FROM scan\n"
            "    UNION ALL\n"
            "    SELECT account, region, repository, image_digest, platform, read_at, CAST(NULL AS timestamp)\n"
            "    FROM finding\n"
            "  ) AS known GROUP BY account, region, repository, image_digest"
        )
    stream = ", ".join(_STREAM)
    found = ("account", "region", "repository", "vulnerability_id", "package")
    case = (*_STREAM, "vulnerability_id", "package", "severity", "state", "image_digest", "moment")
    return f"""WITH scan AS (
  SELECT * FROM {tables.of("scans")} WHERE {where}
), finding AS (
  SELECT * FROM {tables.of("findings")} WHERE {where}
), deployed AS (
  {deployed}
), spell AS (
  SELECT {stream}, image_digest, begins_at,
    lead(begins_at) OVER (PARTITION BY {stream} ORDER BY begins_at, image_digest) AS ends_at
  FROM deployed
), proof AS (
  SELECT {_of("s", _STREAM)}, greatest(c.read_at, s.begins_at) AS moment
  FROM spell AS s JOIN scan AS c ON {_same("s", "c", _IMAGE)}
  WHERE c.closes AND (s.ends_at IS NULL OR c.read_at < s.ends_at)
), seen AS (
  SELECT {_of("s", _STREAM)}, f.vulnerability_id, f.package, f.severity, f.state, f.image_digest,
    greatest(f.read_at, s.begins_at) AS moment,
    row_number() OVER (
      PARTITION BY {_of("s", _STREAM)}, f.vulnerability_id, f.package
      ORDER BY greatest(f.read_at, s.begins_at) DESC, f.image_digest DESC, f.severity DESC, f.state
    ) AS place
  FROM spell AS s JOIN finding AS f ON {_same("s", "f", _IMAGE)}
  WHERE f.state <> 'CLOSED' AND (s.ends_at IS NULL OR f.read_at < s.ends_at)
), clock AS (
  SELECT {", ".join(found)}, min(coalesce(first_observed_at, read_at)) AS found_at,
    max(CASE WHEN first_observed_at IS NULL THEN 0 ELSE 1 END) AS by_scanner
  FROM finding GROUP BY {", ".join(found)}
), begun AS (
  SELECT account, region, repository, min(read_at) AS first_at FROM scan WHERE closes
  GROUP BY account, region, repository
), newest AS (
  SELECT {stream}, image_digest FROM spell WHERE ends_at IS NULL
), judged AS (
  SELECT {_of("v", case)}, k.found_at, k.by_scanner, b.first_at, n.image_digest AS current_digest,
    min(p.moment) AS remedied_at
  FROM seen AS v
  JOIN clock AS k ON {_same("v", "k", found)}
  LEFT JOIN begun AS b ON {_same("v", "b", ("account", "region", "repository"))}
  LEFT JOIN newest AS n ON {_same("v", "n", _STREAM)}
  LEFT JOIN proof AS p ON {_same("v", "p", _STREAM)} AND p.moment > v.moment
  WHERE v.place = 1
  GROUP BY {_of("v", case)}, k.found_at, k.by_scanner, b.first_at, n.image_digest
), remediation AS (
  SELECT {stream}, vulnerability_id, package, severity, state = 'SUPPRESSED' AS suppressed, found_at,
    by_scanner = 1 OR (first_at IS NOT NULL AND first_at < found_at) AS dated,
    moment AS last_seen_at, image_digest AS last_seen_in, remedied_at,
    CASE WHEN remedied_at IS NOT NULL THEN 'remedied' WHEN image_digest = current_digest THEN 'open'
      ELSE 'unconfirmed' END AS remediation_state
  FROM judged
)
"""


def open_findings(tables: Tables, scope: Scope, *, severities: Iterable[str] = (), deployments: bool = False) -> str:
    """Return the query of what is not remedied: open in the current digest, or unconfirmed since a newer one came.

    A finding that vanished without a later successful scan is in the answer. `deployments` reads the recorded
    deployments; otherwise the latest push of each repository is the current digest.
    """
    chosen = tuple(severities)
    narrowed = f" AND severity IN ({', '.join(literal(s) for s in chosen)})" if chosen else ""
    return (
        _remediation(tables, scope, deployments)
        + "SELECT * FROM remediation WHERE remediation_state <> 'remedied'"
        + narrowed
        + "\nORDER BY repository, environment, platform, vulnerability_id, package"
    )


def remediation_times(tables: Tables, scope: Scope, *, deployments: bool = False) -> str:
    """Return the query of the mean and longest days to remediate, and how many are not remedied, by severity.

    The rule is that of [`remediations`][ecrkit.scanning.archive.audit].
    """
    # No greatest() here: of NULL and a time Athena makes NULL, and DuckDB the time.
    end = "CASE WHEN remedied_at < found_at THEN found_at ELSE remedied_at END"
    took = f"date_diff('second', found_at, {end}) / 86400.0"
    return (
        _remediation(tables, scope, deployments)
        + f"""SELECT account, region, repository, environment, severity,
  count(remedied_at) AS remedied, count(*) - count(remedied_at) AS not_remedied,
  avg({took}) AS mean_days, max({took}) AS longest_days
FROM remediation
GROUP BY account, region, repository, environment, severity
ORDER BY account, region, repository, environment, severity"""
    )


def sla_breaches(tables: Tables, scope: Scope, sla: Sla, *, now: dt.datetime, deployments: bool = False) -> str:
    """Return the query of deadlines that were missed (`late`, `overdue`) or that nobody can tell (`unknown`).

    The rule is that of [`Sla`][ecrkit.scanning.archive.audit].
    """
    due = " ".join(
        f"WHEN {literal(severity)} THEN found_at + INTERVAL '{days}' DAY" for severity, days in sorted(sla.days.items())
    )
    unjudged = ", ".join(literal(s) for s in UNJUDGED)
    return (
        _remediation(tables, scope, deployments)
        + f""", deadline AS (
  SELECT *, CASE severity {due} END AS due_at FROM remediation
), judgement AS (
  SELECT *, CASE
    WHEN due_at IS NULL THEN CASE WHEN severity IN ({unjudged}) THEN 'unknown' END
    WHEN remedied_at IS NOT NULL AND remedied_at > due_at THEN 'late'
    WHEN remedied_at IS NULL AND {_moment(now)} > due_at THEN 'overdue'
    WHEN NOT dated THEN 'unknown'
  END AS sla_state
  FROM deadline
)
SELECT * FROM judgement WHERE sla_state IS NOT NULL
ORDER BY repository, environment, platform, vulnerability_id, package"""
    )


def policy_violations(
    tables: Tables, scope: Scope, *, teams: Mapping[str, str], limits: Mapping[str, int], deployments: bool = False
) -> str:
    """Return the query of teams that have more unremedied vulnerabilities of a severity than the policy allows.

    `teams` maps patterns of repositories (`*` stands for any characters) to teams; the first that fits counts, and
    what fits none belongs to `no team`. One vulnerability of one repository and environment counts once, whatever the
    number of packages. Suppressed ones do not count, as in a gate; exemptions are not in the archive.

    Raises:
        InvalidInput: no limit is given, or one is negative.
    """
    problems = [
        Problem(f"limits[{name!r}]", f"must be a whole number from 0, not {limit!r}")
        for name, limit in limits.items()
        if isinstance(limit, bool) or limit != int(limit) or limit < 0
    ]
    if not limits:
        problems.append(Problem("limits", "name at least one severity"))
    if problems:
        raise InvalidInput("no policy", problems)
    whose = " ".join(f"WHEN repository LIKE {_like(p)} ESCAPE '!' THEN {literal(t)}" for p, t in teams.items())
    team = f"CASE {whose} ELSE 'no team' END" if teams else "'no team'"
    allowed = " ".join(f"WHEN {literal(name)} THEN {int(limit)}" for name, limit in sorted(limits.items()))
    return (
        _remediation(tables, scope, deployments)
        + f""", counted AS (
  SELECT DISTINCT {team} AS team, severity, account, region, repository, environment, vulnerability_id,
    CASE severity {allowed} END AS allowed
  FROM remediation WHERE remediation_state <> 'remedied' AND NOT suppressed
)
SELECT team, severity, count(*) AS found, allowed, count(DISTINCT repository) AS repositories
FROM counted WHERE allowed IS NOT NULL
GROUP BY team, severity, allowed
HAVING count(*) > allowed
ORDER BY team, severity"""
    )


def _like(pattern: str) -> str:
    escaped = pattern.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return literal(escaped.replace("*", "%"))


def trend(tables: Tables, scope: Scope) -> str:
    """Return the query of each day's readings, images, and vulnerabilities by severity.

    Of several readings of an image on one day the last successful one counts. `not_ready` says how many readings of the
    day told nothing; a day whose vulnerabilities fall while it rises is no better day.
    """
    sums = ", ".join(
        f"coalesce(sum(CASE WHEN place = 1 AND readiness = 'ready' THEN {name} END), 0) AS {name}"
        for name in ("critical", "high", "medium", "low", "other")
    )
    return f"""WITH reading AS (
  SELECT *, row_number() OVER (
    PARTITION BY dt, account, region, repository, image_digest
    ORDER BY CASE WHEN readiness = 'ready' THEN 0 ELSE 1 END, read_at DESC, scan_id
  ) AS place
  FROM {tables.of("scans")} WHERE {scope.where(tables)} AND kind = 'report'
)
SELECT dt, count(*) AS readings, sum(CASE WHEN readiness = 'ready' THEN 0 ELSE 1 END) AS not_ready,
  sum(CASE WHEN place = 1 THEN 1 ELSE 0 END) AS images, {sums}
FROM reading GROUP BY dt ORDER BY dt"""
