"""The verdict service: may this image run in this namespace, answered in time whatever the registry does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from types import TracebackType
from typing import Final, Self

import attrs

from ecrkit._internal.clock import SystemClock
from ecrkit.admission.cache import TimedCache
from ecrkit.admission.conditions import Condition, ConditionAnswer
from ecrkit.admission.decisions import Decision, DecisionOutcome, Mode, Question, worst_ids
from ecrkit.admission.profiles import AdmissionProfile, AdmissionProfiles
from ecrkit.admission.references import NamedImage, named_image
from ecrkit.admission.single_flight import SingleFlight
from ecrkit.admission.sources import FindingsOf
from ecrkit.admission.workers import DaemonWorkers
from ecrkit.errors import EcrkitError, InvalidInput, NotFound, Problem, Throttled, Unavailable
from ecrkit.ports import Clock
from ecrkit.refs import ImageRef
from ecrkit.scanning.platforms import ImageScan
from ecrkit.scanning.rules import Outcome, worst
from ecrkit.scanning.verdict import Verdict

__all__ = ["Lifetimes", "ServiceLimits", "VerdictService"]

_LOG: Final = logging.getLogger("ecrkit.admission")

Place = tuple[str, str]
"""An account and a Region: one registry."""
_Image = tuple[Place, str, str]
_Kept = tuple[Place, str, str, str]


@attrs.frozen(kw_only=True)
class Lifetimes:
    """For how many seconds an answer is kept, by what it is.

    `tag_seconds` is how long the digest of a tag is believed; 0 asks for every request. With
    `stale_while_error_seconds` a pass or a fail is used for so long after it has expired, when the registry cannot
    be asked at that moment; 0, the default, never does.

    Raises:
        InvalidInput: one of them is negative.
    """

    pass_seconds: float = 300.0
    fail_seconds: float = 60.0
    undetermined_seconds: float = 10.0
    tag_seconds: float = 10.0
    stale_while_error_seconds: float = 0.0

    def __attrs_post_init__(self) -> None:
        problems = [
            Problem(f"$.{f.name}", f"must be a number of seconds of at least 0, not {getattr(self, f.name)!r:.40}")
            for f in attrs.fields(type(self))
            # `not >=` and not `<`: a NaN is no duration either.
            if isinstance(getattr(self, f.name), bool) or not getattr(self, f.name) >= 0
        ]
        if problems:
            raise InvalidInput("no lifetimes", problems)

    def of(self, outcome: DecisionOutcome) -> float:
        """Return the lifetime of a decision with that outcome."""
        if outcome == "pass":
            return self.pass_seconds
        return self.fail_seconds if outcome == "fail" else self.undetermined_seconds


@attrs.frozen(kw_only=True)
class ServiceLimits:
    """What the service may use: entries kept, images asked for at a time, and how many may wait beyond those.

    Raises:
        InvalidInput: one is too small.
    """

    entries: int = 10_000
    workers: int = 8
    queue: int = 64

    def __attrs_post_init__(self) -> None:
        least = {"entries": 1, "workers": 1, "queue": 0}
        problems = [
            Problem(f"$.{name}", f"must be a whole number of at least {low}, not {getattr(self, name)!r:.40}")
            for name, low in least.items()
            if isinstance(getattr(self, name), bool) or not isinstance(getattr(self, name), int)
            or getattr(self, name) < low
        ]  # fmt: skip
        if problems:
            raise InvalidInput("no limits", problems)


def _registries(values: Mapping[Place, FindingsOf]) -> Mapping[Place, FindingsOf]:
    return dict(values)


def _conditions(values: Iterable[Condition]) -> Mapping[str, Condition]:
    return {c.name: c for c in values}


def _by_place(values: Mapping[Place, Iterable[Condition]]) -> Mapping[Place, Mapping[str, Condition]]:
    return {place: _conditions(several) for place, several in values.items()}


def _observers(values: Iterable[Callable[[Decision, float], None]]) -> tuple[Callable[[Decision, float], None], ...]:
    return tuple(values)


@attrs.frozen(kw_only=True, eq=False)
class VerdictService:
    """Answers whether images may run, from ECR's findings, in bounded time and memory. Threads may share it.

    `registries` maps (account, Region) to what tells of its images; every other image is of another registry, for
    which the profile's policy decides. `deadline` is how many seconds a caller waits at most: what is not known
    by then is undetermined, and a no. The work goes on, so that the next caller finds the answer. `mode` "audit"
    admits everything and tells what would have been denied; a profile can ask for that for itself. `conditions` answer
    for images of every registry, `registry_conditions` those of one, by its (account, Region); where both have a name,
    the former answers. `observers` are called with each decision and the seconds it took.

    No answer is ever an exception: faults of the registry, of a condition or of this code make an image undetermined.
    Use it as a context manager, or `close` it.

    Example:
        >>> from ecrkit.admission import AdmissionProfile, AdmissionProfiles, SavedFindings
        >>> from ecrkit.scanning import Gate, ScanReport, count_limit
        >>> digest = "sha256:" + "0" * 64
        >>> clean = ScanReport.from_api({"repositoryName": "team/app", "imageId": {"imageDigest": digest},
        ...     "imageScanStatus": {"status": "COMPLETE"},
        ...     "imageScanFindings": {"imageScanCompletedAt": 1767225600.0, "findings": []}})
        >>> profiles = AdmissionProfiles(AdmissionProfile(name="all", gate=Gate(count_limit("CRITICAL", 0))))
        >>> with VerdictService(profiles=profiles,
        ...                     registries={("123456789012", "us-east-1"): SavedFindings([clean])}) as service:
        ...     decision = service.decide(f"123456789012.dkr.ecr.us-east-1.amazonaws.com/team/app@{digest}")
        >>> decision.allowed, decision.outcome
        (True, 'pass')
    """

    profiles: AdmissionProfiles
    registries: Mapping[Place, FindingsOf] = attrs.field(converter=_registries)
    conditions: Mapping[str, Condition] = attrs.field(factory=dict, converter=_conditions)
    registry_conditions: Mapping[Place, Mapping[str, Condition]] = attrs.field(factory=dict, converter=_by_place)
    lifetimes: Lifetimes = attrs.field(factory=Lifetimes)
    limits: ServiceLimits = attrs.field(factory=ServiceLimits)
    deadline: float = 2.0
    mode: Mode = "enforce"
    clock: Clock = attrs.field(factory=SystemClock)
    observers: Sequence[Callable[[Decision, float], None]] = attrs.field(default=(), converter=_observers)
    _pool: DaemonWorkers = attrs.field(init=False, repr=False)
    _room: threading.BoundedSemaphore = attrs.field(init=False, repr=False)
    _decided: TimedCache[_Kept, Decision] = attrs.field(init=False, repr=False)
    _last_good: TimedCache[_Kept, Decision] = attrs.field(init=False, repr=False)
    _digests: TimedCache[tuple[Place, str, str], str] = attrs.field(init=False, repr=False)
    _asking: SingleFlight[tuple[Place, str, str, str], Decision] = attrs.field(init=False, factory=SingleFlight)
    _reading: SingleFlight[_Image, ImageScan] = attrs.field(init=False, factory=SingleFlight)

    def __attrs_post_init__(self) -> None:
        problems = [
            Problem(
                f"$.profiles[{n}].conditions",
                f"{name!r} was not given; there is {', '.join(self._known()) or 'none'}",
            )
            for n, profile in enumerate(self.profiles.entries)
            for name in profile.conditions
            if name not in self._known()
        ]
        if isinstance(self.deadline, bool) or not self.deadline > 0:
            problems.append(Problem("$.deadline", f"must be a positive number of seconds, not {self.deadline!r:.40}"))
        if problems:
            raise InvalidInput("no verdict service", problems)
        set_ = object.__setattr__
        set_(self, "_pool", DaemonWorkers(self.limits.workers, name="ecrkit-admission"))
        set_(self, "_room", threading.BoundedSemaphore(self.limits.workers + self.limits.queue))
        set_(self, "_decided", TimedCache(self.limits.entries, self.clock))
        set_(self, "_last_good", TimedCache(self.limits.entries, self.clock))
        set_(self, "_digests", TimedCache(self.limits.entries, self.clock))

    def _known(self) -> tuple[str, ...]:
        """Return the names of the conditions that every registry has."""
        each = [self.registry_conditions.get(place, {}) for place in self.registries]
        first = each[0] if each else {}
        return (*self.conditions, *(n for n in first if n not in self.conditions and all(n in own for own in each)))

    # ---- asking

    def decide(
        self, image: str, *, namespace: str | None = None, profile: str | None = None, deadline: float | None = None
    ) -> Decision:
        """Return whether the image may run, within the deadline (seconds; by default the service's)."""
        return self.decide_all([Question(image=image, namespace=namespace, profile=profile)], deadline=deadline)[0]

    def decide_all(self, questions: Iterable[Question], *, deadline: float | None = None) -> tuple[Decision, ...]:
        """Return the decisions in the order of the questions; the deadline is for all of them together."""
        begun = self.clock.monotonic()
        asked = tuple(questions)
        found: dict[Question, Decision | Future[Decision]] = {}
        for question in asked:
            if question not in found:
                found[question] = self._at_once(question)
        waiting = {f for f in found.values() if isinstance(f, Future)}
        if waiting:
            wait(waiting, timeout=self.deadline if deadline is None else max(deadline, 0.0))
        done = {q: self._settled(q, self._finished(q, f)) for q, f in found.items()}
        took = self.clock.monotonic() - begun
        answers = tuple(attrs.evolve(done[q], image=q.image, namespace=q.namespace) for q in asked)
        for answer in answers:
            for observe in self.observers:
                observe(answer, took)
        return answers

    def _at_once(self, question: Question) -> Decision | Future[Decision]:
        """Return what needs no registry, or the work that asks one."""
        named = named_image(question.image)
        place, profile = _place(named.ref), self._profile(question, named)
        if profile is None:
            text = (
                f"there is no profile {question.profile!r:.80}"
                if question.profile
                else f"no profile is for it in namespace {question.namespace!r:.80}"
            )
            return self._plain(question, None, "undetermined", text)
        if named.kind == "malformed":
            return self._plain(question, profile, "undetermined", f"is no image reference: {named.problem}")
        if place is None or named.ref is None or place not in self.registries:
            return self._elsewhere(question, profile)
        return self._kept_or_asked(question, profile, place, named.ref)

    def _elsewhere(self, question: Question, profile: AdmissionProfile) -> Decision:
        if profile.outside == "allow":
            return self._plain(question, profile, "pass", "is of another registry, and allowed without a verdict")
        if profile.outside == "skip":
            return self._plain(question, profile, "skipped", "is of another registry, and not judged here")
        return self._plain(question, profile, "fail", "is of another registry, and only images of this one may run")

    def _plain(
        self, question: Question, profile: AdmissionProfile | None, outcome: DecisionOutcome, reason: str
    ) -> Decision:
        return self._decision(
            Decision(image=question.image, outcome=outcome, allowed=False, reason=reason, answered="policy"), profile
        )

    def _kept_or_asked(
        self, question: Question, profile: AdmissionProfile, place: Place, ref: ImageRef
    ) -> Decision | Future[Decision]:
        repository, digest = str(ref.repository), ref.digest or self._kept_digest(place, ref)
        if digest is not None:
            held = self._decided.get((place, repository, digest, profile.name))
            if held is not None and held.fresh:
                return attrs.evolve(held.value, answered="cache")
        key = (place, repository, ref.digest or f":{ref.tag}", profile.name)
        return self._asking.join(key, lambda: self._submit(question, profile, place, ref)) or self._plain_error(
            question, profile, "too many images are being asked for at this moment"
        )

    def _kept_digest(self, place: Place, ref: ImageRef) -> str | None:
        held = self._digests.get((place, str(ref.repository), str(ref.tag)))
        return held.value if held is not None and held.fresh else None

    def _submit(
        self, question: Question, profile: AdmissionProfile, place: Place, ref: ImageRef
    ) -> Future[Decision] | None:
        if not self._room.acquire(blocking=False):
            return None
        try:
            future = self._pool.submit(lambda: self._ask(question, profile, place, ref))
        except RuntimeError:  # the pool is closed
            self._room.release()
            return None
        future.add_done_callback(lambda _: self._room.release())
        return future

    def _finished(self, question: Question, work: Decision | Future[Decision]) -> Decision:
        if isinstance(work, Decision):
            return work
        if work.done() and not work.cancelled() and work.exception() is None:
            return work.result()
        why = "admission was stopped while it was asked" if work.cancelled() else "no answer in time"
        return self._plain_error(question, self._profile(question, named_image(question.image)), why)

    def _settled(self, question: Question, answer: Decision) -> Decision:
        if not answer.transient:
            return answer
        named = named_image(question.image)
        place, profile = _place(named.ref), self._profile(question, named)
        if place is None or named.ref is None or profile is None:
            return answer
        return self._stale(place, named.ref, profile, answer) or answer

    def _profile(self, question: Question, named: NamedImage) -> AdmissionProfile | None:
        if question.profile:
            return self.profiles.named(question.profile)
        ours = named.ref is not None and _place(named.ref) in self.registries
        repository = str(named.ref.repository) if named.ref is not None and ours else None
        return self.profiles.choose(namespace=question.namespace, repository=repository)

    def _stale(self, place: Place, ref: ImageRef, profile: AdmissionProfile, error: Decision) -> Decision | None:
        """Return the last verdict although it has expired, when the caller wants that while the registry fails."""
        if self.lifetimes.stale_while_error_seconds <= 0:
            return None
        repository, digest = str(ref.repository), error.digest or ref.digest
        if digest is None:
            last = self._digests.get((place, repository, str(ref.tag)))
            if last is None or last.seconds_left <= -self.lifetimes.stale_while_error_seconds:
                return None
            digest = last.value
        held = self._last_good.get((place, repository, digest, profile.name))
        if held is None or held.seconds_left <= -self.lifetimes.stale_while_error_seconds:
            return None
        reason = f"{held.value.reason}; an expired verdict, since {error.reason}".removeprefix("; ")
        return attrs.evolve(held.value, answered="stale", reason=reason)

    def _plain_error(self, question: Question, profile: AdmissionProfile | None, why: str) -> Decision:
        return self._decision(
            Decision(image=question.image, outcome="undetermined", allowed=False, reason=why, transient=True), profile
        )

    # ---- the work, in a worker

    def _ask(self, question: Question, profile: AdmissionProfile, place: Place, ref: ImageRef) -> Decision:
        """Return the decision and keep it; never raises."""
        repository, digest = str(ref.repository), None if ref.digest is None else str(ref.digest)
        try:
            if digest is None:
                digest = self._resolve(place, repository, str(ref.tag))
            key = (place, repository, digest, profile.name)
            held = self._decided.get(key)  # another tag of the same image may have been asked meanwhile
            if held is not None and held.fresh:
                return held.value
            decision = self._judge(question, profile, place, repository, digest)
        except EcrkitError as fault:
            transient = isinstance(fault, Throttled | Unavailable)
            decision = self._failed(question, profile, _told(fault), transient=transient)
        except Exception as fault:  # noqa: BLE001 - an admission controller must get an answer: a no, and a line in the log
            _LOG.exception("admission could not judge an image", extra={"image": question.image})
            decision = self._failed(question, profile, f"internal fault ({type(fault).__name__})", transient=True)
        if digest is not None:
            decision = attrs.evolve(decision, repository=repository, digest=digest)
            self._keep((place, repository, digest, profile.name), decision)
        return decision

    def _failed(self, question: Question, profile: AdmissionProfile, why: str, *, transient: bool) -> Decision:
        return attrs.evolve(self._plain_error(question, profile, why), transient=transient)

    def _keep(self, key: _Kept, decision: Decision) -> None:
        seconds = self.lifetimes.of(decision.outcome)
        self._decided.put(key, decision, seconds=seconds)
        if decision.outcome in ("pass", "fail"):
            self._last_good.put(key, decision, seconds=seconds)

    def _resolve(self, place: Place, repository: str, tag: str) -> str:
        held = self._digests.get((place, repository, tag))
        if held is not None and held.fresh:
            return held.value
        found = self.registries[place].digest_of(repository, tag)
        if found is None:
            raise NotFound(
                f"there is no tag {tag} in {repository}", operation="DescribeImages", code="ImageNotFoundException"
            )
        self._digests.put((place, repository, tag), found, seconds=self.lifetimes.tag_seconds)
        return found

    def _judge(
        self, question: Question, profile: AdmissionProfile, place: Place, repository: str, digest: str
    ) -> Decision:
        scan = self._reading.run(
            (place, repository, digest), lambda: self.registries[place].scan_of(repository, digest)
        )
        verdict = profile.gate.judge(
            scan,
            now=self.clock.now(),
            exemptions=profile.exemptions,
            vex=profile.vex,
            platforms=profile.platforms or None,
            profile=profile.name,
        )
        answers = [(name, self._condition(name, place, repository, digest)) for name in profile.conditions]
        return self._decision(_from_verdict(question.image, repository, digest, verdict, answers), profile)

    def _condition(self, name: str, place: Place, repository: str, digest: str) -> ConditionAnswer:
        # Never another registry's: what it says of a digest is not said of the copy that would be pulled.
        condition = self.conditions.get(name) or self.registry_conditions[place][name]
        try:
            return condition(repository, digest)
        except EcrkitError as fault:
            return ConditionAnswer("undetermined", _told(fault))
        except Exception as fault:  # noqa: BLE001 - the condition is a caller's own code
            _LOG.exception("a condition failed", extra={"condition": name})
            return ConditionAnswer("undetermined", f"internal fault ({type(fault).__name__})")

    def _decision(self, raw: Decision, profile: AdmissionProfile | None) -> Decision:
        """Return the decision with what its outcome means under the profile and the mode."""
        fine = raw.outcome in ("pass", "skipped")
        audit = self.mode == "audit" or (profile is not None and profile.mode == "audit")
        return attrs.evolve(
            raw,
            allowed=fine or audit,
            would_deny=not fine and audit,
            profile=None if profile is None else profile.name,
        )

    # ---- its end

    @property
    def entries(self) -> int:
        """How many decisions are kept at this moment."""
        return len(self._decided)

    def forget(self) -> None:
        """Forget every decision and every digest of a tag, as after a change of policy."""
        self._decided.clear()
        self._last_good.clear()
        self._digests.clear()

    def close(self) -> None:
        """Stop the workers and return at once: what waits is cancelled, and further questions are undetermined.

        A call under way goes on in a daemon thread, which does not keep the process from ending.
        """
        self._pool.close()

    def __enter__(self) -> Self:
        """Return the service."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def _place(ref: ImageRef | None) -> Place | None:
    if ref is None or ref.registry is None or ref.registry.account is None or ref.registry.region is None:
        return None
    return ref.registry.account, ref.registry.region


def _told(fault: EcrkitError) -> str:
    return f"the registry could not be asked: {fault}" if isinstance(fault, Throttled | Unavailable) else str(fault)


def _from_verdict(
    image: str, repository: str, digest: str, verdict: Verdict, answers: Sequence[tuple[str, ConditionAnswer]]
) -> Decision:
    outcomes: list[Outcome] = [verdict.outcome, *(a.outcome for _, a in answers)]
    reasons = [f"{r.rule}: {r.because or r.text}" for r in verdict.reasons]
    reasons += [f"{name}: {a.text}" for name, a in answers if a.outcome != "pass"]
    named = [r.finding.id for r in verdict.reasons if r.finding is not None]
    ids, count = worst_ids(named)
    return Decision(
        image=image,
        outcome=worst(outcomes),
        allowed=False,
        reason="; ".join(dict.fromkeys(reasons)),
        repository=repository,
        digest=digest,
        counts=verdict.counts,
        vulnerabilities=ids,
        vulnerability_count=count,
    )
