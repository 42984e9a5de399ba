"""Giving tags and making copies, over ports to both registries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Protocol, Self

import attrs

from ecrkit.errors import EcrkitError, InvalidInput, NotFound
from ecrkit.ports import Clock, FanOut, OnProgress
from ecrkit.promotion.copying import BeforeTag, Ends, Means, carry_out, failed, plan_item
from ecrkit.promotion.graph import Piece, parsed
from ecrkit.promotion.plan import CopyItem, CopyPlan, CopyReport, CopyResult
from ecrkit.promotion.references import ImageRefLike, UpstreamRef, parse_source
from ecrkit.promotion.sources import Source, Target
from ecrkit.promotion.tagging import Tagged, TagLocks, put_piece, set_tag
from ecrkit.refs import ImageRef, RegistryHost
from ecrkit.refs import tag as checked_tag

__all__ = ["CopyPair", "CopyService", "Gateway", "SourceLike"]

SourceLike = ImageRef | UpstreamRef | str
"""A reference to an image in ECR or in any other registry."""
CopyPair = tuple[SourceLike, ImageRef | str]
"""An image and where it is to go."""


class Gateway(Source, Target, Protocol):
    """A registry of ECR, as a source and as a target."""


@attrs.frozen
class CopyService:
    """Moves images without changing them: every digest in the target is the source's.

    `registries` gives the gateway to an account's registry in a Region; the caller supplies it, since another account
    may need other credentials. `upstream` gives what reads a registry that is not private ECR, by its host.
    """

    own: Gateway
    clock: Clock
    fan_out: FanOut
    registries: Callable[[str, str], Gateway | None]
    upstream: Callable[[str], Source] | None = None
    _locks: TagLocks = attrs.field(factory=TagLocks, repr=False, eq=False)

    def with_registries(self, registries: Callable[[str, str], Gateway | None]) -> Self:
        """Return the service reaching other registries by other means, such as with a role of the other account.

        `registries` gives a gateway by account and Region, for instance
        `lambda account, region: opened[account].in_region(region).gateway`.
        """
        return attrs.evolve(self, registries=registries)

    def with_upstream(self, upstream: Callable[[str], Source]) -> Self:
        """Return the service reading registries other than private ECR by other means, such as with a password.

        `upstream` gives a source by host, for instance `lambda host: OciSource(host, username=..., password=...)`.
        """
        return attrs.evolve(self, upstream=upstream)

    # ---- tags

    def retag(self, ref: ImageRefLike, tag: str, *, move: bool = False, former: str | None = None) -> Tagged:
        """Give an image one more tag in its repository, and return what became of the tag.

        The manifest is put again byte for byte as it was read by its digest, so the digest stays. Doing it twice is
        no error. A tag that names another image is left alone and the error says which, unless `move`; ECR has no
        compare and set, so the tag is read right before and right after. In a repository where tags are immutable
        two promotions at once cannot both succeed; where they are mutable, the later one wins, and the earlier one
        knows only if it was overtaken before it looked. Within one process they come one after the other.

        Args:
            ref: repository with a tag, a digest or both; with neither the tag `latest`.
            tag: the tag to give.
            move: take the tag from another image, where the repository's mutability lets it.
            former: with `move`, the digest that the tag must name to be moved.

        Calls: two when there is nothing to do, else six, or seven when a tag is moved.

        Raises:
            TagTaken: the tag names another image and was left alone, or was moved by somebody else meanwhile.
            NotFound: no such repository or image.
            InvalidReference: the tag cannot stand in a reference.
        """
        checked_tag(tag)
        image = ref if isinstance(ref, ImageRef) else ImageRef.parse(ref)
        gateway, repository = self._gateway(image.registry), str(image.repository)
        digest = self._digest(gateway, repository, image)
        if gateway.digest_of(repository, tag) == digest:
            return Tagged(repository=repository, tag=tag, digest=digest, outcome="unchanged", former=digest)
        raws = gateway.manifests(repository, [digest])
        if digest not in raws:
            raise _no_image(repository, digest)
        raw = raws[digest]
        found = parsed(raw)
        piece = Piece(
            digest=digest, media_type=raw.media_type or found.media_type, role="image", length=found.length,
            text=raw.text,
        )  # fmt: skip
        with self._locks.of(place_of(image), tag):
            return set_tag(
                gateway, repository, piece, tag, move=move, former=former,
                put=lambda name: put_piece(gateway, repository, piece, name),
            )  # fmt: skip

    # ---- copies

    def plan(
        self,
        source: SourceLike,
        target: ImageRefLike,
        *,
        referrers: bool = True,
        move: bool = False,
        create_repository: bool = False,
        reader: Source | None = None,
    ) -> CopyPlan:
        """Return what copying an image would move, in manifests, blobs and bytes; nothing is changed.

        Args:
            source: an image of ECR or of any other registry; `docker.io/node:20` is one of Docker Hub.
            target: an image of ECR. With neither tag nor digest it gets the source's tag, or none when the source
                was named by digest. A digest must be the source's.
            referrers: take signatures, SBOMs and attestations along: of the image, its children and each other.
            move: take the tag from another image in the target.
            create_repository: make the target's repository when there is none, with ECR's defaults.
            reader: reads the source instead of what the service would take.

        Calls: for an image of ECR three or more in the source (its tag, one for each level of manifests, one for each
        manifest's referrers) and four or more in the target (repository, tag, images, one for each 100 blobs).

        Raises:
            NotFound: the source has no such image, or lacks a part of it.
            InvalidManifest: the source's text is no manifest, or another than was asked for.
            InvalidInput: a reference is wrong, or nothing reads that source.
        """
        return self.plan_many(
            [(source, target)], referrers=referrers, move=move, create_repository=create_repository, reader=reader
        )

    def plan_many(
        self,
        pairs: Iterable[CopyPair],
        *,
        referrers: bool = True,
        move: bool = False,
        create_repository: bool = False,
        reader: Source | None = None,
    ) -> CopyPlan:
        """Return what copying many images would move. Arguments, calls and errors as for `plan`, for each of them."""
        listed = [self._pair(source, target, reader) for source, target in pairs]

        def one(number: int) -> CopyItem:
            pair = listed[number]
            return plan_item(
                pair.ends,
                names=(pair.source, pair.target, pair.place),
                digest=self._source_digest(pair),
                tag=pair.tag,
                move=move,
                create=create_repository,
                referrers=referrers,
            )

        found = dict(self.fan_out.each(one, range(len(listed))))
        return CopyPlan(items=[found[number] for number in range(len(listed))])

    def apply(
        self,
        plan: CopyPlan,
        *,
        keep_going: bool = False,
        on_progress: OnProgress | None = None,
        reader: Source | None = None,
        uploads: MutableMapping[str, str] | None = None,
    ) -> CopyReport:
        """Copy what the plan names, and return what became of each image.

        Everything is looked at again first: a tag that moved at either end since makes the plan outdated, and blobs
        that arrived meanwhile are not sent. The tag is set last of all, so that until then nobody sees any of it; a
        copy that was cut short is made again and finds there what had arrived. A part whose download breaks goes on
        at its last byte. Memory holds some parts for each worker, whatever the size of a layer.

        Args:
            plan: of `plan` or `plan_many`.
            keep_going: go on after a fault, and return it as the result of its image; otherwise it is raised.
            on_progress: told the bytes that arrived, one call at a time, from the threads that move them.
            reader: as it was given to `plan`.
            uploads: where the state of unfinished uploads is kept, such as an `UploadFile`. With it even a layer of
                which some parts had arrived goes on, and is not begun anew; ECR alone checks the digest of such a one.

        Calls: for each blob one to begin, one for each part (10 MiB as a rule) and one to complete; for each manifest
        one; and at most six more for each image.

        Raises:
            PlanRefused: the plan has obstacles.
            PlanOutdated: a tag moved since; nothing of that image was done.
            TagTaken: the tag names another image and was left alone.
        """
        if not keep_going:
            plan.require()
        pairs: list[tuple[CopyItem, Ends]] = []
        refused: dict[int, CopyResult] = {}
        for number, item in enumerate(plan.items):
            try:
                CopyPlan(items=[item]).require()
                pairs.append((item, self._pair(item.source, item.target, reader).ends))
            except EcrkitError as fault:
                if not keep_going:
                    raise
                refused[number] = failed(item, fault)
        done = self._carry(
            pairs,
            uploads=uploads,
            total=plan.bytes_to_move,
            keep_going=keep_going,
            on_progress=on_progress,
        )
        return CopyReport(results=[refused[n] if n in refused else next(done) for n in range(len(plan.items))])

    def copy(
        self,
        source: SourceLike,
        target: ImageRefLike,
        *,
        referrers: bool = True,
        move: bool = False,
        create_repository: bool = False,
        reader: Source | None = None,
        on_progress: OnProgress | None = None,
        uploads: MutableMapping[str, str] | None = None,
    ) -> CopyResult:
        """Copy an image with all that belongs to it, and return what was moved.

        That is `apply` of `plan`; arguments, calls and errors are theirs. Copying what is there already is no error.

        Example:
            >>> from ecrkit import Registry
            >>> from ecrkit.local.images import filler, image, push
            >>> with Registry.local() as registry:
            ...     for name in ("dev/app", "prod/app"):
            ...         made = registry.gateway.create_repository(name)
            ...     digest = push(image([filler(4096)]), registry.client, "dev/app", "v1")
            ...     result = registry.promotion.copy("dev/app:v1", "prod/app:v1")
            ...     (result.digest == digest, result.status, result.blobs_moved)
            (True, 'copied', 2)
        """
        plan = self.plan(
            source, target, referrers=referrers, move=move, create_repository=create_repository, reader=reader
        )
        report = self.apply(plan, on_progress=on_progress, reader=reader, uploads=uploads)
        return report.results[0]

    def copy_many(
        self,
        pairs: Iterable[CopyPair],
        *,
        referrers: bool = True,
        move: bool = False,
        create_repository: bool = False,
        reader: Source | None = None,
        keep_going: bool = True,
        on_progress: OnProgress | None = None,
        uploads: MutableMapping[str, str] | None = None,
    ) -> CopyReport:
        """Copy many images, such as the pairs of a `replication.RepushPlan`, and return what became of each.

        That is `apply` of `plan_many`, except that a fault of one image does not keep the others from being copied,
        unless `keep_going` is False.
        """
        listed = list(pairs)
        if not keep_going:
            plan = self.plan_many(
                listed, referrers=referrers, move=move, create_repository=create_repository, reader=reader
            )
            return self.apply(plan, on_progress=on_progress, reader=reader, uploads=uploads)

        def one(number: int) -> CopyItem | EcrkitError:
            try:
                return self.plan(
                    *listed[number], referrers=referrers, move=move, create_repository=create_repository, reader=reader
                ).items[0]
            except EcrkitError as fault:
                return fault

        found = dict(self.fan_out.each(one, range(len(listed))))
        items = {n: item for n in range(len(listed)) if isinstance(item := found[n], CopyItem)}
        done = iter(
            self.apply(
                CopyPlan(items=items.values()), keep_going=True, on_progress=on_progress, reader=reader, uploads=uploads
            ).results
        )
        results: list[CopyResult] = []
        for number, (source, target) in enumerate(listed):
            answer = found[number]
            if isinstance(answer, EcrkitError):
                results.append(_unplanned(source, target, answer))
            else:
                results.append(next(done))
        return CopyReport(results=results)

    def _carry(
        self,
        pairs: list[tuple[CopyItem, Ends]],
        *,
        uploads: MutableMapping[str, str] | None,
        total: int,
        keep_going: bool = False,
        on_progress: OnProgress | None = None,
        before_tag: BeforeTag | None = None,
    ) -> Iterator[CopyResult]:
        means = Means(
            fan_out=self.fan_out,
            clock=self.clock,
            locks=self._locks,
            uploads={} if uploads is None else uploads,
            keep_going=keep_going,
            before_tag=before_tag,
        )
        return carry_out(pairs, means, total=total, on_progress=on_progress)

    # ---- who is who

    def _gateway(self, host: RegistryHost | None) -> Gateway:
        if host is None:
            return self.own
        if host.account is None or host.region is None:
            message = "an image of ECR Public is reached by the registry protocol, and only as a source"
            raise InvalidInput.single("no registry", str(host), message)
        found = self.registries(host.account, host.region)
        if found is None:
            raise InvalidInput.single("no registry", str(host), "nothing reaches that account and Region")
        return found

    def _digest(self, gateway: Source, repository: str, image: ImageRef | UpstreamRef) -> str:
        if image.digest is not None:
            return str(image.digest)
        name = str(image.tag or "latest")
        found = gateway.digest_of(repository, name)
        if found is None:
            raise NotFound(
                f"{repository} has no tag {name}",
                operation="resolve",
                code="ImageNotFoundException",
                resource=f"{repository}:{name}",
            )
        return found

    def _source_digest(self, pair: _Pair) -> str:
        digest = self._digest(pair.ends.source, pair.ends.source_repository, pair.reference)
        if pair.wanted is not None and pair.wanted != digest:
            raise InvalidInput.single("not copied", "target", f"names {pair.wanted}, the source is {digest}")
        return digest

    def _pair(self, source: SourceLike, target: ImageRefLike, reader: Source | None) -> _Pair:
        reference = parse_source(source)
        goal = target if isinstance(target, ImageRef) else ImageRef.parse(target)
        reads: Source
        if reader is not None:
            reads = reader
        elif isinstance(reference, ImageRef):
            reads = self._gateway(reference.registry)
        elif self.upstream is not None:
            reads = self.upstream(reference.host)
        else:
            message = f"nothing reads {reference.host} here; pass a reader, such as aws.oci_source.OciSource"
            raise InvalidInput.single("not copied", "source", message)
        named_by_tag = None if reference.digest is not None else str(reference.tag or "latest")
        tag = goal.tag
        if tag is None and goal.digest is None and reference.tag is not None:
            tag = checked_tag(reference.tag)
        elif tag is None and goal.digest is None and named_by_tag is not None:
            tag = checked_tag(named_by_tag)
        return _Pair(
            ends=Ends(
                source=reads,
                source_repository=str(reference.repository),
                source_tag=named_by_tag,
                target=self._gateway(goal.registry),
                target_repository=str(goal.repository),
            ),
            reference=reference,
            source=str(reference),
            target=str(attrs.evolve(goal, tag=tag, form="uri")),
            place=place_of(goal),
            tag=None if tag is None else str(tag),
            wanted=None if goal.digest is None else str(goal.digest),
        )


@attrs.frozen(kw_only=True)
class _Pair:
    ends: Ends
    reference: ImageRef | UpstreamRef
    source: str
    target: str
    place: str
    tag: str | None
    wanted: str | None


def place_of(image: ImageRef) -> str:
    """Return the repository of a reference, with its registry where it names one."""
    return str(image.repository) if image.registry is None else f"{image.registry}/{image.repository}"


def _unplanned(source: SourceLike, target: ImageRefLike, fault: EcrkitError) -> CopyResult:
    return CopyResult(
        source=str(source), target=str(target), digest="", tag=None, status="failed", fault=str(fault), error=fault
    )


def _no_image(repository: str, digest: str) -> NotFound:
    return NotFound(
        f"{repository} has no image {digest} that can be read",
        operation="BatchGetImage",
        code="ImageNotFound",
        resource=f"{repository}@{digest}",
    )
