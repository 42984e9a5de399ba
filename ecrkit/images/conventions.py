"""How a team names its tags: parse, format, order and check them, and the patterns of ECR that mean them.

A convention is a template such as `prod-{version}` or `dev-{branch}-{sha}`. ECR knows only prefixes and patterns with
`*`; which tags of other conventions a pattern would take too is proved here, with a tag that shows it.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Final, TypeAlias

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images._tag_fields import FIELDS, Field, branch_slug
from ecrkit.images._tag_grammar import Node, Seq, glob_node, literal, regex_of, witness

__all__ = [
    "STANDARD_CONVENTIONS",
    "ConventionOverlap",
    "ParsedTag",
    "SortKey",
    "TagCheck",
    "TagConvention",
    "TagConventions",
    "branch_slug",
    "field_names",
]

SortKey: TypeAlias = "tuple[object, ...]"
"""What tags of one group are ordered by, the newest highest. Keys of different groups must not be compared."""

_LONGEST: Final = 128
_PART: Final = re.compile(r"\{(?P<name>[a-z][a-z0-9_]*)(?::(?P<kind>[a-z]+))?\}|(?P<text>[A-Za-z0-9._-]+)")
_WILDCARDS: Final = 4


def field_names() -> Mapping[str, str]:
    """Return the kinds of fields that a template may hold, and what each stands for.

    Example:
        >>> field_names()["sha"]
        '7 to 40 hexadecimal digits of a commit'
    """
    return {name: field.what for name, field in FIELDS.items()}


@attrs.frozen(kw_only=True)
class ParsedTag(Record):
    """A tag taken apart by the convention that it follows.

    `group` names the line that the tag belongs to: tags of one group replace each other, such as those of one branch.
    `key` orders the tags of a group, the newest highest; None when the tag does not tell (a commit has no order), and
    then only the time of the push does.
    """

    tag: str
    convention: str
    values: Mapping[str, str] = attrs.field(hash=False)
    group: str
    key: SortKey | None


@attrs.frozen(kw_only=True)
class TagConvention:
    """One convention: a name, and a template of text and fields.

    Fields are `{version}`, `{branch}`, `{sha}`, `{n}`, `{build}`, `{timestamp}` and `{text}`; `field_names()` tells
    what they hold. A field may have a name of its own: `{service:text}-{version}`.

    Raises:
        InvalidInput: the template is none; every problem is named.

    Example:
        >>> prod = TagConvention(name="production", template="prod-{version}")
        >>> prod.parse("prod-1.4.0").values, prod.parse("prod-1.4") is None
        ({'version': '1.4.0'}, True)
        >>> prod.format(version="1.10.0"), prod.pattern
        ('prod-1.10.0', 'prod-*.*.*')
    """

    name: str
    template: str
    description: str = ""

    def __attrs_post_init__(self) -> None:
        problems = list(_problems(self.template))
        if not self.name:
            problems.append(Problem("name", "must not be empty"))
        if problems:
            raise InvalidInput(f"no tag convention: {self.template[:80]!r}", problems)

    @property
    def _parts(self) -> list[tuple[str, Field | None]]:
        """The template's parts: a field's name with its kind, or a text with None."""
        found = _PART.finditer(self.template)
        return [
            (m["text"], None) if m["text"] is not None else (m["name"], FIELDS[m["kind"] or m["name"]]) for m in found
        ]

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields, in the order of the template."""
        return tuple(name for name, field in self._parts if field is not None)

    @property
    def _node(self) -> Node:
        return Seq(tuple(literal(name) if field is None else field.node for name, field in self._parts))

    def parse(self, tag: str) -> ParsedTag | None:
        """Return the tag taken apart, or None when it does not follow the convention. Linear on hostile texts."""
        if len(tag) > _LONGEST:
            return None
        found = _compiled(self.template).fullmatch(tag)
        if found is None:
            return None
        values: dict[str, str] = {}
        keys: list[object] = []
        lines: list[str] = []
        fields = [(name, field) for name, field in self._parts if field is not None]
        for (name, field), value in zip(fields, found.groups(), strict=True):
            if not field.accepts(value):
                return None
            values[name] = value
            if field.key is not None:
                keys.append(field.key(value))
            if field.groups:
                lines.append(value)
        group = ":".join((self.name, *lines))
        return ParsedTag(tag=tag, convention=self.name, values=values, group=group, key=tuple(keys) or None)

    def format(self, **values: str | int) -> str:
        """Return the tag of these values. A branch is put right by `branch_slug`, a commit may be 40 digits long.

        A branch is cut where the whole would pass the 128 characters of a reference.

        Raises:
            InvalidInput: a value is missing, unknown, or none of its kind.
        """
        names = set(self.fields)
        problems = [Problem(n, "is not in the template") for n in sorted(values.keys() - names)]
        problems += [Problem(n, "is missing") for n in self.fields if n not in values]
        if problems:
            raise InvalidInput(f"no tag of {self.template}", problems)
        texts = {n: str(v) for n, v in values.items()}
        branches = [n for n, field in self._parts if field is FIELDS["branch"]]
        for name in branches:
            texts[name] = branch_slug(texts[name], limit=_LONGEST)
        tag = self._joined(texts)
        if len(tag) > _LONGEST and branches:
            room = len(texts[branches[0]]) - (len(tag) - _LONGEST)
            if room >= 16:
                texts[branches[0]] = branch_slug(str(values[branches[0]]), limit=room)
                tag = self._joined(texts)
        if self.parse(tag) is None:
            wrong = [
                Problem(n, f"{texts[n][:60]!r} is not {field.what}")
                for n, field in self._parts
                if field is not None
                and not (re.fullmatch(regex_of(field.node), texts[n][:_LONGEST]) and field.accepts(texts[n]))
            ]
            raise InvalidInput(
                f"no tag of {self.template}",
                wrong or [Problem("tag", f"has {len(tag)} characters; at most {_LONGEST}")],
            )
        return tag

    def _joined(self, texts: Mapping[str, str]) -> str:
        return "".join(name if field is None else texts[name] for name, field in self._parts)

    @property
    def example(self) -> str:
        """A tag of the convention."""
        return "".join(name if field is None else field.example for name, field in self._parts)

    @property
    def prefix(self) -> str:
        """The text before the first field; perhaps empty."""
        name, field = self._parts[0]
        return name if field is None else ""

    @property
    def pattern(self) -> str:
        """The narrowest pattern of ECR that matches every tag of the convention: `*` for fields, at most four.

        It may match more: ECR has no other wildcard. `TagConventions.overlaps` tells which conventions it would take.
        """
        pieces = [
            name if field is None else "*.*.*" if field is FIELDS["version"] else "*" for name, field in self._parts
        ]
        text = "".join(pieces)
        while text.count("*") > _WILDCARDS:
            # The two wildcards that have the least between them become one.
            stars = [n for n, c in enumerate(text) if c == "*"]
            first, second = min(itertools.pairwise(stars), key=lambda pair: pair[1] - pair[0])
            text = text[:first] + text[second:]
        return re.sub(r"\*+", "*", text)

    def mended(self, tag: str) -> str | None:
        """Return the tag of this convention that `tag` was probably meant to be, or None."""
        texts: dict[str, str] = {}
        loose = _loose(self.template).fullmatch(tag) if len(tag) <= 2 * _LONGEST else None
        if loose is None:
            return None
        fields = [(name, field) for name, field in self._parts if field is not None]
        for (name, field), value in zip(fields, loose.groups(), strict=True):
            texts[name] = field.mend(value)
        made = self._joined(texts)
        return made if made != tag and self.parse(made) is not None else None


def _problems(template: str) -> Iterator[Problem]:
    if not template or len(template) > _LONGEST:
        yield Problem("template", f"must have 1 to {_LONGEST} characters")
        return
    at, names, open_ended, before = 0, set[str](), 0, False
    while at < len(template):
        part = _PART.match(template, at)
        if part is None:
            yield Problem(
                f"template[{at}]", f"{template[at : at + 20]!r} is neither a field nor text that a tag can hold"
            )
            return
        is_field = part["text"] is None
        if is_field:
            kind = part["kind"] or part["name"]
            field = FIELDS.get(kind)
            if field is None:
                near = difflib.get_close_matches(kind, FIELDS, n=1)
                hint = f"; did you mean {{{near[0]}}}?" if near else f"; known are {', '.join(sorted(FIELDS))}"
                yield Problem(f"template[{at}]", f"there is no field {{{kind}}}{hint}")
                field = FIELDS["text"]
            open_ended += field.open_ended
            if part["name"] in names:
                yield Problem(f"template[{at}]", f"{{{part['name']}}} is used twice; name one, as in {{other:{kind}}}")
            names.add(part["name"])
            if before:
                yield Problem(f"template[{at}]", "two fields need a text between them")
        before = is_field
        at = part.end()
    if not names:
        yield Problem("template", "has no field")
    if open_ended > 2:
        yield Problem("template", "has more than two fields of any length; a tag could be read in too many ways")
    if template[0] in ".-":
        yield Problem("template[0]", "a tag does not begin with '.' or '-'")


_CACHE: dict[str, re.Pattern[str]] = {}


def _compiled(template: str) -> re.Pattern[str]:
    found = _CACHE.get(template)
    if found is None:
        if len(_CACHE) > 1000:
            _CACHE.clear()
        pieces = (
            re.escape(m["text"]) if m["text"] is not None else f"({regex_of(FIELDS[m['kind'] or m['name']].node)})"
            for m in _PART.finditer(template)
        )
        found = _CACHE[template] = re.compile("".join(pieces))
    return found


def _loose(template: str) -> re.Pattern[str]:
    """Return what a tag that misses the convention narrowly looks like: other case, separators, values."""
    pieces = (
        f"({FIELDS[part['kind'] or part['name']].loose})"
        if part["text"] is None
        else "".join("[._/:+-]" if c in "._-" else re.escape(c) for c in part["text"])
        for part in _PART.finditer(template)
    )
    return re.compile("".join(pieces), re.IGNORECASE | re.DOTALL)


@attrs.frozen(kw_only=True)
class ConventionOverlap(Record):
    """A pattern of one convention takes tags of another: `witness` is such a tag."""

    convention: str
    pattern: str
    other: str
    witness: str

    def explain(self) -> str:
        """Return the overlap in a sentence."""
        return f"the pattern {self.pattern!r} of {self.convention} also takes {self.witness!r}, a tag of {self.other}"


@attrs.frozen(kw_only=True)
class TagCheck(Record):
    """Whether a tag follows a convention: `parsed` when it does, else what is wrong and a suggestion, if there is one.

    `ambiguous` names the other conventions that would take the tag too.
    """

    tag: str
    parsed: ParsedTag | None
    problem: str | None = None
    suggestion: str | None = None
    ambiguous: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the tag follows exactly one convention, or the first of several."""
        return self.parsed is not None

    def explain(self) -> str:
        """Return the answer in a sentence."""
        if self.parsed is not None:
            more = f" (and {', '.join(self.ambiguous)})" if self.ambiguous else ""
            return f"{self.tag} follows {self.parsed.convention}{more}"
        hint = f"; did you mean {self.suggestion}?" if self.suggestion else ""
        return f"{self.tag[:140]!r} {self.problem}{hint}"


def _conventions(value: Iterable[TagConvention]) -> tuple[TagConvention, ...]:
    return tuple(value)


@attrs.frozen
class TagConventions:
    """The conventions of a team, in the order in which they are tried.

    Example:
        >>> team = TagConventions.of("prod-{version}", "dev-{branch}-{sha}")
        >>> team.check("prod-v1.4").explain()
        "'prod-v1.4' follows no convention; did you mean prod-1.4.0?"
        >>> team.group_and_key("dev-login-4f2c1a9")
        ('dev-{branch}-{sha}:login', None)
        >>> team.newest(["prod-1.9.0", "prod-1.10.0"])
        {'prod-{version}': 'prod-1.10.0'}
    """

    conventions: tuple[TagConvention, ...] = attrs.field(converter=_conventions)

    def __attrs_post_init__(self) -> None:
        names = [c.name for c in self.conventions]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise InvalidInput("no tag conventions", [Problem(n, "is the name of two conventions") for n in twice])

    @classmethod
    def of(cls, *templates: str | TagConvention) -> TagConventions:
        """Return the conventions of these templates; each is named by its template.

        Raises:
            InvalidInput: a template is none.
        """
        return cls([t if isinstance(t, TagConvention) else TagConvention(name=t, template=t) for t in templates])

    def parse(self, tag: str) -> ParsedTag | None:
        """Return the tag by the first convention that it follows, or None."""
        return next((parsed for c in self.conventions if (parsed := c.parse(tag)) is not None), None)

    def group_and_key(self, tag: str) -> tuple[str, SortKey | None] | None:
        """Return what the tag competes with, and its place there; None when it follows no convention.

        Tags of one group replace each other; the highest key is the newest. A key of None says that only the time of
        the push can order the group.
        """
        parsed = self.parse(tag)
        return None if parsed is None else (parsed.group, parsed.key)

    def newest(self, tags: Iterable[str]) -> dict[str, str]:
        """Return the newest tag of each group that has an order; of equal ones the first by name."""
        best: dict[str, ParsedTag] = {}
        for tag in sorted(set(tags)):
            parsed = self.parse(tag)
            if parsed is None or parsed.key is None:
                continue
            held = best.get(parsed.group)
            if held is None or held.key is None or parsed.key > held.key:
                best[parsed.group] = parsed
        return {group: parsed.tag for group, parsed in sorted(best.items())}

    def check(self, tag: str) -> TagCheck:
        """Return whether the tag follows a convention, else what is wrong with it and which tag was meant."""
        followed = [parsed for c in self.conventions if (parsed := c.parse(tag)) is not None]
        if followed:
            return TagCheck(tag=tag, parsed=followed[0], ambiguous=tuple(p.convention for p in followed[1:]))
        legal = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", tag)
        if not legal:
            problem = "is no tag: letters, digits, '_', '.' and '-', not first '.' or '-'"
        elif len(tag) > _LONGEST:
            problem = f"has {len(tag)} characters; a reference takes at most {_LONGEST}, so it can never be pulled"
        else:
            problem = "follows no convention"
        return TagCheck(tag=tag, parsed=None, problem=problem, suggestion=self._suggestion(tag))

    def _suggestion(self, tag: str) -> str | None:
        for convention in self.conventions:
            mended = convention.mended(tag)
            if mended is not None:
                return mended
        examples = {c.example: c.template for c in self.conventions}
        near = difflib.get_close_matches(tag[:_LONGEST], examples, n=1, cutoff=0.5)
        return f"{examples[near[0]]}, such as {near[0]}" if near else None

    @cached_property
    def overlaps(self) -> tuple[ConventionOverlap, ...]:
        """Every pattern that takes tags of another convention, each with the shortest such tag.

        Proved on the grammars, not tried on samples: without an overlap, no tag of another convention matches.
        """
        return tuple(
            ConventionOverlap(convention=one.name, pattern=one.pattern, other=other.name, witness=shared)
            for one in self.conventions
            for other in self.conventions
            if one is not other and (shared := witness(glob_node(one.pattern), other._node)) is not None
        )

    def __iter__(self) -> Iterator[TagConvention]:
        return iter(self.conventions)

    def __len__(self) -> int:
        return len(self.conventions)

    def __getitem__(self, name: str) -> TagConvention:
        """Return the convention of that name."""
        found = next((c for c in self.conventions if c.name == name), None)
        if found is None:
            raise KeyError(name)
        return found


STANDARD_CONVENTIONS: Final = TagConventions(
    (
        TagConvention(name="production", template="prod-{version}"),
        TagConvention(name="release", template="{version}"),
        TagConvention(name="development", template="dev-{branch}-{sha}"),
        TagConvention(name="pull-request", template="pr-{n}-{sha}"),
        TagConvention(name="staging", template="staging-{timestamp}"),
    )
)
"""Five usual conventions: releases for production, plain versions, branches, pull requests, times."""
