"""Queries on CloudTrail: what they say, what cannot get into them, and SQL that an independent parser reads."""

from __future__ import annotations

import datetime as dt

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st
from sqlglot import exp

from ecrkit.deployments import calls_query, calls_sql, failures_query, failures_sql, pullers_query
from ecrkit.errors import InvalidInput, InvalidReference

SINCE, UNTIL = dt.datetime(2026, 11, 1, tzinfo=dt.UTC), dt.datetime(2026, 11, 2, 3, 4, 5, tzinfo=dt.UTC)
LAKE = "0f3b1b7e-5a0f-5c6e-8d53-1b5d1c2f7a90"
QUERIES = (calls_query, failures_query)


class TestLogsInsights:
    def test_whole_records_since_a_field_sees_only_the_first_image(self):
        query = calls_query(["BatchGetImage", "PutImage"], repository="team/app")
        assert query.whole_records
        assert "@message" in str(query)
        assert "imageIds.0" not in str(query)
        assert (
            'eventName in ["BatchGetImage", "PutImage"] and requestParameters.repositoryName = "team/app"' in query.text
        )

    def test_failures_and_pullers_are_counted_by_the_role_behind_a_session(self):
        for query in (failures_query(), pullers_query(repository="team/app")):
            assert not query.whole_records
            assert "coalesce(userIdentity.sessionContext.sessionIssuer.arn, userIdentity.arn)" in query.text
            assert query.text.splitlines()[-2] == "| sort calls desc"  # by the alias: after stats nothing else is left
        assert "ispresent(errorCode)" in failures_query().text
        assert "not ispresent(errorCode)" in pullers_query().text

    @pytest.mark.parametrize("make", QUERIES)
    @pytest.mark.parametrize("operations", [["x"], ['A"] or 1'], [], ["BatchGetImage", "Bad Name"]])
    def test_what_is_no_operation(self, make, operations):
        with pytest.raises(InvalidInput):
            make(operations)

    @given(st.text(max_size=30))
    def test_nothing_gets_out_of_its_quotes(self, name):
        for make in (calls_query, failures_query, pullers_query):
            try:
                text = make(repository=name).text
            except InvalidReference:
                continue
            assert text.count('"') == make().text.count('"') + 2
            assert "\\" not in name


class TestSql:
    @pytest.mark.parametrize("store", ["athena", "lake"])
    @pytest.mark.parametrize("make", [calls_sql, failures_sql])
    @pytest.mark.parametrize("repository", [None, "team/app"])
    def test_an_independent_parser_reads_it(self, store, make, repository):
        source = LAKE if store == "lake" else "trails.cloudtrail_logs"
        text = make(source, since=SINCE, until=UNTIL, repository=repository, store=store)
        parsed = sqlglot.parse_one(text if store == "athena" else text.replace(LAKE, "events"), dialect="trino")
        assert isinstance(parsed, exp.Select)
        literals = {literal.this for literal in parsed.find_all(exp.Literal)}
        assert ("team/app" in literals) == (repository is not None)
        assert "ecr.amazonaws.com" in literals
        assert ("2026-11-02T03:04:05Z" if store == "athena" else "2026-11-02 03:04:05") in literals

    def test_a_row_for_each_image_in_athena(self):
        text = calls_sql("logs", since=SINCE, until=UNTIL)
        assert "UNNEST(CAST(json_extract(requestParameters, '$.imageIds') AS ARRAY(JSON)))" in text
        assert "element_at(requestParameters, 'imageIds')" in calls_sql(LAKE, since=SINCE, until=UNTIL, store="lake")

    @pytest.mark.parametrize(
        ("source", "store"),
        [("x; DROP", "athena"), ("", "athena"), ("a.b.c.d", "athena"), ("logs", "lake"), (LAKE + "'", "lake")],
    )
    def test_what_is_no_source(self, source, store):
        for make in (calls_sql, failures_sql):
            with pytest.raises(InvalidInput, match="is no"):
                make(source, since=SINCE, until=UNTIL, store=store)

    def test_an_empty_time(self):
        with pytest.raises(InvalidInput, match="is not after"):
            calls_sql("logs", since=UNTIL, until=UNTIL)

    @given(st.text(max_size=30))
    def test_nothing_gets_out_of_its_quotes(self, name):
        try:
            text = calls_sql("logs", since=SINCE, until=UNTIL, repository=name)
        except InvalidReference:
            return
        assert text.count("'") == calls_sql("logs", since=SINCE, until=UNTIL).count("'") + 4
