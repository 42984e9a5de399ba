"""Semantic versions in tags, their order, and the constraints that tools such as Argo CD Image Updater understand.

Source: Semantic Versioning 2.0.0 (points 2, 9 and 11); the constraint grammar of the Go library Masterminds/semver,
which Argo CD Image Updater and Helm use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput

__all__ = ["VersionConstraint", "VersionKey", "VersionTag"]

VersionKey: TypeAlias = "tuple[int, int, int, tuple[int, ...] | tuple[int, tuple[tuple[int, int, str], ...]]]"
"""What versions are compared by; equal for versions that differ in build metadata only."""

# A tag cannot hold '+', so build metadata stands behind '_' where tools write it (as Helm does).
_VERSION: Final = re.compile(
    r"(?P<v>v?)(?P<major>[0-9]{1,18})(?:\.(?P<minor>[0-9]{1,18}))?(?:\.(?P<patch>[0-9]{1,18}))?"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:[+_](?P<build>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?"
)
_MOST: Final = 256


@attrs.frozen(kw_only=True)
class VersionTag(Record):
    """A version, as a tag holds it. `strict` says whether it is SemVer to the letter: three numbers, no `v`.

    Example:
        >>> VersionTag.parse("1.2.0-rc.10").key > VersionTag.parse("1.2.0-rc.9").key
        True
        >>> VersionTag.parse("v1.2").strict, str(VersionTag.parse("v1.2"))
        (False, '1.2.0')
    """

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()
    build: str | None = None
    strict: bool = attrs.field(default=True, eq=False)

    @classmethod
    def parse(cls, text: str) -> VersionTag | None:
        """Return the version, or None. A leading `v` and missing numbers are read, and are not `strict`."""
        found = _VERSION.fullmatch(text) if len(text) <= _MOST else None
        if found is None:
            return None
        numbers = [found["major"], found["minor"], found["patch"]]
        prerelease = tuple(found["pre"].split(".")) if found["pre"] else ()
        leading = [n for n in (*numbers, *(p for p in prerelease if p.isdigit())) if n and len(n) > 1 and n[0] == "0"]
        if leading:
            return None
        return cls(
            major=int(numbers[0]), minor=int(numbers[1] or 0), patch=int(numbers[2] or 0), prerelease=prerelease,
            build=found["build"], strict=not found["v"] and None not in numbers and "_" not in text,
        )  # fmt: skip

    @property
    def key(self) -> VersionKey:
        """What versions are ordered by (SemVer point 11): a pre-release comes before its release."""
        if not self.prerelease:
            return (self.major, self.minor, self.patch, (1,))
        parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in self.prerelease)
        return (self.major, self.minor, self.patch, (0, parts))

    @override
    def __str__(self) -> str:
        pre = f"-{'.'.join(self.prerelease)}" if self.prerelease else ""
        build = f"+{self.build}" if self.build else ""
        return f"{self.major}.{self.minor}.{self.patch}{pre}{build}"


_TERM: Final = re.compile(
    r"(?P<op>=|==|!=|>=|=>|<=|=<|>|<|~>?|\^)?[ \t]*"
    r"v?(?P<major>[0-9]{1,18}|[xX*])(?:\.(?P<minor>[0-9]{1,18}|[xX*]))?(?:\.(?P<patch>[0-9]{1,18}|[xX*]))?"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:\+[0-9A-Za-z.-]+)?"
)
_RANGE: Final = re.compile(r"(\S+)[ \t]+-[ \t]+(\S+)")
_Test: TypeAlias = "Callable[[VersionTag], bool]"


@attrs.frozen
class VersionConstraint(Record):
    """A constraint such as `^1.4`, `~1.2`, `1.x`, `>=1.2 <2`, `1.2 - 1.4` or `1.x || >=3`.

    A pre-release satisfies a term only when the term names a pre-release too (`^1.4-0`). The empty text and `*` mean
    any release.

    Example:
        >>> wanted = VersionConstraint.parse("^1.4 || 3.x")
        >>> [wanted.allows(tag) for tag in ("1.9.0", "2.0.0", "v3.1.4", "1.5.0-rc.1", "latest")]
        [True, False, True, False, False]
    """

    text: str
    _alternatives: tuple[tuple[_Test, ...], ...] = attrs.field(eq=False, repr=False)

    @classmethod
    def parse(cls, text: str) -> VersionConstraint:
        """Return the constraint.

        Raises:
            InvalidInput: the text is none; the message quotes the term at fault.
        """
        if len(text) > _MOST:
            raise InvalidInput.single("not a version constraint", repr(text[:60]), f"longer than {_MOST} characters")
        return cls(text, tuple(tuple(_terms(part.strip(), text)) for part in text.split("||")))

    def allows(self, tag: str) -> bool:
        """Return whether the tag is a version that satisfies the constraint."""
        version = VersionTag.parse(tag)
        return version is not None and any(all(test(version) for test in tests) for tests in self._alternatives)

    def newest(self, tags: Iterable[str]) -> str | None:
        """Return the newest tag that satisfies the constraint, or None; of equal versions the first by name."""
        fitting = [(v.key, t) for t in sorted(set(tags)) if self.allows(t) and (v := VersionTag.parse(t)) is not None]
        return max(fitting, key=lambda item: item[0])[1] if fitting else None


def _terms(text: str, whole: str) -> Iterable[_Test]:
    found = _RANGE.fullmatch(text)
    if found:
        text = f">={found[1]} <={found[2]}"
    at = 0
    yielded = False
    while at < len(text):
        if text[at] in ", \t":
            at += 1
            continue
        match = _TERM.match(text, at)
        if match is None or (match.end() < len(text) and text[match.end()] not in ", \t"):
            quoted = re.split(r"[, \t]", text[at:])[0]
            message = f"{quoted!r} is no term such as ^1.2, ~1.2.3, >=1.0 or 1.x"
            raise InvalidInput.single("not a version constraint", repr(whole), message)
        at = match.end()
        yielded = True
        yield _term(match)
    if not yielded:
        yield lambda version: not version.prerelease


def _term(found: re.Match[str]) -> _Test:
    numbers: list[int] = []
    for name in ("major", "minor", "patch"):
        if found[name] is None or found[name] in "xX*":
            break
        numbers.append(int(found[name]))
    pre = tuple(found["pre"].split(".")) if found["pre"] and len(numbers) == 3 else ()
    named = bool(found["pre"])
    major, minor, patch = [*numbers, 0, 0, 0][:3]
    low = VersionTag(major=major, minor=minor, patch=patch, prerelease=pre or (("0",) if named else ()))
    op = {"==": "=", "=>": ">=", "=<": "<=", "~>": "~"}.get(found["op"] or "=", found["op"] or "=")
    high = _high(op, numbers)
    test = _comparison(op, low, numbers, high)
    return lambda version: (named or not version.prerelease or op == "!=") and test(version)


def _bump(numbers: list[int], at: int) -> tuple[int, int, int] | None:
    """Return the first release that is outside of what the first `at` + 1 numbers name."""
    if not numbers:
        return None
    at = min(at, len(numbers) - 1)
    head = [*numbers[:at], numbers[at] + 1, 0, 0, 0][:3]
    return head[0], head[1], head[2]


def _high(op: str, numbers: list[int]) -> tuple[int, int, int] | None:
    if op == "^":
        # The first number that is not zero must stay; of ^0.0 the second, of ^0 the first.
        first = next((n for n, value in enumerate(numbers) if value), len(numbers) - 1)
        return _bump(numbers, first)
    return _bump(numbers, 1 if op == "~" else len(numbers) - 1)


def _comparison(op: str, low: VersionTag, numbers: list[int], high: tuple[int, int, int] | None) -> _Test:
    def below(version: VersionTag) -> bool:
        return high is None or (version.major, version.minor, version.patch) < high

    whole = len(numbers) == 3
    inside: _Test = (lambda v: v.key == low.key) if whole else (lambda v: v.key >= low.key and below(v))
    tests: dict[str, _Test] = {
        "=": inside,
        "!=": lambda v: not inside(v),
        ">=": lambda v: v.key >= low.key,
        "<": lambda v: v.key < low.key,
        # "> 1.2" and "<= 1.2" speak of all of 1.2, as the library has it.
        ">": (lambda v: v.key > low.key) if whole else (lambda v: not below(v)),
        "<=": (lambda v: v.key <= low.key) if whole else below,
        "~": lambda v: v.key >= low.key and below(v),
        "^": lambda v: v.key >= low.key and below(v),
    }
    return tests[op]
