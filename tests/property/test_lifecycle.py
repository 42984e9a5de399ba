"""The fast evaluator against the slow one, in small hostile worlds where everything collides."""

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from ecrkit.images import Inventory
from ecrkit.lifecycle import LifecyclePolicy, simulate
from ecrkit.lifecycle.glob import matches
from ecrkit.records import Image
from tests.support.slow_lifecycle import entry_matches, evaluate

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
INDEX = "application/vnd.oci.image.index.v1+json"
TAGS = ("a", "ab", "b", "ba", "a-1", "A", "aab", "é", "\x02a", "\x01", "a\x03", "\x05", "a\x03\x02b")
ENTRIES = ("a", "b", "ab", "", "a-")
PATTERNS = ("*", "a*", "*b", "a*b", "*a*", "ab", "*a*b*", "a*a", "**", "*é", "*a*", "*aa*b", "\x01*", "*\x03")
times = st.sampled_from([0, 1, 90, 91, 100, 400]).map(lambda d: NOW - dt.timedelta(days=d)) | st.integers(-3, 200).map(
    lambda h: NOW - dt.timedelta(hours=h * 8, seconds=1)
)


def digest(n):
    return "sha256:" + f"{n:02x}" * 32


@st.composite
def inventories(draw):
    count = draw(st.integers(0, 9))
    images, children = [], {}
    for n in range(count):
        status = draw(st.sampled_from(["ACTIVE", "ACTIVE", "ACTIVE", "ARCHIVED", "ACTIVATING"]))
        index = draw(st.integers(0, 3)) == 0
        if index:
            known = draw(st.integers(0, 5)) > 0
            if known:
                # No cycles: an index names images with smaller numbers, or strangers.
                children[digest(n)] = draw(st.lists(st.sampled_from([digest(m) for m in (*range(n), 99)]), max_size=4))
        optional = st.none() | times
        images.append(
            Image(
                digest=digest(n),
                pushed_at=draw(times),
                tags=tuple(draw(st.lists(st.sampled_from(TAGS), max_size=3, unique=True))),
                status=status,
                manifest_media_type=INDEX if index else None,
                last_pulled_at=draw(optional),
                last_archived_at=draw(optional),
                last_activated_at=draw(st.none() | optional),
                subject_digest=digest(draw(st.integers(0, count))) if draw(st.integers(0, 2)) == 0 else None,
            )
        )
    order = draw(st.permutations(images))
    return Inventory(order, children=children)


@st.composite
def policies(draw):
    rules = []
    plain = draw(st.integers(0, 4))
    for n in draw(st.permutations(range(1, plain + 1))):
        rules.append(draw(rule(n, tagged=True)))
    last = plain + 1
    for status in ("untagged", "any"):
        for archive in (False, True):
            if draw(st.booleans()):
                rules.append(draw(rule(last, tagged=False, status=status, archive=archive)))
                last += 1
    if not rules:
        rules.append(draw(rule(1, tagged=False, status="any", archive=False)))
    return {"rules": rules}


@st.composite
def rule(draw, priority, *, tagged, status="tagged", archive=None):
    archive = draw(st.integers(0, 3)) == 0 if archive is None else archive
    kinds = ["imageCountMoreThan", "sinceImagePushed", "sinceImagePulled"]
    count_type = "sinceImageTransitioned" if archive else draw(st.sampled_from(kinds))
    selection = {"tagStatus": status, "countType": count_type}
    if tagged:
        patterns = draw(st.booleans())
        names = st.lists(st.sampled_from(PATTERNS if patterns else ENTRIES), min_size=1, max_size=2, unique=True)
        selection["tagPatternList" if patterns else "tagPrefixList"] = draw(names)
    if archive:
        selection["storageClass"] = "archive"
    if count_type == "imageCountMoreThan":
        selection["countNumber"] = draw(st.integers(1, 4))
    else:
        selection["countUnit"] = "days"
        selection["countNumber"] = draw(st.sampled_from([90, 91, 100] if archive else [1, 2, 90, 10**12]))
    action = {"type": "expire"}
    if count_type == "sinceImagePulled" or (not archive and draw(st.booleans())):
        action = {"type": "transition", "targetStorageClass": "archive"}
    return {"rulePriority": priority, "selection": selection, "action": action}


def parse(document):
    from ecrkit.lifecycle.policy import LifecyclePolicy as Policy
    from ecrkit.lifecycle.validation import check

    return Policy(check(document)[0])  # repeated prefixes do not matter to the evaluation


@settings(max_examples=300, deadline=None)
@given(inventories(), policies())
def test_fast_equals_slow(inventory, document):
    clipped = {"rules": [r | {"selection": dict(r["selection"])} for r in document["rules"]]}
    for r in clipped["rules"]:
        r["selection"]["countNumber"] = min(r["selection"]["countNumber"], 10**6)
    run = simulate(parse(document), inventory, now=NOW)
    slow = evaluate(clipped, inventory, NOW)
    assert {d: (run.outcome(d).action, run.outcome(d).rule_priority) for d in (*run.expired, *run.transitioned)} == (
        slow.acted
    )
    assert set(run.blocked) == slow.blocked
    assert {d: run.outcome(d).action for d in run.cascaded} == slow.cascaded
    assert len(run.kept) + len(run.expired) + len(run.transitioned) + len(run.cascaded) == len(inventory)
    for outcome in run.outcomes():
        assert outcome.why, outcome
        assert outcome.explain().endswith(".")
        assert (outcome.action == "keep") == (outcome.digest in run.kept)
        assert (outcome.reason == "blocked-by-index") == (outcome.digest in run.blocked)
        outcome.to_json()


@settings(max_examples=60, deadline=None)
@given(inventories(), policies(), st.randoms(use_true_random=False))
def test_the_order_of_the_input_never_matters(inventory, document, random):
    shuffled = list(inventory.images)
    random.shuffle(shuffled)
    other = Inventory(shuffled, children=inventory.children)
    rules = list(document["rules"])
    random.shuffle(rules)
    one, two = simulate(parse(document), inventory, now=NOW), simulate(parse({"rules": rules}), other, now=NOW)
    assert list(one.outcomes()) == list(two.outcomes())
    assert (one.expired, one.transitioned, one.blocked) == (two.expired, two.transitioned, two.blocked)
    assert (one.cascaded, one.kept, one.warnings) == (two.cascaded, two.kept, two.warnings)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(["*", "a", "b", "ab", "?", "."]), max_size=7).map("".join), st.text("ab?.", max_size=8))
def test_glob_equals_regular_expression(pattern, tag):
    assert matches(pattern, tag) == entry_matches(pattern, tag, "tagPatternList")


@settings(max_examples=60, deadline=None)
@given(policies())
def test_what_is_written_reads_back(document):
    policy = parse(document)
    again = parse(policy.to_dict())
    assert again == policy
    assert hash(again) == hash(policy)
    assert again.canonical_json() == policy.canonical_json()
    assert policy.normalised() == policy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["rules", "rulePriority", "selection", "action", "tagStatus", "countType", "type", "x"]), inner
    ),
)  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(JSON)
def test_any_json_is_read_or_refused_with_paths(value):
    from ecrkit.lifecycle import LifecyclePolicyError

    for document in (value, {"rules": value}, {"rules": [value]}):
        problems = ()
        try:
            problems = LifecyclePolicy.parse(document).warnings
        except LifecyclePolicyError as fault:
            problems = fault.problems or ("none",)
        assert all(p.path.startswith("$") for p in problems)
