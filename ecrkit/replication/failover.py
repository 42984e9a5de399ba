"""Whether a Region can run everything that is deployed: references in, gaps out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit.errors import GateRefused, InvalidReference
from ecrkit.images.inventory import Inventory
from ecrkit.records import Image
from ecrkit.refs import ImageRef, RegistryHost
from ecrkit.replication.configuration import Destination

__all__ = [
    "FailoverReport",
    "FailoverState",
    "Judged",
    "Runnable",
    "check_references",
    "failover_check",
    "judged",
    "regional",
]

FailoverState = Literal[
    "ready", "missing", "incomplete", "tag_missing", "tag_moved", "archived", "unknown", "elsewhere", "unusable"
]
"""What the failover Region would do with a reference.

- `ready`: the same image is there, whole and pullable, and the tag names it.
- `missing`: the image is not there. `incomplete`: a child of the index, or a referrer that was asked for, is not.
- `tag_missing`, `tag_moved`: the image is there, and the tag is not, or names another one.
- `archived`: the image is there and must be restored before it can be pulled.
- `unknown`: one of the two Regions could not be read, or the source does not have the reference.
- `elsewhere`: no private registry of the home account and Region: its own availability decides.
- `unusable`: the text is no reference.
"""


@attrs.frozen(kw_only=True)
class Runnable(Record):
    """One reference and its state; `target` is the reference to use in the failover Region."""

    reference: str
    state: FailoverState
    reason: str
    target: str = ""
    digest: str = ""

    @property
    def ready(self) -> bool:
        """Whether the failover Region can run it."""
        return self.state == "ready"

    @override
    def __str__(self) -> str:
        return f"{self.state}: {self.reference}: {self.reason}"


def _entries(values: Iterable[Runnable]) -> tuple[Runnable, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class FailoverReport(Record):
    """What a failover Region can run. References elsewhere are no gap of it, and are listed apart."""

    home: Destination
    failover: Destination
    entries: tuple[Runnable, ...] = attrs.field(default=(), converter=_entries)

    @property
    def gaps(self) -> tuple[Runnable, ...]:
        """The references that the Region cannot run, or of which that is not known."""
        return tuple(e for e in self.entries if not e.ready and e.state != "elsewhere")

    @property
    def elsewhere(self) -> tuple[Runnable, ...]:
        """The references to other registries, which replication does nothing for."""
        return tuple(e for e in self.entries if e.state == "elsewhere")

    @property
    def ok(self) -> bool:
        """Whether there is no gap; without any reference nothing was shown, so False."""
        return any(e.ready for e in self.entries) and not self.gaps

    def explain(self) -> str:
        """Return the numbers and each gap in words."""
        ready = sum(1 for e in self.entries if e.ready)
        head = f"{self.failover} can run {ready} of {counted(len(self.entries), 'reference')}"
        notes = [f"- elsewhere: {e.reference}" for e in self.elsewhere]
        return "\n".join([head, *(f"- {gap}" for gap in self.gaps), *notes])

    def require(self) -> FailoverReport:
        """Return the report when there is no gap.

        Raises:
            GateRefused: there is one.
        """
        if not self.ok:
            raise GateRefused(self.explain(), verdict=self)
        return self

    def _rows(self) -> list[tuple[str, ...]]:
        return [(e.reference, e.state, e.reason) for e in self.entries]

    def to_table(self) -> str:
        """Return every reference as a table of text."""
        return text_table(("reference", "state", "why"), self._rows())

    def _repr_html_(self) -> str:
        return html_table(("reference", "state", "why"), self._rows(), caption=f"failover to {self.failover}")


def regional(reference: ImageRef | str, failover: Destination) -> ImageRef:
    """Return the reference in the failover registry, in the same endpoint form where its account stays the same.

    Raises:
        InvalidReference: it is no reference to a private registry.

    Example:
        >>> place = Destination("eu-west-1", "123456789012")
        >>> str(regional("123456789012.dkr.ecr.us-east-1.amazonaws.com/app:v1", place))
        '123456789012.dkr.ecr.eu-west-1.amazonaws.com/app:v1'
    """
    parsed = reference if isinstance(reference, ImageRef) else ImageRef.parse(reference)
    if parsed.registry is None or parsed.registry.public:
        raise InvalidReference.single("no regional reference", str(parsed), "names no private registry")
    host = parsed.registry
    return parsed.in_registry(
        RegistryHost.private(failover.account, failover.region, fips=host.fips, dual_stack=host.dual_stack)
    )


Judged: TypeAlias = "tuple[FailoverState, str, str]"
"""State, reason, and the digest that the reference means."""


def failover_check(
    references: Iterable[ImageRef | str],
    here: Mapping[str, Inventory],
    there: Mapping[str, Iterable[Image] | None],
    *,
    home: Destination,
    failover: Destination,
) -> FailoverReport:
    """Return whether the failover Region can run every reference, from what was read of both Regions before.

    A reference without a host means the home registry. What was not read is unknown, which is a gap: a repository that
    is absent from `here` or None in `there`, and an index whose children are not known. A repository that is absent
    from `there` is empty.

    Example:
        >>> home, away = Destination("us-east-1", "123456789012"), Destination("eu-west-1", "123456789012")
        >>> report = failover_check(["app:v1"], {}, {}, home=home, failover=away)
        >>> report.ok, report.gaps[0].state
        (False, 'unknown')
    """
    read: dict[str, _Held | None] = {}
    opaque: dict[str, frozenset[str]] = {}

    def judge(ref: ImageRef) -> Judged:
        name = str(ref.repository)
        inventory = here.get(name)
        if inventory is None:
            return "unknown", f"{name} was not read in {home}", ""
        tag = str(ref.tag) if ref.tag is not None else None if ref.digest is not None else "latest"
        image = inventory.get(str(ref.digest)) if ref.digest is not None else inventory.by_tag(tag or "")
        if image is None:
            return "unknown", f"{home} does not have it", ""
        if name not in opaque:
            opaque[name] = frozenset(i.digest for i in inventory.opaque_indexes)
        parts, waiting = {image.digest: None}, [image.digest]
        while waiting:
            at = waiting.pop()
            if at in opaque[name]:
                return "unknown", f"the children of the index {at} are not known", image.digest
            fresh = [d for d in inventory.children_of(at) if d not in parts]
            parts.update(dict.fromkeys(fresh))
            waiting += fresh
        if name not in read:
            read[name] = _held(there.get(name, ()))
        held = read[name]
        if held is None:
            return "unknown", f"{name} was not read in {failover}", image.digest
        pinned = ref.digest is not None
        named = None if tag is None else held.tags.get(tag)
        state, reason = judged(list(parts), held.statuses, tag=None if pinned else tag, named=named)
        return state, reason, image.digest

    return check_references(references, judge, home=home, failover=failover)


@attrs.frozen
class _Held:
    """What a repository holds: the status of each digest, and the digest that each tag names."""

    statuses: Mapping[str, str]
    tags: Mapping[str, str]


def _held(images: Iterable[Image] | None) -> _Held | None:
    if images is None:
        return None
    listed = list(images)
    tags = {tag: image.digest for image in listed for tag in image.tags}
    return _Held({image.digest: image.status for image in listed}, tags)


def judged(
    parts: Sequence[str], statuses: Mapping[str, str], *, tag: str | None, named: str | None
) -> tuple[FailoverState, str]:
    """Return the state of an image and its parts, given the status of each digest that is there."""
    root = parts[0]
    if root not in statuses:
        there = f"; {tag} names {named} there" if tag is not None and named is not None else ""
        return "missing", f"{root} is not there{there}"
    absent = [digest for digest in parts[1:] if digest not in statuses]
    if absent:
        return "incomplete", f"{counted(len(absent), 'part')} of it not there: {', '.join(absent[:3])}"
    stored = [digest for digest in parts if statuses[digest] != "ACTIVE"]
    if stored:
        return "archived", f"must be restored before it can be pulled: {', '.join(stored[:3])}"
    if tag is not None and named != root:
        if named is None:
            return "tag_missing", f"the image is there, the tag {tag} is not"
        return "tag_moved", f"the tag {tag} names {named} there"
    return "ready", "the same image is there" + (f" under {tag}" if tag is not None else "")


def check_references(
    references: Iterable[ImageRef | str],
    judge: Callable[[ImageRef], Judged],
    *,
    home: Destination,
    failover: Destination,
) -> FailoverReport:
    """Return the report of what `judge` says about each reference in the home registry; each is judged once."""
    entries: dict[str, Runnable] = {}
    for given in references:
        name = str(given)
        if name in entries:
            continue
        entries[name] = _entry(name, given, judge, home, failover)
    return FailoverReport(home=home, failover=failover, entries=entries.values())


def _entry(
    name: str, given: ImageRef | str, judge: Callable[[ImageRef], Judged], home: Destination, failover: Destination
) -> Runnable:
    try:
        ref = given if isinstance(given, ImageRef) else ImageRef.parse(given)
    except InvalidReference as fault:
        hosts = ("host", "repository")
        outside = any(p.path == "host" for p in fault.problems)
        state: FailoverState = "elsewhere" if outside and all(p.path in hosts for p in fault.problems) else "unusable"
        return Runnable(reference=name, state=state, reason="; ".join(p.message for p in fault.problems))
    host = ref.registry
    if host is not None and (host.public or (host.account, host.region) != (home.account, home.region)):
        return Runnable(reference=name, state="elsewhere", reason=f"is not in {home}")
    state, reason, image = judge(ref)
    here = host or RegistryHost.private(home.account, home.region)
    target = str(regional(ref.in_registry(here), failover))
    return Runnable(reference=name, state=state, reason=reason, target=target, digest=image)
