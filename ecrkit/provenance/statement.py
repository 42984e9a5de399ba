"""Statements that others read: in-toto Statement v1 with a SLSA provenance v1 predicate.

Source: the in-toto attestation framework, spec/v1/statement.md, and SLSA, provenance v1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs

from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit._internal.times import iso, parse_time
from ecrkit.errors import InvalidInput, Problem
from ecrkit.provenance.build import Build, Material
from ecrkit.refs import digest as checked_digest

__all__ = ["BUILD_TYPE", "PREDICATE_TYPE", "STATEMENT_TYPE", "Statement", "statement_of"]

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:ecrkit:container-build:v1"
"""Parameters of such a build: the external ones are the source repository, the ref, the workflow and the Dockerfile;
the internal ones the actor, further facts of the CI system, and who told them."""

_LONGEST: Final = 4 * 1024 * 1024


def _subjects(values: Mapping[str, str]) -> dict[str, str]:
    return {name: str(checked_digest(digest)) for name, digest in values.items()}


@attrs.frozen(kw_only=True)
class Statement(Record):
    """What is said of which images: `subjects` maps a name to a digest, `predicate` says it in its type's words."""

    subjects: Mapping[str, str] = attrs.field(converter=_subjects, hash=False)
    predicate_type: str
    predicate: Mapping[str, Any] = attrs.field(hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the statement as its JSON has it."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": [
                {"name": name, "digest": dict([digest.split(":", 1)])} for name, digest in sorted(self.subjects.items())
            ],
            "predicateType": self.predicate_type,
            "predicate": dict(self.predicate),
        }

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the statement as JSON text: compact with sorted keys, the same for equal statements, or indented."""
        return canonical_json(self.to_dict()) if indent is None else json.dumps(self.to_dict(), indent=indent)

    def about(self, digest: str) -> bool:
        """Return whether the statement speaks of the image of that digest."""
        return digest in self.subjects.values()

    @classmethod
    def parse(cls, text: str | bytes | Mapping[str, Any]) -> Statement:
        """Return the statement of JSON text, of any predicate type.

        Raises:
            InvalidInput: it is no in-toto Statement v1; all problems are told, each with its path.
        """
        document: object = text
        if isinstance(text, str | bytes):
            if len(text) > _LONGEST:
                raise InvalidInput.single("not a statement", "$", f"is longer than {_LONGEST} bytes")
            try:
                document = json.loads(text)
            except (ValueError, RecursionError) as fault:
                raise InvalidInput.single("not a statement", "$", f"is not JSON: {fault!s:.200}") from None
        if not isinstance(document, Mapping):
            raise InvalidInput.single("not a statement", "$", "must be an object")
        problems: list[Problem] = []
        if document.get("_type") != STATEMENT_TYPE:
            problems.append(Problem("$._type", f"must be {STATEMENT_TYPE}, not {document.get('_type')!r:.80}"))
        kind, predicate = document.get("predicateType"), document.get("predicate", {})
        if not isinstance(kind, str) or not kind:
            problems.append(Problem("$.predicateType", "is missing or no text"))
        if not isinstance(predicate, Mapping):
            problems.append(Problem("$.predicate", "must be an object"))
        subjects = _read_subjects(document.get("subject"), problems)
        if problems or not isinstance(kind, str) or not isinstance(predicate, Mapping):
            raise InvalidInput("not a statement", problems)
        return cls(subjects=subjects, predicate_type=kind, predicate=predicate)

    def build(self) -> Build:
        """Return the facts of the build that a SLSA provenance v1 statement tells, ecrkit's or another builder's.

        What another builder puts into parameters of its own is left out; commit and source are found where SLSA's
        GitHub and BuildKit's build types put them.

        Raises:
            InvalidInput: the predicate is of another type, or its parts are of the wrong kind.
        """
        if self.predicate_type != PREDICATE_TYPE:
            message = f"is {self.predicate_type!r:.120}, not {PREDICATE_TYPE}"
            raise InvalidInput.single("no facts of a build", "$.predicateType", message)
        return _read_build(self.predicate)


def statement_of(build: Build, subjects: Mapping[str, str]) -> Statement:
    """Return the SLSA provenance of images: what built them, from what, and when.

    Args:
        build: the facts.
        subjects: digests by name, such as the image's repository.

    Raises:
        InvalidInput: there is no subject.
        InvalidReference: a digest is none.

    Example:
        >>> made = statement_of(Build(commit="a" * 40, repository="https://github.com/acme/app"),
        ...                     {"team/app": "sha256:" + "b" * 64})
        >>> made.to_dict()["predicate"]["buildDefinition"]["resolvedDependencies"][0]["uri"]
        'git+https://github.com/acme/app'
    """
    if not subjects:
        raise InvalidInput.single("not a statement", "subjects", "must name one image at least")
    external = _without_none({
        "source": build.repository, "ref": build.ref, "workflow": build.workflow, "dockerfile": build.dockerfile,
    })  # fmt: skip
    internal = _without_none(
        {"actor": build.actor, "environment": dict(build.environment) or None, "told_by": build.source}
    )
    metadata = _without_none({
        "invocationId": build.run,
        "startedOn": None if build.started_at is None else iso(build.started_at),
        "finishedOn": None if build.finished_at is None else iso(build.finished_at),
    })  # fmt: skip
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": external,
            "internalParameters": internal,
            "resolvedDependencies": [*_source(build), *map(_dependency, build.materials)],
        },
        "runDetails": {"builder": {"id": build.builder or "unknown"}, "metadata": metadata},
    }
    return Statement(subjects=subjects, predicate_type=PREDICATE_TYPE, predicate=predicate)


def _without_none(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _source(build: Build) -> list[dict[str, Any]]:
    if build.commit is None and build.repository is None:
        return []
    at = f"@{build.ref}" if build.ref and build.repository else ""
    entry: dict[str, Any] = {"uri": f"git+{build.repository or 'unknown:'}{at}"}
    if build.commit is not None:
        entry["digest"] = {"gitCommit": build.commit}
    return [entry]


def _dependency(material: Material) -> dict[str, Any]:
    entry: dict[str, Any] = {"uri": material.uri}
    if material.digest is not None:
        algorithm, _, value = material.digest.partition(":")
        entry["digest"] = {algorithm: value}
    return entry


def _read_subjects(listed: object, problems: list[Problem]) -> dict[str, str]:
    found: dict[str, str] = {}
    if not isinstance(listed, list) or not listed:
        problems.append(Problem("$.subject", "must be a list of one subject at least"))
        return found
    for number, item in enumerate(listed):
        digests = item.get("digest") if isinstance(item, Mapping) else None
        value = digests.get("sha256") if isinstance(digests, Mapping) else None
        if not isinstance(value, str):
            problems.append(Problem(f"$.subject[{number}].digest.sha256", "is missing or no text"))
            continue
        try:
            checked = str(checked_digest(f"sha256:{value}"))
        except InvalidInput as fault:
            problems.append(Problem(f"$.subject[{number}].digest.sha256", f"{fault!s:.200}"))
            continue
        name = item.get("name")
        found[name if isinstance(name, str) and name not in found else f"subject {number}"] = checked
    return found


# ---- reading the facts of a build back


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def _read_build(predicate: Mapping[str, Any]) -> Build:
    definition, details = _mapping(predicate.get("buildDefinition")), _mapping(predicate.get("runDetails"))
    external, internal = _mapping(definition.get("externalParameters")), _mapping(definition.get("internalParameters"))
    workflow, metadata = _mapping(external.get("workflow")), _mapping(details.get("metadata"))
    listed = definition.get("resolvedDependencies")
    dependencies = [d for d in listed if isinstance(d, Mapping)] if isinstance(listed, list) else []
    source = next((d for d in dependencies if _commit_of(d) or str(d.get("uri", "")).startswith("git+")), None)
    uri, _, ref = str(_mapping(source).get("uri") or "").removeprefix("git+").partition("@refs/")
    environment = _mapping(internal.get("environment"))
    told_by = internal.get("told_by")
    known = told_by if told_by in ("github", "gitlab", "jenkins", "codebuild", "git") else "caller"
    builder = _text(_mapping(details.get("builder")).get("id"))
    fields: dict[str, Any] = {
        "commit": None if source is None else _commit_of(source),
        "repository": _text(external.get("source"), workflow.get("repository"), uri if uri != "unknown:" else None),
        "ref": _text(external.get("ref"), workflow.get("ref"), f"refs/{ref}" if ref else None),
        "workflow": _text(external.get("workflow"), workflow.get("path")),
        "run": _text(metadata.get("invocationId")),
        "builder": None if builder == "unknown" else builder,
        "actor": _text(internal.get("actor")),
        "dockerfile": _text(external.get("dockerfile")),
        "materials": tuple(_material(d) for d in dependencies if d is not source and isinstance(d.get("uri"), str)),
        "environment": {str(k): v for k, v in environment.items() if isinstance(v, str)},
        "source": known,
    }
    for name, member in (("started_at", "startedOn"), ("finished_at", "finishedOn")):
        if metadata.get(member) is not None:
            try:
                fields[name] = parse_time(metadata[member])
            except ValueError as fault:
                path = f"$.predicate.runDetails.metadata.{member}"
                raise InvalidInput.single("no facts of a build", path, str(fault)) from None
    return Build(**fields)


def _commit_of(dependency: Mapping[str, Any]) -> str | None:
    digests: Sequence[object] = [_mapping(dependency.get("digest")).get(name) for name in ("gitCommit", "sha1")]
    return _text(*digests)


def _material(dependency: Mapping[str, Any]) -> Material:
    digests = _mapping(dependency.get("digest"))
    name, value = next(((k, v) for k, v in digests.items() if isinstance(v, str)), ("", ""))
    known = f"{name}:{value}"
    whole = value and all(c in "0123456789abcdef" for c in value) and 32 <= len(value) <= 128
    return Material(uri=str(dependency["uri"]), digest=known if whole else None)
