"""What is known of one build: where the source is, what ran it, when, and from what."""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal, Self

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit._internal.times import parse_time
from ecrkit.errors import InvalidInput, Problem

__all__ = ["Build", "Material", "Source"]

Source = Literal["github", "gitlab", "jenkins", "codebuild", "git", "caller"]
"""Who told the facts of a build: a CI system through its environment, a git checkout, or the caller."""

_FORMAT: Final = 1
_COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_DIGEST: Final = re.compile(r"[a-z0-9]+:[0-9a-f]{32,128}")
_MOST_TEXT: Final = 2048


@attrs.frozen(kw_only=True)
class Material(Record):
    """Something that went into a build: a base image, an archive, a file, with its digest when that is known."""

    uri: str
    digest: str | None = None


def _materials(values: Iterable[Material]) -> tuple[Material, ...]:
    return tuple(values)


def _sorted(values: Mapping[str, str]) -> dict[str, str]:
    return dict(sorted(values.items()))


@attrs.frozen(kw_only=True)
class Build(Record):
    """The facts of one build. They are claims of whoever tells them, until something signed says the same.

    Attributes:
        commit: of the source, 40 or 64 hexadecimal digits; None when it is not known.
        repository: the URL of the source repository, without credentials.
        ref: the full name of what was built, such as `refs/heads/main`.
        workflow: the file or name of the pipeline.
        run: the URL of the run, or its number.
        builder: what ran it, as a URI.
        actor: who started it.
        started_at: when it began.
        finished_at: when it ended.
        materials: base images and the like.
        dockerfile: path of the Dockerfile within the repository.
        environment: further facts, by name; nothing secret belongs here.
        source: who told all this.
    """

    commit: str | None = None
    repository: str | None = None
    ref: str | None = None
    workflow: str | None = None
    run: str | None = None
    builder: str | None = None
    actor: str | None = None
    started_at: dt.datetime | None = None
    finished_at: dt.datetime | None = None
    materials: tuple[Material, ...] = attrs.field(default=(), converter=_materials)
    dockerfile: str | None = None
    environment: Mapping[str, str] = attrs.field(factory=dict, converter=_sorted, hash=False)
    source: Source = "caller"

    def __attrs_post_init__(self) -> None:
        problems = list(_problems(self))
        if problems:
            raise InvalidInput("not the facts of a build", problems)

    @property
    def identity(self) -> str:
        """A digest of what makes this build this one: two records of one build have the same.

        That is the commit, the source repository, the ref, the workflow, the run and the builder. Times, the actor and
        the materials may be told more exactly later.
        """
        told = [self.commit, self.repository, self.ref, self.workflow, self.run, self.builder]
        return hashlib.sha256(canonical_json(told).encode()).hexdigest()

    def conflicts_with(self, other: Build) -> tuple[str, ...]:
        """Return the facts in which two builds contradict each other; one that only one of them tells is none.

        Example:
            >>> Build(commit="a" * 40, run="1").conflicts_with(Build(commit="a" * 40, run="2", actor="me"))
            ("run: '1' and '2'",)
        """
        names = ("commit", "repository", "ref", "workflow", "run", "builder", "dockerfile")
        pairs = ((name, getattr(self, name), getattr(other, name)) for name in names)
        return tuple(f"{n}: {one!r} and {two!r}" for n, one, two in pairs if one is not None and two not in (None, one))

    @override
    def to_dict(self) -> dict[str, Any]:
        return {"format": _FORMAT} | super().to_dict()

    @classmethod
    def from_dict(cls, saved: Mapping[str, Any]) -> Self:
        """Return the build that `to_dict()` saved.

        Raises:
            InvalidInput: it is none, or of another format; all problems are told, each with its path.
        """
        if not isinstance(saved, Mapping):
            raise InvalidInput.single("not the facts of a build", "$", "must be an object")
        names = {field.name for field in attrs.fields(cls)} | {"format"}
        problems = [Problem(f"$.{name}", "is no fact of a build") for name in sorted(map(str, set(saved) - names))]
        if saved.get("format") != _FORMAT:
            problems.append(Problem("$.format", f"must be {_FORMAT}, not {saved.get('format')!r:.40}"))
        fields: dict[str, Any] = {k: v for k, v in saved.items() if k in names and k != "format"}
        for name in ("started_at", "finished_at"):
            if fields.get(name) is not None:
                try:
                    fields[name] = parse_time(fields[name])
                except ValueError as fault:
                    problems.append(Problem(f"$.{name}", str(fault)))
        fields["materials"] = _read_materials(saved.get("materials", ()), problems)
        environment = saved.get("environment", {})
        if not isinstance(environment, Mapping):
            problems.append(Problem("$.environment", "must be an object"))
            fields["environment"] = {}
        if problems:
            raise InvalidInput("not the facts of a build", problems)
        return cls(**fields)


def _problems(build: Build) -> Iterable[Problem]:
    for name in ("commit", "repository", "ref", "workflow", "run", "builder", "actor", "dockerfile"):
        value = getattr(build, name)
        if value is None:
            continue
        if not isinstance(value, str) or not value or len(value) > _MOST_TEXT:
            yield Problem(f"$.{name}", f"must be text of 1 to {_MOST_TEXT} characters")
        elif not value.isprintable():
            yield Problem(f"$.{name}", "holds characters that cannot be printed")
    if isinstance(build.commit, str) and build.commit and not _COMMIT.fullmatch(build.commit):
        yield Problem("$.commit", f"{build.commit!r:.80} is no full commit: 40 or 64 hexadecimal digits in lower case")
    if isinstance(build.repository, str) and re.search(r"://[^/@]*@", build.repository):
        yield Problem("$.repository", "holds credentials before the host; leave them out")
    for name in ("started_at", "finished_at"):
        value = getattr(build, name)
        if value is not None and (not isinstance(value, dt.datetime) or value.tzinfo is None):
            yield Problem(f"$.{name}", "must be a time with a time zone")
    for number, material in enumerate(build.materials):
        if material.digest is not None and not _DIGEST.fullmatch(material.digest):
            yield Problem(f"$.materials[{number}].digest", f"{material.digest!r:.80} is no digest such as sha256:...")
    facts: Mapping[str, object] = build.environment
    for key, fact in facts.items():
        if not isinstance(fact, str) or len(fact) > _MOST_TEXT:
            yield Problem(f"$.environment.{key}", f"must be text of at most {_MOST_TEXT} characters")


def _read_materials(listed: object, problems: list[Problem]) -> list[Material]:
    if not isinstance(listed, list | tuple):
        problems.append(Problem("$.materials", "must be a list"))
        return []
    found: list[Material] = []
    for number, item in enumerate(listed):
        uri = item.get("uri") if isinstance(item, Mapping) else None
        digest = item.get("digest") if isinstance(item, Mapping) else None
        if not isinstance(uri, str) or not (digest is None or isinstance(digest, str)):
            problems.append(Problem(f"$.materials[{number}]", "must have a uri, and a digest as text if any"))
        else:
            found.append(Material(uri=uri, digest=digest))
    return found
