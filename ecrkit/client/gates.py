"""Gates for promotions out of the other domains: scans, provenance, replication, and what refers to an image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ecrkit.client.admission import provenance_of
from ecrkit.errors import InvalidInput, InvalidReference
from ecrkit.promotion.model import Candidate, GateAnswer, PromotionGate
from ecrkit.refs import ImageRef

if TYPE_CHECKING:
    from ecrkit.client.registry import Registry
    from ecrkit.scanning.gate import Gate

__all__ = ["provenance_gate", "referrer_gate", "replication_gate", "scan_gate"]


def _place(registry: Registry, candidate: Candidate) -> tuple[Registry, ImageRef] | None:
    """Return the registry that holds the source and the image by digest, or None when it is not in private ECR."""
    try:
        ref = ImageRef.parse(candidate.source).pinned(candidate.digest)
    except InvalidReference:
        return None
    host = ref.registry
    if host is None:
        return registry, ref
    if host.account is None or host.region is None:
        return None
    return registry.in_region(host.region, account=host.account), ref


def _elsewhere(name: str) -> GateAnswer:
    return GateAnswer(gate=name, outcome="undetermined", reasons=["the source is not in private ECR"])


def scan_gate(registry: Registry, gate: Gate) -> PromotionGate:
    """Return the gate that judges the scan of the image in the source; its three answers are those of the verdict.

    Example:
        >>> from ecrkit import Registry
        >>> from ecrkit.local.images import filler, image, push
        >>> from ecrkit.promotion import Promotion
        >>> from ecrkit.scanning import Gate, count_limit
        >>> with Registry.local() as registry:
        ...     made = registry.gateway.create_repository("app")
        ...     digest = push(image([filler(4096)]), registry.client, "app", "v1")
        ...     plan = registry.promotion.plan_promotion(Promotion(
        ...         source="app:v1", target="app:prod", who="ci", why="release",
        ...         gates={"scan": scan_gate(registry, Gate(count_limit("CRITICAL", 0)))}))
        >>> plan.outcome
        'undetermined'
    """

    def ask(candidate: Candidate) -> GateAnswer:
        found = _place(registry, candidate)
        if found is None:
            return _elsewhere("scan")
        where, ref = found
        verdict = gate.judge(where.scanning.read(ref), now=where.clock.now())
        return GateAnswer(gate="scan", outcome=verdict.outcome, reasons=[str(reason) for reason in verdict.reasons])

    return ask


def provenance_gate(registry: Registry) -> PromotionGate:
    """Return the gate that passes when SLSA provenance of the image is stored in the source.

    It is the condition `provenance` of admission: for an index each platform needs it, and an attestation that does not
    say what it attests leaves it undetermined. That a record is there is all it says; it is no check of a signature.
    Calls in the source: BatchGetImage and ListImageReferrers, as `ecrkit.admission.Provenance` says.
    """

    def ask(candidate: Candidate) -> GateAnswer:
        found = _place(registry, candidate)
        if found is None:
            return _elsewhere("provenance")
        where, ref = found
        answer = provenance_of(where.gateway)(str(ref.repository), candidate.digest)
        return GateAnswer(gate="provenance", outcome=answer.outcome, reasons=[answer.text])

    return ask


def replication_gate(
    registry: Registry, destinations: Iterable[str] | None = None, *, timeout: float = 0.0
) -> PromotionGate:
    """Return the gate that passes when the image is at every destination, after waiting `timeout` seconds at most.

    An image that no rule sends anywhere is undetermined.
    """
    wanted = None if destinations is None else tuple(destinations)

    def ask(candidate: Candidate) -> GateAnswer:
        found = _place(registry, candidate)
        if found is None:
            return _elsewhere("replication")
        where, ref = found
        result = where.replication.wait(ref, wanted, timeout=timeout)
        if not result.destinations:
            return GateAnswer(gate="replication", outcome="undetermined", reasons=[result.note])
        return GateAnswer(
            gate="replication",
            outcome="pass" if result.ok else "fail",
            reasons=[] if result.ok else [str(destination) for destination in result.destinations],
        )

    return ask


def referrer_gate(registry: Registry, artifact_types: Iterable[str]) -> PromotionGate:
    """Return the gate that passes when the image has an active referrer of each artifact type, such as an SBOM.

    That something is there is all it says. Whoever may push can put it there, so it is no check of a signature.

    Raises:
        InvalidInput: no type is named: such a gate would let everything through.
    """
    types = tuple(artifact_types)
    if not types:
        raise InvalidInput.single("no gate", "artifact_types", "names no type, so that everything would pass")

    def ask(candidate: Candidate) -> GateAnswer:
        found = _place(registry, candidate)
        if found is None:
            return _elsewhere("referrer")
        where, ref = found
        held = {
            referrer.artifact_type
            for referrer in where.gateway.referrers(str(ref.repository), candidate.digest, artifact_types=types)
            if referrer.status == "ACTIVE"
        }
        missing = [kind for kind in types if kind not in held]
        return GateAnswer(
            gate="referrer",
            outcome="fail" if missing else "pass",
            reasons=[f"nothing of type {kind} refers to the image" for kind in missing],
        )

    return ask
