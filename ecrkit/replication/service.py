"""The replication service: wait, plan, cover, backfill, audit, over ports to one source and its destinations."""

from __future__ import annotations

import contextlib
import functools
import random
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias, TypeVar

import attrs

from ecrkit.errors import EcrkitError, InvalidInput, NotFound, PlanRefused
from ecrkit.ports import Clock, FanOut
from ecrkit.records import Image
from ecrkit.refs import ImageRef
from ecrkit.replication import planning
from ecrkit.replication.asking import DestinationRegistry, SourceRegistry, ask_destination, ask_source, parts_of
from ecrkit.replication.backfilling import BackfillService, BackfillSource
from ecrkit.replication.configuration import Destination, ReplicationConfiguration
from ecrkit.replication.coverage import Coverage, DestinationFacts, coverage
from ecrkit.replication.documents import CrossAccountPair, Documents
from ecrkit.replication.drift import Contents, DriftReport, drift
from ecrkit.replication.failover import FailoverReport, Judged, check_references, judged
from ecrkit.replication.planning import ReplicationConfigurationStore, ReplicationPlan
from ecrkit.replication.results import ReplicationProgress, ReplicationResult, result_of
from ecrkit.replication.waiting import DestinationWait, Part, Seen, step

__all__ = ["DestinationLike", "ReplicationService", "Source"]

DestinationLike: TypeAlias = "Destination | str"
"""A `Destination`, the name of a Region (the registry's own account is meant), or `ACCOUNT/REGION`."""


class Source(SourceRegistry, ReplicationConfigurationStore, BackfillSource, Protocol):
    """The source as the gateway offers it: contents, status and configuration."""


@attrs.frozen
class ReplicationService:
    """Replication from one registry: its rules, and whether images have arrived.

    `registries` gives what reads a destination, by account and Region, or None when nothing can; the caller supplies
    it, since reading another account needs that account's permission. `home` is the registry's own place, or what
    finds it out. `allows` answers whether a destination's registry policy lets the source in, and `documents` makes
    both sides' policies; the client supplies both from `access`. `draw` gives random numbers from 0 to 1.
    """

    source: Source
    clock: Clock
    fan_out: FanOut
    where: Destination | Callable[[], Destination]
    registries: Callable[[str, str], DestinationRegistry | None]
    allows: Callable[[Destination], Callable[[str, str], bool | None] | None] | None = None
    documents: Documents | None = None
    draw: Callable[[], float] = random.random

    @functools.cached_property
    def home(self) -> Destination:
        """The account and Region of the source."""
        return self.where if isinstance(self.where, Destination) else self.where()

    def with_registries(self, registries: Callable[[str, str], DestinationRegistry | None]) -> ReplicationService:
        """Return the service reading destinations by other means, such as with a role of the other account.

        `registries` gives what reads a destination by account and Region, for instance
        `lambda account, region: opened[account].in_region(region).gateway`; where it gives None, nothing does.
        """
        return attrs.evolve(self, registries=registries)

    # ---- waiting

    def wait(
        self,
        ref: ImageRef | str,
        destinations: Iterable[DestinationLike] | None = None,
        *,
        timeout: float = 1800.0,
        referrers: bool = False,
        patience: float = 15.0,
        on_progress: Callable[[ReplicationProgress], None] | None = None,
    ) -> ReplicationResult:
        """Wait until an image is at its destinations, and return what became of each; nothing is raised for that.

        The digest is fixed at the start: a tag that moves in the source meanwhile does not move what is waited for.
        Without the permission for the status, or on a service that lacks it, the destinations' contents decide alone,
        and the result says so. A question that is throttled is tried as often as the registry was told to, so that the
        end may come that much later than `timeout`.

        Args:
            ref: repository with a tag, a digest or both; with neither the tag `latest`. A registry host must be this
                registry's.
            destinations: by default every destination that a rule or a status names for the repository.
            timeout: in seconds, by default 30 minutes, in which AWS says that most images arrive.
            referrers: wait for signatures, SBOMs and attestations too, as they are when waiting begins.
            patience: seconds for which an image without any status is taken for one that has just been pushed.
            on_progress: called after each round with the state of every destination.

        Calls: three to start with, one for each round in the source whatever the number of destinations, and one for
        each destination once the source says COMPLETE.

        Raises:
            InvalidInput: the reference is another registry's, or an argument is wrong.
            NotFound: the source has no such repository or image.
            Denied: the source's image may not be read.
        """
        repository, tag, named = self._meant(ref)
        problems = [(n, v) for n, v in (("timeout", timeout), ("patience", patience)) if not v >= 0]
        if problems:
            raise InvalidInput.single("nothing to wait for", problems[0][0], f"must not be negative: {problems[0][1]}")
        home = self.home
        image = self.source.image(repository, named)
        parts = parts_of(self.source, repository, image, referrers=referrers)
        rules = self._rules()
        places = self._places(repository, image, destinations, rules)
        if not places:
            return ReplicationResult(repository=repository, digest=image.digest, tag=tag, note=_nowhere(rules))
        began = self.clock.monotonic()
        states = {
            place: DestinationWait(
                destination=place,
                parts=parts,
                tag=tag,
                started=began,
                deadline=began + timeout,
                patience=min(patience, timeout),
                covered=None if rules is None else place in rules.destinations_of(repository),
                due=began,
            )
            for place in places
        }
        self._run(repository, states, on_progress)
        return ReplicationResult(
            repository=repository,
            digest=image.digest,
            tag=tag,
            destinations=[result_of(state, pushed_at=image.pushed_at, home=home) for state in states.values()],
        )

    def _run(
        self,
        repository: str,
        states: dict[Destination, DestinationWait],
        on_progress: Callable[[ReplicationProgress], None] | None,
    ) -> None:
        while waiting := [s for s in states.values() if s.outcome is None]:
            now = self.clock.monotonic()
            due = [s for s in waiting if s.due <= now]
            if not due:
                # A millisecond at least: a clock that rounds would never reach a time that is nearer than it can tell.
                self.clock.sleep(max(0.001, min(s.due for s in waiting) - now))
                continue
            if any(s.asks == "status" for s in due):
                # One answer is about every destination, so those that are not due yet hear it as well.
                asking = [s for s in waiting if s.asks == "status"]
                seen = ask_source(self.source, repository, asking[0].digest, [s.destination for s in asking])
                now, drawn = self.clock.monotonic(), self.draw()
                for state in asking:
                    states[state.destination] = step(state, seen[state.destination], now, drawn=drawn)
            looking = [s for s in states.values() if s.asks == "look" and s.due <= now]
            for state, found in self.fan_out.each(lambda s: self._look(repository, s), looking):
                now = self.clock.monotonic()
                states[state.destination] = step(state, found, now, drawn=self.draw())
            if on_progress is not None:
                done = sum(1 for s in states.values() if s.outcome is not None)
                told = tuple(states.values())
                on_progress(ReplicationProgress(done=done, total=len(told), what="destinations", states=told))

    def _look(self, repository: str, state: DestinationWait) -> Seen:
        place = state.destination
        return ask_destination(self.registries(place.account, place.region), self.source, repository, state)

    def _meant(self, ref: ImageRef | str) -> tuple[str, str | None, str]:
        """Return repository, the tag to wait for or None, and what to ask the source by."""
        parsed = ref if isinstance(ref, ImageRef) else ImageRef.parse(ref)
        if parsed.registry is not None:
            host = parsed.registry
            if (host.region, host.account) != (self.home.region, self.home.account):
                raise InvalidInput.single(
                    "nothing to wait for", str(parsed), f"is an image of {host}; this is the registry {self.home}"
                )
        tag = parsed.tag if parsed.tag is not None else None if parsed.digest is not None else "latest"
        return str(parsed.repository), None if tag is None else str(tag), str(parsed.digest or tag)

    def _rules(self) -> ReplicationConfiguration | None:
        try:
            return ReplicationConfiguration.from_api(self.source.replication_configuration())
        except EcrkitError:
            return None  # the status alone then says where images go

    def _places(
        self,
        repository: str,
        image: Image,
        destinations: Iterable[DestinationLike] | None,
        rules: ReplicationConfiguration | None,
    ) -> tuple[Destination, ...]:
        if destinations is not None:
            listed = [destinations] if isinstance(destinations, str | Destination) else list(destinations)
            if not listed:
                raise InvalidInput.single("nothing to wait for", "destinations", "is empty; leave it out for all")
            return tuple(dict.fromkeys(self.destination(item) for item in listed))
        found = list(rules.destinations_of(repository)) if rules is not None else []
        with contextlib.suppress(EcrkitError):  # the waiter asks again, and says what was refused
            found += [status.destination for status in self.source.replication_statuses(repository, image.digest)]
        return tuple(dict.fromkeys(found))

    def destination(self, named: DestinationLike) -> Destination:
        """Return the destination that a Region, or an account and Region, names.

        Raises:
            InvalidInput: there is no such Region or account number.
        """
        if isinstance(named, Destination):
            place = named
        else:
            account, slash, region = named.rpartition("/")
            place = Destination(region, account if slash else self.home.account)
        problems = place.problems("destination")
        if problems:
            raise InvalidInput("not a destination of replication", problems)
        return place

    # ---- the configuration

    def configuration(self) -> ReplicationConfiguration:
        """Return the live rules. Calls: one.

        Raises:
            InvalidPolicy: ECR's answer has members that ecrkit cannot keep, or breaks a rule.
            Denied: the caller lacks `ecr:DescribeRegistry`.
        """
        return ReplicationConfiguration.from_api(self.source.replication_configuration())

    def coverage(self, configuration: ReplicationConfiguration | None = None) -> Coverage:
        """Return what rules, by default the live ones, mean for every repository, and what is in their way.

        What cannot be read at a destination is a finding, never taken for empty. Calls: one for each 1000 repositories
        here and at each destination, and two or three more for each destination.

        Raises:
            Denied: the source's repositories or rules may not be read.
        """
        rules = configuration if configuration is not None else self.configuration()
        repositories = tuple(self.source.repositories())
        facts = dict(self.fan_out.each(self._facts, rules.destinations))
        known = {place: found for place, found in facts.items() if found is not None}
        return coverage(rules, repositories, source=self.home, facts=known)

    def _facts(self, place: Destination) -> DestinationFacts | None:
        registry = self.registries(place.account, place.region)
        if registry is None:
            return None
        foreign = self.allows is not None and place.account != self.home.account
        return DestinationFacts(
            repositories=_or_none(lambda: {r.name: r for r in registry.repositories()}),
            templates=_or_none(lambda: tuple(registry.creation_templates())),
            configuration=_or_none(lambda: ReplicationConfiguration.from_api(registry.replication_configuration())),
            allows=self.allows(place) if foreign and self.allows is not None else None,
        )

    def plan(self, wanted: ReplicationConfiguration, *, drop_unknown: bool = False) -> ReplicationPlan:
        """Return what putting the rules would change for the repositories that exist. Writes nothing.

        Calls: one, and one for each 1000 repositories.

        Raises:
            InvalidPolicy: the rules name this registry itself or another partition.
            PlanRefused: members of the present rules would be lost; see `planning.plan`.
        """
        names = [repository.name for repository in self.source.repositories()]
        return planning.plan(self.source, wanted, names, source=self.home, drop_unknown=drop_unknown)

    def apply(self, plan: ReplicationPlan, *, allow_removal: bool = False, allow_deletes: bool = False) -> bool:
        """Put a plan's rules and return whether anything was written. Calls: one or two.

        Raises:
            PlanOutdated: the rules have changed since.
            PlanRefused: repositories would not be replicated any more, or deletions begin to be repeated, and that was
                not allowed; or the plan is of another registry.
        """
        if plan.source != self.home:
            raise PlanRefused(f"the plan is for {plan.source}, and this registry is {self.home}")
        return planning.apply(plan, self.source, allow_removal=allow_removal, allow_deletes=allow_deletes)

    def pairs(self, configuration: ReplicationConfiguration | None = None) -> tuple[CrossAccountPair, ...]:
        """Return both sides' policies for each destination in another account; within one account none is needed.

        `access` plans and applies the registry policy: it must be merged with what the destination has. Calls: one
        when the live rules are meant.
        """
        rules = configuration if configuration is not None else self.configuration()
        found: list[CrossAccountPair] = []
        for place in rules.destinations:
            if place.account == self.home.account or self.documents is None:
                continue
            chosen = [rule for rule in rules.rules if place in rule.destinations]
            every = any(not rule.prefixes for rule in chosen)
            prefixes = () if every else tuple(dict.fromkeys(p for rule in chosen for p in rule.prefixes))
            identity, registry = self.documents(self.home, place, prefixes)
            found.append(
                CrossAccountPair(
                    source=self.home, destination=place, prefixes=prefixes, source_identity=identity,
                    destination_registry=registry,
                )
            )  # fmt: skip
        return tuple(found)

    # ---- what is older, what is apart

    @property
    def backfills(self) -> BackfillService:
        """Backfills of images older than the rules: start, wait, results, again; or a plan to copy instead."""
        return BackfillService(self.source, self.clock, self.home, self.destination, self.drift, self.draw)

    def drift(self, destination: DestinationLike, repositories: Iterable[str] | None = None) -> DriftReport:
        """Return how far a destination is from this registry now, for the repositories that rules send there.

        Calls: one for each 1000 images of each repository, on both sides, and one or two for the lists.

        Raises:
            InvalidInput: nothing reads that destination.
        """
        place = self.destination(destination)
        registry = self.registries(place.account, place.region)
        if registry is None:
            raise InvalidInput.single("no comparison", "destination", f"nobody gave a way to read {place}")
        rules = self._rules() if repositories is None else None
        names = [r.name for r in self.source.repositories()] if repositories is None else list(repositories)
        chosen = [n for n in names if rules is None or place in rules.destinations_of(n)]
        here: Contents = dict(self.fan_out.each(lambda n: tuple(self.source.images(n)), chosen))
        there: Contents = dict(self.fan_out.each(lambda n: _held(registry, n), chosen))
        now = self.clock.now()
        return drift(here, there, source=self.home, destination=place, now=now)

    def failover_check(
        self, references: Iterable[ImageRef | str], destination: DestinationLike, *, referrers: bool = False
    ) -> FailoverReport:
        """Return whether a Region can run every reference, asking both Regions now.

        A reference without a host means this registry. Calls: for each reference one in the source and one at the
        destination, and one more for an index or a tag that is not there.

        Raises:
            InvalidInput: there is no such destination.
        """
        place = self.destination(destination)
        listed = list(dict.fromkeys(references))
        known: dict[ImageRef, Judged] = {}

        def remember(ref: ImageRef) -> Judged:
            known[ref] = ("unknown", "", "")
            return known[ref]

        check_references(listed, remember, home=self.home, failover=place)
        known.update(self.fan_out.each(lambda ref: self._judge(ref, place, referrers=referrers), list(known)))
        return check_references(listed, known.__getitem__, home=self.home, failover=place)

    def _judge(self, ref: ImageRef, place: Destination, *, referrers: bool) -> Judged:
        repository, tag, named = self._meant(ref)
        try:
            image = self.source.image(repository, named)
            parts = parts_of(self.source, repository, image, referrers=referrers)
        except EcrkitError as fault:
            return "unknown", f"cannot be read in {self.home}: {fault}", ""
        registry = self.registries(place.account, place.region)
        if registry is None:
            return "unknown", f"nobody gave a way to read {place}", image.digest
        wanted = None if ref.digest is not None else tag
        try:
            statuses, points_at = _found(registry, repository, parts, wanted)
        except EcrkitError as fault:
            return "unknown", f"cannot be read in {place}: {fault}", image.digest
        state, reason = judged([p.digest for p in parts], statuses, tag=wanted, named=points_at)
        return state, reason, image.digest


def _nowhere(rules: ReplicationConfiguration | None) -> str:
    if rules is None:
        return "no destination is known: the rules could not be read, and no status names one; pass destinations"
    return "no rule sends this repository anywhere, and no replication of the image ever began"


T = TypeVar("T")


def _or_none(read: Callable[[], T]) -> T | None:
    try:
        return read()
    except EcrkitError:
        return None


def _held(registry: DestinationRegistry, repository: str) -> tuple[Image, ...] | None:
    try:
        return tuple(registry.images(repository))
    except NotFound:
        return ()
    except EcrkitError:
        return None


def _found(
    registry: DestinationRegistry, repository: str, parts: Iterable[Part], tag: str | None
) -> tuple[dict[str, str], str | None]:
    digests = [part.digest for part in parts]
    try:
        images = registry.images_found(repository, digests)
        root = images.get(digests[0])
        named = None
        if tag is not None:
            named = digests[0] if root is not None and tag in root.tags else registry.digest_of(repository, tag)
    except NotFound:
        return {}, None
    return {digest: image.status for digest, image in images.items()}, named
