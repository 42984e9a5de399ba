"""The waiter against any order of answers, throttles and outages; filters against the service model."""

from __future__ import annotations

import datetime as dt
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ecrkit.local.validation import service_model
from ecrkit.replication import Destination, DestinationWait, Part, Seen, filter_problem, step
from tests.support.replication import AWAY, World, app
from tests.support.replication import rule as rule_of

PLACE = Destination("eu-west-1", "123456789012")
IMAGE, CHILD, OTHER = (f"sha256:{letter * 64}" for letter in "abc")
FAULTS = st.sampled_from(["throttled", "unavailable"])


class TheWaiter(RuleBasedStateMachine):
    """A world that changes as it likes, and a waiter that asks it when it is due.

    The world is only ever honest: what the waiter sees is what is true when it asks, or a fault. Whatever happens, the
    waiter is done at the deadline or one question later, and its outcome agrees with a second, slow reading of all
    that it saw.
    """

    @initialize(
        tagged=st.booleans(), index=st.booleans(), covered=st.sampled_from([True, False, None]),
        timeout=st.integers(0, 400), readable=st.sampled_from(["answer", "answer", "denied", "unsupported", "error"]),
        text=st.sampled_from([None, "IN_PROGRESS", "COMPLETE", "NEW_STATUS"]),
        digests=st.sets(st.sampled_from([IMAGE, CHILD])), tag=st.sampled_from(["", IMAGE, OTHER]),
        immutable=st.booleans(),
    )  # fmt: skip
    def begin(self, tagged, index, covered, timeout, readable, text, digests, tag, immutable):
        parts = [Part(digest=IMAGE), *([Part(digest=CHILD, kind="child")] if index else [])]
        self.now = 1000.0
        self.end = self.now + timeout
        self.state = DestinationWait(
            destination=PLACE, parts=parts, tag="v1" if tagged else None, started=self.now, deadline=self.end,
            patience=min(15.0, timeout), covered=covered, due=self.now,
        )  # fmt: skip
        self.readable = readable
        self.status: tuple[str | None, str | None] = (text, None)
        self.present: frozenset[str] = frozenset(digests)
        self.tag, self.immutable = tag, immutable
        self.barred = False
        self.seen: list[tuple[float, Seen]] = []
        self.after_the_end = 0

    # ---- the world

    @rule(text=st.sampled_from([None, "IN_PROGRESS", "COMPLETE", "NEW_STATUS"]))
    def source_moves(self, text):
        self.status = (text, None)

    @precondition(lambda self: len(self.seen) > 2)
    @rule()
    def source_fails(self):
        self.status = ("FAILED", "Odd")

    @rule(digests=st.sets(st.sampled_from([IMAGE, CHILD])))
    def contents_move(self, digests):
        self.present = frozenset(digests)

    @rule(tag=st.sampled_from(["", IMAGE, OTHER]), immutable=st.booleans())
    def tag_moves(self, tag, immutable):
        self.tag, self.immutable = tag, immutable

    @precondition(lambda self: len(self.seen) > 4)
    @rule()
    def destination_is_barred(self):
        self.barred = True

    # ---- the waiter

    def answer(self) -> Seen:
        if self.state.asks == "status":
            if self.readable != "answer":
                return Seen(asked="status", kind=self.readable, text="no status")
            return Seen(asked="status", status=self.status[0], failure_code=self.status[1])
        if self.barred:
            return Seen(asked="look", kind="denied", text="barred")
        rooted = IMAGE in self.present
        tag = (self.tag if self.state.tag and rooted else None)  # fmt: skip
        return Seen(asked="look", present=self.present, tag_digest=tag, tag_immutable=self.immutable)

    def ask(self, seen: Seen, drawn: float) -> None:
        self.now = max(self.now, self.state.due)
        if self.now >= self.end:
            self.after_the_end += 1
        self.seen.append((self.now, seen))
        self.state = step(self.state, seen, self.now, drawn=drawn)

    @precondition(lambda self: self.state.outcome is None)
    @rule(drawn=st.floats(0, 1))
    def waiter_asks(self, drawn):
        self.ask(self.answer(), drawn)

    @precondition(lambda self: self.state.outcome is None)
    @rule(kind=FAULTS, drawn=st.floats(0, 1))
    def waiter_meets_a_fault(self, kind, drawn):
        self.ask(Seen(asked=self.state.asks, kind=kind), drawn)

    # ---- what must hold

    @invariant()
    def never_past_the_deadline_by_more_than_one_question(self):
        assert self.after_the_end <= 2  # the one that comes due at the deadline, and one last look
        assert self.state.due <= max(self.end, self.now)

    @invariant()
    def it_always_knows_what_to_ask(self):
        assert (self.state.outcome is None) == (self.state.asks in ("status", "look"))
        assert (self.state.outcome is None) == (self.state.ended is None)

    @invariant()
    def the_outcome_is_what_the_evidence_says(self):
        outcome = self.state.outcome
        if outcome is None:
            return
        at, last = self.seen[-1]
        statuses = [s for _, s in self.seen if s.asked == "status" and s.kind == "answer"]
        whole = {p.digest for p in self.state.parts} <= last.present
        tag_on_it = self.state.tag is None or last.tag_digest == IMAGE
        there = last.asked == "look" and last.kind == "answer" and whole and tag_on_it
        if outcome == "replicated":
            assert there
            if self.readable == "answer":
                assert statuses[-1].status in ("COMPLETE", None)
            assert self.state.by_digest_alone == (self.readable != "answer" or statuses[-1].status is None)
        elif outcome == "failed":
            assert last.status == "FAILED"
            assert self.state.failure_code == "Odd"
        elif outcome == "denied":
            assert last.asked == "look"
            assert last.kind == "denied"
        elif outcome == "tag_swallowed":
            assert (IMAGE in last.present, last.tag_digest, last.tag_immutable) == (True, OTHER, True)
            assert not there
        elif outcome == "not_covered":
            assert self.readable == "answer"
            assert statuses[-1].status is None
            assert self.state.covered is False or at - self.state.started >= self.state.patience
            assert not there
        else:
            assert outcome == "timed_out"
            assert at >= self.end
            assert not there
            assert self.state.missing or self.state.last_fault

    def teardown(self):
        if not hasattr(self, "state"):
            return
        for _ in range(2000):
            if self.state.outcome is not None:
                break
            self.ask(self.answer(), 0.5)
            self.never_past_the_deadline_by_more_than_one_question()
        assert self.state.outcome is not None
        self.the_outcome_is_what_the_evidence_says()


TestTheWaiter = TheWaiter.TestCase
TestTheWaiter.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)


@given(
    arrives=st.floats(0, 5000),
    drawn=st.lists(st.floats(0, 1), min_size=1, max_size=20),
    faulty=st.sets(st.integers(0, 60), max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_what_arrives_in_time_is_seen_in_time(arrives, drawn, faulty):
    """A replication that is done before the deadline is always found, however the faults lie, once they are over."""
    state = DestinationWait(destination=PLACE, parts=[Part(digest=IMAGE)], deadline=10_000.0, covered=True)
    now, asked = 0.0, 0
    while state.outcome is None:
        now = max(now, state.due)
        done = now >= arrives
        if asked in faulty:
            seen = Seen(asked=state.asks, kind="throttled")
        elif state.asks == "status":
            seen = Seen(asked="status", status="COMPLETE" if done else "IN_PROGRESS")
        else:
            seen = Seen(asked="look", present=frozenset({IMAGE}) if done else frozenset())
        state = step(state, seen, now, drawn=drawn[asked % len(drawn)])
        asked += 1
    assert state.outcome == "replicated"
    if not faulty:
        assert now - arrives <= max(2.5, min(37.5, 0.1875 * arrives + 0.01))
        # Geometric: few questions however long it takes, and never more than one in 1.5 seconds.
        assert asked <= 10 + 12 * math.log(max(arrives, 1.0) / 10 + 1) + arrives / 22


@given(
    pushes=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 90)), max_size=12),
    delays=st.lists(st.integers(0, 300), min_size=3, max_size=3),
    immutable=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_a_quiet_destination_is_what_was_pushed(pushes, delays, immutable):
    """However slow each image is, in the end every tag names what it names in the source; immutable ones never move."""
    world = World(rule_of(AWAY))
    if immutable:
        world.create("app", AWAY, imageTagMutability="IMMUTABLE")
    for number, delay in enumerate(delays):
        world.engine.replication.delay(dt.timedelta(seconds=delay), digest=app(str(number)).digest)
    first: dict[str, str] = {}
    held: dict[str, str] = {}
    for number, tag, seconds in pushes:
        name = f"t{tag}"
        if held.get(name) != app(str(number)).digest:  # else it is no push for ECR
            held[name] = world.push(app(str(number)), name)
        world.pass_time(seconds)
        for digest, tags in world.tags(AWAY).items():
            for each in tags:
                first.setdefault(each, digest)
    world.pass_time(1000)
    there = {tag: digest for digest, tags in world.tags(AWAY).items() for tag in tags}
    if not immutable:
        assert there == held
    else:
        assert set(there) == set(held)
        assert {tag: there[tag] for tag in first} == first
    assert set(world.tags(AWAY)) == {app(str(number)).digest for number, _, _ in pushes}


MODEL = re.compile(service_model().shape_for("RepositoryFilterValue").metadata["pattern"])


@given(st.text(alphabet="ab0._-/*: A", min_size=0, max_size=12))
@settings(max_examples=500)
def test_filters_are_judged_as_the_service_model_does(text):
    fits = 2 <= len(text) <= 256 and MODEL.fullmatch(text) is not None
    assert (filter_problem(text) is None) == fits


@pytest.mark.parametrize("text", ["a" * 256 + "!", ("a-" * 127) + "!", "a/" * 120 + "!"])
def test_hostile_filters_are_judged_at_once(text):
    assert filter_problem(text) is not None
