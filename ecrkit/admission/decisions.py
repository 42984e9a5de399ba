"""What admission is asked and what it answers: one question and one decision for each image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import attrs
from typing_extensions import override

from ecrkit._internal.jsonio import Record

__all__ = ["Answered", "Decision", "DecisionOutcome", "Mode", "OutsidePolicy", "Question"]

DecisionOutcome = Literal["pass", "fail", "undetermined", "skipped"]
"""A gate's outcome; `skipped` is an image of another registry that nobody asked to be judged."""
Mode = Literal["enforce", "audit"]
"""Whether a no is a no (`enforce`), or only told and recorded (`audit`)."""
OutsidePolicy = Literal["deny", "allow", "skip"]
"""What to do with images of other registries: deny them, admit them with a warning, or say nothing on them."""
Answered = Literal["registry", "cache", "stale", "policy"]
"""Where a decision comes from: asked now, kept, kept past its time while the registry fails, or no image to ask for."""

_REASON_LENGTH: Final = 1000
_IDS: Final = 20


def _shorter(text: str) -> str:
    return text if len(text) <= _REASON_LENGTH else text[: _REASON_LENGTH - 3] + "..."


def _texts(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


def _counts(values: Mapping[str, int]) -> Mapping[str, int]:
    return dict(values)


@attrs.frozen(kw_only=True)
class Question(Record):
    """May this image run in this namespace? `profile` names the rules to use; without one the namespace chooses."""

    image: str
    namespace: str | None = None
    profile: str | None = None


@attrs.frozen(kw_only=True)
class Decision(Record):
    """The answer for one image.

    `allowed` is what an admission controller does. In audit mode it is True for everything, and `would_deny` tells what
    would have been refused. `outcome` is the gate's own word: undetermined is never allowed unless audited. `digest` is
    what was judged: a tag may have moved since, so whoever acts on the decision pins this digest. `vulnerabilities`
    are the ids behind a fail, worst first, at most 20 of `vulnerability_count`. `transient` says that the registry
    could not be asked, so that asking again later may help.
    """

    image: str
    outcome: DecisionOutcome
    allowed: bool
    reason: str = attrs.field(default="", converter=_shorter)
    namespace: str | None = None
    profile: str | None = None
    repository: str | None = None
    digest: str | None = None
    counts: Mapping[str, int] = attrs.field(factory=dict, converter=_counts, hash=False)
    vulnerabilities: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    vulnerability_count: int = 0
    would_deny: bool = False
    transient: bool = False
    answered: Answered = "registry"

    @property
    def message(self) -> str:
        """The decision in one line: the image, the reason, and the ids of what is behind it."""
        named = ""
        if self.vulnerabilities:
            more = self.vulnerability_count - len(self.vulnerabilities)
            named = f" ({', '.join(self.vulnerabilities)}{f' and {more} more' if more > 0 else ''})"
        pinned = f" [{self.digest}]" if self.digest and self.digest not in self.image else ""
        return f"{self.image}{pinned}: {self.reason or self.outcome}{named}"

    def to_value(self) -> dict[str, Any]:
        """Return what the protocols carry; the same for the same verdict, however it was found."""
        return {
            "allowed": self.allowed,
            "outcome": self.outcome,
            "reason": self.reason,
            "wouldDeny": self.would_deny,
            "repository": self.repository,
            "digest": self.digest,
            "profile": self.profile,
            "counts": dict(self.counts),
            "vulnerabilities": list(self.vulnerabilities),
            "vulnerabilityCount": self.vulnerability_count,
        }

    @override
    def __str__(self) -> str:
        word = "would be denied" if self.would_deny else "allowed" if self.allowed else "denied"
        return f"{word} ({self.outcome}): {self.message}"


def worst_ids(ids: Iterable[str]) -> tuple[tuple[str, ...], int]:
    """Return the first ids, each once, and how many there are in all."""
    found = tuple(dict.fromkeys(ids))
    return found[:_IDS], len(found)
