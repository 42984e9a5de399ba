"""Who pulled and pushed what, from CloudTrail's records in CloudWatch Logs, CloudTrail Lake or Athena: the queries.

What CloudTrail cannot show, no query can: it knows the principal, and for pulls of a node that is the node's role with
the instance as its session. Which Pod, Deployment or service account asked is not in it; neither is a pull of an image
that a node had already, nor one through a mirror. A pull that found nothing looks like one that did.
Source: ECR user guide, "Logging Amazon ECR actions with AWS CloudTrail"; CloudWatch Logs Insights query syntax.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso, require_aware
from ecrkit.errors import InvalidInput, Problem
from ecrkit.refs import repository_name

__all__ = [
    "PULLS",
    "PUSHES",
    "LogsQuery",
    "calls_query",
    "calls_sql",
    "failures_query",
    "failures_sql",
    "pullers_query",
]

PULLS: Final = ("BatchGetImage",)
"""The call that begins a pull; each layer is a `GetDownloadUrlForLayer` of its own."""
PUSHES: Final = ("PutImage",)
"""The call that ends a push."""

Store = Literal["lake", "athena"]
"""Where the SQL runs: CloudTrail Lake on an event data store, or Athena on a table of the trail's files."""

_OPERATION: Final = re.compile(r"[A-Z][A-Za-z]{1,63}")
_STORE_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TABLE: Final = re.compile(r"[a-z_][a-z0-9_]{0,127}(?:\.[a-z_][a-z0-9_]{0,127}){0,2}")
_MOST: Final = 10_000
"""Logs Insights returns no more rows than this for a query."""


@attrs.frozen(kw_only=True)
class LogsQuery(Record):
    """A query for Logs Insights. `whole_records` says that its rows hold the records, in the field `@message`."""

    text: str
    whole_records: bool
    limit: int = _MOST

    @override
    def __str__(self) -> str:
        return self.text


def _checked(operations: Iterable[str], repository: str | None) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(operations))
    problems = [
        Problem(f"operations[{n}]", f"{name!r:.80} is no name of an operation, such as BatchGetImage")
        for n, name in enumerate(names)
        if not _OPERATION.fullmatch(name)
    ]
    if not names:
        problems.append(Problem("operations", "names no operation"))
    if problems:
        raise InvalidInput("no query", problems)
    if repository is not None:
        repository_name(repository)  # what passes holds no quote
    return names


def _filter(operations: tuple[str, ...], repository: str | None) -> str:
    listed = ", ".join(f'"{name}"' for name in operations)
    found = f'filter eventSource = "ecr.amazonaws.com" and eventName in [{listed}]'
    return found if repository is None else f'{found} and requestParameters.repositoryName = "{repository}"'


def calls_query(operations: Iterable[str] = PULLS, *, repository: str | None = None) -> LogsQuery:
    """Return the query for whole records of calls, oldest first, to be read by `ecrkit.events`.

    A query on `requestParameters.imageIds.0.imageTag` sees the first of up to 100 images of a call, and none that was
    named by its digest. The record has them all.

    Args:
        operations: by default those that begin a pull.
        repository: only of this one.

    Raises:
        InvalidInput: an operation is none.
        InvalidReference: the repository's name is none.

    Example:
        >>> print(calls_query(repository="team/app"))
        fields @timestamp, @message
        | filter eventSource = "ecr.amazonaws.com" and eventName in ["BatchGetImage"] and \
requestParameters.repositoryName = "team/app"
        | sort @timestamp asc
        | limit 10000
    """
    names = _checked(operations, repository)
    text = f"fields @timestamp, @message\n| {_filter(names, repository)}\n| sort @timestamp asc\n| limit {_MOST}"
    return LogsQuery(text=text, whole_records=True)


def failures_query(operations: Iterable[str] = (*PULLS, *PUSHES), *, repository: str | None = None) -> LogsQuery:
    """Return the query for refused calls, counted by operation, error code and principal, most first.

    Raises:
        InvalidInput: an operation is none.
        InvalidReference: the repository's name is none.
    """
    names = _checked(operations, repository)
    return LogsQuery(
        text=(
            f"fields eventName\n| {_filter(names, repository)} and ispresent(errorCode)\n"
            "| stats count(*) as calls, max(@timestamp) as last by eventName, errorCode,"
            " coalesce(userIdentity.sessionContext.sessionIssuer.arn, userIdentity.arn) as principal,"
            " requestParameters.repositoryName as repository\n"
            f"| sort calls desc\n| limit {_MOST}"
        ),
        whole_records=False,
    )


def pullers_query(*, repository: str | None = None) -> LogsQuery:
    """Return the query for who pulls: calls counted by principal, with the number of its sessions.

    A node role shows as many sessions as it has instances; a role of a pipeline shows its runs. Neither names a
    workload.

    Raises:
        InvalidReference: the repository's name is none.
    """
    names = _checked(PULLS, repository)
    return LogsQuery(
        text=(
            f"fields eventName\n| {_filter(names, repository)} and not ispresent(errorCode)\n"
            "| stats count(*) as calls, count_distinct(userIdentity.principalId) as sessions, max(@timestamp) as last"
            " by coalesce(userIdentity.sessionContext.sessionIssuer.arn, userIdentity.arn) as principal,"
            " requestParameters.repositoryName as repository\n"
            f"| sort calls desc\n| limit {_MOST}"
        ),
        whole_records=False,
    )


def calls_sql(
    source: str,
    *,
    since: dt.datetime,
    until: dt.datetime,
    operations: Iterable[str] = PULLS,
    repository: str | None = None,
    store: Store = "athena",
) -> str:
    """Return the SQL for calls with the images that they name.

    Athena gives a row for each image, with its digest or tag. CloudTrail Lake keeps parameters as a map of texts, and
    how it writes a list is not documented: there the column `images` is that text, and a call is one row.

    Args:
        source: the name of the table, or the id of the event data store.
        since: the first instant.
        until: the first instant that is no more within.
        operations: by default those that begin a pull.
        repository: only of this one.
        store: Athena on the table that CloudTrail's console makes, or CloudTrail Lake.

    Raises:
        InvalidInput: the source or an operation is none, or the time is empty.
        InvalidReference: the repository's name is none.
    """
    scope = _Scope(source, store, _checked(operations, repository), repository)
    principal = "userIdentity.arn AS principal, userIdentity.sessionContext.sessionIssuer.arn AS role, errorCode"
    if store == "lake":
        named = (
            "element_at(requestParameters, 'repositoryName') AS repository, element_at(requestParameters, 'imageIds')"
        )
        return (
            f"SELECT eventTime, eventName, {named} AS images, {principal}\n"
            f"FROM {scope.table}\n{scope.where(since, until)}\nORDER BY eventTime"
        )
    return (
        "SELECT eventTime, eventName, json_extract_scalar(requestParameters, '$.repositoryName') AS repository,"
        " json_extract_scalar(image, '$.imageDigest') AS digest, json_extract_scalar(image, '$.imageTag') AS tag,"
        f" {principal}\nFROM {scope.table}\n"
        "CROSS JOIN UNNEST(CAST(json_extract(requestParameters, '$.imageIds') AS ARRAY(JSON))) AS i (image)\n"
        f"{scope.where(since, until)}\nORDER BY eventTime"
    )


def failures_sql(
    source: str,
    *,
    since: dt.datetime,
    until: dt.datetime,
    operations: Iterable[str] = (*PULLS, *PUSHES),
    repository: str | None = None,
    store: Store = "athena",
) -> str:
    """Return the SQL for refused calls, counted by operation, error code and principal.

    Arguments and errors are those of `calls_sql`.
    """
    scope = _Scope(source, store, _checked(operations, repository), repository)
    principal = "COALESCE(userIdentity.sessionContext.sessionIssuer.arn, userIdentity.arn)"
    return (
        f"SELECT eventName, errorCode, {principal} AS principal, COUNT(*) AS calls, MAX(eventTime) AS last\n"
        f"FROM {scope.table}\n{scope.where(since, until)} AND errorCode IS NOT NULL\n"
        f"GROUP BY eventName, errorCode, {principal}\nORDER BY calls DESC"
    )


@attrs.frozen
class _Scope:
    source: str
    store: Store
    names: tuple[str, ...]
    repository: str | None

    @property
    def table(self) -> str:
        """The source, checked: what passes needs no quotes."""
        lake = self.store == "lake"
        form, what = (_STORE_ID, "id of an event data store") if lake else (_TABLE, "name of a table")
        if not form.fullmatch(self.source):
            raise InvalidInput.single("no query", "source", f"{self.source!r:.80} is no {what}")
        return self.source

    def where(self, since: dt.datetime, until: dt.datetime) -> str:
        """Return the condition. Lake compares timestamps, a trail's files hold ISO 8601 texts."""
        first, end = require_aware(since, "since"), require_aware(until, "until")
        if end <= first:
            raise InvalidInput.single("no query", "until", f"{iso(end)} is not after {iso(first)}")
        told = _plain if self.store == "lake" else iso
        listed = ", ".join(f"'{name}'" for name in self.names)
        found = (
            f"WHERE eventSource = 'ecr.amazonaws.com' AND eventName IN ({listed})"
            f" AND eventTime >= '{told(first)}' AND eventTime < '{told(end)}'"
        )
        if self.repository is None:
            return found
        of = "element_at(requestParameters, 'repositoryName')"
        if self.store == "athena":
            of = "json_extract_scalar(requestParameters, '$.repositoryName')"
        return f"{found} AND {of} = '{self.repository}'"


def _plain(at: dt.datetime) -> str:
    return at.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S")
