"""Read-only looks at the image of a failed pull, which confirm or rule out causes.

Source: ECR API reference, DescribeImages, BatchGetImage (ImageFailure) and BatchCheckLayerAvailability.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import attrs

from ecrkit._internal.jsonio import Record
from ecrkit.access.pull_errors import Cause, Diagnosis
from ecrkit.errors import AwsCallFailed, Denied, NotFound
from ecrkit.records import Image, ImageFailure, LayerState, RawManifest
from ecrkit.refs import ImageRef

__all__ = ["Observation", "ProbedDiagnosis", "PullProbes", "probe"]

_MOST_LAYERS: Final = 100


class PullProbes(Protocol):
    """The reads that a probe makes."""

    def image(self, repository: str, reference: str) -> Image:
        """Return the image of a tag or digest (DescribeImages); NotFound when there is none."""
        ...

    def manifest_of(self, repository: str, reference: str) -> RawManifest | ImageFailure:
        """Return the manifest or ECR's failure (BatchGetImage)."""
        ...

    def layers(self, repository: str, digests: Iterable[str]) -> Mapping[str, LayerState]:
        """Return the states of layers (BatchCheckLayerAvailability)."""
        ...


@attrs.frozen(kw_only=True)
class Observation(Record):
    """One read and its answer. `cause` is the code that it confirms; empty when it confirms none."""

    call: str
    answer: str
    cause: str = ""


@attrs.frozen(kw_only=True)
class ProbedDiagnosis(Record):
    """A diagnosis of a text with what probes saw.

    A cause of the text that a probe confirms comes first; one that only a probe saw follows what the text says for
    certain; what a probe rules out, such as a missing image that is there after all, comes last with low confidence.
    """

    diagnosis: Diagnosis
    observations: tuple[Observation, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def likeliest(self) -> Cause:
        """The first cause, confirmed or not."""
        return self.diagnosis.likeliest

    @property
    def confirmed(self) -> bool:
        """Whether a probe saw the likeliest cause."""
        return any(o.cause == self.likeliest.code for o in self.observations)

    def explain(self) -> str:
        """Return causes, observations and notes in words, one a line."""
        seen = [f"seen: {o.call}: {o.answer}" for o in self.observations]
        return "\n".join([self.diagnosis.explain(), *seen, *(f"note: {n}" for n in self.notes)])


# What a probe saw, as code -> (explanation, fix); the call that saw it is the probe.
_SEEN: Final[Mapping[str, tuple[str, str]]] = {
    "repository-missing": (
        "there is no such repository in that registry and region",
        "create it, or correct the account, region or name in the image",
    ),
    "image-missing": ("the tag or digest is not there", "push it or correct the tag"),
    "image-archived": (
        "the image is archived, or its restore is still going on; such an image cannot be pulled",
        "restore it (UpdateImageStorageClass to STANDARD) and wait up to 20 minutes",
    ),
    "kms": (
        "ECR cannot use the key of the repository",
        "mend the key or its grants; pullers themselves need no KMS permission",
    ),
    "upstream-credential": (
        "the upstream registry refuses the pull-through cache", "mend the rule's secret, or the upstream path"
    ),
    "throttled": ("the upstream registry throttles the pull-through cache", "authenticate the rule, or wait"),
    "upstream-unavailable": ("the upstream registry does not answer", "wait, or look at the upstream's status"),
    "image-broken": (
        "the image is there, and parts of it are not usable", "push the image again; its layers are gone or archived"
    ),
}  # fmt: skip
_FAILURES: Final[Mapping[str, str]] = {
    "ImageNotFound": "image-missing",
    "ImageTagDoesNotMatchDigest": "image-missing",
    "KmsError": "kms",
    "UpstreamAccessDenied": "upstream-credential",
    "UpstreamTooManyRequests": "throttled",
    "UpstreamUnavailable": "upstream-unavailable",
    "ImageInaccessible": "image-broken",
}


def probe(diagnosis: Diagnosis, probes: PullProbes, image: ImageRef, *, read_manifest: bool = False) -> ProbedDiagnosis:
    """Return the diagnosis with what read-only calls say about the image.

    DescribeImages is always asked. `read_manifest` also asks BatchGetImage and BatchCheckLayerAvailability: under the
    prefix of a pull-through cache BatchGetImage imports the image, which creates a repository and costs storage, and
    it may count as a pull. The probes run with the credentials of whoever diagnoses: that these may read does not say
    that the node may.
    """
    reference = image.digest or image.tag or "latest"
    seen: list[Observation] = []
    notes: list[str] = []
    try:
        found = probes.image(image.repository, reference)
    except NotFound as fault:
        missing = fault.code == "RepositoryNotFoundException"
        code = "repository-missing" if missing else "image-missing"
        seen.append(Observation(call="DescribeImages", answer=fault.code or "not found", cause=code))
        if missing:
            notes.append("under the prefix of a pull-through cache the repository comes with the first pull")
    except Denied as fault:
        notes.append(f"DescribeImages is not allowed to whoever diagnoses: {fault}")
    except AwsCallFailed as fault:
        notes.append(f"DescribeImages failed: {fault}")
    else:
        active = found.status == "ACTIVE"
        seen.append(
            Observation(call="DescribeImages", answer=found.status, cause="" if active else "image-archived")
        )  # fmt: skip
    if read_manifest:
        _read_manifest(probes, image.repository, reference, seen, notes)
    else:
        notes.append("BatchGetImage was not asked: on a pull-through repository it imports the image")
    return ProbedDiagnosis(
        diagnosis=_confirmed(diagnosis, seen), observations=tuple(seen), notes=tuple(notes)
    )  # fmt: skip


def _read_manifest(
    probes: PullProbes, repository: str, reference: str, seen: list[Observation], notes: list[str]
) -> None:
    try:
        answer = probes.manifest_of(repository, reference)
        if isinstance(answer, ImageFailure):
            code = _FAILURES.get(answer.code, "")
            seen.append(Observation(call="BatchGetImage", answer=answer.code, cause=code))
            return
        seen.append(Observation(call="BatchGetImage", answer="read"))
        digests = _layers_of(answer)
        if not digests:
            return
        states = probes.layers(repository, digests[:_MOST_LAYERS])
    except AwsCallFailed as fault:
        notes.append(f"{fault.operation or 'a read'} failed: {fault}")
        return
    bad = sorted({s.availability for s in states.values()} - {"AVAILABLE"})
    asked = f"{len(states)} of {len(digests)} layers"
    if bad:
        cause = "image-archived" if bad == ["ARCHIVED"] else "image-broken" if "UNAVAILABLE" in bad else ""
        seen.append(
            Observation(call="BatchCheckLayerAvailability", answer=f"{', '.join(bad)} among {asked}", cause=cause)
        )
    else:
        seen.append(Observation(call="BatchCheckLayerAvailability", answer=f"AVAILABLE: {asked}"))


def _layers_of(manifest: RawManifest) -> list[str]:
    try:
        document: Any = json.loads(manifest.text)
    except (ValueError, RecursionError):
        return []
    listed = document.get("layers") if isinstance(document, dict) else None
    entries = listed if isinstance(listed, list) else []
    return [e["digest"] for e in entries if isinstance(e, dict) and isinstance(e.get("digest"), str)]


def _confirmed(diagnosis: Diagnosis, seen: list[Observation]) -> Diagnosis:
    codes = list(dict.fromkeys(o.cause for o in seen if o.cause))
    exists = any(o.call == "DescribeImages" and o.cause in ("", "image-archived") for o in seen)
    # An image that exists is not missing; where the repository is missing, the image is not what to mend.
    settled = exists or "repository-missing" in codes
    ruled_out = {"image-missing", "repository-missing"} - set(codes) if settled else set()
    kept = [c for c in diagnosis.causes if c.code not in codes and c.code not in ruled_out]
    doubted = [attrs.evolve(c, confidence="low") for c in diagnosis.causes if c.code in ruled_out]
    named: list[Cause] = []
    new: list[Cause] = []
    for code in codes:
        known = next((c for c in diagnosis.causes if c.code == code), None)
        if known is not None:
            named.append(attrs.evolve(known, confidence="high"))
            continue
        call = ", ".join(dict.fromkeys(o.call for o in seen if o.cause == code))
        explanation, fix = _SEEN[code]
        new.append(Cause(code=code, confidence="high", explanation=explanation, probe=call, fix=fix))
    # What the text says for certain stays in front of what only the probes saw: both must be mended.
    certain = [c for c in kept if c.confidence == "high"]
    rest = [c for c in kept if c.confidence != "high" and not (c.code == "unknown" and new)]
    return attrs.evolve(diagnosis, causes=(*named, *certain, *new, *rest, *doubted))
