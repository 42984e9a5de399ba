"""Lifecycle rules from tag conventions, so that no rule takes the tags of another convention.

ECR evaluates rules by priority, and an image belongs to the first rule that selects it, also where that rule keeps it
(ECR user guide, "Lifecycle policy evaluation rules"). So a convention whose tags another's pattern would take goes
first, and is protected where nothing was said about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import attrs

from ecrkit._internal.globs import matches
from ecrkit._internal.jsonio import Record
from ecrkit.errors import InvalidInput, Problem
from ecrkit.images.conventions import ConventionOverlap, TagConvention, TagConventions
from ecrkit.lifecycle.builder import Part, expire_older_than, keep_last, protect

__all__ = ["Keep", "convention_parts", "pattern_strays"]


@attrs.frozen(kw_only=True)
class Keep(Record):
    """What to keep of a convention's images: the newest `last`, those of the last `days`, or `everything`.

    ECR counts by the time of the push and over the whole convention, not for each branch. Exactly one is given.

    Raises:
        InvalidInput: none is given, or several, or a number below 1.
    """

    last: int | None = None
    days: int | None = None
    everything: bool = False

    def __attrs_post_init__(self) -> None:
        given = [n for n in (self.last, self.days) if n is not None]
        if len(given) + self.everything != 1 or any(n < 1 for n in given):
            raise InvalidInput.single("nothing to keep", "$", "give one of last, days (at least 1) and everything")


def convention_parts(conventions: TagConventions, keep: Mapping[str, Keep]) -> tuple[Part, ...]:
    """Return the parts of a policy that keeps, of each convention by name, what `keep` says; `build` joins them.

    Conventions that `keep` does not name get no rule, or a protecting one where the pattern of another would take
    their tags. Tags that follow no convention may still match a pattern: `pattern_strays` names those that are there.

    Raises:
        InvalidInput: `keep` names an unknown convention, or the patterns of two conventions take each other's tags, so
            that no order of rules tells them apart; the message shows such tags.

    Example:
        >>> from ecrkit.images.conventions import TagConventions
        >>> from ecrkit.lifecycle import build
        >>> team = TagConventions.of("{version}", "prod-{version}", "dev-{branch}-{sha}")
        >>> print(build(*convention_parts(team, {"{version}": Keep(last=20), "dev-{branch}-{sha}": Keep(days=14)})))
        rule 1: expire images tagged prod-*.*.* beyond the newest 1000000
        rule 2: expire images tagged dev-*-* pushed more than 14 days ago
        rule 3: expire images tagged *.*.* beyond the newest 20
    """
    names = [c.name for c in conventions]
    unknown = [Problem(n, "is no convention of these") for n in sorted(keep.keys() - set(names))]
    if unknown:
        raise InvalidInput("no rules from conventions", unknown)
    # Only a pattern that becomes a rule can take anything.
    overlaps = [o for o in conventions.overlaps if o.convention in keep]
    wanted = [c for c in conventions if c.name in keep or any(o.other == c.name for o in overlaps)]
    return tuple(_part(c, keep.get(c.name, Keep(everything=True))) for c in _ordered(wanted, overlaps))


def _ordered(wanted: list[TagConvention], overlaps: list[ConventionOverlap]) -> list[TagConvention]:
    before = {c.name: {o.other for o in overlaps if o.convention == c.name} for c in wanted}
    ordered: list[TagConvention] = []
    while len(ordered) < len(wanted):
        done = {c.name for c in ordered}
        free = next((c for c in wanted if c.name not in done and before[c.name] <= done), None)
        if free is None:
            stuck = [o for o in overlaps if {o.convention, o.other}.isdisjoint(done)]
            raise InvalidInput(
                "no order of rules tells these conventions apart", [Problem(o.convention, o.explain()) for o in stuck]
            )
        ordered.append(free)
    return ordered


def _part(convention: TagConvention, keep: Keep) -> Part:
    what = convention.description or f"tags {convention.template}"
    if keep.last is not None:
        return keep_last(keep.last, patterns=convention.pattern, description=what)
    if keep.days is not None:
        return expire_older_than(keep.days, patterns=convention.pattern, description=what)
    return protect(patterns=convention.pattern, description=what)


def pattern_strays(conventions: TagConventions, tags: Iterable[str]) -> dict[str, str]:
    """Return the tags that follow no convention and still match a pattern: a rule for the convention takes them too.

    Maps each tag to the name of the first convention whose pattern matches.

    Example:
        >>> from ecrkit.images.conventions import TagConventions
        >>> pattern_strays(TagConventions.of("prod-{version}"), ["prod-1.0.0", "prod-1.0.0.bak", "latest"])
        {'prod-1.0.0.bak': 'prod-{version}'}
    """
    found: dict[str, str] = {}
    for tag in sorted(set(tags)):
        if conventions.parse(tag) is None:
            name = next((c.name for c in conventions if matches(c.pattern, tag)), None)
            if name is not None:
                found[tag] = name
    return found
