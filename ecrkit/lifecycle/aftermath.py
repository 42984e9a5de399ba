"""What a policy really did, against what the dry run said: read from CloudTrail and from ECR's deletion events."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Final

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table, text_table
from ecrkit._internal.times import require_aware
from ecrkit.events import Event, ImageAction, LifecycleExecution, dedupe, in_order
from ecrkit.lifecycle.plan import Plan
from ecrkit.lifecycle.run import Run

__all__ = ["Aftermath", "Removal", "Stuck", "aftermath"]

_WITHIN: Final = dt.timedelta(hours=24)
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_INDEX_TRAP: Final = "ImageReferencedByManifestList"


@attrs.frozen(kw_only=True)
class Removal(Record):
    """One image that went. `rule` is None when only a deletion event told of it, which names nobody."""

    digest: str
    action: str
    at: dt.datetime
    tags: tuple[str, ...] = ()
    rule: int | None = None
    by_policy: bool | None = None


@attrs.frozen(kw_only=True)
class Stuck(Record):
    """One image that the policy could not take, and the way out."""

    digest: str
    tags: tuple[str, ...]
    rule: int | None
    code: str
    reason: str
    holders: tuple[str, ...]
    way_out: str


@attrs.frozen(kw_only=True, repr=False)
class Aftermath(Record):
    """What went and what did not, of one repository.

    `done` went as foreseen. `otherwise` was foreseen and went in another way, such as by another rule. `unforeseen`
    went and was not foreseen: by the policy, by somebody, or (`by_policy` None) by nobody knows whom. `outstanding` was
    foreseen and has not gone; `overdue` says that 24 hours have passed since.
    `runs` counts the runs that CloudTrail told of, however many records each has: without one, nobody can say what the
    policy did.
    """

    repository: str
    since: dt.datetime
    until: dt.datetime
    runs: int
    done: tuple[Removal, ...]
    otherwise: tuple[Removal, ...]
    unforeseen: tuple[Removal, ...]
    outstanding: tuple[str, ...]
    stuck: tuple[Stuck, ...]
    overdue: bool

    @property
    def as_foreseen(self) -> bool:
        """Whether all that was foreseen went, that way, and nothing else did."""
        return not (self.otherwise or self.unforeseen or self.outstanding)

    def explain(self) -> str:
        """Return what happened in a few sentences."""
        told = [f"{self.repository}: {counted(len(self.done), 'image')} went as foreseen."]
        if self.otherwise:
            told.append(f"{counted(len(self.otherwise), 'image')} went otherwise, first {self.otherwise[0].digest}.")
        if self.unforeseen:
            first = self.unforeseen[0]
            whom = {True: "by the policy", False: "not by the policy", None: "nobody said by whom"}[first.by_policy]
            told.append(
                f"{counted(len(self.unforeseen), 'image')} went unforeseen, first {first.digest} ({whom})."
            )  # fmt: skip
        if self.outstanding:
            late = "; they are overdue" if self.overdue else "; ECR takes up to 24 hours"
            told.append(f"{counted(len(self.outstanding), 'image')} did not go yet{late}.")
        told += [f"{item.digest} is stuck: {item.way_out}" for item in self.stuck[:3]]
        if not self.runs:
            told.append("CloudTrail told of no run, so what the policy did is not known.")
        return " ".join(told)

    def to_text(self) -> str:
        """Return the explanation, and a table of what went otherwise or unforeseen, or is stuck."""
        rows: list[tuple[object, ...]] = [
            (kind, r.action, r.rule, ",".join(r.tags) or "-", r.digest[:19])
            for kind, removals in (("otherwise", self.otherwise), ("unforeseen", self.unforeseen))
            for r in removals
        ]
        rows += [("stuck", s.code, s.rule, ",".join(s.tags) or "-", s.digest[:19]) for s in self.stuck]
        table = text_table(("what", "action", "rule", "tags", "digest"), rows)
        return f"{self.explain()}\n{table}" if rows else self.explain()

    def _repr_html_(self) -> str:
        rows = [(r.action, r.rule, ", ".join(r.tags), r.digest[:19], r.by_policy) for r in self.unforeseen]
        return html_table(("unforeseen", "rule", "tags", "digest", "by the policy"), rows, caption=self.explain())

    @override
    def __repr__(self) -> str:
        return f"<Aftermath {self.explain()}>"


def aftermath(
    foreseen: Plan | Run, events: Iterable[Event], *, since: dt.datetime, now: dt.datetime, runs_only: bool = False
) -> Aftermath:
    """Return what became of the images that a plan or a dry run said would go.

    Reads `LifecycleExecution` records of CloudTrail, and `ImageAction` and `ReferrerAction` events of EventBridge; both
    are needed to tell the policy's removals from somebody's. Referrers that follow their subject show as deletions
    only. Duplicates, disorder, previews, other repositories and events before `since` do not matter.

    Args:
        foreseen: of one repository.
        events: as `ecrkit.events.read_events` gives them.
        since: when the policy was put.
        now: until when the events were read; what has not gone by then is outstanding.
        runs_only: there are no deletion events, only CloudTrail: then nothing is said of other people's deletions.

    Example:
        >>> from ecrkit.images import Inventory
        >>> from ecrkit.lifecycle import build, keep_last, simulate
        >>> images = [{"imageDigest": "sha256:" + c * 64, "imagePushedAt": 1767225600 + n} for n, c in enumerate("ab")]
        >>> at = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
        >>> run = simulate(build(keep_last(1)), Inventory.from_api(images, repository="team/app"), now=at)
        >>> print(aftermath(run, [], since=at, now=at + dt.timedelta(hours=30)).explain())
        team/app: 0 images went as foreseen. 1 image did not go yet; they are overdue. CloudTrail told of no run, so \
what the policy did is not known.
    """
    since, now = require_aware(since, "since"), require_aware(now, "now")
    repository, wanted, rules = _foreseen(foreseen)
    told = [
        e for e in in_order(dedupe(events)) if since <= e.at <= now and getattr(e, "repository", None) == repository
    ]
    executions = [e for e in told if isinstance(e, LifecycleExecution) and not e.dry_run]
    removals = _removals(executions, told, runs_only)
    done, otherwise, unforeseen = [], [], []
    for removal in removals.values():
        if removal.digest not in wanted:
            unforeseen.append(removal)
        elif removal.action != wanted[removal.digest] or _other_rule(removal, rules):
            otherwise.append(removal)
        else:
            done.append(removal)
    outstanding = tuple(sorted(wanted.keys() - removals.keys()))
    return Aftermath(
        repository=repository, since=since, until=now, runs=len({run.at for run in executions}), done=tuple(done),
        otherwise=tuple(otherwise), unforeseen=tuple(unforeseen), outstanding=outstanding,
        stuck=_stuck(executions, removals), overdue=bool(outstanding) and now - since > _WITHIN,
    )  # fmt: skip


def _foreseen(foreseen: Plan | Run) -> tuple[str, dict[str, str], dict[str, int | None]]:
    """Return the repository, what goes and how, and by which rule as far as that is known."""
    if isinstance(foreseen, Plan):
        return foreseen.repository, dict(foreseen.actions), {}
    going = (*foreseen.expired, *foreseen.transitioned, *foreseen.cascaded)
    outcomes = [foreseen.outcome(digest) for digest in going]
    rules = {o.digest: o.rule_priority for o in outcomes if o.reason != "follows-subject"}
    return foreseen.inventory.repository, {o.digest: o.action for o in outcomes}, rules


def _other_rule(removal: Removal, rules: Mapping[str, int | None]) -> bool:
    return removal.rule is not None and rules.get(removal.digest, removal.rule) != removal.rule


def _removals(executions: Iterable[LifecycleExecution], told: Iterable[Event], runs_only: bool) -> dict[str, Removal]:
    found: dict[str, Removal] = {}
    for run in executions:
        for taken in run.actions:
            found[taken.digest] = Removal(
                digest=taken.digest, action=taken.action or "expire", at=run.at, tags=taken.tags,
                rule=taken.rule_priority, by_policy=True,
            )  # fmt: skip
    if runs_only:
        return found
    for event in told:
        if not isinstance(event, ImageAction) or not event.succeeded:
            continue
        action = _action_of(event)
        known = found.get(event.digest)
        # What is archived can still be deleted, by whomever; what is deleted stays so.
        if action is not None and (known is None or (action == "expire" and known.action != "expire")):
            found[event.digest] = Removal(
                digest=event.digest, action=action, at=event.at, tags=(event.tag,) if event.tag else (),
            )  # fmt: skip
    return found


def _action_of(event: ImageAction) -> str | None:
    if event.action == "DELETE":
        return "expire"
    archived = event.action == "UPDATE_STORAGE_CLASS" and (event.target_storage_class or "").upper() == "ARCHIVE"
    return "transition" if archived else None


def _stuck(executions: Iterable[LifecycleExecution], removals: Mapping[str, Removal]) -> tuple[Stuck, ...]:
    found: dict[str, Stuck] = {}
    for run in executions:
        for failure in run.failures:
            holders = tuple(dict.fromkeys(_DIGEST.findall(failure.reason)))
            found[failure.digest] = Stuck(
                digest=failure.digest, tags=failure.tags, rule=failure.rule_priority, code=failure.code,
                reason=failure.reason, holders=holders, way_out=_way_out(failure.code, holders),
            )  # fmt: skip
    return tuple(stuck for digest, stuck in found.items() if digest not in removals)


def _way_out(code: str, holders: tuple[str, ...]) -> str:
    if code != _INDEX_TRAP:
        return f"ECR gave the code {code} and no more; look the image up and try to delete it by its digest"
    names = ", ".join(holders) or "an index that ECR did not name"
    return (
        f"{names} holds it; give that index a rule that takes it, or delete it first: its children go with the next "
        "run when a rule selects them"
    )
