"""The facts of a build: checked, compared, saved, and read from where builds run."""

from __future__ import annotations

import datetime as dt
import json
import subprocess

import pytest
from hypothesis import given

from ecrkit.errors import InvalidInput
from ecrkit.provenance import Build, Material, from_environment, from_git
from tests.unit.provenance.test_statement import FULL, builds

SHA = "c" * 40


class TestFacts:
    @given(builds)
    def test_round_trip(self, build):
        assert Build.from_dict(json.loads(build.to_json())) == build

    @pytest.mark.parametrize(
        ("facts", "path"),
        [
            ({"commit": "abc"}, "$.commit"), ({"commit": SHA.upper()}, "$.commit"), ({"run": ""}, "$.run"),
            ({"actor": "x" * 3000}, "$.actor"), ({"workflow": "a\nb"}, "$.workflow"),
            ({"repository": "https://user:token@github.com/a"}, "$.repository"),
            ({"started_at": dt.datetime(2026, 1, 1)}, "$.started_at"),
            ({"materials": [Material(uri="x", digest="latest")]}, "$.materials[0].digest"),
            ({"environment": {"a": "x" * 3000}}, "$.environment.a"),
        ],
    )  # fmt: skip
    def test_what_is_no_fact(self, facts, path):
        with pytest.raises(InvalidInput) as caught:
            Build(**facts)
        assert [p.path for p in caught.value.problems] == [path]

    def test_a_token_in_a_url_is_not_told_on(self):
        with pytest.raises(InvalidInput) as caught:
            Build(repository="https://user:s3cr3t@github.com/a")
        assert "s3cr3t" not in str(caught.value)

    @pytest.mark.parametrize(
        ("saved", "paths"),
        [
            ([], ["$"]), ({}, ["$.format"]), ({"format": 1, "x": 1, "started_at": "noon", "materials": 3, "environment": 3},
             ["$.x", "$.started_at", "$.materials", "$.environment"]),
            ({"format": 1, "materials": [3]}, ["$.materials[0]"]), ({"format": 1, "commit": 3}, ["$.commit"]),
        ],
    )  # fmt: skip
    def test_what_was_not_saved(self, saved, paths):
        with pytest.raises(InvalidInput) as caught:
            Build.from_dict(saved)
        assert [p.path for p in caught.value.problems] == paths

    def test_identity_is_of_the_build_and_not_of_its_telling(self):
        import attrs

        later = attrs.evolve(FULL, finished_at=None, actor=None, materials=(), environment={})
        assert later.identity == FULL.identity
        assert attrs.evolve(FULL, run="x").identity != FULL.identity

    def test_conflicts(self):
        import attrs

        assert FULL.conflicts_with(attrs.evolve(FULL, run=None, commit=None)) == ()
        found = FULL.conflicts_with(attrs.evolve(FULL, commit="d" * 40, ref="refs/heads/x"))
        assert [text.partition(":")[0] for text in found] == ["commit", "ref"]


GITHUB = {
    "GITHUB_ACTIONS": "true", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/app",
    "GITHUB_SHA": SHA, "GITHUB_REF": "refs/pull/7/merge", "GITHUB_RUN_ID": "99", "GITHUB_RUN_ATTEMPT": "2",
    "GITHUB_WORKFLOW_REF": "acme/app/.github/workflows/ci.yml@refs/heads/main", "GITHUB_ACTOR": "octocat",
    "GITHUB_HEAD_REF": "feature", "GITHUB_EVENT_NAME": "pull_request", "RUNNER_ENVIRONMENT": "github-hosted",
    "GITHUB_TOKEN": "ghs_secret",
}  # fmt: skip


class TestCiSystems:
    def test_github(self):
        found = from_environment(GITHUB, dockerfile="Dockerfile", materials=[Material(uri="x")])
        assert found == Build(
            commit=SHA, repository="https://github.com/acme/app", ref="refs/pull/7/merge",
            workflow="acme/app/.github/workflows/ci.yml@refs/heads/main",
            run="https://github.com/acme/app/actions/runs/99/attempts/2",
            builder="https://github.com/actions/runner/github-hosted", actor="octocat", dockerfile="Dockerfile",
            materials=[Material(uri="x")], environment={"event": "pull_request", "head_ref": "feature"}, source="github",
        )  # fmt: skip
        assert "ghs_secret" not in found.to_json()

    def test_gitlab(self):
        found = from_environment({
            "GITLAB_CI": "true", "CI_COMMIT_SHA": SHA, "CI_PROJECT_URL": "https://gitlab.com/acme/app",
            "CI_COMMIT_BRANCH": "main", "CI_JOB_URL": "https://gitlab.com/acme/app/-/jobs/5", "CI_RUNNER_ID": "12",
            "CI_SERVER_URL": "https://gitlab.com", "GITLAB_USER_LOGIN": "jo", "CI_JOB_STARTED_AT": "2026-11-25T12:00:00Z",
            "CI_PIPELINE_SOURCE": "push", "CI_JOB_TOKEN": "secret", "CI_CONFIG_PATH": ".gitlab-ci.yml",
        })  # fmt: skip
        assert (found.commit, found.ref, found.run) == (SHA, "refs/heads/main", "https://gitlab.com/acme/app/-/jobs/5")
        assert found.started_at == dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
        assert (found.builder, found.actor, found.source) == ("https://gitlab.com/runner/12", "jo", "gitlab")
        assert "secret" not in found.to_json()

    @pytest.mark.parametrize(
        ("more", "ref"),
        [
            ({"CI_COMMIT_TAG": "v1"}, "refs/tags/v1"), ({}, None),
            ({"CI_MERGE_REQUEST_REF_PATH": "refs/merge-requests/1/head"}, "refs/merge-requests/1/head"),
        ],
    )  # fmt: skip
    def test_refs_of_gitlab(self, more, ref):
        assert from_environment({"GITLAB_CI": "true", **more}).ref == ref

    def test_jenkins(self):
        found = from_environment({
            "JENKINS_URL": "https://ci.example.com/", "GIT_COMMIT": SHA, "GIT_URL": "git@github.com:acme/app.git",
            "GIT_BRANCH": "origin/main", "JOB_NAME": "app/main", "BUILD_URL": "https://ci.example.com/job/app/7/",
            "NODE_NAME": "agent-1",
        })  # fmt: skip
        assert (found.repository, found.ref) == ("ssh://github.com/acme/app", "refs/heads/main")
        assert (found.workflow, found.run, found.actor) == ("app/main", "https://ci.example.com/job/app/7/", None)
        assert found.environment == {"node": "agent-1"}

    def test_codebuild(self):
        found = from_environment({
            "CODEBUILD_BUILD_ID": "app-build:b1", "CODEBUILD_BUILD_ARN": "arn:aws:codebuild:eu-west-1:1:build/app-build:b1",
            "CODEBUILD_RESOLVED_SOURCE_VERSION": SHA, "CODEBUILD_SOURCE_VERSION": SHA, "AWS_REGION": "eu-west-1",
            "CODEBUILD_SOURCE_REPO_URL": "https://x:tok@git-codecommit.eu-west-1.amazonaws.com/v1/repos/app",
            "CODEBUILD_START_TIME": "1767225600000", "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/main",
            "CODEBUILD_INITIATOR": "role/x",
        })  # fmt: skip
        assert (found.commit, found.ref, found.workflow) == (SHA, "refs/heads/main", "app-build")
        assert found.repository == "https://git-codecommit.eu-west-1.amazonaws.com/v1/repos/app"
        assert found.started_at == dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

    @pytest.mark.parametrize("version", [SHA, "arn:aws:s3:::bucket/key", ""])
    def test_what_is_no_ref_of_codebuild(self, version):
        assert from_environment({"CODEBUILD_BUILD_ID": "x:1", "CODEBUILD_SOURCE_VERSION": version}).ref is None

    @pytest.mark.parametrize(
        "environment",
        [
            {"GITHUB_ACTIONS": "true"},
            {"JENKINS_HOME": "/x"},
            {"CODEBUILD_BUILD_ID": "x"},
            {"GITLAB_CI": "1", "CI_COMMIT_SHA": "short", "CI_JOB_STARTED_AT": "noon"},
        ],
    )
    def test_facts_that_are_missing_or_make_no_sense_are_unknown(self, environment):
        found = from_environment(environment)
        assert found.commit is None
        assert found.started_at is None

    def test_no_ci_system(self):
        with pytest.raises(InvalidInput, match="no CI system shows"):
            from_environment({"HOME": "/root"})

    def test_the_caller_knows_the_times(self):
        at = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        found = from_environment(
            {"GITLAB_CI": "true", "CI_JOB_STARTED_AT": "2026-11-25T12:00:00Z"}, started_at=at, finished_at=at
        )
        assert (found.started_at, found.finished_at) == (at, at)


class TestGit:
    @pytest.fixture
    def checkout(self, tmp_path):
        def git(*words):
            done = subprocess.run(
                ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-C", str(tmp_path), *words],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
            return done.stdout.strip()

        git("init", "-q", "-b", "main")
        (tmp_path / "a").write_text("a")
        git("add", "a")
        git("commit", "-q", "-m", "first")
        git("remote", "add", "origin", "https://user:secret@example.com/acme/app.git")
        return tmp_path, git

    def test_it_agrees_with_git(self, checkout):
        folder, git = checkout
        (folder / "below").mkdir()
        found = from_git(folder / "below")
        assert (found.commit, found.ref) == (git("rev-parse", "HEAD"), "refs/heads/main")
        assert found.repository == "https://example.com/acme/app"

    def test_packed_refs_and_a_detached_head(self, checkout):
        folder, git = checkout
        git("pack-refs", "--all")
        assert from_git(folder).commit == git("rev-parse", "HEAD")
        git("checkout", "-q", "--detach")
        assert (from_git(folder).commit, from_git(folder).ref) == (git("rev-parse", "HEAD"), None)

    def test_a_linked_worktree(self, checkout, tmp_path_factory):
        _folder, git = checkout
        other = tmp_path_factory.mktemp("other") / "tree"
        git("worktree", "add", "-q", "-b", "side", str(other))
        found = from_git(other)
        assert (found.ref, found.commit) == ("refs/heads/side", git("rev-parse", "side"))
        assert found.repository == "https://example.com/acme/app"

    def test_no_checkout_or_no_commit(self, tmp_path, checkout):
        import shutil

        shutil.rmtree(tmp_path / ".git")
        with pytest.raises(InvalidInput, match="no git checkout"):
            from_git(tmp_path)
        (tmp_path / ".git").mkdir()
        (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
        with pytest.raises(InvalidInput, match="has no commit"):
            from_git(tmp_path)

    def test_a_ref_that_leaves_its_folder_is_none(self, tmp_path):
        (tmp_path / ".git").mkdir()
        (tmp_path / "stolen").write_text(SHA)
        (tmp_path / ".git" / "HEAD").write_text("ref: ../stolen\n")
        with pytest.raises(InvalidInput, match="has no commit"):
            from_git(tmp_path)
