"""The error tree: drawn as it is, pickled whole, listing every problem."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
import re

import pytest

from ecrkit import errors
from ecrkit.errors import (
    AwsCallFailed,
    Denied,
    EcrkitError,
    GateRefused,
    InvalidInput,
    InvalidPolicy,
    MissingExtra,
    NotFound,
    NotSupportedByBotocore,
    PlanOutdated,
    PlanRefused,
    Problem,
    WaitExpired,
    WaitFailed,
)

CLASSES = [getattr(errors, n) for n in errors.__all__ if n != "Problem"]


def an_error(cls: type[EcrkitError]) -> EcrkitError:
    """Return an instance of `cls` with every fact set."""
    if issubclass(cls, InvalidInput):
        return cls("bad thing", [Problem("$.a", "is wrong", quoted="said AWS"), Problem("$.b", "is missing")])
    if issubclass(cls, AwsCallFailed):
        return cls("no", operation="PutImage", code="X", service="ecr-public", request_id="r-1", resource="team/app")
    if issubclass(cls, NotSupportedByBotocore):
        return cls("PutNothing", installed="1.43.11")
    if issubclass(cls, WaitExpired | WaitFailed):
        return cls("late", last=("PENDING", 3))
    if issubclass(cls, PlanRefused):
        return cls("in use", conflicts=["app:v1"])
    if issubclass(cls, PlanOutdated):
        return cls("moved", changes=iter(["app:v2 is new"]))
    if issubclass(cls, GateRefused):
        return cls("too many", verdict={"outcome": "fail"})
    if issubclass(cls, MissingExtra):
        return cls("pandas", extra="notebook")
    return cls("plain")


class TestTree:
    """The tree in the module's docstring is the tree of the classes."""

    def drawn(self) -> dict[str, tuple[str | None, str | None]]:
        """Return name -> (parent, built-in base) as the docstring draws them."""
        found: dict[str, tuple[str | None, str | None]] = {"EcrkitError": (None, None)}
        parent = ["EcrkitError"]
        for line in (errors.__doc__ or "").splitlines():
            match = re.match(r"((?:│   |    )*)(?:├── |└── )(\w+)(?: \((\w+)\))?", line)
            if match:
                depth = len(match[1]) // 4
                del parent[depth + 1 :]
                found[match[2]] = (parent[depth], match[3])
                parent.append(match[2])
        return found

    def test_every_class_is_drawn_and_every_drawn_class_exists(self) -> None:
        assert set(self.drawn()) == {c.__name__ for c in CLASSES}

    def test_parents_and_builtin_bases_agree(self) -> None:
        for name, (parent, builtin) in self.drawn().items():
            bases = [b.__name__ for b in getattr(errors, name).__bases__]
            expected = ["Exception"] if parent is None else [parent, *([builtin] if builtin else [])]
            assert bases == expected, name

    def test_everything_is_caught_by_the_root(self) -> None:
        assert all(issubclass(c, EcrkitError) for c in CLASSES)

    @pytest.mark.parametrize(
        ("cls", "builtin"), [(InvalidInput, ValueError), (WaitExpired, TimeoutError), (MissingExtra, ImportError)]
    )
    def test_builtin_handlers_catch_it_too(self, cls: type[EcrkitError], builtin: type[Exception]) -> None:
        with pytest.raises(builtin):
            raise an_error(cls)


class TestPickling:
    """An error crosses processes with its text and its facts; an exception with keyword arguments does not by itself."""

    @pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize("cls", CLASSES)
    def test_text_and_facts_survive(self, cls: type[EcrkitError], protocol: int) -> None:
        error = an_error(cls)
        error.add_note("while testing")
        back = pickle.loads(pickle.dumps(error, protocol))
        assert type(back) is cls
        assert (str(back), back.args, vars(back)) == (str(error), error.args, vars(error))
        assert back.__notes__ == ["while testing"]

    @pytest.mark.parametrize("cls", CLASSES)
    def test_copy_is_equal_in_all_facts(self, cls: type[EcrkitError]) -> None:
        error = an_error(cls)
        assert vars(copy.copy(error)) == vars(error)
        assert vars(copy.deepcopy(error)) == vars(error)

    def test_the_missing_action_survives(self) -> None:
        error = Denied("no", operation="PutImage")
        error.action = "ecr:PutImage"
        assert pickle.loads(pickle.dumps(error)).action == "ecr:PutImage"

    @pytest.mark.heavy
    def test_a_worker_process_hands_it_over(self) -> None:
        with multiprocessing.get_context("spawn").Pool(1) as pool, pytest.raises(NotFound) as caught:
            pool.apply(_fail)
        assert (caught.value.operation, caught.value.resource) == ("DescribeImages", "team/app")


def _fail() -> None:
    raise NotFound("gone", operation="DescribeImages", resource="team/app")


class TestInvalidInput:
    """All problems are told at once, each with its path."""

    def test_no_problem_is_just_the_sentence(self) -> None:
        assert str(InvalidInput("bad file")) == "bad file"

    def test_one_problem_fits_on_a_line(self) -> None:
        assert str(InvalidPolicy.single("bad policy", "$.rules", "is missing")) == "bad policy: $.rules: is missing"

    def test_single_keeps_the_class(self) -> None:
        assert type(InvalidPolicy.single("a", "b", "c")) is InvalidPolicy

    def test_several_problems_are_counted_and_listed_in_order(self) -> None:
        error = InvalidInput("bad policy", [Problem("$.b", "two"), Problem("$.a", "one")])
        assert str(error) == "bad policy: 2 problems\n  - $.b: two\n  - $.a: one"
        assert [p.path for p in error.problems] == ["$.b", "$.a"]

    def test_problems_may_come_from_an_iterator(self) -> None:
        assert InvalidInput("x", iter([Problem("$", "y")])).problems == (Problem("$", "y"),)


class TestProblem:
    """A problem is a value: text, mapping, equality."""

    def test_mapping_has_the_three_fields(self) -> None:
        assert Problem("$.a", "is wrong", quoted="AWS says").to_dict() == {
            "path": "$.a",
            "message": "is wrong",
            "quoted": "AWS says",
        }

    def test_text_leaves_the_quotation_out(self) -> None:
        assert str(Problem("$.a", "is wrong", quoted="AWS says")) == "$.a: is wrong"

    def test_equal_problems_hash_alike(self) -> None:
        assert len({Problem("$", "a"), Problem("$", "a"), Problem("$", "b")}) == 2


class TestMessages:
    """Each message says what to do."""

    def test_missing_extra_names_the_command(self) -> None:
        assert "pip install 'ecrkit[notebook]'" in str(MissingExtra("pandas", extra="notebook"))

    def test_old_botocore_names_both(self) -> None:
        error = NotSupportedByBotocore("ListImageReferrers", installed="1.40.0")
        assert "1.40.0" in str(error) and "ListImageReferrers" in str(error)

    def test_aws_facts_are_attributes(self) -> None:
        error = an_error(Denied)
        assert isinstance(error, Denied)
        facts = (error.operation, error.code, error.service, error.request_id, error.resource, error.action)
        assert facts == ("PutImage", "X", "ecr-public", "r-1", "team/app", None)

    def test_the_service_is_ecr_unless_said(self) -> None:
        assert NotFound("gone", operation="X").service == "ecr"
