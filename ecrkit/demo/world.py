"""The estate of the tour: twelve repositories of three teams, ninety days of pushes of real images.

Everything follows from names and dates, so every run of the tour sees the same digests. The images are real ones that
share their layers; they are small, so that the tour is quick.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from functools import cache
from typing import Final

import attrs

from ecrkit._internal.times import UTC
from ecrkit.local import Engine, ManualClock
from ecrkit.local.images import BuiltImage, BuiltIndex, Layer, artifact, filler, image, index, layer, push

__all__ = ["DAYS", "MAIN", "NOW", "REPOSITORIES", "Repo", "build", "in_use"]

DAYS: Final = 90
_START: Final = dt.datetime(2026, 1, 1, tzinfo=UTC)
NOW: Final = _START + dt.timedelta(days=DAYS, hours=20)
"""When the tour takes place: in the evening, hours after the last push."""
_SECOND_MAJOR: Final = dt.date(2026, 3, 3)
_TUESDAY, _THURSDAY, _SATURDAY = 1, 3, 5
_AMD: Final = "linux/amd64"
_BOTH: Final = (_AMD, "linux/arm64")

MAIN: Final = "shop/checkout"
"""The repository that the tour looks at closely."""


@attrs.frozen(kw_only=True)
class Repo:
    """A repository and the habits of those who push to it."""

    name: str
    platforms: tuple[str, ...] = (_AMD,)
    branches: bool = True
    releases: bool = True
    nightly: bool = False
    latest: bool = False
    provenance: bool = False

    @property
    def team(self) -> str:
        """The team, which is the first part of the name."""
        return self.name.partition("/")[0]


REPOSITORIES: Final = (
    Repo(name="data/etl", nightly=True),
    Repo(name="data/ingest", platforms=_BOTH),
    Repo(name="data/notebook", branches=False, releases=False, latest=True),
    Repo(name="data/reports"),
    Repo(name="platform/auth", platforms=_BOTH),
    Repo(name="platform/gateway", platforms=_BOTH, nightly=True),
    Repo(name="platform/mailer"),
    Repo(name="platform/runner", branches=False, releases=False, nightly=True, latest=True),
    Repo(name="shop/cart", platforms=_BOTH),
    Repo(name=MAIN, platforms=_BOTH, nightly=True),
    Repo(name="shop/search"),
    Repo(name="shop/web", provenance=True),
)


def in_use() -> tuple[str, ...]:
    """Return what runs in the cluster, as a pod names it: a release of January that was never replaced."""
    return (f"123456789012.dkr.ecr.us-east-1.amazonaws.com/{MAIN}:prod-20260113",)


# -- pushes -------------------------------------------------------------------------------------------------------


@attrs.frozen(order=True)
class _Push:
    at: dt.datetime
    repository: str
    tags: tuple[str, ...]
    build: str
    week: int
    release: bool = False


def _dice(*words: object) -> int:
    # No random module: its sequences are promised for one Python, hashes for all.
    return int.from_bytes(hashlib.sha256("/".join(map(str, words)).encode()).digest()[:6], "big")


def _branch_tags(repo: Repo, day: dt.date, number: int) -> tuple[str, ...]:
    seed = _dice(repo.name, day, number, "tags")
    commit = f"{_dice(repo.name, day, number, 'commit') % 16**7:07x}"
    if repo.name == MAIN and day == dt.date(2026, 2, 10):
        return f"dev-{commit}", "feature-vouchers", f"pr-{100 + number}"  # the one image that carries all three
    kind = seed % 6
    if kind == 0:
        return (f"pr-{100 + seed % 900}-{commit}",)
    if kind == 1:
        return (f"feature-{('search', 'vouchers', 'refunds', 'audit')[seed // 6 % 4]}-{commit}",)
    return (f"dev-{commit}",)


def _release_tags(repo: Repo, day: dt.date) -> tuple[str, ...]:
    """Every release has a version; those of a Tuesday go to production as well."""
    number = 2 * ((day - _START.date()).days // 7) + (day.weekday() == _THURSDAY)
    second = 2 * ((day - _SECOND_MAJOR).days // 7) + (day.weekday() == _THURSDAY)
    version = f"v2.{second}.0" if day >= _SECOND_MAJOR else f"v1.{number}.0"
    if day.weekday() == _THURSDAY:
        return (version,)
    stamp = f"prod-{day:%Y%m%d}"
    if day == _SECOND_MAJOR and repo.name == MAIN:
        return stamp, f"v1.{number}.0", version  # the one release that carries all three
    return stamp, version


def _pushes_of(repo: Repo) -> Iterator[_Push]:
    for number in range(DAYS):
        midnight = _START + dt.timedelta(days=number)
        day, week = midnight.date(), number // 7

        def at(hour: int, *words: object, midnight: dt.datetime = midnight) -> dt.datetime:
            return midnight + dt.timedelta(hours=hour, seconds=_dice(repo.name, midnight, *words) % 3000)

        if repo.nightly:
            yield _Push(at(2), repo.name, (f"nightly-{day:%Y%m%d}",), f"{day} nightly", week)
            if day.weekday() == _SATURDAY:
                yield _Push(at(5), repo.name, (f"test-load-{day:%Y%m%d}",), f"{day} load test", week)
        if day.weekday() >= 5:
            continue
        if repo.branches:
            for count in range(_dice(repo.name, day) % 3 or (repo.name == MAIN)):
                tags = _branch_tags(repo, day, count)
                yield _Push(at(9 + 4 * count, count), repo.name, tags, f"{day} branch {count}", week)
        if repo.latest:
            yield _Push(at(11), repo.name, ("latest",), f"{day} latest", week)
        if repo.releases and day.weekday() in (_TUESDAY, _THURSDAY):
            yield _Push(at(16), repo.name, _release_tags(repo, day), f"{day} release", week, release=True)


# -- images -------------------------------------------------------------------------------------------------------


@cache
def _base(platform: str) -> Layer:
    return filler(500_000, seed=f"base {platform}", created_by=f"FROM debian:13-slim ({platform})")


@cache
def _runtime(team: str, platform: str) -> Layer:
    return filler(260_000, seed=f"runtime {team} {platform}", created_by=f"COPY --from={team}-runtime / /")


def _image(repo: Repo, pushed: _Push, platform: str, dependencies: Layer) -> BuiltImage:
    name = repo.name.partition("/")[2]
    program = hashlib.sha256(f"{repo.name} {pushed.build} {platform}".encode()).digest() * 700
    built: dict[str, bytes | str] = {f"srv/{name}/{name}": program, f"srv/{name}/build.txt": f"{pushed.build}\n"}
    return image(
        [_base(platform), _runtime(repo.team, platform), dependencies, layer(built, executable=[f"srv/{name}/{name}"])],
        platform=platform,
        labels={"org.opencontainers.image.title": repo.name, "org.opencontainers.image.version": pushed.tags[0]},
        config={"Cmd": [f"/srv/{name}/{name}"], "User": "1000"},
        created=pushed.at,
    )


def _built(repo: Repo, pushed: _Push, layers: dict[str, Layer]) -> BuiltImage | BuiltIndex:
    made: list[BuiltImage] = []
    for platform in repo.platforms:
        seed = f"dependencies {repo.name} {platform} {pushed.week}"
        if seed not in layers:
            layers[seed] = filler(90_000, seed=seed, created_by="RUN install-dependencies")
        made.append(_image(repo, pushed, platform, layers[seed]))
    if repo.provenance:
        return index(made, attestations="artifact")
    return made[0] if len(made) == 1 else index(made)


def _sbom(built: BuiltImage | BuiltIndex, name: str) -> BuiltImage:
    content = f'{{"spdxVersion":"SPDX-2.3","name":"{name}","dataLicense":"CC0-1.0"}}'
    return artifact(built, "application/spdx+json", content=content, content_type="application/spdx+json")


def build() -> tuple[Engine, int]:
    """Return an embedded ECR that holds the estate, its clock at `NOW`, and the number of pushes that made it.

    Each push goes through the operations that a registry client calls. Releases get an SBOM, which refers to them and
    is tagged `sbom-...`, so that rules on untagged images leave it alone.
    """
    clock = ManualClock(_START)
    engine = Engine(clock=clock)
    repos = {repo.name: repo for repo in REPOSITORIES}
    for repo in REPOSITORIES:
        engine.call(
            "CreateRepository",
            {"repositoryName": repo.name, "tags": [{"Key": "team", "Value": repo.team}]},
        )
    layers: dict[str, Layer] = {}
    pushes = sorted(p for repo in REPOSITORIES for p in _pushes_of(repo))
    for pushed in pushes:
        clock.advance(pushed.at - clock.now())
        built = _built(repos[pushed.repository], pushed, layers)
        for tag in pushed.tags:
            push(built, engine, pushed.repository, tag)
        if pushed.release:
            push(_sbom(built, pushed.repository), engine, pushed.repository, f"sbom-{pushed.tags[0]}")
    engine.advance(NOW - clock.now())
    return engine, len(pushes)
