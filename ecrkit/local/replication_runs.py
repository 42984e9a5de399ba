"""Replication in the embedded ECR: what is copied when, what a destination makes of it, what is deleted with it.

Source: ECR user guide, "Private image replication" and "Replication of deletes".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import attrs

from ecrkit.local.changes import activate, delete_image
from ecrkit.local.events import Call, Event, ImageDeleted, ImagePushed, ImageReplicated, StorageClassUpdated
from ecrkit.local.operations.repositories import tag_is_immutable
from ecrkit.local.replication import Journey
from ecrkit.local.state import Blob, ImageState, RepositoryState
from ecrkit.local.templates import apply_template

if TYPE_CHECKING:
    from ecrkit.local.engine import Engine
    from ecrkit.local.registry import RegistryState

__all__ = [
    "Heard",
    "Place",
    "ReplicationState",
    "Route",
    "copy_image",
    "destinations_of",
    "react",
    "start",
    "statuses_of",
]

Place = tuple[str, str]
"""A destination: account and region."""

Heard = Callable[[str | None, str | None, dt.datetime], None]
"""Told how a replication ended: the tag, the code of its failure or None, and when."""

_STATES: Final = "replication"
_OWN: Final = "replication"


@attrs.define(kw_only=True)
class ReplicationState:
    """How far the replication of one image to one destination is; `pending` journeys are on their way."""

    status: str = "IN_PROGRESS"
    failure_code: str | None = None
    pending: int = 0


def statuses_of(image: ImageState) -> dict[Place, ReplicationState]:
    """Return the image's replications by destination; the mapping is the image's own."""
    found: dict[Place, ReplicationState] = image.extra.setdefault(_STATES, {})
    return found


def destinations_of(configuration: Mapping[str, Any], repository: str) -> dict[Place, bool]:
    """Return where a repository's images go, and whether deletions go there too."""
    found: dict[Place, bool] = {}
    for rule in configuration["rules"]:
        filters = rule.get("repositoryFilters") or ()
        if filters and not any(repository.startswith(item["filter"]) for item in filters):
            continue
        deletes = bool((rule.get("deleteReplication") or {}).get("enabled"))
        for destination in rule["destinations"]:
            place = (destination["registryId"], destination["region"])
            found[place] = found.get(place, False) or deletes
    return found


@attrs.frozen
class Route:
    """From a repository to the one of the same name in another registry."""

    engine: Engine
    source: RegistryState
    repo: RepositoryState
    account: str
    region: str

    @property
    def target(self) -> RegistryState:
        """The registry of the destination."""
        return self.engine.registry(self.account, self.region)

    def journey(self, digest: str) -> Journey:
        """Return the journey of one image."""
        return Journey(account=self.account, region=self.region, repository=self.repo.name, digest=digest)

    def delay(self, digest: str) -> dt.timedelta | None:
        """Return how long an image takes, None when it never arrives."""
        return self.engine.replication.delay_of(self.journey(digest), default=self.engine.timings.replication)

    def tell(self, digest: str, at: dt.datetime, *, tag: str | None = None, code: str | None = None) -> None:
        """Tell the destination's region how a replication ended."""
        self.engine.emit(
            ImageReplicated(
                time=at, account=self.account, region=self.region, repository=self.repo.name, digest=digest,
                source_account=self.source.account, source_region=self.source.region, tag=tag,
                result="SUCCESS" if code is None else "FAILED", failure_code=code,
            )
        )  # fmt: skip

    def allows(self, action: str) -> bool:
        """Return whether the destination lets the source account do it: by its registry policy, or as the same one."""
        target = self.target
        if self.source.account == target.account:
            return True
        if target.policy_text is None:
            return False
        # Imported when two accounts meet: most engines hold one.
        from ecrkit.local.enforcement import Enforcement

        root = f"arn:{self.source.partition}:iam::{self.source.account}:root"
        call = Call(
            operation=action.removeprefix("ecr:"), account=self.source.account, region=target.region,
            time=self.engine.clock.now(), caller=root,
            params={"registryId": target.account, "repositoryName": self.repo.name},
        )  # fmt: skip
        guard = Enforcement.of_anybody(root, account=self.source.account, region=target.region)
        return guard.decide(self.engine, call, action, target.arn(self.repo.name)).allowed


# -- what begins --------------------------------------------------------------------------------------------------


def react(engine: Engine, event: Event) -> None:
    """Begin what replication makes of an event. What replication itself did begins nothing: there is no chaining."""
    if isinstance(event, ImagePushed):
        _begin(engine, event, event.digest, [event.tag])
    elif isinstance(event, StorageClassUpdated):
        if event.target_storage_class == "STANDARD" and event.by != _OWN:
            _begin(engine, event, event.digest, None)
    elif isinstance(event, ImageDeleted) and event.by != _OWN:
        _begin_deletion(engine, event)


def _begin(engine: Engine, event: Event, digest: str, tags: Iterable[str | None] | None) -> None:
    registry = engine.registry(event.account, event.region)
    repo = registry.repositories.get(event.repository)
    image = None if repo is None else repo.images.get(digest)
    if repo is None or image is None:
        return
    named: list[str | None] = list(image.tags) if tags is None else list(tags)
    for place in destinations_of(registry.replication, repo.name):
        start(Route(engine, registry, repo, *place), image, named or [None], event.time)


def start(
    route: Route,
    image: ImageState,
    tags: Iterable[str | None],
    at: dt.datetime,
    then: Heard | None = None,
) -> None:
    """Send an image on its way, once for each tag; `then` hears how each ended."""
    delay = route.delay(image.digest)
    state = statuses_of(image).setdefault((route.account, route.region), ReplicationState())
    if not state.pending:
        state.failure_code = None
    state.status = "IN_PROGRESS"
    for tag in tags:
        state.pending += 1
        if delay is not None:
            route.engine.schedule(at + delay, _arrival(route, image, tag, then))


def _arrival(route: Route, image: ImageState, tag: str | None, then: Heard | None) -> Callable[[dt.datetime], None]:
    def arrive(at: dt.datetime) -> None:
        here = route.source.repositories.get(route.repo.name) is route.repo
        gone = not here or route.repo.images.get(image.digest) is not image
        code = "ImageNotFound" if gone else copy_image(route, image, at)
        if code is None and tag is not None:
            _point(route, image.digest, tag)
        state = statuses_of(image)[route.account, route.region]
        state.pending -= 1
        if code is not None:
            state.status, state.failure_code = "FAILED", code
        elif not state.pending and state.failure_code is None:
            state.status = "COMPLETE"
        route.tell(image.digest, at, tag=tag, code=code)
        if then is not None:
            then(tag, code, at)

    return arrive


def _point(route: Route, digest: str, tag: str) -> None:
    held_now = route.repo.tag_to_digest.get(tag)
    if held_now is not None and held_now != digest:
        return  # the tag moved on in the source; what is newer is on its way
    place = route.target.repositories[route.repo.name]
    holder = place.tag_to_digest.get(tag)
    if holder is not None and holder != digest and tag_is_immutable(place, tag):
        return  # the image arrives without the tag
    place.point(tag, place.images[digest])


# -- what arrives -------------------------------------------------------------------------------------------------


def copy_image(route: Route, image: ImageState, at: dt.datetime) -> str | None:
    """Copy an image with its layers into the destination, without a tag; return None, or the code of its failure.

    The repository is created when it is not there, by the template for REPLICATION that fits. Children of an index
    travel by themselves when they were pushed after the configuration; the others come along with their index.
    """
    engine, target = route.engine, route.target
    code = engine.replication.take_failure(route.journey(image.digest))
    if code is not None:
        return code
    place = target.repositories.get(route.repo.name)
    if not route.allows("ecr:ReplicateImage") or (place is None and not route.allows("ecr:CreateRepository")):
        return "AccessDenied"
    if place is None:
        if len(target.repositories) >= engine.limits.repositories:
            return "LimitExceeded"
        place = apply_template(engine, target, route.repo.name, "REPLICATION", at=at)
    for child in image.manifest.children:
        code = _bring_along(route, child, place, at)
        if code is not None:
            return code
    there = place.images.get(image.digest)
    if there is not None:
        if there.status != "ACTIVE":
            activate(engine, target, place, there, at, by=_OWN)
        return None
    if len(place.images) >= engine.limits.images_per_repository:
        return "LimitExceeded"
    for reference in image.manifest.blobs:
        blob = route.repo.blobs.get(reference.digest)
        if blob is not None:
            copied = Blob(digest=blob.digest, size=blob.size, data=blob.data, media_type=blob.media_type)
            place.blobs.setdefault(blob.digest, copied)
    place.add(ImageState(manifest=image.manifest, pushed_at=at, size=image.size))
    return None


def _bring_along(route: Route, child: str, place: RepositoryState, at: dt.datetime) -> str | None:
    image = route.repo.images.get(child)
    if image is None or child in place.images or (route.account, route.region) in statuses_of(image):
        return None
    code = copy_image(route, image, at)
    if code is None:
        route.tell(child, at)
    return code


# -- what is deleted ----------------------------------------------------------------------------------------------


def _begin_deletion(engine: Engine, event: ImageDeleted) -> None:
    source = engine.registry(event.account, event.region)
    for place, deletes in destinations_of(source.replication, event.repository).items():
        journey = Journey(account=place[0], region=place[1], repository=event.repository, digest=event.digest)
        delay = engine.replication.delay_of(journey, default=engine.timings.replication)
        if deletes and delay is not None:
            engine.schedule(event.time + delay, _repetition(engine, event, place))


def _repetition(engine: Engine, event: ImageDeleted, place: Place) -> Callable[[dt.datetime], None]:
    def repeat(at: dt.datetime) -> None:
        origin = engine.registry(event.account, event.region).repositories.get(event.repository)
        now = None if origin is None else origin.images.get(event.digest)
        if now is not None and (not event.image_remains or event.tag in now.tags):
            return  # it was pushed again meanwhile
        target = engine.registry(*place)
        repo = target.repositories.get(event.repository)
        image = None if repo is None else repo.images.get(event.digest)
        if repo is None or image is None:
            return
        if not event.image_remains:
            if not repo.holding_parents(image.digest, archived_too=True):
                delete_image(engine, target, repo, image, at, by=_OWN)
        elif event.tag in image.tags:
            del image.tags[event.tag], repo.tag_to_digest[event.tag]
            engine.emit(attrs.evolve(event, time=at, account=target.account, region=target.region, by=_OWN))

    return repeat
