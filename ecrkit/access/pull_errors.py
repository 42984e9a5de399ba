"""What a failed pull means: the real messages of kubelet, containerd, Docker and ECR, sorted into causes.

Source: ECR user guide, "Common Docker errors"; Kubernetes documentation, "Images"; messages quoted in public issues
(`amazon-eks-ami#1949`, `cloud-provider-aws#1029`, `soci-snapshotter#1084`, `bedrock-access-gateway#114` and others).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.pull_error_table import SIGNATURES

__all__ = ["Cause", "Confidence", "Diagnosis", "diagnose"]

Confidence = Literal["high", "medium", "low"]
_LIMIT: Final = 20_000
_DENIAL: Final = re.compile(
    r"User: (?P<who>\S{1,512}) is not authorized to perform: (?P<action>[a-z0-9-]{1,40}:[A-Za-z]{1,80})"
    r"(?: on resource: (?P<resource>\S{1,1024}))?"
)
_TYPE: Final = re.compile(
    r"(?:because no|explicit deny in an?) "
    r"(?P<type>identity-based policy|resource-based policy|permissions boundary|session policy|"
    r"service control policy|resource control policy|VPC endpoint policy)"
)
_IMAGE: Final = re.compile(
    r"(?:public\.ecr\.aws|ecr-public\.aws\.com|[\w.-]{1,100}\.(?:amazonaws\.(?:com(?:\.cn)?|eu)|on\.aws"
    r"|on\.amazonwebservices\.com\.cn|c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov))"
    r"/[\w./-]{1,256}(?::[\w.-]{1,128})?(?:@sha256:[0-9a-f]{64})?"
)


@attrs.frozen(kw_only=True)
class Cause(Record):
    """One possible cause: how sure it is, what to look at next (read-only), and what mends it."""

    code: str
    confidence: Confidence
    explanation: str
    probe: str
    fix: str


@attrs.frozen(kw_only=True)
class Diagnosis(Record):
    """The causes, likeliest first. `blocking` is False when the pull goes on in spite of the message.

    `principal`, `action` and `resource` come from an AccessDenied text, `image` from anywhere in it.
    """

    text: str
    causes: tuple[Cause, ...]
    image: str | None = None
    principal: str | None = None
    action: str | None = None
    resource: str | None = None
    blocking: bool = True

    @property
    def known(self) -> bool:
        """Whether the text is one that is understood."""
        return self.causes[0].code != "unknown"

    @property
    def likeliest(self) -> Cause:
        """The first cause."""
        return self.causes[0]

    def explain(self) -> str:
        """Return the causes in words, one a line."""
        return "\n".join(f"{c.confidence}: {c.explanation}. Look at: {c.probe}. Fix: {c.fix}" for c in self.causes)


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    """Yield the messages of a pod, a pod status or an event, whatever of them is there."""
    if depth > 6:
        return
    if isinstance(value, Mapping):
        for key in ("reason", "message", "note"):
            text = value.get(key)
            if isinstance(text, str):
                yield text
        for key in (
            "status", "containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses", "state", "lastState",
            "waiting", "terminated", "items",
        ):  # fmt: skip
            yield from _texts(value.get(key), depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)


def diagnose(failure: str | Mapping[str, Any]) -> Diagnosis:
    """Return the likely causes of a failed pull, from an error text, a pod (or its status), or an event.

    A text that is not known gives the single cause `unknown` with low confidence, never a guess.

    Example:
        >>> found = diagnose("denied: Your authorization token has expired. Reauthenticate and try again.")
        >>> found.likeliest.code, found.likeliest.confidence
        ('static-credential-expired', 'high')
    """
    text = failure if isinstance(failure, str) else "\n".join(dict.fromkeys(_texts(failure)))
    text = text[:_LIMIT]
    denial = _DENIAL.search(text)
    image = _IMAGE.search(text)
    causes, blocking = _causes(text, denial)
    return Diagnosis(
        text=text, causes=tuple(causes), image=image.group().rstrip(".:") if image else None,
        principal=denial.group("who") if denial else None, action=denial.group("action") if denial else None,
        resource=denial.group("resource") if denial else None, blocking=blocking,
    )  # fmt: skip


def _causes(text: str, denial: re.Match[str] | None) -> tuple[list[Cause], bool]:
    for pattern, rows, blocking in SIGNATURES:
        if pattern.search(text):
            return [_made(r) for r in rows], blocking
    if denial:
        return [_denied(text, denial)], True
    return [_made(_UNKNOWN)], True


_UNKNOWN: Final = (
    "unknown", "low", "the text is none that is known", "the kubelet's log and the whole event text of the node",
    "nothing can be said from this text alone",
)  # fmt: skip


def _made(row: Iterable[str]) -> Cause:
    code, level, explanation, probe, fix = row
    confidence: Confidence = "high" if level == "high" else "medium" if level == "medium" else "low"
    return Cause(code=code, confidence=confidence, explanation=explanation, probe=probe, fix=fix)


def _denied(text: str, denial: re.Match[str]) -> Cause:
    kind = _TYPE.search(text)
    name = kind.group("type") if kind else "policy of an unnamed kind"
    action, who = denial.group("action"), denial.group("who")
    if "explicit deny" in text:
        return Cause(
            code="explicit-deny", confidence="high" if kind else "medium",
            explanation=f"a Deny in a {name} refuses {action} to {who}", probe=f"Deny statements of the {name}",
            fix="narrow the Deny; no Allow can outweigh it",
        )  # fmt: skip
    # AWS names one kind of policy; across accounts another may be missing as well.
    return Cause(
        code="not-allowed", confidence="high" if kind else "medium",
        explanation=f"no {name} allows {action} to {who}",
        probe="explain_pull with the caller's identity policies, the repository policy and the registry policy",
        fix=f"allow {action} there; across accounts both the identity and the repository policy must allow",
    )  # fmt: skip
