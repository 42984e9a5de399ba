"""The promotion service: tags and copies, and promotions with gates, records and rollbacks over them."""

from __future__ import annotations

from collections.abc import MutableMapping

import attrs

from ecrkit.errors import PlanOutdated, PlanRefused
from ecrkit.ports import OnProgress
from ecrkit.promotion.copies import CopyService, place_of
from ecrkit.promotion.copying import Ends
from ecrkit.promotion.graph import Piece, parsed
from ecrkit.promotion.model import (
    GateAnswer,
    Promotion,
    PromotionPlan,
    PromotionRecord,
    RollbackPlan,
    ask_gates,
)
from ecrkit.promotion.plan import CopyItem
from ecrkit.promotion.promoting import plan_rollback, read_manifest, records_of, write_record
from ecrkit.promotion.references import ImageRefLike
from ecrkit.promotion.sources import Source
from ecrkit.promotion.tagging import put_piece, set_tag
from ecrkit.records import RawManifest
from ecrkit.refs import ImageRef

__all__ = ["PromotionService"]


@attrs.frozen
class PromotionService(CopyService):
    """Moves images without changing them: every digest in the target is the source's.

    `registries` gives the gateway to an account's registry in a Region; the caller supplies it, since another account
    may need other credentials. `upstream` gives what reads a registry that is not private ECR, by its host.
    """

    def plan_promotion(self, promotion: Promotion, *, reader: Source | None = None) -> PromotionPlan:
        """Return what a promotion would move and what its gates say now; nothing is changed.

        Raises:
            NotFound: the source has no such image.
            InvalidInput: a reference is wrong.
        """
        copy = self.plan(
            promotion.source, promotion.target, referrers=promotion.referrers, move=promotion.move,
            create_repository=promotion.create_repository, reader=reader,
        )  # fmt: skip
        item = copy.items[0]
        repository = self._pair(promotion.source, promotion.target, reader).ends.source_repository
        return PromotionPlan(
            source=item.source,
            target=item.target,
            digest=item.digest,
            answers=ask_gates(promotion, item.digest, repository=repository),
            copy=copy,
        )

    def promote(
        self,
        promotion: Promotion,
        *,
        plan: PromotionPlan | None = None,
        record_in_registry: bool = False,
        reader: Source | None = None,
        on_progress: OnProgress | None = None,
        uploads: MutableMapping[str, str] | None = None,
    ) -> PromotionRecord:
        """Promote an image when every gate says yes, and return the record of it: keep it.

        The gates are asked about the digest that is promoted, right before, whatever a plan said of them. Within one
        repository only a tag is given; else the image is copied with all that belongs to it. Promoting what is there
        already writes no second record.

        Args:
            promotion: what, where to, through which gates, by whom and why.
            plan: of `plan_promotion`, when one was looked at: another digest, or another image under the target's
                tag than it says, makes it outdated.
            record_in_registry: write the record next to the image too, as a referrer, before the tag is set.
            reader: as in `plan`.
            on_progress: as in `apply`.
            uploads: as in `apply`.

        Raises:
            GateRefused: a gate says no, or cannot tell; `verdict` holds every answer.
            PlanOutdated: the source or the target has changed since the plan was made.
            TagTaken: the target's tag names another image, and `move` was not asked for.

        Example:
            >>> from ecrkit import Registry
            >>> from ecrkit.local.images import filler, image, push
            >>> with Registry.local() as registry:
            ...     made = registry.gateway.create_repository("app")
            ...     digest = push(image([filler(4096)]), registry.client, "app", "v1")
            ...     record = registry.promotion.promote(Promotion(
            ...         source="app:v1", target="app:prod", who="dana", why="release 7",
            ...         gates={"approval": lambda candidate: True}))
            >>> record.status, record.tag, record.former
            ('promoted', 'prod', None)
        """
        now = self.plan_promotion(promotion, reader=reader)
        if plan is not None:
            pairs = (("digest", plan.digest, now.digest), ("tag in the target", plan.former, now.former))
            changes = [
                f"the {what} was {old or 'absent'}, is {new or 'absent'}" for what, old, new in pairs if old != new
            ]
            if changes:
                raise PlanOutdated(f"{promotion.source} was not promoted: {'; '.join(changes)}", changes=changes)
        now.require()
        item = now.copy.items[0]
        record = PromotionRecord(
            source=item.source, target=item.target, digest=item.digest, tag=item.tag,
            former=item.former if item.former != item.digest else None, who=promotion.who, why=promotion.why,
            at=self.clock.now(), status="present" if item.nothing_to_do else "promoted", gates=now.answers,
        )  # fmt: skip
        kept = [record]

        def write(done: CopyItem, ends: Ends) -> None:
            root = next(piece for piece in done.graph.pieces if piece.digest == done.digest)
            subject = RawManifest(digest=root.digest, media_type=root.media_type, text=root.text)
            kept[0] = write_record(record, ends.target, ends.target_repository, subject=subject, clock=self.clock)

        wanted = record_in_registry and not item.nothing_to_do
        ends = self._pair(promotion.source, promotion.target, reader).ends
        done = next(
            self._carry(
                [(item, ends)], uploads=uploads, total=item.bytes_to_move, on_progress=on_progress,
                before_tag=write if wanted else None,
            )
        )  # fmt: skip
        return attrs.evolve(kept[0], bytes_moved=done.bytes_moved)

    def history(self, ref: ImageRefLike) -> tuple[PromotionRecord, ...]:
        """Return the promotion records that are kept next to an image, oldest first.

        Calls: one to find the digest of a tag, and one for each 50 referrers.

        Raises:
            NotFound: no such repository or image.
        """
        image = ref if isinstance(ref, ImageRef) else ImageRef.parse(ref)
        gateway, repository = self._gateway(image.registry), str(image.repository)
        return records_of(gateway, repository, self._digest(gateway, repository, image))

    def plan_rollback(self, record: PromotionRecord) -> RollbackPlan:
        """Return what going back to the image before a promotion would do.

        Raises:
            PlanRefused: the promotion moved no tag, so there is nothing to go back to.
            PlanOutdated: the tag names something else now than was promoted.
        """
        return plan_rollback(record, lambda ref: self._gateway(ref.registry))

    def roll_back(
        self, record: PromotionRecord, *, who: str, why: str, record_in_registry: bool = False
    ) -> PromotionRecord:
        """Let the tag of a promotion name the image that it named before, and return the record of that.

        Only a tag that still names what was promoted is moved. No gate is asked: the image ran there before.

        Raises:
            PlanRefused: there is nothing to go back to, the former image has gone or is archived, or the tag is
                immutable.
            PlanOutdated: the tag names something else now.
            TagTaken: somebody moved the tag meanwhile.
            InvalidInput: who or why is empty.
        """
        Promotion(source=record.target, target=record.target, who=who, why=why)  # checks both texts
        plan = self.plan_rollback(record)
        if plan.obstacles:
            raise PlanRefused(f"{plan.target} is not rolled back: {plan.obstacles[0]}", conflicts=plan.obstacles)
        image = ImageRef.parse(plan.target)
        gateway, repository = self._gateway(image.registry), str(image.repository)
        raw = read_manifest(gateway, repository, plan.to)
        made = PromotionRecord(
            source=str(image.pinned(plan.to)), target=plan.target, digest=plan.to, tag=plan.tag, former=plan.digest,
            who=who, why=why, at=self.clock.now(), status="rolled back",
            gates=(GateAnswer(gate="rollback", outcome="pass", reasons=["it ran there before"]),),
        )  # fmt: skip
        if record_in_registry and gateway.digest_of(repository, plan.tag) != plan.to:
            made = write_record(made, gateway, repository, subject=raw, clock=self.clock)
        found = parsed(raw)
        piece = Piece(
            digest=plan.to, media_type=raw.media_type or found.media_type, role="image", length=found.length,
            text=raw.text,
        )  # fmt: skip
        with self._locks.of(place_of(image), plan.tag):
            set_tag(
                gateway, repository, piece, plan.tag, move=True, former=plan.digest,
                put=lambda name: put_piece(gateway, repository, piece, name),
            )  # fmt: skip
        return made
