"""Reading the facts of a build from where it runs: GitHub Actions, GitLab CI, Jenkins, CodeBuild, or a git checkout.

The environment is an argument, so that a test can pass its own and nothing is read by surprise. Only the variables
named here are looked at; secrets stand in others.
"""

from __future__ import annotations

import configparser
import datetime as dt
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput
from ecrkit.provenance.build import Build, Material

__all__ = ["from_codebuild", "from_environment", "from_git", "from_github", "from_gitlab", "from_jenkins"]

_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCP: Final = re.compile(r"(?:[^@/]+@)?([^:/]+):(?!//)(.+)")
_MOST_BYTES: Final = 1024 * 1024


def from_environment(
    environment: Mapping[str, str],
    *,
    materials: Iterable[Material] = (),
    dockerfile: str | None = None,
    started_at: dt.datetime | None = None,
    finished_at: dt.datetime | None = None,
) -> Build:
    """Return the facts that a CI system tells in the environment of its jobs; which one it is shows by its variables.

    Args:
        environment: such as `os.environ`.
        materials: what went into the build, which no CI system knows.
        dockerfile: its path within the repository.
        started_at: when the build began; where the CI system tells the start of the job, that is the default.
        finished_at: when it ended.

    Raises:
        InvalidInput: no known CI system shows, or what it tells makes no sense.

    Example:
        >>> build = from_environment({
        ...     "GITHUB_ACTIONS": "true", "GITHUB_SHA": "a" * 40, "GITHUB_REPOSITORY": "acme/app",
        ...     "GITHUB_SERVER_URL": "https://github.com", "GITHUB_RUN_ID": "7", "GITHUB_REF": "refs/heads/main"})
        >>> build.repository, build.run
        ('https://github.com/acme/app', 'https://github.com/acme/app/actions/runs/7')
    """
    readers = (
        ("GITHUB_ACTIONS", from_github), ("GITLAB_CI", from_gitlab), ("CODEBUILD_BUILD_ID", from_codebuild),
        ("JENKINS_URL", from_jenkins), ("JENKINS_HOME", from_jenkins),
    )  # fmt: skip
    read = next((reader for name, reader in readers if environment.get(name)), None)
    if read is None:
        names = ", ".join(name for name, _ in readers)
        message = f"no CI system shows: none of {names} is set; use from_git(), or make a Build of what you know"
        raise InvalidInput.single("no facts of a build", "environment", message)
    told = read(environment)
    changes: dict[str, Any] = {"materials": tuple(materials), "dockerfile": dockerfile, "finished_at": finished_at}
    if started_at is not None:
        changes["started_at"] = started_at
    return Build(**{name: getattr(told, name) for name in _FIELDS if name not in changes} | changes)


_FIELDS: Final = (
    "commit", "repository", "ref", "workflow", "run", "builder", "actor", "started_at", "finished_at", "materials",
    "dockerfile", "environment", "source",
)  # fmt: skip


def _some(environment: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return further facts under plain names, those that are set."""
    return {plain: environment[name] for plain, name in names.items() if environment.get(name)}


def _time(value: str | None) -> dt.datetime | None:
    try:
        return parse_time(value) if value else None
    except ValueError:
        return None


def _seconds(value: str | None) -> dt.datetime | None:
    """Return the time of a count of milliseconds since 1970."""
    if not value or not value.isascii() or not value.isdigit() or len(value) > 15:
        return None
    return dt.datetime.fromtimestamp(int(value) / 1000, dt.UTC)


def from_github(environment: Mapping[str, str]) -> Build:
    """Return the facts of a GitHub Actions job.

    In a pull request GitHub checks out a merge commit that is on no branch: `commit` is that one, as it was built, and
    the head and base stand in `environment`. Source: GitHub documentation, default environment variables.
    """
    server = (environment.get("GITHUB_SERVER_URL") or "https://github.com").rstrip("/")
    name, run = environment.get("GITHUB_REPOSITORY"), environment.get("GITHUB_RUN_ID")
    repository = f"{server}/{name}" if name else None
    attempt = environment.get("GITHUB_RUN_ATTEMPT")
    # A second attempt is another run of the same number.
    tried = f"/attempts/{attempt}" if attempt and attempt != "1" else ""
    workflow = environment.get("GITHUB_WORKFLOW_REF") or environment.get("GITHUB_WORKFLOW")
    return Build(
        commit=_commit(environment.get("GITHUB_SHA")),
        repository=repository,
        ref=environment.get("GITHUB_REF") or None,
        workflow=workflow or None,
        run=f"{repository}/actions/runs/{run}{tried}" if repository and run else None,
        builder=f"{server}/actions/runner/{environment.get('RUNNER_ENVIRONMENT') or 'unknown'}",
        actor=environment.get("GITHUB_ACTOR") or None,
        environment=_some(environment, {
            "event": "GITHUB_EVENT_NAME", "head_ref": "GITHUB_HEAD_REF", "base_ref": "GITHUB_BASE_REF",
            "job": "GITHUB_JOB", "repository_id": "GITHUB_REPOSITORY_ID", "triggered_by": "GITHUB_TRIGGERING_ACTOR",
        }),
        source="github",
    )  # fmt: skip


def from_gitlab(environment: Mapping[str, str]) -> Build:
    """Return the facts of a GitLab CI job. Source: GitLab documentation, predefined CI/CD variables."""
    tag, branch = environment.get("CI_COMMIT_TAG"), environment.get("CI_COMMIT_BRANCH")
    server = environment.get("CI_SERVER_URL") or "https://gitlab.com"
    merge = environment.get("CI_MERGE_REQUEST_REF_PATH")
    return Build(
        commit=_commit(environment.get("CI_COMMIT_SHA")),
        repository=_url(environment.get("CI_PROJECT_URL")),
        ref=f"refs/tags/{tag}" if tag else f"refs/heads/{branch}" if branch else merge or None,
        workflow=environment.get("CI_CONFIG_PATH") or None,
        run=environment.get("CI_JOB_URL") or environment.get("CI_PIPELINE_URL") or None,
        builder=f"{server}/runner/{environment.get('CI_RUNNER_ID') or 'unknown'}",
        actor=environment.get("GITLAB_USER_LOGIN") or None,
        started_at=_time(environment.get("CI_JOB_STARTED_AT")),
        environment=_some(environment, {
            "event": "CI_PIPELINE_SOURCE", "job": "CI_JOB_NAME", "pipeline": "CI_PIPELINE_ID",
            "environment": "CI_ENVIRONMENT_NAME", "runner": "CI_RUNNER_DESCRIPTION",
        }),
        source="gitlab",
    )  # fmt: skip


def from_jenkins(environment: Mapping[str, str]) -> Build:
    """Return the facts of a Jenkins build. Jenkins tells neither who started it nor when, unless plug-ins do.

    Source: Jenkins documentation, using environment variables, and the git plug-in.
    """
    branch = environment.get("GIT_BRANCH") or environment.get("BRANCH_NAME")
    tag = environment.get("TAG_NAME")
    local = branch.removeprefix("origin/") if branch else None
    return Build(
        commit=_commit(environment.get("GIT_COMMIT")),
        repository=_url(environment.get("GIT_URL") or environment.get("GIT_URL_1")),
        ref=f"refs/tags/{tag}" if tag else f"refs/heads/{local}" if local else None,
        workflow=environment.get("JOB_NAME") or None,
        run=environment.get("BUILD_URL") or environment.get("BUILD_TAG") or None,
        builder=environment.get("JENKINS_URL") or None,
        actor=environment.get("BUILD_USER_ID") or None,
        environment=_some(environment, {
            "node": "NODE_NAME", "number": "BUILD_NUMBER", "change": "CHANGE_ID", "target": "CHANGE_TARGET",
        }),
        source="jenkins",
    )  # fmt: skip


def from_codebuild(environment: Mapping[str, str]) -> Build:
    """Return the facts of an AWS CodeBuild build.

    Source: CodeBuild user guide, environment variables in build environments.
    """
    resolved = environment.get("CODEBUILD_RESOLVED_SOURCE_VERSION")
    ref = environment.get("CODEBUILD_WEBHOOK_HEAD_REF") or environment.get("CODEBUILD_SOURCE_VERSION")
    return Build(
        commit=_commit(resolved),
        repository=_url(environment.get("CODEBUILD_SOURCE_REPO_URL")),
        ref=ref if ref and not _COMMIT.fullmatch(ref) and not ref.startswith("arn:") else None,
        workflow=(environment.get("CODEBUILD_BUILD_ID") or "").partition(":")[0] or None,
        run=environment.get("CODEBUILD_BUILD_ARN") or environment.get("CODEBUILD_BUILD_ID") or None,
        builder=f"https://codebuild.{environment.get('AWS_REGION') or 'unknown'}.amazonaws.com",
        actor=environment.get("CODEBUILD_INITIATOR") or environment.get("CODEBUILD_WEBHOOK_ACTOR_ACCOUNT_ID") or None,
        started_at=_seconds(environment.get("CODEBUILD_START_TIME")),
        environment=_some(environment, {
            "image": "CODEBUILD_BUILD_IMAGE", "number": "CODEBUILD_BUILD_NUMBER", "event": "CODEBUILD_WEBHOOK_EVENT",
            "trigger": "CODEBUILD_WEBHOOK_TRIGGER", "batch": "CODEBUILD_BATCH_BUILD_IDENTIFIER",
        }),
        source="codebuild",
    )  # fmt: skip


def _commit(text: str | None) -> str | None:
    return text if text and _COMMIT.fullmatch(text) else None


def _url(text: str | None) -> str | None:
    """Return the URL of a repository without credentials and `.git`; the form `git@host:path` becomes one of ssh."""
    if not text:
        return None
    short = _SCP.fullmatch(text)
    if short is not None and "://" not in text:
        text = f"ssh://{short[1]}/{short[2]}"
    parts = urlsplit(text)
    if not parts.scheme:
        return None
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.removesuffix(".git"), "", ""))


def from_git(folder: str | os.PathLike[str] = ".") -> Build:
    """Return what a git checkout tells: the commit, the ref and the origin. git itself is not called.

    A checkout that differs from its commit shows nowhere here; a CI system should be asked where there is one.

    Args:
        folder: of the checkout, or below it.

    Raises:
        InvalidInput: there is no checkout, or no commit in it.
    """
    start = Path(folder).resolve()
    home = next((h for h in (_git_folder(at) for at in (start, *start.parents)) if h is not None), None)
    if home is None:
        raise InvalidInput.single("no facts of a build", "folder", f"{str(folder)!r:.200} is in no git checkout")
    head = _text(home / "HEAD").strip()
    ref = head.removeprefix("ref:").strip() if head.startswith("ref:") else None
    common = _text(home / "commondir").strip()  # of a linked worktree
    shared = (home / common).resolve() if common else home
    commit = head if ref is None else _resolve(shared, ref) or _resolve(home, ref)
    if commit is None or not _COMMIT.fullmatch(commit):
        raise InvalidInput.single("no facts of a build", "folder", f"{str(folder)!r:.200} has no commit")
    return Build(commit=commit, ref=ref, repository=_origin(shared), source="git")


def _git_folder(at: Path) -> Path | None:
    found = at / ".git"
    if found.is_dir():
        return found
    if found.is_file():  # a submodule or a linked worktree
        told = _text(found).strip()
        if told.startswith("gitdir:"):
            return (at / told.removeprefix("gitdir:").strip()).resolve()
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace") if path.stat().st_size <= _MOST_BYTES else ""
    except OSError:
        return ""


def _resolve(home: Path, ref: str) -> str | None:
    if ".." in Path(ref).parts or ref.startswith("/"):
        return None
    loose = _text(home / ref).strip()
    if loose:
        return loose
    for line in _text(home / "packed-refs").splitlines():
        commit, _, name = line.partition(" ")
        if name == ref:
            return commit
    return None


def _origin(home: Path) -> str | None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
    try:
        parser.read_string("\n".join(line.strip() for line in _text(home / "config").splitlines()))
    except configparser.Error:
        return None
    return _url(parser.get('remote "origin"', "url", fallback=None))
