"""An audit of replication over snapshots: how far each destination is apart, and how long images took. No calls."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso
from ecrkit.errors import InvalidInput
from ecrkit.images.inventory import Inventory
from ecrkit.records import Image
from ecrkit.replication.configuration import Destination, ReplicationConfiguration
from ecrkit.replication.drift import DriftReport, drift
from ecrkit.replication.failover import FailoverReport, failover_check
from ecrkit.replication.lag import LagReport, lag_from_images

__all__ = ["AuditReport", "Taken", "TakenRepository", "audit", "failover_audit"]


class TakenRepository(Protocol):
    """One repository of a snapshot."""

    @property
    def images(self) -> Iterable[Image]:
        """Its images; raises InvalidInput when they were not read."""
        ...

    @property
    def inventory(self) -> Any:  # an Inventory; pyright takes a cached property for no property of that type
        """Its images with the graph between them; raises InvalidInput when they were not read."""
        ...


class Selection(Protocol):
    """What a snapshot was asked for."""

    def surely_selects(self, name: str) -> bool:
        """Return whether a repository of that name is in the snapshot if it exists."""
        ...


class Taken(Protocol):
    """A snapshot, as `ecrkit.snapshot` makes it: repositories by name, and what could not be read."""

    @property
    def account(self) -> str:
        """Whose registry."""
        ...

    @property
    def region(self) -> str:
        """Its Region."""
        ...

    @property
    def taken_at(self) -> dt.datetime:
        """When it was begun."""
        ...

    @property
    def asked(self) -> Selection:
        """What it was asked for."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """The registry's settings, `replication_configuration` among them when it was read."""
        ...

    def __getitem__(self, name: str, /) -> TakenRepository: ...

    def __iter__(self) -> Iterator[str]: ...

    def __contains__(self, name: object, /) -> bool: ...


class _Images(Mapping[str, "tuple[Image, ...] | None"]):
    """The images of a snapshot by repository, unpacked one at a time; None for what it does not know."""

    def __init__(self, taken: Taken, *, only: Callable[[str], bool] | None = None) -> None:
        self._taken = taken
        self._only = only

    @override
    def __getitem__(self, name: str) -> tuple[Image, ...] | None:
        if name in self._taken:
            try:
                return tuple(self._taken[name].images)
            except InvalidInput:
                return None
        if self._taken.asked.surely_selects(name):
            raise KeyError(name)  # it is not there
        return None

    @override
    def __iter__(self) -> Iterator[str]:
        return (name for name in self._taken if self._only is None or self._only(name))

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


class _Inventories(Mapping[str, Inventory]):
    """The inventories of a snapshot by repository; what was not read is absent."""

    def __init__(self, taken: Taken) -> None:
        self._taken = taken

    @override
    def __getitem__(self, name: str) -> Inventory:
        if name not in self._taken:
            raise KeyError(name)
        try:
            found: Inventory = self._taken[name].inventory
        except InvalidInput:
            raise KeyError(name) from None
        return found

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(self._taken)

    @override
    def __len__(self) -> int:
        return sum(1 for _ in self)


def _reports(values: Iterable[DriftReport]) -> tuple[DriftReport, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class AuditReport(Record):
    """A source and its destinations compared: a drift report and the lag of each.

    `unread` are destinations of the rules of which there is no snapshot, so that nothing is known of them.
    """

    source: Destination
    taken_at: dt.datetime
    drifts: tuple[DriftReport, ...] = attrs.field(default=(), converter=_reports)
    lag: LagReport
    unread: tuple[Destination, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every destination was compared and has no gap."""
        return bool(self.drifts) and not self.unread and all(report.ok for report in self.drifts)

    def to(self, destination: Destination) -> DriftReport | None:
        """Return the drift of a destination, or None when it was not compared."""
        return next((report for report in self.drifts if report.destination == destination), None)

    def explain(self) -> str:
        """Return each destination's drift in words, and the destinations that nobody read."""
        lines = [report.explain() for report in self.drifts]
        lines += [f"{place}: there is no snapshot of it, so nothing is known" for place in self.unread]
        return "\n".join(lines) or f"{self.source}: nothing was compared"

    def to_markdown(self) -> str:
        """Return the report as Markdown: a table of the destinations, then every gap."""
        lines = [f"# Replication from {self.source}", "", f"State: {iso(self.taken_at)}", ""]
        lines += ["| destination | repositories | images | gaps | under way | only there | median lag |"]
        lines += ["|---|---|---|---|---|---|---|"]
        for report in self.drifts:
            counts = Counter(d.kind for d in report.drifts)
            median = self.lag.to(report.destination).median
            shown = "unknown" if median is None else f"{median:.0f} s"
            lines.append(
                f"| {report.destination} | {report.compared} | {report.images} | {len(report.gaps)} | "
                f"{counts['under_way']} | {counts['extra'] + counts['tag_extra']} | {shown} |"
            )
        lines += [f"| {place} | not read | | | | | |" for place in self.unread]
        for report in self.drifts:
            if report.gaps:
                lines += ["", f"## {report.destination}", "", *(f"- {gap}" for gap in report.gaps)]
        return "\n".join(lines) + "\n"


def audit(
    source: Taken,
    destinations: Iterable[Taken],
    *,
    configuration: ReplicationConfiguration | None = None,
    since: dt.datetime | None = None,
    grace: dt.timedelta = dt.timedelta(minutes=30),
) -> AuditReport:
    """Return how far the destinations are apart from the source, by snapshots of each; nothing is called.

    Only what both snapshots can tell is compared: a repository that one was not asked for, or could not read, is a gap
    when a rule sends it there. What was pushed after the older of the two, or within `grace` before it, is under way.

    Args:
        source: the source's snapshot.
        destinations: a snapshot of each destination.
        configuration: the rules, by default those in the source's snapshot; without any, every repository is compared.
        since: leaves out images pushed before, such as when the rule was made.
        grace: how long after its push an image counts as under way.

    Raises:
        InvalidPolicy: the rules in the snapshot cannot be read.
    """
    home = Destination(source.region, source.account)
    raw = source.settings.get("replication_configuration")
    rules = configuration
    if rules is None and raw is not None:
        rules = ReplicationConfiguration.from_api(raw)

    def told(name: str) -> bool:
        return name in source or source.asked.surely_selects(name)

    reports: list[DriftReport] = []
    arrived: dict[Destination, Mapping[str, Iterable[Image]]] = {}
    here = _Images(source)
    for taken in destinations:
        place = Destination(taken.region, taken.account)
        there = _Images(taken, only=told)
        reports.append(
            drift(
                here, there, source=home, destination=place, now=min(source.taken_at, taken.taken_at),
                configuration=rules, since=since, grace=grace,
            )
        )  # fmt: skip
        sent = [n for n in there if rules is None or place in rules.destinations_of(n)]
        arrived[place] = {name: there[name] or () for name in sent}
    pushed = {name: here[name] or () for name in here}
    compared = set(arrived)
    return AuditReport(
        source=home,
        taken_at=source.taken_at,
        drifts=reports,
        lag=lag_from_images(pushed, arrived, source=home),
        unread=tuple(p for p in (rules.destinations if rules is not None else ()) if p not in compared),
    )


def failover_audit(references: Iterable[Any], home: Taken, failover: Taken) -> FailoverReport:
    """Return whether a Region can run every reference, by snapshots of both; nothing is called.

    What a snapshot was not asked for, or could not read, is unknown, which is a gap. References are `ImageRef`s or
    texts. The home's snapshot must hold the manifests of indexes, else their children are not known.
    """
    return failover_check(
        references,
        _Inventories(home),
        _Images(failover),
        home=Destination(home.region, home.account),
        failover=Destination(failover.region, failover.account),
    )
