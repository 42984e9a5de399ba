"""ECR's own preview: waiting for it as a pure step, and comparing it with a dry run."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit.lifecycle.run import Run
from ecrkit.records import LifecyclePreview, PreviewResult

__all__ = ["Comparison", "Difference", "WaitState", "compare", "step"]

POLL_SECONDS: Final = 5.0
_NEAR: Final = dt.timedelta(hours=24)


@attrs.frozen(kw_only=True)
class WaitState(Record):
    """Where waiting for a preview stands: `waiting`, `complete`, `failed`, `expired`, `other` or `deadline`.

    `other` means that the preview that was read is of another policy than the one that was asked for.
    """

    deadline: dt.datetime
    policy_text: str | None = None
    state: Literal["waiting", "complete", "failed", "expired", "other", "deadline"] = "waiting"
    attempts: int = 0
    status: str = ""

    @property
    def done(self) -> bool:
        """Whether waiting is over."""
        return self.state != "waiting"


def step(state: WaitState, seen: LifecyclePreview, now: dt.datetime) -> WaitState:
    """Return the next state after one observation. Statuses that nobody knows count as not finished.

    Source: ECR API reference, GetLifecyclePolicyPreview. ECR's own waiter does not know EXPIRED and waits on.
    """
    ends: dict[str, Literal["complete", "failed", "expired"]] = {
        "COMPLETE": "complete", "FAILED": "failed", "EXPIRED": "expired",
    }  # fmt: skip
    state = attrs.evolve(state, attempts=state.attempts + 1, status=seen.status)
    if state.policy_text is not None and not _same_policy(state.policy_text, seen.policy_text):
        return attrs.evolve(state, state="other")
    if seen.status in ends:
        return attrs.evolve(state, state=ends[seen.status])
    return attrs.evolve(state, state="deadline") if now >= state.deadline else state


def _same_policy(one: str, two: str) -> bool:
    from ecrkit.lifecycle.policy import LifecyclePolicy, LifecyclePolicyError

    if one == two:
        return True
    try:
        return LifecyclePolicy.parse(one) == LifecyclePolicy.parse(two)
    except LifecyclePolicyError:
        return False


@attrs.frozen(kw_only=True)
class Difference(Record):
    """One image on which ECR's preview and the dry run differ, and the likely cause."""

    digest: str
    preview: str
    dry_run: str
    cause: str

    @override
    def __str__(self) -> str:
        return f"{self.digest}: the preview says {self.preview}, the dry run {self.dry_run}; {self.cause}"


@attrs.frozen(kw_only=True)
class Comparison(Record):
    """Every difference between a preview and a dry run; `notes` says what concerns the preview as a whole."""

    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether the preview was complete and says the same of every image."""
        return not self.differences and not self.notes


def _tell(action: str, rule: int | None) -> str:
    return f"{action} by rule {rule}" if action != "keep" else "keep"


def compare(preview: LifecyclePreview, run: Run) -> Comparison:
    """Return every image on which the preview and the run differ.

    Referrers that follow their subject are no difference: no rule acts on them, so a preview need not list them. A
    blocked image is one when the preview lists it: whether previews list such images is not documented.
    """
    notes: list[str] = []
    if preview.status != "COMPLETE":
        notes.append(f"the preview is {preview.status}, not COMPLETE; what it lists is not the whole answer")
    if preview.policy_text and not _same_policy(preview.policy_text, run.policy.to_json()):
        notes.append("the preview is of another policy")
    listed = {result.digest: result for result in preview.results}
    expiring = sum(result.action == "EXPIRE" for result in preview.results)
    if preview.expiring_count is not None and preview.expiring_count != expiring:
        notes.append(
            f"the preview counts {counted(preview.expiring_count, 'expiring image')} and lists {expiring}; pages are "
            "missing"
        )
    ours = {digest: run.outcome(digest) for digest in (*run.expired, *run.transitioned)}
    differences: list[Difference] = []
    for digest in sorted({*listed, *ours}):
        theirs = listed.get(digest)
        said = "keep" if theirs is None else _tell(theirs.action.lower(), theirs.rule_priority)
        found = ours.get(digest)
        mine = "keep" if found is None else _tell(found.action, found.rule_priority)
        if said != mine:
            if found is None and digest in run.cascaded:
                mine = "follows its subject"
            differences.append(Difference(digest=digest, preview=said, dry_run=mine, cause=_cause(digest, theirs, run)))
    return Comparison(differences=tuple(differences), notes=tuple(notes))


def _cause(digest: str, theirs: PreviewResult | None, run: Run) -> str:
    if digest not in run.inventory:
        return "the inventory does not hold the image: it was pushed or archived since, or the listing left it out"
    outcome = run.outcome(digest)
    if outcome.reason == "blocked-by-index":
        return f"index {outcome.blocked_by[0]} holds it; ECR finds that out when it runs, not in the preview"
    if outcome.age is not None and outcome.threshold is not None and abs(outcome.age - outcome.threshold) <= _NEAR:
        return "its age is within 24 hours of the limit; how ECR rounds days is not documented"
    if not outcome.certain:
        return "the outcome rests on facts that are not known, such as the children of an index that was not read"
    if run.inventory.parents_of(digest):
        return "it is the child of an index; whether previews count and list children is not documented"
    if outcome.rank is not None and any(text.startswith(f"rule {outcome.rule_priority}:") for text in run.warnings):
        return "images at the edge of the count were pushed at the same time; ECR may break the tie the other way"
    if theirs is not None and theirs.rule_priority not in {rule.priority for rule in run.policy}:
        return "the preview names a rule that the policy does not have: it is of another policy"
    return "not known; the repository may have changed between the two, so read the inventory again"
