"""Rules planned against those that are there, then applied step by step; what moved meanwhile stops everything."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, Protocol

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record, canonical_json
from ecrkit.errors import InvalidPolicy, PlanOutdated
from ecrkit.pull_through.rules import PullThroughRule, check_rules
from ecrkit.records import CreationTemplate

__all__ = ["CacheStep", "PullThroughPlan", "PullThroughStore", "apply", "plan"]

_OCCASION: Final = "PULL_THROUGH_CACHE"
StepKind = Literal[
    "create template", "update template", "create rule", "update rule", "replace rule", "delete rule", "delete template"
]


class PullThroughStore(Protocol):
    """Reads and writes the rules and creation templates of a registry."""

    def pull_through_rules(self) -> Iterable[PullThroughRule]:
        """Return every rule (DescribePullThroughCacheRules)."""
        ...

    def create_pull_through_rule(self, rule: PullThroughRule) -> PullThroughRule:
        """Create a rule (CreatePullThroughCacheRule)."""
        ...

    def update_pull_through_rule(self, rule: PullThroughRule) -> PullThroughRule:
        """Change the credentials of a rule (UpdatePullThroughCacheRule)."""
        ...

    def delete_pull_through_rule(self, prefix: str) -> PullThroughRule | None:
        """Delete a rule; the repositories that it made stay (DeletePullThroughCacheRule)."""
        ...

    def creation_templates(self) -> Iterable[CreationTemplate]:
        """Return every repository creation template."""
        ...

    def create_creation_template(self, template: CreationTemplate) -> CreationTemplate:
        """Create a template."""
        ...

    def update_creation_template(self, template: CreationTemplate) -> CreationTemplate:
        """Change a template."""
        ...

    def delete_creation_template(self, prefix: str) -> CreationTemplate | None:
        """Delete a template."""
        ...


@attrs.frozen(kw_only=True)
class CacheStep(Record):
    """One call of the plan; `before` and `after` are the rule or template, None where there is none."""

    kind: StepKind
    prefix: str
    before: PullThroughRule | CreationTemplate | None = None
    after: PullThroughRule | CreationTemplate | None = None

    @override
    def __str__(self) -> str:
        if self.kind in ("create rule", "delete rule", "replace rule", "update rule"):
            shown = self.after or self.before
            more = f" (was {self.before})" if self.kind == "replace rule" else ""
            return f"{self.kind} {shown}{more}"
        return f"{self.kind} {self.prefix}"


@attrs.frozen(kw_only=True)
class PullThroughPlan(Record):
    """What would change, in the order in which it is done; `warnings` name what the rules do not do."""

    steps: tuple[CacheStep, ...]
    seen: str = attrs.field(repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def needed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.steps)

    def explain(self) -> str:
        """Return the plan in words."""
        return "\n".join(
            [
                *(map(str, self.steps) if self.steps else ["nothing to change"]),
                *(f"warning: {w}" for w in self.warnings),
            ]
        )


def _seen(rules: Iterable[PullThroughRule], templates: Iterable[CreationTemplate]) -> str:
    shown = [{**r.to_dict(), "created_at": None, "updated_at": None, "upstream_name": None} for r in rules]
    return canonical_json({
        "rules": sorted(shown, key=lambda r: str(r["prefix"])),
        "templates": sorted((t.to_dict() for t in templates), key=lambda t: str(t["prefix"])),
    })  # fmt: skip


def plan(
    store: PullThroughStore,
    wanted: Iterable[PullThroughRule],
    *,
    templates: Iterable[CreationTemplate] = (),
    keep_others: bool = True,
    account: str | None = None,
    region: str | None = None,
) -> PullThroughPlan:
    """Return what makes the registry have these rules and creation templates. Reads, and writes nothing.

    A rule whose upstream or prefix there changes is deleted and made again; repositories and images stay.

    Args:
        store: such as `registry.gateway`.
        wanted: the rules that should be there.
        templates: the creation templates that should be there; others are never deleted.
        keep_others: leave rules that are not wanted; False deletes them.
        account: of the registry, to check secrets and roles against.
        region: likewise.

    Raises:
        InvalidPolicy: a rule is one that ECR would refuse, or by which each pull would fail; `problems` has them all.
    """
    rules, shapes = tuple(wanted), tuple(templates)
    live, there = tuple(store.pull_through_rules()), tuple(store.creation_templates())
    by_local = {rule.local: rule for rule in live}
    names = {rule.local for rule in rules}
    kept = [rule for rule in live if rule.local not in names] if keep_others else []
    problems = check_rules([*rules], account=account, region=region)
    problems += tuple(p for p in check_rules([*rules, *kept]) if p.path == "$" and p not in problems)
    if problems:
        raise InvalidPolicy("no pull-through cache rules", problems)
    steps = _template_steps(shapes, there)
    steps += [step for rule in rules if (step := _rule_step(rule, by_local.get(rule.local))) is not None]
    if not keep_others:
        gone = [rule for rule in live if rule.local not in names]
        steps += [CacheStep(kind="delete rule", prefix=rule.prefix, before=rule) for rule in gone]
    merged = {t.prefix: t for t in (*there, *shapes)}.values()
    return PullThroughPlan(
        steps=tuple(steps), seen=_seen(live, there), warnings=tuple(_warnings(rules, tuple(merged)))
    )  # fmt: skip


def _rule_step(rule: PullThroughRule, live: PullThroughRule | None) -> CacheStep | None:
    if live is None:
        return CacheStep(kind="create rule", prefix=rule.prefix, after=rule)
    if not rule.same_target(live):
        return CacheStep(kind="replace rule", prefix=live.prefix, before=live, after=rule)
    if (rule.credential_arn, rule.custom_role_arn) == (live.credential_arn, live.custom_role_arn):
        return None
    # An update only sets; taking credentials away needs a new rule.
    lost = (live.credential_arn and not rule.credential_arn) or (live.custom_role_arn and not rule.custom_role_arn)
    return CacheStep(kind="replace rule" if lost else "update rule", prefix=live.prefix, before=live, after=rule)


def _template_steps(wanted: tuple[CreationTemplate, ...], there: tuple[CreationTemplate, ...]) -> list[CacheStep]:
    known = {t.prefix: t for t in there}
    steps: list[CacheStep] = []
    for template in wanted:
        live = known.get(template.prefix)
        if live is None:
            steps.append(CacheStep(kind="create template", prefix=template.prefix, after=template))
        elif _changes(template, live):
            steps.append(CacheStep(kind="update template", prefix=template.prefix, before=live, after=template))
    return steps


def _changes(wanted: CreationTemplate, live: CreationTemplate) -> bool:
    """Return whether a member that is set differs; what an update does not set stays as it is."""
    new, old = wanted.to_dict(), live.to_dict()
    return any(value not in (None, "", [], {}) and value != old.get(name) for name, value in new.items())


def _warnings(rules: tuple[PullThroughRule, ...], templates: tuple[CreationTemplate, ...]) -> Iterable[str]:
    for rule in rules:
        fitting = [
            t for t in templates if _OCCASION in t.applied_for and (t.prefix == "ROOT" or t.fits(f"{rule.local}x"))
        ]
        best = max(fitting, key=lambda t: t.rank, default=None)
        if best is None:
            yield f"{rule.prefix}: no creation template is for it: repositories get default settings and no policies"
            continue
        if best.tag_mutability == "IMMUTABLE":
            yield f"{rule.prefix}: template {best.prefix} makes tags immutable: a tag that moves upstream cannot follow"
        if best.lifecycle_policy is None:
            yield f"{rule.prefix}: template {best.prefix} has no lifecycle policy: cached images stay for ever"


def apply(store: PullThroughStore, made: PullThroughPlan) -> tuple[CacheStep, ...]:
    """Do the steps of a plan and return them, after checking that the rules and templates are as they were then.

    Templates come before the rules that use them. A rule that is replaced is gone for a moment; if it cannot be made
    again, the former one is put back before the error is passed on.

    Raises:
        PlanOutdated: rules or templates changed since. Nothing was done.
        AwsCallFailed: a step failed; those before it are done.
    """
    if not made.steps:
        return ()
    now = _seen(store.pull_through_rules(), store.creation_templates())
    if now != made.seen:
        message = "the rules or creation templates changed since the plan was made; nothing was done"
        raise PlanOutdated(message, changes=[now])
    for step in made.steps:
        _do(store, step)
    return made.steps


def _do(store: PullThroughStore, step: CacheStep) -> None:
    if isinstance(step.after, CreationTemplate):
        if step.kind == "create template":
            store.create_creation_template(step.after)
        else:
            store.update_creation_template(step.after)
    elif step.kind == "delete rule":
        store.delete_pull_through_rule(step.prefix)
    elif isinstance(step.after, PullThroughRule):
        if step.kind == "update rule":
            store.update_pull_through_rule(attrs.evolve(step.after, prefix=step.prefix))
            return
        if step.kind == "replace rule":
            store.delete_pull_through_rule(step.prefix)
        try:
            store.create_pull_through_rule(step.after)
        except BaseException:
            if isinstance(step.before, PullThroughRule):
                store.create_pull_through_rule(step.before)
            raise
