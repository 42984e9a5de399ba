"""Promotions: an image goes from one environment to the next when every gate says yes, and who did it is kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Literal, TypeAlias
from urllib.parse import quote, unquote

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.times import iso, parse_time, require_aware
from ecrkit.errors import EcrkitError, GateRefused, InvalidInput, Problem
from ecrkit.promotion.plan import CopyPlan
from ecrkit.refs import ImageRef, RegistryHost

__all__ = [
    "Candidate",
    "Environment",
    "GateAnswer",
    "Promotion",
    "PromotionGate",
    "PromotionPlan",
    "PromotionRecord",
    "RollbackPlan",
    "ask_gates",
]

Outcome = Literal["pass", "fail", "undetermined"]
Layout = Literal["repository", "tag"]


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class Environment(Record):
    """Where images of one environment live: in repositories of its own, or under its tag in the repository they have.

    Example:
        >>> staging, prod = Environment.repositories("staging"), Environment.repositories("prod")
        >>> str(prod.reference(staging.reference("team/app:v1"), leaving=staging))
        'prod/team/app:v1'
        >>> str(Environment.tags("prod").reference("team/app:v1"))
        'team/app:prod'
    """

    name: str
    layout: Layout
    registry: RegistryHost | None = None

    def __attrs_post_init__(self) -> None:
        try:
            ImageRef.parse(f"{self.name}/x" if self.layout == "repository" else f"xx:{self.name}")
        except EcrkitError:
            raise InvalidInput.single(
                "not an environment", "name", f"{self.name!r:.80} cannot stand in a {self.layout} name"
            ) from None

    @classmethod
    def repositories(cls, name: str, *, registry: RegistryHost | str | None = None) -> Environment:
        """Return an environment with repositories of its own, `NAME/app`, perhaps in a registry of its own.

        Raises:
            InvalidInput: the name cannot stand in a repository name.
        """
        host = RegistryHost.parse(registry) if isinstance(registry, str) else registry
        return cls(name=name, layout="repository", registry=host)

    @classmethod
    def tags(cls, name: str, *, registry: RegistryHost | str | None = None) -> Environment:
        """Return an environment that is a tag, `app:NAME`, which moves from image to image.

        Raises:
            InvalidInput: the name is no tag.
        """
        host = RegistryHost.parse(registry) if isinstance(registry, str) else registry
        return cls(name=name, layout="tag", registry=host)

    def reference(self, image: ImageRef | str, *, leaving: Environment | None = None) -> ImageRef:
        """Return what the image is called in this environment.

        `leaving` is the environment that its reference is of, whose repository prefix is taken off.

        Raises:
            InvalidInput: the reference is not of the environment that is left.
        """
        ref = image if isinstance(image, ImageRef) else ImageRef.parse(image)
        name = str(ref.repository)
        if leaving is not None and leaving.layout == "repository":
            if not name.startswith(f"{leaving.name}/"):
                raise InvalidInput.single("not promoted", "image", f"{name} is no repository of {leaving.name}")
            name = name.removeprefix(f"{leaving.name}/")
        if self.layout == "repository":
            name = f"{self.name}/{name}"
        tag = self.name if self.layout == "tag" else ref.tag
        named = ImageRef.parse(name if tag is None else f"{name}:{tag}")
        if tag is None and ref.digest is not None:
            named = named.pinned(ref.digest)
        host = self.registry if self.registry is not None else ref.registry
        return named if host is None else named.in_registry(host)


@attrs.frozen(kw_only=True)
class Candidate(Record):
    """What a gate judges: the image by its digest, where it is to go, and who wants it there and why."""

    source: str
    repository: str
    """The repository in the source."""
    digest: str
    target: str
    who: str
    why: str


@attrs.frozen(kw_only=True)
class GateAnswer(Record):
    """What one gate said. `undetermined` is a no, and says that the gate could not tell."""

    gate: str
    outcome: Outcome
    reasons: tuple[str, ...] = attrs.field(default=(), converter=_texts)


PromotionGate: TypeAlias = Callable[[Candidate], GateAnswer | bool | None]
"""Judges a candidate: True is a yes, False a no, None means that it cannot tell, which is a no too."""


def _gates(values: Mapping[str, PromotionGate]) -> Mapping[str, PromotionGate]:
    return dict(values)


@attrs.frozen(kw_only=True)
class Promotion:
    """An image that is to go from one place to another: which, where, through which gates, and who wants it and why.

    `gates` are callables by name: scans, provenance, approvals. `create_repository`, `move` and `referrers` are those
    of `plan`; an environment that is a tag needs `move` for every promotion but the first.

    Raises:
        InvalidInput: who or why is empty, or longer than 1,000 characters.

    Example:
        >>> promotion = Promotion(source="app:v1", target="app:prod", who="ci", why="release 7", move=True,
        ...                       gates={"approved": lambda candidate: candidate.who == "ci"})
        >>> [answer.outcome for answer in ask_gates(promotion, "sha256:" + "0" * 64, repository="app")]
        ['pass']
    """

    source: str
    target: str
    who: str
    why: str
    gates: Mapping[str, PromotionGate] = attrs.field(factory=dict, converter=_gates, hash=False)
    move: bool = False
    create_repository: bool = False
    referrers: bool = True

    def __attrs_post_init__(self) -> None:
        problems = [
            Problem(name, "must be a text of 1 to 1,000 characters")
            for name, text in (("who", self.who), ("why", self.why))
            if not 0 < len(text.strip()) <= 1000
        ]
        if problems:
            raise InvalidInput("not a promotion", problems)


def ask_gates(promotion: Promotion, digest: str, *, repository: str) -> tuple[GateAnswer, ...]:
    """Ask every gate, and return what each said. A gate that fails to answer is undetermined, with the fault."""
    candidate = Candidate(
        source=promotion.source, repository=repository, digest=digest, target=promotion.target,
        who=promotion.who, why=promotion.why,
    )  # fmt: skip
    return tuple(_asked(name, gate, candidate) for name, gate in promotion.gates.items())


def _asked(name: str, gate: PromotionGate, candidate: Candidate) -> GateAnswer:
    try:
        answer = gate(candidate)
    except Exception as fault:  # noqa: BLE001 a gate is foreign code, and one that breaks has not said yes
        return GateAnswer(gate=name, outcome="undetermined", reasons=[f"{type(fault).__name__}: {fault}"])
    if isinstance(answer, GateAnswer):
        known = answer.outcome in ("pass", "fail", "undetermined")
        return attrs.evolve(answer, gate=name, outcome=answer.outcome if known else "undetermined")
    # Nothing but True itself is a yes: a gate that returns some object by mistake has not said so.
    if answer is True:
        return GateAnswer(gate=name, outcome="pass")
    if answer is False:
        return GateAnswer(gate=name, outcome="fail", reasons=["it said no"])
    return GateAnswer(gate=name, outcome="undetermined", reasons=[f"it answered {answer!r:.80}"])


def _answers(values: Iterable[GateAnswer]) -> tuple[GateAnswer, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True)
class PromotionPlan(Record):
    """What a promotion would do, and what the gates say of it now."""

    source: str
    target: str
    digest: str
    answers: tuple[GateAnswer, ...] = attrs.field(default=(), converter=_answers)
    copy: CopyPlan = attrs.field(factory=CopyPlan)

    @property
    def outcome(self) -> Outcome:
        """`pass` when every gate passes, `fail` when one fails, else `undetermined`."""
        outcomes = {answer.outcome for answer in self.answers}
        return "fail" if "fail" in outcomes else "undetermined" if outcomes - {"pass"} else "pass"

    @property
    def former(self) -> str | None:
        """What the target's tag names now."""
        return self.copy.items[0].former if self.copy.items else None

    def require(self) -> None:
        """Return quietly when every gate passes and nothing stands in the way.

        Raises:
            GateRefused: a gate does not let the image through; `verdict` is this plan.
            PlanRefused: the copy cannot be made.
        """
        if self.outcome != "pass":
            said = "; ".join(
                f"{a.gate}: {a.outcome}{f' ({a.reasons[0]})' if a.reasons else ''}"
                for a in self.answers
                if a.outcome != "pass"
            )
            raise GateRefused(f"{self.source} is not promoted to {self.target}: {said}", verdict=self)
        self.copy.require()

    def explain(self) -> str:
        """Return the plan in words."""
        lines = [f"{self.source} ({self.digest}) to {self.target}: {self.outcome}"]
        lines += [f"  {a.gate}: {a.outcome}" + "".join(f"\n    {r}" for r in a.reasons) for a in self.answers]
        return "\n".join([*lines, self.copy.explain()])


_PREFIX: Final = "ecrkit.promotion."
_PLAIN: Final = " /:+@()"


@attrs.frozen(kw_only=True)
class PromotionRecord(Record):
    """Who promoted what, from where to where, when and why, and what the gates said. Keep it: a rollback needs it.

    `former` is what the tag named before. `recorded` is the digest of the referrer that says the same in the target's
    repository, when one was written: a note, which everyone who may push there can write, and no proof.
    """

    source: str
    target: str
    digest: str
    tag: str | None
    former: str | None
    who: str
    why: str
    at: dt.datetime
    status: Literal["promoted", "present", "rolled back"]
    gates: tuple[GateAnswer, ...] = attrs.field(default=(), converter=_answers)
    bytes_moved: int = 0
    recorded: str | None = None

    def annotations(self) -> dict[str, str]:
        """Return the record as the annotations of a referrer."""
        said = {
            "source": self.source,
            "target": self.target,
            "digest": self.digest,
            "tag": self.tag,
            "former": self.former,
            "who": self.who,
            "why": self.why,
            "status": self.status,
            # A gate's name is the caller's: what separates the entries is written as %2C in it.
            "gates": ",".join(f"{quote(a.gate, safe=_PLAIN)}={a.outcome}" for a in self.gates),
        }
        return {"org.opencontainers.image.created": iso(self.at)} | {
            _PREFIX + name: text for name, text in said.items() if text
        }

    @classmethod
    def from_annotations(cls, notes: Mapping[str, str], *, recorded: str) -> PromotionRecord | None:
        """Return the record that a referrer's annotations hold, or None when they hold none."""
        held = {name.removeprefix(_PREFIX): text for name, text in notes.items() if name.startswith(_PREFIX)}
        status = held.get("status")
        if status not in ("promoted", "present", "rolled back") or not {"source", "target", "digest"} <= held.keys():
            return None
        try:
            at = require_aware(parse_time(notes.get("org.opencontainers.image.created", "")), "created")
        except ValueError:
            return None
        gates: list[GateAnswer] = []
        for entry in filter(None, held.get("gates", "").split(",")):
            name, _, outcome = entry.rpartition("=")
            known: Outcome = "pass" if outcome == "pass" else "fail" if outcome == "fail" else "undetermined"
            gates.append(GateAnswer(gate=unquote(name), outcome=known))
        return cls(
            source=held["source"], target=held["target"], digest=held["digest"], tag=held.get("tag"),
            former=held.get("former"), who=held.get("who", ""), why=held.get("why", ""), at=at,
            status="rolled back" if status == "rolled back" else "present" if status == "present" else "promoted",
            gates=gates, recorded=recorded,
        )  # fmt: skip

    @override
    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.who}: {self.status} {self.source} -> {self.target} ({self.why})"


@attrs.frozen(kw_only=True)
class RollbackPlan(Record):
    """A tag that is to go back: from `digest`, which it names now, to `to`, which it named before."""

    target: str
    tag: str
    digest: str
    to: str
    obstacles: tuple[str, ...] = attrs.field(default=(), converter=_texts)
