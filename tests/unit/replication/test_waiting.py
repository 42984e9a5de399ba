from __future__ import annotations

import attrs
import pytest

from ecrkit.replication import Destination, DestinationWait, Part, Seen, step

PLACE = Destination("eu-west-1", "123456789012")
IMAGE, CHILD, SBOM, OTHER = (f"sha256:{letter * 64}" for letter in "abcd")
ALONE = (Part(digest=IMAGE),)
INDEX = (Part(digest=IMAGE), Part(digest=CHILD, kind="child"))


def waiting(parts=ALONE, **more) -> DestinationWait:
    given = {"tag": "v1", "started": 100.0, "deadline": 1100.0, "due": 100.0, "covered": True}
    return DestinationWait(destination=PLACE, parts=parts, **{**given, **more})


def status(text: str | None, code: str | None = None) -> Seen:
    return Seen(asked="status", status=text, failure_code=code)


def look(*present: str, tag: str | None = None, **more) -> Seen:
    return Seen(asked="look", present=frozenset(present), tag_digest=tag, **more)


def run(state: DestinationWait, *seen: Seen, at: float = 110.0) -> DestinationWait:
    for each in seen:
        state = step(state, each, at)
    return state


class TestDone:
    """Source complete, digest there, tag on it (ECR user guide, private image replication)."""

    def test_all_three(self):
        done = run(waiting(), status("COMPLETE"), look(IMAGE, tag=IMAGE))
        assert (done.outcome, done.missing, done.by_digest_alone) == ("replicated", (), False)
        assert (done.asks, done.ended, done.tries) == ("nothing", 110.0, 2)

    def test_complete_alone_is_not_enough(self):
        state = run(waiting(), status("COMPLETE"))
        assert (state.outcome, state.asks, state.due) == (None, "look", 110.0)

    def test_in_progress_asks_the_source_again_even_if_the_destination_has_it(self):
        state = run(waiting(), status("IN_PROGRESS"))
        assert (state.outcome, state.asks) == (None, "status")
        assert 110 < state.due < 115

    def test_an_unknown_status_is_no_end(self):
        state = run(waiting(), status("THINKING"))
        assert (state.outcome, state.asks) == (None, "status")
        assert "THINKING" in state.reason

    def test_without_a_tag_the_digest_is_enough(self):
        assert run(waiting(tag=None), status("COMPLETE"), look(IMAGE)).outcome == "replicated"

    @pytest.mark.parametrize("named", [None, "", OTHER])
    def test_a_tag_that_is_not_on_it_is_waited_for(self, named):
        state = run(waiting(), status("COMPLETE"), look(IMAGE, tag=named))
        assert (state.outcome, state.asks) == (None, "look")
        assert any("tag v1" in text for text in state.missing)

    def test_every_child_and_referrer(self):
        parts = (*INDEX, Part(digest=SBOM, kind="referrer"))
        state = run(waiting(parts), status("COMPLETE"), look(IMAGE, CHILD, tag=IMAGE))
        assert (state.outcome, state.missing) == (None, (f"referrer {SBOM}",))
        assert run(state, look(IMAGE, CHILD, SBOM, tag=IMAGE)).outcome == "replicated"

    def test_no_repository_yet_is_waited_for(self):
        state = run(waiting(), status("COMPLETE"), Seen(asked="look", kind="not-found"))
        assert (state.outcome, state.asks) == (None, "look")

    def test_what_is_over_stays_over(self):
        done = run(waiting(), status("COMPLETE"), look(IMAGE, tag=IMAGE))
        assert step(done, status("FAILED"), 2000) == done


class TestBadEnds:
    def test_failed_keeps_the_code(self):
        state = run(waiting(), status("FAILED", "KmsError"))
        assert (state.outcome, state.failure_code) == ("failed", "KmsError")

    def test_gone_from_the_source(self):
        state = run(waiting(), Seen(asked="status", kind="not-found", text="gone"))
        assert (state.outcome, state.failure_code) == ("failed", "ImageNotFound")

    def test_a_part_that_failed(self):
        state = run(waiting(INDEX), status("COMPLETE"),
                    look(IMAGE, tag=IMAGE, failed_part=f"the child {CHILD}", failure_code="Odd"))  # fmt: skip
        assert (state.outcome, state.failure_code) == ("failed", "Odd")
        assert CHILD in state.reason

    def test_an_immutable_tag_on_another_image(self):
        state = run(waiting(), status("COMPLETE"), look(IMAGE, tag=OTHER, tag_immutable=True))
        assert state.outcome == "tag_swallowed"
        assert OTHER in state.reason

    def test_an_immutable_tag_swallows_nothing_before_the_image_is_there(self):
        state = run(waiting(), status("COMPLETE"), look(tag=OTHER, tag_immutable=True))
        assert state.outcome is None

    def test_an_immutable_repository_without_that_tag_is_waited_for(self):
        assert run(waiting(), status("COMPLETE"), look(IMAGE, tag="", tag_immutable=True)).outcome is None

    def test_denied_at_the_destination_ends_at_once(self):
        state = run(waiting(), status("COMPLETE"), Seen(asked="look", kind="denied", text="no"))
        assert (state.outcome, state.reason) == ("denied", "no")

    @pytest.mark.parametrize("kind", ["error", "unsupported"])
    def test_a_destination_that_cannot_be_asked(self, kind):
        state = run(waiting(), status("COMPLETE"), Seen(asked="look", kind=kind, text="why"))
        assert (state.outcome, state.failure_code) == ("failed", kind)


class TestNotCovered:
    """An image that no rule sends, or older than the rule, has no status (containers-roadmap#1289, #1568)."""

    def test_no_rule_ends_after_one_look(self):
        state = run(waiting(covered=False), status(None))
        assert (state.asks, state.due) == ("look", 110.0)
        state = run(state, look())
        assert (state.outcome, state.reason) == ("not_covered", "no rule sends the repository there")

    def test_no_rule_is_the_answer_also_where_the_destination_may_not_be_read(self):
        state = run(waiting(covered=False), status(None), Seen(asked="look", kind="denied"))
        assert state.outcome == "not_covered"
        assert run(waiting(), status(None), Seen(asked="look", kind="denied")).outcome == "denied"

    @pytest.mark.parametrize("covered", [True, None])
    def test_a_fresh_push_is_given_patience(self, covered):
        state = run(waiting(covered=covered), status(None), look(), at=114.0)
        assert (state.outcome, state.asks) == (None, "status")
        assert run(state, status("IN_PROGRESS"), at=116.0).outcome is None
        late = run(state, status(None), look(), at=115.0)
        assert late.outcome == "not_covered"
        assert ("or there is none" in late.reason) == (covered is None)

    def test_what_is_there_all_the_same_is_there(self):
        state = run(waiting(), status(None), look(IMAGE, tag=IMAGE))
        assert (state.outcome, state.by_digest_alone) == ("replicated", True)
        assert "by digest alone" in state.reason


class TestByDigestAlone:
    """Without the status, denied or not offered, the destination decides, and that is said."""

    @pytest.mark.parametrize("kind", ["denied", "unsupported", "error"])
    def test_the_destination_decides(self, kind):
        state = run(waiting(), Seen(asked="status", kind=kind, text="may not"))
        assert (state.asks, state.due, state.outcome) == ("look", 110.0, None)
        state = run(state, look())
        assert (state.asks, state.outcome) == ("look", None)
        done = run(state, look(IMAGE, tag=IMAGE))
        assert (done.outcome, done.by_digest_alone) == ("replicated", True)
        assert "may not" in done.reason

    def test_it_never_ends_as_not_covered(self):
        state = run(waiting(covered=False), Seen(asked="status", kind="denied"), look(), at=500.0)
        assert state.outcome is None


class TestFaults:
    @pytest.mark.parametrize("kind", ["throttled", "unavailable"])
    @pytest.mark.parametrize("asked", ["status", "look"])
    def test_are_waited_out_with_growing_pauses(self, kind, asked):
        state = waiting(asks=asked)
        pauses = []
        for _ in range(8):
            state = step(state, Seen(asked=asked, kind=kind), 110.0)
            assert (state.outcome, state.asks) == (None, asked)
            pauses.append(state.due - 110.0)
        assert pauses == sorted(pauses)
        assert pauses[0] < 5
        assert pauses[-1] == 60.0
        assert state.faults == 8

    def test_an_answer_forgets_them(self):
        state = run(waiting(), Seen(asked="status", kind="throttled"), status("IN_PROGRESS"))
        assert (state.faults, state.last_fault) == (0, "")

    def test_a_fault_at_the_end_is_named(self):
        state = step(waiting(), Seen(asked="status", kind="throttled", text="Rate exceeded"), 1100.0)
        assert state.outcome == "timed_out"
        assert "Rate exceeded" in state.reason


class TestPause:
    def pause(self, waited: float, drawn: float = 0.5) -> float:
        now = 100.0 + waited
        return step(waiting(deadline=1e6), status("IN_PROGRESS"), now, drawn=drawn).due - now

    def test_grows_with_the_time_waited(self):
        assert [round(self.pause(waited), 6) for waited in (0, 10, 20, 100, 1000)] == [2.0, 2.0, 3.0, 15.0, 30.0]

    def test_jitter_is_a_quarter_both_ways(self):
        assert (self.pause(0, 0.0), self.pause(0, 1.0)) == (1.5, 2.5)

    def test_never_past_the_deadline(self):
        assert step(waiting(), status("IN_PROGRESS"), 1099.5).due == 1100.0


class TestDeadline:
    def test_names_what_is_missing(self):
        state = run(waiting(INDEX), status("IN_PROGRESS"), at=1100.0)
        assert state.outcome == "timed_out"
        assert state.missing == ("the source says IN_PROGRESS", f"image {IMAGE}", f"child {CHILD}",
                                 "tag v1 (is not there)")  # fmt: skip

    def test_complete_at_the_deadline_gets_one_last_look(self):
        state = step(waiting(), status("COMPLETE"), 1100.0)
        assert (state.outcome, state.asks, state.due) == (None, "look", 1100.0)
        assert step(state, look(IMAGE, tag=IMAGE), 1100.0).outcome == "replicated"
        late = step(state, look(IMAGE, tag=OTHER), 1100.0)
        assert late.outcome == "timed_out"
        assert f"tag v1 (names {OTHER})" in late.missing

    def test_the_last_look_cannot_be_put_off(self):
        state = step(waiting(), status("COMPLETE"), 1100.0)
        assert step(state, Seen(asked="look", kind="throttled"), 1100.0).outcome == "timed_out"

    def test_what_it_has_waited_for_is_in_the_record(self):
        state = run(waiting(), status("COMPLETE"), look(IMAGE))
        assert attrs.asdict(state)["reason"] == "waiting: tag v1 (is not there)"
