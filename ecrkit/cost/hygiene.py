"""Whether resource tags can carry a bill: missing and misspelt keys, empty, misspelt and inconsistent values.

AWS tells `Team` and `team` apart, and `payments` and `Payments`: each is an owner of its own on the bill.
Source: AWS Billing user guide, cost allocation tags.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import frame, html_table, text_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COST_TAGS", "TagHygiene", "TagIssue", "tag_hygiene"]

COST_TAGS: Final = ("Team", "Environment", "Application", "CostCenter")
"""The keys that are looked for unless the caller names others."""

IssueKind = Literal["missing", "misspelt key", "empty value", "misspelt value", "inconsistent value", "unknown"]

_PLAIN: Final = re.compile(r"[^0-9a-z]+")
_HEADER: Final = ("repository", "key", "problem", "value", "meant")
_ALIKE: Final = 0.8


@attrs.frozen(kw_only=True)
class TagIssue(Record):
    """One problem of one repository's tags. `value` is what stands there, `suggestion` what was probably meant.

    For a misspelt key, `found` is how it is spelt.
    """

    repository: str
    key: str
    kind: IssueKind
    value: str | None = None
    suggestion: str | None = None
    found: str | None = None

    def explain(self) -> str:
        """Return the problem in a sentence."""
        what = {
            "missing": f"has no tag {self.key}",
            "misspelt key": f"spells {self.key} as {self.found}",
            "empty value": f"has an empty {self.key}",
            "misspelt value": f"has {self.key}={self.value}",
            "inconsistent value": f"writes {self.key}={self.value}",
            "unknown": "has tags that could not be read",
        }[self.kind]
        meant = f"; {self.suggestion} is probably meant" if self.suggestion and self.kind.endswith("value") else ""
        return f"{self.repository} {what}{meant}"


@attrs.frozen(kw_only=True)
class TagHygiene(Record):
    """What is wrong with the tags of some repositories. `coverage` is the share of them with a value, by key.

    Repositories whose tags could not be read count as without.
    """

    issues: tuple[TagIssue, ...]
    coverage: Mapping[str, float] = attrs.field(hash=False)
    repositories: int

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong, and everything could be read."""
        return not self.issues

    def of(self, kind: IssueKind) -> tuple[TagIssue, ...]:
        """Return the problems of one kind."""
        return tuple(issue for issue in self.issues if issue.kind == kind)

    def untagged(self, key: str) -> tuple[str, ...]:
        """Return the repositories without a value for the key, by whatever mishap."""
        kinds = ("missing", "misspelt key", "empty value", "unknown")
        names = (i.repository for i in self.issues if i.kind in kinds and i.key in (key, ""))
        return tuple(dict.fromkeys(names))

    def fixes(self) -> dict[str, dict[str, str]]:
        """Return the tags to put, by repository, for what has a suggestion: `plan_tags` takes them.

        A misspelt key keeps its value under the right key. What is missing needs a person.
        """
        found: dict[str, dict[str, str]] = {}
        for issue in self.issues:
            if issue.suggestion is not None:
                found.setdefault(issue.repository, {})[issue.key] = issue.suggestion
        return found

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one row for each problem, as columns."""
        names = ("repository", "key", "kind", "value", "suggestion", "found")
        return {name: [getattr(issue, name) for issue in self.issues] for name in names}

    def to_pandas(self) -> pd.DataFrame:
        """Return `to_columns()` as a frame.

        Raises:
            MissingExtra: pandas is not installed.
        """
        return frame(self.to_columns())

    def explain(self) -> str:
        """Return a table for people."""
        return f"{self}\n" + text_table(_HEADER, self._rows())

    def _rows(self) -> list[tuple[object, ...]]:
        return [(i.repository, i.key, i.kind, i.found or i.value, i.suggestion) for i in self.issues]

    def _repr_html_(self) -> str:
        return html_table(_HEADER, self._rows(), caption=str(self))

    @override
    def __str__(self) -> str:
        shares = ", ".join(f"{key} {share:.0%}" for key, share in self.coverage.items())
        return f"{self.repositories} repositories; with a value: {shares}"


@lru_cache(maxsize=50_000)
def _plain(text: str) -> str:
    return _PLAIN.sub("", text.casefold())


def _alike(one: str, other: str) -> bool:
    a, b = _plain(one), _plain(other)
    if a == b:
        return True
    # Two short words differ in one letter too often: dev and div, eu1 and eu2. Digits are names, not slips.
    if min(len(a), len(b)) < 4 or _digits(a) != _digits(b):
        return False
    # Most pairs differ in length or letters already, which is cheap to see; a whole registry has millions of pairs.
    least = _ALIKE * (len(a) + len(b)) / 2
    mine, theirs = len(_letters(a) - _letters(b)), len(_letters(b) - _letters(a))
    if len(a) - mine < least or len(b) - theirs < least:
        return False
    return difflib.SequenceMatcher(None, a, b).ratio() >= _ALIKE


@lru_cache(maxsize=50_000)
def _letters(text: str) -> frozenset[str]:
    return frozenset(text)


@lru_cache(maxsize=50_000)
def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def tag_hygiene(
    tags: Mapping[str, Mapping[str, str] | None],
    *,
    required: Iterable[str] = COST_TAGS,
    allowed: Mapping[str, Iterable[str]] | None = None,
) -> TagHygiene:
    """Return what is wrong with the resource tags of repositories, as carriers of cost.

    - `missing`: a required key that is not there, nor in a spelling that means it.
    - `misspelt key`: a key that differs by case, separators or a slip of the pen.
    - `empty value`: which the bill shows as untagged.
    - `misspelt value`: not an allowed one; or used once or twice and close to one that is used ten times as often.
    - `inconsistent value`: the same but for case and separators, in several spellings; the most used one is meant.
    - `unknown`: the tags could not be read.

    Args:
        tags: the resource tags by repository; None where they could not be read.
        required: the keys that each repository must carry.
        allowed: the values that a key may have; other keys may have any.

    Example:
        >>> tags = {"api": {"Team": "payments"}, "web": {"team": "payments"}, "job": {"Team": "Payments"},
        ...         "cron": {"Team": "payments"}}
        >>> for issue in tag_hygiene(tags, required=["Team"]).issues:
        ...     print(issue.explain())
        web spells Team as team
        job writes Team=Payments; payments is probably meant
    """
    keys = tuple(dict.fromkeys(required))
    permitted = {key: tuple(dict.fromkeys(values)) for key, values in (allowed or {}).items()}
    values: dict[str, Counter[str]] = {key: Counter() for key in keys}
    proper: dict[str, Counter[str]] = {key: Counter() for key in keys}  # of those, under the right key
    spelt: dict[tuple[str, str], str] = {}
    for name, carried in tags.items():
        for key in keys:
            where = _key_of(key, carried or {}, keys)
            if where is not None:
                spelt[name, key] = where
                value = (carried or {})[where].strip()
                values[key][value] += 1
                if where == key:
                    proper[key][value] += 1
    meant = {key: _meant(values[key], proper[key], permitted.get(key)) for key in keys}
    issues: list[TagIssue] = []
    good: Counter[str] = Counter()
    for name, carried in tags.items():
        if carried is None:
            issues.append(TagIssue(repository=name, key="", kind="unknown"))
            continue
        for key in keys:
            found = _issue(name, key, carried, spelt.get((name, key)), meant[key])
            if carried.get(key, "").strip():
                good[key] += 1
            if found is not None:
                issues.append(found)
    total = len(tags)
    return TagHygiene(
        issues=tuple(issues),
        coverage={key: good[key] / total if total else 1.0 for key in keys},
        repositories=total,
    )


def _key_of(key: str, carried: Mapping[str, str], required: tuple[str, ...]) -> str | None:
    if key in carried:
        return key
    others = [other for other in carried if other not in required]
    same = [other for other in others if _plain(other) == _plain(key)]
    close = same or [other for other in others if _alike(other, key)]
    return close[0] if close else None


def _meant(
    values: Counter[str], proper: Counter[str], allowed: tuple[str, ...] | None
) -> dict[str, tuple[IssueKind, str | None]]:
    """Return by value what is wrong with it and what is probably meant."""
    found: dict[str, tuple[IssueKind, str | None]] = {}
    if allowed is not None:
        for value in values:
            if value and value not in allowed:
                same = [a for a in allowed if _plain(a) == _plain(value)]
                close = same or [a for a in allowed if _alike(a, value)]
                found[value] = ("inconsistent value" if same else "misspelt value", close[0] if close else None)
        return found
    groups: dict[str, list[str]] = {}
    for value in values:
        if value:
            groups.setdefault(_plain(value) or value, []).append(value)
    # The most used spelling stands for its group; of equally used ones that of whoever spelt the key right.
    best = {plain: min(group, key=lambda v: (-values[v], -proper[v], v)) for plain, group in groups.items()}
    for plain, group in groups.items():
        for value in group:
            if value != best[plain]:
                found[value] = ("inconsistent value", best[plain])
    counts = {plain: sum(values[v] for v in group) for plain, group in groups.items()}
    often = [plain for plain, count in counts.items() if count >= 10]
    for plain, count in counts.items():
        if count <= 2:
            close = [o for o in often if counts[o] >= 10 * count and o != plain and _alike(o, plain)]
            if close:
                target = best[max(close, key=lambda o: (counts[o], o))]
                found.update(dict.fromkeys(groups[plain], ("misspelt value", target)))
    return found


def _issue(
    name: str,
    key: str,
    carried: Mapping[str, str],
    where: str | None,
    meant: Mapping[str, tuple[IssueKind, str | None]],
) -> TagIssue | None:
    if where is None:
        return TagIssue(repository=name, key=key, kind="missing")
    value = carried[where].strip()
    right = meant.get(value, (None, value))[1] if value else None
    if where != key:
        return TagIssue(repository=name, key=key, kind="misspelt key", value=value, suggestion=right, found=where)
    if not value:
        return TagIssue(repository=name, key=key, kind="empty value", value=carried[where])
    if value in meant:
        kind, suggestion = meant[value]
        return TagIssue(repository=name, key=key, kind=kind, value=value, suggestion=suggestion)
    if value != carried[where]:
        return TagIssue(repository=name, key=key, kind="inconsistent value", value=carried[where], suggestion=value)
    return None
