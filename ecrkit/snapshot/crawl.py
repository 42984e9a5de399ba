"""Taking a snapshot: every repository read side by side, what cannot be read noted, and what is done kept."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, Protocol

import attrs

from ecrkit._internal.globs import matches_any
from ecrkit._internal.jsonio import jsonable
from ecrkit.errors import CredentialsMissing, EcrkitError, InvalidInput
from ecrkit.ports import Clock, FanOut, OnProgress
from ecrkit.records import Image, ImageFailure, LifecyclePolicyText, Progress, RawManifest, Repository
from ecrkit.snapshot import files, lines
from ecrkit.snapshot.cache import ManifestCache
from ecrkit.snapshot.contents import Gap, Part
from ecrkit.snapshot.files import Limits
from ecrkit.snapshot.held import Held, Packed
from ecrkit.snapshot.lines import Asked, Head, Header
from ecrkit.snapshot.loading import read_file
from ecrkit.snapshot.snapshot import Snapshot

__all__ = ["Selection", "SnapshotSource", "take"]

Selection = str | Iterable[str] | Callable[[Repository], bool]
"""Which repositories: a name or pattern (`*` stands for any characters), several of them, or a function."""

ANNOUNCEMENT: Final = "manifests, each of which may count as a pull of its image"
_BATCH: Final = 100


class SnapshotSource(Protocol):
    """What a crawl asks of a registry; `ecrkit.aws.ecr.EcrGateway` answers it."""

    def repositories(self) -> Iterable[Repository]:
        """Return every repository."""
        ...

    def images(self, repository: str) -> Iterable[Image]:
        """Return every image of a repository, of every status."""
        ...

    def each_manifest(
        self, repository: str, digests: Iterable[str], *, workers: int | None = None
    ) -> Generator[RawManifest | ImageFailure]:
        """Yield the manifest of each digest or the failure to read it."""
        ...

    def tags_of(self, arn: str) -> Mapping[str, str]:
        """Return the resource tags of a repository."""
        ...

    def lifecycle_policy(self, repository: str) -> LifecyclePolicyText | None:
        """Return a repository's lifecycle policy, or None."""
        ...

    def repository_policy(self, repository: str) -> str | None:
        """Return a repository's policy, or None."""
        ...

    def registry_policy(self) -> str | None:
        """Return the registry's policy, or None."""
        ...

    def scanning_configuration(self) -> Mapping[str, Any]:
        """Return the answer of GetRegistryScanningConfiguration."""
        ...

    def replication_configuration(self) -> Mapping[str, Any]:
        """Return the answer of DescribeRegistry."""
        ...

    def pull_through_rules(self) -> Iterable[Any]:
        """Return the pull-through cache rules, as records."""
        ...

    def creation_templates(self) -> Iterable[Any]:
        """Return the repository creation templates, as records."""
        ...

    def account_setting(self, name: str) -> str:
        """Return an account setting."""
        ...


ACCOUNT_SETTINGS: Final = ("BASIC_SCAN_TYPE_VERSION", "BLOB_MOUNTING", "REGISTRY_POLICY_SCOPE")


def _settings(source: SnapshotSource) -> tuple[dict[str, Any], list[Gap]]:
    found: dict[str, Any] = {}
    gaps: list[Gap] = []

    def ask(what: str, call: str, read: Callable[[], Any]) -> Any:
        try:
            return jsonable(read())
        except CredentialsMissing:
            raise
        except EcrkitError as fault:
            gaps.append(Gap(what=what, repository=None, error=str(fault), call=call))
            return _NOTHING

    wanted: tuple[tuple[str, str, Callable[[], Any]], ...] = (
        ("registry_policy", "GetRegistryPolicy", source.registry_policy),
        ("scanning_configuration", "GetRegistryScanningConfiguration", source.scanning_configuration),
        ("replication_configuration", "DescribeRegistry", source.replication_configuration),
        (
            "pull_through_cache_rules",
            "DescribePullThroughCacheRules",
            lambda: list(source.pull_through_rules()),
        ),
        ("creation_templates", "DescribeRepositoryCreationTemplates", lambda: list(source.creation_templates())),
    )
    for what, call, read in wanted:
        value = ask(what, call, read)
        if value is not _NOTHING:
            found[what] = value
    account: dict[str, Any] = {}
    for name in ACCOUNT_SETTINGS:
        value = ask(f"account_settings.{name}", "GetAccountSetting", partial(source.account_setting, name))
        if value is not _NOTHING:
            account[name] = value
    if account:
        found["account_settings"] = account
    return found, gaps


_NOTHING: Final = object()


@attrs.frozen(kw_only=True)
class _Crawl:
    """One crawl; its methods run in several threads."""

    source: SnapshotSource
    clock: Clock
    asked: Asked
    cache: ManifestCache | None
    workers: int

    def read(self, repository: Repository) -> Packed | None:
        """Return one repository, or None when its tags say that it is not asked for."""
        gaps: list[Gap] = []
        read: set[Part] = set()

        def ask(part: Part, call: str, work: Callable[[], Any]) -> Any:
            try:
                value = work()
            except CredentialsMissing:
                raise  # every other repository would fail alike; the crawl is better gone on with later
            except EcrkitError as fault:
                gaps.append(Gap(what=part, repository=repository.name, error=str(fault), call=call))
                return None
            read.add(part)
            return value

        parts = self.asked.parts
        at = self.clock.now()
        tags: Mapping[str, str] | None = None
        if "tags" in parts or self.asked.resource_tags:
            tags = ask("tags", "ListTagsForResource", lambda: self.source.tags_of(repository.arn))
            if self.asked.resource_tags:
                if tags is None:
                    gaps[-1] = attrs.evolve(gaps[-1], what="selection")
                    parts = ()
                elif any(tags.get(key) != value for key, value in self.asked.resource_tags.items()):
                    return None
        lifecycle: LifecyclePolicyText | None = None
        policy: str | None = None
        if "lifecycle_policy" in parts:
            lifecycle = ask(
                "lifecycle_policy", "GetLifecyclePolicy", lambda: self.source.lifecycle_policy(repository.name)
            )
        if "repository_policy" in parts:
            policy = ask(
                "repository_policy", "GetRepositoryPolicy", lambda: self.source.repository_policy(repository.name)
            )
        images: Iterable[Image] = ()
        if "images" in parts:
            images = ask("images", "DescribeImages", lambda: self._images(repository.name)) or ()
        packer = _Packer()
        packer.add(
            lines.repository_line(
                repository,
                read_at=at,
                tags=tags,
                lifecycle_policy=None if lifecycle is None else lifecycle.text,
                repository_policy=policy,
            )
        )
        for line in lines.image_lines(_counting(images, packer), scans=self.asked.scans):
            packer.add(line)
        unread: dict[str, str] = {}
        if "manifests" in parts and "images" in read:
            for line in lines.manifest_lines(self._manifests(repository.name, images, unread, gaps, packer)):
                packer.add(line)
            if not any(gap.what == "manifests" for gap in gaps):
                read.add("manifests")
        count = packer.images
        head = Head(
            repository=repository,
            read_at=at,
            tags=tags or {},
            lifecycle_policy=lines.shared(None if lifecycle is None else lifecycle.text),
            repository_policy=lines.shared(policy),
            read=frozenset(read),
            gaps=tuple(gaps),
            unread=dict(sorted(unread.items())),
            images=count,
            manifests=packer.manifests,
        )
        packer.add(
            lines.end_line(
                head.name, read=head.read, gaps=gaps, unread=head.unread, images=count, manifests=head.manifests
            )
        )
        return Packed(head, packer.done())

    def _images(self, repository: str) -> list[Image]:
        return sorted(self.source.images(repository), key=lambda image: (image.pushed_at, image.digest))

    def _manifests(
        self,
        repository: str,
        images: Iterable[Image],
        unread: dict[str, str],
        gaps: list[Gap],
        packer: _Packer,
    ) -> Iterator[RawManifest]:
        asked: list[str] = []
        for image in images:
            kept = None if self.cache is None else self.cache.get(image.digest)
            if kept is not None:
                packer.manifests += 1
                yield kept
            elif image.status == "ACTIVE":
                asked.append(image.digest)
            else:
                unread[image.digest] = image.status
        if not asked:
            return
        failed = 0
        why = ""
        # A pool within a pool is worth it only for a repository that would keep its worker busy for long.
        workers = self.workers if len(asked) > _BATCH * self.workers else 1
        answered: set[str] = set()
        try:
            for found in self.source.each_manifest(repository, asked, workers=workers):
                if isinstance(found, RawManifest):
                    answered.add(found.digest)
                    packer.manifests += 1
                    if self.cache is not None:
                        self.cache.put(found)
                    yield found
                elif found.digest is not None:
                    answered.add(found.digest)
                    unread[found.digest] = found.code or "not read"
                    failed, why = failed + 1, found.reason or found.code
        except CredentialsMissing:
            raise
        except EcrkitError as fault:
            missing = [digest for digest in asked if digest not in answered]
            unread.update((digest, getattr(fault, "code", "") or type(fault).__name__) for digest in missing)
            failed, why = failed + len(missing), str(fault)
        if failed:
            error = f"{failed} of {len(asked)}: {why}"
            gaps.append(Gap(what="manifests", repository=repository, error=error, call="BatchGetImage"))


class _Packer:
    """Packs lines as they come, so that only packed bytes of a repository are kept."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(files.LEVEL, zlib.DEFLATED, 31)
        self._parts: list[bytes] = []
        self.images = 0
        self.manifests = 0

    def add(self, line: bytes) -> None:
        packed = self._packer.compress(line)
        if packed:
            self._parts.append(packed)

    def done(self) -> bytes:
        self._parts.append(self._packer.flush())
        return b"".join(self._parts)


def _counting(images: Iterable[Image], packer: _Packer) -> Iterator[Image]:
    for image in images:
        packer.images += 1
        yield image


def take(
    source: SnapshotSource,
    *,
    clock: Clock,
    fan_out: FanOut,
    account: str | Callable[[], str],
    region: str,
    repositories: Selection = "*",
    resource_tags: Mapping[str, str] | None = None,
    manifests: bool = True,
    tags: bool = True,
    policies: bool = True,
    scans: Literal["summary"] | None = "summary",
    settings: bool = True,
    cache: Path | str | None = None,
    resume: Path | str | None = None,
    on_progress: OnProgress | None = None,
    workers: int = 8,
) -> Snapshot:
    """Return the state of a registry; `Registry.snapshot` says what the arguments mean.

    Raises:
        InvalidInput: an argument is wrong, or the work file is another crawl's.
        AwsCallFailed: the repositories cannot be listed, or there are no credentials any more.
    """
    chosen, asked = _asked(repositories, resource_tags, manifests=manifests, tags=tags, policies=policies, scans=scans)
    listed = [r for r in source.repositories() if chosen(r)]
    whose = listed[0].registry_id if listed else (account if isinstance(account, str) else account())
    header = Header(account=whose, region=region, taken_at=clock.now(), asked=asked)
    work = None if resume is None else _WorkFile(Path(resume), header)
    if work is not None:
        header = work.header
    done: dict[str, Held] = {} if work is None else {item.head.name: item for item in work.begin(listed)}
    if on_progress is not None:
        if manifests:
            on_progress(Progress(done=0, total=None, what=ANNOUNCEMENT))
        on_progress(Progress(done=len(done), total=len(listed), what="repositories"))
    told, gaps = _settings(source) if settings else ({}, [])
    crawl = _Crawl(
        source=source, clock=clock, asked=asked, cache=None if cache is None else ManifestCache(cache), workers=workers
    )
    count = len(done)
    reading = fan_out.each(crawl.read, [r for r in listed if r.name not in done])
    try:
        for repository, found in reading:
            count += 1
            if found is not None:
                done[repository.name] = found if work is None else work.add(found)
            if on_progress is not None:
                on_progress(Progress(done=count, total=len(listed), what="repositories"))
    finally:
        close = getattr(reading, "close", None)
        if close is not None:
            close()
        if work is not None:
            work.pause()
    taken = Snapshot(header, done.values(), settings=told, gaps=gaps, finished_at=clock.now())
    if work is None:
        return taken
    return work.finish(taken)


def _asked(
    repositories: Selection,
    resource_tags: Mapping[str, str] | None,
    *,
    manifests: bool,
    tags: bool,
    policies: bool,
    scans: str | None,
) -> tuple[Callable[[Repository], bool], Asked]:
    if scans not in ("summary", None):
        raise InvalidInput.single("no snapshot", "scans", f"must be 'summary' or None, not {scans!r:.40}")
    wished: dict[Part, bool] = {
        "images": True, "manifests": manifests, "tags": tags, "lifecycle_policy": policies,
        "repository_policy": policies,
    }  # fmt: skip
    parts: list[Part] = [part for part, asked_for in wished.items() if asked_for]
    wanted = dict(resource_tags or {})
    told: Mapping[str, object] = wanted
    if not all(isinstance(value, str) for value in told.values()):
        raise InvalidInput.single(
            "no snapshot", "resource_tags", "maps keys to texts; for repositories without a tag filter `snapshot.tags`"
        )
    if callable(repositories):
        asked = Asked(function=True, resource_tags=wanted, parts=parts, scans=scans is not None)
        return repositories, asked
    globs = (repositories,) if isinstance(repositories, str) else tuple(repositories)
    if not globs:
        raise InvalidInput.single("no snapshot", "repositories", "names none; leave it out for all of them")
    asked = Asked(repositories=globs, resource_tags=wanted, parts=parts, scans=scans is not None)
    return (lambda repository: matches_any(globs, repository.name)), asked


class _WorkFile:
    """The file that a crawl writes as it goes: a snapshot without its last line, until it has ended."""

    def __init__(self, path: Path, header: Header) -> None:
        self._path = path
        self.header = header
        self._kept: list[Held] = []
        self._target: BinaryIO | None = None
        if path.exists() and path.stat().st_size > 0:
            self._resume()

    def _resume(self) -> None:
        finished, held, found = read_file(self._path, Limits(), open_end=True)
        if found is None:
            return  # of a crawl that died before its first repository: start anew
        if finished is not None and (found.account, found.region) == (self.header.account, self.header.region):
            return  # of an earlier crawl of this registry, that ended: start anew
        same = attrs.evolve(found, taken_at=self.header.taken_at)
        if same != self.header:
            raise InvalidInput.single(
                "no crawl to go on with",
                str(self._path),
                "is the work file of another crawl (other registry or arguments); name another file or remove it",
            )
        self.header = found
        self._kept = [item for item in held if not item.head.gaps]

    def begin(self, listed: Iterable[Repository]) -> list[Held]:
        """Write the file anew with what is still good of it, and return that."""
        names = {repository.name for repository in listed}
        kept = [item for item in self._kept if item.head.name in names]

        def write(target: BinaryIO) -> None:
            target.write(files.pack([lines.header_line(self.header)]))
            target.writelines(item.packed() for item in kept)

        files.replace(self._path, write)
        self._target = self._path.open("ab")
        return kept

    def add(self, found: Packed) -> Held:
        """Append a repository; it is on its way to the disk when this returns."""
        assert self._target is not None
        offset = self._target.tell()
        self._target.write(found.data)
        self._target.flush()
        return _Written(found.head, self._path, offset, len(found.data))

    def pause(self) -> None:
        """Close the file, so that another process can go on with it."""
        if self._target is not None:
            self._target.close()
            self._target = None

    def finish(self, taken: Snapshot) -> Snapshot:
        """Write the last line, and return the snapshot that reads from the file."""
        taken.save(self._path)
        finished, _, _ = read_file(self._path, Limits())
        assert finished is not None
        return finished


@attrs.frozen
class _Written:
    """A repository that stands in the work file."""

    head: Head
    path: Path
    offset: int
    length: int

    def packed(self) -> bytes:
        with self.path.open("rb") as source:
            source.seek(self.offset)
            return source.read(self.length)

    def entry(self) -> Any:
        return files.unpack(self.packed(), self.head, self.path, 1, 2**63)
