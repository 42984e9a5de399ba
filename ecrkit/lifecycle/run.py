"""The result of a dry run: who goes, who stays, and why, for every image."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress, count
from typing import TYPE_CHECKING, Any

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit.deployments.in_use import InUse, RepositoryUse, Use
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import ByteRange, freed_by, naive_bytes
from ecrkit.lifecycle._pool import Columns
from ecrkit.lifecycle.outcome import Outcome, describe
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.rules import Action, Rule
from ecrkit.records import Image

if TYPE_CHECKING:
    import pandas as pd

    from ecrkit.lifecycle.plan import Plan

__all__ = ["Run", "Selected"]


@attrs.frozen(kw_only=True, eq=False)
class Selected:
    """What one rule identifies: positions in the ranking, 0 for the newest, and the instant before which it marks.

    `members` are in no order; `ranked` are those that take places in its count, newest first.
    """

    rule: Rule
    members: Sequence[int]
    ranked: Sequence[int]
    cutoff: dt.datetime | None

    @cached_property
    def ranks(self) -> Mapping[int, int]:
        """The rank of each position, 1 for the newest."""
        return {i: n for n, i in enumerate(self.ranked, 1)}

    @cached_property
    def member_set(self) -> frozenset[int]:
        """The positions, for look-ups."""
        return frozenset(self.members)


@attrs.frozen(kw_only=True, eq=False, repr=False)
class Run:
    """What a policy would do to every image of a repository.

    `expired` and `transitioned` are acted on by a rule; `blocked` are marked by a rule but held by an index that
    stays; `cascaded` are referrers that follow their subject within 24 hours; `kept` is everything else, blocked
    images included. All are digests, in the order in which ECR works: longest in its class first.

    The children of an index are in its manifest only. While an index that stays has unknown children, any image that a
    rule marks may be one of them and then stays: `certain` is False, `warnings` says so, and so does each outcome.
    """

    policy: LifecyclePolicy
    inventory: Inventory
    now: dt.datetime
    count_children: bool
    columns: Columns = attrs.field(repr=False)
    first: Sequence[int] = attrs.field(repr=False)
    marked: bytearray = attrs.field(repr=False)
    selected: tuple[Selected, ...] = attrs.field(repr=False)
    holders: Mapping[int, tuple[str, ...]] = attrs.field(repr=False)
    following: Mapping[str, tuple[Action, str]] = attrs.field(repr=False)
    in_use: RepositoryUse | None = None
    in_use_gaps: tuple[str, ...] = ()

    @classmethod
    def build(
        cls,
        *,
        policy: LifecyclePolicy,
        inventory: Inventory,
        now: dt.datetime,
        columns: Columns,
        first: Sequence[int],
        marked: bytearray,
        selected: tuple[Selected, ...],
        count_children: bool,
        in_use: InUse | None = None,
    ) -> Run:
        """Return the run of marked images: indexes hold their children, referrers follow their subject."""
        holders: dict[int, tuple[str, ...]] = {}
        following: dict[str, tuple[Action, str]] = {}
        if inventory.children or columns.has_subjects or inventory.manifests:  # a manifest may name a subject
            images = columns.images
            acting = {images[i].digest: i for i in compress(count(), marked)}
            holders = _hold(inventory, acting)
            following = _follow(inventory, {d: selected[first[i]].rule.action for d, i in acting.items()})
        return cls(
            policy=policy, inventory=inventory, now=now, count_children=count_children, columns=columns, first=first,
            marked=marked, selected=selected, holders=holders, following=following,
            in_use=None if in_use is None else in_use.in_inventory(inventory),
            in_use_gaps=() if in_use is None else tuple(map(str, in_use.gaps)),
        )  # fmt: skip

    @property
    def images(self) -> Sequence[Image]:
        """The images, newest first."""
        return self.columns.images

    @property
    def rank_times(self) -> Sequence[dt.datetime]:
        """The time that each image is ranked by: its push, or its last restore."""
        return self.columns.times

    @cached_property
    def positions(self) -> Mapping[str, int]:
        """The position of each digest in the ranking, newest first."""
        return {image.digest: i for i, image in enumerate(self.images)}

    def _ordered(self, positions: Iterable[int]) -> tuple[str, ...]:
        """Return the digests in the order in which ECR works: longest in its storage class first."""
        if not self.columns.has_archived:
            # Digests are read in the order of the records first: by rank, each would have to be fetched from afar.
            digests = [image.digest for image in self.columns.source]
            positions = map(self.columns.order.__getitem__, sorted(positions, reverse=True))
            return tuple(map(digests.__getitem__, positions))
        images, times = self.images, self.rank_times

        def age(i: int) -> tuple[dt.datetime, str]:
            image = images[i]
            archived = image.last_archived_at if image.storage_class == "archive" else None
            return archived or times[i], image.digest

        return tuple(images[i].digest for i in sorted(positions, key=age))

    def _acting(self, action: Action) -> tuple[str, ...]:
        chosen = [selected.rule.action == action for selected in self.selected]
        acting: Iterable[int] = compress(count(), self.marked)
        if not all(chosen):
            acting = [i for i in acting if chosen[self.first[i]]]
        return self._ordered([i for i in acting if i not in self.holders] if self.holders else acting)

    @cached_property
    def expired(self) -> tuple[str, ...]:
        """The images that a rule expires."""
        return self._acting("expire")

    @cached_property
    def transitioned(self) -> tuple[str, ...]:
        """The images that a rule moves to the archive class."""
        return self._acting("transition")

    @cached_property
    def blocked(self) -> tuple[str, ...]:
        """The images that a rule marks but that an index of the repository holds."""
        return self._ordered(self.holders)

    @cached_property
    def cascaded(self) -> tuple[str, ...]:
        """The referrers (signatures, SBOMs, attestations) that follow a subject that goes."""
        return self._ordered(self.positions[digest] for digest in self.following)

    @cached_property
    def kept(self) -> tuple[str, ...]:
        """The images that stay as they are."""
        return self._ordered(
            i
            for i, image in enumerate(self.images)
            if (not self.marked[i] or i in self.holders) and image.digest not in self.following
        )

    @cached_property
    def opaque(self) -> tuple[str, ...]:
        """Indexes that stay and whose children are unknown, so that they may hold anything."""
        return tuple(
            sorted(
                image.digest
                for image in self.inventory.opaque_indexes
                if image.status != "ARCHIVED" and not self._goes(self.positions[image.digest])
            )
        )

    @cached_property
    def unclear(self) -> frozenset[str]:
        """Images whose outcome rests on something that is not known or not documented."""
        ages = {r.rule.storage_class for r in self.selected if r.rule.count_type == "sinceImageTransitioned"}
        return frozenset(
            image.digest
            for i, image in enumerate(self.images)
            if self.first[i] >= 0 and (image.status == "ACTIVATING" or ("archive" in ages and _no_archive_time(image)))
        )

    def _goes(self, position: int) -> bool:
        return bool(self.marked[position]) and position not in self.holders

    @property
    def certain(self) -> bool:
        """Whether every outcome rests on known facts only."""
        goes = bool(self.expired or self.transitioned or self.cascaded)
        return not (goes and self.opaque) and not self.unclear

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """What makes outcomes uncertain, in sentences."""
        found: list[str] = []
        if self.opaque and (self.expired or self.transitioned or self.cascaded):
            found.append(
                f"{counted(len(self.opaque), 'index that stays has', 'indexes that stay have')} unknown children "
                f"({self.opaque[0]} is the first); images that are to go may be held there: read the manifests"
            )
        activating = sum(image.status == "ACTIVATING" for image in self.images)
        if activating:
            found.append(
                f"{counted(activating, 'image is', 'images are')} being restored; that is taken as archived, "
                "which is not documented"
            )
        unclear = sum(_no_archive_time(image) for image in self.images)
        if unclear and any(rule.count_type == "sinceImageTransitioned" for rule in self.policy.rules):
            found.append(
                f"{counted(unclear, 'archived image has', 'archived images have')} no archive time; kept here, but ECR "
                "may expire it"
            )
        found += [
            f"rule {priority}: {last} and {after} were pushed at the same time and only one of them is kept; ECR may "
            "choose the other"
            for priority, last, after in self.ties
        ]
        return tuple(found)

    @cached_property
    def ties(self) -> tuple[tuple[int, str, str], ...]:
        """Rule, last image within its count and first beyond it, where both were pushed at the same time."""
        found: list[tuple[int, str, str]] = []
        for chosen in self.selected:
            rule, edge = chosen.rule, chosen.rule.count_number
            if rule.count_type == "imageCountMoreThan" and len(chosen.ranked) > edge:
                last, after = chosen.ranked[edge - 1], chosen.ranked[edge]
                if self.rank_times[last] == self.rank_times[after]:
                    found.append((rule.priority, self.images[last].digest, self.images[after].digest))
        return tuple(found)

    @cached_property
    def used(self) -> Mapping[str, tuple[Use, ...]]:
        """The images in use with what runs them, and what the indexes among them reference; empty if nobody said."""
        found: dict[str, dict[Use, None]] = {}
        waiting = [] if self.in_use is None else [(d, uses) for d, uses in self.in_use.by_digest.items()]
        while waiting:
            digest, uses = waiting.pop()
            known = found.setdefault(digest, {})
            if any(use not in known for use in uses):
                known.update(dict.fromkeys(uses))
                waiting += [(child, uses) for child in self.inventory.children_of(digest) if child in self.inventory]
        return {digest: tuple(uses) for digest, uses in found.items()}

    @cached_property
    def endangered(self) -> tuple[str, ...]:
        """The images in use that would be expired or archived. A plan with any is refused."""
        return tuple(d for d in (*self.expired, *self.transitioned, *self.cascaded) if d in self.used)

    def outcome(self, digest: str) -> Outcome:
        """Return what happens to the image and why.

        Raises:
            KeyError: the inventory has no image of that digest.

        Example:
            >>> from ecrkit.lifecycle import simulate
            >>> images = [{"imageDigest": "sha256:" + "a" * 64, "imagePushedAt": 1767225600}]
            >>> run = simulate({"rules": [{"rulePriority": 1, "action": {"type": "expire"}, "selection": {
            ...     "tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 7}}]},
            ...     Inventory.from_api(images), now=dt.datetime(2026, 1, 31, tzinfo=dt.UTC))
            >>> run.outcome("sha256:" + "a" * 64).explain()
            'untagged@sha256:aaaaaaaaaaaa expires by rule 1: pushed 30.0 days ago, more than 7 days.'
        """
        return describe(self, self.positions[digest])

    def outcomes(self) -> Iterator[Outcome]:
        """Yield the outcome of every image, oldest first."""
        for position in range(len(self.images) - 1, -1, -1):
            yield describe(self, position)

    @cached_property
    def _removed(self) -> tuple[str, ...]:
        return (*self.expired, *(d for d in self.cascaded if self.following[d][0] == "expire"))

    @cached_property
    def freed(self) -> ByteRange:
        """The bytes that the expired images free, referrers that follow included.

        A layer that an image that stays still uses is not freed. A range, as long as manifests are unread.
        """
        return freed_by(self.inventory, self._removed)

    @cached_property
    def naive_freed(self) -> int:
        """The sum of the sizes of the expired images, in bytes: what freed is often taken for."""
        return naive_bytes(self.inventory, self._removed)

    def plan(self, *, protect: Iterable[object] = (), accept_uncertain: bool = False) -> Plan:
        """Return the plan to apply the policy; see `ecrkit.lifecycle.plan.make_plan`.

        Raises:
            PlanRefused: an image of `protect` would go, cannot be found, or the outcome is uncertain.
        """
        from ecrkit.lifecycle.plan import make_plan

        return make_plan(self, protect=protect, accept_uncertain=accept_uncertain)

    def to_columns(self) -> dict[str, list[Any]]:
        """Return one list per column, one entry per image."""
        from ecrkit.lifecycle.export import columns

        return columns(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return a pandas frame with a row per image.

        Raises:
            MissingExtra: pandas is not installed.
        """
        from ecrkit._internal.tables import frame

        return frame(self.to_columns())

    def to_dict(self) -> dict[str, Any]:
        """Return the run as a JSON-ready mapping."""
        from ecrkit.lifecycle.export import as_dict

        return as_dict(self)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the run as JSON text."""
        from ecrkit.lifecycle.export import as_json

        return as_json(self, indent=indent)

    def to_csv(self) -> str:
        """Return the run as CSV; cells that a spreadsheet would take for a formula start with an apostrophe."""
        from ecrkit.lifecycle.export import as_csv

        return as_csv(self)

    def to_text(self, *, limit: int | None = None) -> str:
        """Return a summary and a table of what goes, of at most `limit` rows."""
        from ecrkit.lifecycle.export import as_text

        return as_text(self, limit=limit)

    def _repr_html_(self) -> str:
        from ecrkit.lifecycle.export import as_html

        return as_html(self)

    @override
    def __repr__(self) -> str:
        return (
            f"<Run of {counted(len(self.policy), 'rule')} on {counted(len(self.images), 'image')}: "
            f"{len(self.expired)} expire, "
            f"{len(self.transitioned)} archive, {len(self.cascaded)} follow, {len(self.blocked)} blocked>"
        )


def _no_archive_time(image: Image) -> bool:
    return image.storage_class == "archive" and image.last_archived_at is None


def _staying_parents(inventory: Inventory, digest: str, acting: Mapping[str, object]) -> tuple[str, ...]:
    """Return the indexes that hold the image: an index that is archived, or that goes itself, holds nothing."""
    return tuple(
        parent.digest
        for parent in inventory.parents_of(digest)
        if parent.status != "ARCHIVED" and parent.digest not in acting and parent.digest != digest
    )


def _hold(inventory: Inventory, acting: dict[str, int]) -> dict[int, tuple[str, ...]]:
    """Take the images that a staying index references out of `acting`; return them with the indexes that hold them.

    Taking out an index makes it stay, so its own children are looked at again, until nothing moves.
    """
    if not inventory.children:
        return {}
    held: dict[str, int] = {}
    waiting = list(acting)
    while waiting:
        digest = waiting.pop()
        if digest in acting and _staying_parents(inventory, digest, acting):
            held[digest] = acting.pop(digest)
            waiting.extend(inventory.children_of(digest))
    return {i: _staying_parents(inventory, digest, acting) for digest, i in held.items()}


def _follow(inventory: Inventory, actions: Mapping[str, Action]) -> dict[str, tuple[Action, str]]:
    """Return the referrers that follow a subject that goes: digest to action and subject.

    A referrer that a rule acts on already, or that a staying index holds, does not follow.
    """
    following: dict[str, tuple[Action, str]] = {}
    waiting: list[tuple[str, Action]] = [
        (digest, action) for digest, action in actions.items() if inventory.referrers_of(digest)
    ]
    while waiting:
        subject, action = waiting.pop()
        for referrer in inventory.referrers_of(subject):
            digest = referrer.digest
            settled = digest in actions or digest in following
            archived_already = action == "transition" and referrer.storage_class == "archive"
            if not settled and not archived_already and not _staying_parents(inventory, digest, actions):
                following[digest] = (action, subject)
                waiting.append((digest, action))
    return following
