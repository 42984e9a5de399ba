"""Every sentence that people read: advice, reasons, refusals and exports, word for word.

The golden file is reviewed like prose. It also notices a changed operator in any of the sentences.
"""

import datetime as dt
import json
from pathlib import Path

import attrs

from ecrkit.errors import EcrkitError
from ecrkit.lifecycle import (
    LifecyclePolicy,
    LifecyclePolicyError,
    archive_unpulled,
    build,
    delete_archived,
    expire_older_than,
    expire_untagged,
    keep_last,
    lint,
    protect,
    simulate,
)
from ecrkit.lifecycle.plan import Plan
from ecrkit.lifecycle.preview import WaitState, compare, step
from ecrkit.records import LifecyclePreview, PreviewResult
from tests.unit.lifecycle.test_service import Fake

TESTS = Path(__file__).parents[2]
GOLDEN = TESTS / "golden" / "lifecycle" / "words.txt"
TEXTS = json.loads((TESTS / "vectors" / "lifecycle_validation.json").read_text(encoding="utf-8"))
VALID = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}
ODD_RULES = [
    {"rulePriority": 1, "selection": {**VALID, "tagstatus": "any", 5: 1, "x" * 99: 1}, "action": {"type": "expire"}},
    {"rulePriority": 1.5, "selection": {**VALID, "tagStatus": "ANY", "countNumber": 5.0}, "action": {"type": "EXPIRE"}},
    {"rulePriority": True, "selection": {**VALID, "tagStatus": None, "countNumber": "5"}, "action": {"type": "x" * 99}},
    {"rulePriority": None, "selection": [], "action": "expire"},
    {"rulePriority": 2, "selection": {"tagStatus": "tagged", "tagPrefixList": "dev", "tagPatternList": None}, "action": {}},
    {"rulePriority": 3, "selection": {**VALID, "tagStatus": "tagged", "tagPrefixList": ["", 5, "a", "a"]}, "action": {}},
    {"rulePriority": 4, "selection": {**VALID, "tagPatternList": ["*1*2*3*4*"]}, "action": {"type": "transition"}},
    {"rulePriority": 5, "selection": {**VALID, "countUnit": "days", "storageClass": "archive"}, "action": {"type": "expire"}},
    {"rulePriority": 6, "selection": {**VALID, "countType": "sinceImageTransitioned"}, "action": {"type": "transition"}},
    {"rulePriority": -1, "description": 5, "selection": {**VALID, "countUnit": "weeks"}, "action": {"type": 5}},
    {}, None, 5,
]  # fmt: skip


def problems_of(policy):
    try:
        parsed = LifecyclePolicy.parse(policy)
    except LifecyclePolicyError as refused:
        return [f"{p.path}: {p.message} [{p.quoted}]" for p in refused.problems]
    return [f"warning {w}" for w in parsed.warnings]


def repository(kit):
    d = kit.digest
    return [
        kit.image("rel-1", "rel-1", "stable", days=50, size=10),
        kit.image("rel-2", "rel-2", days=40, size=20),
        kit.image("rel-3", "rel-3", days=39, size=30),
        kit.image("dev-1", "dev-1", days=13.5, size=10),
        kit.image("dev-2", "dev-2", days=1, size=None),
        kit.image("many", "m1", "m2", "m3", "m4", days=20, size=5),
        kit.image("kid", days=30, size=1),
        kit.image("lost", days=29, size=1),
        kit.image("index", "multi", days=30, size=1, manifest_media_type=kit.index),
        kit.image("second", "multi2", days=30, size=1, manifest_media_type=kit.index),
        kit.image("opaque", "blind", days=30, size=1, manifest_media_type=kit.index),
        kit.image("sbom", days=9, size=1, subject_digest=d("rel-3")),
        kit.image("sig", "sig", days=40, size=1, subject_digest=d("rel-2")),
        kit.image("sigsig", "sigsig", days=40, size=1, subject_digest=d("sig")),
        kit.image("pulled", "old-1", days=200, size=1, last_pulled_at=kit.now - dt.timedelta(days=95)),
        kit.image("never", "old-2", days=200, size=1),
        kit.image("back", "old-3", days=200, size=1, last_activated_at=kit.now - dt.timedelta(days=100)),
        kit.image("cold", "c1", days=300, size=1, status="ARCHIVED", last_archived_at=kit.now - dt.timedelta(days=91)),
        kit.image("cool", "c2", days=300, size=1, status="ARCHIVED", last_archived_at=kit.now - dt.timedelta(days=90)),
        kit.image("timeless", "c3", days=300, size=1, status="ARCHIVED"),
        kit.image("warming", "c4", days=300, size=1, status="ACTIVATING"),
    ]


def runs(kit):
    d = kit.digest
    children = {d("index"): (d("kid"),), d("second"): (d("kid"),)}
    inventory = kit.inventory(repository(kit), children=children, repository="team/app")
    rule, now = kit.selection, kit.now
    tagged = {"tagPrefixList": ["rel-"]}
    expire = kit.policy(
        rule("tagged", 1, **tagged), rule("tagged", 14, kind="sinceImagePushed", tagPatternList=["dev-*"]),
        rule("tagged", 5, tagPrefixList=["dev-", "feature-"]), rule("tagged", 9, tagPrefixList=["rel-3"]),
        rule("untagged", 10, kind="sinceImagePushed"),
        rule("any", 91, kind="sinceImageTransitioned", storageClass="archive"),
    )  # fmt: skip
    yield "expire", simulate(expire, inventory, now=now)
    pulled = kit.policy(rule("tagged", 99, kind="sinceImagePulled", tagPrefixList=["old-"]), action="transition")
    yield "archive", simulate(pulled, inventory, now=now)
    yield "huge", simulate(kit.policy(rule("any", 99999999999, kind="sinceImagePushed")), inventory, now=now)
    one = kit.inventory([kit.image("a", "x", days=1), kit.image("b", "y", days=1)], repository="team/two")
    yield "tie", simulate(kit.policy(rule("any", 1)), one, now=now)
    shields = kit.policy(rule("tagged", 9, **tagged), rule("any", 30, kind="sinceImagePushed"))
    yield "shield", simulate(shields, inventory, now=now)
    yield "children", simulate(kit.policy(rule("any", 2)), inventory, now=now, count_children=False)


def told(run):
    yield repr(run)
    yield from (f"warning {text}" for text in run.warnings)
    yield from (f"advice {json.dumps(a.to_dict())} {a}" for a in lint(run))
    yield from (f"{json.dumps(o.to_dict())} {o}" for o in run.outcomes())
    yield run.to_text()
    yield run.to_text(limit=1)
    yield run.to_csv()
    yield run.to_json(indent=1)
    yield run._repr_html_()


def refused(make):
    try:
        return repr(make())
    except EcrkitError as fault:
        facts = {name: getattr(fault, name, None) for name in ("conflicts", "operation", "code", "resource", "last")}
        return f"{type(fault).__name__}: {fault} {facts}"


def plans(kit):
    found = dict(runs(kit))
    run, tie = found["expire"], found["tie"]
    for names in (
        [kit.digest("rel-1")],
        ["team/app:stable", "team/app:nope"],
        ["nope"],
        [5],
        ["other/app:x"],
        "stable",
    ):
        yield refused(lambda p=names: run.plan(protect=p, accept_uncertain=True))
    yield refused(run.plan)
    saved = tie.plan().to_dict()
    yield json.dumps(saved)
    for change in (
        {"format": 2}, {"repository": 5}, {"policy_text": None}, {"replaces": 5}, {"protected": "x"}, {"protect": [5]},
        {"accept_uncertain": 1}, {"count_children": None}, {"checks_replaced": "no"}, {"actions": []},
        {"actions": {"x": "keep"}}, {"made_at": "soon"}, {"more": 1}, {"policy_text": "{}"},
    ):  # fmt: skip
        yield refused(lambda c=change: Plan.from_dict({**saved, **c}))
    yield from (refused(lambda n=name: Plan.from_dict({k: v for k, v in saved.items() if k != n})) for name in saved)
    yield from (refused(lambda t=text: Plan.from_dict(t)) for text in ("", "[]", "5"))


def compared(kit):
    run = dict(runs(kit))["expire"]
    names = ("rel-1", "kid", "dev-1", "dev-2", "sig", "nowhere", "sbom")
    results = tuple(PreviewResult(digest=kit.digest(name), rule_priority=1) for name in names)
    for status, count in (("COMPLETE", 7), ("COMPLETE", 1), ("FAILED", None)):
        preview = LifecyclePreview(
            repository="team/app",
            status=status,
            policy_text=run.policy.to_json(),
            results=results,
            expiring_count=count,
        )
        found = compare(preview, run)
        yield from found.notes
        yield from map(str, found.differences)


def built():
    what = {"prefixes": ["a", "b"], "patterns": "*c", "description": "why é"}
    for make in (
        lambda: keep_last(3, **what), lambda: expire_older_than(3, **what), lambda: archive_unpulled(3, **what),
        lambda: protect(**what), lambda: expire_untagged(after_days=3, description="why"), lambda: keep_last(9),
        lambda: delete_archived(after_days=99, description="why"), lambda: archive_unpulled(3), lambda: keep_last(0),
        lambda: expire_older_than(3), lambda: expire_untagged(after_days=0, description="x"),
    ):  # fmt: skip
        yield refused(lambda m=make: m().rules())
        yield refused(lambda m=make: build(m()).to_json())


def waited(kit):
    text = build(keep_last(1)).to_json()
    seen = []
    for previews, timeout, busy in (
        (["IN_PROGRESS", "FAILED"], 300, 0), (["EXPIRED"], 300, 0), (["NEW"], 7, 0), (["COMPLETE"], 300, 2),
        ([("COMPLETE", build(keep_last(2)).to_json())], 300, 0), (["COMPLETE"], 7, 9), ([("COMPLETE", text)], 0.5, 0),
    ):  # fmt: skip
        fake = Fake(kit)
        fake.previews = [p if isinstance(p, tuple) else (p, text) for p in previews]
        fake.busy = busy
        yield refused(lambda f=fake, t=timeout: f.service.preview("team/app", text, timeout=t, on_progress=seen.append))
        yield f"slept {fake.clock.slept}"
    yield from map(repr, seen)
    fake = Fake(kit)
    yield refused(lambda: fake.service.dry_run("team/app"))
    fake.listed = [kit.image("a", "x", days=9), kit.image("b", "y", days=8)]
    yield refused(lambda: fake.service.apply(attrs.evolve(fake.service.plan("team/app", text), repository="")))
    plan = fake.service.plan("team/app", text, protect=["team/app:y"])
    fake.listed.append(kit.image("c", "z"))
    yield refused(lambda: fake.service.apply(plan))
    del fake.listed[0]
    yield refused(lambda: fake.service.apply(plan))
    state = WaitState(deadline=kit.now, policy_text=text)
    for status, of in (("IN_PROGRESS", text), ("COMPLETE", "x"), ("EXPIRED", text)):
        yield repr(step(state, LifecyclePreview(repository="a", status=status, policy_text=of), kit.now))


def everything(kit):
    yield "# what is wrong with a policy"
    for case in TEXTS:
        yield f"## {case['id']}"
        yield from problems_of(case.get("policy", case.get("text")))
    yield "## odd rules"
    yield from problems_of({"rules": ODD_RULES, "extra": 1})
    for text in ("", "[]", "{", "\ufeff{}", "[" * 99, '{"rules": [], "rules": []}', '{"rules": NaN}', "x" * 200_000):
        yield from problems_of(text)
    for name, run in runs(kit):
        yield f"# run {name}"
        yield from told(run)
    yield "# plans"
    yield from plans(kit)
    yield "# policies from parts"
    yield from built()
    yield "# waiting and applying"
    yield from waited(kit)
    yield "# previews"
    yield from compared(kit)


def test_the_words(kit, update_golden):
    text = "\n".join(everything(kit)).replace("\r\n", "\n") + "\n"
    if update_golden:
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8"), "run `make golden` and review the difference"
