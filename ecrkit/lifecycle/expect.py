"""What a policy must and must not do, said as expectations and checked by a dry run: tests for policies.

Each function returns an expectation; `check` tries them all on a policy and an inventory. An expectation that finds no
image to look at is `untested` and not passed: a pattern with a slip of the pen would otherwise pass for ever.

Example:
    >>> import datetime as dt
    >>> from ecrkit.images import Inventory
    >>> from ecrkit.lifecycle import build, expect, keep_last
    >>> images = [{"imageDigest": "sha256:" + c * 64, "imageTags": ["v1." + str(n)], "imagePushedAt": 1767225600 + n}
    ...           for n, c in enumerate("abc")]
    >>> report = expect.check(build(keep_last(2, prefixes="v1.")), Inventory.from_api(images),
    ...                       [expect.keeps("v1.*", at_least=3)], now=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
    >>> print(report)
    FAILED keeps "v1.*" at_least 3: 1 of 3 goes: v1.0@sha256:aaaaaaaaaaaa expires by rule 1: number 3 of 3 from the \
newest, where 2 stay.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.counting import counted
from ecrkit._internal.jsonio import Record
from ecrkit.deployments.in_use import InUse
from ecrkit.errors import EcrkitError, InvalidInput, Problem
from ecrkit.images.inventory import Inventory
from ecrkit.lifecycle.glob import compile_glob
from ecrkit.lifecycle.plan import protected_digests
from ecrkit.lifecycle.policy import LifecyclePolicy
from ecrkit.lifecycle.rules import CountType
from ecrkit.lifecycle.run import Run
from ecrkit.lifecycle.simulate import clock_of, cutoff, simulate
from ecrkit.records import Image
from ecrkit.refs import ImageRef

__all__ = [
    "Expectation",
    "ExpectationFailed",
    "ExpectationReport",
    "ExpectationResult",
    "archives",
    "check",
    "expires",
    "from_dict",
    "keeps",
    "keeps_younger_than",
    "never_expires",
    "removes_at_most",
]

Verdict = Literal["passed", "failed", "unknown", "untested"]

_SHOWN: Final = 3
_HELP: Final = "name one of keeps, keeps_younger_than, never_expires, expires, archives, removes_at_most"


class ExpectationFailed(EcrkitError, AssertionError):
    """A policy does not do what it must: every failed, unknown or untested expectation, in sentences."""


@attrs.frozen(kw_only=True)
class ExpectationResult(Record):
    """What became of one expectation.

    `unknown` means that an outcome rests on facts that are not known, `untested` that no image was there to look at.
    """

    expectation: str
    verdict: Verdict
    why: str
    digests: tuple[str, ...] = ()

    @override
    def __str__(self) -> str:
        return f"{self.verdict if self.verdict == 'passed' else self.verdict.upper()} {self.expectation}: {self.why}"


@attrs.frozen(kw_only=True)
class ExpectationReport(Record):
    """What became of all expectations of one policy on one inventory."""

    repository: str
    results: tuple[ExpectationResult, ...]

    @property
    def ok(self) -> bool:
        """Whether every expectation passed; one that is unknown or untested did not."""
        return all(result.verdict == "passed" for result in self.results)

    def require(self) -> None:
        """Do nothing when all is well.

        Raises:
            ExpectationFailed: something did not pass. It is an AssertionError too: pytest shows it as a failure.
        """
        if not self.ok:
            raise ExpectationFailed(str(self))

    @override
    def __str__(self) -> str:
        return "\n".join(str(result) for result in self.results)


@attrs.frozen
class Expectation:
    """One thing that a policy must do or must not do. Made by the functions of this module."""

    text: str
    _test: Callable[[Run], tuple[Verdict, str, Sequence[str]]] = attrs.field(repr=False)

    def test(self, run: Run) -> ExpectationResult:
        """Return what becomes of it in a dry run."""
        verdict, why, digests = self._test(run)
        return ExpectationResult(expectation=self.text, verdict=verdict, why=why, digests=tuple(digests))


def check(
    policy: LifecyclePolicy | str | Mapping[str, Any],
    inventory: Inventory,
    expectations: Iterable[Expectation | Mapping[str, Any]],
    *,
    now: dt.datetime,
    count_children: bool = True,
) -> ExpectationReport:
    """Return what becomes of each expectation when the policy runs on the inventory at `now`.

    Args:
        policy: the policy to test, or its text.
        inventory: the images of one repository, archived ones included.
        expectations: from the functions of this module, or mappings as in a JSON file, see `from_dict`.
        now: the instant of the run.
        count_children: as in `simulate`.

    Raises:
        LifecyclePolicyError: it is no valid policy.
        InvalidInput: a mapping is no expectation; all problems are told, each with its path.
    """
    given = list(expectations)
    read = [item if isinstance(item, Expectation) else None for item in given]
    loose = [(n, item) for n, item in enumerate(given) if not isinstance(item, Expectation)]
    problems: list[Problem] = []
    for n, item in loose:
        found, faults = _read(item, f"$[{n}]")
        read[n] = found
        problems += faults
    if problems:
        raise InvalidInput("not expectations of a lifecycle policy", problems)
    run = simulate(policy, inventory, now=now, count_children=count_children)
    results = tuple(one.test(run) for one in read if one is not None)
    return ExpectationReport(repository=inventory.repository, results=results)


def keeps(pattern: str, *, at_least: int | None = None) -> Expectation:
    """Expect that images stay of which a tag matches the pattern: all, or the newest `at_least` of them.

    When there are fewer than `at_least`, all of them must stay. An archived image has not stayed. The pattern is as in
    lifecycle policies: only `*` is special.

    Raises:
        ValueError: `at_least` is below one.
    """
    if at_least is not None and at_least < 1:
        raise ValueError(f"at_least must be 1 or more, not {at_least}")
    suffix = "" if at_least is None else f" at_least {at_least}"

    def test(run: Run) -> tuple[Verdict, str, Sequence[str]]:
        found = _matching(run, pattern)[:at_least]
        return _stay(run, found, f"no image has a tag that matches {pattern!r}")

    return Expectation(f'keeps "{pattern}"{suffix}', test)


def keeps_younger_than(days: int, pattern: str = "*", *, untagged: bool = False) -> Expectation:
    """Expect that images pushed (or restored) at most `days` days ago stay, of which a tag matches the pattern.

    Args:
        days: of 24 hours.
        pattern: by default any tag.
        untagged: look at untagged images as well.

    Raises:
        ValueError: the days are below 0.
    """
    _check_days(days)
    more = " untagged too" if untagged else ""

    def test(run: Run) -> tuple[Verdict, str, Sequence[str]]:
        edge = cutoff(run.now, days)
        found = [i for i in _matching(run, pattern, untagged=untagged) if (i.last_activated_at or i.pushed_at) >= edge]
        return _stay(run, found, f"no such image was pushed within {days} days")

    return Expectation(f'keeps_younger_than {days} "{pattern}"{more}', test)


def never_expires(in_use: Iterable[object]) -> Expectation:
    """Expect that none of these images is expired or archived, nor what their indexes reference.

    Args:
        in_use: the images that run, as an `InUse`; or digests and references, as `Run.plan(protect=...)` takes them. A
            reference to another repository is left out. One that cannot be found makes the result unknown, and so does
            a gap of the `InUse`: what could not be read may run anything.
    """
    names: tuple[object, ...]
    if isinstance(in_use, InUse):
        names = in_use.uses
    else:
        names = (in_use,) if isinstance(in_use, str | ImageRef) else tuple(in_use)

    def test(run: Run) -> tuple[Verdict, str, Sequence[str]]:
        if isinstance(in_use, InUse):
            found, unknown = _uses_of(run, in_use)
        else:
            found, unknown = protected_digests(run, names)
        verdict, why, digests = _stay(run, [run.inventory[d] for d in found], "none of them is in the repository")
        if verdict != "failed" and unknown:
            return "unknown", "; ".join(unknown[:_SHOWN]), ()
        return verdict, why, digests

    return Expectation(f"never_expires {counted(len(names), 'image')}", test)


def _uses_of(run: Run, in_use: InUse) -> tuple[Mapping[str, object], list[str]]:
    """Return the images of the repository that are in use, children of indexes included, and what nobody can tell."""
    told = in_use.in_inventory(run.inventory)
    found, lost = protected_digests(run, told.digests)
    unknown = [f"in use, but not in the repository: {use}" for use in told.unresolved]
    return found, [*lost, *unknown, *(f"what runs is not wholly known: {gap}" for gap in in_use.gaps)]


def expires(pattern: str | None, *, older_than: int) -> Expectation:
    """Expect that every image pushed (or restored) more than `older_than` days ago expires.

    Args:
        pattern: of which a tag matches; None for untagged images, indexes' children and referrers left out.
        older_than: days of 24 hours.

    Raises:
        ValueError: the days are below 0.
    """
    return _goes("expires", pattern, older_than, "expire")


def archives(pattern: str | None, *, unpulled_for: int) -> Expectation:
    """Expect that every image not pulled for more than `unpulled_for` days is archived; never pulled is from the push.

    Args:
        pattern: of which a tag matches; None for untagged images.
        unpulled_for: days of 24 hours.

    Raises:
        ValueError: the days are below 0.
    """
    return _goes("archives", pattern, unpulled_for, "transition")


def removes_at_most(*, images: int | None = None, share: float | None = None) -> Expectation:
    """Expect that the policy expires or archives no more than that: a brake against a rule that takes everything.

    Args:
        images: how many at most.
        share: which part of all images at most, from 0 to 1.

    Raises:
        ValueError: neither or both are given, or one is out of range.
    """
    if (images is None) == (share is None) or (images or 0) < 0 or not 0 <= (share or 0.0) <= 1:
        raise ValueError("give images (0 or more) or share (0 to 1)")
    text = f"images {images}" if images is not None else f"share {share}"

    def test(run: Run) -> tuple[Verdict, str, Sequence[str]]:
        total = len(run.images)
        if not total:
            return "untested", "the repository is empty", ()
        going = (*run.expired, *run.transitioned, *run.cascaded)
        # As it is written: as a float, 0.29 of 100 is a little less than 29.
        limit = images if images is not None else int(Decimal(str(share)) * total)
        why = f"{len(going)} of {counted(total, 'image')} {'goes' if len(going) == 1 else 'go'}"
        if len(going) > limit:
            return "failed", f"{why}, more than {limit}", going
        perhaps = sorted(run.unclear - set(going))
        if len(going) + len(perhaps) > limit:
            return "unknown", "; ".join((f"{why} for certain", *run.warnings[:_SHOWN])), perhaps
        return "passed", why, ()

    return Expectation(f"removes_at_most {text}", test)


def _check_days(days: int) -> None:
    if days < 0:
        raise ValueError(f"days must be 0 or more, not {days}")


def _matching(run: Run, pattern: str, *, untagged: bool = False) -> list[Image]:
    """Return the images that can be pulled now and of which a tag matches, newest first."""
    match = compile_glob(pattern)
    return [
        image
        for image in run.images
        if image.status == "ACTIVE" and (any(map(match, image.tags)) or (untagged and not image.tags))
    ]


def _stay(run: Run, images: Sequence[Image], empty: str) -> tuple[Verdict, str, Sequence[str]]:
    if not images:
        return "untested", empty, ()
    outs = [run.outcome(image.digest) for image in images]
    going = [out for out in outs if out.action != "keep"]
    unsure = [out.digest for out in outs if not out.certain]
    if not going and unsure:
        return "unknown", "; ".join(run.warnings[:_SHOWN]), unsure
    if not going:
        # An image that stays needs no certainty about others: unknown children only ever hold more images.
        return "passed", f"{counted(len(images), 'image')} {'stays' if len(images) == 1 else 'stay'}", ()
    sure = [out for out in going if out.certain]
    told = sure or going
    why = f"{len(told)} of {len(images)} {'goes' if len(told) == 1 else 'go'}: " + " ".join(
        out.explain() for out in told[:_SHOWN]
    )
    return "failed" if sure else "unknown", why, [out.digest for out in told]


def _goes(verb: str, pattern: str | None, days: int, action: str) -> Expectation:
    _check_days(days)
    name = "untagged" if pattern is None else f'"{pattern}"'
    word = "older_than" if action == "expire" else "unpulled_for"

    kind: CountType = "sinceImagePushed" if action == "expire" else "sinceImagePulled"

    def test(run: Run) -> tuple[Verdict, str, Sequence[str]]:
        edge = cutoff(run.now, days)
        inventory = run.inventory
        listed = (
            _matching(run, pattern)
            if pattern is not None
            else [
                i for i in run.images
                if i.status == "ACTIVE" and not i.tags and not inventory.parents_of(i.digest)
                and inventory.subject_of(i.digest) is None
            ]
        )  # fmt: skip
        found = [image for image in listed if (when := clock_of(image, kind)) is not None and when < edge]
        if not found:
            return "untested", f"no such image is older than {days} days", ()
        outs = [run.outcome(image.digest) for image in found]
        staying = [out for out in outs if out.action != action]
        if staying:
            why = f"{len(staying)} of {len(found)} {'does' if len(staying) == 1 else 'do'} not: "
            return "failed", why + " ".join(o.explain() for o in staying[:_SHOWN]), [o.digest for o in staying]
        if not all(out.certain for out in outs):
            return "unknown", "; ".join(run.warnings[:_SHOWN]), [o.digest for o in outs if not o.certain]
        return "passed", f"{counted(len(found), 'image')} {'goes' if len(found) == 1 else 'go'}", ()

    return Expectation(f"{verb} {name} {word} {days}", test)


# ---- as JSON

_COUNT, _DAYS = "a whole number of 1 or more", "a whole number of days, 0 or more"


def from_dict(item: Mapping[str, Any]) -> Expectation:
    """Return the expectation that a mapping of a JSON file says.

    One key names it and carries its first argument; the others are its options: `{"keeps": "v2.*", "at_least": 10}`,
    `{"keeps_younger_than": 7, "pattern": "*", "untagged": true}`, `{"never_expires": ["sha256:..."]}`,
    `{"expires": "pr-*", "older_than": 14}` (null for untagged), `{"archives": "v*", "unpulled_for": 90}`,
    `{"removes_at_most": {"share": 0.5}}`.

    Raises:
        InvalidInput: the mapping says none of these; all problems are told.

    Example:
        >>> from_dict({"expires": "pr-*", "older_than": 14}).text
        'expires "pr-*" older_than 14'
    """
    found, problems = _read(item, "$")
    if found is None:
        raise InvalidInput("not an expectation of a lifecycle policy", problems)
    return found


def _whole(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _read(item: object, path: str) -> tuple[Expectation | None, list[Problem]]:
    if not isinstance(item, Mapping):
        return None, [Problem(path, f"must be an object that says one expectation; {_HELP}")]
    names = [name for name in _READERS if name in item]
    if len(names) != 1:
        said = "names no expectation" if not names else f"names more than one: {', '.join(names)}"
        return None, [Problem(path, f"{said}; {_HELP}")]
    [name] = names
    first, options, make = _READERS[name]
    problems = [] if first[0](item[name]) else [Problem(f"{path}.{name}", f"must be {first[1]}")]
    for key in item:
        if key != name and key not in options:
            allowed = f"only {', '.join(options)}" if options else "nothing else"
            problems.append(Problem(f"{path}.{key}", f"is not an option of {name}, which takes {allowed}"))
    for key, (valid, what, required) in options.items():
        if key in item and not valid(item[key]):
            problems.append(Problem(f"{path}.{key}", f"must be {what}"))
        if required and key not in item:
            problems.append(Problem(f"{path}.{key}", f"is missing: {what}"))
    if problems:
        return None, problems
    return make(item[name], {key: item[key] for key in options if key in item}), []


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_pattern(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_count(value: object) -> bool:
    return _whole(value, 1)


def _is_days(value: object) -> bool:
    return _whole(value, 0)


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)


def _is_limit(value: object) -> bool:
    if not isinstance(value, Mapping) or len(value) != 1:
        return False
    share = value.get("share")
    number = isinstance(share, int | float) and not isinstance(share, bool) and 0 <= share <= 1
    return _whole(value.get("images"), 0) or number


_Check = Callable[[object], bool]
_Options = Mapping[str, tuple[_Check, str, bool]]
_Reader = tuple[tuple[_Check, str], _Options, Callable[[Any, dict[str, Any]], Expectation]]
_AGE: Final = (_is_days, _DAYS)
_READERS: Final[Mapping[str, _Reader]] = {
    "keeps": ((_is_text, "a tag pattern"), {"at_least": (_is_count, _COUNT, False)}, lambda v, o: keeps(v, **o)),
    "keeps_younger_than": (
        _AGE,
        {"pattern": (_is_text, "a tag pattern", False), "untagged": (_is_flag, "true or false", False)},
        lambda v, o: keeps_younger_than(v, **o),
    ),
    "never_expires": ((_is_list, "a list of digests and references"), {}, lambda v, _: never_expires(v)),
    "expires": (
        (_is_pattern, "a tag pattern, or null for untagged images"),
        {"older_than": (*_AGE, True)},
        lambda v, o: expires(v, **o),
    ),
    "archives": (
        (_is_pattern, "a tag pattern, or null for untagged images"),
        {"unpulled_for": (*_AGE, True)},
        lambda v, o: archives(v, **o),
    ),
    "removes_at_most": (
        (_is_limit, 'an object with either "images" (0 or more) or "share" (0 to 1)'),
        {},
        lambda v, _: removes_at_most(**v),
    ),
}
