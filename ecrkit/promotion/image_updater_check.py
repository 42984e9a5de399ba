"""Argo CD Image Updater: what its annotations or resources say, checked against the tags that exist.

Source: Argo CD Image Updater documentation, "Configuring images for update" and "Update strategies", of versions 0.x
(annotations) and 1.x (the ImageUpdater resource).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import EcrkitError, InvalidInput, InvalidReference
from ecrkit.images.semver import VersionConstraint, VersionTag
from ecrkit.refs import ImageRef

__all__ = ["UpdaterAnswer", "UpdaterImage", "check_updater", "updater_images"]

_PREFIX: Final = "argocd-image-updater.argoproj.io/"
_STRATEGIES: Final = {
    "semver": "semver", "newest-build": "newest-build", "latest": "newest-build", "alphabetical": "alphabetical",
    "name": "alphabetical", "digest": "digest",
}  # fmt: skip
_SETTINGS: Final = ("update-strategy", "allow-tags", "ignore-tags")
UpdaterState = Literal["moves", "newest", "no tag fits", "cannot be read", "unknown", "elsewhere", "not told"]


@attrs.frozen(kw_only=True)
class UpdaterImage(Record):
    """One image that the updater watches: where that is written, and what it may become."""

    path: str
    alias: str | None
    name: str
    constraint: str | None = None
    strategy: str = "semver"
    allow: str | None = None
    ignore: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class UpdaterAnswer(Record):
    """What the updater would choose: `tag`, of so many tags that `fit`.

    `state` is `moves` or `newest` (compared with the tag that runs, where that was given), `no tag fits`, `cannot be
    read` when what is written is faulty, `not told` when only the time of the build decides, `unknown` when the tags
    could not be read, `elsewhere` for another registry.
    """

    image: UpdaterImage
    state: UpdaterState
    tag: str | None = None
    fit: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the updater has a tag to choose, and everything written can be read."""
        return self.state in ("moves", "newest")

    def explain(self) -> str:
        """Return the answer in a sentence."""
        chosen = f": {self.tag}, of {self.fit} that fit" if self.tag else ""
        notes = "".join(f"; {note}" for note in (*self.image.problems, *self.notes))
        wanted = f":{self.image.constraint}" if self.image.constraint else ""
        return f"{self.image.name}{wanted} {self.state}{chosen}{notes}"


def updater_images(document: Mapping[str, Any]) -> tuple[UpdaterImage, ...]:
    """Return the images of an Application's annotations (0.x), or of an ImageUpdater resource (1.x); perhaps none.

    Faults are in each image's `problems`, not raised.

    Example:
        >>> host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        >>> notes = {"argocd-image-updater.argoproj.io/image-list": f"app={host}/team/app:^1.4",
        ...          "argocd-image-updater.argoproj.io/app.ignore-tags": "*-rc*"}
        >>> (image,) = updater_images({"kind": "Application", "metadata": {"annotations": notes}})
        >>> image.alias, image.constraint, image.ignore
        ('app', '^1.4', ('*-rc*',))
    """
    if document.get("kind") == "ImageUpdater":
        return tuple(_resource(document))
    metadata = document.get("metadata")
    notes = metadata.get("annotations") if isinstance(metadata, Mapping) else None
    return tuple(_annotations(notes)) if isinstance(notes, Mapping) else ()


def _annotations(notes: Mapping[str, Any]) -> Iterator[UpdaterImage]:
    listed = notes.get(f"{_PREFIX}image-list")
    if not isinstance(listed, str):
        return
    for number, entry in enumerate(part.strip() for part in listed.split(",")):
        alias, equals, spec = entry.partition("=")
        alias, spec = (alias, spec) if equals else ("", entry)

        text = _settings(notes, alias.replace("/", "_"))
        yield _image(
            f"$.metadata.annotations[{_PREFIX}image-list][{number}]",
            alias or None,
            spec,
            text.get("update-strategy"),
            allow=text.get("allow-tags"),
            ignore=[p.strip() for p in text.get("ignore-tags", "").split(",") if p.strip()],
        )


def _settings(notes: Mapping[str, Any], alias: str) -> dict[str, str]:
    """Return what is set for an image, else for the whole application; the updater writes '_' for '/' in an alias."""
    found: dict[str, str] = {}
    for name in _SETTINGS:
        own = notes.get(f"{_PREFIX}{alias}.{name}") if alias else None
        value = notes.get(_PREFIX + name) if own is None else own
        if isinstance(value, str):
            found[name] = value
    return found


def _resource(document: Mapping[str, Any]) -> Iterator[UpdaterImage]:
    spec = _mapping(document.get("spec"))
    for a, application in enumerate(_listed(spec.get("applicationRefs"))):
        for n, entry in enumerate(_listed(application.get("images"))):
            settings = {
                **_mapping(spec.get("commonUpdateSettings")), **_mapping(application.get("commonUpdateSettings")),
                **_mapping(entry.get("commonUpdateSettings")),
            }  # fmt: skip
            allow, ignore = settings.get("allowTags"), settings.get("ignoreTags")
            yield _image(
                f"$.spec.applicationRefs[{a}].images[{n}]", entry.get("alias"), str(entry.get("imageName") or ""),
                settings.get("updateStrategy"), allow=allow if isinstance(allow, str) else None,
                ignore=[str(p) for p in ignore] if isinstance(ignore, Sequence) and not isinstance(ignore, str) else [],
            )  # fmt: skip


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _image(
    path: str, alias: object, spec: str, strategy: object, *, allow: str | None, ignore: Sequence[str]
) -> UpdaterImage:
    head, slash, last = spec.rpartition("/")
    bare, colon, constraint = last.partition(":")
    problems: list[str] = []
    chosen = _STRATEGIES.get(str(strategy or "semver"))
    if chosen is None:
        problems.append(
            f"there is no update strategy {strategy!r:.60}; there are {', '.join(sorted(set(_STRATEGIES.values())))}"
        )
    if not bare:
        problems.append("names no image")
    if chosen == "digest" and not constraint:
        problems.append("the digest strategy needs a tag to follow, as in image:latest")
    if chosen == "semver" and constraint:
        try:
            VersionConstraint.parse(constraint)
        except InvalidInput as fault:
            problems += [p.message for p in fault.problems]
    if allow is not None and _allowed(allow) is None:
        problems.append(f"allow-tags must be any or regexp:EXPRESSION, not {allow[:60]!r}")
    problems += [f"ignore-tags has {p[:60]!r}, which is no pattern" for p in ignore if _glob(p) is None]
    return UpdaterImage(
        path=path, alias=alias if isinstance(alias, str) else None, name=f"{head}{slash}{bare}",
        constraint=constraint if colon else None, strategy=chosen or str(strategy), allow=allow, ignore=tuple(ignore),
        problems=tuple(problems),
    )  # fmt: skip


def _allowed(allow: str) -> Callable[[str], bool] | None:
    if allow == "any":
        return lambda tag: True  # noqa: ARG005 any
    kind, _, expression = allow.partition(":")
    if kind != "regexp":
        return None
    try:
        compiled = re.compile(expression)
    except (re.error, RecursionError, OverflowError):
        return None
    return lambda tag: compiled.search(tag[:300]) is not None


def _ignored(patterns: Iterable[str]) -> Callable[[str], bool]:
    # A pattern that cannot be read is a problem of the image, and ignores nothing.
    compiled = [found for p in patterns if (found := _glob(p)) is not None]
    return lambda tag: any(c.fullmatch(tag) for c in compiled)


_CLASS: Final = re.compile(r"\[(\^?)((?:(?:\\.|[^\\\]-])(?:-(?:\\.|[^\\\]-]))?)+)\]", re.DOTALL)
_RANGE: Final = re.compile(r"(\\.|[^\\])(?:-(\\.|[^\\]))?", re.DOTALL)


def _glob(pattern: str) -> re.Pattern[str] | None:
    """Return a pattern of Go's `filepath.Match`, by which the updater ignores tags; None when it is none.

    `*` and `?` stand for characters other than `/`, brackets for a class, a backslash takes the next one as it is.
    """
    parts: list[str] = []
    at = 0
    while at < len(pattern):
        mark = pattern[at]
        if mark == "*":
            if parts[-1:] != ["[^/]*"]:
                parts.append("[^/]*")
            at += 1
        elif mark == "[":
            found = _CLASS.match(pattern, at)
            if found is None:
                return None
            parts.append(f"[{found[1]}{''.join(_span(low, high) for low, high in _RANGE.findall(found[2]))}]")
            at = found.end()
        elif mark == "\\":
            if at + 1 == len(pattern):
                return None
            parts.append(re.escape(pattern[at + 1]))
            at += 2
        else:
            parts.append("[^/]" if mark == "?" else re.escape(mark))
            at += 1
    return re.compile("".join(parts), re.DOTALL)


def _span(low: str, high: str) -> str:
    first, last = low[-1], (high or low)[-1]
    # A range from high to low holds nothing; the surrogate is in no tag.
    return f"{re.escape(first)}-{re.escape(last)}" if first <= last else "\\ud800"


def check_updater(
    document: Mapping[str, Any],
    tags_of: Callable[[ImageRef], Iterable[str] | None],
    *,
    running: Mapping[str, str] | None = None,
) -> tuple[UpdaterAnswer, ...]:
    """Return what the updater would choose for each image, from the tags that exist.

    Args:
        document: an Application or an ImageUpdater resource, parsed.
        tags_of: the tags of a repository; None when there is no such repository.
        running: the tag that runs, by image name: tells a change from none.

    Example:
        >>> host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com"
        >>> notes = {"argocd-image-updater.argoproj.io/image-list": f"app={host}/team/app:^1.4"}
        >>> (answer,) = check_updater({"metadata": {"annotations": notes}}, lambda ref: ["1.4.0", "1.10.0", "2.0.0"])
        >>> answer.tag, answer.fit
        ('1.10.0', 2)
    """
    return tuple(_answer(image, tags_of, (running or {}).get(image.name)) for image in updater_images(document))


def _answer(
    image: UpdaterImage, tags_of: Callable[[ImageRef], Iterable[str] | None], running: str | None
) -> UpdaterAnswer:
    if image.problems:
        return UpdaterAnswer(image=image, state="cannot be read")
    try:
        ref = ImageRef.parse(image.name)
    except InvalidReference:
        return UpdaterAnswer(image=image, state="elsewhere", notes=("is in no registry of ECR",))
    if ref.registry is None or ref.registry.public:
        return UpdaterAnswer(image=image, state="elsewhere", notes=("is in no private registry of ECR",))
    try:
        found = tags_of(ref)
    except EcrkitError as fault:
        return UpdaterAnswer(image=image, state="unknown", notes=(f"{fault!s:.200}",))
    if found is None:
        return UpdaterAnswer(image=image, state="no tag fits", notes=("there is no such repository",))
    ignored, allowed = _ignored(image.ignore), _allowed(image.allow or "any")
    tags = [t for t in sorted(set(found)) if not ignored(t) and (allowed is None or allowed(t))]
    fitting = _fitting(image, tags)
    if not fitting:
        return UpdaterAnswer(image=image, state="no tag fits", notes=(f"of {len(tags)} tags that are allowed",))
    if image.strategy == "newest-build":
        notes = ("the time of the build decides, which stands in each image's configuration",)
        return UpdaterAnswer(image=image, state="not told", fit=len(fitting), notes=notes)
    chosen = fitting[-1]
    return UpdaterAnswer(
        image=image, state="newest" if running == chosen else "moves", tag=chosen, fit=len(fitting)
    )  # fmt: skip


def _fitting(image: UpdaterImage, tags: Sequence[str]) -> list[str]:
    """Return the tags that fit, the one that the strategy chooses last."""
    if image.strategy == "semver":
        # Without a constraint the updater takes every version, pre-releases too; "*" leaves those out.
        wanted = VersionConstraint.parse(image.constraint) if image.constraint else None
        versions = [
            (v.key, t) for t in tags if (wanted is None or wanted.allows(t)) and (v := VersionTag.parse(t)) is not None
        ]
        return [tag for _, tag in sorted(versions, key=lambda item: item[0])]
    if image.strategy == "digest":
        return [t for t in tags if t == image.constraint]
    return list(tags)
