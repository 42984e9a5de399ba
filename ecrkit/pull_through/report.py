"""What a pull-through cache holds, and how it stands to its upstreams: current, stale, failing, or not known."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, size, text_table
from ecrkit._internal.times import iso, require_aware
from ecrkit.errors import EcrkitError
from ecrkit.events import PullThroughCacheAction
from ecrkit.images.byte_range import ByteRange
from ecrkit.images.inventory import Inventory
from ecrkit.images.storage import stored_bytes
from ecrkit.pull_through.references import PullThroughCache
from ecrkit.pull_through.rules import PullThroughRule

__all__ = ["CacheReport", "CacheState", "CachedTag", "RuleReport", "RuleValidation", "cache_report"]

CacheState = Literal["current", "checked", "due", "stale", "gone upstream", "failing", "unknown"]
"""`current`: the upstream names the same image now. `checked`: synchronised within 24 hours. `due`: longer ago, so that
the next pull looks. `stale`: the upstream names another image. `gone upstream`: it has no such tag any more. `failing`:
the last look failed, or the rule's credentials do; the cached image is served on. `unknown`: nothing tells."""
_LOOK: Final = dt.timedelta(hours=24)


@attrs.frozen(kw_only=True)
class RuleValidation(Record):
    """Whether ECR can sign in to a rule's upstream; `valid` None is: not known."""

    prefix: str
    valid: bool | None
    failure: str | None = None


@attrs.frozen(kw_only=True)
class CachedTag(Record):
    """One tag of the cache; `upstream` is the reference it stands for, `reason` says why the state is what it is."""

    repository: str
    tag: str
    digest: str
    upstream: str
    state: CacheState
    reason: str
    cached_at: dt.datetime | None = None
    last_pulled_at: dt.datetime | None = None
    last_synced_at: dt.datetime | None = None

    @property
    def ok(self) -> bool:
        """Whether the tag is known to be what the upstream has, or had within 24 hours."""
        return self.state in ("current", "checked")


@attrs.frozen(kw_only=True)
class RuleReport(Record):
    """What one rule cached. `size` is what the repositories store, layers counted once for each repository."""

    rule: PullThroughRule
    validation: RuleValidation | None
    repositories: tuple[str, ...]
    images: int
    tags: int
    size: ByteRange

    @property
    def failing(self) -> bool:
        """Whether ECR said that it cannot sign in to the upstream."""
        return self.validation is not None and self.validation.valid is False


def _untold(rule: RuleReport) -> bool:
    """Return whether the rule was to be tried, and nothing says how that went."""
    return rule.validation is not None and rule.validation.valid is None


@attrs.frozen(kw_only=True)
class CacheReport(Record):
    """The whole cache: `rules`, `tags`, and `misses`: events of images that could not be fetched and are not cached."""

    rules: tuple[RuleReport, ...]
    tags: tuple[CachedTag, ...]
    misses: tuple[PullThroughCacheAction, ...] = ()

    def of_state(self, *states: CacheState) -> tuple[CachedTag, ...]:
        """Return the tags in one of these states."""
        return tuple(tag for tag in self.tags if tag.state in states)

    @property
    def ok(self) -> bool:
        """Whether each rule that was tried works, nothing was missed, and each tag is current or checked."""
        return (
            bool(self.rules)
            and not any(r.failing or _untold(r) for r in self.rules)
            and not self.misses
            and all(t.ok for t in self.tags)
        )

    def to_columns(self) -> dict[str, list[Any]]:
        """Return the tags as columns."""
        return {
            "repository": [t.repository for t in self.tags],
            "tag": [t.tag for t in self.tags],
            "state": [t.state for t in self.tags],
            "upstream": [t.upstream for t in self.tags],
            "last_synced_at": [None if t.last_synced_at is None else iso(t.last_synced_at) for t in self.tags],
            "reason": [t.reason for t in self.tags],
        }

    def __str__(self) -> str:
        """Return the rules in a line each, then the tags as a table."""
        lines = [
            f"{r.rule}: {len(r.repositories)} repositories, {r.tags} tags, {r.images} images, {size(r.size.low)}"
            + (f"; FAILS: {r.validation.failure}" if r.failing and r.validation is not None else "")
            + (f"; not known to work: {r.validation.failure}" if _untold(r) and r.validation is not None else "")
            for r in self.rules
        ]
        columns = self.to_columns()
        rows = list(zip(*columns.values(), strict=True))
        lines += [f"missed: {m.repository}:{m.tag or m.digest}: {m.failure_code}" for m in self.misses]
        return "\n".join([*lines, *([text_table(list(columns), rows)] if rows else [])])

    def _repr_html_(self) -> str:
        columns = self.to_columns()
        return html_table(list(columns), list(zip(*columns.values(), strict=True)), caption="Pull-through cache")


def cache_report(
    cache: PullThroughCache,
    inventories: Iterable[Inventory],
    *,
    now: dt.datetime,
    events: Iterable[PullThroughCacheAction] = (),
    validations: Mapping[str, RuleValidation] | None = None,
    upstream_digest: Callable[[str], str | None] | None = None,
) -> CacheReport:
    """Return what the cache holds and how it stands to its upstreams.

    ECR tells no time of the last look at an upstream: it is known from events, or by asking the upstream.

    Args:
        cache: the registry and its rules.
        inventories: the repositories; those of no rule are passed over.
        now: when that is.
        events: `ECR Pull Through Cache Action` events, in any order.
        validations: what ValidatePullThroughCacheRule said, by prefix.
        upstream_digest: asks an upstream for the digest of a reference by tag, None when there is none; an
            `EcrkitError` is: not known.

    Raises:
        ValueError: `now` has no time zone.
    """
    require_aware(now, "now")
    facts = _Facts(cache, now, validations or {}, upstream_digest)
    for event in sorted(events, key=lambda e: e.at):
        facts.hear(event)
    held = [(rule, i) for i in inventories if (rule := cache.rule_of(i.repository)) is not None]
    tags = [facts.tag(rule, i, tag, image.digest) for rule, i in held for tag, image in sorted(i.tags.items())]
    have = {(i.repository, name) for _, i in held for name in (*i.tags, *(image.digest for image in i))}
    misses = {id(e): e for key, e in facts.last.items() if not e.succeeded and key not in have}
    return CacheReport(
        rules=tuple(
            _rule(rule, [i for r, i in held if r == rule], facts.validations.get(rule.prefix)) for rule in cache.rules
        ),
        tags=tuple(tags),
        misses=tuple(misses.values()),
    )


def _rule(rule: PullThroughRule, inventories: list[Inventory], validation: RuleValidation | None) -> RuleReport:
    total = ByteRange(0, 0)
    for inventory in inventories:
        total += stored_bytes(inventory)
    return RuleReport(
        rule=rule,
        validation=validation,
        repositories=tuple(sorted(i.repository for i in inventories)),
        images=sum(len(i) for i in inventories),
        tags=sum(len(i.tags) for i in inventories),
        size=total,
    )


@attrs.frozen
class _Facts:
    """What is known beside the inventories."""

    cache: PullThroughCache
    now: dt.datetime
    validations: Mapping[str, RuleValidation]
    upstream_digest: Callable[[str], str | None] | None
    last: dict[tuple[str, str], PullThroughCacheAction] = attrs.field(factory=dict)
    good: dict[tuple[str, str], dt.datetime] = attrs.field(factory=dict)

    def hear(self, event: PullThroughCacheAction) -> None:
        """Take in an event; the latest comes last."""
        for name in filter(None, (event.tag, event.digest)):
            self.last[event.repository, name] = event
            if event.succeeded:
                self.good[event.repository, name] = event.at

    def tag(self, rule: PullThroughRule, inventory: Inventory, tag: str, digest: str) -> CachedTag:
        """Return what is known of one tag."""
        image, repository = inventory[digest], inventory.repository
        host, path = self.cache.upstream_of(repository) or ("", repository)
        upstream = f"{host}/{path}:{tag}"
        state, reason = self._asked(upstream, digest, *self._heard(repository, tag, self.validations.get(rule.prefix)))
        return CachedTag(
            repository=repository, tag=tag, digest=digest, upstream=upstream, state=state, reason=reason,
            cached_at=image.pushed_at, last_pulled_at=image.last_pulled_at,
            last_synced_at=self.good.get((repository, tag)),
        )  # fmt: skip

    def _heard(self, repository: str, tag: str, validation: RuleValidation | None) -> tuple[CacheState, str]:
        synced, event = self.good.get((repository, tag)), self.last.get((repository, tag))
        if event is not None and not event.succeeded:
            return "failing", f"{event.failure_code or 'failed'}: {event.failure_reason or 'no reason given'}"
        if validation is not None and validation.valid is False:
            return "failing", validation.failure or "the rule's credentials fail"
        if synced is None:
            return "unknown", "no event, and the upstream was not asked"
        return ("checked" if self.now - synced < _LOOK else "due"), f"synchronised at {iso(synced)}"

    def _asked(self, upstream: str, digest: str, state: CacheState, reason: str) -> tuple[CacheState, str]:
        if self.upstream_digest is None:
            return state, reason
        try:
            there = self.upstream_digest(upstream)
        except EcrkitError as fault:
            return state, f"{reason}; the upstream could not be asked: {fault!s:.150}"
        if there is None:
            return "gone upstream", "the upstream has no such tag"
        if there != digest:
            return "stale", f"the upstream has {there}"
        return (state, reason) if state == "failing" else ("current", "the upstream has the same image")
