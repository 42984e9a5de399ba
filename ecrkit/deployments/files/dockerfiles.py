"""Images that Dockerfiles name: FROM, COPY --from, RUN --mount=from, and the ARGs that FROM is made of.

Source: Dockerfile reference (FROM, COPY, ADD, RUN --mount, here-documents, parser directives, ARG before FROM).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from ecrkit.deployments.files.places import Edit, Place, Refused
from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.images.reference_text import AnyReference

__all__ = ["dockerfile_places"]

_Written: TypeAlias = "tuple[int, str]"
_INSTRUCTION: Final = re.compile(r"[ \t]*(?P<word>[A-Za-z]+)(?=[ \t]|$)")
_HEREDOC: Final = re.compile(r"<<(?P<dash>-?)(?P<quote>[\"']?)(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P=quote)")
_WORD: Final = re.compile(r"[^ \t\r\n]+")
_VARIABLE: Final = re.compile(
    r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)(?::?-(?P<default>[^{}]*))?\}|(?P<bare>[A-Za-z_][A-Za-z0-9_]*))"
)
_ARG: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<quote>[\"']?)(?P<value>[^\"' \t\r\n]*)(?P=quote)")
_MOUNT: Final = re.compile(r"--mount=(?P<options>[^ \t\r\n]+)")
_DIRECTIVE: Final = re.compile(r"[ \t]*#[ \t]*(?P<name>[A-Za-z]+)[ \t]*=[ \t]*(?P<value>\S+)[ \t]*\r?")


def _instructions(text: str) -> Iterator[tuple[str, list[tuple[int, str]]]]:
    """Yield each instruction in upper case with its pieces of line: where each begins, without the continuation.

    Comments within an instruction and the bodies of here-documents are left out.
    """
    escape, at, directives = "\\", 0, True
    word, pieces, bodies = "", list[tuple[int, str]](), list[tuple[str, bool]]()
    while at < len(text):
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line, begin = text[at:end].rstrip("\r"), at
        at = end + 1
        if bodies:
            name, dash = bodies[0]
            if (line.lstrip("\t") if dash else line) == name:
                bodies.pop(0)
            continue
        directive = _DIRECTIVE.fullmatch(line) if directives else None
        directives = directive is not None
        if directive is not None:
            escape = directive["value"] if directive["name"].lower() == "escape" else escape
            continue
        if line.lstrip(" \t").startswith("#") or (not line.strip() and word):
            continue
        if not word:
            found = _INSTRUCTION.match(line)
            if found is None:
                continue
            word, pieces = found["word"].upper(), []
            begin, line = begin + found.end(), line[found.end() :]
        more = line.rstrip(" \t").endswith(escape)
        pieces.append((begin, line.rstrip(" \t")[:-1] if more else line))
        if more:
            continue
        if word in ("RUN", "COPY", "ADD", "ONBUILD"):
            bodies = [(m["name"], bool(m["dash"])) for _, piece in pieces for m in _HEREDOC.finditer(piece)]
        yield word, pieces
        word = ""
    if word:
        yield word, pieces


def _words(pieces: list[tuple[int, str]]) -> list[tuple[int, str]]:
    return [(begin + m.start(), m[0]) for begin, piece in pieces for m in _WORD.finditer(piece)]


def dockerfile_places(text: str) -> Iterator[Place | Refused]:
    """Yield the images that a Dockerfile takes from registries, and those it makes of build arguments.

    `scratch`, stages of the file and named contexts (`COPY --from=0`) are no images. An image that is wholly one
    argument is changed in the argument's default; one that mixes arguments and text is read with the defaults, and can
    be changed where only the host and path change and they are text.
    """
    arguments: dict[str, _Written] = {}
    stages: set[str] = set()
    before_from = True
    number = 0
    for word, pieces in _instructions(text):
        words = _words(pieces)
        if word == "ONBUILD" and words:
            word, words = words[0][1].upper(), words[1:]
            pieces = [(begin, w) for begin, w in words]
        if word == "ARG" and before_from:
            for begin, piece in pieces:
                for found in _ARG.finditer(piece):
                    arguments[found["name"]] = (begin + found.start("value"), found["value"])
        elif word == "FROM":
            before_from = False
            rest = [(at, w) for at, w in words if not w.startswith("--")]
            if rest and rest[0][1].lower() not in {"scratch", *stages}:
                yield _place(text, *rest[0], arguments, f"FROM[{number}]")
            if len(rest) > 2 and rest[1][1].upper() == "AS":
                stages.add(rest[2][1].lower())
            number += 1
        elif word in ("COPY", "ADD"):
            for at, option in words:
                if option.startswith("--from="):
                    yield from _taken(text, at + 7, option[7:], stages, word)
        elif word == "RUN":
            for at, option in words:
                mount = _MOUNT.fullmatch(option)
                for part in re.finditer(r"(?:^|,)from=([^,]+)", mount["options"]) if mount else ():
                    yield from _taken(text, at + mount.start("options") + part.start(1), part[1], stages, word)  # type: ignore[union-attr]  # `for` ran, so there is a mount


def _taken(text: str, at: int, name: str, stages: set[str], word: str) -> Iterator[Place | Refused]:
    # What is neither a stage, by name or number, nor written with '/', ':' or '.' may be a named build context.
    if name.lower() in stages or not re.search(r"[/:@.$]", name):
        return
    yield _place(text, at, name, {}, f"{word} --from")


def _place(text: str, at: int, written: str, arguments: Mapping[str, _Written], what: str) -> Place | Refused:
    line = text.count("\n", 0, at) + 1
    quote = written[0] if written[:1] in "\"'" and written[-1:] == written[:1] and len(written) > 1 else ""
    at, written = (at + 1, written[1:-1]) if quote else (at, written)
    meant, unknown = written, list[str]()

    def value(found: re.Match[str]) -> str:
        name = found["braced"] or found["bare"]
        default = found["default"]
        known = arguments.get(name, (0, ""))[1] or default
        if known is None or not known:
            unknown.append(name)
            return found[0]
        return known

    meant = _VARIABLE.sub(value, written)
    if unknown or "$" in meant:
        reason = f"is made of build arguments without a default: {', '.join(unknown) or meant}"
        return Refused(path=what, line=line, reference=written[:200], reason=reason)
    try:
        AnyReference.parse(meant)
    except InvalidReference as fault:
        return Refused(path=what, line=line, reference=written[:200], reason="; ".join(map(str, fault.problems)))
    return Place(
        kind="dockerfile", path=what, line=line, reference=meant,
        edits=lambda new: _edits(text, (at, written), meant, new, arguments),
    )  # fmt: skip


def _edits(text: str, where: tuple[int, str], meant: str, new: str, arguments: Mapping[str, _Written]) -> list[Edit]:
    at, written = where
    if written == meant:
        return [Edit(at, at + len(written), new)]
    whole = _VARIABLE.fullmatch(written)
    if whole is not None:
        begin, value = arguments.get(whole["braced"] or whole["bare"], (0, ""))
        if value:
            return [Edit(begin, begin + len(value), new)]
    # The common end of old and new may hold arguments; what differs must be text in front of them.
    first = _VARIABLE.search(written)
    head = written[: first.start()] if first is not None else written
    rest = meant[len(head) :]
    if meant.startswith(head) and head and new.endswith(rest) and len(new) > len(rest):
        return [Edit(at, at + len(head), new[: len(new) - len(rest)])]
    line = text.count("\n", 0, at) + 1
    message = f"{written[:100]} is made of build arguments; change their defaults"
    raise InvalidInput.single("cannot be rewritten", f"line {line}", message)
