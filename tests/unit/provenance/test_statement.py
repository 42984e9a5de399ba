"""Statements: valid to an independent implementation, read back as they were, and those of other builders too."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as Independent

from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.provenance import Build, Material, Statement, statement_of

D1, D2 = "sha256:" + "1" * 64, "sha256:" + "2" * 64
FULL = Build(
    commit="a" * 40, repository="https://github.com/acme/app", ref="refs/heads/main", workflow=".github/workflows/ci.yml",
    run="https://github.com/acme/app/actions/runs/7", builder="https://github.com/actions/runner/github-hosted",
    actor="octocat", started_at=dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC),
    finished_at=dt.datetime(2026, 11, 25, 12, 5, tzinfo=dt.UTC), dockerfile="docker/Dockerfile",
    materials=[Material(uri="docker.io/library/python:3.12", digest=D2), Material(uri="https://example.com/x.tgz")],
    environment={"event": "push"}, source="github",
)  # fmt: skip

texts = st.none() | st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20)
times = st.none() | st.datetimes(dt.datetime(2000, 1, 1), dt.datetime(2100, 1, 1), timezones=st.just(dt.UTC))
builds = st.builds(
    Build,
    commit=st.none() | st.integers(0, 2**160 - 1).map(lambda n: f"{n:040x}"),
    repository=st.none() | st.sampled_from(["https://github.com/acme/app", "ssh://git.example.com/x"]),
    ref=st.none() | st.sampled_from(["refs/heads/main", "refs/tags/v1"]),
    workflow=texts, run=texts, builder=texts.filter(lambda t: t != "unknown"), actor=texts, dockerfile=texts,
    started_at=times, finished_at=times,
    materials=st.lists(st.builds(Material, uri=st.sampled_from(["a", "docker.io/x:1"]), digest=st.sampled_from([None, D1])), max_size=3),
    environment=st.dictionaries(st.sampled_from(["event", "job"]), st.text(max_size=9), max_size=2),
    source=st.sampled_from(["github", "gitlab", "jenkins", "codebuild", "git", "caller"]),
)  # fmt: skip


def independent(statement):
    """What the reference library makes of it; it raises for what is no statement."""
    message = json_format.Parse(statement.to_json(), statement_pb2.Statement())
    Independent.copy_from_pb(message).validate()
    return message


class TestForOthers:
    @given(builds, st.dictionaries(st.sampled_from(["team/app", "x"]), st.sampled_from([D1, D2]), min_size=1))
    def test_every_statement_is_valid_to_an_independent_implementation(self, build, subjects):
        found = independent(statement_of(build, subjects))
        assert {(s.name, f"sha256:{s.digest['sha256']}") for s in found.subject} == set(subjects.items())
        assert found.predicate_type == "https://slsa.dev/provenance/v1"

    def test_the_fields_of_the_predicate(self):
        predicate = statement_of(FULL, {"team/app": D1}).to_dict()["predicate"]
        assert predicate == {
            "buildDefinition": {
                "buildType": "urn:ecrkit:container-build:v1",
                "externalParameters": {
                    "source": FULL.repository, "ref": FULL.ref, "workflow": FULL.workflow, "dockerfile": FULL.dockerfile,
                },
                "internalParameters": {"actor": "octocat", "environment": {"event": "push"}, "told_by": "github"},
                "resolvedDependencies": [
                    {"uri": "git+https://github.com/acme/app@refs/heads/main", "digest": {"gitCommit": "a" * 40}},
                    {"uri": "docker.io/library/python:3.12", "digest": {"sha256": "2" * 64}},
                    {"uri": "https://example.com/x.tgz"},
                ],
            },
            "runDetails": {
                "builder": {"id": FULL.builder},
                "metadata": {
                    "invocationId": FULL.run, "startedOn": "2026-11-25T12:00:00Z", "finishedOn": "2026-11-25T12:05:00Z",
                },
            },
        }  # fmt: skip

    def test_equal_statements_are_equal_texts(self):
        one = statement_of(FULL, {"a": D1, "b": D2}).to_json()
        assert one == statement_of(FULL, {"b": D2, "a": D1}).to_json()
        assert json.loads(statement_of(FULL, {"a": D1}).to_json(indent=2))["_type"] == "https://in-toto.io/Statement/v1"

    def test_what_is_no_subject(self):
        with pytest.raises(InvalidInput, match="one image at least"):
            statement_of(FULL, {})
        with pytest.raises(InvalidReference):
            statement_of(FULL, {"a": "latest"})


class TestReadBack:
    @given(builds)
    def test_what_was_said_is_what_is_read(self, build):
        read = Statement.parse(statement_of(build, {"team/app": D1}).to_json())
        assert read.about(D1)
        assert not read.about(D2)
        assert read.build() == build

    def test_of_githubs_build_type(self):
        predicate = {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {"workflow": {
                    "ref": "refs/heads/main", "repository": "https://github.com/acme/app", "path": ".github/workflows/x.yml"}},
                "resolvedDependencies": [
                    {"uri": "git+https://github.com/acme/app@refs/heads/main", "digest": {"gitCommit": "b" * 40}}],
            },
            "runDetails": {"builder": {"id": "https://github.com/actions/runner/github-hosted"},
                           "metadata": {"invocationId": "https://github.com/acme/app/actions/runs/9/attempts/1"}},
        }  # fmt: skip
        build = Statement(
            subjects={"x": D1}, predicate_type="https://slsa.dev/provenance/v1", predicate=predicate
        ).build()
        assert (build.commit, build.repository, build.ref) == (
            "b" * 40,
            "https://github.com/acme/app",
            "refs/heads/main",
        )
        assert (build.workflow, build.source) == (".github/workflows/x.yml", "caller")

    def test_of_buildkit(self):
        predicate = {
            "buildDefinition": {"buildType": "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md",
                "externalParameters": {"configSource": {"path": "Dockerfile"}},
                "resolvedDependencies": [{"uri": "pkg:docker/alpine@3.20?platform=linux%2Famd64", "digest": {"sha256": "3" * 64}}]},
            "runDetails": {"builder": {"id": ""}, "metadata": {"startedOn": "2026-11-25T12:00:00Z"}},
        }  # fmt: skip
        build = Statement(
            subjects={"x": D1}, predicate_type="https://slsa.dev/provenance/v1", predicate=predicate
        ).build()
        assert build.materials == (
            Material(uri="pkg:docker/alpine@3.20?platform=linux%2Famd64", digest="sha256:" + "3" * 64),
        )
        assert (build.commit, build.repository, build.builder) == (None, None, None)

    def test_another_predicate_tells_no_build(self):
        with pytest.raises(InvalidInput, match="spdx"):
            Statement(subjects={"x": D1}, predicate_type="https://spdx.dev/Document", predicate={}).build()

    def test_a_time_that_is_none(self):
        predicate = {"runDetails": {"metadata": {"startedOn": "noon"}}}
        with pytest.raises(InvalidInput, match="startedOn"):
            Statement(subjects={"x": D1}, predicate_type="https://slsa.dev/provenance/v1", predicate=predicate).build()

    @pytest.mark.parametrize(
        "predicate",
        [{}, {"buildDefinition": 3, "runDetails": []}, {"buildDefinition": {"resolvedDependencies": [3, {}]}}],
    )
    def test_parts_of_the_wrong_kind_tell_nothing(self, predicate):
        found = Statement(
            subjects={"x": D1}, predicate_type="https://slsa.dev/provenance/v1", predicate=predicate
        ).build()
        assert found.commit is None


class TestParsing:
    @pytest.mark.parametrize(
        ("text", "paths"),
        [
            ("{", ["$"]), ("[]", ["$"]), (" " * 5_000_000, ["$"]),
            ("{}", ["$._type", "$.predicateType", "$.subject"]),
            ({"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "x", "subject": [{}], "predicate": []},
             ["$._type", "$.predicate", "$.subject[0].digest.sha256"]),
            ({"_type": "https://in-toto.io/Statement/v1", "predicateType": "x", "subject": [{"digest": {"sha256": "zz"}}]},
             ["$.subject[0].digest.sha256"]),
        ],
    )  # fmt: skip
    def test_what_is_none(self, text, paths):
        with pytest.raises(InvalidInput) as caught:
            Statement.parse(text)
        assert [p.path for p in caught.value.problems] == paths

    def test_subjects_without_a_name_or_with_the_same(self):
        subjects = [
            {"digest": {"sha256": "1" * 64}},
            {"name": "a", "digest": {"sha256": "2" * 64}},
            {"name": "a", "digest": {"sha256": "3" * 64}},
        ]
        found = Statement.parse({"_type": "https://in-toto.io/Statement/v1", "predicateType": "x", "subject": subjects})
        assert set(found.subjects.values()) == {D1, D2, "sha256:" + "3" * 64}
