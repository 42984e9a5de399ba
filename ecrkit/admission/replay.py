"""What a gate would say of everything that a cluster runs or would run, without a cluster and without a webhook."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record
from ecrkit._internal.tables import html_table
from ecrkit.admission.decisions import Decision, Question
from ecrkit.admission.references import named_image
from ecrkit.admission.service import VerdictService
from ecrkit.deployments.pod_specs import ContainerImage, images_of
from ecrkit.errors import Problem

__all__ = ["Replay", "Replayed", "replay"]

_AT_ONCE: Final = 32
_PATIENCE: Final = 600.0


@attrs.frozen(kw_only=True)
class Replayed(Record):
    """One container and what would be said of its image; `refused` also when the profile only audits."""

    container: ContainerImage
    decision: Decision

    @property
    def refused(self) -> bool:
        """Whether enforcing would keep it out."""
        return not self.decision.allowed or self.decision.would_deny


def _entries(values: Iterable[Replayed]) -> tuple[Replayed, ...]:
    return tuple(values)


def _problems(values: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(values)


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@attrs.frozen(kw_only=True, repr=False)
class Replay(Record):
    """The decisions on all containers of a document, what could not be read, and conditions nobody asked."""

    entries: tuple[Replayed, ...] = attrs.field(default=(), converter=_entries)
    problems: tuple[Problem, ...] = attrs.field(default=(), converter=_problems)
    unjudged: tuple[str, ...] = attrs.field(default=(), converter=_texts)

    @property
    def refused(self) -> tuple[Replayed, ...]:
        """The containers that enforcing would keep out."""
        return tuple(e for e in self.entries if e.refused)

    @property
    def passed(self) -> bool:
        """Whether everything could be read, nothing would be kept out, and no condition was left unasked."""
        return not self.problems and not self.refused and not self.unjudged

    @property
    def counts(self) -> Mapping[str, int]:
        """How many containers have each outcome."""
        return dict(sorted(Counter(e.decision.outcome for e in self.entries).items()))

    @override
    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready mapping."""
        return {
            "format": "ecrkit.admission-replay/1",
            "passed": self.passed,
            "counts": dict(self.counts),
            "entries": [
                {"container": e.container.to_dict(), "decision": e.decision.to_dict(), "refused": e.refused}
                for e in self.entries
            ],
            "problems": [p.to_dict() for p in self.problems],
            "unjudged": list(self.unjudged),
        }

    def _repr_html_(self) -> str:
        rows = [(str(e.container.workload), e.container.image, e.decision.outcome, e.decision.reason)
                for e in self.refused]  # fmt: skip
        return html_table(("workload", "image", "outcome", "why"), rows, caption=self._line())

    def _line(self) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items()) or "no containers"
        unread = f", {len(self.problems)} unreadable" if self.problems else ""
        return f"{len(self.refused)} of {len(self.entries)} containers would be denied ({counts}{unread})"

    @override
    def __str__(self) -> str:
        lines = [self._line(), *(f"- {e.container.workload}: {e.decision.message}" for e in self.refused)]
        lines += [f"- unreadable: {p}" for p in self.problems]
        return "\n".join([*lines, *(f"- not judged: {name}" for name in self.unjudged)])

    __repr__ = __str__


def replay(pods: object, service: VerdictService, *, cluster: str = "", deadline: float = _PATIENCE) -> Replay:
    """Return what the service says of every container that a document names.

    For a running Pod the digest that the kubelet pulled is judged, and not what its tag names by now. A document is
    what `kubectl get pods -A -o json` prints, or any object or List that `deployments.images_of` reads. With
    `SavedFindings` as its registry the service calls nothing. Each image is asked once for each namespace.

    Args:
        pods: the document, as parsed JSON.
        service: whose profiles and findings to use.
        cluster: its name, for people.
        deadline: seconds for each batch of images; the service's own is for a webhook's caller, who cannot wait.

    Example:
        >>> from ecrkit.admission import AdmissionProfile, AdmissionProfiles, SavedFindings
        >>> from ecrkit.scanning import Gate, count_limit
        >>> pod = {"kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"image": "nginx:1"}]}}
        >>> profiles = AdmissionProfiles(AdmissionProfile(name="all", gate=Gate(count_limit("CRITICAL", 0))))
        >>> with VerdictService(profiles=profiles, registries={}) as service:
        ...     print(replay(pod, service).counts)
        {'fail': 1}
    """
    found = images_of(pods, cluster=cluster)
    questions = {c: Question(image=_judged_image(c), namespace=c.namespace) for c in found.images}
    wanted = list(dict.fromkeys(questions.values()))
    decisions: dict[Question, Decision] = {}
    # In batches that fit the service's queue, so that a large cluster is not told that too much is asked at once.
    size = max(1, min(_AT_ONCE, service.limits.workers + service.limits.queue))
    for start in range(0, len(wanted), size):
        batch = wanted[start : start + size]
        decisions |= zip(batch, service.decide_all(batch, deadline=deadline), strict=True)
    entries = [Replayed(container=c, decision=decisions[q]) for c, q in questions.items()]
    return Replay(entries=entries, problems=found.problems)


def _judged_image(container: ContainerImage) -> str:
    named = named_image(container.image)
    if container.digest is None or named.kind != "private" or named.ref is None or named.ref.digest is not None:
        return container.image
    return f"{named.ref.registry}/{named.ref.repository}@{container.digest}"
