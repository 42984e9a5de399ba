"""Policies for the usual ways to tag, each with a made-up repository and what must become of it.

A template is a beginning: look at it with `propose` and `diff` on your own inventory before it is put.

Example:
    >>> from ecrkit.lifecycle import templates
    >>> print(templates.pull_requests(days=14).policy)
    rule 1: expire images tagged pr-* pushed more than 14 days ago
    rule 2: expire untagged images pushed more than 7 days ago
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Final

import attrs

from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle import expect
from ecrkit.lifecycle.builder import (
    archive_unpulled,
    build,
    delete_archived,
    expire_older_than,
    expire_untagged,
    keep_last,
    protect,
)
from ecrkit.lifecycle.expect import Expectation, ExpectationReport
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.records import Image

__all__ = [
    "Template", "all_templates", "build_caches", "multi_platform", "pull_requests", "pull_through_cache",
    "release_trains", "trunk",
]  # fmt: skip

_INDEX: Final = "application/vnd.oci.image.index.v1+json"


def _tuple(values: Iterable[Expectation]) -> tuple[Expectation, ...]:
    return tuple(values)


def _names(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


@attrs.frozen(kw_only=True, eq=False)
class Template:
    """A policy with the reason for it, a made-up repository that it is for, and what must become of that."""

    name: str
    about: str
    policy: LifecyclePolicy
    expectations: tuple[Expectation, ...] = attrs.field(converter=_tuple)
    _example: Callable[[dt.datetime], Inventory] = attrs.field(alias="example")

    def example(self, now: dt.datetime) -> Inventory:
        """Return the made-up repository as it is at `now`: years of pushes, as if no policy had ever run."""
        return self._example(now)

    def prove(self, now: dt.datetime) -> ExpectationReport:
        """Return what becomes of the expectations on the example."""
        return expect.check(self.policy, self.example(now), self.expectations, now=now)


class _Maker:
    """Makes images one after the other; each has a digest of its own."""

    def __init__(self, now: dt.datetime) -> None:
        self._now = now
        self.images: list[Image] = []
        self.children: dict[str, tuple[str, ...]] = {}

    def push(self, days: float, *tags: str, pulled: float | None = None, subject: str | None = None) -> str:
        """Add an image that was pushed so many days ago, and last pulled so many days ago."""
        digest = f"sha256:{len(self.images) + 1:064x}"
        self.images.append(
            Image(
                digest=digest,
                tags=tags,
                pushed_at=self._now - dt.timedelta(days=days),
                last_pulled_at=None if pulled is None else self._now - dt.timedelta(days=pulled),
                subject_digest=subject,
                size=50_000_000,
            )
        )
        return digest

    def push_index(self, days: float, *tags: str, platforms: int = 2) -> str:
        """Add an index with its children, as buildx pushes them."""
        held = tuple(self.push(days) for _ in range(platforms))
        digest = self.push(days, *tags)
        self.images[-1] = attrs.evolve(self.images[-1], manifest_media_type=_INDEX)
        self.children[digest] = held
        return digest

    def inventory(self) -> Inventory:
        """Return the repository."""
        return Inventory(self.images, children=self.children, repository="example")


def release_trains(
    *,
    keep: int = 20,
    prefixes: str | Iterable[str] = ("v",),
    candidates: int = 3,
    candidate_days: int = 30,
    protected: str | Iterable[str] = ("*-lts",),
) -> Template:
    """Return the template for versions: the newest `keep` stay, candidates go by age, long-term versions never.

    A rule counts every image that it selects, those too that an earlier rule takes. So a candidate such as `v1.2.0-rc1`
    takes a place among the versions, and the rule has to count `candidates` of them for each version that is to stay.

    Args:
        keep: how many versions of each prefix.
        prefixes: of versions; a train of its own each.
        candidates: how many candidates a version has at most, on the average.
        candidate_days: how long `*-rc*` stays.
        protected: patterns that never go.
    """
    lines, lasting = _names(prefixes), _names(protected)
    apart = max(10, candidate_days // max(3 * keep - 1, 1) + 1)  # days between versions: some candidates are too old
    policy = build(
        protect(patterns=lasting, description="long-term versions"),
        expire_older_than(candidate_days, patterns="*-rc*", description="release candidates"),
        keep_last(keep * (1 + candidates), prefixes=lines, description="releases, and their candidates"),
        expire_untagged(after_days=7),
    )

    def example(now: dt.datetime) -> Inventory:
        maker = _Maker(now)
        for train in lines:
            for n in range(3 * keep):
                maker.push(apart * n + 1, f"{train}1.{3 * keep - n}.0", pulled=n)
                for candidate in range(candidates):
                    maker.push(apart * n + 3 + candidate, f"{train}1.{3 * keep - n}.0-rc{candidates - candidate}")
        for n, pattern in enumerate(lasting):
            maker.push(2000 + n, pattern.replace("*", f"{lines[0]}0.9"))
        maker.push(9)
        return maker.inventory()

    return Template(
        name="release trains",
        about="Versions are few, wanted for long, and rolled back to.",
        policy=policy,
        example=example,
        expectations=[
            *(expect.keeps(f"{train}1.*.0", at_least=keep) for train in lines),
            *(expect.keeps(pattern) for pattern in lasting),
            expect.expires("*-rc*", older_than=candidate_days),
            expect.expires(None, older_than=7),
        ],
    )


def trunk(*, keep: int = 50, prefix: str = "main-", moving: str | Iterable[str] = ("latest", "main")) -> Template:
    """Return the template for a trunk whose images carry their commit: the newest `keep` stay, moving tags always.

    Args:
        keep: how many commits can be rolled back to.
        prefix: of the tags with a commit.
        moving: tags that move along with the trunk; what they name now stays.
    """
    names = _names(moving)

    def example(now: dt.datetime) -> Inventory:
        maker = _Maker(now)
        for n in range(4 * keep + 8):
            tags = [f"{prefix}{n * 7919 % 0xFFFFFFF:07x}"]
            maker.push(n / 4, *(tags if n else [*tags, *names]))
        for n in range(20):
            maker.push(n + 1)  # builds that lost their tag
        return maker.inventory()

    return Template(
        name="trunk",
        about="Every commit makes an image; only the last ones are ever rolled back to.",
        policy=build(
            protect(patterns=names, description="moving tags"),
            keep_last(keep, prefixes=prefix, description="commits"),
            expire_untagged(after_days=7),
        ),
        example=example,
        expectations=[
            *(expect.keeps(name) for name in names),
            expect.keeps(f"{prefix}*", at_least=keep),
            expect.expires(f"{prefix}*", older_than=keep // 4 + 1),
            expect.expires(None, older_than=7),
        ],
    )


def pull_requests(*, days: int = 14, prefix: str = "pr-") -> Template:
    """Return the template for previews of pull requests: they go by age, whatever else is in the repository stays.

    Args:
        days: how long a preview is of use.
        prefix: of their tags.
    """

    def example(now: dt.datetime) -> Inventory:
        maker = _Maker(now)
        for n in range(max(120, 4 * days)):
            maker.push(n / 2, f"{prefix}{n}-{n * 104729 % 0xFFFFFFF:07x}")
        for n in range(10):
            maker.push(100 * n + 5, f"v1.{n}")
            maker.push(n)
        return maker.inventory()

    return Template(
        name="pull requests",
        about="A preview is of no use once its pull request is merged.",
        policy=build(expire_older_than(days, prefixes=prefix, description="previews"), expire_untagged(after_days=7)),
        example=example,
        expectations=[
            expect.expires(f"{prefix}*", older_than=days),
            expect.keeps_younger_than(days, f"{prefix}*"),
            expect.keeps("v1.*"),
        ],
    )


def build_caches(*, days: int = 7, patterns: str | Iterable[str] = ("buildcache*", "cache-*")) -> Template:
    """Return the template for layer caches of builds: by age, and soon. A cache that is in use is pushed anew.

    Args:
        days: how long after the push a cache may be of use.
        patterns: of their tags.
    """
    kinds = _names(patterns)

    def example(now: dt.datetime) -> Inventory:
        maker = _Maker(now)
        for kind in kinds:
            for n in range(max(15, days)):
                maker.push(2 * n, kind.replace("*", f"-b{n}"))
        maker.push(300, "v1.0")
        for n in range(10):
            maker.push(n)
        return maker.inventory()

    return Template(
        name="build caches",
        about="A cache that nothing has pushed anew is of no use to the next build.",
        policy=build(
            expire_older_than(days, patterns=kinds, description="caches"), expire_untagged(after_days=min(days, 3))
        ),
        example=example,
        expectations=[
            *(expect.expires(kind, older_than=days) for kind in kinds),
            *(expect.keeps_younger_than(days, kind) for kind in kinds),
            expect.keeps("v1.0"),
        ],
    )


def pull_through_cache(*, archive_days: int = 90, delete_days: int = 90) -> Template:
    """Return the template for what a pull-through cache holds: archived when nobody pulls it, then deleted.

    ECR has no rule that deletes by last pull. The push time in a cache is that of the first pull. A tag that is pulled
    again after it was deleted is fetched again from the upstream.

    Args:
        archive_days: days without a pull until it is archived.
        delete_days: days in the archive until it is deleted; ECR takes no less than 90.
    """

    def example(now: dt.datetime) -> Inventory:
        maker = _Maker(now)
        for n in range(12):
            maker.push(400, f"1.{n}", pulled=archive_days * n / 4)
        maker.push(archive_days + 1, "never-pulled")
        return maker.inventory()

    return Template(
        name="pull-through cache",
        about="What an upstream holds can be had again, so what nobody pulls need not be kept.",
        policy=build(
            archive_unpulled(archive_days, description="nobody pulls it"),
            delete_archived(after_days=delete_days, description="nobody missed it"),
        ),
        example=example,
        expectations=[
            expect.archives("*", unpulled_for=archive_days),
            *(expect.keeps(f"1.{n}") for n in range(5)),
        ],
    )


def multi_platform(*, keep: int = 10, prefix: str = "v", untagged_days: int | None = 7) -> Template:
    """Return the template for indexes of several platforms: they are counted, their untagged children go with them.

    The children are images without tags, so a rule for untagged images marks them. ECR does not take them as long as
    their index stays, and records failures that look like errors and are none.

    Signatures, SBOMs and attestations that refer to an image are untagged images too, and nothing holds them: a rule
    for untagged images takes them by their own age while their image stays. Without one they go with their image.

    Args:
        keep: how many indexes.
        prefix: of their tags.
        untagged_days: how long after the push what no index holds stays; None for repositories with signatures and the
            like, to have no rule for untagged images.
    """

    def example(now: dt.datetime) -> Inventory:
        maker = _Maker(now)
        for n in range(3 * keep):
            index = maker.push_index(5 * n + 1, f"{prefix}{3 * keep - n}")
            if untagged_days is None:
                maker.push(5 * n + 1, subject=index)
        for n in range(max(9, untagged_days) if untagged_days is not None else 0):
            maker.push(3 * n)
        return maker.inventory()

    parts = [keep_last(keep, prefixes=prefix, description="indexes")]
    expectations = [expect.keeps(f"{prefix}*", at_least=keep), expect.expires(f"{prefix}*", older_than=5 * keep)]
    if untagged_days is not None:
        parts.append(expire_untagged(after_days=untagged_days, description="what no index holds"))
        expectations.append(expect.expires(None, older_than=untagged_days))
    return Template(
        name="multi-platform" if untagged_days is not None else "multi-platform, signed",
        about="An index is what is tagged and counted; its platforms follow it, and so do its signatures.",
        policy=build(*parts),
        example=example,
        expectations=expectations,
    )


def all_templates() -> tuple[Template, ...]:
    """Return every template as it is without arguments."""
    return (
        release_trains(), trunk(), pull_requests(), build_caches(), pull_through_cache(), multi_platform(),
        multi_platform(untagged_days=None),
    )  # fmt: skip
